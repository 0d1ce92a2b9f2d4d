// Package await waits, for as long as a context lasts, for what cannot be broken
// off.
package await

import (
	"context"
	"time"
)

// Do returns what call returns, or the cause of ctx's end if that comes first. A
// call that never returns, such as the open of a FIFO, is left behind for the end of
// the process.
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

// Now returns what call returns, or the cause of ctx's end if that has come already.
// It is for a call that nothing but a stalled file system can hold up: whoever must
// end then all the same, as a program must, has its own watch on the time.
func Now[T any](ctx context.Context, call func() (T, error)) (T, error) {
	if ctx.Err() != nil {
		var none T
		return none, context.Cause(ctx)
	}
	return call()
}

// poll is how often Until calls.
const poll = 20 * time.Millisecond

// Until calls try, at once and then every 20 ms, until it is done or fails. It
// returns the error of try, or the cause of ctx's end if that comes first.
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
