package clients

import (
	"strings"

	"portico/app"
	"portico/app/contracts"
	"portico/app/web"
	"portico/policies"

	"github.com/gofiber/fiber/v2"
)

// PeopleHandlers are **People** of the client area: the users of an account.
type PeopleHandlers struct {
	people    *People
	contracts *contracts.Handlers
}

// NewPeopleHandlers returns the handlers of a People.
func NewPeopleHandlers(p *People, c *contracts.Handlers) *PeopleHandlers {
	return &PeopleHandlers{p, c}
}

const peoplePath = "/people"

// peopleView is what views/clients/people.html shows.
type peopleView struct {
	Menu    contracts.Menu
	Circles []Circle
}

// Index answers GET /people.
func (h *PeopleHandlers) Index(c *fiber.Ctx) error {
	all, err := h.people.Circles(c.UserContext(), web.Viewer(c))
	if err != nil {
		return err
	}
	menu, err := h.contracts.Menu(c, "people")
	if err != nil {
		return err
	}
	return web.Render(c, web.Page{View: "clients/people", Title: app.Text{Key: "clients.people"}, Section: "products", Data: peopleView{menu, all}})
}

// inviteForm is an invitation as people type it.
type inviteForm struct {
	Email       string   `form:"email"`
	Permissions []string `form:"permissions"`
}

// personView is what views/clients/invite.html and person.html show.
type personView struct {
	Circle  Circle
	Person  *Person
	Choices []web.Option
}

func choices(r *web.Request) []web.Option {
	var all []web.Option
	for _, permission := range policies.AccountPermissions {
		all = append(all, web.Option{Value: string(permission), Label: r.T("clients.can-" + string(permission))})
	}
	return all
}

// circle reads the account of the address, which the viewer owns.
func (h *PeopleHandlers) circle(c *fiber.Ctx) (Circle, error) {
	id, err := web.ID(c, "account")
	if err != nil {
		return Circle{}, err
	}
	return h.people.Circle(c.UserContext(), web.Viewer(c), id)
}

func invitePage(r *web.Request, circle Circle) web.Page {
	return web.Page{
		View: "clients/invite", Title: app.Text{Key: "clients.invite-title", Args: map[string]any{"Account": circle.Name}}, Section: "products",
		Data: personView{Circle: circle, Choices: choices(r)}, Form: web.NewForm(inviteForm{}),
	}
}

// InviteForm answers GET /people/:account/invite.
func (h *PeopleHandlers) InviteForm(c *fiber.Ctx) error {
	circle, err := h.circle(c)
	if err != nil {
		return err
	}
	return web.Render(c, invitePage(web.Of(c), circle))
}

// Invite answers POST /people/:account/invite.
func (h *PeopleHandlers) Invite(c *fiber.Ctx) error {
	circle, err := h.circle(c)
	if err != nil {
		return err
	}
	var form inviteForm
	if err = web.Bind(c, &form); err == nil {
		err = h.people.Invite(c.UserContext(), web.Viewer(c), circle.ID, form.Email, form.Permissions)
	}
	if err != nil {
		return web.Rerender(c, err, invitePage(web.Of(c), circle), form)
	}
	web.SetFlash(c, "good", "clients.invited", "Email", strings.TrimSpace(form.Email))
	return web.Redirect(c, peoplePath)
}

// AnswerWaiting answers POST /people/:account/invitations/:id/again and /withdraw.
func (h *PeopleHandlers) AnswerWaiting(c *fiber.Ctx) error {
	account, err := web.ID(c, "account")
	if err != nil {
		return err
	}
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	deed, said := h.people.InviteAgain, "clients.sent-again"
	if strings.HasSuffix(c.Path(), "/withdraw") {
		deed, said = h.people.Withdraw, "clients.withdrawn"
	}
	if err := deed(c.UserContext(), web.Viewer(c), account, id); err != nil {
		return err
	}
	web.SetFlash(c, "good", said)
	return web.Redirect(c, peoplePath)
}

