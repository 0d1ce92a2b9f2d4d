package credential

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/pkg/source"
)

// Access is how values are reached.
type Access struct {
	// Stdin reads a value from standard input.
	Stdin func(ctx context.Context) (secret.Value, error)
	// Helper runs a helper command and returns what it prints.
	Helper func(ctx context.Context, argv []string) (secret.Value, error)
	// File limits the time that reading one file may take; nil for no limit.
	File func(context.Context) (context.Context, context.CancelFunc)
	// Keychain is asked for items.
	Keychain secret.Store
	// Trusted takes files the caller names that others could have changed, as
	// in CI, and tells Note.
	Trusted bool
	Note    func(message string)
}

// ReadNear reads the fields that need neither the keychain nor a helper: what
// a cached token is told apart by. The error is a *failure.Error, or one of Access.
func (p *Plan) ReadNear(ctx context.Context, a Access) (provider.Values, error) {
	values := provider.Values{}
	return values, p.readInto(ctx, a, values, func(place Place) bool { return !place.far() })
}

// Read adds the remaining fields to values, those that ReadNear has read. Errors are
// as there, those of the keychain as KeychainFailure has them.
func (p *Plan) Read(ctx context.Context, a Access, values provider.Values) error {
	return p.readFar(ctx, a, values, func(provider.Field) bool { return true })
}

// ReadFields is Read for the fields of these names, and for those that are not
// secret, because a default may refer to them.
func (p *Plan) ReadFields(ctx context.Context, a Access, values provider.Values, names []string) error {
	return p.readFar(ctx, a, values, func(f provider.Field) bool { return !f.Secret || slices.Contains(names, f.Name) })
}

func (p *Plan) readFar(ctx context.Context, a Access, values provider.Values, wanted func(provider.Field) bool) error {
	if err := p.readInto(ctx, a, values, func(place Place) bool { return place.far() && wanted(place.Field) }); err != nil {
		return err
	}
	for _, place := range p.Places {
		if place.Kind == Default {
			values[place.Field.Name] = place.Field.DefaultValue(values)
		}
	}
	return nil
}

// ReadAccount reads the fields that tell one account of a provider from another,
// see Fingerprint.
func (p *Plan) ReadAccount(ctx context.Context, a Access) (provider.Values, error) {
	values := provider.Values{}
	return values, p.readInto(ctx, a, values, func(place Place) bool { return p.inAccount(place.Field) })
}

// inAccount reports whether the field is a part of what the provider counts
// refusals by: one that the definition names, or where it names none, one that is
// not secret.
func (p *Plan) inAccount(f provider.Field) bool {
	if counted := p.Definition.Policy.Account; len(counted) > 0 {
		return slices.Contains(counted, f.Name)
	}
	return !f.Secret
}

func (p *Plan) readInto(ctx context.Context, a Access, values provider.Values, wanted func(Place) bool) error {
	for _, place := range p.Places {
		if place.Kind == Default || !wanted(place) {
			continue
		}
		value, err := place.read(ctx, a)
		if err != nil {
			return p.explain(ctx, a, place, err)
		}
		values[place.Field.Name] = value
	}
	return nil
}

// far reports whether reading the place takes a keychain or a helper.
func (place Place) far() bool { return place.Kind == Keychain || place.Kind == Helper }

// Identity is everything that a cached token belongs to, beside its provider
// and profile: the definition, the address, and of each field the value that
// ReadNear gave, or the name of the place it would be read from. Of a client
// certificate, to which a token may be bound (RFC 8705), it is the paths.
func (p *Plan) Identity(near provider.Values) []string {
	parts := []string{p.Definition.Digest, p.Base.String()}
	for _, place := range p.Places {
		parts = append(parts, place.Field.Name)
		switch place.Kind {
		case Keychain:
			parts = append(parts, "keychain", place.Account)
		case Helper:
			parts = append(parts, "helper", strings.Join(place.Argv, "\x00"))
		default:
			parts = append(parts, "value", near[place.Field.Name].Reveal())
		}
	}
	for _, place := range p.CertificatePlaces() {
		path, err := filepath.Abs(place.Path)
		if err != nil {
			path = place.Path
		}
		parts = append(parts, place.Field.Name, path)
	}
	return parts
}

