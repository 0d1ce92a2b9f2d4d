package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenfetch/tokenfetch/pkg/emulator"
	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

var update = flag.Bool("update", false, "rewrite the generated parts of the documents, and the picture of a session")

// The documents, seen from this directory.
const (
	readmeFile   = "../README.md"
	securityFile = "../SECURITY.md"
	exampleFile  = "../profiles.example.toml"
	recipeDir    = "../testdata/recipes"
)

// exampleHeader returns the part of profiles.example.toml that people write: up to
// the first empty line. Its indented lines are an example that a test reads.
func exampleHeader(t *testing.T) string {
	t.Helper()
	header, _, _ := strings.Cut(readFile(t, exampleFile), "\n\n")
	return header + "\n"
}

// documents returns the files that people read: the README and the guides.
func documents(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("guides/*.md")
	if err != nil || len(files) == 0 {
		t.Fatal("there are no guides")
	}
	return append([]string{readmeFile}, files...)
}

// builtinRun is a run that knows the built-in providers only.
func builtinRun() *run {
	r := &run{catalog: provider.NewCatalog("", nil), env: Env{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}}
	r.console = newConsole(&r.env)
	return r
}

// TestDocuments compares the generated parts of the documents with what the
// definitions, the recipes and the program say. With -update it rewrites them.
func TestDocuments(t *testing.T) {
	r := builtinRun()
	definitions := builtins(t)
	made := func(name string) string {
		kind, file, _ := strings.Cut(name, " ")
		switch {
		case name == "providers":
			return providerTable(definitions)
		case name == "exit codes":
			return exitCodeTable(t)
		case kind == "recipe":
			language := map[string]string{".yml": "yaml", ".yaml": "yaml", ".service": "ini", ".ps1": "powershell", "": "groovy"}[filepath.Ext(file)]
			return "```" + language + "\n" + readFile(t, filepath.Join(recipeDir, file)) + "```\n"
		case name == "guide security": // all but its title, seen from the root
			_, text, _ := strings.Cut(readFile(t, "guides/security.md"), "\n## ")
			return regexp.MustCompile(`\]\(([a-z-]+\.md)`).ReplaceAllString("## "+text, "](cmd/guides/$1")
		}
		text := r.generated(name)
		if text == "" {
			t.Errorf("nothing makes the part %q", name)
		}
		return text
	}
	for _, path := range append(documents(t), securityFile) {
		compareDocument(t, path, fillIn(readFile(t, path), made))
	}

	var example strings.Builder
	example.WriteString(exampleHeader(t))
	for _, d := range definitions {
		example.WriteString("\n# " + d.Title + ": " + d.Docs + "\n" + ExampleProfile(d, profile.Default))
	}
	compareDocument(t, exampleFile, example.String())
}

func compareDocument(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if *update {
		if string(got) != want {
			check.OK(t, os.WriteFile(path, []byte(want), 0o644))
		}
		return
	}
	check.OK(t, err)
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("%s is out of date (-want +got); run: go test ./cmd -run %s -update\n%s", path, t.Name(), diff)
	}
}

func providerTable(definitions []*provider.Definition) string {
	var rows [][]string
	for _, d := range definitions {
		environments := []string{}
		for _, e := range d.Environments {
			environments = append(environments, code(e.Name))
		}
		if len(environments) == 0 {
			environments = []string{"none is public: `--base-url URL`"}
		}
		rows = append(rows, []string{code("tokenfetch " + d.Name), "[" + d.Title + "](" + d.Docs + ")", strings.Join(environments, ", ")})
	}
	return markdownTable([]string{"command", "provider", "environments"}, rows)
}

// exitCodeTable is the one of the guide. It has a row for each class.
func exitCodeTable(t *testing.T) string {
	t.Helper()
	for _, p := range parseMarkdown(readFile(t, "guides/exit-codes.md")) {
		if p.kind != table {
			continue
		}
		for i, row := range p.rows[1:] {
			if class := failure.Class(i); class.String() != row[1] || class != failure.Signal && fmt.Sprint(i) != row[0] {
				t.Errorf("the guide calls %s %s, which is %s", row[0], row[1], class)
			}
		}
		if len(p.rows)-1 != int(failure.Signal)+1 {
			t.Error("the guide does not have each class of exit codes")
		}
		return markdownTable(p.rows[0], p.rows[1:])
	}
	t.Error("the guide has no table of exit codes")
	return ""
}

