package inspect

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/internal/cache"
	"github.com/tokenfetch/tokenfetch/pkg/internal/credential"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

// Profile describes a profile. Its texts may contain text from the user's files and
// environment: escape control characters before printing them.
type Profile struct {
	Ref         tokenfetch.Ref
	Environment string  // of the provider, empty if a base address is given or no host is known
	Origin      string  // SCHEME://HOST:PORT of the token endpoint, empty if it is not known
	Host        string  // HOST of Origin, with the port only if the address has one
	Fields      []Field // those that are needed, in the definition's order; then client_cert and client_key if either is given
	// Renew is the time until the client certificate expires. It is nil unless the
	// certificate should be renewed now.
	Renew *time.Duration

	// Cached and Hold are nil if the profile or its host is invalid.
	Cached *Cached
	Hold   *Hold
	// RefusalsLeft is the number of refusals left before the provider locks the
	// account, nil if that is not known.
	RefusalsLeft *int

	// Tried reports whether an earlier login with these credentials is on record, with
	// any outcome: a token, a refusal or no reply. It is nil if that is not known.
	Tried *bool

	// Problems are the reasons why no request could be sent, in the order in which a
	// fetch would report them.
	Problems []*failure.Error

	plan *credential.Plan
}

// Field describes where the value of a field comes from.
type Field struct {
	Name   string
	Secret bool
	State  State
	Source string // see [credential.Place.Source], empty where nothing gives the field
	Where  string // in words, such as "TOKENFETCH_ZEEPAY_USERNAME"
	Shared string // how a command line names its file if others can read that, else empty
}

// State is the state of a field's value.
type State string

// The states of a field.
const (
	StateFound   State = "found"
	StateNotRun  State = "not_run" // the helper exists but is not run
	StateMissing State = "missing"
	StateInvalid State = "invalid"
	StateLocked  State = "locked"  // in a keychain that is locked
	StateUnknown State = "unknown" // its source does not respond, or is not read
)

// Cached describes the cached token of a profile.
type Cached struct {
	Found   bool
	Left    time.Duration // of its lifetime, whole seconds
	Expires time.Time

	None  string // why tokens are not cached, empty if they may be
	Doubt string // why it is unknown whether there is one, otherwise empty
}

// Hold describes the hold that earlier refusals have put on the credentials.
type Hold struct {
	Held    bool
	Left    time.Duration // from now on, whole seconds
	Until   time.Time
	Account bool         // the account is held back, whatever the password: there is no Code
	Code    failure.Code // of the last refusal

	Doubt string // why it is unknown whether there is a hold, otherwise empty
}

// Ready reports whether a fetch would print a token, as far as that is known.
func (p *Profile) Ready() bool {
	return len(p.Problems) == 0 || p.Cached != nil && p.Cached.Found
}

// DistinctProblems returns Problems with each problem of the whole keychain once, not
// once for each field.
func (p *Profile) DistinctProblems() []*failure.Error {
	var distinct []*failure.Error
	for _, e := range p.Problems {
		if ofKeychain(e.Code) == nil || !slices.ContainsFunc(distinct, func(other *failure.Error) bool { return other.Code == e.Code }) {
			distinct = append(distinct, e)
		}
	}
	return distinct
}

// ofKeychain returns the error that a code stands for if it concerns the whole
// keychain, otherwise nil.
func ofKeychain(code failure.Code) error {
	switch code {
	case failure.KeychainLocked:
		return secret.ErrLocked
	case failure.KeychainUnavailable:
		return secret.ErrUnavailable
	case failure.KeychainTimeout:
		return secret.ErrTimeout
	}
	return nil
}

// Problem is a problem of one or more profiles.
type Problem struct {
	Refs    []tokenfetch.Ref
	Failure *failure.Error // why a request could not be made
}

