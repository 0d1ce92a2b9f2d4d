// Package pki issues certificates for tests. It is here because no other directory
// can be imported by the tests of cmd and by those of pkg/internal.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"time"
)

// Authority issues certificates.
type Authority struct {
	Own tls.Certificate // signed by itself
	PEM []byte          // of its certificate
}

// New returns an authority. Its name is in its certificate and in all that it issues.
func New(name string) *Authority {
	template := template(name)
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature, nil // for servers and clients
	key := newKey()
	own := sign(template, template, key, key)
	return &Authority{own, encode("CERTIFICATE", own.Certificate[0])}
}

// Issue returns a certificate of this computer and of every name right below
// "example", unless change makes it another.
func (a *Authority) Issue(change func(*x509.Certificate)) tls.Certificate {
	template := template(a.Own.Leaf.Subject.CommonName)
	if change != nil {
		change(template)
	}
	return sign(template, a.Own.Leaf, newKey(), a.Own.PrivateKey.(*ecdsa.PrivateKey))
}

// ForClients is Issue for the certificate of a client.
func (a *Authority) ForClients(change func(*x509.Certificate)) tls.Certificate {
	return a.Issue(func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		if change != nil {
			change(c)
		}
	})
}

// Pool returns a pool of the authority alone.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.Own.Leaf)
	return pool
}

// Encode returns a certificate and its private key, in PEM.
func Encode(c tls.Certificate) (certificate, key []byte) {
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		panic(err)
	}
	return encode("CERTIFICATE", c.Certificate[0]), encode("PRIVATE KEY", der)
}

func template(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		DNSNames:     []string{"*.example"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(192, 0, 2, 1), net.IPv6loopback},
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
}

func sign(template, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) tls.Certificate {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
