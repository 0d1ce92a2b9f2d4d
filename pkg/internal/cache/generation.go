package cache

import (
	"context"
	"crypto/rand"

	"github.com/tokenfetch/tokenfetch/pkg/source"
)

const (
	generationSuffix = ".generation"
	generationSize   = 16
)

// Generation returns the generation of the cached tokens of ref, a provider and a
// profile name, for use in [Owner]. path is the state directory. Call it before
// reading any secret, so that a token is cached under the generation of the secrets
// that it was fetched with. It returns "" before the first [Advance] and if there is
// no directory.
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
			return rand.Text() // matches no cached token
		}
	}
	return string(generation)
}

// Advance starts a new generation for the tokens of each of refs. Tokens of the old
// generation are no longer found, wherever their files are. After an error, some of
// the refs may still have the old generation.
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
		if err := d.write(ctx, generationName(key, ref), generation, source.Replace); err != nil {
			return err
		}
	}
	return nil
}

func generationName(key []byte, ref []string) string {
	return fileName(key, append([]string{"generation"}, ref...)...) + generationSuffix
}
