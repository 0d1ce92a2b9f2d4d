package cmd

// become runs the command and ends with its exit code: Windows cannot replace a
// program by another.
func (r *run) become(path string, argv, environ []string) error {
	return r.runCommand(path, argv, environ)
}
