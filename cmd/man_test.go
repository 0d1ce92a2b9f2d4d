package cmd

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

// The manual pages are made here and not by the program: it would carry what
// only a release needs. They consist of the help texts.

var (
	manDir     = flag.String("man", "", "write the manual pages into this `directory`, dated SOURCE_DATE_EPOCH")
	manVersion = flag.String("man-version", "dev", "the `version` that the manual pages name")
)

// TestManPages checks the manual pages: there is one for every command and
// topic, with every flag, and the programs that read such pages find no fault.
// With -man it also writes them.
func TestManPages(t *testing.T) {
	day := time.Date(2001, 2, 3, 23, 59, 59, 0, time.UTC)
	if *manDir != "" {
		seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
		if err != nil {
			t.Fatal("SOURCE_DATE_EPOCH must say the date of the pages, in seconds")
		}
		day = time.Unix(seconds, 0).UTC()
	}
	pages := manPages(t, day, *manVersion)
	if diff := cmp.Diff(pages, manPages(t, day, *manVersion)); diff != "" {
		t.Errorf("made twice the pages differ (-first +second):\n%s", diff)
	}

	root := wholeTree(t)
	names := []string{}
	for _, topic := range topics() {
		names = append(names, "tokenfetch-"+topic.name+".7")
	}
	walk(root, func(c *cobra.Command) {
		name := pageName(c) + ".1"
		names = append(names, name)
		entries := regexp.MustCompile(`(?m)^\\fB.*`).FindAllString(pages[name], -1)
		check := func(f *pflag.Flag) {
			if !f.Hidden && !slices.ContainsFunc(entries, func(entry string) bool {
				return regexp.MustCompile(regexp.QuoteMeta(roff("--"+f.Name)) + `\b`).MatchString(entry)
			}) {
				t.Errorf("%s has no entry for --%s", name, f.Name)
			}
		}
		c.LocalFlags().VisitAll(check)
		c.InheritedFlags().VisitAll(check)
		if !c.HasParent() {
			return
		}
		if reference := roff(pageName(c)) + `\fR(1)`; !strings.Contains(pages[pageName(c.Parent())+".1"], reference) {
			t.Errorf("the page of %s does not lead to %s", c.Parent().CommandPath(), name)
		}
	})
	made := []string{}
	for name := range pages {
		made = append(made, name)
	}
	slices.Sort(names)
	slices.Sort(made)
	if diff := cmp.Diff(names, made); diff != "" {
		t.Errorf("the pages there should be and the pages there are (-want +got):\n%s", diff)
	}

	dir := *manDir
	if dir == "" {
		dir = t.TempDir()
	}
	for name, page := range pages {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if *manDir == "" {
		lintManPages(t, dir, names)
	}
}

// lintManPages has the pages read by the programs that show them.
func lintManPages(t *testing.T, dir string, names []string) {
	for _, reader := range []struct {
		name  string
		args  []string
		shows bool // the page, 80 columns wide
	}{
		{"man", []string{"--warnings", "-E", "UTF-8", "-l", "-Tutf8"}, true},
		{"mandoc", []string{"-Tlint", "-Wwarning"}, false},
	} {
		t.Run(reader.name, func(t *testing.T) {
			if _, err := exec.LookPath(reader.name); err != nil {
				t.Skip(reader.name + " is not installed")
			}
			for _, name := range names {
				command := exec.CommandContext(t.Context(), reader.name, append(slices.Clone(reader.args), name)...)
				command.Dir = dir
				command.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANWIDTH=80", "MANROFFOPT=-P-c -P-b -P-u")
				var stdout, stderr bytes.Buffer
				command.Stdout, command.Stderr = &stdout, &stderr
				if err := command.Run(); err != nil || stderr.Len() > 0 {
					t.Errorf("%s: %v\n%s%s", name, err, stdout.String(), stderr.String())
				}
				for line := range strings.Lines(stdout.String()) {
					line = strings.TrimRight(line, "\n")
					if reader.shows && utf8.RuneCountInString(line) > maxColumns {
						t.Errorf("%s is wider than %d columns: %s", name, maxColumns, line)
					}
				}
			}
		})
	}
}

// TestManPageText holds one page against what man shows of it.
func TestManPageText(t *testing.T) {
	if _, err := exec.LookPath("man"); err != nil {
		t.Skip("man is not installed")
	}
	page := filepath.Join(t.TempDir(), "tokenfetch-zeepay.1")
	text := manPages(t, time.Date(2001, 2, 3, 0, 0, 0, 0, time.UTC), "1.2.3")["tokenfetch-zeepay.1"]
	if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "man", "-E", "ascii", "-l", "-Tascii", page)
	command.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANWIDTH=80", "MAN_KEEP_FORMATTING=", "GROFF_NO_SGR=1")
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile(`.\x08`).ReplaceAllString(string(out), "")
	for _, want := range []string{
		"tokenfetch-zeepay - fetch a token from Zeepay\n",
		"tokenfetch zeepay[/PROFILE] [flags]\n",
		"       profile looks like:\n\n           [zeepay.default]\n",
		"           client_secret  TOKENFETCH_ZEEPAY_CLIENT_SECRET\n",
		"           client_id   = \"42\"\n",
		"       -o, --output FORMAT\n              print the token as FORMAT: text, json, export, fish, powershell,\n",
		"tokenfetch 1.2.3 ", " 2001-02-03 ",
		"\nSEE ALSO\n       tokenfetch(1), tokenfetch-ci(7), tokenfetch-scripts(7)",
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("the page does not show %q:\n%s", want, shown)
			break
		}
	}
}

