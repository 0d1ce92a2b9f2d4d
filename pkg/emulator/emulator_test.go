package emulator_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenfetch/tokenfetch/pkg/emulator"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// define returns the built-in definition with that name, or the definition of the
// provider acme that text is.
func define(t *testing.T, text string) *provider.Definition {
	t.Helper()
	d, err := provider.NewCatalog("", nil).Definition(text)
	if strings.Contains(text, "[") {
		d, err = provider.Parse("acme.toml", []byte(text))
	}
	check.OK(t, err)
	return d
}

// server is an emulator with its journal.
type server struct {
	*httptest.Server
	lines   chan journalLine
	written int // without a lock: calls of Write must not overlap
}

type journalLine struct {
	text    string
	Time    time.Time
	Status  int
	Outcome string
}

// Write receives a line of the journal.
func (s *server) Write(data []byte) (int, error) {
	line := journalLine{text: string(data)}
	if err := json.Unmarshal(data, &line); err != nil || strings.Index(line.text, "\n") != len(line.text)-1 {
		line.Outcome = "not one line of JSON: " + line.text
	}
	s.written++
	s.lines <- line
	return len(data), nil
}

func serve(t *testing.T, options emulator.Options, definitions ...*provider.Definition) *server {
	t.Helper()
	s := &server{lines: make(chan journalLine, 1000)}
	options.Journal = s
	e, err := emulator.New(definitions, options)
	check.OK(t, err)
	s.Server = httptest.NewServer(e)
	t.Cleanup(s.Close)
	return s
}

// journalled returns the next line of the journal.
func (s *server) journalled(t *testing.T) journalLine {
	t.Helper()
	select {
	case line := <-s.lines:
		return line
	case <-time.After(10 * time.Second):
		t.Fatal("nothing was written to the journal")
	}
	return journalLine{}
}

// reply is what the emulator answers.
type reply struct {
	status int
	header http.Header
	body   string
	err    error // of reading the body
}

// send sends a request that is written by hand, with "\n" as the end of a line, and
// without Host and Content-Length. Base64 is applied to what <> encloses.
func (s *server) send(t *testing.T, request string) reply {
	t.Helper()
	conn := s.open(t, request)
	defer conn.Close()
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Errorf("there is no reply: %v", err)
		return reply{err: err}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return reply{response.StatusCode, response.Header, string(body), err}
}

func (s *server) open(t *testing.T, request string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	check.OK(t, err)
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	head, body, _ := strings.Cut(request, "\n\n")
	head = regexp.MustCompile(`<.*>`).ReplaceAllStringFunc(head, func(text string) string {
		return base64.StdEncoding.EncodeToString([]byte(strings.Trim(text, "<>")))
	})
	fmt.Fprintf(conn, "%s\r\nHost: emulator\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", strings.ReplaceAll(head, "\n", "\r\n"), len(body), body)
	return conn
}

// outcome sends a request and returns the status and the outcome in the journal.
func (s *server) outcome(t *testing.T, request string) string {
	t.Helper()
	status := s.send(t, request).status
	line := s.journalled(t)
	if line.Status != status {
		t.Errorf("the status in the journal is %d, and in the reply %d", line.Status, status)
	}
	return fmt.Sprint(status, " ", line.Outcome)
}

// change replaces the first occurrence of old in a request.
func change(t *testing.T, request, old, replacement string) string {
	t.Helper()
	if !strings.Contains(request, old) {
		t.Fatalf("the request does not contain %q:\n%s", old, request)
	}
	return strings.Replace(request, old, replacement, 1)
}

const (
	form   = "Content-Type: application/x-www-form-urlencoded\n\n"
	object = "Content-Type: application/json\n\n"

	zeepay = "POST /zeepay/oauth/token HTTP/1.1\n" + form + "client_id=demo-zeepay-client-id&client_secret=demo-zeepay-client-secret" +
		"&username=demo-zeepay-username&password=demo-zeepay-password&grant_type=password"
	enkash = "POST /enkash/oauth/token HTTP/1.1\nAuthorization: Basic <demo-enkash-client-id:demo-enkash-client-secret>\n" + form +
		"username=demo-enkash-username&password=demo-enkash-password&grant_type=password&clientId=demo-enkash-client-id"
	mpay = "POST /mpay/v2/auth HTTP/1.1\n" + object + `{"username":"demo-mpay-username","password":"demo-mpay-password"}`
)

const issued, failed = "200 token issued", "400 login failed"

