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

// Error returns a constant; exit prints the details.
func (interrupt) Error() string { return "interrupted" }

// endedBy returns the error of a run that a signal interrupted. err tells how much was
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

// signals watches for the signals that end the program.
type signals struct {
	received chan os.Signal
	idle     chan struct{} // closed once nothing is watched any more
	ending   []os.Signal   // those that whoever started the program does not have ignored
	begin    func()        // see watch
}

// newSignals returns a context that ends when one of these signals arrives, once they
// are watched. cleanUp runs then. If the program is still running shortly after, or
// receives a second signal, it is terminated.
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

// watch begins to watch for signals. Until then a signal terminates the program
// immediately, which is right for a run that waits for nothing.
func (s *signals) watch() {
	if s != nil {
		s.begin()
	}
}

// notify is [signal.Notify], but watches nothing if it is called without signals.
func notify(received chan os.Signal, signals []os.Signal) {
	if len(signals) > 0 {
		signal.Notify(received, signals...)
	}
}

// passOn keeps the signals for a child until stop is called, and forwards them from when
// to is called with it. Called before the child starts, it leaves no moment in which a
// signal would end this process alone. The child decides when the run ends.
func (s *signals) passOn() (to func(child *os.Process), stop func()) {
	received := make(chan os.Signal, 8)
	notify(received, s.ending)
	signal.Stop(s.received)
	to = func(child *os.Process) {
		go func() {
			for sig := range received {
				// The terminal has already sent its signals to the child.
				if !fromTerminal(sig) {
					_ = child.Signal(sig)
				}
			}
		}()
	}
	return to, func() { signal.Stop(received); close(received) }
}

// lendTerminal gives standard input to a helper until end is called.
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

// terminalState restores the settings of a terminal, wherever the program ends and
// while it is stopped.
type terminalState struct {
	mu      sync.Mutex
	fd      int
	before  *term.State // nil while nothing is changed
	paused  bool        // the changes are undone until the program goes on
	undoing bool        // for good: the program ends
}

// keep saves the settings of the terminal before they are changed.
func (t *terminalState) keep(fd int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	before, err := term.GetState(fd)
	if err == nil {
		t.fd, t.before = fd, before
	}
	return err
}

// errEnding means that a signal is ending the program.
var errEnding = errors.New("the program ends")

// hide saves the settings and turns off echo. It fails with errEnding after the final
// restore, because nothing would restore the settings again.
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

// restore restores the settings when the program ends. It may be called more than once.
func (t *terminalState) restore() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.undoing = true
	if t.before != nil && !t.paused {
		_ = term.Restore(t.fd, t.before)
	}
}

// release restores the settings when whatever changed them has ended.
func (t *terminalState) release() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.before != nil && !t.paused {
		_ = term.Restore(t.fd, t.before)
	}
	t.before = nil
}

// pause restores the settings until again is called. After the final restore again does
// nothing.
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
