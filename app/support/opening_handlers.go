package support

import (
	"errors"
	"strings"
	"time"

	"portico/app"
	"portico/app/attachments"
	"portico/app/tickets"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

// openingForm is a ticket for a client as people type it.
type openingForm struct {
	Account    string   `form:"account"`
	Subject    string   `form:"subject"`
	Department string   `form:"department"`
	Body       string   `form:"body"`
	Uploads    []string `form:"uploads"`
	Search     string   `form:"client"`
}

// openingView is what views/support/new.html shows: who it is for, or a search for that.
type openingView struct {
	Action      string  // where the form posts
	Client      *Client // nil while one has to be found
	Clients     []Client
	Searched    bool
	Follows     *tickets.Ticket
	Departments []web.Option // empty where the viewer has none
	Draft       string       // name of the draft
	SavedAt     time.Time
	Picker      attachments.Picker
}

// opening builds the form of a new ticket.
func (h *Handlers) opening(c *fiber.Ctx, view openingView) (web.Page, error) {
	r := web.Of(c)
	view.Draft = tickets.DraftOfNew
	title := app.Text{Key: "support.open-for-client"}
	if view.Follows != nil {
		title = app.Text{Key: "tickets.follow-up-title"}
	}
	if view.Client != nil || view.Follows != nil {
		var err error
		if view.Departments, err = h.departments(c, r.T("support.no-department"), ""); err != nil {
			return web.Page{}, err
		}
		if view.Picker, err = h.files.Picker(c, view.Draft); err != nil {
			return web.Page{}, err
		}
	}
	return web.Page{View: "support/new", Frame: web.FrameAdmin, Title: title, Section: "support", Data: view}, nil
}

// New answers GET /admin/support/new: ?client= finds accounts, ?account= has the form of a ticket for one.
func (h *Handlers) New(c *fiber.Ctx) error {
	v := web.Viewer(c)
	view := openingView{Action: supportPath + "/new"}
	form := openingForm{Search: strings.ReplaceAll(strings.ToValidUTF8(strings.TrimSpace(c.Query("client")), ""), "\x00", ""), Account: c.Query("account")}
	var err error
	switch {
	case form.Account != "":
		if view.Client, err = h.service.Client(c.UserContext(), v, form.Account); err != nil {
			return err
		}
		if view.Client == nil {
			return app.ErrNotFound
		}
		draft, err := h.tickets.Draft(c.UserContext(), v, tickets.DraftOfNew)
		if err != nil {
			return err
		}
		form.Subject, form.Department, form.Body, view.SavedAt = draft.Subject, draft.DepartmentID, draft.Body, draft.UpdatedAt
	case form.Search != "":
		view.Searched = true
		if view.Clients, err = h.service.Clients(c.UserContext(), v, form.Search); err != nil {
			return err
		}
	}
	page, err := h.opening(c, view)
	if err != nil {
		return err
	}
	page.Form = web.NewForm(form)
	return web.Render(c, page)
}

// Create answers POST /admin/support/new.
func (h *Handlers) Create(c *fiber.Ctx) error {
	return h.create(c, openingView{Action: supportPath + "/new"}, "")
}

// FollowUp answers GET /admin/support/:id/follow-up.
func (h *Handlers) FollowUp(c *fiber.Ctx) error {
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	t, draft, err := h.tickets.FollowUp(c.UserContext(), web.Viewer(c), id)
	if err != nil {
		return err
	}
	page, err := h.opening(c, openingView{Action: supportPath + "/" + id + "/follow-up", Follows: &t, SavedAt: draft.UpdatedAt})
	if err != nil {
		return err
	}
	page.Form = web.NewForm(openingForm{Subject: draft.Subject, Department: draft.DepartmentID, Body: draft.Body})
	return web.Render(c, page)
}

// CreateFollowUp answers POST /admin/support/:id/follow-up.
func (h *Handlers) CreateFollowUp(c *fiber.Ctx) error {
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	t, _, err := h.tickets.FollowUp(c.UserContext(), web.Viewer(c), id)
	if err != nil {
		return err
	}
	return h.create(c, openingView{Action: supportPath + "/" + id + "/follow-up", Follows: &t}, id)
}

func (h *Handlers) create(c *fiber.Ctx, view openingView, follows string) error {
	v := web.Viewer(c)
	var form openingForm
	var id string
	ids, err := h.files.Bind(c, &form, tickets.DraftOfNew)
	form.Uploads = append(form.Uploads, ids...)
	if err == nil {
		id, err = h.tickets.Open(c.UserContext(), v, tickets.Opening{
			AccountID: form.Account, Subject: form.Subject, DepartmentID: form.Department, Body: form.Body, FollowsID: follows, Uploads: form.Uploads,
		})
	}
	if err == nil {
		web.SetFlash(c, "good", "support.opened")
		return web.Redirect(c, tickets.Path(v, id))
	}
	var invalid *app.Invalid
	if !errors.As(err, &invalid) {
		return err
	}
	if follows == "" {
		var clientErr error
		if view.Client, clientErr = h.service.Client(c.UserContext(), v, form.Account); clientErr != nil {
			return clientErr
		}
	}
	page, pageErr := h.opening(c, view)
	if pageErr != nil {
		return pageErr
	}
	return web.Rerender(c, err, page, form)
}
