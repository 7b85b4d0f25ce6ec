package audit

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"portico/app"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

// Handlers are the page **Activity** under **Settings**.
type Handlers struct{ service *Service }

// NewHandlers returns the handlers of a Service.
func NewHandlers(s *Service) *Handlers { return &Handlers{s} }

const activityPath = "/admin/settings/activity"

// filterForm is the filter as it stands in the address.
type filterForm struct {
	Text       string `form:"q"`
	Person     string `form:"person"`
	Action     string `form:"action"`
	ObjectType string `form:"object"`
	From       string `form:"from"`
	To         string `form:"to"`
}

// activityView is what views/audit/activity.html shows.
type activityView struct {
	Actions     []web.Option
	ObjectTypes []web.Option
	Entries     []Row
	Chips       []chip
	Next        string // address of the next page, "" on the last one
	Since       string // the day from which text was searched for by default, "" where somebody chose it
}

// chip is one filter in use.
type chip struct {
	Name, Value string
	Href        string // the page without it
	Remove      string // what the link to there says
}

// Row is a Recorded in words.
type Row struct {
	Recorded
	Deed    string
	Object  string // what kind of thing
	Changes []changeRow
}

// changeRow is one detail. Before is set only where the detail is a change.
type changeRow struct {
	Name          string
	Before, After string
	Changed       bool
}

// Index answers GET /admin/settings/activity: the filter as Filter.Values has it, and ?before=, the key of a later page.
func (h *Handlers) Index(c *fiber.Ctx) error {
	r := web.Of(c)
	before, err := ParseKey(c.Query("before"))
	if err != nil {
		return err
	}
	actions, objectTypes, err := h.service.Choices(c.UserContext(), r.Viewer)
	if err != nil {
		return err
	}
	view := activityView{Actions: choices(r, actions, actionWord), ObjectTypes: choices(r, objectTypes, objectWord)}
	page := web.Page{
		View: "audit/activity", Frame: web.FrameAdmin, Title: app.Text{Key: "store.tab-activity"}, Section: "settings",
		Parts: []string{"audit/entries"},
	}
	typed := filterForm{c.Query("q"), c.Query("person"), c.Query("action"), c.Query("object"), c.Query("from"), c.Query("to")}
	filter, err := ParseFilter(func(name string) string { return c.Query(name) }, r.Zone, r.Now)
	if err != nil {
		page.Data = view
		return web.Rerender(c, err, page, typed)
	}
	entries, next, err := h.service.Activity(c.UserContext(), r.Viewer, filter, before)
	if err != nil {
		return err
	}
	if view.Entries, err = InWords(r, entries); err != nil {
		return err
	}
	query := filter.Values(r.Zone)
	if typed.From == "" && filter.Text != "" {
		view.Since = r.Date(filter.From)
		query.Del("from")
	}
	view.Chips = chips(r, filter, query)
	if next > 0 {
		query.Set("before", strconv.FormatInt(next, 10))
		view.Next = activityPath + "?" + query.Encode()
	}
	page.Data, page.Form = view, web.NewForm(typed)
	return web.Render(c, page)
}

// chips shows the filters in use, in the form's order. query is the filter as it stands in the address.
func chips(r *web.Request, f Filter, query url.Values) []chip {
	var all []chip
	add := func(name, label, value string) {
		if !query.Has(name) {
			return
		}
		without := maps.Clone(query)
		delete(without, name)
		href := activityPath
		if len(without) > 0 {
			href += "?" + without.Encode()
		}
		label = r.T(label)
		all = append(all, chip{Name: label, Value: value, Href: href, Remove: r.T("activity.remove", "Name", label, "Value", value)})
	}
	add("q", "activity.text", f.Text)
	add("person", "activity.person", f.Person)
	add("action", "activity.action", actionWord(r, f.Action))
	add("object", "activity.object", objectWord(r, f.ObjectType))
	add("from", "activity.from", r.Date(f.From))
	add("to", "activity.to", r.Date(f.To.AddDate(0, 0, -1)))
	return all
}

// ParseKey reads the key of a later page from an address: 0 for "". Returns app.ErrNotFound for what is none.
func ParseKey(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	key, err := strconv.ParseInt(text, 10, 64)
	if err != nil || key < 1 {
		return 0, app.ErrNotFound
	}
	return key, nil
}

// choices are options for a filter: every value, after one that filters nothing.
func choices(r *web.Request, values []string, word func(*web.Request, string) string) []web.Option {
	all := []web.Option{{Value: "", Label: r.T("activity.any")}}
	for _, value := range values {
		all = append(all, web.Option{Value: value, Label: word(r, value)})
	}
	slices.SortStableFunc(all[1:], func(a, b web.Option) int { return strings.Compare(a.Label, b.Label) })
	return all
}

func actionWord(r *web.Request, action string) string { return word(r, "activity."+action, action) }
func objectWord(r *web.Request, objectType string) string {
	return word(r, "activity.object-"+objectType, objectType)
}

// word is the sentence of the catalogue, or where it has none, the name from the code.
func word(r *web.Request, key, name string) string {
	if r.Has(key) {
		return r.T(key)
	}
	return name
}

// InWords puts entries into words, for the template audit/rows.
func InWords(r *web.Request, entries []Recorded) ([]Row, error) {
	var rows []Row
	for _, entry := range entries {
		row, err := wordsOf(r, entry)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func wordsOf(r *web.Request, entry Recorded) (Row, error) {
	row := Row{Recorded: entry, Deed: actionWord(r, entry.Action), Object: objectWord(r, entry.ObjectType)}
	var details map[string]json.RawMessage
	if err := json.Unmarshal(entry.Details, &details); err != nil {
		return Row{}, fmt.Errorf("read the details of audit entry %d: %w", entry.ID, err)
	}
	for _, name := range slices.Sorted(maps.Keys(details)) {
		change, err := detailInWords(r, name, details[name])
		if err != nil {
			return Row{}, fmt.Errorf("read the details of audit entry %d: %w", entry.ID, err)
		}
		row.Changes = append(row.Changes, change)
	}
	return row, nil
}

func detailInWords(r *web.Request, name string, raw json.RawMessage) (changeRow, error) {
	row := changeRow{Name: word(r, "activity.field-"+strings.ToLower(name), name)}
	var value any
	if err := json.Unmarshal(raw, &value); err != nil {
		return changeRow{}, err
	}
	if pair, ok := value.(map[string]any); ok && len(pair) == 2 {
		before, wasThere := pair["before"]
		after, isThere := pair["after"]
		if wasThere && isThere {
			row.Before, row.After, row.Changed = valueInWords(r, before), valueInWords(r, after), true
			return row, nil
		}
	}
	row.After = valueInWords(r, value)
	return row, nil
}

func valueInWords(r *web.Request, value any) string {
	switch value := value.(type) {
	case nil:
		return r.T("activity.nothing")
	case bool:
		if value {
			return r.T("activity.yes")
		}
		return r.T("activity.no")
	case string:
		if value == "" {
			return r.T("activity.nothing")
		}
		return value
	case float64:
		return strconv.FormatFloat(value, 'f', -1, 64)
	case []any:
		if len(value) == 0 {
			return r.T("activity.nothing")
		}
		words := make([]string, len(value))
		for i, item := range value {
			words[i] = valueInWords(r, item)
		}
		return strings.Join(words, ", ")
	default:
		text, _ := json.Marshal(value) // it was JSON a moment ago
		return string(text)
	}
}
