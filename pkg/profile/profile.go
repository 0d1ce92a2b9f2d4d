// Package profile reads and edits the file profiles.toml. A profile is a named set
// of values for the fields of a provider; each is a literal value or the source of
// the value. The parser is strict, and no error contains a value from the file.
package profile

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/pkg/source"
)

// Default is the name of the profile to use if none is named. It need not exist.
const Default = "default"

// NameRule describes the names of profiles: [a-z0-9][a-z0-9-]{0,62}.
const NameRule = "lower-case letters, digits and hyphens, at most 63, not beginning with a hyphen"

// own is the name of the table with settings of tokenfetch itself.
const own = "tokenfetch"

// CacheKey is its only key: the source of the key that encrypts cached tokens.
const CacheKey = "cache_key"

// maxSize is the maximum size of a profiles file, in bytes.
const maxSize = 1 << 20

// The limits for a timeout in a profile or a flag.
const (
	MinTimeout = time.Millisecond
	MaxTimeout = time.Hour
)

// ValidName reports whether name follows [NameRule].
func ValidName(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789-"
	return len(name) > 0 && len(name) <= 63 && name[0] != '-' && strings.Trim(name, letters) == ""
}

// ParseDuration parses a duration such as "10s", from [MinTimeout] to most. The
// error describes the valid values and does not quote text.
func ParseDuration(text string, most time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < MinTimeout || d > most {
		return 0, fmt.Errorf("must be a duration such as 10s, from %v to %dh", MinTimeout, most/time.Hour)
	}
	return d, nil
}

// Source says where a field's value comes from. Exactly one member is set.
type Source struct {
	Text     *secret.Value // the value itself, in the profile
	Env      string        // the name of an environment variable
	File     string        // the path of a file
	Command  []string      // a command that prints the value to standard output
	Keychain string        // the keychain, under this profile name
}

// Profile is one table [PROVIDER.NAME] of a profiles file.
type Profile struct {
	Provider, Name string
	Environment    string        // name of one of the provider's environments, or empty
	BaseURL        string        // base URL of the provider, or empty
	CAFile         string        // path of the CA certificates to trust, or empty
	ClientCert     string        // path of the client certificate (mutual TLS), or empty
	ClientKey      string        // path of its private key, or empty
	Timeout        time.Duration // limit for the whole invocation; 0 if not set
	Cache          *bool         // whether tokens may be cached; nil if not set
	Fields         map[string]Source
}

// Field describes a field that a profile may set: its name, and whether its value
// must not be shown.
type Field struct {
	Name   string
	Secret bool
}

// File is a profiles file. Each profile is checked when it is requested, so that an
// error in one profile does not affect others.
type File struct {
	Path     string
	Exists   bool
	CacheKey *Source // from the table [tokenfetch]: source of the key that encrypts cached tokens, or nil

	read     []byte // content when read; nil if the file did not exist
	raw      []byte // content when read, or to be written
	data     []byte // raw without a byte order mark
	tables   map[string]any
	home     string // replaces ~/ in paths, or empty
	readable bool   // whether others can read the file
	mode     string
}

// Options configures how a profiles file is read.
type Options struct {
	Home    string       // the user's home directory, for ~/ in paths; may be empty
	Trusted bool         // accept a file that others could have changed, and call Note
	Note    func(string) // receives a message about such a file
}

// Load reads the profiles file at path. If it does not exist, the result is an empty
// File. The error is a [*failure.Error].
func Load(ctx context.Context, path string, o Options) (*File, error) {
	f := &File{Path: path, home: o.Home}
	read, err := source.ReadRegular(ctx, path, maxSize)
	if e, ok := errors.AsType[*failure.Error](err); ok {
		switch e.Code {
		case failure.FileNotFound:
			return f, nil
		case failure.InputTimeout:
			return nil, e
		}
		return nil, failure.New(failure.ProfilesUnreadable, "%s", e.Message).WithHint("%s", e.Hint)
	}
	if err != nil {
		return nil, err
	}
	if read.Unsafe != "" {
		if !o.Trusted {
			return nil, failure.New(failure.ProfilesPermissions, "the profiles file %s %s", path, read.Unsafe).
				WithHint("%s", read.Advice)
		}
		o.Note("the profiles file " + path + " " + read.Unsafe + "; taken because this is CI")
	}
	f.Exists, f.read = true, read.Data
	f.readable, f.mode = !read.Private, fmt.Sprintf("%04o", read.Mode)
	return f, f.take(read.Data)
}

