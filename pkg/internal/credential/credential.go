// Package credential resolves the fields of a provider. [Find] determines the source
// of each field, without reading secrets or prompting. [Plan.Inspect] checks whether
// the sources are usable, and [Plan.Read] reads the values. The precedence is flag,
// environment variable, profile, keychain (for a secret), default.
package credential

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/pkg/source"
)

// Query says which credentials to find.
type Query struct {
	Definition *provider.Definition
	Profile    string // name of the profile; profile.Default if none was named
	File       *profile.File
	Environ    []string // NAME=VALUE, like os.Environ

	// From the command line. Empty or missing if not used.
	Environment string
	BaseURL     string
	Flags       map[string]string // values by flag name; for a secret a path, or "-" for standard input

	// Again returns the command line that repeats the caller's command with more
	// flags, for hints, or "" if the command does not take them. nil means the command
	// that fetches a token.
	Again func(flags string) string

	// Alone makes the default profile ignore its environment variables.
	Alone bool
	// Given contains known values, by field name.
	Given provider.Values
}

// Kind is the kind of source that a value comes from.
type Kind int

// The kinds, in order of precedence. A profile may use any of the last four.
const (
	Missing  Kind = iota
	Text          // a literal on the command line, in a variable or in the profile
	Stdin         // standard input
	File          // the file at Path
	Helper        // the output of the command Argv
	Keychain      // the item Account
	Default       // the value of another field, or a constant of the definition
)

// Place is the source of the value of one field.
type Place struct {
	Field provider.Field
	Kind  Kind
	Where string // description, such as "TOKENFETCH_ZEEPAY_USERNAME" or "keychain item …"

	Variable string // the variable that contains a Text, or empty
	Path     string
	Argv     []string
	Account  string

	// Shared is set by [Plan.Inspect] if others can read the file at Path.
	Shared bool
	// Problem says why the place has no value, as far as known. It is a
	// [*failure.Error] or nil.
	Problem error

	text    secret.Value
	level   level
	profile string // the profile that the keychain item belongs to
}

// Source returns the kind of the place as one word: "flag", "variable", "profile",
// "stdin", "file", "helper", "keychain" or "default". It returns "" if the field has
// no source.
func (place Place) Source() string {
	switch {
	case place.Kind != Text:
		return [...]string{Stdin: "stdin", File: "file", Helper: "helper", Keychain: "keychain", Default: "default"}[place.Kind]
	case place.Variable != "":
		return "variable"
	case place.level == byFlag:
		return "flag"
	}
	return "profile"
}

// level is the precedence of the source that sets a value.
type level int

const (
	none level = iota
	byDefinition
	byProfile
	byVariable
	byFlag
)

// Plan contains the source of each value that a request needs.
type Plan struct {
	Definition  *provider.Definition
	ProfileName string
	Profile     *profile.Profile // nil if the file has no profile with that name
	Environment string           // empty if a base URL was set
	Base        provider.Address
	Places      []Place // for the needed fields, in the order of the definition
	CAFile      Place   // the CA certificates to trust; Missing for the system's

	// The client certificate and its private key. Both are Missing if there is none.
	ClientCert, ClientKey Place
	Leaf                  *x509.Certificate // the client certificate after it was read, or nil

	// Problem is the error of the profile as a whole or of its host, or nil. With an
	// error, Base is empty unless the host itself is known.
	Problem error

	query       *Query
	hostFrom    level // the level that chooses the environment or base URL
	hostAt      level // the highest level that sets the host or a field in its name
	certificate *tls.Certificate
}

// Find determines the source of each field and the host, like [Survey]. The error is
// the first problem of the plan. Find also returns the plan with an error; the plan
// may then contain the host.
func Find(ctx context.Context, q Query) (*Plan, error) {
	p := Survey(ctx, q)
	return p, p.Err()
}

// Survey determines the source of each field and the host. It stores problems in the
// plan and its places, so that one problem does not hide others. It reads no file,
// runs no helper and does not access the keychain. The only exception: a field that
// is part of the host name may be read from its file.
func Survey(ctx context.Context, q Query) *Plan {
	p := &Plan{Definition: q.Definition, ProfileName: q.Profile, query: &q}
	p.Profile, p.Problem = q.File.Profile(q.Definition.Name, q.Profile, ProfileFields(q.Definition))
	if p.Problem == nil && p.Profile == nil && q.named() {
		p.Problem = q.noProfile()
	}
	if p.Problem != nil {
		return p
	}
	p.findFiles()
	if p.Problem = p.findHost(ctx); p.Problem != nil && p.Profile == nil && !q.touched() {
		return p // "not set up at all" is more helpful than a list of missing fields
	}
	p.findFields()
	missing := slices.ContainsFunc(p.Places, func(place Place) bool { return place.Kind == Missing && !place.Field.Optional })
	if p.Problem == nil && missing && p.Profile == nil && !q.touched() && q.Given == nil && q.Environment == "" && q.BaseURL == "" {
		p.Problem = p.notSetUp()
	}
	return p
}

