package profile_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/pelletier/go-toml/v2"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// canary stands for a secret in every file here; no error may hold it.
const canary = "canaryZq8xW"

// fields are what the provider of these tests, zeepay, has.
var fields = []profile.Field{{Name: "client_id"}, {Name: "client_secret", Secret: true}, {Name: "username"}, {Name: "password", Secret: true}}

// save writes a profiles file that its owner alone can read.
func save(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "profiles.toml")
	check.OK(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// load reads a profiles file with that text.
func load(t *testing.T, text string) (*profile.File, error) {
	t.Helper()
	return profile.Load(t.Context(), save(t, text), profile.Options{Home: home})
}

var home = filepath.Join(string(filepath.Separator), "home", "user")

// refused returns why [zeepay.default] of a file is not taken, with the path of
// the file as FILE.
func refused(t *testing.T, text string) (*failure.Error, bool) {
	t.Helper()
	path := save(t, text)
	f, err := profile.Load(t.Context(), path, profile.Options{})
	if err == nil {
		_, err = f.Profile("zeepay", profile.Default, fields)
	}
	if err == nil {
		t.Errorf("taken:\n%s", text)
		return nil, false
	}
	e := check.Failure(t, err, canary)
	e.Message = strings.ReplaceAll(e.Message, path, "FILE")
	return e, true
}

func sameSecret(a, b secret.Value) bool { return a.Reveal() == b.Reveal() }

func text(s string) profile.Source {
	v := secret.New(s)
	return profile.Source{Text: &v}
}

func TestProfile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("paths of Unix")
	}
	path := save(t, `
[zeepay.default]
environment = "test"
client_id = 42
username = "ops@example.com"
ca_file = "ca.pem"
client_cert = "tls/client.pem"
client_key = "~/client.key"
timeout = "1m30s"

[zeepay.ci]
base_url = "https://host.example/x"
client_id = { env = "ZEEPAY_CLIENT_ID" }
client_secret = { file = "~/secrets/client" }
password = { command = ["op", "read", "op://payments/zeepay/password; $(id)"] }
username = "$HOME $(id) `+"`id`"+` {{x}} %41 \u0041"

[zeepay.a]
client_id = -1
client_secret = { keychain = true }
password = { keychain = "ci" }
username = { file = "sub/name" }

[zeepay.b]
client_secret = { file = "/run/secrets/x" }
password.file = "../up"
ca_file = "~/ca.pem"

[mpay]
default = { password = "x" }
`)
	file, err := profile.Load(t.Context(), path, profile.Options{Home: home})
	check.OK(t, err)
	if !file.Exists || file.Path != path {
		t.Errorf("the file is %q, exists %v", file.Path, file.Exists)
	}
	dir := filepath.Dir(path)
	want := map[string]*profile.Profile{
		"default": {
			Provider: "zeepay", Name: "default", Environment: "test", CAFile: filepath.Join(dir, "ca.pem"), Timeout: 90 * time.Second,
			ClientCert: filepath.Join(dir, "tls", "client.pem"), ClientKey: filepath.Join(home, "client.key"),
			Fields: map[string]profile.Source{"client_id": text("42"), "username": text("ops@example.com")},
		},
		"ci": {
			Provider: "zeepay", Name: "ci", BaseURL: "https://host.example/x",
			Fields: map[string]profile.Source{
				"client_id": {Env: "ZEEPAY_CLIENT_ID"}, "client_secret": {File: filepath.Join(home, "secrets", "client")},
				"password": {Command: []string{"op", "read", "op://payments/zeepay/password; $(id)"}}, "username": text("$HOME $(id) `id` {{x}} %41 A"),
			},
		},
		"a": {
			Provider: "zeepay", Name: "a",
			Fields: map[string]profile.Source{
				"client_id": text("-1"), "client_secret": {Keychain: "a"}, "password": {Keychain: "ci"}, "username": {File: filepath.Join(dir, "sub", "name")},
			},
		},
		"b": {
			Provider: "zeepay", Name: "b", CAFile: filepath.Join(home, "ca.pem"),
			Fields: map[string]profile.Source{"client_secret": {File: "/run/secrets/x"}, "password": {File: filepath.Join(filepath.Dir(dir), "up")}},
		},
		"none": nil,
	}
	for name, want := range want {
		got, err := file.Profile("zeepay", name, fields)
		if diff := cmp.Diff(want, got, cmp.Comparer(sameSecret)); err != nil || diff != "" {
			t.Errorf("[zeepay.%s]: %v (-want +got):\n%s", name, err, diff)
		}
	}
	for provider, want := range map[string][]string{"zeepay": {"a", "b", "ci", "default"}, "mpay": {"default"}, "enkash": nil} {
		if diff := cmp.Diff(want, file.Names(provider), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("profiles of %s (-want +got):\n%s", provider, diff)
		}
	}
	if got, err := file.Profile("enkash", "default", fields); got != nil || err != nil {
		t.Errorf("a profile that is not there: %v, %v", got, err)
	}
}

func TestMissingFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none", "profiles.toml")
	f, err := profile.Load(t.Context(), path, profile.Options{})
	if err != nil || f.Exists || f.Path != path {
		t.Fatalf("%+v, %v", f, err)
	}
	if p, err := f.Profile("zeepay", "default", fields); p != nil || err != nil || len(f.Names("zeepay")) != 0 {
		t.Errorf("%v, %v", p, err)
	}
}

// TestZeroFile is what a run without any profiles file has.
func TestZeroFile(t *testing.T) {
	var f profile.File
	if p, err := f.Profile("zeepay", "default", fields); p != nil || err != nil || len(f.Names("zeepay")) != 0 {
		t.Errorf("%v, %v", p, err)
	}
}

// TestEncodings: a byte order mark and CRLF are fine, other encodings are not.
func TestEncodings(t *testing.T) {
	for _, good := range []string{"\xef\xbb\xbf[zeepay.default]\npassword = \"pw\"\n", "[zeepay.default]\r\npassword = \"pw\"\r\n", "[zeepay.default]\npassword = \"pw\""} {
		f, err := load(t, good)
		if err != nil {
			t.Errorf("%q: %v", good, err)
			continue
		}
		p, err := f.Profile("zeepay", "default", fields)
		if err != nil || p == nil || p.Fields["password"].Text.Reveal() != "pw" {
			t.Errorf("%q: %+v, %v", good, p, err)
		}
	}
	const head = "[zeepay.default]\n" // 17 bytes
	for bad, offset := range map[string]int{
		"\xff\xfe[\x00z\x00":                              0,
		"\xfe\xff\x00[\x00z":                              0,
		head + "password = \"\xff" + canary + "\"\n":      29,
		head + "password = \"\x00" + canary + "\"\n":      29,
		head + "# \xc3\n":                                 19,
		head + "# \xed\xa0\x80":                           19,
		"\x00":                                            0,
		head + "password = \"" + canary + "\"\nx\xe2\x82": 43,
	} {
		e, ok := refused(t, bad)
		if !ok {
			continue
		}
		want := fmt.Sprintf("the profiles file FILE is not UTF-8 text (at offset %d)", offset)
		if e.Code != failure.ProfilesInvalid || e.Message != want || e.Hint != "save it as UTF-8" {
			t.Errorf("%q: %s %q, want %q", bad, e.Code, e.Message, want)
		}
	}
}

