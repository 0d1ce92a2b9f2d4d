package output

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/internal/token"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// A quoter is right if the real shell gives the bytes back; a shell of our own
// making would share our misunderstandings. PowerShell is not proven this way:
// its lines are only compared with golden ones, in TestFormat.
type shell struct {
	name   string
	args   []string // keep the settings of the machine out
	format string
	eval   string // evaluates the file "line" as the documentation says to
	unset  string // prints whether T is unset
	names  string // prints the variables the shell has of its own, if it can
}

const (
	posixEval  = `eval "$(cat line)"`
	posixUnset = `printf '%s\n' "${T-unset}"`
)

func shells() []*shell {
	return []*shell{
		{name: "sh", format: "export", eval: posixEval, unset: posixUnset},
		{name: "dash", format: "export", eval: posixEval, unset: posixUnset},
		{name: "bash", args: []string{"--noprofile", "--norc"}, format: "export", eval: posixEval, unset: posixUnset, names: "compgen -v"},
		{name: "ksh", format: "export", eval: posixEval, unset: posixUnset},
		{name: "zsh", args: []string{"-f"}, format: "export", eval: posixEval, unset: posixUnset, names: "print -rl -- ${(k)parameters}"},
		// Under this option '' inside quotes is a quote.
		{name: "zsh", args: []string{"-f", "-o", "rcquotes"}, format: "export", eval: posixEval, unset: posixUnset},
		{name: "fish", args: []string{"--no-config"}, format: "fish", eval: "cat line | source", unset: "set -q T; or echo unset", names: "set --names"},
	}
}

// title tells a shell from the same one with other options.
func (sh *shell) title() string { return strings.Join(append([]string{sh.name}, sh.args...), " ") }

func needs(tb testing.TB, program string) {
	tb.Helper()
	if runtime.GOOS == "windows" {
		tb.Skipf("%s is not at home on Windows, so what we print for it is not proven here", program)
	}
	if _, err := exec.LookPath(program); err != nil {
		tb.Skipf("%s is not installed, so what we print for it is not proven here", program)
	}
}

// command returns a command that runs in an empty directory and knows nothing of the user.
func command(ctx context.Context, tb testing.TB, program string, args ...string) *exec.Cmd {
	tb.Helper()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = tb.TempDir()
	cmd.Env = slices.DeleteFunc(cmd.Environ(), func(pair string) bool { return !strings.HasPrefix(pair, "PATH=") })
	cmd.Env = append(cmd.Env, "HOME="+tb.TempDir(), "LC_ALL=C")
	cmd.WaitDelay = time.Second
	return cmd
}

// run runs script, with line in a file of that name beside it, and returns
// what it prints. It fails the test if a file appears: no token may do that.
func (sh *shell) run(t *testing.T, script, line string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := command(ctx, t, sh.name, append(slices.Clone(sh.args), "./script")...)
	for name, text := range map[string]string{"script": script, "line": line} {
		check.OK(t, os.WriteFile(filepath.Join(cmd.Dir, name), []byte(text), 0o600))
	}
	out, err := cmd.Output()
	files, dirErr := os.ReadDir(cmd.Dir)
	if dirErr != nil {
		t.Fatal(dirErr)
	}
	for _, file := range files {
		if name := file.Name(); name != "script" && name != "line" {
			t.Errorf("a token made the file %q", name)
		}
	}
	return string(out), err
}

