package cmd

import (
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
)

// again returns this run's command line with more flags, for a hint. It returns "" if
// the command does not have one of them. Because any word that was typed may be a
// misplaced secret, again repeats only names that exist, choices and numbers; the rest
// becomes placeholders. It also repeats the name of the profile known, which may be "".
func (r *run) again(known, more string) string {
	if r.command == nil {
		return ""
	}
	flags := r.command.Flags()
	replaced := map[string]bool{"profile": true, "config": true, "verbose": true, "errors": true} // config: see inThisFile
	for word := range strings.FieldsSeq(more) {
		if !strings.HasPrefix(word, "-") {
			continue
		}
		name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
		f := lookupFlag(flags, name)
		if f == nil {
			return ""
		}
		replaced[f.Name] = true
	}
	if replaced["environment"] || replaced["base-url"] {
		replaced["environment"], replaced["base-url"] = true, true
	}
	words := []string{r.command.CommandPath()}
	if r.catalog.Has(r.command.Name()) {
		words = []string{"tokenfetch"} // the name of the command is that of the provider
	}
	for i, f := range r.refs {
		word := r.refWord(f, f.String() == known)
		if i < len(r.variables) && r.variables[i] {
			word = "NAME=" + word
		}
		words = append(words, word)
	}
	flags.Visit(func(f *pflag.Flag) {
		if !replaced[f.Name] {
			words = append(words, r.flagWords(f)...)
		}
	})
	if more != "" {
		words = append(words, more)
	}
	if r.wraps {
		words = append(words, "--", "COMMAND")
	}
	return strings.Join(words, " ")
}

// refWord returns a profile as a command line needs it, with a placeholder for a name
// that does not exist.
func (r *run) refWord(f ref, known bool) string {
	if known || f.Profile == profile.Default || r.file != nil && slices.Contains(r.file.Names(f.Definition.Name), f.Profile) {
		return r.short(f)
	}
	return f.Definition.Name + "/NAME"
}

// flagWords returns a given flag in a form that may be repeated.
func (r *run) flagWords(f *pflag.Flag) []string {
	value := flagValue(f)
	placeholder, _ := pflag.UnquoteUsage(f)
	flag, text := "--"+f.Name, value.String()
	switch value.(type) {
	case *choice, *count, *duration:
		return []string{flag, text}
	}
	switch {
	case value.Type() == "bool" && text == "true":
		return []string{flag}
	case value.Type() == "bool":
		return []string{flag + "=" + text}
	case f.Name == "environment" && slices.ContainsFunc(r.refs, func(one ref) bool { _, ok := one.Definition.Environment(text); return ok }):
		return []string{flag, text}
	case f.Name == "from" && r.file != nil && slices.ContainsFunc(r.refs, func(one ref) bool { return slices.Contains(r.file.Names(one.Definition.Name), text) }):
		return []string{flag, text}
	case f.Name == "base-url":
		if _, err := provider.ParseAddress(text); err == nil {
			return []string{flag, text}
		}
	}
	return []string{flag, placeholder}
}

// inThisFile adds --config to the commands in a hint, if this run has it.
func (r *run) inThisFile(hint string) string {
	if r.config == "" {
		return hint
	}
	names := append([]string{"login", "logout", "status", "doctor", "exec", "provider"}, r.catalog.Names()...)
	words := strings.Split(hint, " ")
	for i := range words[:len(words)-1] {
		name := words[i+1]
		if end := strings.IndexAny(name, "/,;:)\n"); end >= 0 {
			name = name[:end]
		}
		if strings.HasSuffix(words[i], "tokenfetch") && slices.Contains(names, name) {
			words[i] += " --config " + failure.ShellWord(r.config)
		}
	}
	return strings.Join(words, " ")
}
