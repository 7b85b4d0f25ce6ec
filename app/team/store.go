package team

import (
	"context"
	"fmt"

	"portico/app"
	"portico/app/db"

	"github.com/jackc/pgx/v5"
)

// membersSQL reads members; a condition may follow. Sessions and factors are counted beside each, there are few people.
const membersSQL = `
	select u.id, u.name, u.email, u.role, u.disabled_at, u.created_at,
		u.password_hash is not null or exists (select from passkeys k where k.user_id = u.id) as joined,
		(select max(t.expires_at) from tokens t where t.user_id = u.id and t.purpose = 'invite' and t.used_at is null) as invited_until,
		(select max(s.seen_at) from sessions s where s.user_id = u.id and s.stage = 'open') as seen_at,
		exists (select from authenticators a where a.user_id = u.id and a.confirmed_at is not null) as authenticator,
		(select count(*)::int from passkeys k where k.user_id = u.id) as passkeys,
		array(select p.permission from staff_permissions p where p.user_id = u.id order by p.permission) as permissions,
		array(select d.id::text from staff_departments m join departments d on d.id = m.department_id
			where m.user_id = u.id and d.archived_at is null order by d.position, lower(d.name), d.id) as departments,
		array(select d.name from staff_departments m join departments d on d.id = m.department_id
			where m.user_id = u.id and d.archived_at is null order by d.position, lower(d.name), d.id) as department_names
	from users u where u.role is not null`

// members lists up to limit people by name, after the one whose id is after ("" for the first).
func members(ctx context.Context, conn db.Conn, text, after string, limit int) ([]Member, error) {
	return db.All[Member](ctx, conn, membersSQL+`
		and ($1 = '' or u.name ilike $1 or u.email ilike $1)
		and ($2 = '' or (lower(u.name), u.id) > (select lower(name), id from users where id = nullif($2, '')::uuid))
		order by lower(u.name), u.id limit $3`, db.Contains(text), after, limit)
}

// enabledMembers lists everybody who may sign in, by name.
func enabledMembers(ctx context.Context, conn db.Conn) ([]Member, error) {
	return db.All[Member](ctx, conn, membersSQL+" and u.disabled_at is null order by lower(u.name), u.id")
}

func memberByID(ctx context.Context, conn db.Conn, id string) (Member, error) {
	return db.One[Member](ctx, conn, membersSQL+" and u.id = $1", id)
}

// lockMember is memberByID for writers: the member's own requests wait, such as a change of name.
func lockMember(ctx context.Context, tx pgx.Tx, id string) (Member, error) {
	if _, err := tx.Exec(ctx, "select from users where id = $1 for no key update", id); err != nil {
		return Member{}, fmt.Errorf("lock member %s: %w", id, err)
	}
	return memberByID(ctx, tx, id)
}

// teamLock is the advisory lock that one change of the team holds at a time. Locking the admins' rows instead would end in
// deadlocks: who is among them changes while one waits.
const teamLock = 0x7465616d // "team"

// lockTeam holds off all other changes of the team until the transaction ends.
func lockTeam(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, "select pg_advisory_xact_lock($1)", int64(teamLock))
	return err
}

// isAdmin tells whether a user is an admin who may sign in, as of now.
func isAdmin(ctx context.Context, tx pgx.Tx, id string) (is bool, err error) {
	err = tx.QueryRow(ctx, "select exists (select from users where id = nullif($1, '')::uuid and role = 'admin' and disabled_at is null)", id).Scan(&is)
	return is, err
}

// holder is the user of an address.
type holder struct {
	Name    string
	OfStore bool
}

func userByEmail(ctx context.Context, conn db.Conn, email string) (holder, error) {
	return db.One[holder](ctx, conn, "select name, role is not null as of_store from users where lower(email) = lower($1)", email)
}

// insertMember returns app.ErrNotFound if the address has a user already.
func insertMember(ctx context.Context, tx pgx.Tx, name, email string, role app.Role) (id, language string, err error) {
	type made struct{ ID, Language string }
	row, err := db.One[made](ctx, tx, `
		insert into users (name, email, role, language) select $1, $2, $3, language from store
		on conflict (lower(email)) do nothing returning id, language`, name, email, role)
	return row.ID, row.Language, err
}

func updateMember(ctx context.Context, tx pgx.Tx, id, name string, role app.Role) error {
	_, err := tx.Exec(ctx, "update users set name = $2, role = $3 where id = $1", id, name, role)
	return err
}

func setPermissions(ctx context.Context, tx pgx.Tx, id string, permissions []string) error {
	if _, err := tx.Exec(ctx, "delete from staff_permissions where user_id = $1", id); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "insert into staff_permissions (user_id, permission) select $1, unnest($2::text[])", id, permissions)
	return err
}

// setDepartments leaves memberships of archived departments alone, so that restoring one brings its people back.
func setDepartments(ctx context.Context, tx pgx.Tx, id string, departments []string) error {
	_, err := tx.Exec(ctx, `
		delete from staff_departments m using departments d
		where d.id = m.department_id and d.archived_at is null and m.user_id = $1`, id)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "insert into staff_departments (user_id, department_id) select $1, unnest($2::uuid[])", id, departments)
	return err
}

func disableMember(ctx context.Context, tx pgx.Tx, id string) error {
	if _, err := tx.Exec(ctx, "update users set disabled_at = now() where id = $1", id); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "delete from email_changes where user_id = $1", id)
	return err
}

func enableMember(ctx context.Context, tx pgx.Tx, id string) error {
	_, err := tx.Exec(ctx, "update users set disabled_at = null where id = $1", id)
	return err
}

// deleteFactors removes every second factor of a user, also one that is only half set up, and tells whether there was any.
func deleteFactors(ctx context.Context, tx pgx.Tx, id string) (removed bool, err error) {
	for _, table := range []string{"authenticators", "recovery_codes", "passkeys"} {
		tag, err := tx.Exec(ctx, "delete from "+table+" where user_id = $1", id)
		if err != nil {
			return false, err
		}
		removed = removed || tag.RowsAffected() > 0
	}
	return removed, nil
}

// habits are a user's language and time zone.
func habits(ctx context.Context, tx pgx.Tx, id string) (language, zone string, err error) {
	err = tx.QueryRow(ctx, "select language, time_zone from users where id = $1", id).Scan(&language, &zone)
	return language, zone, err
}
