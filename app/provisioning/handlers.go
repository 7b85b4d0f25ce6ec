package provisioning

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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

// runView is what views/provisioning/run.html shows.
type runView struct {
	Line    Line
	Product Product
	Back    string
	Plan    []Value // of a run that waits for approval: what it would change
}

// ShowRun answers GET /runs/:id: one run, live.
func (h *Handlers) ShowRun(c *fiber.Ctx) error {
	r := web.Of(c)
	run, p, err := h.findRun(c)
	if err != nil {
		return err
	}
	line := h.line(r, p, run)
	h.allowLogins(c, r.Viewer, []Action{{Function: run.Function, Run: &line}})
	page := web.Page{
		View: "provisioning/run", Title: app.Text{Key: "provisioning.action-title", Args: map[string]any{"Action": line.Label, "Product": cmp.Or(p.Identifier, p.Name)}},
		Section: "products", Data: runView{line, p, managePath(p.ContractID, p.ID, p.OfStore()), plan(r, p, run)}, Parts: []string{"provisioning/run-state"},
	}
	if p.OfStore() {
		page.Frame, page.Section = web.FrameAdmin, "clients"
	}
	return web.Render(c, page)
}

func (h *Handlers) findRun(c *fiber.Ctx) (RunView, Product, error) {
	id, err := web.ID(c, "id")
	if err != nil {
		return RunView{}, Product{}, err
	}
	return h.service.Show(c.UserContext(), web.Viewer(c), id)
}

// LiveRun answers GET /runs/:id/live, the event stream of a run's page.
func (h *Handlers) LiveRun(c *fiber.Ctx) error {
	r := web.Of(c)
	run, p, err := h.findRun(c)
	if err != nil {
		return err
	}
	still, userID := r.Still, r.Viewer.UserID
	return live.Stream(c, h.hub, live.Watch{
		Topics: []string{TopicOf(run.ID)}, UserID: userID, SessionID: r.Viewer.SessionID,
		Allowed: func(ctx context.Context) error {
			if err := still(ctx); err != nil {
				return err
			}
			return h.service.Sees(ctx, userID, p.ID)
		},
	})
}

// resultView is what views/provisioning/result.html shows, once.
type resultView struct {
	Line   Line
	Values []Value
	Action string            // where a login that has to be posted goes, "" for none
	Fields map[string]string // what is posted there
	Back   string
}

// TakeResult answers POST /runs/:id/result: a login redirects to the provider, a credential is shown. Both work once.
func (h *Handlers) TakeResult(c *fiber.Ctx) error {
	r := web.Of(c)
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	run, held, err := h.service.TakeResult(c.UserContext(), r.Viewer, id)
	if err != nil {
		return err
	}
	shown, p, err := h.service.Show(c.UserContext(), r.Viewer, id)
	if err != nil {
		return err
	}
	view := resultView{Line: h.line(r, p, shown), Back: managePath(p.ContractID, p.ID, p.OfStore()), Fields: map[string]string{}}
	link, origin := loginLink(held)
	fields, _ := held["post_fields"].(map[string]any)
	if link != "" && isPlain(held) {
		return web.Redirect(c, link)
	}
	if link != "" {
		view.Action = link
		for name, value := range fields {
			view.Fields[name] = fmt.Sprint(value)
		}
		web.AllowFormsTo(c, origin)
	}
	for _, field := range shown.Function.Returns {
		value, ok := held[field.Name]
		if !ok || field.Name == "login_url" || field.Name == "post_fields" {
			continue
		}
		field.Secret = false // it is what this page is for
		view.Values = append(view.Values, Value{Name: field.Name, Label: r.T(field.LabelKey()), Text: Written(field, value)})
	}
	page := web.Page{
		View: "provisioning/result", Title: app.Text{Key: "provisioning.action-title", Args: map[string]any{"Action": view.Line.Label, "Product": run.ProductName}}, Section: "products", Data: view,
	}
	if p.OfStore() {
		page.Frame, page.Section = web.FrameAdmin, "clients"
	}
	return web.Render(c, page)
}

