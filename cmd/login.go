package cmd

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/login"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

// loginOptions are the flags of login.
type loginOptions struct {
	environment string
	baseURL     string
	from        string
	store       string
	storeGiven  bool
	replace     bool
	verify      bool
	verifyGiven bool
	tryAnyway   bool
	fields      map[string]string // the fields' flags that were given
}

// newLogin returns the command "tokenfetch login", with flags for the fields of a
// provider unless d is nil.
func (r *run) newLogin(d *provider.Definition) *cobra.Command {
	o := loginOptions{store: login.Keychain}
	c := &cobra.Command{
		Use:   "login PROVIDER[/PROFILE]",
		Short: "set up a profile and store its secrets",
		Long: `Set up a profile: ask for what the provider needs, store the secrets in the
keychain of the operating system, each bound to the provider's host, and add the
profile, without secrets, to the profiles file. --store files keeps each secret
in a file for you alone beside it.

What a flag gives is not asked; tokenfetch login PROVIDER --help shows the flags
for the provider's fields. For a profile that exists only the secrets are asked,
and an empty answer keeps one; --replace changes the rest too. With --from the
fields that are not secret are those of another profile of the provider.

Before anything is stored the credentials are tried: a token is fetched, and not
shown. Where a token is good for one call that takes --verify; --verify=false
stores them without a try. After a refusal everything is asked again, with the
last answers kept by Enter, but never so often that the provider would lock the
account. An address that is not right is asked again as well.`,
		Example: `  tokenfetch login zeepay
  tokenfetch login zeepay/sandbox --from default
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
			if err := r.checkLoginFlags(f, &o); err != nil {
				return err
			}
			return r.logIn(r.context(), f, o)
		},
	}
	flags := c.Flags()
	flags.SortFlags = false
	r.addRefFlags(c, d, r.newLogin, &o.environment, &o.baseURL)
	if d != nil {
		addFieldFlags(flags, d)
	}
	flags.Var(&choice{&o.store, []string{login.Keychain, login.Files}}, "store", "where the secrets go")
	flags.BoolVar(&o.verify, "verify", true, "try the credentials before storing")
	flags.StringVar(&o.from, "from", "", "copy what is not secret from the profile `NAME`")
	flags.BoolVar(&o.tryAnyway, "try-anyway", false, "try credentials that a refusal holds back")
	flags.BoolVar(&o.replace, "replace", false, "change the other fields of the profile too")
	if d != nil {
		register(c, "from", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return profileNames(r.completionFile(), d.Name), cobra.ShellCompDirectiveNoFileComp
		})
	}
	return c
}

// checkLoginFlags rejects contradictory flags before anything is read, and trims values
// that are not secret.
func (r *run) checkLoginFlags(f ref, o *loginOptions) error {
	d := f.Definition
	for _, host := range []*string{&o.environment, &o.baseURL} {
		if text := strings.TrimSpace(*host); text != "" {
			*host = text
		}
	}
	if err := oneHost(o.environment, o.baseURL); err != nil {
		return err
	}
	if err := oneFromStdin(d, o.fields); err != nil {
		return err
	}
	for _, f := range d.Fields {
		text, given := o.fields[f.Flag()]
		if !given || f.Secret {
			continue
		}
		text = strings.TrimSpace(text)
		o.fields[f.Flag()] = text
		if rule := typedText(text); rule != "" {
			return failure.New(failure.BadFlagValue, "the value of the flag --%s %s", f.Flag(), rule).
				WithHint("run: tokenfetch login %s --help", d.Name)
		}
	}
	if o.from != "" {
		if err := tokenfetch.CheckProfileName(d, o.from); err != nil {
			return err
		}
	}
	if o.environment != "" {
		if err := r.checkEnvironment(f, o.environment); err != nil {
			return err
		}
	}
	if o.baseURL != "" {
		_, err := d.CheckBase(o.baseURL)
		return err
	}
	return nil
}

// loginCommand is one login: it asks for what the flags do not set, and reports what
// pkg/login does.
type loginCommand struct {
	run   *run
	ref   ref
	o     loginOptions
	limit *tokenfetch.Limit
	setup *login.Setup

	person      *prompter             // nil where nobody can be asked
	asked       bool                  // a question was
	answers     map[string]string     // what the person has said of fields that are not secret; empty to leave one as it is
	host        host                  // that was chosen
	settled     []string              // fields of the host's name, which come before the others
	wanted      []provider.Field      // to ask for, in the definition's order
	missing     []string              // what could not be asked
	untried     string                // why the credentials were not tried, empty if they were
	environment *provider.Environment // nil if a base address is used
}

// host is an environment of the provider or a base address. The other is empty.
type host struct{ environment, baseURL string }

// logIn stores the credentials of a profile. It checks that they can be stored before
// it asks questions, and stores nothing until everything is known to be right.
func (r *run) logIn(ctx context.Context, f ref, o loginOptions) error {
	limit := r.limit
	r.watch(limit) // the timeout of the profile is for the try alone
	l := &loginCommand{run: r, ref: f, o: o, limit: limit, person: r.openPrompter(limit), answers: map[string]string{}}
	if l.person != nil {
		defer l.person.close()
	}
	for _, step := range []func(context.Context) error{
		l.begin, l.proveStore, l.chooseHost, l.prepare, l.lookUp, l.tellHost, l.readFlags, l.askFields, l.prepare, l.verify, l.store,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (l *loginCommand) definition() *provider.Definition { return l.ref.Definition }

// begin reads the current profile and decides where its secrets are stored.
func (l *loginCommand) begin(ctx context.Context) (err error) {
	options := l.run.loginOptionsFor(ctx, l.ref, l.limit)
	options.Again = l.again
	l.setup, err = login.Begin(ctx, options)
	if l.setup != nil {
		l.run.file = l.setup.File
	}
	if err != nil {
		return err
	}
	if flag := l.changingFlag(); flag != "" && l.setup.Old != nil && !l.o.replace {
		return failure.New(failure.ProfileExists, "the profile %s exists in %s, and --%s would change it", l.setup.Table(), l.setup.File.Path, flag).
			WithHint("to change it run: %s; or leave --%s out to store other secrets only", l.run.again(l.ref.String(), "--replace"), flag)
	}
	if l.o.from != "" {
		if err := l.setup.From(l.o.from); err != nil {
			return err
		}
	}
	places := login.Places{Store: l.o.store, Given: l.o.storeGiven, Replace: l.o.replace}
	for _, f := range l.definition().Fields {
		if l.given(f) {
			places.New = append(places.New, f.Name)
		}
	}
	return l.setup.Place(places)
}

// given reports whether a flag sets the field.
func (l *loginCommand) given(f provider.Field) bool {
	_, given := l.o.fields[f.Flag()]
	return given
}

// changingFlag returns a given flag that would change more than secrets, or "".
func (l *loginCommand) changingFlag() string {
	switch {
	case l.o.environment != "":
		return "environment"
	case l.o.baseURL != "":
		return "base-url"
	case l.o.from != "":
		return "from"
	}
	for _, f := range l.definition().Fields {
		if l.given(f) && !f.Secret {
			return f.Flag()
		}
	}
	return ""
}

// proveStore checks that the secrets can be stored.
func (l *loginCommand) proveStore(ctx context.Context) error {
	return l.nobodyToAsk(l.setup.ProveStore(ctx))
}

// nobodyToAsk adds to an error of the keychain that questions would have to be
// answered, but nobody can be asked.
func (l *loginCommand) nobodyToAsk(err error) error {
	if e, ok := errors.AsType[*failure.Error](err); ok && l.person == nil && len(l.lacking()) > 0 {
		return e.Append(", and there is no terminal to ask on")
	}
	return err
}

// lacking returns the flags for what is missing: neither the flags nor the existing
// profile set it.
func (l *loginCommand) lacking() []string {
	d, old := l.definition(), l.setup.Old
	var flags []string
	if old == nil && l.o.environment == "" && l.o.baseURL == "" && len(d.Environments) != 1 {
		flags = append(flags, hostFlag(d))
	}
	environment := cmp.Or(l.environment, environmentOf(d, l.o.environment))
	for _, f := range d.Fields {
		if !l.given(f) && !l.setup.CanCopy(f.Name) && !f.Optional && f.Default == "" && d.Needs(f.Name, environment) && (f.Secret || old == nil) {
			flags = append(flags, f.Flag())
		}
	}
	return flags
}

// again returns this login's command line with more flags and, if nobody can be asked,
// with those that are missing.
func (l *loginCommand) again(flags string) string {
	if l.person == nil && l.setup != nil {
		flags = strings.TrimSpace(l.flagsFor(l.lacking()) + " " + flags)
	}
	return l.run.again(l.ref.String(), flags)
}

// prepare resolves the host, as far as the settings are known.
func (l *loginCommand) prepare(ctx context.Context) error {
	if len(l.missing) > 0 {
		return nil // lookUp ends the run
	}
	err := l.setup.Prepare(ctx)
	l.run.origin = l.setup.Base.Origin()
	return err
}

// verify fetches a token with the new credentials before they are stored. Without
// --verify it does not do so for single-use tokens, if nothing is new, or if the
// profile reads a value from a source that is not available here.
func (l *loginCommand) verify(ctx context.Context) error {
	d := l.definition()
	switch {
	case !l.o.verify:
		l.untried = "--verify=false"
	case !l.o.verifyGiven && d.Policy.SingleUse:
		l.untried = "a token of " + d.Title + " is good for one call"
	case !l.o.verifyGiven && !l.setup.Changes():
		l.untried = "there is nothing new"
	}
	if l.untried != "" {
		return nil
	}
	var refused []*tokenfetch.Plan // at this address
	for tries := 0; ; {
		trial, err := l.try(ctx)
		e, failed := errors.AsType[*failure.Error](err)
		if !failed || e.Class() != failure.Net || e.Sent != failure.SentNo {
			tries++
		}
		switch again := failed && l.mayTryAgain(trial, tries); {
		case err == nil:
			l.run.console.note("%s gave a token for these credentials", d.Title)
			return nil
		case !failed:
			return err
		case !l.o.verifyGiven && elsewhere(e):
			l.untried = e.Message
			return nil
		case again && wrongAddress(e) && l.mayChangeHost():
			refused, err = nil, l.askHostAgain(ctx, e)
		case again && wrongCredentials(trial, e):
			refused = append(refused, trial)
			err = l.askAgain(ctx, refused, e)
		default:
			return withoutATry(e.Append("; nothing is stored"))
		}
		if err != nil {
			return err
		}
	}
}

// maxTries is the number of attempts if the provider is not known to lock accounts.
const maxTries = 3

// mayTryAgain reports whether another attempt is allowed after a number of tries: if it
// fails too, it must not lock the account, whatever the records say.
func (l *loginCommand) mayTryAgain(trial *tokenfetch.Plan, tries int) bool {
	most := maxTries
	if lockout := l.definition().Policy.LockoutAfter; lockout > 0 {
		most = lockout - 1
	}
	return len(l.wanted) > 0 && !trial.AccountHeld() && tries < most
}

// wrongCredentials reports whether the provider itself has refused these credentials,
// now or earlier.
func wrongCredentials(trial *tokenfetch.Plan, e *failure.Error) bool {
	return e.Code == failure.CredentialsRejected || e.Code == failure.ProviderRefused || e.Code == failure.HeldBack && trial.HeldBack()
}

// wrongAddress reports whether an error means that the address is not the provider's.
func wrongAddress(e *failure.Error) bool {
	return slices.Contains([]failure.Code{
		failure.DNSNotFound, failure.DNSFailed, failure.ConnectFailed, failure.TLSWrongHost, failure.TLSProtocol,
		failure.MalformedHTTP, failure.Redirect, failure.NotATokenEndpoint, failure.NotJSON, failure.EmptyReply,
	}, e.Code)
}

// mayChangeHost reports whether the host of the profile may be changed.
func (l *loginCommand) mayChangeHost() bool { return l.setup.Old == nil || l.o.replace }

// elsewhere reports whether a value that login does not store is not available here.
func elsewhere(e *failure.Error) bool {
	return slices.Contains([]failure.Code{failure.FieldMissing, failure.FileNotFound, failure.HelperNotFound, failure.KeychainNotFound}, e.Code)
}

// withoutATry adds a hint how to store credentials without an attempt, unless the
// provider has refused them or the address is not the provider's.
func withoutATry(e *failure.Error) *failure.Error {
	if c := e.Class(); c == failure.Refused || c == failure.Reply || c == failure.Signal {
		return e
	}
	if e.Hint != "" {
		e = e.AppendHint("; ")
	}
	return e.AppendHint("to store them without a try add --verify=false")
}

// try fetches a token with the new credentials.
func (l *loginCommand) try(ctx context.Context) (*tokenfetch.Plan, error) {
	trial, err := l.setup.Trial(ctx, l.o.tryAnyway)
	if err != nil {
		return trial, err
	}
	l.run.watch(trial.Limit())
	return trial, l.setup.Verify(ctx, trial)
}

// store stores everything, and prints what was done and what to do next.
func (l *loginCommand) store(ctx context.Context) error {
	report, err := l.setup.Store(ctx)
	console, file := l.run.console, l.setup.File
	if report.Unnoted {
		console.info("a run that is killed while it stores secrets will not be noticed: no file can be made beside %s", file.Path)
	}
	for _, name := range report.Left {
		console.warning("%s is still stored where it was before, too", name)
	}
	l.run.tellForgotten(l.definition(), report.Forgotten)
	if err != nil {
		return err
	}
	if report.Written {
		console.note("the profile %s is written to %s", l.setup.Table(), file.Path)
	}
	if report.Keychain != nil {
		console.note("stored in the keychain, for %s alone: %s", l.setup.Base.Authority(), strings.Join(report.Keychain, " and "))
	}
	if report.Files != nil {
		console.note("stored in files in %s: %s", report.Dir, strings.Join(report.Files, " and "))
	}
	if report.CacheKey != "" {
		console.note("cached tokens are sealed with a key in the file %s", report.CacheKey)
	}
	if report.KeyError != nil {
		console.info("no key for cached tokens is made: %s", tokenfetch.CacheProblem(report.KeyError))
	}
	for _, s := range l.setup.Secrets {
		if s.Place == "" {
			console.note("%s comes from %s, and is not stored", s.Name, s.From)
		}
	}
	if !report.Written && report.Keychain == nil && report.Files == nil {
		console.note("nothing is changed")
	}
	if l.untried != "" {
		console.note("not tried: %s", l.untried)
	}
	if old := report.OldHost; old.Host != "" {
		console.note("secrets for %s stay in the keychain if there are any: tokenfetch logout %s --base-url %s removes them", old.Authority(), l.setup.Name, old)
	}
	if set := l.overriding(); len(set) > 0 {
		console.warning("what is set in the environment comes before what is stored: %s", strings.Join(set, ", "))
	}
	command := "tokenfetch " + l.setup.Name
	if l.run.config != "" {
		command += " --config " + l.run.config
	}
	console.hint("fetch a token with: " + command)
	return nil
}

// overriding returns the variables that take precedence over the profile, or that
// prevent the use of a named profile.
func (l *loginCommand) overriding() []string {
	d := l.definition()
	settings := []string{"environment", "base_url"}
	if l.ref.Profile == profile.Default {
		settings = append(settings, "ca_file", "client_cert", "client_key")
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
