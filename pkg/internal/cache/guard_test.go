package cache

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

func guardIn(t *testing.T, dir, password string, lockoutAfter int) *Guard {
	t.Helper()
	g := OpenGuard(t.Context(), dir, Credential{
		Values:       []string{"enkash", "ops@example.com", password},
		Account:      []string{"enkash", "ops@example.com"},
		LockoutAfter: lockoutAfter,
	})
	check.OK(t, g.Err())
	return g
}

// refuse, work and hang are runs with a password that end so at now.
func refuse(t *testing.T, dir, password string, lockoutAfter int, now time.Time) {
	t.Helper()
	g := guardIn(t, dir, password, lockoutAfter)
	g.Begin(t.Context(), now)
	g.Record(t.Context(), Refused, failure.ProviderRefused, now)
	check.OK(t, g.Err())
}

func work(t *testing.T, dir, password string, lockoutAfter int, now time.Time) {
	t.Helper()
	g := guardIn(t, dir, password, lockoutAfter)
	g.Begin(t.Context(), now)
	g.Record(t.Context(), Worked, "", now)
	check.OK(t, g.Err())
}

func hang(t *testing.T, dir, password string, lockoutAfter int, now time.Time) {
	t.Helper()
	g := guardIn(t, dir, password, lockoutAfter)
	g.Begin(t.Context(), now)
	check.OK(t, g.Err())
}

func state(t *testing.T, dir, password string, lockoutAfter int, now time.Time) State {
	t.Helper()
	return guardIn(t, dir, password, lockoutAfter).State(t.Context(), now, time.Time{})
}

// wantHold checks why and for how long credentials are held back; an empty code
// is the account's own hold, no time no hold at all.
func wantHold(t *testing.T, s State, code failure.Code, left time.Duration) {
	t.Helper()
	switch {
	case left == 0 && s.Hold == nil:
	case s.Hold == nil || s.Hold.Code != code || s.Hold.Left != left || (s.Hold.LockoutAfter > 0) != (code == ""):
		t.Errorf("hold %+v, want %q for %v", s.Hold, code, left)
	}
}

func TestHoldsGrow(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	now := start
	wantHold(t, state(t, dir, "wrong", 0, now), "", 0)
	for _, d := range []time.Duration{10 * time.Minute, time.Hour, 24 * time.Hour, 24 * time.Hour} {
		refuse(t, dir, "wrong", 0, now)
		if guardIn(t, dir, "wrong", 0).Proven(t.Context(), now) {
			t.Error("proven after a refusal")
		}
		wantHold(t, state(t, dir, "wrong", 0, now.Add(d-time.Second)), failure.ProviderRefused, time.Second)
		wantHold(t, state(t, dir, "wrong", 0, now.Add(d)), "", 0)
		wantHold(t, state(t, dir, "other", 0, now), "", 0)
		now = now.Add(d)
	}
	work(t, dir, "wrong", 0, now)
	s := state(t, dir, "wrong", 0, now)
	wantHold(t, s, "", 0)
	if !guardIn(t, dir, "wrong", 0).Proven(t.Context(), now) {
		t.Error("not proven after a success")
	}
}

// A record of a clock that was ahead counts from when it is first seen.
func TestClockWasAhead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	year := start.Add(365 * 24 * time.Hour)
	refuse(t, dir, "a", 3, year)
	refuse(t, dir, "b", 3, year)
	looker := ReadGuard(t.Context(), dir, Credential{Values: []string{"enkash", "ops@example.com", "c"}, Account: []string{"enkash", "ops@example.com"}, LockoutAfter: 3})
	wantHold(t, looker.State(t.Context(), start, time.Time{}), "", 24*time.Hour)
	wantHold(t, looker.State(t.Context(), start, start), "", 0) // --try-anyway lifts it
	wantHold(t, state(t, dir, "a", 3, start), "", 24*time.Hour)
	wantHold(t, state(t, dir, "a", 3, start.Add(5*time.Minute)), "", 24*time.Hour-5*time.Minute)
	wantHold(t, state(t, dir, "b", 3, start.Add(24*time.Hour)), failure.ProviderRefused, 10*time.Minute) // only now seen
	wantHold(t, state(t, dir, "c", 3, start.Add(24*time.Hour)), "", 0)
	wantHold(t, state(t, dir, "b", 3, start.Add(24*time.Hour+10*time.Minute)), "", 0)

	work(t, dir, "d", 3, year)
	if guardIn(t, dir, "d", 3).Proven(t.Context(), start) {
		t.Error("proven in the future")
	}
}

