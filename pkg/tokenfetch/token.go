package tokenfetch

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/internal/cache"
	"github.com/tokenfetch/tokenfetch/pkg/internal/credential"
	"github.com/tokenfetch/tokenfetch/pkg/internal/token"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
)

// Token is an access token and its properties.
type Token struct {
	// AccessToken is 1 to 8192 bytes of printable ASCII without spaces. It prints as
	// [hidden]; [secret.Value.Reveal] returns the content.
	AccessToken secret.Value
	Lifetime    time.Duration // from Obtained on, in whole seconds; 0 if unknown
	Obtained    time.Time     // when the reply arrived, UTC
	Scope       string        // RFC 6749 section 3.3; empty if not in the reply
	SingleUse   bool          // the provider accepts it for one call only
	Use         Use           // how API calls send it
	// Extra contains members of the reply that the definition keeps, keyed by path.
	// The values are JSON strings, numbers and booleans.
	Extra  map[string]json.RawMessage
	Cached bool // whether it comes from the cache

	Ref
	Environment string // of the provider; empty if a base URL was set
	BaseURL     string // of the token endpoint
	Origin      string // SCHEME://HOST:PORT of BaseURL
}

// Use says how an API call sends a token: in a header, or as a member of its JSON
// body.
type Use = token.Use

// MaxTokenLength is the maximum length of a token, in bytes.
const MaxTokenLength = token.MaxLength

// Expired reports whether the token should no longer be used at now. It becomes true
// before the lifetime ends, by a margin of one minute or 5 % of the lifetime. It is
// always false if the lifetime is unknown.
func (t *Token) Expired(now time.Time) bool {
	return t.Lifetime > 0 && !now.Before(t.Obtained.Add(t.Lifetime-cache.Margin(t.Lifetime)))
}

// Token returns the cached token that [Plan.Load] found, or fetches a new one. It
// sends nothing while the credentials are on hold after a refusal. Until the
// credentials have worked once, only one process at a time sends them. A process
// that waits returns the token that another process fetched meanwhile.
func (p *Plan) Token(ctx context.Context) (*Token, error) {
	if p.cached != nil {
		return p.result(p.cached, true), nil
	}
	secrets, request, err := p.request()
	if err != nil {
		return nil, err
	}
	bounded, cancel := p.limit.Context(ctx)
	defer cancel()
	guard := p.guard(bounded)
	release, err := p.awaitTurn(ctx, guard)
	if err != nil {
		return nil, err
	}
	defer release()
	if t := p.kept.getInTurn(bounded); t != nil {
		return p.result(t, true), nil
	}
	if p.held = guard.State(bounded, time.Now(), p.ignoreBefore()).Hold; p.held != nil {
		p.lastOne = p.held.LockoutAfter > 0
		return nil, p.held.Failure().WithHint("%s", HoldHint(p.query.Ref, p.held, p.found, p.again("--try-anyway")))
	}
	t, err := p.exchange(ctx, guard, request, secrets)
	if err != nil {
		return nil, p.advise(ctx, guard, err)
	}
	p.kept.put(bounded, t)
	if t.Lifetime < p.query.MinTTL {
		return nil, shortLifetime().WithSent(failure.SentYes, 1)
	}
	return p.result(t, false), nil
}

func (p *Plan) result(t *token.Token, cached bool) *Token {
	p.client.options.Person.Hide(t.AccessToken)
	base := p.found.Base
	return &Token{
		AccessToken: t.AccessToken, Lifetime: t.Lifetime, Obtained: t.Obtained, Scope: t.Scope, SingleUse: t.SingleUse,
		Use: p.query.Definition.UseOf(p.values), Extra: t.Extra, Cached: cached,
		Ref: p.query.Ref, Environment: p.found.Environment, BaseURL: base.String(), Origin: base.Origin(),
	}
}

// request builds the request, and passes the secrets in it to Person.Hide.
func (p *Plan) request() ([]secret.Value, token.Request, error) {
	var secrets []secret.Value
	for _, f := range p.query.Definition.Fields {
		if f.Secret {
			secrets = append(secrets, p.values[f.Name])
		}
	}
	p.client.options.Person.Hide(secrets...)
	request, err := p.query.Definition.TokenRequest(p.found.Base, p.values)
	if request.Basic != nil {
		secrets = append(secrets, request.Basic.Password) // may be form-encoded
	}
	p.client.options.Person.Hide(append(secrets, request.Body)...)
	return secrets, request, err
}

