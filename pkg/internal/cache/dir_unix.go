//go:build unix

package cache

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	noFollow = syscall.O_NOFOLLOW
	nonblock = syscall.O_NONBLOCK
)

// ours reports whether the file belongs to the user.
func ours(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}

// foreign reports whether others can access the file.
func foreign(info fs.FileInfo) bool { return info.Mode().Perm()&0o077 != 0 }

// shared reports whether others can write the file.
func shared(info fs.FileInfo) bool { return info.Mode().Perm()&0o022 != 0 }

// lockDir waits until no other process changes the directory path, then locks it. It
// waits for at most one second: a change takes milliseconds, and a process that is
// suspended during one must not block the others.
func lockDir(path string) (unlock func()) {
	file, err := os.Open(path)
	if err != nil {
		return func() {}
	}
	for end := time.Now().Add(time.Second); errors.Is(unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK) && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	return func() { _ = file.Close() }
}

// writable reports whether files can be created in the directory path.
func writable(path string) bool { return unix.Access(path, unix.W_OK|unix.X_OK) == nil }
