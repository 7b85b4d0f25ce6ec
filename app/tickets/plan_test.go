package tickets

import (
	"context"
	"strings"
	"testing"
	"time"

	"portico/app"
	"portico/app/db"

	"github.com/jackc/pgx/v5"
)

// spy notes every query that goes through it.
type spy struct {
	db.Conn
	queries []query
}

type query struct {
	sql  string
	args []any
}

func (s *spy) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	s.queries = append(s.queries, query{sql, args})
	return s.Conn.Query(ctx, sql, args...)
}

func (s *spy) SendBatch(ctx context.Context, batch *pgx.Batch) pgx.BatchResults {
	for _, q := range batch.QueuedQueries {
		s.queries = append(s.queries, query{q.SQL, q.Arguments})
	}
	return s.Conn.SendBatch(ctx, batch)
}

// TestPlans: lists and threads read by index, so what they cost does not grow with the store.
func TestPlans(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.exec("insert into accounts (name) select 'Account ' || n from generate_series(1, 1000) n")
	b.exec(`insert into tickets (account_id, subject, status, updated_at, closed_at)
		select a.id, 'Ticket ' || n, case when n % 3 = 0 then 'open' else 'closed' end, now() - n * interval '1 minute',
			case when n % 3 <> 0 then now() - n * interval '1 minute' end
		from (select id, row_number() over () as k from accounts) a, generate_series(1, 20) n`)
	b.exec(`insert into tickets (account_id, subject, status) select $1, 'Bea ' || n, 'open' from generate_series(1, 500) n`, b.bluebird)
	b.exec("insert into ticket_messages (ticket_id, author_name, voice, body, html) select id, 'x', 'store', 'x', 'x' from tickets, generate_series(1, 3)")
	b.exec("insert into ticket_events (ticket_id, actor_name, kind) select id, 'x', 'edit' from tickets")
	b.exec("insert into users (name, email) select 'U', 'u' || n || '@example.com' from generate_series(1, 2000) n")
	b.exec(`insert into account_users (account_id, user_id, relation) select a.id, u.id, 'user' from (select id, row_number() over () as k from accounts) a
		join (select id, row_number() over () as k from users where name = 'U') u using (k)`)
	// Somebody who was let into 5,000 tickets and 5,000 contracts of others.
	grantee := b.user("Greta Grant", "")
	b.exec("insert into delegates (ticket_id, user_id, status, invited_by_name, accepted_at) select id, $1, 'accepted', '', now() - interval '1 year' from tickets order by id limit 5000", grantee.UserID)
	b.exec("insert into products (name) values ('Hosting')")
	b.exec("insert into plans (product_id, name, cycle_months, term_months, price_minor) select id, 'Year', 12, 12, 1 from products")
	b.exec("insert into contracts (account_id, name, status, cycle_months, term_months) select a.id, 'Hosting', 'active', 12, 12 from (select id from accounts limit 1000) a, generate_series(1, 5)")
	b.exec("insert into contract_products (account_id, contract_id, product_id, plan_id, name, price_minor) select c.account_id, c.id, l.product_id, l.id, 'Hosting', 1 from contracts c, plans l")
	b.exec("insert into delegates (contract_id, user_id, status, invited_by_name, accepted_at) select id, $1, 'accepted', '', now() - interval '1 year' from contracts", grantee.UserID)
	b.exec("update tickets t set product_id = (select cp.id from contract_products cp where cp.account_id = t.account_id limit 1) where t.number % 4 = 0")
	for _, table := range []string{"delegates", "contracts", "contract_products", "accounts", "account_users", "tickets", "ticket_messages", "ticket_events", "message_versions", "users", "drafts"} {
		b.exec("analyze " + table)
	}
	id := b.open(b.technical)
	key := app.Key{At: scan[time.Time](b, "select now()"), ID: id}
	conn := &spy{Conn: b.pool}
	for _, list := range []func(context.Context, db.Conn, string, app.Key, int) ([]Ticket, error){listActive, listClosed} {
		for _, after := range []app.Key{{}, key} {
			for _, user := range []string{b.bea.UserID, grantee.UserID} {
				found, err := list(t.Context(), conn, user, after, pageSize+1)
				if err != nil {
					t.Fatal(err)
				}
				if len(found) == 0 && user == grantee.UserID {
					t.Error("who was let into thousands sees none")
				}
			}
		}
	}
	for _, user := range []string{b.bea.UserID, b.sam.UserID} {
		ticket, err := ticketByID(t.Context(), conn, user, id)
		if err != nil {
			t.Fatal(err)
		}
		whole := Thread{Ticket: ticket}
		if err := thread(t.Context(), conn, &whole, user); err != nil {
			t.Fatal(err)
		}
	}
	before := len(conn.queries)
	b.exec("insert into ticket_messages (ticket_id, author_name, voice, body, html) select $1, 'x', 'store', 'x', 'x' from generate_series(1, 300)", id)
	whole := Thread{Ticket: Ticket{ID: id, AccountID: b.bluebird, Relations: []string{Admin}}}
	if err := thread(t.Context(), conn, &whole, b.ada.UserID); err != nil {
		t.Fatal(err)
	}
	if short, long := (before-8)/2-1, len(conn.queries)-before; short != long || len(whole.Entries) != 301 {
		t.Errorf("a short thread costs %d queries, one of %d entries %d", short, len(whole.Entries), long)
	}
	for _, q := range conn.queries {
		plan := b.explain(q)
		for _, table := range []string{"tickets", "ticket_messages", "ticket_events", "users", "account_users"} {
			if strings.Contains(plan, "Seq Scan on "+table+" ") {
				t.Errorf("all of %s is read by:\n%s\n%s", table, q.sql, plan)
			}
		}
		if strings.Contains(q.sql, "from account_users au cross join lateral") {
			if !strings.Contains(plan, "tickets_account_active") && !strings.Contains(plan, "tickets_account_closed") {
				t.Errorf("a list is not read by its index:\n%s", plan)
			}
		}
	}
}

// explain runs a query and returns its plan.
func (b *bundle) explain(q query) string {
	b.t.Helper()
	rows, err := b.pool.Query(b.t.Context(), "explain (analyze, costs off, timing off, summary off) "+q.sql, q.args...)
	if err != nil {
		b.t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		b.t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}
