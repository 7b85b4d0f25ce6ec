package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"portico/app/dev"

	"github.com/PuerkitoBio/goquery"
)

// hosting is Bea's web hosting.
const hosting = "select p.id from contract_products p join accounts a on a.id = p.account_id where a.name = 'Bluebird Bakery' and p.identifier = 'bluebird.example' and p.category = 'web-hosting'"

// configure makes a bought product use a configuration of the demo store.
func configure(s *site, product, name string) {
	s.t.Helper()
	s.exec("update contract_products set configuration_id = (select id from provision_configurations where name = $2) where id = $1", product, name)
}

// ended waits until the newest run of an action is over, and returns its id and status.
func ended(s *site, product, action string) (id, status string) {
	s.t.Helper()
	wait(s.t, action+" ends", func() bool {
		row := s.text("select id::text || ' ' || status from provision_runs where product_id = $1 and action = $2 order by id desc limit 1", product, action)
		id, status, _ = strings.Cut(row, " ")
		return status == "succeeded" || status == "failed" || status == "cancelled"
	})
	return id, status
}

// send posts a form by its fields alone.
func (c *client) hand(path string, form url.Values) *answer {
	c.t.Helper()
	return c.post(path, form, http.Header{"X-Csrf-Token": {c.token()}})
}

// TestRuns_GetHelp: what fails gets a ticket with the run attached; the store sees in it what happened, tries again from there, and the
// thread tells of the success.
func TestRuns_GetHelp(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	product := s.text(hosting)
	contract := s.text("select contract_id from contract_products where id = $1", product)
	manage := "/contracts/" + contract + "/manage?product=" + product
	owner, delegate, admin := s.signIn(bea), s.signIn(devTeam), s.signIn(ada)
	s.exec("insert into delegates (contract_id, user_id, status, invited_by_name, accepted_at) values ($1, $2, 'accepted', '', now()) on conflict do nothing", contract, s.userID(devTeam))

	configure(s, product, "Sandbox web hosting, refuses everything")
	admin.get("/admin/provisioning/words").submit("/admin/provisioning/words", "refused", "Our provider says no today.").want(http.StatusSeeOther)
	login := "/manage/" + product + "/login"
	owner.get(manage).want(http.StatusOK).submit(login).want(http.StatusSeeOther)
	run, status := ended(s, product, "login")
	if status != "failed" {
		t.Fatalf("the login is %s", status)
	}
	s.signIn(stella).get("/support/new?run=" + run).want(http.StatusNotFound)
	page := owner.get(manage).want(http.StatusOK, "Get help", "Our provider says no today.")
	form := owner.get(page.find(`a:contains("Get help")`).AttrOr("href", "")).want(http.StatusOK, "The store sees what failed")
	if subject := form.find("#subject").AttrOr("value", ""); subject != "Log in to control panel failed: bluebird.example" {
		t.Errorf("the subject is %q", subject)
	}
	if body := form.find("#body").Text(); !strings.Contains(body, "> Our provider says no today.") {
		t.Errorf("the message is %q", body)
	}
	thread := form.submit("/support").follow().want(http.StatusOK, "About this action", "Failed", "Log in to control panel")
	ticket := strings.TrimPrefix(thread.path, "/support/")
	if got := s.text("select product_id from tickets where id = $1", ticket); got != product {
		t.Errorf("the ticket is about product %s", got)
	}
	if strings.Contains(thread.body, "Debug data") || strings.Contains(thread.body, "Retry") {
		t.Error("a client sees what is the store's in the ticket")
	}
	delegate.get("/support/"+ticket).want(http.StatusOK, "About this action")
	if got := owner.get("/support/new?run=" + run); got.header.Get("Location") != "/support/"+ticket {
		t.Errorf("a second ticket about the same run: %d to %q", got.status, got.header.Get("Location"))
	}
	again := url.Values{"subject": {"Again"}, "body": {"Again"}, "run": {run}}
	owner.hand("/support", again).want(http.StatusConflict)
	s.signIn(stella).hand("/support", again).want(http.StatusNotFound)

	// The store's people see what they have the permission for.
	desk := "/admin/support/" + ticket
	sees := func(who string, attempts, debug, retry bool) {
		t.Helper()
		page := s.signIn(who).get(desk).want(http.StatusOK, "About this action", "Our provider says no today.")
		for selector, want := range map[string]bool{".attempts": attempts, "details.debug": debug, fmt.Sprintf(`form[action="/admin/runs/%s/retry?from=ticket"]`, run): retry} {
			if got := page.find("#provisioning-attached "+selector).Length() > 0; got != want {
				t.Errorf("%s sees %s: %v", who, selector, got)
			}
		}
	}
	sees(ada, true, true, true)
	sees(sam, true, true, false)
	sees(priya, false, false, false)

	// A retry that fails says nothing; the one that goes well is told once.
	retry := func() {
		t.Helper()
		newest := s.text("select id from provision_runs where ticket_id = $1 order by id desc limit 1", ticket)
		a := admin.get(desk).submit("/admin/runs/" + newest + "/retry?from=ticket").want(http.StatusSeeOther)
		if to := a.header.Get("Location"); to != desk+"#runs-h" {
			t.Errorf("the retry leads to %s", to)
		}
	}
	retry()
	wait(t, "the second failure", func() bool {
		return s.text("select count(*) from provision_runs where ticket_id = $1 and status = 'failed'", ticket) == "2"
	})
	const told = "ran Log in to control panel, and it succeeded."
	if strings.Contains(owner.get("/support/"+ticket).body, told) {
		t.Error("a failure is told as a success")
	}
	configure(s, product, "Sandbox web hosting")
	retry()
	if _, status = ended(s, product, "login"); status != "succeeded" {
		t.Fatalf("the retry is %s", status)
	}
	owner.get("/support/"+ticket).want(http.StatusOK, told)
	owner.get(manage).submit(login).want(http.StatusSeeOther)
	ended(s, product, "login")
	if n := s.text("select count(*) from ticket_events where ticket_id = $1 and kind = 'ran'", ticket); n != "1" {
		t.Errorf("the success is told %s times", n)
	}

	// A password is gone with its run: it can't be tried again by others, and who has it runs it anew.
	configure(s, product, "Sandbox web hosting, refuses everything")
	change := "/manage/" + product + "/changePassword"
	delegate.get(change).submit(change, "password", "canary-Passw0rd-1").want(http.StatusSeeOther)
	run, _ = ended(s, product, "changePassword")
	opened := delegate.get("/support/new?run="+run).submit("/support", "subject", "No new password").follow().want(http.StatusOK, "About this action")
	second := strings.TrimPrefix(opened.path, "/support/")
	staff := admin.get("/admin/support/"+second).want(http.StatusOK, "Its secret values were deleted")
	if strings.Contains(staff.body, "canary-Passw0rd-1") || staff.find(`form[action*="/retry"]`).Length() > 0 {
		t.Error("the password is shown, or can be tried again")
	}
	configure(s, product, "Sandbox web hosting")
	delegate.get(change).submit(change, "password", "canary-Passw0rd-2").want(http.StatusSeeOther)
	if _, status = ended(s, product, "changePassword"); status != "succeeded" {
		t.Fatalf("the second password is %s", status)
	}
	owner.get("/support/"+second).want(http.StatusOK, "Dev Team 1", "ran Change password, and it succeeded.")

	// Closed is final: nothing is added to it.
	owner.get("/support/" + second + "/closure").submit("/support/" + second + "/closure").want(http.StatusSeeOther)
	s.exec("delete from ticket_events where ticket_id = $1 and kind = 'ran'", second)
	delegate.get(change).submit(change, "password", "canary-Passw0rd-3").want(http.StatusSeeOther)
	ended(s, product, "changePassword")
	if n := s.text("select count(*) from ticket_events where ticket_id = $1 and kind = 'ran'", second); n != "0" {
		t.Error("a closed ticket was added to")
	}
}

