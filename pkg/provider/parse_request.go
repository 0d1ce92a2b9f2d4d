package provider

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

const post, get = "POST", "GET"

func (r *reader) readRequest(n *node) {
	request := &r.definition.Request
	request.Method = r.oneOf(n, "method", post, get)
	request.Path = r.path(n.get("path"))
	request.Query = r.pairs(n, "query")
	for _, pair := range request.Query {
		for _, field := range pair.Value.Fields() {
			if r.definition.secret(field) {
				r.wrong(n.get("query").value(pair.Name), "the secret field %s cannot be sent in the query, which servers and proxies log", field)
			}
		}
	}
	r.readBasic(n)
	request.Headers = r.headers(n, "headers")
	form, body := n.get("form"), n.get("json")
	switch {
	case form != nil && body != nil:
		r.wrong(body, "form and json cannot stand together")
	case request.Method == get && (form != nil || body != nil):
		r.wrong(n.get("method"), "a request with the method GET has no body")
	case form != nil:
		request.Form = r.pairs(n, "form")
	case body != nil && body.kind != unstable.Table:
		r.wrong(body, "json must be a table")
	case body != nil:
		request.JSON = r.json(body, "json", 0)
	}
	for _, h := range request.Headers {
		switch {
		case strings.EqualFold(h.Name, "Authorization") && request.Basic != nil:
			r.wrong(n.get("headers"), "the header Authorization cannot be set beside basic")
		case strings.EqualFold(h.Name, "Content-Type") && (form != nil || body != nil):
			r.wrong(n.get("headers"), "the header Content-Type cannot be set: the body has one")
		}
	}
	r.closed(n)
}

func (r *reader) readBasic(n *node) {
	names, known := r.texts(n, "basic")
	encoding := r.oneOf(n, "basic_encoding", "raw", "form")
	switch {
	case !known:
		if encoding := n.get("basic_encoding"); encoding != nil {
			r.wrong(encoding, "basic_encoding needs basic")
		}
		return
	case len(names) != 2:
		r.wrong(n.get("basic"), `basic must name two fields: ["USER", "PASSWORD"]`)
		return
	}
	for _, name := range names {
		r.mention(n.get("basic"), name, true)
	}
	r.definition.Request.Basic = &Basic{User: names[0], Password: names[1], FormEncoded: encoding == "form"}
}

// template parses the string n as a template and records the fields it mentions.
func (r *reader) template(n *node, key string) Template {
	if n.kind != unstable.String {
		r.wrong(n, "%s must be a text", key)
		return constant("")
	}
	t, err := parseTemplate(n.text)
	if err != nil {
		r.wrong(n, "%s", err)
		return constant("")
	}
	for _, field := range t.Fields() {
		r.mention(n, field, false)
	}
	return t
}

// pairs reads a table whose values are strings.
func (r *reader) pairs(parent *node, key string) []Pair {
	n := r.table(parent, key)
	if n == nil {
		return nil
	}
	pairs := []Pair{}
	for _, p := range n.pairs {
		if p.key == "" {
			r.wrong(p.value, "%s has a name that is empty", key)
		}
		pairs = append(pairs, Pair{p.key, r.template(p.value, cut(p.key))})
	}
	return pairs
}

func (r *reader) headers(parent *node, key string) []Pair {
	all := r.pairs(parent, key)
	for i, h := range all {
		at := parent.get(key).value(h.Name)
		same := func(other Pair) bool { return strings.EqualFold(other.Name, h.Name) }
		switch {
		case !headerName(h.Name):
			r.wrong(at, "%s holds a name that no header can have", key)
		case forbiddenHeader(h.Name):
			r.wrong(at, "the header %s cannot be set", h.Name)
		case slices.ContainsFunc(all[:i], same):
			r.wrong(at, "the header %s is given twice", h.Name)
		}
		for _, p := range h.Value {
			if !headerText(p.text) {
				r.wrong(at, "the value of the header %s must be printable ASCII", cut(h.Name))
			}
		}
	}
	return all
}

// headerName reports whether name is a token as in RFC 9110 section 5.6.2, of at
// most 64 bytes.
func headerName(name string) bool {
	const marks = "!#$%&'*+-.^_`|~"
	return name != "" && len(name) <= 64 && !strings.ContainsFunc(name, func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune(marks, c))
	})
}

// headerText reports whether text is valid in a header value: printable ASCII.
func headerText(text string) bool {
	return !strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c > '~' })
}

// forbiddenHeader reports whether a definition must not set a header, because it
// belongs to the connection or tokenfetch sets it.
func forbiddenHeader(name string) bool {
	name = strings.ToLower(name)
	return strings.HasPrefix(name, "proxy-") || slices.Contains([]string{
		"host", "content-length", "transfer-encoding", "connection", "expect", "cookie", "keep-alive", "te", "trailer", "upgrade",
		"accept-encoding",
	}, name)
}

// path reads the path of the token endpoint. A field must be a whole segment.
func (r *reader) path(n *node) Template {
	if n == nil {
		return constant("")
	}
	t := r.template(n, "path")
	plain := t.Text(func(string) string { return "{}" })
	segments := strings.Split(plain, "/")
	bad := segments[0] != ""
	for i, segment := range segments {
		last := i > 0 && i == len(segments)-1
		bad = bad || i > 0 && !last && segment == "" || segment == "." || segment == ".." ||
			segment != "{}" && strings.ContainsFunc(segment, func(c rune) bool { return !pathRune(c) })
	}
	if bad {
		r.wrong(n, "path must be a plain path, such as /oauth/token: no host, query, %% or empty segment, and {FIELD} only as a whole segment")
	}
	for _, field := range t.Fields() {
		f, _ := r.definition.Field(field)
		if f.Secret || f.Optional {
			r.wrong(n, "the field %s cannot stand in the path: it is secret or optional", field)
		}
	}
	return t
}

// pathRune reports whether a character is valid in a path without percent-encoding
// (RFC 3986 section 3.3).
func pathRune(c rune) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("-._~!$&'()*+,;=:@", c)
}

// maxDepth is the maximum nesting depth of a JSON body.
const maxDepth = 32

// json reads a value of a JSON body, at the given nesting depth.
func (r *reader) json(n *node, key string, depth int) *JSON {
	if depth > maxDepth {
		r.wrong(n, "json is nested more than %d deep", maxDepth)
		return nil
	}
	switch n.kind {
	case unstable.Table:
		value := &JSON{Members: []Member{}}
		for _, p := range n.pairs {
			value.Members = append(value.Members, Member{p.key, r.json(p.value, cut(p.key), depth+1)})
		}
		return value
	case unstable.Array:
		value := &JSON{Items: []*JSON{}}
		for _, item := range n.items {
			value.Items = append(value.Items, r.json(item, key, depth+1))
		}
		return value
	case unstable.String:
		return &JSON{Text: r.template(n, key)}
	case unstable.Bool:
		return &JSON{Literal: n.text}
	}
	text, ok := n.number()
	if !ok {
		r.wrong(n, "%s must be a text, a number, true, false, a list or a table; write a date as a text", key)
	}
	return &JSON{Literal: text}
}

// scalar returns a string, number or boolean in the form that is comparable with a
// value of a reply.
func (n *node) scalar() (Scalar, bool) {
	if text, ok := n.number(); ok {
		return scalarOf(json.Number(text))
	}
	switch n.kind {
	case unstable.String:
		return scalarOf(n.text)
	case unstable.Bool:
		return scalarOf(n.text == "true")
	}
	return Scalar{}, false
}
