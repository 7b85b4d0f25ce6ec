package tickets

import (
	"errors"
	"time"

	"portico/app"
	"portico/app/markdown"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

// messageForm is an edited message as people type it.
type messageForm struct {
	Body string `form:"body"`
}

// editView is what views/tickets/edit.html shows.
type editView struct {
	Ticket  Ticket
	Message Message
	Base    string
	Draft   string // name of the draft
	SavedAt time.Time
}

func (h *Handlers) editPage(c *fiber.Ctx) (web.Page, error) {
	v := web.Viewer(c)
	id, err := web.ID(c, "id")
	if err != nil {
		return web.Page{}, err
	}
	messageID, err := web.ID(c, "message")
	if err != nil {
		return web.Page{}, err
	}
	t, m, err := h.service.Message(c.UserContext(), v, id, messageID)
	if err != nil {
		return web.Page{}, err
	}
	draft, err := h.service.Draft(c.UserContext(), v, DraftOfEdit(m.ID))
	if err != nil {
		return web.Page{}, err
	}
	form := messageForm{m.Body}
	if draft.Body != "" {
		form.Body = draft.Body
	}
	return web.Page{
		View: "tickets/edit", Title: app.Text{Key: "tickets.edit-message"}, Section: "support",
		Data: editView{t, m, supportPath + "/" + t.ID, draft.Object, draft.UpdatedAt}, Form: web.NewForm(form),
	}, nil
}

// EditMessage answers GET /support/:id/messages/:message/edit.
func (h *Handlers) EditMessage(c *fiber.Ctx) error {
	page, err := h.editPage(c)
	if err != nil {
		return err
	}
	return web.Render(c, page)
}

// UpdateMessage answers POST /support/:id/messages/:message.
func (h *Handlers) UpdateMessage(c *fiber.Ctx) error {
	r := web.Of(c)
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	messageID, err := web.ID(c, "message")
	if err != nil {
		return err
	}
	var form messageForm
	if err = web.Bind(c, &form); err == nil {
		err = h.service.EditMessage(c.UserContext(), r.Viewer, id, messageID, form.Body)
	}
	var invalid *app.Invalid
	switch {
	case errors.As(err, &invalid):
		page, err := h.editPage(c)
		if err != nil {
			return err
		}
		return web.Rerender(c, invalid, page, form)
	case errors.Is(err, ErrClosed):
		return h.again(c, err, id, replyForm{})
	case err != nil:
		return err
	}
	return web.Redirect(c, Path(r.Viewer, id)+"#message-"+messageID)
}

// draftForm is what a page saves while somebody writes.
type draftForm struct {
	Object     string `form:"object"`
	Subject    string `form:"subject"`
	Department string `form:"department"`
	Body       string `form:"body"`
}

// SaveDraft answers POST /support/drafts, which composers post every few seconds: 204.
func (h *Handlers) SaveDraft(c *fiber.Ctx) error {
	var form draftForm
	if err := web.Bind(c, &form); err != nil {
		return err
	}
	err := h.service.SaveDraft(c.UserContext(), web.Viewer(c), Draft{Object: form.Object, Subject: form.Subject, DepartmentID: form.Department, Body: form.Body})
	if err != nil {
		return err
	}
	return c.SendStatus(fiber.StatusNoContent)
}

// Preview answers POST /support/preview with a text as it will look.
func (h *Handlers) Preview(c *fiber.Ctx) error {
	var form messageForm
	if err := web.Bind(c, &form); err != nil {
		return err
	}
	if len(form.Body) > MaxBody {
		return app.Invalidf("body", "tickets.body-long", "Max", MaxBody)
	}
	return web.Render(c, web.Page{View: "tickets/preview", Title: app.Text{Key: "tickets.preview"}, Section: "support", Data: markdown.Render(form.Body)})
}
