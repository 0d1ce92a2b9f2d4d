package provider

import (
	"errors"
	"fmt"
	"strings"
)

// OAuth2 contains the keys of the table [oauth2] for a new definition of a provider
// that issues tokens as in RFC 6749. An empty key means the default.
type OAuth2 struct {
	TokenURL   string
	GrantType  string // one of [GrantTypes]
	AuthMethod string // one of [AuthMethods]
	Scope      string
	Audience   string
}

// GrantTypes returns the grant types that a definition can use. The first is the
// default.
func GrantTypes() []string { return grantTypes() }

// AuthMethods returns the client authentication methods, by their names in RFC 8414.
// The first is the default.
func AuthMethods() []string { return authMethods() }

// TOML returns a definition with exactly the non-empty keys of o. It does not
// validate them: [Parse] does.
func (o OAuth2) TOML() []byte {
	var b strings.Builder
	b.WriteString("[oauth2]\n")
	for _, line := range [][2]string{
		{"token_url", o.TokenURL},
		{"grant_type", o.GrantType},
		{"auth_method", o.AuthMethod},
		{"scope", o.Scope},
		{"audience", o.Audience},
	} {
		if line[1] != "" {
			fmt.Fprintf(&b, "%s = %s\n", line[0], basicString(line[1]))
		}
	}
	return []byte(b.String())
}

// basicString returns text as a TOML basic string. It keeps bytes that are not
// UTF-8, so that [Parse] reports them.
func basicString(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"', c == '\\':
			b.Write([]byte{'\\', c})
		case c < ' ', c == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// CheckTokenURL returns why text is not valid as a token_url, or "" if it is valid.
// The result does not repeat the URL.
func CheckTokenURL(text string) string {
	if text == "" {
		return "is empty"
	}
	_, err := Parse("oauth2.toml", OAuth2{TokenURL: text}.TOML())
	if problems, ok := errors.AsType[*Problems](err); ok {
		return strings.TrimPrefix(problems.All[0].Text, "token_url ")
	}
	return ""
}
