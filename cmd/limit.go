package cmd

import (
	"context"
	"sync"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/credential"
	"github.com/tokenfetch/tokenfetch/pkg/failure"
)

// The time limits of a run without --timeout.
const (
	defaultLimit  = 30 * time.Second // for everything but the keychain
	keychainLimit = 3 * time.Second  // for each call of the keychain
)

// limit is the time a run may take. Given by --timeout or a profile it is one
// deadline for everything; by default the keychain has its own limit beside it.
// The time a person takes to answer never counts. All limits of a run share its
// clock. Methods may be called from several goroutines.
type limit struct {
	clock *clock
	span  time.Duration
	given bool
}

func newLimit(start time.Time, given time.Duration) *limit {
	l := &limit{clock: &clock{start: start, alarms: map[*alarm]bool{}}, span: defaultLimit}
	if given > 0 {
		return l.of(given)
	}
	return l
}

// of returns another limit of the same run.
func (l *limit) of(span time.Duration) *limit { return &limit{l.clock, span, true} }

// left returns how much time is left.
func (l *limit) left() time.Duration {
	l.clock.mu.Lock()
	defer l.clock.mu.Unlock()
	return l.span - l.clock.elapsed()
}

// context returns a context that ends at the deadline as it is now.
func (l *limit) context(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, l.left())
}

// keychain returns the context of one call of the keychain; done ends it.
func (l *limit) keychain(ctx context.Context) (_ context.Context, done func()) {
	if l.given {
		return l.context(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, keychainLimit)
	resume := l.pause()
	return ctx, func() { cancel(); resume() }
}

// pause stops the clock until resume is called. Pauses may overlap.
func (l *limit) pause() (resume func()) {
	l.clock.pause()
	return sync.OnceFunc(l.clock.resume)
}

// whenOver calls over in a goroutine of its own when the time is over, pauses
// that are yet to come included, unless stop is called before.
func (l *limit) whenOver(over func()) (stop func()) {
	c := l.clock
	c.mu.Lock()
	defer c.mu.Unlock()
	a := &alarm{span: l.span, timer: time.AfterFunc(l.span-c.elapsed(), sync.OnceFunc(over))}
	if c.pauses > 0 {
		a.timer.Stop()
	}
	c.alarms[a] = true
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		a.timer.Stop()
		delete(c.alarms, a)
	}
}

// limitOf returns the limit of a token: the profile may set one where --timeout
// does not.
func (r *run) limitOf(plan *credential.Plan) *limit {
	l := r.limit
	if p := plan.Profile; p != nil && p.Timeout > 0 && !l.given {
		l = l.of(p.Timeout)
	}
	r.watch(l)
	return l
}

// useTimeout makes --timeout, once it is parsed, the limit of the run.
func (r *run) useTimeout() {
	if r.timeout > 0 && !r.limit.given {
		r.limit = r.limit.of(r.timeout)
		r.watch(r.limit)
	}
}

// watch makes l the limit of the whole run, unless a longer one was set before.
func (r *run) watch(l *limit) {
	if r.longest != nil && r.longest.span >= l.span {
		return
	}
	r.longest = l
	r.unwatch()
	r.unwatch = l.whenOver(r.expire)
}

// overtime is how long a run has to end by itself after its limit.
const overtime = 500 * time.Millisecond

// expire ends a run that is still there after the overtime: a system call that
// nothing can break off does not return.
func (r *run) expire() {
	time.Sleep(overtime)
	r.overdue <- struct{}{}
}

// stuck is how a run ends that does not end by itself. What has no deadline of
// its own are the files and directories that it uses.
func (r *run) stuck() error {
	e := failure.New(failure.InputTimeout, "a file or directory did not answer within the time limit").
		WithHint("check the file systems of the profiles file, the cache and the state directory (tokenfetch doctor), or allow more time with --timeout 60s")
	if r.sending.Load() {
		e.Sent, e.Attempts = failure.SentUnknown, 1
	}
	return e
}

// clock measures how long a run has worked: the time since its start without
// the pauses.
type clock struct {
	start time.Time

	mu     sync.Mutex
	paused time.Duration // all pauses that are over
	pauses int           // how many are not
	since  time.Time     // when the first of those began
	alarms map[*alarm]bool
}

// alarm is a timer that stands still in a pause.
type alarm struct {
	span  time.Duration
	timer *time.Timer
}

// elapsed is called with the lock held.
func (c *clock) elapsed() time.Duration {
	now := time.Now()
	if c.pauses > 0 {
		now = c.since
	}
	return now.Sub(c.start) - c.paused
}

func (c *clock) pause() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pauses++; c.pauses > 1 {
		return
	}
	c.since = time.Now()
	for a := range c.alarms {
		a.timer.Stop()
	}
}

func (c *clock) resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pauses--; c.pauses > 0 {
		return
	}
	c.paused += time.Since(c.since)
	for a := range c.alarms {
		a.timer.Reset(a.span - c.elapsed())
	}
}
