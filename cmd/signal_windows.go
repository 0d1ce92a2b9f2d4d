package cmd

import (
	"context"
	"errors"
	"os"

	"golang.org/x/term"
)

func endingSignals() []os.Signal { return []os.Signal{os.Interrupt} }

func (interrupt) number() int { return 2 }

func catchBrokenPipe() {}

// ignoreBrokenPipe does nothing either.
func ignoreBrokenPipe() {}

// whenStopped does nothing: on Windows no key stops a program.
func whenStopped(func() func()) (end func()) { return func() {} }

// stopUntilForeground is never called: on Windows no helper is stopped.
func stopUntilForeground(context.Context, int) {}

// foreground is always true: Windows has no process groups.
func foreground(int) bool { return true }

// hideEcho does nothing: readHidden turns off echo.
func hideEcho(int) error { return nil }

// readHidden reads a line without echo.
func readHidden(console *os.File) (string, error) {
	line, err := term.ReadPassword(int(console.Fd()))
	return string(line), err
}

// openTerminal opens the program's console.
func openTerminal() (in, out *os.File, err error) {
	if in, err = os.OpenFile("CONIN$", os.O_RDWR, 0); err != nil {
		return nil, nil, err
	}
	if out, err = os.OpenFile("CONOUT$", os.O_RDWR, 0); err != nil {
		in.Close()
	}
	return in, out, err
}

func dieOf(i interrupt) { os.Exit(128 + i.number()) }

// whyNot explains why a write failed.
func whyNot(err error) string {
	if errors.Is(err, errNotRead) {
		return "its reader does not read"
	}
	return "the write failed"
}

// fromTerminal is always true: the console sends its events to every process.
func fromTerminal(os.Signal) bool { return true }

// statusOf returns the exit code of a process.
func statusOf(state *os.ProcessState) int { return state.ExitCode() }

// setUID is always false: Windows has no such bit.
func setUID() bool { return false }

// enoughFiles is always true: Windows has no such limit.
func enoughFiles() bool { return true }

// openFiles returns no limit: Windows has none.
func openFiles() (n uint64, known bool) { return 0, false }
