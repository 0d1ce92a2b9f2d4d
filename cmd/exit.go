package cmd

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fatih/color"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/output"
)

// The limits of what is shown of a provider's reply.
const (
	maxProviderText = 300 // characters of its words
	maxNames        = 20  // members of a reply, in text
	maxName         = 100 // characters of a member's path, in JSON
)

// exit prints how the run ended and returns the exit code. Nothing else does either.
func (r *run) exit(err error) int {
	if err == nil {
		return 0
	}
	if status, ok := errors.AsType[childStatus](err); ok {
		return int(status)
	}
	e := failure.From(err)
	e = e.WithHint("%s", r.inThisFile(e.Hint))
	code := r.exitCode(err, e.Class())
	if line := output.FailingLine(r.asked.format, r.asked.name); line != "" && !r.outputBegun.Load() {
		if _, err := writeWithin(r.env.Stdout, []byte(line), stuckAfter); err != nil {
			r.console.info("the failing line could not be written")
		}
	}
	r.console.common = r.commonWords()
	if r.asked.errorsJSON {
		r.console.write(string(r.errorJSON(e, code)))
		return code
	}
	text := r.console.own(r.whose(e)+e.Message, 500, e.Code.Means()) + r.replyHolds(e) + r.providerSays(e.Provider)
	name := fmt.Sprintf(" (%s)", e.Code)
	r.console.line("error", color.FgRed, r.console.own(text, maxLine-len(name), e.Code.Means())+name, e.Code.Means()+name)
	for line := range strings.Lines(e.Hint) {
		r.console.hint(strings.TrimSuffix(line, "\n"))
	}
	return code
}

// commonWords returns words that occur in errors, in lower case: those of the table of
// codes, and the names of the provider, its fields and its environments.
func (r *run) commonWords() []string {
	text := []string{"tokenfetch", r.provider}
	for _, m := range failure.Codes() {
		text = append(text, m.Means)
	}
	for _, f := range r.refs {
		text = append(text, f.Definition.EnvironmentNames()...)
		for _, field := range f.Definition.Fields {
			text = append(text, field.Name, field.Flag(), strings.ReplaceAll(field.Name, "_", " "))
		}
	}
	return strings.FieldsFunc(strings.ToLower(strings.Join(text, " ")), func(c rune) bool { return strings.ContainsRune(" ,;:()'", c) })
}

// ofField contains the codes of class [failure.Config] that concern a field of a
// profile, or its host.
var ofField = [...]failure.Code{
	failure.FieldMissing, failure.FieldInvalid, failure.HostMissing, failure.BadBaseURL, failure.HTTPSRequired,
	failure.FileNotFound, failure.FileUnreadable, failure.FilePermissions, failure.InputTimeout,
	failure.HelperNotFound, failure.HelperFailed, failure.HelperTimeout,
	failure.KeychainNotFound, failure.KeychainUnavailable, failure.KeychainLocked, failure.KeychainTimeout,
	failure.CAFileInvalid,
}

// whose returns the profile that an error concerns, as "zeepay/default: ", unless the
// message contains it.
func (r *run) whose(e *failure.Error) string {
	class, profile := e.Class(), r.knownProfile()
	about := class >= failure.Refused && class <= failure.Reply || class == failure.Signal || slices.Contains(ofField[:], e.Code)
	ref := r.provider + "/" + profile
	if !about || r.provider == "" || profile == "" || strings.HasPrefix(e.Message, ref+" ") || strings.Contains(e.Message, "["+r.provider+"."+profile+"]") {
		return ""
	}
	return ref + ": "
}

// exitError is an error with an exit code that differs from that of its class.
type exitError struct {
	error
	code int
}

// Unwrap returns the failure.
func (e exitError) Unwrap() error { return e.error }

// exitCode returns the exit code for err, whose class is class.
func (r *run) exitCode(err error, class failure.Class) int {
	if own, ok := errors.AsType[exitError](err); ok {
		return own.code
	} else if r.wraps && class != failure.Usage {
		return exitBefore
	}
	return int(class)
}

