package cmd

import (
	"fmt"
	"strings"
	"time"

	"github.com/fatih/color"
	"github.com/spf13/cobra"
)

// report builds text for standard output: headings and lines with aligned columns. It
// escapes control characters. Colour only repeats what a word says.
type report struct {
	run    *run
	colour bool
	lines  []reportLine
}

// reportLine is a line of a report. If it has no word, its text begins in the word's
// column.
type reportLine struct {
	label   string
	heading bool // the label is not part of the columns
	word    word
	text    string
	cells   []word // of a row, instead of all that
}

// word is a short text with a colour.
type word struct {
	text      string
	attribute color.Attribute
}

func good(text string) word     { return word{text, color.FgGreen} }
func doubtful(text string) word { return word{text, color.FgYellow} }
func bad(text string) word      { return word{text, color.FgRed} }

func (r *run) newReport() *report {
	return &report{run: r, colour: r.env.coloured(r.env.Stdout)}
}

func (p *report) heading(label string, w word) {
	p.lines = append(p.lines, reportLine{label: label, heading: true, word: w})
}

func (p *report) line(label string, w word, text string) {
	p.lines = append(p.lines, reportLine{label: label, word: w, text: text})
}

// text adds a line without a label or columns, or an empty line.
func (p *report) text(text string) {
	p.lines = append(p.lines, reportLine{label: text, heading: true})
}

// lead adds a line with a word and text outside the columns.
func (p *report) lead(w word, text string) {
	p.lines = append(p.lines, reportLine{heading: true, word: w, text: text})
}

// row adds a table row, whose columns are independent of other lines.
func (p *report) row(cells ...word) {
	p.lines = append(p.lines, reportLine{cells: cells})
}

// String returns the report, folded on a terminal.
func (p *report) String() string {
	labels, words := 0, 0
	var cells []int
	for i := range p.lines {
		l := &p.lines[i]
		safe := p.run.console.safe
		l.label, l.word.text, l.text = safe(l.label, maxLine), safe(l.word.text, maxLine), safe(l.text, maxLine)
		if !l.heading {
			labels, words = max(labels, len(l.label)), max(words, len(l.word.text))
		}
		for n := range l.cells {
			if n == len(cells) {
				cells = append(cells, 0)
			}
			l.cells[n].text = safe(l.cells[n].text, maxLine)
			cells[n] = max(cells[n], len(l.cells[n].text))
		}
	}
	width := columns(p.run.env.Stdout)
	var b strings.Builder
	for _, l := range p.lines {
		var line string
		switch {
		case l.cells != nil:
			line = p.table(l.cells, cells, width)
		case l.heading && l.word.text == "":
			blanks := len(l.label) - len(strings.TrimLeft(l.label, " "))
			line = fold(l.label, 0, blanks+4, width)
		case l.heading && l.label == "":
			at := 2 + len(l.word.text) + 2
			line = "  " + p.paint(l.word, 0) + "  " + fold(l.text, at, at, width)
		case l.heading:
			line = p.paint(word{l.label, color.Bold}, 0) + "  " + p.paint(l.word, 0)
		default:
			line = "  " + pad(l.label, labels) + "  "
			at := len(line)
			if l.word.text != "" {
				line += p.paint(l.word, words) + "  "
				at += words + 2
			}
			line += fold(l.text, at, min(at, maxColumns*3/5), width)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

// table returns a row of aligned cells. If it is too wide, the last cell goes to a line
// of its own.
func (p *report) table(cells []word, widths []int, width int) string {
	var b strings.Builder
	at := 0
	for n, cell := range cells[:len(cells)-1] {
		b.WriteString(p.paint(cell, widths[n]) + "  ")
		at += widths[n] + 2
	}
	last := cells[len(cells)-1]
	if broken := fold(last.text, at, 4, width); broken != last.text {
		return strings.TrimRight(b.String(), " ") + broken
	}
	return b.String() + p.paint(last, 0)
}

// paint returns the word in its colour, padded to a width.
func (p *report) paint(w word, width int) string {
	text := w.text
	if p.colour && w.attribute != 0 {
		painted := color.New(w.attribute)
		painted.EnableColor()
		text = painted.Sprint(text)
	}
	return text + strings.Repeat(" ", max(0, width-len(w.text)))
}

func pad(text string, width int) string { return text + strings.Repeat(" ", max(0, width-len(text))) }

// brief formats a duration in a few characters, such as "11 h 58 min". It rounds down.
func brief(d time.Duration) string {
	const day = 24 * time.Hour
	switch hours, minutes := d/time.Hour, d%time.Hour/time.Minute; {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d >= 2*day:
		return fmt.Sprintf("%d days", d/day)
	case hours == 0:
		return fmt.Sprintf("%d min", minutes)
	case minutes == 0:
		return fmt.Sprintf("%d h", hours)
	default:
		return fmt.Sprintf("%d h %d min", hours, minutes)
	}
}

// rough is brief with a single unit.
func rough(d time.Duration) string {
	if d >= time.Hour && d < 2*time.Hour {
		return fmt.Sprintf("%d min", d/time.Minute)
	} else if d >= time.Hour {
		d = d.Truncate(time.Hour)
	}
	return brief(d)
}

// seen reports whether the reader of an error has also seen the report, because both
// streams are terminals.
func (r *run) seen(format string) bool {
	return format == "text" && !r.asked.errorsJSON && isTerminal(r.env.Stdout) && isTerminal(r.env.Stderr)
}

// reportFormats are the formats of reports.
func reportFormats() []string { return []string{"text", "json"} }

// addReportFlag adds the flag that selects the format of a report.
func addReportFlag(c *cobra.Command, format *string) {
	*format = reportFormats()[0]
	c.Flags().VarP(&choice{format, reportFormats()}, "output", "o", "how the report is printed")
	register(c, "output", cobra.FixedCompletions(reportFormats(), cobra.ShellCompDirectiveNoFileComp))
}
