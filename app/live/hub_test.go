package live

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"portico/app/db"
	"portico/app/db/dbtest"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

func TestNotify_CommitReachesEveryProcess(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	one, two := start(t, pool, pushOnly), start(t, pool, pushOnly)
	readers := []*reader{one.open(t, ""), two.open(t, ""), two.open(t, "?topics=mail:5f+mail&user=v")}
	other := two.open(t, "?topics=jobs&user=w")

	began := time.Now()
	if err := db.InTx(t.Context(), pool, func(tx pgx.Tx) error { return Notify(t.Context(), tx, "mail", "mail:5f", "mail") }); err != nil {
		t.Fatal(err)
	}
	readers[0].wantWithin(t, "mail", patience)
	readers[1].wantWithin(t, "mail", patience)
	readers[2].wantWithin(t, "mail:5f mail", patience)
	t.Logf("all told after %v", time.Since(began))

	notify(t, pool, "jobs")
	other.want(t, "jobs") // and no mail before it
}

func TestNotify_RollbackTellsNobody(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	p := start(t, pool, func(h *Hub) { swift(h); h.timing.look = 20 * time.Millisecond })
	r := p.open(t, "?topics=mail+jobs")
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := Notify(t.Context(), tx, "mail"); err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	notify(t, pool, "jobs")
	r.want(t, "jobs")
}

func TestNotify_RefusesWhatIsNoTopic(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	for _, topic := range []string{"", "Mail", "mail 5", "mail\ndata: x", "mail:", "mail:a:b", "mail:" + strings.Repeat("x", 65)} {
		if err := Notify(t.Context(), pool, "jobs", topic); err == nil {
			t.Errorf("%q passed", topic)
		}
	}
	var rows int
	if err := pool.QueryRow(t.Context(), "select count(*) from live_events").Scan(&rows); err != nil || rows != 0 {
		t.Errorf("%d rows were written, %v", rows, err)
	}
}

// Every change comes twice, by notification and by looking.
func TestHub_TellsAChangeOnce(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	quick := func(h *Hub) { swift(h); h.timing.look = 10 * time.Millisecond }
	p := start(t, pool, quick)
	looking := start(t, pool, func(h *Hub) { quick(h); deaf(h) })
	const changes = 12
	var topics []string
	for i := range changes {
		topics = append(topics, fmt.Sprintf("mail:%d", i))
	}
	r := p.open(t, "?topics="+strings.Join(topics, "+")+"+jobs")
	fence := looking.open(t, "?topics=jobs")
	for _, topic := range topics {
		notify(t, pool, topic)
	}
	for range 3 { // after which looking has found everything, too
		notify(t, pool, "jobs")
		fence.want(t, "jobs")
	}
	var told []string
	for jobs := 0; jobs < 3; {
		event := r.next(t, patience)
		for topic := range strings.FieldsSeq(event) {
			if topic == "jobs" {
				jobs++
			} else {
				told = append(told, topic)
			}
		}
	}
	slices.Sort(told)
	slices.Sort(topics)
	if !slices.Equal(told, topics) {
		t.Errorf("told %q", told)
	}
}

func TestHub_FindsWhatItWasNotTold(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	p := start(t, pool, deaf)
	r := p.open(t, "")
	began := time.Now()
	notify(t, pool, "mail")
	r.wantWithin(t, "mail", patience)
	t.Logf("found after %v", time.Since(began))
}

// Ids are given at the start of a transaction, so one that began earlier may become visible later.
func TestHub_FindsCommitsOutOfOrder(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	p := start(t, pool, func(h *Hub) {
		deaf(h)
		swift(h)
		h.timing.look = 10 * time.Millisecond
		h.timing.keep = 50 * time.Millisecond
	})
	r := p.open(t, "?topics=mail+jobs")
	slow, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Rollback(context.Background())
	if err := Notify(t.Context(), slow, "mail"); err != nil {
		t.Fatal(err)
	}
	// More than one look, and more than one clearing, pass before the slow one commits.
	for range 20 {
		notify(t, pool, "jobs")
		r.want(t, "jobs")
	}
	if err := slow.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.want(t, "mail")
}

