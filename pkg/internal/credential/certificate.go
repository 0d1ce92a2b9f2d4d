package credential

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/pkg/source"
)

// HasCertificate reports whether the plan has a client certificate for mutual TLS
// (RFC 8446 section 4.4.2), that is, whether ClientCert or ClientKey is set.
func (p *Plan) HasCertificate() bool { return p.ClientCert.given() || p.ClientKey.given() }

// CertificatePlaces returns the places of the client certificate and its key, or nil
// if the plan has none.
func (p *Plan) CertificatePlaces() []Place {
	if !p.HasCertificate() {
		return nil
	}
	return []Place{p.ClientCert, p.ClientKey}
}

// given reports whether the setting has a source.
func (place Place) given() bool { return place.Kind != Missing }

// checkPair sets the Problem of the missing part if the plan has a certificate
// without a key, or a key without a certificate.
func (p *Plan) checkPair() {
	for _, pair := range [][2]*Place{{&p.ClientCert, &p.ClientKey}, {&p.ClientKey, &p.ClientCert}} {
		missing, other := pair[0], pair[1]
		if missing.given() || !other.given() {
			continue
		}
		name, variable := missing.Field.Name, p.Definition.Variable(missing.Field.Name)
		e := failure.New(failure.FieldMissing, "%s is missing: %s needs it%s", name, p.Giver(*other), p.query.similar(variable))
		_, set := p.query.lookup(variable)
		switch {
		case set: // otherwise its value would be used
			e = e.WithHint("%s is set, but a named profile is read alone: write %s = \"PATH\" into %s", variable, name, p.query.table())
		case p.query.named():
			e = e.WithHint("write %s = \"PATH\" into %s; one PEM file may hold both, and is named twice", name, p.query.table())
		default:
			e = e.WithHint("set %s, or write %s = \"PATH\" into %s; one PEM file may hold both, and is named twice", variable, name, p.query.table())
		}
		missing.Problem = e
	}
}

// Giver returns the name of what gives a value or the path of its file: a flag, a
// variable, or a key of the profile.
func (p *Plan) Giver(place Place) string {
	switch place.level {
	case byFlag:
		return "--" + place.Field.Flag()
	case byVariable:
		return strings.TrimPrefix(place.Where, source.FileOf)
	}
	return place.Field.Name + " of " + p.query.table()
}

// checkCertificateBinding returns an error if a certificate of the profile, which is
// for the host own, would be presented to another host.
func (p *Plan) checkCertificateBinding(own string) error {
	for _, place := range []Place{p.ClientCert, p.ClientKey} {
		if place.level != byProfile {
			continue
		}
		e := failure.New(failure.HostMismatch, "%s belongs to %s and is not used for %s", p.Giver(place), own, p.Base.Origin())
		if p.query.named() {
			return e.WithHint("make a profile for that host, with its own client_cert and client_key")
		}
		return e.WithHint("name the certificate for that host with %s and %s, or make a profile for it", p.Definition.Variable("client_cert"), p.Definition.Variable("client_key"))
	}
	return nil
}

// ReadCertificate reads the client certificate and its private key. It returns nil
// if the plan has none. The error is a [*failure.Error]; an expired or not yet valid
// certificate is an error too.
func (p *Plan) ReadCertificate(ctx context.Context, a Access) (*tls.Certificate, error) {
	if !p.HasCertificate() {
		return nil, nil
	}
	chain, key, err := p.readPair(ctx, a)
	if err != nil {
		return nil, err
	}
	_, err = p.takePair(chain, key, time.Now())
	return p.certificate, err
}

// Certificate returns the client certificate, or nil if it was not read or is not
// valid.
func (p *Plan) Certificate() *tls.Certificate { return p.certificate }

// readPair reads the two files. It reads a file that contains both only once,
// because the file may be a pipe.
func (p *Plan) readPair(ctx context.Context, a Access) (chain, key secret.Value, err error) {
	if key, err = p.readPEM(ctx, a, p.ClientKey); err != nil || p.ClientCert.Path == p.ClientKey.Path {
		return key, key, err
	}
	chain, err = p.readPEM(ctx, a, p.ClientCert)
	return chain, key, err
}

// readPEM reads one of the files. It checks only for the file with the key whether
// others could have changed it, because nobody gains anything by changing the
// certificate alone.
func (p *Plan) readPEM(ctx context.Context, a Access, place Place) (secret.Value, error) {
	if a.File != nil {
		var cancel context.CancelFunc
		ctx, cancel = a.File(ctx)
		defer cancel()
	}
	value, note, err := source.ReadPEM(ctx, place.Path, place.FileName(), !place.Field.Secret || place.trusted(a))
	if note != "" && err == nil && place.Field.Secret {
		a.Note(place.FileName() + " " + note + "; taken because this is CI")
	}
	return value, p.ofPlace(place, err)
}

// takePair builds the certificate from its two PEM parts. With an error, it also
// returns the place with the problem.
func (p *Plan) takePair(chain, key secret.Value, now time.Time) (wrong *Place, err error) {
	certificate := &tls.Certificate{}
	if err := p.parseChain(certificate, chain); err != nil {
		return &p.ClientCert, p.ofPlace(p.ClientCert, err)
	}
	if err := p.parseKey(certificate, key); err != nil {
		return &p.ClientKey, p.ofPlace(p.ClientKey, err)
	}
	if public, ok := certificate.Leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(publicOf(certificate.PrivateKey)) {
		return &p.ClientKey, failure.New(failure.ClientCertInvalid, "client_key does not belong to client_cert: %s does not hold the key of the first certificate in %s", p.ClientKey.FileName(), p.ClientCert.FileName()).
			WithHint("name the key that the certificate was issued for; in a chain, your own certificate comes first")
	}
	p.Leaf = certificate.Leaf
	if err := p.checkDates(now); err != nil {
		return &p.ClientCert, p.ofPlace(p.ClientCert, err)
	}
	p.certificate = certificate
	return nil, nil
}

