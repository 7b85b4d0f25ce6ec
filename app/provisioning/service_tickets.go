package provisioning

import (
	"context"
	"errors"
	"fmt"
	"time"

	"portico/app"

	"github.com/jackc/pgx/v5"
)

// SuccessHook is told in the transaction of a success of the tickets about earlier failures of the same action.
type SuccessHook func(ctx context.Context, tx pgx.Tx, s Success) error

// Success is an action that went well after it had failed, and a ticket was opened about that.
type Success struct {
	Run
	Label    string    // of the action, in the store's language
	Ticket   string    // id
	FailedAt time.Time // when it failed last that this ticket knows of
}

// OnSuccess names who is told of successes that tickets wait for. Call it before the first run.
func (s *Service) OnSuccess(hook SuccessHook) { s.succeeded = hook }

// NeedsHelp returns a failed run that the viewer may open a ticket about, with its product.
//
// Returns app.ErrNotFound to who does not see it, app.ErrForbidden to who may not have tickets about the product, app.ErrConflict for one
// that did not fail. One that has a ticket already is returned with it.
func (s *Service) NeedsHelp(ctx context.Context, v app.Viewer, id string) (RunView, Product, error) {
	run, p, err := s.Show(ctx, v, id)
	switch {
	case err != nil:
		return RunView{}, Product{}, err
	case !p.Allows("tickets"):
		return RunView{}, Product{}, app.ErrForbidden
	case run.Status != Failed:
		return RunView{}, Product{}, fmt.Errorf("open a ticket about run %s, which is %s: %w", id, run.Status, app.ErrConflict)
	}
	return run, p, nil
}

// SetTicket notes in the transaction of a ticket's opening that it is about a run. Returns app.ErrConflict if there is one already.
func (s *Service) SetTicket(ctx context.Context, tx pgx.Tx, run Run, ticketID string) error {
	first, err := setTicket(ctx, tx, run.ID, ticketID)
	if err != nil {
		return fmt.Errorf("note the ticket about run %s: %w", run.ID, err)
	}
	if !first {
		return fmt.Errorf("open a second ticket about run %s: %w", run.ID, app.ErrConflict)
	}
	run.TicketID = &ticketID
	return notifyRun(ctx, tx, run)
}

// OfTicket lists the runs that a ticket is about, oldest first, with their product. None for who does not see that product; whether the
// viewer sees the ticket its caller has asked.
func (s *Service) OfTicket(ctx context.Context, v app.Viewer, ticketID string) ([]RunView, Product, error) {
	runs, err := runsOfTicket(ctx, s.pool, ticketID, pageSize)
	if err != nil {
		return nil, Product{}, fmt.Errorf("list the runs of ticket %s: %w", ticketID, err)
	}
	if len(runs) == 0 {
		return nil, Product{}, nil
	}
	p, err := s.Product(ctx, v, runs[0].ProductID)
	if errors.Is(err, app.ErrNotFound) {
		return nil, Product{}, nil
	}
	if err != nil {
		return nil, Product{}, err
	}
	views, err := s.view(ctx, v, p, p.shown(runs))
	return views, p, err
}

// tellTickets notes a success with the tickets about earlier failures of the same action, and makes them be about it too.
func (s *Service) tellTickets(ctx context.Context, tx pgx.Tx, run Run) error {
	if s.succeeded == nil {
		return nil
	}
	failures, err := failuresWithTickets(ctx, tx, run)
	if err != nil {
		return fmt.Errorf("find the tickets about failures of run %s: %w", run.ID, err)
	}
	if len(failures) == 0 {
		return nil
	}
	say, err := s.sayer(ctx, tx)
	if err != nil {
		return err
	}
	label := run.Action
	if f, ok := s.drivers.AnyFunction(run.Category, run.Action); ok {
		label = say.T(f.LabelKey())
	}
	if run.TicketID == nil {
		if _, err := setTicket(ctx, tx, run.ID, failures[0].TicketID); err != nil {
			return fmt.Errorf("note the ticket about run %s: %w", run.ID, err)
		}
	}
	for _, f := range failures {
		if err := s.succeeded(ctx, tx, Success{Run: run, Label: label, Ticket: f.TicketID, FailedAt: f.At}); err != nil {
			return err
		}
	}
	return nil
}
