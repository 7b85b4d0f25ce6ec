package jobs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"portico/app/attachments"
	"portico/app/billing"
	"portico/app/contracts"
	"portico/app/db"
	"portico/app/db/dbtest"
	"portico/app/delegates"
	"portico/app/keys"
	"portico/app/locale"
	"portico/app/mail"
	"portico/app/mail/smtptest"
	"portico/app/provisioning"
	"portico/app/provisionlogs"
	"portico/app/tickets"
	"portico/app/watchdog"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
)

// bundle is a mail service on a database and a mail server of its own.
type bundle struct {
	t      *testing.T
	pool   *pgxpool.Pool
	ring   *keys.Ring
	server *smtptest.Server
	mail   *mail.Service
	runs   *provisioning.Service
	words  *locale.Catalogue
	log    *safeBuffer
	logger *slog.Logger

	patience time.Duration // of until
}

// safeBuffer collects a log that many goroutines write.
type safeBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

func setUp(t *testing.T, reply func(to string, n int) smtptest.Reply) *bundle {
	t.Helper()
	ring, err := keys.Parse(keys.Generate())
	if err != nil {
		t.Fatal(err)
	}
	return setUpOn(t, dbtest.New(t), ring, reply)
}

func setUpOn(t *testing.T, pool *pgxpool.Pool, ring *keys.Ring, reply func(to string, n int) smtptest.Reply) *bundle {
	t.Helper()
	catalogue, err := locale.Load(os.DirFS("../views"))
	if err != nil {
		t.Fatal(err)
	}
	server := (&smtptest.Server{Reply: reply}).Start(t)
	transport, err := mail.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	inserter, err := NewInserter(pool)
	if err != nil {
		t.Fatal(err)
	}
	log := &safeBuffer{}
	b := &bundle{
		patience: 30 * time.Second,
		t:        t, pool: pool, ring: ring, server: server, words: catalogue, log: log, logger: slog.New(slog.NewTextHandler(log, nil)),
		mail: mail.New(pool, ring, catalogue, "http://127.0.0.1:8080", transport, inserter),
	}
	if b.runs, err = newRuns(pool, ring, catalogue, b.mail, quick); err != nil {
		t.Fatal(err)
	}
	return b
}

// newDeps are all services that jobs call.
func newDeps(pool *pgxpool.Pool, mails *mail.Service, runs *provisioning.Service) (Deps, error) {
	inserter, err := NewInserter(pool)
	if err != nil {
		return Deps{}, err
	}
	healthy := func(context.Context) error { return nil }
	return Deps{
		Mail: mails, Runs: runs, Watchdog: watchdog.New(pool, mails, healthy, watchdog.DefaultLimits), Files: attachments.NewService(pool, nil),
		Delegates: delegates.NewService(pool, nil, mails), Tickets: tickets.NewService(pool, mails, nil), Logs: provisionlogs.NewService(pool, mails),
		Billing: billing.NewService(pool, mails, contracts.NewService(pool, mails), inserter),
	}, nil
}

// client makes a working client that is not started yet.
func (b *bundle) client() *river.Client[pgx.Tx] {
	b.t.Helper()
	return b.clientOn(b.pool, b.runs)
}

// clientOn is client with another way to the database.
func (b *bundle) clientOn(pool *pgxpool.Pool, runs *provisioning.Service) *river.Client[pgx.Tx] {
	b.t.Helper()
	deps, err := newDeps(pool, b.mail, runs)
	if err != nil {
		b.t.Fatal(err)
	}
	client, err := NewClient(pool, deps, b.logger)
	if err != nil {
		b.t.Fatal(err)
	}
	return client
}

// start works the queues until the test ends.
func (b *bundle) start() *river.Client[pgx.Tx] {
	b.t.Helper()
	return b.startClient(b.client())
}

func (b *bundle) startClient(client *river.Client[pgx.Tx]) *river.Client[pgx.Tx] {
	b.t.Helper()
	if err := client.Start(context.WithoutCancel(b.t.Context())); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if err := Stop(context.Background(), client); err != nil {
			b.t.Error(err)
		}
	})
	return client
}

