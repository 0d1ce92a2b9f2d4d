// Package cmd is the command line of tokenfetch: commands, flags, help, output and exit
// codes. No other package prints or asks questions.
package cmd

import (
	"os"
	"time"

	"golang.org/x/term"

	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

// Env is the process environment: arguments, streams, variables, keychain.
type Env struct {
	Args     []string // without the program's name
	Stdin    *os.File
	Stdout   *os.File
	Stderr   *os.File
	Environ  []string     // NAME=VALUE
	Keychain secret.Store // nil for the operating system's own
	// Terminal opens the controlling terminal for questions. If it is nil, the
	// operating system's is used.
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

// ci reports whether this is a continuous integration job, where nobody answers
// questions, and files belong to whoever checked them out.
func (e *Env) ci() bool { return tokenfetch.CIVariable(e.lookup) != "" }

// attended reports whether somebody is likely to see and answer a dialog.
func (e *Env) attended() bool { return isTerminal(e.Stderr) && !e.ci() }

// coloured reports whether text written to f may be coloured.
func (e *Env) coloured(f *os.File) bool {
	return isTerminal(f) && e.getenv("NO_COLOR") == "" && e.getenv("TERM") != "dumb"
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
