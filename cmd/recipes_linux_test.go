package cmd

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/tokenfetch/tokenfetch/pkg/emulator"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/testdata/check"
)

// recipe is what a recipe does: commands, one after another, each with the variables
// that it gives them.
type recipe []step

type step struct {
	script  string
	environ map[string]string
	files   map[string]string // in the directory %d, beside those that hold the emulator's values
	dirs    []string          // variables that name directories to keep things in, in place of a home
}

// recipes says of each file how it is read, and what the machine that runs it sets by
// itself.
var recipes = map[string]struct {
	read    func(*testing.T, string) recipe
	environ []string
	given   []string // fields that are in its settings and not in the file
}{
	"github-actions.yml":        {yamlRecipe, []string{"CI=true", "GITHUB_ACTIONS=true"}, nil},
	"github-actions-matrix.yml": {yamlRecipe, []string{"CI=true", "GITHUB_ACTIONS=true"}, nil},
	"github-actions-steps.yml":  {yamlRecipe, []string{"CI=true", "GITHUB_ACTIONS=true"}, nil},
	"gitlab-ci.yml":             {yamlRecipe, []string{"CI=true", "GITLAB_CI=true"}, []string{"CLIENT_SECRET_FILE", "PASSWORD_FILE"}},
	"azure-pipelines.yml":       {yamlRecipe, []string{"TF_BUILD=True"}, nil},
	"circleci.yml":              {yamlRecipe, []string{"CI=true", "CIRCLECI=true"}, []string{"CLIENT_SECRET", "PASSWORD"}},
	"Jenkinsfile":               {jenkinsRecipe, []string{"JENKINS_URL=https://ci.example.com"}, nil},
	"kubernetes-job.yaml":       {kubernetesRecipe, nil, nil},
	"reconcile.service":         {systemdRecipe, nil, nil},
	"reconcile.ps1":             {nil, nil, nil}, // there is no PowerShell here
}

// TestRecipes runs the recipes as they are against the emulator, with exactly the
// variables they name and the emulator's credentials for values. Each gets its token
// to the program it runs, and with a wrong password it fails before.
func TestRecipes(t *testing.T) {
	t.Parallel()
	bin := builtProgram(t)
	address := serveEmulator(t, filepath.Join(bin, "tokenfetch"), nil)
	shown := ""
	for _, path := range documents(t) {
		shown += readFile(t, path)
	}
	files, err := os.ReadDir(recipeDir)
	if err != nil || len(files) != len(recipes) {
		t.Errorf("there are %d recipes, and %d are tried: %v", len(files), len(recipes), err)
	}
	for name, kind := range recipes {
		if !strings.Contains(shown, generatedBegin+"recipe "+name+" -->") && !strings.Contains(shown, code(name)) {
			t.Errorf("no guide shows or names %s", name)
		}
		if kind.read == nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			steps := kind.read(t, readFile(t, filepath.Join(recipeDir, name)))
			for _, wrong := range []bool{false, true} {
				p := &pipeline{bin: bin, dir: t.TempDir(), address: address, wrong: wrong, base: kind.environ, given: kind.given}
				err := p.run(t, steps)
				calls, _ := os.ReadFile(filepath.Join(p.dir, "calls"))
				if want := map[bool]string{false: "yes\n", true: ""}[wrong]; string(calls) != want || (err != nil) != wrong {
					t.Errorf("wrong password %v: the program was called %q, %v\n%s", wrong, calls, err, p.output)
				}
				if wrong && !strings.Contains(p.output, "(provider_refused)") {
					t.Errorf("it failed for another reason:\n%s", p.output)
				}
				if last := steps[len(steps)-1]; last.dirs != nil && !wrong {
					last.script = "tokenfetch zeepay -o json"
					if err := p.run(t, recipe{last}); err != nil || !strings.Contains(p.output, `"cached":true`) {
						t.Errorf("its token is not kept for the next start: %v\n%s", err, p.output)
					}
				}
			}
		})
	}
}

