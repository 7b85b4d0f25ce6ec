package delegates

import (
	"context"
	"errors"
	"fmt"

	"portico/app"
	"portico/app/access"
	"portico/app/db"
	"portico/app/keys"
	"portico/app/live"
	"portico/app/mail"

	"github.com/jackc/pgx/v5"
)

// Invitation returns what a link invites the viewer into. One answer, app.ErrLink, for a link that is unknown, expired, replaced,
// revoked, declined, or somebody else's. Changes nothing: mail scanners open links.
func (s *Service) Invitation(ctx context.Context, v app.Viewer, secret string) (Invitation, error) {
	if err := access.Check(v, "invitations", "view"); err != nil {
		return Invitation{}, err
	}
	l, err := s.find(ctx, s.pool, v, secret)
	if err != nil {
		return Invitation{}, err
	}
	t, err := thingByID(ctx, s.pool, l.Kind, l.ThingID)
	if err != nil {
		return Invitation{}, fmt.Errorf("read what an invitation is into: %w", err)
	}
	d, err := delegateOf(ctx, s.pool, t, l.ID)
	if err != nil {
		return Invitation{}, fmt.Errorf("read an invitation: %w", err)
	}
	return Invitation{Thing: t, Delegate: d, Done: d.In()}, nil
}

// find returns the viewer's own invitation by its link: one that works, or that was accepted with it.
func (s *Service) find(ctx context.Context, conn db.Conn, v app.Viewer, secret string) (linked, error) {
	if len(secret) != 43 {
		return linked{}, app.ErrLink
	}
	l, err := byLink(ctx, conn, keys.LinkHash(secret), v.UserID)
	if errors.Is(err, app.ErrNotFound) || err == nil && !l.Works && l.Status != Accepted {
		return linked{}, app.ErrLink
	}
	if err != nil {
		return linked{}, fmt.Errorf("find an invitation: %w", err)
	}
	return l, nil
}

// Accept turns the viewer's invitation into access from now on, and returns what they were let into. A link that was accepted
// already changes nothing. Returns app.ErrLink as Invitation does, app.ErrForbidden until the viewer's address is confirmed, and
// app.ErrConflict for a thing that takes nobody any more. Queues mail to the owner and to who invited, notifies.
// Source: ticket guide, "Adding delegates to a ticket"; contract guide, "Delegate view".
func (s *Service) Accept(ctx context.Context, v app.Viewer, secret string) (t Thing, err error) {
	err = s.answer(ctx, v, secret, func(tx pgx.Tx, thing Thing, l linked) error {
		t = thing
		if l.Status == Accepted {
			return nil
		}
		if thing.Final {
			return fmt.Errorf("%s %s takes no delegates: %w", t.Kind, t.ID, app.ErrConflict)
		}
		if err := accept(ctx, tx, l.ID); err != nil {
			return fmt.Errorf("accept an invitation: %w", err)
		}
		if err := s.record(ctx, tx, v, t, "delegate.accept", v.Email); err != nil {
			return err
		}
		people, err := ownersAndInviter(ctx, tx, t.AccountID, l.ID)
		if err != nil {
			return fmt.Errorf("find who is told of an acceptance: %w", err)
		}
		for _, who := range people {
			if err := s.mail.Queue(ctx, tx, s.toOwner("invitation-accepted", "invitation-accepted:"+l.ID+":"+who.ID, who, t, v.Name)); err != nil {
				return err
			}
		}
		if err := s.parents[t.Kind].Happened(ctx, tx, v, t.ID, Event{EventAccept, v.UserID, v.Name}); err != nil {
			return err
		}
		return live.Notify(ctx, tx, TopicOf(v.UserID), "user:"+v.UserID)
	})
	return t, err
}

// toOwner is a mail that leads to a thing's panel.
func (s *Service) toOwner(kind, key string, who person, t Thing, name string) mail.Message {
	page := t.Path() + "/delegates"
	if who.OfStore {
		page = "/admin" + page
	}
	return mail.Message{
		Kind: kind, Key: key, UserID: who.ID, Recipient: who.Email, Name: who.Name, Language: who.Language, Zone: who.TimeZone,
		Data: map[string]string{"Thing": t.Kind, "ID": t.ID, "Subject": t.Name, "Name": name, "Page": page},
	}
}

// Decline refuses the viewer's invitation for good. Returns app.ErrLink as Invitation does, and app.ErrConflict once it was
// accepted: then one leaves.
func (s *Service) Decline(ctx context.Context, v app.Viewer, secret string) error {
	return s.answer(ctx, v, secret, func(tx pgx.Tx, t Thing, l linked) error {
		if l.Status == Accepted {
			return app.ErrConflict
		}
		if err := finish(ctx, tx, l.ID, Declined, v); err != nil {
			return fmt.Errorf("decline an invitation: %w", err)
		}
		if err := s.record(ctx, tx, v, t, "delegate.decline", v.Email); err != nil {
			return err
		}
		return s.parents[t.Kind].Happened(ctx, tx, v, t.ID, Event{EventDecline, v.UserID, v.Name})
	})
}

// answer works on the viewer's invitation with its thing locked.
func (s *Service) answer(ctx context.Context, v app.Viewer, secret string, work func(tx pgx.Tx, t Thing, l linked) error) error {
	if err := access.Check(v, "invitations", "answer"); err != nil {
		return err
	}
	first, err := s.find(ctx, s.pool, v, secret)
	if err != nil {
		return err
	}
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		t, err := lockThing(ctx, tx, first.Kind, first.ThingID)
		if err != nil {
			return fmt.Errorf("lock what an invitation is into: %w", err)
		}
		l, err := s.find(ctx, tx, v, secret) // as it is now that nobody else changes it
		if err != nil {
			return err
		}
		return work(tx, t, l)
	})
}

// askInvitation tells at sending whether an invitation still stands.
func (s *Service) askInvitation(ctx context.Context, conn db.Conn, m mail.Asked) (reason, quote string, err error) {
	var stands bool
	err = conn.QueryRow(ctx, `
		select exists (select from delegates d left join tickets t on t.id = d.ticket_id left join contracts c on c.id = d.contract_id
			where d.id = $1 and d.user_id = $2 and d.status = 'invited' and coalesce(t.status <> 'closed', c.status not in ('cancelled', 'ended')))`,
		m.Data["Delegate"], m.UserID).Scan(&stands)
	if err != nil {
		return "", "", fmt.Errorf("ask whether an invitation stands: %w", err)
	}
	if !stands {
		reason = "link-dead"
	}
	return reason, "", nil
}

// askOwner tells at sending whether somebody still sees the panel that a mail leads to.
func (s *Service) askOwner(ctx context.Context, conn db.Conn, m mail.Asked) (reason, quote string, err error) {
	var role string
	if err := conn.QueryRow(ctx, "select coalesce(role, '') from users where id = $1", m.UserID).Scan(&role); err != nil {
		return "", "", fmt.Errorf("ask who gets a mail about a delegate: %w", err)
	}
	v := app.Viewer{UserID: m.UserID, Role: app.Role(role), Confirmed: true}
	if v.Role == app.RoleStaff {
		if v.Permissions, err = permissionsOf(ctx, conn, m.UserID); err != nil {
			return "", "", fmt.Errorf("ask what somebody may do: %w", err)
		}
	}
	err = s.parents[m.Data["Thing"]].May(ctx, conn, v, m.Data["ID"], "delegates")
	if errors.Is(err, app.ErrNotFound) || errors.Is(err, app.ErrForbidden) {
		return "no-access", "", nil
	}
	return "", "", err
}
