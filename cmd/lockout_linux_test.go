package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// enkash is a computer with one user whose EnKash account is locked after three
// failed logins, and a server that answers as EnKash and counts them. Whatever
// is tried, it must not see a third one.
type enkash struct {
	t       *testing.T
	home    string
	environ []string
	seen    atomic.Int32
}

// newEnkash starts the server; answer is nil for the usual refusal.
func newEnkash(t *testing.T, answer http.HandlerFunc) *enkash {
	t.Helper()
	if answer == nil {
		answer = answering(400, `{"error":"invalid_grant","error_description":"Bad credentials"}`)
	}
	e := &enkash{t: t, home: t.TempDir()}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.seen.Add(1)
		answer(w, r)
	}))
	t.Cleanup(server.Close)
	e.environ = []string{
		"HOME=" + e.home, "PATH=" + os.Getenv("PATH"),
		"TOKENFETCH_ENKASH_BASE_URL=" + server.URL, "TOKENFETCH_ENKASH_CLIENT_ID=CEK1", "TOKENFETCH_ENKASH_USERNAME=ops@example.com",
		"TOKENFETCH_ENKASH_CLIENT_SECRET=s3cr3t-one", "TOKENFETCH_ENKASH_PASSWORD=wrong",
	}
	return e
}

func answering(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if strings.HasPrefix(body, "<") {
			w.Header().Set("Content-Type", "text/html")
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// slowly answers after d, or when the client is gone.
func slowly(d time.Duration, answer http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = r.Body.Read(make([]byte, 1<<10)) // net/http sees a client go only then
		select {
		case <-time.After(d):
			answer(w, r)
		case <-r.Context().Done():
		}
	}
}

// command is a run of the program; words of the form NAME=VALUE in front of its
// arguments are added to its environment.
func (e *enkash) command(words ...string) *exec.Cmd {
	environ := e.environ
	for strings.Contains(words[0], "=") {
		environ, words = append(environ[:len(environ):len(environ)], words[0]), words[1:]
	}
	c := exec.Command(filepath.Join(builtProgram(e.t), "tokenfetch"), words...)
	c.Env, c.Dir = environ, e.t.TempDir()
	c.Stdout, c.Stderr = new(bytes.Buffer), new(bytes.Buffer)
	return c
}

func (e *enkash) run(words ...string) outcome {
	e.t.Helper()
	c := e.command(words...)
	_ = c.Run()
	return outcome{fmt.Sprint(c.Stdout), fmt.Sprint(c.Stderr), c.ProcessState.ExitCode()}
}

// fails runs the program, which must end with the code and print no token.
func (e *enkash) fails(code string, words ...string) outcome {
	e.t.Helper()
	o := e.run(words...)
	if o.exit == 0 || o.stdout != "" || !strings.Contains(o.stderr, "("+code+")") {
		e.t.Errorf("%v: %+v, want %s", words, o, code)
	}
	return o
}

func (e *enkash) wantSeen(want int32) {
	e.t.Helper()
	if got := e.seen.Load(); got != want {
		e.t.Errorf("the provider has seen %d logins, want %d", got, want)
	}
}

// left is how many refusals status says are left.
func (e *enkash) left() string {
	e.t.Helper()
	o := e.run("status", "enkash")
	found := regexp.MustCompile(`refusals left +(.*), then`).FindStringSubmatch(o.stdout)
	if found == nil {
		return "not said"
	}
	return found[1]
}

// records returns the files that remember logins, by their suffix.
func (e *enkash) records(suffix string) []string {
	e.t.Helper()
	paths, err := filepath.Glob(filepath.Join(e.home, ".local/state/tokenfetch", "*"+suffix))
	if err != nil {
		e.t.Fatal(err)
	}
	return paths
}

// A proxy's answer says nothing of the account, and its password is sent once.
func TestProxyRefusalIsNotTheProviders(t *testing.T) {
	for _, status := range []int{400, 401, 403, 407, 409, 422, 423} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			e := newEnkash(t, nil)
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			var asked atomic.Int32
			go func() {
				_ = http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					asked.Add(1)
					answering(status, `{"error":"no"}`)(w, nil)
				}))
			}()
			for range 3 {
				e.fails("proxy_failed", "HTTPS_PROXY=http://user:pw@"+listener.Addr().String(), "TOKENFETCH_ENKASH_BASE_URL=https://192.0.2.1",
					"enkash", "--retry", "2", "--timeout", "20s")
			}
			if asked.Load() != 3 {
				t.Errorf("the proxy was asked %d times", asked.Load())
			}
			if kept := append(e.records(".record"), e.records(".count")...); len(kept) > 0 {
				t.Errorf("recorded: %v", kept)
			}
			if o := e.run("TOKENFETCH_ENKASH_BASE_URL=https://192.0.2.1", "status", "enkash"); !strings.Contains(squeeze(o.stdout), "refusals left 3,") {
				t.Errorf("%+v", o)
			}
		})
	}
}

