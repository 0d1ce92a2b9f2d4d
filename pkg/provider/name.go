package provider

import "slices"

// CheckName returns why name is not valid for a user-defined provider, or "" if it
// is valid. The text does not repeat the name.
func CheckName(name string) string {
	switch {
	case !providerName(name):
		return "must match " + namePattern
	case isBuiltin(name):
		return "is that of a built-in provider"
	case slices.Contains(reserved, name):
		return "is that of a command, or kept for one"
	}
	return ""
}
