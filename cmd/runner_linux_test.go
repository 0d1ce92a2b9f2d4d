package cmd

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// runOf is a run of the built program that is still to be started.
func runOf(t *testing.T, environ []string, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.Command(filepath.Join(builtProgram(t), "tokenfetch"), args...)
	c.Env = environ
	return c
}

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

// TestMaskInTheLog: where a runner was found it is told, once and before the
// token comes, to hide it; elsewhere nothing is said.
func TestMaskInTheLog(t *testing.T) {
	t.Parallel()
	const token = "aB3%d:]x9;=="
	environ, _ := mpayReplies(t, token)
	binary := filepath.Join(builtProgram(t), "tokenfetch")
	const github, azure = "::add-mask::aB3%25d:]x9;==\n", "##vso[task.setsecret]aB3%AZP25d:]x9;==\n"
	for _, test := range []struct {
		runner string
		args   []string
		stdout string
		stderr string
	}{
		{"GITHUB_ACTIONS=true", []string{"mpay", "--mask"}, token + "\n", github},
		{"GITHUB_ACTIONS=true", []string{"mpay"}, token + "\n", ""},
		{"GITHUB_ACTIONS=false", []string{"mpay", "--mask"}, token + "\n", ""},
		{"TF_BUILD=True", []string{"mpay", "--mask", "-o", "export"}, "export MPAY_ACCESS_TOKEN='" + token + "'\n", azure},
		{"GITLAB_CI=true", []string{"mpay", "--mask"}, token + "\n", ""},
		{"A=b", []string{"mpay", "--mask"}, token + "\n", ""},
		{"GITHUB_ACTIONS=true", []string{"exec", "mpay", "A=mpay", "--mask", "--", "sh", "-c", "echo ran"}, "ran\n", github + github},
		{"TF_BUILD=True", []string{"exec", "mpay", "--mask", "--", "sh", "-c", "echo ran"}, "ran\n", azure},
		{"GITHUB_ACTIONS=true", []string{"exec", "mpay", "--", "sh", "-c", "echo ran"}, "ran\n", ""},
	} {
		stdout, stderr, err := execute(binary, append([]string{test.runner}, environ...), test.args...)
		if err != nil || stdout != test.stdout || stderr != test.stderr {
			t.Errorf("%s %q: %v\n%q, want %q\n%q, want %q", test.runner, test.args, err, stdout, test.stdout, stderr, test.stderr)
		}
	}
}

// TestMaskUnheard: where nobody reads the command to hide the token, the token is
// not fetched.
func TestMaskUnheard(t *testing.T) {
	t.Parallel()
	environ, requests := mpayReplies(t, canaries["TOKEN"])
	path := filepath.Join(t.TempDir(), "env")
	writeFile(t, path, "", 0o600)
	environ = append(environ, "GITHUB_ACTIONS=true", "GITHUB_ENV="+path)
	for _, test := range []struct {
		exit int
		args []string
	}{
		{8, []string{"mpay", "--mask"}},
		{8, []string{"mpay", "-o", "github-env"}},
		{125, []string{"exec", "mpay", "--mask", "--", "echo", "ran"}},
	} {
		for _, away := range []string{"2>/dev/null", "2>&-"} {
			c := runOf(t, environ, test.args...)
			c.Args = append([]string{"sh", "-c", `exec "$@" ` + away, "sh", c.Path}, test.args...)
			c.Path = "/bin/sh"
			if r := runCommand(t, c); r.exit != test.exit || r.stdout != "" || requests.Load() != 0 {
				t.Errorf("%q %s: exit code %d, %d requests, standard output %q", test.args, away, r.exit, requests.Load(), r.stdout)
			}
		}
	}
	if r := runBuilt(t, environ, "mpay", "--mask", "--dry-run"); r.exit != 0 {
		t.Errorf("--dry-run: exit code %d\n%s", r.exit, r.stderr)
	}
}

