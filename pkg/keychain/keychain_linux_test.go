package keychain

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zalando/go-keyring"

	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// needKeyring skips a test that would touch a keychain unless the run is set up
// for that: an unlocked Secret Service on a session bus of its own.
func needKeyring(t *testing.T) {
	t.Helper()
	if os.Getenv("TOKENFETCH_TEST_KEYCHAIN") == "" {
		t.Skip("TOKENFETCH_TEST_KEYCHAIN is not set: the keychain of this session is left alone")
	}
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestRealKeychain(t *testing.T) {
	needKeyring(t)
	const account = "zeepay/test/password@127.0.0.1:1"
	k := &Keychain{Getenv: os.Getenv}
	if _, err := k.Get(within(t, 3*time.Second), account); !errors.Is(err, secret.ErrNotFound) {
		t.Fatalf("an item that was not stored: %v, want ErrNotFound", err)
	}
	for _, value := range []string{"x", " $&'\"\\ \t", "pässwörd 😀", strings.Repeat("k", 8192)} {
		check.OK(t, keyring.Set(Service, account, value))
		t.Cleanup(func() { _ = keyring.Delete(Service, account) })
		got, err := k.Get(within(t, 3*time.Second), account)
		if err != nil || got.Reveal() != value {
			t.Fatalf("read back %q, %v; want %q", got.Reveal(), err, value)
		}
	}
}

// TestParallelReads: many reads at once all get the item.
func TestParallelReads(t *testing.T) {
	needKeyring(t)
	const account, value = "zeepay/parallel/password@127.0.0.1:1", "read by many"
	check.OK(t, keyring.Set(Service, account, value))
	t.Cleanup(func() { _ = keyring.Delete(Service, account) })
	ctx := within(t, 3*time.Second)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			got, err := (&Keychain{Getenv: os.Getenv}).Get(ctx, account)
			if err != nil || got.Reveal() != value {
				t.Errorf("read %q, %v", got.Reveal(), err)
			}
		})
	}
	all.Wait()
}

// TestLateAnswer: an answer to the dialog that comes too late is not used.
func TestLateAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		k := &Keychain{Waiting: func() (context.Context, func()) { return t.Context(), func() {} }}
		got, err := inDialog(k, func() (secret.Value, error) {
			time.Sleep(UnlockTimeout + time.Second)
			return secret.New("late"), nil
		})
		if !errors.Is(err, secret.ErrTimeout) || got.Reveal() != "" || time.Since(start) != UnlockTimeout {
			t.Errorf("after %v: %q, %v", time.Since(start), got.Reveal(), err)
		}
		time.Sleep(2 * time.Second) // the late answer goes nowhere, and nothing waits for it
	})
}

// TestInterruptedDialog: a signal ends the wait for a person, and the run's
// clock goes on.
func TestInterruptedDialog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, signal := time.Now(), errors.New("a signal")
		ctx, cancel := context.WithCancelCause(t.Context())
		done := false
		k := &Keychain{Waiting: func() (context.Context, func()) { return ctx, func() { done = true } }}
		go func() {
			time.Sleep(5 * time.Second)
			cancel(signal)
		}()
		_, err := inDialog(k, func() (secret.Value, error) {
			time.Sleep(time.Minute)
			return secret.Value{}, nil
		})
		if !errors.Is(err, signal) || time.Since(start) != 5*time.Second || !done {
			t.Errorf("after %v: %v, done %v", time.Since(start), err, done)
		}
		time.Sleep(time.Minute) // nothing waits for the answer
	})
}

// TestDismissedDialog: after a dialog that was dismissed the keychain is
// locked, although the library reports an error of its own; any other answer
// comes through as it is.
func TestDismissedDialog(t *testing.T) {
	k := &Keychain{Waiting: func() (context.Context, func()) { return t.Context(), func() {} }}
	for answer, want := range map[error]error{
		secret.ErrUnavailable: secret.ErrLocked,
		secret.ErrNotFound:    secret.ErrNotFound,
		nil:                   nil,
	} {
		if _, err := inDialog(k, func() (struct{}, error) { return struct{}{}, answer }); !errors.Is(err, want) {
			t.Errorf("%v becomes %v, want %v", answer, err, want)
		}
	}
}

