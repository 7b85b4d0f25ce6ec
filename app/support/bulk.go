package support

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"portico/app"
	"portico/app/access"
	"portico/app/tickets"
)

// MaxBulk is how many tickets are changed at once.
const MaxBulk = 100

// Deeds that are done to many tickets at once. All but DeedClose take a value: a user's or department's id or "", or a status.
const (
	DeedAssign     = "assign"
	DeedStatus     = "status"
	DeedDepartment = "department"
	DeedClose      = "close"
)

// Outcome is what became of one ticket. Ticket is nil if the viewer sees no such ticket: nothing is told of it.
type Outcome struct {
	Ticket *tickets.Ticket
	Reason *app.Text // why nothing was done; nil if it was
	Err    error     // what went wrong in the portal itself, for the log; then Reason says so
}

// Chosen returns the tickets with these ids that the viewer sees, in the given order; *app.Invalid for none, more than MaxBulk, or
// what is no id.
func (s *Service) Chosen(ctx context.Context, v app.Viewer, ids []string) ([]tickets.Ticket, error) {
	if err := access.Check(v, "support", "edit"); err != nil {
		return nil, err
	}
	ids, err := distinct(ids)
	if err != nil {
		return nil, err
	}
	var found []tickets.Ticket
	for _, id := range ids {
		t, err := s.tickets.Get(ctx, v, id)
		if err == nil {
			found = append(found, t)
		} else if !errors.Is(err, app.ErrNotFound) {
			return nil, err
		}
	}
	return found, nil
}

func distinct(ids []string) ([]string, error) {
	var all []string
	for _, id := range ids {
		if !app.IsID(id) {
			return nil, app.Invalidf("", "form.unreadable")
		}
		if !slices.Contains(all, id) {
			all = append(all, id)
		}
	}
	if len(all) == 0 {
		return nil, app.Invalidf("", "support.bulk-none")
	}
	if len(all) > MaxBulk {
		return nil, app.Invalidf("", "support.bulk-many", "Max", MaxBulk)
	}
	return all, nil
}

// Bulk does one deed to many tickets, each by itself and with the viewer's rights to it, and tells what became of each: one that
// fails stops no other. Returns *app.Invalid for a deed that there is not, and what Chosen does.
func (s *Service) Bulk(ctx context.Context, v app.Viewer, ids []string, deed, value string) ([]Outcome, error) {
	if err := access.Check(v, "support", "edit"); err != nil {
		return nil, err
	}
	ids, err := distinct(ids)
	if err != nil {
		return nil, err
	}
	work := map[string]func(id string) error{
		DeedAssign:     func(id string) error { return s.Assign(ctx, v, id, value) },
		DeedStatus:     func(id string) error { return s.SetStatus(ctx, v, id, value) },
		DeedDepartment: func(id string) error { return s.Move(ctx, v, id, value) },
		DeedClose:      func(id string) error { return s.tickets.Close(ctx, v, id) },
	}[deed]
	if work == nil {
		return nil, app.Invalidf("", "support.bulk-deed")
	}
	outcomes := make([]Outcome, 0, len(ids))
	for _, id := range ids {
		outcomes = append(outcomes, s.one(ctx, v, id, work))
	}
	return outcomes, nil
}

func (s *Service) one(ctx context.Context, v app.Viewer, id string, work func(id string) error) Outcome {
	because := func(t *tickets.Ticket, key string) Outcome { return Outcome{Ticket: t, Reason: &app.Text{Key: key}} }
	t, err := s.tickets.Get(ctx, v, id)
	if errors.Is(err, app.ErrNotFound) {
		return because(nil, "support.bulk-absent")
	}
	if err != nil {
		return Outcome{Reason: &app.Text{Key: "support.bulk-failed"}, Err: err}
	}
	if t.Status == tickets.Closed {
		return because(&t, "support.bulk-closed")
	}
	err = work(id)
	var invalid *app.Invalid
	switch {
	case err == nil:
		return Outcome{Ticket: &t}
	case errors.As(err, &invalid):
		return Outcome{Ticket: &t, Reason: &invalid.Fields[0].Text}
	case errors.Is(err, tickets.ErrClosed):
		return because(&t, "support.bulk-closed")
	case errors.Is(err, app.ErrForbidden):
		return because(&t, "support.bulk-forbidden")
	case errors.Is(err, app.ErrNotFound): // gone from sight in between
		return because(nil, "support.bulk-absent")
	}
	return Outcome{Ticket: &t, Reason: &app.Text{Key: "support.bulk-failed"}, Err: fmt.Errorf("change %s with others: %w", t, err)}
}

// CloseAsDuplicate closes a ticket with a link to the one with a number. Returns what tickets.Service.CloseAsDuplicate does, and
// *app.Invalid on "number" for a number that the viewer sees no other ticket by.
func (s *Service) CloseAsDuplicate(ctx context.Context, v app.Viewer, id, number string) error {
	t, err := s.tickets.Get(ctx, v, id)
	if err != nil {
		return err
	}
	if !t.Allows("status") {
		return app.ErrForbidden
	}
	if t.Status == tickets.Closed {
		return tickets.ErrClosed
	}
	n, err := strconv.ParseInt(strings.TrimPrefix(strings.TrimSpace(number), "#"), 10, 64)
	if err != nil {
		return app.Invalidf("number", "support.duplicate-number")
	}
	if n == t.Number {
		return app.Invalidf("number", "tickets.duplicate-itself")
	}
	of, err := numbered(ctx, s.pool, n)
	if err == nil {
		err = s.tickets.CloseAsDuplicate(ctx, v, id, of)
	}
	if errors.Is(err, app.ErrNotFound) || errors.Is(err, app.ErrForbidden) {
		return app.Invalidf("number", "support.duplicate-unknown", "Number", n)
	}
	return err
}
