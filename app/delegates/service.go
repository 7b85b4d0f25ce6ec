package delegates

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"portico/app"
	"portico/app/audit"
	"portico/app/auth"
	"portico/app/db"
	"portico/app/keys"
	"portico/app/limits"
	"portico/app/live"
	"portico/app/mail"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Parent is the domain of what delegates are let into.
type Parent interface {
	// May returns nil if the viewer may do something with a thing: "delegates" (see the panel), "invite", "resend", "revoke",
	// "leave" or "ask" (for actions that were taken). Else app.ErrNotFound to a stranger, or app.ErrForbidden.
	May(ctx context.Context, conn db.Conn, v app.Viewer, id, action string) error
	// Happened puts what became of a delegate into the thing's timeline and tells its open pages, in tx, which holds the thing.
	Happened(ctx context.Context, tx pgx.Tx, v app.Viewer, id string, e Event) error
}

// Service lets account holders in and out. Safe for concurrent use once its parents are known.
type Service struct {
	pool    *pgxpool.Pool
	ring    *keys.Ring
	mail    *mail.Service
	parents map[string]Parent
}

// NewService returns a Service, and tells mails who may get those about delegates.
func NewService(pool *pgxpool.Pool, ring *keys.Ring, mails *mail.Service) *Service {
	s := &Service{pool, ring, mails, map[string]Parent{}}
	for _, kind := range []string{"ticket-invitation", "contract-invitation"} {
		mails.Ask(kind, s.askInvitation)
	}
	mails.Ask("invitation-accepted", s.askOwner)
	mails.Ask("access-ends", s.askOwner)
	mails.Ask("actions-asked", s.askOwner)
	mails.Ask("actions-answered", s.askAnswered)
	return s
}

// Serve names the domain of a kind of thing. Call it before the first request.
func (s *Service) Serve(kind string, p Parent) { s.parents[kind] = p }

var (
	// rateInvite bounds what the panel tells of who has an account.  Source: permission matrix, note h.
	rateInvite = limits.Rate{Times: 20, Window: time.Hour}
	rateTerms  = limits.Rate{Times: 120, Window: time.Hour}
)

const (
	// maxPresent is how many people can stand on one panel.
	maxPresent = 100
	// extendDays is what one click adds to an access that ends.
	extendDays = 30
	// remindBefore is how long before the end of an access its owner is told.
	remindBefore = 7 * 24 * time.Hour
)

// Panel returns who is and was let into a thing. Returns app.ErrNotFound to a stranger, app.ErrForbidden to its delegates.
func (s *Service) Panel(ctx context.Context, v app.Viewer, kind, id string) (Panel, error) {
	if err := s.parents[kind].May(ctx, s.pool, v, id, "delegates"); err != nil {
		return Panel{}, err
	}
	t, err := thingByID(ctx, s.pool, kind, id)
	if err != nil {
		return Panel{}, fmt.Errorf("read what delegates are let into: %w", err)
	}
	panel := Panel{Thing: t}
	if panel.Present, err = present(ctx, s.pool, t); err != nil {
		return Panel{}, fmt.Errorf("list the delegates of %s %s: %w", kind, id, err)
	}
	if panel.History, err = history(ctx, s.pool, t); err != nil {
		return Panel{}, fmt.Errorf("list the earlier delegates of %s %s: %w", kind, id, err)
	}
	for action, can := range map[string]*bool{"invite": &panel.Can.Invite, "resend": &panel.Can.Resend, "revoke": &panel.Can.Revoke} {
		err := s.parents[kind].May(ctx, s.pool, v, id, action)
		if err != nil && !errors.Is(err, app.ErrForbidden) {
			return Panel{}, err
		}
		*can = err == nil && (action == "revoke" || !t.Final)
	}
	return panel, nil
}

// Count is how many people stand on a thing's panel, for callers that have asked whether the viewer may see it.
func (s *Service) Count(ctx context.Context, kind, id string) (int, error) {
	count, err := countPresent(ctx, s.pool, Thing{Kind: kind, ID: id})
	if err != nil {
		return 0, fmt.Errorf("count the delegates of %s %s: %w", kind, id, err)
	}
	return count, nil
}

// change is how a thing's delegates are changed: it locks the thing, asks its domain, and works in one transaction.
func (s *Service) change(ctx context.Context, v app.Viewer, kind, id, action string, work func(tx pgx.Tx, t Thing) error) error {
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		t, err := lockThing(ctx, tx, kind, id)
		if err != nil {
			return fmt.Errorf("lock %s %s: %w", kind, id, err)
		}
		if err := s.parents[kind].May(ctx, tx, v, id, action); err != nil {
			return err
		}
		if t.Final && action != "revoke" && action != "leave" {
			return fmt.Errorf("%s %s takes no delegates: %w", kind, id, app.ErrConflict)
		}
		return work(tx, t)
	})
}

