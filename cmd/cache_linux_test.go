package cmd

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// shared is a machine with one user, the emulator as the provider, and the
// built program; its processes share a home directory. The emulator's journal
// is the witness.
type shared struct {
	t       *testing.T
	home    string
	journal string
	environ []string
}

func newShared(t *testing.T, emulatorArgs ...string) *shared {
	t.Helper()
	s := &shared{t: t, home: t.TempDir()}
	s.journal = filepath.Join(t.TempDir(), "journal")
	binary := filepath.Join(builtProgram(t), "tokenfetch")
	s.environ = []string{"HOME=" + s.home, "PATH=" + os.Getenv("PATH"), "SEAL=" + strings.Repeat("sealing key ", 4)}
	config := filepath.Join(s.home, ".config", "tokenfetch")
	if err := os.MkdirAll(config, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(config, "profiles.toml"), []byte("[tokenfetch]\ncache_key = { env = \"SEAL\" }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, variables := serveEmulatorWith(t, binary, s.environ, append([]string{"--journal", s.journal}, emulatorArgs...)...)
	s.environ = append(s.environ, variables...)
	return s
}

// command is a run of the program; words of the form NAME=VALUE in front of
// its arguments are added to its environment.
func (s *shared) command(words ...string) *exec.Cmd {
	environ := s.environ
	for len(words) > 0 && strings.Contains(words[0], "=") {
		environ = append(environ[:len(environ):len(environ)], words[0])
		words = words[1:]
	}
	c := exec.Command(filepath.Join(builtProgram(s.t), "tokenfetch"), words...)
	c.Env, c.Dir = environ, s.t.TempDir()
	c.Stdout, c.Stderr = new(bytes.Buffer), new(bytes.Buffer)
	return c
}

// outcome is how a run ended.
type outcome struct {
	stdout, stderr string
	exit           int
}

func (s *shared) run(words ...string) outcome {
	return s.finish(s.command(words...))
}

func (s *shared) finish(c *exec.Cmd) outcome {
	s.t.Helper()
	if c.Process == nil {
		if err := c.Start(); err != nil {
			s.t.Error(err)
			return outcome{}
		}
	}
	_ = c.Wait() // its exit code says the rest
	return outcome{fmt.Sprint(c.Stdout), fmt.Sprint(c.Stderr), c.ProcessState.ExitCode()}
}

// parallel runs the same command many times at once.
func (s *shared) parallel(n int, words ...string) []outcome {
	s.t.Helper()
	outcomes := make([]outcome, n)
	var all sync.WaitGroup
	for i := range outcomes {
		all.Go(func() { outcomes[i] = s.run(words...) })
	}
	all.Wait()
	return outcomes
}

// requests counts the requests that the provider has seen since the last call.
func (s *shared) requests() int {
	s.t.Helper()
	n := s.count()
	if err := os.Truncate(s.journal, 0); err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *shared) count() int {
	s.t.Helper()
	data, err := os.ReadFile(s.journal)
	if err != nil {
		s.t.Fatal(err)
	}
	return bytes.Count(data, []byte("\n"))
}

// wantRequests checks the number of requests since the last call. A request
// whose sender was killed is written down a little later.
func (s *shared) wantRequests(want int) {
	s.t.Helper()
	for range 300 {
		if s.count() >= want {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if got := s.requests(); got != want {
		s.t.Errorf("%d requests, want %d", got, want)
	}
}

func (s *shared) wantToken(o outcome) string {
	s.t.Helper()
	if o.exit != 0 || !strings.HasPrefix(o.stdout, "emulated-") || o.stderr != "" {
		s.t.Errorf("want a token and nothing else: %+v", o)
	}
	return o.stdout
}

// files returns what is below the cache and state directories.
func (s *shared) files() map[string][]byte {
	s.t.Helper()
	found := map[string][]byte{}
	for _, dir := range []string{".cache", ".local"} {
		err := filepath.WalkDir(filepath.Join(s.home, dir), func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) || err == nil && entry.IsDir() {
				return nil
			}
			data, err := os.ReadFile(path)
			found[path] = data
			return err
		})
		if err != nil {
			s.t.Fatal(err)
		}
	}
	return found
}

// A token is fetched once for all processes.
func TestManyShareOneFetch(t *testing.T) {
	s := newShared(t, "--delay", "300ms")
	outcomes := s.parallel(100, "zeepay")
	token := s.wantToken(outcomes[0])
	for _, o := range outcomes {
		if s.wantToken(o) != token {
			t.Fatal("two tokens")
		}
	}
	s.wantRequests(1)

	o := s.run("zeepay", "-o", "json")
	if !strings.Contains(o.stdout, `"cached":true`) || !strings.Contains(o.stdout, strings.TrimSpace(token)) {
		t.Errorf("not cached: %+v", o)
	}
	s.wantRequests(0)

	// Nothing can be read from what is kept.
	for path, data := range s.files() {
		for _, hidden := range []string{strings.TrimSpace(token), "demo-zeepay-client-secret", "demo-zeepay-password", "demo-zeepay-username", "demo-zeepay-client-id"} {
			text := path[len(s.home):] + string(data)
			if leak(text, hidden) != "" || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(hidden))) {
				t.Errorf("%s stands in %s", hidden, path)
			}
		}
	}

	// Parallel refreshes share one request; --no-cache neither reads nor writes.
	fresh := s.parallel(10, "zeepay", "--refresh")
	for _, o := range fresh {
		if got := s.wantToken(o); got == token {
			t.Error("--refresh gave the old token")
		}
	}
	if n := s.requests(); n < 1 || n > 3 {
		t.Errorf("10 refreshes made %d requests", n)
	}
	newest := s.wantToken(s.run("zeepay"))
	if s.wantToken(s.run("zeepay", "--no-cache")) == newest || s.wantToken(s.run("zeepay")) != newest {
		t.Error("--no-cache read or wrote")
	}
	s.wantRequests(1)

	if o := s.run("zeepay", "--min-ttl", "8783h"); o.exit != 7 || !strings.Contains(o.stderr, "short_lifetime") {
		t.Errorf("--min-ttl beyond the lifetime: %+v", o)
	}
	s.wantToken(s.run("zeepay", "--min-ttl", "8000h"))

	// In CI there is no cache unless the profile says so.
	s.requests()
	s.wantToken(s.run("CI=true", "zeepay"))
	s.wantRequests(1)
}

