// Package provider knows the providers: a definition of each, as data, how its
// fields become a request, and what its replies mean. Nothing here is written
// for one provider; what is special about it stands in its definition.
package provider

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/internal/token"
)

// Definition describes one provider. It is read from a TOML file whose keys are
// the ones named here.
type Definition struct {
	Name         string        `toml:"name"`        // the subcommand
	Title        string        `toml:"title"`       // the provider's own name
	Docs         string        `toml:"docs"`        // https address of its documentation
	Notes        []string      `toml:"notes"`       // sentences for the help text
	Environments []Environment `toml:"environment"` // none: the base address must be given
	Fields       []Field       `toml:"field"`
	Request      Request       `toml:"request"`
	Reply        Reply         `toml:"reply"`
	Statuses     []Status      `toml:"status"` // statuses with a meaning of their own
	Policy       Policy        `toml:"token"`
	Examples     []Example     `toml:"example"`

	// Digest tells definitions apart: a hash of the file it was read from.
	Digest string `toml:"-"`
}

// Environment is one of a provider's hosts.
type Environment struct {
	Name string `toml:"name"`
	// BaseURL is an https address. {FIELD} in it stands for one DNS label below
	// the provider's domain.
	BaseURL string `toml:"base_url"`
	// AllowListed says that the host accepts only source addresses it has listed.
	AllowListed bool `toml:"allow_listed"`
}

// Field is one thing a user must supply.
type Field struct {
	Name     string `toml:"name"` // as in profiles; flags and variables derive from it
	Help     string `toml:"help"`
	Secret   bool   `toml:"secret"`
	Optional bool   `toml:"optional"` // left out of the request if not given
	// Default is used if nothing gives the field: a text, or {FIELD} for the
	// value of another field.
	Default string `toml:"default"`
	Example string `toml:"example"` // for profiles.example.toml, not of a secret
}

// Request says how the fields are sent. The method is always POST.
type Request struct {
	Path     string   `toml:"path"`     // below the base address
	Encoding string   `toml:"encoding"` // "form" or "json"
	Basic    *Basic   `toml:"basic"`    // fields of the HTTP Basic pair, if any
	Body     []Member `toml:"body"`     // in the order they are sent
}

// Basic names the fields of an HTTP Basic pair.
type Basic struct {
	User     string `toml:"user"`
	Password string `toml:"password"`
}

// Member is a member of the request's body: a field or a constant.
type Member struct {
	Name  string `toml:"name"`
	Field string `toml:"field"`
	Value string `toml:"value"`
}

// Reply says where things stand in a reply. Each list holds paths of members
// (key names joined by dots); all that are there must agree.
type Reply struct {
	Token     []string `toml:"token"`
	Type      []string `toml:"type"`
	ExpiresIn []string `toml:"expires_in"`
	Scope     []string `toml:"scope"`
	// What the provider says of a failure; the first that is there counts.
	ErrorCode []string `toml:"error_code"`
	ErrorText []string `toml:"error_text"`
	ErrorID   []string `toml:"error_id"`
	// Checks find the failures inside a reply of status 200 or 201.
	Checks []Check `toml:"check"`
}

// Check judges one member of a reply. A member that is null counts as absent.
// Numbers compare by value with the texts in the lists: 1, 1.0 and "1" are equal.
type Check struct {
	Member   string   `toml:"member"`
	Required bool     `toml:"required"` // absent: not a reply to trust
	Accept   []string `toml:"accept"`   // values that are fine
	Refuse   []string `toml:"refuse"`   // values that mean the provider said no
	// Otherwise is what any other value means: "accept", "refuse", or, if
	// empty, a reply that is not to be trusted.
	Otherwise string `toml:"otherwise"`
}

// Status gives a status of a JSON reply a meaning of its own.
type Status struct {
	Status int    `toml:"status"`
	Means  string `toml:"means"` // "closed" or "conflict"
}

