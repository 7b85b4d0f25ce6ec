package tickets

import (
	"cmp"
	"strings"

	"portico/app"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

// aboutRun fills the form of a new ticket about a failed run: its product, and what the run said. What is written in the draft stays
// below it. If there is a ticket about the run already it returns that one's id.
func (h *Handlers) aboutRun(c *fiber.Ctx, id string, form *newForm) (ticket string, err error) {
	r := web.Of(c)
	if !app.IsID(id) || h.service.runs == nil {
		return "", app.ErrNotFound
	}
	run, p, err := h.service.runs.NeedsHelp(c.UserContext(), r.Viewer, id)
	if err != nil {
		return "", err
	}
	if run.TicketID != nil {
		return *run.TicketID, nil
	}
	action := run.Action
	if run.Function.Name != "" {
		action = r.T(run.Function.LabelKey())
	}
	about := []any{"Action", action, "Product", cmp.Or(p.Identifier, p.Name), "When", r.DateTime(*run.FinishedAt)}
	form.Run, form.Product = run.ID, p.ID
	form.Subject = r.T("tickets.run-subject", about...)
	said := r.T("tickets.run-body", about...) + "\n\n> " + strings.ReplaceAll(run.Message, "\n", "\n> ") + "\n\n"
	if strings.Contains(form.Body, said) {
		return "", nil
	}
	form.Body = said + form.Body
	return "", nil
}
