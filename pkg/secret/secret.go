// Package secret holds values that must not be shown: a type that prints as
// [hidden] whatever prints it, the store they come from, and a redactor for
// text that may echo them.
package secret

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// Hidden is what stands for a secret wherever one is printed.
const Hidden = "[hidden]"

// Value is a secret. The zero Value holds nothing. It keeps its text behind a
// pointer, because fmt and slog print a value type in an unexported field raw.
type Value struct{ text *string }

// New returns a Value that holds text.
func New(text string) Value { return Value{&text} }

// Reveal returns the secret itself. Few packages may call it; a test lists them.
func (v Value) Reveal() string {
	if v.text == nil {
		return ""
	}
	return *v.text
}

// Format prints Hidden for every verb.
func (v Value) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, Hidden) }

// MarshalText gives Hidden, to encoding/json too.
func (v Value) MarshalText() ([]byte, error) { return []byte(Hidden), nil }

// LogValue gives Hidden.
func (v Value) LogValue() slog.Value { return slog.StringValue(Hidden) }

// Store keeps secrets under account names.
type Store interface {
	// Get returns the secret stored under account, or one of the errors of
	// this package. It returns when ctx ends, whatever the store does.
	Get(ctx context.Context, account string) (Value, error)
}

// Keeper is a Store that can be written to.
type Keeper interface {
	Store
	// Set stores a secret under account, in place of an older one. It fails with
	// ErrTooLarge, and stores nothing, if the secret is longer than Limit says.
	Set(ctx context.Context, account string, value Value) error
	// Delete removes the secret stored under account. It fails with ErrNotFound
	// if there is none.
	Delete(ctx context.Context, account string) error
	// Limit returns how many bytes a secret under account may have, 0 for any number.
	Limit(account string) int
}

// The reasons why a Store gives or takes no secret.
var (
	ErrNotFound    = errors.New("no such item in the keychain")
	ErrUnavailable = errors.New("no keychain here")
	ErrLocked      = errors.New("the keychain is locked")
	ErrTimeout     = errors.New("the keychain did not answer in time")
	ErrTooLarge    = errors.New("the secret is too large for the keychain")
)
