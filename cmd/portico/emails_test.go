package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"portico/app/db/dbtest"
	"portico/app/dev"
	"portico/app/keys"
)

const resetSubject = "Choose a new password for Northwind Hosting"

// A mail shows with its attempts and how it reads, but not its link; sent again it has a link of its own, and the old one is dead.
func TestEmails(t *testing.T) {
	windows(t, func(t *testing.T, s *site, open func() window) {
		w := open()
		w.visit("/forgot-password")
		w.fill("E-mail", bea)
		w.press("Send link")
		old := s.link(s.mail(bea, resetSubject), "/reset-password/")
		wait(t, "the mail's final status", func() bool {
			return s.text("select status from mail_deliveries where kind = 'reset-password'") == "sent"
		})

		signIn(w, ada, dev.DemoPassword)
		w.at("/admin")
		w.visit("/admin/emails?status=sent")
		w.fill("Search e-mails", "nobody")
		w.press("Apply")
		w.says("No e-mail matches these filters.")
		w.follow("Remove the filter Text nobody")
		w.says(bea)
		w.choose("Kind", "reset-password")
		w.press("Apply")
		w.says("Clear") // a filter is in use again
		w.follow(resetSubject)
		w.says("Accepted: 250 2.0.0 OK: queued")
		w.says("/reset-password/•••")
		preview := s.signIn(ada).get("/admin/emails/" + s.text("select id from mail_deliveries where kind = 'reset-password'") + "/preview").want(http.StatusOK)
		secret := strings.TrimPrefix(old, "/reset-password/")
		if page := preview.body + w.read("main"); strings.Contains(page, secret) || !strings.Contains(preview.body, "/reset-password/•••") {
			t.Error("the link shows")
		}

		w.press("Send again")
		w.says("It is on its way again.")
		newer := old
		wait(t, "the second mail, with a link of its own", func() bool {
			newer = s.link(s.mail(bea, resetSubject), "/reset-password/")
			return newer != old
		})
		s.visitor().get(old).want(http.StatusNotFound)
		s.visitor().get(newer).want(http.StatusOK).submit(newer, "password", other).want(http.StatusSeeOther)
		s.visitor().signIn(bea, other).want(http.StatusSeeOther)
		if got := s.text("select string_agg(actor_name || ' ' || object_name || ' ' || (details ->> 'email'), ', ') from audit_entries where action = 'email.send-again'"); got != "Ada Moreau "+resetSubject+" "+bea {
			t.Errorf("recorded %q", got)
		}
	})
}

// What can't be sent again says why, has no button, and is refused; staff are refused altogether.
func TestEmails_Refusals(t *testing.T) {
	t.Parallel()
	s := start(t, options{idle: true})
	s.exec("update users set email_confirmed_at = null where email = 'dev@devteam.example'")
	s.signIn("dev@devteam.example").get("/").submit("/confirmation").want(http.StatusSeeOther)
	path := "/admin/emails/" + s.text("select id from mail_deliveries")
	c := s.signIn(ada)
	again := func() *answer {
		t.Helper()
		return c.post(path+"/again", nil, http.Header{"X-Csrf-Token": {c.token()}})
	}
	page := c.get(path).want(http.StatusOK, "It can be sent again when it is finished.", "None yet.")
	if page.find("form[action='"+path+"/again']").Length() != 0 {
		t.Error("a mail that waits has a button to send it again")
	}
	again().want(http.StatusConflict)
	s.exec("update mail_deliveries set status = 'cancelled', reason = 'link-dead', finished_at = now()")
	if c.get(path).want(http.StatusOK, "Cancelled, because its link had been used").find("form[action='"+path+"/again']").Length() != 1 {
		t.Error("a cancelled mail has no button to send it again")
	}
	s.exec("update users set email_confirmed_at = now() where email = 'dev@devteam.example'")
	c.get(path).want(http.StatusOK, "what it asks for is done")
	again().want(http.StatusConflict)
	if n := s.text("select count(*) from mail_deliveries"); n != "1" {
		t.Errorf("%s mails", n)
	}

	staff := s.signIn(sam)
	staff.get("/admin/emails").want(http.StatusForbidden)
	staff.post(path+"/again", nil, http.Header{"X-Csrf-Token": {staff.token()}}).want(http.StatusForbidden)
	s.visitor().do("GET", "/admin/emails/live", nil, nil).want(http.StatusUnauthorized)
}

