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
)

func guardIn(t *testing.T, dir, password string, lockoutAfter int) *Guard {
	t.Helper()
	g, err := NewGuard(dir, Credential{
		Values:       []string{"enkash", "ops@example.com", password},
		Account:      []string{"enkash", "ops@example.com"},
		LockoutAfter: lockoutAfter,
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func held(err error) bool {
	e, ok := errors.AsType[*failure.Error](err)
	return ok && e.Code == failure.HeldBack && e.Exit() == 4 && (e.Sent == "" || e.Sent == failure.SentNo)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestHoldsGrow(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	now := start
	if err := guardIn(t, dir, "wrong", 0).Check(now, time.Time{}); err != nil {
		t.Fatalf("held before any refusal: %v", err)
	}
	for _, d := range []time.Duration{10 * time.Minute, time.Hour, 24 * time.Hour, 24 * time.Hour} {
		check(t, guardIn(t, dir, "wrong", 0).Refused(failure.ProviderRefused, now))
		g := guardIn(t, dir, "wrong", 0)
		if g.Proven() {
			t.Error("proven after a refusal")
		}
		if err := g.Check(now.Add(d-time.Second), time.Time{}); !held(err) {
			t.Errorf("after %v - 1 s: %v, want held", d, err)
		}
		if err := g.Check(now.Add(d), time.Time{}); err != nil {
			t.Errorf("after %v: %v", d, err)
		}
		// A clock that was set back does not lift it, nor make it endless.
		if err := g.Check(now.Add(-time.Hour), time.Time{}); !held(err) || g.HeldFor(now.Add(-time.Hour)) != d {
			t.Errorf("clock set back: %v, %v", err, g.HeldFor(now.Add(-time.Hour)))
		}
		if err := guardIn(t, dir, "other", 0).Check(now, time.Time{}); err != nil {
			t.Errorf("another password is held: %v", err)
		}
		now = now.Add(d)
	}
	check(t, guardIn(t, dir, "wrong", 0).Worked(now))
	g := guardIn(t, dir, "wrong", 0)
	if err := g.Check(now, time.Time{}); err != nil || !g.Proven() {
		t.Errorf("after a success: %v, proven %v", err, g.Proven())
	}
}

// --try-anyway lifts only refusals from before its own process.
func TestIgnoreBefore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	check(t, guardIn(t, dir, "wrong", 3).Refused(failure.ProviderRefused, start))
	check(t, guardIn(t, dir, "wrong", 3).Refused(failure.ProviderRefused, start))
	g := guardIn(t, dir, "wrong", 3)
	if err := g.Check(start.Add(time.Minute), start.Add(time.Second)); err != nil {
		t.Errorf("an older refusal: %v", err)
	}
	if err := g.Check(start.Add(time.Minute), start); !held(err) {
		t.Errorf("a newer refusal: %v, want held", err)
	}
}

// lockout_after counts the account's refusals, whatever the password.
func TestStopsShortOfLockout(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	for i, password := range []string{"a", "b"} {
		g := guardIn(t, dir, password, 3)
		if err := g.Check(start, time.Time{}); err != nil {
			t.Fatalf("password %d: %v", i, err)
		}
		check(t, g.Refused(failure.ProviderRefused, start))
		if left, _ := g.Left(start); left != 2-i {
			t.Errorf("left %d, want %d", left, 2-i)
		}
	}
	c := guardIn(t, dir, "c", 3)
	if err := c.Check(start.Add(23*time.Hour), time.Time{}); !held(err) {
		t.Errorf("a third password: %v, want held", err)
	}
	if err := c.Check(start.Add(24*time.Hour), time.Time{}); err != nil {
		t.Errorf("a day later: %v", err)
	}
	check(t, c.Worked(start))
	if err := guardIn(t, dir, "d", 3).Check(start, time.Time{}); err != nil {
		t.Errorf("after a success: %v", err)
	}
}

// Holds can be cleared, the count of an account cannot.
func TestClearHolds(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	for _, password := range []string{"a", "b"} {
		check(t, guardIn(t, dir, password, 3).Refused(failure.ProviderRefused, start))
	}
	if n, err := guardIn(t, dir, "a", 0).ClearHolds(); n != 2 || err != nil {
		t.Errorf("cleared %d, %v; want 2", n, err)
	}
	if err := guardIn(t, dir, "a", 0).Check(start, time.Time{}); err != nil {
		t.Errorf("still held: %v", err)
	}
	if err := guardIn(t, dir, "a", 3).Check(start, time.Time{}); !held(err) {
		t.Errorf("the count is gone: %v", err)
	}
}

// Damaged records say nothing and are healed.
func TestDamagedRecords(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	g := guardIn(t, dir, "wrong", 3)
	check(t, g.Refused(failure.ProviderRefused, start))
	for _, text := range []string{"", "{", `{"refusals":-1}`, `{"refusals":"x"}`} {
		check(t, os.WriteFile(filepath.Join(dir, g.record), []byte(text), 0o600))
		check(t, os.WriteFile(filepath.Join(dir, g.count), []byte(text), 0o600))
		if err := g.Check(start, time.Time{}); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	check(t, g.Refused(failure.ProviderRefused, start))
	if err := g.Check(start, time.Time{}); !held(err) {
		t.Errorf("not healed: %v", err)
	}
	check(t, os.WriteFile(filepath.Join(dir, keyFile), []byte("short"), 0o600))
	check(t, guardIn(t, dir, "wrong", 3).Refused(failure.ProviderRefused, start))
}

// Many processes that start with nothing agree on one key.
func TestKeyIsMadeOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	names := make([]string, 20)
	var all sync.WaitGroup
	for i := range names {
		all.Go(func() {
			g, err := NewGuard(dir, Credential{Values: []string{"a"}, Account: []string{"b"}})
			if err != nil {
				t.Error(err)
				return
			}
			names[i] = g.record
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
	unlock, err := guardIn(t, dir, "a", 0).Lock(t.Context(), never)
	check(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := guardIn(t, dir, "a", 0).Lock(ctx, never); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second holder: %v", err)
	}
	if _, err := guardIn(t, dir, "a", 0).Lock(t.Context(), func() bool { return true }); err != nil {
		t.Errorf("enough: %v", err)
	}
	other, err := guardIn(t, dir, "b", 0).Lock(t.Context(), never)
	check(t, err)
	other()
	unlock()
	again, err := guardIn(t, dir, "a", 0).Lock(t.Context(), never)
	check(t, err)
	again()

	// Where a refusal locks the account, its passwords share one lock.
	unlock, err = guardIn(t, dir, "a", 3).Lock(t.Context(), never)
	check(t, err)
	defer unlock()
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := guardIn(t, dir, "b", 3).Lock(ctx, never); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("another password of the account: %v", err)
	}
}

// A guard without a directory knows nothing and stops nobody.
func TestNoDirectory(t *testing.T) {
	for _, path := range []string{"", "/dev/null/tokenfetch"} {
		g, err := NewGuard(path, Credential{Values: []string{"a"}, Account: []string{"b"}, LockoutAfter: 3})
		if err == nil {
			t.Errorf("%q: no error", path)
		}
		if g.Proven() || g.Check(start, time.Time{}) != nil || g.Refused("x", start) != nil || g.Worked(start) != nil || g.HeldFor(start) != 0 {
			t.Errorf("%q: it knows something", path)
		}
		unlock, err := g.Lock(t.Context(), func() bool { return false })
		check(t, err)
		unlock()
	}
}
