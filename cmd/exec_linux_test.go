package cmd

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// execArgs is the command line that runs a command with a token of the emulator.
func execArgs(t *testing.T, command ...string) []string {
	t.Helper()
	return append([]string{filepath.Join(builtProgram(t), "tokenfetch"), "exec", "zeepay", "--emulator", "--"}, command...)
}

// TestExecChangesNothing: a command finds itself as it would without us. Its
// parent ignores two signals, and has an umask, a nice value, limits, a
// directory and an open file of its own.
func TestExecChangesNothing(t *testing.T) {
	t.Parallel()
	dir := nobodysDir(t)
	const parent = `trap '' INT HUP; umask 027; ulimit -c 12 -n 200 2>/dev/null; exec 7</dev/null; exec nice -n 5 "$@"`
	const command = `grep '^Sig\|^Shd\|^Seccomp:\|^NoNewPrivs' /proc/self/status; umask; ulimit -S -c; ulimit -H -c; ulimit -n; nice; pwd
		ls /proc/self/fd; head -c 1 /proc/$$/environ >/dev/null && echo dumpable; cat /proc/$$/oom_score_adj /proc/$$/coredump_filter; tty`
	run := func(args ...string) string {
		t.Helper()
		c := exec.Command("sh", append([]string{"-c", parent, "sh"}, args...)...)
		c.Dir, c.Env = dir, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
		asNobody(c)
		out, err := c.CombinedOutput()
		if err != nil && !strings.Contains(string(out), "not a tty") {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	want := run("sh", "-c", command)
	if !strings.Contains(want, "dumpable") || !strings.Contains(want, "\n0027\n") || !strings.Contains(want, "SigIgn:\t0000000000000003\n") {
		t.Fatalf("the parent is not as intended:\n%s", want)
	}
	check.Same(t, "without us, and with", want, run(execArgs(t, "sh", "-c", command)...))
}

// TestExecOnATerminal: one Ctrl-C arrives once, and an interactive shell has
// the terminal to itself.
func TestExecOnATerminal(t *testing.T) {
	t.Run("Ctrl-C", func(t *testing.T) {
		tt := newTerminal(t, nil, execArgs(t, "sh", "-c",
			`n=0; trap 'n=$((n+1))' INT; trap 'echo total $n; exit 3' TERM; echo ready; while :; do sleep 0.05; done`)[1:]...)
		tt.start(t)
		tt.until(t, "the command", func() bool { return strings.Contains(tt.shown(), "ready") })
		tt.typeText(t, "\x03")
		time.Sleep(300 * time.Millisecond) // for a second signal that must not come
		check.OK(t, tt.cmd.Process.Signal(syscall.SIGTERM))
		err := tt.cmd.Wait()
		tt.until(t, "the count", func() bool { return strings.Contains(tt.shown(), "total 1\r\n") })
		if tt.cmd.ProcessState.ExitCode() != 3 {
			t.Errorf("ended with %v", err)
		}
	})
	t.Run("interactive", func(t *testing.T) {
		tt := newTerminal(t, []string{"PS1=prompt> "}, execArgs(t, "sh", "-i")[1:]...)
		tt.start(t)
		tt.until(t, "the prompt", func() bool { return strings.Contains(tt.shown(), "prompt> ") })
		tt.typeText(t, "sleep 60\n")
		time.Sleep(200 * time.Millisecond)
		tt.typeText(t, "\x03") // ends what the shell runs, and not the shell
		tt.typeText(t, "echo $((6*7)) ${#ZEEPAY_ACCESS_TOKEN}; exit 5\n")
		err := tt.cmd.Wait()
		tt.until(t, "the answer", func() bool { return strings.Contains(tt.shown(), "42 35\r\n") })
		if tt.cmd.ProcessState.ExitCode() != 5 {
			t.Errorf("ended with %v", err)
		}
	})
}

// TestExecSignals: each signal to our process id arrives once.
func TestExecSignals(t *testing.T) {
	t.Parallel()
	bash := findBash(t)
	const script = `for s in TERM HUP USR1 USR2 WINCH TSTP QUIT INT; do trap "echo $s" $s; done; trap 'exit 9' ALRM
		echo ready; while :; do sleep 0.02; done`
	args := execArgs(t, bash, "-c", script)
	c := exec.Command(args[0], args[1:]...)
	c.Env = []string{"PATH=" + os.Getenv("PATH")}
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // nothing else sends it signals
	out, err := c.StdoutPipe()
	check.OK(t, err)
	p := startProcess(t, c)
	said := bufio.NewReader(out)
	next := func() string {
		line, err := said.ReadString('\n')
		if err != nil {
			t.Fatalf("%v\n%s", err, p.stderr.String())
		}
		return strings.TrimSuffix(line, "\n")
	}
	if line := next(); line != "ready" {
		t.Fatalf("the command said %q", line)
	}
	for _, s := range []struct {
		name   string
		signal syscall.Signal
	}{
		{"TERM", syscall.SIGTERM},
		{"HUP", syscall.SIGHUP},
		{"USR1", syscall.SIGUSR1},
		{"USR2", syscall.SIGUSR2},
		{"WINCH", syscall.SIGWINCH},
		{"TSTP", syscall.SIGTSTP},
		{"QUIT", syscall.SIGQUIT},
		{"INT", syscall.SIGINT},
	} {
		check.OK(t, c.Process.Signal(s.signal))
		if line := next(); line != s.name {
			t.Errorf("the command saw %q, want %s", line, s.name)
		}
	}
	check.OK(t, c.Process.Signal(syscall.SIGALRM))
	rest, err := io.ReadAll(said)
	check.OK(t, err)
	_ = c.Wait()
	if len(rest) > 0 || c.ProcessState.ExitCode() != 9 {
		t.Errorf("the command also saw %q; ended with %v", rest, c.ProcessState)
	}
	if p.stderr.Len() > 0 {
		t.Errorf("standard error: %s", p.stderr.String())
	}
}

// TestExecDiesAsItsCommand: a command that a signal ends is seen as such.
func TestExecDiesAsItsCommand(t *testing.T) {
	t.Parallel()
	args := execArgs(t, "sh", "-c", "kill -KILL $$")
	c := exec.Command(args[0], args[1:]...)
	c.Env = []string{"PATH=" + os.Getenv("PATH")}
	_ = c.Run()
	if status, _ := c.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGKILL {
		t.Errorf("ended with %v", c.ProcessState)
	}
}

// TestExecInterrupted: a signal before the command starts ends us by it.
func TestExecInterrupted(t *testing.T) {
	t.Parallel()
	mark := filepath.Join(t.TempDir(), "mark")
	environ, bodies := mpayServer(t, time.Second)
	p := mpayProcess(t, environ, func(c *exec.Cmd) { c.Args = []string{c.Args[0], "exec", "mpay", "--", "/bin/touch", mark} })
	<-bodies
	p.endsBy(t, syscall.SIGTERM, time.Second)
	if _, err := os.Stat(mark); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the command ran: %v", err)
	}
}

// TestExecStdin: a gibibyte goes through.
func TestExecStdin(t *testing.T) {
	t.Parallel()
	args := execArgs(t, "wc", "-c")
	c := exec.Command("sh", append([]string{"-c", `head -c 1073741824 /dev/zero | "$@"`, "sh"}, args...)...)
	c.Env = []string{"PATH=" + os.Getenv("PATH")}
	out, err := c.CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "1073741824" {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestExecEnvironment: what the kernel would not take with the token is refused
// before the token is fetched, and hardly anything else is.
func TestExecEnvironment(t *testing.T) {
	t.Parallel()
	environ, bodies := mpayServer(t, 0)
	environ = append(environ, "TOKENFETCH_MPAY_PASSWORD="+canaries["PASSWORD"], "XDG_STATE_HOME=/dev/null")
	padded := func(size int) []string {
		all := slices.Clone(environ)
		for i := 0; size > 0; i++ {
			n := min(size, 100_000)
			all = append(all, "PAD"+strconv.Itoa(i)+"="+strings.Repeat("x", n))
			size -= n
		}
		return all
	}
	args := []string{filepath.Join(builtProgram(t), "tokenfetch"), "exec", "mpay", "--", "/bin/true"}
	low, high := 0, 8<<20 // the largest padding with which the kernel starts us
	for low+1 < high {
		middle := (low + high) / 2
		c := exec.Command("/bin/true", args[1:]...)
		c.Env = padded(middle)
		if c.Run() == nil {
			low = middle
		} else {
			high = middle
		}
	}
	run := func(size int) ended {
		t.Helper()
		c := exec.Command(args[0], args[1:]...)
		c.Env = padded(size)
		return runCommand(t, c)
	}
	r := run(low - 1000)
	if r.exit != exitNotRunnable || !strings.Contains(r.stderr, "(environment_too_large)") || len(bodies) != 0 {
		t.Errorf("exit code %d, %d requests\n%s", r.exit, len(bodies), r.stderr)
	}
	if r := run(low - 16_000); r.exit != 0 || len(bodies) != 1 {
		t.Errorf("exit code %d, %d requests\n%s", r.exit, len(bodies), r.stderr)
	}
	// One variable may be too large alone.
	c := exec.Command(args[0], append(args[1:], strings.Repeat("x", 131_071))...)
	c.Env = environ
	if r := runCommand(t, c); r.exit != 0 {
		t.Errorf("the largest argument: exit code %d\n%s", r.exit, r.stderr)
	}
}

// TestExecAsInit: the first process of a container ends on SIGTERM while the
// token is fetched, and then it is the command itself.
func TestExecAsInit(t *testing.T) {
	t.Parallel()
	unshare, err := exec.LookPath("unshare")
	if err != nil || exec.Command(unshare, "--pid", "--fork", "true").Run() != nil {
		t.Skip("no process namespace can be made here")
	}
	start := func(t *testing.T, environ []string, args ...string) (p *process, out io.Reader, inside func() int) {
		c := exec.Command(unshare, append([]string{"--pid", "--fork", "--kill-child", filepath.Join(builtProgram(t), "tokenfetch")}, args...)...)
		c.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, environ...)
		out, err := c.StdoutPipe()
		check.OK(t, err)
		p = startProcess(t, c)
		return p, out, func() int {
			id := strconv.Itoa(c.Process.Pid)
			for range 500 {
				children, err := os.ReadFile("/proc/" + id + "/task/" + id + "/children")
				if pid, err := strconv.Atoi(strings.TrimSpace(string(children))); err == nil {
					return pid
				}
				check.OK(t, err)
				time.Sleep(10 * time.Millisecond)
			}
			t.Fatal("there is no first process")
			return 0
		}
	}
	t.Run("fetching", func(t *testing.T) {
		environ, bodies := mpayServer(t, 2*time.Second)
		p, _, inside := start(t, append(environ, "TOKENFETCH_MPAY_PASSWORD=x"), "exec", "mpay", "--", "true")
		<-bodies
		began := time.Now()
		check.OK(t, syscall.Kill(inside(), syscall.SIGTERM))
		_ = p.cmd.Wait()
		if took := time.Since(began); took > time.Second || p.cmd.ProcessState.ExitCode() != 143 {
			t.Errorf("ended with %v after %v\n%s", p.cmd.ProcessState, took, p.stderr.String())
		}
	})
	t.Run("running", func(t *testing.T) {
		const script = `trap 'echo ended; exit 4' TERM; (sleep 0.1 &); echo pid $$; while :; do sleep 0.02; done`
		p, out, inside := start(t, nil, execArgs(t, "sh", "-c", script)[1:]...)
		said := bufio.NewReader(out)
		if line, err := said.ReadString('\n'); err != nil || line != "pid 1\n" {
			t.Fatalf("the command said %q, %v\n%s", line, err, p.stderr.String())
		}
		time.Sleep(200 * time.Millisecond) // the orphan ends
		check.OK(t, syscall.Kill(inside(), syscall.SIGTERM))
		rest, err := io.ReadAll(said)
		check.OK(t, err)
		_ = p.cmd.Wait()
		if p.cmd.ProcessState.ExitCode() != 4 || string(rest) != "ended\n" {
			t.Errorf("ended with %v: %q\n%s", p.cmd.ProcessState, rest, p.stderr.String())
		}
	})
}
