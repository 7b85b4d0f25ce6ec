package tickets

import (
	"context"
	"errors"
	"fmt"
	"time"

	"portico/app"
	"portico/app/attachments"
	"portico/app/db"
	"portico/app/delegates"

	"github.com/jackc/pgx/v5"
)

// RelationsSQL is all that the user u is to the ticket t, as things are at that moment: empty for a stranger. Every query of one
// ticket decides by it who sees the ticket, and so do streams and mails. Who belongs to the ticket's account sees it as a client's
// own, also one of the store's people. Grants of the store's people count for nothing.
//
// Of a contract, a delegate sees what was opened at or after this acceptance, while the contract runs.  Source: permission matrix,
// notes d and e.
//
// "(select true from …)" finds at most one row and is looked up; of an "exists" PostgreSQL may rather read the whole table once.
const RelationsSQL = `case when u.disabled_at is not null then '{}'::text[] else coalesce(
	(select case when au.relation = 'owner' or 'delegates' = any(au.permissions) then '{owner}'::text[]
		when t.opener_id = u.id then '{user,author}' else '{user}' end
	from account_users au where au.account_id = t.account_id and au.user_id = u.id),
	case u.role
	when 'admin' then '{admin}'
	when 'staff' then case when t.department_id is null
		or exists (select from staff_departments sd where sd.user_id = u.id and sd.department_id = t.department_id) then '{staff}' else '{}' end::text[]
	else array_remove(array[
		case when (select true from delegates d where d.ticket_id = t.id and d.user_id = u.id and ` + delegates.Live + `) then 'delegate' end,
		case when t.product_id is not null and exists (` + grantSQL + ` and d.user_id = u.id) then
			case when t.opener_id = u.id then 'opener' else 'reader' end end], null)
	end) end`

// grantSQL finds who was let into the contract of the product of the ticket t, and sees the ticket for that.
const grantSQL = `select from contract_products cp join contracts c on c.id = cp.contract_id join delegates d on d.contract_id = c.id
	where cp.id = t.product_id and c.status in ('active', 'suspended') and d.may_tickets and t.created_at >= d.accepted_at and ` + delegates.Live

// Columns are a Ticket's, but for the relation, from "tickets t". Names are looked up row by row: for a page of a list a join
// would rather read all users.
const Columns = `t.id, t.number, t.account_id, (select name from accounts where id = t.account_id) as account_name, t.opener_id, t.subject,
	t.department_id, coalesce((select name from departments where id = t.department_id), '') as department_name,
	t.assignee_id, coalesce((select name from users where id = t.assignee_id), '') as assignee_name, t.status, t.follows_id, t.duplicate_of,
	t.created_at, t.updated_at, t.last_post_at, t.last_client_post_at, t.waiting_since, t.closed_at, t.version,
	t.product_id, coalesce((select name from contract_products where id = t.product_id), '') as product_name,
	(select contract_id from contract_products where id = t.product_id) as contract_id`

// ticketByID returns a ticket as a user sees it, or app.ErrNotFound to a stranger.
func ticketByID(ctx context.Context, conn db.Conn, userID, id string) (Ticket, error) {
	return db.One[Ticket](ctx, conn, `
		select `+Columns+`, r.relations
		from tickets t join users u on u.id = $1 cross join lateral (select `+RelationsSQL+` as relations) r
		where t.id = $2 and r.relations <> '{}'`, userID, id)
}

// lockTicket is ticketByID for writers. The row is locked first, so that what is read with it is not older than the lock; then what
// the viewer was let in by, so that a revocation either comes before or waits.
func lockTicket(ctx context.Context, tx pgx.Tx, userID, id string) (Ticket, error) {
	if _, err := tx.Exec(ctx, "select from tickets where id = $1 for update", id); err != nil {
		return Ticket{}, err
	}
	if err := lockGrants(ctx, tx, userID, id); err != nil {
		return Ticket{}, err
	}
	return ticketByID(ctx, tx, userID, id)
}

