package auth

import (
	"net/url"

	"portico/app"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

// SessionCookie is the cookie that carries a session's secret.
const SessionCookie = "portico_session"

// Handlers serve sign-in, the second factor and forgotten passwords.
type Handlers struct {
	service *Service
	people  []DemoPerson
}

// DemoPerson is offered as a one-click sign-in in the dev run.
type DemoPerson struct{ Name, Email, Is string }

// NewHandlers returns the handlers. people is nil in production.
func NewHandlers(service *Service, people []DemoPerson) *Handlers { return &Handlers{service, people} }

func visitor(c *fiber.Ctx) Visitor {
	v := web.Viewer(c)
	return Visitor{IP: v.IP, Browser: v.Browser, RequestID: v.RequestID, SessionID: v.SessionID}
}

// Enter gives the browser its session and says where to go: the second factor first where one is due.
func Enter(c *fiber.Ctx, opened Opened, next string) (to string) {
	web.Of(c).Site.SetCookie(c, SessionCookie, opened.Secret, int(opened.MaxAge.Seconds()))
	if opened.SecondFactor {
		return "/sign-in/second-factor?next=" + url.QueryEscape(web.LocalPath(next))
	}
	if next = web.LocalPath(next); next == "/" && opened.OfStore {
		return "/admin"
	}
	return next
}

type signInForm struct {
	Email    string `form:"email"`
	Password string `form:"password"`
	Next     string `form:"next"`
}

type signInData struct {
	Next     string
	Passkeys bool
	People   []DemoPerson
}

func (h *Handlers) signInPage(next string) web.Page {
	return web.Page{
		View: "auth/sign-in", Frame: web.FrameBare, Title: app.Text{Key: "auth.sign-in-title"},
		Data: signInData{web.LocalPath(next), h.service.PasskeysOffered(), h.people},
	}
}

// SignInForm shows the sign-in page; who is signed in goes on.
func (h *Handlers) SignInForm(c *fiber.Ctx) error {
	if v := web.Viewer(c); v.SignedIn() {
		return web.Redirect(c, web.LocalPath(c.Query("next")))
	}
	return web.Render(c, h.signInPage(c.Query("next")))
}

// SignIn takes address and password.
func (h *Handlers) SignIn(c *fiber.Ctx) error {
	var form signInForm
	if err := web.Bind(c, &form); err != nil {
		return web.Rerender(c, err, h.signInPage(""), form)
	}
	opened, err := h.service.SignIn(c.UserContext(), visitor(c), form.Email, form.Password)
	if err != nil {
		return web.Rerender(c, err, h.signInPage(form.Next), form)
	}
	return web.Redirect(c, Enter(c, opened, form.Next))
}

// SignOut ends the session, here and on the server, and empties the browser's cache of us.
func (h *Handlers) SignOut(c *fiber.Ctx) error {
	if err := h.service.SignOut(c.UserContext(), web.Viewer(c)); err != nil {
		return err
	}
	web.Of(c).Site.SetCookie(c, SessionCookie, "", -1)
	c.Set("Clear-Site-Data", `"cache", "storage"`)
	return web.Redirect(c, "/sign-in")
}

type codeForm struct {
	Code string `form:"code"`
	Next string `form:"next"`
}

type factorData struct {
	Next    string
	Code    bool
	Passkey bool
}

func (h *Handlers) factorPage(c *fiber.Ctx, next string) (web.Page, error) {
	page := web.Page{View: "auth/second-factor", Frame: web.FrameBare, Title: app.Text{Key: "auth.factor-title"}}
	code, passkey, err := h.service.Waiting(c.UserContext(), web.Viewer(c).SessionID)
	page.Data = factorData{web.LocalPath(next), code, passkey}
	return page, err
}

// SecondFactorForm asks for the second factor.
func (h *Handlers) SecondFactorForm(c *fiber.Ctx) error {
	if web.Viewer(c).SignedIn() {
		return web.Redirect(c, web.LocalPath(c.Query("next")))
	}
	page, err := h.factorPage(c, c.Query("next"))
	if err != nil {
		return err
	}
	return web.Render(c, page)
}

// SecondFactor takes a code.
func (h *Handlers) SecondFactor(c *fiber.Ctx) error {
	var form codeForm
	err := web.Bind(c, &form)
	if err == nil {
		var opened Opened
		if opened, err = h.service.SecondFactor(c.UserContext(), visitor(c), web.Viewer(c).SessionID, form.Code); err == nil {
			return web.Redirect(c, Enter(c, opened, form.Next))
		}
	}
	page, pageErr := h.factorPage(c, form.Next)
	if pageErr != nil {
		return pageErr
	}
	form.Code = ""
	return web.Rerender(c, err, page, form)
}

type emailForm struct {
	Email string `form:"email"`
}

var forgotPage = web.Page{View: "auth/forgot-password", Frame: web.FrameBare, Title: app.Text{Key: "auth.forgot-title"}}

// ForgotPasswordForm asks for the address.
func (h *Handlers) ForgotPasswordForm(c *fiber.Ctx) error { return web.Render(c, forgotPage) }

// ForgotPassword says the same whether or not the address is known.
func (h *Handlers) ForgotPassword(c *fiber.Ctx) error {
	var form emailForm
	err := web.Bind(c, &form)
	if err == nil && form.Email == "" {
		err = app.Invalidf("email", "auth.email-missing")
	}
	if err == nil {
		err = h.service.ForgotPassword(c.UserContext(), visitor(c), form.Email)
	}
	if err != nil {
		return web.Rerender(c, err, forgotPage, form)
	}
	web.SetFlash(c, "good", "auth.reset-sent")
	return web.Redirect(c, "/sign-in")
}

type resetForm struct {
	Password string `form:"password"`
}

func resetPage(link Link) web.Page {
	page := web.Page{View: "auth/reset-password", Frame: web.FrameBare, Title: app.Text{Key: "auth.reset-title"}, Data: link}
	if link.Purpose == PurposeInvite {
		page.Title = app.Text{Key: "auth.invite-title"}
	}
	return page
}

// ResetPasswordForm shows where a link's owner chooses a password.
func (h *Handlers) ResetPasswordForm(c *fiber.Ctx) error {
	link, err := h.service.ResetLink(c.UserContext(), c.Params("token"))
	if err != nil {
		return err
	}
	return web.Render(c, resetPage(link))
}

// ResetPassword sets the password; one signs in with it afterwards.
func (h *Handlers) ResetPassword(c *fiber.Ctx) error {
	var form resetForm
	secret := c.Params("token")
	link, err := h.service.ResetLink(c.UserContext(), secret)
	if err != nil {
		return err
	}
	if err := web.Bind(c, &form); err != nil {
		return web.Rerender(c, err, resetPage(link), form)
	}
	if err := h.service.ResetPassword(c.UserContext(), visitor(c), secret, form.Password); err != nil {
		return web.Rerender(c, err, resetPage(link), form)
	}
	web.Of(c).Site.SetCookie(c, SessionCookie, "", -1)
	web.SetFlash(c, "good", "auth.reset-done")
	return web.Redirect(c, "/sign-in")
}
