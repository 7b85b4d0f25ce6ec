package provisionlogs

import (
	"net/url"
	"strconv"
	"time"

	"portico/app"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

// ExportCSV answers GET /admin/provisioning/logs/export.csv: all that the filter in the address means.
func (h *Handlers) ExportCSV(c *fiber.Ctx) error { return h.export(c, CSV, "text/csv; charset=utf-8") }

// ExportLines answers GET /admin/provisioning/logs/export.jsonl.
func (h *Handlers) ExportLines(c *fiber.Ctx) error {
	return h.export(c, JSONLines, "application/x-ndjson; charset=utf-8")
}

func (h *Handlers) export(c *fiber.Ctx, format Format, kind string) error {
	r := web.Of(c)
	filter, err := ParseFilter(queryOf(c), r.Zone)
	if err != nil {
		return err
	}
	rows, err := h.service.Export(r.Viewer, filter, format, r.Still)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, kind)
	c.Set(fiber.HeaderContentDisposition, `attachment; filename="provision-logs-`+r.Now.UTC().Format("2006-01-02-1504")+"."+string(format)+`"`)
	return web.SendFile(c, rows, -1)
}

// keepForm keeps a filter.
type keepForm struct {
	Name   string `form:"name"`
	Query  string `form:"query"`
	Shared bool   `form:"shared"`
}

// keepView is what views/provisionlogs/keep.html shows.
type keepView struct {
	Chips []chip
	Query string
	Back  string
	Kept  []keptRow
}

// NewFilter answers GET /admin/provisioning/logs/filters: the form that keeps the filter in the address.
func (h *Handlers) NewFilter(c *fiber.Ctx) error {
	r := web.Of(c)
	filter, err := ParseFilter(queryOf(c), r.Zone)
	if err != nil {
		return err
	}
	page, err := h.keepPage(c, filter)
	if err != nil {
		return err
	}
	return web.Render(c, page)
}

func (h *Handlers) keepPage(c *fiber.Ctx, filter Filter) (web.Page, error) {
	view := keepView{Query: filter.Values().Encode(), Back: address(logsPath, filter.Values())}
	var err error
	if view.Chips, err = h.chips(c, allLogs, filter); err != nil {
		return web.Page{}, err
	}
	view.Kept, err = h.kept(c)
	page := web.Page{View: "provisionlogs/keep", Frame: web.FrameAdmin, Section: "logs", Title: app.Text{Key: "provisionlogs.keep"}, Data: view}
	if view.Query == "" {
		page.Title.Key = "provisionlogs.kept-filters"
	}
	return page, err
}

// CreateFilter answers POST /admin/provisioning/logs/filters.
func (h *Handlers) CreateFilter(c *fiber.Ctx) error {
	r := web.Of(c)
	var form keepForm
	err := web.Bind(c, &form)
	query, parseErr := url.ParseQuery(form.Query)
	if err == nil && parseErr != nil {
		err = app.Invalidf("", "form.unreadable")
	}
	var filter Filter
	if err == nil {
		filter, err = ParseFilter(query, r.Zone)
	}
	if err == nil {
		err = h.service.KeepFilter(c.UserContext(), r.Viewer, form.Name, filter, form.Shared)
	}
	if err != nil {
		page, pageErr := h.keepPage(c, filter)
		if pageErr != nil {
			return pageErr
		}
		return web.Rerender(c, err, page, form)
	}
	web.SetFlash(c, "good", "provisionlogs.kept")
	return web.Redirect(c, address(logsPath, filter.Values()))
}

// DestroyFilter answers POST /admin/provisioning/logs/filters/:id/remove.
func (h *Handlers) DestroyFilter(c *fiber.Ctx) error {
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	if err := h.service.DropFilter(c.UserContext(), web.Viewer(c), id); err != nil {
		return err
	}
	web.SetFlash(c, "good", "provisionlogs.unkept")
	return web.Redirect(c, logsPath)
}

// settingsView is what views/provisionlogs/settings.html shows.
type settingsView struct {
	Alerts []alertRow
	Kept   []keptRow
}

// alertRow is an Alert in words.
type alertRow struct {
	Alert
	Chips []chip
	Href  string
	Quiet string
}