// lockGrants keeps what a user was let into a ticket by from being revoked until the transaction ends.
func lockGrants(ctx context.Context, tx pgx.Tx, userID, id string) error {
	_, err := tx.Exec(ctx, `
		select from delegates d where d.user_id = $1 and d.status = 'accepted' and (d.ticket_id = $2 or d.contract_id =
			(select cp.contract_id from tickets t join contract_products cp on cp.id = t.product_id where t.id = $2)) for share`, userID, id)
	return err
}

// listActive returns tickets of a user's accounts, and shared with them, that are not closed, newest change first, after a key.
func listActive(ctx context.Context, conn db.Conn, userID string, after app.Key, limit int) ([]Ticket, error) {
	return db.All[Ticket](ctx, conn, ownSQL("t.status <> 'closed'", "updated_at"), userID, after.At, after.ID, limit)
}

// listClosed returns such tickets that are closed, newest closing first, after a key.
func listClosed(ctx context.Context, conn db.Conn, userID string, after app.Key, limit int) ([]Ticket, error) {
	return db.All[Ticket](ctx, conn, ownSQL("t.status = 'closed'", "closed_at"), userID, after.At, after.ID, limit)
}

// ownSQL takes a page from each account and each contract in the order of their indexes, and the tickets that the user was let
// into one by one, and then the first of all: what is read grows with what is shared with the user, never with the store.
// RelationsSQL has the last word about each.
func ownSQL(status, order string) string {
	page := fmt.Sprintf("%s and ($3 = '' or (t.%s, t.id) < ($2::timestamptz, nullif($3, '')::uuid))", status, order)
	return fmt.Sprintf(`
		select %[1]s, r.relations
		from (
			select id from (
				select x.id, x.at from account_users au cross join lateral (
					select t.id, t.%[3]s as at from tickets t where t.account_id = au.account_id and %[2]s
					order by t.%[3]s desc, t.id desc limit $4) x
				where au.user_id = $1
				union
				select x.id, x.at from delegates d cross join lateral (
					select t.id, t.%[3]s as at from tickets t where t.id = d.ticket_id and %[2]s limit 1) x
				where d.user_id = $1 and d.ticket_id is not null and %[4]s
				union
				select x.id, x.at from delegates d join contracts c on c.id = d.contract_id and c.status in ('active', 'suspended')
				join contract_products cp on cp.contract_id = c.id cross join lateral (
					select t.id, t.%[3]s as at from tickets t where t.product_id = cp.id and t.created_at >= d.accepted_at and %[2]s
					order by t.%[3]s desc, t.id desc limit $4) x
				where d.user_id = $1 and d.may_tickets and %[4]s) own
			order by at desc, id desc limit $4) page
		join tickets t on t.id = page.id join users u on u.id = $1
		cross join lateral (select `+RelationsSQL+` as relations) r
		where r.relations <> '{}'
		order by t.%[3]s desc, t.id desc`, Columns, page, order, delegates.Live)
}

// aboutSQL is the tickets about products $2 that the user $1 sees, newest first, each product's in the order of its index.
const aboutSQL = `contract_products cp join users u on u.id = $1 cross join lateral (
		select t.id, t.created_at from tickets t where t.product_id = cp.id and ($4 = '' or (t.created_at, t.id) < ($3::timestamptz, nullif($4, '')::uuid))
		and ` + RelationsSQL + ` <> '{}' order by t.created_at desc, t.id desc limit $5) x
	where cp.id = any($2::text[]::uuid[])`

func listAbout(ctx context.Context, conn db.Conn, userID string, products []string, after app.Key, limit int) ([]Ticket, error) {
	return db.All[Ticket](ctx, conn, "select "+Columns+`, r.relations
		from (select x.id from `+aboutSQL+` order by x.created_at desc, x.id desc limit $5) page
		join tickets t on t.id = page.id join users u on u.id = $1 cross join lateral (select `+RelationsSQL+` as relations) r
		order by t.created_at desc, t.id desc`, userID, products, after.At, after.ID, limit)
}

func countAbout(ctx context.Context, conn db.Conn, userID string, products []string, limit int) (int, error) {
	var count int
	err := conn.QueryRow(ctx, "select count(*) from (select from "+aboutSQL+" limit $5) x", userID, products, time.Time{}, "", limit).Scan(&count)
	return count, err
}

