package login_test

import (
	"context"
	"errors"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/emulator"
	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/login"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// store is a keychain in memory.
type store struct {
	items  map[string]string
	writes []string                                           // what was done to which account
	onSet  func(account, value string) (kept string, _ error) // nil keeps the value
	locked bool
}

func (s *store) Get(ctx context.Context, account string) (secret.Value, error) {
	value, ok := s.items[account]
	switch {
	case ctx.Err() != nil:
		return secret.Value{}, context.Cause(ctx)
	case s.locked:
		return secret.Value{}, secret.ErrLocked
	case !ok:
		return secret.Value{}, secret.ErrNotFound
	}
	return secret.New(value), nil
}

func (s *store) Set(ctx context.Context, account string, value secret.Value) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if s.locked {
		return secret.ErrLocked
	}
	s.writes = append(s.writes, "set "+account)
	text := value.Reveal()
	if s.onSet != nil {
		kept, err := s.onSet(account, text)
		if err != nil {
			return err
		}
		text = kept
	}
	s.items[account] = text
	return nil
}

func (s *store) Delete(ctx context.Context, account string) error {
	_, ok := s.items[account]
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case s.locked:
		return secret.ErrLocked
	case !ok:
		return secret.ErrNotFound
	}
	s.writes = append(s.writes, "delete "+account)
	delete(s.items, account)
	return nil
}

func (s *store) Limit(string) int { return 64 }

// world is a home directory and a keychain.
type world struct {
	t     *testing.T
	home  string
	store *store
}

const (
	clientSecret = "zeepay/default/client_secret@localhost:1"
	password     = "zeepay/default/password@localhost:1"
)

func newWorld(t *testing.T) *world {
	return &world{t, t.TempDir(), &store{items: map[string]string{}}}
}

func (w *world) options() login.Options {
	w.t.Helper()
	client := tokenfetch.New(tokenfetch.Options{Environ: []string{"HOME=" + w.home}, Keychain: w.store})
	f, err := client.Ref("zeepay")
	check.OK(w.t, err)
	return login.Options{
		Client: client, Keychain: client.Keychain(w.t.Context(), tokenfetch.NewLimit(time.Now(), 0)),
		Ref: f, Name: "zeepay",
	}
}

// setup is a login with both secrets up to the point where it is stored.
func (w *world) setup(baseURL, clientSecret, password string) *login.Setup {
	w.t.Helper()
	ctx := w.t.Context()
	s, err := login.Begin(ctx, w.options())
	check.OK(w.t, err)
	places := login.Places{Store: login.Keychain, Replace: true, New: []string{"client_secret", "password"}}
	check.OK(w.t, errors.Join(s.Place(places), s.ProveStore(ctx)))
	s.SetHost("", baseURL)
	demo := emulator.Demo(s.Ref.Definition)
	s.Set("client_id", demo["client_id"])
	s.Set("username", demo["username"])
	check.OK(w.t, s.Prepare(ctx))
	for i, value := range []string{clientSecret, password} {
		check.OK(w.t, s.LookUp(ctx, s.Secrets[i]))
		s.Secrets[i].Give(secret.New(value))
	}
	check.OK(w.t, s.CheckSizes())
	w.store.writes = nil
	return s
}

func (w *world) stored(want map[string]string) {
	w.t.Helper()
	check.Same(w.t, "the keychain", want, w.store.items)
}

// files checks which files there are in the directory of the profiles file.
func (w *world) files(want ...string) {
	w.t.Helper()
	found, err := filepath.Glob(filepath.Join(w.home, ".config", "tokenfetch", "*"))
	check.OK(w.t, err)
	var names []string
	for _, path := range found {
		if name := filepath.Base(path); !strings.HasSuffix(name, ".lock") {
			names = append(names, name)
		}
	}
	check.Same(w.t, "the files", want, names)
}

func fails(t *testing.T, err error, code failure.Code) *failure.Error {
	t.Helper()
	e, ok := errors.AsType[*failure.Error](err)
	if !ok || e.Code != code {
		t.Fatalf("%v, want %s", err, code)
	}
	return e
}

func TestStore(t *testing.T) {
	w := newWorld(t)
	s := w.setup("http://localhost:1", "one", "two")
	report, err := s.Store(t.Context())
	check.OK(t, err)
	want := &login.Report{Written: true, Keychain: []string{"client_secret", "password"}}
	check.Same(t, "the report", want, report)
	w.stored(map[string]string{clientSecret: "one", password: "two"})
	w.files("profiles.toml")
	text, err := os.ReadFile(s.File.Path)
	check.OK(t, err)
	wantText := `[zeepay.default]
# client_secret and password: read from the keychain by default
base_url  = "http://localhost:1"
client_id = "demo-zeepay-client-id"
username  = "demo-zeepay-username"
`
	check.Same(t, "the profiles file", wantText, string(text))
}

