package provisioning

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"portico/app"
	"portico/app/contracts"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

// group is some of the actions under one heading.
type group struct {
	Label   string
	Actions []Action
	Form    *ActionForm // the one that is open in place
	Values  *web.Form
}

// adminView is what views/provisioning/admin.html shows: the page **Manage** of a product in the admin area.
type adminView struct {
	Head           contracts.Head
	Product        Product
	Path           string
	Groups         []group
	Configuration  *Configuration // nil without one
	Configurations []web.Option
	Settings       []Value
	Fields         []Value
	Switches       []switchRow
	Logs           any // of "provisionlogs/section", nil for who may not see logs
	OpenForm       bool
	CanConfigure   bool
	CanEditFields  bool
}

// switchRow is a function that an admin switches on for this product.
type switchRow struct {
	Action, Label, Kind string
	On                  bool
}

// debugOf is the exchange of one attempt.
type debugOf struct {
	Attempt int
	Text    string
	Count   int
}

// deedsPart are the actions, which the page fetches again when a run changes.
const deedsPart = "provisioning/deeds"

// ManageStore answers GET /admin/contracts/:id/manage and /admin/purchases/:id/manage: ?form= opens an action's form, and the filter of
// the logs stands in the address as on their own page.
func (h *Handlers) ManageStore(c *fiber.Ctx) error {
	item, err := h.contracts.Find(c)
	if err != nil {
		return err
	}
	logs, answered, err := h.logsOf(c, item)
	if err != nil || answered {
		return err
	}
	page, err := h.manageStore(c, item, logs, c.Query("form"), nil)
	if err != nil {
		return err
	}
	return web.Render(c, page)
}

// logsOf is the section **Logs** of a product's page, nil where it is not to be drawn; answered is as Logs has it.
func (h *Handlers) logsOf(c *fiber.Ctx, item contracts.Item) (logs any, answered bool, err error) {
	if !item.Product.OfStore() || !item.Allows("run_logs") || c.Get("HX-Target") == web.PartID(deedsPart) {
		return nil, false, nil
	}
	base, _, _ := strings.Cut(managePath(item.Product.ContractID, item.Product.ID, true), "?")
	return h.logs(c, item.Product.ID, base)
}

// manageStore draws the page with the form of one action open in place; typed is what was posted of it, nil for a fresh one.
func (h *Handlers) manageStore(c *fiber.Ctx, item contracts.Item, logs any, open string, typed *web.Form) (web.Page, error) {
	r, ctx := web.Of(c), c.UserContext()
	p, err := h.service.Product(ctx, r.Viewer, item.Product.ID)
	if err != nil {
		return web.Page{}, err
	}
	if !p.OfStore() {
		return web.Page{}, app.ErrNotFound
	}
	view := adminView{Product: p, Path: managePath(p.ContractID, p.ID, true), Logs: logs, CanConfigure: r.Viewer.Role == app.RoleAdmin, CanEditFields: p.Allows("run_fields")}
	if view.Head, err = h.contracts.Head(c, item, "manage"); err != nil {
		return web.Page{}, err
	}
	actions, err := h.actions(c, p, nil)
	if err != nil {
		return web.Page{}, err
	}
	h.allowLogins(c, r.Viewer, actions)
	for _, kind := range []string{"everyday", "account", "access", "good"} {
		g := group{Label: r.T("provisioning.group-" + kind)}
		for _, a := range actions {
			if groupOf(a.Function) == kind {
				g.Actions = append(g.Actions, a)
			}
		}
		for _, a := range g.Actions {
			if a.Name != open || a.Off != "" && typed == nil {
				continue
			}
			if err := h.openForm(c, p, a, &g, typed); err != nil {
				return web.Page{}, err
			}
			view.OpenForm = true
		}
		if len(g.Actions) > 0 {
			view.Groups = append(view.Groups, g)
		}
	}
	if view.CanConfigure {
		if err := h.configurationOf(c, p, &view); err != nil {
			return web.Page{}, err
		}
		view.Switches = h.switches(r, p)
	}
	category, _ := CategoryOf(p.Category)
	view.Fields = values(r, category.Fields, p.Fields, "")
	page := contracts.Page(item, "provisioning/admin", view)
	page.Parts = []string{deedsPart}
	return page, nil
}

// inPlace is the page with the form of an action as it was typed.
func (h *Handlers) inPlace(c *fiber.Ctx, p Product, f Function, typed *web.Form) (web.Page, error) {
	item, err := h.contracts.ItemOf(c, p.ContractID, p.ID)
	if err != nil {
		return web.Page{}, err
	}
	logs, _, err := h.logsOf(c, item)
	if err != nil {
		return web.Page{}, err
	}
	return h.manageStore(c, item, logs, f.Name, typed)
}