// ProfileFields returns the fields of a definition in the form that package profile
// uses.
func ProfileFields(d *provider.Definition) []profile.Field {
	fields := make([]profile.Field, len(d.Fields))
	for i, f := range d.Fields {
		fields[i] = profile.Field{Name: f.Name, Secret: f.Secret}
	}
	return fields
}

// Err returns the first of [Plan.Problems], or nil.
func (p *Plan) Err() error {
	if problems := p.Problems(); len(problems) > 0 {
		return problems[0]
	}
	return nil
}

// Problems returns the problem of the plan and those of its fields. All missing
// fields are one problem, which comes last.
func (p *Plan) Problems() []error {
	var all []error
	if p.Problem != nil {
		all = append(all, p.Problem)
	}
	var missing []Place
	for _, place := range p.Places {
		switch {
		case place.Kind == Missing:
			missing = append(missing, place)
		case place.Problem != nil:
			all = append(all, place.Problem)
		}
	}
	for _, place := range []Place{p.CAFile, p.ClientCert, p.ClientKey} {
		if place.Problem != nil {
			all = append(all, place.Problem)
		}
	}
	if missing != nil {
		all = append(all, p.missing(missing))
	}
	return all
}

// Unfinished returns an error if an interrupted login has replaced only some of the
// secrets, and nil otherwise. A mixture of old and new secrets would lead to a
// failed login.
func (p *Plan) Unfinished() error {
	d := p.Definition
	for _, place := range p.Places {
		owner := p.ProfileName
		if place.Kind == Keychain {
			owner = place.profile
		}
		if !place.Field.Secret || place.level != byProfile || !p.query.File.Unfinished(d.Name, owner) {
			continue
		}
		return failure.New(failure.LoginInterrupted, "a login of %s/%s has not finished: some of its secrets may be new and others old", d.Name, owner).
			WithHint("if it does not run any more, store all of them again: tokenfetch login %s/%s", d.Name, owner)
	}
	return nil
}

// named reports whether the user named a profile. A named profile ignores
// environment variables.
func (q *Query) named() bool { return q.Profile != profile.Default }

// again returns what a hint says to repeat the command with more flags, or "" if it
// does not take them.
func (q *Query) again(flags string) string {
	command := Command(q.Definition.Name, q.Profile, flags)
	if q.Again != nil {
		command = q.Again(flags)
	}
	if command == "" {
		return ""
	}
	return "run: " + command
}

// Command returns the command line that fetches a token.
func Command(provider, profileName, flags string) string {
	if profileName != profile.Default {
		provider += "/" + profileName
	}
	return "tokenfetch " + provider + " " + flags
}

// either joins what can be done instead of each other, without what is empty.
func either(ways ...string) string {
	return strings.Join(slices.DeleteFunc(ways, func(way string) bool { return way == "" }), "; or ")
}

// lookup returns the value of an environment variable, and whether it is set.
func (q *Query) lookup(name string) (string, bool) { return Lookup(q.Environ, name) }

// Lookup returns the value of a variable in environ (NAME=VALUE), and whether it is
// set. If there are several entries, the last one is used.
func Lookup(environ []string, name string) (string, bool) {
	for _, entry := range slices.Backward(environ) {
		if value, ok := strings.CutPrefix(entry, name); ok && strings.HasPrefix(value, "=") {
			return value[1:], true
		}
	}
	return "", false
}

// variable returns the value of one of the provider's variables. An empty value is
// an error. Variables do not apply to a named profile.
func (q *Query) variable(name string) (value string, found bool, err error) {
	if q.named() || q.Alone {
		return "", false, nil
	}
	if value, found = q.lookup(name); found && value == "" {
		return "", false, failure.New(failure.VariableEmpty, "%s is set but empty", name).
			WithHint("%s", EmptyHint(q.lookup))
	}
	return value, found, nil
}

