//go:build !linux

package keychain

// locked always returns false: macOS and Windows unlock the keychain with the
// session and have no way to query it.
func (k *Keychain) locked() (bool, error) { return false, nil }
