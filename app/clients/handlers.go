package clients

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"

	"portico/app"
	"portico/app/access"
	"portico/app/audit"
	"portico/app/contracts"
	"portico/app/live"
	"portico/app/provisionlogs"
	"portico/app/tickets"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

// Handlers are **Clients** in the admin area.
type Handlers struct {
	service   *Service
	contracts *contracts.Service
	audit     *audit.Service
	logs      *provisionlogs.Handlers
	hub       *live.Hub
	tabs      []Tab
}

// NewHandlers returns the handlers of a Service.
func NewHandlers(s *Service, c *contracts.Service, a *audit.Service, logs *provisionlogs.Handlers, hub *live.Hub) *Handlers {
	h := &Handlers{service: s, contracts: c, audit: a, logs: logs, hub: hub}
	may := func(object string) func(app.Viewer) bool {
		return func(v app.Viewer) bool { return v.OfStore() && v.Has(object) }
	}
	h.Offer(Tab{Name: "products", Position: 1})
	h.Offer(Tab{Name: "tickets", Position: 2})
	h.Offer(Tab{Name: "users", Position: 3, Shown: may("accounts.view")})
	h.Offer(Tab{Name: "delegates", Position: 4})
	h.Offer(Tab{Name: "logs", Position: 6, Shown: func(v app.Viewer) bool { return access.Check(v, "logs", "view") == nil }})
	h.Offer(Tab{Name: "activity", Position: 7, Shown: may("accounts.view")})
	return h
}

const clientsPath = "/admin/clients"

// Tab is one page of a client's profile. The package that has the page offers it.
type Tab struct {
	Name     string                  // the end of its address, and its label "clients.tab-NAME"
	Position int                     // in the order products 1, tickets 2, users 3, delegates 4, invoices 5, logs 6, activity 7
	Shown    func(v app.Viewer) bool // whether the viewer may open it; nil: whoever sees clients
}

// Offer adds a tab. Call it before the portal serves.
func (h *Handlers) Offer(tab Tab) {
	h.tabs = append(h.tabs, tab)
	slices.SortFunc(h.tabs, func(a, b Tab) int { return cmp.Compare(a.Position, b.Position) })
}

// Head is what stands above every page of a client's profile: views/clients/head.html draws it.
type Head struct {
	Client Client
	Tabs   []contracts.TabLink
}

// Head builds what stands above a page of a client's profile, with the tab of that name open.
func (h *Handlers) Head(c *fiber.Ctx, client Client, open string) Head {
	r := web.Of(c)
	head := Head{Client: client}
	for _, tab := range h.tabs {
		if tab.Shown != nil && !tab.Shown(r.Viewer) {
			continue
		}
		link := contracts.TabLink{Href: clientsPath + "/" + client.ID, Label: r.T("clients.tab-" + tab.Name), Current: tab.Name == open}
		if tab.Name != "products" {
			link.Href += "/" + tab.Name
		}
		head.Tabs = append(head.Tabs, link)
	}
	return head
}

// Find reads the client that the address names.
func (h *Handlers) Find(c *fiber.Ctx) (Client, error) {
	id, err := web.ID(c, "id")
	if err != nil {
		return Client{}, err
	}
	return h.service.Get(c.UserContext(), web.Viewer(c), id)
}

// Page is a page of a client's profile.
func Page(client Client, view string, data any) web.Page {
	return web.Page{
		View: view, Frame: web.FrameAdmin, Title: app.Text{Key: "clients.page-title", Args: map[string]any{"Name": client.Name}}, Section: "clients", Data: data,
	}
}

// filterForm is the filter as it stands in the address.
type filterForm struct {
	Text string `form:"q"`
	Kind string `form:"kind"`
}

// indexView is what views/clients/index.html shows.
type indexView struct {
	Clients  []Client
	Segments []contracts.TabLink
	Filtered bool
	Next     string // address of the next page, "" on the last one
}

// Index answers GET /admin/clients?q=&kind=&after=.
func (h *Handlers) Index(c *fiber.Ctx) error {
	r := web.Of(c)
	typed := filterForm{c.Query("q"), c.Query("kind")}
	if typed.Kind != "client" && typed.Kind != "lead" {
		typed.Kind = ""
	}
	after := c.Query("after")
	if after != "" && !app.IsID(after) {
		return app.ErrNotFound
	}
	page, next, err := h.service.List(c.UserContext(), r.Viewer, Filter(typed), after)
	if err != nil {
		return err
	}
	view := indexView{Clients: page, Filtered: typed.Text != "" || typed.Kind != ""}
	for _, kind := range []string{"", "client", "lead"} {
		view.Segments = append(view.Segments, contracts.TabLink{
			Href: address(typed.Text, kind, ""), Label: r.T("clients.all" + map[string]string{"": "", "client": "-clients", "lead": "-leads"}[kind]), Current: kind == typed.Kind,
		})
	}
	if next != "" {
		view.Next = address(typed.Text, typed.Kind, next)
	}
	return web.Render(c, web.Page{
		View: "clients/index", Frame: web.FrameAdmin, Title: app.Text{Key: "clients.title"}, Section: "clients", Data: view,
		Form: web.NewForm(typed), Parts: []string{"clients/list"},
	})
}

// address is a page of the list.
func address(text, kind, after string) string {
	query := url.Values{}
	for name, value := range map[string]string{"q": text, "kind": kind, "after": after} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if len(query) == 0 {
		return clientsPath
	}
	return clientsPath + "?" + query.Encode()
}

