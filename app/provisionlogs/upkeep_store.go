package provisionlogs

import (
	"context"
	"fmt"
	"time"

	"portico/app/db"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// monthsAhead is how many months have their partitions before they begin.
const monthsAhead = 2

// makeMonths makes partitions that lack. It waits for running queries no longer than lockWait, and comes again.
func makeMonths(ctx context.Context, pool *pgxpool.Pool) error {
	return db.InTx(ctx, pool, func(tx pgx.Tx) error {
		var lacks bool
		if err := tx.QueryRow(ctx, `select exists (select from generate_series(0, $1) as n
			where to_regclass(to_char(now() at time zone 'UTC' + n * interval '1 month', '"provision_runs_"YYYY"_"MM')) is null)`, monthsAhead).Scan(&lacks); err != nil || !lacks {
			return err
		}
		if _, err := tx.Exec(ctx, lockWait); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "select provision_month(now() + n * interval '1 month') from generate_series(0, $1::int) as n", monthsAhead)
		return err
	})
}

// lockWait keeps a change of partitions from holding up everything behind a long query.
const lockWait = "set local lock_timeout = '2s'"

// foldCounts adds up to limit changes to the counts, and returns how many it took.
func foldCounts(ctx context.Context, pool *pgxpool.Pool, limit int) (taken int, err error) {
	err = db.InTx(ctx, pool, func(tx pgx.Tx) error {
		// One at a time: two would lock the same counts in different orders.
		if _, err := tx.Exec(ctx, "select pg_advisory_xact_lock(hashtext('provision_counts'))"); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `
			with taken as (
				delete from provision_count_changes where id in (select id from provision_count_changes order by id limit $1)
				returning minute, status, category, action, driver, runs),
			minutes as (select minute, status, category, action, driver, sum(runs) as runs from taken group by 1, 2, 3, 4, 5),
			all_of as (
				select minute, status, category, action, driver, runs from minutes
				union all select minute, status, '', '', '', sum(runs) from minutes group by 1, 2),
			added as (
				insert into provision_counts (slot, at, status, category, action, driver, runs)
				select slot, date_trunc(case slot when 1 then 'minute' when 60 then 'hour' else 'day' end, minute, 'UTC'), status, category, action, driver, sum(runs)
				from all_of, unnest(array[1, 60, 1440]) as slot group by 1, 2, 3, 4, 5, 6
				on conflict (slot, category, action, driver, at, status) do update set runs = provision_counts.runs + excluded.runs)
			select count(*)::int from taken`, limit).Scan(&taken)
	})
	return taken, err
}

// clearChanges throws away the notes of changes that every open page had time to ask for: those of transactions that had ended
// when a mark was set that is now older than keep.
func clearChanges(ctx context.Context, pool *pgxpool.Pool, keep time.Duration) error {
	return db.InTx(ctx, pool, func(tx pgx.Tx) error {
		batch := &pgx.Batch{}
		batch.Queue("insert into provision_change_marks (xid) values (pg_snapshot_xmin(pg_current_snapshot())) on conflict do nothing")
		batch.Queue(`update provision_changes_kept set xid = greatest(xid, coalesce((select max(xid) from provision_change_marks where at < clock_timestamp() - $1::interval), xid))`, keep)
		batch.Queue("delete from provision_changes where xid < (select xid from provision_changes_kept)")
		batch.Queue("delete from provision_change_marks where xid < (select xid from provision_changes_kept)")
		return tx.SendBatch(ctx, batch).Close()
	})
}

// debugAtOnce is how many rows of debug data go in one transaction.
const debugAtOnce = 2000

// dropOld drops the months that lie before the kept ones whole, and debug data by the day. It returns the tables it dropped.
func dropOld(ctx context.Context, pool *pgxpool.Pool, keep Keep, now time.Time) (dropped []string, err error) {
	month := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC).AddDate(0, -keep.Months, 0)
	debug := now.AddDate(0, 0, -keep.DebugDays)
	tables, err := db.All[struct {
		Name  string
		Debug bool
	}](ctx, pool, `
		select c.relname as name, p.relname = 'provision_debug' as debug
		from pg_inherits i join pg_class c on c.oid = i.inhrelid join pg_class p on p.oid = i.inhparent
		where p.relname in ('provision_runs', 'provision_attempts', 'provision_debug') and c.relname ~ '_[0-9]{4}_[0-9]{2}$'
			and to_date(right(c.relname, 7), 'YYYY_MM') < case p.relname when 'provision_debug' then greatest($1::date, date_trunc('month', $2::timestamptz, 'UTC')::date) else $1::date end
		order by 1`, month, debug)
	if err != nil {
		return nil, fmt.Errorf("list the months of the logs: %w", err)
	}
	for _, table := range tables {
		err := db.InTx(ctx, pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, lockWait); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, "drop table "+pgx.Identifier{table.Name}.Sanitize())
			return err
		})
		if err != nil {
			return dropped, fmt.Errorf("drop %s: %w", table.Name, err)
		}
		dropped = append(dropped, table.Name)
	}
	for _, old := range []struct {
		sql  string
		from time.Time
	}{
		{"delete from provision_debug where ctid = any(array(select ctid from provision_debug where run_id < provision_id_from($1::timestamptz) limit $2)) and run_id < provision_id_from($1)", debug},
		{"delete from provision_runs_rest where id in (select id from provision_runs_rest where id < provision_id_from($1::timestamptz) limit $2)", month},
		{"delete from provision_attempts_rest where run_id in (select run_id from provision_attempts_rest where run_id < provision_id_from($1::timestamptz) limit $2)", month},
		{"delete from provision_counts where (slot, category, action, driver, at, status) in (select slot, category, action, driver, at, status from provision_counts where at < $1::timestamptz limit $2)", month},
	} {
		for {
			tag, err := pool.Exec(ctx, old.sql, old.from, debugAtOnce)
			if err != nil {
				return dropped, fmt.Errorf("throw old logs away: %w", err)
			}
			if tag.RowsAffected() == 0 {
				break
			}
		}
	}
	return dropped, nil
}

