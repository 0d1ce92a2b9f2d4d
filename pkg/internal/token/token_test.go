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
	tests := []struct{ name, text, want string }{
		{"empty", "", `no_token (reply, sent "no", attempts 0): the reply's token is empty`},
		{"nothing but a blank", " ", prefix + "contains a blank at offset 0"},
		{"nothing but a tab", "\t", prefix + "contains a blank at offset 0"},
		{"trailing LF", "tok\n", prefix + "contains a line break at offset 3"},
		{"trailing CR LF", "tok\r\n", prefix + "contains a line break at offset 3"},
		{"leading blank", " tok", prefix + "contains a blank at offset 0"},
		{"trailing blank", "tok ", prefix + "contains a blank at offset 3"},
		{"with the word Bearer", "Bearer tok", prefix + "contains a blank at offset 6"},
		{"NUL", "to\x00k", prefix + "contains a control byte at offset 2"},
		{"ESC", "tok\x1b[31m", prefix + "contains a control byte at offset 3"},
		{"C1", "tok\u009b31m", prefix + "contains a byte that is not ASCII at offset 3"},
		{"DEL", "to\x7fk", prefix + "contains a control byte at offset 2"},
		{"BEL", "to\ak", prefix + "contains a control byte at offset 2"},
		{"CR", "to\rk", prefix + "contains a line break at offset 2"},
		{"letter", "tök", prefix + "contains a byte that is not ASCII at offset 1"},
		{"emoji", "😀", prefix + "contains a byte that is not ASCII at offset 0"},
		{"bidi", "tok\u202e", prefix + "contains a byte that is not ASCII at offset 3"},
		{"zero-width", "tok\u200b", prefix + "contains a byte that is not ASCII at offset 3"},
		{"quote", "tok\u2019", prefix + "contains a byte that is not ASCII at offset 3"},
		{"byte order mark", "\ufefftok", prefix + "contains a byte that is not ASCII at offset 0"},
		{"no UTF-8", "tok\xff", prefix + "contains a byte that is not ASCII at offset 3"},
		{"1 byte", "x", "no error"},
		{"8192 bytes", strings.Repeat("x", 8192), "no error"},
		{"8193 bytes", strings.Repeat("x", 8193), prefix + "has a length of 8193 bytes; the limit is 8192"},
		{"1 MiB", strings.Repeat("x", 1<<20), prefix + "has a length of 1048576 bytes; the limit is 8192"},
		{"every character", visible(), "no error"},
		{"dashes", "--", "no error"},
		{"JWT", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.", "no error"},
		{"UUID", "00000000-0000-4000-8000-000000000000", "no error"},
		{"base64", "+/==", "no error"},

		{"null", "null", nothing},
		{"Null", "Null", nothing},
		{"NULL", "NULL", nothing},
		{"undefined", "undefined", nothing},
		{"Undefined", "uNDEFINED", nothing},
		{"None", "None", nothing},
		{"nil", "nil", nothing},
		{"NaN", "NaN", nothing},
		{"nan", "nan", nothing},
		{"object", "[object Object]", prefix + "contains a blank at offset 7"},
		{"object in lower case", "[OBJECT object]", prefix + "contains a blank at offset 7"},
		{"a word that begins so", "nullable", "no error"},
		{"a word in another", "xnull", "no error"},
		{"two words", "null-null", "no error"},

		{"a secret that was sent", "secret-8", echo},
		{"a secret at the start", "secret-8.x", echo},
		{"a secret at the end", "x.secret-8", echo},
		{"the second secret", "x" + strings.Repeat("z", 9) + "x", echo},
		{"a secret in another case", "Secret-8", "no error"},
		{"part of a secret", "secret-", "no error"},
		{"a secret of 7 bytes", "sevenby", "no error"},
	}
	sent := []secret.Value{{}, secret.New(""), secret.New("sevenby"), secret.New("secret-8"), secret.New(strings.Repeat("z", 9))}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := Check(test.text, sent...)
			checkTold(t, err, test.want)
			if err != nil {
				checkHarmless(t, told(err))
			}
		})
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
