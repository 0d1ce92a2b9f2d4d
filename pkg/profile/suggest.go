package profile

import "github.com/tokenfetch/tokenfetch/pkg/failure"

// suggest returns a suffix for a message that names the known key nearest to key, or
// "".
func suggest(key string, known []string) string {
	if near := failure.Nearest(key, known); near != "" {
		return `; the nearest known key is "` + near + `"`
	}
	return ""
}
