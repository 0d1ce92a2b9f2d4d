//go:build unix

package source

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// run runs cmd in its own process group, so that the whole group can be killed. If
// there is a terminal, the group becomes its foreground group. interrupted reports
// whether a signal from the terminal ended it.
func run(cmd *exec.Cmd, terminal *Terminal) (interrupted bool, err error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if terminal == nil {
		return false, cmd.Run()
	}
	cmd.Stdin, cmd.Stderr = terminal.File, terminal.File
	ours, err := unix.IoctlGetInt(int(terminal.File.Fd()), unix.TIOCGPGRP)
	if err != nil {
		return false, cmd.Run() // not our controlling terminal
	}
	foreground := ours == syscall.Getpgrp()
	l := &loan{terminal: terminal, fd: int(terminal.File.Fd()), lent: foreground}
	watcher, release, err := startWatcher()
	if err == nil {
		cmd.SysProcAttr.Pgid = watcher
		cmd.Cancel = func() error { return syscall.Kill(-watcher, syscall.SIGKILL) }
	}
	cmd.SysProcAttr.Foreground, cmd.SysProcAttr.Ctty = foreground, l.fd
	err = cmd.Start()
	started := err == nil
	if l.group = watcher; watcher == 0 && started {
		l.group = cmd.Process.Pid
	}
	// SIGTTOU stops a background process that takes the terminal or changes its
	// settings, unless the process ignores the signal. The helper must not inherit
	// this setting.
	signal.Ignore(syscall.SIGTTOU)
	defer signal.Reset(syscall.SIGTTOU)
	watched := make(chan bool, 1)
	go func() { watched <- watcher != 0 && l.watch() }()
	if started {
		err = cmd.Wait()
	}
	l.end()
	release()
	interrupted = <-watched
	if !started {
		return false, err
	}
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !interrupted && foreground && status.Signaled() && slices.Contains(ending, status.Signal()) {
		terminal.Interrupt(status.Signal())
		interrupted = true
	}
	if interrupted {
		_ = syscall.Kill(-l.group, syscall.SIGKILL) // processes that the helper started
	}
	return interrupted, err
}

// ending contains the signals that end a helper because the user wants to end
// everything.
var ending = []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGHUP}

// startWatcher starts an idle process in its own process group. The helper joins the
// group, so the watcher receives the signals of the terminal even if the helper
// ignores them. The watcher ends with release, and when this program ends.
func startWatcher() (pid int, release func(), err error) {
	release = func() {}
	path, err := LookPath("cat")
	if err != nil {
		path = "/bin/cat" // independent of PATH
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return 0, release, err
	}
	defer null.Close()
	in, held, err := os.Pipe()
	if err != nil {
		return 0, release, err
	}
	defer in.Close()
	cat, err := os.StartProcess(path, []string{"cat"}, &os.ProcAttr{
		Env: []string{}, Files: []*os.File{in, null, null}, Sys: &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		held.Close()
		return 0, release, err
	}
	pid = cat.Pid
	return pid, func() {
		held.Close()
		_ = syscall.Kill(pid, syscall.SIGCONT) // it may be stopped
	}, cat.Release()
}

// loan is the state of a terminal that is lent to a helper.
type loan struct {
	terminal *Terminal
	fd       int
	group    int // process group of the helper, and process ID of the watcher

	mu   sync.Mutex
	lent bool
	over bool
}

// watch waits until the watcher ends, and reports whether a signal ended it.
func (l *loan) watch() (interrupted bool) {
	for {
		var status syscall.WaitStatus
		_, err := syscall.Wait4(l.group, &status, syscall.WUNTRACED, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil, status.Exited(), status.Signaled() && status.Signal() == syscall.SIGKILL: // killed by this program
			return false
		case status.Signaled():
			l.terminal.Interrupt(status.Signal())
			return true
		case status.Stopped():
			// A helper that was stopped in the background may now be in the
			// foreground.
			if l.takeBack() || !l.lend() {
				l.terminal.Stop()
				if !l.lend() {
					continue
				}
			}
			_ = syscall.Kill(-l.group, syscall.SIGCONT)
		}
	}
}

// lend makes the helper's group the foreground group, if that is now our group.
func (l *loan) lend() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	group, err := unix.IoctlGetInt(l.fd, unix.TIOCGPGRP)
	l.lent = !l.over && err == nil && group == syscall.Getpgrp() && unix.IoctlSetPointerInt(l.fd, unix.TIOCSPGRP, l.group) == nil
	return l.lent
}

// takeBack makes our group the foreground group. It reports whether the helper's
// group was the foreground group before.
func (l *loan) takeBack() (lent bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if lent = l.lent; lent {
		_ = unix.IoctlSetPointerInt(l.fd, unix.TIOCSPGRP, syscall.Getpgrp())
	}
	l.lent = false
	return lent
}

func (l *loan) end() {
	l.takeBack()
	l.mu.Lock()
	l.over = true
	l.mu.Unlock()
}
