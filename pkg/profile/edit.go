package profile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/source"
)

// Setting is one key of a profile with its new value: a literal string in Text, or
// the file, variable or command that provides it. If all are empty, the key is removed.
type Setting struct {
	Key, Text string
	File, Env string
	Command   []string
}

// With returns the file with the settings in the table of the profile name of
// provider. It replaces existing keys, adds new keys after them, and appends a
// missing table at the end of the file, below comment if that is not empty. Comments
// at the end of a line and all other bytes stay unchanged. It does not write the
// file: see [File.Save].
func (f *File) With(provider, name string, settings []Setting, comment string) (*File, error) {
	lines := bytes.SplitAfter(f.data, []byte("\n"))
	table, found := f.section(provider, name)
	end := lineEnd(lines[0])
	if !found {
		if f.has(provider, name) {
			return nil, f.notATable(provider, name)
		}
		return f.changed(provider, name, slices.Concat(f.raw, f.appended(provider+"."+name, settings, comment, end)))
	}
	var inserted []byte
	replaced := map[int][]byte{} // keyed by the first line
	for _, s := range settings {
		line := s.line(0)
		for i, e := range table.entries {
			if e.key != s.Key {
				continue
			}
			replaced[e.first] = nil
			for j := e.first + 1; j < e.end; j++ {
				replaced[j] = nil
			}
			if i == table.index(s.Key) && !e.table && line != "" {
				first := lines[e.first]
				indent := first[:len(first)-len(bytes.TrimLeft(first, " \t"))]
				replaced[e.first] = slices.Concat(indent, []byte(line), lineComment(lines[e.first:e.end]), []byte(end))
				line = ""
			}
		}
		if line != "" {
			inserted = append(inserted, line+end...)
		}
	}
	text := f.mark()
	for i, line := range lines {
		if i == table.insertAt {
			text = append(text, inserted...)
		}
		if by, ok := replaced[i]; ok {
			line = by
		}
		text = append(text, line...)
	}
	if table.insertAt >= len(lines) && inserted != nil { // the last line has no line ending
		text = append(closed(text, end), inserted...)
	}
	return f.changed(provider, name, text)
}

// WithCacheKey returns the file, which must not have a cache_key, with one that names
// the file at path. All other bytes stay unchanged. It does not write the file: see
// [File.Save].
func (f *File) WithCacheKey(path string) (*File, error) {
	lines := bytes.SplitAfter(f.data, []byte("\n"))
	end, setting := lineEnd(lines[0]), Setting{Key: CacheKey, File: path}
	for _, e := range f.expressions() {
		if !e.header || !slices.Equal(e.key, []string{own}) {
			continue
		}
		text := closed(append(f.mark(), bytes.Join(lines[:e.end], nil)...), end)
		text = append(text, setting.line(0)+end...)
		return f.changed(own, CacheKey, append(text, bytes.Join(lines[e.end:], nil)...))
	}
	return f.changed(own, CacheKey, slices.Concat(f.raw, f.appended(own, []Setting{setting}, "", end)))
}

// Without returns the file without the table of a profile. All other bytes stay
// unchanged. It does not write the file: see [File.Save].
func (f *File) Without(provider, name string) (*File, error) {
	if !f.has(provider, name) {
		return f, nil
	}
	table, found := f.section(provider, name)
	if !found {
		return nil, f.notATable(provider, name)
	}
	text := f.mark()
	for i, line := range bytes.SplitAfter(f.data, []byte("\n")) {
		if !slices.ContainsFunc(table.spans, func(s [2]int) bool { return s[0] <= i && i < s[1] }) {
			text = append(text, line...)
		}
	}
	return f.changed(provider, name, text)
}

// Lock waits until no other process changes the file, and locks it, see
// [source.Lock]. The error is the cause of ctx, or a [*failure.Error].
func (f *File) Lock(ctx context.Context) (unlock func(), err error) {
	unlock, err = source.Lock(ctx, f.Path)
	return unlock, writing(err)
}

