package provider_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// directory returns a catalog with a directory of definitions, and the files that
// were read.
func directory(t *testing.T, files map[string]string) (c *provider.Catalog, read *[]string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		check.OK(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	read = new([]string)
	return provider.NewCatalog(dir, func(path string) ([]byte, error) {
		*read = append(*read, filepath.Base(path))
		return os.ReadFile(path)
	}), read
}

const shortest = "[oauth2]\ntoken_url = \"https://acme.example/token\"\n"

func TestCatalogWithADirectory(t *testing.T) {
	c, read := directory(t, map[string]string{
		"acme.toml": "title = \"Acme\"\n" + shortest, "broken.toml": "x = 1\n", "mpay.toml": shortest,
		"Upper.toml": shortest, "login.toml": shortest, ".hidden.toml": shortest, "notes.txt": "x",
	})
	check.Same(t, "Names()", []string{"abbeycross", "acme", "broken", "enkash", "fincode", "mpay", "zeepay"}, c.Names())
	check.Same(t, "Stray()", []string{filepath.Join(c.Dir(), "Upper.toml"), filepath.Join(c.Dir(), "login.toml")}, c.Stray())
	for name, want := range map[string]bool{
		"acme": true, "broken": true, "mpay": true, "zeepay": true,
		"login": false, "Upper": false, "nobody": false, "": false, ".hidden": false, "../acme": false, "acme.toml": false,
	} {
		if c.Has(name) != want {
			t.Errorf("Has(%q) = %v", name, !want)
		}
	}
	if len(*read) > 0 {
		t.Errorf("read %q without being asked for a definition", *read)
	}
	for range 2 {
		if d, err := c.Definition("acme"); err != nil || d.Title != "Acme" || d.File != filepath.Join(c.Dir(), "acme.toml") {
			t.Errorf("acme: %+v, %v", d, err)
		}
		if d, err := c.Definition("zeepay"); err != nil || d.File != "" {
			t.Errorf("zeepay: %+v, %v", d, err)
		}
	}
	check.Same(t, "read", []string{"acme.toml"}, *read)
	for _, name := range []string{"broken", "mpay"} {
		if _, err := c.Definition(name); check.Failure(t, err).Code != failure.DefinitionInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"nobody", "login", "../acme", "Upper"} {
		if _, err := c.Definition(name); !errors.Is(err, provider.ErrUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if title := c.Title("broken"); title != "broken (its definition is broken: tokenfetch provider check "+filepath.Join(c.Dir(), "broken.toml")+")" {
		t.Errorf("the title of a broken one is %q", title)
	}
	all, broken := c.All()
	if len(all) != 5 || len(broken) != 2 || broken["broken"] == nil || broken["mpay"] == nil {
		t.Errorf("All() has %d, and broken %v", len(all), broken)
	}
}

// TestNoDirectory: a program without a home has the built-in providers.
func TestNoDirectory(t *testing.T) {
	for _, dir := range []string{"", filepath.Join(t.TempDir(), "none"), "/dev/null/none"} {
		c := provider.NewCatalog(dir, nil)
		if diff := cmp.Diff(provider.Builtin(), c.Names()); diff != "" || c.Has("acme") || c.Stray() != nil {
			t.Errorf("%q (-want +got):\n%s", dir, diff)
		}
		if _, err := c.Definition("zeepay"); err != nil {
			t.Errorf("%q: %v", dir, err)
		}
	}
}

// TestSecretVariablesOfADirectory: a definition is read only for a variable that may
// be one of its own, and nothing of a broken one goes to a child.
func TestSecretVariablesOfADirectory(t *testing.T) {
	c, read := directory(t, map[string]string{"acme.toml": shortest, "acme-test.toml": shortest, "broken.toml": "x", "other.toml": shortest})
	secret := c.SecretVariable()
	for _, name := range []string{"HOME", "TOKENFETCH_CONFIG", "TOKENFETCH_NOBODY_PASSWORD", "ACME_CLIENT_SECRET"} {
		if secret(name) {
			t.Errorf("%s is secret", name)
		}
	}
	if len(*read) > 0 {
		t.Errorf("read %q", *read)
	}
	for name, want := range map[string]bool{
		"TOKENFETCH_ACME_CLIENT_SECRET": true, "TOKENFETCH_ACME_CLIENT_SECRET_FILE": false, "TOKENFETCH_ACME_CLIENT_ID": false,
		"TOKENFETCH_ACME_TEST_CLIENT_SECRET": true, "TOKENFETCH_BROKEN_X": true, "TOKENFETCH_ZEEPAY_PASSWORD": true, "TOKENFETCH_ZEEPAY_USERNAME": false,
	} {
		if secret(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
	slices.Sort(*read)
	check.Same(t, "read", []string{"acme-test.toml", "acme.toml", "broken.toml"}, *read)
}

// TestConflict: two providers cannot share a variable.
func TestConflict(t *testing.T) {
	c, _ := directory(t, map[string]string{"acme-test.toml": shortest, "broken.toml": "x"})
	d := parsed(t, "[fields]\ntest_client_id = {}\n[request]\nform = { a = \"{test_client_id}\" }\n")
	if variable, other := c.Conflict(d); variable != "TOKENFETCH_ACME_TEST_CLIENT_ID" || other != "acme-test" {
		t.Errorf("%s of %s", variable, other)
	}
	d = parsed(t, "[fields]\ntest_client_id_ = {}\n[request]\nform = { a = \"{test_client_id_}\" }\n")
	if variable, other := c.Conflict(d); variable != "" || other != "" {
		t.Errorf("%s of %s", variable, other)
	}
	one, err := c.Definition("acme-test")
	check.OK(t, err)
	if variable, other := c.Conflict(one); variable != "" || other != "" {
		t.Errorf("%s of %s itself", variable, other)
	}
}
