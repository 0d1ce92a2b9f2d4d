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

// Finding is the result of one check. Its texts may contain text from the user's files
// and environment: escape control characters before printing them.
type Finding struct {
	Check   string // which check, such as "profiles_file"
	Level   Level
	Message string
	Hint    string       // the next thing to do, or empty
	Code    failure.Code // of a failure that a run would end with, else empty
}

// Level is the severity of a finding.
type Level string

// The levels.
const (
	LevelOK      Level = "ok"
	LevelWarning Level = "warning" // something is missing, or may not be meant
	LevelError   Level = "error"   // a run would fail
)

// Process describes the running program. The zero Process describes one about which
// nothing is known.
type Process struct {
	Version string // of the program
	// OpenFiles is the limit on open files, 0 if it is not known.
	OpenFiles uint64
	// Completion returns the shell that completion could be installed for, empty if
	// there is none, and whether it is installed. It may be nil.
	Completion func(context.Context) (shell string, installed bool)
}

// Findings runs all checks and returns their findings, in the order of the checks. With
// network set it also calls the host of each profile. A check that fails or times out
// becomes a finding, and the other checks still run.
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

// checkLimit returns the timeout of the next check. It leaves time for the checks that
// follow.
func (i *Inspector) checkLimit() time.Duration { return min(5*time.Second, i.limit.Left()/2) }

func ok(check, format string, args ...any) Finding {
	return Finding{Check: check, Level: LevelOK, Message: fmt.Sprintf(format, args...)}
}

func warning(check, hint, format string, args ...any) Finding {
	return Finding{Check: check, Level: LevelWarning, Message: fmt.Sprintf(format, args...), Hint: hint}
}

// failed returns a finding for an error that a fetch would fail with.
func failed(check string, err error) Finding {
	e := failure.From(err)
	return Finding{Check: check, Level: LevelError, Message: e.Message, Hint: e.Hint, Code: e.Code}
}

// grace is how long a check may go on after its context has ended.
const grace = 200 * time.Millisecond

// inTime runs a check and returns its findings, and a value that later checks use. If
// the check panics or times out, known is false and a finding says so.
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
				r.findings = []Finding{warning(check, "please report this, with the output of tokenfetch version", "internal error in this check")}
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