// Save writes the file. If the file has changed since it was read, it returns an
// error instead, see [source.Update]. The error is a [*failure.Error].
func (f *File) Save() error { return writing(source.Update(f.Path, f.read, f.raw)) }

// CheckSave reports whether [File.Save] would succeed, as far as it can tell without
// changing anything.
func (f *File) CheckSave() error { return writing(source.CheckWrite(f.Path, f.raw)) }

func writing(err error) error {
	e, ok := errors.AsType[*failure.Error](err)
	if !ok {
		return err
	}
	code := failure.ProfilesUnwritable
	if e.Code == failure.FilePermissions {
		code = failure.ProfilesPermissions
	}
	return failure.New(code, "the profiles file is not changed: %s", e.Message).WithHint("%s", e.Hint)
}

func (f *File) has(provider, name string) bool {
	return slices.Contains(f.Names(provider), name)
}

// notATable returns the error for a profile in a notation that cannot be changed
// without changing other profiles.
func (f *File) notATable(provider, name string) error {
	return f.invalid(fmt.Sprintf("the profile is not written as a table [%s.%s] of its own, so that it cannot be changed here", provider, name), provider, name).
		WithHint("change it by hand, or give it a table of its own")
}

// changed returns the file with the new text. It returns an error if the content of
// anything but the given profile would change.
func (f *File) changed(provider, name string, text []byte) (*File, error) {
	next := *f
	next.Exists, next.readable = true, false // Save makes it private
	if err := next.take(text); err != nil || !reflect.DeepEqual(f.others(provider, name), next.others(provider, name)) {
		return nil, f.invalid("the file is written in a form that cannot be changed here", provider, name).
			WithHint("change it by hand, or write each profile as a table such as [%s.%s]", provider, name)
	}
	return &next, nil
}

// others returns the content of the file without one profile.
func (f *File) others(provider, name string) map[string]any {
	all := map[string]any{}
	for key, value := range f.tables {
		profiles, ok := value.(map[string]any)
		if key != provider || !ok {
			all[key] = value
			continue
		}
		for other, table := range profiles {
			if other != name {
				all[key+"."+other] = table
			}
		}
	}
	return all
}

// appended returns the text that adds a table to the end of the file.
func (f *File) appended(name string, settings []Setting, comment, end string) []byte {
	var text []byte
	if len(f.data) > 0 {
		text = closed(f.raw, end)[len(f.raw):]
		if !bytes.HasSuffix(f.raw, []byte("\n"+end)) {
			text = append(text, end...)
		}
	}
	text = fmt.Appendf(text, "[%s]%s", name, end)
	if comment != "" {
		text = append(text, "# "+comment+end...)
	}
	width := 0
	for _, s := range settings {
		if s.line(0) != "" {
			width = max(width, len(s.Key))
		}
	}
	for _, s := range settings {
		if line := s.line(width); line != "" {
			text = append(text, line+end...)
		}
	}
	return text
}

// mark returns the byte order mark, if the file starts with one.
func (f *File) mark() []byte { return bytes.Clone(f.raw[:len(f.raw)-len(f.data)]) }

// closed returns text, with a line ending added if the last line has none.
func closed(text []byte, end string) []byte {
	if len(text) == 0 || bytes.HasSuffix(text, []byte("\n")) || string(text) == byteOrderMark {
		return text
	}
	return append(bytes.Clone(text), end...)
}

// lineEnd returns the line ending of line.
func lineEnd(line []byte) string {
	if bytes.HasSuffix(line, []byte("\r\n")) {
		return "\r\n"
	}
	return "\n"
}

// line returns the setting in TOML, with the key padded to width. It returns "" if
// the setting removes the key.
func (s Setting) line(width int) string {
	key := fmt.Sprintf("%-*s = ", width, s.Key)
	switch {
	case s.Text != "":
		return key + quote(s.Text)
	case s.File != "":
		return key + "{ file = " + quote(s.File) + " }"
	case s.Env != "":
		return key + "{ env = " + quote(s.Env) + " }"
	case s.Command != nil:
		words := make([]string, len(s.Command))
		for i, word := range s.Command {
			words[i] = quote(word)
		}
		return key + "{ command = [" + strings.Join(words, ", ") + "] }"
	}
	return ""
}

