package billing

import (
	"bytes"
	"errors"
	"strconv"
	"strings"

	"portico/app"
	"portico/app/contracts"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"
)

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
