package views_test

import (
	"bytes"
	"html/template"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"portico/app"
	"portico/app/keys"
	"portico/app/locale"
	"portico/app/web"
	"portico/static"
	"portico/views"

	"github.com/PuerkitoBio/goquery"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

var (
	bea = app.Viewer{UserID: "1", Name: "Bea <Lindqvist>", Email: "bea@bluebird.example", Confirmed: true, SessionID: "s"}
	sam = app.Viewer{UserID: "2", Name: "Sam Okafor", Confirmed: true, Role: app.RoleStaff, SessionID: "s"}
	ada = app.Viewer{UserID: "3", Name: "Ada Moreau", Confirmed: true, Role: app.RoleAdmin, Theme: "dark", SessionID: "s"}
)

// page renders the template name for viewer, with a view that change may adjust.
func page(t *testing.T, name string, viewer app.Viewer, change func(*web.View)) *goquery.Document {
	t.Helper()
	site := newSite(t)
	request := &web.Request{
		Printer: site.Catalogue.Printer("en", "UTC", noon), Site: site, Viewer: viewer,
		Store: web.Store{Name: "Northwind Hosting"}, Path: "/profile?tab=1&more=2", Now: noon,
	}
	view := &web.View{Request: request, Title: "The title", Form: &web.Form{}, Main: template.HTML("<h1>The page</h1>")}
	if change != nil {
		change(view)
	}
	var out bytes.Buffer
	if err := site.Views.Render(&out, name, view); err != nil {
		t.Fatal(err)
	}
	document, err := goquery.NewDocumentFromReader(&out)
	if err != nil {
		t.Fatal(err)
	}
	return document
}

var newSite = func() func(*testing.T) *web.Site {
	site := sync.OnceValues(func() (*web.Site, error) {
		catalogue, err := locale.Load(views.Files)
		if err != nil {
			return nil, err
		}
		templates, err := views.Engine(false, static.Path)
		if err != nil {
			return nil, err
		}
		ring, err := keys.Parse(keys.Generate())
		return &web.Site{Views: templates, Catalogue: catalogue, Keys: ring, URL: "http://127.0.0.1:8080", Asset: static.Path}, err
	})
	return func(t *testing.T) *web.Site {
		t.Helper()
		s, err := site()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}()

func TestFrames_HoldThePageAndItsTitle(t *testing.T) {
	t.Parallel()
	for frame, viewer := range map[string]app.Viewer{web.FrameClient: bea, web.FrameAdmin: ada, web.FrameBare: {}} {
		d := page(t, frame, viewer, nil)
		if got := d.Find("title").Text(); got != "The title · Northwind Hosting" {
			t.Errorf("%s: the title is %q", frame, got)
		}
		if got := d.Find("main#main h1").Text(); got != "The page" {
			t.Errorf("%s: main holds %q", frame, got)
		}
		if lang, _ := d.Find("html").Attr("lang"); lang != "en" {
			t.Errorf("%s: the language is %q", frame, lang)
		}
		if d.Find("body[hx-headers]").Length() != 1 || d.Find("#flash[aria-live]").Length() != 1 || d.Find("a.skip[href='#main']").Length() != 1 {
			t.Errorf("%s lacks the form token, the place for notices or the skip link", frame)
		}
		d.Find("link[href], script[src]").Each(func(_ int, s *goquery.Selection) {
			address := s.AttrOr("href", s.AttrOr("src", ""))
			if _, ok := static.Find(address); !ok && !strings.HasPrefix(address, "data:image/svg+xml,") {
				t.Errorf("%s refers to %q, which static/ does not have", frame, address)
			}
		})
		seen := map[string]bool{}
		d.Find("[id]").Each(func(_ int, s *goquery.Selection) {
			id := s.AttrOr("id", "")
			if seen[id] {
				t.Errorf("%s has two elements with the id %q", frame, id)
			}
			seen[id] = true
		})
	}
}

func TestFrames_ShowThePersonAndTheOpenItem(t *testing.T) {
	t.Parallel()
	d := page(t, web.FrameClient, bea, func(v *web.View) { v.Section = "dashboard" })
	if got := strings.TrimSpace(d.Find("button[popovertarget='person-menu'] .button-text").Text()); got != bea.Name {
		t.Errorf("the person's menu is named %q", got)
	}
	if got := d.Find(".topbar nav a[aria-current='page']").Text(); got != "Dashboard" {
		t.Errorf("the open item is %q", got)
	}
	for _, menu := range []string{"#person-menu", "#drawer"} {
		for _, want := range []string{"a[href='/profile']", "a[href='/security']", "form[action='/theme'] button[value='dark']", "form[action='/sign-out'] button"} {
			if d.Find(menu+" "+want).Length() != 1 {
				t.Errorf("%s lacks %s", menu, want)
			}
		}
	}
	if next, _ := d.Find("#person-menu form[action='/theme'] input[name=next]").Attr("value"); next != "/profile?tab=1&more=2" {
		t.Errorf("after a change of appearance the way leads to %q", next)
	}
	if _, set := d.Find("html").Attr("data-theme"); set {
		t.Error("a theme is set for somebody who follows the system")
	}
	if theme, _ := page(t, web.FrameAdmin, ada, nil).Find("html").Attr("data-theme"); theme != "dark" {
		t.Errorf("Ada's theme is %q", theme)
	}
	if page(t, web.FrameBare, app.Viewer{}, nil).Find("#person-menu").Length() != 0 {
		t.Error("a visitor has a person's menu")
	}
}

func TestFrames_LinkWhatTheViewerMaySee(t *testing.T) {
	t.Parallel()
	if page(t, web.FrameAdmin, ada, nil).Find(".rail a[href='/admin/settings']").Length() != 1 {
		t.Error("an admin has no Settings")
	}
	if page(t, web.FrameAdmin, sam, nil).Find("a[href='/admin/settings']").Length() != 0 {
		t.Error("staff see Settings")
	}
}

func TestFrames_AskForTheConfirmation(t *testing.T) {
	t.Parallel()
	lead := bea
	lead.Confirmed = false
	d := page(t, web.FrameClient, lead, nil)
	if d.Find("form[action='/confirmation'] button").Length() != 1 || !strings.Contains(d.Find("#confirmation").Text(), lead.Email) {
		t.Error("an unconfirmed address is not mentioned")
	}
	if page(t, web.FrameClient, bea, nil).Find("#confirmation").Length()+page(t, web.FrameBare, app.Viewer{}, nil).Find("#confirmation").Length() != 0 {
		t.Error("the confirmation is asked of those who gave it, or of visitors")
	}
}

func TestFrames_LinkTheDevPagesInTheDevRunOnly(t *testing.T) {
	t.Parallel()
	links := func(dev bool) int {
		return page(t, web.FrameBare, app.Viewer{}, func(v *web.View) {
			site := *v.Site
			site.Dev = dev
			v.Request.Site = &site
		}).Find(".footer a[href^='/dev/']").Length()
	}
	if got := links(true); got != 2 {
		t.Errorf("the dev run links %d dev pages", got)
	}
	if got := links(false); got != 0 {
		t.Errorf("outside the dev run %d dev pages are linked", got)
	}
}

func TestField_ShowsWhatWasTypedAndWhatIsWrong(t *testing.T) {
	t.Parallel()
	options := []web.Option{{Value: "", Label: "None"}, {Value: "a", Label: "Option A"}, {Value: "b", Label: "Option B"}}
	draw := func(form web.Form, name string, pairs ...any) *goquery.Document {
		var field web.Field
		page(t, "shared/error-summary", bea, func(v *web.View) {
			v.Form = &form
			field = v.Field(name, append(pairs, "label", "field.name")...)
		})
		var out bytes.Buffer
		if err := newSite(t).Views.Render(&out, "shared/field", field); err != nil {
			t.Fatal(err)
		}
		d, err := goquery.NewDocumentFromReader(&out)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	typed := func(values ...string) web.Form { return web.Form{Values: map[string][]string{"x": values}} }
	value := func(d *goquery.Document, selector string) string { return d.Find(selector).AttrOr("value", "(none)") }

	if got := value(draw(typed(`"><script>`), "x"), "input#x"); got != `"><script>` {
		t.Errorf("a text field shows %q", got)
	}
	if got := value(draw(typed("secret"), "x", "type", "password"), "input"); got != "(none)" {
		t.Errorf("a password is sent back: %q", got)
	}
	if got := draw(typed("\nfirst\n<b>"), "x", "type", "textarea").Find("textarea").Text(); got != "\nfirst\n<b>" {
		t.Errorf("a text area shows %q", got)
	}
	if got := value(draw(typed("b"), "x", "type", "select", "options", options), "option[selected]"); got != "b" {
		t.Errorf("a select shows %q", got)
	}
	if got := value(draw(web.Form{}, "x", "type", "select", "options", options, "value", "a"), "option[selected]"); got != "a" {
		t.Errorf("an untouched select shows %q", got)
	}
	if got := draw(typed("a", "b"), "x", "type", "checks", "options", options).Find("input[checked]").Length(); got != 2 {
		t.Errorf("of two checked boxes %d show", got)
	}
	if got := value(draw(typed("a"), "x", "type", "radios", "options", options), "input[type=radio][checked]"); got != "a" {
		t.Errorf("the chosen radio is %q", got)
	}
	if got := draw(typed("on"), "x", "type", "checkbox").Find("label input[type=checkbox][checked]").Length(); got != 1 {
		t.Error("a checked box is not checked")
	}
	if d := draw(typed("7"), "x", "type", "hidden"); value(d, "input[type=hidden][name=x]") != "7" || d.Find("label").Length() != 0 {
		t.Error("a hidden field is not a hidden input alone")
	}

	wrong := typed("b")
	wrong.Errors = []app.FieldError{{Field: "x", Text: app.Text{Key: "form.unreadable"}}}
	for _, kind := range []string{"text", "textarea", "select", "checkbox", "file"} {
		d := draw(wrong, "x", "type", kind, "options", options, "hint", "field.name", "required", true)
		control := d.Find("[aria-invalid='true'][required]")
		if control.Length() != 1 {
			t.Errorf("%s: %d controls are marked as wrong", kind, control.Length())
			continue
		}
		if control.AttrOr("aria-describedby", "") != "x-error x-hint" || d.Find("#x-error").Length() != 1 || d.Find("#x-hint").Length() != 1 {
			t.Errorf("%s: the error and the hint do not describe the control", kind)
		}
		if d.Find("label[for='x'], label:has(#x)").Length() != 1 {
			t.Errorf("%s: the control has no label", kind)
		}
	}
	if d := draw(wrong, "x", "type", "radios", "options", options); d.Find("fieldset#x[aria-describedby='x-error'] legend").Length() != 1 {
		t.Error("the error does not describe the group")
	}
	if d := draw(web.Form{}, "x", "id", "other"); d.Find("label[for='other'] + input#other[name=x]").Length() != 1 {
		t.Error("the id of a field can't be set")
	}
}

func TestErrorSummary_LeadsToTheFields(t *testing.T) {
	t.Parallel()
	d := page(t, "shared/error-summary", bea, func(v *web.View) {
		v.Form.Errors = []app.FieldError{{Field: "email", Text: app.Text{Key: "form.unreadable"}}, {Text: app.Text{Key: "form.unknown-field"}}}
	})
	if got := strings.TrimSpace(d.Find("[autofocus] h2").Text()); got != "2 things to mend" {
		t.Errorf("the heading is %q", got)
	}
	if d.Find("li").Length() != 2 || d.Find("li a[href='#email']").Length() != 1 {
		t.Error("the errors are not listed with a link to their field")
	}
	if page(t, "shared/error-summary", bea, nil).Find(".error-summary").Length() != 0 {
		t.Error("a summary without errors shows")
	}
}

// Every error of app/web/errors.go has a page and a note of its own.
func TestErrors_EachHasItsWords(t *testing.T) {
	t.Parallel()
	said := map[string]string{}
	for _, key := range []string{"invalid", "limited", "proof", "forbidden", "not-found", "conflict", "busy", "too-large", "internal"} {
		for _, name := range []string{"errors/show", "errors/note"} {
			d := page(t, name, bea, func(v *web.View) {
				v.Title = v.T("error." + key + ".title")
				v.Data = web.ErrorData{Key: key, RequestID: "req-1"}
			})
			text := strings.Join(strings.Fields(d.Find("body").Text()), " ")
			if strings.Contains(text, "error.") || !strings.Contains(text, "req-1") {
				t.Errorf("%s for %q says %q", name, key, text)
			}
			if other := said[name+text]; other != "" {
				t.Errorf("%s says the same for %q and %q", name, key, other)
			}
			said[name+text] = key
		}
	}
	for viewer, want := range map[string]app.Viewer{"/": bea, "/admin": sam, "/sign-in": {}} {
		d := page(t, "errors/show", want, func(v *web.View) { v.Data = web.ErrorData{Key: "not-found"} })
		if d.Find(".fault a[href='"+viewer+"']").Length() != 1 || d.Find("h1").Length() != 1 {
			t.Errorf("a page that is not there does not lead to %s", viewer)
		}
	}
}

// In the dev run templates come from the disk for every page, and many pages may be asked for at once.
func TestEngine_ReloadsInTheDevRun(t *testing.T) {
	t.Chdir(t.TempDir())
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile("views/a/b.html", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll("views/a", 0o700); err != nil {
		t.Fatal(err)
	}
	write("before")
	templates, err := views.Engine(true, static.Path)
	if err != nil {
		t.Fatal(err)
	}
	render := func() string {
		var out bytes.Buffer
		if err := templates.Render(&out, "a/b", nil); err != nil {
			return err.Error()
		}
		return out.String()
	}
	if got := render(); got != "before" {
		t.Fatalf("the page says %q", got)
	}
	write("after")
	var pages sync.WaitGroup
	for range 8 {
		pages.Go(func() {
			if got := render(); got != "after" {
				t.Errorf("the changed page says %q", got)
			}
		})
	}
	pages.Wait()
	write("{{")
	if got := render(); !strings.Contains(got, "a/b") {
		t.Errorf("a broken template says %q", got)
	}
}

func TestEngine_FallsBackToWhatIsBuiltIn(t *testing.T) {
	t.Chdir(t.TempDir())
	templates, err := views.Engine(true, static.Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := templates.Render(&bytes.Buffer{}, "shared/status", &web.View{Data: map[string]any{"Status": "open", "Label": "Open"}}); err != nil {
		t.Error(err)
	}
}
