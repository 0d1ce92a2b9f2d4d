package provider

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
)

// MaxFile is the maximum size of a definition, in bytes.
const MaxFile = 64 << 10

// Problem is one error in a definition.
type Problem struct {
	Line, Column int // both start at 1
	Text         string
}

// Problems contains all errors in a definition, in the order of the file.
type Problems struct {
	File string
	All  []Problem
}

// maxProblems is the maximum number of problems in one error message. The command
// provider check lists all of them.
const maxProblems = 3

func (p *Problems) Error() string {
	texts := make([]string, 0, maxProblems+1)
	for i, problem := range p.All {
		if i == maxProblems {
			texts = append(texts, fmt.Sprintf("and %d more", len(p.All)-i))
			break
		}
		texts = append(texts, fmt.Sprintf("line %d, column %d: %s", problem.Line, problem.Column, problem.Text))
	}
	return p.File + ": " + strings.Join(texts, "; ")
}

// failure converts p to the error that the rest of the program handles.
func (p *Problems) failure() *failure.Error {
	return failure.New(failure.DefinitionInvalid, "%s", p.Error()).WithHint("correct the definition, then run tokenfetch provider check %s", p.File)
}

// Parse parses and validates the definition of one provider. The base name of file
// must be NAME.toml, where NAME is the provider's name. The error is a [*Problems].
//
// A definition has the following keys. All are optional, but either [request] or
// [oauth2] is required:
//
//	title, verified, docs, notes        for the help text
//	[environments]                      NAME = "https://…" or { base_url, allow_listed }
//	[fields]                            NAME = { help, secret, optional, default, example }
//	[request]                           method, path, query, headers, basic, basic_encoding, form, json
//	[oauth2]                            token_url or path, grant_type, auth_method, scope, audience, resource
//	[reply]                             where the reply contains its values, see [Reply]
//	[[outcome]]                         status, member, value, absent, is; see [Outcome]
//	[token]                             lifetime, single_use, lockout_after, account
//	[use]                               header, scheme, member, headers
//	[[example]]                         name, status, body, outcome
func Parse(file string, data []byte) (*Definition, error) {
	r := &reader{data: data, definition: &Definition{Name: strings.TrimSuffix(filepath.Base(file), ".toml")}, used: map[string]bool{}}
	if len(data) > MaxFile {
		r.problems = []problem{{0, fmt.Sprintf("longer than %d KiB", MaxFile>>10)}}
		return nil, r.failed(file)
	}
	root, err := parseDocument(data)
	if syntax, ok := errors.AsType[*syntaxError](err); ok {
		r.problems = []problem{{syntax.offset, syntax.text}}
		return nil, r.failed(file)
	}
	r.read(root)
	if len(r.problems) > 0 {
		return nil, r.failed(file)
	}
	r.definition.Digest = fmt.Sprintf("%x", sha256.Sum256(data))
	return r.definition, nil
}

// problem is a [Problem] at a byte offset, before its line and column are known.
type problem struct {
	offset int
	text   string
}

// reader converts the tree of a document to a definition and collects problems.
type reader struct {
	data       []byte
	definition *Definition
	fieldsAt   map[string]*node // the position of each field
	used       map[string]bool  // the fields that the definition mentions
	problems   []problem
}

// failed returns the problems in the order of the file.
func (r *reader) failed(file string) *Problems {
	slices.SortStableFunc(r.problems, func(a, b problem) int { return a.offset - b.offset })
	all := &Problems{File: file}
	for _, p := range r.problems {
		line, column := position(r.data, p.offset)
		all.All = append(all.All, Problem{line, column, p.text})
	}
	return all
}

func (r *reader) wrong(at *node, format string, args ...any) {
	offset := 0
	if at != nil {
		offset = at.offset
	}
	r.problems = append(r.problems, problem{offset, fmt.Sprintf(format, args...)})
}

// table returns the table at a key, or nil if there is none.
func (r *reader) table(parent *node, key string) *node {
	n := parent.get(key)
	if n != nil && n.kind != unstable.Table {
		r.wrong(n, "%s must be a table", key)
		return nil
	}
	return n
}

// tables returns the elements of an array of tables.
func (r *reader) tables(parent *node, key string) []*node {
	n := parent.get(key)
	if n == nil {
		return nil
	}
	if n.kind != unstable.Array || slices.ContainsFunc(n.items, func(item *node) bool { return item.kind != unstable.Table }) {
		r.wrong(n, "%s must be a list of tables: [[%s]]", key, key)
		return nil
	}
	return n.items
}

