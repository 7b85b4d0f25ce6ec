package main

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"portico/app/blob"
	"portico/app/server/servertest"

	"github.com/google/uuid"
)

// plays says who plays an actor of policies/matrix-delegates.csv, and what lets them in: statements with the ids of thing.
var plays = map[string]struct{ email, grant string }{
	"OW": {bea, ""},
	"US": {"noor@atelier.example", "insert into account_users (account_id, user_id, relation) values (ACCOUNT, WHO, 'user') on conflict do nothing"},
	"TI": {devTeam, "insert into delegates (ticket_id, user_id, status, invited_by_name) values (TICKET, WHO, 'invited', '')"},
	"TA": {devTeam, "insert into delegates (ticket_id, user_id, status, invited_by_name, accepted_at) values (TICKET, WHO, 'accepted', '', now())"},
	"TR": {devTeam, "insert into delegates (ticket_id, user_id, status, invited_by_name, accepted_at, finished_at) values (TICKET, WHO, 'revoked', '', now(), now())"},
	"TE": {devTeam, "insert into delegates (ticket_id, user_id, status, invited_by_name, accepted_at, ends_at) values (TICKET, WHO, 'accepted', '', now() - interval '1 day', now() - interval '1 s')"},
	"CI": {devTeam, "insert into delegates (contract_id, user_id, status, invited_by_name) values (CONTRACT, WHO, 'invited', '')"},
	"CR": {devTeam, "insert into delegates (contract_id, user_id, status, invited_by_name, accepted_at, finished_at) values (CONTRACT, WHO, 'revoked', '', now() - interval '1 day', now())"},
	"CE": {devTeam, "insert into delegates (contract_id, user_id, status, invited_by_name, accepted_at, ends_at) values (CONTRACT, WHO, 'accepted', '', now() - interval '1 day', now() - interval '1 s')"},
	"CAb": {devTeam, `insert into delegates (contract_id, user_id, status, invited_by_name, accepted_at)
		select CONTRACT, WHO, 'accepted', '', created_at + interval '1 microsecond' from tickets where id = TICKET`},
	"CAe": {devTeam, "insert into delegates (contract_id, user_id, status, invited_by_name, accepted_at) select CONTRACT, WHO, 'accepted', '', created_at from tickets where id = TICKET"},
	"CAa": {devTeam, "insert into delegates (contract_id, user_id, status, invited_by_name, accepted_at) values (CONTRACT, WHO, 'accepted', '', now() - interval '1 day')"},
	"CN":  {devTeam, "insert into delegates (contract_id, user_id, status, invited_by_name, accepted_at, may_tickets) values (CONTRACT, WHO, 'accepted', '', now() - interval '1 day', false)"},
	"CAo": {devTeam, `with d as (insert into delegates (contract_id, user_id, status, invited_by_name, accepted_at) values (CONTRACT, WHO, 'accepted', '', now() - interval '1 day'))
		update tickets set opener_id = WHO where id = TICKET`},
	"ST": {"stella@corvid.example", ""}, "SD": {sam, ""}, "SO": {priya, ""}, "AD": {ada, ""}, "AN": {},
}

// thing is a ticket about a product of a contract of Bea's, as an actor finds it.
type thing struct{ ticket, message, own, file, contract, purchase, invited, contractInvited string }

