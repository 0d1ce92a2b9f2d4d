package cmd

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// completionCases are lines with what the Tab key makes of them: the line, or
// the candidates, each with its description.
var completionCases = []struct {
	typed, line string
	candidates  []string
}{
	{typed: "tokenfetch emu", line: "tokenfetch emulator "},
	{typed: "tokenfetch enk", line: "tokenfetch enkash"}, // a profile may follow
	{typed: "tokenfetch login enk", line: "tokenfetch login enkash"},
	{typed: "tokenfetch exec A=mpay enk", line: "tokenfetch exec A=mpay enkash"},
	{typed: "tokenfetch mpay/", line: "tokenfetch mpay/ci "},
	{typed: "tokenfetch zeepay", candidates: []string{
		"zeepay\tfetch a token from Zeepay", "zeepay/ci\tprofile of Zeepay", "zeepay/sandbox\tprofile of Zeepay",
	}},
	{typed: "tokenfetch zeepay/", candidates: []string{
		"zeepay/ci\tprofile of Zeepay", "zeepay/default\tprofile of Zeepay", "zeepay/sandbox\tprofile of Zeepay",
	}},
	{typed: "tokenfetch zeepay/ci --client-i", line: "tokenfetch zeepay/ci --client-id "},
	{typed: "tokenfetch -v zeepay --no", line: "tokenfetch -v zeepay --no-cache "},
	{typed: "tokenfetch zeepay -p s", line: "tokenfetch zeepay -p sandbox "},
	{typed: "tokenfetch status zeepay/s", line: "tokenfetch status zeepay/sandbox "},
	// No name is inserted that a shell would run.
	{typed: "tokenfetch zeepay -p q", line: "tokenfetch zeepay -p q"},
	{typed: "tokenfetch zeepay/q", line: "tokenfetch zeepay/q"},
	{typed: "tokenfetch status fincode/", line: "tokenfetch status fincode/"},
	{typed: "tokenfetch zeepay --output js", line: "tokenfetch zeepay --output json "},
	{typed: "tokenfetch zeepay --output=js", line: "tokenfetch zeepay --output=json "},
	{typed: "tokenfetch zeepay -e s", line: "tokenfetch zeepay -e sandbox "},
	{typed: "tokenfetch emulator --fault=zeepay:sl", line: "tokenfetch emulator --fault=zeepay:slow "},
	{typed: "tokenfetch emulator --fault zeepay:sl", line: "tokenfetch emulator --fault zeepay:slow "},
	{typed: "tokenfetch zeepay --password-file fi", line: "tokenfetch zeepay --password-file file.txt "},
	{typed: "tokenfetch zeepay --password-file=fi", line: "tokenfetch zeepay --password-file=file.txt "},
	{typed: "tokenfetch emulator -- cat fi", line: "tokenfetch emulator -- cat file.txt "},
	{typed: "tokenfetch zeepay --username fi", line: "tokenfetch zeepay --username fi"},
	{typed: "tokenfetch version fi", line: "tokenfetch version fi"},
	{typed: "tokenfetch cache cl", line: "tokenfetch cache clear "},
	{typed: "tokenfetch cache clear mpay", candidates: []string{"mpay\tMPay Africa", "mpay/ci\tprofile of MPay Africa"}},
	{typed: "tokenfetch help exit", line: "tokenfetch help exit-codes "},
	{typed: "tokenfetch completion po", line: "tokenfetch completion powershell "},
	{typed: "true && TOKENFETCH_PROFILE=ci tokenfetch zeepay --emu", line: "true && TOKENFETCH_PROFILE=ci tokenfetch zeepay --emulator "},
	{typed: `tokenfetch zeepay --client-id "a b" --dry`, line: `tokenfetch zeepay --client-id "a b" --dry-run `},
	// Nothing of the line is run.
	{typed: "tokenfetch zeepay --client-id $(touch ran) --dry", line: "tokenfetch zeepay --client-id $(touch ran) --dry-run "},
	{typed: "tokenfetch zeepay --password-file <(touch ran) --dry", line: "tokenfetch zeepay --password-file <(touch ran) --dry-run "},
}

// completionProfiles holds what completing must not run or show.
const completionProfiles = `[zeepay.default]
username = { command = ["touch", "ran"] }
[zeepay.ci]
password = "pW7xQ2zL9kVb3"
[zeepay.sandbox]
username = "ops@example.com"
[zeepay."q$(touch ran)"]
username = "ops@example.com"
[mpay.ci]
username = "ops"
[fincode."$(touch ran)"]
[fincode."a|touch ran"]
[fincode."; touch ran"]
[fincode."UPPER"]
`

