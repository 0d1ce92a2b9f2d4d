package tokenfetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/internal/cache"
	"github.com/tokenfetch/tokenfetch/pkg/internal/credential"
	"github.com/tokenfetch/tokenfetch/pkg/internal/token"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
)

// Query says which token to get, and how.
type Query struct {
	Ref
	Environment string            // one of the provider's environments; empty for the one in the profile
	BaseURL     string            // a base URL, instead of an environment
	Flags       map[string]string // values by flag name (see [provider.Field.Flag]); for a secret a path, or "-" for standard input
	CAFile      string            // trust only the CA certificates in this file
	Retries     int               // maximum number of additional attempts
	NoCache     bool              // neither read nor write the cache
	Refresh     bool              // ignore the cache and fetch a new token
	MinTTL      time.Duration     // minimum lifetime of the token
	TryAnyway   bool              // send credentials even if they are on hold after a refusal
	With        []string          // fields whose values are also needed, see [Plan.Value]

	// For credentials that are not, or not yet, in the profiles file.
	File       *profile.File   // replaces the profiles file
	Alone      bool            // ignore the environment variables of the profile
	Given      provider.Values // known values, by field name
	Unrecorded bool            // neither check nor record login outcomes
}

// Plan says where each value for one token comes from. After [Plan.Load] it also
// contains the values. Only [Plan.Token] sends a request.
type Plan struct {
	client *Client
	query  Query
	limit  *Limit
	file   *profile.File
	found  *credential.Plan

	values      provider.Values
	roots       *x509.CertPool   // nil for the system's
	certificate *tls.Certificate // the client certificate, or nil
	kept        *kept            // nil if the cache must not be used
	cached      *token.Token     // nil if a token must be fetched
	held        *cache.Hold      // why no token was fetched, or nil
	lastOne     bool             // one more failed login could lock the account
}

// Plan resolves where each value comes from. It reads the profiles file, but runs no
// helper, does not access the keychain and sends nothing. With an error it also
// returns the part of the plan that is known.
func (c *Client) Plan(ctx context.Context, q Query) (*Plan, error) {
	c = c.inTime()
	p := &Plan{client: c, query: q, limit: c.limit, file: q.File, found: &credential.Plan{Definition: q.Definition, ProfileName: q.Profile}}
	if lifetime, fixed := q.Definition.FixedLifetime(); fixed && lifetime < q.MinTTL {
		return p, shortLifetime()
	}
	if p.file == nil {
		var err error
		if p.file, err = c.Profiles(ctx, nil); err != nil {
			return p, err
		}
	}
	found, err := c.Find(ctx, credential.Query{
		Definition: q.Definition, Profile: q.Profile, File: p.file, Alone: q.Alone, Given: q.Given,
		Environment: q.Environment, BaseURL: q.BaseURL, Flags: q.Flags,
	})
	p.found = found
	if found.Profile != nil && found.Profile.Timeout > 0 && !c.limit.given {
		p.limit = c.limit.Of(found.Profile.Timeout)
	}
	return p, err
}

func shortLifetime() *failure.Error {
	return failure.New(failure.ShortLifetime, "the token does not live as long as was asked for, or its lifetime is unknown").
		WithHint("ask for less, or do without --min-ttl")
}

// Limit returns the time limit for the token. If the Client has none, the profile
// may set it.
func (p *Plan) Limit() *Limit { return p.limit }

// Profiles returns the profiles file that was read, or nil if none was.
func (p *Plan) Profiles() *profile.File { return p.file }

// Origin returns SCHEME://HOST:PORT of the token endpoint, or "" if it is unknown.
func (p *Plan) Origin() string { return p.found.Base.Origin() }

