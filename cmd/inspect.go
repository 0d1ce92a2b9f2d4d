package cmd

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/cache"
	"github.com/tokenfetch/tokenfetch/pkg/credential"
	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/pkg/token"
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

// inspector looks at profiles. It changes nothing, asks nobody and runs nothing.
type inspector struct {
	run   *run
	limit *tokenfetch.Limit
	file  *profile.File
	store *patient
	// sealingKey returns the key of the cached tokens, nil if there is none yet.
	sealingKey func() ([]byte, error)
}

func (r *run) newInspector(ctx context.Context, limit *tokenfetch.Limit, file *profile.File) *inspector {
	i := &inspector{run: r, limit: limit, file: file}
	i.store = &patient{store: r.engine().QuietKeychain(limit)}
	i.sealingKey = sync.OnceValues(func() ([]byte, error) {
		if s := file.CacheKey; s != nil && s.Command != nil {
			return nil, errNotRun
		} else if broken := i.store.gaveUp(); s == nil && broken != nil {
			return nil, broken
		}
		key, err := r.engine().CacheKey(ctx, file)
		if errors.Is(err, secret.ErrNotFound) {
			err = nil
		}
		return key, err
	})
	return i
}

var errNotRun = errors.New("the helper of cache_key is not run")

// patient is a store that is not asked again once it could not answer.
type patient struct {
	store secret.Store

	mu     sync.Mutex
	broken error
}

// Get asks the store.
func (p *patient) Get(ctx context.Context, account string) (secret.Value, error) {
	if err := p.gaveUp(); err != nil {
		return secret.Value{}, err
	}
	value, err := p.store.Get(ctx, account)
	for _, lasting := range []error{secret.ErrUnavailable, secret.ErrLocked, secret.ErrTimeout} {
		if errors.Is(err, lasting) {
			p.giveUp(err)
		}
	}
	return value, err
}

func (p *patient) giveUp(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = err
}

// gaveUp returns why the store is not asked any more.
func (p *patient) gaveUp() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.broken
}

// all returns the profiles that there are: those of the file, and the default
// of a provider that has variables or a table that is none.
func (i *inspector) all(ctx context.Context) ([]ref, error) {
	definitions, err := i.run.catalog.All()
	if err != nil {
		return nil, err
	}
	var refs []ref
	for _, d := range definitions {
		names := i.file.Names(d.Name)
		if !slices.Contains(names, profile.Default) && (i.run.touches(d.Name) || i.misplaced(ctx, d)) {
			refs = append(refs, ref{Definition: d, Profile: profile.Default})
		}
		for _, name := range names {
			refs = append(refs, ref{Definition: d, Profile: name})
		}
	}
	return refs, nil
}

// misplaced reports whether something stands under the provider's name that is
// no profile.
func (i *inspector) misplaced(ctx context.Context, d *provider.Definition) bool {
	e, ok := errors.AsType[*failure.Error](i.survey(ctx, ref{Definition: d, Profile: profile.Default}).Problem)
	return ok && e.Code == failure.ProfileInvalid
}

func (i *inspector) survey(ctx context.Context, f ref) *credential.Plan {
	ctx, cancel := i.limit.Context(ctx)
	defer cancel()
	return credential.Survey(ctx, credential.Query{Definition: f.Definition, Profile: f.Profile, File: i.file, Environ: i.run.env.Environ})
}

// profileState is what is known of a profile.
type profileState struct {
	ref       ref
	plan      *credential.Plan
	problems  []error // why a request could not be made, the first one first
	cached    cachedState
	hold      *cache.Hold
	holdDoubt string // why it is not known whether there is a hold
	left      *int   // refusals before the provider locks the account, nil if not known
	now       time.Time
}

// cachedState is what is known of a cached token.
type cachedState struct {
	token *token.Token
	none  string // why there is none, or empty
	doubt string // why it is not known whether there is one
}

// ready reports whether a run would print a token, as far as is known.
func (s *profileState) ready() bool { return len(s.problems) == 0 || s.cached.token != nil }

