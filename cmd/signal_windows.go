package cmd

import "os"

func endingSignals() []os.Signal { return []os.Signal{os.Interrupt} }

func (interrupt) number() int { return 2 }

func catchBrokenPipe() {}

func dieOf(i interrupt) { os.Exit(128 + i.number()) }

// whyNot says in our words why a write failed.
func whyNot(error) string { return "the write failed" }

// fromTerminal is always true: the console sends its events to every process.
func fromTerminal(os.Signal) bool { return true }

// statusOf is the exit code of a process.
func statusOf(state *os.ProcessState) int { return state.ExitCode() }

// setUID is always false: Windows has no such bit.
func setUID() bool { return false }

// enoughFiles is always true: Windows has no such limit.
func enoughFiles() bool { return true }

// openFiles is not known: Windows has no such limit.
func openFiles() (n uint64, known bool) { return 0, false }
