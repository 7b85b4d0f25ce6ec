package jobs

import (
	"context"
	"errors"

	"portico/app/mail"

	"github.com/riverqueue/river"
)

// deliverWorker delivers one mail.
type deliverWorker struct {
	river.WorkerDefaults[mail.DeliverArgs]
	mail *mail.Service
}

func (w *deliverWorker) Work(ctx context.Context, job *river.Job[mail.DeliverArgs]) error {
	err := w.mail.Deliver(ctx, job.Args.DeliveryID, pauseAfter(job.JobRow))
	var held *mail.Held
	var failure *mail.Failure
	switch {
	case errors.As(err, &held):
		return river.JobSnooze(held.For)
	case errors.As(err, &failure) && failure.Outcome == mail.Refused:
		return river.JobCancel(err)
	}
	return err
}
