package credential

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/pkg/source"
)

// Access contains the functions that read values from each kind of source.
type Access struct {
	// Stdin reads a value from standard input.
	Stdin func(ctx context.Context) (secret.Value, error)
	// Helper runs a helper command and returns its output.
	Helper func(ctx context.Context, argv []string) (secret.Value, error)
	// File limits the time for reading one file. nil means no limit.
	File func(context.Context) (context.Context, context.CancelFunc)
	// Keychain is the store for keychain items.
	Keychain secret.Store
	// Trusted accepts files that a flag or variable names even if others could have
	// changed them, as in CI. Note then receives a message.
	Trusted bool
	Note    func(message string)
}

// ReadNear reads the fields that need neither the keychain nor a helper. Their
// values identify a cached token. The error is a [*failure.Error], or an error of a
// function in a.
func (p *Plan) ReadNear(ctx context.Context, a Access) (provider.Values, error) {
	values := provider.Values{}
	return values, p.readInto(ctx, a, values, func(place Place) bool { return !place.far() })
}

// Read adds the remaining fields to values, which [Plan.ReadNear] returned. It
// returns the same errors, and those of [KeychainFailure] for the keychain.
func (p *Plan) Read(ctx context.Context, a Access, values provider.Values) error {
	return p.readFar(ctx, a, values, func(provider.Field) bool { return true })
}

// ReadFields is like [Plan.Read], but reads only the fields with these names and all
// fields that are not secret, because a default may refer to them.
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

// ReadAccount reads the fields that identify an account of the provider, see
// [Plan.Fingerprint].
func (p *Plan) ReadAccount(ctx context.Context, a Access) (provider.Values, error) {
	values := provider.Values{}
	return values, p.readInto(ctx, a, values, func(place Place) bool { return p.inAccount(place.Field) })
}

// inAccount reports whether the field identifies the account whose refusals the
// provider counts. These are the fields that the definition names, or by default all
// fields that are not secret.
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
		if place.Kind == Missing && place.Problem != nil {
			return place.Problem
		}
		value, err := place.read(ctx, a)
		if err != nil {
			return p.explain(ctx, a, place, err)
		}
		values[place.Field.Name] = value
	}
	return nil
}

// far reports whether the value is read only on a cache miss, because it needs the
// keychain or a helper.
func (place Place) far() bool { return place.Kind == Keychain || place.Kind == Helper }

// Identity returns everything that identifies a cached token, except its provider
// and profile: the definition, the base URL, and for each field the value from
// [Plan.ReadNear] or the name of its source. For a client certificate, to which a
// token may be bound (RFC 8705), it contains the paths.
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

// Fingerprint returns what a refusal applies to. all contains the provider, the base
// URL and every value, including defaults and the client certificate. account
// contains the identity by which the provider counts refusals: its origin and the
// fields that the definition names, in lower case. If the definition names none,
// account contains the base URL and every value that is not secret.
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

// Known returns the values that are known without reading anything: literals of
// fields that are not secret. It is for --dry-run.
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

// read reads the value from its source.
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

// FileName returns a name of the place's file for messages. It does not contain a
// path from a flag or variable, which may be a secret by mistake.
func (place Place) FileName() string {
	if place.level > byProfile {
		return place.Where
	}
	return "the file " + place.Path
}

// SharedFile returns how a command line names the place's file if others can read it,
// or "".
func (place Place) SharedFile() string {
	if !place.Shared {
		return ""
	}
	return source.ShellName(place.Path, place.FileName())
}

// trusted reports whether the file is accepted even if others could have changed it.
// This applies only to a file that a flag or variable names, because the caller
// chose it.
func (place Place) trusted(a Access) bool { return a.Trusted && place.level > byProfile }

