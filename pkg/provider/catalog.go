package provider

import (
	"embed"
	"slices"
	"strings"
)

//go:embed catalog/*.toml
var catalog embed.FS

// Names returns the names of the built-in providers, sorted. It parses nothing.
func Names() []string {
	entries, _ := catalog.ReadDir("catalog") // embedded, cannot fail
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = strings.TrimSuffix(entry.Name(), ".toml")
	}
	slices.Sort(names)
	return names
}

// Title returns the title of a built-in provider. It looks for the line instead
// of parsing the definition, because a list of all providers must be quick.
func Title(name string) string {
	data, _ := catalog.ReadFile("catalog/" + name + ".toml") // no title for a name that is not listed
	_, rest, _ := strings.Cut(string(data), "\ntitle = \"")
	title, _, _ := strings.Cut(rest, "\"\n")
	return title
}

// Builtin returns the definition of a built-in provider. It fails only for a
// name that Names does not list; a test checks every definition.
func Builtin(name string) (*Definition, error) {
	data, err := catalog.ReadFile("catalog/" + name + ".toml")
	if err != nil {
		return nil, err
	}
	return Parse(name+".toml", data)
}

// Builtins returns the definitions of all built-in providers, in the order of
// Names.
func Builtins() ([]*Definition, error) {
	var all []*Definition
	for _, name := range Names() {
		d, err := Builtin(name)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

// SecretVariables returns the environment variables that hold the secret
// fields of the built-in providers.
func SecretVariables() ([]string, error) {
	all, err := Builtins()
	var names []string
	for _, d := range all {
		for _, f := range d.Fields {
			if f.Secret {
				names = append(names, d.Variable(f.Name))
			}
		}
	}
	return names, err
}
