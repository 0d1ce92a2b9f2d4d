package credential_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/internal/credential"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// canary stands in every value that no error may hold.
const canary = "canary-Zq8xW"

// setup is what a run finds around it.
type setup struct {
	provider    string
	profile     string // default if empty
	file        string // text of the profiles file
	environ     []string
	environment string
	baseURL     string
	flags       map[string]string
	keychain    *store
	stdin       string
}

// world is a setup made real: its directory holds the profiles file and the
// files that secrets are in.
type world struct {
	setup
	t    *testing.T
	dir  string
	file *profile.File
	d    *provider.Definition
}

func (s setup) build(t *testing.T) *world {
	t.Helper()
	w := &world{setup: s, t: t, dir: t.TempDir()}
	path := w.write("profiles.toml", s.file, 0o600)
	var err error
	if w.file, err = profile.Load(t.Context(), path, profile.Options{}); err != nil {
		t.Fatal(err)
	}
	if w.d, err = provider.NewCatalog("", nil).Definition(s.provider); err != nil {
		t.Fatal(err)
	}
	if w.profile == "" {
		w.profile = profile.Default
	}
	return w
}

func (w *world) write(name, text string, mode fs.FileMode) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	check.OK(w.t, errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chmod(path, mode)))
	return path
}

// short stands DIR for the directory of the test.
func (w *world) short(text string) string {
	return filepath.ToSlash(strings.ReplaceAll(text, w.dir, "DIR"))
}

func (w *world) find() (*credential.Plan, error) {
	w.t.Helper()
	return credential.Find(w.t.Context(), credential.Query{
		Definition: w.d, Profile: w.profile, File: w.file, Environ: w.environ, Environment: w.environment, BaseURL: w.baseURL, Flags: w.flags,
	})
}

func (w *world) access() credential.Access {
	a := credential.Access{
		Stdin: func(context.Context) (secret.Value, error) { return secret.New(w.stdin), nil },
		Helper: func(_ context.Context, argv []string) (secret.Value, error) {
			return secret.New(strings.Join(argv, "+")), nil
		},
	}
	if w.keychain != nil {
		a.Keychain = w.keychain
	} else {
		a.Keychain = &store{err: secret.ErrUnavailable}
	}
	return a
}

// read finds and reads all fields.
func (w *world) read() (*credential.Plan, map[string]string, error) {
	w.t.Helper()
	plan, err := w.find()
	if err != nil {
		return plan, nil, err
	}
	values, err := readAll(w.t.Context(), plan, w.access())
	got := map[string]string{}
	for name, value := range values {
		got[name] = value.Reveal()
	}
	return plan, got, err
}

// fails returns why the fields could not be had.
func (w *world) fails() *failure.Error {
	w.t.Helper()
	plan, got, err := w.read()
	if err == nil {
		w.t.Fatalf("no error; %v, fields %v", plan.Base, got)
	}
	return check.Failure(w.t, err, canary)
}

// store is a keychain: items by account, or one error for all.
type store struct {
	items map[string]string
	err   error
	asked []string
}

func (s *store) Get(_ context.Context, account string) (secret.Value, error) {
	s.asked = append(s.asked, account)
	value, ok := s.items[account]
	switch {
	case s.err != nil:
		return secret.Value{}, s.err
	case !ok:
		return secret.Value{}, secret.ErrNotFound
	}
	return secret.New(value), nil
}

// zeepay is an environment in which every field but the one under test is given.
func zeepay(without string) []string {
	all := map[string]string{
		"ENVIRONMENT": "test", "CLIENT_ID": "42", "CLIENT_SECRET": "cs", "USERNAME": "u", "PASSWORD": "pw",
	}
	var environ []string
	for name, value := range all {
		if name != without {
			environ = append(environ, "TOKENFETCH_ZEEPAY_"+name+"="+value)
		}
	}
	return environ
}

// TestPrecedence gives a field from each source and from all below it: the
// first counts, and Where says which it is.
func TestPrecedence(t *testing.T) {
	type source struct {
		level          string
		flag, variable string
		profile        string
		keychain       bool
		value, where   string
	}
	const account = "zeepay/default/password@test.digitaltermination.com"
	const username = "username = "
	tests := map[string][]source{
		"password": {
			{level: "flag", flag: "DIR/by-flag", value: "by-flag", where: "the file of --password-file"},
			{level: "flag", flag: "-", value: "by-stdin", where: "standard input"},
			{level: "variable", variable: "TOKENFETCH_ZEEPAY_PASSWORD=by-variable", value: "by-variable", where: "TOKENFETCH_ZEEPAY_PASSWORD"},
			{level: "variable", variable: "TOKENFETCH_ZEEPAY_PASSWORD_FILE=DIR/by-file", value: "by-file", where: "the file of TOKENFETCH_ZEEPAY_PASSWORD_FILE"},
			{level: "profile", profile: `password = "by-profile"`, value: "by-profile", where: "[zeepay.default] in DIR/profiles.toml"},
			{level: "profile", profile: `password = { env = "OTHER" }`, value: "by-env", where: "OTHER, named by [zeepay.default]"},
			{level: "profile", profile: `password = { file = "by-profile-file" }`, value: "by-profile-file", where: "the file DIR/by-profile-file, named by [zeepay.default]"},
			{level: "profile", profile: `password = { command = ["op", "read"] }`, value: "op+read", where: "the helper op, named by [zeepay.default]"},
			{level: "profile", profile: `password = { keychain = true }`, keychain: true, value: "by-keychain", where: "the keychain item " + account},
			{
				level: "profile", profile: `password = { keychain = "other" }`, keychain: true, value: "by-other-keychain",
				where: "the keychain item zeepay/other/password@test.digitaltermination.com",
			},
			{level: "keychain", keychain: true, value: "by-keychain", where: "the keychain item " + account},
		},
		"username": {
			{level: "flag", flag: "by-flag", value: "by-flag", where: "the flag --username"},
			{level: "variable", variable: "TOKENFETCH_ZEEPAY_USERNAME=by-variable", value: "by-variable", where: "TOKENFETCH_ZEEPAY_USERNAME"},
			{level: "variable", variable: "TOKENFETCH_ZEEPAY_USERNAME_FILE=DIR/by-file", value: "by-file", where: "the file of TOKENFETCH_ZEEPAY_USERNAME_FILE"},
			{level: "profile", profile: username + `"by-profile"`, value: "by-profile", where: "[zeepay.default] in DIR/profiles.toml"},
			{level: "profile", profile: username + `7`, value: "7", where: "[zeepay.default] in DIR/profiles.toml"},
			{level: "profile", profile: username + `{ env = "OTHER" }`, value: "by-env", where: "OTHER, named by [zeepay.default]"},
			{level: "profile", profile: username + `{ file = "by-profile-file" }`, value: "by-profile-file", where: "the file DIR/by-profile-file, named by [zeepay.default]"},
			{level: "profile", profile: username + `{ command = ["op", "read"] }`, value: "op+read", where: "the helper op, named by [zeepay.default]"},
			{level: "profile", profile: username + `{ keychain = "other" }`, keychain: true, value: "name", where: "the keychain item zeepay/other/username@test.digitaltermination.com"},
		},
	}
	for field, sources := range tests {
		for i, first := range sources {
			for j, second := range sources[i:] {
				if j > 0 && second.level == first.level {
					continue
				}
				t.Run(fmt.Sprintf("%s by %s over %s", field, first.where, second.where), func(t *testing.T) {
					s := setup{provider: "zeepay", environ: append(zeepay(strings.ToUpper(field)), "OTHER=by-env"), stdin: "by-stdin", flags: map[string]string{}}
					w := s.build(t)
					for _, name := range []string{"by-flag", "by-file", "by-profile-file"} {
						w.write(name, name+"\n", 0o600)
					}
					for _, each := range []source{second, first} {
						if each.flag != "" {
							f, _ := w.d.Field(field)
							w.flags[f.Flag()] = strings.ReplaceAll(each.flag, "DIR", w.dir)
						}
						if each.variable != "" {
							w.environ = append(w.environ, strings.ReplaceAll(each.variable, "DIR", w.dir))
						}
						if each.profile != "" {
							path := w.write("profiles.toml", "[zeepay.default]\n"+each.profile+"\n", 0o600)
							var err error
							if w.file, err = profile.Load(t.Context(), path, profile.Options{}); err != nil {
								t.Fatal(err)
							}
						}
					}
					w.keychain = &store{err: secret.ErrUnavailable}
					if first.keychain || second.keychain {
						w.keychain = &store{items: map[string]string{
							account: "by-keychain",
							"zeepay/other/password@test.digitaltermination.com": "by-other-keychain",
							"zeepay/other/username@test.digitaltermination.com": "name",
						}}
					}
					plan, got, err := w.read()
					check.OK(t, err)
					if got[field] != first.value {
						t.Errorf("%s = %q, want %q", field, got[field], first.value)
					}
					i := slices.IndexFunc(plan.Places, func(p credential.Place) bool { return p.Field.Name == field })
					if where := w.short(plan.Places[i].Where); where != first.where {
						t.Errorf("it comes from %q, want %q", where, first.where)
					}
					if !first.keychain && len(w.keychain.asked) > 0 {
						t.Errorf("the keychain was asked for %q", w.keychain.asked)
					}
				})
			}
		}
	}
}

