package cmd

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/tokenfetch/tokenfetch/pkg/cache"
	"github.com/tokenfetch/tokenfetch/pkg/credential"
	"github.com/tokenfetch/tokenfetch/pkg/emulator"
	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/keychain"
	"github.com/tokenfetch/tokenfetch/pkg/output"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/pkg/source"
	"github.com/tokenfetch/tokenfetch/pkg/token"
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
			r.profile = f.profile
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
		if name, err = r.unnamedProfile(); err != nil {
			return ref{}, err
		}
	}
	return ref{d, name}, checkProfileName(d, name)
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
	p, err := r.prepare(ctx, f, o)
	if err != nil {
		return err
	}
	if err := p.load(ctx); err != nil || o.dryRun {
		return err
	}
	result, err := p.fetch(ctx)
	if err != nil {
		return err
	}
	if err := r.mask(result.Token.AccessToken, o); err != nil {
		return err
	}
	data, err := output.Format(result, o.format, o.variable)
	if err != nil {
		return undelivered(err.Error()).WithHint("choose another format")
	}
	return deliver(data)
}

// prepared is a token that is to be fetched. Once it is loaded, everything that
// takes is at hand, and nothing has been sent.
type prepared struct {
	run     *run
	ref     ref
	options fetchOptions
	limit   *limit
	file    *profile.File
	plan    *credential.Plan // nil for the emulator
	call    *call
	tokens  *tokenCache
	cached  *token.Token    // nil if it must be fetched
	values  provider.Values // of the options' fields, and others
}

// prepare finds where everything that a fetch needs comes from. It runs no helper.
func (r *run) prepare(ctx context.Context, f ref, o fetchOptions) (p *prepared, err error) {
	r.about(f)
	if lifetime, fixed := f.definition.FixedLifetime(); fixed && lifetime < o.minTTL {
		return nil, shortLifetime()
	}
	p = &prepared{run: r, ref: f, options: o}
	if o.emulator {
		p.values = emulator.Credentials(f.definition)
		return p, nil
	}
	if p.file, err = r.loadProfiles(ctx, r.limit); err != nil {
		return nil, err
	}
	if p.plan, err = r.findCredentials(ctx, r.limit, p.file, f, o); err != nil {
		return nil, err
	}
	p.limit = r.limitOf(p.plan)
	return p, nil
}

// load gets everything that a fetch needs. With --dry-run it shows that instead.
func (p *prepared) load(ctx context.Context) error {
	r, plan := p.run, p.plan
	if p.options.emulator {
		return nil
	}
	r.about(p.ref)
	r.origin = plan.Base.Origin()
	if p.options.dryRun {
		r.showPlan(plan)
		return nil
	}
	access := r.access(p.limit)
	generation := r.generation(plan)
	values, err := plan.ReadNear(ctx, access)
	if err != nil {
		return err
	}
	p.values = values
	if p.tokens, err = r.openTokens(ctx, p.limit, p.file, plan, values, generation, p.options); err != nil {
		return err
	}
	if p.cached = p.tokens.get(); p.cached != nil {
		r.console.info("token from the cache")
		return p.readWanted(ctx, access)
	}
	for _, place := range plan.Places {
		r.console.info("%s from %s", place.Field.Name, place.Where)
	}
	if p.call, err = r.newCall(ctx, p.limit, plan, access, values, p.options.caFile); err != nil {
		return err
	}
	return plan.Unfinished()
}

// readWanted reads the fields that are handed on beside a cached token.
func (p *prepared) readWanted(ctx context.Context, access credential.Access) error {
	if len(p.options.with) == 0 {
		return nil
	}
	if err := p.plan.ReadFields(ctx, access, p.values, p.options.with); err != nil {
		return err
	}
	return p.plan.Unfinished()
}

// newCall gets what a request still lacks: the certificates to trust, and the
// fields that take the keychain or a helper, which are added to values.
func (r *run) newCall(ctx context.Context, limit *limit, plan *credential.Plan, access credential.Access, values provider.Values, caFile string) (*call, error) {
	c := &call{environment: plan.Environment, base: plan.Base, values: values, limit: limit}
	var err error
	if c.roots, err = r.loadRoots(ctx, limit, plan, caFile); err != nil {
		return nil, err
	}
	return c, plan.Read(ctx, access, values)
}

