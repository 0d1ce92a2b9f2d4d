package inspect_test

import (
	"context"
	"fmt"

	"github.com/tokenfetch/tokenfetch/pkg/inspect"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

func ExampleInspector_Profiles() {
	i := inspect.New(tokenfetch.Options{Environ: []string{
		"TOKENFETCH_MPAY_USERNAME=ops@example.com",
		"TOKENFETCH_MPAY_PASSWORD=hunter2",
	}})
	profiles, err := i.Profiles(context.Background(), &profile.File{}, nil)
	if err != nil {
		fmt.Println(err)
	}
	for _, p := range profiles {
		fmt.Println(p.Ref, p.Origin, p.Ready())
		for _, f := range p.Fields {
			fmt.Println(f.Name, f.State, f.Where)
		}
	}
	// Output:
	// mpay/default https://api.mpayafrica.co.tz:443 true
	// username found TOKENFETCH_MPAY_USERNAME
	// password found TOKENFETCH_MPAY_PASSWORD
}
