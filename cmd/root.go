package cmd

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log"
	"os"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

// run holds the state of one invocation: the environment, the global flags, and what is
// known so far for an error message.
type run struct {
	env      Env
	catalog  *provider.Catalog
	console  *console
	terminal terminalState
	ctx      context.Context // see context
	signals  *signals
	asked    asked
	named    string   // PROVIDER[/PROFILE] in the place of a command, or what login and logout have instead of one
	behind   []string // the arguments behind the command
	limit    *tokenfetch.Limit
	longest  *tokenfetch.Limit // of the profiles in use, nil for limit
	overdue  chan struct{}     // receives when the limit has been over for a while
	unwatch  func()            // ends the watch on the limit
	sending  atomic.Bool       // a request may have been sent

	config  string        // --config
	timeout time.Duration // --timeout, 0 if not given

	command *cobra.Command // that the arguments name
	refs    []ref          // the profiles that they name

	variables []bool // of exec, whether a variable is named for each of refs

	client                    *tokenfetch.Client // see engine
	file                      *profile.File      // nil before it is read
	provider, profile, origin string
	outputBegun               atomic.Bool
	wraps                     bool  // the exit code is that of a command, once it runs
	unprinted                 error // a help text that could not be written
}

// Main runs the program with the environment of the process and returns its exit code.
// After a fatal signal it ends by that signal.
func Main(version string) int {
	harden()
	return Run(Env{
		Args:    os.Args[1:],
		Stdin:   os.Stdin,
		Stdout:  os.Stdout,
		Stderr:  os.Stderr,
		Environ: os.Environ(),
		Version: installed(version),
		Start:   time.Now(),
	})
}

// Run runs the program.
func Run(env Env) int {
	r := newRun(env)
	log.SetOutput(io.Discard) // where net/http prints bytes that came when it expected none
	ended := make(chan error, 1)
	go func() { ended <- r.safely() }()
	var err error
	select {
	case err = <-ended:
	case <-r.overdue:
		r.terminal.restore()
		return r.knowingLittle().exit(r.stuck())
	}
	if err != nil {
		r.signals.watch() // what is said of it may find nobody to read it
	}
	stop, stopped := r.interrupted()
	if stopped = stopped && err != nil; stopped {
		err = r.endedBy(stop, err)
	}
	code := r.exit(err)
	if stopped {
		dieOf(stop)
	}
	return code
}

func newRun(env Env) *run {
	return &run{
		env: env, console: newConsole(&env), limit: tokenfetch.NewLimit(env.Start, 0),
		overdue: make(chan struct{}, 1), unwatch: func() {},
	}
}

// context returns the context of a command that waits for something, and starts to
// watch for signals, which version and help do not need.
func (r *run) context() context.Context {
	ctx := r.quickContext()
	r.signals.watch()
	return ctx
}

// quick is the time that a run which waits for nothing may take before signals are
// watched.
const quick = 5 * time.Millisecond

// quickContext is context for a run that may end before anybody could interrupt it.
// Signals are watched as soon as it waits for something or takes longer than quick.
func (r *run) quickContext() context.Context {
	if r.ctx == nil {
		r.useTimeout()
		r.ctx, r.signals = newSignals(r.terminal.restore)
		time.AfterFunc(quick, r.signals.watch)
	}
	return r.ctx
}

// waiting prints what the run waits for, until done is called.
func (r *run) waiting(what string) (done func()) {
	r.signals.watch()
	return r.console.waiting(what)
}

// interrupted returns the signal that ended the context.
func (r *run) interrupted() (interrupt, bool) {
	if r.ctx == nil {
		return interrupt{}, false
	}
	return errors.AsType[interrupt](context.Cause(r.ctx))
}

// minFiles is the number of files that must be able to be open at once, streams
// included.
const minFiles = 16

// safely runs the command line. A panic becomes an error without the panic's text,
// which may contain anything.
func (r *run) safely() (err error) {
	debug.SetTraceback("none") // for a panic on another goroutine
	defer func() {
		if fault := recover(); fault != nil {
			r.terminal.restore()
			err = failure.New(failure.Internal, "internal error").
				WithHint("please report this, with the command (without secrets) and tokenfetch version")
		}
	}()
	return r.execute()
}

