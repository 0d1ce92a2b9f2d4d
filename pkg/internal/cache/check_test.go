package cache

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/internal/token"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// files lists what is below dir, with mode and size.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	check.OK(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			all[path] = info.Mode().String()
			if info.Mode().IsRegular() {
				all[path] += " " + info.ModTime().String()
			}
		}
		return err
	}))
	return all
}

func reader(t *testing.T, dir, password string, lockoutAfter int) *Guard {
	t.Helper()
	g := ReadGuard(t.Context(), dir, Credential{
		Values:       []string{"enkash", "ops@example.com", password},
		Account:      []string{"enkash", "ops@example.com"},
		LockoutAfter: lockoutAfter,
	})
	check.OK(t, g.Err())
	return g
}

// A guard for looking sees what one that records has left, and leaves nothing.
func TestReadGuard(t *testing.T) {
	home := t.TempDir()
	dir := filepath.Join(home, "s")
	before := files(t, home)
	g := reader(t, dir, "wrong", 3)
	if s := g.State(t.Context(), start, time.Time{}); s.Hold != nil || g.OthersHeld(t.Context(), start) || *s.Left != 3 {
		t.Errorf("before anything: %+v, %v", s, g.OthersHeld(t.Context(), start))
	}
	check.Same(t, "something was made (-before +after)", before, files(t, home))

	refuse(t, dir, "wrong", 3, start)
	now := start.Add(time.Minute)
	want := &Hold{Left: 9 * time.Minute, Since: time.Minute, Failures: 1, Code: failure.ProviderRefused}
	check.Same(t, "the hold", want, reader(t, dir, "wrong", 3).State(t.Context(), now, time.Time{}).Hold)
	other := reader(t, dir, "other", 3)
	if s := other.State(t.Context(), now, time.Time{}); s.Hold != nil || !other.OthersHeld(t.Context(), now) || *s.Left != 2 {
		t.Errorf("another password: %+v, others %v", s, other.OthersHeld(t.Context(), now))
	}
	if other.OthersHeld(t.Context(), start.Add(10*time.Minute)) {
		t.Error("a hold that has ended is still one")
	}
	refuse(t, dir, "wrong", 3, start)
	want = &Hold{Left: 24*time.Hour - time.Minute, Since: time.Minute, Failures: 2, LockoutAfter: 3}
	check.Same(t, "the hold of the account", want, reader(t, dir, "other", 3).State(t.Context(), now, time.Time{}).Hold)
	check.OK(t, os.Remove(filepath.Join(dir, keyFile)))
	before = files(t, home)
	if g := reader(t, dir, "wrong", 3); g.State(t.Context(), now, time.Time{}).Hold != nil || g.OthersHeld(t.Context(), now) {
		t.Error("records without their key")
	}
	check.Same(t, "something was made or changed (-before +after)", before, files(t, home))
}

func TestReadGuardUnusable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	check.OK(t, os.WriteFile(dir, nil, 0o600))
	for _, path := range []string{"", dir, filepath.Join(dir, "below")} {
		g := ReadGuard(t.Context(), path, Credential{})
		if !errors.Is(g.Err(), ErrUnusable) || g.State(t.Context(), start, time.Time{}).Hold != nil || g.OthersHeld(t.Context(), start) {
			t.Errorf("%q: %v", path, g.Err())
		}
	}
}

func TestAnyToken(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c")
	tokens := OpenTokens(dir, make([]byte, KeySize))
	owner := Owner{Ref: []string{"zeepay", "default"}, Identity: []string{"a"}}
	if tokens.Any(t.Context(), owner.Ref) {
		t.Error("one without a directory")
	}
	check.OK(t, tokens.Put(t.Context(), owner, &token.Token{AccessToken: secret.New("t"), Lifetime: time.Hour, Obtained: start}))
	if !tokens.Any(t.Context(), owner.Ref) || tokens.Any(t.Context(), []string{"zeepay", "ci"}) {
		t.Errorf("own %v, another's %v", tokens.Any(t.Context(), owner.Ref), tokens.Any(t.Context(), []string{"zeepay", "ci"}))
	}
}

func TestCheckDir(t *testing.T) {
	home := t.TempDir()
	file := filepath.Join(home, "file")
	check.OK(t, os.WriteFile(file, nil, 0o600))
	good, open := filepath.Join(home, "good"), filepath.Join(home, "open")
	check.OK(t, errors.Join(os.Mkdir(good, 0o700), os.Mkdir(open, 0o700), os.Chmod(open, 0o777)))
	before := files(t, home)
	for _, test := range []struct {
		path   string
		exists bool
		err    error
	}{
		{good, true, nil},
		{filepath.Join(home, "a", "b", "c"), false, nil},
		{open, true, ErrUnusable},
		{file, true, ErrUnusable},
		{"", false, ErrUnusable},
	} {
		exists, err := CheckDir(t.Context(), test.path)
		if exists != test.exists || !errors.Is(err, test.err) || err != nil && test.err == nil {
			t.Errorf("%s: %v, %v; want %v, %v", test.path, exists, err, test.exists, test.err)
		}
	}
	check.Same(t, "left behind (-before +after)", before, files(t, home))
}
