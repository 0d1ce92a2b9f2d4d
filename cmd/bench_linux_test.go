package cmd

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// BenchmarkWholeProcess times whole processes in turn, program after program,
// and reports the medians as ratios: of start-up and a cached hit to an empty Go
// program, and of a hit to what people do without tokenfetch. With
// TOKENFETCH_TEST_KEYCHAIN the sealing key also comes from a real keychain.
//
//	go test ./cmd -run '^$' -bench WholeProcess -benchtime 60x
func BenchmarkWholeProcess(b *testing.B) {
	dir := b.TempDir()
	build := func(name, source string, flags ...string) string {
		b.Helper()
		path := filepath.Join(dir, name)
		target := ".."
		if source != "" {
			target = filepath.Join(dir, name+".go")
			if err := os.WriteFile(target, []byte(source), 0o600); err != nil {
				b.Fatal(err)
			}
		}
		c := exec.Command("go", append(append([]string{"build", "-trimpath", "-tags", "nethttpomithttp2", "-ldflags", "-s -w", "-o", path}, flags...), target)...)
		c.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := c.CombinedOutput(); err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
		return path
	}
	binary := build("tokenfetch", "")
	empty := build("empty", "package main\n\nfunc main() {}\n")

	s := &benchMachine{b: b, binary: binary, home: b.TempDir()}
	s.serve()
	programs := []struct {
		name    string
		command func() *exec.Cmd
	}{
		{"empty", func() *exec.Cmd { return exec.Command(empty) }},
		{"version", func() *exec.Cmd { return s.command("version") }},
		{"help", func() *exec.Cmd { return s.command("--help") }},
		{"hit", func() *exec.Cmd { return s.command("zeepay", "--config", s.sealed) }},
		{"curl-jq", func() *exec.Cmd {
			c := exec.Command("sh", "-c", `curl -s -d client_id=demo-zeepay-client-id -d client_secret=demo-zeepay-client-secret -d username=demo-zeepay-username -d password=demo-zeepay-password -d grant_type=password "$TOKENFETCH_ZEEPAY_BASE_URL/oauth/token" | jq -r .access_token`)
			c.Env = s.environ
			return c
		}},
	}
	if os.Getenv("TOKENFETCH_TEST_KEYCHAIN") != "" {
		read := build("read", `package main

import "github.com/zalando/go-keyring"

func main() {
	if _, err := keyring.Get("tokenfetch", "tokenfetch/cache_key"); err != nil {
		panic(err)
	}
}
`)
		programs = append(programs, []struct {
			name    string
			command func() *exec.Cmd
		}{
			{"keychain-hit", func() *exec.Cmd { return s.command("zeepay") }}, // first, as it makes the key
			{"keychain-read", func() *exec.Cmd { return exec.Command(read) }},
		}...)
		defer exec.Command("secret-tool", "clear", "service", "tokenfetch", "username", "tokenfetch/cache_key").Run()
	}
	times := map[string][]time.Duration{}
	one := func(name string, c *exec.Cmd) {
		start := time.Now()
		if out, err := c.CombinedOutput(); err != nil {
			b.Fatalf("%s: %v\n%s", name, err, out)
		}
		times[name] = append(times[name], time.Since(start))
	}
	for _, p := range programs {
		one(p.name, p.command()) // makes what is cached
	}
	clear(times)
	for b.Loop() {
		for _, p := range programs {
			one(p.name, p.command())
		}
	}
	median := func(name string) float64 {
		slices.Sort(times[name])
		return float64(times[name][len(times[name])/2])
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median("version")/median("empty"), "version/empty")
	b.ReportMetric(median("help")/median("empty"), "help/empty")
	b.ReportMetric(median("hit")/median("empty"), "hit/empty")
	b.ReportMetric(median("hit")/median("curl-jq"), "hit/curl-jq")
	if len(times["keychain-hit"]) > 0 {
		b.ReportMetric(median("keychain-hit")/median("empty"), "keychain-hit/empty")
		b.ReportMetric(median("keychain-hit")/median("keychain-read"), "keychain-hit/keychain-read")
		b.ReportMetric(median("keychain-hit")/(median("hit")+median("keychain-read")-median("empty")), "keychain-hit/(hit+read)")
		b.ReportMetric(median("keychain-hit")/median("curl-jq"), "keychain-hit/curl-jq")
	}
}

// benchMachine is an emulator and an environment for the runs against it.
type benchMachine struct {
	b       *testing.B
	binary  string
	home    string
	sealed  string // a profiles file that names the sealing key
	environ []string
}

func (s *benchMachine) serve() {
	s.sealed = filepath.Join(s.home, "sealed.toml")
	if err := os.WriteFile(s.sealed, []byte("[tokenfetch]\ncache_key = { env = \"SEAL\" }\n"), 0o600); err != nil {
		s.b.Fatal(err)
	}
	s.environ = []string{
		"HOME=" + s.home, "PATH=" + os.Getenv("PATH"), "SEAL=" + strings.Repeat("sealing key ", 4),
		"DBUS_SESSION_BUS_ADDRESS=" + os.Getenv("DBUS_SESSION_BUS_ADDRESS"),
	}
	_, variables := serveEmulatorWith(s.b, s.binary, s.environ)
	s.environ = append(s.environ, variables...)
}

func (s *benchMachine) command(args ...string) *exec.Cmd {
	c := exec.Command(s.binary, args...)
	c.Env = s.environ
	return c
}
