package jobs

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"portico/app"
	"portico/app/db"
	"portico/app/provisioning"
)

// seedVariable names the seed of the checker's draws, to try again with the same ones.
const seedVariable = "PORTICO_SEED"

// dice are random draws that many goroutines share.
type dice struct {
	mu     sync.Mutex
	random *rand.Rand
}

func (d *dice) draw(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.random.IntN(n)
}

func (d *dice) pause(upTo time.Duration) time.Duration { return time.Duration(d.draw(int(upTo))) }

// workers are processes that work jobs. One that ends is replaced until the test ends.
type workers struct {
	mu    sync.Mutex
	alive []*os.Process
}

func (w *wired) workers(n int) *workers {
	all := &workers{alive: make([]*os.Process, n)}
	ctx, stop := context.WithCancel(context.WithoutCancel(w.t.Context()))
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			for ctx.Err() == nil {
				worker := exec.CommandContext(ctx, os.Args[0])
				worker.Env = append(os.Environ(), workerVariables.database+"="+w.wire.URL, workerVariables.smtp+"="+w.server.URL(), workerVariables.key+"="+w.key)
				worker.Stdout, worker.Stderr = w.log, w.log
				if err := worker.Start(); err != nil {
					w.t.Error(err)
					return
				}
				all.mu.Lock()
				all.alive[i] = worker.Process
				all.mu.Unlock()
				_ = worker.Wait() // says how it was ended
			}
		})
	}
	w.t.Cleanup(func() { stop(); group.Wait() })
	return all
}

func (w *workers) signal(i int, signal os.Signal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.alive[i] != nil {
		_ = w.alive[i].Signal(signal) // it may have ended
	}
}

