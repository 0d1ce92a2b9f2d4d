// Package login creates and changes profiles and stores their secrets, and removes them
// again. It asks no questions and prints nothing. [Begin] reads the current state, the
// caller fills in the [Setup], and [Setup.Store] stores everything or, if it fails,
// restores the previous state. [Removal.Remove] removes a profile's secrets, tokens and
// holds.
package login

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/internal/credential"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

// Where secrets are stored.
const (
	Keychain = "keychain" // of the operating system
	Files    = "files"    // for the user alone, beside the profiles file
)

// Options say whose secrets are stored or removed, and what does it.
type Options struct {
	Client   *tokenfetch.Client
	Keychain secret.Keeper // such as Client.Keychain returns; may be nil for a new profile with its secrets in Files
	Ref      tokenfetch.Ref
	Name     string // how a command names Ref, for hints
	// Again returns the command line of the login with more flags, for hints. nil means
	// that it has no others.
	Again func(flags string) string
}

// again returns the command line of the login with more flags.
func (o *Options) again(flags string) string {
	if o.Again != nil {
		return o.Again(flags)
	}
	return "tokenfetch login " + o.Name + " " + flags
}

// Table returns the profile's table header, such as [zeepay.ci].
func (o *Options) Table() string { return "[" + o.Ref.Definition.Name + "." + o.Ref.Profile + "]" }

// old returns the profile that a file has, nil if it has none.
func (o *Options) old(file *profile.File) (*profile.Profile, error) {
	d := o.Ref.Definition
	return file.Profile(d.Name, o.Ref.Profile, credential.ProfileFields(d))
}

// secretFile returns the path of the file for a secret, absolute and relative to the
// directory of the profiles file.
func (o *Options) secretFile(file *profile.File, field string) (path, relative string) {
	return credential.SecretFile(file, o.Ref.Definition.Name, o.Ref.Profile, field)
}

// cacheKeyFile is secretFile for the key that encrypts cached tokens. The name does not
// collide, because no provider can be called tokenfetch.
func cacheKeyFile(file *profile.File) (path, relative string) {
	relative = "secrets/tokenfetch.cache_key"
	return filepath.Join(filepath.Dir(file.Path), filepath.FromSlash(relative)), relative
}

// Setup is a profile that is going to be written: its settings, and a place and
// maybe a new value for each of its secrets. The methods are called in this order:
// From, Place, ProveStore, SetHost, Set and Copy, Prepare, LookUp, Secret.Give, CheckSizes,
// Trial and Verify, Store. Before Store nothing is changed. Prepare may be called as
// soon as the host can be found, and again when there are more settings. After Verify
// the steps from SetHost on may be done anew.
type Setup struct {
	Options
	File    *profile.File    // as it was read
	Old     *profile.Profile // what File has of the profile, nil if it is new
	Secrets []*Secret        // of the provider, after Place
	Base    provider.Address // the host they are bound to, after Prepare; empty if it is not known

	from     *profile.Profile  // that fields are copied from, nil for none
	settings []profile.Setting // to write, none if the profile stays as it is
	next     *profile.File     // the file with the settings
	query    credential.Query  // what a fetch would ask for
	verified bool              // the credentials have given a token
}

// Secret is a secret field of the provider, and what to do with it.
type Secret struct {
	provider.Field
	Place  string // Keychain, Files, or empty if it comes from elsewhere and is not stored
	From   string // says from where
	Stored bool   // there is one at Place already, after LookUp

	was     string // the place where Setup.Old has it
	account string // in the keychain
	path    string // of its file
	value   secret.Value
	given   bool
}

// Give sets the new value to store.
func (s *Secret) Give(value secret.Value) { s.value, s.given = value, true }

// IsGiven reports whether there is a new value.
func (s *Secret) IsGiven() bool { return s.given }

// HasBlanks reports whether the new value begins or ends with whitespace.
func (s *Secret) HasBlanks() bool {
	value := s.value.Reveal()
	return strings.TrimSpace(value) != value
}

// Begin reads the profiles file. Because the file is going to be written, its owner and
// mode are checked even in CI. If the file is readable but the profile in it is
// invalid, Begin returns both the Setup and the error. After any other error the Setup
// is nil.
func Begin(ctx context.Context, o Options) (*Setup, error) {
	path, _, err := o.Client.ProfilesPath()
	if err != nil {
		return nil, err
	}
	if path == "" {
		return nil, failure.New(failure.ProfilesUnwritable, "there is no home directory for a profiles file").
			WithHint("set HOME, or name the file with --config FILE")
	}
	file, err := o.Client.ReadProfiles(ctx, path, false, nil)
	if err != nil {
		return nil, err
	}
	s := &Setup{Options: o, File: file, next: file}
	s.Old, err = o.old(file)
	return s, err
}

