// Package keychain is the operating system's keychain as a secret.Store. Every
// call ends with its context, whatever the keychain does, and on Linux none is
// made where it would start a daemon or open a dialog that nobody asked for.
package keychain

import (
	"context"
	"errors"
	"time"

	"github.com/zalando/go-keyring"

	"github.com/tokenfetch/tokenfetch/pkg/secret"
)

// Service is the name under which all items are stored.
const Service = "tokenfetch"

// UnlockTimeout is how long a person has to answer an unlock dialog.
const UnlockTimeout = 2 * time.Minute

// Keychain reads the keychain of the operating system.
type Keychain struct {
	// Getenv reads the environment, to find the session bus.
	Getenv func(string) string
	// Dialog allows the keychain to ask a person to unlock it. Without it a
	// locked keychain is an error.
	Dialog bool
	// Waiting, if set, is called before an unlock dialog, and the function it
	// returns afterwards: that time is a person's.
	Waiting func() (done func())
}

// Get returns the item stored for account. It returns secret.ErrTimeout when
// ctx reaches its deadline; an unlock dialog has UnlockTimeout instead.
func (k *Keychain) Get(ctx context.Context, account string) (secret.Value, error) {
	locked, err := await(ctx, func() (bool, error) { return k.locked() })
	if err != nil {
		return secret.Value{}, err
	}
	if locked {
		if !k.Dialog {
			return secret.Value{}, secret.ErrLocked
		}
		defer k.Waiting()()
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), UnlockTimeout)
		defer cancel()
	}
	return await(ctx, func() (secret.Value, error) {
		text, err := keyring.Get(Service, account)
		switch {
		case errors.Is(err, keyring.ErrNotFound):
			return secret.Value{}, secret.ErrNotFound
		case err != nil && locked:
			return secret.Value{}, secret.ErrLocked // the dialog was dismissed
		case err != nil:
			return secret.Value{}, secret.ErrUnavailable
		}
		return secret.New(text), nil
	})
}

// Set stores a secret for account, in place of an older one. It opens no dialog:
// a locked keychain is an error.
func (k *Keychain) Set(ctx context.Context, account string, value secret.Value) error {
	_, err := await(ctx, func() (struct{}, error) {
		locked, err := k.locked()
		if err != nil {
			return struct{}{}, err
		}
		if locked {
			return struct{}{}, secret.ErrLocked
		}
		if keyring.Set(Service, account, value.Reveal()) != nil {
			return struct{}{}, secret.ErrUnavailable
		}
		return struct{}{}, nil
	})
	return err
}

// await runs call, which cannot be broken off, and leaves it behind when ctx
// ends.
func await[T any](ctx context.Context, call func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := call()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return none, secret.ErrTimeout
		}
		return none, context.Cause(ctx)
	}
}
