package token

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestProbeOnTheWire: one request without anything of a user, and no redirect
// followed, whatever comes back.
func TestProbeOnTheWire(t *testing.T) {
	t.Parallel()
	authority := newAuthority()
	elsewhere := serve(t, answer("HTTP/1.1 200 OK\r\n\r\n"))
	for status, line := range map[int]string{
		200: "200 OK", 302: "302 " + hostile + "\r\nLocation: http://" + elsewhere.address, 401: "401 no", 503: "503 no",
	} {
		s := serveTLS(t, authority.issue(nil), answer("HTTP/1.1 "+line+"\r\nContent-Length: 2\r\n\r\n{}"))
		client := authority.client()
		client.UserAgent = "tokenfetch/test"
		contact, err := client.Probe(t.Context(), "https://"+s.address)
		if diff := cmp.Diff(Contact{TLS: "TLS 1.3", Status: status}, contact); err != nil || diff != "" {
			t.Errorf("%d: %v (-want +got):\n%s", status, err, diff)
		}
		want := "HEAD / HTTP/1.1\r\nConnection: close\r\nHost: " + s.address + "\r\nUser-Agent: tokenfetch/test\r\n\r\n"
		wire := s.stop()
		if len(wire) != 1 || wireForm(wire[0]) != want {
			t.Errorf("%d: on the wire %q, want one %q", status, wire, want)
		}
	}
	if wire := elsewhere.stop(); len(wire) > 0 {
		t.Errorf("the redirect was followed: %q", wire)
	}
}

func TestProbeFails(t *testing.T) {
	t.Parallel()
	authority, stranger := newAuthority(), newAuthority()
	for _, test := range []struct {
		name   string
		origin func() string
		want   string
	}{
		{
			"a stranger", func() string { return "https://" + serveTLS(t, stranger.issue(nil), answer("")).address },
			`tls_untrusted (net, sent "no", attempts 0): the certificate of HOST comes from an unknown authority; hint: if it is your own authority, name its certificates with --ca-file FILE or ca_file in the profile`,
		},
		{
			"no TLS", func() string {
				return "https://" + serve(t, func(p *peer) { p.say("HTTP/1.1 400 " + hostile + "\r\n\r\n") }).address
			},
			`tls_protocol (net, sent "no", attempts 0): HOST does not speak TLS; hint: check the port of the base address`,
		},
		{
			"a hang-up", func() string {
				return "https://" + serveTLS(t, authority.issue(nil), func(p *peer) { p.request(); p.Close() }).address
			},
			`connection_lost (net, sent "no", attempts 0): the connection to HOST was lost (phase reply); hint: check the base address`,
		},
		{
			"no name", func() string { return "https://nowhere.example" },
			`dns_not_found (net, sent "no", attempts 0): the name HOST does not exist; hint: check the environment or base address, and this computer's network`,
		},
		{
			"http to elsewhere", func() string { return "http://192.0.2.1:80" },
			`connect_failed (net, sent "no", attempts 0): HOST is not a loopback address, so http is not used; hint: use an https base address`,
		},
	} {
		origin := test.origin()
		_, host, _ := strings.Cut(origin, "://")
		contact, err := authority.client().Probe(t.Context(), origin)
		if diff := cmp.Diff(Contact{}, contact); diff != "" {
			t.Errorf("%s: (-want +got):\n%s", test.name, diff)
		}
		checkTold(t, err, strings.ReplaceAll(test.want, "HOST", host))
	}
}

func TestProxyHost(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"http://proxy.example:3128":                          "proxy.example:3128",
		"https://user:" + canaryProxy + "@proxy.example":     "proxy.example",
		"socks5://user:" + canaryProxy + "@127.0.0.1:1080/x": "127.0.0.1:1080",
		"proxy.example:3128":                                 "proxy.example:3128",
		"http://[::1]:3128":                                  "[::1]:3128",
		"user:" + canaryProxy + "@proxy.example:3128":        "",
		"ftp://proxy.example":                                "",
		"http://" + hostile:                                  "",
		"http://":                                            "",
		"":                                                   "",
	} {
		got, err := ProxyHost(value)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", value, got, err, want)
		}
		if err != nil {
			checkHarmless(t, err.Error())
		}
	}
}
