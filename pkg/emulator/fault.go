package emulator

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/internal/token"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
)

// Fault is a failure that the emulator simulates instead of a normal reply.
type Fault struct {
	Provider string // the only affected provider; empty for all
	Name     string // one of [FaultNames]
}

// FaultNames returns the names of all faults: first those that providers document,
// then hostile ones.
func FaultNames() []string {
	return []string{
		"refused", "locked", "closed", "rate-limited", "error-in-200",
		"redirect", "html", "truncated", "slow", "huge",
	}
}

// ParseFault parses NAME or PROVIDER:NAME. ok is false if NAME is not one of
// [FaultNames].
func ParseFault(text string) (Fault, bool) {
	f := Fault{Name: text}
	if providerName, name, ok := strings.Cut(text, ":"); ok {
		f = Fault{providerName, name}
	}
	return f, slices.Contains(FaultNames(), f.Name)
}

func (e *Emulator) fault(providerName string) (Fault, bool) {
	for _, f := range e.options.Faults {
		if f.Provider == "" || f.Provider == providerName {
			return f, true
		}
	}
	return Fault{}, false
}

// play sends the reply of the fault.
func (f Fault) play(w http.ResponseWriter, r *http.Request, d *provider.Definition) {
	switch f.Name {
	case "redirect":
		// If the journal contains a request for this path, the client followed the
		// redirect.
		w.Header().Set("Location", BaseURL(r.Host, d.Name)+"/redirected")
		w.WriteHeader(http.StatusTemporaryRedirect)
	case "html":
		w.Header().Set("Content-Type", "text/html")
		write(w, "<!DOCTYPE html><html><body><h1>Welcome</h1></body></html>\n")
	case "truncated":
		body := documented(d, "token").Body
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		write(w, body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler) // aborts the reply
	case "slow":
		w.Header().Set("Content-Type", "application/json")
		for r.Context().Err() == nil {
			write(w, " ")
			_ = http.NewResponseController(w).Flush()
			select {
			case <-time.After(time.Second):
			case <-r.Context().Done():
			}
		}
	case "huge":
		w.Header().Set("Content-Type", "application/json")
		write(w, `{"padding":"`+strings.Repeat("x", 2<<20)+`"}`)
	case "rate-limited":
		w.Header().Set("Retry-After", "30")
		writeReply(w, documented(d, f.Name))
	default:
		writeReply(w, documented(d, f.Name))
	}
}

// documented returns the definition's example with that name, or one generated from
// the definition.
func documented(d *provider.Definition, name string) provider.Example {
	if e, ok := d.Example(name); ok {
		return e
	}
	switch name {
	case "token":
		return tokenReply(d)
	case "locked":
		return generic(d, http.StatusLocked, "account is locked")
	case "closed":
		return failing(d, "closed", http.StatusServiceUnavailable, "closed")
	case "rate-limited":
		return generic(d, http.StatusTooManyRequests, "too many requests")
	case "error-in-200":
		return errorInSuccess(d)
	}
	return failing(d, "refused", http.StatusBadRequest, "refused")
}

// tokenReply returns a reply that the definition interprets as a token.
func tokenReply(d *provider.Definition) provider.Example {
	object, status := map[string]any{}, http.StatusOK
	for _, path := range d.Reply.Keep { // first, because such a member may also have a meaning
		provider.SetMember(object, path, "demo")
	}
	if i := slices.IndexFunc(d.Outcomes, func(o provider.Outcome) bool { return o.Is == "ok" }); i >= 0 {
		d.Outcomes[i].Satisfy(object)
		status = max(status, d.Outcomes[i].Status)
	}
	provider.SetMember(object, d.Reply.Token[0], d.Reply.Prefix+"{token}")
	if len(d.Reply.Type) > 0 && len(d.Reply.Types) > 0 {
		provider.SetMember(object, d.Reply.Type[0], d.Reply.Types[0])
	}
	switch {
	case len(d.Reply.ExpiresIn) > 0:
		provider.SetMember(object, d.Reply.ExpiresIn[0], 3600)
	case len(d.Reply.ExpiresAt) > 0:
		provider.SetMember(object, d.Reply.ExpiresAt[0], time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	}
	return example(status, object)
}

// failing returns a reply for the first outcome of the definition that is such a
// failure, or else a reply with the given status.
func failing(d *provider.Definition, is string, status int, text string) provider.Example {
	i := slices.IndexFunc(d.Outcomes, func(o provider.Outcome) bool { return o.Is == is && o.Status > 299 })
	if i < 0 {
		return generic(d, status, text)
	}
	object := map[string]any{}
	setText(d, object, text)
	d.Outcomes[i].Satisfy(object)
	return example(d.Outcomes[i].Status, object)
}

func setText(d *provider.Definition, object map[string]any, text string) {
	if len(d.Reply.ErrorText) > 0 {
		provider.SetMember(object, d.Reply.ErrorText[0], text)
	}
}

// generic returns a failure with text at the place where the definition expects it.
func generic(d *provider.Definition, status int, text string) provider.Example {
	object := map[string]any{}
	setText(d, object, text)
	return example(status, object)
}

// errorInSuccess returns a reply with status 200 that the definition interprets as a
// refusal.
func errorInSuccess(d *provider.Definition) provider.Example {
	object := map[string]any{}
	setText(d, object, "refused")
	refusal := provider.Outcome{Member: "error"} // a refusal for every definition
	if i := slices.IndexFunc(d.Outcomes, func(o provider.Outcome) bool {
		return o.Is == "refused" && o.Status <= 200 && o.Member != "" && !o.Absent
	}); i >= 0 {
		refusal = d.Outcomes[i]
	}
	refusal.Satisfy(object)
	return example(http.StatusOK, object)
}

// setLifetime replaces the lifetime in a reply, if it contains one.
func setLifetime(d *provider.Definition, body string, lifetime time.Duration) string {
	object, err := token.ParseObject([]byte(body))
	if err != nil {
		return body
	}
	for _, path := range d.Reply.ExpiresIn {
		replace(object, path, func(any) any { return int64(lifetime / time.Second) })
	}
	for _, path := range d.Reply.ExpiresAt {
		replace(object, path, func(old any) any {
			at := time.Now().Add(lifetime)
			number, isNumber := old.(json.Number)
			if !isNumber {
				return at.UTC().Format(time.RFC3339)
			}
			if value, err := number.Float64(); err == nil && value < 1e11 {
				return at.Unix()
			}
			return at.UnixMilli()
		})
	}
	data, err := json.Marshal(object)
	if err != nil {
		return body
	}
	return string(data)
}

// replace changes the member at a path, if it exists.
func replace(object token.Object, path string, with func(old any) any) {
	name, rest, nested := strings.Cut(path, ".")
	old, ok := object[name]
	inner, isObject := old.(token.Object)
	switch {
	case nested && isObject:
		replace(inner, rest, with)
	case ok && !nested:
		object[name] = with(old)
	}
}

func example(status int, object map[string]any) provider.Example {
	body, err := json.Marshal(object)
	if err != nil {
		body = []byte("{}")
	}
	return provider.Example{Status: status, Body: string(body)}
}

func writeReply(w http.ResponseWriter, reply provider.Example) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(reply.Status)
	write(w, reply.Body)
}

// write sends text. The emulator ignores clients that have disconnected.
func write(w http.ResponseWriter, text string) { _, _ = w.Write([]byte(text)) }