// wholeTree returns the root command with all commands of all providers.
func wholeTree(t *testing.T) *cobra.Command {
	t.Helper()
	r := builtinRun()
	root := r.newRoot()
	r.addCommands(root)
	for _, d := range builtins(t) {
		root.AddCommand(r.newProvider(d))
	}
	walk(root, func(c *cobra.Command) { c.InitDefaultHelpFlag() })
	return root
}

// walk calls f for a command and all that are there for people below it.
func walk(c *cobra.Command, f func(*cobra.Command)) {
	f(c)
	for _, below := range available(c) {
		walk(below, f)
	}
}

// pageName is the name of a command's page, without its section.
func pageName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

// manPages returns the pages by the names of their files.
func manPages(t *testing.T, day time.Time, version string) map[string]string {
	t.Helper()
	r := builtinRun()
	root := wholeTree(t)
	pages := map[string]string{}
	begin := func(name, section, short string) *strings.Builder {
		var b strings.Builder
		fmt.Fprintf(&b, ".TH %s %s %s \"tokenfetch %s\" \"tokenfetch manual\"\n", strings.ToUpper(roff(name)), section, day.Format(time.DateOnly), version)
		b.WriteString(".nh\n.ad l\n") // names of pages and addresses stay whole
		fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(name), roff(short))
		return &b
	}
	walk(root, func(c *cobra.Command) {
		b := begin(pageName(c), "1", c.Short)
		text, rest, _ := strings.Cut(r.helpOf(c), "\n\nUsage:\n")
		usage, _, _ := strings.Cut(rest, "\n\n")
		b.WriteString(".SH SYNOPSIS\n")
		for i, line := range strings.Split(strings.TrimRight(usage, "\n"), "\n") {
			if i > 0 {
				b.WriteString(".br\n")
			}
			b.WriteString(synopsis(c, strings.TrimSpace(line)) + "\n")
		}
		b.WriteString(".SH DESCRIPTION\n" + roffText(text))
		if commands := available(c); len(commands) > 0 {
			b.WriteString(".SH COMMANDS\n")
			for _, below := range commands {
				fmt.Fprintf(b, ".TP\n\\fB%s\\fR(1)\n%s\n", roff(pageName(below)), roff(below.Short))
			}
		}
		b.WriteString(".SH OPTIONS\n" + options(c.LocalFlags()))
		if c.HasParent() {
			b.WriteString(".SS Options of every command\n" + options(c.InheritedFlags()))
		}
		if c.Example != "" {
			b.WriteString(".SH EXAMPLES\n" + roffText(c.Example))
		}
		if guide := r.guide(c.Name()); guide != "" {
			b.WriteString(".SH GUIDE\n" + roffGuide(parseMarkdown(guide), 1))
		}
		if !c.HasParent() {
			aboutAll(t, r, b)
		}
		b.WriteString(".SH SEE ALSO\n" + seeAlso(c) + "\n")
		pages[pageName(c)+".1"] = b.String()
	})
	for _, topic := range topics() {
		name := "tokenfetch-" + topic.name
		b := begin(name, "7", topic.short)
		fmt.Fprintf(b, ".SH DESCRIPTION\n%s.SH SEE ALSO\n\\fBtokenfetch\\fR(1)\n", roffGuide(parseMarkdown(r.guide(topic.name)), 0))
		pages[name+".7"] = b.String()
	}
	return pages
}

