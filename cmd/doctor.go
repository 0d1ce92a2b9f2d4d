package cmd

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tokenfetch/tokenfetch/pkg/await"
	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/output"
)

// newDoctor is "tokenfetch doctor".
func (r *run) newDoctor() *cobra.Command {
	var format string
	var network bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "check the set-up, and say what to do about what is wrong",
		Long: `Check everything that commonly goes wrong: the profiles file and each profile,
the keychain, the directories for cached tokens and holds, variables, the proxy,
certificates, and the system around. Each finding is "ok", a "warning" (something
is missing, or may not be meant) or an "error" (a run would fail); behind a hint
stands the next thing to do.

Nothing is sent, no helper is run, no dialog opens, no daemon is started, no
value is shown, and nothing is left behind. With --network the host of each
profile is looked up and called: one HEAD request without any credentials, and
no token is fetched.

The exit code is 0 if there is no error, 3 if there is one in the set-up, and 6
if there are only errors of the network.

-o json prints one line of JSON: a list of findings with check, level, message
and hint, which is null where there is none.`,
		Example: `  tokenfetch doctor
  tokenfetch doctor --network --timeout 10s
  tokenfetch doctor -o json | jq -r '.findings[] | select(.level != "ok") | .message'`,
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(*cobra.Command, []string) error { return r.doctor(r.context(), network, format) },
	}
	c.Flags().BoolVar(&network, "network", false, "also call the host of each profile, without credentials")
	addReportFlag(c, &format)
	return c
}

// finding is what one check found.
type finding struct {
	check   string
	level   level
	message string
	hint    string
	code    failure.Code // of an error
}

// level is how bad a finding is.
type level string

const (
	levelOK      level = "ok"
	levelWarning level = "warning"
	levelError   level = "error"
)

func (l level) word() word {
	switch l {
	case levelOK:
		return good(string(l))
	case levelWarning:
		return doubtful(string(l))
	}
	return bad(string(l))
}

// doctor makes all checks and reports on them.
func (r *run) doctor(ctx context.Context, network bool, format string) error {
	findings := r.checkAll(ctx, network)
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
	return verdict(findings)
}

// verdict is the failure of a run with these findings, nil if none is an error.
// What is wrong with the set-up comes before what is wrong with the network.
func verdict(findings []finding) error {
	var worst *finding
	errors := 0
	for i := range findings {
		f := &findings[i]
		if f.level != levelError {
			continue
		}
		errors++
		if worst == nil || worst.code.Class() == failure.Net && f.code.Class() != failure.Net {
			worst = f
		}
	}
	if worst == nil {
		return nil
	}
	more := ""
	if errors > 1 {
		more = fmt.Sprintf(" (and %d more)", errors-1)
	}
	hint := worst.hint
	if hint == "" {
		hint = "mend that, then run tokenfetch doctor again"
	}
	return failure.New(worst.code, "%s%s", worst.message, more).WithHint("%s", hint)
}

func (r *run) findingsText(findings []finding) string {
	p := r.newReport()
	count := map[level]int{}
	for _, f := range findings {
		count[f.level]++
		p.line(strings.ReplaceAll(f.check, "_", " "), f.level.word(), f.message)
		if f.hint != "" {
			p.line("", word{}, "hint: "+f.hint)
		}
	}
	p.text("")
	p.text(fmt.Sprintf("%d ok, %s, %s", count[levelOK], number(count[levelWarning], "warning"), number(count[levelError], "error")))
	return p.String()
}

// number is a number of things, such as "2 errors".
func number(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func (r *run) findingsJSON(findings []finding) []byte {
	type jsonFinding struct {
		Check   string  `json:"check"`
		Level   level   `json:"level"`
		Message string  `json:"message"`
		Hint    *string `json:"hint"`
	}
	line := struct {
		Schema   string        `json:"schema"`
		Findings []jsonFinding `json:"findings"`
	}{Schema: "tokenfetch.doctor/1", Findings: []jsonFinding{}}
	for _, f := range findings {
		line.Findings = append(line.Findings, jsonFinding{f.check, f.level, r.console.safe(f.message, maxLine), r.lineOrNull(f.hint)})
	}
	return output.JSONLine(line)
}

func ok(check, format string, args ...any) finding {
	return finding{check: check, level: levelOK, message: fmt.Sprintf(format, args...)}
}

func warning(check, hint, format string, args ...any) finding {
	return finding{check: check, level: levelWarning, message: fmt.Sprintf(format, args...), hint: hint}
}

// failed is a finding made of a failure.
func (r *run) failed(check string, level level, err error) finding {
	e := r.explain(err)
	return finding{check: check, level: level, message: e.Message, hint: e.Hint, code: e.Code}
}

// The time that one check may take, and then to say that it took too long.
const (
	checkLimit = 5 * time.Second
	grace      = 200 * time.Millisecond
)

// inTime runs a check and returns what it found, and what later checks want to
// know. One that does not end, or meets a fault, is a finding like any other, and
// stops no other; then known is not set.
func inTime[T any](ctx context.Context, check string, limit time.Duration, run func(context.Context) ([]finding, T)) (findings []finding, value T, known bool) {
	type result struct {
		findings []finding
		value    T
		known    bool
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	late, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(min(grace, max(limit, grace/10)), giveUp) })() // it may notice the end itself
	r, err := await.Do(late, func() (r result, err error) {
		defer func() {
			if recover() != nil { // its text may be anything
				r.findings = []finding{warning(check, "please report this, with the output of tokenfetch version", "this check met a fault of its own")}
			}
		}()
		findings, value := run(ctx)
		return result{findings, value, true}, nil
	})
	if err != nil {
		r.findings = []finding{warning(check, "see what this computer waits for, or allow more time with --timeout 60s", "this check did not end in time")}
	}
	return r.findings, r.value, r.known
}
