package cmd

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/inspect"
	"github.com/tokenfetch/tokenfetch/pkg/output"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/source"
)

// newDoctor returns the command "tokenfetch doctor".
func (r *run) newDoctor() *cobra.Command {
	var format string
	var network bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "check the set-up, and say what to do about what is wrong",
		Long: `Check everything that commonly goes wrong: the profiles file and each profile,
the keychain, the directories for cached tokens and holds, variables, the proxy,
certificates, and the system around. A "warning" is something that is missing or
may not be meant, an "error" something a run would fail with; the hint below it
is the next step. What is fine is listed on one line; -v shows each finding.

Nothing is sent, no helper is run, no dialog opens, no daemon is started, no
value is shown, and nothing is left behind. With --network the host of each
profile is looked up and called: one HEAD request without any credentials but
the client certificate of the profile, if the host asks for one, and no token is
fetched.

The exit code is 0 if there is no error, 3 if there is one in the set-up, and 6
if there are only errors of the network.

-o json prints one line of JSON: a list of findings with check, level, message
and hint, which is null where there is none.`,
		Example: `  tokenfetch doctor
  tokenfetch doctor --network --timeout 10s
  tokenfetch doctor -o json | jq '.findings[] | select(.level != "ok")'`,
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(*cobra.Command, []string) error { return r.doctor(r.context(), network, format) },
	}
	c.Flags().BoolVar(&network, "network", false, "also call the host of each profile, without credentials (but a client certificate, if it asks for one)")
	addReportFlag(c, &format)
	return c
}

// levelWord returns the coloured word for a level.
func levelWord(l inspect.Level) word {
	switch l {
	case inspect.LevelOK:
		return good(string(l))
	case inspect.LevelWarning:
		return doubtful(string(l))
	}
	return bad(string(l))
}

// doctor runs all checks and reports on them.
func (r *run) doctor(ctx context.Context, network bool, format string) error {
	process := inspect.Process{Version: r.env.Version, Completion: r.completionInstalled}
	if n, known := openFiles(); known {
		process.OpenFiles = n
	}
	findings := r.newInspector().Findings(ctx, process, network)
	if err := context.Cause(ctx); err != nil {
		return err
	}
	text := r.findingsText(findings)
	if format == "json" {
		text = string(r.findingsJSON(findings))
	}
	if err := r.print(text); err != nil {
		return err
	}
	return verdict(findings, r.seen(format))
}

// verdict returns the error of a run with these findings, nil if none is an error.
// Problems of the setup take precedence over problems of the network. The error does
// not repeat findings that the reader has seen.
func verdict(findings []inspect.Finding, seen bool) error {
	var worst *inspect.Finding
	errors := 0
	for i := range findings {
		f := &findings[i]
		if f.Level != inspect.LevelError {
			continue
		}
		errors++
		if worst == nil || worst.Code.Class() == failure.Net && f.Code.Class() != failure.Net {
			worst = f
		}
	}
	if worst == nil {
		return nil
	}
	if seen {
		return failure.New(worst.Code, "%s found", failure.Amount(errors, "error"))
	}
	more := ""
	if errors > 1 {
		more = fmt.Sprintf(" (and %d more)", errors-1)
	}
	hint := cmp.Or(worst.Hint, "correct that, then run: tokenfetch doctor")
	return failure.New(worst.Code, "%s%s", worst.Message, more).WithHint("%s", hint)
}

