package source

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// A way is what leads to a file: the directories and links from the root on.
type way struct {
	target string // the path without links, as far as they could be followed
	err    error  // fs.ErrNotExist where the file, or a directory above it, is missing

	// The first directory or link that belongs to somebody other than the user and
	// root, or that they could replace. why is empty if there is none.
	kind, weak, why string
}

// errDangling says that a link leads to nothing.
var errDangling = errors.New("it is a link that leads nowhere")

// maxLinks is how many links are followed from a path to its file.
const maxLinks = 40

// walk follows path to its file, and checks every directory and link on the way but
// not the file itself. If all of them are safe, nobody else can change where path
// leads afterwards. It stops at a descriptor that the caller handed over.
func walk(path string) (w way) {
	const separator = string(filepath.Separator)
	if !filepath.IsAbs(path) {
		dir, err := os.Getwd()
		if err != nil {
			return way{target: path, err: err}
		}
		path = dir + separator + path // to clean it is wrong where ".." stands behind a link
	}
	look := func(kind, path, why string) {
		if w.why == "" && why != "" {
			w.kind, w.weak, w.why = kind, path, why
		}
	}
	w.target = filepath.VolumeName(path) + separator
	rest := path[len(w.target)-1:]
	own := len(rest) // a name behind which less is left stands in path itself, not in a link
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

// cutName returns the first name of a path, and what is behind it.
func cutName(path string) (name, rest string) {
	path = strings.TrimLeft(filepath.ToSlash(path), "/")
	if i := strings.IndexByte(path, '/'); i >= 0 {
		return path[:i], path[i:]
	}
	return path, ""
}

// risk says why somebody other than the user and root could have changed the file
// at the end of the way, or put another in its place, and what to do about that;
// both are empty if nobody could. Paths are in it only if they may be shown.
func (w way) risk(info fs.FileInfo, shown bool) (why, advice string) {
	switch why = unsafe(info); {
	case why != "":
		return why, "make it yours alone: chmod 600 FILE (and chown it to you)"
	case w.err != nil:
		return "can be replaced, as far as is known: the directories above it cannot be checked", "name it by a path that can be read"
	case w.why == "":
		return "", ""
	}
	where := "a " + w.kind + " on the way to it"
	if shown {
		where = "the " + w.kind + " " + w.weak
	}
	advice = "make it yours alone: chmod go-w DIRECTORY (and chown it to you)"
	if w.kind == "link" {
		advice = "put a link of your own in its place"
	}
	return "can be replaced: " + where + " " + w.why, advice
}
