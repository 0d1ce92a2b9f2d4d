package cmd

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

// newCache returns the command "tokenfetch cache", with "clear".
func (r *run) newCache() *cobra.Command {
	parent := &cobra.Command{
		Use:   "cache",
		Short: "remove cached tokens",
		RunE:  r.oneVerb,
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
				return r.clearAll(ctx, holds)
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

func (r *run) clearAll(ctx context.Context, holds bool) error {
	done, err := r.engine().ForgetAll(ctx, holds)
	if err != nil {
		return err
	}
	r.console.info("%d cached tokens removed", done.Tokens)
	if holds {
		r.console.info("%d holds removed", done.Holds)
	}
	if done.Counted {
		r.tellCount("the count of failed logins of each account that the provider may lock")
	}
	return nil
}

// clearRef removes the cached tokens and, on request, the holds of one profile.
func (r *run) clearRef(ctx context.Context, name string, holds bool) error {
	f, err := r.ref(name)
	if err != nil {
		return err
	}
	r.about(f)
	file, err := r.loadProfiles(ctx)
	if err != nil {
		return err
	}
	done, err := r.engine().Forget(ctx, f, file, holds)
	if err != nil {
		return err
	}
	if holds {
		r.tellHeld(f.Definition, done.Held)
		r.console.info("%d holds of %s removed", done.Holds, f)
	}
	if kept := done.Kept; kept == nil {
		r.console.info("%d cached tokens of %s removed", done.Tokens, f)
	} else {
		r.console.info("cached tokens of %s are not removed: %s", f, tokenfetch.CacheProblem(kept))
	}
	return nil
}
