package cmd

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
)

var (
	errRepeated = errors.New("given twice")
	errEmpty    = errors.New("empty")
)

// once is the value of a flag that may be given once and must not be empty, which an
// unset shell variable would make it.
type once struct {
	pflag.Value
	given bool
}

// Set sets the value unless it is set already.
func (o *once) Set(text string) error {
	switch {
	case o.given:
		return errRepeated
	case text == "":
		return errEmpty
	}
	o.given = true
	return o.Value.Set(text)
}

// rule is the error of an invalid flag value. It does not contain the value.
type rule string

// Error returns the rule.
func (r rule) Error() string { return string(r) }

// choice is the value of a flag that accepts one of a list.
type choice struct {
	value *string
	from  []string
}

// Set accepts a value of the list.
func (c *choice) Set(text string) error {
	if !slices.Contains(c.from, text) {
		return rule("must be one of " + strings.Join(c.from, ", "))
	}
	*c.value = text
	return nil
}

// String returns the chosen value.
func (c *choice) String() string {
	if c.value == nil {
		return ""
	}
	return *c.value
}

// Type is the word for the value in a help text.
func (c *choice) Type() string { return strings.Join(c.from, "|") }

const maxCount = 1000

// count is the value of a flag that accepts a whole number from least on.
type count struct {
	value *int
	least int
}

// Set reads the number.
func (c *count) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < c.least || n > maxCount {
		return rule(fmt.Sprintf("must be a number from %d to %d", c.least, maxCount))
	}
	*c.value = n
	return nil
}

// String returns the number, empty if none was given.
func (c *count) String() string {
	if c.value == nil || *c.value == 0 {
		return ""
	}
	return strconv.Itoa(*c.value)
}

// Type is the word for the value in a help text.
func (c *count) Type() string { return "number" }

// maxMinTTL is the maximum of --min-ttl.
const maxMinTTL = 366 * 24 * time.Hour

// duration is the value of a flag that accepts a time limit, or a duration up to most.
type duration struct {
	value *time.Duration
	most  time.Duration
}

// Set reads a time limit, see profile.ParseTimeout.
func (d *duration) Set(text string) error {
	value, err := profile.ParseDuration(text, max(d.most, profile.MaxTimeout))
	if err != nil {
		return rule(err.Error())
	}
	*d.value = value
	return nil
}

// String returns the value, empty if none was given.
func (d *duration) String() string {
	if d.value == nil || *d.value == 0 {
		return ""
	}
	return d.value.String()
}

// Type is the word for the value in a help text.
func (d *duration) Type() string { return "duration" }

// strict wraps the values of all flags of the set, except lists, in [once].
func strict(flags *pflag.FlagSet) {
	flags.VisitAll(func(f *pflag.Flag) {
		if _, isOnce := f.Value.(*once); !isOnce && f.Value.Type() != "stringArray" {
			f.Value = &once{Value: f.Value}
		}
	})
}

// flagValue returns the value of a flag without what strict has put around it.
func flagValue(f *pflag.Flag) pflag.Value {
	if o, ok := f.Value.(*once); ok {
		return o.Value
	}
	return f.Value
}

// lookupFlag returns the flag of that name, or of that letter, nil if there is none.
func lookupFlag(flags *pflag.FlagSet, name string) *pflag.Flag {
	if len(name) == 1 {
		return flags.ShorthandLookup(name)
	}
	return flags.Lookup(name)
}

// flagError turns an error of the flag library, whose text quotes values, into
// one that names the flag only.
func (r *run) flagError(cmd *cobra.Command, err error) error {
	command := cmd.CommandPath()
	if name, _, _ := strings.Cut(r.named, "/"); name != cmd.Name() && r.catalog.Has(name) {
		command += " " + name // whose flags login and logout have
	}
	help := "run: " + command + " --help"
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		name := unknown.GetSpecifiedName()
		if f := cmd.Flags().Lookup(name + "-file"); f != nil {
			return failure.New(failure.UnknownFlag, "there is no flag --%s: no flag takes a secret's value", name).
				WithHint("use --%s-file FILE (- is standard input), an environment variable or the keychain: run %s --help", name, command)
		}
		if !regexp.MustCompile(`^[a-z][a-z-]{0,30}$`).MatchString(name) {
			return failure.New(failure.UnknownFlag, "there is an unknown flag behind %s", command).WithHint("%s", help).Suggest(nearestFlag(cmd, name))
		}
		dashes := "--"
		if unknown.GetSpecifiedShortnames() != "" {
			dashes = "-"
		}
		e := failure.New(failure.UnknownFlag, "there is no flag %s%s for %s", dashes, name, command).WithHint("%s", help)
		if near := nearestFlag(cmd, name); near != "" {
			return e.Suggest(near)
		} else if cmd.Name() == "exec" {
			return e.WithHint("%s", cmp.Or(r.insteadOfFlag(cmd, name), help))
		}
		return e
	}
	if missing, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		return failure.New(failure.BadFlagValue, "the flag --%s needs a value", missing.GetFlag().Name).WithHint("%s", help)
	}
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		name := invalid.GetFlag().Name
		switch cause := invalid.Unwrap(); {
		case errors.Is(cause, errRepeated):
			return failure.New(failure.RepeatedFlag, "the flag --%s is given twice", name).WithHint("give it once")
		case errors.Is(cause, errEmpty):
			return failure.New(failure.BadFlagValue, "the value of the flag --%s is empty", name).WithHint("check the variable behind it")
		}
		if text, ok := errors.AsType[rule](invalid.Unwrap()); ok {
			e := failure.New(failure.BadFlagValue, "the value of the flag --%s %s", name, string(text)).WithHint("%s", help)
			if near := nearestValue(invalid.GetFlag(), invalid.GetValue()); near != "" {
				return e.WithHint("run: %s --%s %s", command, name, near).Suggest(near)
			}
			return e
		}
		return failure.New(failure.BadFlagValue, "invalid value for --%s", name).WithHint("%s", help)
	}
	return failure.New(failure.UnknownFlag, "there is a malformed flag behind %s", command).WithHint("%s", help)
}