// TestDelegateMatrix asks as every actor for everything that delegates are about, in every state, and compares with the matrix.
func TestDelegateMatrix(t *testing.T) {
	t.Parallel()
	matrix := servertest.Read(t, "../../policies/matrix-delegates.csv")
	s := start(t, options{idle: true})
	clients := map[string]*client{"": s.visitor()}
	clients[""].get("/sign-in").want(http.StatusOK)
	tokens := map[string]string{"": clients[""].token()}
	asked := 0
	for _, state := range []struct{ ticket, contract string }{{"open", "active"}, {"closed", "active"}, {"open", "suspended"}, {"open", "cancelled"}, {"closed", "ended"}} {
		for _, actor := range matrix.Actors {
			who := plays[actor]
			c := clients[who.email]
			if c == nil {
				c = s.signIn(who.email)
				clients[who.email], tokens[who.email] = c, c.token()
			}
			made := newThing(s, who.email, who.grant, state.ticket, state.contract)
			for _, row := range matrix.Rows {
				says := row.Says[actor]
				want := expected(row.Permission, says, actor, state.ticket, state.contract)
				s.exec("truncate rate_limits")
				before := ""
				if want != http.StatusOK {
					before = tally(s)
				}
				a := ask(c, tokens[who.email], row.Permission, made, who.email)
				asked++
				got := a.status
				switch {
				case got == http.StatusUnprocessableEntity, got == http.StatusNoContent, got == http.StatusSeeOther && !strings.HasPrefix(a.header.Get("Location"), "/sign-in"):
					got = http.StatusOK // found, and asked for a better form
				case got == http.StatusSeeOther:
					got = http.StatusUnauthorized
				}
				if got != want {
					t.Errorf("%s for %s, ticket %s, contract %s: %d, want %d", row.Permission, actor, state.ticket, state.contract, a.status, want)
				}
				if before != "" && tally(s) != before {
					t.Errorf("%s for %s, ticket %s, contract %s: refused, and yet something changed", row.Permission, actor, state.ticket, state.contract)
				}
				if want == http.StatusNotFound {
					id := uuid.NewString()
					absent := ask(c, tokens[who.email], row.Permission, thing{id, id, id, id, id, id, id, id}, who.email)
					if got, want := bare(a), bare(absent); got != want {
						t.Errorf("%s for %s differs from what never existed: %s", row.Permission, actor, firstDifference(got, want))
					}
				}
			}
			s.exec("delete from account_users au using users u where u.id = au.user_id and u.email = 'noor@atelier.example' and au.relation = 'user'")
		}
	}
	t.Logf("%d actors × %d capabilities × 5 states: %d requests, and as many for absent ids as were answered so", len(matrix.Actors), len(matrix.Rows), asked)
}

// expected is the status of an answer in a state: what the matrix says of an open ticket and a running contract, and the notes to it.
func expected(permission string, says servertest.Says, actor, ticket, contract string) int {
	over := contract == "cancelled" || contract == "ended"
	delegate := strings.HasPrefix(actor, "C")
	if over && delegate && (says == servertest.Yes || says == servertest.Refused) {
		return http.StatusNotFound
	}
	switch says {
	case servertest.Refused:
		return http.StatusForbidden
	case servertest.Absent:
		return http.StatusNotFound
	case servertest.SignIn:
		return http.StatusUnauthorized
	}
	if ticket == "closed" && slices.Contains([]string{"reply", "attach", "edit_own", "subject", "invite", "resend"}, permission) ||
		over && slices.Contains([]string{"c_invite", "c_resend"}, permission) {
		return http.StatusConflict
	}
	return http.StatusOK
}

// tally is how much there is of what requests could add to or change.
func tally(s *site) string {
	return s.text(`select (select count(*) from delegates) || ' ' || (select count(*) from delegates where status = 'revoked') || ' ' || (select count(*) from ticket_messages)
		|| ' ' || (select count(*) from mail_deliveries) || ' ' || (select count(*) from audit_entries) || ' ' || (select sum(version) from tickets)
		|| ' ' || (select count(*) from attachments) || ' ' || (select count(*) from tokens)`)
}