// Policy says what may be done with a token.
type Policy struct {
	SingleUse    bool `toml:"single_use"`    // good for one call
	Seconds      int  `toml:"lifetime"`      // documented lifetime where the reply states none
	LockoutAfter int  `toml:"lockout_after"` // consecutive refusals that lock the account
	// Account names the fields by which the provider counts them, in any case.
	Account    []string `toml:"account"`
	BodyMember string   `toml:"body_member"` // the token travels as this JSON member, not in a header
}

// Use says how calls carry the provider's token: as a bearer token (RFC 6750
// section 2.1), unless the definition names a member of the body.
func (d *Definition) Use() token.Use {
	if member := d.Policy.BodyMember; member != "" {
		return token.Use{Member: member}
	}
	return token.Use{Header: "Authorization", Scheme: "Bearer"}
}

// Lifetime returns the documented lifetime of a token, 0 if there is none.
func (p Policy) Lifetime() time.Duration { return time.Duration(p.Seconds) * time.Second }

// FixedLifetime returns the lifetime of every token of the provider, 0 if it is
// never known. ok is false if each reply states it.
func (d *Definition) FixedLifetime() (lifetime time.Duration, ok bool) {
	return d.Policy.Lifetime(), len(d.Reply.ExpiresIn) == 0
}

// Example is a documented reply. The emulator serves it and a test judges it.
type Example struct {
	Name   string `toml:"name"`
	Status int    `toml:"status"`
	// Body is JSON. {token} and {refresh_token} stand for generated values.
	Body string `toml:"body"`
	// Outcome is "token" or the code of the failure the reply is.
	Outcome string `toml:"outcome"`
}

// Field returns the field of that name, and whether there is one.
func (d *Definition) Field(name string) (Field, bool) {
	return find(d.Fields, func(f Field) bool { return f.Name == name })
}

// Environment returns the environment of that name, and whether there is one.
func (d *Definition) Environment(name string) (Environment, bool) {
	return find(d.Environments, func(e Environment) bool { return e.Name == name })
}

// CheckEnvironment is Environment for a name that a user gave: the error, a
// *failure.Error, says which there are.
func (d *Definition) CheckEnvironment(name string) (Environment, error) {
	if e, ok := d.Environment(name); ok {
		return e, nil
	}
	err := failure.New(failure.HostMissing, "%s has no environment of that name", d.Title)
	if names := d.EnvironmentNames(); len(names) > 0 {
		return Environment{}, err.WithHint("its environments are: %s", strings.Join(names, ", "))
	}
	return Environment{}, err.WithHint("it has none: give its address with --base-url https://HOST")
}

// AllowListed reports whether any of the provider's hosts accepts only source
// addresses that it has listed.
func (d *Definition) AllowListed() bool {
	return slices.ContainsFunc(d.Environments, func(e Environment) bool { return e.AllowListed })
}

// EnvironmentNames returns the names of the environments in their order.
func (d *Definition) EnvironmentNames() []string {
	names := make([]string, len(d.Environments))
	for i, e := range d.Environments {
		names[i] = e.Name
	}
	return names
}

// Example returns the example of that name, and whether there is one.
func (d *Definition) Example(name string) (Example, bool) {
	return find(d.Examples, func(e Example) bool { return e.Name == name })
}

func find[T any](all []T, wanted func(T) bool) (found T, ok bool) {
	if i := slices.IndexFunc(all, wanted); i >= 0 {
		return all[i], true
	}
	return found, false
}

// Flag returns the name of the flag of a field, without dashes: of a secret
// the flag that names a file.
func (f Field) Flag() string {
	name := strings.ReplaceAll(f.Name, "_", "-")
	if f.Secret {
		name += "-file"
	}
	return name
}

// Variable returns the environment variable for a field or setting, such as
// TOKENFETCH_ZEEPAY_CLIENT_ID for client_id.
func (d *Definition) Variable(setting string) string {
	return VariablePrefix(d.Name) + upper(setting)
}

// VariablePrefix returns what the variables of a provider begin with.
func VariablePrefix(provider string) string { return "TOKENFETCH_" + upper(provider) + "_" }

