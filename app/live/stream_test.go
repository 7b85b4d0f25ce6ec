package live

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"portico/app"
	"portico/app/db"
	"portico/app/db/dbtest"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

func TestStream_OpensAtOnce(t *testing.T) {
	t.Parallel()
	p := start(t, dbtest.New(t), nil)
	r := p.get(t, "")
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream", "Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no",
	} {
		if got := r.response.Header.Get(name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	r.follow(t)
}

func TestStream_HeadHoldsNothing(t *testing.T) {
	t.Parallel()
	p := start(t, dbtest.New(t), nil)
	response, err := http.Head("http://" + p.addr + "/live")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if got := response.Header.Get("Content-Type"); response.StatusCode != http.StatusOK || got != "text/event-stream" {
		t.Errorf("the answer is %d, %s", response.StatusCode, got)
	}
	p.wait(t, 0)
}

// The server's timeouts, which are shorter than this, are for requests.
func TestStream_BeatsAndOutlivesTimeouts(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	p := start(t, pool, func(h *Hub) { h.timing.beat = 50 * time.Millisecond })
	var asked atomic.Int32
	p.allow(func(context.Context) error { asked.Add(1); return nil })
	r := p.open(t, "")
	for beats := 0; beats < 20; {
		select {
		case event := <-r.events:
			if event != ": beat" {
				t.Fatalf("the stream says %q", event)
			}
			beats++
		case <-time.After(patience):
			t.Fatal("no beat")
		}
	}
	if n := asked.Load(); n < 21 {
		t.Errorf("asked %d times in 20 beats", n)
	}
	notify(t, pool, "mail")
	r.want(t, "mail")
}

func TestStream_EndsAfterItsLife(t *testing.T) {
	t.Parallel()
	p := start(t, dbtest.New(t), func(h *Hub) { h.timing.life = 100 * time.Millisecond })
	r := p.open(t, "")
	r.wantEnd(t, patience)
	p.wait(t, 0)
}

func TestStream_TellsWhatChangedWhileItsPageWasOnTheWay(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	p := start(t, pool, func(h *Hub) { h.timing.keep = 300 * time.Millisecond; h.timing.look = 50 * time.Millisecond })
	first := p.open(t, "")
	notify(t, pool, "mail")
	first.want(t, "mail")
	p.open(t, "?topics=jobs+mail&user=v").want(t, "mail")
	until(t, "the change to be old", func() bool {
		p.hub.mu.Lock()
		defer p.hub.mu.Unlock()
		return len(p.hub.heard) == 0
	})
	late := p.open(t, "?topics=jobs+mail&user=w")
	notify(t, pool, "jobs")
	late.want(t, "jobs")
}

func TestStream_MergesChanges(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	p := start(t, pool, nil)
	var asked atomic.Int32
	p.allow(func(context.Context) error { asked.Add(1); return nil })
	r := p.open(t, "?topics=mail+jobs")
	notify(t, pool, "mail")
	r.want(t, "mail")
	for range 50 {
		notify(t, pool, "jobs")
	}
	notify(t, pool, "mail")
	r.wantWithin(t, "mail jobs", patience)
	if n := asked.Load(); n > 4 {
		t.Errorf("asked %d times for one opening and two events", n)
	}
}

func TestStream_AsksBeforeOpening(t *testing.T) {
	t.Parallel()
	p := start(t, dbtest.New(t), nil)
	for answer, want := range map[error]int{
		app.ErrSignedOut: http.StatusUnauthorized, app.ErrNotFound: http.StatusNotFound,
		errors.New("the database is away"): http.StatusInternalServerError,
	} {
		p.allow(func(context.Context) error { return answer })
		if got := p.get(t, "").response; got.StatusCode != want || got.Header.Get("Content-Type") == "text/event-stream" {
			t.Errorf("%v is answered with %d, %s", answer, got.StatusCode, got.Header.Get("Content-Type"))
		}
	}
	p.wait(t, 0)
}

// session makes a signed-in user and returns the user's and the session's id, and what Allowed asks.
func session(t testing.TB, pool *pgxpool.Pool) (user, id string, allowed func(ctx context.Context) error) {
	t.Helper()
	if err := pool.QueryRow(t.Context(), `
		with person as (insert into users (name, email) values ('Sam', gen_random_uuid() || '@northwind.example') returning id)
		insert into sessions (token_hash, user_id, ip, browser, expires_at)
		select sha256(gen_random_uuid()::text::bytea), id, '192.0.2.1', 'Firefox', now() + '1 hour' from person
		returning user_id, id`).Scan(&user, &id); err != nil {
		t.Fatal(err)
	}
	return user, id, func(ctx context.Context) error {
		var there bool
		err := pool.QueryRow(ctx, `
			select true from sessions join users on users.id = sessions.user_id
			where sessions.id = $1 and expires_at > now() and disabled_at is null`, id).Scan(&there)
		if errors.Is(err, pgx.ErrNoRows) {
			return app.ErrSignedOut
		}
		return err
	}
}

func TestStream_EndsWhenTheRightEnds(t *testing.T) {
	t.Parallel()
	const signOut, disable = "delete from sessions where id = $1", "update users set disabled_at = now() where id = (select user_id from sessions where id = $1)"
	for name, test := range map[string]struct {
		sql    string
		topics func(user, session string) []string
		change func(h *Hub)
		within time.Duration
	}{
		"signed out": {signOut, func(_, s string) []string { return []string{"session:" + s} }, nil, patience},
		"disabled":   {disable, func(u, _ string) []string { return []string{"user:" + u} }, nil, patience},
		// Of which the stream must say nothing.
		"with a change of the page": {signOut, func(string, string) []string { return []string{"mail"} }, nil, patience},
		"push lost":                 {disable, func(u, _ string) []string { return []string{"user:" + u} }, deaf, 5 * patience},
		"never told": {signOut, func(string, string) []string { return nil },
			func(h *Hub) { h.timing.beat = 500 * time.Millisecond }, patience},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := dbtest.New(t)
			p := start(t, pool, test.change)
			user, id, allowed := session(t, pool)
			p.allow(allowed)
			r := p.open(t, "?topics=mail&user="+user+"&session="+id)
			began := time.Now()
			if err := db.InTx(t.Context(), pool, func(tx pgx.Tx) error {
				if _, err := tx.Exec(t.Context(), test.sql, id); err != nil {
					return err
				}
				return Notify(t.Context(), tx, test.topics(user, id)...)
			}); err != nil {
				t.Fatal(err)
			}
			r.wantEnd(t, test.within)
			t.Logf("ended after %v", time.Since(began))
			p.wait(t, 0)
			if got := p.get(t, "?user="+user+"&session="+id).response.StatusCode; got != http.StatusUnauthorized {
				t.Errorf("coming back is answered with %d", got)
			}
		})
	}
}

