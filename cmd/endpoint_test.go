package cmd

import (
	"bufio"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tokenfetch/tokenfetch/testdata/pki"
)

// endpoint is a token endpoint made of a script's own replies: unlike the
// emulator it knows no definition, so it is a second witness. It reads and
// writes bytes itself, because most of what it plays is not HTTP.
type endpoint struct {
	address string // 127.0.0.1:PORT
	layer   layer
	issuer  *pki.Authority // of its certificate, nil without TLS
	answers []answer       // to one connection each, the last to all further ones
	log     io.Writer      // what came in, as the scripts compare it

	wire        wire
	mu          sync.Mutex
	connections int // accepted
	requests    int // understood
	passwords   int // requests with the password in their body
	open        open
}

// startEndpoint is the script command
//
//	endpoint [-tls] [-with TROUBLE] [-drop N] [-late DURATION] BEHAVIOUR
//
// It starts a server and sets $ENDPOINT to its address ($ENDPOINT_HOST to its
// host and port, $ENDPOINT_PORT to the port). With -tls its authority stands in the file ca.pem, and
// TROUBLE is one of layers. With -drop N the first N connections are reset
// before anything is read; with -late the port is closed for so long. BEHAVIOUR
// is one of
//
//	STATUS FILE [NAME:VALUE...]   answer with the status, the file's content and the headers
//	hang                          read the request and never answer
//	close                         read the request and close the connection
//	reset                         read the request and reset the connection
//	garbage                       answer with bytes that are not HTTP
//	raw FILE                      answer with the file's content, lines ended by CR LF
//	drip FILE                     the same, and then a blank every 50 ms for ever
//	endless FILE                  the same, and then blanks for ever, without a pause
//	early FILE                    say the file's content before the request is read
//	deaf FILE                     say it when the request has begun, and read no more
//
// or several of these joined by "then", one for each connection. A FILE that
// is empty or begins with { is the content itself; see content.
func startEndpoint(ts *testscript.TestScript, neg bool, args []string) {
	flags := flag.NewFlagSet("endpoint", flag.ContinueOnError)
	secure := flags.Bool("tls", false, "")
	trouble := flags.String("with", "", "")
	drop := flags.Int("drop", 0, "")
	late := flags.Duration("late", 0, "")
	ts.Check(flags.Parse(args))
	if neg || flags.NArg() == 0 {
		ts.Fatalf("usage: endpoint [-tls] [-with TROUBLE] [-drop N] [-late DURATION] BEHAVIOUR")
	}
	file, err := os.OpenFile(ts.MkAbs("requests"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	ts.Check(err)
	e := &endpoint{log: file, answers: parseAnswers(ts, flags.Args())}
	scheme := "http"
	if *secure {
		scheme = "https"
		e.issuer = newAuthority()
		e.layer, err = layers(e.issuer, *trouble)
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs("ca.pem"), e.issuer.PEM, 0o600))
	}
	ts.Check(e.listen(*drop, *late, ts.Defer))
	ts.Defer(func() { file.Close() })
	ts.Setenv("ENDPOINT", scheme+"://"+e.address)
	ts.Setenv("ENDPOINT_HOST", e.address)
	_, port, err := net.SplitHostPort(e.address)
	ts.Check(err)
	ts.Setenv("ENDPOINT_PORT", port)
	remember(ts, e)
}

// issueCertificate is the script command
//
//	certificate FILE KEYFILE [expired|future|ending|stranger]
//
// It writes a client certificate and its private key: of the authority of the
// endpoint that was started last, or of another one.
func issueCertificate(ts *testscript.TestScript, neg bool, args []string) {
	e := started(ts, "")
	if neg || len(args) < 2 || len(args) > 3 || e == nil || e.issuer == nil {
		ts.Fatalf("usage, after endpoint -tls: certificate FILE KEYFILE [expired|future|ending|stranger]")
	}
	issuer := e.issuer
	var change func(*x509.Certificate)
	switch strings.Join(args[2:], "") {
	case "":
	case "expired":
		change = func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	case "future":
		change = func(c *x509.Certificate) { c.NotBefore = time.Now().Add(10 * time.Minute) }
	case "ending":
		change = func(c *x509.Certificate) { c.NotBefore = time.Now().AddDate(-1, 0, 0) }
	case "stranger":
		issuer = newAuthority()
	default:
		ts.Fatalf("there is no certificate that is %s", args[2])
	}
	certificate, key := pki.Encode(issuer.ForClients(change))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), certificate, 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), key, 0o600))
}

// countRequests is the script command
//
//	requests [-at ADDRESS] N [CONNECTIONS]
//
// It checks how many requests the endpoint that was started last has seen (or
// the one at an $ENDPOINT of before), on how many connections (without
// CONNECTIONS, on one each), and that the password was in none of the bytes
// that came in but once in each request.
func countRequests(ts *testscript.TestScript, neg bool, args []string) {
	flags := flag.NewFlagSet("requests", flag.ContinueOnError)
	at := flags.String("at", "", "")
	ts.Check(flags.Parse(args))
	args = flags.Args()
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: requests [-at ADDRESS] N [CONNECTIONS]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	connections, err := strconv.Atoi(args[len(args)-1])
	ts.Check(err)
	e := started(ts, *at)
	if e == nil {
		ts.Fatalf("no such endpoint was started")
	}
	e.open.settle()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.requests != want || e.connections != connections {
		ts.Fatalf("%d requests on %d connections, want %d on %d", e.requests, e.connections, want, connections)
	}
	if n := e.wire.count(canaries["PASSWORD"]); n != e.passwords {
		ts.Fatalf("the password came %d times in %d requests", n, e.passwords)
	}
}

