package tokenfetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/internal/credential"
	"github.com/tokenfetch/tokenfetch/pkg/internal/token"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
)

// Issuer contains those members of an issuer's metadata (RFC 8414 section 2) that a
// token request depends on.
type Issuer struct {
	TokenURL    string   // the token endpoint
	GrantTypes  []string // nil if not in the metadata
	AuthMethods []string // client authentication methods at the token endpoint; nil if not in the metadata
}

// CheckIssuer returns why text is not valid as an issuer URL, or "" if it is valid.
// The result does not repeat the URL.
func CheckIssuer(text string) string {
	_, err := provider.ParseAddress(text)
	if e, ok := errors.AsType[*failure.Error](err); ok {
		rule := strings.TrimPrefix(e.Message, "https required: ")
		return strings.TrimPrefix(rule, "the base address ")
	}
	return ""
}

// Discover fetches the metadata of an issuer: first as in RFC 8414, and if there is
// none, as in OpenID Connect Discovery 1.0. The metadata must name the same issuer
// (RFC 8414 section 3.3). The token endpoint must have an https URL, or an http URL
// with a loopback host. caFile is a file with the only CA certificates to trust; if
// empty, the system's are trusted. The error is an [*Error], or the cause of ctx.
func (c *Client) Discover(ctx context.Context, issuer, caFile string) (*Issuer, error) {
	c = c.inTime()
	if problem := CheckIssuer(issuer); problem != "" {
		return nil, failure.New(failure.BadBaseURL, "the issuer's address %s", problem).WithHint("write it as https://HOST[:PORT][/PATH]")
	}
	address, err := provider.ParseAddress(issuer)
	if err != nil {
		return nil, err
	}
	roots, err := c.Roots(ctx, c.limit, new(credential.Plan), caFile)
	if err != nil {
		return nil, err
	}
	defer c.options.Person.Waiting(address.Authority())()
	limit, cancel := c.limit.Context(ctx)
	defer cancel()
	i := interview{issuer: issuer, address: address, http: c.HTTP(roots)}
	said, err := i.ask(limit)
	if e, ok := errors.AsType[*failure.Error](err); ok {
		return nil, e.WithSent(failure.SentNo, i.requests)
	}
	return said, err
}

// interview contains the state of the requests to one issuer.
type interview struct {
	issuer   string
	address  provider.Address
	http     *token.Client
	requests int
}

func (i *interview) ask(ctx context.Context) (*Issuer, error) {
	origin := i.address
	origin.Path = ""
	var statuses []string
	for _, url := range []string{
		origin.String() + "/.well-known/oauth-authorization-server" + i.address.Path, // RFC 8414 section 3.1
		i.address.String() + "/.well-known/openid-configuration",
	} {
		i.requests++
		reply, err := i.http.Document(ctx, url)
		if err != nil {
			return nil, i.explain(err)
		}
		if reply.Status/100 != 4 || reply.Status == 407 {
			said, err := i.read(reply)
			if e, ok := errors.AsType[*failure.Error](err); ok {
				e = i.explain(e)
				e.HTTPStatus = reply.Status
				err = e
			}
			return said, err
		}
		statuses = append(statuses, fmt.Sprint(reply.Status))
	}
	return nil, failure.New(failure.DiscoveryFailed, "%s publishes nothing about this issuer (status %s)", i.address.Authority(), strings.Join(statuses, " and ")).
		WithHint("check the issuer's address, or give that of its token endpoint with --token-url")
}

// explain returns err with hints that fit a request to an issuer.
func (i *interview) explain(err error) *failure.Error {
	e := failure.From(err)
	switch e.Code {
	case failure.DNSNotFound, failure.ConnectFailed:
		return e.WithHint("check the issuer's address, and this computer's network")
	case failure.TLSWrongHost:
		return e.WithHint("check the issuer's address")
	case failure.TLSUntrusted:
		return e.WithHint("if it is your own authority, name its certificates with --ca-file FILE")
	}
	return e
}

