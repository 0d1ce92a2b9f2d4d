package cmd

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// desk is a computer with a person at its terminal, a home directory and a
// keychain that is a directory.
type desk struct {
	home, keychain string
}

func newDesk(t *testing.T) desk {
	t.Helper()
	return desk{t.TempDir(), t.TempDir()}
}

func (d desk) profiles() string {
	return filepath.Join(d.home, ".config", "tokenfetch", "profiles.toml")
}

// login prepares a run of login with the fake keychain on a terminal of its own.
// The standard streams lead elsewhere.
func (d desk) login(t *testing.T, environ []string, args ...string) (tt *terminal, stderr *bytes.Buffer) {
	t.Helper()
	path, err := exec.LookPath("tokenfetch") // the test program under this name
	check.OK(t, err)
	tt = newTerminal(t, append([]string{
		"HOME=" + d.home, "TEST_KEYCHAIN=" + d.keychain, "TEST_KEYCHAIN_WRITES=1", "TEST_TERMINAL=1", "GORACE=atexit_sleep_ms=0",
	}, environ...), append([]string{"login"}, args...)...)
	stderr = new(bytes.Buffer)
	tt.cmd.Path = path
	tt.cmd.Args[0] = path
	tt.cmd.Stdin, tt.cmd.Stdout, tt.cmd.Stderr = nil, &tt.stdout, stderr
	tt.cmd.ExtraFiles = []*os.File{tt.slave}
	tt.cmd.SysProcAttr.Ctty = 3
	return tt, stderr
}

func (d desk) item(t *testing.T, account string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(d.keychain, url.PathEscape(account)))
	if err != nil {
		return ""
	}
	return string(data)
}

// answer waits for a question, the last thing on the screen and newer than the
// last answer, and types a line. The last line of question is folded as on the screen.
func (tt *terminal) answer(t *testing.T, question, text string) {
	t.Helper()
	last := strings.LastIndex(question, "\n") + 1
	question = question[:last] + strings.ReplaceAll(fold(strings.TrimSuffix(question[last:], " "), 0, 4, maxColumns-1), "\n", "\r\n") + " "
	tt.until(t, question, func() bool {
		shown := tt.shown()
		return len(shown) > tt.answered && strings.HasSuffix(shown, question)
	})
	tt.answered = len(tt.shown())
	if strings.Contains(question, "not shown") {
		tt.until(t, "the echo turned off", func() bool { return !tt.echo(t) })
	}
	tt.typeText(t, text+"\n")
}

// ended waits for the end of a run that works.
func (tt *terminal) ended(t *testing.T, stderr *bytes.Buffer) {
	t.Helper()
	if err := tt.cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, tt.shown(), stderr)
	}
	if tt.stdout.Len() > 0 {
		t.Errorf("on standard output: %q", tt.stdout.String())
	}
	if !tt.echo(t) {
		t.Error("the terminal is left without echo")
	}
	for name, canary := range canaries {
		if leak(tt.shown(), canary) != "" || leak(stderr.String(), canary) != "" {
			t.Errorf("%s came out: %q %q", name, tt.shown(), stderr)
		}
	}
}

