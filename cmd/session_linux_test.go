package cmd

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// session is what the picture in the README shows: lines that are run one after
// the other in a shell on a terminal. A comment begins a scene.
var session = []string{
	"# log in: the secrets are tried, and then stored for this host alone",
	"tokenfetch login zeepay --base-url http://127.0.0.1:8765/zeepay",
	"# call an API: the token is on no screen and in no argument list",
	"tokenfetch zeepay -o curl | curl -K - http://127.0.0.1:9000/balance",
	"# a wrong password is sent once",
	"tokenfetch zeepay --password-file wrong-password",
	"tokenfetch zeepay --password-file wrong-password",
}

const (
	sessionFile    = "../.ci/session.svg"
	sessionColumns = 94
)

// TestSession runs the session against the emulator, with a keychain that is a
// directory, and compares what the terminal shows with the picture. With -update
// it makes the picture anew.
func TestSession(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed")
	}
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer emulated-") {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprintln(w, `{"currency":"GHS","balance":"1250.00"}`)
	}))
	t.Cleanup(api.Close)
	d := newDesk(t)
	writeFile(t, filepath.Join(d.home, "wrong-password"), "wrong", 0o600)
	// What differs from run to run, and what the picture has instead.
	actual := []string{serveEmulator(t, filepath.Join(builtProgram(t), "tokenfetch"), cleanEnviron(t, "")), strings.TrimPrefix(api.URL, "http://"), d.home}
	shown := []string{"127.0.0.1:8765", "127.0.0.1:9000", "/home/you"}

	var text strings.Builder
	for i, line := range session {
		if strings.HasPrefix(line, "#") {
			text.WriteString(strings.Repeat("\n", min(i, 1)) + "\x1b[2m" + line + "\x1b[0m\n")
			continue
		}
		text.WriteString("\x1b[2m$\x1b[0m \x1b[1m" + line + "\x1b[0m\n" + onTerminal(t, d, exchanged(line, shown, actual)))
	}
	for _, field := range []string{"client-secret", "password"} {
		if strings.Contains(text.String(), "demo-zeepay-"+field) {
			t.Fatalf("the %s is on the screen:\n%s", field, text.String())
		}
	}
	compareDocument(t, sessionFile, picture(t, sinceRefused.ReplaceAllString(exchanged(text.String(), actual, shown), "4 seconds ago")))
}

var sinceRefused = regexp.MustCompile(`\d+ seconds? ago`)

// exchanged returns text with each of one list replaced by its partner.
func exchanged(text string, from, to []string) string {
	for i := range from {
		text = strings.ReplaceAll(text, from[i], to[i])
	}
	return text
}

// onTerminal runs a line in a shell, answers its questions as the emulator wants
// them answered, and returns what the terminal shows.
func onTerminal(t *testing.T, d desk, line string) string {
	t.Helper()
	tt := newTerminal(t, []string{
		"HOME=" + d.home, "TEST_KEYCHAIN=" + d.keychain, "TEST_KEYCHAIN_WRITES=1", "TEST_TERMINAL=1", "GORACE=atexit_sleep_ms=0",
	})
	path, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	const end = "\x00end"
	tt.cmd.Path, tt.cmd.Args, tt.cmd.Dir = path, []string{"sh", "-c", line + "\nprintf '\\0end'"}, d.home
	tt.start(t)
	for range 20 {
		screen, question := "", ""
		tt.until(t, "a question or the end", func() bool {
			screen = tt.shown()
			text := erasedLine.ReplaceAllString(screen, "")
			question = text[strings.LastIndex(text, "\n")+1:]
			return strings.HasSuffix(screen, end) || len(screen) > tt.answered && questionEnd.MatchString(question)
		})
		if text, ok := strings.CutSuffix(screen, end); ok {
			return strings.ReplaceAll(erasedLine.ReplaceAllString(text, ""), "\r\n", "\n")
		}
		tt.answered = len(screen)
		text, hidden := answerTo(question)
		if hidden {
			tt.until(t, "the echo turned off", func() bool { return !tt.echo(t) })
		}
		tt.typeText(t, text+"\n")
	}
	t.Fatalf("the questions do not end: %q", tt.shown())
	return ""
}

// questionEnd is how a question ends: a part of it may be there earlier.
var questionEnd = regexp.MustCompile(`[:?] $`)

// answerTo returns what the emulator wants for the field that a question begins
// with, and whether it is typed unseen. To any other question it is the default.
func answerTo(question string) (answer string, hidden bool) {
	question = strings.ToLower(strings.ReplaceAll(question, "_", " "))
	for _, field := range []string{"client id", "client secret", "username", "password"} {
		if strings.HasPrefix(question, field) {
			return "demo-zeepay-" + strings.ReplaceAll(field, " ", "-"), field == "client secret" || field == "password"
		}
	}
	return "", false
}

// erasedLine is what a slow machine sees for a moment.
var erasedLine = regexp.MustCompile(`\r?tokenfetch: waiting for [^\r]*\r\x1b\[K`)

var styling = regexp.MustCompile(`\x1b\[([0-9;]*)m`)

// styles are the picture's classes for what the program sends to a terminal.
var styles = map[string]string{"0": "", "0;22": "", "1": "bold", "2": "dim", "31;1": "red", "32;1": "green", "33;1": "yellow", "36;1": "cyan"}

// wrapped breaks a line between its words where a terminal would break it anywhere.
func wrapped(t *testing.T, line string) (rows []string) {
	t.Helper()
	row := ""
	for word := range strings.SplitAfterSeq(line, " ") {
		width := utf8.RuneCountInString(styling.ReplaceAllString(row+strings.TrimSuffix(word, " "), ""))
		if width > sessionColumns {
			rows, row = append(rows, strings.TrimSuffix(row, " ")), "  "
		}
		if row += word; len(word) > sessionColumns {
			t.Fatalf("%q is too long for a row", word)
		}
	}
	return append(rows, row)
}

// picture draws what a terminal shows, of which it knows lines and styles. It
// needs nothing but the file itself.
func picture(t *testing.T, text string) string {
	t.Helper()
	const wide, high, margin = 8.4, 20, 16 // of a character; in pixels
	plain := styling.ReplaceAllString(text, "")
	if at := strings.IndexFunc(plain, func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f || r == utf8.RuneError }); at >= 0 {
		t.Fatalf("the terminal is sent %q", plain[at:])
	}
	var rows []string
	for line := range strings.Lines(text) {
		rows = append(rows, wrapped(t, strings.TrimSuffix(line, "\n"))...)
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
					margin+float64(x)*wide, margin+i*high+15, float64(utf8.RuneCountInString(words))*wide, style, escaped(t, words))
			}
			column += utf8.RuneCountInString(part)
			if code != "" {
				var known bool
				if style, known = styles[code]; !known {
					t.Fatalf("the picture has no style for %q", code)
				}
			}
		}
	}
	width, height := sessionColumns*wide+2*margin, len(rows)*high+2*margin
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.1f %d" width="%.0f" role="img" aria-labelledby="title text">
<title id="title">A terminal session with tokenfetch</title>
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
`, width, height, width, escaped(t, plain), width-1, height-1, drawn.String())
}

func escaped(t *testing.T, text string) string {
	t.Helper()
	var b strings.Builder
	if err := xml.EscapeText(&b, []byte(text)); err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(b.String(), "&#xA;", "\n")
}
