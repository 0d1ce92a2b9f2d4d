package cmd

import (
	"testing"

	"github.com/tokenfetch/tokenfetch/pkg/secret"
)

// TestOwn: a secret that is a common word is not hidden in a text of ours, and one that
// is too short to be cut out replaces the text.
func TestOwn(t *testing.T) {
	const text, instead = "zeepay refused the password", "something else"
	for _, test := range []struct{ secret, own, safe string }{
		{"PASSWORD", text, "zeepay refused the [hidden]"},
		{"password of mine", text, text},
		{"refused", "zeepay [hidden] the password", "zeepay [hidden] the password"},
		{"the", instead, "[hidden]"},
		{"pay", instead, "[hidden]"},
	} {
		c := console{secrets: []secret.Value{secret.New(test.secret)}, common: []string{"password", "zeepay"}}
		if got := c.own(text, 100, instead); got != test.own {
			t.Errorf("with %q our own text is %q, want %q", test.secret, got, test.own)
		}
		if got := c.safe(text, 100); got != test.safe {
			t.Errorf("with %q another's text is %q, want %q", test.secret, got, test.safe)
		}
	}
}
