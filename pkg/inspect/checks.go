package inspect

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/internal/cache"
	"github.com/tokenfetch/tokenfetch/pkg/internal/credential"
	"github.com/tokenfetch/tokenfetch/pkg/keychain"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/pkg/source"
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

func checkProgram(p Process) []Finding {
	findings := []Finding{ok("program", "tokenfetch %s (%s, %s/%s)", p.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)}
	const plenty = 64 // several connections, files and helpers at once
	if n := p.OpenFiles; n > 0 && n < plenty {
		findings = append(findings, warning("open_files", "run: ulimit -n 256", "only %d files may be open at once", n))
	}
	return findings
}

// checkClock reports a clock that cannot be right. With a wrong clock certificates
// appear invalid, and holds and cached tokens expire at the wrong time.
func checkClock(now time.Time) []Finding {
	const built = 2025
	if now.UTC().Year() < built {
		return []Finding{warning("clock", "set this computer's clock", "this computer's clock is in the year %d", now.UTC().Year())}
	}
	return []Finding{ok("clock", "%s", now.UTC().Format(time.RFC3339))}
}

func (i *Inspector) checkCI(context.Context) []Finding {
	if name := tokenfetch.CIVariable(i.client.Lookup); name != "" {
		return []Finding{ok("ci", "this is a CI job, as %s is set: tokens are cached only where a profile says cache = true", name)}
	}
	return []Finding{ok("ci", "this is no CI job")}
}

func checkShell(ctx context.Context, p Process) []Finding {
	if p.Completion == nil {
		return nil
	}
	shell, installed := p.Completion(ctx)
	switch {
	case shell == "":
		return nil
	case installed:
		return []Finding{ok("shell", "completion for %s is installed", shell)}
	}
	f := ok("shell", "completion for %s is not installed, as far as can be seen", shell)
	f.Hint = "tokenfetch completion --help says how"
	return []Finding{f}
}

// checkProfilesFile finds and parses the profiles file. It returns a nil file if that
// fails.
func (i *Inspector) checkProfilesFile(ctx context.Context) ([]Finding, *profile.File) {
	const check = "profiles_file"
	var findings []Finding
	file, err := i.client.Profiles(ctx, func(note string) {
		findings = append(findings, warning(check, "make it yours alone where you can", "%s", note))
	})
	if err != nil {
		return append(findings, failed(check, err)), nil
	}
	const begin = "run tokenfetch login zeepay (or another provider); tokenfetch zeepay --help shows the variables that do without"
	why := i.whyThisFile()
	switch touched := slices.ContainsFunc(i.catalog.Names(), i.touched); {
	case touched && file.Path == "":
		findings = append(findings, ok(check, "there is no home directory for one; variables are set instead"))
	case touched && !file.Exists:
		findings = append(findings, ok(check, "%s (%s) does not exist; variables are set instead", file.Path, why))
	case file.Path == "":
		findings = append(findings, warning(check, begin, "there is no home directory, so there is no profiles file"))
	case !file.Exists:
		findings = append(findings, warning(check, begin, "%s (%s) does not exist", file.Path, why))
	default:
		findings = append(findings, ok(check, "%s (%s)", file.Path, why))
	}
	for _, t := range i.UnknownTables(file) {
		findings = append(findings, warning(check, t.Hint(), "%s", t.Message(file.Path)))
	}
	return findings, file
}

// checkDefinitions checks the definitions of the user's own providers.
func (i *Inspector) checkDefinitions() []Finding {
	const check = "providers"
	var findings []Finding
	for _, path := range i.catalog.Stray() {
		findings = append(findings, warning(check, "rename it: a provider's name is lower case letters, digits and hyphens, and not that of a command",
			"%s defines no provider, because of its name", path))
	}
	all, broken := i.catalog.All()
	for _, name := range slices.Sorted(maps.Keys(broken)) {
		findings = append(findings, failed(check, broken[name]))
	}
	own := 0
	for _, d := range all {
		if d.File == "" {
			continue
		}
		own++
		if variable, other := i.catalog.Conflict(d); variable != "" {
			findings = append(findings, warning(check, "rename one of the two", "the providers %s and %s share the variable %s", d.Name, other, variable))
		}
	}
	if len(findings) == 0 && own > 0 {
		findings = append(findings, ok(check, "%s of your own in %s", failure.Amount(own, "definition"), i.catalog.Dir()))
	}
	return findings
}

// whyThisFile explains why this profiles file was chosen.
func (i *Inspector) whyThisFile() string {
	switch _, set := i.client.Lookup("TOKENFETCH_CONFIG"); {
	case i.options.Config != "":
		return "named by --config"
	case set:
		return "named by TOKENFETCH_CONFIG"
	case filepath.IsAbs(i.getenv("XDG_CONFIG_HOME")) && runtime.GOOS != "windows":
		return "below XDG_CONFIG_HOME"
	}
	return "the default place"
}