// take sets the content of the file to text and parses it.
func (f *File) take(text []byte) error {
	f.raw, f.tables, f.CacheKey = text, nil, nil
	f.data = bytes.TrimPrefix(text, []byte(byteOrderMark))
	return f.parse()
}

// byteOrderMark is the prefix that some editors add to a file.
const byteOrderMark = "\xef\xbb\xbf"

func (f *File) parse() error {
	for i := 0; i < len(f.data); {
		r, n := utf8.DecodeRune(f.data[i:])
		if r == utf8.RuneError && n == 1 || r == 0 {
			return failure.New(failure.ProfilesInvalid, "the profiles file %s is not UTF-8 text (at offset %d)", f.Path, i).
				WithHint("save it as UTF-8")
		}
		i += n
	}
	err := toml.Unmarshal(f.data, &f.tables)
	if err == nil {
		if table, ok := f.tables[own].(map[string]any); ok || f.tables[own] == nil {
			return f.parseOwn(table)
		}
		return f.invalid("["+own+"] must be a table", own)
	}
	f.tables = nil
	// The library's message quotes the file, so use only the position.
	what, hint, at := "is not valid TOML", `put every text in quotes, as in key = "value"`, ""
	if decode, ok := errors.AsType[*toml.DecodeError](err); ok {
		line, column := decode.Position()
		if strings.Contains(decode.Error(), "already") {
			what, hint = "defines a key or table twice", "remove one of the two"
		}
		at = fmt.Sprintf(": line %d, column %d", line, column)
	}
	return failure.New(failure.ProfilesInvalid, "the profiles file %s %s%s", f.Path, what, at).WithHint("%s", hint)
}

// parseOwn parses the table with settings of tokenfetch itself.
func (f *File) parseOwn(table map[string]any) error {
	for _, key := range slices.Sorted(maps.Keys(table)) {
		if key != CacheKey {
			return f.invalid(fmt.Sprintf("unknown key %q in [%s]%s", key, own, suggest(key, []string{CacheKey})), own, key)
		}
		where, ok := table[key].(map[string]any)
		if !ok {
			return f.invalid(fmt.Sprintf("%s of [%s] must be a table with env, file or command", key, own), own, key)
		}
		s, err := f.source(&Profile{Name: Default}, where)
		if err == nil && s.Keychain != "" {
			err = errors.New("must have exactly one of env, file and command: the keychain is where the key is anyway")
		}
		if err != nil {
			return f.invalid(fmt.Sprintf("%s of [%s] %s", key, own, err), own, key)
		}
		f.CacheKey = &s
	}
	return nil
}

// Names returns the names of the provider's profiles, sorted. A key that is not a
// table is not a profile.
func (f *File) Names(provider string) []string {
	profiles, _ := f.tables[provider].(map[string]any)
	return slices.DeleteFunc(slices.Sorted(maps.Keys(profiles)), func(name string) bool {
		_, table := profiles[name].(map[string]any)
		return !table
	})
}

// Table is a table of a profiles file that belongs to no provider.
type Table struct {
	Name string
	Line int
	Key  bool // it is no table, but a key outside every table
}

// Unknown returns the tables and top-level keys that belong to none of providers, in
// the order of the file.
func (f *File) Unknown(providers []string) []Table {
	var unknown []Table
	for name := range f.tables {
		if name != own && !slices.Contains(providers, name) {
			unknown = append(unknown, Table{name, f.line([]string{name}), name == CacheKey || !isTable(f.tables[name])})
		}
	}
	slices.SortFunc(unknown, func(a, b Table) int { return cmp.Or(a.Line-b.Line, strings.Compare(a.Name, b.Name)) })
	return unknown
}

// isTable reports whether value is a table, or a list of them ([[NAME]]).
func isTable(value any) bool {
	if list, ok := value.([]any); ok && len(list) > 0 {
		value = list[0]
	}
	_, ok := value.(map[string]any)
	return ok
}

