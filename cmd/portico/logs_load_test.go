package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"portico/app/db"

	"github.com/PuerkitoBio/goquery"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// load is runs that come in as they do where much is provisioned: each is written, taken up and ended in a transaction of its own, and
// some transactions stay open for a while, so that runs become visible in another order than that of their ids.
type load struct {
	s     *site
	pool  *pgxpool.Pool // beside the portal's
	mu    sync.Mutex
	since map[string]time.Time // run: when it was committed
}

const (
	loadRate = 500 // runs a second
	// loadWriters write at the same time; each waits for the database several times a run.
	loadWriters = 12
)

func newLoad(s *site) *load {
	s.t.Helper()
	pool, err := db.Open(s.t.Context(), s.pool.Config().ConnString(), patience)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(pool.Close)
	return &load{s: s, pool: pool, since: map[string]time.Time{}}
}

// run writes n runs at loadRate, or as fast as the database takes them, and returns how long it took.
func (l *load) run(n int) time.Duration {
	due := make(chan int)
	var group sync.WaitGroup
	for range loadWriters {
		group.Go(func() {
			for i := range due {
				if err := l.write(i); err != nil {
					l.s.t.Errorf("write run %d: %v", i, err)
				}
			}
		})
	}
	began := time.Now()
	tick := time.NewTicker(time.Second / 100)
	defer tick.Stop()
	for i := range n {
		if i%(loadRate/100) == 0 {
			<-tick.C
		}
		due <- i
	}
	close(due)
	group.Wait()
	return time.Since(began)
}

