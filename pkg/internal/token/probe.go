package token

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptrace"
	"net/url"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
)

// Contact describes a connection to a server.
type Contact struct {
	Proxy  string // HOST:PORT of the proxy; empty for none
	TLS    string // protocol version; empty without TLS
	Status int    // of the response, whatever it means
}

// Probe sends a HEAD request to origin (SCHEME://HOST:PORT). It connects like
// [Client.Send] and does not follow redirects. It sends no data of the user except
// the client certificate. The error is a [*failure.Error] that says at which stage
// the request failed.
func (c *Client) Probe(ctx context.Context, origin string) (Contact, error) {
	target, err := url.Parse(origin + "/")
	if err != nil {
		return Contact{}, failure.New(failure.BadBaseURL, "the origin is not valid")
	}
	x := &exchange{client: c, target: target}
	if err := c.checkProxy(target); err != nil {
		return Contact{}, err
	}
	request, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, x.hooks()), http.MethodHead, target.String(), http.NoBody)
	if err != nil {
		return Contact{}, failure.New(failure.BadBaseURL, "the origin is not valid")
	}
	request.Header.Set("User-Agent", c.UserAgent)
	x.enter(phaseConnect)
	response, err := x.transport(request.Context()).RoundTrip(request)
	phase, _, proxy := x.state()
	if err != nil {
		e := x.describe(ctx, err, phase, proxy)
		if e.Code == failure.ConnectionLost {
			e = e.WithHint("check the base address")
		}
		return Contact{}, e
	}
	response.Body.Close()
	contact := Contact{Status: response.StatusCode}
	if response.TLS != nil {
		contact.TLS = tls.VersionName(response.TLS.Version)
	}
	if proxy != nil {
		contact.Proxy = proxy.Host
	}
	return contact, nil
}

// ProxyHost returns HOST[:PORT] from the value of a proxy variable, without user and
// password. The error says that the value is invalid, without quoting it.
func ProxyHost(value string) (string, error) {
	host, ok := proxyHost(value)
	if !ok {
		return "", errors.New("is not the address of a proxy")
	}
	return host, nil
}
