// Package output turns a token into the bytes that a person or program asked
// for, and makes text from outside harmless to show.
package output

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/token"
)

// Result is a token with what is told of it.
type Result struct {
	Token       *token.Token
	Provider    string
	Profile     string
	Environment string // empty if a base address was given
	Origin      string // scheme://host:port
	BaseURL     string // the address below which the token endpoint stands, with its path
	Use         token.Use
	Cached      bool
	Now         time.Time // when the result is printed
}

// Formats returns the names of the formats, the default first.
func Formats() []string {
	return []string{"text", "json", "export", "fish", "powershell", "header", "curl", "dotenv", "github-env", "github-output"}
}

// NeedsHeader reports whether the format presents the token as a header, which
// takes a token that travels in one.
func NeedsHeader(format string) bool { return format == "header" || format == "curl" }

// Format returns the result in a format, with its line end. name is the
// variable of the formats that set one; it must satisfy CheckVariable. The
// error says why the format has no way to write this token.
func Format(r Result, format, name string) ([]byte, error) {
	text := r.Token.AccessToken.Reveal()
	if r.Use.Header == "" && NeedsHeader(format) {
		return nil, errors.New("the token does not travel in a header")
	}
	switch format {
	case "json":
		return jsonLine(r), nil
	case "export":
		return fmt.Appendf(nil, "export %s=%s\n", name, quotePOSIX(text)), nil
	case "fish":
		return fmt.Appendf(nil, "set -gx %s %s\n", name, quoteFish(text)), nil
	case "powershell":
		return fmt.Appendf(nil, "$env:%s = %s\n", name, quotePowerShell(text)), nil
	case "header":
		return []byte(r.Use.HeaderLine(text) + "\n"), nil
	case "curl":
		return fmt.Appendf(nil, "header = %s\n", quoteCurl(r.Use.HeaderLine(text))), nil
	case "dotenv":
		quoted, err := quoteDotenv(text)
		return fmt.Appendf(nil, "%s=%s\n", name, quoted), err
	case "github-env", "github-output":
		return runnerEntry(name, text), nil
	}
	return []byte(text + "\n"), nil
}

// FailingLine returns the one line a failed run prints in the formats that are
// evaluated, so that the evaluation fails too and no old value stays; for
// other formats it is empty. name is the variable, or empty if it is unusable.
func FailingLine(format, name string) string {
	switch {
	case format == "curl":
		return "proto = \"-all\"\n"
	case format == "powershell" && name != "":
		return "Remove-Item Env:" + name + " -ErrorAction Ignore; throw 'tokenfetch failed'\n"
	case format == "powershell":
		return "throw 'tokenfetch failed'\n"
	case format == "fish" && name != "":
		return "set -e " + name + "; false\n"
	case format == "export" && name != "":
		return "unset " + name + "; false\n"
	case format == "fish" || format == "export":
		return "false\n"
	}
	return ""
}

