//go:build unix

package source

import (
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// group gives cmd a process group of its own, which is killed whole, and makes
// it the foreground group of terminal if there is one. restore takes the
// terminal back.
func group(cmd *exec.Cmd, terminal *os.File) (restore func()) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if terminal == nil {
		return func() {}
	}
	fd := int(terminal.Fd())
	ours, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	if err != nil || ours != syscall.Getpgrp() {
		return func() {} // not our terminal, or we run in its background
	}
	cmd.SysProcAttr.Foreground = true
	cmd.SysProcAttr.Ctty = fd
	return func() {
		// A background process that takes the terminal is stopped by SIGTTOU
		// unless it ignores that.
		signal.Ignore(syscall.SIGTTOU)
		defer signal.Reset(syscall.SIGTTOU)
		_ = unix.IoctlSetPointerInt(fd, unix.TIOCSPGRP, ours)
	}
}
