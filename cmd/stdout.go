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

// stdout is standard output with the time limit of the run.
type stdout struct{ run *run }

// Write writes data, or fails with errNotRead at the deadline.
func (s stdout) Write(data []byte) (int, error) {
	s.run.useTimeout() // help and version wait for nothing else
	l := cmp.Or(s.run.longest, s.run.limit)
	n, err := writeWithin(s.run.env.Stdout, data, max(l.Left(), overtime/2))
	// A slow reader may still receive part of it.
	if n > 0 || errors.Is(err, errNotRead) {
		s.run.outputBegun.Store(true)
	}
	return n, err
}

// unprinted returns the error for a failed write to standard output.
func unprinted(err error) error {
	return failure.New(failure.OutputFailed, "standard output cannot be written: %s", whyNot(err))
}
