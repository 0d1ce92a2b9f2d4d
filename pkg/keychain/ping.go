package keychain

import (
	"context"

	"github.com/tokenfetch/tokenfetch/pkg/secret"
)

// The reasons why there is no keychain. Each wraps [secret.ErrUnavailable].
const (
	ErrNoBus      = unavailable("there is no session bus")
	ErrBusBroken  = unavailable("the session bus does not answer as it should")
	ErrNotRunning = unavailable("no keychain service runs on the session bus")
)

// unavailable is a reason. As a constant it costs nothing when the program starts.
type unavailable string

func (u unavailable) Error() string { return secret.ErrUnavailable.Error() + ": " + string(u) }

func (unavailable) Unwrap() error { return secret.ErrUnavailable }

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
