package provisioning

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"portico/app"
	"portico/app/web"
)

// A form has one input for each value. A part of an object is named "object.part"; a list of simple values is a text with one of
// them on each line; a list of objects has numbered rows, "list.0.part", of which empty ones are left out.

// spareRows is how many empty rows a list of objects shows.
const spareRows = 3

// readForm turns what was posted into values. What is not asked for is wrong, whatever it holds.
func readForm(fields []Field, posted map[string][]string) (map[string]any, *app.Invalid) {
	r := &formReader{posted: posted, used: map[string]bool{}, invalid: &app.Invalid{}}
	values := r.fields(fields, "")
	for name := range posted {
		if !r.used[name] {
			r.invalid.Add("", "actions.unknown-field")
			break
		}
	}
	return values, r.invalid
}

type formReader struct {
	posted  map[string][]string
	used    map[string]bool
	invalid *app.Invalid
}

func (r *formReader) fields(fields []Field, prefix string) map[string]any {
	values := map[string]any{}
	for _, f := range fields {
		if value := r.field(f, prefix+f.Name); value != nil {
			values[f.Name] = value
		}
	}
	return values
}

func (r *formReader) field(f Field, name string) any {
	switch {
	case f.Kind == KindObject:
		inner := r.fields(f.Fields, name+".")
		if !filled(f.Fields, inner) {
			return nil
		}
		return inner
	case f.Kind == KindList && f.Item.Kind == KindObject:
		var entries []any
		for _, i := range r.rows(name) {
			row := r.fields(f.Item.Fields, fmt.Sprintf("%s.%d.", name, i))
			if filled(f.Item.Fields, row) {
				entries = append(entries, row)
			}
		}
		if len(entries) == 0 {
			return nil
		}
		return entries
	}
	written, posted := r.one(name)
	if f.Kind == KindBool {
		return posted && (written == "on" || written == "true")
	}
	if strings.TrimSpace(written) == "" {
		return nil
	}
	switch f.Kind {
	case KindWhole, KindNumber:
		n, err := strconv.ParseFloat(strings.TrimSpace(written), 64)
		if err != nil || strings.ContainsAny(written, "xXpP_iInN") {
			return written // which is no number, as the check says
		}
		return n
	case KindJSON:
		var object map[string]any
		if json.Unmarshal([]byte(written), &object) != nil || object == nil {
			return written
		}
		return object
	case KindList:
		var entries []any
		for line := range strings.SplitSeq(strings.ReplaceAll(written, "\r\n", "\n"), "\n") {
			if line = strings.TrimSpace(line); line != "" {
				entries = append(entries, simple(*f.Item, line))
			}
		}
		return entries
	}
	return written
}

// simple is one line of a list.
func simple(item Field, line string) any {
	if item.Kind == KindWhole || item.Kind == KindNumber {
		if n, err := strconv.ParseFloat(line, 64); err == nil {
			return n
		}
	}
	return line
}

// one takes the single value of a name.
func (r *formReader) one(name string) (string, bool) {
	values := r.posted[name]
	r.used[name] = true
	if len(values) > 1 {
		r.invalid.Add(name, "form.unreadable")
		return "", false
	}
	if len(values) == 0 {
		return "", false
	}
	return values[0], true
}