func (b *bundle) exec(sql string, args ...any) {
	b.t.Helper()
	if _, err := b.pool.Exec(b.t.Context(), sql, args...); err != nil {
		b.t.Fatal(err)
	}
}

func scan[T any](b *bundle, sql string, args ...any) T {
	b.t.Helper()
	var value T
	if err := b.pool.QueryRow(b.t.Context(), sql, args...).Scan(&value); err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
	return value
}

// reset queues a mail with a link for a new user, and returns the delivery's id and the link's secret.
func (b *bundle) reset(email string) (id, secret string) {
	b.t.Helper()
	user := scan[string](b, "insert into users (name, email) values ('Bea Lindqvist', $1) returning id::text", email)
	token := uuid.NewString()
	secret, hash := b.ring.LinkSecret(token)
	err := db.InTx(b.t.Context(), b.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(b.t.Context(), `
			insert into tokens (id, token_hash, purpose, user_id, email, expires_at) values ($1, $2, 'reset', $3, $4, now() + interval '1 hour')`,
			token, hash, user, email); err != nil {
			return err
		}
		return b.mail.Queue(b.t.Context(), tx, mail.Message{Kind: "reset-password", Key: "reset:" + token, UserID: user, Recipient: email, TokenID: token})
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return scan[string](b, "select id::text from mail_deliveries where recipient = $1", email), secret
}

// until waits for a number that a query counts, by asking again; the test's deadline ends it.
func (b *bundle) until(want int, sql string, args ...any) {
	b.t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(b.patience)
	for {
		got := scan[int](b, sql, args...)
		if got == want {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			b.t.Fatalf("gave up waiting: %d, want %d of %s\n%s", got, want, sql, b.log)
		}
	}
}

const countByStatus = "select count(*) from mail_deliveries where status = $1"

func TestMail_QueuedThenSent(t *testing.T) {
	t.Parallel()
	b := setUp(t, nil)
	b.start()
	_, secret := b.reset("bea@bluebird.example")
	b.until(1, countByStatus, "sent")
	b.until(1, "select count(*) from river_job where kind = 'deliver_mail' and state = 'completed'")
	if mails := b.server.Mails(); len(mails) != 1 || !bytes.Contains(bytes.ReplaceAll(mails[0].Data, []byte("=\r\n"), nil), []byte("/reset-password/"+secret)) {
		t.Errorf("%d mails, or no link", len(mails))
	}
	all := scan[string](b, "select string_agg(j::text, ' ') from river_job j") + scan[string](b, "select string_agg(d::text, ' ') from mail_deliveries d") + b.log.String()
	if strings.Contains(all, secret) || strings.Contains(scan[string](b, "select args::text from river_job where kind = 'deliver_mail'"), "bea@") {
		t.Error("a job, a delivery or the log tells more than an id")
	}
}

func TestMail_BadRecipientsStopNoOther(t *testing.T) {
	t.Parallel()
	b := setUp(t, func(to string, _ int) smtptest.Reply {
		switch {
		case strings.HasPrefix(to, "refuse"):
			return smtptest.Refuse
		case strings.HasPrefix(to, "defer"):
			return smtptest.Defer
		case strings.HasPrefix(to, "drop"):
			return smtptest.Drop
		}
		return smtptest.Accept
	})
	for i := range 40 {
		b.reset(fmt.Sprintf("%s%d@example.com", []string{"refuse", "good", "defer", "drop"}[i%4], i))
	}
	b.start()
	b.until(10, countByStatus, "sent")
	b.until(10, countByStatus, "failed")
	b.until(20, countByStatus, "retrying")
	b.until(10, "select count(*) from river_job where kind = 'deliver_mail' and state = 'completed'")
	b.until(10, "select count(*) from river_job where kind = 'deliver_mail' and state = 'cancelled'")
	b.until(20, "select count(*) from river_job where kind = 'deliver_mail' and state = 'retryable' and attempt = 1")
	// What the row says of the next attempt is when River comes.
	if off := scan[float64](b, `select max(abs(extract(epoch from d.next_at - j.scheduled_at))) from mail_deliveries d
		join river_job j on j.args ->> 'delivery_id' = d.id::text where d.status = 'retrying'`); off > 2 {
		t.Errorf("a row's next attempt is %.1f s off from its job's", off)
	}
	text := scan[string](b, "select string_agg(array_to_string(errors, ' '), ' ') from river_job")
	if !strings.Contains(text, "550 5.1.1 No such mailbox here") || strings.Contains(text, "@example.com") {
		t.Errorf("errors of jobs: %s", text)
	}
}

func TestMail_RetriedUntilSent(t *testing.T) {
	t.Parallel()
	b := setUp(t, func(_ string, n int) smtptest.Reply {
		return []smtptest.Reply{smtptest.Defer, smtptest.Drop, smtptest.Accept}[n-1]
	})
	id, _ := b.reset("bea@bluebird.example")
	client := b.start()
	for attempt := 1; attempt <= 2; attempt++ {
		b.until(1, "select count(*) from river_job where kind = 'deliver_mail' and state = 'retryable' and attempt = $1", attempt)
		// Instead of waiting for the pause.
		if _, err := client.JobRetry(t.Context(), scan[int64](b, "select id from river_job where kind = 'deliver_mail'")); err != nil {
			t.Fatal(err)
		}
	}
	b.until(1, countByStatus, "sent")
	if got := scan[string](b, "select string_agg(outcome, ' ' order by attempt) from mail_attempts where delivery_id = $1", id); got != "deferred unknown accepted" {
		t.Errorf("attempts %q", got)
	}
}

func TestMail_LastAttemptGivesUp(t *testing.T) {
	t.Parallel()
	b := setUp(t, func(string, int) smtptest.Reply { return smtptest.Defer })
	b.reset("bea@bluebird.example")
	b.exec("update river_job set attempt = max_attempts - 1")
	b.start()
	b.until(1, "select count(*) from river_job where kind = 'deliver_mail' and state = 'discarded'")
	b.until(1, "select count(*) from mail_deliveries where status = 'failed' and reason = 'gave-up'")
}

func TestMail_HeldCostsNoAttempt(t *testing.T) {
	t.Parallel()
	b := setUp(t, nil)
	id, _ := b.reset("bea@bluebird.example")
	b.exec("update mail_deliveries set status = 'sending', attempts = 1 where id = $1", id)
	b.exec("insert into mail_attempts (delivery_id, attempt) values ($1, 1)", id)
	b.start()
	b.until(1, "select count(*) from river_job where kind = 'deliver_mail' and state = 'scheduled' and attempt = 0 and scheduled_at > now() + interval '1 minute'")
}

func TestStop_GivesBackWithoutCostingAnAttempt(t *testing.T) {
	t.Parallel()
	b := setUp(t, func(_ string, n int) smtptest.Reply {
		if n == 1 {
			return smtptest.Hang
		}
		return smtptest.Accept
	})
	b.reset("bea@bluebird.example")
	client := b.client()
	if err := client.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	b.server.Wait(t, func(mails []smtptest.Mail) bool { return len(mails) == 1 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // no time left for a soft stop
	if err := Stop(ctx, client); err != nil {
		t.Fatal(err)
	}
	b.until(1, "select count(*) from river_job where kind = 'deliver_mail' and state = 'available' and attempt = 0")
	b.until(1, "select count(*) from mail_deliveries where status = 'retrying' and next_at <= now()")
	b.start()
	b.until(1, countByStatus, "sent")
}

func TestStop_WaitsForRunningJobs(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	b := setUp(t, func(string, int) smtptest.Reply {
		<-release
		return smtptest.Accept
	})
	b.reset("bea@bluebird.example")
	client := b.client()
	if err := client.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	b.until(1, countByStatus, "sending")
	stopped := make(chan error, 1)
	go func() { stopped <- Stop(context.Background(), client) }()
	close(release)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	b.until(1, countByStatus, "sent")
}

// poisonArgs is a job that fails as it is told.
type poisonArgs struct {
	How string `json:"how"`
}

func (poisonArgs) Kind() string { return "poison" }

func TestGuard_PoisonFailsAloneAndTellsNoSecret(t *testing.T) {
	t.Parallel()
	b := setUp(t, nil)
	secret := "http://127.0.0.1:8080/reset-password/Zm9vYmFyYmF6"
	workers := river.NewWorkers()
	river.AddWorker(workers, river.WorkFunc(func(_ context.Context, job *river.Job[poisonArgs]) error {
		switch job.Args.How {
		case "panic":
			panic("lost " + secret)
		case "error":
			return errors.New("lost " + secret)
		}
		return nil
	}))
	client := newClient(t, b, workers)
	for i := range 100 {
		how := map[int]string{10: "panic", 20: "error"}[i]
		if _, err := client.Insert(t.Context(), poisonArgs{how}, &river.InsertOpts{MaxAttempts: 1}); err != nil {
			t.Fatal(err)
		}
	}
	b.exec("update river_job set args = '[\"undecodable\"]' where id = (select id from river_job where args ->> 'how' = '' limit 1)")
	b.exec("update river_job set kind = 'unknown' where id = (select id from river_job where args ->> 'how' = '' limit 1)")
	if err := client.Start(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = Stop(context.Background(), client) })
	b.until(96, "select count(*) from river_job where state = 'completed'")
	b.until(4, "select count(*) from river_job where state = 'discarded'")
	stored := scan[string](b, "select string_agg(array_to_string(errors, ' '), ' ') from river_job")
	for name, text := range map[string]string{"rows": stored, "log": b.log.String()} {
		if strings.Contains(text, "Zm9vYmFyYmF6") {
			t.Errorf("the secret is in the %s:\n%s", name, text)
		}
		if !strings.Contains(text, "panic: lost") || !strings.Contains(text, "lost http://127.0.0.1:8080/reset-password/•••") {
			t.Errorf("the %s don't tell what happened:\n%s", name, text)
		}
	}
}

// newClient is NewClient with other workers.
func newClient(t *testing.T, b *bundle, workers *river.Workers) *river.Client[pgx.Tx] {
	t.Helper()
	with := config(workers, b.logger)
	with.PeriodicJobs = nil
	client, err := river.NewClient(riverpgxv5.New(b.pool), with)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestPauses(t *testing.T) {
	t.Parallel()
	var total time.Duration
	for attempt := 1; attempt <= mail.DeliverAttempts; attempt++ {
		job := &rivertype.JobRow{ID: 7, Kind: mail.DeliverArgs{}.Kind(), Attempt: attempt, MaxAttempts: mail.DeliverAttempts}
		pause := pauseAfter(job)
		if pause != pauseAfter(job) {
			t.Error("a pause is not the same twice")
		}
		if last := attempt == mail.DeliverAttempts; last != (pause == 0) {
			t.Errorf("after attempt %d the pause is %s", attempt, pause)
		}
		total += pause
	}
	if total < 22*time.Hour || total > 27*time.Hour {
		t.Errorf("a mail is tried for %s, want about 24 hours", total)
	}
	if table := pauses[mail.DeliverArgs{}.Kind()]; len(table) != mail.DeliverAttempts-1 || !slices.IsSorted(table) {
		t.Errorf("%d pauses for %d attempts, or they shrink", len(table), mail.DeliverAttempts)
	}
	spread := map[time.Duration]bool{}
	for id := range int64(50) {
		pause := pauseAfter(&rivertype.JobRow{ID: id, Kind: "unheard of", Attempt: 1, MaxAttempts: 9})
		if pause < 54*time.Second || pause > 66*time.Second {
			t.Errorf("job %d waits %s, want a minute give or take a tenth", id, pause)
		}
		spread[pause] = true
	}
	if len(spread) < 25 {
		t.Errorf("50 jobs come back at only %d moments", len(spread))
	}
	if pause := pauseAfter(&rivertype.JobRow{Kind: "unheard of", Attempt: 40, MaxAttempts: 50}); pause < 2*time.Hour {
		t.Errorf("beyond the table the pause is %s, want its last", pause)
	}
}

func TestLimits_FitTogether(t *testing.T) {
	t.Parallel()
	if RescueAfter <= jobTimeout+10*time.Second {
		t.Error("a job may be rescued while it lives")
	}
	if watchdog.DefaultLimits.Running < 2*RescueAfter {
		t.Error("the watchdog tells of jobs that are about to be rescued")
	}
	for name := range watchdog.DefaultLimits.Queues {
		if _, ok := queues[name]; !ok {
			t.Errorf("the watchdog has a limit for the queue %s, which is not worked", name)
		}
	}
	for name, queue := range queues {
		if perSecond := float64(queue.MaxWorkers) / queue.FetchCooldown.Seconds(); perSecond < 40 {
			t.Errorf("queue %s does at most %.0f jobs a second", name, perSecond)
		}
		if queue.FetchPollInterval > 5*time.Second {
			t.Errorf("queue %s finds a job without a notification only after %s", name, queue.FetchPollInterval)
		}
	}
}

func TestSweep(t *testing.T) {
	t.Parallel()
	b := setUp(t, nil)
	b.exec(`insert into users (id, name, email) values ('00000000-0000-4000-8000-000000000001', 'Bea', 'bea@bluebird.example')`)
	b.exec(`insert into tokens (token_hash, purpose, user_id, email, expires_at, used_at)
		select sha256(v.name::bytea), 'reset', u.id, v.name, now() + expires::interval, now() + used::interval from users u, (values
			('keep alive', '1 hour', null), ('keep expired', '-6 days', null), ('drop expired', '-8 days', null), ('drop used', '1 hour', '-8 days')) as v (name, expires, used)`)
	b.exec(`insert into sessions (token_hash, user_id, ip, browser, expires_at)
		select sha256(v.name::bytea), u.id, '', v.name, now() + expires::interval from users u, (values ('keep', '1 hour'), ('drop', '-1 s')) as v (name, expires)`)
	b.exec(`insert into passkey_ceremonies (data, expires_at) values ('"keep"', now() + interval '1 min'), ('"drop"', now() - interval '1 s')`)
	b.exec(`insert into rate_limits (key, starts_at) values ('keep', now() - interval '1 day'), ('drop', now() - interval '3 days')`)
	b.exec(`insert into email_changes (user_id, email, expires_at) select id, 'drop', now() - interval '1 s' from users`)
	b.exec(`insert into mail_deliveries (key, kind, recipient, status, created_at, finished_at) values
		('keep', 'password-changed', '', 'sent', now() - interval '91 days', now() - interval '89 days'),
		('drop', 'password-changed', '', 'sent', now() - interval '91 days', now() - interval '91 days')`)
	b.exec(`insert into mail_deliveries (key, kind, recipient) values ('keep young', 'password-changed', '')`)
	b.exec(`insert into mail_deliveries (key, kind, recipient, created_at) values ('keep orphan', 'password-changed', '', now() - interval '1 hour')`)
	b.start()
	b.until(1, "select count(*) from river_job where kind = 'sweep' and state = 'completed'")
	left := scan[string](b, `select string_agg(name, ', ' order by name) from (
		select 'token ' || email as name from tokens union all select 'session ' || browser from sessions
		union all select 'ceremony ' || (data #>> '{}') from passkey_ceremonies union all select 'limit ' || key from rate_limits
		union all select 'change ' || email from email_changes union all select 'mail ' || key || ' ' || status from mail_deliveries) as kept`)
	const want = "ceremony keep, limit keep, mail keep orphan failed, mail keep sent, mail keep young queued, session keep, token keep alive, token keep expired"
	if left != want {
		t.Errorf("left are %s\nwant     %s", left, want)
	}
	if !strings.Contains(b.log.String(), "lost their job") {
		t.Error("the log does not tell of the orphan")
	}
}
