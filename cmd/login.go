package cmd

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tokenfetch/tokenfetch/pkg/credential"
	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

// The places where login stores secrets.
const (
	inKeychain = "keychain"
	inFiles    = "files"
)

// loginOptions are the flags of login.
type loginOptions struct {
	environment string
	baseURL     string
	store       string
	storeGiven  bool
	replace     bool
	verify      bool
	verifyGiven bool
	tryAnyway   bool
	fields      map[string]string // the fields' flags that were given
}

// newLogin is "tokenfetch login", with flags for the fields of a provider unless d
// is nil.
func (r *run) newLogin(d *provider.Definition) *cobra.Command {
	o := loginOptions{store: inKeychain}
	c := &cobra.Command{
		Use:   "login PROVIDER[/PROFILE]",
		Short: "set up a profile and store its secrets",
		Long: `Set up a profile: ask for what the provider needs, store the secrets in the
keychain of the operating system, each bound to the provider's host, and add the
profile, without secrets, to the profiles file.

What a flag gives is not asked; tokenfetch login PROVIDER --help shows the flags
for the provider's fields. For a profile that exists only the secrets are asked,
and an empty answer keeps one; --replace changes the rest too.`,
		Example: `  tokenfetch login zeepay
  tokenfetch login zeepay/ci --replace
  tokenfetch login mpay --username ops --password-file - <password.txt`,
		ValidArgsFunction: r.completeOneProfile,
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := r.oneRef(cmd, args)
			if err != nil {
				return err
			}
			o.fields = givenFields(cmd.Flags(), f.Definition)
			o.storeGiven, o.verifyGiven = cmd.Flags().Changed("store"), cmd.Flags().Changed("verify")
			if err := checkLoginFlags(f.Definition, &o); err != nil {
				return err
			}
			return r.logIn(r.context(), f, o)
		},
	}
	flags := c.Flags()
	flags.SortFlags = false
	r.addRefFlags(c, d, &o.environment, &o.baseURL)
	if d != nil {
		addFieldFlags(flags, d)
	}
	flags.Var(&choice{&o.store, []string{inKeychain, inFiles}}, "store", "where the secrets go; files are for you alone, beside the profiles file")
	flags.BoolVar(&o.verify, "verify", false, "fetch a token first, and store nothing if that fails (=false: do not ask)")
	flags.BoolVar(&o.tryAnyway, "try-anyway", false, "verify credentials that an earlier refusal holds back")
	flags.BoolVar(&o.replace, "replace", false, "change the host and the other fields of a profile that exists too")
	return c
}

// addRefFlags adds the flags that choose the host of a provider to a command
// whose argument names the provider; d is nil where it does not. Then a flag of
// a provider is no unknown flag: the name is what is wrong.
func (r *run) addRefFlags(c *cobra.Command, d *provider.Definition, environment, baseURL *string) {
	if d != nil {
		addHostFlags(c.Flags(), d, environment, baseURL)
		register(c, "environment", cobra.FixedCompletions(d.EnvironmentNames(), cobra.ShellCompDirectiveNoFileComp))
		return
	}
	c.Flags().StringVarP(environment, "environment", "e", "", "the provider's host by `NAME`")
	c.Flags().StringVar(baseURL, "base-url", "", "the provider's host by `URL`")
	c.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok && unknown.GetSpecifiedShortnames() == "" {
			if r.named == "" {
				return r.needRef(cmd)
			}
			if _, err := r.engine().Ref(r.named); err != nil {
				return err
			}
		}
		return flagError(cmd, err)
	})
}

// oneRef reads the argument of a command that takes one profile.
func (r *run) oneRef(cmd *cobra.Command, args []string) (ref, error) {
	switch {
	case len(args) == 0:
		return ref{}, r.needRef(cmd)
	case len(args) > 1:
		return ref{}, failure.New(failure.UnexpectedArgument, "%s takes one profile at a time", cmd.CommandPath()).
			WithHint("run %s --help", cmd.CommandPath())
	}
	f, err := r.engine().Ref(args[0])
	if err == nil {
		r.about(f)
	}
	return f, err
}

func (r *run) needRef(cmd *cobra.Command) error {
	return r.needVerb(cmd, "name a provider: "+strings.Join(r.catalog.Names(), ", "))
}

