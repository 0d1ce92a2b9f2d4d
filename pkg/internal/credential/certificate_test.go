package credential_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io/fs"
	"math/big"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/internal/credential"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// selfSigned returns a certificate of the key, in PEM.
func selfSigned(t *testing.T, key crypto.Signer) string {
	t.Helper()
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return block(t, "CERTIFICATE", der, err)
}

// block returns what was made in PEM.
func block(t *testing.T, kind string, der []byte, err error) string {
	t.Helper()
	check.OK(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func pkcs8(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return block(t, "PRIVATE KEY", der, err)
}

func newECDSA(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check.OK(t, err)
	return key
}

// withCertificate is a profile with a client certificate, in client.pem and
// client.key.
var withCertificate = setup{provider: "mpay", file: "[mpay.default]\nusername = \"u\"\npassword = \"pw\"\nclient_cert = \"client.pem\"\nclient_key = \"client.key\"\n"}

// TestReadCertificate: every kind of key in every form that tools write.
func TestReadCertificate(t *testing.T) {
	ecKey := newECDSA(t)
	rsaKey := newRSA(t)
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	check.OK(t, err)
	sec1, err := x509.MarshalECPrivateKey(ecKey)
	ecText := block(t, "EC PRIVATE KEY", sec1, err)
	ecChain, stranger := selfSigned(t, ecKey), selfSigned(t, newECDSA(t))
	for name, test := range map[string]struct {
		chain, key string
		length     int
	}{
		"ECDSA, PKCS #8":            {ecChain, pkcs8(t, ecKey), 1},
		"ECDSA, SEC 1":              {ecChain, ecText, 1},
		"ECDSA, with parameters":    {ecChain, "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + ecText, 1},
		"RSA, PKCS #8":              {selfSigned(t, rsaKey), pkcs8(t, rsaKey), 1},
		"RSA, PKCS #1":              {selfSigned(t, rsaKey), block(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey), nil), 1},
		"Ed25519":                   {selfSigned(t, edKey), pkcs8(t, edKey), 1},
		"a chain":                   {ecChain + stranger, ecText, 2},
		"words around":              {"Bag Attributes\n  x: y\n" + ecChain + "end\n", "Key Attributes\n" + ecText, 1},
		"lines of Windows":          {strings.ReplaceAll(ecChain, "\n", "\r\n"), strings.ReplaceAll(ecText, "\n", "\r\n"), 1},
		"both in both":              {ecText + ecChain, ecChain + ecText, 1},
		"a key of another one last": {ecChain, ecText + pkcs8(t, edKey), 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := withCertificate.build(t)
			got, err := readPair(t, w, test.chain, 0o644, test.key)
			check.OK(t, err)
			if len(got.Certificate) != test.length || got.Leaf == nil || got.PrivateKey == nil {
				t.Errorf("%d certificates, leaf %v", len(got.Certificate), got.Leaf != nil)
			}
		})
	}
}

// readPair reads a certificate and its key from files of these texts.
func readPair(t *testing.T, w *world, chain string, mode fs.FileMode, key string) (*tls.Certificate, error) {
	t.Helper()
	w.write("client.pem", chain, mode)
	w.write("client.key", key, 0o600)
	plan, err := w.find()
	check.OK(t, err)
	return plan.ReadCertificate(t.Context(), w.access())
}

// TestCertificateCannotBeUsed: each error says what is wrong with which file, and
// holds nothing of either.
func TestCertificateCannotBeUsed(t *testing.T) {
	key := newECDSA(t)
	chain, good, other := selfSigned(t, key), pkcs8(t, key), newECDSA(t)
	secret := block(t, "PRIVATE KEY", []byte(canary), nil)
	for name, test := range map[string]struct{ chain, key, want string }{
		"no certificate":        {canary, good, "DIR/client.pem contains no PEM certificate; client_cert of [mpay.default] names it"},
		"empty":                 {"", good, "DIR/client.pem contains no PEM certificate; client_cert of [mpay.default] names it"},
		"a request":             {block(t, "CERTIFICATE REQUEST", []byte(canary), nil), good, "DIR/client.pem contains no PEM certificate; client_cert of [mpay.default] names it"},
		"a damaged certificate": {block(t, "CERTIFICATE", []byte(canary), nil), good, "the certificate in the file DIR/client.pem is damaged; client_cert of [mpay.default] names it"},
		"no key":                {chain, canary, "DIR/client.key holds no PEM private key; client_key of [mpay.default] names it"},
		"an empty key":          {chain, "", "DIR/client.key holds no PEM private key; client_key of [mpay.default] names it"},
		"a public key":          {chain, block(t, "PUBLIC KEY", []byte(canary), nil), "DIR/client.key holds no PEM private key; client_key of [mpay.default] names it"},
		"a damaged key":         {chain, secret, "the private key in the file DIR/client.key is damaged, or of an unknown kind; client_key of [mpay.default] names it"},
		"a key of OpenSSH":      {chain, block(t, "OPENSSH PRIVATE KEY", []byte(canary), nil), "the private key in the file DIR/client.key is damaged, or of an unknown kind; client_key of [mpay.default] names it"},
		"an encrypted key":      {chain, block(t, "ENCRYPTED PRIVATE KEY", []byte(canary), nil), "the private key in the file DIR/client.key is encrypted; client_key of [mpay.default] names it"},
		"an encrypted key of before": {
			chain, string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"}, Bytes: []byte(canary)})),
			"the private key in the file DIR/client.key is encrypted; client_key of [mpay.default] names it",
		},
		"another key":    {chain, pkcs8(t, other), "the file DIR/client.key does not hold the key of the first certificate in the file DIR/client.pem"},
		"another's kind": {chain, pkcs8(t, newRSA(t)), "the file DIR/client.key does not hold the key of the first certificate in the file DIR/client.pem"},
		"the chain first": {
			selfSigned(t, other) + chain, good, "the file DIR/client.key does not hold the key of the first certificate in the file DIR/client.pem",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := withCertificate.build(t)
			got, err := readPair(t, w, test.chain, 0o600, test.key)
			e := check.Failure(t, err, canary)
			if e.Code != failure.ClientCertInvalid || !strings.HasSuffix(w.short(e.Message), test.want) || e.Hint == "" || got != nil {
				t.Errorf("%s %q, hint %q; want %q", e.Code, w.short(e.Message), e.Hint, test.want)
			}
			if strings.Contains(e.Message+e.Hint, "BEGIN") {
				t.Errorf("the error shows the file: %q", e.Message)
			}
		})
	}
}

