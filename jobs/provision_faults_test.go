package jobs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"portico/app"
	"portico/app/db"
	"portico/app/db/dbtest"
	"portico/app/keys"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// delegateOf lets a new account holder into a product's contract.
func (s *shop) delegateOf(product string) (v app.Viewer, grant string) {
	s.t.Helper()
	name := "Dev Team " + uuid.NewString()[:4]
	id := scan[string](s.bundle, "insert into users (name, email, email_confirmed_at) values ($1, $1 || '@example.com', now()) returning id::text", name)
	grant = scan[string](s.bundle, `insert into delegates (contract_id, user_id, status, invited_by_name, accepted_at)
		select contract_id, $2, 'accepted', 'Bea Lindqvist', now() from contract_products where id = $1 returning id::text`, product, id)
	return app.Viewer{UserID: id, Name: name, Email: name + "@example.com", Confirmed: true, ProvedAt: time.Now()}, grant
}

// What changes between a click and its run ends the run without a call, and says why.
func TestRuns_ChangedInBetween(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change, family string
	}{
		"the grant is revoked":      {"update delegates set status = 'revoked', finished_at = now()", "revoked"},
		"the right is taken":        {"update delegates set may_act = false", "revoked"},
		"another grant took over":   {"update delegates set status = 'revoked', finished_at = now(); insert into delegates (contract_id, user_id, status, invited_by_name, accepted_at) select contract_id, user_id, 'accepted', 'Bea', now() from delegates", "revoked"},
		"the account is disabled":   {"update users set disabled_at = now() where name like 'Dev Team%'", "revoked"},
		"the contract is suspended": {"update contracts set status = 'suspended'", "changed"},
		"the contract is cancelled": {"update contracts set status = 'cancelled'", "revoked"},
		"the product ended":         {"update contract_products set status = 'ended'", "changed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openShop(setUp(t, nil), nil)
			product := s.product()
			delegate, _ := s.delegateOf(product)
			s.ask(delegate, product, "changePassword", "password", canary("password"))
			for _, sql := range strings.Split(c.change, ";") {
				s.exec(sql)
			}
			s.start()
			s.final()
			s.want(map[string]int{"cancelled": 1})
			if family := scan[string](s.bundle, "select error_family from provision_runs"); family != c.family {
				t.Errorf("ended as %s", family)
			}
			if calls, _, _ := s.provider.count(); calls != 0 {
				t.Errorf("%d calls", calls)
			}
			if left := scan[int](s.bundle, "select count(*) from provision_secrets"); left != 0 {
				t.Errorf("%d sealed values are left", left)
			}
		})
	}
}

// A login link goes to the one who asked, once, in time, and not after the grant ended.
func TestRuns_LoginOnce(t *testing.T) {
	t.Parallel()
	s := openShop(setUp(t, nil), nil)
	product := s.product()
	delegate, _ := s.delegateOf(product)
	own := s.ask(s.owner, product, "login")
	theirs := s.ask(delegate, product, "login")
	s.start()
	s.final()
	s.want(map[string]int{"succeeded": 2})
	if _, _, err := s.runs.TakeResult(t.Context(), delegate, own); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("somebody else's: %v", err)
	}
	if _, _, err := s.runs.TakeResult(t.Context(), s.admin, own); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("by an admin: %v", err)
	}
	_, values, err := s.runs.TakeResult(t.Context(), s.owner, own)
	if link := fmt.Sprint(values["login_url"]); err != nil || !strings.Contains(link, canary("link")) {
		t.Errorf("the link is %q, %v", link, err)
	}
	if _, _, err := s.runs.TakeResult(t.Context(), s.owner, own); !errors.Is(err, app.ErrConflict) {
		t.Errorf("a second time: %v", err)
	}
	s.exec("update delegates set status = 'revoked', finished_at = now()")
	if _, _, err := s.runs.TakeResult(t.Context(), delegate, theirs); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("after the grant ended: %v", err)
	}
	again := s.ask(s.owner, product, "login")
	s.final()
	s.exec("update provision_secrets set expires_at = now() where run_id = $1", again)
	if _, _, err := s.runs.TakeResult(t.Context(), s.owner, again); !errors.Is(err, app.ErrConflict) {
		t.Errorf("too late: %v", err)
	}
}

