package queues

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"portico/app"
	"portico/app/db/dbtest"
	"portico/app/keys"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

var (
	ada = app.Viewer{UserID: "0a0a0a0a-0000-4000-8000-000000000001", Name: "Ada Moreau", Role: app.RoleAdmin}
	sam = app.Viewer{UserID: "0a0a0a0a-0000-4000-8000-000000000002", Name: "Sam Okafor", Role: app.RoleStaff}
	bea = app.Viewer{UserID: "0a0a0a0a-0000-4000-8000-000000000003", Name: "Bea Lindqvist", Confirmed: true}
)

// testArgs is a job that ends as it is told.
type testArgs struct {
	How string `json:"how"`
}

func (testArgs) Kind() string { return "test" }

// bundle is a Service on a database of its own, with a client that is not started yet.
type bundle struct {
	*Service
	t       *testing.T
	pool    *pgxpool.Pool
	client  *river.Client[pgx.Tx]
	release chan struct{} // lets a job end that waits
}

func setUp(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{t: t, pool: dbtest.New(t), release: make(chan struct{})}
	workers := river.NewWorkers()
	river.AddWorker(workers, river.WorkFunc(func(ctx context.Context, job *river.Job[testArgs]) error {
		switch job.Args.How {
		case "panic":
			panic("lost its head")
		case "error":
			return errors.New("lost its way")
		case "give up":
			return river.JobCancel(errors.New("was refused"))
		case "wait":
			select {
			case <-b.release:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}))
	var err error
	quick := river.QueueConfig{MaxWorkers: 20, FetchCooldown: 5 * time.Millisecond, FetchPollInterval: 20 * time.Millisecond}
	b.client, err = river.NewClient(riverpgxv5.New(b.pool), &river.Config{
		Workers: workers, Queues: map[string]river.QueueConfig{"default": quick, "mail": quick}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	inserter, err := river.NewClient(riverpgxv5.New(b.pool), &river.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keys.Parse(keys.Generate())
	if err != nil {
		t.Fatal(err)
	}
	b.Service = NewService(b.pool, ring, inserter)
	return b
}

// start works the queues until the test ends.
func (b *bundle) start() {
	b.t.Helper()
	if err := b.client.Start(context.WithoutCancel(b.t.Context())); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if err := b.client.StopAndCancel(context.Background()); err != nil {
			b.t.Error(err)
		}
	})
}

// insert queues a job and returns its id for addresses.
func (b *bundle) insert(how string, opts *river.InsertOpts) string {
	b.t.Helper()
	result, err := b.client.Insert(b.t.Context(), testArgs{how}, opts)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.keys.Mask(maskPurpose, result.Job.ID)
}

func (b *bundle) exec(sql string, args ...any) {
	b.t.Helper()
	if _, err := b.pool.Exec(b.t.Context(), sql, args...); err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
}

func (b *bundle) text(sql string, args ...any) (value string) {
	b.t.Helper()
	if err := b.pool.QueryRow(b.t.Context(), "select coalesce(("+sql+")::text, '')", args...).Scan(&value); err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
	return value
}

func (b *bundle) get(id string) Details {
	b.t.Helper()
	job, err := b.Get(b.t.Context(), ada, id)
	if err != nil {
		b.t.Fatal(err)
	}
	return job
}

func (b *bundle) list(f Filter) []Job {
	b.t.Helper()
	page, _, err := b.List(b.t.Context(), ada, f, Key{})
	if err != nil {
		b.t.Fatal(err)
	}
	return page
}

func (b *bundle) queue(name string) Queue {
	b.t.Helper()
	all, err := b.Queues(b.t.Context(), ada)
	if err != nil {
		b.t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(q Queue) bool { return q.Name == name })
	if i < 0 {
		b.t.Fatalf("no queue %s in %+v", name, all)
	}
	return all[i]
}

func (b *bundle) do(deed func(context.Context, app.Viewer, string) error, id string) {
	b.t.Helper()
	if err := deed(b.t.Context(), ada, id); err != nil {
		b.t.Fatal(err)
	}
}

// until asks again until it is so.
func (b *bundle) until(what string, is func() bool) {
	b.t.Helper()
	deadline, ticker := time.After(30*time.Second), time.NewTicker(10*time.Millisecond)
	defer ticker.Stop()
	for !is() {
		select {
		case <-ticker.C:
		case <-deadline:
			b.t.Fatalf("waited in vain for %s", what)
		}
	}
}

func (b *bundle) untilState(id string, state State) {
	b.t.Helper()
	b.until("a job that is "+string(state), func() bool { return b.get(id).State == state })
}

func TestPoison_FailsAloneAndShows(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	once := &river.InsertOpts{MaxAttempts: 1}
	for range 100 {
		b.insert("", once)
	}
	bad := map[string]string{ // id: what its error says
		b.insert("panic", once):   "lost its head",
		b.insert("give up", once): "was refused",
	}
	unknown, undecodable := b.insert("", once), b.insert("", once)
	b.exec("update river_job set kind = 'unheard_of' where id = $1", b.get(unknown).Number)
	b.exec(`update river_job set args = '["undecodable"]' where id = $1`, b.get(undecodable).Number)
	bad[unknown], bad[undecodable] = "unheard_of", "unmarshal"
	b.start()
	b.until("100 good jobs", func() bool { return b.text("select count(*) from river_job where state = 'completed'") == "100" })
	b.until("all bad jobs", func() bool { return len(b.list(Filter{State: Failed})) == len(bad) })
	for id, says := range bad {
		job := b.get(id)
		if job.State != Failed || len(job.Errors) != 1 || !strings.Contains(job.Errors[0].Error, says) || job.Errors[0].Attempt != 1 {
			t.Errorf("a bad job is %+v, want failed with %q", job, says)
		}
	}
	if q := b.queue("default"); q.Failed != len(bad) || q.Waiting+q.Running+q.Retrying != 0 || q.Oldest != nil || !q.Worked {
		t.Errorf("the queue is %+v", q)
	}
	kinds, err := b.Kinds(t.Context(), ada)
	if err != nil || !slices.Equal(kinds, []string{"test", "unheard_of"}) {
		t.Errorf("kinds %v, %v", kinds, err)
	}
	if first := b.list(Filter{FailedFirst: true}); len(first) != pageSize || first[len(bad)-1].State != Failed || first[len(bad)].State != Succeeded {
		t.Error("the failed jobs do not come first")
	}
}

func TestRetry(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	failing, givenUp := b.insert("error", &river.InsertOpts{MaxAttempts: 1}), b.insert("give up", nil)
	later, good := b.insert("", &river.InsertOpts{ScheduledAt: time.Now().Add(time.Hour)}), b.insert("", nil)
	b.start()
	b.untilState(failing, Failed)
	b.untilState(givenUp, Failed)
	b.untilState(good, Succeeded)
	b.do(b.Retry, failing)
	b.until("a second attempt", func() bool { job := b.get(failing); return job.State == Failed && len(job.Errors) == 2 })
	b.exec("update river_job set args = '{}' where id = $1", b.get(givenUp).Number)
	b.do(b.Retry, givenUp)
	b.untilState(givenUp, Succeeded)
	b.do(b.Retry, later)
	b.untilState(later, Succeeded)
	if err := b.Retry(t.Context(), ada, good); !errors.Is(err, app.ErrConflict) {
		t.Errorf("a job that succeeded is retried: %v", err)
	}
	if got := b.text("select string_agg(object_id || object_name || (details ->> 'state'), ' ' order by id) from audit_entries where action = 'job.retry'"); got != failing+"testfailed "+givenUp+"testfailed "+later+"testqueued" {
		t.Errorf("recorded %s", got)
	}
	if b.text("select count(*) from live_events where topic = 'jobs'") != "3" {
		t.Error("open pages are not told")
	}
}

// A delivery that is final is sent again from its own page: its job would find nothing to do and look like a success.
func TestRetry_NotWhatItsOwnRowEnded(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	id := b.insert("", nil)
	b.exec(`update river_job set kind = 'deliver_mail', args = '{"delivery_id": "5f"}', state = 'discarded', finalized_at = now()`)
	if err := b.Retry(t.Context(), ada, id); !errors.Is(err, app.ErrConflict) {
		t.Errorf("error %v", err)
	}
	if job := b.get(id); job.Rows != "/admin/emails/5f" {
		t.Errorf("leads to %q", job.Rows)
	}
	b.exec(`update river_job set state = 'retryable', attempt = 1, finalized_at = null, scheduled_at = now() + interval '1 hour'`)
	b.do(b.Retry, id)
}

func TestCancel(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.start()
	later, running := b.insert("", &river.InsertOpts{ScheduledAt: time.Now().Add(time.Hour)}), b.insert("wait", nil)
	b.untilState(running, Running)
	b.do(b.Cancel, later)
	if job := b.get(later); job.State != Cancelled {
		t.Errorf("a waiting job is %s", job.State)
	}
	b.do(b.Cancel, running)
	b.untilState(running, Cancelled)
	for _, id := range []string{later, running} {
		if err := b.Cancel(t.Context(), ada, id); !errors.Is(err, app.ErrConflict) {
			t.Errorf("cancelled twice: %v", err)
		}
	}
	b.do(b.Retry, later)
	b.untilState(later, Succeeded)
	if got := b.text("select count(*) from audit_entries where action = 'job.cancel'"); got != "2" {
		t.Errorf("%s recorded", got)
	}
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.start()
	b.until("a worked queue", func() bool { return b.text("select count(*) from river_queue") == "2" })
	b.do(b.Pause, "default")
	b.do(b.Pause, "default") // again does nothing
	if b.queue("default").PausedAt == nil || b.queue("mail").PausedAt != nil {
		t.Error("the wrong queues are paused")
	}
	// The client hears of it a moment later: what it fetched before that is the fence.
	b.until("a queue that stands still", func() bool {
		id := b.insert("", nil)
		mail := b.insert("", &river.InsertOpts{Queue: "mail"})
		b.untilState(mail, Succeeded)
		return b.get(id).State == Queued
	})
	q := b.queue("default")
	if q.Waiting == 0 || q.Oldest == nil {
		t.Errorf("the paused queue is %+v", q)
	}
	b.do(b.Resume, "default")
	b.until("the queue to go on", func() bool { return b.queue("default").Waiting == 0 })
	if got := b.text("select string_agg(action || ' ' || object_id, ', ' order by id) from audit_entries"); got != "queue.pause default, queue.resume default" {
		t.Errorf("recorded %s", got)
	}
	for _, name := range []string{"nope", "*", ""} {
		if err := b.Pause(t.Context(), ada, name); !errors.Is(err, app.ErrNotFound) {
			t.Errorf("pause %q: %v", name, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	id := b.insert("", nil)
	b.exec("insert into river_queue (name, updated_at) values ('default', now())")
	deeds := map[string]func(v app.Viewer, id string) error{
		"queues": func(v app.Viewer, _ string) error { _, err := b.Queues(t.Context(), v); return err },
		"kinds":  func(v app.Viewer, _ string) error { _, err := b.Kinds(t.Context(), v); return err },
		"list":   func(v app.Viewer, _ string) error { _, _, err := b.List(t.Context(), v, Filter{}, Key{}); return err },
		"get":    func(v app.Viewer, id string) error { _, err := b.Get(t.Context(), v, id); return err },
		"retry":  func(v app.Viewer, id string) error { return b.Retry(t.Context(), v, id) },
		"cancel": func(v app.Viewer, id string) error { return b.Cancel(t.Context(), v, id) },
		"pause":  func(v app.Viewer, _ string) error { return b.Pause(t.Context(), v, "default") },
		"resume": func(v app.Viewer, _ string) error { return b.Resume(t.Context(), v, "default") },
	}
	for name, deed := range deeds {
		for who, want := range map[*app.Viewer]error{&sam: app.ErrForbidden, &bea: app.ErrNotFound, {}: app.ErrSignedOut} {
			if err := deed(*who, id); !errors.Is(err, want) {
				t.Errorf("%s by %q: %v, want %v", name, who.Name, err, want)
			}
		}
	}
	number := b.get(id).Number
	for _, name := range []string{"get", "retry", "cancel"} {
		for _, id := range []string{"", "x", fmt.Sprint(number), strings.Repeat("0", 32), b.keys.Mask("run", number), b.keys.Mask(maskPurpose, 1<<40), b.keys.Mask(maskPurpose, -1)} {
			if err := deeds[name](ada, id); !errors.Is(err, app.ErrNotFound) {
				t.Errorf("%s of %q: %v", name, id, err)
			}
		}
	}
	if b.text("select count(*) from audit_entries") != "0" || b.get(id).State != Queued {
		t.Error("what was refused was done")
	}
	for _, key := range []Filter{{State: "none"}} {
		if _, _, err := b.List(t.Context(), ada, key, Key{}); !errors.Is(err, app.ErrNotFound) {
			t.Errorf("%+v: %v", key, err)
		}
	}
}

// Each state's filter finds exactly the jobs that are shown in that state, whatever River's state, attempt and metadata are.
func TestStates_FilterAndRowAgree(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.exec(`insert into river_job (kind, args, state, attempt, max_attempts, metadata, finalized_at, queue)
		select 'test', '{}', s.state, a.attempt, 3, m.metadata, case when s.state in ('cancelled', 'completed', 'discarded') then now() end, q.queue
		from unnest(enum_range(null::river_job_state)) as s (state), (values (0), (1), (3)) as a (attempt),
			(values ('{}'::jsonb), ('{"cancel_attempted_at": "2026-11-22T00:00:00Z"}')) as m (metadata), (values ('default'), ('mail')) as q (queue)`)
	var jobs []Job
	for at, next := (Key{}), (*Key)(nil); ; at = *next {
		var page []Job
		var err error
		if page, next, err = b.List(t.Context(), ada, Filter{}, at); err != nil {
			t.Fatal(err)
		}
		if jobs = append(jobs, page...); next == nil {
			break
		}
	}
	if len(jobs) != 8*3*2*2 {
		t.Fatalf("%d jobs", len(jobs))
	}
	for _, state := range States {
		for _, queue := range []string{"", "mail"} {
			var want []int64
			for _, job := range jobs {
				if job.State == state && (queue == "" || job.Queue == queue) {
					want = append(want, job.Number)
				}
			}
			var got []int64
			for _, job := range b.list(Filter{State: state, Queue: queue, Kind: "test"}) {
				got = append(got, job.Number)
			}
			if len(want) == 0 || !slices.Equal(got, want) {
				t.Errorf("%s in %q: found %v, want %v", state, queue, got, want)
			}
		}
	}
	q := b.queue("mail")
	if counts := (Queue{Waiting: q.Waiting, Running: q.Running, Retrying: q.Retrying, Failed: q.Failed}); counts != (Queue{Waiting: 8, Running: 6, Retrying: 16, Failed: 9}) {
		t.Errorf("counted %+v", counts)
	}
}

func TestList_PagesMissNothing(t *testing.T) {
	t.Parallel()
	for name, failedEvery := range map[string]int{"many failed": 2, "exactly a page failed": 5, "few failed": 40, "none failed": 1000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setUp(t)
			b.exec(`insert into river_job (kind, args, state, max_attempts, finalized_at)
				select 'test', '{}', case when g % $1 = 0 then 'discarded' else 'completed' end::river_job_state, 1, now() from generate_series(1, 250) as g`, failedEvery)
			for _, filter := range []Filter{{}, {FailedFirst: true}, {FailedFirst: true, Kind: "test"}} {
				var got []string
				at := Key{}
				for {
					page, next, err := b.List(t.Context(), ada, filter, at)
					if err != nil {
						t.Fatal(err)
					}
					for _, job := range page {
						got = append(got, fmt.Sprintf("%t %06d", job.State == Failed, job.Number))
					}
					if next == nil {
						break
					}
					if len(page) != pageSize {
						t.Errorf("a page of %d that is not the last", len(page))
					}
					at = *next
				}
				want := slices.Clone(got)
				slices.SortFunc(want, func(a, b string) int {
					if !filter.FailedFirst {
						a, b = a[len(a)-6:], b[len(b)-6:]
					}
					return strings.Compare(b, a)
				})
				if want = slices.Compact(want); len(want) != 250 || !slices.Equal(got, want) {
					t.Errorf("%+v: %d jobs, %d different, or in the wrong order", filter, len(got), len(want))
				}
			}
		})
	}
}

func TestList_RareAndCommon(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.exec(`insert into river_job (kind, args, state, max_attempts, finalized_at, queue)
		select 'common', '{}', 'completed', 1, now(), 'mail' from generate_series(1, $1)`, few+100)
	rare := b.insert("", nil)
	for name, filter := range map[string]Filter{"common": {Kind: "common"}, "both": {Kind: "common", Queue: "mail"}} {
		if page := b.list(filter); len(page) != pageSize || page[0].Kind != "common" {
			t.Errorf("%s: %d jobs", name, len(page))
		}
	}
	for name, filter := range map[string]Filter{"kind": {Kind: "test"}, "queue": {Queue: "default", State: Queued}, "both": {Kind: "test", Queue: "default", FailedFirst: true}} {
		if page := b.list(filter); len(page) != 1 || page[0].ID != rare {
			t.Errorf("by %s: %+v", name, page)
		}
	}
	if page := b.list(Filter{Kind: "test", Queue: "mail"}); len(page) != 0 {
		t.Errorf("found %+v", page)
	}
}

func TestGet_ArgumentsArePretty(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	job := b.get(b.insert("wait", nil))
	if string(job.Args) != "{\n  \"how\": \"wait\"\n}" || !json.Valid(job.Args) || job.Errors == nil || len(job.Errors) != 0 {
		t.Errorf("the job is %+v, its arguments %s", job, job.Args)
	}
}