// From names another profile of the provider, which must exist, to copy fields from.
// [Setup.Copy] copies them.
func (s *Setup) From(name string) error {
	d := s.Ref.Definition
	q := credential.Query{Definition: d, Profile: name, File: s.File}
	if err := q.CheckExists(); err != nil {
		return err
	}
	var err error
	s.from, err = s.File.Profile(d.Name, name, credential.ProfileFields(d))
	return err
}

// CanCopy reports whether the profile that [Setup.From] names has a field that may be
// copied. Secrets and keychain items may not, because they are bound to that profile's
// host.
func (s *Setup) CanCopy(field string) bool {
	if s.from == nil {
		return false
	}
	f, _ := s.Ref.Definition.Field(field)
	is, ok := s.from.Fields[field]
	return ok && !f.Secret && is.Keychain == ""
}

// Copy copies a field, either its text or its source, from the profile that
// [Setup.From] names.
func (s *Setup) Copy(field string) {
	is := s.from.Fields[field]
	setting := profile.Setting{Key: field, File: is.File, Env: is.Env, Command: is.Command}
	if is.Text != nil {
		setting.Text = is.Text.Reveal()
	}
	s.set(setting)
}

// Places says where the secrets of a profile are to be stored.
type Places struct {
	Store   string   // Keychain or Files
	Given   bool     // the user has chosen Store
	Replace bool     // a profile that exists may be changed
	New     []string // the secrets that get a new value in any case
}

// Place decides where each secret is stored. A secret that an existing profile reads
// from another source stays there unless it is replaced. A change to an existing
// profile without Replace fails with [failure.ProfileExists].
func (s *Setup) Place(p Places) error {
	for _, f := range s.Ref.Definition.Fields {
		if !f.Secret {
			continue
		}
		one := &Secret{Field: f, Place: p.Store}
		one.path, _ = s.secretFile(s.File, f.Name)
		now := p.Store
		if s.Old != nil {
			one.was, one.From = s.sourceOf(one)
			now = one.was
		}
		replaced := slices.Contains(p.New, f.Name)
		switch {
		case p.Replace && replaced, now == p.Store:
		case now != "" && p.Replace && p.Given:
		case now != "" && p.Given:
			return failure.New(failure.ProfileExists, "the profile %s exists in %s, and takes %s from the %s", s.Table(), s.File.Path, f.Name, now).
				WithHint("to move it run: %s; or leave --store out", s.again("--replace"))
		case replaced && now == "":
			return failure.New(failure.ProfileExists, "the profile %s exists in %s, and takes %s from %s", s.Table(), s.File.Path, f.Name, one.From).
				WithHint("to store it run: %s; or leave --%s out", s.again("--replace"), f.Flag())
		default:
			one.Place = now
		}
		s.Secrets = append(s.Secrets, one)
	}
	return nil
}

// sourceOf returns where the existing profile has a secret: place is Keychain or Files,
// otherwise from describes the source.
func (s *Setup) sourceOf(one *Secret) (place, from string) {
	switch is, ok := s.Old.Fields[one.Name]; {
	case !ok, is.Keychain == s.Ref.Profile:
		return Keychain, ""
	case is.Keychain != "":
		return "", "the keychain item of " + s.Ref.Definition.Name + "/" + is.Keychain
	case is.File == one.path:
		return Files, ""
	case is.File != "":
		return "", "the file " + is.File
	case is.Env != "":
		return "", "the variable " + is.Env
	case is.Command != nil:
		return "", "the helper " + is.Command[0]
	}
	return "", "the profiles file itself"
}

// SetHost makes the profile one of an environment of the provider or of a base
// address; the other is empty. It undoes what Set and Copy have done, because
// another host may need other fields.
func (s *Setup) SetHost(environment, baseURL string) {
	s.settings = nil
	if s.Old == nil || s.Old.Environment != environment || s.Old.BaseURL != baseURL {
		s.settings = append(s.settings, profile.Setting{Key: "environment", Text: environment}, profile.Setting{Key: "base_url", Text: baseURL})
	}
}

// Set sets the text of a field that is not secret. Fields are written in the
// definition's order.
func (s *Setup) Set(field, text string) { s.set(profile.Setting{Key: field, Text: text}) }

