package tokenfetch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/internal/cache"
	"github.com/tokenfetch/tokenfetch/pkg/internal/token"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
)

// Token is an access token with what is known of it.
type Token struct {
	// AccessToken is 1 to 8192 bytes of visible ASCII. It prints as [hidden]; Reveal
	// returns it.
	AccessToken secret.Value
	Lifetime    time.Duration // from Obtained on, whole seconds; 0 if it is unknown
	Obtained    time.Time     // when the reply arrived, UTC
	Scope       string        // RFC 6749 section 3.3, empty if not stated
	SingleUse   bool          // the provider accepts it for one call only
	Use         Use           // how calls carry it
	// Extra are members of the reply that the definition keeps, as JSON, by their
	// paths: texts, numbers and booleans.
	Extra  map[string]json.RawMessage
	Cached bool // it comes from the cache

	Ref
	Environment string // of the provider, empty if a base address was given
	BaseURL     string // of the token endpoint
	Origin      string // SCHEME://HOST:PORT of it
}

// Use says how a call carries a token: in a header, or as a member of its JSON
// body.
type Use = token.Use

// MaxTokenLength is the length of the longest token that is accepted, in bytes.
const MaxTokenLength = token.MaxLength

// Expired reports whether the token is not to be used at now any more: the last
// part of its life, a minute or 5 % of it, does not count. A token whose lifetime
// is unknown never is.
func (t *Token) Expired(now time.Time) bool {
	return t.Lifetime > 0 && !now.Before(t.Obtained.Add(t.Lifetime-cache.Margin(t.Lifetime)))
}

// Token returns the token: the cached one, or one that is fetched. Nothing is
// sent while an earlier refusal holds the credentials back; they are sent by one
// process at a time until they have been seen to work; and whoever waits takes
// the token that another process has fetched meanwhile.
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
		return nil, p.held.Failure().WithHint("%s", HoldHint(p.query.Ref, p.held))
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

// request builds the request. The secrets in it are hidden from then on.
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
		secrets = append(secrets, request.Basic.Password) // form-encoded, maybe
	}
	p.client.options.Person.Hide(append(secrets, request.Body)...)
	return secrets, request, err
}

// guard opens what is known of the credentials, nil if that does not matter.
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

// ignoreBefore is the time before which refusals hold nothing back.
func (p *Plan) ignoreBefore() time.Time {
	if p.query.TryAnyway {
		return p.client.limit.Start()
	}
	return time.Time{}
}

