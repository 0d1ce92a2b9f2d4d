package cmd

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tokenfetch/tokenfetch/pkg/emulator"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// TestRealKeychainEndToEnd uses the program as it is shipped: the binary, the
// emulator as a process of its own, and secrets that the system's own command
// has put into a real keychain. Each provider prints its token in every format.
func TestRealKeychainEndToEnd(t *testing.T) {
	if os.Getenv("TOKENFETCH_TEST_KEYCHAIN") == "" {
		t.Skip("TOKENFETCH_TEST_KEYCHAIN is not set: the keychain of this session is left alone")
	}
	binary := filepath.Join(builtProgram(t), "tokenfetch")
	home := t.TempDir()
	base := []string{
		"HOME=" + home, "PATH=" + os.Getenv("PATH"),
		"DBUS_SESSION_BUS_ADDRESS=" + os.Getenv("DBUS_SESSION_BUS_ADDRESS"),
	}
	address := serveEmulator(t, binary, base)
	definitions, _ := provider.NewCatalog("", nil).All()
	var secrets []string
	for _, d := range definitions {
		environ := append([]string{d.Variable("base_url") + "=" + emulator.BaseURL(address, d.Name)}, base...)
		for name, value := range emulator.Demo(d) {
			if f, _ := d.Field(name); !f.Secret {
				environ = append(environ, d.Variable(name)+"="+value)
				continue
			}
			secrets = append(secrets, value)
			account := d.Name + "/default/" + name + "@" + address
			store := exec.Command("secret-tool", "store", "--label=tokenfetch", "service", "tokenfetch", "username", account)
			store.Stdin = strings.NewReader(value)
			if out, err := store.CombinedOutput(); err != nil {
				t.Fatalf("secret-tool: %v\n%s", err, out)
			}
			t.Cleanup(func() {
				_ = exec.Command("secret-tool", "clear", "service", "tokenfetch", "username", account).Run()
			})
		}
		variable := provider.TokenVariable(d.Name)
		const token = `emulated-[A-Z0-9]{26}`
		patterns := map[string]string{
			"text":       token,
			"json":       `\{"schema":"tokenfetch.token/1",.*"access_token":"` + token + `",.*\}`,
			"export":     `export ` + variable + `='` + token + `'`,
			"fish":       `set -gx ` + variable + ` '` + token + `'`,
			"powershell": `\$env:` + variable + ` = '` + token + `'`,
		}
		if d.Use.Member == "" {
			patterns["header"] = `Authorization: Bearer ` + token
			patterns["curl"] = `header = "Authorization: Bearer ` + token + `"`
		}
		for format, pattern := range patterns {
			t.Run(d.Name+"/"+format, func(t *testing.T) {
				stdout, stderr, err := execute(binary, environ, d.Name, "-o", format, "-v")
				if err != nil || !regexp.MustCompile(`^`+pattern+`\n$`).MatchString(stdout) {
					t.Fatalf("%v\nstdout %q\nstderr %s", err, stdout, stderr)
				}
				for _, s := range secrets {
					if strings.Contains(stdout+stderr, s) {
						t.Fatalf("a secret came out:\n%s%s", stdout, stderr)
					}
				}
			})
		}
	}
	t.Cleanup(func() {
		_ = exec.Command("secret-tool", "clear", "service", "tokenfetch", "username", "tokenfetch/cache_key").Run()
	})
	// The tokens that live a while are cached by now, sealed with a key in the keychain.
	stdout, _, err := execute(binary, append([]string{
		"TOKENFETCH_ZEEPAY_BASE_URL=" + emulator.BaseURL(address, "zeepay"),
		"TOKENFETCH_ZEEPAY_CLIENT_ID=demo-zeepay-client-id", "TOKENFETCH_ZEEPAY_USERNAME=demo-zeepay-username",
	}, base...), "zeepay", "-o", "json")
	if err != nil || !strings.Contains(stdout, `"cached":true`) {
		t.Errorf("not from the cache: %s%v", stdout, err)
	}
	left, err := filepath.Glob(filepath.Join(home, "*"))
	if err != nil || !slices.Equal(left, []string{filepath.Join(home, ".cache"), filepath.Join(home, ".local")}) {
		t.Errorf("in the home directory: %v %v", left, err)
	}
}

