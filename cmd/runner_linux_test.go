package cmd

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// mpayReplies answers every request with a token, and counts the requests.
func mpayReplies(t *testing.T, token string) (environ []string, requests *atomic.Int32) {
	t.Helper()
	requests = new(atomic.Int32)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		fmt.Fprintf(w, `{"status":1,"token":%q}`, token)
	}))
	t.Cleanup(server.Close)
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "XDG_STATE_HOME=/dev/null",
		"TOKENFETCH_MPAY_USERNAME=ops", "TOKENFETCH_MPAY_PASSWORD=" + canaries["PASSWORD"], "TOKENFETCH_MPAY_BASE_URL=" + server.URL,
	}, requests
}

var runnerEntryPattern = regexp.MustCompile(`(?m)^([A-Z_]+)<<(end_[0-9a-f]{32})\n(.*)\n(end_[0-9a-f]{32})\n`)

// TestRunnerFileShared: entries of many processes stay whole.
func TestRunnerFileShared(t *testing.T) {
	t.Parallel()
	environ, _ := mpayReplies(t, strings.Repeat("tK5gY0dB7uWq", 300))
	path := filepath.Join(t.TempDir(), "file")
	writeFile(t, path, "A=b\n", 0o600)
	environ = append(environ, "GITHUB_ENV="+path)
	binary := filepath.Join(builtProgram(t), "tokenfetch")
	var all sync.WaitGroup
	const n = 12
	for i := range n {
		all.Go(func() {
			if _, stderr, err := execute(binary, environ, "mpay", "-o", "github-env", "--var", fmt.Sprintf("T%c", 'A'+i)); err != nil {
				t.Errorf("%v\n%s", err, stderr)
			}
		})
	}
	all.Wait()
	data, err := os.ReadFile(path)
	check.OK(t, err)
	rest, _ := strings.CutPrefix(string(data), "A=b\n")
	// Whoever sees another's entry half written begins on a new line; the runner
	// skips the empty one.
	rest = regexp.MustCompile(`(?m)^\n`).ReplaceAllString(rest, "")
	if entries := runnerEntryPattern.FindAllString(rest, -1); len(entries) != n || strings.Join(entries, "") != rest {
		t.Errorf("%d whole entries, want %d, and nothing else: %d of %d bytes", len(entries), n, len(strings.Join(entries, "")), len(rest))
	}
}