// awaitTurn waits until no other run sends the same credentials, where that
// matters: while they have never been seen to work, where a refusal may lock
// the account, and where the other run's token can be shared.
func (p *Plan) awaitTurn(ctx context.Context, guard *cache.Guard) (release func(), err error) {
	proven := guard == nil || guard.Proven(ctx, time.Now())
	if proven && !guard.Alone() && p.kept == nil {
		return func() {}, nil
	}
	wait, cancel := p.limit.Context(ctx)
	defer cancel()
	if proven && !guard.Alone() {
		// Whoever has the lock may be stuck; these credentials are safe to send.
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

// The waits between attempts that never reached the provider: a random part
// (full jitter) of a bound that doubles from the first to the last.
const (
	firstBackoff = 200 * time.Millisecond
	lastBackoff  = 5 * time.Second
)

// exchange sends the request and judges the reply. As many more attempts are made
// as the query allows, where that cannot count as a second login: see retryWait.
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

// attempt is one exchange. What becomes of it is recorded: where a login without
// an answer counts, from the moment on when the connection stands.
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
	return t, err
}

// maybeIssued adds to a failure after the request was sent that a token that can
// be used once may be lost.
func (p *Plan) maybeIssued(err error) error {
	e, ok := errors.AsType[*failure.Error](err)
	if ok && p.query.Definition.Policy.SingleUse && e.Sent != failure.SentNo {
		return e.Append("; a token may have been issued")
	}
	return err
}

// recordLimit is how long that may take once there is an answer, whatever ends the
// run.
const recordLimit = time.Second

// record records what became of the credentials in one attempt that ended with
// err. An attempt without an answer stays on record as it was begun.
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

// retryWait says how long to wait before another attempt, and whether there
// may be one: only after a failure that provably came before the first byte of
// the request, or if the provider itself names a time (429 and 503). A
// certificate that is refused once is refused again, and so is a proxy's password.
func retryWait(e *failure.Error, attempt int) (time.Duration, bool) {
	certificate := []failure.Code{failure.TLSUntrusted, failure.TLSExpired, failure.TLSWrongHost, failure.TLSInvalid, failure.TLSClientCert}
	switch {
	case e.Class() == failure.Net && e.Sent == failure.SentNo && !slices.Contains(certificate, e.Code) && e.HTTPStatus/100 != 4:
		bound := min(lastBackoff, firstBackoff<<(min(attempt, 10)-1))
		return rand.N(bound), true
	case (e.HTTPStatus == 429 || e.HTTPStatus == 503) && e.RetryAfter != nil:
		// A little later than asked, so that many processes do not come at once.
		return *e.RetryAfter + rand.N(*e.RetryAfter/4+firstBackoff), true
	}
	return 0, false
}

// sleep waits, saying so.
func (p *Plan) sleep(ctx context.Context, wait time.Duration) error {
	defer p.client.options.Person.Waiting("another attempt")()
	select {
	case <-time.After(wait):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// advise says in the error of a login what to do about it.
func (p *Plan) advise(ctx context.Context, guard *cache.Guard, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordLimit)
	defer cancel()
	if e, ok := errors.AsType[*failure.Error](err); ok {
		return p.adviseRefusal(ctx, guard, AdviseAllowList(p.query.Definition, p.found.Environment, e))
	}
	return err
}

// AdviseAllowList returns e with a hint where the source address may be the reason:
// a host that accepts only listed ones gives no proper answer, or any host of a
// provider that keeps such a list says that the request is not allowed. environment
// is the name of the host, empty if it is none of the provider's.
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

// adviseRefusal adds to e what follows on this computer where the provider has
// counted a failed login, or may have.
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
		e = e.AppendHint("; nothing more is sent to this account from this computer for %s, except with --try-anyway", failure.Span(held.Left))
	case unanswered:
		e = e.AppendHint("; this may count as a failed login, so these credentials are held back on this computer for %s", failure.Span(held.Left))
	default:
		e = e.AppendHint("; until they change they are held back on this computer for %s", failure.Span(held.Left))
	}
	if lockoutAfter > 0 && (e.Counted || held != nil || unrecorded != nil) {
		e = e.AppendHint("; %s locks the account after %d refusals in a row", d.Title, lockoutAfter)
		if state.Left != nil {
			e = e.AppendHint(" (%d left, as far as this computer knows)", *state.Left)
		}
	}
	if lockoutAfter > 0 && e.Counted && d.AllowListed() {
		e = e.AppendHint("; if this computer's address was not on the list of %s, send again with --try-anyway once it is", d.Title)
	}
	if p.client.CI() {
		e = e.AppendHint("; other CI machines do not know of this")
	}
	if unrecorded != nil {
		e = e.AppendHint("\n%s", unrecordedHint)
	}
	return e
}

// unrecordedHint is what to do where refusals cannot be recorded.
const unrecordedHint = "this could not be recorded: set XDG_STATE_HOME to a directory of yours with space left (StateDirectory=tokenfetch in a systemd unit)"

// HoldHint is what to do where the credentials of a profile are held back.
func HoldHint(f Ref, h *cache.Hold) string {
	switch {
	case h.LockoutAfter > 0:
		return fmt.Sprintf("make sure that the account of %s works at %s, and reset it there if need be; then send with --try-anyway, which can be repeated", f, f.Definition.Title)
	case h.Code == failure.OutcomeUnknown:
		return "wait, and allow more time with --timeout 60s; or send them again with --try-anyway"
	}
	hint := fmt.Sprintf("correct the credentials of %s, or send these again with --try-anyway", f)
	if n := f.Definition.Policy.LockoutAfter; n > 0 {
		hint += fmt.Sprintf("; %s locks the account after %d refusals in a row", f.Definition.Title, n)
	}
	return hint
}
