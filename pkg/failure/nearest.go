package failure

import (
	"slices"
	"strings"
)

// Nearest returns the one of known that word is most likely a slip for, or "". It
// is at most a third of its letters away (Damerau-Levenshtein distance, optimal
// string alignment), so that one of fewer than three letters never is; case, "-"
// and "_" do not count. Where two are equally near there is none.
//
// What it returns is never word itself unless that is one of known: word may be a
// secret.
func Nearest(word string, known []string) string {
	typed := letters(word)
	best, distance, tied := "", 0, false
	for _, k := range known {
		meant := letters(k)
		limit := len(meant) / 3
		if k == best || limit == 0 || len(typed) > len(meant)+limit || len(typed) < len(meant)-limit {
			continue
		}
		switch d := edits(typed, meant); {
		case d > limit:
		case best == "" || d < distance:
			best, distance, tied = k, d, false
		case d == distance:
			tied = true
		}
	}
	if tied {
		return ""
	}
	return best
}

// NearestVariable is Nearest for the names of variables. What they rightly begin
// with is no part of the word, because of long names any two are near: those that
// begin with the first of prefixes, as name does, are measured behind it, and if
// none of them is near the rest behind the second, and so on.
func NearestVariable(name string, known []string, prefixes ...string) string {
	for _, prefix := range prefixes {
		typed, ok := strings.CutPrefix(name, prefix)
		if !ok {
			continue
		}
		var behind, others []string
		for _, k := range known {
			if rest, ok := strings.CutPrefix(k, prefix); ok {
				behind = append(behind, rest)
			} else {
				others = append(others, k)
			}
		}
		if near := Nearest(typed, behind); near != "" {
			return prefix + near
		}
		known = others
	}
	return ""
}

// Suggest returns e with the question whether near was meant in front of its hint,
// or e itself if near is empty.
func (e *Error) Suggest(near string) *Error {
	if near == "" {
		return e
	}
	return e.WithHint("%s", strings.TrimSuffix("did you mean "+near+"? "+e.Hint, " "))
}

// letters returns what counts of a word.
func letters(word string) []rune {
	return slices.DeleteFunc([]rune(strings.ToLower(word)), func(r rune) bool { return r == '-' || r == '_' })
}

// edits returns how many insertions, deletions, substitutions and swaps of two
// neighbours make b of a, where nothing is edited twice.
func edits(a, b []rune) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		before, last, row = last, row, before
		row[0] = i + 1
		for j := range b {
			change := last[j]
			if a[i] != b[j] {
				change++
			}
			row[j+1] = min(change, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}