// groupOf says under which heading an action stands.
func groupOf(f Function) string {
	switch {
	case f.Name == "terminate" || f.Class == ClassDestroy:
		return "good"
	case f.Name == "suspend" || f.Name == "unsuspend":
		return "access"
	case f.Everyday || f.Class == ClassRead || f.Class == ClassLogin || f.Class == ClassChange:
		return "everyday"
	}
	return "account"
}

func (h *Handlers) openForm(c *fiber.Ctx, p Product, a Action, g *group, typed *web.Form) error {
	page, err := h.actionPage(c, p, a.Function)
	if err != nil {
		return err
	}
	form := page.Data.(ActionForm)
	if g.Values = typed; typed == nil {
		known, err := h.service.known(c.UserContext(), h.service.pool, p)
		if err != nil {
			return err
		}
		g.Values = NewForm(a.Params, Prefill(form.Fields, known))
	}
	g.Form = &form
	return nil
}

// View draws the open form's inputs with its own values: the page has no form of its own.
func (g group) View(view *web.View) *web.View {
	inner := *view.With(*g.Form)
	inner.Form = g.Values
	return &inner
}

func (h *Handlers) configurationOf(c *fiber.Ctx, p Product, view *adminView) error {
	r, ctx := web.Of(c), c.UserContext()
	all, err := h.service.Configurations(ctx, r.Viewer)
	if err != nil {
		return err
	}
	view.Configurations = []web.Option{{Label: r.T("provisioning.configuration-none")}}
	for _, configuration := range all {
		if configuration.Category == p.Category {
			view.Configurations = append(view.Configurations, web.Option{Value: configuration.ID, Label: configuration.Name})
		}
	}
	if p.ConfigurationID == nil || p.Driver == "" {
		return nil
	}
	configuration, _, err := h.service.Configuration(ctx, r.Viewer, *p.ConfigurationID)
	if err != nil {
		return err
	}
	view.Configuration = &configuration
	view.Settings = settingsOf(r, configuration)
	return nil
}

// settingsOf are a configuration's settings in words; of the secret ones only whether they are set.
func settingsOf(r *web.Request, c Configuration) []Value {
	all := values(r, c.Fields, c.Settings, "")
	for _, field := range c.Fields {
		if field.HasSecret() {
			all = append(all, Value{Name: field.Name, Label: r.T(field.LabelKey()), Secret: true, Set: slices.Contains(c.SecretsSet, field.Name)})
		}
	}
	return all
}

func (h *Handlers) switches(r *web.Request, p Product) []switchRow {
	driver, err := h.service.drivers.Driver(p.Driver)
	if err != nil {
		return nil
	}
	var rows []switchRow
	for _, f := range driver.Functions(p.Category) {
		if f.Optional {
			rows = append(rows, switchRow{f.Name, r.T(f.LabelKey()), "optional", slices.Contains(p.Optional, f.Name)})
		}
		if f.Delegable {
			rows = append(rows, switchRow{f.Name, r.T(f.LabelKey()), "delegates", slices.Contains(p.ForDelegates, f.Name)})
		}
	}
	return rows
}

// debug reads the exchanges of some runs.
func (h *Handlers) debug(c *fiber.Ctx, runs []Line) (map[string][]debugOf, error) {
	ids := make([]string, len(runs))
	for i, run := range runs {
		ids[i] = run.ID
	}
	rows, err := debugData(c.UserContext(), h.service.pool, ids)
	if err != nil {
		return nil, err
	}
	byRun := map[string][]debugOf{}
	for _, row := range rows {
		var held struct {
			Exchanges []json.RawMessage `json:"exchanges"`
		}
		text, err := json.MarshalIndent(row.Data, "", "  ")
		if err != nil || json.Unmarshal(row.Data, &held) != nil {
			continue
		}
		byRun[row.RunID] = append(byRun[row.RunID], debugOf{row.Attempt, string(text), len(held.Exchanges)})
	}
	return byRun, nil
}

// chooseForm is which configuration a product uses.
type chooseForm struct {
	Configuration string `form:"configuration"`
}

// Choose answers POST /admin/manage/:id/configuration.
func (h *Handlers) Choose(c *fiber.Ctx) error {
	p, err := h.product(c)
	if err != nil {
		return err
	}
	var form chooseForm
	if err := web.Bind(c, &form); err != nil {
		return err
	}
	if form.Configuration != "" && !app.IsID(form.Configuration) {
		return app.ErrNotFound
	}
	if err := h.service.Choose(c.UserContext(), web.Viewer(c), p.ID, form.Configuration); err != nil {
		return err
	}
	web.SetFlash(c, "good", "provisioning.configuration-chosen")
	return web.Redirect(c, managePath(p.ContractID, p.ID, true)+"#config")
}

