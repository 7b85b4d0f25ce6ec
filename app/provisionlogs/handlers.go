package provisionlogs

import (
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
	All      string // of a section: the same filter on the page of all logs
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

// Index answers GET /admin/provisioning/logs: the filter as Filter.Values has it, ?before= the key of a later page, and ?since= for
// what changed since a page was read.
func (h *Handlers) Index(c *fiber.Ctx) error {
	r := web.Of(c)
	query := queryOf(c)
	page := web.Page{View: "provisionlogs/index", Frame: web.FrameAdmin, Title: app.Text{Key: "provisionlogs.title"}, Section: "logs", Parts: parts}
	filter, err := ParseFilter(query, r.Zone)
	if err != nil {
		view := listView{Base: logsPath, Form: h.filterView(r, filter, nil)}
		view.Form.From, view.Form.To = query.Get("from"), query.Get("to")
		page.Data = view
		return web.Rerender(c, err, page, struct{}{})
	}
	if query.Has("since") {
		return h.changes(c, filter, query.Get("since"), logsPath)
	}
	view, err := h.list(c, filter, query.Get("before"), logsPath)
	if err != nil {
		return err
	}
	page.Data = view
	return web.Render(c, page)
}

// list is the filtered list as a view, or, for htmx, what it asks for of it.
func (h *Handlers) list(c *fiber.Ctx, filter Filter, before, base string) (listView, error) {
	r := web.Of(c)
	asked := part(c)
	view := listView{Base: base, Query: filter.Values().Encode(), Swapped: asked == listTarget}
	view.Filtered = view.Query != ""
	var err error
	if view.Chart, err = h.chart(c, filter, base); err != nil || asked == histogramTarget {
		return view, err
	}
	found, err := h.service.List(c.UserContext(), r.Viewer, filter, before)
	if err != nil {
		return view, err
	}
	view.Rows = h.rows(r, found.Runs, filter)
	if view.Chips, err = h.chips(c, filter, base); err != nil {
		return view, err
	}
	view.Clear = base
	if found.Next != "" {
		query := filter.Values()
		query.Set("before", found.Next)
		view.Next, view.Further = address(base, query), found.Further
	}
	if before == "" {
		view.Since = found.Snapshot
	}
	view.CSV, view.Lines = address(logsPath+"/export.csv", filter.Values()), address(logsPath+"/export.jsonl", filter.Values())
	failed := filter.with(FieldStatus, "failed")
	if filter.Is[FieldStatus] == "failed" {
		failed = filter.with(FieldStatus, "")
	}
	view.Errors = address(base, failed.Values())
	if view.Swapped {
		// The address in the bar is the filter's own, which means the same to everybody.
		c.Set("HX-Push-Url", address(base, filter.Values()))
		return view, nil
	}
	suggested, err := h.service.Names(c.UserContext(), r.Viewer)
	if err != nil {
		return view, err
	}
	view.Form = h.filterView(r, filter, suggested)
	view.Kept, err = h.kept(c)
	return view, err
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
func (h *Handlers) changes(c *fiber.Ctx, filter Filter, since, base string) error {
	r := web.Of(c)
	found, err := h.service.Changes(c.UserContext(), r.Viewer, filter, since)
	if err != nil {
		return err
	}
	view := changesView{Rows: h.rows(r, found.Runs, filter), Gone: strings.Join(found.Gone, " "), Since: found.Snapshot, Reset: found.Reset}
	return web.Render(c, web.Page{View: "provisionlogs/changes", Frame: web.FrameAdmin, Title: app.Text{Key: "provisionlogs.title"}, Section: "logs", Data: view})
}

// Live answers GET /admin/provisioning/logs/live, the event stream of the logs.
func (h *Handlers) Live(c *fiber.Ctx) error {
	r := web.Of(c)
	return live.Stream(c, h.hub, live.Watch{Topics: []string{Topic}, UserID: r.Viewer.UserID, SessionID: r.Viewer.SessionID, Allowed: r.Still})
}
