// Package provider knows the providers: a definition of each, as data, how its
// fields become a request, and what its replies mean. Nothing here is written
// for one provider; what is special about it stands in its definition.
package provider

import (
	"slices"
	"strings"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/internal/token"
)

// Definition describes one provider, as the file NAME.toml says. See [Parse].
type Definition struct {
	Name         string        // the subcommand
	Title        string        // the provider's own name, or Name
	Verified     string        // what the definition rests on, may be empty
	Docs         string        // https address of its documentation, may be empty
	Notes        []string      // sentences for the help text
	Environments []Environment // none: the base address must be given
	Fields       []Field       // in the order in which they are asked for and listed
	Request      Request
	Reply        Reply
	Outcomes     []Outcome // what replies mean; the first that fits counts
	Policy       Policy
	Use          Use
	Examples     []Example

	// File is the path of a user's definition, empty for one that is built in.
	File string
	// Digest tells definitions apart: a hash of the file it was read from.
	Digest string
}

// Environment is one of a provider's hosts.
type Environment struct {
	Name string
	// BaseURL is an https address, or one of http with a loopback host. {FIELD} in
	// its host is one DNS label.
	BaseURL string
	// AllowListed says that the host accepts only source addresses it has listed.
	AllowListed bool
}

// Field is one thing a user must supply.
type Field struct {
	Name     string // as in profiles; flags and variables derive from it
	Help     string // never empty
	Secret   bool
	Optional bool // left out of the request if not given
	// Default is used if nothing gives the field: a text, or {FIELD} for the
	// value of another field.
	Default string
	Example string // for profiles.example.toml, not of a secret
}

// Request says how the fields are sent.
type Request struct {
	Method  string   // POST, or GET, which has no body
	Path    Template // below the base address, as it is written; a field is one segment
	Query   []Pair   // without secrets
	Headers []Pair
	Basic   *Basic // the HTTP Basic pair (RFC 7617), nil for none
	// The body: a form, JSON, or none if both are nil.
	Form []Pair
	JSON *JSON
}

// Pair is a parameter or header. One that mentions a field without a value is
// left out.
type Pair struct {
	Name  string
	Value Template
}

// Basic names the fields of an HTTP Basic pair.
type Basic struct {
	User, Password string
	// FormEncoded says that both are form-encoded first, as RFC 6749 section 2.3.1
	// asks. Many providers do not decode them.
	FormEncoded bool
}

// Reply says where things stand in a reply. Each list holds paths of members
// (key names joined by dots); all that are there must agree.
type Reply struct {
	Token     []string
	Type      []string
	ExpiresIn []string // seconds
	ExpiresAt []string // a point of time, see token.Expiry
	Scope     []string
	// What the provider says of a failure; the first that is there counts.
	ErrorCode []string
	ErrorText []string
	ErrorID   []string

	Types  []string // token types that are accepted, in any case
	Prefix string   // taken off the token where it begins with it
	Keep   []string // members that are handed on beside the token
}

// Outcome says what a reply means whose body is a JSON object and fits every
// condition.
type Outcome struct {
	Status int      // of the reply; 0 stands for 200 and 201
	Member string   // a path; empty for no condition
	Absent bool     // the member is not there, or null; otherwise it must be there
	Values []Scalar // one of which the member must be, nil for any
	Is     string   // ok, refused, conflict, closed, busy or untrusted
}

// Scalar is a text, number or boolean of JSON. Numbers are equal by their value,
// and to nothing but numbers.
type Scalar struct{ kind, text string }

// Policy says what may be done with a token.
type Policy struct {
	SingleUse    bool  // good for one call
	Seconds      int64 // documented lifetime where the reply states none
	LockoutAfter int   // consecutive refusals that lock the account
	// Account names the fields by which the provider counts them, in any case.
	Account []string
}

// Use says how calls carry the provider's token: in a header, as a bearer token
// (RFC 6750 section 2.1) if the definition says nothing, or as a member of the
// JSON body.
type Use struct {
	Header, Scheme, Member string
	Headers                []Pair // other headers that calls need
}

// UseOf says how calls carry a token that was issued for these values. Of a header
// that mentions a secret field only the name is told.
func (d *Definition) UseOf(values Values) token.Use {
	use := token.Use{Header: d.Use.Header, Scheme: d.Use.Scheme, Member: d.Use.Member, Headers: map[string]*string{}}
	for _, header := range d.Use.Headers {
		text, given := header.Value.reveal(values)
		switch {
		case slices.ContainsFunc(header.Value.Fields(), d.secret):
			use.Headers[header.Name] = nil
		case given:
			use.Headers[header.Name] = &text
		}
	}
	return use
}

// secret reports whether a field is secret.
func (d *Definition) secret(field string) bool {
	f, _ := d.Field(field)
	return f.Secret
}

// Lifetime returns the documented lifetime of a token, 0 if there is none.
func (p Policy) Lifetime() time.Duration { return time.Duration(p.Seconds) * time.Second }

// FixedLifetime returns the lifetime of every token of the provider, 0 if it is
// never known. ok is false if each reply states it.
func (d *Definition) FixedLifetime() (lifetime time.Duration, ok bool) {
	return d.Policy.Lifetime(), len(d.Reply.ExpiresIn)+len(d.Reply.ExpiresAt) == 0
}

// Example is a documented reply. The emulator serves it and a test judges it.
type Example struct {
	Name   string
	Status int
	// Body is JSON. {token} and {refresh_token} stand for generated values.
	Body string
	// Outcome is "token" or the code of the failure the reply is.
	Outcome string
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
		return Environment{}, err.WithHint("its environments are: %s", strings.Join(names, ", ")).Suggest(failure.Nearest(name, names))
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

// Variables returns every environment variable that belongs to the provider.
func (d *Definition) Variables() []string {
	var names []string
	for _, setting := range []string{"environment", "base_url", "ca_file", "client_cert", "client_key"} {
		names = append(names, d.Variable(setting))
	}
	for _, f := range d.Fields {
		names = append(names, d.Variable(f.Name), d.Variable(f.Name)+"_FILE")
	}
	return names
}

// VariablePrefix returns what the variables of a provider begin with.
func VariablePrefix(provider string) string { return "TOKENFETCH_" + upper(provider) + "_" }

// TokenVariable returns the default name of the variable that takes the token.
func TokenVariable(provider string) string { return FieldVariable(provider, "access_token") }

// FieldVariable returns the name of the variable that takes a field's value beside
// the token, such as ENKASH_CLIENT_SECRET.
func FieldVariable(provider, field string) string { return upper(provider) + "_" + upper(field) }

func upper(name string) string { return strings.ToUpper(strings.ReplaceAll(name, "-", "_")) }
