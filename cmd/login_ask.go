package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/login"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/pkg/source"
)

// cannotAsk notes that something must be asked and cannot be.
func (l *loginCommand) cannotAsk(what string) bool {
	if l.person == nil {
		l.missing = append(l.missing, what)
	}
	return l.person == nil
}

// firstQuestion comes before the first question: nobody should answer for a file that
// cannot be written.
func (l *loginCommand) firstQuestion() error {
	if l.asked {
		return nil
	}
	l.asked = true
	l.person.say(l.definition().Title + ", profile " + l.ref.Profile)
	return l.setup.File.CheckSave()
}

// ask asks the person.
func (l *loginCommand) ask(ctx context.Context, question string, hidden bool, check func(string) string) (string, error) {
	if err := l.firstQuestion(); err != nil {
		return "", err
	}
	return l.person.ask(ctx, question, hidden, check)
}

// chooseHost settles the environment or base address: by flag, as the profile
// has it, the only one there is, or as the person says.
func (l *loginCommand) chooseHost(ctx context.Context) error {
	d := l.definition()
	environment, baseURL := l.o.environment, l.o.baseURL
	if environment == "" && baseURL == "" {
		if l.setup.Old != nil {
			environment, baseURL = l.setup.Old.Environment, l.setup.Old.BaseURL
		}
		switch {
		case l.setup.Old != nil && !l.o.replace:
			l.environment = environmentOf(d, environment)
			return nil // what the profile does not say is looked for with the plan
		case environment == "" && baseURL == "" && len(d.Environments) == 1:
			environment = d.Environments[0].Name
		case l.person == nil && environment == "" && baseURL == "":
			l.cannotAsk(hostFlag(d))
			return nil
		case l.person != nil && !(len(d.Environments) == 1 && environment != ""):
			var err error
			if environment, baseURL, err = l.askHost(ctx, environment, baseURL); err != nil {
				return err
			}
		}
	}
	l.environment = environmentOf(d, environment)
	l.setup.SetHost(environment, baseURL)
	return nil
}

// hostFlag is the flag that names the host of a provider.
func hostFlag(d *provider.Definition) string {
	if len(d.Environments) == 0 {
		return "base-url"
	}
	return "environment"
}

func environmentOf(d *provider.Definition, name string) *provider.Environment {
	if e, ok := d.Environment(name); ok {
		return &e
	}
	return nil
}

// askHost asks for an environment, by number or name, or a base address. What
// the profile has now is the default.
func (l *loginCommand) askHost(ctx context.Context, environment, baseURL string) (string, string, error) {
	d := l.definition()
	question, choices := "base_url, as https://HOST", []string{}
	for i, e := range d.Environments {
		note := ""
		if e.AllowListed {
			note = "  (only from listed source addresses)"
		}
		choices = append(choices, fmt.Sprintf("  %d  %-12s %s%s", i+1, e.Name, e.BaseURL, note))
	}
	if len(choices) > 0 {
		question = "environment, by number or name, or https://HOST of another"
	}
	now := environment + baseURL
	if now != "" {
		question += " [" + now + "]"
	}
	choose := func(answer string) (string, string, string) {
		answer = strings.TrimSpace(answer)
		if answer == "" && now != "" {
			return environment, baseURL, ""
		}
		if _, ok := d.Environment(answer); ok {
			return answer, "", ""
		}
		if n, err := strconv.Atoi(answer); err == nil && 0 < n && n <= len(d.Environments) {
			return d.Environments[n-1].Name, "", ""
		}
		if !strings.Contains(answer, "://") && len(choices) > 0 {
			return "", "", "is none of them: " + strings.Join(d.EnvironmentNames(), ", ")
		}
		_, err := d.CheckBase(answer)
		if e, ok := errors.AsType[*failure.Error](err); ok {
			return "", "", "cannot be used: " + e.Message
		}
		return "", answer, ""
	}
	if err := l.firstQuestion(); err != nil {
		return "", "", err
	}
	l.person.say(choices...)
	answer, err := l.ask(ctx, question, false, func(answer string) string {
		_, _, rule := choose(answer)
		return rule
	})
	if err != nil {
		return "", "", err
	}
	environment, baseURL, _ = choose(answer)
	return environment, baseURL, nil
}

// chooseFields settles the fields that are not secret: by flag, or as the person
// says, where empty leaves what the profile has, or a default.
func (l *loginCommand) chooseFields(ctx context.Context) error {
	for _, f := range l.definition().Fields {
		if f.Secret || l.setup.Old != nil && !l.o.replace {
			continue
		}
		text, given := l.o.fields[f.Flag()]
		if !given {
			var err error
			if text, err = l.askField(ctx, f); err != nil {
				return err
			}
		}
		if text != "" {
			l.setup.Set(f.Name, text)
		}
	}
	return nil
}