// TestLoginAsks: every question is on the terminal and nowhere else, an answer
// that breaks a rule is asked for again, and no secret is shown.
func TestLoginAsks(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	address, requests := pickyServer(t, "")
	host := strings.TrimPrefix(address, "http://")
	tt, stderr := d.login(t, nil, "zeepay/ci", "--timeout", "2s")
	tt.start(t)
	const environment = "environment, by number or name, or https://HOST of another: "
	tt.answer(t, environment, "4")
	tt.answer(t, environment, "http://example.com")
	tt.answer(t, environment, address)
	const clientID = "client_id (client id issued at onboarding, often a number): "
	tt.answer(t, clientID, "")
	tt.answer(t, clientID, " 42\t ")
	const secretQuestion = "client_secret (client secret issued at onboarding; not shown): "
	tt.answer(t, secretQuestion, "")
	tt.answer(t, secretQuestion, canaries["CLIENT_SECRET"]+"\x1b[D")
	tt.answer(t, secretQuestion, canaries["CLIENT_SECRET"])
	const username = "username (e-mail address the account was created with): "
	time.Sleep(2200 * time.Millisecond) // which is longer than the limit, and a person's
	tt.answer(t, username, "a\x1b[Db")
	tt.answer(t, username, "ops@example.com")
	tt.answer(t, "password (password of the account; not shown): ", canaries["PASSWORD"])
	tt.ended(t, stderr)

	want := `Zeepay, profile ci
  1  test         https://test.digitaltermination.com
  2  sandbox      https://business-sandbox.instntmny.com
  3  production   https://shop.digitaltermination.com  (only listed addresses)
` + environment + `4
  the answer is none of them: test, sandbox, production
` + environment + `http://example.com
  the answer cannot be used: https required: the base address uses http, which
    is only for loopback addresses
` + environment + address + `
zeepay/ci at ` + host + `
` + clientID + `
  the answer is empty
` + clientID + ` 42	 
` + secretQuestion + `
  the answer is empty
` + secretQuestion + `
  the answer contains a control character, such as an arrow key makes
` + secretQuestion + `
` + username + `a^[[Db
  the answer contains a control character, such as an arrow key makes
` + username + `ops@example.com
password (password of the account; not shown): 
`
	if got := strings.ReplaceAll(tt.shown(), "\r\n", "\n"); got != want {
		t.Errorf("the screen shows %q\nwant %q", got, want)
	}
	wantErr := "tokenfetch: note: Zeepay gave a token for these credentials\n" +
		"tokenfetch: note: the profile [zeepay.ci] is written to " + d.profiles() + "\n" +
		"tokenfetch: note: stored in the keychain, for " + host + " alone: client_secret and password\n" +
		"tokenfetch: hint: fetch a token with: tokenfetch zeepay/ci\n"
	if stderr.String() != wantErr {
		t.Errorf("standard error %q\nwant %q", stderr, wantErr)
	}
	if requests.Load() != 1 {
		t.Errorf("%d requests, want 1", requests.Load())
	}
	wantFile := "[zeepay.ci]\n# client_secret and password: read from the keychain by default\n" +
		"base_url  = \"" + address + "\"\nclient_id = \"42\"\nusername  = \"ops@example.com\"\n"
	if got := readFile(t, d.profiles()); got != wantFile {
		t.Errorf("the file holds %q\nwant %q", got, wantFile)
	}
	for field, canary := range map[string]string{"client_secret": "CLIENT_SECRET", "password": "PASSWORD"} {
		if got := d.item(t, "zeepay/ci/"+field+"@"+host); got != canaries[canary] {
			t.Errorf("%s is stored as %q", field, got)
		}
	}
}

// TestLoginAsksAgain rotates one secret of a profile, and then changes the rest.
func TestLoginAsksAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	check.OK(t, os.MkdirAll(filepath.Dir(d.profiles()), 0o700))
	const file = "[fincode.default]\nenvironment = \"tenant-v6\"\nclient_id = \"c\\u001b[2J\"\nusername = { env = \"WHO\" }\ntenant = \"acme\"\n"
	writeFile(t, d.profiles(), file, 0o600)
	const account = "fincode/default/client_secret@acme.fincode.software"
	writeFile(t, filepath.Join(d.keychain, url.PathEscape(account)), "stored", 0o600)

	tt, stderr := d.login(t, nil, "fincode", "--verify=false")
	tt.start(t)
	tt.answer(t, "client_secret (client secret, the password part of the Basic pair; not shown; Enter keeps the stored one): ", "")
	tt.answer(t, "password (password of the API account; not shown): ", canaries["PASSWORD"])
	tt.ended(t, stderr)
	if got := readFile(t, d.profiles()); got != file {
		t.Errorf("the file holds %q", got)
	}
	if got := d.item(t, account); got != "stored" {
		t.Errorf("the secret that was kept is now %q", got)
	}
	if got := d.item(t, "fincode/default/password@acme.fincode.software"); got != canaries["PASSWORD"] {
		t.Errorf("the new secret is %q", got)
	}

	// What the profile has is shown, harmless, and is kept by an empty answer.
	tt, stderr = d.login(t, nil, "fincode", "--replace", "--verify=false")
	tt.start(t)
	tt.answer(t, "environment, by number or name, or https://HOST of another [tenant-v6]: ", "3")
	// A part of the host's name comes before the secrets that go to it.
	tt.answer(t, "tenant (your tenant's subdomain, for the tenant environments) [acme]: ", "a.b")
	tt.until(t, "the rule", func() bool { return strings.Contains(tt.shown(), "tenant is not one host name label") })
	tt.answer(t, "tenant (your tenant's subdomain, for the tenant environments) [acme]: ", "")
	tt.answer(t, "\r\nfincode/default at acme.fincode.software\r\n"+`client_id (client id, the user part of the Basic pair) [c\x1b[2J]: `, "")
	tt.answer(t, "client_secret (client secret, the password part of the Basic pair; not shown; Enter keeps the stored one): ", "")
	tt.answer(t, "password (password of the API account; not shown; Enter keeps the stored one): ", "")
	tt.ended(t, stderr)
	if got, want := readFile(t, d.profiles()), strings.Replace(file, "tenant-v6", "tenant-v1", 1); got != want {
		t.Errorf("the file holds %q, want %q", got, want)
	}
}

