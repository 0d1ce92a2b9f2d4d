package cmd

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
)

// ref is a profile of a provider, as an argument names it.
type ref struct {
	definition *provider.Definition
	profile    string
}

// String is the name with both parts: zeepay/default.
func (f ref) String() string { return f.definition.Name + "/" + f.profile }

// short is the name as a command line needs it: zeepay, zeepay/ci.
func (r *run) short(f ref) string {
	if _, set := r.env.lookup("TOKENFETCH_PROFILE"); f.profile == profile.Default && !set {
		return f.definition.Name
	}
	return f.String()
}

// parseRef reads PROVIDER[/PROFILE]. It does not repeat a word that is neither,
// which may be a misplaced secret.
func (r *run) parseRef(text string) (ref, error) {
	name, profileName, named := strings.Cut(text, "/")
	d, err := r.catalog.Definition(name)
	if err != nil {
		return ref{}, failure.New(failure.UnexpectedArgument, "a name is not PROVIDER or PROVIDER/PROFILE").
			WithHint("the providers are %s", strings.Join(r.catalog.Names(), ", "))
	}
	if !named {
		profileName, err = r.unnamedProfile()
		return ref{d, profileName}, err
	}
	return ref{d, profileName}, checkProfileName(d, profileName)
}

// about makes a failure from here on one of this profile.
func (r *run) about(f ref) { r.provider, r.profile, r.origin = f.definition.Name, f.profile, "" }

// knownProfile is the profile of a failure, "" where it does not exist: what was
// given for its name may be a secret.
func (r *run) knownProfile() string {
	if r.profile == profile.Default || r.file != nil && slices.Contains(r.file.Names(r.provider), r.profile) {
		return r.profile
	}
	return ""
}

// unnamedProfile is the profile where nobody names one: $TOKENFETCH_PROFILE, or
// the default.
func (r *run) unnamedProfile() (string, error) {
	const variable = "TOKENFETCH_PROFILE"
	value, set := r.env.lookup(variable)
	switch {
	case !set:
		return profile.Default, nil
	case value == "":
		return "", failure.New(failure.VariableEmpty, "%s is set but empty", variable).WithHint("unset it, or set it to a profile's name")
	case !profile.ValidName(value):
		return "", failure.New(failure.VariableInvalid, "%s must match %s", variable, profile.NamePattern).WithHint("set it to a profile's name")
	}
	return value, nil
}

func checkProfileName(d *provider.Definition, name string) error {
	if !profile.ValidName(name) {
		return failure.New(failure.BadProfileName, "the profile's name must match %s", profile.NamePattern).
			WithHint("run tokenfetch %s --help", d.Name)
	}
	return nil
}

// addRefFlags adds the flags that choose the host of a provider to a command
// whose argument names the provider; d is nil where it does not. Then a flag of
// a provider is no unknown flag: the name is what is wrong.
func (r *run) addRefFlags(c *cobra.Command, d *provider.Definition, environment, baseURL *string) {
	if d != nil {
		addHostFlags(c.Flags(), d, environment, baseURL)
		register(c, "environment", cobra.FixedCompletions(d.EnvironmentNames(), cobra.ShellCompDirectiveNoFileComp))
		return
	}
	c.Flags().StringVarP(environment, "environment", "e", "", "the provider's host by `NAME`")
	c.Flags().StringVar(baseURL, "base-url", "", "the provider's host by `URL`")
	c.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok && unknown.GetSpecifiedShortnames() == "" {
			if r.named == "" {
				return r.needRef(cmd)
			}
			if _, err := r.parseRef(r.named); err != nil {
				return err
			}
		}
		return flagError(cmd, err)
	})
}

// oneRef reads the argument of a command that takes one profile.
func (r *run) oneRef(cmd *cobra.Command, args []string) (ref, error) {
	switch {
	case len(args) == 0:
		return ref{}, r.needRef(cmd)
	case len(args) > 1:
		return ref{}, failure.New(failure.UnexpectedArgument, "%s takes one profile at a time", cmd.CommandPath()).
			WithHint("run %s --help", cmd.CommandPath())
	}
	f, err := r.parseRef(args[0])
	if err == nil {
		r.about(f)
	}
	return f, err
}

func (r *run) needRef(cmd *cobra.Command) error {
	return r.needVerb(cmd, "name a provider: "+strings.Join(r.catalog.Names(), ", "))
}
