package cmd

import (
	"context"
	"time"
)

// The time limits of a run without --timeout.
const (
	defaultLimit  = 30 * time.Second // for everything but the keychain
	keychainLimit = 3 * time.Second  // for each call of the keychain
)

// limit is the time a run may take. Given by --timeout or a profile it is one
// deadline for everything; by default the keychain has its own limit beside it.
// The time a person takes to answer never counts.
type limit struct {
	end   time.Time
	given bool
}

func newLimit(start time.Time, given time.Duration) *limit {
	if given > 0 {
		return &limit{start.Add(given), true}
	}
	return &limit{start.Add(defaultLimit), false}
}

// context returns a context that ends at the deadline.
func (l *limit) context(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithDeadline(ctx, l.end)
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

// pause stops the clock until resume is called.
func (l *limit) pause() (resume func()) {
	start := time.Now()
	return func() { l.end = l.end.Add(time.Since(start)) }
}
