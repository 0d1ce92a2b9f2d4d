package cmd

import (
	"bytes"
	_ "embed" // the completion scripts
	"strings"

	"github.com/spf13/cobra"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
)

// Cobra's scripts evaluate the typed line, so that the Tab key runs the helper in
// --password-file <(helper), and its bash script needs the package bash-completion.
// These scripts do neither. PowerShell uses cobra's.
var (
	//go:embed completion.bash
	bashCompletion string
	//go:embed completion.zsh
	zshCompletion string
	//go:embed completion.fish
	fishCompletion string
)

// newCompletion returns the command "tokenfetch completion", which prints a shell's
// completion script.
func (r *run) newCompletion(root *cobra.Command) *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "print the completion script for bash, zsh, fish or powershell",
		Long: `Print the script that completes commands, providers, profiles and flags.

  bash        eval "$(tokenfetch completion bash)"
  zsh         eval "$(tokenfetch completion zsh)"
  fish        tokenfetch completion fish | source
  powershell  tokenfetch completion powershell | Out-String | iex

Put the line into your shell's start-up file to have it in every session, for
zsh behind compinit. The packages of tokenfetch bring the scripts along.`,
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return shells, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return r.needVerb(cmd, "name a shell: "+strings.Join(shells, ", "))
			}
			if len(args) > 1 {
				return noArguments(cmd, args)
			}
			switch args[0] {
			case "bash":
				return r.print(bashCompletion)
			case "zsh":
				return r.print(zshCompletion)
			case "fish":
				return r.print(fishCompletion)
			case "powershell":
				var script bytes.Buffer
				if err := root.GenPowerShellCompletionWithDesc(&script); err != nil {
					return err
				}
				return r.print(script.String())
			}
			return failure.New(failure.UnexpectedArgument, "there is no completion for that shell").
				WithHint("name one of %s", strings.Join(shells, ", ")).Suggest(failure.Nearest(args[0], shells))
		},
	}
}
