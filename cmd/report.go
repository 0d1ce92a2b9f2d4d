package cmd

import (
	"strings"

	"github.com/fatih/color"
	"github.com/spf13/cobra"
)

// report is text for a person on standard output: headings and lines, with
// columns that stand below each other. What goes into it comes out as lines of
// printable ASCII. Colour only repeats what a word says.
type report struct {
	run    *run
	colour bool
	lines  []reportLine
}

// reportLine is a line of a report. Without a word its text begins in the
// word's column.
type reportLine struct {
	label   string
	heading bool // the label is not part of the columns
	word    word
	text    string
}

// word is a short text with the colour of what it means.
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

// text adds a line without a label or columns, or an empty one.
func (p *report) text(text string) {
	p.lines = append(p.lines, reportLine{label: text, heading: true})
}

// String returns the report.
func (p *report) String() string {
	labels, words := 0, 0
	for i := range p.lines {
		l := &p.lines[i]
		safe := p.run.console.safe
		l.label, l.word.text, l.text = safe(l.label, maxLine), safe(l.word.text, maxLine), safe(l.text, maxLine)
		if !l.heading {
			labels, words = max(labels, len(l.label)), max(words, len(l.word.text))
		}
	}
	var b strings.Builder
	for _, l := range p.lines {
		var line string
		switch {
		case l.heading && l.word.text == "":
			line = l.label
		case l.heading:
			line = p.paint(word{l.label, color.Bold}, 0) + "  " + p.paint(l.word, 0)
		case l.word.text == "":
			line = "  " + pad(l.label, labels) + "  " + l.text
		default:
			line = "  " + pad(l.label, labels) + "  " + p.paint(l.word, words) + "  " + l.text
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

// paint returns the word in its colour, filled up with blanks to a width.
func (p *report) paint(w word, width int) string {
	text := w.text
	if p.colour {
		painted := color.New(w.attribute)
		painted.EnableColor()
		text = painted.Sprint(text)
	}
	return text + strings.Repeat(" ", max(0, width-len(w.text)))
}

func pad(text string, width int) string { return text + strings.Repeat(" ", max(0, width-len(text))) }

// reportFormats are the forms in which a command reports.
func reportFormats() []string { return []string{"text", "json"} }

// addReportFlag adds the flag that chooses the form of a report.
func addReportFlag(c *cobra.Command, format *string) {
	*format = reportFormats()[0]
	c.Flags().VarP(&choice{format, reportFormats()}, "output", "o", "how the report is printed")
	register(c, "output", cobra.FixedCompletions(reportFormats(), cobra.ShellCompDirectiveNoFileComp))
}
