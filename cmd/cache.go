package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/tokenfetch/tokenfetch/pkg/cache"
	"github.com/tokenfetch/tokenfetch/pkg/credential"
	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/pkg/source"
	"github.com/tokenfetch/tokenfetch/pkg/token"
)

// How the sealing key is looked for: a run goes on without.
const (
	sealingKeyLimit = time.Second // for each look
	sealingKeyPause = time.Second // between two looks while another run fetches
	maxKeyTimeouts  = 3
)

// tokenCache is the cached tokens that a run may use. A nil one holds none.
type tokenCache struct {
	run    *run
	path   string
	owner  cache.Owner
	since  time.Time     // only tokens from then on, for --refresh
	minTTL time.Duration // only tokens that live this long
	key    []byte        // nil while there is none

	// The sealing key of the keychain, nil where there is none to be had.
	findKey  func() ([]byte, error)
	makeKey  func() ([]byte, error) // where there is none yet
	keyError error                  // of the last look, nil if there was a key
	looked   time.Time              // when that was
	timeouts int                    // of all looks
	waited   bool                   // for another run, which may have made the key

	told bool // why the token that is kept is not used
}

// cacheAllowed reports whether tokens of a plan may be cached: the definition,
// the profile and the machine all have a say.
func (r *run) cacheAllowed(plan *credential.Plan) (bool, error) {
	var wanted *bool
	if plan.Profile != nil {
		wanted = plan.Profile.Cache
	}
	if plan.Definition.Policy.SingleUse {
		if wanted != nil && *wanted {
			return false, failure.New(failure.CacheInvalid, "cache = true in [%s.%s]: its tokens are single use and are never cached", plan.Definition.Name, plan.ProfileName).
				WithHint("remove cache from the profile")
		}
		return false, nil
	}
	if wanted != nil {
		return *wanted, nil
	}
	return !r.env.ci(), nil
}

// openTokens returns the cached tokens of a plan, nil where none may be used.
func (r *run) openTokens(ctx context.Context, limit *limit, file *profile.File, plan *credential.Plan, near provider.Values, generation string, o fetchOptions) (*tokenCache, error) {
	if allowed, err := r.cacheAllowed(plan); err != nil || !allowed || o.noCache {
		return nil, err
	}
	c := &tokenCache{
		run:    r,
		path:   cache.UserDirs(r.env.lookup).Cache,
		owner:  ownerOf(plan, near, generation),
		minTTL: o.minTTL,
	}
	if o.refresh {
		c.since = r.env.Start
	}
	err := c.open(ctx, limit, file)
	switch {
	case err == nil, c.findKey != nil:
		return c, nil
	case isBadCacheKey(err):
		return nil, err
	}
	r.console.info("no cache: %s", cacheProblem(err))
	return nil, nil
}

// ownerOf is whose tokens those of a plan are. The generation must have been read
// before the secrets were.
func ownerOf(plan *credential.Plan, near provider.Values, generation string) cache.Owner {
	return cache.Owner{Ref: refOf(plan), Identity: plan.Identity(near), Generation: generation}
}

// generation is that of the tokens of a plan.
func (r *run) generation(plan *credential.Plan) string {
	return cache.Generation(cache.UserDirs(r.env.lookup).State, refOf(plan))
}

func refOf(plan *credential.Plan) []string { return []string{plan.Definition.Name, plan.ProfileName} }

// open finds the sealing key: where cache_key says, or in the keychain.
func (c *tokenCache) open(ctx context.Context, limit *limit, file *profile.File) (err error) {
	// Neither takes the time that the fetch needs.
	inTime := func(most time.Duration, get func(context.Context) ([]byte, error)) ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, min(most, limit.left()/3))
		defer cancel()
		return get(ctx)
	}
	if file.CacheKey != nil {
		c.key, err = inTime(sealingKeyLimit, func(ctx context.Context) ([]byte, error) { return c.run.readCacheKey(ctx, file.CacheKey) })
		return err
	}
	store, ok := c.run.keyStore()
	if !ok {
		return secret.ErrUnavailable
	}
	c.findKey = func() ([]byte, error) {
		return inTime(sealingKeyLimit, func(ctx context.Context) ([]byte, error) { return cache.SealingKey(ctx, store) })
	}
	c.makeKey = func() ([]byte, error) {
		return inTime(keychainLimit, func(ctx context.Context) ([]byte, error) { return cache.MakeSealingKey(ctx, store, c.path) })
	}
	c.look()
	return c.keyError
}

