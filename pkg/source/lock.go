package source

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"

	"github.com/tokenfetch/tokenfetch/pkg/await"
)

// Lock waits until no other process holds the lock for the file at path, and
// acquires it. The lock is a file next to the file that path resolves to, so that
// all writers use the same lock, whatever link or state directory they use. Lock
// creates a missing directory. unlock removes what Lock created, except on Windows,
// unless it is in use by then. If a process dies, the kernel releases its lock.
//
// If ctx ends first, Lock returns its cause. It returns immediately if the lock file
// cannot be created, because then nobody can write, or if the file system does not
// support locks.
func Lock(ctx context.Context, path string) (unlock func(), err error) {
	target, err := destination(path)
	if err != nil {
		return nil, err
	}
	dir, name := filepath.Dir(target), target+".lock"
	lock := flock.New(name, flock.SetFlag(os.O_CREATE|os.O_RDONLY|nonblock))
	var made []string
	err = await.Until(ctx, func() (done bool, err error) {
		made = append(made, missingDirs(dir)...)
		locked, err := false, MakeDirs(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, unwritable(path, err)
		}
		if err == nil {
			locked, err = lock.TryLock()
		}
		switch _, opening := errors.AsType[*fs.PathError](err); {
		case locked && current(lock):
			unlock = func() {
				_ = os.Remove(name)
				_ = lock.Close()
				for _, dir := range made {
					_ = os.Remove(dir) // fails if the directory is not empty
				}
			}
		case locked:
			_ = lock.Close() // its holder has removed the file: lock the next one
		case err == nil, errors.Is(err, fs.ErrNotExist): // locked, or its directory was just removed
		case opening && exists(name):
			return false, unwritable(name, err)
		default:
			unlock = func() {}
		}
		return unlock != nil, nil
	})
	return unlock, err
}

// missingDirs returns dir and its parents that do not exist, starting with dir.
func missingDirs(dir string) []string {
	var missing []string
	for ; !exists(dir) && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		missing = append(missing, dir)
	}
	return missing
}

// current reports whether the locked file is still at its path.
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
