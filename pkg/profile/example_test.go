package profile_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tokenfetch/tokenfetch/pkg/profile"
)

func ExampleLoad() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "profiles.toml")
	text := `[acme.ci]
client_id = "build-server"
client_secret = { env = "ACME_SECRET" }
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	file, err := profile.Load(context.Background(), path, profile.Options{Trusted: true, Note: func(string) {}})
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := file.Profile("acme", "ci", []profile.Field{{Name: "client_id"}, {Name: "client_secret", Secret: true}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.Fields["client_id"].Text.Reveal(), p.Fields["client_secret"].Env)
	// Output: build-server ACME_SECRET
}
