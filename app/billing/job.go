package billing

import (
	"context"
	"fmt"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// RenewArgs is the job that brings one contract up to date: after a payment, and for each that the daily look finds.
type RenewArgs struct {
	ContractID string `json:"contract_id"`
}

// Kind is stored with the job.
func (RenewArgs) Kind() string { return "renew_contract" }

// QueueDue queues a job for each contract that Renew may have something to do for. Safe to run beside itself: a contract that is queued
// already is not queued again.
func (s *Service) QueueDue(ctx context.Context) error {
	t, err := loadTerms(ctx, s.pool)
	if err != nil {
		return fmt.Errorf("load the store's terms: %w", err)
	}
	zone, err := time.LoadLocation(t.TimeZone)
	if err != nil {
		return fmt.Errorf("the store's time zone: %w", err)
	}
	today, after := DayOf(s.now(), zone), ""
	for {
		ids, err := dueContracts(ctx, s.pool, today, today.AddDate(0, 0, t.InvoiceDaysBefore+t.ReminderDays), after, dueAtOnce)
		if err != nil {
			return fmt.Errorf("find contracts to renew: %w", err)
		}
		if len(ids) == 0 {
			return nil
		}
		jobs := make([]river.InsertManyParams, len(ids))
		for i, id := range ids {
			jobs[i] = river.InsertManyParams{Args: RenewArgs{id}, InsertOpts: &river.InsertOpts{UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: waitingStates}}}
		}
		if _, err := s.inserter.InsertMany(ctx, jobs); err != nil {
			return fmt.Errorf("queue %d renewals: %w", len(jobs), err)
		}
		after = ids[len(ids)-1]
	}
}

// dueAtOnce is how many contracts are queued in one statement.
const dueAtOnce = 500

// waitingStates are those of a job that has yet to look at its contract.
var waitingStates = []rivertype.JobState{rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRunning, rivertype.JobStateScheduled, rivertype.JobStateRetryable}
