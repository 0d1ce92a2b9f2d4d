package cache

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/tokenfetch/tokenfetch/pkg/await"
	"github.com/tokenfetch/tokenfetch/pkg/source"
)

// maxFile is the maximum size of a file, in bytes.
const maxFile = 64 << 10

// dir is a directory that the user owns, with mode 0700.
type dir struct{ path string }

// openDir returns the directory at path. It refuses a directory that others can
// write, and sets the mode of one that others can only read to 0700. If create is
// set, it creates a missing directory, unless that would leave files of one user in
// the home of another (sudo that keeps HOME).
func openDir(ctx context.Context, path string, create bool) (dir, error) {
	return await.Now(ctx, func() (dir, error) { return useDir(path, create) })
}

// useDir implements openDir. It may block forever.
func useDir(path string, create bool) (dir, error) {
	if path == "" {
		return dir{}, fmt.Errorf("%w: there is no home directory", ErrUnusable)
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) && create {
		if err := checkParent(path); err != nil {
			return dir{}, err
		}
		if source.MakeDirs(path) != nil {
			return dir{}, fmt.Errorf("%w: it cannot be made", ErrUnusable)
		}
		info, err = os.Stat(path)
	}
	if err != nil {
		return dir{}, fmt.Errorf("%w: it cannot be opened", ErrUnusable)
	}
	if !info.IsDir() || !ours(info) || shared(info) || foreign(info) && os.Chmod(path, 0o700) != nil { //nolint:gosec // a directory needs its x bit
		return dir{}, fmt.Errorf("%w: it belongs to another user, or others can write it", ErrUnusable)
	}
	return dir{path}, nil
}

// open opens a file without blocking. It refuses anything but a regular file that
// belongs to the user.
func (d dir) open(name string, flag int) (*os.File, fs.FileInfo, error) {
	path := filepath.Join(d.path, name)
	file, err := os.OpenFile(path, flag|noFollow|nonblock, 0o600)
	if errors.Is(err, fs.ErrPermission) {
		if info, statErr := os.Lstat(path); statErr == nil && info.Mode().IsRegular() && os.Chmod(path, 0o600) == nil {
			file, err = os.OpenFile(path, flag|noFollow|nonblock, 0o600)
		}
	}
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err == nil && (!info.Mode().IsRegular() || !ours(info)) {
		err = ErrUnusable
	}
	if err != nil {
		_ = file.Close()
		return nil, nil, err
	}
	return file, info, nil
}

// read returns the content of a file. If the mode of the file is not private, read
// repairs it. It still uses the content: the mode of the directory keeps others out,
// and ignoring a record would remove the hold in it.
func (d dir) read(ctx context.Context, name string) ([]byte, error) {
	return await.Now(ctx, func() ([]byte, error) { return d.content(name) })
}