func line(text, format, name string) string {
	data, err := Format(Result{AccessToken: secret.New(text), Use: token.Use{Header: "Authorization", Scheme: "Bearer"}}, format, name)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// tokens returns every visible ASCII character alone, every pair of them, and
// what is dangerous somewhere.
func tokens() []string {
	all := []string{
		"-", "--", "-n", "-e", "-x", "--help", "=", "=ls", "@", "@file", "-nabc", "-eabc", "--abc", "=abc", "@abc",
		"$(touch pwned)", "`touch pwned`", "$(touch${IFS}pwned)", "`touch${IFS}pwned`", ";touch${IFS}pwned;", "|touch${IFS}pwned",
		"'$(touch${IFS}pwned)'", "';touch${IFS}pwned;'", `\';touch${IFS}pwned;\'`, `"$(touch${IFS}pwned)"`, `";touch${IFS}pwned;"`,
		"(touch${IFS}pwned)", "a[$(touch${IFS}pwned)]", "<(touch${IFS}pwned)", "''''", `'\''`, `\\\\`, `\\'`, `"\"`, `\"\\"`,
		"!!", "!$", "!touch", "~", "~root", "*", "??", "[a-z]*", "{a,b}", "#a", "%PATH%", "^a^b", "${T}", "$T", "$$", "$'a'", `$"a"`,
		`\n`, `\t`, `\x41`, `\u0041`, `%s%n`, "&", ">a", "<a", ">>a",
	}
	long := ""
	for a := '!'; a <= '~'; a++ {
		all = append(all, string(a))
		for b := '!'; b <= '~'; b++ {
			all = append(all, string(a)+string(b))
		}
		long += string(a)
	}
	// The longest that is accepted.
	return append(all, strings.Repeat(long, token.MaxLength/len(long)+1)[:token.MaxLength])
}

// TestDotenv: what is written means the same to every shell that sources
// it, and to programs that know single quotes only as a pair around the value.
func TestDotenv(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("there is no sh")
	}
	var script strings.Builder
	var want []string
	for _, text := range tokens() {
		value, err := quoteDotenv(text)
		if strings.ContainsAny(text, `'\$`) {
			if err == nil {
				t.Errorf("%q is written as %s", text, value)
			}
			continue
		}
		check.OK(t, err)
		inner, quoted := strings.CutPrefix(value, "'")
		if inner = strings.TrimSuffix(inner, "'"); inner != text || quoted != (value != text) {
			t.Errorf("%q is written as %s", text, value)
		}
		script.WriteString("T=" + value + "\nprintf '%s\\n' \"$T\"\n")
		want = append(want, text)
	}
	c := exec.Command(sh)
	c.Stdin = strings.NewReader(script.String())
	out, err := c.Output()
	check.OK(t, err)
	sameTokens(t, strings.Split(strings.TrimSuffix(string(out), "\n"), "\n"), want)
}

// TestDotenvReaders gives the whole file to programs that read such files. Each
// prints what it has read as JSON.
func TestDotenvReaders(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"direnv":  {"dotenv", "json", "variables.env"},
		"node":    {"--env-file=variables.env", "-p", "JSON.stringify(process.env)"},
		"python3": {"-c", "import dotenv, json; print(json.dumps(dotenv.dotenv_values('variables.env')))"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			needs(t, name)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if name == "python3" && command(ctx, t, name, "-c", "import dotenv").Run() != nil {
				t.Skip("python-dotenv is not installed")
			}
			var file strings.Builder
			want := map[string]string{}
			for i, text := range tokens() {
				if value, err := quoteDotenv(text); err == nil {
					variable := fmt.Sprintf("T%d", i)
					want[variable] = text
					file.WriteString(variable + "=" + value + "\n")
				}
			}
			c := command(ctx, t, name, args...)
			check.OK(t, os.WriteFile(filepath.Join(c.Dir, "variables.env"), []byte(file.String()), 0o600))
			out, err := c.Output()
			check.OK(t, err)
			got := map[string]string{}
			check.OK(t, json.Unmarshal(out, &got))
			for variable, text := range want {
				if got[variable] != text {
					t.Errorf("%.80q came back as %.80q", text, got[variable])
				}
			}
		})
	}
}

func sameTokens(t *testing.T, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d tokens came back, want %d", len(got), len(want))
	}
	wrong := 0
	for i := range min(len(got), len(want)) {
		if got[i] == want[i] {
			continue
		}
		wrong++
		if wrong > 5 {
			t.Fatal("and more")
		}
		t.Errorf("%.80q came back as %.80q", want[i], got[i])
	}
}

// TestShellsGiveTheTokenBack evaluates the lines in the real shells.
func TestShellsGiveTheTokenBack(t *testing.T) {
	t.Parallel()
	for _, sh := range shells() {
		t.Run(sh.title(), func(t *testing.T) {
			t.Parallel()
			needs(t, sh.name)
			var script strings.Builder
			for _, text := range tokens() {
				script.WriteString(line(text, sh.format, "T") + `printf '%s\n' "$T"` + "\n")
			}
			out, err := sh.run(t, script.String(), "")
			if err != nil {
				t.Error(err)
			}
			sameTokens(t, strings.Split(strings.TrimSuffix(out, "\n"), "\n"), tokens())
		})
	}
}

// A child of the shell must see the token too, when the line was evaluated in
// the way the documentation shows.
func TestShellsExportTheToken(t *testing.T) {
	t.Parallel()
	for _, sh := range shells() {
		t.Run(sh.title(), func(t *testing.T) {
			t.Parallel()
			needs(t, sh.name)
			needs(t, "printenv")
			for _, text := range []string{
				"-n", `it's"\$(touch${IFS}pwned)` + "`touch${IFS}pwned`", strings.Repeat(`'\"$!#`, 1000),
			} {
				out, err := sh.run(t, sh.eval+"\nprintenv T\n", line(text, sh.format, "T"))
				if err != nil {
					t.Error(err)
				}
				if out != text+"\n" {
					t.Errorf("%.80q came back as %.80q", text, out)
				}
			}
		})
	}
}

