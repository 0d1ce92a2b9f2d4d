//go:build unix

package profile_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

func saveWith(t *testing.T, text string, mode fs.FileMode) string {
	t.Helper()
	path := save(t, text)
	check.OK(t, os.Chmod(path, mode))
	return path
}

// profileOf loads [zeepay.default] of a file.
func profileOf(t *testing.T, path string, o profile.Options) (*profile.Profile, error) {
	t.Helper()
	f, err := profile.Load(t.Context(), path, o)
	if err != nil {
		return nil, err
	}
	return f.Profile("zeepay", "default", fields)
}

const (
	withSecret = "[zeepay.default]\npassword = \"" + canary + "\"\n"
	without    = "[zeepay.default]\nusername = \"u\"\nclient_id = 5\npassword = { env = \"P\" }\nclient_secret = { keychain = true }\n"
)

func TestModesThatAreFine(t *testing.T) {
	for text, modes := range map[string][]fs.FileMode{
		withSecret: {0o600, 0o400, 0o700},
		without:    {0o600, 0o400, 0o644, 0o640, 0o444, 0o755},
	} {
		for _, mode := range modes {
			if p, err := profileOf(t, saveWith(t, text, mode), profile.Options{}); err != nil || p == nil {
				t.Errorf("mode %04o: %v, %v", mode, p, err)
			}
		}
	}
}

// TestSecretThatOthersCanRead: a written-down secret in whichever profile.
func TestSecretThatOthersCanRead(t *testing.T) {
	for text, owner := range map[string]string{
		withSecret: "password of [zeepay.default]",
		"[zeepay.default]\nusername = \"u\"\n[zeepay.other]\nclient_secret = \"" + canary + "\"\n":  "client_secret of [zeepay.other]",
		"[zeepay.default]\nusername = \"u\"\n[mpay.x]\npassword = \"" + canary + "\"\n":             "password of [mpay.x]",
		"[zeepay.default]\npassword = { env = \"A\" }\n[zeepay.x]\npassword = \"" + canary + "\"\n": "password of [zeepay.x]",
	} {
		for _, mode := range []fs.FileMode{0o644, 0o640, 0o604, 0o444, 0o610, 0o601} {
			path := saveWith(t, text, mode)
			_, err := profileOf(t, path, profile.Options{})
			want := &failure.Error{
				Code:    failure.ProfilesPermissions,
				Message: fmt.Sprintf("the profiles file %s holds %s and can be read by others (mode %04o)", path, owner, mode),
				Hint:    "run: chmod 600 " + path,
			}
			if diff := cmp.Diff(want, check.Failure(t, err, canary)); diff != "" {
				t.Errorf("mode %04o (-want +got):\n%s", mode, diff)
			}
		}
	}
}

func TestFileThatOthersCanWrite(t *testing.T) {
	for _, mode := range []fs.FileMode{0o666, 0o620, 0o602, 0o660, 0o777} {
		path := saveWith(t, without, mode)
		_, err := profileOf(t, path, profile.Options{})
		rule := fmt.Sprintf("the profiles file %s can be written by others (mode %04o)", path, mode)
		if e := check.Failure(t, err, canary); e.Code != failure.ProfilesPermissions || e.Message != rule || !strings.Contains(e.Hint, "chmod 600") {
			t.Errorf("mode %04o: %+v", mode, e)
		}
		// In CI it is taken, and told.
		var notes []string
		trusting := profile.Options{Trusted: true, Note: func(note string) { notes = append(notes, note) }}
		if p, err := profileOf(t, path, trusting); err != nil || p == nil {
			t.Errorf("mode %04o, trusted: %v, %v", mode, p, err)
		}
		if diff := cmp.Diff([]string{rule + "; taken because this is CI"}, notes); diff != "" {
			t.Errorf("mode %04o, notes (-want +got):\n%s", mode, diff)
		}
		// But not with a written-down secret.
		_, err = profileOf(t, saveWith(t, withSecret, mode), trusting)
		if e := check.Failure(t, err, canary); e.Code != failure.ProfilesPermissions || !strings.Contains(e.Message, "holds password") {
			t.Errorf("mode %04o, trusted, with a secret: %+v", mode, e)
		}
	}
}

