package clients

import (
	"context"

	"portico/app"
	"portico/app/db"

	"github.com/jackc/pgx/v5"
)

const invitationSQL = `
	select i.id, i.account_id, a.name as account_name, i.user_id, u.name, u.email, i.permissions, i.invited_by_name, i.created_at,
		(select max(t.expires_at) from tokens t where t.account_invitation_id = i.id and t.used_at is null and t.expires_at > now()) as expires_at
	from account_invitations i join accounts a on a.id = i.account_id join users u on u.id = i.user_id `

// circles lists a user's accounts with their people and, of those they own, the invitations.
func circles(ctx context.Context, conn db.Conn, userID string) ([]Circle, error) {
	all, err := db.All[Circle](ctx, conn, `
		select a.id, a.name, au.relation from account_users au join accounts a on a.id = au.account_id where au.user_id = $1
		order by au.relation, lower(a.name), a.id limit 20`, userID)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if all[i].People, err = people(ctx, conn, all[i].ID); err != nil {
			return nil, err
		}
		if !all[i].Owned() {
			continue
		}
		if all[i].Invitations, err = db.All[Invitation](ctx, conn, invitationSQL+"where i.account_id = $1 order by i.created_at desc, i.id limit 200", all[i].ID); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func lockAccount(ctx context.Context, tx pgx.Tx, id string) error {
	_, err := tx.Exec(ctx, "select from accounts where id = $1 for no key update", id)
	return err
}

// lockCircle returns an account as one of its people sees it, or app.ErrNotFound.
func lockCircle(ctx context.Context, tx pgx.Tx, userID, id string) (Circle, error) {
	if err := lockAccount(ctx, tx, id); err != nil {
		return Circle{}, err
	}
	return db.One[Circle](ctx, tx, `
		select a.id, a.name, au.relation from account_users au join accounts a on a.id = au.account_id where au.user_id = $1 and a.id = $2`, userID, id)
}

// invitee is the user of an address.
type invitee struct {
	ID, Name, Email, Language, TimeZone string
	OfStore, Member                     bool // of the store; of the account
}

func invited(ctx context.Context, conn db.Conn, email, accountID string) (invitee, error) {
	return db.One[invitee](ctx, conn, `
		select u.id, u.name, u.email, u.language, u.time_zone, u.role is not null as of_store,
			exists (select from account_users au where au.account_id = $2 and au.user_id = u.id) as member
		from users u where lower(u.email) = lower($1) and u.disabled_at is null`, email, accountID)
}

func putInvitation(ctx context.Context, tx pgx.Tx, v app.Viewer, accountID, userID string, permissions []string) (id string, err error) {
	err = tx.QueryRow(ctx, `
		insert into account_invitations (account_id, user_id, permissions, invited_by, invited_by_name) values ($1, $2, $3, $4, $5)
		on conflict (account_id, user_id) do update set permissions = excluded.permissions, invited_by = excluded.invited_by,
			invited_by_name = excluded.invited_by_name, created_at = now() returning id::text`, accountID, userID, permissions, v.UserID, v.Name).Scan(&id)
	return id, err
}

func invitationOf(ctx context.Context, conn db.Conn, accountID, id string) (Invitation, error) {
	return db.One[Invitation](ctx, conn, invitationSQL+"where i.id = $1 and i.account_id = $2", id, accountID)
}

func invitationByLink(ctx context.Context, conn db.Conn, tokenID string) (Invitation, error) {
	return db.One[Invitation](ctx, conn, invitationSQL+"where i.id = (select account_invitation_id from tokens where id = $1)", tokenID)
}

// deleteInvitation ends an invitation, and with it its links.
func deleteInvitation(ctx context.Context, tx pgx.Tx, id string) error {
	_, err := tx.Exec(ctx, "delete from account_invitations where id = $1", id)
	return err
}

// userOf returns another user of an account, who is not its owner.
func userOf(ctx context.Context, conn db.Conn, accountID, userID string) (Person, error) {
	return db.One[Person](ctx, conn, `
		select u.id, u.name, u.email, au.relation, au.permissions, u.email_confirmed_at is not null as confirmed, u.disabled_at is not null as disabled, au.created_at
		from account_users au join users u on u.id = au.user_id where au.account_id = $1 and u.id = $2 and au.relation = 'user'`, accountID, userID)
}

func insertUser(ctx context.Context, tx pgx.Tx, i Invitation) error {
	_, err := tx.Exec(ctx, "insert into account_users (account_id, user_id, relation, permissions) values ($1, $2, 'user', $3) on conflict do nothing",
		i.AccountID, i.UserID, i.Permissions)
	return err
}

func setPermissions(ctx context.Context, tx pgx.Tx, accountID, userID string, permissions []string) error {
	_, err := tx.Exec(ctx, "update account_users set permissions = $3 where account_id = $1 and user_id = $2 and relation = 'user'", accountID, userID, permissions)
	return err
}

func deleteUser(ctx context.Context, tx pgx.Tx, accountID, userID string) error {
	_, err := tx.Exec(ctx, "delete from account_users where account_id = $1 and user_id = $2 and relation = 'user'", accountID, userID)
	return err
}