// TestRealSetAndDelete writes with one hand and reads with the other. An item
// of 8 KiB reads back equal.
func TestRealSetAndDelete(t *testing.T) {
	needKeyring(t)
	const account, neighbour = "zeepay/written/password@127.0.0.1:1", "zeepay/neighbour/password@127.0.0.1:1"
	k := &Keychain{Getenv: os.Getenv}
	check.OK(t, keyring.Set(Service, neighbour, "stays"))
	t.Cleanup(func() { _ = keyring.Delete(Service, neighbour) })
	t.Cleanup(func() { _ = keyring.Delete(Service, account) })
	for _, value := range []string{"x", " $&'\"\\ \t", "pässwörd 😀", strings.Repeat("k", 8192)} {
		check.OK(t, k.Set(within(t, 3*time.Second), account, secret.New(value)))
		if got, err := keyring.Get(Service, account); err != nil || got != value {
			t.Fatalf("stored %q, %v; want %q", got, err, value)
		}
	}
	for _, want := range []error{nil, secret.ErrNotFound} {
		if err := k.Delete(within(t, 3*time.Second), account); !errors.Is(err, want) {
			t.Errorf("deleted with %v, want %v", err, want)
		}
	}
	if _, err := keyring.Get(Service, account); !errors.Is(err, keyring.ErrNotFound) {
		t.Errorf("the item is still there: %v", err)
	}
	if got, err := keyring.Get(Service, neighbour); err != nil || got != "stays" {
		t.Errorf("the neighbour is %q, %v", got, err)
	}
}

// TestDeleteRemovesAll: an item that another program has stored beside ours, under
// the same name and with one more attribute, goes too.
func TestDeleteRemovesAll(t *testing.T) {
	needKeyring(t)
	const account = "zeepay/twice/password@127.0.0.1:1"
	k := &Keychain{Getenv: os.Getenv}
	check.OK(t, k.Set(within(t, 3*time.Second), account, secret.New("first")))
	store := exec.Command("secret-tool", "store", "--label=x", "service", Service, "username", account, "other", "x")
	store.Stdin = strings.NewReader("second")
	if err := store.Run(); err != nil {
		t.Skipf("secret-tool: %v", err)
	}
	for _, want := range []error{nil, secret.ErrNotFound} {
		if err := k.Delete(within(t, 3*time.Second), account); !errors.Is(err, want) {
			t.Errorf("deleted with %v, want %v", err, want)
		}
	}
	if _, err := keyring.Get(Service, account); !errors.Is(err, keyring.ErrNotFound) {
		t.Errorf("an item is still there: %v", err)
	}
}

// TestSystemCommand checks that the command that the README names stores what is read.
func TestSystemCommand(t *testing.T) {
	needKeyring(t)
	const account = "mpay/default/password@api.mpayafrica.co.tz"
	store := exec.Command("secret-tool", "store", "--label=tokenfetch", "service", Service, "username", account)
	store.Stdin = strings.NewReader("typed-by-hand")
	if out, err := store.CombinedOutput(); err != nil {
		t.Fatalf("secret-tool: %v\n%s", err, out)
	}
	t.Cleanup(func() { _ = keyring.Delete(Service, account) })
	got, err := (&Keychain{Getenv: os.Getenv}).Get(within(t, 3*time.Second), account)
	if err != nil || got.Reveal() != "typed-by-hand" {
		t.Fatalf("read %q, %v", got.Reveal(), err)
	}
}

