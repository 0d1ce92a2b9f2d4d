package cmd

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/source"
)

// Exit codes of exec before the command has started; after that the exit code is the
// command's. The emulator uses the last two.
const (
	exitBefore      = 125 // tokenfetch failed
	exitNotRunnable = 126
	exitNotFound    = 127
)

// findCommand looks up the command that follows "--" as a shell does, but ignores
// relative entries of PATH. The error does not contain the command's name.
func findCommand(name string) (string, error) {
	path, err := source.LookPath(name)
	switch {
	case errors.Is(err, exec.ErrDot):
		return "", exitError{failure.New(failure.CommandNotFound, "the command behind -- is found only through a relative entry of PATH").
			WithHint("give its path, such as ./NAME"), exitNotFound}
	case err == nil:
		return path, nil
	case errors.Is(err, syscall.EISDIR):
		return "", exitError{failure.New(failure.CommandNotRunnable, "the command behind -- is a directory").
			WithHint("name a program in it"), exitNotRunnable}
	case errors.Is(err, fs.ErrPermission), inPath(name):
		return "", exitError{failure.New(failure.CommandNotRunnable, "the command behind -- is not executable").
			WithHint("make it so with chmod +x, or name its interpreter before it"), exitNotRunnable}
	}
	return "", exitError{failure.New(failure.CommandNotFound, "the command behind -- was not found").
		WithHint("check its name and PATH"), exitNotFound}
}

// inPath reports whether PATH has a file of that name, executable or not.
func inPath(name string) bool {
	return name == filepath.Base(name) && slices.ContainsFunc(filepath.SplitList(os.Getenv("PATH")), func(dir string) bool {
		info, err := os.Stat(filepath.Join(dir, name))
		return filepath.IsAbs(dir) && err == nil && info.Mode().IsRegular()
	})
}

// runCommand runs a command as a child with the same streams, forwards signals to it,
// and returns its exit code as an error.
func (r *run) runCommand(path string, argv, environ []string) error {
	command := exec.Command(path, argv[1:]...)
	command.Args[0] = argv[0]
	command.Env = environ
	command.Stdin, command.Stdout, command.Stderr = r.env.Stdin, r.env.Stdout, r.env.Stderr
	to, stop := r.signals.passOn()
	defer stop()
	if err := command.Start(); err != nil {
		return exitError{failure.New(failure.CommandNotRunnable, "the command behind -- cannot be run").
			WithHint("check its mode and format"), exitNotRunnable}
	}
	to(command.Process)
	r.limit.Pause() // the command decides when the run ends
	err := command.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return childStatus(statusOf(exit.ProcessState))
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return failure.New(failure.Internal, "the command could not be waited for")
	}
	return nil
}

// childStatus is the exit code of a command that has run. It is not an error of
// tokenfetch, so nothing is printed for it.
type childStatus int

// Error returns a constant, because it is never printed.
func (childStatus) Error() string { return "the command failed" }
