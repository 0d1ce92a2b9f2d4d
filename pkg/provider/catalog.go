package provider

import (
	"embed"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
)

//go:embed catalog/*.toml
var sources embed.FS

// Catalog contains the provider definitions that a program can use: the built-in
// ones, which are compiled in, and those in the user's directory, which it parses on
// first use. All users of a definition share it and must not change it. A Catalog is
// safe for concurrent use.
type Catalog struct {
	dir      string
	readFile func(path string) ([]byte, error)

	mu   sync.Mutex
	read map[string]*Definition
}

// NewCatalog returns a catalog of the built-in providers and of the definitions in
// the files NAME.toml in dir. It calls read to read such a file; the error of read
// must be a [*failure.Error]. dir may be empty or may not exist. NewCatalog itself
// reads nothing.
func NewCatalog(dir string, read func(path string) ([]byte, error)) *Catalog {
	return &Catalog{dir: dir, readFile: read, read: map[string]*Definition{}}
}

// ErrUnknown is returned if the catalog has no provider with the given name.
var ErrUnknown = errors.New("no such provider")

// Builtin returns the names of the built-in providers, sorted.
func Builtin() []string {
	names := make([]string, len(builtins))
	for i, d := range builtins {
		names[i] = d.Name
	}
	return names
}

// builtin returns the built-in definition with that name, or nil if there is none.
func builtin(name string) *Definition {
	d, _ := find(builtins, func(d *Definition) bool { return d.Name == name })
	return d
}

func isBuiltin(name string) bool { return builtin(name) != nil }

// Dir returns the directory of the user's definitions, or "" if there is none.
func (c *Catalog) Dir() string { return c.dir }

// File returns the path of the user's definition with that name, whether or not the
// file exists. It returns "" if there is no directory for definitions.
func (c *Catalog) File(name string) string {
	if c.dir == "" {
		return ""
	}
	return filepath.Join(c.dir, name+".toml")
}

// Names returns the names of all providers, sorted. It includes user-defined
// providers whose definition is invalid. It parses no definition.
func (c *Catalog) Names() []string {
	names := Builtin()
	for _, name := range c.files() {
		if usable(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// files returns the base names, without .toml, of the .toml files in the directory.
// For a directory that cannot be read it returns none: [Catalog.Definition] reports
// the problem when a provider is requested.
func (c *Catalog) files() []string {
	if c.dir == "" {
		return nil
	}
	entries, _ := os.ReadDir(c.dir)
	var names []string
	for _, entry := range entries {
		if name, ok := strings.CutSuffix(entry.Name(), ".toml"); ok && !strings.HasPrefix(name, ".") {
			names = append(names, name)
		}
	}
	return names
}

// usable reports whether name is valid for a user-defined provider.
func usable(name string) bool { return providerName(name) && !slices.Contains(reserved, name) }

// Stray returns the paths of the .toml files in the directory that define no
// provider because their names are not valid provider names.
func (c *Catalog) Stray() []string {
	var paths []string
	for _, name := range c.files() {
		if !usable(name) {
			paths = append(paths, c.File(name))
		}
	}
	return paths
}

// Has reports whether there is a provider with that name. It parses no definition.
func (c *Catalog) Has(name string) bool { return isBuiltin(name) || usable(name) && c.hasFile(name) }

func (c *Catalog) hasFile(name string) bool {
	if c.dir == "" {
		return false
	}
	_, err := os.Lstat(c.File(name))
	return err == nil
}

// Title returns the title of a provider. It returns "" for an unknown provider, and
// a text that says so if the definition is invalid.
func (c *Catalog) Title(name string) string {
	if d := builtin(name); d != nil {
		return d.Title
	}
	d, err := c.Definition(name)
	switch {
	case err == nil:
		return d.Title
	case errors.Is(err, ErrUnknown):
		return ""
	}
	return name + " (its definition is broken: tokenfetch provider check " + c.File(name) + ")"
}

// Definition returns the definition of a provider. The error is [ErrUnknown] for a
// name that [Catalog.Names] does not contain, and a [*failure.Error] otherwise.
func (c *Catalog) Definition(name string) (*Definition, error) {
	if !c.Has(name) {
		return nil, ErrUnknown
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.read[name]; d != nil {
		return d, nil
	}
	d, err := c.parse(name)
	if err == nil {
		c.read[name] = d // an error may pass: a Client can be used for a long time
	}
	return d, err
}

func (c *Catalog) parse(name string) (*Definition, error) {
	file := c.File(name)
	if d := builtin(name); d != nil && c.hasFile(name) {
		return nil, failure.New(failure.DefinitionInvalid, "%s has the name of a built-in provider", file).
			WithHint("give the file another name, such as my-%s.toml", name)
	} else if d != nil {
		return d, nil
	}
	data, err := c.readFile(file)
	if err != nil {
		return nil, err
	}
	d, err := Parse(file, data)
	if problems, ok := errors.AsType[*Problems](err); ok {
		return nil, problems.failure()
	}
	d.File = file
	return d, nil
}

// Source returns the TOML text of the definition that [Catalog.Definition] would
// parse. The text may be invalid.
func (c *Catalog) Source(name string) ([]byte, error) {
	switch {
	case isBuiltin(name):
		return sources.ReadFile("catalog/" + name + ".toml")
	case c.Has(name):
		return c.readFile(c.File(name))
	}
	return nil, ErrUnknown
}

// All returns the valid definitions of all providers, in the order of
// [Catalog.Names]. broken maps the name of each other provider to its error.
func (c *Catalog) All() (all []*Definition, broken map[string]error) {
	broken = map[string]error{}
	for _, name := range c.Names() {
		if d, err := c.Definition(name); err == nil {
			all = append(all, d)
		} else {
			broken[name] = err
		}
	}
	return all, broken
}

// SecretVariable returns a function that reports whether an environment variable
// contains a secret field of any provider. The function parses a definition only if
// the variable's name starts with the provider's prefix. If that definition is
// invalid, every such variable counts as secret.
func (c *Catalog) SecretVariable() func(variable string) bool {
	names := c.Names()
	return func(variable string) bool {
		return slices.ContainsFunc(names, func(name string) bool {
			setting, ok := strings.CutPrefix(variable, VariablePrefix(name))
			if !ok {
				return false
			}
			d, err := c.Definition(name)
			return err != nil || d.secret(strings.ToLower(setting))
		})
	}
}

// Conflict returns an environment variable that d shares with another provider, and
// that provider's name. Both are empty if there is no conflict.
func (c *Catalog) Conflict(d *Definition) (variable, other string) {
	all, _ := c.All()
	for _, o := range all {
		if o.Name == d.Name {
			continue
		}
		for _, name := range d.Variables() {
			if slices.Contains(o.Variables(), name) {
				return name, o.Name
			}
		}
	}
	return "", ""
}
