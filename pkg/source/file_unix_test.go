//go:build unix

package source_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/pkg/source"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// write makes a file with exactly that mode.
func write(t *testing.T, data string, mode fs.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "value")
	check.OK(t, os.WriteFile(path, []byte(data), 0o600))
	check.OK(t, os.Chmod(path, mode))
	return path
}

func symlink(t *testing.T, target string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "link")
	check.OK(t, os.Symlink(target, path))
	return path
}

func fifo(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fifo")
	check.OK(t, syscall.Mkfifo(path, 0o600))
	return path
}

// readValue reads a file whose path may be shown.
func readValue(ctx context.Context, path string, trusted bool) (secret.Value, string, error) {
	return source.ReadValue(ctx, path, "the file "+path, trusted)
}

func TestValueOfFile(t *testing.T) {
	longest := strings.Repeat("x", source.MaxValue)
	inputs := map[string]string{longest: longest, longest + "\n": longest, longest + "\r\n": longest}
	for input, want := range lineEnds {
		inputs[input] = want
	}
	for input, want := range inputs {
		v, note, err := readValue(t.Context(), write(t, input, 0o600), false)
		if err != nil || note != "" || v.Reveal() != want {
			t.Errorf("%.20q: %.20q, %q, %v; want %.20q", input, v.Reveal(), note, err, want)
		}
	}
	for input, rule := range broken {
		path := write(t, input, 0o600)
		_, _, err := readValue(t.Context(), path, false)
		e := check.Failure(t, err, canary)
		code, want := failure.FieldInvalid, "the value from the file "+path+" "+rule
		if len(input) > source.MaxValue+2 {
			code, want = failure.FileUnreadable, "the file "+path+" is too large: the limit is 8194 bytes"
		}
		if e.Code != code || e.Message != want {
			t.Errorf("%.20q: %s %q, want %s %q", input, e.Code, e.Message, code, want)
		}
	}
}

