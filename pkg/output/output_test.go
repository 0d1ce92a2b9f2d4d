package output

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/internal/token"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
)

// The expected bytes are written by hand, so that they say what users are
// promised and not what the code does.
func TestFormat(t *testing.T) {
	target := "sandbox"
	tests := []struct {
		name   string
		result Result
		want   map[string]string
	}{
		{
			name: "reusable, with every quote character",
			result: Result{
				AccessToken: secret.New(`a'b"c\d$(e)` + "`f`"),
				Lifetime:    time.Hour,
				// Not UTC and not a whole second: the line must be both.
				Obtained: time.Date(2026, 11, 9, 10, 30, 0, 999_000_000, time.FixedZone("EET", 2*60*60)),
				Scope:    "read write",
				Provider: "abbeycross", Profile: "prod", Environment: "live", Origin: "https://api.example.com:443", BaseURL: "https://api.example.com/v2",
				Use: token.Use{Header: "Authorization", Scheme: "Bearer", Headers: map[string]*string{"X-Key": nil, "X-Target": &target}},
			},
			want: map[string]string{
				"text": `a'b"c\d$(e)` + "`f`\n",
				"json": `{"schema":"tokenfetch.token/1","provider":"abbeycross","profile":"prod","environment":"live",` +
					`"origin":"https://api.example.com:443","base_url":"https://api.example.com/v2","access_token":"a'b\"c\\d$(e)` + "`f`" + `","token_type":"Bearer",` +
					`"use":{"header":"Authorization","scheme":"Bearer","member":null,"headers":{"X-Key":null,"X-Target":"sandbox"}},` +
					`"expires_in":3600,"expires_at":"2026-11-09T09:30:00Z","scope":"read write","single_use":false,"cached":false,"extra":{}}` + "\n",
				"export":     `export ACME_TOKEN='a'\''b"c\d$(e)` + "`f`'\n",
				"fish":       `set -gx ACME_TOKEN 'a\'b"c\\d$(e)` + "`f`'\n",
				"powershell": `$env:ACME_TOKEN = 'a''b"c\d$(e)` + "`f`'\n",
				"header":     `Authorization: Bearer a'b"c\d$(e)` + "`f`\n",
				"curl":       `header = "Authorization: Bearer a'b\"c\\d$(e)` + "`f`\"\n",
				"dotenv":     "error: the token contains a single quote, a backslash or a dollar sign, which readers of .env files disagree about",

				"github-env":    "ACME_TOKEN<<END\na'b\"c\\d$(e)`f`\nEND\n",
				"github-output": "ACME_TOKEN<<END\na'b\"c\\d$(e)`f`\nEND\n",
			},
		},
		{
			name: "of unknown lifetime, from the cache, in a header of its own",
			result: Result{
				AccessToken: secret.New("eyJh.bGci-Oi_JI"),
				Obtained:    time.Date(2026, 11, 9, 8, 30, 0, 0, time.UTC),
				Provider:    "mpay", Profile: "default", Origin: "http://127.0.0.1:8080", BaseURL: "http://127.0.0.1:8080", Cached: true,
				Use: token.Use{Header: "X-Auth-Token"},
			},
			want: map[string]string{
				"text": "eyJh.bGci-Oi_JI\n",
				"json": `{"schema":"tokenfetch.token/1","provider":"mpay","profile":"default","environment":null,` +
					`"origin":"http://127.0.0.1:8080","base_url":"http://127.0.0.1:8080","access_token":"eyJh.bGci-Oi_JI","token_type":"Bearer",` +
					`"use":{"header":"X-Auth-Token","scheme":null,"member":null,"headers":{}},` +
					`"expires_in":null,"expires_at":null,"scope":null,"single_use":false,"cached":true,"extra":{}}` + "\n",
				"export":     "export ACME_TOKEN='eyJh.bGci-Oi_JI'\n",
				"fish":       "set -gx ACME_TOKEN 'eyJh.bGci-Oi_JI'\n",
				"powershell": "$env:ACME_TOKEN = 'eyJh.bGci-Oi_JI'\n",
				"header":     "X-Auth-Token: eyJh.bGci-Oi_JI\n",
				"curl":       "header = \"X-Auth-Token: eyJh.bGci-Oi_JI\"\n",
				"dotenv":     "ACME_TOKEN=eyJh.bGci-Oi_JI\n",

				"github-env":    "ACME_TOKEN<<END\neyJh.bGci-Oi_JI\nEND\n",
				"github-output": "ACME_TOKEN<<END\neyJh.bGci-Oi_JI\nEND\n",
			},
		},
		{
			name: "single-use, as a member of the body, looking like a flag",
			result: Result{
				AccessToken: secret.New("-n=@<&>"),
				Lifetime:    time.Second,
				Obtained:    time.Date(2026, 12, 31, 23, 59, 59, 0, time.UTC),
				SingleUse:   true,
				Provider:    "abbeycross", Profile: "prod", Environment: "test", Origin: "https://api.example.com:443", BaseURL: "https://api.example.com",
				Use: token.Use{Member: "token"},
			},
			want: map[string]string{
				"text": "-n=@<&>\n",
				"json": `{"schema":"tokenfetch.token/1","provider":"abbeycross","profile":"prod","environment":"test",` +
					`"origin":"https://api.example.com:443","base_url":"https://api.example.com","access_token":"-n=@<&>","token_type":null,` +
					`"use":{"header":null,"scheme":null,"member":"token","headers":{}},` +
					`"expires_in":1,"expires_at":"2027-01-01T00:00:00Z","scope":null,"single_use":true,"cached":false,"extra":{}}` + "\n",
				"export":     "export ACME_TOKEN='-n=@<&>'\n",
				"fish":       "set -gx ACME_TOKEN '-n=@<&>'\n",
				"powershell": "$env:ACME_TOKEN = '-n=@<&>'\n",
				"header":     "error: the token does not travel in a header",
				"curl":       "error: the token does not travel in a header",
				"dotenv":     "ACME_TOKEN='-n=@<&>'\n",

				"github-env":    "ACME_TOKEN<<END\n-n=@<&>\nEND\n",
				"github-output": "ACME_TOKEN<<END\n-n=@<&>\nEND\n",
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if len(tt.want) != len(Formats()) {
				t.Errorf("%d formats are tested, there are %d", len(tt.want), len(Formats()))
			}
			for _, format := range Formats() {
				data, err := Format(tt.result, format, "ACME_TOKEN")
				got := string(data)
				if err != nil {
					got = "error: " + err.Error()
				}
				if end := regexp.MustCompile(`end_[0-9a-f]{32}`).FindString(got); end != "" {
					got = strings.ReplaceAll(got, end, "END")
				}
				if want := tt.want[format]; got != want {
					t.Errorf("%s:\n got %q\nwant %q", format, got, want)
				}
			}
		})
	}
}

