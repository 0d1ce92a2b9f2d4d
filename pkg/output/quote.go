package output

import "strings"

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
