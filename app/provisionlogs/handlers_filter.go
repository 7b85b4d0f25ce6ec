package provisionlogs

import (
	"maps"
	"slices"
	"strings"
	"time"

	"portico/app/provisioning"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

// filterView is the filter's form.
type filterView struct {
	Text                      string
	Status, Category          []choice
	Action, Provider          []choice
	Client, Product, Actor    string
	Clients, Products, Actors []string
	From, To                  string
	Nots                      []string
	ZoneLabel                 string
}

// choice is an option of a select.
type choice struct {
	Value, Label string
	Chosen       bool
}

// chip is one filter in use.
type chip struct{ Name, Value, Href, Remove string }

// filterView fills the form.
func (h *Handlers) filterView(r *web.Request, f Filter, suggested map[string][]string) filterView {
	any := choice{"", r.T("provisionlogs.any"), false}
	view := filterView{
		Text: f.Text, Status: []choice{any}, Category: []choice{any}, Action: []choice{any}, Provider: []choice{any},
		Client: f.Is[FieldClient], Product: f.Is[FieldProduct], Actor: f.Is[FieldActor],
		Clients: suggested[FieldClient], Products: suggested[FieldProduct], Actors: suggested[FieldActor], ZoneLabel: r.Zone.String(),
	}
	for _, status := range Statuses {
		view.Status = append(view.Status, choice{status, r.T("provisionlogs.status-" + status), f.Is[FieldStatus] == status})
	}
	labels := map[string]string{}
	for _, category := range provisioning.Categories() {
		view.Category = append(view.Category, choice{category.Name, categoryName(r, category.Name), f.Is[FieldCategory] == category.Name})
		for _, function := range category.Functions {
			labels[function.Name] = r.T(function.LabelKey())
		}
	}
	for _, driver := range h.drivers.All() {
		view.Provider = append(view.Provider, choice{driver.Name(), driver.Title(), f.Is[FieldProvider] == driver.Name()})
		for _, category := range driver.Categories() {
			for _, function := range driver.Functions(category) {
				if labels[function.Name] == "" && r.Has(function.LabelKey()) {
					labels[function.Name] = r.T(function.LabelKey())
				}
			}
		}
	}
	actions := slices.SortedFunc(maps.Keys(labels), func(a, b string) int { return strings.Compare(labels[a]+"\x00"+a, labels[b]+"\x00"+b) })
	for _, name := range actions {
		view.Action = append(view.Action, choice{name, labels[name], f.Is[FieldAction] == name})
	}
	// What an address names and the lists lack stays chosen.
	for field, into := range map[string]*[]choice{FieldCategory: &view.Category, FieldAction: &view.Action, FieldProvider: &view.Provider} {
		if value := f.Is[field]; value != "" && !slices.ContainsFunc(*into, func(c choice) bool { return c.Chosen }) {
			*into = append(*into, choice{value, value, true})
		}
	}
	if !f.From.IsZero() {
		view.From = f.From.In(r.Zone).Format(localTime)
	}
	if !f.To.IsZero() {
		view.To = f.To.In(r.Zone).Format(localTime)
	}
	view.Nots = f.Values()["not"]
	return view
}

// valueName is what a value of a field is called on screen.
func (h *Handlers) valueName(c *fiber.Ctx, field, value string) (string, error) {
	r := web.Of(c)
	switch {
	case field == FieldStatus:
		return r.T("provisionlogs.status-" + value), nil
	case field == FieldCategory:
		return categoryName(r, value), nil
	case field == FieldProvider:
		return h.providerName(value), nil
	case field == FieldAction:
		for _, category := range provisioning.Categories() {
			if _, ok := h.drivers.AnyFunction(category.Name, value); ok {
				return h.actionName(r, category.Name, value), nil
			}
		}
		return value, nil
	case field == FieldActor && value == System:
		return r.T("provisionlogs.system"), nil
	}
	return h.service.NameOf(c.UserContext(), r.Viewer, field, value)
}

// chips shows the filters in use, in the form's order, but for what a section is about.
func (h *Handlers) chips(c *fiber.Ctx, at place, f Filter) ([]chip, error) {
	r := web.Of(c)
	var all []chip
	add := func(name, value string, without Filter) {
		all = append(all, chip{name, value, at.list(without), r.T("provisionlogs.remove", "Name", name, "Value", value)})
	}
	if f.Text != "" {
		without := f
		without.Text = ""
		add(r.T("provisionlogs.text"), f.Text, without)
	}
	for _, field := range fields {
		if value := f.Is[field]; value != "" && field != at.field {
			name, err := h.valueName(c, field, value)
			if err != nil {
				return nil, err
			}
			add(r.T("provisionlogs."+field), name, f.with(field, ""))
		}
		for _, value := range f.Not[field] {
			name, err := h.valueName(c, field, value)
			if err != nil {
				return nil, err
			}
			add(r.T("provisionlogs.not-"+field), name, f.without(field, value))
		}
	}
	if !f.From.IsZero() {
		without := f
		without.From = time.Time{}
		add(r.T("provisionlogs.from"), r.DateTime(f.From), without)
	}
	if !f.To.IsZero() {
		without := f
		without.To = time.Time{}
		add(r.T("provisionlogs.to"), r.DateTime(f.To), without)
	}
	return all, nil
}
