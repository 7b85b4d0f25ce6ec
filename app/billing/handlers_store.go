package billing

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"

	"portico/app"
	"portico/app/clients"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"
)

// indexView is what views/billing/invoices.html shows.
type indexView struct {
	Filter   Filter
	Statuses []web.Option
	List     listView
	Next     string
	Export   string // address of what is filtered, as CSV
	Edit     bool
	Wrong    []Mismatch // accounts whose statement does not sum to their documents
}

// parseFilter reads ?q= and ?status=. What it does not understand filters nothing.
func parseFilter(c *fiber.Ctx) Filter {
	f := Filter{Text: strings.Clone(strings.ReplaceAll(strings.ToValidUTF8(strings.TrimSpace(c.Query("q")), ""), "\x00", ""))}
	if letters := []rune(f.Text); len(letters) > 100 {
		f.Text = string(letters[:100])
	}
	for _, status := range append([]string{Overdue}, Statuses...) {
		if c.Query("status") == status {
			f.Status = status
		}
	}
	return f
}

// values encodes the filter for an address.
func (f Filter) values() url.Values {
	values := url.Values{}
	if f.Text != "" {
		values.Set("q", f.Text)
	}
	if f.Status != "" {
		values.Set("status", f.Status)
	}
	return values
}

// IndexAll answers GET /admin/invoices.
func (h *Handlers) IndexAll(c *fiber.Ctx) error {
	r := web.Of(c)
	after, err := app.ParseKey(c.Query("after"))
	if err != nil {
		return err
	}
	view := indexView{Filter: parseFilter(c), Statuses: []web.Option{{Label: r.T("billing.any-status")}}, Edit: false}
	for _, status := range append([]string{Overdue}, Statuses...) {
		view.Statuses = append(view.Statuses, web.Option{Value: status, Label: r.T("billing.status-" + status)})
	}
	page, next, err := h.service.All(c.UserContext(), r.Viewer, view.Filter, after)
	if err != nil {
		return err
	}
	view.List = listView{Invoices: page, Path: "/admin/invoices", Accounts: true, Today: DayOf(r.Now, r.Zone)}
	values := view.Filter.values()
	view.Export = "/admin/invoices/export?" + values.Encode()
	if next != nil {
		values.Set("after", next.String())
		view.Next = "/admin/invoices?" + values.Encode()
	}
	if view.Wrong, err = h.service.Mismatches(c.UserContext()); err != nil {
		return err
	}
	return web.Render(c, web.Page{View: "billing/invoices", Title: app.Text{Key: "billing.invoices"}, Section: "invoices", Data: view, Parts: []string{"billing/found"},
		Form: web.NewForm(struct {
			Q      string `form:"q"`
			Status string `form:"status"`
		}{view.Filter.Text, view.Filter.Status})})
}

// Export answers GET /admin/invoices/export: what is filtered, as CSV, written as it is read.
func (h *Handlers) Export(c *fiber.Ctx) error {
	r := web.Of(c)
	v, f, ctx := r.Viewer, parseFilter(c), c.UserContext()
	if _, _, err := h.service.All(ctx, v, f, app.Key{}); err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, "text/csv; charset=utf-8")
	c.Set(fiber.HeaderContentDisposition, `attachment; filename="invoices.csv"`)
	c.Context().SetBodyStreamWriter(func(w *bufio.Writer) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), exportTime) // the request's own is over when its handler returns
		defer cancel()
		out := csv.NewWriter(w)
		err := out.Write([]string{"number", "kind", "status", "client", "issued", "due", "currency", "net", "tax", "total", "settled", "reference"})
		if err == nil {
			err = h.service.Export(ctx, v, f, func(i Invoice) error {
				return out.Write([]string{
					cell(i.Name()), i.Kind, i.Status, cell(i.AccountName), iso(i.IssuedOn), iso(i.DueOn), i.Currency, plain(i.NetMinor, i.Currency),
					plain(i.TaxMinor, i.Currency), plain(i.TotalMinor, i.Currency), plain(i.SettledMinor, i.Currency), cell(i.Reference),
				})
			})
		}
		if err != nil { // the answer has begun: a line that no program takes for data says that it is not whole
			_ = out.Write([]string{"#", "the export broke off"})
		}
		out.Flush()
	})
	return nil
}

// exportTime is how long an export may take.
const exportTime = 5 * time.Minute

// cell keeps a spreadsheet from taking a text for a formula.
func cell(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}

func iso(day *Day) string {
	if day == nil {
		return ""
	}
	return day.Format(time.DateOnly)
}

