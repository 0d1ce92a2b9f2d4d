package cmd

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// userProgram is a program of somebody else: it fetches a token and calls an API
// with another one. BLOCK stands for that of the README.
const userProgram = `package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

func main() {
	api := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		fmt.Println("the API got a token:", strings.HasPrefix(r.Header.Get("Authorization"), "Bearer emulated-"))
	}))
	defer api.Close()
	client := tokenfetch.FromEnvironment()
	token, err := client.Token(context.Background(), "enkash")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Ref, token.AccessToken)
	calls := &http.Client{Transport: client.Transport("zeepay", api.URL)}
	response, err := calls.Get(api.URL)
	if err != nil {
		log.Fatal(err)
	}
	response.Body.Close()
	_, err = client.Token(context.Background(), "zeepay/missing")
	fmt.Println(err)
}

// readme is what the README shows. It only has to build.
func readme(ctx context.Context) (*tokenfetch.Token, *http.Client, error) {
BLOCK
	return token, calls, err
}
`

// TestProgramThatImportsTheEngine builds a program in another module and runs it
// with the emulator's variables.
func TestProgramThatImportsTheEngine(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"main.go": strings.Replace(userProgram, "BLOCK", blocks(t, "go")[0].text, 1) + "\nvar _ = readme\n",
		"go.mod":  "module example.com/payout\n\ngo 1.26.0\n\nrequire github.com/tokenfetch/tokenfetch v0.0.0\n\nreplace github.com/tokenfetch/tokenfetch => " + root + "\n",
		"go.sum":  string(sums),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.Command("go", "build", "-mod=mod", "-o", "payout", ".")
	build.Dir, build.Env = dir, append(os.Environ(), "GOPROXY=off", "GOWORK=off", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	run := exec.Command(filepath.Join(builtProgram(t), "tokenfetch"), "emulator", "--", filepath.Join(dir, "payout"))
	run.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
	out, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	lines := strings.Split(string(out), "\n")
	if len(lines) != 4 || lines[0] != "enkash/default [hidden]" || lines[1] != "the API got a token: true" || !strings.HasPrefix(lines[2], "there is no profile of that name for zeepay in ") {
		t.Errorf("%s", out)
	}
}