func (s *Setup) set(setting profile.Setting) {
	rank := func(s2 profile.Setting) int {
		return slices.IndexFunc(s.Ref.Definition.Fields, func(f provider.Field) bool { return f.Name == s2.Key }) // the host's is -1
	}
	s.settings = slices.DeleteFunc(s.settings, func(old profile.Setting) bool { return old.Key == setting.Key })
	s.settings = append(s.settings, setting)
	slices.SortStableFunc(s.settings, func(a, b profile.Setting) int { return rank(a) - rank(b) })
}

// Prepare builds the new profiles file and resolves what a fetch would use: the host,
// and with it the names of the keychain items. It fails if the host is not known.
func (s *Setup) Prepare(ctx context.Context) (err error) {
	if s.next, err = s.edited(s.File); err != nil {
		return err
	}
	s.query = credential.Query{Definition: s.Ref.Definition, Profile: s.Ref.Profile, File: s.next, Alone: true}
	if s.Old != nil && s.Old.Environment == "" && s.Old.BaseURL == "" && len(s.settings) == 0 && s.Ref.Profile == profile.Default {
		s.query.Alone = false // a variable may say which host it is
	}
	plan, err := s.Client.Find(ctx, s.query)
	if e, ok := errors.AsType[*failure.Error](err); ok && e.Code == failure.HostMissing && len(s.settings) == 0 {
		err = e.WithHint("say it with: %s", s.again("--replace"))
	}
	if plan.Base.Host == "" {
		return err
	}
	// A missing value from another source does not prevent storing these secrets.
	s.Base = plan.Base
	for _, one := range s.Secrets {
		one.account = credential.Account(s.Ref.Definition, s.Ref.Profile, one.Name, s.Base)
	}
	return nil
}

// edited returns a profiles file with the new settings.
func (s *Setup) edited(file *profile.File) (*profile.File, error) {
	settings := slices.Clone(s.settings)
	for _, one := range s.Secrets {
		switch {
		case one.Place == "" || one.Place == one.was:
		case one.Place == Files:
			_, relative := s.secretFile(file, one.Name)
			settings = append(settings, profile.Setting{Key: one.Name, File: relative})
		case s.Old != nil:
			settings = append(settings, profile.Setting{Key: one.Name})
		}
	}
	if len(settings) == 0 {
		return file, nil
	}
	comment := ""
	if names := s.names(func(one *Secret) bool { return one.Place == Keychain }); names != nil {
		comment = strings.Join(names, " and ") + ": read from the keychain by default"
	}
	return file.With(s.Ref.Definition.Name, s.Ref.Profile, settings, comment)
}

// names returns the names of the secrets that which selects.
func (s *Setup) names(which func(*Secret) bool) []string {
	var names []string
	for _, one := range s.Secrets {
		if which(one) {
			names = append(names, one.Name)
		}
	}
	return names
}

// Changes reports whether Store would change anything.
func (s *Setup) Changes() bool {
	return s.next != s.File || slices.ContainsFunc(s.Secrets, func(one *Secret) bool { return one.given })
}

// Trial plans a fetch with the new secrets, before they are stored. With tryAnyway it
// sends credentials that an earlier refusal holds back.
func (s *Setup) Trial(ctx context.Context, tryAnyway bool) (*tokenfetch.Plan, error) {
	given := provider.Values{}
	for _, one := range s.Secrets {
		if one.given {
			given[one.Name] = one.value
		}
	}
	return s.Client.Plan(ctx, tokenfetch.Query{
		Ref: s.Ref, File: s.next, Alone: s.query.Alone, Given: given, NoCache: true, TryAnyway: tryAnyway,
	})
}

// Repeats reports whether another trial would send the values of this one again.
func (s *Setup) Repeats(trial *tokenfetch.Plan) bool {
	differs := func(field, now string) bool {
		sent, _ := trial.Value(field)
		return sent.Reveal() != now
	}
	return !slices.ContainsFunc(s.Secrets, func(one *Secret) bool {
		return one.given && differs(one.Name, one.value.Reveal())
	}) && !slices.ContainsFunc(s.settings, func(now profile.Setting) bool {
		_, field := s.Ref.Definition.Field(now.Key)
		return field && now.Text != "" && differs(now.Key, now.Text)
	})
}

// Verify fetches a token with the plan from [Setup.Trial] and discards it. The error is
// that of [tokenfetch.Plan.Token].
func (s *Setup) Verify(ctx context.Context, trial *tokenfetch.Plan) error {
	if err := trial.Load(ctx); err != nil {
		return err
	}
	_, err := trial.Token(ctx)
	if e, ok := errors.AsType[*failure.Error](err); ok && trial.HeldBack() {
		err = e.AddHint("to store them without a try, so that the next fetch sends them, run: %s", s.again("--verify=false"))
	}
	s.verified = err == nil
	return err
}
