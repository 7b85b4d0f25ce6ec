package provisionlogs

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

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

// Parts of the page, for the page itself and for pages that show a Section.
var Parts = []string{"provisionlogs/list", "provisionlogs/histogram", "provisionlogs/panel"}

const panelTarget = "provisionlogs-panel"

// listView is what views/provisionlogs/list.html shows.
type listView struct {
	Base     string // path of the page
	Scoped   bool   // of one client or product: the page is another's
	Query    string // the filter, encoded
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

// row is a Run in words.
type row struct {
	Run
	Href        string
	ISO, Exact  string
	Clock       string
	StatusName  string
	ActionName  string
	Provider    string
	Took        string
	MessageText string
	Message     []Piece
	ProductText []Piece
	Actor       string
	ActorKey    string // its value in a filter
	Current     bool
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
	page := web.Page{View: "provisionlogs/index", Frame: web.FrameAdmin, Title: app.Text{Key: "provisionlogs.title"}, Section: "logs", Parts: Parts}
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
	part := ""
	if web.WantsPart(c) {
		part = c.Get("HX-Target")
	}
	view := listView{Base: base, Query: filter.Values().Encode(), Swapped: part == "provisionlogs-list"}
	view.Filtered = view.Query != ""
	var err error
	if view.Chart, err = h.chart(c, filter, base); err != nil || part == "provisionlogs-histogram" {
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
	if part == "provisionlogs-list" {
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

func (h *Handlers) rows(r *web.Request, runs []Run, filter Filter) []row {
	looked := lookedFor(filter.Text)
	rows := make([]row, len(runs))
	query := filter.Values()
	for i, run := range runs {
		at := run.CreatedAt.In(r.Zone)
		rows[i] = row{
			Run: run, Href: address(logsPath+"/"+run.ID, query), ISO: at.Format(time.RFC3339), Exact: exact(r, at), Clock: clock(r, at),
			StatusName: r.T("provisionlogs.status-" + run.Status), ActionName: h.actionName(r, run.Category, run.Action), Provider: h.providerName(run.Driver),
			MessageText: messageOf(r, run), ProductText: highlight(run.Product(), looked),
			Actor: run.ActorName, ActorKey: System,
		}
		rows[i].Message = highlight(rows[i].MessageText, looked)
		if run.ActorID != nil {
			rows[i].ActorKey = *run.ActorID
		} else {
			rows[i].Actor = r.T("provisionlogs.system")
		}
		if run.DurationMS != nil {
			rows[i].Took = took(r, time.Duration(*run.DurationMS)*time.Millisecond)
		}
	}
	return rows
}

// messageOf is what a run says: where it stands if it is not final, and that an outcome is unknown.
func messageOf(r *web.Request, run Run) string {
	switch {
	case run.Status == "retrying" && run.NextAt != nil:
		said := r.T("provisionlogs.retrying", "Attempt", run.Attempts, "Of", run.MaxAttempts, "At", run.NextAt.In(r.Zone).Format("15:04:05"))
		if run.Message != "" {
			said = run.Message + " · " + said
		}
		return said
	case run.Status == "running" && run.Waiting && run.NextAt != nil:
		return r.T("provisionlogs.waiting", "At", run.NextAt.In(r.Zone).Format("15:04:05"))
	case run.Status == "failed" && run.UnknownOutcome:
		if run.Message == "" {
			return r.T("provisionlogs.unknown")
		}
		return r.T("provisionlogs.unknown") + ": " + run.Message
	}
	return run.Message
}

// actionName is what people call an action; one that no driver declares any more keeps its own name.
func (h *Handlers) actionName(r *web.Request, category, action string) string {
	if f, ok := h.drivers.AnyFunction(category, action); ok && r.Has(f.LabelKey()) {
		return r.T(f.LabelKey())
	}
	return action
}

func (h *Handlers) providerName(driver string) string {
	if d, err := h.drivers.Driver(driver); err == nil {
		return d.Title()
	}
	return driver
}

func categoryName(r *web.Request, name string) string {
	if category, ok := provisioning.CategoryOf(name); ok && r.Has(category.LabelKey()) {
		return r.T(category.LabelKey())
	}
	return name
}

// clock is a moment as a log shows it: the time of today, with the day before that.
func clock(r *web.Request, at time.Time) string {
	if at.Format(time.DateOnly) == r.Now.In(r.Zone).Format(time.DateOnly) {
		return at.Format("15:04:05")
	}
	return day(r, at) + " " + at.Format("15:04")
}

func day(r *web.Request, at time.Time) string {
	return r.T("provisionlogs.day", "Day", at.Day(), "Month", r.T(fmt.Sprintf("provisionlogs.month-%d", int(at.Month()))))
}

func exact(r *web.Request, at time.Time) string {
	return r.T("format.datetime", "Date", r.Date(at), "Time", at.Format("15:04:05"))
}

// took writes a duration: seconds and tenths, or minutes.
func took(r *web.Request, d time.Duration) string {
	if d >= 2*time.Minute {
		return r.T("provisionlogs.minutes", "Minutes", r.Number(int(d.Round(time.Minute)/time.Minute)))
	}
	tenths := int(d.Round(100*time.Millisecond) / (100 * time.Millisecond))
	return r.T("provisionlogs.seconds", "Seconds", fmt.Sprintf("%s%s%d", r.Number(tenths/10), r.T("format.decimal"), tenths%10))
}

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

// chips shows the filters in use, in the form's order.
func (h *Handlers) chips(c *fiber.Ctx, f Filter, base string) ([]chip, error) {
	r := web.Of(c)
	var all []chip
	add := func(name, value string, without Filter) {
		all = append(all, chip{name, value, address(base, without.Values()), r.T("provisionlogs.remove", "Name", name, "Value", value)})
	}
	if f.Text != "" {
		without := f
		without.Text = ""
		add(r.T("provisionlogs.text"), f.Text, without)
	}
	for _, field := range fields {
		if value := f.Is[field]; value != "" {
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

// chart is a Histogram drawn.
type chart struct {
	Bars             []drawnBar
	Width, Height    int
	Succeeded, Open  int
	Failed, Off      int
	Range            string
	Ticks            []string
	Label            string
	Start            string // RFC 3339, with Step the scale of what is dragged over
	StepSeconds      int
	Newest, Late     bool
	MostBarred       int
	Rows             []drawnBar // those that are not empty, for the table
	FromName, ToName string
}

// drawnBar is one bar: rectangles from the bottom up.
type drawnBar struct {
	X, Width           string
	Rects              []rect
	When, Href         string
	Succeeded, Open    int
	Failed, Off, Total int
}

type rect struct{ Class, Y, Height string }

const (
	chartWidth  = 720
	chartHeight = 64
)

func (h *Handlers) chart(c *fiber.Ctx, f Filter, base string) (*chart, error) {
	r := web.Of(c)
	now := r.Now
	histogram, err := h.service.Histogram(c.UserContext(), r.Viewer, f, now)
	if err != nil {
		return nil, err
	}
	return draw(r, histogram, func(from, to time.Time) string {
		picked := f
		picked.From, picked.To = from, to
		return address(base, picked.Values())
	}), nil
}

// draw lays a histogram out in a box of 720 by 64. href leads to what one bar stands for.
func draw(r *web.Request, h Histogram, href func(from, to time.Time) string) *chart {
	totals := h.Totals()
	ch := &chart{
		Width: chartWidth, Height: chartHeight, Succeeded: totals["succeeded"], Failed: totals["failed"], Off: totals["cancelled"],
		Open: totals["queued"] + totals["running"] + totals["retrying"], Start: h.Start.Format(time.RFC3339), StepSeconds: int(h.Step / time.Second),
		Newest: h.Newest, Late: h.Late, MostBarred: mostBarred,
	}
	highest := 1
	for _, bar := range h.Bars {
		highest = max(highest, bar.Sum())
	}
	slot := float64(chartWidth) / float64(max(len(h.Bars), 1))
	number := func(f float64) string { return strings.TrimSuffix(fmt.Sprintf("%.1f", f), ".0") }
	long := h.End.Sub(h.Start) > 36*time.Hour
	when := func(at time.Time) string {
		at = at.In(r.Zone)
		if h.Step >= 24*time.Hour {
			return day(r, at)
		}
		return day(r, at) + " " + at.Format("15:04")
	}
	for i, bar := range h.Bars {
		drawn := drawnBar{
			X: number(float64(i)*slot + 0.1*slot), Width: number(slot * 0.8), When: when(bar.At), Total: bar.Sum(),
			Succeeded: bar.Runs["succeeded"], Failed: bar.Runs["failed"], Off: bar.Runs["cancelled"],
			Open: bar.Runs["queued"] + bar.Runs["running"] + bar.Runs["retrying"],
		}
		y := float64(chartHeight) - 0.6
		for _, part := range []struct {
			class string
			n     int
		}{{"fail", drawn.Failed}, {"wait", drawn.Open}, {"off", drawn.Off}, {"ok", drawn.Succeeded}} {
			if part.n == 0 {
				continue
			}
			height := max(1, float64(part.n)/float64(highest)*56)
			y -= height
			drawn.Rects = append(drawn.Rects, rect{part.class, number(y), number(height)})
		}
		if drawn.Total > 0 {
			drawn.Href = href(bar.At, bar.At.Add(h.Step))
			ch.Rows = append(ch.Rows, drawn)
		}
		ch.Bars = append(ch.Bars, drawn)
	}
	for i := range 5 {
		at := h.Start.Add(h.End.Sub(h.Start) * time.Duration(i) / 4).In(r.Zone)
		switch {
		case long:
			ch.Ticks = append(ch.Ticks, day(r, at))
		case i == 0 || at.Day() != h.Start.Add(h.End.Sub(h.Start)*time.Duration(i-1)/4).In(r.Zone).Day():
			ch.Ticks = append(ch.Ticks, day(r, at)+" "+at.Format("15:04"))
		default:
			ch.Ticks = append(ch.Ticks, at.Format("15:04"))
		}
	}
	ch.FromName, ch.ToName = when(h.Start), when(h.End)
	ch.Range = span(r, h.End.Sub(h.Start))
	ch.Label = r.T("provisionlogs.chart", "From", ch.FromName, "To", ch.ToName, "Succeeded", r.Number(ch.Succeeded), "Open", r.Number(ch.Open), "Failed", r.Number(ch.Failed), "Cancelled", r.Number(ch.Off))
	return ch
}

// span writes how long a range is.
func span(r *web.Request, d time.Duration) string {
	switch {
	case d < 2*time.Hour:
		return r.T("provisionlogs.span-minutes", "Count", int(d.Round(time.Minute)/time.Minute))
	case d < 48*time.Hour:
		return r.T("provisionlogs.span-hours", "Count", int(d.Round(time.Hour)/time.Hour))
	default:
		return r.T("provisionlogs.span-days", "Count", int(d.Round(24*time.Hour)/(24*time.Hour)))
	}
}

// panel is one run beside the list.
type panel struct {
	row
	TicketID            *string
	Close               string
	Why                 string // the detailed message
	Tries               []tryRow
	Facts               []fact
	Params              []fact
	Changed             []changed
	Picks               []pick
	Debug               bool // may be shown
	CopyText            string
	CanRetry, CanCancel bool
	Token               string // of the form that retries
}

// tryRow is an Attempt in words.
type tryRow struct {
	Attempt
	Icon             string
	Bad              bool
	ISO, Exact, Time string
	Took             string
	Said, Detail     string
	Debug            string // pretty JSON
	Large            bool   // shortened; the whole is a download
	File             string // address of the whole
}

// fact is a label and a value.
type fact struct{ Label, Value, Href string }

// changed is a field before and after.
type changed struct{ Label, Before, After string }

// pick filters by one value of the run.
type pick struct{ Name, Value, Only, Not string }

// debugShown is how much of an attempt's debug data the panel shows, in bytes.
const debugShown = 32 << 10

// Show answers GET /admin/provisioning/logs/:id: the list with one run's panel beside it; htmx gets the panel alone.
func (h *Handlers) Show(c *fiber.Ctx) error {
	r := web.Of(c)
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	filter, err := ParseFilter(queryOf(c), r.Zone)
	if err != nil {
		filter = Filter{}
	}
	details, err := h.service.Get(c.UserContext(), r.Viewer, id)
	if err != nil {
		return err
	}
	view := listView{Base: logsPath}
	if !web.WantsPart(c) || c.Get("HX-Target") != panelTarget {
		if view, err = h.list(c, filter, "", logsPath); err != nil {
			return err
		}
		for i := range view.Rows {
			view.Rows[i].Current = view.Rows[i].ID == id
		}
	} else {
		c.Set("HX-Push-Url", address(logsPath+"/"+id, filter.Values()))
	}
	view.Panel = h.panel(r, details, filter)
	return web.Render(c, web.Page{
		View: "provisionlogs/index", Frame: web.FrameAdmin, Section: "logs", Data: view, Parts: Parts,
		Title: app.Text{Key: "provisionlogs.run-title", Args: map[string]any{"Action": view.Panel.ActionName, "Product": details.Product()}},
	})
}

func (h *Handlers) panel(r *web.Request, d Details, f Filter) *panel {
	p := &panel{row: h.rows(r, []Run{d.Run}, Filter{Text: f.Text})[0], TicketID: d.TicketID, Close: address(logsPath, f.Values())}
	p.Debug = (&web.View{Request: r}).Can("logs", "debug")
	function, known := h.drivers.AnyFunction(d.Category, d.Action)
	for i, try := range d.Tries {
		p.Tries = append(p.Tries, h.try(r, d, try))
		if i == len(d.Tries)-1 {
			p.Why = try.Detail
		}
	}
	add := func(key, value string) {
		if value != "" {
			p.Facts = append(p.Facts, fact{Label: r.T(key), Value: value})
		}
	}
	add("provisionlogs.client", d.AccountName)
	can := &web.View{Request: r}
	if len(p.Facts) > 0 && can.Can("clients", "view") {
		p.Facts[0].Href = "/admin/clients/" + d.AccountID
	}
	if can.Can("contract", "run_retry") {
		p.CanRetry = d.Status == "failed" || d.Status == "cancelled"
		p.CanCancel = d.Status == "queued" || d.Status == "retrying" || d.Waiting
		p.Token = provisioning.NewToken()
	}
	add("provisionlogs.product", d.ProductName)
	add("provisionlogs.domain", d.Domain)
	add("provisionlogs.username", d.Username)
	add("provisionlogs.actor", p.Actor)
	add("provisionlogs.cause", d.Cause)
	add("provisionlogs.category", categoryName(r, d.Category))
	add("provisionlogs.provider", p.Provider)
	add("provisionlogs.configuration", d.ConfigurationName)
	add("provisionlogs.reference", d.Reference)
	if d.StartedAt != nil {
		add("provisionlogs.started", exact(r, d.StartedAt.In(r.Zone)))
	}
	if d.FinishedAt != nil {
		add("provisionlogs.finished", exact(r, d.FinishedAt.In(r.Zone)))
	}
	if d.ErrorFamily != "" {
		add("provisionlogs.family", familyName(r, d.ErrorFamily))
	}
	labels := map[string]string{}
	if known {
		for _, param := range function.Params {
			if r.Has(param.LabelKey()) {
				labels[param.Name] = r.T(param.LabelKey())
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Params)) {
		label := labels[name]
		if label == "" {
			label = name
		}
		p.Params = append(p.Params, fact{Label: label, Value: shown(d.Params[name])})
	}
	var fieldsChanged []struct {
		Field         string
		Before, After any
	}
	if json.Unmarshal(d.Changes, &fieldsChanged) == nil {
		for _, one := range fieldsChanged {
			label := r.T("provisionlogs.field", "Name", one.Field)
			if key := (provisioning.Field{Name: one.Field}).LabelKey(); r.Has(key) {
				label = r.T(key)
			}
			p.Changed = append(p.Changed, changed{label, shown(one.Before), shown(one.After)})
		}
	}
	for _, one := range []struct{ field, value, name string }{
		{FieldStatus, d.Status, p.StatusName}, {FieldAction, d.Action, p.ActionName}, {FieldProvider, d.Driver, p.Provider},
		{FieldClient, d.AccountID, d.AccountName}, {FieldProduct, d.ProductID, d.Product()}, {FieldActor, p.ActorKey, p.Actor},
	} {
		p.Picks = append(p.Picks, pick{
			r.T("provisionlogs." + one.field), one.name,
			address(logsPath, f.with(one.field, one.value).Values()), address(logsPath, f.excluding(one.field, one.value).Values()),
		})
	}
	var lines []string
	lines = append(lines, p.ActionName+" · "+p.StatusName+" · "+p.Exact, d.ID)
	if p.MessageText != "" {
		lines = append(lines, p.MessageText)
	}
	for _, fact := range p.Facts {
		lines = append(lines, fact.Label+": "+fact.Value)
	}
	for _, try := range p.Tries {
		lines = append(lines, try.Exact+" "+try.Said)
	}
	p.CopyText = strings.Join(lines, "\n")
	return p
}

func familyName(r *web.Request, family string) string {
	if key := "provisionlogs.family-" + family; r.Has(key) {
		return r.T(key)
	}
	return family
}

// shown writes a value of a parameter.
func shown(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return v
	case float64, bool:
		return fmt.Sprint(v)
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return ""
	}
	return string(raw)
}

func (h *Handlers) try(r *web.Request, d Details, a Attempt) tryRow {
	at := a.StartedAt.In(r.Zone)
	t := tryRow{
		Attempt: a, Icon: "circle-x", Bad: true, ISO: at.Format(time.RFC3339), Exact: exact(r, at), Time: at.Format("15:04:05"), Took: took(r, a.FinishedAt.Sub(a.StartedAt)),
		Said: a.Message, Detail: a.Detail,
	}
	switch a.Outcome {
	case "succeeded":
		t.Icon, t.Bad = "circle-check", false
	case "waiting":
		t.Icon, t.Bad = "hourglass", false
	case "cancelled":
		t.Icon, t.Bad = "ban", false
	case "unknown":
		t.Icon = "circle-help"
	case "retry":
		t.Icon, t.Bad = "rotate-cw", false
	}
	if t.Said == "" {
		t.Said = r.T("provisionlogs.outcome-" + a.Outcome)
	}
	if t.Detail == t.Said {
		t.Detail = ""
	}
	if a.Debug != nil {
		t.Debug = pretty(*a.Debug)
		t.File = fmt.Sprintf("%s/%s/debug/%d", logsPath, d.ID, a.Attempt)
		if len(t.Debug) > debugShown {
			t.Debug, t.Large = strings.ToValidUTF8(t.Debug[:debugShown], ""), true
		}
	}
	return t
}

// pretty indents JSON.
func pretty(raw string) string {
	var value any
	if json.Unmarshal([]byte(raw), &value) != nil {
		return raw
	}
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false) // the template escapes
	encoder.SetIndent("", "  ")
	if encoder.Encode(value) != nil {
		return raw
	}
	return strings.TrimSpace(out.String())
}

// Debug answers GET /admin/provisioning/logs/:id/debug/:attempt with all of an attempt's debug data, as a file.
func (h *Handlers) Debug(c *fiber.Ctx) error {
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	details, err := h.service.Get(c.UserContext(), web.Viewer(c), id)
	if err != nil {
		return err
	}
	for _, try := range details.Tries {
		if fmt.Sprint(try.Attempt) == c.Params("attempt") && try.Debug != nil {
			c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSONCharsetUTF8)
			c.Set(fiber.HeaderContentDisposition, fmt.Sprintf(`attachment; filename="run-%s-%d.json"`, id, try.Attempt))
			return c.SendString(pretty(*try.Debug))
		}
	}
	return app.ErrNotFound
}

// Live answers GET /admin/provisioning/logs/live, the event stream of the logs.
func (h *Handlers) Live(c *fiber.Ctx) error {
	r := web.Of(c)
	return live.Stream(c, h.hub, live.Watch{Topics: []string{Topic}, UserID: r.Viewer.UserID, SessionID: r.Viewer.SessionID, Allowed: r.Still})
}

// Section is the logs of one client or one product, for a page of another domain: the view "provisionlogs/section" shows it. The
// page's Parts must hold Parts, and its stream must watch Topic. base is the page's path; the filter stands in its address. A request
// for changes (?since=) is answered by Changes instead.
func (h *Handlers) Section(c *fiber.Ctx, field, id, base string) (any, error) {
	r := web.Of(c)
	query := queryOf(c)
	filter, err := ParseFilter(query, r.Zone)
	if err != nil {
		filter = Filter{}
	}
	scoped := filter.with(field, id)
	view, err := h.list(c, scoped, query.Get("before"), base)
	if err != nil {
		return nil, err
	}
	view.Scoped, view.Filtered, view.All = true, len(filter.Values()) > 0, address(logsPath, scoped.Values())
	view.Chips = slices.DeleteFunc(view.Chips, func(one chip) bool { return one.Name == r.T("provisionlogs."+field) })
	return view, nil
}

// IsChanges tells whether a Section's page asks for what changed since it was read, and Changes answers that.
func IsChanges(c *fiber.Ctx) bool { return c.Query("since") != "" }

// Changes answers a Section's request for changes.
func (h *Handlers) Changes(c *fiber.Ctx, field, id, base string) error {
	query := queryOf(c)
	filter, err := ParseFilter(query, web.Of(c).Zone)
	if err != nil {
		filter = Filter{}
	}
	return h.changes(c, filter.with(field, id), query.Get("since"), base)
}
