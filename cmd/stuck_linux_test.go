package cmd

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// TestNobodyReadsTheOutput lets standard output, standard error or both go to a
// pipe that takes nothing more.
func TestNobodyReadsTheOutput(t *testing.T) {
	t.Parallel()
	const (
		unread   = "tokenfetch: error: the token could not be written to standard output: its reader does not read (output_failed)\n"
		fetchNew = "tokenfetch: hint: check the program or file that standard output goes to, then fetch again\n"
	)
	for _, c := range []struct {
		name           string
		args           string
		stdout, stderr bool // is not read
		exit           int
		out, err       string
	}{
		{"the token", "mpay -o json --timeout 1s", true, false, 8, "", unread + fetchNew},
		{"a line that fails", "mpay -o export --timeout 1s --password hunter2", true, false, 2, "", "tokenfetch: error: there is no flag --password"},
		{"a report", "status --timeout 1s", true, false, 8, "", "tokenfetch: error: standard output cannot be written: its reader does not read (output_failed)\n"},
		{"a help text", "mpay --help --timeout 1s", true, false, 8, "", "tokenfetch: error: standard output cannot be written: its reader does not read (output_failed)\n"},
		{"what --verbose tells", "mpay -v", false, true, 0, canaries["TOKEN"] + "\n", ""},
		{"an error", "mpay --profile absent --timeout 1s", false, true, 3, "", ""},
		{"an error as JSON", "mpay --profile absent --errors json", false, true, 3, "", ""},
		{"help where a command is missing", "cache", false, true, 2, "", ""},
		{"both", "mpay --timeout 2s -v", true, true, 8, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			environ, _ := mpayServer(t, 0)
			r, w, filling := fullPipe(t)
			p := mpayProcess(t, environ, func(cmd *exec.Cmd) {
				cmd.Args = append(cmd.Args[:1], strings.Fields(c.args)...)
				if c.stdout {
					cmd.Stdout = w
				}
				if c.stderr {
					cmd.Stderr = w
				}
			})
			start := time.Now()
			_ = p.cmd.Wait()
			if took := time.Since(start); took > 4*time.Second {
				t.Errorf("took %v", took)
			}
			if got := p.cmd.ProcessState.ExitCode(); got != c.exit {
				t.Errorf("exit code %d, want %d", got, c.exit)
			}
			if got := p.stdout.String(); got != c.out {
				t.Errorf("standard output %q, want %q", got, c.out)
			}
			if got := p.stderr.String(); !strings.HasPrefix(got, c.err) {
				t.Errorf("standard error %q, want %q", got, c.err)
			}
			w.Close()
			if all, err := io.ReadAll(r); err != nil || string(all) != filling {
				t.Errorf("written to the pipe: %q %v", strings.TrimPrefix(string(all), filling), err)
			}
		})
	}
}

// TestCallThatNeverReturns has a system call hang that nothing can break off, as
// on a mount that stalls: the run ends all the same.
//
// What it knows of itself it may still be changing, so that nothing is said of it: the
// race detector finds a read.
func TestCallThatNeverReturns(t *testing.T) {
	t.Parallel()
	const message = "a file or directory did not answer within the time limit"
	for form, want := range map[string]string{
		"text": "tokenfetch: error: " + message + " (input_timeout)\n",
		"json": `{"schema":"tokenfetch.error/1","exit":3,"class":"config","code":"input_timeout","message":"` + message + `",`,
	} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			said, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
			check.OK(t, err)
			// It stays open: what hangs has used it, and may still do so.
			start := time.Now()
			code := Run(Env{
				Args: []string{"login", "zeepay", "--timeout", "300ms", "--errors", form}, Environ: []string{"HOME=" + t.TempDir()}, Start: start,
				Stdin: said, Stdout: said, Stderr: said, Keychain: &failingStore{},
				Terminal: func() (in, out *os.File, err error) { select {} },
			})
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("took %v", took)
			}
			text, err := os.ReadFile(said.Name())
			if err != nil || code != 3 || !strings.HasPrefix(string(text), want) {
				t.Errorf("exit code %d, standard error %q, %v; want 3 and %q", code, text, err, want)
			}
			if form == "json" && !strings.Contains(string(text), `"provider":null,"profile":null,"origin":null,`) {
				t.Errorf("standard error %q", text)
			}
		})
	}
}

// failingStore is a keychain that is not there.
type failingStore struct{}

func (*failingStore) Get(context.Context, string) (secret.Value, error) {
	return secret.Value{}, secret.ErrUnavailable
}

// TestSignalsThatGoWouldDump sends those for which Go prints its stacks.
func TestSignalsThatGoWouldDump(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{
		syscall.SIGQUIT, syscall.SIGILL, syscall.SIGTRAP, syscall.SIGABRT, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGSEGV, syscall.SIGSYS,
	} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			environ, bodies := mpayServer(t, 2*time.Second)
			p := mpayProcess(t, environ, nil)
			<-bodies
			check.OK(t, p.cmd.Process.Signal(signal))
			start := time.Now()
			_ = p.cmd.Wait()
			if got := p.cmd.ProcessState.ExitCode(); got != 128+int(signal) || time.Since(start) > time.Second {
				t.Errorf("ended with %v after %v", p.cmd.ProcessState, time.Since(start))
			}
			if want := fmt.Sprintf("tokenfetch: error: mpay/default: ended by a signal: %v; the request may have been processed (interrupted)\n", signal); p.stderr.String() != want || p.stdout.Len() > 0 {
				t.Errorf("standard error %q, want %q", p.stderr.String(), want)
			}
		})
	}
}

// TestIgnoredSignals starts a run as nohup does, and as a shell without job
// control does for a command behind which stands &.
func TestIgnoredSignals(t *testing.T) {
	t.Parallel()
	for name, signal := range map[string]syscall.Signal{"HUP": syscall.SIGHUP, "INT": syscall.SIGINT} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			environ, bodies := mpayServer(t, 500*time.Millisecond)
			p := mpayProcess(t, environ, func(c *exec.Cmd) {
				script := fmt.Sprintf(`trap "" %s; exec "$0" mpay`, name)
				c.Path, c.Args = "/bin/sh", []string{"sh", "-c", script, c.Path}
				c.Env = append(c.Env, "PATH="+os.Getenv("PATH"))
			})
			<-bodies
			check.OK(t, p.cmd.Process.Signal(signal))
			if err := p.cmd.Wait(); err != nil || p.stdout.String() != canaries["TOKEN"]+"\n" || p.stderr.Len() > 0 {
				t.Errorf("ended with %v: %q\n%s", err, p.stdout.String(), p.stderr.String())
			}
		})
	}
}
