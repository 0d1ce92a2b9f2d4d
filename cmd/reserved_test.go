package cmd

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tokenfetch/tokenfetch/pkg/provider"
)

// TestNoFieldIsNamedLikeAFlag: a definition whose field would have the flag of
// any command is refused; cobra ends the program where a flag is defined twice.
func TestNoFieldIsNamedLikeAFlag(t *testing.T) {
	fields := map[string]bool{}
	for _, d := range builtins(t) {
		for _, f := range d.Fields {
			fields[f.Flag()] = true
		}
	}
	var flags []string
	var visit func(*cobra.Command)
	visit = func(c *cobra.Command) {
		for _, set := range []*pflag.FlagSet{c.Flags(), c.PersistentFlags()} {
			set.VisitAll(func(f *pflag.Flag) { flags = append(flags, f.Name) })
		}
		for _, below := range c.Commands() {
			visit(below)
		}
	}
	visit(wholeTree(t))
	flags = slices.DeleteFunc(flags, func(name string) bool { return fields[name] })
	slices.Sort(flags)
	flags = slices.Compact(flags)
	if len(flags) < 30 {
		t.Fatalf("only the flags %q were found", flags)
	}
	for _, flag := range flags {
		name, secret := strings.CutSuffix(flag, "-file")
		name = strings.ReplaceAll(name, "-", "_")
		_, err := provider.ParseAndCheck("acme.toml", []byte(withField(name, secret)))
		if want := fmt.Sprintf("acme.toml: field %q is the name of a setting", name); err == nil || err.Error() != want {
			t.Errorf("a field with the flag --%s: error %v, want %q; add it to the reserved names", flag, err, want)
		}
	}
	if _, err := provider.ParseAndCheck("acme.toml", []byte(withField("merchant", false))); err != nil {
		t.Errorf("a field with a flag of its own: %v", err)
	}
}

// withField is a definition with one field.
func withField(name string, secret bool) string {
	return fmt.Sprintf(`name = "acme"
title = "Acme"
docs = "https://docs.acme.example"
[[field]]
name = %q
help = "a field"
secret = %v
[request]
path = "/token"
encoding = "form"
body = [{ name = "member", field = %q }]
[reply]
token = ["access_token"]
[[example]]
name = "token"
status = 200
outcome = "token"
body = '{"access_token":"{token}"}'
`, name, secret, name)
}
