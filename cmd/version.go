package cmd

import (
	"fmt"
	"runtime"

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

// print writes text to standard output.
func (r *run) print(text string) error {
	if _, err := r.env.Stdout.WriteString(text); err != nil {
		return unprinted(err)
	}
	return nil
}

// unprinted is the failure of writing to standard output.
func unprinted(err error) error {
	return failure.New(failure.OutputFailed, "standard output cannot be written: %s", whyNot(err))
}
