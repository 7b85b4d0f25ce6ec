package main

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"portico/app/db/dbtest"
	"portico/app/dev"
	"portico/app/keys"

	"github.com/PuerkitoBio/goquery"
	"github.com/google/uuid"
)

const priya = "priya@northwind.example"

// TestSupport: what Sam does with a ticket of Bea's, what Bea and Priya see of it, and what they don't.
func TestSupport(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	id := s.text("select id from tickets where subject = 'Staging copy of the shop for the redesign'")
	base := "/admin/support/" + id
	staff, holder, other := s.signIn(sam), s.signIn(bea), s.signIn(priya)
	post := func(c *client, path string, form url.Values) *answer {
		t.Helper()
		return c.post(path, form, http.Header{"X-CSRF-Token": {c.token()}})
	}
	has := func(c *client, path string, header http.Header, text string, want bool) {
		t.Helper()
		if a := c.do("GET", path, header, nil).want(http.StatusOK); strings.Contains(a.words("body"), text) != want {
			t.Errorf("%s: %q shows: %v, want %v\n%s", path, text, !want, want, a.words("main"))
		}
	}

	// The list, its segments and its filters.
	has(staff, "/admin/support", nil, "Staging copy of the shop", true)
	has(staff, "/admin/support", nil, "Invoice 2026-1187", false)
	has(other, "/admin/support", nil, "Staging copy of the shop", false)
	has(other, "/admin/support", nil, "Invoice 2026-1187", true)
	for query, want := range map[string]bool{
		"status=client_replied": true, "status=ours": true, "status=waiting": false, "status=closed": false, "assignee=none": true, "assignee=me": false,
		"q=agen+staging": true, "q=agen+nowhere": false, "q='": true, `q=\`: true, "q=!%26": false, "q=" + s.text("select number from tickets where id = $1", id): true,
		"department=none": false, "department=" + s.text("select department_id from tickets where id = $1", id): true, "status=nonsense": true,
	} {
		has(staff, "/admin/support?"+query, nil, "Staging copy of the shop", want)
	}

	for _, field := range []string{"status", "department_id", "assignee_id"} {
		selected, _ := staff.get(base).find("select[name=" + strings.TrimSuffix(field, "_id") + "] option[selected]").Attr("value")
		if want := s.text("select "+field+" from tickets where id = $1", id); selected != want {
			t.Errorf("the select for %s offers %q, want %q", field, selected, want)
		}
	}

	// A reply, which Bea reads; and a note, of which no byte reaches her.
	post(staff, base+"/messages", url.Values{"body": {"The *copy* is ready."}}).want(http.StatusSeeOther)
	has(holder, "/support/"+id, nil, "The copy is ready.", true)
	has(holder, "/support/"+id, nil, "Staff replied", true)
	seen := s.text("select id from ticket_messages where ticket_id = $1 order by created_at desc limit 1", id)
	post(staff, base+"/messages?compose=note", url.Values{"body": {"canary-note about her"}}).want(http.StatusSeeOther)
	if got := s.text("select internal from ticket_messages where body = 'canary-note about her'"); got != "true" {
		t.Fatalf("the note is internal: %s", got)
	}
	if got := s.text("select status from tickets where id = $1", id); got != "staff_replied" {
		t.Errorf("after a note the ticket is %s", got)
	}
	has(staff, base, nil, "canary-note about her", true)
	has(staff, "/admin/support?q=canary", nil, "Staging copy of the shop", true)
	s.mail(bea, "Staging copy of the shop")
	for _, path := range []string{"/", "/support", "/support/" + id} {
		for _, header := range []http.Header{nil, htmx, {"Hx-Request": {"true"}, "Hx-Target": {"tickets-timeline"}}} {
			if a := holder.do("GET", path, header, nil).want(http.StatusOK); strings.Contains(a.body, "canary") {
				t.Errorf("%s shows a note", path)
			}
		}
	}

	// What came in meanwhile is said once, and keeps the text.
	post(holder, "/support/"+id+"/messages", url.Values{"body": {"One more thing."}}).want(http.StatusSeeOther)
	refused := post(staff, base+"/messages", url.Values{"body": {"Anything else?"}, "seen": {seen}}).want(http.StatusConflict)
	if words := refused.words("main"); !strings.Contains(words, "Others posted while you wrote.") || !strings.Contains(words, "One more thing.") {
		t.Errorf("a post that crossed another gets\n%s", words)
	}
	if got := strings.TrimSpace(refused.find("form.composer textarea").Text()); got != "Anything else?" {
		t.Errorf("the composer holds %q", got)
	}
	newest, _ := refused.find("input[name=seen]").Attr("value")
	post(staff, base+"/messages", url.Values{"body": {"Anything else?"}, "seen": {newest}}).want(http.StatusSeeOther)

	// Whom it is given to, its status, and a department out of sight.
	post(staff, base+"/assignee", url.Values{"assignee": {s.userID(sam)}}).want(http.StatusSeeOther)
	has(staff, "/admin/support?assignee=me", nil, "Staging copy of the shop", true)
	post(staff, base+"/assignee", url.Values{"assignee": {s.userID(priya)}}).want(http.StatusSeeOther)
	post(staff, base+"/assignee", url.Values{"assignee": {s.userID(bea)}}).want(http.StatusSeeOther)
	if got := s.text("select assignee_id from tickets where id = $1", id); got != s.userID(sam) {
		t.Errorf("the ticket went to %s, who does not see it", got)
	}
	post(staff, base+"/status", url.Values{"status": {"closed"}}).want(http.StatusSeeOther)
	post(staff, base+"/status", url.Values{"status": {"waiting"}}).want(http.StatusSeeOther)
	has(holder, "/support/"+id, nil, "set the status to Waiting", true)
	if got := s.text("select status || coalesce(waiting_since::text, '') from tickets where id = $1", id); got != "waiting" {
		t.Errorf("the ticket is %s", got)
	}
	other.get(base).want(http.StatusNotFound)
	moved := post(staff, base+"/department", url.Values{"department": {s.text("select id from departments where name = 'Billing'")}}).want(http.StatusSeeOther)
	if to := moved.header.Get("Location"); to != "/admin/support" {
		t.Errorf("who moves a ticket out of sight is sent to %s", to)
	}
	staff.get(base).want(http.StatusNotFound)
	has(other, base, nil, "canary-note about her", true)
	if got := s.text("select coalesce(assignee_id::text, 'nobody') from tickets where id = $1", id); got != "nobody" {
		t.Errorf("the assignee, who does not see the ticket any more, is still %s", got)
	}
	post(other, base+"/closure", nil).want(http.StatusSeeOther)
	has(holder, "/support/"+id, nil, "This ticket is closed.", true)
	a := post(other, base+"/messages", url.Values{"body": {"Too late"}}).want(http.StatusConflict)
	if !strings.Contains(a.words("main"), "The ticket was closed before your text arrived.") {
		t.Errorf("a post after the close gets\n%s", a.words("main"))
	}
	followed := post(other, base+"/follow-up", url.Values{"subject": {"Again"}, "body": {"From us."}}).want(http.StatusSeeOther)
	has(holder, strings.TrimPrefix(followed.header.Get("Location"), "/admin"), nil, "From us.", true)

	// To account holders none of it exists.
	s.settle()
	before := snapshot(t, s)
	absent := bare(holder.get("/admin/support/" + uuid.NewString()).want(http.StatusNotFound))
	if got := bare(holder.get(base).want(http.StatusNotFound)); got != absent {
		t.Errorf("her own ticket under the store's address differs from none: %s", firstDifference(got, absent))
	}
	holder.get("/admin/support").want(http.StatusNotFound)
	for _, deed := range []string{"/messages", "/messages?compose=note", "/assignee", "/status", "/department", "/closure", "/follow-up"} {
		post(holder, base+deed, url.Values{"body": {"x"}, "status": {"open"}}).want(http.StatusNotFound)
		post(staff, base+deed, url.Values{"body": {"x"}, "status": {"open"}}).want(http.StatusNotFound)
	}
	if changed := before.diff(snapshot(t, s)); changed != "" {
		t.Errorf("refused, and yet changed %s", changed)
	}
	for _, letter := range s.mailbox.List(bea) {
		m, err := s.mailbox.Open(letter.ID)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(m.Text+m.HTML, "canary") {
			t.Errorf("the mail %q quotes a note", letter.Subject)
		}
	}
}

// TestSupport_OpenForClient is the guide's article, click for click.
func TestSupport_OpenForClient(t *testing.T) {
	windows(t, func(t *testing.T, s *site, open func() window) {
		w := open()
		signIn(w, sam, dev.DemoPassword)
		w.at("/admin")
		w.visit("/admin/support")
		newsletter := "Newsletter lands in spam"
		w.check("Choose ticket " + s.text("select number from tickets where subject = $1", newsletter) + ", " + newsletter)
		w.choose("With the chosen tickets", "status:waiting")
		w.press("Apply")
		w.says("1 of 1 ticket was changed.")
		w.follow(newsletter)
		w.says("Waiting")
		w.visit("/admin/support")
		w.follow("Open ticket for a client")
		w.at("/admin/support/new")
		w.fill("Client", "corvid")
		w.press("Find client")
		w.follow("Corvid Press")
		w.fill("Subject", "Your certificate ends soon")
		w.fill("Message", "We renew it **tonight**.")
		w.press("Create ticket")
		w.says("The ticket is open.")
		w.says("We renew it tonight.")
		w.says("Staff replied")
		w.follow("Internal note")
		w.fill("Note", "She knows.")
		w.press("Add internal note")
		w.says("She knows.")
		w.choose("Status", "waiting")
		w.press("Set status")
		w.says("The status is set.")
		w.choose("Assignee", s.userID(sam))
		w.press("Assign")
		w.says("The assignee is set.")
		w.press("Close ticket")
		w.says("will be closed for good")
		w.press("Close ticket")
		w.says("This ticket is closed.")
	})
}

// TestSupport_Bulk: many tickets at once, each with the rights to it, and what became of each is told.
func TestSupport_Bulk(t *testing.T) {
	t.Parallel()
	s := start(t, options{idle: true})
	staff := s.signIn(sam)
	post := func(form url.Values) *answer {
		t.Helper()
		return staff.post("/admin/support/bulk", form, http.Header{"X-CSRF-Token": {staff.token()}})
	}
	seen := strings.Fields(s.text("select string_agg(id::text, ' ') from tickets where status <> 'closed' and department_id = (select id from departments where name = 'Technical support')"))
	closed := s.text("select id from tickets where status = 'closed' and department_id = (select id from departments where name = 'Technical support') limit 1")
	foreign := s.text("select id from tickets where status <> 'closed' and department_id = (select id from departments where name = 'Billing') limit 1")
	if len(seen) < 2 || closed == "" || foreign == "" {
		t.Fatalf("the demo store has %d tickets to change, %q closed, %q of others", len(seen), closed, foreign)
	}
	all := append([]string{closed, foreign, uuid.NewString()}, seen...)
	a := post(url.Values{"tickets": all, "deed": {"status:waiting"}}).want(http.StatusOK)
	changed := a.find(".status[data-status=succeeded]").Length()
	if changed != len(seen) || a.find(".status[data-status=failed]").Length() != 3 {
		t.Errorf("%d tickets were changed, want %d\n%s", changed, len(seen), a.words("main"))
	}
	if words := a.words("main"); strings.Contains(words, s.text("select subject from tickets where id = $1", foreign)) || !strings.Contains(words, "It is closed, which is final.") {
		t.Errorf("the outcome is told as\n%s", words)
	}
	if got := s.text("select string_agg(distinct status, ',') from tickets where id::text = any($1)", seen); got != "waiting" {
		t.Errorf("the tickets are %s", got)
	}
	if got := s.text("select status from tickets where id = $1", foreign); got == "waiting" {
		t.Error("a ticket out of sight was changed")
	}
	// A ticket can go to whom sees it alone, and each says so for itself.
	a = post(url.Values{"tickets": seen[:1], "deed": {"assign:" + s.userID(priya)}}).want(http.StatusOK)
	if !strings.Contains(a.words("main"), "Choose somebody who can see this ticket.") {
		t.Errorf("an impossible assignee is told as\n%s", a.words("main"))
	}
	// Closing is asked for, by name, and done after that.
	a = post(url.Values{"tickets": seen[:2], "deed": {"close"}}).want(http.StatusOK)
	if words := a.words("main"); !strings.Contains(words, "closed for good") || !strings.Contains(words, s.text("select subject from tickets where id = $1", seen[0])) {
		t.Errorf("closing is asked for as\n%s", words)
	}
	if got := s.text("select count(*) from tickets where id::text = any($1) and status = 'closed'", seen[:2]); got != "0" {
		t.Fatalf("%s tickets were closed unasked", got)
	}
	a.submit("/admin/support/bulk").want(http.StatusOK, "2 of 2 tickets were changed.")
	if got := s.text("select count(*) from tickets where id::text = any($1) and status = 'closed'", seen[:2]); got != "2" {
		t.Errorf("%s tickets are closed", got)
	}
	before := snapshot(t, s)
	for _, form := range []url.Values{{}, {"tickets": seen}, {"tickets": {"x"}, "deed": {"close"}}, {"tickets": seen, "deed": {"erase"}}, {"deed": {"close"}}} {
		post(form).want(http.StatusSeeOther)
	}
	if changed := before.diff(snapshot(t, s)); changed != "" {
		t.Errorf("refused, and yet changed %s", changed)
	}
}

// TestSupport_Duplicate: a ticket closes with a link to the one it doubles, and no message moves.
func TestSupport_Duplicate(t *testing.T) {
	t.Parallel()
	s := start(t, options{idle: true})
	staff := s.signIn(sam)
	id := s.text("select id from tickets where subject = 'Staging copy of the shop for the redesign'")
	path := "/admin/support/" + id + "/duplicate"
	messages := s.text("select count(*) from ticket_messages where ticket_id = $1", id)
	other := s.text("select number from tickets where id <> $1 and department_id = (select department_id from tickets where id = $1) and account_id = (select account_id from tickets where id = $1) limit 1", id)
	for number, says := range map[string]string{
		"x": "Enter a ticket’s number.", "999999": "You see no ticket 999,999.", s.text("select number from tickets where id = $1", id): "can’t be a duplicate of itself",
		s.text("select number from tickets where department_id = (select id from departments where name = 'Billing') limit 1"): "You see no ticket",
	} {
		a := staff.get(path).submit(path, "number", number).want(http.StatusUnprocessableEntity)
		if words := a.words("main"); !strings.Contains(strings.ReplaceAll(words, ",", ""), strings.ReplaceAll(says, ",", "")) {
			t.Errorf("a duplicate of %s is told\n%s", number, words)
		}
	}
	staff.get(path).submit(path, "number", "#"+other).want(http.StatusSeeOther)
	a := s.signIn(bea).get("/support/"+id).want(http.StatusOK, "This ticket is closed.", "It was closed as a duplicate of")
	if href, _ := a.find(".closed-notice a").First().Attr("href"); href != "/support/"+s.text("select id from tickets where number = $1", other) {
		t.Errorf("the link leads to %s", href)
	}
	if got := s.text("select count(*) from ticket_messages where ticket_id = $1", id); got != messages {
		t.Errorf("the ticket has %s messages, had %s", got, messages)
	}
}

// TestSupport_SavedReplies is the guide's article, click for click.
func TestSupport_SavedReplies(t *testing.T) {
	windows(t, func(t *testing.T, s *site, open func() window) {
		s.exec("update users set name = '{store} *Bea*' where email = $1", bea)
		w := open()
		signIn(w, sam, dev.DemoPassword)
		w.at("/admin")
		w.visit("/admin/support")
		w.follow("Saved replies")
		w.follow("New saved reply")
		w.fill("Name", "Ready")
		w.fill("Text", "Hello {client}, ticket {ticket} is done. {{.Store.Name}} {nothing}\n\n{agent}, {store}")
		w.press("Save")
		w.says("The reply is saved.")
		w.follow("Ready")
		w.fill("Name", "It is ready")
		w.press("Save")
		w.says("It is ready")
		id := s.text("select id from tickets where subject = 'Staging copy of the shop for the redesign'")
		w.visit("/admin/support/" + id)
		w.fill("Reply", "First of all:")
		w.choose("Saved reply", s.text("select id from saved_replies"))
		w.press("Insert")
		wait(t, "the draft", func() bool { return s.text("select count(*) from drafts") == "1" })
		want := "First of all:\n\nHello {store} \\*Bea\\*, ticket " + s.text("select number from tickets where id = $1", id) + " is done. {{.Store.Name}} {nothing}\n\nSam Okafor, Northwind Hosting"
		if got := s.text("select body from drafts"); got != want {
			t.Errorf("the draft is %q, want %q", got, want)
		}
		w.at("/admin/support/" + id)
		w.says("Draft saved")
		w.press("Post reply")
		w.says("is done. {{.Store.Name}} {nothing}")
		if got := s.text("select body from ticket_messages where ticket_id = $1 order by created_at desc limit 1", id); got != want {
			t.Errorf("posted was %q", got)
		}
	})
}

// TestSupport_Presence: two people of the store on one ticket see each other, at two processes; the client sees nothing of it.
func TestSupport_Presence(t *testing.T) {
	t.Parallel()
	database, ring := dbtest.NewURL(t), keys.Generate()
	one, two := start(t, options{database: database, keys: ring}), start(t, options{database: database, keys: ring})
	id := one.text("select id from tickets where subject = 'Staging copy of the shop for the redesign'")
	first, second := one.browse(t, screen{}), two.browse(t, screen{})
	first.be(one.signIn(sam))
	second.be(two.signIn("ada@northwind.example"))
	first.open("/admin/support/" + id)
	second.open("/admin/support/" + id)
	first.says("Ada Moreau is looking.")
	second.says("Sam Okafor is looking.")
	second.fill("Reply", "I")
	first.says("Ada Moreau is writing a reply.")
	holder := one.signIn(bea)
	if body := holder.get("/support/" + id).want(http.StatusOK).body; strings.Contains(body, "presence") || strings.Contains(body, "Ada Moreau") {
		t.Error("the client’s page tells of people of the store")
	}
	second.open("/admin")
	wait(t, "her to be gone", func() bool { return !strings.Contains(first.text(), "Ada Moreau is") })
	if got := one.text("select string_agg(u.email, ',') from ticket_presence p join users u on u.id = p.user_id"); got != sam {
		t.Errorf("present is %s", got)
	}
	// Who says nothing more is forgotten.
	first.open("/admin")
	wait(t, "him to be gone", func() bool { return one.text("select count(*) from ticket_presence") == "0" })
	one.exec("insert into ticket_presence select $1, id, 'viewing', now() from users where email = $2", id, sam)
	third := two.signIn("ada@northwind.example")
	if words := third.get("/admin/support/" + id).want(http.StatusOK).words("main"); strings.Contains(words, "is looking") {
		t.Error("somebody who is gone is still shown")
	}
}

// TestSupport_Pages: a long list comes in pages that show every ticket once, in order, and counts end at 99+.
func TestSupport_Pages(t *testing.T) {
	t.Parallel()
	s := start(t, options{idle: true})
	s.grow(300)
	admin := s.signIn(ada)
	page := admin.get("/admin/support").want(http.StatusOK)
	if menu := page.words("nav.segments"); !strings.Contains(menu, "All active99+") || strings.Contains(menu, "100") {
		t.Errorf("the menu counts %q", menu)
	}
	var shown []string
	for {
		page.find("table a.cell-link, table td a[href^='/admin/support/']").Each(func(_ int, link *goquery.Selection) {
			shown = append(shown, strings.TrimPrefix(link.AttrOr("href", ""), "/admin/support/"))
		})
		next, more := page.find("a[rel=next]").Attr("href")
		if !more || len(shown) > 1000 {
			break
		}
		page = admin.get(next).want(http.StatusOK)
	}
	if want := s.lines("select id::text from tickets where status <> 'closed' order by updated_at desc, id desc"); !slices.Equal(shown, want) {
		t.Errorf("the pages show %d tickets, and there are %d", len(shown), len(want))
	}
}
