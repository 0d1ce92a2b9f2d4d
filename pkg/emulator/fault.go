package emulator

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/provider"
)

// Fault is a failure the emulator plays instead of answering.
type Fault struct {
	Provider string // only for this provider, or empty for all
	Name     string // one of FaultNames
}

// FaultNames returns the faults there are: first the ones the providers
// document, then hostile ones.
func FaultNames() []string {
	return []string{
		"refused", "locked", "closed", "rate-limited", "error-in-200",
		"redirect", "html", "truncated", "slow", "huge",
	}
}

// ParseFault reads NAME or PROVIDER:NAME.
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

// play answers with the fault.
func (f Fault) play(w http.ResponseWriter, r *http.Request, d *provider.Definition) {
	switch f.Name {
	case "redirect":
		// A request for this path in the journal means that it was followed.
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
		panic(http.ErrAbortHandler) // the server's way to break off a reply
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

// documented returns the definition's example of that name, or one made up from
// where the definition says that things stand.
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

// tokenReply is a reply that the definition takes for a token's.
func tokenReply(d *provider.Definition) provider.Example {
	object, status := map[string]any{}, http.StatusOK
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
	for _, path := range d.Reply.Keep {
		provider.SetMember(object, path, "demo")
	}
	return example(status, object)
}

// failing is the first reply that the definition says is such a failure, or one of
// the status.
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

// generic is a failure with text where the definition expects it.
func generic(d *provider.Definition, status int, text string) provider.Example {
	object := map[string]any{}
	setText(d, object, text)
	return example(status, object)
}

// errorInSuccess is a reply of status 200 that the definition takes for a refusal.
func errorInSuccess(d *provider.Definition) provider.Example {
	object := map[string]any{}
	setText(d, object, "refused")
	refusal := provider.Outcome{Member: "error"} // which is one, whatever the definition says
	if i := slices.IndexFunc(d.Outcomes, func(o provider.Outcome) bool {
		return o.Is == "refused" && o.Status <= 200 && o.Member != "" && !o.Absent
	}); i >= 0 {
		refusal = d.Outcomes[i]
	}
	refusal.Satisfy(object)
	return example(http.StatusOK, object)
}

// setLifetime puts a lifetime where a reply states one.
func setLifetime(d *provider.Definition, body string, lifetime time.Duration) string {
	var object map[string]any
	if json.Unmarshal([]byte(body), &object) != nil {
		return body
	}
	for _, path := range d.Reply.ExpiresIn {
		replace(object, path, func(any) any { return int64(lifetime / time.Second) })
	}
	for _, path := range d.Reply.ExpiresAt {
		replace(object, path, func(old any) any {
			at := time.Now().Add(lifetime)
			number, isNumber := old.(float64)
			switch {
			case isNumber && number >= 1e11:
				return at.UnixMilli()
			case isNumber:
				return at.Unix()
			}
			return at.UTC().Format(time.RFC3339)
		})
	}
	data, err := json.Marshal(object)
	if err != nil {
		return body
	}
	return string(data)
}

// replace changes the member at a path, if it is there.
func replace(object map[string]any, path string, with func(old any) any) {
	name, rest, nested := strings.Cut(path, ".")
	old, ok := object[name]
	inner, isObject := old.(map[string]any)
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

// write sends text. A client that is gone is no concern of an emulator.
func write(w http.ResponseWriter, text string) { _, _ = w.Write([]byte(text)) }
