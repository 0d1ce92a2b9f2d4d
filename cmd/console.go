package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fatih/color"

	"github.com/tokenfetch/tokenfetch/pkg/await"
	"github.com/tokenfetch/tokenfetch/pkg/output"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
)

// maxLine is the maximum length of a line on standard error, in characters.
const maxLine = 900

// console writes messages to standard error. Each is one line of printable ASCII that
// begins with the program's name and contains no secret of the run; a terminal gets it
// folded.
type console struct {
	file     *os.File
	terminal bool
	colour   bool
	verbose  bool
	erase    string // what ends a line that is not to stay

	stuck atomic.Bool // nobody reads it

	mu      sync.Mutex
	secrets []secret.Value
	common  []string // words of errors; a secret that is one is not hidden there
}

func newConsole(env *Env) *console {
	c := &console{
		file:     env.Stderr,
		terminal: isTerminal(env.Stderr),
		colour:   env.coloured(env.Stderr),
		erase:    "\r\x1b[K",
	}
	if env.getenv("TERM") == "dumb" {
		c.erase = "\n" // this terminal cannot erase
	}
	return c
}

// hide makes the console replace the secrets in all later lines.
func (c *console) hide(secrets ...secret.Value) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.secrets = append(c.secrets, secrets...)
}

// safe returns text without the run's secrets and without control characters, truncated
// to limit characters.
func (c *console) safe(text string, limit int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return output.Harmless(secret.Redact(text, c.secrets...), limit)
}

// own is safe for an error's message or hint, which are texts of tokenfetch. It does
// not hide a secret that is one of their common words: a gap in a known text would
// reveal the secret. If another short secret would leave nothing readable, it returns
// instead, a constant.
func (c *console) own(text string, limit int, instead string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	telling := slices.DeleteFunc(slices.Clone(c.secrets), func(s secret.Value) bool {
		return slices.Contains(c.common, strings.ToLower(s.Reveal()))
	})
	if text = secret.Redact(text, telling...); text == secret.Hidden {
		return instead
	}
	return output.Harmless(text, limit)
}

const programPrefix = "tokenfetch: "

// line writes one line, "tokenfetch: LABEL: TEXT". On a terminal it is folded, and its
// continuation lines are aligned below the text. instead is as in own.
func (c *console) line(label string, attribute color.Attribute, text, instead string) {
	text = fold(c.own(text, maxLine, instead), len(programPrefix)+len(label)+len(": "), len(programPrefix), columns(c.file))
	if c.colour {
		painted := color.New(attribute, color.Bold)
		painted.EnableColor()
		label = painted.Sprint(label)
	}
	c.write(programPrefix + label + ": " + text + "\n")
}

// say writes a line without a label.
func (c *console) say(text string) {
	c.write(programPrefix + fold(c.safe(text, maxLine), len(programPrefix), len(programPrefix), columns(c.file)) + "\n")
}

// write writes text that is already safe. It ignores errors: there is nowhere to report
// that standard error cannot be written.
func (c *console) write(text string) { _, _ = c.Write([]byte(text)) }

// stuckAfter is the time limit of a write to standard error. After a write that took
// longer the console writes nothing more, so that no run waits for a reader.
const stuckAfter = time.Second

// Write writes text that is already safe.
func (c *console) Write(data []byte) (int, error) {
	if c.stuck.Load() {
		return 0, errNotRead
	}
	n, err := writeWithin(c.file, data, stuckAfter)
	if errors.Is(err, errNotRead) {
		c.stuck.Store(true)
	}
	return n, err
}

// errNotRead means that a write was abandoned because nobody read the output.
var errNotRead = errors.New("not read in time")

// writeWithin writes data to f. If that takes longer than limit it returns errNotRead,
// and an unknown part of data is written: a write to a full pipe cannot be cancelled.
func writeWithin(f *os.File, data []byte, limit time.Duration) (int, error) {
	done := writeAtOnce(f, data)
	if done == len(data) {
		return done, nil
	}
	rest := data[done:]
	if !enoughFiles() {
		n, err := f.Write(rest) // the Go runtime opens files for a timer
		return done + n, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	n, err := await.Do(ctx, func() (int, error) { return f.Write(rest) })
	if errors.Is(err, context.DeadlineExceeded) {
		err = errNotRead
	}
	return done + n, err
}

func (c *console) error(text string) { c.line("error", color.FgRed, text, secret.Hidden) }
func (c *console) hint(text string)  { c.line("hint", color.FgCyan, text, hiddenHint) }

// hiddenHint replaces a hint that contains a short secret.
const hiddenHint = "this hint is not shown: a secret is so short that it occurs in it"

// note prints what was done; warning prints what may be unexpected.
func (c *console) note(format string, args ...any) {
	c.line("note", color.FgGreen, fmt.Sprintf(format, args...), secret.Hidden)
}

func (c *console) warning(format string, args ...any) {
	c.line("warning", color.FgYellow, fmt.Sprintf(format, args...), secret.Hidden)
}

// plan prints a line of --dry-run.
func (c *console) plan(format string, args ...any) {
	c.line("dry run", color.FgGreen, fmt.Sprintf(format, args...), secret.Hidden)
}

// info prints a line only with --verbose.
func (c *console) info(format string, args ...any) {
	if c.verbose {
		c.line("info", color.Faint, fmt.Sprintf(format, args...), secret.Hidden)
	}
}

// waiting prints on a terminal what the run waits for, after one second. The function
// it returns erases that line.
func (c *console) waiting(what string) (done func()) {
	if !c.terminal || c.verbose {
		return func() {}
	}
	var mu sync.Mutex
	shown, ended := false, false
	timer := time.AfterFunc(time.Second, func() {
		mu.Lock()
		defer mu.Unlock()
		if !ended {
			shown = true
			const begin, end = programPrefix + "waiting for ", " ..."
			// Only the last part of a wrapped line could be erased.
			c.write(begin + c.safe(what, columns(c.file)-1-len(begin+end)) + end)
		}
	})
	return func() {
		timer.Stop()
		mu.Lock()
		defer mu.Unlock()
		if ended = true; shown {
			c.write(c.erase)
		}
	}
}