// TestFindReadsNothing: with sources that would fail or block, Find is content.
func TestFindReadsNothing(t *testing.T) {
	w := setup{provider: "zeepay", file: `
[zeepay.default]
environment = "test"
client_id = { file = "missing" }
client_secret = { command = ["/nonexistent/helper"] }
username = { file = "/dev/zero" }
`}.build(t)
	plan, err := w.find()
	check.OK(t, err)
	var kinds []credential.Kind
	for _, place := range plan.Places {
		kinds = append(kinds, place.Kind)
	}
	want := []credential.Kind{credential.File, credential.Helper, credential.File, credential.Keychain}
	check.Same(t, "kinds", want, kinds)
}

// TestPlan: the fields stand in the definition's order, and only those that
// this host needs.
func TestPlan(t *testing.T) {
	for _, test := range []struct {
		environment, origin string
		fields              []string
	}{
		{"staging", "https://api.stag.songhaiexchange.io:443", []string{"client_id", "client_secret", "username", "password"}},
		{"tenant-v6", "https://acme.fincode.software:443", []string{"client_id", "client_secret", "username", "password", "tenant"}},
	} {
		w := setup{provider: "fincode", environment: test.environment, flags: map[string]string{"client-id": "c", "username": "u", "tenant": "acme"}}.build(t)
		plan, err := w.find()
		check.OK(t, err)
		var got []string
		for _, place := range plan.Places {
			got = append(got, place.Field.Name)
		}
		if diff := cmp.Diff(test.fields, got); diff != "" || plan.Base.Origin() != test.origin || plan.Environment != test.environment {
			t.Errorf("%s: %s, %q (-want +got):\n%s", test.environment, plan.Base.Origin(), plan.Environment, diff)
		}
	}
}