// sharedWith lists up to limit tickets of accounts that the user $1 owns, as the user $2 sees them, newest first.
func sharedWith(ctx context.Context, conn db.Conn, ownerID, userID string, limit int) ([]Ticket, error) {
	return db.All[Ticket](ctx, conn, "select "+Columns+`, r.relations
		from (
			select d.ticket_id as id from delegates d where d.user_id = $2 and d.ticket_id is not null and `+delegates.Live+`
			union
			select t.id from delegates d join contract_products cp on cp.contract_id = d.contract_id join tickets t on t.product_id = cp.id
				where d.user_id = $2 and t.created_at >= d.accepted_at and `+delegates.Live+`) shared
		join tickets t on t.id = shared.id
		join account_users own on own.account_id = t.account_id and own.user_id = $1 and own.relation = 'owner'
		join users u on u.id = $2 cross join lateral (select `+RelationsSQL+` as relations) r
		where r.relations <> '{}' order by t.created_at desc, t.id desc limit $3`, ownerID, userID, limit)
}

// sharedTicket returns a ticket of an account that one user owns, as another user sees it, or app.ErrNotFound.
func sharedTicket(ctx context.Context, conn db.Conn, ownerID, userID, id string) (Ticket, error) {
	return db.One[Ticket](ctx, conn, "select "+Columns+`, r.relations
		from tickets t join account_users own on own.account_id = t.account_id and own.user_id = $1 and own.relation = 'owner'
		join users u on u.id = $2 cross join lateral (select `+RelationsSQL+` as relations) r
		where t.id = $3 and r.relations <> '{}'`, ownerID, userID, id)
}

// accountRow is an account that a user may open tickets in.
type accountRow struct{ ID, Name string }

func accountsOf(ctx context.Context, conn db.Conn, userID string) ([]accountRow, error) {
	return db.All[accountRow](ctx, conn, `
		select a.id, a.name from account_users au join accounts a on a.id = au.account_id where au.user_id = $1
		order by au.relation, lower(a.name), a.id limit 100`, userID)
}

func accountExists(ctx context.Context, conn db.Conn, id string) (bool, error) {
	var exists bool
	err := conn.QueryRow(ctx, "select exists (select from accounts where id = $1)", id).Scan(&exists)
	return exists, err
}

func departmentInUse(ctx context.Context, conn db.Conn, id string) (bool, error) {
	var inUse bool
	err := conn.QueryRow(ctx, "select exists (select from departments where id = $1 and archived_at is null)", id).Scan(&inUse)
	return inUse, err
}

const messageColumns = "m.id, m.ticket_id, m.author_id, m.author_name, m.voice, m.internal, m.body, m.html, m.created_at, m.edited_at"

