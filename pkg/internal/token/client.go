package token

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
)

// Request is one HTTP request, usually to a token endpoint.
type Request struct {
	Method      string // GET or POST
	URL         string // https, or http with a loopback host
	ContentType string // of the body; empty for none
	Headers     []Header
	Basic       *Basic // credentials for HTTP Basic authentication (RFC 7617), or nil
	Body        secret.Value
}

// Header is an additional header. It replaces a default header with the same name.
type Header struct {
	Name  string // sent with this capitalization
	Value secret.Value
}

// Basic contains the credentials for the Authorization header. They are sent
// unchanged.
type Basic struct {
	User     string
	Password secret.Value
}

// Reply is the response of a token endpoint.
type Reply struct {
	Status      int
	ContentType string         // media type without parameters; empty if missing
	Encoding    string         // Content-Encoding, if the body is encoded
	RetryAfter  *time.Duration // 0 to 24 h; nil if missing or invalid
	Received    time.Time      // UTC

	body    []byte
	bodyErr error
}

// NewReply returns a reply with a complete body.
func NewReply(status int, body []byte) *Reply { return &Reply{Status: status, body: body} }

// Object parses the body with [ParseObject]. It returns an error if the body could
// not be read or is not valid.
func (r *Reply) Object() (Object, error) {
	switch {
	case r.bodyErr != nil:
		return nil, r.bodyErr
	case r.Encoding != "":
		return nil, failure.New(failure.UnsupportedEncoding, "the reply is compressed, which was not asked for")
	}
	return ParseObject(r.body)
}

// IsJSON reports whether the complete body was read and is valid JSON of any type.
func (r *Reply) IsJSON() bool { return r.bodyErr == nil && r.Encoding == "" && validJSON(r.body) }

// ClaimsJSON reports whether the body is JSON, or its media type says so. In the
// second case, the body may be invalid, too large, compressed or incomplete.
func (r *Reply) ClaimsJSON() bool { return r.IsJSON() || strings.HasSuffix(r.ContentType, "json") }

// Client sends requests. The zero Client trusts the system's CA certificates.
type Client struct {
	UserAgent   string
	Roots       *x509.CertPool       // the only CAs to trust; nil for the system's
	Certificate *tls.Certificate     // for servers that request a client certificate, but not for proxies; nil for none
	Getenv      func(string) string  // returns the variables for the proxy and the system's CAs; nil for none
	Trace       func(string, ...any) // called for each phase; may be nil
	Connected   func()               // called when a connection is established, before the first byte of a request; may be nil
}

// ParseCertificates returns a pool of the PEM certificates in data. The error does
// not quote data.
func ParseCertificates(data []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, errors.New("contains no PEM certificate")
	}
	return pool, nil
}

// Limits of a connection.
const (
	maxHeaders   = 64 << 10
	dialTimeout  = 10 * time.Second
	maxRetryWait = 24 * time.Hour
)

// Send sends req once and returns the reply, whatever its status. It does not follow
// redirects. The error is a [*failure.Error] that says whether the request was sent.
func (c *Client) Send(ctx context.Context, req Request) (*Reply, error) {
	target, err := url.Parse(req.URL)
	if err != nil {
		return nil, failure.New(failure.BadBaseURL, "the token endpoint's address is not valid")
	}
	x := &exchange{client: c, target: target}
	if err := c.checkProxy(target); err != nil {
		return nil, err
	}
	request, err := c.httpRequest(httptrace.WithClientTrace(ctx, x.hooks()), req)
	if err != nil {
		return nil, failure.New(failure.BadBaseURL, "the token endpoint's address is not valid")
	}
	x.enter(phaseConnect)
	// A transport alone does not follow redirects and stores no cookies.
	response, err := x.transport(request.Context()).RoundTrip(request)
	if err != nil {
		return nil, x.explain(ctx, err)
	}
	defer response.Body.Close()
	x.enter(phaseBody)
	c.trace("status %d from %s", response.StatusCode, target.Host)
	reply := &Reply{Status: response.StatusCode, Received: time.Now().UTC().Round(0)}
	reply.ContentType, _, _ = mime.ParseMediaType(response.Header.Get("Content-Type")) // empty if malformed
	reply.RetryAfter = retryAfter(response.Header.Get("Retry-After"), reply.Received)
	if e := response.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		reply.Encoding = e
	}
	if response.StatusCode == http.StatusSwitchingProtocols {
		return reply, nil // its body would be the connection itself, which no deadline ends
	}
	reply.body, err = io.ReadAll(io.LimitReader(response.Body, MaxBody+1))
	switch {
	case err != nil:
		reply.bodyErr = x.explain(ctx, err)
	case len(reply.body) > MaxBody:
		reply.bodyErr = tooLarge()
	}
	c.trace("%d bytes of body", len(reply.body))
	return reply, nil
}

