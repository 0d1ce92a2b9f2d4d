package cmd

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/output"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

// wanted is a token for the command of exec, with the fields to pass beside it.
type wanted struct {
	ref      ref
	variable string
	fields   []wantedField
}

// wantedField is a field that the command receives.
type wantedField struct {
	provider.Field
	variable string
}

// newExec returns the command "tokenfetch exec".
func (r *run) newExec() *cobra.Command {
	var o fetchOptions
	c := &cobra.Command{
		Use:   "exec [flags] [NAME=]PROVIDER[/PROFILE]... -- COMMAND [ARG...]",
		Short: "run a command with tokens in its environment",
		Long: `Run COMMAND with one token for each PROVIDER/PROFILE in its environment.

The variable is NAME, or PROVIDER_ACCESS_TOKEN in upper case. --with FIELD adds
PROVIDER_FIELD, for calls that need more than the token. The command takes the
place of tokenfetch: it has the terminal, gets the signals, and its exit code is
the one you see. Variables that hold your credentials are taken out of its
environment. It starts only when all tokens are there: otherwise the exit code
is 125, and 126 or 127 if the command cannot be run or does not exist.`,
		Example: `  tokenfetch exec zeepay -- ./reconcile.sh
  tokenfetch exec zeepay/ci REPORT_TOKEN=abbeycross -- make report
  tokenfetch exec enkash --with client_secret -- make payout
  tokenfetch exec zeepay --emulator -- env`,
		RunE: func(cmd *cobra.Command, args []string) error {
			dash := cmd.ArgsLenAtDash()
			const write = "run: tokenfetch exec PROVIDER -- COMMAND"
			switch {
			case len(args) == 0:
				return failure.New(failure.MissingArgument, "exec needs the name of a provider, and a command behind --").WithHint(write)
			case dash < 0:
				return failure.New(failure.MissingArgument, "the command must stand behind --").WithHint(write)
			case dash == 0:
				return failure.New(failure.MissingArgument, "there is no provider before --").WithHint(write)
			case dash == len(args):
				return failure.New(failure.MissingArgument, "there is no command behind --").WithHint(write)
			}
			all, err := r.parseWanted(args[:dash])
			if err != nil {
				return err
			}
			if err := addFields(all, o.with); err != nil {
				return err
			}
			return r.exec(r.context(), all, args[dash:], o)
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
			if slices.Contains(r.env.Args, "--") { // ArgsLenAtDash counts dashes that cobra adds here
				return nil, cobra.ShellCompDirectiveDefault
			}
			return r.completeProfiles(cmd, args, word)
		},
	}
	c.Flags().SortFlags = false
	addFetchFlags(c.Flags(), &o)
	c.Flags().StringArrayVar(&o.with, "with", nil, "also hand over the `FIELD` of each provider that has it, may be given again")
	register(c, "with", r.completeFields)
	return c
}

// cutVariable splits [NAME=]PROVIDER[/PROFILE] behind the name.
func cutVariable(arg string) (variable, ref string, given bool) {
	if variable, ref, given = strings.Cut(arg, "="); given {
		return variable, ref, true
	}
	return "", arg, false
}

// parseWanted parses the arguments before "--".
func (r *run) parseWanted(args []string) ([]wanted, error) {
	var all []wanted
	for _, arg := range args {
		variable, name, given := cutVariable(arg)
		f, err := r.ref(name)
		if err != nil {
			return nil, err
		}
		w := wanted{ref: f, variable: provider.TokenVariable(f.Definition.Name)}
		if given {
			w.variable = variable
			if rule := output.CheckVariable(variable); rule != "" {
				return nil, failure.New(failure.BadVariableName, "the name before =%s %s", f.Definition.Name, rule).
					WithHint("choose another name, such as %s", provider.TokenVariable(f.Definition.Name))
			}
		}
		if slices.ContainsFunc(all, func(other wanted) bool { return other.variable == w.variable }) {
			return nil, failure.New(failure.BadVariableName, "two tokens would fill one variable").
				WithHint("give one of them another name: NAME=%s", f.Definition.Name)
		}
		all = append(all, w)
		r.refs = append(r.refs, f)
		r.variables = append(r.variables, given)
	}
	return all, nil
}

// addFields adds the named fields to the tokens whose providers have them. Its error
// does not repeat a name that no provider has: it may be a misplaced secret.
func addFields(all []wanted, names []string) error {
	taken := map[string]string{} // whose field fills a variable, empty for a token
	for _, w := range all {
		taken[w.variable] = ""
	}
	for _, name := range names {
		found := false
		for i := range all {
			w := &all[i]
			field, ok := w.ref.Definition.Field(name)
			if !ok {
				continue
			}
			found = true
			variable := provider.FieldVariable(w.ref.Definition.Name, name)
			if rule := output.CheckVariable(variable); rule != "" {
				return failure.New(failure.BadVariableName, "the variable %s for --with %s", variable, rule).WithHint("leave that field out")
			}
			switch by, ok := taken[variable]; {
			case !ok:
				taken[variable] = w.ref.String()
				w.fields = append(w.fields, wantedField{field, variable})
			case by != w.ref.String():
				return failure.New(failure.BadVariableName, "two values would fill the variable %s", variable).
					WithHint("name one profile of each provider, and no variable like that of a field")
			}
		}
		if !found {
			return noField(all, name)
		}
	}
	return nil
}

