package cmd

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// answer is what an endpoint does with one connection. When it returns, what
// else comes in is read until the other side closes.
type answer func(*conversation)

// parseAnswers reads the words of a behaviour, see startEndpoint.
func parseAnswers(ts *testscript.TestScript, args []string) []answer {
	var all []answer
	for _, step := range strings.Split(strings.Join(args, "\x00"), "\x00then\x00") {
		words := strings.Split(step, "\x00")
		text := ""
		if len(words) > 1 {
			text = content(ts, words[1])
		}
		if status, err := strconv.Atoi(words[0]); err == nil && len(words) > 1 {
			headers := words[2:]
			for i := range headers {
				headers[i] = fill(ts, headers[i])
			}
			all = append(all, reply(status, text, headers...))
			continue
		}
		behave, ok := behaviours[words[0]]
		if !ok {
			ts.Fatalf("there is no behaviour %s", words[0])
		}
		all = append(all, behave(text))
	}
	return all
}

// behaviours are the answers that are not plain replies, made of a text.
var behaviours = map[string]func(text string) answer{
	"hang":    func(string) answer { return func(c *conversation) { c.request() } },
	"close":   func(string) answer { return raw("") },
	"garbage": func(string) answer { return raw("220 mail.example ESMTP \x1b[2J\r\n") },
	"raw":     func(text string) answer { return raw(lines(text)) },
	"reset": func(string) answer {
		return func(c *conversation) {
			c.request()
			resetConn(c.raw)
		}
	},
	"drip":    func(text string) answer { return forever(lines(text), " ", 50*time.Millisecond) },
	"endless": func(text string) answer { return forever(lines(text), strings.Repeat(" ", 64<<10), 0) },
	"early": func(text string) answer {
		return func(c *conversation) {
			c.say(lines(text))
			c.request()
			c.end()
		}
	},
	"deaf": func(text string) answer {
		return func(c *conversation) {
			if _, err := c.Read(make([]byte, 1)); err == nil {
				c.say(lines(text))
			}
			c.raw.Close()
		}
	},
}

// lines ends the lines of text as HTTP does.
func lines(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") }

// raw answers a request with text and closes the connection.
func raw(text string) answer {
	return func(c *conversation) {
		if c.request() {
			c.say(text)
			c.end()
		}
	}
}

// reply answers a request in HTTP, as JSON if no header says otherwise. A
// header with an empty value is left out.
func reply(status int, body string, headers ...string) answer {
	head := map[string]string{"Content-Type": "application/json"}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ":")
		head[name] = value
	}
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	for name, value := range head {
		if value != "" {
			fmt.Fprintf(&b, "%s: %s\r\n", name, value)
		}
	}
	if status != http.StatusNoContent && status != http.StatusNotModified {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	return raw(b.String() + "Connection: close\r\n\r\n" + body)
}

// forever answers a request with text and then with more, for as long as the
// other side listens.
func forever(text, more string, pause time.Duration) answer {
	return func(c *conversation) {
		if !c.request() {
			return
		}
		for listens := c.say(text); listens; listens = c.say(more) {
			time.Sleep(pause)
		}
	}
}

// content returns a file of the script, filled in, or the word itself if it is
// empty or begins with {.
func content(ts *testscript.TestScript, word string) string {
	if word == "" || word[0] == '{' {
		return fill(ts, word)
	}
	return fill(ts, ts.ReadFile(word))
}

// fill fills $VARIABLES in and then takes the text for a template: {{"\x1b"}}
// is a byte that a script cannot hold, {{repeat 9 "a"}} a text that is too long
// for one, {{in "1m"}} a date.
func fill(ts *testscript.TestScript, text string) string {
	parsed, err := template.New("").Funcs(template.FuncMap{
		"repeat":  func(n int, text string) string { return strings.Repeat(text, n) },
		"numbers": numbers,
		"in":      httpDate,
		"wide":    wide,
		"gzip":    zipped,
		"hex":     func(text string) string { return hex.EncodeToString([]byte(text)) },
		"base64":  func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) },
		"percent": func(text string) string { return hexEach("%%%02X", text) },
		"unicode": func(text string) string { return hexEach(`\u%04x`, text) },
	}).Parse(os.Expand(text, ts.Getenv))
	ts.Check(err)
	var b strings.Builder
	ts.Check(parsed.Execute(&b, nil))
	return b.String()
}

// httpDate is the time after a while, as headers state it.
func httpDate(while string) (string, error) {
	d, err := time.ParseDuration(while)
	return time.Now().Add(d).UTC().Format(http.TimeFormat), err
}

// numbers is format filled with each number below n.
func numbers(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// wide is ASCII text with n bytes for each character, the highest first.
func wide(n int, text string) string {
	var b strings.Builder
	for i := range len(text) {
		b.WriteString(strings.Repeat("\x00", n-1) + text[i:i+1])
	}
	return b.String()
}

func zipped(text string) (string, error) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		return "", err
	}
	err := w.Close()
	return b.String(), err
}

func hexEach(format, text string) string {
	var b strings.Builder
	for i := range len(text) {
		fmt.Fprintf(&b, format, text[i])
	}
	return b.String()
}
