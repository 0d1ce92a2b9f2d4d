package output

import (
	"bufio"
	"io"
	"strings"
	"testing"

	"github.com/tokenfetch/tokenfetch/testdata/check"
)

func FuzzHarmless(f *testing.F) {
	for _, text := range []string{
		"", "plain", "##", "# ## ### ####", "\x1b[2J\x1b]52;c;aWQ=\x07", "\u009b\x9b", "\u2028\u202e\u200b\U000e0041", "a\r\nb\x00\x7f", "😀",
		`\x1b`, "::set-env name=x::y", "abc\xff", "...", strings.Repeat("#", 400),
	} {
		for _, limit := range []int{-1, 0, 2, 3, 9, 300} {
			f.Add(text, limit)
		}
	}
	f.Fuzz(func(t *testing.T, text string, limit int) {
		got := Harmless(text, limit)
		if !printable(got) {
			t.Errorf("not printable ASCII on one line: %q", got)
		}
		if len(got) > max(0, limit) {
			t.Errorf("%d characters, the limit is %d", len(got), limit)
		}
		if strings.Contains(got, "##") {
			t.Errorf("holds a command mark: %q", got)
		}
		if again := Harmless(got, limit); again != got {
			t.Errorf("%q becomes %q", got, again)
		}
		if printable(text) && !strings.Contains(text, "##") && len(text) <= limit && got != text {
			t.Errorf("%q needs no change and becomes %q", text, got)
		}
		// Nothing is left out without a mark.
		if whole := Harmless(text, 10*len(text)); got != whole && limit >= 3 && !strings.HasSuffix(got, "...") {
			t.Errorf("%q is cut to %q without a mark", whole, got)
		}
	})
}

func FuzzJSONLine(f *testing.F) {
	for _, text := range []string{"", "plain", `"\/`, "a\r\nb\x00\x7f", "\u0085\u2028\u202e", "😀\U0010ffff", "\xff\xed\xa0\x80", "</script>"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		checkJSONLine(t, text, string(JSONLine(text)))
	})
}

// seedTokens adds the dangerous tokens, but only a few of the pairs.
func seedTokens(f *testing.F) {
	f.Helper()
	for i, text := range tokens() {
		if len(text) > 2 || i%100 == 0 {
			f.Add(text)
		}
	}
}

// evaluator starts a shell that runs loop, and returns a function that gives
// it a line and returns the line it answers. One shell answers for all inputs,
// since starting one for each would leave little time for the inputs.
func evaluator(f *testing.F, loop, program string, args ...string) func(*testing.T, string) string {
	f.Helper()
	needs(f, program)
	cmd := command(f.Context(), f, program, append(args, "-c", loop)...)
	in, err := cmd.StdinPipe()
	check.OK(f, err)
	out, err := cmd.StdoutPipe()
	check.OK(f, err)
	check.OK(f, cmd.Start())
	f.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	answers := bufio.NewReader(out)
	return func(t *testing.T, text string) string {
		t.Helper()
		if _, err := io.WriteString(in, text); err != nil {
			t.Fatal(err)
		}
		answer, err := answers.ReadString('\n')
		if err != nil {
			t.Fatalf("no answer to %q: %v", text, err)
		}
		return strings.TrimSuffix(answer, "\n")
	}
}

func FuzzQuotePOSIX(f *testing.F) {
	seedTokens(f)
	f.Add("tab\tblank  é\xff\x01\x81\x88")
	eval := evaluator(f, `while IFS= read -r line; do unset T; eval "$line"; printf '%s\n' "$T"; done`, "sh")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.ContainsAny(text, "\x00\r\n") {
			t.Skip("not one line of text")
		}
		if got := eval(t, line(text, "export", "T")); got != text {
			t.Errorf("%q came back as %q", text, got)
		}
	})
}

func FuzzQuoteFish(f *testing.F) {
	seedTokens(f)
	eval := evaluator(f, `while read -l line; set -e T; echo $line | source; printf '%s\n' "$T"; end`, "fish", "--no-config")
	f.Fuzz(func(t *testing.T, text string) {
		text = visible(text)
		if got := eval(t, line(text, "fish", "T")); got != text {
			t.Errorf("%q came back as %q", text, got)
		}
	})
}

func FuzzQuoteCurl(f *testing.F) {
	needs(f, "curl")
	seedTokens(f)
	f.Fuzz(func(t *testing.T, text string) {
		text = visible(text)
		requests, err := curl(t, line(text, "curl", ""))
		check.OK(t, err)
		if want := strings.TrimRight("Bearer "+text, " "); len(requests) != 1 || len(requests[0]) != 1 || requests[0][0] != want {
			t.Errorf("%q came back as %q", want, requests)
		}
	})
}

// visible returns text with every byte that a token cannot have replaced by
// one that it can, which wastes no input.
func visible(text string) string {
	b := []byte(text)
	for i, c := range b {
		if c < '!' || c > '~' {
			b[i] = '!' + c%94
		}
	}
	return string(b)
}

// FuzzQuoteDotenv has a shell read the line as a file of variables.
func FuzzQuoteDotenv(f *testing.F) {
	seedTokens(f)
	eval := evaluator(f, `while IFS= read -r line; do unset T; eval "$line"; printf '%s\n' "$T"; done`, "sh")
	f.Fuzz(func(t *testing.T, text string) {
		text = visible(text)
		quoted, err := quoteDotenv(text)
		if (err != nil) != strings.ContainsAny(text, `'\$`) {
			t.Fatalf("%q: %q, %v", text, quoted, err)
		}
		if err != nil {
			return
		}
		if got := eval(t, "T="+quoted+"\n"); got != text {
			t.Errorf("%q came back as %q", text, got)
		}
	})
}
