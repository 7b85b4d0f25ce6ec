package support

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"portico/app"
	"portico/app/db"
	"portico/app/tickets"

	"github.com/jackc/pgx/v5"
)

// conditions collects what a query asks for. A "?" stands for the next value.
type conditions struct {
	where []string
	args  []any
}

func (c *conditions) add(condition string, values ...any) {
	for _, value := range values {
		c.args = append(c.args, value)
		condition = strings.Replace(condition, "?", fmt.Sprintf("$%d", len(c.args)), 1)
	}
	c.where = append(c.where, condition)
}

func (c *conditions) String() string { return strings.Join(c.where, " and ") }

// own tells of the ticket t whether the user u, a parameter, belongs to its account: then it is seen as a client's own, without
// notes.
const own = "exists (select from account_users au where au.account_id = t.account_id and au.user_id = ?)"

// visible limits a query of "tickets t" to what a viewer of the store sees: tickets.RelationsSQL for lists.
func (c *conditions) visible(v app.Viewer) {
	if v.Role == app.RoleAdmin {
		return
	}
	c.add("(t.department_id is null or t.department_id = any(?::text[]::uuid[]) or "+own+")", v.Departments, v.UserID)
}

// list returns up to limit tickets after a key: those that wait for the store longest first, else newest change first.
func list(ctx context.Context, conn db.Conn, v app.Viewer, f Filter, after app.Key, limit int) ([]Row, error) {
	var c conditions
	order, beyond := "t.updated_at desc, t.id desc", "(t.updated_at, t.id) < (?::timestamptz, ?::uuid)"
	switch f.Status {
	case "":
		c.add("t.status <> 'closed'")
	case Ours:
		c.add("t.waiting_since is not null")
	default:
		c.add("t.status = ?", f.Status)
	}
	if f.byWaiting() {
		order, beyond = "t.waiting_since, t.id", "(t.waiting_since, t.id) > (?::timestamptz, ?::uuid)"
	}
	c.visible(v)
	switch f.Department {
	case "":
	case None:
		c.add("t.department_id is null")
	default:
		c.add("t.department_id = ?", f.Department)
	}
	switch f.Assignee {
	case "":
	case None:
		c.add("t.assignee_id is null")
	case Myself:
		c.add("t.assignee_id = ?", v.UserID)
	default:
		c.add("t.assignee_id = ?", f.Assignee)
	}
	if f.Waiting > 0 {
		c.add("t.waiting_since <= now() - ? * interval '1 hour'", f.Waiting)
	}
	for _, word := range words(f.Text) {
		number, _ := strconv.ParseInt(strings.TrimPrefix(word, "#"), 10, 64)
		prefix := "'" + word + "':*"
		said, err := saying(ctx, conn, prefix)
		switch {
		case err != nil:
			return nil, err
		case said.Messages > maxFound: // enough of the newest have it: looking into each costs less than finding all that have it
			c.add(`(t.number = ? or t.search @@ to_tsquery('simple', ?) or exists (select from ticket_messages m
				where m.ticket_id = t.id and m.search @@ to_tsquery('simple', ?) and not (m.internal and `+own+")))", number, prefix, prefix, v.UserID)
		default:
			c.add(`t.id = any(array(select id from tickets where number = ? union all select id from tickets where search @@ to_tsquery('simple', ?)
				union all select unnest(?::text[]::uuid[])
				union all select t.id from tickets t where t.id = any(?::text[]::uuid[]) and not `+own+"))", number, prefix, said.Posts, said.Notes, v.UserID)
		}
	}
	if after.ID != "" {
		c.add(beyond, after.At, after.ID)
	}
	return db.All[Row](ctx, conn, fmt.Sprintf(`
		select %s, '{}'::text[] as relations, coalesce((select name from users where id = t.opener_id), '') as opener_name
		from tickets t where %s order by %s limit %d`, tickets.Columns, &c, order, limit), c.args...)
}

// maxFound is about where finding all messages with a word costs as much as looking for it in one ticket after the other, in a store
// with a million messages.
const maxFound = 5000

// said is where a word stands: in how many messages, counted to maxFound + 1, and if they are not more, in the posts and in the
// internal notes of which tickets.
type said struct {
	Messages     int
	Posts, Notes []string
}