// Load reads a cached token, or the credentials. It sends nothing.
func (p *Plan) Load(ctx context.Context) (err error) {
	c, found := p.client, p.found
	access := c.Access(ctx, p.limit)
	generation := p.generation(ctx)
	if p.values, err = found.ReadNear(ctx, access); err != nil {
		return err
	}
	if p.kept, err = c.openKept(ctx, p, generation); err != nil {
		return err
	}
	if p.cached = p.fromCache(ctx); p.cached != nil {
		c.options.Person.Trace("token from the cache")
		return p.readWanted(ctx, access)
	}
	for _, place := range slices.Concat(found.Places, found.CertificatePlaces()) {
		c.options.Person.Trace("%s from %s", place.Field.Name, place.Where)
	}
	if p.roots, err = c.Roots(ctx, p.limit, found, p.query.CAFile); err != nil {
		return err
	}
	if p.certificate, err = found.ReadCertificate(ctx, access); err != nil {
		return err
	}
	if err := found.Read(ctx, access, p.values); err != nil {
		return err
	}
	return found.Unfinished()
}

// generation returns the generation of the profile's cached tokens. It must be read
// before the secrets are.
func (p *Plan) generation(ctx context.Context) string {
	ctx, cancel := p.limit.Context(ctx)
	defer cancel()
	return cache.Generation(ctx, p.client.dirs.State, p.found.Ref())
}

// fromCache returns the cached token, or nil if there is none to use.
func (p *Plan) fromCache(ctx context.Context) *token.Token {
	ctx, cancel := p.limit.Context(ctx)
	defer cancel()
	return p.kept.get(ctx)
}

// readWanted reads the fields that Query.With names, and the non-secret fields that
// the headers of API calls contain. It is for use with a cached token.
func (p *Plan) readWanted(ctx context.Context, access credential.Access) error {
	wanted := slices.Clone(p.query.With)
	for _, h := range p.query.Definition.Use.Headers {
		for _, name := range h.Value.Fields() {
			if f, _ := p.query.Definition.Field(name); !f.Secret {
				wanted = append(wanted, name)
			}
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	if err := p.found.ReadFields(ctx, access, p.values, wanted); err != nil {
		return err
	}
	return p.found.Unfinished()
}

// Value returns the value of a field that Query.With names, and whether there is
// one. It is valid after [Plan.Load].
func (p *Plan) Value(field string) (secret.Value, bool) {
	value, ok := p.values[field]
	return value, ok
}

// HeldBack reports whether exactly these credentials were on hold, as opposed to the
// account with any password.
func (p *Plan) HeldBack() bool { return p.held != nil && p.held.LockoutAfter == 0 }

// AccountHeld reports, after Token has failed, whether the account is on hold with
// any password: one more failed login could lock it.
func (p *Plan) AccountHeld() bool { return p.lastOne }

// Describe returns a description of the request, line by line, and the source of
// each value. It never shows the value of a secret field.
func (p *Plan) Describe() []string {
	d, values := p.found.Definition, p.found.Known()
	lines := requestLines(d, p.found.Base.String()+d.Request.Path.String(), func(value provider.Template) string { return p.describe(value, values) })
	return append(lines, p.describeCertificate()...)
}

// describeCertificate returns the line of Describe for the client certificate, if
// there is a certificate and the scheme is https.
func (p *Plan) describeCertificate() []string {
	if !p.found.HasCertificate() || p.found.Base.Scheme != "https" {
		return nil
	}
	return []string{fmt.Sprintf("client certificate, if the host asks for one  (client_cert from %s, client_key from %s)", p.found.ClientCert.Where, p.found.ClientKey.Where)}
}

// describe returns the text of one part of the request, and the source of each field
// in it.
func (p *Plan) describe(value provider.Template, values provider.Values) string {
	var origins []string
	left := false
	text := value.Text(func(field string) string {
		i := slices.IndexFunc(p.found.Places, func(place credential.Place) bool { return place.Field.Name == field })
		if i < 0 {
			left = true
			origins = append(origins, field+" is optional")
			return ""
		}
		place := p.found.Places[i]
		origins = append(origins, field+" from "+place.Where)
		known, ok := values[field]
		switch {
		case place.Field.Secret:
			return secret.Hidden
		case !ok:
			return "[read when it is sent]"
		}
		return known.Reveal()
	})
	if left {
		text = "[not sent]"
	}
	if len(origins) > 0 {
		text += "  (" + strings.Join(origins, ", ") + ")"
	}
	return text
}