// TestLocked asks a locked keychain of its own session: without a person that
// is an error, and nobody is asked. With one, it asks once, and takes no for an
// answer. (The keychain finds no program here that could show a dialog, and
// says that it was dismissed.)
func TestLocked(t *testing.T) {
	needKeyring(t)
	for _, test := range []struct{ person, want string }{
		{"", secret.ErrLocked.Error()},
		{"there", "asked, " + secret.ErrLocked.Error()},
	} {
		if got := getLocked(t, test.person); got != test.want {
			t.Errorf("person %q: got %q, want %q", test.person, got, test.want)
		}
	}
}

// TestNoKeyring asks a keychain that the session bus starts for the question, so that
// nobody has made a keyring in it.
func TestNoKeyring(t *testing.T) {
	needKeyring(t)
	for _, person := range []string{"", "there"} { // nobody is asked, because no dialog could help
		if got := inSession(t, person, ""); got != secret.ErrNoKeyring.Error() {
			t.Errorf("person %q: got %q, want %q", person, got, secret.ErrNoKeyring)
		}
	}
}

// getLocked runs this test again in a session with a locked keychain.
func getLocked(t *testing.T, person string) string {
	t.Helper()
	return inSession(t, person, `
		printf x | gnome-keyring-daemon --unlock --components=secrets >/dev/null &&
		dbus-send --session --print-reply --dest=org.freedesktop.secrets /org/freedesktop/secrets \
			org.freedesktop.Secret.Service.Lock array:objpath:/org/freedesktop/secrets/collection/login >/dev/null &&`)
}

// inSession runs this test again in a session of its own, after some commands.
func inSession(t *testing.T, person, before string) string {
	t.Helper()
	session := exec.CommandContext(within(t, 10*time.Second), "dbus-run-session", "--", "sh", "-c",
		before+childAddress+`="$DBUS_SESSION_BUS_ADDRESS" exec "$0"`, os.Args[0])
	session.Env = append(os.Environ(), "HOME="+t.TempDir(), "XDG_RUNTIME_DIR="+t.TempDir(), childPerson+"="+person)
	out, err := session.Output()
	check.OK(t, err)
	return string(out)
}

// The rows without a keychain run this test again as a process of its own,
// because the D-Bus library keeps one connection for the whole process.
const (
	childAddress = "TEST_BUS_ADDRESS"
	childPerson  = "TEST_PERSON" // not empty if somebody can answer a dialog
	childPing    = "TEST_PING"   // not empty for Ping instead of Get
)

func TestMain(m *testing.M) {
	if address, ok := os.LookupEnv(childAddress); ok {
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		defer cancel()
		os.Setenv("DBUS_SESSION_BUS_ADDRESS", address)
		k := &Keychain{Getenv: os.Getenv, Dialog: os.Getenv(childPerson) != ""}
		k.Waiting = func() (context.Context, func()) {
			os.Stdout.WriteString("asked, ")
			return context.Background(), func() {}
		}
		var err error
		if os.Getenv(childPing) != "" {
			err = k.Ping(ctx)
		} else {
			_, err = k.Get(ctx, "a")
		}
		fmt.Print(err)
		return
	}
	os.Exit(m.Run())
}

func getInChild(t *testing.T, address string, more ...string) (message string, dir string) {
	t.Helper()
	dir = t.TempDir()
	// Whoever would start a daemon leaves a trace.
	for _, name := range []string{"dbus-launch", "dbus-daemon", "gnome-keyring-daemon"} {
		script := "#!/bin/sh\n: >" + filepath.Join(dir, "started") + "\n"
		check.OK(t, os.WriteFile(filepath.Join(dir, name), []byte(script), 0o700))
	}
	child := exec.CommandContext(within(t, 5*time.Second), os.Args[0])
	child.Env = []string{"PATH=" + dir, childAddress + "=" + address, "HOME=" + dir, "XDG_RUNTIME_DIR=" + dir, "GORACE=atexit_sleep_ms=0"}
	child.Env = append(child.Env, more...)
	out, err := child.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Join(dir, "started")); err == nil {
		t.Fatal("a daemon was started")
	}
	return string(out), dir
}

