package cmd

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// TestRenderMarkdown shows all that a guide can have, on a terminal and on a narrow
// one.
func TestRenderMarkdown(t *testing.T) {
	const text = "# A title\n\n" +
		"Some **bold** text with `-v` and\n`a long piece of code that is broken` [here](ci.md#x), [there](https://a.example/b),\n[below](#a-title) or in [a file](../../LICENSE).\n\n" +
		"<!-- a comment -->\n- one\n- two, which goes\n  on\n\n## Code\n\n```sh\nif true; then\n\n  tokenfetch zeepay # | not a table\nfi\n```\n\n" +
		"| name | meaning |\n|---|---|\n| `a` | the first \\| letter |\n| `b` | **the** second, with more words than one line has |\n"
	for width, want := range map[int]string{
		60: `A title

  Some bold text with ` + "`-v`" + ` and ` + "`a long piece of code that is\n  broken`" + ` here (tokenfetch help ci), there
  (https://a.example/b), below or in a file
  (https://github.com/tokenfetch/tokenfetch/blob/main/LICENSE).

  - one
  - two, which goes on

Code

    if true; then

      tokenfetch zeepay # | not a table
    fi

  NAME  MEANING
  a     the first | letter
  b     the second, with more words than one line has
`,
		16: `A title

  Some bold text
  with ` + "`-v`" + ` and
  ` + "`a long piece" + `
  of code that
  is broken` + "`" + `
  here
  (tokenfetch help ci),
  there
  (https://a.example/b),
  below or in a
  file
  (https://github.com/tokenfetch/tokenfetch/blob/main/LICENSE).

  - one
  - two, which
    goes on

Code

    if true; then

      tokenfetch zeepay # | not a table
    fi

  a
      the first
      | letter
  b
      the
      second,
      with more
      words than
      one line
      has
`,
	} {
		if diff := cmp.Diff(want, renderMarkdown(text, width)); diff != "" {
			t.Errorf("in %d columns (-want +got):\n%s", width, diff)
		}
	}
}

// TestGuides: there is a guide for each topic and the emulator, and it is legible on
// any terminal.
func TestGuides(t *testing.T) {
	names := []string{"emulator"}
	for _, topic := range topics() {
		names = append(names, topic.name)
	}
	slices.Sort(names)
	var found []string
	for _, path := range documents(t)[1:] {
		found = append(found, strings.TrimSuffix(filepath.Base(path), ".md"))
	}
	check.Same(t, "the topics and the guides", names, found)
	r := builtinRun()
	for _, name := range names {
		guide := r.guide(name)
		if other := regexp.MustCompile(`[^\n\t -~]`).FindString(guide); other != "" {
			t.Errorf("%s has the character %q, which not every terminal shows", name, other)
		}
		if deeper := regexp.MustCompile(`(?m)^ +[-|].*`).FindString(regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(guide, "")); deeper != "" {
			t.Errorf("%s has a list in a list, which is not shown as one: %s", name, deeper)
		}
		for _, p := range parseMarkdown(guide) {
			for line := range strings.Lines(p.text) {
				if p.kind == fence && utf8.RuneCountInString(line) > codeColumns+1 {
					t.Errorf("%s has code wider than %d columns: %s", name, codeColumns, line)
				}
			}
		}
		for _, width := range []int{maxColumns, minColumns} {
			text := renderMarkdown(guide, width)
			if mark := regexp.MustCompile("(?m)^#+ |\\*\\*|\\]\\(|<!--|^ *```|\x00").FindString(strings.ReplaceAll(text, "    #", "")); mark != "" {
				t.Errorf("%s shows the mark %q", name, mark)
			}
			for line := range strings.Lines(text) {
				// On a narrow terminal code keeps its lines, and a word is not broken.
				kept := width < maxColumns && (strings.HasPrefix(line, "    ") || !strings.Contains(strings.Trim(line, " -\n"), " "))
				if utf8.RuneCountInString(line) > width+1 && !kept {
					t.Errorf("%s in %d columns is too wide: %s", name, width, line)
				}
			}
		}
	}
}