// TestLoginDefault: a field that may be left out is asked for, with what it is then.
func TestLoginDefault(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	secretFile := filepath.Join(d.home, "secret")
	writeFile(t, secretFile, canaries["PASSWORD"], 0o600)
	tt, stderr := d.login(t, nil, "enkash", "-e", "uat", "--client-id", "c", "--username", "u", "--client-secret-file", secretFile, "--password-file", secretFile, "--verify=false")
	tt.start(t)
	tt.answer(t, "company_id (company id of the partner, sent as clientId; default: the client id): ", "")
	tt.ended(t, stderr)
	want := "[enkash.default]\n# client_secret and password: read from the keychain by default\n" +
		"environment = \"uat\"\nclient_id   = \"c\"\nusername    = \"u\"\n"
	if got := readFile(t, d.profiles()); got != want {
		t.Errorf("the file holds %q\nwant %q", got, want)
	}
}

// TestLoginTellsTheHostOnce: before the secret, and of a definition of the user's own
// in the words that say what follows from it.
func TestLoginTellsTheHostOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	providers := filepath.Join(filepath.Dir(d.profiles()), "providers")
	check.OK(t, os.MkdirAll(providers, 0o700))
	writeFile(t, filepath.Join(providers, "acme.toml"), "[oauth2]\ntoken_url = \"https://auth.acme.example/token\"\n", 0o600)
	tt, stderr := d.login(t, nil, "acme", "--verify=false", "--client-id", "42")
	tt.start(t)
	tt.answer(t, "acme/default: the secrets go to auth.acme.example\r\nclient_secret (client secret; not shown): ", " "+canaries["CLIENT_SECRET"])
	tt.ended(t, stderr)
	want := "tokenfetch: warning: client_secret begins or ends with a blank, which belongs to it\n"
	if !strings.HasPrefix(stderr.String(), want) || strings.Contains(stderr.String(), "the secrets go to") {
		t.Errorf("standard error %q", stderr)
	}
	if got := d.item(t, "acme/default/client_secret@auth.acme.example"); got != " "+canaries["CLIENT_SECRET"] {
		t.Errorf("stored %q", got)
	}
}

// TestLoginFrom: what another profile has is not asked for, except the host and the
// secrets.
func TestLoginFrom(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	check.OK(t, os.MkdirAll(filepath.Dir(d.profiles()), 0o700))
	const file = "[zeepay.default]\nenvironment = \"test\"\nclient_id = 42\n"
	writeFile(t, d.profiles(), file, 0o600)
	tt, stderr := d.login(t, nil, "zeepay/sandbox", "--from", "default", "--verify=false")
	tt.start(t)
	tt.answer(t, "environment, by number or name, or https://HOST of another: ", "sandbox")
	tt.answer(t, "zeepay/sandbox at business-sandbox.instntmny.com\r\n"+zeepaySecret, canaries["CLIENT_SECRET"])
	tt.answer(t, "username (e-mail address the account was created with): ", "ops@example.com")
	tt.answer(t, zeepayPassword, canaries["PASSWORD"])
	tt.ended(t, stderr)
	want := file + "\n[zeepay.sandbox]\n# client_secret and password: read from the keychain by default\n" +
		"environment = \"sandbox\"\nclient_id   = \"42\"\nusername    = \"ops@example.com\"\n"
	if got := readFile(t, d.profiles()); got != want {
		t.Errorf("the file holds %q\nwant %q", got, want)
	}
}

