package clients

import (
	"context"
	"strings"

	"portico/app"
	"portico/app/db"
	"portico/app/delegates"
	"portico/app/tickets"

	"github.com/jackc/pgx/v5"
)

// columns are a Client's from "accounts a". $1 tells whether addresses may be seen.
const columns = `a.id, a.name, a.kind, a.became_client_at, a.created_at,
	coalesce((select u.name from account_users au join users u on u.id = au.user_id where au.account_id = a.id and au.relation = 'owner'), '') as owner_name,
	case when $1 then coalesce((select u.email from account_users au join users u on u.id = au.user_id where au.account_id = a.id and au.relation = 'owner'), '') else '' end as owner_email,
	(select count(*) from contracts c where c.account_id = a.id and c.status in ('active', 'suspended'))::int as running`

// foundSQL are the accounts that a text finds: by a part of their name, or of a user's name or address (if those may be seen), or by
// the beginning of a product's identifier or username. No index finds a part of a name, but there are far fewer accounts than anything
// else.
const foundSQL = `
	select x.id from accounts x where x.name ilike $5
	union select au.account_id from users u join account_users au on au.user_id = u.id where u.name ilike $5 or $1 and u.email ilike $5
	union select p.account_id from contract_products p where p.identifier <> '' and p.identifier like $6
	union select p.account_id from contract_products p where p.username <> '' and p.username like $6`

// list returns accounts by name, after the one whose id is after ("" for the first).
func list(ctx context.Context, conn db.Conn, f Filter, addresses bool, after string, limit int) ([]Client, error) {
	where := ""
	args := []any{pgx.QueryExecModeCacheDescribe, addresses, f.Kind, after, limit}
	if f.Text != "" {
		where = " and a.id in (" + foundSQL + ")"
		args = append(args, db.Contains(f.Text), strings.TrimPrefix(db.Contains(strings.ToLower(f.Text)), "%"))
	}
	return db.All[Client](ctx, conn, "select "+columns+` from accounts a
		where ($2 = '' or ($2 = 'client') = (a.became_client_at is not null))
		and ($3 = '' or (lower(a.name), a.id) > (select lower(name), id from accounts where id = nullif($3, '')::uuid))`+where+`
		order by lower(a.name), a.id limit $4`, args...)
}

func byID(ctx context.Context, conn db.Conn, addresses bool, id string) (Client, error) {
	return db.One[Client](ctx, conn, "select "+columns+" from accounts a where a.id = $2", addresses, id)
}

// people lists an account's users, the owner first.
func people(ctx context.Context, conn db.Conn, accountID string) ([]Person, error) {
	return db.All[Person](ctx, conn, `
		select u.id, u.name, u.email, au.relation, au.permissions, u.email_confirmed_at is not null as confirmed, u.disabled_at is not null as disabled, au.created_at
		from account_users au join users u on u.id = au.user_id where au.account_id = $1 order by au.relation, lower(u.name), u.id limit 500`, accountID)
}

// ticketsOf lists an account's tickets that a user sees: those that are not closed first, each newest change first, after a key.
func ticketsOf(ctx context.Context, conn db.Conn, userID, accountID string, closed bool, after app.Key, limit int) ([]tickets.Ticket, error) {
	status, order := "t.status <> 'closed'", "updated_at"
	if closed {
		status, order = "t.status = 'closed'", "closed_at"
	}
	return db.All[tickets.Ticket](ctx, conn, "select "+tickets.Columns+`, r.relations
		from tickets t join users u on u.id = $1 cross join lateral (select `+tickets.RelationsSQL+` as relations) r
		where t.account_id = $2 and `+status+` and r.relations <> '{}'
		and ($4 = '' or (t.`+order+`, t.id) < ($3::timestamptz, nullif($4, '')::uuid))
		order by t.`+order+` desc, t.id desc limit $5`, userID, accountID, after.At, after.ID, limit)
}

// seenTickets tells which of some tickets a user sees.
func seenTickets(ctx context.Context, conn db.Conn, userID string, ids []string) ([]string, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := conn.Query(ctx, "select t.id::text from tickets t join users u on u.id = $1 where t.id = any($2::uuid[]) and "+tickets.RelationsSQL+" <> '{}'", userID, ids)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// shareable lists an account's newest tickets that are open and seen by a user, and, if asked for, its contracts that are not over: 100
// of each at most.
func shareable(ctx context.Context, conn db.Conn, userID, accountID string, contracts bool) ([]delegates.Thing, error) {
	return db.All[delegates.Thing](ctx, conn, `
		(select 'ticket' as kind, t.id, t.subject as name, t.account_id, '' as account_name, false as final
			from tickets t join users u on u.id = $1 where t.account_id = $2 and t.status <> 'closed' and `+tickets.RelationsSQL+` <> '{}'
			order by t.updated_at desc, t.id desc limit 100)
		union all
		(select 'contract', c.id, c.name, c.account_id, '', false from contracts c
			where $3 and c.account_id = $2 and c.status not in ('cancelled', 'ended') order by c.created_at desc, c.id desc limit 100)`, userID, accountID, contracts)
}
