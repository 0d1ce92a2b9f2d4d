package emulator

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/tokenfetch/tokenfetch/pkg/provider"
)

// place identifies a part of a request.
type place struct{ in, name string }

// literal is the place of JSON other than a string.
const literal = "literal"

func placeOf(part provider.Part) place {
	if part.Literal {
		return place{literal, part.Name}
	}
	return place{part.In, part.Name}
}

// understand checks a request against the definition: the method, path and content
// type, and that each documented part occurs exactly once and nothing else does.
func understand(d *provider.Definition, r *http.Request, path string) request {
	req := request{definition: d, parts: map[place]string{}}
	wrong := func(status int, problem string) request {
		req.status, req.problem = status, problem
		return req
	}
	if !samePath(path, d.Request.Path) {
		return wrong(http.StatusNotFound, "wrong path")
	}
	req.parts[place{in: "path"}] = path
	if r.Method != d.Request.Method {
		return wrong(http.StatusMethodNotAllowed, "wrong method")
	}
	if r.Header.Get("Content-Type") != d.Request.ContentType() {
		return wrong(http.StatusUnsupportedMediaType, "wrong content type")
	}
	data, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return wrong(http.StatusBadRequest, "unreadable body")
	}
	switch {
	case !req.addPairs("query", r.URL.RawQuery):
		return wrong(http.StatusBadRequest, "malformed query")
	case d.Request.ContentType() == "" && len(data) > 0, !req.addBody(data):
		return wrong(http.StatusBadRequest, "malformed body")
	case !req.addBasic(r):
		return wrong(http.StatusUnauthorized, "wrong Authorization header")
	}
	for _, h := range d.Request.Headers {
		if values := r.Header.Values(h.Name); len(values) == 1 {
			req.parts[place{"header", h.Name}] = values[0]
		}
	}
	if problem := req.compare(); problem != "" {
		return wrong(http.StatusBadRequest, problem)
	}
	return req
}

// samePath reports whether path matches the template, with any segment for a field.
func samePath(path string, t provider.Template) bool {
	got, want := strings.Split(path, "/"), strings.Split(t.String(), "/")
	return slices.EqualFunc(got, want, func(got, want string) bool {
		return got == want || strings.HasPrefix(want, "{") && got != ""
	})
}

// compare returns how the parts differ from the documented ones, or "".
func (req request) compare() string {
	d := req.definition
	known := map[place]bool{{in: "path"}: true}
	for _, part := range d.Request.Parts() {
		at := placeOf(part)
		known[at] = true
		value, ok := req.parts[at]
		switch {
		case !ok && !optional(d, part):
			return "missing " + part.In + " " + part.Name
		case ok && len(part.Value.Fields()) == 0 && value != fill(part.Value, nil):
			return "wrong value of " + part.Name
		}
	}
	for at := range req.parts {
		if !known[at] {
			return "undocumented member"
		}
	}
	return ""
}

// mentions reports whether a part mentions a field for which kind returns true.
func mentions(d *provider.Definition, part provider.Part, kind func(provider.Field) bool) bool {
	return slices.ContainsFunc(part.Value.Fields(), func(name string) bool {
		f, _ := d.Field(name)
		return kind(f)
	})
}

func optional(d *provider.Definition, part provider.Part) bool {
	return mentions(d, part, func(f provider.Field) bool { return f.Optional })
}

func fill(t provider.Template, values provider.Values) string {
	return t.Text(func(field string) string { return values[field].Reveal() })
}

// addPairs parses form-encoded pairs. Each name must occur exactly once.
func (req request) addPairs(in, text string) bool {
	values, err := url.ParseQuery(text)
	for name, list := range values {
		if len(list) != 1 {
			return false
		}
		req.parts[place{in, name}] = list[0]
	}
	return err == nil
}

// addBody parses the body.
func (req request) addBody(data []byte) bool {
	switch {
	case req.definition.Request.Form != nil:
		return req.addPairs("form", string(data))
	case req.definition.Request.JSON == nil:
		return true
	}
	var object map[string]any
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.UseNumber()
	if decoder.Decode(&object) != nil || object == nil || decoder.More() {
		return false
	}
	req.addJSON("", object)
	return true
}

// addJSON adds a JSON value with its path.
func (req request) addJSON(path string, value any) {
	below := func(name string) string { return strings.TrimPrefix(path+"."+name, ".") }
	switch v := value.(type) {
	case string:
		req.parts[place{"json", path}] = v
	case json.Number:
		req.parts[place{literal, path}] = v.String()
	case bool:
		req.parts[place{literal, path}] = strconv.FormatBool(v)
	case nil:
		req.parts[place{literal, path}] = "null"
	case map[string]any:
		if len(v) == 0 && path != "" {
			req.parts[place{literal, path}] = "{}"
		}
		for name, member := range v {
			req.addJSON(below(name), member)
		}
	case []any:
		if len(v) == 0 {
			req.parts[place{literal, path}] = "[]"
		}
		for i, item := range v {
			req.addJSON(below(strconv.Itoa(i)), item)
		}
	}
}

// addBasic reads the Basic credentials, which must be present if and only if they
// are documented.
func (req request) addBasic(r *http.Request) bool {
	user, password, ok := r.BasicAuth()
	basic := req.definition.Request.Basic
	if basic == nil || !ok {
		return ok == (basic != nil)
	}
	if basic.FormEncoded {
		var userErr, passwordErr error
		user, userErr = url.QueryUnescape(user)
		password, passwordErr = url.QueryUnescape(password)
		ok = userErr == nil && passwordErr == nil
	}
	req.parts[place{in: "user"}], req.parts[place{in: "password"}] = user, password
	return ok
}

// matches reports whether the request contains the demo credentials. An optional
// field may have any value.
func (req request) matches(demo provider.Values) bool {
	for _, part := range req.definition.Request.Parts() {
		want := fill(part.Value, demo)
		if part.In == "path" {
			want = part.Value.Text(func(field string) string { return url.PathEscape(demo[field].Reveal()) })
		}
		if got, sent := req.parts[placeOf(part)]; sent && got != want && !optional(req.definition, part) {
			return false
		}
	}
	return true
}
