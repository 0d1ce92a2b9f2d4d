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

// Transport is an http.RoundTripper that adds the token of a profile to requests
// for its origins, and to no others: a redirect to another host takes no token
// along. A token that has expired, or that the API answers with 401, is replaced
// before the next request. It may be used by several goroutines, which share one
// token; one that can be used once is fetched for each request.
type Transport struct {
	// Base makes the requests, nil for http.DefaultTransport.
	Base http.RoundTripper

	client  *Client
	ref     string
	origins []string
	problem error // why it can make no request

	turn    chan struct{}         // holds a value while token is free
	token   *Token                // the last one, nil for none
	refused atomic.Pointer[Token] // the last one that the API did not take
}

// Transport returns a RoundTripper for the token of ref, PROVIDER or
// PROVIDER/PROFILE. Each origin is SCHEME://HOST[:PORT], https or loopback. What is
// wrong with ref or an origin is the error of every request. So is a provider
// whose token travels in the body of a call, where no header can carry it.
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

// RoundTrip makes the request, with the token if it goes to one of the origins. An
// error of fetching the token is that of Client.Token.
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

// refuse ends a request that is not made: a RoundTripper must close its body.
func refuse(request *http.Request, err error) error {
	if request.Body != nil {
		_ = request.Body.Close()
	}
	return err
}

// adds reports whether the request gets the token. One that is incomplete is left
// to Base, which refuses it.
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

// youth is for how long a new token is not blamed for a 401: then the reason is
// another one, and a login for each request would not help.
const youth = time.Minute

// reject remembers that the API has not taken a token. It waits for nobody: the
// answer is there, and another request may be fetching a token for a long time.
func (t *Transport) reject(token *Token) {
	if time.Since(token.Obtained) > youth {
		t.refused.Store(token)
	}
}
