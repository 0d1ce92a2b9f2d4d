package provider_test

import (
	"fmt"
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

// verdict is what a reply was judged to be: a token or a failure.
type verdict struct {
	Token     string
	Lifetime  time.Duration
	Scope     string
	SingleUse bool

	Code                 failure.Code
	ErrCode, Text, ErrID string // the provider's words
}

func judge(t *testing.T, d *provider.Definition, reply *token.Reply, sent ...secret.Value) verdict {
	t.Helper()
	got, err := d.Token(reply, sent...)
	if err == nil {
		return verdict{Token: got.AccessToken.Reveal(), Lifetime: got.Lifetime, Scope: got.Scope, SingleUse: got.SingleUse}
	}
	if got != nil {
		t.Errorf("a token came with the error %v", err)
	}
	e := check.Failure(t, err)
	if e.Sent != failure.SentYes || e.Attempts != 1 || e.HTTPStatus != reply.Status {
		t.Errorf("the error says sent %q, attempts %d, status %d of a reply of status %d", e.Sent, e.Attempts, e.HTTPStatus, reply.Status)
	}
	v := verdict{Code: e.Code}
	if e.Provider != nil {
		v.ErrCode, v.Text, v.ErrID = e.Provider.Code, e.Provider.Text, e.Provider.ID
	}
	return v
}

type replyTest struct {
	name   string
	status int
	body   string
	want   verdict
}

func run(t *testing.T, name string, tests []replyTest) {
	t.Helper()
	d := builtin(t, name)
	for _, test := range tests {
		t.Run(name+"/"+test.name, func(t *testing.T) {
			got := judge(t, d, token.NewReply(test.status, []byte(test.body)))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("status %d, body %s (-want +got):\n%s", test.status, test.body, diff)
			}
		})
	}
}

func refusal(code, text string) verdict {
	return verdict{Code: failure.ProviderRefused, ErrCode: code, Text: text}
}

