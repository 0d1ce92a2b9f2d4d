// Package tokenfetch is the engine of the command tokenfetch. It resolves the fields
// of a profile, returns a cached token or fetches a new one, and records whether the
// provider accepted the credentials. A Go program uses it in the same way as the
// command does:
//
//	client := tokenfetch.FromEnvironment()
//	t, err := client.Token(ctx, "zeepay/ci")
//
// The package never prints or prompts. Only [FromEnvironment] reads the process
// environment.
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

// Error says why there is no token. It contains a code and its class, whether the
// request was sent, and when to try again. Use [errors.As] to find it in an error.
type Error = failure.Error

// Options configures a [Client]. With the zero value, the environment is empty:
// there is no profiles file and no cache, and login outcomes are not recorded.
type Options struct {
	// Environ contains the environment as NAME=VALUE, like [os.Environ]. It locates
	// the profiles file, the cache and the state directory, sets a proxy, and
	// supplies values for profiles.
	Environ []string
	// Config is the path of the profiles file. If empty, Environ determines it.
	Config string
	// Timeout limits the total time to get one token. 0 means 30 s, plus up to 3 s
	// for each keychain call.
	Timeout time.Duration
	// UserAgent is sent to token endpoints, for example name/1.0.
	UserAgent string

	// Catalog contains the provider definitions. nil means the built-in ones and
	// those in the directory providers next to the profiles file.
	Catalog *provider.Catalog
	// Keychain stores the secrets. nil means the keychain of the operating system.
	Keychain secret.Store
	// Limit is one time limit for everything that the Client does. nil means that
	// each Token, Plan and Forget has its own limit, set by Timeout.
	Limit *Limit
	// Person contains the callbacks for interaction and progress.
	Person Person
}

// Person contains callbacks to interact with a user and to report progress. Each
// function may be nil, which means that nobody is there.
type Person struct {
	// Stdin reads a secret from standard input.
	Stdin func(context.Context) (secret.Value, error)
	// Terminal lends the terminal to a helper until end is called.
	Terminal func() (lent *Terminal, end func())
	// Dialog is set if a user can see and answer a keychain dialog.
	Dialog bool
	// Waiting reports the start of a wait for what. The wait ends when done is
	// called.
	Waiting func(what string) (done func())
	// Trace reports each step.
	Trace func(format string, args ...any)
	// Hide receives values that must not be shown.
	Hide func(...secret.Value)
	// Sending is called before the credentials may be sent.
	Sending func()
	// Again returns the command line that repeats the user's command with more flags,
	// for hints, or "" if the command does not take them. nil means the command that
	// fetches a token of ref.
	Again func(ref Ref, flags string) string
}

// Terminal is a terminal that is lent to a helper, so that it can prompt.
type Terminal = source.Terminal

// Client fetches tokens. It is safe for concurrent use.
type Client struct {
	options Options
	catalog *provider.Catalog
	limit   *Limit
	dirs    cache.Dirs
	hidden  *variables // names of variables that child processes do not inherit
}

// New returns a Client with the given options. It reads no files.
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
	if p.Again == nil {
		p.Again = func(ref Ref, flags string) string { return credential.Command(ref.Definition.Name, ref.Profile, flags) }
	}
	if c.catalog == nil {
		c.catalog = c.newCatalog()
	}
	return c
}

// FromEnvironment returns a Client that uses the profiles file, variables, keychain
// and cache of the process environment, as the command does. It is the only function
// of the package that reads the process environment.
func FromEnvironment() *Client {
	return New(Options{Environ: os.Environ(), UserAgent: "tokenfetch"})
}

// Token returns a token for ref, which is PROVIDER or PROVIDER/PROFILE. It returns a
// cached token if there is one, and otherwise fetches one from the provider. The
// error wraps an [*Error]. If ctx has ended, the error also wraps its cause.
func (c *Client) Token(ctx context.Context, ref string) (*Token, error) {
	return c.token(ctx, ref, false)
}

// token implements Token. If refresh is set, it ignores tokens that were cached
// before the call.
func (c *Client) token(ctx context.Context, ref string, refresh bool) (*Token, error) {
	t, err := c.run(ctx, ref, refresh)
	if err != nil && ctx.Err() != nil {
		return nil, ended(ctx, err)
	}
	return t, err
}

// ended combines err with the cause of ctx, which ended before there was a token.
func ended(ctx context.Context, err error) error {
	e, known := errors.AsType[*Error](err)
	if !known {
		e = new(Error)
	}
	// When the caller cancels, the operation in progress is not the reason for the
	// failure.
	if !known || errors.Is(ctx.Err(), context.Canceled) && e.HTTPStatus == 0 {
		e = failure.New(failure.Interrupted, "the token was not waited for").WithSent(e.Sent, e.Attempts)
	}
	return fmt.Errorf("%w: %w", e, context.Cause(ctx))
}

