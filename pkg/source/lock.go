package source

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// lockPoll is how often a lock that another process holds is tried.
const lockPoll = 20 * time.Millisecond

// Lock waits until no other process holds the lock of the file at path: a file
// beside the one that path leads to, so that all who write it meet there, whatever
// link or state directory they have. Its directory is made if it is missing; what
// was made is removed with the lock, except on Windows, unless it is in use by
// then. The kernel frees the lock of a process that dies.
//
// Lock returns ctx's error if that ends first. Where no file can be made, so that
// nobody can write, or the file system has no locks, it returns at once.
func Lock(ctx context.Context, path string) (unlock func(), err error) {
	target, err := destination(path)
	if err != nil {
		return nil, err
	}
	dir, name := filepath.Dir(target), target+".lock"
	lock := flock.New(name, flock.SetFlag(os.O_CREATE|os.O_RDONLY|nonblock))
	var made []string
	for {
		made = append(made, missingDirs(dir)...)
		locked, err := false, makeDirs(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, unwritable(path, err)
		}
		if err == nil {
			locked, err = lock.TryLock()
		}
		switch _, opening := errors.AsType[*fs.PathError](err); {
		case locked && current(lock):
			return func() {
				_ = os.Remove(name)
				_ = lock.Close()
				for _, dir := range made {
					_ = os.Remove(dir) // if nothing is in it
				}
			}, nil
		case locked:
			_ = lock.Close() // its holder has removed it: the next one counts
		case err == nil, errors.Is(err, fs.ErrNotExist): // it is held, or its directory was just removed
		case opening && exists(name):
			return nil, unwritable(name, err)
		default:
			return func() {}, nil
		}
		select {
		case <-time.After(lockPoll):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// missingDirs returns dir and the directories above it that do not exist, the
// lowest first.
func missingDirs(dir string) []string {
	var missing []string
	for ; !exists(dir) && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		missing = append(missing, dir)
	}
	return missing
}

// current reports whether a locked file is still the one that others would lock.
func current(lock *flock.Flock) bool {
	locked, err := lock.Stat()
	if err != nil {
		return false
	}
	now, err := os.Lstat(lock.Path())
	return err == nil && os.SameFile(locked, now)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
