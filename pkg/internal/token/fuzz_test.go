package token

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// replies are the documented replies, as a pattern of files.
const replies = "../../../testdata/reply/*.json"

// FuzzParseObject: what is accepted, encoding/json accepts with the same
// values, and it reads the same when it is written again. What is refused is
// refused in words of ours.
func FuzzParseObject(f *testing.F) {
	files, err := filepath.Glob(replies)
	check.OK(f, err)
	for _, file := range files {
		body, err := os.ReadFile(file)
		check.OK(f, err)
		f.Add(body)
	}
	for _, body := range []string{
		"", "{", "{}", "{}{}", "[]", "\xef\xbb\xbf {}\n", "{\"a\":\"\x00\"}", "<html>",
		`{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"a":{"b":[1,{"c":null}]}}`, `{"a":1,}`, `{"a":[1,]}`,
		`{"a":"\ud83d\ude00"}`, `{"a":"\ud83d"}`, `{"a":1e400,"b":-0.0}`, `{"a":NaN}`, `{"a":1 "b":2}`, `{"a":"<\u2028&"}`,
		strings.Repeat(`{"a":`, 33) + "1" + strings.Repeat("}", 33),
	} {
		f.Add([]byte(body))
	}
	sentence := regexp.MustCompile(`^the reply [ -~]{1,100}$`)
	f.Fuzz(func(t *testing.T, body []byte) {
		object, err := ParseObject(body)
		if err != nil {
			if e, ok := err.(*failure.Error); !ok || e.Class() != failure.Reply || object != nil {
				t.Fatalf("%T %v with %v", err, err, object)
			}
			if !sentence.MatchString(err.Error()) {
				t.Fatalf("the error is %q", err)
			}
			return
		}
		if len(body) > MaxBody+3 {
			t.Fatalf("accepted %d bytes", len(body))
		}
		decoder := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))))
		decoder.UseNumber()
		var theirs map[string]any
		if err := decoder.Decode(&theirs); err != nil {
			t.Fatalf("encoding/json: %v", err)
		}
		if decoder.More() {
			t.Fatal("it goes on")
		}
		if want := objects(theirs); !reflect.DeepEqual(object, want) {
			t.Fatalf("read %#v\nencoding/json reads %#v", object, want)
		}
		again, err := json.Marshal(object)
		check.OK(t, err)
		if len(again) > MaxBody {
			return // escapes have made it too large
		}
		if second, err := ParseObject(again); err != nil || !reflect.DeepEqual(object, second) {
			t.Fatalf("written again as %s: %#v, %v", again, second, err)
		}
	})
}

// objects returns value with its maps as Objects.
func objects(value any) any {
	switch v := value.(type) {
	case map[string]any:
		o := Object{}
		for key, inner := range v {
			o[key] = objects(inner)
		}
		return o
	case []any:
		for i := range v {
			v[i] = objects(v[i])
		}
	}
	return value
}

// FuzzRetryAfter: whatever the header and the clock say, the wait is unknown or
// whole seconds from 0 to 24 hours.
func FuzzRetryAfter(f *testing.F) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC).Unix()
	for _, header := range []string{
		"", "0", "30", "86400", "86401", "9223372037", "18446744073709551616", "-1", "1e3",
		"Sat, 21 Nov 2026 12:00:30 GMT", "Saturday, 21-Nov-26 12:00:30 PST", "Sat Nov 21 12:00:30 2026",
		"Mon, 01 Jan 0001 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT",
	} {
		f.Add(header, now, int64(0))
		f.Add(header, int64(0), int64(999_999_999))
	}
	f.Fuzz(func(t *testing.T, header string, seconds, nanoseconds int64) {
		wait := retryAfter(header, time.Unix(seconds, nanoseconds).UTC())
		if wait != nil && (*wait < 0 || *wait > 24*time.Hour || *wait%time.Second != 0) {
			t.Fatalf("%v", *wait)
		}
	})
}

// FuzzCheck: a token is 1 to 8192 bytes from 0x21 to 0x7E, no word for
// nothing and without the secret. The error is one of these sentences.
func FuzzCheck(f *testing.F) {
	for _, text := range []string{"", "tok", "tok\n", " tok", "nULL", "NaN", "xnull", "[object Object]", "\x7f", "é", "canary-1", "xcanary-1x"} {
		f.Add(text, "canary-1")
		f.Add(text, text)
	}
	f.Add(strings.Repeat("x", 8192), "")
	f.Add(strings.Repeat("x", 8193), "")
	var (
		form     = regexp.MustCompile(`^[!-~]+$`)
		nothing  = regexp.MustCompile(`^(?i:null|undefined|none|nil|nan)$`)
		sentence = regexp.MustCompile(`^the reply's token (is empty|has a length of \d+ bytes; the limit is 8192|` +
			`contains (a blank|a line break|a control byte|a byte that is not ASCII) at offset \d+|` +
			`is a placeholder such as null|contains a secret that was sent)$`)
	)
	f.Fuzz(func(t *testing.T, text, sent string) {
		err := Check(text, secret.New(sent))
		want := form.MatchString(text) && len(text) <= 8192 && !nothing.MatchString(text) &&
			(len(sent) < 8 || !strings.Contains(text, sent))
		if (err == nil) != want {
			t.Fatalf("got %v", err)
		}
		if err == nil {
			return
		}
		if e, ok := err.(*failure.Error); !ok || e.Class() != failure.Reply || e.Hint != "" || !sentence.MatchString(e.Message) {
			t.Fatalf("got %#v", err)
		}
	})
}

// FuzzLifetimeUntil: a lifetime is whole seconds, positive and bounded, and ends no
// later than the time that was read.
func FuzzLifetimeUntil(f *testing.F) {
	for _, text := range []string{`"2026-11-21T13:00:00Z"`, `1795267200`, `1795267200000`, `"1795267200"`, `-1`, `1e99`, `"2026-11-21T13:00:00.999999999+14:00"`, `true`, `"1e9"`} {
		f.Add(text, int64(1795260000))
	}
	f.Fuzz(func(t *testing.T, text string, unix int64) {
		if unix < 0 || unix > 1<<40 {
			return
		}
		object, err := ParseObject([]byte(`{"at":` + text + `}`))
		if err != nil {
			return
		}
		received := time.Unix(unix, 0)
		life := LifetimeUntil(object["at"], received)
		if life < 0 || life > MaxLifetime || life%time.Second != 0 {
			t.Errorf("%s at %d: %v", text, unix, life)
		}
		var at time.Time
		if json.Unmarshal([]byte(text), &at) == nil && life > 0 && (received.Add(life).After(at) || at.Sub(received)-life >= time.Second) {
			t.Errorf("%s at %d: %v", text, unix, life)
		}
	})
}
