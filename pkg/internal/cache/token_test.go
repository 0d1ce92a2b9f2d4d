package cache

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/internal/token"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

const canary = "tK5gY0dB7uWq2"

var (
	start = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	owner = Owner{Ref: []string{"zeepay", "default"}, Identity: []string{"definition", "https://host", "username", "ops@example.com"}}
)

func tokensIn(dir string) *Tokens { return OpenTokens(dir, bytes.Repeat([]byte{7}, KeySize)) }

func issued(lifetime time.Duration) *token.Token {
	return &token.Token{AccessToken: secret.New(canary), Lifetime: lifetime, Obtained: start, Scope: "read write"}
}

// onlyFile returns the path of the one file below dir.
func onlyFile(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files %v, %v; want one", files, err)
	}
	return files[0]
}

func TestTokenIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache", "tokenfetch")
	if _, err := tokensIn(dir).Get(t.Context(), owner, start); err == nil {
		t.Fatal("a token out of nowhere")
	}
	if _, err := os.Stat(dir); err == nil {
		t.Fatal("looking for a token made the directory")
	}
	check.OK(t, tokensIn(dir).Put(t.Context(), owner, issued(time.Hour)))
	got, err := tokensIn(dir).Get(t.Context(), owner, start.Add(time.Minute))
	check.OK(t, err)
	if got.AccessToken.Reveal() != canary || got.Lifetime != time.Hour || !got.Obtained.Equal(start) || got.Scope != "read write" {
		t.Errorf("got %+v", got)
	}
	path := onlyFile(t, dir)
	data, err := os.ReadFile(path)
	check.OK(t, err)
	for _, hidden := range []string{canary, "ops@example.com", "zeepay", "default", "read write"} {
		if bytes.Contains(data, []byte(hidden)) || strings.Contains(path, hidden) && !strings.Contains(dir, hidden) {
			t.Errorf("%q stands in the file or its name", hidden)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("file mode %v, %v", info.Mode(), err)
	}
	if info, err = os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory mode %v, %v", info.Mode(), err)
	}
}

// How long a token is handed out.
func TestHowLong(t *testing.T) {
	for _, c := range []struct {
		name     string
		lifetime time.Duration
		after    time.Duration
		usable   bool
	}{
		{"at once", time.Hour, 0, true},
		{"before the margin of 5 %", time.Hour, 57*time.Minute - time.Second, true},
		{"in the margin of 5 %", time.Hour, 57 * time.Minute, false},
		{"before the margin of a minute", 10 * time.Minute, 9*time.Minute - time.Second, true},
		{"in the margin of a minute", 10 * time.Minute, 9 * time.Minute, false},
		{"a year, before 12 hours", 365 * 24 * time.Hour, 12*time.Hour - time.Second, true},
		{"a year, after 12 hours", 365 * 24 * time.Hour, 12 * time.Hour, false},
		{"clock set back", time.Hour, -time.Minute, false},
		{"clock ten years ahead", time.Hour, 10 * 365 * 24 * time.Hour, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			check.OK(t, os.Chmod(dir, 0o700))
			check.OK(t, tokensIn(dir).Put(t.Context(), owner, issued(c.lifetime)))
			_, err := tokensIn(dir).Get(t.Context(), owner, start.Add(c.after))
			if (err == nil) != c.usable {
				t.Errorf("got %v, want usable %v", err, c.usable)
			}
		})
	}
}

// The wall clock decides, which went on while the computer slept: what is kept
// has no monotonic reading.
func TestWallClock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c")
	now := time.Now() // with a monotonic reading
	kept := issued(time.Hour)
	kept.Obtained = now
	check.OK(t, tokensIn(dir).Put(t.Context(), owner, kept))
	got, err := tokensIn(dir).Get(t.Context(), owner, now)
	if err != nil || got.Obtained != now.Round(0).UTC() {
		t.Errorf("obtained %v, %v; want %v", got, err, now.Round(0).UTC())
	}
	if _, err := tokensIn(dir).Get(t.Context(), owner, now.Round(0).Add(time.Hour)); err == nil {
		t.Error("an hour later by the wall clock it is still handed out")
	}
}

