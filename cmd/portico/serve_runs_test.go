package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"portico/app"
	"portico/app/db"
	"portico/app/db/dbtest"
	"portico/app/provisioning"
	"portico/app/provisioning/outbound"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// ledger is a provider that speaks the generic protocol and counts what it does, by operation key.
type ledger struct {
	mu      sync.Mutex
	effects map[string]int
	before  func() // is called before an effect, unless it is nil
	after   func() // is called after one, before the answer
}

func (l *ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Function string
		Key      string
		LookUp   bool `json:"look_up"`
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer := map[string]any{"status": "done"}
	if asked.Function == "create" {
		answer["data"] = map[string]any{"username": "bluebird", "server_hostname": "one.example", "package_name": "standard", "suspended": false}
	}
	l.mu.Lock()
	done, before, after := l.effects[asked.Key] > 0, l.before, l.after
	l.mu.Unlock()
	switch {
	case asked.LookUp && !done:
		answer = map[string]any{"status": "absent"}
	case !asked.LookUp:
		if before != nil {
			before()
		}
		l.mu.Lock()
		l.effects[asked.Key]++
		l.mu.Unlock()
		if after != nil {
			after()
		}
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(answer)
}

// count fails unless every key had one effect, and returns how many there are.
func (l *ledger) count(t testing.TB) int {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, n := range l.effects {
		if n != 1 {
			t.Errorf("what has the key %s was done %d times", key, n)
		}
	}
	return len(l.effects)
}

// fleet is Bea with many hosting products at a provider, and what portico serve needs to work for her. The site beside it works no jobs.
type fleet struct {
	*site
	ledger   *ledger
	products []string
	env      []string
}

func newFleet(t *testing.T, products int) *fleet {
	t.Helper()
	f := &fleet{ledger: &ledger{effects: map[string]int{}}}
	provider := httptest.NewServer(f.ledger)
	t.Cleanup(provider.Close)
	database := demoStore.Clone(t)
	f.site = start(t, options{idle: true, database: database, keys: demoKeys, empty: true})
	f.env, _ = production(t, database)
	f.env = append(f.env, "PORTICO_SECRET_KEY="+demoKeys, "PORTICO_OUTBOUND_ALLOW="+outbound.Loopback)
	admin := app.Viewer{UserID: f.userID(ada), Name: "Ada Moreau", Role: "admin", Confirmed: true}
	configuration, err := f.runs.SaveConfiguration(t.Context(), admin, "", provisioning.Setup{
		Name: "Ledger", Driver: "generic", Category: "web-hosting", Rate: 1000,
		Values: map[string][]string{"provider_url": {provider.URL}, "signing_key": {"whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}},
	})
	if err != nil {
		t.Fatal(err)
	}
	model := f.text(hosting)
	for range products {
		id := uuid.NewString()
		f.exec(`insert into contract_products (id, account_id, contract_id, product_id, plan_id, name, category, status, price_minor, fields, configuration_id)
			select $2, account_id, contract_id, product_id, plan_id, name, category, 'active', price_minor, fields, $3 from contract_products where id = $1`, model, id, configuration)
		f.products = append(f.products, id)
	}
	return f
}

// serve starts the program on the fleet's database, at an address of its own.
func (f *fleet) serve(t *testing.T) *process {
	t.Helper()
	p := runProgram(t, append(f.env, "PORTICO_ADDR="+freeAddr(t)), "serve")
	if p.url == "" {
		t.Fatalf("it does not start:\n%s", p.out.String())
	}
	return p
}

// TestSignal_RunsUnderLoad: clicks go on while one of two processes is told to stop: what was answered is done once, by one or the other.
func TestSignal_RunsUnderLoad(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 8)
	old := f.serve(t)
	c := (&site{t: t, url: old.url}).signIn(bea)
	c.http.Transport = &http.Transport{DisableKeepAlives: true} // reusing a connection that the server is closing is the client's risk
	token := c.token()
	var group sync.WaitGroup
	var accepted atomic.Int64
	busy := make(chan struct{})
	for i, product := range f.products {
		group.Go(func() {
			for n := range 25 {
				form := url.Values{"password": {fmt.Sprintf("Passw0rd-%d-%d", i, n)}, "form_token": {uuid.NewString()}}
				request := must(http.NewRequest(http.MethodPost, old.url+"/manage/"+product+"/changePassword", strings.NewReader(form.Encode())))
				request.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "X-Csrf-Token": {token}}
				answer, err := c.http.Do(request)
				switch {
				case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
					return // it has stopped, and nothing was read of this click
				case err != nil:
					t.Errorf("a click got no answer: %v", err)
					return
				}
				answer.Body.Close()
				if answer.StatusCode != http.StatusSeeOther {
					t.Errorf("a click got %d", answer.StatusCode)
					return
				}
				if accepted.Add(1) == 40 {
					close(busy)
				}
			}
		})
	}
	select {
	case <-busy:
	case <-old.done:
		t.Fatalf("it ended by itself:\n%s", old.out.String())
	case <-time.After(2 * patience):
		t.Fatal("no 40 clicks were answered")
	}
	f.serve(t)
	if code := old.end(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d\n%s", code, old.out.String())
	}
	group.Wait()
	wait(t, "all runs to end", func() bool {
		return f.text("select count(*) from provision_runs where finished_at is null and product_id = any($1::uuid[])", f.products) == "0"
	})
	clicks := int(accepted.Load())
	if done := f.text("select count(*) from provision_runs where status = 'succeeded' and attempts = 1 and product_id = any($1::uuid[])", f.products); done != fmt.Sprint(clicks) {
		t.Errorf("%s runs succeeded at once, %d clicks were answered", done, clicks)
	}
	if effects := f.ledger.count(t); effects != clicks {
		t.Errorf("%d effects, %d clicks", effects, clicks)
	}
}

// TestKill_ServeDuringARun: kill -9 at the provider's door, before the effect and after it: the next process finds out, and there is one
// effect. What waits for time to pass is moved into the past, but for make soak.
func TestKill_ServeDuringARun(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2)
	p := f.serve(t)
	for i, product := range f.products {
		struck := make(chan struct{})
		var once sync.Once
		victim := p
		strike := func() {
			once.Do(func() {
				defer close(struck)
				_ = victim.cmd.Process.Signal(os.Kill)
				<-victim.done
			})
		}
		f.ledger.mu.Lock()
		f.ledger.before, f.ledger.after = strike, nil
		if i == 1 {
			f.ledger.before, f.ledger.after = nil, strike
		}
		f.ledger.mu.Unlock()
		f.exec("update contract_products set status = 'pending' where id = $1", product)
		if err := db.InTx(t.Context(), f.pool, func(tx pgx.Tx) error {
			return f.runs.ForSystem(t.Context(), tx, product, "create", "test", map[string]any{"domain": "bluebird.example", "package_name": "standard"})
		}); err != nil {
			t.Fatal(err)
		}
		select {
		case <-struck:
		case <-time.After(2 * patience):
			t.Fatalf("the provider is not called: %s", f.text("select status || ' ' || message from provision_runs where product_id = $1", product))
		}
		if status := f.text("select status from provision_runs where product_id = $1", product); status != "running" {
			t.Errorf("killed, the run is %s", status)
		}
		if !soak {
			f.exec("update provision_runs set deadline_at = now() - interval '1 second' where product_id = $1", product)
			f.exec("delete from river_leader")
		}
		p = f.serve(t)
		// In make soak the dead process's turn and its leadership have to run out first, and the next pauses to pass.
		waitFor(t, 15*time.Minute, "the run to end", func() bool {
			return f.text("select count(*) from provision_runs where product_id = $1 and status = 'succeeded'", product) == "1"
		})
		if effects := f.ledger.count(t); effects != i+1 {
			t.Errorf("%d effects, want %d", effects, i+1)
		}
	}
}

