package cmd

import (
	"bytes"
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

	"github.com/tokenfetch/tokenfetch/testdata/check"
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
	check.OK(t, os.MkdirAll(config, 0o700))
	check.OK(t, os.WriteFile(filepath.Join(config, "profiles.toml"), []byte("[tokenfetch]\ncache_key = { env = \"SEAL\" }\n"), 0o600))
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
	check.OK(s.t, os.Truncate(s.journal, 0))
	return n
}

func (s *shared) count() int {
	s.t.Helper()
	data, err := os.ReadFile(s.journal)
	check.OK(s.t, err)
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
		check.OK(s.t, err)
	}
	return found
}

// A token is fetched once for all processes.
func TestManyShareOneFetch(t *testing.T) {
	t.Parallel()
	s := newShared(t, "--delay", "300ms")
	outcomes := s.parallel(100, "zeepay")
	token := s.wantToken(outcomes[0])
	for _, o := range outcomes {
		if s.wantToken(o) != token {
			t.Fatal("two tokens")
		}
	}
	s.wantRequests(1)

	// Parallel refreshes share one request.
	for _, o := range s.parallel(10, "zeepay", "--refresh") {
		if s.wantToken(o) == token {
			t.Error("--refresh gave the old token")
		}
	}
	if n := s.requests(); n < 1 || n > 3 {
		t.Errorf("10 refreshes made %d requests", n)
	}
}

// Many processes with a wrong password are one failed login.
func TestManyAreOneFailedLogin(t *testing.T) {
	t.Parallel()
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
}

// Many at once, each with another wrong password, stop short of the lock-out.
func TestManyWrongPasswordsAtOnce(t *testing.T) {
	t.Parallel()
	s := newShared(t, "--delay", "200ms")
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() { s.run(fmt.Sprintf("TOKENFETCH_ENKASH_PASSWORD=wrong-%d", i), "enkash", "--timeout", "20s") })
	}
	all.Wait()
	s.wantRequests(2)
}

// Proven credentials whose password was changed at the provider: 20 runs must
// not be 20 failed logins.
func TestPasswordChangedAtProvider(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
	s := newShared(t, "--delay", "2s")
	start := func(words ...string) *exec.Cmd {
		t.Helper()
		c := s.command(words...)
		check.OK(t, c.Start())
		time.Sleep(500 * time.Millisecond) // it has the lock and has sent, or waits for the lock
		return c
	}
	holder := start("zeepay")
	waiter := start("zeepay")
	check.OK(t, holder.Process.Kill())
	_ = holder.Wait()
	s.wantToken(s.finish(waiter))
	s.wantRequests(2)

	// Stopped, with credentials that have never worked: the others give up.
	holder = start("fincode")
	check.OK(t, holder.Process.Signal(syscall.SIGSTOP))
	if o := s.run("fincode", "--timeout", "600ms"); o.exit != 5 || !strings.Contains(o.stderr, "login_in_progress") {
		t.Errorf("%+v", o)
	}
	_ = holder.Process.Kill()
	_ = holder.Wait()
	s.wantRequests(1)

	// Stopped, with proven credentials: after a third of the time they send.
	holder = start("zeepay", "--refresh")
	check.OK(t, holder.Process.Signal(syscall.SIGSTOP))
	s.wantToken(s.run("zeepay", "--refresh", "--timeout", "4s"))
	_ = holder.Process.Kill()
	_ = holder.Wait()
	s.wantRequests(2)
}

// Wherever a run is killed, the next one gets its token with at most one more
// request, and what it kept is whole.
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	s := newShared(t)
	s.wantToken(s.run("zeepay"))
	for i := range 60 {
		c := s.command("zeepay", "--refresh")
		check.OK(t, c.Start())
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
	t.Parallel()
	s := newShared(t, "--delay", "2s")
	s.wantToken(s.run("zeepay"))
	s.requests()
	for path := range s.files() {
		if strings.HasSuffix(path, ".token") {
			writeFile(t, path, "damaged", 0o600)
		}
	}
	first := s.command("zeepay")
	check.OK(t, first.Start())
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
			check.OK(t, os.Remove(path))
		}
		check.OK(t, errors.Join(os.RemoveAll(filepath.Join(s.home, ".cache")), os.RemoveAll(filepath.Join(s.home, ".local"))))
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
		check.OK(t, os.Chmod(filepath.Dir(c.Path), 0o755))
		c.Dir = "/"
		c.Args = append([]string{setpriv, "--reuid=65534", "--regid=65534", "--clear-groups", c.Path}, c.Args[1:]...)
		c.Path = setpriv
		s.wantToken(s.finish(c))
	})
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
