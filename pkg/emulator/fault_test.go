package emulator_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenfetch/tokenfetch/pkg/emulator"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// TestFaults checks the reply of each fault, and that the definition interprets it as
// the name of the fault says.
func TestFaults(t *testing.T) {
	const derived = `[fields]
		user = {}
		[request]
		json = { user = "{user}" }
		[[outcome]]
		member = "result.code"
		value = [7, 8]
		is = "refused"
		[[outcome]]
		status = 418
		is = "closed"`
	const page = "<!DOCTYPE html><html><body><h1>Welcome</h1></body></html>\n"
	tried := map[string]bool{}
	for _, c := range []struct{ definition, fault, want, outcome string }{
		{"mpay", "refused", `400 {"status":0,"description":"Bad request","token":""}`, "provider_refused"},
		{derived, "refused", `400 {"error_description":"refused"}`, "provider_refused"},
		{"enkash", "locked", `400 {"error":"invalid_grant","error_description":"User account is locked"}`, "account_locked"},
		{derived, "locked", `423 {"error_description":"account is locked"}`, "account_locked"},
		{"abbeycross", "closed", `503 {"errorId":"9f2c-03","code":"NON_WORKING_HOURS","text":"The server is currently unavailable due to non-working hours. Please try again later."}`, "provider_closed"},
		{derived, "closed", `418 {"error_description":"closed"}`, "provider_closed"},
		{"zeepay", "closed", `503 {"message":"closed"}`, "provider_error"},
		{derived, "rate-limited", `429 {"error_description":"too many requests"}`, "rate_limited"},
		{"enkash", "error-in-200", `200 {"response_code":1,"response_message":"Invalid Company ID"}`, "provider_refused"},
		{derived, "error-in-200", `200 {"error_description":"refused","result":{"code":7}}`, "provider_refused"},
		{"zeepay", "error-in-200", `200 {"error":"refused","message":"refused"}`, "provider_refused"},
		{derived, "redirect", "307 ", "redirect"},
		{derived, "html", "200 " + page, "not_json"},
		{"zeepay", "truncated", `200 {"token_type":"Bearer","expires_in":31536000,"access`, "not_json"},
		{derived, "huge", `200 {"padding":"` + strings.Repeat("x", 2<<20) + `"}`, "too_large"},
	} {
		tried[c.fault] = true
		d := define(t, c.definition)
		s := serve(t, emulator.Options{Faults: []emulator.Fault{{Provider: d.Name, Name: c.fault}}}, d)
		got := s.send(t, "POST /"+d.Name+" HTTP/1.1\n\n") // a fault does not depend on the request
		if diff := cmp.Diff(c.want, fmt.Sprint(got.status, " ", got.body)); diff != "" {
			t.Errorf("%s (-want +got):\n%.2000s", c.fault, diff)
		}
		if why := d.CheckExample(provider.Example{Status: got.status, Body: got.body, Outcome: c.outcome}); why != "" {
			t.Errorf("%s: the reply %s", c.fault, why)
		}
		if line := s.journalled(t); line.Outcome != "fault "+c.fault {
			t.Errorf("%s: the journal says %s", c.fault, line.text)
		}
		header := map[string][2]string{
			"html": {"Content-Type", "text/html"}, "redirect": {"Location", "http://emulator/acme/redirected"},
			"rate-limited": {"Retry-After", "30"}, "truncated": {"Content-Length", "104"},
		}[c.fault]
		if got := got.header.Get(header[0]); got != header[1] {
			t.Errorf("%s: the header %s is %q", c.fault, header[0], got)
		}
		if truncated := c.fault == "truncated"; (got.err == io.ErrUnexpectedEOF) != truncated || got.err != nil && !truncated {
			t.Errorf("%s: reading the body: %v", c.fault, got.err)
		}
	}
	for _, name := range emulator.FaultNames() {
		if !tried[name] && name != "slow" { // see TestClientThatDisconnects
			t.Errorf("the fault %s is not tested", name)
		}
	}
}

