package cmd

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/output"
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

// attached reports whether a short flag with its value in the same word
// (-pVALUE) is among the arguments.
func attached(args []string, short byte) bool {
	return slices.ContainsFunc(beforeDashes(args), func(arg string) bool {
		after, found := shortFlag(arg, short)
		return found && after != "" && after[0] != '='
	})
}

func beforeDashes(args []string) []string {
	if i := slices.Index(args, "--"); i >= 0 {
		return args[:i]
	}
	return args
}

// shortFlag finds a short flag in a word of them; after is what follows it.
func shortFlag(arg string, short byte) (after string, found bool) {
	if len(arg) < 2 || arg[0] != '-' || arg[1] == '-' {
		return "", false
	}
	for i := 1; i < len(arg); i++ {
		switch arg[i] {
		case short:
			return arg[i+1:], true
		case 'v', 'h': // take no value, so that further flags may follow
		default:
			return "", false
		}
	}
	return "", false
}

// asked is what the arguments say of how a failure is to be shown. It is found
// even where they do not parse.
type asked struct {
	format     string // one that needs a failing line, or empty
	name       string // the variable, or empty if none is usable
	errorsJSON bool
}

// whatAsked looks through the arguments before any "--". defaultName is the
// provider's own variable, errorsDefault the form of errors where no flag says.
func whatAsked(args []string, defaultName, errorsDefault string) asked {
	args = beforeDashes(args)
	a := asked{name: defaultName, errorsJSON: errorsDefault == "json"}
	for i, arg := range args {
		next := ""
		if i+1 < len(args) {
			next = args[i+1]
		}
		value := func(long string, short byte) (string, bool) {
			if arg == "--"+long {
				return next, true
			}
			if v, ok := strings.CutPrefix(arg, "--"+long+"="); ok {
				return v, true
			}
			if short != 0 {
				if after, ok := shortFlag(arg, short); ok {
					if after == "" {
						return next, true
					}
					return strings.TrimPrefix(after, "="), true
				}
			}
			return "", false
		}
		if v, ok := value("output", 'o'); ok && output.FailingLine(v, "") != "" {
			a.format = v
		}
		if v, ok := value("var", 0); ok {
			a.name = ""
			if output.CheckVariable(v) == "" {
				a.name = v
			}
		}
		if v, ok := value("errors", 0); ok && (v == "json" || v == "text") {
			a.errorsJSON = v == "json"
		}
	}
	return a
}

// firstWord returns the word that cobra takes for the command: the first
// argument that is not a flag or its value.
func firstWord(args []string) string {
	if found := words(args); len(found) > 0 {
		return found[0]
	}
	return ""
}

// words returns the arguments that are not a flag or its value, where every flag
// but switches and those of the root command takes one.
func words(args []string, switches ...string) []string {
	switches = append(switches, "-v", "--verbose", "-h", "--help", "--version")
	args = beforeDashes(args)
	var found []string
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case !strings.HasPrefix(arg, "-"):
			found = append(found, arg)
		case strings.Contains(arg, "=") || slices.Contains(switches, arg):
		case strings.HasPrefix(arg, "--") || len(arg) == 2:
			i++ // its value
		}
	}
	return found
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
