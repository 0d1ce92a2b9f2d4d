package provider_test

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

func TestParseAddress(t *testing.T) {
	long := strings.Repeat(strings.Repeat("a", 63)+".", 3) + strings.Repeat("a", 61) // 253 characters
	tests := []struct {
		text   string
		want   provider.Address
		origin string
	}{
		{"https://host.example", provider.Address{"https", "host.example", "", ""}, "https://host.example:443"},
		{"https://host.example/", provider.Address{"https", "host.example", "", ""}, "https://host.example:443"},
		{"https://HOST.Example", provider.Address{"https", "host.example", "", ""}, "https://host.example:443"},
		{"https://host", provider.Address{"https", "host", "", ""}, "https://host:443"},
		{"https://host.example:443", provider.Address{"https", "host.example", "443", ""}, "https://host.example:443"},
		{"https://host.example:1", provider.Address{"https", "host.example", "1", ""}, "https://host.example:1"},
		{"https://host.example:65535/a", provider.Address{"https", "host.example", "65535", "/a"}, "https://host.example:65535"},
		{"https://host.example/api/v6/services", provider.Address{"https", "host.example", "", "/api/v6/services"}, "https://host.example:443"},
		{"https://host.example/api/v6/", provider.Address{"https", "host.example", "", "/api/v6"}, "https://host.example:443"},
		{"https://host.example/A.b_c~d-e/...", provider.Address{"https", "host.example", "", "/A.b_c~d-e/..."}, "https://host.example:443"},
		{"https://xn--bcher-kva.example", provider.Address{"https", "xn--bcher-kva.example", "", ""}, "https://xn--bcher-kva.example:443"},
		{"https://" + long, provider.Address{"https", long, "", ""}, "https://" + long + ":443"},
		{"https://192.0.2.1", provider.Address{"https", "192.0.2.1", "", ""}, "https://192.0.2.1:443"},
		{"https://[2001:DB8::1]:8443/x", provider.Address{"https", "[2001:db8::1]", "8443", "/x"}, "https://[2001:db8::1]:8443"},
		{"https://[::ffff:192.0.2.1]", provider.Address{"https", "[::ffff:192.0.2.1]", "", ""}, "https://[::ffff:192.0.2.1]:443"},
		{"http://localhost", provider.Address{"http", "localhost", "", ""}, "http://localhost:80"},
		{"http://LocalHost:8080/mpay", provider.Address{"http", "localhost", "8080", "/mpay"}, "http://localhost:8080"},
		{"http://127.0.0.1:8765/zeepay", provider.Address{"http", "127.0.0.1", "8765", "/zeepay"}, "http://127.0.0.1:8765"},
		{"http://127.255.255.254", provider.Address{"http", "127.255.255.254", "", ""}, "http://127.255.255.254:80"},
		{"http://[::1]", provider.Address{"http", "[::1]", "", ""}, "http://[::1]:80"},
		{"http://[::1]:8080", provider.Address{"http", "[::1]", "8080", ""}, "http://[::1]:8080"},
		{"https://localhost", provider.Address{"https", "localhost", "", ""}, "https://localhost:443"},
	}
	for _, test := range tests {
		got, err := provider.ParseAddress(test.text)
		if err != nil {
			t.Errorf("ParseAddress(%q): %v", test.text, err)
			continue
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("ParseAddress(%q) (-want +got):\n%s", test.text, diff)
		}
		if got.Origin() != test.origin {
			t.Errorf("the origin of %q is %q, want %q", test.text, got.Origin(), test.origin)
		}
		again, err := provider.ParseAddress(got.String())
		if err != nil || again != got {
			t.Errorf("ParseAddress(%q) gives %v, %v after String()", test.text, again, err)
		}
	}
}

// The rules that an address can break. No error says anything else.
const (
	noScheme      = "the base address must begin with https://"
	noCredentials = "the base address must not contain credentials"
	noQuery       = "the base address must have no query or fragment"
	noEscape      = "the base address must not contain % or a backslash"
	noPort        = "the base address has a port that is not a number from 1 to 65535"
	noHost        = "the base address must name an ASCII host or an IP address"
	noPath        = "the base address must have a plain path: letters, digits, dots, hyphens, underscores and tildes between single slashes"
	noHTTPS       = "https required: the base address uses http, which is only for loopback addresses"
)

var addressRules = []string{noScheme, noCredentials, noQuery, noEscape, noPort, noHost, noPath, noHTTPS}

