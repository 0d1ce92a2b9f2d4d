package cmd

import (
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// startIssuer is the script command
//
//	issuer [-tls] PATH STATUS FILE [PATH STATUS FILE...]
//
// It starts an issuer of tokens that answers a request for PATH with the status and
// the file's content, in which $ISSUER is its address, and any other with status 404.
// The content of a redirect is where it leads, and of one with the status hang no
// answer ever comes. With -tls its authority stands in the file issuer.pem. Each
// request appends a line to the file asked, with all of its headers but the host's.
func startIssuer(ts *testscript.TestScript, neg bool, args []string) {
	flags := flag.NewFlagSet("issuer", flag.ContinueOnError)
	secure := flags.Bool("tls", false, "")
	ts.Check(flags.Parse(args))
	args = flags.Args()
	if neg || len(args) == 0 || len(args)%3 != 0 {
		ts.Fatalf("usage: issuer [-tls] PATH STATUS FILE [PATH STATUS FILE...]")
	}
	asked, err := os.OpenFile(ts.MkAbs("asked"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	ts.Check(err)
	answers := map[string]http.HandlerFunc{}
	var mu sync.Mutex
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		r.Header.Del("User-Agent")
		mu.Lock()
		fmt.Fprintf(asked, "%s %s %v %q %v\n", r.Method, r.RequestURI, r.Header, body, err)
		answer, ok := answers[r.URL.Path]
		mu.Unlock()
		if !ok {
			answer = http.NotFound
		}
		answer(w, r)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	if *secure {
		server.StartTLS()
		authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
		ts.Check(os.WriteFile(ts.MkAbs("issuer.pem"), authority, 0o600))
	} else {
		server.Start()
	}
	ts.Defer(func() { server.CloseClientConnections(); server.Close(); asked.Close() })
	ts.Setenv("ISSUER", server.URL)
	ts.Setenv("ISSUER_HOST", server.Listener.Addr().String())
	mu.Lock() // the server runs: what it answers may name it
	defer mu.Unlock()
	for ; len(args) > 0; args = args[3:] {
		answers[args[0]] = issuerAnswer(ts, args[1], args[2])
	}
}

func issuerAnswer(ts *testscript.TestScript, behaviour, file string) http.HandlerFunc {
	if behaviour == "hang" {
		return func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	}
	status, err := strconv.Atoi(behaviour)
	ts.Check(err)
	body := content(ts, file)
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if strings.HasSuffix(file, ".html") {
			w.Header().Set("Content-Type", "text/html")
		}
		if status/100 == 3 {
			w.Header().Set("Location", strings.TrimSpace(body))
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}
