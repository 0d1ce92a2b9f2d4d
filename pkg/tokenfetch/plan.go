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

// Query says which token is wanted, and how.
type Query struct {
	Ref
	Environment string            // which of the provider's hosts, empty for the profile's
	BaseURL     string            // or its address
	Flags       map[string]string // values by the names of the fields' flags: of a secret a path, "-" for standard input
	CAFile      string            // trust these certificates, and only these
	Retries     int               // how many more attempts may be made
	NoCache     bool              // neither use nor keep a cached token
	Refresh     bool              // only a token that is fetched from now on
	MinTTL      time.Duration     // only a token that lives at least this long
	TryAnyway   bool              // send credentials that an earlier refusal holds back
	With        []string          // fields whose values are wanted too, see Plan.Value

	// For a profile that is not written yet, or never will be.
	File       *profile.File   // in place of the profiles file
	Alone      bool            // without the variables that fill a profile
	Given      provider.Values // values at hand, by the names of their fields
	Unrecorded bool            // neither holds back nor remembers a refusal
}

// Plan is where everything that one token needs comes from. Once it is loaded,
// what is needed is at hand, and nothing has been sent.
type Plan struct {
	client *Client
	query  Query
	limit  *Limit
	file   *profile.File
	found  *credential.Plan

	values      provider.Values
	roots       *x509.CertPool   // nil for the system's
	certificate *tls.Certificate // of ours, nil for none
	kept        *kept            // nil where no cached token may be used
	cached      *token.Token     // nil if it must be fetched
	held        *cache.Hold      // why it was not fetched, nil if it was
	lastOne     bool             // one more failed login could lock the account
}

// Plan finds where everything comes from. It reads the profiles file, runs no
// helper, asks no keychain and sends nothing. With an error too it returns what
// is known of the plan.
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

// Limit returns the time that is left for the token: the profile may set one
// where the Client has none.
func (p *Plan) Limit() *Limit { return p.limit }

// Profiles returns the profiles file that was read, nil if none was.
func (p *Plan) Profiles() *profile.File { return p.file }

// Origin returns SCHEME://HOST:PORT of the token endpoint, empty if it is not
// known.
func (p *Plan) Origin() string { return p.found.Base.Origin() }

// Load gets what is needed: a cached token, or the credentials. It sends nothing.
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

// generation is that of the cached tokens of the profile. It must be read before
// the secrets are.
func (p *Plan) generation(ctx context.Context) string {
	ctx, cancel := p.limit.Context(ctx)
	defer cancel()
	return cache.Generation(ctx, p.client.dirs.State, p.found.Ref())
}

// fromCache returns the cached token, nil if there is none to be used.
func (p *Plan) fromCache(ctx context.Context) *token.Token {
	ctx, cancel := p.limit.Context(ctx)
	defer cancel()
	return p.kept.get(ctx)
}

// readWanted reads the fields that are wanted beside a cached token, and those that
// calls need in a header which may be told.
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

// Value returns the value of a field, and whether there is one: after Load, of
// one that With names.
func (p *Plan) Value(field string) (secret.Value, bool) {
	value, ok := p.values[field]
	return value, ok
}

// HeldBack reports whether these very credentials were held back, and not their
// account whatever the password.
func (p *Plan) HeldBack() bool { return p.held != nil && p.held.LockoutAfter == 0 }

// AccountHeld reports, after Token has failed, whether the account is held back
// whatever the password: one more failed login could lock it.
func (p *Plan) AccountHeld() bool { return p.lastOne }

// Describe returns the request that would be sent, line by line, and where each
// value comes from. No value of a secret field is known before Load, and none is
// shown.
func (p *Plan) Describe() []string {
	d, values := p.found.Definition, p.found.Known()
	lines := requestLines(d, p.found.Base.String()+d.Request.Path.String(), func(value provider.Template) string { return p.describe(value, values) })
	return append(lines, p.describeCertificate()...)
}

// describeCertificate returns a line of Describe for the client certificate, none
// where there is no certificate, or no TLS.
func (p *Plan) describeCertificate() []string {
	if !p.found.HasCertificate() || p.found.Base.Scheme != "https" {
		return nil
	}
	return []string{fmt.Sprintf("client certificate, if the host asks for one  (client_cert from %s, client_key from %s)", p.found.ClientCert.Where, p.found.ClientKey.Where)}
}

// describe returns what would be sent in a place, and where each field in it comes
// from.
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
