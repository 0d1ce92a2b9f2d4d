package cmd

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenfetch/tokenfetch/testdata/check"
	"github.com/tokenfetch/tokenfetch/testdata/pki"
)

// TestAuthorizationServer adds OAuth 2.0 providers and fetches from an
// authorization server that shares no code with the program.
func TestAuthorizationServer(t *testing.T) {
	s := startAuthorizationServer(t, nil)
	t.Run("client authentication", s.testClientAuthentication)
	t.Run("wrong secret", s.testWrongSecret)
	t.Run("scope and resource", s.testScopeAndResource)
	t.Run("refused request", s.testRefusedRequest)
	t.Run("issuer", s.testIssuer)
	t.Run("issuer without usable metadata", s.testIssuerUnusable)
	t.Run("children", s.testChildren)
	t.Run("profiles file elsewhere", s.testProfilesElsewhere)
}

// registered are the clients of the server. Their names and secrets have every
// printable ASCII character that form encoding changes, and no others may stand
// there (RFC 6749 appendix A).
var registered = []oauthClient{
	{`acme :%+&=/?"\'~#<> basic`, canaries["CLIENT_SECRET"] + `><#~'\"?/=&+%: end`, "client_secret_basic"},
	{`acme :%+&=/?"\'~#<> post`, canaries["PASSWORD"] + `><#~'\"?/=&+%: end`, "client_secret_post"},
}

// testClientAuthentication: both methods, in the request and in the definition that
// provider add writes.
func (s *authorizationServer) testClientAuthentication(t *testing.T) {
	for _, client := range registered {
		u := s.user(t, client)
		added := u.run(t, 0, "provider", "add", "acme", "--token-url", s.origin+"/token", "--auth-method", client.Method, "--scope", "payments:read")
		if !strings.Contains(added.stdout+added.stderr, "tokenfetch login acme") {
			t.Errorf("%s: no next command:\n%s%s", client.Method, added.stdout, added.stderr)
		}
		if r := u.run(t, 0, "acme", "--dry-run", "-v"); r.stdout != "" || !strings.Contains(r.stderr, "[hidden]") {
			t.Errorf("%s: --dry-run:\n%s%s", client.Method, r.stdout, r.stderr)
		}
		before := time.Now()
		token := u.fetch(t, "acme", "-v")
		s.wantRequests(t, tokenRequest{"", client.Method, client.body("scope", "payments:read"), 200})
		if left := token.ExpiresAt.Sub(before); left < 899*time.Second || left > 930*time.Second {
			t.Errorf("%s: expires in %v", client.Method, left)
		}
		want := fetched{
			Schema: "tokenfetch.token/1", Provider: "acme", Profile: "default", Origin: s.origin, AccessToken: token.AccessToken,
			TokenType: "Bearer", ExpiresIn: 900, ExpiresAt: token.ExpiresAt, Scope: new("payments:read"),
		}
		if diff := cmp.Diff(want, token); diff != "" {
			t.Errorf("%s (-want +got):\n%s", client.Method, diff)
		}
		s.wantToken(t, client, token.AccessToken, introspection{Active: true, ClientID: client.ID, Issuer: s.origin, Scope: "payments:read"})
		// It proves nothing unless the server tells tokens apart.
		s.wantToken(t, client, token.AccessToken+"x", introspection{})

		another := u.run(t, 0, "acme")
		if another.stderr != "" || another.stdout == token.AccessToken+"\n" {
			t.Errorf("%s: the second token is %q\n%s", client.Method, another.stdout, another.stderr)
		}
		s.wantRequests(t, tokenRequest{"", client.Method, client.body("scope", "payments:read"), 200})
		s.wantToken(t, client, strings.TrimSuffix(another.stdout, "\n"), introspection{Active: true, ClientID: client.ID, Issuer: s.origin, Scope: "payments:read"})
	}
	// The default method.
	u := s.user(t, registered[0])
	u.run(t, 0, "provider", "add", "acme", "--token-url", s.origin+"/token")
	if token := u.fetch(t, "acme"); token.Scope != nil {
		t.Errorf("the scope is %q where nobody named one", *token.Scope)
	}
	s.wantRequests(t, tokenRequest{"", "client_secret_basic", registered[0].body(), 200})
}