// permissionsForm is what a user may do beyond what every user may.
type permissionsForm struct {
	Permissions []string `form:"permissions"`
}

// person reads the account and the user of the address.
func (h *PeopleHandlers) person(c *fiber.Ctx) (Circle, Person, error) {
	circle, err := h.circle(c)
	if err != nil {
		return Circle{}, Person{}, err
	}
	id, err := web.ID(c, "id")
	if err != nil {
		return Circle{}, Person{}, err
	}
	for _, person := range circle.People {
		if person.ID == id && person.Relation == "user" {
			return circle, person, nil
		}
	}
	return Circle{}, Person{}, app.ErrNotFound
}

func personPage(r *web.Request, circle Circle, person Person) web.Page {
	return web.Page{
		View: "clients/person", Title: app.Text{Key: "clients.person-title", Args: map[string]any{"Name": person.Name}}, Section: "products",
		Data: personView{circle, &person, choices(r)}, Form: web.NewForm(permissionsForm{person.Permissions}),
	}
}

// Edit answers GET /people/:account/users/:id.
func (h *PeopleHandlers) Edit(c *fiber.Ctx) error {
	circle, person, err := h.person(c)
	if err != nil {
		return err
	}
	return web.Render(c, personPage(web.Of(c), circle, person))
}

// Update answers POST /people/:account/users/:id.
func (h *PeopleHandlers) Update(c *fiber.Ctx) error {
	circle, person, err := h.person(c)
	if err != nil {
		return err
	}
	var form permissionsForm
	if err = web.Bind(c, &form); err == nil {
		err = h.people.SetPermissions(c.UserContext(), web.Viewer(c), circle.ID, person.ID, form.Permissions)
	}
	if err != nil {
		return web.Rerender(c, err, personPage(web.Of(c), circle, person), form)
	}
	web.SetFlash(c, "good", "clients.permissions-saved")
	return web.Redirect(c, peoplePath)
}

// Remove answers POST /people/:account/users/:id/remove.
func (h *PeopleHandlers) Remove(c *fiber.Ctx) error {
	circle, person, err := h.person(c)
	if err != nil {
		return err
	}
	if err := h.people.Remove(c.UserContext(), web.Viewer(c), circle.ID, person.ID); err != nil {
		return err
	}
	web.SetFlash(c, "good", "clients.removed", "Name", person.Name)
	return web.Redirect(c, peoplePath)
}

// invitationView is what views/clients/invitation.html shows.
type invitationView struct {
	Invitation Invitation
	Path       string
}

// ShowInvitation answers GET /people/invitations/:token. It changes nothing: mail scanners open links.
func (h *PeopleHandlers) ShowInvitation(c *fiber.Ctx) error {
	token := c.Params("token")
	invitation, err := h.people.Invitation(c.UserContext(), web.Viewer(c), token)
	if err != nil {
		return err
	}
	return web.Render(c, web.Page{
		View: "clients/invitation", Title: app.Text{Key: "clients.invitation-title", Args: map[string]any{"Account": invitation.AccountName}}, Section: "products",
		Data: invitationView{invitation, peoplePath + "/invitations/" + token},
	})
}

// AnswerInvitation answers POST /people/invitations/:token/accept and /decline.
func (h *PeopleHandlers) AnswerInvitation(c *fiber.Ctx) error {
	accept := strings.HasSuffix(c.Path(), "/accept")
	invitation, err := h.people.Answer(c.UserContext(), web.Viewer(c), c.Params("token"), accept)
	if err != nil {
		return err
	}
	if !accept {
		web.SetFlash(c, "info", "clients.declined")
		return web.Redirect(c, "/")
	}
	web.SetFlash(c, "good", "clients.accepted", "Account", invitation.AccountName)
	return web.Redirect(c, "/products")
}
