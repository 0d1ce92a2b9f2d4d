package cache

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/tokenfetch/tokenfetch/pkg/secret"
)

// KeyStore is a store that can also keep the sealing key.
type KeyStore interface {
	secret.Store
	// Set stores a secret under account, in place of an older one.
	Set(ctx context.Context, account string, value secret.Value) error
}

// keyAccount is the sealing key's name in the keychain. No provider is called
// tokenfetch.
const keyAccount = "tokenfetch/cache_key"

// SealingKey returns the key in the store: secret.ErrNotFound if there is none,
// ErrUnusable if it is damaged.
func SealingKey(ctx context.Context, store secret.Store) ([]byte, error) {
	value, err := store.Get(ctx, keyAccount)
	if err != nil {
		return nil, err
	}
	key, err := base64.StdEncoding.DecodeString(value.Reveal())
	if err != nil || len(key) != KeySize {
		return nil, fmt.Errorf("%w: the sealing key in the keychain is damaged", ErrUnusable)
	}
	return key, nil
}

// MakeSealingKey returns the key in the store, and makes one if there is none
// that can be used. Of the processes that use the directory path one makes it. The
// error is one of the store, secret.ErrTimeout too where ctx ends before it is this
// process's turn, or ErrUnusable for the directory.
func MakeSealingKey(ctx context.Context, store KeyStore, path string) ([]byte, error) {
	d, err := openDir(ctx, path, true)
	if err != nil {
		return nil, err // of no use without one
	}
	unlock, err := d.lock(ctx, "sealing-key.lock", func() bool { return false })
	if err != nil {
		return nil, secret.ErrTimeout
	}
	defer unlock()
	key, err := SealingKey(ctx, store)
	if !errors.Is(err, secret.ErrNotFound) && !errors.Is(err, ErrUnusable) {
		return key, err
	}
	key = make([]byte, KeySize)
	_, _ = rand.Read(key) // never fails
	if err := store.Set(ctx, keyAccount, secret.New(base64.StdEncoding.EncodeToString(key))); err != nil {
		return nil, err
	}
	return SealingKey(ctx, store) // another directory's process may have been later
}

// minKey is how many bytes a key has that the user keeps.
const minKey = 32

// KeyFrom makes a sealing key of one that the user keeps: any bytes, made at
// random. One line end behind them (LF or CR LF) does not belong to the key. With
// fewer than 32 bytes it is an error.
func KeyFrom(kept secret.Value) ([]byte, error) {
	key := kept.Reveal()
	for _, end := range []string{"\r\n", "\n"} {
		if before, ok := strings.CutSuffix(key, end); ok && len(before) >= minKey {
			key = before
			break
		}
	}
	if len(key) < minKey {
		return nil, fmt.Errorf("%w: it has fewer than %d bytes", ErrUnusable, minKey)
	}
	sum := sha256.Sum256([]byte("tokenfetch cache key\n" + key))
	return sum[:], nil
}