// Refused credentials pause the configuration, tell admins, and cost nothing; what waited goes on when it is resumed.
func TestRuns_RefusedCredentials(t *testing.T) {
	t.Parallel()
	s := openShop(setUp(t, nil), func(providerCall) behaviour { return behaviour{status: 401} })
	for range 5 {
		s.ask(s.owner, s.product(), "usage")
	}
	s.start()
	s.until(1, "select count(*) from provision_configurations where paused_at is not null")
	s.until(1, "select count(*) from mail_deliveries where kind = 'provision-paused'")
	s.until(5, "select count(*) from provision_runs where message <> ''")
	calls, _, _ := s.provider.count()
	if calls > 4 { // as many as were under way
		t.Errorf("%d calls", calls)
	}
	s.provider.set(func(providerCall) behaviour { return fine })
	if err := s.runs.Resume(t.Context(), s.admin, s.configuration); err != nil {
		t.Fatal(err)
	}
	s.final()
	s.want(map[string]int{"succeeded": 5})
	if most := scan[int](s.bundle, "select max(attempts) from provision_runs"); most != 1 {
		t.Errorf("%d attempts", most)
	}
}

// A driver that panics ends its own run only, and its words are scrubbed.
func TestRuns_Poison(t *testing.T) {
	t.Parallel()
	s := openShop(setUp(t, nil), nil)
	s.system(s.product(), "suspend", map[string]any{"reason": "panic"})
	for range 20 {
		s.ask(s.owner, s.product(), "usage")
	}
	s.exec(`insert into river_job (kind, queue, args, max_attempts, state) values ('provision_action', 'provision', '{"run_id": 7}', 1, 'available'), ('no_such_kind', 'provision', '{}', 1, 'available')`)
	s.hurry()
	s.start()
	s.final()
	s.want(map[string]int{"succeeded": 20, "failed": 1})
	s.until(2, "select count(*) from river_job where state = 'discarded'")
	s.clean()
}

// clean fails if a secret is anywhere that it may not be.
func (s *shop) clean() {
	s.t.Helper()
	rows, err := s.pool.Query(s.t.Context(), "select tablename from pg_tables where schemaname = 'public'")
	if err != nil {
		s.t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		s.t.Fatal(err)
	}
	everything := s.log.String()
	for _, table := range tables {
		everything += scan[string](s.bundle, fmt.Sprintf("select coalesce(string_agg(x::text, ' '), '') from %q x", table))
	}
	for _, mail := range s.server.Mails() {
		everything += string(mail.Data)
	}
	for _, secret := range []string{canary("token"), canary("password"), canary("link")} {
		if i := strings.Index(everything, secret); i >= 0 {
			s.t.Errorf("a secret is in the database, the log or a mail: …%s…", everything[max(0, i-200):i+20])
		}
	}
}

// Secrets pass through success, refusal, an unknown outcome and an answer that repeats them, and stay nowhere.
func TestRuns_NoSecretStays(t *testing.T) {
	t.Parallel()
	calls := 0
	s := openShop(setUp(t, nil), func(c providerCall) behaviour {
		if c.N > 2 {
			return fine
		}
		calls++
		return []behaviour{{act: true, echo: true}, {status: 400}, {act: true, broken: true}, {status: 503}, {hang: true}}[calls%5]
	})
	product := s.product()
	for range 6 {
		s.ask(s.owner, product, "changePassword", "password", canary("password"))
		s.ask(s.owner, s.product(), "login")
	}
	s.hurry()
	s.start()
	s.final()
	s.until(0, "select count(*) from provision_secrets where kind = 'params'")
	s.clean()
}

// Two workers at one run: the older one reports last, and is not heard.
func TestRuns_OlderWorkerReportsLast(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	var once sync.Once
	s := openShop(setUp(t, nil), nil)
	s.provider.set(func(c providerCall) behaviour {
		if c.N == 1 {
			return behaviour{act: true, delay: 300 * time.Millisecond, status: 400} // final, if it were heard
		}
		once.Do(func() { close(release) })
		return fine
	})
	product := s.product()
	id := s.ask(s.owner, product, "changePassword", "password", canary("password"))
	older := make(chan error, 1)
	go func() { older <- s.runs.Perform(t.Context(), id, inAMinute) }()
	s.until(1, "select turn from provision_runs")
	s.exec("update provision_runs set deadline_at = now() - interval '1 second'") // as if the older one were long dead
	if err := s.runs.Perform(t.Context(), id, inAMinute); err != nil {
		t.Fatal(err)
	}
	<-release
	if err := <-older; err != nil {
		t.Errorf("the older worker: %v", err)
	}
	s.want(map[string]int{"succeeded": 1})
	if got := scan[string](s.bundle, "select string_agg(outcome, ' ' order by attempt) from provision_attempts"); got != "unknown succeeded" {
		t.Errorf("attempts: %s", got)
	}
}

