package provider_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// The requests in this file are written by hand from the providers' documents,
// never from the definitions: they are what must arrive, byte for byte.

// nasty holds every character that an encoding could spoil.
const nasty = `a&b=c+d%e#f?g/h:i j"k'l\mü😀`

func values(fields map[string]string) provider.Values {
	v := provider.Values{}
	for name, text := range fields {
		v[name] = secret.New(text)
	}
	return v
}

// complete adds the default of every field that has one and is not there.
func complete(d *provider.Definition, v provider.Values) provider.Values {
	for _, f := range d.Fields {
		if _, ok := v[f.Name]; !ok && f.Default != "" {
			v[f.Name] = f.DefaultValue(v)
		}
	}
	return v
}

// onTheWire returns what matters of the request as it arrives.
func onTheWire(t *testing.T, d *provider.Definition, v provider.Values) string {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(rawRequest(t, d, v))))
	check.OK(t, err)
	body, err := io.ReadAll(r.Body)
	check.OK(t, err)
	arrived := fmt.Sprintf("%s %s\nContent-Type: %s\n", r.Method, r.RequestURI, strings.Join(r.Header["Content-Type"], " | "))
	if a, ok := r.Header["Authorization"]; ok {
		arrived += "Authorization: " + strings.Join(a, " | ") + "\n"
	}
	return arrived + "\n" + string(body)
}

const (
	form = "Content-Type: application/x-www-form-urlencoded\n"
	json = "Content-Type: application/json\n"
)

func TestGoldenRequests(t *testing.T) {
	tests := []struct {
		name, provider string
		fields         map[string]string
		want           string
	}{
		{
			"fincode plain", "fincode",
			map[string]string{"client_id": "songhai-client", "client_secret": "songhai-secret", "username": "ops@example.com", "password": "pass-word_1.~"},
			"POST /oauth/token\n" + form + "Authorization: Basic c29uZ2hhaS1jbGllbnQ6c29uZ2hhaS1zZWNyZXQ=\n\n" +
				"username=ops%40example.com&password=pass-word_1.~&grant_type=password",
		},
		{
			"fincode nasty", "fincode",
			map[string]string{"client_id": "songhai-client", "client_secret": nasty, "username": nasty, "password": nasty},
			"POST /oauth/token\n" + form + "Authorization: Basic c29uZ2hhaS1jbGllbnQ6YSZiPWMrZCVlI2Y/Zy9oOmkgaiJrJ2xcbcO88J+YgA==\n\n" +
				"username=a%26b%3Dc%2Bd%25e%23f%3Fg%2Fh%3Ai+j%22k%27l%5Cm%C3%BC%F0%9F%98%80" +
				"&password=a%26b%3Dc%2Bd%25e%23f%3Fg%2Fh%3Ai+j%22k%27l%5Cm%C3%BC%F0%9F%98%80&grant_type=password",
		},
		{
			// A tenant is part of the host and never of the request.
			"fincode with tenant", "fincode",
			map[string]string{"client_id": "songhai-client", "client_secret": "songhai-secret", "username": "u", "password": "p", "tenant": "remitjunction"},
			"POST /oauth/token\n" + form + "Authorization: Basic c29uZ2hhaS1jbGllbnQ6c29uZ2hhaS1zZWNyZXQ=\n\n" +
				"username=u&password=p&grant_type=password",
		},
		{
			"abbeycross plain", "abbeycross",
			map[string]string{"client_id": "abx-client", "client_secret": "abx-secret"},
			"POST /v1/oauth/token\n" + json + "\n" + `{"client_id":"abx-client","client_secret":"abx-secret"}`,
		},
		{
			"abbeycross nasty", "abbeycross",
			map[string]string{"client_id": nasty, "client_secret": nasty},
			"POST /v1/oauth/token\n" + json + "\n" +
				`{"client_id":"a&b=c+d%e#f?g/h:i j\"k'l\\mü😀","client_secret":"a&b=c+d%e#f?g/h:i j\"k'l\\mü😀"}`,
		},
		{
			"zeepay plain", "zeepay",
			map[string]string{"client_id": "42", "client_secret": "zp-secret", "username": "ops@example.com", "password": "zp-password"},
			"POST /oauth/token\n" + form + "\n" +
				"client_id=42&client_secret=zp-secret&username=ops%40example.com&password=zp-password&grant_type=password",
		},
		{
			"zeepay nasty", "zeepay",
			map[string]string{"client_id": "42", "client_secret": nasty, "username": "a+b@example.com", "password": nasty},
			"POST /oauth/token\n" + form + "\n" +
				"client_id=42&client_secret=a%26b%3Dc%2Bd%25e%23f%3Fg%2Fh%3Ai+j%22k%27l%5Cm%C3%BC%F0%9F%98%80" +
				"&username=a%2Bb%40example.com" +
				"&password=a%26b%3Dc%2Bd%25e%23f%3Fg%2Fh%3Ai+j%22k%27l%5Cm%C3%BC%F0%9F%98%80&grant_type=password",
		},
		{
			"mpay plain", "mpay",
			map[string]string{"username": "academy-api", "password": "mp-password"},
			"POST /v2/auth\n" + json + "\n" + `{"username":"academy-api","password":"mp-password"}`,
		},
		{
			// Characters that public clients show in real passwords, and HTML's.
			"mpay nasty", "mpay",
			map[string]string{"username": nasty, "password": `$ & % ! * @ < > ` + "\t\u2028"},
			"POST /v2/auth\n" + json + "\n" +
				`{"username":"a&b=c+d%e#f?g/h:i j\"k'l\\mü😀","password":"$ & % ! * @ < > \t\u2028"}`,
		},
		{
			// clientId is the Basic user where nothing says otherwise.
			"enkash without company_id", "enkash",
			map[string]string{"client_id": "CEK0000001", "client_secret": "0123456789abcdef", "username": "ops@example.com", "password": "ek-password"},
			"POST /oauth/token\n" + form + "Authorization: Basic Q0VLMDAwMDAwMTowMTIzNDU2Nzg5YWJjZGVm\n\n" +
				"username=ops%40example.com&password=ek-password&grant_type=password&clientId=CEK0000001",
		},
		{
			"enkash with company_id", "enkash",
			map[string]string{"client_id": "enkash-client", "client_secret": "enkash-secret", "username": "9000000001", "password": "ek-password", "company_id": "CEK0000002"},
			"POST /oauth/token\n" + form + "Authorization: Basic ZW5rYXNoLWNsaWVudDplbmthc2gtc2VjcmV0\n\n" +
				"username=9000000001&password=ek-password&grant_type=password&clientId=CEK0000002",
		},
		{
			"enkash nasty", "enkash",
			map[string]string{"client_id": "CEK0000001", "client_secret": nasty, "username": nasty, "password": nasty, "company_id": "C&K=1"},
			"POST /oauth/token\n" + form + "Authorization: Basic Q0VLMDAwMDAwMTphJmI9YytkJWUjZj9nL2g6aSBqImsnbFxtw7zwn5iA\n\n" +
				"username=a%26b%3Dc%2Bd%25e%23f%3Fg%2Fh%3Ai+j%22k%27l%5Cm%C3%BC%F0%9F%98%80" +
				"&password=a%26b%3Dc%2Bd%25e%23f%3Fg%2Fh%3Ai+j%22k%27l%5Cm%C3%BC%F0%9F%98%80&grant_type=password&clientId=C%26K%3D1",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := builtin(t, test.provider)
			got := onTheWire(t, d, complete(d, values(test.fields)))
			check.Same(t, "the request", test.want, got)
		})
	}
}

