package jobs

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"portico/app/db"
	"portico/app/db/dbtest"
	"portico/app/keys"
	"portico/app/provisioning"

	"github.com/jackc/pgx/v5/pgxpool"
)

// wired is a shop whose runs may go by a way to the database that the test can break. The shop itself goes by another.
type wired struct {
	*shop
	wire *dbtest.Wire
	url  string
	key  string
	way  *pgxpool.Pool         // by the wire
	runs *provisioning.Service // by the wire
}

func openWired(t *testing.T, decide func(c providerCall) behaviour) *wired {
	t.Helper()
	w := &wired{url: dbtest.NewURL(t), key: keys.Generate()}
	open := func(url string) *pgxpool.Pool {
		pool, err := db.Open(t.Context(), url, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pool.Close)
		return pool
	}
	ring, err := keys.Parse(w.key)
	if err != nil {
		t.Fatal(err)
	}
	w.shop = openShop(setUpOn(t, open(w.url), ring, nil), decide)
	w.wire = dbtest.NewWire(t, w.url)
	w.way = open(w.wire.URL)
	if w.runs, err = newRuns(w.way, ring, w.words, w.mail, quick); err != nil {
		t.Fatal(err)
	}
	return w
}

// packages asks for a change of package of as many new products.
func (s *shop) packages(n int) {
	s.t.Helper()
	for range n {
		s.ask(s.admin, s.product(), "changePackage", "package_name", "gold", "username", "bluebird", "domain", "bluebird.example")
	}
}

// reached waits until the provider has had as many calls and effects as done wants.
func (s *shop) reached(done func(calls, effects int) bool) {
	s.t.Helper()
	deadline := time.Now().Add(s.patience)
	for {
		calls, effects, _ := s.provider.count()
		if done(calls, effects) {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("gave up waiting at %d calls and %d effects", calls, effects)
		}
		time.Sleep(time.Millisecond)
	}
}

// once fails unless as many effects happened, none of them twice.
func (s *shop) once(effects int) {
	s.t.Helper()
	if _, got, doubled := s.provider.count(); got != effects || doubled != 0 {
		s.t.Errorf("%d effects, want %d; %d were done twice\n%s", got, effects, doubled, s.dump())
	}
}

// The database goes while calls are under way, and comes back: what they brought is written down or looked up, what waited goes on, and
// what was asked for meanwhile was refused and left nothing.
func TestFault_DatabaseGone(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	s := openWired(t, func(providerCall) behaviour { return behaviour{act: true, until: gate} })
	s.packages(10)
	s.startClient(s.clientOn(s.way, s.runs))
	s.reached(func(calls, _ int) bool { return calls >= quick.AtOnce })
	s.wire.Cut()
	if run, err := s.runs.Request(t.Context(), s.admin, asking(s.product(), "usage")); err == nil {
		t.Errorf("without a database run %s was asked for", run.ID)
	}
	close(gate)
	s.reached(func(_, effects int) bool { return effects >= quick.AtOnce }) // with nobody to write them down
	if soak {
		time.Sleep(30 * time.Second)
		s.patience = 5 * time.Minute
	}
	s.wire.Mend()
	s.hurry()
	s.final()
	s.want(map[string]int{"succeeded": 10})
	s.once(10)
}

// A commit's answer is lost: who asks again with the same form gets the run that was made.
func TestFault_CommitAnswerLost(t *testing.T) {
	t.Parallel()
	s := openWired(t, nil)
	a := asking(s.product(), "changePassword", "password", canary("password"))
	s.wire.LoseCommit()
	if run, err := s.runs.Request(t.Context(), s.owner, a); err == nil {
		t.Fatalf("the answer was not lost: run %s", run.ID)
	}
	made := scan[string](s.bundle, "select id::text from provision_runs")
	run, err := s.runs.Request(t.Context(), s.owner, a)
	if err != nil || run.ID != made {
		t.Errorf("the form again is run %s, %v; there was %s", run.ID, err, made)
	}
	s.start()
	s.final()
	s.want(map[string]int{"succeeded": 1})
	s.once(1)
}