// parseChain adds the certificates in data. The first is the leaf.
func (p *Plan) parseChain(certificate *tls.Certificate, data secret.Value) (err error) {
	for block := range blocks(data) {
		if block.Type == "CERTIFICATE" {
			certificate.Certificate = append(certificate.Certificate, block.Bytes)
		}
	}
	if certificate.Certificate == nil {
		return failure.New(failure.ClientCertInvalid, "%s contains no PEM certificate", p.ClientCert.FileName()).
			WithHint("let %s name a PEM file with the client certificate, and those that link it to its authority", p.Giver(p.ClientCert))
	}
	if certificate.Leaf, err = x509.ParseCertificate(certificate.Certificate[0]); err != nil {
		return failure.New(failure.ClientCertInvalid, "the certificate in %s is damaged", p.ClientCert.FileName()).
			WithHint("get the certificate again from whoever issued it")
	}
	return nil
}

// parseKey adds the first private key in data.
func (p *Plan) parseKey(certificate *tls.Certificate, data secret.Value) error {
	name := p.ClientKey.FileName()
	for block := range blocks(data) {
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue
		}
		// PKCS #8, and the older format of OpenSSL (RFC 1421 section 4.6.1.1).
		if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
			return failure.New(failure.ClientCertInvalid, "the private key in %s is encrypted", name).
				WithHint("decrypt it into a file for you alone: openssl pkey -in FILE -out NEWFILE && chmod 600 NEWFILE; then let %s name NEWFILE", p.Giver(p.ClientKey))
		}
		for _, parse := range []func([]byte) (any, error){
			x509.ParsePKCS8PrivateKey,
			func(der []byte) (any, error) { return x509.ParseECPrivateKey(der) },
			func(der []byte) (any, error) { return x509.ParsePKCS1PrivateKey(der) },
		} {
			if key, err := parse(block.Bytes); err == nil && publicOf(key) != nil {
				certificate.PrivateKey = key
				return nil
			}
		}
		return failure.New(failure.ClientCertInvalid, "the private key in %s is damaged, or of an unknown kind", name).
			WithHint("give it as PKCS #8, PKCS #1 or SEC 1, for RSA, ECDSA or Ed25519")
	}
	return failure.New(failure.ClientCertInvalid, "%s holds no PEM private key", name).
		WithHint("let %s name a PEM file with the private key of the client certificate", p.Giver(p.ClientKey))
}

// blocks iterates over the blocks of a PEM text (RFC 7468).
func blocks(data secret.Value) func(func(*pem.Block) bool) {
	return func(yield func(*pem.Block) bool) {
		for rest := []byte(data.Reveal()); ; {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil || !yield(block) {
				return
			}
		}
	}
}

// publicOf returns the public key of a private key that can sign, or nil.
func publicOf(key any) crypto.PublicKey {
	if signer, ok := key.(crypto.Signer); ok {
		return signer.Public()
	}
	return nil
}

// checkDates returns an error if the certificate is expired or not yet valid.
func (p *Plan) checkDates(now time.Time) error {
	const day = "2006-01-02 15:04 UTC"
	switch {
	case now.After(p.Leaf.NotAfter):
		return failure.New(failure.ClientCertInvalid, "the client certificate in %s expired on %s", p.ClientCert.FileName(), p.Leaf.NotAfter.UTC().Format(day)).
			WithHint("get a new one from whoever issued it; or check this computer's clock")
	case now.Before(p.Leaf.NotBefore):
		return failure.New(failure.ClientCertInvalid, "the client certificate in %s is not valid before %s", p.ClientCert.FileName(), p.Leaf.NotBefore.UTC().Format(day)).
			WithHint("check this computer's clock, or wait until then")
	}
	return nil
}

// inspectCertificate implements Inspect for the client certificate. It reads the key
// to check that it matches the certificate, unless one of the files is a pipe.
func (p *Plan) inspectCertificate(ctx context.Context, a Access) {
	complete := p.HasCertificate()
	for _, place := range []*Place{&p.ClientCert, &p.ClientKey} {
		if place.Kind != File || place.Problem != nil {
			complete = false
			continue
		}
		stat, err := p.checkPEM(ctx, a, *place)
		place.Shared, place.Problem = stat.Shared, p.ofPlace(*place, err)
		complete = complete && err == nil && !stat.Pipe
	}
	if !complete {
		return
	}
	chain, key, err := p.readPair(ctx, a)
	if err != nil {
		p.ClientKey.Problem = err
		return
	}
	if wrong, err := p.takePair(chain, key, time.Now()); err != nil {
		wrong.Problem = err
	}
}

func (p *Plan) checkPEM(ctx context.Context, a Access, place Place) (source.Stat, error) {
	if a.File != nil {
		var cancel context.CancelFunc
		ctx, cancel = a.File(ctx)
		defer cancel()
	}
	return source.CheckPEM(ctx, place.Path, place.FileName(), !place.Field.Secret || place.trusted(a))
}
