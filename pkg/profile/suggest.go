package profile

import "strings"

// suggest returns a suffix for a message that names the known key nearest to key, or
// "".
func suggest(key string, known []string) string {
	if near := Nearest(key, known); near != "" {
		return `; the nearest known key is "` + near + `"`
	}
	return ""
}

// Nearest returns the element of known that key is most likely a misspelling of, or
// "". It ignores case, "_" and "-".
func Nearest(key string, known []string) string {
	fold := func(s string) string {
		return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(s))
	}
	best, distance := "", 3
	for _, k := range known {
		if d := edits(fold(key), fold(k)); d < distance && d < len(k)/2+1 {
			best, distance = k, d
		}
	}
	return best
}

// edits returns the Levenshtein distance of a and b, in bytes.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
