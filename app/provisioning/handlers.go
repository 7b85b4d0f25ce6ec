package provisioning

import (
	"cmp"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"portico/app"
	"portico/app/access"
	"portico/app/contracts"
	"portico/app/live"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

// Handlers are the pages **Manage** of products, runs, and provision configurations.
type Handlers struct {
	service   *Service
	contracts *contracts.Handlers
	hub       *live.Hub
	logs      Logs
}

// Logs is the section **Logs** of a product's page in the admin area, as provisionlogs draws it: the data of the view
// "provisionlogs/section". answered says that the request asked for a part of it, and got that.
type Logs func(c *fiber.Ctx, productID, base string) (view any, answered bool, err error)

// NewHandlers returns the handlers of a Service. contracts draws what stands above the page of a product.
func NewHandlers(s *Service, c *contracts.Handlers, hub *live.Hub) *Handlers {
	return &Handlers{service: s, contracts: c, hub: hub}
}

// OfferLogs names what draws the logs of a product. Call it before the portal serves.
func (h *Handlers) OfferLogs(logs Logs) { h.logs = logs }

// Action is a function as a page offers it.
type Action struct {
	Function
	Label  string
	Help   string
	Path   string // where its form stands, and is posted to
	Token  string // of the form that has nothing to ask
	Direct bool   // nothing is asked: the button runs it
	Off    string // why it can't be run now, "" if it can
	From   string // what its button adds to the address, so that the answer leads back
	Run    *Line  // its newest run
}

// Danger tells what is drawn as a warning.
func (a Action) Danger() bool { return a.Confirm || a.Class == ClassDestroy }

// Line is a run in words.
type Line struct {
	RunView
	Label     string
	Path      string // of its page
	Manage    string // of the page it belongs to
	Store     bool   // for people of the store
	CanRetry  bool
	Gone      bool // it could be retried, had its secret parameters not been deleted
	CanUndo   bool
	CanSettle bool
	CanStop   bool
	Plain     bool   // and a redirect is all that it takes
	CanOpen   bool   // what it handed out is ready for the viewer
	CanDecide bool   // the viewer may approve or decline it now
	CanHelp   bool   // the viewer may open a ticket about it, and there is none
	Ticket    string // the address of the ticket about it, for who may have tickets about the product
	Token     string // of the forms below it
	From      string // what its buttons add to their addresses, so that the answer leads back
	Values    []Value
	Turns     []Turn
	Next      string // when the next attempt or look comes, "" if none is planned
}

// Turn is an attempt in words.
type Turn struct {
	Icon, ISO, Clock, Took string
	Message, Detail        string
}

// turnIcons draw attempts.
var turnIcons = map[string]string{
	attemptSucceeded: "circle-check", attemptFailed: "circle-x", attemptRetry: "rotate-cw", attemptWaiting: "hourglass", attemptCancelled: "ban", attemptUnknown: "circle-help",
}

// Value is one field with what it holds, for a page.
type Value struct {
	Name, Label, Text, Before string
	Secret, Set               bool
}

// Open tells whether something is still to come.
func (l Line) Open() bool { return !l.Final() }

// Chip is the status as shared/status knows it.
func (l Line) Chip() string { return l.Status }

// actionPath is the address of an action of a product.
func actionPath(p Product, action string) string {
	path := "/manage/" + p.ID + "/" + action
	if p.OfStore() {
		path = "/admin" + path
	}
	return path
}

func runPath(p Product, id string) string {
	path := "/runs/" + id
	if p.OfStore() {
		path = "/admin" + path
	}
	return path
}

// actions lists what the viewer may be offered of a product, in the catalogue's order.
func (h *Handlers) actions(c *fiber.Ctx, p Product, only func(Function) bool) ([]Action, error) {
	r := web.Of(c)
	if p.Driver == "" {
		return nil, nil
	}
	driver, err := h.service.drivers.Driver(p.Driver)
	if err != nil {
		return nil, nil // not installed any more
	}
	var actions []Action
	var names []string
	for _, f := range driver.Functions(p.Category) {
		if !p.offers(f) || only != nil && !only(f) {
			continue
		}
		a := Action{Function: f, Label: r.T(f.LabelKey()), Path: actionPath(p, f.Name), Token: NewToken()}
		if r.Has(f.HelpKey()) {
			a.Help = r.T(f.HelpKey())
		}
		switch {
		case p.mayRun(f) != nil:
			if !p.OfStore() {
				continue
			}
			a.Off = r.T("provisioning.off-right")
		case !p.possible(f):
			a.Off = r.T("provisioning.off-state")
		case p.PausedAt != nil && !p.OfStore():
			a.Off = r.T("provisioning.off-paused")
		}
		a.Direct = len(f.Asks(p.OfStore())) == 0 && !f.Confirm && !f.dangerous()
		actions = append(actions, a)
		names = append(names, f.Name)
	}
	newest, err := h.service.Newest(c.UserContext(), r.Viewer, p, names)
	if err != nil {
		return nil, err
	}
	for i := range actions {
		if run, ok := newest[actions[i].Name]; ok {
			line := h.line(r, p, run)
			actions[i].Run = &line
		}
	}
	return actions, nil
}

func (h *Handlers) line(r *web.Request, p Product, run RunView) Line {
	l := Line{RunView: run, Path: runPath(p, run.ID), Manage: managePath(p.ContractID, p.ID, p.OfStore()), Store: p.OfStore(), Token: NewToken(), Label: run.Action}
	if run.Function.Name != "" {
		l.Label = r.T(run.Function.LabelKey())
	}
	if run.NextAt != nil && !run.Final() {
		l.Next = r.In(*run.NextAt)
		if wait := time.Until(*run.NextAt); wait < time.Minute {
			l.Next = r.T("provisioning.in-seconds", "Count", max(1, int(wait/time.Second)))
		}
	}
	for _, a := range run.Tries {
		at := a.StartedAt.In(r.Zone)
		l.Turns = append(l.Turns, Turn{cmp.Or(turnIcons[a.Outcome], "circle-dot"), at.Format(time.RFC3339), at.Format(time.TimeOnly), took(a.Took()), a.Message, a.Detail})
	}
	l.CanOpen = run.ResultBy != nil
	l.CanDecide = run.Status == Approval && p.mayDecide() && access.Check(r.Viewer, "runs", "decide") == nil
	l.CanUndo = run.CanUndo(run.Function) && p.mayRun(run.Function) == nil && p.possible(run.Function)
	l.CanRetry = p.OfStore() && p.Allows("run_retry") && run.CanRetry() && run.Settled != "done"
	l.CanSettle = l.CanRetry && run.Unsettled()
	l.Gone = l.CanRetry && run.Function.AsksSecrets()
	l.CanRetry = l.CanRetry && !l.Gone
	if p.Allows("tickets") {
		if run.TicketID != nil {
			l.Ticket = map[bool]string{true: "/admin"}[p.OfStore()] + "/support/" + *run.TicketID
		}
		l.CanHelp = run.Status == Failed && run.TicketID == nil && !p.OfStore() && access.Check(r.Viewer, "tickets", "open") == nil
	}
	l.CanStop = p.OfStore() && p.Allows("run_retry") && run.CanCancel()
	if run.Function.Class != ClassLogin {
		l.Values = values(r, run.Function.Returns, run.Result, "")
	}
	for _, change := range run.Changes {
		category, _ := CategoryOf(run.Category)
		field, _ := Find(category.Fields, change.Field)
		v := Value{Name: change.Field, Label: r.T(field.LabelKey()), Before: Written(field, change.Before), Text: Written(field, change.After), Secret: field.HasSecret()}
		if !slices.ContainsFunc(l.Values, func(have Value) bool { return have.Label == v.Label }) {
			l.Values = append(l.Values, v)
		}
	}
	return l
}

func took(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s" }

// values are fields with what they hold, inner ones by their own names.
func values(r *web.Request, fields []Field, held map[string]any, prefix string) []Value {
	var all []Value
	for _, f := range fields {
		value, ok := held[f.Name]
		if !ok || value == nil {
			continue
		}
		label := r.T(f.LabelKey())
		if prefix != "" {
			label = prefix + ": " + label
		}
		if inner, ok := value.(map[string]any); ok && f.Kind == KindObject {
			if used, ok := inner["used"].(float64); ok { // how much of how much
				v := Value{Name: f.Name, Label: label, Text: Written(Field{}, used)}
				if limit, ok := inner["limit"].(float64); ok {
					v.Text = r.T("provisioning.used-of", "Used", v.Text, "Limit", Written(Field{}, limit))
				}
				all = append(all, v)
				continue
			}
			all = append(all, values(r, f.Fields, inner, label)...)
			continue
		}
		text := Written(f, value)
		if f.Kind == KindBool {
			text = r.T(map[bool]string{true: "provisioning.yes", false: "provisioning.no"}[value == true])
		}
		all = append(all, Value{Name: f.Name, Label: label, Text: text, Secret: f.HasSecret()})
	}
	return all
}

// manageView is what views/provisioning/manage.html shows to clients.
type manageView struct {
	Head    contracts.Head
	Product Product
	Path    string
	Actions []Action
	Runs    []Line
	Next    string
	Open    bool // a run is under way
	Taken   *taken
}

// taken says why a delegate is offered no actions: the owner switched them off.
type taken struct {
	Owner string
	Asked bool   // for them, and not answered yet
	Path  string // where one asks
}

// takenOf returns it, nil for who may act or never could.
func takenOf(p Product, owner string) *taken {
	if !p.taken() {
		return nil
	}
	return &taken{cmp.Or(owner, p.AccountName), p.Asked, "/contracts/" + *p.ContractID + "/ask"}
}

// Manage answers GET /contracts/:id/manage and /purchases/:id/manage: all client actions of a product with their runs.
func (h *Handlers) Manage(c *fiber.Ctx) error {
	item, err := h.contracts.Find(c)
	if err != nil {
		return err
	}
	r := web.Of(c)
	if item.Product.OfStore() {
		return web.Redirect(c, managePath(item.Product.ContractID, item.Product.ID, true))
	}
	page, err := h.manage(c, item)
	if err != nil {
		return err
	}
	h.allowLogins(c, r.Viewer, page.Data.(manageView).Actions)
	return web.Render(c, page)
}

func (h *Handlers) manage(c *fiber.Ctx, item contracts.Item) (web.Page, error) {
	r := web.Of(c)
	p, err := h.service.Product(c.UserContext(), r.Viewer, item.Product.ID)
	if err != nil {
		return web.Page{}, err
	}
	view := manageView{Product: p, Path: managePath(p.ContractID, p.ID, false), Taken: takenOf(p, item.Product.OwnerName)}
	if view.Head, err = h.contracts.Head(c, item, "manage"); err != nil {
		return web.Page{}, err
	}
	if view.Actions, err = h.actions(c, p, nil); err != nil {
		return web.Page{}, err
	}
	view.Runs, view.Next, err = h.runs(c, p)
	if err != nil {
		return web.Page{}, err
	}
	view.Open = slices.ContainsFunc(view.Runs, Line.Open)
	page := contracts.Page(item, "provisioning/manage", view)
	page.Parts = []string{"provisioning/actions", "provisioning/runs"}
	return page, nil
}

func (h *Handlers) runs(c *fiber.Ctx, p Product) (lines []Line, next string, err error) {
	r := web.Of(c)
	after := c.Query("after")
	if after != "" && !app.IsID(after) {
		return nil, "", app.ErrNotFound
	}
	runs, key, err := h.service.Runs(c.UserContext(), r.Viewer, p.ID, Key(after))
	if err != nil {
		return nil, "", err
	}
	for _, run := range runs {
		lines = append(lines, h.line(r, p, run))
	}
	if key != "" {
		next = managePath(p.ContractID, p.ID, p.OfStore())
		next += map[bool]string{true: "&", false: "?"}[strings.Contains(next, "?")] + "after=" + string(key)
	}
	return lines, next, nil
}

// allowLogins lets the page's buttons **Open control panel** lead to the providers of the logins that are ready. What is fetched into an
// open page does not change that one's policy, so with scripts a plain login is followed by them (Line.Plain).
func (h *Handlers) allowLogins(c *fiber.Ctx, v app.Viewer, actions []Action) {
	for _, a := range actions {
		if a.Run != nil && a.Run.CanOpen && a.Class == ClassLogin {
			origin, plain := h.service.loginOrigin(c.UserContext(), v, a.Run.Run)
			if origin != "" {
				web.AllowFormsTo(c, origin)
			}
			a.Run.Plain = plain
		}
	}
}

// Everyday is what a product's page **Overview** offers of its actions: views/provisioning/everyday.html draws it. nil where nothing
// is to be offered.
type Everyday struct {
	Product Product
	Path    string // of the page **Manage**
	Actions []Action
	Open    bool
	Taken   *taken
}

// Everyday returns it for a product's page.
func (h *Handlers) Everyday(c *fiber.Ctx, item contracts.Item) (any, error) {
	r := web.Of(c)
	p, err := h.service.Product(c.UserContext(), r.Viewer, item.Product.ID)
	if err != nil {
		return nil, err
	}
	e := Everyday{Product: p, Path: managePath(p.ContractID, p.ID, p.OfStore()), Taken: takenOf(p, item.Product.OwnerName)}
	if e.Actions, err = h.actions(c, p, func(f Function) bool { return f.Everyday }); err != nil {
		return nil, err
	}
	if p.OfStore() || len(e.Actions) == 0 && e.Taken == nil {
		return nil, nil
	}
	for i, a := range e.Actions {
		e.Actions[i].From = "?from=overview"
		e.Open = e.Open || a.Run != nil && a.Run.Open()
	}
	h.allowLogins(c, r.Viewer, e.Actions)
	return &e, nil
}

// ActionForm is the form of one action.
type ActionForm struct {
	Action  Action
	Product Product
	Fields  []Field
	Prefix  string // of ids
	Stored  map[string]bool
	Cancel  string // where the link **Cancel** leads
	Typed   string // what Confirm asks to be typed
	Token   string
	Admin   bool
}

// Guide is the address of the action's entry in the guide.
func (f ActionForm) Guide() string { return GuidePath(f.Product.Category, f.Action.Name) }

// Inputs are the form's inputs, for the template.
func (f ActionForm) Inputs(view *web.View) []Input { return Inputs(view, f.Fields, f.Stored, f.Prefix) }

// idPrefix keeps the ids of an action's fields apart from those of the page around them.
func idPrefix(f Function) string { return f.Name + "-" }

// find reads the product and the action that the address names.
func (h *Handlers) find(c *fiber.Ctx) (Product, Function, error) {
	id, err := web.ID(c, "id")
	if err != nil {
		return Product{}, Function{}, err
	}
	return h.service.function(c.UserContext(), web.Viewer(c), id, c.Params("action"))
}

// ShowAction answers GET /manage/:id/:action: the form of an action, as a page or in place.
func (h *Handlers) ShowAction(c *fiber.Ctx) error {
	p, f, err := h.find(c)
	if err != nil {
		return err
	}
	if err := p.mayRun(f); err != nil {
		return err
	}
	if f.dangerous() && time.Since(web.Viewer(c).ProvedAt) > h.service.limits.Proof {
		return h.prove(c, p)
	}
	page, err := h.actionPage(c, p, f)
	if err != nil {
		return err
	}
	known, err := h.service.known(c.UserContext(), h.service.pool, p)
	if err != nil {
		return err
	}
	page.Form = NewForm(f.Params, Prefill(f.Asks(p.OfStore()), known))
	return web.Render(c, page)
}

// prove asks for the password or second factor, and comes back to the page **Manage**.
func (h *Handlers) prove(c *fiber.Ctx, p Product) error {
	next := managePath(p.ContractID, p.ID, p.OfStore())
	if c.Method() == fiber.MethodGet {
		next = web.Of(c).Path
	}
	return web.Redirect(c, "/security/proof?next="+url.QueryEscape(next))
}

func (h *Handlers) actionPage(c *fiber.Ctx, p Product, f Function) (web.Page, error) {
	r := web.Of(c)
	a := Action{Function: f, Label: r.T(f.LabelKey()), Path: actionPath(p, f.Name)}
	if r.Has(f.HelpKey()) {
		a.Help = r.T(f.HelpKey())
	}
	form := ActionForm{
		Action: a, Product: p, Fields: f.Asks(p.OfStore()), Prefix: idPrefix(f), Cancel: managePath(p.ContractID, p.ID, p.OfStore()), Token: NewToken(), Admin: p.OfStore(),
		Stored: map[string]bool{},
	}
	if f.Confirm {
		form.Typed = p.identifier()
	}
	page := web.Page{
		View: "provisioning/action", Title: app.Text{Key: "provisioning.action-title", Args: map[string]any{"Action": a.Label, "Product": cmp.Or(p.Identifier, p.Name)}},
		Section: "products", Data: form, Parts: []string{"provisioning/form"},
	}
	if p.OfStore() {
		page.Frame, page.Section = web.FrameAdmin, "clients"
	}
	return page, nil
}

// The fields of an action's form beside its parameters.
const (
	fieldToken   = "form_token"
	fieldConfirm = "confirm"
)

// Request answers POST /manage/:id/:action.
func (h *Handlers) Request(c *fiber.Ctx) error {
	p, f, err := h.find(c)
	if err != nil {
		return err
	}
	if err := p.mayRun(f); err != nil {
		return err
	}
	posted, err := web.Posted(c)
	if err == nil {
		asking := Asking{ProductID: p.ID, Action: f.Name, Token: first(posted, fieldToken), Confirm: strings.TrimSpace(first(posted, fieldConfirm)), Values: posted}
		delete(posted, fieldToken)
		delete(posted, fieldConfirm)
		_, err = h.service.Request(c.UserContext(), web.Viewer(c), asking)
	}
	if errors.Is(err, app.ErrProof) {
		return h.prove(c, p)
	}
	if err == nil {
		return h.back(c, p, f.Name)
	}
	form, err := Typed(f.Params, posted, err)
	if err != nil {
		return err
	}
	form.Prefix = idPrefix(f)
	var page web.Page
	if p.OfStore() {
		page, err = h.inPlace(c, p, f, form)
	} else {
		page, err = h.actionPage(c, p, f)
		page.Form = form
	}
	if err != nil {
		return err
	}
	page.Status = fiber.StatusUnprocessableEntity
	return web.Render(c, page)
}

func first(posted map[string][]string, name string) string {
	if len(posted[name]) == 0 {
		return ""
	}
	return posted[name][0]
}

// back goes to the page that the form stood on: the product's **Overview** if its button was pressed there, else **Manage**.
func (h *Handlers) back(c *fiber.Ctx, p Product, action string) error {
	to := managePath(p.ContractID, p.ID, p.OfStore())
	if c.Query("from") == "overview" && !p.OfStore() {
		to = strings.Replace(to, "/manage", "", 1)
	}
	return web.Redirect(c, to+"#action-"+action)
}
