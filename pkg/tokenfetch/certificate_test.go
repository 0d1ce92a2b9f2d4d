package tokenfetch_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// TestClientCertificate: a program that imports the engine has the client
// certificate of its profile presented.
func TestClientCertificate(t *testing.T) {
	dir := t.TempDir()
	save := func(name, kind string, der []byte, err error) {
		t.Helper()
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
		}
		check.OK(t, err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check.OK(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(7), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	save("client.pem", "CERTIFICATE", certificate, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	save("client.key", "PRIVATE KEY", der, err)

	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if clients := r.TLS.PeerCertificates; len(clients) != 1 || clients[0].SerialNumber.Int64() != 7 {
			t.Errorf("%d certificates are presented", len(clients))
		}
		_, _ = io.WriteString(w, `{"status":1,"description":"Success","token":"abc"}`)
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	save("ca.pem", "CERTIFICATE", server.Certificate().Raw, nil)

	config := filepath.Join(dir, "profiles.toml")
	text := "[mpay.default]\nbase_url = \"" + server.URL + "\"\nusername = \"u\"\npassword = \"pw\"\nca_file = \"ca.pem\"\nclient_cert = \"client.pem\"\nclient_key = \"client.key\"\n"
	check.OK(t, os.WriteFile(config, []byte(text), 0o600))
	got, err := tokenfetch.New(tokenfetch.Options{Config: config}).Token(t.Context(), "mpay")
	check.OK(t, err)
	if token := got.AccessToken.Reveal(); token != "abc" {
		t.Errorf("the token is %q", token)
	}
}
