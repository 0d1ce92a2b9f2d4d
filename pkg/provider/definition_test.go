package provider_test

import (
	"strings"
	"testing"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
)

// acme is a definition that uses every key and breaks no rule.
const acme = `name = "acme"
title = "Acme"
docs = "https://docs.acme.example/token"
notes = ["A note."]

[[environment]]
name = "live"
base_url = "https://{tenant}.acme.example/api"
allow_listed = true

[[field]]
name = "client_id"
help = "client id"
example = "42"

[[field]]
name = "client_secret"
help = "client secret"
secret = true

[[field]]
name = "company"
help = "company"
optional = true
default = "{client_id}"

[[field]]
name = "tenant"
help = "subdomain"

[request]
path = "/token"
encoding = "form"
basic = { user = "client_id", password = "client_secret" }
body = [
  { name = "grant_type", value = "password" },
  { name = "company", field = "company" },
]

[reply]
token = ["access_token"]
type = ["token_type"]
expires_in = ["expires_in"]
scope = ["scope"]
error_code = ["error"]
error_text = ["message"]
error_id = ["id"]

[[reply.check]]
member = "error"
required = false
accept = ["0"]
refuse = ["1"]
otherwise = "refuse"

[[status]]
status = 409
means = "conflict"

[token]
single_use = true
lifetime = 120
lockout_after = 3
account = ["client_id"]
body_member = "token"

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

func TestAcmeBreaksNoRule(t *testing.T) {
	if _, err := provider.ParseAndCheck("acme.toml", []byte(acme)); err != nil {
		t.Fatal(err)
	}
}

// edited returns acme with the first old replaced.
func edited(t *testing.T, old, replacement string) []byte {
	t.Helper()
	if !strings.Contains(acme, old) {
		t.Fatalf("acme has no %q", old)
	}
	return []byte(strings.Replace(acme, old, replacement, 1))
}

// TestRules breaks each rule of a definition once.
func TestRules(t *testing.T) {
	const settingsRule = " is the name of a setting"
	field := func(name string) string { return `name = "` + name + `"` + "\nhelp = \"subdomain\"" }
	const tenant = "name = \"tenant\"\nhelp = \"subdomain\""
	tests := []struct{ old, replacement, want string }{
		{`name = "acme"`, ``, `name "" does not match ^[a-z][a-z0-9-]{0,62}$`},
		{`name = "acme"`, `name = "Acme"`, `name "Acme" does not match ^[a-z][a-z0-9-]{0,62}$`},
		{`name = "acme"`, `name = "acme\n"`, `name "acme\n" does not match ^[a-z][a-z0-9-]{0,62}$`},
		{`name = "acme"`, `name = "` + strings.Repeat("a", 64) + `"`, `name "` + strings.Repeat("a", 64) + `" does not match ^[a-z][a-z0-9-]{0,62}$`},
		{`name = "acme"`, `name = "login"`, `name "login" is reserved`},
		{`name = "acme"`, `name = "whoami"`, `name "whoami" is reserved`},
		{`title = "Acme"`, ``, `title and docs (an https address) are required`},
		{`docs = "https://docs`, `docs = "http://docs`, `title and docs (an https address) are required`},
		{`docs = "https://docs.acme.example/token"`, ``, `title and docs (an https address) are required`},

		{tenant, field("Tenant"), `field "Tenant" does not match ^[a-z][a-z0-9_]{0,62}$`},
		{tenant, field("ten-ant"), `field "ten-ant" does not match ^[a-z][a-z0-9_]{0,62}$`},
		{tenant, field("tenant_file"), `field "tenant_file" ends in _file, which names the file of another field`},
		{tenant, field("timeout"), `field "timeout"` + settingsRule},
		{tenant, field("base_url"), `field "base_url"` + settingsRule},
		{tenant, field("client_id"), `field "client_id" stands twice`},
		// The same name, but with another flag: --company-file.
		{tenant, field("company") + "\nsecret = true", `field "company" stands twice`},
		// The flag of a secret ends in -file, and one variable of every field in _FILE: ca_file is ours.
		{tenant, field("ca") + "\nsecret = true", `field "ca"` + settingsRule},
		{tenant, field("ca"), `field "ca"` + settingsRule},
		{tenant, field("verify"), `field "verify"` + settingsRule},
		// The variable ACME_ACCESS_TOKEN takes the token.
		{tenant, field("access_token"), `field "access_token"` + settingsRule},
		{`help = "subdomain"`, ``, `field "tenant" has no help`},
		{`secret = true`, "secret = true\nexample = \"x\"", `field "client_secret" is secret and has an example or default`},
		{`secret = true`, "secret = true\ndefault = \"x\"", `field "client_secret" is secret and has an example or default`},
		{`default = "{client_id}"`, `default = "{nobody}"`, `the default of field "company" names no other field`},
		{`default = "{client_id}"`, `default = "{company}"`, `the default of field "company" names no other field`},
		{`default = "{client_id}"`, `default = "{}"`, `the default of field "company" names no other field`},
		// Such a default would be a secret that is shown, or empty.
		{`default = "{client_id}"`, `default = "{client_secret}"`, `the default of field "company" names no other field that must be given and may be shown`},
		{tenant, tenant + "\ndefault = \"{company}\"", `the default of field "tenant" names no other field that must be given and may be shown`},
		{`{tenant}.acme`, `www.acme`, `field "tenant" is not used`},

		{`path = "/token"`, `path = "token"`, `request.path is not a plain path`},
		{`path = "/token"`, `path = "/"`, `request.path is not a plain path`},
		{`path = "/token"`, `path = "//evil.example/token"`, `request.path is not a plain path`},
		{`path = "/token"`, `path = "/token?x"`, `request.path is not a plain path`},
		{`path = "/token"`, `path = "/a/../token"`, `request.path is not a plain path`},
		{`path = "/token"`, `path = "/token\n"`, `request.path is not a plain path`},
		{`encoding = "form"`, `encoding = "FORM"`, `request.encoding must be "form" or "json"`},
		{`encoding = "form"`, ``, `request.encoding must be "form" or "json"`},
		{`name = "grant_type", value`, `name = "", value`, `request.body: member "" needs a name of its own and one of field and value`},
		{`name = "grant_type", value`, `name = "company", value`, `request.body: member "company" needs a name of its own and one of field and value`},
		{`, value = "password"`, ``, `request.body: member "grant_type" needs a name of its own and one of field and value`},
		{`value = "password"`, `value = "password", field = "tenant"`, `request.body: member "grant_type" needs a name of its own and one of field and value`},
		{`field = "company" }`, `field = "company" }, { name = "x", field = "nobody" }`, `request: there is no field "nobody"`},
		{`{ user = "client_id", password = "client_secret" }`, `{ user = "client_id", password = "client_secret" }` + "\n", ``},
		{`value = "password" }`, `value = "password" }, { name = "i", field = "client_id" }, { name = "s", field = "client_secret" }`, ``},

		{`name = "live"`, `name = "Live"`, `environment "Live" needs a name of its own that matches ^[a-z][a-z0-9-]{0,62}$`},
		{`name = "live"`, `name = ""`, `environment "" needs a name of its own that matches ^[a-z][a-z0-9-]{0,62}$`},
		{`[[field]]`, "[[environment]]\nname = \"live\"\nbase_url = \"https://x.example\"\n\n[[field]]", `environment "live" needs a name of its own that matches ^[a-z][a-z0-9-]{0,62}$`},
		{`https://{tenant}.acme.example/api`, `http://{tenant}.acme.example/api`, `environment "live": {tenant} must be the first label below a domain, and not secret`},
		{`https://{tenant}.acme.example/api`, `https://a.{tenant}.acme.example`, `environment "live": {tenant} must be the first label below a domain, and not secret`},
		{`https://{tenant}.acme.example/api`, `https://{tenant}.example`, `environment "live": {tenant} must be the first label below a domain, and not secret`},
		{`https://{tenant}.acme.example/api`, `https://{tenant}/acme.example.com`, `environment "live": {tenant} must be the first label below a domain, and not secret`},
		{`https://{tenant}.acme.example/api`, `https://{tenant}`, `environment "live": {tenant} must be the first label below a domain, and not secret`},
		{`https://{tenant}.acme.example/api`, `https://acme.example.com/{tenant}`, `environment "live": {tenant} must be the first label below a domain, and not secret`},
		{`https://{tenant}.acme.example/api`, `https://{tenant}x.acme.example`, `environment "live": {tenant} must be the first label below a domain, and not secret`},
		{"help = \"subdomain\"", "help = \"subdomain\"\nsecret = true", `environment "live": {tenant} must be the first label below a domain, and not secret`},
		{`https://{tenant}.acme.example/api`, `https://{tenant}.acme.example/{tenant}`, `environment "live": a placeholder of base_url names no field`},
		{`https://{tenant}.acme.example/api`, `https://{tenant}.{nobody}.acme.example`, `environment "live": a placeholder of base_url names no field`},
		{`https://{tenant}.acme.example/api`, `https://{tenant}.acme.example/a b`, `environment "live": base_url is not an https address`},
		{`https://{tenant}.acme.example/api`, `https://{tenant}.acme.example:0`, `environment "live": base_url is not an https address`},
		{"[[field]]", "[[environment]]\nname = \"x\"\nbase_url = \"http://127.0.0.1\"\n\n[[field]]", `environment "x": base_url is not an https address`},
		{"[[field]]", "[[environment]]\nname = \"x\"\n\n[[field]]", `environment "x": base_url is not an https address`},

		{`token = ["access_token"]`, ``, `reply.token is empty`},
		{`token = ["access_token"]`, `token = []`, `reply.token is empty`},
		{`member = "error"`, ``, `reply.check of "": otherwise must be "accept" or "refuse" if given`},
		{`otherwise = "refuse"`, `otherwise = "Refuse"`, `reply.check of "error": otherwise must be "accept" or "refuse" if given`},
		{`means = "conflict"`, `means = "fine"`, `status 409: means must be closed or conflict, of an error status`},
		{`means = "conflict"`, ``, `status 409: means must be closed or conflict, of an error status`},
		{`status = 409`, `status = 200`, `status 200: means must be closed or conflict, of an error status`},
		{`status = 409`, `status = 600`, `status 600: means must be closed or conflict, of an error status`},
		{`lifetime = 120`, `lifetime = -1`, `token: lifetime must not be negative, lockout_after must be 2 or more`},
		{`lockout_after = 3`, `lockout_after = 1`, `token: lifetime must not be negative, lockout_after must be 2 or more`},
		{`lockout_after = 3`, ``, `token: lockout_after and account belong together`},
		{`account = ["client_id"]`, ``, `token: lockout_after and account belong together`},
		{`account = ["client_id"]`, `account = ["client_secret"]`, `token.account: "client_secret" is not the name of a field that must be given and is not secret`},
		{`account = ["client_id"]`, `account = ["nobody"]`, `token.account: "nobody" is not the name of a field that must be given and is not secret`},
		{`lockout_after = 3`, `lockout_after = -3`, `token: lifetime must not be negative, lockout_after must be 2 or more`},

		{`name = "refused"`, `name = ""`, `example "" needs a name of its own and an outcome: token or the code of a failure`},
		{`name = "refused"`, `name = "token"`, `example "token" needs a name of its own and an outcome: token or the code of a failure`},
		{`outcome = "provider_refused"`, `outcome = "refused"`, `example "refused" needs a name of its own and an outcome: token or the code of a failure`},
		{`outcome = "provider_refused"`, `outcome = "internal"`, `example "refused" needs a name of its own and an outcome: token or the code of a failure`},
		{"[[example]]\nname = \"token\"", "[[example]]\nname = \"tokens\"", `an example with the name token is required`},
	}
	for _, test := range tests {
		_, err := provider.ParseAndCheck("acme.toml", edited(t, test.old, test.replacement))
		if test.want == "" {
			if err != nil {
				t.Errorf("%q for %q: %v", test.replacement, test.old, err)
			}
			continue
		}
		if err == nil {
			t.Errorf("%q for %q is taken, want the error %q", test.replacement, test.old, test.want)
			continue
		}
		if e := failed(t, err); e.Code != failure.DefinitionInvalid || e.Message != "acme.toml: "+test.want {
			t.Errorf("%q for %q:\n%s %q, want\n%q", test.replacement, test.old, e.Code, e.Message, "acme.toml: "+test.want)
		}
	}
}

