package clients

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"portico/app"
	"portico/app/access"
	"portico/app/accounts"
	"portico/app/audit"
	"portico/app/auth"
	"portico/app/db"
	"portico/app/keys"
	"portico/app/limits"
	"portico/app/live"
	"portico/app/mail"
	"portico/policies"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Circle is an account that the viewer belongs to, with its people.
type Circle struct {
	ID          string
	Name        string
	Relation    string       // the viewer's: "owner" or "user"
	People      []Person     `db:"-"`
	Invitations []Invitation `db:"-"` // those that wait; for the owner
}

// Owned tells whether the viewer owns the account: only then they change its people.
func (c Circle) Owned() bool { return c.Relation == "owner" }

// Invitation asks somebody to become a user of an account. It ends when it is answered or withdrawn.
type Invitation struct {
	ID            string
	AccountID     string
	AccountName   string
	UserID        string
	Name          string // of the invited
	Email         string
	Permissions   []string // of policies.AccountPermissions
	InvitedByName string
	CreatedAt     time.Time
	ExpiresAt     *time.Time // of its link; nil if that is dead
}

// People keeps the users of accounts, for account holders. Safe for concurrent use.
type People struct {
	pool *pgxpool.Pool
	keys *keys.Ring
	mail auth.Mailer
}

// NewPeople returns a People.
func NewPeople(pool *pgxpool.Pool, ring *keys.Ring, mailer auth.Mailer) *People {
	return &People{pool, ring, mailer}
}

// rateInvite is how often one person may try addresses: the answer tells who has an account.
var rateInvite = limits.Rate{Times: 20, Window: time.Hour}

// Circles lists the accounts that the viewer belongs to, those they own first, with their people.
func (p *People) Circles(ctx context.Context, v app.Viewer) ([]Circle, error) {
	if err := access.Check(v, "people", "view"); err != nil {
		return nil, err
	}
	all, err := circles(ctx, p.pool, v.UserID)
	if err != nil {
		return nil, fmt.Errorf("list own accounts: %w", err)
	}
	return all, nil
}

// Circle returns one of them that the viewer owns: app.ErrNotFound for another's account, app.ErrForbidden for another user of it.
func (p *People) Circle(ctx context.Context, v app.Viewer, accountID string) (Circle, error) {
	all, err := p.Circles(ctx, v)
	if err != nil {
		return Circle{}, err
	}
	i := slices.IndexFunc(all, func(c Circle) bool { return c.ID == accountID })
	if i < 0 {
		return Circle{}, fmt.Errorf("read account %s: %w", accountID, app.ErrNotFound)
	}
	if !all[i].Owned() {
		return Circle{}, app.ErrForbidden
	}
	return all[i], nil
}

// change works in one transaction on an account that the viewer owns, while nobody else changes its people.
func (p *People) change(ctx context.Context, v app.Viewer, accountID string, work func(tx pgx.Tx, c Circle) error) error {
	if err := access.Check(v, "people", "edit"); err != nil {
		return err
	}
	return db.InTx(ctx, p.pool, func(tx pgx.Tx) error {
		c, err := lockCircle(ctx, tx, v.UserID, accountID)
		if err != nil {
			return fmt.Errorf("lock account %s: %w", accountID, err)
		}
		if !c.Owned() {
			return app.ErrForbidden
		}
		return work(tx, c)
	})
}

// Invite asks the owner of a store account to become a user of the viewer's account, with permissions beyond what every user may, and
// queues the mail with the link; a second invitation of the same person renews the first. Returns *app.Invalid on "email" for an
// address without a store account, of the store's people or of somebody who belongs to the account already, and *app.Limited after 20
// addresses in an hour.
func (p *People) Invite(ctx context.Context, v app.Viewer, accountID, email string, permissions []string) error {
	return p.change(ctx, v, accountID, func(tx pgx.Tx, c Circle) error {
		email = strings.TrimSpace(email)
		var invalid app.Invalid
		accounts.CheckEmail(&invalid, "email", email)
		permissions, ok := known(permissions)
		if !ok {
			invalid.Add("permissions", "form.unreadable")
		}
		if err := invalid.Err(); err != nil {
			return err
		}
		// Counted outside: a refused address counts too.
		if err := limits.Hit(ctx, p.pool, "people.invite", v.UserID, rateInvite); err != nil {
			return err
		}
		who, err := invited(ctx, tx, email, accountID)
		switch {
		case errors.Is(err, app.ErrNotFound):
			return app.Invalidf("email", "clients.no-account")
		case err != nil:
			return fmt.Errorf("find whom to invite: %w", err)
		case who.OfStore:
			return app.Invalidf("email", "clients.of-store")
		case who.Member:
			return app.Invalidf("email", "clients.already-user")
		}
		id, err := putInvitation(ctx, tx, v, accountID, who.ID, permissions)
		if err != nil {
			return fmt.Errorf("invite somebody to account %s: %w", accountID, err)
		}
		if err := p.mailInvitation(ctx, tx, v, c, id, who); err != nil {
			return err
		}
		return record(ctx, tx, v, c, "account.invite", map[string]any{"email": who.Email, "permissions": permissions})
	})
}

