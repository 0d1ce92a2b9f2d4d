package source

import "os/exec"

// run runs cmd. Windows has no process groups, so only the helper itself is killed.
// The console sends its signals to this program too.
func run(cmd *exec.Cmd, terminal *Terminal) (interrupted bool, err error) {
	if terminal != nil {
		cmd.Stdin, cmd.Stderr = terminal.File, terminal.File
	}
	return false, cmd.Run()
}
