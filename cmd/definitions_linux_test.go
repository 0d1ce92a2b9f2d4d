package cmd

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// TestDefinitionsThatAreOpened: a run opens the definition that it needs and no
// other, and one of a built-in provider none.
func TestDefinitionsThatAreOpened(t *testing.T) {
	t.Parallel()
	definitions := map[string]string{"broken.toml": "x"}
	for name, text := range guideDefinitions(t) {
		definitions[name] = text
	}
	home := withDefinitions(t, definitions)
	dir := filepath.Join(home, ".config", "tokenfetch", "providers")
	watch, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	check.OK(t, err)
	defer unix.Close(watch)
	if _, err := unix.InotifyAddWatch(watch, dir, unix.IN_OPEN); err != nil {
		t.Fatal(err)
	}
	// opened returns the files that were opened since it was asked last.
	opened := func() []string {
		names := []string{}
		events := make([]byte, 1<<16)
		n, _ := unix.Read(watch, events) // EAGAIN where there is none
		for rest := events[:max(n, 0)]; len(rest) >= unix.SizeofInotifyEvent; {
			length := int(rest[12]) | int(rest[13])<<8
			name, _, _ := bytes.Cut(rest[16:16+length], []byte{0})
			if len(name) > 0 { // the directory itself has none
				names = append(names, string(name))
			}
			rest = rest[16+length:]
		}
		slices.Sort(names)
		return slices.Compact(names)
	}
	bin := builtProgram(t)
	for _, c := range []struct {
		line string
		want []string
	}{
		{"zeepay --emulator", []string{}},
		{"zeepay --dry-run -e test --client-id a --username b", []string{}},
		{"exec zeepay mpay --emulator -- true", []string{}},
		{"acme --emulator", []string{"acme.toml"}},
		{"exec acme daraja --emulator -- true", []string{"acme.toml", "daraja.toml"}},
		{"login acme --help", []string{"acme.toml"}},
		{"version", []string{}},
		{"cache clear", []string{}},
		{"--help", []string{"acme.toml", "broken.toml", "daraja.toml", "momo.toml"}},
	} {
		command := program(t, bin, strings.Fields(c.line)...)
		command.Env = append(command.Env, "HOME="+home, "TOKENFETCH_MPAY_PASSWORD=x")
		opened()
		if out, err := command.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", c.line, err, out)
		}
		if diff := cmp.Diff(c.want, opened()); diff != "" {
			t.Errorf("%s opens (-want +got):\n%s", c.line, diff)
		}
	}
}
