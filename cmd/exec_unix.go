//go:build unix

package cmd

import (
	"context"
	"errors"
	"os/signal"
	"syscall"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
)

// become replaces this process by the command, which inherits the streams, the terminal
// and the signals. It returns only if that fails.
func (r *run) become(path string, argv, environ []string) error {
	if err := r.signals.release(r.ctx); err != nil {
		return err
	}
	err := syscall.Exec(path, argv, environ)
	if errors.Is(err, syscall.E2BIG) {
		return tooLarge()
	}
	why := "cannot be run"
	switch {
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ENOTDIR):
		why = "names an interpreter that does not exist"
	case errors.Is(err, syscall.ENOEXEC):
		why = "is neither a program nor a script that begins with #!"
	case errors.Is(err, syscall.EACCES):
		why = "is not executable, or its interpreter is not"
	}
	return exitError{failure.New(failure.CommandNotRunnable, "the command behind -- %s", why).
		WithHint("check the file; a token for one use that was fetched is lost"), exitNotRunnable}
}

// release stops watching for signals. It returns the cause of ctx if ctx ended before.
func (s *signals) release(ctx context.Context) error {
	signal.Stop(s.received) // from here on none is lost: it ends the program
	close(s.received)
	select {
	case <-s.idle:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}
