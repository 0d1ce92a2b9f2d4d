// Package token exchanges credentials for a token: it sends one request to a token
// endpoint and strictly parses the reply. No other package makes outgoing
// connections for token requests.
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
	AccessToken secret.Value  // valid according to [Check]
	Lifetime    time.Duration // from Obtained on, in whole seconds; 0 if unknown
	Obtained    time.Time     // when the reply arrived, UTC
	Scope       string        // RFC 6749 section 3.3; empty if not in the reply
	SingleUse   bool          // the provider accepts it for one call only
	// Extra contains members of the reply that the definition keeps, keyed by path.
	// The values are JSON strings, numbers and booleans.
	Extra map[string]json.RawMessage
}

// Use says how an API call sends a token: in a header, or as a member of its JSON
// body.
type Use struct {
	Header string // such as Authorization; empty if Member is set
	Scheme string // the word before the token, such as Bearer; may be empty
	Member string // empty if Header is set
	// Headers contains the other headers that API calls need. A secret value is nil.
	Headers map[string]*string
}

// HeaderLine returns the header with accessToken, without a line ending.
func (u Use) HeaderLine(accessToken string) string {
	if u.Scheme != "" {
		accessToken = u.Scheme + " " + accessToken
	}
	return u.Header + ": " + accessToken
}

// MaxLength is the maximum length of a token, in bytes.
const MaxLength = 8192

// MaxLifetime is the maximum plausible lifetime. A longer one counts as unknown.
const MaxLifetime = 10 * 365 * 24 * time.Hour

// Check returns an error if text is not a valid token. A token is 1 to MaxLength
// bytes of printable ASCII without spaces (the characters of RFC 6749 appendix
// A.12). It is not a word that programs print for a missing value (the space already
// excludes "[object Object]"). It contains none of the sent secrets of 8 or more
// bytes. Check does not trim or repair text.
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
		return failure.New(failure.BadToken, "the reply's token is a placeholder such as null")
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