// TestBasicIsNotFormEncoded: unlike RFC 6749 asks, the providers take the
// user part as it is too, and not form-encoded first.
func TestBasicIsNotFormEncoded(t *testing.T) {
	for client, want := range map[string]string{
		"id one": "Authorization: Basic aWQgb25lOmEmYj1jK2QlZSNmP2cvaDppIGoiaydsXG3DvPCfmIA=\n",
		"id-ü😀":  "Authorization: Basic aWQtw7zwn5iAOmEmYj1jK2QlZSNmP2cvaDppIGoiaydsXG3DvPCfmIA=\n",
	} {
		d := builtin(t, "fincode")
		got := onTheWire(t, d, values(map[string]string{"client_id": client, "client_secret": nasty, "username": "u", "password": "p"}))
		if !strings.Contains(got, want) {
			t.Errorf("client_id %q: the request is\n%s\nwant in it %s", client, got, want)
		}
	}
}

func TestColonInBasicUser(t *testing.T) {
	for _, name := range []string{"fincode", "enkash"} {
		d := builtin(t, name)
		base, err := provider.ParseAddress("https://host.example")
		check.OK(t, err)
		_, err = d.TokenRequest(base, values(map[string]string{"client_id": "canary:id", "client_secret": "s", "username": "u", "password": "p"}))
		e := check.Failure(t, err)
		if want := "client_id must not contain a colon: it is the user part of a Basic pair"; e.Code != failure.FieldInvalid || e.Message != want {
			t.Errorf("%s: error %s %q, want field_invalid %q", name, e.Code, e.Message, want)
		}
		if strings.Contains(e.Message+e.Hint, "canary") {
			t.Errorf("%s: the error shows the value: %+v", name, e)
		}
	}
}

// TestOptionalFieldIsLeftOut: a field without a value and default is no member.
func TestOptionalFieldIsLeftOut(t *testing.T) {
	d := builtin(t, "enkash")
	base := provider.Address{Scheme: "https", Host: "host.example"}
	request, err := d.TokenRequest(base, values(map[string]string{"client_id": "c", "client_secret": "s", "username": "u", "password": "p"}))
	check.OK(t, err)
	if got, want := request.Body.Reveal(), "username=u&password=p&grant_type=password"; got != want {
		t.Errorf("the body is %q, want %q", got, want)
	}
}