// isPlain tells whether a login is a link and nothing else.
func isPlain(held map[string]any) bool { return held["login_url"] != nil && len(held) == 1 }

// loginLink is where a login leads, and the origin of that: https, or http, and nothing else.
func loginLink(held map[string]any) (link, origin string) {
	text, _ := held["login_url"].(string)
	parsed, err := url.Parse(text)
	if err != nil || parsed.Scheme != "https" && parsed.Scheme != "http" || parsed.Host == "" || parsed.User != nil {
		return "", ""
	}
	return text, parsed.Scheme + "://" + parsed.Host
}

// Undo answers POST /runs/:id/undo.
func (h *Handlers) Undo(c *fiber.Ctx) error {
	return h.again(c, h.service.Undo)
}

// Retry answers POST /admin/runs/:id/retry.
func (h *Handlers) Retry(c *fiber.Ctx) error {
	return h.again(c, h.service.Retry)
}

// tokenForm is a button that makes a run.
type tokenForm struct {
	Token string `form:"form_token"`
}

func (h *Handlers) again(c *fiber.Ctx, do func(ctx context.Context, v app.Viewer, id, token string) (Run, error)) error {
	_, p, err := h.findRun(c)
	if err != nil {
		return err
	}
	var form tokenForm
	if err := web.Bind(c, &form); err != nil {
		return err
	}
	if !app.IsID(form.Token) {
		form.Token = NewToken()
	}
	run, err := do(c.UserContext(), web.Viewer(c), c.Params("id"), form.Token)
	if errors.Is(err, app.ErrProof) {
		return h.prove(c, p)
	}
	if err != nil {
		return err
	}
	if c.Query("from") == "ticket" && p.OfStore() && run.TicketID != nil {
		return web.Redirect(c, "/admin/support/"+*run.TicketID+"#runs-h")
	}
	if to := fromLogs(c, p, run.ID); to != "" {
		return web.Redirect(c, to)
	}
	return h.back(c, p, run.Action)
}

// fromLogs is where a deed leads back to that was done on the page of all logs: to a run there, under the filter that ?back= holds. ""
// if it was done elsewhere.
func fromLogs(c *fiber.Ctx, p Product, runID string) string {
	if !p.OfStore() || !c.Context().QueryArgs().Has("back") {
		return ""
	}
	to := "/admin/provisioning/logs/" + runID
	if filter, err := url.ParseQuery(c.Query("back")); err == nil && len(filter) > 0 {
		to += "?" + filter.Encode()
	}
	return to
}

// Cancel answers POST /admin/runs/:id/cancel.
func (h *Handlers) Cancel(c *fiber.Ctx) error {
	_, p, err := h.findRun(c)
	if err != nil {
		return err
	}
	if _, err := h.service.Cancel(c.UserContext(), web.Viewer(c), c.Params("id")); err != nil {
		return err
	}
	return web.Redirect(c, cmp.Or(fromLogs(c, p, c.Params("id")), managePath(p.ContractID, p.ID, true)+"#logs"))
}

// settleForm is what an admin found out.
type settleForm struct {
	Done string `form:"done"` // "yes" or "no"
}

// Settle answers POST /admin/runs/:id/settle.
func (h *Handlers) Settle(c *fiber.Ctx) error {
	_, p, err := h.findRun(c)
	if err != nil {
		return err
	}
	var form settleForm
	if err := web.Bind(c, &form); err != nil {
		return err
	}
	if _, err := h.service.Settle(c.UserContext(), web.Viewer(c), c.Params("id"), form.Done == "yes"); err != nil {
		return err
	}
	return web.Redirect(c, cmp.Or(fromLogs(c, p, c.Params("id")), managePath(p.ContractID, p.ID, true)+"#logs"))
}
