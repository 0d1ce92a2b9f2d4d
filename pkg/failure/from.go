package failure

import (
	"context"
	"errors"
)

// From returns err as an *Error: itself if it is or wraps one, Timeout for a
// context that reached its deadline, else Internal. The text of any other error
// may hold anything, so only its type is told.
func From(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return New(Timeout, "the time limit is over").WithHint("allow more time with --timeout 60s")
	}
	return New(Internal, "tokenfetch met an unexpected error of type %T", err).
		WithHint("please report this, with the command (without secrets) and tokenfetch version")
}
