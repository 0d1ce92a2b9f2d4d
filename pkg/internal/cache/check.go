package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tokenfetch/tokenfetch/pkg/source"
)

// CheckDir reports whether the directory path is usable. err says why it is not.
// exists is false if the directory would have to be created; CheckDir does not
// create it. In an existing directory, CheckDir writes a file and removes it.
func CheckDir(ctx context.Context, path string) (exists bool, err error) {
	err = within(ctx, func() (err error) {
		exists, err = tryDir(path)
		return err
	})
	return exists, err
}

func tryDir(path string) (exists bool, err error) {
	if path == "" {
		return false, fmt.Errorf("%w: there is no home directory", ErrUnusable)
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return false, checkParent(path)
	}
	d, err := useDir(path, false)
	if err != nil {
		return true, err
	}
	file, err := source.WriteTemp(filepath.Join(d.path, "check"), []byte("this file may be removed\n"))
	if err != nil {
		return true, err
	}
	return true, os.Remove(file)
}

// checkParent returns an error if the directory path cannot be created.
func checkParent(path string) error {
	parent := filepath.Dir(path)
	info, err := os.Stat(parent)
	switch {
	case errors.Is(err, fs.ErrNotExist) && parent != path:
		return checkParent(parent)
	case err != nil || !ours(info):
		return fmt.Errorf("%w: the directory above it belongs to another user", ErrUnusable)
	case !writable(parent):
		return fmt.Errorf("%w: the directory above it cannot be written", ErrUnusable)
	}
	return nil
}

// couldUse reports whether the directory path is usable or can be created.
func couldUse(path string) bool {
	if path == "" {
		return false
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return checkParent(path) == nil
	}
	_, err := useDir(path, false)
	return err == nil && writable(path)
}