// TestDefault: a field takes another's value where nothing gives it.
func TestDefault(t *testing.T) {
	s := setup{provider: "enkash", environ: []string{
		"TOKENFETCH_ENKASH_ENVIRONMENT=uat", "TOKENFETCH_ENKASH_CLIENT_ID=CEK1", "TOKENFETCH_ENKASH_CLIENT_SECRET=cs", "TOKENFETCH_ENKASH_USERNAME=u", "TOKENFETCH_ENKASH_PASSWORD=pw",
	}}
	want := map[string]string{"client_id": "CEK1", "client_secret": "cs", "username": "u", "password": "pw", "company_id": "CEK1"}
	plan, got, err := s.build(t).read()
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	known := map[string]string{}
	for name, value := range plan.Known() {
		known[name] = value.Reveal()
	}
	check.Same(t, "what is known without reading", map[string]string{"client_id": "CEK1", "username": "u", "company_id": "CEK1"}, known)
	s.environ = append(s.environ, "TOKENFETCH_ENKASH_COMPANY_ID=CEK2")
	want["company_id"] = "CEK2"
	_, got, err = s.build(t).read()
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// TestHost: which host is called, by precedence.
func TestHost(t *testing.T) {
	const byProfile = "[zeepay.default]\nenvironment = \"production\"\n"
	const baseInProfile = "[zeepay.default]\nbase_url = \"https://profile.example\"\n"
	variable := []string{"TOKENFETCH_ZEEPAY_ENVIRONMENT=sandbox"}
	baseInVariable := []string{"TOKENFETCH_ZEEPAY_BASE_URL=https://variable.example:8443/x"}
	const test, sandbox, production = "https://test.digitaltermination.com:443", "https://business-sandbox.instntmny.com:443", "https://shop.digitaltermination.com:443"
	for name, tt := range map[string]struct {
		setup
		origin, environment string
	}{
		"flag":                        {setup{environment: "test"}, test, "test"},
		"flag over variable":          {setup{environment: "test", environ: variable}, test, "test"},
		"flag over base variable":     {setup{environment: "test", environ: baseInVariable}, test, "test"},
		"flag over profile":           {setup{environment: "test", file: byProfile}, test, "test"},
		"flag over base in profile":   {setup{environment: "test", file: baseInProfile}, test, "test"},
		"base flag":                   {setup{baseURL: "https://flag.example/"}, "https://flag.example:443", ""},
		"base flag over all":          {setup{baseURL: "https://flag.example", environ: variable, file: byProfile}, "https://flag.example:443", ""},
		"variable":                    {setup{environ: variable}, sandbox, "sandbox"},
		"variable over profile":       {setup{environ: variable, file: byProfile}, sandbox, "sandbox"},
		"variable over profile base":  {setup{environ: variable, file: baseInProfile}, sandbox, "sandbox"},
		"base variable":               {setup{environ: baseInVariable}, "https://variable.example:8443", ""},
		"base variable over profile":  {setup{environ: baseInVariable, file: byProfile}, "https://variable.example:8443", ""},
		"profile":                     {setup{file: byProfile}, production, "production"},
		"base in profile":             {setup{file: baseInProfile}, "https://profile.example:443", ""},
		"the last of equal variables": {setup{environ: []string{"TOKENFETCH_ZEEPAY_ENVIRONMENT=test", "TOKENFETCH_ZEEPAY_ENVIRONMENT=sandbox"}}, sandbox, "sandbox"},
		"named profile, flag":         {setup{profile: "ci", file: "[zeepay.ci]\nenvironment = \"production\"\n", environment: "test"}, test, "test"},
	} {
		t.Run(name, func(t *testing.T) {
			tt.provider = "zeepay"
			tt.flags = map[string]string{"client-id": "42", "username": "u"}
			plan, err := tt.build(t).find()
			check.OK(t, err)
			if plan.Base.Origin() != tt.origin || plan.Environment != tt.environment {
				t.Errorf("%s, environment %q; want %s, %q", plan.Base.Origin(), plan.Environment, tt.origin, tt.environment)
			}
		})
	}
	// The only environment needs no choice.
	plan, err := setup{provider: "mpay", flags: map[string]string{"username": "u"}}.build(t).find()
	if err != nil || plan.Base.Origin() != "https://api.mpayafrica.co.tz:443" || plan.Environment != "production" {
		t.Errorf("%+v, %v", plan, err)
	}
}

// TestFailures: every way in which fields or the host cannot be found.
func TestFailures(t *testing.T) {
	const ci = "[zeepay.ci]\nenvironment = \"test\"\nclient_id = 1\nusername = \"u\"\n"
	full := func(extra ...string) []string { return append(zeepay(""), extra...) }
	for name, test := range map[string]struct {
		setup
		code          failure.Code
		message, hint string
	}{
		"a variable and its file": {
			setup{environ: full("TOKENFETCH_ZEEPAY_PASSWORD_FILE=/x")},
			failure.SourceConflict,
			"TOKENFETCH_ZEEPAY_PASSWORD and TOKENFETCH_ZEEPAY_PASSWORD_FILE are both set", "unset one of them",
		},
		"both variables of the host": {
			setup{environ: full("TOKENFETCH_ZEEPAY_BASE_URL=https://x.example")},
			failure.SourceConflict,
			"TOKENFETCH_ZEEPAY_ENVIRONMENT and TOKENFETCH_ZEEPAY_BASE_URL are both set", "unset one of them",
		},
		"empty variable": {
			setup{environ: full("TOKENFETCH_ZEEPAY_PASSWORD="), file: "[zeepay.default]\npassword = \"" + canary + "\"\n"},
			failure.VariableEmpty,
			"TOKENFETCH_ZEEPAY_PASSWORD is set but empty", "give it a value, or unset it",
		},
		"empty file variable": {
			setup{environ: append(zeepay("PASSWORD"), "TOKENFETCH_ZEEPAY_PASSWORD_FILE=")},
			failure.VariableEmpty,
			"TOKENFETCH_ZEEPAY_PASSWORD_FILE is set but empty", "give it a value, or unset it",
		},
		"empty environment": {
			setup{environ: append(zeepay("ENVIRONMENT"), "TOKENFETCH_ZEEPAY_ENVIRONMENT=")},
			failure.VariableEmpty,
			"TOKENFETCH_ZEEPAY_ENVIRONMENT is set but empty", "give it a value, or unset it",
		},
		"empty base address": {
			setup{environ: full("TOKENFETCH_ZEEPAY_BASE_URL=")},
			failure.VariableEmpty,
			"TOKENFETCH_ZEEPAY_BASE_URL is set but empty", "give it a value, or unset it",
		},
		"empty flag": {
			setup{environ: full(), flags: map[string]string{"username": ""}},
			failure.FieldInvalid,
			"the value from the flag --username is empty", "correct --username: a value is one line of text",
		},
		"variable with a line break": {
			setup{environ: append(zeepay("PASSWORD"), "TOKENFETCH_ZEEPAY_PASSWORD="+canary+"\nx")},
			failure.FieldInvalid,
			"the value from TOKENFETCH_ZEEPAY_PASSWORD contains a line break", "correct TOKENFETCH_ZEEPAY_PASSWORD: a value is one line of text",
		},
		"flag that is not UTF-8": {
			setup{environ: full(), flags: map[string]string{"username": canary + "\xff"}},
			failure.FieldInvalid,
			"the value from the flag --username is not UTF-8", "correct --username: a value is one line of text",
		},
		"flag names no file": {
			setup{environ: full(), flags: map[string]string{"password-file": "none/x"}},
			failure.FileNotFound,
			"the file of --password-file does not exist", "give the path of a file that holds the value, not the value itself",
		},
		"named variable is not set": {
			setup{environ: zeepay("PASSWORD"), file: "[zeepay.default]\npassword = { env = \"ZP_PASSWORD\" }\n"},
			failure.FieldMissing,
			"password of [zeepay.default] comes from the variable ZP_PASSWORD, which is not set", "set ZP_PASSWORD, or change the profile",
		},
		"named variable is nearly set": {
			setup{environ: append(zeepay("PASSWORD"), "ZP_PASWORD="+canary), file: "[zeepay.default]\npassword = { env = \"ZP_PASSWORD\" }\n"},
			failure.FieldMissing,
			"password of [zeepay.default] comes from the variable ZP_PASSWORD, which is not set (ZP_PASWORD is set: was that meant?)", "set ZP_PASSWORD, or change the profile",
		},
		"named variable is empty": {
			setup{environ: append(zeepay("PASSWORD"), "ZP_PASSWORD="), file: "[zeepay.default]\npassword = { env = \"ZP_PASSWORD\" }\n"},
			failure.VariableEmpty,
			"ZP_PASSWORD is set but empty; password of [zeepay.default] comes from it", "give it a value, or change the profile",
		},

		"base variable beside a named profile": {
			setup{profile: "ci", file: ci, environ: []string{"TOKENFETCH_ZEEPAY_BASE_URL=https://" + canary}},
			failure.SourceConflict,
			"TOKENFETCH_ZEEPAY_BASE_URL is set, but the profile [zeepay.ci] is named and is read alone",
			"unset TOKENFETCH_ZEEPAY_BASE_URL; -e and --base-url choose the host for one run",
		},
		"environment variable beside a named profile": {
			setup{profile: "ci", file: ci, environ: []string{"TOKENFETCH_ZEEPAY_ENVIRONMENT="}, environment: "test"},
			failure.SourceConflict,
			"TOKENFETCH_ZEEPAY_ENVIRONMENT is set, but the profile [zeepay.ci] is named and is read alone",
			"unset TOKENFETCH_ZEEPAY_ENVIRONMENT; -e and --base-url choose the host for one run",
		},
		"named profile is missing": {
			setup{profile: "cl", file: ci + "[zeepay.default]\n[mpay.x]\n", environ: full()},
			failure.ProfileNotFound,
			"there is no profile of that name for zeepay in DIR/profiles.toml", "the profiles of zeepay are: ci, default; to make another run: tokenfetch login zeepay/NAME",
		},
		"misspelt profile": {
			setup{profile: "defualt", file: ci + "[zeepay.default]\n[mpay.defuall]\n", environ: full()},
			failure.ProfileNotFound,
			"there is no profile of that name for zeepay in DIR/profiles.toml",
			"did you mean zeepay/default? the profiles of zeepay are: ci, default; to make another run: tokenfetch login zeepay/NAME",
		},
		"misspelt profile in a variable": {
			setup{profile: "defualt", file: ci + "[zeepay.default]\n", environ: append(full(), "TOKENFETCH_PROFILE=defualt")},
			failure.ProfileNotFound,
			"there is no profile of that name for zeepay in DIR/profiles.toml (from TOKENFETCH_PROFILE)",
			"did you mean zeepay/default? the profiles of zeepay are: ci, default; to make another run: tokenfetch login zeepay/NAME",
		},
		"named profile and there is none": {
			setup{profile: "ci", environ: full()},
			failure.ProfileNotFound,
			"there is no profile of that name for zeepay in DIR/profiles.toml", "make it with: tokenfetch login zeepay/NAME",
		},
		"field of a named profile is missing": {
			setup{profile: "ci", file: "[zeepay.ci]\nenvironment = \"test\"\nclient_id = 1\n"},
			failure.FieldMissing,
			"username is missing: not given by a flag or [zeepay.ci] in DIR/profiles.toml", `run: tokenfetch zeepay/ci --username VALUE; or write username = "VALUE" into [zeepay.ci]`,
		},
		"field of a named profile is missing and its variable set": {
			setup{profile: "ci", file: "[zeepay.ci]\nenvironment = \"test\"\nclient_id = 1\n", environ: []string{"TOKENFETCH_ZEEPAY_USERNAME=" + canary}},
			failure.FieldMissing,
			"username is missing: not given by a flag or [zeepay.ci] in DIR/profiles.toml",
			`TOKENFETCH_ZEEPAY_USERNAME is set, but a named profile is read alone: write username = { env = "TOKENFETCH_ZEEPAY_USERNAME" } into [zeepay.ci]`,
		},

		"field missing": {
			setup{environ: zeepay("USERNAME")},
			failure.FieldMissing,
			"username is missing: not given by a flag, TOKENFETCH_ZEEPAY_USERNAME or [zeepay.default] in DIR/profiles.toml",
			`run: tokenfetch zeepay --username VALUE; or set TOKENFETCH_ZEEPAY_USERNAME; or write username = "VALUE" into [zeepay.default]`,
		},
		"two fields missing": {
			setup{environment: "test"},
			failure.FieldMissing,
			"client_id, username are missing: not given by a flag, TOKENFETCH_ZEEPAY_CLIENT_ID, TOKENFETCH_ZEEPAY_USERNAME or [zeepay.default] in DIR/profiles.toml",
			`run: tokenfetch zeepay --client-id VALUE --username VALUE; or set TOKENFETCH_ZEEPAY_CLIENT_ID and TOKENFETCH_ZEEPAY_USERNAME; or write client_id = "VALUE" and username = "VALUE" into [zeepay.default]`,
		},
		"field missing and a slip set": {
			setup{environ: append(zeepay("USERNAME"), "TOKENFETCH_ZEEPAY_USER_NAME="+canary)},
			failure.FieldMissing,
			"username is missing: not given by a flag, TOKENFETCH_ZEEPAY_USERNAME or [zeepay.default] in DIR/profiles.toml" +
				" (TOKENFETCH_ZEEPAY_USER_NAME is set: was that meant?)",
			`run: tokenfetch zeepay --username VALUE; or set TOKENFETCH_ZEEPAY_USERNAME; or write username = "VALUE" into [zeepay.default]`,
		},
		"field missing and a lower-case variable set": {
			setup{environ: append(zeepay("CLIENT_ID"), "TOKENFETCH_ZEEPAY_client_id="+canary)},
			failure.FieldMissing,
			"client_id is missing: not given by a flag, TOKENFETCH_ZEEPAY_CLIENT_ID or [zeepay.default] in DIR/profiles.toml" +
				" (TOKENFETCH_ZEEPAY_client_id is set: was that meant?)",
			`run: tokenfetch zeepay --client-id VALUE; or set TOKENFETCH_ZEEPAY_CLIENT_ID; or write client_id = "VALUE" into [zeepay.default]`,
		},
		"field missing and a variable without the prefix set": {
			setup{environ: append(zeepay("CLIENT_ID"), "ZEEPAY_CLIENT_ID="+canary)},
			failure.FieldMissing,
			"client_id is missing: not given by a flag, TOKENFETCH_ZEEPAY_CLIENT_ID or [zeepay.default] in DIR/profiles.toml (ZEEPAY_CLIENT_ID is set: was that meant?)",
			`run: tokenfetch zeepay --client-id VALUE; or set TOKENFETCH_ZEEPAY_CLIENT_ID; or write client_id = "VALUE" into [zeepay.default]`,
		},

		"nothing at all": {
			setup{},
			failure.ProfileNotFound,
			"zeepay is not set up: there is no profile [zeepay.default] in DIR/profiles.toml, and no variable TOKENFETCH_ZEEPAY_* is set",
			"run tokenfetch login zeepay to set it up, or tokenfetch zeepay --emulator to try it; tokenfetch zeepay --help shows its variables",
		},
		"no host": {
			setup{environ: zeepay("ENVIRONMENT")},
			failure.HostMissing, "nothing says which host of Zeepay to use: test, sandbox, production",
			`run: tokenfetch zeepay -e test; or set TOKENFETCH_ZEEPAY_ENVIRONMENT=test; or write environment = "test" into [zeepay.default]`,
		},
		"no host in the profile": {
			setup{file: "[zeepay.default]\nusername = \"u\"\n"},
			failure.HostMissing, "nothing says which host of Zeepay to use: test, sandbox, production",
			`run: tokenfetch zeepay -e test; or set TOKENFETCH_ZEEPAY_ENVIRONMENT=test; or write environment = "test" into [zeepay.default]`,
		},
		"no host and none published": {
			setup{provider: "abbeycross", flags: map[string]string{"client-id": "c"}},
			failure.HostMissing, "nothing says which host to use, and AbbeyCross (ABX) publishes none",
			`run: tokenfetch abbeycross --base-url https://HOST; or set TOKENFETCH_ABBEYCROSS_BASE_URL=https://HOST; or write base_url = "https://HOST" into [abbeycross.default]`,
		},
		"unknown environment": {
			setup{environment: canary}, failure.HostMissing, "Zeepay has no environment of that name (from --environment)", "its environments are: test, sandbox, production",
		},
		"environment of another case": {
			setup{environment: "Test"},
			failure.HostMissing, "Zeepay has no environment of that name (from --environment)",
			"did you mean test? its environments are: test, sandbox, production; run: tokenfetch zeepay -e test",
		},
		"misspelt environment in a variable": {
			setup{environ: []string{"TOKENFETCH_ZEEPAY_ENVIRONMENT=sandbxo"}},
			failure.HostMissing,
			"Zeepay has no environment of that name (from TOKENFETCH_ZEEPAY_ENVIRONMENT)",
			"did you mean sandbox? its environments are: test, sandbox, production; set TOKENFETCH_ZEEPAY_ENVIRONMENT=sandbox",
		},
		"misspelt environment in a profile": {
			setup{file: "[zeepay.default]\nenvironment = \"prodution\"\n"},
			failure.HostMissing,
			"Zeepay has no environment of that name (from [zeepay.default] in DIR/profiles.toml)",
			"did you mean production? its environments are: test, sandbox, production",
		},
		"misspelt environment in a profile that another host is bound to": {
			setup{file: "[zeepay.default]\nenvironment = \"prodution\"\n", environment: "test"},
			failure.HostMissing,
			"Zeepay has no environment of that name (from [zeepay.default] in DIR/profiles.toml)",
			"did you mean production? its environments are: test, sandbox, production",
		},
		"environment where there is none": {
			setup{provider: "abbeycross", environment: "test"},
			failure.HostMissing, "AbbeyCross (ABX) has no environment of that name (from --environment)",
			"it has none: give its address with --base-url https://HOST",
		},
		"bad base address": {
			setup{baseURL: "https://user:" + canary + "@host.example"}, failure.BadBaseURL, "the base address must not contain credentials", "write it as https://HOST[:PORT][/PATH]",
		},
		"http base address in a variable": {
			setup{environ: append(zeepay("ENVIRONMENT"), "TOKENFETCH_ZEEPAY_BASE_URL=http://"+canary+".example")},
			failure.HTTPSRequired,
			"https required: the base address uses http, which is only for loopback addresses", "write it as https://HOST[:PORT][/PATH]",
		},
		"base address with the path": {
			setup{file: "[zeepay.default]\nbase_url = \"https://host.example/oauth/token\"\n"},
			failure.BadBaseURL,
			"the base address already ends in /oauth/token, which is added to it", "use https://host.example",
		},

		"no tenant": {
			setup{provider: "fincode", environment: "tenant-v6", flags: map[string]string{"client-id": "c", "username": "u"}},
			failure.FieldMissing,
			"tenant is missing: not given by a flag, TOKENFETCH_FINCODE_TENANT or [fincode.default] in DIR/profiles.toml",
			`run: tokenfetch fincode --tenant VALUE; or set TOKENFETCH_FINCODE_TENANT; or write tenant = "VALUE" into [fincode.default]`,
		},
		"bad tenant": {
			setup{provider: "fincode", environment: "tenant-v6", flags: map[string]string{"tenant": canary + ".evil.example/#"}},
			failure.FieldInvalid,
			"tenant is not one host name label: it must match [a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "give only your subdomain, such as remitjunction",
		},
		"empty tenant": {
			setup{provider: "fincode", environment: "tenant-v6", flags: map[string]string{"tenant": ""}}, failure.FieldInvalid, "the value from the flag --tenant is empty", "correct --tenant: a value is one line of text",
		},
		"tenant from a helper": {
			setup{provider: "fincode", file: "[fincode.default]\nenvironment = \"tenant-v6\"\ntenant = { command = [\"op\"] }\n"},
			failure.FieldInvalid,
			"tenant is part of the host's name and cannot come from the helper op, named by [fincode.default]", "write it into the profile",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if test.provider == "" {
				test.provider = "zeepay"
			}
			w := test.build(t)
			e := w.fails()
			if e.Code != test.code || w.short(e.Message) != test.message || w.short(e.Hint) != test.hint {
				t.Errorf("%s %q\nhint %q\nwant %s %q\nhint %q", e.Code, w.short(e.Message), w.short(e.Hint), test.code, test.message, test.hint)
			}
		})
	}
}