func TestFincodeReplies(t *testing.T) {
	const hour = 3600 * time.Second
	run(t, "fincode", []replyTest{
		{
			"top level", 200, `{"access_token":"tok","token_type":"bearer","refresh_token":"r","expires_in":3600,"scope":"read write","jti":"x"}`,
			verdict{Token: "tok", Lifetime: hour, Scope: "read write"},
		},
		{"created", 201, `{"access_token":"tok"}`, verdict{Token: "tok"}},
		{
			"in the envelope", 200, `{"status":"SUCCESS","message":"m","errorCode":0,"data":{"access_token":"tok","token_type":"Bearer","expires_in":"3600","scope":"a"}}`,
			verdict{Token: "tok", Lifetime: hour, Scope: "a"},
		},
		{"at both places", 200, `{"status":"SUCCESS","access_token":"tok","data":{"access_token":"tok"}}`, verdict{Token: "tok"}},
		{"both places disagree", 200, `{"access_token":"tok","data":{"access_token":"other"}}`, verdict{Code: failure.MembersDisagree}},
		{"an empty one disagrees", 200, `{"access_token":"","data":{"access_token":"tok"}}`, verdict{Code: failure.MembersDisagree}},
		{"a null one is absent", 200, `{"access_token":null,"data":{"access_token":"tok"}}`, verdict{Token: "tok"}},
		{"lifetimes disagree", 200, `{"access_token":"tok","expires_in":1,"data":{"expires_in":2}}`, verdict{Code: failure.MembersDisagree}},
		{"lifetimes agree", 200, `{"access_token":"tok","expires_in":3600,"data":{"expires_in":"3600"}}`, verdict{Token: "tok", Lifetime: hour}},
		{"types disagree", 200, `{"access_token":"tok","token_type":"bearer","data":{"token_type":"mac"}}`, verdict{Code: failure.MembersDisagree}},
		{"scopes disagree", 200, `{"access_token":"tok","scope":"a","data":{"scope":"b"}}`, verdict{Code: failure.MembersDisagree}},
		{"ERROR", 200, `{"status":"ERROR","message":"Invalid credentials","errorCode":401,"data":null}`, refusal("401", "Invalid credentials")},
		{"ERROR with a token", 200, `{"status":"ERROR","access_token":"tok"}`, refusal("", "")},
		{"ERROR of a locked account", 200, `{"status":"ERROR","message":"Account is locked"}`, verdict{Code: failure.AccountLocked, Text: "Account is locked"}},
		{"error in 200", 200, `{"error":"invalid_grant","error_description":"Bad credentials","access_token":"tok"}`, refusal("invalid_grant", "Bad credentials")},
		{"error beside SUCCESS", 200, `{"status":"SUCCESS","error":{},"access_token":"tok"}`, refusal("", "")},
		{"null error in 200", 200, `{"error":null,"access_token":"tok"}`, verdict{Token: "tok"}},
		{"error in 202", 202, `{"error":"e","message":"m"}`, verdict{Code: failure.UnexpectedStatus, ErrCode: "e", Text: "m"}},
		{"SUCCESS without token", 200, `{"status":"SUCCESS","message":"string","errorCode":0,"data":{"accountNumber":"string"}}`, verdict{Code: failure.NoToken, ErrCode: "0", Text: "string"}},
		{"data is null", 200, `{"status":"SUCCESS","data":null}`, verdict{Code: failure.NoToken}},
		{"data is a list", 200, `{"status":"SUCCESS","data":[{"access_token":"tok"}]}`, verdict{Code: failure.NoToken}},
		{"another word", 200, `{"status":"PENDING","access_token":"tok"}`, verdict{Code: failure.UnexpectedValue}},
		{"status is a number", 200, `{"status":200,"access_token":"tok"}`, verdict{Code: failure.UnexpectedValue}},
		{"status is null", 200, `{"status":null,"access_token":"tok"}`, verdict{Token: "tok"}},
		{"400 of Spring", 400, `{"error":"invalid_grant","error_description":"Bad credentials"}`, refusal("invalid_grant", "Bad credentials")},
		{
			"400 locked", 400, `{"error":"invalid_grant","error_description":"User account is locked"}`,
			verdict{Code: failure.AccountLocked, ErrCode: "invalid_grant", Text: "User account is locked"},
		},
		{
			"401 of Spring", 401, `{"error":"invalid_client","error_description":"Bad client credentials"}`,
			verdict{Code: failure.CredentialsRejected, ErrCode: "invalid_client", Text: "Bad client credentials"},
		},
		{
			"401 of Boot", 401, `{"timestamp":"2026-01-01","status":401,"error":"Unauthorized","message":"m","path":"/oauth/token"}`,
			verdict{Code: failure.CredentialsRejected, ErrCode: "Unauthorized", Text: "m"},
		},
		{"key of another provider", 200, `{"accessToken":"tok","token":"tok"}`, verdict{Code: failure.NoToken}},
	})
}