// aboutAll writes what only the page of the program itself says.
func aboutAll(t *testing.T, r *run, b *strings.Builder) {
	t.Helper()
	b.WriteString(".SH EXIT STATUS\n" + roffGuide(parseMarkdown(r.guide("exit-codes")), 0))
	b.WriteString(".SH ENVIRONMENT\nThe variables are listed in \\fBtokenfetch\\-environment\\fR(7).\n")
	lookup := func(name string) (string, bool) {
		if name == "HOME" {
			return "/HOME", true
		}
		return "", false
	}
	profiles, err := profile.Path(lookup)
	if err != nil {
		t.Fatal(err)
	}
	dirs := tokenfetch.New(tokenfetch.Options{Environ: []string{"HOME=/HOME"}}).Dirs()
	b.WriteString(".SH FILES\n")
	for _, file := range [][2]string{
		{profiles, "the profiles; $TOKENFETCH_CONFIG or --config names another file"},
		{dirs.Cache, "sealed tokens; in $XDG_CACHE_HOME if that is set"},
		{dirs.State, "fingerprints of refused credentials; in $XDG_STATE_HOME if that is set"},
	} {
		path := strings.Replace(filepath.ToSlash(file[0]), "/HOME", "~", 1)
		fmt.Fprintf(b, ".TP\n\\fI%s\\fR\n%s\n", roff(path), roff(file[1]))
	}
}

// seeAlso leads up, and to the topics.
func seeAlso(c *cobra.Command) string {
	var pages []string
	for parent := c.Parent(); parent != nil; parent = parent.Parent() {
		pages = append(pages, `\fB`+roff(pageName(parent))+`\fR(1)`)
	}
	for _, topic := range topics() {
		pages = append(pages, `\fB`+roff("tokenfetch-"+topic.name)+`\fR(7)`)
	}
	return strings.Join(pages, ",\n")
}

// synopsis is a line of usage: the command in bold, what stands for something
// else in italics.
func synopsis(c *cobra.Command, line string) string {
	rest := strings.TrimPrefix(line, c.CommandPath())
	return `\fB` + roff(c.CommandPath()) + `\fR` + regexp.MustCompile(`[A-Z]{2,}|flags`).ReplaceAllString(roff(rest), `\fI$0\fR`)
}

// flagLine is a line of pflag's table: the flag, the word for its value, the
// meaning.
var flagLine = regexp.MustCompile(`^ +((?:-\w, )?--[a-z][a-z-]*)(?: (\S+))? {2,}(\S.*)$`)

// options lists flags as the help texts do.
func options(flags *pflag.FlagSet) string {
	var b strings.Builder
	for line := range strings.Lines(flags.FlagUsages()) {
		m := flagLine.FindStringSubmatch(strings.TrimRight(line, "\n"))
		if m == nil {
			panic("this is no line of a table of flags: " + line)
		}
		b.WriteString(".TP\n\\fB" + strings.ReplaceAll(roff(m[1]), ", ", `\fR, \fB`) + `\fR`)
		if m[2] != "" {
			b.WriteString(` \fI` + roff(m[2]) + `\fR`)
		}
		b.WriteString("\n" + roff(m[3]) + "\n")
	}
	return b.String()
}

