package cache

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/tokenfetch/tokenfetch/pkg/await"
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

const (
	countFor      = 24 * time.Hour      // how long the refusals of an account are counted
	unknownFor    = time.Hour           // how long a login without an answer is counted as one
	unknownHold   = 10 * time.Minute    // how long such a login holds its credentials back
	provenFor     = 30 * 24 * time.Hour // how long credentials that gave a token are taken to work
	provenRefresh = 24 * time.Hour      // how old the record of that may become
)

// Credential identifies what a guard watches over. Neither part is ever
// written: files are named by a keyed hash of them.
type Credential struct {
	Values  []string // every field and the address
	Account []string // what the provider counts refusals by, see provider.Policy
	// LockoutAfter is after how many refusals in a row the provider locks the
	// account, 0 if it is not known to.
	LockoutAfter int
}

// Guard records the outcomes of logins with one set of credentials, for this
// and all other processes of the user. Without a usable directory it records
// nothing, and Err says why. The methods of a nil Guard do nothing.
type Guard struct {
	dir          dir
	err          error  // why nothing is recorded, nil if it is
	account      string // what the names of the account's files begin with
	values       string // file about these values
	count        string // file about the account
	lock         string
	lockoutAfter int
	readOnly     bool
	attempt      *attempt // that was begun, nil once it is settled
}

// record is what is known of one set of values, or of an account.
type record struct {
	Refusals   int       `json:"refusals"`            // in a row
	Refused    time.Time `json:"refused,omitzero"`    // the last one
	Code       string    `json:"code,omitempty"`      // of the last refusal
	Proven     time.Time `json:"proven,omitzero"`     // when the values last worked
	Unanswered int       `json:"unanswered,omitzero"` // of an account: logins without an answer
	Attempted  time.Time `json:"attempted,omitzero"`  // the last login without an answer, which may be under way
}

// attempt is a login under way: what was known before it.
type attempt struct{ values, count record }

const (
	keyFile      = "key"
	recordSuffix = ".record"
	countSuffix  = ".count"
)

// OpenGuard returns the guard of credentials, whose records are in the directory
// path. It can be used even if it records nothing, see Err.
func OpenGuard(ctx context.Context, path string, c Credential) *Guard {
	g := &Guard{lockoutAfter: c.LockoutAfter}
	var key []byte
	if g.dir, g.err = openDir(ctx, path, true); g.err == nil {
		key, g.err = fingerprintKey(ctx, g.dir)
	}
	g.watch(key, c)
	return g
}

// ReadGuard is OpenGuard for looking only: it makes and changes nothing.
func ReadGuard(ctx context.Context, path string, c Credential) *Guard {
	g := &Guard{lockoutAfter: c.LockoutAfter, readOnly: true}
	g.dir, g.err = await.Do(ctx, func() (dir, error) {
		if _, err := os.Stat(path); path == "" || !Missing(err) {
			return useDir(path, false)
		}
		return dir{path}, checkParent(path)
	})
	var key []byte // without it there are no records
	if g.err == nil {
		var err error
		if key, err = g.dir.read(ctx, keyFile); err != nil && !Missing(err) {
			g.err = err
		}
	}
	g.watch(key, c)
	return g
}

// watch names the files of the credentials c.
func (g *Guard) watch(key []byte, c Credential) {
	g.account = fileName(key, append([]string{"account"}, c.Account...)...)
	name := g.account + "-" + fileName(key, append([]string{"values"}, c.Values...)...)
	g.values, g.count, g.lock = name+recordSuffix, g.account+countSuffix, name+".lock"
	if c.LockoutAfter > 0 {
		g.lock = g.account + ".lock" // another password counts for the same account
	}
}

// Err returns why nothing is recorded, nil if everything has been so far. What
// wraps ErrUnusable may be shown.
func (g *Guard) Err() error {
	if g == nil {
		return nil
	}
	return g.err
}

// fingerprintKey reads the random key of the directory, or makes it.
func fingerprintKey(ctx context.Context, d dir) ([]byte, error) {
	return d.random(ctx, keyFile, KeySize)
}

// Alone reports whether runs with these credentials go one at a time even when
// they are proven, because a refusal may lock the account.
func (g *Guard) Alone() bool { return g != nil && g.lockoutAfter > 0 }

// Proven reports whether the credentials gave a token within the last 30 days,
// and have not been refused, or sent without an answer, since.
func (g *Guard) Proven(ctx context.Context, now time.Time) bool {
	return g != nil && g.err == nil && g.read(ctx, g.values).proven(now)
}

