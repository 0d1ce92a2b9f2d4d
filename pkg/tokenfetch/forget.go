package tokenfetch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/cache"
	"github.com/tokenfetch/tokenfetch/pkg/credential"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
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
		n, err := tokens.Clear(ref)
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
		removed, err = cache.ClearTokens(c.dirs.Cache)
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
	_, account := found.Fingerprint(values)
	guard := cache.ReadGuard(c.dirs.State, cache.Credential{Account: account, LockoutAfter: found.Definition.Policy.LockoutAfter})
	removed, err = guard.ClearHolds()
	return removed, guard.State(time.Now(), time.Time{}).Hold, err
}
