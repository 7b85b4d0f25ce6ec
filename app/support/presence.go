package support

import (
	"context"
	"fmt"
	"slices"
	"time"

	"portico/app"
	"portico/app/access"
	"portico/app/db"
	"portico/app/live"
	"portico/app/tickets"

	"github.com/jackc/pgx/v5"
)

// What somebody of the store does with a ticket that they have open. Sentences stand in the catalogue under
// "support.presence-DOING".
const (
	Viewing  = "viewing"
	Replying = "replying" // writing a reply
	Noting   = "noting"   // writing an internal note
	Gone     = "gone"     // has closed the page
)

// PresentFor is how long a page that says nothing more counts as open. Pages say it again well before.
const PresentFor = 45 * time.Second

// Present is somebody of the store on a ticket.
type Present struct {
	Name  string
	Doing string // Viewing, Replying or Noting
}

// Presence lists who else of the store has a ticket open, those who write first. Empty for whoever sees the ticket as a client.
func (s *Service) Presence(ctx context.Context, v app.Viewer, t tickets.Ticket) ([]Present, error) {
	if !t.Allows("notes") {
		return nil, nil
	}
	others, err := presence(ctx, s.pool, t.ID, v.UserID)
	if err != nil {
		return nil, fmt.Errorf("read who has %s open: %w", t, err)
	}
	return others, nil
}

// Attend says what the viewer does with a ticket for the next PresentFor. Colleagues' pages are told only when that is news. Returns
// app.ErrNotFound to a stranger, app.ErrForbidden to who sees the ticket as a client, *app.Invalid for an unknown doing.
func (s *Service) Attend(ctx context.Context, v app.Viewer, id, doing string) (tickets.Ticket, error) {
	if err := access.Check(v, "support", "edit"); err != nil {
		return tickets.Ticket{}, err
	}
	t, err := s.tickets.Get(ctx, v, id)
	if err != nil {
		return tickets.Ticket{}, err
	}
	if !t.Allows("notes") {
		return tickets.Ticket{}, app.ErrForbidden
	}
	if !slices.Contains([]string{Viewing, Replying, Noting, Gone}, doing) {
		return tickets.Ticket{}, app.Invalidf("doing", "form.unreadable")
	}
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		news, err := attend(ctx, tx, t.ID, v.UserID, doing, time.Now().Add(PresentFor))
		if err != nil || !news {
			return err
		}
		return live.Notify(ctx, tx, tickets.TopicOfStaff(t.ID))
	})
	if err != nil {
		return tickets.Ticket{}, fmt.Errorf("note who has %s open: %w", t, err)
	}
	return t, nil
}
