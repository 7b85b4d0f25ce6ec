package main

import (
	"bytes"
	"context"
	"errors"
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
