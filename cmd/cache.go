package cmd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/tokenfetch/tokenfetch/pkg/cache"
	"github.com/tokenfetch/tokenfetch/pkg/credential"
	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

// newCache is "tokenfetch cache clear".
func (r *run) newCache() *cobra.Command {
	parent := &cobra.Command{
		Use:   "cache",
		Short: "remove cached tokens",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return r.needVerb(cmd, "write tokenfetch cache clear")
		},
	}
	var holds bool
	clearCommand := &cobra.Command{
		Use:   "clear [PROVIDER[/PROFILE]...]",
		Short: "remove cached tokens, of the named profiles or all",
		Long: `Remove cached tokens: of the named profiles, or all of them.

With --holds also forget that credentials were refused, so that they are sent
again. The count of refusals that may lock an account stays.`,
		Example:           "  tokenfetch cache clear\n  tokenfetch cache clear zeepay/ci --holds",
		ValidArgsFunction: r.completeProfiles,
		RunE: func(cmd *cobra.Command, refs []string) error {
			ctx := r.context()
			if len(refs) == 0 {
				return r.clearAll(holds)
			}
			for _, ref := range refs {
				if err := r.clearRef(ctx, ref, holds); err != nil {
					return err
				}
			}
			return nil
		},
	}
	clearCommand.Flags().BoolVar(&holds, "holds", false, "also forget refusals")
	parent.AddCommand(clearCommand)
	return parent
}

func (r *run) clearAll(holds bool) error {
	dirs := r.engine().Dirs()
	tokens, err := cache.ClearTokens(dirs.Cache)
	if err = r.cleared(tokens, "cached tokens", err); err != nil || !holds {
		return err
	}
	records, err := cache.ClearHolds(dirs.State)
	if err = r.cleared(records, "holds", err); err == nil && cache.AnyCount(dirs.State, time.Now()) {
		r.tellCount("the count of failed logins of each account that the provider may lock")
	}
	return err
}

// tellCount says that clearing holds leaves a count of failed logins.
func (r *run) tellCount(what string) {
	r.console.note("%s stays: it ends with a success or after 24 hours", what)
	r.console.hint("to send all the same use --try-anyway, which can be repeated")
}

// clearRef removes what belongs to one profile. Holds need no keychain.
func (r *run) clearRef(ctx context.Context, name string, holds bool) error {
	f, err := r.engine().Ref(name)
	if err != nil {
		return err
	}
	r.about(f)
	file, err := r.loadProfiles(ctx)
	if err != nil {
		return err
	}
	query := credential.Query{Definition: f.Definition, Profile: f.Profile, File: file, Environ: r.env.Environ}
	if err := query.CheckNamed(); err != nil {
		return err
	}
	if holds {
		if err := r.clearHoldsOf(ctx, f, file); err != nil {
			return err
		}
	}
	removed, err := r.engine().ClearTokens(ctx, file, [][]string{{f.Definition.Name, f.Profile}})
	if err != nil && errors.Is(err, tokenfetch.ErrNoKey) {
		if holds {
			r.console.info("cached tokens of %s are not removed: %s", f, tokenfetch.CacheProblem(err))
			return nil
		}
		return failure.New(failure.CacheInvalid, "the key that seals cached tokens cannot be read: %s", tokenfetch.CacheProblem(err)).
			WithHint("remove all cached tokens with tokenfetch cache clear")
	}
	return r.cleared(removed, "cached tokens of "+f.String(), err)
}

// clearHoldsOf lifts the holds of the account of a profile.
func (r *run) clearHoldsOf(ctx context.Context, f ref, file *profile.File) error {
	plan, err := r.engine().Find(ctx, credential.Query{Definition: f.Definition, Profile: f.Profile, File: file})
	if plan == nil || plan.Base.Host == "" {
		return err
	}
	records, held, err := r.engine().ClearHolds(ctx, plan)
	if e, ok := errors.AsType[*failure.Error](err); ok {
		return e // a field that cannot be read
	}
	if err == nil {
		r.tellHeld(f.Definition, held)
	}
	return r.cleared(records, "holds of "+f.String(), err)
}

// tellHeld says that the account is still held back by its count of failed logins,
// if it is.
func (r *run) tellHeld(d *provider.Definition, held *cache.Hold) {
	if held != nil {
		r.tellCount(fmt.Sprintf("the count of failed logins to this account (%d; %s locks it after %d)", held.Failures, d.Title, held.LockoutAfter))
	}
}

// cleared tells with -v what was removed. A directory that is not there has
// nothing to remove.
func (r *run) cleared(n int, what string, err error) error {
	if err != nil && !errors.Is(err, cache.ErrUnusable) {
		return failure.New(failure.CacheInvalid, "the %s cannot be removed: %s", what, whyNot(err)).
			WithHint("check the owner and mode of the directory")
	}
	r.console.info("%d %s removed", n, what)
	return nil
}