// maxText is the maximum length of a string that is displayed, in bytes.
const maxText = 1000

// text returns the string at a key, or "". The string is for display: it must be one
// line of printable characters.
func (r *reader) text(parent *node, key string) string {
	n := parent.get(key)
	if n == nil || !r.isText(n, key) {
		return ""
	}
	return n.text
}

func (r *reader) isText(n *node, key string) bool {
	switch {
	case n.kind != unstable.String:
		r.wrong(n, "%s must be a text", key)
	case len(n.text) > maxText:
		r.wrong(n, "%s is longer than %d bytes", key, maxText)
	case strings.ContainsFunc(n.text, func(c rune) bool { return !unicode.IsPrint(c) }):
		r.wrong(n, "%s holds a character that cannot be printed", key)
	default:
		return true
	}
	return false
}

// texts returns the strings at a key, whose value is a string or a list of strings.
// known is false if the key is missing.
func (r *reader) texts(parent *node, key string) (all []string, known bool) {
	n := parent.get(key)
	switch {
	case n == nil:
		return nil, false
	case n.kind != unstable.Array:
		if r.isText(n, key) {
			all = []string{n.text}
		}
		return all, true
	}
	for _, item := range n.items {
		if r.isText(item, key) {
			all = append(all, item.text)
		}
	}
	return all, true
}

func (r *reader) boolean(parent *node, key string) bool {
	n := parent.get(key)
	if n != nil && n.kind != unstable.Bool {
		r.wrong(n, "%s must be true or false", key)
	}
	return n != nil && n.text == "true"
}

// number returns an integer from low to high, or 0 if the key is missing.
func (r *reader) number(parent *node, key string, low, high int64) int64 {
	n := parent.get(key)
	if n == nil {
		return 0
	}
	value, ok := n.whole()
	if !ok || value < low || value > high {
		r.wrong(n, "%s must be a whole number from %d to %d", key, low, high)
		return 0
	}
	return value
}

// oneOf returns a string that must be one of few. The first one is the default.
func (r *reader) oneOf(parent *node, key string, few ...string) string {
	n := parent.get(key)
	switch {
	case n == nil:
		return few[0]
	case n.kind != unstable.String || !slices.Contains(few, n.text):
		r.wrong(n, "%s must be one of %s", key, strings.Join(few, ", "))
		return few[0]
	}
	return n.text
}

// closed reports the keys of a table that no reader requested as unknown.
func (r *reader) closed(n *node) {
	if n == nil {
		return
	}
	for _, p := range n.pairs {
		if !slices.Contains(n.asked, p.key) {
			r.wrong(p.value, "unknown key %q; the keys here are %s", cut(p.key), strings.Join(n.asked, ", "))
		}
	}
}

// cut shortens a word from the file, so that a message can quote it.
func cut(text string) string {
	if len(text) > 64 {
		return text[:64] + "…"
	}
	return text
}

// read reads the whole definition. It reads the fields first, because all other
// parts may mention them.
func (r *reader) read(root *node) {
	d := r.definition
	switch {
	case !providerName(d.Name):
		r.wrong(nil, "the file's name is not that of a provider: it must match %s and end in .toml", namePattern)
	case slices.Contains(reserved, d.Name):
		r.wrong(nil, "%s is the name of a command, or kept for one: choose another name", d.Name)
	}
	d.Title, d.Verified, d.Docs = r.text(root, "title"), r.text(root, "verified"), r.text(root, "docs")
	if d.Title == "" {
		d.Title = d.Name
	}
	if d.Docs != "" && !strings.HasPrefix(d.Docs, "https://") {
		r.wrong(root.get("docs"), "docs must be an https address")
	}
	d.Notes, _ = r.texts(root, "notes")
	oauth := r.table(root, "oauth2")
	r.readFields(r.table(root, "fields"), oauth)
	r.readEnvironments(r.table(root, "environments"))
	request := r.table(root, "request")
	switch {
	case request != nil && oauth != nil:
		r.wrong(oauth, "request and oauth2 cannot stand together")
	case oauth != nil:
		r.readOAuth2(oauth, root.get("environments"))
	case request != nil:
		r.readRequest(request)
	default:
		r.wrong(root, "one of the tables [request] and [oauth2] is missing")
	}
	r.readReply(r.table(root, "reply"))
	for _, n := range r.tables(root, "outcome") {
		r.readOutcome(n)
	}
	r.readUse(r.table(root, "use"))
	r.readPolicy(r.table(root, "token"))
	for _, n := range r.tables(root, "example") {
		r.readExample(n)
	}
	r.checkFields(request != nil || oauth != nil)
	r.closed(root)
}