// content implements read. It may block forever.
func (d dir) content(name string) ([]byte, error) {
	file, info, err := d.open(name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info.Size() > maxFile {
		return nil, ErrUnusable
	}
	if foreign(info) {
		_ = file.Chmod(0o600) // fails only where others cannot change the file either
	}
	return io.ReadAll(io.LimitReader(file, maxFile))
}

// write atomically replaces a file with one of the functions of package source.
func (d dir) write(ctx context.Context, name string, data []byte, replace func(path string, data []byte) error) error {
	return within(ctx, func() error {
		d.makeRoom(name)
		d.sweep()
		return replace(filepath.Join(d.path, name), data)
	})
}

// within runs a file system call until ctx ends.
func within(ctx context.Context, call func() error) error {
	_, err := await.Do(ctx, func() (struct{}, error) { return struct{}{}, call() })
	return err
}

// random returns the content of a file with size random bytes. If the file is
// missing or damaged, one process creates it for all.
func (d dir) random(ctx context.Context, name string, size int) ([]byte, error) {
	if data, err := d.read(ctx, name); err == nil && len(data) == size {
		return data, nil
	}
	return await.Do(ctx, func() ([]byte, error) { return d.makeRandom(name, size) })
}

func (d dir) makeRandom(name string, size int) ([]byte, error) {
	defer lockDir(d.path)()
	data, err := d.content(name)
	if err == nil && len(data) == size {
		return data, nil
	}
	path := filepath.Join(d.path, name)
	if !Missing(err) {
		if err := d.delete(name); err != nil {
			return nil, err
		}
	}
	data = make([]byte, size)
	_, _ = rand.Read(data) // never fails
	temp, err := source.WriteTemp(path, data)
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.Remove(temp) }()
	// os.Link never replaces a file. So without locks, too, only one process wins.
	if err := os.Link(temp, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return d.content(name)
}

func (d dir) list(ctx context.Context) ([]fs.DirEntry, error) {
	return await.Do(ctx, func() ([]fs.DirEntry, error) { return os.ReadDir(d.path) })
}

// makeRoom removes anything at the path of a file that is not a regular file of the
// user: a directory, link or FIFO, or another user's file. If two processes do so,
// neither removes what the other has created meanwhile.
func (d dir) makeRoom(name string) {
	path := filepath.Join(d.path, name)
	occupied := func() bool {
		info, err := os.Lstat(path)
		return err == nil && (!info.Mode().IsRegular() || !ours(info))
	}
	if !occupied() {
		return
	}
	defer lockDir(d.path)()
	if occupied() {
		_ = d.delete(name) // if this fails, the next operation fails too
	}
}

func (d dir) remove(ctx context.Context, name string) error {
	return within(ctx, func() error { return d.delete(name) })
}

func (d dir) delete(name string) error { return os.RemoveAll(filepath.Join(d.path, name)) }

// openLock creates and returns the lock file with that name, independently of the
// umask. If it cannot be created, openLock returns a lock on the key file, which
// every process reads.
func (d dir) openLock(name string) (*flock.Flock, error) {
	d.makeRoom(name)
	flag := os.O_RDWR | os.O_CREATE
	file, info, err := d.open(name, flag)
	if err != nil {
		name, flag = keyFile, os.O_RDONLY
		file, info, err = d.open(name, flag)
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info.Mode().Perm() != 0o600 {
		_ = file.Chmod(0o600) // a lock works with any mode
	}
	return flock.New(filepath.Join(d.path, name), flock.SetFlag(flag|noFollow|nonblock), flock.SetPermissions(0o600)), nil
}

// staleAfter is the age at which a temporary file counts as left behind by a killed
// process. Writing takes milliseconds.
const staleAfter = time.Hour

// sweep removes temporary files that killed processes left behind.
func (d dir) sweep() {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if _, temp := source.TempOf(entry.Name()); err == nil && temp && info.Mode().IsRegular() && time.Since(info.ModTime()) > staleAfter {
			_ = d.delete(entry.Name())
		}
	}
}

// clearFiles removes the files in the directory path whose names have the given
// prefix and suffix, and their temporary files. It returns how many it removed.
func clearFiles(ctx context.Context, path, prefix, suffix string) (int, error) {
	d, err := openDir(ctx, path, false)
	if err != nil {
		return 0, err
	}
	return await.Do(ctx, func() (int, error) { return d.clear(prefix, suffix) })
}

func (d dir) clear(prefix, suffix string) (int, error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return 0, err
	}
	removed := 0
	for _, entry := range entries {
		name := entry.Name()
		target, leftover := source.TempOf(name)
		if !leftover {
			target = name
		}
		if !entry.Type().IsRegular() || !strings.HasPrefix(name, prefix) || !ownName(name) || !strings.HasSuffix(target, suffix) {
			continue
		}
		if err := d.delete(name); err != nil {
			return removed, err
		}
		if !leftover {
			removed++
		}
	}
	d.sweep()
	return removed, nil
}

// ownName reports whether name starts like the names that this package creates, with
// two keyed hashes.
func ownName(name string) bool {
	for i := range 65 {
		if i >= len(name) || (name[i] == '-') != (i == 32) || i != 32 && !strings.ContainsRune("0123456789abcdef", rune(name[i])) {
			return false
		}
	}
	return true
}
