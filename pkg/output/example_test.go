package output_test

import (
	"fmt"

	"github.com/tokenfetch/tokenfetch/pkg/output"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
)

func ExampleFormat() {
	line, err := output.Format(output.Result{AccessToken: secret.New("abc'123")}, "export", "ACME_ACCESS_TOKEN")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s", line)
	// Output: export ACME_ACCESS_TOKEN='abc'\''123'
}
