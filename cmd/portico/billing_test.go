package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"portico/app/dev"
)

// TestBilling_Flow: Bea lets her contract end and takes it back, changes its plan at the price shown, and pays.
func TestBilling_Flow(t *testing.T) {
	windows(t, func(t *testing.T, s *site, open func() window) {
		contract := s.text("select contract_id from contract_products where identifier = 'bluebird.example' and category = 'web-hosting'")
		owner, staff := open(), open()
		signIn(owner, bea, dev.DemoPassword)
		owner.at("/")
		owner.visit("/contracts/" + contract)
		owner.follow("Billing")
		owner.press("Turn auto-renew off")
		owner.says("The contract ends with its term.")
		owner.press("Turn auto-renew on")
		owner.says("The contract renews itself at the end of its term.")
		owner.follow("Cancel contract")
		owner.check("At the end of the term")
		owner.fill("Reason (optional)", "We are closing.")
		owner.press("Cancel contract")
		owner.says("This contract was cancelled. It ends on")
		owner.visit("/contracts/" + contract + "/billing")
		owner.press("Take cancellation back")
		owner.says("The contract goes on.")

		owner.follow("Options")
		owner.check("Daily backups")
		owner.press("Show price")
		owner.says("To pay now")
		owner.press("Save options")
		owner.says("The options are changed.")
		owner.says("Daily backups")

		owner.follow("Upgrade or downgrade")
		owner.says("Given back")
		owner.press("Upgrade to Web hosting Business, Two years")
		owner.says("The plan is changed.")
		invoice := "/invoices/" + s.text("select id from invoices where contract_id = $1 order by number desc limit 1", contract)
		owner.visit(invoice)
		owner.says("Unpaid")

		signIn(staff, priya, dev.DemoPassword)
		staff.at("/admin")
		staff.visit("/admin" + invoice)
		staff.fill("Amount", "a lot")
		staff.press("Record payment")
		staff.says("Enter an amount such as 12.50.")
		staff.fill("Amount", "10")
		staff.press("Record payment")
		staff.says("The payment is recorded.")
		staff.says("Still to pay")
		staff.fill("Amount", "10000")
		staff.press("Record payment")
		staff.says("Paid")
		owner.visit(invoice)
		owner.says("Paid")
		owner.visit("/invoices")
		owner.says("Statement")
	})
}

