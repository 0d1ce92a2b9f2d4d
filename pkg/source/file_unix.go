//go:build unix

package source

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

const nonblock = syscall.O_NONBLOCK

// unsafe says why somebody other than the user and root could have written the
// file, or "".
func unsafe(info fs.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return "has an unknown owner"
	case st.Uid != 0 && int(st.Uid) != os.Getuid():
		return fmt.Sprintf("belongs to another user (uid %d)", st.Uid)
	case info.Mode()&0o022 != 0:
		return fmt.Sprintf("can be written by others (mode %04o)", info.Mode().Perm())
	}
	return ""
}

func private(info fs.FileInfo) bool { return info.Mode()&0o077 == 0 }
