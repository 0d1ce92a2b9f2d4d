package cmd

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

	"github.com/tokenfetch/tokenfetch/pkg/cache"
	"github.com/tokenfetch/tokenfetch/pkg/credential"
	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/keychain"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/pkg/source"
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

// checkAll makes all checks, in the order in which they are told.
func (r *run) checkAll(ctx context.Context, network bool) []finding {
	limit := r.limit
	ctx, cancel := limit.Context(ctx)
	defer cancel()
	var all []finding
	// No check takes all the time that is left from the others.
	most := func() time.Duration { return min(checkLimit, limit.Left()/2) }
	check := func(name string, run func(context.Context) []finding) {
		findings, _, _ := inTime(ctx, name, most(), func(ctx context.Context) ([]finding, struct{}) { return run(ctx), struct{}{} })
		all = append(all, findings...)
	}
	check("program", r.checkProgram)
	check("clock", func(context.Context) []finding { return checkClock(time.Now()) })
	check("ci", r.checkCI)
	check("shell", r.checkShell)
	findings, file, _ := inTime(ctx, "profiles_file", most(), func(ctx context.Context) ([]finding, *profile.File) {
		return r.checkProfilesFile(ctx)
	})
	all = append(all, findings...)
	check("variables", func(context.Context) []finding { return r.checkVariables(file) })
	findings, broken, answered := inTime(ctx, "keychain", most(), func(ctx context.Context) ([]finding, error) {
		return r.checkKeychain(ctx, limit)
	})
	all = append(all, findings...)
	if !answered {
		broken = secret.ErrTimeout
	}
	dirs := r.engine().Dirs()
	check("state_directory", func(context.Context) []finding {
		return checkDir("state_directory", dirs.State, "refusals are not remembered, so a wrong password is sent again and again")
	})
	check("cache_directory", func(context.Context) []finding { return checkDir("cache_directory", dirs.Cache, "no token is cached") })

	var states []*profileState
	if file != nil { // else a finding says why
		i := r.newInspector(ctx, limit, file)
		if broken != nil {
			i.store.giveUp(broken)
		}
		check("sealing_key", func(context.Context) []finding { return i.checkSealingKey() })
		findings, states = r.checkProfiles(ctx, i)
		all = append(all, findings...)
	}
	check("proxy", r.checkProxy)
	check("certificates", r.checkCertificates)
	check("runtime", r.checkRuntime)
	if network {
		all = append(all, r.checkNetwork(ctx, limit, states)...)
	}
	return all
}

func (r *run) checkProgram(context.Context) []finding {
	findings := []finding{ok("program", "tokenfetch %s (%s, %s/%s)", r.env.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)}
	const plenty = 64 // several connections, files and helpers at once
	if n, known := openFiles(); known && n < plenty {
		findings = append(findings, warning("open_files", "run: ulimit -n 256", "only %d files may be open at once", n))
	}
	return findings
}

// checkClock looks whether the clock can be right: with a wrong one certificates
// are not valid, and holds and cached tokens do not end when they should.
func checkClock(now time.Time) []finding {
	const built = 2025
	if now.UTC().Year() < built {
		return []finding{warning("clock", "set this computer's clock", "this computer's clock is in the year %d", now.UTC().Year())}
	}
	return []finding{ok("clock", "%s", now.UTC().Format(time.RFC3339))}
}

func (r *run) checkCI(context.Context) []finding {
	if name := r.env.ciVariable(); name != "" {
		return []finding{ok("ci", "this is a CI job, as %s is set: tokens are cached only where a profile says cache = true", name)}
	}
	return []finding{ok("ci", "this is no CI job")}
}

