// Command measure compares whole runs of the program as it is shipped with programs
// that do less, those beside it, and prints the table of .ci/benchmarks.md, which has
// the command for all of it. Run it in the root of the repository:
//
//	go run ./testdata/bench/measure -rounds 100
package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tokenfetch/tokenfetch/testdata/pki"
)

const (
	benchmarksFile = ".ci/benchmarks.md"
	benchmarksHead = "# Benchmarks\n\n" +
		"What whole runs of the program as it is shipped take, as ratios of median times: it and what it is compared with run in turn.\n" +
		"`testdata/bench/measure` measures. On Linux, as root and with gnome-keyring, this writes the table anew:\n\n" +
		"```console\n" + `dbus-run-session -- sh -c 'd=$(mktemp -d)
printf x | HOME=$d XDG_DATA_HOME=$d XDG_RUNTIME_DIR=$d gnome-keyring-daemon --unlock --components=secrets >/dev/null
TOKENFETCH_TEST_KEYCHAIN=1 go test ./cmd -run "^$" -bench WholeProcess -benchtime 100x -update'` + "\n```\n\n"
	// The bundle that both programs read where the system's authorities count.
	systemBundle = "/etc/ssl/certs/ca-certificates.crt"
)

// sample measures once, in whatever unit.
type sample func() float64

