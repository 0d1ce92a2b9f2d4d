// Package inspect examines a setup and returns data: what each profile has and lacks
// ([Profile]), and common problems with it ([Finding]). It runs no helper, opens no
// dialog, does not prompt and starts no service. It sends nothing, except that
// [Inspector.Findings] calls hosts on request. The results contain no field values.
package inspect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/internal/credential"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

// Inspector examines the setup of one [tokenfetch.Client].
type Inspector struct {
	options tokenfetch.Options
	client  *tokenfetch.Client
	limit   *tokenfetch.Limit
	catalog *provider.Catalog
}

// New returns an Inspector for the setup of a Client with these options. All its work
// counts against one time limit: that of the options, or one that starts now.
func New(o tokenfetch.Options) *Inspector {
	if o.Limit == nil {
		o.Limit = tokenfetch.NewLimit(time.Now(), o.Timeout)
	}
	if o.Person.Waiting == nil {
		o.Person.Waiting = func(string) func() { return func() {} }
	}
	client := tokenfetch.New(o)
	return &Inspector{options: o, client: client, limit: o.Limit, catalog: client.Catalog()}
}

// getenv returns the value of an environment variable, or "".
func (i *Inspector) getenv(name string) string {
	value, _ := i.client.Lookup(name)
	return value
}

// touched reports whether a variable of the provider is set. A variable that could
// belong to two providers, such as acme and acme-test, belongs to the one with the
// longer name.
func (i *Inspector) touched(name string) bool {
	prefix, names := provider.VariablePrefix(name), i.catalog.Names()
	return slices.ContainsFunc(i.options.Environ, func(entry string) bool {
		return strings.HasPrefix(entry, prefix) && !slices.ContainsFunc(names, func(other string) bool {
			return len(other) > len(name) && strings.HasPrefix(entry, provider.VariablePrefix(other))
		})
	})
}

// Profiles inspects the profiles of file that refs name, in that order. Without refs it
// inspects all profiles of the file, and the default profile of each provider that has
// a variable set or that the file mentions without a valid profile. file must not be
// nil; [tokenfetch.Client.Profiles] reads it. Problems of a profile are in its
// [Profile.Problems]; the error is the cause of ctx.
func (i *Inspector) Profiles(ctx context.Context, file *profile.File, refs []tokenfetch.Ref) ([]*Profile, error) {
	l := i.looker(ctx, file)
	if len(refs) == 0 {
		refs = l.all(ctx)
	}
	profiles := make([]*Profile, len(refs))
	for n, f := range refs {
		profiles[n] = l.look(ctx, f)
	}
	return profiles, context.Cause(ctx)
}

// Table is a table of the profiles file that matches no provider.
type Table struct {
	Name    string // as the file has it
	Line    int    // from 1
	Nearest string // the provider that may be meant, empty if none is near
	Key     bool   // it is a key outside every table
}

// Message describes the problem with the table. path is the path of the profiles file.
func (t Table) Message(path string) string {
	if t.Key {
		return fmt.Sprintf("%s, line %d: the key %q is in no table, so it is not used", path, t.Line, t.Name)
	}
	text := fmt.Sprintf("%s, line %d: there is no provider %q, so nothing below it is used", path, t.Line, t.Name)
	if t.Nearest != "" {
		text += fmt.Sprintf("; the nearest known name is %q", t.Nearest)
	}
	return text
}

// Hint returns what to do about the table.
func (t Table) Hint() string {
	switch {
	case !t.Key:
		return "rename or remove it"
	case t.Name == profile.CacheKey:
		return "move it below the line [tokenfetch]"
	}
	return "move it below the line of the profile that it is for, such as [zeepay.default]"
}

// UnknownTables returns the tables of a profiles file that match no provider, in the
// order of the file.
func (i *Inspector) UnknownTables(file *profile.File) []Table {
	var tables []Table
	names := i.catalog.Names()
	for _, t := range file.Unknown(names) {
		tables = append(tables, Table{t.Name, t.Line, failure.Nearest(t.Name, names), t.Key})
	}
	return tables
}

// looker inspects the profiles of one profiles file.
type looker struct {
	*Inspector
	file  *profile.File
	store *failFast
	// sealingKey returns the key that encrypts cached tokens, nil if there is none yet.
	sealingKey func() ([]byte, error)
}

func (i *Inspector) looker(ctx context.Context, file *profile.File) *looker {
	l := &looker{Inspector: i, file: file, store: &failFast{store: i.client.QuietKeychain(i.limit)}}
	l.sealingKey = sync.OnceValues(func() ([]byte, error) {
		if s := file.CacheKey; s != nil && s.Command != nil {
			return nil, errNotRun
		} else if broken := l.store.failed(); s == nil && broken != nil {
			return nil, broken
		}
		key, err := i.client.CacheKey(ctx, file)
		if errors.Is(err, secret.ErrNotFound) {
			err = nil
		}
		return key, err
	})
	return l
}

var errNotRun = errors.New("the helper of cache_key is not run")

// all returns the profiles that [Inspector.Profiles] inspects without refs.
func (l *looker) all(ctx context.Context) []tokenfetch.Ref {
	definitions, _ := l.catalog.All() // doctor tells of those that are broken
	var refs []tokenfetch.Ref
	for _, d := range definitions {
		names := l.file.Names(d.Name)
		if !slices.Contains(names, profile.Default) && (l.touched(d.Name) || l.misplaced(ctx, d)) {
			refs = append(refs, tokenfetch.Ref{Definition: d, Profile: profile.Default})
		}
		for _, name := range names {
			refs = append(refs, tokenfetch.Ref{Definition: d, Profile: name})
		}
	}
	return refs
}

// misplaced reports whether the file mentions the provider without a valid profile.
func (l *looker) misplaced(ctx context.Context, d *provider.Definition) bool {
	e, ok := errors.AsType[*failure.Error](l.survey(ctx, tokenfetch.Ref{Definition: d, Profile: profile.Default}).Problem)
	return ok && e.Code == failure.ProfileInvalid
}

func (l *looker) survey(ctx context.Context, f tokenfetch.Ref) *credential.Plan {
	ctx, cancel := l.limit.Context(ctx)
	defer cancel()
	return credential.Survey(ctx, credential.Query{Definition: f.Definition, Profile: f.Profile, File: l.file, Environ: l.options.Environ})
}

// failFast is a store that returns its first lasting error to every later call.
type failFast struct {
	store secret.Store

	mu  sync.Mutex
	err error
}

// Get reads an item, unless an earlier call failed with a lasting error.
func (s *failFast) Get(ctx context.Context, account string) (secret.Value, error) {
	if err := s.failed(); err != nil {
		return secret.Value{}, err
	}
	value, err := s.store.Get(ctx, account)
	for _, lasting := range []error{secret.ErrUnavailable, secret.ErrLocked, secret.ErrTimeout} {
		if errors.Is(err, lasting) {
			s.fail(err)
		}
	}
	return value, err
}

// fail makes every later call fail with err.
func (s *failFast) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// failed returns the lasting error, nil if there was none.
func (s *failFast) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
