package cmd

import (
	"os"

	"golang.org/x/sys/unix"
)

// writeAtOnce writes what f takes without a wait, and returns how much that is. A
// pipe that is not full takes all of a token. What cannot tell takes nothing.
func writeAtOnce(f *os.File, data []byte) int {
	n, _ := unix.Pwritev2(int(f.Fd()), [][]byte{data}, -1, unix.RWF_NOWAIT) // a lasting error comes back when the rest is written
	return max(0, n)
}
