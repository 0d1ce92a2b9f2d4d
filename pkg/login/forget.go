package login

import (
	"context"
	"slices"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/internal/cache"
	"github.com/tokenfetch/tokenfetch/pkg/internal/credential"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
)

// Forgotten says which cached tokens and holds of a profile were removed. Its errors do
// not fail the operation.
type Forgotten struct {
	Tokens int         // cached tokens that were removed
	Holds  int         // holds and other records of its credentials that were
	Held   *cache.Hold // why the account is still held back, nil if it is not

	TokensError error // why cached tokens are not removed
	HoldsError  error // why holds are not cleared
	Generation  error // why older tokens in copies of the cache are not made unusable
}

// clearHolds clears the holds of the account that a query resolves to.
func (o *Options) clearHolds(ctx context.Context, q credential.Query, f *Forgotten) {
	plan, err := o.Client.Find(ctx, q)
	if err != nil {
		f.HoldsError = err
		return
	}
	removed, held, err := o.Client.ClearHolds(ctx, plan)
	if err != nil {
		f.HoldsError = err
		return
	}
	f.Holds, f.Held = removed, held
}

// dropTokens removes the cached tokens of the profile and of the profiles that share
// its secrets.
func (o *Options) dropTokens(ctx context.Context, file *profile.File, f *Forgotten) {
	f.Tokens, f.TokensError = o.Client.DropTokens(ctx, file, o.affected(file))
}

// advance invalidates all tokens that were fetched with the previous secrets of the
// profile and of the profiles that share them, also those in copies of the cache.
func (o *Options) advance(ctx context.Context, file *profile.File) error {
	if o.Ref.Definition.Policy.SingleUse {
		return nil // there are none
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), advanceLimit) // a signal does not undo what was stored
	defer cancel()
	return cache.Advance(ctx, o.Client.Dirs().State, o.affected(file))
}

// advanceLimit is the timeout of advance, which usually takes milliseconds.
const advanceLimit = time.Second

// affected returns the profiles, each as provider and name, whose tokens become invalid
// when the secrets of the profile change.
func (o *Options) affected(file *profile.File) [][]string {
	refs := [][]string{{o.Ref.Definition.Name, o.Ref.Profile}}
	for _, name := range o.sharing(file) {
		refs = append(refs, []string{o.Ref.Definition.Name, name})
	}
	return refs
}

// sharing returns the names of the profiles that use the profile's keychain items.
func (o *Options) sharing(file *profile.File) []string {
	d := o.Ref.Definition
	var names []string
	for _, name := range file.Names(d.Name) {
		p, err := file.Profile(d.Name, name, credential.ProfileFields(d))
		if err != nil || p == nil || name == o.Ref.Profile {
			continue // a profile that cannot be read uses nothing
		}
		for _, field := range d.Fields {
			if p.Fields[field.Name].Keychain == o.Ref.Profile && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}
