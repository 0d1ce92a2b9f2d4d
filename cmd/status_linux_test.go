package cmd

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// keptHome is a home with a profile whose secret is in the keychain, and with
// what earlier runs have left.
func keptHome(t *testing.T, base string) string {
	t.Helper()
	home := t.TempDir()
	for _, dir := range []string{".config/tokenfetch", ".local/state/tokenfetch", ".cache/tokenfetch"} {
		check.OK(t, os.MkdirAll(filepath.Join(home, dir), 0o700))
	}
	profiles := fmt.Sprintf("[mpay.default]\nbase_url = %q\nusername = \"ops\"\n\n[zeepay.ci]\nbase_url = %q\nclient_id = \"42\"\nusername = \"ops\"\nclient_secret = { command = [\"false\"] }\npassword = %q\n",
		base, base, canaries["PASSWORD"])
	check.OK(t, os.WriteFile(filepath.Join(home, ".config/tokenfetch/profiles.toml"), []byte(profiles), 0o600))
	return home
}

// squeeze makes one blank of many: columns are as wide as what stands in them.
func squeeze(text string) string { return strings.Join(strings.Fields(text), " ") }

// TestReportsLeaveNothing runs the program as it is shipped, with the keychain's
// bus in each of its troubles: in time, nothing is sent, made, changed or started.
func TestReportsLeaveNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name           string
		serve          func(net.Conn) // nil for no bus
		status, doctor string
	}{
		{"a bus that never answers", silent, "  password      unknown  the keychain item ", "  keychain         error    the keychain did not answer in time\n"},
		{"no bus", nil, "  password      missing  the keychain item ", "  keychain         warning  there is no keychain here: there is no session bus (DBUS_SESSION_BUS_ADDRESS)\n"},
		{"an error that holds a secret", talkative, "  password      missing  the keychain item ", "  keychain         warning  no keychain here: the session bus does not answer as it should\n"},
		{"a bus that hangs up", hangsUp, "  password      missing  the keychain item ", "  keychain         warning  no keychain here: the session bus does not answer as it should\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			builtProgram(t) // before the clock runs
			server := providersServer(t)
			home, path := keptHome(t, server), t.TempDir()
			plantDaemons(t, path)
			environ := []string{"HOME=" + home, "PATH=" + path, "XDG_RUNTIME_DIR=" + path, "DBUS_SESSION_BUS_ADDRESS=autolaunch:"}
			if c.serve != nil {
				variable, _ := fakeBus(t, c.serve)
				environ[3] = variable
			}
			// A file that is written and removed again shows in its directory's time.
			ours := []string{filepath.Join(home, ".local/state/tokenfetch"), filepath.Join(home, ".cache/tokenfetch")}
			look := func() map[string]string {
				all := snapshot(t, home)
				maps.DeleteFunc(all, func(path, _ string) bool { return path == ours[0] || path == ours[1] })
				return all
			}
			before := look()
			for _, run := range []struct {
				args []string
				exit int
				want string
			}{
				{[]string{"status", "-v"}, 0, c.status},
				{[]string{"status", "mpay"}, 3, c.status},
				{[]string{"doctor"}, 0, c.doctor},
			} {
				exit := run.exit
				if strings.Contains(run.want, "  error  ") {
					exit = 3
				}
				start := time.Now()
				r := runBuilt(t, environ, append(run.args, "--timeout", "1s")...)
				if took := time.Since(start); took > 2*time.Second {
					t.Errorf("%v took %v", run.args, took)
				}
				if r.exit != exit || !strings.Contains(squeeze(r.stdout), squeeze(run.want)) {
					t.Errorf("%v: exit %d, want %d and %q\n%s%s", run.args, r.exit, exit, run.want, r.stdout, r.stderr)
				}
			}
			check.Same(t, "something was made or changed (-before +after)", before, look())
			for _, dir := range ours {
				if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
					t.Errorf("left in %s: %v %v", dir, left, err)
				}
			}
			if _, err := os.Stat(filepath.Join(path, "started")); err == nil {
				t.Error("a daemon was started")
			}
		})
	}
}

// TestReportsInAContainer: another user, no home, nothing that can be written.
func TestReportsInAContainer(t *testing.T) {
	root := container(t)
	for _, command := range []string{"status", "doctor"} {
		for _, format := range []string{"text", "json"} {
			r := inContainer(t, root, "/", nil, command, "-o", format)
			if r.exit != 0 || r.stderr != "" || r.stdout == "" {
				t.Errorf("%s -o %s: exit %d\n%s%s", command, format, r.exit, r.stdout, r.stderr)
			}
			if format == "json" && !json.Valid([]byte(r.stdout)) {
				t.Errorf("%s: %s", command, r.stdout)
			}
		}
	}
}

