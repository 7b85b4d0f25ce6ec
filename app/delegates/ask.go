package delegates

import (
	"context"
	"fmt"
	"time"

	"portico/app"
	"portico/app/db"
	"portico/app/limits"
	"portico/app/mail"

	"github.com/jackc/pgx/v5"
)

// rateAsk bounds how often one person asks owners for what they took.
var rateAsk = limits.Rate{Times: 5, Window: 24 * time.Hour}

// Ask tells a contract's owner that the viewer, a delegate of it who may not run actions, would like to again. Asking twice is asking
// once.
//
// Returns app.ErrNotFound to a stranger, app.ErrForbidden to who is no delegate, app.ErrConflict to one who may run actions,
// *app.Limited after 5 in a day. Queues a mail, notifies.
func (s *Service) Ask(ctx context.Context, v app.Viewer, kind, id string) error {
	return s.change(ctx, v, kind, id, "ask", func(tx pgx.Tx, t Thing) error {
		d, err := presentOf(ctx, tx, t, v.UserID)
		if err != nil {
			return fmt.Errorf("find one's own access: %w", err)
		}
		if d.MayAct {
			return fmt.Errorf("ask for what delegate %s may do: %w", d.ID, app.ErrConflict)
		}
		if d.AskedAt != nil {
			return nil
		}
		if err := limits.Hit(ctx, tx, "delegate.ask", v.UserID, rateAsk); err != nil {
			return err
		}
		at, err := setAsked(ctx, tx, d.ID)
		if err != nil {
			return fmt.Errorf("ask for actions: %w", err)
		}
		people, err := owners(ctx, tx, t.AccountID)
		if err != nil {
			return fmt.Errorf("find whom is asked for actions: %w", err)
		}
		for _, who := range people {
			if err := s.mail.Queue(ctx, tx, s.toOwner("actions-asked", fmt.Sprintf("actions-asked:%s:%d:%s", d.ID, at.UnixMicro(), who.ID), who, t, v.Name)); err != nil {
				return err
			}
		}
		if err := s.record(ctx, tx, v, t, "delegate.ask", d.Email); err != nil {
			return err
		}
		return s.parents[kind].Happened(ctx, tx, v, t.ID, Event{EventAsk, d.UserID, d.Name})
	})
}

// Answer gives a delegate who asked for them the actions back, or does not. Returns app.ErrNotFound to a stranger and for a row of
// another thing, app.ErrForbidden, app.ErrConflict where nothing is asked any more. Queues a mail to the delegate, notifies.
func (s *Service) Answer(ctx context.Context, v app.Viewer, kind, id, delegateID string, allow bool) error {
	return s.change(ctx, v, kind, id, "invite", func(tx pgx.Tx, t Thing) error {
		d, err := delegateOf(ctx, tx, t, delegateID)
		if err != nil {
			return fmt.Errorf("find a delegate: %w", err)
		}
		if !d.In() || d.AskedAt == nil {
			return fmt.Errorf("answer delegate %s, who does not ask: %w", d.ID, app.ErrConflict)
		}
		if err := answerAsked(ctx, tx, d.ID, allow); err != nil {
			return fmt.Errorf("answer a delegate: %w", err)
		}
		event, answer := EventRefuse, "declined"
		if allow {
			event, answer = EventAllow, "allowed"
		}
		who, err := personByID(ctx, tx, d.UserID, t.AccountID)
		if err != nil {
			return fmt.Errorf("find who asked: %w", err)
		}
		err = s.mail.Queue(ctx, tx, mail.Message{
			Kind: "actions-answered", Key: fmt.Sprintf("actions-answered:%s:%d", d.ID, d.AskedAt.UnixMicro()), UserID: who.ID, Recipient: who.Email, Name: who.Name,
			Language: who.Language, Zone: who.TimeZone, Data: map[string]string{"Delegate": d.ID, "Subject": t.Name, "Name": v.Name, "Answer": answer, "Page": t.Path()},
		})
		if err != nil {
			return err
		}
		if err := s.parents[kind].Happened(ctx, tx, v, t.ID, Event{event, d.UserID, d.Name}); err != nil {
			return err
		}
		return s.changed(ctx, tx, v, t, d, "delegate."+answer)
	})
}

// askAnswered tells at sending whether somebody who asked still has the access that they asked about.
func (s *Service) askAnswered(ctx context.Context, conn db.Conn, m mail.Asked) (reason, quote string, err error) {
	has, err := hasAccess(ctx, conn, m.Data["Delegate"], m.UserID)
	if err != nil {
		return "", "", fmt.Errorf("ask whether an access stands: %w", err)
	}
	if !has {
		reason = "no-access"
	}
	return reason, "", nil
}
