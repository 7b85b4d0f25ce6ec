package store

import (
	"errors"

	"portico/app"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

// silenceView is what views/store/silence.html shows.
type silenceView struct {
	Department *Department // nil: tickets without one
	Action     string      // where the form posts
}

func (h *Handlers) silencePage(c *fiber.Ctx) (web.Page, string, error) {
	view := silenceView{Action: departmentsPath + "/silence"}
	id := ""
	if c.Params("id") != "" {
		department, err := h.department(c)
		if err != nil {
			return web.Page{}, "", err
		}
		id = department.ID
		view.Department, view.Action = &department, departmentsPath+"/"+id+"/silence"
	}
	silence, err := h.service.Silence(c.UserContext(), web.Viewer(c), id)
	if err != nil {
		return web.Page{}, "", err
	}
	return web.Page{
		View: "store/silence", Frame: web.FrameAdmin, Title: app.Text{Key: "store.silence"}, Section: "settings", Data: view,
		Form: web.NewForm(NewSilenceForm(silence)),
	}, id, nil
}

// EditSilence answers GET /admin/settings/departments/:id/silence, and …/departments/silence for tickets without a department.
func (h *Handlers) EditSilence(c *fiber.Ctx) error {
	page, _, err := h.silencePage(c)
	if err != nil {
		return err
	}
	return web.Render(c, page)
}

// UpdateSilence answers POST to the same.
func (h *Handlers) UpdateSilence(c *fiber.Ctx) error {
	page, id, err := h.silencePage(c)
	if err != nil {
		return err
	}
	var form SilenceForm
	if err = web.Bind(c, &form); err == nil {
		err = h.service.SaveSilence(c.UserContext(), web.Viewer(c), id, form)
	}
	var invalid *app.Invalid
	if errors.As(err, &invalid) {
		return web.Rerender(c, err, page, form)
	}
	if err != nil {
		return err
	}
	web.SetFlash(c, "good", "store.silence-saved")
	return web.Redirect(c, departmentsPath)
}
