package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"portico/app/auth"
	"portico/app/blob"
	"portico/app/db"
	"portico/app/dev"
	"portico/app/keys"
	"portico/app/server"
	"portico/app/server/servertest"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

const matrixFile = "../../policies/matrix.csv"

// TestMatrix_NamesEveryRoute: a route without a permission row, or a row that no route asks for, is a gap.
func TestMatrix_NamesEveryRoute(t *testing.T) {
	t.Parallel()
	matrix := servertest.Read(t, matrixFile)
	asked := map[string]bool{}
	for _, route := range server.Routes(server.Handlers{}, true) {
		asked[route.Permission] = true
		if _, ok := matrix.Row(route.Permission); !ok {
			t.Errorf("%s %s needs %q, which the matrix lacks", route.Method, route.Path, route.Permission)
		}
	}
	for _, row := range matrix.Rows {
		if !asked[row.Permission] {
			t.Errorf("no route asks for %q, which the matrix has", row.Permission)
		}
	}
}

// TestMatrix asks for every route as every actor, whole and as htmx, and compares with the matrix. What is refused must change
// nothing: no row, no job, no mail.
func TestMatrix(t *testing.T) {
	t.Parallel()
	matrix := servertest.Read(t, matrixFile)
	routes := server.Routes(server.Handlers{}, true)
	for _, actor := range servertest.Actors {
		t.Run(actor.Name, func(t *testing.T) {
			t.Parallel()
			w := newWalk(t, actor)
			for _, route := range routes {
				row, ok := matrix.Row(route.Permission)
				if !ok {
					continue // told above
				}
				if refusedToAll(route) {
					continue
				}
				for _, header := range []http.Header{nil, htmx} {
					w.check(route, header, row.Says[actor.Name])
				}
			}
			t.Logf("%s: %d routes, whole and as htmx", actor.Name, len(routes))
		})
	}
}

// refusedToAll are the routes that nobody who sees the thing may use: TestDelegateMatrix asks for them.
func refusedToAll(route server.Route) bool {
	return strings.HasSuffix(route.Path, "/purchases/:id/delegates")
}

// walk is one actor on a site of their own, on which no job runs: whatever changes, a request changed it.
type walk struct {
	t     *testing.T
	site  *site
	actor servertest.Actor
	c     *client
	ids   map[string]string // of the demo store: users by e-mail, "department"

	tokens map[string]string // form tokens by session or visitor, which are the same for as long as that lives
	absent map[string]string // what an address gets that never existed, by all that the answer may depend on
}

func newWalk(t *testing.T, actor servertest.Actor) *walk {
	w := &walk{t: t, site: start(t, options{idle: true}), actor: actor, ids: map[string]string{}, tokens: map[string]string{}, absent: map[string]string{}}
	for _, person := range dev.People {
		w.ids[person.Email] = w.site.userID(person.Email)
	}
	w.ids["department"] = w.site.text("select id from departments where name = 'Billing'")
	switch actor.Name {
	case "WF":
		w.authenticator(actor.Email, true)
	case "UN":
		w.site.exec("update users set email_confirmed_at = null where email = $1", actor.Email)
	}
	// A logo that is shown.
	w.site.exec("update store set logo = $1, logo_type = 'image/png'", []byte("\x89PNG"))
	w.enter()
	return w
}

func (w *walk) enter() {
	w.t.Helper()
	if w.actor.Email == "" {
		w.c = w.site.visitor()
		w.c.get("/sign-in").want(http.StatusOK) // and has the visitor's cookie
		return
	}
	w.c = w.site.signIn(w.actor.Email)
}

// authenticator gives a user an authenticator app, in use or waiting for its first code.
func (w *walk) authenticator(email string, inUse bool) {
	w.t.Helper()
	id := w.ids[email]
	w.site.exec(`insert into authenticators (user_id, secret, confirmed_at) values ($1, $2, case when $3 then now() end)
		on conflict (user_id) do update set confirmed_at = excluded.confirmed_at`, id, w.site.keys.Seal("authenticator", id, make([]byte, 20)), inUse)
}

