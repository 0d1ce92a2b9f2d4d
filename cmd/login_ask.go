package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tokenfetch/tokenfetch/pkg/failure"
	"github.com/tokenfetch/tokenfetch/pkg/login"
	"github.com/tokenfetch/tokenfetch/pkg/profile"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
	"github.com/tokenfetch/tokenfetch/pkg/source"
	"github.com/tokenfetch/tokenfetch/pkg/tokenfetch"
)

// cannotAsk records that a question would have to be asked, but nobody can be asked.
func (l *loginCommand) cannotAsk(what string) bool {
	if l.person == nil {
		l.missing = append(l.missing, what)
	}
	return l.person == nil
}

// firstQuestion runs before the first question. It fails if the profiles file cannot be
// written.
func (l *loginCommand) firstQuestion() error {
	if l.asked {
		return nil
	}
	l.asked = true
	return l.setup.File.CheckSave()
}

// ask asks a question.
func (l *loginCommand) ask(ctx context.Context, question string, hidden bool, check func(string) string) (string, error) {
	if err := l.firstQuestion(); err != nil {
		return "", err
	}
	return l.person.ask(ctx, question, hidden, check)
}

// chooseHost sets the environment or base address: from a flag, the existing profile,
// the only environment, or an answer.
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
			h, err := l.askHost(ctx, host{environment, baseURL})
			if err != nil {
				return err
			}
			environment, baseURL = h.environment, h.baseURL
		}
	}
	return l.settleHost(ctx, host{environment, baseURL})
}

// settleHost sets the host of the profile, and the fields in its name.
func (l *loginCommand) settleHost(ctx context.Context, h host) error {
	d := l.definition()
	l.host, l.settled = h, nil
	l.environment = environmentOf(d, h.environment)
	l.setup.SetHost(h.environment, h.baseURL)
	for _, f := range d.Fields {
		if !f.Secret && l.namesHost(f.Name) {
			if err := l.chooseField(ctx, f, true); err != nil {
				return err
			}
			l.settled = append(l.settled, f.Name)
		}
	}
	return nil
}

// namesHost reports whether the host name contains the field.
func (l *loginCommand) namesHost(field string) bool {
	if l.environment == nil {
		return false
	}
	d, named := l.definition(), false
	_, _ = d.Address(*l.environment, func(part string) string {
		f, _ := d.Field(part)
		named = named || part == field || f.Default == "{"+field+"}"
		return "a"
	})
	return named
}

// hostFlag returns the flag that selects the host of a provider.
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

// askHost asks for an environment, by number or name, or a base address. The current
// one is the default.
func (l *loginCommand) askHost(ctx context.Context, now host) (host, error) {
	d := l.definition()
	question, choices := "base_url, as https://HOST", []string{}
	for i, e := range d.Environments {
		note := ""
		if e.AllowListed {
			note = "  (only listed addresses)"
		}
		choices = append(choices, fmt.Sprintf("  %d  %-12s %s%s", i+1, e.Name, e.BaseURL, note))
	}
	if len(choices) > 0 {
		question = "environment, by number or name, or https://HOST of another"
	}
	if now != (host{}) {
		question += " [" + now.environment + now.baseURL + "]"
	}
	choose := func(answer string) (_ host, rule string) {
		answer = strings.TrimSpace(answer)
		if answer == "" && now != (host{}) {
			return now, ""
		}
		if _, ok := d.Environment(answer); ok {
			return host{environment: answer}, ""
		}
		if n, err := strconv.Atoi(answer); err == nil && 0 < n && n <= len(d.Environments) {
			return host{environment: d.Environments[n-1].Name}, ""
		}
		if !strings.Contains(answer, "://") && len(choices) > 0 {
			return host{}, "is none of them: " + strings.Join(d.EnvironmentNames(), ", ")
		}
		_, err := d.CheckBase(answer)
		if e, ok := errors.AsType[*failure.Error](err); ok {
			return host{}, "cannot be used: " + e.Message
		}
		return host{baseURL: answer}, ""
	}
	if err := l.firstQuestion(); err != nil {
		return host{}, err
	}
	l.person.say(append([]string{d.Title + ", profile " + l.ref.Profile}, choices...)...)
	answer, err := l.ask(ctx, question, false, func(answer string) string {
		_, rule := choose(answer)
		return rule
	})
	if err != nil {
		return host{}, err
	}
	h, _ := choose(answer)
	return h, nil
}

// chooseField sets a field that is not secret: from a flag, another profile, or an
// answer. An empty answer keeps the previous answer, the profile's value or the
// default. A question that was answered before is asked only with again.
func (l *loginCommand) chooseField(ctx context.Context, f provider.Field, again bool) error {
	text, given := l.o.fields[f.Flag()]
	if !given && l.copies(f) {
		l.setup.Copy(f.Name)
	} else if !given && l.toAsk(f) {
		if l.cannotAsk(f.Flag()) {
			return nil
		}
		answer, answered := l.answers[f.Name]
		if again || !answered {
			var err error
			if answer, err = l.askField(ctx, f); err != nil {
				return err
			}
			l.answers[f.Name] = answer
		}
		text = answer
	}
	if text != "" {
		l.setup.Set(f.Name, text)
	}
	return nil
}