func TestHub_ClearsOldRows(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	for range 2 {
		start(t, pool, func(h *Hub) { h.timing.look = 10 * time.Millisecond; h.timing.keep = 30 * time.Millisecond })
	}
	notify(t, pool, "mail", "jobs")
	until(t, "the rows to be cleared", func() bool {
		// Only a later transaction makes the earlier ones old.
		notify(t, pool, "team")
		var left int
		err := pool.QueryRow(t.Context(), "select count(*) from live_events where topic <> 'team'").Scan(&left)
		return err == nil && left == 0
	})
}

// A change whose transaction was open when the old snapshot was taken may have committed this moment.
func TestHub_KeepsRowsThatOthersMayNotHaveFound(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	h := NewHub(pool, slog.New(slog.DiscardHandler))
	conn, err := pgx.ConnectConfig(t.Context(), h.connect)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	snapshot := func() string {
		t.Helper()
		snapshot, err := h.look(t.Context(), conn, "1:1:")
		if err != nil {
			t.Fatal(err)
		}
		return snapshot
	}
	slow, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Rollback(context.Background())
	if err := Notify(t.Context(), slow, "mail"); err != nil {
		t.Fatal(err)
	}
	notify(t, pool, "jobs")
	during := snapshot()
	if err := slow.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	left := func(snapshot string) (n int) {
		t.Helper()
		if err := h.clear(t.Context(), conn, snapshot); err != nil {
			t.Fatal(err)
		}
		if err := pool.QueryRow(t.Context(), "select count(*) from live_events").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := left(during); n != 2 {
		t.Errorf("%d rows are left while somebody may not have found them, want 2", n)
	}
	// Transactions of other databases on this server, other tests' that is, hold a snapshot back as well.
	deadline := time.Now().Add(patience)
	for left(snapshot()) != 0 {
		if time.Now().After(deadline) {
			t.Fatal("rows that everybody has found stay")
		}
	}
}

// listeners returns the server processes that hubs are connected to.
func listeners(t testing.TB, pool *pgxpool.Pool) []int32 {
	t.Helper()
	rows, err := pool.Query(t.Context(), "select pid from pg_stat_activity where application_name = 'portico live' and datname = current_database()")
	if err != nil {
		t.Fatal(err)
	}
	pids, err := pgx.CollectRows(rows, pgx.RowTo[int32])
	if err != nil {
		t.Fatal(err)
	}
	return pids
}

func TestHub_ComesBackAndCatchesUp(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	p := start(t, pool, pushOnly)
	r := p.open(t, "")
	for range 3 {
		pids := listeners(t, pool)
		if len(pids) != 1 {
			t.Fatalf("the hub holds %d connections", len(pids))
		}
		if _, err := pool.Exec(t.Context(), "select pg_terminate_backend($1)", pids[0]); err != nil {
			t.Fatal(err)
		}
		r.want(t, "resync") // for what was said meanwhile
		notify(t, pool, "mail")
		r.wantWithin(t, "mail", patience) // heard again, not found: this hub does not look
	}
}

func TestHub_WaitsForADatabaseThatIsAway(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	elsewhere := pool.Config().ConnConfig
	name := pgx.Identifier{elsewhere.Database}.Sanitize()
	elsewhere.Database = "postgres"
	admin, err := pgx.ConnectConfig(t.Context(), elsewhere)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(context.Background())
	p := start(t, pool, func(h *Hub) { h.timing.reconnect = 50 * time.Millisecond })
	r := p.open(t, "")
	alter := func(allow bool) {
		t.Helper()
		if _, err := admin.Exec(t.Context(), fmt.Sprintf("alter database %s allow_connections %t", name, allow)); err != nil {
			t.Fatal(err)
		}
	}
	alter(false)
	if _, err := pool.Exec(t.Context(), "select pg_terminate_backend($1)", listeners(t, pool)[0]); err != nil {
		t.Fatal(err)
	}
	notify(t, pool, "mail") // by a connection that is still open
	until(t, "the hub to be without a connection", func() bool { return len(listeners(t, pool)) == 0 })
	alter(true)
	r.want(t, "resync")
	notify(t, pool, "mail")
	r.want(t, "mail")
}
