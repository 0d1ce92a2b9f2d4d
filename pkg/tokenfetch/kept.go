package tokenfetch

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/internal/cache"
	"github.com/tokenfetch/tokenfetch/pkg/internal/credential"
	"github.com/tokenfetch/tokenfetch/pkg/internal/token"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/pkg/source"
)

// How the sealing key is looked for: a run goes on without.
const (
	sealingKeyLimit = time.Second // for each look
	sealingKeyPause = time.Second // between two looks while another run fetches
	maxKeyTimeouts  = 3
)

// kept is the cached tokens that a run may use. A nil one holds none.
type kept struct {
	client *Client
	path   string
	owner  cache.Owner
	since  time.Time     // only tokens from then on, for Query.Refresh
	minTTL time.Duration // only tokens that live this long
	key    []byte        // nil while there is none

	// The sealing key of the keychain, nil where there is none to be had.
	findKey  func() ([]byte, error)
	makeKey  func() ([]byte, error) // where there is none yet
	keyError error                  // of the last look, nil if there was a key
	looked   time.Time              // when that was
	timeouts int                    // of all looks
	waited   bool                   // for another run, which may have made the key

	told bool // why the token that is kept is not used
}

// CacheAllowed reports whether tokens of a profile may be cached: the definition,
// the profile and the machine all have a say.
func (c *Client) CacheAllowed(found *credential.Plan) (bool, error) {
	var wanted *bool
	if found.Profile != nil {
		wanted = found.Profile.Cache
	}
	if found.Definition.Policy.SingleUse {
		if wanted != nil && *wanted {
			return false, failure.New(failure.CacheInvalid, "cache = true in [%s.%s]: its tokens are single use and are never cached", found.Definition.Name, found.ProfileName).
				WithHint("remove cache from the profile")
		}
		return false, nil
	}
	if wanted != nil {
		return *wanted, nil
	}
	return !c.CI(), nil
}

// openKept returns the cached tokens of a plan, nil where none may be used.
func (c *Client) openKept(ctx context.Context, p *Plan, generation string) (*kept, error) {
	if allowed, err := c.CacheAllowed(p.found); err != nil || !allowed || p.query.NoCache {
		return nil, err
	}
	k := &kept{
		client: c,
		path:   c.dirs.Cache,
		owner:  cache.Owner{Ref: p.found.Ref(), Identity: p.found.Identity(p.values), Generation: generation},
		minTTL: p.query.MinTTL,
	}
	if p.query.Refresh {
		k.since = c.limit.Start()
	}
	err := k.open(ctx, p.limit, p.file)
	switch {
	case err == nil, k.findKey != nil:
		return k, nil
	case IsBadCacheKey(err):
		return nil, err
	}
	c.options.Person.Trace("no cache: %s", CacheProblem(err))
	return nil, nil
}

// CacheKey returns the key that seals cached tokens: where cache_key says, or in
// the keychain. It opens no dialog, and takes a second at most.
func (c *Client) CacheKey(ctx context.Context, file *profile.File) ([]byte, error) {
	k := &kept{client: c}
	err := k.open(ctx, c.limit, file)
	return k.key, err
}

// open finds the sealing key.
func (k *kept) open(ctx context.Context, limit *Limit, file *profile.File) (err error) {
	// Neither takes the time that the fetch needs.
	inTime := func(most time.Duration, get func(context.Context) ([]byte, error)) ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, min(most, limit.Left()/3))
		defer cancel()
		return get(ctx)
	}
	if file.CacheKey != nil {
		k.key, err = inTime(sealingKeyLimit, func(ctx context.Context) ([]byte, error) { return k.client.readCacheKey(ctx, file.CacheKey) })
		return err
	}
	store, ok := k.client.quiet().(cache.KeyStore)
	if !ok {
		return secret.ErrUnavailable
	}
	k.findKey = func() ([]byte, error) {
		return inTime(sealingKeyLimit, func(ctx context.Context) ([]byte, error) { return cache.SealingKey(ctx, store) })
	}
	k.makeKey = func() ([]byte, error) {
		return inTime(keychainLimit, func(ctx context.Context) ([]byte, error) { return cache.MakeSealingKey(ctx, store, k.path) })
	}
	k.look()
	return k.keyError
}

// look looks for the sealing key in the keychain, unless that is known to be of
// no use. One that does not answer in time may have many runs asking at once: it
// is asked again, but not for ever.
func (k *kept) look() {
	if k.key != nil || k.findKey == nil {
		return
	}
	k.key, k.keyError = k.findKey()
	k.looked = time.Now()
	switch {
	case k.keyError == nil, k.keyMissing():
	case errors.Is(k.keyError, secret.ErrTimeout) && k.timeouts < maxKeyTimeouts-1:
		k.timeouts++
	default:
		k.findKey = nil
	}
}

