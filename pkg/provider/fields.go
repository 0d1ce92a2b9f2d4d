package provider

import (
	"slices"
	"strings"
)

// reserved contains names that a provider cannot have: commands, and words that may
// become commands.
var reserved = []string{
	"exec", "login", "logout", "status", "doctor", "provider", "emulator", "cache", "completion", "version", "help",
	"auth", "config", "curl", "env", "fetch", "get", "init", "list", "profile", "profiles", "refresh", "run", "serve",
	"store", "token", "tokenfetch", "whoami",
}

// settings contains names that a field cannot have, because its flag, variable or
// profile key would conflict with one of tokenfetch's own.
var settings = []string{
	// Keys of a profile and of the table [tokenfetch].
	"environment", "base_url", "ca_file", "client_cert", "client_key", "timeout", "cache", "cache_key",
	// The variable that is set to the token.
	"access_token",
	// Flags of all commands, because several commands have flags for fields. A test
	// checks this list against the commands.
	"auth_method", "config", "delay", "dry_run", "emulator", "errors", "fault", "from", "grant_type", "help", "holds", "issuer", "journal", "listen", "lock_after", "mask",
	"min_ttl", "network", "no_cache", "output", "profile", "purge", "refresh", "replace", "retry", "store", "token_ttl", "token_url", "try_anyway",
	"var", "verbose", "verify", "version", "with",
}

const (
	namePattern  = `[a-z][a-z0-9-]{0,62}`
	fieldPattern = `[a-z][a-z0-9_]{0,62}`
)

// providerName reports whether text matches namePattern, the pattern for the names
// of providers and environments. It and fieldName run on every invocation, and
// compiling a regular expression would be noticeably slow.
func providerName(text string) bool { return isName(text, '-') }

// fieldName reports whether text matches fieldPattern.
func fieldName(text string) bool { return isName(text, '_') }

func isName(text string, joint rune) bool {
	return text != "" && len(text) <= 63 && 'a' <= text[0] && text[0] <= 'z' && !strings.ContainsFunc(text, func(c rune) bool {
		return !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == joint)
	})
}

// readFields reads the table [fields]. If there is a table [oauth2], its fields come
// first, and [fields] may change their help and default.
func (r *reader) readFields(table, oauth *node) {
	d := r.definition
	r.fieldsAt = map[string]*node{}
	supplied := 0
	if oauth != nil {
		d.Fields = r.oauth2Fields(oauth)
		supplied = len(d.Fields)
		for _, f := range d.Fields {
			r.fieldsAt[f.Name] = oauth
		}
	}
	if table == nil {
		return
	}
	for _, p := range table.pairs {
		name := p.key
		n := r.table(table, name)
		if n == nil {
			continue
		}
		f := r.readField(n, name)
		if i := slices.IndexFunc(d.Fields[:supplied], func(f Field) bool { return f.Name == name }); i >= 0 {
			if n.get("secret") != nil && f.Secret != d.Fields[i].Secret {
				r.wrong(n, "oauth2 says whether the field %s is secret", name)
			}
			f.Secret = d.Fields[i].Secret
			if n.get("help") == nil {
				f.Help = d.Fields[i].Help
			}
			d.Fields[i] = f
		} else {
			d.Fields = append(d.Fields, f)
		}
		r.fieldsAt[name] = n
	}
}

func (r *reader) readField(n *node, name string) Field {
	f := Field{
		Name: name, Help: r.text(n, "help"), Secret: r.boolean(n, "secret"), Optional: r.boolean(n, "optional"),
		Default: r.text(n, "default"), Example: r.text(n, "example"),
	}
	if f.Help == "" {
		f.Help = strings.ReplaceAll(name, "_", " ")
	}
	switch {
	case !fieldName(name):
		r.wrong(n, "the name of a field must match %s", fieldPattern)
	case strings.HasSuffix(name, "_file"):
		r.wrong(n, "the name of a field must not end in _file, which names the file of another field")
	// Every field has a variable that ends in _FILE, and every secret field has such
	// a flag.
	case slices.Contains(settings, name), slices.Contains(settings, name+"_file"):
		r.wrong(n, "%s is the name of a setting or flag of tokenfetch: choose another name for the field", name)
	}
	if f.Optional && f.Default != "" {
		r.wrong(n, "the field %s has a default, so it is never left out: optional does not go with it", name)
	}
	r.closed(n)
	return f
}

// checkFields checks the rules that need the complete definition. If request is set,
// each field must be used.
func (r *reader) checkFields(request bool) {
	for _, f := range r.definition.Fields {
		at := r.fieldsAt[f.Name]
		reference, isReference := f.reference()
		target, known := r.definition.Field(reference)
		switch {
		case f.Secret && (f.Example != "" || f.Default != ""):
			r.wrong(at, "the field %s is secret: it can have no example and no default", f.Name)
		case isReference && (!known || reference == f.Name):
			r.wrong(at, "the default of %s names no other field", f.Name)
		case isReference && (target.Secret || target.Optional || target.Default != ""):
			r.wrong(at, "the default of %s must name a field that must be given and is not secret", f.Name)
		case !isReference && strings.ContainsAny(f.Default, "{}"):
			r.wrong(at, "the default of %s must be a text without braces, or {FIELD} alone", f.Name)
		case request && !r.used[f.Name]:
			r.wrong(at, "the field %s is not used: no part of the request, host or use mentions it", f.Name)
		}
	}
}

// reference returns the name of the field that f takes its default value from.
func (f Field) reference() (string, bool) {
	name, ok := strings.CutPrefix(f.Default, "{")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(name, "}")
}