// A login whose answer nobody waited for may have failed.
func TestLoginsWithoutAnAnswerCount(t *testing.T) {
	refusal := answering(400, `{"error":"invalid_grant"}`)
	for _, test := range []struct {
		name string
		end  syscall.Signal // 0 for the time limit
	}{{"the time limit", 0}, {"Ctrl-C", syscall.SIGINT}, {"kill", syscall.SIGKILL}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			e := newEnkash(t, slowly(5*time.Second, refusal))
			send := func(words ...string) {
				t.Helper()
				before := e.seen.Load()
				words = append(words, "enkash")
				if test.end == 0 {
					words = append(words, "--timeout", "1s")
				}
				c := e.command(words...)
				if err := c.Start(); err != nil {
					t.Fatal(err)
				}
				ended := make(chan error, 1)
				go func() { ended <- c.Wait() }()
				for test.end != 0 && e.seen.Load() == before {
					select {
					case err := <-ended:
						t.Errorf("not sent: %v %s", err, c.Stderr)
						return
					case <-time.After(5 * time.Millisecond):
					}
				}
				if test.end != 0 {
					_ = c.Process.Signal(test.end)
				}
				<-ended
			}
			send()
			e.wantSeen(1)
			if left := e.left(); left != "2" {
				t.Errorf("refusals left: %s", left)
			}
			o := e.fails("outcome_unknown", "enkash")
			if o.exit != 5 || !strings.Contains(o.stderr, "--try-anyway") {
				t.Errorf("%+v", o)
			}
			if o := e.run("enkash", "--errors", "json"); !regexp.MustCompile(`"exit":5,"class":"later","code":"outcome_unknown".*"sent":"no","attempts":0,"retryable":true,"retry_after_s":(600|5[89]\d)`).MatchString(o.stderr) {
				t.Errorf("%+v", o)
			}
			e.wantSeen(1)
			send("TOKENFETCH_ENKASH_PASSWORD=wrong-2") // another password is another try
			e.wantSeen(2)
			for i := range 4 {
				e.fails("held_back", fmt.Sprintf("TOKENFETCH_ENKASH_PASSWORD=wrong-%d", i+3), "enkash")
			}
			e.wantSeen(2)
			if o := e.run("status", "enkash"); o.exit != 4 {
				t.Errorf("%+v", o)
			}
		})
	}
}

// The password was changed at the provider: a login that nobody waited for was a
// failed one, as the refusal of the same credentials shows.
func TestChangedPasswordWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	const works, hangs, refuses = 0, 1, 2
	var now atomic.Int32
	refusal := answering(400, `{"error":"invalid_grant"}`)
	e := newEnkash(t, func(w http.ResponseWriter, r *http.Request) {
		switch now.Load() {
		case works:
			answering(200, `{"access_token":"tok-1","token_type":"bearer","expires_in":1}`)(w, r)
		case hangs:
			slowly(5*time.Second, refusal)(w, r)
		default:
			refusal(w, r)
		}
	})
	if o := e.run("enkash"); o.exit != 0 {
		t.Fatalf("%+v", o)
	}
	now.Store(hangs)
	e.fails("timeout", "enkash", "--timeout", "1s")
	now.Store(refuses)
	e.fails("provider_refused", "enkash")
	e.fails("held_back", "TOKENFETCH_ENKASH_PASSWORD=another", "enkash")
	e.wantSeen(3) // with the one that worked
}

