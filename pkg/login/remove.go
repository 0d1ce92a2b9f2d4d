package login

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/internal/credential"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
)

// Removal selects what to remove: the secrets of a profile, for each of the provider's
// hosts and the profile's own, cached tokens and holds. Call [Removal.Read] before
// [Removal.Remove].
type Removal struct {
	Options
	Environment string            // a host of the provider whose name must be known, or empty
	BaseURL     string            // another host, or empty
	Fields      map[string]string // the parts of a host's name, by the flags of their fields
	Purge       bool              // remove the profile from the file too

	File *profile.File    // after Read
	Old  *profile.Profile // what File has of the profile, nil if it has none

	trusted bool // others could have changed File
}

// Removed says what was removed.
type Removed struct {
	Items      []string // accounts in the keychain
	Files      []string // paths
	Purged     bool     // the profile was removed from the profiles file
	NoKeychain bool     // there is none, and no profile says that secrets are in one
	Sharing    []string // the profiles that use the same secrets
	Forgotten
}

// Nothing reports whether there was nothing to remove.
func (r *Removed) Nothing() bool {
	return r.Tokens == 0 && r.Holds == 0 && r.Items == nil && r.Files == nil && !r.Purged
}

// Read reads the profiles file, which need not exist. File is nil if it cannot be read.
func (r *Removal) Read(ctx context.Context) error {
	path, named, err := r.Client.ProfilesPath()
	if err != nil {
		return err
	}
	file := &profile.File{}
	if path != "" {
		r.trusted = named && r.Client.CI() && !r.Purge
		if file, err = r.Client.ReadProfiles(ctx, path, r.trusted, nil); err != nil {
			return err
		}
	}
	r.File = file
	r.Old, err = r.old(file)
	return err
}

// Remove removes all of that. A keychain that cannot be asked is an error, but what is kept
// elsewhere is removed all the same; the profile stays then, because it tells where
// to look next time. With an error too it returns what was removed, never nil.
func (r *Removal) Remove(ctx context.Context) (*Removed, error) {
	done := &Removed{}
	hosts, err := r.hosts(ctx)
	if err != nil {
		return done, err
	}
	unlock, err := r.lock(ctx)
	if err != nil {
		return done, err
	}
	defer unlock()
	r.forget(ctx, done) // while the profile says whose holds they are
	err = firstFailure(r.removeItems(ctx, hosts, done), r.removeFiles(done))
	done.Generation = r.advance(ctx, r.File)
	if ctx.Err() != nil {
		return done, context.Cause(ctx)
	}
	if err == nil {
		err = r.File.End(r.Ref.Definition.Name, r.Ref.Profile)
	}
	if err == nil && r.Purge {
		err = r.purge(ctx, done)
	}
	if err == nil && done.Nothing() && r.Old == nil {
		q := r.query(credential.Query{})
		err = q.CheckNamed()
	}
	done.Sharing = r.sharing(r.File)
	return done, err
}

// firstFailure returns the first [failure.Error] among errs, otherwise all errors
// joined.
func firstFailure(errs ...error) error {
	err := errors.Join(errs...)
	if e, ok := errors.AsType[*failure.Error](err); ok {
		return e
	}
	return err
}

// lock waits until no other process is changing the profile.
func (r *Removal) lock(ctx context.Context) (unlock func(), err error) {
	if !r.File.Exists || r.trusted {
		return func() {}, nil
	}
	return r.Client.LockProfiles(ctx, r.File)
}

