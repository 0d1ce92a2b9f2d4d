package token

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// net/http reads the proxy variables once per process, so each of these tests
// runs its exchange in a child of its own: the test binary, told by
// childVariable to call a base address instead of running tests.
const (
	childVariable      = "TOKEN_TEST_BASE"
	authorityVariable  = "TOKEN_TEST_AUTHORITY"
	deadlineVariable   = "TOKEN_TEST_DEADLINE"
	childReceivedToken = "a token"
)

var proxyVariables = []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy", "REQUEST_METHOD"}

// child makes the call of base and prints what came of it.
func child(base string) {
	client := Client{UserAgent: "tokenfetch/test", Getenv: os.Getenv, Trace: func(format string, args ...any) {
		if line := fmt.Sprintf(format, args...); leaked(line) != "" {
			panic("traced " + line)
		}
	}}
	if text := os.Getenv(authorityVariable); text != "" {
		client.Roots, _ = ParseCertificates([]byte(text))
	}
	wait, err := time.ParseDuration(os.Getenv(deadlineVariable))
	if err != nil {
		wait = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	reply, err := client.Send(ctx, request(base))
	if err == nil {
		_, err = reply.Object()
	}
	if err != nil {
		fmt.Print(told(err))
		return
	}
	fmt.Print(childReceivedToken)
}

// runChild runs a child in an environment of nothing but what is given and
// returns what it printed.
func runChild(t *testing.T, base string, authority *authority, env ...string) string {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), program)
	c.Env = append(env, childVariable+"="+base, authorityVariable+"="+string(authority.pem),
		"SYSTEMROOT="+os.Getenv("SYSTEMROOT"), "GORACE=atexit_sleep_ms=0")
	output, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	checkHarmless(t, string(output))
	return string(output)
}

// connect is a proxy's handler: it reads a CONNECT and answers with reply; if
// that begins with 200, it then leads to target.
func connect(target, reply string) func(*peer) {
	return func(p *peer) {
		head, one := "", make([]byte, 1)
		for !strings.HasSuffix(head, "\r\n\r\n") {
			if _, err := io.ReadFull(p, one); err != nil {
				return
			}
			head += string(one)
		}
		p.say(reply)
		if strings.HasPrefix(reply, "HTTP/1.1 200 ") {
			tunnel(p, target)
		}
	}
}

func tunnel(p *peer, target string) {
	conn, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer conn.Close()
	go func() {
		_, _ = io.Copy(conn, p)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(p.Conn, conn)
}

// connectHead is what a proxy may learn.
func connectHead(host, authorization string) string {
	return "CONNECT " + host + " HTTP/1.1\r\nHost: " + host + "\r\n" + authorization + "\r\n"
}

const proxyAuthorization = "Proxy-Authorization: Basic cHJveHk6Y2FuYXJ5LXByb3h5LTMxYWE=\r\n"

func TestProxyWorks(t *testing.T) {
	t.Parallel()
	authority := newAuthority(t)
	for _, host := range []string{"provider.example", "192.0.2.1"} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			provider := serveTLS(t, authority.issue(t, nil), answer(good("")))
			proxy := serve(t, connect(provider.address, "HTTP/1.1 200 "+hostile+"\r\n\r\n"))
			got := runChild(t, "https://"+host, authority, "HTTPS_PROXY=http://proxy:"+canaryProxy+"@"+proxy.address)
			if got != childReceivedToken {
				// net/http refuses the reason phrase, or it does not; it is not shown.
				t.Fatal(got)
			}
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
	authority := newAuthority(t)
	const (
		hint        = "; hint: check HTTPS_PROXY and NO_PROXY"
		unreachable = `proxy_failed (net, sent "no", attempts 1): the proxy ADDRESS cannot be reached` + hint
	)
	tests := []struct {
		name  string
		reply string
		want  string
	}{
		{
			"refuses", "HTTP/1.1 407 " + canaryServer + "\r\nProxy-Authenticate: Basic realm=\"" + canaryServer + "\"\r\nContent-Length: 0\r\n\r\n",
			`proxy_failed (net, sent "no", attempts 1): the proxy refused to connect to provider.example (status 407); hint: check HTTPS_PROXY and its credentials, or add the host to NO_PROXY`,
		},
		{
			"redirects", "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n",
			`proxy_failed (net, sent "no", attempts 1): the proxy refused to connect to provider.example (status 302); hint: check HTTPS_PROXY and its credentials, or add the host to NO_PROXY`,
		},
		{"is none", "220 " + hostile + " ESMTP\r\n", unreachable},
		{"hangs up", "", unreachable},
		{
			"closes the tunnel", "HTTP/1.1 200 OK\r\n\r\n",
			`tls_protocol (net, sent "no", attempts 1): provider.example ended the TLS handshake early (phase tls); hint: TLS 1.2 or newer is needed`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			proxy := serve(t, func(p *peer) {
				connect("127.0.0.1:1", test.reply)(p)
				p.closeWrite()
			})
			got := runChild(t, "https://provider.example", authority, "HTTPS_PROXY=http://proxy:"+canaryProxy+"@"+proxy.address)
			if want := strings.ReplaceAll(test.want, "ADDRESS", proxy.address); got != want {
				t.Errorf("the error differs\n got %s\nwant %s", got, want)
			}
			wire := proxy.stop()
			if len(wire) != 1 || !strings.HasPrefix(wire[0], connectHead("provider.example:443", proxyAuthorization)) || strings.Contains(wire[0], "POST") || strings.Contains(wire[0], canaryPassword) {
				t.Errorf("the proxy saw %q", wire)
			}
		})
	}
	t.Run("unreachable", func(t *testing.T) {
		t.Parallel()
		got := runChild(t, "https://provider.example", authority, "HTTPS_PROXY=http://proxy:"+canaryProxy+"@127.0.0.1:1")
		if want := strings.ReplaceAll(unreachable, "ADDRESS", "127.0.0.1:1"); got != want {
			t.Errorf("the error differs\n got %s\nwant %s", got, want)
		}
	})
	t.Run("name that does not exist", func(t *testing.T) {
		t.Parallel()
		got := runChild(t, "https://provider.example", authority, "HTTPS_PROXY=http://proxy:"+canaryProxy+"@name.invalid:3128")
		if want := strings.ReplaceAll(unreachable, "ADDRESS", "name.invalid:3128"); got != want {
			t.Errorf("the error differs\n got %s\nwant %s", got, want)
		}
	})
	t.Run("silent", func(t *testing.T) {
		t.Parallel()
		proxy := serve(t, connect("", ""))
		got := runChild(t, "https://provider.example", authority, "HTTPS_PROXY=http://"+proxy.address, deadlineVariable+"=1s")
		const want = `timeout (net, sent "no", attempts 1): timeout: no answer from provider.example in time (phase proxy); hint: try again, or allow more time with --timeout 60s`
		if got != want {
			t.Errorf("the error differs\n got %s\nwant %s", got, want)
		}
	})
}

