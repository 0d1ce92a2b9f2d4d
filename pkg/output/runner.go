package output

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
)

// RunnerFile returns the environment variable by which a GitHub runner names
// the file that a format is written to, or "" for a format of standard output.
func RunnerFile(format string) string {
	switch format {
	case "github-env":
		return "GITHUB_ENV"
	case "github-output":
		return "GITHUB_OUTPUT"
	}
	return ""
}

// runnerEntry is one entry of a runner's file. Its end marker is random, so that
// no value can end it.
func runnerEntry(name, text string) []byte {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails
	end := "end_" + hex.EncodeToString(random[:])
	return fmt.Appendf(nil, "%s<<%s\n%s\n%s\n", name, end, text, end)
}

// GitHubMask is the workflow command that hides text in the log of a job of
// GitHub Actions. text is visible ASCII.
func GitHubMask(text string) string {
	return "::add-mask::" + strings.ReplaceAll(text, "%", "%25") + "\n"
}

// AzureMask is the logging command that hides text in the log of a job of Azure
// Pipelines. text is visible ASCII.
func AzureMask(text string) string {
	return "##vso[task.setsecret]" + strings.ReplaceAll(text, "%", "%AZP25") + "\n"
}

// minMasked is the length from which a text is masked: shorter ones stand in
// many lines that have nothing to do with them.
const minMasked = 8

// Maskable reports whether hiding text in a log leaves the rest readable: it is
// neither short nor a word.
func Maskable(text string) bool {
	letters := strings.Trim(strings.ToLower(text), "abcdefghijklmnopqrstuvwxyz") == ""
	return len(text) >= minMasked && (!letters || len(text) >= 2*minMasked)
}