func TestFailingLine(t *testing.T) {
	tests := map[string]struct{ named, unnamed string }{
		"text":       {"", ""},
		"json":       {"", ""},
		"header":     {"", ""},
		"dotenv":     {"", ""},
		"github-env": {"", ""},
		"export":     {"unset ACME_TOKEN; false\n", "false\n"},
		"fish":       {"set -e ACME_TOKEN; false\n", "false\n"},
		"powershell": {"Remove-Item Env:ACME_TOKEN -ErrorAction Ignore; throw 'tokenfetch failed'\n", "throw 'tokenfetch failed'\n"},
		"curl":       {"proto = \"-all\"\n", "proto = \"-all\"\n"},

		"github-output": {"", ""},
	}
	if len(tests) != len(Formats()) {
		t.Errorf("%d formats are tested, there are %d", len(tests), len(Formats()))
	}
	for _, format := range Formats() {
		if got, want := FailingLine(format, "ACME_TOKEN"), tests[format].named; got != want {
			t.Errorf("%s with a name: got %q, want %q", format, got, want)
		}
		if got, want := FailingLine(format, ""), tests[format].unnamed; got != want {
			t.Errorf("%s without a name: got %q, want %q", format, got, want)
		}
	}
}

func TestFormatsByKind(t *testing.T) {
	want := map[string]struct {
		header bool
		file   string
	}{
		"text": {}, "json": {}, "export": {}, "fish": {}, "powershell": {}, "dotenv": {},
		"header": {header: true}, "curl": {header: true},
		"github-env": {file: "GITHUB_ENV"}, "github-output": {file: "GITHUB_OUTPUT"},
	}
	if first := Formats()[0]; first != "text" || len(want) != len(Formats()) {
		t.Errorf("the formats are %q; the default must be text", Formats())
	}
	for _, format := range Formats() {
		if got := NeedsHeader(format); got != want[format].header {
			t.Errorf("NeedsHeader(%q) = %v", format, got)
		}
		if got := RunnerFile(format); got != want[format].file {
			t.Errorf("RunnerFile(%q) = %q", format, got)
		}
	}
}