// TokenVariable returns the default name of the variable that takes the token.
func TokenVariable(provider string) string { return FieldVariable(provider, "access_token") }

// FieldVariable returns the name of the variable that takes a field's value beside
// the token, such as ENKASH_CLIENT_SECRET.
func FieldVariable(provider, field string) string { return upper(provider) + "_" + upper(field) }

func upper(name string) string { return strings.ToUpper(strings.ReplaceAll(name, "-", "_")) }

// Parse reads a definition strictly. file names it in errors, which are
// *failure.Error and give line and column where they can.
func Parse(file string, data []byte) (*Definition, error) {
	d := new(Definition)
	err := toml.NewDecoder(strings.NewReader(string(data))).DisallowUnknownFields().Decode(d)
	if strict, ok := errors.AsType[*toml.StrictMissingError](err); ok {
		first := strict.Errors[0]
		line, column := first.Position()
		return nil, failure.New(failure.DefinitionInvalid, "%s: line %d, column %d: unknown key %q", file, line, column, strings.Join(first.Key(), "."))
	}
	if decode, ok := errors.AsType[*toml.DecodeError](err); ok {
		line, column := decode.Position()
		what := "not valid TOML"
		if len(decode.Key()) > 0 {
			what = fmt.Sprintf("%q does not have the right type or stands twice", strings.Join(decode.Key(), "."))
		}
		return nil, failure.New(failure.DefinitionInvalid, "%s: line %d, column %d: %s", file, line, column, what)
	}
	if err != nil {
		return nil, failure.New(failure.DefinitionInvalid, "%s: not valid TOML", file)
	}
	d.Digest = fmt.Sprintf("%x", sha256.Sum256(data))
	return d, nil
}

// ParseAndCheck reads a definition like Parse and also checks that it makes sense: see
// the messages. Definitions that were checked when the program was built are
// only parsed when it runs.
func ParseAndCheck(file string, data []byte) (*Definition, error) {
	d, err := Parse(file, data)
	if err != nil {
		return nil, err
	}
	// The TOML library takes keys in any case; every key of ours is lower case.
	if err := checkCase(file, data); err != nil {
		return nil, err
	}
	if problem := d.problem(); problem != "" {
		return nil, failure.New(failure.DefinitionInvalid, "%s: %s", file, problem)
	}
	return d, nil
}

func checkCase(file string, data []byte) error {
	var parser unstable.Parser
	parser.Reset(data)
	for parser.NextExpression() {
		if bad := upperKey(parser.Expression()); bad != nil {
			at := parser.Shape(bad.Raw).Start
			return failure.New(failure.DefinitionInvalid, "%s: line %d, column %d: unknown key %q", file, at.Line, at.Column, bad.Data)
		}
	}
	return nil
}

// upperKey returns the first key in n, and in the tables and lists that are its
// value, that is not lower case, or nil.
func upperKey(n *unstable.Node) *unstable.Node {
	var children unstable.Iterator
	switch n.Kind {
	case unstable.KeyValue, unstable.Table, unstable.ArrayTable:
		for it := n.Key(); it.Next(); {
			if key := string(it.Node().Data); key != strings.ToLower(key) {
				return it.Node()
			}
		}
		if n.Kind == unstable.KeyValue {
			return upperKey(n.Value())
		}
	case unstable.InlineTable, unstable.Array:
		children = n.Children()
	}
	for children.Next() {
		if bad := upperKey(children.Node()); bad != nil {
			return bad
		}
	}
	return nil
}

// reserved are the names a provider may not have: commands, and words users
// may expect to be commands one day.
var reserved = []string{
	"exec", "login", "logout", "status", "doctor", "provider", "emulator", "cache", "completion", "version", "help",
	"auth", "config", "curl", "env", "fetch", "get", "init", "list", "profile", "profiles", "refresh", "run", "serve",
	"store", "token", "tokenfetch", "whoami",
}