// After a failed run the evaluation must fail, and the variable must not keep
// the token of an earlier run.
func TestShellsFailWithTheFailingLine(t *testing.T) {
	t.Parallel()
	for _, sh := range shells() {
		t.Run(sh.title(), func(t *testing.T) {
			t.Parallel()
			needs(t, sh.name)
			status := map[string]string{"export": "$?", "fish": "$status"}[sh.format]
			out, err := sh.run(t, line("old", sh.format, "T")+sh.eval+"\necho "+status+"\n"+sh.unset+"\n", FailingLine(sh.format, "T"))
			if out != "1\nunset\n" || err != nil {
				t.Errorf("with a name: got %q, %v", out, err)
			}
			out, err = sh.run(t, sh.eval+"\necho "+status+"\n", FailingLine(sh.format, ""))
			if out != "1\n" || err != nil {
				t.Errorf("without a name: got %q, %v", out, err)
			}
			if sh.format == "fish" { // has no set -e
				return
			}
			for _, name := range []string{"T", ""} {
				out, err := sh.run(t, "set -e\n"+sh.eval+"\necho went on\n", FailingLine(sh.format, name))
				if out != "" || err == nil {
					t.Errorf("set -e with the name %q: got %q, %v", name, out, err)
				}
			}
		})
	}
}

// A shell has variables that it does not keep as text: bash runs a command in
// what is assigned to RANDOM. Such a name must be refused, or the line must fail.
func TestShellsKeepEveryVariableThatIsAllowed(t *testing.T) {
	t.Parallel()
	for _, sh := range shells() {
		if sh.names == "" {
			continue
		}
		t.Run(sh.title(), func(t *testing.T) {
			t.Parallel()
			needs(t, sh.name)
			out, err := sh.run(t, sh.names+"\n", "")
			check.OK(t, err)
			if !strings.Contains(out, "PATH\n") {
				t.Fatalf("not a list of variables: %q", out)
			}
			for name := range strings.FieldsSeq(out) {
				if CheckVariable(name) != "" {
					continue
				}
				for _, text := range []string{"a[$(touch${IFS}pwned)]", "abc"} {
					script := strings.TrimSuffix(line(text, sh.format, name), "\n") + " || exit 9\nprintf '%s' \"$" + name + "\"\n"
					if out, err := sh.run(t, script, ""); err == nil && out != text {
						t.Errorf("%s is allowed and makes %q of %q", name, out, text)
					}
				}
			}
		})
	}
}

// curl runs curl with config on its standard input, as the documentation says
// to, and returns the Authorization headers of each request that it made.
func curl(tb testing.TB, config string) ([][]string, error) {
	tb.Helper()
	var mu sync.Mutex
	var requests [][]string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		requests = append(requests, r.Header["Authorization"])
	}))
	defer server.Close()
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	defer cancel()
	cmd := command(ctx, tb, "curl", "-q", "--silent", "--show-error", "-K", "-", server.URL)
	cmd.Stdin = strings.NewReader(config)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, stderr.String())
	}
	mu.Lock()
	defer mu.Unlock()
	return requests, err
}

func TestCurlGivesTheTokenBack(t *testing.T) {
	t.Parallel()
	needs(t, "curl")
	// curl sends every header line it is given, so one request proves many.
	for batch := range slices.Chunk(tokens(), 1000) {
		var config strings.Builder
		want := make([]string, len(batch))
		for i, text := range batch {
			config.WriteString(line(text, "curl", ""))
			want[i] = "Bearer " + text
		}
		requests, err := curl(t, config.String())
		check.OK(t, err)
		if len(requests) != 1 {
			t.Fatalf("%d requests, want 1", len(requests))
		}
		sameTokens(t, requests[0], want)
	}
}

func TestCurlSendsNothingWithTheFailingLine(t *testing.T) {
	t.Parallel()
	needs(t, "curl")
	if requests, err := curl(t, ""); len(requests) != 1 || err != nil {
		t.Fatalf("without the line: %d requests, %v; this test proves nothing", len(requests), err)
	}
	if requests, err := curl(t, FailingLine("curl", "")); len(requests) != 0 || err == nil {
		t.Errorf("with the line: %d requests, %v", len(requests), err)
	}
}
