package keychain

import (
	"context"

	"github.com/tokenfetch/tokenfetch/pkg/secret"
)

// The reasons why there is no keychain. Each wraps [secret.ErrUnavailable].
const (
	ErrNoBus      = secret.Unavailable("there is no session bus")
	ErrBusBroken  = secret.Unavailable("the session bus does not answer as it should")
	ErrNotRunning = secret.Unavailable("no keychain service runs on the session bus")
)

// Ping reports whether the keychain is ready. It returns nil, [secret.ErrLocked],
// [secret.ErrTimeout] if ctx reaches its deadline, or an error that says why there
// is no keychain. It reads no stored secret and, unlike [Keychain.Get], never makes
// the session bus start a service.
func (k *Keychain) Ping(ctx context.Context) error {
	locked, err := inTime(ctx, k.ping)
	if err == nil && locked {
		return secret.ErrLocked
	}
	return err
}