// TestRealLoginAndLogout sets up every provider in a real keychain, fetches,
// changes the secrets to others of 8 KiB, and removes everything, twice. Only a
// neighbour stays.
func TestRealLoginAndLogout(t *testing.T) {
	if os.Getenv("TOKENFETCH_TEST_KEYCHAIN") == "" {
		t.Skip("TOKENFETCH_TEST_KEYCHAIN is not set: the keychain of this session is left alone")
	}
	binary := filepath.Join(builtProgram(t), "tokenfetch")
	environ := []string{
		"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH"),
		"DBUS_SESSION_BUS_ADDRESS=" + os.Getenv("DBUS_SESSION_BUS_ADDRESS"),
	}
	address := serveEmulator(t, binary, environ)
	item := func(verb, account string) string {
		out, _ := exec.Command("secret-tool", verb, "service", "tokenfetch", "username", account).Output() // fails where there is none
		return string(out)
	}
	neighbour := "zeepay/neighbour/password@" + address
	store := exec.Command("secret-tool", "store", "--label=tokenfetch", "service", "tokenfetch", "username", neighbour)
	store.Stdin = strings.NewReader("neighbour")
	if out, err := store.CombinedOutput(); err != nil {
		t.Fatalf("secret-tool: %v\n%s", err, out)
	}
	t.Cleanup(func() { item("clear", neighbour); item("clear", "tokenfetch/cache_key") })
	file := func(value string) string {
		path := filepath.Join(t.TempDir(), "value")
		writeFile(t, path, value, 0o600)
		return path
	}
	run := func(want int, args ...string) string {
		t.Helper()
		stdout, stderr, err := execute(binary, environ, args...)
		code := 0
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			code = exit.ExitCode()
		}
		if code != want {
			t.Fatalf("%v: exit code %d, want %d\n%s%s", args[:2], code, want, stdout, stderr)
		}
		return stdout + stderr
	}
	long := strings.Repeat("k", 8192)
	for _, d := range builtins(t) {
		right := []string{"login", d.Name, "--base-url", emulator.BaseURL(address, d.Name), "--verify"}
		wrong := []string{"login", d.Name, "--verify=false"}
		var accounts []string
		for name, value := range emulator.Demo(d) {
			f, _ := d.Field(name)
			if !f.Secret {
				right = append(right, "--"+f.Flag(), value)
				continue
			}
			right = append(right, "--"+f.Flag(), file(value))
			wrong = append(wrong, "--"+f.Flag(), file(long))
			accounts = append(accounts, d.Name+"/default/"+name+"@"+address)
		}
		run(0, right...)
		run(0, d.Name, "-v")
		run(0, wrong...)
		for _, account := range accounts {
			if got := item("lookup", account); got != long {
				t.Errorf("%s holds %d bytes", account, len(got))
			}
		}
		run(4, d.Name, "-v") // the token of the right secrets is not served any more
		for range 2 {
			run(0, "logout", d.Name)
			for _, account := range accounts {
				if item("lookup", account) != "" {
					t.Errorf("%s is still there", account)
				}
			}
		}
		if out := run(3, d.Name, "-v"); !strings.Contains(out, "keychain_item_not_found") {
			t.Errorf("after logout: %s", out)
		}
	}
	if got := item("lookup", neighbour); got != "neighbour" {
		t.Errorf("the neighbour is %q", got)
	}
	found, err := exec.Command("secret-tool", "search", "--all", "service", "tokenfetch").CombinedOutput()
	if err != nil || strings.Contains(string(found), "probe") {
		t.Errorf("a probe is left: %v\n%s", err, found)
	}
}