// Whatever changes, the other's token is never taken.
func TestCacheBelongsToItsCredentials(t *testing.T) {
	s := newShared(t)
	s.wantToken(s.run("zeepay"))
	s.requests()
	for _, change := range [][]string{
		{"TOKENFETCH_ZEEPAY_PASSWORD=other", "zeepay"},
		{"TOKENFETCH_ZEEPAY_USERNAME=other", "zeepay"},
		{"zeepay", "--client-id", "other"},
	} {
		if o := s.run(change...); o.exit != 4 || o.stdout != "" {
			t.Errorf("%v: %+v", change, o)
		}
	}
	s.wantRequests(3)
	if o := s.run("SEAL="+strings.Repeat("another key ", 4), "zeepay", "-o", "json"); !strings.Contains(o.stdout, `"cached":false`) {
		t.Errorf("another sealing key: %+v", o)
	}
}

// Another user, or another project with a key of its own on the same machine,
// shares nothing.
func TestNothingIsSharedWithOthers(t *testing.T) {
	s := newShared(t)
	mine := s.wantToken(s.run("zeepay"))
	for _, other := range [][]string{
		{"HOME=" + t.TempDir(), "TOKENFETCH_CONFIG=" + filepath.Join(s.home, ".config/tokenfetch/profiles.toml"), "zeepay"},
		{"SEAL=" + strings.Repeat("the other project ", 3), "zeepay"},
	} {
		if s.wantToken(s.run(other...)) == mine {
			t.Errorf("%v got the token", other[0])
		}
	}
	s.wantRequests(3)
	if s.wantToken(s.run("zeepay")) != mine {
		t.Error("the first one's own is gone")
	}
}

