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

// KeyStore is a [secret.Store] that can also store the encryption key.
type KeyStore interface {
	secret.Store
	// Set stores a secret under account and replaces an existing one.
	Set(ctx context.Context, account string, value secret.Value) error
}

// keyAccount is the keychain account of the encryption key. No provider can have the
// name tokenfetch.
const keyAccount = "tokenfetch/cache_key"

// SealingKey returns the encryption key in the store. It returns
// [secret.ErrNotFound] if there is none, and [ErrUnusable] if it is damaged.
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

// MakeSealingKey returns the encryption key in the store. If the store has no usable
// key, it creates one; a lock in the directory path ensures that only one process
// does so. The error is one of the store, [secret.ErrTimeout] if ctx ends while
// waiting for the lock, or [ErrUnusable] for the directory.
func MakeSealingKey(ctx context.Context, store KeyStore, path string) ([]byte, error) {
	d, err := openDir(ctx, path, true)
	if err != nil {
		return nil, err // without a directory, a key is of no use
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
	return SealingKey(ctx, store) // a process with another directory may have stored a different key
}

// minKey is the minimum length of a key that the user supplies, in bytes.
const minKey = 32

// KeyFrom derives an encryption key from a key that the user supplies, which must be
// random bytes. One line ending at its end (LF or CR LF) is removed. A key with
// fewer than 32 bytes is an error.
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
