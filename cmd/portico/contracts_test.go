package main

import (
	"net/http"
	"strings"
	"testing"

	"portico/app/dev"

	"github.com/google/uuid"
)

const (
	lee    = "lee@papertrail.example"
	stella = "stella@corvid.example"
)

// TestContracts is what the guides say of contracts: Bea reads hers, lets a colleague into the account and out again; Priya suspends and
// cancels.
func TestContracts(t *testing.T) {
	windows(t, func(t *testing.T, s *site, open func() window) {
		w := open()
		signIn(w, bea, dev.DemoPassword)
		w.at("/")
		w.visit("/products")
		w.says("Web hosting Standard, renews")
		w.follow("One-off purchases")
		w.follow("Site migration")
		w.says("Product details")
		w.visit("/products")
		w.follow("oven-1.bluebird.example")
		w.follow("Control panel licence")
		w.says("cp-88120")
		w.visit("/products")
		w.follow("bluebird.example")
		w.says("Two-year contract")
		w.says("203.0.113.24")
		w.says("168.00 EUR every 24 months")
		contract := s.text("select c.id from contracts c join contract_products p on p.contract_id = c.id where p.identifier = 'bluebird.example'")

		w.follow("People")
		w.follow("Invite user")
		w.fill("E-mail", "nobody@example.com")
		w.press("Send invitation")
		w.says("No store account uses this address.")
		w.fill("E-mail", lee)
		w.check("Cancel contracts")
		w.press("Send invitation")
		w.says("Invited")
		link := s.link(s.mail(lee, "invites you to Bluebird Bakery"), "/people/invitations/")
		w.visit(link)
		w.says("This link no longer works")
		other := open()
		signIn(other, lee, dev.DemoPassword)
		other.at("/")
		other.visit(link)
		other.press("Accept")
		other.says("You are a user of Bluebird Bakery now.")
		other.follow("bluebird.example")
		other.says("Username")
		if price := other.read("main"); strings.Contains(price, "168.00") {
			t.Errorf("a user without billing reads the price\n%s", price)
		}
		w.visit("/people")
		w.press("Remove Lee Park")
		w.says("Lee Park is removed and has no access any more.")
		other.visit("/contracts/" + contract)
		other.says("There is nothing at this address")
		other.visit("/products")
		other.says("No subscriptions")

		staff := open()
		signIn(staff, priya, dev.DemoPassword)
		staff.at("/admin")
		staff.visit("/admin/clients")
		staff.fill("Search clients", "bluebird-bak")
		staff.press("Find")
		asked(staff, "q=bluebird-bak")
		staff.follow("Bluebird Bakery")
		staff.follow("bluebird.example")
		staff.press("Suspend")
		staff.says("It is suspended.")
		staff.says("suspended it.")
		w.visit("/contracts/" + contract)
		w.says("It is halted and can run again.")
		staff.press("Unsuspend")
		staff.says("It is active again.")
		staff.follow("Cancel now")
		staff.fill("Reason (optional)", "They moved away")
		staff.press("Cancel now")
		staff.says("It is cancelled.")
		w.visit("/contracts/" + contract)
		w.says("Reason: They moved away")
		s.mail(bea, "Web hosting Standard is now: Cancelled")
	})
}

// TestContracts_Strangers: a contract, a purchase or an account of another's gets the bytes of one that never was.
func TestContracts_Strangers(t *testing.T) {
	t.Parallel()
	s := start(t, options{idle: true})
	c := s.signIn(stella)
	foreign := map[string]string{
		"/contracts/":       s.text("select id from contracts order by number limit 1"),
		"/purchases/":       s.text("select p.id from contract_products p join accounts a on a.id = p.account_id where contract_id is null and a.name = 'Bluebird Bakery'"),
		"/people/":          s.text("select id from accounts where name = 'Bluebird Bakery'"),
		"/admin/contracts/": s.text("select id from contracts order by number limit 1"),
		"/admin/clients/":   s.text("select id from accounts where name = 'Corvid Press'"),
	}
	before := snapshot(t, s)
	for prefix, id := range foreign {
		for _, rest := range []string{"", "/live", "/add", "/suspend", "/cancel", "/invite"} {
			got, absent := c.get(prefix+id+rest), c.get(prefix+uuid.NewString()+rest)
			if got.status != http.StatusNotFound || bare(got) != bare(absent) {
				t.Errorf("%s%s answers %d, and differs from one that never was: %s", prefix, rest, got.status, firstDifference(bare(got), bare(absent)))
			}
			got = c.post(prefix+id+rest, nil, http.Header{"X-CSRF-Token": {c.token()}})
			if got.status != http.StatusNotFound {
				t.Errorf("POST %s%s answers %d", prefix, rest, got.status)
			}
		}
	}
	own := s.text("select c.id from contracts c join accounts a on a.id = c.account_id where a.name = 'Corvid Press' order by number limit 1")
	c.get("/contracts/" + own).want(http.StatusOK)
	c.get("/contracts/" + own + "?product=" + foreign["/purchases/"]).want(http.StatusNotFound)
	if changed := before.diff(snapshot(t, s)); changed != "" {
		t.Errorf("refused, and yet changed %s", changed)
	}
}
