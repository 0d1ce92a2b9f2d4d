package provider

import (
	"errors"
	"fmt"
	"strings"
)

// OAuth2 is the table [oauth2] of a definition that is to be written: a provider
// that issues tokens as RFC 6749 says. Of what is empty the default holds.
type OAuth2 struct {
	TokenURL   string
	GrantType  string // one of GrantTypes
	AuthMethod string // one of AuthMethods
	Scope      string
	Audience   string
}

// GrantTypes returns the grants that a definition can ask for, the default first.
func GrantTypes() []string { return grantTypes() }

// AuthMethods returns the ways in which a client can authenticate, by their names
// in RFC 8414, the default first.
func AuthMethods() []string { return authMethods() }

// TOML returns the text of a definition that says what o says, and no more. It is
// not checked: Parse does that.
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

// basicString is text as a basic string of TOML. Bytes that are not UTF-8 stay what
// they are, so that Parse finds them.
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

// CheckTokenURL says what is wrong with the address of a token endpoint, without
// repeating it; "" if a definition can have it.
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
