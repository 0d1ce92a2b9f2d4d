// Command tokenfetch fetches bearer tokens from the token endpoints of payment
// providers and prints them.
package main

import (
	"os"

	"github.com/tokenfetch/tokenfetch/cmd"
)

// version is set when a release is built.
var version = "dev"

func main() { os.Exit(cmd.Main(version)) }
