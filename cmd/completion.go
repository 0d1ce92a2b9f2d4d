package cmd

import (
	"bytes"
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/output"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
)

// newCompletion prints the completion script of a shell.
func (r *run) newCompletion(root *cobra.Command) *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "print the completion script for bash, zsh, fish or powershell",
		Long: `Print the script that completes commands, providers, profiles and flags.

  bash        source <(tokenfetch completion bash)
  zsh         source <(tokenfetch completion zsh)
  fish        tokenfetch completion fish | source
  powershell  tokenfetch completion powershell | Out-String | Invoke-Expression

Put the line into your shell's start-up file to have it in every session.`,
		ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return r.needVerb(cmd, "name a shell: "+strings.Join(shells, ", "))
			}
			if len(args) > 1 {
				return noArguments(cmd, args)
			}
			var script bytes.Buffer
			generate := map[string]func() error{
				"bash":       func() error { return root.GenBashCompletionV2(&script, true) },
				"zsh":        func() error { return root.GenZshCompletion(&script) },
				"fish":       func() error { return root.GenFishCompletion(&script, true) },
				"powershell": func() error { return root.GenPowerShellCompletionWithDesc(&script) },
			}[args[0]]
			if generate == nil {
				return failure.New(failure.UnexpectedArgument, "there is no completion for that shell").
					WithHint("name one of %s", strings.Join(shells, ", "))
			}
			if err := generate(); err != nil {
				return err
			}
			return r.print(script.String())
		},
	}
}

// needVerb ends a command that lacks an argument: its help goes to standard
// error.
func (r *run) needVerb(cmd *cobra.Command, hint string) error {
	cmd.SetOut(r.env.Stderr)
	r.printHelp(cmd, nil)
	return failure.New(failure.MissingArgument, "%s needs an argument", cmd.CommandPath()).WithHint("%s", hint)
}

// Completion reads definitions and the names in the profiles file, and nothing
// else: no keychain, no helper, no value.

// profileNames returns the names of a provider's profiles. A file that cannot
// be read completes to nothing.
func (r *run) profileNames(providerName string) []string {
	file, err := r.loadProfiles(context.Background(), newLimit(time.Now(), time.Second))
	if err != nil {
		return nil
	}
	return file.Names(providerName)
}

// completeRefs completes the first word: PROVIDER/PROFILE. The providers
// themselves are commands, which cobra completes.
func (r *run) completeRefs(_ *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	name, _, slash := strings.Cut(word, "/")
	if len(args) > 0 || !slash {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var refs []string
	for _, profileName := range r.profileNames(name) {
		refs = append(refs, name+"/"+profileName)
	}
	return refs, cobra.ShellCompDirectiveNoFileComp
}

// completeProfiles completes an argument that is PROVIDER[/PROFILE], with the
// profiles of the file.
func (r *run) completeProfiles(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var refs []string
	for _, name := range provider.Names() {
		refs = append(refs, cobra.CompletionWithDesc(name, provider.Title(name)))
		for _, profileName := range r.profileNames(name) {
			refs = append(refs, name+"/"+profileName)
		}
	}
	return refs, cobra.ShellCompDirectiveNoFileComp
}

// completeOneProfile is completeProfiles for a command that takes one.
func (r *run) completeOneProfile(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return r.completeProfiles(cmd, args, word)
}

// completeFlags registers what the values of a provider's flags complete to.
func (r *run) completeFlags(c *cobra.Command, d *provider.Definition) {
	fixed := func(values []string) cobra.CompletionFunc {
		return cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
	}
	completions := map[string]cobra.CompletionFunc{
		"environment": fixed(d.EnvironmentNames()),
		"output":      fixed(output.Formats()),
		"base-url":    cobra.NoFileCompletions,
		"var":         cobra.NoFileCompletions,
		"profile": func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return r.profileNames(d.Name), cobra.ShellCompDirectiveNoFileComp
		},
	}
	for _, f := range d.Fields {
		if !f.Secret {
			completions[f.Flag()] = cobra.NoFileCompletions
		}
	}
	for name, complete := range completions {
		if err := c.RegisterFlagCompletionFunc(name, complete); err != nil {
			panic("cmd: completion of an unknown flag --" + name) // a fault of ours
		}
	}
}