func TestAbbeycrossReplies(t *testing.T) {
	const words = `"errorId":"9f2c","code":"E17","text":"no","parameter_name":"client_secret","parameter_value":"abx-canary"`
	run(t, "abbeycross", []replyTest{
		{
			"token", 200, `{"access_token":"tok","token_type":"Bearer","expires_in":600,"scope":"market-data"}`,
			verdict{Token: "tok", Lifetime: 10 * time.Minute, Scope: "market-data"},
		},
		{"the documented empty object", 200, `{}`, verdict{Code: failure.NoToken}},
		{"error in 200", 200, `{"error":"invalid_client","access_token":"tok"}`, refusal("invalid_client", "")},
		{"errorId in 200", 200, `{` + words + `,"access_token":"tok"}`, verdict{Code: failure.ProviderRefused, ErrCode: "E17", Text: "no", ErrID: "9f2c"}},
		{"nulls in 200", 200, `{"error":null,"errorId":null,"access_token":"tok"}`, verdict{Token: "tok"}},
		{"409", 409, `{` + words + `}`, verdict{Code: failure.ProviderConflict, ErrCode: "E17", Text: "no", ErrID: "9f2c"}},
		{"409 locked", 409, `{"code":"ACCOUNT_LOCKED","text":"no"}`, verdict{Code: failure.AccountLocked, ErrCode: "ACCOUNT_LOCKED", Text: "no"}},
		{"409 with a token", 409, `{"access_token":"tok"}`, verdict{Code: failure.ProviderConflict}},
		{"409 of a gateway", 409, `<html>abx-canary</html>`, verdict{Code: failure.NotJSON}},
		{"503 closed", 503, `{` + words + `}`, verdict{Code: failure.ProviderClosed, ErrCode: "E17", Text: "no", ErrID: "9f2c"}},
		{"503 HTML", 503, `<html>abx-canary</html>`, verdict{Code: failure.ProviderBroken}},
		{"500", 500, `{` + words + `}`, verdict{Code: failure.ProviderBroken, ErrCode: "E17", Text: "no", ErrID: "9f2c"}},
		{"401", 401, `{"code":"E1","text":"expired","errorId":"x"}`, verdict{Code: failure.CredentialsRejected, ErrCode: "E1", Text: "expired", ErrID: "x"}},
	})
}

// TestParameterValueIsNeverKept: it may echo the client secret, in any type.
func TestParameterValueIsNeverKept(t *testing.T) {
	d := builtin(t, "abbeycross")
	for _, status := range []int{200, 400, 401, 403, 409, 422, 423, 429, 500, 503} {
		for _, value := range []string{`"canary"`, `{"x":"canary"}`, `["canary"]`} {
			_, err := d.Token(token.NewReply(status, []byte(`{"errorId":"1","code":"2","text":"3","parameter_name":"client_secret","parameter_value":`+value+`}`)))
			e := check.Failure(t, err)
			if e.Provider == nil {
				t.Fatalf("status %d: the provider's words are missing", status)
			}
			if all := strings.Join([]string{e.Message, e.Hint, e.Provider.Code, e.Provider.Text, e.Provider.ID}, "\n"); strings.Contains(all, "canary") {
				t.Errorf("status %d, parameter_value %s: the error holds it: %s", status, value, all)
			}
		}
	}
}

func TestZeepayReplies(t *testing.T) {
	run(t, "zeepay", []replyTest{
		{"token", 200, `{"token_type":"Bearer","expires_in":31536000,"access_token":"tok","refresh_token":"r"}`, verdict{Token: "tok", Lifetime: 365 * 24 * time.Hour}},
		{"400 with an integer", 400, `{"error":400,"message":"Invalid request parameters"}`, refusal("400", "Invalid request parameters")},
		{"400 with a string", 400, `{"error":"invalid_grant","error_description":"d","hint":"","message":"m"}`, refusal("invalid_grant", "m")},
		{"400 without message", 400, `{"error":"invalid_grant","error_description":"d"}`, refusal("invalid_grant", "d")},
		{
			"401 of Passport", 401, `{"error":"invalid_credentials","message":"The user credentials were incorrect."}`,
			verdict{Code: failure.CredentialsRejected, ErrCode: "invalid_credentials", Text: "The user credentials were incorrect."},
		},
		{"integer error in 200", 200, `{"error":400,"message":"m"}`, refusal("400", "m")},
		{"string error in 200", 200, `{"error":"e","access_token":"tok"}`, refusal("e", "")},
		{"null error in 200", 200, `{"error":null,"access_token":"tok"}`, verdict{Token: "tok"}},
		{"camel case is not read", 200, `{"accessToken":"tok"}`, verdict{Code: failure.NoToken}},
		{"406", 406, `{"error":406,"message":"format that isn't json"}`, verdict{Code: failure.NotATokenEndpoint, ErrCode: "406", Text: "format that isn't json"}},
	})
}

