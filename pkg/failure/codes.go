package failure

import "slices"

// Code identifies a kind of error. Codes are part of the interface: scripts compare
// them.
type Code string

// The codes. [Codes] returns their meanings.
const (
	Internal Code = "internal"

	UnknownCommand     Code = "unknown_command"
	UnknownFlag        Code = "unknown_flag"
	BadFlagValue       Code = "bad_flag_value"
	RepeatedFlag       Code = "repeated_flag"
	UnexpectedArgument Code = "unexpected_argument"
	MissingArgument    Code = "missing_argument"
	ConflictingFlags   Code = "conflicting_flags"
	BadProfileName     Code = "bad_profile_name"
	BadProviderName    Code = "bad_provider_name"
	BadVariableName    Code = "bad_variable_name"
	NoHeader           Code = "no_header"

	ProfilesUnreadable  Code = "profiles_unreadable"
	ProfilesInvalid     Code = "profiles_invalid"
	ProfilesPermissions Code = "profiles_permissions"
	ProfileInvalid      Code = "profile_invalid"
	ProfileNotFound     Code = "profile_not_found"
	ProfileExists       Code = "profile_exists"
	ProfilesUnwritable  Code = "profiles_unwritable"
	FieldMissing        Code = "field_missing"
	FieldInvalid        Code = "field_invalid"
	VariableEmpty       Code = "variable_empty"
	VariableInvalid     Code = "variable_invalid"
	SourceConflict      Code = "source_conflict"
	HostMissing         Code = "host_missing"
	HostMismatch        Code = "host_mismatch"
	BadBaseURL          Code = "bad_base_url"
	HTTPSRequired       Code = "https_required"
	FileNotFound        Code = "file_not_found"
	FileUnreadable      Code = "file_unreadable"
	FilePermissions     Code = "file_permissions"
	FileUnwritable      Code = "file_unwritable"
	InputTimeout        Code = "input_timeout"
	HelperNotFound      Code = "helper_not_found"
	HelperFailed        Code = "helper_failed"
	HelperTimeout       Code = "helper_timeout"
	KeychainNotFound    Code = "keychain_item_not_found"
	KeychainUnavailable Code = "keychain_unavailable"
	KeychainLocked      Code = "keychain_locked"
	KeychainTimeout     Code = "keychain_timeout"
	KeychainTooBig      Code = "keychain_item_too_big"
	KeychainUnverified  Code = "keychain_unverified"
	LoginInterrupted    Code = "login_interrupted"
	NoTerminal          Code = "no_terminal"
	CAFileInvalid       Code = "ca_file_invalid"
	ClientCertInvalid   Code = "client_cert_invalid"
	ProxyInvalid        Code = "proxy_invalid"
	DefinitionInvalid   Code = "definition_invalid"
	DefinitionExists    Code = "definition_exists"
	ProviderNotFound    Code = "provider_not_found"
	NotOffered          Code = "not_offered"
	SetUID              Code = "set_uid"
	CacheInvalid        Code = "cache_invalid"
	CacheKeyInvalid     Code = "cache_key_invalid"
	OpenFilesLimit      Code = "open_files_limit"
	RunnerFileInvalid   Code = "runner_file_invalid"
	CommandNotFound     Code = "command_not_found"
	CommandNotRunnable  Code = "command_not_runnable"
	EnvironmentTooLarge Code = "environment_too_large"
	EmulatorUnavailable Code = "emulator_unavailable"

	CredentialsRejected Code = "credentials_rejected"
	NotAllowed          Code = "not_allowed"
	ProviderRefused     Code = "provider_refused"
	ProviderConflict    Code = "provider_conflict"
	AccountLocked       Code = "account_locked"
	HeldBack            Code = "held_back"

	ProviderClosed  Code = "provider_closed"
	RateLimited     Code = "rate_limited"
	ProviderBusy    Code = "provider_busy"
	ProviderBroken  Code = "provider_error"
	OutcomeUnknown  Code = "outcome_unknown"
	LoginInProgress Code = "login_in_progress"

	DNSNotFound    Code = "dns_not_found"
	DNSFailed      Code = "dns_failed"
	ConnectFailed  Code = "connect_failed"
	ProxyFailed    Code = "proxy_failed"
	TLSUntrusted   Code = "tls_untrusted"
	TLSExpired     Code = "tls_certificate_expired"
	TLSWrongHost   Code = "tls_wrong_host"
	TLSInvalid     Code = "tls_certificate_invalid"
	TLSProtocol    Code = "tls_protocol"
	TLSClientCert  Code = "tls_client_certificate"
	ConnectionLost Code = "connection_lost"
	Timeout        Code = "timeout"

	Redirect            Code = "redirect"
	UnexpectedStatus    Code = "unexpected_status"
	NotATokenEndpoint   Code = "not_a_token_endpoint"
	NotJSON             Code = "not_json"
	EmptyReply          Code = "empty_reply"
	BadEncoding         Code = "bad_encoding"
	DuplicateKey        Code = "duplicate_key"
	TrailingData        Code = "trailing_data"
	TooLarge            Code = "too_large"
	TooDeep             Code = "too_deep"
	UnsupportedEncoding Code = "unsupported_encoding"
	HeadersTooLarge     Code = "headers_too_large"
	MalformedHTTP       Code = "malformed_http"
	UnexpectedValue     Code = "unexpected_value"
	NoToken             Code = "no_token"
	TokenNotAString     Code = "token_not_a_string"
	BadToken            Code = "bad_token"
	BadTokenType        Code = "bad_token_type"
	MembersDisagree     Code = "members_disagree"
	ShortLifetime       Code = "short_lifetime"
	DiscoveryFailed     Code = "discovery_failed"

	OutputFailed Code = "output_failed"

	Interrupted Code = "interrupted"
)

