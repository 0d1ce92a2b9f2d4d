package cmd

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/output"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

// newDefinitions returns the command "tokenfetch provider", which manages definitions.
func (r *run) newDefinitions() *cobra.Command {
	parent := &cobra.Command{
		Use:   "provider",
		Short: "list, show, add, check and remove providers",
		Long: `List the providers that tokenfetch knows, and add your own.

A provider is a file NAME.toml. Those of your own are in the directory providers
beside the profiles file; everything that works with a built-in provider works
with them.`,
		Example: `  tokenfetch provider list
  tokenfetch provider add acme --token-url https://auth.acme.example/token`,
		RunE: r.oneVerb,
	}
	parent.AddCommand(r.newProviderList(), r.newProviderShow(), r.newProviderAdd(), r.newProviderCheck(), r.newProviderRemove())
	return parent
}

func (r *run) newProviderList() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "list",
		Short: "list the providers, and what each rests on",
		Long: `List the providers: name, title, where each comes from (built-in, or a file of
yours), and what its definition rests on, if it says so.

-o json prints one line of JSON. Every key is always there, and null where
nothing is known.`,
		Example: `  tokenfetch provider list
  tokenfetch provider list -o json | jq '.providers[] | select(.file)'`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			if format == "json" {
				return r.print(r.providersJSON())
			}
			return r.print(r.providersText())
		},
	}
	addReportFlag(c, &format)
	return c
}

// ownFile returns the file of a user-defined provider, or "" for a built-in one.
func (r *run) ownFile(name string) string {
	d, err := r.catalog.Definition(name)
	if err != nil {
		return r.catalog.File(name) // no other can be broken
	}
	return d.File
}

func (r *run) providersText() string {
	report := r.newReport()
	for _, name := range r.catalog.Names() {
		file := r.ownFile(name)
		title, from := word{}, cmp.Or(file, "built-in")
		if d, err := r.catalog.Definition(name); err != nil {
			title, from = bad("broken"), "run tokenfetch provider check "+file
		} else if title.text = d.Title; d.Verified != "" {
			from += ": " + d.Verified
		}
		report.line(name, title, from)
	}
	return report.String()
}

func (r *run) providersJSON() string {
	type one struct {
		Name     string  `json:"name"`
		Title    *string `json:"title"`
		Source   string  `json:"source"`
		File     *string `json:"file"`
		Docs     *string `json:"docs"`
		Verified *string `json:"verified"`
	}
	line := struct {
		Schema    string `json:"schema"`
		Providers []one  `json:"providers"`
	}{"tokenfetch.providers/1", []one{}}
	for _, name := range r.catalog.Names() {
		p := one{Name: name, Source: "built-in", File: r.lineOrNull(r.ownFile(name))}
		if p.File != nil {
			p.Source = "user"
		}
		if d, err := r.catalog.Definition(name); err == nil {
			p.Title, p.Docs, p.Verified = r.lineOrNull(d.Title), r.lineOrNull(d.Docs), r.lineOrNull(d.Verified)
		}
		line.Providers = append(line.Providers, p)
	}
	return string(output.JSONLine(line))
}

func (r *run) newProviderShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "print the definition of a provider",
		Long: `Print the definition of a provider, ready to be copied to a definition of your
own. On a terminal, characters that are not printable ASCII are shown as
escapes.`,
		Example:           "  tokenfetch provider show zeepay\n  tokenfetch provider show zeepay >my-zeepay.toml",
		ValidArgsFunction: r.completeNames(func(string) bool { return true }),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := r.oneName(cmd, args)
			if err != nil {
				return err
			}
			data, err := r.catalog.Source(name)
			switch {
			case errors.Is(err, provider.ErrUnknown):
				return failure.New(failure.ProviderNotFound, "there is no provider of that name").
					WithHint("the providers are %s", strings.Join(r.catalog.Names(), ", ")).Suggest(failure.Nearest(name, r.catalog.Names()))
			case err != nil:
				return err
			case isTerminal(r.env.Stdout):
				return r.print(harmlessText(string(data)))
			}
			return r.print(string(data))
		},
	}
}

