package cmd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// builtProgram builds the program as it is shipped, once for all tests, and returns
// the path of a directory that holds nothing else.
func builtProgram(t *testing.T) string {
	t.Helper()
	dir, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
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

// ended is a run of the built program that has come to its end.
type ended struct {
	exit           int
	stdout, stderr string
}

// runBuilt runs the built program with nothing but the variables. What holds for
// every run is checked; the token may be on standard output if the run works.
func runBuilt(t *testing.T, environ []string, args ...string) ended {
	t.Helper()
	c := exec.CommandContext(t.Context(), filepath.Join(builtProgram(t), "tokenfetch"), args...)
	c.Env = environ
	return runCommand(t, c)
}

// runCommand is runBuilt for a command that is already made.
func runCommand(t *testing.T, c *exec.Cmd) ended {
	t.Helper()
	var stdout, stderr strings.Builder
	if c.Stdout == nil {
		c.Stdout = &stdout
	}
	c.Stderr = &stderr
	if err := c.Run(); err != nil && c.ProcessState == nil {
		t.Fatal(err)
	}
	r := ended{c.ProcessState.ExitCode(), stdout.String(), stderr.String()}
	if fault := badStreams(r.stdout, r.stderr, r.exit == 0); fault != "" {
		t.Error(fault)
	}
	return r
}
