package output

import (
	"errors"
	"strings"
)

// The quoters take visible ASCII, which is what a token is made of. Each returns
// one word of its language that stands for exactly the text.

// quotePOSIX quotes for sh, dash, bash, zsh and ksh.
func quotePOSIX(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// quoteFish quotes for fish, where \\ and \' are escapes inside single quotes.
func quoteFish(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'"
}

// quotePowerShell quotes for PowerShell, where a doubled quote stands for one.
// Typographic quotes, which it takes for quotes too, are not ASCII.
func quotePowerShell(text string) string {
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}

// quoteCurl quotes for a configuration file of curl.
func quoteCurl(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

// errDotenv is the failure of a text that no two readers of .env files would
// take for the same.
var errDotenv = errors.New("the token contains a single quote, a backslash or a dollar sign, which readers of .env files disagree about")

// quoteDotenv quotes for a .env file. Its readers agree on little: plain letters
// need no quotes, which some (docker run --env-file) would take for a part of
// the value, and most else is literal between single quotes. There a backslash
// is an escape for some (a final one takes the quote with it), and python-dotenv
// replaces ${NAME}.
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
