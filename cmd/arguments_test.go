package cmd

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/tokenfetch/tokenfetch/pkg/output"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// FuzzWhatAsked: where a command line parses, how its failure is to be shown is
// what the parser has found. A value that looks like a flag tells that one has lost
// its value: then a failing line may be printed that nobody asked for.
func FuzzWhatAsked(f *testing.F) {
	for _, line := range []string{
		"zeepay", "zeepay -o export", "-o export zeepay/ci", "zeepay -vo export", "zeepay -vo=curl --var X", "zeepay -oexport",
		"zeepay --output=fish --errors json", "zeepay -ve test -o powershell", "zeepay --username --errors=json -o text",
		"zeepay --client-id -oexport", "zeepay --config -- -o export", "zeepay -o export -- -o fish", "zeepay --var=LD_PRELOAD -o export",
		"--config mpay zeepay -o export", "--username -x zeepay/ci --errors=text", "--password-file - mpay --var A", "-v zeepay -p ci -ocurl",
		"nothing", "--errors=json", "--errors json --timeout 5s", "status -o json zeepay", "version --errors=json", "help zeepay -v",
		"login -ve test zeepay --client-id 42 --errors=json", "login --password-file - mpay --username -o", "login --username zeepay mpay",
		"logout --tenant -v fincode --errors text", "logout -ve test zeepay", "exec -v zeepay/ci --errors json -- sh -o export",
		"cache clear zeepay --errors=json", "emulator -- tokenfetch zeepay -o export",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Fields(line)
		if len(args) > 0 && strings.HasPrefix(args[0], "__complete") {
			return
		}
		r := newRun(Env{Args: args, Stderr: os.Stderr})
		r.catalog = provider.NewCatalog("", nil)
		root := r.newRoot()
		r.addCommands(root)
		command, behind, err := r.resolve(root)
		check.OK(t, err)
		command.InitDefaultHelpFlag()
		got := r.whatAsked(command, behind, "")
		strict(command.Flags())
		if command.ParseFlags(behind) != nil {
			return
		}
		want := asked{errorsJSON: command.Flag("errors").Value.String() == "json"}
		if r.catalog.Has(command.Name()) {
			if name := command.Flag("var").Value.String(); output.CheckVariable(name) == "" {
				want.name = name
			}
			if format := command.Flag("output").Value.String(); output.FailingLine(format, "") != "" {
				want.format = format
			}
		}
		var odd, dashes bool
		command.Flags().Visit(func(f *pflag.Flag) {
			odd = odd || strings.HasPrefix(f.Value.String(), "-")
			dashes = dashes || f.Value.String() == "--"
		})
		if dashes || odd && (want.format == "" || got.format != "") {
			return
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(asked{})); diff != "" {
			t.Errorf("tokenfetch %q: (-parsed +looked through):\n%s", args, diff)
		}
		name, _, _ := strings.Cut(command.Flags().Arg(0), "/")
		if d, err := r.catalog.Definition(name); err == nil && command.Name() == "login" && command.Flags().Lookup(d.Fields[0].Flag()) == nil {
			t.Errorf("tokenfetch %q: login has not the flags of %s", args, name)
		}
	})
}
