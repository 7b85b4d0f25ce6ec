package tickets

import (
	"context"
	"errors"
	"fmt"

	"portico/app"
	"portico/app/access"
	"portico/app/db"
	"portico/app/limits"

	"github.com/jackc/pgx/v5"
)

// Opening is a new ticket as it is asked for.
type Opening struct {
	AccountID    string // "": the first of the viewer's own; people of the store name a client's or lead's
	Subject      string
	DepartmentID string // "" for none
	ProductID    string // a bought product that it is about, "" for none; the ticket belongs to the product's account
	Body         string
	FollowsID    string   // a closed ticket that this one goes on with, "" for none; its account is this one's
	Uploads      []string // ids of what to attach to the first message
	RunID        string   // a failed run that it is about, "" for none; then it is about the run's product
}

// Open opens a ticket with its first message, and returns its id. What the store opens for a client starts as Staff replied.
//
// Returns app.ErrForbidden where the viewer may not open tickets (or, of the store, not for clients), app.ErrNotFound for an
// account, a followed ticket or a run out of the viewer's reach, app.ErrConflict for a follow-up of a ticket that is not closed and for
// a run that did not fail or has a ticket,
// *app.Invalid, and *app.Limited after 30 in an hour. Deletes the draft. Queues mail, notifies.
func (s *Service) Open(ctx context.Context, v app.Viewer, o Opening) (id string, err error) {
	var followed Ticket
	var accountID string
	switch {
	case o.FollowsID != "":
		if err := access.Check(v, "tickets", "edit"); err != nil {
			return "", err
		}
		if followed, err = s.followed(ctx, v, o.FollowsID); err != nil {
			return "", err
		}
		accountID = followed.AccountID
	case v.OfStore():
		if err := access.Check(v, "tickets", "open_for_client"); err != nil {
			return "", err
		}
		accountID = o.AccountID
	default:
		if err := access.Check(v, "tickets", "open"); err != nil {
			return "", err
		}
	}
	run, err := s.runFor(ctx, v, &o)
	if err != nil {
		return "", err
	}
	var invalid app.Invalid
	shared := followed.ID != "" && followed.Shared()
	if accountID, err = s.accountFor(ctx, v, o, accountID, &invalid); err != nil {
		return "", err
	}
	if followed.ID != "" {
		o.ProductID = ""
		if followed.ProductID != nil {
			o.ProductID = *followed.ProductID
		}
	} else if o.ProductID != "" {
		if accountID, shared, err = s.productFor(ctx, v, accountID, o.ProductID); err != nil {
			return "", err
		}
	}
	if accountID == "" && invalid.Err() == nil {
		return "", fmt.Errorf("open a ticket without an account: %w", app.ErrForbidden)
	}
	o.AccountID = accountID
	o.Subject = subject(&invalid, o.Subject)
	if err := s.department(ctx, &invalid, o.DepartmentID); err != nil {
		return "", err
	}
	o.Body = body(&invalid, o.Body)
	if err := invalid.Err(); err != nil {
		return "", err
	}
	if err := limits.Hit(ctx, s.pool, "ticket.open", v.UserID, rateOpen); err != nil {
		return "", err
	}
	status, voice := Open, VoiceOwner
	switch {
	case v.OfStore() && !followed.OfAccount():
		status, voice = StaffReplied, VoiceStore
	case shared:
		voice = VoiceDelegate
	}
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if id, err = insertTicket(ctx, tx, o, v.UserID, status); err != nil {
			return fmt.Errorf("open a ticket: %w", err)
		}
		if err := lockGrants(ctx, tx, v.UserID, id); err != nil {
			return fmt.Errorf("open a ticket: %w", err)
		}
		t, err := ticketByID(ctx, tx, v.UserID, id)
		if errors.Is(err, app.ErrNotFound) && v.OfStore() {
			return app.Invalidf("department", "tickets.department-foreign") // staff who would not see what they opened
		}
		if err != nil {
			return fmt.Errorf("open a ticket: %w", err)
		}
		m, err := s.write(ctx, tx, v, t, voice, false, o.Body, DraftOfNew, o.Uploads)
		if err != nil {
			return err
		}
		if err := markPosted(ctx, tx, id, status, voice != VoiceStore, m.CreatedAt); err != nil {
			return fmt.Errorf("open a ticket: %w", err)
		}
		if run != nil {
			if err := s.runs.SetTicket(ctx, tx, *run, id); err != nil {
				return err
			}
		}
		if err := deleteDraft(ctx, tx, v.UserID, DraftOfNew); err != nil {
			return fmt.Errorf("open a ticket: delete its draft: %w", err)
		}
		topics := []string{}
		if followed.ID != "" {
			if _, err := tx.Exec(ctx, `
				delete from drafts where user_id = $1 and (object = 'ticket:' || $2::text
					or object in (select 'message:' || m.id::text from ticket_messages m where m.ticket_id = $2::uuid and m.author_id = $1))`,
				v.UserID, followed.ID); err != nil {
				return fmt.Errorf("open a follow-up: delete the draft it took along: %w", err)
			}
			topics = append(topics, TopicOf(followed.ID))
		}
		if err := s.record(ctx, tx, v, t, "ticket.open", map[string]any{"number": t.Number, "account": t.AccountName}); err != nil {
			return err
		}
		if err := s.tell(ctx, tx, v, t, "ticket-opened", m.ID, ""); err != nil {
			return err
		}
		return notify(ctx, tx, t, topics...)
	})
	return id, err
}