// TestSyntax: a file that is not TOML is refused with line and column and none
// of its text.
func TestSyntax(t *testing.T) {
	const head = "[zeepay.default]\npassword = "
	const invalid, twice = "is not valid TOML", "defines a key or table twice"
	tests := []struct {
		text, what   string
		line, column int
	}{
		{head + `"` + canary + "\"\nusername =\n", invalid, 3, 11},
		{head + `"` + canary + "\"\nusername\n", invalid, 3, 9},
		{head + canary + "\n", invalid, 2, 12},
		{head + "hunter2" + canary + "\n", invalid, 2, 12},
		{head + "0x" + canary + "\n", invalid, 2, 16},
		{head + "tru" + canary + "\n", invalid, 2, 12},
		{head + `"` + canary + "\n", invalid, 2, 24},
		{head + `'` + canary + "\n", invalid, 2, 24},
		{head + `"` + canary + `\q"` + "\n", invalid, 2, 24},
		{head + `"` + canary + `\u12"` + "\n", invalid, 2, 28},
		{head + `"` + canary + `" x` + "\n", invalid, 2, 26},
		{head + `"x" ` + canary + "\n", invalid, 2, 16},
		{head + `"x"` + canary + "\n", invalid, 2, 15},
		{head + `"""` + canary + "\n", invalid, 2, 26},
		{head + `["` + canary + "\"\n", invalid, 2, 26},
		{head + `{ file = "` + canary + "\"\n", invalid, 2, 34},
		{"[zeepay.default\npassword = \"" + canary + "\"\n", invalid, 1, 16},
		{"[zeepay.default]]\npassword = \"" + canary + "\"\n", invalid, 1, 17},
		{"= \"" + canary + "\"\n", invalid, 1, 1},
		{"[zeepay.default]\n\"" + canary + "\" x\n", invalid, 2, 15},
		{head + "1e99999\n", invalid, 2, 12},
		{head + "123456789012345678901234567890\n", invalid, 2, 12},

		{head + `"x"` + "\npassword = \"" + canary + "\"\n", twice, 3, 1},
		{head + `"x"` + "\n\n[zeepay.default]\npassword = \"" + canary + "\"\n", twice, 4, 2},
		{head + `{ file = "x", file = "` + canary + "\" }\n", twice, 2, 1},
		{head + `"x"` + "\n\"pass\\u0077ord\" = \"" + canary + "\"\n", twice, 3, 1},
		{"[mpay.a]\n[mpay.a]\n" + head + `"` + canary + "\"\n", twice, 2, 2},
		{"[zeepay]\ndefault = \"" + canary + "\"\n[zeepay.default]\n", invalid, 3, 2},
	}
	for _, test := range tests {
		e, ok := refused(t, test.text)
		if !ok {
			continue
		}
		want := fmt.Sprintf("the profiles file FILE %s: line %d, column %d", test.what, test.line, test.column)
		if e.Code != failure.ProfilesInvalid || e.Message != want || !strings.Contains(e.Hint, "in quotes") && !strings.Contains(e.Hint, "remove one") {
			t.Errorf("%q:\n%s %q, hint %q; want\n%q", test.text, e.Code, e.Message, e.Hint, want)
		}
	}
}

// TestSyntaxErrorStopsAll: nothing of a file that does not parse is used, not
// even what stands before the mistake.
func TestSyntaxErrorStopsAll(t *testing.T) {
	path := save(t, "[zeepay.default]\npassword = \""+canary+"\"\n\n[mpay.default]\npassword = \n")
	f, err := profile.Load(t.Context(), path, profile.Options{})
	check.Failure(t, err, canary)
	if f == nil {
		return
	}
	if p, _ := f.Profile("zeepay", "default", fields); p != nil {
		t.Errorf("a profile of it is used: %+v", p)
	}
}

