package auth

import (
	"context"
	"errors"
	"time"

	"portico/app"
	"portico/app/db"
	"portico/app/live"

	"github.com/jackc/pgx/v5"
)

type sessionRow struct {
	ID           string
	Stage        string
	SecondFactor bool
	ProvedAt     time.Time
	SeenAt       time.Time
	UserID       string
	Name         string
	Email        string
	Confirmed    bool
	Role         string
	Permissions  []string
	Departments  []string
	Language     string
	TimeZone     string
	Theme        string
}

func (r sessionRow) viewer(from Visitor) app.Viewer {
	return app.Viewer{
		UserID: r.UserID, Name: r.Name, Email: r.Email, Confirmed: r.Confirmed, Role: app.Role(r.Role),
		Permissions: r.Permissions, Departments: r.Departments,
		Language: r.Language, Zone: r.TimeZone, Theme: r.Theme,
		SessionID: r.ID, SecondFactor: r.SecondFactor, ProvedAt: r.ProvedAt,
		IP: from.IP, Browser: from.Browser, RequestID: from.RequestID,
	}
}

// sessionSQL finds sessions that have not ended, of users who may come in.
const sessionSQL = `
	select s.id, s.stage, s.second_factor, s.proved_at, s.seen_at,
		u.id as user_id, u.name, u.email, u.email_confirmed_at is not null as confirmed, coalesce(u.role, '') as role,
		array(select permission from staff_permissions where user_id = u.id and u.role = 'staff') as permissions,
		array(select department_id::text from staff_departments where user_id = u.id and u.role is not null) as departments,
		u.language, u.time_zone, u.theme
	from sessions s join users u on u.id = s.user_id
	where s.expires_at > now() and u.disabled_at is null and `

func (s *Service) sessionByHash(ctx context.Context, hash []byte) (sessionRow, error) {
	return db.One[sessionRow](ctx, s.pool, sessionSQL+"s.token_hash = $1", hash)
}

func (s *Service) sessionByID(ctx context.Context, id string) (sessionRow, error) {
	return db.One[sessionRow](ctx, s.pool, sessionSQL+"s.id = $1", id)
}

func (s *Service) touchSession(ctx context.Context, id string, idle, whole time.Duration, from Visitor) error {
	_, err := s.pool.Exec(ctx, `
		update sessions set seen_at = now(), ip = $4, browser = $5, expires_at = least(created_at + $3, now() + $2)
		where id = $1`, id, idle, whole, from.IP, from.Browser)
	return err
}

func insertSession(ctx context.Context, tx pgx.Tx, hash []byte, userID, stage string, secondFactor bool, from Visitor, idle time.Duration) (id string, err error) {
	err = tx.QueryRow(ctx, `
		insert into sessions (token_hash, user_id, stage, second_factor, ip, browser, expires_at)
		values ($1, $2, $3, $4, $5, $6, now() + $7) returning id`,
		hash, userID, stage, secondFactor, from.IP, from.Browser, idle).Scan(&id)
	return id, err
}

func deleteSession(ctx context.Context, tx pgx.Tx, userID, id string) (browser string, err error) {
	err = tx.QueryRow(ctx, "delete from sessions where id = $1 and user_id = $2 returning browser", id, userID).Scan(&browser)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", app.ErrNotFound
	}
	if err != nil {
		return "", err
	}
	return browser, live.Notify(ctx, tx, "session:"+id) // its open pages end too
}

// endReplaced ends the session that a browser had before it signed in anew.
func endReplaced(ctx context.Context, tx pgx.Tx, id string) error {
	_, err := tx.Exec(ctx, "delete from sessions where id = $1", id)
	return err
}

func deleteOtherSessions(ctx context.Context, tx pgx.Tx, userID, but string) (int64, error) {
	tag, err := tx.Exec(ctx, "delete from sessions where user_id = $1 and id <> nullif($2, '')::uuid", userID, but)
	if err != nil {
		return 0, err
	}
	return tag.RowsAffected(), live.Notify(ctx, tx, "user:"+userID)
}

// EndSessions ends every session of a user, and their open pages.
func EndSessions(ctx context.Context, tx pgx.Tx, userID string) error {
	if _, err := tx.Exec(ctx, "delete from sessions where user_id = $1", userID); err != nil {
		return err
	}
	return live.Notify(ctx, tx, "user:"+userID)
}

func (s *Service) sessionsOf(ctx context.Context, userID string) ([]Session, error) {
	return db.All[Session](ctx, s.pool, `
		select id, ip, browser, created_at, seen_at from sessions
		where user_id = $1 and stage = 'open' and expires_at > now() order by seen_at desc, id limit 100`, userID)
}

// credentials is what sign-in needs to know of a user.
type credentials struct {
	ID            string
	Name          string
	Email         string
	PasswordHash  string
	Role          string
	Language      string
	TimeZone      string
	Disabled      bool
	Confirmed     bool
	Authenticator bool // a confirmed authenticator app
	Passkeys      int
	WebauthnID    []byte
}

func (c credentials) secondFactor() bool { return c.Authenticator || c.Passkeys > 0 }

