package provisionlogs

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"portico/app"
	"portico/app/db"
	"portico/app/db/dbtest"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

var ada = app.Viewer{UserID: "00000000-0000-4000-8000-00000000000a", Name: "Ada", Role: app.RoleAdmin}

// bundle is a database with the logs' service.
type bundle struct {
	t       testing.TB
	pool    *pgxpool.Pool
	service *Service
}

func setUp(t testing.TB) *bundle {
	pool := dbtest.New(t)
	b := &bundle{t, pool, NewService(pool, nil)}
	b.exec("insert into users (id, name, email, role) values ($1, 'Ada', 'ada@northwind.example', 'admin')", ada.UserID)
	return b
}

func (b *bundle) exec(sql string, args ...any) {
	b.t.Helper()
	if _, err := b.pool.Exec(b.t.Context(), sql, args...); err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
}

func scan[T any](b *bundle, sql string, args ...any) T {
	b.t.Helper()
	var value T
	if err := b.pool.QueryRow(b.t.Context(), sql, args...).Scan(&value); err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
	return value
}

// fill adds n runs that began evenly over a span before now: of 20 actions, 10 providers, 8 categories, 100 actors, a client for
// every 500 runs; 4 of 100 failed. Word number n of 1,000 is in each.
func (b *bundle) fill(n int, span time.Duration) {
	b.t.Helper()
	const batch = 100_000
	for from := 1; from <= n; from += batch {
		b.exec(`
			insert into provision_runs (id, product_id, product_name, account_id, account_name, category, action, driver, actor_id, actor_name, actor_relation,
				operation_key, domain, username, status, message, attempts, max_attempts, created_at, finished_at, duration_ms)
			select overlay(provision_id_from(at)::text placing '-7' || substr(md5(n::text), 1, 3) || '-8' || substr(md5(n::text), 4, 3) || '-' || substr(md5(n::text), 7, 12) from 14)::uuid,
				md5('p' || n % greatest($1 / 100, 1))::uuid, 'Web hosting', md5('a' || n % greatest($1 / 500, 1))::uuid, 'Client ' || n % greatest($1 / 500, 1),
				(array['web-hosting', 'domain-names', 'auto-login', 'seo', 'website-builders', 'software-licenses', 'servers', 'office-tools'])[1 + n % 8],
				'action' || n % 20, 'driver' || n % 10, case when n % 3 > 0 then md5('u' || n % 100)::uuid end, 'Person ' || n % 100, 'owner',
				gen_random_uuid(), 'site' || n || '.example', 'user' || n % 5000, status, 'word' || n % 1000 || ' was said', 1, 8, at,
				case when status in ('failed', 'succeeded', 'cancelled') then at end, n % 3000
			from (select n, now() - $2::interval * (($1 - n)::float8 / $1) - interval '1 s' as at,
				case when n % 25 = 0 then 'failed' when n % 101 = 0 then 'cancelled' when n % 1009 = 0 then 'retrying' else 'succeeded' end as status
				from generate_series($3::int, $4::int) as n) as s`, n, span, from, min(from+batch-1, n))
	}
}

// runIDs are the ids of all runs that match, in order, by every page there is.
func (b *bundle) all(f Filter) (ids []string) {
	b.t.Helper()
	before := ""
	for pages := 0; ; pages++ {
		page, err := b.service.List(b.t.Context(), ada, f, before)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, run := range page.Runs {
			ids = append(ids, run.ID)
		}
		if page.Next == "" {
			return ids
		}
		if before = page.Next; pages > 1000 {
			b.t.Fatal("the pages never end")
		}
	}
}

