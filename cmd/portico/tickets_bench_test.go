package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html"
	"html/template"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/valyala/fasthttp"
)

// listener notes the queries of a pool while it listens, by round trip.
type listener struct {
	mu    sync.Mutex
	on    bool
	trips [][]*pgx.QueuedQuery
}

func (l *listener) note(queries ...*pgx.QueuedQuery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.on {
		l.trips = append(l.trips, queries)
	}
}

func (l *listener) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	l.note(&pgx.QueuedQuery{SQL: data.SQL, Arguments: data.Args})
	return ctx
}

func (l *listener) TraceBatchStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	l.note(data.Batch.QueuedQueries...)
	return ctx
}

func (l *listener) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData)     {}
func (l *listener) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (l *listener) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

// during returns the round trips of some work.
func (l *listener) during(work func()) [][]*pgx.QueuedQuery {
	l.mu.Lock()
	l.on, l.trips = true, nil
	l.mu.Unlock()
	work()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.on = false
	return l.trips
}

// BenchmarkTicketPage is the signed-in page of a ticket with 30 messages, beside its floor: the same queries in the same round trips,
// and the same bytes, by bare Fiber, pgx and html/template. Both are asked in turn, as a browser asks.
func BenchmarkTicketPage(b *testing.B) {
	var heard listener
	s := start(b, options{idle: true, production: true, tracer: &heard})
	id := s.longTicket(30)
	c := s.signIn(bea)
	path := "/support/" + id
	c.get(path).want(http.StatusOK) // also notes what is noted once a minute
	var page *answer
	trips := heard.during(func() { page = c.get(path).want(http.StatusOK) })
	floor := serveFloor(b, s.pool, trips, page.body)
	if got := (&client{b, &site{t: b, url: floor}, c.http}).get("/").want(http.StatusOK); got.body != page.body {
		b.Fatalf("the floor sends something else: %s", firstDifference(got.body, page.body))
	}
	queries := 0
	for _, trip := range trips {
		queries += len(trip)
	}
	ask := func(url string) time.Duration {
		began := time.Now()
		request, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url, nil)
		if err != nil {
			b.Fatal(err)
		}
		request.Header.Set("Accept-Encoding", "gzip")
		response, err := c.http.Do(request)
		if err != nil {
			b.Fatal(err)
		}
		defer response.Body.Close()
		if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != http.StatusOK {
			b.Fatalf("%s: %d, %v", url, response.StatusCode, err)
		}
		return time.Since(began)
	}
	var pages, floors []time.Duration
	for b.Loop() {
		pages = append(pages, ask(s.url+path))
		floors = append(floors, ask(floor))
	}
	median := func(all []time.Duration) float64 {
		slices.Sort(all)
		return float64(all[len(all)/2]) / float64(time.Millisecond)
	}
	b.ReportMetric(median(pages), "page-ms")
	b.ReportMetric(median(floors), "floor-ms")
	b.ReportMetric(median(floors)/median(pages), "of-floor")
	b.ReportMetric(float64(queries), "queries")
	b.ReportMetric(float64(len(page.body)), "bytes")
}

// shown finds what differs from message to message.
var shown = regexp.MustCompile(`(?s)^(<li id="message-)([^"]+)(".*?data-from=")([^"]+)(".*?<b dir="auto">)(.*?)(</b>.*?<time datetime=")([^"]+)(" title=")([^"]+)(">)(.*?)(</time>.*?<div class="prose" dir="auto">)(.*?)(</div>.*)$`)

