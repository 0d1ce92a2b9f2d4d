package token

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/testdata/check"
	"github.com/tokenfetch/tokenfetch/testdata/pki"
)

// The canaries: what must stand in no message of ours.
const (
	canaryPassword = "canary-password-97c2"
	canaryBasic    = "canary-basic-e04d"
	canaryProxy    = "canary-proxy-31aa"
	canaryServer   = "canary-server-66d8" // in whatever a server says
)

// hostile is what a server says to take over a terminal.
const hostile = "\x1b]0;" + canaryServer + "\x07"

// TestMain keeps every look-up on this machine.
func TestMain(m *testing.M) {
	if err := answerNames(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// request is the call every test makes, of the endpoint below base.
func request(base string) Request {
	return Request{
		Method:      http.MethodPost,
		URL:         base + "/oauth/token",
		ContentType: "application/x-www-form-urlencoded",
		Basic:       &Basic{"client", secret.New(canaryBasic)},
		Body:        secret.New("username=ops%40example.com&password=" + canaryPassword + "&grant_type=password"),
	}
}

// golden is that call as it must look on the wire.
func golden(host string) string {
	return wireForm("POST /oauth/token HTTP/1.1\r\n" +
		"Host: " + host + "\r\n" +
		"User-Agent: tokenfetch/test\r\n" +
		"Accept: application/json\r\n" +
		"Authorization: Basic Y2xpZW50OmNhbmFyeS1iYXNpYy1lMDRk\r\n" +
		"Connection: close\r\n" +
		"Content-Length: 76\r\n" +
		"Content-Type: application/x-www-form-urlencoded\r\n" +
		"\r\n" +
		"username=ops%40example.com&password=canary-password-97c2&grant_type=password")
}

// wireForm sorts the header lines of a request, whose order means nothing.
func wireForm(wire string) string {
	head, body, _ := strings.Cut(wire, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	slices.Sort(lines[1:])
	return strings.Join(lines, "\r\n") + "\r\n\r\n" + body
}

// post makes the call of base and returns the reply, or the error that it or
// its body is. Whatever is said of it must be harmless.
func post(t *testing.T, ctx context.Context, client *Client, base string) (*Reply, error) {
	t.Helper()
	var mu sync.Mutex
	var traced []string
	c := *client
	c.UserAgent = "tokenfetch/test"
	c.Trace = func(format string, args ...any) {
		mu.Lock()
		traced = append(traced, fmt.Sprintf(format, args...))
		mu.Unlock()
		if client.Trace != nil {
			client.Trace(format, args...)
		}
	}
	reply, err := c.Send(ctx, request(base))
	if err == nil {
		_, err = reply.Object()
	}
	mu.Lock()
	defer mu.Unlock()
	for _, line := range traced {
		checkHarmless(t, line)
	}
	if err != nil {
		checkHarmless(t, told(err))
		if inner := errors.Unwrap(err); inner != nil {
			t.Errorf("the error wraps a %T", inner)
		}
	}
	return reply, err
}

// told is everything an error says: code, class, how much was sent, attempts,
// message and hint.
func told(err error) string {
	if err == nil {
		return "no error"
	}
	e, ok := errors.AsType[*failure.Error](err)
	if !ok {
		return fmt.Sprintf("not a failure but a %T", err)
	}
	text := fmt.Sprintf("%s (%s, sent %q, attempts %d): %s", e.Code, e.Class(), e.Sent, e.Attempts, e.Error())
	if e.Hint != "" {
		text += "; hint: " + e.Hint
	}
	return text
}

func checkTold(t *testing.T, err error, want string) {
	t.Helper()
	if got := told(err); got != want {
		t.Errorf("the error differs\n got %s\nwant %s", got, want)
	}
}

// checkHarmless wants text to be printable ASCII without a canary.
func checkHarmless(t *testing.T, text string) {
	t.Helper()
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			t.Errorf("byte %#x in %q", text[i], text)
			break
		}
	}
	if name := leaked(text); name != "" {
		t.Errorf("%s in %q", name, text)
	}
}

// leaked returns the canary that text holds, in plain or in base64.
func leaked(text string) string {
	for _, canary := range []string{canaryPassword, canaryBasic, canaryProxy, canaryServer} {
		if strings.Contains(text, canary) {
			return canary
		}
	}
	for _, pair := range []string{"client:" + canaryBasic, "proxy:" + canaryProxy} {
		if strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(pair))) {
			return "the pair " + pair
		}
	}
	return ""
}

// server is a loopback listener that records what is sent to it.
type server struct {
	address  string // 127.0.0.1:PORT
	listener net.Listener
	running  sync.WaitGroup
	stopped  sync.Once

	mu         sync.Mutex
	wire       []string // what each connection brought, below any TLS of its handler
	handshakes []error  // of each TLS connection
}

// peer is one connection to a server.
type peer struct {
	net.Conn
	server *server
	number int
}

