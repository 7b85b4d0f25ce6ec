package provisionlogs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"portico/app/db"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// What one request may read, so that no filter, however rare what it asks for, is slow.
const (
	maxRows = 20_000
	maxTime = 200 * time.Millisecond
	// firstRows and nextRows are how many rows are read at a time. What matches often is found in the first.
	firstRows = 500
	nextRows  = 3900
)

const runColumns = `r.id, r.created_at, r.status, r.unknown_outcome, r.waiting, r.message, r.attempts, r.max_attempts, r.next_at, r.product_id, r.product_name,
	r.account_id, r.account_name, r.category, r.action, r.driver, r.configuration_name, r.actor_id, r.actor_name, r.domain, r.username, r.duration_ms`

// condition is a piece of a where clause, with ? for each argument.
type condition struct {
	sql  string
	args []any
}

// plan is a filter as SQL. drive is the condition whose index gives runs in order; rest has to be looked at row by row; words has
// an index that gives no order.
type plan struct {
	bounds []condition // by the time a run began
	drive  condition
	rest   []condition
	words  string // a tsquery, "" for none
}

// columns of the fields.
var columns = map[string]string{
	FieldStatus: "r.status", FieldCategory: "r.category", FieldAction: "r.action", FieldProvider: "r.driver",
	FieldClient: "r.account_id", FieldProduct: "r.product_id", FieldActor: "r.actor_id",
}

// nameColumns are where a name is looked for.
var nameColumns = map[string][]string{
	FieldClient: {"r.account_name"}, FieldProduct: {"r.domain", "r.product_name"}, FieldActor: {"r.actor_name"},
}

// equals is the condition that a field has a value.
func equals(field, value string) condition {
	if field == FieldActor && value == System {
		return condition{sql: "r.actor_id is null"}
	}
	if named(field) {
		return condition{columns[field] + " = ?::uuid", []any{value}}
	}
	return condition{columns[field] + " = ?", []any{value}}
}

// selective lists fields by how few runs a value of theirs usually has, fewest first.
var selective = []string{FieldProduct, FieldClient, FieldActor, FieldStatus, FieldAction, FieldProvider, FieldCategory}

// planOf turns a filter into conditions. The words of texts are made by the database, as those of the runs were.
func planOf(ctx context.Context, conn db.Conn, f Filter) (plan, error) {
	p := plan{drive: condition{sql: "true"}}
	if !f.From.IsZero() {
		p.bounds = append(p.bounds, condition{"r.id >= provision_id_from(?::timestamptz)", []any{f.From}})
	}
	if !f.To.IsZero() {
		p.bounds = append(p.bounds, condition{"r.id < provision_id_from(?::timestamptz)", []any{f.To}})
	}
	looked := terms(f.Text)
	var names []string // fields
	driven := false
	add := func(field string) {
		value := f.Is[field]
		if value == "" {
			return
		}
		if named(field) && !isID(value) && !(field == FieldActor && value == System) {
			names = append(names, field)
			return
		}
		if !driven {
			p.drive, driven = equals(field, value), true
			return
		}
		p.rest = append(p.rest, equals(field, value))
	}
	for _, field := range selective {
		if field == FieldStatus && f.Is[field] == "succeeded" {
			continue // most runs do
		}
		add(field)
	}
	if f.Is[FieldStatus] == "succeeded" {
		add(FieldStatus)
	}
	for _, field := range fields {
		for _, value := range f.Not[field] {
			is := equals(field, value)
			p.rest = append(p.rest, condition{"(" + is.sql + ") is not true", is.args})
		}
	}
	if len(looked)+len(names) == 0 {
		return p, nil
	}
	if len(looked) == 1 && isID(strings.ToLower(looked[0].text)) {
		p.rest, p.drive = append(p.rest, p.drive), condition{"r.id = ?::uuid", []any{strings.ToLower(looked[0].text)}}
		looked = nil
	}
	texts := make([]string, 0, len(looked)+len(names))
	for _, t := range looked {
		texts = append(texts, t.text)
	}
	for _, field := range names {
		texts = append(texts, f.Is[field])
	}
	var folded []string
	if err := conn.QueryRow(ctx, "select array_agg(provision_words(t) order by n) from unnest($1::text[]) with ordinality as u (t, n)", texts).Scan(&folded); err != nil {
		return plan{}, fmt.Errorf("make words of a text: %w", err)
	}
	var words []string
	for i, text := range folded {
		for _, word := range strings.Fields(text) {
			word = "'" + word + "'"
			if i >= len(looked) || !looked[i].exact {
				word += ":*"
			}
			words = append(words, word)
		}
	}
	for i, field := range names {
		begins := strings.TrimSpace(folded[len(looked)+i]) + "%"
		var either []string
		var args []any
		for _, column := range nameColumns[field] {
			either = append(either, "btrim(provision_words("+column+")) like ?")
			args = append(args, begins)
		}
		p.rest = append(p.rest, condition{"(" + strings.Join(either, " or ") + ")", args})
	}
	if p.words = strings.Join(words, " & "); p.words == "" && f.Text != "" && len(looked) > 0 {
		p.rest = append(p.rest, condition{sql: "false"}) // nothing but signs
	}
	if p.words != "" {
		p.rest = append(p.rest, condition{"r.search @@ to_tsquery('simple', ?)", []any{p.words}})
	}
	return p, nil
}