// TestSecretStores fetches with the guide's profiles that take secrets from
// elsewhere: files, variables, and the command-line programs of secret stores.
// pass is the real one where it is installed; 1Password and Vault need an account
// or a server, so programs of their names take just the arguments documented.
func TestSecretStores(t *testing.T) {
	t.Parallel()
	bin := builtProgram(t)
	address := serveEmulator(t, filepath.Join(bin, "tokenfetch"), nil)
	d, err := provider.NewCatalog("", nil).Definition("zeepay")
	check.OK(t, err)
	demo := emulator.Demo(d)
	dir := t.TempDir()
	for name, answers := range map[string][2]string{
		"op":    {"read op://pay/zeepay/password", demo["password"]},
		"vault": {"kv get -field=client_secret secret/zeepay", demo["client_secret"]},
	} {
		writeFile(t, filepath.Join(dir, name), fmt.Sprintf("#!/bin/sh\ntest \"$*\" = %q && echo '%s'\n", answers[0], answers[1]), 0o700)
	}
	environ := []string{
		"HOME=" + dir, "PATH=" + dir + ":" + os.Getenv("PATH"), "ZEEPAY_CLIENT_ID=" + demo["client_id"], "ZEEPAY_USERNAME=" + demo["username"],
	}
	withPass := realPass(t, "zeepay/password", demo["password"])
	var text strings.Builder
	for _, b := range blocks(t, "toml") {
		if filepath.Base(b.file) == "profiles.md" {
			text.WriteString(b.text)
		}
	}
	secretFile := filepath.Join(dir, "client_secret")
	writeFile(t, secretFile, demo["client_secret"]+"\n", 0o600)
	profiles := filepath.Join(dir, "profiles.toml")
	writeFile(t, profiles, regexp.MustCompile(`(?m)^environment .*$`).ReplaceAllString(strings.NewReplacer(
		"/run/secrets/zeepay_client_secret", secretFile,
		"client_id     = 42", fmt.Sprintf("client_id = %q", demo["client_id"]), "ops@example.com", demo["username"],
	).Replace(text.String()), fmt.Sprintf("base_url = %q", emulator.BaseURL(address, "zeepay"))), 0o600)
	for _, name := range []string{"ci", "vault"} {
		if name == "vault" && withPass == nil {
			t.Log("pass is not installed")
			continue
		}
		stdout, stderr, err := execute(filepath.Join(bin, "tokenfetch"), append(withPass, environ...), "zeepay/"+name, "--config", profiles)
		if err != nil || !strings.HasPrefix(stdout, "emulated-") {
			t.Errorf("%s: %v\n%s", name, err, stderr)
		}
	}
}

// realPass stores a secret with pass, and returns the variables that lead to it,
// nil where pass is not installed.
func realPass(t *testing.T, name, value string) []string {
	t.Helper()
	for _, program := range []string{"pass", "gpg", "gpgconf"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil
		}
	}
	dir, err := os.MkdirTemp("", "pass") // short, for the socket of the agent
	check.OK(t, err)
	environ := []string{"GNUPGHOME=" + dir, "PASSWORD_STORE_DIR=" + filepath.Join(dir, "store")}
	run := func(input string, args ...string) {
		c := exec.Command(args[0], args[1:]...)
		c.Env = append([]string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}, environ...)
		c.Stdin = strings.NewReader(input)
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%q: %v\n%s", args, err, out)
		}
	}
	t.Cleanup(func() {
		run("", "gpgconf", "--kill", "all")
		_ = os.RemoveAll(dir)
	})
	run("", "gpg", "--batch", "--quiet", "--passphrase", "", "--quick-gen-key", "test@example.com", "default", "default", "never")
	run("", "pass", "init", "test@example.com")
	run(value+"\n", "pass", "insert", "--multiline", name)
	return environ
}

// pipeline stands for the machine that runs a recipe.
type pipeline struct {
	bin, dir, address string
	wrong             bool
	base, given       []string
	output            string
}