// TestBilling: what Bea does with the money of a contract, what a delegate of hers is refused, and what Priya records.
func TestBilling(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	owner, staff, other, stranger := s.signIn(bea), s.signIn(priya), s.signIn(sam), s.signIn("stella@corvid.example")
	delegate := s.signIn("dev@devteam.example")
	contract := s.text(`select c.id from contracts c join contract_products p on p.contract_id = c.id where p.identifier = 'bluebird.example'`)
	base := "/contracts/" + contract
	s.exec(`insert into delegates (contract_id, user_id, status, invited_by_name, accepted_at)
		select $1, id, 'accepted', 'Bea', now() from users where email = 'dev@devteam.example'`, contract)
	post := func(c *client, path string, form url.Values) *answer {
		t.Helper()
		return c.post(path, form, http.Header{"X-CSRF-Token": {c.token()}})
	}

	// The tab, auto-renew, a label.
	owner.get(base).want(http.StatusOK, "Billing")
	owner.get(base+"/billing").want(http.StatusOK, "every 24 months", "Auto-renew", "Invoice NW-", "168.00 EUR")
	owner.get(base+"/billing").submit(base+"/auto-renew").follow().want(http.StatusOK, "Off", "None, the contract ends")
	owner.get(base+"/billing").submit(base+"/auto-renew", "on", "on").follow().want(http.StatusOK, "Turn auto-renew off")
	owner.get(base+"/label").submit(base+"/label", "name", "Our website", "reference", "PO 7").follow().want(http.StatusOK, "Our website", "PO 7")
	owner.get(base+"/label").submit(base+"/label", "name", " ").want(http.StatusUnprocessableEntity, "Enter a name.")

	// Cancel with the term, and take it back.
	owner.get(base+"/cancellation").want(http.StatusOK, "can’t be undone")
	owner.get(base+"/cancellation").submit(base+"/cancellation", "when", "", "reason", "kept").want(http.StatusUnprocessableEntity, "Choose when the contract ends.", "kept")
	owner.get(base+"/cancellation").submit(base+"/cancellation", "when", "term").follow().want(http.StatusOK, "This contract was cancelled. It ends on")
	owner.get(base+"/billing").submit(base+"/cancellation/back").follow().want(http.StatusOK, "Cancel contract")

	// Upgrade at the price that was shown.
	page := owner.get(base+"/plan").want(http.StatusOK, "Upgrade to Web hosting Business, Two years", "Given back")
	plan := page.find("form[action^='"+base+"/plan'] input[name=plan]").AttrOr("value", "")
	post(owner, base+"/plan", url.Values{"plan": {plan}, "shown": {"1"}}).follow().want(http.StatusOK, "The price changed since the page was shown.")
	page.submit(page.find("form[action^='"+base+"/plan']").AttrOr("action", "")).follow().want(http.StatusOK, "The plan is changed.")
	owner.get(base).want(http.StatusOK, "changed the plan from Web hosting Standard, Two years to Web hosting Business, Two years")
	invoice := s.text("select id from invoices where contract_id = $1 order by number desc limit 1", contract)
	if got := s.text("select status from invoices where id = $1", invoice); got != "unpaid" {
		t.Fatalf("the invoice of the upgrade is %s", got)
	}

	// An invoice, on screen and as PDF; the account's statement; where invoices go.
	owner.get("/invoices/"+invoice).want(http.StatusOK, "Tax 25 %", "Two years")
	if a := owner.get("/invoices/" + invoice + "/pdf").want(http.StatusOK); !strings.HasPrefix(a.body, "%PDF") || a.header.Get("Content-Disposition") == "" {
		t.Errorf("the PDF begins with %.20q, and is %q", a.body, a.header.Get("Content-Disposition"))
	}
	owner.get("/invoices").want(http.StatusOK, "Statement", "To pay", "Bank transfer")
	account := s.text("select account_id from contracts where id = $1", contract)
	owner.get("/invoices/details/"+account).submit("/invoices/details/"+account, "country", "XX").want(http.StatusUnprocessableEntity, "two letters")
	owner.get("/invoices/details/"+account).submit("/invoices/details/"+account, "country", "de", "vat_number", "DE 136695976").follow().want(http.StatusOK, "The billing address is saved.")

	// A delegate and a stranger, over page, fragment, download, PDF and deed.
	s.settle()
	before := snapshot(t, s)
	for _, path := range []string{base + "/billing", base + "/cancellation", base + "/plan", base + "/label", base + "/options"} {
		for _, header := range []http.Header{nil, htmx} {
			delegate.do("GET", path, header, nil).want(http.StatusForbidden)
			stranger.do("GET", path, header, nil).want(http.StatusNotFound)
		}
	}
	for _, path := range []string{"/auto-renew", "/cancellation", "/cancellation/back", "/plan", "/label", "/options"} {
		form := url.Values{"on": {"on"}}
		if path == "/cancellation" {
			form = url.Values{"when": {"now"}}
		}
		post(delegate, base+path, form).want(http.StatusForbidden)
		post(stranger, base+path, form).want(http.StatusNotFound)
	}
	for _, path := range []string{"/invoices/" + invoice, "/invoices/" + invoice + "/pdf", "/invoices/details/" + account, "/invoices?account=" + account} {
		delegate.get(path).want(http.StatusNotFound)
		stranger.get(path).want(http.StatusNotFound)
	}
	owner.get("/admin/invoices/" + invoice).want(http.StatusNotFound)
	other.get("/admin/invoices/" + invoice).want(http.StatusForbidden)
	post(other, "/admin/invoices/"+invoice+"/void", nil).want(http.StatusForbidden)
	if a := delegate.get(base).want(http.StatusOK); strings.Contains(a.words("main"), "EUR") || strings.Contains(a.words("nav"), "Billing") {
		t.Errorf("a delegate is shown money: %s", a.words("main"))
	}
	if changed := before.diff(snapshot(t, s)); changed != "" {
		t.Errorf("refused, and yet changed %s", changed)
	}

	// Priya records a payment in part, then too much, credits and pays back.
	path := "/admin/invoices/" + invoice
	staff.get(path).submit(path+"/payment", "amount", "1e9").want(http.StatusUnprocessableEntity, "Enter an amount such as 12.50.")
	staff.get(path).submit(path+"/payment", "amount", "10,00").follow().want(http.StatusOK, "Paid so far", "10.00 EUR")
	form := staff.get(path)
	form.submit(path+"/payment", "amount", "1000.00").follow().want(http.StatusOK, "Paid")
	form.submit(path+"/payment", "amount", "1000.00").want(http.StatusSeeOther) // twice is once
	if got := s.text("select count(*) from payments where amount_minor = 100000"); got != "1" {
		t.Errorf("the payment is there %s times", got)
	}
	staff.get(path).submit(path+"/credit").follow().want(http.StatusOK, "Credited")
	client := "/admin/clients/" + account + "/invoices"
	staff.get(client).want(http.StatusOK, "Credit", "943.75 EUR")
	staff.get(client).submit("/admin/clients/"+account+"/payments", "amount", "5").follow().want(http.StatusOK, "948.75 EUR")
	refund := staff.get(client).find("input[name=key]").AttrOr("value", "")
	day := staff.get(client).find("input[name=on]").AttrOr("value", "")
	back := url.Values{"key": {refund}, "method": {"cash"}, "on": {day}, "amount": {"948.75"}}
	post(staff, "/admin/clients/"+account+"/refunds", back).follow().want(http.StatusOK, "The refund is recorded.", "0.00 EUR")
	staff.get(client + "/new").want(http.StatusOK)
	draft := post(staff, client, url.Values{"text": {"Extra work", "", ""}, "amount": {"12.50", "", ""}}).follow().want(http.StatusOK, "Draft invoice", "12.50 EUR")
	draft.submit(draft.path+"/issue").follow().want(http.StatusOK, "Unpaid")
	owner.get("/invoices").want(http.StatusOK, "12.50 EUR")
	if a := staff.get("/admin/invoices/export?status=credited").want(http.StatusOK); strings.Count(a.body, "\n") != 2 || !strings.Contains(a.body, "Bluebird Bakery") {
		t.Errorf("the export of what is credited is\n%s", a.body)
	}
	staff.get("/admin/invoices?q=bluebird&status=overdue").want(http.StatusOK, "No invoices found")
	staff.get("/admin/invoices?status=overdue").want(http.StatusOK, "Corvid Press")
}