// Somebody swaps the file for a link to another one, over and over. The other
// file is never taken for a token, and never changed.
func TestSwappedForALink(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c")
	check.OK(t, tokensIn(dir).Put(t.Context(), owner, issued(time.Hour)))
	path := onlyFile(t, dir)
	victim := filepath.Join(t.TempDir(), "victim")
	check.OK(t, os.WriteFile(victim, []byte("victim"), 0o600))
	stop := make(chan struct{})
	swapped := make(chan int)
	go func() {
		n := 0
		for link := filepath.Join(dir, "link"); ; n++ {
			select {
			case <-stop:
				swapped <- n
				return
			default:
				_ = os.Symlink(victim, link)
				_ = os.Rename(link, path)
			}
		}
	}()
	for range 200 {
		if got, err := tokensIn(dir).Get(t.Context(), owner, start); err == nil && got.AccessToken.Reveal() != canary {
			t.Fatal("another file was taken for a token")
		}
		check.OK(t, tokensIn(dir).Put(t.Context(), owner, issued(time.Hour)))
	}
	close(stop)
	if n := <-swapped; n < 10 {
		t.Errorf("swapped only %d times", n)
	}
	if data, err := os.ReadFile(victim); err != nil || string(data) != "victim" {
		t.Errorf("the victim holds %q, %v", data, err)
	}
}

// A token for one use, or with an unknown lifetime, is never kept.
func TestNotKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c")
	single := issued(time.Hour)
	single.SingleUse = true
	for _, one := range []*token.Token{single, issued(0)} {
		check.OK(t, tokensIn(dir).Put(t.Context(), owner, one))
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("something was kept")
	}
}

// Another owner, or another key, never opens an entry.
func TestOtherOwner(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c")
	check.OK(t, tokensIn(dir).Put(t.Context(), owner, issued(time.Hour)))
	mine, err := os.ReadFile(onlyFile(t, dir))
	check.OK(t, err)
	for i := range owner.Identity {
		other := Owner{Ref: owner.Ref, Identity: slices.Clone(owner.Identity)}
		other.Identity[i] += "x"
		checkNotOpened(t, tokensIn(dir), other, mine)
	}
	checkNotOpened(t, tokensIn(dir), Owner{Ref: []string{"zeepay", "ci"}, Identity: owner.Identity}, mine)
	checkNotOpened(t, tokensIn(dir), Owner{Ref: []string{"zeepay"}, Identity: append([]string{"default"}, owner.Identity...)}, mine)
	checkNotOpened(t, OpenTokens(dir, bytes.Repeat([]byte{8}, KeySize)), owner, mine)
}

// checkNotOpened looks for other's token, also with the file of another owner
// in its place.
func checkNotOpened(t *testing.T, tokens *Tokens, other Owner, planted []byte) {
	t.Helper()
	if _, err := tokens.Get(t.Context(), other, start); err == nil {
		t.Errorf("%v got the token", other)
	}
	path := filepath.Join(tokens.path, tokens.name(other))
	check.OK(t, os.WriteFile(path, planted, 0o600))
	defer os.Remove(path)
	if _, err := tokens.Get(t.Context(), other, start); err == nil {
		t.Errorf("%v got the token of a planted file", other)
	}
}

// Each byte of an entry is changed in turn: it never opens, and it is healed.
func TestDamaged(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c")
	check.OK(t, tokensIn(dir).Put(t.Context(), owner, issued(time.Hour)))
	path := onlyFile(t, dir)
	whole, err := os.ReadFile(path)
	check.OK(t, err)
	for i := range whole {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 1
		check.OK(t, os.WriteFile(path, damaged, 0o600))
		if _, err := tokensIn(dir).Get(t.Context(), owner, start); err == nil {
			t.Fatalf("opened with byte %d changed", i)
		}
	}
	for _, size := range []int{0, 1, len(header), len(whole) - 1} {
		check.OK(t, os.WriteFile(path, whole[:size], 0o600))
		if _, err := tokensIn(dir).Get(t.Context(), owner, start); err == nil {
			t.Fatalf("opened with %d bytes", size)
		}
	}
	check.OK(t, tokensIn(dir).Put(t.Context(), owner, issued(time.Hour)))
	if _, err := tokensIn(dir).Get(t.Context(), owner, start); err != nil {
		t.Errorf("not healed: %v", err)
	}
}

