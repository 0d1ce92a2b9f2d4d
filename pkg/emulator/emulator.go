// Package emulator serves the token endpoints of providers, based on their
// definitions, for trials and tests. It accepts only the demo credentials and sends
// the documented replies. It counts failed logins, locks accounts, and can simulate
// faults.
package emulator

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
)

// Options configures the emulator.
type Options struct {
	LockAfter int           // number of consecutive failed logins that locks an account; 0 for never
	TokenTTL  time.Duration // lifetime in the replies; 0 for the documented one
	Delay     time.Duration // wait before each reply
	Faults    []Fault
	Journal   io.Writer // receives one JSON line per request, with secrets hidden; may be nil
}

// Emulator is an [http.Handler] that serves each provider at /NAME.
type Emulator struct {
	options   Options
	providers map[string]*provider.Definition

	mu       sync.Mutex
	failures map[string]int // consecutive failed logins, by provider
}

// New returns an emulator of the given providers. It returns an error if a fault in
// the options names a different provider.
func New(definitions []*provider.Definition, options Options) (*Emulator, error) {
	e := &Emulator{options: options, providers: map[string]*provider.Definition{}, failures: map[string]int{}}
	for _, d := range definitions {
		e.providers[d.Name] = d
	}
	for _, f := range options.Faults {
		if f.Provider != "" && e.providers[f.Provider] == nil {
			return nil, errors.New("a fault is for an unknown provider")
		}
	}
	return e, nil
}

// Demo returns the only credentials that the emulator accepts: a value for each
// required field of the request that has no default.
func Demo(d *provider.Definition) map[string]string {
	values := map[string]string{}
	for _, f := range d.Fields {
		if d.Needs(f.Name, nil) && f.Default == "" && !f.Optional {
			values[f.Name] = "demo-" + d.Name + "-" + strings.ReplaceAll(f.Name, "_", "-")
		}
	}
	return values
}

// Credentials returns [Demo] together with the default values of the other fields.
func Credentials(d *provider.Definition) provider.Values {
	values := provider.Values{}
	for name, value := range Demo(d) {
		values[name] = secret.New(value)
	}
	for _, f := range d.Fields {
		if f.Default != "" {
			values[f.Name] = f.DefaultValue(values)
		}
	}
	return values
}

// BaseURL returns the base URL of a provider on an emulator that listens on address
// (HOST:PORT).
func BaseURL(address, providerName string) string { return "http://" + address + "/" + providerName }

// Serve handles connections on l until ctx ends.
func (e *Emulator) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{Handler: e, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// startAgain says what to do about a provider that was added meanwhile.
const startAgain = "serves the providers that there were when it was started: start it again"

// request is a parsed request.
type request struct {
	definition *provider.Definition
	parts      map[place]string // the parts of the request, decoded
	problem    string           // why the request is not as documented, or empty
	status     int              // status of the reply to such a request
}

// ServeHTTP handles one request and writes it to the journal.
func (e *Emulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	d := e.providers[name]
	if d == nil {
		e.journal(r, request{}, http.StatusNotFound, "unknown provider: "+startAgain)
		writeReply(w, provider.Example{Status: http.StatusNotFound, Body: `{"error":"unknown_provider","error_description":"the emulator ` + startAgain + `"}`})
		return
	}
	req := understand(d, r, strings.TrimPrefix(r.URL.EscapedPath(), "/"+name))
	select {
	case <-time.After(e.options.Delay):
	case <-r.Context().Done():
	}
	if fault, ok := e.fault(name); ok {
		e.journal(r, req, 0, "fault "+fault.Name)
		fault.play(w, r, d)
		return
	}
	if req.problem != "" {
		e.journal(r, req, req.status, req.problem)
		writeReply(w, generic(d, req.status, req.problem))
		return
	}
	reply, outcome := e.judge(req)
	e.journal(r, req, reply.Status, outcome)
	writeReply(w, reply)
}

// judge checks the credentials, counts failed logins and locks the account. It
// returns the reply, and its outcome for the journal.
func (e *Emulator) judge(req request) (provider.Example, string) {
	d := req.definition
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.options.LockAfter > 0 && e.failures[d.Name] >= e.options.LockAfter {
		return documented(d, "locked"), "account locked"
	}
	if !req.matches(Credentials(d)) {
		e.failures[d.Name]++
		return documented(d, "refused"), "login failed"
	}
	e.failures[d.Name] = 0
	reply := documented(d, "token")
	reply.Body = strings.ReplaceAll(reply.Body, "{token}", "emulated-"+rand.Text())
	reply.Body = strings.ReplaceAll(reply.Body, "{refresh_token}", "emulated-refresh-"+rand.Text())
	if ttl := e.options.TokenTTL; ttl > 0 {
		reply.Body = setLifetime(d, reply.Body, ttl)
	}
	return reply, "token issued"
}

// journal writes one line about a request. It hides the values of secret fields.
func (e *Emulator) journal(r *http.Request, req request, status int, outcome string) {
	if e.options.Journal == nil {
		return
	}
	entry := struct {
		Time     string            `json:"time"`
		Provider string            `json:"provider,omitempty"`
		Method   string            `json:"method"`
		Path     string            `json:"path"`
		Query    map[string]string `json:"query,omitempty"`
		Headers  map[string]string `json:"headers,omitempty"`
		Body     map[string]string `json:"body,omitempty"`
		Status   int               `json:"status,omitempty"`
		Outcome  string            `json:"outcome"`
	}{Time: time.Now().UTC().Format(time.RFC3339Nano), Method: r.Method, Path: r.URL.Path, Status: status, Outcome: outcome}
	if d := req.definition; d != nil {
		entry.Provider = d.Name
		entry.Query, entry.Headers, entry.Body = map[string]string{}, map[string]string{}, map[string]string{}
		for _, part := range d.Request.Parts() {
			value, ok := req.parts[placeOf(part)]
			into := map[string]map[string]string{"query": entry.Query, "header": entry.Headers, "form": entry.Body, "json": entry.Body}[part.In]
			if !ok || into == nil {
				continue
			}
			if mentions(d, part.Value, func(f provider.Field) bool { return f.Secret }) {
				value = "[hidden]"
			}
			into[part.Name] = value
		}
	}
	line, err := json.Marshal(entry)
	if err != nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	_, _ = e.options.Journal.Write(append(line, '\n'))
}
