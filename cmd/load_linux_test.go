package cmd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// mpayEndpoint starts an endpoint for the program as it is shipped and returns
// a function that prepares a run against it.
func mpayEndpoint(t *testing.T, a answer) (e *endpoint, command func(args ...string) *exec.Cmd) {
	t.Helper()
	e = &endpoint{log: io.Discard, answers: []answer{a}}
	check.OK(t, e.listen(0, 0, t.Cleanup))
	program, home := filepath.Join(builtProgram(t), "tokenfetch"), t.TempDir()
	return e, func(args ...string) *exec.Cmd {
		c := exec.Command(program, append([]string{"mpay", "--base-url", "http://" + e.address}, args...)...)
		c.Env = []string{"HOME=" + home, "TOKENFETCH_MPAY_USERNAME=ops", "TOKENFETCH_MPAY_PASSWORD=" + canaries["PASSWORD"]}
		return c
	}
}

// TestMemory lets a provider send as much as it can: the program never holds
// more than a part of it.
func TestMemory(t *testing.T) {
	const limit = 64 << 10 // KiB, as the system counts
	bomb, err := zipped(strings.Repeat(" ", 1<<20))
	check.OK(t, err)
	const head = "HTTP/1.1 200 OK\r\n"
	for _, test := range []struct {
		name   string
		answer answer
		exit   int
	}{
		{"many headers", raw(head + numbers(6000, "X-%d: 0123456789012345678901234567890123456789\r\n") + "\r\n{}"), 7},
		{"many informational replies", raw(strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 100000) + head + "\r\n{}"), 7},
		{"a header without end", forever(head+"X-A: ", strings.Repeat("a", 64<<10), 0), 7},
		{"a body without end", forever(head+"\r\n{", strings.Repeat(" ", 64<<10), 0), 7},
		{"many keys", reply(200, `{"status":1,"token":"x"`+numbers(70000, `,"k%d":1`)+"}"), 0},
		{"gzip bomb", reply(200, strings.Repeat(bomb, 100), "Content-Encoding:gzip"), 7},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, command := mpayEndpoint(t, test.answer)
			peak := 0
			for range 10 { // until it is seen before it has ended
				c := command()
				c.Stdout = io.Discard // a pipe: into the null device no token would be fetched
				check.OK(t, c.Start())
				peak = max(peak, watchMemory(c.Process.Pid))
				if _ = c.Wait(); c.ProcessState.ExitCode() != test.exit {
					t.Fatalf("ended with %v, want exit code %d", c.ProcessState, test.exit)
				}
				if peak > 0 {
					break
				}
			}
			if peak == 0 || peak > limit {
				t.Errorf("%d KiB of memory, limit %d", peak, limit)
			}
		})
	}
}

// watchMemory returns the most memory in KiB that a child was seen to hold,
// once it has ended. (What the system tells of an ended process counts the memory of this
// one, too.)
func watchMemory(pid int) (peak int) {
	for {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		_, rest, found := strings.Cut(string(status), "\nVmHWM:")
		if err != nil || !found {
			return peak
		}
		if n, err := strconv.Atoi(strings.Fields(rest)[0]); err == nil {
			peak = n
		}
		time.Sleep(time.Millisecond)
	}
}

// TestCrowd: many processes at once against a provider that is busy. Each sends
// what it may, and their further attempts do not coincide.
func TestCrowd(t *testing.T) {
	t.Parallel()
	const processes, attempts = 20, 3
	e, command := mpayEndpoint(t, reply(503, "", "Retry-After:0"))
	waiting := regexp.MustCompile(`the next in (\S+)`)
	var mu sync.Mutex
	var waits []time.Duration
	var all sync.WaitGroup
	for range processes {
		all.Go(func() {
			var stderr bytes.Buffer
			c := command("--retry", "2", "-v")
			c.Stdout, c.Stderr = io.Discard, &stderr
			err := c.Run()
			if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 5 {
				t.Errorf("ended with %v\n%s", err, stderr.String())
			}
			mu.Lock()
			defer mu.Unlock()
			for _, found := range waiting.FindAllStringSubmatch(stderr.String(), -1) {
				wait, err := time.ParseDuration(found[1])
				if err != nil {
					t.Error(err)
				}
				waits = append(waits, wait)
			}
		})
	}
	all.Wait()
	e.open.settle()
	e.mu.Lock()
	defer e.mu.Unlock()
	if want := processes * attempts; e.requests != want || e.connections != want {
		t.Errorf("%d requests on %d connections, want %d", e.requests, e.connections, want)
	}
	// The waits are anywhere from 0 to 200 ms: none of these parts is empty.
	parts := map[time.Duration]int{}
	for _, wait := range waits {
		parts[wait/(50*time.Millisecond)]++
	}
	if want := processes * (attempts - 1); len(waits) != want || len(parts) < 4 {
		t.Errorf("%d waits in the parts %v, want %d in 4", len(waits), parts, want)
	}
}
