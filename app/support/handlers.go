package support

import (
	"context"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"portico/app"
	"portico/app/attachments"
	"portico/app/live"
	"portico/app/provisioning"
	"portico/app/tickets"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

// Handlers are **Support** in the admin area.
type Handlers struct {
	service *Service
	tickets *tickets.Service
	hub     *live.Hub
	files   *attachments.Handlers
	runs    tickets.RunsPanel
}

// NewHandlers returns the handlers of a Service. runs draws the runs that a ticket is about.
func NewHandlers(s *Service, t *tickets.Service, hub *live.Hub, files *attachments.Handlers, runs tickets.RunsPanel) *Handlers {
	return &Handlers{s, t, hub, files, runs}
}

const supportPath = "/admin/support"

// filterForm is the filter as it stands in the address.
type filterForm struct {
	Text       string `form:"q"`
	Status     string `form:"status"`
	Department string `form:"department"`
	Assignee   string `form:"assignee"`
	Waiting    string `form:"waiting"`
}

// form puts the filter into its form's fields.
func (f Filter) form() filterForm {
	values := f.Values()
	return filterForm{f.Text, f.Status, f.Department, f.Assignee, values.Get("waiting")}
}

// indexView is what views/support/index.html shows.
type indexView struct {
	Departments []web.Option // empty where the viewer has none to choose from
	Assignees   []web.Option
	Waitings    []web.Option
	Segments    []segment
	Tickets     []ticketRow
	Deeds       []deedGroup
	Back        string // the list's own address
	Caption     string
	Filtered    bool
	Next        string // address of the next page, "" on the last one
}

// segment is a link that shows tickets of one status.
type segment struct {
	Label   string
	Count   string // "" for none, "99+" for more than are counted
	Href    string
	Current bool
}

// ticketRow is a Row in words.
type ticketRow struct {
	Row
	Waits string // how long it has waited for the store, "" if it does not
	Late  bool   // for longer than a day
}

// Index answers GET /admin/support: the filter as Filter.Values has it, and ?after=, the key of a later page.
func (h *Handlers) Index(c *fiber.Ctx) error {
	r := web.Of(c)
	after, err := app.ParseKey(c.Query("after"))
	if err != nil {
		return err
	}
	filter := ParseFilter(func(name string) string { return c.Query(name) })
	counts, err := h.service.Counts(c.UserContext(), r.Viewer)
	if err != nil {
		return err
	}
	rows, next, err := h.service.List(c.UserContext(), r.Viewer, filter, after)
	if err != nil {
		return err
	}
	view := indexView{Caption: r.T("support.caption")}
	if filter.byWaiting() {
		view.Caption = r.T("support.caption-ours")
	}
	if view.Departments, err = h.departments(c, r.T("support.all-departments"), None); err != nil {
		return err
	}
	people, err := h.service.Team(c.UserContext(), r.Viewer)
	if err != nil {
		return err
	}
	view.Assignees = []web.Option{{Label: r.T("support.everybody")}, {Value: None, Label: r.T("support.nobody")}, {Value: Myself, Label: r.T("support.me")}}
	for _, person := range people {
		if person.ID != r.Viewer.UserID {
			view.Assignees = append(view.Assignees, web.Option{Value: person.ID, Label: person.Name})
		}
	}
	now := time.Now()
	for _, row := range rows {
		waited := waits(row.Ticket, now)
		view.Tickets = append(view.Tickets, ticketRow{row, length(r, waited), waited > 24*time.Hour})
	}
	view.Waitings = []web.Option{{Label: r.T("support.waiting-any")}}
	for _, hours := range WaitingHours {
		view.Waitings = append(view.Waitings, web.Option{Value: strconv.Itoa(hours), Label: r.T("support.waiting-hours", "Count", hours)})
	}
	query := filter.Values()
	view.Filtered, view.Segments, view.Back = len(query) > 0, segments(r, filter.Status, counts, query), address(query)
	if view.Deeds, err = h.deeds(c, people); err != nil {
		return err
	}
	if next != nil {
		query.Set("after", next.String())
		view.Next = address(query)
	}
	return web.Render(c, web.Page{
		View: "support/index", Frame: web.FrameAdmin, Title: app.Text{Key: "tickets.title"}, Section: "support", Parts: []string{"support/list"},
		Data: view, Form: web.NewForm(filter.form()),
	})
}

// departments lists what a select offers: first, then none if it has a value, then those whose tickets the viewer sees. Empty where
// there are none.
func (h *Handlers) departments(c *fiber.Ctx, first, none string) ([]web.Option, error) {
	r := web.Of(c)
	departments, err := h.service.Departments(c.UserContext(), r.Viewer)
	if err != nil || len(departments) == 0 {
		return nil, err
	}
	options := []web.Option{{Label: first}}
	if none != "" {
		options = append(options, web.Option{Value: none, Label: r.T("support.no-department")})
	}
	for _, d := range departments {
		options = append(options, web.Option{Value: d.ID, Label: d.Name})
	}
	return options, nil
}

// address is a page of the list.
func address(query url.Values) string {
	if encoded := query.Encode(); encoded != "" {
		return supportPath + "?" + encoded
	}
	return supportPath
}

// segments are the statuses with how many tickets have each, under the other filters of the query.
func segments(r *web.Request, chosen string, counts map[string]int, query url.Values) []segment {
	href := func(status string) string {
		with := maps.Clone(query)
		delete(with, "status")
		if status != "" {
			with.Set("status", status)
		}
		return address(with)
	}
	count := func(status string) string {
		switch n := counts[status]; {
		case n == 0:
			return ""
		case n == MaxCount:
			return r.Number(MaxCount-1) + "+"
		default:
			return r.Number(n)
		}
	}
	all := []segment{
		{r.T("support.all"), count(""), href(""), chosen == ""},
		{r.T("support.ours"), count(Ours), href(Ours), chosen == Ours},
	}
	for _, status := range tickets.Statuses {
		all = append(all, segment{statusWord(r, status), count(status), href(status), chosen == status})
	}
	return all
}

func statusWord(r *web.Request, status string) string {
	return r.T("tickets.status-" + strings.ReplaceAll(status, "_", "-"))
}

// length writes how long something has taken, in its two largest units; "" for nothing.
func length(r *web.Request, d time.Duration) string {
	minutes := int(d / time.Minute)
	switch {
	case d == 0:
		return ""
	case minutes < 60:
		return r.T("support.minutes", "Minutes", minutes)
	case minutes < 24*60:
		return r.T("support.hours", "Hours", minutes/60, "Minutes", minutes%60)
	default:
		return r.T("support.days", "Days", minutes/60/24, "Hours", minutes/60%24)
	}
}

// Live answers GET /admin/support/live, the event stream of the list.
func (h *Handlers) Live(c *fiber.Ctx) error {
	r := web.Of(c)
	return live.Stream(c, h.hub, live.Watch{
		Topics: []string{tickets.TopicAll}, UserID: r.Viewer.UserID, SessionID: r.Viewer.SessionID, Allowed: r.Still,
	})
}

// LiveOne answers GET /admin/support/:id/live, the event stream of a ticket's page.
func (h *Handlers) LiveOne(c *fiber.Ctx) error {
	r := web.Of(c)
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	t, err := h.tickets.Get(c.UserContext(), r.Viewer, id)
	if err != nil {
		return err
	}
	topics := []string{tickets.TopicOf(id), provisioning.TopicOfTicket(id)}
	if t.Allows("notes") {
		topics = append(topics, tickets.TopicOfStaff(id))
	}
	still, userID := r.Still, r.Viewer.UserID
	return live.Stream(c, h.hub, live.Watch{
		Topics: topics, UserID: userID, SessionID: r.Viewer.SessionID,
		Allowed: func(ctx context.Context) error {
			if err := still(ctx); err != nil {
				return err
			}
			return h.tickets.Sees(ctx, userID, id)
		},
	})
}

// messageForm is a reply or a note as people type it.
type messageForm struct {
	Body    string   `form:"body"`
	Seen    string   `form:"seen"` // id of the newest message on the page
	Uploads []string `form:"uploads"`
	Saved   string   `form:"saved"`  // id of a saved reply
	Insert  bool     `form:"insert"` // put that into the text, and post nothing
}

const kindNote = "note"

// pageForm is all the forms of a ticket's page.
type pageForm struct {
	Body       string   `form:"body"`
	Uploads    []string `form:"uploads"`
	Status     string   `form:"status"`
	Department string   `form:"department"`
	Assignee   string   `form:"assignee"`
	Saved      string   `form:"saved"`
}

// around puts what was typed beside what the ticket is.
func (view showView) around(typed messageForm) pageForm {
	form := pageForm{Body: typed.Body, Uploads: typed.Uploads, Status: view.Status, Saved: typed.Saved}
	if view.DepartmentID != nil {
		form.Department = *view.DepartmentID
	}
	if view.AssigneeID != nil {
		form.Assignee = *view.AssigneeID
	}
	return form
}

// showView is what views/support/show.html shows.
type showView struct {
	tickets.Thread
	Base        string // the page's address
	Lines       []tickets.Line
	Seen        string // id of the newest message
	Note        bool   // the composer is for a note
	CanFollowUp bool
	Late        bool // a text came after the close, and is kept
	Meanwhile   bool // others posted while this one was written
	Readers     []string
	Mailed      []string
	Draft       string // name of the draft
	SavedAt     time.Time
	Picker      attachments.Picker
	Waits       string
	Statuses    []web.Option
	Departments []web.Option // empty where the store has none
	Assignees   []web.Option
	Replies     []web.Option // saved ones, empty where there are none
	Present     []string     // who else is here, as sentences
	Attached    any          // the runs that it is about, nil for none
}

// page builds a ticket's page with a composer for a reply or a note, around the viewer's draft.
func (h *Handlers) page(c *fiber.Ctx, id string, note bool) (web.Page, showView, error) {
	r := web.Of(c)
	t, err := h.tickets.Thread(c.UserContext(), r.Viewer, id)
	if err != nil {
		return web.Page{}, showView{}, err
	}
	draft := t.Draft
	note = note && t.Can.Notes
	if note {
		if draft, err = h.tickets.Draft(c.UserContext(), r.Viewer, tickets.DraftOfNote(id)); err != nil {
			return web.Page{}, showView{}, err
		}
	}
	view := showView{
		Thread: t, Base: supportPath + "/" + t.ID, Seen: lastMessage(t), Note: note, CanFollowUp: t.Can.FollowUp,
		Draft: tickets.DraftOfReply(t.ID), SavedAt: draft.UpdatedAt, Waits: length(r, waits(t.Ticket, time.Now())),
	}
	view.Thread.Can.FollowUp = false // the shared timeline would offer the clients' address
	if note {
		view.Draft = tickets.DraftOfNote(t.ID)
	}
	view.Lines = tickets.Timeline(r, t, view.Base)
	view.Readers, view.Mailed = tickets.Audience(r, t)
	if view.Attached, err = h.runs(c, t.ID); err != nil {
		return web.Page{}, showView{}, err
	}
	if t.Can.Attach {
		if view.Picker, err = h.files.Picker(c, view.Draft); err != nil {
			return web.Page{}, showView{}, err
		}
	}
	if err := h.choices(c, &view); err != nil {
		return web.Page{}, showView{}, err
	}
	if view.Present, err = h.present(c, t.Ticket); err != nil {
		return web.Page{}, showView{}, err
	}
	return web.Page{
		View: "support/show", Frame: web.FrameAdmin, Title: app.Text{Key: "tickets.page-title", Args: map[string]any{"Subject": t.Subject}}, Section: "support",
		Parts: []string{"tickets/head", "tickets/timeline", "support/seen", "support/side", "support/presence", "provisioning/attached"}, Form: web.NewForm(view.around(messageForm{Body: draft.Body})), Data: view,
	}, view, nil
}

// choices fills what the selects of a ticket's page offer.
func (h *Handlers) choices(c *fiber.Ctx, view *showView) error {
	r := web.Of(c)
	if view.Can.Status {
		for _, status := range Settable {
			view.Statuses = append(view.Statuses, web.Option{Value: status, Label: statusWord(r, status)})
		}
	}
	if view.Can.Department {
		departments, err := h.tickets.Departments(c.UserContext())
		if err != nil {
			return err
		}
		if len(departments) > 0 {
			view.Departments = []web.Option{{Label: r.T("support.no-department")}}
		}
		for _, d := range departments {
			view.Departments = append(view.Departments, web.Option{Value: d.ID, Label: d.Name})
		}
	}
	if view.Can.Assign {
		people, err := h.service.Candidates(c.UserContext(), r.Viewer, view.Ticket)
		if err != nil {
			return err
		}
		view.Assignees = []web.Option{{Label: r.T("support.nobody")}}
		for _, person := range people {
			label := person.Name
			if person.ID == r.Viewer.UserID {
				label = r.T("support.name-you", "Name", person.Name)
			}
			view.Assignees = append(view.Assignees, web.Option{Value: person.ID, Label: label})
		}
	}
	if view.Can.Reply {
		saved, err := h.service.Replies(c.UserContext(), r.Viewer)
		if err != nil {
			return err
		}
		for _, reply := range saved {
			if reply.DepartmentID == "" || view.DepartmentID != nil && reply.DepartmentID == *view.DepartmentID {
				view.Replies = append(view.Replies, web.Option{Value: reply.ID, Label: reply.Name})
			}
		}
		if len(view.Replies) > 0 {
			view.Replies = slices.Insert(view.Replies, 0, web.Option{Label: r.T("support.reply-choose")})
		}
	}
	return nil
}

// Show answers GET /admin/support/:id, and with ?compose=note the same with a composer for an internal note.
func (h *Handlers) Show(c *fiber.Ctx) error {
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	page, _, err := h.page(c, id, c.Query("compose") == kindNote)
	if err != nil {
		return err
	}
	return web.Render(c, page)
}

// CreateMessage answers POST /admin/support/:id/messages?compose=: a reply, or with "note" an internal note.
func (h *Handlers) CreateMessage(c *fiber.Ctx) error {
	v := web.Viewer(c)
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	note := c.Query("compose") == kindNote
	draft := tickets.DraftOfReply(id)
	if note {
		draft = tickets.DraftOfNote(id)
	}
	var form messageForm
	var m tickets.Message
	ids, err := h.files.Bind(c, &form, draft)
	form.Uploads = append(form.Uploads, ids...)
	if err == nil && form.Insert {
		if err = h.service.Insert(c.UserContext(), v, id, note, form.Body, form.Saved, web.Of(c).Store.Name); err == nil {
			to := tickets.Path(v, id)
			if note {
				to += "?compose=" + kindNote
			}
			return web.Redirect(c, to+"#reply")
		}
	} else if err == nil {
		m, err = h.service.Post(c.UserContext(), v, id, tickets.Posting{Body: form.Body, Internal: note, Uploads: form.Uploads}, form.Seen)
	}
	if err == nil {
		return web.Redirect(c, tickets.Path(v, id)+"#message-"+m.ID)
	}
	var invalid *app.Invalid
	if !errors.As(err, &invalid) && !errors.Is(err, tickets.ErrClosed) && !errors.Is(err, ErrMeanwhile) {
		return err
	}
	page, view, pageErr := h.page(c, id, note)
	if pageErr != nil {
		return pageErr
	}
	switch {
	case invalid != nil:
		return web.Rerender(c, err, page, view.around(form))
	case errors.Is(err, tickets.ErrClosed):
		view.Late = true
	default:
		view.Meanwhile = true
		page.Form = web.NewForm(view.around(form))
	}
	page.Data, page.Status = view, fiber.StatusConflict
	return web.Render(c, page)
}

// sideForm is one of the forms beside a ticket.
type sideForm struct {
	Status     string `form:"status"`
	Department string `form:"department"`
	Assignee   string `form:"assignee"`
}

// change answers a form beside a ticket. What can't be chosen is said on the page.
func (h *Handlers) change(c *fiber.Ctx, done string, work func(ctx context.Context, v app.Viewer, id string, form sideForm) error) error {
	v := web.Viewer(c)
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	var form sideForm
	if err = web.Bind(c, &form); err == nil {
		err = work(c.UserContext(), v, id, form)
	}
	var invalid *app.Invalid
	if errors.As(err, &invalid) {
		if _, err := h.tickets.Get(c.UserContext(), v, id); err != nil {
			return err
		}
		web.SetFlash(c, "bad", invalid.Fields[0].Text.Key)
		return web.Redirect(c, tickets.Path(v, id))
	}
	if err != nil {
		return err
	}
	err = h.tickets.Sees(c.UserContext(), v.UserID, id)
	if errors.Is(err, app.ErrNotFound) {
		web.SetFlash(c, "good", "support.moved-away")
		return web.Redirect(c, supportPath)
	}
	if err != nil {
		return err
	}
	web.SetFlash(c, "good", done)
	return web.Redirect(c, tickets.Path(v, id))
}

// UpdateStatus answers POST /admin/support/:id/status.
func (h *Handlers) UpdateStatus(c *fiber.Ctx) error {
	return h.change(c, "support.status-set", func(ctx context.Context, v app.Viewer, id string, form sideForm) error {
		return h.service.SetStatus(ctx, v, id, form.Status)
	})
}

// UpdateDepartment answers POST /admin/support/:id/department.
func (h *Handlers) UpdateDepartment(c *fiber.Ctx) error {
	return h.change(c, "support.moved", func(ctx context.Context, v app.Viewer, id string, form sideForm) error {
		return h.service.Move(ctx, v, id, form.Department)
	})
}

// UpdateAssignee answers POST /admin/support/:id/assignee.
func (h *Handlers) UpdateAssignee(c *fiber.Ctx) error {
	return h.change(c, "support.assigned", func(ctx context.Context, v app.Viewer, id string, form sideForm) error {
		return h.service.Assign(ctx, v, id, form.Assignee)
	})
}
