package reach

import (
	"portico/app"
	"portico/app/delegates"
	"portico/app/tickets"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

// Handlers are the pages of **Who can reach my things**.
type Handlers struct{ service *Service }

// NewHandlers returns the handlers of a Service.
func NewHandlers(s *Service) *Handlers { return &Handlers{s} }

const path = "/reach"

// Index answers GET /reach.
func (h *Handlers) Index(c *fiber.Ctx) error {
	people, err := h.service.delegates.Reach(c.UserContext(), web.Viewer(c))
	if err != nil {
		return err
	}
	return web.Render(c, web.Page{View: "reach/index", Title: app.Text{Key: "reach.title"}, Section: "reach", Data: people})
}

// Show answers GET /reach/:user.
func (h *Handlers) Show(c *fiber.Ctx) error {
	id, err := web.ID(c, "user")
	if err != nil {
		return err
	}
	preview, err := h.service.Preview(c.UserContext(), web.Viewer(c), id)
	if err != nil {
		return err
	}
	return web.Render(c, web.Page{
		View: "reach/show", Title: app.Text{Key: "reach.person-title", Args: map[string]any{"Name": preview.Name}}, Section: "reach", Data: preview,
	})
}

// threadView is what views/reach/ticket.html shows, and of it the ticket's own templates.
type threadView struct {
	tickets.Thread
	Person delegates.Reach
	Base   string // address of the ticket, for its files
	Lines  []tickets.Line
}

// ShowTicket answers GET /reach/:user/tickets/:ticket: the thread as that person reads it.
func (h *Handlers) ShowTicket(c *fiber.Ctx) error {
	r := web.Of(c)
	id, err := web.ID(c, "user")
	if err != nil {
		return err
	}
	ticketID, err := web.ID(c, "ticket")
	if err != nil {
		return err
	}
	person, thread, err := h.service.Thread(c.UserContext(), r.Viewer, id, ticketID)
	if err != nil {
		return err
	}
	view := threadView{Thread: thread, Person: person, Base: "/support/" + thread.ID}
	view.Lines = tickets.Timeline(r, thread, view.Base)
	for i := range view.Lines { // "You" is the person who looks
		if m := view.Lines[i].Message; m != nil && m.Own {
			view.Lines[i].Name = m.AuthorName
		} else if e := view.Lines[i].Event; e != nil && e.Own {
			view.Lines[i].Name = e.ActorName
		}
	}
	return web.Render(c, web.Page{
		View: "reach/ticket", Title: app.Text{Key: "tickets.page-title", Args: map[string]any{"Subject": thread.Subject}}, Section: "reach", Data: view,
	})
}

// Remove answers POST /reach/:user/remove.
func (h *Handlers) Remove(c *fiber.Ctx) error {
	id, err := web.ID(c, "user")
	if err != nil {
		return err
	}
	count, err := h.service.delegates.RemoveEverywhere(c.UserContext(), web.Viewer(c), id)
	if err != nil {
		return err
	}
	web.SetFlash(c, "good", "reach.removed", "Count", count)
	return web.Redirect(c, path)
}
