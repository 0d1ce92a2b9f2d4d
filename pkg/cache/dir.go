package cache

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"

	"github.com/tokenfetch/tokenfetch/pkg/source"
)

// maxFile is the size of the largest file that is read.
const maxFile = 64 << 10

// dir is a directory of ours: 0700 and owned by the user.
type dir struct{ path string }

// openDir returns the directory at path. With create it is made, unless that
// would leave files of one user in the home of another (sudo with HOME kept).
func openDir(path string, create bool) (dir, error) {
	if path == "" {
		return dir{}, fmt.Errorf("%w: there is no home directory", ErrUnusable)
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) && create {
		if err := makeDirs(path); err != nil {
			return dir{}, err
		}
		info, err = os.Stat(path)
	}
	if err != nil {
		return dir{}, fmt.Errorf("%w: it cannot be opened", ErrUnusable)
	}
	if !info.IsDir() || !ours(info) || foreign(info) {
		return dir{}, fmt.Errorf("%w: it belongs to another user, or others may use it", ErrUnusable)
	}
	return dir{path}, nil
}

// makeDirs makes path and what is missing above it, whatever the umask.
func makeDirs(path string) error {
	parent := filepath.Dir(path)
	info, err := os.Stat(parent)
	if errors.Is(err, fs.ErrNotExist) && parent != path {
		if err := makeDirs(parent); err != nil {
			return err
		}
		info, err = os.Stat(parent)
	}
	if err != nil || !ours(info) {
		return fmt.Errorf("%w: the directory above it belongs to another user", ErrUnusable)
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: it cannot be made", ErrUnusable)
	} else if err == nil {
		if err := os.Chmod(path, 0o700); err != nil { //nolint:gosec // a directory needs its x bit
			return fmt.Errorf("%w: its mode cannot be set", ErrUnusable)
		}
	}
	return nil
}

// read returns the content of a file of ours. A link, or a file that others
// may use, is not read.
func (d dir) read(name string) ([]byte, error) {
	file, err := os.OpenFile(filepath.Join(d.path, name), os.O_RDONLY|noFollow, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || !ours(info) || foreign(info) || info.Size() > maxFile {
		return nil, ErrUnusable
	}
	return io.ReadAll(io.LimitReader(file, maxFile))
}

// write replaces a file whole, or not at all.
func (d dir) write(name string, data []byte) error {
	return source.Replace(filepath.Join(d.path, name), data)
}

// create writes a new file; it fails with errExists if there is one.
func (d dir) create(name string, data []byte) error {
	path := filepath.Join(d.path, name)
	temp, err := source.WriteTemp(path, data)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp) }()
	// A link appears whole or not at all, and never replaces a file.
	return os.Link(temp, path)
}

func (d dir) remove(name string) error {
	err := os.Remove(filepath.Join(d.path, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

var errExists = fs.ErrExist

// openLock prepares the lock of that name: a file of ours, whatever the umask.
func (d dir) openLock(name string) (*flock.Flock, error) {
	path := filepath.Join(d.path, name)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|noFollow, 0o600)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if err := file.Chmod(0o600); err != nil {
		return nil, err
	}
	return flock.New(path), nil
}

// clearFiles removes the files of ours in the directory path whose names begin
// with prefix and end with suffix, and what writes of them left behind.
func clearFiles(path, prefix, suffix string) (int, error) {
	d, err := openDir(path, false)
	if err != nil {
		return 0, err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return 0, err
	}
	removed := 0
	for _, entry := range entries {
		name := entry.Name()
		temporary := strings.HasSuffix(name, ".tmp") && strings.Contains(name, suffix+".")
		if !entry.Type().IsRegular() || !strings.HasPrefix(name, prefix) || !ownName(name) || !strings.HasSuffix(name, suffix) && !temporary {
			continue
		}
		if err := d.remove(name); err != nil {
			return removed, err
		}
		if !temporary {
			removed++
		}
	}
	return removed, nil
}

// ownName reports whether name begins like the names we give: two keyed hashes.
func ownName(name string) bool {
	for i := range 65 {
		if i >= len(name) || (name[i] == '-') != (i == 32) || i != 32 && !strings.ContainsRune("0123456789abcdef", rune(name[i])) {
			return false
		}
	}
	return true
}
