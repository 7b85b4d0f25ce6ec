package contracts

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"portico/app"
	"portico/app/delegates"
	"portico/app/live"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

// Handlers are **Products & Services**: the lists, and the pages of contracts and one-off purchases, for account holders and for the
// store.
type Handlers struct {
	service *Service
	hub     *live.Hub
	panel   func(c *fiber.Ctx, i Item) (any, error)
	topics  func(v app.Viewer) []string
}

// NewHandlers returns the handlers of a Service.
func NewHandlers(s *Service, hub *live.Hub) *Handlers { return &Handlers{service: s, hub: hub} }

// OfferPanel lets provisioning show on **Overview** what can be done with the product: the data of views/provisioning/everyday.html, or
// nil. Call it before the portal serves.
func (h *Handlers) OfferPanel(panel func(c *fiber.Ctx, i Item) (any, error)) { h.panel = panel }

// OfferTopics names what the streams of contracts and one-off purchases watch besides, for pages that other packages offer. Call it
// before the portal serves.
func (h *Handlers) OfferTopics(topics func(v app.Viewer) []string) { h.topics = topics }

const (
	listPath      = "/products"
	purchasesPath = "/products/purchases"
)

// Tab is one page of a contract or a one-off purchase. The package that has the page offers it.
type Tab struct {
	Name     string                                                             // the end of its address, and its label "contracts.tab-NAME"
	Position int                                                                // in the order overview 1, manage 2, tickets 3, billing 4, delegates 5
	Shown    func(v app.Viewer, i Item) bool                                    // whether the viewer may open it; nil: whoever sees the item
	Count    func(ctx context.Context, v app.Viewer, i Item) (n int, err error) // nil: nothing is counted
}

// Offer adds a tab. Call it before the portal serves.
func (s *Service) Offer(tab Tab) {
	s.tabs = append(s.tabs, tab)
	slices.SortFunc(s.tabs, func(a, b Tab) int { return cmp.Compare(a.Position, b.Position) })
}

// Head is what stands above every page of a contract or a one-off purchase: views/contracts/head.html draws it.
type Head struct {
	Item
	Base     string // the address of the page **Overview**
	Query    string // "?product=ID" where there are several products, else ""
	Menu     Menu
	Admin    bool // in the admin area
	Tabs     []TabLink
	Open     string // name of the open tab
	Switcher []TabLink
}

// TabLink is a link of a Head.
type TabLink struct {
	Href    string
	Label   string
	Count   int
	Current bool
}

// Menu is the left menu of **Products & Services**.
type Menu struct {
	Section                  string // "subscriptions", "purchases" or "people"
	Subscriptions, Purchases int
}

// Menu counts what the left menu links to.
func (h *Handlers) Menu(c *fiber.Ctx, section string) (Menu, error) {
	contracts, purchases, err := h.service.Counts(c.UserContext(), web.Viewer(c))
	return Menu{section, contracts, purchases}, err
}

// Head builds what stands above a page of an item, with the tab of that name open. Only tabs that the viewer may open are in it; it
// returns app.ErrForbidden where the open one is not among them.
func (h *Handlers) Head(c *fiber.Ctx, i Item, open string) (Head, error) {
	r := web.Of(c)
	head := Head{Item: i, Base: i.Path(), Admin: i.Product.OfStore(), Open: open}
	if len(i.Products) > 1 {
		head.Query = "?product=" + i.Product.ID
	}
	found := false
	for _, tab := range h.service.tabs {
		if tab.Shown != nil && !tab.Shown(r.Viewer, i) {
			continue
		}
		link := TabLink{Href: head.Base, Label: r.T("contracts.tab-" + tab.Name), Current: tab.Name == open}
		if tab.Name != "overview" {
			link.Href += "/" + tab.Name
		}
		if tab.Count != nil {
			var err error
			if link.Count, err = tab.Count(c.UserContext(), r.Viewer, i); err != nil {
				return Head{}, err
			}
		}
		found = found || link.Current
		path := link.Href
		link.Href += head.Query
		head.Tabs = append(head.Tabs, link)
		if link.Current && len(i.Products) > 1 && (open == "overview" || open == "manage") { // the other tabs are the whole contract's
			for _, product := range i.Products {
				head.Switcher = append(head.Switcher, TabLink{Href: path + "?product=" + product.ID, Label: product.Title(), Current: product.ID == i.Product.ID})
			}
		}
	}
	if !found {
		return Head{}, app.ErrForbidden
	}
	if !head.Admin {
		section := "subscriptions"
		if i.Contract == nil {
			section = "purchases"
		}
		var err error
		if head.Menu, err = h.Menu(c, section); err != nil {
			return Head{}, err
		}
	}
	return head, nil
}