// TestCompletion presses the Tab key in the real shells: where the packages put
// the scripts, and sourced as the help says.
func TestCompletion(t *testing.T) {
	for _, shell := range []struct {
		name, program string
		start         func(t *testing.T, home string) *completingShell
	}{
		{"bash", "bash", func(t *testing.T, home string) *completingShell {
			return bashWith(t, home, `eval "$(tokenfetch completion bash)"`)
		}},
		{"bash with bash-completion", "bash", func(t *testing.T, home string) *completingShell {
			const library = "/usr/share/bash-completion/bash_completion"
			if _, err := os.Stat(library); err != nil {
				t.Skip("bash-completion is not installed")
			}
			install(t, "bash", home+"/.local/share/bash-completion/completions/tokenfetch")
			return bashWith(t, home, ". "+library)
		}},
		{"zsh", "zsh", func(t *testing.T, home string) *completingShell {
			return zshWith(t, home, "autoload -Uz compinit\ncompinit -u\neval \"$(tokenfetch completion zsh)\"")
		}},
		{"zsh with fpath", "zsh", func(t *testing.T, home string) *completingShell {
			install(t, "zsh", home+"/functions/_tokenfetch")
			return zshWith(t, home, "fpath=(~/functions $fpath)\nautoload -Uz compinit\ncompinit -u")
		}},
	} {
		t.Run(shell.name, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(shell.program); err != nil {
				t.Skip(shell.program + " is not installed")
			}
			home := completionHome(t, completionProfiles)
			s := shell.start(t, home)
			for _, c := range completionCases {
				line, list := s.complete(t, c.typed)
				if want := cmp.Or(c.line, c.typed); line != want {
					t.Errorf("%s: Tab makes %q of it, want %q", c.typed, line, want)
				}
				if diff := gocmp.Diff(c.candidates, list); diff != "" {
					t.Errorf("%s: the list (-want +got):\n%s", c.typed, diff)
				}
			}
			nothingRan(t, home)
		})
		t.Run(shell.name+" with profiles that cannot be read", func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(shell.program); err != nil {
				t.Skip(shell.program + " is not installed")
			}
			s := shell.start(t, completionHome(t, "[zeepay.default\n"))
			for _, typed := range []string{"tokenfetch zeepay/", "tokenfetch nothing ", "tokenfetch zeepay --wrong ", "tokenfetch zeepay -o export -p "} {
				if line, list := s.complete(t, typed); line != typed && line != typed+"file.txt " || list != nil || s.complained() {
					t.Errorf("%s: Tab makes %q of it; the screen shows %q", typed, line, s.shown())
				}
			}
		})
	}
	for _, name := range []string{"fish", "fish with its directory"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath("fish"); err != nil {
				t.Skip("fish is not installed")
			}
			home := completionHome(t, completionProfiles)
			load := "tokenfetch completion fish | source\n"
			if name != "fish" {
				load = ""
				install(t, "fish", home+"/.config/fish/completions/tokenfetch.fish")
			}
			for _, c := range completionCases {
				if strings.ContainsAny(c.typed, "<") {
					continue // of the other shells
				}
				want := c.candidates
				if want == nil {
					_, word, _ := cutLast(strings.TrimSuffix(c.line, " "), " ")
					want = []string{word}
				}
				got := fishCandidates(t, home, load, c.typed)
				switch {
				case c.line == c.typed:
					want = nil
				case c.line != "" && !strings.HasSuffix(c.line, " "):
					want = append(want, want[0]+"/") // which keeps fish from adding a space
				}
				if c.candidates == nil { // these have a description at times
					for i := range got {
						got[i], _, _ = strings.Cut(got[i], "\t")
					}
				}
				if diff := gocmp.Diff(want, got); diff != "" {
					t.Errorf("%s: the candidates (-want +got):\n%s", c.typed, diff)
				}
			}
			nothingRan(t, home)
		})
	}
}

// cutLast is strings.Cut at the last separator.
func cutLast(s, separator string) (before, after string, found bool) {
	if i := strings.LastIndex(s, separator); i >= 0 {
		return s[:i], s[i+len(separator):], true
	}
	return s, "", false
}

