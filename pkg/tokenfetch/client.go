// Package tokenfetch is the engine: it finds where the fields of a profile come
// from, takes a token from the cache or fetches one, and remembers what became of
// the credentials. A Go program uses it as the command line does:
//
//	client := tokenfetch.FromEnvironment()
//	t, err := client.Token(ctx, "zeepay/ci")
//
// Nothing here prints, prompts, or reads the environment of the process, except
// FromEnvironment.
package tokenfetch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/internal/cache"
	"github.com/tokenfetch/tokenfetch/pkg/internal/credential"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/pkg/source"
)

// Error is why there is no token: a code, its class, how much was sent and when
// to come back. Find it in an error with errors.As.
type Error = failure.Error

// Options say what a Client works with. The zero Options are those of a program
// without an environment: no profiles file, no cache, and nothing is remembered.
type Options struct {
	// Environ is NAME=VALUE, as of os.Environ. It says where the profiles file, the
	// cache and the state are, names a proxy, and fills profiles.
	Environ []string
	// Config is the path of the profiles file, empty for the one that Environ names.
	Config string
	// Timeout limits the time that one token may take; 0 is 30 s, and 3 s for each
	// call of the keychain beside them.
	Timeout time.Duration
	// UserAgent is what a token endpoint is told of the program, such as name/1.0.
	UserAgent string

	// Catalog has the providers, nil for the built-in ones and those that are defined
	// in the directory providers beside the profiles file.
	Catalog *provider.Catalog
	// Keychain holds the secrets, nil for the one of the operating system.
	Keychain secret.Store
	// Limit is one limit for everything that the Client does, nil for one of each
	// Token, Plan and Forget that Timeout sets.
	Limit *Limit
	// Person is whoever is there to be asked and told.
	Person Person
}

// Person is how the Client reaches a person, and whoever reads a log. Each of
// the functions may be nil: then there is nobody.
type Person struct {
	// Stdin reads a secret from standard input.
	Stdin func(context.Context) (secret.Value, error)
	// Terminal lends the terminal to a helper until end is called.
	Terminal func() (lent *Terminal, end func())
	// Dialog reports that a person is likely to see and answer a dialog of the
	// keychain.
	Dialog bool
	// Waiting is told what is waited for, until done is called.
	Waiting func(what string) (done func())
	// Trace is told of each step.
	Trace func(format string, args ...any)
	// Hide is told which values must not be shown.
	Hide func(...secret.Value)
	// Sending is called before the credentials may be sent.
	Sending func()
}

// Terminal is a terminal that is lent to a helper, so that it can ask there.
type Terminal = source.Terminal

// Client fetches tokens. Its methods may be called from several goroutines.
type Client struct {
	options Options
	catalog *provider.Catalog
	limit   *Limit
	dirs    cache.Dirs
	hidden  *variables // that programs which the Client starts do not get
}

// New returns a Client. It reads nothing yet.
func New(o Options) *Client {
	c := &Client{options: o, catalog: o.Catalog, limit: o.Limit, hidden: new(variables)}
	if c.limit == nil {
		c.limit = NewLimit(time.Now(), o.Timeout)
	}
	c.dirs = cache.UserDirs(c.Lookup)
	p := &c.options.Person
	if p.Waiting == nil {
		p.Waiting = func(string) func() { return func() {} }
	}
	if p.Trace == nil {
		p.Trace = func(string, ...any) {}
	}
	if p.Hide == nil {
		p.Hide = func(...secret.Value) {}
	}
	if p.Sending == nil {
		p.Sending = func() {}
	}
	if c.catalog == nil {
		c.catalog = c.newCatalog()
	}
	return c
}

// FromEnvironment returns a Client that works with the environment of the
// process, as the command does: its profiles file, variables, keychain and cache.
// It is the only function of the package that reads it.
func FromEnvironment() *Client {
	return New(Options{Environ: os.Environ(), UserAgent: "tokenfetch"})
}

// Token returns a token of a profile, PROVIDER or PROVIDER/PROFILE: from the
// cache if there is one, else from the provider. The error wraps an *Error; where
// ctx has ended it wraps the cause of that too.
func (c *Client) Token(ctx context.Context, ref string) (*Token, error) {
	return c.token(ctx, ref, false)
}

// token is Token; with refresh it takes only one that is fetched from now on.
func (c *Client) token(ctx context.Context, ref string, refresh bool) (*Token, error) {
	t, err := c.run(ctx, ref, refresh)
	if err != nil && ctx.Err() != nil {
		return nil, ended(ctx, err)
	}
	return t, err
}

// ended is err of a token that ctx did not wait for.
func ended(ctx context.Context, err error) error {
	e, known := errors.AsType[*Error](err)
	if !known {
		e = new(Error)
	}
	// What was under way when a caller gave up is not what went wrong.
	if !known || errors.Is(ctx.Err(), context.Canceled) && e.HTTPStatus == 0 {
		e = failure.New(failure.Interrupted, "the token was not waited for").WithSent(e.Sent, e.Attempts)
	}
	return fmt.Errorf("%w: %w", e, context.Cause(ctx))
}

