package tickets

import (
	"context"
	"fmt"

	"portico/app"
	"portico/app/access"
	"portico/app/db"
	"portico/app/delegates"

	"github.com/jackc/pgx/v5"
)

// Parent answers for tickets as what delegates are let into.
type Parent struct{ *Service }

// May returns nil if the viewer may do something with the delegates of a ticket; see delegates.Parent.
func (s Parent) May(ctx context.Context, conn db.Conn, v app.Viewer, id, action string) error {
	permission := "edit"
	if action == "delegates" {
		permission = "view"
	}
	if err := access.Check(v, "tickets", permission); err != nil {
		return err
	}
	t, err := ticketByID(ctx, conn, v.UserID, id)
	if err != nil {
		return fmt.Errorf("read ticket %s: %w", id, err)
	}
	return allow(t, action)
}

// Happened puts what became of a delegate into a ticket's timeline and tells its open pages; see delegates.Parent.
func (s Parent) Happened(ctx context.Context, tx pgx.Tx, v app.Viewer, id string, e delegates.Event) error {
	t, err := anyTicket(ctx, tx, id)
	if err != nil {
		return fmt.Errorf("read ticket %s: %w", id, err)
	}
	if e.Kind == "" {
		return notify(ctx, tx, t)
	}
	if _, err := AddEvent(ctx, tx, t, v, Event{Kind: e.Kind, Data: map[string]string{"Name": e.Name}}); err != nil {
		return err
	}
	return Touch(ctx, tx, t)
}