// jsonKeys returns the keys of a JSON object at its top level, in their order.
func jsonKeys(object string) func(func(string) bool) {
	return func(yield func(string) bool) {
		decoder := json.NewDecoder(strings.NewReader(object))
		_, _ = decoder.Token() // the brace
		for decoder.More() {
			key, err := decoder.Token()
			var value json.RawMessage
			if err != nil || decoder.Decode(&value) != nil || !yield(fmt.Sprint(key)) {
				return
			}
		}
	}
}

// TestDocumentLinks follows the links between the documents: each leads to a file
// that exists, and to a heading in it.
func TestDocumentLinks(t *testing.T) {
	followed := 0
	for _, path := range append(documents(t), securityFile) {
		prose := regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(readFile(t, path), "")
		for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(prose, -1) {
			file, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(file, "://") {
				continue
			}
			followed++
			target := path
			if file != "" {
				target = filepath.Join(filepath.Dir(path), file)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s, which does not exist", path, m[1])
			} else if anchor != "" && !slices.Contains(anchors(readFile(t, target)), anchor) {
				t.Errorf("%s links to %s, which has no such heading", path, m[1])
			}
		}
	}
	if followed < 30 {
		t.Errorf("only %d links were found", followed)
	}
}

// anchors returns what GitHub calls the headings of a text in an address.
func anchors(text string) []string {
	var names []string
	for _, p := range parseMarkdown(text) {
		if p.kind == heading {
			name := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(p.text), "")
			names = append(names, strings.ReplaceAll(name, " ", "-"))
		}
	}
	return names
}

// TestDocumentedProfiles loads every profile that the documents show.
func TestDocumentedProfiles(t *testing.T) {
	var header strings.Builder
	for line := range strings.Lines(exampleHeader(t)) {
		if entry, ok := strings.CutPrefix(line, "#   "); ok {
			header.WriteString(entry)
		}
	}
	texts := map[string]string{"profiles.example.toml": readFile(t, exampleFile), "its header": header.String()}
	for _, b := range blocks(t, "toml") {
		if !strings.HasPrefix(b.text, definitionComment) {
			texts[b.name] = b.text
		}
	}
	for name, text := range texts {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "profiles.toml")
			check.OK(t, os.WriteFile(path, []byte(text), 0o600))
			file, err := profile.Load(t.Context(), path, profile.Options{Home: t.TempDir()})
			check.OK(t, err)
			loaded := 0
			if file.CacheKey != nil {
				loaded++ // the table [tokenfetch]
			}
			for _, d := range builtins(t) {
				for _, name := range file.Names(d.Name) {
					var fields []profile.Field
					for _, f := range d.Fields {
						fields = append(fields, profile.Field{Name: f.Name, Secret: f.Secret})
					}
					p, err := file.Profile(d.Name, name, fields)
					if err != nil {
						t.Error(err)
						continue
					}
					if _, known := d.Environment(p.Environment); p.Environment != "" && !known {
						t.Errorf("[%s.%s]: there is no environment %s", d.Name, name, p.Environment)
					}
					loaded++
				}
			}
			if loaded == 0 || loaded != strings.Count(text, "\n[")+strings.Count(text[:1], "[") {
				t.Errorf("%d profiles loaded, which is not every table", loaded)
			}
		})
	}
}

// TestReadme does what the README and the guides say, with the program as it is
// built.
func TestReadme(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("the scripts are for the shells of Unix")
	}
	bin := builtProgram(t)
	t.Run("first command", func(t *testing.T) { firstCommand(t) })
	t.Run("example profiles", func(t *testing.T) { dryRunExample(t, bin) })
	t.Run("snippets", func(t *testing.T) { runSnippets(t, bin) })
	t.Run("command lines", func(t *testing.T) { parseCommandLines(t, bin) })
	t.Run("faults", func(t *testing.T) { measureFaults(t, bin) })
	t.Run("output", func(t *testing.T) { compareOutput(t, bin) })
}

