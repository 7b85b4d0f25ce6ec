package provisioning

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"portico/app"
	"portico/app/locale"
	"portico/app/web"
	"portico/static"
	"portico/views"

	"github.com/PuerkitoBio/goquery"
)

// TestForms_AreDrawn draws the form of every function: each input has a name that the form reads, one label and one id; no secret has a
// value; what was typed and what is wrong stands there again.
func TestForms_AreDrawn(t *testing.T) {
	t.Parallel()
	catalogue, err := locale.Load(views.Files)
	if err != nil {
		t.Fatal(err)
	}
	engine, err := views.Engine(false, static.Path)
	if err != nil {
		t.Fatal(err)
	}
	draw := func(fields []Field, form *web.Form, stored map[string]bool) *goquery.Document {
		t.Helper()
		view := &web.View{Request: &web.Request{Printer: catalogue.Printer("en", "UTC", time.Time{}), Site: &web.Site{Asset: static.Path}}, Form: form}
		view.Data = Inputs(view, fields, stored, "x-")
		var out bytes.Buffer
		if err := engine.Render(&out, "provisioning/fields", view); err != nil {
			t.Fatal(err)
		}
		page, err := goquery.NewDocumentFromReader(&out)
		if err != nil {
			t.Fatal(err)
		}
		return page
	}
	for _, c := range Categories() {
		for _, f := range c.Functions {
			if len(f.Params) == 0 {
				continue
			}
			page := draw(f.Params, &web.Form{}, nil)
			ids := map[string]bool{}
			posted := map[string][]string{}
			page.Find("input,select,textarea").Each(func(_ int, input *goquery.Selection) {
				id, name := input.AttrOr("id", ""), input.AttrOr("name", "")
				if id == "" || ids[id] {
					t.Errorf("%s %s: %s has the id %q", c.Name, f.Name, name, id)
				}
				ids[id] = true
				posted[name] = []string{""}
				if input.Closest("label").Length()+page.Find(`label[for="`+id+`"]`).Length() != 1 {
					t.Errorf("%s %s: %s has not one label", c.Name, f.Name, name)
				}
			})
			if _, invalid := readForm(f.Params, posted); len(invalid.Fields) > 0 {
				t.Errorf("%s %s: its form is not read: %v", c.Name, f.Name, invalid)
			}
			if text := page.Text(); strings.Contains(text, "actions.") {
				t.Errorf("%s %s: a message is missing: %s", c.Name, f.Name, text)
			}
		}
	}

	fields := []Field{
		required(text("hostname")), required(secret(text("password"))), parts("customer_address", text("city"), country("country_code")),
		list("glue_records", parts("", hostName("hostname"), secret(text("token")))), {Name: "metadata", Kind: KindJSON},
	}
	posted := map[string][]string{
		"hostname": {"<script>"}, "password": {"canary"}, "customer_address.country_code": {"X"}, "glue_records.3.hostname": {"ns1.a.example"}, "glue_records.3.token": {"canary"},
	}
	form, err := Typed(fields, posted, &app.Invalid{Fields: []app.FieldError{{Field: "customer_address.country_code", Text: app.Text{Key: "actions.wrong-country"}}}})
	if err != nil {
		t.Fatal(err)
	}
	page := draw(fields, form, map[string]bool{"password": true})
	if html, _ := page.Html(); strings.Contains(html, "canary") || strings.Contains(html, "<script>") {
		t.Error("a secret or what was typed stands in the page as it is")
	}
	if _, isRequired := page.Find(`[name=password]`).Attr("required"); isRequired || page.Find(`[name=password]`).AttrOr("type", "") != "password" {
		t.Error("a stored password must be typed again, or is shown")
	}
	if page.Find(`[name="glue_records.3.hostname"]`).AttrOr("value", "") != "ns1.a.example" || page.Find(`[name="glue_records.6.hostname"]`).Length() != 1 {
		t.Error("the rows that were typed are not there, or no spare ones")
	}
	wrong := page.Find(`[aria-invalid=true]`)
	if wrong.AttrOr("name", "") != "customer_address.country_code" || wrong.Closest("details").AttrOr("open", "closed") == "closed" {
		t.Error("the group with an error is not open")
	}
}