// copies reports whether a field that no flag sets is copied from another profile.
func (l *loginCommand) copies(f provider.Field) bool {
	return l.setup.CanCopy(f.Name) && l.definition().Needs(f.Name, l.environment)
}

// toAsk reports whether to ask for a field that is not secret and that no flag sets. If
// nobody can be asked, it is true only if the field must be set.
func (l *loginCommand) toAsk(f provider.Field) bool {
	if !l.definition().Needs(f.Name, l.environment) || l.copies(f) {
		return false
	}
	if now, ok := l.now(f); ok && now.Text == nil {
		return false // it comes from elsewhere
	}
	return l.person != nil || !l.stays(f)
}

// now returns the profile's current source of a field.
func (l *loginCommand) now(f provider.Field) (profile.Source, bool) {
	if l.setup.Old == nil {
		return profile.Source{}, false
	}
	now, ok := l.setup.Old.Fields[f.Name]
	return now, ok
}

// stays reports whether an empty answer keeps a field as it is.
func (l *loginCommand) stays(f provider.Field) bool {
	_, has := l.now(f)
	return has || l.answers[f.Name] != "" || f.Optional || f.Default != ""
}

// askField asks for a field that is not secret. It returns "" to keep the field as it
// is. It trims the answer.
func (l *loginCommand) askField(ctx context.Context, f provider.Field) (string, error) {
	question := f.Name + " (" + f.Help
	switch now, ok := l.now(f); {
	case l.answers[f.Name] != "":
		question += ") [" + l.answers[f.Name] + "]"
	case ok:
		question += ") [" + now.Text.Reveal() + "]"
	case f.Default != "":
		question += "; default: " + f.DefaultText() + ")"
	case f.Optional:
		question += "; may be empty)"
	default:
		question += ")"
	}
	answer, err := l.ask(ctx, question, false, func(answer string) string {
		answer = strings.TrimSpace(answer)
		if answer == "" && l.stays(f) {
			return ""
		}
		if rule := typedText(answer); rule != "" {
			return rule
		}
		return l.labelRule(f, answer)
	})
	return cmp.Or(strings.TrimSpace(answer), l.answers[f.Name]), err
}

// labelRule returns the rule that a field in the host name violates, or "".
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

// lookUp finds out which questions to ask, and fails if nobody can be asked. An empty
// answer keeps a secret that is already stored. If flags set other secrets of an
// existing profile, stored secrets are not asked for.
func (l *loginCommand) lookUp(ctx context.Context) error {
	d := l.definition()
	rotation := l.setup.Old != nil && !l.o.replace
	flags := slices.ContainsFunc(d.Fields, func(f provider.Field) bool { return l.given(f) && f.Secret })
	l.wanted = nil
	for _, f := range d.Fields {
		wanted := !l.given(f) && !slices.Contains(l.settled, f.Name)
		if s := l.secret(f); s != nil {
			if err := l.setup.LookUp(ctx, s); err != nil {
				return l.nobodyToAsk(err)
			}
			kept := s.Stored && (rotation && flags || !rotation && l.person == nil)
			wanted = wanted && s.Place != "" && !kept
		} else {
			wanted = wanted && !rotation && l.toAsk(f)
		}
		if wanted && !l.cannotAsk(f.Flag()) {
			l.wanted = append(l.wanted, f)
		}
	}
	if len(l.missing) > 0 {
		return l.noTerminal()
	}
	return nil
}

// secret returns the secret of a field, nil if the field is not secret.
func (l *loginCommand) secret(f provider.Field) *login.Secret {
	i := slices.IndexFunc(l.setup.Secrets, func(s *login.Secret) bool { return s.Name == f.Name })
	if i < 0 {
		return nil
	}
	return l.setup.Secrets[i]
}

// tellHost prints once where the secrets will be sent, before any is entered. For a
// user-defined provider, whose definition somebody else may have written, it does so in
// any case.
func (l *loginCommand) tellHost(context.Context) error {
	host, own := l.setup.Base.Authority(), l.definition().File != ""
	if !l.asks() {
		if own {
			l.run.console.note("the secrets go to %s", host)
		}
		return nil
	}
	if err := l.firstQuestion(); err != nil {
		return err
	}
	if own {
		l.person.say(l.ref.String() + ": the secrets go to " + host)
	} else {
		l.person.say(l.ref.String() + " at " + host)
	}
	return nil
}

// asks reports whether there are further questions.
func (l *loginCommand) asks() bool {
	return l.person != nil && (len(l.wanted) > 0 || isTerminal(l.run.env.Stdin) && slices.ContainsFunc(l.setup.Secrets, func(s *login.Secret) bool {
		return l.o.fields[s.Flag()] == "-"
	}))
}

// readFlags reads the secrets that flags name.
func (l *loginCommand) readFlags(ctx context.Context) error {
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
	return nil
}

// askFields sets the fields that are not set yet.
func (l *loginCommand) askFields(ctx context.Context) error { return l.settleFields(ctx, false) }

