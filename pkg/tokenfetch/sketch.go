package tokenfetch

import (
	"strings"

	"github.com/tokenfetch/tokenfetch/pkg/provider"
	"github.com/tokenfetch/tokenfetch/pkg/secret"
)

// Sketch returns a description of the provider's token request, line by line, with
// <FIELD> for each field that is not secret.
func Sketch(d *provider.Definition) []string {
	address := "https://HOST"
	if len(d.Environments) > 0 {
		address = strings.TrimSuffix(SketchHost(d.Environments[0].BaseURL), "/")
	}
	field := func(name string) string {
		if f, _ := d.Field(name); f.Secret {
			return secret.Hidden
		}
		return "<" + name + ">"
	}
	return requestLines(d, address+d.Request.Path.Text(field), func(value provider.Template) string {
		var notes []string
		for _, name := range value.Fields() {
			switch f, _ := d.Field(name); {
			case f.Optional:
				notes = append(notes, name+" is optional")
			case f.Default != "":
				notes = append(notes, "default of "+name+": "+f.DefaultText())
			}
		}
		text := value.Text(field)
		if notes != nil {
			text += "  (" + strings.Join(notes, ", ") + ")"
		}
		return text
	})
}

// SketchHost returns the base URL of an environment with <FIELD> for each field.
func SketchHost(baseURL string) string {
	return strings.NewReplacer("{", "<", "}", ">").Replace(baseURL)
}

// requestLines describes a request to an address, line by line. describe returns the
// text for the content of one part.
func requestLines(d *provider.Definition, address string, describe func(provider.Template) string) []string {
	lines := []string{d.Request.Method + " " + address}
	if body := d.Request.ContentType(); body != "" {
		lines = append(lines, "Content-Type: "+body)
	}
	for _, part := range d.Request.Parts() {
		what := part.In + " " + part.Name
		switch part.In {
		case "path":
			what = "path"
		case "user", "password":
			what = "Authorization: Basic, " + part.In
		case "form", "json":
			what = "body " + part.Name
		}
		lines = append(lines, what+" = "+describe(part.Value))
	}
	return lines
}