// settings are the names a field may not have, because its flag, variable or
// profile key would be one of ours.
var settings = []string{
	// Keys of a profile and of the table [tokenfetch].
	"environment", "base_url", "ca_file", "client_cert", "client_key", "timeout", "cache", "cache_key",
	// The variable that takes the token.
	"access_token",
	// Flags of all commands: fields have flags in several. A test walks the commands.
	"config", "delay", "dry_run", "emulator", "errors", "fault", "from", "help", "holds", "journal", "listen", "lock_after", "mask",
	"min_ttl", "network", "no_cache", "output", "profile", "purge", "refresh", "replace", "retry", "store", "token_ttl", "try_anyway",
	"var", "verbose", "verify", "version", "with",
}

const (
	namePattern  = `^[a-z][a-z0-9-]{0,62}$`
	fieldPattern = `^[a-z][a-z0-9_]{0,62}$`
)

// problem returns what is wrong with the definition, or "".
func (d *Definition) problem() string {
	if !matches(namePattern, d.Name) {
		return fmt.Sprintf("name %q does not match %s", d.Name, namePattern)
	}
	if slices.Contains(reserved, d.Name) {
		return fmt.Sprintf("name %q is reserved", d.Name)
	}
	if d.Title == "" || !strings.HasPrefix(d.Docs, "https://") {
		return "title and docs (an https address) are required"
	}
	for _, check := range []func() string{d.fieldProblem, d.requestProblem, d.environmentProblem, d.replyProblem, d.exampleProblem} {
		if problem := check(); problem != "" {
			return problem
		}
	}
	return ""
}

func matches(pattern, text string) bool { return regexp.MustCompile(pattern).MatchString(text) }

func (d *Definition) fieldProblem() string {
	seen := map[string]bool{}
	for _, f := range d.Fields {
		reference, isReference := f.reference()
		target, known := d.Field(reference)
		switch {
		case !matches(fieldPattern, f.Name):
			return fmt.Sprintf("field %q does not match %s", f.Name, fieldPattern)
		case strings.HasSuffix(f.Name, "_file"):
			return fmt.Sprintf("field %q ends in _file, which names the file of another field", f.Name)
		// Every field has a variable that ends in _FILE, every secret such a flag.
		case slices.Contains(settings, f.Name), slices.Contains(settings, f.Name+"_file"):
			return fmt.Sprintf("field %q is the name of a setting", f.Name)
		case seen[f.Name]:
			return fmt.Sprintf("field %q stands twice", f.Name)
		case f.Help == "":
			return fmt.Sprintf("field %q has no help", f.Name)
		case f.Secret && (f.Example != "" || f.Default != ""):
			return fmt.Sprintf("field %q is secret and has an example or default", f.Name)
		case isReference && (!known || reference == f.Name):
			return fmt.Sprintf("the default of field %q names no other field", f.Name)
		case isReference && (target.Secret || target.Optional || target.Default != ""):
			return fmt.Sprintf("the default of field %q names no other field that must be given and may be shown", f.Name)
		case !d.uses(f.Name):
			return fmt.Sprintf("field %q is not used", f.Name)
		}
		seen[f.Name] = true
	}
	return ""
}

// reference returns the field whose value is f's default.
func (f Field) reference() (string, bool) {
	name, ok := strings.CutPrefix(f.Default, "{")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(name, "}")
}

// uses reports whether the request, or any base address, needs the field.
func (d *Definition) uses(field string) bool {
	return d.Request.uses(field) || d.InHost(field)
}

func (r Request) uses(field string) bool {
	if r.Basic != nil && (r.Basic.User == field || r.Basic.Password == field) {
		return true
	}
	return slices.ContainsFunc(r.Body, func(m Member) bool { return m.Field == field })
}

func (e Environment) uses(field string) bool { return strings.Contains(e.BaseURL, "{"+field+"}") }

