package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"portico/app"
	"portico/app/provisioning"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// recorder notes what a portal says to its database, as transactions in the order in which they began.
type recorder struct {
	mu   sync.Mutex
	on   bool
	open map[*pgx.Conn]*transaction
	all  []*transaction
}

// transaction is what one connection says between begin and commit, or one statement by itself.
type transaction struct{ trips [][]*pgx.QueuedQuery }

func (r *recorder) note(conn *pgx.Conn, queries ...*pgx.QueuedQuery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.on {
		return
	}
	t := r.open[conn]
	if t == nil {
		t = &transaction{}
		r.all = append(r.all, t)
	}
	t.trips = append(t.trips, queries)
	switch queries[0].SQL {
	case "begin":
		r.open[conn] = t
	case "commit", "rollback":
		delete(r.open, conn)
	}
}

func (r *recorder) TraceQueryStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	r.note(conn, &pgx.QueuedQuery{SQL: data.SQL, Arguments: data.Args})
	return ctx
}

func (r *recorder) TraceBatchStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	r.note(conn, data.Batch.QueuedQueries...)
	return ctx
}

func (r *recorder) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData)     {}
func (r *recorder) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (r *recorder) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

// replay says all of it again to a database that is as the first one was before, by as many connections as the pool has: each takes the
// next transaction when it is through with one. It returns how many statements there were, and how many were refused, for order is
// kept only nearly.
func replay(b *testing.B, pool *pgxpool.Pool, all []*transaction) (statements, refused int64) {
	b.Helper()
	var next, said, no atomic.Int64
	var group sync.WaitGroup
	for range pool.Config().MaxConns {
		group.Go(func() {
			conn, err := pool.Acquire(b.Context())
			if err != nil {
				b.Error(err)
				return
			}
			defer conn.Release()
			for {
				i := int(next.Add(1)) - 1
				if i >= len(all) {
					return
				}
				for _, trip := range all[i].trips {
					batch := &pgx.Batch{}
					for _, q := range trip {
						batch.Queue(q.SQL, q.Arguments...)
					}
					said.Add(int64(len(trip)))
					if len(trip) == 1 {
						_, err = conn.Exec(b.Context(), trip[0].SQL, trip[0].Arguments...)
					} else {
						err = conn.SendBatch(b.Context(), batch).Close()
					}
					if err != nil {
						no.Add(1)
					}
				}
				if conn.Conn().PgConn().TxStatus() != 'I' {
					_, _ = conn.Exec(b.Context(), "rollback")
				}
			}
		})
	}
	group.Wait()
	return said.Load(), no.Load()
}

// sandboxed makes as many hosting products of Bea's that are at the Sandbox, and returns their ids. They are the same on every database
// that is cloned from the demo store.
func sandboxed(s *site, n int) []string {
	s.t.Helper()
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("0198c0de-0000-7000-8000-%012d", i)
	}
	s.exec(`insert into contract_products (id, account_id, contract_id, product_id, plan_id, name, category, status, price_minor, fields, configuration_id)
		select n::uuid, account_id, contract_id, product_id, plan_id, name, category, 'active', price_minor, fields,
			(select id from provision_configurations where name = 'Sandbox web hosting') from contract_products, unnest($2::text[]) n where id = $1`, s.text(hosting), ids)
	s.exec("update provision_configurations set rate_per_second = 1000 where name = 'Sandbox web hosting'")
	return ids
}

// BenchmarkActions is actions per second through the Sandbox, from the click to the end of the run, beside the same statements bare: what
// the portal, its worker and the Sandbox said to the database is said again by pgx alone to a database like it.
func BenchmarkActions(b *testing.B) {
	const actions = 300
	var portal, bare []time.Duration
	var statements, refused int64
	for b.Loop() {
		b.StopTimer()
		r := &recorder{open: map[*pgx.Conn]*transaction{}}
		s := start(b, options{tracer: r})
		s.settle()
		products := sandboxed(s, actions)
		admin := app.Viewer{UserID: s.userID(ada), Name: "Ada Moreau", Role: "admin", Confirmed: true, ProvedAt: time.Now()}
		floor := start(b, options{idle: true})
		sandboxed(floor, actions)
		s.exec("analyze")
		floor.exec("analyze")
		s.exec("delete from rate_limits")
		r.mu.Lock()
		r.on = true
		r.mu.Unlock()
		b.StartTimer()
		began := time.Now()
		var next atomic.Int64
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				for i := next.Add(1) - 1; i < actions; i = next.Add(1) - 1 {
					if i%200 == 199 {
						s.exec("delete from rate_limits")
					}
					a := provisioning.Asking{ProductID: products[i], Action: "getInfo", Token: uuid.NewString(), Values: map[string][]string{"username": {"bluebird"}}}
					if _, err := s.runs.Request(b.Context(), admin, a); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		group.Wait()
		wait(b, "all runs to end", func() bool {
			return s.text("select count(*) from provision_runs where product_id = any($1::uuid[]) and finished_at is not null", products) == fmt.Sprint(actions)
		})
		portal = append(portal, time.Since(began))
		b.StopTimer()
		r.mu.Lock()
		r.on = false
		r.mu.Unlock()
		if done := s.text("select count(*) from provision_runs where product_id = any($1::uuid[]) and status = 'succeeded'", products); done != fmt.Sprint(actions) {
			b.Fatalf("%s of %d succeeded: %s", done, actions, s.text("select max(message) from provision_runs where product_id = any($1::uuid[]) and status <> 'succeeded'", products))
		}
		s.stop()
		began = time.Now()
		n, no := replay(b, floor.pool, r.all)
		bare = append(bare, time.Since(began))
		statements, refused = statements+n, refused+no
		floor.stop()
		b.StartTimer()
	}
	each := func(all []time.Duration) float64 {
		slices.Sort(all)
		return actions / all[len(all)/2].Seconds()
	}
	b.ReportMetric(each(portal), "actions/s")
	b.ReportMetric(each(bare), "bare/s")
	b.ReportMetric(each(portal)/each(bare), "ratio")
	b.ReportMetric(float64(statements)/float64(actions*len(bare)), "statements/action")
	b.ReportMetric(float64(refused)/float64(statements), "refused")
}

// BenchmarkClick is the time from a click, posted by a browser, to the first attempt at the provider, when nothing else is going on.
func BenchmarkClick(b *testing.B) {
	s := start(b, options{})
	s.settle()
	product := sandboxed(s, 1)[0]
	c := s.signIn(bea)
	path, header := "/manage/"+product+"/login", http.Header{"X-Csrf-Token": {c.token()}}
	var took []time.Duration
	for b.Loop() {
		b.StopTimer()
		s.exec("delete from rate_limits")
		form := map[string][]string{"form_token": {uuid.NewString()}}
		before := s.text("select count(*) from provision_runs")
		b.StartTimer()
		began := time.Now()
		c.post(path, form, header).want(http.StatusSeeOther)
		b.StopTimer()
		wait(b, "the run to end", func() bool {
			return s.text("select count(*) from provision_runs where product_id = $1 and finished_at is null", product) == "0" && s.text("select count(*) from provision_runs") != before
		})
		var at time.Time
		if err := s.pool.QueryRow(b.Context(), "select a.started_at from provision_attempts a join provision_runs r on r.id = a.run_id where r.product_id = $1 order by r.id desc, a.attempt limit 1", product).Scan(&at); err != nil {
			b.Fatal(err)
		}
		took = append(took, at.Sub(began))
		b.StartTimer()
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2])/1e6, "ms-median")
	b.ReportMetric(float64(took[len(took)*95/100])/1e6, "ms-p95")
}
