package cmd

import (
	"context"
	"crypto/x509"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/source"
	"github.com/tokenfetch/tokenfetch/pkg/token"
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

// checkProxy looks at the proxy variables. Only HOST:PORT of one is shown.
func (r *run) checkProxy(context.Context) []finding {
	const check = "proxy"
	var findings []finding
	var name, host string
	for _, candidate := range []string{"HTTPS_PROXY", "https_proxy"} {
		value := r.env.getenv(candidate)
		if value == "" {
			continue
		}
		h, err := token.ProxyHost(value)
		if err != nil {
			e := failure.New(failure.ProxyInvalid, "%s %s", candidate, err).WithHint("write it as http://HOST:PORT, with its scheme")
			return []finding{r.failed(check, levelError, e)}
		}
		switch {
		case name == "":
			name, host = candidate, h
		case host != h:
			findings = append(findings, warning(check, "unset one of them", "HTTPS_PROXY and https_proxy differ; the first is used"))
		}
	}
	if name != "" {
		findings = append(findings, ok(check, "https goes through %s, as %s says", host, name))
	} else {
		findings = append(findings, ok(check, "none"))
		for _, other := range []string{"ALL_PROXY", "all_proxy"} {
			if r.env.getenv(other) != "" {
				findings = append(findings, warning(check, "set HTTPS_PROXY if a proxy is meant", "%s is set, but is not used", other))
			}
		}
	}
	for _, list := range []string{"NO_PROXY", "no_proxy"} {
		for n, entry := range strings.Split(r.env.getenv(list), ",") {
			entry = strings.TrimSpace(entry)
			_, err := netip.ParsePrefix(entry)
			if strings.ContainsAny(entry, " \t@?#") || strings.Contains(entry, "/") && err != nil {
				findings = append(findings, warning(check, "write host names and addresses, with commas between them", "entry %d of %s is neither a host nor an address, and has no effect", n+1, list))
			}
		}
	}
	return findings
}

// checkCertificates looks which certificates are trusted where a profile names
// none of its own.
func (r *run) checkCertificates(ctx context.Context) []finding {
	const check = "certificates"
	var findings []finding
	if runtime.GOOS != "darwin" && runtime.GOOS != "windows" { // these have stores of their own
		if path := r.env.getenv("SSL_CERT_FILE"); path != "" {
			file, err := source.ReadRegular(ctx, path, 16<<20)
			if err == nil {
				if _, bad := token.ParseCertificates(file.Data); bad != nil {
					err = failure.New(failure.CAFileInvalid, "the file %s %s", path, bad)
				}
			}
			if err != nil {
				return []finding{warning(check, "unset SSL_CERT_FILE, or let it name a PEM file", "SSL_CERT_FILE: %s", r.explain(err).Message)}
			}
			findings = append(findings, ok(check, "SSL_CERT_FILE names what is trusted: %s", path))
		}
		if dir := r.env.getenv("SSL_CERT_DIR"); dir != "" && !slices.ContainsFunc(filepath.SplitList(dir), isDir) {
			findings = append(findings, warning(check, "unset SSL_CERT_DIR, or let it name a directory", "SSL_CERT_DIR names no directory: %s", dir))
		} else if dir != "" {
			findings = append(findings, ok(check, "SSL_CERT_DIR names what is trusted: %s", dir))
		}
	}
	roots, err := x509.SystemCertPool()
	switch {
	case err != nil || roots.Equal(x509.NewCertPool()):
		findings = append(findings, warning(check, "install them (package ca-certificates), or name some with --ca-file FILE or ca_file", "this system trusts no certificate"))
	case findings == nil:
		findings = append(findings, ok(check, "those of the system are trusted"))
	}
	return findings
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// checkNetwork calls the hosts of the profiles, each once, all at the same time.
func (r *run) checkNetwork(ctx context.Context, limit *tokenfetch.Limit, states []*profileState) []finding {
	type target struct{ origin, caFile string }
	var targets []*profileState
	seen := map[target]bool{}
	for _, s := range states {
		if s.plan.Base.Host == "" {
			continue
		}
		t := target{origin: s.plan.Base.Origin()}
		if s.plan.Profile != nil {
			t.caFile = s.plan.Profile.CAFile
		}
		if !seen[t] {
			seen[t] = true
			targets = append(targets, s)
		}
	}
	if targets == nil {
		return []finding{warning("network", "set up a profile first", "no profile says which host to call")}
	}
	defer r.console.waiting("the hosts of the profiles")()
	results := make([][]finding, len(targets))
	var all sync.WaitGroup
	for n, s := range targets {
		all.Go(func() {
			results[n], _, _ = inTime(ctx, "network", limit.Left(), func(ctx context.Context) ([]finding, struct{}) {
				return r.checkHost(ctx, limit, s), struct{}{}
			})
		})
	}
	all.Wait()
	return slices.Concat(results...)
}

// checkHost calls the host of a profile.
func (r *run) checkHost(ctx context.Context, limit *tokenfetch.Limit, s *profileState) []finding {
	const check = "network"
	origin := s.plan.Base.Origin()
	roots, err := r.engine().Roots(ctx, limit, s.plan.Profile, "")
	if err != nil {
		return []finding{r.failed(check, levelError, err)}
	}
	contact, err := r.engine().HTTP(roots).Probe(ctx, origin)
	if err != nil {
		if e, ok := errors.AsType[*failure.Error](err); ok {
			err = tokenfetch.AdviseAllowList(s.ref.Definition, s.plan.Environment, e)
		}
		f := r.failed(check, levelError, err)
		f.message = origin + ": " + f.message
		return []finding{f}
	}
	how := ""
	if contact.Proxy != "" {
		how += " through the proxy " + contact.Proxy
	}
	if contact.TLS != "" {
		how += " with " + contact.TLS
	}
	return []finding{ok(check, "%s answers%s (status %d)", origin, how, contact.Status)}
}