// TestNoBus: where there is no bus, none is started.
func TestNoBus(t *testing.T) {
	for _, address := range []string{"", "autolaunch:", "unix:path=/nonexistent/bus", "nonsense"} {
		if address == "" {
			if info, err := os.Stat(userBus()); err == nil && info.Mode()&os.ModeSocket != 0 {
				continue // this machine has a user bus, which may be used
			}
		}
		if got, _ := getInChild(t, address); got != secret.ErrUnavailable.Error() {
			t.Errorf("address %q: %q, want %q", address, got, secret.ErrUnavailable)
		}
	}
}

// TestSilentBus: a bus that accepts and never answers.
func TestSilentBus(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "bus")
	listener, err := net.Listen("unix", socket)
	check.OK(t, err)
	defer listener.Close()
	if got, _ := getInChild(t, "unix:path="+socket); got != secret.ErrTimeout.Error() {
		t.Errorf("got %q, want %q", got, secret.ErrTimeout)
	}
}

// TestBrokenBus: a bus that hangs up.
func TestBrokenBus(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "bus")
	listener, err := net.Listen("unix", socket)
	check.OK(t, err)
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	if got, _ := getInChild(t, "unix:path="+socket); got != secret.ErrUnavailable.Error() {
		t.Errorf("got %q, want %q", got, secret.ErrUnavailable)
	}
}

// TestPing: each trouble has its own answer, and nothing is started.
func TestPing(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "bus")
	listener, err := net.Listen("unix", socket)
	check.OK(t, err)
	defer listener.Close()
	for address, want := range map[string]error{
		"autolaunch:":                ErrNoBus,
		"unix:path=/nonexistent/bus": ErrBusBroken,
		"nonsense":                   ErrBusBroken,
		"unix:path=" + socket:        secret.ErrTimeout, // accepts and never answers
	} {
		if got, _ := getInChild(t, address, childPing+"=yes"); got != want.Error() {
			t.Errorf("address %q: %q, want %q", address, got, want)
		}
	}
}

// TestPingStartsNothing asks a session bus that would start a keychain service,
// without one and with one, unlocked and locked.
func TestPingStartsNothing(t *testing.T) {
	needKeyring(t)
	const (
		call   = "dbus-send --session --print-reply --dest=org.freedesktop.secrets /org/freedesktop/secrets "
		start  = "printf x | gnome-keyring-daemon --unlock --components=secrets >/dev/null && " + call + "org.freedesktop.DBus.Peer.Ping >/dev/null"
		locked = start + " && " + call + "org.freedesktop.Secret.Service.Lock array:objpath:/org/freedesktop/secrets/collection/login >/dev/null"
	)
	for setUp, want := range map[string]string{"true": ErrNotRunning.Error(), start: "<nil>", locked: secret.ErrLocked.Error()} {
		session := exec.CommandContext(within(t, 10*time.Second), "dbus-run-session", "--", "sh", "-c",
			setUp+` && `+childPing+`=yes `+childAddress+`="$DBUS_SESSION_BUS_ADDRESS" "$0" && echo && dbus-send --session --print-reply \
			--dest=org.freedesktop.DBus / org.freedesktop.DBus.NameHasOwner string:org.freedesktop.secrets`, os.Args[0])
		session.Env = append(os.Environ(), "HOME="+t.TempDir(), "XDG_RUNTIME_DIR="+t.TempDir())
		out, err := session.Output()
		check.OK(t, err)
		got, owner, _ := strings.Cut(string(out), "\n")
		if running := strings.Contains(owner, "boolean true"); got != want || running == (setUp == "true") {
			t.Errorf("%s: %q, running %v; want %q", setUp, got, running, want)
		}
	}
}
