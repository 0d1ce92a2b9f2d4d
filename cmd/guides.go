package cmd

import (
	"cmp"
	"embed"
	"fmt"
	"strings"

	"golang.org/x/term"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/output"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

// guides are the pages of help that belong to no command, in Markdown, and those
// that follow the help of the command of their name.
//
//go:embed guides/*.md
var guides embed.FS

// topic is a guide that is not about one command.
type topic struct{ name, short string }

// topics returns the topics in the order in which help lists them.
func topics() []topic {
	return []topic{
		{"ci", "recipes for CI services, Kubernetes and systemd"},
		{"scripts", "tokens in shell scripts, caching, and what to do about failures"},
		{"profiles", "logging in, profiles, and secrets from other places"},
		{"providers", "the built-in providers, and how to define your own"},
		{"output", "the output formats"},
		{"security", "what is protected from whom, and how to check a download"},
		{"environment", "the environment variables that are read"},
		{"exit-codes", "the exit codes and what a script should do"},
		{"errors", "every error code and what it means"},
	}
}

// guide returns the guide of that name in Markdown, with its generated parts filled in,
// or "" if there is none.
func (r *run) guide(name string) string {
	text, err := guides.ReadFile("guides/" + name + ".md")
	if err != nil {
		return ""
	}
	return fillIn(string(text), r.generated)
}

// guideForTerminal returns a guide formatted for a terminal.
func (r *run) guideForTerminal(name string) string {
	width := 80
	if isTerminal(r.env.Stdout) {
		if columns, _, err := term.GetSize(int(r.env.Stdout.Fd())); err == nil && columns > 0 {
			width = min(width, columns)
		}
	}
	return renderMarkdown(r.guide(name), width)
}

// generated returns a part of a guide that is generated from data.
func (r *run) generated(name string) string {
	switch name {
	case "built-in providers":
		return r.providerSections()
	case "provider variables":
		return r.variableTables()
	case "formats":
		return formatTable()
	case "error codes":
		return errorTables()
	}
	return ""
}

// providerSections describes the built-in providers.
func (r *run) providerSections() string {
	var b strings.Builder
	all, _ := r.catalog.All()
	for _, d := range all {
		if d.File != "" {
			continue
		}
		fmt.Fprintf(&b, "### %s\n\n`tokenfetch %s`: [documentation](%s)\n\n", d.Title, d.Name, d.Docs)
		for _, note := range d.Notes {
			b.WriteString("- " + note + "\n")
		}
		if len(d.Notes) > 0 {
			b.WriteString("\n")
		}
		var rows [][]string
		for _, e := range d.Environments {
			note := ""
			if e.AllowListed {
				note = "; only listed source addresses"
			}
			rows = append(rows, []string{code(e.Name), code(e.BaseURL) + note})
		}
		if len(rows) > 0 {
			b.WriteString(markdownTable([]string{"environment", "host"}, rows) + "\n")
		}
	}
	return b.String()
}

// neededFor names the environments that need a field, or returns "" if all do.
func neededFor(d *provider.Definition, f provider.Field) string {
	if d.Needs(f.Name, nil) {
		return ""
	}
	var some []string
	for _, e := range d.Environments {
		if d.Needs(f.Name, &e) {
			some = append(some, e.Name)
		}
	}
	return "for " + strings.Join(some, ", ")
}

// variableTables lists the variables of each provider, including the user's own.
func (r *run) variableTables() string {
	var b strings.Builder
	all, _ := r.catalog.All()
	for _, d := range all {
		names := []string{}
		for _, e := range d.Environments {
			names = append(names, e.Name)
		}
		var rows [][]string
		if len(names) > 0 {
			rows = append(rows, []string{code(d.Variable("environment")), strings.Join(names, ", ")})
		}
		for _, f := range d.Fields {
			note := ""
			if f.Secret {
				note = " (secret)"
			}
			rows = append(rows, []string{code(d.Variable(f.Name)), f.Help + note + inParentheses(ifMissing(f)) + inParentheses(neededFor(d, f))})
		}
		fmt.Fprintf(&b, "### %s\n\n%s\n", cmp.Or(d.Title, d.Name), markdownTable([]string{"variable", "what it is"}, rows))
	}
	return b.String()
}

// formatTable shows what each format prints for the token abc with --var TOKEN.
func formatTable() string {
	result := output.Result{
		Provider: "zeepay", Profile: profile.Default, AccessToken: secret.New("abc"),
		Use: tokenfetch.Use{Header: "Authorization", Scheme: "Bearer"},
	}
	const name = "TOKEN"
	var rows [][]string
	for _, format := range output.Formats() {
		text := "one line of JSON, see below"
		if data, err := output.Format(result, format, name); err == nil && format != "json" {
			text = code(strings.TrimSuffix(string(data), "\n"))
		}
		if variable := output.RunnerFile(format); variable != "" {
			text = "nothing: the variable goes to the file that " + code(variable) + " names, and the runner hides the token"
		}
		failing := "nothing"
		if line := output.FailingLine(format, name); line != "" {
			failing = code(strings.TrimSuffix(line, "\n"))
		}
		rows = append(rows, []string{code(format), text, failing})
	}
	return markdownTable([]string{"format", "on success", "on failure"}, rows)
}

// errorTables lists the error codes by exit code.
func errorTables() string {
	var b strings.Builder
	var rows [][]string
	class := failure.OK
	end := func() {
		if len(rows) > 0 {
			exit := fmt.Sprint(int(class))
			if class == failure.Signal {
				exit = "128+n"
			}
			fmt.Fprintf(&b, "### Exit code %s: %s\n\n%s\n", exit, class, markdownTable([]string{"code", "meaning"}, rows))
		}
		rows = nil
	}
	for _, m := range failure.Codes() {
		if m.Class != class {
			end()
			class = m.Class
		}
		rows = append(rows, []string{code(string(m.Code)), m.Means})
	}
	end()
	return b.String()
}
