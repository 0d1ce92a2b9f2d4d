package failure

import (
	"testing"
	"time"
)

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                                   "0 seconds",
		time.Second:                         "1 second",
		119 * time.Second:                   "119 seconds",
		2 * time.Minute:                     "2 minutes",
		10*time.Minute - time.Second:        "10 minutes",
		time.Hour - 20*time.Second:          "1 hour",
		time.Hour + time.Minute:             "1 hour 1 minute",
		24*time.Hour - 100*time.Millisecond: "24 hours",
		23*time.Hour + 59*time.Minute:       "23 hours 59 minutes",
	} {
		if got := Span(d); got != want {
			t.Errorf("Span(%v) = %q, want %q", d, got, want)
		}
	}
}
