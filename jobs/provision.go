package jobs

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"portico/app/provisioning"

	"github.com/riverqueue/river"
)

// performTimeout is beyond the longest call of a run with its look-up and the writing down of what came of it. Runs keep their own time,
// which is shorter for most.
const performTimeout = 6 * time.Minute

// performWorker takes a run up.
type performWorker struct {
	river.WorkerDefaults[provisioning.PerformArgs]
	runs *provisioning.Service
}

func (w *performWorker) Timeout(*river.Job[provisioning.PerformArgs]) time.Duration {
	return performTimeout
}

func (w *performWorker) Work(ctx context.Context, job *river.Job[provisioning.PerformArgs]) error {
	err := w.runs.Perform(ctx, job.Args.RunID, func(attempts int) time.Duration {
		// A run whose job was lost has a new one, which counts from one again.
		row := *job.JobRow
		row.Attempt = max(row.Attempt, attempts)
		return pauseAfter(&row)
	})
	var held *provisioning.Held
	var ended *provisioning.Ended
	switch {
	case errors.As(err, &held):
		return river.JobSnooze(held.For)
	case errors.As(err, &ended):
		return river.JobCancel(err)
	}
	return err
}

// rescueEvery is how often runs are looked for whose job or worker is gone. After a kill -9 a run is final within five minutes.
const rescueEvery = 20 * time.Second

// rescueArgs is the periodic job that takes up what was lost, and drops login links that were not taken.
type rescueArgs struct{}

func (rescueArgs) Kind() string { return "rescue_runs" }

// InsertOpts: what failed comes again soon.
func (rescueArgs) InsertOpts() river.InsertOpts { return river.InsertOpts{MaxAttempts: 1} }

var rescuing = river.NewPeriodicJob(river.PeriodicInterval(rescueEvery),
	func() (river.JobArgs, *river.InsertOpts) { return rescueArgs{}, nil },
	&river.PeriodicJobOpts{ID: "rescue_runs", RunOnStart: true})

type rescueWorker struct {
	river.WorkerDefaults[rescueArgs]
	runs   *provisioning.Service
	logger *slog.Logger
}

func (w *rescueWorker) Work(ctx context.Context, _ *river.Job[rescueArgs]) error {
	found, err := w.runs.Rescue(ctx)
	if found > 0 {
		w.logger.WarnContext(ctx, "runs had lost their job or their worker and were queued again", "count", found)
	}
	return err
}
