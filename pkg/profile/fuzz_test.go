package profile

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzWith: what was written reads back; what was there before is a prefix of it
// where a table is appended; and the others are as they were, with the table and
// when it is taken out again. A file that cannot be changed is an error.
func FuzzWith(f *testing.F) {
	for _, text := range []string{
		"", "# a", "[mpay.x]\r\n", "[mpay.ci]\nusername = 'a'\n[mpay.ci.password]\nenv = \"X\"", "mpay.ci.username = \"a\"",
		"[mpay]\nci = { username = \"a\" }", "\xef\xbb\xbf[mpay.ci]\npassword.env = \"X\" # c\n\n[[x]]\na = [\n1, # b\n]\n",
		"[mpay.ci]\nusername = '''\n[mpay.ci]\n'''\n",
	} {
		f.Add(text, "ops", "p w")
	}
	f.Add("", "a\"b\\c\x1b\x7f\u202e'{}#", "\t=\u0085[x]")
	fields := []Field{{Name: "username"}, {Name: "password", Secret: true}}
	f.Fuzz(func(t *testing.T, text, username, path string) {
		// What login lets through; a path is one of ours.
		for _, value := range []string{username, path} {
			if value == "" || len(value) > 8<<10 || strings.ContainsAny(value, "\x00\r\n") || !utf8.ValidString(value) {
				t.Skip()
			}
		}
		load := func(text []byte) (*File, *Profile, error) {
			file := &File{Path: "/dir/profiles.toml"}
			if err := file.take(text); err != nil {
				return nil, nil, err
			}
			p, err := file.Profile("mpay", "ci", fields)
			return file, p, err
		}
		file, before, err := load([]byte(text))
		if err != nil {
			t.Skip()
		}
		next, err := file.With("mpay", "ci", []Setting{{Key: "username", Text: username}, {Key: "password", File: path}}, "note")
		if err != nil {
			return
		}
		data := next.raw
		if before == nil && !strings.HasPrefix(string(data), text) {
			t.Fatalf("%q does not begin with %q", data, text)
		}
		again, after, err := load(data)
		if err != nil || after == nil {
			t.Fatalf("%v: %q", err, data)
		}
		want := path
		if !filepath.IsAbs(path) {
			want = filepath.Join("/dir", path)
		}
		if got := after.Fields["username"].Text; got == nil || got.Reveal() != username || after.Fields["password"].File != want {
			t.Fatalf("%q reads back as %v, %q", data, got, after.Fields["password"].File)
		}
		others := slices.DeleteFunc(file.Names("mpay"), func(n string) bool { return n == "ci" })
		out, err := again.Without("mpay", "ci")
		if err != nil {
			t.Fatalf("%v: %q", err, data)
		}
		if got := out.Names("mpay"); !slices.Equal(got, others) {
			t.Fatalf("%q are left, want %q", got, others)
		}
	})
}