// pickyServer is a token endpoint that refuses every request without right in its
// body, and counts.
func pickyServer(t *testing.T, right string) (address string, requests *atomic.Int32) {
	t.Helper()
	requests = new(atomic.Int32)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if !strings.Contains(string(body), right) {
			answering(http.StatusBadRequest, `{"error":"invalid_grant","error_description":"Bad\u001b credentials"}`)(w, r)
			return
		}
		answering(http.StatusOK, `{"access_token":"`+canaries["TOKEN"]+`","token_type":"Bearer","expires_in":600}`)(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL, requests
}

func answering(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

const (
	zeepaySecret   = "client_secret (client secret issued at onboarding; not shown): "
	zeepayPassword = "password (password of the account; not shown): "
	zeepayAgain    = "password (password of the account; not shown; Enter keeps the last one): "
)

const (
	// clientIDAgain and secretAgain are the first questions after a refusal.
	clientIDAgain = nothingStored + "client_id (client id issued at onboarding, often a number) [1]: "
	secretAgain   = nothingStored + zeepaySecretAgain

	nothingStored     = "  nothing is stored yet: try again, or end with Ctrl-C\r\n"
	zeepaySecretAgain = "client_secret (client secret issued at onboarding; not shown; Enter keeps the last one): "
	zeepayUser        = "username (e-mail address the account was created with)"
)

// TestLoginCorrected: after a refusal the person can correct every answer and keep the
// others, and what was refused is not sent a second time.
func TestLoginCorrected(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	address, requests := pickyServer(t, "username=right&password="+canaries["PASSWORD"])
	host := strings.TrimPrefix(address, "http://")
	tt, stderr := d.login(t, nil, "zeepay", "--base-url", address)
	tt.start(t)
	tt.answer(t, "client_id (client id issued at onboarding, often a number): ", "1")
	tt.answer(t, zeepaySecret, canaries["CLIENT_SECRET"])
	tt.answer(t, zeepayUser+": ", "wrong")
	tt.answer(t, zeepayPassword, "a wrong one")
	tt.answer(t, "  Zeepay refused the credentials or the request (status 400); provider says\r\n"+
		`    "Bad\\x1b credentials" code "invalid_grant"`+"\r\n"+clientIDAgain, "")
	tt.answer(t, zeepaySecretAgain, "")
	tt.answer(t, zeepayUser+" [wrong]: ", "")
	tt.answer(t, zeepayAgain, "a wrong one")
	tt.answer(t, "  these were refused\r\nclient_id (client id issued at onboarding, often a number) [1]: ", "")
	if n := requests.Load(); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
	tt.answer(t, zeepaySecretAgain, "")
	tt.answer(t, zeepayUser+" [wrong]: ", "")
	tt.answer(t, zeepayAgain, canaries["PASSWORD"])
	tt.answer(t, clientIDAgain, "")
	tt.answer(t, zeepaySecretAgain, "")
	tt.answer(t, zeepayUser+" [wrong]: ", " right")
	tt.answer(t, zeepayAgain, "")
	tt.ended(t, stderr)
	if n := requests.Load(); n != 3 {
		t.Errorf("%d requests, want 3", n)
	}
	if a, b := d.item(t, "zeepay/default/client_secret@"+host), d.item(t, "zeepay/default/password@"+host); a != canaries["CLIENT_SECRET"] || b != canaries["PASSWORD"] {
		t.Errorf("stored %q and %q", a, b)
	}
	if want := "\nclient_id = \"1\"\nusername  = \"right\"\n"; !strings.HasSuffix(readFile(t, d.profiles()), want) {
		t.Errorf("the file holds %q", readFile(t, d.profiles()))
	}
	if want := "tokenfetch: note: Zeepay gave a token for these credentials\n"; !strings.HasPrefix(stderr.String(), want) {
		t.Errorf("standard error %q", stderr)
	}
}

// TestLoginAtAnotherAddress: what is at the address is not the provider, so the person
// gives another one, and nothing else again.
func TestLoginAtAnotherAddress(t *testing.T) {
	t.Parallel()
	address, requests := pickyServer(t, "")
	host := strings.TrimPrefix(address, "http://")
	page := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(page.Close)
	closed := "http://" + closedPort(t)
	d := newDesk(t)
	tt, stderr := d.login(t, nil, "fincode/new", "--username", "u")
	tt.start(t)
	const environment = "environment, by number or name, or https://HOST of another"
	tt.answer(t, environment+": ", page.URL)
	tt.answer(t, "client_id (client id, the user part of the Basic pair): ", "1")
	tt.answer(t, "client_secret (client secret, the password part of the Basic pair; not shown): ", canaries["CLIENT_SECRET"])
	tt.answer(t, "password (password of the API account; not shown): ", canaries["PASSWORD"])
	tt.until(t, "why", func() bool {
		return strings.Contains(tt.shown(), "  the address is not a token endpoint (status 404); text/plain, from\r\n    "+page.URL+"/oauth/token\r\n  check the base address\r\n"+nothingStored)
	})
	tt.answer(t, environment+" ["+page.URL+"]: ", closed)
	tt.until(t, "a way without the address", func() bool {
		return strings.Contains(tt.shown(), "network; to store\r\n    them without a try add --verify=false\r\n"+nothingStored)
	})
	for range 3 { // as often as it takes: nothing is sent
		tt.answer(t, environment+" ["+closed+"]: ", "")
	}
	tt.answer(t, environment+" ["+closed+"]: ", address)
	tt.ended(t, stderr)
	if n := strings.Count(tt.shown(), "fincode/new at "+host+"\r\n"); n != 1 || requests.Load() != 1 {
		t.Errorf("the host was told %d times, %d requests\n%s", n, requests.Load(), tt.shown())
	}
	if want := "base_url  = \"" + address + "\"\nclient_id = \"1\"\nusername  = \"u\"\n"; !strings.HasSuffix(readFile(t, d.profiles()), want) {
		t.Errorf("the file holds %q", readFile(t, d.profiles()))
	}
	for field, canary := range map[string]string{"client_secret": "CLIENT_SECRET", "password": "PASSWORD"} {
		if got := d.item(t, "fincode/new/"+field+"@"+host); got != canaries[canary] {
			t.Errorf("%s is stored as %q", field, got)
		}
	}
	if items, _ := os.ReadDir(d.keychain); len(items) != 2 {
		t.Errorf("the keychain has %v", items)
	}

	// The address of a profile that exists is not asked for where it is not to change.
	writeFile(t, d.profiles(), strings.Replace(readFile(t, d.profiles()), address, closed, 1), 0o600)
	tt, stderr = d.login(t, nil, "fincode/new")
	tt.start(t)
	tt.answer(t, "client_secret (client secret, the password part of the Basic pair; not shown): ", canaries["CLIENT_SECRET"])
	tt.answer(t, "password (password of the API account; not shown): ", canaries["PASSWORD"])
	_ = tt.cmd.Wait()
	if tt.cmd.ProcessState.ExitCode() != 6 || !strings.Contains(stderr.String(), "; nothing is stored (connect_failed)\n") {
		t.Errorf("%v\n%s", tt.cmd.ProcessState, stderr)
	}
}

// TestLoginRefused: a provider that says no three times leaves nothing behind. What
// another run has sent is held back, and can be corrected.
func TestLoginRefused(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	address, requests := pickyServer(t, "never")
	args := []string{"zeepay", "--base-url", address, "--client-id", "1", "--username", "u"}
	tt, stderr := d.login(t, nil, args...)
	tt.start(t)
	tt.answer(t, zeepaySecret, canaries["CLIENT_SECRET"])
	tt.answer(t, zeepayPassword, canaries["PASSWORD"])
	tt.answer(t, secretAgain, "another")
	tt.answer(t, zeepayAgain, "")
	tt.answer(t, secretAgain, "")
	tt.answer(t, zeepayAgain, "the third")
	d.refused(t, tt, stderr, "provider_refused")
	if n := requests.Load(); n != 3 {
		t.Errorf("%d requests, want 3", n)
	}

	tt, stderr = d.login(t, nil, args...)
	tt.start(t)
	tt.answer(t, zeepaySecret, canaries["CLIENT_SECRET"])
	tt.answer(t, zeepayPassword, canaries["PASSWORD"])
	tt.until(t, "that they are held back", func() bool { return strings.Contains(tt.shown(), "are held back for another 10 minutes") })
	tt.answer(t, secretAgain, "\x03")
	_ = tt.cmd.Wait()
	if n := requests.Load(); n != 3 || !tt.echo(t) || !strings.Contains(stderr.String(), "(interrupted)") {
		t.Errorf("%d requests, echo %v\n%s", n, tt.echo(t), stderr)
	}

	// A secret that a flag gives is not asked for.
	path := filepath.Join(d.home, "secret")
	writeFile(t, path, "from a flag", 0o600)
	tt, stderr = d.login(t, nil, append(args, "--client-secret-file", path, "--password-file", path)...)
	tt.start(t)
	d.refused(t, tt, stderr, "provider_refused")
	if strings.Contains(tt.shown(), "not shown") {
		t.Errorf("asked: %q", tt.shown())
	}
}

// refused waits for the end of a run that stores nothing.
func (d desk) refused(t *testing.T, tt *terminal, stderr *bytes.Buffer, code string) {
	t.Helper()
	err := tt.cmd.Wait()
	if tt.cmd.ProcessState.ExitCode() != 4 || !strings.Contains(stderr.String(), "; nothing is stored") || !strings.Contains(stderr.String(), "("+code+")\n") {
		t.Errorf("%v, want %s\n%s\n%s", err, code, stderr, tt.shown())
	}
	if _, err := os.Stat(d.profiles()); err == nil {
		t.Error("there is a profiles file")
	}
	if items, _ := os.ReadDir(d.keychain); len(items) > 0 {
		t.Errorf("there are items: %v", items)
	}
}

// TestLoginDoesNotLock: a person cannot lock the account of a provider that does so
// after three refusals, in one run or with those of earlier ones.
func TestLoginDoesNotLock(t *testing.T) {
	t.Parallel()
	const (
		secret   = "client_secret (client secret, the password part of the Basic pair; not shown): "
		password = "password (password of the account; not shown): "
		again    = nothingStored + "  EnKash locks the account after 3 refusals in a row\r\nclient_secret (client secret, the password part of the Basic pair; not shown; Enter keeps the last one): "
	)
	for _, state := range []string{"", "/dev/null"} { // where nothing can be recorded too
		d := newDesk(t)
		address, requests := pickyServer(t, "never")
		args := []string{"enkash", "--base-url", address, "--client-id", "1", "--username", "u", "--company-id", "2"}
		environ := []string{"XDG_STATE_HOME=" + state}
		tt, stderr := d.login(t, environ, args...)
		tt.start(t)
		tt.answer(t, secret, canaries["CLIENT_SECRET"])
		tt.answer(t, password, "wrong-1")
		tt.answer(t, again, "")
		tt.answer(t, zeepayAgain, "wrong-2")
		d.refused(t, tt, stderr, "provider_refused")
		if n := requests.Load(); n != 2 {
			t.Errorf("%d requests, want 2", n)
		}
		if state != "" {
			continue
		}
		for _, try := range []struct {
			args     []string
			code     string
			requests int32
		}{
			{args, "held_back", 2},
			{append(args, "--try-anyway"), "provider_refused", 3},
		} {
			tt, stderr = d.login(t, environ, try.args...)
			tt.start(t)
			tt.answer(t, secret, canaries["CLIENT_SECRET"])
			tt.answer(t, password, "wrong-3")
			d.refused(t, tt, stderr, try.code)
			if n := requests.Load(); n != try.requests {
				t.Errorf("%d requests, want %d", n, try.requests)
			}
		}
	}
}

// TestLoginDoesNotLockAnother: another user name, or another address, is no further try
// at a provider that locks accounts.
func TestLoginDoesNotLockAnother(t *testing.T) {
	t.Parallel()
	address, requests := pickyServer(t, "never")
	page := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(page.Close)
	const user = "username (registered e-mail address or mobile number)"
	d := newDesk(t)
	secretFile := filepath.Join(d.home, "secret")
	writeFile(t, secretFile, canaries["CLIENT_SECRET"], 0o600)
	args := []string{"enkash", "--client-id", "1", "--company-id", "2", "--client-secret-file", secretFile, "--password-file", secretFile, "--base-url"}
	tt, stderr := d.login(t, nil, append(args, address)...)
	tt.start(t)
	tt.answer(t, user+": ", "one")
	tt.answer(t, "  EnKash locks the account after 3 refusals in a row\r\n"+user+" [one]: ", "two")
	d.refused(t, tt, stderr, "provider_refused")

	tt, stderr = d.login(t, nil, append(args, page.URL)...)
	tt.start(t)
	tt.answer(t, user+": ", "three")
	tt.answer(t, "environment, by number or name, or https://HOST of another ["+page.URL+"]: ", address)
	d.refused(t, tt, stderr, "provider_refused")
	if n := requests.Load(); n != 3 {
		t.Errorf("%d requests, want 3", n)
	}
}

// TestLoginGivesUpEarly: nobody answers for a file that cannot be written, and a
// terminal that ends is no answer.
func TestLoginGivesUpEarly(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	tt, stderr := d.login(t, nil, "mpay")
	tt.start(t)
	tt.until(t, "the question", func() bool { return strings.HasSuffix(tt.shown(), "created): ") })
	tt.typeText(t, "\x04")
	_ = tt.cmd.Wait()
	if want := "the terminal gave no answer (no_terminal)"; tt.cmd.ProcessState.ExitCode() != 3 || !strings.Contains(stderr.String(), want) {
		t.Errorf("%v, want %q\n%s", tt.cmd.ProcessState, want, stderr)
	}
	check.OK(t, os.Mkdir(filepath.Join(d.home, "p.toml"), 0o700))
	tt, stderr = d.login(t, nil, "mpay", "--config", filepath.Join(d.home, "p.toml", "x", "..", "..", "dangling"))
	check.OK(t, os.Symlink("nowhere", filepath.Join(d.home, "dangling")))
	tt.start(t)
	_ = tt.cmd.Wait()
	if want := "it is a link that leads nowhere (profiles_unwritable)"; tt.cmd.ProcessState.ExitCode() != 3 || !strings.Contains(stderr.String(), want) {
		t.Errorf("%v, want %q\n%s", tt.cmd.ProcessState, want, stderr)
	}
	if strings.Contains(tt.shown(), ": ") {
		t.Errorf("asked: %q", tt.shown())
	}
}

// TestLoginInterrupted: however a question ends, the terminal is as it was, and
// nothing is stored.
func TestLoginInterrupted(t *testing.T) {
	t.Parallel()
	const username = "username (API user name, shared when the account was created): "
	for name, end := range map[string]struct {
		args   []string
		hidden bool
		stop   func(*testing.T, *terminal)
		want   syscall.Signal
	}{
		"Ctrl-C while a secret is typed": {
			[]string{"--username", "u"},
			true,
			func(t *testing.T, tt *terminal) { tt.typeText(t, "half\x03") }, syscall.SIGINT,
		},
		"SIGTERM while a secret is typed": {
			[]string{"--username", "u"},
			true,
			func(_ *testing.T, tt *terminal) { _ = tt.cmd.Process.Signal(syscall.SIGTERM) }, syscall.SIGTERM,
		},
		"Ctrl-C at an open question": {
			nil, false,
			func(t *testing.T, tt *terminal) { tt.typeText(t, "half\x03") }, syscall.SIGINT,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			tt, stderr := d.login(t, nil, append([]string{"mpay"}, end.args...)...)
			before, err := unix.IoctlGetTermios(int(tt.slave.Fd()), unix.TCGETS)
			check.OK(t, err)
			tt.start(t)
			if end.hidden {
				tt.until(t, "the echo turned off", func() bool { return !tt.echo(t) })
			} else {
				tt.until(t, "the question", func() bool { return strings.HasSuffix(tt.shown(), username) })
			}
			start := time.Now()
			end.stop(t, tt)
			_ = tt.cmd.Wait()
			if took := time.Since(start); took > time.Second {
				t.Errorf("took %v", took)
			}
			if status, _ := tt.cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != end.want {
				t.Errorf("ended with %v, want signal %v", tt.cmd.ProcessState, end.want)
			}
			after, err := unix.IoctlGetTermios(int(tt.slave.Fd()), unix.TCGETS)
			if err != nil || *after != *before {
				t.Errorf("the terminal was %+v and is %+v", before, after)
			}
			if got := stderr.String(); !strings.HasPrefix(got, "tokenfetch: error: mpay/default: ended by a signal: ") || !strings.HasSuffix(got, "; nothing was sent (interrupted)\n") {
				t.Errorf("standard error %q", stderr)
			}
			if items, _ := os.ReadDir(d.keychain); len(items) > 0 {
				t.Errorf("there are items: %v", items)
			}
		})
	}
}

// TestLoginStopped presses Ctrl-Z: while the program is stopped the terminal is
// as it was before, and afterwards the question goes on unseen.
func TestLoginStopped(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	tt, stderr := d.login(t, nil, "mpay", "--username", "u")
	// A shell with job control, so that somebody can let the program go on.
	tt.cmd.Args = append([]string{"sh", "-c", `set -m; "$@" </dev/null; echo "left it" >/dev/tty; read line </dev/tty; fg`, "sh"}, tt.cmd.Args...)
	shell, err := exec.LookPath("sh")
	check.OK(t, err)
	tt.cmd.Path = shell
	tt.start(t)
	tt.until(t, "the echo turned off", func() bool { return !tt.echo(t) })
	tt.typeText(t, "\x1a")
	tt.until(t, "the shell again", func() bool { return strings.Contains(tt.shown(), "left it") })
	if !tt.echo(t) {
		t.Error("while it is stopped there is no echo")
	}
	tt.typeText(t, "\n")
	tt.until(t, "the echo turned off again", func() bool { return !tt.echo(t) })
	tt.typeText(t, canaries["PASSWORD"]+"\n")
	_ = tt.cmd.Wait()
	if got := d.item(t, "mpay/default/password@api.mpayafrica.co.tz"); got != canaries["PASSWORD"] {
		t.Errorf("stored %q\n%s\n%s", got, tt.shown(), stderr)
	}
	if !tt.echo(t) || leak(tt.shown(), canaries["PASSWORD"]) != "" {
		t.Errorf("echo %v, screen %q", tt.echo(t), tt.shown())
	}
}

// TestLoginNotStopped presses Ctrl-Z where no shell could let the program go
// on: it does so by itself, and the answer is not shown.
func TestLoginNotStopped(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	tt, stderr := d.login(t, nil, "mpay", "--username", "u")
	tt.start(t)
	tt.until(t, "the echo turned off", func() bool { return !tt.echo(t) })
	tt.typeText(t, "\x1a")
	time.Sleep(50 * time.Millisecond)
	tt.until(t, "the echo turned off again", func() bool { return !tt.echo(t) })
	tt.typeText(t, canaries["PASSWORD"]+"\n")
	tt.ended(t, stderr)
	if got := d.item(t, "mpay/default/password@api.mpayafrica.co.tz"); got != canaries["PASSWORD"] {
		t.Errorf("stored %q", got)
	}
}

// TestTooLongForATerminal: an answer that the terminal may have cut is not taken.
func TestTooLongForATerminal(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	tt, stderr := d.login(t, nil, "mpay", "--username", "u")
	tt.start(t)
	const question = "password (API password, shared when the account was created; not shown): "
	tt.answer(t, question, strings.Repeat("k", 5000))
	tt.answer(t, "  the answer is longer than a terminal takes: use a flag\r\n"+question, canaries["PASSWORD"])
	tt.ended(t, stderr)
	if got := d.item(t, "mpay/default/password@api.mpayafrica.co.tz"); got != canaries["PASSWORD"] {
		t.Errorf("stored %q", got)
	}
}

// TestParallelLogins: many runs that write one file at the same time lose nothing,
// whatever state directory they have and whatever link they reach the file by.
func TestParallelLogins(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	secretFile := filepath.Join(d.home, "secret")
	writeFile(t, secretFile, canaries["PASSWORD"], 0o600)
	check.OK(t, os.MkdirAll(filepath.Dir(d.profiles()), 0o700))
	writeFile(t, d.profiles(), "# mine\n", 0o600)
	link := filepath.Join(d.home, "link.toml")
	check.OK(t, os.Symlink(d.profiles(), link))
	var all sync.WaitGroup
	run := func(i int, args ...string) {
		all.Go(func() {
			c := d.command(t, args...)
			c.Env = append(c.Env, fmt.Sprintf("XDG_STATE_HOME=%s/state%d", d.home, i%2))
			if i%3 == 0 {
				c.Env = append(c.Env, "TOKENFETCH_CONFIG="+link)
			}
			if out, err := c.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	for i := range 30 {
		run(i, "login", fmt.Sprintf("mpay/p%d", i), "--username", "u", "--password-file", secretFile)
	}
	all.Wait()
	text := readFile(t, d.profiles())
	for i := range 30 {
		if strings.Count(text, fmt.Sprintf("[mpay.p%d]\n", i)) != 1 || d.item(t, fmt.Sprintf("mpay/p%d/password@api.mpayafrica.co.tz", i)) == "" {
			t.Errorf("p%d is lost:\n%s", i, text)
		}
	}
	for i := range 30 {
		run(i, "logout", fmt.Sprintf("mpay/p%d", i), "--purge")
	}
	all.Wait()
	if got := readFile(t, d.profiles()); strings.Contains(got, "[") || !strings.HasPrefix(got, "# mine\n") {
		t.Errorf("after logout --purge of every profile the file holds %q", got)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(d.profiles()), "*")); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// command is a run without a terminal.
func (d desk) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.Command("tokenfetch", args...) // the test program under this name
	c.Env = []string{"HOME=" + d.home, "TEST_KEYCHAIN=" + d.keychain, "TEST_KEYCHAIN_WRITES=1", "GORACE=atexit_sleep_ms=0"}
	return c
}
