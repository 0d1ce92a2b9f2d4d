package cmd

import (
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

// useTimeout makes --timeout the limit of the run once it is parsed.
func (r *run) useTimeout() {
	if r.timeout > 0 && !r.limit.Given() {
		r.limit = r.limit.Of(r.timeout)
		r.watch(r.limit)
	}
}

// watch makes l the limit of the whole run, unless a longer one is set already.
func (r *run) watch(l *tokenfetch.Limit) {
	if r.longest != nil && r.longest.Span() >= l.Span() {
		return
	}
	r.longest = l
	r.unwatch()
	r.unwatch = l.WhenOver(r.expire)
}

// overtime is the time that a run has to end by itself after its limit.
const overtime = 500 * time.Millisecond

// expire ends a run that has not ended within the overtime, because a system call that
// cannot be cancelled does not return.
func (r *run) expire() {
	time.Sleep(overtime)
	r.overdue <- struct{}{}
}

// knowingLittle returns a copy of r with only what does not change, to report that r is
// stuck: r may still be running, so the rest of it must not be read.
func (r *run) knowingLittle() *run {
	little := &run{env: r.env, console: r.console, asked: r.asked, wraps: r.wraps}
	little.outputBegun.Store(r.outputBegun.Load())
	return little
}

// stuck returns the error for a run that does not end by itself. Only files and
// directories have no deadline of their own.
func (r *run) stuck() error {
	e := failure.New(failure.InputTimeout, "a file or directory did not answer within the time limit").
		WithHint("check the file systems of the profiles file, the cache and the state directory (tokenfetch doctor), or allow more time with --timeout 60s")
	if r.sending.Load() {
		return e.WithSent(failure.SentUnknown, 1)
	}
	return e
}