// Notifications are lost, as behind a pooler: runs begin all the same.
func TestFault_NotificationsLost(t *testing.T) {
	t.Parallel()
	s := openWired(t, nil)
	s.wire.Deafen(true)
	s.startClient(s.clientOn(s.way, s.runs))
	product := s.product()
	for range 3 { // the first begins a worker's first look, the others come between two
		s.ask(s.owner, product, "usage")
		s.final()
	}
	s.want(map[string]int{"succeeded": 3})
}

// A worker is killed between fetching a job and taking its run up: the job is left running, and the run is queued again all the same.
func TestFault_FetchedAndLost(t *testing.T) {
	t.Parallel()
	s := openShop(setUp(t, nil), nil)
	s.packages(1)
	s.exec("update river_job set state = 'running', attempt = 1, attempted_by = '{dead}', attempted_at = now() - interval '1 minute' where kind = 'provision_action'")
	s.start()
	s.final()
	s.want(map[string]int{"succeeded": 1})
	s.once(1)
}

// The program is told to stop and calls do not end in time: they are interrupted and given back without costing an attempt, and looked up
// by whoever goes on.
func TestFault_ShutdownInterrupts(t *testing.T) {
	t.Parallel()
	calls := 0
	s := openShop(setUp(t, nil), func(providerCall) behaviour {
		calls++
		return behaviour{act: true, hang: calls <= quick.AtOnce}
	})
	for range 6 {
		s.ask(s.admin, s.product(), "grantReseller", "username", "bluebird")
	}
	first := s.client()
	if err := first.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	s.reached(func(_, effects int) bool { return effects == quick.AtOnce })
	ended, end := context.WithCancel(t.Context())
	end() // no time left for a soft stop
	if err := Stop(ended, first); err != nil {
		t.Fatal(err)
	}
	s.want(map[string]int{"retrying": quick.AtOnce, "queued": 6 - quick.AtOnce})
	if cost := scan[int](s.bundle, "select sum(attempts)::int from provision_runs"); cost != 0 {
		t.Errorf("the stop cost %d attempts", cost)
	}
	s.hurry()
	s.start()
	s.final()
	s.want(map[string]int{"succeeded": 6})
	s.once(6)
}

