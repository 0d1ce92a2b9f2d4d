package cmd

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// TestWatchChildren shows that a leak into a child is seen.
func TestWatchChildren(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ours := filepath.Join(dir, "tokenfetch")
	sh, err := exec.LookPath("sh")
	check.OK(t, err)
	check.OK(t, os.Symlink(sh, ours))
	for script, want := range map[string]string{
		"sleep 0.3; true":                        "",
		"A=$PASSWORD sleep 0.3; true":            "PASSWORD in the variable A of a child: sleep 0.3 ",
		"sh -c 'sleep 0.3; true' $TOKEN; true":   `TOKEN in the arguments of a child, as "tK5gY0"`,
		"sh -c 'A=$TOKEN sleep 0.3; true'; true": "",
	} {
		c := exec.Command(ours, "-c", script)
		c.Env = []string{"PATH=" + os.Getenv("PATH"), "WORK=" + dir, "PASSWORD=" + canaries["PASSWORD"], "TOKEN=" + canaries["TOKEN"]}
		stop := watchChildren(dir)
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if got := stop(); got != want {
			t.Errorf("%s: %q, want %q", script, got, want)
		}
	}
}

// watchChildren looks every few milliseconds at the programs that a tokenfetch of
// the script in dir starts: no canary may stand in their arguments, nor in their
// environment but under the names that the script itself has given them. The
// function it returns ends the watch and tells what was found.
func watchChildren(dir string) (stop func() string) {
	ended := make(chan struct{})
	var found string
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			for _, pid := range childrenOf("self") {
				if leaked := leakBelow(pid, dir); leaked != "" {
					found = leaked
				}
			}
			select {
			case <-ended:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	return func() string {
		close(ended)
		watch.Wait()
		return found
	}
}

// leakBelow looks at everything below a process; what is below a tokenfetch must
// be clean.
func leakBelow(pid, dir string) string {
	name, _ := os.ReadFile("/proc/" + pid + "/comm")
	ours, _ := os.ReadFile("/proc/" + pid + "/cmdline")
	for _, child := range childrenOf(pid) {
		// Until it has started its program, a child is its parent's memory.
		arguments, _ := os.ReadFile("/proc/" + child + "/cmdline")
		if string(name) == "tokenfetch\n" && !bytes.Equal(arguments, ours) {
			leaked := leakIn(child, dir, arguments)
			// With exec it is the command's child by now.
			if still, _ := os.ReadFile("/proc/" + pid + "/cmdline"); leaked != "" && bytes.Equal(still, ours) {
				return leaked
			}
		}
		if leaked := leakBelow(child, dir); leaked != "" {
			return leaked
		}
	}
	return ""
}

// leakIn says where a canary stands in a process of the script, or "".
func leakIn(pid, dir string, arguments []byte) string {
	environ, err := os.ReadFile("/proc/" + pid + "/environ")
	if err != nil || !bytes.Contains(environ, []byte("WORK="+dir+"\x00")) {
		return ""
	}
	for name, canary := range canaries {
		if leaked := leak(string(arguments), canary); leaked != "" {
			return fmt.Sprintf("%s in the arguments of a child, as %q", name, leaked)
		}
		for entry := range strings.SplitSeq(string(environ), "\x00") {
			variable, value, _ := strings.Cut(entry, "=")
			if leak(value, canary) != "" && canaries[variable] == "" {
				return fmt.Sprintf("%s in the variable %s of a child: %s", name, variable, bytes.ReplaceAll(arguments, []byte{0}, []byte{' '}))
			}
		}
	}
	return ""
}

// childrenOf returns the process ids of the children of a process.
func childrenOf(pid string) []string {
	var all []string
	lists, _ := filepath.Glob("/proc/" + pid + "/task/*/children")
	for _, list := range lists {
		data, _ := os.ReadFile(list) // gone with its thread
		all = append(all, strings.Fields(string(data))...)
	}
	return all
}
