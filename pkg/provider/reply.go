package provider

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/internal/token"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
)

// Token interprets a reply. It returns the token, or a [*failure.Error] that says
// why there is none. If the context ended while the body was read, it returns that
// error as it is. sent contains the secrets of the request; a token that contains
// one of them is an error.
func (d *Definition) Token(reply *token.Reply, sent ...secret.Value) (*token.Token, error) {
	object, parseErr := reply.Object()
	var t *token.Token
	verdict, err := d.judge(reply, object)
	switch {
	case verdict == "ok" || verdict == "" && success(reply.Status):
		if err = parseErr; err == nil {
			if t, err = d.read(object, reply, sent); err == nil {
				return t, nil
			}
		}
	case verdict == "":
		err = d.failed(reply, object)
	}
	e, ok := errors.AsType[*failure.Error](err)
	if !ok {
		return nil, err // the context ended while the body was read
	}
	e = e.WithSent(failure.SentYes, 1) // keeps the value that reading the body set, if any
	e.Provider, e.HTTPStatus = d.providerError(object), reply.Status
	e.Counted = d.counted(reply, e.Class())
	switch e.Class() {
	case failure.Reply:
		e.Reply = Outline(reply, object)
	case failure.Refused, failure.Later:
		e.RetryAfter = reply.RetryAfter
		if e.Class() == failure.Refused && saysLocked(e.Provider) {
			locked := d.locked()
			e.Code, e.Message, e.Hint = locked.Code, locked.Message, locked.Hint
		}
	}
	putOff := reply.RetryAfter != nil && (reply.Status == 429 || reply.Status == 503)
	if d.Policy.SingleUse && e.Class() != failure.Refused && !putOff {
		e = e.Append("; a token may have been issued")
	}
	return nil, e
}

// success reports whether the status is one of a successful token reply.
func success(status int) bool { return status == 200 || status == 201 }

// judge applies the outcomes of the definition to a reply. verdict is empty if none
// applies. err is the failure for every verdict except "ok".
func (d *Definition) judge(reply *token.Reply, object token.Object) (verdict string, err error) {
	if object == nil {
		return "", nil
	}
	for _, o := range d.Outcomes {
		if o.fits(reply.Status, object) {
			return o.Is, d.outcome(o, reply.Status, object)
		}
	}
	if _, found := object.Get("error"); found && success(reply.Status) {
		return "refused", d.outcome(Outcome{Is: "refused"}, reply.Status, object)
	}
	return "", nil
}

// fits reports whether the reply meets every condition of o.
func (o Outcome) fits(status int, object token.Object) bool {
	if o.Status == 0 && !success(status) || o.Status != 0 && o.Status != status {
		return false
	}
	if o.Member == "" {
		return true
	}
	value, found := object.Get(o.Member)
	if found == o.Absent || o.Values == nil {
		return found != o.Absent
	}
	is, ok := scalarOf(value)
	return ok && slices.Contains(o.Values, is)
}

// Satisfy adds a member to reply such that o matches it.
func (o Outcome) Satisfy(reply map[string]any) {
	switch {
	case o.Member == "" || o.Absent:
	case len(o.Values) > 0:
		SetMember(reply, o.Member, o.Values[0].value())
	default:
		SetMember(reply, o.Member, "refused")
	}
}

// SetMember sets the value at a path of an object. It creates the objects on the
// way.
func SetMember(object map[string]any, path string, value any) {
	name, rest, nested := strings.Cut(path, ".")
	if !nested {
		object[name] = value
		return
	}
	inner, ok := object[name].(map[string]any)
	if !ok {
		inner = map[string]any{}
		object[name] = inner
	}
	SetMember(inner, rest, value)
}

// value returns s as a value for encoding/json.
func (s Scalar) value() any {
	switch s.kind {
	case "number":
		return json.Number(s.text)
	case "boolean":
		return s.text == "true"
	}
	return s.text
}