// noField returns the error for a field that no provider has.
func noField(all []wanted, name string) error {
	var providers, fields []string
	for _, w := range all {
		for _, f := range w.ref.Definition.Fields {
			if !slices.Contains(fields, f.Name) {
				fields = append(fields, f.Name)
			}
		}
		if !slices.Contains(providers, w.ref.Definition.Name) {
			providers = append(providers, w.ref.Definition.Name)
		}
	}
	return failure.New(failure.BadFlagValue, "--with names no field of %s", strings.Join(providers, " or ")).
		WithHint("the fields are %s", strings.Join(fields, ", ")).Suggest(failure.Nearest(name, fields))
}

// exec fetches the tokens and replaces the process by the command. It checks everything
// that can be checked before it sends a request.
func (r *run) exec(ctx context.Context, all []wanted, argv []string, o fetchOptions) error {
	path, err := findCommand(argv[0])
	if err != nil {
		return err
	}
	if err := r.checkMask(o); err != nil {
		return err
	}
	plans, end, err := r.planAll(ctx, all, o)
	defer end()
	if err != nil {
		return err
	}
	for i, p := range plans { // now it is known what helpers must not get
		r.aboutPlan(all[i].ref, p)
		if o.dryRun {
			r.showPlan(p)
		} else if err := p.Load(ctx); err != nil {
			return err
		}
	}
	environ := slices.DeleteFunc(r.engine().ChildEnviron(), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.ContainsFunc(all, func(w wanted) bool { return w.fills(name) })
	})
	for i, w := range all {
		if !o.dryRun {
			environ = append(environ, r.fieldEntries(w, plans[i])...)
		}
	}
	if err := checkSize(path, argv, environ, all); err != nil {
		return err
	}
	if o.dryRun {
		for _, w := range all {
			for _, f := range w.fields {
				r.console.plan("%s would be set to %s of %s", f.variable, f.Name, w.ref)
			}
		}
		r.console.plan("then %s would be run", path)
		return nil
	}
	// Single-use tokens come last: they would be lost if another fetch failed after
	// them.
	for _, single := range []bool{false, true} {
		for i, w := range all {
			if w.ref.Definition.Policy.SingleUse != single {
				continue
			}
			r.aboutPlan(w.ref, plans[i])
			result, err := plans[i].Token(ctx)
			if err != nil {
				return err
			}
			if err := r.mask(result.AccessToken, o); err != nil {
				return err
			}
			environ = append(environ, w.variable+"="+result.AccessToken.Reveal())
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return r.become(path, argv, environ)
}

// planAll plans the fetches of the tokens. An emulator that they use runs until end is
// called.
func (r *run) planAll(ctx context.Context, all []wanted, o fetchOptions) (plans []*tokenfetch.Plan, end func(), err error) {
	var ends []func()
	end = func() {
		for _, end := range ends {
			end()
		}
	}
	for _, w := range all {
		p, endOne, err := r.plan(ctx, w.ref, o)
		if err != nil {
			return nil, end, err
		}
		plans, ends = append(plans, p), append(ends, endOne)
	}
	return plans, end, nil
}

// fills reports whether the command receives a variable of that name.
func (w wanted) fills(name string) bool {
	return w.variable == name || slices.ContainsFunc(w.fields, func(f wantedField) bool { return f.variable == name })
}

// fieldEntries returns the variables of the fields as NAME=VALUE, without optional
// fields that have no value.
func (r *run) fieldEntries(w wanted, p *tokenfetch.Plan) []string {
	var entries []string
	for _, f := range w.fields {
		value, ok := p.Value(f.Name)
		if !ok {
			r.console.info("%s is not set: nothing gives %s of %s", f.variable, f.Name, w.ref)
			continue
		}
		if f.Secret {
			r.console.hide(value)
		}
		entries = append(entries, f.variable+"="+value.Reveal())
	}
	return entries
}

// checkSize fails before the fetch if the environment with the tokens would be too
// large to start the command.
func checkSize(path string, argv, environ []string, all []wanted) error {
	entries := slices.Clone(environ)
	for _, w := range all {
		entries = append(entries, w.variable+"="+strings.Repeat(".", tokenfetch.MaxTokenLength))
	}
	if fits(path, argv, entries) {
		return nil
	}
	return tooLarge()
}

func tooLarge() error {
	return exitError{failure.New(failure.EnvironmentTooLarge, "the command's arguments and environment are too large together").
		WithHint("remove large variables from the environment, or hand arguments over in a file"), exitNotRunnable}
}
