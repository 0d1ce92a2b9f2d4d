package token

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tokenfetch/tokenfetch/testdata/check"
)

func TestParseObject(t *testing.T) {
	t.Parallel()
	const (
		empty     = `empty_reply (reply, sent "no", attempts 0): the reply is empty`
		encoding  = `bad_encoding (reply, sent "no", attempts 0): the reply is not UTF-8 text`
		surrogate = `bad_encoding (reply, sent "no", attempts 0): the reply contains half of a surrogate pair`
		notObject = `not_json (reply, sent "no", attempts 0): the reply is not a JSON object`
		twice     = `duplicate_key (reply, sent "no", attempts 0): the reply has the key "a" twice`
		unnamed   = `duplicate_key (reply, sent "no", attempts 0): the reply has a key twice`
		trailing  = `trailing_data (reply, sent "no", attempts 0): the reply has unexpected data after its JSON object`
		tooLarge  = `too_large (reply, sent "no", attempts 0): the reply is larger than the limit of 1048576 bytes`
		tooDeep   = `too_deep (reply, sent "no", attempts 0): the reply is nested more than 32 deep`
	)
	for body, want := range map[string]Object{
		`{"s":"x","n":1.50,"t":true,"f":false,"z":null,"o":{"i":{}},"l":[1,"x",null,[],{}]}`: {
			"s": "x", "n": json.Number("1.50"), "t": true, "f": false, "z": nil, "o": Object{"i": Object{}},
			"l": []any{json.Number("1"), "x", nil, []any{}, Object{}},
		},
		` { } `: {},
		`{"\u0061":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"}`: {"a": "\"\\/\b\f\n\r\té😀"},
		`{"a":1,"A":2,"ä":3,"Ä":4}`:                       {"a": json.Number("1"), "A": json.Number("2"), "ä": json.Number("3"), "Ä": json.Number("4")},
		`{"é":1,"e\u0301":2,"":3," ":4}`:                  {"é": json.Number("1"), "e\u0301": json.Number("2"), "": json.Number("3"), " ": json.Number("4")},
		"\xef\xbb\xbf{}":                                  {},
		"\r\n\n\t {}":                                     {},
		`{"a":"\u0000"}`:                                  {"a": "\x00"},
		"{\"a\":\"\x7f\"}":                                {"a": "\x7f"},
		`{"a":{"a":1},"b":{"a":1}}`:                       {"a": Object{"a": json.Number("1")}, "b": Object{"a": json.Number("1")}},
		`{"a":"` + strings.Repeat("x", MaxBody-8) + `"}`:  {"a": strings.Repeat("x", MaxBody-8)},
		`{"a":` + strings.Repeat("9", 100_000) + `}`:      {"a": json.Number(strings.Repeat("9", 100_000))},
		`{"a":1e400,"b":-1E+400}`:                         {"a": json.Number("1e400"), "b": json.Number("-1E+400")},
		nest(32):                                          nested(32),
		`{"a":"\\ud83d"}`:                                 {"a": `\ud83d`},
		`{"a":"\ud7ff\ue000\uffff"}`:                      {"a": "\ud7ff\ue000\uffff"},
	} {
		if got, err := ParseObject([]byte(body)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%.80q: got %v, %v, want %v", body, got, err, want)
		}
	}
	for want, bodies := range map[string][]string{
		empty: {
			"", " \t\r\n", "\xef\xbb\xbf",
		},
		notObject: {
			"<!DOCTYPE html><html>" + hostile + "</html>", "OK", "access_token=" + canaryServer + "&token_type=bearer", " \xef\xbb\xbf{}", "\v{}",
			"{\"a\":\"\x1b\"}", `{/* x */"a":1}`, `{'a':'b'}`, `{a:1}`, `{"a":NaN}`, `{"a":1,}`, `{"a":[1,]}`, `{"a":1 "b":2}`, `{"a" 1}`, `{1:2}`, `{"a":01}`,
			`{"a":+1}`, `{"a":0x10}`, `{"a":"\x41"}`, `{"a":"\u12"}`, `{"a":[1}]`, `[{"a":1}]`, `null`, `{"a`, `{"a":"b`, `{"a":1`, `{"a":"\`,
		},
		encoding: {
			wide(2, `{"a":1}`), "\xff\xfe" + wide(2, `{"a":1}`), wide(4, `{"a":1}`), "{\"a\":\"\xe9\"}", "{\"\xe9\":1}", "{\"a\":\"\xc0\xaf\"}",
			"{\"a\":\"\xed\xa0\x80\"}", "{\"a\":\"\x00\"}", "{}\x00", "\x00{}",
		},
		twice: {
			`{"a":"x","a":"x"}`, `{"a":"x","b":1,"a":"y"}`, `{"a":null,"a":"y"}`, `{"l":[[{"b":{"a":1,"a":2}}]]}`, `{"a":1,"\u0061":2}`,
			`{"o":[{"\u0061":1,"a":2}]}`,
		},
		strings.Replace(twice, `"a"`, `"/"`, 1): {
			`{"/":1,"\/":2}`,
		},
		unnamed: {
			`{"😀":1,"\ud83d\ude00":2}`, `{"":1,"":2}`, `{"\u001b]0;\u0007":1,"\u001b]0;\u0007":2}`, twoKeys(strings.Repeat("k", 41)),
		},
		strings.Replace(twice, `"a"`, `"`+strings.Repeat("k", 40)+`"`, 1): {
			twoKeys(strings.Repeat("k", 40)),
		},
		tooLarge: {
			`{"a":"` + strings.Repeat("x", MaxBody-7) + `"}`, "{}" + strings.Repeat(" ", MaxBody-1),
		},
		trailing: {
			`{} <html>` + hostile, "{}\n{}", `{}}`, "{}\xef\xbb\xbf",
		},
		tooDeep: {
			nest(33), `{"a":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + `}`,
		},
		surrogate: {
			`{"a":"\ud83d"}`, `{"a":"\ud83dxxxxxx"}`, `{"a":"\ud83dxude00"}`, `{"a":"\ud83d\u0041"}`, `{"a":"\ud83d\nde00"}`, `{"a":"\ude00"}`, `{"\uD83D":1}`,
			`{"a":"\\\ud83d"}`,
		},
	} {
		for _, body := range bodies {
			got, err := ParseObject([]byte(body))
			if got != nil || told(err) != want {
				t.Errorf("%.80q: got %v, %s, want %s", body, got, told(err), want)
			}
			checkHarmless(t, told(err))
		}
	}
}

