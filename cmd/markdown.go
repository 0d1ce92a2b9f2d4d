package cmd

import (
	"strings"
	"unicode/utf8"
)

// The guides use a subset of Markdown: headings, paragraphs, flat lists, fenced code,
// tables, comments, and in a line code, bold text and links.

// part is a block of a Markdown text.
type part struct {
	kind  partKind
	level int        // of a heading
	info  string     // of code: its language, and words behind that
	line  int        // where code begins
	text  string     // as it is written; of code, the lines
	rows  [][]string // of a table; the first is its header
}

type partKind int

const (
	paragraph partKind = iota
	heading
	item
	fence
	table
)

// parseMarkdown splits a text into blocks. It drops comments.
func parseMarkdown(text string) []part {
	var parts []part
	open, code := false, false // whether the last part may go on
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimRight(line, "\r\n")
		info, mark := strings.CutPrefix(line, "```")
		last := len(parts) - 1
		switch trimmed := strings.TrimSpace(line); {
		case mark && code:
			open, code = false, false
		case code:
			parts[last].text += line + "\n"
		case mark:
			parts, code = append(parts, part{kind: fence, info: info, line: number}), true
		case trimmed == "" || strings.HasPrefix(trimmed, "<!--"):
			open = false
		case strings.HasPrefix(line, "#"):
			words := strings.TrimLeft(line, "#")
			parts, open = append(parts, part{kind: heading, level: len(line) - len(words), text: strings.TrimSpace(words)}), false
		case strings.HasPrefix(line, "|"):
			if !open || parts[last].kind != table {
				parts, open = append(parts, part{kind: table}), true
				last++
			}
			if strings.Trim(line, "|-: ") != "" {
				parts[last].rows = append(parts[last].rows, cells(line))
			}
		case strings.HasPrefix(line, "- "):
			parts, open = append(parts, part{kind: item, text: line[2:]}), true
		case open && parts[last].kind != table:
			parts[last].text += " " + trimmed
		default:
			parts, open = append(parts, part{kind: paragraph, text: trimmed}), true
		}
	}
	return parts
}

// cells splits a table row.
func cells(row string) []string {
	row = strings.ReplaceAll(strings.Trim(row, "|"), `\|`, "\x00")
	split := strings.Split(row, "|")
	for i, cell := range split {
		split[i] = strings.ReplaceAll(strings.TrimSpace(cell), "\x00", "|")
	}
	return split
}

// inline is a piece of a line in one style.
type inline struct {
	style  textStyle
	text   string
	target string // of a link
}

type textStyle int

const (
	plain textStyle = iota
	bold
	literal // code
	link
)

// inlines splits the text of a block that is not code.
func inlines(text string) []inline {
	var found []inline
	style := plain
	for i, outside := range strings.Split(text, "`") {
		if i%2 == 1 {
			found = append(found, inline{style: literal, text: outside})
			continue
		}
		for j, piece := range strings.Split(outside, "**") {
			switch {
			case j == 0:
			case style == plain:
				style = bold
			default:
				style = plain
			}
			for piece != "" {
				before, words, target, after := cutLink(piece)
				if before != "" {
					found = append(found, inline{style: style, text: before})
				}
				if target != "" {
					found = append(found, inline{style: link, text: words, target: target})
				}
				piece = after
			}
		}
	}
	return found
}

// cutLink splits a text around its first link. Without a link, before is the whole
// text.
func cutLink(text string) (before, words, target, after string) {
	before, rest, _ := strings.Cut(text, "[")
	words, rest, linked := strings.Cut(rest, "](")
	target, after, closed := strings.Cut(rest, ")")
	if !linked || !closed {
		return text, "", "", ""
	}
	return before, words, target, after
}

// repository is the web address of the files that guides link to.
const repository = "https://github.com/tokenfetch/tokenfetch/blob/main/"

// destination returns the guide that a link leads to, or its web address. For a link
// within the same guide it returns neither.
func destination(target string) (guide, address string) {
	file, _, _ := strings.Cut(target, "#")
	name, isGuide := strings.CutSuffix(file, ".md")
	switch {
	case file == "":
		return "", ""
	case strings.Contains(target, "://"):
		return "", target
	case isGuide && !strings.Contains(name, "/"):
		return name, ""
	}
	return "", repository + strings.TrimPrefix(file, "../../")
}

// hardSpace is a space at which a line must not be broken.
const hardSpace = "\x00"

// plainText returns the text of a block for a terminal, before wrapping. Prose keeps
// the backquotes around code, because its spaces would otherwise look like any others;
// tables drop them.
func plainText(text string, inTable bool) string {
	var b strings.Builder
	for _, s := range inlines(text) {
		switch s.style {
		case literal:
			words := s.text
			if !inTable {
				words = code(words)
			}
			if len(words) <= 24 {
				words = strings.ReplaceAll(words, " ", hardSpace)
			}
			b.WriteString(words)
		case link:
			b.WriteString(s.text)
			if guide, address := destination(s.target); guide != "" {
				b.WriteString(" (" + strings.ReplaceAll("tokenfetch help "+guide, " ", hardSpace) + ")")
			} else if address != "" {
				b.WriteString(" (" + address + ")")
			}
		default:
			b.WriteString(s.text)
		}
	}
	return b.String()
}

func code(text string) string { return "`" + text + "`" }

