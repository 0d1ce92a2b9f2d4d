package provider_test

import (
	"fmt"

	"github.com/tokenfetch/tokenfetch/pkg/provider"
)

func Example() {
	d, err := provider.Parse("acme.toml", []byte(`[oauth2]
token_url = "https://auth.example.com/oauth2/token"
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	environment, _ := d.Environment(provider.OnlyEnvironment)
	fmt.Println(environment.BaseURL + d.Request.Path.String())
	// Output: https://auth.example.com/oauth2/token
}
