package failure

import (
	"fmt"
	"strings"
	"time"
)

// Span formats a duration of zero or more for people: "30 seconds", "10 minutes", "1
// hour 5 minutes". From two minutes on, it is rounded to minutes.
func Span(d time.Duration) string {
	if d < 2*time.Minute {
		return Amount(int(d.Round(time.Second)/time.Second), "second")
	}
	minutes := int(d.Round(time.Minute) / time.Minute)
	var parts []string
	if minutes >= 60 {
		parts = append(parts, Amount(minutes/60, "hour"))
	}
	if minutes%60 != 0 {
		parts = append(parts, Amount(minutes%60, "minute"))
	}
	return strings.Join(parts, " ")
}

// Amount formats n with a unit, which is in the plural unless n is 1: "1 warning".
func Amount(n int, unit string) string {
	if n != 1 {
		unit += "s"
	}
	return fmt.Sprintf("%d %s", n, unit)
}
