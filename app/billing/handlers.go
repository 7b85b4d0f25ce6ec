package billing

import (
	"errors"
	"strconv"

	"portico/app"
	"portico/app/access"
	"portico/app/clients"
	"portico/app/contracts"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

// Handlers are the pages of money: a contract's **Billing** tab with what its owner may do there, an account's invoices and statement,
// one invoice; for account holders and, below /admin, for the store (handlers_store.go).
type Handlers struct {
	service   *Service
	contracts *contracts.Handlers
	clients   *clients.Handlers
}

// NewHandlers returns the handlers of a Service, and offers the tab **Billing** to contracts and purchases, and **Invoices** to the
// profiles of clients.
func NewHandlers(s *Service, pages *contracts.Handlers, profiles *clients.Handlers) *Handlers {
	profiles.Offer(clients.Tab{Name: "invoices", Position: 5, Shown: func(v app.Viewer) bool { return access.Check(v, "invoices", "view") == nil }})
	s.contracts.Offer(contracts.Tab{Name: "billing", Position: 4, Shown: func(_ app.Viewer, i contracts.Item) bool { return i.Allows("billing") }})
	return &Handlers{s, pages, profiles}
}

// invoicesPath is where a viewer's invoices are.
func invoicesPath(v app.Viewer) string {
	if v.OfStore() {
		return "/admin/invoices"
	}
	return "/invoices"
}

// itemView is what the pages of a contract's money show.
type itemView struct {
	Head contracts.Head
	Billing
	Invoices listView
	Today    Day
	Can      deeds
}

// deeds are what the viewer may do with the contract now.
type deeds struct{ AutoRenew, Cancel, TakeBack, Upgrade, Modify bool }

func (h *Handlers) item(c *fiber.Ctx) (itemView, error) {
	r := web.Of(c)
	item, err := h.contracts.Find(c)
	if err != nil {
		return itemView{}, err
	}
	billing, err := h.service.Of(c.UserContext(), item)
	if err != nil {
		return itemView{}, err
	}
	head, err := h.contracts.Head(c, item, "billing")
	if err != nil {
		return itemView{}, err
	}
	view := itemView{Head: head, Billing: billing, Today: DayOf(r.Now, r.Zone)}
	view.Invoices = listView{Invoices: billing.Invoices, Path: invoicesPath(r.Viewer), Today: view.Today}
	if contract := item.Contract; contract != nil && contract.Running() {
		// The page of a deed has a permission of its own, which e.g. who has yet to confirm their address lacks.
		may := func(deed string) bool {
			pages := "own_contracts"
			if r.Viewer.OfStore() {
				pages = "client_contracts"
			}
			return item.Allows(deed) && access.Check(r.Viewer, pages, deed) == nil
		}
		view.Can = deeds{
			AutoRenew: may("auto_renew"), Cancel: may("cancel") && contract.CancelsOn == nil, TakeBack: may("cancel") && contract.CancelsOn != nil,
			Upgrade: may("upgrade"), Modify: may("modify"),
		}
	}
	return view, nil
}

// ShowItem answers GET /contracts/:id/billing and /purchases/:id/billing, and the same below /admin.
func (h *Handlers) ShowItem(c *fiber.Ctx) error {
	view, err := h.item(c)
	if err != nil {
		return err
	}
	return web.Render(c, contracts.Page(view.Item, "billing/item", view))
}

// back sends to the **Billing** tab.
func back(c *fiber.Ctx, item contracts.Item) error { return web.Redirect(c, item.Path()+"/billing") }

// deed finds the contract of the address, does something with it, which says what was done, and goes back to its **Billing** tab.
func (h *Handlers) deed(c *fiber.Ctx, do func(item contracts.Item) (done string, err error)) error {
	item, err := h.contracts.Find(c)
	if err != nil {
		return err
	}
	if item.Contract == nil {
		return app.ErrNotFound
	}
	done, err := do(item)
	if err != nil {
		return err
	}
	web.SetFlash(c, "good", done)
	return back(c, item)
}

// SetAutoRenew answers POST /contracts/:id/auto-renew.
func (h *Handlers) SetAutoRenew(c *fiber.Ctx) error {
	return h.deed(c, func(item contracts.Item) (string, error) {
		var form struct {
			On bool `form:"on"`
		}
		if err := web.Bind(c, &form); err != nil {
			return "", err
		}
		done := map[bool]string{true: "billing.auto-renew-on", false: "billing.auto-renew-off"}[form.On]
		return done, h.service.SetAutoRenew(c.UserContext(), web.Viewer(c), item.Contract.ID, form.On)
	})
}

// TakeBack answers POST /contracts/:id/cancellation/back.
func (h *Handlers) TakeBack(c *fiber.Ctx) error {
	return h.deed(c, func(item contracts.Item) (string, error) {
		return "billing.cancel-taken-back", h.service.TakeBack(c.UserContext(), web.Viewer(c), item.Contract.ID)
	})
}

// cancelForm is a cancellation as people ask for it.
type cancelForm struct {
	When   string `form:"when"` // "term" or "now"
	Reason string `form:"reason"`
}

// mayPage finds the contract of a page that leads to a change: app.ErrForbidden where the viewer may not make it, contracts.ErrState where
// the contract does not run.
func (h *Handlers) mayPage(c *fiber.Ctx, action string) (itemView, error) {
	item, err := h.contracts.Find(c)
	if err != nil {
		return itemView{}, err
	}
	if item.Contract == nil {
		return itemView{}, app.ErrNotFound
	}
	if !item.Allows(action) {
		return itemView{}, app.ErrForbidden
	}
	if !item.Contract.Running() {
		return itemView{}, contracts.ErrState
	}
	head, err := h.contracts.Head(c, item, "billing")
	if err != nil {
		head, err = h.contracts.Head(c, item, "overview") // who may do this without seeing the billing
	}
	return itemView{Head: head, Billing: Billing{Item: item}}, err
}

func (h *Handlers) cancelPage(c *fiber.Ctx) (web.Page, error) {
	view, err := h.mayPage(c, "cancel")
	if err != nil {
		return web.Page{}, err
	}
	page := contracts.Page(view.Item, "billing/cancel", view)
	page.Title = app.Text{Key: "billing.cancel-title"}
	return page, nil
}

// ConfirmCancel answers GET /contracts/:id/cancellation.
func (h *Handlers) ConfirmCancel(c *fiber.Ctx) error {
	page, err := h.cancelPage(c)
	if err != nil {
		return err
	}
	page.Form = web.NewForm(cancelForm{When: "term"})
	return web.Render(c, page)
}

// Cancel answers POST /contracts/:id/cancellation.
func (h *Handlers) Cancel(c *fiber.Ctx) error {
	v := web.Viewer(c)
	item, err := h.contracts.Find(c)
	if err != nil {
		return err
	}
	if item.Contract == nil {
		return app.ErrNotFound
	}
	var form cancelForm
	done := "billing.cancelled-now"
	if err = web.Bind(c, &form); err == nil {
		switch form.When {
		case "now":
			err = h.service.CancelNow(c.UserContext(), v, item.Contract.ID, form.Reason)
		case "term":
			done = "billing.cancelled-later"
			err = h.service.CancelLater(c.UserContext(), v, item.Contract.ID, form.Reason)
		default:
			err = app.Invalidf("when", "billing.when-missing")
			if !item.Allows("cancel") {
				err = app.ErrForbidden
			}
		}
	}
	var invalid *app.Invalid
	if errors.As(err, &invalid) {
		page, pageErr := h.cancelPage(c)
		if pageErr != nil {
			return pageErr
		}
		return web.Rerender(c, err, page, form)
	}
	if err != nil {
		return err
	}
	web.SetFlash(c, "good", done)
	if item.Allows("billing") {
		return back(c, item)
	}
	return web.Redirect(c, item.Path())
}

// labelForm is a label as people type it.
type labelForm struct {
	Name      string `form:"name"`
	Reference string `form:"reference"`
}

func (h *Handlers) labelPage(c *fiber.Ctx) (web.Page, labelForm, error) {
	view, err := h.mayPage(c, "modify")
	if err != nil {
		return web.Page{}, labelForm{}, err
	}
	reference, err := h.service.Reference(c.UserContext(), view.Item)
	page := contracts.Page(view.Item, "billing/label", view)
	page.Title = app.Text{Key: "billing.label-title"}
	return page, labelForm{view.Item.Contract.Name, reference}, err
}

// EditLabel answers GET /contracts/:id/label.
func (h *Handlers) EditLabel(c *fiber.Ctx) error {
	page, form, err := h.labelPage(c)
	if err != nil {
		return err
	}
	page.Form = web.NewForm(form)
	return web.Render(c, page)
}

// UpdateLabel answers POST /contracts/:id/label.
func (h *Handlers) UpdateLabel(c *fiber.Ctx) error {
	page, _, err := h.labelPage(c)
	if err != nil {
		return err
	}
	view := page.Data.(itemView)
	var form labelForm
	if err = web.Bind(c, &form); err == nil {
		err = h.service.Modify(c.UserContext(), web.Viewer(c), view.Item.Contract.ID, Label(form))
	}
	var invalid *app.Invalid
	if errors.As(err, &invalid) {
		return web.Rerender(c, err, page, form)
	}
	if err != nil {
		return err
	}
	web.SetFlash(c, "good", "billing.label-saved")
	return back(c, view.Item)
}

// planView is what views/billing/plan.html shows.
type planView struct {
	itemView
	Choices []Choice
	Tax     bool
}

func (h *Handlers) planPage(c *fiber.Ctx) (web.Page, error) {
	view, err := h.mayPage(c, "upgrade")
	if err != nil {
		return web.Page{}, err
	}
	_, choices, err := h.service.Choices(c.UserContext(), web.Viewer(c), view.Item.Product.ID)
	if err != nil {
		return web.Page{}, err
	}
	view.Currency = web.Of(c).Store.Currency
	page := contracts.Page(view.Item, "billing/plan", planView{itemView: view, Choices: choices})
	page.Title = app.Text{Key: "billing.plan-title"}
	return page, nil
}

// Plans answers GET /contracts/:id/plan: what the product may be changed to, with what it costs today.
func (h *Handlers) Plans(c *fiber.Ctx) error {
	page, err := h.planPage(c)
	if err != nil {
		return err
	}
	return web.Render(c, page)
}

// ChangePlan answers POST /contracts/:id/plan.
func (h *Handlers) ChangePlan(c *fiber.Ctx) error {
	page, err := h.planPage(c)
	if err != nil {
		return err
	}
	view := page.Data.(planView)
	var form struct {
		Plan  string `form:"plan"`
		Shown string `form:"shown"` // the net amount in minor units that the button named
	}
	if err := web.Bind(c, &form); err != nil {
		return err
	}
	shown, err := strconv.ParseInt(form.Shown, 10, 64)
	if err != nil || !isID(form.Plan) {
		return app.Invalidf("", "form.unreadable")
	}
	err = h.service.ChangePlan(c.UserContext(), web.Viewer(c), view.Item.Product.ID, form.Plan, shown)
	if errors.Is(err, ErrPrice) {
		web.SetFlash(c, "warn", "billing.price-changed")
		return web.Redirect(c, view.Item.Path()+"/plan?product="+view.Item.Product.ID)
	}
	if err != nil {
		return err
	}
	web.SetFlash(c, "good", "billing.plan-changed")
	if view.Item.Allows("billing") {
		return back(c, view.Item)
	}
	return web.Redirect(c, view.Item.Path())
}

// optionsForm is what an owner wants: first the price is shown, then it is agreed to.
type optionsForm struct {
	Options []string `form:"options" query:"options"`
	Asked   bool     `query:"asked"` // the price of Options is asked for
	Shown   string   `form:"shown"`  // the net amount in minor units that the button named
}

// optionsView is what views/billing/options.html shows.
type optionsView struct {
	itemView
	Change OptionChange
	Asked  bool
}

// options reads what the page shows for what is wanted; nil is what the product has.
func (h *Handlers) options(c *fiber.Ctx, wanted []string) (web.Page, error) {
	view, err := h.mayPage(c, "modify")
	if err != nil {
		return web.Page{}, err
	}
	view.Currency = web.Of(c).Store.Currency
	shown := optionsView{itemView: view, Asked: wanted != nil}
	shown.Change, err = h.service.Options(c.UserContext(), web.Viewer(c), view.Item.Contract.ID, view.Item.Product.ID, wanted)
	page := contracts.Page(view.Item, "billing/options", shown)
	page.Title = app.Text{Key: "billing.options-title"}
	return page, err
}

// EditOptions answers GET /contracts/:id/options: the options of a product, and, asked, what having those that are ticked would cost.
func (h *Handlers) EditOptions(c *fiber.Ctx) error {
	var form optionsForm
	if err := c.QueryParser(&form); err != nil {
		return app.Invalidf("", "form.unreadable")
	}
	var wanted []string
	if form.Asked {
		wanted = append([]string{}, form.Options...)
	}
	page, err := h.options(c, wanted)
	if err != nil {
		return err
	}
	return web.Render(c, page)
}

// UpdateOptions answers POST /contracts/:id/options.
func (h *Handlers) UpdateOptions(c *fiber.Ctx) error {
	view, err := h.mayPage(c, "modify")
	if err != nil {
		return err
	}
	var form optionsForm
	if err := web.Bind(c, &form); err != nil {
		return err
	}
	shown, err := strconv.ParseInt(form.Shown, 10, 64)
	if err != nil {
		return app.Invalidf("", "form.unreadable")
	}
	err = h.service.SetOptions(c.UserContext(), web.Viewer(c), view.Item.Contract.ID, view.Item.Product.ID, form.Options, shown)
	if errors.Is(err, ErrPrice) {
		web.SetFlash(c, "warn", "billing.price-changed")
		return web.Redirect(c, view.Item.Path()+"/options?product="+view.Item.Product.ID)
	}
	if err != nil {
		return err
	}
	web.SetFlash(c, "good", "billing.options-saved")
	if view.Item.Allows("billing") {
		return back(c, view.Item)
	}
	return web.Redirect(c, view.Item.Path())
}
