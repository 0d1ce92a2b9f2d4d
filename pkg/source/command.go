package source

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
)

// A Terminal is lent to a helper, so that it can ask there. Its signals go to the
// helper meanwhile, so that this program is told of them.
type Terminal struct {
	File *os.File
	// Interrupt is called once for a signal that ends programs, such as that of
	// Ctrl-C, whatever the helper makes of it. It must end the context of the
	// helper.
	Interrupt func(os.Signal)
	// Stop is called when the helper has been stopped, as Ctrl-Z does. It stops this
	// program too and returns when both are to go on.
	Stop func()
}

// closing is how long the output of a helper that has ended may stay open.
const closing = 400 * time.Millisecond

// Command runs a helper, argv without a shell, and takes its standard output
// as a value. environ is the helper's whole environment. terminal, when not
// nil, is handed to it as standard input and foreground terminal; without it the
// helper reads end of file. What the helper prints on standard error is dropped.
// The helper and its children are killed when ctx ends: at its deadline that is a
// failure of the helper, else the error is the cause.
func Command(ctx context.Context, argv, environ []string, terminal *Terminal) (secret.Value, error) {
	raw, err := output(ctx, argv, environ, terminal)
	if err != nil {
		return secret.Value{}, err
	}
	return value(raw, "the helper "+filepath.Base(argv[0]), failure.HelperFailed)
}

// CommandBytes is Command for output that may be any bytes, which are returned as
// they are.
func CommandBytes(ctx context.Context, argv, environ []string, terminal *Terminal) (secret.Value, error) {
	raw, err := output(ctx, argv, environ, terminal)
	return secret.New(string(raw)), err
}

func output(ctx context.Context, argv, environ []string, terminal *Terminal) ([]byte, error) {
	name := filepath.Base(argv[0])
	path, err := FindHelper(argv[0])
	if err != nil {
		return nil, err
	}
	out := &limited{limit: MaxValue + 2}
	cmd := exec.CommandContext(ctx, path, argv[1:]...)
	cmd.Args[0] = argv[0]
	cmd.Env = append([]string{}, environ...) // nil would be our own environment
	cmd.Stdout = out
	cmd.WaitDelay = closing
	out.full = func() { _ = cmd.Cancel() }
	interrupted, err := run(cmd, terminal)
	if interrupted {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}

	exit, exited := errors.AsType[*exec.ExitError](err)
	switch {
	case out.over:
		return nil, failure.New(failure.HelperFailed, "the helper %s printed more than the limit of %d bytes", name, MaxValue)
	case isDeadline(context.Cause(ctx)):
		return nil, failure.New(failure.HelperTimeout, "the helper %s timed out", name)
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case exited && exit.ExitCode() >= 0:
		return nil, failure.New(failure.HelperFailed, "the helper %s ended with status %d", name, exit.ExitCode()).
			WithHint("run it by hand to see why; tokenfetch does not show what it prints")
	case exited:
		return nil, failure.New(failure.HelperFailed, "the helper %s was killed by a signal", name)
	case errors.Is(err, exec.ErrWaitDelay):
		return nil, failure.New(failure.HelperFailed, "the helper %s left a process behind that keeps its output open", name)
	case err != nil:
		return nil, failure.New(failure.HelperFailed, "cannot run the helper %s: %s", name, reason(err))
	}
	return out.data, nil
}

// LookPath is exec.LookPath, except that a name is never found through a relative
// entry of PATH, not even where GODEBUG=execerrdot=0 would allow that: the error is
// exec.ErrDot.
func LookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil && name == filepath.Base(name) && !filepath.IsAbs(path) {
		return "", exec.ErrDot
	}
	return path, err
}

// FindHelper finds the program of a helper: its absolute path, or its name in PATH.
// Nothing is ever run from the working directory, neither by a relative name nor
// through a relative entry of PATH. The error is the failure.
func FindHelper(name string) (string, error) {
	if name != filepath.Base(name) && !filepath.IsAbs(name) {
		return "", failure.New(failure.HelperNotFound, "the helper %s has a relative path", name).
			WithHint("give its absolute path, or a name that PATH finds")
	}
	path, err := LookPath(name)
	switch {
	case errors.Is(err, exec.ErrDot):
		return "", failure.New(failure.HelperNotFound, "the helper %s is found only through a relative entry of PATH", name).
			WithHint("give its absolute path")
	case errors.Is(err, fs.ErrPermission):
		return "", failure.New(failure.HelperNotFound, "the helper %s cannot be executed", name)
	case err != nil:
		return "", failure.New(failure.HelperNotFound, "the helper %s was not found in PATH", name).
			WithHint("install it, or give its absolute path")
	}
	return path, nil
}

// limited keeps at most limit bytes and calls full when there are more.
type limited struct {
	data  []byte
	limit int
	over  bool
	full  func()
}

func (l *limited) Write(p []byte) (int, error) {
	if len(l.data)+len(p) > l.limit {
		l.over = true
		l.full()
		return 0, errTooLarge
	}
	l.data = append(l.data, p...)
	return len(p), nil
}
