package cache

import "io/fs"

const noFollow, nonblock = 0, 0

// Windows stores owner and access in ACLs, and LocalAppData is private to the user.
// Mode bits have no meaning there.
func ours(fs.FileInfo) bool { return true }

func foreign(fs.FileInfo) bool { return false }

func shared(fs.FileInfo) bool { return false }

// lockDir does nothing: Windows cannot lock a directory.
func lockDir(string) (unlock func()) { return func() {} }

// writable always returns true. Only a write shows whether the directory is
// writable.
func writable(string) bool { return true }
