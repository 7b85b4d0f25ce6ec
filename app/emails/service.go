package emails

import (
	"context"
	"fmt"
	"strings"
	"time"

	"portico/app"
	"portico/app/access"
	"portico/app/audit"
	"portico/app/auth"
	"portico/app/db"
	"portico/app/keys"
	"portico/app/limits"
	"portico/app/mail"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Service shows mails to admins.
type Service struct {
	pool *pgxpool.Pool
	keys *keys.Ring
	mail *mail.Service
}

// NewService returns a Service.
func NewService(pool *pgxpool.Pool, ring *keys.Ring, mails *mail.Service) *Service {
	return &Service{pool, ring, mails}
}

// pageSize is how many mails a page has.
const pageSize = 50

// rateAgain is how often mails to one address may be sent again.
var rateAgain = limits.Rate{Times: 10, Window: time.Hour}

// List returns a page of mails, newest first, and the key to ask the next page with: nil on the last one.
func (s *Service) List(ctx context.Context, v app.Viewer, f Filter, after Key) (page []Email, next *Key, err error) {
	if err := access.Check(v, "emails", "view"); err != nil {
		return nil, nil, err
	}
	if page, err = list(ctx, s.pool, f, after, pageSize+1); err != nil {
		return nil, nil, fmt.Errorf("list the mails: %w", err)
	}
	if len(page) > pageSize {
		page = page[:pageSize]
		key := keyOf(page[pageSize-1])
		next = &key
	}
	return page, next, nil
}

// Counts tells by status how many mails are under way, and how many ended in the last 24 hours.
func (s *Service) Counts(ctx context.Context, v app.Viewer) (map[string]int, error) {
	if err := access.Check(v, "emails", "view"); err != nil {
		return nil, err
	}
	rows, err := counts(ctx, s.pool)
	if err != nil {
		return nil, fmt.Errorf("count the mails: %w", err)
	}
	all := map[string]int{}
	for _, row := range rows {
		all[row.Status] = row.Count
	}
	return all, nil
}

// Get returns one mail, or app.ErrNotFound.
func (s *Service) Get(ctx context.Context, v app.Viewer, id string) (Details, error) {
	if err := access.Check(v, "emails", "view"); err != nil {
		return Details{}, err
	}
	details, err := detailsByID(ctx, s.pool, id)
	if err != nil {
		return Details{}, fmt.Errorf("read mail %s: %w", id, err)
	}
	if details.Tries, err = attemptsOf(ctx, s.pool, id); err != nil {
		return Details{}, fmt.Errorf("list the attempts of mail %s: %w", id, err)
	}
	if details.WhyNotAgain, err = s.mail.WhyNotAgain(ctx, id); err != nil {
		return Details{}, err
	}
	details.MessageID = s.mail.MessageID(id)
	return details, nil
}

// Preview shows a mail as its recipient sees it, made anew with the store as it is now and with the tokens of links masked, so
// that nobody who reads it here can use them.  Source: threats and faults, M6.
func (s *Service) Preview(ctx context.Context, v app.Viewer, id string) (mail.Content, error) {
	if err := access.Check(v, "emails", "view"); err != nil {
		return mail.Content{}, err
	}
	return s.mail.Preview(ctx, id)
}

// SendAgain queues a mail once more and returns the new one's id. Where it has a link, a new one is made and the old one dies.
// Returns app.ErrConflict where Details.WhyNotAgain gives a reason, *app.Limited after too many to one address.
func (s *Service) SendAgain(ctx context.Context, v app.Viewer, id string) (again string, err error) {
	if err := access.Check(v, "emails", "edit"); err != nil {
		return "", err
	}
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		email, err := detailsByID(ctx, tx, id)
		if err != nil {
			return fmt.Errorf("read mail %s: %w", id, err)
		}
		again, err = s.mail.SendAgain(ctx, tx, id, func(ctx context.Context, tx pgx.Tx, purpose string, m mail.Message) (string, error) {
			if auth.Purpose(purpose) == auth.PurposeDelegate {
				return auth.NewDelegateLink(ctx, tx, s.keys, m.Data["Delegate"], m.UserID, m.Recipient)
			}
			return auth.NewLink(ctx, tx, s.keys, auth.Purpose(purpose), m.UserID, m.Recipient)
		})
		if err != nil {
			return err
		}
		if err := limits.Hit(ctx, tx, "send-again", strings.ToLower(email.Recipient), rateAgain); err != nil {
			return err
		}
		return audit.Record(ctx, tx, v, audit.Entry{
			Action: "email.send-again", ObjectType: "email", ObjectID: again, ObjectName: email.Subject,
			Details: map[string]any{"email": email.Recipient, "kind": email.Kind, "again_of": id},
		})
	})
	return again, err
}
