package profile_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// open loads a file that holds text.
func open(t *testing.T, text string) (*profile.File, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "profiles.toml")
	check.OK(t, os.WriteFile(path, []byte(text), 0o600))
	return profile.Load(t.Context(), path, profile.Options{})
}

// saved saves a file and returns what it holds then.
func saved(t *testing.T, f *profile.File) string {
	t.Helper()
	check.OK(t, f.Save())
	data, err := os.ReadFile(f.Path)
	check.OK(t, err)
	return string(data)
}

func TestWith(t *testing.T) {
	set := []profile.Setting{{Key: "username", Text: "new"}, {Key: "base_url"}, {Key: "password", File: "secrets/p"}}
	const lines = "username = \"new\"\npassword = { file = \"secrets/p\" }\n"
	const commented = "username = \"new\" # c\npassword = { file = \"secrets/p\" }\n"
	const table = "[mpay.ci]\n# note\n" + lines
	for name, test := range map[string]struct{ before, after string }{
		"an empty file":              {"", table},
		"a byte order mark":          {"\xef\xbb\xbf", "\xef\xbb\xbf" + table},
		"behind another":             {"[mpay.x]\n", "[mpay.x]\n\n" + table},
		"behind a blank line":        {"# a\n\n", "# a\n\n" + table},
		"behind a line not ended":    {"# a", "# a\n\n" + table},
		"line ends of Windows":       {"[mpay.x]\r\n", "[mpay.x]\r\n\r\n" + strings.ReplaceAll(table, "\n", "\r\n")},
		"a table with nothing":       {"[mpay.ci]", "[mpay.ci]\n" + lines},
		"a key of several lines":     {"[mpay.ci]\nusername = \"\"\"\na\nb\"\"\"\n# end\n", "[mpay.ci]\n" + lines + "# end\n"},
		"a key that goes":            {"[mpay.ci]\nbase_url = \"https://a.example\"\n[x]\n", "[mpay.ci]\n" + lines + "[x]\n"},
		"a dotted key":               {"[mpay.ci]\npassword.env = \"X\"\n", "[mpay.ci]\npassword = { file = \"secrets/p\" }\nusername = \"new\"\n"},
		"a table below":              {"[mpay.ci]\n[mpay.ci.password]\nenv = \"X\"\n[x]\n", "[mpay.ci]\n" + lines + "[x]\n"},
		"a table below, but before":  {"[mpay.ci.password]\ncommand = [\n  \"a\", # b\n]\n\n[mpay.ci]\nusername = 'u' # c\n", "\n[mpay.ci]\n" + commented},
		"a comment behind a key":     {"[mpay.ci]\nusername = \"#\" # c\npassword = { command = [\n'#', # a\n] }\t# b", "[mpay.ci]\nusername = \"new\" # c\npassword = { file = \"secrets/p\" }\t# b\n"},
		"a comment and its line end": {"[mpay.ci]\r\nusername = 1# c\r\n", "[mpay.ci]\r\n" + strings.ReplaceAll(strings.Replace(commented, " # c", "# c", 1), "\n", "\r\n")},
		"quoted names":               {"[ \"mpay\" . 'ci' ]\n\tusername = 1", "[ \"mpay\" . 'ci' ]\n\t" + lines},
	} {
		t.Run(name, func(t *testing.T) {
			file, err := open(t, test.before)
			check.OK(t, err)
			next, err := file.With("mpay", "ci", set, "note")
			check.OK(t, err)
			if diff := cmp.Diff(test.after, saved(t, next)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestWithSources writes where a value is instead of the value.
func TestWithSources(t *testing.T) {
	file, err := open(t, "")
	check.OK(t, err)
	next, err := file.With("mpay", "ci", []profile.Setting{
		{Key: "username", Env: "A\"B"}, {Key: "password", Command: []string{"op", "read", `a\b "c"`}},
	}, "")
	check.OK(t, err)
	const want = "[mpay.ci]\nusername = { env = \"A\\\"B\" }\npassword = { command = [\"op\", \"read\", \"a\\\\b \\\"c\\\"\"] }\n"
	if diff := cmp.Diff(want, saved(t, next)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWithCacheKey(t *testing.T) {
	const table, line = "[tokenfetch]\n", "cache_key = { file = \"secrets/k\" }\n"
	for name, test := range map[string]struct{ before, after string }{
		"an empty file":          {"", table + line},
		"behind a profile":       {"[mpay.x]\n", "[mpay.x]\n\n" + table + line},
		"behind a line no end":   {"# a", "# a\n\n" + table + line},
		"line ends of Windows":   {"[mpay.x]\r\n", "[mpay.x]\r\n\r\n" + strings.ReplaceAll(table+line, "\n", "\r\n")},
		"a table with nothing":   {"[tokenfetch] # ours", "[tokenfetch] # ours\n" + line},
		"a table before another": {"\xef\xbb\xbf# a\n" + table + "# b\n[mpay.x]\n", "\xef\xbb\xbf# a\n" + table + line + "# b\n[mpay.x]\n"},
	} {
		t.Run(name, func(t *testing.T) {
			file, err := open(t, test.before)
			check.OK(t, err)
			next, err := file.WithCacheKey("secrets/k")
			check.OK(t, err)
			if diff := cmp.Diff(test.after, saved(t, next)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if want := filepath.Join(filepath.Dir(file.Path), "secrets/k"); next.CacheKey == nil || next.CacheKey.File != want {
				t.Errorf("the key is %+v, want the file %s", next.CacheKey, want)
			}
		})
	}
	file, err := open(t, "tokenfetch = {}\n")
	check.OK(t, err)
	if _, err := file.WithCacheKey("secrets/k"); err == nil {
		t.Error("an inline table was changed")
	}
}

func TestWithout(t *testing.T) {
	for name, test := range map[string]struct{ before, after string }{
		"the only one":   {"[mpay.ci]\nusername = \"a\"\n", ""},
		"not there":      {"# a\n[mpay.x]", "# a\n[mpay.x]"},
		"between others": {"# a\n[mpay.x]\n\n# b\n[mpay.ci] # c\n# d\nusername = \"a\" # e\n\n# f\n[mpay.y]\n", "# a\n[mpay.x]\n\n# b\n\n# f\n[mpay.y]\n"},
		"with tables below": {
			"[mpay.ci.password]\nenv = \"X\"\n[mpay.x]\n[mpay.ci]\n[mpay.y]\n[mpay.ci.username]\nenv = \"Y\"\n# z",
			"[mpay.x]\n[mpay.y]\n# z",
		},
		"a byte order mark":  {"\xef\xbb\xbf[mpay.ci]\n[mpay.x]\n", "\xef\xbb\xbf[mpay.x]\n"},
		"the same elsewhere": {"[zeepay.ci]\n[mpay.ci]\n[mpay.ci-2]\n", "[zeepay.ci]\n[mpay.ci-2]\n"},
	} {
		t.Run(name, func(t *testing.T) {
			file, err := open(t, test.before)
			check.OK(t, err)
			next, err := file.Without("mpay", "ci")
			check.OK(t, err)
			if diff := cmp.Diff(test.after, saved(t, next)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestNotEditable: a form that cannot be changed without touching others is
// refused.
func TestNotEditable(t *testing.T) {
	for name, text := range map[string]string{
		"an inline table":           "[mpay]\nci = { username = \"a\" }\n",
		"an inline table of all":    "mpay = { ci = { username = \"a\" } }\n",
		"dotted keys":               "mpay.ci.username = \"a\"\n",
		"dotted keys below a table": "[mpay]\nci.username = \"a\"\n",
		"only tables below":         "[mpay.ci.username]\nenv = \"A\"\n",
	} {
		t.Run(name, func(t *testing.T) {
			file, err := open(t, text)
			check.OK(t, err)
			const want = "the profile is not written as a table [mpay.ci] of its own, so that it cannot be changed here"
			if _, err := file.With("mpay", "ci", []profile.Setting{{Key: "username", Text: "b"}}, ""); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("With: %v", err)
			}
			if _, err := file.Without("mpay", "ci"); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("Without: %v", err)
			}
		})
	}
	file, err := open(t, "mpay = { x = { username = \"a\" } }\n")
	check.OK(t, err)
	if _, err := file.With("mpay", "ci", []profile.Setting{{Key: "username", Text: "b"}}, ""); err == nil || !strings.Contains(err.Error(), "cannot be changed here") {
		t.Errorf("appended to a closed table: %v", err)
	}
}
