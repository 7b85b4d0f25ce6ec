package jobs

import (
	"context"
	"time"

	"portico/app/provisionlogs"

	"github.com/riverqueue/river"
)

const (
	// tendLogsEvery is how long counts wait to be added up, and an alert to be noticed.
	tendLogsEvery = time.Minute
	dropLogsEvery = time.Hour
)

// tendLogsArgs is the periodic job that makes partitions, adds up counts and mails alerts.
type tendLogsArgs struct{}

func (tendLogsArgs) Kind() string { return "tend_logs" }

// InsertOpts: what failed comes again a minute later.
func (tendLogsArgs) InsertOpts() river.InsertOpts { return river.InsertOpts{MaxAttempts: 1} }

// dropLogsArgs is the periodic job that drops what is older than the store keeps.
type dropLogsArgs struct{}

func (dropLogsArgs) Kind() string { return "drop_logs" }

func (dropLogsArgs) InsertOpts() river.InsertOpts { return river.InsertOpts{MaxAttempts: 3} }

var (
	tendingLogs = river.NewPeriodicJob(river.PeriodicInterval(tendLogsEvery),
		func() (river.JobArgs, *river.InsertOpts) { return tendLogsArgs{}, nil },
		&river.PeriodicJobOpts{ID: "tend_logs", RunOnStart: true})
	droppingLogs = river.NewPeriodicJob(river.PeriodicInterval(dropLogsEvery),
		func() (river.JobArgs, *river.InsertOpts) { return dropLogsArgs{}, nil },
		&river.PeriodicJobOpts{ID: "drop_logs", RunOnStart: true})
)

type tendLogsWorker struct {
	river.WorkerDefaults[tendLogsArgs]
	logs *provisionlogs.Service
}

func (w *tendLogsWorker) Work(ctx context.Context, _ *river.Job[tendLogsArgs]) error {
	return w.logs.Tend(ctx)
}

type dropLogsWorker struct {
	river.WorkerDefaults[dropLogsArgs]
	logs *provisionlogs.Service
}

func (w *dropLogsWorker) Work(ctx context.Context, _ *river.Job[dropLogsArgs]) error {
	return w.logs.DropOld(ctx)
}
