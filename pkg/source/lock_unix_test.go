//go:build unix

package source

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
)

// TestLock: one at a time holds the lock of a file, in a directory that comes
// and goes with it.
func TestLock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", "file")
	var held atomic.Int32
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			unlock, err := Lock(t.Context(), path)
			if err != nil {
				t.Error(err)
				return
			}
			if held.Add(1) != 1 {
				t.Error("two hold it")
			}
			held.Add(-1)
			unlock()
		})
	}
	all.Wait()
	if exists(path + ".lock") {
		t.Error("the lock is left behind")
	}
}

// TestLockLeavesNothing: directories that were made for a lock alone are removed.
func TestLockLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a")
	unlock, err := Lock(t.Context(), filepath.Join(dir, "b", "file"))
	if err != nil {
		t.Fatal(err)
	}
	if unlock(); exists(dir) {
		t.Error("the directory is left behind")
	}
}

// TestLockWaits: a lock that is held is waited for until the context ends.
func TestLockWaits(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	if err := Write(path, nil); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	unlock, err := Lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Lock(ctx, link); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want a wait", err)
	}
	unlock()
	if unlock, err = Lock(t.Context(), link); err != nil {
		t.Fatal(err)
	}
	unlock()
}

// TestLockCannotBeOpened: what stands in the place of the lock is told, because
// without it two could write at once.
func TestLockCannotBeOpened(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.Mkdir(path+".lock", 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := Lock(t.Context(), path)
	if e, ok := errors.AsType[*failure.Error](err); !ok || e.Code != failure.FileUnwritable {
		t.Errorf("%v, want %s", err, failure.FileUnwritable)
	}
}

// TestUpdate: what somebody else has written since a file was read stays.
func TestUpdate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	for _, step := range []struct {
		old, data string
		fails     bool
	}{{"", "one", false}, {"", "two", true}, {"one", "three", false}, {"one", "four", true}} {
		old := []byte(step.old)
		if step.old == "" {
			old = nil
		}
		before, _ := os.ReadFile(path)
		err := Update(path, old, []byte(step.data))
		if failed := err != nil; failed != step.fails {
			t.Errorf("%+v: %v", step, err)
		}
		want := step.data
		if step.fails {
			want = string(before)
		}
		if got, _ := os.ReadFile(path); string(got) != want {
			t.Errorf("%+v: the file holds %q, want %q", step, got, want)
		}
	}
	if left, err := filepath.Glob(path + ".*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}
