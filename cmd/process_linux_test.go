package cmd

import (
	"bytes"
	"fmt"
	"io"
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

// process is a run of the built program that has not ended yet.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
}

func startProcess(t *testing.T, c *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: c}
	if c.Stdout == nil {
		c.Stdout = &p.stdout
	}
	if c.Stderr == nil {
		c.Stderr = &p.stderr
	}
	check.OK(t, c.Start())
	t.Cleanup(func() { _ = c.Process.Kill() })
	return p
}

// mpayProcess starts a run of the built program as it is set up by prepare.
func mpayProcess(t *testing.T, environ []string, prepare func(*exec.Cmd)) *process {
	t.Helper()
	c := exec.Command(filepath.Join(builtProgram(t), "tokenfetch"), "mpay")
	c.Env = append([]string{"HOME=" + t.TempDir(), "TOKENFETCH_MPAY_PASSWORD=" + canaries["PASSWORD"]}, environ...)
	if prepare != nil {
		prepare(c)
	}
	return startProcess(t, c)
}

// endsBy sends a signal and checks that the process dies of it within d.
func (p *process) endsBy(t *testing.T, signal syscall.Signal, d time.Duration) {
	t.Helper()
	start := time.Now()
	check.OK(t, p.cmd.Process.Signal(signal))
	err := p.cmd.Wait()
	if took := time.Since(start); took > d {
		t.Errorf("took %v, at most %v are allowed", took, d)
	}
	if status, _ := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != signal {
		t.Errorf("ended with %v, want signal %v", err, signal)
	}
	if fault := badStreams(p.stdout.String(), p.stderr.String(), false); fault != "" {
		t.Error(fault)
	}
	if strings.Count(p.stderr.String(), "\n") > 1 {
		t.Errorf("more than a line:\n%s", p.stderr.String())
	}
}

func TestEndsByTheSignal(t *testing.T) {
	t.Parallel()
	for name, signal := range map[string]syscall.Signal{
		"SIGINT": syscall.SIGINT, "SIGTERM": syscall.SIGTERM, "SIGHUP": syscall.SIGHUP,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			environ, bodies := mpayServer(t, time.Second)
			p := mpayProcess(t, environ, nil)
			<-bodies
			p.endsBy(t, signal, time.Second)
		})
	}
}

// fullPipe returns a pipe that takes nothing more until it is read, and what is
// in it.
func fullPipe(t *testing.T) (r, w *os.File, filling string) {
	t.Helper()
	var ends [2]int
	check.OK(t, unix.Pipe2(ends[:], unix.O_CLOEXEC))
	r, w = os.NewFile(uintptr(ends[0]), "pipe"), os.NewFile(uintptr(ends[1]), "pipe")
	t.Cleanup(func() { r.Close(); w.Close() })
	size, err := unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, 4096)
	check.OK(t, err)
	filling = strings.Repeat(".", size)
	if _, err := io.WriteString(w, filling); err != nil {
		t.Fatal(err)
	}
	return r, w, filling
}

// TestInterruptedWhileWriting holds the token up on its way out.
func TestInterruptedWhileWriting(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T) (p *process, rest func() string) {
		environ, bodies := mpayServer(t, 0)
		r, w, filling := fullPipe(t)
		p = mpayProcess(t, environ, func(c *exec.Cmd) { c.Stdout = w })
		<-bodies
		time.Sleep(200 * time.Millisecond) // the reply is read, and its token waits to be written
		return p, func() string {
			w.Close()
			all, err := io.ReadAll(r)
			check.OK(t, err)
			return strings.TrimPrefix(string(all), filling)
		}
	}
	t.Run("one signal: all of the token or nothing", func(t *testing.T) {
		t.Parallel()
		p, rest := start(t)
		p.endsBy(t, syscall.SIGINT, time.Second)
		if got := rest(); got != "" && got != canaries["TOKEN"]+"\n" {
			t.Errorf("a part of the token was written: %q", got)
		}
	})
	t.Run("read on after the signal", func(t *testing.T) {
		t.Parallel()
		p, rest := start(t)
		check.OK(t, p.cmd.Process.Signal(syscall.SIGINT))
		time.Sleep(100 * time.Millisecond)
		got := rest() // which lets the token through
		err := p.cmd.Wait()
		if got != "" && got != canaries["TOKEN"]+"\n" || got == "" && err == nil {
			t.Errorf("written %q, and ended with %v", got, err)
		}
	})
	t.Run("a second signal ends it at once", func(t *testing.T) {
		t.Parallel()
		p, rest := start(t)
		check.OK(t, p.cmd.Process.Signal(syscall.SIGINT))
		time.Sleep(50 * time.Millisecond)
		p.endsBy(t, syscall.SIGINT, 500*time.Millisecond)
		if got := rest(); got != "" {
			t.Errorf("written %q", got)
		}
	})
}

// TestStopped: a run that is stopped and goes on works as any other.
func TestStopped(t *testing.T) {
	t.Parallel()
	environ, bodies := mpayServer(t, 500*time.Millisecond)
	p := mpayProcess(t, environ, func(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} })
	<-bodies
	check.OK(t, p.cmd.Process.Signal(syscall.SIGTSTP))
	stat := fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid)
	stopped := false
	for range 100 {
		text, err := os.ReadFile(stat)
		check.OK(t, err)
		if stopped = bytes.Contains(text, []byte(") T ")); stopped {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if !stopped {
		t.Error("SIGTSTP does not stop it")
	}
	check.OK(t, p.cmd.Process.Signal(syscall.SIGCONT))
	if err := p.cmd.Wait(); err != nil || p.stdout.String() != canaries["TOKEN"]+"\n" || p.stderr.Len() > 0 || len(bodies) > 0 {
		t.Errorf("ended with %v: %q, %d more requests\n%s", err, p.stdout.String(), len(bodies), p.stderr.String())
	}
}
