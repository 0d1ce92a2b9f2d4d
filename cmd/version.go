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

// unreleased is the version of a program that is not a release build.
const unreleased = "dev"

// installed returns the version of a program that was built as version. A program built
// by "go install …@VERSION" knows its version only from its module.
func installed(version string) string {
	if version != unreleased {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	return moduleVersion(info, ok)
}

// moduleVersion returns the version of a downloaded module. Only such a module has a
// checksum.
func moduleVersion(info *debug.BuildInfo, ok bool) string {
	if !ok || info.Main.Sum == "" {
		return unreleased
	}
	return strings.TrimPrefix(info.Main.Version, "v")
}
