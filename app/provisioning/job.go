package provisioning

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// The queues of runs: those that a person waits for, and those of the portal itself.
const (
	QueueName       = "provision"
	SystemQueueName = "provision_system"
)

// MaxAttempts is how often a run is tried. Waiting for a provider, its limits, and stops of the program cost none.
const MaxAttempts = 8

// PerformArgs is the job that takes a run up. Several may exist for one run: the run's row decides which of them does something.
type PerformArgs struct {
	RunID string `json:"run_id"`
}

// Kind names the job in the database.
func (PerformArgs) Kind() string { return "provision_action" }

// InsertOpts puts the job in its queue.
func (PerformArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: QueueName, MaxAttempts: MaxAttempts}
}

// Inserter puts a job into the queue in the caller's transaction; *river.Client[pgx.Tx] does.
type Inserter interface {
	InsertTx(ctx context.Context, tx pgx.Tx, args river.JobArgs, opts *river.InsertOpts) (*rivertype.JobInsertResult, error)
}

func (s *Service) enqueue(ctx context.Context, tx pgx.Tx, runID string, bySystem bool) error {
	queue := QueueName
	if bySystem {
		queue = SystemQueueName
	}
	if _, err := s.jobs.InsertTx(ctx, tx, PerformArgs{RunID: runID}, &river.InsertOpts{Queue: queue, MaxAttempts: MaxAttempts}); err != nil {
		return fmt.Errorf("queue the job of run %s: %w", runID, err)
	}
	return nil
}