// A worker is killed with the effect done and the commit not: after a restart the effect is there once.
func TestRuns_WorkerKilled(t *testing.T) {
	t.Parallel()
	for name, act := range map[string]bool{"after the effect": true, "before the effect": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, key := dbtest.NewURL(t), keys.Generate()
			pool, err := db.Open(t.Context(), url, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(pool.Close)
			ring, err := keys.Parse(key)
			if err != nil {
				t.Fatal(err)
			}
			s := openShop(setUpOn(t, pool, ring, nil), func(c providerCall) behaviour {
				if c.N == 1 {
					return behaviour{act: act, die: true}
				}
				return fine
			})
			product := s.product()
			s.exec("update contract_products set status = 'pending'")
			s.system(product, "create", map[string]any{"domain": "bluebird.example", "package_name": "standard"})
			worker := exec.Command(os.Args[0])
			worker.Env = append(os.Environ(), workerVariables.database+"="+url, workerVariables.smtp+"="+s.server.URL(), workerVariables.key+"="+key)
			if err := worker.Start(); err != nil {
				t.Fatal(err)
			}
			if err := worker.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
				t.Fatalf("the worker ended by %v", err)
			}
			s.want(map[string]int{"running": 1})
			s.exec("delete from river_leader") // the lease of the dead leader
			s.hurry()
			s.start()
			s.final()
			s.want(map[string]int{"succeeded": 1})
			if _, effects, doubled := s.provider.count(); effects != 1 || doubled != 0 {
				t.Errorf("%d effects", effects)
			}
		})
	}
}

func inAMinute(int) time.Duration { return time.Minute }

// A run that is tried again later is neither taken for lost meanwhile, nor tried earlier where it has a second job for some reason.
func TestRuns_TwoJobs(t *testing.T) {
	t.Parallel()
	s := openShop(setUp(t, nil), func(providerCall) behaviour { return behaviour{status: 503} })
	s.ask(s.owner, s.product(), "usage")
	s.exec("update provision_runs set attempts = 4") // the next pause is long
	s.exec("update river_job set attempt = 4 where kind = 'provision_action'")
	s.start()
	s.until(1, "select count(*) from river_job where kind = 'provision_action' and state = 'retryable'")
	s.exec("update river_job set state = 'running', attempted_at = now() - interval '1 hour' where kind = 'provision_action'") // as just after an attempt
	if found, err := s.runs.Rescue(t.Context()); err != nil || found != 0 {
		t.Errorf("%d runs are taken for lost, %v", found, err)
	}
	s.exec(`insert into river_job (kind, queue, args, max_attempts, state, scheduled_at)
		select kind, queue, args, max_attempts, 'available', now() from river_job where kind = 'provision_action'`)
	s.until(1, "select count(*) from river_job where kind = 'provision_action' and state = 'scheduled' and scheduled_at > now() + interval '1 minute'")
	if attempts := scan[int](s.bundle, "select attempts from provision_runs"); attempts != 5 {
		t.Errorf("%d attempts, want 5", attempts)
	}
	// With the second job alone, the pauses go on where they were.
	s.exec("delete from river_job where kind = 'provision_action' and state = 'running'")
	s.exec("update provision_runs set next_at = null")
	s.exec("update river_job set state = 'available', scheduled_at = now() where kind = 'provision_action'")
	s.until(1, "select count(*) from provision_runs where status = 'retrying' and attempts = 6")
	if next := scan[time.Time](s.bundle, "select next_at from provision_runs"); time.Until(next) < 30*time.Minute {
		t.Errorf("after the sixth attempt the next comes in %v", time.Until(next))
	}
}

// Runs of many products stay under the configuration's limit of calls.
func TestRuns_LimitOfCalls(t *testing.T) {
	t.Parallel()
	s := openShop(setUp(t, nil), nil)
	s.exec("update provision_configurations set rate_per_second = 10")
	for range 30 {
		s.ask(s.owner, s.product(), "usage")
	}
	s.start()
	s.final()
	s.want(map[string]int{"succeeded": 30})
	var at []time.Time
	for _, c := range s.provider.calls {
		at = append(at, c.At)
	}
	slices.SortFunc(at, time.Time.Compare)
	for i := range at {
		n := 0
		for _, other := range at[i:] {
			if other.Sub(at[i]) < time.Second {
				n++
			}
		}
		if n > 22 { // a second's worth at once, a second's worth in the second, and what the clocks differ
			t.Errorf("%d calls within a second", n)
			break
		}
	}
	if scan[int](s.bundle, "select max(attempts) from provision_runs") != 1 {
		t.Error("waiting cost an attempt")
	}
}