// TestRequests checks that the documented request gets a token, and that a request
// that differs from it in one place gets the reply that says so.
func TestRequests(t *testing.T) {
	// changes maps outcomes to pairs of a text in the request and its replacement.
	type changes map[string][]string
	for _, c := range []struct {
		name, definition, request string
		changes                   changes
	}{
		{"client_secret_post and a form", "zeepay", zeepay, changes{
			issued: {"demo-zeepay-client-id", "demo%2Dzeepay%2dclient-id"}, // the same value
			failed: {"demo-zeepay-client-id", "other", "zeepay-password", "zeepay-Password", "demo-zeepay-client-secret", ""},
			"400 malformed body": {
				"&username", "&username=demo-zeepay-username&username", // twice
				"client_id=", "client_id=%zz",
			},
			"400 malformed query":            {"/token", "/token?a;b"},
			"400 missing form grant_type":    {"&grant_type=password", ""},
			"400 missing form username":      {"username=", "Username="},
			"400 undocumented member":        {"&username", "&scope=a&username", "/token", "/token?grant_type=password"},
			"400 wrong value of grant_type":  {"grant_type=password", "grant_type=client_credentials"},
			"401 wrong Authorization header": {"Content", "Authorization: Basic <a:b>\nContent", "Content", "Authorization: Bearer x\nContent"},
			"404 unknown provider: serves the providers that there were when it was started: start it again": {"/zeepay", "/Zeepay", "/zeepay", ""},
			"404 wrong path":         {"/token", "/tokens", "/token", "/token/", "/oauth", "//oauth"},
			"405 wrong method":       {"POST", "GET", "POST", "post"},
			"415 wrong content type": {"x-www-form-urlencoded", "json", "urlencoded", "urlencoded; charset=utf-8", "Content-Type", "Content"},
		}},
		{"Basic and a form", "enkash", enkash, changes{
			failed:                           {"client-id:", "client-ID:", "client-secret>", "client-secret >", "clientId=demo-enkash-client-id", "clientId=1"},
			"400 missing form clientId":      {"&clientId=demo-enkash-client-id", ""},
			"401 wrong Authorization header": {"Authorization", "X", "Basic", "Bearer", ":demo", "", "Content", "Authorization: Basic <a:b>\nContent"},
		}},
		{"JSON", "mpay", mpay, changes{
			issued: {"mpay-username", `\u006dpay-username`}, // the same value
			failed: {"mpay-password", "mpay-passwort"},
			"400 malformed body": {
				"{", `{"username":"demo-mpay-username",`, "{", `{"username":"x",`, // twice
				"{", "", "}", "}}", "}", "} {}", "{", "[{", `{"username":"demo-mpay-username","password":"demo-mpay-password"}`, "null",
			},
			"400 missing json username": {
				`"username"`, `"Username"`, `"demo-mpay-username"`, "1", `"demo-mpay-username"`, "null",
				`"demo-mpay-username"`, `["demo-mpay-username"]`, `"demo-mpay-username"`, `{"":"demo-mpay-username"}`,
			},
			"400 undocumented member": {"{", `{"a":[],`, "{", `{"a":{},`, "{", `{"":"",`, "{", `{"a":null,`},
			"415 wrong content type":  {"json", "x-www-form-urlencoded"},
		}},
		{"GET with a query, Basic and a content type", `
[fields]
key = {}
secret = { secret = true }
[request]
method = "GET"
path = "/oauth/v1/generate"
query = { grant_type = "client_credentials" }
headers = { Content-Type = "application/json" }
basic = ["key", "secret"]`, "GET /acme/oauth/v1/generate?grant_type=client_credentials HTTP/1.1\n" +
			"Content-Type: application/json\nAuthorization: Basic <demo-acme-key:demo-acme-secret>\n\n", changes{
			failed:                            {"acme-secret", "acme-key"},
			"400 malformed body":              {"\n\n", "\n\n{}"},
			"400 malformed query":             {"?", "?grant_type=client_credentials&"}, // twice
			"400 missing query grant_type":    {"?grant_type=client_credentials", ""},
			"400 missing header Content-Type": {"Content-Type", "X"},
			"400 undocumented member":         {"?", "?a&"},
			"400 wrong value of grant_type":   {"=client_credentials", "=password"},
			"400 wrong value of Content-Type": {"json", "xml"},
			"401 wrong Authorization header":  {"Authorization", "X"},
			"405 wrong method":                {"GET", "POST", "GET", "HEAD"},
		}},
		{
			"headers and no body", `
[fields]
user = { default = "a b+c%" }
key = { secret = true }
subscription = { secret = true }
region = { optional = true }
[request]
path = "/collection/token/"
basic = ["user", "key"]
headers = { Ocp-Key = "key {subscription}", X-Region = "{region}" }`,
			"POST /acme/collection/token/ HTTP/1.1\nAuthorization: Basic <a b+c%:demo-acme-key>\nOCP-Key: key demo-acme-subscription\n\n",
			changes{
				issued:                         {"OCP", "X-Region: a\nOCP"},
				failed:                         {"key demo", "demo", "<a b+c%:", "<a+b%2Bc%25:"}, // form-encoded
				"400 malformed body":           {"\n\n", "\n\nx"},
				"400 missing header Ocp-Key":   {"OCP-", "X"},
				"400 repeated header Ocp-Key":  {"OCP", "Ocp-Key: key demo-acme-subscription\nOCP"},
				"400 repeated header X-Region": {"OCP", "X-Region: a\nX-Region: b\nOCP"},
				"404 wrong path":               {"/token/", "/token"},
				"415 wrong content type":       {"OCP", "Content-Type: text/plain\nOCP"},
			},
		},
		{"a constant Authorization header", `
[fields]
key = { secret = true }
[request]
headers = { Authorization = "Basic dTpw" }
form = { key = "{key}" }`, "POST /acme HTTP/1.1\nAuthorization: Basic dTpw\n" + form + "key=demo-acme-key", changes{
			"400 missing header Authorization":  {"Authorization", "X"},
			"400 wrong value of Authorization":  {"dTpw", "dTpx"},
			"400 repeated header Authorization": {"Auth", "Authorization: Basic dTpw\nAuth"},
			"404 wrong path":                    {"/acme", "/acme/"},
		}},
		{"nested JSON", `
[fields]
user = {}
password = { secret = true }
hint = { optional = true }
[request.json]
auth = { user = "{user}", "pass.word" = "{password}", more = { hint = "{hint}" } }
list = ["{hint}", "b", 2.5, true, { c = [] }]
n = 1
none = {}`, "POST /acme HTTP/1.1\n" + object + `{"auth":{"user":"demo-acme-user","pass.word":"demo-acme-password","more":{}},"list":["b",2.5,true,{"c":[]}],"n":1,"none":{}}`, changes{
			issued:                            {`{}},"list":[`, `{"hint":"x"}},"list":["x",`},
			failed:                            {"demo-acme-user", "demo-acme", "acme-password", "acme-user"},
			"400 missing json auth.user":      {`"user":"demo-acme-user",`, ``, `{"user":"demo-acme-user",`, `{},"auth.user":"demo-acme-user","x":{`},
			"400 missing json auth.pass.word": {`"pass.word":"demo-acme-password"`, `"pass":{"word":"demo-acme-password"}`},
			"400 missing json list.1":         {`"b",2.5`, `2.5,"b"`, `["b",2.5,true,{"c":[]}]`, `{"1":"b","2":2.5,"3":true,"4":{"c":[]}}`},
			"400 missing json n":              {`"n":1,`, ``, `:1,`, `:"1",`},
			"400 undocumented member": {
				`{}},`, `{"hint":1}},`, `{}},`, `{"hint":{}}},`, `{}},`, `[]},`, `[]`, `[{}]`, `"none":{}`, `"none":{"a":null}`, `["b",2.5,true,{"c":[]}`, `["x","b",2.5,true,{"c":[]},1`,
			},
			"400 wrong value of list.2": {`2.5,`, ``},
			"400 wrong value of list.3": {`true`, `false`},
			"400 wrong value of n":      {`:1,`, `:2,`, `:1,`, `:true,`, `:1,`, `:null,`},
			"400 wrong value of none":   {`"none":{}`, `"none":[]`},
		}},
		{"a path with fields", `
[fields]
key = { secret = true }
account = {}
area = { default = "a b/c" }
[request]
path = "/v1/{account}/{area}/token"
form = { key = "{key}" }`, "POST /acme/v1/demo-acme-account/a%20b%2Fc/token HTTP/1.1\n" + form + "key=demo-acme-key", changes{
			failed:           {"demo-acme-account", "other", "a%20b%2Fc", "a"},
			"404 wrong path": {"%2F", "/", "demo-acme-account", "", "/token", "/"},
		}},
		{"client_secret_basic", `
[fields]
client_id = { default = "a:b c+%" }
[oauth2]
token_url = "https://auth.acme.example/token?v=1"
scope = { optional = true }
audience = "https://api.acme.example/"`, "POST /acme/token?v=1 HTTP/1.1\nAuthorization: Basic <a%3Ab+c%2B%25:demo-acme-client-secret>\n" + form +
			"grant_type=client_credentials&audience=https%3A%2F%2Fapi.acme.example%2F", changes{
			issued:                           {"&audience", "&scope=any+thing&audience"},
			failed:                           {"%3A", ":", "c%2B", "c+"}, // partly raw
			"400 malformed body":             {"&audience", "&scope=a&scope=b&audience"},
			"400 missing query v":            {"?v=1", ""},
			"400 undocumented member":        {"&audience", "&client_id=a&audience"},
			"401 wrong Authorization header": {"%25:", "%:"}, // raw
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, emulator.Options{}, define(t, c.definition))
			if got := s.outcome(t, c.request); got != issued {
				t.Errorf("the documented request: %s", got)
			}
			for want, pairs := range c.changes {
				for pair := range slices.Chunk(pairs, 2) {
					if got := s.outcome(t, change(t, c.request, pair[0], pair[1])); got != want {
						t.Errorf("%s instead of %s: %s, want %s", pair[1], pair[0], got, want)
					}
				}
			}
		})
	}
}