// Invite invites whom an address belongs to. Somebody who is invited already gets a new link, and the old one dies.
//
// Returns app.ErrNotFound to a stranger, app.ErrForbidden, app.ErrConflict for a thing that takes nobody any more, *app.Invalid on
// "email" if nobody has the address or its person has access, *app.Limited after 20 addresses in an hour. Queues a mail, notifies.
// Source: ticket guide, "Adding delegates to a ticket"; contract guide, "Inviting a delegate".
func (s *Service) Invite(ctx context.Context, v app.Viewer, kind, id, email string) error {
	email = strings.TrimSpace(email)
	// Whether one may ask comes before what the answer is, and every address counts, whatever becomes of it.
	if err := s.parents[kind].May(ctx, s.pool, v, id, "invite"); err != nil {
		return err
	}
	if email == "" || len(email) > 320 {
		return app.Invalidf("email", "delegates.email-missing")
	}
	if err := limits.Hit(ctx, s.pool, "delegate.invite", v.UserID, rateInvite); err != nil {
		return err
	}
	unknown := false
	err := s.change(ctx, v, kind, id, "invite", func(tx pgx.Tx, t Thing) error {
		who, err := personByEmail(ctx, tx, email, t.AccountID)
		if errors.Is(err, app.ErrNotFound) {
			unknown = true
			return s.record(ctx, tx, v, t, "delegate.unknown", email)
		}
		if err != nil {
			return fmt.Errorf("find whom an address belongs to: %w", err)
		}
		if who.OfStore || who.Member {
			return app.Invalidf("email", "delegates.has-access")
		}
		d, err := presentOf(ctx, tx, t, who.ID)
		switch {
		case err == nil && d.In():
			return app.Invalidf("email", "delegates.has-access")
		case err == nil && d.Status == Accepted: // its end came
			if err := finish(ctx, tx, d.ID, Ended, app.Viewer{}); err != nil {
				return fmt.Errorf("end an access: %w", err)
			}
		case err == nil:
			return s.send(ctx, tx, v, t, d.ID, who, "delegate.send-again")
		case !errors.Is(err, app.ErrNotFound):
			return fmt.Errorf("look for a present delegate: %w", err)
		}
		count, err := countPresent(ctx, tx, t)
		if err != nil {
			return fmt.Errorf("count delegates: %w", err)
		}
		if count >= maxPresent {
			return app.Invalidf("email", "delegates.too-many", "Max", maxPresent)
		}
		rowID, err := insertDelegate(ctx, tx, t, who.ID, v)
		if err != nil {
			return fmt.Errorf("invite a delegate: %w", err)
		}
		if err := s.send(ctx, tx, v, t, rowID, who, "delegate.invite"); err != nil {
			return err
		}
		return s.parents[kind].Happened(ctx, tx, v, t.ID, Event{EventInvite, who.ID, who.Name})
	})
	if err == nil && unknown {
		return app.Invalidf("email", "delegates.no-account")
	}
	return err
}

// send makes an invitation's link and queues its mail.
func (s *Service) send(ctx context.Context, tx pgx.Tx, v app.Viewer, t Thing, id string, who person, action string) error {
	if err := renew(ctx, tx, id, v); err != nil {
		return fmt.Errorf("renew an invitation: %w", err)
	}
	token, err := auth.NewDelegateLink(ctx, tx, s.ring, id, who.ID, who.Email)
	if err != nil {
		return err
	}
	err = s.mail.Queue(ctx, tx, mail.Message{
		Kind: t.Kind + "-invitation", Key: "invitation:" + token, UserID: who.ID, Recipient: who.Email, Name: who.Name,
		Language: who.Language, Zone: who.TimeZone, TokenID: token,
		Data: map[string]string{"Delegate": id, "Subject": t.Name, "Name": v.Name, "Owner": t.AccountName},
	})
	if err != nil {
		return err
	}
	if err := s.record(ctx, tx, v, t, action, who.Email); err != nil {
		return err
	}
	if action == "delegate.send-again" {
		return s.parents[t.Kind].Happened(ctx, tx, v, t.ID, Event{UserID: who.ID, Name: who.Name})
	}
	return nil
}

