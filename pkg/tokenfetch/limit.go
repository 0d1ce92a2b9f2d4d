package tokenfetch

import (
	"context"
	"sync"
	"time"
)

// The default time limits.
const (
	defaultLimit  = 30 * time.Second // for everything except keychain calls
	keychainLimit = 3 * time.Second  // for each keychain call
)

// Limit is a time limit for one invocation. If --timeout or a profile sets it, it is
// a single deadline for everything. By default, keychain calls have a separate
// limit. The time that a user takes to answer never counts. All limits of one
// invocation share a clock. A Limit is safe for concurrent use.
type Limit struct {
	clock *clock
	span  time.Duration
	given bool
}

// NewLimit returns a limit for an invocation that started at start. If given is 0,
// the limit is 30 s, plus up to 3 s for each keychain call.
func NewLimit(start time.Time, given time.Duration) *Limit {
	l := &Limit{clock: &clock{start: start, alarms: map[*alarm]bool{}}, span: defaultLimit}
	if given > 0 {
		return l.Of(given)
	}
	return l
}

// Of returns a different limit with the same clock. It counts as set by the user.
func (l *Limit) Of(span time.Duration) *Limit { return &Limit{l.clock, span, true} }

// Start returns when the invocation started.
func (l *Limit) Start() time.Time { return l.clock.start }

// Given reports whether the user set the limit.
func (l *Limit) Given() bool { return l.given }

// Span returns the total time.
func (l *Limit) Span() time.Duration { return l.span }

// Left returns the remaining time.
func (l *Limit) Left() time.Duration {
	l.clock.mu.Lock()
	defer l.clock.mu.Unlock()
	return l.span - l.clock.elapsed()
}

// Context returns a context that ends at the current deadline.
func (l *Limit) Context(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, l.Left())
}

// Keychain returns a context for one keychain call. The caller must call done when
// the call has returned.
func (l *Limit) Keychain(ctx context.Context) (_ context.Context, done func()) {
	if l.given {
		return l.Context(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, keychainLimit)
	resume := l.Pause()
	return ctx, func() { cancel(); resume() }
}

// Pause stops the clock until resume is called. Pauses may overlap.
func (l *Limit) Pause() (resume func()) {
	l.clock.pause()
	return sync.OnceFunc(l.clock.resume)
}

// WhenOver calls over in its own goroutine when the time is over. Later pauses
// postpone the call. stop prevents it.
func (l *Limit) WhenOver(over func()) (stop func()) {
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

// clock measures the time since start, without pauses.
type clock struct {
	start time.Time

	mu     sync.Mutex
	paused time.Duration // total time of the finished pauses
	pauses int           // number of active pauses
	since  time.Time     // when the first of the active pauses began
	alarms map[*alarm]bool
}

// alarm is a timer that stops during a pause.
type alarm struct {
	span  time.Duration
	timer *time.Timer
}

// elapsed returns the measured time. The caller must hold mu.
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
