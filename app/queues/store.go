package queues

import (
	"context"
	"fmt"
	"strings"
	"time"

	"portico/app/db"
)

// River's states are about its own doing. A retry that is due within seconds is "available" there like a fresh job, so what
// was tried before is told by the attempt; and a job that its own worker gave up is "cancelled" like one that a person
// cancelled, of which River notes the moment in the metadata.
const stateSQL = `case
	when state = 'running' then 'running'
	when state = 'completed' then 'succeeded'
	when state = 'discarded' or state = 'cancelled' and not metadata ? 'cancel_attempted_at' then 'failed'
	when state = 'cancelled' then 'cancelled'
	when attempt > 0 then 'retrying'
	else 'queued' end`

// stateConditions are stateSQL turned round, so that each finds its jobs by River's indexes, which begin with the state.
var stateConditions = map[State]string{
	Queued:    "state in ('available', 'scheduled', 'pending', 'retryable') and attempt = 0",
	Running:   "state = 'running'",
	Retrying:  "state in ('available', 'scheduled', 'pending', 'retryable') and attempt > 0",
	Succeeded: "state = 'completed'",
	Failed:    failedSQL,
	Cancelled: "state = 'cancelled' and metadata ? 'cancel_attempted_at'",
}

const failedSQL = "(state = 'discarded' or state = 'cancelled' and not metadata ? 'cancel_attempted_at')"

const jobColumns = `id as number, kind, queue, ` + stateSQL + ` as state, attempt, max_attempts, created_at, scheduled_at, attempted_at,
	finalized_at, state = 'running' and metadata ? 'cancel_attempted_at' as stopping`

// which narrows a list: to the failed ones, to all others, or not at all.
type which int

const (
	all which = iota
	onlyFailed
	onlyOthers
)

// few is how many jobs of a queue or kind are rather sorted than looked for among all jobs, newest first. For the many of a
// common one it is the other way round, and PostgreSQL can't know which: it takes the rare to be spread evenly.
const few = 2000

// list returns up to limit jobs, newest first, older than the one with number before (0: from the newest on).
func list(ctx context.Context, conn db.Conn, f Filter, which which, before int64, limit int) ([]Job, error) {
	var named []string
	var args []any
	add := func(where *[]string, condition string, value any) {
		args = append(args, value)
		*where = append(*where, fmt.Sprintf(condition, len(args)))
	}
	if f.Queue != "" {
		// Every state, so that the index that begins with the state is of use.
		add(&named, "state = any (enum_range(null::river_job_state)) and queue = $%d", f.Queue)
	}
	if f.Kind != "" {
		add(&named, "kind = $%d", f.Kind)
	}
	sql, from := "", "river_job"
	if len(named) > 0 {
		condition := strings.Join(named, " and ")
		var count int
		if err := conn.QueryRow(ctx, fmt.Sprintf("select count(*) from (select from river_job where %s limit %d) as found", condition, few), args...).Scan(&count); err != nil {
			return nil, err
		}
		if count < few {
			sql, from, named = "with named as materialized (select * from river_job where "+condition+") ", "named", nil
		}
	}
	where := named
	if before > 0 {
		add(&where, "id < $%d", before)
	}
	if f.State != "" {
		where = append(where, stateConditions[f.State])
	}
	switch which {
	case onlyFailed:
		where = append(where, failedSQL)
	case onlyOthers:
		where = append(where, "not "+failedSQL)
	}
	sql += "select " + jobColumns + " from " + from
	if len(where) > 0 {
		sql += " where " + strings.Join(where, " and ")
	}
	return db.All[Job](ctx, conn, fmt.Sprintf("%s order by id desc limit %d", sql, limit), args...)
}

func jobByNumber(ctx context.Context, conn db.Conn, number int64) (Details, error) {
	return db.One[Details](ctx, conn, "select "+jobColumns+", args, coalesce(to_jsonb(errors), '[]') as errors from river_job where id = $1", number)
}

// lockJob is jobByNumber for writers: no worker takes the job until the transaction ends.
func lockJob(ctx context.Context, conn db.Conn, number int64) (Details, error) {
	if _, err := conn.Exec(ctx, "select from river_job where id = $1 for update", number); err != nil {
		return Details{}, err
	}
	return jobByNumber(ctx, conn, number)
}

// queues lists every queue that a process worked within the last day, or that unfinished or failed jobs stand in. Its cost
// does not grow with the number of finished jobs: names are found by hopping along the index from one to the next, waiting
// jobs are counted up to a limit, failures by the index of when they happened.
func queues(ctx context.Context, conn db.Conn) ([]Queue, error) {
	return db.All[Queue](ctx, conn, `
		with recursive hop as (
			select s.state, (select j.queue from river_job j where j.state = s.state order by j.queue limit 1) as name
			from unnest('{available,scheduled,pending,retryable,running,discarded}'::river_job_state[]) as s (state)
			union all
			select hop.state, (select j.queue from river_job j where j.state = hop.state and j.queue > hop.name order by j.queue limit 1)
			from hop where hop.name is not null
		),
		names as (select name from river_queue union select name from hop where name is not null),
		failures as (
			select queue, count(*)::int as count from (
				select queue from river_job where state = 'discarded' and finalized_at > now() - interval '24 hours'
				union all
				select queue from river_job where state = 'cancelled' and finalized_at > now() - interval '24 hours' and not metadata ? 'cancel_attempted_at'
				limit $1) as recent
			group by queue
		)
		select n.name, coalesce(f.count, 0) as failed, q.paused_at, q.name is not null as worked,
			(select count(*)::int from (select from river_job j where j.queue = n.name and `+stateConditions[Queued]+` limit $1) as one) as waiting,
			(select count(*)::int from (select from river_job j where j.queue = n.name and `+stateConditions[Running]+` limit $1) as one) as running,
			(select count(*)::int from (select from river_job j where j.queue = n.name and `+stateConditions[Retrying]+` limit $1) as one) as retrying,
			(select min(first.scheduled_at) from generate_series(1, 4) as p (priority),
				lateral (select j.scheduled_at from river_job j where j.state = 'available' and j.queue = n.name and j.priority = p.priority
					and j.scheduled_at < now() order by j.scheduled_at limit 1) as first) as oldest
		from names n left join river_queue q on q.name = n.name left join failures f on f.queue = n.name
		order by n.name`, Most)
}

// kinds lists the kinds of jobs there are, by hopping along their index.
func kinds(ctx context.Context, conn db.Conn) ([]string, error) {
	type row struct{ Kind string }
	found, err := db.All[row](ctx, conn, `
		with recursive hop as (
			(select kind from river_job order by kind limit 1)
			union all
			select (select j.kind from river_job j where j.kind > hop.kind order by j.kind limit 1) from hop where hop.kind is not null
		)
		select kind from hop where kind is not null order by kind`)
	names := make([]string, len(found))
	for i, f := range found {
		names[i] = f.Kind
	}
	return names, err
}

// lockQueue reads when a queue was paused, nil if it is not, and keeps others from pausing and resuming it meanwhile.
func lockQueue(ctx context.Context, conn db.Conn, name string) (pausedAt *time.Time, err error) {
	row, err := db.One[struct{ PausedAt *time.Time }](ctx, conn, "select paused_at from river_queue where name = $1 for update", name)
	return row.PausedAt, err
}
