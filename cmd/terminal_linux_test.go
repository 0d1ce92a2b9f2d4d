package cmd

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// terminal is a program that runs on a pseudo-terminal of its own, with
// standard output elsewhere.
type terminal struct {
	master *os.File
	slave  *os.File
	cmd    *exec.Cmd
	stdout bytes.Buffer

	answered int // how much the screen showed at the last answer

	mu     sync.Mutex
	screen bytes.Buffer
}

func startOnTerminal(t *testing.T, environ []string, args ...string) *terminal {
	t.Helper()
	tt := newTerminal(t, environ, args...)
	tt.cmd.Stdout = &tt.stdout
	tt.start(t)
	return tt
}

// newTerminal prepares a run whose streams are all the terminal.
func newTerminal(t *testing.T, environ []string, args ...string) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("there are no pseudo-terminals here")
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	check.OK(t, err)
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	check.OK(t, err)
	tt := &terminal{master: master, slave: slave, cmd: exec.Command(filepath.Join(builtProgram(t), "tokenfetch"), args...)}
	tt.cmd.Env = append([]string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH"), "TERM=xterm"}, environ...)
	tt.cmd.Stdin, tt.cmd.Stdout, tt.cmd.Stderr = slave, slave, slave
	tt.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	t.Cleanup(func() {
		if tt.cmd.Process != nil {
			_ = tt.cmd.Process.Kill()
		}
		master.Close()
		slave.Close()
	})
	return tt
}

func (tt *terminal) start(t *testing.T) {
	t.Helper()
	check.OK(t, tt.cmd.Start())
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, err := tt.master.Read(buffer)
			tt.mu.Lock()
			tt.screen.Write(buffer[:n])
			tt.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
}

// echo reports whether the terminal shows what is typed.
func (tt *terminal) echo(t *testing.T) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(tt.slave.Fd()), unix.TCGETS)
	check.OK(t, err)
	return state.Lflag&unix.ECHO != 0
}

func (tt *terminal) shown() string {
	tt.mu.Lock()
	defer tt.mu.Unlock()
	return tt.screen.String()
}

// until waits for a condition.
func (tt *terminal) until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for range 3000 { // where much else runs a shell takes seconds to start
		if condition() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("never saw %s; the screen shows %q", what, tt.shown())
}

func (tt *terminal) typeText(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(tt.master, text); err != nil {
		t.Fatal(err)
	}
}

// mpayServer answers like MPay and hands over the passwords it gets.
func mpayServer(t *testing.T, delay time.Duration) (environ []string, bodies chan string) {
	t.Helper()
	bodies = make(chan string, 4)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		bodies <- string(body)
		select {
		case <-time.After(delay):
			fmt.Fprintf(w, `{"status":1,"token":%q}`, canaries["TOKEN"])
		case <-r.Context().Done(): // nobody waits for it
		}
	}))
	t.Cleanup(server.Close)
	return []string{"TOKENFETCH_MPAY_USERNAME=ops", "TOKENFETCH_MPAY_BASE_URL=" + server.URL}, bodies
}

func TestTypedSecretIsNotShown(t *testing.T) {
	environ, bodies := mpayServer(t, 0)
	tt := startOnTerminal(t, environ, "mpay", "--password-file", "-", "--timeout", "200ms")
	tt.until(t, "the echo turned off", func() bool { return !tt.echo(t) })
	// The time a person takes does not count: this is longer than the limit.
	time.Sleep(300 * time.Millisecond)
	tt.typeText(t, canaries["PASSWORD"]+"\n")
	if err := tt.cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, tt.shown())
	}
	if want := `"password":"` + canaries["PASSWORD"] + `"`; !strings.Contains(<-bodies, want) {
		t.Error("the password that was typed was not sent")
	}
	if got := tt.stdout.String(); got != canaries["TOKEN"]+"\n" {
		t.Errorf("standard output %q", got)
	}
	if !tt.echo(t) || leak(tt.shown(), canaries["PASSWORD"]) != "" {
		t.Errorf("echo %v, screen %q", tt.echo(t), tt.shown())
	}
}