func (c credentials) viewer(from Visitor) app.Viewer {
	return app.Viewer{
		UserID: c.ID, Name: c.Name, Email: c.Email, Role: app.Role(c.Role), Language: c.Language, Zone: c.TimeZone,
		IP: from.IP, Browser: from.Browser, RequestID: from.RequestID,
	}
}

const credentialsSQL = `
	select u.id, u.name, u.email, coalesce(u.password_hash, '') as password_hash, coalesce(u.role, '') as role,
		u.language, u.time_zone, u.disabled_at is not null as disabled, u.email_confirmed_at is not null as confirmed,
		exists (select from authenticators a where a.user_id = u.id and a.confirmed_at is not null) as authenticator,
		(select count(*)::int from passkeys p where p.user_id = u.id) as passkeys, u.webauthn_id
	from users u `

func credentialsByEmail(ctx context.Context, conn db.Conn, email string) (credentials, error) {
	return db.One[credentials](ctx, conn, credentialsSQL+"where lower(u.email) = lower($1)", email)
}

func credentialsByID(ctx context.Context, conn db.Conn, id string) (credentials, error) {
	return db.One[credentials](ctx, conn, credentialsSQL+"where u.id = $1", id)
}

// lockCredentials reads a user for opening a session or changing how they sign in, and holds the row until the end of the
// transaction, so that neither happens in the middle of the other.
func lockCredentials(ctx context.Context, tx pgx.Tx, id string) (credentials, error) {
	if _, err := tx.Exec(ctx, "select from users where id = $1 for update", id); err != nil {
		return credentials{}, err
	}
	return credentialsByID(ctx, tx, id)
}

// lockSession holds the viewer's own session until the end of the transaction. Returns app.ErrSignedOut if it has ended: a
// request that began before must not finish after.
func lockSession(ctx context.Context, tx pgx.Tx, userID, sessionID string) error {
	if _, err := tx.Exec(ctx, "select from users where id = $1 for update", userID); err != nil {
		return err
	}
	tag, err := tx.Exec(ctx, "select from sessions where id = $1 and user_id = $2 and stage = 'open' for update", sessionID, userID)
	if err != nil {
		return err
	}
	if tag.RowsAffected() == 0 {
		return app.ErrSignedOut
	}
	return nil
}

func markFactor(ctx context.Context, tx pgx.Tx, sessionID string) error {
	_, err := tx.Exec(ctx, "update sessions set second_factor = true where id = $1", sessionID)
	return err
}

// unmarkFactors makes all sessions of a user count as opened without a second factor, once there is none any more.
func unmarkFactors(ctx context.Context, tx pgx.Tx, userID string) error {
	_, err := tx.Exec(ctx, `
		update sessions set second_factor = false where user_id = $1
			and not exists (select from authenticators where user_id = $1 and confirmed_at is not null)
			and not exists (select from passkeys where user_id = $1)`, userID)
	return err
}

func removeFactors(ctx context.Context, tx pgx.Tx, userID string) error {
	for _, table := range []string{"authenticators", "recovery_codes", "passkeys", "email_changes"} {
		if _, err := tx.Exec(ctx, "delete from "+table+" where user_id = $1", userID); err != nil {
			return err
		}
	}
	return nil
}

func credentialsByWebauthnID(ctx context.Context, conn db.Conn, id []byte) (credentials, error) {
	return db.One[credentials](ctx, conn, credentialsSQL+"where u.webauthn_id = $1", id)
}

// lockPending takes a session that waits for its second factor, so that two answers can't both open it.
func lockPending(ctx context.Context, tx pgx.Tx, sessionID string) (userID string, err error) {
	err = tx.QueryRow(ctx, `
		select user_id from sessions where id = nullif($1, '')::uuid and stage = 'second_factor' and expires_at > now() for update`,
		sessionID).Scan(&userID)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", app.ErrSignedOut
	}
	return userID, err
}

func setPassword(ctx context.Context, tx pgx.Tx, userID, hash string) error {
	_, err := tx.Exec(ctx, "update users set password_hash = $2, password_set_at = now() where id = $1", userID, hash)
	return err
}

func confirmEmail(ctx context.Context, tx pgx.Tx, userID, email string) error {
	_, err := tx.Exec(ctx, `
		update users set email_confirmed_at = coalesce(email_confirmed_at, now()) where id = $1 and lower(email) = lower($2)`, userID, email)
	return err
}

func setProved(ctx context.Context, conn db.Conn, sessionID string) error {
	_, err := conn.Exec(ctx, "update sessions set proved_at = now() where id = $1", sessionID)
	return err
}

type authenticatorRow struct {
	Secret    []byte
	Confirmed bool
	LastStep  int64
}

func authenticatorOf(ctx context.Context, conn db.Conn, userID string, lock bool) (authenticatorRow, error) {
	sql := "select secret, confirmed_at is not null as confirmed, last_step from authenticators where user_id = $1"
	if lock {
		sql += " for update"
	}
	return db.One[authenticatorRow](ctx, conn, sql, userID)
}