// A variable that is not the address of a proxy is named, not quoted,
// and nothing is contacted.
func TestProxyInvalid(t *testing.T) {
	t.Parallel()
	authority := newAuthority(t)
	proxy := serve(t, connect("", ""))
	const want = `proxy_invalid (config, sent "no", attempts 0): NAME is not the address of a proxy; hint: write it as http://HOST:PORT, with its scheme`
	tests := []struct{ name, variable, value string }{
		{"without a scheme", "HTTPS_PROXY", "proxy:" + canaryProxy + "@" + proxy.address},
		{"lower case", "https_proxy", "proxy:" + canaryProxy + "@" + proxy.address},
		{"unknown scheme", "HTTPS_PROXY", "gopher://proxy:" + canaryProxy + "@" + proxy.address},
		{"no address", "HTTPS_PROXY", "http://proxy:" + canaryProxy + "@"},
		{"bad port", "HTTPS_PROXY", "http://proxy:" + canaryProxy + "@127.0.0.1:x"},
		{"bad host", "HTTPS_PROXY", "http://127.0.0.1 " + canaryProxy},
		{"bad port without a scheme", "HTTPS_PROXY", "127.0.0.1:808O"},
		{"bad escape", "https_proxy", canaryProxy + "%zz:8080"},
		{"control byte", "HTTPS_PROXY", "http://" + canaryProxy + "\x1b@" + proxy.address},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := runChild(t, "https://provider.example", authority, test.variable+"="+test.value)
			if want := strings.ReplaceAll(want, "NAME", test.variable); got != want {
				t.Errorf("the error differs\n got %s\nwant %s", got, want)
			}
		})
	}
	t.Cleanup(func() { checkWire(t, proxy.stop()) })
}

// A proxy that terminates TLS.
func TestProxyIntercepts(t *testing.T) {
	t.Parallel()
	authority, stranger := newAuthority(t), newAuthority(t)
	provider := serveTLS(t, stranger.issue(t, nil), answer(good("")))
	proxy := serve(t, connect(provider.address, "HTTP/1.1 200 OK\r\n\r\n"))
	got := runChild(t, "https://provider.example", authority, "HTTPS_PROXY=http://proxy:"+canaryProxy+"@"+proxy.address)
	const want = `tls_untrusted (net, sent "no", attempts 1): the certificate of provider.example comes from an unknown authority; hint: a proxy may be intercepting: name its certificates with --ca-file FILE or ca_file in the profile`
	if got != want {
		t.Errorf("the error differs\n got %s\nwant %s", got, want)
	}
	if wire := proxy.stop(); len(wire) != 1 || !strings.HasPrefix(wire[0], connectHead("provider.example:443", proxyAuthorization)+"\x16\x03") {
		t.Errorf("the proxy saw %q", wire)
	}
	checkWire(t, provider.stop(), "\r\n\r\n")
}

