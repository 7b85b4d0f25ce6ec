package delegates

import (
	"context"
	"strings"
	"time"

	"portico/app"
	"portico/app/db"

	"github.com/jackc/pgx/v5"
)

const ticketSQL = `select 'ticket' as kind, t.id, t.subject as name, t.account_id, a.name as account_name, t.status = 'closed' as final
	from tickets t join accounts a on a.id = t.account_id where t.id = $1`

const contractSQL = `select 'contract' as kind, c.id, c.name, c.account_id, a.name as account_name, c.status in ('cancelled', 'ended') as final
	from contracts c join accounts a on a.id = c.account_id where c.id = $1`

func thingByID(ctx context.Context, conn db.Conn, kind, id string) (Thing, error) {
	if kind == Contract {
		return db.One[Thing](ctx, conn, contractSQL, id)
	}
	return db.One[Thing](ctx, conn, ticketSQL, id)
}

// lockThing is thingByID for writers. The row is locked first, so that what is read after it is not older than the lock.
func lockThing(ctx context.Context, tx pgx.Tx, kind, id string) (Thing, error) {
	sql := "select from tickets where id = $1 for update"
	if kind == Contract {
		sql = "select from contracts where id = $1 for no key update"
	}
	if _, err := tx.Exec(ctx, sql, id); err != nil {
		return Thing{}, err
	}
	return thingByID(ctx, tx, kind, id)
}

// hiddenSQL counts the tickets about a contract's products that were opened before the acceptance.
const hiddenSQL = `(select count(*) from contract_products cp join tickets t on t.product_id = cp.id
	where cp.contract_id = d.contract_id and t.created_at < d.accepted_at)::int`

// columns are a Delegate's, from "delegates d join users u", but for hidden.
const columns = `d.id, case when d.ticket_id is null then 'contract' else 'ticket' end as kind, coalesce(d.ticket_id, d.contract_id) as thing_id,
	d.user_id, u.name, u.email, d.status, d.invited_by_name, d.invited_at,
	(select k.expires_at from tokens k where k.delegate_id = d.id and k.used_at is null and k.expires_at > now() and d.status = 'invited') as link_until,
	d.accepted_at, d.finished_at, d.finished_by_name, d.ends_at, d.until_closed, d.may_act, d.may_tickets, d.ask_first, d.asked_at, d.used_at,
	coalesce(d.ends_at <= now(), false) as over`

const from = " from delegates d join users u on u.id = d.user_id "

// parentIs limits "delegates d" to those of the thing $1.
func parentIs(kind string) string {
	if kind == Contract {
		return "d.contract_id = $1"
	}
	return "d.ticket_id = $1"
}

// present lists who stands on a thing's panel, oldest first. It leads the panel, so it is not paged: a thing takes maxPresent.
func present(ctx context.Context, conn db.Conn, t Thing) ([]Delegate, error) {
	return db.All[Delegate](ctx, conn, "select "+columns+", "+hiddenSQL+" as hidden"+from+"where "+parentIs(t.Kind)+
		" and d.status in ('invited', 'accepted') order by d.created_at, d.id", t.ID)
}

// history lists who is out again, newest first.
func history(ctx context.Context, conn db.Conn, t Thing) ([]Delegate, error) {
	return db.All[Delegate](ctx, conn, "select "+columns+", 0 as hidden"+from+"where "+parentIs(t.Kind)+
		" and d.status not in ('invited', 'accepted') order by d.finished_at desc, d.id limit 50", t.ID)
}

func countPresent(ctx context.Context, conn db.Conn, t Thing) (int, error) {
	var count int
	err := conn.QueryRow(ctx, "select count(*) from delegates d where "+parentIs(t.Kind)+" and d.status in ('invited', 'accepted')", t.ID).Scan(&count)
	return count, err
}

// delegateOf returns one row of a thing's, or app.ErrNotFound.
func delegateOf(ctx context.Context, conn db.Conn, t Thing, id string) (Delegate, error) {
	return db.One[Delegate](ctx, conn, "select "+columns+", "+hiddenSQL+" as hidden"+from+"where "+parentIs(t.Kind)+" and d.id = $2", t.ID, id)
}

// presentOf returns a user's row of a thing's panel, or app.ErrNotFound.
func presentOf(ctx context.Context, conn db.Conn, t Thing, userID string) (Delegate, error) {
	return db.One[Delegate](ctx, conn, "select "+columns+", 0 as hidden"+from+"where "+parentIs(t.Kind)+
		" and d.user_id = $2 and d.status in ('invited', 'accepted')", t.ID, userID)
}

// person is somebody who is invited, or told of it.
type person struct {
	ID       string
	Name     string
	Email    string
	Language string
	TimeZone string
	OfStore  bool
	Member   bool // of the thing's account
}

