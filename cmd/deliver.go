package cmd

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/output"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
)

// destination returns the function that delivers the bytes of a token. It fails before
// the fetch if the destination cannot accept them.
func (r *run) destination(f ref, o fetchOptions) (deliver func([]byte) error, err error) {
	if o.dryRun {
		return nil, nil
	}
	if err := r.checkMask(o); err != nil {
		return nil, err
	}
	if variable := output.RunnerFile(o.format); variable != "" {
		file, err := r.openRunnerFile(variable)
		return func(data []byte) error { return appendTo(file, data) }, err
	}
	return r.deliver, r.checkStdout(f.Definition.Policy.SingleUse)
}

// deliver writes the whole token to standard output, or fails.
func (r *run) deliver(data []byte) error {
	ignoreBrokenPipe()
	_, err := stdout{r}.Write(data)
	if err == nil {
		err = r.env.Stdout.Close()
	}
	if err != nil {
		return undelivered("the token could not be written to standard output: " + whyNot(err)).
			WithHint("check the program or file that standard output goes to, then fetch again")
	}
	return nil
}

// undelivered returns the error for a fetched token that could not be delivered.
func undelivered(message string) *failure.Error {
	return failure.New(failure.OutputFailed, "%s", message).WithSent(failure.SentYes, 1)
}

// checkStdout fails if standard output would lose the token. Output to the null device
// is accepted if the token can be fetched again.
func (r *run) checkStdout(singleUse bool) error {
	hint := "let it go to a file, pipe or terminal"
	var problem string
	switch {
	case isClosed(r.env.Stdout):
		problem = "standard output is closed, or the null device opened for reading and writing: the token would be lost"
		if !singleUse {
			hint += "; where the token is not wanted write >/dev/null"
		}
	case singleUse && leadsNowhere(r.env.Stdout):
		problem = "standard output is the null device: a token that can be used once would be lost"
	default:
		return nil
	}
	return failure.New(failure.OutputFailed, "%s", problem).WithHint("%s", hint)
}

// leadsNowhere reports whether output written to a stream is lost.
func leadsNowhere(stream *os.File) bool {
	info, err := stream.Stat()
	if err != nil {
		return true
	}
	null, err := os.Stat(os.DevNull)
	return err == nil && os.SameFile(info, null)
}

// openRunnerFile opens the file that a GitHub runner names in a variable, for
// appending. The runner creates that file, so openRunnerFile neither creates it nor
// follows a link.
func (r *run) openRunnerFile(variable string) (*os.File, error) {
	bad := func(problem string) error {
		return failure.New(failure.RunnerFileInvalid, "%s %s", variable, problem).
			WithHint("this format is for a step of GitHub Actions, where the runner sets %s; elsewhere use -o export or -o dotenv", variable)
	}
	path, set := r.env.lookup(variable)
	switch {
	case !set:
		return nil, bad("is not set")
	case path == "":
		return nil, bad("is empty")
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, bad("names a file that does not exist")
	case err != nil:
		return nil, bad("names a file that cannot be reached")
	case !info.Mode().IsRegular():
		return nil, bad("does not name a regular file")
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return nil, bad("names a file that cannot be written")
	}
	opened, err := file.Stat()
	if err != nil || !os.SameFile(info, opened) {
		return nil, bad("names a file that was just replaced")
	}
	return file, nil
}

// appendTo appends an entry to a runner's file in one write, so that entries of two
// processes do not mix. It removes an entry that was written only in part.
func appendTo(file *os.File, entry []byte) error {
	size, err := file.Seek(0, io.SeekEnd)
	if last := make([]byte, 1); err == nil && size > 0 {
		if _, err := file.ReadAt(last, size-1); err == nil && last[0] != '\n' {
			entry = append([]byte("\n"), entry...) // somebody's last line has no end
		}
	}
	if err == nil {
		var n int
		if n, err = file.Write(entry); err != nil && n > 0 {
			if info, statErr := file.Stat(); statErr == nil && info.Size() == size+int64(n) { // nobody else has written since
				_ = file.Truncate(size) // the write has failed already
			}
		}
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return undelivered("the token could not be added to the runner's file: " + whyNot(err)).
			WithHint("check the space on the disk, then fetch again")
	}
	return nil
}

// maskCommand returns the function that formats the command which hides a text in the
// log of the CI service that runs this job. It returns nil if --mask is not given or
// the service is unknown.
func (r *run) maskCommand(o fetchOptions) func(string) string {
	switch {
	case output.RunnerFile(o.format) != "", o.mask && r.env.getenv("GITHUB_ACTIONS") == "true":
		return output.GitHubMask
	case o.mask && r.env.getenv("TF_BUILD") != "":
		return output.AzureMask
	}
	return nil
}

// checkMask fails before the fetch if the runner could not be told to hide the token.
func (r *run) checkMask(o fetchOptions) error {
	if r.maskCommand(o) == nil || !leadsNowhere(r.env.Stderr) {
		return nil
	}
	return failure.New(failure.OutputFailed, "standard error is closed or the null device: the runner would not be told to hide the token").
		WithHint("let standard error go to the runner's log")
}

// mask tells the CI service to hide the token in its log. It writes to standard error,
// because standard output usually goes into a variable and never reaches the runner.
func (r *run) mask(accessToken secret.Value, o fetchOptions) error {
	command, text := r.maskCommand(o), accessToken.Reveal()
	if command == nil {
		return nil
	}
	if !output.Maskable(text) {
		return undelivered("the token is too short to mask, or a plain word: hiding it would make the log unreadable").
			WithHint("report this to the provider; without --mask and in another format the token is printed")
	}
	if _, err := r.console.Write([]byte(command(text))); err != nil {
		return undelivered("the runner could not be told to hide the token: standard error " + whyNot(err)).
			WithHint("let standard error go to the runner's log")
	}
	return nil
}