func TestURLs(t *testing.T) {
	tests := []struct{ provider, environment, tenant, want string }{
		{"fincode", "staging", "", "https://api.stag.songhaiexchange.io/oauth/token"},
		{"fincode", "tenant-v6", "remitjunction", "https://remitjunction.fincode.software/api/v6/services/oauth/token"},
		{"fincode", "tenant-v1", "finlend", "https://finlend.fincode.software/api/v1/services/oauth/token"},
		{"fincode", "tenant-v1", "xn--a-b1c", "https://xn--a-b1c.fincode.software/api/v1/services/oauth/token"},
		{"zeepay", "test", "", "https://test.digitaltermination.com/oauth/token"},
		{"zeepay", "sandbox", "", "https://business-sandbox.instntmny.com/oauth/token"},
		{"zeepay", "production", "", "https://shop.digitaltermination.com/oauth/token"},
		{"mpay", "production", "", "https://api.mpayafrica.co.tz/v2/auth"},
		{"enkash", "uat", "", "https://ekpayout-uat.enkash.in/oauth/token"},
		{"enkash", "production", "", "https://api.enkash.in/oauth/token"},
	}
	covered := map[string][]string{"abbeycross": {}}
	for _, test := range tests {
		d := builtin(t, test.provider)
		e, ok := d.Environment(test.environment)
		if !ok {
			t.Errorf("%s has no environment %s", test.provider, test.environment)
			continue
		}
		base, err := d.Address(e, func(field string) string {
			if field != "tenant" {
				t.Errorf("%s %s asks for the field %s", test.provider, test.environment, field)
			}
			return test.tenant
		})
		if err != nil {
			t.Errorf("%s %s: %v", test.provider, test.environment, err)
			continue
		}
		request, err := d.TokenRequest(base, values(map[string]string{"client_id": "c", "username": "u"}))
		if err != nil || request.URL != test.want {
			t.Errorf("%s %s: %q, %v; want %q", test.provider, test.environment, request.URL, err, test.want)
		}
		if list := covered[test.provider]; len(list) == 0 || list[len(list)-1] != test.environment {
			covered[test.provider] = append(list, test.environment)
		}
	}
	for _, name := range provider.NewCatalog("", nil).Names() {
		if diff := cmp.Diff(covered[name], builtin(t, name).EnvironmentNames()); diff != "" {
			t.Errorf("environments of %s (-want +got):\n%s", name, diff)
		}
	}
	d := builtin(t, "abbeycross")
	base, err := d.CheckBase("https://abx.example:8443/gate/")
	check.OK(t, err)
	request, err := d.TokenRequest(base, values(nil))
	if want := "https://abx.example:8443/gate/v1/oauth/token"; err != nil || request.URL != want {
		t.Errorf("below a base address: %q, %v; want %q", request.URL, err, want)
	}
}

// TestTenants: a tenant is one label, so the host always ends in the
// provider's own domain.
func TestTenants(t *testing.T) {
	d := builtin(t, "fincode")
	for _, name := range []string{"tenant-v6", "tenant-v1"} {
		e, _ := d.Environment(name)
		for _, tenant := range []string{
			"evil.example/#", "evil.example", "a.b", "..", ".", "-x", "x-", "", strings.Repeat("a", 64), "%2e", "Upper", "a\nb", "a\n", "a b",
			"a/", "a#", "a?", "a@", "a:", "a\\", "{tenant}", "ü", "\u212a", "a_b", "\x00",
		} {
			a, err := d.Address(e, func(string) string { return tenant })
			want := "tenant is not one host name label: it must match [a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
			if got := check.Failure(t, err); a != (provider.Address{}) || got.Code != failure.FieldInvalid || got.Message != want {
				t.Errorf("tenant %q: %v, %s %q; want field_invalid %q", tenant, a, got.Code, got.Message, want)
			}
		}
		for _, tenant := range []string{"a", "0", "a-b", strings.Repeat("a", 63), "localhost"} {
			a, err := d.Address(e, func(string) string { return tenant })
			if err != nil || a.Host != tenant+".fincode.software" {
				t.Errorf("tenant %q: host %q, %v", tenant, a.Host, err)
			}
		}
	}
}

// TestNeeds: the tenant belongs to the host alone.
func TestNeeds(t *testing.T) {
	d := builtin(t, "fincode")
	staging, _ := d.Environment("staging")
	tenant, _ := d.Environment("tenant-v6")
	for _, test := range []struct {
		field string
		e     *provider.Environment
		want  bool
	}{
		{"client_id", nil, true},
		{"client_secret", nil, true},
		{"username", &staging, true},
		{"tenant", nil, false},
		{"tenant", &staging, false},
		{"tenant", &tenant, true},
		{"nobody", &tenant, false},
	} {
		if got := d.Needs(test.field, test.e); got != test.want {
			t.Errorf("Needs(%q, %+v) = %v", test.field, test.e, got)
		}
	}
}
