package inspect

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/keychain"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

// TestCheckInTime: whatever a check does, there is a finding, and in time.
func TestCheckInTime(t *testing.T) {
	found := []Finding{ok("a", "fine")}
	for name, test := range map[string]struct {
		run   func(context.Context) ([]Finding, int)
		want  []Finding
		known bool
		took  time.Duration
	}{
		"it ends": {
			func(context.Context) ([]Finding, int) { return found, 7 },
			found, true, 0,
		},
		"it notices the end": {
			func(ctx context.Context) ([]Finding, int) { <-ctx.Done(); return found, 7 },
			found, true, time.Second,
		},
		"it does not": {
			func(context.Context) ([]Finding, int) { time.Sleep(time.Minute); return found, 7 },
			[]Finding{{Check: "a", Level: LevelWarning, Message: "this check did not end in time", Hint: "see what this computer waits for, or allow more time with --timeout 60s"}},
			false, time.Second + grace,
		},
		"it panics": {
			func(context.Context) ([]Finding, int) { panic("hunter2") },
			[]Finding{{Check: "a", Level: LevelWarning, Message: "internal error in this check", Hint: "please report this, with the output of tokenfetch version"}},
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
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				time.Sleep(time.Minute) // what was left behind goes nowhere
			})
		})
	}
}

func TestCheckClock(t *testing.T) {
	for now, want := range map[time.Time]Finding{
		time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC): ok("clock", "2026-11-21T08:00:00Z"),
		time.Unix(0, 0): warning("clock", "set this computer's clock", "this computer's clock is in the year 1970"),
		time.Date(2025, 1, 1, 0, 30, 0, 0, time.FixedZone("", 3600)): warning("clock", "set this computer's clock", "this computer's clock is in the year 2024"),
	} {
		if diff := cmp.Diff([]Finding{want}, checkClock(now)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", now, diff)
		}
	}
}

// TestFailFast: a keychain that cannot answer is not asked again, one that has no
// such item is.
func TestFailFast(t *testing.T) {
	for err, want := range map[error]int{secret.ErrNotFound: 2, secret.ErrLocked: 1, secret.ErrTimeout: 1, keychain.ErrNoBus: 1} {
		asked := 0
		s := &failFast{store: storeFunc(func() error { asked++; return err })}
		for range 2 {
			if _, got := s.Get(t.Context(), "mpay/default/password@host"); !errors.Is(got, err) {
				t.Errorf("%v: got %v", err, got)
			}
		}
		if asked != want {
			t.Errorf("%v: asked %d times, want %d", err, asked, want)
		}
	}
}

// TestFindingsOfNothing: where nothing is set up, not even an environment, each
// check still has its finding.
func TestFindingsOfNothing(t *testing.T) {
	var got []string
	for _, f := range New(tokenfetch.Options{Keychain: storeFunc(noKeychain)}).Findings(t.Context(), Process{}, true) {
		got = append(got, f.Check)
		if strings.Contains(f.Message, "fault") {
			t.Errorf("%+v", f)
		}
	}
	want := []string{
		"program", "clock", "ci", "profiles_file", "variables", "keychain", "state_directory", "cache_directory", "sealing_key",
		"proxy", "certificates", "network",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestFindingsOfNetwork: a host that two profiles share is called once.
func TestFindingsOfNetwork(t *testing.T) {
	closed := "http://127.0.0.1:1"
	environ := []string{"TOKENFETCH_MPAY_BASE_URL=" + closed, "TOKENFETCH_ZEEPAY_BASE_URL=" + closed}
	i := New(tokenfetch.Options{Environ: environ, Keychain: storeFunc(noKeychain)})
	profiles, err := i.Profiles(t.Context(), &profile.File{}, nil)
	if err != nil || len(profiles) != 2 {
		t.Fatalf("%d profiles: %v", len(profiles), err)
	}
	got := i.checkNetwork(t.Context(), profiles)
	if len(got) != 1 || got[0].Level != LevelError || got[0].Code != failure.ConnectFailed || !strings.HasPrefix(got[0].Message, closed+": ") {
		t.Errorf("%+v", got)
	}
}

// TestDistinctProblems: a locked keychain is told once, whatever it holds.
func TestDistinctProblems(t *testing.T) {
	locked, missing := failure.New(failure.KeychainLocked, "locked"), failure.New(failure.FieldMissing, "missing")
	p := &Profile{Problems: []*failure.Error{locked, missing, failure.New(failure.KeychainLocked, "locked too"), missing}}
	if diff := cmp.Diff([]*failure.Error{locked, missing, missing}, p.DistinctProblems()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestDistinctProblemsOfProfiles: what several profiles share is told once.
func TestDistinctProblemsOfProfiles(t *testing.T) {
	ref := func(name string) tokenfetch.Ref { return tokenfetch.Ref{Profile: name} }
	unset := failure.New(failure.FieldMissing, "not set").WithHint("set it")
	locked := failure.New(failure.KeychainLocked, "locked, and password is in it")
	got := DistinctProblems([]*Profile{
		{Ref: ref("a"), Problems: []*failure.Error{locked, unset}},
		{Ref: ref("b"), Problems: []*failure.Error{failure.New(failure.FieldMissing, "not set")}},
		{Ref: ref("c"), Problems: []*failure.Error{failure.New(failure.KeychainLocked, "locked too"), failure.New(failure.FieldMissing, "not set").WithHint("set it")}},
		{Ref: ref("d")},
	})
	both := failure.New(failure.KeychainLocked, "the keychain is locked").WithHint("unlock it in your desktop session; or %s", withoutKeychain)
	want := []Problem{
		{[]tokenfetch.Ref{ref("a"), ref("c")}, both},
		{[]tokenfetch.Ref{ref("a"), ref("c")}, unset},
		{[]tokenfetch.Ref{ref("b")}, failure.New(failure.FieldMissing, "not set")},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := DistinctProblems([]*Profile{{Ref: ref("a"), Problems: []*failure.Error{locked}}}); len(got) != 1 || got[0].Failure != locked {
		t.Errorf("of one profile: %+v", got)
	}
}

// storeFunc is a keychain without items.
type storeFunc func() error

func (f storeFunc) Get(context.Context, string) (secret.Value, error) { return secret.Value{}, f() }

func noKeychain() error { return secret.ErrUnavailable }
