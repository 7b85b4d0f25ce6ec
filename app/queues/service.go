package queues

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"portico/app"
	"portico/app/access"
	"portico/app/audit"
	"portico/app/db"
	"portico/app/keys"
	"portico/app/live"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
)

// Topic is what open pages of jobs watch.
const Topic = "jobs"

// Service looks at jobs and queues. Every method returns app.ErrForbidden or app.ErrNotFound to whom the policy refuses it.
type Service struct {
	pool  *pgxpool.Pool
	keys  *keys.Ring
	river *river.Client[pgx.Tx]
}

// NewService returns a Service. The client may be one that only inserts.
func NewService(pool *pgxpool.Pool, ring *keys.Ring, client *river.Client[pgx.Tx]) *Service {
	return &Service{pool, ring, client}
}

// pageSize is how many jobs a page has.
const pageSize = 50

const maskPurpose = "job"

func (s *Service) number(id string) (int64, error) {
	number, ok := s.keys.Unmask(maskPurpose, id)
	if !ok || number < 1 {
		return 0, app.ErrNotFound
	}
	return number, nil
}

// Queues lists the queues by name.
func (s *Service) Queues(ctx context.Context, v app.Viewer) ([]Queue, error) {
	if err := access.Check(v, "jobs", "view"); err != nil {
		return nil, err
	}
	found, err := queues(ctx, s.pool)
	if err != nil {
		return nil, fmt.Errorf("list the queues: %w", err)
	}
	return found, nil
}

// Kinds lists the kinds of jobs there are, for the filter.
func (s *Service) Kinds(ctx context.Context, v app.Viewer) ([]string, error) {
	if err := access.Check(v, "jobs", "view"); err != nil {
		return nil, err
	}
	found, err := kinds(ctx, s.pool)
	if err != nil {
		return nil, fmt.Errorf("list the kinds of jobs: %w", err)
	}
	return found, nil
}

// List returns a page of jobs, newest first, and where the next one begins: nil on the last. Finished jobs are kept for a day,
// failed ones for a week.
func (s *Service) List(ctx context.Context, v app.Viewer, f Filter, at Key) (page []Job, next *Key, err error) {
	if err := access.Check(v, "jobs", "view"); err != nil {
		return nil, nil, err
	}
	if f.State != "" && !slices.Contains(States, f.State) {
		return nil, nil, app.ErrNotFound
	}
	var before int64
	if at.Before != "" {
		if before, err = s.number(at.Before); err != nil {
			return nil, nil, err
		}
	}
	part := all
	if f.FailedFirst && f.State == "" {
		part = onlyFailed
		if at.Rest {
			part = onlyOthers
		}
	}
	if page, err = list(ctx, s.pool, f, part, before, pageSize+1); err != nil {
		return nil, nil, fmt.Errorf("list jobs: %w", err)
	}
	rest := at.Rest
	if part == onlyFailed && len(page) <= pageSize {
		others, err := list(ctx, s.pool, f, onlyOthers, 0, pageSize+1-len(page))
		if err != nil {
			return nil, nil, fmt.Errorf("list jobs: %w", err)
		}
		failed := len(page)
		page = append(page, others...)
		rest = failed < pageSize
	}
	for i := range page {
		page[i].ID = s.keys.Mask(maskPurpose, page[i].Number)
	}
	if len(page) > pageSize {
		page = page[:pageSize]
		next = &Key{Before: page[pageSize-1].ID, Rest: rest}
	}
	return page, next, nil
}

// Get returns one job.
func (s *Service) Get(ctx context.Context, v app.Viewer, id string) (Details, error) {
	if err := access.Check(v, "jobs", "view"); err != nil {
		return Details{}, err
	}
	number, err := s.number(id)
	if err != nil {
		return Details{}, err
	}
	job, err := jobByNumber(ctx, s.pool, number)
	if err != nil {
		return Details{}, fmt.Errorf("read job %d: %w", number, err)
	}
	return job.finish(id)
}

