package cmd

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
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