// Find reads the item that the address names: a contract by :id with ?product=, or a one-off purchase, by the route's path.
func (h *Handlers) Find(c *fiber.Ctx) (Item, error) {
	id, err := web.ID(c, "id")
	if err != nil {
		return Item{}, err
	}
	v := web.Viewer(c)
	if strings.Contains(c.Route().Path, "/purchases/") {
		return h.service.Purchase(c.UserContext(), v, id)
	}
	product := c.Query("product")
	if product != "" && !app.IsID(product) {
		return Item{}, app.ErrNotFound
	}
	return h.service.Item(c.UserContext(), v, id, product)
}

// ItemOf reads the item that a bought product belongs to, with that product shown: its contract, or nil for a one-off purchase.
func (h *Handlers) ItemOf(c *fiber.Ctx, contractID *string, productID string) (Item, error) {
	if contractID == nil {
		return h.service.Purchase(c.UserContext(), web.Viewer(c), productID)
	}
	return h.service.Item(c.UserContext(), web.Viewer(c), *contractID, productID)
}

// Page is a page of an item: View and Data as in web.Page, in the frame, with the title and the menu that all of them share.
func Page(i Item, view string, data any) web.Page {
	page := web.Page{View: view, Title: app.Text{Key: "contracts.page-title", Args: map[string]any{"Name": i.Name(), "Title": i.Product.Title()}}, Section: "products", Data: data}
	if i.Product.OfStore() {
		page.Frame, page.Section = web.FrameAdmin, "clients"
	}
	return page
}

// listView is what views/contracts/index.html and purchases.html show.
type listView struct {
	Menu      Menu
	Contracts []Row
	Purchases []Product
	Next      string // address of the next page, "" on the last one
	Triggers  string // what makes htmx fetch the list again
}

// Index answers GET /products: the subscriptions that the viewer sees.
func (h *Handlers) Index(c *fiber.Ctx) error {
	v := web.Viewer(c)
	if v.OfStore() {
		return web.Redirect(c, "/admin/clients")
	}
	after, err := app.ParseKey(c.Query("after"))
	if err != nil {
		return err
	}
	var view listView
	var next *app.Key
	if view.Contracts, next, err = h.service.Subscriptions(c.UserContext(), v, after); err != nil {
		return err
	}
	if next != nil {
		view.Next = listPath + "?after=" + next.String()
	}
	return h.list(c, view, "contracts/index", "contracts.subscriptions", "subscriptions")
}

// IndexPurchases answers GET /products/purchases.
func (h *Handlers) IndexPurchases(c *fiber.Ctx) error {
	v := web.Viewer(c)
	if v.OfStore() {
		return web.Redirect(c, "/admin/clients")
	}
	after, err := app.ParseKey(c.Query("after"))
	if err != nil {
		return err
	}
	var view listView
	var next *app.Key
	if view.Purchases, next, err = h.service.Purchases(c.UserContext(), v, after); err != nil {
		return err
	}
	if next != nil {
		view.Next = purchasesPath + "?after=" + next.String()
	}
	return h.list(c, view, "contracts/purchases", "contracts.purchases", "purchases")
}

func (h *Handlers) list(c *fiber.Ctx, view listView, name, title, section string) error {
	var err error
	if view.Menu, err = h.Menu(c, section); err != nil {
		return err
	}
	topics, err := h.service.Topics(c.UserContext(), web.Viewer(c))
	if err != nil {
		return err
	}
	view.Triggers = Triggers(topics)
	return web.Render(c, web.Page{
		View: name, Title: app.Text{Key: title}, Section: "products", Data: view, Parts: []string{"contracts/list", "contracts/purchase-list"},
	})
}

// Live answers GET /products/live, the event stream of the viewer's lists.
func (h *Handlers) Live(c *fiber.Ctx) error {
	r := web.Of(c)
	topics, err := h.service.Topics(c.UserContext(), r.Viewer)
	if err != nil {
		return err
	}
	still, viewer := r.Still, r.Viewer
	return live.Stream(c, h.hub, live.Watch{
		Topics: topics, UserID: viewer.UserID, SessionID: viewer.SessionID,
		Allowed: func(ctx context.Context) error {
			if err := still(ctx); err != nil {
				return err
			}
			// Somebody who left an account opens the stream again, with the topics that are theirs then.
			now, err := h.service.Topics(ctx, viewer)
			if err == nil && !slices.Equal(now, topics) {
				err = app.ErrNotFound
			}
			return err
		},
	})
}

