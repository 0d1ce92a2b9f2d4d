package provider_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// acme is a definition that uses every key of [request] and breaks no rule.
const acme = `title = "Acme"
verified = "a test"
docs = "https://docs.acme.example/token"
notes = ["A note."]

[environments]
live = { base_url = "https://{tenant}.acme.example/api", allow_listed = true }
local = "http://127.0.0.1:8080"

[fields]
client_id = { help = "client id", example = "42" }
client_secret = { help = "client secret", secret = true }
company = { default = "{client_id}" }
scope = { optional = true }
tenant = { help = "subdomain" }

[request]
method = "POST"
path = "/v1/{company}/token/"
query = { api = "1", at = "{tenant}" }
basic = ["client_id", "client_secret"]
basic_encoding = "form"
headers = { X-Key = "key={client_secret}" }
json = { grant_type = "password", scope = "{scope}", remember = true, n = 1, auth = { list = ["{{a}}", 2.5, "{company}-{tenant}"] } }

[reply]
token = ["access_token", "data.token"]
token_type = "token_type"
expires_in = []
scope = "scope"
error_code = "error"
error_text = "message"
types = ["bearer", "jwt"]
expires_at = "expiry"
error_id = "id"
token_prefix = "Bearer "
keep = ["data.instance_url"]

[[outcome]]
member = "status"
value = [1, "1", true, 1.5]
is = "ok"

[[outcome]]
status = 409
is = "conflict"

[[outcome]]
member = "status"
absent = true
is = "untrusted"

[token]
single_use = true
lifetime = 120
lockout_after = 3
account = ["client_id"]

[use]
header = "X-Auth"
scheme = "Token"
headers = { X-Tenant = "{tenant}" }

[[example]]
name = "token"
status = 200
outcome = "token"
body = '{"access_token":"{token}"}'

[[example]]
name = "refused"
status = 400
outcome = "provider_refused"
body = '{}'
`

// oauth is one that uses every key of [oauth2].
const oauth = `[oauth2]
token_url = "https://auth.acme.example/oauth2/token"
grant_type = "password"
auth_method = "client_secret_post"
scope = { optional = true, help = "scopes" }
audience = "https://api.acme.example"
resource = "urn:acme"

[fields]
client_id = { help = "key", default = "public" }
`

