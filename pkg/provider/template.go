package provider

import (
	"errors"
	"slices"
	"strings"
)

// Template is a string in which {FIELD} is replaced by the value of a field. {{ and
// }} are literal braces.
type Template []piece

// piece is either literal text or the name of a field.
type piece struct{ text, field string }

// constant returns a template of literal text only.
func constant(text string) Template { return Template{{text: text}} }

// ofField returns the template {FIELD}.
func ofField(name string) Template { return Template{{field: name}} }

var errBraces = errors.New("a brace stands alone: write {FIELD} for the value of a field, {{ and }} for braces")

// parseTemplate parses a template. It does not check that the fields exist.
func parseTemplate(text string) (Template, error) {
	var t Template
	var plain strings.Builder
	for text != "" {
		i := strings.IndexAny(text, "{}")
		if i < 0 {
			i = len(text)
		}
		plain.WriteString(text[:i])
		switch text = text[i:]; {
		case text == "":
		case strings.HasPrefix(text, "{{"), strings.HasPrefix(text, "}}"):
			plain.WriteByte(text[0])
			text = text[2:]
		default:
			name, rest, ok := strings.Cut(text[1:], "}")
			if text[0] == '}' || !ok || !fieldName(name) {
				return nil, errBraces
			}
			if plain.Len() > 0 {
				t = append(t, piece{text: plain.String()})
				plain.Reset()
			}
			t, text = append(t, piece{field: name}), rest
		}
	}
	if plain.Len() > 0 || t == nil {
		t = append(t, piece{text: plain.String()})
	}
	return t, nil
}

// Fields returns the names of the fields that t mentions, without duplicates, in the
// order of their first occurrence.
func (t Template) Fields() []string {
	var names []string
	for _, p := range t {
		if p.field != "" && !slices.Contains(names, p.field) {
			names = append(names, p.field)
		}
	}
	return names
}

// Text returns t with each field replaced by value(FIELD).
func (t Template) Text(value func(field string) string) string {
	var b strings.Builder
	for _, p := range t {
		if p.field != "" {
			b.WriteString(value(p.field))
		} else {
			b.WriteString(p.text)
		}
	}
	return b.String()
}

// String returns t as in a definition, but with literal braces not doubled.
func (t Template) String() string {
	return t.Text(func(field string) string { return "{" + field + "}" })
}

// reveal returns the text with the values of the fields. given is false if an
// optional field in it has no value.
func (t Template) reveal(values Values) (text string, given bool) {
	given = !slices.ContainsFunc(t.Fields(), func(field string) bool {
		_, ok := values[field]
		return !ok
	})
	return t.Text(func(field string) string { return values[field].Reveal() }), given
}