// TestFaultOfOneProvider checks that the first fault for a provider applies, and that
// others are not affected.
func TestFaultOfOneProvider(t *testing.T) {
	var faults []emulator.Fault
	for text, want := range map[string]bool{"zeepay:html": true, "huge": true, "zeepay": false, "": false, "zeepay:": false, "html:zeepay": false, "HTML": false} {
		fault, ok := emulator.ParseFault(text)
		if ok != want {
			t.Errorf("ParseFault(%q): %v", text, ok)
		}
		if fault.Provider != "" && ok {
			faults = append(faults, fault)
		}
	}
	faults = append(faults, emulator.Fault{Provider: "zeepay", Name: "huge"})
	s := serve(t, emulator.Options{Faults: faults}, define(t, "zeepay"), define(t, "mpay"))
	for request, want := range map[string]string{zeepay: "text/html", mpay: "application/json"} {
		if got := s.send(t, request).header.Get("Content-Type"); got != want {
			t.Errorf("%s for %.20s, want %s", got, request, want)
		}
	}
	if _, err := emulator.New([]*provider.Definition{define(t, "mpay")}, emulator.Options{Faults: faults}); err == nil {
		t.Error("a fault for a provider that is not served is no error")
	}
}

func TestLock(t *testing.T) {
	wrong := strings.Replace(enkash, "enkash-password", "x", 1)
	malformed := strings.Replace(enkash, "username=", "user=", 1)
	s := serve(t, emulator.Options{LockAfter: 2}, define(t, "enkash"), define(t, "mpay"))
	for i, c := range []struct{ request, want string }{
		{wrong, failed}, {enkash, issued}, {wrong, failed}, // the count starts again
		{malformed, "400 missing form username"}, {strings.Replace(mpay, "-username", "", 1), failed}, // do not count
		{wrong, failed}, {wrong, "400 account locked"}, {enkash, "400 account locked"}, {malformed, "400 missing form username"}, {mpay, issued},
	} {
		if got := s.outcome(t, c.request); got != c.want {
			t.Errorf("request %d: %s, want %s", i+1, got, c.want)
		}
	}
	if got := s.send(t, enkash).body; got != `{"error":"invalid_grant","error_description":"User account is locked"}` {
		t.Error(got)
	}
	s = serve(t, emulator.Options{}, define(t, "enkash"))
	for range 30 {
		s.send(t, wrong)
	}
	if got := s.send(t, enkash).status; got != 200 {
		t.Errorf("without LockAfter the account is locked: status %d", got)
	}
}

// TestParallelRequests checks the count of failed logins, the tokens and the journal.
func TestParallelRequests(t *testing.T) {
	s := serve(t, emulator.Options{LockAfter: 20}, define(t, "enkash"), define(t, "mpay"))
	tokens := make(chan string, 50)
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() { tokens <- token.FindString(s.send(t, mpay).body) })
		group.Go(func() { s.send(t, strings.Replace(enkash, "-username", "", 1)) })
	}
	group.Wait()
	outcomes := map[string]int{}
	for range 100 {
		outcomes[s.journalled(t).Outcome]++
	}
	check.Same(t, "outcomes", map[string]int{"token issued": 50, "login failed": 20, "account locked": 30}, outcomes)
	different := map[string]bool{}
	for range 50 {
		different[<-tokens] = true
	}
	if len(different) != 50 || different[""] {
		t.Errorf("%d different tokens of 50", len(different))
	}
}

