// Package cache keeps what may outlive a run: sealed tokens, so that a token is
// fetched once for all processes that may share it, and what is known of
// credentials, so that a rejected password never locks an account. Trouble
// with either is never an error of a run, which goes on without: the errors of this
// package say why, those that wrap ErrUnusable in words that may be shown, others as
// the operating system gives them.
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

// Dirs are the directories that are used; an empty one is not there.
type Dirs struct {
	State string // what is known of credentials
	Cache string // sealed tokens
}

// Emulated is the variable that names a directory for state and cache in place of
// the user's. The emulator sets it for a command. XDG_CACHE_HOME would lead other
// programs there too, such as the Go command to an empty build cache.
const Emulated = "TOKENFETCH_EMULATOR_DIR"

// UserDirs returns the directories of the user: tokenfetch in $XDG_STATE_HOME
// or ~/.local/state and in $XDG_CACHE_HOME or ~/.cache, on Windows in
// %LocalAppData%. Where one of them cannot be used it is tokenfetch in the first
// path of $STATE_DIRECTORY or $CACHE_DIRECTORY, which systemd sets for a service
// (systemd.exec(5)). Both are below Emulated where that is set. Only absolute paths
// count.
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

// ErrUnusable is the reason why a directory, file or key is not used: it is not the
// user's alone, or damaged. What wraps it may be shown.
var ErrUnusable = errors.New("a directory or file is not usable")

// digest returns the keyed hash of parts, which cannot run into each other.
func digest(key []byte, parts ...string) []byte {
	h := hmac.New(sha256.New, key)
	for _, part := range parts {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		h.Write([]byte(part))
	}
	return h.Sum(nil)
}

// fileName is a name that reveals nothing of parts without the key.
func fileName(key []byte, parts ...string) string {
	return hex.EncodeToString(digest(key, parts...)[:16])
}
