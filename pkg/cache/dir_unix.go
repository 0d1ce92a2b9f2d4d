//go:build unix

package cache

import (
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const noFollow = syscall.O_NOFOLLOW

// ours reports whether the file belongs to the user.
func ours(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}

// foreign reports whether others may use the file.
func foreign(info fs.FileInfo) bool { return info.Mode().Perm()&0o077 != 0 }

// writable reports whether files can be made in the directory path.
func writable(path string) bool { return unix.Access(path, unix.W_OK|unix.X_OK) == nil }
