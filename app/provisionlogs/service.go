package provisionlogs

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"portico/app"
	"portico/app/access"
	"portico/app/audit"
	"portico/app/db"
	"portico/app/mail"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Service reads the logs. Safe for concurrent use.
type Service struct {
	pool *pgxpool.Pool
	mail *mail.Service
}

// NewService makes the service.
func NewService(pool *pgxpool.Pool, mails *mail.Service) *Service { return &Service{pool, mails} }

// pageSize is how many runs a page shows.
const pageSize = 50

// List returns a page of the runs that match, newest first: those after the key before, or the newest for "". Reading stops after
// 20,000 rows or 200 ms; Page.Further then says so.
func (s *Service) List(ctx context.Context, v app.Viewer, f Filter, before string) (Page, error) {
	if err := access.Check(v, "logs", "view"); err != nil {
		return Page{}, err
	}
	if before != "" && !isID(before) {
		return Page{}, app.ErrNotFound
	}
	now, err := snapshot(ctx, s.pool) // before reading: what commits meanwhile is told twice rather than never
	if err != nil {
		return Page{}, fmt.Errorf("list runs: %w", err)
	}
	page, err := list(ctx, s.pool, f, before, pageSize)
	if err != nil {
		return Page{}, fmt.Errorf("list runs: %w", err)
	}
	page.Snapshot = now
	return page, nil
}

// A snapshot as PostgreSQL writes it names every transaction that was open.
const maxSnapshot = 8000

var snapshotForm = regexp.MustCompile(`^[0-9]{1,20}:[0-9]{1,20}:[0-9,]*$`)

// Changes returns what became of runs since a page was read, by its Snapshot.
func (s *Service) Changes(ctx context.Context, v app.Viewer, f Filter, since string) (Changes, error) {
	if err := access.Check(v, "logs", "view"); err != nil {
		return Changes{}, err
	}
	if len(since) > maxSnapshot || !snapshotForm.MatchString(since) {
		return Changes{Reset: true}, nil
	}
	found, err := changes(ctx, s.pool, f, since)
	if err != nil {
		return Changes{}, fmt.Errorf("list changes of runs: %w", err)
	}
	return found, nil
}

// Get returns one run with its attempts; their debug data only to whoever may read it.
func (s *Service) Get(ctx context.Context, v app.Viewer, id string) (Details, error) {
	if err := access.Check(v, "logs", "view"); err != nil {
		return Details{}, err
	}
	d, err := detailsByID(ctx, s.pool, id)
	if err != nil {
		return Details{}, fmt.Errorf("find run %s: %w", id, err)
	}
	if d.Tries, err = attemptsOf(ctx, s.pool, id, access.Check(v, "logs", "debug") == nil); err != nil {
		return Details{}, fmt.Errorf("find the attempts of run %s: %w", id, err)
	}
	return d, nil
}

// Names are the clients, products and actors of the newest runs, for a field to suggest.
func (s *Service) Names(ctx context.Context, v app.Viewer) (map[string][]string, error) {
	if err := access.Check(v, "logs", "view"); err != nil {
		return nil, err
	}
	return names(ctx, s.pool)
}

// NameOf is what people call the client, product or actor that a filter holds by id; the value itself where no run knows it.
func (s *Service) NameOf(ctx context.Context, v app.Viewer, field, value string) (string, error) {
	if err := access.Check(v, "logs", "view"); err != nil {
		return "", err
	}
	if !isID(value) {
		return value, nil
	}
	name, err := nameOf(ctx, s.pool, field, value)
	if errors.Is(err, app.ErrNotFound) {
		return value, nil
	}
	return name, err
}

// Kept is a filter that somebody keeps.
type Kept struct {
	ID     string
	Name   string
	Query  string // as Values encodes it
	Shared bool   // shown to all who may read the logs
	Own    bool   // the viewer's
	Owner  string // name of whose it is
}

// maxKept is how many filters one person may keep.
const maxKept = 50

// KeptFilters lists the viewer's own filters and the shared ones.
func (s *Service) KeptFilters(ctx context.Context, v app.Viewer) ([]Kept, error) {
	if err := access.Check(v, "logs", "view"); err != nil {
		return nil, err
	}
	return keptFilters(ctx, s.pool, v.UserID)
}

// KeepFilter keeps a filter under a name; one of the viewer's of that name is replaced. Returns *app.Invalid.
func (s *Service) KeepFilter(ctx context.Context, v app.Viewer, name string, f Filter, shared bool) error {
	if err := access.Check(v, "logs", "keep"); err != nil {
		return err
	}
	name, err := checkName(name)
	if err != nil {
		return err
	}
	query := f.Values().Encode()
	if query == "" || len(query) > 4000 {
		return app.Invalidf("name", "provisionlogs.keep-nothing")
	}
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if n, err := countKept(ctx, tx, v.UserID); err != nil || n >= maxKept {
			return errors.Join(err, app.Invalidf("name", "provisionlogs.keep-too-many", "Count", maxKept))
		}
		id, err := insertKept(ctx, tx, v.UserID, name, query, shared)
		if err != nil {
			return err
		}
		return audit.Record(ctx, tx, v, audit.Entry{
			Action: "log-filter.keep", ObjectType: "log-filter", ObjectID: id, ObjectName: name, Details: map[string]any{"query": query, "shared": shared},
		})
	})
	return wrap(err, "keep a filter")
}