// TestNothingToMask: hiding a short token or a word would hide the log.
func TestNothingToMask(t *testing.T) {
	t.Parallel()
	for _, token := range []string{"a1b2c3d", "production", "x"} {
		environ, requests := mpayReplies(t, token)
		environ = append(environ, "GITHUB_ACTIONS=true", "GITHUB_ENV="+filepath.Join(t.TempDir(), "env"))
		writeFile(t, environ[len(environ)-1][len("GITHUB_ENV="):], "", 0o600)
		for _, test := range []struct {
			args []string
			exit int
		}{
			{[]string{"mpay", "--mask"}, 8},
			{[]string{"mpay", "-o", "github-env"}, 8},
			{[]string{"exec", "mpay", "--mask", "--", "echo", "ran"}, 125},
		} {
			requests.Store(0)
			r := runBuilt(t, environ, test.args...)
			if r.exit != test.exit || r.stdout != "" || !strings.Contains(r.stderr, "too short to mask") || strings.Contains(r.stderr, "::") || requests.Load() != 1 {
				t.Errorf("%q: exit code %d, %d requests\n%s%s", test.args, r.exit, requests.Load(), r.stdout, r.stderr)
			}
		}
		if data, err := os.ReadFile(environ[len(environ)-1][len("GITHUB_ENV="):]); err != nil || len(data) > 0 {
			t.Errorf("the runner's file holds %q, %v", data, err)
		}
	}
}

var runnerEntryPattern = regexp.MustCompile(`(?m)^([A-Z_]+)<<(end_[0-9a-f]{32})\n(.*)\n(end_[0-9a-f]{32})\n`)

// TestRunnerFile: the token goes into the file, behind what is there.
func TestRunnerFile(t *testing.T) {
	t.Parallel()
	environ, _ := mpayReplies(t, "tK5gY0dB7uWq")
	binary := filepath.Join(builtProgram(t), "tokenfetch")
	for format, variable := range map[string]string{"github-env": "GITHUB_ENV", "github-output": "GITHUB_OUTPUT"} {
		for before, between := range map[string]string{"": "", "A=b\n": "", "A=b": "\n"} {
			path := filepath.Join(t.TempDir(), "file")
			writeFile(t, path, before, 0o644)
			stdout, stderr, err := execute(binary, append([]string{variable + "=" + path}, environ...), "mpay", "-o", format, "--var", "PAY_TOKEN")
			if err != nil || stdout != "" || stderr != "::add-mask::tK5gY0dB7uWq\n" {
				t.Fatalf("%s: %v\n%q\n%q", format, err, stdout, stderr)
			}
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			entry, found := strings.CutPrefix(string(data), before+between)
			m := runnerEntryPattern.FindStringSubmatch(entry)
			if !found || m == nil || m[0] != entry || m[1] != "PAY_TOKEN" || m[2] != m[4] || m[3] != "tK5gY0dB7uWq" {
				t.Errorf("%s: the file holds %q", format, data)
			}
		}
	}
}