// EmptyHint returns the hint for a variable that is set but empty. In GitHub Actions
// it adds the likely reason: an undefined secret or variable expands to an empty
// string there.
func EmptyHint(lookup func(string) (string, bool)) string {
	return "give it a value, or unset it" + emptyInActions(lookup)
}

func emptyInActions(lookup func(string) (string, bool)) string {
	if value, _ := lookup("GITHUB_ACTIONS"); value != "true" {
		return ""
	}
	return "; if it comes from a secret: that does not exist in the repository, or this is a run of a fork, which gets no secrets"
}

// table returns the name of the profile's table for messages.
func (q *Query) table() string { return "[" + q.Definition.Name + "." + q.Profile + "]" }

func (q *Query) fileName() string {
	if q.File.Path == "" {
		return "a profiles file (there is no home directory)"
	}
	return q.File.Path
}

// CheckNamed returns an error if the user named a profile that the file does not
// have, and nil otherwise. The default profile need not exist.
func (q *Query) CheckNamed() error {
	if !q.named() {
		return nil
	}
	return q.CheckExists()
}

// CheckExists is CheckNamed for a profile that must exist, the default too.
func (q *Query) CheckExists() error {
	if slices.Contains(q.File.Names(q.Definition.Name), q.Profile) {
		return nil
	}
	return q.noProfile()
}

// ProfileVariable names the profile to use if nothing else does.
const ProfileVariable = "TOKENFETCH_PROFILE"

// noProfile returns the error for a named profile that does not exist. It does not
// repeat the name, which may be a secret, as in -p PASSWORD.
func (q *Query) noProfile() error {
	name := q.Definition.Name
	e := failure.New(failure.ProfileNotFound, "there is no profile of that name for %s in %s", name, q.fileName())
	if value, _ := q.lookup(ProfileVariable); value == q.Profile {
		e = e.Append(" (from %s)", ProfileVariable)
	}
	login := "tokenfetch login " + name + "/NAME"
	if _, known := q.Definition.Environment(q.Environment); known {
		login += " -e " + q.Environment
	}
	names := q.File.Names(name)
	if len(names) == 0 {
		return e.WithHint("make it with: %s", login)
	}
	e = e.WithHint("the profiles of %s are: %s; to make another run: %s", name, strings.Join(names, ", "), login)
	if near := failure.Nearest(q.Profile, names); near != "" {
		return e.Suggest(name + "/" + near)
	}
	return e
}

// findHost selects the environment or base URL: from a flag, a variable, the
// profile, or the only environment there is.
func (p *Plan) findHost(ctx context.Context) error {
	q, d := p.query, p.Definition
	var environment, baseURL string
	environmentVariable, baseVariable := d.Variable("environment"), d.Variable("base_url")
	varEnvironment, hasEnvironment, err := q.variable(environmentVariable)
	if err != nil {
		return err
	}
	varBase, hasBase, err := q.variable(baseVariable)
	if err != nil {
		return err
	}
	if q.named() && !q.Alone {
		for _, name := range []string{environmentVariable, baseVariable} {
			if _, set := q.lookup(name); set {
				return failure.New(failure.SourceConflict, "%s is set, but the profile %s is named and is read alone", name, q.table()).
					WithHint("unset %s; -e and --base-url choose the host for one run", name)
			}
		}
	}
	switch {
	case q.Environment != "" || q.BaseURL != "":
		environment, baseURL, p.hostAt = q.Environment, q.BaseURL, byFlag
	case hasEnvironment && hasBase:
		return failure.New(failure.SourceConflict, "%s and %s are both set", environmentVariable, baseVariable).
			WithHint("unset one of them")
	case hasEnvironment || hasBase:
		environment, baseURL, p.hostAt = varEnvironment, varBase, byVariable
	case p.Profile != nil && (p.Profile.Environment != "" || p.Profile.BaseURL != ""):
		environment, baseURL, p.hostAt = p.Profile.Environment, p.Profile.BaseURL, byProfile
	case len(d.Environments) == 1:
		environment, p.hostAt = d.Environments[0].Name, byDefinition
	default:
		return p.noHost()
	}
	p.hostFrom = p.hostAt
	if _, known := d.Environment(environment); known {
		p.Environment = environment
	}
	from := ""
	switch p.hostAt {
	case byFlag:
		from = environmentFlag
	case byVariable:
		from = environmentVariable
	case byProfile:
		from = q.table() + " in " + q.fileName()
	}
	if p.Base, err = p.address(ctx, environment, baseURL, from, p.place); err != nil {
		return err
	}
	if p.hostAt >= byVariable {
		return p.checkBinding(ctx)
	}
	return nil
}

