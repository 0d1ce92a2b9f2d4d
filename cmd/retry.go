package cmd

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/pkg/token"
)

// The waits between attempts that never reached the provider: a random part
// (full jitter) of a bound that doubles from the first to the last.
const (
	firstBackoff = 200 * time.Millisecond
	lastBackoff  = 5 * time.Second
)

// exchange sends the request and judges the reply. Up to retries more attempts
// are made, where that cannot count as a second login: see retryWait.
func (r *run) exchange(ctx context.Context, d *provider.Definition, c *call, request token.Request, retries int, sent []secret.Value) (*token.Token, error) {
	r.sending.Store(true)
	for attempt := 1; ; attempt++ {
		t, err := r.attempt(ctx, d, c, request, sent)
		e, failed := errors.AsType[*failure.Error](err)
		if !failed {
			return t, err
		}
		e.Attempts = attempt
		wait, again := retryWait(e, attempt)
		if attempt > retries || !again {
			return nil, e
		}
		if wait > c.limit.left() {
			e.Message += "; the wait before another attempt is longer than allowed"
			e.Hint = "try again later, or allow more time with --timeout"
			return nil, e
		}
		r.console.info("attempt %d failed (%s); the next in %v", attempt, e.Code, wait.Round(time.Millisecond))
		if err := r.sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// attempt is one exchange.
func (r *run) attempt(ctx context.Context, d *provider.Definition, c *call, request token.Request, sent []secret.Value) (*token.Token, error) {
	reply, err := r.send(ctx, c, request)
	if err != nil {
		return nil, singleUse(d, err)
	}
	t, err := d.Token(reply, sent...)
	c.record(err)
	return t, err
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

// sleep waits, saying so on a terminal.
func (r *run) sleep(ctx context.Context, wait time.Duration) error {
	defer r.console.waiting("another attempt")()
	select {
	case <-time.After(wait):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
