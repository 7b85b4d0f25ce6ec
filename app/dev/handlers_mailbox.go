package dev

import (
	"strings"

	"portico/app"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

// MailboxHandlers show the dev run's mailbox, to anybody: it runs on the developer's machine.
type MailboxHandlers struct{ mailbox *Mailbox }

// NewMailboxHandlers makes the handlers of a mailbox.
func NewMailboxHandlers(mailbox *Mailbox) *MailboxHandlers { return &MailboxHandlers{mailbox} }

// mailSandbox lets links of a mail that is shown in a frame open in place of the whole page.
const mailSandbox = "allow-popups allow-popups-to-escape-sandbox allow-top-navigation-by-user-activation"

type mailboxPage struct {
	To    string // what the list is filtered by
	Mails []Mail
}

// Index lists the mails. GET /dev/mailbox, ?to= filters by recipient.
func (h *MailboxHandlers) Index(c *fiber.Ctx) error {
	to := strings.Clone(c.Query("to"))
	return web.Render(c, web.Page{
		View: "dev/mailbox", Frame: web.FrameBare, Title: app.Text{Key: "mailbox.title"},
		Data: mailboxPage{To: to, Mails: h.mailbox.List(to)},
		Form: &web.Form{Values: map[string][]string{"to": {to}}},
	})
}

type letterPage struct {
	Letter
	Sandbox string
}

// Show shows one mail: its headers, its HTML in a frame, its links and its text. GET /dev/mailbox/:id
func (h *MailboxHandlers) Show(c *fiber.Ctx) error {
	letter, err := h.mailbox.Open(c.Params("id"))
	if err != nil {
		return err
	}
	web.AllowFrames(c)
	return web.Render(c, web.Page{
		View: "dev/mailbox-message", Frame: web.FrameBare, Title: app.Text{Key: "mailbox.message-title", Args: map[string]any{"Subject": letter.Subject}},
		Data: letterPage{letter, mailSandbox},
	})
}

// HTML sends the mail's HTML part alone. GET /dev/mailbox/:id/html
func (h *MailboxHandlers) HTML(c *fiber.Ctx) error {
	letter, err := h.mailbox.Open(c.Params("id"))
	if err != nil {
		return err
	}
	if letter.HTML == "" {
		return app.ErrNotFound
	}
	return web.SendFramed(c, letter.Framed(), mailSandbox)
}

// Text shows the mail's text alone, with links that work. GET /dev/mailbox/:id/text
func (h *MailboxHandlers) Text(c *fiber.Ctx) error {
	letter, err := h.mailbox.Open(c.Params("id"))
	if err != nil {
		return err
	}
	return web.Render(c, web.Page{
		View: "dev/mailbox-text-only", Frame: web.FrameBare, Title: app.Text{Key: "mailbox.message-title", Args: map[string]any{"Subject": letter.Subject}},
		Data: letterPage{letter, mailSandbox},
	})
}