func startAuthenticator(ctx context.Context, tx pgx.Tx, userID string, sealed []byte) (started bool, err error) {
	tag, err := tx.Exec(ctx, `
		insert into authenticators (user_id, secret) values ($1, $2)
		on conflict (user_id) do update set secret = excluded.secret, last_step = 0, created_at = now()
		where authenticators.confirmed_at is null`, userID, sealed)
	return tag.RowsAffected() == 1, err
}

func confirmAuthenticator(ctx context.Context, tx pgx.Tx, userID string, step int64) error {
	_, err := tx.Exec(ctx, "update authenticators set confirmed_at = now(), last_step = $2 where user_id = $1", userID, step)
	return err
}

func noteStep(ctx context.Context, tx pgx.Tx, userID string, step int64) (fresh bool, err error) {
	tag, err := tx.Exec(ctx, "update authenticators set last_step = $2 where user_id = $1 and last_step < $2", userID, step)
	return tag.RowsAffected() == 1, err
}

func deleteAuthenticator(ctx context.Context, tx pgx.Tx, userID string) (bool, error) {
	tag, err := tx.Exec(ctx, "delete from authenticators where user_id = $1", userID)
	return tag.RowsAffected() == 1, err
}

func replaceRecoveryCodes(ctx context.Context, tx pgx.Tx, userID string, hashes [][]byte) error {
	if _, err := tx.Exec(ctx, "delete from recovery_codes where user_id = $1", userID); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "insert into recovery_codes (user_id, code_hash) select $1, unnest($2::bytea[])", userID, hashes)
	return err
}

func spendRecoveryCode(ctx context.Context, tx pgx.Tx, userID string, hash []byte) (bool, error) {
	tag, err := tx.Exec(ctx, `
		update recovery_codes set used_at = now() where user_id = $1 and code_hash = $2 and used_at is null`, userID, hash)
	return tag.RowsAffected() == 1, err
}

func recoveryCodesLeft(ctx context.Context, conn db.Conn, userID string) (n int, err error) {
	err = conn.QueryRow(ctx, "select count(*) from recovery_codes where user_id = $1 and used_at is null", userID).Scan(&n)
	return n, err
}

// Passkey is one passkey as its owner sees it.
type Passkey struct {
	ID        string
	Name      string
	CreatedAt time.Time
	UsedAt    *time.Time
}

func passkeysOf(ctx context.Context, conn db.Conn, userID string) ([]Passkey, error) {
	return db.All[Passkey](ctx, conn, "select id, name, created_at, used_at from passkeys where user_id = $1 order by created_at, id", userID)
}

func passkeyCredentials(ctx context.Context, conn db.Conn, userID string) ([][]byte, error) {
	rows, err := conn.Query(ctx, "select credential from passkeys where user_id = $1 order by created_at", userID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[[]byte])
}

func insertPasskey(ctx context.Context, tx pgx.Tx, userID, name string, credentialID, credential []byte) (id string, err error) {
	err = tx.QueryRow(ctx, `
		insert into passkeys (user_id, name, credential_id, credential) values ($1, $2, $3, $4) returning id`,
		userID, name, credentialID, credential).Scan(&id)
	return id, err
}

func usePasskey(ctx context.Context, tx pgx.Tx, credentialID, credential []byte) error {
	_, err := tx.Exec(ctx, "update passkeys set used_at = now(), credential = $2 where credential_id = $1", credentialID, credential)
	return err
}

func deletePasskey(ctx context.Context, tx pgx.Tx, userID, id string) (name string, err error) {
	err = tx.QueryRow(ctx, "delete from passkeys where id = $1 and user_id = $2 returning name", id, userID).Scan(&name)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", app.ErrNotFound
	}
	return name, err
}

func insertCeremony(ctx context.Context, conn db.Conn, userID string, data []byte, lives time.Duration) (id string, err error) {
	err = conn.QueryRow(ctx, `
		insert into passkey_ceremonies (user_id, data, expires_at) values (nullif($1, '')::uuid, $2, now() + $3) returning id`,
		userID, data, lives).Scan(&id)
	return id, err
}

// takeCeremony returns a ceremony's data and deletes it: each is answered once, by whom it was begun for.
func takeCeremony(ctx context.Context, conn db.Conn, id, userID string) (data []byte, err error) {
	err = conn.QueryRow(ctx, `
		delete from passkey_ceremonies
		where id = $1 and user_id is not distinct from nullif($2, '')::uuid and expires_at > now() returning data`, id, userID).Scan(&data)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, app.ErrNotFound
	}
	return data, err
}

// sealedSecret is a user's sealed secret of an authenticator app.
type sealedSecret struct {
	UserID string
	Secret []byte
}

// lockSecrets lists every sealed secret, and lets nobody change one meanwhile.
func lockSecrets(ctx context.Context, tx pgx.Tx) ([]sealedSecret, error) {
	return db.All[sealedSecret](ctx, tx, "select user_id, secret from authenticators order by user_id for no key update")
}

func setSecret(ctx context.Context, tx pgx.Tx, userID string, sealed []byte) error {
	_, err := tx.Exec(ctx, "update authenticators set secret = $2 where user_id = $1", userID, sealed)
	return err
}