// The frame of a preview may do nothing, and only our own page may frame it.
func TestEmails_PreviewIsInert(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	s.visitor().get("/forgot-password").submit("/forgot-password", "email", bea).want(http.StatusSeeOther)
	c := s.signIn(ada)
	path := "/admin/emails/" + s.text("select id from mail_deliveries where kind = 'reset-password'")
	preview := c.get(path + "/preview").want(http.StatusOK)
	policy := preview.header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "frame-ancestors 'self'", "sandbox", "form-action 'none'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("the preview's policy lacks %q: %s", want, policy)
		}
	}
	if strings.Contains(policy, "script") || strings.Contains(policy, "allow-") || preview.header.Get("X-Frame-Options") != "SAMEORIGIN" {
		t.Errorf("the preview's policy is %s, framed by %s", policy, preview.header.Get("X-Frame-Options"))
	}
	page := c.get(path)
	if policy := page.header.Get("Content-Security-Policy"); !strings.Contains(policy, "frame-src 'self'") || !strings.Contains(policy, "script-src 'self'") {
		t.Errorf("the page's policy is %s", policy)
	}
	if sandbox, ok := page.find("iframe").Attr("sandbox"); !ok || sandbox != "" {
		t.Errorf("the frame's sandbox is %q", sandbox)
	}
}

// TestEmails_Live: two processes on one database, a browser at each. What one of them does shows at both, without taking the focus
// or what is being typed; a mail's own page goes from waiting to sent.
func TestEmails_Live(t *testing.T) {
	t.Parallel()
	database, key := dbtest.NewURL(t), keys.Generate()
	works := start(t, options{database: database, keys: key})
	other := start(t, options{database: database, keys: key, idle: true})
	here, there := works.browse(t, screen{}), other.browse(t, screen{})
	here.be(works.signIn(ada))
	there.be(other.signIn(ada))
	here.open("/admin/emails")
	there.open("/admin/emails?kind=reset-password&q=bea")
	wait(t, "both streams", func() bool { return works.live.Streams() == 1 && other.live.Streams() == 1 })
	// Half typed: the field is not what the address says, and has not yet searched.
	eval[bool](there, `(() => { const q = document.getElementById("q"); q.focus(); q.value = "bea@blue"; return true })()`)
	there.says("No e-mail matches these filters.")

	s := other
	s.visitor().get("/forgot-password").submit("/forgot-password", "email", "stella@corvid.example")
	s.visitor().get("/forgot-password").submit("/forgot-password", "email", bea)
	there.see("link", resetSubject)
	here.says("stella@corvid.example")
	here.says(bea)
	wait(t, "both mails to be sent", func() bool {
		return s.text("select count(*) from mail_deliveries where kind = 'reset-password' and status = 'sent'") == "2"
	})
	there.says("Sent 1 250 2.0.0 OK: queued")
	if got := eval[string](there, `document.activeElement.id + " " + document.activeElement.value + " " + location.search`); got != "q bea@blue ?kind=reset-password&q=bea" {
		t.Errorf("typing was disturbed: %s", got)
	}
	if text := there.text(); strings.Contains(text, "stella@corvid.example") {
		t.Errorf("the filter is forgotten: %s", text)
	}
	// What is searched for now is what moves from now on.
	there.fill("Search e-mails", "stella")
	there.says("stella@corvid.example")
	wait(t, "the address to say so", func() bool {
		return eval[string](there, "location.search") == "?q=stella&kind=reset-password&from=&to="
	})
	s.exec("update mail_deliveries set answer = '250 renamed' where recipient like 'stella%'")
	s.visitor().get("/forgot-password").submit("/forgot-password", "email", "stella@corvid.example")
	there.says("250 renamed")
	if text := there.text(); strings.Contains(text, bea) {
		t.Errorf("the filter is forgotten: %s", text)
	}

	// One mail's page: the worker is told to wait, so that the page opens before the mail goes.
	if err := s.inserter.QueuePause(t.Context(), "mail", nil); err != nil {
		t.Fatal(err)
	}
	wait(t, "the pause", func() bool {
		return s.text("select paused_at is not null from river_queue where name = 'mail'") == "true"
	})
	s.visitor().get("/forgot-password").submit("/forgot-password", "email", "noor@atelier.example")
	id := s.text("select id from mail_deliveries where recipient = 'noor@atelier.example'")
	there.open("/admin/emails/" + id)
	there.says("None yet.")
	wait(t, "the page's stream", func() bool { return other.live.Streams() == 1 })
	if err := s.inserter.QueueResume(t.Context(), "mail", nil); err != nil {
		t.Fatal(err)
	}
	there.says("Accepted: 250 2.0.0 OK: queued")
	there.see("button", "Send again")
	for _, b := range []*tab{here, there} {
		if lines := b.complaints(); len(lines) > 0 {
			t.Errorf("on the console: %s", fmt.Sprint(lines))
		}
	}
}

// A session that ends takes its open pages with it, in every process.
func TestEmails_StreamEndsWithItsSession(t *testing.T) {
	t.Parallel()
	database, key := dbtest.NewURL(t), keys.Generate()
	one := start(t, options{database: database, keys: key, idle: true})
	two := start(t, options{database: database, keys: key, idle: true})
	b := two.browse(t, screen{})
	c := one.signIn(ada)
	b.be(c)
	b.open("/admin/emails")
	wait(t, "the stream", func() bool { return two.live.Streams() == 1 })
	c.get("/admin").submit("/sign-out").want(http.StatusSeeOther)
	wait(t, "the stream's end", func() bool { return two.live.Streams() == 0 })
}
