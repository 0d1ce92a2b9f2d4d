package emulator

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/tokenfetch/tokenfetch/pkg/internal/token"
	"github.com/tokenfetch/tokenfetch/pkg/provider"
)

// place identifies a part of a request.
type place struct{ in, name string }

const (
	literal      = "literal"      // the place of JSON other than a string
	undocumented = "undocumented" // the place of JSON that the definition does not contain
)

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
	// The body is read in any case: until then, net/http does not notice that the
	// client has disconnected.
	data, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if !samePath(path, d.Request.Path) {
		return wrong(http.StatusNotFound, "wrong path")
	}
	req.parts[place{in: "path"}] = path
	if r.Method != d.Request.Method {
		return wrong(http.StatusMethodNotAllowed, "wrong method")
	}
	if r.Header.Get("Content-Type") != d.Request.ContentType() && !req.hasHeader("Content-Type") {
		return wrong(http.StatusUnsupportedMediaType, "wrong content type")
	}
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
		switch values := r.Header.Values(h.Name); len(values) {
		case 0:
		case 1:
			req.parts[place{"header", h.Name}] = values[0]
		default:
			return wrong(http.StatusBadRequest, "repeated header "+h.Name)
		}
	}
	if problem := req.compare(); problem != "" {
		return wrong(http.StatusBadRequest, problem)
	}
	return req
}

// hasHeader reports whether the definition sets the header.
func (req request) hasHeader(name string) bool {
	return slices.ContainsFunc(req.definition.Request.Headers, func(h provider.Pair) bool { return strings.EqualFold(h.Name, name) })
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
		case !ok && !optional(d, part.Value):
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

// mentions reports whether a value mentions a field for which kind returns true.
func mentions(d *provider.Definition, value provider.Template, kind func(provider.Field) bool) bool {
	return slices.ContainsFunc(value.Fields(), func(name string) bool {
		f, _ := d.Field(name)
		return kind(f)
	})
}

func optional(d *provider.Definition, value provider.Template) bool {
	return mentions(d, value, func(f provider.Field) bool { return f.Optional })
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
	object, err := token.ParseObject(data)
	if err != nil {
		return false
	}
	req.addJSON("", req.definition.Request.JSON, object)
	return true
}

// addJSON adds the parts of a JSON value. documented is the value at the same place
// of the definition, or nil.
func (req request) addJSON(path string, documented *provider.JSON, value any) {
	if documented == nil {
		req.parts[place{in: undocumented}] = ""
		return
	}
	at, text := place{literal, path}, "null"
	below := func(name string) string { return strings.TrimPrefix(path+"."+name, ".") }
	switch v := value.(type) {
	case string:
		at.in, text = "json", v
	case json.Number:
		text = v.String()
	case bool:
		text = strconv.FormatBool(v)
	case token.Object:
		for name, value := range v {
			req.addJSON(below(name), member(documented, name), value)
		}
		if path == "" || len(documented.Members) > 0 {
			return
		}
		text = "{}"
	case []any:
		for i, item := range documented.Items {
			switch {
			case len(v) < len(documented.Items)-i && optional(req.definition, item.Text): // was omitted
			case len(v) > 0:
				req.addJSON(below(strconv.Itoa(i)), item, v[0])
				v = v[1:]
			}
		}
		if len(v) > 0 {
			req.addJSON(path, nil, v)
		}
		if len(documented.Items) > 0 {
			return
		}
		text = "[]"
	}
	req.parts[at] = text
}

// member returns the value of a member of a documented object, or nil.
func member(object *provider.JSON, name string) *provider.JSON {
	for _, m := range object.Members {
		if m.Name == name {
			return m.Value
		}
	}
	return nil
}

// addBasic reads the Basic credentials. There must be an Authorization header if and
// only if it is documented.
func (req request) addBasic(r *http.Request) bool {
	headers, basic := r.Header.Values("Authorization"), req.definition.Request.Basic
	if basic == nil {
		return len(headers) == 0 || req.hasHeader("Authorization")
	}
	user, password, ok := r.BasicAuth()
	if basic.FormEncoded {
		var userErr, passwordErr error
		user, userErr = url.QueryUnescape(user)
		password, passwordErr = url.QueryUnescape(password)
		ok = ok && userErr == nil && passwordErr == nil
	}
	req.parts[place{in: "user"}], req.parts[place{in: "password"}] = user, password
	return ok && len(headers) == 1
}

// matches reports whether the request contains the demo credentials. An optional
// field may have any value.
func (req request) matches(demo provider.Values) bool {
	for _, part := range req.definition.Request.Parts() {
		want := fill(part.Value, demo)
		if part.In == "path" {
			want = part.Value.Text(func(field string) string { return url.PathEscape(demo[field].Reveal()) })
		}
		if got, sent := req.parts[placeOf(part)]; sent && got != want && !optional(req.definition, part.Value) {
			return false
		}
	}
	return true
}