var token = regexp.MustCompile(`emulated-(refresh-)?[A-Z2-7]{26}`)

// TestReplies compares complete replies. Every {token} is a new one.
func TestReplies(t *testing.T) {
	const request = "POST /acme HTTP/1.1\n\n"
	const failing = "[request]\nform = { key = \"{key}\" }\n[fields]\nkey = {}\n[reply]\nerror_text = \"error.text\"\n" +
		"[[outcome]]\nstatus = 500\nmember = \"error.code\"\nvalue = 7\nis = \"refused\""
	for _, c := range []struct {
		name, definition, request, want string
	}{
		{"documented, with two tokens", "zeepay", zeepay, `200 {"token_type":"Bearer","expires_in":31536000,"access_token":"{token}","refresh_token":"{refresh-token}"}`},
		{"single use", "mpay", mpay, `200 {"status":1,"description":"Success","token":"{token}"}`},
		{"failed login", "mpay", strings.Replace(mpay, "mpay-password", "x", 1), `400 {"status":0,"description":"Bad request","token":""}`},
		{"wrong method", "mpay", strings.Replace(mpay, "POST", "PUT", 1), `405 {"description":"wrong method"}`},
		{"derived", "[request]\njson = {}", "POST /acme HTTP/1.1\n" + object + "{}", `200 {"access_token":"{token}","expires_in":3600,"token_type":"bearer"}`},
		{
			"a prefix, and kept members that have a meaning", "[reply]\ntoken = [\"data.token\", \"t\"]\ntoken_prefix = \"Bearer \"\ntypes = [\"jwt\"]\n" +
				"keep = [\"data.url\", \"status\", \"token_type\", \"expires_in\"]\n[request]\n[[outcome]]\nstatus = 201\nmember = \"status\"\nvalue = [0, \"0\"]\nis = \"ok\"", request,
			`201 {"data":{"token":"Bearer {token}","url":"demo"},"expires_in":3600,"status":0,"token_type":"jwt"}`,
		},
		{"a generated refusal", failing, request, `415 {"error":{"text":"wrong content type"}}`},
		{"a generated failure", failing, "POST /acme HTTP/1.1\n" + form + "key=x", `500 {"error":{"code":7,"text":"refused"}}`},
	} {
		d := define(t, c.definition)
		s := serve(t, emulator.Options{}, d)
		first, second := s.send(t, c.request), s.send(t, c.request)
		got := token.ReplaceAllString(fmt.Sprint(first.status, " ", first.body), "{${1}token}")
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
		if first.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: the reply has the header %v", c.name, first.header)
		}
		issued := append(token.FindAllString(first.body, -1), token.FindAllString(second.body, -1)...)
		if slices.Sort(issued); len(slices.Compact(issued)) != 2*strings.Count(c.want, "token}") {
			t.Errorf("%s: not all tokens differ: %v", c.name, issued)
		}
		if why := d.CheckExample(emulator.TokenReply(d)); why != "" {
			t.Errorf("%s: the token reply %s", c.name, why)
		}
	}
}