// DistinctProblems returns the problems of profiles, each once, in the order of the
// first profile that has it.
func DistinctProblems(profiles []*Profile) []Problem {
	var all []Problem
	for _, p := range profiles {
		for _, e := range p.DistinctProblems() {
			keychainError := ofKeychain(e.Code)
			n := slices.IndexFunc(all, func(other Problem) bool {
				return other.Failure.Code == e.Code &&
					(keychainError != nil || other.Failure.Message == e.Message && other.Failure.Hint == e.Hint)
			})
			if n < 0 {
				all = append(all, Problem{[]tokenfetch.Ref{p.Ref}, e})
				continue
			}
			if all[n].Refs = append(all[n].Refs, p.Ref); keychainError != nil {
				// Drops what the message says of the first profile only.
				all[n].Failure = credential.KeychainFailure(keychainError).AppendHint("; or %s", withoutKeychain)
			}
		}
	}
	return all
}

// look inspects one profile.
func (l *looker) look(ctx context.Context, f tokenfetch.Ref) *Profile {
	plan := &credential.Plan{Definition: f.Definition, ProfileName: f.Profile}
	if plan.Problem = tokenfetch.CheckProfileName(f.Definition, f.Profile); plan.Problem == nil {
		plan = l.survey(ctx, f)
	}
	access := l.client.Access(ctx, l.limit)
	access.Keychain = l.store
	values := plan.Inspect(ctx, access)
	p := &Profile{Ref: f, Environment: plan.Environment, Origin: plan.Base.Origin(), Host: plan.Base.Authority(), Fields: fields(plan), Renew: renew(plan, time.Now()), plan: plan}
	cacheAllowed, cacheErr := l.cacheAllowed(plan)
	_, rootsErr := l.client.Roots(ctx, l.limit, plan, "")
	for _, err := range slices.Concat([]error{plan.Unfinished()}, plan.Problems(), []error{rootsErr, cacheErr}) {
		if err != nil {
			p.Problems = append(p.Problems, failure.From(err))
		}
	}
	if plan.Problem != nil {
		return p
	}
	now := time.Now()
	ctx, cancel := l.limit.Context(ctx)
	defer cancel()
	p.Cached = l.cached(ctx, plan, values, cacheAllowed, now)
	l.findHold(ctx, p, values, now)
	return p
}

// renewal is the remaining lifetime below which a client certificate should be renewed.
// For a short-lived certificate it is a third of its lifetime.
const renewal = 30 * 24 * time.Hour

// renew returns the value of [Profile.Renew].
func renew(plan *credential.Plan, now time.Time) *time.Duration {
	if plan.Certificate() == nil {
		return nil // there is none, or a problem says what is wrong with it
	}
	left := plan.Leaf.NotAfter.Sub(now)
	if left >= min(renewal, plan.Leaf.NotAfter.Sub(plan.Leaf.NotBefore)/3) {
		return nil
	}
	return &left
}

func fields(plan *credential.Plan) []Field {
	var all []Field
	for _, place := range slices.Concat(plan.Places, plan.CertificatePlaces()) {
		all = append(all, Field{
			Name: place.Field.Name, Secret: place.Field.Secret, State: stateOf(place),
			Source: place.Source(), Where: place.Where, Shared: place.SharedFile(),
		})
	}
	return all
}

func stateOf(place credential.Place) State {
	e, ok := errors.AsType[*failure.Error](place.Problem)
	switch {
	case place.Problem == nil && place.Kind == credential.Helper:
		return StateNotRun
	case place.Problem == nil && place.Kind == credential.Keychain && place.Account == "":
		return StateUnknown
	case place.Problem == nil:
		return StateFound
	case !ok:
		return StateUnknown
	}
	switch e.Code {
	case failure.FieldMissing, failure.FileNotFound, failure.HelperNotFound, failure.KeychainNotFound, failure.KeychainUnavailable:
		return StateMissing
	case failure.KeychainLocked:
		return StateLocked
	case failure.KeychainTimeout, failure.InputTimeout:
		return StateUnknown
	}
	return StateInvalid
}

