// Package await limits calls that cannot be canceled to the lifetime of a context.
package await

import (
	"context"
	"time"
)

// Do returns what call returns, or the cause of ctx if ctx ends first. A call that
// never returns, such as opening a FIFO, keeps its goroutine until the process ends.
func Do[T any](ctx context.Context, call func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := call()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

// Now returns what call returns. If ctx has already ended, it returns the cause
// instead. Use it for a call that blocks only if the file system hangs. A caller
// that must end even then needs its own timer.
func Now[T any](ctx context.Context, call func() (T, error)) (T, error) {
	if ctx.Err() != nil {
		var none T
		return none, context.Cause(ctx)
	}
	return call()
}

// poll is the interval between two calls in [Until].
const poll = 20 * time.Millisecond

// Until calls try immediately and then every 20 ms, until it is done or fails. It
// returns the error of try, or the cause of ctx if ctx ends first.
func Until(ctx context.Context, try func() (done bool, err error)) error {
	for {
		if done, err := try(); done || err != nil {
			return err
		}
		select {
		case <-time.After(poll):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
