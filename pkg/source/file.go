package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/tokenfetch/tokenfetch/pkg/await"
	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
)

// File is the content of a file, and who can change and read it. Both come from the
// same open file.
type File struct {
	Data []byte
	// Unsafe says why others could have changed or replaced the file, and Advice
	// what to do about it. Both are empty if nobody could.
	Unsafe, Advice string
	// Private is set if only the owner (and root) can read the file.
	Private bool
	// Mode contains the permission bits.
	Mode fs.FileMode
}

// ReadRegular reads a regular file of at most limit bytes. It returns an error for
// anything else (a directory, FIFO, socket or device), without blocking.
func ReadRegular(ctx context.Context, path string, limit int64) (File, error) {
	return read(ctx, path, called(path), limit, false)
}

// ReadRegularAs is like [ReadRegular], but errors call the file name, see
// [ReadValue].
func ReadRegularAs(ctx context.Context, path, name string, limit int64) (File, error) {
	return read(ctx, path, name, limit, false)
}

// FileOf begins the name in messages for a file whose path must not be shown: the flag
// or variable that names it follows.
const FileOf = "the file of "

// called returns the name in messages for a file whose path may be shown.
func called(path string) string { return "the file " + path }

// ReadValue reads a value from a file or FIFO, such as a shell's process
// substitution <(command). Reading a FIFO without a writer ends with ctx. note says
// why others could have changed the file; this is an error unless trusted is set.
// Errors call the file name. That is "the file PATH", or another name if the path
// may be a secret by mistake and must not be shown.
func ReadValue(ctx context.Context, path, name string, trusted bool) (v secret.Value, note string, err error) {
	f, err := readSafe(ctx, path, name, MaxValue+2, trusted)
	if err != nil {
		return secret.Value{}, "", err
	}
	v, err = value(f.Data, name, failure.FieldInvalid)
	return v, f.Unsafe, err
}

// ReadBytes is like [ReadValue], but accepts any bytes and returns them unchanged. A
// file that others could have changed is an error.
func ReadBytes(ctx context.Context, path string) (secret.Value, error) {
	f, err := readSafe(ctx, path, called(path), MaxValue+2, false)
	return secret.New(string(f.Data)), err
}

// maxPEM is the maximum size of a file with a certificate chain and key, in bytes.
const maxPEM = 256 << 10

// ReadPEM is like [ReadValue] for a PEM file, which may be larger than a value. It
// returns the content unchanged.
func ReadPEM(ctx context.Context, path, name string, trusted bool) (v secret.Value, note string, err error) {
	f, err := readSafe(ctx, path, name, maxPEM, trusted)
	if err != nil {
		return secret.Value{}, "", err
	}
	return secret.New(string(f.Data)), f.Unsafe, nil
}

func readSafe(ctx context.Context, path, name string, limit int64, trusted bool) (File, error) {
	f, err := read(ctx, path, name, limit, true)
	if err == nil && f.Unsafe != "" && !trusted {
		return File{}, permissions(name, f.Unsafe, f.Advice)
	}
	return f, err
}

// Stat describes a file that contains a value, without reading it.
type Stat struct {
	// Note says why others could have changed the file. It is empty if nobody could.
	Note string
	// Shared is set if others can read the file.
	Shared bool
	// Pipe is set for a FIFO or an inherited descriptor. Its content is unknown,
	// because it can be read only once.
	Pipe bool
}

// CheckValue returns those errors of [ReadValue] that it can detect without reading
// the file. name has the same meaning.
func CheckValue(ctx context.Context, path, name string, trusted bool) (Stat, error) {
	return check(ctx, path, name, 1, MaxValue+2, trusted)
}

// CheckPEM returns those errors of [ReadPEM] that it can detect without reading the
// file.
func CheckPEM(ctx context.Context, path, name string, trusted bool) (Stat, error) {
	return check(ctx, path, name, 0, maxPEM, trusted)
}

// check checks a file whose size must be from least to most bytes.
func check(ctx context.Context, path, name string, least, most int64, trusted bool) (Stat, error) {
	var advice string
	s, err := await.Do(ctx, func() (s Stat, err error) {
		way := walk(path)
		info, err := os.Stat(path)
		if err != nil {
			return s, err
		}
		if s.Pipe = inherited(path) || info.Mode()&fs.ModeNamedPipe != 0; s.Pipe {
			if !inherited(path) {
				s.Note, advice = way.risk(info, path, name)
			}
			return s, nil
		}
		if !info.Mode().IsRegular() {
			return s, errNotRegular
		}
		file, err := open(path, false)
		if err != nil {
			return s, err
		}
		defer file.Close()
		if info, err = file.Stat(); err != nil {
			return s, err
		}
		s.Note, advice = way.risk(info, path, name)
		s.Shared = !private(info)
		switch size := info.Size(); {
		case !info.Mode().IsRegular():
			return s, errNotRegular
		case size < least:
			return s, errEmpty
		case size > most:
			return s, errTooLarge
		}
		return s, nil
	})
	switch {
	case errors.Is(err, errEmpty):
		return Stat{}, failure.New(failure.FieldInvalid, "the value from %s is empty", name)
	case err != nil:
		return Stat{}, explain(err, path, name, most)
	case s.Note != "" && !trusted:
		return Stat{}, permissions(name, s.Note, advice)
	}
	return s, nil
}

