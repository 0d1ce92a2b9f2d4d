package cmd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// builtProgram builds the program as it is shipped, once for all tests, and returns
// the path of a directory that holds nothing else.
func builtProgram(t *testing.T) string {
	t.Helper()
	dir, err := buildOnce()
	check.OK(t, err)
	return dir
}

var buildOnce = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "tokenfetch-test")
	if err != nil {
		return "", err
	}
	built.dir = dir
	build := exec.Command("go", "build", "-trimpath", "-tags=nethttpomithttp2", "-ldflags=-s -w", "-o", filepath.Join(dir, "tokenfetch"), "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	// Some tests run it as another user.
	return dir, os.Chmod(dir, 0o755)
})

// built is a test run that removes what buildOnce made.
var built builtRun

type builtRun struct {
	*testing.M
	dir string
}

// Run runs the tests.
func (b *builtRun) Run() int {
	defer func() {
		if b.dir != "" {
			_ = os.RemoveAll(b.dir)
		}
	}()
	return b.M.Run()
}
