package dashboard

import (
	"context"
	"slices"

	"portico/app"
	"portico/app/live"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

// Handlers serve the dashboards.
type Handlers struct {
	service *Service
	hub     *live.Hub
}

// NewHandlers returns the handlers.
func NewHandlers(service *Service, hub *live.Hub) *Handlers { return &Handlers{service, hub} }

// Home is the account holder's dashboard; people of the store go on to theirs.
func (h *Handlers) Home(c *fiber.Ctx) error {
	v := web.Viewer(c)
	if v.OfStore() {
		return web.Redirect(c, "/admin")
	}
	data, err := h.service.Client(c.UserContext(), v)
	if err != nil {
		return err
	}
	return web.Render(c, web.Page{View: "dashboard/client", Title: app.Text{Key: "dashboard.title"}, Section: "dashboard", Data: data, Parts: []string{"dashboard/tickets", "dashboard/products"}})
}

// Live answers GET /live, the event stream of an account holder's dashboard.
func (h *Handlers) Live(c *fiber.Ctx) error {
	r := web.Of(c)
	viewer, still := r.Viewer, r.Still
	topics, err := h.service.Topics(c.UserContext(), viewer)
	if err != nil {
		return err
	}
	return live.Stream(c, h.hub, live.Watch{
		Topics: topics, UserID: viewer.UserID, SessionID: viewer.SessionID,
		Allowed: func(ctx context.Context) error {
			if err := still(ctx); err != nil {
				return err
			}
			// Somebody who left an account opens the stream again, with the topics that are theirs then.
			now, err := h.service.Topics(ctx, viewer)
			if err == nil && !slices.Equal(now, topics) {
				err = app.ErrNotFound
			}
			return err
		},
	})
}

// Admin is the store's dashboard.
func (h *Handlers) Admin(c *fiber.Ctx) error {
	data, err := h.service.Store(c.UserContext(), web.Viewer(c))
	if err != nil {
		return err
	}
	return web.Render(c, web.Page{View: "dashboard/admin", Title: app.Text{Key: "dashboard.title"}, Section: "dashboard", Data: data})
}
