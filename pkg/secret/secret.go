// Package secret contains a type for values that must not be shown, which always
// prints as [hidden]. It also defines the interfaces of secret stores and redacts
// secrets in text that may echo them.
package secret

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// Hidden is the text that is printed instead of a secret.
const Hidden = "[hidden]"

// Value is a secret. The zero Value is empty. The text is behind a pointer, because
// fmt and slog print the content of a value type in an unexported field.
type Value struct{ text *string }

// New returns a Value that contains text.
func New(text string) Value { return Value{&text} }

// Reveal returns the secret itself. Only a few packages may call it; a test lists
// them.
func (v Value) Reveal() string {
	if v.text == nil {
		return ""
	}
	return *v.text
}

// Format implements [fmt.Formatter]. It prints [Hidden] for every verb.
func (v Value) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, Hidden) }

// MarshalText implements [encoding.TextMarshaler], also for encoding/json. It
// returns [Hidden].
func (v Value) MarshalText() ([]byte, error) { return []byte(Hidden), nil }

// LogValue implements [slog.LogValuer]. It returns [Hidden].
func (v Value) LogValue() slog.Value { return slog.StringValue(Hidden) }

// Store reads secrets by account name.
type Store interface {
	// Get returns the secret of account, or one of the errors of this package. It
	// returns when ctx ends, even if the store does not respond.
	Get(ctx context.Context, account string) (Value, error)
}

// Keeper is a [Store] that can also be changed.
type Keeper interface {
	Store
	// Set stores the secret of account and replaces an existing one. If the secret
	// is longer than Limit, it stores nothing and returns [ErrTooLarge].
	Set(ctx context.Context, account string, value Value) error
	// Delete removes the secret of account. It returns [ErrNotFound] if there is
	// none.
	Delete(ctx context.Context, account string) error
	// Limit returns the maximum length of a secret of account in bytes, or 0 for no
	// limit.
	Limit(account string) int
}

// The errors of a [Store].
var (
	ErrNotFound    = errors.New("no such item in the keychain")
	ErrUnavailable = errors.New("no keychain here")
	ErrLocked      = errors.New("the keychain is locked")
	ErrTimeout     = errors.New("the keychain did not answer in time")
	ErrTooLarge    = errors.New("the secret is too large for the keychain")
)

// ErrNoKeyring means that the keychain is there, but nothing in it that items could be
// in.
const ErrNoKeyring = Unavailable("its service has no default keyring")

// Unavailable is a reason why there is no keychain, an error that wraps
// [ErrUnavailable]. As a constant it costs nothing when the program starts.
type Unavailable string

// Error returns the text of ErrUnavailable with the reason.
func (u Unavailable) Error() string { return ErrUnavailable.Error() + ": " + string(u) }

// Unwrap returns ErrUnavailable.
func (Unavailable) Unwrap() error { return ErrUnavailable }