// scalarOf converts a value of a reply. ok is false if it is not a scalar.
func scalarOf(value any) (Scalar, bool) {
	kind := token.TypeOf(value)
	if truth, ok := value.(bool); ok {
		return Scalar{kind, strconv.FormatBool(truth)}, true
	}
	text, ok := token.Scalar(value)
	if n, isNumber := value.(json.Number); isNumber {
		if f, err := n.Float64(); err == nil && text == n.String() {
			text = strconv.FormatFloat(f, 'g', -1, 64) // 0.50 equals 0.5
		}
	}
	return Scalar{kind, text}, ok
}

// outcome returns the error for a reply that matches o, or nil if Is is "ok".
func (d *Definition) outcome(o Outcome, status int, object token.Object) error {
	in := fmt.Sprintf("(status %d)", status)
	if success(status) {
		in = "(in a reply of success)"
	}
	switch o.Is {
	case "ok":
		return nil
	case "refused":
		return refused(failure.ProviderRefused, "%s refused the credentials or the request %s", d.Title, in)
	case "conflict":
		return refused(failure.ProviderConflict, "%s refused the request: it reports a conflict %s", d.Title, in)
	case "closed":
		return failure.New(failure.ProviderClosed, "%s is closed now %s", d.Title, in).WithHint("try again in its working hours")
	case "busy":
		return failure.New(failure.ProviderBusy, "%s asks to try again later %s", d.Title, in).WithHint("try again later")
	}
	if _, found := object.Get(o.Member); o.Member != "" && !found {
		return failure.New(failure.UnexpectedValue, "the reply's member %s is missing", o.Member)
	} else if o.Member != "" {
		return failure.New(failure.UnexpectedValue, "the reply's member %s has a value that is not documented", o.Member)
	}
	return failure.New(failure.UnexpectedValue, "the reply matches no documented outcome")
}

// failed returns the error for a status other than 200 and 201.
func (d *Definition) failed(reply *token.Reply, object token.Object) *failure.Error {
	status := reply.Status
	switch {
	case status == 401:
		return refused(failure.CredentialsRejected, "%s rejected the credentials (status 401)", d.Title)
	case status == 423:
		return d.locked()
	case status == 407:
		return failure.New(failure.ProxyFailed, "a proxy refused the request (status 407)").
			WithHint("check HTTPS_PROXY and its credentials")
	case status == 408 || status == 425:
		return failure.New(failure.ProviderBusy, "%s asks to try again later (status %d)", d.Title, status).WithHint("try again later")
	case status == 429:
		return failure.New(failure.RateLimited, "%s has received too many requests (status 429)%s", d.Title, wait(reply.RetryAfter)).
			WithHint("try again later, and less often")
	case 500 <= status && status <= 599:
		return failure.New(failure.ProviderBroken, "%s reports a server error (status %d)%s", d.Title, status, wait(reply.RetryAfter)).
			WithHint("try again later")
	case status == 400 || status == 403 || status == 409 || status == 422:
		switch {
		case !reply.IsJSON():
			return failure.New(failure.NotJSON, "the reply of status %d is not JSON: a gateway may have blocked this", status).
				WithHint("check the base address, and whether this computer's address is on the provider's list")
		case status == 403:
			return refused(failure.NotAllowed, "%s does not allow this (status 403)", d.Title)
		}
		return refused(failure.ProviderRefused, "%s refused the credentials or the request (status %d)", d.Title, status)
	case 400 <= status && status <= 499 && d.providerError(object) != nil:
		return failure.New(failure.NotATokenEndpoint, "the request was not accepted (status %d)", status).
			WithHint("correct what the provider complains about; if that does not help, check the base address")
	case 400 <= status && status <= 499:
		return failure.New(failure.NotATokenEndpoint, "the address is not a token endpoint (status %d)", status).
			WithHint("check the base address")
	case 301 <= status && status <= 399 && status != 304:
		return failure.New(failure.Redirect, "%s answered with a redirect (status %d), which is not followed", d.Title, status).
			WithHint("check the base address")
	}
	return failure.New(failure.UnexpectedStatus, "the reply has the unexpected status %d", status).
		WithHint("check the base address")
}