// --try-anyway lifts only refusals from before its own process.
func TestIgnoreBefore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	refuse(t, dir, "wrong", 3, start)
	refuse(t, dir, "wrong", 3, start)
	g := guardIn(t, dir, "wrong", 3)
	wantHold(t, g.State(t.Context(), start.Add(time.Minute), start.Add(time.Second)), "", 0)
	wantHold(t, g.State(t.Context(), start.Add(time.Minute), start), "", 24*time.Hour-time.Minute)
	hang(t, dir, "other", 3, start)
	wantHold(t, state(t, dir, "other", 3, start.Add(25*time.Hour)), "", 0)
}

// lockout_after counts the account's refusals, whatever the password.
func TestStopsShortOfLockout(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	for i, password := range []string{"a", "b"} {
		wantHold(t, state(t, dir, password, 3, start), "", 0)
		refuse(t, dir, password, 3, start)
		if left := state(t, dir, password, 3, start).Left; left == nil || *left != 2-i {
			t.Errorf("left %v, want %d", left, 2-i)
		}
	}
	wantHold(t, state(t, dir, "c", 3, start.Add(23*time.Hour)), "", time.Hour)
	wantHold(t, state(t, dir, "c", 3, start.Add(24*time.Hour)), "", 0)
	work(t, dir, "c", 3, start)
	wantHold(t, state(t, dir, "d", 3, start), "", 0)
}

// A login that is never answered counts, for an hour, unless the credentials
// are proven: then it ends that.
func TestNoAnswer(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	hang(t, dir, "a", 3, start)
	s := state(t, dir, "a", 3, start.Add(time.Minute))
	wantHold(t, s, failure.OutcomeUnknown, 9*time.Minute)
	if *s.Left != 2 {
		t.Errorf("left %d, want 2", *s.Left)
	}
	if e := s.Hold.Failure(); e.Class() != failure.Later || e.RetryAfter == nil || *e.RetryAfter != 9*time.Minute || !e.Retryable() {
		t.Errorf("%+v", e)
	}
	wantHold(t, state(t, dir, "b", 3, start), "", 0)
	hang(t, dir, "b", 3, start)
	wantHold(t, state(t, dir, "c", 3, start), "", time.Hour)
	wantHold(t, state(t, dir, "c", 3, start.Add(time.Hour)), "", 0)

	// One of each kind: the hour ends first.
	dir = filepath.Join(t.TempDir(), "s")
	refuse(t, dir, "a", 3, start)
	hang(t, dir, "b", 3, start)
	wantHold(t, state(t, dir, "c", 3, start), "", time.Hour)
	wantHold(t, state(t, dir, "c", 3, start.Add(time.Hour)), "", 0)

	// The same values, sent again after their ten minutes.
	dir = filepath.Join(t.TempDir(), "s")
	hang(t, dir, "a", 3, start)
	wantHold(t, state(t, dir, "a", 3, start.Add(10*time.Minute)), "", 0)
	hang(t, dir, "a", 3, start.Add(10*time.Minute))
	wantHold(t, state(t, dir, "a", 3, start.Add(20*time.Minute)), "", 50*time.Minute)

	// Proven credentials.
	dir = filepath.Join(t.TempDir(), "s")
	work(t, dir, "a", 3, start)
	hang(t, dir, "a", 3, start)
	s = state(t, dir, "a", 3, start)
	wantHold(t, s, "", 0)
	if guardIn(t, dir, "a", 3).Proven(t.Context(), start) || *s.Left != 3 {
		t.Errorf("%+v, left %d", s, *s.Left)
	}
	hang(t, dir, "a", 3, start)
	wantHold(t, state(t, dir, "a", 3, start), failure.OutcomeUnknown, 10*time.Minute)
	work(t, dir, "a", 3, start)
	if s := state(t, dir, "a", 3, start); !guardIn(t, dir, "a", 3).Proven(t.Context(), start) || s.Hold != nil || *s.Left != 3 {
		t.Errorf("%+v", s)
	}

	// Where no account is locked nothing is recorded of it.
	dir = filepath.Join(t.TempDir(), "s")
	hang(t, dir, "a", 0, start)
	wantHold(t, state(t, dir, "a", 0, start), "", 0)
}