func TestNoHome(t *testing.T) {
	w := setup{provider: "zeepay"}.build(t)
	w.setup.file, w.file = "", &profile.File{}
	if e, want := w.fails(), "zeepay is not set up: there is no profile [zeepay.default] in a profiles file (there is no home directory), and no variable TOKENFETCH_ZEEPAY_* is set"; e.Message != want {
		t.Errorf("%q, want %q", e.Message, want)
	}
}

// TestNamedProfileIsReadAlone: no variable of the provider reaches it.
func TestNamedProfileIsReadAlone(t *testing.T) {
	w := setup{
		provider: "zeepay", profile: "ci",
		file: "[zeepay.ci]\nenvironment = \"test\"\nclient_id = 1\nusername = { env = \"NAME\" }\npassword = \"pw\"\n[zeepay.default]\nclient_secret = \"no\"\n",
		environ: []string{
			"TOKENFETCH_ZEEPAY_CLIENT_ID=no", "TOKENFETCH_ZEEPAY_CLIENT_SECRET=no", "TOKENFETCH_ZEEPAY_USERNAME=", "TOKENFETCH_ZEEPAY_PASSWORD_FILE=/no", "NAME=yes",
		},
		keychain: &store{items: map[string]string{"zeepay/ci/client_secret@test.digitaltermination.com": "cs", "zeepay/default/client_secret@test.digitaltermination.com": "no"}},
	}.build(t)
	plan, got, err := w.read()
	want := map[string]string{"client_id": "1", "client_secret": "cs", "username": "yes", "password": "pw"}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Fatalf("%v (-want +got):\n%s", err, diff)
	}
	if plan.ProfileName != "ci" || plan.Profile.Name != "ci" {
		t.Errorf("the profile is %q, %+v", plan.ProfileName, plan.Profile)
	}
	// A flag is above every profile.
	w.flags = map[string]string{"username": "flag"}
	if _, got, err := w.read(); err != nil || got["username"] != "flag" {
		t.Errorf("with a flag: %v, %v", got, err)
	}
}

