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
var builtin embed.FS

// Catalog holds the definitions of the providers that a program knows: those that
// are built in and those of a user's directory. A definition is read when it is
// asked for. The methods may be called from several goroutines.
type Catalog struct {
	dir      string
	readFile func(path string) ([]byte, error)

	mu   sync.Mutex
	read map[string]result
}

// result is what became of reading a definition.
type result struct {
	definition *Definition
	err        error
}

// NewCatalog returns the catalog of the built-in providers and those that the files
// NAME.toml of dir define. read reads such a file; its error is a *failure.Error.
// dir may be empty, or a directory that does not exist. Nothing is read yet.
func NewCatalog(dir string, read func(path string) ([]byte, error)) *Catalog {
	return &Catalog{dir: dir, readFile: read, read: map[string]result{}}
}

// ErrUnknown says that a catalog has no provider of a name.
var ErrUnknown = errors.New("no such provider")

// Builtin returns the names of the built-in providers, sorted.
func Builtin() []string {
	entries, _ := builtin.ReadDir("catalog") // embedded, cannot fail
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = strings.TrimSuffix(entry.Name(), ".toml")
	}
	slices.Sort(names)
	return names
}

func isBuiltin(name string) bool { return slices.Contains(Builtin(), name) }

// Dir returns the directory of the user's definitions, empty if there is none.
func (c *Catalog) Dir() string { return c.dir }

// File returns the path of a user's definition, whether there is such a file or
// not; empty where there is no directory for it.
func (c *Catalog) File(name string) string {
	if c.dir == "" {
		return ""
	}
	return filepath.Join(c.dir, name+".toml")
}

// Names returns the names of the providers, sorted: of a user's too those whose
// definition is broken. It reads no definition.
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

// files returns the names of the files of the directory that end in .toml, without
// that ending. A directory that cannot be read has none: whoever asks for a
// provider of it is told.
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

// usable reports whether a user's provider may have the name.
func usable(name string) bool { return providerName(name) && !slices.Contains(reserved, name) }

// Stray returns the paths of the files in the directory that define no provider
// because of their names.
func (c *Catalog) Stray() []string {
	var paths []string
	for _, name := range c.files() {
		if !usable(name) {
			paths = append(paths, c.File(name))
		}
	}
	return paths
}

// Has reports whether there is a provider of that name. It reads no definition.
func (c *Catalog) Has(name string) bool { return isBuiltin(name) || usable(name) && c.hasFile(name) }

func (c *Catalog) hasFile(name string) bool {
	if c.dir == "" {
		return false
	}
	_, err := os.Lstat(c.File(name))
	return err == nil
}

// Title returns the title of a provider, empty for one that is not known; of one
// whose definition is broken it says so. Of a built-in definition it reads no more, because a list
// of all providers must be quick.
func (c *Catalog) Title(name string) string {
	if isBuiltin(name) {
		return firstString(builtinFile(name), "title")
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

// Definition returns the definition of a provider. The error is ErrUnknown for a
// name that Names does not list, else a *failure.Error.
func (c *Catalog) Definition(name string) (*Definition, error) {
	if !c.Has(name) {
		return nil, ErrUnknown
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := c.read[name]
	if !ok {
		r.definition, r.err = c.parse(name)
		c.read[name] = r
	}
	return r.definition, r.err
}

func (c *Catalog) parse(name string) (*Definition, error) {
	file, data, user := name+".toml", builtinFile(name), c.hasFile(name)
	switch {
	case user && data != nil:
		return nil, failure.New(failure.DefinitionInvalid, "%s has the name of a built-in provider", c.File(name)).
			WithHint("give the file another name, such as my-%s.toml", name)
	case user:
		file = c.File(name)
		var err error
		if data, err = c.readFile(file); err != nil {
			return nil, err
		}
	}
	d, err := Parse(file, data)
	if problems, ok := errors.AsType[*Problems](err); ok {
		return nil, problems.failure()
	}
	if user {
		d.File = file
	}
	return d, nil
}

// Source returns the text of a definition, see [Catalog.Definition]. It may be
// broken.
func (c *Catalog) Source(name string) ([]byte, error) {
	switch {
	case isBuiltin(name):
		return builtinFile(name), nil
	case c.Has(name):
		return c.readFile(c.File(name))
	}
	return nil, ErrUnknown
}

// builtinFile returns the file of a built-in definition, nil if there is none.
func builtinFile(name string) []byte {
	data, err := builtin.ReadFile("catalog/" + name + ".toml")
	if err != nil {
		return nil
	}
	return data
}

// All returns the definitions of all providers, in the order of Names, without
// those that are broken: broken holds why, by their names.
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
// holds a secret field of a provider. A definition is read for a variable that its
// provider may have; where it is broken all of these are taken for secrets.
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

// Conflict returns the variable that d shares with another provider, and that
// provider's name, both empty if there is none.
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