// wrap says what was being done, but keeps *app.Invalid as it is.
func wrap(err error, doing string) error {
	var invalid *app.Invalid
	if err == nil || errors.As(err, &invalid) {
		return err
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func checkName(name string) (string, error) {
	name = strings.TrimSpace(name)
	if name == "" || utf8.RuneCountInString(name) > 100 || strings.ContainsAny(name, "\n\r\x00") {
		return "", app.Invalidf("name", "provisionlogs.bad-name")
	}
	return name, nil
}

// DropFilter deletes a kept filter of the viewer's; an admin may delete a shared one of anybody's.
func (s *Service) DropFilter(ctx context.Context, v app.Viewer, id string) error {
	if err := access.Check(v, "logs", "keep"); err != nil {
		return err
	}
	return wrap(db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		name, err := deleteKept(ctx, tx, id, v.UserID, v.Role == app.RoleAdmin)
		if err != nil {
			return err
		}
		return audit.Record(ctx, tx, v, audit.Entry{Action: "log-filter.remove", ObjectType: "log-filter", ObjectID: id, ObjectName: name})
	}), "remove a kept filter")
}

// Keep is how long runs stay.
type Keep struct {
	Months    int // whole months before the present one
	DebugDays int
}

// Alert mails admins when more than MoreThan runs match a filter within some minutes.
type Alert struct {
	ID        string
	Name      string
	Query     string
	MoreThan  int
	Minutes   int
	QuietFrom *string // "22:00", in the store's time zone; nil: never quiet
	QuietTo   *string
	ToldAt    *time.Time
}

// Settings are how long runs stay, and the alerts.
func (s *Service) Settings(ctx context.Context, v app.Viewer) (Keep, []Alert, error) {
	if err := access.Check(v, "logs", "manage"); err != nil {
		return Keep{}, nil, err
	}
	keep, err := keepSettings(ctx, s.pool)
	if err != nil {
		return Keep{}, nil, fmt.Errorf("read the settings of the logs: %w", err)
	}
	all, err := alerts(ctx, s.pool)
	return keep, all, wrap(err, "list alerts")
}

// SetKeep changes how long runs stay. What is older goes with the next upkeep. Returns *app.Invalid.
func (s *Service) SetKeep(ctx context.Context, v app.Viewer, keep Keep) error {
	if err := access.Check(v, "logs", "manage"); err != nil {
		return err
	}
	var invalid app.Invalid
	if keep.Months < 1 || keep.Months > 120 {
		invalid.Add("months", "provisionlogs.bad-months")
	}
	if keep.DebugDays < 1 || keep.DebugDays > 3650 {
		invalid.Add("debug_days", "provisionlogs.bad-days")
	}
	if err := invalid.Err(); err != nil {
		return err
	}
	return wrap(db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		before, err := keepSettings(ctx, tx)
		if err != nil {
			return err
		}
		changed := audit.Changes{}
		changed.Add("months", before.Months, keep.Months)
		changed.Add("debug_days", before.DebugDays, keep.DebugDays)
		if len(changed) == 0 {
			return nil
		}
		if err := saveKeep(ctx, tx, keep); err != nil {
			return err
		}
		return audit.Record(ctx, tx, v, audit.Entry{Action: "log-settings.change", ObjectType: "store", Details: changed})
	}), "change how long logs are kept")
}

// AddAlert makes an alert. Returns *app.Invalid.
func (s *Service) AddAlert(ctx context.Context, v app.Viewer, a Alert, f Filter) error {
	if err := access.Check(v, "logs", "manage"); err != nil {
		return err
	}
	var invalid app.Invalid
	name, err := checkName(a.Name)
	if err != nil {
		invalid.Add("name", "provisionlogs.bad-name")
	}
	f.From, f.To = time.Time{}, time.Time{}
	a.Name, a.Query = name, f.Values().Encode()
	if a.Query == "" || len(a.Query) > 4000 {
		invalid.Add("", "provisionlogs.alert-nothing")
	}
	if a.MoreThan < 0 || a.MoreThan > 10000 {
		invalid.Add("more_than", "provisionlogs.bad-count")
	}
	if a.Minutes < 1 || a.Minutes > 1440 {
		invalid.Add("minutes", "provisionlogs.bad-minutes")
	}
	if (a.QuietFrom == nil) != (a.QuietTo == nil) || !isClock(a.QuietFrom) || !isClock(a.QuietTo) {
		invalid.Add("quiet_from", "provisionlogs.bad-quiet")
	}
	if err := invalid.Err(); err != nil {
		return err
	}
	return wrap(db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if all, err := alerts(ctx, tx); err != nil || len(all) >= 100 {
			return errors.Join(err, app.Invalidf("name", "provisionlogs.too-many-alerts"))
		}
		id, err := insertAlert(ctx, tx, a)
		if err != nil {
			return err
		}
		return audit.Record(ctx, tx, v, audit.Entry{
			Action: "log-alert.add", ObjectType: "log-alert", ObjectID: id, ObjectName: a.Name,
			Details: map[string]any{"query": a.Query, "more_than": a.MoreThan, "minutes": a.Minutes},
		})
	}), "add an alert")
}

