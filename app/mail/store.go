package mail

import (
	"context"
	"time"

	"portico/app/db"

	"github.com/jackc/pgx/v5"
)

// storeFacts is what a mail says of the store.
type storeFacts struct {
	Name          string
	SenderAddress string
	Signature     string
	BrandColour   string
	TimeZone      string
}

func readStore(ctx context.Context, conn db.Conn) (storeFacts, error) {
	return db.One[storeFacts](ctx, conn, "select name, sender_address, signature, brand_colour, time_zone from store")
}

// delivery is a row of mail_deliveries with what its user, its token and its user's change of address are at this moment.
type delivery struct {
	ID        string
	Kind      string
	Recipient string
	Name      string
	Language  string
	TimeZone  string
	Data      map[string]string
	Status    string
	CreatedAt time.Time

	UserID        *string
	UserEmail     *string
	UserDisabled  bool
	UserConfirmed bool
	UserJoined    bool    // has a password or a passkey
	PendingEmail  *string // the address the user is changing to
	OldAgreed     bool    // to that change
	NewAgreed     bool

	TokenID      *string
	TokenHash    []byte
	TokenPurpose *string
	TokenExpires *time.Time
	TokenWorks   bool // not used, not expired, the delivery's user's, sent to the delivery's recipient

	Running *time.Duration // how long the newest unfinished attempt has been running

	Denied string `db:"-"` // why its Ask does not let it go out
	Quote  string `db:"-"` // what its Ask quotes
}

const deliveryColumns = `
	d.id, d.kind, d.recipient, d.name, d.language, d.time_zone, d.data, d.status, d.created_at,
	u.id as user_id, u.email as user_email, u.disabled_at is not null as user_disabled,
	u.email_confirmed_at is not null as user_confirmed,
	u.password_hash is not null or exists (select from passkeys k where k.user_id = u.id) as user_joined,
	c.email as pending_email, c.old_agreed_at is not null as old_agreed, c.new_agreed_at is not null as new_agreed,
	t.id as token_id, t.token_hash, t.purpose as token_purpose, t.expires_at as token_expires,
	coalesce(t.used_at is null and t.expires_at > now() and t.user_id = d.user_id and lower(t.email) = lower(d.recipient), false) as token_works,
	(select now() - max(a.started_at) from mail_attempts a where a.delivery_id = d.id and a.finished_at is null) as running
	from mail_deliveries d left join users u on u.id = d.user_id left join tokens t on t.id = d.token_id
	left join email_changes c on c.user_id = u.id and c.expires_at > now()
	where d.id = $1`

func deliveryByID(ctx context.Context, conn db.Conn, id string) (delivery, error) {
	return db.One[delivery](ctx, conn, "select"+deliveryColumns, id)
}

// lockDelivery is deliveryByID and holds the row until the transaction ends. The row is locked first, so that what is read
// with it is not older than the lock.
func lockDelivery(ctx context.Context, tx pgx.Tx, id string) (delivery, error) {
	if _, err := tx.Exec(ctx, "select from mail_deliveries where id = $1 for update", id); err != nil {
		return delivery{}, err
	}
	return deliveryByID(ctx, tx, id)
}

