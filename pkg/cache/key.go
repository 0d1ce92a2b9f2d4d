package cache

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"

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
// that can be used. Of the processes that use the directory path one makes it.
func MakeSealingKey(ctx context.Context, store KeyStore, path string) ([]byte, error) {
	unlock, err := Lock(ctx, path, "sealing-key")
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

// minText is the length from which a text is taken as a sealing key.
const minText = 32

// KeyFromText makes a sealing key of a text that the user keeps: at least 32
// bytes, made at random.
func KeyFromText(text secret.Value) ([]byte, error) {
	if len(text.Reveal()) < minText {
		return nil, fmt.Errorf("%w: cache_key is shorter than %d bytes", ErrUnusable, minText)
	}
	key := sha256.Sum256([]byte("tokenfetch cache key\n" + text.Reveal()))
	return key[:], nil
}
