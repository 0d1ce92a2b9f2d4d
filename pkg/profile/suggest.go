package profile

import "github.com/tokenfetch/tokenfetch/pkg/failure"

// suggest names the known key that is nearest to key, behind a semicolon.
func suggest(key string, known []string) string {
	if near := failure.Nearest(key, known); near != "" {
		return `; the nearest known key is "` + near + `"`
	}
	return ""
}
