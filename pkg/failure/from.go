package failure

import (
	"context"
	"errors"
)

// From returns err as an [*Error]. If err is or wraps one, it returns that. If a
// context reached its deadline, it returns a [Timeout]. Otherwise it returns an
// [Internal] error with only the type of err, because the text may contain anything.
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
