package secret_test

import (
	"encoding/base64"
	"encoding/hex"
	"html"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// nasty needs escaping in every encoding. How it looks in each was written by
// programs that share nothing with this one.
const nasty = `p&w"o'r <d/é😀+~!`

// echoes are what is cut out, each named after its encoding in SECURITY.md.
var echoes = map[string]string{
	"as it is":                 nasty,
	"form-encoded":             `p%26w%22o%27r+%3Cd%2F%C3%A9%F0%9F%98%80%2B~%21`,
	"form-encoded: lower case": `p%26w%22o%27r+%3cd%2f%c3%a9%f0%9f%98%80%2b~%21`,
	"percent-encoded, whichever characters are escaped: every byte":             `%70%26%77%22%6F%27%72%20%3C%64%2F%C3%A9%F0%9F%98%80%2B%7E%21`,
	"percent-encoded, whichever characters are escaped: every byte, lower case": `%70%26%77%22%6f%27%72%20%3c%64%2f%c3%a9%f0%9f%98%80%2b%7e%21`,
	"in hexadecimal":                                                       `702677226f2772203c642fc3a9f09f98802b7e21`,
	"in hexadecimal: upper case":                                           `702677226F2772203C642FC3A9F09F98802B7E21`,
	"escaped for JSON: Go":                                                 `p\u0026w\"o'r \u003cd/é😀+~!`,
	"escaped for HTML and XML: Go, Java":                                   `p&amp;w&#34;o&#39;r &lt;d/é😀+~!`,
	"quoted for a POSIX shell or PowerShell: sh":                           `p&w"o'\''r <d/é😀+~!`,
	"quoted for a POSIX shell or PowerShell: shlex":                        `p&w"o'"'"'r <d/é😀+~!`,
	"quoted for a POSIX shell or PowerShell: PowerShell":                   `p&w"o''r <d/é😀+~!`,
	"as it is: other case":                                                 strings.ToUpper(`p&w"o'r <d/`) + `é😀+~!`,
	"in Base64 and Base64url, wherever in the encoded text: offset 0":      `cCZ3Im8nciA8ZC/DqfCfmIArfi`,
	"in Base64 and Base64url, wherever in the encoded text: offset 1":      `AmdyJvJ3IgPGQvw6nwn5iAK34h`,
	"in Base64 and Base64url, wherever in the encoded text: offset 2":      `wJncibydyIDxkL8Op8J+YgCt+I`,
	"in Base64 and Base64url, wherever in the encoded text: url, offset 0": `cCZ3Im8nciA8ZC_DqfCfmIArfi`,
	"in Base64 and Base64url, wherever in the encoded text: url, offset 2": `wJncibydyIDxkL8Op8J-YgCt-I`,
}

// otherEchoes are cut out, or hidden with all of the text: encoders differ in what
// they escape.
var otherEchoes = map[string]string{
	"percent-encoded, whichever characters are escaped: rawurlencode":       `p%26w%22o%27r%20%3Cd%2F%C3%A9%F0%9F%98%80%2B~%21`,
	"percent-encoded, whichever characters are escaped: encodeURIComponent": `p%26w%22o'r%20%3Cd%2F%C3%A9%F0%9F%98%80%2B~!`,
	"form-encoded: some escaped":                                            `p%26w"o'r+<d%2Fé😀%2B~!`,
	"escaped for JSON: PHP":                                                 `p&w\"o'r <d\/\u00e9\ud83d\ude00+~!`,
	"escaped for JSON: Python":                                              `p&w\"o'r <d/\u00e9\ud83d\ude00+~!`,
	"escaped for JSON: JavaScript":                                          `p&w\"o'r <d/é😀+~!`,
	"escaped for JSON: upper case":                                          `p&w\"o'r <d/\u00E9\uD83D\uDE00+~!`,
	"escaped for JSON: all escaped":                                         `\u0070\u0026\u0077\u0022\u006f\u0027\u0072\u0020\u003c\u0064\u002f\u00e9\ud83d\ude00\u002b\u007e\u0021`,
	"escaped for HTML and XML: Python":                                      `p&amp;w&quot;o&#x27;r &lt;d/é😀+~!`,
	"escaped for HTML and XML: PHP":                                         `p&amp;w&quot;o&#039;r &lt;d/é😀+~!`,
	"escaped for HTML and XML: XML":                                         `p&amp;w&quot;o&apos;r &lt;d/é😀+~!`,
	"escaped for HTML and XML: numbers":                                     `&#112;&#38;&#119;&#34;&#111;&#39;&#114;&#32;&#60;&#100;&#47;&#233;&#128512;&#43;&#126;&#33;`,
	"quoted for a POSIX shell or PowerShell: backslashes":                   `p\&w\"o\'r\ \<d/é😀+~\!`,
}

func TestRedactEveryEncoding(t *testing.T) {
	for name, echo := range echoes {
		if got, want := secret.Redact("he said <"+echo+"> to me", secret.New(nasty)), "he said <[hidden]> to me"; got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for name, echo := range otherEchoes {
		if got := secret.Redact("he said <"+echo+"> to me", secret.New(nasty)); got != "[hidden]" && got != "he said <[hidden]> to me" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestSecurityListsEveryEncoding: the list in SECURITY.md is what is tested here.
func TestSecurityListsEveryEncoding(t *testing.T) {
	text, err := os.ReadFile("../../SECURITY.md")
	check.OK(t, err)
	prose := strings.Join(strings.Fields(string(text)), " ")
	_, list, _ := strings.Cut(prose, "are known in these encodings, in upper and lower case: ")
	list, _, _ = strings.Cut(list, ". In any other form")
	listed := map[string]bool{}
	for item := range strings.SplitSeq(list, "; ") {
		item, _, _ = strings.Cut(item, " (")
		listed[item] = true
	}
	tested := map[string]bool{}
	for _, table := range []map[string]string{echoes, otherEchoes} {
		for name := range table {
			encoding, _, _ := strings.Cut(name, ": ")
			tested[encoding] = true
		}
	}
	check.Same(t, "(-tested +listed)", tested, listed)
}

// TestRedactBasic: the secret of a Basic pair stands behind an id of any length.
func TestRedactBasic(t *testing.T) {
	const password = "0123456789-password"
	for _, id := range []string{"", "a", "ab", "abc", "client-id"} {
		for name, encoding := range map[string]*base64.Encoding{"std": base64.StdEncoding, "url": base64.URLEncoding, "raw": base64.RawStdEncoding} {
			echo := encoding.EncodeToString([]byte(id + ":" + password))
			got := secret.Redact("Basic "+echo+" is wrong", secret.New(password))
			if !strings.HasPrefix(got, "Basic ") || !strings.HasSuffix(got, " is wrong") || !strings.Contains(got, "[hidden]") {
				t.Errorf("id %q, %s: %q", id, name, got)
			}
			// At most the characters that also hold bits of what stands around it.
			if rest := len(got) - len("Basic [hidden] is wrong"); rest > (len(id)+1)*4/3+1+4 {
				t.Errorf("id %q, %s: %d characters of the pair are left: %q", id, name, rest, got)
			}
		}
	}
}

func TestRedact(t *testing.T) {
	tests := []struct {
		name, text string
		secrets    []string
		want       string
	}{
		{"nothing to hide", "a plain text", nil, "a plain text"},
		{"not there", "a plain % + & \\ text", []string{"hunter22"}, "a plain % + & \\ text"},
		{"empty text", "", []string{"hunter22"}, ""},
		{"empty secret", "a text", []string{""}, "a text"},
		{"zero value beside one", "a hunter22", []string{"", "hunter22"}, "a [hidden]"},
		{"all of the text", "hunter22", []string{"hunter22"}, "[hidden]"},
		{"twice", "hunter22 and hunter22", []string{"hunter22"}, "[hidden] and [hidden]"},
		{"end to end", "hunter22hunter22", []string{"hunter22"}, "[hidden][hidden]"},
		{"two secrets", "a hunter22 b letmein99 c", []string{"hunter22", "letmein99"}, "a [hidden] b [hidden] c"},
		{"one inside the other", "a hunter22-long b hunter22 c", []string{"hunter22", "hunter22-long"}, "a [hidden] b [hidden] c"},
		{"shortest that is cut out", "a hunt22 b", []string{"hunt22"}, "a [hidden] b"},
		{"short", "a hunt2 b", []string{"hunt2"}, "[hidden]"},
		{"short, other case", "a HUNT2 b", []string{"hunt2"}, "[hidden]"},
		{"short, in hex", "a 68756e7432 b", []string{"hunt2"}, "[hidden]"},
		{"short, in percent", "a %68%75%6e%74%32 b", []string{"hunt2"}, "[hidden]"},
		{"short, some escaped", "a h%75nt2 b", []string{"hunt2"}, "[hidden]"},
		{"short, not there", "a text", []string{"hunt2"}, "a text"},
		{"one byte", "a text", []string{"x"}, "[hidden]"},
		{"one byte, not there", "a text", []string{"y"}, "a text"},
		{"short beside a long one", "hunter22 and x", []string{"hunter22", "x"}, "[hidden]"},
		{"text that is not UTF-8", "\xff\xfehunter22\xc3", []string{"hunter22"}, "\xff\xfe[hidden]\xc3"},
		{"secret that is not UTF-8", "a \xffhunter\xfe b", []string{"\xffhunter\xfe"}, "a [hidden] b"},
		{"letters beyond ASCII keep their place", "İİİ hunter22 İ", []string{"hunter22"}, "İİİ [hidden] İ"},
		{"lone escapes", "% %2 %zz \\ & &amp; \\u12 hunter22 \\", []string{"hunter22"}, "% %2 %zz \\ & &amp; \\u12 [hidden] \\"},
		{"like what hides it", "the word hidden", []string{"hidden"}, "the word [hidden]"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var secrets []secret.Value
			for _, s := range test.secrets {
				secrets = append(secrets, secret.New(s))
			}
			if got := secret.Redact(test.text, secrets...); got != test.want {
				t.Errorf("Redact(%q, %q) = %q, want %q", test.text, test.secrets, got, test.want)
			}
		})
	}
	if got := secret.Redact("a text", secret.Value{}); got != "a text" {
		t.Errorf("with the zero Value: %q", got)
	}
}

// encoders are ways to echo a secret.
var encoders = map[string]func(string) string{
	"raw":   func(s string) string { return s },
	"upper": func(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) },
	"hex":   func(s string) string { return hex.EncodeToString([]byte(s)) },
	"form":  url.QueryEscape,
	"path":  url.PathEscape,
	"html":  html.EscapeString,
	"sh":    func(s string) string { return strings.ReplaceAll(s, "'", `'\''`) },
	"basic": func(s string) string { return base64.StdEncoding.EncodeToString([]byte("id:" + s)) },
	"url64": func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) },
}