// fetch gets the token.
func (p *prepared) fetch(ctx context.Context) (output.Result, error) {
	r, d := p.run, p.ref.definition
	r.about(p.ref)
	result := output.Result{Token: p.cached, Cached: p.cached != nil, Provider: d.Name, Profile: p.ref.profile, Use: d.Use()}
	var base provider.Address
	var err error
	if p.plan != nil {
		base, result.Environment = p.plan.Base, p.plan.Environment
		r.origin = base.Origin()
	}
	switch {
	case p.options.emulator:
		result.Token, base, err = r.fetchEmulated(ctx, d, p.options)
	case p.cached == nil:
		result.Token, result.Cached, err = r.login(ctx, p.plan, p.call, p.tokens, p.options)
	}
	if err != nil {
		return result, err
	}
	r.console.hide(result.Token.AccessToken)
	result.Origin, result.BaseURL, result.Now = base.Origin(), base.String(), time.Now()
	// Of a cached token the time that is left has been looked at.
	if !result.Cached && result.Token.Lifetime < p.options.minTTL {
		e := shortLifetime()
		e.Sent, e.Attempts = failure.SentYes, 1
		return result, e
	}
	return result, nil
}

func shortLifetime() *failure.Error {
	return failure.New(failure.ShortLifetime, "the token does not live as long as --min-ttl asks, or its lifetime is unknown").
		WithHint("ask for less, or do without --min-ttl")
}

// request builds the request of a call. From then on the console hides the
// secrets in it, which are returned too.
func (r *run) request(d *provider.Definition, c *call) (token.Request, []secret.Value, error) {
	var secrets []secret.Value
	for _, f := range d.Fields {
		if f.Secret {
			secrets = append(secrets, c.values[f.Name])
		}
	}
	r.console.hide(secrets...)
	request, err := d.TokenRequest(c.base, c.values)
	r.console.hide(request.Body)
	return request, secrets, err
}

// call is everything a request is made of.
type call struct {
	environment string // empty if a base address was given
	base        provider.Address
	values      provider.Values
	roots       *x509.CertPool // nil for the system's
	limit       *limit
	guard       *cache.Guard // nil where nothing is to be remembered
	held        *cache.Hold  // why it was not made, nil if it was
}