// look looks for the sealing key in the keychain, unless that is known to be of
// no use. One that does not answer in time may have many runs asking at once: it
// is asked again, but not for ever.
func (c *tokenCache) look() {
	if c.key != nil || c.findKey == nil {
		return
	}
	c.key, c.keyError = c.findKey()
	c.looked = time.Now()
	switch {
	case c.keyError == nil, c.keyMissing():
	case errors.Is(c.keyError, secret.ErrTimeout) && c.timeouts < maxKeyTimeouts-1:
		c.timeouts++
	default:
		c.findKey = nil
	}
}

// keyMissing reports whether the keychain has no key that can be used, so that
// one may be made.
func (c *tokenCache) keyMissing() bool {
	return errors.Is(c.keyError, secret.ErrNotFound) || errors.Is(c.keyError, cache.ErrUnusable)
}

// usable reports whether there may be a cached token now or later in the run.
func (c *tokenCache) usable() bool { return c != nil && (c.key != nil || c.findKey != nil) }

// keyStore is the keychain, which is never unlocked for the sealing key.
func (r *run) keyStore() (cache.KeyStore, bool) {
	store, ok := r.quietKeychain().(cache.KeyStore)
	return store, ok
}

// readCacheKey reads the key that cache_key names. One that is wrong is a
// failure.CacheKeyInvalid; one that is not here is another error.
func (r *run) readCacheKey(ctx context.Context, s *profile.Source) ([]byte, error) {
	var kept secret.Value
	var err error
	switch {
	case s.Env != "":
		text, set := r.env.lookup(s.Env)
		if !set {
			return nil, failure.New(failure.FieldMissing, "the variable %s, which cache_key names, is not set", s.Env)
		}
		kept = secret.New(text)
	case s.File != "":
		kept, err = source.ReadBytes(ctx, s.File)
		if e, ok := errors.AsType[*failure.Error](err); ok {
			return nil, badCacheKey(e.Message, e.Hint)
		}
	default:
		kept, err = source.CommandBytes(ctx, s.Command, r.childEnviron(), nil)
	}
	if err != nil {
		return nil, err
	}
	key, err := cache.KeyFrom(kept)
	if err != nil {
		return nil, badCacheKey("it has fewer than 32 bytes", "")
	}
	return key, nil
}

// badCacheKey is the failure of a setting that has to be corrected.
func badCacheKey(why, hint string) error {
	if hint == "" {
		hint = "make a key with: openssl rand -hex 32"
	}
	return failure.New(failure.CacheKeyInvalid, "cache_key in [tokenfetch] cannot be used: %s", why).WithHint("%s", hint)
}

// isBadCacheKey reports whether err is the failure of badCacheKey.
func isBadCacheKey(err error) bool {
	e, ok := errors.AsType[*failure.Error](err)
	return ok && e.Code == failure.CacheKeyInvalid
}

// get returns the cached token, nil if there is none that this run may use.
func (c *tokenCache) get() *token.Token {
	if c == nil || c.key == nil {
		return nil
	}
	now := time.Now()
	t, err := cache.OpenTokens(c.path, c.key).Get(c.owner, now)
	switch {
	case cache.Missing(err):
		return nil
	case err != nil:
		if !c.told {
			c.run.console.info("the cached token is not used: %s", cacheProblem(err))
		}
		c.told = true
		return nil
	case t.Obtained.Before(c.since), t.Obtained.Add(t.Lifetime).Sub(now) < c.minTTL:
		return nil
	}
	return t
}

// getWaiting is get while another run fetches, which may make the sealing key.
func (c *tokenCache) getWaiting() *token.Token {
	if c == nil {
		return nil
	}
	c.waited = true
	if time.Since(c.looked) > sealingKeyPause {
		c.look()
	}
	return c.get()
}