// Tried reports whether it is on record what became of these credentials before: a
// token, a refusal, or no answer.
func (g *Guard) Tried(ctx context.Context) bool {
	return g != nil && g.err == nil && g.read(ctx, g.values) != (record{})
}

// State is what holds credentials back at one time.
type State struct {
	// Hold is why they are not sent, nil if they may be.
	Hold *Hold
	// Left is how many more refusals the account may have before the provider
	// locks it, nil if that is not known.
	Left *int
}

// Hold is why credentials are not sent.
type Hold struct {
	Left         time.Duration // from now on, whole seconds
	Since        time.Duration // since it began, whole seconds
	Failures     int           // refusals in a row, and logins without an answer
	Code         failure.Code  // of the last refusal, OutcomeUnknown if there was no answer
	LockoutAfter int           // not 0 if it is the account that is held, whatever the password: there is no Code
}

// Failure returns the failure of sending credentials that are held back.
func (h *Hold) Failure() *failure.Error {
	left, since := failure.Span(h.Left), failure.Span(h.Since)
	switch {
	case h.LockoutAfter > 0:
		return failure.New(failure.HeldBack, "%d logins to this account in a row were refused or never answered, and the provider locks it after %d; nothing is sent for another %s",
			h.Failures, h.LockoutAfter, left)
	case h.Code == failure.OutcomeUnknown:
		e := failure.New(failure.OutcomeUnknown, "these credentials were sent %s ago and no answer came, which may count as a failed login; they are held back for another %s",
			since, left)
		e.RetryAfter = &h.Left
		return e
	}
	return failure.New(failure.HeldBack, "the provider refused these credentials %s ago (%s); they are held back for another %s", since, h.Code, left)
}

// State returns what is known at now. With ignoreBefore set, what was recorded
// before that time holds nothing back, nor does a record of a clock that was ahead.
func (g *Guard) State(ctx context.Context, now, ignoreBefore time.Time) State {
	if g == nil || g.err != nil {
		return State{}
	}
	values, count := g.read(ctx, g.values), g.read(ctx, g.count)
	var s State
	keepLonger := func(h *Hold, began time.Time) {
		lifted := !ignoreBefore.IsZero() && (began.Before(ignoreBefore) || began.After(now))
		if h != nil && !lifted && (s.Hold == nil || h.Left > s.Hold.Left) {
			s.Hold = h
		}
	}
	keepLonger(values.hold(now), values.last())
	if g.lockoutAfter > 0 {
		keepLonger(count.accountHold(g.lockoutAfter, now), count.last())
		left := max(0, g.lockoutAfter-count.failures(now))
		s.Left = &left
	}
	g.correct(ctx, g.values, values, now)
	g.correct(ctx, g.count, count, now)
	return s
}

// correct writes a record of a clock that was ahead anew, so that it counts from
// now on and not for ever.
func (g *Guard) correct(ctx context.Context, name string, r record, now time.Time) {
	if g.readOnly || !r.last().After(now) {
		return
	}
	r.Refused, r.Attempted = earlier(r.Refused, now), earlier(r.Attempted, now)
	_ = g.save(ctx, name, r) // the next run corrects it otherwise
}

// last returns when the record's last failure was.
func (r record) last() time.Time {
	if r.Attempted.After(r.Refused) {
		return r.Attempted
	}
	return r.Refused
}

// proven reports whether the values may be taken to work.
func (r record) proven(now time.Time) bool {
	return r.Refusals == 0 && r.Attempted.IsZero() && !r.Proven.After(now) && now.Before(r.Proven.Add(provenFor))
}

// uncounted returns how many logins without an answer were not counted, because
// the values were proven: if these are refused now, so was that one.
func (r record) uncounted(now time.Time) int {
	if r.Proven.IsZero() || until(r.Attempted, unknownFor, now) == 0 {
		return 0
	}
	return 1
}

// hold returns why the values are held back, nil if they are not.
func (r record) hold(now time.Time) *Hold {
	if left := until(r.Refused, hold(r.Refusals), now); left > 0 {
		return &Hold{Left: left, Since: ago(r.Refused, now), Failures: r.Refusals, Code: failure.Code(r.Code)}
	}
	// Values that worked before keep no one waiting: they only lose that.
	if left := until(r.Attempted, unknownHold, now); left > 0 && r.Proven.IsZero() {
		return &Hold{Left: left, Since: ago(r.Attempted, now), Failures: 1, Code: failure.OutcomeUnknown}
	}
	return nil
}

