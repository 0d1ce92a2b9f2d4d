// Command peak runs a program and prints the most memory that it held, in KiB, on
// standard error. The system counts the memory of the process that started it, too,
// which is why this one is small.
package main

import (
	"os"
	"syscall"
)

func main() {
	pid, err := syscall.ForkExec(os.Args[1], os.Args[1:], &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}})
	if err != nil {
		panic(err)
	}
	var status syscall.WaitStatus
	var usage syscall.Rusage
	if _, err := syscall.Wait4(pid, &status, 0, &usage); err != nil {
		panic(err)
	}
	println(usage.Maxrss)
	os.Exit(status.ExitStatus())
}
