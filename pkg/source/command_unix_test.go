//go:build unix

package source_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/source"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// The test's program is its own helper: with this variable set it does what
// that says instead of testing.
const role = "SOURCE_TEST_ROLE"

func TestMain(m *testing.M) {
	if what := os.Getenv(role); what != "" {
		os.Exit(help(what))
	}
	os.Exit(m.Run())
}

func help(what string) int {
	switch what {
	case "print":
		fmt.Print(strings.Join(os.Args[1:], " "))
	case "fail":
		fmt.Println(canary)
		fmt.Fprintln(os.Stderr, canary)
		return 3
	case "die":
		fmt.Print(canary)
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		time.Sleep(time.Minute)
	case "environment":
		fmt.Print(strings.Join(slices.DeleteFunc(os.Environ(), func(entry string) bool {
			return strings.HasPrefix(entry, role) || strings.HasPrefix(entry, "GORACE")
		}), " "))
	case "input":
		data, err := io.ReadAll(os.Stdin)
		fmt.Printf("%d %v", len(data), err)
	case "flood": // and stay, though nobody reads any more
		signal.Ignore(syscall.SIGPIPE)
		chunk := []byte(strings.Repeat(canary, 1000))
		for {
			if _, err := os.Stdout.Write(chunk); err != nil {
				time.Sleep(time.Minute)
			}
		}
	case "leave": // a child behind that keeps the output open
		child := exec.Command("sleep", "4")
		child.Stdout = os.Stdout
		if err := child.Start(); err != nil {
			return 1
		}
		fmt.Println(canary)
	case "hang":
		return hang(os.Args[1], len(os.Args) > 2)
	}
	return 0
}

// hang writes a letter to a FIFO, keeps that open and ignores the signals that
// can be ignored; the first one starts another.
func hang(path string, last bool) int {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	w, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return 1
	}
	if !last {
		child := exec.Command(os.Args[0], path, "last")
		child.Stdout = os.Stdout
		if err := child.Start(); err != nil {
			return 1
		}
	}
	if _, err := w.WriteString("x"); err != nil {
		return 1
	}
	time.Sleep(time.Minute)
	return 0
}

// helper is the command line and environment for a role.
func helper(t *testing.T, what string, args ...string) (argv, environ []string) {
	t.Helper()
	program, err := os.Executable()
	check.OK(t, err)
	// The race detector would hold each helper up for a second at its end.
	return append([]string{program}, args...), []string{role + "=" + what, "GORACE=atexit_sleep_ms=0"}
}

func command(t *testing.T, ctx context.Context, what string, args ...string) (string, error) {
	t.Helper()
	argv, environ := helper(t, what, args...)
	v, err := source.Command(ctx, argv, environ, nil)
	return v.Reveal(), err
}

func TestHelper(t *testing.T) {
	for printed, want := range lineEnds {
		if got, err := command(t, t.Context(), "print", printed); err != nil || got != want {
			t.Errorf("printed %q: %q, %v; want %q", printed, got, err, want)
		}
	}
	name := filepath.Base(os.Args[0])
	for printed, rule := range broken {
		if strings.Contains(printed, "\x00") {
			continue // no argument of a command
		}
		_, err := command(t, t.Context(), "print", printed)
		e := check.Failure(t, err, canary)
		want := "the value from the helper " + name + " " + rule
		if len(printed) > source.MaxValue+2 {
			want = "the helper " + name + " printed more than the limit of 8192 bytes"
		}
		if e.Code != failure.HelperFailed || e.Message != want {
			t.Errorf("printed %.20q: %s %q, want helper_failed %q", printed, e.Code, e.Message, want)
		}
	}
}