// where joins conditions and numbers their arguments, which follow args.
func where(args []any, all ...condition) (string, []any) {
	sql := "true"
	for _, c := range all {
		sql += " and "
		next := 0
		for _, b := range []byte(c.sql) {
			if b != '?' {
				sql += string(b)
				continue
			}
			args = append(args, c.args[next])
			next++
			sql += fmt.Sprintf("$%d", len(args))
		}
	}
	return sql, args
}

// older is the condition that comes after a key.
func older(before string) condition {
	if before == "" {
		return condition{sql: "true"}
	}
	return condition{"r.id < ?::uuid", []any{before}}
}

// list returns up to want runs that match, newest first, that come after a key. It reads maxRows rows at most, or for maxTime, and
// then says that it could go further.
func list(ctx context.Context, pool *pgxpool.Pool, f Filter, before string, want int) (Page, error) {
	p, err := planOf(ctx, pool, f)
	if err != nil {
		return Page{}, err
	}
	began := time.Now()
	page := Page{}
	if len(p.rest) == 0 {
		page.Runs, err = between(ctx, pool, p, before, "", want+1)
		return page.cut(want), err
	}
	words := p.words != ""
	for read, rows := 0, firstRows; ; rows = nextRows {
		edge, err := nth(ctx, pool, p, before, rows)
		if err != nil {
			return Page{}, err
		}
		runs, err := between(ctx, pool, p, before, edge, want+1-len(page.Runs))
		if err != nil {
			return Page{}, err
		}
		page.Runs = append(page.Runs, runs...)
		read += rows
		if edge == "" || len(page.Runs) > want {
			return page.cut(want), nil
		}
		before = edge
		if words && (want+1)*read > len(page.Runs)*maxRows {
			// Too few among the newest to fill the page by reading on: then it is rare enough for the index of words, which finds
			// all of them at once.
			words = false
			runs, all, err := byWords(ctx, pool, p, before, want+1-len(page.Runs))
			if err != nil {
				return Page{}, err
			}
			if all {
				page.Runs = append(page.Runs, runs...)
				return page.cut(want), nil
			}
		}
		if read >= maxRows || time.Since(began) > maxTime {
			page.Next, page.Further = before, true
			return page, nil
		}
	}
}

// cut leaves want runs, and says where the next page begins if there are more.
func (p Page) cut(want int) Page {
	if len(p.Runs) > want {
		p.Runs = p.Runs[:want]
		p.Next = p.Runs[want-1].ID
	}
	return p
}

// nth is the id of the nth run in order that the plan's index gives after a key, or "" if there are fewer.
func nth(ctx context.Context, conn db.Conn, p plan, before string, n int) (string, error) {
	sql, args := where(nil, append([]condition{p.drive, older(before)}, p.bounds...)...)
	var id string
	err := conn.QueryRow(ctx, fmt.Sprintf("select r.id::text from provision_runs r where %s order by r.id desc offset %d limit 1", sql, n-1), args...).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	return id, err
}

// between returns the newest runs that match, from one id, if there is one, to before another.
func between(ctx context.Context, conn db.Conn, p plan, before, edge string, limit int) ([]Run, error) {
	all := append([]condition{p.drive, older(before)}, p.bounds...)
	if edge != "" {
		all = append(all, condition{"r.id >= ?::uuid", []any{edge}})
	}
	sql, args := where(nil, append(all, p.rest...)...)
	return db.All[Run](ctx, conn, fmt.Sprintf("select %s from provision_runs r where %s order by r.id desc limit %d", runColumns, sql, limit), args...)
}

