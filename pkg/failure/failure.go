// Package failure says why a run failed: a stable code, the exit class it
// belongs to, a sentence of ours and the next thing to do. Every package
// returns its errors in this form, so that exit codes and messages are decided
// in one place and no error text of a library reaches a person.
package failure

import (
	"fmt"
	"time"
)

// Class is the kind of a failure. Its number is the exit code of a fetch.
type Class int

// The classes, in the order of their exit codes.
const (
	OK      Class = iota // the token was written out completely
	Bug                  // our fault
	Usage                // the command line is wrong; nothing read, nothing sent
	Config               // profile, field, source, keychain, permission; nothing sent
	Refused              // the provider said no
	Later                // the provider is closed, busy or broken
	Net                  // DNS, connect, proxy, TLS, lost connection, deadline of these
	Reply                // an answer that cannot be trusted
	Output               // a token that could not be delivered
	Signal               // ended by a signal; the exit code is 128 plus its number
)

// String returns the name the class has in JSON errors.
func (c Class) String() string {
	names := [...]string{"ok", "bug", "usage", "config", "refused", "later", "net", "reply", "output", "signal"}
	if c < 0 || int(c) >= len(names) {
		return "bug"
	}
	return names[c]
}

// Sent says how much of the request with the credentials left this machine.
type Sent int

// The values of Sent. The zero value is SentNo.
const (
	SentNo      Sent = iota // not a byte of the request
	SentYes                 // all of it was written
	SentUnknown             // writing broke off
)

// String returns "no", "yes" or "unknown", as JSON errors have it.
func (s Sent) String() string {
	switch s {
	case SentNo:
		return "no"
	case SentYes:
		return "yes"
	}
	return "unknown"
}

// Error is a failure a user is told about. Message and Hint are ours, lower
// case, without a full stop; words of a provider stand in Provider only. Its
// methods change nothing: those that add to it return a copy.
type Error struct {
	Code    Code
	Message string
	Hint    string // the next thing to do, in one line or more, or empty

	Sent       Sent
	Attempts   int            // requests begun
	HTTPStatus int            // status of the reply, 0 without one
	Counted    bool           // the provider has counted, or may have counted, a failed login
	RetryAfter *time.Duration // what the provider asked for, nil if nothing usable
	Provider   *ProviderError // the provider's own words, nil if none
	Reply      *ReplyOutline  // what the reply looked like, nil if it was understood or there was none
}

// ProviderError is what a provider said of a failure, as it came: it must be
// redacted and made harmless before it is shown.
type ProviderError struct {
	Code, Text, ID string
}

// ReplyOutline is what is told of a reply that cannot be trusted: no value of it.
// The names are the provider's: they must be redacted and made harmless.
type ReplyOutline struct {
	ContentType string // the media type, empty if none was named
	// Members are the JSON types of its members by their names, joined by dots
	// where objects are nested; nil if it is not a JSON object.
	Members map[string]string
}

// New returns an Error with a formatted message, without a hint, before anything was
// sent.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// WithHint returns e with a hint, in place of the one it may have.
func (e *Error) WithHint(format string, args ...any) *Error {
	c := *e
	c.Hint = fmt.Sprintf(format, args...)
	return &c
}

// WithSent returns e with how much of a request was sent, in how many attempts.
func (e *Error) WithSent(sent Sent, attempts int) *Error {
	c := *e
	c.Sent, c.Attempts = sent, attempts
	return &c
}

// Append returns e with more behind its message.
func (e *Error) Append(format string, args ...any) *Error {
	c := *e
	c.Message += fmt.Sprintf(format, args...)
	return &c
}

// AppendHint returns e with more behind its hint.
func (e *Error) AppendHint(format string, args ...any) *Error {
	c := *e
	c.Hint += fmt.Sprintf(format, args...)
	return &c
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Class returns the class of e's code.
func (e *Error) Class() Class { return e.Code.Class() }

// Retryable reports whether the same call may succeed later without anybody
// changing anything and without the credentials having been sent twice.
func (e *Error) Retryable() bool {
	c := e.Class()
	return c == Later || c == Net && e.Sent == SentNo
}