// finish adds what does not stand in the row.
func (d Details) finish(id string) (Details, error) {
	d.ID = id
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, d.Args, "", "  "); err != nil {
		return Details{}, fmt.Errorf("read the arguments of job %d: %w", d.Number, err)
	}
	d.Args = pretty.Bytes()
	if row, ok := rows[d.Kind]; ok {
		var args map[string]any
		if json.Unmarshal(d.Args, &args) == nil { // arguments that can't be read are a reason to look at the job
			if id, ok := args[row.argument].(string); ok && id != "" {
				d.Rows = row.path + id
			}
		}
	}
	return d, nil
}

// Retry makes a job due at once: one that waits for its next attempt, or a failed or cancelled one, which gets an attempt
// more. Returns app.ErrConflict for any other.
func (s *Service) Retry(ctx context.Context, v app.Viewer, id string) error {
	return s.change(ctx, v, id, "job.retry", func(job Job) bool { return job.MayRetry(time.Now()) }, func(tx pgx.Tx, number int64) error {
		_, err := s.river.JobRetryTx(ctx, tx, number)
		return err
	})
}

// Cancel ends a job: at once where it waits; where it runs its context ends, and it is cancelled unless it succeeds all the
// same. Returns app.ErrConflict for a job that is finished or already asked to stop.
func (s *Service) Cancel(ctx context.Context, v app.Viewer, id string) error {
	return s.change(ctx, v, id, "job.cancel", Job.MayCancel, func(tx pgx.Tx, number int64) error {
		_, err := s.river.JobCancelTx(ctx, tx, number)
		return err
	})
}

func (s *Service) change(ctx context.Context, v app.Viewer, id, action string, may func(Job) bool, deed func(tx pgx.Tx, number int64) error) error {
	if err := access.Check(v, "jobs", "edit"); err != nil {
		return err
	}
	number, err := s.number(id)
	if err != nil {
		return err
	}
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		job, err := lockJob(ctx, tx, number)
		if err != nil {
			return fmt.Errorf("lock job %d: %w", number, err)
		}
		if !may(job.Job) {
			return fmt.Errorf("%s of job %d, which is %s: %w", action, number, job.State, app.ErrConflict)
		}
		if err := deed(tx, number); err != nil {
			return fmt.Errorf("%s of job %d: %w", action, number, err)
		}
		if err := audit.Record(ctx, tx, v, audit.Entry{
			Action: action, ObjectType: "job", ObjectID: id, ObjectName: job.Kind,
			Details: map[string]any{"queue": job.Queue, "state": job.State, "attempt": job.Attempt},
		}); err != nil {
			return err
		}
		return live.Notify(ctx, tx, Topic)
	})
}

// Pause lets no job of a queue begin; those that run go on. A paused queue stays so, across restarts too, until Resume.
// Returns app.ErrNotFound for a queue that no process works.
func (s *Service) Pause(ctx context.Context, v app.Viewer, name string) error {
	return s.turn(ctx, v, name, "queue.pause", false, func(tx pgx.Tx) error { return s.river.QueuePauseTx(ctx, tx, name, nil) })
}

// Resume lets a queue's jobs begin again.
func (s *Service) Resume(ctx context.Context, v app.Viewer, name string) error {
	return s.turn(ctx, v, name, "queue.resume", true, func(tx pgx.Tx) error { return s.river.QueueResumeTx(ctx, tx, name, nil) })
}

// turn does nothing to a queue that is already as wanted.
func (s *Service) turn(ctx context.Context, v app.Viewer, name, action string, wasPaused bool, deed func(tx pgx.Tx) error) error {
	if err := access.Check(v, "jobs", "edit"); err != nil {
		return err
	}
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		pausedAt, err := lockQueue(ctx, tx, name)
		if err != nil {
			return fmt.Errorf("lock a queue: %w", err)
		}
		if (pausedAt != nil) != wasPaused {
			return nil
		}
		if err := deed(tx); err != nil {
			return fmt.Errorf("%s of %s: %w", action, name, err)
		}
		if err := audit.Record(ctx, tx, v, audit.Entry{Action: action, ObjectType: "queue", ObjectID: name, ObjectName: name}); err != nil {
			return err
		}
		return live.Notify(ctx, tx, Topic)
	})
}