// TestDefaultIsNeverNamed: variables reach it however it was asked for.
func TestDefaultIsNeverNamed(t *testing.T) {
	w := setup{provider: "zeepay", profile: "default", file: "[zeepay.default]\nusername = \"no\"\n", environ: zeepay("")}.build(t)
	if _, got, err := w.read(); err != nil || got["username"] != "u" {
		t.Errorf("%v, %v", got, err)
	}
}

// TestBinding: a secret of a profile goes to that profile's own host alone.
func TestBinding(t *testing.T) {
	sources := map[string]string{
		"text": `"` + canary + `"`, "env": `{ env = "ZP" }`, "file": `{ file = "secret" }`, "command": `{ command = ["op"] }`,
	}
	others := map[string]setup{
		"base flag":            {baseURL: "https://evil.example"},
		"environment flag":     {environment: "production"},
		"base variable":        {environ: []string{"TOKENFETCH_ZEEPAY_BASE_URL=https://evil.example"}},
		"environment variable": {environ: []string{"TOKENFETCH_ZEEPAY_ENVIRONMENT=production"}},
		"another port":         {baseURL: "https://test.digitaltermination.com:8443"},
		"loopback":             {baseURL: "http://127.0.0.1:1"},
	}
	for host, own := range map[string]string{`environment = "test"`: "https://test.digitaltermination.com:443", `base_url = "https://own.example/x"`: "https://own.example:443"} {
		for kind, source := range sources {
			for name, other := range others {
				t.Run(kind+"/"+name, func(t *testing.T) {
					w := other
					w.provider, w.flags = "zeepay", map[string]string{"client-id": "1", "username": "u"}
					w.environ = append(slices.Clone(w.environ), "ZP="+canary)
					w.file = "[zeepay.default]\n" + host + "\npassword = " + source + "\n"
					built := w.build(t)
					built.write("secret", canary, 0o600)
					plan, err := built.find()
					e := check.Failure(t, err, canary)
					asked := plan.Base.Origin()
					message := "password of [zeepay.default] belongs to " + own + " and is not sent to " + asked
					login, hint, _ := strings.Cut(e.Hint, "; ")
					const want = "or set TOKENFETCH_ZEEPAY_PASSWORD to the secret for it; or run: tokenfetch zeepay --password-file FILE"
					if e.Code != failure.HostMismatch || e.Message != message || asked == own || hint != want ||
						!strings.HasPrefix(login, "make a profile for that host: tokenfetch login zeepay/NAME -") {
						t.Errorf("%s %q, hint %q; want %q, hint ... %q", e.Code, e.Message, e.Hint, message, want)
					}
					// Nothing is refused where the secret comes with the host.
					built.environ = append(built.environ, "TOKENFETCH_ZEEPAY_PASSWORD=pw")
					if _, err := built.find(); err != nil {
						t.Errorf("with a variable: %v", err)
					}
				})
			}
		}
	}
}

// TestTenant: a tenant is one label of a host name, and no more.
func TestTenant(t *testing.T) {
	for _, tenant := range []string{"a", "finlend", "0-0", strings.Repeat("a", 63)} {
		w := setup{provider: "fincode", environment: "tenant-v6", flags: map[string]string{"client-id": "c", "username": "u", "tenant": tenant}}.build(t)
		plan, err := w.find()
		check.OK(t, err)
		check.Same(t, "origin", "https://"+tenant+".fincode.software:443", plan.Base.Origin())
	}
	for _, tenant := range []string{"a.b", "..", "-x", "x-", "%2e", "Finlend", "finlend:443", "user@finlend", "evil.example/", "evil#", strings.Repeat("a", 64)} {
		e := setup{provider: "fincode", environment: "tenant-v6", flags: map[string]string{"client-id": "c", "username": "u", "tenant": tenant}}.build(t).fails()
		check.Same(t, tenant, failure.FieldInvalid, e.Code)
	}
}

