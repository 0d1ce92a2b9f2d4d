package cmd

import "golang.org/x/sys/unix"

// How the settings of a terminal are read and changed.
const (
	getSettings = unix.TCGETS
	setSettings = unix.TCSETS
)