// renderMarkdown formats a text for a terminal of that width. Text below a heading is
// indented; code is indented further and never wrapped.
func renderMarkdown(text string, width int) string {
	const margin = "  "
	var b strings.Builder
	var before part
	for i, p := range parseMarkdown(text) {
		if i > 0 && (p.kind != item || before.kind != item) {
			b.WriteByte('\n')
		}
		switch before = p; p.kind {
		case heading:
			b.WriteString(hanging(plainText(p.text, false), "", "", width))
		case paragraph:
			b.WriteString(hanging(plainText(p.text, false), margin, margin, width))
		case item:
			b.WriteString(hanging(plainText(p.text, false), margin+"- ", margin+"  ", width))
		case fence:
			for line := range strings.Lines(p.text) {
				if line != "\n" {
					line = margin + margin + line
				}
				b.WriteString(line)
			}
		case table:
			b.WriteString(renderTable(p.rows, margin, width))
		}
	}
	return b.String()
}

// hanging wraps text at width characters, with one prefix for the first line and
// another for the others.
func hanging(text, first, others string, width int) string {
	lines := broken(text, width-utf8.RuneCountInString(others))
	return first + strings.Join(lines, "\n"+others) + "\n"
}

// broken wraps text at width characters. A longer word gets a line of its own.
func broken(text string, width int) []string {
	lines := []string{""}
	for word := range strings.FieldsSeq(text) {
		last := &lines[len(lines)-1]
		switch {
		case *last == "":
			*last = word
		case utf8.RuneCountInString(*last)+1+utf8.RuneCountInString(word) <= width:
			*last += " " + word
		default:
			lines = append(lines, word)
		}
	}
	for i, line := range lines {
		lines[i] = strings.ReplaceAll(line, hardSpace, " ")
	}
	return lines
}

// renderTable aligns the columns of a table below a header in capitals. If the table is
// too wide, each row becomes its first cell with the others below it.
func renderTable(rows [][]string, margin string, width int) string {
	const gap = 2
	widths, least := make([]int, len(rows[0])), make([]int, len(rows[0]))
	for _, row := range rows {
		for j := range row {
			row[j] = plainText(row[j], true)
			widths[j] = max(widths[j], utf8.RuneCountInString(row[j]))
			for word := range strings.FieldsSeq(row[j]) {
				least[j] = max(least[j], utf8.RuneCountInString(word))
			}
		}
	}
	room := width - len(margin) - gap*(len(widths)-1)
	for total(widths) > room {
		widest := -1
		for j := range widths {
			if widths[j] > max(least[j], 12) && (widest < 0 || widths[j] > widths[widest]) {
				widest = j
			}
		}
		if widest < 0 {
			return renderRows(rows, margin, width)
		}
		widths[widest]--
	}
	var b strings.Builder
	for i, row := range rows {
		columns := make([][]string, len(row))
		height := 0
		for j, cell := range row {
			if i == 0 {
				cell = strings.ToUpper(cell)
			}
			columns[j] = broken(cell, widths[j])
			height = max(height, len(columns[j]))
		}
		for k := range height {
			line := margin
			for j, column := range columns {
				text := ""
				if k < len(column) {
					text = column[k]
				}
				line += text + strings.Repeat(" ", max(widths[j]-utf8.RuneCountInString(text), 0)+gap)
			}
			b.WriteString(strings.TrimRight(line, " ") + "\n")
		}
	}
	return b.String()
}

// renderRows formats a table for a narrow terminal.
func renderRows(rows [][]string, margin string, width int) string {
	var b strings.Builder
	for _, row := range rows[1:] {
		b.WriteString(hanging(row[0], margin, margin, width))
		for j, cell := range row[1:] {
			if cell != "" {
				label := ""
				if len(row) > 2 {
					label = rows[0][j+1] + ": "
				}
				b.WriteString(hanging(label+cell, margin+"    ", margin+"    ", width))
			}
		}
	}
	return b.String()
}

func total(numbers []int) int {
	sum := 0
	for _, n := range numbers {
		sum += n
	}
	return sum
}

// The marks around a generated part of a text.
const (
	generatedBegin = "<!-- generated: "
	generatedEnd   = "<!-- end -->"
)

// fillIn replaces the text between the marks of each name by the result of made for
// that name. If the result is empty, it keeps the text.
func fillIn(text string, made func(name string) string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, generatedBegin)
		name, rest, marked := strings.Cut(rest, " -->\n")
		old, after, ended := strings.Cut(rest, generatedEnd)
		if !found || !marked || !ended {
			b.WriteString(text)
			return b.String()
		}
		if part := made(name); part != "" {
			old = "\n" + strings.Trim(part, "\n") + "\n\n"
		}
		b.WriteString(before + generatedBegin + name + " -->\n" + old + generatedEnd)
		text = after
	}
}

// markdownTable returns a table in Markdown.
func markdownTable(header []string, rows [][]string) string {
	var b strings.Builder
	for i, row := range append([][]string{header}, rows...) {
		for _, cell := range row {
			b.WriteString("| " + strings.ReplaceAll(cell, "|", `\|`) + " ")
		}
		b.WriteString("|\n")
		if i == 0 {
			b.WriteString(strings.Repeat("|---", len(header)) + "|\n")
		}
	}
	return b.String()
}
