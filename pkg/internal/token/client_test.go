package token

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

func TestPostOnTheWire(t *testing.T) {
	t.Parallel()
	authority := newAuthority()
	// What the first reply asks to be kept is not there in the second request.
	reply := answer(good("Set-Cookie: session=" + canaryServer + "; Path=/\r\nAlt-Svc: h2=\":443\"\r\n" +
		"Strict-Transport-Security: max-age=31536000\r\nRefresh: 0; url=/\r\nContent-Type: text/html\r\n"))
	plain := serve(t, reply)
	secure := serveTLS(t, authority.issue(nil), reply)
	_, port, _ := net.SplitHostPort(secure.address)
	tests := []struct {
		name, base, host string
		server           *server
	}{
		{"http", "http://" + plain.address, plain.address, plain},
		{"https", "https://provider.example:" + port, "provider.example:" + port, secure},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			client := authority.client()
			for range 2 {
				before := time.Now()
				reply, err := post(t, t.Context(), client, test.base)
				if err != nil {
					t.Fatal(told(err))
				}
				if reply.Status != 200 || reply.Encoding != "" || reply.RetryAfter != nil || !reply.IsJSON() {
					t.Errorf("reply %+v", reply)
				}
				if reply.Received.Location() != time.UTC || reply.Received.Before(before.Round(0)) || time.Since(reply.Received) > time.Minute {
					t.Errorf("received %v", reply.Received)
				}
				if object, _ := reply.Object(); object["access_token"] != "tok" {
					t.Errorf("object %v", object)
				}
			}
			checkWire(t, test.server.stop(), golden(test.host), golden(test.host))
		})
	}
}

// checkWire wants connections that brought exactly these requests.
func checkWire(t *testing.T, wire []string, want ...string) {
	t.Helper()
	if len(wire) != len(want) {
		t.Errorf("%d connections, want %d", len(wire), len(want))
	}
	for i := range min(len(wire), len(want)) {
		if got := wireForm(wire[i]); got != want[i] {
			t.Errorf("the request differs\n got %q\nwant %q", got, want[i])
		}
	}
}

func TestPostWithoutBasicPair(t *testing.T) {
	t.Parallel()
	s := serve(t, answer(good("")))
	r := request("http://" + s.address)
	r.Basic = nil
	if _, err := (&Client{UserAgent: "tokenfetch/test"}).Send(t.Context(), r); err != nil {
		t.Fatal(told(err))
	}
	checkWire(t, s.stop(), strings.Replace(golden(s.address), "Authorization: Basic Y2xpZW50OmNhbmFyeS1iYXNpYy1lMDRk\r\n", "", 1))
}

// Whatever the status, one request is sent and the status comes back.
func TestPostAnyStatus(t *testing.T) {
	t.Parallel()
	for status, header := range map[int]string{
		201: "", 202: "", 206: "Content-Range: bytes 0-1/2\r\n", 302: "", 304: "", 400: "",
		401: "WWW-Authenticate: Basic realm=\"x\"\r\nWWW-Authenticate: Digest realm=\"x\", nonce=\"1\"\r\n",
		407: "Proxy-Authenticate: Basic realm=\"x\"\r\n", 408: "", 417: "", 425: "", 429: "Retry-After: 30\r\n", 503: "Retry-After: 0\r\n", 999: "",
	} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			t.Parallel()
			s := serve(t, answer(fmt.Sprintf("HTTP/1.1 %d %s\r\n%sContent-Length: 2\r\n\r\n{}", status, hostile, header)))
			reply, err := post(t, t.Context(), &Client{}, "http://"+s.address)
			if reply == nil {
				t.Fatal(told(err))
			}
			if reply.Status != status {
				t.Errorf("status %d", reply.Status)
			}
			if got, want := reply.RetryAfter != nil, strings.Contains(header, "Retry-After"); got != want {
				t.Errorf("RetryAfter %v", reply.RetryAfter)
			}
			checkWire(t, s.stop(), golden(s.address))
		})
	}
}

func TestPostFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, where := range []string{"another host", "the same host"} {
			t.Run(fmt.Sprintf("%d to %s", status, where), func(t *testing.T) {
				t.Parallel()
				target := serve(t, answer(good("")))
				location := "http://" + target.address + "/"
				if where == "the same host" {
					location = "/elsewhere"
				}
				s := serve(t, answer(fmt.Sprintf("HTTP/1.1 %d Moved\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", status, location)))
				reply, err := (&Client{UserAgent: "tokenfetch/test"}).Send(t.Context(), request("http://"+s.address))
				if err != nil {
					t.Fatal(told(err))
				}
				if reply.Status != status {
					t.Errorf("status %d", reply.Status)
				}
				checkWire(t, s.stop(), golden(s.address))
				checkWire(t, target.stop())
			})
		}
	}
}

// One request that was read, then a reply that cannot be used.
func TestPostBrokenReply(t *testing.T) {
	t.Parallel()
	const (
		malformed = "malformed_http (reply, sent \"yes\", attempts 1): the reply is not valid HTTP; hint: check the base address"
		headers   = "headers_too_large (reply, sent \"yes\", attempts 1): the reply's headers are larger than the limit of 65536 bytes"
		lost      = "connection_lost (net, sent \"yes\", attempts 1): the connection to HOST was lost (phase reply); the request may have been processed; hint: look at the account before trying again"
		lostBody  = "connection_lost (net, sent \"yes\", attempts 1): the connection to HOST was lost (phase body); the request may have been processed; hint: look at the account before trying again"
		encoded   = "unsupported_encoding (reply, sent \"no\", attempts 0): the reply is compressed, which was not asked for"
		tooLarge  = "too_large (reply, sent \"no\", attempts 0): the reply is larger than the limit of 1048576 bytes"
	)
	big := strings.Repeat(" ", MaxBody-2) + "{}"
	tests := []struct {
		name  string
		reply func(*peer)
		want  string
	}{
		{"reset", func(p *peer) { reset(p) }, lost},
		{"clean close", func(p *peer) { p.Close() }, lost},
		{"close in the headers", say("HTTP/1.1 200 OK\r\nContent-Type: app"), lost},
		{"close after the headers", say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"), lostBody},
		{"close in the body", say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"), lostBody},
		{"redirect with a Location of 1 MiB", say("HTTP/1.1 302 Found\r\nLocation: /" + strings.Repeat("x", 1<<20) + "\r\n\r\n"), headers},
		{"redirect with a Location that holds ESC", say("HTTP/1.1 302 Found\r\nLocation: /" + hostile + "\r\n\r\n"), malformed},
		{"300 KiB of headers", say("HTTP/1.1 200 OK\r\n" + strings.Repeat("X-"+canaryServer+": "+strings.Repeat("x", 1000)+"\r\n", 300) + "\r\n"), headers},
		{"one endless status line", endless("HTTP/1.1 200 ", "xxxxxxxxxxxxxxxx"), headers},
		{"flood of 1xx", endless("", "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n"), headers},
		{"control byte in a header's value", say("HTTP/1.1 200 OK\r\nX: " + hostile + "\r\n\r\n{}"), malformed},
		{"binary, not HTTP", say("\x00\x01\x02\xff" + hostile + "\n\n"), malformed},
		{"HTTP/2 frames, not HTTP/1.1", say("\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64\n"), malformed},
		{"status line without a status", say("HTTP/1.1 " + hostile + "\r\n\r\n"), malformed},
		{"lengths that differ", say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} "), malformed},
		{"unknown transfer encoding", say("HTTP/1.1 200 OK\r\nTransfer-Encoding: " + canaryServer + "\r\n\r\n{}"), malformed},
		{"chunk without a length", say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + canaryServer + "\r\n"), malformed},
		{"chunk that is longer than it says", say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}{}\r\n0\r\n\r\n"), malformed},
		{"body of 1 MiB", say("HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n" + big), "no error"},
		{"body of 1 MiB and 1 byte", say("HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n" + big + " "), tooLarge},
		{"endless body in chunks", endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1000\r\n"+strings.Repeat(" ", 4096)+"\r\n"), tooLarge},
		{"body in gzip", say(good("Content-Encoding: gzip\r\n")), encoded},
		{"body in the encoding identity", say(good("Content-Encoding: Identity\r\n")), "no error"},
		{"JSON without a type", say(good("")), "no error"},
		{"JSON called text", say(good("Content-Type: text/plain\r\n")), "no error"},
		{"some 1xx, then a good reply", say(strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 5) + good("")), "no error"},
		{"HTTP/1.0", say("HTTP/1.0 200 OK\r\n\r\n{}"), "no error"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(p *peer) {
				if p.request() {
					test.reply(p)
				}
			})
			_, err := post(t, t.Context(), &Client{}, "http://"+s.address)
			checkTold(t, err, strings.ReplaceAll(test.want, "HOST", s.address))
			checkWire(t, s.stop(), golden(s.address))
		})
	}
}

