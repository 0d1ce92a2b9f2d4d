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
	// Flags of provider add, which has none of fields; [oauth2] makes fields of both.
	exempt := []string{"scope", "audience"}
	flags = slices.DeleteFunc(flags, func(name string) bool { return fields[name] || slices.Contains(exempt, name) })
	slices.Sort(flags)
	flags = slices.Compact(flags)
	if len(flags) < 30 {
		t.Fatalf("only the flags %q were found", flags)
	}
	for _, flag := range flags {
		name, secret := strings.CutSuffix(flag, "-file")
		name = strings.ReplaceAll(name, "-", "_")
		want := name + " is the name of a setting or flag of tokenfetch"
		if _, err := provider.Parse("acme.toml", withField(name, secret)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a field with the flag --%s: error %v, want %q; add it to the reserved names", flag, err, want)
		}
	}
	if _, err := provider.Parse("acme.toml", withField("merchant", false)); err != nil {
		t.Errorf("a field with a flag of its own: %v", err)
	}
}

// withField is a definition with one field.
func withField(name string, secret bool) []byte {
	return fmt.Appendf(nil, "[fields]\n%s = { secret = %v }\n[request]\nform = { member = \"{%s}\" }\n", name, secret, name)
}