func (p *pipeline) run(t *testing.T, steps recipe) error {
	t.Helper()
	runnerFile := filepath.Join(p.dir, "runner-env")
	writeFile(t, runnerFile, "", 0o600)
	writeFile(t, filepath.Join(p.dir, "reconcile.sh"),
		"#!/bin/sh\ncase \"$TOKEN$ZEEPAY_ACCESS_TOKEN\" in emulated-*) echo yes ;; *) echo no ;; esac >>'"+p.dir+"/calls'\n", 0o700)
	ran := 0
	for _, s := range steps {
		if strings.HasPrefix(s.script, "go install ") {
			continue
		}
		ran++
		c := exec.Command("bash", "-e", "-o", "pipefail", "-c", strings.NewReplacer(
			"/usr/bin/tokenfetch", "tokenfetch", "/usr/local/bin/", "./").Replace(s.script))
		c.Dir = p.dir
		kept := []string{"HOME"}
		if s.dirs != nil {
			kept = s.dirs
		}
		for _, name := range kept {
			c.Env = append(c.Env, name+"="+filepath.Join(p.dir, name))
		}
		for name, text := range s.files {
			writeFile(t, filepath.Join(p.dir, name), text, 0o600)
		}
		c.Env = slices.Concat(c.Env, []string{"PATH=" + p.bin + ":" + os.Getenv("PATH"), "GITHUB_ENV=" + runnerFile}, p.base, p.variables(t, s))
		data, err := os.ReadFile(runnerFile)
		check.OK(t, err)
		for _, entry := range runnerEntryPattern.FindAllStringSubmatch(string(data), -1) {
			c.Env = append(c.Env, entry[1]+"="+entry[3])
		}
		out, err := c.CombinedOutput()
		p.output += string(out)
		if err != nil {
			return err
		}
	}
	if ran == 0 {
		t.Fatal("the recipe runs nothing")
	}
	return nil
}

// variables are those that a step names, with the emulator's values: whatever is
// not named is not set.
func (p *pipeline) variables(t *testing.T, s step) []string {
	t.Helper()
	var environ []string
	all := maps.Clone(s.environ)
	for _, field := range p.given {
		all["TOKENFETCH_ZEEPAY_"+field] = ""
	}
	for name, value := range all {
		d, setting := settingOf(t, name)
		if d == nil {
			environ = append(environ, name+"="+strings.ReplaceAll(value, "%d", p.dir))
			continue
		}
		field, file := strings.CutSuffix(setting, "_file")
		demo := emulator.Demo(d)[field]
		switch {
		case setting == "environment":
			if _, known := d.Environment(value); !known {
				t.Errorf("%s: there is no environment %s", name, value)
			}
			environ = append(environ, d.Variable("base_url")+"="+emulator.BaseURL(p.address, d.Name))
			continue
		case demo == "":
			t.Errorf("%s is no variable of %s", name, d.Title)
		}
		if f, _ := d.Field(field); p.wrong && f.Name == "password" {
			demo = "wrong"
		}
		if file {
			path := filepath.Join(p.dir, name)
			writeFile(t, path, demo+"\n", 0o600)
			demo = path
		}
		environ = append(environ, name+"="+demo)
	}
	return environ
}

// settingOf returns the provider and setting that a variable of ours is for.
func settingOf(t *testing.T, variable string) (*provider.Definition, string) {
	t.Helper()
	for _, d := range builtins(t) {
		if setting, ok := strings.CutPrefix(variable, d.Variable("")); ok {
			return d, strings.ToLower(setting)
		}
	}
	return nil, ""
}

// yamlRecipe reads what CI services agree about: a mapping with a command in it, in
// the order of the file, and the variables that it or one around it names.
func yamlRecipe(t *testing.T, text string) recipe {
	var document yaml.Node
	check.OK(t, yaml.Unmarshal([]byte(text), &document))
	return yamlSteps(t, &document, nil)
}

