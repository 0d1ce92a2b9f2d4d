package cmd

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fatih/color"
	"github.com/spf13/cobra"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/inspect"
	"github.com/tokenfetch/tokenfetch/pkg/output"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
)

// newStatus returns the command "tokenfetch status".
func (r *run) newStatus() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "status [PROVIDER[/PROFILE]...]",
		Short: "show each profile: ready or not, cached token, host",
		Long: `Show a line for each profile of the profiles file, and for the default profile
of each provider whose variables are set: whether it is ready, the cached token
and its time left, and the host; below that, what is wrong. "not tried yet" is
ready, but these credentials have neither given a token nor been refused so far.

With names, or with -v, also show where every field comes from and whether it is
there, and whether an earlier refusal holds the credentials back.

Nothing is sent, no helper is run, no dialog opens, nothing is written, and no
value is shown. Of a file that holds a secret only owner, mode and size are
looked at, except that the key of a client certificate is read to see whether
the two belong together. What cannot be known that way is "unknown", or "not
run" for a helper whose program is there.

With names, the exit code says whether each of them could fetch a token as
things stand: all fields are found ("not run" counts as found) and nothing holds
the credentials back, or there is a cached token. Otherwise the first that could
not decides: 3 if something is missing or wrong, 4 if its credentials are held
back. Without a name it is 0, unless the profiles file cannot be read.

-o json prints one line of JSON. Every key is always there, and null where
nothing is known.`,
		Example: `  tokenfetch status
  tokenfetch status zeepay zeepay/ci
  tokenfetch status zeepay/ci >/dev/null && tokenfetch zeepay/ci
  tokenfetch status -o json | jq -r '.profiles[] | select(.ready|not).ref'`,
		ValidArgsFunction: r.completeProfiles,
		RunE: func(_ *cobra.Command, names []string) error {
			var refs []ref
			for _, name := range names {
				f, err := r.ref(name)
				if err != nil {
					return err
				}
				refs = append(refs, f)
			}
			return r.status(r.context(), refs, format)
		},
	}
	addReportFlag(c, &format)
	return c
}

// status reports on the named profiles, or on all.
func (r *run) status(ctx context.Context, named []ref, format string) error {
	file, err := r.loadProfiles(ctx)
	if err != nil {
		return err
	}
	i := r.newInspector()
	profiles, err := i.Profiles(ctx, file, named)
	if err != nil {
		return err
	}
	for _, p := range profiles {
		if !p.Ready() && p.Problems[0].Code == failure.ProfileNotFound && p.Ref.Profile != profile.Default {
			r.about(p.Ref)
			return p.Problems[0] // a report would repeat the name
		}
	}
	s := statusReport{
		run: r, file: file, unknown: i.UnknownTables(file), profiles: profiles,
		details: len(named) > 0 || r.console.verbose,
	}
	text := s.text
	if format == "json" {
		text = s.json
	}
	if err := r.print(text()); err != nil {
		return err
	}
	if _, broken := r.catalog.All(); len(named) == 0 {
		for _, name := range slices.Sorted(maps.Keys(broken)) {
			r.console.warning("the definition of %s is broken, so its profiles are not shown: run tokenfetch doctor", name)
		}
	}
	for _, p := range profiles {
		if len(named) > 0 && !p.Ready() {
			return r.notReady(p, r.seen(format))
		}
	}
	return nil
}

// notReady returns the error for a named profile that is not ready. It does not repeat
// the reason if the reader has seen the report.
func (r *run) notReady(p *inspect.Profile, seen bool) error {
	r.about(p.Ref)
	r.origin = p.Origin
	problem := p.Problems[0]
	if r.knownProfile() == "" {
		return problem
	}
	if seen {
		return failure.New(problem.Code, "%s cannot fetch a token", p.Ref)
	}
	hint := cmp.Or(problem.Hint, "correct that, then run: tokenfetch status "+p.Ref.String())
	return failure.New(problem.Code, "%s cannot fetch a token: %s", p.Ref, problem.Message).WithHint("%s", hint)
}

// statusReport is the data that status prints.
type statusReport struct {
	run      *run
	file     *profile.File
	unknown  []inspect.Table
	profiles []*inspect.Profile
	details  bool
}