func keepSettings(ctx context.Context, conn db.Conn) (Keep, error) {
	return db.One[Keep](ctx, conn, "select months, debug_days from log_settings")
}

func saveKeep(ctx context.Context, conn db.Conn, keep Keep) error {
	_, err := conn.Exec(ctx, "update log_settings set months = $1, debug_days = $2", keep.Months, keep.DebugDays)
	return err
}

// keptFilters lists a user's own filters and the shared ones, by name.
func keptFilters(ctx context.Context, conn db.Conn, userID string) ([]Kept, error) {
	return db.All[Kept](ctx, conn, `
		select f.id, f.name, f.query, f.shared, f.user_id = $1 as own, u.name as owner
		from log_filters f join users u on u.id = f.user_id where f.user_id = $1 or f.shared order by lower(f.name), f.id limit 200`, userID)
}

func insertKept(ctx context.Context, conn db.Conn, userID, name, query string, shared bool) (id string, err error) {
	err = conn.QueryRow(ctx, `
		insert into log_filters (user_id, name, query, shared) values ($1, $2, $3, $4)
		on conflict (user_id, lower(name)) do update set query = excluded.query, shared = excluded.shared, name = excluded.name returning id`,
		userID, name, query, shared).Scan(&id)
	return id, err
}

func countKept(ctx context.Context, conn db.Conn, userID string) (n int, err error) {
	err = conn.QueryRow(ctx, "select count(*)::int from log_filters where user_id = $1", userID).Scan(&n)
	return n, err
}

// deleteKept deletes a filter of the user's, or with all a shared one of anybody's, and returns its name or app.ErrNotFound.
func deleteKept(ctx context.Context, conn db.Conn, id, userID string, all bool) (string, error) {
	row, err := db.One[struct{ Name string }](ctx, conn, "delete from log_filters where id = $1 and (user_id = $2 or $3 and shared) returning name", id, userID, all)
	return row.Name, err
}

const alertColumns = "id, name, query, more_than, minutes, to_char(quiet_from, 'HH24:MI') as quiet_from, to_char(quiet_to, 'HH24:MI') as quiet_to, told_at"

func alerts(ctx context.Context, conn db.Conn) ([]Alert, error) {
	return db.All[Alert](ctx, conn, "select "+alertColumns+" from log_alerts order by lower(name), id limit 100")
}

func insertAlert(ctx context.Context, conn db.Conn, a Alert) (id string, err error) {
	err = conn.QueryRow(ctx, `
		insert into log_alerts (name, query, more_than, minutes, quiet_from, quiet_to) values ($1, $2, $3, $4, $5::text::time, $6::text::time) returning id`,
		a.Name, a.Query, a.MoreThan, a.Minutes, a.QuietFrom, a.QuietTo).Scan(&id)
	return id, err
}

func deleteAlert(ctx context.Context, conn db.Conn, id string) (string, error) {
	row, err := db.One[struct{ Name string }](ctx, conn, "delete from log_alerts where id = $1 returning name", id)
	return row.Name, err
}

// claimAlert notes that admins are told now. ok is false where they were told less than pause ago.
func claimAlert(ctx context.Context, tx pgx.Tx, id string, pause time.Duration) (ok bool, err error) {
	tag, err := tx.Exec(ctx, "update log_alerts set told_at = now() where id = $1 and (told_at is null or told_at <= now() - $2::interval)", id, pause)
	return err == nil && tag.RowsAffected() == 1, err
}

// countSince counts the runs that match a filter and began after a moment, or failed then if the filter is of failed ones. It stops
// at limit.
func countSince(ctx context.Context, pool *pgxpool.Pool, f Filter, since time.Time, limit int) (n int, err error) {
	failed := f.Is[FieldStatus] == "failed"
	if !failed {
		f.From, f.To = since, time.Time{}
	} else {
		f.From, f.To = time.Time{}, time.Time{}
	}
	p, err := planOf(ctx, pool, f)
	if err != nil {
		return 0, err
	}
	all := append(append([]condition{p.drive}, p.bounds...), p.rest...)
	if failed {
		all = append(all, condition{"r.status = 'failed' and r.finished_at >= ?", []any{since}})
	}
	err = db.InTx(ctx, pool, func(tx pgx.Tx) error {
		if err := hurry(ctx, tx, 10*time.Second); err != nil {
			return err
		}
		sql, args := where(nil, all...)
		return tx.QueryRow(ctx, fmt.Sprintf("select count(*)::int from (select from provision_runs r where %s limit %d) as c", sql, limit), args...).Scan(&n)
	})
	return n, err
}

// person is who is told of an alert.
type person struct {
	ID       string
	Name     string
	Email    string
	Language string
	TimeZone string
}

func admins(ctx context.Context, conn db.Conn) ([]person, error) {
	return db.All[person](ctx, conn, "select id, name, email, language, time_zone from users where role = 'admin' and disabled_at is null order by id")
}

func storeZone(ctx context.Context, conn db.Conn) (zone string, err error) {
	err = conn.QueryRow(ctx, "select time_zone from store").Scan(&zone)
	return zone, err
}