func (d *Definition) requestProblem() string {
	r := d.Request
	if !plainPath(r.Path) {
		return "request.path is not a plain path"
	}
	if r.Encoding != "form" && r.Encoding != "json" {
		return `request.encoding must be "form" or "json"`
	}
	names := map[string]bool{}
	for _, m := range r.Body {
		if m.Name == "" || names[m.Name] || (m.Field == "") == (m.Value == "") {
			return fmt.Sprintf("request.body: member %q needs a name of its own and one of field and value", m.Name)
		}
		names[m.Name] = true
	}
	used := []string{}
	if r.Basic != nil {
		used = append(used, r.Basic.User, r.Basic.Password)
	}
	for _, m := range r.Body {
		if m.Field != "" {
			used = append(used, m.Field)
		}
	}
	for _, name := range used {
		if _, ok := d.Field(name); !ok {
			return fmt.Sprintf("request: there is no field %q", name)
		}
	}
	return ""
}

func (d *Definition) environmentProblem() string {
	seen := map[string]bool{}
	for _, e := range d.Environments {
		if !matches(namePattern, e.Name) || seen[e.Name] {
			return fmt.Sprintf("environment %q needs a name of its own that matches %s", e.Name, namePattern)
		}
		seen[e.Name] = true
		rest := e.BaseURL
		for _, f := range d.Fields {
			if !e.uses(f.Name) {
				continue
			}
			// A label in front of the domain and nowhere else.
			before, after, _ := strings.Cut(rest, "{"+f.Name+"}")
			host, _, _ := strings.Cut(after, "/")
			if before != "https://" || !strings.HasPrefix(host, ".") || strings.Count(host, ".") < 2 || f.Secret {
				return fmt.Sprintf("environment %q: {%s} must be the first label below a domain, and not secret", e.Name, f.Name)
			}
			rest = before + "label" + after
		}
		if strings.Contains(rest, "{") {
			return fmt.Sprintf("environment %q: a placeholder of base_url names no field", e.Name)
		}
		address, err := ParseAddress(rest)
		if err != nil || address.Scheme != "https" {
			return fmt.Sprintf("environment %q: base_url is not an https address", e.Name)
		}
	}
	return ""
}

func (d *Definition) replyProblem() string {
	if len(d.Reply.Token) == 0 {
		return "reply.token is empty"
	}
	for _, c := range d.Reply.Checks {
		if c.Member == "" || !slices.Contains([]string{"", "accept", "refuse"}, c.Otherwise) {
			return fmt.Sprintf(`reply.check of %q: otherwise must be "accept" or "refuse" if given`, c.Member)
		}
	}
	for _, s := range d.Statuses {
		if s.Means != "closed" && s.Means != "conflict" || s.Status < 400 || s.Status > 599 {
			return fmt.Sprintf("status %d: means must be closed or conflict, of an error status", s.Status)
		}
	}
	if p := d.Policy; p.Seconds < 0 || p.LockoutAfter < 0 || p.LockoutAfter == 1 {
		return "token: lifetime must not be negative, lockout_after must be 2 or more"
	}
	return d.accountProblem()
}

// accountProblem checks what refusals are counted by.
func (d *Definition) accountProblem() string {
	p := d.Policy
	if (p.LockoutAfter == 0) != (len(p.Account) == 0) {
		return "token: lockout_after and account belong together"
	}
	for _, name := range p.Account {
		f, ok := d.Field(name)
		if _, isReference := f.reference(); !ok || isReference || f.Secret || f.Optional {
			return fmt.Sprintf("token.account: %q is not the name of a field that must be given and is not secret", name)
		}
	}
	return ""
}

func (d *Definition) exampleProblem() string {
	seen := map[string]bool{}
	for _, e := range d.Examples {
		code := failure.Code(e.Outcome)
		if e.Name == "" || seen[e.Name] || e.Outcome != "token" && code.Class() == failure.Bug {
			return fmt.Sprintf("example %q needs a name of its own and an outcome: token or the code of a failure", e.Name)
		}
		seen[e.Name] = true
	}
	if !seen["token"] {
		return "an example with the name token is required"
	}
	return ""
}
