package contracts

import (
	"context"

	"portico/app"
	"portico/app/delegates"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

// Path is the address of a contract's page for a viewer.
func Path(v app.Viewer, id string) string {
	if v.OfStore() {
		return "/admin/contracts/" + id
	}
	return "/contracts/" + id
}

// DelegatesPlace is how the pages of contracts stand around the tab **Delegates**.
func (h *Handlers) DelegatesPlace() delegates.Place {
	return delegates.Place{Kind: delegates.Contract, Path: Path, Page: h.delegatesPage}
}

func (h *Handlers) delegatesPage(c *fiber.Ctx, id string, panel delegates.View) (web.Page, error) {
	item, err := h.service.Item(c.UserContext(), web.Viewer(c), id, "")
	if err != nil {
		return web.Page{}, err
	}
	head, err := h.Head(c, item, "delegates")
	if err != nil {
		return web.Page{}, err
	}
	panel.Host = head
	return Page(item, "contracts/delegates", panel), nil
}

// OfferDelegates adds the tab **Delegates** to contracts.
func (s *Service) OfferDelegates(d *delegates.Service) {
	s.Offer(Tab{
		Name: "delegates", Position: 5,
		Shown: func(_ app.Viewer, i Item) bool { return i.Contract != nil && i.Allows("delegates_view") },
		Count: func(ctx context.Context, _ app.Viewer, i Item) (int, error) {
			return d.Count(ctx, delegates.Contract, i.Contract.ID)
		},
	})
}

// RefuseDelegates answers every request for delegates of a one-off purchase: who sees it is refused, and to others it does not exist.
// Source: contract guide, "Access rights".
func (h *Handlers) RefuseDelegates(c *fiber.Ctx) error {
	if _, err := h.Find(c); err != nil {
		return err
	}
	return app.ErrForbidden
}
