// Package provider reads provider definitions, builds their token requests and
// interprets their replies. A definition is data in a TOML file. No code here is
// specific to one provider: everything specific is in its definition.
package provider

import (
	"slices"
	"strings"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/internal/token"
)

// Definition describes one provider, as read from the file NAME.toml. See [Parse].
type Definition struct {
	Name         string        // also the name of the command
	Title        string        // the provider's own name; defaults to Name
	Verified     string        // the evidence for the definition; may be empty
	Docs         string        // https URL of the provider's documentation; may be empty
	Notes        []string      // sentences for the help text
	Environments []Environment // if empty, the user must set a base URL
	Fields       []Field       // in the order of prompts and listings
	Request      Request
	Reply        Reply
	Outcomes     []Outcome // how to interpret replies; the first match wins
	Policy       Policy
	Use          Use
	Examples     []Example

	// File is the path of a user's definition. It is empty for a built-in one.
	File string
	// Digest is a hash of the file that the definition was read from. It identifies
	// the version of the definition.
	Digest string
}

// Environment is one of a provider's hosts.
type Environment struct {
	Name string
	// BaseURL is an https URL, or an http URL with a loopback host. {FIELD} in the
	// host is replaced by one DNS label.
	BaseURL string
	// AllowListed is set if the host accepts requests only from source addresses on
	// the provider's allow list.
	AllowListed bool
}

// Field is one value that a user must supply.
type Field struct {
	Name     string // the key in profiles; the names of flags and variables are derived from it
	Help     string // never empty
	Secret   bool
	Optional bool // omitted from the request if it has no value
	// Default is the value if none is supplied: a string, or {FIELD} for the value
	// of another field.
	Default string
	Example string // for profiles.example.toml; never set for a secret
}

// Request describes how the fields are sent.
type Request struct {
	Method  string   // POST, or GET, which has no body
	Path    Template // appended to the base URL as written; a field is one segment
	Query   []Pair   // never contains secrets
	Headers []Pair
	Basic   *Basic // HTTP Basic authentication (RFC 7617), or nil
	// The body is a form or JSON. Both are nil if there is no body.
	Form []Pair
	JSON *JSON
}

// Pair is a parameter or a header. It is omitted if it mentions a field that has no
// value.
type Pair struct {
	Name  string
	Value Template
}

// Basic contains the names of the two fields for HTTP Basic authentication.
type Basic struct {
	User, Password string
	// FormEncoded is set if both values are form-encoded first, as RFC 6749 section
	// 2.3.1 requires. Many providers do not decode them.
	FormEncoded bool
}

// Reply describes where a reply contains its values. Each list contains paths of
// members (key names joined by dots). All members that are present must have equal
// values.
type Reply struct {
	Token     []string
	Type      []string
	ExpiresIn []string // seconds
	ExpiresAt []string // a point in time, see [token.LifetimeUntil]
	Scope     []string
	// How the provider describes an error. The first member that is present is used.
	ErrorCode []string
	ErrorText []string
	ErrorID   []string

	Types  []string // accepted token types, compared without regard to case
	Prefix string   // removed from the start of the token if present
	Keep   []string // members that are returned together with the token
}

// Outcome assigns a meaning to a reply. It applies if the body is a JSON object and
// the reply meets every condition.
type Outcome struct {
	Status int      // the HTTP status; 0 means 200 or 201
	Member string   // a path; empty for no condition
	Absent bool     // the member must be missing or null; otherwise it must be present
	Values []Scalar // the accepted values of the member; nil accepts any
	Is     string   // ok, refused, conflict, closed, busy or untrusted
}

// Scalar is a JSON string, number or boolean. Numbers compare by value and are equal
// only to numbers.
type Scalar struct{ kind, text string }

// Policy describes the limits of a provider's tokens and logins.
type Policy struct {
	SingleUse    bool  // a token is valid for one call
	Seconds      int64 // documented lifetime, used if the reply does not contain one
	LockoutAfter int   // number of consecutive refusals that locks the account
	// Account contains the names of the fields that identify the account whose
	// refusals the provider counts. Their values compare without regard to case.
	Account []string
}