func (h *Handlers) product(c *fiber.Ctx) (Product, error) {
	id, err := web.ID(c, "id")
	if err != nil {
		return Product{}, err
	}
	return h.service.Product(c.UserContext(), web.Viewer(c), id)
}

// switchForm turns a function on or off.
type switchForm struct {
	Action string `form:"action"`
	Kind   string `form:"kind"`
	On     bool   `form:"on"`
}

// Switch answers POST /admin/manage/:id/switch.
func (h *Handlers) Switch(c *fiber.Ctx) error {
	p, err := h.product(c)
	if err != nil {
		return err
	}
	var form switchForm
	if err := web.Bind(c, &form); err != nil {
		return err
	}
	if err := h.service.Switch(c.UserContext(), web.Viewer(c), p.ID, form.Action, form.Kind, form.On); err != nil {
		return err
	}
	return web.Redirect(c, managePath(p.ContractID, p.ID, true)+"#switches")
}

// fieldsView is what views/provisioning/edit-fields.html shows.
type fieldsView struct {
	Product Product
	Back    string
	Path    string
	Fields  []Field
	Stored  map[string]bool
	History []historyLine
}

// historyLine is one change of a product's fields in words.
type historyLine struct {
	FieldHistory
	Changes []Value
}

// Inputs are the form's inputs, for the template.
func (f fieldsView) Inputs(view *web.View) []Input { return Inputs(view, f.Fields, f.Stored, "") }

// EditFields answers GET /admin/manage/:id/fields.
func (h *Handlers) EditFields(c *fiber.Ctx) error {
	p, err := h.product(c)
	if err != nil {
		return err
	}
	page, err := h.fieldsPage(c, p)
	if err != nil {
		return err
	}
	page.Form = NewForm(page.Data.(fieldsView).Fields, p.Fields)
	return web.Render(c, page)
}

func (h *Handlers) fieldsPage(c *fiber.Ctx, p Product) (web.Page, error) {
	r := web.Of(c)
	if !p.OfStore() || !p.Allows("run_fields") {
		return web.Page{}, app.ErrForbidden
	}
	category, _ := CategoryOf(p.Category)
	view := fieldsView{Product: p, Back: managePath(p.ContractID, p.ID, true), Path: "/admin/manage/" + p.ID + "/fields", Fields: optional(category.Fields), Stored: map[string]bool{}}
	for _, field := range category.Fields {
		if field.HasSecret() && p.Fields[field.Name] != nil {
			view.Stored[field.Name] = true
		}
	}
	entries, err := h.service.History(c.UserContext(), r.Viewer, p.ID)
	if err != nil {
		return web.Page{}, err
	}
	for _, entry := range entries {
		line := historyLine{FieldHistory: entry}
		for _, field := range category.Fields {
			change, ok := entry.Details[field.Name].(map[string]any)
			if !ok {
				continue
			}
			line.Changes = append(line.Changes, Value{Name: field.Name, Label: r.T(field.LabelKey()), Before: Written(field, change["before"]), Text: Written(field, change["after"]), Secret: field.HasSecret()})
		}
		view.History = append(view.History, line)
	}
	return web.Page{
		View: "provisioning/edit-fields", Frame: web.FrameAdmin, Section: "clients", Data: view,
		Title: app.Text{Key: "provisioning.action-title", Args: map[string]any{"Action": r.T("provisioning.fields"), "Product": cmp.Or(p.Identifier, p.Name)}},
	}, nil
}

// UpdateFields answers POST /admin/manage/:id/fields.
func (h *Handlers) UpdateFields(c *fiber.Ctx) error {
	p, err := h.product(c)
	if err != nil {
		return err
	}
	page, err := h.fieldsPage(c, p)
	if err != nil {
		return err
	}
	posted, err := web.Posted(c)
	if err == nil {
		err = h.service.SaveFields(c.UserContext(), web.Viewer(c), p.ID, posted)
	}
	if err == nil {
		web.SetFlash(c, "good", "provisioning.fields-saved")
		return web.Redirect(c, managePath(p.ContractID, p.ID, true)+"#fields")
	}
	if page.Form, err = Typed(page.Data.(fieldsView).Fields, posted, err); err != nil {
		return err
	}
	page.Status = fiber.StatusUnprocessableEntity
	return web.Render(c, page)
}
