package credential_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/internal/credential"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// survey finds all places, and looks at them without reading a secret that is
// not at hand: a helper that is run, or standard input that is read, is a panic.
func (w *world) survey() (*credential.Plan, map[string]string) {
	w.t.Helper()
	plan := credential.Survey(w.t.Context(), credential.Query{Definition: w.d, Profile: w.profile, File: w.file, Environ: w.environ, Flags: w.flags})
	access := w.access()
	access.Stdin, access.Helper = nil, nil
	values := map[string]string{}
	for name, value := range plan.Inspect(w.t.Context(), access) {
		values[name] = value.Reveal()
	}
	return plan, values
}

// lines tells the places of a plan, and its problems.
func (w *world) lines(plan *credential.Plan) []string {
	w.t.Helper()
	var lines []string
	for _, place := range plan.Places {
		line := place.Field.Name + " " + place.Source()
		if place.Problem != nil {
			line += " " + string(check.Failure(w.t, place.Problem, canary).Code)
		}
		if place.Shared {
			line += " shared"
		}
		lines = append(lines, line)
	}
	for _, problem := range plan.Problems() {
		lines = append(lines, w.short(check.Failure(w.t, problem, canary).Message))
	}
	return lines
}

func TestSurvey(t *testing.T) {
	for name, test := range map[string]struct {
		setup
		want   []string
		values map[string]string
	}{
		"one problem hides no other": {
			setup{provider: "zeepay", profile: "ci", environ: []string{"EMPTY="}, keychain: &store{}, file: `
[zeepay.ci]
environment = "test"
client_id = { env = "UNSET" }
client_secret = { env = "EMPTY" }
`},
			[]string{
				"client_id variable field_missing",
				"client_secret variable variable_empty",
				"username  field_missing",
				"password keychain keychain_item_not_found",
				"client_id of [zeepay.ci] comes from the variable UNSET, which is not set",
				"EMPTY is set but empty; client_secret of [zeepay.ci] comes from it",
				"password is missing: the keychain item zeepay/ci/password@test.digitaltermination.com does not exist, and nothing else gives it",
				"username is missing: not given by a flag or [zeepay.ci] in DIR/profiles.toml",
			},
			map[string]string{},
		},
		"without a host the keychain is not asked": {
			setup{provider: "zeepay", environ: []string{"TOKENFETCH_ZEEPAY_USERNAME=u"}, keychain: &store{err: errors.New(canary)}},
			[]string{
				"client_id  field_missing",
				"client_secret keychain",
				"username variable",
				"password keychain",
				"nothing says which host of Zeepay to use: test, sandbox, production",
				"client_id is missing: not given by a flag, TOKENFETCH_ZEEPAY_CLIENT_ID or [zeepay.default] in DIR/profiles.toml",
			},
			map[string]string{"username": "u"},
		},
		"nothing at all": {
			setup{provider: "zeepay"},
			[]string{"zeepay is not set up: there is no profile [zeepay.default] in DIR/profiles.toml, and no variable TOKENFETCH_ZEEPAY_* is set"},
			map[string]string{},
		},
		"a table that is not valid": {
			setup{provider: "zeepay", file: "[zeepay.default]\npasword = \"" + canary + "\"\n"},
			[]string{`DIR/profiles.toml, line 2: unknown key "pasword" in [zeepay.default]; the nearest known key is "password"`},
			map[string]string{},
		},
		"helpers are not run, and files are read": {
			setup{provider: "zeepay", file: `
[zeepay.default]
environment = "test"
client_id = { file = "profiles.toml" }
username = { command = ["/bin/sh", "-c", "exit 1"] }
client_secret = { file = "secret" }
password = { file = "shared" }
`},
			[]string{
				"client_id file field_invalid",
				"client_secret file",
				"username helper",
				"password file shared",
				"the value from the file DIR/profiles.toml contains a line break; client_id of [zeepay.default] names it",
			},
			map[string]string{"client_secret": canary, "password": canary},
		},
		"what is at hand is known": {
			setup{provider: "zeepay", keychain: &store{items: map[string]string{"zeepay/default/password@test.digitaltermination.com": "pw"}}, file: `
[zeepay.default]
environment = "test"
client_id = 42
username = { file = "name" }
client_secret = "cs"
`},
			[]string{"client_id profile", "client_secret profile", "username file", "password keychain"},
			map[string]string{"client_id": "42", "client_secret": "cs", "username": "u", "password": "pw"},
		},
		"secrets from standard input and flags": {
			setup{provider: "mpay", environ: []string{"TOKENFETCH_MPAY_USERNAME=u"}, flags: map[string]string{"password-file": "-"}},
			[]string{"username variable", "password stdin"},
			map[string]string{"username": "u"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := test.build(t)
			w.write("secret", canary, 0o600)
			w.write("shared", canary, 0o644)
			w.write("name", "u", 0o600)
			plan, values := w.survey()
			check.Same(t, "places and problems", test.want, w.lines(plan))
			check.Same(t, "values", test.values, values)
			if k := plan.Knows(toValues(values)); k.All != (len(values) == len(plan.Places)) {
				t.Errorf("%+v of %d values", k, len(values))
			}
		})
	}
}

