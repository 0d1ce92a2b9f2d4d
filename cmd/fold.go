package cmd

import (
	"os"
	"strings"

	"golang.org/x/term"
)

const (
	maxColumns = 80 // of text for a person, however wide the terminal is
	minColumns = 40 // below that folding does more harm than good

	// codeColumns is how wide code in a guide and an example in a help text may be:
	// a manual page of 80 columns, which indents all it says, shows it whole.
	codeColumns = 73
)

// columns returns the width for text in f: that of the terminal, at most 80, or 0 (no
// limit) if f is not a terminal.
func columns(f *os.File) int {
	if !isTerminal(f) {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 { // nobody has told the terminal its size
		return maxColumns
	}
	return max(minColumns, min(width, maxColumns))
}

// fold breaks text at spaces into lines of at most width columns. Lines after the first
// are indented by indent spaces; used is the number of columns already used in the
// first line. It does not break words, so that addresses and paths can be copied, and
// begins no line with "::", which a CI service could take for a command. A width of 0
// means no limit.
func fold(text string, used, indent, width int) string {
	if width <= 0 {
		return text
	}
	var b strings.Builder
	column, begun := used, false // begun: something stands on this line
	for text != "" {
		blanks := len(text) - len(strings.TrimLeft(text, " "))
		end := len(text)
		if n := strings.IndexByte(text[blanks:], ' '); n >= 0 {
			end = blanks + n
		}
		piece, word := text[:end], text[blanks:end]
		// The first word moves to the next line only if it fits there.
		if column+len(piece) > width && word != "" && (begun || used > indent && indent+len(word) <= width) && !strings.HasPrefix(word, "::") {
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column, piece = indent, word
		}
		b.WriteString(piece)
		column, begun, text = column+len(piece), true, text[end:]
	}
	return b.String()
}