// guard opens the recorded login outcomes of the credentials, or returns nil for
// Query.Unrecorded.
func (p *Plan) guard(ctx context.Context) *cache.Guard {
	if p.query.Unrecorded {
		return nil
	}
	values, account := p.found.Fingerprint(p.values)
	guard := cache.OpenGuard(ctx, p.client.dirs.State, cache.Credential{Values: values, Account: account, LockoutAfter: p.query.Definition.Policy.LockoutAfter})
	if err := guard.Err(); err != nil {
		p.client.options.Person.Trace("earlier refusals are not known, and none is recorded: %s", CacheProblem(err))
	}
	return guard
}

// ignoreBefore returns the time before which refusals are ignored.
func (p *Plan) ignoreBefore() time.Time {
	if p.query.TryAnyway {
		return p.client.limit.Start()
	}
	return time.Time{}
}

// awaitTurn waits until no other process sends the same credentials. It does so only
// if the credentials have never worked, if refusals may lock the account, or if the
// processes can share the token through the cache.
func (p *Plan) awaitTurn(ctx context.Context, guard *cache.Guard) (release func(), err error) {
	proven := guard == nil || guard.Proven(ctx, time.Now())
	if proven && !guard.Alone() && p.kept == nil {
		return func() {}, nil
	}
	wait, cancel := p.limit.Context(ctx)
	defer cancel()
	if proven && !guard.Alone() {
		// The process that holds the lock may hang. These credentials are safe to
		// send, so do not wait for the whole time.
		wait, cancel = context.WithTimeout(wait, p.limit.Left()/3)
		defer cancel()
	}
	defer p.client.options.Person.Waiting("another run that fetches the same token")()
	release, err = guard.Acquire(wait, func() bool {
		return p.kept.getWaiting(wait) != nil || !p.kept.usable() && !guard.Alone() && guard.Proven(wait, time.Now())
	})
	switch {
	case err == nil:
		return release, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case proven && !guard.Alone():
		return func() {}, nil
	}
	return nil, failure.New(failure.LoginInProgress, "another run is trying the same credentials, and has not finished in time").
		WithHint("try again later")
}

// The delays between attempts. A delay is a random part (full jitter) of a bound
// that doubles from the first value up to the last.
const (
	firstBackoff = 200 * time.Millisecond
	lastBackoff  = 5 * time.Second
)

