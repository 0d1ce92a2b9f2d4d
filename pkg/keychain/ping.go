package keychain

import (
	"context"
	"fmt"

	"github.com/tokenfetch/tokenfetch/pkg/secret"
)

// The reasons why there is no keychain. Each wraps [secret.ErrUnavailable].
var (
	ErrNoBus      = fmt.Errorf("%w: there is no session bus", secret.ErrUnavailable)
	ErrBusBroken  = fmt.Errorf("%w: the session bus does not answer as it should", secret.ErrUnavailable)
	ErrNotRunning = fmt.Errorf("%w: no keychain service runs on the session bus", secret.ErrUnavailable)
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
