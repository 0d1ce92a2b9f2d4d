package provider

import (
	"net/url"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// The valid values of the keys of [oauth2]. The first is the default.
func grantTypes() []string  { return []string{"client_credentials", "password"} }
func authMethods() []string { return []string{"client_secret_basic", "client_secret_post"} }

// optionalParameters returns the parameters of a token request that a definition may
// set to a constant or turn into a field: scope (RFC 6749 section 3.3), and audience
// and resource (RFC 8707) as servers use them.
func optionalParameters() []string { return []string{"scope", "audience", "resource"} }

// oauth2Fields returns the fields that [oauth2] defines.
func (r *reader) oauth2Fields(n *node) []Field {
	fields := []Field{
		{Name: "client_id", Help: "client id"},
		{Name: "client_secret", Help: "client secret", Secret: true},
	}
	if grant := n.get("grant_type"); grant != nil && grant.text == "password" {
		fields = append(fields,
			Field{Name: "username", Help: "user name of the account"},
			Field{Name: "password", Help: "password of the account", Secret: true})
	}
	for _, name := range optionalParameters() {
		if table := n.get(name); table != nil && table.kind == unstable.Table {
			f := r.readField(table, name)
			if f.Secret {
				r.wrong(table, "%s cannot be secret", name)
			}
			fields = append(fields, f)
		}
	}
	return fields
}

// readOAuth2 reads [oauth2]: a token request as in RFC 6749 sections 4.3 and 4.4,
// with client authentication as in section 2.3.1.
func (r *reader) readOAuth2(n, environments *node) {
	d := r.definition
	request := &d.Request
	request.Method = post
	r.readTokenURL(n, environments)
	grant := r.oneOf(n, "grant_type", grantTypes()...)
	add := func(name string, value Template) {
		for _, field := range value.Fields() {
			r.mention(n, field, false)
		}
		request.Form = append(request.Form, Pair{name, value})
	}
	switch r.oneOf(n, "auth_method", authMethods()...) {
	case "client_secret_basic":
		request.Basic = &Basic{"client_id", "client_secret", true}
		r.mention(n, "client_id", true)
		r.mention(n, "client_secret", true)
	default:
		add("client_id", ofField("client_id"))
		add("client_secret", ofField("client_secret"))
	}
	if grant == "password" {
		add("username", ofField("username"))
		add("password", ofField("password"))
	}
	add("grant_type", constant(grant))
	for _, name := range optionalParameters() {
		switch value := n.get(name); {
		case value == nil:
		case value.kind == unstable.Table:
			add(name, ofField(name))
		case r.isText(value, name):
			add(name, constant(value.text))
		}
	}
	r.closed(n)
}

// readTokenURL reads the location of the token endpoint: one URL, or a path that is
// relative to each environment.
func (r *reader) readTokenURL(n, environments *node) {
	d, path, address := r.definition, n.get("path"), n.get("token_url")
	d.Request.Path = constant("")
	switch {
	case address != nil && (path != nil || environments != nil):
		r.wrong(address, "token_url cannot stand beside path or environments: it is the whole address of one host")
	case address == nil && environments == nil:
		r.wrong(n, "token_url is missing: the address of the token endpoint, or [environments] and path")
	case address == nil:
		d.Request.Path = r.path(path)
	case r.isText(address, "token_url"):
		base, path, query, problem := splitTokenURL(address.text)
		if problem != "" {
			r.wrong(address, "token_url %s", problem)
		}
		d.Environments = []Environment{{Name: OnlyEnvironment, BaseURL: base}}
		d.Request.Path, d.Request.Query = constant(path), query
	}
}

// OnlyEnvironment is the name of the only environment of a definition that has a
// token_url.
const OnlyEnvironment = "default"

// splitTokenURL splits the URL of a token endpoint into a base URL, a path and the
// query parameters, if any (RFC 6749 section 3.2). problem is "" if the URL is
// valid.
func splitTokenURL(text string) (base, path string, query []Pair, problem string) {
	text, rawQuery, _ := strings.Cut(text, "?")
	scheme, rest, _ := strings.Cut(text, "://")
	authority, path, hasPath := strings.Cut(rest, "/")
	if hasPath {
		path = "/" + path
	}
	base = scheme + "://" + authority
	address, err := ParseAddress(base)
	if err != nil {
		return "", "", nil, "must be the https address of the token endpoint, such as https://auth.example.com/oauth2/token (http only for a loopback address)"
	}
	segments := strings.Split(strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/"), "/")
	if path != "" && path != "/" && slices.ContainsFunc(segments, func(s string) bool {
		return s == "" || s == "." || s == ".." || strings.ContainsFunc(s, func(c rune) bool { return !pathRune(c) })
	}) {
		return "", "", nil, "must have a plain path, without %, fragment, empty or dot segments"
	}
	for pair := range strings.SplitSeq(rawQuery, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, nameErr := url.QueryUnescape(name)
		value, valueErr := url.QueryUnescape(value)
		if nameErr != nil || valueErr != nil || strings.ContainsAny(pair, "#;") {
			return "", "", nil, "has a query that is not NAME=VALUE pairs"
		}
		query = append(query, Pair{name, constant(value)})
	}
	return address.String(), path, query, ""
}