// TestBindingByTenant: the tenant is a part of the host's name, so a flag or
// variable that gives another one names another host.
func TestBindingByTenant(t *testing.T) {
	const file = "[fincode.default]\nenvironment = \"tenant-v6\"\ntenant = \"acme\"\nclient_id = 1\nusername = \"u\"\npassword = \"" + canary + "\"\n"
	const message = "password of [fincode.default] belongs to https://acme.fincode.software:443 and is not sent to "
	for name, test := range map[string]struct {
		setup
		want string
	}{
		"profile alone":        {setup{}, ""},
		"the same by flag":     {setup{flags: map[string]string{"tenant": "acme"}}, ""},
		"other path":           {setup{environment: "tenant-v1"}, ""},
		"flag":                 {setup{flags: map[string]string{"tenant": "evil"}}, message + "https://evil.fincode.software:443"},
		"variable":             {setup{environ: []string{"TOKENFETCH_FINCODE_TENANT=evil"}}, message + "https://evil.fincode.software:443"},
		"flag and path":        {setup{environment: "tenant-v1", flags: map[string]string{"tenant": "evil"}}, message + "https://evil.fincode.software:443"},
		"other environment":    {setup{environment: "staging"}, message + "https://api.stag.songhaiexchange.io:443"},
		"other base address":   {setup{baseURL: "https://evil.example"}, message + "https://evil.example:443"},
		"named, flag":          {setup{profile: "ci", file: strings.ReplaceAll(file, "default", "ci"), flags: map[string]string{"tenant": "evil"}}, strings.ReplaceAll(message, "default", "ci") + "https://evil.fincode.software:443"},
		"no tenant in it":      {setup{file: strings.Replace(file, "tenant = \"acme\"\n", "", 1), flags: map[string]string{"tenant": "any"}}, ""},
		"secret by flag":       {setup{flags: map[string]string{"tenant": "other", "password-file": "x"}}, ""},
		"secret in a keychain": {setup{file: strings.Replace(file, "password = \""+canary+"\"\n", "", 1), flags: map[string]string{"tenant": "other"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			test.provider = "fincode"
			if test.file == "" {
				test.file = file
			}
			_, err := test.build(t).find()
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if e := check.Failure(t, err, canary); e.Code != failure.HostMismatch || e.Message != test.want {
				t.Errorf("%s %q, want %q", e.Code, e.Message, test.want)
			}
		})
	}
}

// TestBindingExempts what is bound by itself or to nothing.
func TestBindingExempts(t *testing.T) {
	const fields = "client_id = 1\nusername = \"u\"\n"
	for name, s := range map[string]setup{
		"the same host":           {file: "[zeepay.default]\nenvironment = \"test\"\npassword = \"pw\"\n" + fields, baseURL: "https://test.digitaltermination.com"},
		"the same host, own port": {file: "[zeepay.default]\nenvironment = \"test\"\npassword = \"pw\"\n" + fields, baseURL: "https://TEST.digitaltermination.com:443/x"},
		"keychain":                {file: "[zeepay.default]\nenvironment = \"test\"\npassword = { keychain = true }\n" + fields, baseURL: "https://other.example"},
		"implied keychain":        {file: "[zeepay.default]\nenvironment = \"test\"\n" + fields, baseURL: "https://other.example"},
		"other keychain":          {file: "[zeepay.default]\nenvironment = \"test\"\npassword = { keychain = \"ci\" }\n" + fields, baseURL: "https://other.example"},
		"no host in the profile":  {file: "[zeepay.default]\npassword = \"pw\"\n" + fields, baseURL: "https://other.example"},
		"only plain fields":       {file: "[zeepay.default]\nenvironment = \"test\"\n" + fields, environment: "production"},
		"no profile":              {flags: map[string]string{"client-id": "1", "username": "u"}, environment: "production"},
	} {
		s.provider = "zeepay"
		if _, err := s.build(t).find(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The only environment is the host of a profile that names none.
	_, err := setup{provider: "mpay", file: "[mpay.default]\nusername = \"u\"\npassword = \"" + canary + "\"\n", baseURL: "https://evil.example"}.build(t).find()
	want := "password of [mpay.default] belongs to https://api.mpayafrica.co.tz:443 and is not sent to https://evil.example:443"
	if e := check.Failure(t, err, canary); e.Code != failure.HostMismatch || e.Message != want {
		t.Errorf("%+v, want %q", e, want)
	}
}

// TestAccounts: the host is a part of the keychain's name for a secret.
func TestAccounts(t *testing.T) {
	for name, test := range map[string]struct {
		setup
		want string
	}{
		"environment":   {setup{environment: "test"}, "zeepay/default/password@test.digitaltermination.com"},
		"base address":  {setup{baseURL: "https://Host.Example/x"}, "zeepay/default/password@host.example"},
		"port":          {setup{baseURL: "https://host.example:8443"}, "zeepay/default/password@host.example:8443"},
		"default port":  {setup{baseURL: "https://host.example:443"}, "zeepay/default/password@host.example:443"},
		"IPv6":          {setup{baseURL: "http://[::1]:8080"}, "zeepay/default/password@[::1]:8080"},
		"named profile": {setup{profile: "ci", file: "[zeepay.ci]\nenvironment = \"test\"\n"}, "zeepay/ci/password@test.digitaltermination.com"},
		"other's item":  {setup{profile: "ci", file: "[zeepay.ci]\nenvironment = \"test\"\npassword = { keychain = \"shared\" }\n"}, "zeepay/shared/password@test.digitaltermination.com"},
	} {
		t.Run(name, func(t *testing.T) {
			test.provider, test.flags = "zeepay", map[string]string{"client-id": "1", "username": "u"}
			client := strings.NewReplacer("password", "client_secret", "shared", "ci").Replace(test.want)
			test.keychain = &store{items: map[string]string{test.want: "pw", client: "cs"}}
			plan, got, err := test.build(t).read()
			if err != nil || got["password"] != "pw" || got["client_secret"] != "cs" {
				t.Fatalf("%v, %v", got, err)
			}
			check.Same(t, "asked for", []string{client, test.want}, test.keychain.asked)
			if place := plan.Places[3]; place.Account != test.want {
				t.Errorf("the place is %+v", place)
			}
		})
	}
}

// TestKeychain: locked, missing, slow and empty are four different errors.
func TestKeychain(t *testing.T) {
	const item = "zeepay/default/password@test.digitaltermination.com"
	const ways = "set TOKENFETCH_ZEEPAY_PASSWORD, or TOKENFETCH_ZEEPAY_PASSWORD_FILE to the path of its file; or run: tokenfetch zeepay --password-file FILE"
	const named = `write password = { env = "NAME" } or { file = "PATH" } into [zeepay.ci]; or run: tokenfetch zeepay/ci --password-file FILE`
	ci := setup{profile: "ci", file: "[zeepay.ci]\nenvironment = \"test\"\nclient_id = 1\nusername = \"u\"\nclient_secret = \"cs\"\n"}
	plain := setup{environ: zeepay("PASSWORD")}
	for name, test := range map[string]struct {
		setup
		keychain      store
		code          failure.Code
		message, hint string
	}{
		"unavailable": {
			plain,
			store{err: secret.ErrUnavailable},
			failure.KeychainUnavailable,
			"password is missing: nothing gives it, and there is no keychain here", ways + "; or store it in a file: tokenfetch login zeepay -e test --store files",
		},
		"unavailable, named": {
			ci,
			store{err: secret.ErrUnavailable},
			failure.KeychainUnavailable,
			"password is missing: nothing gives it, and there is no keychain here", named + "; or store it in a file: tokenfetch login zeepay/ci --store files --replace",
		},
		"locked": {
			plain,
			store{err: secret.ErrLocked},
			failure.KeychainLocked,
			"the keychain is locked, and password is stored in it", "unlock it in your desktop session and run this again; or " + ways,
		},
		"slow": {
			plain,
			store{err: fmt.Errorf("%s: %w", canary, secret.ErrTimeout)},
			failure.KeychainTimeout,
			"the keychain did not answer in time when asked for password", "check your keychain service, or allow more time with --timeout 60s; or " + ways,
		},
		"missing": {
			plain,
			store{},
			failure.KeychainNotFound,
			"password is missing: the keychain item " + item + " does not exist, and nothing else gives it", "store it with: tokenfetch login zeepay -e test; or " + ways,
		},
		"missing, a slip set": {
			setup{environ: append(zeepay("PASSWORD"), "TOKENFETCH_ZEEPAY_PASSWD="+canary)},
			store{},
			failure.KeychainNotFound,
			"password is missing: the keychain item " + item + " does not exist, and nothing else gives it (TOKENFETCH_ZEEPAY_PASSWD is set: was that meant?)",
			"store it with: tokenfetch login zeepay -e test; or " + ways,
		},
		"missing, named": {
			ci,
			store{},
			failure.KeychainNotFound,
			"password is missing: the keychain item zeepay/ci/password@test.digitaltermination.com does not exist, and nothing else gives it",
			"store it with: tokenfetch login zeepay/ci; or " + named,
		},
		"missing, named, its variable set": {
			setup{profile: ci.profile, file: ci.file, environ: []string{"TOKENFETCH_ZEEPAY_PASSWORD=" + canary}},
			store{},
			failure.KeychainNotFound,
			"password is missing: the keychain item zeepay/ci/password@test.digitaltermination.com does not exist, and nothing else gives it",
			`TOKENFETCH_ZEEPAY_PASSWORD is set, but a named profile is read alone: write password = { env = "TOKENFETCH_ZEEPAY_PASSWORD" } into [zeepay.ci]; or store it with: tokenfetch login zeepay/ci`,
		},
		"missing, another's item": {
			setup{profile: "ci", file: ci.file + "password = { keychain = \"shared\" }\n"},
			store{},
			failure.KeychainNotFound,
			"password is missing: the keychain item zeepay/shared/password@test.digitaltermination.com does not exist, and nothing else gives it",
			"store it with: tokenfetch login zeepay/shared; or " + named,
		},
		"missing, at another host": {
			setup{profile: "ci", file: strings.Replace(ci.file, `client_secret = "cs"`, "client_secret = { keychain = true }", 1), baseURL: "https://host.example/x"},
			store{items: map[string]string{"zeepay/ci/client_secret@host.example": "cs"}},
			failure.KeychainNotFound,
			"password is missing: the keychain item zeepay/ci/password@host.example does not exist, and nothing else gives it",
			"store it with: tokenfetch login zeepay/NAME --base-url https://host.example/x; or " + named,
		},
		"in another environment": {
			plain,
			store{items: map[string]string{"zeepay/default/password@shop.digitaltermination.com": canary}},
			failure.KeychainNotFound,
			"password is missing: the keychain item " + item + " does not exist (there is one for the environment production, at shop.digitaltermination.com), and nothing else gives it",
			"store it with: tokenfetch login zeepay -e test; or " + ways,
		},
		"of another profile": {
			plain,
			store{items: map[string]string{"zeepay/ci/password@test.digitaltermination.com": canary}},
			failure.KeychainNotFound,
			"password is missing: the keychain item " + item + " does not exist, and nothing else gives it", "store it with: tokenfetch login zeepay -e test; or " + ways,
		},
		"empty": {
			plain, store{items: map[string]string{item: ""}}, failure.FieldInvalid, "the value from the keychain item " + item + " is empty", "store it again with: tokenfetch login zeepay -e test",
		},
		"line break": {
			plain, store{items: map[string]string{item: canary + "\n"}}, failure.FieldInvalid, "the value from the keychain item " + item + " contains a line break", "store it again with: tokenfetch login zeepay -e test",
		},
		"NUL": {
			plain, store{items: map[string]string{item: canary + "\x00"}}, failure.FieldInvalid, "the value from the keychain item " + item + " contains a NUL byte", "store it again with: tokenfetch login zeepay -e test",
		},
	} {
		t.Run(name, func(t *testing.T) {
			test.provider = "zeepay"
			test.setup.keychain = &test.keychain
			e := test.build(t).fails()
			if once := slices.Compact(slices.Sorted(slices.Values(test.keychain.asked))); len(once) != len(test.keychain.asked) {
				t.Errorf("the keychain was asked twice: %q", test.keychain.asked)
			}
			if e.Code != test.code || e.Message != test.message || e.Hint != test.hint {
				t.Errorf("%s %q\nhint %q\nwant %s %q\nhint %q", e.Code, e.Message, e.Hint, test.code, test.message, test.hint)
			}
		})
	}
}

// TestOtherKeychainErrors are not ours to explain.
func TestOtherKeychainErrors(t *testing.T) {
	w := setup{provider: "zeepay", environ: zeepay("PASSWORD"), keychain: &store{err: context.Canceled}}.build(t)
	if _, _, err := w.read(); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestFilesOnTrust: in CI a file that the caller names is taken, with a note;
// one that the profile names never.
func TestFilesOnTrust(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes of Unix")
	}
	for name, test := range map[string]struct {
		flags   map[string]string
		environ []string
		file    string
		called  string // in the note; its path is not shown
	}{
		"flag":     {map[string]string{"password-file": "DIR/loose"}, nil, "", "the file of --password-file"},
		"variable": {nil, []string{"TOKENFETCH_ZEEPAY_PASSWORD_FILE=DIR/loose"}, "", "the file of TOKENFETCH_ZEEPAY_PASSWORD_FILE"},
		"profile":  {nil, nil, "[zeepay.default]\npassword = { file = \"loose\" }\n", ""},
	} {
		for _, trusted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, trusted %v", name, trusted), func(t *testing.T) {
				w := setup{provider: "zeepay", file: test.file, environ: zeepay("PASSWORD"), flags: map[string]string{}}.build(t)
				w.write("loose", canary, 0o666)
				for flag, value := range test.flags {
					w.flags[flag] = strings.ReplaceAll(value, "DIR", w.dir)
				}
				for _, entry := range test.environ {
					w.environ = append(w.environ, strings.ReplaceAll(entry, "DIR", w.dir))
				}
				plan, err := w.find()
				check.OK(t, err)
				var notes []string
				a := w.access()
				a.Trusted, a.Note = trusted, func(note string) { notes = append(notes, note) }
				values, err := readAll(t.Context(), plan, a)
				if test.called == "" || !trusted {
					if e := check.Failure(t, err, canary); e.Code != failure.FilePermissions || len(notes) > 0 {
						t.Errorf("%+v, notes %q", e, notes)
					}
					return
				}
				want := []string{test.called + " can be written by others (mode 0666); taken because this is CI"}
				if diff := cmp.Diff(want, notes); err != nil || diff != "" || values["password"].Reveal() != canary {
					t.Errorf("%v, notes (-want +got):\n%s", err, diff)
				}
			})
		}
	}
}

