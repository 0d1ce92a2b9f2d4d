// Package source reads a value from a file, standard input or the output of a helper
// command. It returns the exact content without one final line ending. The error for
// an invalid value names the rule and never the value. The package also writes such
// files. Errors are of type [*failure.Error] unless a function says otherwise.
package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/tokenfetch/tokenfetch/pkg/await"
	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
)

// MaxValue is the maximum length of a value, in bytes.
const MaxValue = 8 << 10

// Check returns the rule that value violates, or "". A value is 1 to MaxValue bytes
// of UTF-8 on one line.
func Check(value string) string {
	switch {
	case value == "":
		return "is empty"
	case len(value) > MaxValue:
		return fmt.Sprintf("is longer than the limit of %d bytes", MaxValue)
	case !utf8.ValidString(value):
		return "is not UTF-8"
	}
	for _, c := range []byte(value) {
		switch c {
		case 0:
			return "contains a NUL byte"
		case '\n', '\r':
			return "contains a line break"
		}
	}
	return ""
}

// value converts raw data to a value. It removes one final line ending and nothing
// else. where is the name of the source in errors ("the file …", "standard input").
func value(raw []byte, where string, code failure.Code) (secret.Value, error) {
	text, ended := bytes.CutSuffix(raw, []byte("\n"))
	if ended {
		text = bytes.TrimSuffix(text, []byte("\r"))
	}
	if rule := Check(string(text)); rule != "" {
		return secret.Value{}, failure.New(code, "the value from %s %s", where, rule)
	}
	return secret.New(string(text)), nil
}

// Reader reads a value from r. where is its name in errors. Reader returns when ctx
// ends, even if r never returns; do not use r after that.
func Reader(ctx context.Context, r io.Reader, where string) (secret.Value, error) {
	raw, err := await.Do(ctx, func() ([]byte, error) { return readUpTo(r, MaxValue+2) })
	switch {
	case isDeadline(err):
		return secret.Value{}, failure.New(failure.InputTimeout, "no data within the time limit from %s", where)
	case err != nil:
		return secret.Value{}, failure.New(failure.FileUnreadable, "cannot read %s: %s", where, reason(err))
	}
	return value(raw, where, failure.FieldInvalid)
}

// readUpTo reads all of r, but at most limit+1 bytes.
func readUpTo(r io.Reader, limit int64) ([]byte, error) {
	return io.ReadAll(io.LimitReader(r, limit+1))
}

func isDeadline(err error) bool { return errors.Is(err, context.DeadlineExceeded) }
