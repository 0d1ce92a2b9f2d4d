package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/credential"
	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/pkg/source"
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

// proveStore writes to the keychain, reads that back and removes it: nobody
// should answer questions for nothing.
func (l *login) proveStore(ctx context.Context) error {
	if !l.uses(inKeychain) {
		return nil
	}
	probe := secret.New("tokenfetch can store items here")
	account := "tokenfetch/probe-" + strconv.Itoa(os.Getpid()) // no other login's
	err := l.put(ctx, account, probe)
	// Whatever failed: what was written is removed.
	if deleted := l.store.Delete(context.WithoutCancel(ctx), account); err == nil {
		err = deleted
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return l.adviseStore(err)
}

// put stores an item and reads it back.
func (l *login) put(ctx context.Context, account string, value secret.Value) error {
	if err := l.store.Set(ctx, account, value); err != nil {
		return err
	}
	got, err := l.store.Get(ctx, account)
	if errors.Is(err, secret.ErrNotFound) || err == nil && got.Reveal() != value.Reveal() {
		return errUnverified
	}
	return err
}

var errUnverified = errors.New("the keychain gave back something else")

// adviseStore turns an error of the keychain into what a user can do: unlock it,
// or keep the secrets elsewhere.
func (l *login) adviseStore(err error) error {
	e := credential.KeychainFailure(err)
	switch {
	case errors.Is(err, errUnverified):
		e = failure.New(failure.KeychainUnverified, "what was stored in the keychain could not be verified: it gives back something else")
	case e == nil:
		return err
	case e.Code == failure.KeychainUnavailable, e.Code == failure.KeychainNotFound:
		e = failure.New(failure.KeychainUnavailable, "there is no keychain here that secrets can be stored in")
	case e.Code == failure.KeychainLocked:
		e = e.Append(", so that no secret can be stored in it").AppendHint(" and run this again\n")
	case e.Code == failure.KeychainTimeout:
		e = e.Append(" when asked to store a secret").AppendHint(", or allow more time with --timeout 60s\n")
	}
	if l.person == nil && !l.complete() {
		e = e.Append(", and there is no terminal to ask on")
	}
	return e.AppendHint("%s", l.otherWays())
}

// complete reports whether the flags, and the profile if there is one, give
// everything, so that nothing would be asked.
func (l *login) complete() bool {
	d := l.definition()
	host := l.old != nil || l.o.environment != "" || l.o.baseURL != "" || len(d.Environments) == 1
	return host && !slices.ContainsFunc(d.Fields, func(f provider.Field) bool {
		_, given := l.o.fields[f.Flag()]
		return !given && !f.Optional && f.Default == "" && d.Needs(f.Name, l.environment) && (f.Secret || l.old == nil)
	})
}

// otherWays tells how to do without a keychain, in lines to copy.
func (l *login) otherWays() string {
	d := l.definition()
	lines := []string{
		"keep the secrets in files for you alone: tokenfetch login " + l.name() + " --store files",
		fmt.Sprintf("or write into %s of %s where they are, one of these lines for each:", l.table(), l.file.Path),
	}
	for _, s := range l.secrets {
		item := d.Name + "_" + s.Name
		lines = append(lines,
			fmt.Sprintf("%s = { env = %q }", s.Name, strings.ToUpper(item)),
			fmt.Sprintf("%s = { file = %q }", s.Name, "/run/secrets/"+item),
			fmt.Sprintf("%s = { command = [\"pass\", \"show\", %q] }", s.Name, d.Name+"/"+s.Name))
	}
	return strings.Join(lines, "\n")
}

// checkSizes refuses a secret that the keychain would not take, before any is
// stored.
func (l *login) checkSizes(context.Context) error {
	for _, s := range l.secrets {
		if most := l.store.Limit(s.account); s.given && s.in == inKeychain && most > 0 && len(s.value.Reveal()) > most {
			return l.tooBig(s)
		}
	}
	return nil
}

func (l *login) tooBig(s *secretField) error {
	return failure.New(failure.KeychainTooBig, "%s is larger than the keychain takes: the limit is %d bytes; nothing is stored", s.Name, l.store.Limit(s.account)).
		WithHint("keep the secrets in files for you alone: tokenfetch login %s --store files", l.name())
}

// commit stores the secrets and then writes the profile, so that at no time,
// and wherever the run is cut off, a profile stands in the file without the
// secrets it needs: secrets that no profile names yet are used by nobody, and are
// replaced by the next login. What fails puts back what was there before. What is
// cut off leaves a note, because old and new may be mixed: see profile.File.Begin.
func (l *login) commit(ctx context.Context) (err error) {
	unlock, err := l.run.lockProfiles(ctx, l.file)
	if err != nil {
		return err
	}
	defer unlock()
	if err := removeTemps(l.file, l.ref); err != nil {
		return err
	}
	noChange := l.noteChange()
	defer l.run.advance(l.file, l.ref) // whatever was stored, if only for a moment
	var undo []func(context.Context) error
	defer func() {
		if err == nil {
			err = l.file.End(l.definition().Name, l.ref.Profile)
			return
		}
		failed := false
		for _, back := range slices.Backward(undo) {
			// A signal may be why it failed; it lets this run go on for a moment.
			failed = back(context.WithoutCancel(ctx)) != nil || failed
		}
		if !failed {
			noChange()
		} else if e, ok := errors.AsType[*failure.Error](err); ok {
			err = e.Append("; what was stored before could not be put back")
		}
	}()
	for _, s := range l.secrets {
		if !s.given {
			continue
		}
		back, err := l.storeSecret(ctx, s)
		undo = append(undo, back)
		if err != nil {
			return err
		}
	}
	return l.writeProfile(ctx)
}

// noteChange notes that secrets are being changed, if that takes more than one step.
// The function that it returns takes the note back.
func (l *login) noteChange() (noChange func()) {
	steps := 0
	for _, s := range l.secrets {
		if s.given {
			steps++
		}
	}
	if l.next != l.file {
		steps++
	}
	d, name := l.definition().Name, l.ref.Profile
	if steps < 2 || l.file.Unfinished(d, name) {
		return func() {}
	}
	if err := l.file.Begin(d, name); err != nil {
		l.run.console.info("a run that is killed now will not be noticed: no file can be made beside %s", l.file.Path)
	}
	return func() { _ = l.file.End(d, name) } // nothing is changed, whatever the note says
}

// removeTemps removes what a login has left that was killed while it wrote a file.
func removeTemps(file *profile.File, f ref) error {
	paths := []string{file.Path}
	for _, field := range f.Definition.Fields {
		if field.Secret {
			path, _ := secretFile(file, f, field.Name)
			paths = append(paths, path)
		}
	}
	for _, path := range paths {
		if err := source.RemoveTemps(path); err != nil {
			return err
		}
	}
	return nil
}

// lockProfiles waits until no other run changes the profiles file or what belongs
// to its profiles.
func (r *run) lockProfiles(ctx context.Context, file *profile.File) (unlock func(), err error) {
	defer r.console.waiting("another run that changes the profiles file")()
	limit, cancel := context.WithTimeout(ctx, lockLimit)
	defer cancel()
	unlock, err = file.Lock(limit)
	switch {
	case err == nil:
		return unlock, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case limit.Err() == nil:
		return nil, err
	}
	return nil, failure.New(failure.ProfilesUnwritable, "another run changes the profiles file, and has not finished in time").
		WithHint("run this again; nothing is changed")
}

// lockLimit is how long another run may keep the profiles file, which takes it
// milliseconds.
const lockLimit = 10 * time.Second

// storeSecret puts a secret in its place and reads it back. The function that it
// returns, with an error too, puts back what was there.
func (l *login) storeSecret(ctx context.Context, s *secretField) (back func(context.Context) error, err error) {
	if s.in == inFiles {
		old, err := source.ReadRegular(ctx, s.path, 2*source.MaxValue)
		back = func(context.Context) error { return os.Remove(s.path) }
		switch e, ok := errors.AsType[*failure.Error](err); {
		case err == nil:
			back = func(context.Context) error { return source.Write(s.path, old.Data) }
		case !ok || e.Code != failure.FileNotFound:
			return func(context.Context) error { return nil }, err
		}
		if err := source.Write(s.path, []byte(s.value.Reveal()+"\n")); err != nil {
			return func(context.Context) error { return nil }, err // it is as it was
		}
		return back, nil
	}
	old, err := l.store.Get(ctx, s.account)
	switch {
	case err == nil:
		back = func(ctx context.Context) error {
			if now, err := l.store.Get(ctx, s.account); err == nil && now.Reveal() == old.Reveal() {
				return nil // it was not changed
			}
			return l.store.Set(ctx, s.account, old)
		}
	case errors.Is(err, secret.ErrNotFound):
		back = func(ctx context.Context) error {
			if err := l.store.Delete(ctx, s.account); !errors.Is(err, secret.ErrNotFound) {
				return err
			}
			return nil
		}
	default:
		return func(context.Context) error { return nil }, l.adviseStore(err)
	}
	switch err := l.put(ctx, s.account, s.value); {
	case errors.Is(err, secret.ErrTooLarge):
		return back, l.tooBig(s)
	case errors.Is(err, errUnverified):
		return back, failure.New(failure.KeychainUnverified, "%s was stored in the keychain, but could not be verified: it gives back something else; it is removed again", s.Name).
			WithHint("%s", l.otherWays())
	default:
		return back, l.adviseStore(err)
	}
}

// writeProfile writes the profiles file, if it is to change: the newest one, which
// another run may have written since this one began.
func (l *login) writeProfile(ctx context.Context) error {
	if l.next == l.file {
		return nil
	}
	newest, err := l.run.engine().ReadProfiles(ctx, l.file.Path, false, nil)
	if err != nil {
		return err
	}
	if l.old == nil && slices.Contains(newest.Names(l.definition().Name), l.ref.Profile) {
		return failure.New(failure.ProfileExists, "the profile %s exists in %s: another run has written it meanwhile; nothing is stored", l.table(), l.file.Path).
			WithHint("run this again to store other secrets for it")
	}
	if newest, err = l.edited(newest); err != nil {
		return err
	}
	return newest.Save()
}

// forget removes what belonged to the old secrets: a copy at another place,
// holds, and tokens. Trouble with it is no failure.
func (l *login) forget(ctx context.Context) {
	l.removeMoved(ctx)
	plan, err := l.find(ctx, l.query)
	if err == nil && !l.tried {
		_, err = l.run.clearHolds(ctx, plan)
	}
	if err != nil {
		l.run.console.info("holds are not cleared: %s", tokenfetch.CacheProblem(err))
	}
	if _, err := l.run.engine().DropTokens(ctx, l.file, affected(l.file, l.ref)); err != nil {
		l.run.console.info("cached tokens are not removed: %s", tokenfetch.CacheProblem(err))
	}
}

// removeMoved removes secrets from the place that the profile had them at before
// --replace moved them, unless another profile shares them there.
func (l *login) removeMoved(ctx context.Context) {
	if l.old == nil {
		return
	}
	for _, s := range l.secrets {
		var err error
		switch was, _ := l.sourceOf(s); {
		case !s.given || was == s.in:
		case was == inFiles:
			err = os.Remove(s.path)
		case was == inKeychain && len(sharing(l.file, l.ref)) == 0:
			err = l.store.Delete(ctx, s.account)
		}
		if err != nil && !errors.Is(err, secret.ErrNotFound) {
			l.run.console.warning("%s is still stored where it was before, too", s.Name)
		}
	}
}

// affected returns the profiles, each a provider and a name, whose tokens are no
// longer right when the secrets of one change.
func affected(file *profile.File, f ref) [][]string {
	refs := [][]string{{f.Definition.Name, f.Profile}}
	for _, name := range sharing(file, f) {
		refs = append(refs, []string{f.Definition.Name, name})
	}
	return refs
}

// sharing returns the profiles that use the keychain items of another.
func sharing(file *profile.File, f ref) []string {
	var names []string
	for _, name := range file.Names(f.Definition.Name) {
		p, err := file.Profile(f.Definition.Name, name, credential.ProfileFields(f.Definition))
		if err != nil || p == nil || name == f.Profile {
			continue // a profile that cannot be read uses nothing
		}
		for _, field := range f.Definition.Fields {
			if p.Fields[field.Name].Keychain == f.Profile && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}
