package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"portico/app"
	"portico/app/db"
	"portico/app/keys"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Purpose says what a one-time link is good for. A link made for one is nothing to any other.
type Purpose string

const (
	PurposeConfirm  Purpose = "confirm"   // the address of a new account
	PurposeReset    Purpose = "reset"     // a forgotten password
	PurposeInvite   Purpose = "invite"    // the first password of somebody the store invited
	PurposeEmailOld Purpose = "email_old" // a change of address, asked of the old one
	PurposeEmailNew Purpose = "email_new" // a change of address, asked of the new one
	PurposeDelegate Purpose = "delegate"  // an invitation into one ticket or contract, see NewDelegateLink
	PurposeAccount  Purpose = "account"   // an invitation to become a user of an account, see NewAccountLink
)

// lives is how long a link works.
var lives = map[Purpose]time.Duration{
	PurposeConfirm:  7 * 24 * time.Hour,
	PurposeReset:    time.Hour,
	PurposeInvite:   7 * 24 * time.Hour,
	PurposeEmailOld: 24 * time.Hour,
	PurposeEmailNew: 24 * time.Hour,
	PurposeDelegate: 7 * 24 * time.Hour,
	PurposeAccount:  7 * 24 * time.Hour,
}

// Link is a one-time link that works.
type Link struct {
	ID      string
	Purpose Purpose
	UserID  string
	Email   string // the address it was sent to
	Name    string // of the user
	Role    string
}

// NewLink makes a one-time link in the transaction that also queues its mail, and returns the row's id for
// mail.Message.TokenID. An older link of the same purpose dies.
func NewLink(ctx context.Context, tx pgx.Tx, ring *keys.Ring, purpose Purpose, userID, email string) (string, error) {
	id := uuid.NewString()
	_, hash := ring.LinkSecret(id)
	// Of two asked for at once the second must see the first, or both would work.
	if _, err := tx.Exec(ctx, "select from users where id = $1 for update", userID); err != nil {
		return "", fmt.Errorf("take the user: %w", err)
	}
	if _, err := tx.Exec(ctx, "delete from tokens where user_id = $1 and purpose = $2", userID, purpose); err != nil {
		return "", fmt.Errorf("end older %s links: %w", purpose, err)
	}
	_, err := tx.Exec(ctx, `
		insert into tokens (id, token_hash, purpose, user_id, email, expires_at)
		values ($1, $2, $3, $4, $5, now() + $6)`, id, hash, purpose, userID, email, lives[purpose])
	if err != nil {
		return "", fmt.Errorf("make a %s link: %w", purpose, err)
	}
	return id, nil
}

// NewDelegateLink is NewLink for the invitation of one delegate: older links of that invitation die, the user's others stay.
// Whoever calls it holds the invitation's row.
func NewDelegateLink(ctx context.Context, tx pgx.Tx, ring *keys.Ring, delegateID, userID, email string) (string, error) {
	id := uuid.NewString()
	_, hash := ring.LinkSecret(id)
	if _, err := tx.Exec(ctx, "delete from tokens where delegate_id = $1", delegateID); err != nil {
		return "", fmt.Errorf("end older links of an invitation: %w", err)
	}
	_, err := tx.Exec(ctx, `
		insert into tokens (id, token_hash, purpose, user_id, email, expires_at, delegate_id)
		values ($1, $2, $3, $4, $5, now() + $6, $7)`, id, hash, PurposeDelegate, userID, email, lives[PurposeDelegate], delegateID)
	if err != nil {
		return "", fmt.Errorf("make the link of an invitation: %w", err)
	}
	return id, nil
}

// NewAccountLink is NewLink for an invitation to an account: older links of that invitation die, the user's others stay. Whoever calls
// it holds the account.
func NewAccountLink(ctx context.Context, tx pgx.Tx, ring *keys.Ring, invitationID, userID, email string) (string, error) {
	id := uuid.NewString()
	_, hash := ring.LinkSecret(id)
	if _, err := tx.Exec(ctx, "delete from tokens where account_invitation_id = $1", invitationID); err != nil {
		return "", fmt.Errorf("end older links of an invitation: %w", err)
	}
	_, err := tx.Exec(ctx, `
		insert into tokens (id, token_hash, purpose, user_id, email, expires_at, account_invitation_id)
		values ($1, $2, $3, $4, $5, now() + $6, $7)`, id, hash, PurposeAccount, userID, email, lives[PurposeAccount], invitationID)
	if err != nil {
		return "", fmt.Errorf("make the link of an invitation: %w", err)
	}
	return id, nil
}

// FindLink returns a working link of one of the purposes by its secret. One answer, app.ErrLink, for unknown, spent,
// expired, of another purpose and of a disabled user, so that links can't be probed.
func FindLink(ctx context.Context, conn db.Conn, secret string, purposes ...Purpose) (Link, error) {
	if len(secret) != 43 {
		return Link{}, app.ErrLink
	}
	link, err := db.One[Link](ctx, conn, `
		select t.id, t.purpose, t.user_id, t.email, u.name, coalesce(u.role, '') as role
		from tokens t join users u on u.id = t.user_id
		where t.token_hash = $1 and t.purpose = any($2) and t.used_at is null and t.expires_at > now() and u.disabled_at is null`,
		keys.LinkHash(secret), purposes)
	if errors.Is(err, app.ErrNotFound) {
		return Link{}, app.ErrLink
	}
	return link, err
}

// SpendLink is FindLink and uses the link up; of two at once, one gets app.ErrLink.
func SpendLink(ctx context.Context, tx pgx.Tx, secret string, purposes ...Purpose) (Link, error) {
	link, err := FindLink(ctx, tx, secret, purposes...)
	if err != nil {
		return Link{}, err
	}
	tag, err := tx.Exec(ctx, "update tokens set used_at = now() where id = $1 and used_at is null", link.ID)
	if err != nil {
		return Link{}, fmt.Errorf("use up a link: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return Link{}, app.ErrLink
	}
	return link, nil
}

// EndLinks kills every open link of a user: after a new password or address, none sent before may still work.
func EndLinks(ctx context.Context, tx pgx.Tx, userID string) error {
	if _, err := tx.Exec(ctx, "delete from tokens where user_id = $1", userID); err != nil {
		return fmt.Errorf("end links: %w", err)
	}
	return nil
}