// testWrongSecret: it is sent once, then held back until it changes.
func (s *authorizationServer) testWrongSecret(t *testing.T) {
	for _, client := range registered {
		wrong := client
		wrong.Secret = canaries["REFRESH"] + client.Secret
		u := s.user(t, wrong)
		u.run(t, 0, "provider", "add", "acme", "--token-url", s.origin+"/token", "--auth-method", client.Method)
		request := tokenRequest{"", client.Method, wrong.body(), 401}
		r := u.run(t, 4, "acme")
		if !strings.Contains(r.stderr, `provider says "client authentication failed" code "invalid_client" (credentials_rejected)`) {
			t.Errorf("%s: %s", client.Method, r.stderr)
		}
		s.wantRequests(t, request)
		u.wantError(t, failed{Exit: 4, Class: "refused", Code: "held_back", Provider: "acme", Profile: "default", Origin: s.origin, Sent: "no"}, "acme")
		s.wantRequests(t)
		u.wantError(t, failed{
			Exit: 4, Class: "refused", Code: "credentials_rejected", Provider: "acme", Profile: "default", Origin: s.origin, Sent: "yes", Attempts: 1,
			HTTPStatus: 401, ProviderError: &says{Code: "invalid_client", Text: "client authentication failed"},
		}, "acme", "--try-anyway")
		s.wantRequests(t, request)

		right := u.as(client)
		token := right.fetch(t, "acme")
		s.wantRequests(t, tokenRequest{"", client.Method, client.body(), 200})
		s.wantToken(t, client, token.AccessToken, introspection{Active: true, ClientID: client.ID, Issuer: s.origin})
	}
}

// testScopeAndResource: what is asked for is what the server gets, and what it
// grants is what is told.
func (s *authorizationServer) testScopeAndResource(t *testing.T) {
	client := registered[0]
	u := s.user(t, client)
	// A scope that the server does not know is left out of what it grants.
	u.run(t, 0, "provider", "add", "acme", "--token-url", s.origin+"/token", "--scope", "payments:read unknown", "--audience", acmeAPI)
	if token := u.fetch(t, "acme"); token.Scope == nil || *token.Scope != "payments:read" {
		t.Errorf("the scope is %v, not the one that was granted", token.Scope)
	}
	s.wantRequests(t, tokenRequest{"", client.Method, client.body("scope", "payments:read unknown", "audience", acmeAPI), 200})

	u = s.user(t, client)
	u.define(t, "acme", `title = "Acme"
[oauth2]
token_url = "`+s.origin+`/token"
scope     = "payments:read"
resource  = "`+acmeAPI+`"
`)
	token := u.fetch(t, "acme")
	s.wantRequests(t, tokenRequest{"", client.Method, client.body("scope", "payments:read", "resource", acmeAPI), 200})
	s.wantToken(t, client, token.AccessToken, introspection{Active: true, ClientID: client.ID, Issuer: s.origin, Scope: "payments:read", Audience: acmeAPI})
	if token.ExpiresIn != 300 {
		t.Errorf("the token lives %d s, which is not the lifetime of this resource", token.ExpiresIn)
	}
}