// read checks a reply and reads the metadata in it.
func (i *interview) read(reply *token.Reply) (*Issuer, error) {
	switch status := reply.Status; {
	case status == 407:
		return nil, failure.New(failure.ProxyFailed, "a proxy refused the request (status 407)").WithHint("check HTTPS_PROXY and its credentials")
	case 300 <= status && status <= 399:
		return nil, failure.New(failure.Redirect, "the issuer answered with a redirect (status %d), which is not followed", status).
			WithHint("check the issuer's address")
	case 500 <= status && status <= 599:
		return nil, failure.New(failure.ProviderBroken, "the issuer reports a server error (status %d)", status).WithHint("try again later")
	case status != 200:
		return nil, failure.New(failure.UnexpectedStatus, "the reply has the unexpected status %d", status).WithHint("check the issuer's address")
	}
	object, err := reply.Object()
	if err == nil {
		var said *Issuer
		if said, err = i.understand(object); err == nil {
			return said, nil
		}
	}
	e, ok := errors.AsType[*failure.Error](err)
	if !ok {
		return nil, err // the context ended while the body was read
	}
	if e.Class() == failure.Reply {
		e = e.WithSent(failure.SentNo, i.requests)
		e.Reply = provider.Outline(reply, object)
		if e.Hint == "" {
			e.Hint = "check the issuer's address, or give that of its token endpoint with --token-url"
		}
	}
	return nil, e
}

// understand validates the metadata document and converts it.
func (i *interview) understand(object token.Object) (*Issuer, error) {
	wrong := func(format string, args ...any) *failure.Error {
		return failure.New(failure.DiscoveryFailed, "what %s says of itself cannot be used: %s", i.address.Authority(), fmt.Sprintf(format, args...))
	}
	if name, _ := object["issuer"].(string); name != i.issuer {
		e := wrong("it is about another issuer")
		if CheckIssuer(name) == "" {
			e = e.WithHint("it is about %s: if that is the issuer you mean, give exactly this address", name)
		}
		return nil, e
	}
	said := &Issuer{}
	said.TokenURL, _ = object["token_endpoint"].(string)
	if said.TokenURL == "" {
		return nil, wrong("it names no token endpoint")
	}
	if problem := provider.CheckTokenURL(said.TokenURL); problem != "" {
		return nil, wrong("its token_endpoint %s", problem)
	}
	var ok bool
	if said.GrantTypes, ok = texts(object["grant_types_supported"]); !ok {
		return nil, wrong("grant_types_supported is not a list of texts")
	}
	if said.AuthMethods, ok = texts(object["token_endpoint_auth_methods_supported"]); !ok {
		return nil, wrong("token_endpoint_auth_methods_supported is not a list of texts")
	}
	return said, nil
}

// texts returns the strings of a JSON array. It returns nil for a missing value. ok
// is false for any other value.
func texts(value any) (list []string, ok bool) {
	if value == nil {
		return nil, true
	}
	items, ok := value.([]any)
	list = []string{}
	for _, item := range items {
		text, isText := item.(string)
		list, ok = append(list, text), ok && isText
	}
	return list, ok
}

// Complete returns o with the issuer's token endpoint. If o has no authentication
// method, Complete selects one that both sides support. It returns an [*Error] if
// the issuer's metadata excludes the grant or the method. If the metadata does not
// mention them, it accepts them.
func (i *Issuer) Complete(o provider.OAuth2) (provider.OAuth2, error) {
	o.TokenURL = i.TokenURL
	grant, methods := cmp.Or(o.GrantType, provider.GrantTypes()[0]), provider.AuthMethods()
	if i.GrantTypes != nil && !slices.Contains(i.GrantTypes, grant) {
		return o, failure.New(failure.NotOffered, "the issuer does not offer the grant %s: it offers %s", grant, listed(i.GrantTypes)).
			WithHint("ask the provider which grant is meant for programs; --grant-type takes one of %s", strings.Join(provider.GrantTypes(), ", "))
	}
	if o.AuthMethod != "" || i.AuthMethods == nil || slices.Contains(i.AuthMethods, methods[0]) {
		return o, nil
	}
	for _, method := range methods[1:] {
		if slices.Contains(i.AuthMethods, method) {
			o.AuthMethod = method
			return o, nil
		}
	}
	return o, failure.New(failure.NotOffered, "the issuer takes neither %s: it wants %s", strings.Join(methods, " nor "), listed(i.AuthMethods)).
		WithHint("ask the provider for a client that authenticates with a secret; if it takes one all the same, --auth-method says how")
}

// listed joins words of an issuer for a message. It keeps only those that look like
// identifiers of a standard.
func listed(words []string) string {
	const most, letters = 10, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:.-"
	var known []string
	for _, word := range words {
		if word != "" && len(word) <= 64 && strings.Trim(word, letters) == "" && len(known) < most {
			known = append(known, word)
		}
	}
	text := strings.Join(known, ", ")
	switch others := len(words) - len(known); {
	case len(words) == 0:
		return "nothing"
	case others > 0 && text == "":
		return fmt.Sprintf("%d that are not known", others)
	case others > 0:
		return fmt.Sprintf("%s and %d more", text, others)
	}
	return text
}