func TestInterruptedWhileTyping(t *testing.T) {
	for _, end := range []struct {
		name string
		stop func(*testing.T, *terminal)
		want syscall.Signal
	}{
		{"Ctrl-C", func(t *testing.T, tt *terminal) { tt.typeText(t, "\x03") }, syscall.SIGINT},
		{"SIGTERM", func(_ *testing.T, tt *terminal) { _ = tt.cmd.Process.Signal(syscall.SIGTERM) }, syscall.SIGTERM},
		{"SIGHUP", func(_ *testing.T, tt *terminal) { _ = tt.cmd.Process.Signal(syscall.SIGHUP) }, syscall.SIGHUP},
	} {
		t.Run(end.name, func(t *testing.T) {
			environ, _ := mpayServer(t, 0)
			tt := startOnTerminal(t, environ, "mpay", "--password-file", "-")
			tt.until(t, "the echo turned off", func() bool { return !tt.echo(t) })
			start := time.Now()
			end.stop(t, tt)
			err := tt.cmd.Wait()
			if took := time.Since(start); took > time.Second {
				t.Errorf("took %v", took)
			}
			status, _ := tt.cmd.ProcessState.Sys().(syscall.WaitStatus)
			if !status.Signaled() || status.Signal() != end.want {
				t.Errorf("ended with %v, want signal %v", err, end.want)
			}
			if !tt.echo(t) {
				t.Error("the terminal is left without echo")
			}
		})
	}
}

func TestWaitingLineIsErased(t *testing.T) {
	t.Parallel()
	environ, _ := mpayServer(t, 1500*time.Millisecond)
	tt := startOnTerminal(t, append(environ, "TOKENFETCH_MPAY_PASSWORD="+canaries["PASSWORD"]), "mpay")
	if err := tt.cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, tt.shown())
	}
	tt.until(t, "the line erased", func() bool { return strings.HasSuffix(tt.shown(), "\r\x1b[K") })
	if !strings.HasPrefix(tt.shown(), "tokenfetch: waiting for 127.0.0.1:") || strings.Contains(tt.shown(), "\n") {
		t.Errorf("screen %q", tt.shown())
	}
}

// TestHelperAsks runs a helper that asks on the terminal, twice: it must have
// been the foreground each time, and the program again after it.
func TestHelperAsks(t *testing.T) {
	dir := t.TempDir()
	helper := filepath.Join(dir, "ask")
	script := "#!/bin/sh\nprintf 'PIN: ' >/dev/tty; read pin </dev/tty; test \"$pin\" = 1234 && echo " + canaries["PASSWORD"] + "\n"
	check.OK(t, os.WriteFile(helper, []byte(script), 0o700))
	environ, bodies := mpayServer(t, 0)
	profiles := filepath.Join(dir, "profiles.toml")
	_, base, _ := strings.Cut(environ[1], "=")
	text := fmt.Sprintf("[mpay.default]\nbase_url = %q\nusername = { command = [%q] }\npassword = { command = [%q] }\n", base, helper, helper)
	check.OK(t, os.WriteFile(profiles, []byte(text), 0o600))
	tt := startOnTerminal(t, nil, "mpay", "--config", profiles)
	tt.until(t, "the first question", func() bool { return strings.Count(tt.shown(), "PIN:") == 1 })
	tt.typeText(t, "1234\n")
	tt.until(t, "the second question", func() bool { return strings.Count(tt.shown(), "PIN:") == 2 })
	tt.typeText(t, "1234\n")
	if err := tt.cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, tt.shown())
	}
	if body := <-bodies; strings.Count(body, canaries["PASSWORD"]) != 2 {
		t.Errorf("sent %q", body)
	}
}

