package cmd

import (
	"context"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/tokenfetch/tokenfetch/pkg/emulator"
	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/output"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/pkg/source"
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

// fetchOptions are the flags of a provider's command.
type fetchOptions struct {
	profile     string
	environment string
	baseURL     string
	format      string
	variable    string
	caFile      string
	retries     int
	noCache     bool
	refresh     bool
	minTTL      time.Duration
	tryAnyway   bool
	emulator    bool
	dryRun      bool
	mask        bool
	with        []string          // fields that are handed on beside the token
	fields      map[string]string // the fields' flags that were given
}

// newProvider is the command of one provider.
func (r *run) newProvider(d *provider.Definition) *cobra.Command {
	o := fetchOptions{format: output.Formats()[0], variable: provider.TokenVariable(d.Name)}
	c := &cobra.Command{
		Use:   d.Name,
		Short: fetchFrom + d.Title,
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r.provider = d.Name
			o.fields = givenFields(cmd.Flags(), d)
			f, err := r.chooseProfile(cmd, d, &o)
			if err != nil {
				return err
			}
			r.profile = f.Profile
			if err := o.check(cmd, d); err != nil {
				return err
			}
			return r.fetch(r.context(), f, o)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.StringVarP(&o.profile, "profile", "p", "", "profile to use, a `NAME` of the profiles file")
	addHostFlags(flags, d, &o.environment, &o.baseURL)
	addFieldFlags(flags, d)
	flags.VarP(&choice{&o.format, output.Formats()}, "output", "o", "print the token as `FORMAT`: "+strings.Join(output.Formats(), ", "))
	flags.StringVar(&o.variable, "var", o.variable, "variable `NAME` for the formats that set one")
	addFetchFlags(flags, &o)
	r.completeFlags(c, d)
	return c
}

// chooseProfile settles which profile is used: the one of the flag, of the word
// PROVIDER/NAME, or the one for when nobody names one.
func (r *run) chooseProfile(cmd *cobra.Command, d *provider.Definition, o *fetchOptions) (ref, error) {
	name, flag := o.profile, cmd.Flags().Changed("profile")
	// Other programs take a password in the word of -p.
	if flag && slices.ContainsFunc(r.env.Args, func(arg string) bool {
		return strings.HasPrefix(arg, "-") && !strings.HasPrefix(arg, "--") && strings.HasSuffix(arg, "p"+name)
	}) {
		return ref{}, failure.New(failure.BadFlagValue, "-p takes the profile's name as a word of its own").
			WithHint("write -p NAME; for a password use --password-file FILE, a variable or the keychain")
	}
	word, inWord := strings.CutPrefix(r.named, d.Name+"/")
	switch {
	case flag && inWord:
		return ref{}, failure.New(failure.ConflictingFlags, "the profile is named twice: in %s/NAME and by --profile", d.Name).WithHint("keep one")
	case inWord:
		name = word
	case !flag && o.emulator:
		name = profile.Default
	case !flag:
		var err error
		if name, err = r.engine().UnnamedProfile(); err != nil {
			return ref{}, err
		}
	}
	return ref{Definition: d, Profile: name}, tokenfetch.CheckProfileName(d, name)
}

// check refuses what the flags cannot mean together, before anything is read.
func (o *fetchOptions) check(cmd *cobra.Command, d *provider.Definition) error {
	if o.environment != "" && o.baseURL != "" {
		return conflict("--environment", "--base-url")
	}
	if o.emulator {
		others := []string{"environment", "base-url", "ca-file", "dry-run"}
		for _, f := range d.Fields {
			others = append(others, f.Flag())
		}
		for _, name := range others {
			if cmd.Flags().Changed(name) {
				return conflict("--emulator", "--"+name)
			}
		}
	}
	if stdin := fromStdin(d, o.fields); len(stdin) > 1 {
		return conflict(stdin[0], stdin[1])
	}
	if rule := output.CheckVariable(o.variable); rule != "" {
		return failure.New(failure.BadVariableName, "the name given to --var %s", rule).WithHint("choose another name, such as %s", provider.TokenVariable(d.Name))
	}
	if use := d.Use(); use.Header == "" && output.NeedsHeader(o.format) {
		return failure.New(failure.NoHeader, "a token of %s does not travel in a header, but as member %q of the JSON body", d.Title, use.Member).
			WithHint(`put it into the body: TOKEN=$(tokenfetch %s) && printf %%s "$TOKEN" | jq -R '{%s: .}' (and add the members of your call)`, d.Name, use.Member)
	}
	return nil
}

// fetch is the way of a token, from the profile to where it is delivered.
func (r *run) fetch(ctx context.Context, f ref, o fetchOptions) error {
	deliver, err := r.destination(f, o)
	if err != nil {
		return err
	}
	p, end, err := r.plan(ctx, f, o)
	if err != nil {
		return err
	}
	defer end()
	if o.dryRun {
		r.showPlan(p)
		return nil
	}
	if err := p.Load(ctx); err != nil {
		return err
	}
	result, err := p.Token(ctx)
	if err != nil {
		return err
	}
	if err := r.mask(result.AccessToken, o); err != nil {
		return err
	}
	data, err := output.Format(resultOf(f, result), o.format, o.variable)
	if err != nil {
		return undelivered(err.Error()).WithHint("choose another format")
	}
	return deliver(data)
}

// engine is what fetches tokens, as the flags of every command say. It must not be
// asked for before they are parsed.
func (r *run) engine() *tokenfetch.Client {
	if r.client == nil {
		r.useTimeout()
		r.client = r.newEngine(r.limit)
	}
	return r.client
}

// newEngine is an engine with a limit of its own.
func (r *run) newEngine(limit *tokenfetch.Limit) *tokenfetch.Client {
	return tokenfetch.New(r.engineOptions(limit))
}

// engineOptions are those of an engine with that limit.
func (r *run) engineOptions(limit *tokenfetch.Limit) tokenfetch.Options {
	o := tokenfetch.Options{
		Environ:   r.env.Environ,
		Config:    r.config,
		UserAgent: "tokenfetch/" + r.env.Version,
		Catalog:   r.catalog,
		Keychain:  r.env.Keychain,
		Limit:     limit,
		Person: tokenfetch.Person{
			Stdin:   r.readStdin,
			Dialog:  r.env.attended(),
			Waiting: r.console.waiting,
			Trace:   r.console.info,
			Hide:    r.console.hide,
			Sending: func() { r.sending.Store(true) },
		},
	}
	if isTerminal(r.env.Stdin) {
		o.Person.Terminal = r.lendTerminal
	}
	return o
}

// plan finds where everything that a token needs comes from. With --emulator that
// is an emulator in this process, which runs until end is called: nothing of it is
// remembered.
func (r *run) plan(ctx context.Context, f ref, o fetchOptions) (p *tokenfetch.Plan, end func(), err error) {
	r.about(f)
	q := tokenfetch.Query{
		Ref: f, Environment: o.environment, BaseURL: o.baseURL, Flags: o.fields, CAFile: o.caFile, Retries: o.retries,
		NoCache: o.noCache, Refresh: o.refresh, MinTTL: o.minTTL, TryAnyway: o.tryAnyway, With: o.with,
	}
	end = func() {}
	if o.emulator {
		if q.BaseURL, end, err = r.emulateOne(ctx, f.Definition); err != nil {
			return nil, end, err
		}
		q.Profile, q.File, q.Alone, q.Given = profile.Default, &profile.File{}, true, emulator.Credentials(f.Definition)
		q.NoCache, q.Unrecorded = true, true
	}
	p, err = r.engine().Plan(ctx, q)
	r.file, r.origin = p.Profiles(), p.Origin()
	if err != nil {
		end()
		return nil, end, err
	}
	r.watch(p.Limit())
	return p, end, nil
}

// emulateOne serves one provider in this process until end is called.
func (r *run) emulateOne(ctx context.Context, d *provider.Definition) (baseURL string, end func(), err error) {
	end = func() {}
	e, err := emulator.New([]*provider.Definition{d}, emulator.Options{})
	if err != nil {
		return "", end, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", end, failure.New(failure.EmulatorUnavailable, "the emulator cannot listen on 127.0.0.1")
	}
	ctx, end = context.WithCancel(ctx)
	go func() { _ = e.Serve(ctx, listener) }() // a failure shows as a lost connection
	return emulator.BaseURL(listener.Addr().String(), d.Name), end, nil
}

// resultOf is a token of a profile for a person or script.
func resultOf(f ref, t *tokenfetch.Token) output.Result {
	return output.Result{
		AccessToken: t.AccessToken, Lifetime: t.Lifetime, Obtained: t.Obtained, Scope: t.Scope, SingleUse: t.SingleUse,
		Provider: f.Definition.Name, Profile: f.Profile, Environment: t.Environment,
		Origin: t.Origin, BaseURL: t.BaseURL, Use: t.Use, Cached: t.Cached, Now: time.Now(),
	}
}

// loadProfiles reads the profiles file.
func (r *run) loadProfiles(ctx context.Context) (*profile.File, error) {
	var err error
	r.file, err = r.engine().Profiles(ctx, nil)
	return r.file, err
}

// readStdin reads a secret from standard input, without echo on a terminal,
// where the time a person takes does not count.
func (r *run) readStdin(ctx context.Context) (secret.Value, error) {
	defer r.console.waiting("the secret on standard input")()
	fd := int(r.env.Stdin.Fd())
	if !term.IsTerminal(fd) {
		ctx, cancel := r.limit.Context(ctx)
		defer cancel()
		return source.Reader(ctx, r.env.Stdin, "standard input")
	}
	defer r.limit.Pause()()
	end, err := r.hideTyping(fd)
	if err != nil {
		return secret.Value{}, err
	}
	defer end()
	return source.Reader(ctx, &typed{terminal: r.env.Stdin}, "standard input")
}

// typed is one line from a terminal, read without echo.
type typed struct {
	terminal *os.File
	line     string
	done     bool
}

// Read asks for the line at the first call.
func (t *typed) Read(p []byte) (int, error) {
	if !t.done {
		var err error
		if t.line, err = readHidden(t.terminal); err != nil {
			return 0, err
		}
		t.done = true
	}
	if len(t.line) == 0 {
		return 0, io.EOF
	}
	n := copy(p, t.line)
	t.line = t.line[n:]
	return n, nil
}

// showPlan prints what a run would do. No value of a secret field is known
// here, and none is asked for.
func (r *run) showPlan(p *tokenfetch.Plan) {
	for _, line := range p.Describe() {
		r.console.plan("%s", line)
	}
	r.console.plan("nothing was sent")
}
