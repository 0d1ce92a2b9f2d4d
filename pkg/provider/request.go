package provider

import (
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/internal/token"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
)

// Values maps each field to its value. An optional field may be missing.
type Values map[string]secret.Value

// JSON is a value in the JSON body of a request. It is a string, a literal, an
// object or a list.
type JSON struct {
	Text    Template
	Literal string   // a number, true or false, as JSON text
	Members []Member // in the order they are sent
	Items   []*JSON
}

// Member is a member of a JSON object. It is omitted if it mentions a field that has
// no value.
type Member struct {
	Name  string
	Value *JSON
}

// Part is a piece of a request that comes from the definition.
type Part struct {
	In   string // path, query, header, user, password, form or json
	Name string // of the parameter, header or member (a path joined by dots); empty for path, user and password
	// Value is the content before it is encoded.
	Value Template
	// Literal is set if the value is JSON but not a string.
	Literal bool
}

// Parts returns the pieces of the request: path, query, Basic authentication,
// headers and body, in this order.
func (r Request) Parts() []Part {
	var parts []Part
	if len(r.Path.Fields()) > 0 {
		parts = append(parts, Part{In: "path", Value: r.Path})
	}
	pairs := func(in string, all []Pair) {
		for _, pair := range all {
			parts = append(parts, Part{In: in, Name: pair.Name, Value: pair.Value})
		}
	}
	pairs("query", r.Query)
	if b := r.Basic; b != nil {
		parts = append(parts, Part{In: "user", Value: ofField(b.User)}, Part{In: "password", Value: ofField(b.Password)})
	}
	pairs("header", r.Headers)
	pairs("form", r.Form)
	return append(parts, r.JSON.parts("")...)
}

func (j *JSON) parts(path string) []Part {
	literal := func(text string) []Part {
		return []Part{{In: "json", Name: path, Value: constant(text), Literal: true}}
	}
	below := func(name string) string { return strings.TrimPrefix(path+"."+name, ".") }
	var parts []Part
	switch {
	case j == nil:
	case j.Text != nil:
		return []Part{{In: "json", Name: path, Value: j.Text}}
	case j.Literal != "":
		return literal(j.Literal)
	case j.Items != nil && len(j.Items) == 0:
		return literal("[]")
	case len(j.Members)+len(j.Items) == 0 && path != "":
		return literal("{}")
	default:
		for _, m := range j.Members {
			parts = append(parts, m.Value.parts(below(m.Name))...)
		}
		for i, item := range j.Items {
			parts = append(parts, item.parts(below(strconv.Itoa(i)))...)
		}
	}
	return parts
}

// mentions reports whether any part of the request mentions the field.
func (r Request) mentions(field string) bool {
	return slices.ContainsFunc(r.Parts(), func(p Part) bool { return slices.Contains(p.Value.Fields(), field) })
}

// ContentType returns the media type of the request body, or "" if there is none.
func (r Request) ContentType() string {
	switch {
	case r.Form != nil:
		return "application/x-www-form-urlencoded"
	case r.JSON != nil:
		return "application/json"
	}
	return ""
}

// TokenRequest returns the request to the token endpoint below base. The result
// depends only on the arguments: equal values produce equal bytes. If a value cannot
// be sent, the error is a [*failure.Error].
func (d *Definition) TokenRequest(base Address, values Values) (token.Request, error) {
	r := token.Request{Method: d.Request.Method, ContentType: d.Request.ContentType()}
	path, err := d.path(values)
	if err != nil {
		return token.Request{}, err
	}
	r.URL = base.String() + path
	if query := encode(d.Request.Query, values, queryEscape); query != "" {
		r.URL += "?" + query
	}
	if r.Basic, err = d.basic(values); err != nil {
		return token.Request{}, err
	}
	for _, h := range d.Request.Headers {
		text, given := h.Value.reveal(values)
		if !given {
			continue
		}
		if !headerText(text) || strings.Trim(text, " ") != text {
			return token.Request{}, failure.New(failure.FieldInvalid, "%s cannot be sent in the header %s: it must be printable ASCII without blanks at its ends",
				strings.Join(h.Value.Fields(), " or "), h.Name).WithHint("check the value for characters that do not belong to it")
		}
		r.Headers = append(r.Headers, token.Header{Name: h.Name, Value: secret.New(text)})
	}
	switch {
	case d.Request.Form != nil:
		r.Body = secret.New(encode(d.Request.Form, values, url.QueryEscape))
	case d.Request.JSON != nil:
		body, _ := d.Request.JSON.encode(values)
		r.Body = secret.New(body)
	}
	return r, nil
}

