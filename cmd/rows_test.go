package cmd

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// faultRows are the rows of the catalogue of faults that a release must pass.
const faultRows = `
CFG-01 CFG-02 CFG-03 CFG-04 CFG-05 CFG-06 CFG-07 CFG-08 CFG-09 CFG-10 CFG-11 CFG-12 CFG-13 CFG-14 CFG-15 CFG-16
CFG-17 CFG-19 CFG-22 CFG-23 CFG-24 CFG-25 CFG-26 CFG-27 CFG-28 CFG-29 CFG-30 CFG-31
CRD-01 CRD-02 CRD-03 CRD-05 CRD-06 CRD-07 CRD-08 CRD-09 CRD-10 CRD-11 CRD-12 CRD-13 CRD-14 CRD-15 CRD-16 CRD-17
CRD-18 CRD-19 CRD-20 CRD-21 CRD-22 CRD-23 CRD-24 CRD-25 CRD-27 CRD-28 CRD-29 CRD-30 CRD-31 CRD-33
KEY-01 KEY-02 KEY-03 KEY-05 KEY-06 KEY-07 KEY-08 KEY-09 KEY-10 KEY-11 KEY-12 KEY-14 KEY-15 KEY-16 KEY-17 KEY-19
KEY-20 KEY-21 KEY-22 KEY-24
NET-01 NET-02 NET-03 NET-04 NET-05 NET-06 NET-07 NET-08 NET-09 NET-11 NET-12 NET-15 NET-16 NET-17 NET-19 NET-21
NET-22 NET-23 NET-24 NET-25 NET-27 NET-30
HTTP-01 HTTP-03 HTTP-04 HTTP-05 HTTP-06 HTTP-07 HTTP-08 HTTP-09 HTTP-10 HTTP-11 HTTP-12 HTTP-13 HTTP-14 HTTP-15
HTTP-16 HTTP-18 HTTP-19 HTTP-20 HTTP-21 HTTP-22 HTTP-23 HTTP-24 HTTP-25 HTTP-26 HTTP-27 HTTP-30 HTTP-31 HTTP-33
HTTP-35 HTTP-36 HTTP-37 HTTP-38 HTTP-39
BODY-01 BODY-03 BODY-04 BODY-05 BODY-06 BODY-07 BODY-09 BODY-11 BODY-12 BODY-13 BODY-15 BODY-16 BODY-17 BODY-18
BODY-19 BODY-20 BODY-21 BODY-22 BODY-23 BODY-26 BODY-27 BODY-28 BODY-29 BODY-30 BODY-31 BODY-32 BODY-35 BODY-36
TOK-01 TOK-02 TOK-04 TOK-05 TOK-06 TOK-09 TOK-10 TOK-11 TOK-12
OUT-01 OUT-02 OUT-03 OUT-04 OUT-05 OUT-06 OUT-08 OUT-10 OUT-11 OUT-12 OUT-13 OUT-14 OUT-15 OUT-16 OUT-19
PRC-01 PRC-02 PRC-03 PRC-04 PRC-05 PRC-06 PRC-07 PRC-08 PRC-09 PRC-10 PRC-12 PRC-13 PRC-14 PRC-15 PRC-16 PRC-18
PRC-20 PRC-21 PRC-22 PRC-23 PRC-24 PRC-25 PRC-26 PRC-27 PRC-28 PRC-29
CCH-01 CCH-02 CCH-03 CCH-04 CCH-05 CCH-06 CCH-07 CCH-08 CCH-10 CCH-11 CCH-13 CCH-14 CCH-15 CCH-17 CCH-18 CCH-19
CCH-20 CCH-21 CCH-23 CCH-24 CCH-25 CCH-26 CCH-27 CCH-28 CCH-29 CCH-31 CCH-32 CCH-33
CI-02 CI-03 CI-04 CI-06 CI-07 CI-08 CI-09 CI-10 CI-11 CI-12 CI-13 CI-15
PRM-01 PRM-02 PRM-03 PRM-04 PRM-05 PRM-06 PRM-07 PRM-08 PRM-09 PRM-10 PRM-11
`

// rowsNotRun says why no test here can have a row.
var rowsNotRun = map[string]string{
	"KEY-08": "needs macOS, over SSH",
	"KEY-09": "needs the keychain of macOS",
	"KEY-10": "needs the keychain of macOS",
	"PRC-27": "needs Windows",
}

var (
	rowNumber = regexp.MustCompile(`\b[A-Z]{2,4}-[0-9]{2}\b`)
	rowsOf    = regexp.MustCompile(`(?m)^# ([A-Z]{2,4}-[0-9]{2}(,? [A-Z]{2,4}-[0-9]{2})*)\b`)
)

// TestFaultRows finds a test of each row: a section of a script that begins with
// the row's number, or a Go test with the number in a comment or a name.
func TestFaultRows(t *testing.T) {
	tested := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && path != "..":
			return filepath.SkipDir
		case strings.HasSuffix(path, ".txtar"):
			data, err := os.ReadFile(path)
			for _, section := range rowsOf.FindAllStringSubmatch(string(txtar.Parse(data).Comment), -1) {
				for _, row := range rowNumber.FindAllString(section[1], -1) {
					tested[row] = true
				}
			}
			return err
		case strings.HasSuffix(path, "_test.go") && filepath.Base(path) != "rows_test.go":
			return rowsInTests(path, tested)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range strings.Fields(faultRows) {
		t.Run(row, func(t *testing.T) {
			switch why, ok := rowsNotRun[row]; {
			case tested[row] && ok:
				t.Errorf("there is a test, although the row %s", why)
			case ok:
				t.Skip(why)
			case !tested[row]:
				t.Error("no test has this number")
			}
		})
	}
}

// rowsInTests adds the rows in comments and strings of a file of tests.
func rowsInTests(path string, tested map[string]bool) error {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	var text strings.Builder
	for _, comment := range file.Comments {
		text.WriteString(comment.Text() + "\n")
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			text.WriteString(literal.Value + "\n")
		}
		return true
	})
	for _, row := range rowNumber.FindAllString(text.String(), -1) {
		tested[row] = true
	}
	return nil
}
