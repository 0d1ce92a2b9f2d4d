package cmd

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tokenfetch/tokenfetch/testdata/check"
)

const module = "github.com/tokenfetch/tokenfetch"

// mayImport says which packages of ours each package may import. A new package
// needs a line here.
var mayImport = map[string][]string{
	"":                        {"cmd"},
	"cmd":                     {"pkg/await", "pkg/emulator", "pkg/failure", "pkg/inspect", "pkg/login", "pkg/output", "pkg/profile", "pkg/provider", "pkg/secret", "pkg/source", "pkg/tokenfetch"},
	"pkg/await":               {},
	"pkg/emulator":            {"pkg/internal/token", "pkg/provider", "pkg/secret"},
	"pkg/failure":             {},
	"pkg/inspect":             {"pkg/await", "pkg/internal/cache", "pkg/internal/credential", "pkg/failure", "pkg/keychain", "pkg/profile", "pkg/provider", "pkg/secret", "pkg/source", "pkg/internal/token", "pkg/tokenfetch"},
	"pkg/internal/cache":      {"pkg/await", "pkg/failure", "pkg/secret", "pkg/source", "pkg/internal/token"},
	"pkg/internal/credential": {"pkg/failure", "pkg/profile", "pkg/provider", "pkg/secret", "pkg/source"},
	"pkg/internal/token":      {"pkg/failure", "pkg/secret"},
	"pkg/keychain":            {"pkg/await", "pkg/secret"},
	"pkg/login":               {"pkg/internal/cache", "pkg/internal/credential", "pkg/failure", "pkg/profile", "pkg/provider", "pkg/secret", "pkg/source", "pkg/tokenfetch"},
	"pkg/output":              {"pkg/secret", "pkg/internal/token"},
	"pkg/profile":             {"pkg/failure", "pkg/secret", "pkg/source"},
	"pkg/provider":            {"pkg/failure", "pkg/secret", "pkg/internal/token"},
	"pkg/secret":              {},
	"pkg/source":              {"pkg/await", "pkg/failure", "pkg/secret"},
	"pkg/tokenfetch":          {"pkg/internal/cache", "pkg/internal/credential", "pkg/failure", "pkg/keychain", "pkg/profile", "pkg/provider", "pkg/secret", "pkg/source", "pkg/internal/token"},
}

// onlyIn says which packages may import a library: itself and what is below it.
var onlyIn = map[string][]string{
	"github.com/spf13/cobra":          {"cmd"},
	"github.com/spf13/pflag":          {"cmd"},
	"github.com/fatih/color":          {"cmd"},
	"golang.org/x/term":               {"cmd"},
	"github.com/zalando/go-keyring":   {"pkg/keychain"},
	"github.com/godbus/dbus":          {},
	"github.com/pelletier/go-toml":    {"pkg/profile", "pkg/provider"},
	"github.com/gofrs/flock":          {"pkg/internal/cache", "pkg/source"},
	"net/http":                        {"pkg/emulator", "pkg/internal/token", "pkg/tokenfetch"},
	"net/rpc":                         {},
	"net/smtp":                        {},
	"golang.org/x/net":                {"pkg/internal/token"},
	"flag":                            {},
	"log/slog":                        {"pkg/secret"}, // to hide a value from it
	"unsafe":                          {},
	"github.com/google/go-cmp":        {},
	"github.com/rogpeppe/go-internal": {},
	"testing":                         {},
}

