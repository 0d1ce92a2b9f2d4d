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
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

// ref is a profile of a provider.
type ref = tokenfetch.Ref

// short returns the name as a command line needs it: zeepay, zeepay/ci.
func (r *run) short(f ref) string {
	if _, set := r.env.lookup("TOKENFETCH_PROFILE"); f.Profile == profile.Default && !set {
		return f.Definition.Name
	}
	return f.String()
}

// about makes this profile the subject of later errors.
func (r *run) about(f ref) { r.provider, r.profile, r.origin = f.Definition.Name, f.Profile, "" }

// aboutPlan is about for the profile of a plan.
func (r *run) aboutPlan(f ref, p *tokenfetch.Plan) {
	r.about(f)
	r.origin = p.Origin()
}

// knownProfile returns the profile that an error is about, or "" if it does not exist:
// the given name may be a misplaced secret.
func (r *run) knownProfile() string {
	if r.profile == profile.Default || r.file != nil && slices.Contains(r.file.Names(r.provider), r.profile) {
		return r.profile
	}
	return ""
}

// addRefFlags adds the flags that select a provider's host to a command whose argument
// names the provider. d is nil if the argument names none. Then a flag that build adds
// for any provider counts as known, so that the error is about the name.
func (r *run) addRefFlags(c *cobra.Command, d *provider.Definition, build func(*provider.Definition) *cobra.Command, environment, baseURL *string) {
	if d != nil {
		addHostFlags(c.Flags(), d, environment, baseURL)
		register(c, "environment", cobra.FixedCompletions(d.EnvironmentNames(), cobra.ShellCompDirectiveNoFileComp))
		return
	}
	c.Flags().StringVarP(environment, "environment", "e", "", "the provider's host by `NAME`")
	c.Flags().StringVar(baseURL, "base-url", "", "the provider's host by `URL`")
	c.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok && r.isFlagOfSome(build, unknown.GetSpecifiedName()) {
			if r.named == "" {
				return r.needRef(cmd)
			}
			if _, err := r.ref(r.named); err != nil {
				return err
			}
		}
		return r.flagError(cmd, err)
	})
}

// isFlagOfSome reports whether the command that build returns for some provider has the
// flag.
func (r *run) isFlagOfSome(build func(*provider.Definition) *cobra.Command, flag string) bool {
	return slices.ContainsFunc(r.catalog.Names(), func(name string) bool {
		d, err := r.catalog.Definition(name)
		return err == nil && build(d).Flags().Lookup(flag) != nil
	})
}

// ref parses a profile of the command line. If its provider is misspelt, the hint has
// the command with the nearest one.
func (r *run) ref(text string) (ref, error) {
	f, err := r.engine().Ref(text)
	name, _, _ := strings.Cut(text, "/")
	if e, ok := errors.AsType[*failure.Error](err); ok && !r.catalog.Has(name) {
		if near := failure.Nearest(name, r.catalog.Names()); near != "" {
			command := r.command.CommandPath() + " " + near
			if r.wraps {
				command += " -- COMMAND"
			}
			return f, e.WithHint("run: %s", command).Suggest(near)
		}
	}
	return f, err
}

// checkEnvironment returns an error for an environment that the provider does not have.
func (r *run) checkEnvironment(f ref, name string) error {
	_, err := f.Definition.CheckEnvironment(name)
	if e, ok := errors.AsType[*failure.Error](err); ok {
		e = e.Append(" (from --environment)")
		if near := failure.Nearest(name, f.Definition.EnvironmentNames()); near != "" {
			e = e.AppendHint("; run: %s", r.again("", "-e "+near))
		}
		return e
	}
	return nil
}

// oneRef parses the argument of a command that takes one profile.
func (r *run) oneRef(cmd *cobra.Command, args []string) (ref, error) {
	if len(args) == 0 {
		return ref{}, r.needRef(cmd)
	}
	f, err := r.ref(args[0])
	switch {
	case err == nil && len(args) > 1:
		e := failure.New(failure.UnexpectedArgument, "%s takes one profile at a time", cmd.CommandPath()).WithHint("run: %s --help", cmd.CommandPath())
		return ref{}, r.misplaced(e, cmd.CommandPath(), f.Definition, args[1])
	case err == nil:
		r.about(f)
		r.refs = []ref{f}
	}
	return f, err
}

func (r *run) needRef(cmd *cobra.Command) error {
	return r.needVerb(cmd, "name a provider: "+strings.Join(r.catalog.Names(), ", "))
}
