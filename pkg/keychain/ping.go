package keychain

import (
	"context"
	"fmt"

	"github.com/tokenfetch/tokenfetch/pkg/secret"
)

// The reasons why there is no keychain; each is a secret.ErrUnavailable.
var (
	ErrNoBus      = fmt.Errorf("%w: there is no session bus", secret.ErrUnavailable)
	ErrBusBroken  = fmt.Errorf("%w: the session bus does not answer as it should", secret.ErrUnavailable)
	ErrNotRunning = fmt.Errorf("%w: no keychain service runs on the session bus", secret.ErrUnavailable)
)

// Ping reports whether the keychain would answer now: nil, secret.ErrLocked,
// secret.ErrTimeout when ctx reaches its deadline, or why there is none. It asks
// for no item and, unlike Get, does not make the session bus start a service.
func (k *Keychain) Ping(ctx context.Context) error {
	locked, err := inTime(ctx, k.ping)
	if err == nil && locked {
		return secret.ErrLocked
	}
	return err
}
