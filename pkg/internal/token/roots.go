package token

import (
	"crypto/x509"
	"os"
	"runtime"
)

// bundles returns the files in which Linux distributions gather the authorities
// that the system trusts, in the order of crypto/x509.
func bundles() []string {
	if runtime.GOOS != "linux" {
		return nil
	}
	return []string{
		"/etc/ssl/certs/ca-certificates.crt",                // Debian and its relatives, Arch
		"/etc/pki/tls/certs/ca-bundle.crt",                  // Fedora and its relatives
		"/etc/ssl/ca-bundle.pem",                            // openSUSE
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // RHEL 7 and later
		"/etc/ssl/cert.pem",                                 // Alpine
	}
}

// systemRoots returns the authorities in the first of the files that there is.
// The standard library also parses every file of the directories beside it, which
// hold the same certificates again and cost more than the rest of a request. It
// returns nil, so that the standard library looks for itself, where there is no
// such file, and where SSL_CERT_FILE or SSL_CERT_DIR says what is trusted.
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
