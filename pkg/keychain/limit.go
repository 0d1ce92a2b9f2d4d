package keychain

import (
	"encoding/base64"
	"strings"
)

// What go-keyring 0.2.8 and the systems behind it take.
const (
	// maxBlob is the largest credential of Windows (CRED_MAX_CREDENTIAL_BLOB_SIZE).
	maxBlob = 2560
	// maxCommand is the longest command that the library hands to macOS's own
	// program, with the value in base64 behind a prefix.
	maxCommand = 4096
	addCommand = "add-generic-password -U -s " + Service + " -a  -w go-keyring-base64:\n"
)

// limit returns how many bytes an item for account may have on a system, 0 for
// any number.
func limit(system, account string) int {
	switch system {
	case "windows":
		return maxBlob
	case "darwin":
		if strings.ContainsAny(account, "[]") {
			account = "'" + account + "'" // quoted for the host [::1]
		}
		return base64.StdEncoding.DecodedLen((maxCommand - len(addCommand) - len(account)) / 4 * 4)
	}
	return 0
}
