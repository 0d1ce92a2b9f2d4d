package cmd

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
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

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// The manual pages are made here and not by the program: it would carry what
// only a release needs. They consist of the help texts and the guides.

var (
	manDir     = flag.String("man", "", "write the manual pages into this `directory`, dated SOURCE_DATE_EPOCH")
	manVersion = flag.String("man-version", "dev", "the `version` that the manual pages name")
)

// TestManPages checks the manual pages: there is one for every command and
// topic, with every flag, and the programs that read such pages find no fault.
// With -man it also writes them.
func TestManPages(t *testing.T) {
	t.Parallel()
	day, dir := time.Date(2001, 2, 3, 23, 59, 59, 0, time.UTC), t.TempDir()
	if *manDir != "" {
		seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
		if err != nil {
			t.Fatal("SOURCE_DATE_EPOCH must say the date of the pages, in seconds")
		}
		day, dir = time.Unix(seconds, 0).UTC(), *manDir
	}
	pages := manPages(t, day, *manVersion)
	check.Same(t, "made twice the pages differ (-first +second)", pages, manPages(t, day, *manVersion))
	var names []string
	for _, topic := range topics() {
		names = append(names, "tokenfetch-"+topic.name+".7")
	}
	walk(wholeTree(t), func(c *cobra.Command) {
		name := pageName(c) + ".1"
		names = append(names, name)
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && !regexp.MustCompile(`(?m)^\\fB.*`+regexp.QuoteMeta(roff("--"+f.Name))+`\b`).MatchString(pages[name]) {
				t.Errorf("%s has no entry for --%s", name, f.Name)
			}
		})
		if c.HasParent() && !strings.Contains(pages[pageName(c.Parent())+".1"], roff(pageName(c))+`\fR(1)`) {
			t.Errorf("the page of %s does not lead to %s", c.Parent().CommandPath(), name)
		}
	})
	slices.Sort(names)
	check.Same(t, "the pages there should be and the pages there are", names, slices.Sorted(maps.Keys(pages)))
	for name, page := range pages {
		check.OK(t, os.WriteFile(filepath.Join(dir, name), []byte(page), 0o644))
	}
	if *manDir == "" {
		readManPages(t, dir, names)
	}
}