// TestMistakes: what a profile may not say, with the line it says it on.
func TestMistakes(t *testing.T) {
	const head = "# a comment\n\n[zeepay.default]\nusername = \"u\"\n" // what follows is line 5
	const secretKinds = "must be a quoted text or a table with env, file, command or keychain, not "
	const plainKinds = "must be a quoted text, a whole number or a table with env, file, command or keychain, not "
	list := `must be a list under command, such as ["op", "read", "op://vault/item"]; it is run without a shell`
	tests := []struct{ line, want string }{
		{`password = 123456`, "password of [zeepay.default] " + secretKinds + "a whole number"},
		{`password = 1.5`, "password of [zeepay.default] " + secretKinds + "a number"},
		{`password = nan`, "password of [zeepay.default] " + secretKinds + "a number"},
		{`password = true`, "password of [zeepay.default] " + secretKinds + "true or false"},
		{`password = 1979-05-27`, "password of [zeepay.default] " + secretKinds + "a date or time"},
		{`password = 1979-05-27T07:32:00Z`, "password of [zeepay.default] " + secretKinds + "a date or time"},
		{`password = 07:32:00`, "password of [zeepay.default] " + secretKinds + "a date or time"},
		{`password = ["` + canary + `"]`, "password of [zeepay.default] " + secretKinds + "a list"},
		{`client_id = true`, "client_id of [zeepay.default] " + plainKinds + "true or false"},
		{`client_id = 1.0`, "client_id of [zeepay.default] " + plainKinds + "a number"},
		{`password = ""`, "password of [zeepay.default] is empty"},
		{`client_id = ""`, "client_id of [zeepay.default] is empty"},
		{"password = \"\"\"\n" + canary + "\n\"\"\"", "password of [zeepay.default] contains a line break"},
		{`password = "` + canary + `\n"`, "password of [zeepay.default] contains a line break"},
		{`password = "` + canary + `\r"`, "password of [zeepay.default] contains a line break"},
		{`password = "` + canary + `\u0000"`, "password of [zeepay.default] contains a NUL byte"},
		{`password = "` + canary + strings.Repeat("x", 8192) + `"`, "password of [zeepay.default] is longer than the limit of 8192 bytes"},

		{`pasword = "` + canary + `"`, `unknown key "pasword" in [zeepay.default]; the nearest known key is "password"`},
		{`PASSWORD = "` + canary + `"`, `unknown key "PASSWORD" in [zeepay.default]; the nearest known key is "password"`},
		{`Username = "` + canary + `"`, `unknown key "Username" in [zeepay.default]; the nearest known key is "username"`},
		{`client-secret = "` + canary + `"`, `unknown key "client-secret" in [zeepay.default]; the nearest known key is "client_secret"`},
		{`clientsecret = "` + canary + `"`, `unknown key "clientsecret" in [zeepay.default]; the nearest known key is "client_secret"`},
		{`base-url = "x"`, `unknown key "base-url" in [zeepay.default]; the nearest known key is "base_url"`},
		{`enviroment = "x"`, `unknown key "enviroment" in [zeepay.default]; the nearest known key is "environment"`},
		{`insecure_skip_verify = true`, `unknown key "insecure_skip_verify" in [zeepay.default]`},
		{`tls_verify = false`, `unknown key "tls_verify" in [zeepay.default]`},
		{`follow_redirects = true`, `unknown key "follow_redirects" in [zeepay.default]`},
		{`token = "` + canary + `"`, `unknown key "token" in [zeepay.default]`},
		{`company_id = "x"`, `unknown key "company_id" in [zeepay.default]`},
		{`x.y = "` + canary + `"`, `unknown key "x" in [zeepay.default]`},
		{"[zeepay.default.nested]\npassword = \"" + canary + `"`, `unknown key "nested" in [zeepay.default]`},

		{`password = { pasword = "` + canary + `" }`, `password of [zeepay.default] has the unknown key "pasword"`},
		{`password = { File = "` + canary + `" }`, `password of [zeepay.default] has the unknown key "File"; the nearest known key is "file"`},
		{`password = {}`, `password of [zeepay.default] must have exactly one of env, file, command and keychain`},
		{`password = { env = "A", file = "` + canary + `" }`, `password of [zeepay.default] must have exactly one of env, file, command and keychain`},
		{`password = { env = "" }`, `password of [zeepay.default] must name an environment variable under env`},
		{`password = { env = "A=` + canary + `" }`, `password of [zeepay.default] must name an environment variable under env`},
		{`password = { env = "A\u0000" }`, `password of [zeepay.default] must name an environment variable under env`},
		{`password = { env = ["` + canary + `"] }`, `password of [zeepay.default] must name an environment variable under env`},
		{`password = { file = "" }`, `password of [zeepay.default] must give a path under file`},
		{`password = { file = true }`, `password of [zeepay.default] must give a path under file`},
		{`password = { file = "` + canary + `\u0000" }`, `password of [zeepay.default] must give a path under file`},
		{`password.file = 5`, `password of [zeepay.default] must give a path under file`},
		{"[zeepay.default.password]\nfile = 5", `password of [zeepay.default] must give a path under file`},
		{`password = { command = "op read; $(id) '` + canary + `'" }`, "password of [zeepay.default] " + list},
		{`password = { command = [] }`, "password of [zeepay.default] " + list},
		{`password = { command = ["", "` + canary + `"] }`, "password of [zeepay.default] " + list},
		{`password = { command = { x = "` + canary + `" } }`, "password of [zeepay.default] " + list},
		{`password = { command = ["op", 5, "` + canary + `"] }`, `password of [zeepay.default] must be a list of texts under command`},
		{`password = { command = ["op", "` + canary + `\u0000"] }`, `password of [zeepay.default] must be a list of texts under command`},
		{`password = { keychain = false }`, `password of [zeepay.default] must be true or the name of a profile under keychain`},
		{`password = { keychain = "" }`, `password of [zeepay.default] must be true or the name of a profile under keychain`},
		{`password = { keychain = "../` + canary + `" }`, `password of [zeepay.default] must be true or the name of a profile under keychain`},
		{`password = { keychain = "-a" }`, `password of [zeepay.default] must be true or the name of a profile under keychain`},
		{`password = { keychain = "a\"b" }`, `password of [zeepay.default] must be true or the name of a profile under keychain`},
		{`password = { keychain = "a\nb" }`, `password of [zeepay.default] must be true or the name of a profile under keychain`},
		{`password = { keychain = "a\u0000b" }`, `password of [zeepay.default] must be true or the name of a profile under keychain`},
		{`password = { keychain = 1 }`, `password of [zeepay.default] must be true or the name of a profile under keychain`},

		{`environment = 1`, `environment of [zeepay.default] must be a quoted text, not a whole number`},
		{`environment = ""`, `environment of [zeepay.default] is empty`},
		{`base_url = ["` + canary + `"]`, `base_url of [zeepay.default] must be a quoted text, not a list`},
		{`base_url = { env = "` + canary + `" }`, `base_url of [zeepay.default] must be a quoted text, not a table`},
		{`cache = "no"`, `cache of [zeepay.default] must be true or false, not a text`},
		{`cache = ""`, `cache of [zeepay.default] must be true or false, not an empty text`},
		{`ca_file = false`, `ca_file of [zeepay.default] must be a quoted text, not true or false`},
		{`ca_file = ""`, `ca_file of [zeepay.default] is empty`},
		{`client_cert = 1`, `client_cert of [zeepay.default] must be a quoted text, not a whole number`},
		{`client_key = ""`, `client_key of [zeepay.default] is empty`},
		{`client_key = { file = "` + canary + `" }`, `client_key of [zeepay.default] must be a quoted text, not a table`},
		{`client_key = "-----BEGIN PRIVATE KEY-----` + canary + `"`, `client_key of [zeepay.default] must be the path of a PEM file, not its content`},
		{"client_key = '''\n" + canary + "\n'''", `client_key of [zeepay.default] must be the path of a PEM file, not its content`},
		{`client_cert = "a\u0000` + canary + `"`, `client_cert of [zeepay.default] must be the path of a PEM file, not its content`},
		{`ca_file = "-----BEGIN CERTIFICATE-----` + canary + `"`, `ca_file of [zeepay.default] must be the path of a PEM file, not its content`},
		{`timeout = 30`, `timeout of [zeepay.default] must be a quoted duration such as "10s", not a whole number`},
		{`timeout = 07:32:00`, `timeout of [zeepay.default] must be a quoted duration such as "10s", not a date or time`},
		{`timeout = "` + canary + `"`, `timeout of [zeepay.default] must be a duration such as 10s, from 1ms to 1h`},
		{`timeout = "0s"`, `timeout of [zeepay.default] must be a duration such as 10s, from 1ms to 1h`},
		{"environment = \"test\"\nbase_url = \"https://" + canary + `"`, `[zeepay.default] has both environment and base_url; keep one of them`},
	}
	for _, test := range tests {
		line := 5
		if strings.HasPrefix(test.want, "[zeepay.default] has both") {
			line = 6
		}
		e, ok := refused(t, head+test.line+"\n")
		if !ok {
			continue
		}
		want := fmt.Sprintf("FILE, line %d: %s", line, test.want)
		if e.Code != failure.ProfileInvalid || e.Message != want || e.Hint != "correct that line; tokenfetch help profiles shows every key" {
			t.Errorf("%s:\n%s %q, want\n%q", test.line, e.Code, e.Message, want)
		}
	}
}