// TestSecondSecretFails shows that the first is as it was then, and that nothing
// else is left.
func TestSecondSecretFails(t *testing.T) {
	for _, test := range []struct {
		name   string
		before map[string]string
		onSet  func(account, value string) (string, error)
		code   failure.Code
		writes []string
	}{
		{
			name:   "nothing was stored before",
			before: map[string]string{},
			onSet: func(account, value string) (string, error) {
				if account == password {
					return "", secret.ErrLocked
				}
				return value, nil
			},
			code:   failure.KeychainLocked,
			writes: []string{"set " + clientSecret, "set " + password, "delete " + clientSecret},
		},
		{
			name:   "old ones are put back",
			before: map[string]string{clientSecret: "old one", password: "old two"},
			onSet: func(account, value string) (string, error) {
				if value == "two" {
					return "", secret.ErrTimeout
				}
				return value, nil
			},
			code:   failure.KeychainTimeout,
			writes: []string{"set " + clientSecret, "set " + password, "set " + clientSecret},
		},
		{
			name:   "the keychain gives back something else",
			before: map[string]string{},
			onSet:  func(_, value string) (string, error) { return strings.ReplaceAll(value, "two", "2"), nil },
			code:   failure.KeychainUnverified,
			writes: []string{"set " + clientSecret, "set " + password, "delete " + password, "delete " + clientSecret},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			maps.Copy(w.store.items, test.before)
			s := w.setup("http://localhost:1", "one", "two")
			w.store.onSet = test.onSet
			report, err := s.Store(t.Context())
			fails(t, err, test.code)
			check.Same(t, "the report", &login.Report{}, report)
			w.stored(test.before)
			w.files()
			check.Same(t, "the writes", test.writes, w.store.writes)
		})
	}
}

