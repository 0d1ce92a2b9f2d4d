// Package failure defines the errors that a user sees: a stable code, a class that
// determines the exit code, a message, and a hint what to do next. Every package
// returns its errors in this form. So exit codes and messages are decided in one
// place, and no error text of a library reaches a user.
package failure

import (
	"fmt"
	"time"
)

// Class is the kind of an error. Its number is the exit code of a fetch.
type Class int

// The classes, in the order of their exit codes.
const (
	OK      Class = iota // the token was output completely
	Bug                  // internal error
	Usage                // invalid command line; nothing was read or sent
	Config               // profile, field, source, keychain or permission; nothing was sent
	Refused              // the provider refused the request
	Later                // the provider is closed, busy or has a server error
	Net                  // DNS, connection, proxy or TLS, or one of these timed out
	Reply                // invalid reply
	Output               // the token could not be output
	Signal               // ended by a signal; the exit code is 128 plus its number
)

// String returns the name of the class in JSON errors.
func (c Class) String() string {
	names := [...]string{"ok", "bug", "usage", "config", "refused", "later", "net", "reply", "output", "signal"}
	if c < 0 || int(c) >= len(names) {
		return "bug"
	}
	return names[c]
}

// Sent says how much of the request with the credentials was sent.
type Sent int

// The values of Sent. The zero value is [SentNo].
const (
	SentNo      Sent = iota // no byte of the request
	SentYes                 // the complete request
	SentUnknown             // interrupted while writing
)

// String returns "no", "yes" or "unknown", as in JSON errors.
func (s Sent) String() string {
	switch s {
	case SentNo:
		return "no"
	case SentYes:
		return "yes"
	}
	return "unknown"
}

// Error is an error for the user. Message and Hint are texts of this program, in
// lower case and without a full stop; only Provider contains text of the provider.
// The methods never modify an Error: those that add to it return a copy.
type Error struct {
	Code    Code
	Message string
	Hint    string // what to do next, in one or more lines; may be empty

	Sent       Sent
	Attempts   int            // number of requests started
	HTTPStatus int            // status of the reply; 0 if there was none
	Counted    bool           // whether the provider counted a failed login, or may have
	RetryAfter *time.Duration // delay that the provider asked for; nil if missing or invalid
	Provider   *ProviderError // the provider's description, or nil
	Reply      *ReplyOutline  // outline of an invalid reply; nil if it was valid or there was none
}

// ProviderError is the provider's description of an error. It is untrusted: redact
// and escape it before displaying it.
type ProviderError struct {
	Code, Text, ID string
}

// ReplyOutline describes a reply that cannot be trusted, without its values. The
// names come from the provider: redact and escape them before displaying them.
type ReplyOutline struct {
	ContentType string // media type; empty if missing
	// Members maps each member to its JSON type. The names of nested members are
	// joined by dots. It is nil if the reply is not a JSON object.
	Members map[string]string
}

// New returns an Error with a formatted message, without a hint, and with [SentNo].
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// WithHint returns a copy of e with the hint replaced.
func (e *Error) WithHint(format string, args ...any) *Error {
	c := *e
	c.Hint = fmt.Sprintf(format, args...)
	return &c
}

// WithSent returns a copy of e with Sent and Attempts replaced.
func (e *Error) WithSent(sent Sent, attempts int) *Error {
	c := *e
	c.Sent, c.Attempts = sent, attempts
	return &c
}

// Append returns a copy of e with text added to its message.
func (e *Error) Append(format string, args ...any) *Error {
	c := *e
	c.Message += fmt.Sprintf(format, args...)
	return &c
}

// AppendHint returns a copy of e with text added to its hint.
func (e *Error) AppendHint(format string, args ...any) *Error {
	c := *e
	c.Hint += fmt.Sprintf(format, args...)
	return &c
}

// AddHint returns a copy of e with another line of hint.
func (e *Error) AddHint(format string, args ...any) *Error {
	if e.Hint != "" {
		e = e.AppendHint("\n")
	}
	return e.AppendHint(format, args...)
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Class returns the class of e's code.
func (e *Error) Class() Class { return e.Code.Class() }

// Retryable reports whether the same call may succeed later, without any change and
// without the risk of sending the credentials twice.
func (e *Error) Retryable() bool {
	c := e.Class()
	return c == Later || c == Net && e.Sent == SentNo
}