// thread reads everything of a ticket but itself in one round trip. A ticket of any length costs the same queries.
func thread(ctx context.Context, conn db.Conn, t *Thread, userID string) error {
	var messages []Message
	var events []Event
	var versions []Version
	var files []attachments.File
	notes := t.Allows("notes")
	batch := &pgx.Batch{}
	collect(batch, &messages, "select "+messageColumns+` from ticket_messages m where m.ticket_id = $1 and (not m.internal or $2)
		order by m.created_at, m.id`, t.ID, notes)
	collect(batch, &events, `select id, at, actor_id, actor_name, kind, data, internal from ticket_events
		where ticket_id = $1 and (not internal or $2) order by at, id`, t.ID, notes)
	collect(batch, &versions, `select v.message_id, v.replaced_at, v.body, v.html from ticket_messages m
		join message_versions v on v.message_id = m.id where m.ticket_id = $1 and $2 order by v.replaced_at`, t.ID, notes)
	collect(batch, &files, "select "+attachments.Columns+` from ticket_messages m join attachments f on f.message_id = m.id
		where m.ticket_id = $1 and (not m.internal or $2) order by f.created_at, f.id`, t.ID, notes)
	collect(batch, &t.People, `select u.id, u.name, u.disabled_at is null and u.id <> $2
			and not exists (select from mail_refusals r where r.user_id = u.id and r.kind = 'reply-posted') as mail, p.delegate, p.since
		from (`+peopleSQL+`) p join users u on u.id = p.user_id
		order by p.delegate, p.rank, p.since, lower(u.name), u.id limit 200`, t.ID, userID)
	var links []linkRow
	collect(batch, &links, `select x.id, x.number, x.subject, x.status, x.kind from (
			select t.*, 'follows' as kind from tickets t where t.id = $2::uuid
			union all select t.*, 'double' from tickets t where t.id = $3::uuid
			union all (select t.*, 'follow-up' from tickets t where t.follows_id = $1 order by t.created_at, t.id limit 20)) x
		join tickets t on t.id = x.id join users u on u.id = $4
		where `+RelationsSQL+` <> '{}' order by x.number`, t.ID, t.FollowsID, t.DuplicateOf, userID)
	var drafts []Draft
	collect(batch, &drafts, "select object, subject, department_id, body, updated_at from drafts where user_id = $1 and object = $2", userID, DraftOfReply(t.ID))
	if err := conn.SendBatch(ctx, batch).Close(); err != nil {
		return err
	}
	for i := range messages {
		m := &messages[i]
		m.Own = m.AuthorID != nil && *m.AuthorID == userID
		m.CanEdit = m.Own && t.Status != Closed && t.Allows("edit_own")
		for _, f := range files {
			if f.MessageID == m.ID {
				m.Files = append(m.Files, f)
			}
		}
		for _, v := range versions {
			if v.MessageID == m.ID {
				m.Versions = append(m.Versions, v)
			}
		}
	}
	for i := range events {
		events[i].Own = events[i].ActorID != nil && *events[i].ActorID == userID
	}
	t.Entries = merge(messages, events)
	for _, link := range links {
		switch link.Kind {
		case "follows":
			t.Follows = &link.Link
		case "double":
			t.Double = &link.Link
		default:
			t.FollowUps = append(t.FollowUps, link.Link)
		}
	}
	if len(drafts) > 0 {
		t.Draft = drafts[0]
	}
	return nil
}

// peopleSQL lists the people of the account of the ticket $1, and its delegates who read it, each once.
const peopleSQL = `select distinct on (user_id) user_id, delegate, since, rank from (
		select au.user_id, false as delegate, null::timestamptz as since, case au.relation when 'owner' then 0 else 1 end as rank
			from tickets t join account_users au on au.account_id = t.account_id where t.id = $1
		union all
		select d.user_id, true, d.accepted_at, 2 from delegates d join users u on u.id = d.user_id
			where d.ticket_id = $1 and u.disabled_at is null and u.role is null and ` + delegates.Live + `
		union all
		select d.user_id, true, d.accepted_at, 2 from tickets t join contract_products cp on cp.id = t.product_id
			join contracts c on c.id = cp.contract_id and c.status in ('active', 'suspended')
			join delegates d on d.contract_id = c.id and d.may_tickets and t.created_at >= d.accepted_at join users u on u.id = d.user_id
			where t.id = $1 and u.disabled_at is null and u.role is null and ` + delegates.Live + `) every
	order by user_id, rank, since`

type linkRow struct {
	Link
	Kind string
}

// collect adds a query to a batch whose rows go to rows.
func collect[T any](batch *pgx.Batch, rows *[]T, sql string, args ...any) {
	batch.Queue(sql, args...).Query(func(found pgx.Rows) (err error) {
		*rows, err = pgx.CollectRows(found, pgx.RowToStructByName[T])
		return err
	})
}

func insertTicket(ctx context.Context, tx pgx.Tx, o Opening, openerID, status string) (id string, err error) {
	err = tx.QueryRow(ctx, `
		insert into tickets (account_id, opener_id, subject, department_id, status, follows_id, product_id)
		values ($1, $2, $3, nullif($4, '')::uuid, $5, nullif($6, '')::uuid, nullif($7, '')::uuid) returning id::text`,
		o.AccountID, openerID, o.Subject, o.DepartmentID, status, o.FollowsID, o.ProductID).Scan(&id)
	return id, err
}

