package keychain

import ss "github.com/zalando/go-keyring/secret_service"

// ping checks whether a service owns the name of the keychain before it calls the
// service, because the session bus would start one for a call.
func (k *Keychain) ping() (locked bool, err error) {
	if !k.busExists() {
		return false, ErrNoBus
	}
	service, err := ss.NewSecretService()
	if err != nil {
		return false, ErrBusBroken
	}
	var runs bool
	if service.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, "org.freedesktop.secrets").Store(&runs) != nil {
		return false, ErrBusBroken
	}
	if !runs {
		return false, ErrNotRunning
	}
	return k.locked()
}
