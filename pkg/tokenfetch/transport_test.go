package tokenfetch

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/emulator"
	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// provided is a client of an emulator, which counts the logins.
func provided(t *testing.T, delay time.Duration) (*Client, *atomic.Int32) {
	t.Helper()
	definitions, _ := provider.NewCatalog("", nil).All()
	e, err := emulator.New(definitions, emulator.Options{Delay: delay})
	check.OK(t, err)
	logins := new(atomic.Int32)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		logins.Add(1)
		e.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	var environ []string
	for _, d := range definitions {
		environ = append(environ, d.Variable("base_url")+"="+emulator.BaseURL(server.Listener.Addr().String(), d.Name))
		for field, value := range emulator.Demo(d) {
			environ = append(environ, d.Variable(field)+"="+value)
		}
	}
	return New(Options{Environ: environ}), logins
}

// api answers each request, and remembers the last Authorization header.
func api(t *testing.T, answer http.HandlerFunc) (server *httptest.Server, seen *atomic.Value) {
	t.Helper()
	seen = new(atomic.Value)
	seen.Store("")
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r.Header.Get("Authorization"))
		if answer != nil {
			answer(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server, seen
}

func get(t *testing.T, transport http.RoundTripper, url string) int {
	t.Helper()
	response, err := (&http.Client{Transport: transport}).Get(url)
	check.OK(t, err)
	response.Body.Close()
	return response.StatusCode
}

func TestTransportKeepsToItsOrigins(t *testing.T) {
	client, logins := provided(t, 0)
	other, stranger := api(t, nil)
	ours, seen := api(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/away" {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		}
	})
	transport := client.Transport("zeepay", ours.URL)
	get(t, transport, ours.URL)
	if got := seen.Load(); !strings.HasPrefix(got.(string), "Bearer emulated-") {
		t.Errorf("Authorization: %v", got)
	}
	get(t, transport, ours.URL+"/away")
	get(t, transport, other.URL)
	get(t, transport, strings.Replace(ours.URL, "127.0.0.1", "localhost", 1))
	if got := stranger.Load(); got != "" {
		t.Errorf("the other host got %v", got)
	}
	if got := seen.Load(); got != "" {
		t.Errorf("another name of the host got %v", got)
	}
	if n := logins.Load(); n != 1 {
		t.Errorf("%d logins, want 1", n)
	}
}

func TestTransportSharesOneToken(t *testing.T) {
	client, logins := provided(t, 100*time.Millisecond)
	server, _ := api(t, nil)
	transport := client.Transport("zeepay", server.URL)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { get(t, transport, server.URL) })
	}
	all.Wait()
	if n := logins.Load(); n != 1 {
		t.Errorf("%d logins, want 1", n)
	}
}

func TestTransportReplacesAToken(t *testing.T) {
	client, logins := provided(t, 0)
	status := http.StatusOK
	server, seen := api(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
	transport := client.Transport("zeepay", server.URL)
	call := func() any {
		t.Helper()
		get(t, transport, server.URL)
		return seen.Load()
	}
	first := call()
	transport.token.Lifetime = time.Minute // all of it is margin
	second := call()
	if first == second {
		t.Error("an expired token was used")
	}

	status = http.StatusUnauthorized
	for range 2 {
		if call() != second {
			t.Error("a token that was just fetched was blamed for a 401")
		}
	}
	transport.token.Obtained = transport.token.Obtained.Add(-2 * time.Minute)
	call()
	status = http.StatusOK
	if call() == second {
		t.Error("a token that is not accepted was used again")
	}
	if n := logins.Load(); n != 3 {
		t.Errorf("%d logins, want 3", n)
	}
}

// closing is a body that knows whether it was closed.
type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Close() error {
	c.closed = true
	return nil
}

func TestTransportRefuses(t *testing.T) {
	client, logins := provided(t, 0)
	server, seen := api(t, nil)
	for _, test := range []struct {
		ref, origin string
		code        failure.Code
	}{
		{"mpay", server.URL, failure.NoHeader},
		{"nobody", server.URL, failure.UnexpectedArgument},
		{"zeepay/missing", server.URL, failure.ProfileNotFound},
		{"zeepay", "http://api.example.com", failure.HTTPSRequired},
		{"zeepay", "https://api.example.com/v1", failure.BadBaseURL},
		{"zeepay", "api.example.com", failure.BadBaseURL},
	} {
		body := &closing{Reader: strings.NewReader("{}")}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, body)
		check.OK(t, err)
		_, err = client.Transport(test.ref, test.origin).RoundTrip(request) //nolint:bodyclose // there is none
		if e, ok := errors.AsType[*Error](err); !ok || e.Code != test.code {
			t.Errorf("%s for %s: %v, want %s", test.ref, test.origin, err, test.code)
		}
		if !body.closed {
			t.Errorf("%s: the body is not closed", test.ref)
		}
	}
	for _, incomplete := range []*http.Request{{}, {URL: &url.URL{Scheme: "http", Host: server.Listener.Addr().String()}}} {
		if _, err := client.Transport("zeepay", server.URL).RoundTrip(incomplete); err == nil { //nolint:bodyclose // there is none
			t.Errorf("no error of %v", incomplete)
		}
	}
	if seen.Load() != "" || logins.Load() != 0 {
		t.Errorf("sent: %v, %d logins", seen.Load(), logins.Load())
	}
}

func TestTransportEndsWithTheContext(t *testing.T) {
	client, _ := provided(t, 10*time.Second)
	server, _ := api(t, nil)
	transport := client.Transport("zeepay", server.URL)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	var all sync.WaitGroup
	for range 2 { // one that fetches, and one that waits for it
		all.Go(func() {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, http.NoBody)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := transport.RoundTrip(request); err == nil { //nolint:bodyclose // there is none
				t.Error("no error")
			}
		})
	}
	all.Wait()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