// Fingerprint is what a refusal belongs to: the provider, the address and every
// value, those of defaults and the client certificate included. Account is what the provider counts refusals
// by: its origin and the fields that the definition names, in lower case; where
// it names none, the address and every value that is not secret.
func (p *Plan) Fingerprint(values provider.Values) (all, account []string) {
	counted := len(p.Definition.Policy.Account) > 0
	all = []string{p.Definition.Name, p.Base.Origin(), p.Base.Path}
	account = slices.Clone(all)
	if counted {
		account = account[:2]
	}
	for _, place := range p.Places {
		value, ok := values[place.Field.Name]
		if !ok && place.Kind == Default {
			value = place.Field.DefaultValue(values)
		}
		text := value.Reveal()
		all = append(all, place.Field.Name, text)
		if !p.inAccount(place.Field) {
			continue
		}
		if counted {
			text = strings.ToLower(strings.TrimSpace(text))
		}
		account = append(account, place.Field.Name, text)
	}
	if p.Leaf != nil {
		all = append(all, "client_cert", string(p.Leaf.Raw))
	}
	return all, account
}

// Known returns the values that are known without reading anything: those that
// are not secret and are written down. For --dry-run.
func (p *Plan) Known() provider.Values {
	values := provider.Values{}
	for _, place := range p.Places {
		if place.Kind == Text && !place.Field.Secret {
			values[place.Field.Name] = place.text
		}
	}
	for _, place := range p.Places {
		if place.Kind == Default {
			values[place.Field.Name] = place.Field.DefaultValue(values)
		}
	}
	return values
}

// read gets the value from its place.
func (place Place) read(ctx context.Context, a Access) (secret.Value, error) {
	switch place.Kind {
	case Stdin:
		return a.Stdin(ctx)
	case File:
		if a.File != nil {
			var cancel context.CancelFunc
			ctx, cancel = a.File(ctx)
			defer cancel()
		}
		value, note, err := source.ReadValue(ctx, place.Path, place.FileName(), place.trusted(a))
		if note != "" && err == nil {
			a.Note(place.FileName() + " " + note + "; taken because this is CI")
		}
		return value, err
	case Helper:
		return a.Helper(ctx, place.Argv)
	case Keychain:
		value, err := a.Keychain.Get(ctx, place.Account)
		if err != nil {
			return secret.Value{}, err
		}
		return value, checkValue(value, place.Where)
	}
	return place.text, checkValue(place.text, place.Where)
}

// FileName names the place's file in messages. A path that a flag or variable
// gives is not shown: a secret may stand there by mistake.
func (place Place) FileName() string {
	if place.level > byProfile {
		return place.Where
	}
	return "the file " + place.Path
}

// trusted reports whether the place's file is taken although others could have
// changed it: one that a flag or variable names is the caller's own choice.
func (place Place) trusted(a Access) bool { return a.Trusted && place.level > byProfile }

// KeychainFailure returns what an error of a secret.Store means to a user, nil if err
// is none: the hint is what to do about the keychain itself, or empty. Callers add
// what they know, with Append and AppendHint.
func KeychainFailure(err error) *failure.Error {
	switch {
	case errors.Is(err, secret.ErrNotFound):
		return failure.New(failure.KeychainNotFound, "the keychain has no such item")
	case errors.Is(err, secret.ErrUnavailable):
		return failure.New(failure.KeychainUnavailable, "there is no keychain here").WithHint("start your keychain service")
	case errors.Is(err, secret.ErrLocked):
		return failure.New(failure.KeychainLocked, "the keychain is locked").WithHint("unlock it in your desktop session")
	case errors.Is(err, secret.ErrTimeout):
		return failure.New(failure.KeychainTimeout, "the keychain did not answer in time").WithHint("check your keychain service")
	case errors.Is(err, secret.ErrTooLarge):
		return failure.New(failure.KeychainTooBig, "the secret is larger than the keychain takes")
	}
	return nil
}

