package provider_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/internal/token"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// parsed returns a definition without problems.
func parsed(t *testing.T, text string) *provider.Definition {
	t.Helper()
	d, err := provider.Parse("acme.toml", []byte(text))
	check.OK(t, err)
	return d
}

// rawRequest returns the bytes of the request of d, as they arrive.
func rawRequest(t *testing.T, d *provider.Definition, v provider.Values) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check.OK(t, err)
	defer listener.Close()
	arrived := make(chan string, 1)
	go func() {
		var raw strings.Builder
		defer func() { arrived <- raw.String() }()
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		if r, err := http.ReadRequest(bufio.NewReader(io.TeeReader(conn, &raw))); err == nil {
			_, _ = io.Copy(io.Discard, r.Body)
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
	}()
	base, err := provider.ParseAddress("http://" + listener.Addr().String())
	check.OK(t, err)
	request, err := d.TokenRequest(base, v)
	check.OK(t, err)
	if _, err := (&token.Client{UserAgent: "tokenfetch/test"}).Send(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	return <-arrived
}

// sortedHeaders returns a request without the order of its headers, which means
// nothing, and without Host and User-Agent.
func sortedHeaders(request string) string {
	head, body, _ := strings.Cut(strings.ReplaceAll(request, "\r\n", "\n"), "\n\n")
	lines := strings.Split(head, "\n")
	rest := slices.DeleteFunc(lines[1:], func(line string) bool {
		return strings.HasPrefix(line, "Host:") || strings.HasPrefix(line, "User-Agent:")
	})
	return lines[0] + "\n" + strings.Join(slices.Sorted(slices.Values(rest)), "\n") + "\n\n" + body
}

// TestWrittenRequests compares requests with ones that are written by hand, byte by
// byte.
func TestWrittenRequests(t *testing.T) {
	const end = "Accept: application/json\n"
	for _, c := range []struct {
		name, definition string
		values           map[string]string
		want             string
	}{
		{
			"GET with a query and Basic",
			"[fields]\nconsumer_key = {}\nconsumer_secret = { secret = true }\n[request]\nmethod = \"GET\"\npath = \"/oauth/v1/generate\"\n" +
				"query = { grant_type = \"client_credentials\" }\nbasic = [\"consumer_key\", \"consumer_secret\"]\n",
			map[string]string{"consumer_key": "key", "consumer_secret": "sécret"},
			"GET /oauth/v1/generate?grant_type=client_credentials HTTP/1.1\n" + end + "Authorization: Basic a2V5OnPDqWNyZXQ=\nConnection: close\n\n",
		},
		{
			"no body, a final slash and a header",
			"[fields]\napi_user = {}\napi_key = { secret = true }\nsubscription_key = { secret = true }\n[request]\npath = \"/collection/token/\"\n" +
				"basic = [\"api_user\", \"api_key\"]\nheaders = { Ocp-Apim-Subscription-Key = \"{subscription_key}\" }\n",
			map[string]string{"api_user": "u", "api_key": "k", "subscription_key": "s k"},
			"POST /collection/token/ HTTP/1.1\nContent-Length: 0\n" + end + "Authorization: Basic dTpr\nOcp-Apim-Subscription-Key: s k\nConnection: close\n\n",
		},
		{
			"client_secret_basic, form-encoded",
			"[oauth2]\ntoken_url = \"https://a.example/token?v=1%202&w\"\nscope = \"a b\"\naudience = { optional = true }\n",
			map[string]string{"client_id": "a:b c", "client_secret": "100%&+é"},
			// base64 of a%3Ab+c:100%25%26%2B%C3%A9
			"POST /token?v=1%202&w= HTTP/1.1\nContent-Length: LENGTH\n" + end + "Authorization: Basic YSUzQWIrYzoxMDAlMjUlMjYlMkIlQzMlQTk=\n" +
				"Content-Type: application/x-www-form-urlencoded\nConnection: close\n\ngrant_type=client_credentials&scope=a+b",
		},
		{
			"client_secret_post and the password grant",
			oauth,
			map[string]string{"client_secret": nasty, "username": "u", "password": "p", "scope": "x"},
			"POST /oauth2/token HTTP/1.1\nContent-Length: LENGTH\n" + end + "Content-Type: application/x-www-form-urlencoded\nConnection: close\n\n" +
				"client_id=public&client_secret=a%26b%3Dc%2Bd%25e%23f%3Fg%2Fh%3Ai+j%22k%27l%5Cm%C3%BC%F0%9F%98%80&username=u&password=p" +
				"&grant_type=password&scope=x&audience=https%3A%2F%2Fapi.acme.example&resource=urn%3Aacme",
		},
		{
			"every key of a request",
			acme,
			map[string]string{"client_id": "i/d", "client_secret": "s", "tenant": "t ü"},
			"POST /v1/i%2Fd/token/?api=1&at=t%20%C3%BC HTTP/1.1\nContent-Length: LENGTH\n" + end + "Authorization: Basic aSUyRmQ6cw==\nContent-Type: application/json\n" +
				"X-Key: key=s\nConnection: close\n\n" +
				`{"grant_type":"password","remember":true,"n":1,"auth":{"list":["{a}",2.5,"i/d-t ü"]}}`,
		},
		{
			"a header of ours in another's place",
			"[request]\nheaders = { accept = \"text/json\", X-api = \"a\", Content-Type = \"application/json\" }\n", nil,
			"POST / HTTP/1.1\nContent-Length: 0\nContent-Type: application/json\nX-api: a\naccept: text/json\nConnection: close\n\n",
		},
		{
			"nothing but optional fields", "[fields]\na = { optional = true }\n[request]\nform = { a = \"x{a}\", b = \"1\" }\nheaders = { A = \"{a}\" }\nquery = { q = \"{a}\" }\n", nil,
			"POST / HTTP/1.1\nContent-Length: LENGTH\n" + end + "Content-Type: application/x-www-form-urlencoded\nConnection: close\n\nb=1",
		},
	} {
		d := parsed(t, c.definition)
		got := sortedHeaders(rawRequest(t, d, complete(d, values(c.values))))
		_, body, _ := strings.Cut(c.want, "\n\n")
		want := sortedHeaders(strings.Replace(c.want, "LENGTH", strconv.Itoa(len(body)), 1))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// TestValuesThatCannotBeSent: nothing of a value can leave its place.
func TestValuesThatCannotBeSent(t *testing.T) {
	d := parsed(t, acme)
	base, _ := provider.ParseAddress("https://a.example")
	good := map[string]string{"client_id": "i", "client_secret": "s", "tenant": "t"}
	for _, c := range []struct{ field, value, want string }{
		{"client_secret", "a\r\nHost: evil.example", "client_secret cannot be sent in the header X-Key: it must be printable ASCII without blanks at its ends"},
		{"client_secret", "ü", "client_secret cannot be sent in the header X-Key: it must be printable ASCII without blanks at its ends"},
		{"client_secret", "a ", "client_secret cannot be sent in the header X-Key: it must be printable ASCII without blanks at its ends"},
		{"client_id", "..", "company cannot be a segment of the address"},
		{"client_id", ".", "company cannot be a segment of the address"},
		{"client_id", "", "company cannot be a segment of the address"},
	} {
		v := values(good)
		v[c.field] = secret.New(c.value)
		_, err := d.TokenRequest(base, complete(d, v))
		if e := check.Failure(t, err); e.Code != failure.FieldInvalid || e.Message != c.want {
			t.Errorf("%s = %q: %s %q", c.field, c.value, e.Code, e.Message)
		}
	}
}

// FuzzTemplate: the encoded request decodes to the field's bytes, wherever the
// field stands.
func FuzzTemplate(f *testing.F) {
	for _, value := range []string{"a", "a/b", "..x", "{a}", "a&b=c", "ü😀", "%2e", "a b+c", "\x00\xff", `"\`, "<"} {
		f.Add(value)
	}
	d, err := provider.Parse("acme.toml", []byte("[fields]\na = {}\n[request]\npath = \"/x/{a}/\"\nquery = { q = \"<{a}>\" }\nbasic = [\"a\", \"a\"]\n"+
		"basic_encoding = \"form\"\nform = { f = \"{{{a}}}\" }\n"))
	check.OK(f, err)
	inJSON, err := provider.Parse("acme.toml", []byte("[fields]\na = {}\n[request]\njson = { o = { l = [\"{a}\", 1] } }\n"))
	check.OK(f, err)
	base, _ := provider.ParseAddress("https://a.example")
	f.Fuzz(func(t *testing.T, value string) {
		v := provider.Values{"a": secret.New(value)}
		request, err := d.TokenRequest(base, v)
		if value == "" || value == "." || value == ".." {
			if err == nil {
				t.Errorf("%q is a segment", value)
			}
			return
		}
		check.OK(t, err)
		u, err := url.Parse(request.URL)
		if err != nil || u.Host != "a.example" || u.Path != "/x/"+value+"/" || strings.Count(u.EscapedPath(), "/") != 3 || u.Query().Get("q") != "<"+value+">" {
			t.Errorf("%q: %q, %v", value, request.URL, err)
		}
		form, err := url.ParseQuery(request.Body.Reveal())
		if err != nil || form.Get("f") != "{"+value+"}" || len(form) != 1 {
			t.Errorf("%q: form %v, %v", value, form, err)
		}
		r := http.Request{Header: http.Header{}}
		r.SetBasicAuth(request.Basic.User, request.Basic.Password.Reveal())
		user, password, _ := r.BasicAuth()
		user, userErr := url.QueryUnescape(user)
		password, passwordErr := url.QueryUnescape(password)
		if user != value || password != value || userErr != nil || passwordErr != nil {
			t.Errorf("%q: Basic %q %q", value, user, password)
		}
		request, err = inJSON.TokenRequest(base, v)
		check.OK(t, err)
		object, err := token.ParseObject([]byte(request.Body.Reveal()))
		if strings.ToValidUTF8(value, "") != value || strings.ContainsRune(value, 0) {
			return // JSON has no way to write it
		}
		list, _ := object.Get("o.l")
		if items, ok := list.([]any); err != nil || !ok || items[0] != value {
			t.Errorf("%q: %s, %v", value, request.Body.Reveal(), err)
		}
	})
}

// TestOutcomes: the first that fits counts, and types are not mixed.
func TestOutcomes(t *testing.T) {
	d := parsed(t, `[request]
[reply]
types = ["bearer", "access_token"]
token_prefix = "Bearer "
expires_at = "data.expiry"
keep = ["data.url", "data.n", "data.b", "data.none", "data", "echo"]
[[outcome]]
member = "code"
value = [1, "one", true, 0.5]
is = "ok"
[[outcome]]
status = 202
member = "code"
absent = true
is = "ok"
[[outcome]]
status = 500
member = "error"
value = "login_failed"
is = "refused"
[[outcome]]
status = 503
is = "closed"
[[outcome]]
member = "busy"
is = "busy"
[[outcome]]
member = "code"
is = "untrusted"
`)
	for _, c := range []struct {
		status int
		body   string
		want   string
	}{
		{200, `{"access_token":"tok"}`, "token"},
		{200, `{"access_token":"Bearer tok"}`, "token"},
		{200, `{"access_token":"bearer tok"}`, "bad_token"},
		{200, `{"access_token":"Bearer "}`, "no_token"},
		{200, `{"access_token":"tok","token_type":"ACCESS_TOKEN"}`, "token"},
		{200, `{"access_token":"tok","token_type":"mac"}`, "bad_token_type"},
		{200, `{"access_token":"tok","token_type":1}`, "bad_token_type"},
		{200, `{"access_token":"tok","code":1.0}`, "token"},
		{200, `{"access_token":"tok","code":1e0}`, "token"},
		{200, `{"access_token":"tok","code":0.50}`, "token"},
		{200, `{"access_token":"tok","code":true,"error":"x"}`, "token"},
		{200, `{"access_token":"tok","code":"one"}`, "token"},
		{200, `{"access_token":"tok","code":"1"}`, "unexpected_value"},
		{200, `{"access_token":"tok","code":"true"}`, "unexpected_value"},
		{200, `{"access_token":"tok","code":"0.5"}`, "unexpected_value"},
		{200, `{"access_token":"tok","code":[1]}`, "unexpected_value"},
		{200, `{"access_token":"tok","code":null}`, "token"},
		{200, `{"access_token":"tok","busy":1,"code":2}`, "provider_busy"},
		{201, `{"access_token":"tok","error":"x"}`, "provider_refused"},
		{202, `{"access_token":"tok"}`, "token"},
		{202, `{"access_token":"tok","code":1}`, "unexpected_status"},
		{203, `{"access_token":"tok"}`, "unexpected_status"},
		{500, `{"error":"login_failed"}`, "provider_refused"},
		{500, `{"error":"other"}`, "provider_error"},
		{500, `login_failed`, "provider_error"},
		{503, `{}`, "provider_closed"},
		{503, `<html>`, "provider_error"},
		{400, `{"code":1}`, "provider_refused"},
	} {
		got := "token"
		if _, err := d.Token(token.NewReply(c.status, []byte(c.body))); err != nil {
			got = string(check.Failure(t, err).Code)
		}
		if got != c.want {
			t.Errorf("%d %s: %s, want %s", c.status, c.body, got, c.want)
		}
	}
	sent := secret.New("a-sent-secret")
	issued, err := d.Token(token.NewReply(200, []byte(`{"access_token":"tok","echo":"is a-sent-secret","data":{"url":"https://a","n":1.50,"b":false,"none":null,"access_token":"x"}}`)), sent)
	check.OK(t, err)
	kept := map[string]string{}
	for path, value := range issued.Extra {
		kept[path] = string(value)
	}
	check.Same(t, "kept", map[string]string{"data.url": `"https://a"`, "data.n": "1.50", "data.b": "false"}, kept)
}

// TestExpiry: expires_in wins over expires_at, which wins over what is documented.
func TestExpiry(t *testing.T) {
	d := parsed(t, "[request]\n[reply]\nexpires_at = [\"expiry\", \"data.expiry\"]\n[token]\nlifetime = 7\n")
	received := time.Date(2026, 11, 21, 12, 0, 0, 500_000_000, time.UTC)
	at := received.Add(time.Hour)
	for body, want := range map[string]time.Duration{
		`{}`:                           7 * time.Second,
		`{"expires_in":60,"expiry":1}`: time.Minute,
		`{"expires_in":0,"expiry":` + strconv.FormatInt(at.Unix(), 10) + `}`: 0,
		`{"expiry":` + strconv.FormatInt(at.Unix(), 10) + `}`:                time.Hour - time.Second,
		`{"expiry":"` + strconv.FormatInt(at.UnixMilli(), 10) + `"}`:         time.Hour,
		`{"data":{"expiry":"2026-11-21T14:00:00+01:00"}}`:                    time.Hour - time.Second,
		`{"expiry":"2026-11-21T13:00:01.25Z"}`:                               time.Hour,
		`{"expiry":"2026-11-21 13:00:00"}`:                                   0,
		`{"expiry":"2020-01-01T00:00:00Z"}`:                                  0,
		`{"expiry":"2099-01-01T00:00:00Z"}`:                                  0,
		`{"expiry":true}`:                                                    0,
		`{"expiry":null}`:                                                    7 * time.Second,
	} {
		reply := token.NewReply(200, []byte(`{"access_token":"tok",`+strings.TrimPrefix(body, "{")))
		if body == "{}" {
			reply = token.NewReply(200, []byte(`{"access_token":"tok"}`))
		}
		reply.Received = received
		got, err := d.Token(reply)
		if err != nil || got.Lifetime != want {
			t.Errorf("%s: %v, %v; want %v", body, got, err, want)
		}
	}
}

// TestUse: what a definition says of the calls that carry its token.
func TestUse(t *testing.T) {
	value := func(text string) *string { return &text }
	for _, c := range []struct {
		text string
		want token.Use
	}{
		{"[request]\n", token.Use{Header: "Authorization", Scheme: "Bearer"}},
		{"[request]\n[use]\nscheme = \"\"\n", token.Use{Header: "Authorization"}},
		{"[request]\n[use]\nscheme = \"O-Bearer\"\n", token.Use{Header: "Authorization", Scheme: "O-Bearer"}},
		{"[request]\n[use]\nheader = \"X-Auth-Token\"\n", token.Use{Header: "X-Auth-Token"}},
		{"[request]\n[use]\nmember = \"token\"\n", token.Use{Member: "token"}},
		{
			"[fields]\na = {}\nb = { secret = true }\nc = { optional = true }\n[request]\n[use]\nheaders = { A = \"x {a}\", B = \"{a}{b}\", C = \"{c}\", D = \"d\" }\n",
			token.Use{Header: "Authorization", Scheme: "Bearer", Headers: map[string]*string{"A": value("x 1"), "B": nil, "D": value("d")}},
		},
	} {
		if c.want.Headers == nil {
			c.want.Headers = map[string]*string{}
		}
		got := parsed(t, c.text).UseOf(values(map[string]string{"a": "1"}))
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.text, diff)
		}
	}
}