// slow is the response time of the keychain from which checkKeychain warns.
const slow = time.Second

const withoutKeychain = "go without it: tokenfetch login PROVIDER --store files, or tokenfetch help profiles"

// checkKeychain checks that the keychain responds. The error is the reason why it does
// not.
func (i *Inspector) checkKeychain(ctx context.Context) (_ []Finding, err error) {
	const check, without = "keychain", withoutKeychain
	start := time.Now()
	err = i.pingKeychain(ctx)
	took := time.Since(start)
	switch {
	case errors.Is(err, keychain.ErrNoBus):
		return []Finding{warning(check, without, "there is no keychain here: there is no session bus (DBUS_SESSION_BUS_ADDRESS)")}, err
	case errors.Is(err, keychain.ErrNotRunning):
		return []Finding{warning(check, "log in to your desktop session, or start a service such as gnome-keyring-daemon; or "+without, "no keychain service runs on the session bus")}, err
	case errors.Is(err, secret.ErrNoKeyring):
		e := credential.KeychainFailure(err)
		return []Finding{warning(check, e.Hint+"; or "+without, "%s", e.Message)}, err
	case errors.Is(err, secret.ErrUnavailable):
		return []Finding{warning(check, without, "%s", err)}, err
	case errors.Is(err, secret.ErrLocked):
		return []Finding{warning(check, "unlock it in your desktop session", "%s", err)}, err
	case errors.Is(err, secret.ErrTimeout):
		return []Finding{failed(check, credential.KeychainFailure(err).AppendHint("; %s", without))}, err
	case err != nil:
		return []Finding{warning(check, without, "the keychain cannot be asked")}, err
	case took > slow:
		return []Finding{warning(check, "check your keychain service", "the keychain answers, but took %v", took.Round(100*time.Millisecond))}, nil
	}
	return []Finding{ok(check, "it answers and is unlocked")}, nil
}

// pingKeychain checks that the keychain responds, without starting a keychain service.
func (i *Inspector) pingKeychain(ctx context.Context) error {
	ctx, done := i.limit.Keychain(ctx)
	defer done()
	if i.options.Keychain == nil {
		return (&keychain.Keychain{Getenv: i.getenv}).Ping(ctx)
	}
	_, err := i.options.Keychain.Get(ctx, "tokenfetch/ping") // an item that nobody stores
	if errors.Is(err, secret.ErrNotFound) {
		return nil
	}
	return err
}

// checkDir checks that the cache or state directory can be used. without is the
// consequence if it cannot.
func checkDir(ctx context.Context, check, path, without string) []Finding {
	exists, err := cache.CheckDir(ctx, path)
	switch {
	case errors.Is(err, cache.ErrUnusable) && path == "":
		setting := map[string]string{"state_directory": "StateDirectory", "cache_directory": "CacheDirectory"}[check]
		return []Finding{warning(check, "set HOME ("+setting+"=tokenfetch in a systemd unit)", "there is no home directory: %s", without)}
	case errors.Is(err, cache.ErrUnusable):
		return []Finding{warning(check, "make it a directory of yours alone: chmod 700 "+failure.ShellWord(path)+" (and chown it to you)", "%s: %s; %s", path, err, without)}
	case errors.Is(err, fs.ErrPermission):
		return []Finding{warning(check, "make it writable for you", "%s cannot be written; %s", path, without)}
	case err != nil:
		return []Finding{warning(check, "free some space, or make it writable", "%s: %s; %s", path, tokenfetch.CacheProblem(err), without)}
	case !exists:
		return []Finding{ok(check, "%s does not exist yet; it is made when it is needed", path)}
	}
	return []Finding{ok(check, "%s", path)}
}

// checkSealingKey looks for the key that encrypts cached tokens.
func (l *looker) checkSealingKey() []Finding {
	const check = "sealing_key"
	configured := l.file.CacheKey
	if configured != nil && configured.Command != nil {
		if _, err := source.FindHelper(configured.Command[0]); err != nil {
			f := failed(check, err)
			f.Level = LevelWarning
			f.Message += ": no token is cached"
			return []Finding{f}
		}
		return []Finding{ok(check, "from the helper of cache_key, which was not run")}
	}
	key, err := l.sealingKey()
	switch {
	case tokenfetch.IsBadCacheKey(err):
		return []Finding{failed(check, err)}
	case err != nil:
		hint := "let cache_key in [tokenfetch] name a file or variable with a key, or go on without"
		if configured != nil {
			hint = "give it a key where tokens are to be cached: openssl rand -hex 32 makes one"
		}
		return []Finding{warning(check, hint, "no token is cached: %s", tokenfetch.CacheProblem(err))}
	case key == nil:
		return []Finding{ok(check, "there is none yet; it is made with the first token that is cached")}
	case configured != nil:
		return []Finding{ok(check, "from cache_key")}
	}
	return []Finding{ok(check, "from the keychain")}
}

