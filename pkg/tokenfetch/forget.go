package tokenfetch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/internal/cache"
	"github.com/tokenfetch/tokenfetch/pkg/internal/credential"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
)

// Dirs returns the directories of the token cache and of the recorded login
// outcomes.
func (c *Client) Dirs() cache.Dirs { return c.dirs }

// ErrNoKey is returned if the key that encrypts cached tokens cannot be read.
var ErrNoKey = errors.New("no sealing key")

// ClearTokens removes the cached tokens of profiles, and returns their number. Each
// element of refs is a provider and a profile name. It returns [ErrNoKey] if it
// cannot tell which tokens belong to the profiles, because it has no key.
func (c *Client) ClearTokens(ctx context.Context, file *profile.File, refs [][]string) (removed int, err error) {
	key, err := c.CacheKey(ctx, file)
	switch {
	case errors.Is(err, secret.ErrNotFound):
		return 0, nil // no key: no token was ever cached
	case err != nil:
		return 0, fmt.Errorf("%w: %w", ErrNoKey, err)
	}
	tokens := cache.OpenTokens(c.dirs.Cache, key)
	for _, ref := range refs {
		n, err := tokens.Clear(ctx, ref)
		removed += n
		if err != nil {
			return removed, err
		}
	}
	return removed, nil
}

// DropTokens is like [Client.ClearTokens], for tokens that must no longer be used.
// If the key cannot be read, it removes all cached tokens, because it cannot tell
// them apart. This costs the other profiles one request each.
func (c *Client) DropTokens(ctx context.Context, file *profile.File, refs [][]string) (removed int, err error) {
	removed, err = c.ClearTokens(ctx, file, refs)
	if errors.Is(err, ErrNoKey) {
		removed, err = cache.ClearTokens(ctx, c.dirs.Cache)
	}
	if errors.Is(err, cache.ErrUnusable) {
		err = nil // no usable directory: there are no tokens
	}
	return removed, err
}

// ClearHolds removes the holds of the account that found resolves to. held says why
// the account is still on hold, or is nil if it is not: the count of failed logins
// is kept.
func (c *Client) ClearHolds(ctx context.Context, found *credential.Plan) (removed int, held *cache.Hold, err error) {
	c = c.inTime()
	values, err := found.ReadAccount(ctx, c.Access(ctx, c.limit))
	if err != nil {
		return 0, nil, err
	}
	guard := c.readAccount(ctx, found, values)
	removed, err = guard.Clear(ctx, false)
	return removed, guard.State(ctx, time.Now(), time.Time{}).Hold, err
}

// readAccount opens the records of the account that found and values identify,
// independently of the password.
func (c *Client) readAccount(ctx context.Context, found *credential.Plan, values provider.Values) *cache.Guard {
	_, account := found.Fingerprint(values)
	return cache.ReadGuard(ctx, c.dirs.State, cache.Credential{Account: account, LockoutAfter: found.Definition.Policy.LockoutAfter})
}

// Hold says why credentials are not sent.
type Hold = cache.Hold

// Forgotten describes what [Client.Forget] removed.
type Forgotten struct {
	Tokens int   // number of cached tokens
	Holds  int   // number of holds and other records of credentials
	Held   *Hold // why the account is still on hold, or nil
	// Counted is set by [Client.ForgetAll] if failed logins are still counted. The
	// count ends with a successful login or after 24 hours.
	Counted bool
	// Kept is the error if the holds were removed but the cached tokens were not.
	Kept error
}

// Forget removes the cached tokens of a profile. If a name is given, the profile
// must exist. If holds is set, it also removes the holds of the credentials, which
// does not need the keychain. The count of failed logins is kept.
func (c *Client) Forget(ctx context.Context, f Ref, file *profile.File, holds bool) (Forgotten, error) {
	c = c.inTime()
	var done Forgotten
	query := credential.Query{Definition: f.Definition, Profile: f.Profile, File: file, Environ: c.options.Environ}
	if err := query.CheckNamed(); err != nil {
		return done, err
	}
	if holds {
		found, err := c.Find(ctx, query)
		if found.Base.Host == "" {
			return done, err
		}
		if done.Holds, done.Held, err = c.ClearHolds(ctx, found); err != nil {
			if err := removal("holds of "+f.String(), err); err != nil {
				return done, err
			}
			done.Held = nil
		}
	}
	var err error
	done.Tokens, err = c.ClearTokens(ctx, file, [][]string{{f.Definition.Name, f.Profile}})
	if errors.Is(err, ErrNoKey) {
		if holds {
			done.Kept = err
			return done, nil
		}
		return done, failure.New(failure.CacheInvalid, "the key that seals cached tokens cannot be read: %s", CacheProblem(err)).
			WithHint("remove all cached tokens with tokenfetch cache clear")
	}
	return done, removal("cached tokens of "+f.String(), err)
}

// ForgetAll does what [Client.Forget] does, for all profiles.
func (c *Client) ForgetAll(ctx context.Context, holds bool) (done Forgotten, err error) {
	done.Tokens, err = cache.ClearTokens(ctx, c.dirs.Cache)
	if err = removal("cached tokens", err); err != nil || !holds {
		return done, err
	}
	done.Holds, err = cache.ClearHolds(ctx, c.dirs.State)
	done.Counted = cache.AnyCount(ctx, c.dirs.State, time.Now())
	return done, removal("holds", err)
}

// removal returns the error for a failed removal of files. It returns nil if err is
// nil or there is no usable directory. An [*Error] is returned unchanged.
func removal(what string, err error) error {
	switch _, ours := errors.AsType[*failure.Error](err); {
	case ours:
		return err
	case err == nil, errors.Is(err, cache.ErrUnusable):
		return nil
	}
	return failure.New(failure.CacheInvalid, "the %s cannot be removed: %s", what, CacheProblem(err)).
		WithHint("check the owner and mode of the directory")
}

// ForgetAccount removes all records of an account, including the count of failed
// logins. It is for an emulator that was restarted and has lost its accounts.
func (c *Client) ForgetAccount(ctx context.Context, d *provider.Definition, baseURL string, values provider.Values) error {
	found, err := c.Find(ctx, credential.Query{
		Definition: d, Profile: profile.Default, File: &profile.File{}, Alone: true, BaseURL: baseURL, Given: values,
	})
	if err != nil {
		return err
	}
	_, err = c.readAccount(ctx, found, values).Clear(ctx, true)
	return err
}

// EmulatorVariable is the environment variable for a directory that replaces the
// user's cache and state directories. The emulator sets it for its child process.
const EmulatorVariable = cache.Emulated
