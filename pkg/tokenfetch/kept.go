package tokenfetch

import (
	"cmp"
	"context"
	"errors"
	"os"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/internal/cache"
	"github.com/tokenfetch/tokenfetch/pkg/internal/credential"
	"github.com/tokenfetch/tokenfetch/pkg/internal/token"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/pkg/source"
)

// Limits for reading the encryption key. Without the key the program continues, but
// does not use the cache.
const (
	sealingKeyLimit = time.Second // for each attempt
	sealingKeyPause = time.Second // between two attempts while another process fetches
	maxKeyTimeouts  = 3
)

// kept gives access to the cached tokens of one owner. A nil *kept has no tokens.
type kept struct {
	client *Client
	path   string
	owner  cache.Owner
	since  time.Time     // if Query.Refresh is set: ignore tokens cached before this time
	minTTL time.Duration // ignore tokens whose remaining lifetime is shorter
	key    []byte        // nil if there is no key (yet)

	// findKey reads the encryption key from the keychain. It is nil if the keychain
	// cannot have the key.
	findKey  func() ([]byte, error)
	makeKey  func() ([]byte, error) // creates the key if there is none
	keyError error                  // of the last attempt; nil if it found a key
	looked   time.Time              // time of the last attempt
	timeouts int                    // number of attempts that timed out
	waited   bool                   // whether this process waited for another one, which may have created the key

	told bool // whether the reason not to use the cached token was already reported
}

// CacheAllowed reports whether the tokens of a profile may be cached. This depends
// on the definition, the profile and the machine.
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

// openKept returns the cached tokens for a plan, or nil if the cache must not be
// used.
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

// CacheKey returns the key that encrypts cached tokens. It reads the key from the
// place that cache_key names, or from the keychain. It shows no dialog and takes at
// most one second.
func (c *Client) CacheKey(ctx context.Context, file *profile.File) ([]byte, error) {
	c = c.inTime()
	k := &kept{client: c}
	err := k.open(ctx, c.limit, file)
	return k.key, err
}

// open finds the encryption key.
func (k *kept) open(ctx context.Context, limit *Limit, file *profile.File) (err error) {
	// Reading the key must not use up the time for the fetch.
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

// look reads the encryption key from the keychain, unless that cannot succeed. A
// timeout may mean that many processes ask the keychain at the same time. Therefore
// look tries again after a timeout, but only maxKeyTimeouts times.
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

// keyMissing reports whether the keychain contains no usable key, so that a new one
// may be created.
func (k *kept) keyMissing() bool {
	return errors.Is(k.keyError, secret.ErrNotFound) || errors.Is(k.keyError, cache.ErrUnusable)
}

// usable reports whether a cached token may be available, now or later.
func (k *kept) usable() bool { return k != nil && (k.key != nil || k.findKey != nil) }

// readCacheKey reads the key that cache_key names. For an invalid key the error has
// the code [failure.CacheKeyInvalid]. If the key is not available here, the error
// has another code.
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

// badCacheKey returns the error for a setting that the user must correct.
func badCacheKey(why, hint string) error {
	if hint == "" {
		hint = "make a key with: openssl rand -hex 32"
	}
	return failure.New(failure.CacheKeyInvalid, "cache_key in [tokenfetch] cannot be used: %s", why).WithHint("%s", hint)
}

// IsBadCacheKey reports whether err says that cache_key is invalid, rather than
// unavailable here.
func IsBadCacheKey(err error) bool {
	e, ok := errors.AsType[*failure.Error](err)
	return ok && e.Code == failure.CacheKeyInvalid
}

// get returns the cached token, or nil if there is none that the query accepts.
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

// getWaiting is like get, for use while another process fetches. That process may
// create the encryption key, so it looks for the key again.
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

// getInTurn is like get, for use after this process has acquired the lock.
func (k *kept) getInTurn(ctx context.Context) *token.Token {
	if k != nil && k.keyMissing() {
		k.look()
	}
	for k.usable() && errors.Is(k.keyError, secret.ErrTimeout) && k.others() {
		k.look() // fetching without the cache would cost a request
	}
	return k.get(ctx)
}

// others reports whether other processes may have cached a token since this one
// started, or shortly before.
func (k *kept) others() bool {
	info, err := os.Stat(k.path)
	return k.waited || err == nil && time.Since(info.ModTime()) < time.Minute
}

// put caches a token. If that fails, the only consequence is that the next
// invocation sends a request.
func (k *kept) put(ctx context.Context, t *token.Token) {
	switch {
	case k == nil:
		return
	case t.Lifetime == 0:
		k.client.options.Person.Trace("the token is not kept: its lifetime is not known")
		return
	case t.Lifetime <= cache.Margin(t.Lifetime):
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

// CacheProblem returns why the cache could not be used. It returns only fixed texts
// of this program.
func CacheProblem(err error) string {
	for _, known := range []error{secret.ErrUnavailable, secret.ErrLocked, secret.ErrTimeout, cache.ErrUnusable, cache.ErrExpired} {
		if errors.Is(err, known) {
			return err.Error()
		}
	}
	if e, ok := errors.AsType[*failure.Error](err); ok {
		return e.Message
	}
	return cmp.Or(source.NoRoom(err), "the write failed")
}
