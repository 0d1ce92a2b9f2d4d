package secret

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// shortest is the minimum length of a secret that is replaced in a text. A shorter
// one may occur by chance, so the whole text is hidden instead.
const shortest = 6

// Redact returns text with every secret replaced by [Hidden], in each encoding that
// an echo is likely to use: unchanged, percent, form, JSON, HTML, shell, hex, and
// base64 at any offset of the encoded text. It hides the whole text if it contains a
// secret of fewer than 6 bytes, or one that escapes other characters than these
// encodings do.
func Redact(text string, secrets ...Value) string {
	if text == "" {
		return text
	}
	var forms []string
	for _, s := range secrets {
		raw := s.Reveal()
		if raw == "" {
			continue
		}
		for _, form := range encodings(raw) {
			if !containsFold(text, form) {
				continue
			}
			if len(raw) < shortest {
				return Hidden
			}
			forms = append(forms, form)
		}
	}
	// The longest first, so that an encoding is replaced before a part of it.
	slices.SortFunc(forms, func(a, b string) int { return len(b) - len(a) })
	for _, form := range forms {
		text = replaceFold(text, form)
	}
	// Encoders differ in which characters they escape, so decode the text as well.
	for _, decode := range []func(string) string{fromURL, fromForm, html.UnescapeString, fromString} {
		plain := decode(text)
		echoed := func(s Value) bool { return s.Reveal() != "" && containsFold(plain, s.Reveal()) }
		if plain != text && slices.ContainsFunc(secrets, echoed) {
			return Hidden
		}
	}
	return text
}

func fromURL(text string) string {
	return replace(text, "%", `%[0-9A-Fa-f]{2}`, func(escape string) string {
		c, _ := hex.DecodeString(escape[1:]) // the pattern matches only hex digits
		return string(c)
	})
}

func fromForm(text string) string { return fromURL(strings.ReplaceAll(text, "+", " ")) }

// fromString decodes the escapes of JSON strings and of shells, where a backslash
// may precede any other character.
func fromString(text string) string {
	return replace(text, `\`, `(?s)(\\u[0-9A-Fa-f]{4})+|\\.`, func(escape string) string {
		var plain string
		if json.Unmarshal([]byte(`"`+escape+`"`), &plain) != nil {
			return escape[1:]
		}
		return plain
	})
}

// replace compiles pattern only if text contains first, with which every match
// starts.
func replace(text, first, pattern string, by func(string) string) string {
	if !strings.Contains(text, first) {
		return text
	}
	return regexp.MustCompile(pattern).ReplaceAllStringFunc(text, by)
}

func encodings(raw string) []string {
	forms := []string{
		raw,
		url.QueryEscape(raw),
		url.PathEscape(raw),
		percent(raw),
		html.EscapeString(raw),
		strings.ReplaceAll(raw, "'", `'\''`),
		strings.ReplaceAll(raw, "'", `'"'"'`),
		strings.ReplaceAll(raw, "'", `''`),
		hex.EncodeToString([]byte(raw)),
		inJSON(raw),
		strings.ReplaceAll(inJSON(raw), "/", `\/`),
	}
	if len(raw) >= shortest {
		for shift := range 3 {
			forms = append(forms, inBase64(raw, shift, base64.RawStdEncoding), inBase64(raw, shift, base64.RawURLEncoding))
		}
	}
	slices.Sort(forms)
	return slices.Compact(forms)
}

func percent(raw string) string {
	var b strings.Builder
	for i := range len(raw) {
		fmt.Fprintf(&b, "%%%02x", raw[i])
	}
	return b.String()
}

func inJSON(raw string) string {
	quoted, _ := json.Marshal(raw) // a string always marshals
	return string(quoted[1 : len(quoted)-1])
}

// inBase64 returns the characters of a base64 encoding that depend only on raw, if
// shift other bytes precede it.
func inBase64(raw string, shift int, enc *base64.Encoding) string {
	encoded := enc.EncodeToString([]byte(strings.Repeat("\x00", shift) + raw))
	first := (shift*8 + 5) / 6         // number of characters that contain bits of the preceding bytes
	last := (shift + len(raw)) * 8 / 6 // index of the first character that contains bits of the following bytes
	return encoded[first:last]
}

// containsFold and replaceFold ignore the case of ASCII letters, because percent and
// hex encodings exist in both cases.
func containsFold(text, form string) bool {
	return strings.Contains(lower(text), lower(form))
}

func replaceFold(text, form string) string {
	low, form := lower(text), lower(form)
	var b strings.Builder
	for {
		i := strings.Index(low, form)
		if i < 0 {
			return b.String() + text
		}
		b.WriteString(text[:i])
		b.WriteString(Hidden)
		text, low = text[i+len(form):], low[i+len(form):]
	}
}

// lower converts only ASCII letters, so that offsets stay the same.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