func jsonLine(r Result) []byte {
	type use struct {
		Header  *string            `json:"header"`
		Scheme  *string            `json:"scheme"`
		Member  *string            `json:"member"`
		Headers map[string]*string `json:"headers"`
	}
	line := struct {
		Schema      string   `json:"schema"`
		Provider    string   `json:"provider"`
		Profile     string   `json:"profile"`
		Environment *string  `json:"environment"`
		Origin      string   `json:"origin"`
		BaseURL     string   `json:"base_url"`
		AccessToken string   `json:"access_token"`
		TokenType   *string  `json:"token_type"`
		Use         use      `json:"use"`
		ExpiresIn   *int64   `json:"expires_in"`
		ExpiresAt   *string  `json:"expires_at"`
		Scope       *string  `json:"scope"`
		SingleUse   bool     `json:"single_use"`
		Cached      bool     `json:"cached"`
		Extra       struct{} `json:"extra"` // no definition keeps a member of the reply
	}{
		Schema:      "tokenfetch.token/1",
		Provider:    r.Provider,
		Profile:     r.Profile,
		Environment: orNull(r.Environment),
		Origin:      r.Origin,
		BaseURL:     r.BaseURL,
		AccessToken: r.Token.AccessToken.Reveal(),
		Use:         use{orNull(r.Use.Header), orNull(r.Use.Scheme), orNull(r.Use.Member), r.Use.Headers},
		Scope:       orNull(r.Token.Scope),
		SingleUse:   r.Token.SingleUse,
		Cached:      r.Cached,
	}
	if r.Use.Header != "" {
		line.TokenType = orNull("Bearer")
	}
	if line.Use.Headers == nil {
		line.Use.Headers = map[string]*string{} // an object, not null
	}
	if life := r.Token.Lifetime; life > 0 {
		expires := r.Token.Obtained.Add(life).UTC()
		seconds, at := int64(life/time.Second), expires.Format(time.RFC3339)
		if r.Cached {
			seconds = int64(expires.Sub(r.Now) / time.Second)
		}
		line.ExpiresIn, line.ExpiresAt = &seconds, &at
	}
	return JSONLine(line)
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// JSONLine returns v as one line of JSON in printable ASCII. v must be made of
// types that always marshal.
func JSONLine(v any) []byte {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic("output: a value that does not marshal") // a fault of ours
	}
	out := make([]byte, 0, b.Len())
	for _, r := range strings.TrimSuffix(b.String(), "\n") {
		switch {
		case r >= ' ' && r <= '~':
			out = append(out, byte(r))
		case r > 0xffff:
			r -= 0x10000
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return append(out, '\n')
}

// VariablePattern is what the name of a variable looks like.
const VariablePattern = `[A-Za-z_][A-Za-z0-9_]*`

// CheckVariable returns the rule that name breaks as the variable for a token,
// or "". Names that change how programs run are refused, and names that a
// shell does not keep as text.
func CheckVariable(name string) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"
	if name == "" || len(name) > 128 || strings.Trim(name[:1], letters) != "" || strings.Trim(name, letters+"0123456789") != "" {
		return "must match " + VariablePattern
	}
	up := strings.ToUpper(name)
	for _, prefix := range []string{"LD_", "DYLD_", "GITHUB_", "RUNNER_", "TOKENFETCH_", "BASH_", "GIT_", "FISH_"} {
		if strings.HasPrefix(up, prefix) {
			return "must not begin with " + prefix
		}
	}
	if slices.Contains(dangerous, up) {
		return "must not be a variable that changes how programs run"
	}
	if slices.Contains(interpreted, up) {
		return "must not be a variable that a shell interprets"
	}
	return ""
}

var dangerous = []string{
	"PATH", "IFS", "ENV", "BASHOPTS", "SHELLOPTS", "CDPATH", "PS0", "PS1", "PS2", "PS3", "PS4", "PROMPT_COMMAND", "ZDOTDIR", "FPATH",
	"HOME", "USER", "LOGNAME", "SHELL", "PWD", "OLDPWD", "TMPDIR", "TMP", "TEMP", "TERM", "EDITOR", "VISUAL", "PAGER", "BROWSER", "CI",
	"NODE_OPTIONS", "NODE_PATH", "NODE_EXTRA_CA_CERTS", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONHOME", "PERL5LIB", "PERL5OPT", "PERL5DB",
	"RUBYLIB", "RUBYOPT", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH", "GODEBUG", "GOTRACEBACK", "GOFLAGS", "GOPROXY",
	"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE", "CURL_HOME", "CURL_CA_BUNDLE",
	"PATHEXT", "COMSPEC", "SYSTEMROOT", "WINDIR", "APPDATA", "PSMODULEPATH", "DBUS_SESSION_BUS_ADDRESS", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR",
	"EUID", "UID", "PPID", "GROUPS", "_",
	"PROMPT", "PROMPT2", "PROMPT3", "PROMPT4", "RPROMPT", "RPROMPT2", "RPS1", "RPS2", "SPROMPT", "NULLCMD", "READNULLCMD", "MAILPATH",
}

// interpreted are variables that some shell takes for a number or for its own:
// bash evaluates what is assigned to the first ones as arithmetic, so that the
// token a[$(id)] would run id; others silently turn a token into something else.
var interpreted = []string{
	"RANDOM", "SRANDOM", "HISTCMD", "OPTIND",
	"ARGC", "BASHPID", "COLUMNS", "DIRSTACK", "EGID", "EPOCHREALTIME", "EPOCHSECONDS", "ERRNO", "FUNCNAME", "FUNCNEST", "GID", "HISTCHARS",
	"HISTSIZE", "KEYBOARD_HACK", "KEYTIMEOUT", "LINENO", "LINES", "LISTMAX", "MAILCHECK", "PIPESTATUS", "SAVEHIST", "SECONDS", "SHLVL",
	"TMOUT", "TRY_BLOCK_ERROR", "TRY_BLOCK_INTERRUPT", "TTYIDLE", "USERNAME",
}