// act does something with the invoice of the address and goes back to its page.
func (h *Handlers) act(c *fiber.Ctx, done string, do func(id string) error) error {
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	if err := do(id); err != nil {
		return err
	}
	web.SetFlash(c, "good", done)
	return web.Redirect(c, "/admin/invoices/"+id)
}

// Issue answers POST /admin/invoices/:id/issue.
func (h *Handlers) Issue(c *fiber.Ctx) error {
	return h.act(c, "billing.issued", func(id string) error { return h.service.Issue(c.UserContext(), web.Viewer(c), id) })
}

// Void answers POST /admin/invoices/:id/void.
func (h *Handlers) Void(c *fiber.Ctx) error {
	return h.act(c, "billing.voided", func(id string) error { return h.service.Void(c.UserContext(), web.Viewer(c), id) })
}

// Credit answers POST /admin/invoices/:id/credit.
func (h *Handlers) Credit(c *fiber.Ctx) error {
	page, err := h.invoicePage(c)
	if err != nil {
		return err
	}
	var form struct {
		Note string `form:"note"`
	}
	if err = web.Bind(c, &form); err == nil {
		err = h.act(c, "billing.credited", func(id string) error {
			_, err := h.service.Credit(c.UserContext(), web.Viewer(c), id, form.Note)
			return err
		})
	}
	return web.Rerender(c, err, page, form)
}

// Discard answers POST /admin/invoices/:id/discard.
func (h *Handlers) Discard(c *fiber.Ctx) error {
	v := web.Viewer(c)
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	i, _, err := h.service.Invoice(c.UserContext(), v, id)
	if err != nil {
		return err
	}
	if err := h.service.Discard(c.UserContext(), v, id); err != nil {
		return err
	}
	web.SetFlash(c, "good", "billing.discarded")
	return web.Redirect(c, "/admin/clients/"+i.AccountID+"/invoices")
}

// receivedForm is a payment or refund as staff type it.
type receivedForm struct {
	Key       string `form:"key"`
	Method    string `form:"method"`
	Amount    string `form:"amount"`
	On        string `form:"on"`
	Reference string `form:"reference"`
}

func (f receivedForm) received(invoiceID string) Received {
	return Received{Key: f.Key, Method: f.Method, Amount: f.Amount, On: f.On, Reference: f.Reference, InvoiceID: invoiceID}
}

// Pay answers POST /admin/invoices/:id/payment.
func (h *Handlers) Pay(c *fiber.Ctx) error {
	page, err := h.invoicePage(c)
	if err != nil {
		return err
	}
	view := page.Data.(invoiceView)
	var form receivedForm
	if err = web.Bind(c, &form); err == nil {
		err = h.service.Record(c.UserContext(), web.Viewer(c), view.AccountID, form.received(view.ID))
	}
	var invalid *app.Invalid
	if errors.As(err, &invalid) {
		return web.Rerender(c, err, page, form)
	}
	if err != nil {
		return err
	}
	web.SetFlash(c, "good", "billing.payment-recorded")
	return web.Redirect(c, view.Path)
}

// clientView is what views/billing/client.html shows.
type clientView struct {
	Head clients.Head
	accountView
	Methods []web.Option
}

func (h *Handlers) clientPage(c *fiber.Ctx) (web.Page, error) {
	r := web.Of(c)
	client, err := h.clients.Find(c)
	if err != nil {
		return web.Page{}, err
	}
	a, err := h.service.Account(c.UserContext(), r.Viewer, client.ID, "view")
	if err != nil {
		return web.Page{}, err
	}
	view, err := h.account(c, a, nil, "/admin/clients/"+a.ID+"/invoices?")
	if err != nil {
		return web.Page{}, err
	}
	return clients.Page(client, "billing/client", clientView{h.clients.Head(c, client, "invoices"), view, methods(r)}), nil
}

// Client answers GET /admin/clients/:id/invoices: an account's invoices and its statement.
func (h *Handlers) Client(c *fiber.Ctx) error {
	page, err := h.clientPage(c)
	if err != nil {
		return err
	}
	r := web.Of(c)
	page.Form = web.NewForm(receivedForm{Key: uuid.NewString(), On: DayOf(r.Now, r.Zone).Format(time.DateOnly)})
	return web.Render(c, page)
}

// PayAccount answers POST /admin/clients/:id/payments: money for no invoice in particular.
func (h *Handlers) PayAccount(c *fiber.Ctx) error {
	return h.money(c, "billing.payment-recorded", h.service.Record)
}

// RefundAccount answers POST /admin/clients/:id/refunds.
func (h *Handlers) RefundAccount(c *fiber.Ctx) error {
	return h.money(c, "billing.refund-recorded", h.service.Refund)
}