// TestList_ShowsWhatMatchesOnce holds every filter's pages to what plain SQL says.
func TestList_ShowsWhatMatchesOnce(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.fill(3000, 20*24*time.Hour)
	client := scan[string](b, "select account_id::text from provision_runs where account_name = 'Client 3' limit 1")
	from := time.Now().Add(-5 * 24 * time.Hour).UTC().Truncate(time.Second)
	for query, sql := range map[string]string{
		"":                                   "true",
		"status=failed":                      "status = 'failed'",
		"status=failed&action=action0":       "status = 'failed' and action = 'action0'",
		"provider=driver3&not=status:failed": "driver = 'driver3' and status <> 'failed'",
		"category=servers&status=succeeded":  "category = 'servers' and status = 'succeeded'",
		"client=" + client:                   "account_name = 'Client 3'",
		"client=client+3&status=failed":      "account_name = 'Client 3' and status = 'failed'",
		"not=client:" + client:               "account_name <> 'Client 3'",
		"actor=system":                       "actor_id is null",
		"not=actor:system&action=action7":    "actor_id is not null and action = 'action7'",
		"product=site17":                     "domain like 'site17%'",
		"q=word77":                           "message ~ '^word77'",
		"q=%22word77%22":                     "message ~ '^word77 '",
		"q=SITE2999.example":                 "domain = 'site2999.example'",
		"q=user12+word1":                     "username ~ '^user12' and message ~ '^word1'",
		"q=nothing":                          "false",
		"q=%25%5F":                           "false",
		"q=word5&status=failed&from=" + from.Format(time.RFC3339): "message ~ '^word5' and status = 'failed' and created_at >= '" + from.Format(time.RFC3339) + "'",
		"to=" + from.Format(time.RFC3339):                         "created_at < '" + from.Format(time.RFC3339) + "'",
	} {
		t.Run(query, func(t *testing.T) {
			values, err := url.ParseQuery(query)
			if err != nil {
				t.Fatal(err)
			}
			f, err := ParseFilter(values, time.UTC)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := ParseFilter(f.Values(), time.UTC); err != nil || again.Values().Encode() != f.Values().Encode() {
				t.Errorf("as an address it means something else: %q", f.Values().Encode())
			}
			want := scan[[]string](b, "select coalesce(array_agg(id::text order by id desc), '{}') from provision_runs where "+sql)
			if got := b.all(f); !slices.Equal(got, want) {
				t.Errorf("%d runs, want %d", len(got), len(want))
			}
			if counted := f.counted(); counted {
				h, err := b.service.Histogram(t.Context(), ada, withRange(f, 30*24*time.Hour), time.Now())
				if err != nil {
					t.Fatal(err)
				}
				sum := 0
				for _, n := range h.Totals() {
					sum += n
				}
				if f.From.IsZero() && f.To.IsZero() && sum != len(want) {
					t.Errorf("the histogram counts %d, want %d", sum, len(want))
				}
			}
		})
	}
	if page, err := b.service.List(t.Context(), ada, Filter{}, "nonsense"); err == nil || len(page.Runs) > 0 {
		t.Error("a key that is none shows runs")
	}
}

func withRange(f Filter, d time.Duration) Filter {
	if f.From.IsZero() && f.To.IsZero() {
		f.From = time.Now().Add(-d)
	}
	return f
}

