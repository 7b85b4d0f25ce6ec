package provisioning

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"portico/app"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

const configurationsPath = "/admin/provisioning/configurations"

// configurationsView is what views/provisioning/configurations.html shows.
type configurationsView struct {
	Configurations []configurationRow
	Drivers        []driverChoice
}

type configurationRow struct {
	Configuration
	Path, CategoryName string
}

// driverChoice is a provider of a category, for a new configuration.
type driverChoice struct{ Href, Title, Category string }

// IndexConfigurations answers GET /admin/provisioning/configurations.
func (h *Handlers) IndexConfigurations(c *fiber.Ctx) error {
	r := web.Of(c)
	all, err := h.service.Configurations(c.UserContext(), r.Viewer)
	if err != nil {
		return err
	}
	var view configurationsView
	for _, configuration := range all {
		view.Configurations = append(view.Configurations, configurationRow{configuration, configurationsPath + "/" + configuration.ID, categoryName(r, configuration.Category)})
	}
	view.Drivers = h.choices(r)
	return web.Render(c, web.Page{
		View: "provisioning/configurations", Title: app.Text{Key: "provisioning.configurations"}, Section: "configurations", Data: view, Parts: []string{"provisioning/configuration-list"},
	})
}

func categoryName(r *web.Request, name string) string {
	category, ok := CategoryOf(name)
	if !ok {
		return name
	}
	return r.T(category.LabelKey())
}

func (h *Handlers) choices(r *web.Request) []driverChoice {
	var choices []driverChoice
	for _, category := range Categories() {
		for _, driver := range h.service.Drivers(category.Name) {
			href := configurationsPath + "/new/" + url.PathEscape(driver.Name()) + "/" + url.PathEscape(category.Name)
			choices = append(choices, driverChoice{href, driver.Title(), r.T(category.LabelKey())})
		}
	}
	return choices
}

// configurationView is what views/provisioning/configuration.html shows.
type configurationView struct {
	Configuration Configuration
	New           bool
	Path          string
	CategoryName  string
	Fields        []Field
	Stored        map[string]bool
	Users         []UserOf
	Tested        *Tested
}

// Inputs are the form's inputs, for the template.
func (f configurationView) Inputs(view *web.View) []Input {
	return Inputs(view, f.Fields, f.Stored, "")
}

// NewConfiguration answers GET /admin/provisioning/configurations/new/:driver/:category.
func (h *Handlers) NewConfiguration(c *fiber.Ctx) error {
	page, err := h.newConfigurationPage(c, c.Params("driver"), c.Params("category"))
	if err != nil {
		return err
	}
	view := page.Data.(configurationView)
	page.Form = NewForm(view.Fields, Prefill(view.Fields, nil))
	page.Form.Values["rate"] = []string{"5"}
	return web.Render(c, page)
}

func (h *Handlers) newConfigurationPage(c *fiber.Ctx, driverName, category string) (web.Page, error) {
	r := web.Of(c)
	driver, err := h.service.drivers.Driver(driverName)
	if err != nil || !slices.Contains(driver.Categories(), category) {
		return web.Page{}, app.ErrNotFound
	}
	view := configurationView{
		New: true, Path: configurationsPath, CategoryName: categoryName(r, category), Fields: driver.Settings(category), Stored: map[string]bool{},
		Configuration: Configuration{Driver: driver.Name(), DriverTitle: driver.Title(), Category: category},
	}
	return web.Page{View: "provisioning/configuration", Title: app.Text{Key: "provisioning.configuration-new"}, Section: "configurations", Data: view}, nil
}

func (h *Handlers) configurationPage(c *fiber.Ctx) (web.Page, error) {
	r := web.Of(c)
	id, err := web.ID(c, "id")
	if err != nil {
		return web.Page{}, err
	}
	configuration, users, err := h.service.Configuration(c.UserContext(), r.Viewer, id)
	if err != nil {
		return web.Page{}, err
	}
	view := configurationView{
		Configuration: configuration, Path: configurationsPath + "/" + id, CategoryName: categoryName(r, configuration.Category), Fields: configuration.Fields,
		Stored: map[string]bool{}, Users: users,
	}
	for _, name := range configuration.SecretsSet {
		view.Stored[name] = true
	}
	page := web.Page{View: "provisioning/configuration", Title: app.Text{Key: "provisioning.configuration-title", Args: map[string]any{"Name": configuration.Name}}, Section: "configurations", Data: view}
	page.Form = NewForm(view.Fields, configuration.Settings)
	page.Form.Values["name"] = []string{configuration.Name}
	page.Form.Values["rate"] = []string{strconv.Itoa(configuration.RatePerSecond)}
	return page, nil
}

// ShowConfiguration answers GET /admin/provisioning/configurations/:id.
func (h *Handlers) ShowConfiguration(c *fiber.Ctx) error {
	page, err := h.configurationPage(c)
	if err != nil {
		return err
	}
	return web.Render(c, page)
}

// CreateConfiguration answers POST /admin/provisioning/configurations.
func (h *Handlers) CreateConfiguration(c *fiber.Ctx) error { return h.saveConfiguration(c, "") }

// UpdateConfiguration answers POST /admin/provisioning/configurations/:id.
func (h *Handlers) UpdateConfiguration(c *fiber.Ctx) error {
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	return h.saveConfiguration(c, id)
}