func TestCheckVariable(t *testing.T) {
	const (
		valid       = ""
		shape       = "must match [A-Za-z_][A-Za-z0-9_]*"
		dangerous   = "must not be a variable that changes how programs run"
		interpreted = "must not be a variable that a shell interprets"
	)
	family := func(prefix string) string {
		return "must not begin with " + prefix + ", unless it ends in _TOKEN or _API_KEY"
	}
	for want, names := range map[string][]string{
		valid: {
			"TOKEN", "T", "acme_token", "_TOKEN", "__", "TOKEN2", "PATH_TOKEN", "MY_LD_PRELOAD", "GITHUB", "LD", strings.Repeat("A", 128), "NPM_TOKEN",
			"NODE_AUTH_TOKEN", "GITLAB_TOKEN", "GH_TOKEN", "CARGO_REGISTRY_TOKEN", "GEM_HOST_API_KEY", "CIRCLE_API_KEY", "PYPI_TOKEN", "API_TOKEN",
			"ZEEPAY_ACCESS_TOKEN", "TF_VAR_token",
		},
		shape: {
			strings.Repeat("A", 129), "", " ", " TOKEN", "TOKEN ", "TOKEN\n", "TOKEN\r\n", "\nTOKEN", "TOKEN\nid", "TOKEN\x00", "1A", "A-B", "-A", "A.B",
			"A;id", "A=B", "A[0]", "A[$(id)]", "$(id)", "`id`", "$A", "env:A", "TÖKEN", "ТOKEN", "TOKEN\xff",
		},
		dangerous: {
			"PATH", "path", "Path", "IFS", "ENV", "PROMPT_COMMAND", "PS1", "PROMPT", "NODE_OPTIONS", "GODEBUG", "HOME", "https_proxy", "HTTPS_PROXY",
			"SSL_CERT_FILE", "PSModulePath", "_", "LANG", "ARGV0", "WATCH", "STTY", "PHPRC", "LS_COLORS", "TF_BUILD", "CI_JOB_TOKEN",
		},
		family("LESS"):                    {"LESSOPEN", "LESSCLOSE"},
		family("PYTHON"):                  {"PYTHONBREAKPOINT", "PYTHONPATH"},
		family("PERL"):                    {"PERL5OPT"},
		family("RUBY"):                    {"RUBYOPT"},
		family("NODE_"):                   {"NODE_EXTRA_CA_CERTS"},
		family("LUA_"):                    {"LUA_INIT_5_4"},
		family("GCONV_"):                  {"GCONV_PATH"},
		family("SSH_"):                    {"SSH_ASKPASS"},
		family("SYSTEMD_"):                {"SYSTEMD_LESS"},
		family("GITLAB_"):                 {"GITLAB_USER_LOGIN"},
		family("CI_"):                     {"CI_REGISTRY_PASSWORD"},
		family("CIRCLE"):                  {"CIRCLECI"},
		family("BUILDKITE"):               {"BUILDKITE"},
		family("SYSTEM_"):                 {"SYSTEM_ACCESSTOKEN"},
		family("AGENT_"):                  {"AGENT_JOBSTATUS"},
		family("JENKINS_"):                {"JENKINS_URL"},
		"must not end in PAGER":           {"MANPAGER"},
		"must not end in EDITOR":          {"PSQL_EDITOR"},
		"must not end in FLAGS":           {"MAKEFLAGS"},
		family("MAVEN_"):                  {"MAVEN_OPTS"},
		"must not end in _OPTS":           {"SBT_OPTS"},
		"must not end in PATH":            {"NLSPATH"},
		"must not end in _PROXY":          {"ALL_PROXY"},
		"must not begin with LD_":         {"LD_PRELOAD", "LD_LIBRARY_PATH", "ld_preload"},
		"must not begin with DYLD_":       {"DYLD_INSERT_LIBRARIES"},
		"must not begin with GITHUB_":     {"GITHUB_TOKEN", "GITHUB_ENV"},
		"must not begin with RUNNER_":     {"RUNNER_X"},
		"must not begin with TOKENFETCH_": {"TOKENFETCH_CONFIG"},
		"must not begin with BASH_":       {"BASH_ENV", "BASH_FUNC_ls"},
		"must not begin with LC_":         {"LC_ALL"},
		"must not begin with GLIBC_":      {"GLIBC_TUNABLES"},
		"must not begin with NPM_CONFIG_": {"npm_config_script_shell"},
		"must not begin with ACTIONS_":    {"ACTIONS_RUNTIME_TOKEN"},
		"must not begin with GIT_":        {"GIT_SSH_COMMAND"},
		"must not begin with FISH_":       {"fish_user_paths"},
		interpreted:                       {"RANDOM", "SRANDOM", "OPTIND", "HISTCMD", "SECONDS", "histchars", "ERRNO"},
	} {
		for _, name := range names {
			if got := CheckVariable(name); got != want {
				t.Errorf("CheckVariable(%q) = %q, want %q", name, got, want)
			}
		}
	}
}

