package output

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
)

// RunnerFile returns the environment variable with the path of the file that a
// GitHub runner reads for a format. It returns "" for a format that is written to
// standard output.
func RunnerFile(format string) string {
	switch format {
	case "github-env":
		return "GITHUB_ENV"
	case "github-output":
		return "GITHUB_OUTPUT"
	}
	return ""
}

// runnerEntry returns one entry of a runner's file. Its delimiter is random, so that
// no value can contain it.
func runnerEntry(name, text string) []byte {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails
	end := "end_" + hex.EncodeToString(random[:])
	return fmt.Appendf(nil, "%s<<%s\n%s\n%s\n", name, end, text, end)
}

// GitHubMask returns the workflow command that hides text in a GitHub Actions log.
// text must be printable ASCII.
func GitHubMask(text string) string {
	return "::add-mask::" + strings.ReplaceAll(text, "%", "%25") + "\n"
}

// AzureMask returns the logging command that hides text in an Azure Pipelines log.
// text must be printable ASCII.
func AzureMask(text string) string {
	return "##vso[task.setsecret]" + strings.ReplaceAll(text, "%", "%AZP25") + "\n"
}

// minMasked is the minimum length of a masked text. Shorter texts occur in many
// unrelated lines.
const minMasked = 8

// Maskable reports whether a log stays readable if text is hidden. This excludes
// short texts and words.
func Maskable(text string) bool {
	letters := strings.Trim(strings.ToLower(text), "abcdefghijklmnopqrstuvwxyz") == ""
	return len(text) >= minMasked && (!letters || len(text) >= 2*minMasked)
}