// roffGuide sets a guide. Its title is left out; its headings are sections, or
// that many levels lower.
func roffGuide(parts []part, lower int) string {
	var b strings.Builder
	begun := false // something is above that needs a distance
	for _, p := range parts {
		switch p.kind {
		case heading:
			if p.level > 1 {
				macro := ".SH "
				if p.level+lower > 2 {
					macro = ".SS "
				}
				b.WriteString(macro + roffLine(p.text) + "\n")
				begun = false
			}
			continue
		case paragraph:
			if begun {
				b.WriteString(".PP\n")
			}
			b.WriteString(roffLine(p.text) + "\n")
		case item:
			b.WriteString(".IP \\(bu 2\n" + roffLine(p.text) + "\n")
		case fence:
			if begun {
				b.WriteString(".PP\n")
			}
			b.WriteString(roffCode(p.text))
		case table:
			for _, row := range p.rows[1:] {
				b.WriteString(".TP\n\\fB" + strings.ReplaceAll(roffLine(row[0]), `\fR`, `\fB`) + "\\fR\n")
				for i, cell := range row[1:] {
					if i > 0 {
						b.WriteString(".br\n")
					}
					if len(row) > 2 {
						cell = p.rows[0][i+1] + ": " + cell
					}
					b.WriteString(roffLine(cell) + "\n")
				}
			}
		}
		begun = true
	}
	return b.String()
}

// roffLine sets a line of a guide: code and bold text in bold.
func roffLine(text string) string {
	var b strings.Builder
	for _, s := range inlines(text) {
		switch s.style {
		case plain:
			b.WriteString(s.text)
		case bold, literal:
			b.WriteString("\x01" + s.text + "\x02")
		case link:
			b.WriteString(s.text)
			if guide, address := destination(s.target); address != "" {
				b.WriteString(" (" + address + ")")
			} else if guide == "emulator" { // the guide of a command
				b.WriteString(" (\x01tokenfetch-emulator\x02(1))")
			} else if guide != "" {
				b.WriteString(" (\x01tokenfetch-" + guide + "\x02(7))")
			}
		}
	}
	return strings.NewReplacer("\x01", `\fB`, "\x02", `\fR`).Replace(roff(b.String()))
}

// roffText sets a help text: lines that begin at the margin are filled,
// indented ones stand as they are, in a block of their own.
func roffText(text string) string {
	var b strings.Builder
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	indented := func(line string) bool { return strings.HasPrefix(line, " ") }
	for i, blank := 0, false; i < len(lines); {
		switch line := lines[i]; {
		case line == "":
			blank = true
			i++
			continue
		case indented(line):
			from := i
			for i < len(lines) && (lines[i] == "" || indented(lines[i])) {
				i++
			}
			if blank && from > 0 {
				b.WriteString(".sp\n")
			}
			b.WriteString(roffCode(dedent(lines[from:i])))
			blank = lines[i-1] == ""
		default:
			if blank || i > 0 && indented(lines[i-1]) {
				b.WriteString(".PP\n")
			}
			b.WriteString(roff(line) + "\n")
			blank = false
			i++
		}
	}
	return b.String()
}

// roffCode sets lines as they are, and indents them as far as the page is wide enough:
// a long address begins to the left of the text.
func roffCode(text string) string {
	longest := 0
	for line := range strings.Lines(text) {
		longest = max(longest, len(strings.TrimRight(line, "\n")))
	}
	return fmt.Sprintf(".RS %d\n.nf\n%s.fi\n.RE\n", min(4, codeColumns-longest), roff(text))
}

// dedent removes the spaces that all lines begin with, and empty lines at the
// end.
func dedent(lines []string) string {
	text := strings.TrimRight(strings.Join(lines, "\n"), "\n") + "\n"
	for !regexp.MustCompile(`(?m)^[^ \n]`).MatchString(text) {
		text = regexp.MustCompile(`(?m)^ `).ReplaceAllString(text, "")
	}
	return text
}

// roff writes text so that it is shown as it is.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`).Replace(text)
	text = regexp.MustCompile(`(?m)^\.`).ReplaceAllString(text, `\&.`)
	// A long address may be broken behind a slash.
	return regexp.MustCompile(`://\S+`).ReplaceAllStringFunc(text, func(address string) string {
		return "://" + strings.ReplaceAll(address[len("://"):], "/", `/\:`)
	})
}