func TestMpayReplies(t *testing.T) {
	good := verdict{Token: "tok", Lifetime: 2 * time.Minute, SingleUse: true}
	run(t, "mpay", []replyTest{
		{"1", 200, `{"status":1,"description":"Success","token":"tok"}`, good},
		{"1.0", 200, `{"status":1.0,"token":"tok"}`, good},
		{`"1"`, 200, `{"status":"1","token":"tok"}`, good},
		{"0", 200, `{"status":0,"description":"Bad request","token":""}`, refusal("0", "Bad request")},
		{"0 with a token", 200, `{"status":0,"token":"tok"}`, refusal("0", "")},
		{`"0"`, 200, `{"status":"0","token":"tok"}`, refusal("0", "")},
		{"2", 200, `{"status":2,"description":"Pending","token":"tok"}`, verdict{Code: failure.UnexpectedValue, ErrCode: "2", Text: "Pending"}},
		{"1.5", 200, `{"status":1.5,"token":"tok"}`, verdict{Code: failure.UnexpectedValue, ErrCode: "1.5"}},
		{`"1.0"`, 200, `{"status":"1.0","token":"tok"}`, verdict{Code: failure.UnexpectedValue, ErrCode: "1.0"}},
		{"true", 200, `{"status":true,"token":"tok"}`, verdict{Code: failure.UnexpectedValue}},
		{"missing", 200, `{"token":"tok"}`, verdict{Code: failure.UnexpectedValue}},
		{"no token", 200, `{"status":1,"description":"Success"}`, verdict{Code: failure.NoToken, ErrCode: "1", Text: "Success"}},
		// The documented refusal has an empty token.
		{"empty token", 200, `{"status":1,"token":""}`, refusal("1", "")},
		{"number as token", 200, `{"status":1,"token":17}`, verdict{Code: failure.TokenNotAString, ErrCode: "1"}},
		// No member of the reply changes the documented lifetime.
		{"expires_in", 200, `{"status":1,"token":"tok","expires_in":86400}`, good},
		{"400", 400, `{"status":0,"description":"Bad request","token":""}`, refusal("0", "Bad request")},
		{"400 HTML", 400, `<html>`, verdict{Code: failure.NotJSON}},
		// The reply is an example of a request, mislabelled on the provider's page.
		{"a request as reply", 200, `{"username":"academy","password":"p"}`, verdict{Code: failure.UnexpectedValue}},
	})
}