// endpoints holds the endpoints of each script, in the order of their start.
var endpoints struct {
	sync.Mutex
	of map[*testscript.TestScript][]*endpoint
}

func remember(ts *testscript.TestScript, e *endpoint) {
	endpoints.Lock()
	defer endpoints.Unlock()
	if endpoints.of == nil {
		endpoints.of = map[*testscript.TestScript][]*endpoint{}
	}
	endpoints.of[ts] = append(endpoints.of[ts], e)
}

// started returns a script's endpoint at an address, or its last one.
func started(ts *testscript.TestScript, address string) *endpoint {
	endpoints.Lock()
	defer endpoints.Unlock()
	for _, e := range slices.Backward(endpoints.of[ts]) {
		if address == "" || strings.HasSuffix(address, "://"+e.address) {
			return e
		}
	}
	return nil
}

// listen makes the endpoint accept connections. With late its port, though
// chosen, is closed for that time. It ends when what atEnd takes is called.
func (e *endpoint) listen(drop int, late time.Duration, atEnd func(func())) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	e.address = listener.Addr().String()
	if e.layer.neverAccepts {
		return fillQueue(listener, atEnd)
	}
	if late == 0 {
		atEnd(func() { listener.Close() })
		go e.accept(listener, drop)
		return nil
	}
	listener.Close()
	opened := make(chan net.Listener, 1)
	atEnd(func() {
		if l := <-opened; l != nil {
			l.Close()
		}
	})
	time.AfterFunc(late, func() {
		l, err := net.Listen("tcp", e.address)
		if err != nil {
			opened <- nil
			return
		}
		opened <- l
		e.accept(l, drop)
	})
	return nil
}

func (e *endpoint) accept(listener net.Listener, drop int) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		e.mu.Lock()
		e.connections++
		n := e.connections - drop
		e.mu.Unlock()
		e.open.Add(1)
		go func() {
			defer e.open.Add(-1)
			if n <= 0 {
				resetConn(conn)
				return
			}
			e.converse(conn, e.answers[min(n, len(e.answers))-1])
		}()
	}
}

// converse gives an answer to a connection, and then reads what else comes in.
func (e *endpoint) converse(conn net.Conn, answer answer) {
	defer conn.Close()
	c := &conversation{e.layer.over(e.wire.tap(conn)), conn, e}
	if e.layer.isTLS() {
		if c.Conn == nil {
			// A connection that is closed with bytes unread is reset, and with it
			// an alert that is under way.
			_, _ = io.Copy(io.Discard, conn)
			return
		}
		c.Conn = e.wire.tap(c.Conn)
	}
	answer(c)
	_, _ = io.Copy(io.Discard, c)
}

// open counts connections that have not ended.
type open struct{ atomic.Int32 }

// settle waits until every connection has ended, as it does when the program
// that made it has.
func (o *open) settle() {
	for range 600 {
		time.Sleep(5 * time.Millisecond)
		if o.Load() == 0 {
			return
		}
	}
}

// write logs a request: the line, the headers in alphabetical order (and the
// host, if it is not the endpoint's own), the body.
func (e *endpoint) write(r *http.Request, body []byte) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s\n", r.Method, r.RequestURI, r.Proto)
	if r.Host != e.address {
		r.Header["Host"] = []string{r.Host}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		fmt.Fprintf(&b, "%s: %s\n", name, strings.Join(r.Header[name], " | "))
	}
	fmt.Fprintf(&b, "\n%s\n", body)
	_, _ = io.WriteString(e.log, b.String())
}

// conversation is one connection to an endpoint.
type conversation struct {
	net.Conn // above TLS, if there is any
	raw      net.Conn
	endpoint *endpoint
}

// request reads one request whole, counts and logs it, and reports whether
// there was one.
func (c *conversation) request() bool {
	r, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return false
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		body = []byte("unreadable")
	}
	c.endpoint.mu.Lock()
	defer c.endpoint.mu.Unlock()
	c.endpoint.requests++
	if strings.Contains(string(body), canaries["PASSWORD"]) {
		c.endpoint.passwords++
	}
	c.endpoint.write(r, body)
	return err == nil
}

// say writes text and reports whether the other side still takes it.
func (c *conversation) say(text string) bool {
	_, err := io.WriteString(c, text)
	return err == nil
}

// end says that nothing more will come.
func (c *conversation) end() {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

func resetConn(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	conn.Close()
}

// wire keeps what comes in on the connections of a server.
type wire struct {
	mu   sync.Mutex
	taps []*tap
}

// tap is a connection whose incoming bytes are kept.
type tap struct {
	net.Conn
	wire *wire
	seen []byte
}

func (w *wire) tap(conn net.Conn) net.Conn {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := &tap{Conn: conn, wire: w}
	w.taps = append(w.taps, t)
	return t
}

// Read reads from the connection.
func (t *tap) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	t.wire.mu.Lock()
	t.seen = append(t.seen, b[:n]...)
	t.wire.mu.Unlock()
	return n, err
}

// CloseWrite ends what is written to the connection.
func (t *tap) CloseWrite() error {
	if half, ok := t.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// count returns how often text came in.
func (w *wire) count(text string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, t := range w.taps {
		n += strings.Count(string(t.seen), text)
	}
	return n
}
