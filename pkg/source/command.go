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

// Terminal is a terminal that is lent to a helper, so that it can prompt. While the
// helper has it, the terminal sends signals to the helper. The functions of Terminal
// report them to this program.
type Terminal struct {
	File *os.File
	// Interrupt is called once for a signal that ends programs, such as the one of
	// Ctrl-C, even if the helper ignores it. It must cancel the context of the
	// helper.
	Interrupt func(os.Signal)
	// Stop is called after the helper was stopped, for example with Ctrl-Z. It must
	// stop this program too, and return when both should continue.
	Stop func()
}

// closing is how long the output of a helper may stay open after it has exited.
const closing = 400 * time.Millisecond

// Command runs a helper and returns its standard output as a value. argv is run
// without a shell, and environ is the helper's complete environment. If terminal is
// not nil, the helper gets it as standard input and as its foreground terminal;
// otherwise its standard input is empty. The helper's standard error is discarded.
// When ctx ends, the helper and its children are killed. After a deadline the error
// is a [*failure.Error] for the helper, otherwise it is the cause of ctx.
func Command(ctx context.Context, argv, environ []string, terminal *Terminal) (secret.Value, error) {
	raw, err := output(ctx, argv, environ, terminal)
	if err != nil {
		return secret.Value{}, err
	}
	return value(raw, "the helper "+filepath.Base(argv[0]), failure.HelperFailed)
}

// CommandBytes is like [Command], but accepts any bytes and returns them unchanged.
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
	cmd.Env = append([]string{}, environ...) // nil would mean our own environment
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

// LookPath is like [exec.LookPath], but never finds a name through a relative entry
// of PATH, not even with GODEBUG=execerrdot=0. It returns [exec.ErrDot] instead.
func LookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil && name == filepath.Base(name) && !filepath.IsAbs(path) {
		return "", exec.ErrDot
	}
	return path, err
}

// FindHelper returns the path of a helper program. name is an absolute path, or a
// name to search in PATH. A relative name or PATH entry never selects a program, so
// that nothing runs from the working directory. The error is a [*failure.Error].
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

// limited stores at most limit bytes. It calls full if there are more.
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
