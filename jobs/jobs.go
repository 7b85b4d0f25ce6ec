// Package jobs runs the portal's background work on River: the queues and their sizes (this file), what each kind of job does
// (mail.go, sweep.go, watchdog.go, logs.go), and how long each waits after a failure (retry.go). A job carries ids only; what it works
// on, and what came of it, stands in our own rows. Arguments are declared by the domain that queues them (job.go there).
package jobs

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"portico/app/attachments"
	"portico/app/billing"
	"portico/app/delegates"
	"portico/app/mail"
	"portico/app/provisioning"
	"portico/app/provisionlogs"
	"portico/app/tickets"
	"portico/app/watchdog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
)

const (
	// jobTimeout ends a job that says nothing else. A mail takes 30 s at most, and writing down what came of it 20 s.
	jobTimeout = time.Minute
	// RescueAfter is when a running job counts as lost with its process, and is tried again. It is beyond every job's end, so
	// nothing that lives is run twice, and near it, so that after a kill -9 everything is final within five minutes. River
	// leaves alone a kind that declares a longer timeout of its own until that is over.
	RescueAfter = 2 * time.Minute
	// softStop is how long running jobs may take to finish when the program stops. Then they are interrupted and given back,
	// which costs them no attempt.
	softStop = 20 * time.Second
	// interruptedStop is how long interrupted jobs get to write down where they stood.
	interruptedStop = 10 * time.Second
)

// queues are sized by what waits for them. River fetches a queue once a cooldown, MaxWorkers at a time, so a queue does at most
// MaxWorkers ÷ FetchCooldown jobs a second; and a second job queued right behind a first may wait for the next poll.
var queues = map[string]river.QueueConfig{
	// People wait for confirmations and resets: up to 200 mails a second, far more than a mail server takes, and a poll twice a
	// second. Ten connections at once is what relays usually allow one sender.
	mail.QueueName: {MaxWorkers: 10, FetchCooldown: 50 * time.Millisecond, FetchPollInterval: 500 * time.Millisecond},
	// People wait for what they clicked: a run begins within milliseconds, and a lost notification costs half a second. How many calls go
	// to one provider at once is limited by its configuration, so that a slow one does not take all workers.
	provisioning.QueueName: {MaxWorkers: 40, FetchCooldown: 10 * time.Millisecond, FetchPollInterval: 500 * time.Millisecond},
	// Nobody looks on while contracts begin, are suspended and end.
	provisioning.SystemQueueName: {MaxWorkers: 10, FetchCooldown: 100 * time.Millisecond, FetchPollInterval: time.Second},
	// Nobody waits for the sweep and its like.
	river.QueueDefault: {MaxWorkers: 4, FetchCooldown: 100 * time.Millisecond, FetchPollInterval: 2 * time.Second},
}

// Deps are the services that jobs call.
type Deps struct {
	Mail      *mail.Service
	Watchdog  *watchdog.Service
	Billing   *billing.Service
	Files     *attachments.Service
	Delegates *delegates.Service
	Tickets   *tickets.Service
	Runs      *provisioning.Service
	Logs      *provisionlogs.Service
}

// NewInserter makes a client that puts jobs into queues and works none. It is what services take. It notifies of a queue at most once in
// as long as the queue of people who wait needs between two fetches: by default that is ten times longer, and who clicks meanwhile would
// wait for the next poll.
func NewInserter(pool *pgxpool.Pool) (*river.Client[pgx.Tx], error) {
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Logger: quiet(slog.Default()), FetchCooldown: queues[provisioning.QueueName].FetchCooldown})
	if err != nil {
		return nil, fmt.Errorf("make the client that inserts jobs: %w", err)
	}
	return client, nil
}

