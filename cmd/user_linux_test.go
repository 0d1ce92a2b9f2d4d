package cmd

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// nobody is a user without rights.
const nobody = 65534

// asNobody makes a command run without rights: as another user if we are root,
// else as the one we are.
func asNobody(c *exec.Cmd) {
	if os.Getuid() == 0 {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
}

// nobodysDir returns a directory of the user that asNobody runs as. The test is
// skipped where that user cannot reach it.
func nobodysDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tokenfetch-user")
	check.OK(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if os.Getuid() == 0 {
		check.OK(t, os.Chown(dir, nobody, nobody))
	}
	c := exec.Command("ls", dir, filepath.Join(builtProgram(t), "tokenfetch"))
	asNobody(c)
	if out, err := c.CombinedOutput(); err != nil {
		t.Skipf("another user cannot reach the directory of the test: %v\n%s", err, out)
	}
	return dir
}

// writeFile writes a file with a mode.
func writeFile(t testing.TB, path, text string, mode fs.FileMode) {
	t.Helper()
	check.OK(t, os.WriteFile(path, []byte(text), 0o600))
	check.OK(t, os.Chmod(path, mode))
}

// copyProgram copies the built program. Another process does so, because a file
// that is open for writing in this one, or in a process that it is just starting,
// cannot be run.
func copyProgram(t *testing.T, path string, mode fs.FileMode) {
	t.Helper()
	if out, err := exec.Command("cp", filepath.Join(builtProgram(t), "tokenfetch"), path).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	check.OK(t, os.Chmod(path, mode))
}

// TestUnreadable has files that the user may not read.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	dir := nobodysDir(t)
	environ, bodies := mpayServer(t, 0)
	environ = append(environ, "HOME="+dir)
	check.OK(t, os.Mkdir(filepath.Join(dir, "closed"), 0o700))
	writeFile(t, filepath.Join(dir, "closed", "file"), canaries["PASSWORD"], 0o600)
	check.OK(t, os.Chmod(filepath.Join(dir, "closed"), 0))
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(dir, "closed"), 0o700) })
	file := filepath.Join(dir, "file") // of root, or with no rights
	writeFile(t, file, canaries["PASSWORD"], 0)
	environ = append(environ, "GITHUB_ENV="+file, "TOKENFETCH_MPAY_PASSWORD=x")
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"a secret file", []string{"--password-file", file}, "cannot read the file of --password-file: permission denied (file_unreadable)"},
		{"below a closed directory", []string{"--password-file", dir + "/closed/file"}, "cannot read the file of --password-file: permission denied (file_unreadable)"},
		{"the profiles file", []string{"--config", file}, "cannot read the file " + file + ": permission denied (profiles_unreadable)"},
		{"the directory of the profiles file", []string{"--config", dir + "/closed/file"}, "/closed/file: permission denied (profiles_unreadable)"},
		{"certificates", []string{"--ca-file", file}, "permission denied (ca_file_invalid)"},
		{"the file of a runner", []string{"-o", "github-env"}, "GITHUB_ENV names a file that cannot be written (runner_file_invalid)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			command := exec.Command(filepath.Join(builtProgram(t), "tokenfetch"), append([]string{"mpay"}, c.args...)...)
			command.Env = environ
			asNobody(command)
			r := runCommand(t, command)
			if r.exit != 3 || r.stdout != "" || !strings.Contains(r.stderr, c.want) {
				t.Errorf("exit %d, want 3 and %q\n%s%s", r.exit, c.want, r.stdout, r.stderr)
			}
		})
	}
	if len(bodies) > 0 {
		t.Error("something was sent")
	}
}

// A sandbox often has the user and nobody else: there the system's directories seem
// to belong to nobody.
func TestSandboxWithoutRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give a file away")
	}
	const user = 1000
	dir := nobodysDir(t)
	path := filepath.Join(dir, "profiles.toml")
	writeFile(t, path, "[mpay.ci]\nusername = \"u\"\npassword = \""+canaries["PASSWORD"]+"\"\n", 0o600)
	check.OK(t, os.Chown(path, user, user))
	for _, owner := range []int{user, 0} { // of the directory
		check.OK(t, os.Chown(dir, owner, owner))
		check.OK(t, os.Chmod(dir, 0o755))
		c := exec.CommandContext(t.Context(), filepath.Join(builtProgram(t), "tokenfetch"), "mpay/ci", "--config", path, "--dry-run")
		c.Env = []string{"HOME=" + dir}
		only := []syscall.SysProcIDMap{{ContainerID: user, HostID: user, Size: 1}}
		c.SysProcAttr = &syscall.SysProcAttr{
			Credential:  &syscall.Credential{Uid: user, Gid: user, NoSetGroups: true},
			Cloneflags:  syscall.CLONE_NEWUSER,
			UidMappings: only, GidMappings: only,
		}
		out, err := c.CombinedOutput()
		if c.ProcessState == nil {
			t.Skipf("there are no user namespaces here: %v", err)
		}
		if got := c.ProcessState.ExitCode(); got != 0 || !strings.Contains(string(out), "nothing was sent") {
			t.Errorf("the directory of %d: exit %d, %s", owner, got, out)
		}
	}
}

