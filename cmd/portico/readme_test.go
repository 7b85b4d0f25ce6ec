package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/page"
)

// TestReadme makes the screenshots of the README, for make screenshots.
func TestReadme(t *testing.T) {
	folder := os.Getenv("PORTICO_README")
	if folder == "" {
		t.Skip("make screenshots runs it")
	}
	s := start(t, options{})
	s.settle()
	product, contract := s.text(hosting), s.text("select contract_id from contract_products where id = ("+hosting+")")
	ticket := s.text(`select t.id from tickets t join accounts a on a.id = t.account_id where a.name = 'Bluebird Bakery' and t.status <> 'closed'
		order by (select count(*) from ticket_messages where ticket_id = t.id) desc, t.number limit 1`)
	for name, shot := range map[string]struct {
		who, path string
		look      screen
	}{
		"dashboard":  {bea, "/", screen{}},
		"ticket":     {bea, "/support/" + ticket, screen{}},
		"delegates":  {bea, "/contracts/" + contract + "/delegates", screen{}},
		"support":    {ada, "/admin/support", screen{}},
		"manage":     {ada, "/admin/contracts/" + contract + "/manage?product=" + product, screen{}},
		"logs":       {ada, "/admin/provisioning/logs", screen{dark: true}},
		"phone":      {bea, "/contracts/" + contract, screen{width: 360}},
		"phone-dark": {bea, "/support/" + ticket, screen{width: 360, dark: true}},
	} {
		b := s.browse(t, shot.look)
		b.be(s.signIn(shot.who))
		if status := b.open(shot.path); status != 200 {
			t.Fatalf("%s: %d", shot.path, status)
		}
		picture := call(b, page.CaptureScreenshot, page.CaptureScreenshotParams{})
		if err := os.WriteFile(filepath.Join(folder, name+".png"), picture.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