// TestFileLimit: each file has the time that Access gives it.
func TestFileLimit(t *testing.T) {
	w := setup{provider: "zeepay", environ: zeepay("PASSWORD"), flags: map[string]string{}}.build(t)
	w.flags["password-file"] = w.write("pw", "pw", 0o600)
	plan, err := w.find()
	check.OK(t, err)
	a := w.access()
	limits := 0
	a.File = func(ctx context.Context) (context.Context, context.CancelFunc) {
		limits++
		return context.WithDeadline(ctx, time.Now().Add(time.Minute))
	}
	if values, err := readAll(t.Context(), plan, a); err != nil || values["password"].Reveal() != "pw" || limits != 1 {
		t.Errorf("%v, %d limits", err, limits)
	}
}

// TestHelperError: the failure of a helper names the field.
func TestHelperError(t *testing.T) {
	w := setup{provider: "zeepay", file: "[zeepay.default]\npassword = { command = [\"op\"] }\n", environ: zeepay("PASSWORD")}.build(t)
	plan, err := w.find()
	check.OK(t, err)
	a := w.access()
	want := failure.New(failure.HelperTimeout, "the helper op timed out")
	a.Helper = func(context.Context, []string) (secret.Value, error) { return secret.Value{}, want }
	values, err := readAll(t.Context(), plan, a)
	if e := check.Failure(t, err, canary); values != nil || e.Code != want.Code || e.Message != "the helper op timed out; password of [zeepay.default] runs it" {
		t.Errorf("%v, %+v", values, e)
	}
}

