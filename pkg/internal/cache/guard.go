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
	"github.com/tokenfetch/tokenfetch/pkg/source"
)

// hold returns how long credentials are on hold after the n-th consecutive refusal.
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
	unknownFor    = time.Hour           // how long a login without a reply counts as a failed one
	unknownHold   = 10 * time.Minute    // how long such a login puts its credentials on hold
	provenFor     = 30 * 24 * time.Hour // how long credentials that led to a token count as proven
	provenRefresh = 24 * time.Hour      // maximum age of that record before it is renewed
)

// Credential identifies what a [Guard] records. Neither Values nor Account is ever
// written to disk: file names contain a keyed hash of them.
type Credential struct {
	Values  []string // every field and the URL
	Account []string // the identity by which the provider counts refusals, see provider.Policy
	// LockoutAfter is the number of consecutive refusals after which the provider
	// locks the account. It is 0 if the provider is not known to lock accounts.
	LockoutAfter int
}

// Guard records login outcomes for one set of credentials. All processes of the user
// share the records. Without a usable directory it records nothing, and [Guard.Err]
// says why. On a nil Guard, all methods do nothing.
type Guard struct {
	dir          dir
	err          error  // why nothing is recorded, or nil
	account      string // name prefix of the account's files
	values       string // name of the file for these values
	count        string // name of the file for the account
	lock         string
	lockoutAfter int
	readOnly     bool
	attempt      *attempt // the attempt in progress, or nil
}

// record contains the login outcomes of one set of values, or of an account.
type record struct {
	Refusals   int       `json:"refusals"`            // consecutive refusals
	Refused    time.Time `json:"refused,omitzero"`    // time of the last refusal
	Code       string    `json:"code,omitempty"`      // code of the last refusal
	Proven     time.Time `json:"proven,omitzero"`     // when the values last worked
	Unanswered int       `json:"unanswered,omitzero"` // for an account: number of logins without a reply
	Attempted  time.Time `json:"attempted,omitzero"`  // time of the last login without a reply, which may be in progress
}

// attempt contains the records from before the login in progress.
type attempt struct{ values, count record }

const (
	keyFile      = "key"
	recordSuffix = ".record"
	countSuffix  = ".count"
)

// OpenGuard returns a Guard for c, with its records in the directory path. The Guard
// is valid even if it records nothing, see [Guard.Err].
func OpenGuard(ctx context.Context, path string, c Credential) *Guard {
	g := &Guard{lockoutAfter: c.LockoutAfter}
	var key []byte
	if g.dir, g.err = openDir(ctx, path, true); g.err == nil {
		key, g.err = fingerprintKey(ctx, g.dir)
	}
	g.watch(key, c)
	return g
}

// ReadGuard is like [OpenGuard], but the Guard is read-only: it creates and changes
// no files.
func ReadGuard(ctx context.Context, path string, c Credential) *Guard {
	g := &Guard{lockoutAfter: c.LockoutAfter, readOnly: true}
	g.dir, g.err = await.Do(ctx, func() (dir, error) {
		if _, err := os.Stat(path); path == "" || !Missing(err) {
			return useDir(path, false)
		}
		return dir{path}, checkParent(path)
	})
	var key []byte // without a key there are no records
	if g.err == nil {
		var err error
		if key, err = g.dir.read(ctx, keyFile); err != nil && !Missing(err) {
			g.err = err
		}
	}
	g.watch(key, c)
	return g
}

// watch sets the file names for the credentials c.
func (g *Guard) watch(key []byte, c Credential) {
	g.account = fileName(key, append([]string{"account"}, c.Account...)...)
	name := g.account + "-" + fileName(key, append([]string{"values"}, c.Values...)...)
	g.values, g.count, g.lock = name+recordSuffix, g.account+countSuffix, name+".lock"
	if c.LockoutAfter > 0 {
		g.lock = g.account + ".lock" // other passwords count for the same account
	}
}

// Err returns why nothing is recorded, or nil if all writes have succeeded. Errors
// that wrap [ErrUnusable] may be displayed.
func (g *Guard) Err() error {
	if g == nil {
		return nil
	}
	return g.err
}

// fingerprintKey reads the random key in the directory. It creates a missing key.
func fingerprintKey(ctx context.Context, d dir) ([]byte, error) {
	return d.random(ctx, keyFile, KeySize)
}

// Alone reports whether only one process at a time may use these credentials, even
// if they are proven, because a refusal may lock the account.
func (g *Guard) Alone() bool { return g != nil && g.lockoutAfter > 0 }

// Proven reports whether the credentials led to a token within the last 30 days, and
// since then were neither refused nor sent without a reply.
func (g *Guard) Proven(ctx context.Context, now time.Time) bool {
	return g != nil && g.err == nil && g.read(ctx, g.values).proven(now)
}

// Tried reports whether an earlier result of these credentials is recorded: a token,
// a refusal, or no answer.
func (g *Guard) Tried(ctx context.Context) bool {
	return g != nil && g.err == nil && g.read(ctx, g.values) != (record{})
}

// State says whether credentials may be sent at a given time.
type State struct {
	// Hold says why the credentials must not be sent. It is nil if they may be sent.
	Hold *Hold
	// Left is the number of further refusals until the provider locks the account,
	// or nil if unknown.
	Left *int
}

// Hold says why credentials must not be sent.
type Hold struct {
	Left         time.Duration // remaining time, whole seconds
	Since        time.Duration // time since it began, whole seconds
	Failures     int           // consecutive refusals and logins without a reply
	Code         failure.Code  // of the last refusal; OutcomeUnknown if there was no reply
	LockoutAfter int           // not 0 if the account is on hold, with any password; Code is then empty
}