// exchange sends the request and interprets the reply. It repeats the attempt up to
// Query.Retries times if that cannot count as a second login, see retryWait.
func (p *Plan) exchange(ctx context.Context, guard *cache.Guard, request token.Request, sent []secret.Value) (*token.Token, error) {
	p.client.options.Person.Sending()
	if guard.Err() == nil {
		defer func() {
			if err := guard.Err(); err != nil {
				p.client.options.Person.Trace("what became of the credentials is not recorded: %s", CacheProblem(err))
			}
		}()
	}
	for attempt := 1; ; attempt++ {
		t, err := p.attempt(ctx, guard, request, sent)
		e, failed := errors.AsType[*failure.Error](err)
		if !failed {
			return t, err
		}
		e = e.WithSent(e.Sent, attempt)
		wait, again := retryWait(e, attempt)
		if attempt > p.query.Retries || !again {
			return nil, e
		}
		if wait > p.limit.Left() {
			return nil, e.Append("; the wait before another attempt is longer than allowed").WithHint("try again later, or allow more time with --timeout")
		}
		p.client.options.Person.Trace("attempt %d failed (%s); the next in %v", attempt, e.Code, wait.Round(time.Millisecond))
		if err := p.sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// attempt sends the request once and records the outcome. For a provider that may
// count a login without a reply, the record starts when the connection is
// established.
func (p *Plan) attempt(ctx context.Context, guard *cache.Guard, request token.Request, sent []secret.Value) (*token.Token, error) {
	defer p.client.options.Person.Waiting(p.found.Base.Authority())()
	limit, cancel := p.limit.Context(ctx)
	defer cancel()
	client := p.client.HTTP(p.roots)
	client.Certificate = p.certificate
	client.Connected = func() { guard.Begin(limit, time.Now()) }
	reply, err := client.Send(limit, request)
	if err != nil {
		return nil, p.maybeIssued(err)
	}
	t, err := p.query.Definition.Token(reply, sent...)
	record(ctx, guard, err)
	return t, p.describeReply(reply, err)
}

// notTheEndpoint are the codes of replies that something else than a token endpoint may
// have sent.
var notTheEndpoint = [...]failure.Code{
	failure.NotATokenEndpoint, failure.NotJSON, failure.EmptyReply, failure.NoToken, failure.Redirect, failure.UnexpectedStatus,
}

// describeReply adds to an error of class [failure.Reply] what was called and what kind
// of reply came, and what to check. A content type may be any text, so only known ones
// are named.
func (p *Plan) describeReply(reply *token.Reply, err error) error {
	e, ok := errors.AsType[*failure.Error](err)
	if !ok || e.Class() != failure.Reply {
		return err
	}
	if slices.Contains(notTheEndpoint[:], e.Code) {
		var facts []string
		if !strings.Contains(e.Message, "status ") {
			facts = append(facts, fmt.Sprintf("status %d", reply.Status))
		}
		if slices.Contains([]string{"application/json", "text/html", "text/plain", "text/xml", "application/xml"}, reply.ContentType) {
			facts = append(facts, reply.ContentType)
		}
		facts = append(facts, "from "+p.found.Base.String()+p.query.Definition.Request.Path.String())
		e = e.Append("; %s", strings.Join(facts, ", "))
	}
	if e.Hint == "" {
		return e.WithHint("check %s; if it is right, report this reply to %s", p.found.HostGiver(), p.query.Definition.Title)
	}
	return e.WithHint("%s", strings.Replace(e.Hint, "the base address", p.found.HostGiver(), 1))
}

// maybeIssued adds to an error after sending that a single-use token may be lost.
func (p *Plan) maybeIssued(err error) error {
	e, ok := errors.AsType[*failure.Error](err)
	if ok && p.query.Definition.Policy.SingleUse && e.Sent != failure.SentNo {
		return e.Append("; a token may have been issued")
	}
	return err
}

// recordLimit is the maximum time for recording an outcome, even if the context has
// ended.
const recordLimit = time.Second

// record records the outcome of one attempt that returned err. An attempt without a
// reply keeps the record that was written at its start.
func record(ctx context.Context, guard *cache.Guard, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordLimit)
	defer cancel()
	now := time.Now()
	e, failed := errors.AsType[*failure.Error](err)
	switch {
	case err == nil:
		guard.Record(ctx, cache.Worked, "", now)
	case !failed:
	case e.Counted:
		guard.Record(ctx, cache.Refused, e.Code, now)
	case e.HTTPStatus != 0 && e.Sent == failure.SentYes && e.Class() != failure.Net && e.Class() != failure.Signal:
		guard.Record(ctx, cache.Answered, "", now)
	}
}

// retryWait returns the delay before another attempt, and whether there may be one.
// That requires a failure that certainly happened before the first byte of the
// request was sent, or a time from the provider itself (status 429 or 503). Errors
// of certificates and proxy authentication are not retried, because they would occur
// again.
func retryWait(e *failure.Error, attempt int) (time.Duration, bool) {
	certificate := []failure.Code{failure.TLSUntrusted, failure.TLSExpired, failure.TLSWrongHost, failure.TLSInvalid, failure.TLSClientCert}
	switch {
	case e.Class() == failure.Net && e.Sent == failure.SentNo && !slices.Contains(certificate, e.Code) && e.HTTPStatus/100 != 4:
		bound := min(lastBackoff, firstBackoff<<(min(attempt, 10)-1))
		return rand.N(bound), true
	case (e.HTTPStatus == 429 || e.HTTPStatus == 503) && e.RetryAfter != nil:
		// Add a random delay, so that many processes do not retry at the same time.
		return *e.RetryAfter + rand.N(*e.RetryAfter/4+firstBackoff), true
	}
	return 0, false
}

func (p *Plan) sleep(ctx context.Context, wait time.Duration) error {
	defer p.client.options.Person.Waiting("another attempt")()
	select {
	case <-time.After(wait):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// advise adds hints to the error of a login.
func (p *Plan) advise(ctx context.Context, guard *cache.Guard, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordLimit)
	defer cancel()
	if e, ok := errors.AsType[*failure.Error](err); ok {
		if e.Code == failure.CredentialsRejected || e.Code == failure.ProviderRefused {
			e = e.WithHint("%s", cmp.Or(p.found.Correction(), e.Hint))
		}
		return p.adviseRefusal(ctx, guard, AdviseAllowList(p.query.Definition, p.found.Environment, e))
	}
	return err
}

// AdviseAllowList adds a hint to e if the source address may be the reason for the
// error. That is the case if a host with an allow list returned no proper reply, or
// if any host of a provider with an allow list returned that the request is not
// allowed. environment is the name of the environment, or empty for a base URL.
func AdviseAllowList(d *provider.Definition, environment string, e *Error) *Error {
	suspects := []failure.Code{failure.Timeout, failure.ConnectionLost, failure.ConnectFailed, failure.NotAllowed, failure.NotJSON}
	if !slices.Contains(suspects, e.Code) {
		return e
	}
	accepts := ""
	if known, _ := d.Environment(environment); known.AllowListed {
		accepts = "accepts"
	} else if e.Code == failure.NotAllowed && d.AllowListed() {
		accepts = "may accept"
	}
	if accepts == "" {
		return e
	}
	hint := fmt.Sprintf("this host %s only source addresses that %s has put on its list: check that yours is", accepts, d.Title)
	if e.Hint != "" {
		hint += "; otherwise " + e.Hint
	}
	return e.WithHint("%s", hint)
}

// adviseRefusal adds to e the consequences of a login that the provider counted as
// failed, or may have.
func (p *Plan) adviseRefusal(ctx context.Context, guard *cache.Guard, e *failure.Error) *failure.Error {
	d := p.query.Definition
	lockoutAfter := d.Policy.LockoutAfter
	unanswered := lockoutAfter > 0 && e.Class() == failure.Net && e.Sent != failure.SentNo
	if guard == nil || !e.Counted && !unanswered {
		return e
	}
	state := guard.State(ctx, time.Now(), time.Time{})
	unrecorded, held := guard.Err(), state.Hold
	p.lastOne = state.Left != nil && *state.Left <= 1
	switch {
	case held == nil:
	case held.LockoutAfter > 0:
		e = e.AddHint("nothing more is sent to this account from this computer for %s", failure.Span(held.Left))
	case unanswered:
		e = e.AddHint("this may count as a failed login, so these credentials are held back on this computer for %s", failure.Span(held.Left))
	default:
		e = e.AddHint("these credentials are held back on this computer for %s, or until they change", failure.Span(held.Left))
	}
	if lockoutAfter > 0 && (e.Counted || held != nil || unrecorded != nil) {
		locks := fmt.Sprintf("%s locks the account after %d refusals in a row", d.Title, lockoutAfter)
		if state.Left != nil {
			locks += fmt.Sprintf(" (%d left, as far as this computer knows)", *state.Left)
		}
		if held != nil {
			e = e.AppendHint("; %s", locks)
		} else {
			e = e.AddHint("%s", locks)
		}
	}
	if p.client.CI() {
		e = e.AppendHint("; other CI machines do not know of this")
	}
	switch again := p.again("--try-anyway"); {
	case e.Code == failure.AccountLocked:
		e = e.AddHint("once the account is unlocked run: %s", again)
	case lockoutAfter > 0 && e.Counted && d.AllowListed():
		e = e.AddHint("if this computer's address was not on the list of %s, run once it is: %s", d.Title, again)
	case held != nil:
		e = e.AddHint("to send them all the same run: %s", again)
	}
	if unrecorded != nil {
		e = e.AddHint("%s", unrecordedHint)
	}
	return e
}

// again returns the command line that repeats the user's command with more flags.
func (p *Plan) again(flags string) string { return p.client.options.Person.Again(p.query.Ref, flags) }

// unrecordedHint is the hint if refusals cannot be recorded.
const unrecordedHint = "this could not be recorded: set XDG_STATE_HOME to a directory of yours with space left (StateDirectory=tokenfetch in a systemd unit)"

// HoldHint returns the hint for a profile whose credentials are on hold. found says
// where they come from. again is the command that sends them all the same; if empty,
// the one that fetches a token.
func HoldHint(f Ref, h *cache.Hold, found *credential.Plan, again string) string {
	again = cmp.Or(again, credential.Command(f.Definition.Name, f.Profile, "--try-anyway"))
	switch {
	case h.LockoutAfter > 0:
		return fmt.Sprintf("make sure that the account of %s works at %s, and reset it there if need be; then run: %s (which can be repeated)", f, f.Definition.Title, again)
	case h.Code == failure.OutcomeUnknown:
		return "wait, and allow more time with --timeout 60s; or send them again: " + again
	case h.Code == failure.AccountLocked:
		return fmt.Sprintf("have %s unlock the account, then run: %s", f.Definition.Title, again)
	}
	hint := fmt.Sprintf("%s; or send these again: %s", cmp.Or(found.Correction(), "correct the credentials of "+f.String()), again)
	if n := f.Definition.Policy.LockoutAfter; n > 0 {
		hint += fmt.Sprintf("; %s locks the account after %d refusals in a row", f.Definition.Title, n)
	}
	return hint
}
