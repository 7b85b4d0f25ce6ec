package jobs

import (
	"context"
	"log/slog"
	"time"

	"portico/app/tickets"

	"github.com/riverqueue/river"
)

// silenceEvery is how often silent tickets are looked for. Their times are days.
const silenceEvery = time.Hour

// silenceArgs is the periodic job that warns of tickets that nobody writes in any more, and closes them.
type silenceArgs struct{}

func (silenceArgs) Kind() string { return "ticket_silence" }

// InsertOpts: what failed comes again with the next look.
func (silenceArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{MaxAttempts: 2}
}

var silence = river.NewPeriodicJob(river.PeriodicInterval(silenceEvery),
	func() (river.JobArgs, *river.InsertOpts) { return silenceArgs{}, nil },
	&river.PeriodicJobOpts{ID: "ticket_silence", RunOnStart: true})

type silenceWorker struct {
	river.WorkerDefaults[silenceArgs]
	tickets *tickets.Service
	logger  *slog.Logger
}

func (w *silenceWorker) Work(ctx context.Context, _ *river.Job[silenceArgs]) error {
	warned, closed, err := w.tickets.Silence(ctx)
	if warned+closed > 0 {
		w.logger.InfoContext(ctx, "silent tickets", "warned", warned, "closed", closed)
	}
	return err
}