// TestReportColour: colour on a terminal only, and never alone.
func TestReportColour(t *testing.T) {
	want := "\x1b[1mmpay/default\x1b[22m  \x1b[33mnot tried yet\x1b[0m\r\n" +
		"  environment   production\r\n" +
		"  origin        https://api.mpayafrica.co.tz:443\r\n" +
		"  username      \x1b[32mfound\x1b[0m    TOKENFETCH_MPAY_USERNAME\r\n" +
		"  password      \x1b[33mnot run\x1b[0m  the helper true, named by [mpay.default]\r\n" +
		"  cached token  none: never cached: it can be used once\r\n" +
		"  hold          none\r\n"
	plain := strings.NewReplacer("\x1b[1m", "", "\x1b[22m", "", "\x1b[32m", "", "\x1b[33m", "", "\x1b[0m", "").Replace(want)
	for environ, want := range map[string]string{"A=b": want, "NO_COLOR=1": plain, "TERM=dumb": plain} {
		t.Run(environ, func(t *testing.T) {
			config := filepath.Join(t.TempDir(), "profiles.toml")
			check.OK(t, os.WriteFile(config, []byte("[mpay.default]\npassword = { command = [\"true\"] }\n"), 0o600))
			tt := newTerminal(t, []string{environ, "TOKENFETCH_MPAY_USERNAME=ops"}, "status", "mpay", "--config", config)
			tt.start(t)
			if err := tt.cmd.Wait(); err != nil {
				t.Fatalf("%v\n%s", err, tt.shown())
			}
			tt.until(t, fmt.Sprintf("%q", want), func() bool { return tt.shown() == want })
		})
	}
}

// TestReportsFitTheTerminal: the columns stand where they stood, and what is wrong is
// not told again below a report on the same terminal.
func TestReportsFitTheTerminal(t *testing.T) {
	config := filepath.Join(t.TempDir(), "profiles.toml")
	if err := os.WriteFile(config, []byte(`[enkash.a-name-as-long-as-a-table-can-take-beside-it]
environment = "production"
client_id = "CEK1"
username = "ops"
client_secret = { command = ["true"] }
password = { env = "NOT_SET" }
cache = false

[mpay.default]
password = { command = ["true"] }
username = "ops"
`), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(exit int, want string, args ...string) {
		t.Helper()
		tt := newTerminal(t, []string{"NO_COLOR=1"}, append(args, "--config", config)...)
		tt.resize(t, 80)
		tt.start(t)
		if _ = tt.cmd.Wait(); tt.cmd.ProcessState.ExitCode() != exit {
			t.Errorf("%v: exit code %d, want %d", args, tt.cmd.ProcessState.ExitCode(), exit)
		}
		tt.shows(t, strings.ReplaceAll(want, "CONFIG", config))
	}
	const ref = "enkash/a-name-as-long-as-a-table-can-take-beside-it"
	run(0, ref+`  not ready      no token
    api.enkash.in
mpay/default                                         not tried yet  single use
    api.mpayafrica.co.tz

`+ref+`: password of
    [enkash.a-name-as-long-as-a-table-can-take-beside-it] comes from the
    variable NOT_SET, which is not set
  hint: set NOT_SET, or change the profile
`, "status")
	run(3, ref+`  not ready
  environment    production
  origin         https://api.enkash.in:443
  client_id      found    [enkash.a-name-as-long-as-a-table-can-take-beside-it]
                          in
                          CONFIG
  client_secret  not run  the helper true, named by
                          [enkash.a-name-as-long-as-a-table-can-take-beside-it]
  username       found    [enkash.a-name-as-long-as-a-table-can-take-beside-it]
                          in
                          CONFIG
  password       missing  NOT_SET, named by
                          [enkash.a-name-as-long-as-a-table-can-take-beside-it]
  company_id     found    its default, the client id
  cached token   none: the profile says cache = false
  hold           none
  refusals left  3, then EnKash locks the account
  problem        password of
                 [enkash.a-name-as-long-as-a-table-can-take-beside-it] comes
                 from the variable NOT_SET, which is not set
  hint           set NOT_SET, or change the profile
tokenfetch: error: enkash/a-name-as-long-as-a-table-can-take-beside-it cannot
            fetch a token (field_missing)
`, "status", ref)

	broken := filepath.Join(t.TempDir(), "profiles.toml")
	check.OK(t, os.WriteFile(broken, []byte("[zeepay.default\n"), 0o600))
	config = broken
	tt := newTerminal(t, []string{"NO_COLOR=1"}, "doctor", "--config", config)
	tt.start(t)
	_ = tt.cmd.Wait()
	tt.until(t, "the end", func() bool {
		return strings.HasSuffix(tt.shown(), ", 1 error\r\ntokenfetch: error: 1 error found (profiles_invalid)\r\n")
	})
	for line := range strings.Lines(tt.shown()) {
		if line = strings.TrimRight(line, "\r\n"); len(line) > 80 && len(strings.Fields(line)) > 1 {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
}

// TestInterruptedReport: Ctrl-C ends a report that waits for the keychain.
func TestInterruptedReport(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"status", "doctor"} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			variable, connected := fakeBus(t, silent)
			c := exec.Command(filepath.Join(builtProgram(t), "tokenfetch"), command)
			c.Env = []string{variable, "HOME=" + keptHome(t, "http://127.0.0.1:1")}
			p := startProcess(t, c)
			<-connected
			p.endsBy(t, syscall.SIGINT, time.Second)
		})
	}
}