// insertMessage stores a message and returns its id.
func insertMessage(ctx context.Context, tx pgx.Tx, m Message) (Message, error) {
	return db.One[Message](ctx, tx, `
		insert into ticket_messages as m (ticket_id, author_id, author_name, voice, internal, body, html)
		values ($1, $2, $3, $4, $5, $6, $7) returning `+messageColumns,
		m.TicketID, m.AuthorID, m.AuthorName, m.Voice, m.Internal, m.Body, m.HTML)
}

// messageByID returns a message as its ticket's viewer sees it: app.ErrNotFound for one of another ticket, or for a note where
// notes may not be seen.
func messageByID(ctx context.Context, conn db.Conn, t Ticket, id string) (Message, error) {
	return db.One[Message](ctx, conn, "select "+messageColumns+" from ticket_messages m where m.id = $1 and m.ticket_id = $2 and (not m.internal or $3)",
		id, t.ID, t.Allows("notes"))
}

// updateMessage gives a message another text and keeps the one it had.
func updateMessage(ctx context.Context, tx pgx.Tx, id, body, html string) error {
	batch := &pgx.Batch{}
	batch.Queue("insert into message_versions (message_id, body, html) select id, body, html from ticket_messages where id = $1", id)
	batch.Queue("update ticket_messages set body = $2, html = $3, edited_at = clock_timestamp() where id = $1", id, body, html)
	return tx.SendBatch(ctx, batch).Close()
}

// markPosted notes a post on its ticket. A client's post starts the store's waiting time, unless it runs already; the store's
// ends it.
func markPosted(ctx context.Context, tx pgx.Tx, id, status string, byClient bool, at time.Time) error {
	_, err := tx.Exec(ctx, `
		update tickets set status = $2, last_post_at = $4, silence_closes_at = null, updated_at = clock_timestamp(), version = version + 1,
			last_client_post_at = case when $3 then $4 else last_client_post_at end,
			waiting_since = case when $3 then coalesce(waiting_since, $4) end
		where id = $1`, id, status, byClient, at)
	return err
}

// touch notes a change that the account's people can see.
func touch(ctx context.Context, tx pgx.Tx, id string) error {
	_, err := tx.Exec(ctx, "update tickets set updated_at = clock_timestamp(), version = version + 1 where id = $1", id)
	return err
}

func setSubject(ctx context.Context, tx pgx.Tx, id, subject string) error {
	_, err := tx.Exec(ctx, "update tickets set subject = $2, updated_at = clock_timestamp(), version = version + 1 where id = $1", id, subject)
	return err
}

func setClosed(ctx context.Context, tx pgx.Tx, id, duplicateOf string) error {
	_, err := tx.Exec(ctx, `
		update tickets set status = 'closed', closed_at = clock_timestamp(), waiting_since = null, silence_closes_at = null, duplicate_of = nullif($2, '')::uuid,
			updated_at = clock_timestamp(), version = version + 1
		where id = $1`, id, duplicateOf)
	return err
}

func insertEvent(ctx context.Context, tx pgx.Tx, ticketID string, v app.Viewer, e Event) (id string, err error) {
	data := e.Data
	if data == nil {
		data = map[string]string{}
	}
	err = tx.QueryRow(ctx, `
		insert into ticket_events (ticket_id, actor_id, actor_name, kind, data, internal) values ($1, nullif($2, '')::uuid, $3, $4, $5, $6)
		returning id::text`, ticketID, v.UserID, v.Name, e.Kind, data, e.Internal).Scan(&id)
	return id, err
}

// draftOf returns a user's draft, the zero Draft if there is none.
func draftOf(ctx context.Context, conn db.Conn, userID, object string) (Draft, error) {
	draft, err := db.One[Draft](ctx, conn, "select object, subject, department_id, body, updated_at from drafts where user_id = $1 and object = $2", userID, object)
	if errors.Is(err, app.ErrNotFound) {
		return Draft{Object: object}, nil
	}
	return draft, err
}