// locked returns the error for an account that the provider has locked.
func (d *Definition) locked() *failure.Error {
	return failure.New(failure.AccountLocked, "%s says the account is locked", d.Title).
		WithHint("do not try again; have %s unlock the account", d.Title)
}

// counted reports whether the provider counted a reply as a failed login, or may
// have done so. For a provider that locks accounts it assumes the worst: every JSON
// reply with status 2xx or 4xx counts, valid or not, unless it contains a token or
// has status 408 or 429, which only ask to try again later. An HTML page does not
// count, because it comes from a gateway.
func (d *Definition) counted(reply *token.Reply, class failure.Class) bool {
	switch status := reply.Status; {
	case class == failure.Refused:
		return true
	case slices.Contains([]int{400, 401, 403, 409, 422, 423}, status):
		return true
	case d.Policy.LockoutAfter == 0 || !reply.ClaimsJSON():
		return false
	default:
		return status/100 == 2 || status/100 == 4 && status != 408 && status != 429
	}
}

func refused(code failure.Code, format string, args ...any) *failure.Error {
	return failure.New(code, format, args...).
		WithHint("check the credentials before you try again; repeated refusals can lock an account")
}

func wait(after *time.Duration) string {
	if after == nil {
		return ""
	}
	return fmt.Sprintf("; it asks to wait %d s", int64(*after/time.Second))
}

// read reads the token and its properties from a reply.
func (d *Definition) read(object token.Object, reply *token.Reply, sent []secret.Value) (*token.Token, error) {
	value, found, err := agree(object, d.Reply.Token)
	if err != nil {
		return nil, err
	}
	if !found {
		e := failure.New(failure.NoToken, "the reply has no token at %s", strings.Join(d.Reply.Token, " or "))
		if d.File != "" {
			return nil, e.WithHint("correct token in [reply] of %s, then run: tokenfetch provider check %s", d.File, d.File)
		}
		return nil, e.WithHint("check the base address; if it is right, report this reply to the provider")
	}
	text, ok := value.(string)
	if !ok {
		return nil, failure.New(failure.TokenNotAString, "the reply's token is not a string")
	}
	text = strings.TrimPrefix(text, d.Reply.Prefix)
	if err := token.Check(text, sent...); err != nil {
		return nil, err
	}
	if err := d.checkType(object); err != nil {
		return nil, err
	}
	t := &token.Token{
		AccessToken: secret.New(text),
		Obtained:    reply.Received,
		SingleUse:   d.Policy.SingleUse,
	}
	if t.Lifetime, err = d.lifetime(object, reply.Received); err != nil {
		return nil, err
	}
	if value, _, err := agree(object, d.Reply.Scope); err != nil {
		return nil, err
	} else if scope, ok := value.(string); ok && validScope(scope, sent) {
		t.Scope = scope
	}
	t.Extra = d.kept(object, sent)
	return t, nil
}

// lifetime returns the lifetime of a token that was received at the given time: as a
// number of seconds in the reply, from an expiry time in the reply, or as
// documented, in this order. 0 means unknown.
func (d *Definition) lifetime(object token.Object, received time.Time) (time.Duration, error) {
	value, found, err := agree(object, d.Reply.ExpiresIn)
	if err != nil || found {
		return token.Lifetime(value), err
	}
	value, found, err = agree(object, d.Reply.ExpiresAt)
	if err != nil || found {
		return token.LifetimeUntil(value, received), err
	}
	return d.Policy.Lifetime(), nil
}

// kept returns the members listed in Reply.Keep as JSON. It omits a value that
// contains a secret of the request or is too long.
func (d *Definition) kept(object token.Object, sent []secret.Value) map[string]json.RawMessage {
	var members map[string]json.RawMessage
	for _, path := range d.Reply.Keep {
		value, _ := object.Get(path)
		is, ok := scalarOf(value)
		if !ok || len(is.text) > maxScope || secret.Redact(is.text, sent...) != is.text {
			continue
		}
		if members == nil {
			members = map[string]json.RawMessage{}
		}
		members[path], _ = json.Marshal(value) // a scalar always marshals
	}
	return members
}