// wide returns ASCII text with size bytes for each character, the lowest first.
func wide(size int, text string) string {
	return strings.ReplaceAll(regexp.MustCompile("(?s).").ReplaceAllString(text, "$0\x00"), "\x00", strings.Repeat("\x00", size-1))
}

func twoKeys(key string) string { return fmt.Sprintf(`{%q:1,%q:2}`, key, key) }

func nest(depth int) string {
	return strings.Repeat(`{"a":`, depth-1) + "{}" + strings.Repeat("}", depth-1)
}

func nested(depth int) Object {
	o := Object{}
	for range depth - 1 {
		o = Object{"a": o}
	}
	return o
}

// A reply as large as it may be is read in a moment. Machines differ, so
// encoding/json is the measure: it takes about a third of the time.
func TestParseObjectManyKeys(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	n := 0
	for text.WriteByte('{'); text.Len() < MaxBody-20; n++ {
		if n > 0 {
			text.WriteByte(',')
		}
		fmt.Fprintf(&text, `"%x":%d`, n, n)
	}
	text.WriteByte('}')
	body := []byte(text.String())
	start := time.Now()
	object, err := ParseObject(body)
	took := time.Since(start)
	if err != nil || len(object) != n {
		t.Errorf("%d of %d members, %v", len(object), n, err)
	}
	start = time.Now()
	var theirs map[string]any
	check.OK(t, json.Unmarshal(body, &theirs))
	if measure := time.Since(start); took > 30*measure {
		t.Errorf("it took %v, and encoding/json %v", took, measure)
	}
}