// Many processes with a wrong password are one failed login.
func TestManyAreOneFailedLogin(t *testing.T) {
	s := newShared(t, "--delay", "300ms", "--lock-after", "3")
	const wrong = "TOKENFETCH_ENKASH_PASSWORD=wrong"
	sent := 0
	for _, o := range s.parallel(50, wrong, "enkash") {
		switch {
		case o.exit != 4 || o.stdout != "":
			t.Fatalf("%+v", o)
		case !strings.Contains(o.stderr, "(held_back)"):
			sent++
			if !strings.Contains(o.stderr, "held back on this computer for 10 minutes, or until they change; EnKash locks the account after 3 refusals in a row (2 left") {
				t.Errorf("the refusal: %s", o.stderr)
			}
		case !strings.Contains(o.stderr, "--try-anyway"):
			t.Fatalf("%+v", o)
		}
	}
	if sent != 1 {
		t.Errorf("%d runs sent", sent)
	}
	s.wantRequests(1)
	s.wantToken(s.run("enkash")) // another password goes through at once

	// A hold is lifted by --try-anyway, for the runs before it only.
	o := s.run(wrong, "enkash", "--try-anyway", "--errors", "json")
	if o.exit != 4 || !strings.Contains(o.stderr, "for 1 hour, or until they change;") {
		t.Errorf("%+v", o)
	}
	s.wantRequests(2)
	if o := s.run("TOKENFETCH_ENKASH_PASSWORD=wrong2", "enkash"); o.exit != 4 || !strings.Contains(o.stderr, "(1 left") {
		t.Errorf("%+v", o)
	}
	if o := s.run("TOKENFETCH_ENKASH_PASSWORD=wrong3", "enkash", "--errors", "json"); o.exit != 4 || !strings.Contains(o.stderr, `"sent":"no","attempts":0`) {
		t.Errorf("one short of the lock-out: %+v", o)
	}
	s.wantRequests(1)
	s.wantToken(s.run("enkash")) // cached, under whatever hold
	s.wantRequests(0)
}

// Proven credentials whose password was changed at the provider: 20 runs must
// not be 20 failed logins.
func TestPasswordChangedAtProvider(t *testing.T) {
	s := newShared(t)
	s.wantToken(s.run("enkash", "--no-cache"))
	refusing := newShared(t, "--fault", "refused", "--delay", "100ms")
	refusing.home = s.home
	for i, entry := range refusing.environ {
		if strings.HasPrefix(entry, "HOME=") {
			refusing.environ[i] = "HOME=" + s.home
		}
	}
	for _, o := range refusing.parallel(20, "enkash", "--no-cache") {
		if o.exit != 4 {
			t.Errorf("%+v", o)
		}
	}
	if n := refusing.requests(); n > 2 {
		t.Errorf("%d failed logins", n)
	}
}

// Single-use tokens are never kept, and proven credentials do not queue for
// them.
func TestSingleUseDoesNotQueue(t *testing.T) {
	s := newShared(t, "--delay", "500ms")
	s.wantToken(s.run("mpay"))
	s.requests()
	began := time.Now()
	tokens := map[string]bool{}
	for _, o := range s.parallel(20, "mpay") {
		tokens[s.wantToken(o)] = true
	}
	// One after the other it would be 10 seconds.
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	if len(tokens) != 20 {
		t.Errorf("%d different tokens", len(tokens))
	}
	s.wantRequests(20)
	if _, err := os.Stat(filepath.Join(s.home, ".cache")); err == nil {
		t.Error("there is a cache directory")
	}
}

// The lock's holder dies, or stops.
func TestLockHolderInTrouble(t *testing.T) {
	s := newShared(t, "--delay", "2s")
	start := func(words ...string) *exec.Cmd {
		t.Helper()
		c := s.command(words...)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(500 * time.Millisecond) // it has the lock and has sent, or waits for the lock
		return c
	}
	holder := start("zeepay")
	waiter := start("zeepay")
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = holder.Wait()
	s.wantToken(s.finish(waiter))
	s.wantRequests(2)

	// Stopped, with credentials that have never worked: the others give up.
	holder = start("fincode")
	if err := holder.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if o := s.run("fincode", "--timeout", "600ms"); o.exit != 5 || !strings.Contains(o.stderr, "login_in_progress") {
		t.Errorf("%+v", o)
	}
	_ = holder.Process.Kill()
	_ = holder.Wait()
	s.wantRequests(1)

	// Stopped, with proven credentials: after a third of the time they send.
	holder = start("zeepay", "--refresh")
	if err := holder.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	s.wantToken(s.run("zeepay", "--refresh", "--timeout", "4s"))
	_ = holder.Process.Kill()
	_ = holder.Wait()
	s.wantRequests(2)
}

