package support

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"portico/app"
	"portico/app/access"
	"portico/app/audit"
	"portico/app/store"
	"portico/app/tickets"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Service is the store's side of support. Safe for concurrent use.
type Service struct {
	pool    *pgxpool.Pool
	tickets *tickets.Service
}

// NewService returns a Service.
func NewService(pool *pgxpool.Pool, t *tickets.Service) *Service { return &Service{pool, t} }

// pageSize is how many tickets a page of the list has.
const pageSize = 50

// List returns a page of the tickets that the viewer sees, and the key of the next page: nil on the last one.
func (s *Service) List(ctx context.Context, v app.Viewer, f Filter, after app.Key) (page []Row, next *app.Key, err error) {
	if err := access.Check(v, "support", "view"); err != nil {
		return nil, nil, err
	}
	if page, err = list(ctx, s.pool, v, f, after, pageSize+1); err != nil {
		return nil, nil, fmt.Errorf("list tickets: %w", err)
	}
	if len(page) > pageSize {
		page = page[:pageSize]
		key := f.keyOf(page[pageSize-1])
		next = &key
	}
	return page, next, nil
}

// Counts tells by status how many tickets that the viewer sees are not closed, each up to MaxCount; "" counts all of them, and Ours
// those that wait for the store.
func (s *Service) Counts(ctx context.Context, v app.Viewer) (map[string]int, error) {
	if err := access.Check(v, "support", "view"); err != nil {
		return nil, err
	}
	rows, err := counts(ctx, s.pool, v)
	if err != nil {
		return nil, fmt.Errorf("count tickets: %w", err)
	}
	all := map[string]int{}
	for _, row := range rows {
		all[row.Status] = row.Count
		if row.Status != Ours {
			all[""] = min(all[""]+row.Count, MaxCount)
		}
	}
	return all, nil
}

// Team lists whom the list can be filtered by.
func (s *Service) Team(ctx context.Context, v app.Viewer) ([]Named, error) {
	if err := access.Check(v, "support", "view"); err != nil {
		return nil, err
	}
	people, err := team(ctx, s.pool)
	if err != nil {
		return nil, fmt.Errorf("list the team: %w", err)
	}
	return people, nil
}

// Departments lists those in use whose tickets the viewer sees.
func (s *Service) Departments(ctx context.Context, v app.Viewer) ([]store.Department, error) {
	departments, err := store.ListDepartments(ctx, s.pool)
	if err != nil || v.Role == app.RoleAdmin {
		return departments, err
	}
	return slices.DeleteFunc(departments, func(d store.Department) bool { return !slices.Contains(v.Departments, d.ID) }), nil
}

// Candidates lists whom a ticket that the viewer sees can be given to.
func (s *Service) Candidates(ctx context.Context, v app.Viewer, t tickets.Ticket) ([]Named, error) {
	if err := access.Check(v, "support", "view"); err != nil {
		return nil, err
	}
	people, err := candidates(ctx, s.pool, t.ID)
	if err != nil {
		return nil, fmt.Errorf("list who can look after %s: %w", t, err)
	}
	return people, nil
}

// Post is tickets.Service.Post for the store's people: a reply or a note. seen is the newest message that the writer was shown.
// Returns ErrMeanwhile if others posted after it, for the writer to read that first; "" asks nothing.
func (s *Service) Post(ctx context.Context, v app.Viewer, id string, p tickets.Posting, seen string) (tickets.Message, error) {
	if err := access.Check(v, "support", "edit"); err != nil {
		return tickets.Message{}, err
	}
	t, err := s.tickets.Thread(ctx, v, id)
	if err != nil {
		return tickets.Message{}, err
	}
	if t.Status != tickets.Closed && newer(t, seen) > 0 {
		return tickets.Message{}, ErrMeanwhile
	}
	return s.tickets.Post(ctx, v, id, p)
}

// Assign gives a ticket to one of the store's people who sees it, or with "" to nobody. Returns app.ErrNotFound to a stranger,
// app.ErrForbidden, tickets.ErrClosed, *app.Invalid on "assignee". Notifies; sends no mail.
func (s *Service) Assign(ctx context.Context, v app.Viewer, id, userID string) error {
	return s.tickets.Change(ctx, v, id, "assign", func(tx pgx.Tx, t *tickets.Ticket) error {
		var next Named
		if userID != "" {
			if !app.IsID(userID) {
				return app.Invalidf("assignee", "support.assignee-unknown")
			}
			var err error
			next, err = candidate(ctx, tx, t.ID, userID)
			if errors.Is(err, app.ErrNotFound) {
				return app.Invalidf("assignee", "support.assignee-unknown")
			}
			if err != nil {
				return fmt.Errorf("find who is to look after %s: %w", t, err)
			}
		}
		if t.AssigneeID == nil && userID == "" || t.AssigneeID != nil && *t.AssigneeID == userID {
			return nil
		}
		changes := audit.Changes{}
		changes.Add("assignee", t.AssigneeName, next.Name)
		if err := assign(ctx, tx, v, *t, next); err != nil {
			return err
		}
		return finish(ctx, tx, v, *t, "ticket.assign", changes)
	})
}