func newRSA(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	check.OK(t, err)
	return key
}

// TestCertificateIsPartOfTheCredentials: a cached token belongs to the files that
// were named, and a refusal to the certificate that was presented. Account and
// identity of a profile without one are what they were.
func TestCertificateIsPartOfTheCredentials(t *testing.T) {
	plain := setup{provider: "mpay", file: "[mpay.default]\nusername = \"u\"\npassword = \"pw\"\n"}.build(t)
	without, err := plain.find()
	check.OK(t, err)
	w := withCertificate.build(t)
	with, err := w.find()
	check.OK(t, err)
	near, err := with.ReadNear(t.Context(), w.access())
	check.OK(t, err)
	before, err := without.ReadNear(t.Context(), plain.access())
	check.OK(t, err)
	var identity []string
	for _, part := range with.Identity(near)[len(without.Identity(before)):] {
		identity = append(identity, w.short(part))
	}
	check.Same(t, "what the certificate adds to the identity", []string{"client_cert", "DIR/client.pem", "client_key", "DIR/client.key"}, identity)

	fingerprints := map[string]bool{}
	for range 2 {
		key := newECDSA(t)
		w.write("client.pem", selfSigned(t, key), 0o600)
		w.write("client.key", pkcs8(t, key), 0o600)
		plan, values := w.survey()
		if !plan.Knows(toValues(values)).All {
			t.Error("not everything is known")
		}
		all, account := plan.Fingerprint(toValues(values))
		fingerprints[fmt.Sprint(all)] = true
		_, other := without.Fingerprint(before)
		check.Same(t, "the account without and with the certificate (-without +with)", other, account)
	}
	if len(fingerprints) != 2 {
		t.Error("two certificates have one fingerprint")
	}
	w.write("client.key", "", 0o600)
	if plan, values := w.survey(); plan.Knows(toValues(values)).All {
		t.Error("without the certificate everything is known")
	}
}

// TestFindReadsNoCertificate: where it comes from is known without looking.
func TestFindReadsNoCertificate(t *testing.T) {
	plan, err := withCertificate.build(t).find()
	if err != nil || !plan.HasCertificate() || plan.Certificate() != nil || plan.Leaf != nil {
		t.Errorf("%v, %v", err, plan.Leaf)
	}
}

