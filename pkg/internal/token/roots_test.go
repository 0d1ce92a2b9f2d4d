package token

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// TestSystemRoots: the first file with certificates counts, and the standard
// library looks for itself where there is none or where a variable says more.
func TestSystemRoots(t *testing.T) {
	first, second := newAuthority(), newAuthority()
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		check.OK(t, os.WriteFile(path, data, 0o600))
		return path
	}
	missing, noise := filepath.Join(dir, "missing"), write("noise", []byte("nothing"))
	one, two := write("one", first.PEM), write("two", append(first.PEM, second.PEM...))
	pool := func(data []byte) *x509.CertPool {
		p, err := ParseCertificates(data)
		check.OK(t, err)
		return p
	}
	for _, test := range []struct {
		files    []string
		variable string
		want     *x509.CertPool
	}{
		{[]string{one, two}, "", pool(first.PEM)},
		{[]string{missing, noise, dir, two, one}, "", pool(append(first.PEM, second.PEM...))},
		{[]string{missing, noise, dir}, "", nil},
		{nil, "", nil},
		{[]string{one}, "SSL_CERT_FILE", nil},
		{[]string{one}, "SSL_CERT_DIR", nil},
	} {
		got := systemRoots(test.files, func(name string) string {
			if name == test.variable {
				return "/somewhere"
			}
			return ""
		})
		if (got == nil) != (test.want == nil) || got != nil && !got.Equal(test.want) {
			t.Errorf("%v, %q: not the expected certificates", test.files, test.variable)
		}
	}
	if files := bundles(); (len(files) > 0) != (runtime.GOOS == "linux") {
		t.Errorf("on %s the files are %q", runtime.GOOS, files)
	}
}