// agree returns the value at those paths that are present. All values must be equal.
func agree(object token.Object, paths []string) (value any, found bool, err error) {
	for _, path := range paths {
		v, ok := object.Get(path)
		switch {
		case !ok:
			continue
		case !found:
			value, found = v, true
		case !equal(value, v):
			return nil, false, failure.New(failure.MembersDisagree, "the reply's members %s differ", strings.Join(paths, " and "))
		}
	}
	return value, found, nil
}

func equal(a, b any) bool {
	textA, okA := token.Scalar(a)
	textB, okB := token.Scalar(b)
	return okA && okB && textA == textB
}

func (d *Definition) checkType(object token.Object) error {
	value, found, err := agree(object, d.Reply.Type)
	if err != nil {
		return err
	}
	text, ok := value.(string)
	accepted := ok && slices.ContainsFunc(d.Reply.Types, func(t string) bool { return strings.EqualFold(t, text) })
	if found && !accepted {
		return failure.New(failure.BadTokenType, "the reply's token is not of the type %s", strings.Join(d.Reply.Types, " or "))
	}
	return nil
}

// maxScope is the maximum length of a scope, in bytes.
const maxScope = 8 << 10

// validScope reports whether text is a scope (RFC 6749 section 3.3) that is not too
// long and does not contain a secret of the request.
func validScope(text string, sent []secret.Value) bool {
	if len(text) > maxScope || secret.Redact(text, sent...) != text {
		return false
	}
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' })
}

// maxMembers is the maximum number of members in an outline.
const maxMembers = 50

// Outline describes a reply and its object, which is nil if the reply is not a JSON
// object. It keeps only the first maxMembers members, sorted by path.
func Outline(reply *token.Reply, object token.Object) *failure.ReplyOutline {
	described := &failure.ReplyOutline{ContentType: reply.ContentType}
	if object == nil {
		return described
	}
	members := memberTypes(object)
	names := slices.Sorted(maps.Keys(members))
	for _, name := range names[min(len(names), maxMembers):] {
		delete(members, name)
	}
	described.Members = members
	return described
}

// memberTypes returns the type of each member, keyed by path. It lists the members
// of a nested object instead of the object, unless the object is empty. A long name
// is replaced by its length. It is never cut, because a name may contain a secret,
// and redaction would not recognize a part of it.
func memberTypes(object token.Object) map[string]string {
	types := map[string]string{}
	for name, value := range object {
		if len(name) > 40 {
			name = fmt.Sprintf("(a name of %d bytes)", len(name))
		}
		inner, _ := value.(token.Object)
		if len(inner) == 0 {
			types[name] = token.TypeOf(value)
		}
		for path, kind := range memberTypes(inner) {
			types[name+"."+path] = kind
		}
	}
	return types
}

// providerError returns the provider's description of the error, or nil if there is
// none. If the reply contains a token, it is redacted.
func (d *Definition) providerError(object token.Object) *failure.ProviderError {
	var issued []secret.Value
	for _, path := range d.Reply.Token {
		value, _ := object.Get(path)
		text, _ := value.(string)
		issued = append(issued, secret.New(text))
	}
	first := func(paths []string) string {
		for _, path := range paths {
			value, _ := object.Get(path)
			if text, ok := token.Scalar(value); ok && text != "" {
				return secret.Redact(text, issued...)
			}
		}
		return ""
	}
	p := failure.ProviderError{Code: first(d.Reply.ErrorCode), Text: first(d.Reply.ErrorText), ID: first(d.Reply.ErrorID)}
	if p == (failure.ProviderError{}) {
		return nil
	}
	return &p
}

// saysLocked reports whether the provider's description contains the word "locked".
func saysLocked(p *failure.ProviderError) bool {
	if p == nil {
		return false
	}
	words := strings.FieldsFunc(strings.ToLower(p.Text+" "+p.Code), func(r rune) bool { return !unicode.IsLetter(r) })
	return slices.Contains(words, "locked")
}