// TestTokenOnATerminal: the same bytes as elsewhere, and below them only for
// how long the token can be used.
func TestTokenOnATerminal(t *testing.T) {
	for _, c := range []struct{ name, format, want string }{
		{"text", "text", canaries["TOKEN"] + "\ntokenfetch: good for one call\n"},
		{"a token is never coloured", "export", "export MPAY_ACCESS_TOKEN='" + canaries["TOKEN"] + "'\ntokenfetch: good for one call\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			environ, _ := mpayServer(t, 0)
			tt := newTerminal(t, append(environ, "COLORTERM=truecolor", "CLICOLOR_FORCE=1", "FORCE_COLOR=1", "TOKENFETCH_MPAY_PASSWORD="+canaries["PASSWORD"]), "mpay", "-o", c.format)
			state, err := unix.IoctlGetTermios(int(tt.slave.Fd()), unix.TCGETS)
			check.OK(t, err)
			state.Oflag &^= unix.OPOST // which turns a line end into two characters
			check.OK(t, unix.IoctlSetTermios(int(tt.slave.Fd()), unix.TCSETS, state))
			tt.start(t)
			if err := tt.cmd.Wait(); err != nil {
				t.Fatalf("%v\n%s", err, tt.shown())
			}
			tt.until(t, "the token", func() bool { return tt.shown() == c.want })
		})
	}
}

// TestLifetimeOnATerminal: where the token goes to a terminal a line on standard
// error says how long it lives, wherever that goes; elsewhere nothing does.
func TestLifetimeOnATerminal(t *testing.T) {
	token := canaries["TOKEN"]
	var lifetime atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer"%s}`, token, lifetime.Load())
	}))
	t.Cleanup(server.Close)
	key := filepath.Join(t.TempDir(), "key")
	check.OK(t, os.WriteFile(key, bytes.Repeat([]byte("k"), 32), 0o600))
	config := filepath.Join(t.TempDir(), "profiles.toml")
	profiles := fmt.Sprintf("[tokenfetch]\ncache_key = { file = %q }\n[zeepay.default]\nbase_url = %q\nclient_id = \"42\"\nusername = \"ops\"\nclient_secret = %q\npassword = %q\n",
		key, server.URL, canaries["CLIENT_SECRET"], canaries["PASSWORD"])
	check.OK(t, os.WriteFile(config, []byte(profiles), 0o600))
	home := "HOME=" + t.TempDir() // one for all: the second run takes the cached token
	for _, c := range []struct{ name, lifetime, want string }{
		{"fresh", `,"expires_in":43200`, token + "\ntokenfetch: valid for 12 h\n"},
		{"cached", "", token + "\ntokenfetch: valid for 11 h 59 min\n"},
		{"lifetime unknown", "", token + "\ntokenfetch: lifetime unknown, so it is not cached\n"},
		{"short", `,"expires_in":90`, token + "\ntokenfetch: valid for 90 s\n"},
		{"days", `,"expires_in":2592000`, token + "\ntokenfetch: valid for 30 days\n"},
		{"JSON", `,"expires_in":3600`, `\{.*"expires_in":3600,.*\}` + "\ntokenfetch: valid for 1 h\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			lifetime.Store(c.lifetime)
			args := []string{"zeepay", "--config", config}
			if c.name != "fresh" && c.name != "cached" {
				args = append(args, "--no-cache")
			}
			if c.name == "JSON" {
				args = append(args, "-o", "json")
			}
			tt := newTerminal(t, []string{home}, args...)
			tt.start(t)
			if err := tt.cmd.Wait(); err != nil {
				t.Fatalf("%v\n%s", err, tt.shown())
			}
			want := regexp.MustCompile("^" + strings.ReplaceAll(c.want, "\n", "\r\n") + "$")
			tt.until(t, fmt.Sprintf("%q", want), func() bool { return want.MatchString(tt.shown()) })
		})
	}
	t.Run("standard error elsewhere", func(t *testing.T) {
		var stderr bytes.Buffer
		tt := newTerminal(t, []string{home}, "zeepay", "--config", config)
		tt.cmd.Stderr = &stderr
		tt.start(t)
		if err := tt.cmd.Wait(); err != nil || !strings.HasPrefix(stderr.String(), "tokenfetch: valid for 1") {
			t.Errorf("%v: %q", err, stderr.String())
		}
		tt.shows(t, token+"\n")
	})
	t.Run("standard output elsewhere", func(t *testing.T) {
		tt := startOnTerminal(t, []string{home}, "zeepay", "--config", config)
		if err := tt.cmd.Wait(); err != nil || tt.stdout.String() != token+"\n" {
			t.Errorf("%v: standard output %q", err, tt.stdout.String())
		}
		if shown := tt.shown(); shown != "" {
			t.Errorf("the screen shows %q", shown)
		}
	})
	t.Run("to the file of a runner", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "env")
		check.OK(t, os.WriteFile(file, nil, 0o600))
		tt := newTerminal(t, []string{home, "GITHUB_ENV=" + file}, "zeepay", "--config", config, "-o", "github-env")
		tt.start(t)
		if err := tt.cmd.Wait(); err != nil {
			t.Fatalf("%v\n%s", err, tt.shown())
		}
		if shown := tt.shown(); strings.Contains(shown, "valid for") {
			t.Errorf("the screen shows %q", shown)
		}
	})
}