// TestPlaces: the line of a mistake, however its table is spelled.
func TestPlaces(t *testing.T) {
	for text, line := range map[string]int{
		"\n\nzeepay.default.password = 5\n":                                  3,
		"\nzeepay.default = { username = \"u\", password = 5 }\n":            2,
		"\n\n\nzeepay = { default = { password = 5 } }\n":                    4,
		"[\"zeepay\".'default']\n\n\"pass\\u0077ord\" = 5\n":                 3,
		"[zeepay]\n\ndefault.password = 5\n":                                 3,
		"[zeepay]\n[zeepay.default]\n[zeepay.default.password]\nfile = 5\n":  3,
		"[mpay.default]\npassword = 5\n[zeepay.default]\n\n\npassword = 5\n": 6,
		"[zeepay.default]\nusername = '''\n\n\n'''\npassword = 5\n":          6,
		"\xef\xbb\xbf\r\n[zeepay.default]\r\npassword = 5\r\n":               3,
	} {
		e, ok := refused(t, text)
		want := fmt.Sprintf("FILE, line %d: password of [zeepay.default] must", line)
		if ok && !strings.HasPrefix(e.Message, want) {
			t.Errorf("%q: %q, want %q", text, e.Message, want)
		}
	}
	for text, want := range map[string]string{
		"\nzeepay = 5\n": "FILE, line 2: zeepay must be a table with profiles, such as [zeepay.default]",
		"\n[[zeepay]]\npassword = \"" + canary + "\"": "FILE, line 2: zeepay must be a table with profiles, such as [zeepay.default]",
		"\n[zeepay]\ndefault = \"" + canary + "\"\n":  "FILE, line 3: zeepay.default must be a table",
		"\n\n[[zeepay.default]]\nusername = \"u\"\n":  "FILE, line 3: zeepay.default must be a table",
		"\n[zeepay]\npassword = \"" + canary + "\"\n": `FILE, line 3: "password" stands in [zeepay], not in a profile such as [zeepay.default]`,
	} {
		if e, ok := refused(t, text); ok && (e.Code != failure.ProfileInvalid || e.Message != want) {
			t.Errorf("%q: %s %q, want %q", text, e.Code, e.Message, want)
		}
	}
}

