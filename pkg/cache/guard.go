package cache

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
)

// hold is how long credentials are held back after the n-th refusal in a row.
func hold(refusals int) time.Duration {
	switch refusals {
	case 0:
		return 0
	case 1:
		return 10 * time.Minute
	case 2:
		return time.Hour
	}
	return 24 * time.Hour
}

// countFor is how long the refusals of an account are counted.
const countFor = 24 * time.Hour

// poll is how often a lock that another process has is tried.
const poll = 20 * time.Millisecond

// Credential is what a guard watches over. Neither part is ever written: files
// are named by a keyed hash of them.
type Credential struct {
	Values  []string // every field and the address
	Account []string // the same without secrets
	// LockoutAfter is after how many refusals in a row the provider locks the
	// account, 0 if it is not known to.
	LockoutAfter int
}

// Guard knows what became of credentials before, in this and all other
// processes of the user. A guard without a usable directory knows nothing.
type Guard struct {
	dir          dir
	usable       bool
	account      string
	record       string // file about these values
	count        string // file about the account
	lock         string
	lockoutAfter int
}

// record is what is known of one set of values.
type record struct {
	Refusals int       `json:"refusals"`         // in a row
	Refused  time.Time `json:"refused,omitzero"` // the last one
	Proven   time.Time `json:"proven,omitzero"`  // when they last worked
	Code     string    `json:"code,omitempty"`   // of the last refusal
}

const (
	keyFile      = "key"
	recordSuffix = ".record"
)

// NewGuard returns the guard of credentials, whose records are in the directory
// path. The error says why there are none; the guard can be used all the same.
func NewGuard(path string, c Credential) (*Guard, error) {
	g := &Guard{lockoutAfter: c.LockoutAfter}
	d, err := openDir(path, true)
	if err != nil {
		return g, err
	}
	key, err := fingerprintKey(d)
	if err != nil {
		return g, err
	}
	g.watch(d, key, c)
	return g, nil
}

// ReadGuard is NewGuard for looking only: it makes nothing, and nothing may be
// recorded with it. Where no run has left a record there is no error.
func ReadGuard(path string, c Credential) (*Guard, error) {
	g := &Guard{lockoutAfter: c.LockoutAfter}
	if _, err := os.Stat(path); Missing(err) && path != "" {
		return g, nil
	}
	d, err := openDir(path, false)
	if err != nil {
		return g, err
	}
	key, err := d.read(keyFile)
	switch {
	case err != nil && !Missing(err):
		return g, err
	case len(key) == KeySize:
		g.watch(d, key, c)
	}
	return g, nil // without its key a directory has no records
}

// watch makes the guard one of the credentials c.
func (g *Guard) watch(d dir, key []byte, c Credential) {
	account := fileName(key, append([]string{"account"}, c.Account...)...)
	name := account + "-" + fileName(key, append([]string{"values"}, c.Values...)...)
	g.dir, g.usable, g.account = d, true, account
	g.record, g.count, g.lock = name+recordSuffix, account+".count", name+".lock"
	if c.LockoutAfter > 0 {
		g.lock = account + ".lock" // another password counts for the same account
	}
}

// fingerprintKey reads the random key of the directory, or makes it. Of two
// processes that make it at once, one wins.
func fingerprintKey(d dir) ([]byte, error) {
	key, err := d.read(keyFile)
	if err == nil && len(key) == KeySize {
		return key, nil
	}
	if err == nil || !Missing(err) {
		if err := d.remove(keyFile); err != nil {
			return nil, err // damaged, and it cannot be replaced
		}
	}
	key = make([]byte, KeySize)
	_, _ = rand.Read(key) // never fails
	if err := d.create(keyFile, key); err != nil && !errors.Is(err, errExists) {
		return nil, err
	}
	key, err = d.read(keyFile)
	if err == nil && len(key) != KeySize {
		err = ErrUnusable
	}
	return key, err
}

// Proven reports whether the credentials have worked, and not been refused since.
func (g *Guard) Proven() bool {
	r := g.load()
	return !r.Proven.IsZero() && r.Refusals == 0
}

// Alone reports whether runs with these credentials go one at a time even when
// they are proven, because a refusal may lock the account.
func (g *Guard) Alone() bool { return g.lockoutAfter > 0 }

// Left returns how many more refusals the account may have before the provider
// locks it, and whether that is known.
func (g *Guard) Left(now time.Time) (int, bool) {
	if g.lockoutAfter == 0 {
		return 0, false
	}
	c := g.loadCount()
	if until(c.Refused, countFor, now) == 0 {
		return g.lockoutAfter, true
	}
	return max(0, g.lockoutAfter-c.Refusals), true
}

// HeldFor returns how long the credentials are held back from now on.
func (g *Guard) HeldFor(now time.Time) time.Duration {
	return g.load().heldFor(now)
}

// heldFor returns how long a record holds its values back from now on.
func (r record) heldFor(now time.Time) time.Duration { return until(r.Refused, hold(r.Refusals), now) }

// Hold is why credentials are not sent.
type Hold struct {
	Left         time.Duration // from now on, whole seconds
	Since        time.Duration // since the last refusal, whole seconds
	Refusals     int           // in a row
	Code         string        // of the last refusal
	LockoutAfter int           // not 0 if it is the account that is held, whatever the password: there is no Code
}

// Failure is the failure of sending credentials that are held back.
func (h *Hold) Failure() *failure.Error {
	if h.LockoutAfter > 0 {
		return failure.New(failure.HeldBack, "the provider refused this account %d times in a row and locks it after %d; nothing is sent for another %v",
			h.Refusals, h.LockoutAfter, h.Left)
	}
	return failure.New(failure.HeldBack, "the provider refused these credentials %v ago (%s); they are held back for another %v",
		h.Since, h.Code, h.Left)
}

