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

// columns returns how wide a text in f may be: as wide as the terminal, at most
// 80. It is 0, for as wide as the text is, where f is no terminal.
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

// fold breaks text at blanks into lines of at most width columns, each but the first
// behind indent blanks; used columns of the first one are taken. What has no blank
// stays whole: an address or a path can be copied. No line begins with "::", which a
// CI service may take for a command of ours. A width of 0 breaks nothing.
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
		// A first word goes to the next line only where it fits there.
		if column+len(piece) > width && word != "" && (begun || used > indent && indent+len(word) <= width) && !strings.HasPrefix(word, "::") {
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column, piece = indent, word
		}
		b.WriteString(piece)
		column, begun, text = column+len(piece), true, text[end:]
	}
	return b.String()
}
