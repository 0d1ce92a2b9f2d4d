package credential

// storeCommand is the system's own command that stores a secret for account;
// with -w at the end it asks for the value.
func storeCommand(account string) string {
	return "security add-generic-password -U -s tokenfetch -a " + account + " -w"
}
