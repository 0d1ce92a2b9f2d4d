package cmd

import (
	"encoding/base64"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// definitionComment begins a definition in the guide: the path of its file.
const definitionComment = "# ~/.config/tokenfetch/providers/"

// guideDefinitions returns the definitions in the guide, by the names of their
// files.
func guideDefinitions(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, b := range blocks(t, "toml") {
		if named, ok := strings.CutPrefix(b.text, definitionComment); ok {
			name, text, _ := strings.Cut(named, "\n")
			found[name] = text
		}
	}
	if len(found) != 3 {
		t.Fatalf("the guide has the definitions %v, want three", found)
	}
	return found
}

// withDefinitions returns a new home that has the definitions.
func withDefinitions(t *testing.T, definitions map[string]string) (home string) {
	t.Helper()
	home = t.TempDir()
	dir := filepath.Join(home, ".config", "tokenfetch", "providers")
	check.OK(t, os.MkdirAll(dir, 0o700))
	for name, text := range definitions {
		check.OK(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return home
}

// TestGuideOfProviders takes the definitions of the guide as they are: each works
// with the emulator and sends, byte for byte, what its provider documents.
func TestGuideOfProviders(t *testing.T) {
	t.Parallel()
	home := withDefinitions(t, guideDefinitions(t))
	bin := builtProgram(t)
	run := func(environ []string, args ...string) (stdout, stderr string, err error) {
		command := program(t, bin, args...)
		command.Env = append(command.Env, append([]string{"HOME=" + home}, environ...)...)
		var out, diag strings.Builder
		command.Stdout, command.Stderr = &out, &diag
		err = command.Run()
		return out.String(), diag.String(), err
	}
	for _, c := range []struct {
		name    string
		environ []string
		request string // without Host, User-Agent and Connection
		reply   string
		json    string // a part of -o json
		refused string // a reply that is exit 4
	}{
		{
			"acme",
			[]string{"TOKENFETCH_ACME_CLIENT_ID=a b", "TOKENFETCH_ACME_CLIENT_SECRET=" + canaries["CLIENT_SECRET"] + "%"},
			"POST /token HTTP/1.1\nAccept: application/json\nAuthorization: Basic BASIC(a+b:" + canaries["CLIENT_SECRET"] + "%25)\nContent-Length: 52\n" +
				"Content-Type: application/x-www-form-urlencoded\n\ngrant_type=client_credentials&scope=payments%3Awrite",
			`{"access_token":"TOKEN","token_type":"Bearer","expires_in":3600,"scope":"payments:write"}`,
			`"token_type":"Bearer","use":{"header":"Authorization","scheme":"Bearer","member":null,"headers":{}},"expires_in":3600,`,
			"401 {\"error\":\"invalid_client\"}",
		},
		{
			"daraja",
			[]string{"TOKENFETCH_DARAJA_CONSUMER_KEY=key", "TOKENFETCH_DARAJA_CONSUMER_SECRET=" + canaries["CLIENT_SECRET"]},
			"GET /oauth/v1/generate?grant_type=client_credentials HTTP/1.1\nAccept: application/json\nAuthorization: Basic BASIC(key:" + canaries["CLIENT_SECRET"] + ")\n\n",
			`{"access_token":"TOKEN","expires_in":"3599"}`,
			`"expires_in":3599,`,
			`400 {"requestId":"1","errorCode":"400.008.01","errorMessage":"Invalid Authentication passed"}`,
		},
		{
			"momo",
			[]string{"TOKENFETCH_MOMO_API_USER=user", "TOKENFETCH_MOMO_API_KEY=" + canaries["CLIENT_SECRET"], "TOKENFETCH_MOMO_SUBSCRIPTION_KEY=" + canaries["PASSWORD"]},
			"POST /collection/token/ HTTP/1.1\nAccept: application/json\nAuthorization: Basic BASIC(user:" + canaries["CLIENT_SECRET"] + ")\nContent-Length: 0\n" +
				"Ocp-Apim-Subscription-Key: " + canaries["PASSWORD"] + "\n\n",
			`{"access_token":"TOKEN","token_type":"access_token","expires_in":3600}`,
			`"use":{"header":"Authorization","scheme":"Bearer","member":null,"headers":{"Ocp-Apim-Subscription-Key":null,"X-Target-Environment":"sandbox"}},"expires_in":3600,`,
			`500 {"error":"login_failed"}`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if out, diag, err := run(nil, c.name, "--emulator"); err != nil || !strings.HasPrefix(out, "emulated-") {
				t.Errorf("with the emulator: %v\n%s", err, diag)
			}
			if out, diag, err := run(nil, "emulator", "--", "tokenfetch", c.name); err != nil || !strings.HasPrefix(out, "emulated-") {
				t.Errorf("below the emulator: %v\n%s", err, diag)
			}
			status, refused, _ := strings.Cut(c.refused, " ")
			code, _ := strconv.Atoi(status)
			var requests strings.Builder
			e := &endpoint{log: &requests, answers: []answer{
				reply(200, strings.Replace(c.reply, "TOKEN", canaries["TOKEN"], 1)), reply(code, refused),
			}}
			check.OK(t, e.listen(0, 0, t.Cleanup))
			environ := append(c.environ, "TOKENFETCH_"+strings.ToUpper(c.name)+"_BASE_URL=http://"+e.address)
			out, diag, err := run(environ, c.name, "--no-cache", "-o", "json")
			if err != nil || !strings.Contains(out, `"access_token":"`+canaries["TOKEN"]+`"`) || !strings.Contains(out, c.json) || diag != "" {
				t.Errorf("%v\n%s%s", err, out, diag)
			}
			e.open.settle()
			want := regexp.MustCompile(`BASIC\((.*)\)`).ReplaceAllStringFunc(c.request, func(pair string) string {
				return base64.StdEncoding.EncodeToString([]byte(pair[len("BASIC(") : len(pair)-1]))
			})
			e.mu.Lock()
			got := regexp.MustCompile(`(?m)^(Connection|User-Agent): .*\n`).ReplaceAllString(requests.String(), "")
			e.mu.Unlock()
			check.Same(t, "the request", want+"\n", got)
			out, diag, err = run(environ, c.name, "--no-cache", "-v")
			if err == nil || exitStatus(err) != 4 || out != "" || leak(diag, canaries["CLIENT_SECRET"]) != "" || leak(diag, canaries["PASSWORD"]) != "" {
				t.Errorf("refused: %v\n%s%s", err, out, diag)
			}
			if _, diag, err := run(environ, c.name, "--no-cache"); exitStatus(err) != 4 || !strings.Contains(diag, "(held_back)") {
				t.Errorf("after the refusal: %v\n%s", err, diag)
			}
		})
	}
}

// exitStatus returns the exit code of a program that ended with err.
func exitStatus(err error) int {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	return 0
}