// A right that is revoked while the answer to the opening question is on its way.
func TestStream_EndsWhenTheRightEndsWhileOpening(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	p := start(t, pool, nil)
	user, id, allowed := session(t, pool)
	watching := p.open(t, "?topics=session:"+id)
	first := true
	p.allow(func(ctx context.Context) error {
		err := allowed(ctx)
		if first {
			first = false
			if _, err := pool.Exec(ctx, "delete from sessions where id = $1", id); err != nil {
				return err
			}
			if err := Notify(ctx, pool, "session:"+id); err != nil {
				return err
			}
			until(t, "the hub to have heard", func() bool {
				p.hub.mu.Lock()
				defer p.hub.mu.Unlock()
				_, heard := p.hub.heard["session:"+id]
				return heard
			})
		}
		return err
	})
	r := p.open(t, "?user="+user+"&session="+id)
	r.wantEnd(t, patience)
	watching.leave()
}

func TestStream_EndsWhenNobodyCanTell(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	p := start(t, pool, func(h *Hub) { h.timing.ask = 50 * time.Millisecond })
	for name, answer := range map[string]func(ctx context.Context) error{
		"error":     func(context.Context) error { return errors.New("the database is away") },
		"no answer": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	} {
		p.allow(func(context.Context) error { return nil })
		topic := "mail:" + strings.ReplaceAll(name, " ", "-")
		r := p.open(t, "?topics="+topic)
		p.allow(answer)
		notify(t, pool, topic)
		wantFarewell(t, r, patience)
	}
	p.wait(t, 0)
}

