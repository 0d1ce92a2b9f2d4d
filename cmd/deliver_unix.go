//go:build unix

package cmd

import (
	"os"

	"golang.org/x/sys/unix"
)

// isClosed reports whether a stream was closed when the program started. The Go runtime
// replaces a closed stream by the null device, opened for reading and writing; a
// shell's redirection opens it for writing only. Python and Node also open it for both
// when a caller asks for the null device, which cannot be told apart from a closed
// stream.
func isClosed(stream *os.File) bool {
	if !leadsNowhere(stream) {
		return false
	}
	flags, err := unix.FcntlInt(stream.Fd(), unix.F_GETFL, 0)
	return err != nil || flags&unix.O_ACCMODE == unix.O_RDWR
}
