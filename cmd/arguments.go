package cmd

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tokenfetch/tokenfetch/pkg/output"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
)

// completing reports whether this invocation is a shell's request for completions.
func (r *run) completing() bool {
	return len(r.env.Args) > 0 && strings.HasPrefix(r.env.Args[0], "__complete")
}

// resolve returns the command that args name and the arguments that follow it. Parsing
// a definition takes noticeable time, so it reads only that of the provider that args
// name, to add the provider's command or its flags of login and logout.
func (r *run) resolve(root *cobra.Command) (*cobra.Command, []string, error) {
	all := slices.Clone(r.env.Args)
	root.SetArgs(all)
	args := all
	if r.completing() {
		args = all[1:max(1, len(all)-1)] // the last word is to be completed
	}
	command, behind, _ := root.Find(args) // what cannot be found is reported when it is executed
	switch command.Name() {
	case root.Name():
		return r.resolveProvider(root, args)
	case "login":
		return r.resolveRef(command, behind, r.newLogin), behind, nil
	case "logout":
		return r.resolveRef(command, behind, r.newLogout), behind, nil
	}
	return command, behind, nil
}

// resolveProvider adds the command of the provider that args name in place of a
// command. For PROVIDER/PROFILE it leaves PROVIDER in args, which is the name that
// cobra looks up.
func (r *run) resolveProvider(root *cobra.Command, args []string) (*cobra.Command, []string, error) {
	for i, word := range args {
		name, _, _ := strings.Cut(word, "/")
		if !r.catalog.Has(name) {
			continue
		}
		c := &cobra.Command{Use: name}
		root.AddCommand(c)
		args[i] = name
		if found, _, _ := root.Find(args[:i+1]); found != c { // it is the value of a flag
			root.RemoveCommand(c)
			args[i] = word
			continue
		}
		r.named = word
		d, err := r.catalog.Definition(name)
		if err == nil {
			root.RemoveCommand(c)
			root.AddCommand(r.newProvider(d))
		}
		command, behind, _ := root.Find(args)
		return command, behind, err
	}
	return root, args, nil
}

// resolveRef adds to a command the flags of the provider that its argument names. Which
// argument that is depends on the flags.
func (r *run) resolveRef(command *cobra.Command, args []string, build func(*provider.Definition) *cobra.Command) *cobra.Command {
	root := command.Root()
	for _, word := range args {
		name, _, _ := strings.Cut(word, "/")
		d, err := r.catalog.Definition(name)
		if err != nil {
			continue
		}
		if c := build(d); firstWord(args, root.Flags(), c.Flags()) == word {
			r.named = word
			root.RemoveCommand(command)
			root.AddCommand(c)
			return c
		}
	}
	r.named = firstWord(args, root.Flags(), command.Flags())
	return command
}

// tolerant returns a flag set that also accepts unknown flags. An unknown flag consumes
// the next argument as its value, unless that looks like a flag.
func tolerant(sets ...*pflag.FlagSet) *pflag.FlagSet {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.ParseErrorsAllowlist.UnknownFlags = true
	flags.Usage = func() {} // for --help, which pflag answers by itself
	for _, set := range sets {
		flags.AddFlagSet(set)
	}
	return flags
}

// beginsWithProvider reports whether the first argument names a provider.
func (r *run) beginsWithProvider() bool {
	if len(r.env.Args) == 0 {
		return false
	}
	name, _, _ := strings.Cut(r.env.Args[0], "/")
	return r.catalog.Has(name)
}

// eachFlag calls see for each flag in args, up to any "--". The set may not know all of
// them. It parses each flag separately, so that neither an error nor a flag without a
// value (as an unset shell variable leaves it) hides the flags that follow.
func eachFlag(flags *pflag.FlagSet, args []string, see func(f *pflag.Flag, value string) error) {
	if i := slices.Index(args, "--"); i >= 0 {
		args = args[:i]
	}
	for i, arg := range args {
		if strings.HasPrefix(arg, "-") {
			_ = flags.ParseAll(args[i:min(i+2, len(args))], see)
		}
	}
}

// openCatalog opens the catalog of providers. The user's own definitions are in a
// directory beside the profiles file, so --config must be known before the commands
// are; --timeout and --verbose must be known because opening may read a file.
func (r *run) openCatalog(root *cobra.Command) {
	eachFlag(tolerant(root.PersistentFlags()), r.env.Args, func(f *pflag.Flag, value string) error {
		if slices.Contains([]string{"config", "timeout", "verbose"}, f.Name) {
			_ = f.Value.Set(value) // what does not parse is reported when the command is executed
		}
		return nil
	})
	limit := r.limit
	if r.timeout > 0 {
		limit = limit.Of(r.timeout)
	}
	r.catalog = r.newEngine(limit).Catalog()
}

// firstWord returns the first argument that is neither a flag nor the value of a flag,
// or "".
func firstWord(args []string, sets ...*pflag.FlagSet) string {
	flags := tolerant(sets...)
	// Parse errors are reported when the command runs.
	_ = flags.ParseAll(args, func(*pflag.Flag, string) error { return nil })
	return flags.Arg(0)
}

// asked says how the arguments want errors to be printed.
type asked struct {
	format     string // one that needs a failing line, or empty
	name       string // the variable, or empty if none is usable
	errorsJSON bool
}

// whatAsked reads asked from the arguments of a command, up to any "--". errorsDefault
// is the format of errors if no flag sets one.
func (r *run) whatAsked(command *cobra.Command, args []string, errorsDefault string) asked {
	a := asked{errorsJSON: errorsDefault == "json"}
	prints := !command.HasParent() // a mistyped provider, maybe
	if r.catalog.Has(command.Name()) {
		prints, a.name = true, provider.TokenVariable(command.Name())
	}
	see := func(f *pflag.Flag, value string) error {
		switch f.Name {
		case "output":
			if prints && output.FailingLine(value, "") != "" {
				a.format = value
			}
		case "var":
			a.name = ""
			if output.CheckVariable(value) == "" {
				a.name = value
			}
		case "errors":
			if value == "json" || value == "text" {
				a.errorsJSON = value == "json"
			}
		}
		return nil
	}
	own := pflag.NewFlagSet("", pflag.ContinueOnError) // where the command has none
	own.StringP("output", "o", "", "")
	own.String("var", "", "")
	eachFlag(tolerant(command.Flags(), own), args, see)
	return a
}
