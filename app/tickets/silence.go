package tickets

import (
	"context"
	"errors"
	"fmt"
	"time"

	"portico/app"
	"portico/app/audit"
	"portico/app/db"

	"github.com/jackc/pgx/v5"
)

// EventSilence is the warning that a ticket will be closed. Data: Until, RFC 3339.
const EventSilence = "silence"

// silenceBatch is how many tickets are looked up at once.
const silenceBatch = 200

// Silence closes tickets that nobody writes in any more, by the settings of their departments (store.Silence): those with status
// Staff replied whose newest post is the store's are warned of, by mail and in the thread, and closed when the time that the warning
// named has come. Every post and every status takes a warning back. It may run at any time, late, and beside itself: each ticket is
// decided anew under its lock. It returns how many were warned of and closed, beside the error of the first that failed.
func (s *Service) Silence(ctx context.Context) (warned, closed int, err error) {
	var name string
	if err := s.pool.QueryRow(ctx, "select name from store").Scan(&name); err != nil {
		return 0, 0, fmt.Errorf("read the store's name: %w", err)
	}
	warned, err = s.each(ctx, silentIDs, func(tx pgx.Tx, id string) (bool, error) { return s.warn(ctx, tx, name, id) })
	closed, closeErr := s.each(ctx, warnedIDs, func(tx pgx.Tx, id string) (bool, error) { return s.closeSilent(ctx, tx, name, id) })
	return warned, closed, errors.Join(err, closeErr)
}

// each works on the tickets that a query finds, each in a transaction of its own, until it finds none that is new.
func (s *Service) each(ctx context.Context, find func(context.Context, db.Conn, int) ([]string, error), work func(tx pgx.Tx, id string) (bool, error)) (done int, failed error) {
	seen := map[string]bool{}
	for {
		ids, err := find(ctx, s.pool, silenceBatch)
		if err != nil {
			return done, errors.Join(failed, fmt.Errorf("find silent tickets: %w", err))
		}
		fresh := false
		for _, id := range ids {
			if seen[id] {
				continue
			}
			seen[id], fresh = true, true
			err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
				ok, err := work(tx, id)
				if ok && err == nil {
					done++
				}
				return err
			})
			if err != nil && failed == nil {
				failed = fmt.Errorf("silent ticket %s: %w", id, err)
			}
		}
		if !fresh {
			return done, failed
		}
	}
}

// warn tells the account's people when their ticket will be closed. False if that is not due (any more).
func (s *Service) warn(ctx context.Context, tx pgx.Tx, store, id string) (bool, error) {
	t, days, err := lockSilent(ctx, tx, id)
	if errors.Is(err, app.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	until := time.Now().Add(time.Duration(days) * 24 * time.Hour)
	if err := setClosesAt(ctx, tx, id, &until); err != nil {
		return false, err
	}
	told := until.UTC().Format(time.RFC3339)
	by := app.Viewer{Name: store}
	eventID, err := insertEvent(ctx, tx, id, by, Event{Kind: EventSilence, Data: map[string]string{"Until": told}})
	if err != nil {
		return false, err
	}
	if err := s.record(ctx, tx, audit.System, t, "ticket.silence", map[string]any{"until": told}); err != nil {
		return false, err
	}
	if err := s.tell(ctx, tx, by, t, "ticket-silence", eventID, told); err != nil {
		return false, err
	}
	return true, Touch(ctx, tx, t)
}

// closeSilent closes a ticket whose time has come, or forgets the time where the settings close none any more.
func (s *Service) closeSilent(ctx context.Context, tx pgx.Tx, store, id string) (bool, error) {
	t, on, err := lockWarned(ctx, tx, id)
	if errors.Is(err, app.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !on {
		return false, setClosesAt(ctx, tx, id, nil)
	}
	if err := setClosed(ctx, tx, id, ""); err != nil {
		return false, err
	}
	by := app.Viewer{Name: store}
	eventID, err := insertEvent(ctx, tx, id, by, Event{Kind: EventClose, Data: map[string]string{"Silence": "true"}})
	if err != nil {
		return false, err
	}
	if err := s.record(ctx, tx, audit.System, t, "ticket.close", map[string]any{"silence": true}); err != nil {
		return false, err
	}
	if err := s.tell(ctx, tx, by, t, "ticket-status", eventID, Closed); err != nil {
		return false, err
	}
	return true, notify(ctx, tx, t)
}
