// Command linked is tokenfetch that returns at once unless it has arguments: what
// every run pays before its first line.
package main

import (
	"os"

	"github.com/tokenfetch/tokenfetch/cmd"
)

func main() {
	if len(os.Args) > 1 {
		os.Exit(cmd.Main(""))
	}
}