// keyMissing reports whether the keychain has no key that can be used, so that
// one may be made.
func (k *kept) keyMissing() bool {
	return errors.Is(k.keyError, secret.ErrNotFound) || errors.Is(k.keyError, cache.ErrUnusable)
}

// usable reports whether there may be a cached token now or later in the run.
func (k *kept) usable() bool { return k != nil && (k.key != nil || k.findKey != nil) }

// readCacheKey reads the key that cache_key names. One that is wrong is a
// failure.CacheKeyInvalid; one that is not here is another error.
func (c *Client) readCacheKey(ctx context.Context, s *profile.Source) ([]byte, error) {
	var kept secret.Value
	var err error
	switch {
	case s.Env != "":
		text, set := c.Lookup(s.Env)
		if !set {
			return nil, failure.New(failure.FieldMissing, "the variable %s, which cache_key names, is not set", s.Env)
		}
		kept = secret.New(text)
	case s.File != "":
		kept, err = source.ReadBytes(ctx, s.File)
		if e, ok := errors.AsType[*failure.Error](err); ok {
			return nil, badCacheKey(e.Message, e.Hint)
		}
	default:
		kept, err = source.CommandBytes(ctx, s.Command, c.ChildEnviron(), nil)
	}
	if err != nil {
		return nil, err
	}
	key, err := cache.KeyFrom(kept)
	if err != nil {
		return nil, badCacheKey("it has fewer than 32 bytes", "")
	}
	return key, nil
}

// badCacheKey is the failure of a setting that has to be corrected.
func badCacheKey(why, hint string) error {
	if hint == "" {
		hint = "make a key with: openssl rand -hex 32"
	}
	return failure.New(failure.CacheKeyInvalid, "cache_key in [tokenfetch] cannot be used: %s", why).WithHint("%s", hint)
}

// IsBadCacheKey reports whether err says that cache_key is wrong, and not only not
// here.
func IsBadCacheKey(err error) bool {
	e, ok := errors.AsType[*failure.Error](err)
	return ok && e.Code == failure.CacheKeyInvalid
}

// get returns the cached token, nil if there is none that this run may use.
func (k *kept) get(ctx context.Context) *token.Token {
	if k == nil || k.key == nil {
		return nil
	}
	now := time.Now()
	t, err := cache.OpenTokens(k.path, k.key).Get(ctx, k.owner, now)
	switch {
	case cache.Missing(err):
		return nil
	case err != nil:
		if !k.told {
			k.client.options.Person.Trace("the cached token is not used: %s", CacheProblem(err))
		}
		k.told = true
		return nil
	case t.Obtained.Before(k.since), t.Obtained.Add(t.Lifetime).Sub(now) < k.minTTL:
		return nil
	}
	return t
}

// getWaiting is get while another run fetches, which may make the sealing key.
func (k *kept) getWaiting(ctx context.Context) *token.Token {
	if k == nil {
		return nil
	}
	k.waited = true
	if time.Since(k.looked) > sealingKeyPause {
		k.look()
	}
	return k.get(ctx)
}

// getInTurn is get once it is this run's turn to fetch.
func (k *kept) getInTurn(ctx context.Context) *token.Token {
	if k != nil && k.keyMissing() {
		k.look()
	}
	for k.usable() && errors.Is(k.keyError, secret.ErrTimeout) && k.others() {
		k.look() // to go without would cost a request
	}
	return k.get(ctx)
}

// others reports whether other runs may have kept a token since this run began,
// or shortly before.
func (k *kept) others() bool {
	info, err := os.Stat(k.path)
	return k.waited || err == nil && time.Since(info.ModTime()) < time.Minute
}

// put keeps a token. Trouble costs the next run a request, and no more.
func (k *kept) put(ctx context.Context, t *token.Token) {
	if k == nil || t.Lifetime <= cache.Margin(t.Lifetime) {
		return
	}
	if k.look(); k.key == nil && k.keyMissing() {
		k.key, k.keyError = k.makeKey()
	}
	if k.key == nil {
		k.client.options.Person.Trace("the token is not cached: %s", CacheProblem(k.keyError))
		return
	}
	if err := cache.OpenTokens(k.path, k.key).Put(ctx, k.owner, t); err != nil {
		k.client.options.Person.Trace("the token is not cached: %s", CacheProblem(err))
	}
}

// CacheProblem says in our words why the cache could not be used.
func CacheProblem(err error) string {
	for _, known := range []error{secret.ErrUnavailable, secret.ErrLocked, secret.ErrTimeout, cache.ErrUnusable, cache.ErrExpired} {
		if errors.Is(err, known) {
			return err.Error()
		}
	}
	if e, ok := errors.AsType[*failure.Error](err); ok {
		return e.Message
	}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "no space left"
	case errors.Is(err, syscall.EFBIG):
		return "the file would become too large"
	}
	return "the write failed"
}
