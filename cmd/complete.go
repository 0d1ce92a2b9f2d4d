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

// What the words of a command line complete to comes from definitions and the names
// in the profiles file, and from nothing else: no keychain, no helper, no value.

// completionFile returns the profiles file. One that cannot be read completes to
// nothing.
func (r *run) completionFile() *profile.File {
	file, err := r.newEngine(tokenfetch.NewLimit(time.Now(), time.Second)).Profiles(context.Background(), nil)
	if err != nil {
		return &profile.File{}
	}
	return file
}

// profileNames returns the names of a provider's profiles. A name that no profile
// can have completes to nothing: some shells insert what they get as it is, and
// would run a $(command) in it.
func profileNames(file *profile.File, providerName string) []string {
	return slices.DeleteFunc(file.Names(providerName), func(name string) bool { return !profile.ValidName(name) })
}

// completeRefs completes the first word where it is PROVIDER[/PROFILE]. A profile
// that is used without its name is shown only behind a slash.
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

// afterRef is what comes behind a completed PROVIDER[/PROFILE]: no blank behind a
// bare provider, so that /PROFILE can follow.
func afterRef(word string) cobra.ShellCompDirective {
	if strings.Contains(word, "/") {
		return cobra.ShellCompDirectiveNoFileComp
	}
	return cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// completeProfiles completes an argument that is PROVIDER[/PROFILE], with the
// profiles of the file.
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

// completeOneProfile is completeProfiles for a command that takes one.
func (r *run) completeOneProfile(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return r.completeProfiles(cmd, args, word)
}

// completeFlags registers what the values of a provider's flags complete to,
// where completeValues does not know it.
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

// completeValues registers what the values of all flags complete to that have
// nothing of their own: one of a list to the list, files to files, and the rest
// to nothing. Nor do the arguments of a command that takes none.
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

// valueCompletion tells what to complete by the type of a flag's value, or by
// the word for it.
func valueCompletion(f *pflag.Flag) cobra.CompletionFunc {
	if list, ok := f.Value.(*choice); ok {
		return cobra.FixedCompletions(list.from, cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveKeepOrder)
	}
	if word, _ := pflag.UnquoteUsage(f); word == "FILE" || word == "PATH" {
		return cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault)
	}
	return cobra.NoFileCompletions
}

// completeFields completes a field of the providers that are named.
func (r *run) completeFields(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var fields []string
	for _, arg := range args {
		_, name, named := strings.Cut(arg, "=")
		if !named {
			name = arg
		}
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