// LiveOne answers GET /contracts/:id/live and the like, the event stream of a contract's pages, or of a one-off purchase's.
func (h *Handlers) LiveOne(c *fiber.Ctx) error {
	r := web.Of(c)
	item, err := h.Find(c)
	if err != nil {
		return err
	}
	still, userID, productID := r.Still, r.Viewer.UserID, item.Product.ID
	return live.Stream(c, h.hub, live.Watch{
		Topics: append(h.topics(r.Viewer), item.Topic(), TopicOfProduct(productID)), UserID: userID, SessionID: r.Viewer.SessionID,
		Allowed: func(ctx context.Context) error {
			if err := still(ctx); err != nil {
				return err
			}
			return h.service.SeesProduct(ctx, userID, productID)
		},
	})
}

// showView is what views/contracts/show.html shows.
type showView struct {
	Head    Head
	Details []Detail
	Lines   []Line
	Price   string // "" for who may not see billing
	Reason  string // of a cancellation, after a space; "" for who may not know
	Panel   any    // what provisioning offers, nil for nothing
}

// Line is one event of a timeline in words.
type Line struct {
	Event
	Own  bool
	Icon string
	Text string // the sentence, without who did it
}

// Show answers GET /contracts/:id, /purchases/:id, and the same below /admin: the page **Overview**.
func (h *Handlers) Show(c *fiber.Ctx) error {
	r := web.Of(c)
	item, err := h.Find(c)
	if err != nil {
		return err
	}
	if to := item.Path(); r.Viewer.OfStore() && item.Product.OfStore() && !strings.HasPrefix(c.Path(), "/admin/") {
		return web.Redirect(c, to)
	}
	page, err := h.overview(c, item)
	if err != nil {
		return err
	}
	return web.Render(c, page)
}

func (h *Handlers) overview(c *fiber.Ctx, item Item) (web.Page, error) {
	r := web.Of(c)
	view := showView{Details: item.Product.Details()}
	var err error
	if view.Head, err = h.Head(c, item, "overview"); err != nil {
		return web.Page{}, err
	}
	if item.Contract != nil && item.Contract.CancelReason != "" && item.Product.Relation != Delegate {
		view.Reason = " " + r.T("contracts.reason-was", "Reason", item.Contract.CancelReason)
	}
	if h.panel != nil {
		if view.Panel, err = h.panel(c, item); err != nil {
			return web.Page{}, err
		}
	}
	events, err := h.service.Events(c.UserContext(), item)
	if err != nil {
		return web.Page{}, err
	}
	for _, event := range events {
		view.Lines = append(view.Lines, line(r, event))
	}
	if item.Allows("billing") {
		view.Price = r.Money(item.Product.PriceMinor, r.Store.Currency)
		if item.Contract != nil {
			view.Price += " " + r.T("contracts.each", "Count", item.Contract.CycleMonths)
		}
	}
	page := Page(item, "contracts/show", view)
	page.Parts = []string{"contracts/overview"}
	return page, nil
}

// eventIcons draw events.
var eventIcons = map[string]string{
	EventCreate: "plus", EventActivate: "circle-check", EventSuspend: "triangle-alert", EventUnsuspend: "circle-check", EventCancel: "ban",
	EventEnd: "timer-off", EventProductAdded: "package", "option-added": "plus", "option-removed": "x",
	delegates.EventInvite: "user-plus", delegates.EventAccept: "share-2", delegates.EventDecline: "user-x", delegates.EventRevoke: "user-x", delegates.EventLeave: "log-out",
	delegates.EventAsk: "circle-help", delegates.EventAllow: "check", delegates.EventRefuse: "x",
}

// line puts an event into words. A newer program beside this one may know more kinds.
func line(r *web.Request, e Event) Line {
	l := Line{Event: e, Icon: cmp.Or(eventIcons[e.Kind], "info"), Own: e.ActorID != nil && *e.ActorID == r.Viewer.UserID, Text: r.T("contracts.event-other")}
	if key := "contracts.event-" + e.Kind; r.Has(key) || eventIcons[e.Kind] != "" {
		var args []any
		for name, value := range e.Data {
			if day, err := time.Parse(time.DateOnly, value); err == nil {
				value = r.CalendarDay(day)
			}
			args = append(args, name, value)
		}
		l.Text = r.T(key, args...)
	}
	if l.Own {
		l.ActorName = r.T("tickets.you")
	}
	return l
}
