package token

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
)

// A handshake that fails, after which nothing of the request may have been sent.
func TestPostDistrusts(t *testing.T) {
	t.Parallel()
	authority, stranger := newAuthority(), newAuthority()
	const (
		expired  = `tls_certificate_expired (net, sent "no", attempts 1): the certificate of HOST is expired or not yet valid; hint: check this computer's clock; if it is right, the provider must renew`
		wrong    = `tls_wrong_host (net, sent "no", attempts 1): the certificate does not belong to HOST; hint: check the environment or base address`
		unknown  = `tls_untrusted (net, sent "no", attempts 1): the certificate of HOST comes from an unknown authority; hint: if it is your own authority, name its certificates with --ca-file FILE or ca_file in the profile`
		unusable = `tls_certificate_invalid (net, sent "no", attempts 1): the certificate of HOST cannot be used`
		protocol = `tls_protocol (net, sent "no", attempts 1): HOST and tokenfetch have no TLS protocol in common; hint: TLS 1.2 or newer is needed`
	)
	plain := func(c *tls.Config, change func(*tls.Config)) *tls.Config { change(c); return c }
	tests := []struct {
		name   string
		host   string // 127.0.0.1 if empty
		config *tls.Config
		want   string
	}{
		{"expired", "", authority.issue(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), expired},
		{"not yet valid", "", authority.issue(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }), expired},
		{"another host", "", authority.issue(func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{canaryServer + ".example"}, nil }), wrong},
		{"a name that leads to loopback", "provider.example", authority.issue(func(c *x509.Certificate) { c.DNSNames = []string{canaryServer + ".example"} }), wrong},
		{"only the common name", "provider.example", authority.issue(func(c *x509.Certificate) {
			c.Subject.CommonName, c.DNSNames, c.IPAddresses = "provider.example", nil, nil
		}), wrong},
		{"unknown authority", "", stranger.issue(nil), unknown},
		{"self-signed", "", &tls.Config{Certificates: []tls.Certificate{newAuthority().Own}}, unknown},
		{"not for servers", "", authority.issue(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), unusable},
		{"TLS 1.1", "", plain(authority.issue(nil), func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }), protocol},
		{"obsolete ciphers", "", plain(authority.issue(nil), func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA}
		}), protocol},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := serveTLS(t, test.config, answer(good("")))
			host := s.address
			if test.host != "" {
				host = strings.Replace(s.address, "127.0.0.1", test.host, 1)
			}
			_, err := post(t, t.Context(), authority.client(), "https://"+host)
			checkTold(t, err, strings.ReplaceAll(test.want, "HOST", host))
			checkWire(t, s.stop(), "\r\n\r\n")
			if len(s.handshakes) != 1 || s.handshakes[0] == nil {
				t.Errorf("handshakes %v", s.handshakes)
			}
		})
	}
}

// A server that speaks no TLS, or not for long.
func TestPostNoTLS(t *testing.T) {
	t.Parallel()
	const (
		none   = `tls_protocol (net, sent "no", attempts 1): HOST does not speak TLS; hint: check the port of the base address`
		broken = `tls_protocol (net, sent "no", attempts 1): HOST ended the TLS handshake early (phase tls); hint: TLS 1.2 or newer is needed`
		alert  = `tls_protocol (net, sent "no", attempts 1): HOST and tokenfetch have no TLS protocol in common; hint: TLS 1.2 or newer is needed`
	)
	hello := func(p *peer) { _, _ = p.Read(make([]byte, 1<<14)) }
	tests := []struct {
		name   string
		handle func(*peer)
		want   string
	}{
		{"HTTP, not TLS", func(p *peer) { hello(p); p.say("HTTP/1.1 400 " + hostile + "\r\n\r\n") }, none},
		{"SMTP, not TLS", func(p *peer) { p.say("220 " + hostile + " ESMTP\r\n") }, none},
		{"handshake_failure", func(p *peer) { hello(p); p.say("\x15\x03\x03\x00\x02\x02\x28") }, alert},
		{"no_application_protocol", func(p *peer) { hello(p); p.say("\x15\x03\x03\x00\x02\x02\x78") }, alert},
		{"close in the handshake", func(p *peer) { hello(p); p.Close() }, broken},
		{"close half way through a record", func(p *peer) { hello(p); p.say("\x16\x03\x03\x00\x7a\x02\x00"); p.Close() }, broken},
		{"reset in the handshake", func(p *peer) { hello(p); reset(p) }, broken},
		{"garbage in the handshake", func(p *peer) { hello(p); p.say("\x16\x03\x03\x00\x04\xff\x00\x00\x00") }, broken},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, test.handle)
			_, err := post(t, t.Context(), &Client{}, "https://"+s.address)
			checkTold(t, err, strings.ReplaceAll(test.want, "HOST", s.address))
			for _, wire := range s.stop() {
				if leaked(wire) != "" || strings.Contains(wire, "POST") {
					t.Errorf("sent %q", wire)
				}
			}
		})
	}
}

// In TLS 1.2 the handshake fails. In TLS 1.3 it is over for us before the
// server looks for the certificate, so the request may have been written, to a
// server that does not read it.
func TestPostClientCertificateDemanded(t *testing.T) {
	t.Parallel()
	authority := newAuthority()
	tests := []struct {
		name    string
		version uint16
		want    string
	}{
		{"TLS 1.2", tls.VersionTLS12, `tls_client_certificate (net, sent "no", attempts 1): HOST asks for a client certificate; hint: name one with client_cert and client_key in the profile`},
		{"TLS 1.3", tls.VersionTLS13, `tls_client_certificate (net, sent "unknown", attempts 1): HOST asks for a client certificate; the request may have been processed; hint: name one with client_cert and client_key in the profile`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			config := authority.issue(nil)
			config.MaxVersion, config.ClientAuth = test.version, tls.RequireAnyClientCert
			s := serveHandshake(t, config)
			_, err := post(t, t.Context(), authority.client(), "https://"+s.address)
			if e, ok := errors.AsType[*failure.Error](err); ok && e.Sent == failure.SentYes {
				e.Sent = failure.SentUnknown // which of the two is a matter of luck
			}
			checkTold(t, err, strings.ReplaceAll(test.want, "HOST", s.address))
			checkWire(t, s.stop(), "\r\n\r\n")
		})
	}
}

// What comes after the handshake is no longer a matter of protocols.
func TestPostBrokenRecord(t *testing.T) {
	t.Parallel()
	authority := newAuthority()
	const lost = `connection_lost (net, sent "yes", attempts 1): the connection to HOST was lost (phase PHASE); the request may have been processed; hint: look at the account before trying again`
	tests := []struct{ name, before, phase string }{
		{"instead of a reply", "", "reply"},
		{"in the headers", "HTTP/1.1 200 OK\r\n", "reply"},
		{"in the body", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", "body"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := serveTLS(t, authority.issue(nil), func(p *peer) {
				if p.request() {
					p.say(test.before)
					_, _ = io.WriteString(p.Conn.(*tls.Conn).NetConn(), "\x17\x03\x03\x00\x20"+strings.Repeat("x", 32))
				}
			})
			_, err := post(t, t.Context(), authority.client(), "https://"+s.address)
			checkTold(t, err, strings.NewReplacer("HOST", s.address, "PHASE", test.phase).Replace(lost))
			checkWire(t, s.stop(), golden(s.address))
		})
	}
}