// run resolves, loads and returns one token.
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

// inTime returns a Client for one operation. If Options.Limit is nil, its time limit
// starts now.
func (c *Client) inTime() *Client {
	if c.options.Limit != nil {
		return c
	}
	run := *c
	run.limit = NewLimit(time.Now(), c.options.Timeout)
	run.options.Limit = run.limit
	return &run
}

// Ref identifies a profile of a provider.
type Ref struct {
	Definition *provider.Definition
	Profile    string
}

// String returns PROVIDER/PROFILE, such as zeepay/default.
func (f Ref) String() string { return f.Definition.Name + "/" + f.Profile }

// Ref parses PROVIDER[/PROFILE]. The default for PROFILE is TOKENFETCH_PROFILE, or
// the default profile if that is not set. The error for an unknown word does not
// quote it, because it may be a misplaced secret.
func (c *Client) Ref(text string) (Ref, error) {
	name, profileName, named := strings.Cut(text, "/")
	d, err := c.catalog.Definition(name)
	if err != nil && !errors.Is(err, provider.ErrUnknown) {
		return Ref{}, err
	}
	if err != nil {
		return Ref{}, failure.New(failure.UnexpectedArgument, "unknown provider: expected PROVIDER[/PROFILE]").
			WithHint("the providers are %s", strings.Join(c.catalog.Names(), ", ")).Suggest(failure.Nearest(name, c.catalog.Names()))
	}
	if !named {
		profileName, err = c.UnnamedProfile()
		return Ref{d, profileName}, err
	}
	return Ref{d, profileName}, CheckProfileName(d, profileName)
}

// UnnamedProfile returns the name of the profile to use if none is given:
// TOKENFETCH_PROFILE if set, otherwise [profile.Default].
func (c *Client) UnnamedProfile() (string, error) {
	const variable = credential.ProfileVariable
	value, set := c.Lookup(variable)
	switch {
	case !set:
		return profile.Default, nil
	case value == "":
		return "", failure.New(failure.VariableEmpty, "%s is set but empty", variable).WithHint("unset it, or set it to a profile's name")
	case !profile.ValidName(value):
		return "", failure.New(failure.VariableInvalid, "%s must name a profile: %s", variable, profile.NameRule).WithHint("set it to one of those that tokenfetch status shows, or unset it")
	}
	return value, nil
}

// CheckProfileName returns nil if name is a valid profile name, and an [*Error]
// otherwise.
func CheckProfileName(d *provider.Definition, name string) error {
	if !profile.ValidName(name) {
		return failure.New(failure.BadProfileName, "a profile's name must be %s", profile.NameRule).
			WithHint("write it like %s/ci; to see which profiles there are run: tokenfetch status", d.Name)
	}
	return nil
}

// Catalog returns the catalog of the providers that the Client knows.
func (c *Client) Catalog() *provider.Catalog { return c.catalog }

// Lookup returns the value of a variable in environ (NAME=VALUE), and whether it is
// set. If there are several entries, the last one is used.
func Lookup(environ []string, name string) (string, bool) { return credential.Lookup(environ, name) }

// Lookup returns the value of a variable in the Client's environment, and whether it
// is set.
func (c *Client) Lookup(name string) (string, bool) {
	return Lookup(c.options.Environ, name)
}

// getenv returns the value of an environment variable, or "".
func (c *Client) getenv(name string) string {
	value, _ := c.Lookup(name)
	return value
}

// CIVariable returns the name of the variable that identifies a CI job, or "". In a
// CI job nobody can answer a prompt, and files belong to the user that checked them
// out.
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

// CI reports whether the Client runs in a CI job, see [CIVariable].
func (c *Client) CI() bool { return CIVariable(c.Lookup) != "" }

// variables is a set of variable names that is safe for concurrent use.
type variables struct {
	mu    sync.Mutex
	names []string
}

func (v *variables) add(names ...string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, name := range names {
		if !slices.Contains(v.names, name) { // a Client may live long: avoid duplicates
			v.names = append(v.names, name)
		}
	}
}

// ChildEnviron returns the environment for a child process: that of the Client
// without the variables that contain secrets, see [credential.WithoutSecrets].
func (c *Client) ChildEnviron() []string {
	c.hidden.mu.Lock()
	defer c.hidden.mu.Unlock()
	return credential.WithoutSecrets(c.catalog, c.options.Environ, c.hidden.names)
}