// checkLoginFlags refuses what the flags cannot mean together, before anything
// is read.
func checkLoginFlags(d *provider.Definition, o *loginOptions) error {
	if o.environment != "" && o.baseURL != "" {
		return conflict("--environment", "--base-url")
	}
	if stdin := fromStdin(d, o.fields); len(stdin) > 1 {
		return conflict(stdin[0], stdin[1])
	}
	for _, f := range d.Fields {
		text, given := o.fields[f.Flag()]
		if !given || f.Secret {
			continue
		}
		if rule := typedText(text); rule != "" {
			return failure.New(failure.BadFlagValue, "the value of the flag --%s %s", f.Flag(), rule).
				WithHint("run tokenfetch login %s --help", d.Name)
		}
	}
	if o.environment != "" {
		if _, err := d.CheckEnvironment(o.environment); err != nil {
			return err
		}
	}
	if o.baseURL != "" {
		_, err := d.CheckBase(o.baseURL)
		return err
	}
	return nil
}

// login is one run of the command.
type login struct {
	run   *run
	ref   ref
	o     loginOptions
	limit *tokenfetch.Limit
	store secret.Keeper
	file  *profile.File
	old   *profile.Profile // nil for a new one

	person  *prompter // nil where nobody can be asked
	asked   bool      // a question was
	tried   bool      // the credentials have given a token
	missing []string  // what could not be asked

	environment *provider.Environment // nil if a base address is used
	settings    []profile.Setting     // to write, none if the profile stays as it is
	secrets     []*secretField
	next        *profile.File    // the file with the settings
	query       credential.Query // what a fetch would ask for
	plan        *credential.Plan
}

// secretField is what becomes of one secret.
type secretField struct {
	provider.Field
	in     string       // inKeychain, inFiles, or empty if it comes from elsewhere
	from   string       // says from where
	stored bool         // there is one at its place already
	value  secret.Value // the new one
	given  bool         // there is a new one

	account string // in the keychain
	path    string // of its file
}

