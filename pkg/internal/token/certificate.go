package token

import (
	"crypto/tls"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
)

// presentCertificate returns the client certificate for a server that requests one.
// A proxy gets none.
func (x *exchange) presentCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	none := new(tls.Certificate)
	if x.atProxy() {
		return none, nil
	}
	x.certificateAsked.Store(true)
	if x.client.Certificate == nil {
		x.client.trace("%s asks for a client certificate, and there is none", x.target.Host)
		return none, nil
	}
	x.presented.Store(true)
	x.client.trace("%s asks for a client certificate, and gets it", x.target.Host)
	// Ignore the list of acceptable CAs: many servers omit the intermediate ones.
	return x.client.Certificate, nil
}

// atProxy reports whether the current TLS handshake is with the proxy itself.
func (x *exchange) atProxy() bool {
	_, _, proxy := x.state()
	return proxy != nil && proxy.Scheme == "https" && !x.tunnelled.Load()
}

// certificateRefused returns the error for a server that requires a client
// certificate or rejects this one.
func (x *exchange) certificateRefused() *failure.Error {
	if x.presented.Load() {
		return failure.New(failure.TLSClientCert, "%s refused the client certificate", x.target.Host).
			WithHint("check client_cert and client_key: the host must know this certificate, or the authority that issued it")
	}
	return failure.New(failure.TLSClientCert, "%s asks for a client certificate", x.target.Host).
		WithHint("name one with client_cert and client_key in the profile")
}
