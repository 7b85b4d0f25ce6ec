package live

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"portico/app"
	"portico/app/db/dbtest"

	"github.com/gofiber/fiber/v2"
	"github.com/jackc/pgx/v5/pgxpool"
)

func TestMain(m *testing.M) { dbtest.Main(tests{m}) }

// patience is how long a test waits for what must come.
const patience = time.Minute

// process is one process of the portal, as far as streams go: a hub, and a server on real TCP.
type process struct {
	hub    *Hub
	fiber  *fiber.App
	addr   string
	answer atomic.Pointer[func(ctx context.Context) error] // what Allowed answers, nil is yes
}

// start runs a process. Its streams at /live watch the topics that the query names, for the user that it names. routes adds
// to them.
func start(t testing.TB, pool *pgxpool.Pool, change func(h *Hub), routes ...func(server *fiber.App)) *process {
	t.Helper()
	hears := make(signal, 1)
	p := &process{hub: NewHub(pool, slog.New(hears))}
	if change != nil {
		change(p.hub)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		p.hub.Run(ctx)
	}()
	p.fiber = newFiber()
	// A request's context ends with its handler.
	p.fiber.Use(func(c *fiber.Ctx) error {
		ctx, cancel := context.WithCancel(c.UserContext())
		defer cancel()
		c.SetUserContext(ctx)
		return c.Next()
	})
	for _, add := range routes {
		add(p.fiber)
	}
	p.fiber.Get("/live", func(c *fiber.Ctx) error {
		return Stream(c, p.hub, Watch{
			Topics: strings.Fields(c.Query("topics", "mail")), UserID: c.Query("user", "u"), SessionID: c.Query("session", "s"),
			Allowed: func(ctx context.Context) error {
				if answer := p.answer.Load(); answer != nil {
					return (*answer)(ctx)
				}
				return ctx.Err()
			},
		})
	})
	p.addr = listen(t, p.fiber)
	t.Cleanup(func() {
		p.hub.Close()
		if err := p.fiber.ShutdownWithTimeout(patience); err != nil {
			t.Errorf("shut down: %v", err)
		}
		cancel()
		<-ran
	})
	select {
	case <-hears:
	case <-time.After(patience):
		t.Fatal("the hub does not reach the database")
	}
	return p
}

// newFiber is a server with timeouts far shorter than a stream lives: they must not end one.
func newFiber() *fiber.App {
	server := fiber.New(fiber.Config{
		DisableStartupMessage: true, Immutable: true, ReadBufferSize: 16 << 10,
		ReadTimeout: 200 * time.Millisecond, WriteTimeout: 200 * time.Millisecond, IdleTimeout: 200 * time.Millisecond,
		ErrorHandler: func(c *fiber.Ctx, err error) error {
			var limited *app.Limited
			switch {
			case errors.As(err, &limited):
				c.Set(fiber.HeaderRetryAfter, strconv.Itoa(int(limited.After.Seconds())))
				return c.SendStatus(fiber.StatusTooManyRequests)
			case errors.Is(err, app.ErrNotFound):
				return c.SendStatus(fiber.StatusNotFound)
			case errors.Is(err, app.ErrBusy):
				return c.SendStatus(fiber.StatusServiceUnavailable)
			}
			return c.Status(fiber.StatusInternalServerError).SendString(err.Error())
		},
	})
	server.Server().Logger = silent{}
	server.Server().MaxIdleWorkerDuration = 100 * time.Millisecond // for counting goroutines soon after
	return server
}

type silent struct{}

func (silent) Printf(string, ...any) {}

// listen puts a server on a port of its own.
func listen(t testing.TB, server *fiber.App) (addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Listener(smallBuffers{listener}) }()
	return listener.Addr().String()
}

// signal is a log that tells when the hub hears of changes.
type signal chan struct{}

func (s signal) Enabled(context.Context, slog.Level) bool { return true }
func (s signal) WithAttrs([]slog.Attr) slog.Handler       { return s }
func (s signal) WithGroup(string) slog.Handler            { return s }
func (s signal) Handle(_ context.Context, r slog.Record) error {
	if r.Level == slog.LevelInfo {
		select {
		case s <- struct{}{}:
		default:
		}
	}
	return nil
}

// smallBuffers makes the kernel hold little of what a browser does not read.
type smallBuffers struct{ net.Listener }

