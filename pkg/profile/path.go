package profile

import (
	"path/filepath"
	"runtime"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
)

// Path returns the path of the profiles file. That is $TOKENFETCH_CONFIG if set, and
// otherwise profiles.toml in the directory tokenfetch in $XDG_CONFIG_HOME or
// ~/.config (on Windows in %AppData%). It returns "" if there is no home directory.
// It ignores a relative XDG_CONFIG_HOME, as the specification of that variable
// requires.
func Path(lookup func(string) (string, bool)) (string, error) {
	const name = "TOKENFETCH_CONFIG"
	if path, ok := lookup(name); ok {
		if path == "" {
			return "", failure.New(failure.VariableEmpty, "%s is set but empty", name).
				WithHint("unset it, or let it name a profiles file")
		}
		return path, nil
	}
	if runtime.GOOS == "windows" {
		if dir, _ := lookup("AppData"); filepath.IsAbs(dir) {
			return filepath.Join(dir, "tokenfetch", "profiles.toml"), nil
		}
		return "", nil
	}
	dir, _ := lookup("XDG_CONFIG_HOME")
	if !filepath.IsAbs(dir) {
		home := Home(lookup)
		if home == "" {
			return "", nil
		}
		dir = filepath.Join(home, ".config")
	}
	return filepath.Join(dir, "tokenfetch", "profiles.toml"), nil
}

// Home returns the user's home directory, or "" if none is usable.
func Home(lookup func(string) (string, bool)) string {
	name := "HOME"
	if runtime.GOOS == "windows" {
		name = "USERPROFILE"
	}
	if home, _ := lookup(name); filepath.IsAbs(home) {
		return home
	}
	return ""
}
