// Package cmd is the command line of tokenfetch: commands, flags, help, what
// is printed where, and the exit codes. It is the only package that knows that
// a person or a shell exists.
package cmd

import (
	"os"
	"time"

	"golang.org/x/term"

	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

// Env is the world outside the program.
type Env struct {
	Args     []string // without the program's name
	Stdin    *os.File
	Stdout   *os.File
	Stderr   *os.File
	Environ  []string     // NAME=VALUE
	Keychain secret.Store // nil for the operating system's own
	// Terminal opens the controlling terminal, to ask a person there; nil for
	// the operating system's own.
	Terminal func() (in, out *os.File, err error)
	Version  string
	Start    time.Time // when the program began; time limits count from here
}

// lookup returns the value of an environment variable and whether it is set.
func (e *Env) lookup(name string) (string, bool) {
	return tokenfetch.Lookup(e.Environ, name)
}

// getenv returns the value of an environment variable, or "".
func (e *Env) getenv(name string) string {
	value, _ := e.lookup(name)
	return value
}

// ci reports whether this is a continuous integration job: nobody is there to
// answer, and files belong to whoever checked them out.
func (e *Env) ci() bool { return tokenfetch.CIVariable(e.lookup) != "" }

// attended reports whether a person is likely to see and answer a dialog.
func (e *Env) attended() bool { return isTerminal(e.Stderr) && !e.ci() }

// coloured reports whether text in f may have colours.
func (e *Env) coloured(f *os.File) bool {
	return isTerminal(f) && e.getenv("NO_COLOR") == "" && e.getenv("TERM") != "dumb"
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