// run is one run of the engine.
func (c *Client) run(ctx context.Context, ref string, refresh bool) (*Token, error) {
	f, err := c.Ref(ref)
	if err != nil {
		return nil, err
	}
	plan, err := c.Plan(ctx, Query{Ref: f, Refresh: refresh})
	if err != nil {
		return nil, err
	}
	if err := plan.Load(ctx); err != nil {
		return nil, err
	}
	return plan.Token(ctx)
}

// inTime returns the Client of one run: with a limit that begins now, if there is
// none for everything.
func (c *Client) inTime() *Client {
	if c.options.Limit != nil {
		return c
	}
	run := *c
	run.limit = NewLimit(time.Now(), c.options.Timeout)
	run.options.Limit = run.limit
	return &run
}

// Ref is a profile of a provider.
type Ref struct {
	Definition *provider.Definition
	Profile    string
}

// String returns the name with both parts, such as zeepay/default.
func (f Ref) String() string { return f.Definition.Name + "/" + f.Profile }

// Ref reads PROVIDER[/PROFILE]; without a profile it is the one of
// TOKENFETCH_PROFILE, else the default. The error does not repeat a word that is
// neither, which may be a misplaced secret.
func (c *Client) Ref(text string) (Ref, error) {
	name, profileName, named := strings.Cut(text, "/")
	d, err := c.catalog.Definition(name)
	if err != nil && !errors.Is(err, provider.ErrUnknown) {
		return Ref{}, err
	}
	if err != nil {
		return Ref{}, failure.New(failure.UnexpectedArgument, "expected PROVIDER[/PROFILE]").
			WithHint("the providers are %s", strings.Join(c.catalog.Names(), ", ")).Suggest(failure.Nearest(name, c.catalog.Names()))
	}
	if !named {
		profileName, err = c.UnnamedProfile()
		return Ref{d, profileName}, err
	}
	return Ref{d, profileName}, CheckProfileName(d, profileName)
}

// UnnamedProfile returns the name of the profile where nobody names one:
// $TOKENFETCH_PROFILE, or the default.
func (c *Client) UnnamedProfile() (string, error) {
	const variable = credential.ProfileVariable
	value, set := c.Lookup(variable)
	switch {
	case !set:
		return profile.Default, nil
	case value == "":
		return "", failure.New(failure.VariableEmpty, "%s is set but empty", variable).WithHint("unset it, or set it to a profile's name")
	case !profile.ValidName(value):
		return "", failure.New(failure.VariableInvalid, "%s must match %s", variable, profile.NamePattern).WithHint("set it to a profile's name")
	}
	return value, nil
}

// CheckProfileName returns the failure of a name that no profile can have, nil
// for any other.
func CheckProfileName(d *provider.Definition, name string) error {
	if !profile.ValidName(name) {
		return failure.New(failure.BadProfileName, "the profile's name must match %s", profile.NamePattern).
			WithHint("run tokenfetch %s --help", d.Name)
	}
	return nil
}

// Catalog returns the providers that the Client knows.
func (c *Client) Catalog() *provider.Catalog { return c.catalog }

// Lookup returns the value of a variable in environ (NAME=VALUE), and whether it
// is set. The last of several entries counts.
func Lookup(environ []string, name string) (string, bool) { return credential.Lookup(environ, name) }

// Lookup returns the value of a variable of the Client's environment, and whether
// it is set.
func (c *Client) Lookup(name string) (string, bool) {
	return Lookup(c.options.Environ, name)
}

// getenv returns the value of an environment variable, or "".
func (c *Client) getenv(name string) string {
	value, _ := c.Lookup(name)
	return value
}

// CIVariable returns the variable that says that this is a job of continuous
// integration, or "". Nobody is there to answer then, and files belong to whoever
// checked them out.
func CIVariable(lookup func(string) (string, bool)) string {
	if ci, _ := lookup("CI"); ci != "" && ci != "false" && ci != "0" {
		return "CI"
	}
	for _, name := range []string{"TF_BUILD", "JENKINS_URL", "TEAMCITY_VERSION", "CODEBUILD_BUILD_ID"} {
		if value, _ := lookup(name); value != "" {
			return name
		}
	}
	return ""
}

// CI reports whether this is a job of continuous integration, see CIVariable.
func (c *Client) CI() bool { return CIVariable(c.Lookup) != "" }

// variables is a set of names.
type variables struct {
	mu    sync.Mutex
	names []string
}

func (v *variables) add(names ...string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, name := range names {
		if !slices.Contains(v.names, name) { // a Client may be kept for long
			v.names = append(v.names, name)
		}
	}
}

// ChildEnviron returns the environment of a program that is started: that of the
// Client without the variables that hold secrets, see credential.WithoutSecrets.
func (c *Client) ChildEnviron() []string {
	c.hidden.mu.Lock()
	defer c.hidden.mu.Unlock()
	return credential.WithoutSecrets(c.catalog, c.options.Environ, c.hidden.names)
}
