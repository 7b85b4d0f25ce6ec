package views_test

import (
	"net/http/httptest"
	"testing"

	"portico/app"
	"portico/app/dev"
	"portico/app/web"
	"portico/static"

	"github.com/PuerkitoBio/goquery"
	"github.com/gofiber/fiber/v2"
)

// The page of pieces draws every shared template there is, in both areas, with no word missing.
func TestPieces_ShowEveryPiece(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	for who, viewer := range map[string]app.Viewer{"client": bea, "admin": ada, "visitor": {}} {
		a := fiber.New()
		a.Get("/dev/pieces", func(c *fiber.Ctx) error {
			request := &web.Request{
				Printer: site.Catalogue.Printer("en", "UTC", noon), Site: site, Viewer: viewer, Store: web.Store{Name: "Northwind Hosting"}, Path: "/dev/pieces", Now: noon,
			}
			web.Attach(c, request)
			return dev.Pieces(c)
		})
		show := func(path string) *goquery.Document {
			t.Helper()
			answer, err := a.Test(httptest.NewRequest("GET", path, nil))
			if err != nil {
				t.Fatal(err)
			}
			if answer.StatusCode != fiber.StatusOK {
				t.Fatalf("%s: status %d", who, answer.StatusCode)
			}
			d, err := goquery.NewDocumentFromReader(answer.Body)
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		d := show("/dev/pieces")
		for _, piece := range []string{
			".button", ".icon-button", ".status", ".avatar", ".note", ".toast", ".error-summary", ".field", ".chips", "dialog", ".menu[popover]", ".tabs",
			".list .row", ".table", ".pagination", ".empty", ".thread .message", ".composer", ".run", ".copy",
		} {
			if d.Find("main "+piece).Length() == 0 {
				t.Errorf("%s: the page shows no %s", who, piece)
			}
		}
		if got := d.Find("h1").Length(); got != 1 {
			t.Errorf("%s: the page has %d headings of the first rank", who, got)
		}
		if got := d.Find(".icon-names li").Length(); got != len(static.Icons()) {
			t.Errorf("%s: of %d icons %d show", who, len(static.Icons()), got)
		}
		if got := show("/dev/pieces?show=confirm").Find("main form[method=post] input[name=_csrf]").Length(); got != 1 {
			t.Errorf("%s: the page in place of the dialog has %d forms", who, got)
		}
	}
}