// Hold returns what holds the credentials back at now, nil if nothing does: a
// refusal, or that one more could lock the account. With ignoreBefore set,
// refusals before that time do not count.
func (g *Guard) Hold(now, ignoreBefore time.Time) *Hold {
	r := g.load()
	if left := r.heldFor(now); left > 0 && !r.Refused.Before(ignoreBefore) {
		return &Hold{Left: left, Since: ago(r.Refused, now), Refusals: r.Refusals, Code: r.Code}
	}
	if g.lockoutAfter == 0 {
		return nil
	}
	c := g.loadCount()
	if left := until(c.Refused, countFor, now); left > 0 && c.Refusals >= g.lockoutAfter-1 && !c.Refused.Before(ignoreBefore) {
		return &Hold{Left: left, Since: ago(c.Refused, now), Refusals: c.Refusals, LockoutAfter: g.lockoutAfter}
	}
	return nil
}

// Check returns the failure of sending the credentials at now, see Hold.
func (g *Guard) Check(now, ignoreBefore time.Time) error {
	if h := g.Hold(now, ignoreBefore); h != nil {
		return h.Failure()
	}
	return nil
}

// OthersHeld reports whether any values of the account are held back at now. It
// needs only the Account of a Credential.
func (g *Guard) OthersHeld(now time.Time) bool {
	if !g.usable {
		return false
	}
	entries, err := os.ReadDir(g.dir.path)
	return err == nil && slices.ContainsFunc(entries, func(entry fs.DirEntry) bool {
		if !strings.HasPrefix(entry.Name(), g.account+"-") || !strings.HasSuffix(entry.Name(), recordSuffix) {
			return false
		}
		return g.read(entry.Name()).heldFor(now) > 0
	})
}

// until returns the time left of d since start. A start in the future, of a
// clock that was set back, counts as now.
func until(start time.Time, d time.Duration, now time.Time) time.Duration {
	if start.After(now) {
		start = now
	}
	return max(0, start.Add(d).Sub(now)).Round(time.Second)
}

func ago(start, now time.Time) time.Duration { return max(0, now.Sub(start)).Round(time.Second) }

// Refused records that the provider said no, at now, with an error's code.
func (g *Guard) Refused(code failure.Code, now time.Time) error {
	if !g.usable {
		return nil // NewGuard has said so
	}
	r := record{Refusals: g.load().Refusals + 1, Refused: now.UTC(), Code: string(code)}
	err := g.save(g.record, r)
	if g.lockoutAfter > 0 {
		c := g.loadCount()
		if until(c.Refused, countFor, now) == 0 {
			c.Refusals = 0
		}
		err = errors.Join(err, g.save(g.count, record{Refusals: c.Refusals + 1, Refused: now.UTC()}))
	}
	return err
}

// Worked records that the credentials gave a token, at now.
func (g *Guard) Worked(now time.Time) error {
	if !g.usable {
		return nil // NewGuard has said so
	}
	var err error
	if !g.Proven() {
		err = g.save(g.record, record{Proven: now.UTC()})
	}
	if g.lockoutAfter > 0 {
		err = errors.Join(err, g.dir.remove(g.count))
	}
	return err
}

func (g *Guard) load() record      { return g.read(g.record) }
func (g *Guard) loadCount() record { return g.read(g.count) }

// read returns a record; one that is missing or damaged says nothing.
func (g *Guard) read(name string) record {
	var r record
	if !g.usable {
		return r
	}
	data, err := g.dir.read(name)
	if err != nil || json.Unmarshal(data, &r) != nil || r.Refusals < 0 {
		return record{}
	}
	return r
}

func (g *Guard) save(name string, r record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return g.dir.write(name, data)
}

// ClearHolds lifts the holds of every password of the account, and returns how
// many records there were. The count of refusals that may lock the account stays.
func (g *Guard) ClearHolds() (int, error) {
	if !g.usable {
		return 0, nil
	}
	return clearFiles(g.dir.path, g.account+"-", recordSuffix)
}

// Forget removes everything that is known of the account, the count of refusals
// too: the provider itself has forgotten it, as an emulator does when it ends.
func (g *Guard) Forget() error {
	if !g.usable {
		return nil
	}
	_, err := g.ClearHolds()
	return errors.Join(err, g.dir.remove(g.count))
}

// ClearHolds lifts all holds in the directory path.
func ClearHolds(path string) (int, error) { return clearFiles(path, "", recordSuffix) }

// Lock waits until no other process sends these credentials, or enough says
// that there is no need to wait any more. It returns ctx's error if that ends
// first. Where there are no locks it returns at once. The kernel frees the lock
// of a process that dies.
func (g *Guard) Lock(ctx context.Context, enough func() bool) (unlock func(), err error) {
	if !g.usable {
		return func() {}, nil
	}
	return g.dir.lock(ctx, g.lock, enough)
}

func (d dir) lock(ctx context.Context, name string, enough func() bool) (unlock func(), err error) {
	lock, err := d.openLock(name)
	if err != nil {
		return func() {}, nil //nolint:nilerr // without a lock the run goes on
	}
	for {
		locked, err := lock.TryLock()
		if err != nil || locked {
			return func() { _ = lock.Close() }, nil //nolint:nilerr // where there are no locks the run goes on
		}
		if enough() {
			_ = lock.Close()
			return func() {}, nil
		}
		select {
		case <-time.After(poll):
		case <-ctx.Done():
			_ = lock.Close()
			return nil, ctx.Err()
		}
	}
}
