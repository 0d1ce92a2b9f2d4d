package cmd

import "golang.org/x/sys/unix"

// fits reports whether the kernel accepts the arguments and environment of a command.
// By execve(2) a string may have at most 128 KiB, and all of them a quarter of the
// stack limit, which counts as at least 512 KiB and at most 24 MiB.
func fits(path string, argv, environ []string) bool {
	const (
		pointer   = 8
		maxString = 128 << 10
	)
	stack := unix.Rlimit{Cur: unix.RLIM_INFINITY}
	_ = unix.Getrlimit(unix.RLIMIT_STACK, &stack) // unlimited if it is not known
	left := int(max(128<<10, min(6<<20, stack.Cur/4))) - len(path) - 1
	for _, list := range [][]string{argv, environ} {
		for _, text := range list {
			if len(text) >= maxString {
				return false
			}
			left -= len(text) + 1 + pointer
		}
	}
	return left > 4<<10 // the kernel puts a few values of its own there too
}