// Wherever a run is killed, the next one gets its token with at most one more
// request, and what it kept is whole.
func TestKilledAnywhere(t *testing.T) {
	s := newShared(t)
	s.wantToken(s.run("zeepay"))
	for i := range 60 {
		c := s.command("zeepay", "--refresh")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(i) * 200 * time.Microsecond)
		_ = c.Process.Kill()
		_ = c.Wait()
		s.requests()
		began := time.Now()
		s.wantToken(s.run("zeepay"))
		if took := time.Since(began); took > 3*time.Second {
			t.Fatalf("killed after %d steps, the next run took %v", i, took)
		}
		if n := s.requests(); n > 1 {
			t.Fatalf("killed after %d steps, the next run sent %d requests", i, n)
		}
	}
	if o := s.run("cache", "clear"); o.exit != 0 {
		t.Fatalf("%+v", o)
	}
	for path := range s.files() {
		if strings.Contains(path, ".token") || strings.HasSuffix(path, ".new") {
			t.Errorf("left behind: %s", path)
		}
	}
}

// A run that waits for another looks again and again, but tells once.
func TestUnusableTokenIsToldOnce(t *testing.T) {
	s := newShared(t, "--delay", "2s")
	s.wantToken(s.run("zeepay"))
	s.requests()
	for path := range s.files() {
		if strings.HasSuffix(path, ".token") {
			writeFile(t, path, "damaged", 0o600)
		}
	}
	first := s.command("zeepay")
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond) // it has the lock
	second := s.run("zeepay", "-v")
	if n := strings.Count(second.stderr, "the cached token is not used"); n != 1 || second.exit != 0 {
		t.Errorf("told %d times: %+v", n, second)
	}
	s.wantToken(s.finish(first))
	s.wantRequests(1)
}

// Trouble with the files costs a request at most.
func TestCacheTrouble(t *testing.T) {
	s := newShared(t)
	for _, mask := range []string{"000", "022", "077", "777"} {
		for path := range s.files() {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(os.RemoveAll(filepath.Join(s.home, ".cache")), os.RemoveAll(filepath.Join(s.home, ".local"))); err != nil {
			t.Fatal(err)
		}
		c := s.command("zeepay")
		c.Args = append([]string{"sh", "-c", "umask " + mask + `; exec "$@"`, "sh"}, append([]string{c.Path}, c.Args[1:]...)...)
		c.Path = "/bin/sh"
		s.wantToken(s.finish(c))
		found := 0
		for path := range s.files() {
			info, err := os.Stat(path)
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("umask %s: %s has mode %v, %v", mask, path, info.Mode(), err)
			}
			if info, err = os.Stat(filepath.Dir(path)); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("umask %s: the directory of %s has mode %v, %v", mask, path, info.Mode(), err)
			}
			found++
		}
		if found < 3 {
			t.Errorf("umask %s: %d files", mask, found)
		}
	}

	t.Run("full disk", func(t *testing.T) {
		s := newShared(t)
		c := s.command("zeepay")
		c.Args = append([]string{"sh", "-c", `ulimit -f 0; exec "$@"`, "sh"}, append([]string{c.Path}, c.Args[1:]...)...)
		c.Path = "/bin/sh"
		s.wantToken(s.finish(c))
		for path, data := range s.files() {
			if len(data) > 0 || strings.Contains(path, ".tmp") || strings.Contains(path, ".token") {
				t.Errorf("left behind: %s", path)
			}
		}
		s.wantToken(s.run("zeepay")) // healed
		s.wantToken(s.run("zeepay"))
		s.wantRequests(2)
	})

	for _, home := range []string{"", "relative", "/nonexistent/home", "/dev/null"} {
		c := s.command("HOME="+home, "TOKENFETCH_ZEEPAY_USERNAME=demo-zeepay-username", "zeepay")
		s.wantToken(s.finish(c))
		if left, err := filepath.Glob(filepath.Join(c.Dir, "*")); err != nil || len(left) > 0 {
			t.Errorf("HOME=%q: left in the working directory: %v %v", home, left, err)
		}
	}

	t.Run("read-only home", func(t *testing.T) {
		setpriv, err := exec.LookPath("setpriv")
		if err != nil || os.Getuid() != 0 {
			t.Skip("needs root and setpriv")
		}
		home := t.TempDir()
		for dir := home; dir != "/"; dir = filepath.Dir(dir) {
			if err := os.Chmod(dir, 0o755); err != nil || dir == os.TempDir() {
				break
			}
		}
		c := s.command("HOME="+home, "zeepay")
		if err := os.Chmod(filepath.Dir(c.Path), 0o755); err != nil {
			t.Fatal(err)
		}
		c.Dir = "/"
		c.Args = append([]string{setpriv, "--reuid=65534", "--regid=65534", "--clear-groups", c.Path}, c.Args[1:]...)
		c.Path = setpriv
		s.wantToken(s.finish(c))
	})
}

