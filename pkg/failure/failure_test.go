package failure_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// frozen is every code under its class. Scripts match them: a new one is added
// here, and none is ever renamed, removed or moved to another class.
var frozen = map[string]string{
	"bug": `
		internal`,
	"usage": `
		unknown_command unknown_flag bad_flag_value repeated_flag unexpected_argument missing_argument
		conflicting_flags bad_profile_name bad_provider_name bad_variable_name no_header`,
	"config": `
		profiles_unreadable profiles_invalid profiles_permissions profile_invalid profile_not_found field_missing
		field_invalid variable_empty variable_invalid source_conflict host_missing host_mismatch bad_base_url
		https_required file_not_found file_unreadable file_permissions input_timeout helper_not_found helper_failed
		helper_timeout keychain_item_not_found keychain_unavailable keychain_locked keychain_timeout ca_file_invalid
		client_cert_invalid proxy_invalid definition_invalid definition_exists provider_not_found not_offered cache_invalid cache_key_invalid
		set_uid open_files_limit emulator_unavailable
		runner_file_invalid command_not_found command_not_runnable environment_too_large
		profile_exists profiles_unwritable file_unwritable keychain_item_too_big keychain_unverified login_interrupted no_terminal`,
	"refused": `
		credentials_rejected not_allowed provider_refused provider_conflict account_locked held_back`,
	"later": `
		provider_closed rate_limited provider_busy provider_error login_in_progress outcome_unknown`,
	"net": `
		dns_not_found dns_failed connect_failed proxy_failed tls_untrusted tls_certificate_expired tls_wrong_host
		tls_certificate_invalid tls_protocol tls_client_certificate connection_lost timeout`,
	"reply": `
		redirect unexpected_status not_a_token_endpoint not_json empty_reply bad_encoding duplicate_key
		trailing_data too_large too_deep unsupported_encoding headers_too_large malformed_http unexpected_value
		no_token token_not_a_string bad_token bad_token_type members_disagree short_lifetime discovery_failed`,
	"output": `
		output_failed`,
	"signal": `
		interrupted`,
}

func TestCodesAreFrozen(t *testing.T) {
	want := map[failure.Code]string{}
	for class, codes := range frozen {
		for code := range strings.FieldsSeq(codes) {
			want[failure.Code(code)] = class
		}
	}
	got := map[failure.Code]string{}
	for _, m := range failure.Codes() {
		if _, twice := got[m.Code]; twice {
			t.Errorf("Codes() lists %s twice", m.Code)
		}
		got[m.Code] = m.Class.String()
		if m.Code.Class() != m.Class {
			t.Errorf("%s is of class %v, in Codes() of class %v", m.Code, m.Code.Class(), m.Class)
		}
	}
	check.Same(t, "codes and their classes", want, got)
}

// TestEveryCodeIsListed reads the source: each constant of type Code stands in
// Codes exactly once, and has a value of its own.
func TestEveryCodeIsListed(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "codes.go", nil, parser.SkipObjectResolution)
	check.OK(t, err)
	names := map[failure.Code]string{}
	for _, declaration := range file.Decls {
		general, ok := declaration.(*ast.GenDecl)
		if !ok || general.Tok != token.CONST {
			continue
		}
		for _, spec := range general.Specs {
			constant := spec.(*ast.ValueSpec)
			if kind, ok := constant.Type.(*ast.Ident); !ok || kind.Name != "Code" || len(constant.Names) != 1 || len(constant.Values) != 1 {
				t.Fatalf("%v is not one constant of type Code", constant.Names)
			}
			literal, ok := constant.Values[0].(*ast.BasicLit)
			if !ok {
				t.Fatalf("%v is not a literal", constant.Names)
			}
			value, err := strconv.Unquote(literal.Value)
			check.OK(t, err)
			if other, twice := names[failure.Code(value)]; twice {
				t.Errorf("%s and %s are both %q", other, constant.Names[0].Name, value)
			}
			names[failure.Code(value)] = constant.Names[0].Name
		}
	}
	if len(names) < 50 {
		t.Fatalf("only %d constants found", len(names))
	}
	listed := map[failure.Code]int{}
	for _, m := range failure.Codes() {
		listed[m.Code]++
		if names[m.Code] == "" {
			t.Errorf("Codes() lists %q, which is no constant", m.Code)
		}
	}
	for value, name := range names {
		if listed[value] != 1 {
			t.Errorf("Codes() lists %s %d times", name, listed[value])
		}
	}
}

// TestCodesAreInOrder: of the exit codes, each with a meaning in our words.
func TestCodesAreInOrder(t *testing.T) {
	last := failure.Bug
	for _, m := range failure.Codes() {
		if m.Class < last {
			t.Errorf("%s of class %v comes after class %v", m.Code, m.Class, last)
		}
		last = m.Class
		if strings.Trim(string(m.Code), "abcdefghijklmnopqrstuvwxyz_") != "" {
			t.Errorf("%q is not in lower case with underscores", m.Code)
		}
		if m.Means == "" || strings.HasSuffix(m.Means, ".") || strings.ToLower(m.Means[:1]) != m.Means[:1] {
			t.Errorf("%s means %q: want lower case without a full stop", m.Code, m.Means)
		}
	}
}