// TestRunnerFileInvalid: what is wrong with the file is found before the token
// is fetched, and the token is not printed instead.
func TestRunnerFileInvalid(t *testing.T) {
	t.Parallel()
	dir := nobodysDir(t)
	environ, requests := mpayReplies(t, canaries["TOKEN"])
	target := filepath.Join(dir, "target")
	writeFile(t, target, "", 0o666)
	link, readOnly := filepath.Join(dir, "link"), filepath.Join(dir, "read-only")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	writeFile(t, readOnly, "", 0o444)
	for entry, reason := range map[string]string{
		"A=b":                               "GITHUB_ENV is not set",
		"GITHUB_ENV=":                       "GITHUB_ENV is empty",
		"GITHUB_ENV=" + dir:                 "does not name a regular file",
		"GITHUB_ENV=" + link:                "does not name a regular file",
		"GITHUB_ENV=/dev/null":              "does not name a regular file",
		"GITHUB_ENV=" + dir + "/none":       "names a file that does not exist",
		"GITHUB_ENV=" + target + "/none":    "names a file that cannot be reached",
		"GITHUB_ENV=" + readOnly:            "names a file that cannot be written",
		"GITHUB_ENV=\x1b[2J::add-mask::abc": "names a file that does not exist",
	} {
		c := runOf(t, append([]string{entry}, environ...), "mpay", "-o", "github-env")
		asNobody(c)
		r := runCommand(t, c)
		if r.exit != 3 || r.stdout != "" || !strings.HasPrefix(r.stderr, "tokenfetch: error: GITHUB_ENV ") ||
			!strings.Contains(r.stderr, reason+" (runner_file_invalid)\ntokenfetch: hint: ") || requests.Load() != 0 {
			t.Errorf("%q: exit code %d, %d requests\n%s%s", entry, r.exit, requests.Load(), r.stdout, r.stderr)
		}
	}
	if data, err := os.ReadFile(target); err != nil || len(data) > 0 {
		t.Errorf("behind the link: %q, %v", data, err)
	}
}

// TestRunnerVariable: names that would change how the job runs.
func TestRunnerVariable(t *testing.T) {
	t.Parallel()
	environ, requests := mpayReplies(t, canaries["TOKEN"])
	path := filepath.Join(t.TempDir(), "file")
	writeFile(t, path, "", 0o600)
	for _, name := range []string{"NODE_OPTIONS", "PATH", "LD_PRELOAD", "BASH_ENV", "GITHUB_TOKEN", "RUNNER_TEMP", "node_options", "A-B", "A=B", "1A", "A\nB"} {
		r := runBuilt(t, append([]string{"GITHUB_ENV=" + path}, environ...), "mpay", "-o", "github-env", "--var", name)
		if r.exit != 2 || !strings.Contains(r.stderr, "the name given to --var must ") || requests.Load() != 0 {
			t.Errorf("%q: exit code %d, %d requests\n%s", name, r.exit, requests.Load(), r.stderr)
		}
	}
}

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
	if err != nil {
		t.Fatal(err)
	}
	rest, _ := strings.CutPrefix(string(data), "A=b\n")
	// Whoever sees another's entry half written begins on a new line; the runner
	// skips the empty one.
	rest = regexp.MustCompile(`(?m)^\n`).ReplaceAllString(rest, "")
	if entries := runnerEntryPattern.FindAllString(rest, -1); len(entries) != n || strings.Join(entries, "") != rest {
		t.Errorf("%d whole entries, want %d, and nothing else: %d of %d bytes", len(entries), n, len(strings.Join(entries, "")), len(rest))
	}
}

// TestRunnerFileFull: an entry that does not fit leaves the file as it was.
func TestRunnerFileFull(t *testing.T) {
	t.Parallel()
	environ, _ := mpayReplies(t, canaries["TOKEN"])
	path := filepath.Join(t.TempDir(), "file")
	before := strings.Repeat("A=b\n", 125) // 500 of the 512 bytes that are allowed
	writeFile(t, path, before, 0o600)
	c := runOf(t, append([]string{"GITHUB_ENV=" + path}, environ...), "mpay", "-o", "github-env")
	c.Args = append([]string{"sh", "-c", `ulimit -f 1 || exit 9; trap '' XFSZ; exec "$@"`, "sh", c.Path}, c.Args[1:]...)
	c.Path = "/bin/sh"
	stdout, stderr := new(strings.Builder), new(strings.Builder)
	c.Stdout, c.Stderr = stdout, stderr
	_ = c.Run()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if c.ProcessState.ExitCode() != 8 || stdout.Len() > 0 || !strings.Contains(stderr.String(), "(output_failed)") || string(data) != before {
		t.Errorf("ended with %v, and the file has %d bytes\n%s", c.ProcessState, len(data), stderr)
	}
}