// text returns the report as text.
func (s *statusReport) text() string {
	r := s.run.newReport()
	if len(s.profiles) == 0 {
		s.nothing(r)
	}
	if s.details {
		s.describeAll(r)
	} else {
		s.list(r)
	}
	for n, t := range s.unknown {
		if n == 0 {
			r.text("")
		}
		r.text("warning: " + t.Message(s.file.Path))
	}
	return r.String()
}

// list adds a line for each profile, followed by the problems.
func (s *statusReport) list(r *report) {
	for _, p := range s.profiles {
		r.row(word{p.Ref.String(), color.Bold}, summary(p), word{text: tokenCell(p)}, word{text: cmp.Or(p.Host, "-")})
	}
	for n, problem := range inspect.DistinctProblems(s.profiles) {
		if n == 0 {
			r.text("")
		}
		var refs []string
		for _, f := range problem.Refs {
			refs = append(refs, f.String())
		}
		r.text(strings.Join(refs, ", ") + ": " + problem.Failure.Message)
		if problem.Failure.Hint != "" {
			r.text("  hint: " + problem.Failure.Hint)
		}
	}
}

// tokenCell describes a cached token in a table.
func tokenCell(p *inspect.Profile) string {
	switch c := p.Cached; {
	case c == nil:
		return "-"
	case c.Found:
		return "token " + rough(c.Left) + " left"
	case c.Doubt != "":
		return "token unknown"
	case p.Ref.Definition.Policy.SingleUse:
		return "single use"
	}
	return "no token"
}

// describeAll adds all details of each profile.
func (s *statusReport) describeAll(r *report) {
	for n, p := range s.profiles {
		if n > 0 {
			r.text("")
		}
		describe(r, p)
	}
}

// nothing explains how to begin.
func (s *statusReport) nothing(r *report) {
	where := "there is no home directory for a profiles file"
	switch {
	case s.file.Exists:
		where = "there is no profile in " + s.file.Path
	case s.file.Path != "":
		where = s.file.Path + " does not exist"
	}
	r.text("Nothing is set up: " + where + ", and no variable of a provider is set.")
	r.text("")
	r.line("try it", word{}, "tokenfetch zeepay --emulator")
	r.line("set it up", word{}, "tokenfetch login zeepay")
}

// describe adds the details of a profile.
func describe(r *report, p *inspect.Profile) {
	r.heading(p.Ref.String(), summary(p))
	if p.Environment != "" {
		r.line("environment", word{}, p.Environment)
	}
	if p.Origin != "" {
		r.line("origin", word{}, p.Origin)
	}
	for _, field := range p.Fields {
		r.line(field.Name, stateWord(field.State), field.Where)
	}
	if p.Cached != nil {
		r.line("cached token", word{}, describeCached(p.Cached))
	}
	if p.Hold != nil {
		r.line("hold", word{}, describeHold(p.Hold))
	}
	if p.RefusalsLeft != nil {
		r.line("refusals left", word{}, fmt.Sprintf("%d, then %s locks the account", *p.RefusalsLeft, p.Ref.Definition.Title))
	}
	for _, e := range p.DistinctProblems() {
		r.line("problem", word{}, e.Message)
		if e.Hint != "" {
			r.line("hint", word{}, r.run.inThisFile(e.Hint))
		}
	}
}

// summary returns the profile's state in a word.
func summary(p *inspect.Profile) word {
	switch {
	case len(p.Problems) == 0 && p.Tried != nil && !*p.Tried:
		return doubtful("not tried yet")
	case len(p.Problems) == 0:
		return good("ready")
	case p.Ready():
		return doubtful("ready for now") // while the cached token lasts
	case p.Hold != nil && p.Hold.Held && len(p.Problems) == 1:
		return bad("held back")
	}
	return bad("not ready")
}

func describeCached(c *inspect.Cached) string {
	switch {
	case c.Found:
		return "expires in " + brief(c.Left)
	case c.Doubt != "":
		return "unknown: " + c.Doubt
	case c.None != "":
		return "none: " + c.None
	}
	return "none"
}

func describeHold(h *inspect.Hold) string {
	switch {
	case h.Doubt != "":
		return "unknown: " + h.Doubt
	case !h.Held:
		return "none"
	case h.Account:
		return fmt.Sprintf("for another %s, whatever the password", failure.Span(h.Left))
	}
	return fmt.Sprintf("for another %s, after %s", failure.Span(h.Left), h.Code)
}