// Meaning is one row of the table of codes.
type Meaning struct {
	Code  Code
	Class Class
	Means string
}

// codes contains every code once, in the order of the exit codes. It is constant
// data, so that it costs nothing unless it is used.
var codes = [...]Meaning{
	{Internal, Bug, "an internal error of tokenfetch"},

	{UnknownCommand, Usage, "unknown command or provider"},
	{UnknownFlag, Usage, "unknown flag"},
	{BadFlagValue, Usage, "a flag's value is missing or invalid"},
	{RepeatedFlag, Usage, "a flag was given twice"},
	{UnexpectedArgument, Usage, "the command takes no further argument"},
	{MissingArgument, Usage, "the command needs an argument"},
	{ConflictingFlags, Usage, "two flags cannot be used together"},
	{BadProfileName, Usage, "a profile name is invalid"},
	{BadProviderName, Usage, "a provider name is invalid or taken"},
	{BadVariableName, Usage, "the variable name given to --var is not allowed"},
	{NoHeader, Usage, "this provider's token is not sent in a header"},

	{ProfilesUnreadable, Config, "the profiles file cannot be read"},
	{ProfilesInvalid, Config, "the profiles file is not valid TOML"},
	{ProfilesPermissions, Config, "the profiles file has an unsafe owner or mode"},
	{ProfileInvalid, Config, "a profile has an unknown key or an invalid value"},
	{ProfileNotFound, Config, "there is no profile of that name"},
	{ProfileExists, Config, "the profile exists, and would have to be changed"},
	{ProfilesUnwritable, Config, "the profiles file cannot be written"},
	{FieldMissing, Config, "a field has no value"},
	{FieldInvalid, Config, "a field's value is invalid"},
	{VariableEmpty, Config, "an environment variable is set but empty"},
	{VariableInvalid, Config, "an environment variable is unknown or has an invalid value"},
	{SourceConflict, Config, "two sources of the same rank set the same field"},
	{HostMissing, Config, "the host of the provider is not configured"},
	{HostMismatch, Config, "a secret is bound to another host"},
	{BadBaseURL, Config, "a base address is invalid"},
	{HTTPSRequired, Config, "a base address must use https"},
	{FileNotFound, Config, "a file that should hold a value does not exist"},
	{FileUnreadable, Config, "a file that holds a value cannot be read"},
	{FilePermissions, Config, "a file that holds a value has an unsafe owner or mode"},
	{FileUnwritable, Config, "a file that is to hold a value cannot be written"},
	{InputTimeout, Config, "no data came from standard input or a file in time"},
	{HelperNotFound, Config, "a helper command was not found"},
	{HelperFailed, Config, "a helper command failed or printed no usable value"},
	{HelperTimeout, Config, "a helper command did not end in time"},
	{KeychainNotFound, Config, "the keychain has no such item"},
	{KeychainUnavailable, Config, "there is no keychain here"},
	{KeychainLocked, Config, "the keychain is locked"},
	{KeychainTimeout, Config, "the keychain did not answer in time"},
	{KeychainTooBig, Config, "a secret is too large for the keychain"},
	{KeychainUnverified, Config, "the keychain does not return what was stored in it"},
	{LoginInterrupted, Config, "a login was interrupted while it stored secrets, so some may be old"},
	{NoTerminal, Config, "there is a question to answer, but no terminal"},
	{CAFileInvalid, Config, "the file of certificates cannot be used"},
	{ClientCertInvalid, Config, "the client certificate or its private key cannot be used"},
	{ProxyInvalid, Config, "a proxy variable has an invalid value"},
	{DefinitionInvalid, Config, "a provider definition is invalid"},
	{DefinitionExists, Config, "a provider definition of that name exists and would be replaced"},
	{ProviderNotFound, Config, "there is no provider of that name"},
	{NotOffered, Config, "an issuer does not support what was asked for"},
	{CacheInvalid, Config, "a cache setting is invalid"},
	{CacheKeyInvalid, Config, "the key that cache_key names is missing or too short"},
	{SetUID, Config, "the program runs with other privileges than its caller"},
	{OpenFilesLimit, Config, "too few files may be open at once"},
	{RunnerFileInvalid, Config, "the file that a GitHub runner names cannot be used"},
	{CommandNotFound, Config, "exec, emulator: the command was not found (exit code 127)"},
	{CommandNotRunnable, Config, "exec, emulator: the command cannot be run (exit code 126)"},
	{EnvironmentTooLarge, Config, "exec: the command's environment would be too large (exit code 126)"},
	{EmulatorUnavailable, Config, "the emulator cannot listen or write its journal"},

	{CredentialsRejected, Refused, "the provider rejected the credentials"},
	{NotAllowed, Refused, "the provider does not allow this"},
	{ProviderRefused, Refused, "the provider refused the request"},
	{ProviderConflict, Refused, "the provider reports a conflict"},
	{AccountLocked, Refused, "the provider says the account is locked"},
	{HeldBack, Refused, "the credentials are held back after an earlier refusal"},

	{ProviderClosed, Later, "the provider is closed at this hour"},
	{RateLimited, Later, "too many requests to the provider (rate limit)"},
	{ProviderBusy, Later, "the provider asks to try again later"},
	{ProviderBroken, Later, "the provider reports a server error"},
	{LoginInProgress, Later, "another run is trying the same credentials"},
	{OutcomeUnknown, Later, "the credentials were sent, but no reply came; they are held back for a while"},

	{DNSNotFound, Net, "the host's name does not exist"},
	{DNSFailed, Net, "the host's name could not be looked up"},
	{ConnectFailed, Net, "no connection to the host"},
	{ProxyFailed, Net, "the proxy cannot be reached or refused"},
	{TLSUntrusted, Net, "the host's certificate comes from an unknown authority"},
	{TLSExpired, Net, "the host's certificate is expired or not yet valid"},
	{TLSWrongHost, Net, "the certificate belongs to another host"},
	{TLSInvalid, Net, "the host's certificate cannot be used"},
	{TLSProtocol, Net, "no common TLS protocol with the host"},
	{TLSClientCert, Net, "the host asks for a client certificate, or refuses ours"},
	{ConnectionLost, Net, "the connection was lost"},
	{Timeout, Net, "the network did not answer in time"},

	{Redirect, Reply, "the provider redirects; redirects are not followed"},
	{UnexpectedStatus, Reply, "the reply has an unexpected status"},
	{NotATokenEndpoint, Reply, "the address is not a token endpoint"},
	{NotJSON, Reply, "the reply is not JSON"},
	{EmptyReply, Reply, "the reply is empty"},
	{BadEncoding, Reply, "the reply is not valid UTF-8"},
	{DuplicateKey, Reply, "the reply has a duplicate key"},
	{TrailingData, Reply, "the reply has data after its JSON object"},
	{TooLarge, Reply, "the reply is too large"},
	{TooDeep, Reply, "the reply is nested too deeply"},
	{UnsupportedEncoding, Reply, "the reply is compressed, which was not asked for"},
	{HeadersTooLarge, Reply, "the reply's headers are too large"},
	{MalformedHTTP, Reply, "the reply is not HTTP"},
	{UnexpectedValue, Reply, "a member of the reply has a value that is not documented"},
	{NoToken, Reply, "the reply has no token"},
	{TokenNotAString, Reply, "the reply's token is not a string"},
	{BadToken, Reply, "the reply's token is not a valid token"},
	{BadTokenType, Reply, "the token is not a bearer token"},
	{MembersDisagree, Reply, "two members of the reply that mean the same differ"},
	{ShortLifetime, Reply, "the token expires sooner than --min-ttl allows"},
	{DiscoveryFailed, Reply, "an issuer's metadata cannot be used"},

	{OutputFailed, Output, "the token could not be written"},

	{Interrupted, Signal, "the run was ended by a signal"},
}

// Codes returns every code with its class and meaning, in the order of the exit
// codes. The caller may modify the result.
func Codes() []Meaning { return slices.Clone(codes[:]) }

// Class returns the class of the code, or [Bug] for an unknown code.
func (c Code) Class() Class { return c.meaning().Class }

// Means returns what the code means, in a few words.
func (c Code) Means() string { return c.meaning().Means }

// meaning returns the row of the code, or that of [Internal].
func (c Code) meaning() *Meaning {
	for i := range codes {
		if codes[i].Code == c {
			return &codes[i]
		}
	}
	return &codes[0]
}
