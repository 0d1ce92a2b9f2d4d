//go:build unix

package cmd

import (
	"cmp"
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tokenfetch/tokenfetch/pkg/source"
)

// endingSignals are the signals that end a program. By default Go answers most of them
// with a stack dump. Signals for faults of the program itself are not among them.
func endingSignals() []os.Signal {
	return []os.Signal{
		syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGABRT,
		syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGILL, syscall.SIGTRAP, syscall.SIGSYS,
	}
}

func (i interrupt) number() int {
	if s, ok := i.signal.(syscall.Signal); ok {
		return int(s)
	}
	return int(syscall.SIGINT)
}

// whenStopped calls before when Ctrl-Z is about to stop the program, and the function
// that before returns when the program continues, until end is called.
func whenStopped(before func() (after func())) (end func()) {
	stops, ended := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(stops, syscall.SIGTSTP)
	go func() {
		for {
			select {
			case <-ended:
				return
			case <-stops:
			}
			after := before()
			if stoppable() {
				stop()
			}
			after()
		}
	}()
	return func() { signal.Stop(stops); close(ended) }
}

// stop stops the program until it is continued. Go cannot restore the default action of
// a signal that was watched, so stop sends another signal.
func stop() {
	goesOn := make(chan os.Signal, 1)
	signal.Notify(goesOn, syscall.SIGCONT)
	defer signal.Stop(goesOn)
	if syscall.Kill(os.Getpid(), syscall.SIGSTOP) == nil {
		<-goesOn
	}
}

// stopUntilForeground stops the program and its process group, such as the rest of a
// pipeline, until it continues in the foreground or ctx ends. It does nothing without a
// shell that could continue it.
func stopUntilForeground(ctx context.Context, fd int) {
	if !stoppable() {
		return
	}
	signal.Ignore(syscall.SIGTSTP)
	_ = syscall.Kill(0, syscall.SIGTSTP)
	signal.Reset(syscall.SIGTSTP)
	stop()
	for !foreground(fd) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(100 * time.Millisecond): // a signal that ends a stopped program lets it go on as well
		}
		// The program may be in the foreground by now. Then nobody would continue it: a
		// shell sends no signal to a running job that it brings to the foreground.
		if !foreground(fd) {
			stop()
		}
	}
}

// foreground reports whether this program is in the foreground of a terminal.
func foreground(fd int) bool {
	group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	return err == nil && group == syscall.Getpgrp()
}

// stoppable reports whether a shell could continue the program. Without one the system
// ignores Ctrl-Z.
func stoppable() bool {
	ours, err := unix.Getsid(0)
	if err != nil || ours == syscall.Getpgrp() {
		return false
	}
	parents, err := unix.Getsid(os.Getppid())
	return err == nil && parents == ours
}

// hideEcho turns off a terminal's echo. The caller restores the settings.
func hideEcho(fd int) error {
	settings, err := unix.IoctlGetTermios(fd, getSettings)
	if err != nil {
		return err
	}
	settings.Lflag = settings.Lflag&^unix.ECHO | unix.ICANON | unix.ISIG
	settings.Iflag |= unix.ICRNL
	return unix.IoctlSetTermios(fd, setSettings, settings)
}

// readHidden reads a line from a terminal after hideEcho. Unlike [term.ReadPassword] it
// ends at Ctrl-D.
func readHidden(terminal *os.File) (string, error) { return readLine(terminal) }

// openTerminal opens the controlling terminal.
func openTerminal() (in, out *os.File, err error) {
	terminal, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	return terminal, terminal, err
}

// catchBrokenPipe makes a write to a pipe without a reader fail instead of ending the
// program. Children do not inherit that, as they would inherit an ignored signal.
func catchBrokenPipe() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

// ignoreBrokenPipe does the same for the last write of a run by ignoring the signal,
// which is cheaper. No child is started after it.
func ignoreBrokenPipe() { signal.Ignore(syscall.SIGPIPE) }

// dieOf ends the program by the signal itself, so that a shell sees it. It only exits
// with the code that a shell would report for signals other than SIGINT, SIGTERM and
// SIGHUP, because Go answers those with a dump of all goroutines, and in the first
// process of a container, which the kernel protects from its own signals.
func dieOf(i interrupt) {
	quiet := i.signal == syscall.SIGINT || i.signal == syscall.SIGTERM || i.signal == syscall.SIGHUP
	if quiet && os.Getpid() != 1 {
		signal.Reset(i.signal)
		if p, err := os.FindProcess(os.Getpid()); err == nil && p.Signal(i.signal) == nil {
			time.Sleep(100 * time.Millisecond)
		}
	}
	os.Exit(128 + i.number())
}

// whyNot explains why a write failed.
func whyNot(err error) string {
	switch {
	case errors.Is(err, errNotRead):
		return "its reader does not read"
	case errors.Is(err, syscall.EPIPE):
		return "its reader is gone"
	case errors.Is(err, os.ErrClosed), errors.Is(err, syscall.EBADF):
		return "it is closed"
	}
	return cmp.Or(source.NoRoom(err), "the write failed")
}

// fromTerminal reports whether a signal is one that the terminal sends to the whole
// foreground group (Ctrl-C, Ctrl-\) while this program is in that group.
func fromTerminal(sig os.Signal) bool {
	if sig != syscall.SIGINT && sig != syscall.SIGQUIT {
		return false
	}
	return foreground(int(os.Stdin.Fd()))
}

// statusOf returns the exit code of a process as a shell reports it.
func statusOf(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}

// setUID reports whether the program runs with other privileges than its caller.
func setUID() bool { return os.Geteuid() != os.Getuid() || os.Getegid() != os.Getgid() }

// enoughFiles reports whether minFiles files may be open. With fewer the Go runtime
// ends the program with a stack dump.
func enoughFiles() bool {
	n, known := openFiles()
	return !known || n >= minFiles
}

// openFiles returns the limit on open files, if it is known.
func openFiles() (n uint64, known bool) {
	var limit unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	return uint64(limit.Cur), err == nil //nolint:unconvert // signed on FreeBSD
}