func TestGet(t *testing.T) {
	t.Parallel()
	object, err := ParseObject([]byte(`{"token":"t","n":0,"empty":"","no":false,"null":null,"":"nameless",
		"data":{"token":"inner","null":null,"deep":{"token":"deepest"},"":"x"},"list":[{"token":"x"}],"a.b":"dotted"}`))
	check.OK(t, err)
	tests := []struct {
		path string
		want any // nil for absent
	}{
		{"token", "t"},
		{"n", json.Number("0")},
		{"empty", ""},
		{"no", false},
		{"null", nil},
		{"Token", nil},
		{"to\u212aen", nil}, // the Kelvin sign folds to k
		{"missing", nil},
		{"", "nameless"},
		{"data.token", "inner"},
		{"data.deep.token", "deepest"},
		{"data.null", nil},
		{"data.missing", nil},
		{"data.null.token", nil},
		{"data.", "x"},
		{"token.token", nil},
		{"list.token", nil},
		{"a.b", nil},
		{"missing.token", nil},
	}
	for _, test := range tests {
		got, ok := object.Get(test.path)
		if got != test.want || ok != (test.want != nil) {
			t.Errorf("%q: got %v, %v, want %v", test.path, got, ok, test.want)
		}
	}
	if got, ok := object.Get("data"); !ok || !reflect.DeepEqual(got, object["data"]) {
		t.Errorf("data: got %v, %v", got, ok)
	}
	if got, ok := Object(nil).Get("a.b"); ok {
		t.Errorf("nothing: got %v", got)
	}
}

func TestLifetime(t *testing.T) {
	t.Parallel()
	for want, values := range map[time.Duration][]any{
		time.Hour: {
			json.Number("3600"), "3600", json.Number("3600.0"), json.Number("3.6e3"), json.Number("36000E-1"), "003600", strings.Repeat("0", 100_000) + "3600",
		},
		MaxLifetime: {
			json.Number("315360000"),
		},
		0: {
			json.Number("315360001"), json.Number("3.2e8"), nil, "", "1h", true,
			Object{"seconds": json.Number("1")},
			[]any{json.Number("1")},
			"NaN", "3600.0",
			"+3600", " 3600", "3600\n", "0x10", "٣٦٠٠", 3600.0, json.Number("0"), json.Number("-0"), json.Number("-1"), json.Number("3600.5"),
			json.Number("1e-400"), json.Number("9223372036"), json.Number("9223372037"), json.Number("18446744074"), json.Number("37778931862957161713168"),
			json.Number("4294970896"), json.Number("9223372036854775808"), json.Number("18446744073709555216"), json.Number("-9223372036854775809"),
			json.Number("1e400"), json.Number(strings.Repeat("9", 100_000)),
		},
	} {
		for _, value := range values {
			if got := Lifetime(value); got != want {
				t.Errorf("%.80v: got %v, want %v", value, got, want)
			}
		}
	}
}

func TestScalar(t *testing.T) {
	t.Parallel()
	const none = "no text"
	tests := []struct {
		value any
		want  string
	}{
		{"", ""},
		{"1", "1"},
		{"1.0", "1.0"}, // a string is never a number
		{json.Number("1"), "1"},
		{json.Number("1.0"), "1"},
		{json.Number("10e-1"), "1"},
		{json.Number("-0.0"), "0"},
		{json.Number("-1.0"), "-1"},
		{json.Number("1.5"), "1.5"},
		{json.Number("9223372036854775807"), "9223372036854775807"},
		{json.Number("9223372036854775808"), "9223372036854775808"},
		{json.Number("9007199254740991.0"), "9007199254740991"},
		{json.Number("9007199254740993.0"), "9007199254740993.0"}, // as a float it is another number
		{json.Number("-9007199254740993.0"), "-9007199254740993.0"},
		{json.Number("1e400"), "1e400"},
		{true, none},
		{nil, none},
		{Object{}, none},
		{[]any{"1"}, none},
		{1.0, none},
	}
	for _, test := range tests {
		got, ok := Scalar(test.value)
		if !ok && got == "" {
			got = none
		}
		if got != test.want {
			t.Errorf("%T %v: got %q, want %q", test.value, test.value, got, test.want)
		}
	}
}
