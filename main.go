// A run has one goroutine that works: what asking the container for its share of
// processors costs, at the start and again later, is never made up for.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

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
