package jobs

import (
	"context"
	"fmt"
	"time"

	"portico/app/billing"

	"github.com/riverqueue/river"
)

// renewEvery is how often contracts are looked at. What is due is decided by days, so this only says how early in the store's day.
const renewEvery = time.Hour

// renewalsArgs is the periodic job that finds the contracts for which a renewal, an invoice, a reminder or a suspension is due, and
// queues a job for each.
type renewalsArgs struct{}

func (renewalsArgs) Kind() string { return "renewals" }

// InsertOpts: what was not found now is found an hour later.
func (renewalsArgs) InsertOpts() river.InsertOpts { return river.InsertOpts{MaxAttempts: 3} }

var renewing = river.NewPeriodicJob(river.PeriodicInterval(renewEvery),
	func() (river.JobArgs, *river.InsertOpts) { return renewalsArgs{}, nil },
	&river.PeriodicJobOpts{ID: "renewals", RunOnStart: true})

type renewalsWorker struct {
	river.WorkerDefaults[renewalsArgs]
	billing *billing.Service
}

func (w *renewalsWorker) Work(ctx context.Context, _ *river.Job[renewalsArgs]) error {
	return w.billing.QueueDue(ctx)
}

type renewWorker struct {
	river.WorkerDefaults[billing.RenewArgs]
	billing *billing.Service
}

func (w *renewWorker) Work(ctx context.Context, job *river.Job[billing.RenewArgs]) error {
	if err := w.billing.Renew(ctx, job.Args.ContractID); err != nil {
		return fmt.Errorf("renew contract %s: %w", job.Args.ContractID, err)
	}
	return nil
}
