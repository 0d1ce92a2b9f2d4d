package cmd

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"

	"golang.org/x/term"

	"github.com/tokenfetch/tokenfetch/pkg/await"
	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/pkg/source"
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

// prompter asks the user on the controlling terminal, whatever the standard streams
// are. The time that the user takes does not count against the time limit.
type prompter struct {
	run     *run
	limit   *tokenfetch.Limit
	in, out *os.File
}

// openPrompter returns nil if there is no terminal, or in CI, where nobody would
// answer.
func (r *run) openPrompter(limit *tokenfetch.Limit) *prompter {
	open := r.env.Terminal
	if open == nil {
		open = openTerminal
	}
	if r.env.ci() {
		return nil
	}
	in, out, err := open()
	if err != nil {
		return nil
	}
	return &prompter{r, limit, in, out}
}

func (p *prompter) close() {
	p.in.Close()
	p.out.Close()
}

// say writes lines to the terminal.
func (p *prompter) say(lines ...string) {
	for _, line := range lines {
		p.write(fold(p.run.console.safe(line, maxLine), 0, 4, columns(p.out)) + "\n")
	}
}

// write writes text in which control characters are already escaped. Write errors
// surface when the answer is read.
func (p *prompter) write(text string) { _, _ = io.WriteString(p.out, text) }

// ask asks until the answer is valid: check returns the rule that an answer violates,
// or "". A hidden answer is not echoed and not repeated in any message.
func (p *prompter) ask(ctx context.Context, question string, hidden bool, check func(string) string) (string, error) {
	defer p.limit.Pause()()
	for {
		p.write(fold(p.run.console.safe(question, maxLine)+":", 0, 4, columns(p.out)-1) + " ")
		answer, err := p.line(ctx, hidden)
		if err != nil {
			p.write("\n")
			return "", err
		}
		rule := tooLong(answer)
		if rule == "" {
			rule = check(answer)
		}
		if rule == "" {
			return answer, nil
		}
		p.say("  the answer " + rule)
	}
}

// line reads a line. It returns when ctx ends, even if the user never answers.
func (p *prompter) line(ctx context.Context, hidden bool) (string, error) {
	fd := int(p.in.Fd())
	read := func() (string, error) { return readLine(p.in) }
	if hidden {
		end, err := p.run.hideTyping(ctx, fd)
		if err != nil {
			return "", err
		}
		defer end()
		read = func() (string, error) {
			text, err := readHidden(p.in)
			p.write("\n") // which is not echoed either
			return text, err
		}
	}
	return await.Do(ctx, func() (string, error) {
		text, err := read()
		if err != nil {
			err = failure.New(failure.NoTerminal, "the terminal gave no answer").WithHint("run it again, or give everything by flags")
		}
		return text, err
	})
}

// hideTyping turns off the terminal's echo until end is called. However the program
// ends, and while it is stopped, the terminal has its original settings. The error is
// the cause of ctx if ctx is about to end.
func (r *run) hideTyping(ctx context.Context, fd int) (end func(), err error) {
	goOn := whenStopped(r.terminal.pause) // before a person can see that there is no echo
	err = r.terminal.hide(fd)
	if err == nil {
		return func() { goOn(); r.terminal.release() }, nil
	}
	goOn()
	if errors.Is(err, errEnding) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	return nil, failure.New(failure.FileUnreadable, "the terminal cannot be set to hide what is typed")
}

// readLine reads up to a line end, byte by byte, because what follows belongs to the
// next answer.
func readLine(r io.Reader) (string, error) {
	var line []byte
	for {
		var c [1]byte
		n, err := r.Read(c[:])
		switch {
		case n > 0 && c[0] == '\n':
			return strings.TrimSuffix(string(line), "\r"), nil
		case n > 0:
			line = append(line, c[0])
		case errors.Is(err, io.EOF) && len(line) > 0:
			return string(line), nil
		case err != nil:
			return "", err
		}
	}
}

// tooLong returns the rule that an answer of the terminal's maximum line length
// violates: the terminal silently drops the rest of a longer line.
func tooLong(answer string) string {
	longest := 4095
	if runtime.GOOS == "darwin" {
		longest = 1023
	}
	if len(answer) >= longest {
		return "is longer than a terminal takes: use a flag"
	}
	return ""
}

// typedText returns the rule that a typed value violates, or "".
func typedText(answer string) string {
	if rule := source.Check(answer); rule != "" {
		return rule
	}
	if strings.ContainsFunc(answer, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return "contains a control character, such as an arrow key makes"
	}
	return ""
}

// readStdin reads a secret from standard input. On a terminal it turns off echo, and
// the time that the user takes does not count.
func (r *run) readStdin(ctx context.Context) (secret.Value, error) {
	defer r.waiting("the secret on standard input")()
	fd := int(r.env.Stdin.Fd())
	if !term.IsTerminal(fd) {
		ctx, cancel := r.limit.Context(ctx)
		defer cancel()
		return source.Reader(ctx, r.env.Stdin, "standard input")
	}
	defer r.limit.Pause()()
	end, err := r.hideTyping(ctx, fd)
	if err != nil {
		return secret.Value{}, err
	}
	defer end()
	return source.Reader(ctx, &typed{terminal: r.env.Stdin}, "standard input")
}

// typed reads one line from a terminal without echo.
type typed struct {
	terminal *os.File
	line     string
	done     bool
}

// Read prompts for the line on the first call.
func (t *typed) Read(p []byte) (int, error) {
	if !t.done {
		var err error
		if t.line, err = readHidden(t.terminal); err != nil {
			return 0, err
		}
		t.done = true
	}
	if len(t.line) == 0 {
		return 0, io.EOF
	}
	n := copy(p, t.line)
	t.line = t.line[n:]
	return n, nil
}