// Credentials that have worked lose only that when an answer fails to come.
func TestProvenCredentialsWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	var slow atomic.Bool
	token := answering(200, `{"access_token":"tok-1","token_type":"bearer","expires_in":300}`)
	e := newEnkash(t, func(w http.ResponseWriter, r *http.Request) {
		if slow.Load() {
			slowly(5*time.Second, token)(w, r)
			return
		}
		token(w, r)
	})
	fetch := func() {
		t.Helper()
		if o := e.run("enkash"); o.exit != 0 || o.stdout != "tok-1\n" {
			t.Errorf("%+v", o)
		}
	}
	fetch()
	slow.Store(true)
	e.fails("timeout", "enkash", "--timeout", "1s")
	if left := e.left(); left != "3" {
		t.Errorf("refusals left: %s", left)
	}
	slow.Store(false)
	fetch()
	slow.Store(true)
	e.fails("timeout", "enkash", "--timeout", "1s")
	e.fails("timeout", "enkash", "--timeout", "1s") // no longer proven
	e.fails("outcome_unknown", "enkash")
	slow.Store(false)
	if o := e.run("enkash", "--try-anyway"); o.exit != 0 {
		t.Errorf("%+v", o)
	}
	fetch()
	e.wantSeen(7)
}

// Neither another spelling of the account nor another company starts a new count.
func TestOtherSpellingsAreTheSameAccount(t *testing.T) {
	t.Parallel()
	e := newEnkash(t, nil)
	for i, change := range [][]string{
		nil,
		{"TOKENFETCH_ENKASH_USERNAME=OPS@example.com"},
		{"TOKENFETCH_ENKASH_CLIENT_ID=CEK2"},
		{"TOKENFETCH_ENKASH_COMPANY_ID=CEK3"},
		{"TOKENFETCH_ENKASH_USERNAME=Ops@Example.com", "TOKENFETCH_ENKASH_PASSWORD=other"},
		{"TOKENFETCH_ENKASH_CLIENT_SECRET=s3cr3t-two"},
	} {
		code := "provider_refused"
		if i > 1 {
			code = "held_back"
		}
		e.fails(code, append(change, "enkash")...)
	}
	e.wantSeen(2)
	e.fails("provider_refused", "TOKENFETCH_ENKASH_USERNAME=somebody@else.example", "enkash")
	e.wantSeen(3)
}

// A host is the same one in upper case, and with the port that its scheme has
// anyway.
func TestOtherSpellingsOfTheHostAreTheSameAccount(t *testing.T) {
	t.Parallel()
	e := newEnkash(t, nil)
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(e.environ[2], "TOKENFETCH_ENKASH_BASE_URL=http://"))
	e.refusedTwiceThenHeld("http://localhost:"+port, "http://LOCALHOST:"+port, "http://LocalHost:"+port+"/", "http://localhost:"+port)

	// The default port of http belongs to root on most systems.
	pid := os.Getpid()
	host := fmt.Sprintf("127.%d.%d.77", 1+pid>>8%200, pid%256)
	listener, err := net.Listen("tcp", host+":80")
	if err != nil {
		t.Skipf("the default port cannot be listened at: %v", err)
	}
	e = newEnkash(t, nil)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		e.seen.Add(1)
		answering(400, `{"error":"invalid_grant"}`)(w, nil)
	}), ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	e.refusedTwiceThenHeld("http://"+host, "http://"+host+":80", "http://"+host+"/", "http://"+host+":80/")
}

// refusedTwiceThenHeld sends another wrong password to each of the addresses in
// turn: the provider sees two.
func (e *enkash) refusedTwiceThenHeld(addresses ...string) {
	e.t.Helper()
	for i, address := range addresses {
		code := "provider_refused"
		if i > 1 {
			code = "held_back"
		}
		e.fails(code, "TOKENFETCH_ENKASH_BASE_URL="+address, fmt.Sprintf("TOKENFETCH_ENKASH_PASSWORD=wrong-%d", i), "enkash")
	}
	e.wantSeen(2)
}