func TestWithoutSecrets(t *testing.T) {
	w := setup{
		provider: "zeepay", profile: "ci",
		file: "[zeepay.ci]\nenvironment = \"test\"\nclient_id = { env = \"PLAIN\" }\nusername = \"u\"\npassword = { env = \"MY_PASSWORD\" }\nclient_secret = \"cs\"\n",
		environ: []string{
			"PATH=/bin", "MY_PASSWORD=pw", "PLAIN=1", "MY_PASSWORD_2=stays", "EMPTY=", "=C:=C:\\x", "odd",
			"TOKENFETCH_ZEEPAY_PASSWORD_FILE=/x", "TOKENFETCH_ZEEPAY_CLIENT_ID=1", "TOKENFETCH_CONFIG=/c",
			"TOKENFETCH_ZEEPAY_PASSWORD=a", "TOKENFETCH_ZEEPAY_CLIENT_SECRET=a", "TOKENFETCH_MPAY_PASSWORD=a", "TOKENFETCH_FINCODE_PASSWORD=a", "TOKENFETCH_FINCODE_CLIENT_SECRET=a",
			"TOKENFETCH_ENKASH_PASSWORD=a", "TOKENFETCH_ENKASH_CLIENT_SECRET=a", "TOKENFETCH_ABBEYCROSS_CLIENT_SECRET=a", "LAST=1",
		},
	}.build(t)
	plan, err := w.find()
	check.OK(t, err)
	before := slices.Clone(w.environ)
	want := []string{
		"PATH=/bin", "PLAIN=1", "MY_PASSWORD_2=stays", "EMPTY=", "=C:=C:\\x", "odd", "TOKENFETCH_ZEEPAY_PASSWORD_FILE=/x", "TOKENFETCH_ZEEPAY_CLIENT_ID=1", "TOKENFETCH_CONFIG=/c", "LAST=1",
	}
	if diff := cmp.Diff(want, credential.WithoutSecrets(provider.NewCatalog("", nil), w.environ, plan.SecretVariables())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	check.Same(t, "the original was changed (-before +after)", before, w.environ)
	// Without a profile too.
	plan, err = setup{provider: "mpay", flags: map[string]string{"username": "u"}}.build(t).find()
	check.OK(t, err)
	check.Same(t, "without a profile", []string{"A=1"}, credential.WithoutSecrets(provider.NewCatalog("", nil), []string{"TOKENFETCH_ZEEPAY_PASSWORD=a", "A=1"}, plan.SecretVariables()))
}

// TestEveryProvider: all fields by variables, read back as they were given.
func TestEveryProvider(t *testing.T) {
	for _, name := range provider.NewCatalog("", nil).Names() {
		s := setup{provider: name, environ: []string{"TOKENFETCH_" + strings.ToUpper(name) + "_BASE_URL=https://host.example"}}
		w := s.build(t)
		want := map[string]string{}
		for _, f := range w.d.Fields {
			if w.d.Needs(f.Name, nil) {
				want[f.Name] = " " + f.Name + "=$x\t"
				w.environ = append(w.environ, w.d.Variable(f.Name)+"="+want[f.Name])
			}
		}
		_, got, err := w.read()
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
		if len(slices.Collect(maps.Keys(want))) == 0 {
			t.Errorf("%s has no fields", name)
		}
	}
}

// readAll reads the near fields and then the others.
func readAll(ctx context.Context, p *credential.Plan, a credential.Access) (provider.Values, error) {
	values, err := p.ReadNear(ctx, a)
	if err != nil {
		return nil, err
	}
	if err := p.Read(ctx, a, values); err != nil {
		return nil, err
	}
	return values, nil
}

// TestAlone: a profile that is read alone is not reached by the variables that
// would fill it, or stand in its way.
func TestAlone(t *testing.T) {
	environ := []string{
		"TOKENFETCH_ZEEPAY_ENVIRONMENT=production", "TOKENFETCH_ZEEPAY_USERNAME=variable", "TOKENFETCH_ZEEPAY_PASSWORD=",
		"OWN=own",
	}
	for _, name := range []string{"default", "ci"} {
		w := setup{provider: "zeepay", environ: environ, file: "[zeepay." + name + `]
environment = "test"
client_id = { env = "OWN" }
username = "profile"
`}.build(t)
		plan, err := credential.Find(t.Context(), credential.Query{
			Definition: w.d, Profile: name, File: w.file, Environ: environ, Alone: true,
		})
		check.OK(t, err)
		values, err := plan.ReadAccount(t.Context(), w.access())
		check.OK(t, err)
		got := plan.Base.Host + " " + values["client_id"].Reveal() + " " + values["username"].Reveal() + " " + plan.Places[3].Account
		if want := "test.digitaltermination.com own profile zeepay/" + name + "/password@test.digitaltermination.com"; got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
	}
}

// TestGiven: a value at hand comes before any other, and its place is not asked.
func TestGiven(t *testing.T) {
	w := setup{provider: "mpay", environ: []string{"TOKENFETCH_MPAY_USERNAME=u", "TOKENFETCH_MPAY_PASSWORD=variable"}}.build(t)
	plan, err := credential.Find(t.Context(), credential.Query{
		Definition: w.d, Profile: "default", File: w.file, Environ: w.environ,
		Given: provider.Values{"password": secret.New("given")},
	})
	check.OK(t, err)
	values, err := readAll(t.Context(), plan, w.access())
	if err != nil || values["password"].Reveal() != "given" || values["username"].Reveal() != "u" {
		t.Errorf("%q, %q, %v", values["password"].Reveal(), values["username"].Reveal(), err)
	}
}

// TestReadAccount: the account is the same whether everything was read or only
// what is not secret, with a default and a helper.
func TestReadAccount(t *testing.T) {
	w := setup{provider: "zeepay", file: `[zeepay.default]
environment = "test"
client_id = { command = ["who"] }
username = "u"
client_secret = "cs"
`}.build(t)
	plan, err := w.find()
	check.OK(t, err)
	open, err := plan.ReadAccount(t.Context(), w.access()) // there is no keychain for the password
	check.OK(t, err)
	w.keychain = &store{items: map[string]string{"zeepay/default/password@test.digitaltermination.com": "pw"}}
	all, err := readAll(t.Context(), plan, w.access())
	check.OK(t, err)
	_, account := plan.Fingerprint(open)
	_, want := plan.Fingerprint(all)
	if diff := cmp.Diff(want, account); diff != "" || !slices.Contains(account, "who") {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestCountedAccount: where the provider counts refusals, neither another
// spelling nor another field makes another account.
func TestCountedAccount(t *testing.T) {
	for _, file := range []string{
		"base_url = \"https://[2001:db8::1]\"\nusername = \"ops@example.com\"\nclient_id = \"a\"",
		"base_url = \"https://[2001:0DB8:0:0::1]:443/path\"\nusername = \"OPS@example.com\"\nclient_id = \"b\"\ncompany_id = \"c\"",
	} {
		w := setup{provider: "enkash", file: "[enkash.default]\n" + file + "\nclient_secret = { command = [\"no\"] }\n"}.build(t)
		plan, err := w.find()
		check.OK(t, err)
		values, err := plan.ReadAccount(t.Context(), w.access())
		check.OK(t, err)
		_, account := plan.Fingerprint(values)
		if diff := cmp.Diff([]string{"enkash", "https://[2001:db8::1]:443", "username", "ops@example.com"}, account); diff != "" {
			t.Errorf("%s: (-want +got):\n%s", file, diff)
		}
	}
}

func TestKeychainFailure(t *testing.T) {
	for _, test := range []struct {
		err           error
		code          failure.Code
		message, hint string
	}{
		{secret.ErrNotFound, failure.KeychainNotFound, "the keychain has no such item", ""},
		{fmt.Errorf("%w: there is no session bus", secret.ErrUnavailable), failure.KeychainUnavailable, "there is no keychain here", "start your keychain service"},
		{secret.ErrNoKeyring, failure.KeychainUnavailable, "the keychain service runs, but has no default keyring", "log in to your desktop session, which makes and unlocks one, or do it here: gnome-keyring-daemon --replace --unlock (it reads the keyring's password from standard input)"},
		{secret.ErrLocked, failure.KeychainLocked, "the keychain is locked", "unlock it in your desktop session"},
		{secret.ErrTimeout, failure.KeychainTimeout, "the keychain did not answer in time", "check your keychain service"},
		{secret.ErrTooLarge, failure.KeychainTooBig, "the secret is larger than the keychain takes", ""},
	} {
		e := credential.KeychainFailure(test.err)
		if e == nil || e.Code != test.code || e.Message != test.message || e.Hint != test.hint {
			t.Errorf("%v: %+v", test.err, e)
		}
	}
	for _, err := range []error{nil, errors.New("another"), context.Canceled} {
		if e := credential.KeychainFailure(err); e != nil {
			t.Errorf("%v: %+v, want nil", err, e)
		}
	}
}

// TestCorrection: the hint after a refusal says how to change the secrets where they
// come from.
func TestCorrection(t *testing.T) {
	const head = "[zeepay.default]\nenvironment = \"test\"\nclient_id = 1\nusername = \"u\"\n"
	for name, test := range map[string]struct {
		setup
		want string
	}{
		"keychain": {setup{file: head}, "correct the credentials with: tokenfetch login zeepay"},
		"files of login": {
			setup{file: head + "client_secret = { file = \"secrets/zeepay.default.client_secret\" }\npassword = { file = \"secrets/zeepay.default.password\" }\n"},
			"correct the credentials with: tokenfetch login zeepay",
		},
		"a variable and the keychain": {
			setup{file: head, environ: []string{"TOKENFETCH_ZEEPAY_PASSWORD=pw"}},
			"correct the credentials; the secrets come from TOKENFETCH_ZEEPAY_PASSWORD and where login has stored them (tokenfetch login zeepay)",
		},
		"the profile, once": {
			setup{file: head + "client_secret = \"cs\"\npassword = \"pw\"\n"},
			"correct the credentials; the secrets come from [zeepay.default] in DIR/profiles.toml",
		},
		"a helper and a flag": {
			setup{file: head + "client_secret = { command = [\"op\"] }\n", flags: map[string]string{"password-file": "pw"}},
			"correct the credentials; the secrets come from the helper op, named by [zeepay.default] and the file of --password-file",
		},
	} {
		t.Run(name, func(t *testing.T) {
			test.provider = "zeepay"
			w := test.build(t)
			plan, err := w.find()
			check.OK(t, err)
			if got := w.short(plan.Correction()); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}
