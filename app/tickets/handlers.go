package tickets

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"portico/app"
	"portico/app/attachments"
	"portico/app/delegates"
	"portico/app/live"
	"portico/app/provisioning"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

// Handlers are the client area's **Support**: the lists, a new ticket, a ticket's page. The store's people have pages of their
// own (app/support), to which these send them on.
type Handlers struct {
	service *Service
	hub     *live.Hub
	files   *attachments.Handlers
	runs    RunsPanel
}

// RunsPanel is what views/provisioning/attached.html shows of the runs that a ticket is about, nil for nothing; provisioning's
// Handlers.Attached does.
type RunsPanel func(c *fiber.Ctx, ticketID string) (any, error)

// NewHandlers returns the handlers of a Service. runs draws the runs that a ticket is about.
func NewHandlers(s *Service, hub *live.Hub, files *attachments.Handlers, runs RunsPanel) *Handlers {
	return &Handlers{s, hub, files, runs}
}

const supportPath = "/support"

// Path is the address of a ticket's page for a viewer.
func Path(v app.Viewer, id string) string {
	if v.OfStore() {
		return "/admin" + supportPath + "/" + id
	}
	return supportPath + "/" + id
}

// List is what views/tickets/list.html shows: one tab of **Support**, or a dashboard's tickets.
type List struct {
	Closed   bool
	Tickets  []Ticket
	Next     string // address of the next page, "" on the last one
	Triggers string // what makes htmx fetch the list again
}

// Triggers is the hx-trigger of a list of the viewer's own tickets.
func (s *Service) Triggers(ctx context.Context, v app.Viewer) (string, error) {
	topics, err := s.Topics(ctx, v)
	if err != nil {
		return "", err
	}
	var triggers []string
	for _, topic := range topics {
		triggers = append(triggers, "live:"+topic+" from:body")
	}
	return strings.Join(triggers, ", "), nil
}

// Topics are those of the lists of the viewer's own tickets.
func (s *Service) Topics(ctx context.Context, v app.Viewer) ([]string, error) {
	accounts, err := s.Accounts(ctx, v)
	if err != nil {
		return nil, err
	}
	topics := []string{delegates.TopicOf(v.UserID)}
	for _, account := range accounts[:min(len(accounts), maxAccounts)] {
		topics = append(topics, TopicOfAccount(account.ID))
	}
	return topics, nil
}

// maxAccounts is how many accounts' lists one page follows live.
const maxAccounts = 15

// Index answers GET /support: the viewer's active tickets.
func (h *Handlers) Index(c *fiber.Ctx) error { return h.index(c, false) }

// IndexClosed answers GET /support/closed.
func (h *Handlers) IndexClosed(c *fiber.Ctx) error { return h.index(c, true) }

func (h *Handlers) index(c *fiber.Ctx, closed bool) error {
	v := web.Viewer(c)
	if v.OfStore() {
		return web.Redirect(c, "/admin"+supportPath)
	}
	after, err := app.ParseKey(c.Query("after"))
	if err != nil {
		return err
	}
	list, address := h.service.Active, supportPath
	if closed {
		list, address = h.service.Closed, supportPath+"/closed"
	}
	page, next, err := list(c.UserContext(), v, after)
	if err != nil {
		return err
	}
	data := List{Closed: closed, Tickets: page}
	if next != nil {
		data.Next = address + "?after=" + next.String()
	}
	if data.Triggers, err = h.service.Triggers(c.UserContext(), v); err != nil {
		return err
	}
	return web.Render(c, web.Page{
		View: "tickets/index", Title: app.Text{Key: "tickets.title"}, Section: "support", Data: data, Parts: []string{"tickets/list"},
	})
}

// Live answers GET /support/live, the event stream of the viewer's lists.
func (h *Handlers) Live(c *fiber.Ctx) error {
	r := web.Of(c)
	accounts, err := h.service.Accounts(c.UserContext(), r.Viewer)
	if err != nil {
		return err
	}
	var ids []string
	topics := []string{delegates.TopicOf(r.Viewer.UserID)}
	for _, account := range accounts[:min(len(accounts), maxAccounts)] {
		ids = append(ids, account.ID)
		topics = append(topics, TopicOfAccount(account.ID))
	}
	still, userID := r.Still, r.Viewer.UserID
	return live.Stream(c, h.hub, live.Watch{
		Topics: topics, UserID: userID, SessionID: r.Viewer.SessionID,
		Allowed: func(ctx context.Context) error {
			if err := still(ctx); err != nil {
				return err
			}
			return h.service.belongs(ctx, userID, ids)
		},
	})
}

