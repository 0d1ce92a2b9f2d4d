package source

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
)

// way describes the directories and links from the root to a file.
type way struct {
	target string // the path with links resolved, as far as possible
	err    error  // fs.ErrNotExist if the file or a directory above it does not exist

	// The first directory or link that someone other than the user and root owns or
	// could replace. why is empty if there is none.
	kind, weak, why string
}

// errDangling is the error for a link to a missing file.
var errDangling = errors.New("it is a link that leads nowhere")

// maxLinks is the maximum number of links on the way to a file.
const maxLinks = 40

// walk follows path to its file. It checks every directory and link on the way, but
// not the file itself. If all of them are safe, nobody else can change later where
// path leads. It stops at a descriptor that the caller passed.
func walk(path string) (w way) {
	const separator = string(filepath.Separator)
	if !filepath.IsAbs(path) {
		dir, err := os.Getwd()
		if err != nil {
			return way{target: path, err: err}
		}
		path = dir + separator + path // not filepath.Join, because cleaning ".." after a link would be wrong
	}
	look := func(kind, path, why string) {
		if w.why == "" && why != "" {
			w.kind, w.weak, w.why = kind, path, why
		}
	}
	w.target = filepath.VolumeName(path) + separator
	rest := path[len(w.target)-1:]
	own := len(rest) // once rest is shorter than this, a name is part of path itself, not of a link
	if info, err := os.Lstat(w.target); err == nil {
		look("directory", w.target, unsafeDir(info))
	}
	for links := 0; ; {
		var name string
		if name, rest = cutName(rest); name == "" || inherited(filepath.Join(w.target, name, rest)) {
			return w
		}
		next := filepath.Join(w.target, name)
		info, err := os.Lstat(next)
		switch {
		case errors.Is(err, fs.ErrNotExist) && len(rest) >= own:
			err = errDangling
		case err == nil && info.Mode()&fs.ModeSymlink == 0:
			if w.target = next; info.IsDir() {
				look("directory", next, unsafeDir(info))
			}
			continue
		case err == nil:
			look("link", next, foreignLink(info))
			var to string
			if to, err = os.Readlink(next); err != nil {
				break
			}
			if links++; links > maxLinks {
				err = syscall.ELOOP
				break
			}
			own = min(own, len(rest))
			if filepath.IsAbs(to) {
				w.target = filepath.VolumeName(to) + separator
				to = to[len(w.target)-1:]
			}
			rest = to + separator + rest
			continue
		}
		w.target, w.err = filepath.Join(next, rest), err
		return w
	}
}

// cutName returns the first name of a path, and the rest.
func cutName(path string) (name, rest string) {
	path = strings.TrimLeft(filepath.ToSlash(path), "/")
	if i := strings.IndexByte(path, '/'); i >= 0 {
		return path[:i], path[i:]
	}
	return path, ""
}

// risk returns why someone other than the user and root could have changed or
// replaced the file at the end of the way, and what to do about it. Both are empty
// if nobody could. path and name are those of the file, see [ReadValue].
func (w way) risk(info fs.FileInfo, path, name string) (why, advice string) {
	switch why = unsafe(info); {
	case why != "":
		return why, mend(why, "600", ShellName(path, name))
	case w.err != nil:
		return "can be replaced, as far as is known: the directories above it cannot be checked", "name it by a path that can be read"
	case w.why == "":
		return "", ""
	}
	where, directory := "a "+w.kind+" on the way to it", "DIRECTORY"
	if name == called(path) {
		where, directory = "the "+w.kind+" "+w.weak, failure.ShellWord(w.weak)
	}
	advice = mend(w.why, "go-w", directory)
	if w.kind == "link" {
		advice = ownLink
	}
	return "can be replaced: " + where + " " + w.why, advice
}

// mend returns the hint for a file or directory of the wrong owner or mode.
func mend(why, mode, word string) string {
	if strings.HasPrefix(why, foreign) {
		return "make it yours: sudo chown \"$(id -u)\" " + word
	}
	return "run: chmod " + mode + " " + word
}

// ownLink is the hint for a link of another owner.
const ownLink = "put a link of your own in its place"

// foreign begins the reason for a file of another owner.
const foreign = "belongs to another user"

// ShellName returns how a command line names the file at path. If messages call it by
// another name than its path, see [ReadValue], that is its variable or a placeholder.
func ShellName(path, name string) string {
	variable, ok := strings.CutPrefix(name, FileOf)
	switch {
	case name == called(path):
		return failure.ShellWord(path)
	case ok && !strings.HasPrefix(variable, "-"):
		return `"$` + variable + `"`
	}
	return "FILE"
}
