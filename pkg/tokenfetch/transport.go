package tokenfetch

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
)

// Transport is an [http.RoundTripper] that adds the token of a profile to requests
// for its origins. It adds no token to other requests, so a redirect to another host
// does not disclose it. It replaces a token that has expired, or that the API
// answered with 401, before the next request. It is safe for concurrent use: all
// goroutines share one token, but a single-use token is fetched for each request.
type Transport struct {
	// Base sends the requests. nil means [http.DefaultTransport].
	Base http.RoundTripper

	client  *Client
	ref     string
	origins []string
	problem error // returned for every request if not nil

	turn    chan struct{}         // holds a value while token is unlocked
	token   *Token                // the last token, or nil
	refused atomic.Pointer[Token] // the last token that the API rejected
}

// Transport returns a RoundTripper for ref, which is PROVIDER or PROVIDER/PROFILE.
// Each origin is SCHEME://HOST[:PORT] with https, or with http and a loopback host.
// If ref or an origin is invalid, every request returns that error. The same applies
// to a provider that expects the token in the body, because a RoundTripper can only
// add headers.
func (c *Client) Transport(ref string, origins ...string) *Transport {
	t := &Transport{client: c, ref: ref, turn: make(chan struct{}, 1)}
	t.turn <- struct{}{}
	f, err := c.Ref(ref)
	switch {
	case err != nil:
		t.problem = err
		return t
	case f.Definition.Use.Header == "":
		t.problem = failure.New(failure.NoHeader, "a token of %s does not travel in a header, but as member %q of the JSON body", f.Definition.Title, f.Definition.Use.Member).
			WithHint("put the token of Client.Token into the body of each call")
		return t
	}
	for _, origin := range origins {
		address, err := provider.ParseAddress(origin)
		if err == nil && address.Path != "" {
			err = failure.New(failure.BadBaseURL, "an origin has no path").WithHint("write it as https://HOST[:PORT]")
		}
		if err != nil {
			t.problem = err
			return t
		}
		t.origins = append(t.origins, address.Origin())
	}
	return t
}

// RoundTrip sends the request, with the token if its origin is one of the origins.
// If no token can be fetched, the error is that of [Client.Token].
func (t *Transport) RoundTrip(request *http.Request) (*http.Response, error) {
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	if t.problem != nil {
		return nil, refuse(request, t.problem)
	}
	if !t.adds(request) {
		return base.RoundTrip(request)
	}
	token, err := t.take(request.Context())
	if err != nil {
		return nil, refuse(request, err)
	}
	request = request.Clone(request.Context())
	name, value, _ := strings.Cut(token.Use.HeaderLine(token.AccessToken.Reveal()), ": ")
	request.Header.Set(name, value)
	for name, value := range token.Use.Headers {
		if value != nil {
			request.Header.Set(name, *value)
		}
	}
	response, err := base.RoundTrip(request)
	if err == nil && response.StatusCode == http.StatusUnauthorized {
		t.reject(token)
	}
	return response, err
}

// refuse closes the body of a request that is not sent, as a RoundTripper must, and
// returns err.
func refuse(request *http.Request, err error) error {
	if request.Body != nil {
		_ = request.Body.Close()
	}
	return err
}

// adds reports whether the request gets the token. It is false for an incomplete
// request, which Base rejects.
func (t *Transport) adds(request *http.Request) bool {
	if request.URL == nil || request.Header == nil {
		return false
	}
	address, err := provider.ParseAddress(request.URL.Scheme + "://" + request.URL.Host)
	return err == nil && slices.Contains(t.origins, address.Origin())
}

// take returns the token for one request.
func (t *Transport) take(ctx context.Context) (*Token, error) {
	select {
	case <-t.turn:
		defer func() { t.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, ended(ctx, ctx.Err())
	}
	refused := t.token != nil && t.token == t.refused.Load()
	if t.token != nil && !refused && !t.token.SingleUse && !t.token.Expired(time.Now()) {
		return t.token, nil
	}
	token, err := t.client.token(ctx, t.ref, refused)
	if err != nil {
		return nil, err
	}
	t.token = token
	return token, nil
}

// youth is the minimum age at which a 401 counts against the token. For a newer
// token there must be another reason, and a login for each request would not help.
const youth = time.Minute

// reject records that the API rejected a token. It does not wait for the lock: the
// response is already there, and another request may take long to fetch a token.
func (t *Transport) reject(token *Token) {
	if time.Since(token.Obtained) > youth {
		t.refused.Store(token)
	}
}
