package team

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"portico/app"
	"portico/app/store"
	"portico/app/web"
	"portico/policies"

	"github.com/gofiber/fiber/v2"
)

// Handlers are the pages **Team** and **Permissions** under **Settings**.
type Handlers struct{ service *Service }

// NewHandlers returns the handlers of a Service.
func NewHandlers(s *Service) *Handlers { return &Handlers{s} }

const teamPath = "/admin/settings/team"

func memberPath(id string) string { return teamPath + "/" + id }

// indexView is what views/team/index.html shows.
type indexView struct {
	Text    string // what was searched for
	Members []Member
	Next    string // address of the next page, "" on the last one
	Now     time.Time
}

// Index answers GET /admin/settings/team: ?q= filters by name and address, ?after= is the key of a later page.
func (h *Handlers) Index(c *fiber.Ctx) error {
	after := c.Query("after")
	if after != "" && !isID(after) {
		return app.ErrNotFound
	}
	view := indexView{Text: strings.ReplaceAll(strings.ToValidUTF8(c.Query("q"), ""), "\x00", ""), Now: web.Of(c).Now}
	members, next, err := h.service.List(c.UserContext(), web.Viewer(c), view.Text, after)
	if err != nil {
		return err
	}
	view.Members = members
	if next != "" {
		query := url.Values{"after": {next}}
		if view.Text != "" {
			query.Set("q", view.Text)
		}
		view.Next = teamPath + "?" + query.Encode()
	}
	return web.Render(c, web.Page{
		View: "team/index", Frame: web.FrameAdmin, Title: app.Text{Key: "store.tab-team"}, Section: "settings", Data: view,
		Parts: []string{"team/members"},
	})
}

// placeView is what team/place, the fields of both forms, is drawn from.
type placeView struct {
	Member      Member // the zero Member on the page that invites
	Self        bool   // the viewer looks at themselves
	Status      string
	Roles       []web.Option
	Departments []web.Option
	Groups      []Group
}

func (h *Handlers) placeView(c *fiber.Ctx, member Member) (placeView, error) {
	departments, err := h.service.Departments(c.UserContext(), web.Viewer(c))
	if err != nil {
		return placeView{}, err
	}
	r := web.Of(c)
	view := placeView{
		Member: member, Self: member.ID == r.Viewer.UserID, Status: member.Status(r.Now), Groups: Groups(), Departments: options(departments),
		Roles: []web.Option{{Value: string(app.RoleStaff), Label: r.T("team.role-staff")}, {Value: string(app.RoleAdmin), Label: r.T("team.role-admin")}},
	}
	return view, nil
}

func options(departments []store.Department) []web.Option {
	var all []web.Option
	for _, d := range departments {
		all = append(all, web.Option{Value: d.ID, Label: d.Name})
	}
	return all
}

// inviteForm is what POST /admin/settings/team takes.
type inviteForm struct {
	Name        string   `form:"name"`
	Email       string   `form:"email"`
	Role        string   `form:"role"`
	Departments []string `form:"departments"`
	Permissions []string `form:"permissions"`
}

func (h *Handlers) newPage(c *fiber.Ctx) (web.Page, error) {
	view, err := h.placeView(c, Member{})
	return web.Page{
		View: "team/new", Frame: web.FrameAdmin, Title: app.Text{Key: "team.invite-title"}, Section: "settings", Data: view,
		Form: web.NewForm(inviteForm{Role: string(app.RoleStaff)}),
	}, err
}

// New answers GET /admin/settings/team/new. ?name=, ?email= and ?departments= bring back what was typed before a proof was
// asked for; no role is chosen then.
func (h *Handlers) New(c *fiber.Ctx) error {
	page, err := h.newPage(c)
	if err != nil {
		return err
	}
	if typed, err := url.ParseQuery(string(c.Request().URI().QueryString())); err == nil && len(typed) > 0 {
		page.Form = web.NewForm(inviteForm{Name: typed.Get("name"), Email: typed.Get("email"), Departments: typed["departments"]})
	}
	return web.Render(c, page)
}