// Whoever gives up finds the reason in the error, with how much was sent.
func TestErrorOfAContextThatEnds(t *testing.T) {
	client, logins := provided(t, 10*time.Second)
	reason := errors.New("the shop is closed")
	before, cancel := context.WithCancelCause(t.Context())
	cancel(reason)
	during, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	go func() {
		for logins.Load() == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel(reason)
	}()
	late, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer stop()
	server, _ := api(t, nil)
	for _, test := range []struct {
		name  string
		ctx   context.Context
		code  failure.Code
		sent  failure.Sent
		cause error
	}{
		{"ended before", before, failure.Interrupted, failure.SentNo, reason},
		{"ended while waiting for the answer", during, failure.Interrupted, failure.SentYes, reason},
		{"too late", late, failure.Timeout, failure.SentYes, context.DeadlineExceeded},
	} {
		_, err := client.Token(test.ctx, "zeepay")
		if e, ok := errors.AsType[*Error](err); !ok || e.Code != test.code || e.Sent != test.sent || !errors.Is(err, test.cause) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	request, err := http.NewRequestWithContext(before, http.MethodGet, server.URL, http.NoBody)
	check.OK(t, err)
	_, err = client.Transport("zeepay", server.URL).RoundTrip(request) //nolint:bodyclose // there is none
	if e, ok := errors.AsType[*Error](err); !ok || e.Code != failure.Interrupted || !errors.Is(err, reason) {
		t.Errorf("of a call: %v", err)
	}
}

// The answer of the API is there: it does not wait until another request has a
// new token.
func TestTransportHandsOnARefusalAtOnce(t *testing.T) {
	client, _ := provided(t, 0)
	server, _ := api(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	transport := client.Transport("zeepay", server.URL)
	transport.Base = fetching{transport}
	answered := make(chan int, 1)
	go func() { answered <- get(t, transport, server.URL) }()
	select {
	case <-answered:
	case <-time.After(5 * time.Second):
		t.Error("no answer")
	}
}

// fetching makes a request while another one fetches a token, for ever.
type fetching struct{ t *Transport }

func (f fetching) RoundTrip(r *http.Request) (*http.Response, error) {
	<-f.t.turn
	return http.DefaultTransport.RoundTrip(r)
}

// A program may fetch tokens for months: what a Client keeps out of the environment
// of its helpers is remembered once.
func TestClientDoesNotGrow(t *testing.T) {
	client, _ := provided(t, 0)
	config := filepath.Join(t.TempDir(), "profiles.toml")
	text := "[mpay.shop]\nbase_url = \"http://127.0.0.1:9\"\nusername = \"ops\"\npassword = { env = \"SHOP_PASSWORD\" }\n"
	check.OK(t, os.WriteFile(config, []byte(text), 0o600))
	client = New(Options{Environ: append([]string{"SHOP_PASSWORD=correct"}, client.options.Environ...), Config: config})
	environ := client.ChildEnviron()
	for range 3 {
		_, _ = client.Token(t.Context(), "mpay/shop") // nobody listens there
	}
	if got := client.hidden.names; !slices.Equal(got, []string{"SHOP_PASSWORD"}) {
		t.Errorf("kept: %q", got)
	}
	if n := len(client.ChildEnviron()); n != len(environ)-1 {
		t.Errorf("%d variables, want one less than %d", n, len(environ))
	}
}

// What a Client is asked for has time of its own, however old the Client is.
func TestClientGetsOld(t *testing.T) {
	client, _ := provided(t, 0)
	client.limit = NewLimit(time.Now().Add(-time.Hour), 0)
	f, err := client.Ref("zeepay")
	check.OK(t, err)
	plan, err := client.Plan(t.Context(), Query{Ref: f})
	check.OK(t, err)
	check.OK(t, plan.Load(t.Context()))
	if _, err := plan.Token(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := client.Token(t.Context(), "zeepay"); err != nil {
		t.Error(err)
	}
	key := filepath.Join(t.TempDir(), "key")
	check.OK(t, os.WriteFile(key, []byte(strings.Repeat("k", 32)), 0o600))
	file := &profile.File{CacheKey: &profile.Source{File: key}}
	if _, err := client.Forget(t.Context(), f, file, false); err != nil {
		t.Error(err)
	}
}

// A Client without an environment finds no profile, and nothing of this process.
func TestNoEnvironment(t *testing.T) {
	t.Setenv("TOKENFETCH_MPAY_USERNAME", "ops")
	_, err := New(Options{}).Token(t.Context(), "mpay")
	if e, ok := errors.AsType[*Error](err); !ok || e.Class() != failure.Config {
		t.Errorf("%v, want a config error", err)
	}
}

// The demo account of EnKash is locked by nobody: a wrong password is sent once.
func TestClientHoldsBack(t *testing.T) {
	client, logins := provided(t, 0)
	environ := append([]string{"XDG_STATE_HOME=" + t.TempDir(), "TOKENFETCH_ENKASH_PASSWORD=wrong"}, client.options.Environ...)
	for i := range environ {
		if strings.HasPrefix(environ[i], "TOKENFETCH_ENKASH_PASSWORD=") {
			environ[i] = "TOKENFETCH_ENKASH_PASSWORD=wrong"
		}
	}
	client = New(Options{Environ: environ})
	for _, code := range []failure.Code{failure.ProviderRefused, failure.HeldBack} {
		_, err := client.Token(t.Context(), "enkash")
		if e, ok := errors.AsType[*Error](err); !ok || e.Code != code {
			t.Errorf("%v, want %s", err, code)
		}
	}
	if n := logins.Load(); n != 1 {
		t.Errorf("%d logins, want 1", n)
	}
}
