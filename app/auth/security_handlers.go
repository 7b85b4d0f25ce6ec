package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"slices"

	"portico/app"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"
)

func (h *Handlers) securityPage(c *fiber.Ctx) (web.Page, error) {
	overview, err := h.service.Overview(c.UserContext(), web.Viewer(c))
	return web.Page{
		View: "auth/security", Title: app.Text{Key: "auth.security-title"}, Section: "security", Data: overview,
		Parts: []string{"auth/sessions"},
	}, err
}

// Security shows how the viewer signs in and where they are signed in.
func (h *Handlers) Security(c *fiber.Ctx) error {
	page, err := h.securityPage(c)
	if err != nil {
		return err
	}
	return web.Render(c, page)
}

type passwordForm struct {
	CurrentPassword string `form:"current_password"`
	NewPassword     string `form:"new_password"`
}

// ChangePassword sets a new password.
func (h *Handlers) ChangePassword(c *fiber.Ctx) error {
	var form passwordForm
	err := web.Bind(c, &form)
	if err == nil {
		err = h.service.ChangePassword(c.UserContext(), web.Viewer(c), form.CurrentPassword, form.NewPassword)
	}
	if err == nil {
		web.SetFlash(c, "good", "auth.password-changed")
		return web.Redirect(c, "/security")
	}
	page, pageErr := h.securityPage(c)
	if pageErr != nil {
		return pageErr
	}
	return web.Rerender(c, err, page, form)
}

type proofForm struct {
	CurrentPassword string `form:"current_password"`
	Next            string `form:"next"`
}

func proofPage(next string) web.Page {
	return web.Page{View: "auth/proof", Title: app.Text{Key: "auth.proof-title"}, Section: "security", Data: web.LocalPath(next)}
}

// ProofForm asks for the password once more.
func (h *Handlers) ProofForm(c *fiber.Ctx) error {
	if err := h.service.MayProve(web.Viewer(c)); err != nil {
		return err
	}
	return web.Render(c, proofPage(c.Query("next")))
}

// Proof takes the password and goes back to what asked for it.
func (h *Handlers) Proof(c *fiber.Ctx) error {
	var form proofForm
	err := web.Bind(c, &form)
	if err == nil {
		err = h.service.Prove(c.UserContext(), web.Viewer(c), form.CurrentPassword)
	}
	if err != nil {
		return web.Rerender(c, err, proofPage(form.Next), form)
	}
	web.SetFlash(c, "info", "auth.proved")
	return web.Redirect(c, web.LocalPath(form.Next))
}

// proof sends a viewer whose proof is too old to give it again, and then back to the Security page.
func proof(c *fiber.Ctx, err error) error {
	if errors.Is(err, app.ErrProof) {
		return web.Redirect(c, "/security/proof?next="+url.QueryEscape("/security"))
	}
	return err
}

// StartAuthenticator makes a key and goes to where it is shown.
func (h *Handlers) StartAuthenticator(c *fiber.Ctx) error {
	if err := h.service.StartAuthenticator(c.UserContext(), web.Viewer(c)); err != nil {
		return proof(c, err)
	}
	return web.Redirect(c, "/security/authenticator")
}

func authenticatorPage(setup Setup) web.Page {
	return web.Page{View: "auth/authenticator", Title: app.Text{Key: "auth.authenticator-title"}, Section: "security", Data: setup}
}

// AuthenticatorForm shows the key to scan and asks for the first code.
func (h *Handlers) AuthenticatorForm(c *fiber.Ctx) error {
	setup, err := h.service.Setup(c.UserContext(), web.Viewer(c))
	if errors.Is(err, app.ErrNotFound) {
		return web.Redirect(c, "/security")
	}
	if err != nil {
		return proof(c, err)
	}
	return web.Render(c, authenticatorPage(setup))
}

func codesPage(codes []string) web.Page {
	return web.Page{View: "auth/recovery-codes", Title: app.Text{Key: "auth.codes-title"}, Section: "security", Data: codes}
}

// ConfirmAuthenticator takes the first code and shows the recovery codes, this once.
func (h *Handlers) ConfirmAuthenticator(c *fiber.Ctx) error {
	v := web.Viewer(c)
	var form codeForm
	err := web.Bind(c, &form)
	if err == nil {
		var codes []string
		if codes, err = h.service.ConfirmAuthenticator(c.UserContext(), v, form.Code); err == nil {
			return web.Render(c, codesPage(codes))
		}
	}
	var invalid *app.Invalid
	if !errors.As(err, &invalid) {
		return proof(c, err)
	}
	setup, setupErr := h.service.Setup(c.UserContext(), v)
	if setupErr != nil {
		return proof(c, setupErr)
	}
	return web.Rerender(c, err, authenticatorPage(setup), form)
}

// RemoveAuthenticator takes the authenticator app away.
func (h *Handlers) RemoveAuthenticator(c *fiber.Ctx) error {
	if err := h.service.RemoveAuthenticator(c.UserContext(), web.Viewer(c)); err != nil {
		return proof(c, err)
	}
	web.SetFlash(c, "good", "auth.authenticator-removed")
	return web.Redirect(c, "/security")
}

// NewRecoveryCodes shows a fresh set, this once.
func (h *Handlers) NewRecoveryCodes(c *fiber.Ctx) error {
	codes, err := h.service.NewRecoveryCodes(c.UserContext(), web.Viewer(c))
	if err != nil {
		return proof(c, err)
	}
	return web.Render(c, codesPage(codes))
}

