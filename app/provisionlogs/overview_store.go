package provisionlogs

import (
	"context"
	"time"

	"portico/app/db"
)

func waiting(ctx context.Context, conn db.Conn) ([]Waiting, error) {
	return db.All[Waiting](ctx, conn, `
		select status, count(*)::int as runs, min(created_at) as oldest
		from (select status, created_at from provision_runs where status in ('queued', 'running', 'retrying') limit $1) as r
		group by status order by array_position(array['queued', 'running', 'retrying'], status)`, maxRows)
}

func speeds(ctx context.Context, conn db.Conn, since time.Time) ([]Speed, error) {
	return db.All[Speed](ctx, conn, `
		select driver, count(*)::int as runs, (count(*) filter (where status = 'failed'))::int as failed,
			coalesce(percentile_disc(0.5) within group (order by duration_ms), 0) as median,
			coalesce(percentile_disc(0.95) within group (order by duration_ms), 0) as slow
		from (select driver, status, duration_ms from provision_runs where id >= provision_id_from($1::timestamptz) order by id desc limit $2) as r
		where duration_ms is not null group by driver order by slow desc, driver limit 10`, since, maxRows)
}

// recentlyFailed are the newest failed runs since a moment.
const recentlyFailed = `(
	select driver, configuration_name, error_family, unknown_outcome, created_at from provision_runs
	where status = 'failed' and id >= provision_id_from($1::timestamptz) order by id desc limit $2) as r`

func failing(ctx context.Context, conn db.Conn, since time.Time) ([]Failing, error) {
	return db.All[Failing](ctx, conn, `
		select driver, configuration_name, count(*)::int as runs, max(created_at) as last_at from `+recentlyFailed+`
		group by 1, 2 order by runs desc, 1, 2 limit 10`, since, maxRows)
}

func families(ctx context.Context, conn db.Conn, since time.Time) ([]Family, error) {
	return db.All[Family](ctx, conn, `
		select case when unknown_outcome then 'unknown' else error_family end as family, count(*)::int as runs from `+recentlyFailed+`
		group by 1 order by runs desc, 1 limit 20`, since, maxRows)
}
