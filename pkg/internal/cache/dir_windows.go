package cache

import "io/fs"

const noFollow, nonblock = 0, 0

// Windows keeps owner and access in lists of its own, which LocalAppData sets
// to the user alone; mode bits say nothing there.
func ours(fs.FileInfo) bool { return true }

func foreign(fs.FileInfo) bool { return false }

func shared(fs.FileInfo) bool { return false }

// lockDir does nothing: a directory cannot be locked there.
func lockDir(string) (unlock func()) { return func() {} }

// writable is not known before something is written.
func writable(string) bool { return true }