// What a newer program has written is left for it.
func TestNewerVersion(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c")
	check.OK(t, tokensIn(dir).Put(t.Context(), owner, issued(time.Hour)))
	path := onlyFile(t, dir)
	const newer = "tokenfetch-token/2\nwhatever"
	check.OK(t, os.WriteFile(path, []byte(newer), 0o600))
	if _, err := tokensIn(dir).Get(t.Context(), owner, start); err == nil {
		t.Error("it was read")
	}
	if err := tokensIn(dir).Put(t.Context(), owner, issued(time.Hour)); err == nil {
		t.Error("it was overwritten")
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != newer {
		t.Errorf("%q, %v", data, err)
	}
}

// Links, and directories that others may change, are not trusted. The mode of a
// file does not matter: what is in it is sealed.
func TestNotOurs(t *testing.T) {
	setUp := func(t *testing.T) (dir, path string) {
		t.Helper()
		dir = filepath.Join(t.TempDir(), "c")
		check.OK(t, tokensIn(dir).Put(t.Context(), owner, issued(time.Hour)))
		return dir, onlyFile(t, dir)
	}
	refused := func(t *testing.T, dir string) {
		t.Helper()
		if _, err := tokensIn(dir).Get(t.Context(), owner, start); err == nil {
			t.Error("it was read")
		}
	}
	t.Run("file is a link", func(t *testing.T) {
		dir, path := setUp(t)
		target := filepath.Join(t.TempDir(), "target")
		check.OK(t, errors.Join(os.Rename(path, target), os.Symlink(target, path)))
		refused(t, dir)
	})
	t.Run("directory mode", func(t *testing.T) {
		dir, _ := setUp(t)
		check.OK(t, os.Chmod(dir, 0o777))
		refused(t, dir)
		if err := tokensIn(dir).Put(t.Context(), owner, issued(time.Hour)); err == nil {
			t.Error("it was written")
		}
	})
	t.Run("directory of another user", func(t *testing.T) {
		if os.Getuid() != 0 {
			t.Skip("only root can give a directory away")
		}
		dir, _ := setUp(t)
		link := filepath.Join(t.TempDir(), "link")
		check.OK(t, errors.Join(os.Chown(dir, 1234, 1234), os.Symlink(dir, link)))
		refused(t, dir)
		refused(t, link)
		if err := tokensIn(link).Put(t.Context(), owner, issued(time.Hour)); err == nil {
			t.Error("it was written")
		}
	})
	// With sudo and the user's HOME nothing of root's stays there.
	t.Run("home of another user", func(t *testing.T) {
		if os.Getuid() != 0 {
			t.Skip("only root can give a directory away")
		}
		home := t.TempDir()
		check.OK(t, os.Chown(home, 1234, 1234))
		if err := tokensIn(filepath.Join(home, ".cache", "tokenfetch")).Put(t.Context(), owner, issued(time.Hour)); err == nil {
			t.Error("it was written")
		}
		if left, err := filepath.Glob(filepath.Join(home, ".*")); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v %v", left, err)
		}
	})
}

// Only files of ours are removed.
func TestClear(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c")
	other := Owner{Ref: []string{"zeepay", "ci"}, Identity: owner.Identity}
	for _, o := range []Owner{owner, other} {
		check.OK(t, tokensIn(dir).Put(t.Context(), o, issued(time.Hour)))
	}
	name := tokensIn(dir).name(owner)
	foreign := []string{"notes.txt", "x.token", name + ".bak", strings.ToUpper(name)}
	for _, f := range foreign {
		check.OK(t, os.WriteFile(filepath.Join(dir, f), []byte("mine"), 0o600))
	}
	target := filepath.Join(t.TempDir(), "target")
	link := strings.Repeat("0", 32) + "-" + strings.Repeat("0", 32) + suffix
	check.OK(t, errors.Join(os.WriteFile(target, []byte("x"), 0o600), os.Symlink(target, filepath.Join(dir, link))))
	check.OK(t, os.WriteFile(filepath.Join(dir, name+".0011223344556677.tmp"), []byte("half"), 0o600))
	if n, err := tokensIn(dir).Clear(t.Context(), owner.Ref); n != 1 || err != nil {
		t.Errorf("cleared %d, %v; want 1", n, err)
	}
	if _, err := tokensIn(dir).Get(t.Context(), other, start); err != nil {
		t.Errorf("the neighbour is gone: %v", err)
	}
	if n, err := ClearTokens(t.Context(), dir); n != 1 || err != nil {
		t.Errorf("cleared %d, %v; want 1", n, err)
	}
	want := append(foreign, link)
	slices.Sort(want)
	entries, err := os.ReadDir(dir)
	check.OK(t, err)
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if !slices.Equal(left, want) {
		t.Errorf("left %v, want %v", left, want)
	}
}

// TestEncode decodes what was encoded, and nothing of which a part is missing.
func TestEncode(t *testing.T) {
	want := issued(time.Hour)
	want.Scope = "a scope\n\nthat breaks its line\n"
	want.Extra = map[string]json.RawMessage{"data.instance_url": json.RawMessage(`"https://host\n"`), "n": json.RawMessage(`1.50`)}
	data, err := encode(want)
	check.OK(t, err)
	plain := string(data)
	if got, ok := decode(plain); !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %t; want %+v", got, ok, want)
	}
	for _, damaged := range []string{
		"", "{}", plain[:strings.Index(plain, "a scope")-1], plain[1+strings.Index(plain, "\n"):],
		strings.Replace(plain, canary, "", 1), strings.Replace(plain, canary, "two words", 1),
		strings.Replace(plain, "\n", ".5\n", 1), strings.Replace(plain, "\n", "\n-", 1), strings.Replace(plain, `"n"`, `n`, 1),
	} {
		if got, ok := decode(damaged); ok {
			t.Errorf("%q is %+v", damaged, got)
		}
	}
}
