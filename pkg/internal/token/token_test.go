package token

import (
	"strconv"
	"strings"
	"testing"

	"github.com/tokenfetch/tokenfetch/pkg/secret"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	const (
		prefix  = `bad_token (reply, sent "no", attempts 0): the reply's token `
		nothing = prefix + "is a placeholder such as null"
		echo    = prefix + "contains a secret that was sent"
	)
	sent := []secret.Value{{}, secret.New(""), secret.New("sevenby"), secret.New("secret-8"), secret.New(strings.Repeat("z", 9))}
	for want, texts := range map[string][]string{
		`no_token (reply, sent "no", attempts 0): the reply's token is empty`: {""},
		prefix + "contains a blank at offset 0":                               {" ", " tok"},
		prefix + "contains a line break at offset 3":                          {"tok\n"},
		prefix + "contains a blank at offset 6":                               {"Bearer tok"},
		prefix + "contains a control byte at offset 2":                        {"to\x00k", "to\x7fk"},
		prefix + "contains a control byte at offset 3":                        {"tok\x1b[31m"},
		prefix + "contains a byte that is not ASCII at offset 3":              {"tok\u009b31m", "tok\u202e"},
		prefix + "contains a byte that is not ASCII at offset 1":              {"tök"},
		prefix + "contains a byte that is not ASCII at offset 0":              {"\ufefftok"},
		"no error": {"x", strings.Repeat("x", 8192), visible(), "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.", "nullable", "xnull", "null-null", "Secret-8", "secret-", "sevenby"},
		prefix + "has a length of 8193 bytes; the limit is 8192": {strings.Repeat("x", 8193)},
		nothing:                                 {"null", "undefined", "uNDEFINED", "None", "nil", "NaN"},
		prefix + "contains a blank at offset 7": {"[object Object]", "[OBJECT object]"},
		echo:                                    {"secret-8", "x" + strings.Repeat("z", 9) + "x"},
	} {
		for _, text := range texts {
			got := told(Check(text, sent...))
			if got != want {
				t.Errorf("%.80q: got %s, want %s", text, got, want)
			}
			checkHarmless(t, got)
		}
	}
}

// visible returns the 94 characters a token may hold.
func visible() string {
	var b strings.Builder
	for c := byte('!'); c <= '~'; c++ {
		b.WriteByte(c)
	}
	return b.String()
}

// Of all bytes these and no others are allowed, wherever they stand.
func TestCheckEveryByte(t *testing.T) {
	t.Parallel()
	allowed := visible()
	if len(allowed) != 94 {
		t.Fatalf("%d characters", len(allowed))
	}
	for c := range 256 {
		for _, text := range []string{string([]byte{byte(c)}), string([]byte{'x', byte(c)}), string([]byte{byte(c), 'x'})} {
			if got, want := Check(text) == nil, strings.IndexByte(allowed, byte(c)) >= 0; got != want {
				t.Errorf("%s: accepted %v", strconv.Quote(text), got)
			}
		}
	}
}