// checkShell looks where completion scripts and the lines that load them are
// usually put.
func (r *run) checkShell(ctx context.Context) []finding {
	shell := filepath.Base(r.env.getenv("SHELL"))
	home := profile.Home(r.env.lookup)
	scripts := map[string][]string{
		"bash": {"/usr/share/bash-completion/completions/tokenfetch", "/usr/local/share/bash-completion/completions/tokenfetch", "/opt/homebrew/etc/bash_completion.d/tokenfetch", "~/.local/share/bash-completion/completions/tokenfetch"},
		"zsh":  {"/usr/share/zsh/vendor-completions/_tokenfetch", "/usr/share/zsh/site-functions/_tokenfetch", "/usr/local/share/zsh/site-functions/_tokenfetch", "/opt/homebrew/share/zsh/site-functions/_tokenfetch"},
		"fish": {"/usr/share/fish/vendor_completions.d/tokenfetch.fish", "/usr/local/share/fish/vendor_completions.d/tokenfetch.fish", "/opt/homebrew/share/fish/vendor_completions.d/tokenfetch.fish", "~/.config/fish/completions/tokenfetch.fish"},
	}
	startup := map[string][]string{"bash": {"~/.bashrc", "~/.bash_profile"}, "zsh": {"~/.zshrc"}, "fish": {"~/.config/fish/config.fish"}}
	if scripts[shell] == nil || r.env.ci() {
		return nil // nothing is known of this shell, or nobody types here
	}
	read := func(path string) string {
		rest, below := strings.CutPrefix(path, "~/")
		if below {
			path = filepath.Join(home, rest)
		}
		if below && home == "" {
			return ""
		}
		file, err := source.ReadRegular(ctx, path, 1<<20)
		if err != nil {
			return ""
		}
		return string(file.Data)
	}
	installed := slices.ContainsFunc(scripts[shell], func(path string) bool { return read(path) != "" }) ||
		slices.ContainsFunc(startup[shell], func(path string) bool { return strings.Contains(read(path), "tokenfetch completion") })
	if installed {
		return []finding{ok("shell", "completion for %s is installed", shell)}
	}
	f := ok("shell", "completion for %s is not installed, as far as can be seen", shell)
	f.hint = "tokenfetch completion --help says how"
	return []finding{f}
}

// checkVariables looks for variables that are meant for this program but belong
// to nothing, are empty, or are not used. file may be nil.
func (r *run) checkVariables(file *profile.File) []finding {
	owner := map[string]*provider.Definition{} // of each variable that is read; nil for our own
	for _, name := range []string{"TOKENFETCH_PROFILE", "TOKENFETCH_CONFIG", "TOKENFETCH_ERRORS", cache.Emulated} {
		owner[name] = nil
	}
	definitions, err := r.catalog.All()
	if err != nil {
		return []finding{r.failed("variables", levelError, err)}
	}
	for _, d := range definitions {
		owner[d.Variable("environment")], owner[d.Variable("base_url")] = d, d
		for _, f := range d.Fields {
			owner[d.Variable(f.Name)], owner[d.Variable(f.Name)+"_FILE"] = d, d
		}
	}
	unnamed, profileErr := r.engine().UnnamedProfile()
	var findings []finding
	if profileErr != nil {
		findings = append(findings, r.failed("variables", levelError, profileErr))
	}
	if file != nil && unnamed != "" && unnamed != profile.Default && !slices.ContainsFunc(definitions, func(d *provider.Definition) bool {
		return slices.Contains(file.Names(d.Name), unnamed)
	}) {
		findings = append(findings, warning("variables", "unset it, or let it name a profile", "TOKENFETCH_PROFILE names a profile that no provider has in the profiles file"))
	}
	used := 0
	known := slices.Sorted(maps.Keys(owner))
	for _, name := range r.variables() {
		d, belongs := owner[name]
		switch {
		case !belongs:
			hint := "unset it, or see tokenfetch help environment"
			if near := profile.Nearest(name, known); near != "" {
				hint = "was " + near + " meant?"
			}
			findings = append(findings, warning("variables", hint, "%s is set, but belongs to nothing", name))
		case d == nil:
		case r.env.getenv(name) == "":
			e := failure.New(failure.VariableEmpty, "%s is set but empty", name).WithHint("%s", credential.EmptyHint(r.env.lookup))
			findings = append(findings, r.failed("variables", levelError, e))
		case profileErr == nil && unnamed != profile.Default:
			findings = append(findings, warning("variables", "unset one of the two", "%s is set but not used: TOKENFETCH_PROFILE names a profile, which is read alone", name))
		case name == d.Variable("environment") || name == d.Variable("base_url"):
			if named := namedProfiles(file, d); len(named) > 0 {
				findings = append(findings, warning("variables", "unset it where you use them; -e and --base-url choose the host for one run",
					"%s is set, so the named profiles of %s cannot be used: %s", name, d.Name, strings.Join(named, ", ")))
				continue
			}
			used++
		default:
			used++
		}
	}
	if len(findings) == 0 {
		findings = []finding{ok("variables", "no variable of a provider is set")}
		if used > 0 {
			findings = []finding{ok("variables", "%s of providers, all of them known", number(used, "variable"))}
		}
	}
	return findings
}