func yamlSteps(t *testing.T, node *yaml.Node, environ map[string]string) recipe {
	var steps recipe
	if node.Kind != yaml.MappingNode {
		for _, below := range node.Content {
			steps = append(steps, yamlSteps(t, below, environ)...)
		}
		return steps
	}
	environ = maps.Clone(environ)
	if environ == nil {
		environ = map[string]string{}
	}
	for i := 0; i < len(node.Content); i += 2 {
		if key, value := node.Content[i].Value, node.Content[i+1]; key == "env" || key == "environment" || key == "variables" {
			check.OK(t, value.Decode(&environ))
		}
	}
	for i := 0; i < len(node.Content); i += 2 {
		key, value := node.Content[i].Value, node.Content[i+1]
		switch {
		case !slices.Contains([]string{"run", "script", "bash", "command"}, key) || value.Kind == yaml.MappingNode:
			steps = append(steps, yamlSteps(t, value, environ)...)
		case value.Kind == yaml.ScalarNode:
			steps = append(steps, step{script: value.Value, environ: environ})
		default:
			for _, line := range value.Content {
				steps = append(steps, step{script: line.Value, environ: environ})
			}
		}
	}
	return steps
}

// jenkinsRecipe reads the variables and shell commands of a pipeline, without
// the rest of its language.
func jenkinsRecipe(_ *testing.T, text string) recipe {
	environ := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\s*([A-Z_]+)\s*= (?:'([^']*)'|credentials\('[^']+'\))$`).FindAllStringSubmatch(text, -1) {
		environ[m[1]] = m[2]
	}
	var steps recipe
	for _, m := range regexp.MustCompile(`(?m)^\s*sh '([^']*)'$`).FindAllStringSubmatch(text, -1) {
		steps = append(steps, step{script: m[1], environ: environ})
	}
	return steps
}

func kubernetesRecipe(t *testing.T, text string) recipe {
	var job struct {
		Spec struct {
			BackoffLimit *int `yaml:"backoffLimit"`
			Template     struct {
				Spec struct {
					Containers []struct {
						Command      []string
						Env          []struct{ Name, Value string }
						VolumeMounts []struct {
							Path string `yaml:"mountPath"`
						} `yaml:"volumeMounts"`
					}
				}
			}
		}
	}
	check.OK(t, yaml.Unmarshal([]byte(text), &job))
	if limit := job.Spec.BackoffLimit; limit == nil || *limit != 0 {
		t.Error("a job that fails would be started again")
	}
	var steps recipe
	for _, c := range job.Spec.Template.Spec.Containers {
		environ := map[string]string{}
		for _, e := range c.Env {
			environ[e.Name] = e.Value
			if strings.HasSuffix(e.Name, "_FILE") && filepath.Dir(e.Value) != c.VolumeMounts[0].Path {
				t.Errorf("%s is not in the volume", e.Value)
			}
		}
		steps = append(steps, step{script: strings.Join(c.Command, " "), environ: environ})
	}
	return steps
}

func systemdRecipe(t *testing.T, text string) recipe {
	s := step{environ: map[string]string{}, files: map[string]string{}}
	loaded := map[string]bool{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch key {
		case "LoadCredential":
			name, _, _ := strings.Cut(value, ":")
			loaded["%d/"+name] = true
			if name == "cache_key" {
				s.files[name] = strings.Repeat("k", 64)
			}
		case "SetCredential":
			name, value, _ := strings.Cut(value, ":")
			s.files[name] = strings.ReplaceAll(value, `\n`, "\n")
		case "Environment":
			name, value, _ := strings.Cut(value, "=")
			s.environ[name] = value
			if strings.HasSuffix(name, "_FILE") && !loaded[value] {
				t.Errorf("%s is not loaded", value)
			}
		case "StateDirectory", "CacheDirectory":
			s.dirs = append(s.dirs, strings.ToUpper(strings.TrimSuffix(key, "Directory"))+"_DIRECTORY")
		case "ExecStart":
			s.script = value
		}
	}
	check.Same(t, "where the service keeps refusals and tokens", []string{"STATE_DIRECTORY", "CACHE_DIRECTORY"}, s.dirs)
	if _, err := exec.LookPath("systemd-analyze"); err == nil { // which looks for the program
		unit := filepath.Join(t.TempDir(), "reconcile.service")
		writeFile(t, unit, strings.Replace(text, "/usr/bin/tokenfetch", filepath.Join(builtProgram(t), "tokenfetch"), 1), 0o600)
		if out, err := exec.Command("systemd-analyze", "--man=no", "verify", unit).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("systemd-analyze: %v\n%s", err, out)
		}
	}
	return recipe{s}
}