// productsView is what views/clients/show.html shows.
type productsView struct {
	Head      Head
	Contracts []contracts.Row
	Purchases []contracts.Product // on the first page only
	Topic     string
	Next      string
}

// Show answers GET /admin/clients/:id: the tab **Products & Services**.
func (h *Handlers) Show(c *fiber.Ctx) error {
	v := web.Viewer(c)
	client, err := h.Find(c)
	if err != nil {
		return err
	}
	after, err := app.ParseKey(c.Query("after"))
	if err != nil {
		return err
	}
	view := productsView{Head: h.Head(c, client, "products"), Topic: contracts.TopicOfAccount(client.ID)}
	var next *app.Key
	if view.Contracts, next, err = h.contracts.OfAccount(c.UserContext(), v, client.ID, after); err != nil {
		return err
	}
	if after.ID == "" {
		if view.Purchases, err = h.contracts.PurchasesOf(c.UserContext(), v, client.ID); err != nil {
			return err
		}
	}
	if next != nil {
		view.Next = clientsPath + "/" + client.ID + "?after=" + next.String()
	}
	page := Page(client, "clients/show", view)
	page.Parts = []string{"clients/products"}
	return web.Render(c, page)
}

// Live answers GET /admin/clients/:id/live, the event stream of a client's profile.
func (h *Handlers) Live(c *fiber.Ctx) error {
	r := web.Of(c)
	client, err := h.Find(c)
	if err != nil {
		return err
	}
	return live.Stream(c, h.hub, live.Watch{
		Topics: append(provisionlogs.Topics(r.Viewer), contracts.TopicOfAccount(client.ID), tickets.TopicOfAccount(client.ID)),
		UserID: r.Viewer.UserID, SessionID: r.Viewer.SessionID, Allowed: r.Still,
	})
}

// ticketsView is what views/clients/tickets.html shows.
type ticketsView struct {
	Head    Head
	Tickets []tickets.Ticket
	Closed  bool
	Base    string // address of the page
	Topic   string
	Next    string
}

// Tickets answers GET /admin/clients/:id/tickets, and with ?closed=1 the closed ones.
func (h *Handlers) Tickets(c *fiber.Ctx) error {
	v := web.Viewer(c)
	client, err := h.Find(c)
	if err != nil {
		return err
	}
	after, err := app.ParseKey(c.Query("after"))
	if err != nil {
		return err
	}
	base := clientsPath + "/" + client.ID + "/tickets"
	view := ticketsView{Head: h.Head(c, client, "tickets"), Closed: c.Query("closed") == "1", Base: base, Topic: tickets.TopicOfAccount(client.ID)}
	var next *app.Key
	if view.Tickets, next, err = h.service.Tickets(c.UserContext(), v, client.ID, view.Closed, after); err != nil {
		return err
	}
	if next != nil {
		query := url.Values{"after": {next.String()}}
		if view.Closed {
			query.Set("closed", "1")
		}
		view.Next = base + "?" + query.Encode()
	}
	page := Page(client, "clients/tickets", view)
	page.Parts = []string{"clients/ticket-list"}
	return web.Render(c, page)
}

// usersView is what views/clients/users.html shows.
type usersView struct {
	Head   Head
	People []Person
}

// Users answers GET /admin/clients/:id/users.
func (h *Handlers) Users(c *fiber.Ctx) error {
	client, err := h.Find(c)
	if err != nil {
		return err
	}
	view := usersView{Head: h.Head(c, client, "users")}
	if view.People, err = h.service.People(c.UserContext(), web.Viewer(c), client.ID); err != nil {
		return err
	}
	return web.Render(c, Page(client, "clients/users", view))
}

// logsView is what views/clients/logs.html shows.
type logsView struct {
	Head Head
	Logs any // of "provisionlogs/section"
}

// Logs answers GET /admin/clients/:id/logs: the runs of all products of the client, filtered as on the page of all logs.
func (h *Handlers) Logs(c *fiber.Ctx) error {
	client, err := h.Find(c)
	if err != nil {
		return err
	}
	logs, answered, err := h.logs.OfClient(c, client.ID, clientsPath+"/"+client.ID+"/logs")
	if err != nil || answered {
		return err
	}
	return web.Render(c, Page(client, "clients/logs", logsView{h.Head(c, client, "logs"), logs}))
}

// activityView is what views/clients/activity.html shows.
type activityView struct {
	Head    Head
	Entries []audit.Row
	Next    string
}

// Activity answers GET /admin/clients/:id/activity?before=.
func (h *Handlers) Activity(c *fiber.Ctx) error {
	r := web.Of(c)
	client, err := h.Find(c)
	if err != nil {
		return err
	}
	before, err := audit.ParseKey(c.Query("before"))
	if err != nil {
		return err
	}
	entries, next, err := h.audit.OfAccount(c.UserContext(), r.Viewer, client.ID, before)
	if err != nil {
		return err
	}
	view := activityView{Head: h.Head(c, client, "activity")}
	if view.Entries, err = audit.InWords(r, entries); err != nil {
		return err
	}
	if next > 0 {
		view.Next = clientsPath + "/" + client.ID + "/activity?before=" + strconv.FormatInt(next, 10)
	}
	return web.Render(c, Page(client, "clients/activity", view))
}
