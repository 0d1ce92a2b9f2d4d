//go:build !linux && !darwin

package credential

// storeCommand is empty: this system's own command stores values in another
// encoding than the one that is read.
func storeCommand(string) string { return "" }