// Again sends an invitation once more, with a new link; the old one dies. Returns app.ErrNotFound also for a row of another
// thing, app.ErrConflict if it is no invitation any more, and what Invite does. Queues a mail.
func (s *Service) Again(ctx context.Context, v app.Viewer, kind, id, delegateID string) error {
	return s.change(ctx, v, kind, id, "resend", func(tx pgx.Tx, t Thing) error {
		d, err := delegateOf(ctx, tx, t, delegateID)
		if err != nil {
			return fmt.Errorf("find an invitation: %w", err)
		}
		if d.Status != Invited {
			return fmt.Errorf("delegate %s is %s: %w", d.ID, d.Status, app.ErrConflict)
		}
		who, err := personByID(ctx, tx, d.UserID, t.AccountID)
		if errors.Is(err, app.ErrNotFound) || err == nil && (who.OfStore || who.Member) {
			return app.ErrConflict
		}
		if err != nil {
			return fmt.Errorf("find who is invited: %w", err)
		}
		if err := limits.Hit(ctx, tx, "delegate.invite", v.UserID, rateInvite); err != nil {
			return err
		}
		return s.send(ctx, tx, v, t, d.ID, who, "delegate.send-again")
	})
}

// Revoke takes an invitation or an access back, from this transaction's commit on. What is over already stays as it is, without an
// error. Returns app.ErrNotFound to a stranger and for a row of another thing, app.ErrForbidden. Queues a mail to who had access,
// notifies.  Source: ticket guide, "Removing delegate access"; contract guide, "Cancelling delegate access".
func (s *Service) Revoke(ctx context.Context, v app.Viewer, kind, id, delegateID string) error {
	return s.change(ctx, v, kind, id, "revoke", func(tx pgx.Tx, t Thing) error {
		d, err := delegateOf(ctx, tx, t, delegateID)
		if err != nil {
			return fmt.Errorf("find a delegate: %w", err)
		}
		if !d.Present() {
			return nil
		}
		return s.revoke(ctx, tx, v, t, d)
	})
}

func (s *Service) revoke(ctx context.Context, tx pgx.Tx, v app.Viewer, t Thing, d Delegate) error {
	if err := finish(ctx, tx, d.ID, Revoked, v); err != nil {
		return fmt.Errorf("revoke the access of a delegate: %w", err)
	}
	if err := s.record(ctx, tx, v, t, "delegate.revoke", d.Email); err != nil {
		return err
	}
	if d.In() {
		who, err := personByID(ctx, tx, d.UserID, t.AccountID)
		if err != nil && !errors.Is(err, app.ErrNotFound) {
			return fmt.Errorf("find whose access ended: %w", err)
		}
		if err == nil {
			err := s.mail.Queue(ctx, tx, mail.Message{
				Kind: "access-revoked", Key: "access-revoked:" + d.ID, UserID: who.ID, Recipient: who.Email, Name: who.Name,
				Language: who.Language, Zone: who.TimeZone, Data: map[string]string{"Subject": t.Name, "Name": v.Name, "Owner": t.AccountName},
			})
			if err != nil {
				return err
			}
		}
	}
	return s.over(ctx, tx, v, t, d, EventRevoke)
}

// over tells the timeline, and every open page of who is out, which then asks again at once.
func (s *Service) over(ctx context.Context, tx pgx.Tx, v app.Viewer, t Thing, d Delegate, event string) error {
	if err := s.parents[t.Kind].Happened(ctx, tx, v, t.ID, Event{event, d.UserID, d.Name}); err != nil {
		return err
	}
	return live.Notify(ctx, tx, TopicOf(d.UserID), "user:"+d.UserID)
}

// Leave ends the viewer's own access. Returns app.ErrNotFound to a stranger, app.ErrForbidden to who is no delegate. Notifies.
func (s *Service) Leave(ctx context.Context, v app.Viewer, kind, id string) error {
	return s.change(ctx, v, kind, id, "leave", func(tx pgx.Tx, t Thing) error {
		d, err := presentOf(ctx, tx, t, v.UserID)
		if err != nil {
			return fmt.Errorf("find one's own access: %w", err)
		}
		if err := finish(ctx, tx, d.ID, Left, v); err != nil {
			return fmt.Errorf("leave: %w", err)
		}
		if err := s.record(ctx, tx, v, t, "delegate.leave", d.Email); err != nil {
			return err
		}
		return s.over(ctx, tx, v, t, d, EventLeave)
	})
}

// Delegate returns one person of a thing's panel for changing the terms of their access.
func (s *Service) Delegate(ctx context.Context, v app.Viewer, kind, id, delegateID string) (Thing, Delegate, error) {
	if err := s.parents[kind].May(ctx, s.pool, v, id, "invite"); err != nil {
		return Thing{}, Delegate{}, err
	}
	t, err := thingByID(ctx, s.pool, kind, id)
	if err != nil {
		return Thing{}, Delegate{}, fmt.Errorf("read what a delegate is let into: %w", err)
	}
	d, err := delegateOf(ctx, s.pool, t, delegateID)
	if err != nil {
		return Thing{}, Delegate{}, fmt.Errorf("read a delegate: %w", err)
	}
	if !d.Present() || t.Final {
		return Thing{}, Delegate{}, app.ErrConflict
	}
	return t, d, nil
}