func TestDefinitionsThatBreakNoRule(t *testing.T) {
	for name, text := range map[string]string{
		"acme": acme, "oauth": oauth,
		"the shortest":     "[oauth2]\ntoken_url = \"https://acme.example/token\"\n",
		"a path below":     "[environments]\na = \"https://acme.example\"\n[oauth2]\npath = \"/t\"\n",
		"no path":          "[request]\n",
		"loopback":         "[oauth2]\ntoken_url = \"http://localhost:1/token\"\n",
		"a port and slash": "[oauth2]\ntoken_url = \"https://acme.example:8443/token/\"\n",
		"a query":          "[oauth2]\ntoken_url = \"https://acme.example/token?p=a%20b&v=1\"\n",
	} {
		if _, err := provider.Parse("acme.toml", []byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// edited returns text with the first old replaced.
func edited(t *testing.T, text, old, replacement string) []byte {
	t.Helper()
	if !strings.Contains(text, old) {
		t.Fatalf("there is no %q", old)
	}
	return []byte(strings.Replace(text, old, replacement, 1))
}

// problems returns what Parse says of a definition, without the file's name.
func problems(t *testing.T, name string, data []byte) string {
	t.Helper()
	_, err := provider.Parse(name+".toml", data)
	if err == nil {
		return ""
	}
	all, ok := errors.AsType[*provider.Problems](err)
	if !ok {
		t.Fatalf("%T: %v", err, err)
	}
	if !strings.HasPrefix(err.Error(), name+".toml: line ") {
		t.Errorf("%q does not begin with the file", err)
	}
	var texts []string
	for _, p := range all.All {
		texts = append(texts, fmt.Sprintf("line %d, column %d: %s", p.Line, p.Column, p.Text))
	}
	return strings.Join(texts, "; ")
}

// TestRules breaks each rule of a definition once.
func TestRules(t *testing.T) {
	const tenant, body = "tenant = { help", `json = {`
	for _, c := range []struct{ old, replacement, want string }{
		{`docs = "https`, `docs = "http`, "line 3, column 8: docs must be an https address"},
		{`title = "Acme"`, `title = "A\u001bcme"`, "line 1, column 9: title holds a character that cannot be printed"},
		{`title = "Acme"`, `title = "` + strings.Repeat("a", 1001) + `"`, "line 1, column 9: title is longer than 1000 bytes"},
		{`title = "Acme"`, `title = 5`, "line 1, column 9: title must be a text"},
		{`title = "Acme"`, `Title = "Acme"`, `line 1, column 9: unknown key "Title"; the keys here are title, verified, docs, notes, oauth2, fields, environments, request, reply, outcome, use, token, example`},
		{`notes = ["A note."]`, `notes = [1]`, "line 4, column 10: notes must be a text"},

		{`live = {`, `Live = {`, "line 7, column 8: the name of an environment must match [a-z][a-z0-9-]{0,62}"},
		{`allow_listed = true`, `allow_listed = "x"`, "line 7, column 73: allow_listed must be true or false"},
		{`allow_listed = true`, `listed = true`, `line 7, column 67: unknown key "listed"; the keys here are base_url, allow_listed`},
		{`"http://127.0.0.1:8080"`, `"http://acme.example"`, "line 8, column 9: https required: an environment's address uses http, which is only for loopback addresses"},
		{`"http://127.0.0.1:8080"`, `"https://u:p@acme.example"`, "line 8, column 9: an environment's address must not contain credentials"},
		{`https://{tenant}.acme.example/api`, `https://a.{tenant}.example`, "line 7, column 21: {tenant} must be a label below the provider's domain: in front of at least two labels"},
		{`https://{tenant}.acme.example/api`, `https://{tenant}`, "line 7, column 21: {tenant} must be a label below the provider's domain: in front of at least two labels"},
		{`https://{tenant}.acme.example/api`, `https://{tenant}x.acme.example`, "line 7, column 21: an environment's address must name an ASCII host or an IP address"},
		{`https://{tenant}.acme.example/api`, `https://acme.example/{tenant}`, "line 7, column 21: an environment's address must have a plain path: letters, digits, dots, hyphens, underscores and tildes between single slashes"},
		{`https://{tenant}.acme.example/api`, `https://{nobody}.acme.example`, `line 7, column 21: there is no field "nobody"`},
		{`https://{tenant}.acme.example/api`, `https://{scope}.acme.example`, "line 7, column 21: the field scope is optional, and cannot be left out here"},

		{tenant, `Tenant = { help`, "line 15, column 10: the name of a field must match [a-z][a-z0-9_]{0,62}"},
		{tenant, `tenant_file = { help`, "line 15, column 15: the name of a field must not end in _file, which names the file of another field"},
		{tenant, `timeout = { help`, "line 15, column 11: timeout is the name of a setting or flag of tokenfetch: choose another name for the field"},
		{tenant, `access_token = { help`, "line 15, column 16: access_token is the name of a setting or flag of tokenfetch: choose another name for the field"},
		{tenant, `client_id = { help`, `line 15, column 1: "client_id" is given twice`},
		{`secret = true`, `secret = true, default = "hunter2"`, "line 12, column 17: the field client_secret is secret: it can have no example and no default"},
		{`default = "{client_id}"`, `default = "{nobody}"`, "line 13, column 11: the default of company names no other field"},
		{`default = "{client_id}"`, `default = "{client_secret}"`, "line 13, column 11: the default of company must name a field that must be given and is not secret"},
		{`default = "{client_id}"`, `default = "a{client_id}"`, "line 13, column 11: the default of company must be a text without braces, or {FIELD} alone"},
		{`company = { default`, `company = { optional = true, default`, "line 13, column 11: the field company has a default, so it is never left out: optional does not go with it"},
		{tenant, "unused = {}\n" + tenant, "line 15, column 10: the field unused is not used: no part of the request, host or use mentions it"},

		{`method = "POST"`, `method = "PUT"`, "line 18, column 10: method must be one of POST, GET"},
		{`method = "POST"`, `method = "GET"`, "line 18, column 10: a request with the method GET has no body"},
		{`path = "/v1/{company}/token/"`, `path = "{company}/token"`, "line 19, column 8: " + pathRule},
		{`path = "/v1/{company}/token/"`, `path = "https://evil.example/{company}"`, "line 19, column 8: " + pathRule},
		{`path = "/v1/{company}/token/"`, `path = "//evil.example/{company}"`, "line 19, column 8: " + pathRule},
		{`path = "/v1/{company}/token/"`, `path = "/{company}/../x"`, "line 19, column 8: " + pathRule},
		{`path = "/v1/{company}/token/"`, `path = "/%2e/{company}"`, "line 19, column 8: " + pathRule},
		{`path = "/v1/{company}/token/"`, `path = "/{company}\n"`, "line 19, column 8: " + pathRule},
		{`path = "/v1/{company}/token/"`, `path = "/{client_secret}"`, "line 19, column 8: the field client_secret cannot stand in the path: it is secret or optional"},
		{`path = "/v1/{company}/token/"`, `path = "/{scope}"`, "line 19, column 8: the field scope cannot stand in the path: it is secret or optional"},
		{`at = "{tenant}"`, `at = "{client_secret}"`, "line 20, column 27: the secret field client_secret cannot be sent in the query, which servers and proxies log"},
		{`at = "{tenant}"`, `at = "{tenant"`, "line 20, column 27: a brace stands alone: write {FIELD} for the value of a field, {{ and }} for braces"},
		{`at = "{tenant}"`, `at = "{nobody}"`, `line 20, column 27: there is no field "nobody"`},
		{`at = "{tenant}"`, `at = 5`, "line 20, column 27: at must be a text"},
		{`basic = ["client_id", "client_secret"]`, `basic = ["client_id"]`, `line 21, column 1: basic must name two fields: ["USER", "PASSWORD"]`},
		{`basic = ["client_id", "client_secret"]`, `basic = ["client_id", "scope"]`, "line 21, column 1: the field scope is optional, and cannot be left out here"},
		{`basic = ["client_id", "client_secret"]`, ``, "line 22, column 18: basic_encoding needs basic"},
		{`basic_encoding = "form"`, `basic_encoding = "utf-8"`, "line 22, column 18: basic_encoding must be one of raw, form"},
		{`X-Key = "key=`, `"X Key" = "key=`, "line 23, column 23: headers holds a name that no header can have"},
		{`X-Key = "key=`, `"X-Key\r\nHost" = "key=`, "line 23, column 31: headers holds a name that no header can have"},
		{`X-Key = "key=`, `X-Key = "a\r\nHost: b`, "line 23, column 21: the value of the header X-Key must be printable ASCII"},
		{`X-Key = "key=`, `Host = "key=`, "line 23, column 20: the header Host cannot be set"},
		{`X-Key = "key=`, `content-length = "key=`, "line 23, column 30: the header content-length cannot be set"},
		{`X-Key = "key=`, `Transfer-Encoding = "key=`, "line 23, column 33: the header Transfer-Encoding cannot be set"},
		{`X-Key = "key=`, `Connection = "key=`, "line 23, column 26: the header Connection cannot be set"},
		{`X-Key = "key=`, `Expect = "key=`, "line 23, column 22: the header Expect cannot be set"},
		{`X-Key = "key=`, `Cookie = "key=`, "line 23, column 22: the header Cookie cannot be set"},
		{`X-Key = "key=`, `Proxy-Authorization = "key=`, "line 23, column 35: the header Proxy-Authorization cannot be set"},
		{`X-Key = "key=`, `authorization = "key=`, "line 23, column 11: the header Authorization cannot be set beside basic"},
		{`X-Key = "key=`, `Content-type = "key=`, "line 23, column 11: the header Content-Type cannot be set: the body has one"},
		{`X-Key = "key=`, `x-key = "a", X-Key = "key=`, "line 23, column 34: the header X-Key is given twice"},
		{body, `form = { a = "b" }` + "\n" + body, "line 25, column 8: form and json cannot stand together"},
		{body, "form = { a = 5 }\nx = {", `line 24, column 14: a must be a text; line 25, column 5: unknown key "x"; the keys here are method, path, query, basic, basic_encoding, headers, form, json`},
		{`n = 1,`, `n = 2026-11-21,`, "line 24, column 75: n must be a text, a number, true, false, a list or a table; write a date as a text"},
		{`n = 1,`, `n = "{client",`, "line 24, column 75: a brace stands alone: write {FIELD} for the value of a field, {{ and }} for braces"},
		{"[request]", "[oauth2]\ntoken_url = \"https://a.example/t\"\n[request]", "line 17, column 2: request and oauth2 cannot stand together"},
		{"[request]", "[requests]", "line 1, column 1: one of the tables [request] and [oauth2] is missing; line 17, column 2: unknown key \"requests\""},

		{`token = ["access_token", "data.token"]`, `token = []`, "line 27, column 1: token must name a member"},
		{`token = ["access_token", "data.token"]`, `token = ["a..b"]`, "line 27, column 1: token must be the name of a member, or names joined by dots"},
		{`keep = ["data.instance_url"]`, `keep = ["data.refresh_token"]`, "line 37, column 1: keep must not name a member that holds a token: data.refresh_token"},
		{`keep = ["data.instance_url"]`, `keep = ["accessToken"]`, "line 37, column 1: keep must not name a member that holds a token: accessToken"},
		{`is = "ok"`, ``, "line 39, column 3: an outcome must say what the reply is: one of ok, refused, conflict, closed, busy, untrusted"},
		{`is = "ok"`, `is = "fine"`, "line 42, column 6: is must be one of , ok, refused, conflict, closed, busy, untrusted"},
		{`is = "conflict"`, `is = "ok"`, "line 44, column 3: only a reply of status 200 to 299 can be ok"},
		{`status = 409`, `status = 99`, "line 45, column 10: status must be a whole number from 200 to 599"},
		{`status = 409`, `value = 409`, "line 44, column 3: value and absent need a member"},
		{`absent = true`, `absent = true` + "\nvalue = 1", "line 48, column 3: value and absent cannot stand together"},
		{`value = [1,`, `value = [{},`, "line 41, column 10: value must be a text, a number, true or false, or a list of these"},

		{`lifetime = 120`, `lifetime = -1`, "line 55, column 12: lifetime must be a whole number from 1 to 315360000"},
		{`lockout_after = 3`, `lockout_after = 1`, "line 56, column 17: lockout_after must be a whole number from 2 to 1000"},
		{`lockout_after = 3`, ``, "line 53, column 2: lockout_after and account belong together"},
		{`account = ["client_id"]`, ``, "line 53, column 2: lockout_after and account belong together"},
		{`account = ["client_id"]`, `account = ["client_secret"]`, `line 57, column 1: account: "client_secret" is not the name of a field that must be given and is not secret`},
		{`account = ["client_id"]`, `account = ["company"]`, `line 57, column 1: account: "company" is not the name of a field that must be given and is not secret`},

		{`header = "X-Auth"`, `member = "token"`, "line 59, column 2: member and header cannot stand together: the token travels in one of them"},
		{`header = "X-Auth"`, `header = "X Auth"`, "line 60, column 10: header is not the name of a header that can be set"},
		{`scheme = "Token"`, `scheme = "a b"`, "line 61, column 10: scheme must be one word, such as Bearer"},
		{`X-Tenant = `, `x-auth = `, "line 62, column 11: the header x-auth carries the token"},

		{`name = "refused"`, `name = "token"`, "line 70, column 3: an example needs a name of its own"},
		{`outcome = "provider_refused"`, `outcome = "internal"`, "line 70, column 3: the outcome of an example must be token, or the code of an error (tokenfetch help errors)"},
		{`status = 400`, ``, "line 70, column 3: an example needs a status"},
	} {
		got := problems(t, "acme", edited(t, acme, c.old, c.replacement))
		if c.want == "" || !strings.Contains(got+"; ", c.want+"; ") && !strings.HasPrefix(got, c.want) {
			t.Errorf("%q for %q:\n%q, want\n%q", c.replacement, c.old, got, c.want)
		}
	}
}

const pathRule = "path must be a plain path, such as /oauth/token: no host, query, % or empty segment, and {FIELD} only as a whole segment"

// TestOAuth2Rules breaks each rule of [oauth2] once.
func TestOAuth2Rules(t *testing.T) {
	const host = "token_url must be the https address of the token endpoint, such as https://auth.example.com/oauth2/token (http only for a loopback address)"
	for _, c := range []struct{ old, replacement, want string }{
		{`"https://auth.acme.example/oauth2/token"`, `"http://auth.acme.example/oauth2/token"`, "line 2, column 13: " + host},
		{`"https://auth.acme.example/oauth2/token"`, `"https://user:hunter2@auth.acme.example/token"`, "line 2, column 13: " + host},
		{`"https://auth.acme.example/oauth2/token"`, `"auth.acme.example/token"`, "line 2, column 13: " + host},
		{`"https://auth.acme.example/oauth2/token"`, `"https://auth.acme.example/a/../token"`, "line 2, column 13: token_url must have a plain path, without %, fragment, empty or dot segments"},
		{`"https://auth.acme.example/oauth2/token"`, `"https://auth.acme.example/token#x"`, "line 2, column 13: token_url must have a plain path, without %, fragment, empty or dot segments"},
		{`"https://auth.acme.example/oauth2/token"`, `"https://auth.acme.example/token?a=%zz"`, "line 2, column 13: token_url has a query that is not NAME=VALUE pairs"},
		{`token_url = "https://auth.acme.example/oauth2/token"`, ``, "line 1, column 2: token_url is missing: the address of the token endpoint, or [environments] and path"},
		{`token_url = "https://auth.acme.example/oauth2/token"`, `path = "/t"`, "line 1, column 2: token_url is missing: the address of the token endpoint, or [environments] and path"},
		{`grant_type`, "path = \"/t\"\ngrant_type", "line 2, column 13: token_url cannot stand beside path or environments: it is the whole address of one host"},
		{`[fields]`, "[environments]\na = \"https://a.example\"\n[fields]", "line 2, column 13: token_url cannot stand beside path or environments: it is the whole address of one host"},
		{`"password"`, `"authorization_code"`, "line 3, column 14: grant_type must be one of client_credentials, password"},
		{`"client_secret_post"`, `"private_key_jwt"`, "line 4, column 15: auth_method must be one of client_secret_basic, client_secret_post"},
		{`optional = true`, `optional = true, secret = true`, "line 5, column 9: scope cannot be secret"},
		{`audience = "https://api.acme.example"`, `audience = 5`, "line 6, column 12: audience must be a text"},
		{`resource =`, `resources =`, `line 7, column 13: unknown key "resources"; the keys here are grant_type, scope, audience, resource, path, token_url, auth_method`},
		{`client_id = {`, `client_secret = { secret = false,`, "line 10, column 17: oauth2 says whether the field client_secret is secret"},
	} {
		got := problems(t, "acme", edited(t, oauth, c.old, c.replacement))
		if !strings.Contains("; "+got+"; ", "; "+c.want) {
			t.Errorf("%q for %q:\n%q, want\n%q", c.replacement, c.old, got, c.want)
		}
	}
}

// TestNames: what the contract keeps for commands, and what is no name.
func TestNames(t *testing.T) {
	const data = "[oauth2]\ntoken_url = \"https://a.example/t\"\n"
	for name := range strings.FieldsSeq("exec login logout status doctor provider emulator cache completion version help " +
		"auth config curl env fetch get init list profile profiles refresh run serve store token tokenfetch whoami") {
		if got, want := problems(t, name, []byte(data)), "line 1, column 1: "+name+" is the name of a command, or kept for one: choose another name"; got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	for _, name := range []string{"Acme", "1a", "-a", "a_b", strings.Repeat("a", 64), "a b", ""} {
		if got, want := problems(t, name, []byte(data)), "line 1, column 1: the file's name is not that of a provider: it must match [a-z][a-z0-9-]{0,62} and end in .toml"; got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestSyntax: what is not TOML is refused with its place.
func TestSyntax(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"title = x\n", "line 1, column 9: not valid TOML"},
		{"title = \"abc\n", "line 1, column 13: not valid TOML"},
		{"title = \"x\"\n\nname\n", "line 3, column 5: not valid TOML"},
		{"title = \"\\q\"\n", "line 1, column 10: not valid TOML"},
		{"title = '\xff'\n", "line 1, column 1: not UTF-8 text"},
		{"\x00", "line 1, column 1: not valid TOML"},
		{"title = \"x\"\ntitle = \"y\"\n", `line 2, column 1: "title" is given twice`},
		{"[request]\npath = \"/a\"\n[request]\n", `line 3, column 2: "request" is given twice`},
		{"[request]\njson = { a = 1, a = 2 }\n", `line 2, column 17: "a" is given twice`},
		{"request = { path = \"/a\" }\n[request]\n", `line 2, column 2: "request" is given twice`},
		{"request = { path = \"/a\" }\nrequest.method = \"GET\"\n", `line 2, column 1: "request" is given twice`},
		{"outcome = [{ is = \"ok\" }]\n[[outcome]]\n", `line 2, column 3: "outcome" is given twice`},
		{"[outcome]\n", `line 1, column 1: one of the tables [request] and [oauth2] is missing; line 1, column 2: outcome must be a list of tables: [[outcome]]`},
		{"fields = 5\n[request]\n", "line 1, column 10: fields must be a table"},
		{"", "line 1, column 1: one of the tables [request] and [oauth2] is missing"},
		{strings.Repeat("#", provider.MaxFile+1), "line 1, column 1: longer than 64 KiB"},
	} {
		if got := problems(t, "acme", []byte(c.text)); got != c.want {
			t.Errorf("%.60q:\n%q, want\n%q", c.text, got, c.want)
		}
	}
}

// TestAllProblemsAtOnce: more than one message holds are counted.
func TestAllProblemsAtOnce(t *testing.T) {
	var text strings.Builder
	text.WriteString("[request]\n")
	for i := range 12 {
		fmt.Fprintf(&text, "k%d = 1\n", i)
	}
	_, err := provider.Parse("acme.toml", []byte(text.String()))
	all, ok := errors.AsType[*provider.Problems](err)
	if !ok || len(all.All) != 12 || all.All[11].Line != 13 || !strings.HasSuffix(err.Error(), "; and 9 more") {
		t.Errorf("%+v", err)
	}
}

// TestHostileDefinitions: nothing takes long or much, whatever the file holds.
func TestHostileDefinitions(t *testing.T) {
	many := func(n int, line string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, line, i)
		}
		return b.String()
	}
	for name, text := range map[string]string{
		"deep lists":       "x = " + strings.Repeat("[", 30_000) + strings.Repeat("]", 30_000),
		"deep tables":      "x = " + strings.Repeat("{a=", 9_000) + "1" + strings.Repeat("}", 9_000),
		"a deep body":      "[request]\njson = " + strings.Repeat("{a=", 9_000) + "1" + strings.Repeat("}", 9_000),
		"a long key":       strings.Repeat("a.", 30_000) + "a = 1",
		"many fields":      "[fields]\n" + many(4000, "f%d = {}\n") + "[request]\n",
		"many outcomes":    "[request]\n" + many(3000, "[[outcome]]\nx%d=1\n"),
		"many tables":      many(6000, "[a%d]\n"),
		"many mentions":    "[fields]\na = {}\n[request]\npath = \"" + strings.Repeat("/{a}", 15_000) + "\"",
		"many braces":      "[request]\nform = { a = \"" + strings.Repeat("{", 60_000) + "\" }",
		"control":          "title = \"\x1b[2J\"",
		"a null byte":      "title = \"\x00\"",
		"a byte mark":      "\xef\xbb\xbf[request]",
		"another encoding": "\xff\xfe[\x00",
		"a lone quote":     `"`,
		"many problems":    "[request]\n" + many(7000, "k%d=1\n"),
	} {
		text := text[:min(len(text), provider.MaxFile)]
		var got string
		if testing.AllocsPerRun(1, func() { got = problems(t, "acme", []byte(text)) }) > 2_000_000 {
			t.Errorf("%s allocates without bound", name)
		}
		if name != "many mentions" && name != "many braces" && got == "" || len(got) > 2_000_000 {
			t.Errorf("%s: %d bytes of problems: %.200q", name, len(got), got)
		}
	}
}

// FuzzParse: reading a definition never panics, one that passes the checks can be
// used, and an error says where it belongs.
func FuzzParse(f *testing.F) {
	for _, text := range []string{acme, oauth, "[request]\njson = { a = [ { b = \"{c}\" } ] }\n", "[fields]\na = 5", "[[outcome]]\n[outcome.x]\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := provider.Parse("f.toml", []byte(text))
		if err != nil {
			all, ok := errors.AsType[*provider.Problems](err)
			if !ok || d != nil || len(all.All) == 0 || !strings.HasPrefix(err.Error(), "f.toml: line ") {
				t.Fatalf("%q: %v, %v", text, d, err)
			}
			lines := strings.Count(text, "\n") + 1
			for _, p := range all.All {
				if p.Line < 1 || p.Line > lines || p.Column < 1 {
					t.Errorf("%q: %+v", text, p)
				}
			}
			return
		}
		values := provider.Values{}
		for _, field := range d.Fields {
			if !field.Optional {
				values[field.Name] = secret.New("value")
			}
		}
		for _, e := range d.Environments {
			a, err := d.Address(e, func(string) string { return "label" })
			if err != nil {
				t.Errorf("environment %+v has no address: %v", e, err)
			}
			if _, err := d.TokenRequest(a, values); err != nil {
				t.Errorf("no request for %v: %v", a, err)
			}
		}
	})
}

// TestOAuth2 compares what [oauth2] stands for with what it means.
func TestOAuth2(t *testing.T) {
	d, err := provider.Parse("acme.toml", []byte(oauth))
	check.OK(t, err)
	var parts []string
	for _, p := range d.Request.Parts() {
		parts = append(parts, p.In+" "+p.Name+"="+p.Value.String())
	}
	want := []string{
		"form client_id={client_id}", "form client_secret={client_secret}", "form username={username}", "form password={password}",
		"form grant_type=password", "form scope={scope}", "form audience=https://api.acme.example", "form resource=urn:acme",
	}
	check.Same(t, "the request", want, parts)
	fields := []provider.Field{
		{Name: "client_id", Help: "key", Default: "public"},
		{Name: "client_secret", Help: "client secret", Secret: true},
		{Name: "username", Help: "user name of the account"},
		{Name: "password", Help: "password of the account", Secret: true},
		{Name: "scope", Help: "scopes", Optional: true},
	}
	check.Same(t, "the fields", fields, d.Fields)
	if e := d.Environments; len(e) != 1 || e[0].BaseURL != "https://auth.acme.example" || d.Request.Path.String() != "/oauth2/token" {
		t.Errorf("%+v, path %s", e, d.Request.Path)
	}
}