// variables returns the names of the variables that are meant for this program.
func (r *run) variables() []string {
	var names []string
	for _, entry := range r.env.Environ {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "TOKENFETCH_") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func namedProfiles(file *profile.File, d *provider.Definition) []string {
	if file == nil {
		return nil
	}
	return slices.DeleteFunc(file.Names(d.Name), func(name string) bool { return name == profile.Default })
}

// checkProfilesFile looks for the profiles file and loads it; the file is nil if
// that fails.
func (r *run) checkProfilesFile(ctx context.Context) ([]finding, *profile.File) {
	const check = "profiles_file"
	why := "the default place"
	switch _, set := r.env.lookup("TOKENFETCH_CONFIG"); {
	case r.config != "":
		why = "named by --config"
	case set:
		why = "named by TOKENFETCH_CONFIG"
	case filepath.IsAbs(r.env.getenv("XDG_CONFIG_HOME")) && runtime.GOOS != "windows":
		why = "below XDG_CONFIG_HOME"
	}
	var findings []finding
	file, err := r.engine().Profiles(ctx, func(note string) {
		findings = append(findings, warning(check, "make it yours alone where you can", "%s", note))
	})
	if err != nil {
		return append(findings, r.failed(check, levelError, err)), nil
	}
	const begin = "run tokenfetch login zeepay (or another provider); tokenfetch zeepay --help shows the variables that do without"
	switch touched := slices.ContainsFunc(r.catalog.Names(), r.touches); {
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
	for _, t := range unknownTables(r.catalog, file) {
		findings = append(findings, warning(check, "rename or remove it", "%s", t.message(file.Path)))
	}
	return findings, file
}

// touches reports whether a variable of the provider is set.
func (r *run) touches(name string) bool {
	prefix := provider.VariablePrefix(name)
	return slices.ContainsFunc(r.env.Environ, func(entry string) bool { return strings.HasPrefix(entry, prefix) })
}

// slow is how long the keychain may take before that is worth telling.
const slow = time.Second

// checkKeychain asks whether the keychain answers; err is why it does not.
func (r *run) checkKeychain(ctx context.Context, limit *tokenfetch.Limit) (_ []finding, err error) {
	const check, without = "keychain", "give secrets by files, variables or helpers: tokenfetch help environment"
	start := time.Now()
	err = r.pingKeychain(ctx, limit)
	took := time.Since(start)
	switch {
	case errors.Is(err, keychain.ErrNoBus):
		return []finding{warning(check, without, "there is no keychain here: there is no session bus (DBUS_SESSION_BUS_ADDRESS)")}, err
	case errors.Is(err, keychain.ErrNotRunning):
		return []finding{warning(check, "log in to your desktop session, or start a service such as gnome-keyring-daemon; or "+without, "no keychain service runs on the session bus")}, err
	case errors.Is(err, secret.ErrUnavailable):
		return []finding{warning(check, without, "%s", err)}, err
	case errors.Is(err, secret.ErrLocked):
		return []finding{warning(check, "unlock it in your desktop session", "%s", err)}, err
	case errors.Is(err, secret.ErrTimeout):
		e := credential.KeychainFailure(err).AppendHint("; %s", without)
		return []finding{r.failed(check, levelError, e)}, err
	case err != nil:
		return []finding{warning(check, without, "the keychain cannot be asked")}, err
	case took > slow:
		return []finding{warning(check, "check your keychain service", "the keychain answers, but took %v", took.Round(100*time.Millisecond))}, nil
	}
	return []finding{ok(check, "it answers and is unlocked")}, nil
}

// pingKeychain asks whether the keychain would answer, and starts nothing.
func (r *run) pingKeychain(ctx context.Context, limit *tokenfetch.Limit) error {
	ctx, done := limit.Keychain(ctx)
	defer done()
	if r.env.Keychain == nil {
		return (&keychain.Keychain{Getenv: r.env.getenv}).Ping(ctx)
	}
	_, err := r.env.Keychain.Get(ctx, "tokenfetch/ping") // an item that nobody stores
	if errors.Is(err, secret.ErrNotFound) {
		return nil
	}
	return err
}

// checkDir looks whether a directory of ours can be used; without says what that
// means if it cannot.
func checkDir(check, path, without string) []finding {
	exists, err := cache.CheckDir(path)
	switch {
	case errors.Is(err, cache.ErrUnusable) && path == "":
		return []finding{warning(check, "set HOME", "there is no home directory: %s", without)}
	case errors.Is(err, cache.ErrUnusable):
		return []finding{warning(check, "make it a directory of yours alone: chmod 700 DIRECTORY (and chown it to you)", "%s: %s; %s", path, err, without)}
	case errors.Is(err, fs.ErrPermission):
		return []finding{warning(check, "make it writable for you", "%s cannot be written; %s", path, without)}
	case err != nil:
		return []finding{warning(check, "free some space, or make it writable", "%s: %s; %s", path, whyNot(err), without)}
	case !exists:
		return []finding{ok(check, "%s does not exist yet; it is made when it is needed", path)}
	}
	return []finding{ok(check, "%s", path)}
}

// checkSealingKey looks for the key that seals cached tokens.
func (i *inspector) checkSealingKey() []finding {
	const check = "sealing_key"
	where := "the keychain"
	if i.file.CacheKey != nil {
		where = "cache_key"
	}
	if s := i.file.CacheKey; s != nil && s.Command != nil {
		if _, err := source.FindHelper(s.Command[0]); err != nil {
			f := i.run.failed(check, levelWarning, err)
			f.message += ": no token is cached"
			return []finding{f}
		}
		return []finding{ok(check, "from the helper of cache_key, which was not run")}
	}
	key, err := i.sealingKey()
	switch {
	case err != nil && i.file.CacheKey == nil:
		return []finding{warning(check, "let cache_key in [tokenfetch] name a file or variable with a key, or go on without", "no token is cached: %s", tokenfetch.CacheProblem(err))}
	case tokenfetch.IsBadCacheKey(err):
		return []finding{i.run.failed(check, levelError, err)}
	case err != nil:
		return []finding{warning(check, "give it a key where tokens are to be cached: openssl rand -hex 32 makes one", "no token is cached: %s", tokenfetch.CacheProblem(err))}
	case key == nil:
		return []finding{ok(check, "there is none yet; it is made with the first token that is cached")}
	}
	return []finding{ok(check, "from %s", where)}
}

// checkProfiles looks at each profile.
func (r *run) checkProfiles(ctx context.Context, i *inspector) ([]finding, []*profileState) {
	refs, err := i.all(ctx)
	if err != nil {
		return []finding{r.failed("profile", levelError, err)}, nil
	}
	var all []finding
	var states []*profileState
	for _, f := range refs {
		findings, s, known := inTime(ctx, "profile", min(checkLimit, i.limit.Left()/2), func(ctx context.Context) ([]finding, *profileState) {
			s := i.inspect(ctx, f)
			return r.profileFindings(s), s
		})
		all = append(all, findings...)
		if known {
			states = append(states, s)
		}
	}
	return all, states
}

// profileFindings is what there is to say of a profile.
func (r *run) profileFindings(s *profileState) []finding {
	var findings []finding
	for _, e := range s.told(r) {
		if e.Code == failure.HeldBack || e.Code == failure.CacheKeyInvalid {
			continue // they have findings of their own
		}
		f := r.failed("profile", levelError, e)
		if incomplete(e.Code) {
			f.level = levelWarning
		}
		f.message = s.ref.String() + ": " + f.message
		f.hint = cmp.Or(f.hint, "mend that, then run tokenfetch status "+s.ref.String())
		findings = append(findings, f)
	}
	if findings == nil {
		f := ok("profile", "%s: every field is found", s.ref)
		if slices.ContainsFunc(s.plan.Places, func(place credential.Place) bool { return place.Kind == credential.Helper }) {
			f.message += "; helpers were not run"
		}
		findings = []finding{f}
	}
	for _, place := range s.plan.Places {
		if place.Shared && place.Field.Secret {
			findings = append(findings, warning("profile", "run: chmod 600 FILE", "%s: others can read %s in %s", s.ref, place.Field.Name, place.Where))
		}
	}
	lockoutAfter := s.ref.Definition.Policy.LockoutAfter
	switch {
	case s.hold != nil:
		findings = append(findings, warning("hold", tokenfetch.HoldHint(s.ref, s.hold), "%s: %s", s.ref, s.hold.Failure().Message))
	case s.left != nil && *s.left < lockoutAfter:
		findings = append(findings, warning("hold", "make sure of the credentials before the next run", "%s: %s locks the account after %d refusals in a row, and %d are left",
			s.ref, s.ref.Definition.Title, lockoutAfter, *s.left))
	}
	return findings
}

// incomplete reports whether a problem is that something is not there, which may
// be meant so on this computer.
func incomplete(code failure.Code) bool {
	return slices.Contains([]failure.Code{
		failure.FieldMissing, failure.HostMissing, failure.ProfileNotFound, failure.FileNotFound, failure.HelperNotFound, failure.InputTimeout,
		failure.KeychainNotFound, failure.KeychainUnavailable, failure.KeychainLocked, failure.KeychainTimeout,
	}, code)
}

// checkRuntime looks for settings of the Go runtime that weaken TLS, or print
// lines that are not ours.
func (r *run) checkRuntime(context.Context) []finding {
	var names []string
	for setting := range strings.SplitSeq(r.env.getenv("GODEBUG"), ",") {
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
	return []finding{warning("runtime", "unset GODEBUG", "GODEBUG changes how certificates and TLS are checked, or what is printed: %s", strings.Join(names, ", "))}
}