// getInTurn is get once it is this run's turn to fetch.
func (c *tokenCache) getInTurn() *token.Token {
	if c != nil && c.keyMissing() {
		c.look()
	}
	for c.usable() && errors.Is(c.keyError, secret.ErrTimeout) && c.others() {
		c.look() // to go without would cost a request
	}
	return c.get()
}

// others reports whether other runs may have kept a token since this run began,
// or shortly before.
func (c *tokenCache) others() bool {
	info, err := os.Stat(c.path)
	return c.waited || err == nil && time.Since(info.ModTime()) < time.Minute
}

// put keeps a token. Trouble costs the next run a request, and no more.
func (c *tokenCache) put(t *token.Token) {
	if c == nil || t.Lifetime <= cache.Margin(t.Lifetime) {
		return
	}
	if c.look(); c.key == nil && c.keyMissing() {
		c.key, c.keyError = c.makeKey()
	}
	if c.key == nil {
		c.run.console.info("the token is not cached: %s", cacheProblem(c.keyError))
		return
	}
	if err := cache.OpenTokens(c.path, c.key).Put(c.owner, t); err != nil {
		c.run.console.info("the token is not cached: %s", cacheProblem(err))
	}
}

// cacheProblem says in our words why the cache could not be used.
func cacheProblem(err error) string {
	for _, known := range []error{secret.ErrUnavailable, secret.ErrLocked, secret.ErrTimeout, cache.ErrUnusable} {
		if errors.Is(err, known) {
			return err.Error()
		}
	}
	if e, ok := errors.AsType[*failure.Error](err); ok {
		return e.Message
	}
	return whyNot(err)
}

// login gets a token with the credentials of the plan: from the cache if
// another run has just put it there, else from the provider, unless an earlier
// refusal holds them back.
func (r *run) login(ctx context.Context, plan *credential.Plan, c *call, tokens *tokenCache, o fetchOptions) (t *token.Token, cached bool, err error) {
	d := plan.Definition
	request, secrets, err := r.request(d, c)
	if err != nil {
		return nil, false, err
	}
	all, account := plan.Fingerprint(c.values)
	c.guard = cache.OpenGuard(cache.UserDirs(r.env.lookup).State, cache.Credential{Values: all, Account: account, LockoutAfter: d.Policy.LockoutAfter})
	unknown := c.guard.Err()
	if unknown != nil {
		r.console.info("earlier refusals are not known, and none is recorded: %s", cacheProblem(unknown))
	}
	unlock, err := r.awaitTurn(ctx, c.guard, c.limit, tokens)
	if err != nil {
		return nil, false, err
	}
	defer unlock()
	if t := tokens.getInTurn(); t != nil {
		return t, true, nil
	}
	var ignoreBefore time.Time
	if o.tryAnyway {
		ignoreBefore = r.env.Start
	}
	if c.held = c.guard.State(time.Now(), ignoreBefore).Hold; c.held != nil {
		return nil, false, c.held.Failure().WithHint("%s", heldHint(ref{d, r.profile}, c.held))
	}
	t, err = r.exchange(ctx, d, c, request, o.retries, secrets)
	if err := c.guard.Err(); err != nil && unknown == nil {
		r.console.info("what became of the credentials is not recorded: %s", cacheProblem(err))
	}
	if err != nil {
		return nil, false, r.adviseRefusal(d, c, adviseAllowList(d, c, err))
	}
	tokens.put(t)
	return t, false, nil
}

// awaitTurn waits until no other run sends the same credentials, where that
// matters: while they have never been seen to work, where a refusal may lock
// the account, and where the other run's token can be shared.
func (r *run) awaitTurn(ctx context.Context, guard *cache.Guard, limit *limit, tokens *tokenCache) (unlock func(), err error) {
	proven := guard.Proven(time.Now())
	if proven && !guard.Alone() && tokens == nil {
		return func() {}, nil
	}
	wait, cancel := limit.context(ctx)
	defer cancel()
	if proven && !guard.Alone() {
		// Whoever has the lock may be stuck; these credentials are safe to send.
		wait, cancel = context.WithTimeout(wait, limit.left()/3)
		defer cancel()
	}
	defer r.console.waiting("another run that fetches the same token")()
	unlock, err = guard.Lock(wait, func() bool {
		return tokens.getWaiting() != nil || !tokens.usable() && !guard.Alone() && guard.Proven(time.Now())
	})
	switch {
	case err == nil:
		return unlock, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case proven && !guard.Alone():
		return func() {}, nil
	}
	return nil, failure.New(failure.LoginInProgress, "another run is trying the same credentials, and has not finished in time").
		WithHint("try again later")
}