// An answer that says nothing of the credentials leaves what was known.
func TestAnswerWithoutJudgement(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	answer := func(password string) {
		g := guardIn(t, dir, password, 3)
		g.Begin(t.Context(), start)
		g.Begin(t.Context(), start) // a second attempt of the same run
		g.Record(t.Context(), Answered, "", start)
		check.OK(t, g.Err())
	}
	answer("a")
	if s := state(t, dir, "a", 3, start); s.Hold != nil || guardIn(t, dir, "a", 3).Proven(t.Context(), start) || *s.Left != 3 {
		t.Errorf("%+v", s)
	}
	work(t, dir, "a", 3, start)
	answer("a")
	if !guardIn(t, dir, "a", 3).Proven(t.Context(), start) {
		t.Error("no longer proven")
	}
	hang(t, dir, "b", 3, start)
	answer("b")
	wantHold(t, state(t, dir, "b", 3, start), failure.OutcomeUnknown, 10*time.Minute)
}

// Credentials are proven for 30 days after they last worked.
func TestProvenEnds(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	day := 24 * time.Hour
	work(t, dir, "a", 0, start)
	work(t, dir, "a", 0, start.Add(20*day))
	if !guardIn(t, dir, "a", 0).Proven(t.Context(), start.Add(49*day)) {
		t.Error("29 days after the last success: not proven")
	}
	if guardIn(t, dir, "a", 0).Proven(t.Context(), start.Add(50*day)) {
		t.Error("30 days after the last success: proven")
	}
}

// Holds can be cleared, the count of an account cannot.
func TestClearHolds(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	for _, password := range []string{"a", "b"} {
		refuse(t, dir, password, 3, start)
	}
	if n, err := guardIn(t, dir, "a", 0).Clear(t.Context(), false); n != 2 || err != nil {
		t.Errorf("cleared %d, %v; want 2", n, err)
	}
	wantHold(t, state(t, dir, "a", 0, start), "", 0)
	wantHold(t, state(t, dir, "a", 3, start), "", 24*time.Hour)
	if !AnyCount(t.Context(), dir, start) || AnyCount(t.Context(), dir, start.Add(24*time.Hour)) {
		t.Error("the count is gone, or never ends")
	}
}

// Damaged records say nothing and are healed.
func TestDamagedRecords(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	refuse(t, dir, "wrong", 3, start)
	g := guardIn(t, dir, "wrong", 3)
	for _, text := range []string{"", "{", `{"refusals":-1}`, `{"refusals":"x"}`, `{"unanswered":-1}`} {
		check.OK(t, os.WriteFile(filepath.Join(dir, g.values), []byte(text), 0o600))
		check.OK(t, os.WriteFile(filepath.Join(dir, g.count), []byte(text), 0o600))
		wantHold(t, state(t, dir, "wrong", 3, start), "", 0)
	}
	refuse(t, dir, "wrong", 3, start)
	wantHold(t, state(t, dir, "wrong", 3, start), failure.ProviderRefused, 10*time.Minute)
	check.OK(t, os.WriteFile(filepath.Join(dir, keyFile), []byte("short"), 0o600))
	refuse(t, dir, "wrong", 3, start)
}