// completionHome is a home with profiles, and a working directory with a file.
func completionHome(t *testing.T, profiles string) string {
	t.Helper()
	home := t.TempDir()
	put(t, home+"/.config/tokenfetch/profiles.toml", profiles)
	put(t, home+"/job/file.txt", "")
	return home
}

func put(t *testing.T, path, text string) {
	t.Helper()
	check.OK(t, os.MkdirAll(filepath.Dir(path), 0o700))
	check.OK(t, os.WriteFile(path, []byte(text), 0o600))
}

// install puts the completion script of a shell where the shell looks for it.
func install(t *testing.T, shell, path string) {
	t.Helper()
	put(t, path, runBuilt(t, nil, "completion", shell).stdout)
}

func nothingRan(t *testing.T, home string) {
	t.Helper()
	if _, err := os.Stat(home + "/job/ran"); err == nil {
		t.Error("completing ran a command")
	}
}

func completionEnviron(t *testing.T, home string) []string {
	t.Helper()
	return []string{"HOME=" + home, "PATH=" + builtProgram(t) + ":" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "TERM=dumb", "COLUMNS=200"}
}

// completingShell is an interactive shell on a terminal.
type completingShell struct {
	*terminal
}

// prompt ends what the shell shows while it waits; the shells are told to use it.
const prompt = "READY> "

// In both shells Ctrl-T prints the line between these marks and empties it.
const lineBegin, lineEnd = "LINE[", "]LINE"

func bashWith(t *testing.T, home, script string) *completingShell {
	t.Helper()
	put(t, home+"/rc", "PS1='"+prompt+`'
bind 'set show-all-if-ambiguous on'
bind 'set completion-query-items -1'
bind 'set page-completions off'
bind 'set completion-display-width 0'
bind -x '"\C-t": printf "\n`+lineBegin+"%s"+lineEnd+`\n" "$READLINE_LINE"; READLINE_LINE='
`+script+"\n")
	return startShell(t, home, "bash", "--noprofile", "--rcfile", home+"/rc", "-i")
}

func zshWith(t *testing.T, home, script string) *completingShell {
	t.Helper()
	put(t, home+"/.zshrc", "PS1='"+prompt+`'
show-line() { print -r -- $'\n'"`+lineBegin+"$BUFFER"+lineEnd+`"; BUFFER= }
zle -N show-line
bindkey '^T' show-line
`+script+"\n")
	return startShell(t, home, "zsh", "--no-globalrcs", "-i")
}

func startShell(t *testing.T, home, name string, args ...string) *completingShell {
	t.Helper()
	path, err := exec.LookPath(name)
	check.OK(t, err)
	s := &completingShell{newTerminal(t, nil)}
	s.cmd.Path, s.cmd.Args, s.cmd.Dir = path, append([]string{name}, args...), home+"/job"
	s.cmd.Env = completionEnviron(t, home)
	s.start(t)
	s.until(t, "the prompt", func() bool { return strings.Contains(s.shown(), prompt) })
	return s
}

// complete types a line and the Tab key. It returns the line as it then is, and
// what was listed.
func (s *completingShell) complete(t *testing.T, typed string) (line string, list []string) {
	t.Helper()
	before := len(s.shown())
	s.typeText(t, typed+"\t\x14")
	s.until(t, "the line", func() bool { return strings.Contains(s.shown()[before:], lineEnd) })
	shown, _, _ := strings.Cut(s.shown()[before:], lineEnd)
	shown, line, _ = strings.Cut(shown, lineBegin)
	for row := range strings.Lines(shown) {
		m := regexp.MustCompile(`^(\S.*?) +(?:-- |\()(.*?)\)?\s*$`).FindStringSubmatch(row)
		if m == nil || strings.Contains(row, "tokenfetch ") {
			continue // not of the list
		}
		for _, value := range strings.Fields(m[1]) { // zsh puts those of one meaning on one line
			list = append(list, value+"\t"+m[2])
		}
	}
	slices.Sort(list) // zsh has an order of its own
	return line, list
}

// complained reports whether an error stands on the screen.
func (s *completingShell) complained() bool {
	return regexp.MustCompile(`error|not found|rror:`).MatchString(s.shown())
}

// fishCandidates asks fish itself: it redraws the line too often to be read
// from a terminal.
func fishCandidates(t *testing.T, home, load, typed string) []string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "fish", "-c", load+"complete -C $argv[1]", "--", typed)
	command.Env, command.Dir = completionEnviron(t, home), home+"/job"
	out, err := command.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v", typed, err)
	}
	if len(out) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}
