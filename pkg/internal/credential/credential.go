// Package credential finds the fields of a provider: which source gives each
// (Find, which reads no secret and asks nobody), whether it would (Inspect), and
// their values (Read). The precedence is flag, variable, profile, keychain for a
// secret, default.
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

// Query is what a run says of the credentials it wants.
type Query struct {
	Definition *provider.Definition
	Profile    string // its name; profile.Default is the one nobody named
	File       *profile.File
	Environ    []string // NAME=VALUE, as of os.Environ

	// From the command line, empty or absent if not given.
	Environment string
	BaseURL     string
	Flags       map[string]string // flag name to value: of a secret a path, "-" for standard input

	// Alone reads the default profile too without the variables that fill it.
	Alone bool
	// Given holds values that are at hand already, by the names of their fields.
	Given provider.Values
}

// Kind says what kind of place a value comes from.
type Kind int

// The kinds, in the order of precedence. A profile may name any of the last four.
const (
	Missing  Kind = iota
	Text          // written down: on the command line, in a variable or the profile
	Stdin         // standard input
	File          // the file at Path
	Helper        // the output of Argv
	Keychain      // the item Account
	Default       // another field's value, or a constant of the definition
)

// Place is where the value of one field comes from.
type Place struct {
	Field provider.Field
	Kind  Kind
	Where string // in words: "TOKENFETCH_ZEEPAY_USERNAME", "keychain item …"

	Variable string // of a Text that is in one
	Path     string
	Argv     []string
	Account  string

	// Shared reports, after Inspect, that others can read the file at Path.
	Shared bool
	// Problem is why the place gives no value, as far as that is known: a
	// *failure.Error, or nil.
	Problem error

	text    secret.Value
	level   level
	profile string // the profile whose keychain item it is
}

// Source names the kind of place in a word: "flag", "variable", "profile",
// "stdin", "file", "helper", "keychain", "default", or "" where nothing gives the
// field.
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

// level is the level of precedence a setting was found at.
type level int

const (
	none level = iota
	byDefinition
	byProfile
	byVariable
	byFlag
)

// Plan is where everything a request needs comes from.
type Plan struct {
	Definition  *provider.Definition
	ProfileName string
	Profile     *profile.Profile // nil if the file has none of that name
	Environment string           // empty if a base address was given
	Base        provider.Address
	Places      []Place // of the fields that are needed, in the definition's order
	CAFile      Place   // the certificates to trust, Missing for the system's

	// The client certificate and its private key, both Missing if there is none.
	ClientCert, ClientKey Place
	Leaf                  *x509.Certificate // the client certificate once it was read, else nil

	// Problem is what is wrong with the profile as a whole or with its host, nil
	// if nothing is. Base is empty then, unless the host itself is known.
	Problem error

	query       *Query
	hostAt      level // the highest level that gives the host or a field in its name
	certificate *tls.Certificate
}

// Find decides where each field comes from and which host is called, as Survey
// does. The error is the first problem of the plan, which is returned too and may
// hold the host.
func Find(ctx context.Context, q Query) (*Plan, error) {
	p := Survey(ctx, q)
	return p, p.Err()
}

// Survey decides where each field comes from and which host is called. What is
// wrong stands in the plan and its places, so that one problem hides no other. It
// reads no file, runs no helper and asks no keychain, except that a field which is
// part of the host's name may be read from its file.
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
		return p // not set up at all, which says more than a list of its fields
	}
	p.findFields()
	return p
}

// ProfileFields returns the fields of a definition, as profiles know them.
func ProfileFields(d *provider.Definition) []profile.Field {
	fields := make([]profile.Field, len(d.Fields))
	for i, f := range d.Fields {
		fields[i] = profile.Field{Name: f.Name, Secret: f.Secret}
	}
	return fields
}

// Err returns the first of Problems, nil if there is none.
func (p *Plan) Err() error {
	if problems := p.Problems(); len(problems) > 0 {
		return problems[0]
	}
	return nil
}

// Problems returns the problems of the plan: its own, and those of its fields. All
// fields that nothing gives are one problem, which comes last.
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

// Unfinished returns the failure of sending secrets that a login has begun to
// replace and not finished, nil if there is none: an old one and a new one would
// be a failed login.
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