// restricted says which packages may use a name of a library. A star at its end
// stands for any further letters.
var restricted = []struct {
	library string
	names   []string
	in      []string
}{
	{"os", []string{"Getenv", "LookupEnv", "ExpandEnv", "Args", "Stdin", "Stdout", "Stderr"}, []string{"cmd"}},
	{"os", []string{"Environ"}, []string{"cmd", "pkg/tokenfetch"}}, // for FromEnvironment
	{"os", []string{"Exit"}, []string{"", "cmd"}},
	{"fmt", []string{"Print*", "Scan", "Scanf", "Scanln"}, nil},
	{"log", []string{"Print*", "Fatal*", "Panic*", "Default"}, nil},
	{"log", []string{"SetOutput"}, []string{"cmd"}},
	{"net/http", []string{"Client", "Transport", "NewRequest*", "Get", "Head", "Post*", "DefaultClient"}, []string{"pkg/internal/token"}},
	{"net/http", []string{"RoundTripper", "DefaultTransport"}, []string{"pkg/tokenfetch"}}, // for calls of a program that imports it
	{"net/http", []string{"Server", "Serve*", "ListenAndServe*", "Handle*", "HandlerFunc", "NewServeMux"}, []string{"pkg/emulator"}},
	{"net/http", []string{"ProxyFromEnvironment"}, nil},
	{"golang.org/x/net/http/httpproxy", []string{"FromEnvironment"}, nil},
	{"net", []string{"Dial*"}, []string{"pkg/internal/token"}},
	{"net", []string{"Listen", "ListenConfig", "ListenPacket", "ListenTCP", "ListenUDP", "ListenUnix"}, []string{"cmd"}},
}

// reveals are the packages that call Reveal of a secret.
var reveals = []string{"cmd", "pkg/emulator", "pkg/internal/cache", "pkg/internal/credential", "pkg/internal/token", "pkg/keychain", "pkg/login", "pkg/output", "pkg/provider", "pkg/secret", "pkg/tokenfetch"}

// TestImports holds the program to the directions in which its packages may
// look, whatever system a file is built for.
func TestImports(t *testing.T) {
	files := token.NewFileSet()
	var found []string
	revealing, packages := map[string]bool{}, map[string]bool{}
	err := filepath.WalkDir("..", func(name string, entry fs.DirEntry, err error) error {
		hidden := strings.HasPrefix(entry.Name(), ".") && name != ".."
		if err == nil && entry.IsDir() && (hidden || entry.Name() == "testdata" || entry.Name() == "dist") {
			return filepath.SkipDir
		}
		if err != nil || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(files, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir := strings.Trim(strings.TrimPrefix(filepath.ToSlash(filepath.Dir(name)), ".."), "/")
		packages[dir] = true
		if callsReveal(file) {
			revealing[dir] = true
		}
		for _, breach := range breaches(dir, file) {
			found = append(found, fmt.Sprintf("%s: %s", files.Position(breach.at), breach.what))
		}
		return nil
	})
	check.OK(t, err)
	for _, breach := range found {
		t.Error(breach)
	}
	check.Same(t, "the packages with an import rule and the packages there are", slices.Sorted(maps.Keys(mayImport)), slices.Sorted(maps.Keys(packages)))
	check.Same(t, "the packages that reveal secrets", reveals, slices.Sorted(maps.Keys(revealing)))
}

// TestImportsFinds shows that breaches are found.
func TestImportsFinds(t *testing.T) {
	for _, test := range []struct{ dir, source string }{
		{"", `import "github.com/tokenfetch/tokenfetch/pkg/internal/token"`},
		{"pkg/failure", `import "github.com/tokenfetch/tokenfetch/pkg/secret"`},
		{"pkg/internal/token", `import "github.com/tokenfetch/tokenfetch/cmd"`},
		{"pkg/output", `import "github.com/tokenfetch/tokenfetch/pkg/provider"`},
		{"pkg/new", `import "github.com/tokenfetch/tokenfetch/pkg/secret"`},
		{"pkg/output", `import "github.com/fatih/color"`},
		{"pkg/provider", `import flags "github.com/spf13/pflag"`},
		{"cmd", `import "github.com/zalando/go-keyring/secret_service"`},
		{"cmd", `import "github.com/pelletier/go-toml/v2"`},
		{"cmd", `import "net/http"`},
		{"pkg/internal/token", `import "os"; func f() { os.Exit(1) }`},
		{"pkg/profile", `import system "os"; var _ = system.Getenv`},
		{"pkg/profile", `import . "os"`},
		{"pkg/source", `import "os"; var in = os.Stdin`},
		{"cmd", `import "fmt"; func f() { fmt.Println() }`},
		{"pkg/output", `func f() { println() }`},
		{"pkg/emulator", `import "net/http"; var c http.Client`},
		{"pkg/internal/token", `import "net/http"; var s http.Server`},
		{"cmd", `import "net"; var _ = net.DialTimeout`},
		{"pkg/secret", `func init() {}`},
		{"pkg/internal/token", `var e = failure.New(failure.NoToken, "give --retry 2")`},
		{"pkg/internal/token", `func f(e *failure.Error) error { return e.WithHint("give --retry 2").Append("; run tokenfetch login") }`},
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "a.go", "package p; "+test.source, parser.SkipObjectResolution)
		check.OK(t, err)
		if found := breaches(test.dir, file); len(found) != 1 {
			t.Errorf("%q: %s: %d breaches found, want 1: %v", test.dir, test.source, len(found), found)
		}
	}
	file, err := parser.ParseFile(token.NewFileSet(), "a.go", "package p; var reveal = value.Reveal", parser.SkipObjectResolution)
	if err != nil || !callsReveal(file) {
		t.Error("a use of Reveal is not found")
	}
}

