package tokenfetch

import (
	"context"
	"crypto/x509"
	"errors"
	"path/filepath"
	"strings"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/internal/credential"
	"github.com/tokenfetch/tokenfetch/pkg/internal/token"
	"github.com/tokenfetch/tokenfetch/pkg/keychain"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/pkg/source"
)

// Profiles reads the profiles file. If Options.Config or TOKENFETCH_CONFIG names the
// file, it must exist. note receives a message if the file is used although others
// could have changed it; nil means Person.Trace.
func (c *Client) Profiles(ctx context.Context, note func(string)) (*profile.File, error) {
	path, named, err := c.ProfilesPath()
	if err != nil || path == "" {
		return &profile.File{}, err
	}
	file, err := c.ReadProfiles(ctx, path, named && c.CI(), note)
	if err == nil && named && !file.Exists {
		giver := "--config"
		if c.options.Config == "" {
			giver = "TOKENFETCH_CONFIG"
		}
		return nil, failure.New(failure.ProfilesUnreadable, "the profiles file %s does not exist", path).
			WithHint("check %s; or make the file with: tokenfetch login PROVIDER", giver)
	}
	return file, err
}

// ProfilesPath returns the path of the profiles file. The path is empty if there is
// no home directory for it. named reports whether Options.Config or
// TOKENFETCH_CONFIG names the file.
func (c *Client) ProfilesPath() (path string, named bool, err error) {
	path = c.options.Config
	_, byVariable := c.Lookup("TOKENFETCH_CONFIG")
	named = path != "" || byVariable
	if path == "" {
		path, err = profile.Path(c.Lookup)
	}
	if err != nil || path == "" {
		return "", named, err
	}
	if absolute, err := filepath.Abs(path); err == nil {
		path = absolute
	}
	return path, named, nil
}

// newCatalog returns the catalog of the built-in providers and of the user's
// definitions, which are in the directory providers next to the profiles file.
func (c *Client) newCatalog() *provider.Catalog {
	path, named, err := c.ProfilesPath()
	if err != nil || path == "" {
		return provider.NewCatalog("", nil)
	}
	return provider.NewCatalog(filepath.Join(filepath.Dir(path), "providers"), func(path string) ([]byte, error) {
		return c.ReadDefinition(path, named && c.CI())
	})
}

// ReadDefinition reads a definition file. A definition controls where secrets are
// sent, so a file that others could have changed is an error unless trusted is set.
func (c *Client) ReadDefinition(path string, trusted bool) ([]byte, error) {
	c = c.inTime()
	ctx, cancel := c.limit.Context(context.Background())
	defer cancel()
	file, err := source.ReadRegular(ctx, path, provider.MaxFile)
	if err == nil && file.Unsafe != "" {
		if !trusted {
			return nil, failure.New(failure.FilePermissions, "the definition %s %s", path, file.Unsafe).WithHint("%s", file.Advice)
		}
		c.note("the definition " + path + " " + file.Unsafe + "; taken because this is CI")
	}
	return file.Data, err
}

// ReadProfiles reads the profiles file at path. If trusted is set, others may be
// able to change the file; note then receives a message, nil means Person.Trace.
func (c *Client) ReadProfiles(ctx context.Context, path string, trusted bool, note func(string)) (*profile.File, error) {
	c = c.inTime()
	if note == nil {
		note = c.note
	}
	ctx, cancel := c.limit.Context(ctx)
	defer cancel()
	return profile.Load(ctx, path, profile.Options{Home: profile.Home(c.Lookup), Trusted: trusted, Note: note})
}

// lockLimit is how long to wait for another process that has locked the profiles
// file. A process usually holds the lock for milliseconds.
const lockLimit = 10 * time.Second

// LockProfiles waits until no other process is changing the profiles file or the
// data of its profiles, then locks it until unlock is called.
func (c *Client) LockProfiles(ctx context.Context, file *profile.File) (unlock func(), err error) {
	defer c.options.Person.Waiting("another run that changes the profiles file")()
	limit, cancel := context.WithTimeout(ctx, lockLimit)
	defer cancel()
	unlock, err = file.Lock(limit)
	switch {
	case err == nil:
		return unlock, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case limit.Err() == nil:
		return nil, err
	}
	return nil, failure.New(failure.ProfilesUnwritable, "another run changes the profiles file, and has not finished in time").
		WithHint("run this again; nothing is changed")
}

func (c *Client) note(text string) { c.options.Person.Trace("%s", text) }

// Find resolves credentials, see [credential.Find]. After that, programs started by
// the Client do not inherit the variables that contain secrets of the profile.
func (c *Client) Find(ctx context.Context, q credential.Query) (*credential.Plan, error) {
	c = c.inTime()
	ctx, cancel := c.limit.Context(ctx)
	defer cancel()
	q.Environ = c.options.Environ
	q.Again = func(flags string) string { return c.options.Person.Again(Ref{q.Definition, q.Profile}, flags) }
	plan, err := credential.Find(ctx, q)
	c.hidden.add(plan.SecretVariables()...)
	return plan, err
}

