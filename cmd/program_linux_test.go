package cmd

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

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