// testRefusedRequest: the credentials are right, and the request is refused.
func (s *authorizationServer) testRefusedRequest(t *testing.T) {
	client := registered[0]
	for _, test := range []struct {
		key, value string
		says       says
	}{
		{"scope", "payments:write", says{Code: "invalid_scope", Text: "requested scope is not allowed"}},
		{"resource", acmeAPI + "/other", says{Code: "invalid_target", Text: "resource indicator is missing, or unknown"}},
	} {
		u := s.user(t, client)
		u.define(t, "acme", "[oauth2]\ntoken_url = \""+s.origin+"/token\"\n"+test.key+" = \""+test.value+"\"\n")
		u.wantError(t, failed{
			Exit: 4, Class: "refused", Code: "provider_refused", Provider: "acme", Profile: "default", Origin: s.origin, Sent: "yes", Attempts: 1,
			HTTPStatus: 400, ProviderError: &test.says,
		}, "acme")
		s.wantRequests(t, tokenRequest{"", client.Method, client.body(test.key, test.value), 400})
	}
	u := s.user(t, client)
	u.run(t, 0, "provider", "add", "acme", "--token-url", s.origin+"/token", "--scope", "payments:write")
	if r := u.run(t, 4, "acme"); !strings.Contains(r.stderr, `provider says "requested scope is not allowed" code "invalid_scope" (provider_refused)`) {
		t.Error(r.stderr)
	}
	s.wantRequests(t, tokenRequest{"", client.Method, client.body("scope", "payments:write"), 400})
}

// testIssuer finds the token endpoint and the authentication method in metadata at
// each of the places that the two standards name.
func (s *authorizationServer) testIssuer(t *testing.T) {
	for _, test := range []struct {
		issuer string // its path
		client oauthClient
	}{
		{"", registered[0]},
		{"/openid", registered[0]},
		{"/oauth", registered[1]}, // lists client_secret_post alone
	} {
		u := s.user(t, test.client)
		u.run(t, 0, "provider", "add", "acme", "--issuer", s.origin+test.issuer)
		s.wantRequests(t)
		token := u.fetch(t, "acme")
		s.wantRequests(t, tokenRequest{test.issuer, test.client.Method, test.client.body(), 200})
		s.at(test.issuer).wantToken(t, test.client, token.AccessToken, introspection{Active: true, ClientID: test.client.ID, Issuer: s.origin + test.issuer})
	}
}

// testIssuerUnusable: nothing is written where there is no metadata, and where it
// is that of another issuer.
func (s *authorizationServer) testIssuerUnusable(t *testing.T) {
	for _, issuer := range []string{
		s.origin + "/nowhere",
		strings.Replace(s.origin, "127.0.0.1", "localhost", 1),
	} {
		u := s.user(t, registered[0])
		u.run(t, 7, "provider", "add", "acme", "--issuer", issuer)
		u.wantNoDefinition(t)
	}
	s.wantRequests(t)
}

// testChildren: a command gets the token and none of the credentials, those of
// another provider of the user's included.
func (s *authorizationServer) testChildren(t *testing.T) {
	for _, client := range registered {
		u := s.user(t, client)
		for _, name := range []string{"acme", "beta"} {
			u.run(t, 0, "provider", "add", name, "--token-url", s.origin+"/token", "--auth-method", client.Method)
		}
		r := u.run(t, 0, "exec", "acme", "--", "env")
		_, rest, _ := strings.Cut("\n"+r.stdout, "\nACME_ACCESS_TOKEN=")
		token, _, _ := strings.Cut(rest, "\n")
		s.wantRequests(t, tokenRequest{"", client.Method, client.body(), 200})
		s.wantToken(t, client, token, introspection{Active: true, ClientID: client.ID, Issuer: s.origin})
	}
}

