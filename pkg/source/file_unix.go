//go:build unix

package source

import (
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const nonblock = syscall.O_NONBLOCK

// unsafe returns why someone other than the user and root could have written the
// file, or "".
func unsafe(info fs.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return "has an unknown owner"
	case st.Uid != 0 && int(st.Uid) != os.Getuid():
		return fmt.Sprintf(foreign+" (uid %d)", st.Uid)
	case info.Mode()&0o022 != 0:
		return fmt.Sprintf("can be written by others (mode %04o)", info.Mode().Perm())
	}
	return ""
}

// unsafeDir does the same for a directory. Someone who can write to a directory can
// replace its files, unless the sticky bit is set. A group with the same number as
// the user is a private group, which many systems create for each user.
func unsafeDir(info fs.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	switch writable := info.Mode() & 0o022; {
	case !ok:
		return "has an unknown owner"
	case st.Uid != 0 && int(st.Uid) != os.Getuid() && !unmappedRoot(st.Uid):
		return fmt.Sprintf(foreign+" (uid %d)", st.Uid)
	case info.Mode()&fs.ModeSticky != 0, writable == 0, writable == 0o020 && st.Gid == st.Uid:
		return ""
	}
	return fmt.Sprintf("can be written by others (mode %04o)", info.Mode().Perm())
}

// duplicate duplicates the descriptor fd, so that fd itself stays open. It returns
// an error for a close-on-exec descriptor: this program or the Go runtime opened it,
// and reading from it could break them.
func duplicate(fd uintptr, path string) (*os.File, error) {
	flags, err := unix.FcntlInt(fd, unix.F_GETFD, 0)
	if err == nil && flags&unix.FD_CLOEXEC != 0 {
		err = unix.EBADF
	}
	if err != nil {
		return nil, err
	}
	n, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(n), path), nil
}

func private(info fs.FileInfo) bool { return info.Mode()&0o077 == 0 }

// foreignLink returns why someone other than the user and root could have created a
// symbolic link, or "".
func foreignLink(info fs.FileInfo) string {
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || st.Uid != 0 && int(st.Uid) != os.Getuid() && !unmappedRoot(st.Uid) {
		return "belongs to another user"
	}
	return ""
}

// unmappedRoot reports whether uid is the owner of root's files in a sandbox whose
// user namespace does not contain root (user_namespaces(7)). In such a sandbox,
// other users without a mapping look the same as root.
func unmappedRoot(uid uint32) bool {
	overflow, err := os.ReadFile("/proc/sys/kernel/overflowuid")
	if err != nil || strings.TrimSpace(string(overflow)) != strconv.FormatUint(uint64(uid), 10) {
		return false
	}
	ranges, err := os.ReadFile("/proc/self/uid_map")
	for line := range strings.Lines(string(ranges)) {
		if f := strings.Fields(line); len(f) != 3 || f[1] == "0" {
			return false // the range starts with root
		}
	}
	return err == nil
}
