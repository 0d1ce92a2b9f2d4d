package login

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/internal/credential"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
)

// ProveStore checks that the keychain can store items, if a secret is to be stored
// there, by storing and removing one. A login should fail before it asks questions.
func (s *Setup) ProveStore(ctx context.Context) error {
	if !slices.ContainsFunc(s.Secrets, func(one *Secret) bool { return one.Place == Keychain }) {
		return nil
	}
	probe := secret.New("tokenfetch can store items here")
	account := "tokenfetch/probe-" + strconv.Itoa(os.Getpid()) // no other login's
	err := s.put(ctx, account, probe)
	// Remove the item even after an error.
	if deleted := s.Keychain.Delete(context.WithoutCancel(ctx), account); err == nil {
		err = deleted
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return s.notStored(err)
}

// put stores an item and reads it back.
func (s *Setup) put(ctx context.Context, account string, value secret.Value) error {
	if err := s.Keychain.Set(ctx, account, value); err != nil {
		return err
	}
	got, err := s.Keychain.Get(ctx, account)
	if errors.Is(err, secret.ErrNotFound) || err == nil && got.Reveal() != value.Reveal() {
		return errUnverified
	}
	return err
}

var errUnverified = errors.New("the keychain gave back something else")

// LookUp sets [Secret.Stored]. After an unfinished login no secret counts as stored,
// because old and new ones may be mixed.
func (s *Setup) LookUp(ctx context.Context, one *Secret) error {
	one.Stored = false
	if one.Place == "" || s.Base.Host == "" || s.File.Unfinished(s.Ref.Definition.Name, s.Ref.Profile) {
		return nil
	}
	if one.Place == Files {
		_, err := os.Lstat(one.path)
		one.Stored = err == nil
		return nil
	}
	switch _, err := s.Keychain.Get(ctx, one.account); {
	case err == nil:
		one.Stored = true
	case !errors.Is(err, secret.ErrNotFound):
		return s.notStored(err)
	}
	return nil
}

// CheckSizes fails if a secret is too large for the keychain, before any is stored.
func (s *Setup) CheckSizes() error {
	for _, one := range s.Secrets {
		if !one.given || one.Place != Keychain {
			continue
		}
		if most := s.Keychain.Limit(one.account); most > 0 && len(one.value.Reveal()) > most {
			return s.tooBig(one)
		}
	}
	return nil
}

func (s *Setup) tooBig(one *Secret) error {
	return failure.New(failure.KeychainTooBig, "%s is larger than the keychain takes: the limit is %d bytes; nothing is stored", one.Name, s.Keychain.Limit(one.account)).
		WithHint("%s", s.inFiles())
}

// notStored returns the error for a secret that could not be stored, with hints: unlock
// the keychain, or store the secrets elsewhere.
func (s *Setup) notStored(err error) error {
	e := credential.KeychainFailure(err)
	switch {
	case errors.Is(err, errUnverified):
		e = failure.New(failure.KeychainUnverified, "what was stored in the keychain could not be verified: it gives back something else")
	case e == nil:
		return err
	case errors.Is(err, secret.ErrNoKeyring):
		e = e.Append(" that secrets can be stored in").AppendHint(", and run this again")
	case e.Code == failure.KeychainUnavailable, e.Code == failure.KeychainNotFound:
		e = failure.New(failure.KeychainUnavailable, "there is no keychain here that secrets can be stored in")
	case e.Code == failure.KeychainLocked:
		e = e.Append(", so that no secret can be stored in it").AppendHint(" and run this again")
	case e.Code == failure.KeychainTimeout:
		e = e.Append(" when asked to store a secret").AppendHint(", or allow more time with --timeout 60s")
	}
	return e.AddHint("%s", s.inFiles()).AddHint("%s", s.otherSources())
}

// inFiles returns the hint to store the secrets in files.
func (s *Setup) inFiles() string {
	flags := "--store files"
	if s.Old != nil {
		flags += " --replace"
	}
	return "keep the secrets in files for you alone: " + s.again(flags)
}

// otherSources returns the hint to name other sources of the secrets in the profile.
func (s *Setup) otherSources() string {
	var lines []string
	for _, one := range s.Secrets {
		lines = append(lines, fmt.Sprintf("%s = { env = %q }", one.Name, strings.ToUpper(s.Ref.Definition.Name+"_"+one.Name)))
	}
	return fmt.Sprintf("or write into %s of %s where they are: %s (or file, command: tokenfetch help profiles)", s.Table(), s.File.Path, strings.Join(lines, " and "))
}

// notRemoved returns the error for secrets that could not be removed from the keychain.
func (r *Removal) notRemoved(err error) error {
	e := credential.KeychainFailure(err)
	if e == nil {
		return err
	}
	if e.Code == failure.KeychainUnavailable {
		e = e.Append(" that can be asked").AppendHint(", or if you never had one remove %s from %s by hand,", r.Table(), r.File.Path)
	}
	command := "tokenfetch logout " + r.Name
	if r.Purge {
		command += " --purge"
	}
	return e.Append(", so that secrets stay in it if there are any; everything else is removed, except the profile").
		AppendHint(" and run %s again", command)
}
