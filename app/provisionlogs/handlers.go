package provisionlogs

import (
	"errors"
	"net/url"
	"slices"
	"strings"

	"portico/app"
	"portico/app/live"
	"portico/app/provisioning"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

// Handlers are **Provisioning** and its **Logs** in the admin area.
type Handlers struct {
	service *Service
	drivers *provisioning.Registry
	hub     *live.Hub
}

// NewHandlers returns the handlers of a Service. The registry gives providers and actions their names.
func NewHandlers(s *Service, drivers *provisioning.Registry, hub *live.Hub) *Handlers {
	return &Handlers{s, drivers, hub}
}

const (
	overviewPath = "/admin/provisioning"
	logsPath     = "/admin/provisioning/logs"
	settingsPath = "/admin/provisioning/logs/settings"
)

// parts are what htmx may ask for of the page, and of a Section.
var parts = []string{"provisionlogs/list", "provisionlogs/histogram", "provisionlogs/panel"}

const (
	listTarget      = "provisionlogs-list"
	histogramTarget = "provisionlogs-histogram"
	panelTarget     = "provisionlogs-panel"
)

// part is the id of the part that htmx asks for, "" for the whole page.
func part(c *fiber.Ctx) string {
	target := c.Get("HX-Target")
	if !web.WantsPart(c) || !slices.ContainsFunc(parts, func(name string) bool { return web.PartID(name) == target }) {
		return ""
	}
	return target
}

// listView is what views/provisionlogs/list.html shows.
type listView struct {
	Base     string  // path of the page
	Scope    *choice // of a section: the client or product it is about, by the field's name and its id
	Query    string  // the filter, encoded
	Form     filterView
	Chips    []chip
	Clear    string
	Rows     []row
	Chart    *chart
	Next     string // address of the next page
	Further  bool
	Since    string // what Changes goes on from; "" where nothing new can come
	Filtered bool
	Swapped  bool // the histogram comes along, since the filter changed
	Kept     []keptRow
	CSV      string
	Lines    string
	Errors   string // address with failed runs only, or without that if it is so now
	Panel    *panel
	All      string           // of a section: the same filter on the page of all logs
	Wrong    []app.FieldError // what of the address can't be read
}

// Checked is the view with what is wrong with the filter as the errors of its form: the page around a section has forms of its own.
func (l listView) Checked(view *web.View) *web.View {
	inner := *view
	inner.Form = &web.Form{Errors: l.Wrong, Prefix: "logs-"}
	return &inner
}

// keptRow is a kept filter.
type keptRow struct {
	Kept
	Href      string
	Removable bool
}

// changesView is what views/provisionlogs/changes.html shows.
type changesView struct {
	Rows  []row
	Gone  string
	Since string
	Reset bool
}

func queryOf(c *fiber.Ctx) url.Values {
	query, err := url.ParseQuery(string(c.Request().URI().QueryString()))
	if err != nil {
		query = url.Values{} // what can't be read asks for nothing
	}
	return query
}

// place is where the logs are shown: on the page of all of them, or in a Section.
type place struct {
	base      string // path of the page
	field, id string // of a section: the client or product it is about, by the field's name and its id
}

// allLogs is the page of all logs.
var allLogs = place{base: logsPath}

// anchor is what a section's addresses end in where they load the page anew: it stands far down on it.
func (p place) anchor() string {
	if p.field == "" {
		return ""
	}
	return "#logs"
}

// list is the address of the list.
func (p place) list(f Filter) string { return address(p.base, f.Values()) + p.anchor() }

// run is the address of the list with one run's panel beside it.
func (p place) run(id string, f Filter) string {
	query := f.Values()
	if p.field == "" {
		return address(p.base+"/"+id, query)
	}
	query.Set("run", id)
	return address(p.base, query)
}

// holds tells whether a run belongs to the place.
func (p place) holds(run Run) bool {
	switch p.field {
	case FieldProduct:
		return run.ProductID == p.id
	case FieldClient:
		return run.AccountID == p.id
	}
	return true
}

// Index answers GET /admin/provisioning/logs: the filter as Filter.Values has it, ?before= the key of a later page, and ?since= for
// what changed since a page was read.
func (h *Handlers) Index(c *fiber.Ctx) error { return h.page(c, "") }

// Show answers GET /admin/provisioning/logs/:id: the list with one run's panel beside it; htmx gets the panel alone.
func (h *Handlers) Show(c *fiber.Ctx) error {
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	return h.page(c, id)
}

// page answers with the page of all logs.
func (h *Handlers) page(c *fiber.Ctx, open string) error {
	view, answered, err := h.view(c, allLogs, open)
	if err != nil || answered {
		return err
	}
	page := web.Page{View: "provisionlogs/index", Frame: web.FrameAdmin, Title: app.Text{Key: "provisionlogs.title"}, Section: "logs", Data: view, Parts: parts}
	if view.Panel != nil {
		page.Title = app.Text{Key: "provisionlogs.run-title", Args: map[string]any{"Action": view.Panel.ActionName, "Product": view.Panel.Product()}}
	}
	return web.Render(c, page)
}

// view is the logs at a place under the filter of the address, with the panel of the run open beside the list ("" for none), or, for
// htmx, what it asks for of that. A filter that can't be read makes the answer's status 422, and shows no runs. answered says that the
// request asked for what changed since a page was read, and got that.
func (h *Handlers) view(c *fiber.Ctx, at place, open string) (view listView, answered bool, err error) {
	r := web.Of(c)
	query := queryOf(c)
	filter, err := ParseFilter(query, r.Zone)
	if at.field != "" {
		filter = filter.with(at.field, at.id)
	}
	view = listView{Base: at.base, Query: filter.Values().Encode()}
	if at.field != "" {
		view.Scope, view.All = &choice{Label: at.field, Value: at.id}, allLogs.list(filter)
	}
	var invalid *app.Invalid
	if errors.As(err, &invalid) {
		c.Status(fiber.StatusUnprocessableEntity)
		view.Wrong, view.Form = invalid.Fields, h.filterView(r, filter, nil)
		view.Form.From, view.Form.To = query.Get("from"), query.Get("to")
		return view, false, nil
	}
	if query.Has("since") {
		return view, true, h.changes(c, at, filter, query.Get("since"))
	}
	if open != "" {
		details, err := h.service.Get(c.UserContext(), r.Viewer, open)
		if err != nil {
			return view, false, err
		}
		if !at.holds(details.Run) {
			return view, false, app.ErrNotFound
		}
		view.Panel = h.panel(r, at, details, filter)
		if part(c) == panelTarget {
			c.Set("HX-Push-Url", at.run(open, filter))
			return view, false, nil
		}
	}
	return view, false, h.list(c, at, filter, query.Get("before"), &view)
}

// list fills a view with the filtered list, or, for htmx, with what it asks for of it.
func (h *Handlers) list(c *fiber.Ctx, at place, filter Filter, before string, view *listView) error {
	r := web.Of(c)
	asked := part(c)
	view.Swapped = asked == listTarget
	view.Filtered = len(filter.with(at.field, "").Values()) > 0
	var err error
	if view.Chart, err = h.chart(c, at, filter); err != nil || asked == histogramTarget {
		return err
	}
	found, err := h.service.List(c.UserContext(), r.Viewer, filter, before)
	if err != nil {
		return err
	}
	view.Rows = h.rows(r, at, found.Runs, filter)
	for i := range view.Rows {
		view.Rows[i].Current = view.Panel != nil && view.Rows[i].ID == view.Panel.ID
	}
	if view.Chips, err = h.chips(c, at, filter); err != nil {
		return err
	}
	view.Clear = at.list(Filter{}.with(at.field, at.id))
	if found.Next != "" {
		query := filter.Values()
		query.Set("before", found.Next)
		view.Next, view.Further = address(at.base, query), found.Further
	}
	if before == "" {
		view.Since = found.Snapshot
	}
	view.CSV, view.Lines = address(logsPath+"/export.csv", filter.Values()), address(logsPath+"/export.jsonl", filter.Values())
	failed := filter.with(FieldStatus, "failed")
	if filter.Is[FieldStatus] == "failed" {
		failed = filter.with(FieldStatus, "")
	}
	view.Errors = at.list(failed)
	if view.Swapped {
		// The address in the bar is the filter's own, which means the same to everybody.
		pushed := address(at.base, filter.Values())
		if view.Panel != nil {
			pushed = at.run(view.Panel.ID, filter)
		}
		c.Set("HX-Push-Url", pushed)
		return nil
	}
	suggested, err := h.service.Names(c.UserContext(), r.Viewer)
	if err != nil {
		return err
	}
	view.Form = h.filterView(r, filter, suggested)
	view.Kept, err = h.kept(c)
	return err
}

// kept lists the kept filters that the viewer may use.
func (h *Handlers) kept(c *fiber.Ctx) ([]keptRow, error) {
	v := web.Viewer(c)
	kept, err := h.service.KeptFilters(c.UserContext(), v)
	var rows []keptRow
	for _, k := range kept {
		rows = append(rows, keptRow{k, logsPath + "?" + k.Query, k.Own || v.Role == app.RoleAdmin})
	}
	return rows, err
}

func address(path string, query url.Values) string {
	if encoded := query.Encode(); encoded != "" {
		return path + "?" + encoded
	}
	return path
}

// changes answers with what became of runs since a page was read, for the page's script.
func (h *Handlers) changes(c *fiber.Ctx, at place, filter Filter, since string) error {
	r := web.Of(c)
	found, err := h.service.Changes(c.UserContext(), r.Viewer, filter, since)
	if err != nil {
		return err
	}
	view := changesView{Rows: h.rows(r, at, found.Runs, filter), Gone: strings.Join(found.Gone, " "), Since: found.Snapshot, Reset: found.Reset}
	return web.Render(c, web.Page{View: "provisionlogs/changes", Frame: web.FrameAdmin, Title: app.Text{Key: "provisionlogs.title"}, Section: "logs", Data: view})
}

// Live answers GET /admin/provisioning/logs/live, the event stream of the logs.
func (h *Handlers) Live(c *fiber.Ctx) error {
	r := web.Of(c)
	return live.Stream(c, h.hub, live.Watch{Topics: []string{Topic}, UserID: r.Viewer.UserID, SessionID: r.Viewer.SessionID, Allowed: r.Still})
}