// What a clock that was ahead has recorded ends, and can be lifted.
func TestRecordsOfAClockThatWasAhead(t *testing.T) {
	t.Parallel()
	e := newEnkash(t, nil)
	e.fails("provider_refused", "enkash")
	e.fails("provider_refused", "TOKENFETCH_ENKASH_PASSWORD=other", "enkash")
	ahead := func() {
		t.Helper()
		for _, path := range append(e.records(".record"), e.records(".count")...) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var kept map[string]any
			if err := json.Unmarshal(data, &kept); err != nil {
				t.Fatal(err)
			}
			kept["refused"] = time.Now().AddDate(5, 0, 0).UTC()
			if data, err = json.Marshal(kept); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	ahead()
	if o := e.fails("held_back", "enkash"); !strings.Contains(o.stderr, "for another 24 hours") {
		t.Errorf("%+v", o)
	}
	for _, path := range e.records(".count") {
		if year := fmt.Sprintf(`"%d-`, time.Now().AddDate(5, 0, 0).UTC().Year()); strings.Contains(readFile(t, path), year) {
			t.Errorf("%s still has the time of that clock: it would hold for ever", path)
		}
	}
	ahead()
	e.fails("provider_refused", "enkash", "--try-anyway")
	e.wantSeen(3)
}

// A hold that a clock which was ahead has recorded lasts as long as any other, from
// when it is first seen.
func TestHoldOfAClockThatWasAhead(t *testing.T) {
	t.Parallel()
	s := newShared(t)
	const wrong = "TOKENFETCH_ZEEPAY_PASSWORD=wrong"
	s.run(wrong, "zeepay")
	records, err := filepath.Glob(filepath.Join(s.home, ".local/state/tokenfetch/*.record"))
	if err != nil || len(records) != 1 {
		t.Fatalf("%v, %v", records, err)
	}
	now := readFile(t, records[0])
	ahead := regexp.MustCompile(`"20\d\d-`).ReplaceAllString(now, `"2099-`)
	writeFile(t, records[0], ahead, 0o600)
	if o := s.run(wrong, "zeepay"); o.exit != 4 || !strings.Contains(o.stderr, "held back for another 10 minutes (held_back)") {
		t.Errorf("%+v", o)
	}
	if kept := readFile(t, records[0]); strings.Contains(kept, `"2099-`) {
		t.Errorf("it would hold for ever: %s", kept)
	}
	writeFile(t, records[0], ahead, 0o600)
	if o := s.run(wrong, "zeepay", "--try-anyway"); o.exit != 4 || strings.Contains(o.stderr, "held_back") {
		t.Errorf("%+v", o)
	}
	s.wantRequests(2)
}

// Where an account may be locked, any answer without a token counts, unless it
// only asks to come later or is a gateway's page.
func TestEveryAnswerWithoutATokenCounts(t *testing.T) {
	for _, test := range []struct {
		name, body string
		status     int
		code       string
		seen       int32 // of six runs
	}{
		{"412", `{"message":"precondition"}`, 412, "not_a_token_endpoint", 2},
		{"an unknown envelope", `{"code":1}`, 200, "no_token", 2},
		{"404 in JSON", `{"path":"/oauth/token"}`, 404, "not_a_token_endpoint", 2},
		{"202", `{}`, 202, "unexpected_status", 2},
		{"broken JSON", `{"error":"invalid_grant"`, 200, "not_json", 2},
		{"too much JSON", `{"error":"` + strings.Repeat("x", 2<<20) + `"}`, 412, "not_a_token_endpoint", 2},
		{"a page", `<html>not found</html>`, 404, "not_a_token_endpoint", 6},
		{"too many requests", `{}`, 429, "rate_limited", 6},
		{"closed", `{}`, 503, "provider_error", 6},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			e := newEnkash(t, answering(test.status, test.body))
			for i := range 6 {
				code := test.code
				if int32(i) >= test.seen {
					code = "held_back"
				}
				e.fails(code, fmt.Sprintf("TOKENFETCH_ENKASH_PASSWORD=wrong-%d", i), "enkash")
			}
			e.wantSeen(test.seen)
			if test.seen == 6 {
				e.fails(test.code, "enkash")
				if left := e.left(); left != "3" {
					t.Errorf("refusals left: %s", left)
				}
			}
		})
	}
}