// named reports whether somebody named a profile: such a one is read alone.
func (q *Query) named() bool { return q.Profile != profile.Default }

// lookup returns the value of an environment variable.
func (q *Query) lookup(name string) (string, bool) { return Lookup(q.Environ, name) }

// Lookup returns the value of a variable in environ (NAME=VALUE), and whether it
// is set. The last of several entries counts.
func Lookup(environ []string, name string) (string, bool) {
	for _, entry := range slices.Backward(environ) {
		if n, value, ok := strings.Cut(entry, "="); ok && n == name {
			return value, true
		}
	}
	return "", false
}

// variable returns a variable of this provider, which must not be empty. A
// named profile is not reached by variables.
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

// EmptyHint is what to do about a variable that is set but empty. In a job of
// GitHub Actions it says why: what does not exist there is an empty text.
func EmptyHint(lookup func(string) (string, bool)) string {
	return "give it a value, or unset it" + emptyInActions(lookup)
}

func emptyInActions(lookup func(string) (string, bool)) string {
	if value, _ := lookup("GITHUB_ACTIONS"); value != "true" {
		return ""
	}
	return "; if it comes from a secret: that does not exist in the repository, or this is a run of a fork, which gets no secrets"
}

// table names the profile's table in a message.
func (q *Query) table() string { return "[" + q.Definition.Name + "." + q.Profile + "]" }

func (q *Query) fileName() string {
	if q.File.Path == "" {
		return "a profiles file (there is no home directory)"
	}
	return q.File.Path
}

// CheckNamed returns the failure of naming a profile that the file does not have,
// nil if there is none: the default need not exist.
func (q *Query) CheckNamed() error {
	if !q.named() || slices.Contains(q.File.Names(q.Definition.Name), q.Profile) {
		return nil
	}
	return q.noProfile()
}

// ProfileVariable names the profile where nobody else does.
const ProfileVariable = "TOKENFETCH_PROFILE"

// noProfile is the failure of a named profile that does not exist. The name is not
// repeated: it may be a secret, as in -p PASSWORD.
func (q *Query) noProfile() error {
	name := q.Definition.Name
	e := failure.New(failure.ProfileNotFound, "there is no profile of that name for %s in %s", name, q.fileName())
	if value, _ := q.lookup(ProfileVariable); value == q.Profile {
		e = e.Append(" (from %s)", ProfileVariable)
	}
	if names := q.File.Names(name); len(names) > 0 {
		return e.WithHint("its profiles of %s are: %s", name, strings.Join(names, ", ")).Suggest(failure.Nearest(q.Profile, names))
	}
	return e.WithHint("run tokenfetch login %s/NAME, or add a table [%s.NAME] to it; tokenfetch %s --help shows its keys", name, name, name)
}

// findHost chooses the environment or base address: flag, variable, profile,
// or the only one there is.
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
	if _, known := d.Environment(environment); known {
		p.Environment = environment
	}
	from := ""
	switch p.hostAt {
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
		return failure.New(failure.ProfileNotFound, "%s is not set up: there is no profile %s in %s, and no variable %s is set", d.Name, q.table(), q.fileName(), d.Variable("*")).
			WithHint("run tokenfetch login %s to set it up, or tokenfetch %s --emulator to try it; tokenfetch %s --help shows its variables", d.Name, d.Name, d.Name)
	}
	if names := d.EnvironmentNames(); len(names) > 0 {
		return failure.New(failure.HostMissing, "nothing says which host of %s to use: %s", d.Title, strings.Join(names, ", ")).
			WithHint("add -e %s, set %s=%s, or put environment = %q into %s", names[0], d.Variable("environment"), names[0], names[0], q.table())
	}
	return failure.New(failure.HostMissing, "nothing says which host to use, and %s publishes none", d.Title).
		WithHint("add --base-url https://HOST, set %s, or put base_url into %s", d.Variable("base_url"), q.table())
}

// touched reports whether anything gives a field of this provider.
func (q *Query) touched() bool {
	prefix := q.Definition.Variable("")
	return len(q.Flags) > 0 || slices.ContainsFunc(q.Environ, func(entry string) bool { return strings.HasPrefix(entry, prefix) })
}