// quote returns text as a TOML basic string.
func quote(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range text {
		switch {
		case c == '"', c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c < ' ', c == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, c)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// section is the position of the table of a profile. Lines are counted from 0.
type section struct {
	insertAt int      // the line after its last key
	entries  []entry  // its keys
	spans    [][2]int // lines of the table and its subtables: the first, and the one after the last
}

// entry is a key of a profile. It has one or more lines, or is a subtable.
type entry struct {
	key        string
	table      bool
	first, end int
}

// index returns the index of the first entry with the key that is not a table.
func (s *section) index(key string) int {
	return slices.IndexFunc(s.entries, func(e entry) bool { return e.key == key && !e.table })
}

// expression is a table header, or a key with its value.
type expression struct {
	header     bool
	key        []string
	first, end int // its lines
}

// expressions returns all expressions of the file. Comments and blank lines are not
// expressions.
func (f *File) expressions() []expression {
	var all []expression
	var parser unstable.Parser
	parser.Reset(f.data)
	for parser.NextExpression() {
		e := expression{header: parser.Expression().Kind != unstable.KeyValue}
		for it := parser.Expression().Key(); it.Next(); {
			if e.key == nil {
				e.first = parser.Shape(it.Node().Raw).Start.Line - 1
			}
			e.key = append(e.key, string(it.Node().Data))
		}
		e.end = e.first + 1
		all = append(all, e)
	}
	lines := bytes.SplitAfter(f.data, []byte("\n"))
	for i := range all {
		next := len(lines)
		if i+1 < len(all) {
			next = all[i+1].first
		}
		if e := &all[i]; !e.header && next > e.end && !complete(lines[e.first:e.end]) {
			// A value with several lines includes the comments and blank lines
			// inside it, but not those after it.
			for e.end = next; blank(lines[e.end-1]) && complete(lines[e.first:e.end-1]); e.end-- {
			}
		}
	}
	return all
}

// lineComment returns the comment at the end of the last line of a value, with the
// spaces before it.
func lineComment(lines [][]byte) []byte {
	text := bytes.TrimRight(bytes.Join(lines, nil), "\r\n")
	for i := bytes.LastIndexByte(text, '\n') + 1; i < len(text); i++ {
		if text[i] == '#' && complete([][]byte{text[:i]}) { // not inside a string
			return text[len(bytes.TrimRight(text[:i], " \t")):]
		}
	}
	return nil
}

func blank(line []byte) bool {
	line = bytes.TrimSpace(line)
	return len(line) == 0 || line[0] == '#'
}

// complete reports whether the lines are valid TOML on their own.
func complete(lines [][]byte) bool {
	var value map[string]any
	return toml.Unmarshal(bytes.Join(lines, nil), &value) == nil
}

// section finds the table [provider.name] and its subtables.
func (f *File) section(provider, name string) (section, bool) {
	var s section
	found := false
	var path []string
	for _, e := range f.expressions() {
		if e.header {
			path = e.key
		}
		if len(path) < 2 || path[0] != provider || path[1] != name {
			continue
		}
		switch {
		case !e.header && len(path) == 2:
			s.entries = append(s.entries, entry{e.key[0], false, e.first, e.end})
			s.insertAt = e.end
		case !e.header:
			s.entries[len(s.entries)-1].end = e.end
		case len(path) == 2:
			found = true
			s.insertAt = e.end
		default:
			s.entries = append(s.entries, entry{path[2], true, e.first, e.end})
		}
		if e.header {
			s.spans = append(s.spans, [2]int{e.first, e.end})
		}
		s.spans[len(s.spans)-1][1] = e.end
	}
	return s, found
}