// Create answers POST /admin/settings/team: it invites.
func (h *Handlers) Create(c *fiber.Ctx) error {
	page, err := h.newPage(c)
	if err != nil {
		return err
	}
	var form inviteForm
	if err = web.Bind(c, &form); err == nil {
		place := Place{form.Name, app.Role(form.Role), form.Permissions, form.Departments}
		_, err = h.service.Invite(c.UserContext(), web.Viewer(c), form.Email, place)
	}
	if errors.Is(err, app.ErrProof) {
		// The role is left out: an address that somebody else made up must not lead to a form that already says "admin".
		return prove(c, teamPath+"/new?"+url.Values{"name": {form.Name}, "email": {form.Email}, "departments": form.Departments}.Encode())
	}
	if err != nil {
		return web.Rerender(c, err, page, form)
	}
	web.SetFlash(c, "good", "team.invited", "Email", strings.TrimSpace(form.Email))
	return web.Redirect(c, teamPath)
}

// placeForm is what POST /admin/settings/team/:id takes.
type placeForm struct {
	Name        string   `form:"name"`
	Role        string   `form:"role"`
	Departments []string `form:"departments"`
	Permissions []string `form:"permissions"`
}

func (h *Handlers) showPage(c *fiber.Ctx) (web.Page, Member, error) {
	id, err := web.ID(c, "id")
	if err != nil {
		return web.Page{}, Member{}, err
	}
	member, err := h.service.Get(c.UserContext(), web.Viewer(c), id)
	if err != nil {
		return web.Page{}, Member{}, err
	}
	view, err := h.placeView(c, member)
	return web.Page{
		View: "team/show", Frame: web.FrameAdmin, Title: app.Text{Key: "team.member", Args: map[string]any{"Name": member.Name}},
		Section: "settings", Data: view,
		Form: web.NewForm(placeForm{member.Name, string(member.Role), member.Departments, member.Permissions}),
	}, member, err
}

// Show answers GET /admin/settings/team/:id.
func (h *Handlers) Show(c *fiber.Ctx) error {
	page, _, err := h.showPage(c)
	if err != nil {
		return err
	}
	return web.Render(c, page)
}

// Update answers POST /admin/settings/team/:id.
func (h *Handlers) Update(c *fiber.Ctx) error {
	page, member, err := h.showPage(c)
	if err != nil {
		return err
	}
	var form placeForm
	if err = web.Bind(c, &form); err == nil {
		place := Place{form.Name, app.Role(form.Role), form.Permissions, form.Departments}
		err = h.service.Update(c.UserContext(), web.Viewer(c), member.ID, place)
	}
	if errors.Is(err, app.ErrProof) {
		return prove(c, memberPath(member.ID))
	}
	if err != nil {
		return web.Rerender(c, err, page, form)
	}
	web.SetFlash(c, "good", "team.saved")
	return web.Redirect(c, memberPath(member.ID))
}

// Disable answers POST /admin/settings/team/:id/disable.
func (h *Handlers) Disable(c *fiber.Ctx) error {
	return h.after(c, "team.now-disabled", func(id string) error { return h.service.Disable(c.UserContext(), web.Viewer(c), id) })
}

// Enable answers POST /admin/settings/team/:id/enable.
func (h *Handlers) Enable(c *fiber.Ctx) error {
	return h.after(c, "team.now-enabled", func(id string) error { return h.service.Enable(c.UserContext(), web.Viewer(c), id) })
}

// InviteAgain answers POST /admin/settings/team/:id/invite.
func (h *Handlers) InviteAgain(c *fiber.Ctx) error {
	return h.after(c, "team.invited-again", func(id string) error { return h.service.InviteAgain(c.UserContext(), web.Viewer(c), id) })
}

// SignOut answers POST /admin/settings/team/:id/sign-out.
func (h *Handlers) SignOut(c *fiber.Ctx) error {
	return h.after(c, "team.signed-out", func(id string) error { return h.service.SignOut(c.UserContext(), web.Viewer(c), id) })
}

