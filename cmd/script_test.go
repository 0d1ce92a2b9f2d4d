package cmd

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tokenfetch/tokenfetch/pkg/secret"
)

// The scripts run the program as a process of its own, with a keychain that is
// a directory of the script. Everything else is real.
func TestMain(m *testing.M) {
	// Most of the tests wait, for processes of their own and for limits to pass.
	if err := flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))); err != nil {
		panic(err)
	}
	built.M = m
	testscript.Main(&built, map[string]func(){
		"tokenfetch": func() {
			harden()
			os.Exit(Run(Env{
				Args:     os.Args[1:],
				Stdin:    os.Stdin,
				Stdout:   os.Stdout,
				Stderr:   os.Stderr,
				Environ:  os.Environ(),
				Keychain: fakeKeychain(os.Getenv),
				Terminal: fakeTerminal(os.Getenv),
				Version:  "test",
				Start:    time.Now(),
			}))
		},
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "../testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       *update,
		Setup:               setUpScript,
		Condition: func(name string) (bool, error) {
			if name != "root" {
				return false, fmt.Errorf("unknown condition %q", name)
			}
			return os.Getuid() == 0, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exitcode":    exitcode,
			"fetches":     fetches,
			"fails":       fails,
			"endpoint":    startEndpoint,
			"requests":    countRequests,
			"certificate": issueCertificate,
			"proxy":       startProxy,
			"proxied":     countProxied,
			"issuer":      startIssuer,
			"keychain":    storeItem,
			"items":       listItems,
			"profiles":    writeProfiles,
			"socket":      makeSocket,
		},
	})
}

// canaries are secrets that are easy to recognise, under the names by which
// scripts use them. None may come out anywhere but where a script says.
var canaries = map[string]string{
	"PASSWORD":      "pW7xQ2zL9kVb3",
	"CLIENT_SECRET": "sC4tR8nM1jHf6",
	"TOKEN":         "tK5gY0dB7uWq2",
	"REFRESH":       "rF3eP6aZ9vXo1",
}

func setUpScript(env *testscript.Env) error {
	home := filepath.Join(env.WorkDir, "home")
	if err := os.MkdirAll(home, 0o700); err != nil {
		return err
	}
	env.Setenv("HOME", home)
	// Each run of a script stands for itself: nothing is remembered of refusals,
	// unless the script has a state directory.
	env.Setenv("XDG_STATE_HOME", "/dev/null")
	env.Setenv("PROFILES", filepath.Join(home, ".config", "tokenfetch", "profiles.toml"))
	// The race detector lets a program sleep for a second when it ends.
	env.Setenv("GORACE", "atexit_sleep_ms=0")
	env.Setenv("TEST_KEYCHAIN", filepath.Join(env.WorkDir, "keychain"))
	for name, value := range canaries {
		env.Setenv(name, value)
	}
	// Whatever the umask is, nobody else may write to the files of a script, and
	// profiles are for their owner alone.
	return filepath.WalkDir(env.WorkDir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch {
		case entry.IsDir():
			return os.Chmod(path, 0o700)
		case strings.HasSuffix(path, ".toml"):
			return os.Chmod(path, 0o600)
		}
		return os.Chmod(path, 0o644)
	})
}

// exitcode [-token] [-writes] N COMMAND... runs COMMAND and checks what holds for
// every run: its exit code, that no canary comes out, on a stream or in a file
// (with -token, the token on standard output is expected), that standard error is
// a few lines of printable ASCII, that a JSON error tells the same code, that no
// canary reaches a child's arguments or environment, that no file appears or vanishes (with -writes, they may, and places for secrets may
// hold some), that no process stays, and that it ends in time. What it prints stands
// in the files printed and said, see steady.
func exitcode(ts *testscript.TestScript, neg bool, args []string) {
	options, args := cutOptions(args)
	token, writes := slices.Contains(options, "-token"), slices.Contains(options, "-writes")
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exitcode [-token] [-writes] N COMMAND [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	before := tree(ts)
	start := time.Now()
	stop := watchChildren(ts.MkAbs("."))
	err = ts.Exec(args[1], args[2:]...)
	took := time.Since(start)
	if leaked := stop(); leaked != "" {
		ts.Fatalf("%s", leaked)
	}
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	stdout, stderr := ts.ReadFile("stdout"), ts.ReadFile("stderr")
	ts.Check(os.WriteFile(ts.MkAbs("printed"), []byte(steady(ts, stdout)), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("said"), []byte(steady(ts, stderr)), 0o600))
	if got != want {
		ts.Fatalf("exit code %d, want %d\n%s", got, want, stderr)
	}
	if took > patience() {
		ts.Fatalf("took %v", took)
	}
	if fault := badStreams(stdout, stderr, token); fault != "" {
		ts.Fatalf("%s", fault)
	}
	if slices.Contains(args, "json") && got != 0 && strings.Contains(strings.Join(args, " "), "--errors") {
		lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
		var line struct {
			Schema string
			Exit   int
		}
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &line); err != nil || line.Exit != got || line.Schema != "tokenfetch.error/1" {
			ts.Fatalf("the last line is not a JSON error with exit %d: %s", got, lines[len(lines)-1])
		}
	}
	checkFiles(ts, before, tree(ts), writes)
	if left := leftBehind(ts.MkAbs(".")); left != "" {
		ts.Fatalf("a process was left behind: %s", left)
	}
}

