package output

import (
	"slices"
	"strings"
)

// VariablePattern is the regular expression for the name of a variable.
const VariablePattern = `[A-Za-z_][A-Za-z0-9_]*`

// CheckVariable returns the rule that name violates as the variable for a token, or
// "". It rejects names that change how programs run, names that a CI service uses to
// communicate with its jobs, and names whose value a shell changes. It ignores case,
// as Windows does; also, zsh uses path for PATH.
func CheckVariable(name string) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"
	if name == "" || len(name) > 128 || strings.Trim(name[:1], letters) != "" || strings.Trim(name, letters+"0123456789") != "" {
		return "must match " + VariablePattern
	}
	up := strings.ToUpper(name)
	for _, prefix := range reserved {
		if strings.HasPrefix(up, prefix) {
			return "must not begin with " + prefix
		}
	}
	switch {
	case slices.Contains(dangerous, up):
		return "must not be a variable that changes how programs run"
	case slices.Contains(interpreted, up):
		return "must not be a variable that a shell interprets"
	case strings.HasSuffix(up, "_TOKEN"), strings.HasSuffix(up, "_API_KEY"):
		return "" // names in which programs expect tokens: NODE_AUTH_TOKEN, GITLAB_TOKEN, GEM_HOST_API_KEY
	}
	for _, prefix := range families {
		if strings.HasPrefix(up, prefix) {
			return "must not begin with " + prefix + ", unless it ends in _TOKEN or _API_KEY"
		}
	}
	for _, suffix := range kinds {
		if strings.HasSuffix(up, suffix) {
			return "must not end in " + suffix
		}
	}
	return ""
}

// reserved contains prefixes of names that are always rejected.
var reserved = []string{"LD_", "DYLD_", "GLIBC_", "LC_", "GITHUB_", "RUNNER_", "ACTIONS_", "TOKENFETCH_", "BASH_", "FISH_", "GIT_", "NPM_CONFIG_"}

// families contains prefixes of names from which a program or system reads its
// settings, including commands to run.
var families = []string{
	// the C library and the loader
	"MALLOC_", "GCONV_", "LIBC_",
	// shells
	"BASH", "COMP_", "HIST", "KSH_", "READLINE_", "ZLS_", "ZSH_",
	// language runtimes, their builds and packages
	"PYTHON", "PYENV_", "PIP_", "UV_", "CONDA_", "VIRTUAL_ENV", "PERL", "RUBY", "GEM_", "BUNDLE_", "RBENV_",
	"NODE_", "NPM_", "YARN_", "PNPM_", "COREPACK_", "DENO_", "BUN_", "ELECTRON_",
	"JAVA_", "JDK_", "_JAVA_", "MAVEN_", "GRADLE_", "LUA_", "PHP_", "GUILE_", "ERL_",
	"DOTNET_", "CORECLR_", "COMPLUS_", "COR_", "CGO_", "GOTOOL", "CARGO_", "RUSTC", "RUSTUP_", "RUST_", "GCC_", "CMAKE_", "PKG_CONFIG",
	// programs that read, display, edit, pack and connect
	"LESS", "GROFF_", "SYSTEMD_", "SUDO_", "SSH_", "GPG_", "OPENSSL_", "SSL_", "CURL_", "RSYNC_", "GREP_", "TAR_", "XZ_", "ZSTD_", "TERMINFO",
	"DOCKER_", "GH_", "SVN_",
	// desktops
	"XDG_", "DBUS_", "GTK_", "GIO_", "QT_", "GST_",
	// CI services: information for their jobs
	"CI_", "GITLAB_", "AGENT_", "SYSTEM_", "BUILD_", "TF_CLI_", "JENKINS_", "HUDSON_", "TEAMCITY_", "CODEBUILD_", "CIRCLE", "BUILDKITE",
	"TRAVIS", "APPVEYOR_", "BITBUCKET_", "DRONE_", "SEMAPHORE_", "WOODPECKER_",
}

// kinds contains suffixes of names that show how programs use the value.
var kinds = []string{
	"PATH", "_HOME", "SHELL", "EDITOR", "PAGER", "BROWSER", "ASKPASS", "COMMAND", "_RSH", "_PROXY", "_OPTS", "_OPTIONS", "FLAGS",
}

