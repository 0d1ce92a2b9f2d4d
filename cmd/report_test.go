package cmd

import (
	"testing"
	"time"
)

func TestBrief(t *testing.T) {
	for d, want := range map[time.Duration][2]string{
		0:                              {"0 s", "0 s"},
		119*time.Second + 999:          {"119 s", "119 s"},
		2 * time.Minute:                {"2 min", "2 min"},
		time.Hour - 1:                  {"59 min", "59 min"},
		time.Hour:                      {"1 h", "60 min"},
		2*time.Hour - 1:                {"1 h 59 min", "119 min"},
		11*time.Hour + 58*time.Minute:  {"11 h 58 min", "11 h"},
		12 * time.Hour:                 {"12 h", "12 h"},
		48*time.Hour - 1:               {"47 h 59 min", "47 h"},
		48 * time.Hour:                 {"2 days", "2 days"},
		30*24*time.Hour + 23*time.Hour: {"30 days", "30 days"},
	} {
		if got := [2]string{brief(d), rough(d)}; got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