// fetches [-writes] COMMAND... is exitcode for a run that works: it prints the token
// and a line end, and nothing else.
func fetches(ts *testscript.TestScript, neg bool, args []string) {
	options, args := cutOptions(args)
	exitcode(ts, neg, slices.Concat(options, []string{"-token", "0"}, args))
	if got, want := ts.ReadFile("stdout"), ts.Getenv("TOKEN")+"\n"; got != want {
		ts.Fatalf("standard output is %q, want %q", got, want)
	}
	if stderr := ts.ReadFile("stderr"); stderr != "" {
		ts.Fatalf("standard error is not silent:\n%s", stderr)
	}
}

// fails [-writes] N CODE COMMAND... is exitcode for a run that fails: standard output
// is empty, and the error is the one that CODE names.
func fails(ts *testscript.TestScript, neg bool, args []string) {
	options, args := cutOptions(args)
	if len(args) < 3 {
		ts.Fatalf("usage: fails [-writes] N CODE COMMAND [ARG...]")
	}
	exitcode(ts, neg, slices.Concat(options, args[:1], args[2:]))
	if stdout := ts.ReadFile("stdout"); stdout != "" {
		ts.Fatalf("standard output is not empty: %q", stdout)
	}
	stderr := ts.ReadFile("stderr")
	if !strings.Contains(stderr, "("+args[1]+")\n") && !strings.Contains(stderr, `"code":"`+args[1]+`"`) {
		ts.Fatalf("the error is not %s:\n%s", args[1], stderr)
	}
}

// cutOptions returns the options in front of the words of a script command.
func cutOptions(args []string) (options, rest []string) {
	n := slices.IndexFunc(args, func(arg string) bool { return !strings.HasPrefix(arg, "-") })
	if n < 0 {
		n = len(args)
	}
	return args[:n], args[n:]
}

// steady returns the output of a run with names for what differs from run to run,
// so that a script can compare it whole.
func steady(ts *testscript.TestScript, output string) string {
	for _, name := range []string{"ENDPOINT", "ENDPOINT_HOST", "ISSUER", "ISSUER_HOST", "PROXY", "WORK", "TOKEN"} {
		if value := ts.Getenv(name); value != "" {
			output = strings.ReplaceAll(output, value, "$"+name)
		}
	}
	for pattern, name := range map[string]string{
		`\b\d+ seconds? ago`:                     "N seconds ago",
		`\b20\d\d-\d\d-\d\d[T ][\d:]+(?:Z| UTC)`: "TIME",
		`\bemulated-[A-Z0-9]{20,}`:               "$EMULATED",
		`\b127\.0\.0\.1:[1-9][0-9]{3,4}\b`:       "127.0.0.1:PORT",
	} {
		output = regexp.MustCompile(pattern).ReplaceAllString(output, name)
	}
	// What is left of ten minutes, an hour or a day, up to half a minute later.
	left := regexp.MustCompile(`("(?:expires_in|retry_after_s|held_for_s)":)(\d+)`)
	return left.ReplaceAllStringFunc(output, func(text string) string {
		m := left.FindStringSubmatch(text)
		n, _ := strconv.Atoi(m[2])
		if n%600 > 570 {
			n += 600 - n%600
		}
		return m[1] + strconv.Itoa(n)
	})
}

// patience is how long a run may take: 5 s, and longer where the race detector
// makes everything slow.
func patience() time.Duration {
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		return 20 * time.Second
	}
	return 5 * time.Second
}