// TestNotPutBack shows that the note of an unfinished change stays where old and new
// secrets are mixed, and that no stored secret counts from then on.
func TestNotPutBack(t *testing.T) {
	w := newWorld(t)
	w.store.items[clientSecret], w.store.items[password] = "old one", "old two"
	s := w.setup("http://localhost:1", "one", "two")
	w.store.onSet = func(_, value string) (string, error) {
		if value != "one" {
			return "", secret.ErrUnavailable
		}
		return value, nil
	}
	_, err := s.Store(t.Context())
	if e := fails(t, err, failure.KeychainUnavailable); !strings.HasSuffix(e.Message, "; what was stored before could not be put back") {
		t.Errorf("the message is %q", e.Message)
	}
	w.stored(map[string]string{clientSecret: "one", password: "old two"})
	w.files("profiles.toml.zeepay.default.unfinished")

	w.store.onSet = nil
	s = w.setup("http://localhost:1", "three", "four")
	if s.Secrets[0].Stored || s.Secrets[1].Stored {
		t.Error("a secret counts as stored")
	}
	if _, err := s.Store(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.stored(map[string]string{clientSecret: "three", password: "four"})
	w.files("profiles.toml")
}

// TestNoteBetweenSecrets looks at what a run leaves that is killed there.
func TestNoteBetweenSecrets(t *testing.T) {
	w := newWorld(t)
	s := w.setup("http://localhost:1", "one", "two")
	w.store.onSet = func(account, value string) (string, error) {
		if account == password {
			w.files("profiles.toml.zeepay.default.unfinished")
		}
		return value, nil
	}
	if _, err := s.Store(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.files("profiles.toml")
}

// TestCancelled shows that what was stored is put back after a signal too.
func TestCancelled(t *testing.T) {
	w := newWorld(t)
	s := w.setup("http://localhost:1", "one", "two")
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	w.store.onSet = func(account, value string) (string, error) {
		if account == password {
			cancel(stop)
			return "", context.Cause(ctx)
		}
		return value, nil
	}
	if _, err := s.Store(ctx); !errors.Is(err, stop) {
		t.Errorf("%v, want %v", err, stop)
	}
	w.stored(map[string]string{})
	w.files()
}

func TestVerify(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check.OK(t, err)
	w := newWorld(t)
	d := w.options().Ref.Definition
	e, err := emulator.New([]*provider.Definition{d}, emulator.Options{})
	check.OK(t, err)
	go func() { _ = e.Serve(t.Context(), listener) }()
	baseURL := emulator.BaseURL(listener.Addr().String(), d.Name)
	verify := func(clientSecret, password string) error {
		s := w.setup(baseURL, clientSecret, password)
		trial, err := s.Trial(t.Context(), false)
		check.OK(t, err)
		return s.Verify(t.Context(), trial)
	}
	demo := emulator.Demo(d)
	if err := verify(demo["client_secret"], "wrong"); err == nil {
		t.Error("wrong credentials work")
	} else if e, ok := errors.AsType[*failure.Error](err); !ok || e.Class() != failure.Refused {
		t.Errorf("%v, want a refusal", err)
	}
	if err := verify(demo["client_secret"], demo["password"]); err != nil {
		t.Error(err)
	}
	w.stored(map[string]string{})
	w.files()
}

// TestAnotherHost: after a host that was not right nothing of it is left, neither its
// fields nor what is stored for it, and the last value of a field counts.
func TestAnotherHost(t *testing.T) {
	w := newWorld(t)
	w.store.items[password] = "of the first host"
	s := w.setup("http://localhost:1", "one", "two")
	if !s.Secrets[1].Stored {
		t.Error("the item of the first host is not found")
	}
	s.SetHost("test", "")
	s.Set("client_id", "41")
	s.Set("client_id", "42")
	check.OK(t, errors.Join(s.Prepare(t.Context()), s.LookUp(t.Context(), s.Secrets[1])))
	if s.Secrets[1].Stored {
		t.Error("an item of another host is taken for one of this")
	}
	if _, err := s.Store(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(s.File.Path)
	check.OK(t, err)
	want := "[zeepay.default]\n# client_secret and password: read from the keychain by default\nenvironment = \"test\"\nclient_id   = \"42\"\n"
	check.Same(t, "the profiles file", want, string(text))
	w.stored(map[string]string{
		password: "of the first host",
		"zeepay/default/client_secret@test.digitaltermination.com": "one",
		"zeepay/default/password@test.digitaltermination.com":      "two",
	})
}

// TestProveStore shows that a keychain which cannot be written to is found out
// before anything is asked, with other ways to go.
func TestProveStore(t *testing.T) {
	w := newWorld(t)
	s, err := login.Begin(t.Context(), w.options())
	check.OK(t, err)
	check.OK(t, s.Place(login.Places{Store: login.Keychain}))
	if err := s.ProveStore(t.Context()); err != nil {
		t.Error(err)
	}
	w.stored(map[string]string{})
	w.store.locked = true
	if e := fails(t, s.ProveStore(t.Context()), failure.KeychainLocked); !strings.HasSuffix(e.Hint, `password = { env = "ZEEPAY_PASSWORD" } (or file, command: tokenfetch help profiles)`) {
		t.Errorf("the hint is %q", e.Hint)
	}
}

func TestTooLong(t *testing.T) {
	w := newWorld(t)
	s := w.setup("http://localhost:1", "one", "two")
	s.Secrets[1].Give(secret.New(strings.Repeat("x", 65)))
	fails(t, s.CheckSizes(), failure.KeychainTooBig)
}

// TestCacheKey shows for which keychains a key is made beside secrets in files.
func TestCacheKey(t *testing.T) {
	for _, test := range []struct {
		name   string
		locked bool
		items  map[string]string
		made   bool
	}{
		{"locked", true, nil, true},
		{"without a key", false, map[string]string{}, false},
		{"with a damaged key, which a fetch replaces", false, map[string]string{"tokenfetch/cache_key": "x"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.store.locked, w.store.items = test.locked, test.items
			ctx := t.Context()
			s, err := login.Begin(ctx, w.options())
			check.OK(t, err)
			check.OK(t, s.Place(login.Places{Store: login.Files}))
			s.SetHost("test", "")
			check.OK(t, s.Prepare(ctx))
			s.Secrets[0].Give(secret.New("one"))
			report, err := s.Store(ctx)
			if err != nil || report.KeyError != nil || (report.CacheKey != "") != test.made {
				t.Fatalf("%+v, %v", report, err)
			}
			client := w.options().Client
			file, err := client.Profiles(ctx, nil)
			if err != nil || (file.CacheKey != nil) != test.made {
				t.Fatalf("cache_key is %+v, %v", file.CacheKey, err)
			}
			if _, err := client.CacheKey(ctx, file); test.made && err != nil {
				t.Errorf("the key cannot be used: %v", err)
			}
		})
	}
}

// TestCopy shows what another profile gives.
func TestCopy(t *testing.T) {
	w := newWorld(t)
	if _, err := w.setup("http://localhost:1", "one", "two").Store(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := login.Begin(t.Context(), w.options())
	check.OK(t, err)
	if s.CanCopy("client_id") {
		t.Error("a field can be copied from nowhere")
	}
	if e := fails(t, s.From("other"), failure.ProfileNotFound); e.Hint != "the profiles of zeepay are: default; to make another run: tokenfetch login zeepay/NAME" {
		t.Errorf("the hint is %q", e.Hint)
	}
	check.OK(t, s.From("default"))
	for field, want := range map[string]bool{"client_id": true, "username": true, "client_secret": false, "password": false, "base_url": false} {
		if got := s.CanCopy(field); got != want {
			t.Errorf("%s can be copied: %v", field, got)
		}
	}
}

func TestRemove(t *testing.T) {
	w := newWorld(t)
	if _, err := w.setup("http://localhost:1", "one", "two").Store(t.Context()); err != nil {
		t.Fatal(err)
	}
	remove := func() (*login.Removed, error) {
		r := &login.Removal{Options: w.options(), Purge: true}
		check.OK(t, r.Read(t.Context()))
		return r.Remove(t.Context())
	}

	w.store.locked = true
	removed, err := remove()
	fails(t, err, failure.KeychainLocked)
	if !removed.Nothing() {
		t.Errorf("removed: %+v", removed)
	}
	w.files("profiles.toml") // which tells where to look next time

	w.store.locked = false
	removed, err = remove()
	check.OK(t, err)
	slices.Sort(removed.Items)
	check.Same(t, "removed", &login.Removed{Items: []string{clientSecret, password}, Purged: true}, removed)
	w.stored(map[string]string{})
}
