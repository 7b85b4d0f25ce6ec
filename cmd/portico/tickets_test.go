package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"portico/app/db/dbtest"
	"portico/app/dev"
	"portico/app/keys"
)

// popover opens a menu, in browsers that have such.
func popover(w window, name string) {
	if b, ok := w.(*tab); ok {
		// A live change may draw the button anew in the moment it is pressed; an open menu is left alone.
		wait(b.t, name+" to open", func() bool {
			b.press(name)
			return eval[bool](b, "document.querySelector(':popover-open') !== null")
		})
	}
}

// TestTickets walks through the guide's article, click for click.
func TestTickets(t *testing.T) {
	windows(t, func(t *testing.T, s *site, open func() window) {
		w := open()
		signIn(w, bea, dev.DemoPassword)
		w.at("/")
		if b, ok := w.(*tab); ok && eval[float64](b, "innerWidth") < 700 {
			b.press("Menu")
		}
		w.follow("Support")
		w.at("/support")
		w.follow("Open new ticket")
		w.at("/support/new")
		w.fill("Subject", "The oven’s page is gone")
		w.choose("Department", s.text("select id from departments where name = 'Technical support'"))
		w.fill("Message", "It says **404** since noon.")
		w.press("Create ticket")
		w.says("Your ticket is open.")
		w.says("It says 404 since noon.")
		id := s.text("select id from tickets where subject = 'The oven’s page is gone'")
		w.at("/support/" + id)

		popover(w, "Ticket menu")
		w.follow("Edit subject")
		w.fill("Subject", "The page about our oven is gone")
		w.press("Save")
		w.at("/support/" + id)
		w.says("The page about our oven is gone")

		popover(w, "Message menu")
		w.follow("Edit")
		w.fill("Message", "It says **404** since eleven.")
		w.press("Save")
		w.at("/support/" + id)
		w.says("It says 404 since eleven.")
		w.says("edited")
		if got := s.text("select string_agg(body, '|') from message_versions"); got != "It says **404** since noon." {
			t.Errorf("the earlier texts are %q", got)
		}

		w.fill("Reply", "And the one about bread too.")
		w.press("Post reply")
		w.says("And the one about bread too.")
		w.says("Client replied")

		staff := s.signIn(sam)
		staff.post("/support/"+id+"/messages", url.Values{"body": {"Both are back, sorry."}}, http.Header{"X-CSRF-Token": {staff.token()}}).want(http.StatusSeeOther)
		w.visit("/")
		w.says("Staff replied")
		w.follow("The page about our oven is gone")
		w.at("/support/" + id)
		w.says("Both are back, sorry.")

		w.press("Close ticket")
		w.says("Keep open") // the dialog, or without scripts the page
		w.press("Close ticket")
		w.says("This ticket is closed.")
		if got := s.text("select status from tickets where id = $1", id); got != "closed" {
			t.Fatalf("the ticket is %s", got)
		}
		w.visit("/")
		if main := w.read("main"); strings.Contains(main, "about our oven") {
			t.Error("the dashboard lists a closed ticket")
		}
		w.follow("View all")
		w.at("/support")
		w.follow("Closed")
		w.at("/support/closed")
		w.follow("The page about our oven is gone")
		w.at("/support/" + id)
		w.follow("Open a follow-up")
		w.fill("Message", "Gone again.")
		w.press("Create ticket")
		w.says("Gone again.")
		w.says("Goes on with")
	})
}

// TestTickets_CloseFromTheMenu is the other way to close a ticket.
func TestTickets_CloseFromTheMenu(t *testing.T) {
	windows(t, func(t *testing.T, s *site, open func() window) {
		w := open()
		signIn(w, "lee@papertrail.example", dev.DemoPassword)
		w.at("/")
		w.follow("What would two small shops cost?")
		w.says("Web hosting Standard")
		popover(w, "Ticket menu")
		w.press("Close ticket now")
		w.says("Keep open")
		w.press("Close ticket")
		w.says("This ticket is closed.")
	})
}