// logIn stores the credentials of a profile. The store is tried before anything
// is asked, and nothing is stored before everything is known to be right.
func (r *run) logIn(ctx context.Context, f ref, o loginOptions) error {
	limit := r.limit
	r.watch(limit) // the timeout of the profile is for the try alone
	l := &login{
		run: r, ref: f, o: o, limit: limit,
		store:  r.engine().Keychain(ctx, limit),
		person: r.openPrompter(limit),
	}
	if l.person != nil {
		defer l.person.close()
	}
	for _, step := range []func(context.Context) error{
		l.readFile, l.chooseSecrets, l.proveStore, l.chooseHost, l.chooseFields, l.makePlan, l.readSecrets, l.checkSizes, l.verify, l.commit,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	l.forget(ctx)
	l.report(ctx)
	return nil
}

func (l *login) definition() *provider.Definition { return l.ref.Definition }

// name is the profile as the next command names it.
func (l *login) name() string { return l.run.short(l.ref) }

// table is the profile as the file names it.
func (l *login) table() string { return "[" + l.ref.Definition.Name + "." + l.ref.Profile + "]" }

// readFile reads the profiles file, which others must not have been able to
// change even in CI: it is going to be written.
func (l *login) readFile(ctx context.Context) error {
	path, _, err := l.run.engine().ProfilesPath()
	if err != nil {
		return err
	}
	if path == "" {
		return failure.New(failure.ProfilesUnwritable, "there is no home directory for a profiles file").
			WithHint("set HOME, or name the file with --config FILE")
	}
	if l.file, err = l.run.engine().ReadProfiles(ctx, path, false, nil); err != nil {
		return err
	}
	l.run.file = l.file
	d := l.definition()
	if l.old, err = l.file.Profile(d.Name, l.ref.Profile, credential.ProfileFields(d)); err != nil || l.old == nil || l.o.replace {
		return err
	}
	if flag := l.changingFlag(); flag != "" {
		return failure.New(failure.ProfileExists, "the profile %s exists in %s, and --%s would change it", l.table(), l.file.Path, flag).
			WithHint("add --replace to change it, or leave --%s out to store other secrets only", flag)
	}
	return nil
}

// changingFlag returns a flag that was given and says more than new secrets, or "".
func (l *login) changingFlag() string {
	switch {
	case l.o.environment != "":
		return "environment"
	case l.o.baseURL != "":
		return "base-url"
	}
	for _, f := range l.definition().Fields {
		if _, given := l.o.fields[f.Flag()]; given && !f.Secret {
			return f.Flag()
		}
	}
	return ""
}

// secretFile is the path of the file that login stores a secret in: in the
// directory of the profiles file, and from there.
func secretFile(file *profile.File, f ref, field string) (path, relative string) {
	relative = "secrets/" + f.Definition.Name + "." + f.Profile + "." + field
	return filepath.Join(filepath.Dir(file.Path), filepath.FromSlash(relative)), relative
}

// chooseSecrets decides for each secret where it goes. One that the profile
// takes from elsewhere stays there, unless it is replaced by a flag.
func (l *login) chooseSecrets(context.Context) error {
	for _, f := range l.definition().Fields {
		if !f.Secret {
			continue
		}
		s := &secretField{Field: f, in: l.o.store}
		s.path, _ = secretFile(l.file, l.ref, f.Name)
		_, flag := l.o.fields[f.Flag()]
		now := l.o.store
		if l.old != nil {
			now, s.from = l.sourceOf(s)
		}
		switch {
		case l.o.replace && flag, now == l.o.store:
		case now != "" && l.o.replace && l.o.storeGiven:
		case now != "" && l.o.storeGiven:
			return failure.New(failure.ProfileExists, "the profile %s exists in %s, and takes %s from the %s", l.table(), l.file.Path, f.Name, now).
				WithHint("add --replace to move it, or leave --store out")
		case flag && now == "":
			return failure.New(failure.ProfileExists, "the profile %s exists in %s, and takes %s from %s", l.table(), l.file.Path, f.Name, s.from).
				WithHint("add --replace to store it, or leave --%s out", f.Flag())
		default:
			s.in = now
		}
		l.secrets = append(l.secrets, s)
	}
	return nil
}

// sourceOf returns where the profile that exists has a secret: one of our
// places, or in words somewhere else.
func (l *login) sourceOf(s *secretField) (in, from string) {
	switch is, ok := l.old.Fields[s.Name]; {
	case !ok, is.Keychain == l.ref.Profile:
		return inKeychain, ""
	case is.Keychain != "":
		return "", "the keychain item of " + l.definition().Name + "/" + is.Keychain
	case is.File == s.path:
		return inFiles, ""
	case is.File != "":
		return "", "the file " + is.File
	case is.Env != "":
		return "", "the variable " + is.Env
	case is.Command != nil:
		return "", "the helper " + is.Command[0]
	}
	return "", "the profiles file itself"
}

// uses reports whether any secret goes to the place.
func (l *login) uses(place string) bool {
	return slices.ContainsFunc(l.secrets, func(s *secretField) bool { return s.in == place })
}

// makePlan makes the file as it is going to be, and finds in it what a fetch
// would find: the host, and with it the names of the secrets' items.
func (l *login) makePlan(ctx context.Context) (err error) {
	if len(l.missing) > 0 {
		return nil // of no use: readSecrets ends the run
	}
	if l.next, err = l.edited(l.file); err != nil {
		return err
	}
	l.query = credential.Query{Definition: l.definition(), Profile: l.ref.Profile, File: l.next, Alone: true}
	if l.old != nil && l.old.Environment == "" && l.old.BaseURL == "" && len(l.settings) == 0 && l.ref.Profile == profile.Default {
		l.query.Alone = false // a variable may say which host it is
	}
	plan, err := l.find(ctx, l.query)
	if e, ok := errors.AsType[*failure.Error](err); ok && e.Code == failure.HostMissing && len(l.settings) == 0 {
		err = e.WithHint("say it with: tokenfetch login %s --replace", l.name())
	}
	if plan == nil || plan.Base.Host == "" {
		return err
	}
	// A field that another source does not give now is no hindrance to storing the others.
	l.plan, l.run.origin = plan, plan.Base.Origin()
	for _, s := range l.secrets {
		s.account = credential.Account(l.definition(), l.ref.Profile, s.Name, plan.Base)
	}
	return nil
}

func (l *login) find(ctx context.Context, q credential.Query) (*credential.Plan, error) {
	return l.run.engine().Find(ctx, q)
}

// edited is a profiles file with the settings of this run.
func (l *login) edited(file *profile.File) (*profile.File, error) {
	settings := slices.Clone(l.settings)
	for _, s := range l.secrets {
		_, relative := secretFile(file, l.ref, s.Name)
		now := ""
		if l.old != nil {
			now, _ = l.sourceOf(s)
		}
		switch {
		case s.in == "" || s.in == now:
		case s.in == inFiles:
			settings = append(settings, profile.Setting{Key: s.Name, File: relative})
		case l.old != nil:
			settings = append(settings, profile.Setting{Key: s.Name})
		}
	}
	if len(settings) == 0 {
		return file, nil
	}
	comment := ""
	if names := l.namesIn(inKeychain, false); names != "" {
		comment = names + ": from the keychain, as nothing else is said"
	}
	return file.With(l.definition().Name, l.ref.Profile, settings, comment)
}

// namesIn returns the names of the secrets that go to a place, or only of the
// new ones.
func (l *login) namesIn(place string, onlyNew bool) string {
	var names []string
	for _, s := range l.secrets {
		if s.in == place && (s.given || !onlyNew) {
			names = append(names, s.Name)
		}
	}
	return strings.Join(names, " and ")
}

// verify fetches a token with the new credentials, if that is asked for. Where
// questions are asked it is one of them, except for a provider whose tokens are
// good for one call.
func (l *login) verify(ctx context.Context) error {
	d := l.definition()
	wanted := l.o.verify
	if !l.o.verifyGiven && l.asked && !d.Policy.SingleUse {
		answer, err := l.ask(ctx, "fetch a token now, to see whether they work? [Y/n]", false, func(answer string) string {
			if _, ok := yes(answer); !ok {
				return "must be y or n"
			}
			return ""
		})
		if err != nil {
			return err
		}
		wanted, _ = yes(answer)
	}
	if !wanted {
		return nil
	}
	err := l.fetch(ctx)
	if e, ok := errors.AsType[*failure.Error](err); ok {
		err = e.Append("; nothing is stored")
	}
	if err == nil {
		l.run.console.note("%s gave a token for these credentials", d.Title)
	}
	return err
}

// fetch gets a token as a fetch would, except that the secrets are not stored
// yet. The token is dropped.
func (l *login) fetch(ctx context.Context) error {
	given := provider.Values{}
	for _, s := range l.secrets {
		if s.given {
			given[s.Name] = s.value
		}
	}
	plan, err := l.run.engine().Plan(ctx, tokenfetch.Query{
		Ref: l.ref, File: l.next, Alone: l.query.Alone, Given: given, NoCache: true, TryAnyway: l.o.tryAnyway,
	})
	if err != nil {
		return err
	}
	l.run.watch(plan.Limit())
	if err := plan.Load(ctx); err != nil {
		return err
	}
	_, err = plan.Token(ctx)
	if e, ok := errors.AsType[*failure.Error](err); ok && plan.HeldBack() {
		err = e.AppendHint("; or store them without a try, with --verify=false, which lets the next fetch send them")
	}
	l.tried = err == nil
	return err
}

// report says what was done and what to do next.
func (l *login) report(ctx context.Context) {
	console := l.run.console
	done := false
	if l.next != l.file {
		console.note("the profile %s is written to %s", l.table(), l.file.Path)
		done = true
	}
	if names := l.namesIn(inKeychain, true); names != "" {
		console.note("stored in the keychain, for %s alone: %s", l.plan.Base.Authority(), names)
		done = true
	}
	if names := l.namesIn(inFiles, true); names != "" {
		console.note("stored in files in %s: %s", filepath.Dir(l.secrets[0].path), names)
		done = true
	}
	for _, s := range l.secrets {
		if s.in == "" {
			console.note("%s comes from %s, and is not stored", s.Name, s.from)
		}
	}
	if !done {
		console.note("nothing is changed")
	}
	if l.old != nil && l.o.replace && len(l.settings) > 0 {
		l.tellOldHost(ctx)
	}
	if set := l.overriding(); len(set) > 0 {
		console.warning("what is set in the environment comes before what is stored: %s", strings.Join(set, ", "))
	}
	command := "tokenfetch " + l.name()
	if l.run.config != "" {
		command += " --config " + l.run.config
	}
	console.hint("fetch a token with: " + command)
}

// tellOldHost says what becomes of secrets for the host that the profile had.
func (l *login) tellOldHost(ctx context.Context) {
	q := l.query
	q.File = l.file
	old, _ := l.find(ctx, q) // without a host there is nothing to say
	if old == nil || old.Base.Host == "" || old.Base.Authority() == l.plan.Base.Authority() {
		return
	}
	l.run.console.note("secrets for %s stay in the keychain if there are any: tokenfetch logout %s --base-url %s removes them", old.Base.Authority(), l.name(), old.Base)
}

// overriding returns the variables that come before the profile, or that a named
// profile cannot be used with.
func (l *login) overriding() []string {
	d := l.definition()
	settings := []string{"environment", "base_url"}
	if l.ref.Profile == profile.Default {
		for _, f := range d.Fields {
			settings = append(settings, f.Name, f.Name+"_file")
		}
	}
	var set []string
	for _, s := range settings {
		if _, ok := l.run.env.lookup(d.Variable(s)); ok {
			set = append(set, d.Variable(s))
		}
	}
	return set
}