// A slow provider takes its own slots only: another's runs and mails go on beside it.
func TestFault_SlowProviderBesideOthers(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := openShop(setUp(t, nil), func(providerCall) behaviour { return behaviour{act: true, until: release} })
	slow := s.configuration
	const many = 60 // more than there are workers
	for range many {
		s.ask(s.owner, s.product(), "usage")
	}
	s.start()
	s.until(quick.AtOnce, "select count(*) from provision_runs where status = 'running'")
	other := newProvider(t, nil)
	var err error
	s.configuration, err = s.bundle.runs.SaveConfiguration(t.Context(), s.admin, "", provisioning.Setup{
		Name: "Quick", Driver: "standin", Category: "web-hosting", Rate: 1000, Values: map[string][]string{"url": {other.url}, "token": {canary("token")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		s.ask(s.owner, s.product(), "usage")
	}
	s.reset("someone@example.com")
	s.until(10, "select count(*) from provision_runs where status = 'succeeded' and configuration_id <> $1", slow)
	s.until(1, countByStatus, "sent")
	if over := scan[int](s.bundle, "select count(*) from provision_runs where finished_at is not null and configuration_id = $1", slow); over != 0 {
		t.Errorf("%d runs of the slow provider are over: it was not slow", over)
	}
	close(release)
	s.hurry()
	s.final()
	s.want(map[string]int{"succeeded": many + 10})
	if s.provider.most > quick.AtOnce {
		t.Errorf("%d calls at once, %d are allowed", s.provider.most, quick.AtOnce)
	}
}

// A provider is down with many runs waiting, then limits, then works: all end well, and it is never called by more at once than allowed.
func TestFault_ProviderDown(t *testing.T) {
	t.Parallel()
	many, down := 12, time.Now()
	if soak {
		many, down = 500, time.Now().Add(10*time.Minute)
	}
	s := openShop(setUp(t, nil), func(c providerCall) behaviour {
		switch {
		case c.N == 1, time.Now().Before(down):
			return behaviour{status: 503}
		case c.N == 2:
			return behaviour{status: 429, after: "1"}
		}
		return fine
	})
	s.packages(min(many, 100))
	for range many - min(many, 100) { // one person may not ask for more within an hour
		s.system(s.product(), "changePackage", map[string]any{"package_name": "gold"})
	}
	if soak {
		s.patience = 50 * time.Minute
	} else {
		s.hurry()
	}
	s.start()
	s.final()
	s.want(map[string]int{"succeeded": many})
	s.once(many)
	if s.provider.most > quick.AtOnce {
		t.Errorf("%d calls at once, %d are allowed", s.provider.most, quick.AtOnce)
	}
	if !soak {
		if most := scan[int](s.bundle, "select max(attempts) from provision_runs"); most != 2 {
			t.Errorf("%d attempts: the limit cost some", most)
		}
	}
}

// The right goes between two attempts, or between looking up and repeating: nothing is called again.
func TestFault_RevokedBetweenAttempts(t *testing.T) {
	t.Parallel()
	t.Run("before the next attempt", func(t *testing.T) {
		t.Parallel()
		s := openShop(setUp(t, nil), func(providerCall) behaviour { return behaviour{status: 503} })
		product := s.product()
		delegate, grant := s.delegateOf(product)
		s.ask(delegate, product, "changePassword", "password", canary("password"))
		s.start()
		s.until(1, "select count(*) from provision_runs where status = 'retrying'")
		s.exec("update delegates set status = 'revoked', finished_at = now() where id = $1", grant)
		s.hurry()
		s.final()
		s.want(map[string]int{"cancelled": 1})
		if calls, _, _ := s.provider.count(); calls != 1 {
			t.Errorf("%d calls", calls)
		}
	})
	t.Run("after the look-up", func(t *testing.T) {
		t.Parallel()
		s := openShop(setUp(t, nil), func(providerCall) behaviour { return behaviour{status: 503} })
		var once sync.Once
		s.provider.looked = func() {
			once.Do(func() { s.exec("update users set disabled_at = now() where id = $1", s.admin.UserID) })
		}
		s.packages(1)
		s.hurry()
		s.start()
		s.final()
		s.want(map[string]int{"cancelled": 1})
		if calls, _, _ := s.provider.count(); calls != 1 {
			t.Errorf("%d calls", calls)
		}
	})
}

// What goes in steps fails at each in turn: it goes on at the open one, none is done twice, and the log names those that were done.
func TestFault_PartialSteps(t *testing.T) {
	t.Parallel()
	type fault struct {
		name string
		behaviour
		step int
	}
	var mu sync.Mutex
	faults := map[string]fault{} // by product
	s := openShop(setUp(t, nil), func(c providerCall) behaviour {
		mu.Lock()
		defer mu.Unlock()
		if f := faults[c.Product]; c.N == 1 && strings.HasSuffix(c.Key, fmt.Sprintf("/%d", f.step)) {
			return f.behaviour
		}
		return fine
	})
	for name, b := range map[string]behaviour{"refused": {status: 422}, "not done": {status: 500}, "done and not told": {act: true, status: 500}} {
		for step := range steps {
			product := s.product()
			faults[product] = fault{name, b, step}
			s.exec("update contract_products set status = 'pending' where id = $1", product)
			s.system(product, "create", map[string]any{"domain": "bluebird.example", "package_name": "standard", "location": inSteps})
		}
	}
	s.hurry()
	s.start()
	s.final()
	for product, f := range faults {
		status := scan[string](s.bundle, "select status from provision_runs where product_id = $1", product)
		detail := scan[string](s.bundle, "select a.detail from provision_attempts a join provision_runs r on r.id = a.run_id where r.product_id = $1 and a.attempt = 1", product)
		key := scan[string](s.bundle, "select operation_key::text from provision_runs where product_id = $1", product)
		wantStatus, wantDone := provisioning.Succeeded, len(steps)
		if f.status == 422 {
			wantStatus, wantDone = provisioning.Failed, f.step
		}
		if status != wantStatus {
			t.Errorf("%s at step %d: %s", f.name, f.step, status)
		}
		for step := range steps {
			if n := s.provider.effects[fmt.Sprintf("%s/%d", key, step)]; n != map[bool]int{true: 1}[step < wantDone] {
				t.Errorf("%s at step %d: step %d was done %d times", f.name, f.step, step, n)
			}
		}
		if want := "Done before that: " + strings.Join(steps[:f.step], ", ") + "."; strings.Contains(detail, want) != (f.step > 0) {
			t.Errorf("%s at step %d: the log says %q, want %q", f.name, f.step, detail, want)
		}
	}
}