// checkFiles compares two looks at the script's directory: none may appear or
// vanish unless writes is set or it is in $XDG_STATE_HOME or $XDG_CACHE_HOME, and one
// that has changed holds no canary, unless it is where secrets are to be stored then.
func checkFiles(ts *testscript.TestScript, before, after map[string]time.Time, writes bool) {
	remembered := func(path string) bool {
		return strings.HasPrefix(path, cmp.Or(ts.Getenv("XDG_STATE_HOME"), "/dev/null")) || strings.HasPrefix(path, cmp.Or(ts.Getenv("XDG_CACHE_HOME"), "/dev/null"))
	}
	ours := []string{ts.MkAbs("requests"), ts.MkAbs("printed"), ts.MkAbs("said")}
	for path, changed := range after {
		old, known := before[path]
		if !known && !writes && !remembered(path) && !slices.Contains(ours, path) {
			ts.Fatalf("the file %s appeared", path)
		}
		if known && changed.Equal(old) || slices.Contains(ours, path) {
			continue
		}
		if dir := filepath.Dir(path); writes && (dir == ts.Getenv("TEST_KEYCHAIN") || filepath.Base(dir) == "secrets") {
			continue
		}
		if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
			continue // what a directory holds, or a link leads to, is looked at by itself
		}
		data, err := os.ReadFile(path)
		ts.Check(err)
		for name, canary := range canaries {
			if leaked := leak(string(data), canary); leaked != "" {
				ts.Fatalf("%s in the file %s, as %q", name, path, leaked)
			}
		}
	}
	for path := range before {
		if _, there := after[path]; !there && !writes && !remembered(path) {
			ts.Fatalf("the file %s vanished", path)
		}
	}
}

// leftBehind returns the command line of a process that still runs with the
// script's directory in its environment.
func leftBehind(dir string) string {
	environs, _ := filepath.Glob("/proc/[0-9]*/environ") // none on other systems
	for _, path := range environs {
		environ, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(environ, []byte("WORK="+dir+"\x00")) {
			continue
		}
		line, err := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
		if err == nil && len(line) > 0 {
			return string(bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
		}
	}
	return ""
}

// badStreams says what is wrong with the output of a run, or "": a canary, or
// standard error that is not a few lines of printable ASCII.
func badStreams(stdout, stderr string, token bool) string {
	for name, canary := range canaries {
		if leaked := leak(stderr, canary); leaked != "" {
			return fmt.Sprintf("%s on standard error, as %q", name, leaked)
		}
		if leaked := leak(stdout, canary); leaked != "" && !(token && name == "TOKEN") {
			return fmt.Sprintf("%s on standard output, as %q", name, leaked)
		}
	}
	if len(stderr) > 8<<10 {
		return fmt.Sprintf("%d bytes on standard error", len(stderr))
	}
	for line := range strings.Lines(stderr) {
		if len(line) > 1000 && !strings.HasPrefix(line, "{") { // but for a JSON error
			return fmt.Sprintf("a line of %d characters on standard error", len(line))
		}
	}
	for i := range len(stderr) {
		if c := stderr[i]; (c < 0x20 || c > 0x7e) && c != '\n' {
			return fmt.Sprintf("byte %#x on standard error:\n%q", c, stderr)
		}
	}
	return ""
}

// leak returns the form in which any 6 characters of the canary, or the canary
// in an encoding, stand in text.
func leak(text, canary string) string {
	for i := range len(canary) - 5 {
		if strings.Contains(text, canary[i:i+6]) {
			return canary[i : i+6]
		}
	}
	if redacted := secret.Redact(text, secret.New(canary)); redacted != text {
		return "an encoding"
	}
	return ""
}

// tree lists the files below the script's directory with the times they were
// changed.
func tree(ts *testscript.TestScript) map[string]time.Time {
	files := map[string]time.Time{}
	ts.Check(filepath.WalkDir(ts.MkAbs("."), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			files[path] = info.ModTime()
		}
		return err
	}))
	return files
}

// directoryStore keeps each item in a file named after its account. A file
// named fault makes every call fail in the way it says.
type directoryStore string

func (d directoryStore) Get(ctx context.Context, account string) (secret.Value, error) {
	fault, _ := os.ReadFile(filepath.Join(string(d), "fault"))
	switch string(bytes.TrimSpace(fault)) {
	case "locked":
		return secret.Value{}, secret.ErrLocked
	case "unavailable":
		return secret.Value{}, secret.ErrUnavailable
	case "no-keyring":
		return secret.Value{}, secret.ErrNoKeyring
	case "slow":
		<-ctx.Done()
		return secret.Value{}, secret.ErrTimeout
	case "late":
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return secret.Value{}, secret.ErrTimeout
		}
	case "forbidden":
		panic("the keychain was asked")
	}
	data, err := os.ReadFile(filepath.Join(string(d), url.PathEscape(account)))
	if err != nil {
		return secret.Value{}, secret.ErrNotFound
	}
	return secret.New(string(data)), nil
}

// fakeKeychain is the keychain of a script, which can be written to if the script
// asks for that: it switches the cache of tokens on.
func fakeKeychain(getenv func(string) string) secret.Store {
	store := directoryStore(getenv("TEST_KEYCHAIN"))
	if getenv("TEST_KEYCHAIN_WRITES") == "" {
		return store
	}
	limit, _ := strconv.Atoi(getenv("TEST_KEYCHAIN_LIMIT")) // none
	return keeper{store, limit}
}