// TestRealKeychainStatus asks a real keychain for an item that is there, and for
// one that is not.
func TestRealKeychainStatus(t *testing.T) {
	if os.Getenv("TOKENFETCH_TEST_KEYCHAIN") == "" {
		t.Skip("TOKENFETCH_TEST_KEYCHAIN is not set: the keychain of this session is left alone")
	}
	const account = "mpay/default/password@status.example"
	store := exec.Command("secret-tool", "store", "--label=tokenfetch", "service", "tokenfetch", "username", account)
	store.Stdin = strings.NewReader(canaries["PASSWORD"])
	if out, err := store.CombinedOutput(); err != nil {
		t.Fatalf("secret-tool: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		_ = exec.Command("secret-tool", "clear", "service", "tokenfetch", "username", account).Run()
	})
	for host, want := range map[string]struct {
		exit  int
		lines string
	}{
		"status.example": {0, "mpay/default  not tried yet\n" +
			"  origin        https://status.example:443\n" +
			"  username      found  TOKENFETCH_MPAY_USERNAME\n" +
			"  password      found  the keychain item mpay/default/password@status.example\n" +
			"  cached token  none: never cached: it can be used once\n" +
			"  hold          none\n"},
		"other.example": {3, "mpay/default  not ready\n" +
			"  origin        https://other.example:443\n" +
			"  username      found    TOKENFETCH_MPAY_USERNAME\n" +
			"  password      missing  the keychain item mpay/default/password@other.example\n" +
			"  cached token  none: never cached: it can be used once\n" +
			"  hold          none\n" +
			"  problem       password is missing: the keychain item mpay/default/password@other.example does not exist, and nothing else gives it\n" +
			"  hint          store it with: tokenfetch login mpay --base-url https://other.example; or set TOKENFETCH_MPAY_PASSWORD, or TOKENFETCH_MPAY_PASSWORD_FILE to the path of its file; or run: tokenfetch mpay --password-file FILE\n"},
	} {
		home := t.TempDir()
		environ := []string{
			"HOME=" + home, "PATH=" + os.Getenv("PATH"), "DBUS_SESSION_BUS_ADDRESS=" + os.Getenv("DBUS_SESSION_BUS_ADDRESS"),
			"TOKENFETCH_MPAY_USERNAME=ops", "TOKENFETCH_MPAY_BASE_URL=https://" + host,
		}
		r := runBuilt(t, environ, "status", "mpay")
		if diff := cmp.Diff(want.lines, r.stdout); r.exit != want.exit || diff != "" {
			t.Errorf("%s: exit %d, want %d (-want +got):\n%s%s", host, r.exit, want.exit, diff, r.stderr)
		}
		if r := runBuilt(t, environ, "doctor", "-v"); r.exit != 0 || !strings.Contains(squeeze(r.stdout), "keychain ok it answers and is unlocked") {
			t.Errorf("doctor: exit %d\n%s%s", r.exit, r.stdout, r.stderr)
		}
		if left, err := os.ReadDir(home); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v %v", left, err)
		}
	}
}