// LiveOne answers GET /support/:id/live, the event stream of a ticket's page.
func (h *Handlers) LiveOne(c *fiber.Ctx) error {
	r := web.Of(c)
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	still, userID := r.Still, r.Viewer.UserID
	return live.Stream(c, h.hub, live.Watch{
		Topics: []string{TopicOf(id), provisioning.TopicOfTicket(id)}, UserID: userID, SessionID: r.Viewer.SessionID,
		Allowed: func(ctx context.Context) error {
			if err := still(ctx); err != nil {
				return err
			}
			return h.service.Sees(ctx, userID, id)
		},
	})
}

// newForm is a new ticket as people type it.
type newForm struct {
	Subject    string   `form:"subject"`
	Department string   `form:"department"`
	Product    string   `form:"product"`
	Body       string   `form:"body"`
	Account    string   `form:"account"`
	Follows    string   `form:"follows"`
	Run        string   `form:"run"`
	Uploads    []string `form:"uploads"`
}

// newView is what views/tickets/new.html shows.
type newView struct {
	Departments []web.Option // empty where the store has none
	Accounts    []web.Option // empty where there is nothing to choose
	Products    []web.Option // empty where there are none
	Follows     *Ticket
	Draft       string // name of the draft
	SavedAt     time.Time
	Picker      attachments.Picker
}

func (h *Handlers) newPage(c *fiber.Ctx, follows *Ticket) (web.Page, error) {
	r := web.Of(c)
	view := newView{Follows: follows, Draft: DraftOfNew}
	var err error
	if view.Picker, err = h.files.Picker(c, view.Draft); err != nil {
		return web.Page{}, err
	}
	departments, err := h.service.Departments(c.UserContext())
	if err != nil {
		return web.Page{}, err
	}
	if len(departments) > 0 {
		view.Departments = []web.Option{{Label: r.T("tickets.department-none")}}
	}
	for _, d := range departments {
		view.Departments = append(view.Departments, web.Option{Value: d.ID, Label: d.Name})
	}
	if follows == nil {
		accounts, err := h.service.Accounts(c.UserContext(), r.Viewer)
		if err != nil {
			return web.Page{}, err
		}
		if len(accounts) > 1 {
			for _, account := range accounts {
				view.Accounts = append(view.Accounts, web.Option{Value: account.ID, Label: account.Name})
			}
		}
		products, err := h.service.Products(c.UserContext(), r.Viewer)
		if err != nil {
			return web.Page{}, err
		}
		if len(products) > 0 {
			view.Products = []web.Option{{Label: r.T("tickets.product-none")}}
		}
		for _, product := range products {
			view.Products = append(view.Products, web.Option{Value: product.ID, Label: product.Label()})
		}
	}
	title := app.Text{Key: "tickets.new-title"}
	if follows != nil {
		title = app.Text{Key: "tickets.follow-up-title"}
	}
	return web.Page{View: "tickets/new", Title: title, Section: "support", Data: view}, nil
}

// New answers GET /support/new, and with ?follows= the form of a follow-up to a closed ticket.
func (h *Handlers) New(c *fiber.Ctx) error {
	v := web.Viewer(c)
	draft, err := h.service.Draft(c.UserContext(), v, DraftOfNew)
	if err != nil {
		return err
	}
	var follows *Ticket
	if id := c.Query("follows"); id != "" {
		if !app.IsID(id) {
			return app.ErrNotFound
		}
		t, written, err := h.service.FollowUp(c.UserContext(), v, id)
		if err != nil {
			return err
		}
		follows, draft = &t, written
	}
	page, err := h.newPage(c, follows)
	if err != nil {
		return err
	}
	form := newForm{Subject: draft.Subject, Department: draft.DepartmentID, Product: c.Query("product"), Body: draft.Body}
	if follows != nil {
		form.Follows = follows.ID
	} else if id := c.Query("run"); id != "" {
		ticket, err := h.aboutRun(c, id, &form)
		if err != nil {
			return err
		}
		if ticket != "" {
			return web.Redirect(c, Path(v, ticket))
		}
	}
	page.Form = web.NewForm(form)
	return web.Render(c, page)
}

