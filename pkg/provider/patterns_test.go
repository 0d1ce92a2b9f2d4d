package provider

import (
	"regexp"
	"strings"
	"testing"
)

// words calls f with every text of up to four of the letters, and with long ones.
func words(f func(string)) {
	const letters = "aZ9-._~/% \n\x00\xc3"
	var grow func(text string, n int)
	grow = func(text string, n int) {
		f(text)
		for i := 0; n > 0 && i < len(letters); i++ {
			grow(text+letters[i:i+1], n-1)
		}
	}
	grow("", 4)
	for n := 60; n < 66; n++ {
		long := strings.Repeat("a", n)
		f(long)
		f(long + "-")
		f("-" + long)
		f(long + "\n")
		f("/" + long + "/../" + long)
	}
}

// TestPatterns holds the checks to the patterns that messages name.
func TestPatterns(t *testing.T) {
	label := regexp.MustCompile(`\A(?:` + LabelPattern + `)\z`)
	path := regexp.MustCompile(`\A(/[A-Za-z0-9._~-]+)+\z`)
	checked := 0
	words(func(text string) {
		checked++
		if got, want := validLabel(text), label.MatchString(text); got != want {
			t.Errorf("the label %q: %v, want %v", text, got, want)
		}
		want := path.MatchString(text) && !strings.Contains(text+"/", "/./") && !strings.Contains(text+"/", "/../")
		if got := plainPath(text); got != want {
			t.Errorf("the path %q: %v, want %v", text, got, want)
		}
	})
	if checked < 20_000 {
		t.Errorf("only %d texts", checked)
	}
}