// byWords finds the newest runs that match by the index of words, which gives no order: all that match are read, if they are not
// too many. all is false if they are, or if it takes too long.
func byWords(ctx context.Context, pool *pgxpool.Pool, p plan, before string, limit int) (runs []Run, all bool, err error) {
	err = db.InTx(ctx, pool, func(tx pgx.Tx) error {
		if err := hurry(ctx, tx, maxTime/2); err != nil {
			return err
		}
		// Else a planner that takes the words for common would read everything in order.
		if _, err := tx.Exec(ctx, "set local enable_seqscan = off; set local enable_indexscan = off; set local enable_indexonlyscan = off"); err != nil {
			return err
		}
		sql, args := where(nil, append(append([]condition{p.drive, older(before)}, p.bounds...), p.rest...)...)
		found, err := tx.Query(ctx, fmt.Sprintf("select r.id from provision_runs r where %s limit %d", sql, maxRows+1), args...)
		if err != nil {
			return err
		}
		ids, err := pgx.CollectRows(found, pgx.RowTo[string])
		if err != nil {
			return err
		}
		if len(ids) > maxRows {
			return nil
		}
		all = true
		if _, err := tx.Exec(ctx, "set local enable_indexscan = on"); err != nil {
			return err
		}
		runs, err = db.All[Run](ctx, tx, fmt.Sprintf("select %s from provision_runs r where r.id = any($1::uuid[]) order by r.id desc limit %d", runColumns, limit), newest(ids, limit))
		return err
	})
	if late(err) {
		return nil, false, nil
	}
	return runs, all && err == nil, err
}

// newest are the n greatest ids.
func newest(ids []string, n int) []string {
	slices.SortFunc(ids, func(a, b string) int { return strings.Compare(b, a) })
	return ids[:min(len(ids), n)]
}

// hurry ends the transaction's queries after a time; late tells the error.
func hurry(ctx context.Context, tx pgx.Tx, d time.Duration) error {
	_, err := tx.Exec(ctx, fmt.Sprintf("set local statement_timeout = %d", d.Milliseconds()))
	return err
}

func late(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "57014"
}

// snapshot is what has committed by now.
func snapshot(ctx context.Context, conn db.Conn) (string, error) {
	var text string
	err := conn.QueryRow(ctx, "select pg_current_snapshot()::text").Scan(&text)
	return text, err
}

// maxChanges is how many changed runs are told in pieces, and maxNotes how many notes of changes are read for that: a run changes a few
// times. More come only to a page that was away.
const (
	maxChanges = 2000
	maxNotes   = 5 * maxChanges
)

// changes finds the runs that changed since a snapshot, whatever the order in which their transactions committed.
func changes(ctx context.Context, conn db.Conn, f Filter, since string) (Changes, error) {
	now, err := snapshot(ctx, conn)
	if err != nil {
		return Changes{}, err
	}
	found := Changes{Snapshot: now}
	var kept bool
	var notes int
	var ids []string
	err = conn.QueryRow(ctx, `
		with notes as materialized (
			select run_id from provision_changes
			where xid >= pg_snapshot_xmin($1::pg_snapshot) and not pg_visible_in_snapshot(xid, $1::pg_snapshot) limit $2)
		select pg_snapshot_xmin($1::pg_snapshot) >= (select xid from provision_changes_kept),
			(select count(*)::int from notes), array(select distinct run_id::text from notes)`,
		since, maxNotes+1).Scan(&kept, &notes, &ids)
	if err != nil {
		return Changes{}, err
	}
	if !kept || notes > maxNotes || len(ids) > maxChanges {
		found.Reset = true
		return found, nil
	}
	if len(ids) == 0 {
		return found, nil
	}
	p, err := planOf(ctx, conn, f)
	if err != nil {
		return Changes{}, err
	}
	sql, args := where(nil, append(append([]condition{{"r.id = any(?::uuid[])", []any{ids}}, p.drive}, p.bounds...), p.rest...)...)
	found.Runs, err = db.All[Run](ctx, conn, fmt.Sprintf("select %s from provision_runs r where %s order by r.id desc", runColumns, sql), args...)
	if err != nil {
		return Changes{}, err
	}
	match := map[string]bool{}
	for _, run := range found.Runs {
		match[run.ID] = true
	}
	for _, id := range ids {
		if !match[id] {
			found.Gone = append(found.Gone, id)
		}
	}
	return found, nil
}

// tally is how many runs of a status began in the time of a bar; the first bar is 0.
type tally struct {
	Bar    int
	Status string
	Runs   int
}