// rows lists the numbers that a list of objects was posted with, in order, up to the limit of a list.
func (r *formReader) rows(name string) []int {
	seen := map[int]bool{}
	for key := range r.posted {
		rest, ok := strings.CutPrefix(key, name+".")
		if !ok {
			continue
		}
		number, _, ok := strings.Cut(rest, ".")
		if n, err := strconv.Atoi(number); ok && err == nil && n >= 0 && n < maxEntries && strconv.Itoa(n) == number {
			seen[n] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// filled tells whether anything was entered: a box that is not ticked is nothing.
func filled(fields []Field, values map[string]any) bool {
	for name, value := range values {
		if f, _ := Find(fields, name); f.Kind == KindBool && value == false || f.Default != nil && fmt.Sprint(value) == fmt.Sprint(f.Default) {
			continue
		}
		return true
	}
	return false
}

// NewForm is the form that shows values: what a page starts with, or what is stored. Secrets stay empty.
func NewForm(fields []Field, values map[string]any) *web.Form {
	form := &web.Form{Values: map[string][]string{}}
	fill(form.Values, fields, values, "")
	return form
}

// Typed is the form as it was sent, with what is wrong with it; for an err that is no *app.Invalid it is nil, and err is for the
// error page. Secrets are not sent back.
func Typed(fields []Field, posted map[string][]string, err error) (*web.Form, error) {
	invalid, ok := err.(*app.Invalid)
	if !ok {
		return nil, err
	}
	form := &web.Form{Values: map[string][]string{}, Errors: invalid.Fields}
	for name, values := range posted {
		if !secretNamed(fields, name) {
			form.Values[name] = values
		}
	}
	return form, nil
}

// secretNamed tells whether a name of a form is one of a secret field or of a part of one. What is declared nowhere counts as one.
func secretNamed(fields []Field, name string) bool {
	first, rest, inner := strings.Cut(name, ".")
	f, ok := Find(fields, first)
	switch {
	case !ok || f.Secret:
		return true
	case !inner:
		return f.HasSecret()
	case f.Kind == KindList && f.Item.Kind == KindObject:
		_, rest, _ = strings.Cut(rest, ".")
		return secretNamed(f.Item.Fields, rest)
	}
	return secretNamed(f.Fields, rest)
}

func fill(into map[string][]string, fields []Field, values map[string]any, prefix string) {
	for _, f := range fields {
		value, name := values[f.Name], prefix+f.Name
		if f.Secret || value == nil {
			continue
		}
		switch {
		case f.Kind == KindObject:
			inner, _ := value.(map[string]any)
			fill(into, f.Fields, inner, name+".")
		case f.Kind == KindList && f.Item.Kind == KindObject:
			entries, _ := value.([]any)
			for i, entry := range entries {
				inner, _ := entry.(map[string]any)
				fill(into, f.Item.Fields, inner, fmt.Sprintf("%s.%d.", name, i))
			}
		default:
			if written := Written(f, value); written != "" {
				into[name] = []string{written}
			}
		}
	}
}

// Written is a value as it stands in an input or, with Mask for a secret, on a page.
func Written(f Field, value any) string {
	if f.Secret && value != nil {
		return Mask
	}
	switch value := value.(type) {
	case nil:
		return ""
	case string:
		return value
	case bool:
		if value {
			return "on"
		}
		return ""
	case float64:
		return strconv.FormatFloat(value, 'f', -1, 64)
	case []any:
		var lines []string
		for _, entry := range value {
			item := Field{}
			if f.Item != nil {
				item = *f.Item
			}
			lines = append(lines, Written(item, entry))
		}
		return strings.Join(lines, "\n")
	case map[string]any:
		encoded, err := json.MarshalIndent(Masked(f.Fields, value), "", "  ")
		if f.Kind == KindJSON {
			encoded, err = json.MarshalIndent(value, "", "  ")
		}
		if err != nil {
			return ""
		}
		return string(encoded)
	}
	return fmt.Sprint(value)
}

// Input is one input of a form, or with Parts a group of them, as views/provisioning/fields.html draws it.
type Input struct {
	Field   web.Field
	Parts   []Input
	Legend  string // of a group
	Hint    string // of a group
	Rows    bool   // a group of alike groups
	Entered bool   // of a group: something stands in it, so it is open
}

// Inputs prepares the inputs of fields for a view whose form holds the values. stored names the secret fields that have a value
// already, which an empty input keeps. prefix of ids keeps two forms of a page apart, "" for none.
func Inputs(view *web.View, fields []Field, stored map[string]bool, idPrefix string) []Input {
	return inputs(view, fields, stored, "", idPrefix)
}

func inputs(view *web.View, fields []Field, stored map[string]bool, prefix, idPrefix string) []Input {
	var all []Input
	for _, f := range fields {
		name := prefix + f.Name
		switch {
		case f.Kind == KindObject:
			group := Input{Legend: view.T(f.LabelKey()), Hint: hint(view, f), Parts: inputs(view, f.Fields, stored, name+".", idPrefix)}
			group.Entered = f.Required || entered(view, name+".")
			all = append(all, group)
		case f.Kind == KindList && f.Item.Kind == KindObject:
			group := Input{Legend: view.T(f.LabelKey()), Hint: hint(view, f), Rows: true}
			for i := range rowsOf(view, name) + spareRows {
				row := Input{Legend: view.T("actions.row", "Number", i+1), Parts: inputs(view, f.Item.Fields, stored, fmt.Sprintf("%s.%d.", name, i), idPrefix)}
				row.Entered = true
				group.Parts = append(group.Parts, row)
			}
			group.Entered = f.Required || entered(view, name+".")
			all = append(all, group)
		default:
			all = append(all, input(view, f, name, stored[name], idPrefix))
		}
	}
	return all
}

// entered tells whether a form holds or complains of anything below a name.
func entered(view *web.View, prefix string) bool {
	for name, values := range view.Form.Values {
		if strings.HasPrefix(name, prefix) && len(values) > 0 && values[0] != "" {
			return true
		}
	}
	return slices.ContainsFunc(view.Form.Errors, func(e app.FieldError) bool { return strings.HasPrefix(e.Field, prefix) })
}

func rowsOf(view *web.View, name string) int {
	most := 0
	for key := range view.Form.Values {
		if rest, ok := strings.CutPrefix(key, name+"."); ok {
			number, _, _ := strings.Cut(rest, ".")
			if n, err := strconv.Atoi(number); err == nil && n+1 > most && n < maxEntries {
				most = n + 1
			}
		}
	}
	return most
}

func hint(view *web.View, f Field) string {
	if view.Has(f.HelpKey()) {
		return view.T(f.HelpKey())
	}
	return ""
}

func input(view *web.View, f Field, name string, stored bool, idPrefix string) Input {
	pairs := []any{"label", f.LabelKey(), "autocomplete", "off", "id", idPrefix + strings.ReplaceAll(name, ".", "-")}
	set := func(attr string, value any) { pairs = append(pairs, attr, value) }
	if view.Has(f.HelpKey()) {
		set("hint", f.HelpKey())
	}
	switch {
	case f.Required && !(f.Secret && stored) && f.Kind != KindBool:
		set("required", true)
	case !f.Required && f.Kind != KindBool:
		set("optional", true)
	}
	switch f.Kind {
	case KindBool:
		set("type", "checkbox")
	case KindChoice:
		set("type", "select")
		var options []web.Option
		if !f.Required || f.Default == nil {
			options = append(options, web.Option{Label: view.T("actions.choose")})
		}
		for _, option := range f.Options {
			label := option
			if view.Has(f.OptionKey(option)) {
				label = view.T(f.OptionKey(option))
			}
			options = append(options, web.Option{Value: option, Label: label})
		}
		set("options", options)
	case KindWhole, KindNumber:
		set("type", "number")
		step := "1"
		if f.Kind == KindNumber {
			step = "any"
		}
		set("step", step)
		if f.Min != 0 || f.Max != 0 {
			set("min", strconv.FormatFloat(f.Min, 'f', -1, 64))
			set("max", strconv.FormatFloat(f.Max, 'f', -1, 64))
		}
	case KindLong, KindPEM, KindJSON, KindList:
		set("type", "textarea")
		set("rows", 4)
		if f.Kind == KindList && !view.Has(f.HelpKey()) {
			set("hint", "actions.one-a-line")
		}
	case KindEmail:
		set("type", "email")
	case KindDay:
		set("type", "date")
	case KindURL:
		set("type", "url")
	case KindPhone:
		set("type", "tel")
	}
	if f.Secret && f.Kind != KindBool {
		if f.Kind != KindLong && f.Kind != KindPEM && f.Kind != KindJSON {
			set("type", "password")
			pairs[3] = "new-password"
		}
		if stored {
			set("placeholder", view.T("actions.stored"))
		}
	}
	if f.Kind == KindText || f.Kind == KindLong {
		if f.Max != 0 {
			set("maxlength", strconv.Itoa(int(f.Max)))
		}
	}
	return Input{Field: view.Field(name, pairs...)}
}