func (r *reader) readEnvironments(table *node) {
	if table == nil {
		return
	}
	for _, p := range table.pairs {
		name, n := p.key, p.value
		e := Environment{Name: name}
		at := n
		if n.kind == unstable.Table {
			e.BaseURL, e.AllowListed = r.text(n, "base_url"), r.boolean(n, "allow_listed")
			if at = n.get("base_url"); at == nil {
				at = n
			}
			r.closed(n)
		} else if r.isText(n, "an environment") {
			e.BaseURL = n.text
		}
		if !providerName(name) {
			r.wrong(n, "the name of an environment must match %s", namePattern)
		}
		r.checkHost(at, e.BaseURL)
		r.definition.Environments = append(r.definition.Environments, e)
	}
}

// checkHost checks the base URL of an environment. A field in it must be one label
// below the provider's domain, so that no value can select another domain.
func (r *reader) checkHost(at *node, text string) {
	scheme, rest, _ := strings.Cut(text, "://")
	host, path, _ := strings.Cut(rest, "/")
	labels := strings.Split(host, ".")
	for i, label := range labels {
		name, ok := strings.CutPrefix(label, "{")
		if !ok {
			continue
		}
		name, ok = strings.CutSuffix(name, "}")
		if !ok || !r.mention(at, name, true) {
			continue
		}
		if i >= len(labels)-2 {
			r.wrong(at, "{%s} must be a label below the provider's domain: in front of at least two labels", name)
		}
		labels[i] = "label"
	}
	address, err := ParseAddress(scheme + "://" + strings.Join(labels, ".") + "/" + path)
	if e, ok := errors.AsType[*failure.Error](err); ok {
		r.wrong(at, "%s", strings.Replace(e.Message, "the base address", "an environment's address", 1))
	} else if address.Scheme == "http" && strings.Contains(host, "{") {
		r.wrong(at, "an environment's address with a field must begin with https://")
	}
}

// mention records that the definition uses a field, and reports whether the field
// exists. If always is set, the field must not be optional.
func (r *reader) mention(at *node, name string, always bool) bool {
	f, ok := r.definition.Field(name)
	switch {
	case !ok:
		r.wrong(at, "there is no field %q", cut(name))
	case always && f.Optional:
		r.wrong(at, "the field %s is optional, and cannot be left out here", name)
	}
	r.used[name] = true
	return ok
}

func (r *reader) readReply(n *node) {
	reply := &r.definition.Reply
	for _, one := range []struct {
		key      string
		paths    *[]string
		defaults string // as in RFC 6749 sections 5.1 and 5.2
	}{
		{"token", &reply.Token, "access_token"},
		{"token_type", &reply.Type, "token_type"},
		{"expires_in", &reply.ExpiresIn, "expires_in"},
		{"scope", &reply.Scope, "scope"},
		{"error_code", &reply.ErrorCode, "error"},
		{"error_text", &reply.ErrorText, "error_description"},
		{"expires_at", &reply.ExpiresAt, ""},
		{"error_id", &reply.ErrorID, ""},
		{"keep", &reply.Keep, ""},
	} {
		paths, known := r.texts(n, one.key)
		if !known && one.defaults != "" {
			paths = []string{one.defaults}
		}
		for _, path := range paths {
			r.checkPath(n.get(one.key), one.key, path)
		}
		*one.paths = paths
	}
	if len(reply.Token) == 0 {
		r.wrong(n.get("token"), "token must name a member")
	}
	for _, path := range reply.Keep {
		if r.definition.holdsToken(path) {
			r.wrong(n.get("keep"), "keep must not name a member that holds a token: %s", path)
		}
	}
	var known bool
	if reply.Types, known = r.texts(n, "types"); !known {
		reply.Types = []string{"bearer"}
	}
	reply.Prefix = r.text(n, "token_prefix")
	r.closed(n)
}

// checkPath checks the path of a member: names joined by dots.
func (r *reader) checkPath(at *node, key, path string) {
	if slices.Contains(strings.Split(path, "."), "") {
		r.wrong(at, "%s must be the name of a member, or names joined by dots", key)
	}
}

// holdsToken reports whether the last name in path is that of a token, or of a
// member that the token is read from.
func (d *Definition) holdsToken(path string) bool {
	last := func(path string) string {
		name := path[strings.LastIndexByte(path, '.')+1:]
		return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(name))
	}
	return slices.Contains([]string{"token", "accesstoken", "refreshtoken", "idtoken"}, last(path)) ||
		slices.ContainsFunc(d.Reply.Token, func(p string) bool { return last(p) == last(path) })
}