// TestServe_DatabaseGoneAndBack: without its database the portal answers 503, does nothing by halves, and goes on when it is back.
func TestServe_DatabaseGoneAndBack(t *testing.T) {
	t.Parallel()
	database := demoStore.Clone(t)
	wire := dbtest.NewWire(t, database)
	s := start(t, options{idle: true, empty: true, database: wire.URL, keys: demoKeys})
	c := s.signIn(bea)
	path, form, header := "/manage/"+s.text(hosting)+"/login", url.Values{"form_token": {uuid.NewString()}}, http.Header{"X-Csrf-Token": {c.token()}}
	before := s.text("select count(*) from provision_runs")
	wire.Cut()
	c.get("/profile").want(http.StatusServiceUnavailable)
	c.post(path, form, header).want(http.StatusServiceUnavailable)
	wire.Mend()
	wait(t, "the portal to answer", func() bool { return c.get("/profile").status == http.StatusOK })
	if after := s.text("select count(*) from provision_runs"); after != before {
		t.Errorf("%s runs, there were %s", after, before)
	}
	wire.LoseCommit() // of whatever the click commits first
	c.post(path, form, header)
	wait(t, "the same form to be answered", func() bool { return c.post(path, form, header).status == http.StatusSeeOther })
	if again := s.text("select count(*) - $1::int from provision_runs", before); again != "1" {
		t.Errorf("the form made %s runs", again)
	}
}
