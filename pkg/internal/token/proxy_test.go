package token

import (
	"net"
	"strings"
	"testing"

	"github.com/tokenfetch/tokenfetch/testdata/tunnel"
)

// through makes the call of base with these variables, trusting the authority.
func through(t *testing.T, base string, a *authority, environ ...string) error {
	t.Helper()
	client := a.client()
	client.Getenv = environment(environ...)
	_, err := post(t, t.Context(), client, base)
	return err
}

// environment looks variables up.
func environment(environ ...string) func(string) string {
	return func(name string) string {
		for _, entry := range environ {
			if value, ok := strings.CutPrefix(entry, name+"="); ok {
				return value
			}
		}
		return ""
	}
}

// connect is a proxy's handler: it reads a CONNECT and answers with reply; if
// that begins with 200, it then leads to target.
func connect(target, reply string) func(*peer) {
	return func(p *peer) {
		if _, err := tunnel.ReadHead(p); err != nil {
			return
		}
		p.say(reply)
		if strings.HasPrefix(reply, "HTTP/1.1 200 ") {
			tunnel.Lead(p, target)
		}
	}
}

// connectHead is what a proxy may learn.
func connectHead(host, authorization string) string {
	return "CONNECT " + host + " HTTP/1.1\r\nHost: " + host + "\r\n" + authorization + "\r\n"
}

const proxyAuthorization = "Proxy-Authorization: Basic cHJveHk6Y2FuYXJ5LXByb3h5LTMxYWE=\r\n"

func TestProxyWorks(t *testing.T) {
	t.Parallel()
	authority := newAuthority()
	for _, host := range []string{"provider.example", "192.0.2.1"} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			provider := serveTLS(t, authority.issue(nil), answer(good("")))
			proxy := serve(t, connect(provider.address, "HTTP/1.1 200 "+hostile+"\r\n\r\n"))
			checkTold(t, through(t, "https://"+host, authority, "HTTPS_PROXY=http://proxy:"+canaryProxy+"@"+proxy.address), "no error")
			wire := proxy.stop()
			head := connectHead(host+":443", proxyAuthorization)
			if len(wire) != 1 || !strings.HasPrefix(wire[0], head) {
				t.Fatalf("the proxy saw %q, want one connection that begins with %q", wire, head)
			}
			if tunnelled := wire[0][len(head):]; leaked(tunnelled) != "" || !strings.HasPrefix(tunnelled, "\x16\x03") {
				t.Errorf("the proxy saw %q", tunnelled)
			}
			checkWire(t, provider.stop(), golden(host))
		})
	}
}

func TestProxyFails(t *testing.T) {
	t.Parallel()
	authority := newAuthority()
	const (
		refused     = `proxy_failed (net, sent "no", attempts 1): the proxy refused to connect to provider.example (status STATUS); hint: check HTTPS_PROXY and its credentials, or add the host to NO_PROXY`
		unreachable = `proxy_failed (net, sent "no", attempts 1): the proxy ADDRESS cannot be reached; hint: check HTTPS_PROXY and NO_PROXY`
	)
	for name, test := range map[string]struct{ reply, want string }{
		"refuses": {
			"HTTP/1.1 407 " + canaryServer + "\r\nProxy-Authenticate: Basic realm=\"" + canaryServer + "\"\r\nContent-Length: 0\r\n\r\n",
			strings.Replace(refused, "STATUS", "407", 1),
		},
		"redirects": {"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n", strings.Replace(refused, "STATUS", "302", 1)},
		"is none":   {"220 " + hostile + " ESMTP\r\n", unreachable},
		"hangs up":  {"", unreachable},
		"closes the tunnel": {
			"HTTP/1.1 200 OK\r\n\r\n",
			`tls_protocol (net, sent "no", attempts 1): provider.example ended the TLS handshake early (phase tls); hint: TLS 1.2 or newer is needed`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy := serve(t, func(p *peer) {
				connect("127.0.0.1:1", test.reply)(p)
				p.closeWrite()
			})
			err := through(t, "https://provider.example", authority, "HTTPS_PROXY=http://proxy:"+canaryProxy+"@"+proxy.address)
			checkTold(t, err, strings.ReplaceAll(test.want, "ADDRESS", proxy.address))
			wire := proxy.stop()
			if len(wire) != 1 || !strings.HasPrefix(wire[0], connectHead("provider.example:443", proxyAuthorization)) || strings.Contains(wire[0], "POST") || strings.Contains(wire[0], canaryPassword) {
				t.Errorf("the proxy saw %q", wire)
			}
		})
	}
	for name, address := range map[string]string{"unreachable": "127.0.0.1:1", "name that does not exist": "name.invalid:3128"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := through(t, "https://provider.example", authority, "HTTPS_PROXY=http://proxy:"+canaryProxy+"@"+address)
			checkTold(t, err, strings.ReplaceAll(unreachable, "ADDRESS", address))
		})
	}
	t.Run("silent", func(t *testing.T) {
		t.Parallel()
		d := newDeadline(t)
		proxy := serve(t, func(p *peer) {
			connect("", "")(p)
			d.pass()
		})
		client := authority.client()
		client.Getenv = environment("HTTPS_PROXY=http://" + proxy.address)
		_, err := post(t, d, client, "https://provider.example")
		checkTold(t, err, `timeout (net, sent "no", attempts 1): timeout: no answer from provider.example in time (phase proxy); hint: try again, or allow more time with --timeout 60s`)
	})
}