// countBars counts what the filter means in bars of a histogram, from the counts that are kept.
func countBars(ctx context.Context, conn db.Conn, f Filter, start, end time.Time, step time.Duration) ([]tally, error) {
	slot := 1
	switch {
	case step%(24*time.Hour) == 0:
		slot = 1440
	case step%time.Hour == 0:
		slot = 60
	}
	deltas := condition{sql: "true"}
	for _, field := range []string{FieldStatus, FieldCategory, FieldAction, FieldProvider} {
		column := strings.TrimPrefix(columns[field], "r.")
		for _, value := range f.Not[field] {
			deltas = condition{deltas.sql + " and " + column + " <> ?", append(deltas.args, value)}
		}
		if value := f.Is[field]; value != "" {
			deltas = condition{deltas.sql + " and " + column + " = ?", append(deltas.args, value)}
		}
	}
	sums := "category = '' and action = '' and driver = '' and "
	for _, field := range []string{FieldCategory, FieldAction, FieldProvider} {
		if f.Is[field] != "" || len(f.Not[field]) > 0 {
			sums = "category <> '' and "
		}
	}
	args := []any{start, end, step.Seconds(), slot}
	kept, args := where(args, condition{sums + deltas.sql, deltas.args})
	changed, args := where(args, deltas)
	return db.All[tally](ctx, conn, fmt.Sprintf(`
		select floor(extract(epoch from at - $1::timestamptz) / $3::float8)::int as bar, status, sum(runs)::int as runs from (
			select at, status, runs from provision_counts where slot = $4::int and at >= $1 and at < $2::timestamptz and %s
			union all
			select minute, status, runs from provision_count_changes where minute >= $1 and minute < $2 and %s) as c
		group by 1, 2 having sum(runs) > 0`, kept, changed), args...)
}

// mostBarred is how many runs a histogram is drawn of where they must be read one by one.
const mostBarred = 5000

// readBars counts the newest runs that match one by one. all is false if there are more, or if it takes too long.
func readBars(ctx context.Context, pool *pgxpool.Pool, f Filter, start time.Time, step time.Duration) (tallies []tally, all bool, err error) {
	p, err := planOf(ctx, pool, f)
	if err != nil {
		return nil, false, err
	}
	err = db.InTx(ctx, pool, func(tx pgx.Tx) error {
		if err := hurry(ctx, tx, maxTime/2); err != nil {
			return err
		}
		sql, args := where([]any{start, step.Seconds()}, append(append([]condition{p.drive}, p.bounds...), p.rest...)...)
		tallies, err = db.All[tally](ctx, tx, fmt.Sprintf(`
			select greatest(floor(extract(epoch from created_at - $1::timestamptz) / $2::float8), 0)::int as bar, status, count(*)::int as runs from (
				select r.created_at, r.status from provision_runs r where %s order by r.id desc limit %d) as c
			group by 1, 2`, sql, mostBarred), args...)
		return err
	})
	if late(err) {
		return nil, false, nil
	}
	sum := 0
	for _, t := range tallies {
		sum += t.Runs
	}
	return tallies, sum < mostBarred, err
}

func detailsByID(ctx context.Context, conn db.Conn, id string) (Details, error) {
	return db.One[Details](ctx, conn, "select "+runColumns+`, r.error_family, r.contract_id, r.configuration_id, r.actor_relation, r.cause, r.params, r.changes,
		r.reference, r.ticket_id, r.decided_by_name, r.settled, r.settled_by, r.started_at, r.finished_at from provision_runs r where r.id = $1`, id)
}

// attemptsOf lists the attempts of a run, oldest first, with debug data if it may be shown.
func attemptsOf(ctx context.Context, conn db.Conn, id string, debug bool) ([]Attempt, error) {
	return db.All[Attempt](ctx, conn, `
		select a.attempt, a.started_at, a.finished_at, a.outcome, a.message, a.detail, d.data::text as debug
		from provision_attempts a left join provision_debug d on $2 and d.run_id = a.run_id and d.attempt = a.attempt
		where a.run_id = $1 order by a.attempt`, id, debug)
}

// nameOf is what the newest run calls the client, product or actor with an id, or app.ErrNotFound.
func nameOf(ctx context.Context, conn db.Conn, field, id string) (string, error) {
	row, err := db.One[struct{ Name string }](ctx, conn, fmt.Sprintf("select %s as name from provision_runs r where %s = $1::uuid order by r.id desc limit 1",
		map[string]string{FieldClient: "r.account_name", FieldProduct: "coalesce(nullif(r.domain, ''), r.product_name)", FieldActor: "r.actor_name"}[field], columns[field]), id)
	return row.Name, err
}

// names are the clients, products or actors of the newest runs, each once, by name.
func names(ctx context.Context, conn db.Conn) (map[string][]string, error) {
	rows, err := db.All[struct {
		Field string
		Name  string
	}](ctx, conn, `
		with newest as materialized (select account_name, coalesce(nullif(domain, ''), product_name) as product, actor_name, actor_id from provision_runs order by id desc limit 2000)
		select 'client' as field, account_name as name from newest group by 2
		union all select 'product', product from newest group by 2
		union all select 'actor', actor_name from newest where actor_id is not null group by 2
		order by 2`)
	found := map[string][]string{}
	for _, row := range rows {
		if len(found[row.Field]) < 200 {
			found[row.Field] = append(found[row.Field], row.Name)
		}
	}
	return found, err
}