func toValues(texts map[string]string) map[string]secret.Value {
	values := map[string]secret.Value{}
	for name, text := range texts {
		values[name] = secret.New(text)
	}
	return values
}

// TestKnows: what a plan is known by, without the secrets that are missing, behind a
// helper, or in the keychain.
func TestKnows(t *testing.T) {
	for lines, want := range map[string]credential.Knowledge{
		"username = \"u\"\npassword = \"pw\"":                            {All: true, Account: true, Near: true},
		"username = \"u\"\npassword = { file = \"secret\" }":             {All: true, Account: true, Near: true},
		"username = \"u\"\npassword = { file = \"none\" }":               {Account: true},
		"username = \"u\"\npassword = { command = [\"/bin/sh\"] }":       {Account: true, Near: true},
		"username = \"u\"\npassword = { keychain = true }":               {Account: true, Near: true},
		"username = { command = [\"/bin/sh\"] }\npassword = \"pw\"":      {Near: true},
		"username = { env = \"UNSET\" }\npassword = { keychain = true }": {},
	} {
		w := setup{provider: "mpay", keychain: &store{}, file: "[mpay.default]\n" + lines}.build(t)
		w.write("secret", "pw", 0o600)
		plan, values := w.survey()
		if diff := cmp.Diff(want, plan.Knows(toValues(values))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", lines, diff)
		}
	}
}

// TestFingerprintOfDefaults: a default counts whether or not it was filled in,
// so that what one command records another finds.
func TestFingerprintOfDefaults(t *testing.T) {
	w := setup{provider: "enkash", file: `
[enkash.default]
environment = "uat"
client_id = "CEK1"
username = "u"
client_secret = "cs"
password = "pw"
`}.build(t)
	plan, err := w.find()
	check.OK(t, err)
	near, err := plan.ReadNear(t.Context(), w.access())
	check.OK(t, err)
	_, before := plan.Fingerprint(near)
	check.OK(t, plan.Read(t.Context(), w.access(), near))
	all, after := plan.Fingerprint(near)
	check.Same(t, "the account before and after the defaults (-before +after)", before, after)
	want := []string{"enkash", "https://ekpayout-uat.enkash.in:443", "", "client_id", "CEK1", "client_secret", "cs", "username", "u", "password", "pw", "company_id", "CEK1"}
	check.Same(t, "the values", want, all)
}

// TestEmptyInActions: an empty variable is explained where secrets that do not
// exist are empty.
func TestEmptyInActions(t *testing.T) {
	const why = "; if it comes from a secret: that does not exist in the repository, or this is a run of a fork, which gets no secrets"
	for _, test := range []struct{ file, variable, hint string }{
		{"", "TOKENFETCH_MPAY_PASSWORD=", "give it a value, or unset it"},
		{"[mpay.default]\npassword = { env = \"SECRET\" }\n", "SECRET=", "give it a value, or change the profile"},
	} {
		for actions, why := range map[string]string{"true": why, "false": "", "": ""} {
			w := setup{provider: "mpay", file: test.file, environ: []string{"TOKENFETCH_MPAY_USERNAME=u", test.variable, "GITHUB_ACTIONS=" + actions}}.build(t)
			e := w.fails()
			if e.Code != failure.VariableEmpty || e.Hint != test.hint+why {
				t.Errorf("GITHUB_ACTIONS=%s: %s, hint %q; want %q", actions, e.Code, e.Hint, test.hint+why)
			}
		}
	}
}
