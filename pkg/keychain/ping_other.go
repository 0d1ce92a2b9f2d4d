//go:build !linux

package keychain

import (
	"errors"

	"github.com/zalando/go-keyring"

	"github.com/tokenfetch/tokenfetch/pkg/secret"
)

// ping reads an item that does not exist.
func (k *Keychain) ping() (locked bool, err error) {
	if _, err := keyring.Get(Service, "tokenfetch/ping"); err != nil && !errors.Is(err, keyring.ErrNotFound) {
		return false, secret.ErrUnavailable
	}
	return k.locked()
}