// Nothing can be remembered: that is said, with a way out, and no number.
func TestNowhereToRecordRefusals(t *testing.T) {
	foreign := t.TempDir()
	if os.Getuid() == 0 {
		if err := os.Chown(foreign, 12345, 12345); err != nil {
			t.Fatal(err)
		}
	} else {
		foreign = "/"
	}
	full := t.TempDir()
	for name, environ := range map[string][]string{
		"no home":                           {"HOME="},
		"a foreign home":                    {"HOME=" + foreign},
		"a directory that others can write": {"XDG_STATE_HOME=" + openState(t)},
		"a full disk":                       {"HOME=" + full},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnkash(t, nil)
			c := e.command(append(environ, "enkash")...)
			if name == "a full disk" {
				c.Path, c.Args = "/bin/sh", append([]string{"sh", "-c", `ulimit -f 0; exec "$@"`, "sh", c.Path}, c.Args[1:]...)
			}
			_ = c.Run()
			said := fmt.Sprint(c.Stderr)
			if !strings.Contains(said, "this could not be recorded: ") || !strings.Contains(said, "StateDirectory=tokenfetch") ||
				!strings.Contains(said, "locks the account after 3 refusals in a row") || strings.Contains(said, "left, as far as") {
				t.Errorf("%s", said)
			}
			o := e.run(append(environ, "status", "enkash")...)
			if strings.Contains(o.stdout, "refusals left") && name != "a full disk" {
				t.Errorf("%s", o.stdout)
			}
		})
	}
	t.Run("HOME=/ of a user without rights", func(t *testing.T) {
		t.Parallel()
		nobodysDir(t) // who can run the program
		e := newEnkash(t, nil)
		for range 2 {
			c := e.command("HOME=/", "enkash")
			c.Dir = "/"
			asNobody(c)
			_ = c.Run()
			const want = `tokenfetch: error: enkash/default: EnKash refused the credentials or the request (status 400); provider says "Bad credentials" code "invalid_grant" (provider_refused)
tokenfetch: hint: correct the credentials; the secrets come from TOKENFETCH_ENKASH_CLIENT_SECRET and TOKENFETCH_ENKASH_PASSWORD
tokenfetch: hint: EnKash locks the account after 3 refusals in a row
tokenfetch: hint: if this computer's address was not on the list of EnKash, run once it is: tokenfetch enkash --try-anyway
tokenfetch: hint: this could not be recorded: set XDG_STATE_HOME to a directory of yours with space left (StateDirectory=tokenfetch in a systemd unit)
`
			if got := fmt.Sprint(c.Stderr); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		e.wantSeen(2)
	})
	t.Run("a service of systemd", func(t *testing.T) {
		t.Parallel()
		e := newEnkash(t, nil)
		state := t.TempDir()
		if err := os.Chmod(state, 0o755); err != nil {
			t.Fatal(err)
		}
		service := []string{"HOME=" + foreign, "STATE_DIRECTORY=" + state + ":/var/lib/other", "CACHE_DIRECTORY=" + state}
		e.fails("provider_refused", append(service, "enkash")...)
		e.fails("held_back", append(service, "enkash")...)
		e.wantSeen(1)
		if info, err := os.Stat(filepath.Join(state, "tokenfetch")); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%v, %v", info, err)
		}
	})
}

// openState is a state directory whose part for us others can write.
func openState(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tokenfetch")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return filepath.Dir(dir)
}