// SetTerms sets until when an access lasts and, of a contract, what it is for. Days are of zone. Returns what Delegate does, and
// *app.Invalid on "ends_on". Sends no mail, notifies.
func (s *Service) SetTerms(ctx context.Context, v app.Viewer, kind, id, delegateID string, terms Terms, zone *time.Location) error {
	return s.change(ctx, v, kind, id, "invite", func(tx pgx.Tx, t Thing) error {
		d, err := delegateOf(ctx, tx, t, delegateID)
		if err != nil {
			return fmt.Errorf("find a delegate: %w", err)
		}
		if !d.Present() {
			return app.ErrConflict
		}
		if err := limits.Hit(ctx, tx, "delegate.terms", v.UserID, rateTerms); err != nil {
			return err
		}
		var endsAt *time.Time
		if terms.EndsOn != "" {
			day, err := time.ParseInLocation(time.DateOnly, terms.EndsOn, zone)
			if err != nil {
				return app.Invalidf("ends_on", "delegates.day-wrong")
			}
			end := day.AddDate(0, 0, 1)
			if !end.After(time.Now()) {
				return app.Invalidf("ends_on", "delegates.day-past")
			}
			if end.Year() > 9000 {
				return app.Invalidf("ends_on", "delegates.day-wrong")
			}
			endsAt = &end
		}
		if t.Kind == Ticket {
			terms.MayAct, terms.MayTickets, terms.AskFirst = true, true, false
		} else {
			terms.UntilClosed = false
		}
		if err := setTerms(ctx, tx, d.ID, endsAt, terms); err != nil {
			return fmt.Errorf("set the terms of an access: %w", err)
		}
		return s.changed(ctx, tx, v, t, d, "delegate.terms")
	})
}

// Extend adds 30 days to an access that ends, or gives 30 days to one that has ended. Returns what SetTerms does; app.ErrConflict
// for an access without an end.
func (s *Service) Extend(ctx context.Context, v app.Viewer, kind, id, delegateID string) error {
	return s.change(ctx, v, kind, id, "invite", func(tx pgx.Tx, t Thing) error {
		d, err := delegateOf(ctx, tx, t, delegateID)
		if err != nil {
			return fmt.Errorf("find a delegate: %w", err)
		}
		if !d.Present() || d.EndsAt == nil {
			return app.ErrConflict
		}
		if err := limits.Hit(ctx, tx, "delegate.terms", v.UserID, rateTerms); err != nil {
			return err
		}
		if err := extend(ctx, tx, d.ID, extendDays); err != nil {
			return fmt.Errorf("extend an access: %w", err)
		}
		return s.changed(ctx, tx, v, t, d, "delegate.extend")
	})
}

// changed records a change of terms, which applies at once, and tells open pages.
func (s *Service) changed(ctx context.Context, tx pgx.Tx, v app.Viewer, t Thing, d Delegate, action string) error {
	if err := s.record(ctx, tx, v, t, action, d.Email); err != nil {
		return err
	}
	if err := s.parents[t.Kind].Happened(ctx, tx, v, t.ID, Event{UserID: d.UserID, Name: d.Name}); err != nil {
		return err
	}
	return live.Notify(ctx, tx, TopicOf(d.UserID), "user:"+d.UserID)
}

// Remind queues a mail to the owners of things whose delegates' access ends within a week, once for each end.
func (s *Service) Remind(ctx context.Context) error {
	soon, err := endings(ctx, s.pool, time.Now().Add(remindBefore))
	if err != nil {
		return fmt.Errorf("look for access that ends soon: %w", err)
	}
	for _, e := range soon {
		err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
			m := s.toOwner("access-ends", fmt.Sprintf("access-ends:%s:%d", e.DelegateID, e.EndsAt.Unix()), e.person, Thing{Kind: e.Kind, ID: e.ThingID, Name: e.Title}, e.Who)
			m.Data["Ends"] = e.EndsAt.UTC().Format(time.RFC3339)
			return s.mail.Queue(ctx, tx, m)
		})
		if err != nil {
			return fmt.Errorf("remind an owner: %w", err)
		}
	}
	return nil
}

// record adds the audit's row.
func (s *Service) record(ctx context.Context, tx pgx.Tx, v app.Viewer, t Thing, action, email string) error {
	return audit.Record(ctx, tx, v, audit.Entry{
		Action: action, ObjectType: t.Kind, ObjectID: t.ID, ObjectName: t.Name, Details: map[string]any{"email": email},
	})
}