// TestRuns_AskForActions: a delegate whose actions the owner switched off asks for them back, and the owner declines and then allows.
func TestRuns_AskForActions(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	product := s.text(hosting)
	contract := s.text("select contract_id from contract_products where id = $1", product)
	s.exec("delete from delegates where contract_id = $1", contract)
	s.exec("insert into delegates (contract_id, user_id, status, invited_by_name, accepted_at, may_act) values ($1, $2, 'accepted', '', now(), false)", contract, s.userID(devTeam))
	page, ask := "/contracts/"+contract, "/contracts/"+contract+"/ask"
	owner, delegate := s.signIn(bea), s.signIn(devTeam)
	row := s.text("select id from delegates where contract_id = $1", contract)
	answer := page + "/delegates/" + row + "/answer"

	for _, at := range []string{page, page + "/manage"} {
		shown := delegate.get(at).want(http.StatusOK, "Bea Lindqvist switched actions off for you.", "Ask to have them back")
		if shown.find(`form[action^="/manage/"]`).Length() > 0 {
			t.Errorf("%s offers actions", at)
		}
	}
	delegate.hand("/manage/"+product+"/login", url.Values{}).want(http.StatusForbidden)
	owner.hand(ask, url.Values{}).want(http.StatusForbidden)
	s.signIn(stella).hand(ask, url.Values{}).want(http.StatusNotFound)
	owner.hand(answer, url.Values{"allow": {"on"}}).want(http.StatusConflict) // nobody asked

	for range 2 { // twice is once
		delegate.get(page + "/manage")
		delegate.hand(ask, url.Values{}).want(http.StatusSeeOther)
	}
	delegate.get(page+"/manage").want(http.StatusOK, "You asked for them.")
	if n := s.text("select count(*) from mail_deliveries where kind = 'actions-asked'"); n != "1" {
		t.Errorf("%s mails to the owner", n)
	}
	delegate.hand(answer, url.Values{"allow": {"on"}}).want(http.StatusForbidden)
	panel := owner.get(s.link(s.mail(bea, "Dev Team 1 asks to run actions"), page)).want(http.StatusOK, "Dev Team 1 asks to run actions again.", "Allow", "Decline")
	panel.submit(answer).follow().want(http.StatusOK, "They still may not run actions")
	s.mail(devTeam, "Declined: actions of")
	delegate.get(page+"/manage").want(http.StatusOK, "Ask to have them back").submit(ask).follow().want(http.StatusOK, "The owner was told.")
	owner.get(page+"/delegates").submit(answer, "allow", "on").want(http.StatusSeeOther)
	s.mail(devTeam, "Allowed: actions of")
	delegate.get(page + "/manage").submit("/manage/" + product + "/login").want(http.StatusSeeOther)
	owner.get(page).want(http.StatusOK, "Dev Team 1 asked to run actions again.", "You declined to let Dev Team 1 run actions.", "You let Dev Team 1 run actions again.")
	delegate.hand(ask, url.Values{}).want(http.StatusConflict)
	if got := s.text("select string_agg(actor_name || ' ' || action, ', ' order by at, id) from audit_entries where object_id = $1 and action in ('delegate.ask', 'delegate.allowed', 'delegate.declined')", contract); got !=
		"Dev Team 1 delegate.ask, Bea Lindqvist delegate.declined, Dev Team 1 delegate.ask, Bea Lindqvist delegate.allowed" {
		t.Errorf("the history says %s", got)
	}
}

