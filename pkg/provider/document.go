package provider

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2/unstable"
)

// node is a TOML value. Unlike a decoded struct or map, it keeps the order of the
// keys and the position of each value.
type node struct {
	offset int           // of the first byte in the document
	kind   unstable.Kind // String, Integer, Float, Bool, Array, Table, or a date or time
	text   string        // of a scalar: the decoded string, or the source text
	pairs  []pair        // of a table, in document order
	items  []*node       // of an array
	// These flags control which later parts of the document may extend the node.
	explicit, closed, tables bool
	// asked contains the keys that a reader has requested, see get.
	asked []string
}

type pair struct {
	key   string
	value *node
}

func newTable(offset int) *node {
	return &node{offset: offset, kind: unstable.Table, pairs: make([]pair, 0, 4)}
}

// value returns the value of a key, or nil. A linear search is enough: the size of a
// definition is limited, so tables are small.
func (n *node) value(key string) *node {
	for i := range n.pairs {
		if n.pairs[i].key == key {
			return n.pairs[i].value
		}
	}
	return nil
}

// syntaxError is an error at a position in a document.
type syntaxError struct {
	offset int
	text   string
}

func (e *syntaxError) Error() string { return e.text }

// parseDocument parses TOML into a tree. The error is a *syntaxError.
func parseDocument(data []byte) (*node, error) {
	if !utf8.Valid(data) {
		return nil, &syntaxError{0, "not UTF-8 text"}
	}
	b := builder{root: newTable(0)}
	b.current = b.root
	b.parser.Reset(data)
	for b.parser.NextExpression() {
		if err := b.add(b.parser.Expression()); err != nil {
			return nil, err
		}
	}
	if err := b.parser.Error(); err != nil {
		offset := 0
		if e, ok := errors.AsType[*unstable.ParserError](err); ok && len(e.Highlight) > 0 {
			offset = int(b.parser.Range(e.Highlight).Offset)
		}
		return nil, &syntaxError{offset, "not valid TOML"} // the library's message quotes the document
	}
	return b.root, nil
}

// builder builds the tree from the parser's expressions.
type builder struct {
	parser        unstable.Parser
	root, current *node
}

func (b *builder) add(expression *unstable.Node) error {
	switch expression.Kind {
	case unstable.Table, unstable.ArrayTable:
		table, err := b.header(expression)
		b.current = table
		return err
	case unstable.KeyValue:
		return b.set(b.current, expression)
	}
	return nil // a comment
}

// header returns the table that [a.b] or [[a.b]] starts.
func (b *builder) header(expression *unstable.Node) (*node, error) {
	table := b.root
	for key := expression.Key(); key.Next(); {
		name, offset := string(key.Node().Data), int(key.Node().Raw.Offset)
		if !key.IsLast() {
			var err error
			if table, err = table.descend(name, offset); err != nil {
				return nil, err
			}
			continue
		}
		there := table.value(name)
		switch list := expression.Kind == unstable.ArrayTable; {
		case there == nil && list:
			there = &node{offset: offset, kind: unstable.Array, tables: true}
			table.put(name, there)
		case there == nil:
			there = newTable(offset)
			table.put(name, there)
		case list != there.tables, there.kind != unstable.Table && !list, there.explicit, there.closed:
			return nil, twice(name, offset)
		}
		if there.tables {
			table = newTable(offset)
			there.items = append(there.items, table)
			continue
		}
		there.explicit = true
		table = there
	}
	return table, nil
}

func twice(name string, offset int) error {
	return &syntaxError{offset, strconv.Quote(name) + " is given twice"}
}

// descend returns the table at a key. It creates the table if it is missing.
func (n *node) descend(name string, offset int) (*node, error) {
	there := n.value(name)
	switch {
	case there == nil:
		there = newTable(offset)
		n.put(name, there)
	case there.tables:
		there = there.items[len(there.items)-1]
	case there.kind != unstable.Table, there.closed:
		return nil, twice(name, offset)
	}
	return there, nil
}

func (n *node) put(name string, value *node) {
	n.pairs = append(n.pairs, pair{name, value})
}

// set adds a key, which may be dotted, and its value to a table.
func (b *builder) set(table *node, pair *unstable.Node) error {
	for key := pair.Key(); key.Next(); {
		name, offset := string(key.Node().Data), int(key.Node().Raw.Offset)
		if !key.IsLast() {
			var err error
			if table, err = table.descend(name, offset); err != nil {
				return err
			}
			continue
		}
		if table.value(name) != nil {
			return twice(name, offset)
		}
		value, err := b.value(pair.Value(), offset)
		if err != nil {
			return err
		}
		table.put(name, value)
	}
	return nil
}

// value returns the tree of a value. offset is its position if the parser does not
// report one.
func (b *builder) value(v *unstable.Node, offset int) (*node, error) {
	if v.Raw.Length > 0 {
		offset = int(v.Raw.Offset)
	}
	n := &node{offset: offset, kind: v.Kind, text: string(v.Data), closed: true}
	switch v.Kind {
	case unstable.InlineTable:
		n = newTable(offset)
		for pairs := v.Children(); pairs.Next(); {
			if err := b.set(n, pairs.Node()); err != nil {
				return nil, err
			}
		}
		n.closed = true
	case unstable.Array:
		for items := v.Children(); items.Next(); {
			item, err := b.value(items.Node(), offset)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, item)
		}
	}
	return n, nil
}

// get returns the value of a key, or nil if n is not a table or the key is missing.
// It records the key as known, see closed.
func (n *node) get(key string) *node {
	if n == nil || n.kind != unstable.Table {
		return nil
	}
	if n.asked == nil {
		n.asked = make([]string, 0, 8)
	}
	if !slices.Contains(n.asked, key) {
		n.asked = append(n.asked, key)
	}
	return n.value(key)
}

// whole returns the value of an integer.
func (n *node) whole() (int64, bool) {
	if n.kind != unstable.Integer {
		return 0, false
	}
	value, err := strconv.ParseInt(n.text, 0, 64)
	return value, err == nil
}

// number returns a number as JSON text. ok is false if n is not a number that JSON
// can represent.
func (n *node) number() (text string, ok bool) {
	if value, ok := n.whole(); ok {
		return strconv.FormatInt(value, 10), true
	}
	if n.kind != unstable.Float {
		return "", false
	}
	text = strings.TrimPrefix(strings.ReplaceAll(n.text, "_", ""), "+")
	value, err := strconv.ParseFloat(text, 64)
	return text, err == nil && value-value == 0 // neither infinite nor NaN
}

// position returns the line and column of an offset. Both start at 1.
func position(data []byte, offset int) (line, column int) {
	before := data[:min(offset, len(data))]
	return 1 + bytes.Count(before, []byte("\n")), offset - bytes.LastIndexByte(before, '\n')
}