// settingsForm is both forms of the page.
type settingsForm struct {
	Months    string `form:"months"`
	DebugDays string `form:"debug_days"`
	Name      string `form:"name"`
	Query     string `form:"query"`
	MoreThan  string `form:"more_than"`
	Minutes   string `form:"minutes"`
	QuietFrom string `form:"quiet_from"`
	QuietTo   string `form:"quiet_to"`
}

// Settings answers GET /admin/provisioning/logs/settings: how long logs are kept, and the alerts. ?query= is the filter of a new
// alert.
func (h *Handlers) Settings(c *fiber.Ctx) error {
	page, form, err := h.settingsPage(c)
	if err != nil {
		return err
	}
	page.Form = web.NewForm(form)
	return web.Render(c, page)
}

func (h *Handlers) settingsPage(c *fiber.Ctx) (web.Page, settingsForm, error) {
	r := web.Of(c)
	keep, alerts, err := h.service.Settings(c.UserContext(), r.Viewer)
	if err != nil {
		return web.Page{}, settingsForm{}, err
	}
	view := settingsView{}
	for _, alert := range alerts {
		row := alertRow{Alert: alert, Href: logsPath + "?" + alert.Query}
		if query, err := url.ParseQuery(alert.Query); err == nil {
			if filter, err := ParseFilter(query, time.UTC); err == nil {
				if row.Chips, err = h.chips(c, allLogs, filter); err != nil {
					return web.Page{}, settingsForm{}, err
				}
			}
		}
		if alert.QuietFrom != nil && alert.QuietTo != nil {
			row.Quiet = r.T("provisionlogs.quiet", "From", *alert.QuietFrom, "To", *alert.QuietTo)
		}
		view.Alerts = append(view.Alerts, row)
	}
	if view.Kept, err = h.kept(c); err != nil {
		return web.Page{}, settingsForm{}, err
	}
	form := settingsForm{Months: strconv.Itoa(keep.Months), DebugDays: strconv.Itoa(keep.DebugDays), MoreThan: "5", Minutes: "15"}
	return web.Page{
		View: "provisionlogs/settings", Frame: web.FrameAdmin, Section: "logs", Title: app.Text{Key: "provisionlogs.settings"}, Data: view,
	}, form, nil
}

// UpdateSettings answers POST /admin/provisioning/logs/settings.
func (h *Handlers) UpdateSettings(c *fiber.Ctx) error {
	return h.set(c, "provisionlogs.settings-saved", func(form settingsForm) error {
		return h.service.SetKeep(c.UserContext(), web.Viewer(c), Keep{number(form.Months), number(form.DebugDays)})
	})
}

// CreateAlert answers POST /admin/provisioning/logs/alerts.
func (h *Handlers) CreateAlert(c *fiber.Ctx) error {
	return h.set(c, "provisionlogs.alert-added", func(form settingsForm) error {
		query, err := url.ParseQuery(form.Query)
		if err != nil {
			return app.Invalidf("", "provisionlogs.alert-nothing")
		}
		filter, err := ParseFilter(query, web.Of(c).Zone)
		if err != nil {
			return err
		}
		alert := Alert{Name: form.Name, MoreThan: number(form.MoreThan), Minutes: number(form.Minutes)}
		if form.QuietFrom != "" || form.QuietTo != "" {
			alert.QuietFrom, alert.QuietTo = &form.QuietFrom, &form.QuietTo
		}
		return h.service.AddAlert(c.UserContext(), web.Viewer(c), alert, filter)
	})
}

// number reads a whole number; -1, which no setting takes, for anything else.
func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return -1
	}
	return n
}

func (h *Handlers) set(c *fiber.Ctx, done string, work func(form settingsForm) error) error {
	var form settingsForm
	err := web.Bind(c, &form)
	if err == nil {
		err = work(form)
	}
	if err != nil {
		page, stored, pageErr := h.settingsPage(c)
		if pageErr != nil {
			return pageErr
		}
		if form.Months == "" {
			form.Months, form.DebugDays = stored.Months, stored.DebugDays
		} else {
			form.MoreThan, form.Minutes = stored.MoreThan, stored.Minutes
		}
		return web.Rerender(c, err, page, form)
	}
	web.SetFlash(c, "good", done)
	return web.Redirect(c, settingsPath)
}

