package tokenfetch_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/tokenfetch/tokenfetch/pkg/emulator"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

// A program on a computer with profiles says tokenfetch.FromEnvironment().
func ExampleClient_Token() {
	client, stop := demoClient()
	defer stop()
	token, err := client.Token(context.Background(), "zeepay")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(token.Ref, token.AccessToken, len(token.AccessToken.Reveal()) > 0, token.Lifetime)
	// Output: zeepay/default [hidden] true 8760h0m0s
}

// The token goes to the named origin only.
func ExampleClient_Transport() {
	client, stop := demoClient()
	defer stop()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Get("Authorization") != "")
	}))
	defer api.Close()

	calls := &http.Client{Transport: client.Transport("zeepay", api.URL)}
	response, err := calls.Get(api.URL + "/accounts")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	var authorized bool
	_, _ = fmt.Fscan(response.Body, &authorized)
	fmt.Println(response.StatusCode, authorized)
	// Output: 200 true
}

// demoClient is a client with the demo credentials of an emulator.
func demoClient() (client *tokenfetch.Client, stop func()) {
	definitions, _ := provider.NewCatalog("", nil).All()
	e, err := emulator.New(definitions, emulator.Options{})
	if err != nil {
		panic(err)
	}
	server := httptest.NewServer(e)
	return tokenfetch.New(tokenfetch.Options{Environ: demoEnviron(definitions, server), UserAgent: "example/1.0"}), server.Close
}

// demoEnviron is the variables that the command "tokenfetch emulator" prints.
func demoEnviron(definitions []*provider.Definition, server *httptest.Server) []string {
	var environ []string
	for _, d := range definitions {
		environ = append(environ, d.Variable("base_url")+"="+emulator.BaseURL(server.Listener.Addr().String(), d.Name))
		for field, value := range emulator.Demo(d) {
			environ = append(environ, d.Variable(field)+"="+value)
		}
	}
	return environ
}
