package provisionlogs

import (
	"slices"

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
// not to be drawn. base is the page's path, without a query: the filter stands in its address, with the client or the product in it.
// The page's stream must watch Topics.
func (h *Handlers) Section(c *fiber.Ctx, field, id, base string) (view any, answered bool, err error) {
	r := web.Of(c)
	query := queryOf(c)
	own, err := ParseFilter(query, r.Zone)
	if err != nil {
		own = Filter{}
	}
	own = own.with(field, "")
	filter := own.with(field, id)
	if query.Has("since") {
		return nil, true, h.changes(c, filter, query.Get("since"), base)
	}
	list, err := h.list(c, filter, query.Get("before"), base)
	if err != nil {
		return nil, false, err
	}
	list.Scope, list.Filtered, list.All = &choice{Label: field, Value: id}, len(own.Values()) > 0, address(logsPath, filter.Values())
	list.Clear = address(base, Filter{}.with(field, id).Values())
	list.Chips = slices.DeleteFunc(list.Chips, func(one chip) bool { return one.Name == r.T("provisionlogs."+field) })
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