// TestCounts_FollowEveryChange holds the counts, before and after they are added up, to the rows.
func TestCounts_FollowEveryChange(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.fill(1000, 3*24*time.Hour)
	check := func(when string) {
		t.Helper()
		for _, f := range []Filter{{}, {Is: map[string]string{FieldAction: "action3"}}, {Is: map[string]string{FieldStatus: "failed"}}, {Not: map[string][]string{FieldProvider: {"driver1"}}}} {
			for _, span := range []time.Duration{20 * time.Hour, 3 * 24 * time.Hour, 90 * 24 * time.Hour} {
				f.From = time.Now().Add(-span)
				h, err := b.service.Histogram(t.Context(), ada, f, time.Now())
				if err != nil {
					t.Fatal(err)
				}
				p, err := planOf(t.Context(), b.pool, f)
				if err != nil {
					t.Fatal(err)
				}
				sql, args := where([]any{h.Start}, append([]condition{p.drive}, p.rest...)...)
				want := map[string]int{}
				rows, err := db.All[tally](t.Context(), b.pool, "select 0 as bar, r.status, count(*)::int as runs from provision_runs r where r.created_at >= $1::timestamptz and "+sql+" group by 2", args...)
				if err != nil {
					t.Fatal(err)
				}
				for _, row := range rows {
					want[row.Status] = row.Runs
				}
				if got := h.Totals(); fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("%s, %s, %v: %v, want %v", when, span, f.Values(), got, want)
				}
			}
		}
	}
	check("when new")
	b.exec("update provision_runs set status = 'succeeded' where status = 'retrying' or action = 'action3' and status = 'failed'")
	check("after a change")
	if err := b.service.Tend(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("added up")
	b.exec("update provision_runs set status = 'cancelled', finished_at = now() where action = 'action3'")
	b.exec("delete from provision_runs where driver = 'driver1'")
	check("changed after that")
	if err := b.service.Tend(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("added up again")
	if n := scan[int](b, "select count(*)::int from provision_count_changes"); n != 0 {
		t.Errorf("%d changes of counts are left", n)
	}
}

// TestChanges_ReachEveryViewerOnce: writers begin and change runs, in transactions that commit in any order; viewers with different
// filters ask for changes now and then. In the end each has seen what matches, and nothing else.
func TestChanges_ReachEveryViewerOnce(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	writers, each := 6, 40
	filters := []string{"", "status=failed", "status=succeeded&provider=driver1", "q=word1", "action=action2&not=status:queued", "status=queued"}
	done := make(chan struct{})
	var writing, viewing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for n := range each {
				id, err := uuid.NewV7()
				if err != nil {
					t.Error(err)
					return
				}
				err = db.InTx(t.Context(), b.pool, func(tx pgx.Tx) error {
					_, err := tx.Exec(t.Context(), `
						insert into provision_runs (id, product_id, product_name, account_id, account_name, category, action, driver, actor_name, actor_relation, operation_key, message, max_attempts)
						values ($1, $1, 'P', $1, 'C', 'seo', $2, $3, 'Portico', 'system', $1, $4, 8)`,
						id, fmt.Sprint("action", n%4), fmt.Sprint("driver", w%3), fmt.Sprint("word", n%3, " said"))
					return err
				})
				if err == nil {
					status := []string{"failed", "succeeded", "queued"}[n%3]
					_, err = b.pool.Exec(t.Context(), "update provision_runs set status = $2, finished_at = case when $2 <> 'queued' then now() end where id = $1", id, status)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for _, query := range filters {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		f, err := ParseFilter(values, time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		viewing.Go(func() {
			page, err := b.service.List(t.Context(), ada, f, "")
			if err != nil {
				t.Error(err)
				return
			}
			shown := map[string]bool{}
			for _, run := range page.Runs {
				shown[run.ID] = true
			}
			since := page.Snapshot
			for last := false; ; {
				changes, err := b.service.Changes(t.Context(), ada, f, since)
				if err != nil || changes.Reset {
					t.Errorf("%q: %v, reset %v", query, err, changes.Reset)
					return
				}
				since = changes.Snapshot
				for i, run := range changes.Runs {
					shown[run.ID] = true
					if i > 0 && run.ID >= changes.Runs[i-1].ID {
						t.Errorf("%q: out of order", query)
					}
				}
				for _, id := range changes.Gone {
					delete(shown, id)
				}
				if last {
					break
				}
				select {
				case <-done:
					last = true
				default:
				}
			}
			want := b.all(f)
			if len(shown) != len(want) || slices.ContainsFunc(want, func(id string) bool { return !shown[id] }) {
				t.Errorf("%q: the page shows %d runs, %d match", query, len(shown), len(want))
			}
		})
	}
	writing.Wait()
	close(done)
	viewing.Wait()
	if scan[int](b, "select count(*)::int from provision_runs") != writers*each {
		t.Fatal("not everything was written")
	}
	// What everybody had time to ask for is forgotten, and whoever comes later is told to read afresh.
	old := scan[string](b, "select pg_current_snapshot()::text")
	b.exec("update provision_runs set message = 'changed' where action = 'action1'")
	// Transactions of other tests, which are open at the same time on the server, hold it up.
	for scan[int](b, "select count(*)::int from provision_changes") > 0 {
		if err := clearChanges(t.Context(), b.pool, 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, since := range []string{old, "", "1:1", "x", "1:2:" + strings.Repeat("1,", 9000)} {
		if changes, err := b.service.Changes(t.Context(), ada, Filter{}, since); err != nil || !changes.Reset {
			t.Errorf("since %.20q: %v, reset %v", since, err, changes.Reset)
		}
	}
}

// TestChanges_AllOrAfresh: a page that was away for a moment is told of every run that changed meanwhile, however often each did, or
// to read the list afresh, and never of some of them.
func TestChanges_AllOrAfresh(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.fill(maxChanges+1, time.Hour)
	for _, test := range []struct {
		runs, times int
		reset       bool
	}{{1000, 4, false}, {maxChanges, 1, false}, {maxChanges + 1, 1, true}, {maxChanges, 6, true}} {
		since := scan[string](b, "select pg_current_snapshot()::text")
		const groups = 10 // one after the other
		for group := range groups {
			for range test.times {
				b.exec(`update provision_runs set attempts = attempts + 1
					where id = any(array(select id from (select id, row_number() over (order by id desc) as n from provision_runs) x where n <= $1 and n % $2 = $3))`, test.runs, groups, group)
			}
		}
		changes, err := b.service.Changes(t.Context(), ada, Filter{}, since)
		if err != nil || changes.Reset != test.reset || !test.reset && len(changes.Runs) != test.runs {
			t.Errorf("%d runs changed %d times: told of %d, afresh %v, %v", test.runs, test.times, len(changes.Runs), changes.Reset, err)
		}
	}
}

// TestMonths: months are made ahead, take in what came before them, and are dropped whole when they are too old.
func TestMonths(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	ctx := t.Context()
	b.fill(400, 200*24*time.Hour)
	before := scan[int](b, "select count(*)::int from provision_runs_rest")
	if before == 0 {
		t.Fatal("nothing lies before the first month")
	}
	b.exec("insert into provision_attempts (run_id, attempt, started_at, outcome) select id, 1, created_at, 'succeeded' from provision_runs")
	b.exec("insert into provision_debug (run_id, attempt, data) select id, 1, '[]' from provision_runs")
	b.exec("select provision_month(now() - n * interval '1 month') from generate_series(0, 7) as n")
	if rest := scan[int](b, "select count(*)::int from provision_runs_rest"); rest != 0 || scan[int](b, "select count(*)::int from provision_runs") != 400 {
		t.Errorf("%d runs lie in no month", rest)
	}
	if err := b.service.Tend(ctx); err != nil {
		t.Fatal(err)
	}
	if n := scan[int](b, "select count(*)::int from pg_class where relkind = 'r' and relname = to_char(now() at time zone 'UTC' + interval '2 months', '\"provision_runs_\"YYYY\"_\"MM')"); n != 1 {
		t.Error("the month after the next has no partition")
	}
	now := time.Now().UTC()
	dropped, err := dropOld(ctx, b.pool, Keep{Months: 3, DebugDays: 10}, now)
	if err != nil {
		t.Fatal(err)
	}
	if len(dropped) < 3*4 {
		t.Errorf("dropped only %v", dropped)
	}
	first := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC).AddDate(0, -3, 0)
	if n := scan[int](b, "select count(*)::int from provision_runs where created_at < $1", first); n != 0 {
		t.Errorf("%d runs are older than what is kept", n)
	}
	if n := scan[int](b, "select count(*)::int from provision_runs where created_at >= $1", first); n < 150 {
		t.Errorf("only %d runs are left", n)
	}
	if n := scan[int](b, "select count(*)::int from provision_debug where run_id < provision_id_from($1::timestamptz)", now.AddDate(0, 0, -10)); n != 0 {
		t.Errorf("%d rows of debug data are older than what is kept", n)
	}
	if n := scan[int](b, "select count(*)::int from provision_debug"); n < 15 {
		t.Errorf("only %d rows of debug data are left", n)
	}
	if again, err := dropOld(ctx, b.pool, Keep{Months: 3, DebugDays: 10}, now); err != nil || len(again) > 0 {
		t.Errorf("twice: %v %v", again, err)
	}
}

func TestExport_IsWhatIsFiltered(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.fill(2500, 24*time.Hour)
	b.exec(`update provision_runs set message = '=HYPERLINK("http://x")', account_name = '@sum', domain = E'+1"2,3\n4' where action = 'action5' and status = 'failed'`)
	f := Filter{Is: map[string]string{FieldStatus: "failed"}}
	want := b.all(f)
	still := func(context.Context) error { return nil }
	read := func(format Format) []byte {
		t.Helper()
		r, err := b.service.Export(ada, f, format, still)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		raw, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	records, err := csv.NewReader(bytes.NewReader(read(CSV))).ReadAll()
	if err != nil || len(records) != len(want)+1 {
		t.Fatalf("%d lines of CSV, want %d: %v", len(records)-1, len(want), err)
	}
	harmful := regexp.MustCompile(`^[=+\-@\t\r]`)
	for i, record := range records[1:] {
		if record[0] != want[i] {
			t.Fatalf("line %d is run %s, want %s", i+1, record[0], want[i])
		}
		for _, cell := range record {
			if harmful.MatchString(cell) {
				t.Errorf("a cell is a formula: %q", cell)
			}
		}
	}
	lines := bytes.Split(bytes.TrimSpace(read(JSONLines)), []byte("\n"))
	if len(lines) != len(want) {
		t.Errorf("%d lines of JSON, want %d", len(lines), len(want))
	}
	var one exported
	if err := json.Unmarshal(lines[0], &one); err != nil || one.ID != want[0] {
		t.Errorf("%v, %+v", err, one)
	}
	// Whoever loses the right while it runs gets no more.
	asked := 0
	r, err := b.service.Export(ada, Filter{}, JSONLines, func(context.Context) error {
		if asked++; asked > 1 {
			return app.ErrForbidden
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if raw, err := io.ReadAll(r); err == nil || bytes.Count(raw, []byte("\n")) != exportRows {
		t.Errorf("the export went on: %d lines, %v", bytes.Count(raw, []byte("\n")), err)
	}
}

func TestAlert_Quiet(t *testing.T) {
	t.Parallel()
	clock := func(text string) *string { return &text }
	for _, c := range []struct {
		from, to, now string
		quiet         bool
	}{
		{"22:00", "07:00", "23:30", true}, {"22:00", "07:00", "06:59", true}, {"22:00", "07:00", "07:00", false}, {"22:00", "07:00", "12:00", false},
		{"12:00", "13:00", "12:00", true}, {"12:00", "13:00", "13:00", false}, {"12:00", "12:00", "12:00", false},
	} {
		at, err := time.Parse("15:04", c.now)
		if err != nil {
			t.Fatal(err)
		}
		if got := (Alert{QuietFrom: clock(c.from), QuietTo: clock(c.to)}).quiet(at); got != c.quiet {
			t.Errorf("from %s to %s at %s: %v", c.from, c.to, c.now, got)
		}
	}
}

func TestHighlight(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"bluebird.example":    "[blue]bird.example",
		"the Blue, true-blue": "the [Blue], true-[blue]",
		"notblue":             "notblue",
		"<b>blue</b>":         "<b>[blue]</b>",
		"":                    "",
	} {
		got := ""
		for _, piece := range highlight(text, lookedFor(`BLUE "x y"`)) {
			if piece.Mark {
				got += "[" + piece.Text + "]"
			} else {
				got += piece.Text
			}
		}
		if got != want {
			t.Errorf("%q becomes %q", text, got)
		}
	}
}

// costs are what reading a page costs, by PostgreSQL's own account.
type costs struct {
	rows    int // read, whether or not they matched
	buffers int
	plans   []string
}

// explain runs a query and reads its plan.
func explain(b *bundle, sql string, args []any) costs {
	b.t.Helper()
	rows, err := b.pool.Query(b.t.Context(), "explain (analyze, buffers, costs off, timing off, summary off) "+sql, args...)
	if err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
	c := costs{plans: []string{strings.Join(lines, "\n")}}
	actual := regexp.MustCompile(`(Scan).*actual rows=(\d+)`)
	removed := regexp.MustCompile(`Rows Removed by (?:Filter|Index Recheck): (\d+)`)
	buffers := regexp.MustCompile(`Buffers: shared(?: hit=(\d+))?(?: read=(\d+))?`)
	for _, line := range lines {
		if found := actual.FindStringSubmatch(line); found != nil && !strings.Contains(line, "Bitmap Index") && !strings.Contains(line, "CTE Scan") && !strings.Contains(line, "Subquery Scan") {
			c.rows += number(found[2])
		}
		if found := removed.FindStringSubmatch(line); found != nil {
			c.rows += number(found[1])
		}
		if found := buffers.FindStringSubmatch(line); found != nil && c.buffers == 0 {
			for _, n := range found[1:] {
				if n != "" {
					c.buffers += number(n)
				}
			}
		}
	}
	return c
}

// pageCosts explains the queries of a filter's page.
func (b *bundle) pageCosts(f Filter, before string) costs {
	b.t.Helper()
	p, err := planOf(b.t.Context(), b.pool, f)
	if err != nil {
		b.t.Fatal(err)
	}
	var sum costs
	add := func(sql string, args []any) {
		c := explain(b, sql, args)
		sum.rows, sum.buffers, sum.plans = sum.rows+c.rows, sum.buffers+c.buffers, append(sum.plans, c.plans...)
	}
	base := append([]condition{p.drive, older(before)}, p.bounds...)
	edge := ""
	if len(p.rest) > 0 {
		if edge, err = nth(b.t.Context(), b.pool, p, before, firstRows); err != nil {
			b.t.Fatal(err)
		}
		sql, args := where(nil, base...)
		add(fmt.Sprintf("select r.id::text from provision_runs r where %s order by r.id desc offset %d limit 1", sql, firstRows-1), args)
	}
	if edge != "" {
		base = append(base, condition{"r.id >= ?::uuid", []any{edge}})
	}
	sql, args := where(nil, append(base, p.rest...)...)
	add(fmt.Sprintf("select %s from provision_runs r where %s order by r.id desc limit %d", runColumns, sql, pageSize+1), args)
	return sum
}

// peopleFilters are the filters that people use.
var peopleFilters = []string{
	"", "status=failed", "status=succeeded", "category=servers", "action=action3", "provider=driver4", "actor=system",
	"status=failed&provider=driver5", "status=failed&action=action0", "not=action:action3&not=status:succeeded", "q=word7", "client=ID", "product=ID", "actor=ID",
	"client=ID&status=failed", "from=DAY", "from=DAY&status=failed",
}

func (b *bundle) peopleFilter(query string) Filter {
	b.t.Helper()
	row := strings.NewReplacer(
		"client=ID", "client="+scan[string](b, "select account_id::text from provision_runs order by id desc limit 1"),
		"product=ID", "product="+scan[string](b, "select product_id::text from provision_runs order by id desc limit 1"),
		"actor=ID", "actor="+scan[string](b, "select actor_id::text from provision_runs where actor_id is not null order by id desc limit 1"),
		"from=DAY", "from="+time.Now().Add(-24*time.Hour).UTC().Format(time.RFC3339),
	)
	values, err := url.ParseQuery(row.Replace(query))
	if err != nil {
		b.t.Fatal(err)
	}
	f, err := ParseFilter(values, time.UTC)
	if err != nil {
		b.t.Fatal(err)
	}
	return f
}

// TestPlans: what a page reads is bounded, whatever is asked for and however many runs there are.
func TestPlans(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.exec("select provision_month(now() - n * interval '1 month') from generate_series(1, 3) as n")
	b.fill(30_000, 80*24*time.Hour)
	b.exec("analyze provision_runs")
	for _, query := range peopleFilters {
		f := b.peopleFilter(query)
		before := ""
		for page := range 2 {
			c := b.pageCosts(f, before)
			if whole := regexp.MustCompile(`Seq Scan on provision_runs_\d+[^\n]*actual rows=[1-9]`); whole.MatchString(strings.Join(c.plans, "\n")) {
				t.Errorf("%q, page %d: reads whole months:\n%s", query, page+1, strings.Join(c.plans, "\n"))
			}
			if most := 2*(firstRows+pageSize) + 400; c.rows > most {
				t.Errorf("%q, page %d: reads %d rows:\n%s", query, page+1, c.rows, strings.Join(c.plans, "\n"))
			}
			found, err := b.service.List(t.Context(), ada, f, before)
			if err != nil {
				t.Fatal(err)
			}
			if before = found.Next; before == "" {
				break
			}
		}
	}
	// What is rarer than can be read through is neither slow nor cut off: the page says that it goes on.
	f := Filter{Is: map[string]string{FieldStatus: "succeeded"}, Not: map[string][]string{FieldAction: {}}}
	for i := range 20 {
		f.Not[FieldAction] = append(f.Not[FieldAction], "action"+strconv.Itoa(i))
	}
	page, err := b.service.List(t.Context(), ada, f, "")
	if err != nil || !page.Further || page.Next == "" {
		t.Errorf("nothing matches, and the page says further %v: %v", page.Further, err)
	}
	if ids := b.all(f); len(ids) != 0 {
		t.Errorf("%d runs match", len(ids))
	}
}