// Create answers POST /support.
func (h *Handlers) Create(c *fiber.Ctx) error {
	v := web.Viewer(c)
	var form newForm
	ids, err := h.files.Bind(c, &form, DraftOfNew)
	form.Uploads = append(form.Uploads, ids...)
	var id string
	if err == nil {
		if form.Follows != "" && !app.IsID(form.Follows) || form.Account != "" && !app.IsID(form.Account) || form.Run != "" && !app.IsID(form.Run) {
			return app.ErrNotFound
		}
		id, err = h.service.Open(c.UserContext(), v, Opening{
			AccountID: form.Account, Subject: form.Subject, DepartmentID: form.Department, ProductID: form.Product, Body: form.Body, FollowsID: form.Follows, Uploads: form.Uploads, RunID: form.Run,
		})
	}
	if err == nil {
		web.SetFlash(c, "good", "tickets.created")
		return web.Redirect(c, Path(v, id))
	}
	var invalid *app.Invalid
	if !errors.As(err, &invalid) {
		return err
	}
	var follows *Ticket
	if app.IsID(form.Follows) {
		t, err := h.service.Get(c.UserContext(), v, form.Follows)
		if err != nil {
			return err
		}
		follows = &t
	}
	page, pageErr := h.newPage(c, follows)
	if pageErr != nil {
		return pageErr
	}
	return web.Rerender(c, err, page, form)
}

// replyForm is a reply as people type it.
type replyForm struct {
	Body    string   `form:"body"`
	Uploads []string `form:"uploads"`
}

// showView is what views/tickets/show.html shows.
type showView struct {
	Thread
	Base     string // the page's address
	Lines    []Line
	Late     bool // a text came after the close, and is kept
	Readers  []string
	Mailed   []string
	Draft    string // name of the draft
	SavedAt  time.Time
	Picker   attachments.Picker
	Attached any // the runs that it is about, nil for none
}

func (h *Handlers) showPage(c *fiber.Ctx, t Thread) (web.Page, error) {
	r := web.Of(c)
	view := showView{Thread: t, Base: supportPath + "/" + t.ID, Draft: DraftOfReply(t.ID), SavedAt: t.Draft.UpdatedAt}
	view.Lines = Timeline(r, t, view.Base)
	view.Readers, view.Mailed = Audience(r, t)
	var err error
	if view.Attached, err = h.runs(c, t.ID); err != nil {
		return web.Page{}, err
	}
	if t.Can.Attach {
		if view.Picker, err = h.files.Picker(c, view.Draft); err != nil {
			return web.Page{}, err
		}
	}
	return web.Page{
		View: "tickets/show", Title: app.Text{Key: "tickets.page-title", Args: map[string]any{"Subject": t.Subject}}, Section: "support",
		Data: view, Parts: []string{"tickets/head", "tickets/timeline", "provisioning/attached"}, Form: web.NewForm(replyForm{Body: t.Draft.Body}),
	}, nil
}

// Audience names who reads a reply of the viewer's, and which of them get it by mail. The store is one reader to the account's
// people.
func Audience(r *web.Request, t Thread) (readers, mailed []string) {
	if !t.OfStore() {
		readers = []string{r.Store.Name}
		mailed = []string{r.Store.Name}
	}
	for _, person := range t.People {
		if person.ID == r.Viewer.UserID {
			continue
		}
		readers = append(readers, person.Name)
		if person.Mail {
			mailed = append(mailed, person.Name)
		}
	}
	return readers, mailed
}

// Show answers GET /support/:id.
func (h *Handlers) Show(c *fiber.Ctx) error {
	r := web.Of(c)
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	thread, err := h.service.Thread(c.UserContext(), r.Viewer, id)
	if err != nil {
		return err
	}
	if r.Viewer.OfStore() {
		return web.Redirect(c, Path(r.Viewer, id))
	}
	page, err := h.showPage(c, thread)
	if err != nil {
		return err
	}
	return web.Render(c, page)
}

// CreateMessage answers POST /support/:id/messages.
func (h *Handlers) CreateMessage(c *fiber.Ctx) error {
	r := web.Of(c)
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	var form replyForm
	var m Message
	ids, err := h.files.Bind(c, &form, DraftOfReply(id))
	form.Uploads = append(form.Uploads, ids...)
	if err == nil {
		m, err = h.service.Post(c.UserContext(), r.Viewer, id, Posting{Body: form.Body, Uploads: form.Uploads})
	}
	if err != nil {
		return h.again(c, err, id, form)
	}
	return web.Redirect(c, Path(r.Viewer, id)+"#message-"+m.ID)
}

// again answers what could not be posted: the ticket's page around what was typed, or after a close around what became of it.
func (h *Handlers) again(c *fiber.Ctx, err error, id string, form replyForm) error {
	var invalid *app.Invalid
	if !errors.As(err, &invalid) && !errors.Is(err, ErrClosed) {
		return err
	}
	r := web.Of(c)
	thread, threadErr := h.service.Thread(c.UserContext(), r.Viewer, id)
	if threadErr != nil {
		return threadErr
	}
	page, pageErr := h.showPage(c, thread)
	if pageErr != nil {
		return pageErr
	}
	if invalid != nil {
		return web.Rerender(c, err, page, form)
	}
	return late(c, page)
}

