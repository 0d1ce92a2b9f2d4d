//go:build unix

package source_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenfetch/tokenfetch/pkg/source"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// TestCheckValue: what shows without reading is the error of reading.
func TestCheckValue(t *testing.T) {
	for name, path := range map[string]string{
		"a value":            write(t, "pw\n", 0o600),
		"readable by others": write(t, "pw", 0o644),
		"writable by others": write(t, "pw", 0o666),
		"empty":              write(t, "", 0o600),
		"too large":          write(t, strings.Repeat("x", source.MaxValue+3), 0o600),
		"a directory":        t.TempDir(),
		"nothing":            filepath.Join(t.TempDir(), "none"),
		"below a file":       filepath.Join(write(t, "pw", 0o600), "none"),
		"a loop of links":    loop(t),
		"a link":             symlink(t, write(t, "pw", 0o600)),
	} {
		for _, trusted := range []bool{false, true} {
			stat, err := source.CheckValue(t.Context(), path, "the file "+path, trusted)
			_, note, want := readValue(t.Context(), path, trusted)
			if told(err) != told(want) || err == nil && stat.Note != note {
				t.Errorf("%s, trusted %v: %v, %q; reading it gives %v, %q", name, trusted, err, stat.Note, want, note)
			}
			if shared := name == "readable by others" || name == "writable by others"; err == nil && stat.Shared != shared {
				t.Errorf("%s: shared %v", name, stat.Shared)
			}
		}
	}
}

// TestPEM: a file in PEM is returned as it is, may be longer than a value, and is
// checked like one.
func TestPEM(t *testing.T) {
	long := strings.Repeat("x\n", source.MaxValue)
	for name, path := range map[string]string{
		"lines":              write(t, "a\nb\r\n\n", 0o600),
		"empty":              write(t, "", 0o600),
		"long":               write(t, long, 0o600),
		"too large":          write(t, strings.Repeat(long, 17), 0o600),
		"readable by others": write(t, "pw", 0o644),
		"writable by others": write(t, "pw", 0o620),
		"a directory":        t.TempDir(),
		"nothing":            filepath.Join(t.TempDir(), "none"),
	} {
		for _, trusted := range []bool{false, true} {
			stat, err := source.CheckPEM(t.Context(), path, "the file", trusted)
			v, note, want := source.ReadPEM(t.Context(), path, "the file", trusted)
			if told(err) != told(want) || err == nil && stat.Note != note || strings.Contains(told(err), path) {
				t.Errorf("%s, trusted %v: %v, %q; reading it gives %v, %q", name, trusted, err, stat.Note, want, note)
			}
			if refused := !trusted && name == "writable by others" || name == "too large" || name == "a directory" || name == "nothing"; refused != (want != nil) {
				t.Errorf("%s, trusted %v: %v", name, trusted, want)
			}
			if text, err := os.ReadFile(path); want == nil && (err != nil || v.Reveal() != string(text)) {
				t.Errorf("%s: %d bytes are read of %d", name, len(v.Reveal()), len(text))
			}
		}
	}
}

func told(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func loop(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "loop")
	check.OK(t, os.Symlink(path, path))
	return path
}

// TestCheckValueLeavesPipes: a pipe is not opened, so that its writer goes on
// waiting for the one who reads it.
func TestCheckValueLeavesPipes(t *testing.T) {
	path := fifo(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	stat, err := source.CheckValue(ctx, path, "the file "+path, false)
	if diff := cmp.Diff(source.Stat{Pipe: true}, stat); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if _, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
		t.Error("somebody has it open for reading")
	}
	// One who does read it still gets everything.
	end, err := os.OpenFile(path, os.O_RDWR, 0)
	check.OK(t, err)
	defer end.Close()
	if _, err := end.WriteString("pw\n"); err != nil {
		t.Fatal(err)
	}
	if stat, err := source.CheckValue(ctx, path, "the file "+path, false); err != nil || !stat.Pipe {
		t.Errorf("%+v, %v", stat, err)
	}
	got := make([]byte, 8)
	if n, err := end.Read(got); err != nil || string(got[:n]) != "pw\n" {
		t.Errorf("left in it: %q, %v", got[:n], err)
	}
}
