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

// Lock waits until no other process holds the lock of the file at path: a file
// beside the one that path leads to, so that all who write it meet there, whatever
// link or state directory they have. Its directory is made if it is missing; what
// was made is removed with the lock, except on Windows, unless it is in use by
// then. The kernel frees the lock of a process that dies.
//
// Lock returns the cause of ctx's end if that comes first. Where no file can be
// made, so that nobody can write, or the file system has no locks, it returns at
// once.
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
					_ = os.Remove(dir) // if nothing is in it
				}
			}
		case locked:
			_ = lock.Close() // its holder has removed it: the next one counts
		case err == nil, errors.Is(err, fs.ErrNotExist): // it is held, or its directory was just removed
		case opening && exists(name):
			return false, unwritable(name, err)
		default:
			unlock = func() {}
		}
		return unlock != nil, nil
	})
	return unlock, err
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
