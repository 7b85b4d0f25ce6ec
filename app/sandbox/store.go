package sandbox

import (
	"context"
	"time"

	"portico/app/db"
)

const columns = "id, category, ref, product, state, password, settles_at, created_at, terminated_at"

// find returns the account of that name, locked until the transaction ends, or app.ErrNotFound.
func find(ctx context.Context, conn db.Conn, category, ref string) (*account, error) {
	a, err := db.One[account](ctx, conn, "select "+columns+" from sandbox_accounts where category = $1 and ref = $2 and terminated_at is null for update", category, ref)
	return &a, err
}

func byID(ctx context.Context, conn db.Conn, id string) (*account, error) {
	a, err := db.One[account](ctx, conn, "select "+columns+" from sandbox_accounts where id = $1", id)
	return &a, err
}

// byProduct returns the newest account that was made for the caller's product.
func byProduct(ctx context.Context, conn db.Conn, category, product string) (*account, error) {
	a, err := db.One[account](ctx, conn, "select "+columns+` from sandbox_accounts
		where category = $1 and product = $2 order by (terminated_at is null) desc, created_at desc limit 1`, category, product)
	return &a, err
}

// byName finds who may sign in at the control panel.
func byName(ctx context.Context, conn db.Conn, name string) ([]account, error) {
	return db.All[account](ctx, conn, "select "+columns+` from sandbox_accounts
		where terminated_at is null and password is not null and category = any('{web-hosting,website-builders,servers}') and (ref = $1 or state->>'domain' = $1 or state->>'hostname' = $1)
		order by created_at limit 5`, name)
}

func insertAccount(ctx context.Context, conn db.Conn, a *account) error {
	made, err := db.One[account](ctx, conn, `
		insert into sandbox_accounts (category, ref, product, state, password, settles_at) values ($1, $2, $3, $4, $5, $6) returning `+columns,
		a.Category, a.Ref, a.Product, a.State, a.Password, a.SettlesAt)
	if err == nil {
		*a = made
	}
	return err
}

func updateAccount(ctx context.Context, conn db.Conn, a *account) error {
	_, err := conn.Exec(ctx, "update sandbox_accounts set state = $2, password = $3, settles_at = $4, terminated_at = $5 where id = $1",
		a.ID, a.State, a.Password, a.SettlesAt, a.TerminatedAt)
	return err
}

// lockKey lets tries of one operation follow one another.
func lockKey(ctx context.Context, conn db.Conn, key string) error {
	_, err := conn.Exec(ctx, "select pg_advisory_xact_lock(hashtextextended('sandbox ' || $1, 0))", key)
	return err
}

func insertEffect(ctx context.Context, conn db.Conn, key string, e effect) (effect, error) {
	return db.One[effect](ctx, conn, `
		insert into sandbox_effects (key, category, function, account_id) values ($1, $2, $3, $4) returning id, category, function, account_id`,
		key, e.Category, e.Function, e.AccountID)
}

func effectByKey(ctx context.Context, conn db.Conn, key string) (effect, error) {
	return db.One[effect](ctx, conn, "select id, category, function, account_id from sandbox_effects where key = $1 order by at limit 1", key)
}

func effectByID(ctx context.Context, conn db.Conn, id string) (effect, error) {
	return db.One[effect](ctx, conn, "select id, category, function, account_id from sandbox_effects where id = $1", id)
}

// countTry returns how many tries of an operation there have been, this one included.
func countTry(ctx context.Context, conn db.Conn, key string) (tries int, err error) {
	err = conn.QueryRow(ctx, `
		insert into sandbox_tries (key) values ($1) on conflict (key) do update set tries = sandbox_tries.tries + 1 returning tries`, key).Scan(&tries)
	return tries, err
}

func insertLogin(ctx context.Context, conn db.Conn, hash []byte, account, kind string, expires time.Time) error {
	_, err := conn.Exec(ctx, `
		with swept as (delete from sandbox_logins where expires_at < now())
		insert into sandbox_logins (hash, account_id, kind, expires_at) values ($1, $2, $3, $4)`, hash, account, kind, expires)
	return err
}

// spendLink takes a link, which works once.
func spendLink(ctx context.Context, conn db.Conn, hash []byte) (account string, err error) {
	link, err := db.One[struct{ AccountID string }](ctx, conn,
		"delete from sandbox_logins where hash = $1 and kind = 'link' and expires_at > now() returning account_id", hash)
	return link.AccountID, err
}

func sessionAccount(ctx context.Context, conn db.Conn, hash []byte) (*account, error) {
	a, err := db.One[account](ctx, conn, `
		select a.id, a.category, a.ref, a.product, a.state, a.password, a.settles_at, a.created_at, a.terminated_at
		from sandbox_logins l join sandbox_accounts a on a.id = l.account_id
		where l.hash = $1 and l.kind = 'session' and l.expires_at > now() and a.terminated_at is null`, hash)
	return &a, err
}

func endSession(ctx context.Context, conn db.Conn, hash []byte) error {
	_, err := conn.Exec(ctx, "delete from sandbox_logins where hash = $1 and kind = 'session'", hash)
	return err
}

func endSessions(ctx context.Context, conn db.Conn, account string) error {
	_, err := conn.Exec(ctx, "delete from sandbox_logins where account_id = $1", account)
	return err
}

type notification struct {
	ID      string
	Domain  string
	Type    string
	Message string
	At      time.Time
}

func insertNotification(ctx context.Context, conn db.Conn, n notification) error {
	_, err := conn.Exec(ctx, "insert into sandbox_notifications (domain, type, message) values ($1, $2, $3)", n.Domain, n.Type, n.Message)
	return err
}

func dropNotifications(ctx context.Context, conn db.Conn, ids []string) error {
	_, err := conn.Exec(ctx, "delete from sandbox_notifications where id::text = any($1)", ids)
	return err
}

func notifications(ctx context.Context, conn db.Conn, since *time.Time, limit int) (found []notification, left int, err error) {
	found, err = db.All[notification](ctx, conn, `
		select id, domain, type, message, at from sandbox_notifications where $1::timestamptz is null or at > $1 order by at, id limit $2`, since, limit)
	if err != nil {
		return nil, 0, err
	}
	err = conn.QueryRow(ctx, "select count(*) from sandbox_notifications where $1::timestamptz is null or at > $1", since).Scan(&left)
	return found, left - len(found), err
}

// byKeyHash finds a license by the hash of its present key.
func byKeyHash(ctx context.Context, conn db.Conn, hash string) (*account, error) {
	a, err := db.One[account](ctx, conn, "select "+columns+` from sandbox_accounts
		where category = 'software-licenses' and state->>'key_hash' = $1 and terminated_at is null for update`, hash)
	return &a, err
}

func setCreated(ctx context.Context, conn db.Conn, id string, at time.Time) error {
	_, err := conn.Exec(ctx, "update sandbox_accounts set created_at = $2 where id = $1", id, at)
	return err
}
