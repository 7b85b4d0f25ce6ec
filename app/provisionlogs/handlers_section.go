package provisionlogs

import (
	"slices"

	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

// Section is the logs of one client or one product, for a page of another domain: the view "provisionlogs/section" shows it. The
// page's Parts must hold Parts, and its stream must watch Topic. base is the page's path; the filter stands in its address. A request
// for changes (?since=) is answered by Changes instead.
func (h *Handlers) Section(c *fiber.Ctx, field, id, base string) (any, error) {
	r := web.Of(c)
	query := queryOf(c)
	filter, err := ParseFilter(query, r.Zone)
	if err != nil {
		filter = Filter{}
	}
	scoped := filter.with(field, id)
	view, err := h.list(c, scoped, query.Get("before"), base)
	if err != nil {
		return nil, err
	}
	view.Scoped, view.Filtered, view.All = true, len(filter.Values()) > 0, address(logsPath, scoped.Values())
	view.Chips = slices.DeleteFunc(view.Chips, func(one chip) bool { return one.Name == r.T("provisionlogs."+field) })
	return view, nil
}

// IsChanges tells whether a Section's page asks for what changed since it was read, and Changes answers that.
func IsChanges(c *fiber.Ctx) bool { return c.Query("since") != "" }

// Changes answers a Section's request for changes.
func (h *Handlers) Changes(c *fiber.Ctx, field, id, base string) error {
	query := queryOf(c)
	filter, err := ParseFilter(query, web.Of(c).Zone)
	if err != nil {
		filter = Filter{}
	}
	return h.changes(c, filter.with(field, id), query.Get("since"), base)
}
