package cmd

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tokenfetch/tokenfetch/pkg/credential"
	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
)

// logoutOptions are the flags of logout.
type logoutOptions struct {
	environment string
	baseURL     string
	purge       bool
	fields      map[string]string // those in a host's name that were given
}

// newLogout is "tokenfetch logout".
func (r *run) newLogout() *cobra.Command {
	var o logoutOptions
	d := r.definitionBehind("logout", "--purge")
	c := &cobra.Command{
		Use:   "logout PROVIDER[/PROFILE]",
		Short: "remove a profile's secrets, cached tokens and holds",
		Long: `Remove what belongs to a profile: its secrets in the keychain, for each of the
provider's hosts and the profile's own, files that login --store files has made,
cached tokens and holds. The profile itself stays unless --purge is given. The
count of refusals that may lock an account stays in any case.`,
		Example: `  tokenfetch logout zeepay
  tokenfetch logout zeepay/ci --purge`,
		ValidArgsFunction: r.completeOneProfile,
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := r.oneRef(cmd, args)
			if err != nil {
				return err
			}
			if o.environment != "" && o.baseURL != "" {
				return conflict("--environment", "--base-url")
			}
			if o.environment != "" {
				if _, err := f.definition.CheckEnvironment(o.environment); err != nil {
					return err
				}
			}
			o.fields = givenFields(cmd.Flags(), f.definition)
			return r.logOut(r.context(), f, o)
		},
	}
	flags := c.Flags()
	flags.SortFlags = false
	r.addRefFlags(c, d, &o.environment, &o.baseURL)
	if d != nil {
		for _, f := range d.Fields {
			if d.InHost(f.Name) {
				flags.String(f.Flag(), "", f.Help+", a `VALUE`")
			}
		}
	}
	flags.BoolVar(&o.purge, "purge", false, "remove the profile from the profiles file too")
	return c
}

// logout is one run of the command.
type logout struct {
	run     *run
	ref     ref
	o       logoutOptions
	limit   *limit
	trusted bool // the file may be one that others could have changed
	file    *profile.File
	old     *profile.Profile // nil if there is none of that name
	removed []string         // what was, in words
}

// logOut removes what belongs to a profile. A keychain that cannot be asked
// is an error, but what is kept elsewhere is removed all the same; the profile stays
// then, because it tells where to look next time.
func (r *run) logOut(ctx context.Context, f ref, o logoutOptions) error {
	l := &logout{run: r, ref: f, o: o, limit: r.limit}
	if err := l.readFile(ctx); err != nil {
		return err
	}
	hosts, err := l.hosts(ctx)
	if err != nil {
		return err
	}
	unlock, err := l.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	l.clear(ctx) // while the profile says whose holds they are
	trouble := errors.Join(l.removeItems(ctx, hosts), l.removeFiles())
	r.advance(l.file, f)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if trouble == nil {
		trouble = l.file.End(f.definition.Name, f.profile)
	}
	if trouble == nil && o.purge {
		trouble = l.purge(ctx)
	}
	for _, what := range l.removed {
		r.console.note("removed %s", what)
	}
	e, failed := errors.AsType[*failure.Error](trouble)
	if len(l.removed) == 0 && l.old == nil && (trouble == nil || failed && e.Code == failure.KeychainUnavailable) {
		query := credential.Query{Definition: f.definition, Profile: f.profile, File: l.file}
		if err := query.CheckNamed(); err != nil {
			return err
		}
	}
	if failed {
		return e
	}
	if trouble != nil {
		return trouble
	}
	if len(l.removed) == 0 {
		r.console.note("nothing was stored for %s", f)
	}
	if names := sharing(l.file, f); len(names) > 0 {
		r.console.warning("these profiles use the same secrets: %s", strings.Join(names, ", "))
	}
	if l.old != nil && !o.purge {
		r.console.hint("the profile [" + f.definition.Name + "." + f.profile + "] stays in " + l.file.Path + ": --purge removes it too")
	}
	return nil
}

// readFile reads the profiles file, which need not exist.
func (l *logout) readFile(ctx context.Context) error {
	path, named, err := l.run.profilesPath()
	if err != nil {
		return err
	}
	l.file = &profile.File{}
	if path == "" {
		return nil
	}
	l.trusted = named && l.run.env.ci() && !l.o.purge
	if l.file, err = l.run.readProfiles(ctx, l.limit, path, l.trusted, l.run.note); err != nil {
		return err
	}
	l.run.file = l.file
	l.old, err = l.file.Profile(l.ref.definition.Name, l.ref.profile, credential.ProfileFields(l.ref.definition))
	return err
}

// lock waits for other runs that change the profile.
func (l *logout) lock(ctx context.Context) (unlock func(), err error) {
	if !l.file.Exists || l.trusted {
		return func() {}, nil
	}
	return l.run.lockProfiles(ctx, l.file)
}

