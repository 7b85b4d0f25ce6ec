package tickets

import (
	"context"
	"errors"
	"fmt"

	"portico/app"
	"portico/app/provisioning"

	"github.com/jackc/pgx/v5"
)

// OfferHelp lets tickets be about failed runs, and notes in them when what failed goes well. Call it before the first request.
func (s *Service) OfferHelp(runs *provisioning.Service) {
	s.runs = runs
	runs.OnSuccess(s.ranWell)
}

// runFor returns the failed run that a new ticket is about, nil for none, and makes the ticket be about its product.
func (s *Service) runFor(ctx context.Context, v app.Viewer, o *Opening) (*provisioning.Run, error) {
	if o.RunID == "" || o.FollowsID != "" {
		return nil, nil
	}
	if s.runs == nil {
		return nil, app.ErrNotFound
	}
	run, p, err := s.runs.NeedsHelp(ctx, v, o.RunID)
	if err != nil {
		return nil, err
	}
	o.ProductID = p.ID
	return &run.Run, nil
}

// ranWell notes that what a ticket is about went well at last: once for a failure, and in no closed ticket. It is a
// provisioning.SuccessHook.
func (s *Service) ranWell(ctx context.Context, tx pgx.Tx, done provisioning.Success) error {
	t, err := lockAnyTicket(ctx, tx, done.Ticket)
	if errors.Is(err, app.ErrNotFound) || err == nil && t.Status == Closed {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read ticket %s: %w", done.Ticket, err)
	}
	told, err := toldOf(ctx, tx, t.ID, done.Label, done.FailedAt)
	if err != nil || told {
		return err
	}
	by := app.Viewer{Name: done.ActorName}
	if done.ActorID != nil {
		by.UserID = *done.ActorID
	}
	if _, err := AddEvent(ctx, tx, t, by, Event{Kind: EventRan, Data: map[string]string{"Action": done.Label}}); err != nil {
		return err
	}
	return Touch(ctx, tx, t)
}
