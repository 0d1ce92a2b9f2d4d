package tokenfetch

import (
	"context"
	"sync"
	"time"
)

// The time limits of a run that sets none.
const (
	defaultLimit  = 30 * time.Second // for everything but the keychain
	keychainLimit = 3 * time.Second  // for each call of the keychain
)

// Limit is the time a run may take. Given by --timeout or a profile it is one
// deadline for everything; by default the keychain has its own limit beside it.
// The time a person takes to answer never counts. All limits of a run share its
// clock. Methods may be called from several goroutines.
type Limit struct {
	clock *clock
	span  time.Duration
	given bool
}

// NewLimit returns the limit of a run that began at start: of given, or without
// one of 30 s, with 3 s for each call of the keychain beside them.
func NewLimit(start time.Time, given time.Duration) *Limit {
	l := &Limit{clock: &clock{start: start, alarms: map[*alarm]bool{}}, span: defaultLimit}
	if given > 0 {
		return l.Of(given)
	}
	return l
}

// Of returns another limit of the same run.
func (l *Limit) Of(span time.Duration) *Limit { return &Limit{l.clock, span, true} }

// Start returns when the run began.
func (l *Limit) Start() time.Time { return l.clock.start }

// Given reports whether the limit is one that somebody has set.
func (l *Limit) Given() bool { return l.given }

// Span returns how long the run may take in all.
func (l *Limit) Span() time.Duration { return l.span }

// Left returns how much time is left.
func (l *Limit) Left() time.Duration {
	l.clock.mu.Lock()
	defer l.clock.mu.Unlock()
	return l.span - l.clock.elapsed()
}

// Context returns a context that ends at the deadline as it is now.
func (l *Limit) Context(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, l.Left())
}

// Keychain returns the context of one call of the keychain; done ends it.
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

// WhenOver calls over in a goroutine of its own when the time is over, pauses
// that are yet to come included, unless stop is called before.
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
