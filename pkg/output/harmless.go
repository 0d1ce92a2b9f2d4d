package output

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Harmless returns text as one line of printable ASCII with at most limit
// characters. It ends with "..." if it was cut. Every other character becomes an
// escape sequence. "##" is split, because Azure Pipelines, GitHub and TeamCity
// execute a command that starts with it anywhere in a line.
func Harmless(text string, limit int) string {
	var b strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		piece := text[:n]
		switch {
		case r == utf8.RuneError && n == 1:
			piece = fmt.Sprintf(`\x%02x`, text[0])
		case r == '#' && strings.HasSuffix(b.String(), "#"):
			piece = `\x23`
		case r < ' ' || r == 0x7f:
			piece = fmt.Sprintf(`\x%02x`, r)
		case r > 0xffff:
			piece = fmt.Sprintf(`\U%08x`, r)
		case r > '~':
			piece = fmt.Sprintf(`\u%04x`, r)
		}
		if b.Len()+len(piece) > limit {
			cut, mark := b.String(), "..."
			return cut[:min(len(cut), max(0, limit-3))] + mark[:min(3, max(0, limit))]
		}
		b.WriteString(piece)
		text = text[n:]
	}
	return b.String()
}