// explain turns the errors of a secret.Store into what a user can do. Other
// errors say that already.
func (p *Plan) explain(ctx context.Context, a Access, place Place, err error) error {
	e := KeychainFailure(err)
	if e == nil {
		return err
	}
	variable := p.Definition.Variable(place.Field.Name)
	unread := p.query.unread(place.Field)
	without := "set " + variable + " or give --" + place.Field.Flag() + " FILE"
	if p.query.named() {
		without = "write " + place.Field.Name + " = { env = \"NAME\" } or { file = \"PATH\" } into " + p.query.table() + ", or give --" + place.Field.Flag() + " FILE"
	}
	or := func(remedy string) string {
		if unread != "" {
			return unread + "; or " + remedy
		}
		return remedy + "; or " + without
	}
	switch e.Code {
	case failure.KeychainNotFound:
		return failure.New(e.Code, "%s is missing: %s does not exist%s, and nothing else gives it%s",
			place.Field.Name, place.Where, p.elsewhere(ctx, a, place), p.query.similar(variable)).
			WithHint("%s", or("store it with: "+p.loginCommand(place)))
	case failure.KeychainUnavailable:
		return failure.New(e.Code, "%s is missing: nothing gives it, and %s", place.Field.Name, e.Message).WithHint("%s", cmp.Or(unread, without))
	case failure.KeychainLocked:
		return e.Append(", and %s is stored in it", place.Field.Name).WithHint("%s", or(e.Hint+" and run this again"))
	case failure.KeychainTimeout:
		return e.Append(" when asked for %s", place.Field.Name).WithHint("%s", or(e.Hint+", or allow more time with --timeout 60s"))
	}
	return e
}

// loginCommand is the command that stores an item. One for a host that is not the
// profile's own needs a profile that says so.
func (p *Plan) loginCommand(place Place) string {
	command := "tokenfetch login " + p.Definition.Name
	switch {
	case p.Profile != nil && p.hostAt > byProfile:
		command += "/NAME"
	case place.profile != profile.Default:
		command += "/" + place.profile
	}
	switch {
	case p.hostAt <= byProfile:
		return command
	case p.Environment != "":
		return command + " -e " + p.Environment
	}
	return command + " --base-url " + p.Base.String()
}

// elsewhere says which other environment of the provider has the secret.
func (p *Plan) elsewhere(ctx context.Context, a Access, place Place) string {
	for _, e := range p.Definition.Environments {
		if e.Name == p.Environment {
			continue
		}
		base, err := provider.ParseAddress(e.BaseURL)
		if err != nil {
			continue // its host depends on a field
		}
		if _, err := a.Keychain.Get(ctx, p.account(place, base)); err == nil {
			return " (there is one for the environment " + e.Name + ", at " + base.Authority() + ")"
		}
	}
	return ""
}

// Ref names the profile in the cache: its provider and its name.
func (p *Plan) Ref() []string { return []string{p.Definition.Name, p.ProfileName} }

// SecretVariables returns the variables that the profile names as the sources of
// its secret fields, and the one that cache_key of its profiles file names.
func (p *Plan) SecretVariables() []string {
	var names []string
	if key := p.query.File.CacheKey; key != nil && key.Env != "" {
		names = append(names, key.Env)
	}
	if p.Profile == nil {
		return names
	}
	for _, f := range p.Definition.Fields {
		if name := p.Profile.Fields[f.Name].Env; f.Secret && name != "" {
			names = append(names, name)
		}
	}
	return names
}

// WithoutSecrets returns environ without the variables that hold secrets: those
// of the secret fields of every provider in the catalog, and the named ones.
func WithoutSecrets(catalog *provider.Catalog, environ, names []string) []string {
	secretVariable := catalog.SecretVariable()
	return slices.DeleteFunc(slices.Clone(environ), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.Contains(names, name) || strings.HasPrefix(name, "TOKENFETCH_") && secretVariable(name)
	})
}