// firstCommand runs the first line of the first block as it stands there.
func firstCommand(t *testing.T) {
	block := blocks(t, "console")[0]
	if want := "go run . zeepay --emulator\ngo test ./...\n"; block.text != want || block.line > 5 {
		t.Fatalf("the README begins with %q, want %q", block.text, want)
	}
	command := exec.Command("sh", "-c", strings.SplitN(block.text, "\n", 2)[0])
	command.Dir = ".."
	// Empty for the program; the go command keeps its caches.
	goEnv, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE").Output()
	check.OK(t, err)
	caches := strings.Split(string(goEnv), "\n")
	command.Env = append(cleanEnviron(t, os.Getenv("PATH")), "GOCACHE="+caches[0], "GOMODCACHE="+caches[1])
	var stdout, stderr strings.Builder
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	if !regexp.MustCompile(`^emulated-[A-Z0-9]{20,}\n$`).MatchString(stdout.String()) || stderr.Len() > 0 {
		t.Errorf("standard output %q, standard error %q; want one token", stdout.String(), stderr.String())
	}
}

// dryRunExample shows what would be sent with each profile of the example file.
func dryRunExample(t *testing.T, bin string) {
	path := filepath.Join(t.TempDir(), "profiles.toml")
	check.OK(t, os.WriteFile(path, []byte(readFile(t, exampleFile)), 0o600))
	for _, name := range provider.NewCatalog("", nil).Names() {
		command := program(t, bin, name, "--config", path, "--dry-run")
		var stderr strings.Builder
		command.Stderr = &stderr
		if out, err := command.Output(); err != nil || len(out) > 0 || !strings.Contains(stderr.String(), "dry run: POST https://") {
			t.Errorf("%s: %v, standard output %q\n%s", name, err, out, stderr.String())
		}
	}
}

// block is a piece of code in a document.
type block struct {
	name     string // where it is
	file     string
	line     int
	language string
	kind     string // the word behind the language, or empty
	text     string
}

// blocks returns the code in the documents that is in one of the languages, the
// README's first.
func blocks(t *testing.T, languages ...string) []block {
	t.Helper()
	known := []string{"sh", "bash", "fish", "powershell", "makefile", "console", "yaml", "groovy", "ini", "toml", "text", "json", "go"}
	var found []block
	for _, path := range documents(t) {
		for _, p := range parseMarkdown(readFile(t, path)) {
			if p.kind != fence {
				continue
			}
			language, kind, _ := strings.Cut(p.info, " ")
			name := fmt.Sprintf("%s in line %d of %s", language, p.line, filepath.Base(path))
			if !slices.Contains(known, language) {
				t.Errorf("%s: nothing is known of this language", name)
			}
			if slices.Contains(languages, language) {
				found = append(found, block{name, path, p.line, language, kind, p.text})
			}
		}
	}
	if len(found) == 0 {
		t.Fatalf("no document has code in %v", languages)
	}
	return found
}

// runSnippets runs every block of a shell: it succeeds with the emulator, and
// with one that refuses, or none, it fails and does not go on.
func runSnippets(t *testing.T, bin string) {
	for _, b := range blocks(t, "sh", "bash", "fish", "makefile") {
		shells := map[string][]string{
			"sh": {"sh", "dash", "bash", "zsh"}, "bash": {"bash", "zsh"}, "fish": {"fish"}, "makefile": {"sh"},
		}[b.language]
		if b.kind == "direnv" {
			shells = []string{"sh"}
		}
		for _, shell := range shells {
			t.Run(b.name+"/"+shell, func(t *testing.T) {
				t.Parallel()
				needTools(t, shell, b)
				api := newAPI(t)
				if b.kind == "emulator" {
					if s := runSnippet(t, bin, api, shell, b); s.err != nil || !s.wentOn {
						t.Errorf("%v\n%s", s.err, s.output)
					}
					return
				}
				s := runSnippet(t, bin, api, shell, b, "tokenfetch", "emulator", "--")
				if s.err != nil || !s.wentOn {
					t.Errorf("with the emulator: %v\n%s", s.err, s.output)
				}
				if s.used == 0 && tokenUser.MatchString(b.text) {
					t.Errorf("with the emulator: the token was not used\n%s", s.output)
				}
				for _, trouble := range troubles(t) {
					wrong := b
					wrong.text = programCall.ReplaceAllString(b.text, "$0"+trouble.flag)
					s := runSnippet(t, bin, api, shell, wrong, trouble.prefix...)
					if s.err == nil || s.wentOn || s.used > 0 || s.called > 0 {
						t.Errorf("with %s it did not stop: %+v\n%s", trouble.name, s, s.output)
					}
					if !strings.Contains(s.output, "tokenfetch: error: ") {
						t.Errorf("with %s it failed for another reason:\n%s", trouble.name, s.output)
					}
				}
			})
		}
	}
}

var (
	programCall = regexp.MustCompile(`\btokenfetch [a-z]+`)
	tokenUser   = regexp.MustCompile(`api\.example\.com|reconcile`)
)

// trouble is a reason for which no token comes.
type trouble struct {
	name   string
	prefix []string // in front of the shell
	flag   string   // behind each provider
}

func troubles(t *testing.T) []trouble {
	t.Helper()
	emulate := func(args ...string) []string {
		return append(append([]string{"tokenfetch", "emulator"}, args...), "--")
	}
	return []trouble{
		{name: "an emulator that refuses", prefix: emulate("--fault", "refused")},
		{name: "a closed provider", prefix: emulate("--fault", "closed")},
		{name: "no emulator", prefix: append([]string{"env"}, demoVariables(builtins(t), closedPort(t))...)},
		{name: "nothing set up", prefix: []string{"env"}},
		{name: "a wrong flag", prefix: emulate(), flag: " --wrong"},
		{name: "a wrong profile", prefix: emulate(), flag: "/typo"},
	}
}

// needTools skips a test whose programs are not installed.
func needTools(t *testing.T, shell string, b block) {
	t.Helper()
	tools := []string{shell}
	for _, tool := range []string{"curl", "jq", "http"} {
		if regexp.MustCompile(`\b` + tool + ` -`).MatchString(b.text) {
			tools = append(tools, tool)
		}
	}
	switch {
	case b.language == "makefile":
		tools = append(tools, "make")
	case b.kind == "direnv":
		tools = append(tools, "direnv")
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
}

type snippetResult struct {
	err    error
	output string
	wentOn bool // the line after the snippet was reached
	used   int  // calls of the API, and of programs, with a token
	called int  // calls without one
}

// runSnippet runs a block as a script in an empty home, behind the words of
// prefix. As the documents ask, it stops at the first failure.
func runSnippet(t *testing.T, bin string, api *fakeAPI, shell string, b block, prefix ...string) snippetResult {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		check.OK(t, os.WriteFile(filepath.Join(dir, name), []byte(text), mode))
	}
	// The programs that the documents make up note whether they got a token.
	write("reconcile.sh", "#!/bin/sh\ncase \"$TOKEN$ZEEPAY_ACCESS_TOKEN\" in emulated-*) echo yes ;; *) echo no ;; esac >>calls\n", 0o755)
	write("test.sh", "#!/bin/sh\nset -e\ntokenfetch zeepay >/dev/null\n", 0o755)
	text := strings.ReplaceAll(b.text, "https://api.example.com", api.URL)
	switch {
	case b.language == "makefile":
		write("Makefile", text, 0o644)
		text = "make reconcile"
	case b.kind == "direnv":
		write(".envrc", text, 0o644)
		text = "direnv allow\ndirenv exec . ./reconcile.sh"
	}
	text += "\necho yes >went-on\n"
	if shell != "fish" {
		text = "set -e\n" + text
	}
	write("script", text, 0o644)

	environ := cleanEnviron(t, bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	argv := append(slices.Clone(prefix), shell, "script")
	if argv[0] == "tokenfetch" { // the test program of that name is on our own PATH
		argv[0] = filepath.Join(bin, argv[0])
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, argv[0], argv[1:]...)
	command.Dir, command.Env = dir, environ
	used, called := api.count()
	out, err := command.CombinedOutput()
	result := snippetResult{err: err, output: string(out)}
	if _, err := os.Stat(filepath.Join(dir, "went-on")); err == nil {
		result.wentOn = true
	}
	calls, _ := os.ReadFile(filepath.Join(dir, "calls"))
	usedNow, calledNow := api.count()
	result.used = usedNow - used + strings.Count(string(calls), "yes")
	result.called = calledNow - called + strings.Count(string(calls), "no")
	return result
}

// cleanEnviron is the environment of somebody who has set up nothing.
func cleanEnviron(t *testing.T, path string) []string {
	t.Helper()
	return []string{"HOME=" + t.TempDir(), "PATH=" + path, "LANG=C.UTF-8"}
}

// program is a run of the program in that environment.
func program(t *testing.T, bin string, args ...string) *exec.Cmd {
	t.Helper()
	command := exec.CommandContext(t.Context(), filepath.Join(bin, "tokenfetch"), args...)
	command.Env = cleanEnviron(t, bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	command.Dir = t.TempDir()
	return command
}

// closedPort is a loopback address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check.OK(t, err)
	check.OK(t, listener.Close())
	return listener.Addr().String()
}

// fakeAPI stands for the API that the documents call with a token. It counts the
// calls with one of the emulator's tokens, in a header or the body, and those
// without.
type fakeAPI struct {
	*httptest.Server
	mu            sync.Mutex
	with, without int
}

func newAPI(t *testing.T) *fakeAPI {
	t.Helper()
	api := new(fakeAPI)
	api.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var object struct{ Token string }
		_ = json.Unmarshal(body, &object)
		presented := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ") + object.Token
		api.mu.Lock()
		defer api.mu.Unlock()
		if regexp.MustCompile(`^emulated-[A-Z0-9]+$`).MatchString(presented) {
			api.with++
			fmt.Fprintln(w, `{"ok":true}`)
			return
		}
		api.without++
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(api.Close)
	return api
}

func (api *fakeAPI) count() (with, without int) {
	api.mu.Lock()
	defer api.mu.Unlock()
	return api.with, api.without
}

// commandLine finds calls of the program, up to where the shell's or
// Markdown's own signs go on.
var commandLine = regexp.MustCompile("(?:^|[\\s`(])(?:tokenfetch|go run \\.)((?: +(?:'[^']*'|[^\\s'`|;)(>&\"]+))+)")

// parseCommandLines checks that every command line in the documents, in code of
// any language, and in the recipes has a command and flags that exist.
func parseCommandLines(t *testing.T, bin string) {
	// The providers that a guide defines are there.
	home := withDefinitions(t, guideDefinitions(t))
	r := builtinRun()
	r.catalog = provider.NewCatalog(filepath.Join(home, ".config", "tokenfetch", "providers"), os.ReadFile)
	root := r.newRoot()
	r.addCommands(root)
	commands := r.catalog.Names()
	for _, c := range root.Commands() {
		commands = append(commands, c.Name())
	}
	text := ""
	for _, path := range documents(t) {
		text += codeOnly(readFile(t, path)) + "\n"
	}
	text = strings.ReplaceAll(text, "\\\n", " ")
	words := strings.NewReplacer("PROVIDER:NAME", "zeepay:slow", "PROVIDER", "zeepay", "TOPIC", "ci", "NAME", "acme", "'", "")
	tried := map[string]bool{}
	for _, match := range commandLine.FindAllStringSubmatchIndex(text, -1) {
		line := strings.TrimSpace(text[match[2]:match[3]])
		if before := text[:match[0]]; tried[line] || strings.HasSuffix(before, " service") || strings.HasSuffix(before, "install") {
			continue // the name of an item of the keychain, or of a package
		}
		tried[line] = true
		args := strings.Fields(words.Replace(line))
		word, _, _ := strings.Cut(args[0], "/")
		if !slices.Contains(commands, word) && !strings.HasPrefix(word, "-") {
			t.Errorf("tokenfetch %s: there is no command %s", line, word)
		}
		if behind := slices.Index(args, "--"); behind >= 0 {
			args = args[:behind]
		}
		if word != "help" && word != "completion" && !slices.Contains(args, "--help") {
			args = append(args, "--help")
		}
		command := program(t, bin, args...)
		command.Env = append(command.Env, "HOME="+home)
		if out, err := command.CombinedOutput(); err != nil {
			t.Errorf("tokenfetch %s: %v\n%s", line, err, out)
		}
	}
	if len(tried) < 50 {
		t.Errorf("only %d command lines were found", len(tried))
	}
	known := []string{"TOKENFETCH_PROFILE", "TOKENFETCH_CONFIG", "TOKENFETCH_ERRORS", "TOKENFETCH_EMULATOR_DIR"}
	for _, d := range builtins(t) {
		known = append(known, d.Variables()...)
	}
	recipes, _ := filepath.Glob(recipeDir + "/*")
	for _, file := range slices.Concat(documents(t), recipes, []string{exampleFile, securityFile}) {
		for _, name := range regexp.MustCompile(`TOKENFETCH_[A-Z]+(?:_[A-Z]+)*`).FindAllString(readFile(t, file), -1) {
			if !slices.Contains(known, name) {
				t.Errorf("%s names the variable %s, which tokenfetch does not read", file, name)
			}
		}
	}
}

// codeOnly returns the text with everything blanked that is neither in a block
// nor in a code span, so that prose about tokenfetch is no command line.
func codeOnly(text string) string {
	var b strings.Builder
	open := false
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, "```"):
			open = !open
		case open:
			b.WriteString(line)
		default:
			for i, part := range strings.Split(line, "`") {
				if i%2 == 1 {
					b.WriteString(part + "\n")
				}
			}
		}
	}
	return b.String()
}

// measureFaults compares the guide's table of faults with what they do.
func measureFaults(t *testing.T, bin string) {
	documented := map[string]string{}
	for _, p := range parseMarkdown(readFile(t, "guides/emulator.md")) {
		if p.kind == table {
			for _, row := range p.rows[1:] {
				documented[strings.Trim(row[0], "`")] = row[2]
			}
		}
	}
	names := slices.Sorted(slices.Values(emulator.FaultNames()))
	check.Same(t, "the faults of the emulator and of its guide", names, slices.Sorted(maps.Keys(documented)))
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := program(t, bin, "emulator", "--fault", name, "--", "tokenfetch", "zeepay", "--timeout", "2s").Run()
			exit, ok := errors.AsType[*exec.ExitError](err)
			if !ok || fmt.Sprint(exit.ExitCode()) != documented[name] {
				t.Errorf("exit code %v, the guide says %s", err, documented[name])
			}
		})
	}
}

// compareOutput compares the guides' example of an error, and the keys of JSON, with
// real ones.
func compareOutput(t *testing.T, bin string) {
	stderr := func(args ...string) string {
		command := program(t, bin, append([]string{"emulator", "--fault", "refused", "--", "tokenfetch", "zeepay"}, args...)...)
		var b bytes.Buffer
		command.Stderr = &b
		_ = command.Run() // fails, with the error in question
		return b.String()
	}
	shown := ""
	for line := range strings.Lines(stderr()) { // as a terminal of that width shows it
		shown += fold(line, 0, len(programPrefix), codeColumns)
	}
	check.Same(t, "the text of the error", shown, blocks(t, "text")[0].text)
	want := slices.Collect(jsonKeys(stderr("--errors", "json")))
	check.Same(t, "the keys of the JSON error", want, slices.Collect(jsonKeys(blocks(t, "json")[0].text)))
	token, err := program(t, bin, "zeepay", "--emulator", "-o", "json").Output()
	check.OK(t, err)
	var documented []string
	for _, p := range parseMarkdown(readFile(t, "guides/output.md")) {
		if p.kind == table && p.rows[0][0] == "key" {
			for _, row := range p.rows[1:] {
				documented = append(documented, strings.Split(strings.ReplaceAll(row[0], "`", ""), ", ")...)
			}
		}
	}
	keys := slices.Sorted(jsonKeys(string(token)))
	slices.Sort(documented)
	check.Same(t, "the keys of -o json", keys, documented)
}

func builtins(t *testing.T) []*provider.Definition {
	t.Helper()
	all, _ := provider.NewCatalog("", nil).All()
	return all
}

func readFile(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	check.OK(t, err)
	return string(data)
}