func TestOwner(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give a file away")
	}
	path := save(t, withSecret)
	if err := os.Chown(path, 12345, 12345); err != nil {
		t.Skip(err)
	}
	_, err := profileOf(t, path, profile.Options{})
	if e := check.Failure(t, err, canary); e.Code != failure.ProfilesPermissions || e.Message != "the profiles file "+path+" belongs to another user (uid 12345)" {
		t.Errorf("%+v", e)
	}
}

// TestLinkedFile: the owner and mode of the target are what counts.
func TestLinkedFile(t *testing.T) {
	for mode, fine := range map[fs.FileMode]bool{0o600: true, 0o644: false, 0o666: false} {
		target := saveWith(t, withSecret, mode)
		link := filepath.Join(t.TempDir(), "profiles.toml")
		check.OK(t, os.Symlink(target, link))
		directory := filepath.Join(t.TempDir(), "dir")
		check.OK(t, os.Symlink(filepath.Dir(target), directory))
		for _, path := range []string{link, filepath.Join(directory, "profiles.toml")} {
			p, err := profileOf(t, path, profile.Options{})
			if fine != (err == nil && p != nil) {
				t.Errorf("mode %04o: %v, %v", mode, p, err)
			}
			if !fine && check.Failure(t, err, canary).Code != failure.ProfilesPermissions {
				t.Errorf("mode %04o: %v", mode, err)
			}
		}
	}
}

// TestNoFile: what is not a file is refused without waiting for it.
func TestNoFile(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	check.OK(t, syscall.Mkfifo(fifo, 0o600))
	loop := filepath.Join(dir, "loop")
	check.OK(t, os.Symlink(loop, loop))
	huge := save(t, withSecret)
	check.OK(t, os.Truncate(huge, 1<<30))
	for path, want := range map[string]string{
		dir:         "cannot read the file PATH: not a regular file",
		fifo:        "cannot read the file PATH: not a regular file",
		"/dev/zero": "cannot read the file PATH: not a regular file",
		"/dev/null": "cannot read the file PATH: not a regular file",
		loop:        "cannot read the file PATH: its symbolic links form a loop",
		huge:        "the file PATH is too large: the limit is 1048576 bytes",
	} {
		start := time.Now()
		_, err := profile.Load(t.Context(), path, profile.Options{})
		e := check.Failure(t, err, canary)
		if want := strings.ReplaceAll(want, "PATH", path); e.Code != failure.ProfilesUnreadable || e.Message != want {
			t.Errorf("%s: %s %q, want profiles_unreadable %q", path, e.Code, e.Message, want)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("%s: it took %v", path, took)
		}
	}
	// The limit itself is fine.
	largest := save(t, withSecret+strings.Repeat("#", 1<<20-len(withSecret)))
	if p, err := profileOf(t, largest, profile.Options{}); err != nil || p == nil {
		t.Errorf("the largest file: %v, %v", p, err)
	}
	if _, err := profileOf(t, save(t, withSecret+strings.Repeat("#", 1<<20-len(withSecret)+1)), profile.Options{}); check.Failure(t, err, canary).Code != failure.ProfilesUnreadable {
		t.Errorf("one byte more: %v", err)
	}
}

// TestFileThatIsNotReadInTime: a time limit that is over says nothing about the
// file.
func TestFileThatIsNotReadInTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "profiles.toml")
	check.OK(t, os.WriteFile(path, nil, 0o600))
	ctx, cancel := context.WithTimeout(t.Context(), -time.Second)
	defer cancel()
	for range 100 { // the file may be read all the same
		_, err := profile.Load(ctx, path, profile.Options{})
		if e, ok := errors.AsType[*failure.Error](err); ok {
			if e.Code != failure.InputTimeout {
				t.Errorf("code %s, want %s", e.Code, failure.InputTimeout)
			}
			return
		}
	}
	t.Error("the file was always read")
}