// insertDelivery returns the new row's id, or "" if there is one with this key already.
func insertDelivery(ctx context.Context, tx pgx.Tx, m Message, subject string) (string, error) {
	data := m.Data
	if data == nil {
		data = map[string]string{}
	}
	rows, err := tx.Query(ctx, `
		insert into mail_deliveries (key, kind, user_id, token_id, recipient, name, language, time_zone, subject, data)
		values ($1, $2, nullif($3, '')::uuid, nullif($4, '')::uuid, $5, $6, $7, $8, $9, $10)
		on conflict (key) do nothing returning id::text`,
		m.Key, m.Kind, m.UserID, m.TokenID, m.Recipient, m.Name, m.Language, m.Zone, subject, data)
	if err != nil {
		return "", err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(ids) == 0 {
		return "", err
	}
	return ids[0], nil
}

// lockRecipient makes mails of one kind to one address be counted one after the other.
func lockRecipient(ctx context.Context, tx pgx.Tx, d delivery) error {
	_, err := tx.Exec(ctx, "select pg_advisory_xact_lock(hashtextextended('mail:' || $1::text || ':' || lower($2::text), 0))", d.Kind, d.Recipient)
	return err
}

// room tells how long a mail must wait until fewer than times of its kind went to its recipient within window; 0 or less if it
// may go now. Mails being sent at this moment count.
func room(ctx context.Context, tx pgx.Tx, d delivery, times int, window time.Duration) (time.Duration, error) {
	var wait *time.Duration
	err := tx.QueryRow(ctx, `
		select (select max(at) from (
			select coalesce(finished_at, now()) as at from mail_deliveries
			where kind = $1 and lower(recipient) = lower($2) and id <> $3
			and (status = 'sending' or status = 'sent' and finished_at > now() - $5::interval)
			order by at desc offset $4::int - 1 limit 1) as oldest) + $5::interval - now()`,
		d.Kind, d.Recipient, d.ID, times, window).Scan(&wait)
	if err != nil || wait == nil {
		return 0, err
	}
	return *wait, nil
}

// startAttempt notes that the mail server is about to be called, and closes an attempt that a killed process left open.
func startAttempt(ctx context.Context, tx pgx.Tx, id string) (attempt int, err error) {
	batch := &pgx.Batch{}
	batch.Queue(`
		update mail_attempts set finished_at = now(), outcome = 'unknown' where delivery_id = $1 and finished_at is null`, id)
	batch.Queue(`
		update mail_deliveries set status = 'sending', attempts = attempts + 1, next_at = null where id = $1 returning attempts`, id).
		QueryRow(func(row pgx.Row) error { return row.Scan(&attempt) })
	batch.Queue(`
		insert into mail_attempts (delivery_id, attempt) select id, attempts from mail_deliveries where id = $1`, id)
	return attempt, tx.SendBatch(ctx, batch).Close()
}

// attemptResult is what an attempt came to. code 0 is none.
type attemptResult struct {
	outcome Outcome
	code    int
	answer  string
}

func finishAttempt(ctx context.Context, tx pgx.Tx, id string, attempt int, result attemptResult) error {
	_, err := tx.Exec(ctx, `
		update mail_attempts set finished_at = now(), outcome = $3, code = nullif($4, 0), answer = $5
		where delivery_id = $1 and attempt = $2`, id, attempt, result.outcome, result.code, result.answer)
	return err
}

// markSent is true whichever attempt it was. A final state never changes.
func markSent(ctx context.Context, tx pgx.Tx, id, subject, answer string) error {
	_, err := tx.Exec(ctx, `
		update mail_deliveries set status = 'sent', answer = $3, subject = $2, next_at = null, finished_at = now()
		where id = $1 and finished_at is null`, id, subject, answer)
	return err
}

// markRetrying leaves the row alone if a newer attempt has begun.
func markRetrying(ctx context.Context, tx pgx.Tx, id string, attempt int, answer string, pause time.Duration) error {
	_, err := tx.Exec(ctx, `
		update mail_deliveries set status = 'retrying', answer = $3, next_at = now() + $4::interval
		where id = $1 and attempts = $2 and finished_at is null`, id, attempt, answer, pause)
	return err
}

// markFailed leaves the row alone if a newer attempt has begun.
func markFailed(ctx context.Context, tx pgx.Tx, id string, attempt int, reason, answer string) error {
	_, err := tx.Exec(ctx, `
		update mail_deliveries set status = 'failed', reason = $3, answer = $4, next_at = null, finished_at = now()
		where id = $1 and attempts = $2 and finished_at is null`, id, attempt, reason, answer)
	return err
}

// settle ends a locked delivery before any attempt.
func settle(ctx context.Context, tx pgx.Tx, id, status, reason string) error {
	_, err := tx.Exec(ctx, `
		update mail_deliveries set status = $2, reason = $3, next_at = null, finished_at = now()
		where id = $1 and finished_at is null`, id, status, reason)
	return err
}

func hold(ctx context.Context, tx pgx.Tx, id string, wait time.Duration) error {
	_, err := tx.Exec(ctx, "update mail_deliveries set next_at = now() + $2::interval where id = $1", id, wait)
	return err
}

// failOrphans ends every unfinished delivery older than age that no job will ever pick up again, and returns their ids.
func failOrphans(ctx context.Context, tx pgx.Tx, jobKind string, age time.Duration) ([]string, error) {
	rows, err := tx.Query(ctx, `
		update mail_deliveries d set status = 'failed', reason = 'job-lost', next_at = null, finished_at = now()
		where d.finished_at is null and d.created_at < now() - $2::interval and not exists (
			select from river_job j where j.kind = $1 and j.args ->> 'delivery_id' = d.id::text
			and j.state in ('available', 'pending', 'retryable', 'running', 'scheduled'))
		returning d.id::text`, jobKind, age)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
