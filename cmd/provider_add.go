package cmd

import (
	"cmp"
	"context"
	"errors"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/source"
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

// addOptions are the flags of "provider add".
type addOptions struct {
	oauth2  provider.OAuth2
	issuer  string
	caFile  string
	replace bool
}

func (r *run) newProviderAdd() *cobra.Command {
	var o addOptions
	c := &cobra.Command{
		Use:   "add NAME",
		Short: "define a provider of your own",
		Long: `Define a provider that issues tokens by OAuth 2.0 (RFC 6749): write its
definition to NAME.toml in the directory providers beside the profiles file.

Give the address of its token endpoint, or of its issuer, which is asked for it
(RFC 8414 or OpenID Connect Discovery). Nothing else is asked, and no
credentials are sent. For any other provider write the file yourself, beginning
with a copy of another (tokenfetch provider show), and run tokenfetch provider
check.`,
		Example: `  tokenfetch provider add acme --token-url https://auth.acme.example/token
  tokenfetch provider add acme --issuer https://acme.example --scope pay`,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := r.oneName(cmd, args)
			if err != nil {
				return err
			}
			if problem := provider.CheckName(name); problem != "" {
				return failure.New(failure.BadProviderName, "the provider's name %s", problem).WithHint("choose another name")
			}
			switch {
			case o.oauth2.TokenURL == "" && o.issuer == "":
				return failure.New(failure.MissingArgument, "nothing says where the tokens come from").
					WithHint("give the address of the token endpoint with --token-url URL, or of the issuer with --issuer URL")
			case o.oauth2.TokenURL != "" && o.issuer != "":
				return conflict("--token-url", "--issuer")
			case o.oauth2.TokenURL != "" && o.caFile != "":
				return conflict("--token-url", "--ca-file")
			}
			return r.addDefinition(r.context(), name, o)
		},
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.Var(&address{&o.oauth2.TokenURL, provider.CheckTokenURL}, "token-url", "the address of the token endpoint")
	flags.Var(&address{&o.issuer, tokenfetch.CheckIssuer}, "issuer", "the address of the issuer, which is asked for its token endpoint")
	flags.Var(&choice{&o.oauth2.GrantType, provider.GrantTypes()}, "grant-type", "the grant to ask for (default "+provider.GrantTypes()[0]+")")
	flags.Var(&choice{&o.oauth2.AuthMethod, provider.AuthMethods()}, "auth-method", "how the client authenticates (default what the issuer takes, else "+provider.AuthMethods()[0]+")")
	flags.StringVar(&o.oauth2.Scope, "scope", "", "the `SCOPE` to ask for, such as payments:write")
	flags.StringVar(&o.oauth2.Audience, "audience", "", "the `AUDIENCE` to ask for")
	flags.StringVar(&o.caFile, "ca-file", "", "trust the certificates in `FILE`, and only these, when the issuer is asked")
	flags.BoolVar(&o.replace, "replace", false, "replace a definition of that name")
	return c
}

// address is the value of a flag that takes an address which check accepts.
type address struct {
	value *string
	check func(string) string
}

// Set parses the address.
func (a *address) Set(text string) error {
	if problem := a.check(text); problem != "" {
		return rule(problem)
	}
	*a.value = text
	return nil
}

// String returns the address, or "" if none was given.
func (a *address) String() string {
	if a.value == nil {
		return ""
	}
	return *a.value
}

// Type returns the name of the value in help texts.
func (a *address) Type() string { return "URL" }

// addDefinition writes the definition of a provider after checking all of it.
func (r *run) addDefinition(ctx context.Context, name string, o addOptions) error {
	// Check the flags before asking any questions.
	draft := o.oauth2
	draft.TokenURL = cmp.Or(draft.TokenURL, "https://issuer.example/token")
	d, err := define(name, draft)
	if err != nil {
		return err
	}
	path, err := r.definitionPath(name)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(path); err == nil && !o.replace {
		return failure.New(failure.DefinitionExists, "%s exists already", path).
			WithHint("look at it with tokenfetch provider show %s, take another name, or replace it with --replace", name)
	}
	if variable, other := r.catalog.Conflict(d); other != "" {
		return failure.New(failure.DefinitionInvalid, "%s", conflictText(name, variable, other)).WithHint("choose another name")
	}
	if o.issuer != "" {
		if o.oauth2, err = r.askIssuer(ctx, o); err != nil {
			return err
		}
		if d, err = define(name, o.oauth2); err != nil {
			return err
		}
	}
	text := o.oauth2.TOML()
	write := source.Write
	if !o.replace {
		write = func(path string, data []byte) error { return source.Update(path, nil, data) }
	}
	if err := write(path, text); err != nil {
		return err
	}
	r.console.note("the definition is in %s", path)
	if o.issuer != "" {
		r.console.note("the issuer's token endpoint is %s", o.oauth2.TokenURL)
	}
	for _, line := range destinations(d) {
		r.console.note("%s", line)
	}
	next := "tokenfetch login " + name
	if r.config != "" {
		next += " --config " + r.config
	}
	r.console.hint("enter the credentials with: " + next)
	return nil
}

// define returns a definition built from the flags.
func define(name string, o provider.OAuth2) (*provider.Definition, error) {
	d, err := provider.Parse(name+".toml", o.TOML())
	if problems, ok := errors.AsType[*provider.Problems](err); ok {
		return nil, flagProblem(problems.All[0].Text)
	}
	return d, nil
}

// askIssuer completes the flags with the issuer's metadata.
func (r *run) askIssuer(ctx context.Context, o addOptions) (provider.OAuth2, error) {
	asked, err := provider.ParseAddress(o.issuer)
	if err != nil {
		return o.oauth2, err
	}
	r.origin = asked.Origin()
	said, err := r.engine().Discover(ctx, o.issuer, o.caFile)
	if err != nil {
		return o.oauth2, err
	}
	complete, err := said.Complete(o.oauth2)
	if err == nil {
		r.origin = ""
	}
	return complete, err
}

// definitionPath returns the path of the definition of a user's provider.
func (r *run) definitionPath(name string) (string, error) {
	if _, _, err := r.engine().ProfilesPath(); err != nil {
		return "", err
	}
	path := r.catalog.File(name)
	if path == "" {
		return "", failure.New(failure.FileUnwritable, "there is no home directory for a provider's definition").
			WithHint("set HOME, or name the profiles file, beside which definitions are, with TOKENFETCH_CONFIG or --config FILE")
	}
	return path, nil
}

// flagProblem returns the error for a flag whose value is invalid in a definition.
func flagProblem(problem string) error {
	for _, flag := range []string{"token-url", "scope", "audience"} {
		if rest, ok := strings.CutPrefix(problem, strings.ReplaceAll(flag, "-", "_")+" "); ok {
			return failure.New(failure.BadFlagValue, "the value of the flag --%s %s", flag, rest).WithHint("run tokenfetch provider add --help")
		}
	}
	return failure.New(failure.BadFlagValue, "a flag's value cannot stand in a definition: %s", problem).WithHint("run tokenfetch provider add --help")
}

func conflictText(name, variable, other string) string {
	return "the variable " + variable + " would belong to both " + name + " and " + other
}