// TestLifetime checks that TokenTTL replaces each lifetime that a reply contains, in
// its own form, and nothing else.
func TestLifetime(t *testing.T) {
	const example = "\n[request]\n[[example]]\nname = \"token\"\nstatus = 200\noutcome = \"token\"\nbody = '%s'\n"
	synctest.Test(t, func(t *testing.T) { // its time begins with the year 2000
		for _, c := range []struct{ reply, body, want string }{
			{"", `{"access_token":"t","expires_in":3600,"id":1234567890123456789}`, `{"access_token":"t","expires_in":90,"id":1234567890123456789}`},
			{`expires_in = ["a.b.in", "in", "b.in"]`, `{"a":{"b":{"in":"1","at":7}},"in":1,"b":1}`, `{"a":{"b":{"at":7,"in":90}},"b":1,"in":90}`},
			{`expires_at = ["at", "a.at"]`, `{"a":{"at":"2026-11-21T10:00:00+03:00"},"at":null}`, `{"a":{"at":"2000-01-01T00:01:30Z"},"at":"2000-01-01T00:01:30Z"}`},
			{`expires_at = "a.at"`, `{"a":{"at":1795255200}}`, `{"a":{"at":946684890}}`},
			{`expires_at = "a.at"`, `{"a":{"at":1795255200000}}`, `{"a":{"at":946684890000}}`},
			{`expires_in = "in"`, `{"a":{"in":1}}`, `{"a":{"in":1}}`},
		} {
			d := define(t, "[reply]\n"+c.reply+fmt.Sprintf(example, c.body))
			for ttl, want := range map[time.Duration]string{90 * time.Second: c.want, 0: c.body} {
				if got := handle(t, d, emulator.Options{TokenTTL: ttl}); got != want {
					t.Errorf("%s, %s: got %s, want %s", c.reply, ttl, got, want)
				}
			}
		}
		d := define(t, "[request]\n[reply]\nexpires_in = []\nexpires_at = \"at\"\ntoken_type = []\ntoken = \"t\"") // without an example
		for ttl, want := range map[time.Duration]string{90 * time.Second: "00:01:30", 0: "01:00:00"} {
			if got := token.ReplaceAllString(handle(t, d, emulator.Options{TokenTTL: ttl}), "T"); got != `{"at":"2000-01-01T`+want+`Z","t":"T"}` {
				t.Errorf("derived, %s: %s", ttl, got)
			}
		}
	})
}

// handle returns the reply to a request of the provider acme that is not sent.
func handle(t *testing.T, d *provider.Definition, options emulator.Options) string {
	t.Helper()
	e, err := emulator.New([]*provider.Definition{d}, options)
	check.OK(t, err)
	w := httptest.NewRecorder()
	e.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/acme", nil))
	return w.Body.String()
}

func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, err := emulator.New([]*provider.Definition{define(t, "mpay")}, emulator.Options{Delay: time.Hour})
		check.OK(t, err)
		for limit, want := range map[time.Duration]time.Duration{2 * time.Hour: time.Hour, time.Minute: time.Minute} {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			start := time.Now()
			e.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodPost, "/mpay/v2/auth", nil))
			if waited := time.Since(start); waited != want {
				t.Errorf("the reply took %s, want %s", waited, want)
			}
		}
	})
}

// TestClientThatDisconnects checks that a request ends with its client, whatever is
// wrong with the request.
func TestClientThatDisconnects(t *testing.T) {
	for name, options := range map[string]emulator.Options{
		"a delay": {Delay: time.Hour}, "slow": {Faults: []emulator.Fault{{Name: "slow"}}},
	} {
		for _, request := range []string{mpay, strings.Replace(mpay, "json", "xml", 1), strings.Replace(mpay, "auth", "x", 1), strings.Replace(mpay, "POST", "PUT", 1)} {
			e, err := emulator.New([]*provider.Definition{define(t, "mpay")}, options)
			check.OK(t, err)
			ended := make(chan bool, 1)
			s := &server{Server: httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				e.ServeHTTP(w, r)
				ended <- true
			}))}
			conn := s.open(t, request)
			if name == "slow" {
				reply := make([]byte, 1000)
				n, err := conn.Read(reply)
				if head := string(reply[:n]); err != nil || !strings.HasPrefix(head, "HTTP/1.1 200 OK\r\n") || !strings.Contains(head, "\r\nContent-Type: application/json\r\n") {
					t.Errorf("the slow reply begins with %q: %v", head, err)
				}
			}
			select {
			case <-ended:
				t.Errorf("%s: a reply at once to %.20s", name, request)
			case <-time.After(20 * time.Millisecond):
			}
			conn.Close()
			select {
			case <-ended:
				s.Close()
			case <-time.After(5 * time.Second):
				t.Errorf("%s: the request %.20s goes on without its client", name, request)
			}
		}
	}
}

