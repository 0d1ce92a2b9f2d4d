package cmd

import (
	"errors"
	"io"
	"os/exec"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
)

// runCommand runs a command as a child with our streams, and ends with its exit
// code. Signals go to the child.
func (r *run) runCommand(path string, argv, environ []string) error {
	command := exec.Command(path, argv[1:]...)
	command.Args[0] = argv[0]
	command.Env = environ
	command.Stdin, command.Stdout, command.Stderr = r.env.Stdin, r.env.Stdout, r.env.Stderr
	if err := command.Start(); err != nil {
		return exitError{failure.New(failure.CommandNotRunnable, "the command behind -- cannot be run").
			WithHint("check its mode and format"), exitNotRunnable}
	}
	r.limit.Pause() // the command decides when the run ends
	stop := r.signals.passOn(command.Process)
	err := command.Wait()
	stop()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return childStatus(statusOf(exit.ProcessState))
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return failure.New(failure.Internal, "the command could not be waited for")
	}
	return nil
}

// childStatus is the exit code of a command that ran to its end. It is no
// failure of ours, so nothing is printed for it.
type childStatus int

// Error returns a constant: it is never shown.
func (childStatus) Error() string { return "the command failed" }
