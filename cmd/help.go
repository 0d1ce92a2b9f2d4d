package cmd

import (
	"cmp"
	_ "embed" // for guides
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
)

// topic is a page of help that belongs to no command.
type topic struct {
	name, short string
	text        func() (string, error)
}

func (r *run) topics() []topic {
	return []topic{
		{"environment", "the environment variables that are read", r.environmentTopic},
		{"exit-codes", "the exit codes and what a script should do", exitCodesTopic},
		{"errors", "every error code and what it means", errorsTopic},
		{"providers", "how to define a provider of your own", providersTopic},
	}
}

// newHelp is "tokenfetch help [COMMAND|TOPIC]".
func (r *run) newHelp(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND|TOPIC]",
		Short: "print help about a command or topic",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return failure.New(failure.UnexpectedArgument, "help takes one command or topic").WithHint("run tokenfetch --help")
			}
			if len(args) == 0 {
				return r.print(r.helpOf(root))
			}
			for _, t := range r.topics() {
				if t.name == args[0] {
					text, err := t.text()
					if err != nil {
						return err
					}
					return r.print(text)
				}
			}
			if d, err := r.catalog.Definition(args[0]); err == nil {
				root.AddCommand(r.newProvider(d))
			}
			c, _, err := root.Find(args)
			if err != nil || c == root {
				return failure.New(failure.UnknownCommand, "there is no command or topic of that name").WithHint("run tokenfetch --help")
			}
			return r.print(r.helpOf(c))
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var names []string
			for _, t := range r.topics() {
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

// printHelp writes a command's help to the command's output. Cobra takes no
// error of it.
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
	if cmd.HasAvailableLocalFlags() {
		fmt.Fprintf(&b, "\nFlags:\n%s", cmd.LocalFlags().FlagUsages())
	}
	fmt.Fprintf(&b, "\nFlags of every command:\n%s", cmd.InheritedFlags().FlagUsages())
	return b.String()
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
	for _, t := range r.topics() {
		fmt.Fprintf(&b, "  %-12s %s\n", t.name, t.short)
	}
	fmt.Fprintf(&b, "\nFlags:\n%s", root.LocalFlags().FlagUsages())
	return b.String()
}

// available returns the commands below one that are there for people, by name.
func available(parent *cobra.Command) []*cobra.Command {
	commands := slices.DeleteFunc(slices.Clone(parent.Commands()), func(c *cobra.Command) bool { return c.Hidden })
	slices.SortFunc(commands, func(a, b *cobra.Command) int { return cmp.Compare(a.Name(), b.Name()) })
	return commands
}

// list has a line for each command.
func list(commands []*cobra.Command) string {
	var b strings.Builder
	for _, c := range commands {
		fmt.Fprintf(&b, "  %-12s %s\n", c.Name(), c.Short)
	}
	return b.String()
}

// providerText is what the help of a provider's command begins with.
func providerText(d *provider.Definition) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Fetch a token from %s and print it.\n", d.Title)
	for _, note := range d.Notes {
		fmt.Fprintf(&b, "\n%s\n", wrap(note, 78))
	}
	b.WriteString("\nEnvironments (-e NAME):\n")
	for _, e := range d.Environments {
		note := ""
		if e.AllowListed {
			note = "  (only from listed source addresses)"
		}
		fmt.Fprintf(&b, "  %-12s %s%s\n", e.Name, e.BaseURL, note)
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
		fmt.Fprintf(&b, "  %-14s %s\n  %-14s %s%s\n", f.Name, d.Variable(f.Name), "", f.Help, note)
	}
	fmt.Fprintf(&b, `
tokenfetch login %s asks for them, and stores the secrets in the keychain.

Each field comes from the first of: its flag, its variable (or the file that
%s names), the profile, for a secret the keychain.
A named profile is read alone, without the variables. A profile looks like:

%s
For a host that asks for a client certificate (mutual TLS) it also has client_cert
and client_key, the paths of PEM files, or %s
and %s name them.

Documentation: %s`, d.Name, d.Variable("FIELD_FILE"), indent(ExampleProfile(d, "default")), d.Variable("client_cert"), d.Variable("client_key"), d.Docs)
	return b.String()
}

