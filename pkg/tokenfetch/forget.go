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

// Dirs returns the directories for cached tokens and for what is remembered of
// credentials.
func (c *Client) Dirs() cache.Dirs { return c.dirs }

// ErrNoKey says that the key which seals cached tokens cannot be read.
var ErrNoKey = errors.New("no sealing key")

// ClearTokens removes the cached tokens of profiles, each a provider and a name.
// It fails with ErrNoKey where it cannot tell which those are.
func (c *Client) ClearTokens(ctx context.Context, file *profile.File, refs [][]string) (removed int, err error) {
	key, err := c.CacheKey(ctx, file)
	switch {
	case errors.Is(err, secret.ErrNotFound):
		return 0, nil // nothing was ever sealed
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

// DropTokens is ClearTokens for tokens that must not be used any more: where the
// key cannot be read that would tell which they are, all are removed, which costs
// the other profiles a request.
func (c *Client) DropTokens(ctx context.Context, file *profile.File, refs [][]string) (removed int, err error) {
	removed, err = c.ClearTokens(ctx, file, refs)
	if errors.Is(err, ErrNoKey) {
		removed, err = cache.ClearTokens(ctx, c.dirs.Cache)
	}
	if errors.Is(err, cache.ErrUnusable) {
		err = nil // there are none
	}
	return removed, err
}

// ClearHolds lifts the holds of the account that found leads to. held is why the
// account is still held back, nil if it is not: the count of failed logins stays.
func (c *Client) ClearHolds(ctx context.Context, found *credential.Plan) (removed int, held *cache.Hold, err error) {
	values, err := found.ReadAccount(ctx, c.Access(ctx, c.limit))
	if err != nil {
		return 0, nil, err
	}
	guard := c.readAccount(ctx, found, values)
	removed, err = guard.Clear(ctx, false)
	return removed, guard.State(ctx, time.Now(), time.Time{}).Hold, err
}

// readAccount opens what is known of the account that found leads to with values,
// whatever its password.
func (c *Client) readAccount(ctx context.Context, found *credential.Plan, values provider.Values) *cache.Guard {
	_, account := found.Fingerprint(values)
	return cache.ReadGuard(ctx, c.dirs.State, cache.Credential{Account: account, LockoutAfter: found.Definition.Policy.LockoutAfter})
}

// Hold is why credentials are held back.
type Hold = cache.Hold

// Forgotten says what Forget has removed.
type Forgotten struct {
	Tokens int   // cached tokens
	Holds  int   // holds, and other records of credentials
	Held   *Hold // why the account is still held back, nil if it is not
	// Counted reports, of ForgetAll, that failed logins are still counted, which end
	// with a success or after 24 hours.
	Counted bool
	// Kept is why cached tokens were not removed although the holds were, nil if
	// they were.
	Kept error
}

// Forget removes the cached tokens of a profile, which must exist if it is named.
// With holds it also lifts what holds its credentials back, which needs no
// keychain; the count of failed logins stays.
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

// ForgetAll is Forget for all profiles.
func (c *Client) ForgetAll(ctx context.Context, holds bool) (done Forgotten, err error) {
	done.Tokens, err = cache.ClearTokens(ctx, c.dirs.Cache)
	if err = removal("cached tokens", err); err != nil || !holds {
		return done, err
	}
	done.Holds, err = cache.ClearHolds(ctx, c.dirs.State)
	done.Counted = cache.AnyCount(ctx, c.dirs.State, time.Now())
	return done, removal("holds", err)
}

// removal is the failure of removing files: nil without one, and where there is no
// directory that can be used. A failure of ours is returned as it is.
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

// ForgetAccount removes everything that is remembered of an account, the count of
// its failed logins too: its provider, an emulator, has forgotten it.
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

// EmulatorVariable names a directory for the cache and the state in place of the
// user's own: the emulator sets it for a command that it runs.
const EmulatorVariable = cache.Emulated
