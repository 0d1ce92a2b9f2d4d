// Command read reads one secret, the sealing key of tokenfetch.
package main

import "github.com/zalando/go-keyring"

func main() {
	if _, err := keyring.Get("tokenfetch", "tokenfetch/cache_key"); err != nil {
		panic(err)
	}
}
