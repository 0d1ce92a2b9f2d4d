package login

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/internal/cache"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/pkg/source"
)

// Report says what [Setup.Store] did. Its lists contain names of secrets.
type Report struct {
	Written  bool             // the profile was, to the file
	Keychain []string         // stored there
	Files    []string         // stored in files in Dir
	Dir      string           // empty if there are none
	Left     []string         // stored where they were before, too: they could not be removed there
	OldHost  provider.Address // of which secrets may be left in the keychain; empty for none
	CacheKey string           // the file of a key that was made to seal cached tokens; empty for none
	KeyError error            // why none could be made
	Unnoted  bool             // a run that is killed would not have been noticed, see profile.File.Begin
	Forgotten
}

// Store stores the secrets and then writes the profile. At no point, wherever the
// process is killed, does the file have a profile without the secrets it needs; secrets
// that no profile refers to yet are unused, and the next login replaces them. If a step
// fails, Store undoes the earlier ones. If it is killed, a note remains, because old
// and new secrets may be mixed: see [profile.File.Begin]. Finally it removes what
// belonged to the old secrets. The Report is never nil; with an error it lists nothing
// as stored.
func (s *Setup) Store(ctx context.Context) (*Report, error) {
	r := &Report{}
	if err := s.commit(ctx, r); err != nil {
		r.CacheKey = ""
		return r, err
	}
	r.Written = s.next != s.File
	r.Keychain = s.names(func(one *Secret) bool { return one.given && one.Place == Keychain })
	r.Files = s.names(func(one *Secret) bool { return one.given && one.Place == Files })
	if r.Files != nil {
		r.Dir = filepath.Dir(s.Secrets[0].path)
	}
	s.forget(ctx, r)
	if s.Old != nil && len(s.settings) > 0 {
		r.OldHost = s.oldHost(ctx)
	}
	return r, nil
}

// commit does the part of [Setup.Store] that can fail.
func (s *Setup) commit(ctx context.Context, r *Report) error {
	unlock, err := s.Client.LockProfiles(ctx, s.File)
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.removeTemps(s.File); err != nil {
		return err
	}
	takeBack := s.note(r)
	defer func() { r.Generation = s.advance(ctx, s.File) }() // whatever was stored, if only for a moment
	var undo undoLog
	err = s.storeAll(ctx, &undo, r)
	if err == nil {
		return s.File.End(s.Ref.Definition.Name, s.Ref.Profile)
	}
	// The failure may be due to a signal, which leaves this process a moment to finish.
	if undo.run(context.WithoutCancel(ctx)) {
		takeBack()
	} else if e, ok := errors.AsType[*failure.Error](err); ok {
		return e.Append("; what was stored before could not be put back")
	}
	return err
}

// note records that secrets are being changed, if that takes more than one step. The
// function it returns removes the record.
func (s *Setup) note(r *Report) (takeBack func()) {
	steps := len(s.names(func(one *Secret) bool { return one.given }))
	if s.next != s.File {
		steps++
	}
	d, name := s.Ref.Definition.Name, s.Ref.Profile
	if steps < 2 || s.File.Unfinished(d, name) {
		return func() {}
	}
	r.Unnoted = s.File.Begin(d, name) != nil
	return func() { _ = s.File.End(d, name) } // nothing is changed, whatever the note says
}

// storeAll performs all steps of the change. It adds to the log what undoes them, also
// if a step fails.
func (s *Setup) storeAll(ctx context.Context, undo *undoLog, r *Report) error {
	for _, one := range s.Secrets {
		if !one.given {
			continue
		}
		store := s.storeItem
		if one.Place == Files {
			store = storeFile
		}
		if err := store(ctx, one, undo); err != nil {
			return err
		}
	}
	return s.writeProfile(ctx, undo, r)
}

// undoLog contains the functions that undo the completed steps, in the order of the
// steps.
type undoLog []func(context.Context) error

func (u *undoLog) add(back func(context.Context) error) { *u = append(*u, back) }

// run undoes all steps in reverse order, and reports whether all of them could be
// undone.
func (u *undoLog) run(ctx context.Context) bool {
	done := true
	for _, back := range slices.Backward(*u) {
		done = back(ctx) == nil && done
	}
	return done
}

// storeFile stores a secret in its file.
func storeFile(ctx context.Context, one *Secret, undo *undoLog) error {
	back := func(context.Context) error { return os.Remove(one.path) }
	old, err := source.ReadRegular(ctx, one.path, 2*source.MaxValue)
	switch e, ok := errors.AsType[*failure.Error](err); {
	case err == nil:
		back = func(context.Context) error { return source.Write(one.path, old.Data) }
	case !ok || e.Code != failure.FileNotFound:
		return err
	}
	if err := source.Write(one.path, []byte(one.value.Reveal()+"\n")); err != nil {
		return err // it is as it was
	}
	undo.add(back)
	return nil
}

// storeItem stores a secret in the keychain and reads it back.
func (s *Setup) storeItem(ctx context.Context, one *Secret, undo *undoLog) error {
	old, err := s.Keychain.Get(ctx, one.account)
	switch {
	case err == nil:
		undo.add(func(ctx context.Context) error {
			if now, err := s.Keychain.Get(ctx, one.account); err == nil && now.Reveal() == old.Reveal() {
				return nil // it was not changed
			}
			return s.Keychain.Set(ctx, one.account, old)
		})
	case errors.Is(err, secret.ErrNotFound):
		undo.add(func(ctx context.Context) error {
			if err := s.Keychain.Delete(ctx, one.account); !errors.Is(err, secret.ErrNotFound) {
				return err
			}
			return nil
		})
	default:
		return s.notStored(err)
	}
	switch err := s.put(ctx, one.account, one.value); {
	case errors.Is(err, secret.ErrTooLarge):
		return s.tooBig(one)
	case errors.Is(err, errUnverified):
		return failure.New(failure.KeychainUnverified, "%s was stored in the keychain, but could not be verified: it gives back something else; it is removed again", one.Name).
			WithHint("%s", s.inFiles())
	default:
		return s.notStored(err)
	}
}

