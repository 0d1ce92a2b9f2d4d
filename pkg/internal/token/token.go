// Package token exchanges credentials for a token: it sends one request to a
// token endpoint and reads the reply strictly. It is the only package that
// makes outgoing connections.
package token

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
)

// Token is an access token as a provider issued it.
type Token struct {
	AccessToken secret.Value  // satisfies Check
	Lifetime    time.Duration // from the reply on, whole seconds; 0 means unknown
	Obtained    time.Time     // when the reply arrived, UTC
	Scope       string        // RFC 6749 section 3.3, empty if not stated
	SingleUse   bool          // the provider accepts it for one call only
	// Extra are members of the reply that the definition keeps, as JSON, by their
	// paths: texts, numbers and booleans.
	Extra map[string]json.RawMessage
}

// Use says how a call carries a token: in a header, or as a member of its JSON
// body.
type Use struct {
	Header string // such as Authorization, empty if it is a member
	Scheme string // the word between the header's name and the token, such as Bearer; may be empty
	Member string // empty if it is a header
	// Headers are the other headers that calls need. The value of a secret one is
	// nil.
	Headers map[string]*string
}

// HeaderLine returns the header that carries accessToken, without a line end.
func (u Use) HeaderLine(accessToken string) string {
	if u.Scheme != "" {
		accessToken = u.Scheme + " " + accessToken
	}
	return u.Header + ": " + accessToken
}

// MaxLength is the length of the longest token that is accepted, in bytes.
const MaxLength = 8192

// MaxLifetime is the longest lifetime that is believed.
const MaxLifetime = 10 * 365 * 24 * time.Hour

// Check returns an error if text is not a token: 1 to MaxLength bytes of
// visible ASCII (the characters of RFC 6749 appendix A.12), not a word that
// programs print for "nothing" ("[object Object]" already has a blank), and not holding one of the sent secrets of 8 or
// more bytes. Nothing is trimmed or repaired.
func Check(text string, sent ...secret.Value) error {
	if text == "" {
		return failure.New(failure.NoToken, "the reply's token is empty")
	}
	if len(text) > MaxLength {
		return failure.New(failure.BadToken, "the reply's token has a length of %d bytes; the limit is %d", len(text), MaxLength)
	}
	for i := range len(text) {
		if c := text[i]; c < 0x21 || c > 0x7e {
			return failure.New(failure.BadToken, "the reply's token contains %s at offset %d", byteClass(c), i)
		}
	}
	switch strings.ToLower(text) {
	case "null", "undefined", "none", "nil", "nan":
		return failure.New(failure.BadToken, "the reply's token is a word that stands for nothing")
	}
	for _, s := range sent {
		if raw := s.Reveal(); len(raw) >= 8 && strings.Contains(text, raw) {
			return failure.New(failure.BadToken, "the reply's token contains a secret that was sent")
		}
	}
	return nil
}

func byteClass(c byte) string {
	switch {
	case c == ' ' || c == '\t':
		return "a blank"
	case c == '\n' || c == '\r':
		return "a line break"
	case c < 0x20 || c == 0x7f:
		return "a control byte"
	}
	return "a byte that is not ASCII"
}
