package provider

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/internal/token"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
)

// Values holds the value of each field; an optional field may be missing.
type Values map[string]secret.Value

// ContentType returns the media type of the request's body.
func (r Request) ContentType() string {
	if r.Encoding == "json" {
		return "application/json"
	}
	return "application/x-www-form-urlencoded"
}

// TokenRequest builds the call of the token endpoint below base. It depends on
// nothing but its arguments: equal values give equal bytes. A value that cannot be
// sent is a *failure.Error.
func (d *Definition) TokenRequest(base Address, values Values) (token.Request, error) {
	r := token.Request{
		URL:         base.String() + d.Request.Path,
		ContentType: d.Request.ContentType(),
	}
	if b := d.Request.Basic; b != nil {
		user := values[b.User].Reveal()
		if strings.Contains(user, ":") {
			return token.Request{}, failure.New(failure.FieldInvalid, "%s must not contain a colon: it is the user part of a Basic pair", b.User).
				WithHint("check whether the id and the secret were both put into %s", b.User)
		}
		r.Basic = &token.Basic{User: user, Password: values[b.Password]}
	}
	var body bytes.Buffer
	separator := ""
	for _, m := range d.Request.Body {
		text := m.Value
		if m.Field != "" {
			value, ok := values[m.Field]
			if !ok {
				continue
			}
			text = value.Reveal()
		}
		body.WriteString(separator)
		if d.Request.Encoding == "json" {
			body.WriteString(quote(m.Name) + ":" + quote(text))
			separator = ","
		} else {
			body.WriteString(url.QueryEscape(m.Name) + "=" + url.QueryEscape(text))
			separator = "&"
		}
	}
	r.Body = secret.New(body.String())
	if d.Request.Encoding == "json" {
		r.Body = secret.New("{" + body.String() + "}")
	}
	return r, nil
}

// quote returns text as a JSON string without the escapes that only HTML needs.
func quote(text string) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a string into memory cannot fail
	return strings.TrimSuffix(b.String(), "\n")
}

// DefaultText says in words what the field is if nothing gives it: its constant
// default, or "the client id" for one that takes the value of client_id. It is
// empty for a field without a default.
func (f Field) DefaultText() string {
	if name, ok := f.reference(); ok {
		return "the " + strings.ReplaceAll(name, "_", " ")
	}
	return f.Default
}

// DefaultValue returns the value of a field that nothing gives: its constant
// default, or the value of the field that its default names.
func (f Field) DefaultValue(values Values) secret.Value {
	if name, ok := f.reference(); ok {
		return values[name]
	}
	return secret.New(f.Default)
}