// httpRequest builds the request for net/http. net/http cannot send it a second
// time, because without GetBody it cannot get the body again.
func (c *Client) httpRequest(ctx context.Context, req Request) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, req.Method, req.URL, strings.NewReader(req.Body.Reveal()))
	if err != nil {
		return nil, err
	}
	request.GetBody = nil
	if req.ContentType != "" {
		request.Header.Set("Content-Type", req.ContentType)
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", c.UserAgent)
	if req.Basic != nil {
		request.SetBasicAuth(req.Basic.User, req.Basic.Password.Reveal())
	}
	for _, h := range req.Headers {
		request.Header.Del(h.Name)
		request.Header[inCase(h.Name)] = []string{h.Value.Reveal()}
	}
	return request, nil
}

// inCase returns the map key for which net/http keeps the capitalization of name.
// net/http looks up User-Agent, which it sets itself, under the canonical name.
func inCase(name string) string {
	if strings.EqualFold(name, "User-Agent") {
		return "User-Agent"
	}
	return name
}

func (c *Client) trace(format string, args ...any) {
	if c.Trace != nil {
		c.Trace(format, args...)
	}
}

// phase is the progress of an exchange. Its text names what the exchange waits for.
type phase string

const (
	phaseLookup  phase = "lookup"
	phaseConnect phase = "connect"
	phaseProxy   phase = "proxy"
	phaseTLS     phase = "tls"
	phaseSend    phase = "send"
	phaseReply   phase = "reply"
	phaseBody    phase = "body"
)

// exchange is one request in progress. Its hooks run on goroutines of net/http, and
// some of these outlive the call.
type exchange struct {
	client *Client
	target *url.URL

	certificateAsked atomic.Bool // the server has requested a client certificate
	presented        atomic.Bool // and has received it
	tunnelled        atomic.Bool // the proxy has connected to the server

	mu    sync.Mutex
	phase phase
	sent  failure.Sent
	proxy *url.URL
}

func (x *exchange) enter(p phase) {
	x.mu.Lock()
	x.phase = p
	x.mu.Unlock()
}

func (x *exchange) state() (phase, failure.Sent, *url.URL) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.phase, x.sent, x.proxy
}

func (x *exchange) hooks() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		DNSStart: func(httptrace.DNSStartInfo) { x.enter(phaseLookup) },
		ConnectStart: func(_, address string) {
			x.enter(phaseConnect)
			x.client.trace("connecting to %s", address)
		},
		TLSHandshakeStart: func() { x.enter(phaseTLS) },
		TLSHandshakeDone: func(s tls.ConnectionState, err error) {
			if err == nil {
				x.client.trace("%s with %s", tls.VersionName(s.Version), x.target.Hostname())
			}
		},
		GotConn: func(httptrace.GotConnInfo) {
			if x.client.Connected != nil {
				x.client.Connected()
			}
			x.mu.Lock()
			x.phase, x.sent = phaseSend, failure.SentUnknown
			x.mu.Unlock()
		},
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			if info.Err != nil {
				return
			}
			x.mu.Lock()
			x.phase, x.sent = phaseReply, failure.SentYes
			x.mu.Unlock()
			x.client.trace("request sent")
		},
	}
}

func (x *exchange) transport(ctx context.Context) *http.Transport {
	dialer := &net.Dialer{
		Timeout: dialTimeout,
		Control: func(_, address string, _ syscall.RawConn) error {
			if x.target.Scheme == "http" && !loopback(address) {
				return errNotLoopback
			}
			return nil
		},
	}
	roots := x.client.Roots
	if roots == nil && x.target.Scheme == "https" && x.client.Getenv != nil {
		roots = systemRoots(bundles(), x.client.Getenv)
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Transport{
		Protocols: &protocols,
		// net/http may continue to dial after the end of the request.
		DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err == nil {
				context.AfterFunc(ctx, func() { conn.Close() })
			}
			return conn, err
		},
		Proxy: func(r *http.Request) (*url.URL, error) {
			proxy, err := x.client.proxy(r.URL)
			if err != nil {
				return nil, errBadProxy // the error text quotes the value of the variable
			}
			if proxy != nil {
				x.mu.Lock()
				x.proxy = proxy
				x.mu.Unlock()
				x.client.trace("through the proxy %s", proxy.Host)
			}
			return proxy, nil
		},
		GetProxyConnectHeader: func(context.Context, *url.URL, string) (http.Header, error) {
			x.enter(phaseProxy)
			return http.Header{"User-Agent": {""}}, nil // no User-Agent: a proxy gets only the host
		},
		OnProxyConnectResponse: func(_ context.Context, _ *url.URL, _ *http.Request, r *http.Response) error {
			if r.StatusCode != http.StatusOK {
				return proxyStatusError(r.StatusCode)
			}
			x.tunnelled.Store(true)
			return nil
		},
		TLSClientConfig: &tls.Config{
			MinVersion:           tls.VersionTLS12,
			RootCAs:              roots,
			GetClientCertificate: x.presentCertificate,
		},
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeaders,
	}
}