// askField asks for a field that is not secret. It returns "" to leave it as it is.
func (l *loginCommand) askField(ctx context.Context, f provider.Field) (string, error) {
	d := l.definition()
	needed, question := d.Needs(f.Name, l.environment), f.Name+" ("+f.Help
	stays := f.Optional || f.Default != ""
	if l.setup.Old != nil {
		if now, ok := l.setup.Old.Fields[f.Name]; ok && now.Text != nil {
			stays = true
			question += ") [" + now.Text.Reveal() + "]"
		} else if ok {
			return "", nil // it comes from elsewhere
		}
	}
	switch {
	case !needed, stays && l.person == nil, !stays && l.cannotAsk(f.Flag()):
		return "", nil
	case strings.HasSuffix(question, "]"):
	case f.Default != "":
		question += "; default: " + f.DefaultText() + ")"
	case f.Optional:
		question += "; may be empty)"
	default:
		question += ")"
	}
	return l.ask(ctx, question, false, func(answer string) string {
		if answer == "" && stays {
			return ""
		}
		if rule := typedText(answer); rule != "" {
			return rule
		}
		if strings.TrimSpace(answer) != answer {
			return "begins or ends with a blank"
		}
		return l.labelRule(f, answer)
	})
}

// labelRule is the rule that a part of the host's name breaks, or "".
func (l *loginCommand) labelRule(f provider.Field, text string) string {
	if l.environment == nil {
		return ""
	}
	_, err := l.definition().Address(*l.environment, func(field string) string {
		if field == f.Name {
			return text
		}
		return "a" // another part, with a rule of its own
	})
	if e, ok := errors.AsType[*failure.Error](err); ok {
		return "cannot be used: " + e.Message
	}
	return ""
}

// readSecrets reads the secrets that flags give, and asks for the others. One
// that is stored at its place already is kept by an empty answer, and without a
// question where flags give others of a profile that exists.
func (l *loginCommand) readSecrets(ctx context.Context) error {
	d := l.definition()
	rotation := l.setup.Old != nil && !l.o.replace
	flags := slices.ContainsFunc(d.Fields, func(f provider.Field) bool { return l.given(f) && f.Secret })
	var wanted []*login.Secret
	for _, s := range l.setup.Secrets {
		if err := l.setup.LookUp(ctx, s); err != nil {
			return l.nobodyToAsk(err)
		}
		kept := s.Stored && (rotation && flags || !rotation && l.person == nil)
		if s.Place == "" || l.given(s.Field) || kept || l.cannotAsk(s.Flag()) {
			continue
		}
		wanted = append(wanted, s)
	}
	if len(l.missing) > 0 {
		return l.noTerminal()
	}
	for _, s := range l.setup.Secrets {
		path, given := l.o.fields[s.Flag()]
		if !given {
			continue
		}
		value, err := l.readFlag(ctx, s.Flag(), path)
		if err != nil {
			return err
		}
		l.take(s, value)
	}
	for _, s := range wanted {
		if err := l.askSecret(ctx, s); err != nil {
			return err
		}
	}
	return l.setup.CheckSizes()
}

// askSecret asks for a secret; an empty answer keeps one that is stored.
func (l *loginCommand) askSecret(ctx context.Context, s *login.Secret) error {
	question := s.Name + " (" + s.Help + "; not shown"
	if s.Stored {
		question += "; empty keeps the one that is stored"
	}
	text, err := l.ask(ctx, question+")", true, func(answer string) string {
		if answer == "" && s.Stored {
			return ""
		}
		return typedText(answer)
	})
	if err == nil && text != "" {
		l.take(s, secret.New(text))
	}
	return err
}

func (l *loginCommand) take(s *login.Secret, value secret.Value) {
	s.Give(value)
	l.run.console.hide(value)
}

// readFlag reads a secret from the file that a flag names.
func (l *loginCommand) readFlag(ctx context.Context, flag, path string) (secret.Value, error) {
	if path == "-" {
		return l.run.readStdin(ctx)
	}
	ctx, cancel := l.limit.Context(ctx)
	defer cancel()
	name := "the file of --" + flag
	value, note, err := source.ReadValue(ctx, path, name, l.run.env.ci())
	if note != "" && err == nil {
		l.run.console.info("%s %s; taken because this is CI", name, note)
	}
	return value, err
}

// noTerminal is the failure of a run that would have to ask.
func (l *loginCommand) noTerminal() error {
	why := ""
	if l.run.env.ci() {
		why = " (this is CI)"
	}
	command := "tokenfetch login " + l.setup.Name
	for _, flag := range l.missing {
		switch {
		case strings.HasSuffix(flag, "-file"):
			command += " --" + flag + " FILE"
		case flag == "base-url":
			command += " --base-url https://HOST"
		case flag == "environment":
			command += " -e " + strings.Join(l.definition().EnvironmentNames(), "|")
		default:
			command += " --" + flag + " VALUE"
		}
	}
	return failure.New(failure.NoTerminal, "there is no terminal to ask on%s, and no flag gives %s", why, "--"+strings.Join(l.missing, ", --")).
		WithHint("run: %s\n(a FILE may be - for standard input; or write a profile that takes its secrets from variables, files or a command: see tokenfetch %s --help)",
			command, l.definition().Name)
}

// yes reads an answer; an empty one means yes.
func yes(answer string) (is, ok bool) {
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "", "y", "yes":
		return true, true
	case "n", "no":
		return false, true
	}
	return false, false
}