// TestJournal compares lines of the journal, which contain no secret.
func TestJournal(t *testing.T) {
	const definition = `[fields]
		user = {}
		password = { secret = true }
		region = { optional = true }
		[request]
		path = "/{user}/token"
		query = { v = "1" }
		basic = ["user", "password"]
		headers = { X-Key = "key={password}", X-Region = "{region}" }
		json = { a = { user = "{user}", password = "{password}" }, n = 1 }`
	request := "POST /acme/demo-acme-user/token?v=1 HTTP/1.1\nAuthorization: Basic <demo-acme-user:demo-acme-password>\nX-Key: key=demo-acme-password\nX-Region: eu\n" +
		object + `{"a":{"user":"demo-acme-user","password":"demo-acme-password"},"n":1}`
	const parts = `"query":{"v":"1"},"headers":{"X-Key":"[hidden]","X-Region":"eu"},"body":{"a.password":"[hidden]","a.user":"demo-acme-user","n":"1"},`
	acme := `{"provider":"acme","method":"POST","path":"/acme/demo-acme-user/token",`
	s := serve(t, emulator.Options{LockAfter: 1, Faults: []emulator.Fault{{Provider: "zeepay", Name: "html"}}}, define(t, definition), define(t, "zeepay"))
	for _, c := range []struct{ old, replacement, want string }{
		{"eu", "eu", acme + parts + `"status":200,"outcome":"token issued"}`},
		{"POST", "PUT", strings.Replace(acme, "POST", "PUT", 1) + `"status":405,"outcome":"wrong method"}`},
		{"v=1", "v=1&secret=demo-acme-password", acme + parts + `"status":400,"outcome":"undocumented member"}`},
		{`"password":"`, `"demo-acme-password":"`, acme + strings.Replace(parts, `"a.password":"[hidden]",`, "", 1) + `"status":400,"outcome":"missing json a.password"}`},
		{`"demo-acme-password"`, `["DEMO-ACME-PASSWORD"]`, acme + strings.Replace(parts, `"a.password":"[hidden]",`, "", 1) + `"status":400,"outcome":"missing json a.password"}`},
		{"key=demo-acme-password", "DEMO-ACME-PASSWORD", acme + parts + `"status":400,"outcome":"login failed"}`},
		{"eu", "eu", acme + parts + `"status":423,"outcome":"account locked"}`},
		{request, zeepay, `{"provider":"zeepay","method":"POST","path":"/zeepay/oauth/token","body":{"client_id":"demo-zeepay-client-id","client_secret":"[hidden]",` +
			`"grant_type":"password","password":"[hidden]","username":"demo-zeepay-username"},"outcome":"fault html"}`},
		{"/acme/", "/other%0A/?password=demo-acme-password&", `{"method":"POST","path":"/other\n/","status":404,"outcome":"unknown provider: serves the providers that there were when it was started: start it again"}`},
	} {
		body := s.send(t, change(t, strings.ReplaceAll(request, "\t", ""), c.old, c.replacement)).body
		line := s.journalled(t)
		got := strings.TrimSpace(regexp.MustCompile(`"time":"[^"]+",`).ReplaceAllString(line.text, ""))
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.replacement, diff)
		}
		if age := time.Since(line.Time); age < 0 || age > time.Minute {
			t.Errorf("the time in the journal is %s", line.Time)
		}
		for _, secret := range append(token.FindAllString(body, -1), "-password", "-secret", "ZGVtby") { // the last is Base64
			if strings.Contains(strings.ToLower(line.text), strings.ToLower(secret)) {
				t.Errorf("%s: the journal contains a secret", c.replacement)
			}
		}
	}
	if s.written != 9 {
		t.Errorf("%d lines for 9 requests", s.written)
	}
}

func TestDemo(t *testing.T) {
	d := define(t, "[environments]\na = \"https://{host}.acme.example\"\n[fields]\nhost = {}\napi_key = { secret = true }\nhint = { optional = true }\n"+
		"area = { default = \"eu\" }\nuser = { default = \"{host}\" }\n[request]\nform = { a = \"{api_key}{hint}{area}{user}\" }")
	check.Same(t, "demo credentials", map[string]string{"api_key": "demo-acme-api-key"}, emulator.Demo(d))
}

func Example() {
	mpay, err := provider.NewCatalog("", nil).Definition("mpay")
	if err != nil {
		fmt.Println(err)
		return
	}
	e, err := emulator.New([]*provider.Definition{mpay}, emulator.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	server := httptest.NewServer(e)
	defer server.Close()
	login, _ := json.Marshal(emulator.Demo(mpay))
	response, err := http.Post(emulator.BaseURL(server.Listener.Addr().String(), "mpay")+"/v2/auth", "application/json", strings.NewReader(string(login)))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	fmt.Println(string(login), response.Status)
	// Output: {"password":"demo-mpay-password","username":"demo-mpay-username"} 200 OK
}
