package cmd

import (
	"strings"
	"testing"
)

func TestFold(t *testing.T) {
	for _, c := range []struct {
		text                string
		used, indent, width int
		want                string
	}{
		{"one two three", 0, 0, 0, "one two three"},
		{"one two three", 0, 0, 13, "one two three"},
		{"one two three", 0, 0, 12, "one two\nthree"},
		{"one two three", 4, 2, 11, "one two\n  three"},
		{"one  two", 0, 0, 8, "one  two"},
		{"one  two", 0, 2, 7, "one\n  two"},
		{"https://provider.example/token", 6, 2, 20, "https://provider.example/token"},
		{"see https://provider.example/token now", 6, 2, 20, "see\n  https://provider.example/token\n  now"},
		{"provider.example", 6, 2, 20, "\n  provider.example"},
		{"a word ::error::x", 0, 2, 8, "a word ::error::x"},
		{"", 4, 2, 8, ""},
	} {
		if got := fold(c.text, c.used, c.indent, c.width); got != c.want {
			t.Errorf("%q at %d of %d: %q, want %q", c.text, c.used, c.width, got, c.want)
		}
	}
}

// FuzzFold: the words are the same, and a line is too long only where it is one word
// or goes on with "::".
func FuzzFold(f *testing.F) {
	f.Add("an error of the keychain: it is locked  now", 19, 12, 40)
	f.Add("::a  ::b c", 0, 4, 40)
	f.Fuzz(func(t *testing.T, text string, used, indent, width int) {
		if strings.ContainsAny(text, "\n\r\t\v\f") || used < 0 || used > 40 || indent < 0 || indent > 20 || width < minColumns || width > maxColumns {
			t.Skip()
		}
		got := fold(text, used, indent, width)
		if strings.ReplaceAll(strings.ReplaceAll(got, "\n", " "), " ", "") != strings.ReplaceAll(text, " ", "") {
			t.Fatalf("%q became %q", text, got)
		}
		for n, line := range strings.Split(got, "\n") {
			words := strings.Fields(line)
			long := len(strings.TrimRight(line, " "))
			if n == 0 {
				long += used
			} else if !strings.HasPrefix(line, strings.Repeat(" ", indent)) || strings.HasPrefix(strings.TrimLeft(line, " "), "::") {
				t.Errorf("line %q", line)
			}
			if long > width && len(words) > 1 && !strings.Contains(line, "::") {
				t.Errorf("%d columns of %d: %q", long, width, line)
			}
		}
	})
}
