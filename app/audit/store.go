package audit

import (
	"context"
	"fmt"
	"strings"

	"portico/app/db"

	"github.com/jackc/pgx/v5"
)

// fewNames is up to how many names a person's filter may match and still be answered from the index of names.
const fewNames = 100

// entries lists up to limit entries, newest first, older than the one with id before (0: from the newest on).
func entries(ctx context.Context, conn db.Conn, f Filter, before int64, limit int) ([]Recorded, error) {
	var names []string
	if f.Person != "" {
		var err error
		if names, err = matching(ctx, conn, f.Person, fewNames+1); err != nil || len(names) == 0 {
			return nil, err
		}
	}
	sql, args := query(f, names, before, limit)
	return db.All[Recorded](ctx, conn, sql, args...)
}

// query is the statement of entries. names are those that f.Person matches, or more than fewNames of them.
func query(f Filter, names []string, before int64, limit int) (sql string, args []any) {
	var where []string
	add := func(condition string, value any) {
		args = append(args, value)
		where = append(where, strings.ReplaceAll(condition, "?", fmt.Sprintf("$%d", len(args))))
	}
	if before > 0 {
		add("(at, id) < ((select at from audit_entries where id = ?), ?)", before)
	}
	if f.Action != "" {
		add("action = ?", f.Action)
	}
	if f.ObjectType != "" {
		add("object_type = ?", f.ObjectType)
	}
	if f.AccountID != "" {
		add("account_id = ?", f.AccountID)
	}
	if f.Text != "" {
		add(`concat_ws(E'\n', actor_name, as_name, action, object_name, object_id, ip, request_id, details) ilike ?`, db.Contains(f.Text))
	}
	if !f.From.IsZero() {
		add("at >= ?", f.From)
	}
	if !f.To.IsZero() {
		add("at < ?", f.To)
	}
	switch {
	case f.Person == "":
	case len(names) > fewNames: // so many that their entries are never far
		add("(actor_name ilike ? or as_name ilike ?)", db.Contains(f.Person))
	default:
		add("(actor_name = any(?) or as_name <> '' and as_name = any(?))", names)
	}
	if len(where) == 0 {
		where = []string{"true"}
	}
	// Which index is best depends on the values: the statement is planned with them each time, not once for all.
	return fmt.Sprintf(`
		select id, at, actor_name, as_name, action, object_type, object_id, object_name, ip, request_id, run_id, details
		from audit_entries where %s order by at desc, id desc limit %d`, strings.Join(where, " and "), limit),
		append([]any{pgx.QueryExecModeCacheDescribe}, args...)
}

// matching lists up to limit names, of who acted or as whom, that hold a text. No index finds a part of a name, but there are
// far fewer names than entries.
func matching(ctx context.Context, conn db.Conn, text string, limit int) ([]string, error) {
	type row struct{ Value string }
	rows, err := db.All[row](ctx, conn, fmt.Sprintf(`
		with recursive %s, %s
		select value from (select value from actors union all select value from stood_in) found where value ilike $1 limit %d`,
		hop("actors", "actor_name", "true"), hop("stood_in", "as_name", "as_name <> ''"), limit), db.Contains(text))
	names := make([]string, len(rows))
	for i, r := range rows {
		names[i] = r.Value
	}
	return names, err
}

// hop is a common table expression, called name, of the different values of a column that begins an index: it goes from one
// value to the next, so its cost grows with the number of values, not with that of entries. A null ends it. condition is that
// of the index, if it is a partial one.
func hop(name, column, condition string) string {
	return strings.NewReplacer("NAME", name, "COLUMN", column, "CONDITION", condition).Replace(`NAME as (
			(select COLUMN as value from audit_entries where CONDITION order by COLUMN limit 1)
			union all
			select (select COLUMN from audit_entries where CONDITION and COLUMN > NAME.value order by COLUMN limit 1)
			from NAME where NAME.value is not null
		)`)
}

// distinct lists what stands in a column that begins an index. column is never a person's input.
func distinct(ctx context.Context, conn db.Conn, column string) ([]string, error) {
	type row struct{ Value string }
	rows, err := db.All[row](ctx, conn, "with recursive "+hop("present", column, "true")+" select value from present where value is not null order by value")
	values := make([]string, len(rows))
	for i, r := range rows {
		values[i] = r.Value
	}
	return values, err
}
