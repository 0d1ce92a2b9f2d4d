package token

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
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
	tests := []struct {
		name, body string
		want       Object // or
		err        string
	}{
		{"members of every type", `{"s":"x","n":1.50,"t":true,"f":false,"z":null,"o":{"i":{}},"l":[1,"x",null,[],{}]}`, Object{
			"s": "x", "n": json.Number("1.50"), "t": true, "f": false, "z": nil, "o": Object{"i": Object{}},
			"l": []any{json.Number("1"), "x", nil, []any{}, Object{}},
		}, ""},
		{"no members", ` { } `, Object{}, ""},
		{"escapes", `{"\u0061":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"}`, Object{"a": "\"\\/\b\f\n\r\té😀"}, ""},
		{"keys differ in case", `{"a":1,"A":2,"ä":3,"Ä":4}`, Object{"a": json.Number("1"), "A": json.Number("2"), "ä": json.Number("3"), "Ä": json.Number("4")}, ""},
		{"keys differ in their form", `{"é":1,"e\u0301":2,"":3," ":4}`, Object{"é": json.Number("1"), "e\u0301": json.Number("2"), "": json.Number("3"), " ": json.Number("4")}, ""},

		{"nothing", "", nil, empty},
		{"nothing but blanks", " \t\r\n", nil, empty},
		{"nothing but a byte order mark", "\xef\xbb\xbf", nil, empty},
		{"HTML", "<!DOCTYPE html><html>" + hostile + "</html>", nil, notObject},
		{"text", "OK", nil, notObject},
		{"form", "access_token=" + canaryServer + "&token_type=bearer", nil, notObject},
		{"byte order mark before the object", "\xef\xbb\xbf{}", Object{}, ""},
		{"byte order mark and blank lines before the object", "\xef\xbb\xbf\r\n\n {}\n", Object{}, ""},
		{"blank lines before the object", "\r\n\n\t {}", Object{}, ""},
		{"two byte order marks", "\xef\xbb\xbf\xef\xbb\xbf{}", nil, notObject},
		{"byte order mark behind blanks", " \xef\xbb\xbf{}", nil, notObject},
		{"vertical tab before the object", "\v{}", nil, notObject},
		{"no-break space before the object", "\u00a0{}", nil, notObject},
		{"UTF-16, little-endian", wide(`{"a":1}`, 2, false), nil, encoding},
		{"UTF-16, big-endian", wide(`{"a":1}`, 2, true), nil, encoding},
		{"UTF-16 with a mark, little-endian", "\xff\xfe" + wide(`{"a":1}`, 2, false), nil, encoding},
		{"UTF-16 with a mark, big-endian", "\xfe\xff" + wide(`{"a":1}`, 2, true), nil, encoding},
		{"UTF-32, little-endian", wide(`{"a":1}`, 4, false), nil, encoding},
		{"UTF-32, big-endian", wide(`{"a":1}`, 4, true), nil, encoding},
		{"Latin-1 in a value", "{\"a\":\"\xe9\"}", nil, encoding},
		{"Latin-1 in a key", "{\"\xe9\":1}", nil, encoding},
		{"Latin-1 behind the object", "{}\xe9", nil, encoding},
		{"overlong UTF-8", "{\"a\":\"\xc0\xaf\"}", nil, encoding},
		{"surrogate in UTF-8", "{\"a\":\"\xed\xa0\x80\"}", nil, encoding},
		{"UTF-8 beyond Unicode", "{\"a\":\"\xf4\x90\x80\x80\"}", nil, encoding},
		{"NUL in a string", "{\"a\":\"\x00\"}", nil, encoding},
		{"NUL behind the object", "{}\x00", nil, encoding},
		{"NUL before the object", "\x00{}", nil, encoding},
		{"NUL as an escape", `{"a":"\u0000"}`, Object{"a": "\x00"}, ""},
		{"control byte in a string", "{\"a\":\"\x1b\"}", nil, notObject},
		{"line break in a string", "{\"a\":\"\n\"}", nil, notObject},
		{"DEL in a string", "{\"a\":\"\x7f\"}", Object{"a": "\x7f"}, ""},

		{"key twice: same value", `{"a":"x","a":"x"}`, nil, twice},
		{"key twice: other value", `{"a":"x","b":1,"a":"y"}`, nil, twice},
		{"key twice: first null", `{"a":null,"a":"y"}`, nil, twice},
		{"key twice: both null", `{"a":null,"a":null}`, nil, twice},
		{"key twice: in an object", `{"o":{"a":1,"a":2}}`, nil, twice},
		{"key twice: in a list", `{"l":[[{"b":{"a":1,"a":2}}]]}`, nil, twice},
		{"key twice: other escape", `{"a":1,"\u0061":2}`, nil, twice},
		{"key twice: other escape at depth", `{"o":[{"\u0061":1,"a":2}]}`, nil, twice},
		{"key twice: escaped slash", `{"/":1,"\/":2}`, nil, strings.Replace(twice, `"a"`, `"/"`, 1)},
		{"key twice: escapes of two cases", `{"\u00E9":1,"\u00e9":2}`, nil, unnamed},
		{"key twice: surrogate pair", `{"😀":1,"\ud83d\ude00":2}`, nil, unnamed},
		{"key twice: the empty one", `{"":1,"":2}`, nil, unnamed},
		{"key twice: a hostile one", `{"\u001b]0;\u0007":1,"\u001b]0;\u0007":2}`, nil, unnamed},
		{"key twice: one of 40 bytes", twoKeys(strings.Repeat("k", 40)), nil, strings.Replace(twice, `"a"`, `"`+strings.Repeat("k", 40)+`"`, 1)},
		{"key twice: one of 41 bytes", twoKeys(strings.Repeat("k", 41)), nil, unnamed},
		{"one key in two objects", `{"a":{"a":1},"b":{"a":1}}`, Object{"a": Object{"a": json.Number("1")}, "b": Object{"a": json.Number("1")}}, ""},

		{"1 MiB", `{"a":"` + strings.Repeat("x", MaxBody-8) + `"}`, Object{"a": strings.Repeat("x", MaxBody-8)}, ""},
		{"1 MiB and 1 byte", `{"a":"` + strings.Repeat("x", MaxBody-7) + `"}`, nil, tooLarge},
		{"1 MiB and 1 blank", "{}" + strings.Repeat(" ", MaxBody-1), nil, tooLarge},
		{"number of 100,000 digits", `{"a":` + strings.Repeat("9", 100_000) + `}`, Object{"a": json.Number(strings.Repeat("9", 100_000))}, ""},
		{"1e400", `{"a":1e400,"b":-1E+400}`, Object{"a": json.Number("1e400"), "b": json.Number("-1E+400")}, ""},
		{"text behind the object", `{} <html>` + hostile, nil, trailing},
		{"second object behind the object", "{}\n{}", nil, trailing},
		{"brace behind the object", `{}}`, nil, trailing},
		{"comma behind the object", `{},`, nil, trailing},
		{"byte order mark behind the object", "{}\xef\xbb\xbf", nil, trailing},
		{"comment", `{/* x */"a":1}`, nil, notObject},
		{"comment of a line", "{\"a\":1 // x\n}", nil, notObject},
		{"single quotes", `{'a':'b'}`, nil, notObject},
		{"key without quotes", `{a:1}`, nil, notObject},
		{"NaN", `{"a":NaN}`, nil, notObject},
		{"Infinity", `{"a":-Infinity}`, nil, notObject},
		{"comma at the end of an object", `{"a":1,}`, nil, notObject},
		{"comma at the end of a list", `{"a":[1,]}`, nil, notObject},
		{"comma at the start", `{,"a":1}`, nil, notObject},
		{"two commas", `{"a":[1,,2]}`, nil, notObject},
		{"no comma", `{"a":1 "b":2}`, nil, notObject},
		{"no colon", `{"a" 1}`, nil, notObject},
		{"no value", `{"a":}`, nil, notObject},
		{"key that is no string", `{1:2}`, nil, notObject},
		{"leading zero", `{"a":01}`, nil, notObject},
		{"plus sign", `{"a":+1}`, nil, notObject},
		{"hexadecimal", `{"a":0x10}`, nil, notObject},
		{"no digit before the point", `{"a":.5}`, nil, notObject},
		{"upper case", `{"a":TRUE}`, nil, notObject},
		{"unknown escape", `{"a":"\x41"}`, nil, notObject},
		{"short escape", `{"a":"\u12"}`, nil, notObject},
		{"brackets crossed", `{"a":[1}]`, nil, notObject},
		{"list, not an object", `[{"a":1}]`, nil, notObject},
		{"string, not an object", `"` + canaryServer + `"`, nil, notObject},
		{"null, not an object", `null`, nil, notObject},
		{"broken off behind the brace", `{`, nil, notObject},
		{"broken off in a key", `{"a`, nil, notObject},
		{"broken off behind a key", `{"a"`, nil, notObject},
		{"broken off in a value", `{"a":"b`, nil, notObject},
		{"broken off behind a value", `{"a":1`, nil, notObject},
		{"broken off in a list", `{"a":[1`, nil, notObject},
		{"broken off in an escape", `{"a":"\`, nil, notObject},

		{"32 deep", nest(32), nested(32), ""},
		{"33 deep", nest(33), nil, tooDeep},
		{"33 deep in lists", `{"a":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + `}`, nil, tooDeep},
		{"half a million deep", `{"a":` + strings.Repeat("[", 500_000), nil, tooDeep},

		{"high surrogate alone", `{"a":"\ud83d"}`, nil, surrogate},
		{"high surrogate before a letter", `{"a":"\ud83dxxxxxx"}`, nil, surrogate},
		{"high surrogate before what looks like half an escape", `{"a":"\ud83dxude00"}`, nil, surrogate},
		{"high surrogate before another escape", `{"a":"\ud83d\u0041"}`, nil, surrogate},
		{"high surrogate before a line break", `{"a":"\ud83d\nde00"}`, nil, surrogate},
		{"two high surrogates", `{"a":"\ud83d\ud83d\ude00"}`, nil, surrogate},
		{"low surrogate alone", `{"a":"\ude00"}`, nil, surrogate},
		{"surrogates the wrong way round", `{"a":"\ude00\ud83d"}`, nil, surrogate},
		{"surrogate in a key", `{"\uD83D":1}`, nil, surrogate},
		{"pair and half a pair", `{"a":"\ud83d\ude00\ud83d"}`, nil, surrogate},
		{"no surrogate, but a backslash", `{"a":"\\ud83d"}`, Object{"a": `\ud83d`}, ""},
		{"a backslash and a surrogate", `{"a":"\\\ud83d"}`, nil, surrogate},
		{"neighbours of the surrogates", `{"a":"\ud7ff\ue000\uffff"}`, Object{"a": "\ud7ff\ue000\uffff"}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseObject([]byte(test.body))
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
			if test.err == "" {
				test.err = "no error"
			}
			checkTold(t, err, test.err)
			if err != nil {
				checkHarmless(t, told(err))
			}
		})
	}
}

