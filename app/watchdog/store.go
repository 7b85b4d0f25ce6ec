package watchdog

import (
	"context"
	"time"

	"portico/app/db"

	"github.com/jackc/pgx/v5"
)

// found is what a query counted.
type found struct {
	Name  string
	Since *time.Time
	Count int
}

// most is where counting ends.
const most = 10_000

// working tells whether some process works jobs: of those that do, one always leads. since is when the last one's lead ran
// out, nil where it gave the lead back.
func working(ctx context.Context, conn db.Conn) (is bool, since *time.Time, err error) {
	err = conn.QueryRow(ctx, "select coalesce(bool_or(expires_at > now()), false), max(expires_at) from river_leader").Scan(&is, &since)
	return is, since, err
}

// running counts jobs that began longer ago than limit and have not ended.
func running(ctx context.Context, conn db.Conn, limit time.Duration) (found, error) {
	return db.One[found](ctx, conn, `
		select '' as name, min(attempted_at) as since, count(*)::int as count from river_job
		where state = 'running' and attempted_at < now() - $1::interval`, limit)
}

// waiting counts, by queue, the jobs that have been due for longer than the queue's limit. A job whose time has come but which
// River has not moved on counts as well. names and limits are the queues that differ.
func waiting(ctx context.Context, conn db.Conn, limit time.Duration, names []string, limits []time.Duration) ([]found, error) {
	return db.All[found](ctx, conn, `
		with recursive hop as (
			select s.state, (select j.queue from river_job j where j.state = s.state order by j.queue limit 1) as name
			from unnest('{available,scheduled,retryable}'::river_job_state[]) as s (state)
			union all
			select hop.state, (select j.queue from river_job j where j.state = hop.state and j.queue > hop.name order by j.queue limit 1)
			from hop where hop.name is not null
		),
		queues as (
			select distinct hop.name, coalesce(own.patience, $1::interval) as patience
			from hop left join unnest($2::text[], $3::interval[]) as own (name, patience) on own.name = hop.name
			where hop.name is not null
		)
		select q.name, late.since, late.count from queues q, lateral (
			select min(scheduled_at) as since, count(*)::int as count from (
				select j.scheduled_at from river_job j cross join generate_series(1, 4) as p (priority)
				where j.state in ('available', 'scheduled', 'retryable') and j.queue = q.name and j.priority = p.priority
				and j.scheduled_at < now() - q.patience
				order by j.scheduled_at limit $4) as oldest) as late
		where late.count > 0 order by q.name`, limit, names, limits, most)
}

// failed counts jobs that gave up within window. A mail that its server refused is the business of its recipient: mails have
// causes of their own.
func failed(ctx context.Context, conn db.Conn, window time.Duration) (found, error) {
	return db.One[found](ctx, conn, `
		select '' as name, min(finalized_at) as since, count(*)::int as count from (
			(select finalized_at from river_job where state = 'discarded' and finalized_at > now() - $1::interval order by finalized_at limit $2)
			union all
			(select finalized_at from river_job where state = 'cancelled' and finalized_at > now() - $1::interval
				and not metadata ? 'cancel_attempted_at' and kind <> 'deliver_mail' order by finalized_at limit $2)) as recent`, window, most)
}

// mailsWaiting counts mails that were queued longer ago than limit and have not gone out.
func mailsWaiting(ctx context.Context, conn db.Conn, limit time.Duration) (found, error) {
	return db.One[found](ctx, conn, `
		select '' as name, min(created_at) as since, count(*)::int as count from (
			select created_at from mail_deliveries
			where status in ('queued', 'sending', 'retrying') and created_at < now() - $1::interval order by created_at limit $2) as late`, limit, most)
}

// mailsFailing counts the attempts within window since the last mail that was taken, and of how many mails they were.
func mailsFailing(ctx context.Context, conn db.Conn, window time.Duration) (attempts, mails int, since *time.Time, err error) {
	err = conn.QueryRow(ctx, `
		with recent as (
			select delivery_id, finished_at, outcome from mail_attempts where finished_at > now() - $1::interval order by finished_at desc limit $2
		)
		select count(*)::int, count(distinct delivery_id)::int, min(finished_at) from recent
		where finished_at > coalesce((select max(finished_at) from recent where outcome = 'accepted'), '-infinity')`, window, most).
		Scan(&attempts, &mails, &since)
	return attempts, mails, since, err
}

// connections counts those of all programs, and those there may be.
func connections(ctx context.Context, conn db.Conn) (used, allowed int, err error) {
	err = conn.QueryRow(ctx, `
		select (select count(*) from pg_stat_activity where backend_type = 'client backend')::int,
			current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int`).Scan(&used, &allowed)
	return used, allowed, err
}

// claim notes that admins are told of a cause now. ok is false where they were less than pause ago, by whichever process: of two
// that ask at once, the second waits for the first.
func claim(ctx context.Context, tx pgx.Tx, cause string, pause time.Duration) (at time.Time, ok bool, err error) {
	rows, err := tx.Query(ctx, `
		insert into watchdog_alerts (cause, told_at) values ($1, now())
		on conflict (cause) do update set told_at = excluded.told_at where watchdog_alerts.told_at <= excluded.told_at - $2::interval
		returning told_at`, cause, pause)
	if err != nil {
		return at, false, err
	}
	times, err := pgx.CollectRows(rows, pgx.RowTo[time.Time])
	if err != nil || len(times) == 0 {
		return at, false, err
	}
	return times[0], true, nil
}

// admin is whom to tell.
type admin struct {
	ID       string
	Name     string
	Email    string
	Language string
	TimeZone string
}

func admins(ctx context.Context, conn db.Conn) ([]admin, error) {
	return db.All[admin](ctx, conn, "select id, name, email, language, time_zone from users where role = 'admin' and disabled_at is null order by id")
}
