// Package cache stores data that outlives an invocation. It stores encrypted tokens,
// so that processes can share a token that was fetched once. It also stores login
// outcomes, so that repeated attempts with a rejected password never lock an
// account. If either fails, the invocation continues without it. The errors of this
// package say why. Errors that wrap [ErrUnusable] have a text of ours and may be
// displayed; other errors come from the operating system.
package cache

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"path/filepath"
	"runtime"
	"strings"
)

// Dirs contains the directories to use. An empty path means there is none.
type Dirs struct {
	State string // recorded login outcomes
	Cache string // encrypted tokens
}

// Emulated is the environment variable for a directory that replaces the user's
// state and cache directories. The emulator sets it for its child process. Setting
// XDG_CACHE_HOME instead would affect other programs: the Go command, for example,
// would use an empty build cache.
const Emulated = "TOKENFETCH_EMULATOR_DIR"

// UserDirs returns the user's directories. On Unix these are the directory
// tokenfetch in $XDG_STATE_HOME or ~/.local/state, and in $XDG_CACHE_HOME or
// ~/.cache. On Windows it is in %LocalAppData%. If such a directory is unusable,
// UserDirs returns tokenfetch in the first path of $STATE_DIRECTORY or
// $CACHE_DIRECTORY instead, which systemd sets for a service (systemd.exec(5)). If
// [Emulated] is set, both directories are below it. Relative paths are ignored.
func UserDirs(lookup func(string) (string, bool)) Dirs {
	if path := lookupPath(lookup, Emulated); path != "" {
		return Dirs{State: filepath.Join(path, "state"), Cache: filepath.Join(path, "cache")}
	}
	dir := func(variable, service string, below ...string) string {
		path, home := lookupPath(lookup, variable), lookupPath(lookup, "HOME")
		if path == "" && home != "" {
			path = filepath.Join(append([]string{home}, below...)...)
		}
		if path != "" {
			path = filepath.Join(path, "tokenfetch")
		}
		text, _ := lookup(service)
		first, _, _ := strings.Cut(text, ":")
		if filepath.IsAbs(first) && !couldUse(path) {
			return filepath.Join(first, "tokenfetch")
		}
		return path
	}
	if runtime.GOOS == "windows" {
		local := lookupPath(lookup, "LocalAppData")
		if local == "" {
			return Dirs{}
		}
		local = filepath.Join(local, "tokenfetch")
		return Dirs{State: filepath.Join(local, "state"), Cache: filepath.Join(local, "cache")}
	}
	return Dirs{
		State: dir("XDG_STATE_HOME", "STATE_DIRECTORY", ".local", "state"),
		Cache: dir("XDG_CACHE_HOME", "CACHE_DIRECTORY", ".cache"),
	}
}

// lookupPath returns the absolute path in a variable, or "".
func lookupPath(lookup func(string) (string, bool), variable string) string {
	if path, _ := lookup(variable); filepath.IsAbs(path) {
		return path
	}
	return ""
}

// ErrUnusable is returned for a directory, file or key that is not used because it
// is damaged or others can access it. Errors that wrap it may be displayed.
var ErrUnusable = errors.New("a directory or file is not usable")

// digest returns the keyed hash of parts. Each part is prefixed with its length, so
// that different lists never have the same input.
func digest(key []byte, parts ...string) []byte {
	var input []byte
	for _, part := range parts {
		input = binary.BigEndian.AppendUint64(input, uint64(len(part)))
		input = append(input, part...)
	}
	h := hmac.New(sha256.New, key)
	h.Write(input)
	return h.Sum(nil)
}

// fileName returns a file name that discloses nothing about parts without the key.
func fileName(key []byte, parts ...string) string {
	return hex.EncodeToString(digest(key, parts...)[:16])
}
