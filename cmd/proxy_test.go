package cmd

import (
	"crypto/tls"
	"encoding/base64"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tokenfetch/tokenfetch/testdata/tunnel"
)

// fakeProxy is a proxy on loopback. Whatever host it is asked for, it leads to
// one endpoint, so that a script can use the name of a provider.
type fakeProxy struct {
	kind   string
	target string // the endpoint's host and port
	login  string // USER:PASSWORD, empty if it wants none
	config *tls.Config

	wire  wire
	mu    sync.Mutex
	heads []string // what each connection asked for
	open  open
}

// startProxy is the script command
//
//	proxy [-login USER:PASSWORD] KIND
//
// It starts a proxy in front of the endpoint that was started last and sets
// $PROXY to its host and port. KIND is one of
//
//	connect           lead to the endpoint
//	intercept         end TLS itself, with a certificate of its own authority
//	STATUS            refuse with the status
//	hang              never answer
//	socks5            lead to the endpoint, in SOCKS (RFC 1928)
//	socks5-refusing   refuse, in SOCKS
func startProxy(ts *testscript.TestScript, neg bool, args []string) {
	flags := flag.NewFlagSet("proxy", flag.ContinueOnError)
	login := flags.String("login", "", "")
	ts.Check(flags.Parse(args))
	if neg || flags.NArg() != 1 {
		ts.Fatalf("usage: proxy [-login USER:PASSWORD] KIND")
	}
	p := &fakeProxy{kind: flags.Arg(0), target: ts.Getenv("ENDPOINT_HOST"), login: *login}
	p.config = &tls.Config{Certificates: []tls.Certificate{newAuthority().Issue(nil)}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { listener.Close() })
	go p.accept(listener)
	ts.Setenv("PROXY", listener.Addr().String())
	proxies.Store(ts, p)
}

// proxies holds the last proxy of each script.
var proxies sync.Map

// countProxied is the script command
//
//	proxied N
//
// It checks how many connections the proxy that was started last has taken,
// and that none of them showed it the password or a request. What they asked
// for is written to the file proxied.
func countProxied(ts *testscript.TestScript, neg bool, args []string) {
	stored, _ := proxies.Load(ts)
	p, _ := stored.(*fakeProxy)
	if neg || len(args) != 1 || p == nil {
		ts.Fatalf("usage, after proxy: proxied N")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	p.open.settle()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.heads) != want {
		ts.Fatalf("%d connections to the proxy, want %d", len(p.heads), want)
	}
	for _, text := range []string{canaries["PASSWORD"], "POST"} {
		if p.wire.count(text) > 0 {
			ts.Fatalf("the proxy has seen %s", text)
		}
	}
	ts.Check(os.WriteFile(ts.MkAbs("proxied"), []byte(strings.Join(p.heads, "")), 0o600))
}

func (p *fakeProxy) accept(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		p.mu.Lock()
		n := len(p.heads)
		p.heads = append(p.heads, "")
		p.mu.Unlock()
		p.open.Add(1)
		go func() {
			defer p.open.Add(-1)
			defer conn.Close()
			p.serve(n, p.wire.tap(conn))
		}()
	}
}

func (p *fakeProxy) serve(n int, conn net.Conn) {
	if strings.HasPrefix(p.kind, "socks5") {
		p.socks(n, conn)
		return
	}
	head, err := tunnel.ReadHead(conn)
	if err != nil {
		return
	}
	p.mu.Lock()
	p.heads[n] = strings.ReplaceAll(head, "\r\n", "\n")
	p.mu.Unlock()
	status, err := strconv.Atoi(p.kind)
	switch {
	case err == nil:
	case p.login != "" && !strings.Contains(head, "\r\nProxy-Authorization: Basic "+base64.StdEncoding.EncodeToString([]byte(p.login))+"\r\n"):
		status = 407
	default:
		status = 200
	}
	if p.kind == "hang" {
		_, _ = io.Copy(io.Discard, conn)
		return
	}
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 %d \x1b[2J%s\r\n\r\n", status, canaries["TOKEN"])
	if status == 200 {
		p.lead(conn)
	}
}

// lead connects the two sides.
func (p *fakeProxy) lead(conn net.Conn) {
	if p.kind != "intercept" {
		tunnel.Lead(conn, p.target)
		return
	}
	_, _ = io.Copy(io.Discard, p.wire.tap(tls.Server(conn, p.config)))
	// A reset would take the alert away that tells why.
	_, _ = io.Copy(io.Discard, conn)
}

// socks serves one connection in SOCKS 5.
func (p *fakeProxy) socks(n int, conn net.Conn) {
	if tunnel.SOCKS(conn, func(host string, port int) byte {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.heads[n] = fmt.Sprintf("SOCKS %s:%d\n", host, port)
		if p.kind == "socks5-refusing" {
			return 2
		}
		return 0
	}) {
		p.lead(conn)
	}
}