func TestHarmless(t *testing.T) {
	tests := []struct {
		text  string
		limit int
		want  string
	}{
		{"the account is locked (E17)", 300, "the account is locked (E17)"},
		{"", 300, ""},
		{"a\r\nb\x00c\x07d\be\x7f", 300, `a\x0d\x0ab\x00c\x07d\x08e\x7f`},
		{
			"\x1b[2J\x1b]0;title\x07\x1b]8;;http://x\x1b\\\x1b]52;c;aWQ=\x07\x1bP1$r\x1b\\", 300,
			`\x1b[2J\x1b]0;title\x07\x1b]8;;http://x\x1b\\x1b]52;c;aWQ=\x07\x1bP1$r\x1b\`,
		},
		{"\u0085\u009b31m", 300, `\u0085\u009b31m`}, // C1 as UTF-8
		{"\x9b31m", 300, `\x9b31m`},                 // C1 as a byte
		{"\u2028\u2029\u202e\u2066\u200b\ufeff\u00ad", 300, `\u2028\u2029\u202e\u2066\u200b\ufeff\u00ad`}, // lines, bidi, zero width
		{"\U000e0041", 300, `\U000e0041`}, // a tag character
		{"\ufffd", 300, `\ufffd`},         // valid, not a broken byte
		{"é😀", 300, `\u00e9\U0001f600`},
		{"\xed\xa0\x80", 300, `\xed\xa0\x80`}, // a surrogate
		{"##vso[task.setvariable]", 300, `#\x23vso[task.setvariable]`},
		{"# ### ####", 300, `# #\x23# #\x23#\x23`},
		// The limit is of the escaped text, and the mark is within it.
		{"abcdef", 6, "abcdef"},
		{"abcdefg", 6, "abc..."},
		{"abcde\n", 6, "abc..."},
		{"ab\n", 6, `ab\x0a`},
		{"a\n\n", 6, `a\x...`},
		{"abcd", 3, "..."},
		{"abcd", 2, ".."},
		{"abcd", 0, ""},
		{"abcd", -1, ""},
		{"abc", 3, "abc"},
		{strings.Repeat("\x1b", 100<<10), 300, strings.Repeat(`\x1b`, 74) + `\...`},
		{strings.Repeat("x\n", 10_000), 300, strings.Repeat(`x\x0a`, 59) + `x\...`},
	}
	for _, tt := range tests {
		if got := Harmless(tt.text, tt.limit); got != tt.want {
			t.Errorf("Harmless(%.40q, %d)\n got %q\nwant %q", tt.text, tt.limit, got, tt.want)
		}
	}
}

func TestJSONLine(t *testing.T) {
	tests := []struct{ text, want string }{
		{"plain <&> / ~", `"plain <&> / ~"`},
		{`"\`, `"\"\\"`},
		{"a\nb\r\t\x00\x1b", `"a\nb\r\t\u0000\u001b"`},
		{"\x7f", `"\u007f"`},
		{"\u0080\u0085\u009b", `"\u0080\u0085\u009b"`},
		{"\u2028\u2029", `"\u2028\u2029"`},
		{"\u202e\u200b\ufeff", `"\u202e\u200b\ufeff"`},
		{"é\uffff", `"\u00e9\uffff"`},
		{"😀", `"\ud83d\ude00"`},
		{"\U00010000\U0010ffff", `"\ud800\udc00\udbff\udfff"`},
	}
	for _, tt := range tests {
		got := string(JSONLine(tt.text))
		if got != tt.want+"\n" {
			t.Errorf("JSONLine(%q) = %q, want %q", tt.text, got, tt.want+"\n")
		}
		checkJSONLine(t, tt.text, got)
	}
	// Keys are escaped as values are, and what is not text stays what it is.
	got := string(JSONLine(map[string]any{"ключ\n": []any{nil, true, 17}}))
	if want := `{"\u043a\u043b\u044e\u0447\n":[null,true,17]}` + "\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// checkJSONLine fails unless line is one line of printable ASCII that decodes
// to text. Bytes that are not UTF-8 have no place in JSON and become U+FFFD.
func checkJSONLine(t *testing.T, text, line string) {
	t.Helper()
	body, ended := strings.CutSuffix(line, "\n")
	if !ended || !printable(body) {
		t.Errorf("JSONLine(%q) = %q, want one line of printable ASCII", text, line)
	}
	var back string
	if err := json.Unmarshal([]byte(line), &back); err != nil {
		t.Fatalf("JSONLine(%q) = %q: %v", text, line, err)
	}
	if want := string([]rune(text)); back != want {
		t.Errorf("JSONLine(%q) decodes to %q", text, back)
	}
}

func printable(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

// TestVariablePattern holds the check to the pattern that messages name.
func TestVariablePattern(t *testing.T) {
	pattern := regexp.MustCompile(`\A(?:` + VariablePattern + `)\z`)
	const letters = "aZ9-_ \n\x00\xc3"
	var grow func(text string, n int)
	grow = func(text string, n int) {
		if got, want := CheckVariable(text) != "must match "+VariablePattern, pattern.MatchString(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
		for i := 0; n > 0 && i < len(letters); i++ {
			grow(text+letters[i:i+1], n-1)
		}
	}
	grow("", 4)
	for n := 60; n < 66; n++ {
		grow(strings.Repeat("a", n), 1)
	}
}
