package secret_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"text/template"

	"github.com/tokenfetch/tokenfetch/pkg/secret"
)

const canary = "s3cr3t-Canary-Zq8"

func TestReveal(t *testing.T) {
	if got := secret.New(canary).Reveal(); got != canary {
		t.Errorf("Reveal() = %q, want %q", got, canary)
	}
	var zero secret.Value
	if got := zero.Reveal(); got != "" {
		t.Errorf("Reveal() of the zero Value = %q", got)
	}
}

// open holds Values in exported fields, sealed in unexported ones, which fmt
// and slog print without asking the type.
type open struct {
	Value   secret.Value
	Pointer *secret.Value
	Any     any
}

type sealed struct {
	value   secret.Value
	pointer *secret.Value
	any     any
	list    []secret.Value
	table   map[string]secret.Value
}

type named secret.Value // a type of its own has none of the methods

func holders() map[string]any {
	v := secret.New(canary)
	return map[string]any{
		"value": v, "pointer": &v, "struct": open{v, &v, v}, "pointer to struct": &open{v, &v, &v},
		"slice": []secret.Value{v}, "array": [2]secret.Value{v, v}, "map": map[string]secret.Value{"k": v}, "key": map[secret.Value]int{v: 1},
		"any": []any{v, &v, open{Value: v}}, "reflected": reflect.ValueOf(v), "error": fmt.Errorf("with %v and %w", v, errors.New("cause")),
		"sealed": sealed{v, &v, v, []secret.Value{v}, map[string]secret.Value{"k": v}}, "named": named(v), "function": v.Reveal,
		"embedded": struct{ secret.Value }{v},
	}
}

func leaks(text string) bool {
	raw := []byte(canary)
	for _, form := range []string{canary, hex.EncodeToString(raw), fmt.Sprintf("%X", raw), fmt.Sprintf("% x", raw), fmt.Sprintf("%d", raw), fmt.Sprintf("%#v", raw)} {
		if strings.Contains(text, form) {
			return true
		}
	}
	return false
}

func TestFmtPrintsHidden(t *testing.T) {
	verbs := []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%c", "%U", "%t", "%g", "%T", "%p", "%#q", "%10.3s", "%-40v|", "%w", "%!"}
	for name, holder := range holders() {
		for _, verb := range verbs {
			if text := fmt.Sprintf(verb, holder); leaks(text) {
				t.Errorf("%s printed with %s shows the secret: %s", name, verb, text)
			}
		}
		if text := fmt.Sprint(holder) + fmt.Sprintln(holder); leaks(text) {
			t.Errorf("%s printed by Sprint shows the secret: %s", name, text)
		}
	}
	v := secret.New(canary)
	for _, verb := range verbs[:10] {
		for name, test := range map[string]struct {
			holder any
			want   string
		}{
			"value":   {v, "[hidden]"},
			"pointer": {&v, "[hidden]"},
			"zero":    {secret.Value{}, "[hidden]"},
			"slice":   {[]any{v}, "[hidden]"},
			"field":   {struct{ V secret.Value }{v}, "[hidden]"},
			"map":     {map[string]secret.Value{"k": v}, "[hidden]"},
		} {
			if text := fmt.Sprintf(verb, test.holder); !strings.Contains(text, test.want) {
				t.Errorf("%s printed with %s is %q, want %s in it", name, verb, text, test.want)
			}
		}
	}
	if got, want := fmt.Sprintf("%v %+v %s", open{v, &v, nil}, &open{Value: v, Any: v}, []secret.Value{v, v}), ""; got == want || strings.Count(got, "[hidden]") < 5 {
		t.Errorf("printed %q, want 5 or more [hidden]", got)
	}
}

func TestEncodersPrintHidden(t *testing.T) {
	v := secret.New(canary)
	for want, holder := range map[string]any{
		`"[hidden]"`: v,
		`{"Value":"[hidden]","Pointer":"[hidden]","Any":"[hidden]"}`: open{v, &v, v},
		`["[hidden]","[hidden]"]`:                                    []any{v, &v},
		`{"k":"[hidden]"}`:                                           map[string]secret.Value{"k": v},
		`{"[hidden]":1}`:                                             map[secret.Value]int{v: 1},
		`{}`:                                                         sealed{value: v},
	} {
		got, err := json.Marshal(holder)
		if err != nil || string(got) != want {
			t.Errorf("as JSON: %s, %v; want %s", got, err, want)
		}
	}
	got, err := xml.Marshal(open{Value: v})
	if want := "<open><Value>[hidden]</Value></open>"; err != nil || string(got) != want {
		t.Errorf("as XML: %s, %v; want %s", got, err, want)
	}
	var b strings.Builder
	if err := template.Must(template.New("").Parse(`{{.}} {{.Value}} {{printf "%s" .Any}}`)).Execute(&b, open{v, &v, v}); err != nil || leaks(b.String()) {
		t.Errorf("by a template: %s, %v", b.String(), err)
	}
}

func TestSlogPrintsHidden(t *testing.T) {
	for name, holder := range holders() {
		if name == "function" || name == "key" {
			continue // no JSON of these
		}
		var text, jsonText bytes.Buffer
		for _, handler := range []slog.Handler{slog.NewTextHandler(&text, nil), slog.NewJSONHandler(&jsonText, nil)} {
			log := slog.New(handler).With("with", holder).WithGroup("group")
			log.Info("message", "key", holder, slog.Group("inner", "key", holder))
		}
		for format, out := range map[string]string{"text": text.String(), "JSON": jsonText.String()} {
			if leaks(out) || !strings.Contains(out, "message") {
				t.Errorf("%s logged as %s: %s", name, format, out)
			}
		}
		if name == "value" && (strings.Count(text.String(), "[hidden]") != 3 || strings.Count(jsonText.String(), "[hidden]") != 3) {
			t.Errorf("logged %s and %s, want 3 times [hidden] in each", text.String(), jsonText.String())
		}
	}
}
