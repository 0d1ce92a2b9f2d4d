package await_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/await"
)

var errCall, errCause = errors.New("of the call"), errors.New("of the context")

func TestDo(t *testing.T) {
	for name, test := range map[string]struct {
		takes time.Duration
		value int
		err   error
		want  int
		fails error
		took  time.Duration
	}{
		"it returns":    {takes: time.Second, value: 7, want: 7, took: time.Second},
		"it fails":      {value: 7, err: errCall, want: 7, fails: errCall},
		"it takes long": {takes: time.Hour, value: 7, fails: context.DeadlineExceeded, took: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				start := time.Now()
				got, err := await.Do(ctx, func() (int, error) { time.Sleep(test.takes); return test.value, test.err })
				if took := time.Since(start); got != test.want || !errors.Is(err, test.fails) || took != test.took {
					t.Errorf("%d, %v after %v; want %d, %v after %v", got, err, took, test.want, test.fails, test.took)
				}
				time.Sleep(2 * time.Hour) // what was left behind ends
			})
		})
	}
}

func TestDoCancelled(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errCause)
	forever := make(chan int)
	defer close(forever)
	if _, err := await.Do(ctx, func() (int, error) { return <-forever, nil }); !errors.Is(err, errCause) {
		t.Errorf("%v, want the cause", err)
	}
}

func TestUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, asked := time.Now(), 0
		err := await.Until(t.Context(), func() (bool, error) { asked++; return asked == 4, nil })
		if took := time.Since(start); err != nil || asked != 4 || took != 60*time.Millisecond {
			t.Errorf("%v, asked %d times in %v", err, asked, took)
		}
		err = await.Until(t.Context(), func() (bool, error) { return false, errCall })
		if !errors.Is(err, errCall) {
			t.Errorf("%v, want the error of the call", err)
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errCause)
		defer cancel()
		start = time.Now()
		err = await.Until(ctx, func() (bool, error) { return false, nil })
		if took := time.Since(start); !errors.Is(err, errCause) || took != time.Second {
			t.Errorf("%v after %v", err, took)
		}
	})
}