func TestProxyNotUsed(t *testing.T) {
	t.Parallel()
	authority := newAuthority(t)
	tests := []struct {
		name string
		env  []string // PROXY stands for the proxy's address
	}{
		{"NO_PROXY", []string{"HTTPS_PROXY=http://PROXY", "NO_PROXY=provider.example"}},
		{"NO_PROXY beside a bad proxy", []string{"HTTPS_PROXY=proxy:secret@PROXY", "NO_PROXY=.example"}},
		{"lower case", []string{"https_proxy=http://PROXY", "no_proxy=provider.example"}},
		{"only HTTP_PROXY", []string{"HTTP_PROXY=http://PROXY", "http_proxy=http://PROXY"}},
		{"ALL_PROXY", []string{"ALL_PROXY=http://PROXY", "all_proxy=http://PROXY"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			provider := serveTLS(t, authority.issue(t, nil), answer(good("")))
			proxy := serve(t, connect(provider.address, "HTTP/1.1 200 OK\r\n\r\n"))
			_, port, _ := net.SplitHostPort(provider.address)
			var env []string
			for _, variable := range test.env {
				name, value, _ := strings.Cut(variable, "=")
				env = append(env, name+"="+strings.ReplaceAll(value, "PROXY", proxy.address))
			}
			if got := runChild(t, "https://provider.example:"+port, authority, env...); got != childReceivedToken {
				t.Error(got)
			}
			checkWire(t, proxy.stop())
			checkWire(t, provider.stop(), golden("provider.example:"+port))
		})
	}
}

// A proxy on loopback does not make http to another computer any safer.
func TestProxyNotForHTTP(t *testing.T) {
	t.Parallel()
	proxy := serve(t, answer(good("")))
	got := runChild(t, "http://192.0.2.1", newAuthority(t), "HTTP_PROXY=http://"+proxy.address, "HTTPS_PROXY=http://"+proxy.address)
	const want = `connect_failed (net, sent "no", attempts 1): 192.0.2.1 is not a loopback address, so http is not used; hint: use an https base address`
	if got != want {
		t.Errorf("the error differs\n got %s\nwant %s", got, want)
	}
	checkWire(t, proxy.stop())
}

// A SOCKS proxy that works, refuses, or is not there.
func TestProxySOCKS(t *testing.T) {
	t.Parallel()
	authority := newAuthority(t)
	provider := serveTLS(t, authority.issue(t, nil), answer(good("")))
	tests := []struct {
		name   string
		status byte
		want   string
	}{
		{"up", 0, childReceivedToken},
		{"refuses", 2, `proxy_failed (net, sent "no", attempts 1): the proxy ADDRESS cannot be reached; hint: check HTTPS_PROXY and NO_PROXY`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			proxy := serve(t, func(p *peer) { socks(p, test.status, provider.address) })
			got := runChild(t, "https://provider.example", authority, "HTTPS_PROXY=socks5://"+proxy.address)
			if want := strings.ReplaceAll(test.want, "ADDRESS", proxy.address); got != want {
				t.Errorf("the error differs\n got %s\nwant %s", got, want)
			}
			proxy.stop()
		})
	}
	t.Run("down", func(t *testing.T) {
		t.Parallel()
		const want = `proxy_failed (net, sent "no", attempts 1): the proxy 127.0.0.1:1 cannot be reached; hint: check HTTPS_PROXY and NO_PROXY`
		if got := runChild(t, "https://provider.example", authority, "HTTPS_PROXY=socks5://127.0.0.1:1"); got != want {
			t.Errorf("the error differs\n got %s\nwant %s", got, want)
		}
	})
	t.Cleanup(func() { checkWire(t, provider.stop(), golden("provider.example")) })
}

// socks is a SOCKS5 proxy's handler (RFC 1928), for names and without a login.
func socks(p *peer, status byte, target string) {
	head := make([]byte, 2)
	if _, err := io.ReadFull(p, head); err != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, p, int64(head[1]))
	p.say("\x05\x00")
	head = make([]byte, 5)
	if _, err := io.ReadFull(p, head); err != nil || head[3] != 3 {
		return
	}
	name := make([]byte, int(head[4])+2)
	if _, err := io.ReadFull(p, name); err != nil {
		return
	}
	port := binary.BigEndian.Uint16(name[len(name)-2:])
	if host := string(name[:len(name)-2]); host != "provider.example" || port != 443 {
		status = 1
	}
	p.say("\x05" + string(rune(status)) + "\x00\x01\x00\x00\x00\x00\x00\x00")
	if status == 0 {
		tunnel(p, target)
	}
}
