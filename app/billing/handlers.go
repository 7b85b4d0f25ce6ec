package billing

import (
	"bytes"
	"errors"
	"strconv"
	"strings"

	"portico/app"
	"portico/app/access"
	"portico/app/clients"
	"portico/app/contracts"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"
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

// listView is a list of invoices.
type listView struct {
	Invoices []Invoice
	Path     string // of which an invoice's address begins
	Accounts bool   // names each one's account
	Today    Day
}

// accountView is what views/billing/account.html shows.
type accountView struct {
	Menu     contracts.Menu
	Account  Account
	Accounts []Account // those to choose from
	Currency string
	Balance  Balance
	List     listView
	Next     string // address of the next page of invoices, "" on the last one
	Entries  []Entry
	Older    string // address of the next page of the statement
}

// mine finds the account that a page of the client area is about: ?account=, or the viewer's first.
func (h *Handlers) mine(c *fiber.Ctx) (Account, []Account, error) {
	accounts, err := h.service.Accounts(c.UserContext(), web.Viewer(c))
	if err != nil {
		return Account{}, nil, err
	}
	if id := c.Query("account"); id != "" {
		a, err := h.service.Account(c.UserContext(), web.Viewer(c), id, "view")
		return a, accounts, err
	}
	if len(accounts) == 0 {
		return Account{}, nil, nil
	}
	return accounts[0], accounts, nil
}

// Index answers GET /invoices: an account's invoices and its statement.
func (h *Handlers) Index(c *fiber.Ctx) error {
	if web.Viewer(c).OfStore() {
		return web.Redirect(c, "/admin/invoices")
	}
	a, accounts, err := h.mine(c)
	if err != nil {
		return err
	}
	view, err := h.account(c, a, accounts, "/invoices?account="+a.ID)
	if err != nil {
		return err
	}
	if view.Menu, err = h.contracts.Menu(c, "invoices"); err != nil {
		return err
	}
	return web.Render(c, web.Page{View: "billing/index", Title: app.Text{Key: "billing.invoices"}, Section: "products", Data: view})
}

// account reads what a page about an account's money shows. base is the page's address, to which parameters may be added by "&".
func (h *Handlers) account(c *fiber.Ctx, a Account, accounts []Account, base string) (accountView, error) {
	r := web.Of(c)
	view := accountView{Account: a, Accounts: accounts, Currency: r.Store.Currency}
	if a.ID == "" {
		return view, nil
	}
	after, err := app.ParseKey(c.Query("after"))
	if err != nil {
		return view, err
	}
	invoices, next, err := h.service.OfAccount(c.UserContext(), a, Filter{}, after)
	if err != nil {
		return view, err
	}
	view.List = listView{Invoices: invoices, Path: invoicesPath(r.Viewer), Today: DayOf(r.Now, r.Zone)}
	if next != nil {
		view.Next = base + "&after=" + next.String()
	}
	before, err := strconv.ParseInt(c.Query("before", "0"), 10, 64)
	if err != nil || before < 0 {
		return view, app.ErrNotFound
	}
	entries, older, err := h.service.Statement(c.UserContext(), a, before)
	if err != nil {
		return view, err
	}
	view.Entries = entries
	if older != 0 {
		view.Older = base + "&before=" + strconv.FormatInt(older, 10)
	}
	view.Balance, err = h.service.Balance(c.UserContext(), a)
	return view, err
}

// invoiceView is what views/billing/show.html shows.
type invoiceView struct {
	Invoice
	Account Account
	Path    string // its address
	Today   Day
	Key     string // of a payment's form
	Methods []web.Option
}

func (h *Handlers) invoicePage(c *fiber.Ctx) (web.Page, error) {
	r := web.Of(c)
	i, a, err := h.service.Invoice(c.UserContext(), r.Viewer, c.Params("id"))
	if err != nil {
		return web.Page{}, err
	}
	view := invoiceView{Invoice: i, Account: a, Path: invoicesPath(r.Viewer) + "/" + i.ID, Today: DayOf(r.Now, r.Zone), Key: uuid.NewString(), Methods: methods(r)}
	section := "products"
	if r.Viewer.OfStore() {
		section = "invoices"
	}
	return web.Page{View: "billing/show", Title: app.Text{Key: "billing.heading-" + i.Kind, Args: map[string]any{"Number": i.Name()}}, Section: section, Data: view}, nil
}

// methods are the ways of paying, for a select.
func methods(r *web.Request) []web.Option {
	options := make([]web.Option, len(Methods))
	for i, method := range Methods {
		options[i] = web.Option{Value: method, Label: r.T("billing.method-" + method)}
	}
	return options
}

// Heading names the document.
func (v invoiceView) Heading(r *web.View) string { return heading(r.Printer, v.Invoice) }

// Facts are the lines beside the heading: label and value.
func (v invoiceView) Facts(r *web.View) [][2]string { return facts(r.Printer, v.Invoice) }

// Totals are net, tax and total: label and amount.
func (v invoiceView) Totals(r *web.View) [][2]string { return totals(r.Printer, v.Invoice) }

// Period writes what time a line is for, "" for none.
func (v invoiceView) Period(r *web.View, line Line) string {
	if line.PeriodStart == nil || line.PeriodEnd == nil {
		return ""
	}
	return period(r.Printer, *line.PeriodStart, *line.PeriodEnd)
}

// Notes are the sentences below the totals.
func (v invoiceView) Notes(r *web.View) []string {
	return filled(reverse(r.Printer, v.Invoice), v.Note, payable(v.Invoice))
}

// Show answers GET /invoices/:id and /admin/invoices/:id.
func (h *Handlers) Show(c *fiber.Ctx) error {
	page, err := h.invoicePage(c)
	if err != nil {
		return err
	}
	view := page.Data.(invoiceView)
	page.Form = web.NewForm(receivedForm{Key: view.Key, On: view.Today.Format("2006-01-02"), Amount: plain(view.OpenMinor(), view.Currency)})
	return web.Render(c, page)
}

// Download answers GET /invoices/:id/pdf and /admin/invoices/:id/pdf.
func (h *Handlers) Download(c *fiber.Ctx) error {
	r := web.Of(c)
	i, _, err := h.service.Invoice(c.UserContext(), r.Viewer, c.Params("id"))
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := PDF(&out, r.Printer, i); err != nil {
		return err
	}
	name := strings.Map(func(r rune) rune {
		if r == '-' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			return r
		}
		return -1
	}, i.Name())
	c.Set(fiber.HeaderContentType, "application/pdf")
	c.Set(fiber.HeaderContentDisposition, `attachment; filename="`+i.Kind+"-"+name+`.pdf"`)
	return c.Send(out.Bytes())
}

