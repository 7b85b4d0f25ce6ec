package accounts

import (
	"context"
	"errors"
	"time"

	"portico/app"
	"portico/app/db"

	"github.com/jackc/pgx/v5"
)

type userRow struct {
	ID        string
	Name      string
	Email     string
	Language  string
	TimeZone  string
	Confirmed bool
}

const userSQL = "select id, name, email, language, time_zone, email_confirmed_at is not null as confirmed from users "

func userByEmail(ctx context.Context, conn db.Conn, email string) (userRow, error) {
	return db.One[userRow](ctx, conn, userSQL+"where lower(email) = lower($1)", email)
}

func userByID(ctx context.Context, conn db.Conn, id string) (userRow, error) {
	return db.One[userRow](ctx, conn, userSQL+"where id = $1", id)
}

func insertUser(ctx context.Context, tx pgx.Tx, name, email, hash, language string) (id string, err error) {
	err = tx.QueryRow(ctx, `
		insert into users (name, email, password_hash, password_set_at, language) values ($1, $2, $3, now(), $4) returning id`,
		name, email, hash, language).Scan(&id)
	return id, err
}

func insertAccount(ctx context.Context, tx pgx.Tx, name, ownerID string) error {
	_, err := tx.Exec(ctx, `
		with account as (insert into accounts (name) values ($1) returning id)
		insert into account_users (account_id, user_id, relation) select id, $2, 'owner' from account`, name, ownerID)
	return err
}

func setConfirmed(ctx context.Context, tx pgx.Tx, userID, email string) (bool, error) {
	tag, err := tx.Exec(ctx, `
		update users set email_confirmed_at = coalesce(email_confirmed_at, now()) where id = $1 and lower(email) = lower($2)`, userID, email)
	return tag.RowsAffected() == 1, err
}

func profileOf(ctx context.Context, conn db.Conn, userID string) (Profile, error) {
	return db.One[Profile](ctx, conn, `
		select name, email, time_zone, language, theme, email_confirmed_at is not null as confirmed from users where id = $1`, userID)
}

// lockProfile reads the profile and holds it, so that of two changes at once the second sees what the first made.
func lockProfile(ctx context.Context, tx pgx.Tx, userID string) (Profile, error) {
	if _, err := tx.Exec(ctx, "select from users where id = $1 for update", userID); err != nil {
		return Profile{}, err
	}
	return profileOf(ctx, tx, userID)
}

func membershipsOf(ctx context.Context, conn db.Conn, userID string) ([]Membership, error) {
	return db.All[Membership](ctx, conn, `
		select a.id, a.name, a.kind, au.relation, a.became_client_at is not null as client
		from account_users au join accounts a on a.id = au.account_id
		where au.user_id = $1 order by au.relation, lower(a.name), a.id limit 100`, userID)
}

func updateProfile(ctx context.Context, tx pgx.Tx, userID string, p Profile) error {
	_, err := tx.Exec(ctx, "update users set name = $2, time_zone = $3, language = $4, theme = $5 where id = $1",
		userID, p.Name, p.TimeZone, p.Language, p.Theme)
	return err
}

func setTheme(ctx context.Context, tx pgx.Tx, userID, theme string) error {
	_, err := tx.Exec(ctx, "update users set theme = $2 where id = $1", userID, theme)
	return err
}

func emailChangeOf(ctx context.Context, conn db.Conn, userID string, lock bool) (*EmailChange, error) {
	sql := `
		select email, old_agreed_at is not null as old_agreed, new_agreed_at is not null as new_agreed, expires_at
		from email_changes where user_id = $1 and expires_at > now()`
	if lock {
		sql += " for update"
	}
	change, err := db.One[EmailChange](ctx, conn, sql, userID)
	if errors.Is(err, app.ErrNotFound) {
		return nil, nil
	}
	return &change, err
}

func putEmailChange(ctx context.Context, tx pgx.Tx, userID, email string, oldAgreed bool, lives time.Duration) error {
	_, err := tx.Exec(ctx, `
		insert into email_changes (user_id, email, old_agreed_at, expires_at)
		values ($1, $2, case when $3 then now() end, now() + $4)
		on conflict (user_id) do update set email = excluded.email, old_agreed_at = excluded.old_agreed_at,
			new_agreed_at = null, created_at = now(), expires_at = excluded.expires_at`, userID, email, oldAgreed, lives)
	return err
}

func agreeEmailChange(ctx context.Context, tx pgx.Tx, userID string, old bool) error {
	_, err := tx.Exec(ctx, `
		update email_changes set
			old_agreed_at = case when $2 then coalesce(old_agreed_at, now()) else old_agreed_at end,
			new_agreed_at = case when $2 then new_agreed_at else coalesce(new_agreed_at, now()) end
		where user_id = $1`, userID, old)
	return err
}

func deleteEmailChange(ctx context.Context, tx pgx.Tx, userID string) (bool, error) {
	tag, err := tx.Exec(ctx, "delete from email_changes where user_id = $1", userID)
	return tag.RowsAffected() == 1, err
}

func setEmail(ctx context.Context, tx pgx.Tx, userID, email string) error {
	_, err := tx.Exec(ctx, "update users set email = $2, email_confirmed_at = now() where id = $1", userID, email)
	return err
}