// harmlessText escapes control characters in a text of several lines, except tabs and
// line ends.
func harmlessText(text string) string {
	var b strings.Builder
	for piece := range strings.SplitAfterSeq(text, "\n") {
		line, ended := strings.CutSuffix(piece, "\n")
		cells := strings.Split(line, "\t")
		for i, cell := range cells {
			cells[i] = output.Harmless(cell, 10*len(cell)) // no escape is longer
		}
		b.WriteString(strings.Join(cells, "\t"))
		if ended {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func (r *run) newProviderRemove() *cobra.Command {
	return &cobra.Command{
		Use:   "remove NAME",
		Short: "remove a definition of yours",
		Long: `Remove the file of a provider that you have defined. Its profiles stay, and so
do their secrets in the keychain. To remove these too, log out of each profile
before the definition is gone: logging out needs it.`,
		Example:           "  tokenfetch logout acme --purge\n  tokenfetch provider remove acme",
		ValidArgsFunction: r.completeNames(r.isOwn),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := r.oneName(cmd, args)
			if err != nil {
				return err
			}
			return r.removeDefinition(r.context(), name)
		},
	}
}

// isOwn reports whether the user has a definition file of that name, valid or not.
func (r *run) isOwn(name string) bool { return r.ownFile(name) != "" }

func (r *run) removeDefinition(ctx context.Context, name string) error {
	if !r.catalog.Has(name) {
		own := slices.DeleteFunc(r.catalog.Names(), func(name string) bool { return !r.isOwn(name) })
		hint := "you have defined none"
		if len(own) > 0 {
			hint = "those you have defined are " + strings.Join(own, ", ")
		}
		return failure.New(failure.ProviderNotFound, "you have defined no provider of that name").
			WithHint("%s", hint).Suggest(failure.Nearest(name, own))
	}
	path := r.ownFile(name)
	if path == "" {
		return failure.New(failure.BadProviderName, "%s is built in, and has no file that could be removed", name).
			WithHint("remove what is stored for it with: tokenfetch logout %s --purge", name)
	}
	file, unreadable := r.profilesThere(ctx)
	info, err := os.Lstat(path)
	if err == nil && info.IsDir() {
		return failure.New(failure.FileUnwritable, "%s is a directory, not a file", path).WithHint("look into it, and remove it yourself")
	}
	if err == nil {
		err = os.Remove(path)
	}
	if err != nil {
		return failure.New(failure.FileUnwritable, "the file %s cannot be removed", path).WithHint("check the owner and mode of its directory")
	}
	r.console.note("removed the file %s", path)
	switch {
	case unreadable != nil:
		r.console.warning("profiles and secrets of %s stay, if there are any: the profiles file cannot be read", name)
	case len(profileNames(file, name)) > 0:
		r.tellStaying(name, file.Path, profileNames(file, name))
	}
	return nil
}

// profilesThere reads the profiles file, which need not exist.
func (r *run) profilesThere(ctx context.Context) (*profile.File, error) {
	path, named, err := r.engine().ProfilesPath()
	if err != nil {
		return nil, err
	}
	return r.engine().ReadProfiles(ctx, path, named && r.engine().CI(), nil)
}

// tellStaying lists the remaining profiles of a provider whose definition was removed,
// and the commands that remove them.
func (r *run) tellStaying(name, path string, profiles []string) {
	var refs, tables, logouts []string
	for _, p := range profiles {
		refs = append(refs, name+"/"+p)
		tables = append(tables, "["+name+"."+p+"]")
		logouts = append(logouts, "tokenfetch logout "+name+"/"+p+" --purge")
	}
	r.console.note("profiles and their secrets stay: %s", strings.Join(refs, ", "))
	r.console.hint("to remove them too, define " + name + " again, then run: " + strings.Join(logouts, "; ") + "; tokenfetch provider remove " + name)
	secrets := "the items of the service tokenfetch that begin with " + name + "/ out of the keychain"
	if files, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "secrets", name+".*")); files != nil { // the pattern is right
		secrets += ", and remove " + strings.Join(files, ", ")
	}
	r.console.hint("or take " + strings.Join(tables, ", ") + " out of " + path + ", and " + secrets)
}

// oneName returns the argument of a command that takes one provider.
func (r *run) oneName(cmd *cobra.Command, args []string) (string, error) {
	switch len(args) {
	case 0:
		return "", r.needVerb(cmd, "name a provider")
	case 1:
		return args[0], nil
	}
	return "", failure.New(failure.UnexpectedArgument, "%s takes one provider at a time", cmd.CommandPath()).
		WithHint("run %s --help", cmd.CommandPath())
}

// completeNames completes the name of a provider.
func (r *run) completeNames(wanted func(name string) bool) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		var names []string
		for _, name := range r.catalog.Names() {
			if len(args) == 0 && strings.HasPrefix(name, word) && wanted(name) {
				names = append(names, cobra.CompletionWithDesc(name, r.catalog.Title(name)))
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// destinations returns a line for each host that receives the provider's secrets.
func destinations(d *provider.Definition) []string {
	var lines []string
	for _, e := range d.Environments {
		_, host, _ := strings.Cut(tokenfetch.SketchHost(e.BaseURL), "://")
		host, _, _ = strings.Cut(host, "/")
		line := "the secrets go to " + host
		if e.Name != provider.OnlyEnvironment || len(d.Environments) > 1 {
			line = "environment " + e.Name + ": " + line
		}
		lines = append(lines, line)
	}
	if lines == nil {
		return []string{"the secrets go to the host of the base address that a profile gives"}
	}
	return lines
}