// hosts returns every address that the profile's secrets may be stored for: the
// provider's environments, and those of the options, the profile and the variables.
// Fields in a host name come from the same sources.
func (r *Removal) hosts(ctx context.Context) ([]provider.Address, error) {
	d := r.Ref.Definition
	var hosts []provider.Address
	add := func(base provider.Address, err error) bool {
		if err == nil && !slices.ContainsFunc(hosts, func(a provider.Address) bool { return a.Authority() == base.Authority() }) {
			hosts = append(hosts, base)
		}
		return err == nil
	}
	if r.BaseURL != "" {
		base, err := d.CheckBase(r.BaseURL)
		if !add(base, err) {
			return nil, err
		}
	}
	// An invalid address has no secrets.
	byVariable, _ := r.Client.Lookup(d.Variable("base_url"))
	add(d.CheckBase(byVariable))
	if r.Old != nil {
		add(d.CheckBase(r.Old.BaseURL))
	}
	for _, e := range d.Environments {
		known := add(d.Address(e, func(field string) string {
			f, _ := d.Field(field)
			return r.Fields[f.Flag()]
		}))
		for _, alone := range []bool{true, false} {
			plan, _ := r.Client.Find(ctx, r.query(credential.Query{Environment: e.Name, Alone: alone})) // without a host there is nothing to do
			if plan.Base.Host != "" {
				known = add(plan.Base, nil)
			}
		}
		if !known && e.Name == r.Environment {
			return nil, failure.New(failure.FieldMissing, "a part of the host's name of the environment %s is missing", e.Name).
				WithHint("tokenfetch logout %s --help shows the flag that gives it", d.Name)
		}
	}
	return hosts, nil
}

// query sets the profile of q.
func (r *Removal) query(q credential.Query) credential.Query {
	q.Definition, q.Profile, q.File, q.Flags = r.Ref.Definition, r.Ref.Profile, r.File, r.Fields
	return q
}

// forget removes cached tokens and holds. It ignores that a profile which does not
// exist has no account.
func (r *Removal) forget(ctx context.Context, done *Removed) {
	r.dropTokens(ctx, r.File, &done.Forgotten)
	r.clearHolds(ctx, r.query(credential.Query{Environment: r.Environment, BaseURL: r.BaseURL}), &done.Forgotten)
	if r.Old == nil {
		done.HoldsError = nil
	}
}

// removeItems removes the profile's own keychain items, for each host. It stops at the
// first error of the keychain.
func (r *Removal) removeItems(ctx context.Context, hosts []provider.Address, done *Removed) error {
	d := r.Ref.Definition
	for _, host := range hosts {
		for _, f := range d.Fields {
			if !f.Secret {
				continue
			}
			account := credential.Account(d, r.Ref.Profile, f.Name, host)
			switch err := r.Keychain.Delete(ctx, account); {
			case err == nil:
				done.Items = append(done.Items, account)
			case errors.Is(err, secret.ErrNotFound):
			case errors.Is(err, secret.ErrNoKeyring):
				return nil // there is nothing in it
			case errors.Is(err, secret.ErrUnavailable) && !r.usesKeychain():
				done.NoKeychain = true
				return nil
			default:
				return r.notRemoved(err)
			}
		}
	}
	return nil
}

// usesKeychain reports whether the profile exists and reads a secret from the keychain.
func (r *Removal) usesKeychain() bool {
	return r.Old != nil && slices.ContainsFunc(r.Ref.Definition.Fields, func(f provider.Field) bool {
		is, ok := r.Old.Fields[f.Name]
		return f.Secret && (!ok || is.Keychain == r.Ref.Profile)
	})
}

// removeFiles removes the secret files that [Setup.Store] creates, and temporary files
// of a login that was killed.
func (r *Removal) removeFiles(done *Removed) error {
	if r.File.Path == "" {
		return nil
	}
	if err := r.removeTemps(r.File); err != nil {
		return err
	}
	for _, f := range r.Ref.Definition.Fields {
		path, _ := r.secretFile(r.File, f.Name)
		if info, err := os.Lstat(path); !f.Secret || err != nil || !info.Mode().IsRegular() {
			continue
		}
		if err := os.Remove(path); err != nil {
			return failure.New(failure.FileUnwritable, "the file %s cannot be removed", path).WithHint("check the owner and mode of its directory")
		}
		done.Files = append(done.Files, path)
	}
	_ = os.Remove(filepath.Join(filepath.Dir(r.File.Path), "secrets")) // if nothing is left in it
	return nil
}

// purge removes the profile from the file.
func (r *Removal) purge(ctx context.Context, done *Removed) error {
	if r.Old == nil {
		return nil
	}
	newest, err := r.Client.ReadProfiles(ctx, r.File.Path, false, nil)
	if err != nil {
		return err
	}
	next, err := newest.Without(r.Ref.Definition.Name, r.Ref.Profile)
	if err != nil {
		return err
	}
	if err := next.Save(); err != nil {
		return err
	}
	done.Purged = true
	return nil
}