// Profile returns the profile name of provider, or nil if the file has none. fields
// are the fields that a profile of this provider may set. The error for an invalid
// profile is a [*failure.Error] that contains the file and line.
func (f *File) Profile(provider, name string, fields []Field) (*Profile, error) {
	section, found := f.tables[provider]
	if !found {
		return nil, nil
	}
	profiles, ok := section.(map[string]any)
	if !ok {
		return nil, f.invalid(fmt.Sprintf("%s must be a table with profiles, such as [%s.%s]", provider, provider, Default), provider)
	}
	value, found := profiles[name]
	if !found {
		for _, key := range slices.Sorted(maps.Keys(profiles)) {
			if _, ok := profiles[key].(map[string]any); !ok {
				return nil, f.invalid(fmt.Sprintf("%q stands in [%s], not in a profile such as [%s.%s]", key, provider, provider, Default), provider, key)
			}
		}
		return nil, nil
	}
	table, ok := value.(map[string]any)
	if !ok {
		return nil, f.invalid(fmt.Sprintf("%s.%s must be a table", provider, name), provider, name)
	}
	if err := f.checkSecrecy(fields); err != nil {
		return nil, err
	}
	p := &Profile{Provider: provider, Name: name, Fields: map[string]Source{}}
	for _, key := range slices.Sorted(maps.Keys(table)) {
		if err := f.set(p, fields, key, table[key]); err != nil {
			return nil, err
		}
	}
	if p.Environment != "" && p.BaseURL != "" {
		return nil, f.invalid(fmt.Sprintf("[%s.%s] has both environment and base_url; keep one of them", provider, name), provider, name, "base_url")
	}
	return p, nil
}

// set stores one key of a profile's table in p.
func (f *File) set(p *Profile, fields []Field, key string, value any) error {
	where := fmt.Sprintf("%s of [%s.%s]", key, p.Provider, p.Name)
	bad := func(format string, args ...any) error {
		return f.invalid(where+" "+fmt.Sprintf(format, args...), p.Provider, p.Name, key)
	}
	text, isText := value.(string)
	switch key {
	case "environment", "base_url", "ca_file", "client_cert", "client_key", "timeout":
		switch {
		case !isText && key == "timeout":
			return bad(`must be a quoted duration such as "10s", not %s`, kind(value))
		case !isText:
			return bad("must be a quoted text, not %s", kind(value))
		case text == "":
			return bad("is empty")
		}
	}
	switch key {
	case "ca_file", "client_cert", "client_key":
		if strings.ContainsAny(text, "\x00\r\n") || strings.Contains(text, "-----BEGIN") {
			return bad("must be the path of a PEM file, not its content")
		}
	}
	switch key {
	case "environment":
		p.Environment = text
		return nil
	case "base_url":
		p.BaseURL = text
		return nil
	case "ca_file":
		p.CAFile = f.resolve(text)
		return nil
	case "client_cert":
		p.ClientCert = f.resolve(text)
		return nil
	case "client_key":
		p.ClientKey = f.resolve(text)
		return nil
	case "cache":
		on, ok := value.(bool)
		if !ok {
			return bad("must be true or false, not %s", kind(value))
		}
		p.Cache = &on
		return nil
	case "timeout":
		var err error
		if p.Timeout, err = ParseDuration(text, MaxTimeout); err != nil {
			return bad("%s", err)
		}
		return nil
	}
	i := slices.IndexFunc(fields, func(field Field) bool { return field.Name == key })
	if i < 0 {
		known := []string{"environment", "base_url", "ca_file", "client_cert", "client_key", "timeout", "cache"}
		for _, field := range fields {
			known = append(known, field.Name)
		}
		return f.invalid(fmt.Sprintf("unknown key %q in [%s.%s]%s", key, p.Provider, p.Name, suggest(key, known)), p.Provider, p.Name, key)
	}
	switch v := value.(type) {
	case string:
		return f.setText(p, key, v, bad)
	case int64:
		if !fields[i].Secret {
			return f.setText(p, key, strconv.FormatInt(v, 10), bad)
		}
	case map[string]any:
		s, err := f.source(p, v)
		if err != nil {
			return bad("%s", err)
		}
		p.Fields[key] = s
		return nil
	}
	want := "a quoted text or a table with env, file, command or keychain"
	if !fields[i].Secret {
		want = "a quoted text, a whole number or a table with env, file, command or keychain"
	}
	return bad("must be %s, not %s", want, kind(value))
}

