package cmd

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tokenfetch/tokenfetch/pkg/emulator"
	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/source"
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

// defaultListen is the default address of the emulator.
const defaultListen = "127.0.0.1:8765"

func (r *run) newEmulator() *cobra.Command {
	var listen, journal string
	var faults []string
	var options emulator.Options
	c := &cobra.Command{
		Use:   "emulator [flags] [-- COMMAND [ARG...]]",
		Short: "serve the providers' token endpoints on this computer",
		Long: `Serve the token endpoints of all providers on a loopback address.

Without COMMAND it prints the variables that make tokenfetch use it, as lines a
shell can take over, and runs until Ctrl-C. With COMMAND it picks a free port,
runs COMMAND with these variables set and ends with COMMAND's exit code. What
COMMAND calls of tokenfetch has a profiles file, holds and cached tokens of its
own, which are removed at the end; your profiles do not reach it. The emulator
takes only its demo credentials; anything else is a failed login.

tokenfetch help emulator also says what each fault does.`,
		Example: `  tokenfetch emulator
  tokenfetch emulator -- sh -c 'tokenfetch enkash'
  tokenfetch emulator --fault zeepay:closed -- ./test.sh
  tokenfetch emulator --journal requests.jsonl --lock-after 3`,
		Args: func(cmd *cobra.Command, args []string) error {
			if cmd.ArgsLenAtDash() != 0 && len(args) > 0 {
				return failure.New(failure.UnexpectedArgument, "the command must stand behind --").
					WithHint("run: tokenfetch emulator -- COMMAND")
			}
			if cmd.ArgsLenAtDash() == 0 && len(args) == 0 {
				return failure.New(failure.MissingArgument, "there is no command behind --").
					WithHint("run: tokenfetch emulator -- COMMAND")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			for _, text := range faults {
				fault, ok := emulator.ParseFault(text)
				if !ok {
					return failure.New(failure.BadFlagValue, "--fault names no fault").
						WithHint("the faults are %s; PROVIDER:FAULT is for one provider", strings.Join(emulator.FaultNames(), ", ")).
						Suggest(failure.Nearest(fault.Name, emulator.FaultNames()))
				}
				options.Faults = append(options.Faults, fault)
			}
			return r.emulate(options, listen, journal, args)
		},
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.StringVar(&listen, "listen", "", "loopback `ADDRESS` to listen on (default "+defaultListen+", with COMMAND a free port)")
	flags.StringVar(&journal, "journal", "", "append one JSON line for each request to `FILE`, secrets hidden")
	flags.Var(&count{&options.LockAfter, 1}, "lock-after", "lock an account after `N` failed logins in a row")
	flags.Var(&duration{value: &options.TokenTTL}, "token-ttl", "lifetime the replies state, such as 90s")
	flags.Var(&duration{value: &options.Delay}, "delay", "wait before each reply, such as 300ms")
	flags.StringArrayVar(&faults, "fault", nil, "fail as `[PROVIDER:]FAULT`, may be given again: "+strings.Join(emulator.FaultNames(), ", "))
	register(c, "fault", completeFaults)
	return c
}

// emulate runs the emulator, until a command ends or a signal arrives.
func (r *run) emulate(options emulator.Options, listen, journal string, argv []string) error {
	ctx, stop := context.WithCancel(r.context())
	defer stop()
	definitions, broken := r.catalog.All()
	for _, name := range slices.Sorted(maps.Keys(broken)) {
		r.console.warning("%s is not served: its definition is broken (tokenfetch provider check %s)", name, r.catalog.File(name))
	}
	if journal != "" {
		// Opening a FIFO that has no reader fails instead of waiting.
		file, err := os.OpenFile(journal, os.O_APPEND|os.O_CREATE|os.O_WRONLY|syscall.O_NONBLOCK, 0o600)
		if err != nil {
			return failure.New(failure.EmulatorUnavailable, "the journal %s cannot be opened", journal).WithHint("check its directory and mode")
		}
		defer file.Close()
		options.Journal = file
	}
	e, err := emulator.New(definitions, options)
	if err != nil {
		return r.unknownFaulty(options.Faults)
	}
	var path string
	if len(argv) > 0 {
		if path, err = findCommand(argv[0]); err != nil {
			return err
		}
	}
	listener, err := listenOn(listen, len(argv) > 0)
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	variables := demoVariables(definitions, listener.Addr().String())
	if len(argv) == 0 {
		r.forgetEmulator(ctx, definitions, listener.Addr().String())
	}
	go func() { served <- e.Serve(ctx, listener) }()
	if len(argv) > 0 {
		return r.runEmulated(path, argv, variables)
	}
	var lines strings.Builder
	fmt.Fprintf(&lines, "# emulator at http://%s; stop it with Ctrl-C\n", listener.Addr())
	for _, v := range variables {
		name, value, _ := strings.Cut(v, "=")
		fmt.Fprintf(&lines, "export %s='%s'\n", name, value)
	}
	if err := r.print(lines.String()); err != nil {
		return err
	}
	r.limit.Pause() // until a signal ends it
	if err := <-served; err != nil {
		return failure.New(failure.EmulatorUnavailable, "the emulator stopped listening")
	}
	return nil
}

// unknownFaulty returns the error for a fault of a provider that is not served.
func (r *run) unknownFaulty(faults []emulator.Fault) error {
	e := failure.New(failure.BadFlagValue, "--fault names an unknown provider").WithHint("the providers are %s", strings.Join(r.catalog.Names(), ", "))
	for _, f := range faults {
		if f.Provider != "" && !r.catalog.Has(f.Provider) {
			return e.Suggest(failure.Nearest(f.Provider, r.catalog.Names()))
		}
	}
	return e
}

// runEmulated runs a command with the demo variables. The command gets its own
// directory for what tokenfetch reads and stores: an empty profiles file with a key for
// the cache (so that the keychain is not used), state and cache.
func (r *run) runEmulated(path string, argv, variables []string) error {
	dir, err := os.MkdirTemp("", "tokenfetch-emulator-")
	if err != nil {
		return failure.New(failure.EmulatorUnavailable, "no temporary directory can be made for the command").WithHint("check TMPDIR and the space left there")
	}
	defer func() {
		if os.RemoveAll(dir) != nil {
			r.console.warning("the directory %s cannot be removed", dir)
		}
	}()
	profiles := filepath.Join(dir, "profiles.toml")
	if err := source.Write(profiles, []byte("[tokenfetch]\ncache_key = { file = \"cache_key\" }\n")); err != nil {
		return err
	}
	if err := source.Write(filepath.Join(dir, "cache_key"), []byte(rand.Text()+rand.Text())); err != nil {
		return err
	}
	if err := r.lendDefinitions(dir); err != nil {
		return err
	}
	own := []string{"TOKENFETCH_CONFIG" + "=" + profiles, tokenfetch.EmulatorVariable + "=" + dir}
	return r.runCommand(path, argv, slices.Concat(r.withoutSettings(r.env.Environ), variables, own))
}

// lendDefinitions copies the user's definitions to a directory for a command.
func (r *run) lendDefinitions(dir string) error {
	for _, name := range r.catalog.Names() {
		path := r.catalog.File(name)
		if d, err := r.catalog.Definition(name); err != nil || d.File == "" {
			continue // built in, or not served
		}
		data, err := r.catalog.Source(name)
		if err == nil {
			err = source.Write(filepath.Join(dir, "providers", filepath.Base(path)), data)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// forgetEmulator removes the records of demo accounts at this address, which belong to
// an earlier emulator. Errors are ignored.
func (r *run) forgetEmulator(ctx context.Context, definitions []*provider.Definition, address string) {
	for _, d := range definitions {
		err := r.engine().ForgetAccount(ctx, d, emulator.BaseURL(address, d.Name), emulator.Credentials(d))
		if err != nil {
			r.console.info("what is known of the demo account of %s is not forgotten: %s", d.Name, tokenfetch.CacheProblem(err))
		}
	}
}

// listenOn listens on the address, which must be a loopback address.
func listenOn(address string, anyPort bool) (net.Listener, error) {
	if address == "" {
		address = defaultListen
		if anyPort {
			address = "127.0.0.1:0"
		}
	}
	host, port, err := net.SplitHostPort(address)
	if host == "localhost" {
		host = "127.0.0.1"
	}
	ip, ipErr := netip.ParseAddr(host)
	if err != nil || ipErr != nil || !ip.IsLoopback() {
		return nil, failure.New(failure.BadFlagValue, "the value of the flag --listen must be a loopback address with a port").
			WithHint("write it as 127.0.0.1:PORT")
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, failure.New(failure.EmulatorUnavailable, "the emulator cannot listen on %s", address).
			WithHint("another program may use the port: choose one with --listen 127.0.0.1:PORT")
	}
	return listener, nil
}

// demoVariables returns the variables that make tokenfetch use the emulator at address,
// as NAME=VALUE.
func demoVariables(definitions []*provider.Definition, address string) []string {
	var variables []string
	for _, d := range definitions {
		variables = append(variables, d.Variable("base_url")+"="+emulator.BaseURL(address, d.Name))
		demo := emulator.Demo(d)
		for _, f := range d.Fields {
			if value, ok := demo[f.Name]; ok {
				variables = append(variables, d.Variable(f.Name)+"="+value)
			}
		}
	}
	return variables
}

// withoutSettings returns environ without the variables that configure tokenfetch.
func (r *run) withoutSettings(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.Contains([]string{"TOKENFETCH_PROFILE", "TOKENFETCH_CONFIG", tokenfetch.EmulatorVariable}, name) || slices.ContainsFunc(r.catalog.Names(), func(p string) bool {
			return strings.HasPrefix(name, provider.VariablePrefix(p))
		})
	})
}