// Looking makes nothing, in the working directory neither.
func TestReadGuardMakesNothing(t *testing.T) {
	t.Chdir(t.TempDir())
	dir := filepath.Join(t.TempDir(), "s")
	for _, path := range []string{dir, ""} {
		g := ReadGuard(t.Context(), path, Credential{Values: []string{"a"}, Account: []string{"b"}, LockoutAfter: 3})
		if s := g.State(t.Context(), start, time.Time{}); s.Hold != nil || (path != "") != (s.Left != nil) || (path != "") != (g.Err() == nil) {
			t.Errorf("%q: %+v, %v", path, s, g.Err())
		}
	}
	if _, err := os.Stat(dir); !Missing(err) {
		t.Errorf("made: %v", err)
	}
}

// Many processes that start with nothing agree on one key.
func TestKeyIsMadeOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	names := make([]string, 20)
	var all sync.WaitGroup
	for i := range names {
		all.Go(func() {
			g := OpenGuard(t.Context(), dir, Credential{Values: []string{"a"}, Account: []string{"b"}})
			if g.Err() != nil {
				t.Error(g.Err())
				return
			}
			names[i] = g.values
		})
	}
	all.Wait()
	for _, name := range names {
		if name != names[0] || name == "" {
			t.Fatalf("records %q and %q", name, names[0])
		}
	}
}

func TestLockIsExclusive(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	never := func() bool { return false }
	unlock, err := guardIn(t, dir, "a", 0).Acquire(t.Context(), never)
	check.OK(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := guardIn(t, dir, "a", 0).Acquire(ctx, never); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second holder: %v", err)
	}
	if _, err := guardIn(t, dir, "a", 0).Acquire(t.Context(), func() bool { return true }); err != nil {
		t.Errorf("enough: %v", err)
	}
	other, err := guardIn(t, dir, "b", 0).Acquire(t.Context(), never)
	check.OK(t, err)
	other()
	unlock()
	again, err := guardIn(t, dir, "a", 0).Acquire(t.Context(), never)
	check.OK(t, err)
	again()

	// Where a refusal locks the account, its passwords share one lock.
	unlock, err = guardIn(t, dir, "a", 3).Acquire(t.Context(), never)
	check.OK(t, err)
	defer unlock()
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := guardIn(t, dir, "b", 3).Acquire(ctx, never); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("another password of the account: %v", err)
	}
}

// A guard without a directory knows nothing, says so, and stops nobody.
func TestNoDirectory(t *testing.T) {
	for _, path := range []string{"", "/dev/null/tokenfetch"} {
		g := OpenGuard(t.Context(), path, Credential{Values: []string{"a"}, Account: []string{"b"}, LockoutAfter: 3})
		g.Begin(t.Context(), start)
		g.Record(t.Context(), Refused, "x", start)
		g.Record(t.Context(), Worked, "", start)
		if s := g.State(t.Context(), start, time.Time{}); s != (State{}) || !errors.Is(g.Err(), ErrUnusable) {
			t.Errorf("%q: it knows %+v, %v", path, s, g.Err())
		}
		unlock, err := g.Acquire(t.Context(), func() bool { return false })
		check.OK(t, err)
		unlock()
	}
}

// TestTried: whatever became of credentials, they are no longer untried; others of
// the account are not known by that.
func TestTried(t *testing.T) {
	for name, end := range map[string]func(*testing.T, string, string, int, time.Time){"worked": work, "refused": refuse, "no answer": hang} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "s")
			if g := guardIn(t, dir, "one", 3); g.Tried(t.Context()) || g.OthersTried(t.Context()) {
				t.Error("tried before")
			}
			end(t, dir, "one", 3, start)
			if g := guardIn(t, dir, "one", 3); !g.Tried(t.Context()) || !g.OthersTried(t.Context()) {
				t.Error("not tried afterwards")
			}
			if g := guardIn(t, dir, "other", 3); g.Tried(t.Context()) || !g.OthersTried(t.Context()) {
				t.Error("another password is tried, or the account is not")
			}
		})
	}
	if g := (*Guard)(nil); g.Tried(t.Context()) || g.OthersTried(t.Context()) {
		t.Error("no guard, and tried")
	}
}
