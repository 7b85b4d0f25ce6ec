// Package dev is what only the development run has: the demo store, one-click sign-ins, a mail server with its mailbox, and
// the page that shows every piece of the interface. None of it is reachable under portico serve.
package dev

import (
	"portico/app"
	"portico/app/auth"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

// Handlers serve the development run's pages.
type Handlers struct{ auth *auth.Service }

// NewHandlers returns the handlers.
func NewHandlers(authService *auth.Service) *Handlers { return &Handlers{authService} }

type signInForm struct {
	Email string `form:"email"`
	Next  string `form:"next"`
}

// SignIn signs one of the demo people in by one click.
func (h *Handlers) SignIn(c *fiber.Ctx) error {
	var form signInForm
	if err := web.Bind(c, &form); err != nil {
		return err
	}
	for _, person := range People {
		if person.Email == form.Email {
			v := web.Viewer(c)
			opened, err := h.auth.OpenFor(c.UserContext(), person.Email, auth.Visitor{IP: v.IP, Browser: v.Browser, RequestID: v.RequestID, SessionID: v.SessionID})
			if err != nil {
				return err
			}
			return web.Redirect(c, auth.Enter(c, opened, form.Next))
		}
	}
	return app.ErrNotFound
}