// replyHolds lists the members of a reply that has no token.
func (r *run) replyHolds(e *failure.Error) string {
	if e.Code != failure.NoToken || e.Reply == nil {
		return ""
	}
	names := slices.Sorted(maps.Keys(e.Reply.Members))
	if len(names) == 0 {
		return "; the reply has no members"
	}
	more := ""
	if len(names) > maxNames {
		names, more = names[:maxNames], ", ..."
	}
	return "; members of the reply: " + r.words(strings.Join(names, ", ")+more)
}

// providerSays quotes the provider's message, escaped and truncated.
func (r *run) providerSays(p *failure.ProviderError) string {
	if p == nil {
		return ""
	}
	text := "; provider says"
	if p.Text != "" {
		text += fmt.Sprintf(" %q", r.words(p.Text))
	}
	if p.Code != "" {
		text += fmt.Sprintf(" code %q", r.words(p.Code))
	}
	if p.ID != "" {
		text += fmt.Sprintf(" id %q", r.words(p.ID))
	}
	return text
}

func (r *run) words(text string) string { return r.console.safe(text, maxProviderText) }

// errorJSON returns the error as one line of JSON with all keys.
func (r *run) errorJSON(e *failure.Error, code int) []byte {
	type providerError struct {
		Code *string `json:"code"`
		Text *string `json:"text"`
		ID   *string `json:"id"`
	}
	type replyOutline struct {
		Status      int               `json:"status"`
		ContentType *string           `json:"content_type"`
		Members     map[string]string `json:"members"`
	}
	line := struct {
		Schema        string         `json:"schema"`
		Exit          int            `json:"exit"`
		Class         string         `json:"class"`
		Code          failure.Code   `json:"code"`
		Message       string         `json:"message"`
		Hint          *string        `json:"hint"`
		Provider      *string        `json:"provider"`
		Profile       *string        `json:"profile"`
		Origin        *string        `json:"origin"`
		Sent          string         `json:"sent"`
		Attempts      int            `json:"attempts"`
		Retryable     bool           `json:"retryable"`
		RetryAfter    *int64         `json:"retry_after_s"`
		HTTPStatus    *int           `json:"http_status"`
		ProviderError *providerError `json:"provider_error"`
		Reply         *replyOutline  `json:"reply"`
		Version       string         `json:"version"`
	}{
		Schema:    "tokenfetch.error/1",
		Exit:      code,
		Class:     e.Class().String(),
		Code:      e.Code,
		Message:   r.console.own(e.Message, maxLine, e.Code.Means()),
		Hint:      output.OrNull(r.console.own(strings.ReplaceAll(e.Hint, "\n", "; "), maxLine, hiddenHint)),
		Provider:  r.orNull(r.provider),
		Profile:   r.orNull(r.knownProfile()),
		Origin:    r.orNull(r.origin),
		Sent:      e.Sent.String(),
		Attempts:  e.Attempts,
		Retryable: e.Retryable(),
		Version:   r.env.Version,
	}
	if e.RetryAfter != nil {
		seconds := int64(*e.RetryAfter / time.Second)
		line.RetryAfter = &seconds
	}
	if e.HTTPStatus != 0 {
		line.HTTPStatus = &e.HTTPStatus
	}
	if p := e.Provider; p != nil {
		line.ProviderError = &providerError{r.orNull(p.Code), r.orNull(p.Text), r.orNull(p.ID)}
	}
	if reply := e.Reply; reply != nil {
		line.Reply = &replyOutline{Status: e.HTTPStatus, ContentType: r.orNull(reply.ContentType)}
		if reply.Members != nil {
			line.Reply.Members = map[string]string{}
		}
		for name, kind := range reply.Members {
			line.Reply.Members[r.console.safe(name, maxName)] = kind
		}
	}
	return output.JSONLine(line)
}

// orNull returns a text from outside for JSON, null if it is empty.
func (r *run) orNull(text string) *string { return output.OrNull(r.words(text)) }

// lineOrNull returns a text of tokenfetch for JSON, null if it is empty.
func (r *run) lineOrNull(text string) *string { return output.OrNull(r.console.safe(text, maxLine)) }