// A copy of the home directory, or a chmod of all of it, lets others read what is
// remembered: it is remembered all the same, and is the user's alone again.
func TestRememberedWhereOthersCouldRead(t *testing.T) {
	e := newEnkash(t, nil)
	state := filepath.Join(e.home, ".local/state/tokenfetch")
	for i := range 5 {
		code := "provider_refused"
		if i >= 2 {
			code = "held_back"
		}
		e.fails(code, fmt.Sprintf("TOKENFETCH_ENKASH_PASSWORD=wrong-%d", i), "enkash")
		if info, err := os.Stat(state); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%v, %v", info, err)
		}
		if out, err := exec.Command("chmod", "-R", "go+rX", e.home).CombinedOutput(); err != nil {
			t.Fatalf("%s", out)
		}
	}
	e.wantSeen(2)
	if left := e.left(); left != "1" {
		t.Errorf("refusals left: %s", left)
	}
}

// Each way out that a hint names works.
func TestWaysOutOfAnAccountThatIsHeld(t *testing.T) {
	t.Parallel()
	var works atomic.Bool
	e := newEnkash(t, func(w http.ResponseWriter, r *http.Request) {
		if works.Load() {
			answering(200, `{"access_token":"tok-2","token_type":"bearer"}`)(w, r)
			return
		}
		answering(400, `{"error":"invalid_grant"}`)(w, r)
	})
	e.fails("provider_refused", "enkash")
	o := e.fails("provider_refused", "TOKENFETCH_ENKASH_PASSWORD=wrong-2", "enkash")
	if !strings.Contains(o.stderr, "nothing more is sent to this account from this computer for 24 hours; ") {
		t.Errorf("%+v", o)
	}
	o = e.fails("held_back", "enkash")
	const hint = "tokenfetch: hint: make sure that the account of enkash/default works at EnKash, and reset it there if need be; then run: tokenfetch enkash --try-anyway (which can be repeated)\n"
	if !strings.HasSuffix(o.stderr, hint) {
		t.Errorf("%+v", o)
	}

	// Clearing the holds works without a keychain, and says that the count stays.
	o = e.run("cache", "clear", "enkash", "--holds")
	if o.exit != 0 || o.stdout != "" || !strings.Contains(o.stderr, "note: the count of failed logins to this account (2; EnKash locks it after 3) stays") || !strings.Contains(o.stderr, "--try-anyway") {
		t.Errorf("%+v", o)
	}
	if len(e.records(".record")) > 0 {
		t.Error("the holds are still there")
	}
	if o := e.run("cache", "clear", "--holds"); o.exit != 0 || !strings.Contains(o.stderr, "--try-anyway") {
		t.Errorf("%+v", o)
	}
	e.fails("held_back", "enkash")
	e.wantSeen(2)

	// login meets the count too.
	secrets := t.TempDir()
	for _, name := range []string{"cs", "pw"} {
		if err := os.WriteFile(filepath.Join(secrets, name), []byte("right\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	base := strings.TrimPrefix(e.environ[2], "TOKENFETCH_ENKASH_BASE_URL=")
	login := []string{
		"login", "enkash/new", "--base-url", base, "--client-id", "CEK1", "--username", "ops@example.com",
		"--client-secret-file", filepath.Join(secrets, "cs"), "--password-file", filepath.Join(secrets, "pw"), "--store", "files", "--verify",
	}
	e.environ = e.environ[:2]
	o = e.fails("held_back", login...)
	if strings.Contains(o.stderr, "--verify=false") || !strings.Contains(o.stderr, "--try-anyway") {
		t.Errorf("%+v", o)
	}
	works.Store(true)
	if o := e.run(append(login, "--try-anyway")...); o.exit != 0 {
		t.Errorf("%+v", o)
	}
	e.wantSeen(3)
	if o := e.run("enkash/new"); o.exit != 0 || o.stdout != "tok-2\n" {
		t.Errorf("%+v", o)
	}
}

// Many at once, each with another wrong password, while the answers are slow.
func TestManyWrongPasswordsAtOnce(t *testing.T) {
	t.Parallel()
	e := newEnkash(t, slowly(200*time.Millisecond, answering(412, `{"message":"no"}`)))
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() { e.run(fmt.Sprintf("TOKENFETCH_ENKASH_PASSWORD=wrong-%d", i), "enkash", "--timeout", "20s") })
	}
	all.Wait()
	e.wantSeen(2)
}
