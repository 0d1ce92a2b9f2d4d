package cmd

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
)

func (r *run) newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "print the version",
		Args:  noArguments,
		RunE:  func(*cobra.Command, []string) error { return r.printVersion() },
	}
}

func (r *run) printVersion() error {
	return r.print(fmt.Sprintf("tokenfetch %s (%s, %s/%s)\n", r.env.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH))
}

// unreleased is the version of a program that was not built as a release.
const unreleased = "dev"

// installed returns the version of a program that was built as version. One that
// "go install …@VERSION" has built knows VERSION from its module alone.
func installed(version string) string {
	if version != unreleased {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	return moduleVersion(info, ok)
}

// moduleVersion is the version of a module that was downloaded: only such a one
// has a checksum.
func moduleVersion(info *debug.BuildInfo, ok bool) string {
	if !ok || info.Main.Sum == "" {
		return unreleased
	}
	return strings.TrimPrefix(info.Main.Version, "v")
}

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
	s.run.outputBegun = s.run.outputBegun || n > 0 || errors.Is(err, errNotRead)
	return n, err
}

// unprinted is the failure of writing to standard output.
func unprinted(err error) error {
	return failure.New(failure.OutputFailed, "standard output cannot be written: %s", whyNot(err))
}