// TestRuns_Approval: an owner who wants to be asked approves, declines or lets lie what a delegate wants to change. What is only read or
// signed in to goes at once.
func TestRuns_Approval(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	product := s.text(hosting)
	domain := s.text("select p.id from contract_products p join accounts a on a.id = p.account_id where a.name = 'Bluebird Bakery' and p.category = 'domain-names' and p.status = 'active' and p.contract_id is not null limit 1")
	contract := s.text("select contract_id from contract_products where id = $1", product)
	grant := func(contract string) string {
		s.exec("delete from delegates where contract_id = $1", contract)
		s.exec("insert into delegates (contract_id, user_id, status, invited_by_name, accepted_at) values ($1, $2, 'accepted', '', now())", contract, s.userID(devTeam))
		return s.text("select id from delegates where contract_id = $1", contract)
	}
	owner, delegate := s.signIn(bea), s.signIn(devTeam)
	grants := map[string]string{contract: ""}
	grants[s.text("select contract_id from contract_products where id = $1", domain)] = ""
	for c := range grants {
		grants[c] = grant(c)
		terms := "/contracts/" + c + "/delegates/" + grants[c]
		owner.get(terms).submit(terms, "ask_first", "on").follow().want(http.StatusOK, "Each change waits for approval.")
	}

	change := "/manage/" + product + "/changePassword"
	ask := func(password string) (run string) {
		t.Helper()
		delegate.get(change).submit(change, "password", password).want(http.StatusSeeOther)
		return s.text("select id from provision_runs where product_id = $1 and action = 'changePassword' order by id desc limit 1", product)
	}
	secrets := func(run string) string {
		return s.text("select count(*) from provision_secrets where run_id = $1", run)
	}
	status := func(run string) string {
		return s.text("select status || ' ' || error_family from provision_runs where id = $1", run)
	}
	until := func(run, want string) {
		t.Helper()
		wait(t, "run "+run+" is "+want, func() bool { return status(run) == want })
		if n := secrets(run); n != "0" {
			t.Errorf("%s secrets of a run that is %s", n, want)
		}
	}

	// The demo store has one.
	demo := s.text("select id from provision_runs where status = 'approval'")
	s.signIn(stella).get("/runs/"+demo).want(http.StatusOK, "Noor Haddad asks to run this").submit("/runs/"+demo+"/decision", "approve", "on").follow().want(http.StatusOK, "It is approved")
	until(demo, "succeeded ")

	// It waits, and holds nothing else up.
	first := ask("canary-Approve-1")
	delegate.get("/runs/"+first).want(http.StatusOK, "Waiting for approval", "Dev Team 1")
	if got := status(first) + secrets(first) + s.text("select count(*) from river_job where args ->> 'run_id' = $1", first); got != "approval 10" {
		t.Errorf("the run that waits: %s", got)
	}
	login := "/manage/" + product + "/login"
	delegate.get("/contracts/"+contract+"/manage?product="+product).want(http.StatusOK, "Waiting for approval").submit(login).want(http.StatusSeeOther)
	if _, got := ended(s, product, "login"); got != "succeeded" {
		t.Errorf("the login beside it is %s", got)
	}
	decision := "/runs/" + first + "/decision"
	delegate.hand(decision, url.Values{"approve": {"on"}}).want(http.StatusForbidden)
	s.signIn(ada).hand(decision, url.Values{"approve": {"on"}}).want(http.StatusForbidden)
	s.signIn(stella).hand(decision, url.Values{"approve": {"on"}}).want(http.StatusNotFound)
	page := owner.get(s.link(s.mail(bea, "Dev Team 1 asks for approval: Change password"), "/runs/")).want(http.StatusOK, "Dev Team 1 asks to run this", "A new value, never shown", "Approve", "Decline")
	if strings.Contains(page.body, "canary") {
		t.Error("the page shows the password")
	}
	page.submit(decision, "approve", "on").follow().want(http.StatusOK, "It is approved", "Decided by Bea Lindqvist")
	until(first, "succeeded ")
	s.mail(devTeam, "Approved: Change password")
	s.signIn(ada).get("/admin/provisioning/logs/"+first).want(http.StatusOK, "Dev Team 1", "Decided byBea Lindqvist")

	// Declined, taken back with the access, and left lying.
	second := ask("canary-Approve-2")
	owner.get("/runs/"+second).submit("/runs/"+second+"/decision").follow().want(http.StatusOK, "Bea Lindqvist declined this.")
	until(second, "cancelled declined")
	owner.hand("/runs/"+second+"/decision", url.Values{"approve": {"on"}}).want(http.StatusConflict)
	third := ask("canary-Approve-3")
	s.exec("update provision_runs set created_at = created_at - interval '8 days' where id = $1", third)
	fourth := ask("canary-Approve-4")
	if _, err := s.runs.Rescue(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(third, "cancelled expired")
	if got := status(fourth); got != "approval " {
		t.Errorf("one that is not late is %s", got)
	}

	// What would change is told beside what is there. Rights are asked again after the approval.
	servers := "/manage/" + domain + "/updateNameservers"
	delegate.get(servers).submit(servers, "ns1", "ns1.devteam.example", "ns2", "ns2.devteam.example").want(http.StatusSeeOther)
	fifth := s.text("select id from provision_runs where product_id = $1 order by id desc limit 1", domain)
	was := s.text("select fields ->> 'ns1' from contract_products where id = $1", domain)
	owner.get("/runs/"+fifth).want(http.StatusOK, was+" ns1.devteam.example")
	for c, id := range grants {
		owner.hand("/contracts/"+c+"/delegates/"+id+"/revoke", url.Values{}).want(http.StatusSeeOther)
	}
	if a := owner.hand("/runs/"+fifth+"/decision", url.Values{"approve": {"on"}}); a.status != http.StatusSeeOther && a.status != http.StatusConflict {
		t.Errorf("approve what a revoked delegate asked: %d", a.status)
	}
	until(fifth, "cancelled revoked")
	if _, err := s.runs.Rescue(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(fourth, "cancelled revoked")
	if got := s.text("select fields ->> 'ns1' from contract_products where id = $1", domain); got != was {
		t.Errorf("a revoked delegate changed ns1 to %s", got)
	}
	if got := s.text("select string_agg(action || ' ' || actor_name || ' for ' || (details ->> 'for'), ', ' order by at, id) from audit_entries where object_id = $1 and action in ('provision.approve', 'provision.decline')", product); got !=
		"provision.approve Bea Lindqvist for Dev Team 1, provision.decline Bea Lindqvist for Dev Team 1" {
		t.Errorf("the history says %s", got)
	}
}

// TestRuns_WrongForms: what is wrong with an action's form is said where the form stands: in the admin area on the page Manage. Product
// details hold what the product is told by, and nothing else.
func TestRuns_WrongForms(t *testing.T) {
	t.Parallel()
	s := start(t, options{idle: true})
	product := s.text(hosting)
	contract := s.text("select contract_id from contract_products where id = $1", product)
	leads := func(page *answer, path string) {
		t.Helper()
		link := page.find(".error-summary a").AttrOr("href", "")
		field := page.find(fmt.Sprintf(`form[action=%q] [id=%q]`, path, strings.TrimPrefix(link, "#")))
		if field.Length() != 1 || field.AttrOr("aria-invalid", "") != "true" {
			t.Errorf("%s: %q leads to %d wrong fields", path, link, field.Length())
		}
	}
	change := "/manage/" + product + "/changePassword"
	page := s.signIn(bea).get(change).submit(change, "password", "short").want(http.StatusUnprocessableEntity)
	leads(page, change)

	admin := s.signIn(ada)
	at := "/admin/contracts/" + contract + "/manage?product=" + product + "&form="
	page = admin.get(at+"changePassword").want(http.StatusOK).submit("/admin"+change, "username", "kept-as-typed", "password", "canary5").want(http.StatusUnprocessableEntity, "Provision configuration", "Provision fields", "Logs")
	leads(page, "/admin"+change)
	if got := page.find("#changePassword-username").AttrOr("value", ""); got != "kept-as-typed" || strings.Contains(page.body, "canary5") {
		t.Errorf("the form came back with %q", got)
	}
	terminate := "/admin/manage/" + product + "/terminate"
	page = admin.get(at+"terminate").want(http.StatusOK).submit(terminate, "confirm", "another.example").want(http.StatusUnprocessableEntity, "Type bluebird.example to go on.")
	leads(page, terminate)
	if n := s.text("select count(*) from provision_runs where product_id = $1 and status = 'queued'", product); n != "0" {
		t.Errorf("%s runs of wrong forms", n)
	}

	var shown []string
	s.signIn(bea).get("/contracts/" + contract + "?product=" + product).want(http.StatusOK).find("#details").Closest("section").Find("dt").Each(func(_ int, name *goquery.Selection) {
		shown = append(shown, name.Text())
	})
	if got := strings.Join(shown, ", "); got != "Domain name, Username, IP address, Registration date, Renewal date, Status, Plan, Price, without tax" {
		t.Errorf("product details are %s", got)
	}
}

// shows waits until a live page says something; without scripts by loading it again.
func shows(w window, text string) {
	switch w := w.(type) {
	case *paper:
		wait(w.t, text, func() bool {
			w.visit(w.page.path)
			return strings.Contains(w.page.words("body"), text)
		})
	case *tab:
		if w.noScripts {
			wait(w.t, text, func() bool {
				w.open(w.path())
				return strings.Contains(w.text(), text)
			})
		}
		w.says(text)
	}
}

// opens presses **Open control panel** and follows it out of the portal.
func opens(s *site, w window) {
	switch w := w.(type) {
	case *paper:
		form := w.page.find(`form[action$="/result"]`).First()
		a := w.c.post(form.AttrOr("action", ""), formValues(form), nil)
		if to := a.header.Get("Location"); a.status != http.StatusSeeOther || !strings.HasPrefix(to, s.sandboxURL+"/") {
			w.t.Fatalf("the login leads to %q (%d)", to, a.status)
		}
	case *tab:
		left := func() bool { return strings.HasPrefix(w.href(), s.sandboxURL+"/") }
		for giveUp := time.Now().Add(patience); !left(); {
			if time.Now().After(giveUp) {
				w.t.Fatalf("at %s, not in the control panel:\n%s", w.href(), w.text())
			}
			if len(w.all("button", "Open control panel")) == 1 {
				w.press("Open control panel")
			}
			// Where the page moved just then, the click went beside it, as a person's would, who clicks again.
			for again := time.Now().Add(3 * time.Second); !left() && time.Now().Before(again); {
				w.frame()
			}
		}
	}
}

// TestRuns_Windows is what the guides say of managing a product: Bea logs in to the control panel and changes the password, so does a
// delegate, and Ada sees what went wrong with an action of hers.
func TestRuns_Windows(t *testing.T) {
	windows(t, func(t *testing.T, s *site, open func() window) {
		product := s.text(hosting)
		contract := s.text("select contract_id from contract_products where id = $1", product)
		s.exec("delete from provision_runs where product_id = $1", product)
		s.exec("delete from delegates where contract_id = $1", contract)
		s.exec("insert into delegates (contract_id, user_id, status, invited_by_name, accepted_at) values ($1, $2, 'accepted', '', now())", contract, s.userID(devTeam))
		s.exec(`update provision_configurations set settings = settings || '{"slow": 4}' where name = 'Sandbox web hosting, slow'`)
		slow := s.text("select id from provision_configurations where name = 'Sandbox web hosting, slow'")
		configure(s, product, "Sandbox web hosting, slow")
		admin := s.signIn(ada)
		store := func(deed string) {
			admin.hand("/admin/provisioning/configurations/"+slow+"/"+deed, url.Values{}).want(http.StatusSeeOther)
		}

		w := open()
		signIn(w, bea, dev.DemoPassword)
		w.at("/")
		w.visit("/products")
		w.follow("bluebird.example")
		w.says("Domain name")
		w.says("IP address")
		store("pause") // so that it is seen to wait
		w.press("Log in to control panel")
		shows(w, "Queued")
		store("resume")
		shows(w, "Running")
		shows(w, "Your login is ready.")
		opens(s, w)
		configure(s, product, "Sandbox web hosting")
		w.visit("/contracts/" + contract + "/manage?product=" + product)
		w.press("Change password")
		w.fill("New password", "a new password of Bea's")
		w.press("Change password")
		w.at("/contracts/" + contract + "/manage")
		if _, status := ended(s, product, "changePassword"); status != "succeeded" {
			t.Errorf("the new password is %s", status)
		}

		other := open()
		signIn(other, devTeam, dev.DemoPassword)
		other.at("/")
		other.visit("/contracts/" + contract)
		other.press("Log in to control panel")
		shows(other, "Your login is ready.")
		opens(s, other)
		other.visit("/contracts/" + contract + "/manage?product=" + product)
		other.press("Change password")
		other.fill("New password", "a new password of a delegate's")
		other.press("Change password")
		other.at("/contracts/" + contract + "/manage")
		shows(w, "Dev Team 1")
		if _, status := ended(s, product, "changePassword"); status != "succeeded" {
			t.Errorf("the delegate's new password is %s", status)
		}

		staff := open()
		signIn(staff, ada, dev.DemoPassword)
		staff.at("/admin")
		staff.visit("/admin/clients")
		staff.follow("Bluebird Bakery")
		staff.follow("Products & Services")
		staff.follow("bluebird.example")
		staff.follow("Manage")
		for _, heading := range []string{"Actions", "Provision configuration", "Provision fields", "Logs"} {
			staff.says(heading)
		}
		staff.press("Log in to control panel")
		staff.press("Run Log in to control panel")
		shows(staff, "Your login is ready.")
		opens(s, staff)
		configure(s, product, "Sandbox web hosting, refuses everything")
		staff.visit("/admin/contracts/" + contract + "/manage?product=" + product)
		staff.press("Get usage")
		staff.press("Run Get usage")
		if _, status := ended(s, product, "usage"); status != "failed" {
			t.Errorf("the usage is %s", status)
		}
		staff.visit("/admin/contracts/" + contract + "/manage?product=" + product)
		staff.follow("Get usage")
		staff.says("Attempts")
		staff.says("Debug data")
		if b, ok := staff.(*tab); ok {
			eval[bool](b, `document.querySelector("details.debug").open = true`)
		}
		if exchange := staff.read("details.debug pre"); !strings.Contains(exchange, "POST") || strings.Contains(exchange, "northwind-") {
			t.Errorf("the debug data is %s", exchange)
		}
	})
}