// TestTickets_Live: what one browser posts through one process shows in another browser at another process, which loses nothing
// of a half-written reply.
func TestTickets_Live(t *testing.T) {
	t.Parallel()
	database, ring := dbtest.NewURL(t), keys.Generate()
	one := start(t, options{database: database, keys: ring})
	two := start(t, options{database: database, keys: ring})
	id := one.text("select id from tickets where subject = 'Invoice 2026-1187 shows our old address'")
	reader, board := two.browse(t, screen{}), two.browse(t, screen{width: 360})
	reader.be(two.signIn(bea))
	board.be(two.signIn(bea))
	reader.open("/support/" + id)
	board.open("/")
	reader.fill("Reply", "Half a")
	writer := one.browse(t, screen{})
	writer.be(one.signIn(bea))
	writer.open("/support/" + id)
	writer.fill("Reply", "From the *other* room")
	writer.press("Post reply")
	writer.says("From the other room")
	reader.says("From the other room")
	reader.says("Client replied")
	wait(t, "the dashboard", func() bool {
		return strings.Contains(strings.Join(strings.Fields(board.read("#dashboard-tickets li")), " "), "Invoice 2026-1187 shows our old address Ticket 4109 · Billing Client replied")
	})
	if typed := eval[string](reader, "document.getElementById('body').value"); typed != "Half a" {
		t.Errorf("the half-written reply is %q", typed)
	}
	// Her post from the other room used up what was saved until then; writing on saves it again.
	reader.fill("Reply", "Half a reply")
	wait(t, "the draft", func() bool {
		return two.text("select body from drafts where object = $1", "ticket:"+id) == "Half a reply"
	})
	reader.open("/support/" + id)
	if typed := eval[string](reader, "document.getElementById('body').value"); typed != "Half a reply" {
		t.Errorf("after a reload the reply is %q", typed)
	}
	// The ticket closes under the writer's hands.
	writer.open("/support/" + id)
	writer.press("Close ticket")
	writer.press("Close ticket")
	reader.says("This ticket is closed.")
	reader.press("Post reply")
	reader.says("The ticket was closed before your text arrived.")
	reader.follow("Open a follow-up")
	reader.at("/support/new")
	if typed := eval[string](reader, "document.getElementById('body').value"); typed != "Half a reply" {
		t.Errorf("the follow-up begins with %q", typed)
	}
}

// TestTickets_NothingOfANote: no byte that an account holder receives holds anything of an internal note.
func TestTickets_NothingOfANote(t *testing.T) {
	t.Parallel()
	s := start(t, options{idle: true})
	s.exec("update ticket_messages set body = 'canary-note ' || body, html = 'canary-note ' || html where internal")
	c := s.signIn(bea)
	for _, path := range []string{"/", "/support", "/support/closed"} {
		if strings.Contains(c.get(path).want(http.StatusOK).body, "canary-note") {
			t.Errorf("%s shows a note", path)
		}
	}
	for _, ticket := range strings.Fields(s.text("select string_agg(distinct t.id::text, ' ') from tickets t join ticket_messages m on m.ticket_id = t.id and m.internal join users u on u.id = t.opener_id where u.email = $1", bea)) {
		for _, header := range []http.Header{nil, htmx, {"Hx-Request": {"true"}, "Hx-Target": {"tickets-timeline"}}} {
			a := c.do("GET", "/support/"+ticket, header, nil).want(http.StatusOK)
			if strings.Contains(a.body, "canary-note") || strings.Contains(a.body, "Internal note") {
				t.Errorf("/support/%s shows a note", ticket)
			}
		}
	}
}

// longTicket is the id of a ticket of Bea's with as many messages, in the words of others of the demo store.
func (s *site) longTicket(messages int) string {
	s.t.Helper()
	id := s.text(`select t.id from tickets t join ticket_messages m on m.ticket_id = t.id join users u on u.id = t.opener_id
		where u.email = $1 and t.status <> 'closed' group by t.id order by count(*) desc limit 1`, bea)
	s.exec(`insert into ticket_messages (ticket_id, author_name, voice, body, html)
		select $1, author_name, voice, body, html from ticket_messages where not internal and ticket_id <> $1
		order by created_at, id limit $2 - (select count(*) from ticket_messages where ticket_id = $1 and not internal)`, id, messages)
	return id
}

// TestTickets_FirstView: the first view of a ticket with 30 messages, by a browser that has nothing yet, costs at most 8 requests and
// 100 KB over the wire, with everything counted.
func TestTickets_FirstView(t *testing.T) {
	t.Parallel()
	s := start(t, options{idle: true})
	id := s.longTicket(30)
	b := s.browse(t, screen{})
	b.be(s.signIn(bea))
	b.open("/support/" + id)
	wait(t, "the page's script", func() bool { return eval[bool](b, "document.querySelector('[data-toolbar]')?.hidden === false") })
	if posts := eval[float64](b, "document.querySelectorAll('[data-message]').length"); posts != 30 {
		t.Fatalf("the ticket shows %v messages", posts)
	}
	all := eval[string](b, `[...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
		.map((e) => e.transferSize + " " + new URL(e.name).pathname).join("\n")`)
	bytes, requests := 0, 0
	for line := range strings.Lines(all) {
		var size int
		if _, err := fmt.Sscan(line, &size); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		requests++
		bytes += size
	}
	if !strings.Contains(all, "/live") { // the browser does not tell of a stream that is still open
		requests++
	}
	t.Logf("%d bytes in %d requests:\n%s", bytes, requests, all)
	if bytes > 100_000 || requests > 8 {
		t.Errorf("the first view of a ticket costs %d bytes in %d requests:\n%s", bytes, requests, all)
	}
}
