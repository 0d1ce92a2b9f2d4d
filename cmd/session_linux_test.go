package cmd

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tokenfetch/tokenfetch/testdata/check"
	"github.com/tokenfetch/tokenfetch/testdata/picture"
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

const sessionFile = "../.ci/session.svg"

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
	drawn, err := picture.Draw("A terminal session with tokenfetch", sinceRefused.ReplaceAllString(exchanged(text.String(), actual, shown), "4 seconds ago"))
	check.OK(t, err)
	compareDocument(t, sessionFile, drawn)
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
	check.OK(t, err)
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