// testProfilesElsewhere: the definition stands beside the profiles file in use, a
// profile can have a name, and its token is cached.
func (s *authorizationServer) testProfilesElsewhere(t *testing.T) {
	client := registered[0]
	u := s.user(t, client)
	dir := t.TempDir()
	profiles := filepath.Join(dir, "work.toml")
	writeFile(t, profiles, `[tokenfetch]
cache_key = { env = "SEAL" }
[acme.ci]
client_id     = { env = "CI_CLIENT_ID" }
client_secret = { env = "CI_CLIENT_SECRET" }
`, 0o600)
	u.environ = append(u.base(), "TOKENFETCH_CONFIG="+profiles, "SEAL="+strings.Repeat("sealing key ", 4),
		"CI_CLIENT_ID="+client.ID, "CI_CLIENT_SECRET="+client.Secret)
	u.run(t, 0, "provider", "add", "acme", "--token-url", s.origin+"/token")
	u.wantNoDefinition(t)
	if _, err := os.Stat(filepath.Join(dir, "providers", "acme.toml")); err != nil {
		t.Error(err)
	}
	first := u.fetch(t, "acme/ci")
	s.wantRequests(t, tokenRequest{"", client.Method, client.body(), 200})
	second := u.fetch(t, "acme/ci")
	s.wantRequests(t)
	if first.Profile != "ci" || first.Cached || !second.Cached || second.AccessToken != first.AccessToken {
		t.Errorf("not one token from the cache: %+v, %+v", first, second)
	}
	s.wantToken(t, client, second.AccessToken, introspection{Active: true, ClientID: client.ID, Issuer: s.origin})
}

// TestAuthorizationServerTLS is the same server behind https.
func TestAuthorizationServerTLS(t *testing.T) {
	authority := newAuthority()
	s := startAuthorizationServer(t, authority)
	caFile := filepath.Join(t.TempDir(), "ca.pem")
	writeFile(t, caFile, string(authority.PEM), 0o600)
	for _, client := range registered {
		u := s.user(t, client)
		u.run(t, 6, "provider", "add", "acme", "--issuer", s.origin+"/openid")
		u.wantNoDefinition(t)
		u.run(t, 0, "provider", "add", "acme", "--issuer", s.origin+"/openid", "--ca-file", caFile)
		u.run(t, 0, "provider", "add", "beta", "--token-url", s.origin+"/token", "--auth-method", client.Method)

		u.wantError(t, failed{Exit: 6, Class: "net", Code: "tls_untrusted", Provider: "beta", Profile: "default", Origin: s.origin, Sent: "no", Attempts: 1}, "beta")
		s.wantRequests(t)
		token := u.fetch(t, "beta", "--ca-file", caFile)
		s.wantRequests(t, tokenRequest{"", client.Method, client.body(), 200})
		s.wantToken(t, client, token.AccessToken, introspection{Active: true, ClientID: client.ID, Issuer: s.origin})
	}
	// Both methods are listed there: the default one is used.
	u := s.user(t, registered[0])
	u.run(t, 0, "provider", "add", "acme", "--issuer", s.origin+"/openid", "--ca-file", caFile)
	token := u.fetch(t, "acme", "--ca-file", caFile)
	s.wantRequests(t, tokenRequest{"/openid", "client_secret_basic", registered[0].body(), 200})
	s.at("/openid").wantToken(t, registered[0], token.AccessToken, introspection{Active: true, ClientID: registered[0].ID, Issuer: s.origin + "/openid"})
}

// acmeAPI is the resource that the server knows (RFC 8707).
const acmeAPI = "https://api.acme.example"

// oauthClient is a client as it is registered (RFC 7591).
type oauthClient struct {
	ID     string `json:"client_id"`
	Secret string `json:"client_secret"`
	Method string `json:"token_endpoint_auth_method"`
}

// body is the body of the client's token request, with more members by name and value.
func (c oauthClient) body(more ...string) map[string]string {
	body := map[string]string{"grant_type": "client_credentials"}
	if c.Method == "client_secret_post" {
		body["client_id"], body["client_secret"] = c.ID, c.Secret
	}
	for i := 0; i < len(more); i += 2 {
		body[more[i]] = more[i+1]
	}
	return body
}

// authorizationServer is a running testdata/oidc-provider/server.mjs, which says
// what it serves, or one of its issuers.
type authorizationServer struct {
	origin string
	issuer string // its path
	client *http.Client
}