// readManPages has the pages read by the programs that show them.
func readManPages(t *testing.T, dir string, names []string) {
	for reader, args := range map[string][]string{
		"man":    {"--warnings", "-E", "UTF-8", "-l", "-Tutf8"},
		"mandoc": {"-Tlint", "-Wwarning"},
	} {
		t.Run(reader, func(t *testing.T) {
			if _, err := exec.LookPath(reader); err != nil {
				t.Skip(reader + " is not installed")
			}
			for _, name := range names {
				command := exec.CommandContext(t.Context(), reader, append(slices.Clone(args), name)...)
				command.Dir = dir
				command.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANWIDTH=80", "MANROFFOPT=-P-c -P-b -P-u", "MAN_KEEP_FORMATTING=")
				var stdout, stderr bytes.Buffer
				command.Stdout, command.Stderr = &stdout, &stderr
				if err := command.Run(); err != nil || stderr.Len() > 0 {
					t.Errorf("%s: %v\n%s%s", name, err, stdout.String(), stderr.String())
				}
				if reader != "man" {
					continue
				}
				for line := range strings.Lines(stdout.String()) {
					if utf8.RuneCountInString(strings.TrimRight(line, "\n")) > maxColumns {
						t.Errorf("%s is wider than %d columns: %s", name, maxColumns, line)
					}
				}
				if name != "tokenfetch-zeepay.1" {
					continue
				}
				for _, want := range []string{
					"tokenfetch-zeepay - fetch a token from Zeepay\n",
					"tokenfetch zeepay[/PROFILE] [flags]\n",
					"       profile looks like:\n\n           [zeepay.default]\n",
					"           client_id   = \"42\"\n",
					"           client_secret  TOKENFETCH_ZEEPAY_CLIENT_SECRET\n",
					"       -o, --output FORMAT\n              print the token as FORMAT: text, json, export, fish, powershell,\n",
					"tokenfetch dev ", " 2001-02-03 ",
					"\nSEE ALSO\n       tokenfetch(1), tokenfetch-ci(7), tokenfetch-scripts(7)",
				} {
					if !strings.Contains(stdout.String(), want) {
						t.Fatalf("the page does not show %q:\n%s", want, stdout.String())
					}
				}
			}
		})
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
	pages := map[string]string{}
	add := func(name, section, short string, parts []part) {
		pages[name+"."+section] = fmt.Sprintf(".TH %s %s %s \"tokenfetch %s\" \"tokenfetch manual\"\n", strings.ToUpper(roff(name)), section, day.Format(time.DateOnly), version) +
			".nh\n.ad l\n" + // names of pages and addresses stay whole
			fmt.Sprintf(".SH NAME\n%s \\- %s\n", roff(name), roff(short)) + roffParts(parts)
	}
	walk(wholeTree(t), func(c *cobra.Command) {
		text, rest, _ := strings.Cut(r.helpOf(c), "\n\nUsage:\n")
		usage, _, _ := strings.Cut(rest, "\n\n")
		parts := append([]part{section("synopsis"), {kind: fence, text: strings.TrimRight(usage, "\n") + "\n"}, section("description")}, helpParts(text)...)
		var commands [][]string
		for _, below := range available(c) {
			commands = append(commands, []string{code(pageName(below)) + "(1)", below.Short})
		}
		parts = append(parts, entries("commands", commands)...)
		parts = append(parts, entries("options", flagRows(c.LocalFlags()))...)
		if c.HasParent() {
			parts = append(parts, entries("options of every command", flagRows(c.InheritedFlags()))...)
		}
		if c.Example != "" {
			parts = append(append(parts, section("examples")), helpParts(c.Example)...)
		}
		if guide := r.guide(c.Name()); guide != "" {
			for _, p := range append([]part{section("guide")}, parseMarkdown(guide)[1:]...) { // its title is no section
				if p.kind == heading && p.text != "GUIDE" {
					p.level = 3
				}
				parts = append(parts, p)
			}
		}
		if !c.HasParent() {
			parts = append(parts, aboutAll(t, r)...)
		}
		var also []string
		for parent := c.Parent(); parent != nil; parent = parent.Parent() {
			also = append(also, code(pageName(parent))+"(1)")
		}
		for _, topic := range topics() {
			also = append(also, code("tokenfetch-"+topic.name)+"(7)")
		}
		add(pageName(c), "1", c.Short, append(parts, section("see also"), part{text: strings.Join(also, ", ")}))
	})
	for _, topic := range topics() {
		add("tokenfetch-"+topic.name, "7", topic.short, slices.Concat(
			[]part{section("description")}, parseMarkdown(r.guide(topic.name))[1:], []part{section("see also"), {text: "`tokenfetch`(1)"}}))
	}
	return pages
}

// aboutAll is what only the page of the program itself says.
func aboutAll(t *testing.T, r *run) []part {
	t.Helper()
	profiles, err := profile.Path(func(name string) (string, bool) {
		if name == "HOME" {
			return "/HOME", true
		}
		return "", false
	})
	check.OK(t, err)
	dirs := tokenfetch.New(tokenfetch.Options{Environ: []string{"HOME=/HOME"}}).Dirs()
	home := func(path string) string { return code(strings.Replace(filepath.ToSlash(path), "/HOME", "~", 1)) }
	return slices.Concat(
		[]part{section("exit status")}, parseMarkdown(r.guide("exit-codes"))[1:],
		[]part{section("environment"), {text: "The variables are listed in `tokenfetch-environment`(7)."}},
		entries("files", [][]string{
			{home(profiles), "the profiles; $TOKENFETCH_CONFIG or --config names another file"},
			{home(dirs.Cache), "sealed tokens; in $XDG_CACHE_HOME if that is set"},
			{home(dirs.State), "fingerprints of refused credentials; in $XDG_STATE_HOME if that is set"},
		}))
}

func section(title string) part { return part{kind: heading, level: 2, text: strings.ToUpper(title)} }

// entries is a section of names with their meanings, nothing if there are none.
func entries(title string, rows [][]string) []part {
	if len(rows) == 0 {
		return nil
	}
	return []part{section(title), {kind: table, rows: append([][]string{nil}, rows...)}}
}

// flagLine is a line of pflag's table: the flag, the word for its value, the
// meaning.
var flagLine = regexp.MustCompile(`^ +((?:-\w, )?--[a-z][a-z-]*)(?: (\S+))? {2,}(\S.*)$`)

func flagRows(flags *pflag.FlagSet) (rows [][]string) {
	for line := range strings.Lines(flags.FlagUsages()) {
		m := flagLine.FindStringSubmatch(strings.TrimRight(line, "\n"))
		if m == nil {
			panic("this is no line of a table of flags: " + line)
		}
		rows = append(rows, []string{strings.TrimSpace(code(m[1]) + " " + m[2]), m[3]})
	}
	return rows
}

// helpParts splits a help text: lines that begin at the margin are paragraphs,
// indented ones code.
func helpParts(text string) (parts []part) {
	var open *part
	for line := range strings.Lines(text) {
		kind := paragraph
		if strings.HasPrefix(line, "  ") {
			kind, line = fence, line[2:]
		}
		switch {
		case line == "\n" && open != nil && open.kind == fence:
		case line == "\n":
			open = nil
			continue
		case open == nil || open.kind != kind:
			parts = append(parts, part{kind: kind})
			open = &parts[len(parts)-1]
		}
		open.text += line
	}
	return parts
}

// roffParts sets a text.
func roffParts(parts []part) string {
	var b strings.Builder
	begun := false // something is above that needs a distance
	for _, p := range parts {
		if begun && (p.kind == paragraph || p.kind == fence) {
			b.WriteString(".PP\n")
		}
		begun = p.kind != heading
		switch p.kind {
		case heading:
			b.WriteString(map[bool]string{true: ".SH ", false: ".SS "}[p.level <= 2] + roffLine(p.text) + "\n")
		case paragraph:
			b.WriteString(strings.TrimRight(roffLine(p.text), "\n") + "\n")
		case item:
			b.WriteString(".IP \\(bu 2\n" + roffLine(p.text) + "\n")
		case fence:
			b.WriteString(roffCode(strings.TrimRight(p.text, "\n") + "\n"))
		case table:
			for _, row := range p.rows[1:] {
				b.WriteString(".TP\n" + roffLine(row[0]) + "\n")
				for i, cell := range row[1:] {
					if len(row) > 2 {
						cell = p.rows[0][i+1] + ": " + cell
					}
					b.WriteString(strings.Repeat(".br\n", min(i, 1)) + roffLine(cell) + "\n")
				}
			}
		}
	}
	return b.String()
}

// roffLine sets a line: code and bold text in bold.
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

// roffCode sets lines as they are, and indents them as far as the page is wide enough:
// a long address begins to the left of the text.
func roffCode(text string) string {
	longest := 0
	for line := range strings.Lines(text) {
		longest = max(longest, len(strings.TrimRight(line, "\n")))
	}
	return fmt.Sprintf(".RS %d\n.nf\n%s.fi\n.RE\n", min(4, codeColumns-longest), roff(text))
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
