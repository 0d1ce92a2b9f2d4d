package inspect

import (
	"maps"
	"slices"
	"strings"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/internal/cache"
	"github.com/tokenfetch/tokenfetch/pkg/internal/credential"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
)

// checkVariables warns of variables with the program's prefix that are unknown, empty
// or unused. file may be nil.
func (i *Inspector) checkVariables(file *profile.File) []Finding {
	const check = "variables"
	definitions, broken := i.catalog.All()
	var findings []Finding
	unnamed, profileErr := i.client.UnnamedProfile()
	if profileErr != nil {
		findings = append(findings, failed(check, profileErr))
	}
	if file != nil && unnamed != "" && unnamed != profile.Default && !slices.ContainsFunc(definitions, func(d *provider.Definition) bool {
		return slices.Contains(file.Names(d.Name), unnamed)
	}) {
		findings = append(findings, warning(check, "unset it, or let it name a profile", "TOKENFETCH_PROFILE names a profile that no provider has in the profiles file"))
	}
	used := 0
	owners := variableOwners(definitions)
	known := slices.Sorted(maps.Keys(owners))
	for _, name := range i.ownVariables() {
		d, belongs := owners[name]
		switch {
		case !belongs && ofBroken(name, broken):
		case !belongs:
			e := failure.New(failure.VariableInvalid, "unknown variable %s", name).
				WithHint("unset it, or see tokenfetch help environment").Suggest(failure.NearestVariable(name, known, prefix(name, definitions)))
			findings = append(findings, warning(check, e.Hint, "%s", e.Message))
		case d == nil:
		case i.getenv(name) == "":
			e := failure.New(failure.VariableEmpty, "%s is set but empty", name).WithHint("%s", credential.EmptyHint(i.client.Lookup))
			findings = append(findings, failed(check, e))
		case profileErr == nil && unnamed != profile.Default:
			findings = append(findings, warning(check, "unset one of the two", "%s is set but not used: TOKENFETCH_PROFILE names a profile, which is read alone", name))
		default:
			named := namedProfiles(file, d)
			if len(named) == 0 || name != d.Variable("environment") && name != d.Variable("base_url") {
				used++
				continue
			}
			findings = append(findings, warning(check, "unset it where you use them; -e and --base-url choose the host for one run",
				"%s is set, so the named profiles of %s cannot be used: %s", name, d.Name, strings.Join(named, ", ")))
		}
	}
	switch {
	case len(findings) > 0:
		return findings
	case used > 0:
		return []Finding{ok(check, "%s of providers, all of them known", failure.Amount(used, "variable"))}
	}
	return []Finding{ok(check, "no variable of a provider is set")}
}

// prefix returns the longest valid prefix of a variable: TOKENFETCH_, with the name of
// a provider if that follows.
func prefix(variable string, definitions []*provider.Definition) string {
	longest := "TOKENFETCH_"
	for _, d := range definitions {
		if own := provider.VariablePrefix(d.Name); strings.HasPrefix(variable, own) && len(own) > len(longest) {
			longest = own
		}
	}
	return longest
}

// ofBroken reports whether a variable may belong to a provider whose definition is
// invalid. The finding about the definition covers it.
func ofBroken(variable string, broken map[string]error) bool {
	for name := range broken {
		if strings.HasPrefix(variable, provider.VariablePrefix(name)) {
			return true
		}
	}
	return false
}

// variableOwners returns the variables that the program reads, each with its provider,
// or nil for one that belongs to no provider.
func variableOwners(definitions []*provider.Definition) map[string]*provider.Definition {
	owners := map[string]*provider.Definition{"TOKENFETCH_PROFILE": nil, "TOKENFETCH_CONFIG": nil, "TOKENFETCH_ERRORS": nil, cache.Emulated: nil}
	for _, d := range definitions {
		for _, name := range d.Variables() {
			owners[name] = d
		}
	}
	return owners
}

// ownVariables returns the names of the environment variables that begin with
// TOKENFETCH_.
func (i *Inspector) ownVariables() []string {
	var names []string
	for _, entry := range i.options.Environ {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "TOKENFETCH_") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func namedProfiles(file *profile.File, d *provider.Definition) []string {
	if file == nil {
		return nil
	}
	return slices.DeleteFunc(file.Names(d.Name), func(name string) bool { return name == profile.Default })
}