// serve lets handle answer every connection. When handle returns, the rest of
// what the other side sends is read before the connection is closed.
func serve(t *testing.T, handle func(*peer)) *server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check.OK(t, err)
	s := &server{address: listener.Addr().String(), listener: listener}
	s.running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			s.mu.Lock()
			p := &peer{conn, s, len(s.wire)}
			s.wire = append(s.wire, "")
			s.mu.Unlock()
			s.running.Go(func() {
				defer conn.Close()
				handle(p)
				_, _ = io.Copy(io.Discard, p)
			})
		}
	})
	t.Cleanup(func() { s.stop() })
	return s
}

// serveTLS is serve with TLS before handle; a failed handshake is recorded and
// ends the connection. What is recorded is what came through TLS.
func serveTLS(t *testing.T, config *tls.Config, handle func(*peer)) *server {
	t.Helper()
	return serve(t, func(p *peer) {
		conn := tls.Server(p.Conn, config)
		err := conn.Handshake()
		p.server.mu.Lock()
		p.server.handshakes = append(p.server.handshakes, err)
		p.server.mu.Unlock()
		p.Conn = conn
		if err == nil {
			handle(p)
		}
	})
}

func (p *peer) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	p.server.mu.Lock()
	p.server.wire[p.number] += string(b[:n])
	p.server.mu.Unlock()
	return n, err
}

// request reads one request whole and reports whether there was one.
func (p *peer) request() bool {
	r, err := http.ReadRequest(bufio.NewReader(p))
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, r.Body)
	return err == nil
}

func (p *peer) say(text string) { _, _ = io.WriteString(p.Conn, text) }

// stop ends the server and returns what each connection brought. A further
// connection has a moment to show itself.
func (s *server) stop() []string {
	s.stopped.Do(func() {
		time.Sleep(10 * time.Millisecond)
		s.listener.Close()
		s.running.Wait()
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wire
}

// answer is a handler that reads the request and says text.
func answer(text string) func(*peer) {
	return func(p *peer) {
		if p.request() {
			p.say(text)
		}
	}
}

// good is a reply with a token in it, with the given further header lines.
func good(header string) string {
	const body = `{"access_token":"tok"}`
	return fmt.Sprintf("HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s", header, len(body), body)
}

// deadline is a context whose deadline passes when the test says so: it needs
// no wait, and it strikes in exactly the phase that is tested.
type deadline struct {
	context.Context
	passed chan struct{}
	once   sync.Once
}

func newDeadline(t *testing.T) *deadline {
	return &deadline{Context: t.Context(), passed: make(chan struct{})}
}

func (d *deadline) pass() { d.once.Do(func() { close(d.passed) }) }

func (d *deadline) Done() <-chan struct{} { return d.passed }

func (d *deadline) Err() error {
	select {
	case <-d.passed:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// authority issues certificates with a hostile name.
type authority struct{ *pki.Authority }

func newAuthority() *authority { return &authority{pki.New(hostile)} }

// issue is the set-up of a server with a certificate, see [pki.Authority.Issue].
func (a *authority) issue(change func(*x509.Certificate)) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{a.Issue(change)}}
}

// client trusts the authority and nothing else.
func (a *authority) client() *Client { return &Client{Roots: a.Pool()} }

// silent holds names that are never answered, each with a func() that is
// called when it is asked for.
var silent sync.Map

// answerNames makes this process ask a name server of its own, on loopback.
// What it says of a name stands in nameAnswer.
func answerNames() error {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() {
		packet := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(packet)
			if err != nil {
				return
			}
			if reply := nameAnswer(packet[:n]); reply != nil {
				_, _ = conn.WriteTo(reply, from)
			}
		}
	}()
	net.DefaultResolver = &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "udp", conn.LocalAddr().String())
		},
	}
	return nil
}

// nameAnswer returns the answer to a query (RFC 1035 section 4), nil for none.
func nameAnswer(query []byte) []byte {
	const header = 12
	end := header
	var name strings.Builder
	for query[end] != 0 {
		n := int(query[end])
		name.Write(query[end+1 : end+1+n])
		name.WriteByte('.')
		end += 1 + n
	}
	kind := binary.BigEndian.Uint16(query[end+1:])
	end += 5
	const (
		kindA    = 1
		kindAAAA = 28
	)
	var code byte
	var data []byte
	host := name.String()
	if asked, ok := silent.Load(host); ok {
		asked.(func())()
		return nil
	}
	switch {
	case host == "servfail.example.":
		code = 2
	case kind == kindA && (host == "provider.example." || host == "dual.example."):
		data = net.IPv4(127, 0, 0, 1).To4()
	case kind == kindAAAA && host == "dual.example.":
		data = net.IPv6loopback
	case host == "provider.example.":
	default:
		code = 3 // there is no such name
	}
	reply := bytes.Clone(query[:end])
	copy(reply[2:], []byte{0x81, 0x80 | code, 0, 1, 0, 0, 0, 0, 0, 0})
	if data != nil {
		reply[7] = 1
		reply = append(reply, 0xc0, header, 0, byte(kind), 0, 1, 0, 0, 0, 0, 0, byte(len(data)))
		reply = append(reply, data...)
	}
	return reply
}