func TestParseAddressRefuses(t *testing.T) {
	long := strings.Repeat(strings.Repeat("a", 63)+".", 3) + strings.Repeat("a", 62) // 254 characters
	for rule, texts := range map[string][]string{
		noScheme: {
			"", "host.example", "host.example:443", "//host.example", "ftp://host.example", "HTTPS://host.example", "https:host.example",
			"https:/host.example", "https:\\\\host.example", " https://host.example", "\thttps://host.example", "\nhttps://host.example",
			"user:canary@host.example:8080", "user:canary@host", "javascript:alert(1)", "file:///etc/passwd", "wss://host.example", "httpss://host.example",
			"https\x00://host.example", "https //host.example",
		},
		noCredentials: {
			"https://user:canary@host.example/", "https://canary@host.example", "https://@host.example", "https://:canary@host.example",
			"https://host.example@evil.example", "https://host.example/@x", "http://localhost@evil.example", "http://127.0.0.1:80@evil.example",
			"https://user:canary@host.example:8080?x#y",
		},
		noQuery: {
			"https://host.example?a=b", "https://host.example/?a=b", "https://host.example/?", "https://host.example#", "https://host.example/#f",
			"https://host.example/a#b?c", "http://localhost?.evil.example", "http://localhost#.evil.example",
		},
		noEscape: {
			"https://host.example/%2e%2e/x", "https://host%2eexample", "https://host.example/%", "https://host.example\\", "https://host.example\\.evil.example",
			"https://host.example/\\evil.example", "https://[fe80::1%25eth0]", "https://[fe80::1%eth0]", "https://%6c%6f", "https://host.example/a%00",
		},
		noPort: {
			"https://host.example:", "https://host.example:/", "https://host.example:0", "https://host.example:00", "https://host.example:0443",
			"https://host.example:65536", "https://host.example:99999999999999999999", "https://host.example:-1", "https://host.example:+443",
			"https://host.example:4 43", "https://host.example:443x", "https://host.example:0x1bb", "https://host.example:https", "https://host.example:１",
			"https://[::1]:", "https://[::1]:0", "https://host.example:443\n", "https://host.example\r\nHost: evil.example",
		},
		noHost: {
			"https://", "https:///", "https:///path", "https://.", "https://..", "https://host.example.", "https://.host.example", "https://host..example",
			"https://-host.example", "https://host-.example", "https://host_name.example", "https://host name.example", "https://::1", "https://2001:db8::1",
			"https://host.example\n", "https://host\t.example", "https://host\x00.example", "https://hos\x7ft", "https://*.example", "https://{tenant}.example",
			"https://bücher.example", "https://host。example", "https://host．example", "https://ⅿpay.example", "https://\u212aey.example", "https://hİ.example",
			"https://hos\u0131.example", "https://\u200bhost.example", "https://host\u00ad.example", "https://\xff.example", "https://１２７.0.0.1",
			"https://0x7f.1", "https://0x7f.0.0.1", "https://0x7f000001", "https://127.1", "https://2130706433", "https://017700000001", "https://0177.0.0.1",
			"https://127.0.0.01", "https://127.0.0.256", "https://127.0.0.0.1", "https://1.2.3", "https://1.2.3.4.", "https://host.1", "https://host.0x1",
			"http://127.1", "http://2130706433", "http://0x7f.1", "http://0177.0.0.1", "http://127.0.0.1.", "http://localhost.",
			"https://[127.0.0.1]", "https://[::1", "https://[::1]x", "https://x[::1]", "https://[]", "https://[::]]", "https://[[::1]]", "https://[::g]",
			"https://[::1].example", "https://[host.example]", "https://" + long, "https://" + strings.Repeat("a", 64) + ".example",
			"https://host,evil.example", "https://host;evil.example", "https://host!.example", "https://host$.example", "https://host'.example",
		},
		noPath: {
			"https://host.example//", "https://host.example///", "https://host.example//evil.example", "https://host.example/a//b", "https://host.example/a//",
			"https://host.example/.", "https://host.example/..", "https://host.example/./", "https://host.example/../", "https://host.example/a/../b",
			"https://host.example/a/./b", "https://host.example/a/..", "https://host.example/a b", "https://host.example/a\r\nX: y", "https://host.example/\n",
			"https://host.example/a\n", "https://host.example/ä", "https://host.example/a:b", "https://host.example/a;b", "https://host.example/a*b",
			"https://host.example/\x00", "https://host.example/{tenant}", "https://host.example/a+b", "https://host.example/\xff",
		},
		noHTTPS: {
			"http://host.example", "http://localhost.evil.example", "http://127.0.0.1.evil.example", "http://192.0.2.1", "http://0.0.0.0", "http://[::]",
			"http://[::2]", "http://[fe80::1]", "http://[::ffff:127.0.0.1]", "http://128.0.0.1", "http://126.255.255.255", "http://10.0.0.1",
			"http://127-0-0-1.example", "http://localhost6", "http://notlocalhost", "http://169.254.169.254",
		},
	} {
		for _, text := range texts {
			a, err := provider.ParseAddress(text)
			if err == nil {
				t.Errorf("ParseAddress(%q) = %#v, want the error %q", text, a, rule)
				continue
			}
			if e := check.Failure(t, err); a != (provider.Address{}) || e.Message != rule {
				t.Errorf("ParseAddress(%q) = %v, %q; want the error %q", text, a, e.Message, rule)
			}
			wantCode := failure.BadBaseURL
			if rule == noHTTPS {
				wantCode = failure.HTTPSRequired
			}
			if e := check.Failure(t, err); e.Code != wantCode || e.Hint != addressHint {
				t.Errorf("ParseAddress(%q): code %s, hint %q; want %s, hint %q", text, e.Code, e.Hint, wantCode, addressHint)
			}
		}
	}
}