// sample is the path and form with which an actor asks for a route: their own things where there are such, existing ones
// otherwise. It first makes what the request needs to be there.
func (w *walk) sample(route server.Route) (path string, form url.Values) {
	w.t.Helper()
	form = url.Values{}
	path = route.Path
	own := w.ids[w.actor.Email]
	if own == "" {
		own = w.ids["stella@corvid.example"]
	}
	member := w.ids["priya@northwind.example"]
	switch {
	case strings.HasPrefix(path, "/invitations/:token"):
		path = strings.ReplaceAll(path, ":token", w.invitation(own))
	case strings.HasPrefix(path, "/people/"):
		path = w.people(path, own)
	case strings.Contains(path, ":token"):
		purposes := map[string]auth.Purpose{"/reset-password/": auth.PurposeReset, "/confirm/": auth.PurposeConfirm, "/email-change/": auth.PurposeEmailNew}
		prefix, _, _ := strings.Cut(path, ":")
		path = prefix + w.token(purposes[prefix])
	case route.Permission == server.Signed:
		path = strings.NewReplacer(":configuration", w.configuration(), ":gateway", "none").Replace(path)
	case strings.HasPrefix(path, "/security/passkeys/:id"):
		path = strings.ReplaceAll(path, ":id", w.passkey(own))
	case strings.HasPrefix(path, "/security/sessions/:id"):
		path = strings.ReplaceAll(path, ":id", w.session(own))
	case strings.HasPrefix(path, "/admin/provisioning/logs/filters/:id"):
		w.site.exec("insert into log_filters (user_id, name, query) values ($1, 'Failures', 'status=failed') on conflict do nothing", own)
		path = strings.ReplaceAll(path, ":id", w.site.text("select id from log_filters where user_id = $1", own))
	case strings.HasPrefix(path, "/admin/provisioning/logs/alerts/:id"):
		w.site.exec("insert into log_alerts (name, query, more_than, minutes) values ('Many failures', 'status=failed', 5, 15)")
		path = strings.ReplaceAll(path, ":id", w.site.text("select id from log_alerts limit 1"))
	case strings.HasPrefix(path, "/admin/provisioning/logs/:id"):
		path = strings.NewReplacer(":id", w.site.text("select run_id from provision_debug order by run_id limit 1"), ":attempt", "1").Replace(path)
	case strings.HasPrefix(path, "/admin/settings/departments/:id"):
		archived := "null"
		if strings.HasSuffix(path, "/restore") {
			archived = "now()"
		}
		w.site.exec("update departments set archived_at = " + archived + " where name = 'Billing'")
		path = strings.ReplaceAll(path, ":id", w.ids["department"])
	case strings.HasPrefix(path, "/admin/settings/team/:id"):
		disabled := "null"
		if strings.HasSuffix(path, "/enable") && w.actor.Email != "priya@northwind.example" {
			disabled = "now()"
		}
		w.site.exec("update users set disabled_at = "+disabled+" where id = $1", member)
		path = strings.ReplaceAll(path, ":id", member)
	case strings.HasPrefix(path, "/admin/emails/:id"):
		path = strings.ReplaceAll(path, ":id", w.email())
	case strings.HasPrefix(path, "/admin/jobs/queues/:queue"):
		w.site.exec("insert into river_queue (name, updated_at) values ('mail', now()) on conflict do nothing")
		path = strings.ReplaceAll(path, ":queue", "mail")
	case strings.HasPrefix(path, "/admin/jobs/:id"):
		path = strings.ReplaceAll(path, ":id", w.job())
	case strings.Contains(path, "/support/:ticket/files/:id") || path == "/files/:id":
		ticket, message := w.ticket(own)
		path = strings.NewReplacer(":ticket", ticket, ":id", w.file("null", "'"+message+"'", own)).Replace(path)
	case path == "/uploads/:id/remove":
		path = strings.ReplaceAll(path, ":id", w.file("'new'", "null", own))
	case path == "/uploads":
		path = "/uploads?form=new"
	case path == "/support/:id/leave":
		ticket, _ := w.ticket(w.other(own))
		w.delegate("ticket_id", ticket, own, "accepted")
		path = strings.ReplaceAll(path, ":id", ticket)
	case strings.HasPrefix(path, "/admin/support/replies/:id"):
		path = strings.ReplaceAll(path, ":id", w.savedReply("null"))
	case strings.HasPrefix(path, "/support/:id"), strings.HasPrefix(path, "/admin/support/:id"):
		ticket, message := w.ticket(own)
		if strings.Contains(path, ":delegate") {
			path = strings.ReplaceAll(path, ":delegate", w.delegate("ticket_id", ticket, w.other(own), "invited"))
		}
		if strings.HasSuffix(path, "/follow-up") {
			w.site.exec("update tickets set status = 'closed', closed_at = now() where id = $1", ticket)
		}
		path = strings.NewReplacer(":id", ticket, ":message", message).Replace(path)
		if strings.HasSuffix(path, "/presence") {
			form.Set("doing", "viewing")
		}
	case strings.HasPrefix(path, "/reach/:user"):
		ticket, _ := w.ticket(own)
		w.delegate("ticket_id", ticket, w.other(own), "accepted")
		path = strings.NewReplacer(":user", w.other(own), ":ticket", ticket).Replace(path)
	case path == "/contracts/:id/leave", path == "/contracts/:id/ask":
		contract := w.contract(w.other(own))
		w.site.exec("update delegates set may_act = $2 where id = $1", w.delegate("contract_id", contract, own, "accepted"), strings.HasSuffix(path, "/leave"))
		path = strings.ReplaceAll(path, ":id", contract)
	case strings.Contains(path, "/contracts/:id/delegates/:delegate"):
		contract := w.contract(own)
		path = strings.NewReplacer(":id", contract, ":delegate", w.delegate("contract_id", contract, w.other(own), "invited")).Replace(path)
	case strings.HasPrefix(path, "/contracts/:id"), strings.HasPrefix(path, "/admin/contracts/:id"):
		path = strings.ReplaceAll(path, ":id", w.contract(own))
	case strings.Contains(path, "/invoices/:id"):
		status := "unpaid"
		if strings.HasSuffix(path, "/issue") || strings.HasSuffix(path, "/discard") {
			status = "draft"
		}
		path = strings.ReplaceAll(path, ":id", w.invoice(own, status))
	case strings.Contains(path, ":account"):
		path = strings.ReplaceAll(path, ":account", w.account(own))
	case strings.HasPrefix(path, "/purchases/:id"), strings.HasPrefix(path, "/admin/purchases/:id"):
		path = strings.ReplaceAll(path, ":id", w.product(own, "null", "one-off"))
	case strings.HasPrefix(path, "/admin/clients/:id"):
		if strings.Contains(path, ":user") {
			ticket, _ := w.ticket(w.site.userID(bea))
			w.delegate("ticket_id", ticket, w.site.userID(devTeam), "accepted")
		}
		path = strings.NewReplacer(":id", w.site.text("select id from accounts where name = 'Bluebird Bakery'"), ":user", w.site.userID(devTeam)).Replace(path)
	case strings.HasPrefix(path, "/admin/settings/products/:id"):
		plan := w.site.text("select id from plans where name = 'Two years' and price_minor = 16800")
		archived := "null"
		if strings.HasSuffix(path, "/restore") {
			archived = "now()"
		}
		w.site.exec("update plans set archived_at = "+archived+" where id = $1", plan)
		product := w.site.text("select product_id from plans where id = $1", plan)
		w.site.exec("update products set archived_at = "+archived+" where id = $1", product)
		w.site.exec("update product_options set archived_at = "+archived+" where product_id = $1", product)
		path = strings.NewReplacer(":id", product, ":plan", plan, ":option", w.site.text("select id from product_options where product_id = $1 order by position limit 1", product)).Replace(path)
	case strings.HasPrefix(path, "/manage/:id"), strings.HasPrefix(path, "/admin/manage/:id"):
		product := w.managed(own)
		path = strings.NewReplacer(":id", product, ":action", "getInfo").Replace(path)
		form.Set("form_token", uuid.NewString())
		switch {
		case strings.HasSuffix(path, "/switch"):
			form = url.Values{"action": {"updateIpsTag"}, "kind": {"optional"}, "on": {"on"}}
		case strings.HasSuffix(path, "/configuration"), strings.HasSuffix(path, "/fields"):
			form = url.Values{}
		}
	case strings.HasPrefix(path, "/runs/:id"), strings.HasPrefix(path, "/admin/runs/:id"):
		run := w.run(own, route.Path)
		path = strings.ReplaceAll(path, ":id", run)
		if strings.HasSuffix(path, "/settle") {
			form.Set("done", "yes")
		}
	case strings.HasPrefix(path, "/admin/provisioning/configurations/new"):
		path = "/admin/provisioning/configurations/new/generic/domain-names"
	case path == "/admin/provisioning/configurations" && route.Method == http.MethodPost:
		form = url.Values{"driver": {"generic"}, "category": {"domain-names"}}
	case strings.HasPrefix(path, "/admin/provisioning/configurations/:id"):
		path = strings.ReplaceAll(path, ":id", w.configuration())
	case path == "/support/drafts":
		form.Set("object", "new")
	case path == "/store/logo/:version" || path == "/store/brand/:version":
		path = strings.ReplaceAll(path, ":version", "1")
	case path == "/guides/:name":
		path = "/guides/client"
	case strings.HasPrefix(path, "/dev/mailbox/:id"):
		path = strings.ReplaceAll(path, ":id", w.letter())
	case path == "/dev/sign-in":
		form.Set("email", "lee@papertrail.example")
	case path == "/security/recovery-codes" || path == "/security/authenticator/remove":
		w.authenticator(or(w.actor.Email, "stella@corvid.example"), true)
	case route.Path == "/security/authenticator" && w.actor.Name != "WF":
		w.authenticator(or(w.actor.Email, "stella@corvid.example"), false)
	case path == "/profile/email/cancel":
		w.site.exec("insert into email_changes (user_id, email, expires_at) values ($1, 'new@example.com', now() + interval '1 hour') on conflict do nothing", own)
	case path == "/admin/settings/logo/remove":
		w.site.exec("update store set logo = $1, logo_type = 'image/png'", []byte("\x89PNG"))
	}
	if strings.Contains(path, ":") {
		w.t.Fatalf("%s %s: the matrix has no sample for its parameters", route.Method, route.Path)
	}
	return path, form
}

