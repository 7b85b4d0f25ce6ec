package delegates

import (
	"cmp"
	"errors"
	"strings"
	"time"

	"portico/app"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

// Handlers are the panel of one kind of thing, the same for all: who is let in, inviting, revoking, terms, leaving.
type Handlers struct {
	service *Service
	place   Place
}

// Place is how the pages of a kind's domain stand around the panel.
type Place struct {
	Kind string // Ticket or Contract
	// Path is the address of a thing's page for a viewer.
	Path func(v app.Viewer, id string) string
	// Page is the page around a panel, which is its Data, with Host filled.
	Page func(c *fiber.Ctx, id string, panel View) (web.Page, error)
}

// NewHandlers returns the handlers of a kind.
func NewHandlers(s *Service, p Place) *Handlers { return &Handlers{s, p} }

// View is what views/delegates/panel.html shows, and the page around it.
type View struct {
	Panel
	Host     any       // what the page around the panel needs
	Topic    string    // of the thing's open pages
	Back     string    // address of the thing's page
	Base     string    // of the panel
	Self     string    // of the panel as it is now
	Inviting bool      // with the form
	Terms    *Delegate // with the form of this one's access
	Ends     []web.Option
	Rights   []web.Option
	MinDay   string // today, for the form
}

const panelPart = "delegates/panel"

// path reads the thing's id from the address, and says where its panel is for the viewer.
func (h *Handlers) path(c *fiber.Ctx) (id, base string, err error) {
	if id, err = web.ID(c, "id"); err != nil {
		return "", "", err
	}
	return id, h.place.Path(web.Viewer(c), id) + "/delegates", nil
}

func (h *Handlers) page(c *fiber.Ctx, inviting bool) (web.Page, View, error) {
	id, base, err := h.path(c)
	if err != nil {
		return web.Page{}, View{}, err
	}
	panel, err := h.service.Panel(c.UserContext(), web.Viewer(c), h.place.Kind, id)
	if err != nil {
		return web.Page{}, View{}, err
	}
	view := View{
		Panel: panel, Topic: h.place.Kind + ":" + id, Back: strings.TrimSuffix(base, "/delegates"), Base: base, Self: base,
		Inviting: inviting && panel.Can.Invite, MinDay: web.Of(c).Now.In(web.Of(c).Zone).Format(time.DateOnly),
	}
	if view.Inviting {
		view.Self += "/new"
	}
	page, err := h.place.Page(c, id, view)
	page.Parts = append(page.Parts, panelPart)
	return page, view, err
}

// Index answers GET …/:id/delegates.
func (h *Handlers) Index(c *fiber.Ctx) error { return h.show(c, false) }

// New answers GET …/:id/delegates/new: the panel with the form of an invitation.
func (h *Handlers) New(c *fiber.Ctx) error { return h.show(c, true) }

func (h *Handlers) show(c *fiber.Ctx, inviting bool) error {
	_, base, err := h.path(c)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(c.Path(), base) { // the store's people have addresses of their own
		return web.Redirect(c, base)
	}
	page, view, err := h.page(c, inviting)
	if err != nil {
		return err
	}
	if inviting && !view.Inviting {
		if view.Final {
			return app.ErrConflict
		}
		return app.ErrForbidden
	}
	return web.Render(c, page)
}

// done shows the panel after a change: alone where it stands beside a page, else as a page. What the store's people did on a client's
// profile (?client=) leads back there.
func (h *Handlers) done(c *fiber.Ctx, key string, args ...any) error {
	if web.WantsPart(c) {
		return h.show(c, false)
	}
	_, base, err := h.path(c)
	if err != nil {
		return err
	}
	web.SetFlash(c, "good", key, args...)
	if client := c.Query("client"); app.IsID(client) && web.Viewer(c).OfStore() {
		base = "/admin/clients/" + client + "/delegates"
	}
	return web.Redirect(c, base)
}

type inviteForm struct {
	Email string `form:"email"`
}

// Create answers POST …/:id/delegates.
func (h *Handlers) Create(c *fiber.Ctx) error {
	id, _, err := h.path(c)
	if err != nil {
		return err
	}
	var form inviteForm
	if err = web.Bind(c, &form); err == nil {
		err = h.service.Invite(c.UserContext(), web.Viewer(c), h.place.Kind, id, form.Email)
	}
	var invalid *app.Invalid
	if errors.As(err, &invalid) {
		page, _, err := h.page(c, true)
		if err != nil {
			return err
		}
		return web.Rerender(c, invalid, page, form)
	}
	if err != nil {
		return err
	}
	return h.done(c, "delegates.sent", "Email", form.Email)
}

// act answers a button of a row.
func (h *Handlers) act(c *fiber.Ctx, key string, work func(id, delegateID string) error) error {
	id, _, err := h.path(c)
	if err != nil {
		return err
	}
	delegateID, err := web.ID(c, "delegate")
	if err != nil {
		return err
	}
	if err := work(id, delegateID); err != nil {
		return err
	}
	return h.done(c, key)
}

// Again answers POST …/:id/delegates/:delegate/again.
func (h *Handlers) Again(c *fiber.Ctx) error {
	return h.act(c, "delegates.sent-again", func(id, delegateID string) error {
		return h.service.Again(c.UserContext(), web.Viewer(c), h.place.Kind, id, delegateID)
	})
}

// Revoke answers POST …/:id/delegates/:delegate/revoke.
func (h *Handlers) Revoke(c *fiber.Ctx) error {
	return h.act(c, "delegates.revoked", func(id, delegateID string) error {
		return h.service.Revoke(c.UserContext(), web.Viewer(c), h.place.Kind, id, delegateID)
	})
}

// Extend answers POST …/:id/delegates/:delegate/extend.
func (h *Handlers) Extend(c *fiber.Ctx) error {
	return h.act(c, "delegates.extended", func(id, delegateID string) error {
		return h.service.Extend(c.UserContext(), web.Viewer(c), h.place.Kind, id, delegateID)
	})
}

// termsForm is until when an access lasts, and what it is for.
type termsForm struct {
	Ends     string   `form:"ends"` // "", "closed" or "on"
	EndsOn   string   `form:"ends_on"`
	Allowed  []string `form:"allowed"` // "actions", "tickets"
	AskFirst bool     `form:"ask_first"`
}

func (h *Handlers) termsPage(c *fiber.Ctx) (web.Page, termsForm, error) {
	id, base, err := h.path(c)
	if err != nil {
		return web.Page{}, termsForm{}, err
	}
	delegateID, err := web.ID(c, "delegate")
	if err != nil {
		return web.Page{}, termsForm{}, err
	}
	_, d, err := h.service.Delegate(c.UserContext(), web.Viewer(c), h.place.Kind, id, delegateID)
	if err != nil {
		return web.Page{}, termsForm{}, err
	}
	page, view, err := h.page(c, false)
	if err != nil {
		return web.Page{}, termsForm{}, err
	}
	r := web.Of(c)
	view.Terms, view.Self = &d, base+"/"+d.ID
	view.Ends = []web.Option{{Label: r.T("delegates.ends-never")}}
	if h.place.Kind == Ticket {
		view.Ends = append(view.Ends, web.Option{Value: "closed", Label: r.T("delegates.ends-closed")})
	}
	view.Ends = append(view.Ends, web.Option{Value: "on", Label: r.T("delegates.ends-date")})
	view.Rights = []web.Option{{Value: "actions", Label: r.T("delegates.allowed-actions")}, {Value: "tickets", Label: r.T("delegates.allowed-tickets")}}
	if page, err = h.place.Page(c, id, view); err != nil {
		return web.Page{}, termsForm{}, err
	}
	page.Parts = append(page.Parts, panelPart)
	form := termsForm{AskFirst: d.AskFirst}
	switch {
	case d.EndsAt != nil:
		form.Ends, form.EndsOn = "on", d.EndsAt.In(web.Of(c).Zone).AddDate(0, 0, -1).Format(time.DateOnly)
	case d.UntilClosed:
		form.Ends = "closed"
	}
	if d.MayAct {
		form.Allowed = append(form.Allowed, "actions")
	}
	if d.MayTickets {
		form.Allowed = append(form.Allowed, "tickets")
	}
	page.Form = web.NewForm(form)
	return page, form, nil
}

// Edit answers GET …/:id/delegates/:delegate: the panel with the terms of one person's access.
func (h *Handlers) Edit(c *fiber.Ctx) error {
	page, _, err := h.termsPage(c)
	if err != nil {
		return err
	}
	return web.Render(c, page)
}

// Update answers POST …/:id/delegates/:delegate.
func (h *Handlers) Update(c *fiber.Ctx) error {
	id, _, err := h.path(c)
	if err != nil {
		return err
	}
	delegateID, err := web.ID(c, "delegate")
	if err != nil {
		return err
	}
	var form termsForm
	if err = web.Bind(c, &form); err == nil {
		terms, invalid := form.terms()
		if err = invalid; err == nil {
			err = h.service.SetTerms(c.UserContext(), web.Viewer(c), h.place.Kind, id, delegateID, terms, web.Of(c).Zone)
		}
	}
	var invalid *app.Invalid
	if errors.As(err, &invalid) {
		page, _, err := h.termsPage(c)
		if err != nil {
			return err
		}
		return web.Rerender(c, invalid, page, form)
	}
	if err != nil {
		return err
	}
	return h.done(c, "delegates.terms-saved")
}

func (f termsForm) terms() (Terms, error) {
	terms := Terms{AskFirst: f.AskFirst}
	switch f.Ends {
	case "":
	case "closed":
		terms.UntilClosed = true
	case "on":
		if f.EndsOn == "" {
			return terms, app.Invalidf("ends_on", "delegates.day-wrong")
		}
		terms.EndsOn = f.EndsOn
	default:
		return terms, app.Invalidf("ends", "form.unreadable")
	}
	for _, right := range f.Allowed {
		switch right {
		case "actions":
			terms.MayAct = true
		case "tickets":
			terms.MayTickets = true
		default:
			return terms, app.Invalidf("allowed", "form.unreadable")
		}
	}
	return terms, nil
}

// Ask answers POST …/:id/ask.
func (h *Handlers) Ask(c *fiber.Ctx) error {
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	if err := h.service.Ask(c.UserContext(), web.Viewer(c), h.place.Kind, id); err != nil {
		return err
	}
	web.SetFlash(c, "good", "delegates.asked")
	return web.Redirect(c, h.place.Path(web.Viewer(c), id))
}

// answerForm is what becomes of what a delegate asks.
type answerForm struct {
	Allow bool `form:"allow"`
}

// Answer answers POST …/:id/delegates/:delegate/answer.
func (h *Handlers) Answer(c *fiber.Ctx) error {
	var form answerForm
	unreadable := web.Bind(c, &form)
	return h.act(c, map[bool]string{true: "delegates.allowed-back", false: "delegates.refused"}[form.Allow], func(id, delegateID string) error {
		if unreadable != nil { // which is told only to who may answer
			_, _, err := h.service.Delegate(c.UserContext(), web.Viewer(c), h.place.Kind, id, delegateID)
			return cmp.Or(err, unreadable)
		}
		return h.service.Answer(c.UserContext(), web.Viewer(c), h.place.Kind, id, delegateID, form.Allow)
	})
}

// Leave answers POST …/:id/leave.
func (h *Handlers) Leave(c *fiber.Ctx) error {
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	if err := h.service.Leave(c.UserContext(), web.Viewer(c), h.place.Kind, id); err != nil {
		return err
	}
	web.SetFlash(c, "good", "delegates.left")
	return web.Redirect(c, "/")
}

// InvitationHandlers are what an invitation's link leads to.
type InvitationHandlers struct{ service *Service }

// NewInvitationHandlers returns the handlers of a Service.
func NewInvitationHandlers(s *Service) *InvitationHandlers { return &InvitationHandlers{s} }

// invitationView is what views/delegates/invitation.html shows.
type invitationView struct {
	Invitation
	Path string // of the page
}

// Show answers GET /invitations/:token. It changes nothing.
func (h *InvitationHandlers) Show(c *fiber.Ctx) error {
	i, err := h.service.Invitation(c.UserContext(), web.Viewer(c), c.Params("token"))
	if errors.Is(err, app.ErrLink) {
		return unknown(c)
	}
	if err != nil {
		return err
	}
	if i.Delegate.Status == Accepted {
		return web.Redirect(c, i.Thing.Path())
	}
	return web.Render(c, web.Page{
		View: "delegates/invitation", Frame: web.FrameBare, Title: app.Text{Key: "delegates." + i.Thing.Kind + "-invitation-title"},
		Data: invitationView{i, "/invitations/" + c.Params("token")},
	})
}

// unknown is the page of a link that does not work for the viewer, the same whether it works for anybody.
func unknown(c *fiber.Ctx) error {
	return web.Render(c, web.Page{
		View: "delegates/unknown", Frame: web.FrameBare, Title: app.Text{Key: "delegates.unknown-title"}, Status: fiber.StatusNotFound,
	})
}

// Accept answers POST /invitations/:token.
func (h *InvitationHandlers) Accept(c *fiber.Ctx) error {
	t, err := h.service.Accept(c.UserContext(), web.Viewer(c), c.Params("token"))
	if errors.Is(err, app.ErrLink) {
		return unknown(c)
	}
	if err != nil {
		return err
	}
	return web.Redirect(c, t.Path())
}

// Decline answers POST /invitations/:token/decline.
func (h *InvitationHandlers) Decline(c *fiber.Ctx) error {
	err := h.service.Decline(c.UserContext(), web.Viewer(c), c.Params("token"))
	if errors.Is(err, app.ErrLink) {
		return unknown(c)
	}
	if err != nil {
		return err
	}
	web.SetFlash(c, "good", "delegates.declined")
	return web.Redirect(c, "/")
}