// insteadOfFlag says what to use for a flag of a provider's command that exec does not
// have: its variable. It is "" for any other flag.
func (r *run) insteadOfFlag(exec *cobra.Command, name string) string {
	provider, _, named := strings.Cut(firstWord(r.behind, exec.Flags()), "/")
	d, err := r.catalog.Definition(provider)
	if err != nil {
		return ""
	}
	f := lookupFlag(r.newProvider(d).Flags(), name)
	if f == nil {
		return ""
	}
	variable := d.Variable(f.Name)
	if named || !slices.Contains(d.Variables(), variable) {
		return "exec takes that from the profile: tokenfetch help profiles"
	}
	return fmt.Sprintf("set %s, or write it into the profile", variable)
}

// conflict returns the error for two flags that cannot be used together.
func conflict(a, b string) error {
	return failure.New(failure.ConflictingFlags, "%s and %s cannot be used together", a, b).WithHint("keep one of them")
}

// addFetchFlags adds the flags of a fetch.
func addFetchFlags(flags *pflag.FlagSet, o *fetchOptions) {
	flags.Var(&count{&o.retries, 0}, "retry", "try up to `N` more times if nothing was sent, or the provider says when")
	flags.BoolVar(&o.noCache, "no-cache", false, "neither use nor keep a cached token")
	flags.BoolVar(&o.refresh, "refresh", false, "ignore the cache and fetch a new token")
	flags.Var(&duration{value: &o.minTTL, most: maxMinTTL}, "min-ttl", "use only a token that lives at least this long, such as 10m")
	flags.BoolVar(&o.tryAnyway, "try-anyway", false, "send credentials that an earlier refusal holds back")
	flags.StringVar(&o.caFile, "ca-file", "", "trust the certificates in `FILE`, and only these")
	flags.BoolVar(&o.emulator, "emulator", false, "use the built-in emulator and its demo credentials")
	flags.BoolVar(&o.dryRun, "dry-run", false, "show the request and where each value comes from; send nothing")
	flags.BoolVar(&o.mask, "mask", false, "in GitHub Actions and Azure Pipelines, have the token hidden in the log")
}

// addHostFlags adds the flags that select the provider's host.
func addHostFlags(flags *pflag.FlagSet, d *provider.Definition, environment, baseURL *string) {
	if names := d.EnvironmentNames(); len(names) > 0 {
		flags.StringVarP(environment, "environment", "e", "", "the provider's host: a `NAME` of "+strings.Join(names, ", "))
	} else {
		flags.StringVarP(environment, "environment", "e", "", "the provider's host by `NAME` (this provider publishes none)")
	}
	flags.StringVar(baseURL, "base-url", "", "the provider's host by `URL`")
}

// addFieldFlags adds a flag for each field. The flag of a secret names a file.
func addFieldFlags(flags *pflag.FlagSet, d *provider.Definition) {
	for _, f := range d.Fields {
		if f.Secret {
			flags.String(f.Flag(), "", f.Help+", read from `FILE` (- is standard input)")
		} else {
			flags.Var(new(fieldValue), f.Flag(), f.Help+inParentheses(ifMissing(f)))
		}
	}
}

// fieldValue is the value of a field's flag.
type fieldValue string

// Set accepts any text, which is checked when the field is read.
func (v *fieldValue) Set(text string) error {
	*v = fieldValue(text)
	return nil
}

// String returns the value.
func (v *fieldValue) String() string { return string(*v) }

// Type is the word for the value in a help text.
func (v *fieldValue) Type() string { return "VALUE" }

// givenFields returns the field flags on the command line.
func givenFields(flags *pflag.FlagSet, d *provider.Definition) map[string]string {
	given := map[string]string{}
	for _, f := range d.Fields {
		if flag := flags.Lookup(f.Flag()); flag != nil && flag.Changed {
			given[f.Flag()] = flag.Value.String()
		}
	}
	return given
}

// oneFromStdin fails if more than one secret is to be read from standard input.
func oneFromStdin(d *provider.Definition, given map[string]string) error {
	first := ""
	for _, f := range d.Fields {
		if !f.Secret || given[f.Flag()] != "-" {
			continue
		}
		flag := "--" + f.Flag() + " -"
		if first != "" {
			return conflict(first, flag)
		}
		first = flag
	}
	return nil
}

// oneHost fails if both flags that select the provider's host are given.
func oneHost(environment, baseURL string) error {
	if environment != "" && baseURL != "" {
		return conflict("--environment", "--base-url")
	}
	return nil
}

// ifMissing describes the consequence of a missing field, "" if the field is required.
func ifMissing(f provider.Field) string {
	switch {
	case f.Default != "":
		return "default: " + f.DefaultText()
	case f.Optional:
		return "optional"
	}
	return ""
}

// inParentheses returns a space and text in parentheses, or "" for no text.
func inParentheses(text string) string {
	if text == "" {
		return ""
	}
	return " (" + text + ")"
}
