package provider

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
)

// Address is a provider's base URL: a scheme, a host, an optional port and a plain
// path.
type Address struct {
	Scheme string // https, or http for a loopback host
	Host   string // lower case; an IPv6 address is in brackets
	Port   string // as the user wrote it, or empty
	Path   string // without a trailing slash, so it may be empty
}

// ParseAddress parses a base URL. It is stricter than net/url, so that no two
// programs can disagree about the host. The host is an IP address, or consists of
// ASCII letters, digits, dots and hyphens. A user, query, fragment, percent sign,
// zone or backslash is an error. The scheme http is valid only for 127.0.0.0/8,
// [::1] and localhost. The error is a [*failure.Error] that never quotes text.
func ParseAddress(text string) (Address, error) {
	bad := func(rule string) (Address, error) {
		return Address{}, failure.New(failure.BadBaseURL, "the base address %s", rule).
			WithHint("write it as https://HOST[:PORT][/PATH]")
	}
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok || scheme != "https" && scheme != "http" {
		return bad("must begin with https://")
	}
	authority, path, hasPath := strings.Cut(rest, "/")
	if hasPath {
		path = "/" + path
	}
	switch {
	case strings.Contains(rest, "@"):
		return bad("must not contain credentials")
	case strings.ContainsAny(rest, "?#"):
		return bad("must have no query or fragment")
	case strings.ContainsAny(rest, "%\\"):
		return bad("must not contain % or a backslash")
	}
	host, port := authority, ""
	if i := strings.LastIndexByte(authority, ':'); i > strings.LastIndexByte(authority, ']') {
		host, port = authority[:i], authority[i+1:]
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || port[0] == '0' {
			return bad("has a port that is not a number from 1 to 65535")
		}
	}
	ascii := !strings.ContainsFunc(host, func(r rune) bool { return r > unicode.MaxASCII })
	host = strings.ToLower(host) // maps some non-ASCII letters to ASCII, so ascii is computed first
	if !ascii || !validHost(host) {
		return bad("must name an ASCII host or an IP address")
	}
	if ip, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil && ip.Is6() {
		host = "[" + ip.String() + "]" // the canonical spelling
	}
	path = strings.TrimSuffix(path, "/")
	if path != "" && !plainPath(path) {
		return bad("must have a plain path: letters, digits, dots, hyphens, underscores and tildes between single slashes")
	}
	a := Address{scheme, host, port, path}
	if scheme == "http" && !a.loopback() {
		return Address{}, failure.New(failure.HTTPSRequired, "https required: the base address uses http, which is only for loopback addresses").
			WithHint("write it as https://HOST[:PORT][/PATH]")
	}
	return a, nil
}

// plainPath reports whether path matches (/[A-Za-z0-9._~-]+)+ and has no segment "."
// or "..". It runs on every invocation, and compiling a regular expression would be
// noticeably slow. The same is true of labels and names.
func plainPath(path string) bool {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-"
	segments, ok := strings.CutPrefix(path, "/")
	for segment := range strings.SplitSeq(segments, "/") {
		ok = ok && segment != "" && segment != "." && segment != ".." && strings.Trim(segment, letters) == ""
	}
	return ok
}

func validHost(host string) bool {
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		ip, err := netip.ParseAddr(inner)
		return ok && err == nil && ip.Is6() && ip.Zone() == ""
	}
	if len(host) > 253 {
		return false
	}
	labels := strings.Split(host, ".")
	for _, label := range labels {
		if !validLabel(label) {
			return false
		}
	}
	// Some programs read a host whose last label starts with a digit as an IP
	// address, others as a name. Only an IPv4 address is valid here.
	if last := labels[len(labels)-1]; last[0] >= '0' && last[0] <= '9' {
		ip, err := netip.ParseAddr(host)
		return err == nil && ip.Is4()
	}
	return true
}

// LabelPattern is the regular expression for one label of a host name.
const LabelPattern = `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`

func validLabel(label string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789-"
	return len(label) > 0 && len(label) <= 63 && strings.Trim(label, letters) == "" && strings.Trim(label, "-") == label
}

func (a Address) loopback() bool {
	if a.Host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(a.Host, "[]"))
	return err == nil && (ip.Is4() && ip.IsLoopback() || ip == netip.IPv6Loopback())
}

// Authority returns HOST[:PORT], with the port only if the user wrote one.
func (a Address) Authority() string {
	if a.Port == "" {
		return a.Host
	}
	return a.Host + ":" + a.Port
}

// Origin returns SCHEME://HOST:PORT, always with a port. It returns "" for the zero
// Address.
func (a Address) Origin() string {
	if a.Host == "" {
		return ""
	}
	port := a.Port
	if port == "" {
		port = "443"
		if a.Scheme == "http" {
			port = "80"
		}
	}
	return a.Scheme + "://" + a.Host + ":" + port
}

// String returns the base URL: scheme, authority and path.
func (a Address) String() string { return a.Scheme + "://" + a.Authority() + a.Path }

// Address returns the base URL of the environment e. It replaces each placeholder
// {FIELD} with value(FIELD), which must be a single DNS label. The error is a
// [*failure.Error].
func (d *Definition) Address(e Environment, value func(field string) string) (Address, error) {
	text := e.BaseURL
	for _, f := range d.Fields {
		if !e.uses(f.Name) {
			continue
		}
		label := value(f.Name)
		if !validLabel(label) {
			return Address{}, failure.New(failure.FieldInvalid, "%s is not one host name label: it must match %s", f.Name, LabelPattern).
				WithHint("give only your subdomain, such as %s", cmp.Or(f.Example, "acme"))
		}
		text = strings.ReplaceAll(text, "{"+f.Name+"}", label)
	}
	return ParseAddress(text)
}

// CheckBase parses a base URL that a user wrote for this provider, as [ParseAddress]
// does. A URL that already ends in the path of the token endpoint is an error too.
// The error is a [*failure.Error].
func (d *Definition) CheckBase(text string) (Address, error) {
	a, err := ParseAddress(text)
	if err != nil {
		return Address{}, err
	}
	path := d.Request.Path.String()
	if base, ok := strings.CutSuffix(a.Path, strings.TrimSuffix(path, "/")); ok && path != "" && path != "/" {
		a.Path = base
		return Address{}, failure.New(failure.BadBaseURL, "the base address already ends in %s, which is added to it", path).
			WithHint("use %s", a)
	}
	return a, nil
}

// InHost reports whether the host name of any environment contains the field.
func (d *Definition) InHost(field string) bool {
	return slices.ContainsFunc(d.Environments, func(e Environment) bool { return e.uses(field) })
}

// Needs reports whether the token request to e, or later calls with the token, need
// the field. If e is nil, a base URL was set instead of an environment.
func (d *Definition) Needs(field string, e *Environment) bool {
	use := slices.ContainsFunc(d.Use.Headers, func(h Pair) bool { return slices.Contains(h.Value.Fields(), field) })
	return use || d.Request.mentions(field) || e != nil && e.uses(field)
}

func (e Environment) uses(field string) bool { return strings.Contains(e.BaseURL, "{"+field+"}") }