// wide returns ASCII text with size bytes for each character.
func wide(text string, size int, bigEndian bool) string {
	var b strings.Builder
	for i := range len(text) {
		zeros := strings.Repeat("\x00", size-1)
		if bigEndian {
			b.WriteString(zeros + text[i:i+1])
		} else {
			b.WriteString(text[i:i+1] + zeros)
		}
	}
	return b.String()
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
	if err := json.Unmarshal(body, &theirs); err != nil {
		t.Fatal(err)
	}
	if measure := time.Since(start); took > 30*measure {
		t.Errorf("it took %v, and encoding/json %v", took, measure)
	}
}

func TestGet(t *testing.T) {
	t.Parallel()
	object, err := ParseObject([]byte(`{"token":"t","n":0,"empty":"","no":false,"null":null,"":"nameless",
		"data":{"token":"inner","null":null,"deep":{"token":"deepest"},"":"x"},"list":[{"token":"x"}],"a.b":"dotted"}`))
	if err != nil {
		t.Fatal(err)
	}
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
		{"TOKEN", nil},
		{"to\u212aen", nil}, // the Kelvin sign folds to k
		{"missing", nil},
		{" token", nil},
		{"", "nameless"},
		{"data.token", "inner"},
		{"data.deep.token", "deepest"},
		{"data.Deep.token", nil},
		{"data.null", nil},
		{"data.missing", nil},
		{"data.missing.token", nil},
		{"data.null.token", nil},
		{"data.", "x"},
		{"token.token", nil},
		{"list.token", nil},
		{"list.0", nil},
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
	tests := []struct {
		name  string
		value any
		want  time.Duration
	}{
		{"number", json.Number("3600"), time.Hour},
		{"digits", "3600", time.Hour},
		{"point", json.Number("3600.0"), time.Hour},
		{"exponent", json.Number("3.6e3"), time.Hour},
		{"exponent and zeros", json.Number("36000E-1"), time.Hour},
		{"leading zeros", "003600", time.Hour},
		{"one second", json.Number("1"), time.Second},
		{"a year", json.Number("31536000"), 365 * 24 * time.Hour},
		{"ten years", json.Number("315360000"), MaxLifetime},
		{"ten years in digits", "315360000", MaxLifetime},
		{"over ten years", json.Number("315360001"), 0},
		{"over ten years in digits", "315360001", 0},
		{"over ten years with an exponent", json.Number("3.2e8"), 0},

		{"missing", nil, 0},
		{"empty", "", 0},
		{"unit", "1h", 0},
		{"true", true, 0},
		{"object", Object{"seconds": json.Number("1")}, 0},
		{"list", []any{json.Number("1")}, 0},
		{"NaN", "NaN", 0},
		{"infinity", "Inf", 0},
		{"point in a string", "3600.0", 0},
		{"exponent in a string", "3.6e3", 0},
		{"sign", "+3600", 0},
		{"blank", " 3600", 0},
		{"line break", "3600\n", 0},
		{"separator", "3_600", 0},
		{"hexadecimal", "0x10", 0},
		{"digits of another script", "٣٦٠٠", 0},
		{"float", 3600.0, 0},
		{"int", 3600, 0},
		{"zero", json.Number("0"), 0},
		{"zero in digits", "000", 0},
		{"negative zero", json.Number("-0"), 0},
		{"negative", json.Number("-1"), 0},
		{"negative with an exponent", json.Number("-3.6e3"), 0},
		{"not whole", json.Number("3600.5"), 0},
		{"nearly nothing", json.Number("1e-400"), 0},

		{"largest number of seconds in a Duration", json.Number("9223372036"), 0},
		{"one more, whose product is negative", json.Number("9223372037"), 0},
		{"product is positive again", json.Number("18446744074"), 0},
		{"product is an hour", json.Number("37778931862957161713168"), 0},
		{"2^31", json.Number("2147483648"), 0},
		{"2^32 and an hour", json.Number("4294970896"), 0},
		{"2^63-1", json.Number("9223372036854775807"), 0},
		{"2^63", json.Number("9223372036854775808"), 0},
		{"2^63 in digits", "9223372036854775808", 0},
		{"2^64 and an hour", json.Number("18446744073709555216"), 0},
		{"2^64 with an exponent", json.Number("1.8446744073709551616e19"), 0},
		{"-2^63", json.Number("-9223372036854775808"), 0},
		{"-2^63-1", json.Number("-9223372036854775809"), 0},
		{"1e400", json.Number("1e400"), 0},
		{"-1e400", json.Number("-1e400"), 0},
		{"100,000 digits", json.Number(strings.Repeat("9", 100_000)), 0},
		{"100,000 digits in a string", strings.Repeat("9", 100_000), 0},
		{"an hour behind 100,000 zeros", strings.Repeat("0", 100_000) + "3600", time.Hour},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := Lifetime(test.value); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
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
		{" 1", " 1"},
		{"1.0", "1.0"}, // a string is never a number
		{"SUCCESS", "SUCCESS"},
		{json.Number("1"), "1"},
		{json.Number("1.0"), "1"},
		{json.Number("10e-1"), "1"},
		{json.Number("0.1e1"), "1"},
		{json.Number("0"), "0"},
		{json.Number("-0"), "0"},
		{json.Number("-0.0"), "0"},
		{json.Number("-1.0"), "-1"},
		{json.Number("1.5"), "1.5"},
		{json.Number("0.1"), "0.1"},
		{json.Number("9223372036854775807"), "9223372036854775807"},
		{json.Number("9223372036854775808"), "9223372036854775808"},
		{json.Number("9007199254740991.0"), "9007199254740991"},
		{json.Number("9007199254740993.0"), "9007199254740993.0"}, // as a float it is another number
		{json.Number("-9007199254740993.0"), "-9007199254740993.0"},
		{json.Number("1e400"), "1e400"},
		{true, none},
		{false, none},
		{nil, none},
		{Object{}, none},
		{[]any{"1"}, none},
		{1, none},
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

// The replies as the providers document them.
func TestDocumentedReplies(t *testing.T) {
	t.Parallel()
	tests := []struct {
		file string
		want Object
	}{
		{"zeepay-token.json", Object{"token_type": "Bearer", "expires_in": json.Number("31536000"), "access_token": "example-access-token", "refresh_token": "example-refresh-token"}},
		{"zeepay-refused.json", Object{"error": json.Number("400"), "message": "Invalid request parameters"}},
		{"enkash-camel.json", Object{"accessToken": "string", "tokenType": "string", "expiresIn": json.Number("0"), "refreshToken": "string"}},
		{"mpay-token.json", Object{"status": json.Number("1"), "description": "Success", "token": "00000000-0000-4000-8000-000000000000"}},
		{"mpay-refused.json", Object{"status": json.Number("0"), "description": "Bad request", "token": ""}},
		{"abbeycross-closed.json", Object{
			"errorId": "string", "code": "string", "text": "The server is currently unavailable due to non-working hours. Please try again later.",
			"parameter_name": "string", "parameter_value": Object{},
		}},
		{"fincode-error-in-200.json", Object{"status": "ERROR", "message": "string", "errorCode": json.Number("0"), "data": nil}},
		{"fincode-no-token.json", Object{"status": "SUCCESS", "message": "string", "errorCode": json.Number("0"), "data": Object{
			"accountNumber": "string", "accountName": "string", "accountCurrency": "string", "receiverMobileNumber": nil,
		}}},
	}
	files, err := filepath.Glob(replies)
	if err != nil || len(files) < len(tests) {
		t.Errorf("%d replies, %v", len(files), err)
	}
	for _, test := range tests {
		body, err := os.ReadFile(filepath.Join(filepath.Dir(replies), test.file))
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseObject(body)
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %v, %s\nwant %v", test.file, got, told(err), test.want)
		}
	}
}
