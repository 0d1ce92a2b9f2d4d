package keychain

import (
	"encoding/base64"
	"strings"
)

// Limits of go-keyring 0.2.8 and of the operating systems.
const (
	// maxBlob is the maximum size of a credential on Windows
	// (CRED_MAX_CREDENTIAL_BLOB_SIZE).
	maxBlob = 2560
	// maxCommand is the maximum length of the command that the library sends to the
	// program /usr/bin/security on macOS. The command contains the value in base64,
	// after a prefix.
	maxCommand = 4096
	addCommand = "add-generic-password -U -s " + Service + " -a  -w go-keyring-base64:\n"
)

// limit returns the maximum length of an item for account in bytes, or 0 for no
// limit. system is a value of [runtime.GOOS].
func limit(system, account string) int {
	switch system {
	case "windows":
		return maxBlob
	case "darwin":
		if strings.ContainsAny(account, "[]") {
			account = "'" + account + "'" // the library quotes these, as in the host [::1]
		}
		return base64.StdEncoding.DecodedLen((maxCommand - len(addCommand) - len(account)) / 4 * 4)
	}
	return 0
}
