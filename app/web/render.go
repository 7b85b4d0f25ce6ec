package web

import (
	"bytes"
	"html/template"
	"io"
	"slices"

	"portico/app"
	"portico/policies"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

// Views is the template engine: html/v2's, used without its layouts (see ARCHITECTURE.md, "A page is a fragment in a
// frame").
type Views interface {
	Render(out io.Writer, name string, binding any, layout ...string) error
}

// Frames around a page. The client area's and the admin area's carry navigation; the bare one is for signing in, links
// from mails and errors.
const (
	FrameClient = "layouts/client"
	FrameAdmin  = "layouts/admin"
	FrameBare   = "layouts/bare"
)

// Page is what a handler asks to be shown.
type Page struct {
	View    string   // template: folder/name
	Frame   string   // "" picks the viewer's area, or the bare frame for a visitor
	Title   app.Text // the page's title and heading
	Section string   // which item of the menu is the open one
	Status  int      // 0 is 200
	Data    any      // the view's own struct
	Form    *Form    // values and errors of the page's form
	// Parts are templates of this view that htmx may ask for by the id of its target: id "store-departments" is the
	// template "store/departments". Anything else gets the whole view.
	Parts []string
}

// View is the dot of every template.
type View struct {
	*Request
	Title   string
	Section string
	Data    any
	Form    *Form
	Main    template.HTML // the page, inside its frame
}

// Can tells whether this viewer may do something with things that belong to nobody in particular. For one record, the
// service returns what the viewer may do with it.
func (v *View) Can(object, action string) bool {
	return policies.Allows(v.Viewer.Relations(), object, action)
}

// Flash is the message left by the request before, or nil.
func (v *View) Flash() *Flash { return v.flash }

// Field prepares a form field for the template shared/field.
func (v *View) Field(name string, pairs ...any) Field { return newField(v, name, pairs) }

// With gives a template a smaller dot: the same request around other data.
func (v *View) With(data any) *View {
	inner := *v
	inner.Data = data
	return &inner
}

// Asset returns the fingerprinted address of a file in static/.
func (v *View) Asset(name string) string { return v.Site.Asset(name) }

// Render answers with a page: whole, or the view alone for htmx, or one of its parts.
func Render(c *fiber.Ctx, page Page) error {
	r := Of(c)
	c.Set(fiber.HeaderVary, vary)
	if page.Status != 0 {
		c.Status(page.Status)
	}
	view := &View{Request: r, Title: r.Text(page.Title), Section: page.Section, Data: page.Data, Form: page.Form}
	if view.Form == nil {
		view.Form = &Form{}
	}
	if WantsPart(c) {
		name := page.View
		if target := c.Get(headerTarget); target != "" {
			if i := slices.IndexFunc(page.Parts, func(part string) bool { return PartID(part) == target }); i >= 0 {
				name = page.Parts[i]
			}
		}
		return r.send(c, name, view)
	}
	r.flash = r.takeFlash(c)
	var main bytes.Buffer
	if err := r.Site.Views.Render(&main, page.View, view); err != nil {
		return err
	}
	view.Main = template.HTML(main.String()) // our own template's output: already escaped
	frame := page.Frame
	if frame == "" {
		switch {
		case !r.Viewer.SignedIn():
			frame = FrameBare
		case r.Viewer.OfStore():
			frame = FrameAdmin
		default:
			frame = FrameClient
		}
	}
	return r.send(c, frame, view)
}

func (r *Request) send(c *fiber.Ctx, name string, view *View) error {
	var out bytes.Buffer
	if err := r.Site.Views.Render(&out, name, view); err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, fiber.MIMETextHTMLCharsetUTF8)
	if out.Len() < worthCompressing || !c.Request().Header.HasAcceptEncoding("gzip") {
		return c.Send(out.Bytes())
	}
	c.Set(fiber.HeaderContentEncoding, "gzip")
	return c.Send(fasthttp.AppendGzipBytesLevel(nil, out.Bytes(), fasthttp.CompressBestSpeed))
}

// worthCompressing is from how many bytes on an answer is compressed: less fits into one packet anyway.
const worthCompressing = 1400

// PartID is the id of the element that a template renders: "store/departments" has id "store-departments".
func PartID(name string) string {
	id := []byte(name)
	for i, b := range id {
		if b == '/' {
			id[i] = '-'
		}
	}
	return string(id)
}