// record records what became of the credentials in one attempt that ended with
// err. An attempt without an answer stays on record as it was begun.
func (c *call) record(err error) {
	now := time.Now()
	e, failed := errors.AsType[*failure.Error](err)
	switch {
	case err == nil:
		c.guard.Record(cache.Worked, "", now)
	case !failed:
	case e.Counted:
		c.guard.Record(cache.Refused, e.Code, now)
	case e.HTTPStatus != 0 && e.Sent == failure.SentYes && e.Class() != failure.Net && e.Class() != failure.Signal:
		c.guard.Record(cache.Answered, "", now)
	}
}

// adviseRefusal says in the error of a login what follows from it here, where
// the provider has counted a failed one, or may have.
func (r *run) adviseRefusal(d *provider.Definition, c *call, err error) error {
	e, ok := errors.AsType[*failure.Error](err)
	lockoutAfter := d.Policy.LockoutAfter
	unanswered := ok && lockoutAfter > 0 && e.Class() == failure.Net && e.Sent != failure.SentNo
	if !ok || !e.Counted && !unanswered {
		return err
	}
	state := c.guard.State(time.Now(), time.Time{})
	unrecorded, held := c.guard.Err(), state.Hold
	switch {
	case held == nil:
	case held.LockoutAfter > 0:
		e.Hint += fmt.Sprintf("; nothing more is sent to this account from this computer for %s, except with --try-anyway", failure.Span(held.Left))
	case unanswered:
		e.Hint += fmt.Sprintf("; this may count as a failed login, so these credentials are held back on this computer for %s", failure.Span(held.Left))
	default:
		e.Hint += "; until they change they are held back on this computer for " + failure.Span(held.Left)
	}
	if lockoutAfter > 0 && (e.Counted || held != nil || unrecorded != nil) {
		e.Hint += fmt.Sprintf("; %s locks the account after %d refusals in a row", d.Title, lockoutAfter)
		if state.Left != nil {
			e.Hint += fmt.Sprintf(" (%d left, as far as this computer knows)", *state.Left)
		}
	}
	if lockoutAfter > 0 && e.Counted && d.AllowListed() {
		e.Hint += "; if this computer's address was not on the list of " + d.Title + ", send again with --try-anyway once it is"
	}
	if r.env.ci() {
		e.Hint += "; other CI machines do not know of this"
	}
	if unrecorded != nil {
		e.Hint += "\n" + unrecordedHint
	}
	return e
}

// unrecordedHint is what to do where refusals cannot be recorded.
const unrecordedHint = "this could not be recorded: set XDG_STATE_HOME to a directory of yours with space left (StateDirectory=tokenfetch in a systemd unit)"

// heldHint is what to do where the credentials of a profile are held back.
func heldHint(f ref, h *cache.Hold) string {
	switch {
	case h.LockoutAfter > 0:
		return fmt.Sprintf("make sure that the account of %s works at %s, and reset it there if need be; then send with --try-anyway, which can be repeated", f, f.definition.Title)
	case h.Code == failure.OutcomeUnknown:
		return "wait, and allow more time with --timeout 60s; or send them again with --try-anyway"
	}
	hint := fmt.Sprintf("correct the credentials of %s, or send these again with --try-anyway", f)
	if n := f.definition.Policy.LockoutAfter; n > 0 {
		hint += fmt.Sprintf("; %s locks the account after %d refusals in a row", f.definition.Title, n)
	}
	return hint
}

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
	dirs := cache.UserDirs(r.env.lookup)
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
	f, err := r.parseRef(name)
	if err != nil {
		return err
	}
	r.about(f)
	limit := r.limit
	file, err := r.loadProfiles(ctx, limit)
	if err != nil {
		return err
	}
	query := credential.Query{Definition: f.definition, Profile: f.profile, File: file, Environ: r.env.Environ}
	if err := query.CheckNamed(); err != nil {
		return err
	}
	if holds {
		if err := r.clearHoldsOf(ctx, limit, f, file); err != nil {
			return err
		}
	}
	removed, err := r.clearTokens(ctx, limit, file, [][]string{{f.definition.Name, f.profile}})
	if err != nil && errors.Is(err, errNoKey) {
		if holds {
			r.console.info("cached tokens of %s are not removed: %s", f, cacheProblem(err))
			return nil
		}
		return failure.New(failure.CacheInvalid, "the key that seals cached tokens cannot be read: %s", cacheProblem(err)).
			WithHint("remove all cached tokens with tokenfetch cache clear")
	}
	return r.cleared(removed, "cached tokens of "+f.String(), err)
}

