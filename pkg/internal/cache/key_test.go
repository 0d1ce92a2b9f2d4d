package cache

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/secret"
)

// slowStore is a keychain that takes a moment for each call.
type slowStore struct {
	mu    sync.Mutex
	items map[string]secret.Value
	made  int
}

func (s *slowStore) Get(_ context.Context, account string) (secret.Value, error) {
	time.Sleep(time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	value, ok := s.items[account]
	if !ok {
		return secret.Value{}, secret.ErrNotFound
	}
	return value, nil
}

func (s *slowStore) Set(_ context.Context, account string, value secret.Value) error {
	time.Sleep(time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.items[account] = value
	s.made++
	return nil
}

// TestOneSealingKeyIsMade: whoever makes it at once gets the same key, and one
// that is damaged is replaced.
func TestOneSealingKeyIsMade(t *testing.T) {
	store := &slowStore{items: map[string]secret.Value{}}
	dir := filepath.Join(t.TempDir(), "c")
	for round := 1; round <= 2; round++ {
		var keys [20][]byte
		var all sync.WaitGroup
		for i := range keys {
			all.Go(func() { keys[i], _ = MakeSealingKey(t.Context(), store, dir) })
		}
		all.Wait()
		for _, key := range keys {
			if len(key) != KeySize || !bytes.Equal(key, keys[0]) {
				t.Fatalf("keys of %d and %d bytes that differ", len(key), len(keys[0]))
			}
		}
		if store.made != round {
			t.Errorf("%d keys were made, want %d", store.made, round)
		}
		store.items[keyAccount] = secret.New("damaged")
		if _, err := SealingKey(t.Context(), store); !errors.Is(err, ErrUnusable) {
			t.Errorf("a damaged key: %v", err)
		}
	}
}
