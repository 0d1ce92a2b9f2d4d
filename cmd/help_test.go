package cmd

import (
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/tokenfetch/tokenfetch/pkg/provider"
)

// TestHelpFits: the help of every command fits into 80 columns, an address excepted.
func TestHelpFits(t *testing.T) {
	r := &run{catalog: provider.NewCatalog("", nil), env: Env{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}}
	check := func(title, text string) {
		for line := range strings.Lines(text) {
			line = strings.TrimSuffix(line, "\n")
			if len(line) > maxColumns && !strings.HasPrefix(strings.TrimLeft(line, " "), "https://") {
				t.Errorf("%s: %d columns: %s", title, len(line), line)
			}
		}
	}
	walk(wholeTree(t), func(c *cobra.Command) { check(c.CommandPath(), r.helpOf(c)) })
}
