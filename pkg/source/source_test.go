package source_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/source"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// canary stands in every value that must not be seen in an error.
const canary = "canary-Zq8xW"

// soon is a deadline that a wait of the test runs into.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// lineEnds are inputs with the value in them: exactly one line end is removed.
var lineEnds = map[string]string{
	"pw":                "pw",
	"pw\n":              "pw",
	"pw\r\n":            "pw",
	" pw\t":             " pw\t",
	" \n":               " ",
	"\t pw \r\n":        "\t pw ",
	"p%77 $(id) `id`\n": "p%77 $(id) `id`",
	"pässwörd😀\n":       "pässwörd😀",
	"\ufeffpw\n":        "\ufeffpw",
	"pw\x1b\x7f\n":      "pw\x1b\x7f",
}

// broken are inputs that hold no value, with the rule each breaks.
var broken = map[string]string{
	"":                        "is empty",
	"\n":                      "is empty",
	"\r\n":                    "is empty",
	canary + "\n\n":           "contains a line break",
	canary + "\r\r\n":         "contains a line break",
	canary + "\r\n\r\n":       "contains a line break",
	canary + "\nsecond\n":     "contains a line break",
	"\n" + canary:             "contains a line break",
	canary + "\r":             "contains a line break",
	"\r":                      "contains a line break",
	canary + "\rx\n":          "contains a line break",
	canary + "\x00\n":         "contains a NUL byte",
	"\x00":                    "contains a NUL byte",
	canary + "\xff":           "is not UTF-8",
	"\xff\xfec\x00a\x00":      "is not UTF-8",
	canary + "\xed\xa0\x80\n": "is not UTF-8",
	canary + strings.Repeat("x", source.MaxValue-len(canary)+1):        "is longer than the limit of 8192 bytes",
	canary + strings.Repeat("x", source.MaxValue-len(canary)+1) + "\n": "is longer than the limit of 8192 bytes",
	canary + strings.Repeat("x", source.MaxValue-len(canary)+2):        "is longer than the limit of 8192 bytes",
}

func TestCheck(t *testing.T) {
	for value, want := range map[string]string{
		"x": "", " ": "", "\t": "", "ü😀": "", "\x1b[0m": "", strings.Repeat("x", 8192): "",
		"": "is empty", strings.Repeat("x", 8193): "is longer than the limit of 8192 bytes", "a\nb": "contains a line break", "a\r": "contains a line break",
		"a\x00": "contains a NUL byte", "\xff": "is not UTF-8", "a\xc3": "is not UTF-8",
	} {
		if got := source.Check(value); got != want {
			t.Errorf("Check(%.20q) = %q, want %q", value, got, want)
		}
	}
}

func TestReader(t *testing.T) {
	longest := strings.Repeat("x", source.MaxValue)
	inputs := map[string]string{longest: longest, longest + "\n": longest, longest + "\r\n": longest}
	for input, want := range lineEnds {
		inputs[input] = want
	}
	for input, want := range inputs {
		got, err := source.Reader(t.Context(), strings.NewReader(input), "standard input")
		if err != nil || got.Reveal() != want {
			t.Errorf("%.20q: %.20q, %v; want %.20q", input, got.Reveal(), err, want)
		}
	}
	for input, rule := range broken {
		_, err := source.Reader(t.Context(), strings.NewReader(input), "standard input")
		e := check.Failure(t, err, canary)
		if want := "the value from standard input " + rule; e.Code != failure.FieldInvalid || e.Message != want {
			t.Errorf("%.20q: %s %q, want field_invalid %q", input, e.Code, e.Message, want)
		}
	}
}

// endless gives bytes for ever and counts them.
type endless struct{ given int }

func (r *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	r.given += len(p)
	return len(p), nil
}

func TestReaderIsBounded(t *testing.T) {
	r := &endless{}
	_, err := source.Reader(t.Context(), r, "standard input")
	if e := check.Failure(t, err, canary); e.Message != "the value from standard input is longer than the limit of 8192 bytes" {
		t.Errorf("%+v", e)
	}
	// The limit, a line end and one byte to see that there is more.
	if r.given > source.MaxValue+3 {
		t.Errorf("%d bytes were read", r.given)
	}
}

func TestReaderEndsAtDeadline(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	go w.Write([]byte(canary)) // and never a line end or the end
	start := time.Now()
	_, err := source.Reader(soon(t), r, "standard input")
	if e := check.Failure(t, err, canary); e.Code != failure.InputTimeout || e.Message != "no data within the time limit from standard input" {
		t.Errorf("%+v", e)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestReaderInterrupted(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if v, err := source.Reader(ctx, r, "standard input"); err == nil {
		t.Errorf("a value came: %v", v)
	}
}

type failing struct{ err error }

func (r failing) Read([]byte) (int, error) { return 0, r.err }

func TestReaderHidesErrors(t *testing.T) {
	_, err := source.Reader(t.Context(), failing{errors.New(canary)}, "standard input")
	if e := check.Failure(t, err, canary); e.Code != failure.FileUnreadable || e.Message != "cannot read standard input: it cannot be opened" {
		t.Errorf("%+v", e)
	}
}