// serveFloor answers with a page's bytes after its queries, and returns where.
func serveFloor(b *testing.B, pool *pgxpool.Pool, trips [][]*pgx.QueuedQuery, page string) string {
	b.Helper()
	parts := strings.Split(page, `<li id="message-`)
	type post struct {
		ID, From, Name       string
		At, Title, Ago, HTML template.HTML
		Rest                 [8]template.HTML
	}
	var posts []post
	for _, part := range parts[1:] {
		f := shown.FindStringSubmatch(`<li id="message-` + part)
		if f == nil {
			b.Fatalf("a message of another shape: %s", part)
		}
		p := post{f[2], f[4], html.UnescapeString(f[6]), template.HTML(f[8]), template.HTML(f[10]), template.HTML(f[12]), template.HTML(f[14]), [8]template.HTML{}}
		for i := range p.Rest {
			p.Rest[i] = template.HTML(f[2*i+1])
		}
		posts = append(posts, p)
	}
	whole := template.Must(template.New("page").Parse(`{{.Head}}{{range .Posts}}{{index .Rest 0}}{{.ID}}{{index .Rest 1}}{{.From}}{{index .Rest 2}}{{.Name}}{{index .Rest 3}}{{.At}}{{index .Rest 4}}{{.Title}}{{index .Rest 5}}{{.Ago}}{{index .Rest 6}}{{.HTML}}{{index .Rest 7}}{{end}}`))
	data := struct {
		Head  template.HTML
		Posts []post
	}{template.HTML(parts[0]), posts}
	server := fiber.New(fiber.Config{DisableStartupMessage: true})
	server.Get("/", func(c *fiber.Ctx) error {
		for _, trip := range trips {
			batch := &pgx.Batch{}
			for _, q := range trip {
				batch.Queue(q.SQL, q.Arguments...).Query(func(rows pgx.Rows) error {
					for rows.Next() {
						if _, err := rows.Values(); err != nil {
							return err
						}
					}
					return rows.Err()
				})
			}
			if err := pool.SendBatch(c.UserContext(), batch).Close(); err != nil {
				return err
			}
		}
		var out bytes.Buffer
		if err := whole.Execute(&out, data); err != nil {
			return err
		}
		c.Set(fiber.HeaderContentType, fiber.MIMETextHTMLCharsetUTF8)
		c.Set(fiber.HeaderContentEncoding, "gzip")
		return c.Send(fasthttp.AppendGzipBytesLevel(nil, out.Bytes(), fasthttp.CompressBestSpeed))
	})
	at, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = server.Listener(at) }()
	b.Cleanup(func() {
		if err := server.Shutdown(); err != nil && !errors.Is(err, net.ErrClosed) {
			b.Error(err)
		}
	})
	return "http://" + at.Addr().String()
}

// BenchmarkTicketGrowth prints what the queries of every page of support read, in a store with 1,000 tickets and in one with 100,000
// tickets and 1,000,000 messages: shared buffers and rows. It fails where a page reads more than 1.5 times as much.
func BenchmarkTicketGrowth(b *testing.B) {
	type cost struct{ buffers, rows int }
	var names []string
	measured := map[string][2]cost{}
	for i, size := range []int{1000, 100_000} {
		var heard listener
		s := start(b, options{idle: true, tracer: &heard})
		id := s.grow(size)
		for _, page := range supportPages(s, id) {
			c := s.signIn(page.who)
			path := page.path
			if page.second {
				path = c.get(path).want(http.StatusOK).find("a.next, a[rel=next]").AttrOr("href", "")
				if path == "" {
					b.Fatalf("%s has no second page", page.path)
				}
			}
			c.get(path).want(http.StatusOK)
			trips := heard.during(func() { c.get(path).want(http.StatusOK) })
			var all cost
			for _, trip := range trips {
				for _, q := range trip {
					buffers, rows := s.reads(q)
					all.buffers, all.rows = all.buffers+buffers, all.rows+rows
				}
			}
			name := strings.TrimSuffix(page.who[:strings.Index(page.who, "@")]+" "+strings.ReplaceAll(page.path, id, ":id"), " ")
			if page.second {
				name += ", page 2"
			}
			if i == 0 {
				names = append(names, name)
			}
			both := measured[name]
			both[i] = all
			measured[name] = both
		}
		s.stop()
	}
	for b.Loop() { // what was measured is not time
	}
	fmt.Printf("%-60s %24s %26s\n", "page", "buffers", "rows")
	for _, name := range names {
		few, many := measured[name][0], measured[name][1]
		more := func(few, many int) float64 { return float64(many) / float64(max(few, 1)) }
		fmt.Printf("%-60s %7d →%8d %4.1f× %8d →%8d %4.1f×\n", name, few.buffers, many.buffers, more(few.buffers, many.buffers), few.rows, many.rows, more(few.rows, many.rows))
		if more(few.buffers, many.buffers) > 1.5 || more(few.rows, many.rows) > 1.5 {
			b.Errorf("%s reads more than 1.5 times as much", name)
		}
	}
}

// benchPage is a page of support as somebody sees it; the second page of a list if it says so.
type benchPage struct {
	who, path string
	second    bool
}

func supportPages(s *site, id string) []benchPage {
	department := s.text("select id from departments where name = 'Technical support'")
	pages := []benchPage{
		{bea, "/", false}, {bea, "/support", false}, {bea, "/support/closed", false}, {bea, "/support/new", false}, {bea, "/support/" + id, false},
	}
	for _, who := range []string{sam, ada} {
		pages = append(pages, benchPage{who, "/admin", false}, benchPage{who, "/admin/support/" + id, false})
		for _, query := range []string{
			"", "status=open", "status=closed", "status=ours", "department=" + department, "department=none", "assignee=me", "assignee=none", "waiting=24",
			"q=rare77x", "q=%234150", "q=server", "status=waiting&department=" + department, "q=server+rare77x&status=open",
		} {
			pages = append(pages, benchPage{who, "/admin/support?" + query, false})
		}
		pages = append(pages, benchPage{who, "/admin/support?", true}, benchPage{who, "/admin/support?status=ours", true}, benchPage{who, "/admin/support?status=closed", true})
	}
	return pages
}

