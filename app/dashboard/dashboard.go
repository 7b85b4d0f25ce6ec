// Package dashboard shows each person first what they came for: account holders their own things, people of the store what
// needs them.
package dashboard

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"portico/app"
	"portico/app/access"
	"portico/app/accounts"
	"portico/app/auth"
	"portico/app/contracts"
	"portico/app/db"
	"portico/app/provisioning"
	"portico/app/tickets"
	"portico/app/watchdog"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Service gathers what dashboards show.
type Service struct {
	pool      *pgxpool.Pool
	accounts  *accounts.Service
	auth      *auth.Service
	watchdog  *watchdog.Service
	tickets   *tickets.Service
	contracts *contracts.Service
	runs      *provisioning.Service
}

// New returns a Service.
func New(pool *pgxpool.Pool, accountService *accounts.Service, authService *auth.Service, watch *watchdog.Service, ticketService *tickets.Service,
	contractService *contracts.Service, runs *provisioning.Service) *Service {
	return &Service{pool, accountService, authService, watch, ticketService, contractService, runs}
}

// maxProducts is how many products a dashboard lists.
const maxProducts = 12

// Client is an account holder's dashboard.
type Client struct {
	Tickets         []tickets.Ticket              // active ones, newest change first: as many as the first page of the list has
	Triggers        string                        // what makes htmx fetch them again
	Products        []contracts.Product           // those that are not over, newest first
	Logins          map[string]provisioning.Login // by product
	ProductTriggers string                        // what makes htmx fetch those again
	Accounts        []accounts.Membership
	SecondFactor    bool
	Sessions        int
}

// Client returns the viewer's own dashboard.
func (s *Service) Client(ctx context.Context, v app.Viewer) (Client, error) {
	if err := access.Check(v, "dashboard", "view"); err != nil {
		return Client{}, err
	}
	profile, err := s.accounts.Profile(ctx, v)
	if err != nil {
		return Client{}, err
	}
	security, err := s.auth.Overview(ctx, v)
	if err != nil {
		return Client{}, err
	}
	active, _, err := s.tickets.Active(ctx, v, app.Key{})
	if err != nil {
		return Client{}, err
	}
	triggers, err := s.tickets.Triggers(ctx, v)
	if err != nil {
		return Client{}, err
	}
	products, err := s.contracts.Products(ctx, v, maxProducts)
	if err != nil {
		return Client{}, err
	}
	topics, err := s.contracts.Topics(ctx, v)
	if err != nil {
		return Client{}, err
	}
	ids := make([]string, len(products))
	for i, product := range products {
		ids[i] = product.ID
	}
	logins, err := s.runs.Logins(ctx, v, ids)
	if err != nil {
		return Client{}, err
	}
	return Client{
		Tickets: active, Triggers: triggers, Products: products, Logins: logins, ProductTriggers: contracts.Triggers(topics),
		Accounts:     profile.Accounts,
		SecondFactor: security.Authenticator || len(security.Passkeys) > 0, Sessions: len(security.Sessions),
	}, nil
}

// Topics are those of an account holder's dashboard.
func (s *Service) Topics(ctx context.Context, v app.Viewer) ([]string, error) {
	topics, err := s.tickets.Topics(ctx, v)
	if err != nil {
		return nil, err
	}
	products, err := s.contracts.Topics(ctx, v)
	return append(topics, products...), err
}

// Store is the admin area's dashboard.
type Store struct {
	Counts
	Causes []watchdog.Cause // what is stuck, overdue or failing; for those who may see jobs
}

// Counts are totals over the whole store.
type Counts struct {
	Clients, Leads, Staff           int
	MailWaiting, MailFailed         int // failed: in the last 24 hours
	MailOldest                      *time.Time
	Registered, WithoutSecondFactor int // registered: in the last 7 days; staff without a second factor
}

// Store returns the admin area's dashboard.
func (s *Service) Store(ctx context.Context, v app.Viewer) (Store, error) {
	if err := access.Check(v, "admin", "view"); err != nil {
		return Store{}, err
	}
	counts, err := db.One[Counts](ctx, s.pool, `
		select
			(select count(*) from accounts where became_client_at is not null)::int as clients,
			(select count(*) from accounts where became_client_at is null)::int as leads,
			(select count(*) from users where role is not null and disabled_at is null)::int as staff,
			(select count(*) from mail_deliveries where status in ('queued', 'sending', 'retrying'))::int as mail_waiting,
			(select count(*) from mail_deliveries where status = 'failed' and created_at > now() - interval '4 days' and finished_at > now() - interval '24 hours')::int as mail_failed,
			(select min(created_at) from mail_deliveries where status in ('queued', 'sending', 'retrying')) as mail_oldest,
			(select count(*) from users where role is null and created_at > now() - interval '7 days')::int as registered,
			(select count(*) from users u where u.role is not null and u.disabled_at is null
				and not exists (select from authenticators a where a.user_id = u.id and a.confirmed_at is not null)
				and not exists (select from passkeys p where p.user_id = u.id))::int as without_second_factor`)
	if err != nil {
		return Store{}, fmt.Errorf("count the store's people and mail: %w", err)
	}
	data := Store{Counts: counts}
	if access.Check(v, "jobs", "view") == nil {
		// What can't be found out takes nothing from the rest of the page.
		if data.Causes, err = s.watchdog.Causes(ctx); err != nil {
			slog.ErrorContext(ctx, "the watchdog can't see everything", "error", err)
		}
	}
	return data, nil
}
