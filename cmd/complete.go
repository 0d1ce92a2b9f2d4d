package cmd

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tokenfetch/tokenfetch/pkg/emulator"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

// Completion uses only definitions and the names in the profiles file. It reads no
// keychain, runs no helper and shows no value.

// completionFile returns the profiles file, or an empty one if the file cannot be read.
func (r *run) completionFile() *profile.File {
	file, err := r.newEngine(tokenfetch.NewLimit(time.Now(), time.Second)).Profiles(context.Background(), nil)
	if err != nil {
		return &profile.File{}
	}
	return file
}

// profileNames returns the names of a provider's profiles. It drops invalid names: some
// shells insert a completion unquoted and would execute a $(command) in it.
func profileNames(file *profile.File, providerName string) []string {
	return slices.DeleteFunc(file.Names(providerName), func(name string) bool { return !profile.ValidName(name) })
}

// completeRefs completes the first word if it is PROVIDER[/PROFILE]. It offers the
// default profile only after a slash.
func (r *run) completeRefs(root *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	file := sync.OnceValue(r.completionFile)
	var refs []string
	prefix, _, slash := strings.Cut(word, "/")
	for _, name := range r.catalog.Names() {
		if name != prefix && (slash || !strings.HasPrefix(name, prefix)) {
			continue
		}
		if !slash {
			refs = append(refs, cobra.CompletionWithDesc(name, fetchFrom+r.catalog.Title(name)))
		}
		if word == "" {
			continue
		}
		for _, profileName := range profileNames(file(), name) {
			if slash || profileName != profile.Default {
				refs = append(refs, cobra.CompletionWithDesc(name+"/"+profileName, "profile of "+r.catalog.Title(name)))
			}
		}
	}
	if word == "" || slices.ContainsFunc(root.Commands(), func(c *cobra.Command) bool {
		return strings.HasPrefix(c.Name(), word) && !r.catalog.Has(c.Name())
	}) {
		return refs, cobra.ShellCompDirectiveNoFileComp
	}
	return refs, afterRef(word)
}

// afterRef returns the directive that follows a completed PROVIDER[/PROFILE]: no space
// after a bare provider, so that the user can type /PROFILE.
func afterRef(word string) cobra.ShellCompDirective {
	if strings.Contains(word, "/") {
		return cobra.ShellCompDirectiveNoFileComp
	}
	return cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// completeProfiles completes an argument PROVIDER[/PROFILE] with the profiles of the
// file.
func (r *run) completeProfiles(_ *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	var refs []string
	add := func(ref, description string) {
		if strings.HasPrefix(ref, word) {
			refs = append(refs, cobra.CompletionWithDesc(ref, description))
		}
	}
	file := r.completionFile()
	for _, name := range r.catalog.Names() {
		add(name, r.catalog.Title(name))
		for _, profileName := range profileNames(file, name) {
			add(name+"/"+profileName, "profile of "+r.catalog.Title(name))
		}
	}
	return refs, afterRef(word)
}

// completeOneProfile is completeProfiles for a command that takes one argument.
func (r *run) completeOneProfile(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return r.completeProfiles(cmd, args, word)
}

// completeFlags registers completions for a provider's flags, as far as completeValues
// does not.
func (r *run) completeFlags(c *cobra.Command, d *provider.Definition) {
	var environments []string
	for _, e := range d.Environments {
		environments = append(environments, cobra.CompletionWithDesc(e.Name, e.BaseURL))
	}
	register(c, "environment", cobra.FixedCompletions(environments, cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveKeepOrder))
	register(c, "profile", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return profileNames(r.completionFile(), d.Name), cobra.ShellCompDirectiveNoFileComp
	})
}

// completeValues registers completions for all other flags: the values of a list, file
// names, or nothing. Commands without arguments complete to nothing.
func completeValues(c *cobra.Command) {
	complete := func(f *pflag.Flag) {
		if _, registered := c.GetFlagCompletionFunc(f.Name); !registered && f.NoOptDefVal == "" {
			register(c, f.Name, valueCompletion(f))
		}
		_, f.Usage = pflag.UnquoteUsage(f) // the shells show it
	}
	if c.Use == c.Name() && c.ValidArgsFunction == nil {
		c.ValidArgsFunction = cobra.NoFileCompletions
	}
	c.Flags().VisitAll(complete)
	c.PersistentFlags().VisitAll(complete)
	for _, below := range c.Commands() {
		completeValues(below)
	}
}

// valueCompletion returns the completion for a flag by the type or name of its value.
func valueCompletion(f *pflag.Flag) cobra.CompletionFunc {
	if list, ok := f.Value.(*choice); ok {
		return cobra.FixedCompletions(list.from, cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveKeepOrder)
	}
	if word, _ := pflag.UnquoteUsage(f); word == "FILE" || word == "PATH" {
		return cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault)
	}
	return cobra.NoFileCompletions
}

// completeFields completes a field of the providers on the command line.
func (r *run) completeFields(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var fields []string
	for _, arg := range args {
		_, name, _ := cutVariable(arg)
		name, _, _ = strings.Cut(name, "/")
		d, err := r.catalog.Definition(name)
		if err != nil {
			continue
		}
		for _, f := range d.Fields {
			fields = append(fields, f.Name)
		}
	}
	return fields, cobra.ShellCompDirectiveNoFileComp
}

// completeFaults completes [PROVIDER:]FAULT.
func completeFaults(_ *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	faults := emulator.FaultNames()
	if name, _, found := strings.Cut(word, ":"); found {
		for i := range faults {
			faults[i] = name + ":" + faults[i]
		}
	}
	return faults, cobra.ShellCompDirectiveNoFileComp
}

func register(c *cobra.Command, name string, complete cobra.CompletionFunc) {
	if err := c.RegisterFlagCompletionFunc(name, complete); err != nil {
		panic("cmd: completion of the flag --" + name) // a fault of ours
	}
}
