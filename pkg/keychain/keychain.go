// Package keychain implements [secret.Keeper] with the keychain of the operating
// system. Every call ends with its context, even if the keychain does not respond.
// On Linux, no call starts a daemon or opens a dialog without permission.
package keychain

import (
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/zalando/go-keyring"

	"github.com/tokenfetch/tokenfetch/pkg/await"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
)

// Service is the service name of all items.
const Service = "tokenfetch"

// UnlockTimeout is the time that a user has to answer an unlock dialog.
const UnlockTimeout = 2 * time.Minute

// Keychain is the keychain of the operating system. Its methods return the errors of
// package secret. If the context reaches its deadline, the error is
// [secret.ErrTimeout]; if it ends otherwise, the error is the cause.
type Keychain struct {
	// Getenv returns an environment variable. It is used to find the session bus.
	Getenv func(string) string
	// Dialog allows a dialog in which the user unlocks the keychain. Without it, a
	// locked keychain is an error.
	Dialog bool
	// Waiting is called before an unlock dialog, and done after it, so that the
	// caller can exclude the user's time. The dialog may take until ctx ends or
	// [UnlockTimeout] has passed; ctx has no deadline of the call. Waiting must be
	// set if Dialog is set.
	Waiting func() (ctx context.Context, done func())
}

var _ secret.Keeper = (*Keychain)(nil)

// Get returns the item of account, or [secret.ErrNotFound].
func (k *Keychain) Get(ctx context.Context, account string) (secret.Value, error) {
	return ask(ctx, k, func() (secret.Value, error) {
		text, err := keyring.Get(Service, account)
		return secret.New(text), known(err)
	})
}

// Set stores the secret of account and replaces an existing one. It returns
// [secret.ErrTooLarge] if the secret is longer than [Keychain.Limit].
func (k *Keychain) Set(ctx context.Context, account string, value secret.Value) error {
	if limit := k.Limit(account); limit > 0 && len(value.Reveal()) > limit {
		return secret.ErrTooLarge
	}
	_, err := ask(ctx, k, func() (struct{}, error) {
		return struct{}{}, known(keyring.Set(Service, account, value.Reveal()))
	})
	return err
}

// Delete removes the item of account. It also removes other items with that name,
// which other programs may have stored. It returns [secret.ErrNotFound] if there is
// none.
func (k *Keychain) Delete(ctx context.Context, account string) error {
	_, err := ask(ctx, k, func() (struct{}, error) {
		err := known(keyring.Delete(Service, account))
		for n := 1; err == nil && n < maxItems; n++ { // the library removes only the first item that it finds
			if err = known(keyring.Delete(Service, account)); errors.Is(err, secret.ErrNotFound) {
				return struct{}{}, nil
			}
		}
		return struct{}{}, err
	})
	return err
}

// maxItems is the maximum number of items with the same name to remove.
const maxItems = 100

// Limit returns the maximum length of a secret of account in the keychain of this
// system, in bytes. 0 means no limit.
func (k *Keychain) Limit(account string) int { return limit(runtime.GOOS, account) }

// known maps an error of the library to one of package secret. The library's text
// may contain anything.
func known(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, keyring.ErrNotFound):
		return secret.ErrNotFound
	case errors.Is(err, keyring.ErrSetDataTooBig):
		return secret.ErrTooLarge
	}
	return secret.ErrUnavailable
}

// ask calls the keychain. If the keychain is locked, the user must unlock it first.
func ask[T any](ctx context.Context, k *Keychain, call func() (T, error)) (T, error) {
	var none T
	switch locked, err := inTime(ctx, k.locked); {
	case err != nil:
		return none, err
	case locked && !k.Dialog:
		return none, secret.ErrLocked
	case locked:
		return inDialog(k, call)
	}
	return inTime(ctx, call)
}

// inDialog makes a call that opens the unlock dialog.
func inDialog[T any](k *Keychain, call func() (T, error)) (T, error) {
	ctx, done := k.Waiting()
	defer done()
	ctx, cancel := context.WithTimeout(ctx, UnlockTimeout)
	defer cancel()
	value, err := inTime(ctx, call)
	if errors.Is(err, secret.ErrUnavailable) {
		err = secret.ErrLocked // the user dismissed the dialog
	}
	return value, err
}

// inTime makes a call that cannot be canceled. It returns when ctx ends.
func inTime[T any](ctx context.Context, call func() (T, error)) (T, error) {
	value, err := await.Do(ctx, call)
	if errors.Is(err, context.DeadlineExceeded) {
		err = secret.ErrTimeout
	}
	return value, err
}