func TestCacheClear(t *testing.T) {
	s := newShared(t)
	tokens := func() (n int) {
		for path := range s.files() {
			if strings.HasSuffix(path, ".token") {
				n++
			}
		}
		return n
	}
	s.wantToken(s.run("zeepay"))
	s.wantToken(s.run("fincode"))
	s.run("TOKENFETCH_FINCODE_PASSWORD=wrong", "fincode")
	if o := s.run("cache", "clear", "zeepay"); o.exit != 0 || o.stdout+o.stderr != "" || tokens() != 1 {
		t.Errorf("%+v, %d tokens left", o, tokens())
	}
	if o := s.run("cache", "clear"); o.exit != 0 || tokens() != 0 {
		t.Errorf("%+v, %d tokens left", o, tokens())
	}
	if o := s.run("TOKENFETCH_FINCODE_PASSWORD=wrong", "fincode"); !strings.Contains(o.stderr, "held_back") {
		t.Errorf("the hold is gone: %+v", o)
	}
	if o := s.run("cache", "clear", "fincode", "--holds"); o.exit != 0 {
		t.Errorf("%+v", o)
	}
	if o := s.run("TOKENFETCH_FINCODE_PASSWORD=wrong", "fincode"); !strings.Contains(o.stderr, "provider_refused") {
		t.Errorf("still held: %+v", o)
	}
	for _, words := range [][]string{{"cache"}, {"cache", "clear", "nonsense"}, {"cache", "clear", "zeepay/UPPER"}} {
		if o := s.run(words...); o.exit != 2 || o.stdout != "" {
			t.Errorf("%v: %+v", words, o)
		}
	}
}

// TestEmulatorStartedAgain: an emulator that is started at the address of an earlier
// one is a new provider, whatever that one refused.
func TestEmulatorStartedAgain(t *testing.T) {
	t.Parallel()
	s := newShared(t)
	s.environ = slices.DeleteFunc(s.environ, func(entry string) bool { return strings.HasPrefix(entry, "TOKENFETCH_") })
	binary := filepath.Join(builtProgram(t), "tokenfetch")
	address, variables, end := startEmulator(t, binary, s.environ, "127.0.0.1:0", "--fault", "refused")
	for _, name := range []string{"zeepay", "enkash"} {
		for range 2 {
			if o := s.run(append(slices.Clone(variables), name, "--try-anyway")...); o.exit != 4 {
				t.Errorf("%s: %+v", name, o)
			}
		}
		if o := s.run(append(slices.Clone(variables), name)...); !strings.Contains(o.stderr, "held_back") {
			t.Errorf("%s is not held back: %+v", name, o)
		}
	}
	end()
	_, variables, end = startEmulator(t, binary, s.environ, address)
	defer end()
	for _, name := range []string{"zeepay", "enkash"} {
		s.wantToken(s.run(append(slices.Clone(variables), name)...))
	}
}
