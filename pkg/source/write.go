package source

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
)

// Write atomically replaces the file at path, or creates it. The file and any
// missing directories are accessible only to the user (file mode 0600), whatever the
// umask and the mode of an old file. Write follows the user's own links. It returns
// an error for anything but a regular file, and if others could have changed a
// directory or link on the way.
func Write(path string, data []byte) error {
	return write(path, data, func(string) error { return nil })
}

// Update is like [Write] for a file that was read before. If the content is no
// longer old, it returns an error and changes nothing. A nil old means that the file
// does not exist.
func Update(path string, old, data []byte) error {
	return write(path, data, func(target string) error {
		now, err := os.ReadFile(target)
		switch {
		case errors.Is(err, fs.ErrNotExist) && old == nil:
			return nil
		case err == nil && old != nil && bytes.Equal(now, old):
			return nil
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return err
		}
		return errChanged
	})
}

var errChanged = errors.New("changed by another program")

// write implements Write. It calls check just before it replaces the file.
func write(path string, data []byte, check func(target string) error) error {
	target, err := destination(path)
	if err != nil {
		return err
	}
	if err := MakeDirs(filepath.Dir(target)); err != nil {
		return unwritable(path, err)
	}
	if err := replace(target, data, true, check); err != nil {
		return unwritable(path, err)
	}
	return nil
}

// Replace atomically replaces whatever is at path with a file that only the user can
// access. It performs no checks. The error is that of the operating system.
func Replace(path string, data []byte) error {
	return replace(path, data, true, func(string) error { return nil })
}

// ReplaceVolatile is like [Replace], for data that can be obtained again. It does not
// wait for the disk: after a crash of the operating system the file may be damaged.
func ReplaceVolatile(path string, data []byte) error {
	return replace(path, data, false, func(string) error { return nil })
}

func replace(path string, data []byte, durable bool, check func(path string) error) error {
	temp, err := writeTemp(path, data, durable)
	if err != nil {
		return err
	}
	if err = check(path); err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		_ = os.Remove(temp)
	}
	return err
}

// CheckWrite reports whether [Write] would succeed, as far as it can tell without
// creating a directory or changing a file.
func CheckWrite(path string, data []byte) error {
	target, err := destination(path)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Dir(target)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	temp, err := WriteTemp(target, data)
	if err != nil {
		return unwritable(path, err)
	}
	_ = os.Remove(temp)
	return nil
}

// WriteTemp writes data to a new file next to path and returns its name. Only the
// user can access the file. With an error, there is no file; the error is that of
// the operating system.
func WriteTemp(path string, data []byte) (temp string, err error) {
	return writeTemp(path, data, true)
}

// writeTemp is WriteTemp. It flushes the file to disk only if durable is set.
func writeTemp(path string, data []byte, durable bool) (temp string, err error) {
	var random [tempRandom]byte
	_, _ = rand.Read(random[:]) // never fails
	temp = path + "." + hex.EncodeToString(random[:]) + tempSuffix
	file, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temp)
		}
	}()
	err = file.Chmod(0o600)
	if err == nil {
		_, err = file.Write(data)
	}
	if err == nil && durable {
		err = file.Sync()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	return temp, err
}

// RemoveTemps removes the temporary files that killed calls of [Write] for path left
// behind. No other process may write the file at the same time.
func RemoveTemps(path string) error {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		target = path
	}
	entries, err := os.ReadDir(filepath.Dir(target))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return unwritable(path, err)
	}
	for _, entry := range entries {
		if of, temp := TempOf(entry.Name()); !temp || of != filepath.Base(target) {
			continue
		}
		if err := os.Remove(filepath.Join(filepath.Dir(target), entry.Name())); err != nil {
			return unwritable(path, err)
		}
	}
	return nil
}

// The name of a temporary file consists of the name of the target, random bytes in
// hexadecimal, and a suffix.
const (
	tempRandom = 8
	tempSuffix = ".tmp"
)

// TempOf returns the target of a temporary file of [WriteTemp]. ok reports whether
// name is the name of one.
func TempOf(name string) (target string, ok bool) {
	name, ok = strings.CutSuffix(name, tempSuffix)
	random := filepath.Ext(name)
	_, err := hex.DecodeString(strings.TrimPrefix(random, "."))
	return strings.TrimSuffix(name, random), ok && err == nil && len(random) == 1+2*tempRandom
}

// destination resolves path to the file itself. It returns an error unless every
// link on the way, the file and the directories above it are safe.
func destination(path string) (string, error) {
	refuse := func(kind, path, why string) error {
		e := failure.New(failure.FilePermissions, "the %s %s %s", kind, path, why)
		if kind == "link" {
			return e.WithHint("%s", ownLink)
		}
		return e.WithHint("%s", mend(why, "go-w", failure.ShellWord(path)))
	}
	w := walk(path)
	switch {
	case w.why != "":
		return "", refuse(w.kind, w.weak, w.why)
	case errors.Is(w.err, fs.ErrNotExist):
		return w.target, nil
	case w.err != nil:
		return "", unwritable(path, w.err)
	}
	info, err := os.Lstat(w.target)
	if err == nil && !info.Mode().IsRegular() {
		err = errNotRegular
	}
	if err != nil {
		return "", unwritable(path, err)
	}
	if why := unsafe(info); why != "" {
		return "", refuse("file", w.target, why)
	}
	return w.target, nil
}

// MakeDirs creates dir and its missing parents, accessible only to the user (0700),
// whatever the umask. An existing dir is not an error. MakeDirs does not check who
// else can change the parents. The error is that of the operating system.
func MakeDirs(dir string) error {
	if _, err := os.Stat(dir); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := MakeDirs(filepath.Dir(dir)); err != nil {
		return err
	}
	switch err := os.Mkdir(dir, 0o700); {
	case errors.Is(err, fs.ErrExist):
		return nil
	case err != nil:
		return err
	}
	return os.Chmod(dir, 0o700) //nolint:gosec // a directory needs its x bit
}

// unwritable returns the error for a failed write of the file at path.
func unwritable(path string, err error) error {
	if errors.Is(err, errChanged) {
		return failure.New(failure.FileUnwritable, "cannot write the file %s: another program has just changed it", path).
			WithHint("run this again")
	}
	return failure.New(failure.FileUnwritable, "cannot write the file %s: %s", path, reason(err)).
		WithHint("check the owner and mode of its directory, and the space left")
}
