package cmd

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// helperProfile writes a helper and a profile whose password it prints, and
// returns the profiles file and the bodies of the requests.
func helperProfile(t *testing.T, script string) (profiles string, bodies chan string) {
	t.Helper()
	dir := t.TempDir()
	helper := filepath.Join(dir, "ask")
	check.OK(t, os.WriteFile(helper, []byte("#!/bin/sh\n"+script), 0o700))
	environ, bodies := mpayServer(t, 0)
	profiles = filepath.Join(dir, "profiles.toml")
	_, base, _ := strings.Cut(environ[1], "=")
	text := fmt.Sprintf("[mpay.default]\nbase_url = %q\nusername = \"ops\"\npassword = { command = [%q] }\n", base, helper)
	check.OK(t, os.WriteFile(profiles, []byte(text), 0o600))
	return profiles, bodies
}

// alive reports whether a process runs whose arguments hold the text.
func alive(text string) bool {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, line := range lines {
		if args, err := os.ReadFile(line); err == nil && bytes.Contains(args, []byte(text)) && line != fmt.Sprintf("/proc/%d/cmdline", os.Getpid()) {
			return true
		}
	}
	return false
}

// TestInterruptedHelper presses Ctrl-C while a helper has the terminal.
func TestInterruptedHelper(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, script, key string
		want              syscall.Signal
	}{
		{"asks", "stty -echo; printf 'PIN: ' >&2; read pin; echo x", "\x03", syscall.SIGINT},
		{"ignores it", "trap '' INT; stty -echo; printf 'PIN: ' >&2; while :; do sleep 1; done", "\x03", syscall.SIGINT},
		{"prints a value then", "trap 'echo " + canaries["PASSWORD"] + "; exit' INT; stty -echo; printf 'PIN: ' >&2; while :; do sleep 0.1; done", "\x03", syscall.SIGINT},
		{"fails then", "trap 'exit 1' INT; stty -echo; printf 'PIN: ' >&2; while :; do sleep 0.1; done", "\x03", syscall.SIGINT},
		{"leaves a process behind", "(trap '' INT HUP; exec sleep 61.5) & stty -echo; printf 'PIN: ' >&2; read pin; echo x", "\x03", syscall.SIGINT},
		{"Ctrl-\\", "ulimit -c 0; stty -echo; printf 'PIN: ' >&2; read pin; echo x", "\x1c", syscall.SIGQUIT},
		{"is ended by SIGTERM", "stty -echo; printf 'PIN: ' >&2; kill -TERM $$", "", syscall.SIGTERM},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			profiles, bodies := helperProfile(t, c.script)
			tt := newTerminal(t, nil, "mpay", "--config", profiles)
			tt.start(t)
			tt.until(t, "the question", func() bool { return strings.Contains(tt.shown(), "PIN:") })
			time.Sleep(1200 * time.Millisecond) // in which nothing else is to appear
			start := time.Now()
			tt.typeText(t, c.key)
			_ = tt.cmd.Wait()
			if took := time.Since(start); took > time.Second {
				t.Errorf("took %v", took)
			}
			status, _ := tt.cmd.ProcessState.Sys().(syscall.WaitStatus)
			if c.want == syscall.SIGQUIT {
				if status.ExitStatus() != 128+int(c.want) {
					t.Errorf("ended with %v, want exit status %d", tt.cmd.ProcessState, 128+c.want)
				}
			} else if !status.Signaled() || status.Signal() != c.want {
				t.Errorf("ended with %v, want signal %v", tt.cmd.ProcessState, c.want)
			}
			if !tt.echo(t) {
				t.Error("the terminal is left without echo")
			}
			if len(bodies) > 0 {
				t.Error("the credentials were sent")
			}
			tt.until(t, "the error", func() bool {
				return strings.Contains(tt.shown(), "error\x1b[0;22m: mpay/default: ended by a signal: ") && strings.HasSuffix(tt.shown(), "(interrupted)\r\n")
			})
			if strings.Contains(tt.shown(), "waiting for") {
				t.Errorf("the screen shows %q", tt.shown())
			}
			tt.until(t, "the end of the helper", func() bool {
				return !alive(filepath.Dir(profiles)) && (c.name != "leaves a process behind" || !alive("sleep\x0061.5"))
			})
		})
	}
}