func (l smallBuffers) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		err = conn.(*net.TCPConn).SetWriteBuffer(4096)
	}
	return conn, err
}

// allow sets what Allowed answers from now on.
func (p *process) allow(answer func(ctx context.Context) error) { p.answer.Store(&answer) }

// wait returns when so many streams are open.
func (p *process) wait(t testing.TB, streams int) {
	t.Helper()
	until(t, fmt.Sprintf("%d streams", streams), func() bool { return p.hub.Streams() == streams })
}

// until asks until the answer is yes.
func until(t testing.TB, what string, ask func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ask() {
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s in vain", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// reader is a browser's end of a stream.
type reader struct {
	conn     net.Conn
	response *http.Response
	events   chan string // the data of each event, "resync", a comment, a later "retry: N"; closed at the stream's end
	clean    bool        // the answer was complete, once events is closed
}

// get asks for a stream, and does not read on after the answer's head.
func (p *process) get(t testing.TB, query string) *reader {
	t.Helper()
	conn, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	return ask(t, conn, query)
}

func ask(t testing.TB, conn net.Conn, query string) *reader {
	t.Helper()
	t.Cleanup(func() { conn.Close() })
	if _, err := fmt.Fprintf(conn, "GET /live%s HTTP/1.1\r\nHost: portal\r\nAccept: text/event-stream\r\n\r\n", query); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Time{})
	return &reader{conn: conn, response: response, events: make(chan string, 4096)}
}

// open opens a stream and reads it. It returns once the first comment was read.
func (p *process) open(t testing.TB, query string) *reader {
	t.Helper()
	r := p.get(t, query)
	r.follow(t)
	return r
}

func (r *reader) follow(t testing.TB) {
	t.Helper()
	if r.response.StatusCode != http.StatusOK {
		t.Fatalf("the stream's status is %d", r.response.StatusCode)
	}
	go r.read()
	r.want(t, ": open")
}

func (r *reader) read() {
	defer close(r.events)
	lines := bufio.NewScanner(r.response.Body)
	var data []string
	resync, opened := false, false
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "data: "):
			data = append(data, line[len("data: "):])
		case line == "event: resync":
			resync = true
		case line == "" && data != nil:
			if resync {
				data = []string{"resync"}
			}
			r.events <- strings.Join(data, " ")
			data, resync = nil, false
		case strings.HasPrefix(line, "retry: ") && !opened:
			opened = true // the usual one
		case strings.HasPrefix(line, ":"), strings.HasPrefix(line, "retry: "):
			r.events <- line
		}
	}
	r.clean = lines.Err() == nil
}

// next returns what comes next but heartbeats, or "" at the stream's end.
func (r *reader) next(t testing.TB, within time.Duration) string {
	t.Helper()
	deadline := time.After(within)
	for {
		select {
		case event := <-r.events:
			if event != ": beat" {
				return event
			}
		case <-deadline:
			t.Fatalf("nothing came within %v", within)
		}
	}
}

func (r *reader) want(t testing.TB, event string) {
	t.Helper()
	r.wantWithin(t, event, patience)
}

func (r *reader) wantWithin(t testing.TB, event string, within time.Duration) {
	t.Helper()
	if got := r.next(t, within); got != event {
		t.Fatalf("the stream says %q and not %q", got, event)
	}
}

// wantEnd waits for the stream's end and wants no event before it.
func (r *reader) wantEnd(t testing.TB, within time.Duration) {
	t.Helper()
	r.wantWithin(t, "", within)
	if !r.clean {
		t.Error("the stream broke off and did not end")
	}
}

// leave cuts the connection, as a closed tab does.
func (r *reader) leave() { r.conn.Close() }

func notify(t testing.TB, pool *pgxpool.Pool, topics ...string) {
	t.Helper()
	if err := Notify(t.Context(), pool, topics...); err != nil {
		t.Fatal(err)
	}
}

// swift makes a hub tell what it hears at once, so that each change is an event.
func swift(h *Hub) { h.timing.gap, h.timing.spread = 0, 0 }

// deaf makes a hub hear of nothing by notification.
func deaf(h *Hub) { h.deaf = true }

// pushOnly makes a hub find nothing by looking.
func pushOnly(h *Hub) { h.timing.look = time.Hour }