// dangerous contains complete names.
var dangerous = []string{
	// shells
	"PATH", "IFS", "ENV", "SHELLOPTS", "ZDOTDIR", "INPUTRC", "PS0", "PS1", "PS2", "PS3", "PS4", "PROMPT_COMMAND",
	"PROMPT", "PROMPT2", "PROMPT3", "PROMPT4", "RPROMPT", "RPROMPT2", "RPS1", "RPS2", "SPROMPT", "NULLCMD", "READNULLCMD",
	"ARGV0", "STTY", "WATCH", "WATCHFMT", "LOGCHECK", "FCEDIT", "POSIXLY_CORRECT", "EUID", "UID", "PPID", "GROUPS", "_",
	// the user and the terminal
	"HOME", "USER", "LOGNAME", "PWD", "OLDPWD", "TMPDIR", "TMP", "TEMP", "TERM", "VISUAL",
	"LANG", "LANGUAGE", "TEXTDOMAIN", "TEXTDOMAINDIR", "TZ", "TZDIR", "HOSTALIASES", "LOCALDOMAIN", "MAIL",
	"TERMCAP", "LS_COLORS", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY",
	// runtimes and tools
	"GODEBUG", "GOTRACEBACK", "GOPROXY", "GOENV", "GOROOT", "GOBIN", "GOSUMDB", "GONOSUMDB", "GOPRIVATE", "GOVCS", "GOAUTH", "PHPRC",
	"NODE_OPTIONS", "R_PROFILE", "R_ENVIRON", "R_LIBS", "MAKEFILES", "MAKELEVEL", "CC", "CXX", "CPP", "AR", "AS", "GZIP", "BZIP", "BZIP2", "MANOPT",
	"HTTP_PROXY", "HTTPS_PROXY", "SSL_CERT_FILE", "SSLKEYLOGFILE", "KRB5CCNAME", "KUBECONFIG", "NETRC", "WGETRC", "GNUPGHOME",
	// Windows
	"PATHEXT", "COMSPEC", "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "USERPROFILE", "PSMODULEPATH",
	// CI services, including the tokens for their jobs
	"CI", "TF_BUILD", "JOB_NAME", "WORKSPACE", "CI_JOB_TOKEN", "CI_DEPENDENCY_PROXY_TOKEN", "CIRCLE_OIDC_TOKEN", "BUILDKITE_AGENT_ACCESS_TOKEN",
}

// interpreted contains variables that a shell treats as a number or sets itself.
// bash evaluates what is assigned to the first ones as arithmetic, so the token
// a[$(id)] would run id. Others silently change the value of a token.
var interpreted = []string{
	"RANDOM", "SRANDOM", "HISTCMD", "OPTIND",
	"ARGC", "ARGV", "AUTO_RESUME", "BASHPID", "CMD_DURATION", "COLUMNS", "COMPREPLY", "COPROC", "DIRSTACK", "EGID", "EMACS", "EPOCHREALTIME",
	"EPOCHSECONDS", "ERRNO", "EXECIGNORE", "FIGNORE", "FUNCNAME", "FUNCNEST", "GID", "GLOBIGNORE", "GLOBSORT", "HISTCHARS", "HISTSIZE", "HOSTFILE",
	"HOSTNAME", "HOSTTYPE", "IGNOREEOF", "KEYBOARD_HACK", "KEYTIMEOUT", "LINENO", "LINES", "LISTMAX", "MACHTYPE", "MAILCHECK", "MAPFILE", "OPTARG",
	"OPTERR", "OSTYPE", "PIPESTATUS", "POSTEDIT", "PSVAR", "REPLY", "REPORTTIME", "REPORTMEMORY", "SAVEHIST", "SECONDS", "SHLVL", "STATUS",
	"TIMEFMT", "TIMEFORMAT", "TMOUT", "TRY_BLOCK_ERROR", "TRY_BLOCK_INTERRUPT", "TTYIDLE", "UMASK", "USERNAME", "VERSION", "WORDCHARS",
}
