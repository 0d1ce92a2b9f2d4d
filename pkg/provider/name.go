package provider

import "slices"

// CheckName says why a user's provider cannot have the name, "" if it can. What it
// says does not repeat the name.
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