func TestStream_SurvivesAPanicOfOne(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	p := start(t, pool, nil)
	r := p.open(t, "")
	p.allow(func(context.Context) error { panic("a mistake") })
	notify(t, pool, "mail")
	if event := r.next(t, patience); event != "" {
		t.Errorf("the stream says %q", event)
	}
	p.wait(t, 0)
	if n := len(p.hub.asking); n != 0 {
		t.Errorf("%d places stay taken", n)
	}
}

// wantFarewell waits for the stream's end and wants nothing before it but when to come back.
func wantFarewell(t testing.TB, r *reader, within time.Duration) {
	t.Helper()
	event := r.next(t, within)
	var after int
	if _, err := fmt.Sscanf(event, "retry: %d", &after); err != nil || after < 1000 || after > 10000 {
		t.Fatalf("the stream says %q", event)
	}
	r.wantEnd(t, within)
}

func TestStream_Limits(t *testing.T) {
	t.Parallel()
	p := start(t, dbtest.New(t), func(h *Hub) { h.limits.streams = 9 })
	var mine []*reader
	for range 6 {
		mine = append(mine, p.open(t, "?user=me"))
	}
	refused := func(user string) {
		t.Helper()
		r := p.get(t, "?user="+user)
		if r.response.StatusCode != http.StatusTooManyRequests || r.response.Header.Get("Retry-After") != "60" {
			t.Fatalf("one more is answered with %d, again after %q", r.response.StatusCode, r.response.Header.Get("Retry-After"))
		}
	}
	refused("me")
	for i := range 3 {
		p.open(t, fmt.Sprint("?user=", i))
	}
	refused("somebody-else") // the ninth was the last of all
	mine[0].leave()
	p.wait(t, 8)
	p.open(t, "?user=me")
}

func TestHub_CloseEndsStreams(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	p := start(t, pool, func(h *Hub) { swift(h); h.limits.perUser = 60 })
	var readers []*reader
	for range 50 {
		readers = append(readers, p.open(t, ""))
	}
	stuck := p.stuck(t, pool)
	p.allow(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }) // a question is open, too
	notify(t, pool, "mail")
	p.hub.Close()
	p.allow(func(context.Context) error { return nil })
	if got := p.get(t, "?user=new").response.StatusCode; got != http.StatusServiceUnavailable {
		t.Errorf("a new stream is answered with %d", got)
	}
	if err := p.fiber.ShutdownWithTimeout(patience); err != nil {
		t.Fatal(err)
	}
	waits := map[string]bool{}
	for _, r := range readers {
		event := r.next(t, patience)
		if event == "mail" { // was told before the end began
			event = r.next(t, patience)
		}
		waits[event] = true
		var after int
		if _, err := fmt.Sscanf(event, "retry: %d", &after); err != nil || after < 1000 || after > 10000 {
			t.Fatalf("the stream says %q", event)
		}
		r.wantEnd(t, patience)
	}
	if len(waits) < 25 {
		t.Errorf("%d streams come back at %d moments", len(readers), len(waits))
	}
	stuck.leave()
}

// stuck opens a stream, reads nothing of it, and returns when the server can write no more.
func (p *process) stuck(t testing.TB, pool *pgxpool.Pool) *reader {
	t.Helper()
	dialer := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if controlErr := c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) }); controlErr != nil {
			return controlErr
		}
		return err
	}}
	conn, err := dialer.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	r := ask(t, conn, "?topics=stuck&user=stuck")
	var s *stream
	p.hub.mu.Lock()
	for one := range p.hub.watchers["stuck"] {
		s = one
	}
	p.hub.mu.Unlock()
	// One change of an own topic at a time, each told before the next, until one is not: then a write waits.
	for told := true; told; {
		s.poke(1)
		deadline := time.Now().Add(500 * time.Millisecond)
		for told = false; !told && time.Now().Before(deadline); runtime.Gosched() {
			told = s.pending.Load() == 0
		}
	}
	return r
}