// saying finds the messages with a word.
func saying(ctx context.Context, conn db.Conn, prefix string) (said, error) {
	return db.One[said](ctx, conn, fmt.Sprintf(`
		select count(*)::int as messages,
			coalesce(array_agg(distinct ticket_id::text) filter (where not internal), '{}') as posts,
			coalesce(array_agg(distinct ticket_id::text) filter (where internal), '{}') as notes
		from (select ticket_id, internal from ticket_messages where search @@ to_tsquery('simple', $1) limit %d) x`, maxFound+1), prefix)
}

// maxWords is how many words of a search are looked for.
const maxWords = 8

// words takes a search apart. Each has to be there, in the subject or in any message, as the beginning of a word; none holds what a
// quoted word of PostgreSQL's tsquery can't.
func words(text string) []string {
	all := strings.Fields(strings.NewReplacer("'", " ", `\`, " ").Replace(text))
	return all[:min(len(all), maxWords)]
}

// counts tells how many tickets that are not closed a viewer sees, by status, and under Ours how many wait for the store: up to
// MaxCount of each, for the menu of a list is not worth reading all tickets.
func counts(ctx context.Context, conn db.Conn, v app.Viewer) ([]Count, error) {
	var c conditions
	c.add("t.waiting_since is not null")
	c.visible(v)
	ours := c.String()
	c.where = nil
	c.add("t.status = s.status")
	c.visible(v)
	return db.All[Count](ctx, conn, fmt.Sprintf(`
		select '%s' as status, count(*)::int as count from (select from tickets t where %s limit %d) x
		union all
		select s.status, (select count(*)::int from (select from tickets t where %s limit %[3]d) x) as count
		from unnest('{open,client_replied,staff_replied,waiting}'::text[]) as s (status)`, Ours, ours, MaxCount, &c), c.args...)
}

// team lists the store's people who can sign in, by name.
func team(ctx context.Context, conn db.Conn) ([]Named, error) {
	return db.All[Named](ctx, conn, "select id, name from users where role is not null and disabled_at is null order by lower(name), id limit 500")
}

// ofStore says whom of the store a ticket can be given to: who sees it as one of the store's people.
const ofStore = " from users u join tickets t on t.id = $1 where u.role is not null and " + tickets.RelationsSQL + " && '{staff,admin}'"

// candidates lists whom a ticket can be given to, by name.
func candidates(ctx context.Context, conn db.Conn, ticketID string) ([]Named, error) {
	return db.All[Named](ctx, conn, "select u.id, u.name"+ofStore+" order by lower(u.name), u.id limit 500", ticketID)
}

// candidate returns one of candidates, or app.ErrNotFound.
func candidate(ctx context.Context, conn db.Conn, ticketID, userID string) (Named, error) {
	return db.One[Named](ctx, conn, "select u.id, u.name"+ofStore+" and u.id = $2", ticketID, userID)
}

func setAssignee(ctx context.Context, tx pgx.Tx, id, userID string) error {
	_, err := tx.Exec(ctx, "update tickets set assignee_id = nullif($2, '')::uuid where id = $1", id, userID)
	return err
}

// setStatus starts or ends the store's waiting time with the status: what is answered or waits for others waits for nobody here.
func setStatus(ctx context.Context, tx pgx.Tx, id, status string) error {
	_, err := tx.Exec(ctx, `
		update tickets set status = $2, silence_closes_at = null, waiting_since = case when $2 in ('open', 'client_replied')
			then coalesce(waiting_since, last_client_post_at, clock_timestamp()) end
		where id = $1`, id, status)
	return err
}

func setDepartment(ctx context.Context, tx pgx.Tx, id, departmentID string) error {
	_, err := tx.Exec(ctx, "update tickets set department_id = nullif($2, '')::uuid where id = $1", id, departmentID)
	return err
}

// departmentInUse returns a department that is not archived, or app.ErrNotFound.
func departmentInUse(ctx context.Context, conn db.Conn, id string) (Named, error) {
	return db.One[Named](ctx, conn, "select id, name from departments where id = $1 and archived_at is null", id)
}

const clientColumns = `a.id, a.name, coalesce((select string_agg(u.name, ', ' order by lower(u.name)) from account_users au
	join users u on u.id = au.user_id where au.account_id = a.id), '') as people`

// clients finds accounts by a part of their name or of a user's name or address.
func clients(ctx context.Context, conn db.Conn, text string) ([]Client, error) {
	return db.All[Client](ctx, conn, "select "+clientColumns+` from accounts a where a.name ilike $1
		or exists (select from account_users au join users u on u.id = au.user_id where au.account_id = a.id and (u.name ilike $1 or u.email ilike $1))
		order by lower(a.name), a.id limit 20`, db.Contains(text))
}

// client returns one account, or nil if there is none.
func client(ctx context.Context, conn db.Conn, id string) (*Client, error) {
	found, err := db.One[Client](ctx, conn, "select "+clientColumns+" from accounts a where a.id = $1", id)
	if errors.Is(err, app.ErrNotFound) {
		return nil, nil
	}
	return &found, err
}

// numbered returns the id of the ticket with a number, or app.ErrNotFound. Whether the viewer sees it is asked when it is read.
func numbered(ctx context.Context, conn db.Conn, number int64) (string, error) {
	row, err := db.One[struct{ ID string }](ctx, conn, "select id from tickets where number = $1", number)
	return row.ID, err
}

// presence lists who has a ticket open but one, those who write first.
func presence(ctx context.Context, conn db.Conn, ticketID, without string) ([]Present, error) {
	return db.All[Present](ctx, conn, `
		select u.name, p.doing from ticket_presence p join users u on u.id = p.user_id
		where p.ticket_id = $1 and p.user_id <> $2 and p.expires_at > now() and u.role is not null and u.disabled_at is null
		order by p.doing = 'viewing', lower(u.name), u.id limit 20`, ticketID, without)
}

// attend notes what somebody does with a ticket until a moment, and tells whether that is news to others.
func attend(ctx context.Context, tx pgx.Tx, ticketID, userID, doing string, until time.Time) (news bool, err error) {
	if doing == Gone {
		gone, err := tx.Exec(ctx, "delete from ticket_presence where ticket_id = $1 and user_id = $2", ticketID, userID)
		return gone.RowsAffected() > 0, err
	}
	err = tx.QueryRow(ctx, `
		with before as (select doing from ticket_presence where ticket_id = $1 and user_id = $2 and expires_at > now()),
		     noted as (insert into ticket_presence (ticket_id, user_id, doing, expires_at) values ($1, $2, $3, $4)
		               on conflict (ticket_id, user_id) do update set doing = excluded.doing, expires_at = excluded.expires_at)
		select not exists (select from before where doing = $3)`, ticketID, userID, doing, until).Scan(&news)
	return news, err
}

const replyColumns = `r.id, r.name, r.body, coalesce(r.department_id::text, '') as department_id,
	coalesce((select name from departments where id = r.department_id), '') as department_name, r.updated_at`

// replyVisible limits a query of "saved_replies r" to what somebody of the store sees: $1 is an admin, $2 whose departments.
const replyVisible = "($1 or r.department_id is null or r.department_id = any($2::text[]::uuid[]))"

func replies(ctx context.Context, conn db.Conn, v app.Viewer) ([]Reply, error) {
	return db.All[Reply](ctx, conn, "select "+replyColumns+" from saved_replies r where "+replyVisible+" order by lower(r.name) limit 500",
		v.Role == app.RoleAdmin, v.Departments)
}

func replyByID(ctx context.Context, conn db.Conn, v app.Viewer, id string) (Reply, error) {
	return db.One[Reply](ctx, conn, "select "+replyColumns+" from saved_replies r where "+replyVisible+" and r.id = $3",
		v.Role == app.RoleAdmin, v.Departments, id)
}

// saveReply stores a saved reply, a new one if it has no id. *app.Invalid on "name" if another has it.
func saveReply(ctx context.Context, tx pgx.Tx, r Reply) (id string, err error) {
	err = tx.QueryRow(ctx, `
		insert into saved_replies as r (id, name, body, department_id) values (coalesce(nullif($1, '')::uuid, gen_random_uuid()), $2, $3, nullif($4, '')::uuid)
		on conflict (id) do update set name = excluded.name, body = excluded.body, department_id = excluded.department_id, updated_at = now()
		returning id::text`, r.ID, r.Name, r.Body, r.DepartmentID).Scan(&id)
	if db.Violates(err, "saved_replies_name") {
		return "", app.Invalidf("name", "support.reply-name-taken")
	}
	return id, err
}

func deleteReply(ctx context.Context, tx pgx.Tx, id string) error {
	_, err := tx.Exec(ctx, "delete from saved_replies where id = $1", id)
	return err
}
