package source

import (
	"io/fs"
	"os"
)

const nonblock = 0

// Windows keeps owner and access in lists of its own, which the profile
// directory under AppData sets to the user alone; mode bits say nothing there.
func unsafe(fs.FileInfo) string { return "" }

func unsafeDir(fs.FileInfo) string { return "" }

func foreignLink(fs.FileInfo) string { return "" }

// duplicate fails: there are no paths of descriptors on Windows.
func duplicate(uintptr, string) (*os.File, error) { return nil, fs.ErrNotExist }

func private(fs.FileInfo) bool { return true }