// TestLogoutRemovesEveryItemOfAName: another program has stored an item of the same
// name, with an attribute more.
func TestLogoutRemovesEveryItemOfAName(t *testing.T) {
	keyring := newKeyring(t)
	environ := []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH"), keyring}
	tool := func(args ...string) *exec.Cmd {
		c := exec.Command("secret-tool", args...)
		c.Env = environ
		return c
	}
	name := []string{"service", "tokenfetch", "username", "mpay/default/password@api.mpayafrica.co.tz"}
	for _, more := range [][]string{nil, {"other", "x"}} {
		store := tool(append(append([]string{"store", "--label=x"}, name...), more...)...)
		store.Stdin = strings.NewReader(canaries["PASSWORD"])
		if out, err := store.CombinedOutput(); err != nil {
			t.Fatalf("secret-tool: %v\n%s", err, out)
		}
	}
	if out, err := tool(append([]string{"search", "--all"}, name...)...).CombinedOutput(); err != nil || strings.Count(string(out), "secret = ") != 2 {
		t.Fatalf("not two items: %v\n%s", err, out)
	}
	const removed = "tokenfetch: note: removed the keychain item mpay/default/password@api.mpayafrica.co.tz\n"
	for _, want := range []string{removed, "tokenfetch: note: nothing was stored for mpay/default\n"} {
		stdout, stderr, err := execute(filepath.Join(builtProgram(t), "tokenfetch"), environ, "logout", "mpay")
		if err != nil || stdout != "" || stderr != want {
			t.Errorf("%v: %q %q, want %q", err, stdout, stderr, want)
		}
	}
	if out, _ := tool(append([]string{"search", "--all"}, name...)...).CombinedOutput(); strings.Contains(string(out), "secret = ") {
		t.Errorf("left: %s", out)
	}
}

func execute(binary string, environ []string, args ...string) (stdout, stderr string, err error) {
	var out, errs bytes.Buffer
	c := exec.Command(binary, args...)
	c.Env, c.Stdout, c.Stderr = environ, &out, &errs
	err = c.Run()
	return out.String(), errs.String(), err
}

// serveEmulator starts the emulator on a free port and returns its address.
func serveEmulator(t *testing.T, binary string, environ []string) string {
	t.Helper()
	address, _ := serveEmulatorWith(t, binary, environ)
	return address
}

// serveEmulatorWith starts the emulator with more flags and also returns the
// variables that it prints.
func serveEmulatorWith(t testing.TB, binary string, environ []string, args ...string) (address string, variables []string) {
	t.Helper()
	address, variables, end := startEmulator(t, binary, environ, "127.0.0.1:0", args...)
	t.Cleanup(end)
	return address, variables
}

// startEmulator is serveEmulatorWith for an emulator that listens at an address and
// that the test ends.
func startEmulator(t testing.TB, binary string, environ []string, listen string, args ...string) (address string, variables []string, end func()) {
	t.Helper()
	c := exec.Command(binary, append([]string{"emulator", "--listen", listen}, args...)...)
	c.Env = environ
	out, err := c.StdoutPipe()
	check.OK(t, err)
	check.OK(t, c.Start())
	end = func() {
		_ = c.Process.Signal(os.Interrupt)
		if err := c.Wait(); err != nil {
			t.Errorf("the emulator ended with %v", err)
		}
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		line := lines.Text()
		if variable, ok := strings.CutPrefix(line, "export "); ok {
			name, value, _ := strings.Cut(variable, "=")
			variables = append(variables, name+"="+strings.Trim(value, "'"))
		} else {
			address = regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(line)
		}
		if strings.Contains(line, "TOKENFETCH_ZEEPAY_PASSWORD=") {
			return address, variables, end
		}
	}
	end()
	t.Fatalf("the emulator said nothing: %v", lines.Err())
	return "", nil, nil
}
