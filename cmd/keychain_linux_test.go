package cmd

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// fakeBus is a session bus that does what serve does with each connection. It
// returns the variable that leads to it and a channel that tells of connections.
func fakeBus(t *testing.T, serve func(net.Conn)) (variable string, connected <-chan struct{}) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "bus")
	listener, err := net.Listen("unix", socket)
	check.OK(t, err)
	t.Cleanup(func() { listener.Close() })
	accepted := make(chan struct{}, 8)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
			accepted <- struct{}{}
			go serve(conn)
		}
	}()
	return "DBUS_SESSION_BUS_ADDRESS=unix:path=" + socket, accepted
}

// never answers.
func silent(net.Conn) {}

// refuses every way to log in, in words that must not be seen.
func talkative(conn net.Conn) {
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		fmt.Fprintf(conn, "ERROR %s \x1b[2J\r\n", canaries["PASSWORD"])
	}
}

// logsIn lets the client log in, as the D-Bus specification describes it.
func logsIn(conn net.Conn) *bufio.Reader {
	in := bufio.NewReader(conn)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return in
		}
		switch words := strings.Fields(strings.TrimLeft(line, "\x00")); {
		case len(words) > 0 && words[0] == "BEGIN":
			return in
		case len(words) > 2 && words[0] == "AUTH":
			fmt.Fprintf(conn, "OK %s\r\n", hex.EncodeToString(make([]byte, 16)))
		case len(words) > 0 && words[0] == "AUTH":
			fmt.Fprint(conn, "REJECTED EXTERNAL\r\n")
		default:
			fmt.Fprint(conn, "ERROR\r\n")
		}
	}
}

// hangsUp in the middle of the first call.
func hangsUp(conn net.Conn) {
	in := logsIn(conn)
	_, _ = io.ReadFull(in, make([]byte, 16))
	conn.Close()
}

// TestKeychainTrouble runs the program as it is shipped against session buses
// that do not work, with daemons in its PATH that must not be started.
func TestKeychainTrouble(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		serve func(net.Conn) // nil for no bus
		code  string
	}{
		{"a bus that never answers", silent, "keychain_timeout"},
		{"no bus", nil, "keychain_unavailable"},
		{"an error that holds a secret", talkative, "keychain_unavailable"},
		{"a bus that hangs up", hangsUp, "keychain_unavailable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			builtProgram(t) // before the clock runs
			plantDaemons(t, dir)
			environ, bodies := mpayServer(t, 0)
			environ = append(environ, "HOME="+dir, "PATH="+dir, "XDG_RUNTIME_DIR="+dir)
			if c.serve == nil {
				if info, err := os.Stat(fmt.Sprintf("/run/user/%d/bus", os.Getuid())); err == nil && info.Mode()&os.ModeSocket != 0 {
					environ = append(environ, "DBUS_SESSION_BUS_ADDRESS=autolaunch:")
				}
			} else {
				variable, _ := fakeBus(t, c.serve)
				environ = append(environ, variable)
			}
			for _, extra := range [][]string{nil, {"-v"}, {"--errors", "json"}} {
				start := time.Now()
				r := runBuilt(t, environ, append([]string{"mpay", "--timeout", "600ms"}, extra...)...)
				if took := time.Since(start); took > 1600*time.Millisecond {
					t.Errorf("%v: took %v", extra, took)
				}
				if r.exit != 3 || r.stdout != "" || !strings.Contains(r.stderr, c.code) {
					t.Errorf("%v: exit %d, want 3 %s\n%s%s", extra, r.exit, c.code, r.stdout, r.stderr)
				}
			}
			if len(bodies) > 0 {
				t.Error("something was sent")
			}
			if _, err := os.Stat(filepath.Join(dir, "started")); err == nil {
				t.Error("a daemon was started")
			}
		})
	}
}

// plantDaemons makes the programs that a D-Bus library might start; each leaves
// a trace.
func plantDaemons(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{"dbus-launch", "dbus-daemon", "dbus-run-session", "gnome-keyring-daemon"} {
		script := "#!/bin/sh\n: >" + filepath.Join(dir, "started") + "\n"
		check.OK(t, os.WriteFile(filepath.Join(dir, name), []byte(script), 0o700))
	}
}

// TestInterruptedAtTheKeychain: a signal while a bus is silent.
func TestInterruptedAtTheKeychain(t *testing.T) {
	t.Parallel()
	environ, _ := mpayServer(t, 0)
	variable, connected := fakeBus(t, silent)
	c := exec.Command(filepath.Join(builtProgram(t), "tokenfetch"), "mpay")
	c.Env = append(environ, variable, "HOME="+t.TempDir())
	p := startProcess(t, c)
	<-connected
	p.endsBy(t, syscall.SIGINT, time.Second)
}
