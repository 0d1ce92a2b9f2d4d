//go:build unix && !linux

package cmd

import "golang.org/x/sys/unix"

// How the settings of a terminal are read and changed.
const (
	getSettings = unix.TIOCGETA
	setSettings = unix.TIOCSETA
)
