package cmd

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// BenchmarkWholeProcess compares whole runs of the program with programs that do less:
// see testdata/bench/measure. It prints the table, and with -update it also writes
// .ci/benchmarks.md. Each round takes about a second.
//
//	go test ./cmd -run '^$' -bench WholeProcess -benchtime 100x
func BenchmarkWholeProcess(b *testing.B) {
	rounds := 0
	for b.Loop() { // -benchtime 100x is 100 rounds; a time is not, and means as many at most
		rounds++
	}
	measure := exec.Command("go", "run", "./testdata/bench/measure", fmt.Sprintf("-rounds=%d", min(rounds, 100)), fmt.Sprintf("-update=%t", *update))
	measure.Dir, measure.Stdout, measure.Stderr = "..", os.Stdout, os.Stderr
	check.OK(b, measure.Run())
	b.ReportMetric(0, "ns/op")
}