// clearHoldsOf lifts the holds of the account of a profile.
func (r *run) clearHoldsOf(ctx context.Context, limit *limit, f ref, file *profile.File) error {
	plan, err := r.find(ctx, limit, credential.Query{Definition: f.definition, Profile: f.profile, File: file})
	if plan == nil || plan.Base.Host == "" {
		return err
	}
	records, err := r.clearHolds(ctx, limit, plan)
	if e, ok := errors.AsType[*failure.Error](err); ok {
		return e // a field that cannot be read
	}
	return r.cleared(records, "holds of "+f.String(), err)
}

// errNoKey says that the key which seals cached tokens cannot be read.
var errNoKey = errors.New("no sealing key")

// clearTokens removes the cached tokens of profiles, each a provider and a name.
func (r *run) clearTokens(ctx context.Context, limit *limit, file *profile.File, refs [][]string) (removed int, err error) {
	c := &tokenCache{run: r}
	switch err := c.open(ctx, limit, file); {
	case errors.Is(err, secret.ErrNotFound):
		return 0, nil // nothing was ever sealed
	case err != nil:
		return 0, fmt.Errorf("%w: %w", errNoKey, err)
	}
	tokens := cache.OpenTokens(cache.UserDirs(r.env.lookup).Cache, c.key)
	for _, ref := range refs {
		n, err := tokens.Clear(ref)
		removed += n
		if err != nil {
			return removed, err
		}
	}
	return removed, nil
}

// dropTokens is clearTokens for tokens that must not be used any more: where the
// key cannot be read that would tell which they are, all are removed, which costs
// the other profiles a request.
func (r *run) dropTokens(ctx context.Context, limit *limit, file *profile.File, refs [][]string) (removed int, err error) {
	removed, err = r.clearTokens(ctx, limit, file, refs)
	if errors.Is(err, errNoKey) {
		removed, err = cache.ClearTokens(cache.UserDirs(r.env.lookup).Cache)
	}
	if errors.Is(err, cache.ErrUnusable) {
		err = nil // there are none
	}
	return removed, err
}

// advance makes the tokens unreachable that were fetched with the secrets which a
// profile and those that share them had until now.
func (r *run) advance(file *profile.File, f ref) {
	if f.definition.Policy.SingleUse {
		return // there are none
	}
	if err := cache.Advance(cache.UserDirs(r.env.lookup).State, affected(file, f)); err != nil {
		r.console.info("older tokens in copies of the cache are not made unusable: %s", cacheProblem(err))
	}
}

// clearHolds lifts the holds of the account that a plan leads to. It says so
// where the account is still held back by its count of failed logins.
func (r *run) clearHolds(ctx context.Context, limit *limit, plan *credential.Plan) (removed int, err error) {
	values, err := plan.ReadAccount(ctx, r.access(limit))
	if err != nil {
		return 0, err
	}
	_, account := plan.Fingerprint(values)
	guard := cache.ReadGuard(cache.UserDirs(r.env.lookup).State, cache.Credential{Account: account, LockoutAfter: plan.Definition.Policy.LockoutAfter})
	removed, err = guard.ClearHolds()
	if held := guard.State(time.Now(), time.Time{}).Hold; err == nil && held != nil {
		r.tellCount(fmt.Sprintf("the count of failed logins to this account (%d; %s locks it after %d)", held.Failures, plan.Definition.Title, held.LockoutAfter))
	}
	return removed, err
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