// Use describes how API calls send the token: in a header, or as a member of the
// JSON body. The default is a bearer token in the header Authorization (RFC 6750
// section 2.1).
type Use struct {
	Header, Scheme, Member string
	Headers                []Pair // other headers that API calls need
}

// UseOf describes how API calls send a token that was issued for values. A header
// that mentions a secret field maps to nil, so that only its name is disclosed.
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

func (d *Definition) secret(field string) bool {
	f, _ := d.Field(field)
	return f.Secret
}

// Lifetime returns the documented lifetime of a token, or 0 if there is none.
func (p Policy) Lifetime() time.Duration { return time.Duration(p.Seconds) * time.Second }

// FixedLifetime returns the documented lifetime, which then applies to every token
// of the provider. It is 0 if the lifetime is never known. ok is false if replies
// contain the lifetime.
func (d *Definition) FixedLifetime() (lifetime time.Duration, ok bool) {
	return d.Policy.Lifetime(), len(d.Reply.ExpiresIn)+len(d.Reply.ExpiresAt) == 0
}

// Example is a documented reply. The emulator serves it, and a test checks that it
// has the documented outcome.
type Example struct {
	Name   string
	Status int
	// Body is JSON. {token} and {refresh_token} are replaced by generated values.
	Body string
	// Outcome is "token", or the [failure.Code] that the reply leads to.
	Outcome string
}

// Field returns the field with that name, and whether it exists.
func (d *Definition) Field(name string) (Field, bool) {
	return find(d.Fields, func(f Field) bool { return f.Name == name })
}

// Environment returns the environment with that name, and whether it exists.
func (d *Definition) Environment(name string) (Environment, bool) {
	return find(d.Environments, func(e Environment) bool { return e.Name == name })
}

// CheckEnvironment is [Definition.Environment] for a name that a user wrote. The
// error is a [*failure.Error] whose hint lists the valid names.
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

// AllowListed reports whether any of the provider's hosts accepts requests only from
// source addresses on the provider's allow list.
func (d *Definition) AllowListed() bool {
	return slices.ContainsFunc(d.Environments, func(e Environment) bool { return e.AllowListed })
}

// EnvironmentNames returns the names of the environments, in the order of the
// definition.
func (d *Definition) EnvironmentNames() []string {
	names := make([]string, len(d.Environments))
	for i, e := range d.Environments {
		names[i] = e.Name
	}
	return names
}

// Example returns the example with that name, and whether it exists.
func (d *Definition) Example(name string) (Example, bool) {
	return find(d.Examples, func(e Example) bool { return e.Name == name })
}

func find[T any](all []T, wanted func(T) bool) (found T, ok bool) {
	if i := slices.IndexFunc(all, wanted); i >= 0 {
		return all[i], true
	}
	return found, false
}

// Flag returns the name of the field's flag, without dashes. The flag of a secret
// field takes the path of a file.
func (f Field) Flag() string {
	name := strings.ReplaceAll(f.Name, "_", "-")
	if f.Secret {
		name += "-file"
	}
	return name
}

// Variable returns the environment variable of a field or setting, such as
// TOKENFETCH_ZEEPAY_CLIENT_ID for client_id.
func (d *Definition) Variable(setting string) string {
	return VariablePrefix(d.Name) + upper(setting)
}

// Variables returns all environment variables of the provider.
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

// VariablePrefix returns the prefix of all environment variables of a provider.
func VariablePrefix(provider string) string { return "TOKENFETCH_" + upper(provider) + "_" }

// TokenVariable returns the default name of the variable that is set to the token.
func TokenVariable(provider string) string { return FieldVariable(provider, "access_token") }

// FieldVariable returns the name of the variable that is set to a field's value when
// it is output together with the token, such as ENKASH_CLIENT_SECRET.
func FieldVariable(provider, field string) string { return upper(provider) + "_" + upper(field) }

func upper(name string) string { return strings.ToUpper(strings.ReplaceAll(name, "-", "_")) }