// writeProfile writes the profiles file, if it changes. It edits the current file,
// which another process may have written meanwhile.
func (s *Setup) writeProfile(ctx context.Context, undo *undoLog, r *Report) error {
	newKey := s.needsCacheKey(ctx)
	if s.next == s.File && !newKey {
		return nil
	}
	newest, err := s.Client.ReadProfiles(ctx, s.File.Path, false, nil)
	if err != nil {
		return err
	}
	if s.Old == nil && slices.Contains(newest.Names(s.Ref.Definition.Name), s.Ref.Profile) {
		return failure.New(failure.ProfileExists, "the profile %s exists in %s: another run has written it meanwhile; nothing is stored", s.Table(), s.File.Path).
			WithHint("run this again to store other secrets for it")
	}
	next, err := s.edited(newest)
	if err != nil {
		return err
	}
	if newKey && next.CacheKey == nil {
		next = s.addCacheKey(ctx, next, undo, r)
	}
	if next == newest {
		return nil
	}
	return next.Save()
}

// needsCacheKey reports whether the profile's tokens can be cached only with a key in a
// file: its secrets are stored in files, and there is no keychain that can be used
// without a dialog.
func (s *Setup) needsCacheKey(ctx context.Context) bool {
	kept := slices.ContainsFunc(s.Secrets, func(one *Secret) bool { return one.given && one.Place == Files })
	if !kept || s.File.CacheKey != nil {
		return false
	}
	plan, _ := s.Client.Find(ctx, s.query) // what is missing in it does not matter
	if allowed, err := s.Client.CacheAllowed(plan); err != nil || !allowed {
		return false
	}
	_, err := s.Client.CacheKey(ctx, s.File)
	return err != nil && !errors.Is(err, secret.ErrNotFound) && !errors.Is(err, cache.ErrUnusable)
}

// addCacheKey creates the key that encrypts cached tokens, in a file beside the
// secrets, and returns the profiles file with it. If that fails, the login still
// succeeds and file is returned unchanged.
func (s *Setup) addCacheKey(ctx context.Context, file *profile.File, undo *undoLog, r *Report) *profile.File {
	path, relative := cacheKeyFile(file)
	next, err := file.WithCacheKey(relative)
	if err == nil {
		err = next.CheckSave()
	}
	if err == nil {
		err = makeCacheKey(ctx, path, undo)
	}
	if r.KeyError = err; err != nil {
		return file
	}
	r.CacheKey = path
	return next
}

// makeCacheKey writes a random key to the file at path, unless it exists.
func makeCacheKey(ctx context.Context, path string, undo *undoLog) error {
	if kept, err := source.ReadBytes(ctx, path); err == nil {
		if _, err := cache.KeyFrom(kept); err == nil {
			return nil
		}
	}
	var key [cacheKeySize]byte
	_, _ = rand.Read(key[:]) // never fails
	if err := source.Write(path, []byte(hex.EncodeToString(key[:])+"\n")); err != nil {
		return err
	}
	undo.add(func(context.Context) error { return os.Remove(path) })
	return nil
}

// cacheKeySize is the number of random bytes in a key for the cache.
const cacheKeySize = 32

// removeTemps removes temporary files of a login that was killed.
func (o *Options) removeTemps(file *profile.File) error {
	key, _ := cacheKeyFile(file)
	paths := []string{file.Path, key}
	for _, f := range o.Ref.Definition.Fields {
		if f.Secret {
			path, _ := o.secretFile(file, f.Name)
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

// forget removes what belonged to the old secrets: a copy at another place, holds, and
// tokens. [Setup.Verify] has already cleared the holds of credentials that work.
func (s *Setup) forget(ctx context.Context, r *Report) {
	r.Left = s.removeMoved(ctx)
	if !s.verified {
		s.clearHolds(ctx, s.query, &r.Forgotten)
	}
	s.dropTokens(ctx, s.File, &r.Forgotten)
}

// removeMoved removes moved secrets from their previous place, unless another profile
// uses them there. It returns the names of those that could not be removed.
func (s *Setup) removeMoved(ctx context.Context) (left []string) {
	for _, one := range s.Secrets {
		var err error
		switch {
		case !one.given || one.was == one.Place:
		case one.was == Files:
			err = os.Remove(one.path)
		case one.was == Keychain && len(s.sharing(s.File)) == 0:
			err = s.Keychain.Delete(ctx, one.account)
		}
		if err != nil && !errors.Is(err, secret.ErrNotFound) {
			left = append(left, one.Name)
		}
	}
	return left
}

// oldHost returns the previous host of the profile, or an empty address if it has not
// changed.
func (s *Setup) oldHost(ctx context.Context) provider.Address {
	q := s.query
	q.File = s.File
	old, _ := s.Client.Find(ctx, q) // without a host there is nothing to say
	if old.Base.Authority() == s.Base.Authority() {
		return provider.Address{}
	}
	return old.Base
}
