package provider

import (
	"embed"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/pelletier/go-toml/v2/unstable"
)

//go:embed catalog/*.toml
var builtin embed.FS

// Catalog holds the definitions of the providers that a program knows: those
// that are built in. A definition is read when it is asked for. The methods may
// be called from several goroutines.
type Catalog struct {
	mu   sync.Mutex
	read map[string]*Definition
}

// NewCatalog returns the catalog of the built-in providers. It reads nothing yet.
func NewCatalog() *Catalog { return &Catalog{read: map[string]*Definition{}} }

// ErrUnknown says that a catalog has no provider of a name.
var ErrUnknown = errors.New("no such provider")

// Names returns the names of the providers, sorted. It reads no definition.
func (c *Catalog) Names() []string {
	entries, _ := builtin.ReadDir("catalog") // embedded, cannot fail
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = strings.TrimSuffix(entry.Name(), ".toml")
	}
	slices.Sort(names)
	return names
}

// Has reports whether there is a provider of that name.
func (c *Catalog) Has(name string) bool { return slices.Contains(c.Names(), name) }

// Title returns the title of a provider, empty for a name that Names does not
// list. It reads no more of the definition, because a list of all providers must
// be quick.
func (c *Catalog) Title(name string) string {
	data, _ := c.file(name)
	var parser unstable.Parser
	parser.Reset(data)
	for parser.NextExpression() {
		pair := parser.Expression()
		if pair.Kind != unstable.KeyValue {
			break // the tables come after it
		}
		if key := pair.Key(); key.Next() && string(key.Node().Data) == "title" && pair.Value().Kind == unstable.String {
			return string(pair.Value().Data)
		}
	}
	return ""
}

// Definition returns the definition of a provider. It fails with ErrUnknown for
// a name that Names does not list.
func (c *Catalog) Definition(name string) (*Definition, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.read[name]; d != nil {
		return d, nil
	}
	data, err := c.file(name)
	if err != nil {
		return nil, err
	}
	d, err := Parse(name+".toml", data)
	if err == nil {
		c.read[name] = d
	}
	return d, err
}

// file returns the file of a definition.
func (c *Catalog) file(name string) ([]byte, error) {
	data, err := builtin.ReadFile("catalog/" + name + ".toml")
	if err != nil {
		return nil, ErrUnknown
	}
	return data, nil
}

// All returns the definitions of all providers, in the order of Names.
func (c *Catalog) All() ([]*Definition, error) {
	var all []*Definition
	for _, name := range c.Names() {
		d, err := c.Definition(name)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

// SecretVariables returns the environment variables that hold the secret fields
// of all providers; with an error, of none.
func (c *Catalog) SecretVariables() ([]string, error) {
	all, err := c.All()
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
