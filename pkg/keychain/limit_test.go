package keychain

import (
	"encoding/base64"
	"strings"
	"testing"
)

// TestLimit: one byte more would be refused by the library. The command for
// macOS is spelt out as the library builds it.
func TestLimit(t *testing.T) {
	for _, account := range []string{"zeepay/default/password@test.digitaltermination.com", "mpay/ci/password@[::1]:8080", "a/b/c@h"} {
		quoted := account
		if strings.Contains(account, "[") {
			quoted = "'" + account + "'"
		}
		most := limit("darwin", account)
		for _, n := range []int{most, most + 1} {
			command := "add-generic-password -U -s tokenfetch -a " + quoted + " -w go-keyring-base64:" +
				base64.StdEncoding.EncodeToString(make([]byte, n)) + "\n"
			if fits := len(command) <= 4096; fits != (n == most) {
				t.Errorf("%s: %d bytes make a command of %d bytes; the limit is %d", account, n, len(command), most)
			}
		}
		if got := limit("windows", account); got != 2560 {
			t.Errorf("Windows: %d, want 2560", got)
		}
		if got := limit("linux", account); got != 0 {
			t.Errorf("Linux: %d, want none", got)
		}
	}
}
