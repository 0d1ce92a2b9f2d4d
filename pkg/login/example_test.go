package login_test

import (
	"context"
	"fmt"
	"os"

	"github.com/tokenfetch/tokenfetch/pkg/login"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

// A new profile is written, with its secret in a file.
func ExampleSetup_Store() {
	home, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(home)
	client := tokenfetch.New(tokenfetch.Options{Environ: []string{"HOME=" + home}})
	ref, err := client.Ref("mpay/ci")
	if err != nil {
		panic(err)
	}

	ctx := context.Background()
	setup, err := login.Begin(ctx, login.Options{Client: client, Ref: ref, Name: "mpay/ci"})
	if err != nil {
		panic(err)
	}
	if err := setup.Place(login.Places{Store: login.Files}); err != nil {
		panic(err)
	}
	setup.SetHost("production", "")
	setup.Set("username", "ops")
	if err := setup.Prepare(ctx); err != nil {
		panic(err)
	}
	setup.Secrets[0].Give(secret.New("a password"))
	report, err := setup.Store(ctx)
	fmt.Println(setup.Table(), setup.Base, report.Files, err)
	// Output: [mpay.ci] https://api.mpayafrica.co.tz [password] <nil>
}