func (p *People) mailInvitation(ctx context.Context, tx pgx.Tx, v app.Viewer, c Circle, invitationID string, who invitee) error {
	link, err := auth.NewAccountLink(ctx, tx, p.keys, invitationID, who.ID, who.Email)
	if err != nil {
		return err
	}
	return p.mail.Queue(ctx, tx, mail.Message{
		Kind: "account-invitation", Key: "account-invitation:" + link, UserID: who.ID, Recipient: who.Email, Name: who.Name,
		Language: who.Language, Zone: who.TimeZone, TokenID: link, Data: map[string]string{"Account": c.Name, "Name": v.Name},
	})
}

// InviteAgain queues a new link for an invitation that waits; the old one stops working.
func (p *People) InviteAgain(ctx context.Context, v app.Viewer, accountID, id string) error {
	return p.change(ctx, v, accountID, func(tx pgx.Tx, c Circle) error {
		invitation, err := invitationOf(ctx, tx, accountID, id)
		if err != nil {
			return fmt.Errorf("read invitation %s: %w", id, err)
		}
		if err := limits.Hit(ctx, p.pool, "people.invite", v.UserID, rateInvite); err != nil {
			return err
		}
		who, err := invited(ctx, tx, invitation.Email, accountID)
		if err != nil {
			return fmt.Errorf("find whom to invite: %w", err)
		}
		if err := p.mailInvitation(ctx, tx, v, c, id, who); err != nil {
			return err
		}
		return record(ctx, tx, v, c, "account.invite-again", map[string]any{"email": who.Email})
	})
}

// Withdraw ends an invitation that waits: its link is dead.
func (p *People) Withdraw(ctx context.Context, v app.Viewer, accountID, id string) error {
	return p.change(ctx, v, accountID, func(tx pgx.Tx, c Circle) error {
		invitation, err := invitationOf(ctx, tx, accountID, id)
		if err != nil {
			return fmt.Errorf("read invitation %s: %w", id, err)
		}
		if err := deleteInvitation(ctx, tx, id); err != nil {
			return fmt.Errorf("withdraw invitation %s: %w", id, err)
		}
		return record(ctx, tx, v, c, "account.withdraw", map[string]any{"email": invitation.Email})
	})
}

// SetPermissions changes what a user of the viewer's account may do beyond what every user may; their next request is judged by it.
// Returns app.ErrNotFound for somebody who is no other user of it, *app.Invalid.
func (p *People) SetPermissions(ctx context.Context, v app.Viewer, accountID, userID string, permissions []string) error {
	return p.change(ctx, v, accountID, func(tx pgx.Tx, c Circle) error {
		person, err := userOf(ctx, tx, accountID, userID)
		if err != nil {
			return fmt.Errorf("read user %s of account %s: %w", userID, accountID, err)
		}
		permissions, ok := known(permissions)
		if !ok {
			return app.Invalidf("permissions", "form.unreadable")
		}
		if slices.Equal(permissions, person.Permissions) {
			return nil
		}
		if err := setPermissions(ctx, tx, accountID, userID, permissions); err != nil {
			return fmt.Errorf("set the permissions of user %s: %w", userID, err)
		}
		changes := audit.Changes{}
		changes.Add("permissions", person.Permissions, permissions)
		changes["name"] = person.Name
		if err := record(ctx, tx, v, c, "account.permissions", changes); err != nil {
			return err
		}
		return live.Notify(ctx, tx, "user:"+userID)
	})
}

