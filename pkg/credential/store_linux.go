package credential

// storeCommand is the system's own command that stores a secret for account;
// it asks for the value.
func storeCommand(account string) string {
	return "secret-tool store --label=tokenfetch service tokenfetch username " + account
}