// startAuthorizationServer starts the server with the registered clients, with a
// certificate of the authority if there is one.
func startAuthorizationServer(t *testing.T, a *pki.Authority) *authorizationServer {
	t.Helper()
	dir := os.Getenv("TOKENFETCH_TEST_OIDC_PROVIDER")
	if dir == "" {
		t.Skip("TOKENFETCH_TEST_OIDC_PROVIDER is not set: no authorization server is installed")
	}
	builtProgram(t)
	s := &authorizationServer{client: &http.Client{Timeout: 10 * time.Second}}
	settings := struct {
		Clients []oauthClient `json:"clients"`
		Cert    string        `json:"cert,omitempty"`
		Key     string        `json:"key,omitempty"`
	}{Clients: registered}
	if a != nil {
		certificate, key := pki.Encode(a.Issue(nil))
		settings.Cert, settings.Key = string(certificate), string(key)
		s.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.Pool()}}
	}
	line, err := json.Marshal(settings)
	check.OK(t, err)
	c := exec.Command("node", "../testdata/oidc-provider/server.mjs", dir)
	c.Env = []string{"PATH=" + os.Getenv("PATH")}
	var stderr strings.Builder
	c.Stderr = &stderr
	in, err := c.StdinPipe()
	check.OK(t, err)
	out, err := c.StdoutPipe()
	check.OK(t, err)
	check.OK(t, c.Start())
	t.Cleanup(func() {
		in.Close()
		if err := c.Wait(); err != nil || t.Failed() {
			t.Logf("the authorization server: %v\n%s", err, stderr.String())
		}
	})
	if _, err := in.Write(append(line, '\n')); err != nil {
		t.Fatal(err)
	}
	origin, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the authorization server did not start: %v", err)
	}
	s.origin = strings.TrimSuffix(origin, "\n")
	return s
}

// at is the issuer at a path.
func (s *authorizationServer) at(path string) *authorizationServer {
	return &authorizationServer{s.origin, path, s.client}
}

// tokenRequest is a token request as the server has understood it.
type tokenRequest struct {
	Issuer string // the path
	Auth   string
	Body   map[string]string
	Status int
}

// wantRequests compares the token requests since it was called last.
func (s *authorizationServer) wantRequests(t *testing.T, want ...tokenRequest) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.origin+"/requests", nil)
	check.OK(t, err)
	var got []tokenRequest
	s.ask(t, request, &got)
	check.Same(t, "token requests", append([]tokenRequest{}, want...), got)
}

// introspection is what the server says of a token (RFC 7662).
type introspection struct {
	Active   bool
	ClientID string `json:"client_id"`
	Issuer   string `json:"iss"`
	Scope    string
	Audience string `json:"aud"`
}

// wantToken asks the server about a token, with the credentials of its client.
func (s *authorizationServer) wantToken(t *testing.T, client oauthClient, token string, want introspection) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.origin+s.issuer+"/token/introspection",
		strings.NewReader(url.Values{"token": {token}}.Encode()))
	check.OK(t, err)
	request.SetBasicAuth(url.QueryEscape(client.ID), url.QueryEscape(client.Secret))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var got introspection
	s.ask(t, request, &got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the server about the token %q (-want +got):\n%s", token, diff)
	}
}

// ask sends a request and decodes the JSON of the response.
func (s *authorizationServer) ask(t *testing.T, request *http.Request, value any) {
	t.Helper()
	response, err := s.client.Do(request)
	check.OK(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v\n%s", request.URL, response.Status, err, body)
	}
	if err := json.Unmarshal(body, value); err != nil {
		t.Fatalf("%s: %v\n%s", request.URL, err, body)
	}
}

// oauthUser runs the program with an empty home directory and the credentials of a
// client in the variables of the providers acme and beta. There is no keychain.
type oauthUser struct {
	client  oauthClient
	home    string
	environ []string
}

func (s *authorizationServer) user(t *testing.T, client oauthClient) *oauthUser {
	t.Helper()
	u := &oauthUser{home: t.TempDir()}
	return u.as(client)
}

