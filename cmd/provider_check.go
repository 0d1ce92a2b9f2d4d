package cmd

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tokenfetch/tokenfetch/pkg/emulator"
	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

func (r *run) newProviderCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "check a definition, and show the request it makes",
		Long: `Check the definition of a provider in a file NAME.toml, wherever that is: its
keys and values, its name, whether others could change the file, and whether its
examples are judged to be what they claim. All that is wrong is told, with line
and column, and the exit code is 3.

If nothing is wrong, the request is shown that the provider would get, with
<FIELD> for each value and [hidden] for secrets, and where the secrets would go.
Nothing is sent.`,
		Example: "  tokenfetch provider check ./acme.toml",
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return []string{"toml"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch len(args) {
			case 0:
				return r.needVerb(cmd, "name the file of a definition")
			case 1:
				return r.checkDefinition(args[0])
			}
			return failure.New(failure.UnexpectedArgument, "%s takes one file at a time", cmd.CommandPath()).
				WithHint("run %s --help", cmd.CommandPath())
		},
	}
}

// checkDefinition reads a file as a fetch would, and reports on it.
func (r *run) checkDefinition(path string) error {
	r.context()
	// A name that cannot be a definition's is not repeated in the error and its file is
	// not read.
	name, ok := strings.CutSuffix(filepath.Base(path), ".toml")
	if problem := provider.CheckName(name); !ok || strings.HasPrefix(problem, "must match") {
		return failure.New(failure.DefinitionInvalid, "the file's name is not that of a definition: NAME.toml").
			WithHint("NAME is what the provider is called by: a letter, then letters, digits and hyphens, all of them small")
	}
	data, err := r.engine().ReadDefinition(path, r.engine().CI())
	if err != nil {
		return err
	}
	d, findings := r.findings(path, name, data)
	if len(findings) > 0 {
		return r.report(path, findings)
	}
	return r.print(r.sketch(d))
}

// findings returns all problems of a definition, or a description of what it defines.
func (r *run) findings(path, name string, data []byte) (*provider.Definition, []string) {
	var findings []string
	if slices.Contains(provider.Builtin(), name) {
		findings = append(findings, name+" is the name of a built-in provider: choose another name")
	}
	d, err := provider.Parse(path, data)
	if problems, ok := errors.AsType[*provider.Problems](err); ok {
		for _, p := range problems.All {
			findings = append(findings, fmt.Sprintf("line %d, column %d: %s", p.Line, p.Column, p.Text))
		}
		return nil, findings
	}
	if variable, other := r.catalog.Conflict(d); other != "" {
		findings = append(findings, conflictText(name, variable, other)+": choose another name")
	}
	for _, e := range d.Examples {
		if problem := d.CheckExample(e); problem != "" {
			findings = append(findings, fmt.Sprintf("the example %q %s", e.Name, problem))
		}
	}
	switch e, named := d.Example("token"); {
	case named && e.Outcome != "token":
		findings = append(findings, `the example "token" must have the outcome token: the emulator answers with it`)
	case !named:
		if problem := d.CheckExample(emulator.TokenReply(d)); problem != "" {
			findings = append(findings, `no example is named "token", and a reply that is made up from [reply] and [[outcome]] `+problem)
		}
	}
	return d, findings
}

// maxFindings is the maximum number of findings to print.
const maxFindings = 30

// report prints the problems of a definition and returns the error.
func (r *run) report(path string, findings []string) error {
	if more := len(findings) - maxFindings; more > 0 {
		findings = append(findings[:maxFindings:maxFindings], fmt.Sprintf("and %d more", more))
	}
	hint := "correct it, then run: tokenfetch provider check " + path
	if r.asked.errorsJSON {
		return failure.New(failure.DefinitionInvalid, "%s: %s", path, strings.Join(findings, "; ")).WithHint("%s", hint)
	}
	for _, finding := range findings {
		r.console.error(finding)
	}
	return failure.New(failure.DefinitionInvalid, "the definition %s is not valid", path).WithHint("%s", hint)
}

// sketch describes what tokenfetch does with a definition.
func (r *run) sketch(d *provider.Definition) string {
	report := r.newReport()
	report.heading(d.Name, good("valid"))
	for _, line := range slices.Concat(tokenfetch.Sketch(d), destinations(d)) {
		report.text("  " + line)
	}
	return report.String()
}