// fetchEmulated starts an emulator in this process and uses its credentials. It
// returns its base address too. Nothing of it is remembered.
func (r *run) fetchEmulated(ctx context.Context, d *provider.Definition, o fetchOptions) (*token.Token, provider.Address, error) {
	e, err := emulator.New([]*provider.Definition{d}, emulator.Options{})
	if err != nil {
		return nil, provider.Address{}, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, provider.Address{}, failure.New(failure.EmulatorUnavailable, "the emulator cannot listen on 127.0.0.1")
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() { _ = e.Serve(ctx, listener) }() // a failure shows as a lost connection
	c := &call{values: emulator.Credentials(d), limit: r.limit}
	if c.base, err = provider.ParseAddress(emulator.BaseURL(listener.Addr().String(), d.Name)); err != nil {
		return nil, c.base, err
	}
	r.origin = c.base.Origin()
	request, secrets, err := r.request(d, c)
	if err != nil {
		return nil, c.base, err
	}
	t, err := r.exchange(ctx, d, c, request, o.retries, secrets)
	return t, c.base, err
}

// findCredentials decides where each field comes from.
func (r *run) findCredentials(ctx context.Context, limit *limit, file *profile.File, f ref, o fetchOptions) (*credential.Plan, error) {
	plan, err := r.find(ctx, limit, credential.Query{
		Definition:  f.definition,
		Profile:     f.profile,
		File:        file,
		Environment: o.environment,
		BaseURL:     o.baseURL,
		Flags:       o.fields,
	})
	if plan != nil && plan.Base.Host != "" {
		r.origin = plan.Base.Origin()
	}
	return plan, err
}

// find finds credentials. From then on the programs that the run starts do not get
// the variables that give secrets of the profile, see childEnviron.
func (r *run) find(ctx context.Context, limit *limit, q credential.Query) (*credential.Plan, error) {
	ctx, cancel := limit.context(ctx)
	defer cancel()
	q.Environ = r.env.Environ
	plan, err := credential.Find(ctx, q)
	r.plans = append(r.plans, plan)
	return plan, err
}

// childEnviron is the environment of the programs that the run starts: its own
// without the secrets in it.
func (r *run) childEnviron() []string {
	return credential.WithoutSecrets(r.catalog, r.env.Environ, r.plans...)
}

// loadProfiles reads the profiles file. One that --config or TOKENFETCH_CONFIG
// names must exist.
func (r *run) loadProfiles(ctx context.Context, limit *limit) (*profile.File, error) {
	var err error
	r.file, err = r.loadProfilesWith(ctx, limit, r.note)
	return r.file, err
}

// loadProfilesWith is loadProfiles; note is told what was taken on trust.
func (r *run) loadProfilesWith(ctx context.Context, limit *limit, note func(string)) (*profile.File, error) {
	path, named, err := r.profilesPath()
	if err != nil || path == "" {
		return &profile.File{}, err
	}
	file, err := r.readProfiles(ctx, limit, path, named && r.env.ci(), note)
	if err == nil && named && !file.Exists {
		return nil, failure.New(failure.ProfilesUnreadable, "the profiles file %s does not exist", path).
			WithHint("check --config and TOKENFETCH_CONFIG")
	}
	return file, err
}

// profilesPath returns where the profiles file is, empty if there is no home for
// it, and whether --config or TOKENFETCH_CONFIG names it.
func (r *run) profilesPath() (path string, named bool, err error) {
	path = r.config
	_, byVariable := r.env.lookup("TOKENFETCH_CONFIG")
	named = path != "" || byVariable
	if path == "" {
		path, err = profile.Path(r.env.lookup)
	}
	if err != nil || path == "" {
		return "", named, err
	}
	if absolute, err := filepath.Abs(path); err == nil {
		path = absolute
	}
	return path, named, nil
}

// readProfiles reads the profiles file at path. With trusted it may be one that
// others could have changed, of which note is told.
func (r *run) readProfiles(ctx context.Context, limit *limit, path string, trusted bool, note func(string)) (*profile.File, error) {
	ctx, cancel := limit.context(ctx)
	defer cancel()
	return profile.Load(ctx, path, profile.Options{
		Home:    profile.Home(r.env.lookup),
		Trusted: trusted,
		Note:    note,
	})
}

// note tells with -v what was taken on trust.
func (r *run) note(text string) { r.console.info("%s", text) }

// loadRoots reads the certificates to trust, nil for the system's.
func (r *run) loadRoots(ctx context.Context, limit *limit, plan *credential.Plan, path string) (*x509.CertPool, error) {
	if path == "" && plan.Profile != nil {
		path = plan.Profile.CAFile
	}
	if path == "" {
		return nil, nil
	}
	ctx, cancel := limit.context(ctx)
	defer cancel()
	bad := func(problem string) error {
		return failure.New(failure.CAFileInvalid, "the file of certificates %s %s", path, problem).
			WithHint("name a PEM file with the certificates of your authority")
	}
	file, err := source.ReadRegular(ctx, path, 4<<20)
	if e, ok := errors.AsType[*failure.Error](err); ok && e.Code != failure.InputTimeout {
		return nil, failure.New(failure.CAFileInvalid, "%s", e.Message).WithHint("check --ca-file, or ca_file in the profile")
	}
	if err != nil {
		return nil, err
	}
	roots, err := token.ParseCertificates(file.Data)
	if err != nil {
		return nil, bad(err.Error())
	}
	return roots, nil
}

// access reaches the places values come from, each within its time limit.
func (r *run) access(limit *limit) credential.Access {
	return credential.Access{
		Stdin: func(ctx context.Context) (secret.Value, error) { return r.readStdin(ctx, limit) },
		Helper: func(ctx context.Context, argv []string) (secret.Value, error) {
			return r.runHelper(ctx, limit, argv)
		},
		File:     limit.context,
		Keychain: &limitedStore{r, r.keychain(limit), limit},
		Trusted:  r.env.ci(),
		Note:     r.note,
	}
}

func (r *run) keychain(limit *limit) secret.Store {
	if r.env.Keychain != nil {
		return r.env.Keychain
	}
	return &keychain.Keychain{
		Getenv: r.env.getenv,
		Dialog: r.env.attended(),
		Waiting: func() (context.Context, func()) {
			resume, erase := limit.pause(), r.console.waiting("the keychain to be unlocked")
			return r.context(), func() { erase(); resume() }
		},
	}
}

// limitedStore gives each call of a store its time limit.
type limitedStore struct {
	run   *run
	store secret.Store
	limit *limit
}

// begin starts a call; end ends it.
func (s *limitedStore) begin(ctx context.Context) (_ context.Context, end func()) {
	erase := s.run.console.waiting("the keychain")
	ctx, done := s.limit.keychain(ctx)
	return ctx, func() { done(); erase() }
}

// Get asks the store within the limit of a keychain call.
func (s *limitedStore) Get(ctx context.Context, account string) (secret.Value, error) {
	ctx, end := s.begin(ctx)
	defer end()
	return s.store.Get(ctx, account)
}

// Set writes to the store within that limit, if it can be written to.
func (s *limitedStore) Set(ctx context.Context, account string, value secret.Value) error {
	keeper, ok := s.store.(secret.Keeper)
	if !ok {
		return secret.ErrUnavailable
	}
	ctx, end := s.begin(ctx)
	defer end()
	return keeper.Set(ctx, account, value)
}

// Delete removes an item within that limit, if the store can be written to.
func (s *limitedStore) Delete(ctx context.Context, account string) error {
	keeper, ok := s.store.(secret.Keeper)
	if !ok {
		return secret.ErrUnavailable
	}
	ctx, end := s.begin(ctx)
	defer end()
	return keeper.Delete(ctx, account)
}

// Limit returns how long an item may be, see secret.Keeper.
func (s *limitedStore) Limit(account string) int {
	if keeper, ok := s.store.(secret.Keeper); ok {
		return keeper.Limit(account)
	}
	return 0
}

// readStdin reads a secret from standard input, without echo on a terminal,
// where the time a person takes does not count.
func (r *run) readStdin(ctx context.Context, limit *limit) (secret.Value, error) {
	defer r.console.waiting("the secret on standard input")()
	fd := int(r.env.Stdin.Fd())
	if !term.IsTerminal(fd) {
		ctx, cancel := limit.context(ctx)
		defer cancel()
		return source.Reader(ctx, r.env.Stdin, "standard input")
	}
	defer limit.pause()()
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

// runHelper runs a helper command.
func (r *run) runHelper(ctx context.Context, limit *limit, argv []string) (secret.Value, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer limit.whenOver(func() { cancel(context.DeadlineExceeded) })()
	if !isTerminal(r.env.Stdin) {
		defer r.console.waiting("the helper " + filepath.Base(argv[0]))()
		return source.Command(ctx, argv, r.childEnviron(), nil)
	}
	lent, end := r.lendTerminal(limit)
	defer end()
	return source.Command(ctx, argv, r.childEnviron(), lent)
}

// send makes the request.
func (r *run) send(ctx context.Context, c *call, request token.Request) (*token.Reply, error) {
	defer r.console.waiting(c.base.Authority())()
	ctx, cancel := c.limit.context(ctx)
	defer cancel()
	client := r.client(c.roots)
	client.Connected = func() { c.guard.Begin(time.Now()) }
	return client.Post(ctx, request)
}

// client makes connections that trust roots, or the system's where that is nil.
func (r *run) client(roots *x509.CertPool) *token.Client {
	return &token.Client{
		UserAgent: "tokenfetch/" + r.env.Version,
		Roots:     roots,
		Getenv:    r.env.getenv,
		Trace:     r.console.info,
	}
}

// singleUse adds to a failure after the request was sent that a token may be
// lost.
func singleUse(d *provider.Definition, err error) error {
	if e, ok := errors.AsType[*failure.Error](err); ok && d.Policy.SingleUse && e.Sent != "" && e.Sent != failure.SentNo {
		e.Message += "; a token may have been issued"
	}
	return err
}

// adviseAllowList adds a hint where the source address may be the reason: a host
// that accepts only listed ones gives no proper answer, or any host of a provider
// that keeps such a list says that the request is not allowed.
func adviseAllowList(d *provider.Definition, c *call, err error) error {
	suspects := []failure.Code{failure.Timeout, failure.ConnectionLost, failure.ConnectFailed, failure.NotAllowed, failure.NotJSON}
	e, ok := errors.AsType[*failure.Error](err)
	if !ok || !slices.Contains(suspects, e.Code) {
		return err
	}
	accepts := ""
	if environment, _ := d.Environment(c.environment); environment.AllowListed {
		accepts = "accepts"
	} else if e.Code == failure.NotAllowed && slices.ContainsFunc(d.Environments, func(e provider.Environment) bool { return e.AllowListed }) {
		accepts = "may accept"
	}
	if accepts != "" {
		e.Hint = "this host " + accepts + " only source addresses that " + d.Title + " has put on its list: check that yours is; otherwise " + e.Hint
		e.Hint = strings.TrimSuffix(e.Hint, "; otherwise ")
	}
	return err
}

// showPlan prints what a run would do. No value of a secret field is known
// here, and none is asked for.
func (r *run) showPlan(plan *credential.Plan) {
	d, values := plan.Definition, plan.Known()
	r.console.plan("POST %s%s", plan.Base, d.Request.Path)
	r.console.plan("Content-Type: %s", d.Request.ContentType())
	show := func(field string) string {
		for _, place := range plan.Places {
			if place.Field.Name != field {
				continue
			}
			value := secret.Hidden
			if !place.Field.Secret {
				value = "[read when it is sent]"
				if known, ok := values[field]; ok {
					value = known.Reveal()
				}
			}
			return value + "  (" + field + " from " + place.Where + ")"
		}
		return "[not sent]  (" + field + " is optional)"
	}
	if b := d.Request.Basic; b != nil {
		r.console.plan("Authorization: Basic, user %s", show(b.User))
		r.console.plan("Authorization: Basic, password %s", show(b.Password))
	}
	for _, m := range d.Request.Body {
		if m.Field == "" {
			r.console.plan("body %s = %s", m.Name, m.Value)
			continue
		}
		r.console.plan("body %s = %s", m.Name, show(m.Field))
	}
	r.console.plan("nothing was sent")
}
