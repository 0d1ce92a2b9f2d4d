package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tokenfetch/tokenfetch/pkg/credential"
	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/output"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/token"
)

// reportFormats are the forms in which a command reports.
func reportFormats() []string { return []string{"text", "json"} }

// addReportFlag adds the flag that chooses the form of a report.
func addReportFlag(c *cobra.Command, format *string) {
	*format = reportFormats()[0]
	c.Flags().VarP(&choice{format, reportFormats()}, "output", "o", "how the report is printed")
	register(c, "output", cobra.FixedCompletions(reportFormats(), cobra.ShellCompDirectiveNoFileComp))
}

// newStatus is "tokenfetch status".
func (r *run) newStatus() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "status [PROVIDER[/PROFILE]...]",
		Short: "show each profile, where its fields come from, and what holds it up",
		Long: `Show profiles: the host, where every field comes from and whether it is there,
the cached token and its time left, and whether an earlier refusal holds the
credentials back. Without a name: every profile of the profiles file, and the
default profile of each provider whose variables are set.

Nothing is sent, no helper is run, no dialog opens, nothing is written, and no
value is shown. Of a file that holds a secret only owner, mode and size are
looked at. What cannot be known that way is "unknown", or "not run" for a helper
whose program is there.

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
  tokenfetch status -o json | jq -r '.profiles[] | select(.ready | not) | .ref'`,
		ValidArgsFunction: r.completeProfiles,
		RunE: func(_ *cobra.Command, names []string) error {
			var refs []ref
			for _, name := range names {
				f, err := r.engine().Ref(name)
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

// status reports on profiles, on all there are if none is named.
func (r *run) status(ctx context.Context, named []ref, format string) error {
	limit := r.limit
	file, err := r.loadProfiles(ctx)
	if err != nil {
		return err
	}
	i := r.newInspector(ctx, limit, file)
	refs := named
	if len(named) == 0 {
		if refs, err = i.all(ctx); err != nil {
			return err
		}
	}
	states := make([]*profileState, len(refs))
	for n, f := range refs {
		states[n] = i.inspect(ctx, f)
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if err := r.print(i.report(states, format)); err != nil {
		return err
	}
	for _, s := range states {
		if len(named) > 0 && !s.ready() {
			return r.notReady(s)
		}
	}
	return nil
}

// notReady is the failure of a report on a profile that cannot fetch.
func (r *run) notReady(s *profileState) error {
	r.about(s.ref)
	if s.plan.Base.Host != "" {
		r.origin = s.plan.Base.Origin()
	}
	problem := r.explain(s.problems[0])
	if r.knownProfile() == "" {
		return problem
	}
	hint := cmp.Or(problem.Hint, "mend that, then run tokenfetch status "+s.ref.String())
	return failure.New(problem.Code, "%s cannot fetch a token: %s", s.ref, problem.Message).WithHint("%s", hint)
}

// report is the report in one of the formats.
func (i *inspector) report(states []*profileState, format string) string {
	if format == "json" {
		return string(i.json(states))
	}
	p := i.run.newReport()
	if len(states) == 0 {
		i.nothing(p)
	}
	for n, s := range states {
		if n > 0 {
			p.text("")
		}
		s.describe(p)
	}
	for n, t := range unknownTables(i.run.catalog, i.file) {
		if n == 0 {
			p.text("")
		}
		p.text("warning: " + t.message(i.file.Path))
	}
	return p.String()
}

// nothing says how to begin.
func (i *inspector) nothing(p *report) {
	where := "there is no home directory for a profiles file"
	switch {
	case i.file.Exists:
		where = "there is no profile in " + i.file.Path
	case i.file.Path != "":
		where = i.file.Path + " does not exist"
	}
	p.text("Nothing is set up: " + where + ", and no variable of a provider is set.")
	p.text("")
	p.line("try it", word{}, "tokenfetch zeepay --emulator")
	p.line("set it up", word{}, "tokenfetch login zeepay")
}

// describe adds a profile to a report.
func (s *profileState) describe(p *report) {
	p.heading(s.ref.String(), s.summary())
	if s.plan.Environment != "" {
		p.line("environment", word{}, s.plan.Environment)
	}
	if s.plan.Base.Host != "" {
		p.line("origin", word{}, s.plan.Base.Origin())
	}
	for _, place := range s.plan.Places {
		p.line(place.Field.Name, stateOf(place).word(), place.Where)
	}
	if s.plan.Problem == nil {
		p.line("cached token", word{}, s.cached.describe(s.now))
		p.line("hold", word{}, s.describeHold())
	}
	if s.left != nil {
		p.line("refusals left", word{}, fmt.Sprintf("%d, then %s locks the account", *s.left, s.ref.Definition.Title))
	}
	for _, e := range s.told(p.run) {
		p.line("problem", word{}, e.Message)
		if e.Hint != "" {
			p.line("hint", word{}, e.Hint)
		}
	}
}

// told returns the problems that a person is told: what is wrong with the whole
// keychain once, not for each field.
func (s *profileState) told(r *run) []*failure.Error {
	var told []*failure.Error
	for _, err := range s.problems {
		e := r.explain(err)
		whole := slices.Contains([]failure.Code{failure.KeychainLocked, failure.KeychainUnavailable, failure.KeychainTimeout}, e.Code)
		if !whole || !slices.ContainsFunc(told, func(other *failure.Error) bool { return other.Code == e.Code }) {
			told = append(told, e)
		}
	}
	return told
}

// summary is the profile's state in a word.
func (s *profileState) summary() word {
	switch {
	case len(s.problems) == 0:
		return good("ready")
	case s.cached.token != nil:
		return good("ready while the cached token lasts")
	case s.hold != nil && len(s.problems) == 1:
		return bad("held back")
	}
	return bad("not ready")
}

func (c cachedState) describe(now time.Time) string {
	switch {
	case c.token != nil:
		left := untilExpiry(c.token, now)
		if days := left / (24 * time.Hour); days > 1 {
			return fmt.Sprintf("expires in %d days", days)
		}
		return fmt.Sprintf("expires in %v", left)
	case c.doubt != "":
		return "unknown: " + c.doubt
	case c.none != "":
		return "none: " + c.none
	}
	return "none"
}

func untilExpiry(t *token.Token, now time.Time) time.Duration {
	return t.Obtained.Add(t.Lifetime).Sub(now).Truncate(time.Second)
}

func (s *profileState) describeHold() string {
	switch h := s.hold; {
	case s.holdDoubt != "":
		return "unknown: " + s.holdDoubt
	case h == nil:
		return "none"
	case h.LockoutAfter > 0:
		return fmt.Sprintf("for another %s, whatever the password", failure.Span(h.Left))
	default:
		return fmt.Sprintf("for another %s, after %s", failure.Span(h.Left), h.Code)
	}
}

// fieldState is whether a place gives its value, as JSON says it.
type fieldState string

const (
	stateFound   fieldState = "found"
	stateNotRun  fieldState = "not_run"
	stateMissing fieldState = "missing"
	stateInvalid fieldState = "invalid"
	stateLocked  fieldState = "locked"
	stateUnknown fieldState = "unknown"
)

func stateOf(place credential.Place) fieldState {
	e, ok := errors.AsType[*failure.Error](place.Problem)
	switch {
	case place.Problem == nil && place.Kind == credential.Helper:
		return stateNotRun
	case place.Problem == nil && place.Kind == credential.Keychain && place.Account == "":
		return stateUnknown
	case place.Problem == nil:
		return stateFound
	case !ok:
		return stateUnknown
	}
	switch e.Code {
	case failure.FieldMissing, failure.FileNotFound, failure.HelperNotFound, failure.KeychainNotFound, failure.KeychainUnavailable:
		return stateMissing
	case failure.KeychainLocked:
		return stateLocked
	case failure.KeychainTimeout, failure.InputTimeout:
		return stateUnknown
	}
	return stateInvalid
}

func (s fieldState) word() word {
	text := strings.ReplaceAll(string(s), "_", " ")
	switch s {
	case stateFound:
		return good(text)
	case stateNotRun, stateUnknown, stateLocked:
		return doubtful(text)
	}
	return bad(text)
}

// unknownTable is a table of the profiles file that belongs to no provider.
type unknownTable struct {
	profile.Table
	nearest string
}

func unknownTables(catalog *provider.Catalog, file *profile.File) []unknownTable {
	var tables []unknownTable
	names := catalog.Names()
	for _, t := range file.Unknown(names) {
		tables = append(tables, unknownTable{t, profile.Nearest(t.Name, names)})
	}
	return tables
}

func (t unknownTable) message(path string) string {
	text := fmt.Sprintf("%s, line %d: there is no provider %q, so nothing below it is used", path, t.Line, t.Name)
	if t.nearest != "" {
		text += fmt.Sprintf("; the nearest known name is %q", t.nearest)
	}
	return text
}

// json is the report for scripts. Every key is always there.
func (i *inspector) json(states []*profileState) []byte {
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
		File:          i.run.lineOrNull(i.file.Path),
		Exists:        i.file.Exists,
		UnknownTables: []table{},
		Profiles:      []jsonProfile{},
	}
	for _, t := range unknownTables(i.run.catalog, i.file) {
		line.UnknownTables = append(line.UnknownTables, table{i.run.words(t.Name), t.Line, i.run.orNull(t.nearest)})
	}
	for _, s := range states {
		line.Profiles = append(line.Profiles, s.json(i.run))
	}
	return output.JSONLine(line)
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
	Problems    []jsonProblem `json:"problems"`
}

// jsonField is where a field comes from.
type jsonField struct {
	Name   string     `json:"name"`
	Secret bool       `json:"secret"`
	State  fieldState `json:"state"`
	Source *string    `json:"source"`
	Where  *string    `json:"where"`
}

// jsonProblem is why a profile could not make a request.
type jsonProblem struct {
	Code    failure.Code `json:"code"`
	Message string       `json:"message"`
	Hint    *string      `json:"hint"`
}

func (s *profileState) json(r *run) jsonProfile {
	line := jsonProfile{
		Ref:         r.words(s.ref.String()),
		Provider:    s.ref.Definition.Name,
		Profile:     r.words(s.ref.Profile),
		Ready:       s.ready(),
		Environment: r.orNull(s.plan.Environment),
		Fields:      []jsonField{},
		Left:        s.left,
		Problems:    []jsonProblem{},
	}
	if s.plan.Base.Host != "" {
		line.Origin = r.orNull(s.plan.Base.Origin())
	}
	for _, place := range s.plan.Places {
		line.Fields = append(line.Fields, jsonField{
			Name: place.Field.Name, Secret: place.Field.Secret, State: stateOf(place),
			Source: r.orNull(place.Source()), Where: r.lineOrNull(place.Where),
		})
	}
	if t := s.cached.token; t != nil || s.cached.doubt == "" {
		there := t != nil
		line.Cached = &there
		if there {
			seconds, at := int64(untilExpiry(t, s.now)/time.Second), t.Obtained.Add(t.Lifetime).UTC().Format(time.RFC3339)
			line.ExpiresIn, line.ExpiresAt = &seconds, &at
		}
	}
	if h := s.hold; h != nil || s.holdDoubt == "" {
		held := h != nil
		line.Held = &held
		if held {
			seconds, until := int64(h.Left/time.Second), s.now.Add(h.Left).UTC().Format(time.RFC3339)
			line.HeldFor, line.HeldUntil, line.HeldCode = &seconds, &until, r.orNull(string(h.Code))
		}
	}
	for _, err := range s.problems {
		e := r.explain(err)
		line.Problems = append(line.Problems, jsonProblem{e.Code, r.console.safe(e.Message, maxLine), r.lineOrNull(e.Hint)})
	}
	return line
}