// breach is a place that breaks a rule.
type breach struct {
	at   token.Pos
	what string
}

// breaches returns what a file of the package in dir may not do.
func breaches(dir string, file *ast.File) []breach {
	var found []breach
	report := func(at ast.Node, format string, args ...any) {
		found = append(found, breach{at.Pos(), fmt.Sprintf(format, args...)})
	}
	libraries := map[string]string{} // by the name they have in this file
	for _, spec := range file.Imports {
		library, _ := strconv.Unquote(spec.Path.Value) // the parser has checked it
		name := path.Base(library)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		libraries[name] = library
		if own, ok := strings.CutPrefix(library, module+"/"); ok && !slices.Contains(mayImport[dir], own) {
			report(spec, "%q may not import %s", dir, own)
		}
		for restrictedLibrary, in := range onlyIn {
			if (library == restrictedLibrary || strings.HasPrefix(library, restrictedLibrary+"/")) && !slices.Contains(in, dir) {
				report(spec, "%q may not import %s", dir, library)
			}
		}
		if name == "." {
			report(spec, "names imported without their package cannot be checked")
		}
	}
	ast.Inspect(file, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			if !ok {
				return true
			}
			for _, rule := range restricted {
				if libraries[x.Name] == rule.library && !slices.Contains(rule.in, dir) && slices.ContainsFunc(rule.names, func(name string) bool {
					prefix, star := strings.CutSuffix(name, "*")
					return n.Sel.Name == name || star && strings.HasPrefix(n.Sel.Name, prefix)
				}) {
					report(n, "%q may not use %s.%s", dir, rule.library, n.Sel.Name)
				}
			}
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.Ident); ok && (f.Name == "print" || f.Name == "println") {
				report(n, "the built-in %s writes to standard error", f.Name)
			}
			if strings.HasPrefix(dir, "pkg/") && isMessage(n) && slices.ContainsFunc(n.Args, namesCommandLine) {
				report(n, "flags and commands are cmd's: a message of %q may not name them, only a hint", dir)
			}
		case *ast.FuncDecl:
			if n.Recv == nil && n.Name.Name == "init" {
				report(n, "there are no init functions")
			}
		}
		return true
	})
	return found
}

// isMessage reports whether a call makes the message of a failure, or adds to it.
func isMessage(call *ast.CallExpr) bool {
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, _ := f.X.(*ast.Ident)
	return f.Sel.Name == "New" && x != nil && x.Name == "failure" || f.Sel.Name == "Append"
}

// flagOrCommand is what only a hint may hold.
var flagOrCommand = regexp.MustCompile(`[ "(]--?[a-z]|tokenfetch (cache|completion|doctor|emulator|exec|help|login|logout|provider|status|version)\b`)

func namesCommandLine(argument ast.Expr) bool {
	literal, ok := argument.(*ast.BasicLit)
	return ok && flagOrCommand.MatchString(literal.Value)
}

// callsReveal reports whether a file uses a method of that name.
func callsReveal(file *ast.File) bool {
	found := false
	ast.Inspect(file, func(node ast.Node) bool {
		selector, ok := node.(*ast.SelectorExpr)
		found = found || ok && selector.Sel.Name == "Reveal"
		return true
	})
	return found
}