// TestOtherProcesses: another process of the same user can read neither the
// environment nor the memory of a run. It can those of any other program, which
// shows that the test would see it.
func TestOtherProcesses(t *testing.T) {
	t.Parallel()
	dir := nobodysDir(t)
	environ, bodies := mpayServer(t, time.Second)
	c := exec.Command(filepath.Join(builtProgram(t), "tokenfetch"), "mpay")
	c.Env = append(environ, "HOME="+dir, "TOKENFETCH_MPAY_PASSWORD="+canaries["PASSWORD"])
	asNobody(c)
	p := startProcess(t, c)
	<-bodies
	other := exec.Command("sleep", "5")
	other.Env = c.Env
	asNobody(other)
	check.OK(t, other.Start())
	t.Cleanup(func() { _ = other.Process.Kill(); _ = other.Wait() })

	look := func(pid int, what string) (string, error) {
		t.Helper()
		path := filepath.Join("/proc", strconv.Itoa(pid), what)
		c := exec.Command("head", "-c", "4096", path)
		asNobody(c)
		out, err := c.CombinedOutput()
		return string(out), err
	}
	if out, err := look(other.Process.Pid, "environ"); err != nil || !strings.Contains(out, canaries["PASSWORD"]) {
		t.Fatalf("the environment of an ordinary program cannot be read either: %v %q", err, out)
	}
	for _, what := range []string{"environ", "mem", "maps"} {
		if out, err := look(c.Process.Pid, what); err == nil || !strings.Contains(out, "Permission denied") {
			t.Errorf("/proc/PID/%s can be read by another process: %v %q", what, err, out)
		}
	}
	if err := c.Wait(); err != nil || p.stdout.String() != canaries["TOKEN"]+"\n" {
		t.Errorf("the run ended with %v: %q\n%s", err, p.stdout.String(), p.stderr.String())
	}
}

// TestSetUID: a program with other rights than its caller's does nothing.
func TestSetUID(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can make a set-uid program of another user")
	}
	dir := nobodysDir(t)
	var mount unix.Statfs_t
	if err := unix.Statfs(dir, &mount); err != nil || mount.Flags&unix.ST_NOSUID != 0 {
		t.Skipf("the file system of the test ignores set-uid bits: %v", err)
	}
	environ, bodies := mpayServer(t, 0)
	environ = append(environ, "HOME="+dir, "TOKENFETCH_MPAY_PASSWORD="+canaries["PASSWORD"])
	for name, mode := range map[string]fs.FileMode{
		"set-uid": 0o755 | fs.ModeSetuid,
		"set-gid": 0o755 | fs.ModeSetgid,
	} {
		t.Run(name, func(t *testing.T) {
			program := filepath.Join(dir, name)
			copyProgram(t, program, mode)
			for _, args := range [][]string{{"mpay"}, {"mpay", "--emulator"}, {"mpay", "-o", "export"}, {"mpay", "--errors", "json"}, {"version"}} {
				c := exec.Command(program, args...)
				c.Env = environ
				asNobody(c)
				r := runCommand(t, c)
				stdout := ""
				if len(args) > 2 && args[1] == "-o" {
					stdout = "unset MPAY_ACCESS_TOKEN; false\n"
				}
				if r.exit != 3 || r.stdout != stdout || !strings.Contains(r.stderr, "refuses to run set-uid") {
					t.Errorf("%v: exit %d, want 3\n%s%s", args, r.exit, r.stdout, r.stderr)
				}
			}
		})
	}
	if len(bodies) > 0 {
		t.Error("something was sent")
	}
}

// container is a root directory that holds the program and nothing else.
func container(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can change the root directory")
	}
	root := t.TempDir()
	copyProgram(t, filepath.Join(root, "tokenfetch"), 0o555)
	return root
}

// inContainer runs the program in a container as a user that it does not know.
func inContainer(t *testing.T, root, dir string, environ []string, args ...string) ended {
	t.Helper()
	c := exec.Command("/tokenfetch", args...)
	c.Dir, c.Env = dir, environ
	c.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 12345, Gid: 12345}}
	return runCommand(t, c)
}

// snapshot lists everything below a directory, with what shows a change.
func snapshot(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			all[path] = info.Mode().String() + " " + strconv.Itoa(int(info.Size())) + " " + info.ModTime().String()
		}
		return err
	})
	check.OK(t, err)
	return all
}