// late shows the page of a closed ticket to somebody whose text came after the close.
func late(c *fiber.Ctx, page web.Page) error {
	view := page.Data.(showView)
	view.Late = true
	page.Data, page.Status = view, fiber.StatusConflict
	return web.Render(c, page)
}

// subjectForm is a subject as people type it.
type subjectForm struct {
	Subject string `form:"subject"`
}

func subjectPage(t Ticket) web.Page {
	return web.Page{
		View: "tickets/subject", Title: app.Text{Key: "tickets.edit-subject"}, Section: "support", Data: t, Form: web.NewForm(subjectForm{t.Subject}),
	}
}

// EditSubject answers GET /support/:id/subject.
func (h *Handlers) EditSubject(c *fiber.Ctx) error {
	t, err := h.mayNow(c, "subject")
	if err != nil {
		return err
	}
	return web.Render(c, subjectPage(t))
}

// UpdateSubject answers POST /support/:id/subject.
func (h *Handlers) UpdateSubject(c *fiber.Ctx) error {
	v := web.Viewer(c)
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	var form subjectForm
	if err = web.Bind(c, &form); err == nil {
		err = h.service.EditSubject(c.UserContext(), v, id, form.Subject)
	}
	var invalid *app.Invalid
	if errors.As(err, &invalid) {
		t, err := h.service.Get(c.UserContext(), v, id)
		if err != nil {
			return err
		}
		return web.Rerender(c, invalid, subjectPage(t), form)
	}
	if err != nil {
		return err
	}
	web.SetFlash(c, "good", "tickets.subject-saved")
	return web.Redirect(c, Path(v, id))
}

// mayNow finds a ticket for a page that leads to a change: app.ErrForbidden where the viewer may not make it, ErrClosed where
// nobody can any more.
func (h *Handlers) mayNow(c *fiber.Ctx, action string) (Ticket, error) {
	id, err := web.ID(c, "id")
	if err != nil {
		return Ticket{}, err
	}
	t, err := h.service.Get(c.UserContext(), web.Viewer(c), id)
	if err != nil {
		return Ticket{}, err
	}
	if err := allow(t, action); err != nil {
		return Ticket{}, err
	}
	if t.Status == Closed {
		return t, ErrClosed
	}
	return t, nil
}

// ConfirmClosure answers GET /support/:id/closure: what the dialog asks, as a page.
func (h *Handlers) ConfirmClosure(c *fiber.Ctx) error {
	t, err := h.mayNow(c, "close")
	if errors.Is(err, ErrClosed) {
		return web.Redirect(c, Path(web.Viewer(c), t.ID))
	}
	if err != nil {
		return err
	}
	return web.Render(c, web.Page{View: "tickets/closure", Title: app.Text{Key: "tickets.close-title"}, Section: "support", Data: t})
}

// CreateClosure answers POST /support/:id/closure.
func (h *Handlers) CreateClosure(c *fiber.Ctx) error {
	v := web.Viewer(c)
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	if err := h.service.Close(c.UserContext(), v, id); err != nil {
		return err
	}
	return web.Redirect(c, Path(v, id))
}

// mailsForm is which mails somebody wants.
type mailsForm struct {
	Mails []string `form:"mails"`
}

func mailsPage(r *web.Request, form mailsForm) web.Page {
	var options []web.Option
	for _, kind := range MailKinds {
		options = append(options, web.Option{Value: kind, Label: r.T("tickets.mail-" + kind)})
	}
	return web.Page{View: "tickets/mails", Title: app.Text{Key: "tickets.mails-title"}, Section: "support", Data: options, Form: web.NewForm(form)}
}

// EditMails answers GET /support/mails.
func (h *Handlers) EditMails(c *fiber.Ctx) error {
	wanted, err := h.service.MailSettings(c.UserContext(), web.Viewer(c))
	if err != nil {
		return err
	}
	return web.Render(c, mailsPage(web.Of(c), mailsForm{wanted}))
}

// UpdateMails answers POST /support/mails.
func (h *Handlers) UpdateMails(c *fiber.Ctx) error {
	var form mailsForm
	err := web.Bind(c, &form)
	if err == nil {
		err = h.service.SaveMailSettings(c.UserContext(), web.Viewer(c), slices.Compact(slices.Sorted(slices.Values(form.Mails))))
	}
	if err != nil {
		return web.Rerender(c, err, mailsPage(web.Of(c), form), form)
	}
	web.SetFlash(c, "good", "tickets.mails-saved")
	return web.Redirect(c, supportPath+"/mails")
}
