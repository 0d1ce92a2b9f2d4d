package cmd

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// session is what the picture in the README shows: lines that are run one after
// the other in a shell on a terminal.
var session = []string{
	"tokenfetch zeepay --emulator",
	"tokenfetch zeepay --emulator --password hunter2",
	"tokenfetch zeepay --emulator -o json",
	"tokenfetch exec zeepay --emulator -- sh -c 'echo a token of ${#ZEEPAY_ACCESS_TOKEN} characters'",
	"tokenfetch emulator --fault closed -- tokenfetch abbeycross; echo \"exit code $?\"",
}

const (
	sessionFile    = "../.ci/session.svg"
	sessionColumns = 88
)

// fixed replaces what is another at each run by something of the same form.
var fixed = []struct {
	random *regexp.Regexp
	always func(string) string
}{
	{regexp.MustCompile(`emulated-[A-Z0-9]+`), func(token string) string {
		return "emulated-" + strings.Repeat("K7QX2MZC4VTB", 9)[:len(token)-len("emulated-")]
	}},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), func(string) string { return "127.0.0.1:40123" }},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`), func(string) string { return "2027-01-31T12:00:00Z" }},
}

// TestSession runs the session and compares what the terminal shows with the
// picture. With -update it makes the picture anew.
func TestSession(t *testing.T) {
	var shown strings.Builder
	for _, line := range session {
		shown.WriteString("\x1b[2m$\x1b[0m \x1b[1m" + line + "\x1b[0m\r\n" + onTerminal(t, line))
	}
	text := shown.String()
	for _, f := range fixed {
		text = f.random.ReplaceAllStringFunc(text, f.always)
	}
	compareDocument(t, sessionFile, picture(t, text))
}

// onTerminal runs a line in a shell and returns what reaches the terminal.
func onTerminal(t *testing.T, line string) string {
	t.Helper()
	tt := newTerminal(t, nil)
	path, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	const end = "\x00end"
	tt.cmd.Path, tt.cmd.Args = path, []string{"sh", "-c", line + "\nprintf '\\0end'"}
	tt.cmd.Env = append(cleanEnviron(t, builtProgram(t)+":/usr/bin:/bin"), "TERM=xterm-256color")
	tt.cmd.Dir = t.TempDir()
	tt.start(t)
	tt.until(t, "the end of "+line, func() bool { return strings.HasSuffix(tt.shown(), end) })
	return erasedLine.ReplaceAllString(strings.TrimSuffix(tt.shown(), end), "")
}

// erasedLine is what a slow machine sees for a moment.
var erasedLine = regexp.MustCompile(`\r?tokenfetch: waiting for [^\r]*\r\x1b\[K`)

// span is a part of a row in one style.
type span struct {
	column      int
	text, style string
}

var styling = regexp.MustCompile(`\x1b\[([0-9;]*)m`)

// rows lays text out as a terminal does that knows line ends and styles. It
// stops the test at any other control character.
func rows(t *testing.T, text string) [][]span {
	t.Helper()
	result := [][]span{nil}
	column, style := 0, ""
	for len(text) > 0 {
		if at := styling.FindStringSubmatchIndex(text); at != nil && at[0] == 0 {
			style = styleOf(t, text[at[2]:at[3]], style)
			text = text[at[1]:]
			continue
		}
		if strings.HasPrefix(text, "\r\n") {
			result, column, text = append(result, nil), 0, text[2:]
			continue
		}
		r, size := utf8.DecodeRuneInString(text)
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			t.Fatalf("the terminal is sent %q", text[:size])
		}
		if column == sessionColumns {
			result, column = append(result, nil), 0
		}
		row := &result[len(result)-1]
		if n := len(*row); n == 0 || (*row)[n-1].style != style {
			*row = append(*row, span{column: column, style: style})
		}
		(*row)[len(*row)-1].text += string(r)
		column, text = column+1, text[size:]
	}
	return result[:len(result)-1] // the last line end
}

// styleOf returns the style after a control sequence: classes of the picture.
func styleOf(t *testing.T, codes, style string) string {
	t.Helper()
	classes := strings.Fields(style)
	for code := range strings.SplitSeq(codes, ";") {
		switch code {
		case "0", "":
			classes = nil
		case "1":
			classes = append(classes, "bold")
		case "2":
			classes = append(classes, "dim")
		case "22":
			classes = slices.DeleteFunc(classes, func(c string) bool { return c == "bold" || c == "dim" })
		case "31":
			classes = append(classes, "red")
		case "33":
			classes = append(classes, "yellow")
		case "36":
			classes = append(classes, "cyan")
		default:
			t.Fatalf("the picture has no style for %q", code)
		}
	}
	return strings.Join(classes, " ")
}

// picture draws what a terminal shows. It needs nothing but the file itself.
func picture(t *testing.T, text string) string {
	t.Helper()
	const (
		wide, high, margin = 8.4, 20, 16 // of a character; in pixels
	)
	screen := rows(t, text)
	width, height := sessionColumns*wide+2*margin, len(screen)*high+2*margin
	plain := strings.ReplaceAll(styling.ReplaceAllString(text, ""), "\r", "")
	var drawn strings.Builder
	for i, row := range screen {
		for _, s := range row {
			class := ""
			if s.style != "" {
				class = ` class="` + s.style + `"`
			}
			if words := strings.TrimSpace(s.text); words != "" {
				s.column += len(s.text) - len(strings.TrimLeft(s.text, " "))
				length := float64(utf8.RuneCountInString(words)) * wide
				fmt.Fprintf(&drawn, "<text x=\"%.1f\" y=\"%d\" textLength=\"%.1f\"%s>%s</text>\n", margin+float64(s.column)*wide, margin+i*high+15, length, class, escaped(t, words))
			}
		}
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.1f %d" width="%.0f" role="img" aria-labelledby="title text">
<title id="title">A terminal session with tokenfetch</title>
<desc id="text">%s</desc>
<style>
rect { fill: #f6f8fa; stroke: #d0d7de }
text { fill: #1f2328; font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; white-space: pre }
.bold { font-weight: bold }
.dim { fill: #59636e }
.red { fill: #b3141e }
.yellow { fill: #7d4e00 }
.cyan { fill: #0b6478 }
@media (prefers-color-scheme: dark) {
rect { fill: #161b22; stroke: #3d444d }
text { fill: #e6edf3 }
.dim { fill: #9198a1 }
.red { fill: #ff8078 }
.yellow { fill: #e3b341 }
.cyan { fill: #56d4dd }
}
</style>
<rect x="0.5" y="0.5" width="%.1f" height="%d" rx="8"/>
%s</svg>
`, width, height, width, escaped(t, plain), width-1, height-1, drawn.String())
}

func escaped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	if err := xml.EscapeText(&b, []byte(text)); err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(b.String(), "&#xA;", "\n")
}
