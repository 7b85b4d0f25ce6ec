package clients

import (
	"context"
	"fmt"
	"strings"

	"portico/app"
	"portico/app/access"
	"portico/app/delegates"
	"portico/app/tickets"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Service shows the store its clients.
type Service struct {
	pool      *pgxpool.Pool
	delegates *delegates.Service
}

// NewService returns a Service.
func NewService(pool *pgxpool.Pool, d *delegates.Service) *Service { return &Service{pool, d} }

// pageSize is how many accounts, or tickets, a page has.
const pageSize = 50

// maxText is the longest text to find, in bytes.
const maxText = 200

// details tells whether the viewer may see addresses: "the rest of the account" in the permission matrix.
func details(v app.Viewer) bool { return access.Check(v, "accounts", "view") == nil }

// List returns a page of accounts by name, and the id to ask the next page with: "" on the last one. Addresses are shown to, and found
// by, those who may see accounts.
func (s *Service) List(ctx context.Context, v app.Viewer, f Filter, after string) (page []Client, next string, err error) {
	if err := access.Check(v, "clients", "view"); err != nil {
		return nil, "", err
	}
	f.Text = strings.TrimSpace(f.Text)
	if len(f.Text) > maxText {
		return nil, "", nil
	}
	if page, err = list(ctx, s.pool, f, details(v), after, pageSize+1); err != nil {
		return nil, "", fmt.Errorf("list clients: %w", err)
	}
	if len(page) > pageSize {
		page = page[:pageSize]
		next = page[pageSize-1].ID
	}
	return page, next, nil
}

// Get returns one account, or app.ErrNotFound.
func (s *Service) Get(ctx context.Context, v app.Viewer, id string) (Client, error) {
	if err := access.Check(v, "clients", "view"); err != nil {
		return Client{}, err
	}
	client, err := byID(ctx, s.pool, details(v), id)
	if err != nil {
		return Client{}, fmt.Errorf("read account %s: %w", id, err)
	}
	return client, nil
}

// People lists an account's users, the owner first.
func (s *Service) People(ctx context.Context, v app.Viewer, id string) ([]Person, error) {
	if err := access.Check(v, "accounts", "view"); err != nil {
		return nil, err
	}
	all, err := people(ctx, s.pool, id)
	if err != nil {
		return nil, fmt.Errorf("list the users of account %s: %w", id, err)
	}
	return all, nil
}

// Tickets returns a page of the account's tickets that the viewer sees, active or closed, and the key of the next page: nil on the last
// one.
func (s *Service) Tickets(ctx context.Context, v app.Viewer, id string, closed bool, after app.Key) (page []tickets.Ticket, next *app.Key, err error) {
	if err := access.Check(v, "support", "view"); err != nil {
		return nil, nil, err
	}
	if page, err = ticketsOf(ctx, s.pool, v.UserID, id, closed, after, pageSize+1); err != nil {
		return nil, nil, fmt.Errorf("list the tickets of account %s: %w", id, err)
	}
	if len(page) > pageSize {
		page = page[:pageSize]
		last := page[pageSize-1]
		next = &app.Key{At: last.UpdatedAt, ID: last.ID}
		if closed {
			next.At = *last.ClosedAt
		}
	}
	return page, next, nil
}