// FuzzRedact: the secret never stands in the result, however it was encoded.
func FuzzRedact(f *testing.F) {
	f.Add("he said ", "hunter22", " to me")
	f.Add("%25", nasty, "&amp;")
	f.Add("\xff", "\\u0041+", "\\")
	f.Add("Basic ", "x", "=")
	f.Fuzz(func(t *testing.T, before, raw, after string) {
		// A secret that can arise from [hidden] and its neighbours says nothing.
		if raw == "" || strings.ContainsAny(raw, "[]") || strings.Contains("[hidden]", strings.ToLower(raw)) {
			return
		}
		for name, encode := range encoders {
			echo := encode(raw)
			if (name == "basic" || name == "url64") && len(raw) < 6 {
				continue // too short to be known in base64
			}
			got := secret.Redact(before+echo+after, secret.New(raw))
			if strings.Contains(got, raw) || strings.Contains(got, echo) && !strings.Contains("[hidden]", strings.ToLower(echo)) {
				t.Errorf("Redact(%q) of %q as %s holds it: %q", before+echo+after, raw, name, got)
			}
			if got == before+echo+after {
				t.Errorf("Redact(%q) of %q as %s hides nothing", got, raw, name)
			}
		}
		if text := before + after; secret.Redact(text) != text {
			t.Errorf("without a secret %q becomes %q", text, secret.Redact(text))
		}
	})
}