func TestColourOnATerminalOnly(t *testing.T) {
	for _, c := range []struct {
		name, environ, want string
	}{
		{"colour", "A=b", "tokenfetch: \x1b[31;1merror\x1b[0;22m: there is no flag --no-such-flag for tokenfetch mpay\r\n            (unknown_flag)\r\ntokenfetch: \x1b[36;1mhint\x1b[0;22m: run: tokenfetch mpay --help\r\n"},
		{"NO_COLOR", "NO_COLOR=1", "tokenfetch: error: there is no flag --no-such-flag for tokenfetch mpay\r\n            (unknown_flag)\r\ntokenfetch: hint: run: tokenfetch mpay --help\r\n"},
		{"a terminal that knows no colour", "TERM=dumb", "tokenfetch: error: there is no flag --no-such-flag for tokenfetch mpay\r\n            (unknown_flag)\r\ntokenfetch: hint: run: tokenfetch mpay --help\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tt := startOnTerminal(t, []string{c.environ}, "mpay", "--no-such-flag")
			if err := tt.cmd.Wait(); err == nil {
				t.Fatal("want a failure")
			}
			tt.until(t, fmt.Sprintf("%q", c.want), func() bool { return tt.shown() == c.want })
		})
	}
}

// TestCtrlDInsteadOfAHiddenAnswer ends the input where a secret is asked for.
func TestCtrlDInsteadOfAHiddenAnswer(t *testing.T) {
	t.Run("standard input", func(t *testing.T) {
		environ, bodies := mpayServer(t, 0)
		tt := startOnTerminal(t, environ, "mpay", "--password-file", "-", "--errors", "json")
		tt.until(t, "the echo turned off", func() bool { return !tt.echo(t) })
		tt.typeText(t, "\x04")
		_ = tt.cmd.Wait()
		tt.until(t, "the error", func() bool { return strings.Contains(tt.shown(), "the value from standard input is empty") })
		if got := tt.cmd.ProcessState.ExitCode(); got != 3 || !tt.echo(t) || len(bodies) > 0 {
			t.Errorf("exit code %d, echo %v, %d requests", got, tt.echo(t), len(bodies))
		}
	})
	t.Run("login", func(t *testing.T) {
		dir := t.TempDir()
		tt := newTerminal(t, nil, "login", "mpay", "--store", "files", "--username", "ops", "-e", "production", "--verify=false", "--config", filepath.Join(dir, "profiles.toml"))
		tt.start(t)
		tt.until(t, "the question", func() bool { return strings.Contains(tt.shown(), "password") && !tt.echo(t) })
		tt.typeText(t, "\x04")
		_ = tt.cmd.Wait()
		tt.until(t, "the error", func() bool { return strings.Contains(tt.shown(), "(no_terminal)") })
		if got := tt.cmd.ProcessState.ExitCode(); got != 3 || !tt.echo(t) {
			t.Errorf("exit code %d, echo %v, screen %q", got, tt.echo(t), tt.shown())
		}
	})
}

// TestWaitingOnATerminalThatCannotErase: nothing but printable text reaches it.
func TestWaitingOnATerminalThatCannotErase(t *testing.T) {
	t.Parallel()
	environ, _ := mpayServer(t, 1500*time.Millisecond)
	tt := startOnTerminal(t, append(environ, "TERM=dumb", "TOKENFETCH_MPAY_PASSWORD="+canaries["PASSWORD"]), "mpay")
	if err := tt.cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, tt.shown())
	}
	tt.until(t, "the end of the line", func() bool { return strings.HasSuffix(tt.shown(), " ...\r\n") })
	if strings.Contains(tt.shown(), "\x1b") {
		t.Errorf("screen %q", tt.shown())
	}
}

