package token

import (
	"crypto/tls"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
)

// forClients is a client certificate of the authority.
func (a *authority) forClients() *tls.Certificate {
	certificate := a.ForClients(nil)
	return &certificate
}

// demanding is the set-up of a server of the authority that takes its client
// certificates only.
func (a *authority) demanding(version uint16) *tls.Config {
	config := a.issue(nil)
	config.ClientAuth, config.ClientCAs, config.MaxVersion = tls.RequireAndVerifyClientCert, a.Pool(), version
	return config
}

// serveHandshake shakes hands, and reads on: a connection that is closed with bytes
// unread is reset, and an alert lost.
func serveHandshake(t *testing.T, config *tls.Config) *server {
	t.Helper()
	return serve(t, func(p *peer) {
		raw := p.Conn
		p.Conn = tls.Server(raw, config)
		_ = p.Conn.(*tls.Conn).Handshake()
		_, _ = io.Copy(io.Discard, raw)
	})
}

// versions are the versions of TLS that a server may choose.
var versions = map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13}

// TestPostPresentsCertificate: a server that asks for the certificate gets it, and
// the request once.
func TestPostPresentsCertificate(t *testing.T) {
	t.Parallel()
	authority := newAuthority()
	for name, version := range versions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveTLS(t, authority.demanding(version), answer(good("")))
			client := authority.client()
			client.Certificate = authority.forClients()
			if _, err := post(t, t.Context(), client, "https://"+s.address); err != nil {
				t.Fatal(told(err))
			}
			checkWire(t, s.stop(), golden(s.address))
		})
	}
}

// TestPostPresentsUnasked: who does not ask for it does not see it.
func TestPostPresentsUnasked(t *testing.T) {
	t.Parallel()
	authority := newAuthority()
	var shown int
	s := serveTLS(t, authority.issue(nil), func(p *peer) {
		shown += len(p.Conn.(*tls.Conn).ConnectionState().PeerCertificates)
		answer(good(""))(p)
	})
	client := authority.client()
	client.Certificate = authority.forClients()
	if _, err := post(t, t.Context(), client, "https://"+s.address); err != nil {
		t.Fatal(told(err))
	}
	if s.stop(); shown != 0 {
		t.Errorf("%d certificates are presented", shown)
	}
}

// TestPostCertificateRefused: in TLS 1.3 the server says so when the request is on
// its way, to nobody who reads it.
func TestPostCertificateRefused(t *testing.T) {
	t.Parallel()
	authority, stranger := newAuthority(), newAuthority()
	const hint = "; hint: check client_cert and client_key: the host must know this certificate, or the authority that issued it"
	want := map[string]string{
		"TLS 1.2": `tls_client_certificate (net, sent "no", attempts 1): HOST refused the client certificate` + hint,
		"TLS 1.3": `tls_client_certificate (net, sent "unknown", attempts 1): HOST refused the client certificate; the request may have been processed` + hint,
	}
	for name, version := range versions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveHandshake(t, authority.demanding(version))
			client := authority.client()
			client.Certificate = stranger.forClients()
			_, err := post(t, t.Context(), client, "https://"+s.address)
			if e, ok := errors.AsType[*failure.Error](err); ok && e.Sent == failure.SentYes {
				e.Sent = failure.SentUnknown // which of the two is a matter of luck
			}
			checkTold(t, err, strings.ReplaceAll(want[name], "HOST", s.address))
			checkWire(t, s.stop(), "\r\n\r\n")
		})
	}
}

// TestCertificateLost: where the alert of the server is lost, the hint names the
// certificate all the same.
func TestCertificateLost(t *testing.T) {
	t.Parallel()
	authority := newAuthority()
	config := authority.issue(nil)
	config.ClientAuth = tls.RequestClientCert
	s := serveTLS(t, config, func(p *peer) {
		p.request()
		p.Conn = p.Conn.(*tls.Conn).NetConn()
		reset(p)
	})
	_, err := post(t, t.Context(), authority.client(), "https://"+s.address)
	checkTold(t, err, `connection_lost (net, sent "yes", attempts 1): the connection to `+s.address+` was lost (phase reply); the request may have been processed; `+
		`hint: look at the account before trying again; the host has asked for a client certificate: check client_cert and client_key`)
}

// TestProxyGetsNoCertificate: a proxy that is called with TLS may ask for the
// certificate, and does not get it; the provider behind it does.
func TestProxyGetsNoCertificate(t *testing.T) {
	t.Parallel()
	authority := newAuthority()
	for name, version := range versions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			provider := serveTLS(t, authority.demanding(version), answer(good("")))
			asking := authority.issue(nil)
			asking.ClientAuth, asking.MaxVersion = tls.RequestClientCert, version
			var mu sync.Mutex
			var shown, connections int
			proxy := serveTLS(t, asking, func(p *peer) {
				mu.Lock()
				shown += len(p.Conn.(*tls.Conn).ConnectionState().PeerCertificates)
				connections++
				mu.Unlock()
				connect(provider.address, "HTTP/1.1 200 OK\r\n\r\n")(p)
			})
			client := authority.client()
			client.Certificate = authority.forClients()
			client.Getenv = environment("HTTPS_PROXY=https://" + proxy.address)
			if _, err := post(t, t.Context(), client, "https://provider.example"); err != nil {
				t.Fatal(told(err))
			}
			proxy.stop()
			if shown != 0 || connections != 1 {
				t.Errorf("the proxy was shown %d certificates on %d connections", shown, connections)
			}
			checkWire(t, provider.stop(), golden("provider.example"))
		})
	}
}

// TestProxyDemandsCertificate: the error names the proxy, not the provider.
func TestProxyDemandsCertificate(t *testing.T) {
	t.Parallel()
	authority := newAuthority()
	for name, version := range versions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy := serveHandshake(t, authority.demanding(version))
			client := authority.client()
			client.Certificate = authority.forClients()
			client.Getenv = environment("HTTPS_PROXY=https://" + proxy.address)
			_, err := post(t, t.Context(), client, "https://provider.example")
			checkTold(t, err, `proxy_failed (net, sent "no", attempts 1): the proxy `+proxy.address+` cannot be reached; hint: check HTTPS_PROXY and NO_PROXY`)
		})
	}
}
