package clients

import (
	"errors"

	"portico/app"
	"portico/app/delegates"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

// delegatesView is what views/clients/delegates.html and share.html show.
type delegatesView struct {
	Head   Head
	People []delegates.Reach
	Things []web.Option
}

func delegatesPath(client Client) string { return clientsPath + "/" + client.ID + "/delegates" }

// Delegates answers GET /admin/clients/:id/delegates: who can reach the client's tickets and contracts.
func (h *Handlers) Delegates(c *fiber.Ctx) error {
	client, err := h.Find(c)
	if err != nil {
		return err
	}
	view := delegatesView{Head: h.Head(c, client, "delegates")}
	if view.People, err = h.service.Delegates(c.UserContext(), web.Viewer(c), client.ID); err != nil {
		return err
	}
	return web.Render(c, Page(client, "clients/delegates", view))
}

// shareForm invites somebody into one thing of a client's.
type shareForm struct {
	Thing string `form:"thing"` // "KIND:ID"
	Email string `form:"email"`
}

func (h *Handlers) sharePage(c *fiber.Ctx, client Client) (web.Page, error) {
	r := web.Of(c)
	things, err := h.service.Shareable(c.UserContext(), r.Viewer, client.ID)
	if err != nil {
		return web.Page{}, err
	}
	view := delegatesView{Head: h.Head(c, client, "delegates")}
	for _, t := range things {
		view.Things = append(view.Things, web.Option{Value: t.Kind + ":" + t.ID, Label: r.T("reach."+t.Kind) + ": " + t.Name})
	}
	return Page(client, "clients/share", view), nil
}

// NewDelegate answers GET /admin/clients/:id/delegates/new.
func (h *Handlers) NewDelegate(c *fiber.Ctx) error {
	client, err := h.Find(c)
	if err != nil {
		return err
	}
	page, err := h.sharePage(c, client)
	if err != nil {
		return err
	}
	page.Form = web.NewForm(shareForm{})
	return web.Render(c, page)
}

// CreateDelegate answers POST /admin/clients/:id/delegates.
func (h *Handlers) CreateDelegate(c *fiber.Ctx) error {
	client, err := h.Find(c)
	if err != nil {
		return err
	}
	var form shareForm
	if err = web.Bind(c, &form); err == nil {
		err = h.service.Share(c.UserContext(), web.Viewer(c), client.ID, form.Thing, form.Email)
	}
	var invalid *app.Invalid
	if errors.As(err, &invalid) {
		page, err := h.sharePage(c, client)
		if err != nil {
			return err
		}
		return web.Rerender(c, invalid, page, form)
	}
	if err != nil {
		return err
	}
	web.SetFlash(c, "good", "delegates.sent", "Email", form.Email)
	return web.Redirect(c, delegatesPath(client))
}

// RemoveDelegate answers POST /admin/clients/:id/delegates/:user/remove.
func (h *Handlers) RemoveDelegate(c *fiber.Ctx) error {
	client, err := h.Find(c)
	if err != nil {
		return err
	}
	userID, err := web.ID(c, "user")
	if err != nil {
		return err
	}
	count, err := h.service.RemoveDelegate(c.UserContext(), web.Viewer(c), client.ID, userID)
	if err != nil {
		return err
	}
	web.SetFlash(c, "good", "clients.delegates-removed", "Count", count)
	return web.Redirect(c, delegatesPath(client))
}
