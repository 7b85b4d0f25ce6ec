package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"portico/app"
	"portico/app/access"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Recorded is an Entry as it was recorded.
type Recorded struct {
	ID         int64 // the key of pages
	At         time.Time
	ActorName  string // who really acted; "Portico" for the system, "" for a visitor
	AsName     string // as whom, while impersonating; else ""
	Action     string
	ObjectType string
	ObjectID   string
	ObjectName string
	IP         string
	RequestID  string
	RunID      string
	Details    json.RawMessage // a JSON object
}

// Filter says which entries are wanted. The zero Filter wants all.
type Filter struct {
	Person     string    // part of the name of who acted, or as whom
	Action     string    // exact
	ObjectType string    // exact
	Text       string    // anywhere in names, action, address or details
	AccountID  string    // exact: whose thing it is
	From, To   time.Time // from, inclusive, and to, exclusive; zero is open
}

// Values encodes the filter for an address, with dates in the time zone in which they were chosen.
func (f Filter) Values(zone *time.Location) url.Values {
	values := url.Values{}
	set := func(name, value string) {
		if value != "" {
			values.Set(name, value)
		}
	}
	set("q", f.Text)
	set("person", f.Person)
	set("action", f.Action)
	set("object", f.ObjectType)
	if !f.From.IsZero() {
		set("from", f.From.In(zone).Format(time.DateOnly))
	}
	if !f.To.IsZero() {
		set("to", f.To.In(zone).AddDate(0, 0, -1).Format(time.DateOnly))
	}
	return values
}

// TextDays is how many days a search for text reaches back where no first day is given: it reads every entry of them.
const TextDays = 30

// ParseFilter reads what Values wrote: ?q=, person, action, object, and the days from and to, both inclusive, in zone. With
// ?q= and no first day, it is the first of the TextDays that end with the last day, or with the day of now. Returns
// *app.Invalid for a day that is none.
func ParseFilter(get func(name string) string, zone *time.Location, now time.Time) (Filter, error) {
	var invalid app.Invalid
	text := func(name string) string {
		return strings.ReplaceAll(strings.ToValidUTF8(strings.TrimSpace(get(name)), ""), "\x00", "")
	}
	day := func(name string) time.Time {
		value := text(name)
		if value == "" {
			return time.Time{}
		}
		date, err := time.ParseInLocation(time.DateOnly, value, zone)
		if err != nil {
			invalid.Add(name, "activity.day-wrong")
			return time.Time{}
		}
		return date
	}
	f := Filter{Text: text("q"), Person: text("person"), Action: text("action"), ObjectType: text("object"), From: day("from"), To: day("to")}
	if !f.To.IsZero() {
		f.To = f.To.AddDate(0, 0, 1)
	}
	if f.Text != "" && f.From.IsZero() {
		end := f.To
		if end.IsZero() {
			year, month, day := now.In(zone).Date()
			end = time.Date(year, month, day+1, 0, 0, 0, 0, zone)
		}
		f.From = end.AddDate(0, 0, -TextDays)
	}
	return f, invalid.Err()
}

// Service reads the audit.
type Service struct{ pool *pgxpool.Pool }

// NewService returns a Service.
func NewService(pool *pgxpool.Pool) *Service { return &Service{pool} }

// pageSize is how many entries a page has.
const pageSize = 50

// Activity returns a page of entries, newest first, and the key to ask the next page with: 0 on the last one. before is
// that key, 0 for the first page.
func (s *Service) Activity(ctx context.Context, v app.Viewer, f Filter, before int64) (page []Recorded, next int64, err error) {
	if err := access.Check(v, "activity", "view"); err != nil {
		return nil, 0, err
	}
	return s.page(ctx, f, before)
}

func (s *Service) page(ctx context.Context, f Filter, before int64) (page []Recorded, next int64, err error) {
	page, err = entries(ctx, s.pool, f, before, pageSize+1)
	if err != nil {
		return nil, 0, fmt.Errorf("list the activity: %w", err)
	}
	if len(page) > pageSize {
		page = page[:pageSize]
		next = page[pageSize-1].ID
	}
	return page, next, nil
}

// OfAccount is Activity for the things of one account, for who may see accounts.
func (s *Service) OfAccount(ctx context.Context, v app.Viewer, accountID string, before int64) (page []Recorded, next int64, err error) {
	if err := access.Check(v, "accounts", "view"); err != nil {
		return nil, 0, err
	}
	return s.page(ctx, Filter{AccountID: accountID}, before)
}

// Choices lists the actions and object types that were ever recorded, by name, for the filter.
func (s *Service) Choices(ctx context.Context, v app.Viewer) (actions, objectTypes []string, err error) {
	if err := access.Check(v, "activity", "view"); err != nil {
		return nil, nil, err
	}
	if actions, err = distinct(ctx, s.pool, "action"); err != nil {
		return nil, nil, fmt.Errorf("list the actions: %w", err)
	}
	if objectTypes, err = distinct(ctx, s.pool, "object_type"); err != nil {
		return nil, nil, fmt.Errorf("list the object types: %w", err)
	}
	return actions, objectTypes, nil
}