// KeychainFailure converts an error of a [secret.Store] to one for the user, or
// returns nil for any other error. The hint says what to do about the keychain
// itself; it may be empty. Callers extend it with [failure.Error.Append] and
// [failure.Error.AppendHint].
func KeychainFailure(err error) *failure.Error {
	switch {
	case errors.Is(err, secret.ErrNotFound):
		return failure.New(failure.KeychainNotFound, "the keychain has no such item")
	case errors.Is(err, secret.ErrNoKeyring):
		return failure.New(failure.KeychainUnavailable, "the keychain service runs, but has no default keyring").
			WithHint("log in to your desktop session, which makes and unlocks one, or do it here: gnome-keyring-daemon --replace --unlock (it reads the keyring's password from standard input)")
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

// explain converts an error of a [secret.Store] to one that says what the user can
// do. It returns any other error unchanged.
func (p *Plan) explain(ctx context.Context, a Access, place Place, err error) error {
	e := KeychainFailure(err)
	if e == nil {
		return p.ofPlace(place, err)
	}
	variable := p.Definition.Variable(place.Field.Name)
	unread := p.query.unread(place.Field)
	again := p.query.again("--" + place.Field.Flag() + " FILE")
	without := either(fmt.Sprintf("set %s, or %s_FILE to the path of its file", variable, variable), again)
	if p.query.named() {
		without = either(fmt.Sprintf(`write %s = { env = "NAME" } or { file = "PATH" } into %s`, place.Field.Name, p.query.table()), again)
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
		files := p.loginCommand(place) + " --store files"
		if p.Profile != nil {
			files += " --replace"
		}
		return failure.New(e.Code, "%s is missing: nothing gives it, and %s%s", place.Field.Name, e.Message, p.query.similar(variable)).
			WithHint("%s", either(cmp.Or(unread, without), "store it in a file: "+files))
	case failure.KeychainLocked:
		return e.Append(", and %s is stored in it", place.Field.Name).WithHint("%s", or(e.Hint+" and run this again"))
	case failure.KeychainTimeout:
		return e.Append(" when asked for %s", place.Field.Name).WithHint("%s", or(e.Hint+", or allow more time with --timeout 60s"))
	}
	return e
}

// ofPlace adds to the error of a value which field it is of, and what to do.
func (p *Plan) ofPlace(place Place, err error) error {
	e, ok := errors.AsType[*failure.Error](err)
	if !ok || e.Code == failure.Interrupted {
		return err
	}
	owner := p.Giver(place)
	switch {
	case place.Kind == Helper:
		e = e.Append("; %s runs it", owner)
		if e.Code == failure.HelperTimeout {
			return e.WithHint("to allow more time %s", p.query.again("--timeout 60s"))
		}
		if line := failure.CommandLine(place.Argv); e.Code == failure.HelperFailed && len(line) <= maxCommand && !strings.ContainsFunc(line, unicode.IsControl) {
			e = e.WithHint("see why, which is not shown here, with: %s", line)
		}
	case place.Kind == Stdin:
		e = e.Append("; %s reads it", owner)
	case place.Variable != "" && place.level == byProfile:
		e = e.Append("; it is for %s", place.Field.Name)
	case place.level == byProfile && place.Kind == File:
		e = e.Append("; %s names it", owner)
	}
	switch {
	case e.Hint != "":
	case p.byLogin(place):
		e = e.WithHint("store it again with: %s", p.loginCommand(place))
	case e.Code == failure.FieldInvalid:
		e = e.WithHint("correct %s: a value is one line of text", owner)
	case e.Code == failure.FileNotFound:
		e = e.WithHint("make the file, or correct %s", owner)
	default:
		e = e.WithHint("check %s", owner)
	}
	return e
}

// maxCommand is the length of the longest command line in a hint.
const maxCommand = 300

// loginCommand returns the command that stores an item. For a host other than the
// profile's own, that must be a profile for that host.
func (p *Plan) loginCommand(place Place) string {
	command, owner := "tokenfetch login "+p.Definition.Name, cmp.Or(place.profile, p.ProfileName)
	switch {
	case p.Profile != nil && p.hostAt > byProfile:
		command += "/NAME"
	case owner != profile.Default:
		command += "/" + owner
	}
	switch {
	case p.hostAt <= byProfile:
		return command
	case p.Environment != "":
		return command + " -e " + p.Environment
	}
	return command + " --base-url " + p.Base.String()
}

// Correction returns the hint how to change the secrets: for those that a login has
// stored a command, otherwise the variables, files and helpers that they come from. It
// is empty if the caller supplied all of them.
func (p *Plan) Correction() string {
	command := ""
	var places []string
	for _, place := range p.Places {
		switch _, given := p.query.Given[place.Field.Name]; {
		case !place.Field.Secret, given, place.Kind == Missing, place.Kind == Default:
		case p.byLogin(place):
			command = p.loginCommand(place)
		case !slices.Contains(places, place.Where):
			places = append(places, place.Where)
		}
	}
	switch {
	case places == nil && command == "":
		return ""
	case places == nil:
		return "correct the credentials with: " + command
	case command != "":
		places = append(places, "where login has stored them ("+command+")")
	}
	return "correct the credentials; the secrets come from " + strings.Join(places, " and ")
}

// SecretFile returns the path of the file in which a login stores a secret beside the
// profiles file, and the path as the profile has it.
func SecretFile(file *profile.File, provider, profileName, field string) (path, relative string) {
	relative = "secrets/" + provider + "." + profileName + "." + field
	return filepath.Join(filepath.Dir(file.Path), filepath.FromSlash(relative)), relative
}

// byLogin reports whether a login has stored the secret, and another would change it.
func (p *Plan) byLogin(place Place) bool {
	path, _ := SecretFile(p.query.File, p.Definition.Name, p.ProfileName, place.Field.Name)
	return place.Kind == Keychain || place.Kind == File && place.level == byProfile && place.Path == path
}

// HostGiver returns the name of what chooses the host, as [Plan.Giver] does. A login,
// which has values in hand, may not have stored that yet.
func (p *Plan) HostGiver() string {
	if p.query.Given != nil {
		return "the base address"
	}
	setting := "base_url"
	if p.Environment != "" {
		setting = "environment"
	}
	switch p.hostFrom {
	case byFlag:
		return "--" + strings.ReplaceAll(setting, "_", "-")
	case byVariable:
		return p.Definition.Variable(setting)
	case byProfile:
		return setting + " of " + p.query.table()
	}
	return "the base address"
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

// Ref identifies the profile in the cache: provider and profile name.
func (p *Plan) Ref() []string { return []string{p.Definition.Name, p.ProfileName} }

// SecretVariables returns the variables that the profile names as sources of its
// secret fields, and the one that cache_key in its profiles file names.
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

// WithoutSecrets returns environ without the variables that contain secrets: those
// in names, and those of the secret fields of every provider in the catalog.
func WithoutSecrets(catalog *provider.Catalog, environ, names []string) []string {
	secretVariable := catalog.SecretVariable()
	return slices.DeleteFunc(slices.Clone(environ), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.Contains(names, name) || strings.HasPrefix(name, "TOKENFETCH_") && secretVariable(name)
	})
}
