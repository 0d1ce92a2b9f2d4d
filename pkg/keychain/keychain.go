// Package keychain is the operating system's keychain as a secret.Keeper. Every
// call ends with its context, whatever the keychain does, and on Linux none is
// made where it would start a daemon or open a dialog that nobody asked for.
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

// Service is the name under which all items are stored.
const Service = "tokenfetch"

// UnlockTimeout is how long a person has to answer an unlock dialog.
const UnlockTimeout = 2 * time.Minute

// Keychain is the keychain of the operating system. The error of a call is one of
// package secret, secret.ErrTimeout when the context reaches its deadline, or the
// cause of the context's end.
type Keychain struct {
	// Getenv reads the environment, to find the session bus.
	Getenv func(string) string
	// Dialog allows the keychain to ask a person to unlock it. Without it a
	// locked keychain is an error.
	Dialog bool
	// Waiting is called before an unlock dialog, and the function it returns
	// afterwards: that time is a person's. The dialog is waited for until ctx
	// ends, which has no deadline of the call, or UnlockTimeout is over. It must be
	// set if Dialog is.
	Waiting func() (ctx context.Context, done func())
}

var _ secret.Keeper = (*Keychain)(nil)

// Get returns the item stored for account, or secret.ErrNotFound.
func (k *Keychain) Get(ctx context.Context, account string) (secret.Value, error) {
	return ask(ctx, k, func() (secret.Value, error) {
		text, err := keyring.Get(Service, account)
		return secret.New(text), known(err)
	})
}

// Set stores a secret for account, in place of an older one. It fails with
// secret.ErrTooLarge for one that is longer than Limit says.
func (k *Keychain) Set(ctx context.Context, account string, value secret.Value) error {
	if limit := k.Limit(account); limit > 0 && len(value.Reveal()) > limit {
		return secret.ErrTooLarge
	}
	_, err := ask(ctx, k, func() (struct{}, error) {
		return struct{}{}, known(keyring.Set(Service, account, value.Reveal()))
	})
	return err
}

// Delete removes the item stored for account, and others of that name, which other
// programs may have stored. It fails with secret.ErrNotFound if there is none.
func (k *Keychain) Delete(ctx context.Context, account string) error {
	_, err := ask(ctx, k, func() (struct{}, error) {
		err := known(keyring.Delete(Service, account))
		for n := 1; err == nil && n < maxItems; n++ { // the library removes the first that it finds
			if err = known(keyring.Delete(Service, account)); errors.Is(err, secret.ErrNotFound) {
				return struct{}{}, nil
			}
		}
		return struct{}{}, err
	})
	return err
}

// maxItems bounds how many items of one name are removed.
const maxItems = 100

// Limit returns how many bytes the keychain of this system takes for account, 0
// for any number.
func (k *Keychain) Limit(account string) int { return limit(runtime.GOOS, account) }

// known maps an error of the library, whose text may hold anything, to ours.
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

// ask makes a call of the keychain, which a person must unlock first if it is
// locked.
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
		err = secret.ErrLocked // the dialog was dismissed
	}
	return value, err
}

// inTime makes a call that cannot be broken off, which ends with ctx all the same.
func inTime[T any](ctx context.Context, call func() (T, error)) (T, error) {
	value, err := await.Do(ctx, call)
	if errors.Is(err, context.DeadlineExceeded) {
		err = secret.ErrTimeout
	}
	return value, err
}