// checkProfiles inspects every profile and returns the findings and the profiles.
func (l *looker) checkProfiles(ctx context.Context) ([]Finding, []*Profile) {
	const check = "profile"
	var all []Finding
	var profiles []*Profile
	for _, f := range l.all(ctx) {
		findings, p, known := inTime(ctx, check, l.checkLimit(), func(ctx context.Context) ([]Finding, *Profile) {
			p := l.look(ctx, f)
			return p.findings(), p
		})
		all = append(all, findings...)
		if known {
			profiles = append(profiles, p)
		}
	}
	return all, profiles
}

// findings returns the findings about one profile.
func (p *Profile) findings() []Finding {
	const check = "profile"
	var findings []Finding
	var held *failure.Error
	for _, e := range p.DistinctProblems() {
		switch e.Code {
		case failure.CacheKeyInvalid: // a finding of its own
			continue
		case failure.HeldBack:
			held = e
			continue
		}
		f := failed(check, e)
		if incomplete(e.Code) {
			f.Level = LevelWarning
		}
		f.Message = p.Ref.String() + ": " + f.Message
		f.Hint = cmp.Or(f.Hint, "correct that, then run: tokenfetch status "+p.Ref.String())
		findings = append(findings, f)
	}
	if findings == nil {
		f := ok(check, "%s: every field is found", p.Ref)
		if slices.ContainsFunc(p.Fields, func(field Field) bool { return field.Source == "helper" }) {
			f.Message += "; helpers were not run"
		}
		findings = []Finding{f}
	}
	for _, field := range p.Fields {
		if field.Shared != "" && field.Secret {
			findings = append(findings, warning(check, "run: chmod 600 "+field.Shared, "%s: others can read %s in %s", p.Ref, field.Name, field.Where))
		}
	}
	if p.Renew != nil {
		findings = append(findings, warning(check, "get a new one from whoever issued it", "%s: the client certificate expires in %s", p.Ref, span(*p.Renew)))
	}
	d := p.Ref.Definition
	switch left := p.RefusalsLeft; {
	case held != nil:
		findings = append(findings, warning("hold", held.Hint, "%s: %s", p.Ref, held.Message))
	case left != nil && *left < d.Policy.LockoutAfter:
		findings = append(findings, warning("hold", "make sure of the credentials before the next run", "%s: %s locks the account after %d refusals in a row, and %d are left",
			p.Ref, d.Title, d.Policy.LockoutAfter, *left))
	}
	return findings
}

// span formats a duration: in days from two days on, otherwise as [failure.Span] does.
func span(d time.Duration) string {
	if days := int(d / (24 * time.Hour)); days > 1 {
		return failure.Amount(days, "day")
	}
	return failure.Span(d)
}

// incomplete reports whether a code means that something is missing, which may be
// intended on this computer.
func incomplete(code failure.Code) bool {
	return slices.Contains([]failure.Code{
		failure.FieldMissing, failure.HostMissing, failure.ProfileNotFound, failure.FileNotFound, failure.HelperNotFound, failure.InputTimeout,
		failure.KeychainNotFound, failure.KeychainUnavailable, failure.KeychainLocked, failure.KeychainTimeout,
	}, code)
}

// checkRuntime warns of GODEBUG settings that weaken TLS or make the Go runtime print
// to stderr.
func (i *Inspector) checkRuntime(context.Context) []Finding {
	var names []string
	for setting := range strings.SplitSeq(i.getenv("GODEBUG"), ",") {
		name, value, _ := strings.Cut(setting, "=")
		switch {
		case strings.HasPrefix(name, "tls"), strings.HasPrefix(name, "x509"):
		case name == "netdns" && strings.ContainsAny(value, "123456789"): // prints each look-up
		case slices.Contains([]string{"gctrace", "inittrace", "schedtrace", "scavtrace", "gcpacertrace", "allocfreetrace"}, name) && value != "0":
		default:
			continue
		}
		names = append(names, name)
	}
	if names == nil {
		return nil
	}
	return []Finding{warning("runtime", "unset GODEBUG", "GODEBUG changes how certificates and TLS are checked, or what is printed: %s", strings.Join(names, ", "))}
}
