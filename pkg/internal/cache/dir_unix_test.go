//go:build unix

package cache

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/source"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// obstacles are what may stand in the place of a file of ours.
var obstacles = map[string]func(path string) error{
	"a directory":            func(path string) error { return os.Mkdir(path, 0o700) },
	"a directory with files": func(path string) error { return os.MkdirAll(filepath.Join(path, "file"), 0o700) },
	"a FIFO":                 func(path string) error { return syscall.Mkfifo(path, 0o600) },
	"a link to nowhere":      func(path string) error { return os.Symlink("/nonexistent/file", path) },
	"a link to a directory":  func(path string) error { return os.Symlink("/", path) },
}

// TestSomethingInTheWay puts something else in the place of each of our files:
// nothing waits for it, and the same run replaces it.
func TestSomethingInTheWay(t *testing.T) {
	t.Parallel()
	for name, obstruct := range obstacles {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "s")
			g := guardIn(t, dir, "a", 3)
			obstructed := func(file string) {
				t.Helper()
				check.OK(t, os.RemoveAll(filepath.Join(dir, file)))
				check.OK(t, obstruct(filepath.Join(dir, file)))
			}

			obstructed(g.values)
			obstructed(g.count)
			refuse(t, dir, "a", 3, start)
			if s := g.State(t.Context(), start, time.Time{}); s.Hold == nil || *s.Left != 2 {
				t.Errorf("hold %+v, %d left", s.Hold, *s.Left)
			}

			obstructed(g.lock)
			unlock, err := g.Acquire(t.Context(), func() bool { return false })
			check.OK(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if _, err := guardIn(t, dir, "a", 3).Acquire(ctx, func() bool { return false }); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the lock is not held: %v", err)
			}
			unlock()

			own := g.dir
			obstructed(keyFile)
			var keys [20][]byte
			var all sync.WaitGroup
			for i := range keys {
				all.Go(func() { keys[i], _ = fingerprintKey(t.Context(), own) })
			}
			all.Wait()
			for _, key := range keys {
				if len(key) != KeySize || !bytes.Equal(key, keys[0]) {
					t.Fatalf("keys %x and %x", key, keys[0])
				}
			}

			cached := filepath.Join(t.TempDir(), "c")
			check.OK(t, tokensIn(cached).Put(t.Context(), owner, issued(time.Hour)))
			path := onlyFile(t, cached)
			check.OK(t, os.Remove(path))
			check.OK(t, obstruct(path))
			if _, err := tokensIn(cached).Get(t.Context(), owner, start); err == nil {
				t.Error("a token")
			}
			check.OK(t, tokensIn(cached).Put(t.Context(), owner, issued(time.Hour)))
			if _, err := tokensIn(cached).Get(t.Context(), owner, start); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestModeOfAFile: a file of ours with another mode is still read, and is the
// user's alone afterwards.
func TestModeOfAFile(t *testing.T) {
	for _, mode := range []os.FileMode{0o600, 0o644, 0o400, 0o666, 0o620, 0} {
		d := dir{filepath.Join(t.TempDir(), "d")}
		check.OK(t, os.Mkdir(d.path, 0o700))
		check.OK(t, d.write(t.Context(), "file", []byte("data"), source.Replace))
		check.OK(t, os.Chmod(filepath.Join(d.path, "file"), mode))
		data, err := d.read(t.Context(), "file")
		if err != nil || string(data) != "data" {
			t.Errorf("mode %o: %q, %v", mode, data, err)
		}
		if info, err := os.Stat(filepath.Join(d.path, "file")); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("mode %o became %v, %v", mode, info.Mode(), err)
		}
	}
}

// TestLockThatCannotBeMade: where no lock file can be made, the key is locked
// instead. Where there are no locks at all, runs go on without.
func TestLockThatCannotBeMade(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	g := guardIn(t, dir, "a", 0)
	g.lock = "missing/" + g.lock
	unlock, err := g.Acquire(t.Context(), func() bool { return false })
	check.OK(t, err)
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := g.Acquire(ctx, func() bool { return false }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("two runs have the lock: %v", err)
	}
	check.OK(t, os.Remove(filepath.Join(dir, keyFile)))
	check.OK(t, os.Mkdir(filepath.Join(dir, keyFile), 0o700))
	for range 2 {
		unlock, err := g.Acquire(t.Context(), func() bool { return false })
		check.OK(t, err)
		defer unlock()
	}
}

// TestTemporaryFilesOfKilledRuns: what a killed run leaves goes with a later
// write, and at once when tokens are cleared.
func TestTemporaryFilesOfKilledRuns(t *testing.T) {
	d := dir{filepath.Join(t.TempDir(), "d")}
	check.OK(t, os.Mkdir(d.path, 0o700))
	for _, name := range []string{"old", "new"} {
		path := filepath.Join(d.path, name+".0123456789abcdef.tmp")
		check.OK(t, os.WriteFile(path, nil, 0o600))
		if name == "old" {
			check.OK(t, os.Chtimes(path, time.Time{}, time.Now().Add(-2*time.Hour)))
		}
	}
	check.OK(t, d.write(t.Context(), "file", nil, source.Replace))
	left, err := filepath.Glob(filepath.Join(d.path, "*.tmp"))
	check.OK(t, err)
	if len(left) != 1 || filepath.Base(left[0]) != "new.0123456789abcdef.tmp" {
		t.Errorf("left: %v", left)
	}
}
