package token

import (
	"crypto/x509"
	"os"
	"runtime"
)

// bundles returns the files in which Linux distributions store the system's CA
// certificates, in the order of crypto/x509.
func bundles() []string {
	if runtime.GOOS != "linux" {
		return nil
	}
	return []string{
		"/etc/ssl/certs/ca-certificates.crt",                // Debian and derivatives, Arch
		"/etc/pki/tls/certs/ca-bundle.crt",                  // Fedora and derivatives
		"/etc/ssl/ca-bundle.pem",                            // openSUSE
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // RHEL 7 and later
		"/etc/ssl/cert.pem",                                 // Alpine
	}
}

// systemRoots returns the CA certificates in the first of files that exists. The
// standard library also parses every file in the related directories; they contain
// the same certificates, and this takes longer than the rest of a request.
// systemRoots returns nil, which selects the standard library's search, if no file
// exists or if SSL_CERT_FILE or SSL_CERT_DIR is set.
func systemRoots(files []string, getenv func(string) string) *x509.CertPool {
	if getenv("SSL_CERT_FILE") != "" || getenv("SSL_CERT_DIR") != "" {
		return nil
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if pool, err := ParseCertificates(data); err == nil {
			return pool
		}
	}
	return nil
}
