package cmd

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
)

// A word of the command line may be a misplaced secret: an error suggests what is
// known and near, and never repeats the word.

// unknownCommand is the failure of a first word that is nothing we know.
func (r *run) unknownCommand(root *cobra.Command, word string) error {
	name, _, _ := strings.Cut(word, "/")
	e := failure.New(failure.UnknownCommand, "unknown command or provider")
	if near := failure.Nearest(name, slices.Concat(r.catalog.Names(), commandNames(root))); near != "" {
		return e.WithHint("run: tokenfetch %s --help", near).Suggest(near)
	}
	return e.WithHint("the providers are %s; add yours with tokenfetch provider add; run tokenfetch --help for the commands", strings.Join(r.catalog.Names(), ", "))
}

// unknownVerb is the failure of a word that is none of a command's own commands.
func unknownVerb(cmd *cobra.Command, word string) error {
	e := failure.New(failure.UnknownCommand, "unknown command of %s", cmd.CommandPath())
	if near := failure.Nearest(word, commandNames(cmd)); near != "" {
		return e.WithHint("run: %s %s", cmd.CommandPath(), near).Suggest(near)
	}
	return e.WithHint("%s", verbHint(cmd))
}

// oneVerb ends a command that only has commands of its own: args name none of them.
func (r *run) oneVerb(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return unknownVerb(cmd, args[0])
	}
	return r.needVerb(cmd, verbHint(cmd))
}

// verbHint tells which commands a command has.
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

// nearestFlag returns the flag of cmd that name may be a slip for, as it is
// written, or "". That of a secret takes a file, whatever is typed.
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

// nearestValue returns the one of the values a flag takes that text may be a slip
// for, or "".
func nearestValue(f *pflag.Flag, text string) string {
	value := f.Value
	if o, ok := value.(*once); ok {
		value = o.Value
	}
	if list, ok := value.(*choice); ok {
		return failure.Nearest(text, list.from)
	}
	return ""
}

// misplaced adds to the failure of a word that is one too many behind a provider how
// it is written if it is an environment's or a profile's name, and not both. command is
// what the provider stands behind.
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
