package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/output"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

// newProvider returns the command of one provider.
func (r *run) newProvider(d *provider.Definition) *cobra.Command {
	o := fetchOptions{format: output.Formats()[0], variable: provider.TokenVariable(d.Name)}
	c := &cobra.Command{
		Use:     d.Name,
		Short:   fetchFrom + d.Title,
		Example: examplesOf(d),
		Args: func(cmd *cobra.Command, args []string) error {
			err := noArguments(cmd, args)
			if e, ok := errors.AsType[*failure.Error](err); ok {
				return r.misplaced(e, "tokenfetch", d, args[0])
			}
			return err
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			r.provider = d.Name
			o.fields = givenFields(cmd.Flags(), d)
			f, err := r.chooseProfile(cmd, d, &o)
			if err != nil {
				return err
			}
			r.profile, r.refs = f.Profile, []ref{f}
			if err := o.check(cmd, d); err != nil {
				return err
			}
			return r.fetch(r.quickContext(), f, o)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.StringVarP(&o.profile, "profile", "p", "", "profile to use, a `NAME` of the profiles file")
	addHostFlags(flags, d, &o.environment, &o.baseURL)
	addFieldFlags(flags, d)
	flags.VarP(&choice{&o.format, output.Formats()}, "output", "o", "print the token as `FORMAT`: "+strings.Join(output.Formats(), ", "))
	flags.StringVar(&o.variable, "var", o.variable, "variable `NAME` for the formats that set one")
	addFetchFlags(flags, &o)
	if r.completing() {
		r.completeFlags(c, d)
	}
	return c
}

// examplesOf returns examples for the help of a provider's command.
func examplesOf(d *provider.Definition) string {
	lines := []string{"tokenfetch login " + d.Name}
	if d.Use.Header != "" && !d.Policy.SingleUse {
		lines = append(lines, "tokenfetch "+d.Name, fmt.Sprintf(`eval "$(tokenfetch %s -o export || echo false)"`, d.Name))
	} else {
		lines = append(lines, fmt.Sprintf("TOKEN=$(tokenfetch %s)", d.Name))
	}
	if d.Use.Header == "" {
		lines = append(lines, fmt.Sprintf(`printf %%s "$TOKEN" | jq -R '{%q: .}' | curl -sSf --json @- URL`, d.Use.Member))
	} else {
		lines = append(lines, fmt.Sprintf("tokenfetch %s -o curl | curl -sSf -K - URL", d.Name))
	}
	lines = append(lines, fmt.Sprintf("tokenfetch exec %s -- ./reconcile.sh", d.Name))
	return "  " + strings.Join(lines, "\n  ")
}

// chooseProfile sets the profile: that of --profile, of the argument PROVIDER/NAME, or
// the one that is used without a name.
func (r *run) chooseProfile(cmd *cobra.Command, d *provider.Definition, o *fetchOptions) (ref, error) {
	name, flag := o.profile, cmd.Flags().Changed("profile")
	// Other programs take a password attached to -p.
	if flag && slices.ContainsFunc(r.env.Args, func(arg string) bool {
		return strings.HasPrefix(arg, "-") && !strings.HasPrefix(arg, "--") && strings.HasSuffix(arg, "p"+name)
	}) {
		return ref{}, failure.New(failure.BadFlagValue, "-p takes the profile's name as a word of its own").
			WithHint("run: tokenfetch %s -p NAME; a password comes from --password-file FILE, a variable or the keychain", d.Name)
	}
	word, inWord := strings.CutPrefix(r.named, d.Name+"/")
	switch {
	case flag && inWord:
		return ref{}, failure.New(failure.ConflictingFlags, "the profile is named twice: in %s/NAME and by --profile", d.Name).WithHint("keep one")
	case inWord:
		name = word
	case !flag && o.emulator:
		name = profile.Default
	case !flag:
		var err error
		if name, err = r.engine().UnnamedProfile(); err != nil {
			return ref{}, err
		}
	}
	return ref{Definition: d, Profile: name}, tokenfetch.CheckProfileName(d, name)
}

// check rejects contradictory flags before anything is read.
func (o *fetchOptions) check(cmd *cobra.Command, d *provider.Definition) error {
	if err := oneHost(o.environment, o.baseURL); err != nil {
		return err
	}
	if o.emulator {
		others := []string{"environment", "base-url", "ca-file", "dry-run"}
		for _, f := range d.Fields {
			others = append(others, f.Flag())
		}
		for _, name := range others {
			if cmd.Flags().Changed(name) {
				return conflict("--emulator", "--"+name)
			}
		}
	}
	if err := oneFromStdin(d, o.fields); err != nil {
		return err
	}
	if rule := output.CheckVariable(o.variable); rule != "" {
		return failure.New(failure.BadVariableName, "the name given to --var %s", rule).WithHint("choose another name, such as %s", provider.TokenVariable(d.Name))
	}
	if use := d.Use; use.Header == "" && output.NeedsHeader(o.format) {
		return failure.New(failure.NoHeader, "a token of %s does not travel in a header, but as member %q of the JSON body", d.Title, use.Member).
			WithHint(`put it into the body: TOKEN=$(tokenfetch %s) && printf %%s "$TOKEN" | jq -R '{%s: .}' (and add the members of your call)`, d.Name, use.Member)
	}
	return nil
}

// fetch runs a provider's command: find the profile, fetch the token, deliver it.
func (r *run) fetch(ctx context.Context, f ref, o fetchOptions) error {
	deliver, err := r.destination(f, o)
	if err != nil {
		return err
	}
	p, end, err := r.plan(ctx, f, o)
	if err != nil {
		return err
	}
	defer end()
	if o.dryRun {
		r.showPlan(p)
		return nil
	}
	if err := p.Load(ctx); err != nil {
		return err
	}
	result, err := p.Token(ctx)
	if err != nil {
		return err
	}
	if err := r.mask(result.AccessToken, o); err != nil {
		return err
	}
	data, err := output.Format(resultOf(f, result), o.format, o.variable)
	if err != nil {
		return undelivered(err.Error()).WithHint("choose another format")
	}
	shown := output.RunnerFile(o.format) == "" && isTerminal(r.env.Stdout) // which is closed then
	if err := deliver(data); err != nil {
		return err
	}
	if shown {
		r.console.say(validity(result, time.Now()))
	}
	return nil
}

// validity returns how long a token is still valid. For a fresh token that is the
// lifetime that the provider stated.
func validity(t *tokenfetch.Token, now time.Time) string {
	switch {
	case t.SingleUse:
		return "good for one call"
	case t.Lifetime == 0:
		return "lifetime unknown, so it is not cached"
	}
	left := t.Lifetime
	if t.Cached {
		left = max(0, t.Obtained.Add(left).Sub(now))
	}
	return "valid for " + brief(left)
}

// resultOf returns a profile's token as output shows it.
func resultOf(f ref, t *tokenfetch.Token) output.Result {
	return output.Result{
		AccessToken: t.AccessToken, Lifetime: t.Lifetime, Obtained: t.Obtained, Scope: t.Scope, SingleUse: t.SingleUse,
		Provider: f.Definition.Name, Profile: f.Profile, Environment: t.Environment,
		Origin: t.Origin, BaseURL: t.BaseURL, Use: t.Use, Extra: t.Extra, Cached: t.Cached, Now: time.Now(),
	}
}