func isClock(text *string) bool {
	if text == nil {
		return true
	}
	_, err := time.Parse("15:04", *text)
	return err == nil
}

// DropAlert deletes an alert.
func (s *Service) DropAlert(ctx context.Context, v app.Viewer, id string) error {
	if err := access.Check(v, "logs", "manage"); err != nil {
		return err
	}
	return wrap(db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		name, err := deleteAlert(ctx, tx, id)
		if err != nil {
			return err
		}
		return audit.Record(ctx, tx, v, audit.Entry{Action: "log-alert.remove", ObjectType: "log-alert", ObjectID: id, ObjectName: name})
	}), "remove an alert")
}

const (
	// changesKept is how long open pages may ask for what changed since they last did.
	changesKept = 2 * time.Minute
	foldAtOnce  = 50_000
	// alertPause is the least time between two mails of one alert.
	alertPause = time.Hour
)

// Tend does the upkeep that comes every minute: it makes the partitions of coming months, adds up counts, forgets notes of changes,
// and mails what alerts ask for. Safe to run side by side. It does all of it even if one fails.
func (s *Service) Tend(ctx context.Context) error {
	var failed []error
	note := func(doing string, err error) {
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", doing, err))
		}
	}
	note("make partitions", makeMonths(ctx, s.pool))
	for {
		taken, err := foldCounts(ctx, s.pool, foldAtOnce)
		note("add up counts", err)
		if err != nil || taken < foldAtOnce {
			break
		}
	}
	note("forget changes", clearChanges(ctx, s.pool, changesKept))
	note("alerts", s.alarm(ctx, time.Now()))
	return errors.Join(failed...)
}

// DropOld throws away what is older than the store keeps: months by dropping their partitions.
func (s *Service) DropOld(ctx context.Context) error {
	keep, err := keepSettings(ctx, s.pool)
	if err != nil {
		return fmt.Errorf("drop old logs: %w", err)
	}
	_, err = dropOld(ctx, s.pool, keep, time.Now().UTC())
	return wrap(err, "drop old logs")
}

// alarm mails admins of every alert whose filter matches too often, outside of its quiet hours and at most once an hour. What an
// alert saw in quiet hours is not told later; what goes on is.
func (s *Service) alarm(ctx context.Context, now time.Time) error {
	all, err := alerts(ctx, s.pool)
	if err != nil || len(all) == 0 {
		return err
	}
	name, err := storeZone(ctx, s.pool)
	if err != nil {
		return err
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		zone = time.UTC
	}
	var failed []error
	for _, alert := range all {
		if alert.quiet(now.In(zone)) || alert.ToldAt != nil && now.Sub(*alert.ToldAt) < alertPause {
			continue
		}
		query, err := url.ParseQuery(alert.Query)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		filter, err := ParseFilter(query, time.UTC)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		since := now.Add(-time.Duration(alert.Minutes) * time.Minute)
		n, err := countSince(ctx, s.pool, filter, since, maxRows)
		if err == nil && n > alert.MoreThan {
			err = s.tell(ctx, alert, filter, since, n)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("alert %s: %w", alert.ID, err))
		}
	}
	return errors.Join(failed...)
}

// quiet tells whether an alert sends nothing at a moment of the store's day.
func (a Alert) quiet(now time.Time) bool {
	if a.QuietFrom == nil || a.QuietTo == nil || *a.QuietFrom == *a.QuietTo {
		return false
	}
	clock := now.Format("15:04")
	if *a.QuietFrom < *a.QuietTo {
		return clock >= *a.QuietFrom && clock < *a.QuietTo
	}
	return clock >= *a.QuietFrom || clock < *a.QuietTo // over midnight
}

func (s *Service) tell(ctx context.Context, alert Alert, f Filter, since time.Time, n int) error {
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		ok, err := claimAlert(ctx, tx, alert.ID, alertPause)
		if err != nil || !ok {
			return err
		}
		people, err := admins(ctx, tx)
		if err != nil {
			return err
		}
		if f.Is[FieldStatus] != "failed" {
			f.From = since // failed ones may have begun long before
		}
		for _, p := range people {
			if err := s.mail.Queue(ctx, tx, mail.Message{
				Kind: "log-alert", Key: fmt.Sprintf("log-alert:%s:%d:%s", alert.ID, since.UnixMicro(), p.ID),
				UserID: p.ID, Recipient: p.Email, Name: p.Name, Language: p.Language, Zone: p.TimeZone,
				Data: map[string]string{
					"Name": alert.Name, "Count": fmt.Sprint(n), "Minutes": fmt.Sprint(alert.Minutes), "Page": logsPath + "?" + f.Values().Encode(),
				},
			}); err != nil {
				return err
			}
		}
		return nil
	})
}