const personColumns = "u.id, u.name, u.email, u.language, u.time_zone, u.role is not null as of_store"

// personByEmail returns whom an address belongs to, or app.ErrNotFound.
func personByEmail(ctx context.Context, conn db.Conn, email, accountID string) (person, error) {
	return db.One[person](ctx, conn, "select "+personColumns+`,
		exists (select from account_users au where au.account_id = $2 and au.user_id = u.id) as member
		from users u where lower(u.email) = lower($1) and u.disabled_at is null`, email, accountID)
}

func personByID(ctx context.Context, conn db.Conn, id, accountID string) (person, error) {
	return db.One[person](ctx, conn, "select "+personColumns+`,
		exists (select from account_users au where au.account_id = $2 and au.user_id = u.id) as member
		from users u where u.id = $1 and u.disabled_at is null`, id, accountID)
}

// ownersAndInviter lists who is told that an invitation was accepted: the account's owner and who invited, if both can read mail.
func ownersAndInviter(ctx context.Context, conn db.Conn, accountID, delegateID string) ([]person, error) {
	return db.All[person](ctx, conn, "select "+personColumns+`,
		exists (select from account_users au where au.account_id = $1 and au.user_id = u.id) as member
		from users u where u.disabled_at is null and u.email_confirmed_at is not null
		and (u.id = (select invited_by from delegates where id = $2)
			or u.id in (select user_id from account_users where account_id = $1 and relation = 'owner'))`, accountID, delegateID)
}

// owners lists the owners of an account who can read mail.
func owners(ctx context.Context, conn db.Conn, accountID string) ([]person, error) {
	return db.All[person](ctx, conn, "select "+personColumns+`, true as member
		from users u join account_users au on au.user_id = u.id
		where au.account_id = $1 and au.relation = 'owner' and u.disabled_at is null and u.email_confirmed_at is not null`, accountID)
}

func hasAccess(ctx context.Context, conn db.Conn, id, userID string) (has bool, err error) {
	err = conn.QueryRow(ctx, "select exists (select from delegates d where d.id = $1 and d.user_id = $2 and "+Live+")", id, userID).Scan(&has)
	return has, err
}

func setAsked(ctx context.Context, tx pgx.Tx, id string) (at time.Time, err error) {
	err = tx.QueryRow(ctx, "update delegates set asked_at = clock_timestamp() where id = $1 returning asked_at", id).Scan(&at)
	return at, err
}

func answerAsked(ctx context.Context, tx pgx.Tx, id string, allow bool) error {
	_, err := tx.Exec(ctx, "update delegates set may_act = may_act or $2, asked_at = null where id = $1", id, allow)
	return err
}

func insertDelegate(ctx context.Context, tx pgx.Tx, t Thing, userID string, v app.Viewer) (id string, err error) {
	column := "ticket_id"
	if t.Kind == Contract {
		column = "contract_id"
	}
	err = tx.QueryRow(ctx, "insert into delegates ("+column+", user_id, invited_by, invited_by_name) values ($1, $2, $3, $4) returning id::text",
		t.ID, userID, v.UserID, v.Name).Scan(&id)
	return id, err
}

// renew notes a new sending of an invitation.
func renew(ctx context.Context, tx pgx.Tx, id string, v app.Viewer) error {
	_, err := tx.Exec(ctx, "update delegates set invited_by = $2, invited_by_name = $3, invited_at = clock_timestamp() where id = $1", id, v.UserID, v.Name)
	return err
}

func accept(ctx context.Context, tx pgx.Tx, id string) error {
	_, err := tx.Exec(ctx, "update delegates set status = 'accepted', accepted_at = clock_timestamp() where id = $1", id)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "update tokens set used_at = now() where delegate_id = $1", id)
	return err
}

// finish ends an invitation or an access, and every link of it.
func finish(ctx context.Context, tx pgx.Tx, id, status string, v app.Viewer) error {
	_, err := tx.Exec(ctx, `
		update delegates set status = $2, finished_at = case when $2 = 'ended' then ends_at else clock_timestamp() end,
			finished_by = nullif($3, '')::uuid, finished_by_name = $4 where id = $1`, id, status, v.UserID, v.Name)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "delete from tokens where delegate_id = $1", id)
	return err
}

func setTerms(ctx context.Context, tx pgx.Tx, id string, endsAt *time.Time, terms Terms) error {
	_, err := tx.Exec(ctx, `
		update delegates set ends_at = $2, until_closed = $3, may_act = $4, may_tickets = $5, ask_first = $6,
			asked_at = case when $4 then null else asked_at end where id = $1`,
		id, endsAt, terms.UntilClosed, terms.MayAct, terms.MayTickets, terms.AskFirst)
	return err
}

