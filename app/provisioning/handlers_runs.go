package provisioning

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"portico/app"
	"portico/app/live"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

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

// fromLogs is where a deed leads back to that was done in a run's panel beside the logs: to the address of that panel, which ?back=
// names, with the run that came of it in the place of the first. "" if it was done elsewhere.
func fromLogs(c *fiber.Ctx, p Product, runID string) string {
	back := web.LocalPath(c.Query("back"))
	if !p.OfStore() || !strings.HasPrefix(back, "/admin/") {
		return ""
	}
	return strings.ReplaceAll(back, c.Params("id"), runID)
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