// A variable that does not hold the address of a proxy is named, not quoted,
// and nothing is contacted.
func TestProxyInvalid(t *testing.T) {
	t.Parallel()
	authority := newAuthority()
	proxy := serve(t, connect("", ""))
	const want = `proxy_invalid (config, sent "no", attempts 0): NAME is not the address of a proxy; hint: write it as http://HOST:PORT, with its scheme`
	for name, entry := range map[string]string{
		"without a scheme":          "HTTPS_PROXY=proxy:" + canaryProxy + "@" + proxy.address,
		"lower case":                "https_proxy=proxy:" + canaryProxy + "@" + proxy.address,
		"unknown scheme":            "HTTPS_PROXY=gopher://proxy:" + canaryProxy + "@" + proxy.address,
		"no address":                "HTTPS_PROXY=http://proxy:" + canaryProxy + "@",
		"bad port":                  "HTTPS_PROXY=http://proxy:" + canaryProxy + "@127.0.0.1:x",
		"bad host":                  "HTTPS_PROXY=http://127.0.0.1 " + canaryProxy,
		"bad port without a scheme": "HTTPS_PROXY=127.0.0.1:808O",
		"bad escape":                "https_proxy=" + canaryProxy + "%zz:8080",
		"control byte":              "HTTPS_PROXY=http://" + canaryProxy + "\x1b@" + proxy.address,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkTold(t, through(t, "https://provider.example", authority, entry), strings.Replace(want, "NAME", entry[:len("HTTPS_PROXY")], 1))
		})
	}
	t.Cleanup(func() { checkWire(t, proxy.stop()) })
}

// A proxy that terminates TLS.
func TestProxyIntercepts(t *testing.T) {
	t.Parallel()
	authority, stranger := newAuthority(), newAuthority()
	provider := serveTLS(t, stranger.issue(nil), answer(good("")))
	proxy := serve(t, connect(provider.address, "HTTP/1.1 200 OK\r\n\r\n"))
	err := through(t, "https://provider.example", authority, "HTTPS_PROXY=http://proxy:"+canaryProxy+"@"+proxy.address)
	checkTold(t, err, `tls_untrusted (net, sent "no", attempts 1): the certificate of provider.example comes from an unknown authority; hint: a proxy may be intercepting: name its certificates with --ca-file FILE or ca_file in the profile`)
	if wire := proxy.stop(); len(wire) != 1 || !strings.HasPrefix(wire[0], connectHead("provider.example:443", proxyAuthorization)+"\x16\x03") {
		t.Errorf("the proxy saw %q", wire)
	}
	checkWire(t, provider.stop(), "\r\n\r\n")
}

func TestProxyNotUsed(t *testing.T) {
	t.Parallel()
	authority := newAuthority()
	for name, lines := range map[string]string{ // ADDRESS is the proxy's
		"NO_PROXY":                    "HTTPS_PROXY=http://ADDRESS NO_PROXY=provider.example",
		"NO_PROXY beside a bad proxy": "HTTPS_PROXY=proxy:secret@ADDRESS NO_PROXY=.example",
		"lower case":                  "https_proxy=http://ADDRESS no_proxy=provider.example",
		"only HTTP_PROXY":             "HTTP_PROXY=http://ADDRESS http_proxy=http://ADDRESS",
		"ALL_PROXY":                   "ALL_PROXY=http://ADDRESS all_proxy=http://ADDRESS",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			provider := serveTLS(t, authority.issue(nil), answer(good("")))
			proxy := serve(t, connect(provider.address, "HTTP/1.1 200 OK\r\n\r\n"))
			_, port, _ := net.SplitHostPort(provider.address)
			environ := strings.Fields(strings.ReplaceAll(lines, "ADDRESS", proxy.address))
			checkTold(t, through(t, "https://provider.example:"+port, authority, environ...), "no error")
			checkWire(t, proxy.stop())
			checkWire(t, provider.stop(), golden("provider.example:"+port))
		})
	}
}

// A proxy on loopback does not make http to another computer any safer.
func TestProxyNotForHTTP(t *testing.T) {
	t.Parallel()
	proxy := serve(t, answer(good("")))
	err := through(t, "http://192.0.2.1", newAuthority(), "HTTP_PROXY=http://"+proxy.address, "HTTPS_PROXY=http://"+proxy.address)
	checkTold(t, err, `connect_failed (net, sent "no", attempts 1): 192.0.2.1 is not a loopback address, so http is not used; hint: use an https base address`)
	checkWire(t, proxy.stop())
}

// A SOCKS proxy that works, refuses, or is not there.
func TestProxySOCKS(t *testing.T) {
	t.Parallel()
	authority := newAuthority()
	provider := serveTLS(t, authority.issue(nil), answer(good("")))
	const unreachable = `proxy_failed (net, sent "no", attempts 1): the proxy ADDRESS cannot be reached; hint: check HTTPS_PROXY and NO_PROXY`
	for status, want := range map[byte]string{0: "no error", 2: unreachable} {
		proxy := serve(t, func(p *peer) {
			if tunnel.SOCKS(p, func(host string, port int) byte {
				if host != "provider.example" || port != 443 {
					return 1
				}
				return status
			}) {
				tunnel.Lead(p, provider.address)
			}
		})
		err := through(t, "https://provider.example", authority, "HTTPS_PROXY=socks5://"+proxy.address)
		checkTold(t, err, strings.ReplaceAll(want, "ADDRESS", proxy.address))
	}
	err := through(t, "https://provider.example", authority, "HTTPS_PROXY=socks5://127.0.0.1:1")
	checkTold(t, err, strings.ReplaceAll(unreachable, "ADDRESS", "127.0.0.1:1"))
	checkWire(t, provider.stop(), golden("provider.example"))
}
