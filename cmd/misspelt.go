package cmd

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
)

// A word of the command line may be a misplaced secret: errors suggest the nearest
// known word and never repeat the given one.

// unknownCommand returns the error for a first word that is neither a command nor a
// provider.
func (r *run) unknownCommand(root *cobra.Command, word string) error {
	name, _, _ := strings.Cut(word, "/")
	e := failure.New(failure.UnknownCommand, "unknown command or provider")
	if near := failure.Nearest(name, slices.Concat(r.catalog.Names(), commandNames(root))); near != "" {
		return e.WithHint("run: tokenfetch %s --help", near).Suggest(near)
	}
	return e.WithHint("the providers are %s; add yours with tokenfetch provider add; run tokenfetch --help for the commands", strings.Join(r.catalog.Names(), ", "))
}

// unknownVerb returns the error for an unknown subcommand.
func unknownVerb(cmd *cobra.Command, word string) error {
	e := failure.New(failure.UnknownCommand, "unknown command of %s", cmd.CommandPath())
	if near := failure.Nearest(word, commandNames(cmd)); near != "" {
		return e.WithHint("run: %s %s", cmd.CommandPath(), near).Suggest(near)
	}
	return e.WithHint("%s", verbHint(cmd))
}

// oneVerb runs a command that only has subcommands. args name none of them.
func (r *run) oneVerb(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return unknownVerb(cmd, args[0])
	}
	return r.needVerb(cmd, verbHint(cmd))
}

// verbHint lists the subcommands of a command.
func verbHint(cmd *cobra.Command) string {
	names := commandNames(cmd)
	if len(names) == 1 {
		return "run: " + cmd.CommandPath() + " " + names[0]
	}
	return "its commands are " + strings.Join(names, ", ")
}

func commandNames(parent *cobra.Command) []string {
	var names []string
	for _, c := range available(parent) {
		names = append(names, c.Name())
	}
	return names
}

// nearestFlag returns the flag of cmd that is nearest to name, or "". The flag of a
// secret is the one that names a file.
func nearestFlag(cmd *cobra.Command, name string) string {
	var known []string
	flags := map[string]string{}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		secret, _ := strings.CutSuffix(f.Name, "-file")
		for _, name := range slices.Compact([]string{f.Name, secret}) {
			known = append(known, name)
			flags[name] = "--" + f.Name
		}
	})
	return flags[failure.Nearest(name, known)]
}

// nearestValue returns the value of a flag that is nearest to text, or "".
func nearestValue(f *pflag.Flag, text string) string {
	if list, ok := flagValue(f).(*choice); ok {
		return failure.Nearest(text, list.from)
	}
	return ""
}

// misplaced adds to the error for an extra word after a provider how to write it, if it
// is the name of either an environment or a profile. command is the part of the command
// line before the provider.
func (r *run) misplaced(e *failure.Error, command string, d *provider.Definition, word string) *failure.Error {
	environments, profiles := d.EnvironmentNames(), profileNames(r.completionFile(), d.Name)
	near := word
	if known := slices.Concat(environments, profiles); !slices.Contains(known, word) {
		near = failure.Nearest(word, known)
	}
	switch isEnvironment, isProfile := slices.Contains(environments, near), slices.Contains(profiles, near); {
	case isEnvironment && !isProfile:
		return e.WithHint("run: %s %s -e %s", command, d.Name, near).Suggest("-e " + near)
	case isProfile && !isEnvironment:
		return e.WithHint("run: %s %s/%s", command, d.Name, near).Suggest(d.Name + "/" + near)
	}
	return e
}