// TestKeyOfAnother: the file with the key is one with a secret; the certificate
// may be anybody's.
func TestKeyOfAnother(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes of Unix")
	}
	key := newECDSA(t)
	w := withCertificate.build(t)
	w.write("client.pem", selfSigned(t, key), 0o666)
	w.write("client.key", pkcs8(t, key), 0o644)
	plan, err := w.find()
	check.OK(t, err)
	if _, err := plan.ReadCertificate(t.Context(), w.access()); err != nil {
		t.Error(err)
	}
	w.write("client.key", pkcs8(t, key), 0o620)
	_, err = plan.ReadCertificate(t.Context(), w.access())
	if e := check.Failure(t, err, canary); e.Code != failure.FilePermissions {
		t.Errorf("%+v", e)
	}
	// It is not taken in CI either, as the caller did not name it.
	a := w.access()
	a.Trusted = true
	if _, err := plan.ReadCertificate(t.Context(), a); err == nil {
		t.Error("the key is taken in CI")
	}
	w.environ = []string{"TOKENFETCH_MPAY_CLIENT_KEY=" + w.dir + "/client.key"}
	if plan, err = w.find(); err != nil {
		t.Fatal(err)
	}
	noted := ""
	a.Note = func(note string) { noted += note }
	if _, err := plan.ReadCertificate(t.Context(), a); err != nil || noted != "the file of TOKENFETCH_MPAY_CLIENT_KEY can be written by others (mode 0620); taken because this is CI" {
		t.Errorf("%v, note %q", err, noted)
	}
}

// TestCertificateFileLimit: each file is read within its limit.
func TestCertificateFileLimit(t *testing.T) {
	key := newECDSA(t)
	w := withCertificate.build(t)
	w.write("client.pem", selfSigned(t, key), 0o600)
	w.write("client.key", pkcs8(t, key), 0o600)
	plan, err := w.find()
	check.OK(t, err)
	a := w.access()
	a.File = func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithDeadline(ctx, time.Now().Add(-time.Second))
	}
	_, err = plan.ReadCertificate(t.Context(), a)
	if e := check.Failure(t, err, canary); e.Code != failure.InputTimeout {
		t.Errorf("%+v", e)
	}
}

// TestCertificateAlone: login reads a profile without the variables that fill it.
func TestCertificateAlone(t *testing.T) {
	w := withCertificate.build(t)
	plan, err := credential.Find(t.Context(), credential.Query{
		Definition: w.d, Profile: w.profile, File: w.file, Alone: true,
		Environ: []string{"TOKENFETCH_MPAY_CLIENT_CERT=x", "TOKENFETCH_MPAY_CLIENT_KEY=x", "TOKENFETCH_MPAY_CA_FILE=x"},
	})
	if err != nil || plan.ClientCert.ByVariable() || plan.ClientKey.ByVariable() || plan.CAFile.Path != "" {
		t.Errorf("%v: %+v, %+v, %+v", err, plan.ClientCert, plan.ClientKey, plan.CAFile)
	}
}

// TestCertificateBinding: the certificate of a profile is for the profile's own
// host, and so is its key.
func TestCertificateBinding(t *testing.T) {
	const cert, key = "TOKENFETCH_MPAY_CLIENT_CERT=x", "TOKENFETCH_MPAY_CLIENT_KEY=x"
	for name, test := range map[string]struct {
		environ []string
		baseURL string
		want    string // what belongs to the own host, empty if nothing is refused
	}{
		"its own host":       {},
		"named again":        {baseURL: "https://own.example/elsewhere"},
		"another by flag":    {baseURL: "https://other.example", want: "client_cert of [mpay.default]"},
		"by variable":        {environ: []string{"TOKENFETCH_MPAY_BASE_URL=https://other.example"}, want: "client_cert of [mpay.default]"},
		"with a certificate": {environ: []string{cert}, baseURL: "https://other.example", want: "client_key of [mpay.default]"},
		"with a key":         {environ: []string{key}, baseURL: "https://other.example", want: "client_cert of [mpay.default]"},
		"with both":          {environ: []string{cert, key}, baseURL: "https://other.example"},
	} {
		t.Run(name, func(t *testing.T) {
			w := setup{
				provider: "mpay", environ: test.environ, baseURL: test.baseURL,
				file: "[mpay.default]\nbase_url = \"https://own.example\"\nusername = \"u\"\nclient_cert = \"client.pem\"\nclient_key = \"client.key\"\n",
			}.build(t)
			_, err := w.find()
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			want := test.want + " belongs to https://own.example:443 and is not used for https://other.example:443"
			if e := check.Failure(t, err, canary); e.Code != failure.HostMismatch || e.Message != want {
				t.Errorf("%s %q, want %q", e.Code, e.Message, want)
			}
		})
	}
}
