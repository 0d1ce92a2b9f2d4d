package cmd

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// TestSomethingElseInPlaceOfOurFiles puts directories, links and FIFOs in the
// place of the files in the cache and state directories: one request at most, no
// wait, and from then on everything is as before.
func TestSomethingElseInPlaceOfOurFiles(t *testing.T) {
	s := newShared(t)
	const wrong = "TOKENFETCH_FINCODE_PASSWORD=wrong"
	s.wantToken(s.run("zeepay"))
	s.run(wrong, "fincode")
	s.requests()
	for what, obstruct := range map[string]func(path string) error{
		"directories": func(path string) error { return os.MkdirAll(filepath.Join(path, "file"), 0o700) },
		"links":       func(path string) error { return os.Symlink("/nonexistent/file", path) },
		"FIFOs":       func(path string) error { return syscall.Mkfifo(path, 0o600) },
	} {
		for _, file := range []string{"*.token", "*.record", "*.lock", "key"} {
			name := what + " in place of " + file
			cached, _ := filepath.Glob(filepath.Join(s.home, ".cache", "tokenfetch", file))
			state, _ := filepath.Glob(filepath.Join(s.home, ".local", "state", "tokenfetch", file))
			for _, path := range append(cached, state...) {
				check.OK(t, os.RemoveAll(path))
				check.OK(t, obstruct(path))
			}
			if len(cached)+len(state) == 0 {
				t.Fatalf("there is no %s", file)
			}
			began := time.Now()
			for _, o := range s.parallel(10, "zeepay", "--timeout", "5s") {
				s.wantToken(o)
			}
			if n := s.requests(); n > 1 {
				t.Errorf("%s: %d requests", name, n)
			}
			for _, o := range s.parallel(10, wrong, "fincode", "--timeout", "5s") {
				if o.exit != 4 {
					t.Errorf("%s: %+v", name, o)
				}
			}
			if n := s.requests(); n > 1 {
				t.Errorf("%s: %d refusals", name, n)
			}
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("%s: took %v", name, took)
			}
			s.wantToken(s.run("zeepay"))
			s.run(wrong, "fincode")
			s.wantRequests(0)
		}
	}
}