func TestClasses(t *testing.T) {
	want := []string{"ok", "bug", "usage", "config", "refused", "later", "net", "reply", "output", "signal"}
	for number, name := range want {
		if got := failure.Class(number).String(); got != name {
			t.Errorf("class %d is %q, want %q", number, got, name)
		}
	}
	for _, number := range []int{-1, len(want), 1000} {
		if got := failure.Class(number).String(); got != "bug" {
			t.Errorf("class %d is %q, want bug", number, got)
		}
	}
	if got := failure.Code("no_such_code").Class(); got != failure.Bug {
		t.Errorf("an unknown code is of class %v, want bug", got)
	}
}

func TestError(t *testing.T) {
	wait := 5 * time.Second
	got := failure.New(failure.RateLimited, "status %d, %s", 429, "50%").WithHint("wait %d s", 5)
	got.RetryAfter = &wait
	want := &failure.Error{Code: failure.RateLimited, Message: "status 429, 50%", Hint: "wait 5 s", RetryAfter: &wait}
	check.Same(t, "New", want, got)
	if got.Error() != "status 429, 50%" {
		t.Errorf("Error() = %q", got.Error())
	}
}

func TestClassOfError(t *testing.T) {
	for _, test := range []struct {
		e     failure.Error
		class int
	}{
		{failure.Error{Code: failure.Internal}, 1},
		{failure.Error{Code: failure.UnknownFlag}, 2},
		{failure.Error{Code: failure.FieldMissing}, 3},
		{failure.Error{Code: failure.AccountLocked}, 4},
		{failure.Error{Code: failure.ProviderClosed}, 5},
		{failure.Error{Code: failure.DNSFailed}, 6},
		{failure.Error{Code: failure.NoToken}, 7},
		{failure.Error{Code: failure.OutputFailed}, 8},
		{failure.Error{}, 1},
	} {
		if got := int(test.e.Class()); got != test.class {
			t.Errorf("%+v is of class %d, want %d", test.e, got, test.class)
		}
	}
}

func TestRetryable(t *testing.T) {
	for _, test := range []struct {
		code failure.Code
		sent failure.Sent
		want bool
	}{
		{failure.ProviderBroken, failure.SentYes, true},
		{failure.RateLimited, failure.SentYes, true},
		{failure.ConnectFailed, failure.SentNo, true},
		{failure.Timeout, failure.SentYes, false},
		{failure.Timeout, failure.SentUnknown, false},
		{failure.ProviderRefused, failure.SentYes, false},
		{failure.FieldMissing, failure.SentNo, false},
		{failure.NotJSON, failure.SentYes, false},
		{failure.OutputFailed, failure.SentYes, false},
		{failure.Internal, failure.SentNo, false},
	} {
		e := failure.Error{Code: test.code, Sent: test.sent}
		if got := e.Retryable(); got != test.want {
			t.Errorf("%s, sent %q: retryable %v", test.code, test.sent, got)
		}
	}
}

// TestAddToError: what is added to an error that somebody else holds too is not
// added to theirs.
func TestAddToError(t *testing.T) {
	shared := failure.New(failure.ConnectFailed, "cannot connect").WithHint("check the network")
	before := *shared
	got := shared.Append("; %d%% sent", 50).AppendHint(", or %s", "wait").WithSent(failure.SentUnknown, 2)
	want := &failure.Error{
		Code: failure.ConnectFailed, Message: "cannot connect; 50% sent", Hint: "check the network, or wait",
		Sent: failure.SentUnknown, Attempts: 2,
	}
	check.Same(t, "the new error", want, got)
	shared.WithHint("another")
	check.Same(t, "the shared error has changed (-before +after)", &before, shared)
}

func TestSent(t *testing.T) {
	for sent, want := range map[failure.Sent]string{failure.Error{}.Sent: "no", failure.SentYes: "yes", failure.SentUnknown: "unknown"} {
		if got := sent.String(); got != want {
			t.Errorf("%d is %q, want %q", int(sent), got, want)
		}
	}
}

func TestAddHint(t *testing.T) {
	e := failure.New(failure.NotJSON, "the reply is not JSON")
	if got := e.AddHint("check %s", "base_url").AddHint("run it again").Hint; got != "check base_url\nrun it again" || e.Hint != "" {
		t.Errorf("the hint is %q, and of the error that it was added to %q", got, e.Hint)
	}
}

func TestMeans(t *testing.T) {
	for code, want := range map[failure.Code]string{
		failure.FieldMissing: "a field has no value",
		"no_such_code":       failure.Internal.Means(),
	} {
		if got := code.Means(); got != want {
			t.Errorf("%s means %q, want %q", code, got, want)
		}
	}
}
