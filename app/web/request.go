// Package web is what every handler shares: rendering pages and parts, forms with their errors, flash messages, and the
// one table that turns errors into answers. Start reading at render.go.
package web

import (
	"context"
	"fmt"
	"time"

	"portico/app"
	"portico/app/keys"
	"portico/app/locale"

	"github.com/gofiber/fiber/v2"
)

// Site is what all requests share. Built once at start.
type Site struct {
	Views     Views             // the template engine
	Catalogue *locale.Catalogue // messages
	Keys      *keys.Ring
	URL       string              // public address, without a slash at the end
	Dev       bool                // the dev run: its extra pages are linked
	Sandbox   bool                // the Sandbox provider is on where it should not be: every page says so
	Asset     func(string) string // name of a file in static/ to its fingerprinted path
}

// Secure tells whether people reach the portal by https, so that cookies are kept to it.
func (s *Site) Secure() bool { return len(s.URL) > 8 && s.URL[:8] == "https://" }

// Store is what every page shows of the store.
type Store struct {
	Name     string
	Logo     string // address of the logo, "" if there is none
	BrandCSS string // address of the stylesheet with the brand colour
	TimeZone string
	Currency string
	Language string
}

// Request is what is known of one request before its handler runs: who asks, of which store, in which language.
type Request struct {
	*locale.Printer
	Site   *Site
	Viewer app.Viewer
	Store  Store
	Path   string // path and query, for coming back after signing in
	Now    time.Time
	// FactorMissing: this member of the store's staff has to set up a second factor before anything else.
	FactorMissing bool
	// Still asks the route's permission again, with the viewer's rights as they are then. Only routes of streams have it; it
	// may be called when the request is long over.
	Still func(ctx context.Context) error

	csrf  string // what this visitor's form token is derived from
	token string // the form token as this answer shows it, once it is asked for
	flash *Flash
}

const localsKey = "portico.request"

// Attach puts r on the context for the handlers. The server calls it once per request.
func Attach(c *fiber.Ctx, r *Request) { c.Locals(localsKey, r) }

// Of returns the request's facts. It panics where no middleware attached them, which is a bug in the route list.
func Of(c *fiber.Ctx) *Request {
	r, ok := c.Locals(localsKey).(*Request)
	if !ok {
		panic(fmt.Sprintf("no request attached to %s", c.Path()))
	}
	return r
}

// Attached returns the request's facts, or nil where an error came before them.
func Attached(c *fiber.Ctx) *Request {
	r, _ := c.Locals(localsKey).(*Request)
	return r
}

// Viewer returns who is asking.
func Viewer(c *fiber.Ctx) app.Viewer { return Of(c).Viewer }