const addressHint = "write it as https://HOST[:PORT][/PATH]"

func TestCheckBase(t *testing.T) {
	tests := []struct{ provider, text, hint string }{
		{"zeepay", "https://host.example/oauth/token", "use https://host.example"},
		{"zeepay", "https://host.example/oauth/token/", "use https://host.example"},
		{"zeepay", "https://Host.Example:8443/v1/oauth/token", "use https://host.example:8443/v1"},
		{"abbeycross", "https://host.example/gate/v1/oauth/token", "use https://host.example/gate"},
		{"mpay", "http://127.0.0.1:8765/mpay/v2/auth", "use http://127.0.0.1:8765/mpay"},
	}
	for _, test := range tests {
		d := builtin(t, test.provider)
		a, err := d.CheckBase(test.text)
		e := check.Failure(t, err)
		want := "the base address already ends in " + d.Request.Path.String() + ", which is added to it"
		if a != (provider.Address{}) || e.Code != failure.BadBaseURL || e.Message != want || e.Hint != test.hint {
			t.Errorf("CheckBase(%q) = %v, %s %q, hint %q; want %q, hint %q", test.text, a, e.Code, e.Message, e.Hint, want, test.hint)
		}
	}
	for _, text := range []string{"https://host.example", "https://host.example/oauth", "https://host.example/oauth/token/v2", "https://host.example/xoauth/tokens"} {
		if a, err := builtin(t, "zeepay").CheckBase(text); err != nil || a.String() != text {
			t.Errorf("CheckBase(%q) = %v, %v", text, a, err)
		}
	}
	if _, err := builtin(t, "zeepay").CheckBase("http://host.example/oauth/token"); check.Failure(t, err).Code != failure.HTTPSRequired {
		t.Errorf("CheckBase of an http address: %v", err)
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, seed := range []string{
		"https://host.example:8443/api/v6", "http://127.0.0.1:1/x", "http://[::1]", "http://[::01]", "https://user:secret@host", "https://h%2e", "http://localhost.evil.example",
		"https://\u212aey.example", "https://h//", "https://0x7f.1", "https://[fe80::1%25eth0]/", "https://h\\@evil", "https://h:65536",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := provider.ParseAddress(text)
		if err != nil {
			if e := check.Failure(t, err); !slices.Contains(addressRules, e.Message) || e.Hint != addressHint {
				t.Errorf("ParseAddress(%q) says more than a rule: %q, hint %q", text, e.Message, e.Hint)
			}
			return
		}
		u, err := url.Parse(a.String())
		if err != nil {
			t.Fatalf("net/url does not take %q: %v", a, err)
		}
		if u.Scheme != a.Scheme || u.Host != a.Authority() || u.Hostname() != strings.Trim(a.Host, "[]") || u.Port() != a.Port || u.Path != a.Path {
			t.Errorf("net/url reads %q as %#v, we as %#v", a, u, a)
		}
		if u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Opaque != "" || u.RawPath != "" {
			t.Errorf("%q has more than a host and a path: %#v", a, u)
		}
		// What was typed names the same host to net/url.
		if typed, err := url.Parse(text); err != nil || !sameHost(typed, u) || !isASCII(text) {
			t.Errorf("%q was typed and %q made of it", text, a)
		}
		if a.Scheme != "https" {
			ip, err := netip.ParseAddr(u.Hostname())
			if a.Scheme != "http" || u.Hostname() != "localhost" && (err != nil || !ip.IsLoopback() || ip.Is4In6()) {
				t.Errorf("%q is neither https nor loopback", a)
			}
		}
		if again, err := provider.ParseAddress(a.String()); err != nil || again != a {
			t.Errorf("%q is read as %v, %v", a, again, err)
		}
	})
}

// sameHost reports whether two addresses name one host and port. An IPv6 address has
// several spellings, such as ::1 and ::01.
func sameHost(a, b *url.URL) bool {
	ipA, errA := netip.ParseAddr(a.Hostname())
	ipB, errB := netip.ParseAddr(b.Hostname())
	return a.Port() == b.Port() && (errA == nil && errB == nil && ipA == ipB || strings.EqualFold(a.Host, b.Host))
}

func isASCII(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r > '~' || r < ' ' })
}