// as is the same user with other credentials.
func (u *oauthUser) as(client oauthClient) *oauthUser {
	environ := u.base()
	for _, name := range []string{"ACME", "BETA"} {
		environ = append(environ, "TOKENFETCH_"+name+"_CLIENT_ID="+client.ID, "TOKENFETCH_"+name+"_CLIENT_SECRET="+client.Secret)
	}
	return &oauthUser{client, u.home, environ}
}

// base is the environment without credentials.
func (u *oauthUser) base() []string {
	return []string{"HOME=" + u.home, "PATH=" + os.Getenv("PATH"), "DBUS_SESSION_BUS_ADDRESS=autolaunch:"}
}

// run runs the program, which must end with the exit code and show no secret.
func (u *oauthUser) run(t *testing.T, exit int, args ...string) ended {
	t.Helper()
	r := runBuilt(t, u.environ, args...)
	for what, hidden := range map[string]string{
		"the client secret":     u.client.Secret,
		"the encoded secret":    url.QueryEscape(u.client.Secret),
		"the Basic credentials": base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(u.client.ID) + ":" + url.QueryEscape(u.client.Secret))),
	} {
		if leaked := leak(r.stdout+r.stderr, hidden); leaked != "" {
			t.Errorf("%q: %s came out, as %q", args, what, leaked)
		}
	}
	if r.exit != exit {
		t.Fatalf("%q: exit code %d, want %d\n%s%s", args, r.exit, exit, r.stdout, r.stderr)
	}
	if exit != 0 && r.stdout != "" {
		t.Errorf("%q: standard output %q", args, r.stdout)
	}
	return r
}

// fetched is the JSON output of a run.
type fetched struct {
	Schema, Provider, Profile, Origin string

	AccessToken string    `json:"access_token"`
	TokenType   string    `json:"token_type"`
	ExpiresIn   int       `json:"expires_in"`
	ExpiresAt   time.Time `json:"expires_at"`
	SingleUse   bool      `json:"single_use"`
	Scope       *string
	Cached      bool
}

// fetch runs a provider command with JSON output.
func (u *oauthUser) fetch(t *testing.T, args ...string) (token fetched) {
	t.Helper()
	r := u.run(t, 0, append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(r.stdout), &token); err != nil {
		t.Fatalf("%v\n%s", err, r.stdout)
	}
	return token
}

// failed is the JSON error of a run, without its words.
type failed struct {
	Exit                                         int
	Class, Code, Provider, Profile, Origin, Sent string

	Attempts      int
	HTTPStatus    int   `json:"http_status"`
	ProviderError *says `json:"provider_error"`
}

// says is what an error repeats of the provider's words.
type says struct{ Code, Text string }

// wantError runs a provider command that fails.
func (u *oauthUser) wantError(t *testing.T, want failed, args ...string) {
	t.Helper()
	r := u.run(t, want.Exit, append(args, "--errors", "json")...)
	var got failed
	if err := json.Unmarshal([]byte(r.stderr), &got); err != nil {
		t.Fatalf("%v\n%s", err, r.stderr)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%q (-want +got):\n%s", args, diff)
	}
}

// providers is where the definitions of the user stand.
func (u *oauthUser) providers() string {
	return filepath.Join(u.home, ".config", "tokenfetch", "providers")
}

// define writes a definition by hand.
func (u *oauthUser) define(t *testing.T, name, text string) {
	t.Helper()
	check.OK(t, os.MkdirAll(u.providers(), 0o700))
	writeFile(t, filepath.Join(u.providers(), name+".toml"), text, 0o600)
}

// wantNoDefinition: there is no file among the definitions of the user.
func (u *oauthUser) wantNoDefinition(t *testing.T) {
	t.Helper()
	if entries, err := os.ReadDir(u.providers()); len(entries) > 0 || err != nil && !os.IsNotExist(err) {
		t.Errorf("among the definitions: %v %v", entries, err)
	}
}