// TestHelperLeavesTheTerminalAsItWas lets a helper end without echo.
func TestHelperLeavesTheTerminalAsItWas(t *testing.T) {
	t.Parallel()
	profiles, bodies := helperProfile(t, "stty -echo; printf 'PIN: ' >&2; read pin; echo $pin")
	tt := startOnTerminal(t, nil, "mpay", "--config", profiles)
	tt.until(t, "the question", func() bool { return strings.Contains(tt.shown(), "PIN:") && !tt.echo(t) })
	time.Sleep(1200 * time.Millisecond)
	tt.typeText(t, canaries["PASSWORD"]+"\n")
	if err := tt.cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, tt.shown())
	}
	if !tt.echo(t) || tt.shown() != "PIN: " || !strings.Contains(<-bodies, canaries["PASSWORD"]) {
		t.Errorf("echo %v, the screen shows %q", tt.echo(t), tt.shown())
	}
}

// TestHelperTakesTooLong lets a helper that has the terminal run into the limit.
func TestHelperTakesTooLong(t *testing.T) {
	t.Parallel()
	profiles, bodies := helperProfile(t, "stty -echo; printf 'PIN: ' >&2; (trap '' HUP; sleep 60) & read pin")
	tt := startOnTerminal(t, []string{"NO_COLOR=1"}, "mpay", "--timeout", "1s", "--config", profiles)
	start := time.Now()
	_ = tt.cmd.Wait()
	tt.until(t, "the error", func() bool {
		return strings.HasPrefix(tt.shown(), "PIN: tokenfetch: error: the helper ask timed out; password of [mpay.default] runs it\r\n            (helper_timeout)\r\n") &&
			strings.HasSuffix(tt.shown(), "--timeout 60s\r\n")
	})
	if took := time.Since(start); took > 2*time.Second || tt.cmd.ProcessState.ExitCode() != 3 || !tt.echo(t) || len(bodies) > 0 {
		t.Errorf("%v after %v, echo %v, %d requests", tt.cmd.ProcessState, took, tt.echo(t), len(bodies))
	}
	tt.until(t, "the end of the helper", func() bool { return !alive(filepath.Dir(profiles)) })
}

// findBash returns the path of bash, or skips the test.
func findBash(t *testing.T) string {
	t.Helper()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("bash is not installed")
	}
	return bash
}

// startJobShell starts a shell with job control on a terminal of its own, which finds
// the program.
func startJobShell(t *testing.T) *terminal {
	t.Helper()
	bash := findBash(t)
	tt := newTerminal(t, []string{"PS1=<ready>", "HISTFILE="})
	tt.cmd.Path, tt.cmd.Args = bash, []string{"bash", "--norc", "--noprofile", "--noediting", "-i"}
	tt.cmd.Env = append(tt.cmd.Env, "PATH="+builtProgram(t)+":"+os.Getenv("PATH"))
	tt.start(t)
	return tt
}

// untilStopped is a command of the shell that waits until the shell itself knows
// that its job is stopped: to a job that it takes to be running fg sends nothing.
const untilStopped = `until [ -n "$(jobs -s)" ]; do sleep 0.05; done`

