package watchdog

import (
	"context"
	"errors"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"portico/app/db/dbtest"
	"portico/app/keys"
	"portico/app/locale"
	"portico/app/mail"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// bundle is a database on which all is well.
type bundle struct {
	t    *testing.T
	pool *pgxpool.Pool
}

func setUp(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{t, dbtest.New(t)}
	b.exec("insert into river_leader (elected_at, expires_at, leader_id) values (now(), now() + interval '1 hour', 'one')")
	return b
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

func well(context.Context) error { return nil }

// service watches with the portal's limits. The database's connections are those of all tests at once.
func (b *bundle) service(server func(context.Context) error) *Service {
	b.t.Helper()
	catalogue, err := locale.Load(os.DirFS("../../views"))
	if err != nil {
		b.t.Fatal(err)
	}
	ring, err := keys.Parse(keys.Generate())
	if err != nil {
		b.t.Fatal(err)
	}
	inserter, err := river.NewClient(riverpgxv5.New(b.pool), &river.Config{})
	if err != nil {
		b.t.Fatal(err)
	}
	limits := DefaultLimits
	limits.Connections = 2
	return New(b.pool, mail.New(b.pool, ring, catalogue, "http://127.0.0.1:8080", nil, inserter), server, limits)
}

func (b *bundle) causes(s *Service) []Cause {
	b.t.Helper()
	causes, err := s.Causes(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	return causes
}

const (
	jobSQL = `insert into river_job (kind, args, queue, state, attempt, max_attempts, scheduled_at, attempted_at, finalized_at, metadata, priority)
		select $1, '{}', $2, $3::river_job_state, 1, 5, now() - $4::interval, now() - $4::interval,
			case when $3 in ('cancelled', 'completed', 'discarded') then now() - $4::interval end, coalesce($5::jsonb, '{}'), $6`
	mailSQL = `insert into mail_deliveries (key, kind, recipient, status, created_at, reason, finished_at)
		select gen_random_uuid(), 'password-changed', 'x@example.com', $1, now() - $2::interval, case $1 when 'failed' then 'refused' else '' end,
			case when $1 in ('sent', 'failed') then now() end`
)

func (b *bundle) job(kind, queue, state, ago string, metadata any, priority int) {
	b.t.Helper()
	b.exec(jobSQL, kind, queue, state, ago, metadata, priority)
}

// attempt is one of the mail's, ended some minutes ago.
func (b *bundle) attempt(mail, attempt int, outcome string, minutes int) {
	b.t.Helper()
	b.exec(`with d as (
			insert into mail_deliveries (key, kind, recipient) values ('mail ' || $1::int, 'password-changed', 'x@example.com')
			on conflict (key) do update set kind = excluded.kind returning id)
		insert into mail_attempts (delivery_id, attempt, finished_at, outcome) select id, $2, now() - make_interval(mins => $4::int), $3 from d`,
		mail, attempt, outcome, minutes)
}

func TestCauses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		happen func(b *bundle)
		want   []Cause // Since is compared with ago
		ago    time.Duration
	}{
		"all is well": {happen: func(b *bundle) {
			b.job("test", "default", "running", "14 minutes", nil, 1)
			b.job("test", "default", "available", "9 minutes", nil, 1)
			b.job("test", "default", "scheduled", "-1 hour", nil, 1)
			b.job("test", "mail", "available", "4 minutes", nil, 1)
			b.job("test", "default", "completed", "1 day", nil, 1)
			b.job("test", "default", "discarded", "61 minutes", nil, 1)
			b.job("test", "default", "cancelled", "1 minute", `{"cancel_attempted_at": "2026-11-22T00:00:00Z"}`, 1)
			b.job("deliver_mail", "mail", "cancelled", "1 minute", nil, 1) // refused, which is told under Emails
			b.exec(mailSQL, "queued", "29 minutes")
			b.exec(mailSQL, "sent", "3 hours")
			b.exec(mailSQL, "failed", "3 hours")
		}},
		"nobody works": {
			happen: func(b *bundle) { b.exec("update river_leader set expires_at = now() - interval '5 minutes'") },
			want:   []Cause{{Key: NoWorker, Href: "/admin/jobs"}}, ago: 5 * time.Minute},
		"nobody ever worked": {
			happen: func(b *bundle) { b.exec("delete from river_leader") },
			want:   []Cause{{Key: NoWorker, Href: "/admin/jobs"}}},
		"stuck": {
			happen: func(b *bundle) {
				b.job("test", "default", "running", "2 hours", nil, 1)
				b.job("test", "mail", "running", "16 minutes", nil, 1)
			},
			want: []Cause{{Key: JobsRunning, Count: 2, Href: "/admin/jobs?state=running"}}, ago: 2 * time.Hour},
		"overdue, by queue and priority": {
			happen: func(b *bundle) {
				b.job("test", "default", "available", "20 minutes", nil, 4)
				b.job("test", "default", "scheduled", "11 minutes", nil, 1)
				b.job("test", "mail", "retryable", "20 minutes", nil, 2)
				b.job("test", "nobody", "available", "20 minutes", nil, 1)
			},
			want: []Cause{
				{Key: JobsWaiting, Name: "default", Count: 2, Href: "/admin/jobs?queue=default"},
				{Key: JobsWaiting, Name: "mail", Count: 1, Href: "/admin/jobs?queue=mail"},
				{Key: JobsWaiting, Name: "nobody", Count: 1, Href: "/admin/jobs?queue=nobody"},
			}, ago: 20 * time.Minute},
		"people wait for mail": {
			happen: func(b *bundle) { b.job("test", "mail", "available", "6 minutes", nil, 1) },
			want:   []Cause{{Key: JobsWaiting, Name: "mail", Count: 1, Href: "/admin/jobs?queue=mail"}}, ago: 6 * time.Minute},
		"failed": {
			happen: func(b *bundle) {
				b.job("test", "default", "discarded", "30 minutes", nil, 1)
				b.job("test", "default", "cancelled", "20 minutes", nil, 1)
				b.job("deliver_mail", "mail", "discarded", "10 minutes", nil, 1)
			},
			want: []Cause{{Key: JobsFailed, Count: 3, Href: "/admin/jobs?state=failed"}}, ago: 30 * time.Minute},
		"mails wait": {
			happen: func(b *bundle) {
				b.exec(mailSQL, "queued", "31 minutes")
				b.exec(mailSQL, "retrying", "3 hours")
				b.exec(mailSQL, "sending", "40 minutes")
			},
			want: []Cause{{Key: MailWaiting, Count: 3, Href: "/admin/emails"}}, ago: 3 * time.Hour},
		"mails fail in a row": {
			happen: func(b *bundle) {
				b.attempt(9, 1, "accepted", 40)
				for i, outcome := range []string{"deferred", "unreachable", "unknown", "refused", "deferred"} {
					b.attempt(i%3, i, outcome, 30-i)
				}
			},
			want: []Cause{{Key: MailFailing, Count: 5, Href: "/admin/emails"}}, ago: 30 * time.Minute},
		"one mail fails": {happen: func(b *bundle) {
			for i := range 9 {
				b.attempt(i%2, i, "deferred", 30-i)
			}
		}},
		"mails fail between others": {happen: func(b *bundle) {
			for i := range 8 {
				b.attempt(i, 1, "deferred", 30-i)
			}
			b.attempt(9, 1, "accepted", 24)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setUp(t)
			test.happen(b)
			got := b.causes(b.service(well))
			for i, cause := range got {
				if off := time.Since(cause.Since) - test.ago; !cause.Since.IsZero() && off.Abs() > time.Minute || cause.Since.IsZero() != (test.ago == 0) {
					t.Errorf("%s is said to be since %v", cause.ID(), cause.Since)
				}
				got[i].Since = time.Time{}
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
		})
	}
}

func TestCauses_Connections(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	s := b.service(well)
	s.limits.Connections = 0
	if got := b.causes(s); len(got) != 1 || got[0].Key != Connections || got[0].Count < 1 || got[0].Of < got[0].Count {
		t.Errorf("got %+v", got)
	}
}

func TestCauses_MailServer(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	var down error
	s := b.service(func(context.Context) error { return down })
	if got := b.causes(s); len(got) != 0 {
		t.Errorf("got %+v", got)
	}
	down = errors.New("connection refused")
	s.asked = time.Time{} // as if half a minute had passed
	first := b.causes(s)
	if len(first) != 1 || first[0].Key != MailServer || time.Since(first[0].Since) > time.Minute {
		t.Fatalf("got %+v", first)
	}
	s.asked = time.Time{}
	if again := b.causes(s); len(again) != 1 || !again[0].Since.Equal(first[0].Since) {
		t.Errorf("since %v, then %+v", first[0].Since, again)
	}
	down, s.asked = nil, time.Time{}
	if got := b.causes(s); len(got) != 0 {
		t.Errorf("got %+v after the server came back", got)
	}
}

// A page does not wait for a mail server that hangs, however many ask.
func TestCauses_MailServerHangs(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	asked := make(chan struct{}, 10)
	s := b.service(func(ctx context.Context) error {
		asked <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	})
	began := time.Now()
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			if _, err := s.Causes(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if took := time.Since(began); took > serverTimeout/2 {
		t.Errorf("the page took %v", took)
	}
	if len(asked) != 1 {
		t.Errorf("the server was asked %d times", len(asked))
	}
}

func TestCauses_DatabaseGone(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	s := b.service(func(context.Context) error { return errors.New("gone too") })
	b.pool.Close()
	causes, err := s.Causes(t.Context())
	if err == nil || len(causes) != 1 || causes[0].Key != MailServer {
		t.Errorf("%v, %v: what can still be seen is not", causes, err)
	}
}

func (b *bundle) people() {
	b.exec(`insert into users (name, email, role, disabled_at) values
		('Ada', 'ada@northwind.example', 'admin', null), ('Ida', 'ida@northwind.example', 'admin', null),
		('Gone', 'gone@northwind.example', 'admin', now()), ('Sam', 'sam@northwind.example', 'staff', null), ('Bea', 'bea@bluebird.example', null, null)`)
}

func TestTell_OnceAnHourPerCauseByAnyNumberOfProcesses(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.people()
	b.job("test", "default", "discarded", "10 minutes", nil, 1)
	b.job("test", "mail", "available", "20 minutes", nil, 1)
	processes := []*Service{b.service(well), b.service(well), b.service(well)}
	tell := func() (told int) {
		t.Helper()
		var mu sync.Mutex
		var all sync.WaitGroup
		for _, process := range processes {
			all.Go(func() {
				n, err := process.Tell(t.Context())
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				told += n
			})
		}
		all.Wait()
		return told
	}
	const mails = "select string_agg(recipient || ' ' || (data ->> 'Cause') || (data ->> 'Name') || (data ->> 'Count'), ', ' order by recipient, data ->> 'Cause') from mail_deliveries"
	const each = "ada@northwind.example jobs-failed1, ada@northwind.example jobs-waitingmail1, ida@northwind.example jobs-failed1, ida@northwind.example jobs-waitingmail1"
	if told := tell(); told != 2 || b.text(mails) != each {
		t.Errorf("%d causes told: %s", told, b.text(mails))
	}
	if told := tell(); told != 0 || b.text(mails) != each {
		t.Errorf("told again: %d, %s", told, b.text(mails))
	}
	if jobs := b.text("select count(*) from river_job where kind = 'deliver_mail'"); jobs != "4" {
		t.Errorf("%s jobs for 4 mails", jobs)
	}
	subjects := b.text("select string_agg(distinct subject, ', ') from mail_deliveries")
	if !strings.Contains(subjects, "Jobs failed") || !strings.Contains(subjects, "Jobs wait") {
		t.Errorf("subjects %s", subjects)
	}
	// A new cause is told at once, an old one an hour later.
	b.job("test", "default", "running", "20 minutes", nil, 1)
	if told := tell(); told != 1 {
		t.Errorf("of a new cause %d were told", told)
	}
	b.exec("update watchdog_alerts set told_at = told_at - interval '1 hour' where cause = 'jobs-failed'")
	if told := tell(); told != 1 {
		t.Errorf("after an hour %d were told", told)
	}
	if got := b.text("select count(*) from mail_deliveries where data ->> 'Cause' = 'jobs-failed'"); got != "4" {
		t.Errorf("%s mails of what was told twice to two", got)
	}
}

// Whoever looks from a job works jobs: between two leaders there is none for a moment.
func TestTell_NotThatNobodyWorks(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.people()
	b.exec("delete from river_leader")
	if told, err := b.service(well).Tell(t.Context()); told != 0 || err != nil {
		t.Errorf("%d told, %v", told, err)
	}
}

func TestCounts_NameEveryCause(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.exec("delete from river_leader")
	b.job("test", "mail", "available", "20 minutes", nil, 1)
	b.job("test", "default", "available", "20 minutes", nil, 1)
	counts, err := b.service(well).Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{NoWorker: 1, Connections: 0, MailServer: 0, JobsRunning: 0, JobsWaiting: 2, MailFailing: 0, MailWaiting: 0, JobsFailed: 0}
	if !reflect.DeepEqual(counts, want) {
		t.Errorf("got %v", counts)
	}
}
