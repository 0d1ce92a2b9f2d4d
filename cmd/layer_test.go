package cmd

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"time"

	"github.com/tokenfetch/tokenfetch/testdata/pki"
)

// layer is what a connection to an endpoint goes through before the request:
// nothing, or TLS, which may have its troubles.
type layer struct {
	config       *tls.Config
	spoil        func(net.Conn) // instead of a handshake
	neverAccepts bool
}

func (l layer) isTLS() bool { return l.config != nil || l.spoil != nil }

// over returns the connection above the layer, nil if there is none.
func (l layer) over(conn net.Conn) net.Conn {
	switch {
	case l.spoil != nil:
		l.spoil(conn)
		return nil
	case l.config != nil:
		secure := tls.Server(conn, l.config)
		if secure.Handshake() != nil {
			return nil
		}
		return secure
	}
	return conn
}

// layers returns TLS of the authority with the named trouble, "" for none.
func layers(a *pki.Authority, trouble string) (layer, error) {
	var change func(*x509.Certificate)
	config := &tls.Config{NextProtos: []string{"h2", "http/1.1"}}
	switch trouble {
	case "":
	case "expired-certificate":
		change = func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	case "unknown-authority":
		a = newAuthority()
	case "client-certificate":
		config.ClientAuth = tls.RequireAnyClientCert
	case "known-clients": // those with a certificate of the authority
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, a.Pool()
	case "dripping-handshake":
		return layer{spoil: drippingHandshake}, nil
	case "full-queue":
		return layer{neverAccepts: true}, nil
	default:
		return layer{}, fmt.Errorf("there is no trouble %s", trouble)
	}
	config.Certificates = []tls.Certificate{a.Issue(change)}
	return layer{config: config}, nil
}

// serverHello is the beginning of a record that promises a handshake.
const serverHello = "\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03"

// drippingHandshake says one byte at a time and never comes to an end.
func drippingHandshake(conn net.Conn) {
	for i := 0; ; i++ {
		next := byte(0)
		if i < len(serverHello) {
			next = serverHello[i]
		}
		if _, err := conn.Write([]byte{next}); err != nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// hostileName stands in every certificate and is never to be shown.
var hostileName = canaries["TOKEN"] + ".example"

func newAuthority() *pki.Authority { return pki.New("\x1b]0;" + hostileName + "\x07") }