// TestHelperStopped presses Ctrl-Z while a helper has the terminal, in a shell
// with job control, and brings both back.
func TestHelperStopped(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, behind, back string }{
		{"alone", "", "fg"},
		{"in a pipeline", " | cat", "fg"},
		// Once it is stopped again, and once it is still to stop.
		{"in the background then", "", "bg; " + untilStopped + "; bg; sleep 0.01; fg"},
		{"in the background first", " &", "fg"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			profiles, bodies := helperProfile(t, "stty -echo; printf 'PIN: ' >&2; read pin; echo $pin")
			tt := startJobShell(t)
			ready := 0
			prompt := func(what string) {
				t.Helper()
				ready++
				tt.until(t, what, func() bool { return strings.Count(tt.shown(), "<ready>") >= ready })
			}
			prompt("the shell")
			tt.typeText(t, "tokenfetch mpay --timeout 3s --config "+profiles+c.behind+"\n")
			if c.behind == " &" {
				prompt("the shell while the job runs")
				tt.typeText(t, untilStopped+"\n") // the shell tells of its jobs before it asks
			} else {
				tt.until(t, "the question", func() bool { return strings.Contains(tt.shown(), "PIN:") && !tt.echo(t) })
				tt.typeText(t, "\x1a")
			}
			prompt("the shell while the job is stopped")
			if !tt.echo(t) {
				t.Error("the shell's terminal is without echo")
			}
			if !strings.Contains(tt.shown(), "Stopped") {
				t.Errorf("the screen shows %q", tt.shown())
			}
			time.Sleep(3200 * time.Millisecond) // which does not count
			tt.typeText(t, c.back+"\n")
			tt.until(t, "the echo turned off again", func() bool { return !tt.echo(t) })
			time.Sleep(100 * time.Millisecond)
			tt.typeText(t, canaries["PASSWORD"]+"\n")
			tt.until(t, "the token", func() bool { return strings.Contains(tt.shown(), canaries["TOKEN"]) })
			prompt("the shell at the end")
			if body := <-bodies; !strings.Contains(body, canaries["PASSWORD"]) || leak(tt.shown(), canaries["PASSWORD"]) != "" {
				t.Errorf("sent %q; the screen shows %q", body, tt.shown())
			}
			if !tt.echo(t) {
				t.Error("the terminal is left without echo")
			}
			tt.typeText(t, "exit\n")
			_ = tt.cmd.Wait()
		})
	}
}

// TestHelperAsksInTheForeground starts in the background, and is in the foreground
// when the helper asks.
func TestHelperAsksInTheForeground(t *testing.T) {
	t.Parallel()
	profiles, bodies := helperProfile(t, `until [ -e "$0.asks" ]; do sleep 0.05; done; stty -echo; printf 'PIN: ' >&2; read pin; echo $pin`)
	helper := filepath.Join(filepath.Dir(profiles), "ask")
	tt := startJobShell(t)
	tt.typeText(t, "tokenfetch mpay --config "+profiles+" &\n")
	tt.until(t, "the helper", func() bool { return alive(helper) })
	tt.typeText(t, "fg\n")
	tt.until(t, "the program in the foreground", func() bool {
		group, err := unix.IoctlGetInt(int(tt.master.Fd()), unix.TIOCGPGRP)
		return err == nil && group != tt.cmd.Process.Pid
	})
	check.OK(t, os.WriteFile(helper+".asks", nil, 0o600))
	tt.until(t, "the question", func() bool { return strings.Contains(tt.shown(), "PIN:") && !tt.echo(t) })
	tt.typeText(t, canaries["PASSWORD"]+"\n")
	tt.until(t, "the token", func() bool { return strings.Contains(tt.shown(), canaries["TOKEN"]) })
	if body := <-bodies; !strings.Contains(body, canaries["PASSWORD"]) || strings.Contains(tt.shown(), "Stopped") {
		t.Errorf("sent %q; the screen shows %q", body, tt.shown())
	}
}

// TestStoppedHelperIsEnded presses Ctrl-Z while a helper has the terminal, and never
// goes back.
func TestStoppedHelperIsEnded(t *testing.T) {
	t.Parallel()
	profiles, _ := helperProfile(t, "stty -echo; printf 'PIN: ' >&2; read pin; echo $pin")
	for _, c := range []struct{ name, line, end string }{
		{"kill", "tokenfetch mpay --config " + profiles, "kill %1"},
		{"the shell ends", "tokenfetch mpay --config " + profiles, "kill -9 $$"},
		{"kill in the background", "tokenfetch mpay --config " + profiles + " &", "kill %1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tt := startJobShell(t)
			tt.typeText(t, c.line+"\n")
			if !strings.HasSuffix(c.line, "&") {
				tt.until(t, "the question", func() bool { return strings.Contains(tt.shown(), "PIN:") })
				tt.typeText(t, "\x1a")
			} else {
				tt.typeText(t, untilStopped+"\n")
			}
			tt.until(t, "the shell", func() bool { return strings.Contains(tt.shown(), "Stopped") })
			time.Sleep(500 * time.Millisecond)
			if !alive(profiles) {
				t.Fatal("it has ended already")
			}
			tt.typeText(t, c.end+"\n")
			tt.until(t, "the end", func() bool { return !alive(profiles) })
			if c.end == "kill %1" && !tt.echo(t) {
				t.Error("the shell's terminal is without echo")
			}
		})
	}
}