// stateWord returns the coloured word for the state of a field.
func stateWord(s inspect.State) word {
	text := strings.ReplaceAll(string(s), "_", " ")
	switch s {
	case inspect.StateFound:
		return good(text)
	case inspect.StateNotRun, inspect.StateUnknown, inspect.StateLocked:
		return doubtful(text)
	}
	return bad(text)
}

// json returns the report for scripts, with all keys.
func (s *statusReport) json() string {
	type table struct {
		Name    string  `json:"name"`
		Line    int     `json:"line"`
		Nearest *string `json:"nearest"`
	}
	line := struct {
		Schema        string        `json:"schema"`
		File          *string       `json:"profiles_file"`
		Exists        bool          `json:"profiles_file_exists"`
		UnknownTables []table       `json:"unknown_tables"`
		Profiles      []jsonProfile `json:"profiles"`
	}{
		Schema:        "tokenfetch.status/1",
		File:          s.run.lineOrNull(s.file.Path),
		Exists:        s.file.Exists,
		UnknownTables: []table{},
		Profiles:      []jsonProfile{},
	}
	for _, t := range s.unknown {
		line.UnknownTables = append(line.UnknownTables, table{s.run.words(t.Name), t.Line, s.run.orNull(t.Nearest)})
	}
	for _, p := range s.profiles {
		line.Profiles = append(line.Profiles, s.run.jsonProfile(p))
	}
	return string(output.JSONLine(line))
}

// jsonProfile is a profile in the report for scripts.
type jsonProfile struct {
	Ref         string        `json:"ref"`
	Provider    string        `json:"provider"`
	Profile     string        `json:"profile"`
	Ready       bool          `json:"ready"`
	Environment *string       `json:"environment"`
	Origin      *string       `json:"origin"`
	Fields      []jsonField   `json:"fields"`
	Cached      *bool         `json:"cached"`
	ExpiresIn   *int64        `json:"expires_in"`
	ExpiresAt   *string       `json:"expires_at"`
	Held        *bool         `json:"held"`
	HeldFor     *int64        `json:"held_for_s"`
	HeldUntil   *string       `json:"held_until"`
	HeldCode    *string       `json:"held_code"`
	Left        *int          `json:"refusals_left"`
	Tried       *bool         `json:"tried"`
	Problems    []jsonProblem `json:"problems"`
}

// jsonField is a field in the report for scripts.
type jsonField struct {
	Name   string        `json:"name"`
	Secret bool          `json:"secret"`
	State  inspect.State `json:"state"`
	Source *string       `json:"source"`
	Where  *string       `json:"where"`
}

// jsonProblem is a problem in the report for scripts.
type jsonProblem struct {
	Code    failure.Code `json:"code"`
	Message string       `json:"message"`
	Hint    *string      `json:"hint"`
}

func (r *run) jsonProfile(p *inspect.Profile) jsonProfile {
	line := jsonProfile{
		Ref:         r.words(p.Ref.String()),
		Provider:    p.Ref.Definition.Name,
		Profile:     r.words(p.Ref.Profile),
		Ready:       p.Ready(),
		Environment: r.orNull(p.Environment),
		Origin:      r.orNull(p.Origin),
		Fields:      []jsonField{},
		Left:        p.RefusalsLeft,
		Tried:       p.Tried,
		Problems:    []jsonProblem{},
	}
	for _, f := range p.Fields {
		line.Fields = append(line.Fields, jsonField{
			Name: f.Name, Secret: f.Secret, State: f.State, Source: r.orNull(f.Source), Where: r.lineOrNull(f.Where),
		})
	}
	if c := p.Cached; c != nil && c.Doubt == "" {
		line.Cached = &c.Found
		if c.Found {
			line.ExpiresIn, line.ExpiresAt = seconds(c.Left), timestamp(c.Expires)
		}
	}
	if h := p.Hold; h != nil && h.Doubt == "" {
		line.Held = &h.Held
		if h.Held {
			line.HeldFor, line.HeldUntil, line.HeldCode = seconds(h.Left), timestamp(h.Until), r.orNull(string(h.Code))
		}
	}
	for _, e := range p.Problems {
		line.Problems = append(line.Problems, jsonProblem{e.Code, r.console.safe(e.Message, maxLine), r.lineOrNull(r.inThisFile(e.Hint))})
	}
	return line
}

func seconds(d time.Duration) *int64 {
	n := int64(d / time.Second)
	return &n
}

func timestamp(t time.Time) *string {
	text := t.UTC().Format(time.RFC3339)
	return &text
}