// TestReservedNames: what the contract lists, and the commands.
func TestReservedNames(t *testing.T) {
	for name := range strings.FieldsSeq("exec login logout status doctor provider emulator cache completion version help " +
		"auth config curl env fetch get init list profile profiles refresh run serve store token tokenfetch whoami") {
		_, err := provider.ParseAndCheck("acme.toml", edited(t, `name = "acme"`, `name = "`+name+`"`))
		if e := failed(t, err); e.Message != `acme.toml: name "`+name+`" is reserved` {
			t.Errorf("%s: %q", name, e.Message)
		}
	}
}

// TestSettingNames: no field is named like another key of a profile or of the
// table [tokenfetch]. That none has a flag of ours is tested with the commands.
func TestSettingNames(t *testing.T) {
	for _, name := range []string{"environment", "base_url", "ca_file", "client_cert", "client_key", "timeout", "cache", "cache_key"} {
		_, err := provider.ParseAndCheck("acme.toml", edited(t, "name = \"tenant\"\nhelp", "name = \""+name+"\"\nhelp"))
		if err == nil {
			t.Errorf("a field may be named %s", name)
		}
	}
}

// TestStrictDefinitions: what is not a definition is refused with its place.
func TestStrictDefinitions(t *testing.T) {
	const wrong = " does not have the right type or stands twice"
	tests := []struct{ text, want string }{
		{"name = \"x\"\nnamee = 1\n", `line 2, column 1: unknown key "namee"`},
		{"[request]\npath = \"/a\"\nmethod = \"GET\"\n", `line 3, column 1: unknown key "request.method"`},
		{"[[field]]\nname = \"a\"\nsecrets = true\n", `line 3, column 1: unknown key "field.secrets"`},
		{"[request]\nbody = [ { name = \"a\", fild = \"b\" } ]\n", `line 2, column 24: unknown key "request.fild"`},
		{"[replies]\ntoken = []\n", `line 1, column 2: unknown key "replies"`},

		{"name = \"x\"\nTitle = \"y\"\n", `line 2, column 1: unknown key "Title"`},
		{"[REQUEST]\npath = \"/a\"\n", `line 1, column 2: unknown key "REQUEST"`},
		{"[[Field]]\nname = \"a\"\n", `line 1, column 3: unknown key "Field"`},
		{"request.Path = \"/a\"\n", `line 1, column 9: unknown key "Path"`},
		{"\"Name\" = \"x\"\n", `line 1, column 1: unknown key "Name"`},
		{"[request]\nbasic = { User = \"a\" }\n", `line 2, column 11: unknown key "User"`},
		{"[request]\nbody = [\n  { name = \"a\", value = \"b\" },\n  { name = \"c\", Value = \"d\" },\n]\n", `line 4, column 17: unknown key "Value"`},
		{"[request]\nbody = [[{ Name = \"a\" }]]\n", `line 1, column 1: "request.body"` + wrong},

		{"name = 5\n", `line 1, column 8: "name"` + wrong},
		{"name = true\n", `line 1, column 8: "name"` + wrong},
		{"name = 2026-11-21\n", `line 1, column 8: "name"` + wrong},
		{"name = [\"x\"]\n", `line 1, column 8: "name"` + wrong},
		{"notes = \"x\"\n", `line 1, column 9: "notes"` + wrong},
		{"notes = [1]\n", `line 1, column 10: "notes"` + wrong},
		{"field = 5\n", `line 1, column 9: "field"` + wrong},
		{"[[field]]\nname = \"a\"\nsecret = \"yes\"\n", `line 3, column 10: "field.secret"` + wrong},
		{"[[status]]\nstatus = \"409\"\n", `line 2, column 10: "status.status"` + wrong},
		{"[token]\nlifetime = 1.5\n", `line 2, column 12: "token.lifetime"` + wrong},
		{"[token]\nlifetime = 99999999999999999999\n", `line 2, column 12: "token.lifetime"` + wrong},
		{"[request]\nbody = [\n  { name = \"a\" },\n  { name = 5 },\n]\n", `line 4, column 12: "request.body"` + wrong},

		{"name = \"x\"\ntitle = \"y\"\nname = \"z\"\n", `line 3, column 1: "name"` + wrong},
		{"[request]\npath = \"/a\"\n[request]\n", `line 3, column 2: "request"` + wrong},
		{"[request]\nbasic = { user = \"a\", user = \"b\" }\n", `line 2, column 1: "basic"` + wrong},

		{"name = x\n", `line 1, column 8: not valid TOML`},
		{"name = \"abc\n", `line 1, column 12: not valid TOML`},
		{"name = \"x\"\n\nname\n", `line 3, column 5: not valid TOML`},
		{"name = \"\\q\"\n", `line 1, column 9: not valid TOML`},
		{"name = \xff\n", `line 1, column 8: not valid TOML`},
		{"\x00", `line 1, column 1: not valid TOML`},
	}
	for _, test := range tests {
		d, err := provider.ParseAndCheck("acme.toml", []byte(test.text))
		if err == nil {
			t.Errorf("%q is taken", test.text)
			continue
		}
		if e := failed(t, err); d != nil || e.Code != failure.DefinitionInvalid || e.Message != "acme.toml: "+test.want {
			t.Errorf("%q:\n%s %q, want\n%q", test.text, e.Code, e.Message, "acme.toml: "+test.want)
		}
	}
}

// FuzzParse: reading and checking a definition never panics, a definition that
// passes the checks can be used, and an error says where it belongs.
func FuzzParse(f *testing.F) {
	f.Add(acme)
	f.Add("[request]\nbody = [ { name = \"a\", fild = \"b\" } ]\n")
	f.Add("name = \"x\"\n[[field]]\nname = 5")
	for _, name := range provider.NewCatalog().Names() {
		d, err := provider.NewCatalog().Definition(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add("name = \"" + d.Name + "\"\ntitle = '''" + d.Title + "'''\n")
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := provider.ParseAndCheck("f.toml", []byte(text))
		if err != nil {
			if e := failed(t, err); d != nil || e.Code != failure.DefinitionInvalid || !strings.HasPrefix(e.Message, "f.toml: ") {
				t.Errorf("%q: %v, %s %q", text, d, e.Code, e.Message)
			}
			return
		}
		for _, e := range d.Environments {
			a, err := d.Address(e, func(string) string { return "label" })
			if err != nil || a.Scheme != "https" {
				t.Errorf("environment %+v has the address %v, %v", e, a, err)
			}
			if _, err := d.TokenRequest(a, provider.Values{}); err != nil {
				t.Errorf("no request for %v: %v", a, err)
			}
		}
	})
}
