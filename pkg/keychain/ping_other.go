//go:build !linux

package keychain

import (
	"errors"

	"github.com/zalando/go-keyring"

	"github.com/tokenfetch/tokenfetch/pkg/secret"
)

// ping asks for an item that nobody stores.
func (k *Keychain) ping() (locked bool, err error) {
	if _, err := keyring.Get(Service, "tokenfetch/ping"); err != nil && !errors.Is(err, keyring.ErrNotFound) {
		return false, secret.ErrUnavailable
	}
	return k.locked()
}