// Remove takes a user out of the viewer's account, at once. Returns app.ErrNotFound for somebody who is no other user of it.
func (p *People) Remove(ctx context.Context, v app.Viewer, accountID, userID string) error {
	return p.change(ctx, v, accountID, func(tx pgx.Tx, c Circle) error {
		person, err := userOf(ctx, tx, accountID, userID)
		if err != nil {
			return fmt.Errorf("read user %s of account %s: %w", userID, accountID, err)
		}
		if err := deleteUser(ctx, tx, accountID, userID); err != nil {
			return fmt.Errorf("remove user %s: %w", userID, err)
		}
		if err := record(ctx, tx, v, c, "account.remove", map[string]any{"name": person.Name, "email": person.Email}); err != nil {
			return err
		}
		return live.Notify(ctx, tx, "user:"+userID)
	})
}

// Invitation returns the invitation of a link, for the very account that it names. Anybody else gets app.ErrLink, as for an unknown one.
func (p *People) Invitation(ctx context.Context, v app.Viewer, secret string) (Invitation, error) {
	if err := access.Check(v, "people", "edit"); err != nil {
		return Invitation{}, err
	}
	link, err := auth.FindLink(ctx, p.pool, secret, auth.PurposeAccount)
	if err != nil {
		return Invitation{}, err
	}
	return invitationFor(ctx, p.pool, v, link)
}

func invitationFor(ctx context.Context, conn db.Conn, v app.Viewer, link auth.Link) (Invitation, error) {
	if link.UserID != v.UserID || !strings.EqualFold(link.Email, v.Email) {
		return Invitation{}, app.ErrLink
	}
	invitation, err := invitationByLink(ctx, conn, link.ID)
	if errors.Is(err, app.ErrNotFound) {
		return Invitation{}, app.ErrLink
	}
	return invitation, err
}

// Answer uses an invitation's link up: with accept the viewer becomes a user of the account, else they declined.
func (p *People) Answer(ctx context.Context, v app.Viewer, secret string, accept bool) (Invitation, error) {
	if err := access.Check(v, "people", "edit"); err != nil {
		return Invitation{}, err
	}
	var invitation Invitation
	err := db.InTx(ctx, p.pool, func(tx pgx.Tx) error {
		link, err := auth.FindLink(ctx, tx, secret, auth.PurposeAccount)
		if err != nil {
			return err
		}
		if invitation, err = invitationFor(ctx, tx, v, link); err != nil {
			return err
		}
		// The account first, as change does: an invitation that is withdrawn meanwhile is not there any more.
		if err := lockAccount(ctx, tx, invitation.AccountID); err != nil {
			return fmt.Errorf("lock account %s: %w", invitation.AccountID, err)
		}
		if _, err := auth.SpendLink(ctx, tx, secret, auth.PurposeAccount); err != nil {
			return err
		}
		if invitation, err = invitationFor(ctx, tx, v, link); err != nil {
			return err
		}
		action := "account.decline"
		if accept {
			action = "account.accept"
			if err := insertUser(ctx, tx, invitation); err != nil {
				return fmt.Errorf("join account %s: %w", invitation.AccountID, err)
			}
		}
		if err := deleteInvitation(ctx, tx, invitation.ID); err != nil {
			return fmt.Errorf("end invitation %s: %w", invitation.ID, err)
		}
		c := Circle{ID: invitation.AccountID, Name: invitation.AccountName}
		if err := record(ctx, tx, v, c, action, map[string]any{"permissions": invitation.Permissions}); err != nil {
			return err
		}
		return live.Notify(ctx, tx, "user:"+v.UserID)
	})
	return invitation, err
}

// known returns permissions in the catalogue's order, each once, and whether all of them are.
func known(permissions []string) ([]string, bool) {
	list, unknown := []string{}, len(permissions)
	for _, permission := range policies.AccountPermissions {
		if slices.Contains(permissions, string(permission)) {
			list = append(list, string(permission))
			unknown--
		}
	}
	return list, unknown == 0
}

func record(ctx context.Context, tx pgx.Tx, v app.Viewer, c Circle, action string, details map[string]any) error {
	return audit.Record(ctx, tx, v, audit.Entry{
		Action: action, ObjectType: "account", ObjectID: c.ID, ObjectName: c.Name, AccountID: c.ID, Details: details,
	})
}