func (f *File) setText(p *Profile, key, text string, bad func(string, ...any) error) error {
	if rule := source.Check(text); rule != "" {
		return bad("%s", rule)
	}
	v := secret.New(text)
	p.Fields[key] = Source{Text: &v}
	return nil
}

// source parses { env | file | command | keychain = … }.
func (f *File) source(p *Profile, table map[string]any) (Source, error) {
	known := []string{"env", "file", "command", "keychain"}
	for key := range table {
		if !slices.Contains(known, key) {
			return Source{}, fmt.Errorf("has the unknown key %q%s", key, suggest(key, known))
		}
	}
	if len(table) != 1 {
		return Source{}, errors.New("must have exactly one of env, file, command and keychain")
	}
	for key, value := range table {
		text, isText := value.(string)
		switch key {
		case "env":
			if !isText || text == "" || strings.ContainsAny(text, "=\x00") {
				return Source{}, errors.New("must name an environment variable under env")
			}
			return Source{Env: text}, nil
		case "file":
			if !isText || text == "" || strings.ContainsRune(text, 0) {
				return Source{}, errors.New("must give a path under file")
			}
			return Source{File: f.resolve(text)}, nil
		case "command":
			list, _ := value.([]any)
			argv := make([]string, len(list))
			for i := range list {
				if argv[i], isText = list[i].(string); !isText || strings.ContainsRune(argv[i], 0) {
					return Source{}, errors.New("must be a list of texts under command")
				}
			}
			if len(argv) == 0 || argv[0] == "" {
				return Source{}, errors.New(`must be a list under command, such as ["op", "read", "op://vault/item"]; it is run without a shell`)
			}
			return Source{Command: argv}, nil
		case "keychain":
			if value == true {
				return Source{Keychain: p.Name}, nil
			}
			if isText && ValidName(text) {
				return Source{Keychain: text}, nil
			}
		}
	}
	return Source{}, errors.New("must be true or the name of a profile under keychain")
}

// checkSecrecy returns an error if others can read the file and any profile in it
// contains a secret.
func (f *File) checkSecrecy(fields []Field) error {
	if !f.readable {
		return nil
	}
	for _, provider := range slices.Sorted(maps.Keys(f.tables)) {
		profiles, _ := f.tables[provider].(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(profiles)) {
			table, _ := profiles[name].(map[string]any)
			for _, field := range fields {
				if _, literal := table[field.Name].(string); literal && field.Secret {
					return failure.New(failure.ProfilesPermissions, "the profiles file %s holds %s of [%s.%s] and can be read by others (mode %s)",
						f.Path, field.Name, provider, name, f.mode).WithHint("run: chmod 600 %s", failure.ShellWord(f.Path))
				}
			}
		}
	}
	return nil
}

// resolve makes a path from the file absolute. It replaces ~/ with the user's home
// directory. A relative path is relative to the directory of the profiles file.
func (f *File) resolve(path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok && f.home != "" {
		return filepath.Join(f.home, rest)
	}
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(f.Path), path)
}

func (f *File) invalid(message string, key ...string) *failure.Error {
	return failure.New(failure.ProfileInvalid, "%s, line %d: %s", f.Path, f.line(key), message).
		WithHint("correct that line; tokenfetch help profiles shows every key")
}

// line returns the line number of key, or of the nearest table around it.
func (f *File) line(key []string) int {
	var parser unstable.Parser
	parser.Reset(f.data)
	var table []string
	best, line := 0, 1
	for parser.NextExpression() {
		e := parser.Expression()
		var parts []string
		var at unstable.Range
		for it := e.Key(); it.Next(); {
			if len(parts) == 0 {
				at = it.Node().Raw
			}
			parts = append(parts, string(it.Node().Data))
		}
		path := parts
		if e.Kind == unstable.KeyValue {
			path = slices.Concat(table, parts)
		} else {
			table = parts
		}
		if n := min(len(path), len(key)); n > best && slices.Equal(path[:n], key[:n]) {
			best, line = n, parser.Shape(at).Start.Line
		}
	}
	return line
}

// kind describes the TOML type of a value.
func kind(value any) string {
	switch value := value.(type) {
	case string:
		if value != "" {
			return "a text"
		}
		return "an empty text"
	case int64:
		return "a whole number"
	case float64:
		return "a number"
	case bool:
		return "true or false"
	case []any:
		return "a list"
	case map[string]any:
		return "a table"
	}
	return "a date or time"
}
