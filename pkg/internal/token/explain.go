package token

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
)

func validJSON(body []byte) bool { return json.Valid(withoutMark(body)) }

// maybeProcessed is appended to the error of a request that was sent.
const maybeProcessed = "; the request may have been processed"

// explain converts an error of net/http to one that says whether the request was
// sent.
func (x *exchange) explain(ctx context.Context, err error) error {
	phase, sent, proxy := x.state()
	e := x.describe(ctx, err, phase, proxy)
	if e.Class() == failure.Net && sent != failure.SentNo {
		e = e.Append(maybeProcessed)
	}
	return e.WithSent(sent, 1)
}

// describe converts an error of net/http. It never uses the text of the error, which
// may contain control characters and secrets.
func (x *exchange) describe(ctx context.Context, err error, phase phase, proxy *url.URL) *failure.Error {
	e := x.classify(ctx, err, phase)
	if proxy == nil || e.Class() != failure.Net {
		return e
	}
	toProxy := phase == phaseLookup || phase == phaseConnect || phase == phaseProxy || x.atProxy() && e.Code == failure.ConnectFailed
	if toProxy && e.Code != failure.Timeout && e.Code != failure.ProxyFailed {
		return failure.New(failure.ProxyFailed, "the proxy %s cannot be reached", proxy.Host).
			WithHint("check HTTPS_PROXY and NO_PROXY")
	}
	if e.Code == failure.TLSUntrusted {
		return e.WithHint("a proxy may be intercepting: name its certificates with --ca-file FILE or ca_file in the profile")
	}
	return e
}

// classify returns the code and message for err.
func (x *exchange) classify(ctx context.Context, err error, phase phase) *failure.Error {
	host := x.target.Host
	if errors.Is(ctx.Err(), context.Canceled) {
		return failure.New(failure.Interrupted, "ended by a signal")
	}
	var netErr net.Error
	late := errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.As(err, &netErr) && netErr.Timeout()
	dns, isDNS := errors.AsType[*net.DNSError](err)
	switch {
	case isDNS && dns.IsNotFound:
		return failure.New(failure.DNSNotFound, "the name %s does not exist", x.target.Hostname()).
			WithHint("check the environment or base address, and this computer's network")
	case isDNS || late && phase == phaseLookup:
		return failure.New(failure.DNSFailed, "the name %s could not be looked up", x.target.Hostname()).
			WithHint("check this computer's network")
	case late:
		return failure.New(failure.Timeout, "timeout: no answer from %s in time (phase %s)", host, phase).
			WithHint("try again, or allow more time with --timeout 60s")
	}
	if status, ok := errors.AsType[proxyStatusError](err); ok {
		e := failure.New(failure.ProxyFailed, "the proxy refused to connect to %s (status %d)", host, int(status)).
			WithHint("check HTTPS_PROXY and its credentials, or add the host to NO_PROXY")
		e.HTTPStatus = int(status)
		return e
	}
	if e := x.classifyTLS(err, phase); e != nil {
		return e
	}
	switch {
	case errors.Is(err, errBadProxy):
		return failure.New(failure.ProxyInvalid, "a proxy variable is not the address of a proxy")
	case errors.Is(err, errNotLoopback):
		return failure.New(failure.ConnectFailed, "%s is not a loopback address, so http is not used", host).
			WithHint("use an https base address")
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && (op.Op == "dial" || op.Op == "proxyconnect" || op.Op == "socks connect") {
		return failure.New(failure.ConnectFailed, "cannot connect to %s: %s", host, why(err)).
			WithHint("check the environment or base address, and this computer's network")
	}
	if phase == phaseTLS {
		return failure.New(failure.TLSProtocol, "%s ended the TLS handshake early (phase tls)", host).
			WithHint("TLS 1.2 or newer is needed")
	}
	if phase == phaseLookup || phase == phaseConnect || phase == phaseProxy {
		return failure.New(failure.ConnectFailed, "cannot connect to %s", host).
			WithHint("check the environment or base address, and this computer's network")
	}
	if e := classifyProtocol(err); e != nil {
		return e
	}
	e := failure.New(failure.ConnectionLost, "the connection to %s was lost (phase %s)", host, phase).
		WithHint("look at the account before trying again")
	if x.certificateAsked.Load() {
		e = e.AppendHint("; the host has asked for a client certificate: check client_cert and client_key")
	}
	return e
}

func (x *exchange) classifyTLS(err error, phase phase) *failure.Error {
	host := x.target.Host
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return failure.New(failure.TLSWrongHost, "the certificate does not belong to %s", host).
			WithHint("check the environment or base address")
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return failure.New(failure.TLSUntrusted, "the certificate of %s comes from an unknown authority", host).
			WithHint("if it is your own authority, name its certificates with --ca-file FILE or ca_file in the profile")
	}
	if _, ok := errors.AsType[x509.SystemRootsError](err); ok {
		return failure.New(failure.TLSUntrusted, "this system has no certificates to check %s with", host).
			WithHint("install them (package ca-certificates), or use --ca-file FILE")
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if invalid.Reason == x509.Expired {
			return failure.New(failure.TLSExpired, "the certificate of %s is expired or not yet valid", host).
				WithHint("check this computer's clock; if it is right, the provider must renew")
		}
		return failure.New(failure.TLSInvalid, "the certificate of %s cannot be used", host)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return failure.New(failure.TLSInvalid, "the certificate of %s cannot be used", host)
	}
	// A TLS alert is an unexported type inside a net.OpError.
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		switch {
		case phase == phaseTLS && x.certificateAsked.Load(), strings.Contains(op.Err.Error(), "certificate"):
			return x.certificateRefused()
		case phase == phaseTLS:
			return failure.New(failure.TLSProtocol, "%s and tokenfetch have no TLS protocol in common", host).
				WithHint("TLS 1.2 or newer is needed")
		}
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return failure.New(failure.TLSProtocol, "%s does not speak TLS", host).
			WithHint("check the port of the base address")
	}
	return nil
}

// classifyProtocol distinguishes an invalid reply from a lost connection. net/http
// has no types for these errors, so it searches for fixed words in their texts. It
// never displays the texts.
func classifyProtocol(err error) *failure.Error {
	if _, ok := errors.AsType[*net.OpError](err); ok || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	text := err.Error()
	switch {
	case strings.Contains(text, "response headers exceeded"), strings.Contains(text, "header too large"), strings.Contains(text, "too many 1xx"):
		return failure.New(failure.HeadersTooLarge, "the reply's headers are larger than the limit of %d bytes", maxHeaders)
	case strings.Contains(text, "malformed"), strings.Contains(text, "HTTP/1.x transport connection broken"), strings.Contains(text, "invalid"), strings.Contains(text, "chunk"),
		strings.Contains(text, "unsupported transfer encoding"), strings.Contains(text, "bad Content-Length"), errors.Is(err, http.ErrNotSupported):
		return failure.New(failure.MalformedHTTP, "the reply is not valid HTTP").
			WithHint("check the base address")
	}
	return nil
}

// why returns the reason for a failed connection as a fixed text.
func why(err error) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no route to it"
	case errors.Is(err, syscall.ECONNRESET):
		return "connection reset"
	case errors.Is(err, syscall.EMFILE):
		return "too many open files"
	}
	return "no connection"
}
