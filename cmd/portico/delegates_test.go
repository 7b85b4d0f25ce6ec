package main

import (
	"net/http"
	"strings"
	"testing"

	"portico/app/dev"
)

const devTeam = "dev@devteam.example"

// TestDelegates_Ticket walks through the guide's "Adding delegates to a ticket" and what follows, with owner, delegate and admin each
// in a browser of their own.
func TestDelegates_Ticket(t *testing.T) {
	windows(t, func(t *testing.T, s *site, open func() window) {
		id := s.text("select id from tickets where subject = 'Invoice 2026-1187 shows our old address'")
		owner, delegate, admin := open(), open(), open()
		signIn(owner, bea, dev.DemoPassword)
		owner.at("/")
		owner.follow("Invoice 2026-1187 shows our old address")
		popover(owner, "Ticket menu")
		owner.follow("Delegate access")
		owner.says("Ticket delegate access")
		owner.follow("Invite delegate")
		owner.fill("E-mail", "nobody@example.com")
		owner.press("Send invite")
		owner.says("No store account uses this address.")
		owner.fill("E-mail", sam)
		owner.press("Send invite")
		owner.says("This person already has access.")
		owner.fill("E-mail", devTeam)
		owner.press("Send invite")
		owner.says("Invited")
		owner.says(devTeam)

		link := s.link(s.mail(devTeam, "invites you to a ticket"), "/invitations/")
		stranger := s.signIn("stella@corvid.example")
		wrong := stranger.get(link).want(http.StatusNotFound)
		if unknown := stranger.get("/invitations/" + strings.Repeat("A", 43)).want(http.StatusNotFound); bare(wrong) != bare(unknown) {
			t.Errorf("somebody else's link tells more than an unknown one: %s", firstDifference(bare(wrong), bare(unknown)))
		}
		stranger.post(link, nil, http.Header{"X-CSRF-Token": {stranger.token()}}).want(http.StatusNotFound)

		delegate.visit(link) // signed out: signs in first, and comes back
		delegate.fill("E-mail", devTeam)
		delegate.fill("Password", dev.DemoPassword)
		delegate.press("Sign in")
		delegate.says("Bea Lindqvist invites you")
		delegate.says("Invoice 2026-1187 shows our old address")
		delegate.press("Accept")
		delegate.at("/support/" + id)
		delegate.says("joined as a delegate.")
		delegate.visit(link) // twice
		delegate.at("/support/" + id)
		delegate.visit("/")
		if text := delegate.read("#dashboard-tickets"); !strings.Contains(text, "Invoice 2026-1187") {
			t.Errorf("the delegate's dashboard lists %q", text)
		}
		owner.visit("/support/" + id + "/delegates")
		owner.says("Accepted")

		admin.visit("/")
		signIn(admin, "ada@northwind.example", dev.DemoPassword)
		admin.at("/admin")
		admin.visit("/admin/support/" + id)
		popover(admin, "Ticket menu")
		admin.follow("Delegate access")
		admin.says("Dev Team 1")

		delegate.follow("Invoice 2026-1187 shows our old address")
		delegate.fill("Reply", "The VAT number changed as well.")
		delegate.press("Post reply")
		delegate.says("The VAT number changed as well.")
		delegate.says("Client replied")
		admin.visit("/admin/support/" + id)
		admin.says("The VAT number changed as well.")
		admin.says("Client replied")
		owner.visit("/")
		owner.says("Client replied")

		owner.visit("/support/" + id + "/delegates")
		owner.press("Revoke access")
		owner.says("Nobody was let in yet")
		s.mail(devTeam, "has ended")
		delegate.visit("/support/" + id)
		delegate.says("There is nothing at this address")
		delegate.visit("/")
		if text := delegate.read("#dashboard-tickets"); strings.Contains(text, "Invoice 2026-1187") {
			t.Errorf("after the revocation the delegate's dashboard lists %q", text)
		}
	})
}

// TestDelegates_Contract walks through the guide's contract delegates: Company B lets Dev Team 1 into its hosting contract.
func TestDelegates_Contract(t *testing.T) {
	windows(t, func(t *testing.T, s *site, open func() window) {
		contract := s.text(`select c.id from contracts c join contract_products p on p.contract_id = c.id
			where p.category = 'web-hosting' and p.fields->>'domain' = 'bluebird.example'`)
		product := s.text("select id from contract_products where contract_id = $1 order by created_at, id limit 1", contract)
		owner, delegate := open(), open()
		signIn(owner, bea, dev.DemoPassword)
		owner.at("/")
		owner.visit("/contracts/" + contract)
		owner.follow("Delegates")
		owner.at("/contracts/" + contract + "/delegates")
		owner.follow("Invite delegate")
		owner.fill("E-mail", devTeam)
		owner.press("Send invite")
		owner.says("Invited")

		link := s.link(s.mail(devTeam, "invites you to a contract"), "/invitations/")
		signIn(delegate, devTeam, dev.DemoPassword)
		delegate.at("/")
		delegate.visit(link)
		delegate.says("Invitation to a contract")
		delegate.press("Accept")
		delegate.at("/contracts/" + contract)
		delegate.says("Registration date")
		delegate.visit("/products")
		delegate.says("Bea Lindqvist")
		delegate.visit("/contracts/" + contract + "/tickets")
		delegate.says("earlier tickets are not shown.")
		delegate.follow("Open new ticket")
		delegate.fill("Subject", "PHP 8.4 for the redesign")
		delegate.fill("Message", "Can the copy run it?")
		delegate.press("Create ticket")
		delegate.says("Your ticket is open.")
		ticket := s.text("select id from tickets where subject = 'PHP 8.4 for the redesign' and product_id = $1", product)
		delegate.at("/support/" + ticket)
		owner.visit("/support/" + ticket) // it belongs to her account
		owner.says("Can the copy run it?")
		for _, path := range []string{"/billing", "/delegates"} {
			delegate.visit("/contracts/" + contract + path)
			delegate.says("You are not allowed to do this")
		}
		earlier := s.text("select id from tickets where product_id = $1 and id <> $2 order by created_at limit 1", product, ticket)
		delegate.visit("/support/" + earlier)
		delegate.says("There is nothing at this address")

		owner.visit("/reach")
		owner.says("Dev Team 1")
		owner.visit("/contracts/" + contract + "/delegates")
		owner.says("Accepted")
		if b, ok := owner.(*tab); ok {
			b.press("Access of Dev Team 1")
		}
		owner.press("Revoke access")
		owner.says("Nobody was let in yet")
		for _, path := range []string{"/contracts/" + contract, "/support/" + ticket} {
			delegate.visit(path)
			delegate.says("There is nothing at this address")
		}
	})
}