func (p *Plan) noHost() error {
	q, d := p.query, p.Definition
	if p.Profile == nil && !q.touched() {
		return p.notSetUp()
	}
	if names := d.EnvironmentNames(); len(names) > 0 {
		return failure.New(failure.HostMissing, "nothing says which host of %s to use: %s", d.Title, strings.Join(names, ", ")).
			WithHint("%s", either(q.again("-e "+names[0]), q.set(d.Variable("environment")+"="+names[0]), fmt.Sprintf("write environment = %q into %s", names[0], q.table())))
	}
	return failure.New(failure.HostMissing, "nothing says which host to use, and %s publishes none", d.Title).
		WithHint("%s", either(q.again("--base-url https://HOST"), q.set(d.Variable("base_url")+"=https://HOST"), fmt.Sprintf(`write base_url = "https://HOST" into %s`, q.table())))
}

// set returns what a hint says to set a variable of the provider, or "" for a named
// profile, which ignores them.
func (q *Query) set(variable string) string {
	if q.named() {
		return ""
	}
	return "set " + variable
}

// notSetUp returns the error for a provider without a profile and variables.
func (p *Plan) notSetUp() error {
	q, name := p.query, p.Definition.Name
	return failure.New(failure.ProfileNotFound, "%s is not set up: there is no profile %s in %s, and no variable %s is set", name, q.table(), q.fileName(), p.Definition.Variable("*")).
		WithHint("run tokenfetch login %s to set it up, or tokenfetch %s --emulator to try it; tokenfetch %s --help shows its variables", name, name, name)
}

// touched reports whether any flag or variable is set for this provider.
func (q *Query) touched() bool {
	prefix := q.Definition.Variable("")
	return len(q.Flags) > 0 || slices.ContainsFunc(q.Environ, func(entry string) bool { return strings.HasPrefix(entry, prefix) })
}

// environmentFlag is the name of Query.Environment on the command line.
const environmentFlag = "--environment"

// address returns the base URL for an environment name or a base URL. from says what
// provides the name. find returns the places of the fields in the host name.
func (p *Plan) address(ctx context.Context, environment, baseURL, from string, find func(string) Place) (provider.Address, error) {
	d := p.Definition
	if baseURL != "" {
		return d.CheckBase(baseURL)
	}
	e, err := d.CheckEnvironment(environment)
	if unknown, ok := errors.AsType[*failure.Error](err); ok {
		if from != "" {
			unknown = unknown.Append(" (from %s)", from)
		}
		switch near := failure.Nearest(environment, d.EnvironmentNames()); {
		case near == "":
		case from == d.Variable("environment"):
			unknown = unknown.AppendHint("; set %s=%s", from, near)
		case from == environmentFlag:
			unknown = unknown.AppendHint("; %s", p.query.again("-e "+near))
		}
		return provider.Address{}, unknown
	}
	var problem error
	address, err := d.Address(e, func(field string) string {
		place := find(field)
		p.hostAt = max(p.hostAt, place.level)
		err := place.Problem
		switch {
		case place.Kind == Missing:
			err = p.missing([]Place{place})
		case err != nil:
		case place.Kind == Helper || place.Kind == Keychain:
			err = failure.New(failure.FieldInvalid, "%s is part of the host's name and cannot come from %s", field, place.Where).
				WithHint("write it into the profile")
		default:
			var value secret.Value
			if value, err = place.read(ctx, Access{}); err == nil {
				return value.Reveal()
			}
			err = p.ofPlace(place, err)
		}
		problem = errors.Join(problem, err)
		return ""
	})
	if problem != nil {
		return provider.Address{}, problem
	}
	return address, err
}

// checkBinding returns an error if a flag or variable selects a host other than the
// profile's own, and a secret of the profile would be sent there or its client
// certificate presented.
func (p *Plan) checkBinding(ctx context.Context) error {
	if p.Profile == nil {
		return nil
	}
	environment := p.Profile.Environment
	if environment == "" && p.Profile.BaseURL == "" {
		if len(p.Definition.Environments) != 1 {
			return nil // not bound to a host
		}
		environment = p.Definition.Environments[0].Name
	}
	own, err := p.address(ctx, environment, p.Profile.BaseURL, p.query.table()+" in "+p.query.fileName(), func(name string) Place {
		if s, ok := p.Profile.Fields[name]; ok {
			f, _ := p.Definition.Field(name)
			return p.fromProfile(f, s)
		}
		return p.place(name)
	})
	if err != nil {
		return err
	}
	if own.Origin() == p.Base.Origin() {
		return nil
	}
	for _, f := range p.Definition.Fields {
		place := p.place(f.Name)
		if place.Problem != nil {
			return place.Problem
		}
		if f.Secret && place.level == byProfile && place.Kind != Keychain {
			return failure.New(failure.HostMismatch, "%s of %s belongs to %s and is not sent to %s", f.Name, p.query.table(), own.Origin(), p.Base.Origin()).
				WithHint("%s", either("make a profile for that host: "+p.loginCommand(place), p.query.set(p.Definition.Variable(f.Name)+" to the secret for it"), p.query.again("--"+f.Flag()+" FILE")))
		}
	}
	return p.checkCertificateBinding(own.Origin())
}