func newThing(s *site, email, grant, ticketState, contractState string) thing {
	s.t.Helper()
	id := uuid.NewString
	made := thing{id(), id(), id(), id(), id(), id(), id(), id()}
	who := email
	if who == "" {
		who = bea
	}
	product := id()
	s.exec(`insert into contracts (id, account_id, name, status, cycle_months, term_months)
		select $1, id, 'Matrix', $2, 12, 24 from accounts where name = 'Bluebird Bakery'`, made.contract, contractState)
	for _, p := range []struct{ id, contract string }{{product, made.contract}, {made.purchase, ""}} {
		s.exec(`insert into contract_products (id, account_id, contract_id, product_id, plan_id, name, category, status, price_minor)
			select $1, a.id, nullif($2, '')::uuid, p.id, l.id, p.name, p.category, 'active', 1 from accounts a, products p join plans l on l.product_id = p.id
			where a.name = 'Bluebird Bakery' order by p.position, l.position limit 1`, p.id, p.contract)
	}
	s.exec(`insert into tickets (id, account_id, opener_id, subject, department_id, status, closed_at, product_id)
		select $1, a.id, u.id, 'Matrix', d.id, $2, case when $2 = 'closed' then now() end, $3
		from accounts a, users u, departments d where a.name = 'Bluebird Bakery' and u.email = $4 and d.name = 'Technical support'`, made.ticket, ticketState, product, bea)
	s.exec(`insert into ticket_messages (id, ticket_id, author_id, author_name, voice, body, html) select $1, $2, id, name, 'store', 'Hello', '<p>Hello</p>' from users where email = $3`,
		made.message, made.ticket, map[bool]string{true: ada, false: sam}[who != ada])
	s.exec(`insert into ticket_messages (id, ticket_id, author_id, author_name, voice, body, html) select $1, $2, id, name, 'owner', 'Mine', '<p>Mine</p>' from users where email = $3`,
		made.own, made.ticket, who)
	key := blob.NewKey()
	if _, err := s.blobs.Put(s.t.Context(), key, strings.NewReader("text")); err != nil {
		s.t.Fatal(err)
	}
	s.exec("insert into attachments (id, message_id, name, size_bytes, blob_key) values ($1, $2, 'a.txt', 4, $3)", made.file, made.message, key)
	s.exec("insert into delegates (id, ticket_id, user_id, invited_by_name) select $1, $2, id, '' from users where email = 'lee@papertrail.example'", made.invited, made.ticket)
	s.exec("insert into delegates (id, contract_id, user_id, invited_by_name) select $1, $2, id, '' from users where email = 'lee@papertrail.example'", made.contractInvited, made.contract)
	if grant != "" {
		s.exec(strings.NewReplacer("TICKET", "'"+made.ticket+"'", "CONTRACT", "'"+made.contract+"'", "WHO", "'"+s.userID(who)+"'",
			"ACCOUNT", "(select id from accounts where name = 'Bluebird Bakery')").Replace(grant))
	}
	return made
}

func ask(c *client, token, permission string, on thing, email string) *answer {
	c.t.Helper()
	admin := ""
	if strings.HasSuffix(email, "@northwind.example") {
		admin = "/admin"
	}
	ticket, contract := admin+"/support/"+on.ticket, admin+"/contracts/"+on.contract
	own := "/support/" + on.ticket // addresses that serve everybody
	get := func(path string) *answer { return c.get(path) }
	post := func(path string, form url.Values) *answer {
		return c.post(path, form, http.Header{"X-Csrf-Token": {token}})
	}
	switch permission {
	case "read":
		return get(ticket)
	case "fragment":
		a := c.do("GET", ticket, http.Header{"Hx-Request": {"true"}, "Hx-Target": {"tickets-timeline"}}, nil)
		return a
	case "stream":
		return get(ticket + "/live")
	case "download":
		return get(own + "/files/" + on.file)
	case "reply":
		return post(own+"/messages", url.Values{"body": {"Matrix"}})
	case "attach":
		return c.sized("/uploads?form=ticket:"+on.ticket, http.Header{"X-Csrf-Token": {token}, "Hx-Request": {"true"}, "X-File-Name": {"a.txt"}, "Content-Type": {"application/octet-stream"}}, strings.NewReader("text"))
	case "edit_own":
		return get(own + "/messages/" + on.own + "/edit")
	case "edit_other":
		return get(own + "/messages/" + on.message + "/edit")
	case "subject":
		return post(own+"/subject", url.Values{"subject": {"Matrix"}})
	case "close":
		return get(own + "/closure")
	case "panel":
		return get(ticket + "/delegates")
	case "invite":
		return post(ticket+"/delegates", url.Values{"email": {"nobody@example.com"}})
	case "resend":
		return post(ticket+"/delegates/"+on.invited+"/again", url.Values{})
	case "revoke":
		return post(ticket+"/delegates/"+on.invited+"/revoke", url.Values{})
	case "c_view":
		return get(contract)
	case "c_stream":
		return get(contract + "/live")
	case "c_tickets":
		return get(contract + "/tickets")
	case "c_panel":
		return get(contract + "/delegates")
	case "c_invite":
		return post(contract+"/delegates", url.Values{"email": {"nobody@example.com"}})
	case "c_resend":
		return post(contract+"/delegates/"+on.contractInvited+"/again", url.Values{})
	case "c_revoke":
		return post(contract+"/delegates/"+on.contractInvited+"/revoke", url.Values{})
	case "purchase":
		return post("/purchases/"+on.purchase+"/delegates", url.Values{})
	}
	panic(fmt.Sprintf("the matrix asks for %q, which the test does not know", permission))
}
