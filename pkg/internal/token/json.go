package token

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
)

// Limits of a reply.
const (
	MaxBody  = 1 << 20 // bytes
	maxDepth = 32      // nesting depth of objects and arrays
)

// Object is a JSON object. Its values have the types string, [json.Number], bool,
// nil, [Object] and []any.
type Object map[string]any

// Get returns the member at a path: key names, compared exactly, joined by dots. It
// treats null as missing.
func (o Object) Get(path string) (any, bool) {
	name, rest, nested := strings.Cut(path, ".")
	value := o[name]
	if !nested {
		return value, value != nil
	}
	inner, ok := value.(Object)
	if !ok {
		return nil, false
	}
	return inner.Get(rest)
}

// TypeOf returns the JSON type of a value in an [Object].
func TypeOf(value any) string {
	switch value.(type) {
	case string:
		return "string"
	case json.Number:
		return "number"
	case bool:
		return "boolean"
	case Object:
		return "object"
	case []any:
		return "array"
	}
	return "null"
}

// ParseObject parses body as exactly one JSON object. It is stricter than
// encoding/json: it requires valid UTF-8 and surrogate pairs, no duplicate keys, a
// limited nesting depth, and no data after the object. It skips a byte order mark.
func ParseObject(body []byte) (Object, error) {
	body = withoutMark(body)
	trimmed := bytes.TrimLeft(body, " \t\r\n")
	switch {
	case len(trimmed) == 0:
		return nil, failure.New(failure.EmptyReply, "the reply is empty")
	case len(body) > MaxBody:
		return nil, tooLarge()
	case !utf8.Valid(body) || bytes.IndexByte(body, 0) >= 0:
		return nil, failure.New(failure.BadEncoding, "the reply is not UTF-8 text")
	case trimmed[0] != '{':
		return nil, notJSON()
	}
	decoder := json.NewDecoder(bytes.NewReader(trimmed))
	decoder.UseNumber()
	value, err := parseValue(decoder, 0)
	if err != nil {
		return nil, err
	}
	end := decoder.InputOffset()
	// The token decoder accepts some invalid JSON, so check the whole object again.
	if !json.Valid(trimmed[:end]) {
		return nil, notJSON()
	}
	if len(bytes.TrimLeft(trimmed[end:], " \t\r\n")) > 0 {
		return nil, failure.New(failure.TrailingData, "the reply has unexpected data after its JSON object")
	}
	if !validSurrogates(trimmed[:end]) {
		return nil, failure.New(failure.BadEncoding, "the reply contains half of a surrogate pair")
	}
	object, _ := value.(Object) // starts with a brace
	return object, nil
}

func withoutMark(body []byte) []byte { return bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")) }

func notJSON() error { return failure.New(failure.NotJSON, "the reply is not a JSON object") }

func tooLarge() error {
	return failure.New(failure.TooLarge, "the reply is larger than the limit of %d bytes", MaxBody)
}

// duplicate returns the error for a duplicate key. It names the key only if it looks
// like a name, because any other key may contain a secret. It never cuts a key,
// because redaction would not recognize a part of a secret.
func duplicate(key string) error {
	if len(key) > 40 || Check(key) != nil {
		return failure.New(failure.DuplicateKey, "the reply has a key twice")
	}
	return failure.New(failure.DuplicateKey, "the reply has the key %q twice", key)
}

func parseValue(decoder *json.Decoder, depth int) (any, error) {
	t, err := decoder.Token()
	if err != nil {
		return nil, notJSON()
	}
	delim, ok := t.(json.Delim)
	if !ok {
		return t, nil
	}
	if depth == maxDepth {
		return nil, failure.New(failure.TooDeep, "the reply is nested more than %d deep", maxDepth)
	}
	if delim == '[' {
		list := []any{}
		for decoder.More() {
			value, err := parseValue(decoder, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		return list, closing(decoder)
	}
	object := Object{}
	for decoder.More() {
		t, err := decoder.Token()
		key, ok := t.(string)
		if err != nil || !ok {
			return nil, notJSON()
		}
		if _, twice := object[key]; twice {
			return nil, duplicate(key)
		}
		if object[key], err = parseValue(decoder, depth+1); err != nil {
			return nil, err
		}
	}
	return object, closing(decoder)
}

func closing(decoder *json.Decoder) error {
	if _, err := decoder.Token(); err != nil && err != io.EOF {
		return notJSON()
	}
	return nil
}

// validSurrogates reports whether every escape \uD800–\uDFFF in valid JSON is part
// of a pair.
func validSurrogates(text []byte) bool {
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		i++
		if text[i] != 'u' {
			continue
		}
		r := escaped(text[i+1:])
		i += 4
		if !utf16.IsSurrogate(r) {
			continue
		}
		rest := text[i+1:]
		if len(rest) < 6 || rest[0] != '\\' || rest[1] != 'u' || utf16.DecodeRune(r, escaped(rest[2:])) == utf8.RuneError {
			return false
		}
		i += 6
	}
	return true
}

func escaped(hex []byte) rune {
	n, _ := strconv.ParseUint(string(hex[:4]), 16, 16)
	return rune(n)
}

// Scalar returns a string or number as text, so that 1, 1.0 and "1" compare equal.
// ok is false for other types.
func Scalar(value any) (text string, ok bool) {
	switch v := value.(type) {
	case string:
		return v, true
	case json.Number:
		if n, ok := wholeNumber(v.String()); ok {
			return strconv.FormatInt(n, 10), true
		}
		return v.String(), true
	}
	return "", false
}

// Lifetime parses a lifetime in seconds: an integral JSON number or a string of
// digits. It returns 0, which means unknown, for anything else, for zero or less,
// and for more than [MaxLifetime].
func Lifetime(value any) time.Duration {
	var n int64
	var ok bool
	switch v := value.(type) {
	case json.Number:
		n, ok = wholeNumber(v.String())
	case string:
		if strings.Trim(v, "0123456789") == "" {
			n, ok = wholeNumber(v)
		}
	}
	if !ok || n <= 0 || n > int64(MaxLifetime/time.Second) {
		return 0
	}
	return time.Duration(n) * time.Second
}

// LifetimeUntil parses an expiry time and returns the lifetime from received on, in
// whole seconds. The expiry time is in RFC 3339 format, or a number or string of
// digits that counts seconds since 1970; from 10^11 on it counts milliseconds.
// LifetimeUntil returns 0, which means unknown, for anything else, for a time in the
// past, and for more than [MaxLifetime].
func LifetimeUntil(value any, received time.Time) time.Duration {
	const firstMilliseconds = 100_000_000_000
	at := time.Time{}
	text, isText := value.(string)
	if number, ok := value.(json.Number); ok {
		text = number.String()
	}
	n, whole := wholeNumber(text)
	whole = whole && !(isText && strings.Trim(text, "0123456789") != "")
	switch {
	case whole && n >= firstMilliseconds:
		at = time.UnixMilli(n)
	case whole:
		at = time.Unix(n, 0)
	case isText:
		at, _ = time.Parse(time.RFC3339, text) // on error this is the zero time, which is in the past
	}
	left := at.Sub(received).Truncate(time.Second)
	if left <= 0 || left > MaxLifetime {
		return 0
	}
	return left
}

// wholeNumber parses an integral JSON number in any notation (3600, 3600.0, 3.6e3).
func wholeNumber(text string) (int64, bool) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, true
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f != float64(int64(f)) || f >= 1<<53 || f <= -(1<<53) {
		return 0, false
	}
	return int64(f), true
}
