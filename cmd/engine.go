package cmd

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/emulator"
	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/inspect"
	"github.com/tokenfetch/tokenfetch/pkg/login"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

// fetchOptions are the flags of a provider's command.
type fetchOptions struct {
	profile     string
	environment string
	baseURL     string
	format      string
	variable    string
	caFile      string
	retries     int
	noCache     bool
	refresh     bool
	minTTL      time.Duration
	tryAnyway   bool
	emulator    bool
	dryRun      bool
	mask        bool
	with        []string          // fields that are handed on beside the token
	fields      map[string]string // the fields' flags that were given
}

// engine returns the client that fetches tokens, configured by the global flags. Call
// it after flags are parsed.
func (r *run) engine() *tokenfetch.Client {
	if r.client == nil {
		r.useTimeout()
		r.client = r.newEngine(r.limit)
	}
	return r.client
}

// newEngine returns a client with its own time limit.
func (r *run) newEngine(limit *tokenfetch.Limit) *tokenfetch.Client {
	return tokenfetch.New(r.engineOptions(limit))
}

// engineOptions returns the options of a client with that time limit.
func (r *run) engineOptions(limit *tokenfetch.Limit) tokenfetch.Options {
	o := tokenfetch.Options{
		Environ:   r.env.Environ,
		Config:    r.config,
		UserAgent: "tokenfetch/" + r.env.Version,
		Catalog:   r.catalog,
		Keychain:  r.env.Keychain,
		Limit:     limit,
		Person: tokenfetch.Person{
			Stdin:   r.readStdin,
			Dialog:  r.env.attended(),
			Waiting: r.waiting,
			Trace:   r.console.info,
			Hide:    r.console.hide,
			Sending: func() { r.signals.watch(); r.sending.Store(true) },
			Again:   func(f ref, flags string) string { return r.again(f.String(), flags) },
		},
	}
	if isTerminal(r.env.Stdin) {
		o.Person.Terminal = r.lendTerminal
	}
	return o
}

// loadProfiles reads the profiles file.
func (r *run) loadProfiles(ctx context.Context) (*profile.File, error) {
	var err error
	r.file, err = r.engine().Profiles(ctx, nil)
	return r.file, err
}

// plan plans the fetch of a token. With --emulator it starts an emulator in this
// process, which runs until end is called and of which nothing is recorded.
func (r *run) plan(ctx context.Context, f ref, o fetchOptions) (p *tokenfetch.Plan, end func(), err error) {
	r.about(f)
	q := tokenfetch.Query{
		Ref: f, Environment: o.environment, BaseURL: o.baseURL, Flags: o.fields, CAFile: o.caFile, Retries: o.retries,
		NoCache: o.noCache, Refresh: o.refresh, MinTTL: o.minTTL, TryAnyway: o.tryAnyway, With: o.with,
	}
	end = func() {}
	if o.emulator {
		if q.BaseURL, end, err = r.emulateOne(ctx, f.Definition); err != nil {
			return nil, end, err
		}
		q.Profile, q.File, q.Alone, q.Given = profile.Default, &profile.File{}, true, emulator.Credentials(f.Definition)
		q.NoCache, q.Unrecorded = true, true
	}
	p, err = r.engine().Plan(ctx, q)
	r.file, r.origin = p.Profiles(), p.Origin()
	if err != nil {
		end()
		return nil, end, err
	}
	r.watch(p.Limit())
	return p, end, nil
}

// emulateOne serves one provider in this process until end is called.
func (r *run) emulateOne(ctx context.Context, d *provider.Definition) (baseURL string, end func(), err error) {
	end = func() {}
	e, err := emulator.New([]*provider.Definition{d}, emulator.Options{})
	if err != nil {
		return "", end, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", end, failure.New(failure.EmulatorUnavailable, "the emulator cannot listen on 127.0.0.1")
	}
	ctx, end = context.WithCancel(ctx)
	go func() { _ = e.Serve(ctx, listener) }() // a failure shows as a lost connection
	return emulator.BaseURL(listener.Addr().String(), d.Name), end, nil
}

// showPlan prints what a fetch would do. No secret has been read at that point.
func (r *run) showPlan(p *tokenfetch.Plan) {
	for _, line := range p.Describe() {
		r.console.plan("%s", line)
	}
	r.console.plan("nothing was sent")
}

// tellCount says that clearing holds does not clear the count of failed logins.
func (r *run) tellCount(what string) {
	r.console.note("%s stays: it ends with a success or after 24 hours", what)
	r.console.hint("to send all the same use --try-anyway, which can be repeated")
}

// tellHeld says that the account is still held back by its count of failed logins, if
// it is.
func (r *run) tellHeld(d *provider.Definition, held *tokenfetch.Hold) {
	if held != nil {
		r.tellCount(fmt.Sprintf("the count of failed logins to this account (%d; %s locks it after %d)", held.Failures, d.Title, held.LockoutAfter))
	}
}

// newInspector returns the inspector for status and doctor, with the time limit of the
// run.
func (r *run) newInspector() *inspect.Inspector {
	r.useTimeout()
	o := r.engineOptions(r.limit)
	o.Person.Again = nil // what is inspected is a fetch
	return inspect.New(o)
}

// loginOptionsFor returns the options of pkg/login for a profile.
func (r *run) loginOptionsFor(ctx context.Context, f ref, limit *tokenfetch.Limit) login.Options {
	return login.Options{Client: r.engine(), Keychain: r.engine().Keychain(ctx, limit), Ref: f, Name: r.short(f), Again: func(flags string) string { return r.again(f.String(), flags) }}
}

// tellForgotten reports problems with clearing cached tokens and holds.
func (r *run) tellForgotten(d *provider.Definition, f login.Forgotten) {
	r.tellHeld(d, f.Held)
	for _, trouble := range []struct {
		what string
		err  error
	}{
		{"older tokens in copies of the cache are not made unusable", f.Generation},
		{"holds are not cleared", f.HoldsError},
		{"cached tokens are not removed", f.TokensError},
	} {
		if trouble.err != nil {
			r.console.info("%s: %s", trouble.what, tokenfetch.CacheProblem(trouble.err))
		}
	}
}
