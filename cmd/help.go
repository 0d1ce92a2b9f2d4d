package cmd

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
)

// newHelp returns the command "tokenfetch help [COMMAND|TOPIC]".
func (r *run) newHelp(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND|TOPIC]",
		Short: "print help about a command or topic",
		RunE: func(_ *cobra.Command, args []string) error {
			if c, rest, err := root.Find(args); len(args) > 1 && (err != nil || len(rest) > 0 || c == root) {
				return failure.New(failure.UnexpectedArgument, "help takes one command or topic").WithHint("run tokenfetch --help")
			}
			if len(args) == 0 {
				return r.print(r.helpOf(root))
			}
			if len(args) == 1 && slices.ContainsFunc(topics(), func(t topic) bool { return t.name == args[0] }) {
				return r.print(r.guideForTerminal(args[0]))
			}
			if d, err := r.catalog.Definition(args[0]); err == nil {
				root.AddCommand(r.newProvider(d))
			}
			c, _, err := root.Find(args)
			if err != nil || c == root {
				known := slices.Concat(r.catalog.Names(), commandNames(root))
				for _, t := range topics() {
					known = append(known, t.name)
				}
				e := failure.New(failure.UnknownCommand, "unknown command, provider or topic")
				if near := failure.Nearest(args[0], known); near != "" {
					return e.WithHint("run: tokenfetch help %s", near).Suggest(near)
				}
				return e.WithHint("run: tokenfetch --help")
			}
			text := r.helpOf(c)
			if guide := r.guideForTerminal(c.Name()); guide != "" && c.Parent() == root {
				text += "\n" + guide
			}
			return r.print(text)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var names []string
			for _, t := range topics() {
				names = append(names, cobra.CompletionWithDesc(t.name, t.short))
			}
			for _, name := range r.catalog.Names() {
				names = append(names, cobra.CompletionWithDesc(name, fetchFrom+r.catalog.Title(name)))
			}
			for _, c := range root.Commands() {
				if !c.Hidden {
					names = append(names, cobra.CompletionWithDesc(c.Name(), c.Short))
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// printHelp writes a command's help to the command's output. It has no error result,
// because cobra accepts none.
func (r *run) printHelp(cmd *cobra.Command, _ []string) {
	if _, err := io.WriteString(cmd.OutOrStdout(), r.helpOf(cmd)); err != nil {
		r.unprinted = unprinted(err)
	}
}

// helpOf returns the help of a command.
func (r *run) helpOf(cmd *cobra.Command) string {
	if !cmd.HasParent() {
		return r.rootHelp(cmd)
	}
	var b strings.Builder
	text, use := cmd.Long, cmd.Use
	if d, err := r.catalog.Definition(cmd.Name()); err == nil && cmd.Parent() == cmd.Root() {
		text, use = providerText(d), cmd.Use+"[/PROFILE]"
	}
	if text == "" {
		text = strings.ToUpper(cmd.Short[:1]) + cmd.Short[1:] + "."
	}
	commands := available(cmd)
	if len(commands) > 0 {
		use += " COMMAND"
	}
	if !strings.Contains(use, "[flags]") {
		use += " [flags]"
	}
	fmt.Fprintf(&b, "%s\n\nUsage:\n  %s %s\n", text, cmd.Parent().CommandPath(), use)
	if len(commands) > 0 {
		b.WriteString("\nCommands:\n" + list(commands))
	}
	if cmd.Example != "" {
		fmt.Fprintf(&b, "\nExamples:\n%s\n", cmd.Example)
	}
	width := r.helpColumns(cmd)
	if cmd.HasAvailableLocalFlags() {
		fmt.Fprintf(&b, "\nFlags:\n%s", cmd.LocalFlags().FlagUsagesWrapped(width))
	}
	fmt.Fprintf(&b, "\nFlags of every command:\n%s", cmd.InheritedFlags().FlagUsagesWrapped(width))
	return b.String()
}

// helpColumns returns the width for a command's help.
func (r *run) helpColumns(cmd *cobra.Command) int {
	f := r.env.Stdout
	if cmd.OutOrStdout() == io.Writer(r.console) {
		f = r.env.Stderr
	}
	return cmp.Or(columns(f), maxColumns)
}

func (r *run) rootHelp(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString(`tokenfetch fetches a bearer token from a payment provider and prints it.

Try it with nothing set up:
  tokenfetch zeepay --emulator

Set it up:
  tokenfetch login zeepay

Use it in a script:
  TOKEN=$(tokenfetch zeepay)
  tokenfetch exec zeepay -- ./reconcile.sh

Usage:
  tokenfetch PROVIDER[/PROFILE] [flags]
  tokenfetch COMMAND [flags]

Providers:
`)
	for _, name := range r.catalog.Names() {
		fmt.Fprintf(&b, "  %-12s %s\n", name, fetchFrom+r.catalog.Title(name))
	}
	b.WriteString("\nYours is not in the list? tokenfetch provider add --help, and help providers.\n")
	b.WriteString("\nCommands:\n" + list(available(root)))
	b.WriteString("\nTopics (tokenfetch help TOPIC):\n")
	for _, t := range topics() {
		fmt.Fprintf(&b, "  %-12s %s\n", t.name, t.short)
	}
	fmt.Fprintf(&b, "\nFlags:\n%s", root.LocalFlags().FlagUsagesWrapped(r.helpColumns(root)))
	return b.String()
}

// available returns the subcommands that help lists, sorted by name.
func available(parent *cobra.Command) []*cobra.Command {
	commands := slices.DeleteFunc(slices.Clone(parent.Commands()), func(c *cobra.Command) bool { return c.Hidden })
	slices.SortFunc(commands, func(a, b *cobra.Command) int { return cmp.Compare(a.Name(), b.Name()) })
	return commands
}

// list returns a line for each command.
func list(commands []*cobra.Command) string {
	var b strings.Builder
	for _, c := range commands {
		fmt.Fprintf(&b, "  %-12s %s\n", c.Name(), c.Short)
	}
	return b.String()
}

// providerText returns the first part of the help of a provider's command.
func providerText(d *provider.Definition) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Fetch a token from %s and print it.\n", d.Title)
	for _, note := range d.Notes {
		fmt.Fprintf(&b, "\n%s\n", fold(note, 0, 0, 78))
	}
	b.WriteString("\nEnvironments (-e NAME):\n")
	for _, e := range d.Environments {
		fmt.Fprintf(&b, "  %-12s %s\n", e.Name, e.BaseURL)
		if e.AllowListed {
			fmt.Fprintf(&b, "  %-12s (only from listed source addresses)\n", "")
		}
	}
	if len(d.Environments) == 0 {
		b.WriteString("  none is public: use --base-url https://HOST\n")
	}
	b.WriteString("\nFields, their variables, and keys of a profile:\n")
	for _, f := range d.Fields {
		note := inParentheses(ifMissing(f))
		if f.Secret {
			note = " (secret)" + note
		}
		const begin = 2 + 14 + 1
		fmt.Fprintf(&b, "  %-14s %s\n  %-14s %s\n", f.Name, d.Variable(f.Name), "", fold(f.Help+note, begin, begin, codeColumns+2))
	}
	fmt.Fprintf(&b, `
%s

Each field comes from the first of: its flag, its variable (or the file that
%s names), the profile, for a secret the keychain.
A named profile is read alone, without the variables. A profile looks like:

%s
For a host that asks for a client certificate (mutual TLS) it also has
client_cert and client_key, the paths of PEM files, or
%s and
%s name them.

Documentation:
  %s`, fold("tokenfetch login "+d.Name+" asks for them, and stores the secrets in the keychain.", 0, 0, maxColumns), d.Variable("FIELD_FILE"), indent(ExampleProfile(d, "default")), d.Variable("client_cert"), d.Variable("client_key"), d.Docs)
	return b.String()
}

// ExampleProfile returns a profile of the provider with example values. It leaves
// secrets to the keychain.
func ExampleProfile(d *provider.Definition, name string) string {
	lines := [][2]string{{"base_url", "https://HOST"}}
	var environment *provider.Environment
	if len(d.Environments) > 0 {
		environment = &d.Environments[0]
		lines = [][2]string{{"environment", environment.Name}}
	}
	var fromKeychain, comments []string
	for _, f := range d.Fields {
		switch {
		case !d.Needs(f.Name, environment) || f.Secret && f.Optional:
		case ifMissing(f) != "":
			comments = append(comments, fmt.Sprintf("# %s = %q  # %s\n", f.Name, f.Example, ifMissing(f)))
		case f.Secret:
			fromKeychain = append(fromKeychain, f.Name)
		default:
			lines = append(lines, [2]string{f.Name, f.Example})
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "[%s.%s]\n", d.Name, name)
	for _, line := range lines {
		fmt.Fprintf(&b, "%-11s = %q\n", line[0], line[1])
	}
	b.WriteString(strings.Join(comments, ""))
	fmt.Fprintf(&b, "# %s: read from the keychain by default\n", strings.Join(fromKeychain, " and "))
	return b.String()
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n  ") + "\n"
}