func (h *Handlers) money(c *fiber.Ctx, done string, do moneyDeed) error {
	page, err := h.clientPage(c)
	if err != nil {
		return err
	}
	view := page.Data.(clientView)
	var form receivedForm
	if err = web.Bind(c, &form); err == nil {
		err = do(c.UserContext(), web.Viewer(c), view.Account.ID, form.received(""))
	}
	var invalid *app.Invalid
	if errors.As(err, &invalid) {
		return web.Rerender(c, err, page, form)
	}
	if err != nil {
		return err
	}
	web.SetFlash(c, "good", done)
	return web.Redirect(c, "/admin/clients/"+view.Account.ID+"/invoices")
}

// draftForm is an invoice as staff type it.
type draftForm struct {
	Texts     []string `form:"text"`
	Amounts   []string `form:"amount"`
	Reference string   `form:"reference"`
	Note      string   `form:"note"`
}

// draftLines is how many lines the form of a draft has.
const draftLines = 6

// draftView is what views/billing/draft.html shows.
type draftView struct {
	Account  Account
	Currency string
	Lines    []draftLine
}

type draftLine struct {
	Number       int
	Text, Amount string
}

func (h *Handlers) draftPage(c *fiber.Ctx, form draftForm) (web.Page, error) {
	r := web.Of(c)
	a, err := h.service.Account(c.UserContext(), r.Viewer, c.Params("id"), "manage")
	if err != nil {
		return web.Page{}, err
	}
	view := draftView{Account: a, Currency: r.Store.Currency}
	for n := range max(draftLines, len(form.Texts)) {
		line := draftLine{Number: n + 1}
		if n < len(form.Texts) {
			line.Text = form.Texts[n]
		}
		if n < len(form.Amounts) {
			line.Amount = form.Amounts[n]
		}
		view.Lines = append(view.Lines, line)
	}
	return web.Page{View: "billing/draft", Title: app.Text{Key: "billing.draft-title"}, Section: "clients", Data: view}, nil
}

// NewDraft answers GET /admin/clients/:id/invoices/new.
func (h *Handlers) NewDraft(c *fiber.Ctx) error {
	page, err := h.draftPage(c, draftForm{})
	if err != nil {
		return err
	}
	return web.Render(c, page)
}

// CreateDraft answers POST /admin/clients/:id/invoices.
func (h *Handlers) CreateDraft(c *fiber.Ctx) error {
	var form draftForm
	bound := web.Bind(c, &form)
	page, err := h.draftPage(c, form)
	if err != nil {
		return err
	}
	var id string
	if err = bound; err == nil {
		a := page.Data.(draftView).Account
		id, err = h.service.Draft(c.UserContext(), web.Viewer(c), a.ID, Typed(form))
	}
	var invalid *app.Invalid
	if errors.As(err, &invalid) {
		return web.Rerender(c, err, page, form)
	}
	if err != nil {
		return err
	}
	return web.Redirect(c, "/admin/invoices/"+id)
}

func (h *Handlers) settingsPage() web.Page {
	return web.Page{View: "billing/settings", Title: app.Text{Key: "store.settings"}, Section: "settings"}
}

// ShowSettings answers GET /admin/settings/billing.
func (h *Handlers) ShowSettings(c *fiber.Ctx) error {
	settings, err := h.service.Settings(c.UserContext(), web.Viewer(c))
	if err != nil {
		return err
	}
	page := h.settingsPage()
	page.Form = web.NewForm(settings)
	return web.Render(c, page)
}

// UpdateSettings answers POST /admin/settings/billing.
func (h *Handlers) UpdateSettings(c *fiber.Ctx) error {
	var form Settings
	err := web.Bind(c, &form)
	if err == nil {
		err = h.service.SaveSettings(c.UserContext(), web.Viewer(c), form)
	}
	var invalid *app.Invalid
	if errors.As(err, &invalid) {
		return web.Rerender(c, err, h.settingsPage(), form)
	}
	if err != nil {
		return err
	}
	web.SetFlash(c, "good", "billing.settings-saved")
	return web.Redirect(c, "/admin/settings/billing")
}

// plain writes an amount as it is typed: "12.50".
func plain(minor int64, code string) string {
	digits := digitsOf(code)
	sign := ""
	if minor < 0 {
		sign, minor = "-", -minor
	}
	text := strconv.FormatInt(minor, 10)
	for len(text) <= digits {
		text = "0" + text
	}
	if digits == 0 {
		return sign + text
	}
	return sign + text[:len(text)-digits] + "." + text[len(text)-digits:]
}
