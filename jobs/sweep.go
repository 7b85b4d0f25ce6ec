package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"portico/app/attachments"
	"portico/app/delegates"
	"portico/app/mail"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
)

// sweepEvery is how often the sweep runs. Nothing relies on it for safety: what has expired is refused by its date.
const sweepEvery = 10 * time.Minute

// sweeps is what is thrown away, and when.
var sweeps = []struct{ name, sql string }{
	// A dead link stays a week, so that questions about it can be answered from the database.
	{"tokens", "delete from tokens where coalesce(used_at, expires_at) < now() - interval '7 days'"},
	{"email_changes", "delete from email_changes where expires_at < now()"},
	{"sessions", "delete from sessions where expires_at < now()"},
	{"passkey_ceremonies", "delete from passkey_ceremonies where expires_at < now()"},
	{"ticket_presence", "delete from ticket_presence where expires_at < now()"},
	// Longer than any window in which deeds are counted.
	{"rate_limits", "delete from rate_limits where starts_at < now() - interval '2 days'"},
	// A form that is posted again a day later is a new intent.
	{"provision_intents", "delete from provision_intents where created_at < now() - interval '1 day'"},
	// Who got which mail is personal data: kept as long as somebody may ask after one.
	{"mail_deliveries", "delete from mail_deliveries where created_at < now() - interval '90 days' and finished_at < now() - interval '90 days'"},
}

// sweepArgs is the periodic job that throws away what has expired, and reminds of what is about to.
type sweepArgs struct{}

func (sweepArgs) Kind() string { return "sweep" }

func (sweepArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{MaxAttempts: 3}
}

func periodic() []*river.PeriodicJob {
	return []*river.PeriodicJob{
		river.NewPeriodicJob(river.PeriodicInterval(sweepEvery),
			func() (river.JobArgs, *river.InsertOpts) { return sweepArgs{}, nil },
			&river.PeriodicJobOpts{ID: "sweep", RunOnStart: true}),
		watching,
		renewing,
		silence,
		rescuing,
		tendingLogs,
		droppingLogs,
	}
}

type sweepWorker struct {
	river.WorkerDefaults[sweepArgs]
	pool      *pgxpool.Pool
	mail      *mail.Service
	files     *attachments.Service
	delegates *delegates.Service
	logger    *slog.Logger
}

// Work does every sweep even if one fails.
func (w *sweepWorker) Work(ctx context.Context, _ *river.Job[sweepArgs]) error {
	var failed []error
	for _, sweep := range sweeps {
		if _, err := w.pool.Exec(ctx, sweep.sql); err != nil {
			failed = append(failed, fmt.Errorf("sweep %s: %w", sweep.name, err))
		}
	}
	orphans, err := w.mail.FailOrphans(ctx)
	if err != nil {
		failed = append(failed, err)
	}
	if _, err := w.files.Sweep(ctx); err != nil {
		failed = append(failed, err)
	}
	if err := w.delegates.Remind(ctx); err != nil {
		failed = append(failed, err)
	}
	if orphans > 0 {
		w.logger.WarnContext(ctx, "mails had lost their job and were ended as failed", "count", orphans)
	}
	return errors.Join(failed...)
}
