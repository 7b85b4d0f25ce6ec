package web

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"portico/app"

	"github.com/gofiber/fiber/v2"
)

// Form is what was typed and what is wrong with it. The zero Form is an untouched one.
type Form struct {
	Values map[string][]string
	Errors []app.FieldError
	Prefix string // of its fields' ids, where they don't stand alone on the page
}

// Anchor is the id of a field: its name with the prefix, and hyphens for the points between parts.
func (f *Form) Anchor(field string) string { return f.Prefix + strings.ReplaceAll(field, ".", "-") }

// NewForm fills a form from a struct with `form` tags, for showing what is stored.
func NewForm(from any) *Form {
	form := &Form{Values: map[string][]string{}}
	each(from, func(name string, value reflect.Value) {
		switch value.Kind() {
		case reflect.Slice:
			for i := range value.Len() {
				form.Values[name] = append(form.Values[name], fmt.Sprint(value.Index(i)))
			}
		case reflect.Bool:
			if value.Bool() {
				form.Values[name] = []string{"on"}
			}
		default:
			form.Values[name] = []string{fmt.Sprint(value)}
		}
	})
	return form
}

// Value is a field's first value.
func (f *Form) Value(name string) string {
	if values := f.Values[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// Checked tells whether value is among a field's values; for a single box value is "on".
func (f *Form) Checked(name, value string) bool {
	for _, v := range f.Values[name] {
		if v == value {
			return true
		}
	}
	return false
}

// Error is what is wrong with a field, or nil.
func (f *Form) Error(name string) *app.Text {
	for _, e := range f.Errors {
		if e.Field == name {
			return &e.Text
		}
	}
	return nil
}

// Limits of a form's text. A single field may narrow its own.
const (
	maxKeys  = 200
	maxValue = 64 << 10 // bytes
)

// Bind decodes the posted fields into form, a pointer to a struct whose fields carry `form:"name"` tags and are strings,
// bools or []strings. Unknown keys, repeated single values, invalid UTF-8, NUL bytes and outsized values are refused, so
// that nothing reaches a service that its form does not have.
func Bind(c *fiber.Ctx, form any) error {
	fields, err := readPosted(c)
	if err != nil {
		return err
	}
	return fields.decode(form)
}

// Posted returns what was posted, without the token of the form, for forms whose fields are declared by data instead of a struct.
// Invalid UTF-8, NUL bytes, outsized values and too many keys are refused; whoever reads it refuses the keys that it does not know.
func Posted(c *fiber.Ctx) (map[string][]string, error) {
	fields, err := readPosted(c)
	if err != nil {
		return nil, err
	}
	return fields.values, nil
}

func readPosted(c *fiber.Ctx) (*posted, error) {
	fields := newPosted()
	if strings.HasPrefix(c.Get(fiber.HeaderContentType), fiber.MIMEMultipartForm) {
		multipart, err := c.MultipartForm()
		if err != nil {
			return nil, app.Invalidf("", "form.unreadable")
		}
		for key, values := range multipart.Value {
			for _, value := range values {
				fields.take(key, value)
			}
		}
	} else {
		for key, value := range c.Request().PostArgs().All() {
			fields.take(string(key), string(value))
		}
	}
	if fields.bad {
		return nil, app.Invalidf("", "form.unreadable")
	}
	return fields, nil
}

// posted is what came with a form.
type posted struct {
	values map[string][]string
	bad    bool
}

func newPosted() *posted { return &posted{values: map[string][]string{}} }

func (p *posted) take(key, value string) {
	if len(p.values) > maxKeys || len(value) > maxValue || !utf8.ValidString(key) || !utf8.ValidString(value) || strings.ContainsRune(value, 0) {
		p.bad = true
		return
	}
	if key != csrfField {
		p.values[strings.Clone(key)] = append(p.values[key], strings.Clone(value))
	}
}

func (p *posted) decode(form any) error {
	if p.bad {
		return app.Invalidf("", "form.unreadable")
	}
	known := map[string]bool{}
	var invalid app.Invalid
	each(form, func(name string, field reflect.Value) {
		known[name] = true
		values := p.values[name]
		switch field.Kind() {
		case reflect.String:
			if len(values) > 1 {
				invalid.Add(name, "form.unreadable")
			} else if len(values) == 1 {
				// Browsers send line ends as CRLF; everything else in the portal speaks LF.
				field.SetString(strings.ReplaceAll(values[0], "\r\n", "\n"))
			}
		case reflect.Bool:
			field.SetBool(len(values) == 1 && values[0] == "on")
		case reflect.Slice:
			field.Set(reflect.ValueOf(append([]string(nil), values...)))
		default:
			panic("form field " + name + " has a kind that Bind does not decode")
		}
	})
	for key := range p.values {
		if !known[key] {
			invalid.Add("", "form.unknown-field")
			break
		}
	}
	return invalid.Err()
}

func each(from any, visit func(name string, value reflect.Value)) {
	value := reflect.Indirect(reflect.ValueOf(from))
	for i := range value.NumField() {
		if name := value.Type().Field(i).Tag.Get("form"); name != "" {
			visit(name, value.Field(i))
		}
	}
}

// Rerender answers an invalid form with 422 and the page again, with what was typed; any other error passes through.
// Passwords are not sent back: their fields are of type password, which the field template leaves empty.
func Rerender(c *fiber.Ctx, err error, page Page, typed any) error {
	var invalid *app.Invalid
	if !errors.As(err, &invalid) {
		return err
	}
	page.Form = NewForm(typed)
	page.Form.Errors = invalid.Fields
	page.Status = fiber.StatusUnprocessableEntity
	return Render(c, page)
}

// Field is one form field as shared/field draws it.
type Field struct {
	View  *View
	Name  string
	ID    string
	Label string
	Hint  string
	Value string
	Error string
	Attrs map[string]any // type, autocomplete, required, options and so on, see shared/field.html
}

// newField takes pairs of attribute and value. "label" and "hint" are message keys; the label defaults to "field.NAME".
// "id" sets the element's id, where two forms of a page share a name.
func newField(v *View, name string, pairs []any) Field {
	field := Field{View: v, Name: name, ID: name, Value: v.Form.Value(name), Attrs: map[string]any{}}
	label := "field." + name
	for i := 0; i+1 < len(pairs); i += 2 {
		switch key := pairs[i].(string); key {
		case "label":
			label = pairs[i+1].(string)
		case "hint":
			field.Hint = v.T(pairs[i+1].(string))
		case "id":
			field.ID = pairs[i+1].(string)
		case "value":
			if field.Value == "" && v.Form.Values == nil {
				field.Value = fmt.Sprint(pairs[i+1])
			}
		default:
			field.Attrs[key] = pairs[i+1]
		}
	}
	if field.Attrs["type"] != "hidden" { // which has none
		field.Label = v.T(label)
	}
	if text := v.Form.Error(name); text != nil {
		field.Error = v.Text(*text)
	}
	return field
}

// Option is one choice of a select or a group of boxes.
type Option struct{ Value, Label string }
