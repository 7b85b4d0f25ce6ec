package jobs

import (
	"context"
	"log/slog"
	"time"

	"portico/app/live"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
)

// tellEvery is the least time between two words of one process about its jobs.
const tellEvery = time.Second

// Tell makes open pages of jobs (topic "jobs") follow what a started client and others do, until the client stops or ctx ends.
// The end of an attempt is told by River's own events, which forget some under load; new jobs and begun attempts are seen by
// a look at the database that costs two steps in an index. What is missed shows with the next change.
func Tell(ctx context.Context, client *river.Client[pgx.Tx], pool *pgxpool.Pool, logger *slog.Logger) {
	ended, unsubscribe := client.Subscribe(river.EventKindJobCompleted, river.EventKindJobFailed, river.EventKindJobCancelled,
		river.EventKindJobSnoozed, river.EventKindQueuePaused, river.EventKindQueueResumed)
	defer unsubscribe()
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	changed, before := false, ""
	for {
		select {
		case <-ctx.Done():
			return
		case _, open := <-ended:
			if !open {
				return
			}
			changed = true
		case <-tick.C:
			var now string
			err := pool.QueryRow(ctx, `select format('%s %s', (select last_value from river_job_id_seq),
				(select string_agg(id || '/' || attempt, ' ' order by id) from river_job where state = 'running'))`).Scan(&now)
			if err == nil && (changed || now != before) {
				before, changed = now, false
				err = live.Notify(ctx, pool, "jobs")
			}
			if err != nil && ctx.Err() == nil {
				logger.WarnContext(ctx, "open pages are not told of jobs", "error", err)
			}
		}
	}
}
