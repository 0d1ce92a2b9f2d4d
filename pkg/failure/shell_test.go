package failure_test

import (
	"testing"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
)

func TestCommandLine(t *testing.T) {
	for want, argv := range map[string][]string{
		"op read op://vault/item":          {"op", "read", "op://vault/item"},
		`sh -c 'echo "a b"' '' 'it'\''s'`:  {"sh", "-c", `echo "a b"`, "", "it's"},
		`cat '/tmp/my file' '~/x' '$HOME'`: {"cat", "/tmp/my file", "~/x", "$HOME"},
		`'a;b' 'a*' '{a}' a 'C:\Users\me'`: {"a;b", "a*", "{a}", "a", `C:\Users\me`},
		"":                                 nil,
	} {
		if got := failure.CommandLine(argv); got != want {
			t.Errorf("CommandLine(%q) = %s, want %s", argv, got, want)
		}
	}
}
