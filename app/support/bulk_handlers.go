package support

import (
	"errors"
	"log/slog"
	"strings"

	"portico/app"
	"portico/app/tickets"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

// deedGroup is one kind of deed to many tickets, with its values.
type deedGroup struct {
	Label   string
	Options []web.Option
}

// deeds lists what can be done to many tickets at once. A value is "DEED:VALUE".
func (h *Handlers) deeds(c *fiber.Ctx, people []Named) ([]deedGroup, error) {
	r := web.Of(c)
	assign := deedGroup{Label: r.T("support.assign-to"), Options: []web.Option{
		{Value: DeedAssign + ":" + r.Viewer.UserID, Label: r.T("support.me")}, {Value: DeedAssign + ":", Label: r.T("support.nobody")},
	}}
	for _, person := range people {
		if person.ID != r.Viewer.UserID {
			assign.Options = append(assign.Options, web.Option{Value: DeedAssign + ":" + person.ID, Label: person.Name})
		}
	}
	status := deedGroup{Label: r.T("support.set-status")}
	for _, s := range Settable {
		status.Options = append(status.Options, web.Option{Value: DeedStatus + ":" + s, Label: statusWord(r, s)})
	}
	groups := []deedGroup{assign, status}
	departments, err := h.tickets.Departments(c.UserContext())
	if err != nil {
		return nil, err
	}
	if len(departments) > 0 {
		move := deedGroup{Label: r.T("support.move-to"), Options: []web.Option{{Value: DeedDepartment + ":", Label: r.T("support.no-department")}}}
		for _, d := range departments {
			move.Options = append(move.Options, web.Option{Value: DeedDepartment + ":" + d.ID, Label: d.Name})
		}
		groups = append(groups, move)
	}
	return append(groups, deedGroup{Label: r.T("tickets.close-now"), Options: []web.Option{{Value: DeedClose, Label: r.T("support.close-them")}}}), nil
}

// bulkForm is a deed to many tickets.
type bulkForm struct {
	Tickets   []string `form:"tickets"`
	Deed      string   `form:"deed"`
	Confirmed bool     `form:"confirmed"` // the consequence of closing was read
	Back      string   `form:"back"`      // the list's address
}

// bulkView is what views/support/bulk.html shows: what closing would do, or what became of each ticket.
type bulkView struct {
	Ask     []tickets.Ticket // to be confirmed
	Results []result
	Done    int
	Back    string
}

// result is an Outcome in words.
type result struct {
	Ticket *tickets.Ticket
	Reason string // "" where it was done
}

// Bulk answers POST /admin/support/bulk. Closing is asked for first.
func (h *Handlers) Bulk(c *fiber.Ctx) error {
	r := web.Of(c)
	var form bulkForm
	if err := web.Bind(c, &form); err != nil {
		return err
	}
	view := bulkView{Back: web.LocalPath(form.Back)}
	if !strings.HasPrefix(view.Back, supportPath) {
		view.Back = supportPath
	}
	deed, value, _ := strings.Cut(form.Deed, ":")
	page := web.Page{View: "support/bulk", Frame: web.FrameAdmin, Title: app.Text{Key: "support.bulk-title"}, Section: "support"}
	var err error
	if deed == DeedClose && !form.Confirmed {
		page.Title = app.Text{Key: "support.bulk-close-title"}
		view.Ask, err = h.service.Chosen(c.UserContext(), r.Viewer, form.Tickets)
	} else {
		var outcomes []Outcome
		outcomes, err = h.service.Bulk(c.UserContext(), r.Viewer, form.Tickets, deed, value)
		for _, o := range outcomes {
			if o.Err != nil {
				slog.ErrorContext(c.UserContext(), "one of many tickets was not changed", "error", o.Err, "request_id", r.Viewer.RequestID)
			}
			line := result{Ticket: o.Ticket}
			if o.Reason != nil {
				line.Reason = r.Text(*o.Reason)
			} else {
				view.Done++
			}
			view.Results = append(view.Results, line)
		}
	}
	var invalid *app.Invalid
	if errors.As(err, &invalid) {
		web.SetFlash(c, "bad", invalid.Fields[0].Text.Key, "Max", MaxBulk)
		return web.Redirect(c, view.Back)
	}
	if err != nil {
		return err
	}
	page.Data = view
	return web.Render(c, page)
}

// duplicateForm names the ticket that another doubles.
type duplicateForm struct {
	Number string `form:"number"`
}

func duplicatePage(t tickets.Ticket) web.Page {
	return web.Page{View: "support/duplicate", Frame: web.FrameAdmin, Title: app.Text{Key: "support.duplicate"}, Section: "support", Data: t}
}

// EditDuplicate answers GET /admin/support/:id/duplicate.
func (h *Handlers) EditDuplicate(c *fiber.Ctx) error {
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	t, err := h.tickets.Get(c.UserContext(), web.Viewer(c), id)
	if err != nil {
		return err
	}
	if !t.Allows("status") {
		return app.ErrForbidden
	}
	if t.Status == tickets.Closed {
		return web.Redirect(c, tickets.Path(web.Viewer(c), id))
	}
	return web.Render(c, duplicatePage(t))
}

// CreateDuplicate answers POST /admin/support/:id/duplicate.
func (h *Handlers) CreateDuplicate(c *fiber.Ctx) error {
	v := web.Viewer(c)
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	var form duplicateForm
	if err = web.Bind(c, &form); err == nil {
		err = h.service.CloseAsDuplicate(c.UserContext(), v, id, form.Number)
	}
	var invalid *app.Invalid
	if errors.As(err, &invalid) {
		t, err := h.tickets.Get(c.UserContext(), v, id)
		if err != nil {
			return err
		}
		return web.Rerender(c, invalid, duplicatePage(t), form)
	}
	if err != nil {
		return err
	}
	return web.Redirect(c, tickets.Path(v, id))
}
