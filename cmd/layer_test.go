package cmd

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
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
func layers(a *authority, trouble string) (layer, error) {
	change := func(*x509.Certificate) {}
	config := &tls.Config{NextProtos: []string{"h2", "http/1.1"}}
	switch trouble {
	case "":
	case "expired-certificate":
		change = func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	case "unknown-authority":
		var err error
		if a, err = newAuthority(); err != nil {
			return layer{}, err
		}
	case "client-certificate":
		config.ClientAuth = tls.RequireAnyClientCert
	case "known-clients": // those with a certificate of the authority
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		config.ClientCAs.AddCert(a.certificate)
	case "dripping-handshake":
		return layer{spoil: drippingHandshake}, nil
	case "full-queue":
		return layer{neverAccepts: true}, nil
	default:
		return layer{}, fmt.Errorf("there is no trouble %s", trouble)
	}
	certificate, err := a.issue(change)
	config.Certificates = []tls.Certificate{certificate}
	return layer{config: config}, err
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

// authority issues certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         []byte
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	a := &authority{key: key, certificate: certificateTemplate()}
	a.certificate.IsCA, a.certificate.BasicConstraintsValid = true, true
	a.certificate.KeyUsage, a.certificate.ExtKeyUsage = x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature, nil // for servers and clients
	der, err := x509.CreateCertificate(rand.Reader, a.certificate, a.certificate, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a, nil
}

// certificateTemplate is a certificate of this computer and of every name
// right below "example".
func certificateTemplate() *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "\x1b]0;" + hostileName + "\x07"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		DNSNames:     []string{"*.example"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
}

func (a *authority) issue(change func(*x509.Certificate)) (tls.Certificate, error) {
	template := certificateTemplate()
	change(template)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// clientCertificate returns a certificate for a client and its key, in PEM.
func (a *authority) clientCertificate(change func(*x509.Certificate)) (certificate, key []byte, err error) {
	issued, err := a.issue(func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		change(c)
	})
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(issued.PrivateKey)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: issued.Certificate[0]}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}
