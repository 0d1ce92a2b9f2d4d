//go:build !linux

package cmd

// harden does nothing: this system has no such switch for a single process.
func harden() {}
