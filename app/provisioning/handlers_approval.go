package provisioning

import (
	"errors"
	"strings"

	"portico/app"
	"portico/app/web"

	"github.com/gofiber/fiber/v2"
)

// plan is what a run that waits for approval would change: what it was told beside what is stored now, and of a secret only that there
// is one. nil of any other run.
func plan(r *web.Request, p Product, run RunView) []Value {
	if run.Status != Approval {
		return nil
	}
	category, _ := CategoryOf(p.Category)
	var all []Value
	add := func(name string, told Field, value any) {
		v := Value{Name: name, Label: r.T(told.LabelKey()), Text: written(r, told, value), Secret: told.HasSecret()}
		if stored, ok := Find(category.Fields, name); ok && !stored.HasSecret() {
			v.Before = written(r, stored, p.Fields[name])
		}
		all = append(all, v)
	}
	for _, param := range run.Function.Asks(false) {
		if value, given := run.Params[param.Name]; given || param.HasSecret() {
			add(or(run.Function.Sets[param.Name], or(param.From, param.Name)), param, value)
		}
	}
	for _, field := range category.Fields {
		if value, marked := run.Function.Marks[field.Name]; marked {
			add(field.Name, field, value)
		}
	}
	return all
}

// written is a value in one line, the parts of an object one after the other.
func written(r *web.Request, f Field, value any) string {
	var parts []string
	for _, v := range values(r, []Field{f}, map[string]any{f.Name: value}, "") {
		parts = append(parts, v.Text)
	}
	return strings.Join(parts, ", ")
}

// decisionForm is what becomes of a run that waits for approval.
type decisionForm struct {
	Approve bool `form:"approve"`
}

// Decide answers POST /runs/:id/decision.
func (h *Handlers) Decide(c *fiber.Ctx) error {
	id, err := web.ID(c, "id")
	if err != nil {
		return err
	}
	if _, _, err := h.findRun(c); err != nil { // before anything is said of the form
		return err
	}
	var form decisionForm
	if err := web.Bind(c, &form); err != nil {
		return err
	}
	_, err = h.service.Decide(c.UserContext(), web.Viewer(c), id, form.Approve)
	if errors.Is(err, app.ErrProof) {
		return web.Redirect(c, "/security/proof?next=/runs/"+id)
	}
	if err != nil {
		return err
	}
	web.SetFlash(c, "good", map[bool]string{true: "provisioning.approved", false: "provisioning.declined"}[form.Approve])
	return web.Redirect(c, "/runs/"+id)
}