// Every click and its answer is recorded while at random the provider fails, processes that work are stopped and killed, the database is
// cut off, commits' answers and notifications get lost, and delegates lose their grants. Then rows, ledger, audit and mails are compared:
// nothing is lost, nothing was done twice, nothing without a grant, and everything is final.
func TestFault_Checker(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%s=%d", seedVariable, seed)
	d := &dice{random: rand.New(rand.NewPCG(seed, 1))}
	lasting := 30 * time.Second
	if soak {
		lasting = 10 * time.Minute
	}
	s := openWired(t, func(providerCall) behaviour {
		switch d.draw(16) {
		case 0:
			return behaviour{act: true, status: 500}
		case 1:
			return behaviour{act: true, broken: true}
		case 2:
			return behaviour{status: 503}
		case 3:
			return behaviour{status: 429, after: "1"}
		case 4:
			return behaviour{status: 422}
		case 5:
			return behaviour{act: true, hang: true}
		case 6:
			return behaviour{act: true, delay: 200 * time.Millisecond}
		case 7:
			return behaviour{act: d.draw(2) == 0, die: true}
		}
		return fine
	})
	var products []string
	for range 6 {
		products = append(products, s.product())
	}
	type delegate struct {
		app.Viewer
		product, grant string
	}
	var delegates []*delegate
	for _, product := range products[:3] {
		viewer, grant := s.delegateOf(product)
		delegates = append(delegates, &delegate{viewer, product, grant})
	}
	workers := s.workers(2)
	s.hurry()

	// Faults, until the clicks end.
	clicking, ended := context.WithCancel(t.Context())
	var faults sync.WaitGroup
	faults.Go(func() {
		for clicking.Err() == nil {
			time.Sleep(d.pause(800 * time.Millisecond))
			switch d.draw(6) {
			case 0:
				s.wire.Cut()
				time.Sleep(d.pause(400 * time.Millisecond))
				s.wire.Mend()
			case 1:
				s.wire.Deafen(d.draw(2) == 0)
			case 2:
				workers.signal(d.draw(2), syscall.SIGTERM)
			case 3:
				workers.signal(d.draw(2), syscall.SIGKILL)
			default:
				s.wire.LoseCommit()
			}
		}
		s.wire.Deafen(false)
	})
	if !soak { // what the periodic job does every 20 s
		go func() {
			for t.Context().Err() == nil {
				_, _ = s.bundle.runs.Rescue(t.Context()) // its next go comes soon
				time.Sleep(200 * time.Millisecond)
			}
		}()
	}

	clicked, frozen := map[string]bool{}, map[string]int{} // run → it was answered; run → its turns when its grant ended
	clicks, refused := 0, 0
	for end := time.Now().Add(lasting); time.Now().Before(end); time.Sleep(d.pause(120 * time.Millisecond)) {
		// People wait for what they asked for: without that, a slow machine would never be through.
		var open int
		if err := s.pool.QueryRow(t.Context(), "select count(*)::int from provision_runs where finished_at is null").Scan(&open); err != nil || open > 50 {
			continue
		}
		v, a := s.admin, asking(products[d.draw(len(products))], []string{"changePackage", "changePackage", "changePassword", "usage"}[d.draw(4)])
		granted := true
		if d.draw(3) == 0 {
			who := delegates[d.draw(len(delegates))]
			v, a.ProductID, a.Action = who.Viewer, who.product, "changePassword"
			switch {
			case who.grant == "":
				granted = d.draw(2) == 0
				if granted {
					who.grant = scan[string](s.bundle, `insert into delegates (contract_id, user_id, status, invited_by_name, accepted_at)
						select contract_id, $2, 'accepted', 'Bea Lindqvist', now() from contract_products where id = $1 returning id::text`, who.product, who.UserID)
				}
			case d.draw(3) == 0:
				s.exec("update delegates set status = 'revoked', finished_at = now() where id = $1", who.grant)
				// What is not at the provider by now may not get there. Locking waits for those that are about to go.
				rows, err := s.pool.Query(t.Context(), "select id::text, turn from provision_runs where delegate_id = $1 and status in ('queued', 'retrying') for update", who.grant)
				if err != nil {
					t.Fatal(err)
				}
				for rows.Next() {
					var id string
					var turn int
					if err := rows.Scan(&id, &turn); err != nil {
						t.Fatal(err)
					}
					frozen[id] = turn
				}
				if err := rows.Err(); err != nil {
					t.Fatal(err)
				}
				granted, who.grant = false, ""
			}
		}
		switch a.Action {
		case "changePassword":
			a.Values["password"] = []string{canary("password")}
		case "changePackage":
			a.Values = map[string][]string{"package_name": {fmt.Sprintf("package-%d", d.draw(5))}, "username": {"bluebird"}, "domain": {"bluebird.example"}}
		}
		if v.UserID == s.admin.UserID {
			a.Values["username"] = []string{"bluebird"}
		}
		clicks++
		// Somebody whose page says that it did not work sends the form again.
		for giveUp := time.Now().Add(s.patience); ; time.Sleep(10 * time.Millisecond) {
			run, err := s.runs.Request(t.Context(), v, a)
			var limited *app.Limited
			var wrong *app.Invalid
			switch {
			case err == nil && granted:
				clicked[run.ID] = true
				if d.draw(25) == 0 {
					continue // and some send it twice
				}
			case err == nil:
				t.Errorf("without a grant run %s was asked for", run.ID)
			case errors.Is(err, app.ErrNotFound) && !granted:
				refused++
			case errors.As(err, &limited):
				s.exec("truncate rate_limits")
				continue
			case errors.As(err, &wrong), errors.Is(err, app.ErrNotFound), errors.Is(err, app.ErrForbidden), errors.Is(err, app.ErrConflict), time.Now().After(giveUp):
				t.Fatalf("%s: %v", a.Action, err)
			default:
				continue // the database was away
			}
			break
		}
	}
	ended()
	faults.Wait()
	s.patience = 5 * time.Minute
	s.final()

	type row struct {
		ID, Key, Status, Action string
		Turn                    int
		Unknown                 bool
	}
	rows, err := db.All[row](t.Context(), s.pool, "select id::text, operation_key::text as key, status, action, turn, unknown_outcome as unknown from provision_runs")
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != len(clicked) || clicks != len(clicked)+refused {
		t.Errorf("%d clicks, of which %d were answered and %d refused, and %d runs", clicks, len(clicked), refused, len(rows))
	}
	for _, r := range rows {
		effects := s.provider.effects[r.Key]
		once := r.Action == "changePackage" // the others may be repeated
		switch {
		case !clicked[r.ID]:
			t.Errorf("run %s was never asked for", r.ID)
		case once && effects > 1:
			t.Errorf("%s was done %d times", r.Action, effects)
		case r.Status == provisioning.Succeeded && effects == 0:
			t.Errorf("%s is said to be done", r.Action)
		case once && r.Status != provisioning.Succeeded && !r.Unknown && effects > 0:
			t.Errorf("%s was done and is said to be %s", r.Action, r.Status)
		}
		if turns, ended := frozen[r.ID]; ended && (r.Turn != turns || r.Status != provisioning.Cancelled) {
			t.Errorf("%s had %d turns when its grant ended, then %d, and is %s", r.Action, turns, r.Turn, r.Status)
		}
	}
	if audits := scan[int](s.bundle, "select count(*) from audit_entries where action = 'provision.run'"); audits != len(clicked) {
		t.Errorf("%d clicks were answered, %d audit entries", len(clicked), audits)
	}
	if failed, mails := s.statuses(), scan[int](s.bundle, "select count(*) from mail_deliveries where kind = 'provision-failed'"); mails != failed["failed"]+failed["failed unknown"] {
		t.Errorf("%d mails of failures, and runs are %v", mails, failed)
	}
	if left := scan[int](s.bundle, "select count(*) from provision_secrets where kind = 'params'"); left != 0 {
		t.Errorf("%d sealed values are left", left)
	}
	t.Logf("%d clicks, %d refused, %d runs whose grant ended: %v", clicks, refused, len(frozen), s.statuses())
	s.clean()
}
