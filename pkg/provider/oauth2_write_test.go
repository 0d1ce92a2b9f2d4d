package provider_test

import (
	"testing"

	"github.com/tokenfetch/tokenfetch/pkg/provider"
)

// FuzzOAuth2TOML: what is written is read as it was given, or refused.
func FuzzOAuth2TOML(f *testing.F) {
	for _, scope := range []string{"payments:write", `a "b" \c`, `"\n[oauth2]`, "{client_id}", "'''", "ü\u2028", "\x7f", "\xff", "\n"} {
		f.Add(scope)
	}
	f.Fuzz(func(t *testing.T, scope string) {
		o := provider.OAuth2{TokenURL: "https://acme.example/token", Scope: scope}
		d, err := provider.Parse("acme.toml", o.TOML())
		if err != nil {
			return
		}
		sent := ""
		for _, part := range d.Request.Parts() {
			if part.Name == "scope" {
				sent = part.Value.Text(func(field string) string { return "the value of " + field })
			}
		}
		if sent != scope {
			t.Errorf("%q is sent, want %q; the definition is\n%s", sent, scope, o.TOML())
		}
	})
}

// TestOAuth2TOML: only a text that nobody could read is refused.
func TestOAuth2TOML(t *testing.T) {
	for scope, valid := range map[string]bool{
		"payments:write": true, `a "b" \c`: true, "{client_id}": true, "'''": true, "ü": true,
		"a\nb": false, "a\x7fb": false, "a\xffb": false, "a\u2028b": false,
	} {
		o := provider.OAuth2{TokenURL: "https://acme.example/token", Scope: scope}
		if _, err := provider.Parse("acme.toml", o.TOML()); (err == nil) != valid {
			t.Errorf("the scope %q: error %v, want it to be valid: %v", scope, err, valid)
		}
	}
}

func TestCheckTokenURL(t *testing.T) {
	for address, valid := range map[string]bool{
		"https://acme.example/token": true, "https://acme.example": true, "https://acme.example/": true,
		"http://127.0.0.1:8080/token?tenant=1": true, "http://localhost/token": true,
		"": false, "acme.example": false, "http://acme.example/token": false, "https://user@acme.example/token": false,
		"https://acme.example/a%2fb": false, "https://acme.example/a/../b": false, "https://acme.example/token#a": false,
		"https://{client_id}.acme.example/token": false, "https://acme.example/\"": false, "https://acme.example/\n": false,
	} {
		if problem := provider.CheckTokenURL(address); (problem == "") != valid {
			t.Errorf("%q: %q, want it to be valid: %v", address, problem, valid)
		}
	}
}

func TestCheckName(t *testing.T) {
	for name, want := range map[string]string{
		"acme": "", "acme-test2": "", "add": "",
		"zeepay": "is that of a built-in provider", "login": "is that of a command, or kept for one",
		"": "must match [a-z][a-z0-9-]{0,62}", "Acme": "must match [a-z][a-z0-9-]{0,62}", "../acme": "must match [a-z][a-z0-9-]{0,62}",
	} {
		if got := provider.CheckName(name); got != want {
			t.Errorf("the name %q: %q, want %q", name, got, want)
		}
	}
}