func (h *Handlers) saveConfiguration(c *fiber.Ctx, id string) error {
	posted, err := web.Posted(c)
	if err != nil {
		return err
	}
	values := map[string][]string{}
	for name, value := range posted {
		values[name] = value
	}
	for _, name := range []string{"name", "rate", "driver", "category"} {
		delete(values, name)
	}
	rate, err := strconv.Atoi(strings.TrimSpace(first(posted, "rate")))
	if err != nil {
		rate = 0 // which is refused
	}
	set := Setup{Name: first(posted, "name"), Driver: first(posted, "driver"), Category: first(posted, "category"), Rate: rate, Values: values}
	saved, err := h.service.SaveConfiguration(c.UserContext(), web.Viewer(c), id, set)
	if err == nil {
		web.SetFlash(c, "good", "provisioning.configuration-saved")
		return web.Redirect(c, configurationsPath+"/"+saved)
	}
	var invalid *app.Invalid
	if !errors.As(err, &invalid) {
		return err
	}
	var page web.Page
	var pageErr error
	if id == "" {
		page, pageErr = h.newConfigurationPage(c, set.Driver, set.Category)
	} else {
		page, pageErr = h.configurationPage(c)
	}
	if pageErr != nil {
		return pageErr
	}
	if page.Form, err = Typed(page.Data.(configurationView).Fields, values, invalid); err != nil {
		return err
	}
	page.Form.Values["name"], page.Form.Values["rate"] = posted["name"], posted["rate"]
	page.Status = fiber.StatusUnprocessableEntity
	return web.Render(c, page)
}

// TestConfiguration answers POST /admin/provisioning/configurations/:id/test.
func (h *Handlers) TestConfiguration(c *fiber.Ctx) error {
	page, err := h.configurationPage(c)
	if err != nil {
		return err
	}
	view := page.Data.(configurationView)
	tested, err := h.service.TestConfiguration(c.UserContext(), web.Viewer(c), view.Configuration.ID)
	if err != nil {
		return err
	}
	if back := c.Query("product"); app.IsID(back) {
		p, err := h.service.Product(c.UserContext(), web.Viewer(c), back)
		if err != nil {
			return err
		}
		if tested.OK {
			web.SetFlash(c, "good", "provisioning.tested-ok", "Milliseconds", tested.Took.Milliseconds())
		} else {
			web.SetFlash(c, "bad", "provisioning.tested-bad", "Reason", tested.Reason)
		}
		return web.Redirect(c, managePath(p.ContractID, p.ID, true)+"#config")
	}
	view.Tested = &tested
	page.Data = view
	return web.Render(c, page)
}

// PauseConfiguration answers POST /admin/provisioning/configurations/:id/pause.
func (h *Handlers) PauseConfiguration(c *fiber.Ctx) error {
	return h.doConfiguration(c, h.service.Pause)
}

// ResumeConfiguration answers POST /admin/provisioning/configurations/:id/resume.
func (h *Handlers) ResumeConfiguration(c *fiber.Ctx) error {
	return h.doConfiguration(c, h.service.Resume)
}

// ArchiveConfiguration answers POST /admin/provisioning/configurations/:id/archive.
func (h *Handlers) ArchiveConfiguration(c *fiber.Ctx) error {
	return h.doConfiguration(c, h.service.ArchiveConfiguration)
}

func (h *Handlers) doConfiguration(c *fiber.Ctx, do func(ctx context.Context, v app.Viewer, id string) error) error {
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	if err := do(c.UserContext(), web.Viewer(c), id); err != nil {
		return err
	}
	return web.Redirect(c, configurationsPath)
}

// wordsView is what views/provisioning/words.html shows.
type wordsView struct{ Families []familyRow }

type familyRow struct{ Family, Label, Default string }

// EditWords answers GET /admin/provisioning/words: what clients read when a provider refuses.
func (h *Handlers) EditWords(c *fiber.Ctx) error {
	page, err := h.wordsPage(c)
	if err != nil {
		return err
	}
	return web.Render(c, page)
}

func (h *Handlers) wordsPage(c *fiber.Ctx) (web.Page, error) {
	r := web.Of(c)
	words, err := h.service.Words(c.UserContext(), r.Viewer)
	if err != nil {
		return web.Page{}, err
	}
	form := &web.Form{Values: map[string][]string{}}
	for _, word := range words {
		form.Values[word.Family] = []string{word.Text}
	}
	var view wordsView
	for _, family := range Families {
		view.Families = append(view.Families, familyRow{family, "provisioning.family-name-" + family, r.T("provisioning.family-" + family)})
	}
	return web.Page{View: "provisioning/words", Title: app.Text{Key: "provisioning.words"}, Section: "configurations", Data: view, Form: form}, nil
}

// UpdateWords answers POST /admin/provisioning/words.
func (h *Handlers) UpdateWords(c *fiber.Ctx) error {
	posted, err := web.Posted(c)
	if err != nil {
		return err
	}
	for _, family := range Families {
		if err = h.service.SaveWords(c.UserContext(), web.Viewer(c), family, first(posted, family)); err != nil {
			break
		}
	}
	if err == nil {
		web.SetFlash(c, "good", "provisioning.words-saved")
		return web.Redirect(c, "/admin/provisioning/words")
	}
	var invalid *app.Invalid
	if !errors.As(err, &invalid) {
		return err
	}
	page, pageErr := h.wordsPage(c)
	if pageErr != nil {
		return pageErr
	}
	page.Form = &web.Form{Values: posted, Errors: invalid.Fields}
	page.Status = fiber.StatusUnprocessableEntity
	return web.Render(c, page)
}