func TestEnkashReplies(t *testing.T) {
	day := 86399 * time.Second
	run(t, "enkash", []replyTest{
		{
			"snake case", 200, `{"access_token":"tok","token_type":"bearer","refresh_token":"r","expires_in":86399,"scope":"read write trust"}`,
			verdict{Token: "tok", Lifetime: day, Scope: "read write trust"},
		},
		{"camel case", 200, `{"accessToken":"tok","tokenType":"bearer","expiresIn":86399,"refreshToken":"r"}`, verdict{Token: "tok", Lifetime: day}},
		{"cases disagree", 200, `{"accessToken":"tok","access_token":"other"}`, verdict{Code: failure.MembersDisagree}},
		{"lifetimes disagree", 200, `{"accessToken":"tok","expiresIn":1,"expires_in":2}`, verdict{Code: failure.MembersDisagree}},
		{"the schema's zero", 200, `{"accessToken":"tok","tokenType":"Bearer","expiresIn":0}`, verdict{Token: "tok"}},
		{"the schema's words", 200, `{"accessToken":"string","tokenType":"string","expiresIn":0}`, verdict{Code: failure.BadTokenType}},
		{"empty", 200, `{"accessToken":""}`, verdict{Code: failure.NoToken}},
		{"null", 200, `{"accessToken":null}`, verdict{Code: failure.NoToken}},
		{"the payment gateway's shape", 200, `{"token":"tok","expiry":1672531199000,"resultCode":200,"resultMessage":"ok"}`, verdict{Code: failure.NoToken}},
		{"response_code 0", 200, `{"response_code":0,"accessToken":"tok"}`, verdict{Token: "tok"}},
		{"response_code 1", 200, `{"response_code":1,"response_message":"Invalid Company ID","accessToken":"tok"}`, refusal("1", "Invalid Company ID")},
		{"response_code true", 200, `{"response_code":true,"accessToken":"tok"}`, refusal("", "")},
		{"response_code null", 200, `{"response_code":null,"accessToken":"tok"}`, verdict{Token: "tok"}},
		{"message", 412, `{"response_code":1,"message":"m"}`, verdict{Code: failure.NotATokenEndpoint, ErrCode: "1", Text: "m"}},
		{"errorResponse", 400, `{"errorResponse":{"errorMessage":"m"}}`, refusal("", "m")},
		{"the standard's text comes first", 400, `{"errorMessage":"n","error_description":"m","message":"o"}`, refusal("", "m")},
		{"errorMessage in 200 without token", 200, `{"errorMessage":"m"}`, verdict{Code: failure.NoToken, Text: "m"}},
		{"error in 200", 200, `{"error":"invalid_grant","error_description":"Bad credentials","accessToken":"tok"}`, refusal("invalid_grant", "Bad credentials")},
		{
			"locked", 400, `{"error":"invalid_grant","error_description":"User account is locked"}`,
			verdict{Code: failure.AccountLocked, ErrCode: "invalid_grant", Text: "User account is locked"},
		},
		{"locked in 200", 200, `{"response_code":1,"response_message":"Account locked."}`, verdict{Code: failure.AccountLocked, ErrCode: "1", Text: "Account locked."}},
		{"unlocked and blocked are other words", 400, `{"error":"x","error_description":"blocked; not yet unlocked, deadlocked"}`, refusal("x", "blocked; not yet unlocked, deadlocked")},
		{"403 of a firewall", 403, `<!DOCTYPE html><title>Just a moment...</title>`, verdict{Code: failure.NotJSON}},
	})
}

// TestStatuses holds the meanings of statuses that no definition changes.
func TestStatuses(t *testing.T) {
	const object, list, html, empty = `{"error":"e","message":"m"}`, `[]`, `<html>`, ``
	say := func(code failure.Code) verdict { return verdict{Code: code, ErrCode: "e", Text: "m"} }
	var tests []replyTest
	for code, statuses := range map[failure.Code][]int{
		failure.UnexpectedStatus:    {100, 101, 102, 199, 202, 203, 204, 206, 299, 300, 304, 600, 799, 999},
		failure.Redirect:            {301, 302, 303, 307, 308},
		failure.NotATokenEndpoint:   {402, 404, 405, 406, 410, 411, 412, 415, 451, 499},
		failure.ProxyFailed:         {407},
		failure.CredentialsRejected: {401},
		failure.AccountLocked:       {423},
		failure.ProviderBusy:        {408, 425},
		failure.RateLimited:         {429},
		failure.ProviderBroken:      {500, 501, 502, 503, 504, 511, 599},
	} {
		for _, status := range statuses {
			tests = append(tests, replyTest{string(code), status, object, say(code)})
			for _, body := range []string{list, html, empty} {
				tests = append(tests, replyTest{string(code), status, body, verdict{Code: code}})
			}
		}
	}
	for _, status := range []int{400, 403, 409, 422} {
		code := failure.ProviderRefused
		if status == 403 {
			code = failure.NotAllowed
		}
		tests = append(tests, replyTest{"JSON object", status, object, say(code)},
			replyTest{"JSON list", status, list, verdict{Code: code}},
			replyTest{"HTML", status, html, verdict{Code: failure.NotJSON}},
			replyTest{"empty", status, empty, verdict{Code: failure.NotJSON}},
			replyTest{"trailing data", status, object + object, verdict{Code: failure.NotJSON}})
	}
	run(t, "zeepay", tests)
}

