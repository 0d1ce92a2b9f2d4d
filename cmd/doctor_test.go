package cmd

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
)

var allowFinding = cmp.AllowUnexported(finding{})

// TestCheckInTime: whatever a check does, there is a finding, and in time.
func TestCheckInTime(t *testing.T) {
	found := []finding{ok("a", "fine")}
	for name, test := range map[string]struct {
		run   func(context.Context) ([]finding, int)
		want  []finding
		known bool
		took  time.Duration
	}{
		"it ends": {
			func(context.Context) ([]finding, int) { return found, 7 },
			found, true, 0,
		},
		"it notices the end": {
			func(ctx context.Context) ([]finding, int) { <-ctx.Done(); return found, 7 },
			found, true, time.Second,
		},
		"it does not": {
			func(context.Context) ([]finding, int) { time.Sleep(time.Minute); return found, 7 },
			[]finding{{check: "a", level: levelWarning, message: "this check did not end in time", hint: "see what this computer waits for, or allow more time with --timeout 60s"}},
			false, time.Second + grace,
		},
		"it panics": {
			func(context.Context) ([]finding, int) { panic(canaries["PASSWORD"]) },
			[]finding{{check: "a", level: levelWarning, message: "this check met a fault of its own", hint: "please report this, with the output of tokenfetch version"}},
			false, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				got, value, known := inTime(t.Context(), "a", time.Second, test.run)
				if took := time.Since(start); took != test.took {
					t.Errorf("took %v, want %v", took, test.took)
				}
				if known != test.known || known != (value == 7) {
					t.Errorf("known %v, value %d", known, value)
				}
				if diff := cmp.Diff(test.want, got, allowFinding); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				time.Sleep(time.Minute) // what was left behind goes nowhere
			})
		})
	}
}

func TestCheckClock(t *testing.T) {
	for now, want := range map[time.Time]finding{
		time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC): ok("clock", "2026-11-21T08:00:00Z"),
		time.Unix(0, 0): warning("clock", "set this computer's clock", "this computer's clock is in the year 1970"),
		time.Date(2025, 1, 1, 0, 30, 0, 0, time.FixedZone("", 3600)): warning("clock", "set this computer's clock", "this computer's clock is in the year 2024"),
	} {
		if diff := cmp.Diff([]finding{want}, checkClock(now), allowFinding); diff != "" {
			t.Errorf("%v (-want +got):\n%s", now, diff)
		}
	}
}

// TestVerdict: the set-up comes before the network, and a warning is no failure.
func TestVerdict(t *testing.T) {
	fine, doubt := ok("a", "fine"), warning("a", "hint", "doubt")
	setup := finding{check: "a", level: levelError, message: "set-up", code: failure.ProfileInvalid}
	network := finding{check: "a", level: levelError, message: "network", hint: "look", code: failure.DNSNotFound}
	for _, test := range []struct {
		findings            []finding
		exit                int
		message, hint, code string
	}{
		{findings: nil},
		{findings: []finding{fine, doubt}},
		{[]finding{doubt, network, fine}, 6, "network", "look", "dns_not_found"},
		{[]finding{network, setup, network}, 3, "set-up (and 2 more)", "mend that, then run tokenfetch doctor again", "profile_invalid"},
	} {
		err := verdict(test.findings)
		e, failed := errors.AsType[*failure.Error](err)
		if failed != (test.exit > 0) {
			t.Errorf("%v: %v", test.findings, err)
			continue
		}
		if failed && (int(e.Class()) != test.exit || e.Message != test.message || e.Hint != test.hint || string(e.Code) != test.code) {
			t.Errorf("%v: class %v, %+v", test.findings, e.Class(), e)
		}
	}
}