func (r *run) execute() error {
	errorsDefault := r.env.getenv("TOKENFETCH_ERRORS")
	if errorsDefault == "" && !setUID() && slices.Equal(r.env.Args, []string{"version"}) {
		return r.printVersion() // what scripts ask first needs no command tree
	}
	root := r.newRoot()
	r.openCatalog(root)
	if !r.beginsWithProvider() { // which needs no other command
		r.addCommands(root)
	}
	command, args, err := r.resolve(root)
	r.command, r.behind, r.wraps = command, args, command.Name() == "exec"
	if r.completing() {
		// cobra parses twice then, and quotes what does not parse on standard error.
		if null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0); err == nil {
			os.Stderr = null
		}
		completeValues(root)
	} else {
		command.InitDefaultHelpFlag()
		r.asked = r.whatAsked(command, args, errorsDefault)
		strict(command.Flags()) // those of every command too
	}
	if err != nil {
		return err
	}
	if setUID() {
		return failure.New(failure.SetUID, "tokenfetch refuses to run set-uid: it would read another user's secrets").
			WithHint("remove the set-uid and set-gid bits from the program")
	}
	if !enoughFiles() {
		return failure.New(failure.OpenFilesLimit, "fewer than %d files may be open at once", minFiles).WithHint("run: ulimit -n 256")
	}
	r.unwatch = r.limit.WhenOver(r.expire)
	if value, set := r.env.lookup("TOKENFETCH_ERRORS"); set && value != "text" && value != "json" {
		return failure.New(failure.VariableInvalid, "TOKENFETCH_ERRORS must be text or json").WithHint("unset it, or set it to one of these").
			Suggest(failure.Nearest(value, []string{"text", "json"}))
	}
	return cmp.Or(root.Execute(), r.unprinted)
}

// newRoot returns the root command with the global flags.
func (r *run) newRoot() *cobra.Command {
	var showVersion bool
	root := &cobra.Command{
		Use:           "tokenfetch",
		Short:         "fetch bearer tokens from payment providers",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if showVersion && len(args) == 0 {
				return r.printVersion()
			}
			return r.needCommand(cmd, args)
		},
		ValidArgsFunction: r.completeRefs,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetIn(r.env.Stdin)
	root.SetOut(stdout{r})
	root.SetErr(r.console)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		// That there is no such command says more than its first flag.
		if word := firstWord(r.behind, cmd.Flags(), root.PersistentFlags()); word != "" && cmd == root {
			return r.unknownCommand(root, word)
		} else if word != "" && cmd.HasSubCommands() {
			return unknownVerb(cmd, word)
		}
		return r.flagError(cmd, err)
	})
	root.SetHelpFunc(r.printHelp)
	root.Flags().BoolVar(&showVersion, "version", false, "print the version")
	flags := root.PersistentFlags()
	flags.SortFlags = false
	flags.StringVar(&r.config, "config", "", "read profiles from `FILE`")
	flags.Var(&duration{value: &r.timeout}, "timeout", "limit for the whole run, such as 10s")
	// The value is read by whatAsked, which also works where parsing fails.
	flags.Var(&choice{value: new(string), from: []string{"text", "json"}}, "errors", "how errors are printed (default $TOKENFETCH_ERRORS, else text)")
	flags.BoolVarP(&r.console.verbose, "verbose", "v", false, "log progress to stderr")
	root.InitDefaultHelpFlag()
	return root
}

// addCommands adds all commands except those of providers.
func (r *run) addCommands(root *cobra.Command) {
	root.AddCommand(r.newEmulator(), r.newCompletion(root), r.newVersion(), r.newCache(), r.newExec(), r.newLogin(nil), r.newLogout(nil),
		r.newStatus(), r.newDoctor(), r.newDefinitions())
	root.SetHelpCommand(r.newHelp(root))
	root.InitDefaultHelpCmd()
}

// fetchFrom begins the short description of a provider's command.
const fetchFrom = "fetch a token from "

// needCommand returns the error for a command line without a known command. The error
// does not repeat the word, which may be a misplaced secret. Help goes to standard
// error, so that it never ends up in place of a token.
func (r *run) needCommand(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return r.unknownCommand(cmd, args[0])
	}
	cmd.SetOut(r.console)
	r.printHelp(cmd, nil)
	return failure.New(failure.MissingArgument, "a command is missing").WithHint("run: tokenfetch --help")
}

// needVerb returns the error for a missing argument, and prints help to standard error.
func (r *run) needVerb(cmd *cobra.Command, hint string) error {
	cmd.SetOut(r.console)
	r.printHelp(cmd, nil)
	return failure.New(failure.MissingArgument, "%s needs an argument", cmd.CommandPath()).WithHint("%s", hint)
}

// noArguments is the argument check of a command without arguments. Unlike cobra's, its
// error does not repeat the argument.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return failure.New(failure.UnexpectedArgument, "%s takes no further argument", cmd.CommandPath()).
			WithHint("leave it out: %s", cmd.CommandPath())
	}
	return nil
}