// Failure returns the error for credentials that are on hold.
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

// State returns the state at now. If ignoreBefore is set, it ignores holds from
// before that time, and holds from the future, which a wrong clock recorded.
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

// correct rewrites a record whose time is in the future because of a wrong clock.
// Otherwise its hold would last until that time.
func (g *Guard) correct(ctx context.Context, name string, r record, now time.Time) {
	if g.readOnly || !r.last().After(now) {
		return
	}
	r.Refused, r.Attempted = earlier(r.Refused, now), earlier(r.Attempted, now)
	_ = g.save(ctx, name, r) // on failure, the next invocation corrects it
}

// last returns the time of the last failure in the record.
func (r record) last() time.Time {
	if r.Attempted.After(r.Refused) {
		return r.Attempted
	}
	return r.Refused
}

// proven reports whether the values worked recently and have not failed since.
func (r record) proven(now time.Time) bool {
	return r.Refusals == 0 && r.Attempted.IsZero() && !r.Proven.After(now) && now.Before(r.Proven.Add(provenFor))
}

// uncounted returns the number of logins without a reply that were not counted,
// because the values were proven. If the values are refused now, those logins failed
// too.
func (r record) uncounted(now time.Time) int {
	if r.Proven.IsZero() || until(r.Attempted, unknownFor, now) == 0 {
		return 0
	}
	return 1
}

// hold returns why the values are on hold, or nil if they are not.
func (r record) hold(now time.Time) *Hold {
	if left := until(r.Refused, hold(r.Refusals), now); left > 0 {
		return &Hold{Left: left, Since: ago(r.Refused, now), Failures: r.Refusals, Code: failure.Code(r.Code)}
	}
	// A login without a reply does not put proven values on hold. They only lose the
	// status of being proven.
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

// accountHold returns a hold if one more failed login could lock the account, and
// nil otherwise.
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

// OthersHeld reports whether any values for the account are on hold at now. It uses
// only the Account of the [Credential].
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

// until returns the part of d that remains since start. A start in the future counts
// as now, because the clock was set back.
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

// Begin records that the credentials are about to be sent, if refusals may lock the
// account. So a login without a reply leaves a record, whatever ends the process.
// [Guard.Record] completes the record.
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
		g.write(ctx, g.count, count) // first, because after a kill in between, the login is counted but no hold exists
	}
	values.Attempted = now.UTC()
	g.write(ctx, g.values, values)
}

// Outcome is the result of a login.
type Outcome int

// The outcomes of a login. If none is recorded, there was no reply.
const (
	Answered Outcome = iota // neither of the others: the credentials may be right or wrong
	Worked                  // the provider issued a token
	Refused                 // the provider counted a failed login, or may have
)

// Record records the outcome of a login at now. code is the reason for a refusal.
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
			return // already recorded
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

// record reads a record. A missing or damaged record is empty.
func (d dir) record(ctx context.Context, name string) record {
	var r record
	data, err := d.read(ctx, name)
	if err != nil || json.Unmarshal(data, &r) != nil || r.Refusals < 0 || r.Unanswered < 0 {
		return record{}
	}
	return r
}

// write saves a record. It removes the file of an empty record.
func (g *Guard) write(ctx context.Context, name string, r record) {
	if r == (record{}) {
		g.fail(g.dir.remove(ctx, name))
		return
	}
	g.fail(g.save(ctx, name, r))
}

// fail stores the first error. After that, nothing is recorded.
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
	return g.dir.write(ctx, name, data, source.Replace)
}

// Clear removes the holds of the account with any password, and returns the number
// of removed records. It also removes the count of refusals if counts is set: the
// provider must have forgotten them, as an emulator does when it ends.
func (g *Guard) Clear(ctx context.Context, counts bool) (int, error) {
	if err := g.Err(); g == nil || err != nil {
		return 0, err
	}
	removed, err := clearFiles(ctx, g.dir.path, g.account+"-", recordSuffix)
	if counts {
		err = errors.Join(err, g.dir.remove(ctx, g.count))
	}
	return removed, err
}

// ClearHolds removes all holds in the directory path. It returns how many records it
// removed, even with an error.
func ClearHolds(ctx context.Context, path string) (int, error) {
	return clearFiles(ctx, path, "", recordSuffix)
}

// AnyCount reports whether failed logins of any account are counted in the directory
// path at now. It returns false for an unreadable directory.
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

// Acquire waits until no other process sends these credentials, then locks them
// until unlock is called. It stops waiting when enough returns true. If ctx ends
// first, it returns the cause. Without support for locks it returns immediately. If
// a process dies, the kernel releases its lock.
func (g *Guard) Acquire(ctx context.Context, enough func() bool) (unlock func(), err error) {
	if g.Err() != nil || g == nil {
		return func() {}, nil //nolint:nilerr // if nothing is recorded, the program continues
	}
	return g.dir.lock(ctx, g.lock, enough)
}

func (d dir) lock(ctx context.Context, name string, enough func() bool) (unlock func(), err error) {
	none := func() {}
	lock, err := await.Do(ctx, func() (*flock.Flock, error) { return d.openLock(name) })
	if err != nil {
		return none, nil //nolint:nilerr // without a lock, the program continues
	}
	release := func() { _ = lock.Close() }
	if locked, err := lock.TryLock(); locked || err != nil {
		return release, nil //nolint:nilerr // without support for locks, the program continues
	}
	turn := make(chan struct{})
	go func() {
		defer close(turn)
		_ = lock.Lock() // Lock cannot be canceled; without support for locks, the program continues
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

// lookAgain is how often a waiting process checks whether it can stop waiting.
// Usually the wait ends earlier, when the lock is free.
const lookAgain = 250 * time.Millisecond