// failures returns how many logins to an account count as failed.
func (r record) failures(now time.Time) int {
	n := 0
	if until(r.Refused, countFor, now) > 0 {
		n = r.Refusals
	}
	if until(r.Attempted, unknownFor, now) > 0 {
		n += r.Unanswered
	}
	return n
}

// accountHold returns why an account is held back: one more failed login could
// lock it. It is nil if that is not so.
func (r record) accountHold(lockoutAfter int, now time.Time) *Hold {
	failures := r.failures(now)
	if failures < lockoutAfter-1 {
		return nil
	}
	left := until(r.Refused, countFor, now)
	if unknown := until(r.Attempted, unknownFor, now); r.Refusals < lockoutAfter-1 || left == 0 {
		left = unknown
	}
	return &Hold{Left: left, Since: ago(r.last(), now), Failures: failures, LockoutAfter: lockoutAfter}
}

// OthersHeld reports whether any values of the account are held back at now. It
// needs only the Account of a Credential.
func (g *Guard) OthersHeld(ctx context.Context, now time.Time) bool {
	return g.anyRecord(ctx, func(r record) bool { return r.hold(now) != nil })
}

// OthersTried is Tried for any values of the account. It needs only the Account of a
// Credential.
func (g *Guard) OthersTried(ctx context.Context) bool {
	return g.anyRecord(ctx, func(r record) bool { return r != record{} })
}

// anyRecord reports whether one of the records of the account's values is so.
func (g *Guard) anyRecord(ctx context.Context, is func(record) bool) bool {
	if g == nil || g.err != nil {
		return false
	}
	entries, err := g.dir.list(ctx)
	return err == nil && slices.ContainsFunc(entries, func(entry fs.DirEntry) bool {
		if !strings.HasPrefix(entry.Name(), g.account+"-") || !strings.HasSuffix(entry.Name(), recordSuffix) {
			return false
		}
		return is(g.read(ctx, entry.Name()))
	})
}

// until returns the time left of d since start. A start in the future, of a
// clock that was set back, counts as now.
func until(start time.Time, d time.Duration, now time.Time) time.Duration {
	if start.IsZero() {
		return 0
	}
	return max(0, earlier(start, now).Add(d).Sub(now)).Round(time.Second)
}

func earlier(a, b time.Time) time.Time {
	if a.After(b) {
		return b
	}
	return a
}

func ago(start, now time.Time) time.Duration { return max(0, now.Sub(start)).Round(time.Second) }

// Begin records, where a refusal may lock the account, that the credentials are
// about to be sent: a login that is never answered, whatever ends it, has left
// its trace. Record settles it.
func (g *Guard) Begin(ctx context.Context, now time.Time) {
	if g == nil || g.err != nil || g.lockoutAfter == 0 {
		return
	}
	before := attempt{g.read(ctx, g.values), g.read(ctx, g.count)}
	if g.attempt == nil {
		g.attempt = &before
	}
	values, count := before.values, before.count
	if !values.proven(now) {
		if until(count.Attempted, unknownFor, now) == 0 {
			count.Unanswered = 0
		}
		values.Proven = time.Time{}
		count.Unanswered, count.Attempted = count.Unanswered+1, now.UTC()
		g.write(ctx, g.count, count) // first: killed in between, it is counted and not held
	}
	values.Attempted = now.UTC()
	g.write(ctx, g.values, values)
}

// Outcome is what became of a login.
type Outcome int

// The outcomes. One that is not recorded is that there was no answer.
const (
	Answered Outcome = iota // neither of the others: nothing is known of the credentials
	Worked                  // there was a token
	Refused                 // the provider has, or may have, counted a failed login
)

// Record records what became of a login, at now; code is why it was refused.
func (g *Guard) Record(ctx context.Context, outcome Outcome, code failure.Code, now time.Time) {
	if g == nil || g.err != nil {
		return
	}
	begun := g.attempt
	g.attempt = nil
	if begun == nil {
		begun = &attempt{values: g.read(ctx, g.values)}
		if g.lockoutAfter > 0 {
			begun.count = g.read(ctx, g.count)
		}
	}
	values, count := begun.values, begun.count
	switch outcome {
	case Worked:
		if g.lockoutAfter > 0 {
			g.fail(g.dir.remove(ctx, g.count))
		} else if values.proven(now) && now.Sub(values.Proven) < provenRefresh {
			return // that is known
		}
		g.write(ctx, g.values, record{Proven: now.UTC()})
	case Refused:
		if g.lockoutAfter > 0 {
			if until(count.Refused, countFor, now) == 0 {
				count.Refusals = 0
			}
			count.Refusals, count.Refused = count.Refusals+1+values.uncounted(now), now.UTC()
			g.write(ctx, g.count, count)
		}
		g.write(ctx, g.values, record{Refusals: values.Refusals + 1, Refused: now.UTC(), Code: string(code)})
	case Answered:
		if g.lockoutAfter > 0 {
			g.write(ctx, g.count, count)
			g.write(ctx, g.values, values)
		}
	}
}