// Access returns functions that read credentials from each kind of source, within
// limit.
func (c *Client) Access(ctx context.Context, limit *Limit) credential.Access {
	return credential.Access{
		Stdin: c.options.Person.Stdin,
		Helper: func(ctx context.Context, argv []string) (secret.Value, error) {
			return c.helper(ctx, limit, argv)
		},
		File:     limit.Context,
		Keychain: c.Keychain(ctx, limit),
		Trusted:  c.CI(),
		Note:     c.note,
	}
}

func (c *Client) helper(ctx context.Context, limit *Limit, argv []string) (secret.Value, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer limit.WhenOver(func() { cancel(context.DeadlineExceeded) })()
	var lent *Terminal
	if lend := c.options.Person.Terminal; lend != nil {
		var end func()
		lent, end = lend()
		defer end()
	}
	if lent == nil {
		defer c.options.Person.Waiting("the helper " + filepath.Base(argv[0]))()
	}
	return source.Command(ctx, argv, c.ChildEnviron(), lent)
}

// Roots reads the CA certificates that a plan trusts. It returns nil for the
// system's. If path is not empty, it reads that file instead of the plan's.
func (c *Client) Roots(ctx context.Context, limit *Limit, plan *credential.Plan, path string) (*x509.CertPool, error) {
	name, giver := "the file "+path, "--ca-file"
	if path == "" && plan.CAFile.Problem == nil && plan.CAFile.Kind == credential.File {
		path, name, giver = plan.CAFile.Path, plan.CAFile.FileName(), plan.Giver(plan.CAFile)
	}
	if path == "" {
		return nil, nil
	}
	ctx, cancel := limit.Context(ctx)
	defer cancel()
	file, err := source.ReadRegularAs(ctx, path, name, 4<<20)
	if e, ok := errors.AsType[*failure.Error](err); ok && e.Code != failure.InputTimeout {
		return nil, failure.New(failure.CAFileInvalid, "%s", e.Message).WithHint("check %s", giver)
	}
	if err != nil {
		return nil, err
	}
	roots, err := token.ParseCertificates(file.Data)
	if err != nil {
		name = strings.Replace(name, "the file ", "the file of certificates ", 1)
		return nil, failure.New(failure.CAFileInvalid, "%s %s", name, err).
			WithHint("let %s name a PEM file with the certificates of your authority", giver)
	}
	return roots, nil
}

// HTTP returns an HTTP client that trusts roots, or the system's CA certificates if
// roots is nil.
func (c *Client) HTTP(roots *x509.CertPool) *token.Client {
	return &token.Client{UserAgent: c.options.UserAgent, Roots: roots, Getenv: c.getenv, Trace: c.options.Person.Trace}
}

// Keychain returns the keychain. Each call is subject to limit. If Person.Dialog is
// set, the operating system may show a dialog to unlock the keychain. The time for
// that does not count, and the dialog ends with ctx.
func (c *Client) Keychain(ctx context.Context, limit *Limit) secret.Keeper {
	store := c.options.Keychain
	if store == nil {
		store = &keychain.Keychain{
			Getenv: c.getenv,
			Dialog: c.options.Person.Dialog,
			Waiting: func() (context.Context, func()) {
				resume, erase := limit.Pause(), c.options.Person.Waiting("the keychain to be unlocked")
				return ctx, func() { erase(); resume() }
			},
		}
	}
	return &limited{c, store, limit}
}

// QuietKeychain is like [Client.Keychain], but never shows a dialog.
func (c *Client) QuietKeychain(limit *Limit) secret.Store { return &limited{c, c.quiet(), limit} }

// quiet returns the keychain without a dialog and without a limit.
func (c *Client) quiet() secret.Store {
	if c.options.Keychain != nil {
		return c.options.Keychain
	}
	return &keychain.Keychain{Getenv: c.getenv}
}

// limited applies a time limit to each call of a store.
type limited struct {
	client *Client
	store  secret.Store
	limit  *Limit
}

// begin starts a call. The caller must call end when the call is done.
func (s *limited) begin(ctx context.Context) (_ context.Context, end func()) {
	erase := s.client.options.Person.Waiting("the keychain")
	ctx, done := s.limit.Keychain(ctx)
	return ctx, func() { done(); erase() }
}

// Get returns the secret of an account, see [secret.Store].
func (s *limited) Get(ctx context.Context, account string) (secret.Value, error) {
	ctx, end := s.begin(ctx)
	defer end()
	return s.store.Get(ctx, account)
}

// Set writes a secret. It returns [secret.ErrUnavailable] if the store is read-only.
func (s *limited) Set(ctx context.Context, account string, value secret.Value) error {
	keeper, ok := s.store.(secret.Keeper)
	if !ok {
		return secret.ErrUnavailable
	}
	ctx, end := s.begin(ctx)
	defer end()
	return keeper.Set(ctx, account, value)
}

// Delete removes a secret. It returns [secret.ErrUnavailable] if the store is
// read-only.
func (s *limited) Delete(ctx context.Context, account string) error {
	keeper, ok := s.store.(secret.Keeper)
	if !ok {
		return secret.ErrUnavailable
	}
	ctx, end := s.begin(ctx)
	defer end()
	return keeper.Delete(ctx, account)
}

// Limit returns the maximum length of a secret, see [secret.Keeper].
func (s *limited) Limit(account string) int {
	if keeper, ok := s.store.(secret.Keeper); ok {
		return keeper.Limit(account)
	}
	return 0
}