// address returns the base address for an environment's name or a base URL; from
// is what gives the name, empty for the command line, and find says where the
// fields in the host's name come from.
func (p *Plan) address(ctx context.Context, environment, baseURL, from string, find func(string) Place) (provider.Address, error) {
	d := p.Definition
	if baseURL != "" {
		return d.CheckBase(baseURL)
	}
	e, err := d.CheckEnvironment(environment)
	if unknown, ok := errors.AsType[*failure.Error](err); ok && from != "" {
		err = unknown.Append(" (from %s)", from)
	}
	if err != nil {
		return provider.Address{}, err
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
		}
		problem = errors.Join(problem, err)
		return ""
	})
	if problem != nil {
		return provider.Address{}, problem
	}
	return address, err
}

// checkBinding refuses to send a secret of the profile to another host than
// the profile's own, or to present its client certificate there, when a flag or
// variable chose the host.
func (p *Plan) checkBinding(ctx context.Context) error {
	if p.Profile == nil {
		return nil
	}
	environment := p.Profile.Environment
	if environment == "" && p.Profile.BaseURL == "" {
		if len(p.Definition.Environments) != 1 {
			return nil // bound to no host
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
				WithHint("give the secret for that host with --%s FILE or %s, or make a profile for it", f.Flag(), p.Definition.Variable(f.Name))
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

// place finds where one field comes from.
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
			place.Kind, place.Path, place.Where = File, value, "the file of --"+f.Flag()
		}
		return place
	}
	variable := p.Definition.Variable(name)
	byText := Place{Field: f, level: byVariable, Kind: Text, Where: variable, Variable: variable}
	byFile := Place{Field: f, level: byVariable, Kind: File, Where: "the file of " + variable + "_FILE"}
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
		place.Where = "the keychain" // an item's name ends in the host
		return place
	}
	place.Account = p.account(place, p.Base)
	place.Where = "the keychain item " + place.Account
	return place
}

func (p *Plan) account(place Place, base provider.Address) string {
	return Account(p.Definition, place.profile, place.Field.Name, base)
}

// Account is the keychain's name for a secret field of a profile. The host is a
// part of it, so that a stored secret can only go to the host it was stored for.
func Account(d *provider.Definition, profileName, field string, base provider.Address) string {
	return d.Name + "/" + profileName + "/" + field + "@" + base.Authority()
}

// missing is the error for fields that nothing gives.
func (p *Plan) missing(places []Place) error {
	q := p.query
	var names, variables []string
	for _, place := range places {
		names = append(names, place.Field.Name)
		variables = append(variables, p.Definition.Variable(place.Field.Name))
	}
	first := places[0].Field
	near := ""
	for _, variable := range variables {
		near += q.similar(variable)
	}
	verb := "is"
	if len(names) > 1 {
		verb = "are"
	}
	e := failure.New(failure.FieldMissing, "%s %s missing: not given by a flag, %s%s", strings.Join(names, ", "), verb, q.places(variables), near)
	for _, place := range places {
		if unread := q.unread(place.Field); unread != "" {
			return e.WithHint("%s", unread)
		}
	}
	if q.named() {
		return e.WithHint("add --%s VALUE, or write %s = \"…\" into %s", first.Flag(), first.Name, q.table())
	}
	return e.WithHint("add --%s VALUE, set %s, or write %s = \"...\" into %s", first.Flag(), variables[0], first.Name, q.table())
}

// unread is what to do where a variable of the field is set that the profile, being
// named, does not read; "" if none is.
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

// places says where a field was looked for beside the flags.
func (q *Query) places(variables []string) string {
	profile := q.table() + " in " + q.fileName()
	if q.named() {
		return "or " + profile
	}
	return strings.Join(variables, ", ") + " or " + profile
}

// similar names a variable that is set and looks like a slip for name.
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

// checkValue applies the rules of a value to one that was written down.
func checkValue(v secret.Value, where string) error {
	if rule := source.Check(v.Reveal()); rule != "" {
		return failure.New(failure.FieldInvalid, "the value from %s %s", where, rule)
	}
	return nil
}