// TestOwnTable: [tokenfetch] belongs to the program and has no keys yet.
func TestOwnTable(t *testing.T) {
	if _, err := load(t, "[tokenfetch]\n[zeepay.default]\n"); err != nil {
		t.Error(err)
	}
	for text, want := range map[string]string{
		"\n[tokenfetch]\nkey = \"" + canary + "\"\n": `FILE, line 3: unknown key "key" in [tokenfetch]`,
		"\ntokenfetch = \"" + canary + "\"\n":        `FILE, line 2: [tokenfetch] must be a table`,
	} {
		if e, ok := refused(t, text); ok && (e.Code != failure.ProfileInvalid || e.Message != want) {
			t.Errorf("%q: %s %q, want %q", text, e.Code, e.Message, want)
		}
	}
}

// TestBadTableStopsOnlyItsOwnProfile, be it of this provider or another.
func TestBadTableStopsOnlyItsOwnProfile(t *testing.T) {
	for _, bad := range []string{
		"[zeepay.bad]\npassword = 5\n", "[zeepay.bad]\nunknown = \"" + canary + "\"\n", "[zeepay]\nbad = 5\n", "[zeepay.bad]\ntimeout = \"x\"\n",
		"[zeepay.bad]\nenvironment = \"a\"\nbase_url = \"b\"\n", "[mpay]\nbad = 5\n", "mpay = 5\n", "[mpay.bad]\nx = 1\n", "[nobody.default]\nx = 1\n",
		"[zeepay.\"Bad Name\"]\npassword = 5\n",
	} {
		if !strings.HasPrefix(bad, "[") { // a key outside of all tables comes first
			bad = bad + "[zeepay.default]\nusername = \"u\"\n"
		} else {
			bad = "[zeepay.default]\nusername = \"u\"\n" + bad
		}
		f, err := load(t, bad)
		if err != nil {
			t.Errorf("%q: %v", bad, err)
			continue
		}
		p, err := f.Profile("zeepay", "default", fields)
		if err != nil || p == nil || p.Fields["username"].Text.Reveal() != "u" {
			t.Errorf("%q: %+v, %v", bad, p, err)
		}
		if !strings.Contains(bad, "zeepay.bad") && !strings.Contains(bad, "bad = 5") {
			continue
		}
		if _, err := f.Profile("zeepay", "bad", fields); err == nil && strings.Contains(bad, "[zeepay.bad]") {
			t.Errorf("%q: the bad one is taken", bad)
		}
	}
}

