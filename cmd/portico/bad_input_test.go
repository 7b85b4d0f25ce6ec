package main

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"
)

// TestBadInput: what nobody means to send gets a message that says so, and changes nothing: on every form of support, and by every
// field that takes text.
func TestBadInput(t *testing.T) {
	t.Parallel()
	s := start(t, options{idle: true})
	owner, staff, admin := s.signIn(bea), s.signIn(sam), s.signIn(ada)
	id := owner.opened()
	message := s.text("select id from ticket_messages where ticket_id = $1", id)
	account := s.text("select account_id from tickets where id = $1", id)
	s.exec("update tickets set department_id = (select id from departments where name = 'Technical support') where id = $1", id)
	s.exec("insert into saved_replies (name, body) values ('Hello', 'Hello {client}')")
	reply := s.text("select id from saved_replies where name = 'Hello'")
	department := s.text("select id from departments where name = 'Technical support'")
	tokens := map[*client]string{owner: owner.token(), staff: staff.token(), admin: admin.token()}
	for _, form := range []struct {
		who     *client
		path    string
		fields  url.Values // what is right
		text    []string   // which of them take text
		longest int        // characters, of the first of text
		uploads bool
	}{
		{who: owner, path: "/support", fields: url.Values{"subject": {"Right"}, "body": {"Right"}}, text: []string{"subject", "body"}, longest: 200, uploads: true},
		{who: owner, path: "/support/" + id + "/messages", fields: url.Values{"body": {"Right"}}, text: []string{"body"}, longest: 50_000, uploads: true},
		{who: owner, path: "/support/" + id + "/messages/" + message, fields: url.Values{"body": {"Right"}}, text: []string{"body"}, longest: 50_000},
		{who: owner, path: "/support/" + id + "/subject", fields: url.Values{"subject": {"Right"}}, text: []string{"subject"}, longest: 200},
		{who: admin, path: "/admin/support/new", fields: url.Values{"account": {account}, "subject": {"Right"}, "body": {"Right"}}, text: []string{"subject", "body"}, longest: 200, uploads: true},
		{who: staff, path: "/admin/support/" + id + "/messages", fields: url.Values{"body": {"Right"}}, text: []string{"body"}, longest: 50_000, uploads: true},
		{who: staff, path: "/admin/support/" + id + "/messages?compose=note", fields: url.Values{"body": {"Right"}}, text: []string{"body"}, longest: 50_000, uploads: true},
		{who: staff, path: "/admin/support/" + id + "/duplicate", fields: url.Values{"number": {"4101"}}, text: []string{"number"}, longest: 10},
		{who: staff, path: "/admin/support/replies", fields: url.Values{"name": {"Right"}, "body": {"Right"}}, text: []string{"name", "body"}, longest: 100},
		{who: staff, path: "/admin/support/replies/" + reply, fields: url.Values{"name": {"Right"}, "body": {"Right"}}, text: []string{"name", "body"}, longest: 100},
		{who: admin, path: "/admin/settings/departments", fields: url.Values{"name": {"Right"}}, text: []string{"name"}, longest: 60},
		{who: admin, path: "/admin/settings/departments/" + department, fields: url.Values{"name": {"Right"}}, text: []string{"name"}, longest: 60},
	} {
		refused := func(fault string, a *answer, statuses ...int) {
			t.Helper()
			said := a.find("main .error-summary li, main .error, main h1 + p").Not("template *").First().Text()
			if !slices.Contains(statuses, a.status) || strings.TrimSpace(said) == "" {
				t.Errorf("%s, %s: got %d and %q, want %v with a message\n%s", form.path, fault, a.status, said, statuses, a.words("main"))
			}
		}
		ask := func(fault string, change func(url.Values), statuses ...int) {
			t.Helper()
			with := url.Values{}
			for name, values := range form.fields {
				with[name] = slices.Clone(values)
			}
			change(with)
			before := snapshot(t, s)
			a := form.who.post(form.path, with, http.Header{"X-CSRF-Token": {tokens[form.who]}})
			refused(fault, a, statuses...)
			if changed := before.diff(snapshot(t, s)); changed != "" {
				t.Errorf("%s, %s: changed %s", form.path, fault, changed)
			}
		}
		for _, field := range form.text {
			for fault, text := range map[string]string{
				"nothing": "", "spaces": " \t\r\n ", "a zero byte": "a\x00b", "no UTF-8": "a\xff\xfeb", "a megabyte": strings.Repeat("x", 1<<20),
			} {
				ask(field+" is "+fault, func(with url.Values) { with.Set(field, text) }, http.StatusUnprocessableEntity)
			}
			ask(field+" twice", func(with url.Values) { with.Add(field, "again") }, http.StatusUnprocessableEntity)
			ask(field+" of 3 MB", func(with url.Values) { with.Set(field, strings.Repeat("x", 3<<20)) }, http.StatusRequestEntityTooLarge)
		}
		ask("too long", func(with url.Values) { with.Set(form.text[0], strings.Repeat("x", form.longest+1)) }, http.StatusUnprocessableEntity)
		ask("a field that it does not have", func(with url.Values) { with.Set("author_id", account) }, http.StatusUnprocessableEntity)
		if !form.uploads {
			continue
		}
		ask("10,000 uploads", func(with url.Values) {
			for range 10_000 {
				with.Add("uploads", account)
			}
		}, http.StatusUnprocessableEntity)
		ask("an upload that is none", func(with url.Values) { with.Set("uploads", "../../etc/passwd") }, http.StatusUnprocessableEntity)
		parts := []part{}
		for name, values := range form.fields {
			parts = append(parts, part{name, "", values[0]})
		}
		for range 10_000 {
			parts = append(parts, part{"attachments", "a.txt", "a"})
		}
		before := s.count("attachments where message_id is not null") + s.count("ticket_messages") + s.count("tickets")
		refused("10,000 files", form.who.send(form.path, parts...), http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge)
		if after := s.count("attachments where message_id is not null") + s.count("ticket_messages") + s.count("tickets"); after != before {
			t.Errorf("%s: 10,000 files posted something", form.path)
		}
	}

	// What may be said, but not do anything.
	for _, text := range []string{
		"<script>canary()</script>", "<img src=x onerror=canary()>", "[x](javascript:canary())", "[x](data:text/html,canary)", "<a href='vbscript:canary'>x</a>",
		"<b hx-get='/canary' data-hx-on:click='canary()'>x</b>", "<style>*{canary:1}</style>", "<iframe srcdoc='canary'></iframe>", "<svg onload=canary()>",
		"![x](https://evil.example/canary.gif)", "<form action=/canary><button>x</button></form>", "[x]: javascript:canary\n\n[x]", strings.Repeat("> ", 5000) + "deep",
		strings.Repeat("[", 20_000), strings.Repeat("*a_", 10_000),
	} {
		owner.post("/support/"+id+"/messages", url.Values{"body": {text}}, http.Header{"X-CSRF-Token": {tokens[owner]}}).want(http.StatusSeeOther)
		made := s.text("select html from ticket_messages where ticket_id = $1 order by created_at desc limit 1", id)
		document, err := goquery.NewDocumentFromReader(strings.NewReader(made))
		if err != nil {
			t.Fatal(err)
		}
		document.Find("body *").Each(func(_ int, e *goquery.Selection) {
			if bad := e.Is("script, style, iframe, svg, form, button, input, object, link, meta"); bad {
				t.Errorf("%.60q became %.200q", text, made)
			}
			for _, attribute := range e.Nodes[0].Attr {
				value := strings.ToLower(attribute.Val)
				if strings.HasPrefix(attribute.Key, "on") || strings.Contains(attribute.Key, "hx-") || attribute.Key == "style" || attribute.Key == "src" && strings.Contains(value, "//") ||
					strings.HasPrefix(value, "javascript:") || strings.HasPrefix(value, "vbscript:") || strings.HasPrefix(value, "data:") {
					t.Errorf("%.60q became %.200q", text, made)
				}
			}
		})
	}
	owner.get("/support/" + id).want(http.StatusOK)
}