// RemovePasskey takes one passkey away.
func (h *Handlers) RemovePasskey(c *fiber.Ctx) error {
	id, err := web.ID(c, "id")
	if err == nil {
		err = h.service.RemovePasskey(c.UserContext(), web.Viewer(c), id)
	}
	if err != nil {
		return proof(c, err)
	}
	web.SetFlash(c, "good", "auth.passkey-removed")
	return web.Redirect(c, "/security")
}

// EndSession signs one session out; htmx gets the list without it.
func (h *Handlers) EndSession(c *fiber.Ctx) error {
	id, err := web.ID(c, "id")
	if err == nil {
		err = h.service.EndSession(c.UserContext(), web.Viewer(c), id)
	}
	if err != nil {
		return err
	}
	if web.WantsPart(c) && id != web.Viewer(c).SessionID {
		return h.Security(c)
	}
	web.SetFlash(c, "good", "auth.session-ended")
	return web.Redirect(c, "/security")
}

// EndOtherSessions signs out everywhere else.
func (h *Handlers) EndOtherSessions(c *fiber.Ctx) error {
	if err := h.service.EndOtherSessions(c.UserContext(), web.Viewer(c)); err != nil {
		return err
	}
	if web.WantsPart(c) {
		return h.Security(c)
	}
	web.SetFlash(c, "good", "auth.sessions-ended")
	return web.Redirect(c, "/security")
}

// passkeyAnswer is what static/js/passkey.js posts.
type passkeyAnswer struct {
	Ceremony   string          `json:"ceremony"`
	Name       string          `json:"name"`
	Next       string          `json:"next"`
	Credential json.RawMessage `json:"credential"`
}

// answered tells the script where to go, or what to say.
func answered(c *fiber.Ctx, err error, to string) error {
	var invalid *app.Invalid
	var limited *app.Limited
	r := web.Of(c)
	switch {
	case err == nil:
		return c.JSON(fiber.Map{"redirect": to})
	case errors.Is(err, app.ErrProof):
		return c.JSON(fiber.Map{"redirect": "/security/proof?next=" + url.QueryEscape("/security")})
	case errors.As(err, &invalid):
		return c.Status(fiber.StatusUnprocessableEntity).JSON(fiber.Map{"error": r.Text(invalid.Fields[0].Text)})
	case errors.As(err, &limited), errors.Is(err, app.ErrNotFound), errors.Is(err, app.ErrSignedOut):
		return c.Status(fiber.StatusUnprocessableEntity).JSON(fiber.Map{"error": r.T("auth.passkey-refused")})
	default:
		return err
	}
}

func asked(c *fiber.Ctx, question Ceremony, err error) error {
	if err != nil {
		return answered(c, err, "")
	}
	return c.JSON(question)
}

func readAnswer(c *fiber.Ctx) (passkeyAnswer, error) {
	var answer passkeyAnswer
	decoder := json.NewDecoder(bytes.NewReader(slices.Clone(c.Body())))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&answer); err != nil {
		return answer, app.Invalidf("", "auth.passkey-refused")
	}
	if _, err := uuid.Parse(answer.Ceremony); err != nil {
		return answer, app.Invalidf("", "auth.passkey-refused")
	}
	return answer, nil
}

// AskNewPasskey answers with the question for a new passkey.
func (h *Handlers) AskNewPasskey(c *fiber.Ctx) error {
	question, err := h.service.AskNewPasskey(c.UserContext(), web.Viewer(c))
	return asked(c, question, err)
}

// AddPasskey stores the new passkey.
func (h *Handlers) AddPasskey(c *fiber.Ctx) error {
	answer, err := readAnswer(c)
	if err == nil {
		err = h.service.AddPasskey(c.UserContext(), web.Viewer(c), answer.Ceremony, answer.Name, answer.Credential)
	}
	if err == nil {
		web.SetFlash(c, "good", "auth.passkey-added")
	}
	return answered(c, err, "/security")
}

// AskPasskey answers with the question for signing in.
func (h *Handlers) AskPasskey(c *fiber.Ctx) error {
	question, err := h.service.AskPasskey(c.UserContext())
	return asked(c, question, err)
}

// SignInWithPasskey opens the session of the passkey's owner.
func (h *Handlers) SignInWithPasskey(c *fiber.Ctx) error {
	answer, err := readAnswer(c)
	if err != nil {
		return answered(c, err, "")
	}
	opened, err := h.service.SignInWithPasskey(c.UserContext(), visitor(c), answer.Ceremony, answer.Credential)
	if err != nil {
		return answered(c, err, "")
	}
	return answered(c, nil, Enter(c, opened, answer.Next))
}

// AskSecondFactor answers with the question for a waiting session.
func (h *Handlers) AskSecondFactor(c *fiber.Ctx) error {
	question, err := h.service.AskSecondFactor(c.UserContext(), web.Viewer(c).SessionID)
	return asked(c, question, err)
}

// SecondFactorPasskey opens a waiting session.
func (h *Handlers) SecondFactorPasskey(c *fiber.Ctx) error {
	answer, err := readAnswer(c)
	if err != nil {
		return answered(c, err, "")
	}
	opened, err := h.service.SecondFactorPasskey(c.UserContext(), visitor(c), web.Viewer(c).SessionID, answer.Ceremony, answer.Credential)
	if err != nil {
		return answered(c, err, "")
	}
	return answered(c, nil, Enter(c, opened, answer.Next))
}
