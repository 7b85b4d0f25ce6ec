package support

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"portico/app"
	"portico/app/db"
	"portico/app/db/dbtest"

	"github.com/jackc/pgx/v5"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// spy notes every query that goes through it.
type spy struct {
	db.Conn
	queries []pgx.QueuedQuery
}

func (s *spy) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	s.queries = append(s.queries, pgx.QueuedQuery{SQL: sql, Arguments: args})
	return s.Conn.Query(ctx, sql, args...)
}

// TestPlans: the list of the store's people reads by index whatever it is filtered by, and little more than it shows; so does its
// menu, whatever there is to count.
func TestPlans(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	exec := func(sql string) {
		t.Helper()
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	var department, sam string
	exec("insert into accounts (name) select 'Account ' || n from generate_series(1, 200) n")
	exec("insert into departments (name, position) values ('Technical support', 0), ('Billing', 1)")
	exec("insert into users (name, email, role) values ('Sam', 'sam@example.com', 'staff'), ('Ada', 'ada@example.com', 'admin')")
	exec("insert into users (name, email) select 'U', 'u' || n || '@example.com' from generate_series(1, 2000) n")
	for sql, into := range map[string]*string{"select id from departments where name = 'Billing'": &department, "select id from users where name = 'Sam'": &sam} {
		if err := pool.QueryRow(t.Context(), sql).Scan(into); err != nil {
			t.Fatal(err)
		}
	}
	exec(`insert into tickets (account_id, subject, department_id, assignee_id, status, updated_at, waiting_since, closed_at)
		select a.ids[1 + n % 200], 'The server of ' || n, d.ids[1 + n % 3], u.ids[1 + (n / 3) % 3], status, at, case when status in ('open', 'client_replied') then at end,
			case when status = 'closed' then at end
		from generate_series(1, 20000) n
		cross join lateral (select now() - n * interval '1 minute' as at, (array['open', 'client_replied', 'staff_replied', 'waiting', 'closed'])[1 + (n / 9) % 5] as status) x
		cross join (select array_agg(id) as ids from accounts) a cross join (select array_agg(id) || null::uuid as ids from departments) d
		cross join (select array_agg(id) || null::uuid as ids from users where role is not null) u`)
	exec(`insert into ticket_messages (ticket_id, author_name, voice, body, html)
		select id, 'x', 'owner', 'Our server is slow, rare' || row_number() over () || 'x too', 'x' from tickets, generate_series(1, 2)`)
	for _, table := range []string{"tickets", "ticket_messages", "users", "accounts", "departments"} {
		exec("vacuum analyze " + table)
	}
	staff := app.Viewer{UserID: sam, Role: app.RoleStaff, Departments: []string{department}}
	admin := app.Viewer{UserID: sam, Role: app.RoleAdmin}
	read := regexp.MustCompile(`(?:Scan[^\n]* on (?:tickets|ticket_messages) [^\n]*\(actual rows=|Rows Removed by Filter: )(\d+)`)
	for _, v := range []app.Viewer{staff, admin} {
		conn := &spy{Conn: pool}
		if _, err := counts(t.Context(), conn, v); err != nil {
			t.Fatal(err)
		}
		for _, f := range []Filter{
			{}, {Status: "open"}, {Status: "closed"}, {Status: Ours}, {Department: department}, {Department: None}, {Assignee: Myself}, {Assignee: None}, {Waiting: 24},
			{Text: "rare77x"}, {Text: "server"}, {Text: "#4150"}, {Text: "server rare77x"}, {Status: "waiting", Department: department}, {Status: "open", Assignee: Myself},
		} {
			first, err := list(t.Context(), conn, v, f, app.Key{}, pageSize)
			if err != nil {
				t.Fatal(err)
			}
			if len(first) == pageSize {
				if _, err := list(t.Context(), conn, v, f, f.keyOf(first[pageSize-1]), pageSize); err != nil {
					t.Fatal(err)
				}
			} else if f.Text != "rare77x" && f.Text != "#4150" && f.Text != "server rare77x" {
				t.Errorf("%+v finds only %d", f, len(first))
			}
		}
		for _, q := range conn.queries {
			rows, err := pool.Query(t.Context(), "explain (analyze, costs off, timing off, summary off) "+q.SQL, q.Arguments...)
			if err != nil {
				t.Fatal(err)
			}
			lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				t.Fatal(err)
			}
			plan := strings.Join(lines, "\n")
			for _, found := range read.FindAllStringSubmatch(plan, -1) {
				// A thousand or more of 20,000 tickets or 40,000 messages; but for finding out that a word is common.
				if len(found[1]) > 3 && found[1] != strconv.Itoa(maxFound+1) {
					t.Errorf("%s reads %s rows:\n%s\n%v", v.Role, found[1], plan, q.Arguments)
					break
				}
			}
		}
	}
}
