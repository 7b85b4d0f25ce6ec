package tickets

import (
	"portico/app"
	"portico/app/delegates"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

// DelegatesPlace is how the pages of tickets stand around **Ticket delegate access**.
func (h *Handlers) DelegatesPlace() delegates.Place {
	return delegates.Place{Kind: delegates.Ticket, Path: Path, Page: h.delegatesPage}
}

func (h *Handlers) delegatesPage(c *fiber.Ctx, id string, panel delegates.View) (web.Page, error) {
	t, err := h.service.Get(c.UserContext(), web.Viewer(c), id)
	if err != nil {
		return web.Page{}, err
	}
	panel.Host = t
	return web.Page{View: "tickets/delegates", Title: app.Text{Key: "delegates.ticket-title"}, Section: "support", Data: panel}, nil
}