func (l *load) write(i int) error {
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	ctx := l.s.t.Context()
	err = db.InTx(ctx, l.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			insert into provision_runs (id, product_id, product_name, account_id, account_name, category, action, driver, actor_id, actor_name, actor_relation,
				operation_key, domain, username, message, max_attempts, status)
			select $1, p.id, p.name, p.account_id, a.name, p.category, (array['create', 'suspend', 'unsuspend', 'changePassword'])[1 + $2::int % 4],
				(array['sandbox', 'whm', 'plesk'])[1 + $2 % 3], u.id, coalesce(u.name, 'Portico'), case when u.id is null then 'system' else 'owner' end,
				$1, 'shop' || $2 || '.example', 'load', 'word' || $2 % 10 || ' was said', 8, 'queued'
			from (select *, row_number() over (order by id) as k, count(*) over () as of from contract_products) p join accounts a on a.id = p.account_id
			left join users u on u.email = $3 and $2 % 5 > 0
			where p.k = 1 + $2 % p.of`, id, i, bea)
		if err == nil && i%20 == 9 { // some of them never change again
			_, err = tx.Exec(ctx, "select pg_sleep(0.05)")
		}
		return err
	})
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.since[id.String()] = time.Now()
	l.mu.Unlock()
	if i%50 == 49 {
		return nil // waits
	}
	for _, sql := range []string{
		"update provision_runs set status = 'running', started_at = now() where id = $1",
		"update provision_runs set status = case when $2::int % 9 = 0 then 'failed' when $2 % 9 = 1 then 'retrying' else 'succeeded' end, finished_at = case when $2 % 9 <> 1 then now() end where id = $1 and $2 >= 0",
	} {
		args := []any{id}
		if strings.Contains(sql, "$2") {
			args = append(args, i)
		}
		if _, err := l.pool.Exec(ctx, sql, args...); err != nil {
			return err
		}
	}
	return nil
}

// watcher is a page of the logs that somebody looks at, as static/js/logs.js keeps it: it waits for its stream, asks what changed at
// most once a second, and has in its list what it was told.
type watcher struct {
	*client
	l     *load
	query string
	cells map[string]string // what a row's cell must say, or with a ! before it must not
	stop  chan struct{}
	ended chan error

	mu    sync.Mutex
	since string
	more  bool     // another page comes after the list
	rows  []string // newest first
	waits []time.Duration
	asked int
	again int // how often the list was read afresh
}

// watch opens a page with a filter, and its stream, and goes on until quit is called.
func (l *load) watch(c *client, query string, cells map[string]string) *watcher {
	l.s.t.Helper()
	w := &watcher{client: c, l: l, query: query, cells: cells, stop: make(chan struct{}), ended: make(chan error, 1)}
	if err := w.list(); err != nil {
		l.s.t.Fatal(err)
	}
	lines, err := c.stream("/admin/provisioning/logs/live")
	if err != nil {
		l.s.t.Fatal(err)
	}
	told := make(chan struct{}, 1)
	tell := func() {
		select {
		case told <- struct{}{}:
		default:
		}
	}
	go func() {
		for {
			line, err := lines.ReadString('\n')
			switch {
			case err == nil && strings.HasPrefix(line, "data: "):
				tell()
			case err != nil:
				// A browser opens a stream anew that ended, as where the machine is too busy to say who may read it, and the
				// page looks what came meanwhile.
				if lines, err = c.stream("/admin/provisioning/logs/live"); err != nil {
					close(told)
					return
				}
				tell()
			}
		}
	}()
	go func() { w.ended <- w.follow(told) }()
	return w
}

// stream opens an event stream that lasts as long as the test.
func (c *client) stream(path string) (*bufio.Reader, error) {
	request, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, c.site.url+path, nil)
	if err != nil {
		return nil, err
	}
	streaming := *c.http
	streaming.Timeout = 0
	response, err := streaming.Do(request)
	if err != nil {
		return nil, err
	}
	c.t.Cleanup(func() { response.Body.Close() })
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, response.Status)
	}
	lines := bufio.NewReader(response.Body)
	_, err = lines.ReadString('\n') // it is open
	return lines, err
}

func (w *watcher) follow(told <-chan struct{}) error {
	for {
		select {
		case <-w.stop:
			return nil
		case _, open := <-told:
			if !open {
				return io.EOF
			}
		}
		w.mu.Lock()
		err := w.changes()
		w.mu.Unlock()
		if err != nil {
			return err
		}
		select {
		case <-time.After(time.Second): // at most one fetch a second
		case <-w.stop:
			return nil
		}
	}
}

func (w *watcher) quit() error {
	close(w.stop)
	return <-w.ended
}

func (w *watcher) read(query url.Values, header http.Header) (*goquery.Document, error) {
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.site.url+"/admin/provisioning/logs?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	request.Header = header
	response, err := w.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s?%s: %s", request.URL.Path, query.Encode(), response.Status)
	}
	return goquery.NewDocumentFromReader(response.Body)
}

func (w *watcher) filter() url.Values {
	query, err := url.ParseQuery(w.query)
	if err != nil {
		panic(err)
	}
	return query
}

// list reads the page afresh.
func (w *watcher) list() error {
	page, err := w.read(w.filter(), http.Header{})
	if err != nil {
		return err
	}
	w.since = page.Find("[data-log]").AttrOr("data-since", "")
	w.more = page.Find("[data-log] a[rel=next]").Length() > 0
	w.rows, err = w.shown(page.Find("table.logs tr[data-run]"))
	return err
}

func (w *watcher) changes() error {
	query := w.filter()
	query.Set("since", w.since)
	page, err := w.read(query, http.Header{"Hx-Request": {"true"}, "X-Background": {"true"}})
	if err != nil {
		return err
	}
	w.asked++
	found := page.Find("[data-changes]")
	if _, reset := found.Attr("data-reset"); reset {
		w.again++
		return w.list()
	}
	w.since = found.AttrOr("data-since", "")
	rows, err := w.shown(found.Find("tr[data-run]"))
	if err != nil {
		return err
	}
	now := time.Now()
	for _, id := range rows {
		at, present := slices.BinarySearchFunc(w.rows, id, func(row, id string) int { return strings.Compare(id, row) })
		if present || w.more && at == len(w.rows) {
			continue // beyond the last row comes another page
		}
		w.rows = slices.Insert(w.rows, at, id)
		w.l.mu.Lock()
		if since, known := w.l.since[id]; known {
			w.waits = append(w.waits, now.Sub(since))
		}
		w.l.mu.Unlock()
	}
	for _, id := range strings.Fields(found.AttrOr("data-gone", "")) {
		if i := slices.Index(w.rows, id); i >= 0 {
			w.rows = slices.Delete(w.rows, i, i+1)
		}
	}
	return nil
}

// shown is the runs of rows, which must match and come in order.
func (w *watcher) shown(rows *goquery.Selection) (ids []string, err error) {
	rows.Each(func(i int, row *goquery.Selection) {
		id := row.AttrOr("data-run", "")
		if i > 0 && id >= ids[i-1] {
			err = fmt.Errorf("%s: %s comes after %s", w.query, id, ids[i-1])
		}
		ids = append(ids, id)
		for field, value := range w.cells {
			value, not := strings.CutPrefix(value, "!")
			if got := row.Find(fmt.Sprintf("td[data-field=%q]", field)).AttrOr("data-value", ""); (got == value) == not {
				err = fmt.Errorf("%s: run %s has %s %q", w.query, id, field, got)
			}
		}
	})
	return ids, err
}

// loadReport is what ten pages saw.
type loadReport struct {
	rate    float64         // runs a second
	waits   []time.Duration // from the commit of a run until a page had it, shortest first
	again   int
	revoked time.Duration // from the revocation until the page's stream ended
}

// underLoad lets ten admins look at the logs with a filter each, another not read what is sent to them, and a third lose their access,
// while n runs come in; then holds each page to what plain SQL finds.
func underLoad(s *site, n int) (report loadReport) {
	t := s.t
	t.Helper()
	l := newLoad(s)
	admin := func(name string) *client {
		s.exec(`insert into users (name, email, email_confirmed_at, role, password_hash) select $1, $1 || '@northwind.example', now(), 'admin', password_hash from users where email = $2`, name, ada)
		return s.signIn(name + "@northwind.example")
	}
	product, client, actor := s.text("select id from contract_products order by id limit 1"), s.text("select account_id from contract_products group by 1 order by count(*) desc limit 1"), s.userID(bea)
	pages := map[string]struct {
		cells map[string]string
		sql   string
	}{
		"":                             {nil, "true"},
		"status=failed":                {map[string]string{"status": "failed"}, "status = 'failed'"},
		"not=status:succeeded":         {map[string]string{"status": "!succeeded"}, "status <> 'succeeded'"},
		"status=queued":                {map[string]string{"status": "queued"}, "status = 'queued'"},
		"provider=whm&status=retrying": {map[string]string{"provider": "whm", "status": "retrying"}, "driver = 'whm' and status = 'retrying'"},
		"action=suspend":               {map[string]string{"action": "suspend"}, "action = 'suspend'"},
		"actor=" + actor:               {map[string]string{"actor": actor}, "actor_id = '" + actor + "'"},
		"client=" + client:             {nil, "account_id = '" + client + "'"},
		"product=" + product:           {map[string]string{"product": product}, "product_id = '" + product + "'"},
		"q=word7":                      {nil, "message ~ '^word7'"},
	}
	watchers := map[string]*watcher{}
	for query, page := range pages {
		watchers[query] = l.watch(admin(fmt.Sprintf("admin%d", len(watchers))), query, page.cells)
	}
	// One asks for the page again and again, and reads nothing of what comes.
	slow := admin("slow")
	for _, path := range []string{"/admin/provisioning/logs/live", "/admin/provisioning/logs", "/admin/provisioning/logs"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		u, _ := url.Parse(s.url)
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\n", path, u.Host)
		for _, cookie := range slow.http.Jar.Cookies(u) {
			fmt.Fprintf(conn, "Cookie: %s\r\n", cookie)
		}
		fmt.Fprint(conn, "\r\n")
	}
	page := s.browse(t, screen{})
	page.be(admin("watching"))
	page.open("/admin/provisioning/logs?client=" + client)
	revoked := admin("revoked")
	stream, err := revoked.stream("/admin/provisioning/logs/live")
	if err != nil {
		t.Fatal(err)
	}
	left := make(chan time.Duration, 1)
	go func() {
		// In the middle of the load.
		for l.written() < n/2 && t.Context().Err() == nil {
			time.Sleep(5 * time.Millisecond)
		}
		began := time.Now()
		chief := s.signIn(ada)
		chief.post("/admin/settings/team/"+s.userID("revoked@northwind.example")+"/disable", nil, http.Header{"X-Csrf-Token": {chief.token()}}).want(http.StatusSeeOther)
		if _, err := io.Copy(io.Discard, stream); err != nil {
			t.Errorf("the stream of an admin whose access ended: %v", err)
		}
		left <- time.Since(began)
	}()
	report.rate = float64(n) / l.run(n).Seconds()
	report.revoked = <-left
	if a := revoked.get("/admin/provisioning/logs"); a.status != http.StatusSeeOther {
		t.Errorf("an admin whose access ended still gets the page: %d", a.status)
	}
	for query, w := range watchers {
		want := s.lines("select id::text from provision_runs where " + pages[query].sql + " order by id desc")
		var have []string
		complete := func() bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			have = slices.Clone(w.rows)
			if w.more { // the rest is on another page
				return len(have) <= len(want) && slices.Equal(have, want[:len(have)])
			}
			return slices.Equal(have, want)
		}
		deadline := time.Now().Add(patience)
		for !complete() && time.Now().Before(deadline) && len(w.ended) == 0 {
			time.Sleep(10 * time.Millisecond)
		}
		if !complete() {
			t.Errorf("the page of %q has %d runs, and %d match; first that differs: %v", query, len(have), len(want), firstOther(have, want))
		}
		if err := w.quit(); err != nil {
			t.Errorf("the page of %q: %v", query, err)
		}
		report.waits, report.again = append(report.waits, w.waits...), report.again+w.again
	}
	// A real page shows the newest, of which it keeps a bounded number, fewer where it had to read the list afresh, and leads to
	// the rest.
	want := s.lines("select id::text from provision_runs where account_id = '" + client + "' order by id desc")
	var shown []string
	wait(t, "a real page to show the newest", func() bool {
		shown = strings.Fields(eval[string](page, `[...document.querySelectorAll("table.logs tr[data-run]")].map((row) => row.dataset.run).join(" ")`))
		return len(shown) >= 50 && len(shown) <= 500 && slices.Equal(shown, want[:min(len(shown), len(want))])
	})
	next := eval[string](page, `document.querySelector("[data-log] a[rel=next]").getAttribute("href")`)
	if first := s.signIn(ada).get(next).want(http.StatusOK).find("table.logs tr[data-run]").AttrOr("data-run", ""); first != want[len(shown)] {
		t.Errorf("after the page's last run comes %q, want %s", first, want[len(shown)])
	}
	slices.Sort(report.waits)
	return report
}

// lines is a query's only column.
func (s *site) lines(sql string) []string {
	s.t.Helper()
	rows, err := s.pool.Query(s.t.Context(), sql)
	if err != nil {
		s.t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		s.t.Fatal(err)
	}
	return lines
}

func firstOther(have, want []string) string {
	for i := range max(len(have), len(want)) {
		if i >= len(have) || i >= len(want) || have[i] != want[i] {
			return fmt.Sprintf("%d: %v, want %v", i, have[min(i, len(have)):min(i+1, len(have))], want[min(i, len(want)):min(i+1, len(want))])
		}
	}
	return ""
}

func (l *load) written() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.since)
}

func (r loadReport) at(share float64) time.Duration {
	return r.waits[min(int(share*float64(len(r.waits))), len(r.waits)-1)]
}

// TestLogs_UnderLoad: while many runs come in, every page of the logs shows every run that matches once, in order, and none that does
// not; somebody who reads nothing holds up nobody; the page of an admin whose access ends ends.
func TestLogs_UnderLoad(t *testing.T) {
	t.Parallel()
	seconds := 4
	if soak {
		seconds = 120
	}
	r := underLoad(start(t, options{idle: true}), seconds*loadRate)
	t.Logf("%.0f runs a second; a page had a run after %v at half, %v at 0.95, %v at most; %d lists afresh; an ended access took %v", r.rate,
		r.at(.5), r.at(.95), r.at(1), r.again, r.revoked)
}

// BenchmarkLogsLive is 20 seconds of that.
func BenchmarkLogsLive(b *testing.B) {
	r := underLoad(start(b, options{idle: true}), 20*loadRate)
	for b.Loop() { // what was measured is not the loop
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(r.rate, "runs/s")
	b.ReportMetric(float64(r.at(.5).Milliseconds()), "ms-p50")
	b.ReportMetric(float64(r.at(.95).Milliseconds()), "ms-p95")
	b.ReportMetric(float64(r.at(1).Milliseconds()), "ms-max")
	b.ReportMetric(float64(r.again), "afresh")
	b.ReportMetric(float64(r.revoked.Milliseconds()), "ms-till-revoked")
}
