package cmd

import "golang.org/x/sys/unix"

// harden keeps other processes of the user from reading this one's memory and
// environment, and the kernel from writing them into a core file. It ends with
// the next exec, so that commands we start are as they would be without us.
func harden() { _ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }
