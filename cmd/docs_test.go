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
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenfetch/tokenfetch/pkg/emulator"
	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/output"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

var update = flag.Bool("update", false, "rewrite the generated parts of README.md, profiles.example.toml and the picture of a session")

// The documents, seen from this directory.
const (
	readmeFile  = "../README.md"
	exampleFile = "../profiles.example.toml"
)

// exampleHeader is the part of profiles.example.toml that people write. Its
// indented lines are an example that a test reads.
const exampleHeader = `# Profiles of tokenfetch. Copy what you need to ~/.config/tokenfetch/profiles.toml
# (on Windows %AppData%\tokenfetch\profiles.toml) and fill in your own values.
# "tokenfetch login zeepay" writes such a table for you, and stores the secrets.
#
# A table is [PROVIDER.PROFILE]. "tokenfetch zeepay" uses [zeepay.default], and
# "tokenfetch zeepay/ci" uses [zeepay.ci]. A field is a text, or says where its
# value is kept:
#
#   [zeepay.ci]
#   environment   = "production"
#   client_id     = { env = "ZEEPAY_CLIENT_ID" }                       # an environment variable
#   username      = "ops@example.com"                                  # the value itself
#   client_secret = { file = "~/secrets/zeepay_client_secret" }        # a file, here below the home directory
#   password      = { command = ["pass", "show", "zeepay/password"] }  # what a program prints, run without a shell
#
#   [zeepay.sandbox]
#   environment   = "sandbox"
#   client_id     = 43
#   username      = "ops@example.com"
#   client_secret = { keychain = true }       # as if nothing were said
#   password      = { keychain = "default" }  # the keychain item of another profile
#   ca_file       = "authority.pem"           # trust these certificates, and only these; beside this file
#   client_cert   = "client.pem"              # for a host that asks for a client certificate (mutual TLS)
#   client_key    = "client.key"              # its private key, not encrypted; one PEM file may hold both
#   timeout       = "10s"                     # limit for the whole run
#
# A path is absolute, begins with ~/, or begins at this file. Instead of
# environment, base_url = "https://HOST" gives the provider's address.
# A file that holds a secret itself must be readable by you alone: chmod 600.
`

// TestDocuments compares the generated parts of the documents with what the
// definitions and the program say. With -update it rewrites them.
func TestDocuments(t *testing.T) {
	definitions := builtins(t)
	text := readFile(t, readmeFile)
	for name, part := range map[string]string{
		"providers":          providerTable(definitions),
		"formats":            formatTable(),
		"variables":          variableTable(t),
		"provider variables": providerVariableTable(definitions),
		"exit codes":         exitCodeTable(t),
	} {
		begin, end := "<!-- generated: "+name+" -->\n", "<!-- end -->"
		before, rest, found := strings.Cut(text, begin)
		_, after, ended := strings.Cut(rest, end)
		if !found || !ended {
			t.Errorf("README.md has no part %q", name)
			continue
		}
		text = before + begin + "\n" + part + "\n" + end + after
	}
	compareDocument(t, readmeFile, text)

	var example strings.Builder
	example.WriteString(exampleHeader)
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
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("%s is out of date (-want +got); run: go test ./cmd -run %s -update\n%s", path, t.Name(), diff)
	}
}

// table returns a Markdown table. right tells which columns hold numbers.
func table(header []string, right map[int]bool, rows [][]string) string {
	var b strings.Builder
	write := func(cells []string) {
		b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	write(header)
	for i := range header {
		b.WriteString("|---")
		if right[i] {
			b.WriteString(":")
		}
	}
	b.WriteString("|\n")
	for _, row := range rows {
		escaped := make([]string, len(row))
		for i, cell := range row {
			escaped[i] = strings.ReplaceAll(cell, "|", `\|`)
		}
		write(escaped)
	}
	return b.String()
}

func code(text string) string { return "`" + text + "`" }

// named is the name of a field or its variable, bold if the field is secret.
func named(f provider.Field, text string) string {
	if f.Secret {
		return "**" + code(text) + "**"
	}
	return code(text)
}

func providerTable(definitions []*provider.Definition) string {
	var rows [][]string
	for _, d := range definitions {
		environments := []string{}
		for _, e := range d.Environments {
			environments = append(environments, code(e.Name))
		}
		if len(environments) == 0 {
			environments = []string{"none is public"}
		}
		var fields []string
		for _, f := range d.Fields {
			text := named(f, f.Name) + inParentheses(ifMissing(f))
			if !d.Needs(f.Name, nil) {
				var some []string
				for _, e := range d.Environments {
					if d.Needs(f.Name, &e) {
						some = append(some, code(e.Name))
					}
				}
				text += " (for " + strings.Join(some, ", ") + ")"
			}
			fields = append(fields, text)
		}
		rows = append(rows, []string{
			code("tokenfetch " + d.Name),
			"[" + d.Title + "](" + d.Docs + ")",
			strings.Join(environments, ", "),
			strings.Join(fields, ", "),
			strings.Join(d.Notes, " "),
		})
	}
	return table([]string{"command", "provider", "environments", "fields", "notes"}, nil, rows)
}

func formatTable() string {
	result := output.Result{
		Provider: "zeepay", Profile: profile.Default, AccessToken: secret.New("abc"),
		Use: tokenfetch.Use{Header: "Authorization", Scheme: "Bearer"},
	}
	var rows [][]string
	for _, format := range output.Formats() {
		data, err := output.Format(result, format, "NAME")
		if err != nil {
			panic(err) // the token is plain
		}
		name, text := provider.TokenVariable("zeepay"), strings.TrimSuffix(string(data), "\n")
		text = code(strings.ReplaceAll(text, "NAME", name))
		if variable := output.RunnerFile(format); variable != "" {
			text = "nothing: the variable goes to the file that " + code(variable) + " names, and the runner hides the token"
		}
		if format == "json" {
			var keys []string
			for key := range jsonKeys(text[1 : len(text)-1]) {
				keys = append(keys, code(key))
			}
			text = "one line of JSON with the keys " + strings.Join(keys, ", ")
		}
		failing := output.FailingLine(format, name)
		if failing != "" {
			failing = code(strings.TrimSuffix(failing, "\n"))
		}
		rows = append(rows, []string{code(format), text, failing})
	}
	return table([]string{"format", "on success", "on failure"}, nil, rows)
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

// variableTable is made of the first part of "help environment".
func variableTable(t *testing.T) string {
	t.Helper()
	text, err := (&run{catalog: provider.NewCatalog("", nil)}).environmentTopic()
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ = strings.Cut(text, "\n\n")
	text, _, _ = strings.Cut(text, "\n\n")
	var rows [][]string
	for line := range strings.Lines(text) {
		entry := strings.TrimPrefix(line, "  ")
		if !strings.HasPrefix(entry, " ") {
			name, meaning, _ := strings.Cut(strings.TrimSpace(entry), "  ")
			rows = append(rows, []string{variableName.ReplaceAllStringFunc(name, code), strings.TrimSpace(meaning)})
			continue
		}
		last := rows[len(rows)-1]
		last[1] = variableName.ReplaceAllStringFunc(strings.TrimSpace(last[1]+" "+strings.TrimSpace(entry)), code)
	}
	return table([]string{"variable", "meaning"}, nil, rows)
}

var variableName = regexp.MustCompile(`\b(?:TERM=dumb|CI|[A-Z]+(?:_[A-Z]+)+)\b`)

func providerVariableTable(definitions []*provider.Definition) string {
	var rows [][]string
	for _, d := range definitions {
		variables := []string{code(d.Variable("environment")), code(d.Variable("base_url"))}
		for _, f := range d.Fields {
			variables = append(variables, named(f, d.Variable(f.Name)))
		}
		rows = append(rows, []string{code(d.Name), strings.Join(variables, " ")})
	}
	return table([]string{"provider", "variables"}, nil, rows)
}

// exitCodeTable is made of "help exit-codes".
func exitCodeTable(t *testing.T) string {
	t.Helper()
	text, err := exitCodesTopic()
	if err != nil {
		t.Fatal(err)
	}
	entry := regexp.MustCompile(`^ *(\d+|128\+n) +(\w+)  +(.*)$`)
	signal := regexp.MustCompile(`^ *128\+n +(.*)$`)
	var rows [][]string
	_, text, _ = strings.Cut(text, "\n\n")
	text, _, _ = strings.Cut(text, "\n\n")
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if m := entry.FindStringSubmatch(line); m != nil {
			number, err := strconv.Atoi(m[1])
			if err != nil || failure.Class(number).String() != m[2] {
				t.Errorf("help exit-codes calls %s %s", m[1], m[2])
			}
			rows = append(rows, []string{m[1], m[2], m[3]})
		} else if m := signal.FindStringSubmatch(line); m != nil {
			rows = append(rows, []string{"128+n", failure.Signal.String(), m[1]})
		} else {
			rows[len(rows)-1][2] += " " + strings.TrimSpace(line)
		}
	}
	if len(rows) != int(failure.Signal)+1 {
		t.Errorf("help exit-codes has %d rows, want one for each class", len(rows))
	}
	for i, row := range rows {
		means, todo, _ := strings.Cut(row[2], ": ")
		rows[i] = []string{row[0], row[1], means, strings.ReplaceAll(todo, "--errors json", code("--errors json"))}
	}
	return table([]string{"exit code", "class", "means", "what to do"}, map[int]bool{0: true}, rows)
}

// TestDocumentedProfiles loads every profile that the documents show.
func TestDocumentedProfiles(t *testing.T) {
	var header strings.Builder
	for line := range strings.Lines(exampleHeader) {
		if entry, ok := strings.CutPrefix(line, "#   "); ok {
			header.WriteString(entry)
		}
	}
	texts := map[string]string{"profiles.example.toml": readFile(t, exampleFile), "its header": header.String()}
	for _, b := range readmeBlocks(t, "toml") {
		if b.kind != "provider" {
			texts[b.name] = b.text
		}
	}
	for name, text := range texts {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "profiles.toml")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			file, err := profile.Load(t.Context(), path, profile.Options{Home: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
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

// TestReadme does what the README says, with the program as it is built.
func TestReadme(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the README's scripts are for the shells of Unix")
	}
	bin := builtProgram(t)
	t.Run("first command", func(t *testing.T) { firstCommand(t) })
	t.Run("example profiles", func(t *testing.T) { dryRunExample(t, bin) })
	t.Run("snippets", func(t *testing.T) { runSnippets(t, bin) })
	t.Run("command lines", func(t *testing.T) { parseCommandLines(t, bin) })
	t.Run("faults", func(t *testing.T) { measureFaults(t, bin) })
	t.Run("errors", func(t *testing.T) { compareErrors(t, bin) })
}

// firstCommand runs the first line of the first block as it stands there.
func firstCommand(t *testing.T) {
	block := readmeBlocks(t, "console")[0]
	if want := "go run . zeepay --emulator\ngo test ./...\n"; block.text != want || block.line > 5 {
		t.Fatalf("the README begins with %q, want %q", block.text, want)
	}
	command := exec.Command("sh", "-c", strings.SplitN(block.text, "\n", 2)[0])
	command.Dir = ".."
	// Empty for the program; the go command keeps its caches.
	goEnv, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
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
	if err := os.WriteFile(path, []byte(readFile(t, exampleFile)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range provider.NewCatalog("", nil).Names() {
		command := program(t, bin, name, "--config", path, "--dry-run")
		var stderr strings.Builder
		command.Stderr = &stderr
		if out, err := command.Output(); err != nil || len(out) > 0 || !strings.Contains(stderr.String(), "dry run: POST https://") {
			t.Errorf("%s: %v, standard output %q\n%s", name, err, out, stderr.String())
		}
	}
}

// block is a fenced part of the README.
type block struct {
	name     string // where it stands
	line     int
	language string
	kind     string // the word behind the language, or empty
	text     string
}

// readmeBlocks returns the blocks in the languages, or all without any.
func readmeBlocks(t *testing.T, languages ...string) []block {
	t.Helper()
	var blocks []block
	open := false
	number := 0
	for line := range strings.Lines(readFile(t, readmeFile)) {
		number++
		info, fence := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "```")
		switch {
		case fence && open:
			open = false
		case fence:
			open = true
			words := strings.Fields(info)
			if len(words) == 0 {
				t.Fatalf("README.md line %d: a block needs a language", number)
			}
			blocks = append(blocks, block{
				name: fmt.Sprintf("%s in line %d", words[0], number), line: number,
				language: words[0], kind: strings.Join(words[1:], " "),
			})
		case open:
			blocks[len(blocks)-1].text += line
		}
	}
	known := []string{"sh", "bash", "fish", "powershell", "makefile", "console", "yaml", "groovy", "ini", "toml", "text", "json", "go"}
	for _, b := range blocks {
		if !slices.Contains(known, b.language) {
			t.Errorf("README.md: %s: nothing is known of this language", b.name)
		}
	}
	if len(languages) > 0 {
		blocks = slices.DeleteFunc(blocks, func(b block) bool { return !slices.Contains(languages, b.language) })
	}
	if len(blocks) == 0 {
		t.Fatalf("README.md has no block in %v", languages)
	}
	return blocks
}

// runSnippets is OUT-16. It runs every block of a shell: it succeeds with the
// emulator, and with one that refuses, or none, it fails and does not go on.
func runSnippets(t *testing.T, bin string) {
	api := newAPI(t)
	for _, b := range readmeBlocks(t, "sh", "bash", "fish", "makefile") {
		shells := map[string][]string{
			"sh": {"sh", "dash", "bash", "zsh"}, "bash": {"bash", "zsh"}, "fish": {"fish"}, "makefile": {"sh"},
		}[b.language]
		if b.kind == "direnv" {
			shells = []string{"sh"}
		}
		for _, shell := range shells {
			t.Run(b.name+"/"+shell, func(t *testing.T) {
				needTools(t, shell, b)
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
// prefix. Like the README it stops at the first failure.
func runSnippet(t *testing.T, bin string, api *fakeAPI, shell string, b block, prefix ...string) snippetResult {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	// The programs that the README makes up note whether they got a token.
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
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return listener.Addr().String()
}

// fakeAPI stands for the API that the README calls with a token. It counts the
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

// parseCommandLines checks that every command line in the README, in a block
// of any language or in a code span, has a command and flags that exist.
func parseCommandLines(t *testing.T, bin string) {
	text := codeOnly(readFile(t, readmeFile))
	// The providers that the README defines are there.
	home := withDefinitions(t, guideDefinitions(t))
	r := &run{catalog: provider.NewCatalog(filepath.Join(home, ".config", "tokenfetch", "providers"), os.ReadFile), env: Env{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}}
	r.console = newConsole(&r.env)
	root := r.newRoot()
	commands := r.catalog.Names()
	for _, c := range root.Commands() {
		commands = append(commands, c.Name())
	}
	parsed := 0
	for _, match := range commandLine.FindAllStringSubmatchIndex(text, -1) {
		line := strings.TrimSpace(text[match[2]:match[3]])
		if before := text[:match[0]]; strings.HasSuffix(before, " service") || strings.HasSuffix(before, " -s") {
			continue // the name of an item of the keychain
		}
		args := strings.Fields(strings.NewReplacer("PROVIDER:NAME", "zeepay:slow", "PROVIDER", "zeepay", "'", "").Replace(line))
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
		parsed++
	}
	if parsed < 30 {
		t.Errorf("only %d command lines were found", parsed)
	}
	known := map[string]bool{}
	topic, err := (&run{catalog: provider.NewCatalog("", nil)}).environmentTopic()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile(`TOKENFETCH_[A-Z_]+`).FindAllString(topic, -1) {
		known[name], known[name+"_FILE"] = true, true
	}
	for _, file := range []string{readmeFile, exampleFile, "../SECURITY.md"} {
		for _, name := range regexp.MustCompile(`TOKENFETCH_[A-Z]+(?:_[A-Z]+)*`).FindAllString(readFile(t, file), -1) {
			if !known[name] && name != "TOKENFETCH_ZEEPAY" { // as in TOKENFETCH_ZEEPAY_…
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

// measureFaults compares the README's table of faults with what they do.
func measureFaults(t *testing.T, bin string) {
	documented := map[string]int{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z0-9-]+)` \\| [^|]* \\| (\\d+) \\|$").FindAllStringSubmatch(readFile(t, readmeFile), -1) {
		documented[m[1]], _ = strconv.Atoi(m[2])
	}
	names := slices.Sorted(slices.Values(emulator.FaultNames()))
	if diff := cmp.Diff(names, slices.Sorted(maps.Keys(documented))); diff != "" {
		t.Errorf("the faults of the emulator and of the README (-want +got):\n%s", diff)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := program(t, bin, "emulator", "--fault", name, "--", "tokenfetch", "zeepay", "--timeout", "2s").Run()
			exit, ok := errors.AsType[*exec.ExitError](err)
			if !ok || exit.ExitCode() != documented[name] {
				t.Errorf("exit code %v, the README says %d", err, documented[name])
			}
		})
	}
}

// compareErrors compares the README's example of an error with a real one.
func compareErrors(t *testing.T, bin string) {
	stderr := func(args ...string) string {
		command := program(t, bin, append([]string{"emulator", "--fault", "refused", "--", "tokenfetch", "zeepay"}, args...)...)
		var b bytes.Buffer
		command.Stderr = &b
		_ = command.Run() // fails, with the error in question
		return b.String()
	}
	if diff := cmp.Diff(stderr(), readmeBlocks(t, "text")[0].text); diff != "" {
		t.Errorf("the text of the error (-want +got):\n%s", diff)
	}
	want := slices.Collect(jsonKeys(stderr("--errors", "json")))
	if diff := cmp.Diff(want, slices.Collect(jsonKeys(readmeBlocks(t, "json")[0].text))); diff != "" {
		t.Errorf("the keys of the JSON error (-want +got):\n%s", diff)
	}
}

func builtins(t *testing.T) []*provider.Definition {
	t.Helper()
	all, _ := provider.NewCatalog("", nil).All()
	return all
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