// settleFields sets the fields in the definition's order, in which providers list them,
// so that somebody who pastes one after the other does not paste a secret into a
// visible prompt. With again it repeats questions that were answered.
func (l *loginCommand) settleFields(ctx context.Context, again bool) error {
	for _, f := range l.definition().Fields {
		asked := slices.ContainsFunc(l.wanted, func(w provider.Field) bool { return w.Name == f.Name })
		var err error
		switch s := l.secret(f); {
		case s != nil && asked && (again || !s.IsGiven()):
			err = l.askSecret(ctx, s)
		case s == nil && (asked || l.given(f) || l.copies(f)) && !slices.Contains(l.settled, f.Name):
			err = l.chooseField(ctx, f, again)
		}
		if err != nil {
			return err
		}
	}
	return l.setup.CheckSizes()
}

// askSecret asks for a secret. An empty answer keeps the stored one, or the previous
// answer if another one may be wrong.
func (l *loginCommand) askSecret(ctx context.Context, s *login.Secret) error {
	keeps := ""
	switch {
	case s.IsGiven() && len(l.wanted) > 1:
		keeps = "; Enter keeps the last one"
	case s.Stored && !s.IsGiven():
		keeps = "; Enter keeps the stored one"
	}
	text, err := l.ask(ctx, s.Name+" ("+s.Help+"; not shown"+keeps+")", true, func(answer string) string {
		if answer == "" && keeps != "" {
			return ""
		}
		return typedText(answer)
	})
	if err == nil && text != "" {
		l.take(s, secret.New(text))
	}
	return err
}

// askAgain prints why the provider refused the last attempt, and asks all questions
// again until the answers differ from those that were refused.
func (l *loginCommand) askAgain(ctx context.Context, refused []*tokenfetch.Plan, e *failure.Error) error {
	l.tellFailed(e, "")
	d := l.definition()
	if n := d.Policy.LockoutAfter; n > 0 {
		l.person.say(fmt.Sprintf("  %s locks the account after %d refusals in a row", d.Title, n))
	}
	for {
		if err := l.settleFields(ctx, true); err != nil {
			return err
		}
		if !slices.ContainsFunc(refused, l.setup.Repeats) {
			return l.prepare(ctx)
		}
		l.person.say("  these were refused")
	}
}

// askHostAgain prints why the host gave no token, and asks for the host and for the
// fields that a new host needs.
func (l *loginCommand) askHostAgain(ctx context.Context, e *failure.Error) error {
	l.tellFailed(e, withoutATry(e).Hint) // not everything is cured by another address
	h, err := l.askHost(ctx, l.host)
	if err != nil {
		return err
	}
	if err := l.settleHost(ctx, h); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{l.prepare, l.lookUp, l.tellHost, l.askFields, l.prepare} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// tellFailed prints why there is no token, and the hint if it is not empty.
func (l *loginCommand) tellFailed(e *failure.Error, hint string) {
	l.person.say("  " + e.Message + l.run.providerSays(e.Provider))
	if hint != "" {
		l.person.say("  " + hint)
	}
	l.person.say("  nothing is stored yet: try again, or end with Ctrl-C")
}

func (l *loginCommand) take(s *login.Secret, value secret.Value) {
	s.Give(value)
	l.run.console.hide(value)
	if s.HasBlanks() {
		l.run.console.warning("%s begins or ends with a blank, which belongs to it", s.Name)
	}
}

// readFlag reads a secret from the file that a flag names.
func (l *loginCommand) readFlag(ctx context.Context, flag, path string) (secret.Value, error) {
	if path == "-" {
		return l.run.readStdin(ctx)
	}
	ctx, cancel := l.limit.Context(ctx)
	defer cancel()
	name := source.FileOf + "--" + flag
	value, note, err := source.ReadValue(ctx, path, name, l.run.env.ci())
	if note != "" && err == nil {
		l.run.console.info("%s %s; taken because this is CI", name, note)
	}
	return value, err
}

// noTerminal returns the error for a run that would have to ask questions.
func (l *loginCommand) noTerminal() error {
	why := ""
	if l.run.env.ci() {
		why = " (this is CI)"
	}
	e := failure.New(failure.NoTerminal, "there is no terminal to ask on%s, and no flag gives %s", why, "--"+strings.Join(l.missing, ", --")).
		WithHint("run: %s", l.run.again(l.ref.String(), l.flagsFor(l.missing)))
	if names := l.definition().EnvironmentNames(); slices.Contains(l.missing, "environment") {
		e = e.AddHint("the environments are: %s", strings.Join(names, ", "))
	}
	return e.AddHint("a FILE may be - for standard input; or a profile takes its secrets from variables, files or a command: tokenfetch help profiles")
}

// flagsFor returns flags with placeholders for their values.
func (l *loginCommand) flagsFor(flags []string) string {
	var words []string
	for _, flag := range flags {
		value := "VALUE"
		switch {
		case strings.HasSuffix(flag, "-file"):
			value = "FILE"
		case flag == "base-url":
			value = "https://HOST"
		case flag == "environment":
			value = l.definition().Environments[0].Name
		}
		words = append(words, "--"+flag+" "+value)
	}
	return strings.Join(words, " ")
}
