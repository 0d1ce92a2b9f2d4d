package cmd

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tokenfetch/tokenfetch/pkg/login"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
)

// logoutOptions are the flags of logout.
type logoutOptions struct {
	environment string
	baseURL     string
	purge       bool
	fields      map[string]string // those in a host's name that were given
}

// newLogout returns the command "tokenfetch logout", with flags for the fields in a
// provider's host unless d is nil.
func (r *run) newLogout(d *provider.Definition) *cobra.Command {
	var o logoutOptions
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
			if err := oneHost(o.environment, o.baseURL); err != nil {
				return err
			}
			if o.environment != "" {
				if err := r.checkEnvironment(f, o.environment); err != nil {
					return err
				}
			}
			o.fields = givenFields(cmd.Flags(), f.Definition)
			return r.logOut(r.context(), f, o)
		},
	}
	flags := c.Flags()
	flags.SortFlags = false
	r.addRefFlags(c, d, r.newLogout, &o.environment, &o.baseURL)
	if d != nil {
		for _, f := range d.Fields {
			if d.InHost(f.Name) {
				flags.Var(new(fieldValue), f.Flag(), f.Help)
			}
		}
	}
	flags.BoolVar(&o.purge, "purge", false, "remove the profile from the profiles file too")
	return c
}

// logOut removes what belongs to a profile and reports it.
func (r *run) logOut(ctx context.Context, f ref, o logoutOptions) error {
	removal := login.Removal{
		Options:     r.loginOptionsFor(ctx, f, r.limit),
		Environment: o.environment, BaseURL: o.baseURL, Fields: o.fields, Purge: o.purge,
	}
	err := removal.Read(ctx)
	r.file = removal.File
	if err != nil {
		return err
	}
	removed, err := removal.Remove(ctx)
	r.tellForgotten(f.Definition, removed.Forgotten)
	if err != nil && ctx.Err() != nil {
		return err
	}
	r.tellRemoved(removal.Table()+" from "+removal.File.Path, removed)
	if err != nil {
		return err
	}
	if removed.Nothing() {
		r.console.note("nothing was stored for %s", f)
	}
	switch {
	case removed.NoKeychain && removal.Old == nil:
		r.console.warning("there is no keychain here that can be asked: secrets stay in one if there are any")
	case removed.NoKeychain:
		r.console.info("there is no keychain here")
	}
	if len(removed.Sharing) > 0 {
		r.console.warning("these profiles use the same secrets: %s", strings.Join(removed.Sharing, ", "))
	}
	if removal.Old != nil && !o.purge {
		r.console.hint("the profile " + removal.Table() + " stays in " + removal.File.Path + ": --purge removes it too")
	}
	return nil
}

// tellRemoved reports what was removed. purged names the profile and its file.
func (r *run) tellRemoved(purged string, removed *login.Removed) {
	note := func(what string) { r.console.note("removed %s", what) }
	if removed.Tokens > 0 {
		note("cached tokens")
	}
	if removed.Holds > 0 {
		note("holds and other records of its credentials")
	}
	for _, account := range removed.Items {
		note("the keychain item " + account)
	}
	for _, path := range removed.Files {
		note("the file " + path)
	}
	if removed.Purged {
		note("the profile " + purged)
	}
}
