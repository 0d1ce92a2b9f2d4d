package failure_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
)

// TestFrom: the text of an error that is not ours is not repeated.
func TestFrom(t *testing.T) {
	ours := failure.New(failure.HostMissing, "no host")
	if got := failure.From(fmt.Errorf("more: %w", ours)); got != ours {
		t.Errorf("got %v, want the error itself", got)
	}
	for message, err := range map[string]error{
		"the time limit is over": fmt.Errorf("hunter2: %w", context.DeadlineExceeded),
		"tokenfetch met an unexpected error of type *errors.errorString": errors.New("hunter2"),
	} {
		if got := failure.From(err); got.Message != message || got.Hint == "" {
			t.Errorf("got %+v, want %q", got, message)
		}
	}
}
