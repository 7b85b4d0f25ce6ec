package provisionlogs

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// BenchmarkLogs prints what the first and the next page of every filter cost at few runs and at many: shared buffers, rows and
// time. Runs are spread over a year. PORTICO_BENCH_RUNS says how many are many, 10,000,000 by default, which takes about 20 GB.
func BenchmarkLogs(b *testing.B) {
	many := 10_000_000
	if text := os.Getenv("PORTICO_BENCH_RUNS"); text != "" {
		var err error
		if many, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	type cost struct {
		costs
		took time.Duration
	}
	sizes := []int{many / 100, many}
	measured := map[string][2][2]cost{} // query: by size, by page
	for i, size := range sizes {
		d := setUp(b)
		d.exec("select provision_month(now() - n * interval '1 month') from generate_series(0, 12) as n")
		began := time.Now()
		d.fillAtOnce(size, 360*24*time.Hour)
		if err := d.service.Tend(b.Context()); err != nil {
			b.Fatal(err)
		}
		d.exec("vacuum analyze provision_runs")
		d.exec("vacuum analyze provision_counts")
		fmt.Printf("%d runs written in %s, %s\n", size, time.Since(began).Round(time.Second), scan[string](d, "select pg_size_pretty(pg_database_size(current_database()))"))
		for _, query := range peopleFilters {
			f := d.peopleFilter(query)
			before := ""
			for page := range 2 {
				c := cost{costs: d.pageCosts(f, before)}
				best := time.Hour
				next := before
				for range 5 {
					at := time.Now()
					found, err := d.service.List(b.Context(), ada, f, before)
					if err != nil {
						b.Fatal(err)
					}
					best, next = min(best, time.Since(at)), found.Next
				}
				c.took = best
				all := measured[query]
				all[i][page] = c
				measured[query] = all
				if before = next; before == "" {
					break
				}
			}
		}
		at := time.Now()
		if _, err := d.service.Histogram(b.Context(), ada, Filter{}, time.Now()); err != nil {
			b.Fatal(err)
		}
		day := time.Since(at)
		at = time.Now()
		if _, err := d.service.Histogram(b.Context(), ada, Filter{Is: map[string]string{FieldAction: "action3"}, From: time.Now().AddDate(0, -6, 0)}, time.Now()); err != nil {
			b.Fatal(err)
		}
		fmt.Printf("histogram of a day %s, of one action in half a year %s\n", day.Round(100*time.Microsecond), time.Since(at).Round(100*time.Microsecond))
	}
	fmt.Printf("%-42s %5s %22s %22s %24s\n", "filter", "page", "buffers", "rows", "time")
	for _, query := range peopleFilters {
		for page := range 2 {
			few, lots := measured[query][0][page], measured[query][1][page]
			if few.took == 0 || lots.took == 0 {
				continue
			}
			fmt.Printf("%-42s %5d %9d →%8d %s %9d →%8d %s %10s →%8s\n", query, page+1, few.buffers, lots.buffers, times(few.buffers, lots.buffers), few.rows, lots.rows, times(few.rows, lots.rows),
				few.took.Round(10*time.Microsecond), lots.took.Round(10*time.Microsecond))
		}
	}
}

// fillAtOnce is fill for many runs: it writes the indexes and the counts when all are there, which takes a fifth of the time.
func (b *bundle) fillAtOnce(n int, span time.Duration) {
	b.t.Helper()
	indexes := scan[[]string](b, `select array_agg(pg_get_indexdef(i.indexrelid)) from pg_index i where i.indrelid = 'provision_runs'::regclass and not i.indisprimary`)
	for _, name := range scan[[]string](b, `select array_agg(i.indexrelid::regclass::text) from pg_index i where i.indrelid = 'provision_runs'::regclass and not i.indisprimary`) {
		b.exec("drop index " + name)
	}
	b.exec("drop index provision_counts_action, provision_counts_driver, provision_counts_category")
	b.exec("alter table provision_runs disable trigger user")
	b.fill(n, span)
	b.exec("alter table provision_runs enable trigger user")
	for _, index := range indexes {
		b.exec(strings.Replace(index, " ON ONLY ", " ON ", 1))
	}
	b.exec(`
		with minutes as (select date_trunc('minute', created_at) as minute, status, category, action, driver, count(*) as runs from provision_runs group by 1, 2, 3, 4, 5),
		all_of as (
			select minute, status, category, action, driver, runs from minutes
			union all select minute, status, '', '', '', sum(runs) from minutes group by 1, 2)
		insert into provision_counts (slot, at, status, category, action, driver, runs)
		select slot, date_trunc(case slot when 1 then 'minute' when 60 then 'hour' else 'day' end, minute, 'UTC'), status, category, action, driver, sum(runs)
		from all_of, unnest(array[1, 60, 1440]) as slot group by 1, 2, 3, 4, 5, 6 order by 2`)
	for _, column := range []string{"action", "driver", "category"} {
		b.exec(fmt.Sprintf("create index provision_counts_%[1]s on provision_counts (slot, %[1]s, at) where category <> ''", column))
	}
}

func times(few, many int) string {
	if few == 0 {
		return "     "
	}
	return fmt.Sprintf("%4.1f×", float64(many)/float64(few))
}
