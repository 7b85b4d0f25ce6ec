package jobs

import (
	"context"
	"time"

	"portico/app/watchdog"

	"github.com/riverqueue/river"
)

// watchEvery is how often the watchdog looks.
const watchEvery = time.Minute

// watchArgs is the periodic job that tells admins what is stuck, overdue or failing.
type watchArgs struct{}

func (watchArgs) Kind() string { return "watchdog" }

// InsertOpts: what failed comes again with the next look.
func (watchArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{MaxAttempts: 2}
}

var watching = river.NewPeriodicJob(river.PeriodicInterval(watchEvery),
	func() (river.JobArgs, *river.InsertOpts) { return watchArgs{}, nil },
	&river.PeriodicJobOpts{ID: "watchdog", RunOnStart: true})

type watchWorker struct {
	river.WorkerDefaults[watchArgs]
	watchdog *watchdog.Service
}

func (w *watchWorker) Work(ctx context.Context, _ *river.Job[watchArgs]) error {
	_, err := w.watchdog.Tell(ctx)
	return err
}