// TestBodies: what is wrong with the body of a 200 is told. Which bodies are
// understood is token.ParseObject's.
func TestBodies(t *testing.T) {
	run(t, "zeepay", []replyTest{
		{"empty", 200, "", verdict{Code: failure.EmptyReply}},
		{"HTML", 200, "<html>", verdict{Code: failure.NotJSON}},
		{"duplicate", 200, `{"access_token":"tok","access_token":"tok"}`, verdict{Code: failure.DuplicateKey}},
		{"trailing", 200, `{"access_token":"tok"}{}`, verdict{Code: failure.TrailingData}},
	})
	for status, want := range map[int]failure.Code{200: failure.UnsupportedEncoding, 400: failure.NotJSON} {
		reply := token.NewReply(status, []byte(`{"access_token":"tok"}`))
		reply.Encoding = "gzip"
		if got := judge(t, builtin(t, "zeepay"), reply); got.Code != want {
			t.Errorf("a compressed reply of status %d is judged %+v", status, got)
		}
	}
}

func TestTokenTypes(t *testing.T) {
	good, bad := verdict{Token: "tok"}, verdict{Code: failure.BadTokenType}
	var tests []replyTest
	for text, want := range map[string]verdict{
		`"bearer"`: good, `"Bearer"`: good, `"BEARER"`: good, `null`: good,
		`"mac"`: bad, `""`: bad, `"bearer "`: bad, `1`: bad,
	} {
		tests = append(tests, replyTest{text, 200, `{"access_token":"tok","token_type":` + text + `}`, want})
	}
	run(t, "zeepay", tests)
}

// TestDocumentedLifetime: it counts where the reply states none, not where the
// reply states one that is not understood.
func TestDocumentedLifetime(t *testing.T) {
	d := parsed(t, "[request]\n[token]\nlifetime = 120\n")
	for body, want := range map[string]time.Duration{
		`{"access_token":"tok"}`:                   2 * time.Minute,
		`{"access_token":"tok","expires_in":null}`: 2 * time.Minute,
		`{"access_token":"tok","expires_in":3600}`: time.Hour, // which values count is token.Lifetime's
		`{"access_token":"tok","expires_in":"1h"}`: 0,
		`{"access_token":"tok","expires_in":0}`:    0,
	} {
		if got := judge(t, d, token.NewReply(200, []byte(body))); got.Lifetime != want {
			t.Errorf("%s: lifetime %v, want %v", body, got.Lifetime, want)
		}
	}
}

// TestTokenContent: which tokens are good is token.Check's.
func TestTokenContent(t *testing.T) {
	run(t, "zeepay", []replyTest{
		{"empty", 200, `{"access_token":""}`, verdict{Code: failure.NoToken}},
		{"blank", 200, `{"access_token":" "}`, verdict{Code: failure.BadToken}},
		{"number", 200, `{"access_token":17}`, verdict{Code: failure.TokenNotAString}},
		{"object", 200, `{"access_token":{}}`, verdict{Code: failure.TokenNotAString}},
	})
	echo := token.NewReply(200, []byte(`{"access_token":"x-long-secret-x"}`))
	if got := judge(t, builtin(t, "zeepay"), echo, secret.New("long-secret")); got.Code != failure.BadToken {
		t.Errorf("a token that echoes a secret is judged %+v", got)
	}
}

func TestScopes(t *testing.T) {
	var tests []replyTest
	for text, want := range map[string]string{
		`"read write"`: "read write", `"*"`: "*", `""`: "", `null`: "", `["read"]`: "", `1`: "", `"a\u001b"`: "", `"ä"`: "", `"a\"b"`: "", `"a\\b"`: "",
		`"` + strings.Repeat("s", 8192) + `"`: strings.Repeat("s", 8192), `"` + strings.Repeat("s", 8193) + `"`: "",
	} {
		tests = append(tests, replyTest{text[:min(len(text), 20)], 200, `{"access_token":"tok","scope":` + text + `}`, verdict{Token: "tok", Scope: want}})
	}
	run(t, "zeepay", tests)
	echo := token.NewReply(200, []byte(`{"access_token":"tok","scope":"read my-password"}`))
	if got := judge(t, builtin(t, "zeepay"), echo, secret.New("my-password")); got.Scope != "" {
		t.Errorf("a scope that echoes a secret is kept: %+v", got)
	}
}