// newestDraftIn returns what a user last wrote in a ticket, a reply or an edit.
func newestDraftIn(ctx context.Context, conn db.Conn, userID, ticketID string) (Draft, error) {
	draft, err := db.One[Draft](ctx, conn, `
		select object, subject, department_id, body, updated_at from drafts where user_id = $1 and (object = 'ticket:' || $2::text
			or object in (select 'message:' || m.id::text from ticket_messages m where m.ticket_id = $2::uuid and m.author_id = $1))
		order by updated_at desc limit 1`, userID, ticketID)
	if errors.Is(err, app.ErrNotFound) {
		return Draft{}, nil
	}
	return draft, err
}

func saveDraft(ctx context.Context, conn db.Conn, userID string, d Draft) error {
	if d.empty() {
		return deleteDraft(ctx, conn, userID, d.Object)
	}
	_, err := conn.Exec(ctx, `
		insert into drafts (user_id, object, subject, department_id, body) values ($1, $2, $3, $4, $5)
		on conflict (user_id, object) do update set subject = excluded.subject, department_id = excluded.department_id, body = excluded.body, updated_at = now()`,
		userID, d.Object, d.Subject, d.DepartmentID, d.Body)
	return err
}

func deleteDraft(ctx context.Context, conn db.Conn, userID, object string) error {
	_, err := conn.Exec(ctx, "delete from drafts where user_id = $1 and object = $2", userID, object)
	return err
}

// recipient is somebody who may be told of a ticket.
type recipient struct {
	ID       string
	Name     string
	Email    string
	Language string
	TimeZone string
	OfStore  bool // gets links into the admin area
}

const recipientColumns = "u.id, u.name, u.email, u.language, u.time_zone"

// peopleOf lists the people of a ticket's account, and its delegates who read it, who get mail of a kind, without one of them.
func peopleOf(ctx context.Context, conn db.Conn, ticketID, kind, without string) ([]recipient, error) {
	return db.All[recipient](ctx, conn, "select "+recipientColumns+`, false as of_store
		from (`+peopleSQL+`) p join users u on u.id = p.user_id
		where u.id::text <> $3 and u.disabled_at is null and u.email_confirmed_at is not null
		and not exists (select from mail_refusals r where r.user_id = u.id and r.kind = $2)`, ticketID, kind, without)
}

