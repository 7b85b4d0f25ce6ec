package support

import (
	"strings"

	"portico/app"
	"portico/app/tickets"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

const repliesPath = supportPath + "/replies"

// replyForm is a saved reply as people type it.
type replyForm struct {
	Name       string `form:"name"`
	Department string `form:"department"`
	Body       string `form:"body"`
}

// replyView is what views/support/reply.html shows.
type replyView struct {
	ID           string // "" for a new one
	Action       string // where the form posts
	Departments  []web.Option
	Placeholders string
}

// IndexReplies answers GET /admin/support/replies.
func (h *Handlers) IndexReplies(c *fiber.Ctx) error {
	all, err := h.service.Replies(c.UserContext(), web.Viewer(c))
	if err != nil {
		return err
	}
	return web.Render(c, web.Page{View: "support/replies", Frame: web.FrameAdmin, Title: app.Text{Key: "support.replies"}, Section: "support", Data: all})
}

func (h *Handlers) replyPage(c *fiber.Ctx, id string) (web.Page, error) {
	view := replyView{ID: id, Action: repliesPath, Placeholders: strings.Join(Placeholders, ", ")}
	title := app.Text{Key: "support.reply-new"}
	if id != "" {
		view.Action, title = repliesPath+"/"+id, app.Text{Key: "support.reply-edit"}
	}
	var err error
	if view.Departments, err = h.departments(c, web.Of(c).T("support.all-departments"), ""); err != nil {
		return web.Page{}, err
	}
	return web.Page{View: "support/reply", Frame: web.FrameAdmin, Title: title, Section: "support", Data: view}, nil
}

// NewReply answers GET /admin/support/replies/new.
func (h *Handlers) NewReply(c *fiber.Ctx) error {
	page, err := h.replyPage(c, "")
	if err != nil {
		return err
	}
	return web.Render(c, page)
}

// CreateReply answers POST /admin/support/replies.
func (h *Handlers) CreateReply(c *fiber.Ctx) error { return h.saveReply(c, "") }

// EditReply answers GET /admin/support/replies/:id.
func (h *Handlers) EditReply(c *fiber.Ctx) error {
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	r, err := h.service.Reply(c.UserContext(), web.Viewer(c), id)
	if err != nil {
		return err
	}
	page, err := h.replyPage(c, id)
	if err != nil {
		return err
	}
	page.Form = web.NewForm(replyForm{r.Name, r.DepartmentID, r.Body})
	return web.Render(c, page)
}

// UpdateReply answers POST /admin/support/replies/:id.
func (h *Handlers) UpdateReply(c *fiber.Ctx) error {
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	if _, err := h.service.Reply(c.UserContext(), web.Viewer(c), id); err != nil {
		return err
	}
	return h.saveReply(c, id)
}

func (h *Handlers) saveReply(c *fiber.Ctx, id string) error {
	var form replyForm
	err := web.Bind(c, &form)
	if err == nil {
		_, err = h.service.SaveReply(c.UserContext(), web.Viewer(c), Reply{ID: id, Name: form.Name, DepartmentID: form.Department, Body: form.Body})
	}
	if err != nil {
		page, pageErr := h.replyPage(c, id)
		if pageErr != nil {
			return pageErr
		}
		return web.Rerender(c, err, page, form)
	}
	web.SetFlash(c, "good", "support.reply-saved")
	return web.Redirect(c, repliesPath)
}

// DestroyReply answers POST /admin/support/replies/:id/remove.
func (h *Handlers) DestroyReply(c *fiber.Ctx) error {
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	if err := h.service.RemoveReply(c.UserContext(), web.Viewer(c), id); err != nil {
		return err
	}
	web.SetFlash(c, "good", "support.reply-removed")
	return web.Redirect(c, repliesPath)
}

// attendForm is what an open page says of its reader.
type attendForm struct {
	Doing string `form:"doing"`
}

// Attend answers POST /admin/support/:id/presence, which open pages send: with who else is there.
func (h *Handlers) Attend(c *fiber.Ctx) error {
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	var form attendForm
	if err := web.Bind(c, &form); err != nil {
		form.Doing = "" // is refused too, after who may ask
	}
	t, err := h.service.Attend(c.UserContext(), web.Viewer(c), id, form.Doing)
	if err != nil {
		return err
	}
	others, err := h.present(c, t)
	if err != nil {
		return err
	}
	return web.Render(c, web.Page{
		View: "support/presence", Frame: web.FrameAdmin, Title: app.Text{Key: "tickets.title"}, Section: "support", Data: showView{Present: others},
	})
}

// present says who else of the store has a ticket open.
func (h *Handlers) present(c *fiber.Ctx, t tickets.Ticket) ([]string, error) {
	r := web.Of(c)
	others, err := h.service.Presence(c.UserContext(), r.Viewer, t)
	if err != nil {
		return nil, err
	}
	var sentences []string
	for _, other := range others {
		sentences = append(sentences, r.T("support.presence-"+other.Doing, "Name", other.Name))
	}
	return sentences, nil
}
