package dev

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"portico/app/keys"
	"portico/app/locale"
	"portico/app/mail"
	"portico/app/web"
	"portico/views"

	"github.com/PuerkitoBio/goquery"
	"github.com/gofiber/fiber/v2"
	gomail "github.com/wneessen/go-mail"
)

const confirmLink = "http://127.0.0.1:8080/confirm/abc?x=1&y=2"

// send puts a mail into the mailbox over SMTP, as the portal does.
func send(t *testing.T, server *MailServer, to, subject string) {
	t.Helper()
	m := gomail.NewMsg()
	if err := m.From("portal@northwind.example"); err != nil {
		t.Fatal(err)
	}
	if err := m.To(to); err != nil {
		t.Fatal(err)
	}
	m.Subject(subject)
	m.SetBodyString(gomail.TypeTextPlain, "Hello <b>you</b>,\n\nConfirm address:\n"+confirmLink+".\n")
	m.AddAlternativeString(gomail.TypeTextHTML, `<!doctype html><html><head><title>x</title></head><body><script>bad()</script><p><a class="button" href="`+
		strings.ReplaceAll(confirmLink, "&", "&amp;")+`"><b>Confirm</b> address</a> <a href="`+strings.ReplaceAll(confirmLink, "&", "&amp;")+`">again</a> <a href="javascript:bad()">bad</a></body></html>`)
	transport, err := mail.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	if err := transport.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := transport.Send(t.Context(), "portal@northwind.example", to, m); err != nil {
		t.Fatal(err)
	}
}

func openMailbox(t *testing.T, folder string) (*Mailbox, *MailServer) {
	t.Helper()
	mailbox, err := OpenMailbox(folder)
	if err != nil {
		t.Fatal(err)
	}
	server, err := ServeMail(mailbox)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return mailbox, server
}

func TestMailbox_SurvivesARestart(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "data", "mail")
	_, server := openMailbox(t, folder)
	send(t, server, "bea@bluebird.example", "First")
	send(t, server, "dev@devteam.example", "Zweite: schöne Grüße")
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"stranger.eml", "20261122T000000.000000000-0123456789abcdef.part"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mailbox, _ := openMailbox(t, folder)
	mails := mailbox.List("")
	if len(mails) != 2 || mails[0].Subject != "Zweite: schöne Grüße" || mails[1].Subject != "First" || mails[1].To[0] != "bea@bluebird.example" || time.Since(mails[0].At) > time.Minute {
		t.Fatalf("mails %+v", mails)
	}
	if found := mailbox.List(" BEA@"); len(found) != 1 || found[0].Subject != "First" {
		t.Errorf("mail to Bea: %+v", found)
	}
	letter, err := mailbox.Open(mails[1].ID)
	if err != nil {
		t.Fatal(err)
	}
	if len(letter.Links) != 1 || letter.Links[0] != (Link{"Confirm address", confirmLink}) {
		t.Errorf("links %+v", letter.Links)
	}
	for _, id := range []string{"", "stranger", "../" + mails[0].ID, mails[0].ID + ".eml", "20261122T000000.000000000-0123456789abcdef"} {
		if _, err := mailbox.Open(id); err == nil {
			t.Errorf("mail %q was opened", id)
		}
	}
}

func TestMailbox_ForgetsTheOldest(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	mailbox, err := OpenMailbox(folder)
	if err != nil {
		t.Fatal(err)
	}
	for i := range mailboxSize + 3 {
		if err := mailbox.Keep([]string{"bea@bluebird.example"}, fmt.Appendf(nil, "Subject: %d\r\n\r\nHello\r\n", i)); err != nil {
			t.Fatal(err)
		}
	}
	mails := mailbox.List("")
	files, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	if len(mails) != mailboxSize || len(files) != mailboxSize || mails[0].Subject != fmt.Sprint(mailboxSize+2) || mails[len(mails)-1].Subject != "3" {
		t.Errorf("%d mails and %d files are left, from %s to %s", len(mails), len(files), mails[len(mails)-1].Subject, mails[0].Subject)
	}
}

func TestMailServer_FolderGone(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "mail")
	_, server := openMailbox(t, folder)
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	transport, err := mail.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	_, err = transport.Send(t.Context(), "a@example.com", "b@example.com", bytes.NewBufferString("Subject: x\r\n\r\nx\r\n"))
	if err == nil || !strings.Contains(err.Error(), "451") {
		t.Errorf("error %v, want 451: nothing was kept", err)
	}
}

func TestLetter_Lines(t *testing.T) {
	t.Parallel()
	letter := Letter{Text: "\r\nSee https://a.example/x?y=1&z. Then (http://b.example/),\r\n\r\n<https://c.example>!\n"}
	text, links := "", ""
	for _, line := range letter.Lines() {
		for _, part := range line {
			text += part.Text + part.URL
			if part.URL != "" {
				links += part.URL + " "
			}
		}
		text += "|"
	}
	if text != "See https://a.example/x?y=1&z. Then (http://b.example/),||<https://c.example>!|" || links != "https://a.example/x?y=1&z http://b.example/ https://c.example " {
		t.Errorf("text %q, links %q", text, links)
	}
}

func TestLetter_Framed(t *testing.T) {
	t.Parallel()
	for document, want := range map[string]string{
		`<html><HEAD lang="x"><title>`: `<html><HEAD lang="x"><base target="_top"><title>`,
		`<header>no head`:              `<base target="_top"><header>no head`,
	} {
		if got := (Letter{HTML: document}).Framed(); got != want {
			t.Errorf("%q became %q, want %q", document, got, want)
		}
	}
}

