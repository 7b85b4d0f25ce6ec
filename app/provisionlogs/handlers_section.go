package provisionlogs

import (
	"portico/app"
	"portico/app/access"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

// OfProduct is Section for the logs of one product.
func (h *Handlers) OfProduct(c *fiber.Ctx, id, base string) (view any, answered bool, err error) {
	return h.Section(c, FieldProduct, id, base)
}

// OfClient is Section for the logs of one client.
func (h *Handlers) OfClient(c *fiber.Ctx, id, base string) (view any, answered bool, err error) {
	return h.Section(c, FieldClient, id, base)
}

// Section is the logs of one client or one product, for a page of another domain: the view "provisionlogs/section" shows what it
// returns. answered says that the request asked for a part of the section, or for what changed in it, and got that: then the page is
// not to be drawn. base is the page's path, without a query: the filter stands in its address, with the client or the product in it,
// and ?run= the run whose panel is open. A run of anything else is app.ErrNotFound; a filter that can't be read makes the answer's
// status 422. The page's stream must watch Topics.
func (h *Handlers) Section(c *fiber.Ctx, field, id, base string) (view any, answered bool, err error) {
	open := queryOf(c).Get("run")
	if open != "" && !isID(open) {
		return nil, false, app.ErrNotFound
	}
	list, answered, err := h.view(c, place{base, field, id}, open)
	if err != nil || answered {
		return nil, answered, err
	}
	if part(c) != "" {
		return nil, true, web.Render(c, web.Page{View: "provisionlogs/section", Frame: web.FrameAdmin, Title: app.Text{Key: "provisionlogs.title"}, Data: list, Parts: parts})
	}
	return list, false, nil
}

// Topics are what the stream of a page with a Section watches for its viewer.
func Topics(v app.Viewer) []string {
	if access.Check(v, "logs", "view") != nil {
		return nil
	}
	return []string{Topic}
}
