package output

import (
	"strings"
	"testing"

	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// TestRunnerEntry: what ends an entry is new each time, and not in the value,
// even one that was made to look like it.
func TestRunnerEntry(t *testing.T) {
	result := Result{AccessToken: secret.New("end_0123456789abcdef0123456789abcdef")}
	seen := map[string]bool{}
	for range 100 {
		data, err := Format(result, "github-env", "NAME")
		check.OK(t, err)
		lines := strings.Split(string(data), "\n")
		end, found := strings.CutPrefix(lines[0], "NAME<<")
		if !found || len(lines) != 4 || lines[1] == end || lines[2] != end || lines[3] != "" {
			t.Fatalf("an entry of another form: %q", data)
		}
		if seen[end] {
			t.Fatalf("the end marker %s came twice", end)
		}
		seen[end] = true
	}
}

// TestMask: the runner's escapes.
func TestMask(t *testing.T) {
	const text = "100%;a]::b%0A"
	if got, want := GitHubMask(text), "::add-mask::100%25;a]::b%250A\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := AzureMask(text), "##vso[task.setsecret]100%AZP25;a]::b%AZP250A\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestMaskable: a short text or an ordinary word is not hidden.
func TestMaskable(t *testing.T) {
	for text, want := range map[string]bool{
		"": false, "a": false, "1234567": false, "12345678": true, "password": false, "Production": false,
		"undefinedvalue": false, "eyJhbGciOi": false, "eyJhbGciOiJIUzI1": true, "abcdefghijklmnop": true, "pass-word": true, "abcdefg1": true,
	} {
		if got := Maskable(text); got != want {
			t.Errorf("Maskable(%q) = %v", text, got)
		}
	}
}