// delegatesOf lists the users who see a ticket because they were let into it, or into the contract of its product.
func delegatesOf(ctx context.Context, conn db.Conn, ticketID string) ([]string, error) {
	rows, err := conn.Query(ctx, "select user_id::text from ("+peopleSQL+") p where delegate", ticketID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// productRow is a bought product that a ticket may be about.
type productRow struct {
	ID        string
	Name      string
	Detail    string // what tells it from others of its name: a domain, or a hostname
	AccountID string
	Owner     string // name of its account, "" for one's own
}

// productsSQL lists the products that the user $1 may open tickets about: those of the user's accounts, and those of contracts that
// the user was let into and that run.  Source: permission matrix, note a.
const productsSQL = `select cp.id, cp.name, coalesce(cp.fields->>'domain', cp.fields->>'hostname', '') as detail, cp.account_id, '' as owner
		from account_users au join contract_products cp on cp.account_id = au.account_id
		where au.user_id = $1
	union all
	select cp.id, cp.name, coalesce(cp.fields->>'domain', cp.fields->>'hostname', ''), cp.account_id, a.name
		from delegates d join contracts c on c.id = d.contract_id and c.status in ('active', 'suspended')
		join contract_products cp on cp.contract_id = c.id join accounts a on a.id = cp.account_id
		where d.user_id = $1 and d.may_tickets and ` + delegates.Live + `
		and not exists (select from account_users au where au.account_id = cp.account_id and au.user_id = $1)`

// productsOf lists up to 500 products that a user may open tickets about, own ones first.
func productsOf(ctx context.Context, conn db.Conn, userID string) ([]productRow, error) {
	return db.All[productRow](ctx, conn, "select * from ("+productsSQL+") p order by owner, lower(name), detail, id limit 500", userID)
}

// productFor returns one of productsOf, or app.ErrNotFound.
func productFor(ctx context.Context, conn db.Conn, userID, id string) (productRow, error) {
	return db.One[productRow](ctx, conn, "select * from ("+productsSQL+") p where id = $2", userID, id)
}

// productOf returns a product of an account, or app.ErrNotFound.
func productOf(ctx context.Context, conn db.Conn, accountID, id string) (productRow, error) {
	return db.One[productRow](ctx, conn, `select id, name, coalesce(fields->>'domain', fields->>'hostname', '') as detail, account_id, '' as owner
		from contract_products where account_id = $1 and id = $2`, accountID, id)
}

// storeFor lists who of the store gets mail of a kind about a ticket, without one of them: its assignee, and for one that nobody
// looks after the members of its department, or without a department all staff; admins where there is none of these.
func storeFor(ctx context.Context, conn db.Conn, t Ticket, kind, without string) ([]recipient, error) {
	return db.All[recipient](ctx, conn, "select "+recipientColumns+`, true as of_store
		from users u join tickets t on t.id = $1
		where u.role is not null and u.id::text <> $3 and `+RelationsSQL+` && '{staff,admin}'
		and case when t.assignee_id is not null then u.id = t.assignee_id
			when t.department_id is null then u.role = 'staff' or not exists (select from users x where x.role = 'staff' and x.disabled_at is null)
			else exists (select from staff_departments sd where sd.user_id = u.id and sd.department_id = t.department_id)
				or not exists (select from staff_departments sd join users x on x.id = sd.user_id
					where sd.department_id = t.department_id and x.role is not null and x.disabled_at is null) end
		and not exists (select from mail_refusals r where r.user_id = u.id and r.kind = $2)`, t.ID, kind, without)
}

// maySee tells whether a user sees a ticket at this moment.
func maySee(ctx context.Context, conn db.Conn, userID, ticketID string) (bool, error) {
	_, err := ticketByID(ctx, conn, userID, ticketID)
	if errors.Is(err, app.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func refuses(ctx context.Context, conn db.Conn, userID, kind string) (bool, error) {
	var refused bool
	err := conn.QueryRow(ctx, "select exists (select from mail_refusals where user_id = $1 and kind = $2)", userID, kind).Scan(&refused)
	return refused, err
}

func refusalsOf(ctx context.Context, conn db.Conn, userID string) ([]string, error) {
	rows, err := conn.Query(ctx, "select kind from mail_refusals where user_id = $1", userID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

func setRefusals(ctx context.Context, tx pgx.Tx, userID string, kinds []string) error {
	batch := &pgx.Batch{}
	batch.Queue("delete from mail_refusals where user_id = $1", userID)
	batch.Queue("insert into mail_refusals (user_id, kind) select $1, unnest($2::text[])", userID, kinds)
	return tx.SendBatch(ctx, batch).Close()
}

// postText returns what a mail quotes of a message, "" for one that is gone or internal.
func postText(ctx context.Context, conn db.Conn, id string) (string, error) {
	rows, err := conn.Query(ctx, "select body from ticket_messages where id = $1 and not internal", id)
	if err != nil {
		return "", err
	}
	bodies, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(bodies) == 0 {
		return "", err
	}
	return bodies[0], nil
}

// lockAnyTicket is anyTicket for writers.
func lockAnyTicket(ctx context.Context, tx pgx.Tx, id string) (Ticket, error) {
	if _, err := tx.Exec(ctx, "select from tickets where id = $1 for update", id); err != nil {
		return Ticket{}, err
	}
	return anyTicket(ctx, tx, id)
}

// toldOf tells whether a ticket's timeline says that an action went well since it failed.
func toldOf(ctx context.Context, conn db.Conn, id, action string, failedAt time.Time) (told bool, err error) {
	err = conn.QueryRow(ctx, "select exists (select from ticket_events where ticket_id = $1 and kind = $2 and at > $4 and data ->> 'Action' = $3)",
		id, EventRan, action, failedAt).Scan(&told)
	return told, err
}

// anyTicket returns a ticket as nobody in particular sees it.
func anyTicket(ctx context.Context, conn db.Conn, id string) (Ticket, error) {
	return db.One[Ticket](ctx, conn, "select "+Columns+", '{}'::text[] as relations from tickets t where t.id = $1", id)
}