func (g *Guard) read(ctx context.Context, name string) record { return g.dir.record(ctx, name) }

// record returns a record; one that is missing or damaged says nothing.
func (d dir) record(ctx context.Context, name string) record {
	var r record
	data, err := d.read(ctx, name)
	if err != nil || json.Unmarshal(data, &r) != nil || r.Refusals < 0 || r.Unanswered < 0 {
		return record{}
	}
	return r
}

// write saves a record, or removes the file of one that says nothing.
func (g *Guard) write(ctx context.Context, name string, r record) {
	if r == (record{}) {
		g.fail(g.dir.remove(ctx, name))
		return
	}
	g.fail(g.save(ctx, name, r))
}

// fail remembers the first error of recording. It ends the recording.
func (g *Guard) fail(err error) {
	if g.err == nil {
		g.err = err
	}
}

func (g *Guard) save(ctx context.Context, name string, r record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return g.dir.write(ctx, name, data)
}

// Clear lifts the holds of every password of the account, and returns how many
// records there were. The count of refusals that may lock the account stays, unless
// counts says that the provider has forgotten them, as an emulator does when it ends.
func (g *Guard) Clear(ctx context.Context, counts bool) (int, error) {
	if g.err != nil {
		return 0, g.err
	}
	removed, err := clearFiles(ctx, g.dir.path, g.account+"-", recordSuffix)
	if counts {
		err = errors.Join(err, g.dir.remove(ctx, g.count))
	}
	return removed, err
}

// ClearHolds lifts all holds in the directory path, and returns how many records
// were removed, with an error too.
func ClearHolds(ctx context.Context, path string) (int, error) {
	return clearFiles(ctx, path, "", recordSuffix)
}

// AnyCount reports whether failed logins of any account are counted in the
// directory path at now. In one that cannot be read none are.
func AnyCount(ctx context.Context, path string, now time.Time) bool {
	d, err := openDir(ctx, path, false)
	if err != nil {
		return false
	}
	entries, err := d.list(ctx)
	return err == nil && slices.ContainsFunc(entries, func(entry fs.DirEntry) bool {
		return strings.HasSuffix(entry.Name(), countSuffix) && d.record(ctx, entry.Name()).failures(now) > 0
	})
}

// Acquire waits until no other process sends these credentials, or enough says
// that there is no need to wait any more. It returns the cause of ctx's end if
// that comes first. Where there are no locks it returns at once. The kernel frees
// the lock of a process that dies.
func (g *Guard) Acquire(ctx context.Context, enough func() bool) (unlock func(), err error) {
	if g.Err() != nil || g == nil {
		return func() {}, nil //nolint:nilerr // where nothing is recorded the run goes on
	}
	return g.dir.lock(ctx, g.lock, enough)
}

func (d dir) lock(ctx context.Context, name string, enough func() bool) (unlock func(), err error) {
	none := func() {}
	lock, err := await.Do(ctx, func() (*flock.Flock, error) { return d.openLock(name) })
	if err != nil {
		return none, nil //nolint:nilerr // without a lock the run goes on
	}
	release := func() { _ = lock.Close() }
	if locked, err := lock.TryLock(); locked || err != nil {
		return release, nil //nolint:nilerr // where there are no locks the run goes on
	}
	turn := make(chan struct{})
	go func() {
		defer close(turn)
		_ = lock.Lock() // which nothing can break off; where there are no locks the run goes on
	}()
	for {
		var ended error
		select {
		case <-turn:
			if enough() {
				release()
				return none, nil
			}
			return release, nil
		case <-time.After(lookAgain):
		case <-ctx.Done():
			ended = context.Cause(ctx)
		}
		if ended != nil || enough() {
			go func() { <-turn; release() }()
			return none, ended
		}
	}
}

// lookAgain is how often a run that waits for its turn looks whether it need not:
// mostly its turn is what tells.
const lookAgain = 250 * time.Millisecond
