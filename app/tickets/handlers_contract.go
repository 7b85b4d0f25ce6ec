package tickets

import (
	"context"
	"strings"
	"time"

	"portico/app"
	"portico/app/contracts"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

// ContractHandlers are the tab **Tickets** of contracts and one-off purchases.
type ContractHandlers struct {
	service   *Service
	contracts *contracts.Handlers
}

// NewContractHandlers returns the handlers.
func NewContractHandlers(s *Service, c *contracts.Handlers) *ContractHandlers {
	return &ContractHandlers{s, c}
}

const tabName = "tickets"

// OfferTab adds the tab **Tickets** to contracts and one-off purchases. Its count is of the tickets that the viewer sees.
func (s *Service) OfferTab(c *contracts.Service) {
	c.Offer(contracts.Tab{
		Name: tabName, Position: 3,
		Shown: func(_ app.Viewer, i contracts.Item) bool { return i.Allows("tickets") },
		Count: func(ctx context.Context, v app.Viewer, i contracts.Item) (int, error) { return s.CountAbout(ctx, v, i) },
	})
}

// aboutView is what views/tickets/contract.html shows.
type aboutView struct {
	Head    contracts.Head
	Tickets []Ticket
	Next    string     // address of the next page, "" on the last one
	Since   *time.Time // a delegate's acceptance: earlier tickets are not shown
	Product string     // for a new ticket
}

// Index answers GET /contracts/:id/tickets, /purchases/:id/tickets, and the same below /admin.
func (h *ContractHandlers) Index(c *fiber.Ctx) error {
	r := web.Of(c)
	item, err := h.contracts.Find(c)
	if err != nil {
		return err
	}
	if item.Product.OfStore() && !strings.HasPrefix(c.Path(), "/admin/") {
		return web.Redirect(c, item.Path()+"/"+tabName)
	}
	view := aboutView{Product: item.Product.ID}
	if view.Head, err = h.contracts.Head(c, item, tabName); err != nil {
		return err
	}
	after, err := app.ParseKey(c.Query("after"))
	if err != nil {
		return err
	}
	page, next, err := h.service.About(c.UserContext(), r.Viewer, item, after)
	if err != nil {
		return err
	}
	view.Tickets = page
	if next != nil {
		view.Next = item.Path() + "/" + tabName + "?after=" + next.String()
	}
	if item.Access().Relation == contracts.Delegate {
		view.Since = item.Access().AcceptedAt
	}
	shown := contracts.Page(item, "tickets/contract", view)
	shown.Parts = []string{"tickets/about"}
	return web.Render(c, shown)
}