func loopback(address string) bool {
	ip, err := netip.ParseAddrPort(address)
	return err == nil && ip.Addr().IsLoopback()
}

// proxy returns the proxy for target, or nil for none. http requests use none: they
// go to loopback addresses, and a proxy would forward them unencrypted.
func (c *Client) proxy(target *url.URL) (*url.URL, error) {
	if c.Getenv == nil || target.Scheme == "http" {
		return nil, nil
	}
	config := httpproxy.Config{
		HTTPSProxy: cmp.Or(c.Getenv("HTTPS_PROXY"), c.Getenv("https_proxy")),
		NoProxy:    cmp.Or(c.Getenv("NO_PROXY"), c.Getenv("no_proxy")),
	}
	return config.ProxyFunc()(target)
}

// checkProxy returns an error for an ambiguous proxy variable before anything else
// uses it, because the standard library guesses and quotes the value in errors. It
// ignores a variable that does not apply to target, unless the library would drop
// the invalid value and connect without a proxy.
func (c *Client) checkProxy(target *url.URL) error {
	if c.Getenv == nil || target.Scheme == "http" {
		return nil
	}
	proxy, err := c.proxy(target)
	used := err != nil || proxy != nil
	for _, name := range []string{"HTTPS_PROXY", "https_proxy"} {
		if value := c.Getenv(name); value != "" && !proxyForm(value) && (used || dropped(value)) {
			return failure.New(failure.ProxyInvalid, "%s is not the address of a proxy", name).
				WithHint("write it as http://HOST:PORT, with its scheme")
		}
	}
	return nil
}

// dropped reports whether httpproxy ignores value because it is invalid.
func dropped(value string) bool {
	_, err := url.Parse(value)
	_, hostErr := url.Parse("http://" + value)
	return err != nil && hostErr != nil
}

// proxyForm reports whether value is the address of a proxy: a URL with a supported
// scheme, or HOST:PORT.
func proxyForm(value string) bool {
	_, ok := proxyHost(value)
	return ok
}

// proxyHost returns the host and port of a proxy's address.
func proxyHost(value string) (string, bool) {
	if !strings.Contains(value, "://") {
		if strings.Contains(value, "@") {
			return "", false // USER:PASSWORD@HOST would parse as the scheme USER
		}
		value = "http://" + value
	}
	proxy, err := url.Parse(value)
	if err != nil {
		return "", false
	}
	switch proxy.Scheme {
	case "http", "https", "socks5", "socks5h":
		return proxy.Host, plainHost(proxy.Hostname())
	}
	return "", false
}

// plainHost reports whether host is an IP address, or a name of ASCII letters,
// digits, dots, hyphens and underscores. Local networks have names with underscores.
func plainHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	for i := range len(host) {
		c := host[i]
		if !(c == '-' || c == '.' || c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') {
			return false
		}
	}
	return host != ""
}

// retryAfter parses a Retry-After header (RFC 9110 section 10.2.3).
func retryAfter(header string, now time.Time) *time.Duration {
	var wait time.Duration
	if n, err := strconv.ParseUint(header, 10, 32); err == nil {
		wait = time.Duration(n) * time.Second
	} else if at, err := http.ParseTime(header); err == nil {
		wait = max(0, at.Sub(now).Round(time.Second))
	} else {
		return nil
	}
	if wait > maxRetryWait {
		return nil
	}
	return &wait
}

var (
	errNotLoopback = errors.New("not a loopback address")
	errBadProxy    = errors.New("bad proxy variable")
)

// proxyStatusError is the status of a proxy that did not connect.
type proxyStatusError int

func (e proxyStatusError) Error() string { return fmt.Sprintf("proxy status %d", int(e)) }
