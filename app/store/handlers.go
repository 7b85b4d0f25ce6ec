package store

import (
	"errors"
	"strings"

	"portico/app"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

// Handlers are the pages **Store** and **Departments** under **Settings**, and the public logo and brand stylesheet.
type Handlers struct{ service *Service }

// NewHandlers returns the handlers of a Service.
func NewHandlers(s *Service) *Handlers { return &Handlers{s} }

const (
	settingsPath    = "/admin/settings"
	departmentsPath = settingsPath + "/departments"
)

// settingsView is what views/store/settings.html shows.
type settingsView struct {
	Settings   Settings
	Languages  []web.Option
	Zones      []web.Option
	Currencies []web.Option

	MaxLogoBytes, MaxLogoKB int
}

func (h *Handlers) settingsPage(settings Settings) web.Page {
	view := settingsView{Settings: settings, MaxLogoBytes: MaxLogoBytes, MaxLogoKB: MaxLogoBytes >> 10}
	for _, language := range h.service.catalogue.Languages() {
		view.Languages = append(view.Languages, web.Option{Value: language.Code, Label: language.Name})
	}
	for _, zone := range zones() {
		view.Zones = append(view.Zones, web.Option{Value: zone, Label: strings.ReplaceAll(zone, "_", " ")})
	}
	for _, code := range currencies() {
		view.Currencies = append(view.Currencies, web.Option{Value: code, Label: code})
	}
	return web.Page{
		View: "store/settings", Frame: web.FrameAdmin, Title: app.Text{Key: "store.tab-store"}, Section: "settings",
		Data: view, Form: web.NewForm(NewForm(settings)),
	}
}

// ShowSettings answers GET /admin/settings.
func (h *Handlers) ShowSettings(c *fiber.Ctx) error {
	settings, err := h.service.Settings(c.UserContext(), web.Viewer(c))
	if err != nil {
		return err
	}
	return web.Render(c, h.settingsPage(settings))
}

// UpdateSettings answers POST /admin/settings.
func (h *Handlers) UpdateSettings(c *fiber.Ctx) error {
	var form Form
	err := web.Bind(c, &form)
	if err == nil {
		err = h.service.Save(c.UserContext(), web.Viewer(c), &form)
	}
	if err != nil {
		return h.settingsAgain(c, err, &form)
	}
	web.SetFlash(c, "good", "store.saved")
	return web.Redirect(c, settingsPath)
}

// CreateLogo answers POST /admin/settings/logo: a multipart form with the file "logo".
func (h *Handlers) CreateLogo(c *fiber.Ctx) error {
	if err := h.saveLogo(c); err != nil {
		return h.settingsAgain(c, err, nil)
	}
	web.SetFlash(c, "good", "store.logo-saved")
	return web.Redirect(c, settingsPath)
}

func (h *Handlers) saveLogo(c *fiber.Ctx) error {
	if err := web.Bind(c, &struct{}{}); err != nil {
		return err
	}
	header, err := c.FormFile("logo")
	if err != nil {
		return app.Invalidf("logo", "store.logo-missing")
	}
	file, err := header.Open()
	if err != nil {
		return err
	}
	defer file.Close()
	return h.service.SaveLogo(c.UserContext(), web.Viewer(c), file)
}

// DestroyLogo answers POST /admin/settings/logo/remove.
func (h *Handlers) DestroyLogo(c *fiber.Ctx) error {
	if err := h.service.RemoveLogo(c.UserContext(), web.Viewer(c)); err != nil {
		return err
	}
	web.SetFlash(c, "good", "store.logo-removed")
	return web.Redirect(c, settingsPath)
}

// settingsAgain shows the page with what is wrong: around what was typed, or with a nil form around what is stored.
func (h *Handlers) settingsAgain(c *fiber.Ctx, err error, typed *Form) error {
	var invalid *app.Invalid
	if !errors.As(err, &invalid) {
		return err
	}
	settings, loadErr := h.service.Settings(c.UserContext(), web.Viewer(c))
	if loadErr != nil {
		return loadErr
	}
	if typed == nil {
		stored := NewForm(settings)
		typed = &stored
	}
	return web.Rerender(c, err, h.settingsPage(settings), typed)
}

// departmentForm is a department as people type it.
type departmentForm struct {
	Name string `form:"name"`
}

// departmentsView is what views/store/departments.html shows.
type departmentsView struct {
	InUse    []Department
	Archived []Department
}

func (h *Handlers) departmentsPage(c *fiber.Ctx) (web.Page, error) {
	departments, err := h.service.Departments(c.UserContext(), web.Viewer(c))
	if err != nil {
		return web.Page{}, err
	}
	var view departmentsView
	for _, d := range departments {
		if d.ArchivedAt == nil {
			view.InUse = append(view.InUse, d)
		} else {
			view.Archived = append(view.Archived, d)
		}
	}
	return web.Page{
		View: "store/departments", Frame: web.FrameAdmin, Title: app.Text{Key: "store.tab-departments"}, Section: "settings",
		Data: view, Parts: []string{"store/department-list"},
	}, nil
}

// IndexDepartments answers GET /admin/settings/departments.
func (h *Handlers) IndexDepartments(c *fiber.Ctx) error {
	page, err := h.departmentsPage(c)
	if err != nil {
		return err
	}
	return web.Render(c, page)
}

// CreateDepartment answers POST /admin/settings/departments.
func (h *Handlers) CreateDepartment(c *fiber.Ctx) error {
	var form departmentForm
	err := web.Bind(c, &form)
	if err == nil {
		_, err = h.service.CreateDepartment(c.UserContext(), web.Viewer(c), form.Name)
	}
	return h.departmentsChanged(c, err, form, "store.department-created")
}

// ArchiveDepartment answers POST /admin/settings/departments/:id/archive.
func (h *Handlers) ArchiveDepartment(c *fiber.Ctx) error {
	id, err := web.ID(c, "id")
	if err == nil {
		err = h.service.ArchiveDepartment(c.UserContext(), web.Viewer(c), id)
	}
	return h.departmentsChanged(c, err, departmentForm{}, "store.department-archived")
}

// RestoreDepartment answers POST /admin/settings/departments/:id/restore.
func (h *Handlers) RestoreDepartment(c *fiber.Ctx) error {
	id, err := web.ID(c, "id")
	if err == nil {
		err = h.service.RestoreDepartment(c.UserContext(), web.Viewer(c), id)
	}
	return h.departmentsChanged(c, err, departmentForm{}, "store.department-restored")
}

// MoveDepartmentUp answers POST /admin/settings/departments/:id/up.
func (h *Handlers) MoveDepartmentUp(c *fiber.Ctx) error { return h.moveDepartment(c, true) }

// MoveDepartmentDown answers POST /admin/settings/departments/:id/down.
func (h *Handlers) MoveDepartmentDown(c *fiber.Ctx) error { return h.moveDepartment(c, false) }

func (h *Handlers) moveDepartment(c *fiber.Ctx, up bool) error {
	id, err := web.ID(c, "id")
	if err == nil {
		err = h.service.MoveDepartment(c.UserContext(), web.Viewer(c), id, up)
	}
	return h.departmentsChanged(c, err, departmentForm{}, "store.department-moved")
}

// departmentsChanged answers after a change: htmx gets the list, a browser goes to the page with the list. An *app.Invalid
// is answered with the list and the form as it was typed.
func (h *Handlers) departmentsChanged(c *fiber.Ctx, err error, typed departmentForm, flash string) error {
	if err == nil && !web.WantsPart(c) {
		web.SetFlash(c, "good", flash)
		return web.Redirect(c, departmentsPath)
	}
	var invalid *app.Invalid
	if err != nil && !errors.As(err, &invalid) {
		return err
	}
	page, pageErr := h.departmentsPage(c)
	if pageErr != nil {
		return pageErr
	}
	if err != nil {
		return web.Rerender(c, err, page, typed)
	}
	return web.Render(c, page)
}

func departmentPage(d Department) web.Page {
	return web.Page{
		View: "store/department", Frame: web.FrameAdmin, Title: app.Text{Key: "store.department-rename", Args: map[string]any{"Name": d.Name}},
		Section: "settings", Data: d, Form: web.NewForm(departmentForm{d.Name}),
	}
}

// EditDepartment answers GET /admin/settings/departments/:id.
func (h *Handlers) EditDepartment(c *fiber.Ctx) error {
	department, err := h.department(c)
	if err != nil {
		return err
	}
	return web.Render(c, departmentPage(department))
}

// UpdateDepartment answers POST /admin/settings/departments/:id.
func (h *Handlers) UpdateDepartment(c *fiber.Ctx) error {
	department, err := h.department(c)
	if err != nil {
		return err
	}
	var form departmentForm
	if err = web.Bind(c, &form); err == nil {
		err = h.service.RenameDepartment(c.UserContext(), web.Viewer(c), department.ID, form.Name)
	}
	if err != nil {
		return web.Rerender(c, err, departmentPage(department), form)
	}
	web.SetFlash(c, "good", "store.department-renamed")
	return web.Redirect(c, departmentsPath)
}

func (h *Handlers) department(c *fiber.Ctx) (Department, error) {
	id, err := web.ID(c, "id")
	if err != nil {
		return Department{}, err
	}
	return h.service.Department(c.UserContext(), web.Viewer(c), id)
}

// ShowLogo answers GET /store/logo/:version, to everybody. The picture is one that we drew; the headers keep a browser from
// reading it as anything else.
func (h *Handlers) ShowLogo(c *fiber.Ctx) error {
	logo, current, err := h.service.Logo(c.UserContext(), c.Params("version"))
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentSecurityPolicy, "default-src 'none'; sandbox")
	return sendPublic(c, logo.Type, logo.Content, current)
}

// ShowBrand answers GET /store/brand/:version, to everybody.
func (h *Handlers) ShowBrand(c *fiber.Ctx) error {
	css, current, err := h.service.Brand(c.UserContext(), c.Params("version"))
	if err != nil {
		return err
	}
	return sendPublic(c, "text/css; charset=utf-8", []byte(css), current)
}

// sendPublic sends what everybody may see. Caches keep it for ever under its own address, and never under one that a page
// from before a change still asks for.
func sendPublic(c *fiber.Ctx, contentType string, content []byte, current bool) error {
	c.Set(fiber.HeaderContentType, contentType)
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	if current {
		c.Set(fiber.HeaderCacheControl, "public, max-age=31536000, immutable")
	} else {
		c.Set(fiber.HeaderCacheControl, "no-store")
	}
	return c.Send(content)
}
