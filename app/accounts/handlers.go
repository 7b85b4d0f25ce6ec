package accounts

import (
	"portico/app"
	"portico/app/auth"
	"portico/app/locale"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

// Handlers serve registration, confirmation and the profile.
type Handlers struct {
	service *Service
	zones   []string // IANA time zones offered in the profile
}

// NewHandlers returns the handlers.
func NewHandlers(service *Service, zones []string) *Handlers { return &Handlers{service, zones} }

func visitor(c *fiber.Ctx) auth.Visitor {
	v := web.Viewer(c)
	return auth.Visitor{IP: v.IP, Browser: v.Browser, RequestID: v.RequestID, SessionID: v.SessionID}
}

type registerForm struct {
	Name     string `form:"name"`
	Email    string `form:"email"`
	Password string `form:"password"`
}

var registerPage = web.Page{View: "accounts/register", Frame: web.FrameBare, Title: app.Text{Key: "accounts.register-title"}}

// RegisterForm shows Create account.
func (h *Handlers) RegisterForm(c *fiber.Ctx) error {
	if web.Viewer(c).SignedIn() {
		return web.Redirect(c, "/")
	}
	return web.Render(c, registerPage)
}

// Register makes the account. Whether the address was taken is told to its owner alone, by mail.
func (h *Handlers) Register(c *fiber.Ctx) error {
	var form registerForm
	err := web.Bind(c, &form)
	if err == nil {
		err = h.service.Register(c.UserContext(), visitor(c), form.Name, form.Email, form.Password, web.Of(c).Lang)
	}
	if err != nil {
		return web.Rerender(c, err, registerPage, form)
	}
	web.SetFlash(c, "good", "accounts.registered")
	return web.Redirect(c, "/sign-in")
}

// SendConfirmation mails a fresh link.
func (h *Handlers) SendConfirmation(c *fiber.Ctx) error {
	if err := h.service.SendConfirmation(c.UserContext(), web.Viewer(c)); err != nil {
		return err
	}
	web.SetFlash(c, "good", "accounts.confirmation-sent", "Email", web.Viewer(c).Email)
	return web.Redirect(c, "/profile")
}

// ConfirmForm shows the button that confirms. Opening the link alone changes nothing: mail scanners open links.
func (h *Handlers) ConfirmForm(c *fiber.Ctx) error {
	link, err := h.service.ConfirmLink(c.UserContext(), c.Params("token"))
	if err != nil {
		return err
	}
	return web.Render(c, web.Page{View: "accounts/confirm", Frame: web.FrameBare, Title: app.Text{Key: "accounts.confirm-title"}, Data: link})
}

// Confirm confirms the address.
func (h *Handlers) Confirm(c *fiber.Ctx) error {
	if err := h.service.Confirm(c.UserContext(), visitor(c), c.Params("token")); err != nil {
		return err
	}
	web.SetFlash(c, "good", "accounts.confirmed")
	if web.Viewer(c).SignedIn() {
		return web.Redirect(c, "/")
	}
	return web.Redirect(c, "/sign-in")
}

// ChangeForm shows the button that agrees to a change of address.
func (h *Handlers) ChangeForm(c *fiber.Ctx) error {
	link, err := h.service.FindChange(c.UserContext(), c.Params("token"))
	if err != nil {
		return err
	}
	return web.Render(c, web.Page{View: "accounts/email-change", Frame: web.FrameBare, Title: app.Text{Key: "accounts.change-title"}, Data: link})
}

// Change agrees to a change of address.
func (h *Handlers) Change(c *fiber.Ctx) error {
	done, err := h.service.AgreeToChange(c.UserContext(), visitor(c), c.Params("token"))
	if err != nil {
		return err
	}
	if done {
		web.SetFlash(c, "good", "accounts.change-done")
	} else {
		web.SetFlash(c, "info", "accounts.change-half")
	}
	if web.Viewer(c).SignedIn() {
		return web.Redirect(c, "/profile")
	}
	return web.Redirect(c, "/sign-in")
}

type profileForm struct {
	Name     string `form:"name"`
	TimeZone string `form:"time_zone"`
	Language string `form:"language"`
	Theme    string `form:"theme"`
}

type profileData struct {
	Profile
	Zones     []web.Option
	Languages []web.Option
	Themes    []web.Option
}

func (h *Handlers) profilePage(c *fiber.Ctx) (web.Page, error) {
	r := web.Of(c)
	profile, err := h.service.Profile(c.UserContext(), r.Viewer)
	if err != nil {
		return web.Page{}, err
	}
	data := profileData{Profile: profile, Languages: languages(r.Site.Catalogue)}
	data.Zones = []web.Option{{Value: "", Label: r.T("accounts.zone-store", "Zone", r.Store.TimeZone)}}
	for _, zone := range h.zones {
		data.Zones = append(data.Zones, web.Option{Value: zone, Label: zone})
	}
	for _, theme := range []string{"", "light", "dark"} {
		name := theme
		if name == "" {
			name = "system"
		}
		data.Themes = append(data.Themes, web.Option{Value: theme, Label: r.T("accounts.theme-" + name)})
	}
	return web.Page{
		View: "accounts/profile", Title: app.Text{Key: "accounts.profile-title"}, Section: "profile", Data: data,
		Form: web.NewForm(profileForm{profile.Name, profile.TimeZone, profile.Language, profile.Theme}),
	}, nil
}

func languages(catalogue *locale.Catalogue) []web.Option {
	var options []web.Option
	for _, l := range catalogue.Languages() {
		options = append(options, web.Option{Value: l.Code, Label: l.Name})
	}
	return options
}

// Profile shows the viewer's profile.
func (h *Handlers) Profile(c *fiber.Ctx) error {
	page, err := h.profilePage(c)
	if err != nil {
		return err
	}
	return web.Render(c, page)
}

// SaveProfile stores it.
func (h *Handlers) SaveProfile(c *fiber.Ctx) error {
	var form profileForm
	err := web.Bind(c, &form)
	if err == nil {
		err = h.service.Save(c.UserContext(), web.Viewer(c), Profile{Name: form.Name, TimeZone: form.TimeZone, Language: form.Language, Theme: form.Theme})
	}
	if err == nil {
		web.SetFlash(c, "good", "accounts.profile-saved")
		return web.Redirect(c, "/profile")
	}
	page, pageErr := h.profilePage(c)
	if pageErr != nil {
		return pageErr
	}
	return web.Rerender(c, err, page, form)
}

type themeForm struct {
	Theme string `form:"theme"`
	Next  string `form:"next"`
}

// SetTheme switches the appearance and stays on the page.
func (h *Handlers) SetTheme(c *fiber.Ctx) error {
	var form themeForm
	if err := web.Bind(c, &form); err != nil {
		return err
	}
	if err := h.service.SetTheme(c.UserContext(), web.Viewer(c), form.Theme); err != nil {
		return err
	}
	return web.Redirect(c, web.LocalPath(form.Next))
}

type emailForm struct {
	Email           string `form:"email"`
	CurrentPassword string `form:"current_password"`
}

func (h *Handlers) emailPage(c *fiber.Ctx) (web.Page, error) {
	profile, err := h.service.Profile(c.UserContext(), web.Viewer(c))
	return web.Page{View: "accounts/email", Title: app.Text{Key: "accounts.email-title"}, Section: "profile", Data: profile}, err
}

// EmailForm asks for a new address.
func (h *Handlers) EmailForm(c *fiber.Ctx) error {
	page, err := h.emailPage(c)
	if err != nil {
		return err
	}
	return web.Render(c, page)
}

// ChangeEmail begins the change.
func (h *Handlers) ChangeEmail(c *fiber.Ctx) error {
	var form emailForm
	err := web.Bind(c, &form)
	if err == nil {
		err = h.service.AskEmailChange(c.UserContext(), web.Viewer(c), form.Email, form.CurrentPassword)
	}
	if err == nil {
		web.SetFlash(c, "info", "accounts.change-asked", "Email", form.Email)
		return web.Redirect(c, "/profile")
	}
	page, pageErr := h.emailPage(c)
	if pageErr != nil {
		return pageErr
	}
	return web.Rerender(c, err, page, form)
}

// CancelEmailChange takes the change back.
func (h *Handlers) CancelEmailChange(c *fiber.Ctx) error {
	if err := h.service.CancelEmailChange(c.UserContext(), web.Viewer(c)); err != nil {
		return err
	}
	web.SetFlash(c, "good", "accounts.change-cancelled")
	return web.Redirect(c, "/profile")
}
