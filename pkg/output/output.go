// Package output formats a token for people and programs, and makes untrusted text
// safe to display.
package output

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/internal/token"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
)

// Result is a token with the properties that are output.
type Result struct {
	AccessToken secret.Value
	Lifetime    time.Duration // from Obtained on; 0 if unknown
	Obtained    time.Time
	Scope       string // empty if not in the reply
	SingleUse   bool
	Provider    string
	Profile     string
	Environment string // empty if a base URL was set
	Origin      string // SCHEME://HOST:PORT
	BaseURL     string // base URL of the token endpoint, with its path
	Use         token.Use
	Extra       map[string]json.RawMessage // members of the reply that are returned with the token
	Cached      bool
	Now         time.Time // when the result is printed
}

// Formats returns the names of the formats. The first is the default.
func Formats() []string {
	return []string{"text", "json", "export", "fish", "powershell", "header", "curl", "dotenv", "github-env", "github-output"}
}

// NeedsHeader reports whether the format outputs the token as a header. This
// requires a provider whose token is sent in a header.
func NeedsHeader(format string) bool { return format == "header" || format == "curl" }

// Format returns the result in a format, including the final line ending. name is
// the variable for the formats that set one; it must be valid according to
// [CheckVariable]. The error says why the format cannot represent this token.
func Format(r Result, format, name string) ([]byte, error) {
	text := r.AccessToken.Reveal()
	if r.Use.Header == "" && NeedsHeader(format) {
		return nil, errors.New("the token does not travel in a header")
	}
	switch format {
	case "json":
		return jsonLine(r), nil
	case "export":
		return fmt.Appendf(nil, "export %s=%s\n", name, quotePOSIX(text)), nil
	case "fish":
		return fmt.Appendf(nil, "set -gx %s %s\n", name, quoteFish(text)), nil
	case "powershell":
		return fmt.Appendf(nil, "$env:%s = %s\n", name, quotePowerShell(text)), nil
	case "header":
		return []byte(r.Use.HeaderLine(text) + "\n"), nil
	case "curl":
		return fmt.Appendf(nil, "header = %s\n", quoteCurl(r.Use.HeaderLine(text))), nil
	case "dotenv":
		quoted, err := quoteDotenv(text)
		return fmt.Appendf(nil, "%s=%s\n", name, quoted), err
	case "github-env", "github-output":
		return runnerEntry(name, text), nil
	}
	return []byte(text + "\n"), nil
}

// FailingLine returns the line to print after a failure in the formats that a shell
// or curl evaluates. It makes the evaluation fail too, so that no old value is used.
// It is empty for other formats. name is the variable, or empty if the name is
// invalid.
func FailingLine(format, name string) string {
	switch {
	case format == "curl":
		return "proto = \"-all\"\n"
	case format == "powershell" && name != "":
		return "Remove-Item Env:" + name + " -ErrorAction Ignore; throw 'tokenfetch failed'\n"
	case format == "powershell":
		return "throw 'tokenfetch failed'\n"
	case format == "fish" && name != "":
		return "set -e " + name + "; false\n"
	case format == "export" && name != "":
		return "unset " + name + "; false\n"
	case format == "fish" || format == "export":
		return "false\n"
	}
	return ""
}

func jsonLine(r Result) []byte {
	type use struct {
		Header  *string            `json:"header"`
		Scheme  *string            `json:"scheme"`
		Member  *string            `json:"member"`
		Headers map[string]*string `json:"headers"`
	}
	line := struct {
		Schema      string                     `json:"schema"`
		Provider    string                     `json:"provider"`
		Profile     string                     `json:"profile"`
		Environment *string                    `json:"environment"`
		Origin      string                     `json:"origin"`
		BaseURL     string                     `json:"base_url"`
		AccessToken string                     `json:"access_token"`
		TokenType   *string                    `json:"token_type"`
		Use         use                        `json:"use"`
		ExpiresIn   *int64                     `json:"expires_in"`
		ExpiresAt   *string                    `json:"expires_at"`
		Scope       *string                    `json:"scope"`
		SingleUse   bool                       `json:"single_use"`
		Cached      bool                       `json:"cached"`
		Extra       map[string]json.RawMessage `json:"extra"`
	}{
		Schema:      "tokenfetch.token/1",
		Provider:    r.Provider,
		Profile:     r.Profile,
		Environment: OrNull(r.Environment),
		Origin:      r.Origin,
		BaseURL:     r.BaseURL,
		AccessToken: r.AccessToken.Reveal(),
		Use:         use{OrNull(r.Use.Header), OrNull(r.Use.Scheme), OrNull(r.Use.Member), r.Use.Headers},
		Scope:       OrNull(r.Scope),
		SingleUse:   r.SingleUse,
		Cached:      r.Cached,
		Extra:       r.Extra,
	}
	if r.Use.Header != "" {
		line.TokenType = OrNull(cmp.Or(r.Use.Scheme, "Bearer")) // RFC 6749 requires it in every reply
	}
	// Output {} instead of null.
	if line.Use.Headers == nil {
		line.Use.Headers = map[string]*string{}
	}
	if line.Extra == nil {
		line.Extra = map[string]json.RawMessage{}
	}
	if life := r.Lifetime; life > 0 {
		expires := r.Obtained.Add(life).UTC()
		seconds, at := int64(life/time.Second), expires.Format(time.RFC3339)
		if r.Cached {
			seconds = int64(expires.Sub(r.Now) / time.Second)
		}
		line.ExpiresIn, line.ExpiresAt = &seconds, &at
	}
	return JSONLine(line)
}

// OrNull returns a pointer to text, or nil (null in JSON) if text is empty.
func OrNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// JSONLine returns v as one line of JSON in printable ASCII. It panics if v cannot
// be marshaled.
func JSONLine(v any) []byte {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic("output: a value that does not marshal") // a bug in this program
	}
	out := make([]byte, 0, b.Len())
	for _, r := range strings.TrimSuffix(b.String(), "\n") {
		switch {
		case r >= ' ' && r <= '~':
			out = append(out, byte(r))
		case r > 0xffff:
			r -= 0x10000
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return append(out, '\n')
}
