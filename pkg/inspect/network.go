package inspect

import (
	"context"
	"crypto/x509"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/internal/token"
	"github.com/tokenfetch/tokenfetch/pkg/source"
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

// checkProxy checks the proxy variables. Its findings show only HOST:PORT of a proxy.
func (i *Inspector) checkProxy(context.Context) []Finding {
	const check = "proxy"
	var findings []Finding
	var name, host string
	for _, candidate := range []string{"HTTPS_PROXY", "https_proxy"} {
		value := i.getenv(candidate)
		if value == "" {
			continue
		}
		h, err := token.ProxyHost(value)
		if err != nil {
			e := failure.New(failure.ProxyInvalid, "%s %s", candidate, err).WithHint("write it as http://HOST:PORT, with its scheme")
			return []Finding{failed(check, e)}
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
			if i.getenv(other) != "" {
				findings = append(findings, warning(check, "set HTTPS_PROXY if a proxy is meant", "%s is set, but is not used", other))
			}
		}
	}
	for _, list := range []string{"NO_PROXY", "no_proxy"} {
		for n, entry := range strings.Split(i.getenv(list), ",") {
			entry = strings.TrimSpace(entry)
			_, err := netip.ParsePrefix(entry)
			if strings.ContainsAny(entry, " \t@?#") || strings.Contains(entry, "/") && err != nil {
				findings = append(findings, warning(check, "write host names and addresses, with commas between them", "entry %d of %s is neither a host nor an address, and has no effect", n+1, list))
			}
		}
	}
	return findings
}

// checkCertificates checks the certificates that are trusted for profiles without a
// ca_file.
func (i *Inspector) checkCertificates(ctx context.Context) []Finding {
	const check = "certificates"
	var findings []Finding
	if runtime.GOOS != "darwin" && runtime.GOOS != "windows" { // these have stores of their own
		if path := i.getenv("SSL_CERT_FILE"); path != "" {
			file, err := source.ReadRegular(ctx, path, 16<<20)
			if err == nil {
				if _, bad := token.ParseCertificates(file.Data); bad != nil {
					err = failure.New(failure.CAFileInvalid, "the file %s %s", path, bad)
				}
			}
			if err != nil {
				return []Finding{warning(check, "unset SSL_CERT_FILE, or let it name a PEM file", "SSL_CERT_FILE: %s", failure.From(err).Message)}
			}
			findings = append(findings, ok(check, "SSL_CERT_FILE names what is trusted: %s", path))
		}
		if dir := i.getenv("SSL_CERT_DIR"); dir != "" && !slices.ContainsFunc(filepath.SplitList(dir), isDir) {
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

// checkNetwork calls the host of each profile once, all in parallel.
func (i *Inspector) checkNetwork(ctx context.Context, profiles []*Profile) []Finding {
	type target struct{ origin, caFile, clientCert, clientKey string }
	var targets []*Profile
	seen := map[target]bool{}
	for _, p := range profiles {
		if p.Origin == "" {
			continue
		}
		t := target{p.Origin, p.plan.CAFile.Path, p.plan.ClientCert.Path, p.plan.ClientKey.Path}
		if !seen[t] {
			seen[t] = true
			targets = append(targets, p)
		}
	}
	if targets == nil {
		return []Finding{warning("network", "set up a profile first", "no profile says which host to call")}
	}
	defer i.options.Person.Waiting("the hosts of the profiles")()
	results := make([][]Finding, len(targets))
	var all sync.WaitGroup
	for n, p := range targets {
		all.Go(func() {
			results[n], _, _ = inTime(ctx, "network", i.limit.Left(), func(ctx context.Context) ([]Finding, struct{}) {
				return i.checkHost(ctx, p), struct{}{}
			})
		})
	}
	all.Wait()
	return slices.Concat(results...)
}

// checkHost calls the host of a profile, with the profile's client certificate.
func (i *Inspector) checkHost(ctx context.Context, p *Profile) []Finding {
	const check = "network"
	roots, err := i.client.Roots(ctx, i.limit, p.plan, "")
	if err != nil {
		return []Finding{failed(check, err)}
	}
	for _, place := range p.plan.CertificatePlaces() {
		if place.Problem != nil {
			return []Finding{failed(check, place.Problem)}
		}
	}
	client := i.client.HTTP(roots)
	client.Certificate = p.plan.Certificate() // not read anew: it may be a pipe
	contact, err := client.Probe(ctx, p.Origin)
	if err != nil {
		f := failed(check, tokenfetch.AdviseAllowList(p.Ref.Definition, p.Environment, failure.From(err)))
		f.Message = p.Origin + ": " + f.Message
		return []Finding{f}
	}
	how := ""
	if contact.Proxy != "" {
		how += " through the proxy " + contact.Proxy
	}
	if contact.TLS != "" {
		how += " with " + contact.TLS
	}
	return []Finding{ok(check, "%s answers%s (status %d)", p.Origin, how, contact.Status)}
}