// grow fills a store with tickets, five of each account, with ten messages and two events each, and returns the id of one of Bea's.
func (s *site) grow(size int) string {
	s.t.Helper()
	for _, sql := range []string{
		"drop index ticket_messages_search", "drop index tickets_search",
		"insert into accounts (name) select 'Account ' || n from generate_series(1, $1 / 5) n",
		"insert into users (name, email, email_confirmed_at) select 'Person ' || n, 'p' || n || '@grown.example', now() from generate_series(1, $1 / 5) n",
		`insert into account_users (account_id, user_id, relation) select a.id, u.id, 'owner' from accounts a join users u on u.name = replace(a.name, 'Account', 'Person')
			where a.name like 'Account %' and $1 > 0`,
		`insert into tickets (account_id, opener_id, subject, department_id, assignee_id, status, created_at, updated_at, last_post_at, last_client_post_at, waiting_since, closed_at)
			select au.account_id, au.user_id, 'The ' || (array['server', 'shop', 'mailbox', 'domain', 'invoice'])[1 + n % 5] || ' of shop' || n, d.ids[1 + n % 4], staff.ids[1 + n % 7], status,
				at, at, at, at, case when status in ('open', 'client_replied') then at end, case when status = 'closed' then at end
			from generate_series(1, $1) n
			cross join lateral (select now() - n * interval '17 minutes' as at, (array['open', 'client_replied', 'staff_replied', 'waiting', 'closed'])[1 + (n / 7) % 5] as status) x
			join (select account_id, user_id, row_number() over (order by account_id) as k from account_users au join users u on u.id = au.user_id where u.email like '%@grown.example') au
				on au.k = 1 + n % ($1 / 5)
			cross join (select array_agg(id order by name) || null::uuid as ids from (select id, name from departments where archived_at is null order by name limit 3) x) d
			cross join (select array_agg(id order by name) || null::uuid as ids from users where role is not null) staff`,
		`insert into ticket_messages (ticket_id, author_id, author_name, voice, body, html, created_at)
			select t.id, t.opener_id, 'Somebody', 'owner', body, '<p>' || body || '</p>', t.created_at + n * interval '1 minute'
			from (select *, row_number() over (order by created_at desc) as k from tickets where subject like 'The %of%') t cross join generate_series(1, 10) n
			cross join lateral (select 'Our server answers slowly since night' || k || ', and nobody told us why. Rare' || k || 'x shows it best; could you have a look at word' || (k * n) % 5000 || ' today?' as body) x
			where $1 > 0 order by t.created_at, n`,
		`insert into ticket_events (ticket_id, actor_name, kind, at) select t.id, 'Somebody', 'edit', t.created_at + n * interval '2 minutes' from tickets t, generate_series(1, 2) n
			where t.subject like 'The %of%' and $1 > 0`,
		"create index tickets_search on tickets using gin (search)", "create index ticket_messages_search on ticket_messages using gin (search)",
	} {
		if strings.Contains(sql, "$1") {
			s.exec(sql, size)
		} else {
			s.exec(sql)
		}
	}
	id := s.longTicket(30)
	s.exec("vacuum analyze")
	return id
}

// reads runs a query and tells how many shared buffers and rows it read; nothing for what is no query.
func (s *site) reads(q *pgx.QueuedQuery) (buffers, rows int) {
	s.t.Helper()
	if word, _, _ := strings.Cut(strings.TrimSpace(strings.ToLower(q.SQL)), " "); word != "select" && word != "with" || strings.Contains(q.SQL, "insert into") || strings.Contains(q.SQL, "update ") {
		return 0, 0
	}
	var plans []struct{ Plan map[string]any }
	if err := s.pool.QueryRow(s.t.Context(), "explain (analyze, buffers, format json, timing off) "+q.SQL, q.Arguments...).Scan(&plans); err != nil {
		s.t.Fatalf("%s: %v", q.SQL, err)
	}
	number := func(node map[string]any, name string) int { n, _ := node[name].(float64); return int(n) }
	var walk func(node map[string]any)
	walk = func(node map[string]any) {
		if kind, _ := node["Node Type"].(string); strings.HasSuffix(kind, "Scan") && node["Relation Name"] != nil {
			rows += (number(node, "Actual Rows") + number(node, "Rows Removed by Filter") + number(node, "Rows Removed by Index Recheck")) * number(node, "Actual Loops")
		}
		children, _ := node["Plans"].([]any)
		for _, child := range children {
			walk(child.(map[string]any))
		}
	}
	walk(plans[0].Plan)
	return number(plans[0].Plan, "Shared Hit Blocks") + number(plans[0].Plan, "Shared Read Blocks"), rows
}