// ExampleProfile is a profile of the provider with example values. Secrets are
// left to the keychain.
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
	fmt.Fprintf(&b, "# %s: from the keychain, as nothing else is said\n", strings.Join(fromKeychain, " and "))
	return b.String()
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n  ") + "\n"
}

// wrap breaks text into lines of at most width characters.
func wrap(text string, width int) string {
	var b strings.Builder
	column := 0
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case column+1+len(word) > width:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}

func (r *run) environmentTopic() (string, error) {
	var b strings.Builder
	b.WriteString(`Environment variables that tokenfetch reads.

  TOKENFETCH_PROFILE   profile to use where none is named
  TOKENFETCH_CONFIG    the profiles file
                       (default: tokenfetch/profiles.toml in XDG_CONFIG_HOME or ~/.config)
  TOKENFETCH_ERRORS    text or json: how errors are printed
  TOKENFETCH_EMULATOR_DIR
                       state and cache of a command that the emulator runs, which sets it
  NO_COLOR, TERM=dumb  no colour
  HTTPS_PROXY, NO_PROXY (or in lower case)
                       the proxy, and the hosts that are called without it
  SSL_CERT_FILE, SSL_CERT_DIR
                       the authorities that are trusted where nothing else is said (not on Windows or macOS)
  CI, TF_BUILD, JENKINS_URL, TEAMCITY_VERSION, CODEBUILD_BUILD_ID
                       there is nobody to answer, and files belong to the checkout
  GITHUB_ENV, GITHUB_OUTPUT
                       the files that -o github-env and github-output write to
  GITHUB_ACTIONS, TF_BUILD
                       the runner that --mask speaks to

Variables of a provider fill the profile that nobody named. A profile named by
-p, PROVIDER/NAME or TOKENFETCH_PROFILE is read alone. A variable that is set
but empty is an error. Instead of a field's variable, NAME_FILE may name a file
that holds the value. CA_FILE, CLIENT_CERT and CLIENT_KEY name files in PEM: the
authorities to trust, and the client certificate for a host that asks for one
with its private key.
`)
	all, _ := r.catalog.All()
	for _, d := range all {
		fmt.Fprintf(&b, "\n%s:\n", d.Title)
		for _, setting := range []string{"environment", "base_url", "ca_file", "client_cert", "client_key"} {
			fmt.Fprintf(&b, "  %s\n", d.Variable(setting))
		}
		for _, f := range d.Fields {
			fmt.Fprintf(&b, "  %s\n", d.Variable(f.Name))
		}
	}
	return b.String(), nil
}

//go:embed guides/providers.md
var providersGuide string

// providersTopic says how a provider is defined.
func providersTopic() (string, error) { return providersGuide, nil }

// exitCodesTopic prints the table that scripts depend on.
func exitCodesTopic() (string, error) {
	return `Exit codes.

     0  ok       the token was written out completely
     1  bug      a fault of tokenfetch: please report it
     2  usage    the command line is wrong; nothing was read or sent: fix the call
     3  config   a profile, field, source, the keychain or a permission is wrong;
                 nothing was sent: fix the set-up
     4  refused  the provider said no: stop, a person must act
     5  later    the provider is closed, busy or broken: try later
     6  net      DNS, connection, proxy, TLS, lost connection or time limit:
                 look at "sent" of --errors json before trying again
     7  reply    an answer that cannot be trusted: report it to the provider
     8  output   the token could not be delivered: fix the receiver
 128+n           ended by signal n

tokenfetch exec ends with the exit code of its command. Before that runs:

   125           tokenfetch failed; "class" of --errors json says why
   126           the command cannot be run
   127           the command was not found

With -o export, fish, powershell or curl every failure also prints one line on
standard output that makes the evaluating shell, or curl, fail too.
`, nil
}

func errorsTopic() (string, error) {
	var b strings.Builder
	b.WriteString("Error codes, by exit code. They stand in parentheses behind a message, and\nas \"code\" in --errors json.\n")
	class := failure.OK
	for _, m := range failure.Codes() {
		if m.Class != class {
			class = m.Class
			exit := fmt.Sprint(int(class))
			if class == failure.Signal {
				exit = "128+n"
			}
			fmt.Fprintf(&b, "\n%s %s\n", exit, class)
		}
		fmt.Fprintf(&b, "  %-24s %s\n", m.Code, m.Means)
	}
	return b.String(), nil
}