func TestStream_SlowReaderDelaysNobody(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	p := start(t, pool, func(h *Hub) { swift(h); h.timing.write = 2 * time.Second })
	other := p.open(t, "")
	stuck := p.stuck(t, pool)
	for range 100 {
		if err := Notify(t.Context(), pool, "mail", "stuck"); err != nil {
			t.Fatal(err)
		}
		other.wantWithin(t, "mail", patience)
	}
	p.wait(t, 1) // the stuck one was dropped
	stuck.leave()
}

// Not parallel: it counts the goroutines of the whole process.
func TestStream_LeavesNothingBehind(t *testing.T) {
	pool := dbtest.New(t)
	p := start(t, pool, func(h *Hub) { h.limits.perUser = 500; h.timing.beat = time.Hour })
	user, id, allowed := session(t, pool)
	p.allow(allowed)
	p.open(t, "?user=warm").leave() // the pool and the server have what they keep
	p.wait(t, 0)
	before := settled()
	const streams = 500
	conns := make([]*reader, streams)
	for i := range conns {
		conns[i] = p.get(t, "?topics=mail+jobs&user="+user+"&session="+id)
	}
	p.wait(t, streams)
	if n := runtime.NumGoroutine(); n < before+2*streams {
		t.Fatalf("%d goroutines before and %d with %d streams: this test measures nothing", before, n, streams)
	}
	began := time.Now()
	for i, r := range conns {
		if i%2 == 0 {
			_ = r.conn.(*net.TCPConn).SetLinger(0) // a reset
		}
		r.leave()
	}
	p.wait(t, 0)
	t.Logf("%d departures noticed in %v", streams, time.Since(began))
	until(t, "the goroutines to be gone", func() bool { return runtime.NumGoroutine() <= before })
	p.hub.mu.Lock()
	defer p.hub.mu.Unlock()
	if len(p.hub.users) != 0 || len(p.hub.watchers) != 0 {
		t.Errorf("%d users and %d topics are still counted", len(p.hub.users), len(p.hub.watchers))
	}
}

// settled counts goroutines once their number has stopped falling for longer than idle ones are kept.
func settled() int {
	n := runtime.NumGoroutine()
	for since := time.Now(); time.Since(since) < 500*time.Millisecond; time.Sleep(5 * time.Millisecond) {
		if now := runtime.NumGoroutine(); now != n {
			n, since = now, time.Now()
		}
	}
	return n
}

func TestStream_BehindNginx(t *testing.T) {
	t.Parallel()
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		if nginx, err = exec.LookPath("/usr/sbin/nginx"); err != nil {
			t.Fatal("nginx is not installed: apt install nginx")
		}
	}
	pool := dbtest.New(t)
	p := start(t, pool, nil)
	dir, err := os.MkdirTemp("", "nginx")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "socket")
	config := fmt.Sprintf(`
		daemon off; master_process off; pid %[1]s/pid; error_log stderr;
		events {}
		http {
			access_log off;
			client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi;
			uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
			server { listen unix:%[2]s; location / { proxy_pass http://%[3]s; } }
		}`, dir, socket, p.addr)
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(nginx, "-p", dir, "-e", "stderr", "-c", filepath.Join(dir, "nginx.conf"))
	var said strings.Builder
	command.Stdout, command.Stderr = &said, &said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Signal(os.Interrupt)
		_ = command.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	})
	var conn net.Conn
	until(t, "nginx", func() bool {
		conn, err = net.Dial("unix", socket)
		return err == nil
	})
	r := ask(t, conn, "")
	r.follow(t)
	for range 3 {
		notify(t, pool, "mail")
		r.wantWithin(t, "mail", patience)
	}
	r.leave()
	p.wait(t, 0) // noticed through nginx, too
}
