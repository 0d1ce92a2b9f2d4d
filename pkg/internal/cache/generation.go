package cache

import (
	"context"
	"crypto/rand"
)

const (
	generationSuffix = ".generation"
	generationSize   = 16
)

// Generation returns the generation of the tokens of a provider's profile, ref,
// for [Owner]. It is read from the directory path before any secret is, so that
// a token is kept under the generation of the secrets that it was fetched with.
// Before the first [Advance], and where there is no directory, it is "".
func Generation(ctx context.Context, path string, ref []string) string {
	d, err := openDir(ctx, path, false)
	if err != nil {
		return ""
	}
	key, err := d.read(ctx, keyFile)
	if err != nil || len(key) != KeySize {
		return ""
	}
	name := generationName(key, ref)
	generation, err := d.read(ctx, name)
	if Missing(err) {
		return ""
	}
	if err != nil || len(generation) != generationSize {
		if generation, err = d.random(ctx, name, generationSize); err != nil {
			return rand.Text() // nothing that is kept belongs to it
		}
	}
	return string(generation)
}

// Advance gives the tokens of each of refs a new generation: those that were
// kept before are not found any more, wherever their files are. After an error some
// may have kept the old one.
func Advance(ctx context.Context, path string, refs [][]string) error {
	d, err := openDir(ctx, path, true)
	if err != nil {
		return err
	}
	key, err := fingerprintKey(ctx, d)
	if err != nil {
		return err
	}
	for _, ref := range refs {
		generation := make([]byte, generationSize)
		_, _ = rand.Read(generation) // never fails
		if err := d.write(ctx, generationName(key, ref), generation); err != nil {
			return err
		}
	}
	return nil
}

func generationName(key []byte, ref []string) string {
	return fileName(key, append([]string{"generation"}, ref...)...) + generationSuffix
}