// cacheAllowed reports whether tokens of a profile may be cached. The error concerns an
// invalid setting.
func (l *looker) cacheAllowed(plan *credential.Plan) (bool, error) {
	allowed, err := l.client.CacheAllowed(plan)
	if allowed && l.file.CacheKey != nil {
		if _, keyErr := l.sealingKey(); tokenfetch.IsBadCacheKey(keyErr) {
			err = keyErr
		}
	}
	return allowed, err
}

// cached looks for a cached token that a fetch would print.
func (l *looker) cached(ctx context.Context, plan *credential.Plan, values provider.Values, allowed bool, now time.Time) *Cached {
	switch {
	case plan.Definition.Policy.SingleUse:
		return &Cached{None: "never cached: it can be used once"}
	case !allowed && plan.Profile != nil && plan.Profile.Cache != nil:
		return &Cached{None: "the profile says cache = false"}
	case !allowed:
		return &Cached{None: "not cached in CI"}
	}
	key, err := l.sealingKey()
	switch {
	case errors.Is(err, errNotRun):
		return &Cached{Doubt: errNotRun.Error()}
	case errors.Is(err, secret.ErrLocked), errors.Is(err, secret.ErrTimeout):
		return &Cached{Doubt: tokenfetch.CacheProblem(err)}
	case err != nil:
		return &Cached{None: "no key to seal tokens with: " + tokenfetch.CacheProblem(err)}
	case key == nil:
		return &Cached{}
	}
	dirs := l.client.Dirs()
	tokens := cache.OpenTokens(dirs.Cache, key)
	owner := cache.Owner{Ref: plan.Ref(), Identity: plan.Identity(values), Generation: cache.Generation(ctx, dirs.State, plan.Ref())}
	switch {
	case !tokens.Any(ctx, owner.Ref):
		return &Cached{}
	case !plan.Knows(values).Near:
		return &Cached{Doubt: "there is one, but whether for these credentials is not known before they are read"}
	}
	t, err := tokens.Get(ctx, owner, now)
	if err != nil {
		return &Cached{} // expired, damaged, or for other credentials: a run would not print it
	}
	expires := t.Obtained.Add(t.Lifetime)
	return &Cached{Found: true, Left: expires.Sub(now).Truncate(time.Second), Expires: expires}
}

// findHold sets Hold, RefusalsLeft and Tried from the record of earlier logins.
func (l *looker) findHold(ctx context.Context, p *Profile, values provider.Values, now time.Time) {
	p.Hold = &Hold{}
	known := p.plan.Knows(values)
	if !known.Account {
		p.Hold.Doubt = "a field that tells accounts apart is not known"
		return
	}
	all, account := p.plan.Fingerprint(values)
	guard := cache.ReadGuard(ctx, l.client.Dirs().State, cache.Credential{
		Values: all, Account: account, LockoutAfter: p.plan.Definition.Policy.LockoutAfter,
	})
	if err := guard.Err(); err != nil {
		p.Hold.Doubt = "no refusals are kept here: " + tokenfetch.CacheProblem(err)
		return
	}
	tried := p.Cached.Found || guard.OthersTried(ctx)
	if known.All {
		tried = p.Cached.Found || guard.Tried(ctx)
	}
	if known.All || !tried || p.Cached.Found {
		p.Tried = &tried
	}
	state := guard.State(ctx, now, time.Time{})
	p.RefusalsLeft = state.Left
	switch h := state.Hold; {
	case h != nil:
		p.Hold = &Hold{Held: true, Left: h.Left, Until: now.Add(h.Left), Account: h.LockoutAfter > 0, Code: h.Code}
		p.Problems = append(p.Problems, h.Failure().WithHint("%s", tokenfetch.HoldHint(p.Ref, h, p.plan, "")))
	case !known.All && guard.OthersHeld(ctx, now):
		p.Hold.Doubt = "credentials of this account were refused, but whether these is not known before they are read"
	}
}
