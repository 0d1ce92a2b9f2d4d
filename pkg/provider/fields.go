package provider

import (
	"slices"
	"strings"
)

// reserved are the names a provider may not have: commands, and words users
// may expect to be commands one day.
var reserved = []string{
	"exec", "login", "logout", "status", "doctor", "provider", "emulator", "cache", "completion", "version", "help",
	"auth", "config", "curl", "env", "fetch", "get", "init", "list", "profile", "profiles", "refresh", "run", "serve",
	"store", "token", "tokenfetch", "whoami",
}

// settings are the names a field may not have, because its flag, variable or
// profile key would be one of ours.
var settings = []string{
	// Keys of a profile and of the table [tokenfetch].
	"environment", "base_url", "ca_file", "client_cert", "client_key", "timeout", "cache", "cache_key",
	// The variable that takes the token.
	"access_token",
	// Flags of all commands: fields have flags in several. A test walks the commands.
	"auth_method", "config", "delay", "dry_run", "emulator", "errors", "fault", "from", "grant_type", "help", "holds", "issuer", "journal", "listen", "lock_after", "mask",
	"min_ttl", "network", "no_cache", "output", "profile", "purge", "refresh", "replace", "retry", "store", "token_ttl", "token_url", "try_anyway",
	"var", "verbose", "verify", "version", "with",
	"token_url", "grant_type", "auth_method", "issuer",
}

const (
	namePattern  = `[a-z][a-z0-9-]{0,62}`
	fieldPattern = `[a-z][a-z0-9_]{0,62}`
)

// providerName reports whether text is namePattern, the name of a provider or an
// environment. Like fieldName it costs every run: compiling the pattern would be
// felt.
func providerName(text string) bool { return isName(text, '-') }

// fieldName reports whether text is fieldPattern.
func fieldName(text string) bool { return isName(text, '_') }

func isName(text string, joint rune) bool {
	return text != "" && len(text) <= 63 && 'a' <= text[0] && text[0] <= 'z' && !strings.ContainsFunc(text, func(c rune) bool {
		return !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == joint)
	})
}

// readFields reads the fields: first those that oauth2 supplies, if there is such
// a table, whose help or default the others may change.
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
	// Every field has a variable that ends in _FILE, every secret such a flag.
	case slices.Contains(settings, name), slices.Contains(settings, name+"_file"):
		r.wrong(n, "%s is the name of a setting or flag of tokenfetch: choose another name for the field", name)
	}
	if f.Optional && f.Default != "" {
		r.wrong(n, "the field %s has a default, so it is never left out: optional does not go with it", name)
	}
	r.closed(n)
	return f
}

// checkFields checks what takes the whole definition to know; with request set that
// each field is used.
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

// reference returns the field whose value is f's default.
func (f Field) reference() (string, bool) {
	name, ok := strings.CutPrefix(f.Default, "{")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(name, "}")
}