// FollowUp returns the closed ticket that a follow-up would go on with, and a draft that takes along what the viewer last wrote
// there.
func (s *Service) FollowUp(ctx context.Context, v app.Viewer, id string) (Ticket, Draft, error) {
	t, err := s.followed(ctx, v, id)
	if err != nil {
		return Ticket{}, Draft{}, err
	}
	written, err := newestDraftIn(ctx, s.pool, v.UserID, t.ID)
	if err != nil {
		return Ticket{}, Draft{}, fmt.Errorf("read the draft in %s: %w", t, err)
	}
	draft := Draft{Object: DraftOfNew, Subject: t.Subject, Body: written.Body, UpdatedAt: written.UpdatedAt}
	if t.DepartmentID != nil {
		draft.DepartmentID = *t.DepartmentID
	}
	return t, draft, nil
}

func (s *Service) followed(ctx context.Context, v app.Viewer, id string) (Ticket, error) {
	t, err := s.Get(ctx, v, id)
	if err != nil {
		return Ticket{}, err
	}
	if err := allow(t, "follow_up"); err != nil {
		return Ticket{}, err
	}
	if t.Status != Closed {
		return Ticket{}, fmt.Errorf("follow up %s, which is not closed: %w", t, app.ErrConflict)
	}
	return t, nil
}

// accountFor decides whose ticket a new one is. Only what the viewer may use is ever taken from the form.
func (s *Service) accountFor(ctx context.Context, v app.Viewer, o Opening, given string, invalid *app.Invalid) (string, error) {
	if o.FollowsID != "" {
		return given, nil
	}
	if v.OfStore() {
		if !app.IsID(given) {
			invalid.Add("account", "tickets.account-missing")
			return "", nil
		}
		exists, err := accountExists(ctx, s.pool, given)
		if err != nil {
			return "", fmt.Errorf("find an account: %w", err)
		}
		if !exists {
			return "", fmt.Errorf("open a ticket for account %s: %w", given, app.ErrNotFound)
		}
		return given, nil
	}
	accounts, err := accountsOf(ctx, s.pool, v.UserID)
	if err != nil {
		return "", fmt.Errorf("list own accounts: %w", err)
	}
	for _, account := range accounts {
		if o.AccountID == "" || account.ID == o.AccountID {
			return account.ID, nil
		}
	}
	if o.AccountID == "" {
		return "", nil // who has none of their own may still open one about a product that is shared with them
	}
	return "", fmt.Errorf("open a ticket for account %s: %w", o.AccountID, app.ErrNotFound)
}

// productFor finds the account of the product that a new ticket is about, and whether it is shared with the viewer: app.ErrNotFound
// for any product but those of Products, or for the store's people of the client they chose.
func (s *Service) productFor(ctx context.Context, v app.Viewer, accountID, id string) (account string, shared bool, err error) {
	if !app.IsID(id) {
		return "", false, app.ErrNotFound
	}
	if v.OfStore() {
		if !app.IsID(accountID) {
			return accountID, false, nil // told already
		}
		_, err = productOf(ctx, s.pool, accountID, id)
		return accountID, false, err
	}
	product, err := productFor(ctx, s.pool, v.UserID, id)
	if err != nil {
		return "", false, fmt.Errorf("open a ticket about product %s: %w", id, err)
	}
	return product.AccountID, product.Owner != "", nil
}

// Product is a bought product that the viewer may open tickets about.
type Product struct {
	ID     string
	Name   string
	Detail string // what tells it from others of its name: a domain, or a hostname
	Owner  string // whose account it is, "" for the viewer's own
}

// Label names the product where people choose among several.
func (p Product) Label() string {
	label := p.Name
	if p.Detail != "" && p.Detail != p.Name {
		label += " · " + p.Detail
	}
	if p.Owner != "" {
		label += " (" + p.Owner + ")"
	}
	return label
}

// Products lists the products that the viewer may open tickets about: those of own accounts, then those of contracts that were
// shared with them and run.
func (s *Service) Products(ctx context.Context, v app.Viewer) ([]Product, error) {
	if err := access.Check(v, "tickets", "open"); err != nil {
		return nil, err
	}
	rows, err := productsOf(ctx, s.pool, v.UserID)
	if err != nil {
		return nil, fmt.Errorf("list what a ticket can be about: %w", err)
	}
	products := make([]Product, len(rows))
	for i, row := range rows {
		products[i] = Product{row.ID, row.Name, row.Detail, row.Owner}
	}
	return products, nil
}

func (s *Service) department(ctx context.Context, invalid *app.Invalid, id string) error {
	if id == "" {
		return nil
	}
	inUse := false
	if app.IsID(id) {
		var err error
		if inUse, err = departmentInUse(ctx, s.pool, id); err != nil {
			return fmt.Errorf("find a department: %w", err)
		}
	}
	if !inUse {
		invalid.Add("department", "tickets.department-unknown")
	}
	return nil
}
