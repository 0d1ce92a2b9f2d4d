package source_test

import (
	"path/filepath"
	"testing"

	"github.com/tokenfetch/tokenfetch/pkg/source"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

func TestTempOf(t *testing.T) {
	temp, err := source.WriteTemp(filepath.Join(t.TempDir(), "profiles.toml"), nil)
	check.OK(t, err)
	for name, want := range map[string]string{
		filepath.Base(temp):      "profiles.toml",
		"a.0123456789abcdef.tmp": "a",
	} {
		if target, ok := source.TempOf(name); !ok || target != want {
			t.Errorf("%s: %q, %v; want %q", name, target, ok, want)
		}
	}
	for _, name := range []string{"", ".tmp", "a.tmp", "a.0123456789abcde.tmp", "a.0123456789abcdeg.tmp", "a.0123456789abcdef", "0123456789abcdef.tmp", "a.0123456789abcdef.tmp.x"} {
		if target, ok := source.TempOf(name); ok {
			t.Errorf("%s is taken for a temporary file of %q", name, target)
		}
	}
}
