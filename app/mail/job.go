package mail

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// QueueName is the queue that mails have to themselves, so that nothing slow holds them up.
const QueueName = "mail"

// DeliverAttempts is how often a mail is tried before it is given up: with the pauses of jobs/retry.go, for 24 hours.
const DeliverAttempts = 20

// DeliverArgs is the job that delivers one mail.
type DeliverArgs struct {
	DeliveryID string `json:"delivery_id"`
}

// Kind names the job in the database.
func (DeliverArgs) Kind() string { return "deliver_mail" }

// InsertOpts puts the job in its queue.
func (DeliverArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: QueueName, MaxAttempts: DeliverAttempts}
}

// Inserter puts a job into the queue in the caller's transaction; *river.Client[pgx.Tx] does.
type Inserter interface {
	InsertTx(ctx context.Context, tx pgx.Tx, args river.JobArgs, opts *river.InsertOpts) (*rivertype.JobInsertResult, error)
}
