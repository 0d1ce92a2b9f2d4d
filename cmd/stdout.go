package cmd

import (
	"cmp"
	"errors"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
)

// print writes text to standard output.
func (r *run) print(text string) error {
	if _, err := (stdout{r}).Write([]byte(text)); err != nil {
		return unprinted(err)
	}
	return nil
}

// stdout is standard output within the time limit.
type stdout struct{ run *run }

// Write writes data, or fails at the deadline with errNotRead.
func (s stdout) Write(data []byte) (int, error) {
	s.run.useTimeout() // help and version wait for nothing else
	l := cmp.Or(s.run.longest, s.run.limit)
	n, err := writeWithin(s.run.env.Stdout, data, max(l.Left(), overtime/2))
	// What a reader that comes late will find is not known.
	if n > 0 || errors.Is(err, errNotRead) {
		s.run.outputBegun.Store(true)
	}
	return n, err
}

// unprinted is the failure of writing to standard output.
func unprinted(err error) error {
	return failure.New(failure.OutputFailed, "standard output cannot be written: %s", whyNot(err))
}
