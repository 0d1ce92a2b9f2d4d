package cmd

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"slices"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

// interrupt is the cause of a context that a signal ended.
type interrupt struct{ signal os.Signal }

// Error returns a constant: exit says what happened.
func (interrupt) Error() string { return "interrupted" }

// endedBy is how a run ends that a signal broke off with err, which knows how much was
// sent.
func (r *run) endedBy(i interrupt, err error) error {
	e := failure.New(failure.Interrupted, "ended by a signal: %v", i.signal)
	if cause, ok := errors.AsType[*failure.Error](err); ok {
		e = e.WithSent(cause.Sent, cause.Attempts)
	}
	switch {
	case e.Sent != failure.SentNo:
		e = e.Append("; the request may have been processed")
	case len(r.refs) > 0:
		e = e.Append("; nothing was sent")
	}
	return exitError{e, 128 + i.number()}
}

// signals watches for the signals that end a program.
type signals struct {
	received chan os.Signal
	idle     chan struct{} // closed once nothing is watched any more
	ending   []os.Signal   // those that whoever started the program does not have ignored
	begin    func()        // see watch
}

// newSignals returns a context that ends on one of these signals, once they are
// watched. cleanUp runs when it does; a program that is still there shortly after,
// or gets a second signal, is ended at once.
func newSignals(cleanUp func()) (context.Context, *signals) {
	ctx, cancel := context.WithCancelCause(context.Background())
	s := &signals{received: make(chan os.Signal, 2), idle: make(chan struct{})}
	s.begin = sync.OnceFunc(func() {
		catchBrokenPipe()
		s.ending = slices.DeleteFunc(endingSignals(), signal.Ignored)
		notify(s.received, s.ending)
		go s.end(cleanUp, cancel)
	})
	return ctx, s
}

// end waits for a signal.
func (s *signals) end(cleanUp func(), cancel context.CancelCauseFunc) {
	sig, watched := <-s.received
	if !watched {
		close(s.idle)
		return
	}
	stop := interrupt{sig}
	cleanUp()
	cancel(stop)
	select {
	case <-s.received:
	case <-time.After(800 * time.Millisecond):
	}
	cleanUp()
	dieOf(stop)
}

// watch begins to watch. Before, a signal ends the program as it ends any other: a
// run that waits for nothing has no use for more.
func (s *signals) watch() {
	if s != nil {
		s.begin()
	}
}

// notify is signal.Notify, which takes no signal for all of them.
func notify(received chan os.Signal, signals []os.Signal) {
	if len(signals) > 0 {
		signal.Notify(received, signals...)
	}
}

// passOn sends the signals to a child instead, until stop is called: the child
// decides when the run ends.
func (s *signals) passOn(child *os.Process) (stop func()) {
	signal.Stop(s.received)
	received := make(chan os.Signal, 8)
	notify(received, s.ending)
	go func() {
		for sig := range received {
			// A terminal has sent its signals to the child already.
			if !fromTerminal(sig) {
				_ = child.Signal(sig)
			}
		}
	}()
	return func() { signal.Stop(received); close(received) }
}

// lendTerminal lends standard input to a helper, until end is called.
func (r *run) lendTerminal() (lent *tokenfetch.Terminal, end func()) {
	r.signals.watch()
	fd := int(r.env.Stdin.Fd())
	if foreground(fd) {
		_ = r.terminal.keep(fd) // without its settings there is nothing to undo
	}
	return &tokenfetch.Terminal{
		File:      r.env.Stdin,
		Interrupt: func(sig os.Signal) { r.signals.received <- sig },
		Stop: func() {
			defer r.limit.Pause()()
			again := r.terminal.pause()
			stopUntilForeground(r.context(), fd)
			again()
		},
	}, r.terminal.release
}

// terminalState undoes what was changed about a terminal, from wherever the
// program ends, and for as long as it is stopped.
type terminalState struct {
	mu      sync.Mutex
	fd      int
	before  *term.State // nil while nothing is changed
	paused  bool        // the changes are undone until the program goes on
	undoing bool        // for good: the program ends
}

// keep remembers how the terminal is before it is changed.
func (t *terminalState) keep(fd int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	before, err := term.GetState(fd)
	if err == nil {
		t.fd, t.before = fd, before
	}
	return err
}

// errEnding says that a signal has begun to end the program.
var errEnding = errors.New("the program ends")

// hide is keep for a terminal that shall not show what is typed. It fails with
// errEnding once the changes are undone for good: nothing would undo this one.
func (t *terminalState) hide(fd int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.undoing {
		return errEnding
	}
	before, err := term.GetState(fd)
	if err == nil {
		t.fd, t.before = fd, before
		err = hideEcho(fd)
	}
	return err
}

// restore undoes the changes where the program ends, however often.
func (t *terminalState) restore() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.undoing = true
	if t.before != nil && !t.paused {
		_ = term.Restore(t.fd, t.before)
	}
}

// release undoes the changes where whatever made them has ended.
func (t *terminalState) release() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.before != nil && !t.paused {
		_ = term.Restore(t.fd, t.before)
	}
	t.before = nil
}

// pause undoes the changes until again is called, which does nothing if they
// have been undone for good by then.
func (t *terminalState) pause() (again func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.before == nil {
		return func() {}
	}
	changed, err := term.GetState(t.fd)
	_ = term.Restore(t.fd, t.before)
	t.paused = true
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.undoing {
			return
		}
		t.paused = false
		if t.before != nil && err == nil {
			_ = term.Restore(t.fd, changed)
		}
	}
}
