package cmd

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// newKeyring starts a session with an empty unlocked keyring and returns the
// variable that leads to its bus.
func newKeyring(t *testing.T) string {
	t.Helper()
	if os.Getenv("TOKENFETCH_TEST_KEYCHAIN") == "" {
		t.Skip("TOKENFETCH_TEST_KEYCHAIN is not set")
	}
	dir := t.TempDir()
	session := exec.Command("dbus-run-session", "--", "sh", "-euc", `
		printf x | gnome-keyring-daemon --unlock --components=secrets >/dev/null
		echo "DBUS_SESSION_BUS_ADDRESS=$DBUS_SESSION_BUS_ADDRESS"
		cat`)
	session.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "XDG_RUNTIME_DIR=" + dir}
	in, err := session.StdinPipe()
	check.OK(t, err)
	out, err := session.StdoutPipe()
	check.OK(t, err)
	check.OK(t, session.Start())
	t.Cleanup(func() { _ = in.Close(); _ = session.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	check.OK(t, err)
	return strings.TrimSpace(line)
}

// TestFirstRunOnAMachine starts many runs where the keychain has no sealing key
// yet, with the secrets in variables and in the keychain: one request for all.
func TestFirstRunOnAMachine(t *testing.T) {
	for _, stored := range []bool{false, true} {
		keyring := newKeyring(t)
		s := newShared(t)
		check.OK(t, os.Remove(filepath.Join(s.home, ".config", "tokenfetch", "profiles.toml")))
		s.environ = append(s.environ, keyring)
		if stored {
			s.environ = s.storeSecrets(keyring)
		}
		outcomes := s.parallel(100, "zeepay")
		token := s.wantToken(outcomes[0])
		for _, o := range outcomes {
			if s.wantToken(o) != token {
				t.Fatalf("secrets in the keychain %v: two tokens", stored)
			}
		}
		s.wantRequests(1)
	}
}

// storeSecrets puts the secrets of zeepay into the keychain and returns the
// environment without them.
func (s *shared) storeSecrets(keyring string) []string {
	s.t.Helper()
	var rest []string
	values := map[string]string{}
	for _, entry := range s.environ {
		name, value, _ := strings.Cut(entry, "=")
		values[name] = value
		if name != "TOKENFETCH_ZEEPAY_CLIENT_SECRET" && name != "TOKENFETCH_ZEEPAY_PASSWORD" {
			rest = append(rest, entry)
		}
	}
	host := strings.Split(values["TOKENFETCH_ZEEPAY_BASE_URL"], "/")[2]
	for field, variable := range map[string]string{"client_secret": "TOKENFETCH_ZEEPAY_CLIENT_SECRET", "password": "TOKENFETCH_ZEEPAY_PASSWORD"} {
		c := exec.Command("secret-tool", "store", "--label=tokenfetch", "service", "tokenfetch", "username", "zeepay/default/"+field+"@"+host)
		c.Env, c.Stdin = append(os.Environ(), keyring), strings.NewReader(values[variable])
		if out, err := c.CombinedOutput(); err != nil {
			s.t.Fatalf("secret-tool: %v\n%s", err, out)
		}
	}
	return rest
}