// findFields fills in Places.
func (p *Plan) findFields() {
	var environment *provider.Environment
	if e, ok := p.Definition.Environment(p.Environment); ok {
		environment = &e
	}
	for _, f := range p.Definition.Fields {
		if !p.Definition.Needs(f.Name, environment) {
			continue
		}
		place := p.place(f.Name)
		if place.Kind == Missing {
			if f.Optional {
				continue
			}
			place.Problem = p.missing([]Place{place})
		}
		p.Places = append(p.Places, place)
	}
}

// place returns the source of one field.
func (p *Plan) place(name string) Place {
	f, _ := p.Definition.Field(name)
	q := p.query
	if value, ok := q.Given[name]; ok {
		return Place{Field: f, level: byFlag, Kind: Text, text: value, Where: "what was given"}
	}
	if value, ok := q.Flags[f.Flag()]; ok {
		place := Place{Field: f, level: byFlag, Where: "the flag --" + f.Flag()}
		switch {
		case !f.Secret:
			place.Kind, place.text = Text, secret.New(value)
		case value == "-":
			place.Kind, place.Where = Stdin, "standard input"
		default:
			place.Kind, place.Path, place.Where = File, value, source.FileOf+"--"+f.Flag()
		}
		return place
	}
	variable := p.Definition.Variable(name)
	byText := Place{Field: f, level: byVariable, Kind: Text, Where: variable, Variable: variable}
	byFile := Place{Field: f, level: byVariable, Kind: File, Where: source.FileOf + variable + "_FILE"}
	value, found, err := q.variable(variable)
	if err != nil {
		byText.Problem = err
		return byText
	}
	path, foundFile, err := q.variable(variable + "_FILE")
	if err != nil {
		byFile.Problem = err
		return byFile
	}
	switch {
	case found && foundFile:
		byText.Problem = failure.New(failure.SourceConflict, "%s and %s_FILE are both set", variable, variable).
			WithHint("unset one of them")
		return byText
	case found:
		byText.text = secret.New(value)
		return byText
	case foundFile:
		byFile.Path = path
		return byFile
	}
	if p.Profile != nil {
		if s, ok := p.Profile.Fields[name]; ok {
			return p.fromProfile(f, s)
		}
	}
	if f.Secret {
		return p.keychainPlace(f, q.Profile)
	}
	if f.Default != "" {
		return Place{Field: f, level: byDefinition, Kind: Default, Where: "its default, " + f.DefaultText()}
	}
	return Place{Field: f}
}

func (p *Plan) fromProfile(f provider.Field, s profile.Source) Place {
	where := p.query.table() + " in " + p.query.File.Path
	place := Place{Field: f, level: byProfile, Where: where}
	switch {
	case s.Text != nil:
		place.Kind, place.text = Text, *s.Text
	case s.Env != "":
		place.Kind, place.Variable = Text, s.Env
		place.Where = s.Env + ", named by " + p.query.table()
		value, found := p.query.lookup(s.Env)
		switch {
		case !found:
			place.Problem = failure.New(failure.FieldMissing, "%s of %s comes from the variable %s, which is not set%s", f.Name, p.query.table(), s.Env, p.query.similar(s.Env)).
				WithHint("set %s, or change the profile", s.Env)
		case value == "":
			place.Problem = failure.New(failure.VariableEmpty, "%s is set but empty; %s of %s comes from it", s.Env, f.Name, p.query.table()).
				WithHint("give it a value, or change the profile%s", emptyInActions(p.query.lookup))
		}
		place.text = secret.New(value)
	case s.File != "":
		place.Kind, place.Path = File, s.File
		place.Where = "the file " + s.File + ", named by " + p.query.table()
	case s.Command != nil:
		place.Kind, place.Argv = Helper, s.Command
		place.Where = "the helper " + s.Command[0] + ", named by " + p.query.table()
	default:
		return p.keychainPlace(f, s.Keychain)
	}
	return place
}

