// Package picture draws what a terminal shows, for the README.
package picture

import (
	"encoding/xml"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

const columns = 94

var styling = regexp.MustCompile(`\x1b\[([0-9;]*)m`)

// styles are the picture's classes for what the program sends to a terminal.
var styles = map[string]string{"0": "", "0;22": "", "1": "bold", "2": "dim", "31;1": "red", "32;1": "green", "33;1": "yellow", "36;1": "cyan"}

// wrapped breaks a line between its words where a terminal would break it anywhere.
func wrapped(line string) (rows []string, err error) {
	row := ""
	for word := range strings.SplitAfterSeq(line, " ") {
		width := utf8.RuneCountInString(styling.ReplaceAllString(row+strings.TrimSuffix(word, " "), ""))
		if width > columns {
			rows, row = append(rows, strings.TrimSuffix(row, " ")), "  "
		}
		if row += word; len(word) > columns {
			return nil, fmt.Errorf("%q is too long for a row", word)
		}
	}
	return append(rows, row), nil
}

// Draw draws what a terminal shows, of which it knows lines and styles. The picture
// needs nothing but itself.
func Draw(title, text string) (string, error) {
	const wide, high, margin = 8.4, 20, 16 // of a character; in pixels
	plain := styling.ReplaceAllString(text, "")
	if at := strings.IndexFunc(plain, func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f || r == utf8.RuneError }); at >= 0 {
		return "", fmt.Errorf("the terminal is sent %q", plain[at:])
	}
	var rows []string
	for line := range strings.Lines(text) {
		broken, err := wrapped(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return "", err
		}
		rows = append(rows, broken...)
	}
	var drawn strings.Builder
	style := ""
	for i, row := range rows {
		column := 0
		for row != "" {
			part, code := row, ""
			if at := styling.FindStringSubmatchIndex(row); at != nil {
				part, code, row = row[:at[0]], row[at[2]:at[3]], row[at[1]:]
			} else {
				row = ""
			}
			// Blanks at either end would not be drawn everywhere.
			if words := strings.TrimSpace(part); words != "" {
				x := column + strings.Index(part, words)
				fmt.Fprintf(&drawn, "<text x=\"%.1f\" y=\"%d\" textLength=\"%.1f\" class=\"%s\">%s</text>\n",
					margin+float64(x)*wide, margin+i*high+15, float64(utf8.RuneCountInString(words))*wide, style, escaped(words))
			}
			column += utf8.RuneCountInString(part)
			if code != "" {
				var known bool
				if style, known = styles[code]; !known {
					return "", fmt.Errorf("the picture has no style for %q", code)
				}
			}
		}
	}
	width, height := columns*wide+2*margin, len(rows)*high+2*margin
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.1f %d" width="%.0f" role="img" aria-labelledby="title text">
<title id="title">%s</title>
<desc id="text">%s</desc>
<style>
rect { fill: #f6f8fa; stroke: #d0d7de }
text { fill: #1f2328; font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace }
.bold, .red, .green, .yellow, .cyan { font-weight: bold }
.dim { fill: #59636e }
.red { fill: #b3141e }
.green { fill: #116329 }
.yellow { fill: #7d4e00 }
.cyan { fill: #0b6478 }
@media (prefers-color-scheme: dark) {
rect { fill: #161b22; stroke: #3d444d }
text { fill: #e6edf3 }
.dim { fill: #9198a1 }
.red { fill: #ff8078 }
.green { fill: #56d364 }
.yellow { fill: #e3b341 }
.cyan { fill: #56d4dd }
}
</style>
<rect x="0.5" y="0.5" width="%.1f" height="%d" rx="8"/>
%s</svg>
`, width, height, width, escaped(title), escaped(plain), width-1, height-1, drawn.String()), nil
}

func escaped(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a Builder takes all
	return strings.ReplaceAll(b.String(), "&#xA;", "\n")
}