func TestParseTimeout(t *testing.T) {
	for text, want := range map[string]time.Duration{"1ms": time.Millisecond, "10s": 10 * time.Second, "1h": time.Hour, "1.5s": 1500 * time.Millisecond} {
		if got, err := profile.ParseDuration(text, profile.MaxTimeout); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "0", "0s", "-1s", "999µs", "1h1ms", "87600h", "30", "10 s", canary, "9999999999999h", "s"} {
		got, err := profile.ParseDuration(text, profile.MaxTimeout)
		if err == nil || got != 0 || err.Error() != "must be a duration such as 10s, from 1ms to 1h" {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func TestValidName(t *testing.T) {
	for _, name := range []string{"a", "0", "default", "ci-2", "a-", strings.Repeat("a", 63)} {
		if !profile.ValidName(name) {
			t.Errorf("%q is not taken", name)
		}
	}
	for _, name := range []string{
		"", "-", "-x", "A", "../x", "a/b", "a.b", "a_b", "a b", "a\n", "\na", "a\x1b", "ä", strings.Repeat("a", 64), strings.Repeat("a", 300), "a@b", "a:b",
	} {
		if profile.ValidName(name) {
			t.Errorf("%q is taken", name)
		}
	}
}

func lookup(variables map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { value, ok := variables[name]; return value, ok }
}

func TestPath(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("paths of Unix")
	}
	for _, test := range []struct {
		variables map[string]string
		want      string
	}{
		{map[string]string{"HOME": "/home/u"}, "/home/u/.config/tokenfetch/profiles.toml"},
		{map[string]string{"HOME": "/home/u", "XDG_CONFIG_HOME": "/cfg"}, "/cfg/tokenfetch/profiles.toml"},
		{map[string]string{"HOME": "/home/u", "XDG_CONFIG_HOME": ""}, "/home/u/.config/tokenfetch/profiles.toml"},
		{map[string]string{"HOME": "/home/u", "XDG_CONFIG_HOME": "cfg"}, "/home/u/.config/tokenfetch/profiles.toml"},
		{map[string]string{"HOME": "/home/u", "TOKENFETCH_CONFIG": "x.toml"}, "x.toml"},
		{map[string]string{"XDG_CONFIG_HOME": "/cfg"}, "/cfg/tokenfetch/profiles.toml"},
		{map[string]string{"HOME": "home"}, ""},
		{map[string]string{"HOME": ""}, ""},
		{nil, ""},
	} {
		if got, err := profile.Path(lookup(test.variables)); err != nil || got != test.want {
			t.Errorf("%v: %q, %v; want %q", test.variables, got, err, test.want)
		}
	}
	_, err := profile.Path(lookup(map[string]string{"HOME": "/home/u", "TOKENFETCH_CONFIG": ""}))
	if e := check.Failure(t, err, canary); e.Code != failure.VariableEmpty || e.Message != "TOKENFETCH_CONFIG is set but empty" {
		t.Errorf("%+v", e)
	}
	for home, want := range map[string]string{"/home/u": "/home/u", "home": "", "": ""} {
		if got := profile.Home(lookup(map[string]string{"HOME": home})); got != want {
			t.Errorf("the home %q is %q", home, got)
		}
	}
}

// TestTildeWithoutHome: nothing is guessed for it.
func TestTildeWithoutHome(t *testing.T) {
	path := save(t, "[zeepay.default]\nca_file = \"~/x\"\nusername = { file = \"~other/x\" }\nclient_id = { file = \"$HOME/x\" }\n")
	f, err := profile.Load(t.Context(), path, profile.Options{})
	check.OK(t, err)
	p, err := f.Profile("zeepay", "default", fields)
	check.OK(t, err)
	dir := filepath.Dir(path)
	want := []string{filepath.Join(dir, "~", "x"), filepath.Join(dir, "~other", "x"), filepath.Join(dir, "$HOME", "x")}
	if diff := cmp.Diff(want, []string{p.CAFile, p.Fields["username"].File, p.Fields["client_id"].File}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLoadEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if f, err := profile.Load(ctx, save(t, ""), profile.Options{}); err == nil && !f.Exists {
		t.Error("a file was not read and that is no error")
	}
}

// values are ways to write the canary as a value, some of them wrong.
var values = []string{
	`"` + canary + `"`, `'` + canary + `'`, `"""` + canary + `"""`, "'''\n" + canary + "\n'''", canary, `"` + canary, `"` + canary + "\n", `"` + canary + `\q"`,
	`["` + canary + `"]`, `[["` + canary + `"], 5]`, `{ file = "` + canary + `", env = 5 }`, `{ env = "` + canary + `=" }`, `{ command = "` + canary + `" }`,
	`{ command = [5, "` + canary + `"] }`, `{ keychain = "` + canary + `/" }`, `{ file = "x" } "` + canary + `"`, `0x` + canary, `1979-05-27` + canary,
	`"` + canary + `" # "` + canary + `"`, "5\n" + `password = "` + canary + `"`, `"\u0000` + canary + `"`, "\"\xff" + canary + `"`, `tru` + canary, `+` + canary,
}

// FuzzLoad: wherever a secret stands in a file and whatever is wrong with the
// rest of it, no error shows the secret.
func FuzzLoad(f *testing.F) {
	for i := range values {
		f.Add("[zeepay.default]\nusername = \"u\"\n", uint(i), uint(17))
		f.Add("[zeepay.default]\nusername = \"u\"\n", uint(i), uint(1000))
	}
	f.Add("[zeepay.default]\nclient_id = { env = \"A\" }\n[zeepay.default]\n", uint(0), uint(17))
	f.Add("[zeepay]\ndefault = { username = 5 }\ntimeout = 1979-05-27\n", uint(3), uint(9))
	f.Add("[tokenfetch]\nx = 1\n[[zeepay.default]]\n", uint(8), uint(13))
	f.Add("\xef\xbb\xbfzeepay.default.\r\n", uint(1), uint(18))
	path := filepath.Join(f.TempDir(), "profiles.toml")
	f.Fuzz(func(t *testing.T, document string, which, at uint) {
		at = min(at, uint(len(document)))
		text := document[:at] + "password = " + values[which%uint(len(values))] + "\n" + document[at:]
		if keyHolds(text, canary) {
			return // quotes around made a key of it, and keys are shown
		}
		check.OK(t, os.WriteFile(path, []byte(text), 0o600))
		file, err := profile.Load(t.Context(), path, profile.Options{Home: home})
		if err != nil {
			if e := check.Failure(t, err, canary); e.Class() != failure.Config {
				t.Errorf("%q: %+v", text, e)
			}
			return
		}
		for _, provider := range []string{"zeepay", "mpay", "default", "password", "tokenfetch"} {
			for _, name := range append(file.Names(provider), "default", "other") {
				if _, err := file.Profile(provider, name, fields); err != nil {
					if e := check.Failure(t, err, canary); e.Class() != failure.Config {
						t.Errorf("%q: %+v", text, e)
					}
				}
			}
		}
	})
}

// keyHolds reports whether a key of a document holds the word.
func keyHolds(document, word string) bool {
	var tables map[string]any
	if toml.Unmarshal([]byte(strings.TrimPrefix(document, "\ufeff")), &tables) != nil {
		return false
	}
	var walk func(any) bool
	walk = func(value any) bool {
		switch v := value.(type) {
		case map[string]any:
			for key, inner := range v {
				if strings.Contains(strings.ToLower(key), strings.ToLower(word)) || walk(inner) {
					return true
				}
			}
		case []any:
			for _, inner := range v {
				if walk(inner) {
					return true
				}
			}
		}
		return false
	}
	return walk(tables)
}

// TestTables: what the file has beside the profiles of known providers.
func TestTables(t *testing.T) {
	file, err := load(t, "elsewhere = 1\n[tokenfetch]\n[zeepay]\nclient_id = \"42\"\n[zeepay.ci]\n[zeepey.ci]\nusername = \"u\"\n[zeepay.b]\n[[zeepay.list]]\n[[list]]\n")
	check.OK(t, err)
	unknown := []profile.Table{{Name: "elsewhere", Line: 1, Key: true}, {Name: "zeepey", Line: 6}, {Name: "list", Line: 10}}
	check.Same(t, "tables of no provider", unknown, file.Unknown([]string{"mpay", "zeepay"}))
	check.Same(t, "profiles", []string{"b", "ci"}, file.Names("zeepay"))
}

// TestPattern holds the check to the pattern that messages name.
func TestPattern(t *testing.T) {
	pattern := regexp.MustCompile(`\A(?:` + `[a-z0-9][a-z0-9-]{0,62}` + `)\z`)
	const letters = "aZ9-_ \n\x00\xc3"
	var grow func(text string, n int)
	grow = func(text string, n int) {
		if got, want := profile.ValidName(text), pattern.MatchString(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
		for i := 0; n > 0 && i < len(letters); i++ {
			grow(text+letters[i:i+1], n-1)
		}
	}
	grow("", 4)
	for n := 60; n < 66; n++ {
		grow(strings.Repeat("a", n), 1)
	}
}