// say is a reply that ends with the connection.
func say(text string) func(*peer) {
	return func(p *peer) {
		p.say(text)
		p.closeWrite()
	}
}

// endless is a reply that goes on until the other side hangs up, which it must
// do soon: what it does not read stays in the buffers of the connection.
func endless(start, rest string) func(*peer) {
	return func(p *peer) {
		p.say(start)
		block := strings.Repeat(rest, 1+(32<<10)/len(rest))
		for n := 0; n < 64<<20; n += len(block) {
			if _, err := io.WriteString(p.Conn, block); err != nil {
				return
			}
		}
		panic("64 MiB were read")
	}
}

func reset(p *peer) {
	_ = p.Conn.(*net.TCPConn).SetLinger(0)
	p.Close()
}

func (p *peer) closeWrite() {
	if conn, ok := p.Conn.(interface{ CloseWrite() error }); ok {
		_ = conn.CloseWrite()
	}
}

// A gzip bomb is not expanded: what is kept is what came.
func TestPostExpandsNothing(t *testing.T) {
	t.Parallel()
	var bomb bytes.Buffer
	w := gzip.NewWriter(&bomb)
	if _, err := w.Write(make([]byte, 4<<20)); err != nil {
		t.Fatal(err)
	}
	check.OK(t, w.Close())
	s := serve(t, answer(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", bomb.Len(), bomb.String())))
	reply, err := post(t, t.Context(), &Client{}, "http://"+s.address)
	checkTold(t, err, `unsupported_encoding (reply, sent "no", attempts 0): the reply is compressed, which was not asked for`)
	if len(reply.body) != bomb.Len() || reply.IsJSON() {
		t.Errorf("%d bytes of body, want %d", len(reply.body), bomb.Len())
	}
}

func TestReplyIsJSON(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		reply Reply
		want  bool
	}{
		{"object", Reply{body: []byte(`{"a":1}`)}, true},
		{"array", Reply{body: []byte(`[1]`)}, true},
		{"byte order mark", Reply{body: []byte("\xef\xbb\xbf{}")}, true},
		{"HTML", Reply{body: []byte(`<html>`)}, false},
		{"empty", Reply{}, false},
		{"encoded", Reply{body: []byte(`{}`), Encoding: "br"}, false},
		{"broken off", Reply{body: []byte(`{}`), bodyErr: io.ErrUnexpectedEOF}, false},
	}
	for _, test := range tests {
		if got := test.reply.IsJSON(); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

// Every phase ends with the deadline.
func TestPostDeadline(t *testing.T) {
	t.Parallel()
	const hint = "; hint: try again, or allow more time with --timeout 60s"
	tests := []struct {
		name   string
		scheme string
		handle func(*deadline) func(*peer)
		trace  string // pass the deadline when this is traced
		want   string
		sent   bool
	}{
		{"silent handshake", "https", func(d *deadline) func(*peer) {
			return func(p *peer) {
				_, _ = p.Read(make([]byte, 1))
				d.pass()
			}
		}, "", `timeout (net, sent "no", attempts 1): timeout: no answer from HOST in time (phase tls)` + hint, false},
		{"dripping handshake", "https", func(d *deadline) func(*peer) {
			return func(p *peer) {
				_, _ = p.Read(make([]byte, 1))
				p.say("\x16\x03\x03")
				d.pass()
			}
		}, "", `timeout (net, sent "no", attempts 1): timeout: no answer from HOST in time (phase tls)` + hint, false},
		{"no answer", "http", func(d *deadline) func(*peer) {
			return func(p *peer) {
				if p.request() {
					d.pass()
				}
			}
		}, "", `timeout (net, sent "yes", attempts 1): timeout: no answer from HOST in time (phase reply); the request may have been processed` + hint, true},
		{"dripping headers", "http", func(d *deadline) func(*peer) {
			return func(p *peer) {
				if p.request() {
					p.say("HTTP/1.1 200 OK\r\nX: ")
					d.pass()
				}
			}
		}, "", `timeout (net, sent "yes", attempts 1): timeout: no answer from HOST in time (phase reply); the request may have been processed` + hint, true},
		{"dripping body", "http", func(*deadline) func(*peer) {
			return func(p *peer) {
				for p.request(); ; time.Sleep(time.Millisecond) {
					if _, err := io.WriteString(p.Conn, "HTTP/1.1 200 OK\r\n\r\n "); err != nil {
						return
					}
				}
			}
		}, "status", `timeout (net, sent "yes", attempts 1): timeout: no answer from HOST in time (phase body); the request may have been processed` + hint, true},
		{"body without end", "http", func(*deadline) func(*peer) {
			return answer("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}")
		}, "status", `timeout (net, sent "yes", attempts 1): timeout: no answer from HOST in time (phase body); the request may have been processed` + hint, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := newDeadline(t)
			s := serve(t, test.handle(d))
			client := &Client{Trace: func(format string, _ ...any) {
				if test.trace != "" && strings.HasPrefix(format, test.trace) {
					d.pass()
				}
			}}
			_, err := post(t, d, client, test.scheme+"://"+s.address)
			checkTold(t, err, strings.ReplaceAll(test.want, "HOST", s.address))
			end := time.Now()
			wire := s.stop()
			if time.Since(end) > 5*time.Second {
				t.Error("the connection was left open")
			}
			if test.sent {
				checkWire(t, wire, golden(s.address))
			} else if text := strings.Join(wire, ""); leaked(text) != "" || strings.Contains(text, "POST") {
				t.Errorf("sent %q", text)
			}
		})
	}
}

// The same with a clock.
func TestPostDeadlineOfAClock(t *testing.T) {
	t.Parallel()
	s := serve(t, answer(""))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := post(t, ctx, &Client{}, "http://"+s.address)
	if got := told(err); !strings.HasPrefix(got, "timeout (net, ") {
		t.Error(got)
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
}

// A reply that takes the connection over: net/http would read it for ever.
func TestPostSwitchingProtocols(t *testing.T) {
	t.Parallel()
	s := serve(t, answer("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	reply, err := post(t, ctx, &Client{}, "http://"+s.address)
	checkTold(t, err, `empty_reply (reply, sent "no", attempts 0): the reply is empty`)
	if reply == nil || reply.Status != 101 {
		t.Errorf("reply %+v", reply)
	}
	checkWire(t, s.stop(), golden(s.address))
}

func TestPostCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	s := serve(t, func(p *peer) {
		if p.request() {
			cancel()
		}
	})
	_, err := post(t, ctx, &Client{}, "http://"+s.address)
	checkTold(t, err, `interrupted (signal, sent "yes", attempts 1): ended by a signal`)
}

// A reply that comes before the request was sent, on a connection that is then
// reset. Whether it is seen is a matter of luck; the end is not.
func TestPostEarlyReply(t *testing.T) {
	t.Parallel()
	s := serve(t, func(p *peer) {
		_, _ = p.Read(make([]byte, 1))
		p.say(good(""))
		reset(p)
	})
	r := request("http://" + s.address)
	r.Body = secret.New(strings.Repeat("x", 16<<20))
	reply, err := (&Client{}).Send(t.Context(), r)
	switch got := told(err); {
	case err == nil && reply.Status != 200:
		t.Errorf("status %d", reply.Status)
	case err != nil && !strings.HasPrefix(got, `connection_lost (net, sent "unknown", attempts 1): the connection to `+s.address+" was lost (phase send)"):
		t.Error(got)
	}
	if n := len(s.stop()); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// A request that the other side stops taking.
func TestPostBrokenOff(t *testing.T) {
	t.Parallel()
	d := newDeadline(t)
	s := serve(t, func(p *peer) {
		_, _ = p.Read(make([]byte, 1))
		d.pass()
	})
	r := request("http://" + s.address)
	r.Body = secret.New(strings.Repeat("x", 16<<20))
	_, err := (&Client{}).Send(d, r)
	checkTold(t, err, `timeout (net, sent "unknown", attempts 1): timeout: no answer from `+s.address+` in time (phase send); the request may have been processed; hint: try again, or allow more time with --timeout 60s`)
}

func TestPostNoConnection(t *testing.T) {
	t.Parallel()
	const hint = "; hint: check the environment or base address, and this computer's network"
	tests := []struct{ name, base, want string }{
		{"the name does not exist", "https://name.invalid:8443", `dns_not_found (net, sent "no", attempts 1): the name name.invalid does not exist` + hint},
		{"the look-up fails", "https://servfail.example:8443", `dns_failed (net, sent "no", attempts 1): the name servfail.example could not be looked up; hint: check this computer's network`},
		{"refused", "https://127.0.0.1:1", `connect_failed (net, sent "no", attempts 1): cannot connect to 127.0.0.1:1: connection refused` + hint},
		{"refused by a name", "https://provider.example:1", `connect_failed (net, sent "no", attempts 1): cannot connect to provider.example:1: connection refused` + hint},
		{"http to another computer", "http://192.0.2.1", `connect_failed (net, sent "no", attempts 1): 192.0.2.1 is not a loopback address, so http is not used; hint: use an https base address`},
		{"http to a network", "http://[2001:db8::1]:8080", `connect_failed (net, sent "no", attempts 1): [2001:db8::1]:8080 is not a loopback address, so http is not used; hint: use an https base address`},
		{"no address", "https://127.0.0.1:" + canaryPassword, `bad_base_url (config, sent "no", attempts 0): the token endpoint's address is not valid`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			_, err := post(t, ctx, &Client{}, test.base)
			checkTold(t, err, test.want)
		})
	}
}

func TestPostSilentResolver(t *testing.T) {
	t.Parallel()
	d := newDeadline(t)
	host := fmt.Sprintf("silent-%d.example", time.Now().UnixNano())
	silent.Store(host+".", d.pass)
	_, err := post(t, d, &Client{}, "https://"+host)
	checkTold(t, err, `dns_failed (net, sent "no", attempts 1): the name `+host+` could not be looked up; hint: check this computer's network`)
}

// The first address is dead, the second works.
func TestPostSecondAddress(t *testing.T) {
	t.Parallel()
	authority := newAuthority()
	s := serveTLS(t, authority.issue(nil), answer(good("")))
	_, port, _ := net.SplitHostPort(s.address)
	if _, err := post(t, t.Context(), authority.client(), "https://dual.example:"+port); err != nil {
		t.Fatal(told(err))
	}
	checkWire(t, s.stop(), golden("dual.example:"+port))
}

// The server could speak HTTP/2.
func TestPostSpeaksHTTP1(t *testing.T) {
	t.Parallel()
	protocols := make(chan string, 2)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protocols <- r.Proto + " " + r.TLS.NegotiatedProtocol
		_, _ = io.WriteString(w, "{}")
	}))
	authority := newAuthority()
	s.TLS = authority.issue(nil)
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	if !slices.Contains(s.TLS.NextProtos, "h2") {
		t.Fatal("the server does not offer HTTP/2")
	}
	if _, err := post(t, t.Context(), authority.client(), s.URL); err != nil {
		t.Fatal(told(err))
	}
	if got := <-protocols; strings.TrimSuffix(got, "http/1.1") != "HTTP/1.1 " || len(protocols) > 0 {
		t.Errorf("spoke %q", got)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 12, 0, 0, 400e6, time.UTC)
	const never = -1
	tests := []struct {
		name, header string
		want         time.Duration
	}{
		{"seconds", "30", 30 * time.Second},
		{"seconds", "0", 0},
		{"seconds", "86400", 24 * time.Hour},
		{"seconds", "86401", never},
		{"seconds", "18446744073709551616", never},
		{"seconds", "9223372037", never}, // times a second overflows
		{"seconds", "-1", never},
		{"seconds", "1.5", never},
		{"seconds", "30, 60", never},
		{"seconds", "", never},
		{"seconds", hostile, never},
		{"date: future", "Sat, 21 Nov 2026 12:01:00 GMT", time.Minute},
		{"date: now", "Sat, 21 Nov 2026 12:00:00 GMT", 0},
		{"date: a day", "Sun, 22 Nov 2026 12:00:00 GMT", 24 * time.Hour},
		{"date: over a day", "Sun, 22 Nov 2026 12:00:01 GMT", never},
		{"date: past", "Thu, 01 Jan 1970 00:00:00 GMT", 0},
		{"date: wrong zone", "Sat, 21 Nov 2026 12:01:00 CET", never},
		{"date: old form", "Saturday, 21-Nov-26 12:01:00 GMT", time.Minute},
		{"date: C form", "Sat Nov 21 12:01:00 2026", time.Minute},
		{"date: not in the calendar", "Sat, 31 Nov 2026 12:01:00 GMT", never},
	}
	for _, test := range tests {
		t.Run(test.name+" "+strconv.Quote(test.header), func(t *testing.T) {
			t.Parallel()
			got := time.Duration(never)
			if wait := retryAfter(test.header, now); wait != nil {
				got = *wait
			}
			if got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestParseCertificates(t *testing.T) {
	t.Parallel()
	if _, err := ParseCertificates(newAuthority().PEM); err != nil {
		t.Error(err)
	}
	for _, data := range []string{"", hostile, "-----BEGIN CERTIFICATE-----\n" + canaryServer + "\n-----END CERTIFICATE-----\n"} {
		if _, err := ParseCertificates([]byte(data)); err == nil || err.Error() != "contains no PEM certificate" {
			t.Errorf("%q: %v", data, err)
		}
	}
}

// TestSentOnce: net/http sends some requests again by itself, those without a body
// among them.
func TestSentOnce(t *testing.T) {
	t.Parallel()
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		s := serve(t, func(p *peer) { p.request(); p.Close() })
		_, err := (&Client{UserAgent: "tokenfetch/test"}).Send(t.Context(), Request{
			Method: method, URL: "http://" + s.address + "/token?a=b",
			Headers: []Header{{"X-api-Key", secret.New(canaryPassword)}, {"user-agent", secret.New("mine")}, {"accept", secret.New("text/json")}},
		})
		if e, ok := errors.AsType[*failure.Error](err); !ok || e.Code != failure.ConnectionLost || e.Sent != failure.SentYes {
			t.Errorf("%s: %v", method, err)
		}
		length := ""
		if method == http.MethodPost {
			length = "Content-Length: 0\r\n"
		}
		checkWire(t, s.stop(), wireForm(method+" /token?a=b HTTP/1.1\r\nHost: "+s.address+"\r\nUser-Agent: mine\r\naccept: text/json\r\nX-api-Key: "+
			canaryPassword+"\r\nConnection: close\r\n"+length+"\r\n"))
	}
}
