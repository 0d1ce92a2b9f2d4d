package cmd

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"log"
	"maps"
	"math/big"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// endpoint is a token endpoint made of a script's own replies: unlike the
// emulator it knows no definition, so it is a second witness.
type endpoint struct {
	mu          sync.Mutex
	connections int
	requests    int
	log         *os.File // what came in, as the scripts compare it
}

// endpoint [-tls] BEHAVIOUR starts a server and sets $ENDPOINT to its address
// (and $ENDPOINT_HOST to its host and port). With -tls its authority stands in
// the file ca.pem. BEHAVIOUR is one of
//
//	STATUS FILE [NAME:VALUE...]   answer with the status, the file's content and the headers
//	hang                          read the request and never answer
//	close                         read the request and close the connection
//	garbage                       answer with bytes that are not HTTP
//
// or several of these joined by "then", one for each request. With -drop N the
// first N connections are reset before anything is read.
func startEndpoint(ts *testscript.TestScript, neg bool, args []string) {
	flags := flag.NewFlagSet("endpoint", flag.ContinueOnError)
	secure := flags.Bool("tls", false, "")
	drop := flags.Int("drop", 0, "")
	ts.Check(flags.Parse(args))
	args = flags.Args()
	if neg || len(args) == 0 {
		ts.Fatalf("usage: endpoint [-tls] [-drop N] BEHAVIOUR")
	}
	file, err := os.OpenFile(ts.MkAbs("requests"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	ts.Check(err)
	e := &endpoint{log: file}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	address := listener.Addr().String()
	listener = &dropping{Listener: listener, left: *drop}
	scheme := "http"
	if *secure {
		scheme = "https"
		authority, certificate := testCertificate(ts)
		ts.Check(os.WriteFile(ts.MkAbs("ca.pem"), authority, 0o600))
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2", "http/1.1"}})
	}
	server := &http.Server{
		Handler:   e.handler(ts, args),
		ErrorLog:  log.New(io.Discard, "", 0),
		ConnState: func(_ net.Conn, state http.ConnState) { e.count(state == http.StateNew, false) },
	}
	go server.Serve(listener)
	ts.Defer(func() { server.Close(); file.Close() })
	ts.Setenv("ENDPOINT", scheme+"://"+address)
	ts.Setenv("ENDPOINT_HOST", address)
	endpoints.Store(ts, e)
}

// endpoints holds the running endpoint of each script.
var endpoints sync.Map

func (e *endpoint) count(connection, request bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if connection {
		e.connections++
	}
	if request {
		e.requests++
	}
}

// behaviour is how one request is answered.
type behaviour struct {
	status  int    // or, if it is 0,
	trouble string // hang, close or garbage
	body    string
	headers []string
}

func parseBehaviours(ts *testscript.TestScript, args []string) []behaviour {
	var all []behaviour
	for _, step := range strings.Split(strings.Join(args, "\n"), "\nthen\n") {
		words := strings.Split(step, "\n")
		status, err := strconv.Atoi(words[0])
		if err != nil {
			all = append(all, behaviour{trouble: words[0]})
			continue
		}
		all = append(all, behaviour{status, "", os.Expand(ts.ReadFile(words[1]), ts.Getenv), words[2:]})
	}
	return all
}

func (e *endpoint) handler(ts *testscript.TestScript, args []string) http.Handler {
	behaviours := parseBehaviours(ts, args)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.count(false, true)
		e.write(r)
		e.mu.Lock()
		b := behaviours[min(e.requests, len(behaviours))-1]
		e.mu.Unlock()
		switch b.trouble {
		case "hang":
			<-r.Context().Done()
			return
		case "close", "garbage":
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				if b.trouble == "garbage" {
					_, _ = conn.Write([]byte("220 mail.example ESMTP \x1b[2J\r\n"))
				}
				conn.Close()
			}
			return
		}
		w.Header()["Content-Type"] = []string{"application/json"}
		for _, header := range b.headers {
			name, value, _ := strings.Cut(header, ":")
			w.Header()[name] = []string{value}
		}
		w.WriteHeader(b.status)
		_, _ = io.WriteString(w, b.body)
	})
}

// dropping is a listener that resets its first connections.
type dropping struct {
	net.Listener
	left int // used by the one goroutine that accepts
}

func (d *dropping) Accept() (net.Conn, error) {
	for {
		conn, err := d.Listener.Accept()
		if err != nil || d.left == 0 {
			return conn, err
		}
		d.left--
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		conn.Close()
	}
}

// write logs a request: the line, the headers in alphabetical order, the body.
func (e *endpoint) write(r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		body = []byte("unreadable")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s\n", r.Method, r.RequestURI, r.Proto)
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		fmt.Fprintf(&b, "%s: %s\n", name, strings.Join(r.Header[name], " | "))
	}
	fmt.Fprintf(&b, "\n%s\n", body)
	e.mu.Lock()
	defer e.mu.Unlock()
	_, _ = e.log.WriteString(b.String())
}

// requests N [CONNECTIONS] checks how many requests the endpoint that was
// started last has seen, and on how many connections (without CONNECTIONS, on
// one each).
func countRequests(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: requests N [CONNECTIONS]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	connections, err := strconv.Atoi(args[len(args)-1])
	ts.Check(err)
	running, _ := endpoints.Load(ts)
	e, _ := running.(*endpoint)
	if e == nil {
		ts.Fatalf("no endpoint was started")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.requests != want || e.connections != connections {
		ts.Fatalf("%d requests on %d connections, want %d on %d", e.requests, e.connections, want, connections)
	}
}

// testCertificate makes an authority (as PEM) and a certificate of 127.0.0.1.
func testCertificate(ts *testscript.TestScript) ([]byte, tls.Certificate) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "tokenfetch test"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	ts.Check(err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