// fakeTerminal is none, so that no script asks whoever runs the tests, unless a
// test says that its process has a terminal of its own.
func fakeTerminal(getenv func(string) string) func() (in, out *os.File, err error) {
	if getenv("TEST_TERMINAL") != "" {
		return nil
	}
	return func() (in, out *os.File, err error) { return nil, nil, errors.New("no terminal") }
}

// keeper is a directoryStore that can be written to. The file fault may say
// "set WORD", "changed WORD" or "kill WORD": items with the word in their account
// cannot be stored, read back as something else, or kill the run that stores them.
type keeper struct {
	directoryStore
	limit int
}

func (k keeper) fault(kind, account string) bool {
	fault, _ := os.ReadFile(filepath.Join(string(k.directoryStore), "fault"))
	word, ok := strings.CutPrefix(string(bytes.TrimSpace(fault)), kind+" ")
	return ok && strings.Contains(account, word)
}

func (k keeper) Get(ctx context.Context, account string) (secret.Value, error) {
	value, err := k.directoryStore.Get(ctx, account)
	if k.fault("changed", account) && err == nil {
		return secret.New(value.Reveal() + " "), nil
	}
	return value, err
}

func (k keeper) Set(ctx context.Context, account string, value secret.Value) error {
	if err := k.reachable(ctx); err != nil {
		return err
	}
	if k.fault("set", account) {
		return secret.ErrUnavailable
	}
	if k.fault("kill", account) {
		self, err := os.FindProcess(os.Getpid())
		if err != nil || self.Kill() != nil {
			return secret.ErrUnavailable
		}
		<-ctx.Done()
	}
	if k.limit > 0 && len(value.Reveal()) > k.limit {
		return secret.ErrTooLarge
	}
	if os.MkdirAll(string(k.directoryStore), 0o700) != nil || os.WriteFile(k.path(account), []byte(value.Reveal()), 0o600) != nil ||
		os.Chmod(k.path(account), 0o600) != nil { // whatever the umask
		return secret.ErrUnavailable
	}
	return nil
}

func (k keeper) Delete(ctx context.Context, account string) error {
	if err := k.reachable(ctx); err != nil {
		return err
	}
	if os.Remove(k.path(account)) != nil {
		return secret.ErrNotFound
	}
	return nil
}

func (k keeper) Limit(string) int { return k.limit }

func (k keeper) path(account string) string {
	return filepath.Join(string(k.directoryStore), url.PathEscape(account))
}

// reachable asks for nothing, which shows whether the store can be used.
func (k keeper) reachable(ctx context.Context) error {
	if _, err := k.directoryStore.Get(ctx, ""); !errors.Is(err, secret.ErrNotFound) {
		return err
	}
	return nil
}

// items FILE writes what the keychain holds, but for the sealing key, to FILE:
// ACCOUNT VALUE, with the names of canaries for their values.
func listItems(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: items FILE")
	}
	dir := ts.Getenv("TEST_KEYCHAIN")
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		ts.Fatalf("%v", err)
	}
	var text strings.Builder
	for _, entry := range entries {
		account, err := url.PathUnescape(entry.Name())
		ts.Check(err)
		if account == "fault" || account == "tokenfetch/cache_key" {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		ts.Check(err)
		value := string(data)
		for name, canary := range canaries {
			value = strings.ReplaceAll(value, canary, name)
		}
		fmt.Fprintf(&text, "%s %s\n", account, value)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text.String()), 0o600))
}

// keychain ACCOUNT VALUE stores an item.
func storeItem(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: keychain ACCOUNT VALUE")
	}
	dir := ts.Getenv("TEST_KEYCHAIN")
	ts.Check(os.MkdirAll(dir, 0o700))
	ts.Check(os.WriteFile(filepath.Join(dir, url.PathEscape(args[0])), []byte(args[1]), 0o600))
}

// profiles FILE makes FILE the profiles file of the user, with variables such as
// $ENDPOINT filled in.
func writeProfiles(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: profiles FILE")
	}
	path := ts.Getenv("PROFILES")
	ts.Check(os.MkdirAll(filepath.Dir(path), 0o700))
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		ts.Fatalf("%v", err)
	}
	ts.Check(os.WriteFile(path, []byte(os.Expand(ts.ReadFile(args[0]), ts.Getenv)), 0o600))
}

// socket FILE makes a Unix socket.
func makeSocket(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: socket FILE")
	}
	listener, err := net.Listen("unix", ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Defer(func() { listener.Close() })
}
