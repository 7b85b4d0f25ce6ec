package web

import "github.com/gofiber/fiber/v2"

// The headers of htmx 2, written once.  Source: htmx reference, "Request Headers" and "Response Headers".
const (
	headerRequest        = "HX-Request"
	headerBoosted        = "HX-Boosted"
	headerHistoryRestore = "HX-History-Restore-Request"
	headerTarget         = "HX-Target"
	headerRedirect       = "HX-Redirect"
	headerRetarget       = "HX-Retarget"
	headerReswap         = "HX-Reswap"
)

// HeaderBackground marks what an open page fetches by itself (static/js/live.js).
const HeaderBackground = "X-Background"

// vary lists every header that decides what Render sends.
const vary = headerRequest + ", " + headerBoosted + ", " + headerHistoryRestore + ", " + headerTarget + ", " + fiber.HeaderAcceptEncoding

// WantsPart tells whether htmx asks for a piece of a page: not when it is boosting a link or restoring history, which
// need the whole page.
func WantsPart(c *fiber.Ctx) bool {
	return c.Get(headerRequest) == "true" && c.Get(headerBoosted) != "true" && c.Get(headerHistoryRestore) != "true"
}

// Redirect sends the browser to path (303; htmx: HX-Redirect, so that the whole page changes).
func Redirect(c *fiber.Ctx, path string) error {
	if c.Get(headerRequest) == "true" && c.Get(headerBoosted) != "true" {
		c.Set(headerRedirect, path)
		return c.SendStatus(fiber.StatusNoContent)
	}
	return c.Redirect(path, fiber.StatusSeeOther)
}
