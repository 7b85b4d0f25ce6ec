package provisioning

import (
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

// Attached is what a ticket's page shows of the runs that it is about: views/provisioning/attached.html draws it.
type Attached struct {
	Runs  []Line // oldest first
	Debug map[string][]debugOf
	Store bool
	Logs  bool // with every attempt
}

// Attached returns it for a ticket that the viewer sees; nil where it is about no run that they see.
func (h *Handlers) Attached(c *fiber.Ctx, ticketID string) (any, error) {
	r := web.Of(c)
	runs, p, err := h.service.OfTicket(c.UserContext(), r.Viewer, ticketID)
	if err != nil || len(runs) == 0 {
		return nil, err
	}
	a := Attached{Store: p.OfStore(), Logs: p.OfStore() && p.Allows("run_logs")}
	for _, run := range runs {
		line := h.line(r, p, run)
		line.Ticket, line.From = "", "?from=ticket"
		a.Runs = append(a.Runs, line)
	}
	if p.OfStore() && p.Allows("run_debug") {
		if a.Debug, err = h.debug(c, a.Runs); err != nil {
			return nil, err
		}
	}
	return a, nil
}
