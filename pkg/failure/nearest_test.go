package failure_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
)

func TestNearest(t *testing.T) {
	for _, test := range []struct{ word, known, want string }{
		{"zeepya", "abbeycross enkash fincode mpay zeepay", "zeepay"},
		{"zeepay", "abbeycross enkash fincode mpay zeepay", "zeepay"},
		{"ZEEPAY", "zeepay", "zeepay"},
		{"Zee_Pay", "zeepay", "zeepay"},
		{"client-secret", "client_id client_secret", "client_secret"},
		{"clientids", "client_id client_secret", "client_id"},
		{"baseurl", "base_url ca_file", "base_url"},
		{"--profile", "profile", "profile"},

		// At most a third of the known word, rounded down.
		{"ab", "abc", "abc"},
		{"a", "abc", ""},
		{"abcd", "abc", "abc"},
		{"abcde", "abc", ""},
		{"xbcde", "abcde", "abcde"},
		{"xycde", "abcde", ""},
		{"xycdef", "abcdef", "abcdef"},
		{"xyzdef", "abcdef", ""},
		{"a-b", "a_b", ""}, // two letters
		{"ci", "ci", ""},
		{"cj", "ci", ""},
		{"prof", "profile", ""},
		{"", "abc abcdef", ""},
		{"-_-", "abc", ""},
		{"abc", "", ""},

		// A swap of two neighbours is one edit, and nothing is edited twice.
		{"tset", "test", "test"},
		{"claer", "clear", "clear"},
		{"bac", "abc", "abc"},
		{"cab", "abc", ""},
		{"bcadef", "abcdef", "abcdef"},

		// Two that are equally near.
		{"bsh", "bash zsh", ""},
		{"cod", "code node", "code"},
		{"ode", "code node", ""},
		{"tesd", "test tess", ""},
		{"tesd", "test test", "test"},
		{"test", "TEST te-st", ""},
		{"tesd", "test tess tesd", "tesd"},
		{"abcdeg", "abcdefgh abcdef", "abcdef"},
		{"abcd", "abc ab-cd-ef", "abc"},
		{"abdcef", "abcdef ab", "abcdef"},

		// A letter is one of any script.
		{"mueller", "müller", "müller"},
		{"muller", "müller", "müller"},
		{"ÄÖÜ", "äöü", "äöü"},
		{"pay\xffs", "pays", "pays"},
	} {
		if got := failure.Nearest(test.word, strings.Fields(test.known)); got != test.want {
			t.Errorf("Nearest(%q, %s) = %q, want %q", test.word, test.known, got, test.want)
		}
	}
}

func TestNearestVariable(t *testing.T) {
	known := []string{"APP_CLIENT_SECRET", "OURS_CONFIG", "OURS_ZEEPAY_CLIENT_ID", "OURS_ZEEPAY_USERNAME", "OURS_MPAY_USERNAME"}
	for _, test := range []struct {
		name     string
		prefixes []string
		want     string
	}{
		{"OURS_ZEEPAY_USRNAME", []string{"OURS_ZEEPAY_", "OURS_"}, "OURS_ZEEPAY_USERNAME"},
		{"OURS_ZEEPAY_PASSWORD", []string{"OURS_ZEEPAY_", "OURS_"}, ""},
		{"OURS_ZEEPAY_CLIENT_NO", []string{"OURS_ZEEPAY_", "OURS_"}, "OURS_ZEEPAY_CLIENT_ID"},
		{"OURS_MPAY_CLIENT_ID", []string{"OURS_MPAY_"}, ""},
		{"OURS_MPAY_CLIENT_ID", []string{"OURS_MPAY_", "OURS_"}, "OURS_ZEEPAY_CLIENT_ID"},
		{"OURS_MPAY_USRNAME", []string{"OURS_ZEEPAY_"}, ""},
		{"OURS_CONFG", []string{"OURS_ZEEPAY_", "OURS_"}, "OURS_CONFIG"},
		{"OURS_NO", []string{"OURS_"}, ""},
		{"APP_CLIENT_ID", []string{"APP_", ""}, ""},
		{"PAP_CLIENT_SECRET", []string{"PAP_", ""}, "APP_CLIENT_SECRET"},
		{"OURS_CONFIG", nil, ""},
	} {
		if got := failure.NearestVariable(test.name, known, test.prefixes...); got != test.want {
			t.Errorf("NearestVariable(%q, %q) = %q, want %q", test.name, test.prefixes, got, test.want)
		}
	}
}

func TestSuggest(t *testing.T) {
	e := failure.New(failure.UnknownCommand, "unknown")
	for _, test := range []struct{ hint, near, want string }{
		{"the providers are a, b", "a", "did you mean a? the providers are a, b"},
		{"", "100%", "did you mean 100%?"},
		{"the providers are a, b", "", "the providers are a, b"},
	} {
		if got := e.WithHint("%s", test.hint).Suggest(test.near).Hint; got != test.want {
			t.Errorf("Suggest(%q) hints %q, want %q", test.near, got, test.want)
		}
	}
}

// FuzzNearest: what is suggested is known, near enough, and the only one as near.
func FuzzNearest(f *testing.F) {
	f.Add("zeepya", "zeepay", "mpay")
	f.Add("bsh", "bash", "zsh")
	f.Add("a-b\xff", "A_B", "äöü")
	f.Add("", "abc", "")
	f.Fuzz(func(t *testing.T, word, a, b string) {
		near := failure.Nearest(word, []string{a, b})
		if near != "" && near != a && near != b {
			t.Errorf("%q is suggested, which is not known", near)
		}
		if other := failure.Nearest(word, []string{b, a}); other != near {
			t.Errorf("%q is suggested in one order, %q in the other", near, other)
		}
		alone := [2]string{failure.Nearest(word, []string{a}), failure.Nearest(word, []string{b})}
		if near != "" && !slices.Contains(alone[:], near) {
			t.Errorf("%q is suggested among others, and not alone", near)
		}
		if (alone[0] == "") != (alone[1] == "") && near != alone[0]+alone[1] {
			t.Errorf("of %q only one is near, and %q is suggested", alone, near)
		}
		fold := func(s string) string { return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(s)) }
		if enough := len([]rune(fold(a))) >= 3; enough != (failure.Nearest(a, []string{a}) == a && a != "") {
			t.Errorf("%q itself is suggested: %v", a, !enough)
		}
		if failure.Nearest(a, []string{a, b}) == b && a != b && len([]rune(fold(a))) >= 3 {
			t.Errorf("%q is known, and %q is suggested for it", a, b)
		}
		if x, y := []rune(fold(word)), []rune(fold(a)); len(x) == len(y) {
			there, back := failure.Nearest(word, []string{a}), failure.Nearest(a, []string{word})
			if (there == "") != (back == "") {
				t.Errorf("%q is near %q one way only", word, a)
			}
		}
	})
}
