package reach

import (
	"portico/app"
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