func assign(ctx context.Context, tx pgx.Tx, v app.Viewer, t tickets.Ticket, next Named) error {
	if err := setAssignee(ctx, tx, t.ID, next.ID); err != nil {
		return fmt.Errorf("assign %s: %w", t, err)
	}
	_, err := tickets.AddEvent(ctx, tx, t, v, tickets.Event{Kind: tickets.EventAssign, Data: map[string]string{"After": next.Name}})
	return err
}

// SetStatus gives a ticket one of Settable. Returns what Assign does, with *app.Invalid on "status". Queues mail to the account's
// people, notifies.
func (s *Service) SetStatus(ctx context.Context, v app.Viewer, id, status string) error {
	return s.tickets.Change(ctx, v, id, "status", func(tx pgx.Tx, t *tickets.Ticket) error {
		if !slices.Contains(Settable, status) {
			return app.Invalidf("status", "support.status-unknown")
		}
		changes := audit.Changes{}
		if !changes.Add("status", t.Status, status) {
			return nil
		}
		if err := setStatus(ctx, tx, t.ID, status); err != nil {
			return fmt.Errorf("set the status of %s: %w", t, err)
		}
		eventID, err := tickets.AddEvent(ctx, tx, *t, v, tickets.Event{Kind: tickets.EventStatus, Data: map[string]string{"After": status}})
		if err != nil {
			return err
		}
		if err := s.tickets.Tell(ctx, tx, v, *t, eventID, status); err != nil {
			return err
		}
		return finish(ctx, tx, v, *t, "ticket.status", changes)
	})
}

// Move puts a ticket into a department in use, or with "" into none; the mover may not see it afterwards. An assignee who would not
// see it any more gives it up. Returns what Assign does, with *app.Invalid on "department". Notifies; sends no mail.
func (s *Service) Move(ctx context.Context, v app.Viewer, id, departmentID string) error {
	return s.tickets.Change(ctx, v, id, "department", func(tx pgx.Tx, t *tickets.Ticket) error {
		var next Named
		if departmentID != "" {
			if !app.IsID(departmentID) {
				return app.Invalidf("department", "tickets.department-unknown")
			}
			var err error
			next, err = departmentInUse(ctx, tx, departmentID)
			if errors.Is(err, app.ErrNotFound) {
				return app.Invalidf("department", "tickets.department-unknown")
			}
			if err != nil {
				return fmt.Errorf("find a department: %w", err)
			}
		}
		if t.DepartmentID == nil && departmentID == "" || t.DepartmentID != nil && *t.DepartmentID == departmentID {
			return nil
		}
		changes := audit.Changes{}
		changes.Add("department", t.DepartmentName, next.Name)
		if err := setDepartment(ctx, tx, t.ID, departmentID); err != nil {
			return fmt.Errorf("move %s: %w", t, err)
		}
		_, err := tickets.AddEvent(ctx, tx, *t, v, tickets.Event{
			Kind: tickets.EventDepartment, Data: map[string]string{"Before": t.DepartmentName, "After": next.Name},
		})
		if err != nil {
			return err
		}
		if t.AssigneeID != nil {
			_, err := candidate(ctx, tx, t.ID, *t.AssigneeID)
			if errors.Is(err, app.ErrNotFound) {
				changes.Add("assignee", t.AssigneeName, "")
				err = assign(ctx, tx, v, *t, Named{})
			}
			if err != nil {
				return fmt.Errorf("ask whether the assignee of %s still sees it: %w", t, err)
			}
		}
		return finish(ctx, tx, v, *t, "ticket.department", changes)
	})
}

// finish records a change and tells every open page of it.
func finish(ctx context.Context, tx pgx.Tx, v app.Viewer, t tickets.Ticket, action string, changes audit.Changes) error {
	err := audit.Record(ctx, tx, v, audit.Entry{Action: action, ObjectType: "ticket", ObjectID: t.ID, ObjectName: t.Subject, AccountID: t.AccountID, Details: changes})
	if err != nil {
		return err
	}
	return tickets.Touch(ctx, tx, t)
}

// Clients finds accounts that a ticket can be opened for, at most 20.
func (s *Service) Clients(ctx context.Context, v app.Viewer, text string) ([]Client, error) {
	if err := access.Check(v, "tickets", "open_for_client"); err != nil {
		return nil, err
	}
	found, err := clients(ctx, s.pool, text)
	if err != nil {
		return nil, fmt.Errorf("find accounts: %w", err)
	}
	return found, nil
}

// Client returns one account that a ticket can be opened for, or nil if there is none.
func (s *Service) Client(ctx context.Context, v app.Viewer, id string) (*Client, error) {
	if err := access.Check(v, "tickets", "open_for_client"); err != nil {
		return nil, err
	}
	if !app.IsID(id) {
		return nil, nil
	}
	found, err := client(ctx, s.pool, id)
	if err != nil {
		return nil, fmt.Errorf("find an account: %w", err)
	}
	return found, nil
}