// pages serves the mailbox's pages to a visitor who is not signed in.
func pages(t *testing.T, mailbox *Mailbox) *fiber.App {
	t.Helper()
	catalogue, err := locale.Load(views.Files)
	if err != nil {
		t.Fatal(err)
	}
	asset := func(name string) string { return "/static/" + name }
	templates, err := views.Engine(false, asset)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keys.Parse(keys.Generate())
	if err != nil {
		t.Fatal(err)
	}
	site := &web.Site{Views: templates, Catalogue: catalogue, Keys: ring, URL: "http://127.0.0.1:8080", Dev: true, Asset: asset}
	app := fiber.New(fiber.Config{Immutable: true, ErrorHandler: web.Fail})
	app.Use(func(c *fiber.Ctx) error {
		c.Set(fiber.HeaderContentSecurityPolicy, "default-src 'none'; frame-ancestors 'none'")
		r := &web.Request{Printer: catalogue.Printer("en", "UTC", time.Now()), Site: site, Store: web.Store{Name: "Northwind Hosting"}, Path: c.OriginalURL(), Now: time.Now()}
		r.BindCSRF(c)
		web.Attach(c, r)
		return c.Next()
	})
	h := NewMailboxHandlers(mailbox)
	app.Get("/dev/mailbox", h.Index)
	app.Get("/dev/mailbox/:id", h.Show)
	app.Get("/dev/mailbox/:id/html", h.HTML)
	app.Get("/dev/mailbox/:id/text", h.Text)
	return app
}

func get(t *testing.T, app *fiber.App, path string) (*http.Response, *goquery.Document, string) {
	t.Helper()
	response, err := app.Test(httptest.NewRequest(http.MethodGet, path, nil), 10_000)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	document, err := goquery.NewDocumentFromReader(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return response, document, string(body)
}

func TestMailboxPages(t *testing.T) {
	t.Parallel()
	mailbox, server := openMailbox(t, t.TempDir())
	app := pages(t, mailbox)
	if response, page, _ := get(t, app, "/dev/mailbox"); response.StatusCode != 200 || page.Find(".empty").Length() != 1 {
		t.Errorf("an empty mailbox: %d", response.StatusCode)
	}
	send(t, server, "bea@bluebird.example", "Confirm <your> address")
	send(t, server, "dev@devteam.example", "Another")

	_, page, _ := get(t, app, "/dev/mailbox?to="+url.QueryEscape("bea@bluebird.example"))
	row := page.Find("tbody tr")
	if row.Length() != 1 || !strings.Contains(row.Text(), "bea@bluebird.example") {
		t.Fatalf("filtered list: %q", row.Text())
	}
	if refresh := page.Find(`.page-head a`).AttrOr("href", ""); refresh != "/dev/mailbox?to=bea%40bluebird.example" {
		t.Errorf("Refresh leads to %q", refresh)
	}
	if _, page, _ := get(t, app, "/dev/mailbox?to=nobody"); page.Find("tbody tr").Length() != 0 || page.Find(".empty").Length() != 1 {
		t.Error("mail to nobody was found")
	}
	path := row.Find("a").AttrOr("href", "")

	response, page, _ := get(t, app, path)
	if response.StatusCode != 200 || page.Find("h1").Text() != "Confirm <your> address" {
		t.Errorf("status %d, heading %q", response.StatusCode, page.Find("h1").Text())
	}
	frame := page.Find("iframe")
	if frame.AttrOr("src", "") != path+"/html" || strings.Contains(frame.AttrOr("sandbox", "allow-scripts"), "allow-scripts") {
		t.Errorf("frame %q in sandbox %q", frame.AttrOr("src", ""), frame.AttrOr("sandbox", ""))
	}
	if policy := response.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "frame-src 'self'") || !strings.Contains(policy, "frame-ancestors 'none'") {
		t.Errorf("policy %q", policy)
	}
	if link := page.Find(`section li a`); link.Text() != "Confirm address" || link.AttrOr("href", "") != confirmLink {
		t.Errorf("link %q leads to %q", link.Text(), link.AttrOr("href", ""))
	}
	text := page.Find("#dev-mailbox-text")
	if !strings.Contains(text.Text(), "Hello <b>you</b>,") || text.Find("a").AttrOr("href", "") != confirmLink || text.Find("a").Text() != confirmLink {
		t.Errorf("text %q with link %q", text.Text(), text.Find("a").AttrOr("href", ""))
	}

	response, _, body := get(t, app, path+"/html")
	if !strings.Contains(body, `<base target="_top">`) || !strings.HasPrefix(response.Header.Get("Content-Type"), "text/html") {
		t.Errorf("HTML alone: %s", body)
	}
	policy := response.Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "style-src 'unsafe-inline'", "frame-ancestors 'self'", "sandbox allow-"} {
		if !strings.Contains(policy, want) {
			t.Errorf("policy of the HTML lacks %q: %s", want, policy)
		}
	}
	if strings.Contains(policy, "script") {
		t.Errorf("policy of the HTML allows scripts: %s", policy)
	}
	if _, page, _ := get(t, app, path+"/text"); page.Find("#dev-mailbox-text a").AttrOr("href", "") != confirmLink {
		t.Error("the text alone has no link")
	}
	for _, missing := range []string{"/dev/mailbox/nothing", path + "x", path + "x/html", path + "x/text"} {
		if response, _, _ := get(t, app, missing); response.StatusCode != 404 {
			t.Errorf("%s: status %d", missing, response.StatusCode)
		}
	}
}