func TestReadRegular(t *testing.T) {
	path := write(t, "0123456789", 0o640)
	got, err := source.ReadRegular(t.Context(), path, 10)
	check.OK(t, err)
	if diff := cmp.Diff(source.File{Data: []byte("0123456789"), Mode: 0o640}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	_, err = source.ReadRegular(t.Context(), path, 9)
	if e := check.Failure(t, err, canary); e.Code != failure.FileUnreadable || e.Message != "the file "+path+" is too large: the limit is 9 bytes" {
		t.Errorf("%+v", e)
	}
	if got, err := source.ReadRegular(t.Context(), write(t, "", 0o600), 10); err != nil || len(got.Data) != 0 || !got.Private {
		t.Errorf("an empty file: %+v, %v", got, err)
	}
}

// TestSparseFile: a gigabyte is refused by its size and never read.
func TestSparseFile(t *testing.T) {
	path := write(t, canary, 0o600)
	if err := os.Truncate(path, 1<<30); err != nil {
		t.Skip(err)
	}
	start := time.Now()
	_, err := source.ReadRegular(t.Context(), path, 1<<20)
	if e := check.Failure(t, err, canary); e.Message != "the file "+path+" is too large: the limit is 1048576 bytes" {
		t.Errorf("%+v", e)
	}
	if _, _, err := readValue(t.Context(), path, false); check.Failure(t, err, canary).Code != failure.FileUnreadable {
		t.Error(err)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestNotAFile: whatever is not a file is told at once, and in our words.
func TestNotAFile(t *testing.T) {
	dir := t.TempDir()
	loop := filepath.Join(dir, "loop")
	check.OK(t, os.Symlink(loop, loop))
	// The name of a socket is short; that of a test's directory may not be.
	t.Chdir(dir)
	const socket = "socket"
	listener, err := net.Listen("unix", socket)
	check.OK(t, err)
	defer listener.Close()
	file := write(t, canary, 0o600)
	for _, test := range []struct {
		path string
		code failure.Code
		want string
	}{
		{filepath.Join(dir, "missing"), failure.FileNotFound, "the file PATH does not exist"},
		{symlink(t, filepath.Join(dir, "missing")), failure.FileNotFound, "the file PATH does not exist"},
		{"", failure.FileNotFound, "the file PATH does not exist"},
		{dir, failure.FileUnreadable, "cannot read the file PATH: not a regular file"},
		{socket, failure.FileUnreadable, "cannot read the file PATH: not a regular file"},
		{"/dev/zero", failure.FileUnreadable, "cannot read the file PATH: not a regular file"},
		{"/dev/null", failure.FileUnreadable, "cannot read the file PATH: not a regular file"},
		{symlink(t, "/dev/zero"), failure.FileUnreadable, "cannot read the file PATH: not a regular file"},
		{loop, failure.FileUnreadable, "cannot read the file PATH: its symbolic links form a loop"},
		{filepath.Join(file, "x"), failure.FileNotFound, "the file PATH does not exist"},
		{filepath.Join(dir, strings.Repeat("n", 300)), failure.FileUnreadable, "cannot read the file PATH: its name is too long"},
		{"a\x00b", failure.FileUnreadable, "cannot read the file PATH: system error 22"},
	} {
		want := strings.ReplaceAll(test.want, "PATH", test.path)
		for name, read := range map[string]func() error{
			"ReadRegular": func() error { _, err := source.ReadRegular(soon(t), test.path, 100); return err },
			"ReadValue":   func() error { _, _, err := readValue(soon(t), test.path, true); return err },
		} {
			if e := check.Failure(t, read(), canary); e.Code != test.code || e.Message != want {
				t.Errorf("%s of %.60q: %s %q, want %s %q", name, test.path, e.Code, e.Message, test.code, want)
			}
		}
	}
}

func TestNoPermission(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may read everything")
	}
	path := write(t, canary, 0)
	_, _, err := readValue(t.Context(), path, false)
	if e := check.Failure(t, err, canary); e.Code != failure.FileUnreadable || e.Message != "cannot read the file "+path+": permission denied" {
		t.Errorf("%+v", e)
	}
}

func TestFIFO(t *testing.T) {
	t.Run("profiles are never one", func(t *testing.T) {
		path := fifo(t)
		_, err := source.ReadRegular(t.Context(), path, 100) // without a deadline: it does not wait
		if e := check.Failure(t, err, canary); e.Message != "cannot read the file "+path+": not a regular file" {
			t.Errorf("%+v", e)
		}
	})
	t.Run("without a writer", func(t *testing.T) {
		path := fifo(t)
		start := time.Now()
		_, _, err := readValue(soon(t), path, false)
		if e := check.Failure(t, err, canary); e.Code != failure.InputTimeout || e.Message != "no data within the time limit from the file "+path {
			t.Errorf("%+v", e)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
		release(t, path)
	})
	t.Run("with a writer that never ends", func(t *testing.T) {
		path := fifo(t)
		w := writer(t, path)
		defer w.Close()
		if _, err := w.WriteString(canary); err != nil {
			t.Fatal(err)
		}
		_, _, err := readValue(soon(t), path, false)
		if e := check.Failure(t, err, canary); e.Code != failure.InputTimeout {
			t.Errorf("%+v", e)
		}
	})
	t.Run("with a writer", func(t *testing.T) {
		path := fifo(t)
		done := make(chan error, 1)
		go func() {
			w, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err == nil {
				_, err = w.WriteString("from a pipe\n")
				err = errors.Join(err, w.Close())
			}
			done <- err
		}()
		v, note, err := readValue(t.Context(), path, false)
		if err != nil || note != "" || v.Reveal() != "from a pipe" {
			t.Errorf("%q, %q, %v", v.Reveal(), note, err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Run("that others can write", func(t *testing.T) {
		path := fifo(t)
		check.OK(t, os.Chmod(path, 0o622))
		w := writer(t, path)
		if _, err := w.WriteString(canary); err != nil {
			t.Fatal(err)
		}
		check.OK(t, w.Close())
		go release(t, path)
		_, _, err := readValue(soon(t), path, false)
		if e := check.Failure(t, err, canary); e.Code != failure.FilePermissions && e.Code != failure.InputTimeout {
			t.Errorf("%+v", e)
		}
	})
}

// writer opens a FIFO for writing, without waiting for a reader.
func writer(t *testing.T, path string) *os.File {
	t.Helper()
	w, err := os.OpenFile(path, os.O_RDWR, 0)
	check.OK(t, err)
	return w
}

// release lets a reader that still waits for a writer of the FIFO end.
func release(t *testing.T, path string) {
	t.Helper()
	if w, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
		w.Close()
	}
}

func TestModes(t *testing.T) {
	for _, mode := range []fs.FileMode{0o600, 0o400, 0o644, 0o640, 0o444, 0o700, 0o755} {
		v, note, err := readValue(t.Context(), write(t, "pw", mode), false)
		if err != nil || note != "" || v.Reveal() != "pw" {
			t.Errorf("mode %04o: %q, %q, %v", mode, v.Reveal(), note, err)
		}
		f, err := source.ReadRegular(t.Context(), write(t, "pw", mode), 10)
		want := source.File{Data: []byte("pw"), Private: mode&0o077 == 0, Mode: mode}
		if diff := cmp.Diff(want, f); err != nil || diff != "" {
			t.Errorf("mode %04o: %v (-want +got):\n%s", mode, err, diff)
		}
	}
	for _, mode := range []fs.FileMode{0o620, 0o602, 0o660, 0o606, 0o666, 0o777, 0o622} {
		path := write(t, canary, mode)
		rule := fmt.Sprintf("can be written by others (mode %04o)", mode)
		_, _, err := readValue(t.Context(), path, false)
		e := check.Failure(t, err, canary)
		if e.Code != failure.FilePermissions || e.Message != "the file "+path+" "+rule || !strings.Contains(e.Hint, "chmod 600") {
			t.Errorf("mode %04o: %+v", mode, e)
		}
		v, note, err := readValue(t.Context(), path, true)
		if err != nil || note != rule || v.Reveal() != canary {
			t.Errorf("mode %04o, trusted: %q, %q, %v", mode, v.Reveal(), note, err)
		}
		f, err := source.ReadRegular(t.Context(), path, 100)
		if diff := cmp.Diff(source.File{Unsafe: rule, Advice: e.Hint, Mode: mode}, f, cmpopts.IgnoreFields(source.File{}, "Data")); err != nil || diff != "" {
			t.Errorf("mode %04o: %v (-want +got):\n%s", mode, err, diff)
		}
		// A link has the mode of what it leads to.
		if _, _, err := readValue(t.Context(), symlink(t, path), false); check.Failure(t, err, canary).Code != failure.FilePermissions {
			t.Errorf("mode %04o, through a link: %v", mode, err)
		}
	}
}

func TestOwner(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give a file away")
	}
	path := write(t, canary, 0o600)
	if err := os.Chown(path, 12345, 12345); err != nil {
		t.Skip(err)
	}
	_, _, err := readValue(t.Context(), path, false)
	if e := check.Failure(t, err, canary); e.Code != failure.FilePermissions || e.Message != "the file "+path+" belongs to another user (uid 12345)" {
		t.Errorf("%+v", e)
	}
}

// TestLinks: secrets mounted by Kubernetes are links to links.
func TestLinks(t *testing.T) {
	dir := t.TempDir()
	check.OK(t, os.Mkdir(filepath.Join(dir, "..2026"), 0o755))
	check.OK(t, os.WriteFile(filepath.Join(dir, "..2026", "password"), []byte("pw\n"), 0o644))
	for link, target := range map[string]string{"..data": "..2026", "password": filepath.Join("..data", "password")} {
		check.OK(t, os.Symlink(target, filepath.Join(dir, link)))
	}
	v, note, err := readValue(t.Context(), filepath.Join(dir, "password"), false)
	if err != nil || note != "" || v.Reveal() != "pw" {
		t.Errorf("%q, %q, %v", v.Reveal(), note, err)
	}
}

// TestWayToAFile: who can replace a directory or link on the way to a file can
// replace the file.
func TestWayToAFile(t *testing.T) {
	base := t.TempDir()
	in := func(name string) string { return filepath.Join(base, name) }
	do := func(errs ...error) {
		t.Helper()
		check.OK(t, errors.Join(errs...))
	}
	for _, name := range []string{"loose/inner", "group", "sticky/inner", "safe"} {
		do(os.MkdirAll(in(name), 0o700))
		for _, dir := range []string{filepath.Dir(in(name)), in(name)} {
			do(os.WriteFile(filepath.Join(dir, "value"), []byte("pw\n"), 0o600))
		}
	}
	do(os.Chmod(in("loose"), 0o777), os.Chmod(in("group"), 0o770), os.Chmod(in("sticky"), 0o777|fs.ModeSticky))
	do(os.Symlink("../loose/inner/value", in("safe/through")), os.Symlink("loose", in("loosely")), os.Symlink("sticky/inner", in("stickily")))
	type row struct{ path, want string }
	rows := []row{
		{"safe/value", ""},
		{"sticky/inner/value", ""},
		{"stickily/value", ""},
		{"safe/../safe/./value", ""},
		{"loose/value", "the directory DIR/loose can be written by others (mode 0777)"},
		{"loose/inner/value", "the directory DIR/loose can be written by others (mode 0777)"},
		{"loosely/inner/value", "the directory DIR/loose can be written by others (mode 0777)"},
		{"loose/../safe/value", "the directory DIR/loose can be written by others (mode 0777)"},
		{"safe/through", "the directory DIR/loose can be written by others (mode 0777)"},
	}
	if os.Getuid() == 0 {
		const other = 12345
		do(os.MkdirAll(in("foreign/inner"), 0o755), os.WriteFile(in("foreign/inner/value"), []byte("pw\n"), 0o600), os.Chown(in("foreign"), other, other))
		do(os.Symlink(in("safe"), in("sticky/planted")), os.Lchown(in("sticky/planted"), other, other), os.Symlink("../sticky/planted/value", in("safe/planted")))
		do(os.Mkdir(in("sticky/foreign"), 0o755), os.WriteFile(in("sticky/foreign/value"), []byte("pw\n"), 0o600), os.Chown(in("sticky/foreign"), other, other))
		do(os.Mkdir(in("private"), 0o770), os.Chmod(in("private"), 0o770), os.WriteFile(in("private/value"), []byte("pw\n"), 0o600), os.Chown(in("group"), 0, other))
		rows = append(rows,
			row{"private/value", ""}, // of a group with its user's number
			row{"group/value", "the directory DIR/group can be written by others (mode 0770)"},
			row{"foreign/inner/value", "the directory DIR/foreign belongs to another user (uid 12345)"},
			row{"sticky/planted/value", "the link DIR/sticky/planted belongs to another user"},
			row{"safe/planted", "the link DIR/sticky/planted belongs to another user"},
			row{"sticky/foreign/value", "the directory DIR/sticky/foreign belongs to another user (uid 12345)"},
		)
	}
	for _, r := range rows {
		path := base + "/" + r.path // not cleaned
		want := ""
		if r.want != "" {
			want = "can be replaced: " + strings.ReplaceAll(r.want, "DIR", base)
		}
		_, _, err := readValue(t.Context(), path, false)
		_, checked := source.CheckValue(t.Context(), path, "the file "+path, false)
		if told(err) != told(checked) || (want == "") != (err == nil) || want != "" && check.Failure(t, err, canary).Message != "the file "+path+" "+want {
			t.Errorf("%s: %v, want %q; without reading it %v", r.path, err, want, checked)
		}
		v, note, err := readValue(t.Context(), path, true)
		if err != nil || note != want || v.Reveal() != "pw" {
			t.Errorf("%s, trusted: %q, %q, %v", r.path, v.Reveal(), note, err)
		}
		f, err := source.ReadRegular(t.Context(), path, 10)
		if err != nil || f.Unsafe != want {
			t.Errorf("%s: %+v, %v", r.path, f, err)
		}
		if err := source.Write(path, []byte("pw\n")); (err == nil) != (want == "") || err != nil && "can be replaced: "+check.Failure(t, err, canary).Message != want {
			t.Errorf("writing %s: %v, want %q", r.path, err, want)
		}
		// A path that may be a secret is not shown.
		if _, _, err := source.ReadValue(t.Context(), path, "the file of --x-file", false); err != nil && strings.Contains(err.Error(), base) {
			t.Errorf("%s: %v", r.path, err)
		}
	}
}

// TestSwappedFile: what is read always belongs to the file that was checked.
func TestSwappedFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "value")
	put := func(value string, mode fs.FileMode) {
		next := filepath.Join(dir, "next")
		if err := errors.Join(os.WriteFile(next, []byte(value), 0o600), os.Chmod(next, mode), os.Rename(next, path)); err != nil {
			t.Error(err)
		}
	}
	put("good", 0o600)
	ctx, stop := context.WithCancel(t.Context())
	swapped := make(chan struct{})
	go func() {
		defer close(swapped)
		for ctx.Err() == nil {
			put("evil", 0o666)
			put("good", 0o600)
		}
	}()
	good, refused := 0, 0
	for range 500 {
		v, _, err := readValue(t.Context(), path, false)
		switch {
		case err == nil && v.Reveal() == "good":
			good++
		case err != nil && check.Failure(t, err, canary).Code == failure.FilePermissions:
			refused++
		default:
			t.Errorf("%q, %v", v.Reveal(), err)
		}
	}
	stop()
	<-swapped
	t.Logf("%d read, %d refused", good, refused)
}

// handOver returns a descriptor of f as a caller would leave it to us, and the
// paths that name it. It closes f.
func handOver(t *testing.T, f *os.File) (fd int, paths []string) {
	t.Helper()
	fd, err := syscall.Dup(int(f.Fd()))
	check.OK(t, err)
	check.OK(t, f.Close())
	return fd, []string{fmt.Sprintf("/dev/fd/%d", fd), fmt.Sprintf("/proc/self/fd/%d", fd)}
}

// TestDescriptor: a shell's <(command) is the name of a descriptor.
func TestDescriptor(t *testing.T) {
	for i := range 2 {
		r, w, err := os.Pipe()
		check.OK(t, err)
		if _, err := w.WriteString("from a command\n"); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil { // the writer may be gone already
			t.Fatal(err)
		}
		fd, paths := handOver(t, r)
		v, note, err := readValue(t.Context(), paths[i], false)
		if err != nil || note != "" || v.Reveal() != "from a command" {
			t.Errorf("%s: %q, %q, %v", paths[i], v.Reveal(), note, err)
		}
		// The descriptor stays the caller's.
		if err := syscall.Close(fd); err != nil {
			t.Errorf("%s was closed: %v", paths[i], err)
		}
	}
}

// TestDescriptorWithoutEnd: the writer of a handed-over pipe may hang.
func TestDescriptorWithoutEnd(t *testing.T) {
	r, w, err := os.Pipe()
	check.OK(t, err)
	defer w.Close()
	fd, paths := handOver(t, r)
	defer syscall.Close(fd)
	_, _, err = readValue(soon(t), paths[0], false)
	if e := check.Failure(t, err, canary); e.Code != failure.InputTimeout {
		t.Errorf("%+v", e)
	}
}

// TestDescriptorIsTheCallersBusiness: whoever could write to the file that the
// caller opened, the caller chose it.
func TestDescriptorIsTheCallersBusiness(t *testing.T) {
	for i := range 2 {
		f, err := os.Open(write(t, "pw", 0o666))
		check.OK(t, err)
		fd, paths := handOver(t, f)
		defer syscall.Close(fd)
		v, note, err := readValue(t.Context(), paths[i], false)
		if err != nil || note != "" || v.Reveal() != "pw" {
			t.Errorf("%s: %q, %q, %v", paths[i], v.Reveal(), note, err)
		}
	}
}

// TestWrongDescriptor: a number that names nothing, or a file of this program's
// own, is an error.
func TestWrongDescriptor(t *testing.T) {
	own, err := os.Open(write(t, canary, 0o600))
	check.OK(t, err)
	defer own.Close()
	for _, path := range []string{fmt.Sprintf("/dev/fd/%d", own.Fd()), "/dev/fd/65000"} {
		_, _, err := readValue(t.Context(), path, false)
		if e := check.Failure(t, err, canary); e.Code != failure.FileUnreadable || e.Message != "cannot read the file "+path+": the descriptor is not open for reading" {
			t.Errorf("%+v", e)
		}
	}
	// Read, the descriptors that wake up the Go runtime would stop its timers;
	// closed, they would end the program with a dump.
	for n := 3; n < 12; n++ {
		if flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			continue // not one of ours
		}
		path := fmt.Sprintf("/dev/fd/%d", n)
		if _, _, err := readValue(t.Context(), path, false); check.Failure(t, err, canary).Code != failure.FileUnreadable {
			t.Errorf("%s: %v", path, err)
		}
		if _, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0); err != nil {
			t.Errorf("%s was closed", path)
		}
	}
	for _, path := range []string{"/dev/fd/65536", "/dev/fd/-1", "/dev/fd/x", "/dev/fd/"} {
		if v, _, err := readValue(t.Context(), path, false); err == nil {
			t.Errorf("%s: %q", path, v.Reveal())
		}
	}
}
