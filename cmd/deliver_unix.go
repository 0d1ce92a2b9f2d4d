//go:build unix

package cmd

import (
	"os"

	"golang.org/x/sys/unix"
)

// isClosed reports whether a stream was closed when the program began. The runtime
// puts the null device in its place, open for reading and writing, where a shell's
// redirection opens it for writing only. Python and Node open it like the runtime
// for a caller who asks for the null device: they cannot be told apart.
func isClosed(stream *os.File) bool {
	if !leadsNowhere(stream) {
		return false
	}
	flags, err := unix.FcntlInt(stream.Fd(), unix.F_GETFL, 0)
	return err != nil || flags&unix.O_ACCMODE == unix.O_RDWR
}
