package tickets

import (
	"context"
	"time"

	"portico/app/db"

	"github.com/jackc/pgx/v5"
)

// silent is a ticket t that may be warned of, once its department's days are over: the newest post is a reply of the store.
const silent = `t.status = 'staff_replied' and t.silence_closes_at is null
	and (t.last_client_post_at is null or t.last_client_post_at < t.last_post_at)`

// silentIDs finds tickets to be warned of, those that have been silent longest first in each department. Each part reads the index
// tickets_silent from its beginning.
func silentIDs(ctx context.Context, conn db.Conn, limit int) ([]string, error) {
	return idsOf(ctx, conn, `
		(select t.id::text from store s cross join lateral (
			select t.id from tickets t where t.department_id is null and `+silent+`
			and t.last_post_at < now() - s.silence_warn_days * interval '1 day' order by t.last_post_at limit $1) t
		where s.silence_warn_days is not null)
		union all
		(select t.id::text from departments d cross join lateral (
			select t.id from tickets t where t.department_id = d.id and `+silent+`
			and t.last_post_at < now() - d.silence_warn_days * interval '1 day' order by t.last_post_at limit $1) t
		where d.silence_warn_days is not null)`, limit)
}

// warnedIDs finds tickets whose time has come.
func warnedIDs(ctx context.Context, conn db.Conn, limit int) ([]string, error) {
	return idsOf(ctx, conn, `select t.id::text from tickets t where t.status = 'staff_replied' and t.silence_closes_at <= now()
		order by t.silence_closes_at limit $1`, limit)
}

func idsOf(ctx context.Context, conn db.Conn, sql string, args ...any) ([]string, error) {
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// The settings that count for a ticket t: its department's, or the store's.
const (
	warnDays  = "(case when t.department_id is null then (select silence_warn_days from store) else (select silence_warn_days from departments where id = t.department_id) end)"
	closeDays = "(case when t.department_id is null then (select silence_close_days from store) else (select silence_close_days from departments where id = t.department_id) end)"
)

// silentRow is a ticket with a setting. Its relation is the store's.
type silentRow struct {
	Ticket
	Days *int
}

// lockSilent locks one of silentIDs and returns how many days after the warning it closes. app.ErrNotFound if it is none any more,
// or somebody else has it locked and so changes it now.
func lockSilent(ctx context.Context, tx pgx.Tx, id string) (Ticket, int, error) {
	row, err := db.One[silentRow](ctx, tx, "select "+Columns+", '{staff}'::text[] as relations, "+closeDays+` as days from tickets t
		where t.id = $1 and `+silent+" and t.last_post_at < now() - "+warnDays+" * interval '1 day' for update of t skip locked", id)
	if err != nil {
		return Ticket{}, 0, err
	}
	return row.Ticket, *row.Days, nil // the table has both settings or none
}

// lockWarned locks one of warnedIDs and tells whether the settings still close it.
func lockWarned(ctx context.Context, tx pgx.Tx, id string) (t Ticket, on bool, err error) {
	row, err := db.One[silentRow](ctx, tx, "select "+Columns+", '{staff}'::text[] as relations, "+closeDays+` as days from tickets t
		where t.id = $1 and t.status = 'staff_replied' and t.silence_closes_at <= now() for update of t skip locked`, id)
	return row.Ticket, row.Days != nil, err
}

// setClosesAt notes when a silent ticket closes, or with nil that it does not.
func setClosesAt(ctx context.Context, tx pgx.Tx, id string, at *time.Time) error {
	_, err := tx.Exec(ctx, "update tickets set silence_closes_at = $2 where id = $1", id, at)
	return err
}
