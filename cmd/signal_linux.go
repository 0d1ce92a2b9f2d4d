package cmd

import "golang.org/x/sys/unix"

// The ioctl requests that read and change the settings of a terminal.
const (
	getSettings = unix.TCGETS
	setSettings = unix.TCSETS
)
