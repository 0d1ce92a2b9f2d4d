package keychain

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	ss "github.com/zalando/go-keyring/secret_service"

	"github.com/tokenfetch/tokenfetch/pkg/secret"
)

// locked reports whether the collection that go-keyring uses is locked. It makes no
// call unless a session bus exists. Without one, the D-Bus library starts a daemon
// that keeps running and keeps our environment. A service that the bus has just
// started, without the login of a desktop session, may have no collection.
func (k *Keychain) locked() (bool, error) {
	if !k.busExists() {
		return false, secret.ErrUnavailable
	}
	service, err := ss.NewSecretService()
	if err != nil {
		return false, secret.ErrUnavailable
	}
	collection := service.GetLoginCollection()
	property, err := collection.GetProperty("org.freedesktop.Secret.Collection.Locked")
	if err != nil {
		alias := collection.Path()
		answer := service.Object("org.freedesktop.secrets", "/org/freedesktop/secrets").Call("org.freedesktop.Secret.Service.ReadAlias", 0, "default")
		if answer.Store(&alias) == nil && alias == "/" {
			return false, secret.ErrNoKeyring
		}
		return false, secret.ErrUnavailable
	}
	locked, _ := property.Value().(bool)
	return locked, nil
}

func (k *Keychain) busExists() bool {
	if address := k.Getenv("DBUS_SESSION_BUS_ADDRESS"); address != "" {
		return !strings.HasPrefix(address, "autolaunch:")
	}
	info, err := os.Stat(userBus())
	return err == nil && info.Mode()&os.ModeSocket != 0
}

// userBus returns the path where the user's session bus is, if there is one.
func userBus() string { return filepath.Join("/run/user", strconv.Itoa(os.Getuid()), "bus") }