// path returns the path with the fields' values. Each value is one segment.
func (d *Definition) path(values Values) (string, error) {
	for _, field := range d.Request.Path.Fields() {
		if text := values[field].Reveal(); text == "" || text == "." || text == ".." {
			return "", failure.New(failure.FieldInvalid, "%s cannot be a segment of the address", field).WithHint("check the value of %s", field)
		}
	}
	return d.Request.Path.Text(func(field string) string { return url.PathEscape(values[field].Reveal()) }), nil
}

// basic returns the credentials for Basic authentication, or nil if there are none.
func (d *Definition) basic(values Values) (*token.Basic, error) {
	b := d.Request.Basic
	if b == nil {
		return nil, nil
	}
	user, password := values[b.User].Reveal(), values[b.Password]
	if b.FormEncoded {
		return &token.Basic{User: url.QueryEscape(user), Password: secret.New(url.QueryEscape(password.Reveal()))}, nil
	}
	if strings.Contains(user, ":") {
		return nil, failure.New(failure.FieldInvalid, "%s must not contain a colon: it is the user part of a Basic pair", b.User).
			WithHint("check whether the id and the secret were both put into %s", b.User)
	}
	return &token.Basic{User: user, Password: password}, nil
}

// queryEscape escapes text for a query. It writes a space as %20, because not all
// servers decode "+" to a space there.
func queryEscape(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

// encode joins the pairs that have a value.
func encode(pairs []Pair, values Values, escape func(string) string) string {
	var b strings.Builder
	for _, pair := range pairs {
		text, given := pair.Value.reveal(values)
		if !given {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(escape(pair.Name) + "=" + escape(text))
	}
	return b.String()
}

// encode returns the value as JSON. given is false for a string that mentions a
// field without a value.
func (j *JSON) encode(values Values) (text string, given bool) {
	var parts []string
	switch {
	case j.Text != nil:
		text, given = j.Text.reveal(values)
		return quote(text), given
	case j.Literal != "":
		return j.Literal, true
	case j.Items != nil:
		for _, item := range j.Items {
			if text, given := item.encode(values); given {
				parts = append(parts, text)
			}
		}
		return "[" + strings.Join(parts, ",") + "]", true
	}
	for _, m := range j.Members {
		if text, given := m.Value.encode(values); given {
			parts = append(parts, quote(m.Name)+":"+text)
		}
	}
	return "{" + strings.Join(parts, ",") + "}", true
}

// quote returns text as a JSON string, without the escapes that only HTML needs.
func quote(text string) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // encoding a string in memory cannot fail
	return strings.TrimSuffix(b.String(), "\n")
}

// DefaultText describes the default for the help text: the constant default, or for
// example "the client id" if the default is the value of client_id. It is empty for
// a field without a default.
func (f Field) DefaultText() string {
	if name, ok := f.reference(); ok {
		return "the " + strings.ReplaceAll(name, "_", " ")
	}
	return f.Default
}

// DefaultValue returns the value of a field that is not set: its constant default,
// or the value of the field that the default refers to.
func (f Field) DefaultValue(values Values) secret.Value {
	if name, ok := f.reference(); ok {
		return values[name]
	}
	return secret.New(f.Default)
}
