package token

import (
	"crypto/tls"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
)

// presentCertificate answers a server that asks for a client certificate: with the
// client's, unless the server is a proxy on the way.
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
	// Whatever authorities it names: many lists lack the intermediate ones.
	return x.client.Certificate, nil
}

// atProxy reports whether a TLS handshake is one with the proxy itself.
func (x *exchange) atProxy() bool {
	_, _, proxy := x.state()
	return proxy != nil && proxy.Scheme == "https" && !x.tunnelled.Load()
}

// certificateRefused is the failure of a server that does not go on without a client
// certificate, or not with this one.
func (x *exchange) certificateRefused() *failure.Error {
	if x.presented.Load() {
		return failure.New(failure.TLSClientCert, "%s refused the client certificate", x.target.Host).
			WithHint("check client_cert and client_key: the host must know this certificate, or the authority that issued it")
	}
	return failure.New(failure.TLSClientCert, "%s asks for a client certificate", x.target.Host).
		WithHint("name one with client_cert and client_key in the profile")
}