// TestRefreshTokenIsNotKept: nothing that Token returns holds it.
func TestRefreshTokenIsNotKept(t *testing.T) {
	for name, body := range map[string]string{
		"zeepay": `{"access_token":"tok","refresh_token":"canary","expires_in":1}`,
		"enkash": `{"accessToken":"tok","refreshToken":"canary","expiresIn":1}`,
	} {
		reply := token.NewReply(200, []byte(body))
		reply.Received = time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
		got, err := builtin(t, name).Token(reply)
		check.OK(t, err)
		want := &token.Token{AccessToken: secret.New("tok"), Lifetime: time.Second, Obtained: reply.Received}
		same := cmp.Comparer(func(a, b secret.Value) bool { return a.Reveal() == b.Reveal() })
		if diff := cmp.Diff(want, got, same); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestOutlineOfReply: of a reply that cannot be trusted the names and types of
// the members are kept, at most 50, and no value. A name too long to be one is
// not kept in part, for a part of a secret would not be known as one.
func TestOutlineOfReply(t *testing.T) {
	long := strings.Repeat("k", 41)
	many, first := []string{}, map[string]string{}
	for i := range 60 {
		name := fmt.Sprintf("k%02d", i)
		many = append(many, `"`+name+`":0`)
		if i < 50 {
			first[name] = "number"
		}
	}
	for _, test := range []struct {
		status int
		body   string
		want   map[string]string
	}{
		{200, `{}`, map[string]string{}},
		{200, `[]`, nil},
		{200, `<html>`, nil},
		{404, ``, nil},
		{302, `{"a":"canary"}`, map[string]string{"a": "string"}},
		{412, `{"a":"canary"}`, map[string]string{"a": "string"}},
		{200, `{"s":"canary","n":-1.5e9,"b":false,"z":null,"l":[{"x":"canary"}],"o":{}}`, map[string]string{
			"s": "string", "n": "number", "b": "boolean", "z": "null", "l": "array", "o": "object",
		}},
		{200, `{"data":{"account":{"number":"canary","list":[]},"none":{}},"a.b":1}`, map[string]string{
			"data.account.number": "string", "data.account.list": "array", "data.none": "object", "a.b": "number",
		}},
		{200, `{"a.` + long + `":1}`, map[string]string{"(a name of 43 bytes)": "number"}},
		{200, `{"` + long + `":{"` + long + `k":"canary"},"a":1}`, map[string]string{"(a name of 41 bytes).(a name of 42 bytes)": "string", "a": "number"}},
		{200, `{` + strings.Join(many, ",") + `}`, first},
	} {
		reply := token.NewReply(test.status, []byte(test.body))
		reply.ContentType = "application/problem+json"
		_, err := builtin(t, "fincode").Token(reply)
		want := &failure.ReplyOutline{ContentType: "application/problem+json", Members: test.want}
		if diff := cmp.Diff(want, check.Failure(t, err).Reply); diff != "" {
			t.Errorf("status %d, body %s (-want +got):\n%s", test.status, test.body, diff)
		}
	}
	for _, status := range []int{400, 401, 407, 429, 503} {
		_, err := builtin(t, "fincode").Token(token.NewReply(status, []byte(`{"a":1}`)))
		if e := check.Failure(t, err); e.Reply != nil {
			t.Errorf("status %d: an outline of a reply that is understood: %+v", status, e.Reply)
		}
	}
}

// TestTokenInWords: a token that comes with a reply which is refused is not told
// where the provider's words repeat it.
func TestTokenInWords(t *testing.T) {
	const body = `{"status":2,"description":"session issued-token-5Xq is pending","token":"issued-token-5Xq"}`
	got := judge(t, builtin(t, "mpay"), token.NewReply(200, []byte(body)))
	if want := "session [hidden] is pending"; got.Text != want {
		t.Errorf("the provider's words are %q, want %q", got.Text, want)
	}
}

// TestSingleUseIsSaid: after a failure that may have cost a token, the message
// says so, except where the provider refused or put us off until later.
func TestSingleUseIsSaid(t *testing.T) {
	const note = "; a token may have been issued"
	wait := 30 * time.Second
	for _, test := range []struct {
		provider string
		status   int
		body     string
		after    *time.Duration
		want     bool
	}{
		{"mpay", 200, `{"status":1}`, nil, true},
		{"mpay", 200, `<html>`, nil, true},
		{"mpay", 302, ``, nil, true},
		{"mpay", 404, ``, nil, true},
		{"mpay", 500, ``, nil, true},
		{"mpay", 502, ``, &wait, true},
		{"mpay", 429, ``, nil, true},
		{"mpay", 429, ``, &wait, false},
		{"mpay", 503, `{}`, nil, true},
		{"mpay", 503, `{}`, &wait, false},
		{"mpay", 400, `{"status":0}`, nil, false},
		{"mpay", 200, `{"status":0}`, nil, false},
		{"mpay", 401, ``, nil, false},
		{"zeepay", 200, `{}`, nil, false},
		{"zeepay", 500, `{}`, nil, false},
	} {
		reply := token.NewReply(test.status, []byte(test.body))
		reply.RetryAfter = test.after
		_, err := builtin(t, test.provider).Token(reply)
		e := check.Failure(t, err)
		if got := strings.HasSuffix(e.Message, note); got != test.want {
			t.Errorf("%s, status %d, body %q, Retry-After %v: message %q; note wanted: %v", test.provider, test.status, test.body, test.after, e.Message, test.want)
		}
	}
}

// TestRetryAfter: it is passed on and told where the failure is for later.
func TestRetryAfter(t *testing.T) {
	d := builtin(t, "zeepay")
	wait := 30 * time.Second
	for status, want := range map[int]string{
		429: "Zeepay has received too many requests (status 429); it asks to wait 30 s",
		503: "Zeepay reports a server error (status 503); it asks to wait 30 s",
	} {
		reply := token.NewReply(status, nil)
		reply.RetryAfter = &wait
		_, err := d.Token(reply)
		if e := check.Failure(t, err); e.Message != want || e.RetryAfter == nil || *e.RetryAfter != wait {
			t.Errorf("status %d: %q, %v; want %q", status, e.Message, e.RetryAfter, want)
		}
	}
}

// TestAdvice: a refusal says to stop; a gateway's answer says where to look.
func TestAdvice(t *testing.T) {
	d := builtin(t, "zeepay")
	for _, test := range []struct {
		status        int
		body          string
		message, hint string
	}{
		{400, `{}`, "Zeepay refused the credentials or the request (status 400)", "check the credentials before you try again; repeated refusals can lock an account"},
		{403, `<html>`, "the reply of status 403 is not JSON: a gateway may have blocked this", "check the base address, and whether this computer's address is on the provider's list"},
		{404, ``, "the address is not a token endpoint (status 404)", "check the base address"},
		{404, `{"path":"/x"}`, "the address is not a token endpoint (status 404)", "check the base address"},
		{412, `{"error":412}`, "the request was not accepted (status 412)", "correct what the provider complains about; if that does not help, check the base address"},
		{423, ``, "Zeepay says the account is locked", "do not try again; have Zeepay unlock the account"},
		{307, ``, "Zeepay answered with a redirect (status 307), which is not followed", "check the base address"},
	} {
		_, err := d.Token(token.NewReply(test.status, []byte(test.body)))
		if e := check.Failure(t, err); e.Message != test.message || e.Hint != test.hint {
			t.Errorf("status %d: %q, hint %q; want %q, hint %q", test.status, e.Message, e.Hint, test.message, test.hint)
		}
	}
}
