package cmd

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// commandFiles are the files of one command each: what begins with its name is
// its, too.
var commandFiles = []string{"cache", "completion", "doctor", "emulator", "exec", "fetch", "help", "login", "logout", "provider", "status", "version"}

// TestCommandsStandAlone: the file of a command uses what all commands share, and
// nothing of another command. What puts the commands together may use each.
func TestCommandsStandAlone(t *testing.T) {
	fileSet := token.NewFileSet()
	paths, err := filepath.Glob("*.go")
	check.OK(t, err)
	var files []*ast.File
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, "_windows.go") || strings.HasSuffix(path, "_bsd.go") || strings.HasSuffix(path, "_other.go") {
			continue
		}
		file, err := parser.ParseFile(fileSet, path, nil, parser.SkipObjectResolution)
		check.OK(t, err)
		files = append(files, file)
	}
	info := types.Info{Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: noImports{}, Error: func(error) {}} // what is not of this package is not looked at
	_, _ = config.Check(module+"/cmd", fileSet, files, &info)
	command := func(at token.Pos) string {
		name := filepath.Base(fileSet.Position(at).Filename)
		for _, c := range commandFiles {
			if name == c+".go" || strings.HasPrefix(name, c+"_") {
				return c
			}
		}
		return ""
	}
	seen := 0
	for use, object := range info.Uses {
		user, owner := command(use.Pos()), ""
		if object.Pkg() != nil && object.Pkg().Path() == module+"/cmd" {
			owner = command(object.Pos())
			seen++
		}
		if user != "" && owner != "" && user != owner && object.Name() != "newProvider" { // help shows its flags
			t.Errorf("%s: %s belongs to the command %s", fileSet.Position(use.Pos()), object.Name(), owner)
		}
	}
	if seen < 1000 {
		t.Errorf("only %d uses were found", seen)
	}
}

// noImports imports nothing.
type noImports struct{}

func (noImports) Import(string) (*types.Package, error) { return nil, errors.New("not imported") }
