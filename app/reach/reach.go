// Package reach is **Who can reach my things**: by person, whom an owner, or the store for them, has let into tickets and contracts,
// and exactly what that person sees of them.
package reach

import (
	"context"
	"errors"

	"portico/app"
	"portico/app/access"
	"portico/app/contracts"
	"portico/app/delegates"
	"portico/app/tickets"
)

// Service gathers it. Safe for concurrent use.
type Service struct {
	delegates *delegates.Service
	tickets   *tickets.Service
	contracts *contracts.Service
}

// NewService returns a Service.
func NewService(d *delegates.Service, t *tickets.Service, c *contracts.Service) *Service {
	return &Service{d, t, c}
}

// Preview is what one person reaches of an owner's things, as that person sees it now.
type Preview struct {
	delegates.Reach
	Contracts []contracts.Item // with products, dates and status
	Tickets   []tickets.Ticket // newest first, 200 at most
}

// Thread returns a ticket of an account that the viewer owns, as a person reads it who was let into it, and that person; app.ErrNotFound
// if they don't.
func (s *Service) Thread(ctx context.Context, v app.Viewer, userID, ticketID string) (delegates.Reach, tickets.Thread, error) {
	if err := access.Check(v, "reach", "view"); err != nil {
		return delegates.Reach{}, tickets.Thread{}, err
	}
	people, err := s.delegates.ReachOf(ctx, v.UserID, userID)
	if err == nil && len(people) == 0 {
		err = app.ErrNotFound
	}
	if err != nil {
		return delegates.Reach{}, tickets.Thread{}, err
	}
	thread, err := s.tickets.ThreadAs(ctx, v.UserID, userID, ticketID)
	return people[0], thread, err
}

// Preview returns what a person reaches of the accounts that the viewer owns, or app.ErrNotFound if that is nothing. What the person
// sees is asked as that person, by the queries that show it to them.
func (s *Service) Preview(ctx context.Context, v app.Viewer, userID string) (Preview, error) {
	if err := access.Check(v, "reach", "view"); err != nil {
		return Preview{}, err
	}
	people, err := s.delegates.ReachOf(ctx, v.UserID, userID)
	if err != nil {
		return Preview{}, err
	}
	if len(people) == 0 {
		return Preview{}, app.ErrNotFound
	}
	preview := Preview{Reach: people[0]}
	they := app.Viewer{UserID: userID, Confirmed: true}
	for _, thing := range people[0].Things {
		if thing.Thing.Kind != delegates.Contract {
			continue
		}
		item, err := s.contracts.Item(ctx, they, thing.Thing.ID, "")
		if errors.Is(err, app.ErrNotFound) {
			continue // invited only, or over
		}
		if err != nil {
			return Preview{}, err
		}
		preview.Contracts = append(preview.Contracts, item)
	}
	preview.Tickets, err = s.tickets.SharedWith(ctx, v.UserID, userID)
	return preview, err
}