// TakePayment answers POST /callbacks/payments/:gateway, where a gateway tells of a payment. The gateway's signature is what lets it in.
func (h *Handlers) TakePayment(c *fiber.Ctx) error {
	header := func(name string) string { return c.Get(name) }
	if err := h.service.FromGateway(c.UserContext(), strings.Clone(c.Params("gateway")), header, c.Body()); err != nil {
		return err
	}
	return c.SendStatus(fiber.StatusNoContent)
}

// detailsForm is where invoices go, as people type it.
type detailsForm struct {
	Name        string `form:"name"`
	Address     string `form:"address"`
	Country     string `form:"country"`
	VatNumber   string `form:"vat_number"`
	Email       string `form:"email"`
	Method      string `form:"method"`
	PaymentDays string `form:"payment_days"`
}

// detailsView is what views/billing/details.html shows.
type detailsView struct {
	Account Account
	Methods []web.Option
	Path    string // its address
	Back    string
}

func (h *Handlers) detailsPage(c *fiber.Ctx) (web.Page, error) {
	r := web.Of(c)
	a, err := h.service.Account(c.UserContext(), r.Viewer, c.Params("account"), "edit")
	if err != nil {
		return web.Page{}, err
	}
	view := detailsView{Account: a, Methods: append([]web.Option{{Label: r.T("billing.method-none")}}, methods(r)...), Path: invoicesPath(r.Viewer) + "/details/" + a.ID, Back: "/invoices?account=" + a.ID}
	section := "products"
	if r.Viewer.OfStore() {
		view.Back, section = "/admin/clients/"+a.ID+"/invoices", "clients"
	}
	return web.Page{View: "billing/details", Title: app.Text{Key: "billing.details-title"}, Section: section, Data: view}, nil
}

// EditDetails answers GET /invoices/details/:account and /admin/invoices/details/:account.
func (h *Handlers) EditDetails(c *fiber.Ctx) error {
	page, err := h.detailsPage(c)
	if err != nil {
		return err
	}
	a := page.Data.(detailsView).Account
	form := detailsForm{a.BillingName, a.BillingAddress, a.Country, a.VatNumber, a.BillingEmail, a.PaymentMethod, ""}
	if a.PaymentDays != nil {
		form.PaymentDays = strconv.Itoa(*a.PaymentDays)
	}
	page.Form = web.NewForm(form)
	return web.Render(c, page)
}

// UpdateDetails answers POST /invoices/details/:account and /admin/invoices/details/:account.
func (h *Handlers) UpdateDetails(c *fiber.Ctx) error {
	page, err := h.detailsPage(c)
	if err != nil {
		return err
	}
	view := page.Data.(detailsView)
	var form detailsForm
	if err = web.Bind(c, &form); err == nil {
		err = h.service.SaveDetails(c.UserContext(), web.Viewer(c), view.Account.ID, Details(form))
	}
	var invalid *app.Invalid
	if errors.As(err, &invalid) {
		return web.Rerender(c, err, page, form)
	}
	if err != nil {
		return err
	}
	web.SetFlash(c, "good", "billing.details-saved")
	return web.Redirect(c, view.Back)
}
