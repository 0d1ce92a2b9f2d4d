package provider_test

import (
	"maps"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/internal/token"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// builtin returns a definition of the catalogue, checked.
func builtin(t *testing.T, name string) *provider.Definition {
	t.Helper()
	file := name + ".toml"
	data, err := os.ReadFile("catalog/" + file)
	check.OK(t, err)
	d, err := provider.Parse(file, data)
	check.OK(t, err)
	return d
}

// claims records who owns a name, and fails for one that is owned already.
type claims map[string]string

func (c claims) claim(t *testing.T, name, owner string) {
	t.Helper()
	if other, taken := c[name]; taken {
		t.Errorf("%s belongs to %s and to %s", name, other, owner)
	}
	c[name] = owner
}

// TestCatalog walks the whole catalogue.
func TestCatalog(t *testing.T) {
	names := provider.NewCatalog("", nil).Names()
	if diff := cmp.Diff([]string{"abbeycross", "enkash", "fincode", "mpay", "zeepay"}, names); diff != "" {
		t.Fatalf("Names() (-want +got):\n%s", diff)
	}
	variables := claims{}
	for _, own := range []string{"TOKENFETCH_CONFIG", "TOKENFETCH_PROFILE", "TOKENFETCH_ERRORS"} {
		variables.claim(t, own, "tokenfetch")
	}
	for _, name := range names {
		d := builtin(t, name)
		claimVariables(t, variables, d)
		t.Run(name, func(t *testing.T) {
			if d.Name != name {
				t.Errorf("%s.toml defines %q", name, d.Name)
			}
			checkTexts(t, d)
			checkEnvironments(t, d)
			checkFlags(t, d)
			checkExamples(t, d)
		})
	}
}

func claimVariables(t *testing.T, variables claims, d *provider.Definition) {
	t.Helper()
	variables.claim(t, provider.TokenVariable(d.Name), d.Name)
	for _, setting := range []string{"environment", "base_url"} {
		variables.claim(t, d.Variable(setting), d.Name+" "+setting)
	}
	for _, f := range d.Fields {
		variables.claim(t, d.Variable(f.Name), d.Name+" "+f.Name)
		variables.claim(t, d.Variable(f.Name)+"_FILE", d.Name+" "+f.Name+" as a file")
	}
}

func checkTexts(t *testing.T, d *provider.Definition) {
	t.Helper()
	if docs, err := url.Parse(d.Docs); err != nil || docs.Scheme != "https" || docs.Host == "" {
		t.Errorf("docs %q is not an https address", d.Docs)
	}
	if d.Title == "" || strings.TrimSpace(d.Title) != d.Title {
		t.Errorf("title %q", d.Title)
	}
	for _, note := range d.Notes {
		if !strings.HasSuffix(note, ".") {
			t.Errorf("note %q is not a sentence", note)
		}
	}
	for _, f := range d.Fields {
		first, _, _ := strings.Cut(f.Help, " ")
		if f.Help == "" || strings.HasSuffix(f.Help, ".") || first != strings.ToUpper(first) && unicode.IsUpper(rune(first[0])) {
			t.Errorf("help of %s is %q: want lower case without a full stop", f.Name, f.Help)
		}
		if (f.Example == "") != f.Secret {
			t.Errorf("example of %s is %q: want one for every field that is not secret, and only for these", f.Name, f.Example)
		}
	}
}

var placeholder = regexp.MustCompile(`\{([^{}]*)\}`)

func checkEnvironments(t *testing.T, d *provider.Definition) {
	t.Helper()
	for _, e := range d.Environments {
		bound := placeholder.ReplaceAllStringFunc(e.BaseURL, func(match string) string {
			f, ok := d.Field(strings.Trim(match, "{}"))
			if !ok || f.Secret {
				t.Errorf("%s: the placeholder %s stands for no field that may be shown", e.Name, match)
			}
			return "label"
		})
		if a, err := provider.ParseAddress(bound); err != nil || a.Scheme != "https" || a.String() != bound {
			t.Errorf("%s: %q is not a plain https address: %v", e.Name, e.BaseURL, err)
		}
	}
	for _, f := range d.Fields {
		for _, match := range placeholder.FindAllStringSubmatch(f.Default, -1) {
			if _, ok := d.Field(match[1]); !ok {
				t.Errorf("the default of %s names no field: %s", f.Name, f.Default)
			}
		}
	}
}

func checkFlags(t *testing.T, d *provider.Definition) {
	t.Helper()
	flags := claims{}
	for _, f := range d.Fields {
		flags.claim(t, f.Flag(), f.Name)
		if f.Secret != strings.HasSuffix(f.Flag(), "-file") {
			t.Errorf("the flag of %s is --%s: want -file for a secret and nothing else", f.Name, f.Flag())
		}
	}
}

// checkExamples judges every documented reply.
func checkExamples(t *testing.T, d *provider.Definition) {
	t.Helper()
	const issued, refresh = "issued-token-5Xq", "refresh-token-9Zt"
	outcomes := map[string]bool{}
	for _, e := range d.Examples {
		body := strings.NewReplacer("{token}", issued, "{refresh_token}", refresh).Replace(e.Body)
		outcome := "token"
		got, err := d.Token(token.NewReply(e.Status, []byte(body)))
		if err != nil {
			outcome = string(check.Failure(t, err).Code)
		} else if text := got.AccessToken.Reveal(); text != issued {
			t.Errorf("example %s: the token is %q, want %q", e.Name, text, issued)
		}
		if outcome != e.Outcome {
			t.Errorf("example %s is judged %s, want %s", e.Name, outcome, e.Outcome)
		}
		if e.Name != "token" && e.Outcome == "token" && !strings.Contains(e.Body, "{token}") {
			t.Errorf("example %s has no {token} in it", e.Name)
		}
		outcomes[e.Outcome] = true
	}
	if d.Examples[0].Name != "token" || d.Examples[0].Outcome != "token" {
		t.Errorf("the first example is %+v, want the token", d.Examples[0])
	}
	refusal := func(outcome string) bool { return failure.Code(outcome).Class() == failure.Refused }
	if !slices.ContainsFunc(slices.Collect(maps.Keys(outcomes)), refusal) {
		t.Error("no example of a refusal")
	}
}

func TestBuiltins(t *testing.T) {
	all, broken := provider.NewCatalog("", nil).All()
	if len(broken) > 0 {
		t.Fatal(broken)
	}
	var names []string
	for _, d := range all {
		names = append(names, d.Name)
	}
	check.Same(t, "Builtins()", provider.NewCatalog("", nil).Names(), names)
	for _, name := range []string{"", "nobody", "../catalog/zeepay", "zeepay.toml", "ZEEPAY"} {
		if d, err := provider.NewCatalog("", nil).Definition(name); err == nil {
			t.Errorf("Builtin(%q) = %v, want an error", name, d)
		}
	}
}

// TestSecretVariables is written by hand from the providers' documents: these
// are the variables that no child process may see.
func TestSecretVariables(t *testing.T) {
	catalog := provider.NewCatalog("", nil)
	all, _ := catalog.All()
	secretVariable := catalog.SecretVariable()
	var got []string
	for _, d := range all {
		for _, name := range d.Variables() {
			if secretVariable(name) {
				got = append(got, name)
			}
		}
	}
	slices.Sort(got)
	want := []string{
		"TOKENFETCH_ABBEYCROSS_CLIENT_SECRET",
		"TOKENFETCH_ENKASH_CLIENT_SECRET", "TOKENFETCH_ENKASH_PASSWORD",
		"TOKENFETCH_FINCODE_CLIENT_SECRET", "TOKENFETCH_FINCODE_PASSWORD",
		"TOKENFETCH_MPAY_PASSWORD",
		"TOKENFETCH_ZEEPAY_CLIENT_SECRET", "TOKENFETCH_ZEEPAY_PASSWORD",
	}
	check.Same(t, "the secret variables", want, got)
}

// TestDecisions pins what the definitions say beside requests and replies.
func TestDecisions(t *testing.T) {
	type decisions struct {
		Fields       []string // a secret one with a star, an optional or defaulted one with a question mark
		AllowListed  []string
		SingleUse    bool
		Lifetime     string
		LockoutAfter int
		BodyMember   string
	}
	want := map[string]decisions{
		"abbeycross": {Fields: []string{"client_id", "client_secret*"}, Lifetime: "0s"},
		"enkash": {
			Fields:      []string{"client_id", "client_secret*", "username", "password*", "company_id?"},
			AllowListed: []string{"uat", "production"}, Lifetime: "0s", LockoutAfter: 3,
		},
		"fincode": {Fields: []string{"client_id", "client_secret*", "username", "password*", "tenant"}, Lifetime: "0s"},
		"mpay":    {Fields: []string{"username", "password*"}, SingleUse: true, Lifetime: "2m0s", BodyMember: "token"},
		"zeepay": {
			Fields:      []string{"client_id", "client_secret*", "username", "password*"},
			AllowListed: []string{"production"}, Lifetime: "0s",
		},
	}
	got := map[string]decisions{}
	for _, name := range provider.NewCatalog("", nil).Names() {
		d := builtin(t, name)
		p := decisions{
			SingleUse: d.Policy.SingleUse, Lifetime: d.Policy.Lifetime().String(),
			LockoutAfter: d.Policy.LockoutAfter, BodyMember: d.Use.Member,
		}
		for _, f := range d.Fields {
			mark := ""
			if f.Secret {
				mark = "*"
			}
			if f.Optional || f.Default != "" {
				mark += "?"
			}
			p.Fields = append(p.Fields, f.Name+mark)
		}
		for _, e := range d.Environments {
			if e.AllowListed {
				p.AllowListed = append(p.AllowListed, e.Name)
			}
		}
		got[name] = p
	}
	check.Same(t, "the catalogue", want, got)
}
