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

// maxLine is the length of the longest line on standard error, in characters.
const maxLine = 900

// console writes lines for a person to standard error. Whatever goes through
// it comes out as one line of printable ASCII, folded on a terminal, that begins
// with the program's name and holds no secret of the run.
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

// hide makes the console replace the secrets in every later line.
func (c *console) hide(secrets ...secret.Value) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.secrets = append(c.secrets, secrets...)
}

// safe returns text without the run's secrets, harmless, and at most limit
// characters long.
func (c *console) safe(text string, limit int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return output.Harmless(secret.Redact(text, c.secrets...), limit)
}

// own is safe for an error's message or hint, which are texts of ours. A secret that is
// a common word of them is not hidden: a gap in a text that everybody knows would tell
// what the secret is. Where nothing could be shown because of another short secret, own
// returns instead, a constant.
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

// line writes one line: "tokenfetch: LABEL: TEXT". On a terminal it is folded; what
// goes on stands below the label. instead is as in own.
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

// write writes what is safe already. There is nowhere to report a standard error
// that cannot be written.
func (c *console) write(text string) { _, _ = c.Write([]byte(text)) }

// stuckAfter is how long a line may take that tells of a failure or of progress.
// After one that took longer nothing more is written to standard error: no run
// waits for its reader.
const stuckAfter = time.Second

// Write writes what is safe already.
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

// errNotRead says that a write was given up.
var errNotRead = errors.New("not read in time")

// writeWithin writes data to f. If that takes longer than limit it is errNotRead,
// and unknown how much is written: a write to a full pipe cannot be broken off.
func writeWithin(f *os.File, data []byte, limit time.Duration) (int, error) {
	if !enoughFiles() {
		return f.Write(data) // the Go runtime opens files for a timer
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	n, err := await.Do(ctx, func() (int, error) { return f.Write(data) })
	if errors.Is(err, context.DeadlineExceeded) {
		err = errNotRead
	}
	return n, err
}

func (c *console) error(text string) { c.line("error", color.FgRed, text, secret.Hidden) }
func (c *console) hint(text string)  { c.line("hint", color.FgCyan, text, hiddenHint) }

// hiddenHint takes the place of a hint in which a short secret occurs.
const hiddenHint = "this hint is not shown: a secret is so short that it occurs in it"

// note tells what was done, warning what may surprise.
func (c *console) note(format string, args ...any) {
	c.line("note", color.FgGreen, fmt.Sprintf(format, args...), secret.Hidden)
}

func (c *console) warning(format string, args ...any) {
	c.line("warning", color.FgYellow, fmt.Sprintf(format, args...), secret.Hidden)
}

// plan writes a line of --dry-run.
func (c *console) plan(format string, args ...any) {
	c.line("dry run", color.FgGreen, fmt.Sprintf(format, args...), secret.Hidden)
}

// info writes a line that only --verbose shows.
func (c *console) info(format string, args ...any) {
	if c.verbose {
		c.line("info", color.Faint, fmt.Sprintf(format, args...), secret.Hidden)
	}
}

// waiting says on a terminal what the run waits for, once that has taken a
// second. The function it returns erases the line again.
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
			// Of a line that the terminal breaks only the last part could be erased.
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