// token makes a link of a mail to Stella that works.
func (w *walk) token(purpose auth.Purpose) string {
	w.t.Helper()
	user := w.ids["stella@corvid.example"]
	email := "stella@corvid.example"
	if purpose == auth.PurposeEmailNew {
		email = "new@example.com"
		w.site.exec("insert into email_changes (user_id, email, expires_at) values ($1, $2, now() + interval '1 hour') on conflict do nothing", user, email)
	}
	var secret string
	err := db.InTx(w.t.Context(), w.site.pool, func(tx pgx.Tx) error {
		id, err := auth.NewLink(w.t.Context(), tx, w.site.keys, purpose, user, email)
		secret, _ = w.site.keys.LinkSecret(id)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return secret
}

// people fills the address of a page about the users of an account that the actor owns, of which Lee (or for Lee Stella) is one and is
// invited to another; or of an invitation of the actor's own.
func (w *walk) people(path, own string) string {
	w.t.Helper()
	other := w.ids["lee@papertrail.example"]
	if other == own {
		other = w.ids["stella@corvid.example"]
	}
	if w.actor.Viewer.OfStore() || w.actor.Name == "WF" {
		own, other = w.ids["stella@corvid.example"], w.ids["lee@papertrail.example"]
	}
	w.site.exec("delete from accounts where name = 'Matrix'")
	accounts := [2]string{uuid.NewString(), uuid.NewString()} // the actor's, and one that they are invited to
	for _, id := range accounts {
		w.site.exec("insert into accounts (id, name) values ($1, 'Matrix')", id)
	}
	w.site.exec("insert into account_users (account_id, user_id, relation) values ($1, $2, 'owner'), ($1, $3, 'user')", accounts[0], own, other)
	invite := func(account, user string) (id, secret string) {
		id = uuid.NewString()
		w.site.exec("insert into account_invitations (id, account_id, user_id, invited_by_name) values ($1, $2, $3, 'Una')", id, account, user)
		err := db.InTx(w.t.Context(), w.site.pool, func(tx pgx.Tx) error {
			link, err := auth.NewAccountLink(w.t.Context(), tx, w.site.keys, id, user, w.site.text("select email from users where id = $1", user))
			secret, _ = w.site.keys.LinkSecret(link)
			return err
		})
		if err != nil {
			w.t.Fatal(err)
		}
		return id, secret
	}
	_, secret := invite(accounts[1], own)
	waiting, _ := invite(accounts[0], w.ids["noor@atelier.example"])
	id := other
	if strings.Contains(path, "/invitations/") {
		id = waiting
	}
	return strings.NewReplacer(":token", secret, ":account", accounts[0], ":id", id).Replace(path)
}

func (w *walk) passkey(user string) string {
	w.t.Helper()
	w.site.exec("delete from passkeys where user_id = $1", user) // at most ten
	return w.made("insert into passkeys (id, user_id, credential_id, credential, name) values ($1::uuid, $2, decode(md5($1::uuid::text), 'hex'), '{}', 'Key')", user)
}

func (w *walk) session(user string) string {
	w.t.Helper()
	return w.made("insert into sessions (id, user_id, token_hash, ip, browser, expires_at) values ($1::uuid, $2, decode(md5($1::uuid::text), 'hex'), '192.0.2.1', 'Elsewhere', now() + interval '1 hour')", user)
}

// made runs an insert of a row with an id of ours, for a user.
func (w *walk) made(sql, user string) string {
	w.t.Helper()
	id := uuid.NewString()
	w.site.exec(sql, id, user)
	return id
}

// email is a mail that went to Stella.
func (w *walk) email() string {
	w.t.Helper()
	stella := w.ids["stella@corvid.example"]
	w.site.exec(`insert into mail_deliveries (key, kind, user_id, recipient, subject, status, finished_at)
		values ('matrix', 'password-changed', $1, 'stella@corvid.example', 'Hello', 'sent', now()) on conflict do nothing`, stella)
	return w.site.text("select id from mail_deliveries where key = 'matrix'")
}

// ticket opens a ticket that a user sees, with a message of theirs.
func (w *walk) ticket(user string) (id, message string) {
	w.t.Helper()
	id, message = uuid.NewString(), uuid.NewString()
	w.site.exec(`insert into tickets (id, account_id, subject, status) select $1, coalesce(
			(select account_id from account_users where user_id = $2 order by account_id limit 1), (select id from accounts where name = 'Bluebird Bakery')), 'Matrix', 'open'`, id, user)
	w.site.exec(`insert into ticket_messages (id, ticket_id, author_id, author_name, voice, body, html)
		select $1, $2, id, name, case when role is null then 'owner' else 'store' end, 'Hello', '<p>Hello</p>' from users where id = $3`, message, id, user)
	return id, message
}

// accountSQL is the account of a user $2, or for one without Bea's.
const accountSQL = `coalesce((select account_id from account_users where user_id = $2 order by account_id limit 1), (select id from accounts where name = 'Bluebird Bakery'))`

// contract is a running one that a user sees, with two products.
func (w *walk) contract(user string) (id string) {
	w.t.Helper()
	id = uuid.NewString()
	w.site.exec(`insert into contracts (id, account_id, name, status, cycle_months, term_months, starts_on, renews_on, term_ends_on)
		select $1, `+accountSQL+`, 'Matrix', 'active', 12, 24, current_date - 90, current_date + 275, current_date + 640`, id, user)
	w.product(user, "'"+id+"'", "subscription")
	w.product(user, "'"+id+"'", "subscription")
	return id
}

// account is one that a user sees.
func (w *walk) account(user string) string {
	w.t.Helper()
	return w.site.text("select "+strings.ReplaceAll(accountSQL, "$2", "$1")+" limit 1", user)
}

// invoice is one over a line, of an account that a user sees.
func (w *walk) invoice(user, status string) (id string) {
	w.t.Helper()
	id = uuid.NewString()
	w.site.exec(`insert into invoices (id, account_id, status, number, issued_on, due_on, currency, net_minor, total_minor)
		select $1, `+accountSQL+`, $3, case when $3 <> 'draft' then 900000 + (select count(*) from invoices) end,
			case when $3 <> 'draft' then current_date end, current_date + 14, 'EUR', 1000, 1000`, id, user, status)
	w.site.exec("insert into invoice_lines (invoice_id, position, text, net_minor) values ($1, 1, 'Work', 1000)", id)
	return id
}

// product is a bought product that a user sees, of a contract (SQL) or with "null" a one-off purchase.
func (w *walk) product(user, contract, kind string) (id string) {
	w.t.Helper()
	id = uuid.NewString()
	w.site.exec(`insert into contract_products (id, account_id, contract_id, product_id, plan_id, name, category, status, registered_on, price_minor, fields)
		select $1, `+accountSQL+`, `+contract+`, p.id, l.id, p.name, p.category, 'active', current_date - 90, l.price_minor,
			'{"domain": "matrix.example", "username": "matrix", "ip": "203.0.113.9"}'
		from products p join plans l on l.product_id = p.id where p.kind = '`+kind+`' order by p.position, p.id, l.position, l.id limit 1`, id, user)
	return id
}

// other is an account holder who is not this one, with an account of their own.
func (w *walk) other(user string) string {
	if user == w.ids["noor@atelier.example"] {
		return w.ids["lee@papertrail.example"]
	}
	return w.ids["noor@atelier.example"]
}

// delegate lets a user into a ticket or a contract, by its column, or invites them, for a day.
func (w *walk) delegate(column, thing, user, status string) string {
	w.t.Helper()
	id := uuid.NewString()
	w.site.exec(`insert into delegates (id, `+column+`, user_id, status, invited_by_name, accepted_at, ends_at)
		values ($1, $2, $3, $4, 'Matrix', case when $4 = 'accepted' then now() end, now() + interval '1 day')`, id, thing, user, status)
	return id
}

// invitation invites a user into a ticket of somebody else's, and returns the link's secret.
func (w *walk) invitation(user string) string {
	w.t.Helper()
	ticket, _ := w.ticket(w.other(user))
	id := w.delegate("ticket_id", ticket, user, "invited")
	var secret string
	err := db.InTx(w.t.Context(), w.site.pool, func(tx pgx.Tx) error {
		token, err := auth.NewDelegateLink(w.t.Context(), tx, w.site.keys, id, user, w.site.text("select email from users where id = $1", user))
		secret, _ = w.site.keys.LinkSecret(token)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return secret
}

// savedReply is a saved reply of a department, SQL.
func (w *walk) savedReply(department string) string {
	w.t.Helper()
	id := uuid.NewString()
	w.site.exec("insert into saved_replies (id, name, body, department_id) values ($1::uuid, 'Matrix ' || $1::text, 'Hello {client}', "+department+")", id)
	return id
}

// configuration is one that nothing uses.
func (w *walk) configuration() (id string) {
	w.t.Helper()
	id = uuid.NewString()
	w.site.exec(`insert into provision_configurations (id, name, driver, category, settings)
		values ($1, 'Matrix ' || gen_random_uuid(), 'generic', 'domain-names', '{"provider_url": "http://127.0.0.1:1/"}')`, id)
	return id
}

// managed is a bought product that a user sees and that has a provider.
func (w *walk) managed(user string) (id string) {
	w.t.Helper()
	id = w.product(user, "null", "one-off")
	w.site.exec(`update contract_products set category = 'domain-names', configuration_id = $2,
		fields = '{"sld": "matrix", "tld": "example", "domain": "matrix.example", "ns1": "ns1.matrix.example", "ns2": "ns2.matrix.example"}' where id = $1`, id, w.configuration())
	return id
}

// run is one that a user asked for, in the state that a route needs.
func (w *walk) run(user, route string) (id string) {
	w.t.Helper()
	product := w.managed(user)
	made, err := uuid.NewV7()
	if err != nil {
		w.t.Fatal(err)
	}
	id = made.String()
	action, status, unknown := "getInfo", "failed", strings.HasSuffix(route, "/settle")
	switch {
	case strings.HasSuffix(route, "/cancel"):
		status = "queued"
	case strings.HasSuffix(route, "/undo"):
		action, status = "updateNameservers", "succeeded"
	case strings.HasSuffix(route, "/decision"):
		status = "approval"
	}
	w.site.exec(`insert into provision_runs (id, product_id, product_name, account_id, account_name, category, action, driver, configuration_id, actor_id, actor_name, actor_relation,
			operation_key, params, status, unknown_outcome, max_attempts, finished_at, changes)
		select $1, p.id, p.name, p.account_id, 'Matrix', p.category, $3, 'generic', p.configuration_id, $4, 'Matrix', 'owner', gen_random_uuid(),
			'{"sld": "matrix", "tld": "example", "ns1": {"host": "ns1.matrix.example"}, "ns2": {"host": "ns2.matrix.example"}}', $5, $6, 8,
			case when $5 not in ('queued', 'approval') then now() end, '[{"field": "ns1", "before": {"host": "ns3.matrix.example"}, "after": {"host": "ns1.matrix.example"}}]'
		from contract_products p where p.id = $2`, id, product, action, user, status, unknown)
	if strings.HasSuffix(route, "/result") {
		w.site.exec("insert into provision_secrets (run_id, kind, user_id, sealed, expires_at) values ($1, 'result', $2, $3, now() + interval '1 minute')",
			id, user, w.site.keys.Seal("provision-result", id, []byte(`{"key": "value"}`)))
	}
	return id
}

// file is a picture that waits for a form of a user's, or stands on a message. object and message are SQL.
func (w *walk) file(object, message, user string) string {
	w.t.Helper()
	const picture = "GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
	id, key := uuid.NewString(), blob.NewKey()
	if _, err := w.site.blobs.Put(w.t.Context(), key, strings.NewReader(picture)); err != nil {
		w.t.Fatal(err)
	}
	w.site.exec("insert into attachments (id, user_id, object, message_id, name, image, size_bytes, blob_key) values ($1, $2, "+object+", "+message+", 'a.gif', 'image/gif', $3, $4)",
		id, user, len(picture), key)
	return id
}

// job queues a job that waits for years, so that it can be cancelled and retried.
func (w *walk) job() string {
	w.t.Helper()
	w.site.exec(`insert into river_job (kind, queue, args, max_attempts, state, scheduled_at)
		values ('sweep', 'default', '{}', 3, 'scheduled', now() + interval '10 years')`)
	number, err := strconv.ParseInt(w.site.text("select max(id) from river_job"), 10, 64)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.site.keys.Mask("job", number)
}

func (w *walk) letter() string {
	w.t.Helper()
	if mails := w.site.mailbox.List("matrix@example.com"); len(mails) > 0 {
		return mails[0].ID
	}
	raw := "From: a@example.com\r\nTo: matrix@example.com\r\nSubject: Hello\r\nContent-Type: text/html\r\n\r\n<p>Hello</p>"
	if err := w.site.mailbox.Keep([]string{"matrix@example.com"}, []byte(raw)); err != nil {
		w.t.Fatal(err)
	}
	return w.site.mailbox.List("matrix@example.com")[0].ID
}

// formToken is what the actor's forms carry now.
func (w *walk) formToken() string {
	w.t.Helper()
	who := w.c.cookie("portico_session") + w.c.cookie("portico_visitor")
	if w.tokens[who] == "" {
		w.tokens[who] = w.c.copy().token()
	}
	return w.tokens[who]
}

// send asks as the actor, whose own cookies stay what they were.
func (w *walk) send(route server.Route, path string, form url.Values, header http.Header) *answer {
	w.t.Helper()
	w.site.exec("delete from rate_limits")
	c := w.c.copy()
	if route.Method == http.MethodGet {
		return c.do(route.Method, path, header, nil)
	}
	if header = header.Clone(); header == nil {
		header = http.Header{}
	}
	header.Set("X-CSRF-Token", w.formToken())
	if route.Kind == server.Data {
		header.Set("Content-Type", "application/json")
		return c.do(route.Method, path, header, strings.NewReader("{}"))
	}
	return c.post(path, form, header)
}

// check asks once and compares with what the matrix says.
func (w *walk) check(route server.Route, header http.Header, says servertest.Says) {
	w.t.Helper()
	path, form := w.sample(route)
	before := snapshot(w.t, w.site)
	a := w.send(route, path, form, header)
	after := snapshot(w.t, w.site)
	changed := before.diff(after)
	name := fmt.Sprintf("%s as %s", route.Method+" "+route.Path, w.actor.Name)
	if header != nil {
		name += " by htmx"
	}
	if a.status >= 500 {
		w.t.Errorf("%s: %d", name, a.status)
		return
	}
	signIn := a.status == http.StatusSeeOther && strings.HasPrefix(a.header.Get("Location"), "/sign-in") ||
		a.status == http.StatusUnauthorized && strings.HasPrefix(a.header.Get("HX-Redirect"), "/sign-in")
	refusedWith := func(want string, ok bool) {
		w.t.Helper()
		if !ok {
			w.t.Errorf("%s: got %d %s%s, want %s", name, a.status, a.header.Get("Location"), a.header.Get("HX-Redirect"), want)
		}
		if changed != "" {
			w.t.Errorf("%s: refused, and yet changed %s", name, changed)
		}
	}
	switch says {
	case servertest.Yes:
		// Some deeds end at the sign-in page; those have changed something.
		if a.status == http.StatusForbidden || a.status == http.StatusNotFound || a.status == http.StatusUnauthorized || signIn && changed == "" && !strings.HasPrefix(a.header.Get("Location"), "/sign-in/second-factor") {
			w.t.Errorf("%s: got %d %s, want it done\n%s", name, a.status, a.header.Get("Location"), a.words("main"))
		}
	case servertest.Refused:
		refusedWith("403", a.status == http.StatusForbidden)
	case servertest.SignIn:
		if route.Kind == server.Stream {
			refusedWith("401", a.status == http.StatusUnauthorized)
		} else if header != nil {
			refusedWith("401 with HX-Redirect to /sign-in", signIn && a.status == http.StatusUnauthorized)
		} else {
			refusedWith("303 to /sign-in", signIn && a.status == http.StatusSeeOther)
		}
	case servertest.AllDone:
		refusedWith("a redirect", a.status == http.StatusSeeOther || a.header.Get("HX-Redirect") != "")
	case servertest.Absent:
		refusedWith("404", a.status == http.StatusNotFound)
		kind := fmt.Sprint(w.formToken(), route.Method, route.Kind == server.Data, header)
		if w.absent[kind] == "" {
			w.absent[kind] = bare(w.send(route, "/no-such-page", form, header))
		}
		if got, want := bare(a), w.absent[kind]; got != want {
			w.t.Errorf("%s differs from a page that never existed: %s", name, firstDifference(got, want))
		}
	}
	// Deeds like signing out end the session of the next request too.
	if w.actor.Email != "" && w.site.text("select exists (select from sessions where token_hash = $1)", keys.LinkHash(w.c.cookie("portico_session"))) == "false" {
		w.restore()
		w.enter()
	}
}

// restore brings the actor's way in back to what it was.
func (w *walk) restore() {
	w.t.Helper()
	if w.actor.Name != "WF" {
		w.site.exec("delete from authenticators where user_id = $1", w.ids[w.actor.Email])
		w.site.exec("delete from passkeys where user_id = $1", w.ids[w.actor.Email])
	}
}

// padded is a form token as an answer shows it: 64 bytes.
var padded = regexp.MustCompile(`[\w-]{86}`)

// bare is an answer without what differs between any two requests: ids, time, counts, the form token's pad, and the address that was
// asked for.
func bare(a *answer) string {
	header := a.header.Clone()
	for _, name := range []string{"X-Request-Id", "Date", "Content-Length", "X-Ratelimit-Remaining", "X-Ratelimit-Reset"} {
		header.Del(name)
	}
	var lines []string
	for name, values := range header {
		lines = append(lines, name+": "+strings.Join(values, ", "))
	}
	slices.Sort(lines)
	body := padded.ReplaceAllString(strings.ReplaceAll(a.body, a.path, "PATH"), "TOKEN")
	return fmt.Sprintf("%d\n%s\n\n%s", a.status, strings.Join(lines, "\n"), body)
}

// firstDifference shows the first line in which two answers differ.
func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range g {
		if i >= len(w) || g[i] != w[i] {
			return fmt.Sprintf("line %d is\n\t%s\ninstead of\n\t%s", i, g[i], strings.Join(w[min(i, len(w)):min(i+1, len(w))], ""))
		}
	}
	return fmt.Sprintf("%d lines instead of %d", len(g), len(w))
}

// state is a moment of a site's database: what was written since then can be told.
type state struct {
	t    testing.TB
	site *site
	last int64 // number of the last change before it
}

// volatile are columns that change by themselves, separated by commas.
var volatile = map[string]string{
	"sessions": "seen_at,expires_at,ip,browser", // noted once a minute
}

// uncounted are tables that change by counting and by the clock.
var uncounted = []string{"rate_limits", "live_events", "river_leader", "river_queue", "river_client", "river_client_queue", "river_migration"}

// watching notes each row that is written, in the transaction that writes it: exact, and far cheaper than comparing what all
// tables hold. Jobs that come by the clock and not by a request are left out.
const watching = `
	create schema if not exists watch;
	create table if not exists watch.changes (id bigint generated always as identity primary key, what text not null);
	create or replace function watch.row() returns trigger language plpgsql as $$
	declare
		was jsonb := case when tg_op in ('UPDATE', 'DELETE') then to_jsonb(old) - string_to_array(tg_argv[0], ',') end;
		is_ jsonb := case when tg_op in ('UPDATE', 'INSERT') then to_jsonb(new) - string_to_array(tg_argv[0], ',') end;
	begin
		if was is distinct from is_ and not (tg_table_name = 'river_job' and coalesce(is_, was) -> 'metadata' ? 'periodic') then
			insert into watch.changes (what) values (tg_table_name || ' ' || lower(tg_op));
		end if;
		return null;
	end $$;
	create or replace function watch.emptied() returns trigger language plpgsql as $$
	begin
		insert into watch.changes (what) values (tg_table_name || ' truncate');
		return null;
	end $$;
	do $$
	declare name text;
	begin
		for name in select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
				and not relispartition and relname <> all(%s) loop
			execute format('create or replace trigger watch_row after insert or update or delete on %%I for each row execute function watch.row(%%L)',
				name, coalesce(%s::jsonb ->> name, ''));
			execute format('create or replace trigger watch_emptied after truncate on %%I execute function watch.emptied()', name);
		end loop;
	end $$`

// snapshot remembers this moment.
func snapshot(t testing.TB, s *site) state {
	t.Helper()
	s.watched.Do(func() {
		columns, err := json.Marshal(volatile)
		if err != nil {
			t.Fatal(err)
		}
		s.exec(fmt.Sprintf(watching, "'{"+strings.Join(uncounted, ",")+"}'", "'"+string(columns)+"'"))
	})
	now := state{t: t, site: s}
	if err := s.pool.QueryRow(t.Context(), "select coalesce(max(id), 0) from watch.changes").Scan(&now.last); err != nil {
		t.Fatal(err)
	}
	return now
}

// diff names the tables that were written to between two moments, and how.
func (before state) diff(after state) string {
	before.t.Helper()
	if before.last == after.last {
		return ""
	}
	return before.site.text("select string_agg(distinct what, ', ' order by what) from watch.changes where id > $1 and id <= $2", before.last, after.last)
}

// TestSnapshot_SeesWrites: the watcher would tell, and tells nothing of what changes by the clock.
func TestSnapshot_SeesWrites(t *testing.T) {
	t.Parallel()
	s := start(t, options{idle: true})
	s.signIn("bea@bluebird.example")
	for _, c := range []struct{ sql, says string }{
		{"insert into departments (name, position) values ('Sales too', 9)", "departments insert"},
		{"update departments set name = name || '!' where name = 'Sales too'", "departments update"},
		{"update departments set name = name", ""},
		{"delete from departments where name = 'Sales too!'", "departments delete"},
		{"truncate drafts", "drafts truncate"},
		{"update sessions set seen_at = now() - interval '1 day', ip = '192.0.2.9'", ""},
		{"update sessions set token_hash = 'x'", "sessions update"},
		{"insert into river_job (kind, args, max_attempts, metadata) values ('sweep', '{}', 3, '{\"periodic\": true}')", ""},
		{"insert into river_job (kind, args, max_attempts) values ('sweep', '{}', 3)", "river_job insert"},
		{"delete from rate_limits", ""},
	} {
		before := snapshot(t, s)
		s.exec(c.sql)
		if got := before.diff(snapshot(t, s)); got != c.says {
			t.Errorf("%s: %q, want %q", c.sql, got, c.says)
		}
	}
	var unwatched []string
	if err := s.pool.QueryRow(t.Context(), `select array_agg(relname::text) from pg_class c where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
		and relname <> all($1) and not exists (select from pg_trigger where tgrelid = c.oid and tgname = 'watch_row')`, uncounted).Scan(&unwatched); err != nil || unwatched != nil {
		t.Errorf("unwatched are %v, %v", unwatched, err)
	}
}