func permissions(name, why, advice string) error {
	return failure.New(failure.FilePermissions, "%s %s", name, why).WithHint("%s", advice)
}

// read reads a regular file. If pipes is set, it also reads a FIFO, which may block
// until ctx ends.
func read(ctx context.Context, path, name string, limit int64, pipes bool) (File, error) {
	wait := await.Now[File]
	if pipes {
		// Use Stat to detect a FIFO. Opening and closing it would break its writer.
		info, err := os.Stat(path)
		if pipes = err != nil || !info.Mode().IsRegular() || inherited(path); pipes {
			wait = await.Do[File]
		}
	}
	f, err := wait(ctx, func() (File, error) { return readOnce(path, name, limit, pipes) })
	if err != nil {
		return File{}, explain(err, path, name, limit)
	}
	return f, nil
}

func readOnce(path, name string, limit int64, pipes bool) (f File, err error) {
	way := walk(path)
	file, err := open(path, pipes)
	if err != nil {
		return f, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return f, err
	}
	pipe := info.Mode()&fs.ModeNamedPipe != 0
	if !info.Mode().IsRegular() && !(pipe && pipes) {
		return f, errNotRegular
	}
	if !inherited(path) {
		f.Unsafe, f.Advice = way.risk(info, path, name)
	}
	f.Private, f.Mode = private(info), info.Mode().Perm()
	if info.Mode().IsRegular() && info.Size() > limit {
		return f, errTooLarge
	}
	f.Data, err = readUpTo(file, limit)
	if err == nil && int64(len(f.Data)) > limit {
		err = errTooLarge
	}
	return f, err
}

// explain converts an error from opening or reading the file.
func explain(err error, path, name string, limit int64) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		e := failure.New(failure.FileNotFound, "%s does not exist", name)
		if name != called(path) {
			return e.WithHint("give the path of a file that holds the value, not the value itself")
		}
		return e
	case isDeadline(err):
		return failure.New(failure.InputTimeout, "no data within the time limit from %s", name)
	case errors.Is(err, errTooLarge):
		return failure.New(failure.FileUnreadable, "%s is too large: the limit is %d bytes", name, limit)
	}
	return failure.New(failure.FileUnreadable, "cannot read %s: %s", name, reason(err))
}

var (
	errNotRegular = errors.New("not a regular file")
	errTooLarge   = errors.New("too large")
	errEmpty      = errors.New("empty")
)

// reason returns a fixed text that says why a file could not be opened or read.
func reason(err error) string {
	switch {
	case errors.Is(err, errNotRegular), errors.Is(err, syscall.ENXIO), errors.Is(err, syscall.EOPNOTSUPP): // the last two are for a socket
		return "not a regular file"
	case errors.Is(err, errDangling):
		return err.Error()
	case errors.Is(err, fs.ErrPermission):
		return "permission denied"
	case errors.Is(err, fs.ErrNotExist):
		return "it is a link that leads nowhere"
	case errors.Is(err, syscall.ENOTDIR):
		return "its directory is a file"
	case NoRoom(err) != "":
		return NoRoom(err)
	case errors.Is(err, syscall.EROFS):
		return "the file system is read-only"
	case errors.Is(err, syscall.ELOOP):
		return "its symbolic links form a loop"
	case errors.Is(err, syscall.EISDIR):
		return "it is a directory, not a regular file"
	case errors.Is(err, syscall.ENAMETOOLONG):
		return "its name is too long"
	case errors.Is(err, syscall.EBADF):
		return "the descriptor is not open for reading"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "too many open files"
	case errors.Is(err, context.Canceled):
		return "interrupted"
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return fmt.Sprintf("system error %d", int(errno))
	}
	return "it cannot be opened"
}

// NoRoom returns a fixed text for an error that says that data does not fit, or else
// the empty string.
func NoRoom(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "no space left"
	case errors.Is(err, syscall.EFBIG):
		return "the file would become too large"
	}
	return ""
}

// inherited reports whether path is the path of a file descriptor. The caller passed
// it to this program, and is responsible for who can write to it.
func inherited(path string) bool {
	_, ok := descriptor(path)
	return ok
}

// descriptor returns the number of the open file descriptor that path names.
func descriptor(path string) (uintptr, bool) {
	for _, prefix := range []string{"/dev/fd/", "/proc/self/fd/"} {
		if rest, ok := strings.CutPrefix(path, prefix); ok {
			n, err := strconv.ParseUint(rest, 10, 16)
			return uintptr(n), err == nil
		}
	}
	return 0, false
}

// open opens path for reading. If pipes is not set, it never blocks on a FIFO. It
// duplicates a descriptor instead of opening its path, because opening would lose a
// pipe whose writer has exited.
func open(path string, pipes bool) (*os.File, error) {
	if fd, ok := descriptor(path); ok && pipes {
		return duplicate(fd, path)
	}
	flags := os.O_RDONLY
	if !pipes {
		flags |= nonblock
	}
	return os.OpenFile(path, flags, 0)
}