func (r *reader) readOutcome(n *node) {
	o := Outcome{
		Status: int(r.number(n, "status", 200, 599)),
		Member: r.text(n, "member"),
		Absent: r.boolean(n, "absent"),
		Is:     r.oneOf(n, "is", "", "ok", "refused", "conflict", "closed", "busy", "untrusted"),
	}
	if o.Member != "" {
		r.checkPath(n.get("member"), "member", o.Member)
	}
	value := n.get("value")
	if value != nil {
		items := []*node{value}
		if value.kind == unstable.Array {
			items = value.items
		}
		o.Values = []Scalar{}
		for _, item := range items {
			c, ok := item.scalar()
			if !ok {
				r.wrong(item, "value must be a text, a number, true or false, or a list of these")
			}
			o.Values = append(o.Values, c)
		}
	}
	switch {
	case o.Is == "":
		r.wrong(n, "an outcome must say what the reply is: one of ok, refused, conflict, closed, busy, untrusted")
	case o.Is == "ok" && o.Status >= 300:
		r.wrong(n, "only a reply of status 200 to 299 can be ok")
	case o.Member == "" && (o.Absent || value != nil):
		r.wrong(n, "value and absent need a member")
	case o.Absent && value != nil:
		r.wrong(n, "value and absent cannot stand together")
	}
	r.closed(n)
	r.definition.Outcomes = append(r.definition.Outcomes, o)
}

func (r *reader) readUse(n *node) {
	use := &r.definition.Use
	use.Header, use.Scheme, use.Member = r.text(n, "header"), r.text(n, "scheme"), r.text(n, "member")
	switch {
	case use.Member != "" && (use.Header != "" || use.Scheme != ""):
		r.wrong(n, "member and header cannot stand together: the token travels in one of them")
	case use.Member != "":
	case use.Header == "":
		use.Header = "Authorization"
		fallthrough
	default:
		if strings.EqualFold(use.Header, "Authorization") && n.get("scheme") == nil {
			use.Scheme = "Bearer"
		}
		if !headerName(use.Header) || forbiddenHeader(use.Header) {
			r.wrong(n.get("header"), "header is not the name of a header that can be set")
		}
		if use.Scheme != "" && !headerName(use.Scheme) {
			r.wrong(n.get("scheme"), "scheme must be one word, such as Bearer")
		}
	}
	use.Headers = r.headers(n, "headers")
	for _, h := range use.Headers {
		if strings.EqualFold(h.Name, use.Header) {
			r.wrong(n.get("headers"), "the header %s carries the token", h.Name)
		}
	}
	r.closed(n)
}

func (r *reader) readPolicy(n *node) {
	p := &r.definition.Policy
	p.SingleUse = r.boolean(n, "single_use")
	p.Seconds = r.number(n, "lifetime", 1, 10*365*24*3600)
	p.LockoutAfter = int(r.number(n, "lockout_after", 2, 1000))
	p.Account, _ = r.texts(n, "account")
	if (p.LockoutAfter == 0) != (len(p.Account) == 0) {
		r.wrong(n, "lockout_after and account belong together")
	}
	for _, name := range p.Account {
		f, ok := r.definition.Field(name)
		if _, isReference := f.reference(); !ok || isReference || f.Secret || f.Optional {
			r.wrong(n.get("account"), "account: %q is not the name of a field that must be given and is not secret", cut(name))
		}
	}
	r.closed(n)
}

func (r *reader) readExample(n *node) {
	e := Example{
		Name:    r.text(n, "name"),
		Status:  int(r.number(n, "status", 200, 599)),
		Outcome: r.text(n, "outcome"),
	}
	if body := n.get("body"); body != nil {
		if body.kind != unstable.String {
			r.wrong(body, "body must be a text")
		}
		e.Body = body.text
	}
	_, twice := r.definition.Example(e.Name)
	code := failure.Code(e.Outcome)
	switch {
	case e.Name == "" || twice:
		r.wrong(n, "an example needs a name of its own")
	case e.Status == 0:
		r.wrong(n, "an example needs a status")
	case e.Outcome != "token" && code.Class() == failure.Bug:
		r.wrong(n, "the outcome of an example must be token, or the code of an error (tokenfetch help errors)")
	}
	r.closed(n)
	r.definition.Examples = append(r.definition.Examples, e)
}
