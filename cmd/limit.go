package cmd

import (
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

// useTimeout makes --timeout, once it is parsed, the limit of the run.
func (r *run) useTimeout() {
	if r.timeout > 0 && !r.limit.Given() {
		r.limit = r.limit.Of(r.timeout)
		r.watch(r.limit)
	}
}

// watch makes l the limit of the whole run, unless a longer one was set before.
func (r *run) watch(l *tokenfetch.Limit) {
	if r.longest != nil && r.longest.Span() >= l.Span() {
		return
	}
	r.longest = l
	r.unwatch()
	r.unwatch = l.WhenOver(r.expire)
}

// overtime is how long a run has to end by itself after its limit.
const overtime = 500 * time.Millisecond

// expire ends a run that is still there after the overtime: a system call that
// nothing can break off does not return.
func (r *run) expire() {
	time.Sleep(overtime)
	r.overdue <- struct{}{}
}

// knowingLittle is a run of the same command line that knows nothing of what r, which
// is stuck and may yet go on, has done: r must not be read while it changes.
func (r *run) knowingLittle() *run {
	little := &run{env: r.env, console: r.console, asked: r.asked, wraps: r.wraps}
	little.outputBegun.Store(r.outputBegun.Load())
	return little
}

// stuck is how a run ends that does not end by itself. What has no deadline of
// its own are the files and directories that it uses.
func (r *run) stuck() error {
	e := failure.New(failure.InputTimeout, "a file or directory did not answer within the time limit").
		WithHint("check the file systems of the profiles file, the cache and the state directory (tokenfetch doctor), or allow more time with --timeout 60s")
	if r.sending.Load() {
		return e.WithSent(failure.SentUnknown, 1)
	}
	return e
}