// NewClient makes a client that works all queues once it is started with Start. Of any number of them on one database, one at a
// time leads: it rescues, and queues what is periodic. End it with Stop.
func NewClient(pool *pgxpool.Pool, deps Deps, logger *slog.Logger) (*river.Client[pgx.Tx], error) {
	workers := river.NewWorkers()
	river.AddWorker(workers, &deliverWorker{mail: deps.Mail})
	river.AddWorker(workers, &sweepWorker{pool: pool, mail: deps.Mail, files: deps.Files, delegates: deps.Delegates, logger: logger})
	river.AddWorker(workers, &watchWorker{watchdog: deps.Watchdog})
	river.AddWorker(workers, &tendLogsWorker{logs: deps.Logs})
	river.AddWorker(workers, &dropLogsWorker{logs: deps.Logs})
	river.AddWorker(workers, &renewalsWorker{billing: deps.Billing})
	river.AddWorker(workers, &renewWorker{billing: deps.Billing})
	river.AddWorker(workers, &silenceWorker{tickets: deps.Tickets, logger: logger})
	river.AddWorker(workers, &performWorker{runs: deps.Runs})
	river.AddWorker(workers, &rescueWorker{runs: deps.Runs, logger: logger})
	client, err := river.NewClient(riverpgxv5.New(pool), config(workers, logger))
	if err != nil {
		return nil, fmt.Errorf("make the client that works jobs: %w", err)
	}
	return client, nil
}

func config(workers *river.Workers, logger *slog.Logger) *river.Config {
	return &river.Config{
		Queues:               queues,
		Workers:              workers,
		Logger:               quiet(logger),
		ErrorHandler:         &errorHandler{logger},
		Plugins:              []rivertype.Plugin{&guard{logger: logger}},
		RetryPolicy:          retryPolicy{},
		MaxAttempts:          len(defaultPauses) + 1,
		JobTimeout:           jobTimeout,
		RescueStuckJobsAfter: RescueAfter,
		SoftStopTimeout:      softStop,
		PeriodicJobs:         periodic(),
	}
}

// Stop ends a started client: nothing new is fetched, running jobs get 20 s, then they are interrupted and given back without
// losing an attempt. If ctx ends first they are interrupted at once. Returns an error if a job did not heed even that; another
// process will rescue it.
func Stop(ctx context.Context, client *river.Client[pgx.Tx]) error {
	if client.Stop(ctx) == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), interruptedStop)
	defer cancel()
	if err := client.StopAndCancel(ctx); err != nil {
		return fmt.Errorf("stop jobs: %w", err)
	}
	return nil
}

// guard stands around every job. River stores the text of errors and panics, and logs panics in full: they pass the redactor
// first.
type guard struct {
	river.MiddlewareDefaults
	logger *slog.Logger
}

func (g *guard) Work(ctx context.Context, job *rivertype.JobRow, work func(context.Context) error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			text := mail.Redact(fmt.Sprint(value))
			g.logger.ErrorContext(ctx, "job panicked", "job", job.ID, "kind", job.Kind, "attempt", job.Attempt, "panic", text, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %s", text)
		}
	}()
	if err = work(ctx); err != nil {
		err = &redacted{err}
	}
	return err
}

// redacted is an error that says only what may be stored, and still is what it was to errors.As.
type redacted struct{ err error }

func (r *redacted) Error() string { return mail.Redact(r.err.Error()) }
func (r *redacted) Unwrap() error { return r.err }

// errorHandler logs failed attempts, never a job's arguments.
type errorHandler struct{ logger *slog.Logger }

func (h *errorHandler) HandleError(ctx context.Context, job *rivertype.JobRow, err error) *river.ErrorHandlerResult {
	level, text := slog.LevelWarn, "job failed, will be tried again"
	if job.Attempt >= job.MaxAttempts {
		level, text = slog.LevelError, "job failed for good"
	}
	h.logger.Log(ctx, level, text, "job", job.ID, "kind", job.Kind, "attempt", job.Attempt, "of", job.MaxAttempts, "error", mail.Redact(err.Error()))
	return nil
}

// HandlePanic is for panics outside of the guard.
func (h *errorHandler) HandlePanic(ctx context.Context, job *rivertype.JobRow, value any, _ string) *river.ErrorHandlerResult {
	return h.HandleError(ctx, job, fmt.Errorf("panic: %v", value))
}

// quiet keeps River's own log to warnings: what happens to jobs is logged here, once.
func quiet(logger *slog.Logger) *slog.Logger { return slog.New(warnings{logger.Handler()}) }

type warnings struct{ slog.Handler }

func (w warnings) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && w.Handler.Enabled(ctx, level)
}
func (w warnings) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warnings{w.Handler.WithAttrs(attrs)}
}
func (w warnings) WithGroup(name string) slog.Handler { return warnings{w.Handler.WithGroup(name)} }