func main() {
	rounds := flag.Int("rounds", 100, "how often each row is measured")
	update := flag.Bool("update", false, "write the table to "+benchmarksFile)
	flag.Parse()
	// Without TOKENFETCH_TEST_KEYCHAIN and without root some rows are not measured.
	load, err := strconv.ParseFloat(strings.Fields(readFile("/proc/loadavg"))[0], 64)
	check(err)
	dir, err := os.MkdirTemp("", "measure")
	check(err)
	defer os.RemoveAll(dir)
	bin := filepath.Join(dir, "bin")
	check(os.Mkdir(bin, 0o700))
	c := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-tags", "nethttpomithttp2", "-ldflags", "-s -w -X main.version=1.0.0", "-o", bin, ".", "./testdata/bench/...")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		log.Fatalf("%v\n%s", err, out)
	}
	s := serveBench(dir)
	defer s.end()
	warm, cold := s.user(bin, false), s.user(bin, true)
	keychain := s.keychain()
	root := s.trusted()

	const empty, minimal = "an empty Go program", "a minimal net/http program"
	overHTTP := []string{"tokenfetch", "zeepay/http"}
	overHTTPS := []string{"tokenfetch", "zeepay/https", "--ca-file", s.authority}
	byKeychain := []string{"tokenfetch", "zeepay/keychain", "--config", s.inKeychain}
	minimally := func(origin, authority, shared string) []string {
		return []string{"minimal", origin + "/oauth/token", authority, shared}
	}
	nothing, hit, read, minimalHTTP := warm.time("empty"), warm.time(overHTTP...), warm.time("read"), cold.time(minimally(s.http, "", "")...)
	rows := []struct {
		operation string
		sample    sample
		against   string
		reference sample // nil: the sample is no ratio
		goal      string
		needs     string // what is missing to measure it
	}{
		{"`version`", warm.time("tokenfetch", "version"), empty, nothing, "1.75", ""},
		{"`--help`", warm.time("tokenfetch", "--help"), empty, nothing, "1.9", ""},
		{"the floor: the program, if it returned at once", warm.time("linked"), empty, nothing, "", ""},
		{"cached token, sealing key in a variable", hit, empty, nothing, "1.6", ""},
		{
			"cached token, sealing key in the keychain", warm.time(byKeychain...),
			"the row above, and one bare read", func() float64 { return hit() + read() - nothing() }, "1.1", keychain,
		},
		{"fetch, http", cold.time(overHTTP...), minimal, minimalHTTP, "1.15", ""},
		{"fetch, https with `--ca-file`", cold.time(overHTTPS...), minimal, cold.time(minimally(s.https, s.authority, "")...), "1.15", ""},
		{"fetch, https trusted by the system", cold.time(overHTTPS[:2]...), minimal, cold.time(minimally(s.https, "", "")...), "0.3", root},
		{"fetch, http, two secrets in the keychain", cold.time(byKeychain[:2]...), minimal + " without a keychain", minimalHTTP, "3", keychain},
		{"the same, sealing key in the keychain, too", cold.time(byKeychain...), minimal + " without a keychain", minimalHTTP, "", keychain},
		{
			"50 fetches at once", cold.crowd(overHTTP...),
			"50 minimal programs that lock and look again", cold.crowd(minimally(s.http, "", cold.home+"/.cache/minimal/a.token")...), "1.2", "",
		},
		{"requests of 50 fetches at once", s.requestsOf(cold.crowd(overHTTP...)), "", nil, "1", ""},
		{"peak memory with a cached token, MiB", warm.peak(overHTTP...), "", nil, "6", ""},
		{"peak memory of a fetch over http, MiB", cold.peak(overHTTP...), "", nil, "8", ""},
		{"peak memory of a fetch over https, MiB", cold.peak(overHTTPS...), "", nil, "8", ""},
		{"size of the program, MiB", sizeOf(filepath.Join(bin, "tokenfetch")), "", nil, "10", ""},
	}
	samples, references := make([][]float64, len(rows)), make([][]float64, len(rows))
	round := func() {
		for i, row := range rows {
			if row.needs != "" {
				continue
			}
			samples[i] = append(samples[i], row.sample())
			if row.reference != nil {
				references[i] = append(references[i], row.reference())
			}
		}
	}
	round() // makes what is cached
	clear(samples)
	clear(references)
	for range *rounds {
		round()
	}

	var table strings.Builder
	fmt.Fprintf(&table, "%d rounds on %s, with %d processors, %s/%s and %s.\n", *rounds, time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
	if load > float64(runtime.NumCPU())/2 {
		fmt.Fprintf(&table, "The machine was shared and busy (load average %.1f before), so the ratios are rough.\n", load)
	}
	table.WriteString("\n| operation | against | measured | goal, at most |\n|---|---|--:|--:|\n")
	for i, row := range rows {
		measured := "needs " + row.needs
		switch {
		case row.needs != "":
		case row.reference == nil:
			measured = fmt.Sprintf("%.3g", median(samples[i]))
		default:
			measured = fmt.Sprintf("%.2f", median(samples[i])/median(references[i]))
		}
		fmt.Fprintf(&table, "| %s | %s | %s | %s |\n", row.operation, row.against, measured, row.goal)
	}
	fmt.Print(table.String())
	if *update {
		old := readFile(benchmarksFile)
		if i := strings.Index(old, "\n## "); i >= 0 { // what is below is written by hand
			table.WriteString(old[i:])
		}
		writeFile(benchmarksFile, benchmarksHead+table.String(), 0o644)
	}
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

func sizeOf(path string) sample {
	return func() float64 {
		info, err := os.Stat(path)
		check(err)
		return float64(info.Size()) / (1 << 20)
	}
}

// check ends the program where something fails that no row is about.
func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func readFile(path string) string {
	data, err := os.ReadFile(path)
	check(err)
	return string(data)
}

func writeFile(path, text string, mode os.FileMode) { check(os.WriteFile(path, []byte(text), mode)) }

// benchServer is a token endpoint, and what programs need to know of it.
type benchServer struct {
	dir         string
	http, https string
	authority   string // the file of the one that https is of
	profiles    string
	inKeychain  string // profiles without a sealing key, which is in the keychain then
	requests    atomic.Int64
	atEnd       []func()
}

func (s *benchServer) end() {
	for _, f := range slices.Backward(s.atEnd) {
		f()
	}
}

func serveBench(dir string) *benchServer {
	s := &benchServer{dir: dir, authority: filepath.Join(dir, "ca.pem"), profiles: filepath.Join(dir, "profiles.toml"), inKeychain: filepath.Join(dir, "keychain.toml")}
	answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.requests.Add(1)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"token_type":"Bearer","expires_in":31536000,"access_token":"`+strings.Repeat("token", 8)+`","refresh_token":"`+strings.Repeat("again", 8)+`"}`)
	})
	authority := pki.New("benchmark")
	plain, secure := httptest.NewServer(answer), httptest.NewUnstartedServer(answer)
	secure.TLS = &tls.Config{Certificates: []tls.Certificate{authority.Issue(nil)}}
	secure.StartTLS()
	s.atEnd = append(s.atEnd, plain.Close, secure.Close)
	s.http, s.https = plain.URL, secure.URL

	profile := func(name, origin, secrets string) string {
		return fmt.Sprintf("[zeepay.%s]\nbase_url = %q\nclient_id = \"42\"\nusername = \"ops@example.com\"\n%s", name, origin, secrets)
	}
	const secrets = "client_secret = \"demo-client-secret\"\npassword = \"demo-password\"\n"
	writeFile(s.authority, string(authority.PEM), 0o600)
	writeFile(s.profiles, "[tokenfetch]\ncache_key = { env = \"SEAL\" }\n"+profile("http", s.http, secrets)+profile("https", s.https, secrets)+profile("keychain", s.http, ""), 0o600)
	writeFile(s.inKeychain, profile("keychain", s.http, ""), 0o600)
	return s
}

// keychain puts the secrets into a real keychain, where the session has one for
// tests, or says what is missing.
func (s *benchServer) keychain() (needs string) {
	if os.Getenv("TOKENFETCH_TEST_KEYCHAIN") == "" {
		return "TOKENFETCH_TEST_KEYCHAIN"
	}
	tool := func(stdin string, args ...string) {
		c := exec.Command("secret-tool", args...)
		c.Stdin = strings.NewReader(stdin)
		if out, err := c.CombinedOutput(); err != nil {
			log.Fatalf("secret-tool: %v\n%s", err, out)
		}
	}
	for account, value := range map[string]string{"client_secret": "demo-client-secret", "password": "demo-password"} {
		account = "zeepay/keychain/" + account + "@" + strings.TrimPrefix(s.http, "http://")
		tool(value, "store", "--label=tokenfetch", "service", "tokenfetch", "username", account)
		s.atEnd = append(s.atEnd, func() { tool("", "clear", "service", "tokenfetch", "username", account) })
	}
	// The first run that needs the sealing key makes it.
	s.atEnd = append(s.atEnd, func() { tool("", "clear", "service", "tokenfetch", "username", "tokenfetch/cache_key") })
	return ""
}

// trusted adds the authority to those that the system trusts, for programs that
// are started by this goroutine, or says what is missing.
func (s *benchServer) trusted() (needs string) {
	runtime.LockOSThread() // for good: the thread ends with the goroutine
	if _, err := os.Stat(systemBundle); err != nil {
		return systemBundle
	}
	if unix.Unshare(unix.CLONE_NEWNS) != nil {
		return "root"
	}
	bundle := filepath.Join(s.dir, "bundle.pem")
	writeFile(bundle, readFile(systemBundle)+readFile(s.authority), 0o644)
	check(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	check(unix.Mount(bundle, systemBundle, "", unix.MS_BIND, ""))
	return ""
}

// requestsOf counts the requests that come while something else is measured, which
// must be one.
func (s *benchServer) requestsOf(other sample) sample {
	return func() float64 {
		before := s.requests.Load()
		other()
		n := s.requests.Load() - before
		if n != 1 {
			log.Fatalf("%d requests", n)
		}
		return float64(n)
	}
}

// benchUser runs programs with a home directory of its own.
type benchUser struct {
	bin, home string
	cold      bool // the cache is emptied before each sample
	environ   []string
}

func (s *benchServer) user(bin string, cold bool) *benchUser {
	home, err := os.MkdirTemp(s.dir, "home")
	check(err)
	check(os.MkdirAll(filepath.Join(home, ".cache/minimal"), 0o700))
	return &benchUser{bin, home, cold, []string{
		"HOME=" + home, "TOKENFETCH_CONFIG=" + s.profiles, "SEAL=" + strings.Repeat("sealing key ", 4),
		"DBUS_SESSION_BUS_ADDRESS=" + os.Getenv("DBUS_SESSION_BUS_ADDRESS"),
	}}
}

func (u *benchUser) run(args ...string) (stderr string) {
	var said strings.Builder
	c := exec.Command(filepath.Join(u.bin, args[0]), args[1:]...)
	c.Env, c.Stdout, c.Stderr = u.environ, io.Discard, &said
	if err := c.Run(); err != nil {
		log.Fatalf("%q: %v\n%s", args, err, said.String())
	}
	return said.String()
}

// time measures how long a run takes.
func (u *benchUser) time(args ...string) sample {
	return func() float64 {
		u.empty()
		start := time.Now()
		u.run(args...)
		return time.Since(start).Seconds()
	}
}

// crowd measures how long 50 runs at once take.
func (u *benchUser) crowd(args ...string) sample {
	return func() float64 {
		u.empty()
		start := time.Now()
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() { u.run(args...) })
		}
		all.Wait()
		return time.Since(start).Seconds()
	}
}

// peak measures the most memory that a run holds, in MiB.
func (u *benchUser) peak(args ...string) sample {
	return func() float64 {
		u.empty()
		stderr := u.run(append([]string{"peak", filepath.Join(u.bin, args[0])}, args[1:]...)...)
		kib, err := strconv.Atoi(strings.TrimSpace(stderr))
		check(err)
		return float64(kib) / (1 << 10)
	}
}

// empty takes the tokens out of the cache of a cold user.
func (u *benchUser) empty() {
	if !u.cold {
		return
	}
	tokens, _ := filepath.Glob(u.home + "/.cache/*/*.token")
	for _, token := range tokens {
		check(os.Remove(token))
	}
}