// DestroyAlert answers POST /admin/provisioning/logs/alerts/:id/remove.
func (h *Handlers) DestroyAlert(c *fiber.Ctx) error {
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	if err := h.service.DropAlert(c.UserContext(), web.Viewer(c), id); err != nil {
		return err
	}
	web.SetFlash(c, "good", "provisionlogs.alert-removed")
	return web.Redirect(c, settingsPath)
}

// overviewView is what views/provisionlogs/overview.html shows.
type overviewView struct {
	Chart    *chart
	Queue    []measure
	Drivers  []measure
	Failures []measure
	Families []measure
}

// measure is one line of a plot that is a table: a bar as long as Share of 100 says.
type measure struct {
	Label, Sub string
	Status     string
	Href       string
	Value      string
	More       string
	Share      string
	Alarm      bool
}

// Overview answers GET /admin/provisioning.
func (h *Handlers) Overview(c *fiber.Ctx) error {
	r := web.Of(c)
	o, err := h.service.Overview(c.UserContext(), r.Viewer, r.Now)
	if err != nil {
		return err
	}
	view := overviewView{Chart: draw(r, o.Week, func(from, to time.Time) string { return address(logsPath, Filter{From: from, To: to}.Values()) })}
	since := r.Now.Add(-week).UTC().Truncate(time.Minute)
	most := 1
	for _, w := range o.Queue {
		most = max(most, w.Runs)
	}
	for _, w := range o.Queue {
		view.Queue = append(view.Queue, measure{
			Label: r.T("provisionlogs.status-" + w.Status), Status: w.Status, Href: logsPath + "?status=" + w.Status, Value: r.Number(w.Runs),
			More: r.T("provisionlogs.oldest", "Ago", r.Ago(w.Oldest)), Share: share(w.Runs, most), Alarm: r.Now.Sub(w.Oldest) > 24*time.Hour,
		})
	}
	most = 1
	for _, d := range o.Drivers {
		most = max(most, d.Slow)
	}
	for _, d := range o.Drivers {
		ms := func(n int) string { return took(r, time.Duration(n)*time.Millisecond) }
		view.Drivers = append(view.Drivers, measure{
			Label: h.providerName(d.Driver), Href: address(logsPath, Filter{Is: map[string]string{FieldProvider: d.Driver}}.Values()), Value: ms(d.Slow),
			More: r.T("provisionlogs.speed", "Median", ms(d.Median), "Runs", r.Number(d.Runs), "Failed", r.Number(d.Failed)), Share: share(d.Slow, most), Alarm: d.Slow > 30_000,
		})
	}
	most = 1
	for _, f := range o.Failures {
		most = max(most, f.Runs)
	}
	for _, f := range o.Failures {
		name := f.ConfigurationName
		if name == "" {
			name = r.T("provisionlogs.no-configuration")
		}
		view.Failures = append(view.Failures, measure{
			Label: name, Sub: h.providerName(f.Driver), Value: r.Number(f.Runs), More: r.T("provisionlogs.last", "Ago", r.Ago(f.LastAt)), Share: share(f.Runs, most), Alarm: true,
			Href: address(logsPath, Filter{Is: map[string]string{FieldStatus: "failed", FieldProvider: f.Driver}, From: since}.Values()),
		})
	}
	most = 1
	for _, f := range o.Families {
		most = max(most, f.Runs)
	}
	for _, f := range o.Families {
		name := f.Family
		if name == "" {
			name = "other"
		}
		view.Families = append(view.Families, measure{Label: familyName(r, name), Value: r.Number(f.Runs), Share: share(f.Runs, most), Alarm: true})
	}
	return web.Render(c, web.Page{
		View: "provisionlogs/overview", Frame: web.FrameAdmin, Section: "provisioning", Title: app.Text{Key: "provisionlogs.overview"}, Data: view,
	})
}

// share is n as a part of 100, of which the greatest is all.
func share(n, most int) string {
	return strconv.FormatFloat(max(0.5, float64(n)*100/float64(most)), 'f', 1, 64)
}