// TestHelperWithoutShell: arguments arrive as they are.
func TestHelperWithoutShell(t *testing.T) {
	args := []string{"$(id)", "`id`", "a;b", "'c'", `"d"`, "*", "~", "$HOME", "|", ">x", "&&", "-x", "--"}
	got, err := command(t, t.Context(), "print", args...)
	if want := strings.Join(args, " "); err != nil || got != want {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
}

func TestHelperFails(t *testing.T) {
	name := filepath.Base(os.Args[0])
	for what, want := range map[string]failure.Error{
		"fail": {Message: "the helper " + name + " ended with status 3", Hint: "run it by hand to see why; tokenfetch does not show what it prints"},
		"die":  {Message: "the helper " + name + " was killed by a signal"},
	} {
		want.Code = failure.HelperFailed
		_, err := command(t, t.Context(), what)
		if diff := cmp.Diff(&want, check.Failure(t, err, canary)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
}

// TestHelperEnvironment: it gets what it is given and nothing of ours.
func TestHelperEnvironment(t *testing.T) {
	t.Setenv("TOKENFETCH_ZEEPAY_PASSWORD", canary)
	argv, environ := helper(t, "environment")
	v, err := source.Command(t.Context(), argv, append(environ, "A=1", "B=two", "A=3"), nil)
	if got, want := v.Reveal(), "A=3 B=two"; err != nil || got != want && got != "B=two A=3" {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	// No environment is not our environment.
	t.Setenv(role, "environment")
	got, err := source.Command(t.Context(), []string{"/bin/sh", "-c", "echo x; env | grep -c TOKENFETCH; true"}, nil, nil)
	if err == nil || !strings.Contains(check.Failure(t, err, canary).Message, "line break") {
		t.Errorf("%q, %v; want the lines x and 0", got.Reveal(), err)
	}
	got, err = source.Command(t.Context(), []string{"/bin/sh", "-c", `echo "x$TOKENFETCH_ZEEPAY_PASSWORD"`}, nil, nil)
	if err != nil || got.Reveal() != "x" {
		t.Errorf("%q, %v; want x", got.Reveal(), err)
	}
}

// TestHelperInput: without a terminal it reads end of file, and never ours.
func TestHelperInput(t *testing.T) {
	r, w, err := os.Pipe()
	check.OK(t, err)
	defer w.Close()
	defer r.Close()
	ours := os.Stdin
	os.Stdin = r
	defer func() { os.Stdin = ours }()
	if _, err := w.WriteString(canary); err != nil {
		t.Fatal(err)
	}
	got, err := command(t, t.Context(), "input")
	if err != nil || got != "0 <nil>" {
		t.Errorf("the helper read %q, %v", got, err)
	}
}

func TestHelperIsBounded(t *testing.T) {
	start := time.Now()
	_, err := command(t, t.Context(), "flood")
	e := check.Failure(t, err, canary)
	if want := "the helper " + filepath.Base(os.Args[0]) + " printed more than the limit of 8192 bytes"; e.Code != failure.HelperFailed || e.Message != want {
		t.Errorf("%+v", e)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestHelperHangs: at the deadline the helper and its children are gone, even
// if they ignore signals and keep the output open.
func TestHelperHangs(t *testing.T) {
	path := fifo(t)
	alive, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	check.OK(t, err)
	defer alive.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	ctx, stop := context.WithTimeout(ctx, 20*time.Second)
	defer stop()
	// Both run: then the deadline comes.
	ready := make(chan error, 1)
	deadline, expire := expiring(ctx)
	go func() {
		ready <- wait(alive, 2)
		expire()
	}()
	start := time.Now()
	_, err = command(t, deadline, "hang", path)
	e := check.Failure(t, err, canary)
	if want := "the helper " + filepath.Base(os.Args[0]) + " timed out"; e.Code != failure.HelperTimeout || e.Message != want {
		t.Errorf("%+v, want %q", e, want)
	}
	if err := <-ready; err != nil {
		t.Fatalf("the helper and its child did not start: %v", err)
	}
	// The last of them that had the FIFO open is gone.
	check.OK(t, alive.SetReadDeadline(time.Now().Add(2*time.Second)))
	if n, err := alive.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("a process is left behind: read %d, %v", n, err)
	}
	if took := time.Since(start); took > 15*time.Second {
		t.Errorf("it took %v", took)
	}
}

// wait reads n bytes.
func wait(r io.Reader, n int) error {
	for n > 0 {
		got, err := r.Read(make([]byte, n))
		if n -= got; err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		time.Sleep(5 * time.Millisecond) // end of file: nobody has opened it yet
	}
	return nil
}

// expiring returns a context whose deadline comes when expire is called.
func expiring(ctx context.Context) (_ context.Context, expire func()) {
	e := &expiry{Context: ctx, done: make(chan struct{})}
	return e, func() { close(e.done) }
}

type expiry struct {
	context.Context
	done chan struct{}
}

func (e *expiry) Done() <-chan struct{} { return e.done }

func (e *expiry) Err() error {
	select {
	case <-e.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

func TestHelperInterrupted(t *testing.T) {
	cause := errors.New("interrupted by the test")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if got, err := command(t, ctx, "input"); !errors.Is(err, cause) {
		t.Errorf("%q, %v; want the cause", got, err)
	}
}

// TestHelperLeavesAChild: one that keeps the output open is not waited for.
func TestHelperLeavesAChild(t *testing.T) {
	t.Parallel()
	argv, environ := helper(t, "leave")
	start := time.Now()
	_, err := source.Command(t.Context(), argv, append(environ, "PATH="+os.Getenv("PATH")), nil)
	e := check.Failure(t, err, canary)
	if want := "the helper " + filepath.Base(os.Args[0]) + " left a process behind that keeps its output open"; e.Code != failure.HelperFailed || e.Message != want {
		t.Errorf("%+v, want %q", e, want)
	}
	if took := time.Since(start); took > 3500*time.Millisecond {
		t.Errorf("it took %v", took)
	}
}

// plant makes a program in a directory of its own that leaves a mark if it runs.
func plant(t *testing.T, name string) (dir, mark string) {
	t.Helper()
	dir = t.TempDir()
	mark = filepath.Join(dir, "mark")
	check.OK(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\ntouch '"+mark+"'\necho planted\n"), 0o700))
	return dir, mark
}

func TestHelperNotFound(t *testing.T) {
	const name = "tokenfetch-test-helper"
	dir, mark := plant(t, name)
	check.OK(t, os.Mkdir(filepath.Join(dir, "sub"), 0o700))
	plain := write(t, "#!/bin/sh\n", 0o600)
	t.Chdir(dir)
	const relative = "is found only through a relative entry of PATH"
	for _, test := range []struct{ path, godebug, program, want string }{
		{"/nonexistent", "", name, "the helper " + name + " was not found in PATH"},
		{".", "", name, "the helper " + name + " " + relative},
		{"", "", name, "the helper " + name + " was not found in PATH"},
		{":/nonexistent", "", name, "the helper " + name + " " + relative},
		{"/nonexistent:", "", name, "the helper " + name + " " + relative},
		{"/nonexistent::/bin", "", name, "the helper " + name + " " + relative},
		{"./", "", name, "the helper " + name + " " + relative},
		{"sub/..", "", name, "the helper " + name + " " + relative},
		{".", "execerrdot=0", name, "the helper " + name + " " + relative},
		{":", "execerrdot=0", name, "the helper " + name + " " + relative},
		{"/bin", "", "./" + name, "the helper ./" + name + " has a relative path"},
		{"/bin", "execerrdot=0", "./" + name, "the helper ./" + name + " has a relative path"},
		{"/bin", "", "sub/../" + name, "the helper sub/../" + name + " has a relative path"},
		{"/bin", "", dir + "/none", "the helper " + dir + "/none was not found in PATH"},
		{"/bin", "", plain, "the helper " + plain + " cannot be executed"},
		{"/bin", "", dir, "the helper " + dir + " "},
		{"/bin", "", ".", "the helper . "},
		{"/bin", "", "..", "the helper .. "},
	} {
		t.Setenv("PATH", test.path)
		t.Setenv("GODEBUG", test.godebug)
		v, err := source.Command(t.Context(), []string{test.program}, []string{"PATH=/bin"}, nil)
		e := check.Failure(t, err, canary)
		if e.Code != failure.HelperNotFound || !strings.HasPrefix(e.Message, test.want) || !strings.HasSuffix(test.want, " ") && e.Message != test.want {
			t.Errorf("%q with PATH %q, GODEBUG %q: %v, %s %q; want helper_not_found %q", test.program, test.path, test.godebug, v, e.Code, e.Message, test.want)
		}
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("the planted program was run")
	}
}

// TestHelperInPath: the planted program runs where PATH names its directory.
func TestHelperInPath(t *testing.T) {
	const name = "tokenfetch-test-helper"
	dir, mark := plant(t, name)
	t.Setenv("PATH", dir)
	for _, program := range []string{name, filepath.Join(dir, name)} {
		v, err := source.Command(t.Context(), []string{program}, []string{"PATH=/usr/bin:/bin"}, nil)
		if err != nil || v.Reveal() != "planted" {
			t.Errorf("%s: %q, %v", program, v.Reveal(), err)
		}
	}
	if _, err := os.Stat(mark); err != nil {
		t.Error(err)
	}
}

// TestHelperIsNoProgram: what the system cannot run is told in our words.
func TestHelperIsNoProgram(t *testing.T) {
	path := write(t, canary, 0o700)
	_, err := source.Command(t.Context(), []string{path}, nil, nil)
	if e := check.Failure(t, err, canary); e.Code != failure.HelperFailed || !strings.HasPrefix(e.Message, "cannot run the helper value: ") {
		t.Errorf("%+v", e)
	}
}
