package inspect

import (
	"context"
	"fmt"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/await"
	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
)

// Finding is what one check found. Its texts may hold words of the person's files
// and environment: they must be made harmless before they are shown.
type Finding struct {
	Check   string // which check, such as "profiles_file"
	Level   Level
	Message string
	Hint    string       // the next thing to do, or empty
	Code    failure.Code // of a failure that a run would end with, else empty
}

// Level is how bad a finding is.
type Level string

// The levels.
const (
	LevelOK      Level = "ok"
	LevelWarning Level = "warning" // something is missing, or may not be meant
	LevelError   Level = "error"   // a run would fail
)

// Process is what a program knows of itself. The zero Process is one that knows
// nothing.
type Process struct {
	Version string // of the program
	// OpenFiles is how many files may be open at once, 0 if that is not known.
	OpenFiles uint64
	// Completion returns for which shell completion could be installed, empty if
	// that does not matter, and whether it is. It may be nil.
	Completion func(context.Context) (shell string, installed bool)
}

// Findings makes all checks, with network also those that call the host of each
// profile, and returns what they found, in the order of the checks. A check that
// fails or does not end is a finding like any other, and stops no other.
func (i *Inspector) Findings(ctx context.Context, p Process, network bool) []Finding {
	ctx, cancel := i.limit.Context(ctx)
	defer cancel()
	var all []Finding
	check := func(name string, run func(context.Context) []Finding) {
		findings, _, _ := inTime(ctx, name, i.checkLimit(), func(ctx context.Context) ([]Finding, struct{}) { return run(ctx), struct{}{} })
		all = append(all, findings...)
	}
	check("program", func(context.Context) []Finding { return checkProgram(p) })
	check("clock", func(context.Context) []Finding { return checkClock(time.Now()) })
	check("ci", i.checkCI)
	check("shell", func(ctx context.Context) []Finding { return checkShell(ctx, p) })
	findings, file, _ := inTime(ctx, "profiles_file", i.checkLimit(), func(ctx context.Context) ([]Finding, *profile.File) {
		return i.checkProfilesFile(ctx)
	})
	all = append(all, findings...)
	check("providers", func(context.Context) []Finding { return i.checkDefinitions() })
	check("variables", func(context.Context) []Finding { return i.checkVariables(file) })
	findings, broken, answered := inTime(ctx, "keychain", i.checkLimit(), i.checkKeychain)
	all = append(all, findings...)
	if !answered {
		broken = secret.ErrTimeout
	}
	dirs := i.client.Dirs()
	check("state_directory", func(ctx context.Context) []Finding {
		return checkDir(ctx, "state_directory", dirs.State, "refusals are not remembered, so a wrong password is sent again and again")
	})
	check("cache_directory", func(ctx context.Context) []Finding {
		return checkDir(ctx, "cache_directory", dirs.Cache, "no token is cached")
	})

	var profiles []*Profile
	if file != nil { // else a finding says why
		l := i.looker(ctx, file)
		if broken != nil {
			l.store.fail(broken)
		}
		check("sealing_key", func(context.Context) []Finding { return l.checkSealingKey() })
		findings, profiles = l.checkProfiles(ctx)
		all = append(all, findings...)
	}
	check("proxy", i.checkProxy)
	check("certificates", i.checkCertificates)
	check("runtime", i.checkRuntime)
	if network {
		all = append(all, i.checkNetwork(ctx, profiles)...)
	}
	return all
}

// checkLimit returns how long the next check may take: not all the time that is
// left for the others.
func (i *Inspector) checkLimit() time.Duration { return min(5*time.Second, i.limit.Left()/2) }

func ok(check, format string, args ...any) Finding {
	return Finding{Check: check, Level: LevelOK, Message: fmt.Sprintf(format, args...)}
}

func warning(check, hint, format string, args ...any) Finding {
	return Finding{Check: check, Level: LevelWarning, Message: fmt.Sprintf(format, args...), Hint: hint}
}

// failed is the finding that a run would fail with err.
func failed(check string, err error) Finding {
	e := failure.From(err)
	return Finding{Check: check, Level: LevelError, Message: e.Message, Hint: e.Hint, Code: e.Code}
}

// grace is how long a check may take to notice that its time is over.
const grace = 200 * time.Millisecond

// inTime runs a check and returns what it found, and a value that later checks
// need. known is not set if the check did not end, or panicked: that is a finding.
func inTime[T any](ctx context.Context, check string, limit time.Duration, run func(context.Context) ([]Finding, T)) (findings []Finding, value T, known bool) {
	type result struct {
		findings []Finding
		value    T
		known    bool
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	late, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(min(grace, max(limit, grace/10)), giveUp) })()
	r, err := await.Do(late, func() (r result, err error) {
		defer func() {
			if recover() != nil { // its text may be anything
				r.findings = []Finding{warning(check, "please report this, with the output of tokenfetch version", "this check met a fault of its own")}
			}
		}()
		findings, value := run(ctx)
		return result{findings, value, true}, nil
	})
	if err != nil {
		r.findings = []Finding{warning(check, "see what this computer waits for, or allow more time with --timeout 60s", "this check did not end in time")}
	}
	return r.findings, r.value, r.known
}