// providersServer answers every provider, in the way that it has.
func providersServer(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"status":1,"token":"` + canaries["TOKEN"] + `","access_token":"` + canaries["TOKEN"] + `","refresh_token":"` + canaries["REFRESH"] + `","expires_in":3600}`))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// TestContainer runs the program where there is no home, no user, no temporary
// directory and no right to write; and where it could write everywhere. Either
// way the container is afterwards as it was.
func TestContainer(t *testing.T) {
	t.Parallel()
	url := providersServer(t)
	credentials := []string{
		"CI=true", "TOKENFETCH_MPAY_BASE_URL=" + url, "TOKENFETCH_MPAY_USERNAME=ops", "TOKENFETCH_MPAY_PASSWORD=" + canaries["PASSWORD"],
		"TOKENFETCH_ZEEPAY_BASE_URL=" + url, "TOKENFETCH_ZEEPAY_CLIENT_ID=42", "TOKENFETCH_ZEEPAY_USERNAME=ops",
		"TOKENFETCH_ZEEPAY_PASSWORD=" + canaries["PASSWORD"], "TOKENFETCH_ZEEPAY_CLIENT_SECRET=" + canaries["CLIENT_SECRET"],
	}
	runs := []struct {
		args []string
		exit int
	}{
		{[]string{"mpay"}, 0},
		{[]string{"mpay", "-v", "-o", "json"}, 0},
		{[]string{"zeepay"}, 0},
		{[]string{"zeepay", "-o", "export"}, 0},
		{[]string{"mpay", "--emulator"}, 0},
		{[]string{"version"}, 0},
		{[]string{"zeepay", "--help"}, 0},
		{[]string{"completion", "bash"}, 0},
		{[]string{"mpay", "--no-such-flag"}, 2},
		{[]string{"mpay/ci"}, 3},
		{[]string{"fincode", "-e", "staging"}, 3},
		{[]string{"mpay", "--password-file", "/nowhere"}, 3},
		{[]string{"mpay", "--base-url", "http://127.0.0.1:1"}, 6},
		{[]string{"mpay", "--base-url", "https://name.invalid", "--timeout", "1s"}, 6},
	}
	try := func(t *testing.T, root, dir string, environ []string) {
		t.Helper()
		before := snapshot(t, root)
		for _, run := range runs {
			r := inContainer(t, root, dir, append(environ, credentials...), run.args...)
			if r.exit != run.exit {
				t.Errorf("%v: exit %d, want %d\n%s", run.args, r.exit, run.exit, r.stderr)
			}
			if run.exit == 0 && run.args[0] == "mpay" && len(run.args) == 1 && (r.stdout != canaries["TOKEN"]+"\n" || r.stderr != "") {
				t.Errorf("%v printed %q\n%s", run.args, r.stdout, r.stderr)
			}
		}
		check.Same(t, "files changed (-before +after)", before, snapshot(t, root))
	}
	t.Run("no home, no user, no temporary directory, nothing to write to", func(t *testing.T) {
		t.Parallel()
		try(t, container(t), "/", nil)
	})
	t.Run("nothing is written where all could be", func(t *testing.T) {
		t.Parallel()
		root := container(t)
		for _, dir := range []string{"tmp", "var/tmp", "dev/shm", "run/user/12345", "home/me/.config/tokenfetch", "home/me/.cache", "home/me/.local/state", "job"} {
			check.OK(t, os.MkdirAll(filepath.Join(root, dir), 0o777))
		}
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				err = os.Chmod(path, 0o777)
			}
			return err
		})
		check.OK(t, err)
		try(t, root, "/job", []string{"HOME=/home/me", "TMPDIR=/tmp", "XDG_RUNTIME_DIR=/run/user/12345", "SSLKEYLOGFILE=/job/keys", "GOCOVERDIR=/job"})
	})
}

// TestSmallMemory gives a run no more memory than the Go runtime takes at its
// start, and much to read.
func TestSmallMemory(t *testing.T) {
	t.Parallel()
	program := filepath.Join(builtProgram(t), "tokenfetch")
	dir := t.TempDir()
	big := filepath.Join(dir, "big")
	writeFile(t, big, "", 0o600)
	check.OK(t, os.Truncate(big, 1<<30))
	profiles := filepath.Join(dir, "profiles.toml")
	writeFile(t, profiles, "[mpay.ci]\nusername = \"ops\"\npassword = { command = [\"cat\", \""+big+"\"] }\n", 0o600)
	for _, c := range []struct {
		name string
		run  string
		want string
	}{
		{"the profiles file", `mpay --config ` + big, "too large"},
		{"standard input", `mpay --username ops --password-file - <` + big, "longer than the limit"},
		{"an endless pipe", `mpay --username ops --password-file - </dev/zero`, "longer than the limit"},
		{"a helper", `mpay/ci --config ` + profiles, "more than the limit"},
		{"certificates", `mpay --username ops --ca-file ` + big, "too large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			command := exec.Command("sh", "-c", `ulimit -d 131072 && exec "$0" `+c.run, program)
			command.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}
			start := time.Now()
			r := runCommand(t, command)
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("took %v", took)
			}
			if r.exit != 3 || r.stdout != "" || !strings.Contains(r.stderr, c.want) {
				t.Errorf("exit %d, want 3 and %q\n%s%s", r.exit, c.want, r.stdout, r.stderr)
			}
		})
	}
}