func extend(ctx context.Context, tx pgx.Tx, id string, days int) error {
	_, err := tx.Exec(ctx, "update delegates set ends_at = greatest(ends_at, now()) + make_interval(days => $2) where id = $1", id, days)
	return err
}

// linked is an invitation as its link finds it.
type linked struct {
	ID      string
	Kind    string
	ThingID string
	UserID  string
	Status  string
	Works   bool // it can be accepted
}

// byLink returns the invitation whose link this is, if it went to this user's present address, or app.ErrNotFound.
func byLink(ctx context.Context, conn db.Conn, hash []byte, userID string) (linked, error) {
	return db.One[linked](ctx, conn, `
		select d.id, case when d.ticket_id is null then 'contract' else 'ticket' end as kind, coalesce(d.ticket_id, d.contract_id) as thing_id,
			d.user_id, d.status, d.status = 'invited' and k.used_at is null and k.expires_at > now() as works
		from tokens k join delegates d on d.id = k.delegate_id join users u on u.id = d.user_id
		where k.token_hash = $1 and d.user_id = $2 and lower(k.email) = lower(u.email) and u.disabled_at is null and u.role is null`, hash, userID)
}

// Note notes that a user made use of what they were let into, at most once an hour.
func Note(ctx context.Context, conn db.Conn, kind, thingID, userID string) error {
	_, err := conn.Exec(ctx, "update delegates d set used_at = now() where "+parentIs(kind)+` and d.user_id = $2 and d.status = 'accepted'
		and (d.used_at is null or d.used_at < now() - interval '1 hour')`, thingID, userID)
	return err
}

// reachColumns join what a delegate is let into.
const reachSQL = "select " + columns + `, case when d.contract_id is null then 0 else ` + hiddenSQL + ` end as hidden,
		coalesce(t.subject, c.name) as title, a.id as owner_id, a.name as owner_name, coalesce(t.status = 'closed', c.status in ('cancelled', 'ended')) as final
	from delegates d join users u on u.id = d.user_id
	left join tickets t on t.id = d.ticket_id left join contracts c on c.id = d.contract_id
	join accounts a on a.id = coalesce(t.account_id, c.account_id)
	where d.id in (
		select x.id from tickets y join delegates x on x.ticket_id = y.id where y.account_id in SCOPE and x.status in ('invited', 'accepted')
		union all
		select x.id from contracts y join delegates x on x.contract_id = y.id where y.account_id in SCOPE and x.status in ('invited', 'accepted'))
	and ($2 = '' or d.user_id = nullif($2, '')::uuid)
	order by lower(u.name), u.id, d.created_at, d.id limit 1000`

// Whose things reached looks through: those of the accounts that the user $1 owns, or of the account $1.
const (
	ofOwner   = "(select account_id from account_users where user_id = $1 and relation = 'owner')"
	ofAccount = "(select $1::uuid)"
)

type reachRow struct {
	Delegate
	Title     string
	OwnerID   string
	OwnerName string
	Final     bool
}

// reached lists who stands on a panel of things within a scope, ofOwner or ofAccount of an id; personID "" for everybody.
func reached(ctx context.Context, conn db.Conn, scope, id, personID string) ([]reachRow, error) {
	return db.All[reachRow](ctx, conn, strings.ReplaceAll(reachSQL, "SCOPE", scope), id, personID)
}

// ending is an access that ends soon, with its account's owner.
type ending struct {
	person
	DelegateID string
	Kind       string
	ThingID    string
	Title      string
	Who        string
	EndsAt     time.Time
}

// endings lists accesses that end before a moment, once for each owner who can be told.
func endings(ctx context.Context, conn db.Conn, before time.Time) ([]ending, error) {
	return db.All[ending](ctx, conn, "select "+personColumns+`, true as member,
			d.id as delegate_id, case when d.ticket_id is null then 'contract' else 'ticket' end as kind, coalesce(d.ticket_id, d.contract_id) as thing_id,
			coalesce(t.subject, c.name) as title, p.name as who, d.ends_at
		from delegates d join users p on p.id = d.user_id
		left join tickets t on t.id = d.ticket_id left join contracts c on c.id = d.contract_id
		join account_users au on au.account_id = coalesce(t.account_id, c.account_id) and au.relation = 'owner'
		join users u on u.id = au.user_id and u.disabled_at is null and u.email_confirmed_at is not null
		where d.status = 'accepted' and d.ends_at > now() and d.ends_at < $1
		and not exists (select from mail_deliveries m where m.key = 'access-ends:' || d.id::text || ':' || extract(epoch from d.ends_at)::bigint::text)
		order by d.ends_at limit 500`, before)
}

func permissionsOf(ctx context.Context, conn db.Conn, userID string) ([]string, error) {
	rows, err := conn.Query(ctx, "select permission from staff_permissions where user_id = $1", userID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
