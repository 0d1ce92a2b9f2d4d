package output

import (
	"errors"
	"strings"
)

// The quote functions expect printable ASCII without spaces, as in tokens. Each
// returns one word in its language whose value is exactly the text.

// quotePOSIX quotes for sh, dash, bash, zsh and ksh.
func quotePOSIX(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// quoteFish quotes for fish, where \\ and \' are escapes inside single quotes.
func quoteFish(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'"
}

// quotePowerShell quotes for PowerShell, where a doubled quote means one quote.
// PowerShell also accepts typographic quotes, but these are not ASCII.
func quotePowerShell(text string) string {
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}

// quoteCurl quotes for a configuration file of curl.
func quoteCurl(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

// errDotenv is the error for a text that readers of .env files interpret
// differently.
var errDotenv = errors.New("the token contains a single quote, a backslash or a dollar sign, which readers of .env files disagree about")

// quoteDotenv quotes for a .env file. Its readers agree on little. Plain characters
// need no quotes, and some readers (docker run --env-file) would make the quotes
// part of the value. Most other characters are literal between single quotes, with
// two exceptions. For some readers a backslash is an escape there, and a final one
// escapes the quote. And python-dotenv replaces ${NAME}.
func quoteDotenv(text string) (string, error) {
	const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._+/=:,@%"
	switch {
	case strings.Trim(text, plain) == "":
		return text, nil
	case strings.ContainsAny(text, `'\$`):
		return "", errDotenv
	}
	return "'" + text + "'", nil
}