// TestWaitingFitsTheTerminal: a line that the terminal broke could not be erased.
func TestWaitingFitsTheTerminal(t *testing.T) {
	t.Parallel()
	environ, _ := mpayServer(t, 1500*time.Millisecond)
	tt := newTerminal(t, append(environ, "TOKENFETCH_MPAY_PASSWORD="+canaries["PASSWORD"]), "mpay")
	tt.resize(t, 40)
	tt.start(t)
	if err := tt.cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, tt.shown())
	}
	tt.shows(t, "tokenfetch: waiting for 127.0.0.... ...\r\x1b[K"+canaries["TOKEN"]+"\ntokenfetch: good for one call\n")
}

// resize tells the terminal that it is so wide.
func (tt *terminal) resize(t *testing.T, width uint16) {
	t.Helper()
	check.OK(t, unix.IoctlSetWinsize(int(tt.slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: width}))
}

// shows waits until the screen shows exactly text.
func (tt *terminal) shows(t *testing.T, text string) {
	t.Helper()
	text = strings.ReplaceAll(text, "\n", "\r\n")
	tt.until(t, fmt.Sprintf("%q", text), func() bool { return tt.shown() == text })
}

// TestErrorsFitTheTerminal: what a terminal shows is folded at its width, at 80
// columns at most; elsewhere an error is one line.
func TestErrorsFitTheTerminal(t *testing.T) {
	const first, second = "tokenfetch: error: there is no flag --password: no flag takes a secret's value (unknown_flag)\n",
		"tokenfetch: hint: use --password-file FILE (- is standard input), an environment variable or the keychain: run tokenfetch mpay --help\n"
	const at80 = `tokenfetch: error: there is no flag --password: no flag takes a secret's value
            (unknown_flag)
tokenfetch: hint: use --password-file FILE (- is standard input), an environment
            variable or the keychain: run tokenfetch mpay --help
`
	for width, want := range map[uint16]string{
		0:   at80,
		200: at80,
		60: `tokenfetch: error: there is no flag --password: no flag
            takes a secret's value (unknown_flag)
tokenfetch: hint: use --password-file FILE (- is standard
            input), an environment variable or the keychain:
            run tokenfetch mpay --help
`,
		// Narrower than is of use: the terminal breaks the lines again.
		10: `tokenfetch: error: there is no flag
            --password: no flag takes a
            secret's value
            (unknown_flag)
tokenfetch: hint: use --password-file
            FILE (- is standard input),
            an environment variable or
            the keychain: run tokenfetch
            mpay --help
`,
	} {
		t.Run(fmt.Sprint(width), func(t *testing.T) {
			tt := startNarrow(t, width, "mpay", "--password", "x")
			_ = tt.cmd.Wait()
			tt.shows(t, want)
		})
	}
	t.Run("not a terminal", func(t *testing.T) {
		var stderr bytes.Buffer
		tt := newTerminal(t, []string{"NO_COLOR=1"}, "mpay", "--password", "x")
		tt.cmd.Stderr = &stderr
		tt.start(t)
		_ = tt.cmd.Wait()
		if got := stderr.String(); got != first+second {
			t.Errorf("standard error %q", got)
		}
	})
}

// startNarrow starts a run on a terminal without colour that is so wide.
func startNarrow(t *testing.T, width uint16, args ...string) *terminal {
	t.Helper()
	tt := newTerminal(t, []string{"NO_COLOR=1"}, args...)
	if width > 0 {
		tt.resize(t, width)
	}
	tt.start(t)
	return tt
}

// TestHelpFitsTheTerminal: the table of flags is as wide as the terminal, and as one
// of 80 columns elsewhere.
func TestHelpFitsTheTerminal(t *testing.T) {
	tt := startNarrow(t, 60, "version", "--help")
	check.OK(t, tt.cmd.Wait())
	tt.shows(t, `Print the version.

Usage:
  tokenfetch version [flags]

Flags:
  -h, --help   help for version

Flags of every command:
      --config FILE        read profiles from FILE
      --errors text|json   how errors are printed
                           (default
                           $TOKENFETCH_ERRORS, else text)
      --timeout duration   limit for the whole run,
                           such as 10s
  -v, --verbose            log progress to stderr
`)
}
