package source

import (
	"io/fs"
	"os"
)

const nonblock = 0

// Windows stores owner and access in ACLs, and the profile directory below AppData
// is private to the user. Mode bits have no meaning there.
func unsafe(fs.FileInfo) string { return "" }

func unsafeDir(fs.FileInfo) string { return "" }

func foreignLink(fs.FileInfo) string { return "" }

// duplicate always fails: Windows has no paths for descriptors.
func duplicate(uintptr, string) (*os.File, error) { return nil, fs.ErrNotExist }

func private(fs.FileInfo) bool { return true }