func (p *Plan) keychainPlace(f provider.Field, profileName string) Place {
	place := Place{Field: f, level: byProfile, Kind: Keychain, profile: profileName}
	if p.Base.Host == "" {
		place.Where = "the keychain" // the name of an item ends with the host
		return place
	}
	place.Account = p.account(place, p.Base)
	place.Where = "the keychain item " + place.Account
	return place
}

func (p *Plan) account(place Place, base provider.Address) string {
	return Account(p.Definition, place.profile, place.Field.Name, base)
}

// Account returns the keychain account for a secret field of a profile. It contains
// the host, so that a stored secret can only be sent to the host that it was stored
// for.
func Account(d *provider.Definition, profileName, field string, base provider.Address) string {
	return d.Name + "/" + profileName + "/" + field + "@" + base.Authority()
}

// missing returns the error for fields that have no source.
func (p *Plan) missing(places []Place) error {
	q := p.query
	var names, variables, flags, lines []string
	for _, place := range places {
		f := place.Field
		names, variables = append(names, f.Name), append(variables, p.Definition.Variable(f.Name))
		flags, lines = append(flags, "--"+f.Flag()+" VALUE"), append(lines, f.Name+` = "VALUE"`)
	}
	again := q.again(strings.Join(flags, " "))
	near := ""
	for _, variable := range variables {
		near += q.similar(variable)
	}
	verb := "is"
	if len(names) > 1 {
		verb = "are"
	}
	e := failure.New(failure.FieldMissing, "%s %s missing: not given by %s%s", strings.Join(names, ", "), verb, q.places(again != "", variables), near)
	for _, place := range places {
		if unread := q.unread(place.Field); unread != "" {
			return e.WithHint("%s", unread)
		}
	}
	return e.WithHint("%s", either(again, q.set(strings.Join(variables, " and ")), "write "+strings.Join(lines, " and ")+" into "+q.table()))
}

// unread returns a hint if a variable of the field is set but ignored, because the
// profile is a named one. Otherwise it returns "".
func (q *Query) unread(f provider.Field) string {
	if !q.named() {
		return ""
	}
	variable := q.Definition.Variable(f.Name)
	const hint = "%s is set, but a named profile is read alone: write %s = { %s } into %s"
	if _, set := q.lookup(variable); set {
		return fmt.Sprintf(hint, variable, f.Name, fmt.Sprintf("env = %q", variable), q.table())
	}
	if _, set := q.lookup(variable + "_FILE"); set {
		return fmt.Sprintf(hint, variable+"_FILE", f.Name, `file = "PATH"`, q.table())
	}
	return ""
}

// places says where a field can be set.
func (q *Query) places(byFlag bool, variables []string) string {
	var places []string
	if byFlag {
		places = append(places, "a flag")
	}
	if !q.named() {
		places = append(places, variables...)
	}
	profile := q.table() + " in " + q.fileName()
	if places == nil {
		return profile
	}
	return strings.Join(places, ", ") + " or " + profile
}

// similar returns a variable that is set and whose name is probably a misspelling of
// name.
func (q *Query) similar(name string) string {
	const ours = "TOKENFETCH_"
	known := q.Definition.Variables() // which are no slips
	var set []string
	for _, entry := range q.Environ {
		n, _, _ := strings.Cut(entry, "=")
		if n != name && !slices.Contains(known, n) && strings.HasPrefix(n, ours) == strings.HasPrefix(name, ours) {
			set = append(set, n)
		}
	}
	first, _, _ := strings.Cut(name, "_")
	prefixes := []string{first + "_", ""}
	if strings.HasPrefix(name, ours) {
		prefixes = []string{q.Definition.Variable(""), ours}
	}
	near := failure.NearestVariable(name, set, prefixes...)
	if near == "" {
		if short, ok := strings.CutPrefix(name, "TOKENFETCH_"); ok {
			if _, set := q.lookup(short); set {
				near = short
			}
		}
	}
	if near == "" {
		return ""
	}
	return fmt.Sprintf(" (%s is set: was that meant?)", near)
}

// checkValue checks a literal value.
func checkValue(v secret.Value, where string) error {
	if rule := source.Check(v.Reveal()); rule != "" {
		return failure.New(failure.FieldInvalid, "the value from %s %s", where, rule)
	}
	return nil
}