// hosts returns every address that secrets of the profile may have been stored
// for: the provider's environments, and what the flags, the profile and the
// variables say. The parts of a host's name come from the same places.
func (l *logout) hosts(ctx context.Context) ([]provider.Address, error) {
	d := l.ref.definition
	var hosts []provider.Address
	add := func(base provider.Address, err error) bool {
		if err == nil && !slices.ContainsFunc(hosts, func(a provider.Address) bool { return a.Authority() == base.Authority() }) {
			hosts = append(hosts, base)
		}
		return err == nil
	}
	if l.o.baseURL != "" {
		base, err := d.CheckBase(l.o.baseURL)
		if !add(base, err) {
			return nil, err
		}
	}
	// Nothing can have been stored for an address that is not one.
	add(d.CheckBase(l.run.env.getenv(d.Variable("base_url"))))
	if l.old != nil {
		add(d.CheckBase(l.old.BaseURL))
	}
	for _, e := range d.Environments {
		known := add(d.Address(e, func(field string) string {
			f, _ := d.Field(field)
			return l.o.fields[f.Flag()]
		}))
		for _, alone := range []bool{true, false} {
			plan, _ := l.find(ctx, credential.Query{Environment: e.Name, Alone: alone}) // without a host there is nothing to do
			if plan != nil && plan.Base.Host != "" {
				known = add(plan.Base, nil)
			}
		}
		if !known && e.Name == l.o.environment {
			return nil, failure.New(failure.FieldMissing, "a part of the host's name of the environment %s is missing", e.Name).
				WithHint("tokenfetch logout %s --help shows the flag that gives it", d.Name)
		}
	}
	return hosts, nil
}

// find finds the credentials of the profile, with the flags.
func (l *logout) find(ctx context.Context, q credential.Query) (*credential.Plan, error) {
	q.Definition, q.Profile, q.File, q.Flags = l.ref.definition, l.ref.profile, l.file, l.o.fields
	return l.run.find(ctx, l.limit, q)
}

// clear removes cached tokens and holds. Trouble with it is no failure.
func (l *logout) clear(ctx context.Context) {
	n, err := l.run.dropTokens(ctx, l.limit, l.file, affected(l.file, l.ref))
	if err != nil {
		l.run.console.info("cached tokens are not removed: %s", cacheProblem(err))
	}
	if n > 0 {
		l.removed = append(l.removed, "cached tokens")
	}
	plan, err := l.find(ctx, credential.Query{Environment: l.o.environment, BaseURL: l.o.baseURL})
	if err == nil {
		n, err = l.run.clearHolds(ctx, l.limit, plan)
	}
	switch {
	case err != nil && l.old != nil:
		l.run.console.info("holds are not cleared: %s", cacheProblem(err))
	case err == nil && n > 0:
		l.removed = append(l.removed, "holds and other records of its credentials")
	}
}

// removeItems removes the profile's own items of the keychain, for each host.
// After the first trouble the keychain is not asked again.
func (l *logout) removeItems(ctx context.Context, hosts []provider.Address) error {
	d := l.ref.definition
	store := &limitedStore{l.run, l.run.keychain(l.limit), l.limit}
	for _, host := range hosts {
		for _, f := range d.Fields {
			if !f.Secret {
				continue
			}
			account := credential.Account(d, l.ref.profile, f.Name, host)
			switch err := store.Delete(ctx, account); {
			case err == nil:
				l.removed = append(l.removed, "the keychain item "+account)
			case errors.Is(err, secret.ErrNotFound):
			case errors.Is(err, secret.ErrUnavailable) && !l.usesKeychain():
				l.run.console.info("there is no keychain here")
				return nil
			default:
				return l.adviseKeychain(err)
			}
		}
	}
	return nil
}

// usesKeychain reports whether a secret of the profile may be in the keychain:
// where no profile says, it may.
func (l *logout) usesKeychain() bool {
	return l.old == nil || slices.ContainsFunc(l.ref.definition.Fields, func(f provider.Field) bool {
		is, ok := l.old.Fields[f.Name]
		return f.Secret && (!ok || is.Keychain == l.ref.profile)
	})
}

func (l *logout) adviseKeychain(err error) error {
	const stays = ", so that secrets stay in it if there are any; everything else is removed, except the profile"
	again := "and run tokenfetch logout " + l.run.short(l.ref) + " again"
	switch {
	case errors.Is(err, secret.ErrUnavailable):
		return failure.New(failure.KeychainUnavailable, "there is no keychain here that can be asked"+stays).WithHint("start your keychain service %s", again)
	case errors.Is(err, secret.ErrLocked):
		return failure.New(failure.KeychainLocked, "the keychain is locked"+stays).WithHint("unlock it in your desktop session %s", again)
	case errors.Is(err, secret.ErrTimeout):
		return failure.New(failure.KeychainTimeout, "the keychain did not answer in time"+stays).WithHint("check your keychain service %s", again)
	}
	return err
}

// removeFiles removes the files of secrets that login has made, those with the
// name it gives them, and what a login has left that was killed.
func (l *logout) removeFiles() error {
	if l.file.Path == "" {
		return nil
	}
	if err := removeTemps(l.file, l.ref); err != nil {
		return err
	}
	for _, f := range l.ref.definition.Fields {
		path, _ := secretFile(l.file, l.ref, f.Name)
		if info, err := os.Lstat(path); !f.Secret || err != nil || !info.Mode().IsRegular() {
			continue
		}
		if err := os.Remove(path); err != nil {
			return failure.New(failure.FileUnwritable, "the file %s cannot be removed", path).WithHint("check the owner and mode of its directory")
		}
		l.removed = append(l.removed, "the file "+path)
	}
	_ = os.Remove(filepath.Join(filepath.Dir(l.file.Path), "secrets")) // if nothing is left in it
	return nil
}

// purge removes the profile from the file.
func (l *logout) purge(ctx context.Context) error {
	if l.old == nil {
		return nil
	}
	newest, err := l.run.readProfiles(ctx, l.limit, l.file.Path, false, l.run.note)
	if err != nil {
		return err
	}
	next, err := newest.Without(l.ref.definition.Name, l.ref.profile)
	if err != nil {
		return err
	}
	if err := next.Save(); err != nil {
		return err
	}
	l.removed = append(l.removed, "the profile ["+l.ref.definition.Name+"."+l.ref.profile+"] from "+l.file.Path)
	return nil
}
