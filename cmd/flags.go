package cmd

import (
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
	"github.com/tokenfetch/tokenfetch/pkg/output"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
)

var (
	errRepeated = errors.New("given twice")
	errEmpty    = errors.New("empty")
)

// once is a flag's value that may be given one time, and not empty: an unset
// variable behind a flag is an easy slip.
type once struct {
	pflag.Value
	given bool
}

// Set takes the value the first time.
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

// rule is the error of a flag's value that breaks it. It does not hold the value.
type rule string

// Error returns the rule.
func (r rule) Error() string { return string(r) }

// choice is a flag's value that is one of a list.
type choice struct {
	value *string
	from  []string
}

// Set takes one of the list.
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

// count is a flag's value that is a whole number of at least least.
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

// maxMinTTL is the longest lifetime that --min-ttl may ask for.
const maxMinTTL = 366 * 24 * time.Hour

// duration is a flag's value in the range of a time limit, or up to most.
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

// strict makes every flag of the set one that may be given once, except lists.
func strict(flags *pflag.FlagSet) {
	flags.VisitAll(func(f *pflag.Flag) {
		if _, isOnce := f.Value.(*once); !isOnce && f.Value.Type() != "stringArray" {
			f.Value = &once{Value: f.Value}
		}
	})
}

// flagError turns an error of the flag library, whose text quotes values, into
// one that names the flag only.
func flagError(cmd *cobra.Command, err error) error {
	help := cmd.CommandPath() + " --help"
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		name := unknown.GetSpecifiedName()
		if f := cmd.Flags().Lookup(name + "-file"); f != nil {
			return failure.New(failure.UnknownFlag, "there is no flag --%s: no flag takes a secret's value", name).
				WithHint("use --%s-file FILE (- is standard input), an environment variable or the keychain: run %s", name, help)
		}
		if !regexp.MustCompile(`^[a-z][a-z-]{0,30}$`).MatchString(name) {
			return failure.New(failure.UnknownFlag, "there is an unknown flag").WithHint("run %s", help)
		}
		dashes := "--"
		if unknown.GetSpecifiedShortnames() != "" {
			dashes = "-"
		}
		return failure.New(failure.UnknownFlag, "there is no flag %s%s", dashes, name).WithHint("run %s", help)
	}
	if missing, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		return failure.New(failure.BadFlagValue, "the flag --%s needs a value", missing.GetFlag().Name).WithHint("run %s", help)
	}
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		name := invalid.GetFlag().Name
		switch cause := invalid.Unwrap(); {
		case errors.Is(cause, errRepeated):
			return failure.New(failure.RepeatedFlag, "the flag --%s is given twice", name).WithHint("give it once")
		case errors.Is(cause, errEmpty):
			return failure.New(failure.BadFlagValue, "the value of the flag --%s is empty", name).WithHint("check the variable behind it")
		}
		if r, ok := errors.AsType[rule](invalid.Unwrap()); ok {
			return failure.New(failure.BadFlagValue, "the value of the flag --%s %s", name, string(r)).WithHint("run %s", help)
		}
		return failure.New(failure.BadFlagValue, "the value of the flag --%s is not of its form", name).WithHint("run %s", help)
	}
	return failure.New(failure.UnknownFlag, "there is a malformed flag").WithHint("run %s", help)
}

// tolerant returns a set of flags that parses others too: an unknown one takes the
// next word for its value, unless that looks like a flag.
func tolerant(sets ...*pflag.FlagSet) *pflag.FlagSet {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.ParseErrorsAllowlist.UnknownFlags = true
	for _, set := range sets {
		flags.AddFlagSet(set)
	}
	return flags
}

// firstWord returns the first argument that is neither one of the flags nor the
// value of one, empty if there is none.
func firstWord(args []string, sets ...*pflag.FlagSet) string {
	flags := tolerant(sets...)
	// What does not parse is reported when the command is executed.
	_ = flags.ParseAll(args, func(*pflag.Flag, string) error { return nil })
	return flags.Arg(0)
}

// asked is what the arguments say of how a failure is to be shown.
type asked struct {
	format     string // one that needs a failing line, or empty
	name       string // the variable, or empty if none is usable
	errorsJSON bool
}

// whatAsked reads it from the arguments behind a command, up to any "--".
// errorsDefault is the form of errors where no flag says. Each flag is parsed by
// itself, so that an error does not hide those behind it: nor does a flag without
// its value, which an unset variable leaves, hide the next one.
func (r *run) whatAsked(command *cobra.Command, args []string, errorsDefault string) asked {
	a := asked{errorsJSON: errorsDefault == "json"}
	prints := !command.HasParent() // a mistyped provider, maybe
	if r.catalog.Has(command.Name()) {
		prints, a.name = true, provider.TokenVariable(command.Name())
	}
	see := func(f *pflag.Flag, value string) error {
		switch f.Name {
		case "output":
			if prints && output.FailingLine(value, "") != "" {
				a.format = value
			}
		case "var":
			a.name = ""
			if output.CheckVariable(value) == "" {
				a.name = value
			}
		case "errors":
			if value == "json" || value == "text" {
				a.errorsJSON = value == "json"
			}
		}
		return nil
	}
	own := pflag.NewFlagSet("", pflag.ContinueOnError) // where the command has none
	own.StringP("output", "o", "", "")
	own.String("var", "", "")
	flags := tolerant(command.Flags(), own)
	if i := slices.Index(args, "--"); i >= 0 {
		args = args[:i]
	}
	for i, arg := range args {
		if strings.HasPrefix(arg, "-") {
			_ = flags.ParseAll(args[i:min(i+2, len(args))], see)
		}
	}
	return a
}

// conflict is the failure of two flags that cannot be given together.
func conflict(a, b string) error {
	return failure.New(failure.ConflictingFlags, "%s and %s exclude each other", a, b).WithHint("keep one of them")
}

// fromStdin returns the flags of secrets that are to be read from standard input.
func fromStdin(d *provider.Definition, given map[string]string) []string {
	var flags []string
	for _, f := range d.Fields {
		if f.Secret && given[f.Flag()] == "-" {
			flags = append(flags, "--"+f.Flag()+" -")
		}
	}
	return flags
}
