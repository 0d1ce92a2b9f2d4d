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

// documented returns the definition's example of that name, or one made up
// from where the definition says that codes and texts stand.
func documented(d *provider.Definition, name string) provider.Example {
	if e, ok := d.Example(name); ok {
		return e
	}
	switch name {
	case "locked":
		return generic(d, http.StatusLocked, "account is locked")
	case "closed":
		return generic(d, http.StatusServiceUnavailable, "closed")
	case "rate-limited":
		return generic(d, http.StatusTooManyRequests, "too many requests")
	case "error-in-200":
		return errorInSuccess(d)
	}
	return generic(d, http.StatusBadRequest, "refused")
}

// generic is a failure with text where the definition expects it.
func generic(d *provider.Definition, status int, text string) provider.Example {
	object := map[string]any{}
	if len(d.Reply.ErrorText) > 0 {
		object[d.Reply.ErrorText[0]] = text
	}
	return example(status, object)
}

// errorInSuccess is a reply of status 200 that fails the first check that can.
func errorInSuccess(d *provider.Definition) provider.Example {
	object := map[string]any{}
	for _, c := range d.Reply.Checks {
		if len(c.Refuse) > 0 {
			object[c.Member] = c.Refuse[0]
			break
		}
		if c.Otherwise == "refuse" {
			object[c.Member] = "refused"
			break
		}
	}
	if len(d.Reply.ErrorText) > 0 {
		object[d.Reply.ErrorText[0]] = "refused"
	}
	return example(http.StatusOK, object)
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