// findingsText returns the report as text. Without --verbose it lists the passed checks
// in one line.
func (r *run) findingsText(findings []inspect.Finding) string {
	p := r.newReport()
	count := map[inspect.Level]int{}
	for _, f := range findings {
		count[f.Level]++
	}
	if fine := fineChecks(findings); len(fine) > 0 && !r.console.verbose {
		p.lead(levelWord(inspect.LevelOK), strings.ReplaceAll(strings.Join(fine, ", "), "_", " "))
	}
	for _, f := range findings {
		if f.Level == inspect.LevelOK && !r.console.verbose {
			continue
		}
		p.line(strings.ReplaceAll(f.Check, "_", " "), levelWord(f.Level), f.Message)
		if f.Hint != "" {
			p.line("", word{}, "hint: "+r.inThisFile(f.Hint))
		}
	}
	p.text("")
	p.text(fmt.Sprintf("%d ok, %s, %s", count[inspect.LevelOK], failure.Amount(count[inspect.LevelWarning], "warning"), failure.Amount(count[inspect.LevelError], "error")))
	return p.String()
}

// fineChecks returns the names of the passed checks.
func fineChecks(findings []inspect.Finding) []string {
	var fine []string
	for _, f := range findings {
		wrong := slices.ContainsFunc(findings, func(other inspect.Finding) bool { return other.Check == f.Check && other.Level != inspect.LevelOK })
		if !wrong && !slices.Contains(fine, f.Check) {
			fine = append(fine, f.Check)
		}
	}
	return fine
}

func (r *run) findingsJSON(findings []inspect.Finding) []byte {
	type jsonFinding struct {
		Check   string        `json:"check"`
		Level   inspect.Level `json:"level"`
		Message string        `json:"message"`
		Hint    *string       `json:"hint"`
	}
	line := struct {
		Schema   string        `json:"schema"`
		Findings []jsonFinding `json:"findings"`
	}{Schema: "tokenfetch.doctor/1", Findings: []jsonFinding{}}
	for _, f := range findings {
		line.Findings = append(line.Findings, jsonFinding{f.Check, f.Level, r.console.safe(f.Message, maxLine), r.lineOrNull(r.inThisFile(f.Hint))})
	}
	return output.JSONLine(line)
}

// completionInstalled looks for completion scripts, and lines that load them, in the
// usual places. shell is empty if it is unknown, and in CI.
func (r *run) completionInstalled(ctx context.Context) (shell string, installed bool) {
	shell = filepath.Base(r.env.getenv("SHELL"))
	scripts := map[string][]string{
		"bash": {"/usr/share/bash-completion/completions/tokenfetch", "/usr/local/share/bash-completion/completions/tokenfetch", "/opt/homebrew/etc/bash_completion.d/tokenfetch", "~/.local/share/bash-completion/completions/tokenfetch"},
		"zsh":  {"/usr/share/zsh/vendor-completions/_tokenfetch", "/usr/share/zsh/site-functions/_tokenfetch", "/usr/local/share/zsh/site-functions/_tokenfetch", "/opt/homebrew/share/zsh/site-functions/_tokenfetch"},
		"fish": {"/usr/share/fish/vendor_completions.d/tokenfetch.fish", "/usr/local/share/fish/vendor_completions.d/tokenfetch.fish", "/opt/homebrew/share/fish/vendor_completions.d/tokenfetch.fish", "~/.config/fish/completions/tokenfetch.fish"},
	}
	startup := map[string][]string{"bash": {"~/.bashrc", "~/.bash_profile"}, "zsh": {"~/.zshrc"}, "fish": {"~/.config/fish/config.fish"}}
	if scripts[shell] == nil || r.env.ci() {
		return "", false
	}
	home := profile.Home(r.env.lookup)
	read := func(path string) string {
		rest, below := strings.CutPrefix(path, "~/")
		if below {
			path = filepath.Join(home, rest)
		}
		if below && home == "" {
			return ""
		}
		file, err := source.ReadRegular(ctx, path, 1<<20)
		if err != nil {
			return ""
		}
		return string(file.Data)
	}
	installed = slices.ContainsFunc(scripts[shell], func(path string) bool { return read(path) != "" }) ||
		slices.ContainsFunc(startup[shell], func(path string) bool { return strings.Contains(read(path), "tokenfetch completion") })
	return shell, installed
}