// RemoveFactor answers POST /admin/settings/team/:id/factor/remove.
func (h *Handlers) RemoveFactor(c *fiber.Ctx) error {
	return h.after(c, "team.factor-removed", func(id string) error { return h.service.RemoveFactor(c.UserContext(), web.Viewer(c), id) })
}

// prove sends a viewer whose proof is too old to give it again, and then back to next.
func prove(c *fiber.Ctx, next string) error {
	return web.Redirect(c, "/security/proof?next="+url.QueryEscape(next))
}

// after does one deed to a member and goes back to their page.
func (h *Handlers) after(c *fiber.Ctx, flash string, deed func(id string) error) error {
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	if err := deed(id); err != nil {
		if errors.Is(err, app.ErrProof) {
			return prove(c, memberPath(id))
		}
		return err
	}
	web.SetFlash(c, "good", flash)
	return web.Redirect(c, memberPath(id))
}

// permissionsView is what views/team/permissions.html shows.
type permissionsView struct {
	Deeds     []deedRow
	Relations []web.Option // whom one may ask about
	People    []web.Option
	Objects   []web.Option
	Actions   []web.Option
	Asked     Question
	Answer    *Answer  // nil until something was asked
	As        []string // the answer's relations, in words
}

// deedRow is a Deed in words.
type deedRow struct {
	Object, Action string
	Who            []string
}

// Permissions answers GET /admin/settings/permissions: ?who=, ?object= and ?action= ask a question.
func (h *Handlers) Permissions(c *fiber.Ctx) error {
	r := web.Of(c)
	deeds, err := h.service.Deeds(r.Viewer)
	if err != nil {
		return err
	}
	people, err := h.service.People(c.UserContext(), r.Viewer)
	if err != nil {
		return err
	}
	view := permissionsView{Asked: Question{Who: c.Query("who"), Object: c.Query("object"), Action: c.Query("action")}}
	for _, member := range people {
		view.People = append(view.People, web.Option{Value: member.ID, Label: member.Name})
	}
	relations := []string{"anonymous"}
	for _, deed := range deeds {
		row := deedRow{Object: word(r, "object", deed.Object), Action: word(r, "action", deed.Action)}
		for _, relation := range deed.Relations {
			row.Who = append(row.Who, relationWord(r, relation))
			relations = append(relations, relation)
		}
		view.Deeds = append(view.Deeds, row)
		view.Objects = addOption(view.Objects, deed.Object, row.Object)
		view.Actions = addOption(view.Actions, deed.Action, row.Action)
	}
	for _, relation := range relations {
		view.Relations = addOption(view.Relations, relationPrefix+relation, relationWord(r, relation))
	}
	if view.Asked.Who != "" {
		answer, err := h.service.Ask(c.UserContext(), r.Viewer, view.Asked)
		if err != nil {
			return err
		}
		view.Answer = &answer
		for _, relation := range answer.Relations {
			view.As = append(view.As, relationWord(r, relation))
		}
	}
	return web.Render(c, web.Page{
		View: "team/permissions", Frame: web.FrameAdmin, Title: app.Text{Key: "store.tab-permissions"}, Section: "settings", Data: view,
	})
}

func addOption(options []web.Option, value, label string) []web.Option {
	if slices.ContainsFunc(options, func(o web.Option) bool { return o.Value == value }) {
		return options
	}
	return append(options, web.Option{Value: value, Label: label})
}

// word is what the catalogue calls a name of the policy, or the name itself.
func word(r *web.Request, kind, name string) string {
	if key := "permission." + kind + "-" + name; r.Has(key) {
		return r.T(key)
	}
	return name
}

func relationWord(r *web.Request, relation string) string {
	name, can := strings.CutPrefix(relation, "can:")
	switch {
	case can && slices.Contains(policies.Permissions, policies.Permission(name)):
		return r.T("permission.relation-can", "Permission", r.T("permission."+name))
	case can && slices.Contains(policies.AccountPermissions, policies.AccountPermission(name)):
		return word(r, "relation-user", name)
	case can:
		return word(r, "relation-delegate", name)
	}
	return word(r, "relation", relation)
}