// inspect looks at one profile.
func (i *inspector) inspect(ctx context.Context, f ref) *profileState {
	s := &profileState{ref: f, now: time.Now()}
	if err := tokenfetch.CheckProfileName(f.Definition, f.Profile); err != nil {
		s.plan = &credential.Plan{Definition: f.Definition, ProfileName: f.Profile, Problem: err}
	} else {
		s.plan = i.survey(ctx, f)
	}
	access := i.run.engine().Access(ctx, i.limit)
	access.Keychain = i.store
	values := s.plan.Inspect(ctx, access)
	if err := s.plan.Unfinished(); err != nil {
		s.problems = append(s.problems, err)
	}
	s.problems = append(s.problems, s.plan.Problems()...)
	if _, err := i.run.engine().Roots(ctx, i.limit, s.plan.Profile, ""); err != nil {
		s.problems = append(s.problems, err)
	}
	allowed, err := i.run.engine().CacheAllowed(s.plan)
	if allowed && i.file.CacheKey != nil {
		if _, keyErr := i.sealingKey(); tokenfetch.IsBadCacheKey(keyErr) {
			err = keyErr
		}
	}
	if err != nil {
		s.problems = append(s.problems, err)
	}
	if s.plan.Problem != nil {
		s.cached.doubt, s.holdDoubt = s.plan.Problem.Error(), s.plan.Problem.Error()
		return s
	}
	s.cached = i.cached(s, values, allowed)
	i.findHold(s, values)
	if s.hold != nil {
		s.problems = append(s.problems, s.hold.Failure().WithHint("%s", tokenfetch.HoldHint(f, s.hold)))
	}
	return s
}

// cached looks for a token that a run would take.
func (i *inspector) cached(s *profileState, values provider.Values, allowed bool) cachedState {
	switch {
	case s.plan.Definition.Policy.SingleUse:
		return cachedState{none: "never cached: it can be used once"}
	case !allowed && s.plan.Profile != nil && s.plan.Profile.Cache != nil:
		return cachedState{none: "the profile says cache = false"}
	case !allowed:
		return cachedState{none: "not cached in CI"}
	}
	key, err := i.sealingKey()
	switch {
	case errors.Is(err, errNotRun):
		return cachedState{doubt: errNotRun.Error()}
	case errors.Is(err, secret.ErrLocked), errors.Is(err, secret.ErrTimeout):
		return cachedState{doubt: tokenfetch.CacheProblem(err)}
	case err != nil:
		return cachedState{none: "no key to seal tokens with: " + tokenfetch.CacheProblem(err)}
	case key == nil:
		return cachedState{}
	}
	tokens := cache.OpenTokens(i.run.engine().Dirs().Cache, key)
	dirs := i.run.engine().Dirs()
	owner := cache.Owner{Ref: s.plan.Ref(), Identity: s.plan.Identity(values), Generation: cache.Generation(dirs.State, s.plan.Ref())}
	switch {
	case !tokens.Any(owner.Ref):
		return cachedState{}
	case !s.plan.Knows(values).Near:
		return cachedState{doubt: "there is one, but whether for these credentials is not known before they are read"}
	}
	t, err := tokens.Get(owner, s.now)
	if err != nil {
		return cachedState{} // expired, damaged, or for other credentials: a run would not take it
	}
	return cachedState{token: t}
}

// findHold looks whether an earlier refusal holds the credentials back.
func (i *inspector) findHold(s *profileState, values provider.Values) {
	known := s.plan.Knows(values)
	if !known.Account {
		s.holdDoubt = "a field that tells accounts apart is not known"
		return
	}
	all, account := s.plan.Fingerprint(values)
	guard := cache.ReadGuard(i.run.engine().Dirs().State, cache.Credential{
		Values: all, Account: account, LockoutAfter: s.plan.Definition.Policy.LockoutAfter,
	})
	if err := guard.Err(); err != nil {
		s.holdDoubt = "no refusals are kept here: " + tokenfetch.CacheProblem(err)
		return
	}
	state := guard.State(s.now, time.Time{})
	s.left, s.hold = state.Left, state.Hold
	if s.hold == nil && !known.All && guard.OthersHeld(s.now) {
		s.holdDoubt = "credentials of this account were refused, but whether these is not known before they are read"
	}
}
