package jobs

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"portico/app/db"
	"portico/app/db/dbtest"
	"portico/app/keys"
	"portico/app/locale"
	"portico/app/mail"
	"portico/app/mail/smtptest"
)

// workerVariables make the test program a worker process, which the test kills.
var workerVariables = struct{ database, smtp, key string }{"PORTICO_KILLTEST_DATABASE", "PORTICO_KILLTEST_SMTP", "PORTICO_KILLTEST_KEY"}

func TestMain(m *testing.M) {
	if os.Getenv(workerVariables.database) != "" {
		if err := work(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	dbtest.Main(m)
}

// work works jobs until SIGTERM, or until the process is killed.
func work(ctx context.Context) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
	pool, err := db.Open(ctx, os.Getenv(workerVariables.database), time.Minute)
	if err != nil {
		return err
	}
	ring, err := keys.Parse(os.Getenv(workerVariables.key))
	if err != nil {
		return err
	}
	catalogue, err := locale.Load(os.DirFS("../views"))
	if err != nil {
		return err
	}
	transport, err := mail.ParseURL(os.Getenv(workerVariables.smtp))
	if err != nil {
		return err
	}
	inserter, err := NewInserter(pool)
	if err != nil {
		return err
	}
	service := mail.New(pool, ring, catalogue, "http://127.0.0.1:8080", transport, inserter)
	runs, err := newRuns(pool, ring, catalogue, service, quick)
	if err != nil {
		return err
	}
	deps, err := newDeps(pool, service, runs)
	if err != nil {
		return err
	}
	client, err := NewClient(pool, deps, slog.Default())
	if err != nil {
		return err
	}
	if err := client.Start(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	<-ctx.Done()
	return Stop(context.WithoutCancel(ctx), client)
}

// soak makes the tests of faults wait for real: make soak.
var soak = os.Getenv("PORTICO_SOAK") != ""

// A worker is killed in the middle of 500 mails. What waits for time to pass (the rescue, the lease of the dead leader, the
// first pause) is moved into the past, but for make soak; all else is real.
func TestMail_WorkerKilled(t *testing.T) {
	t.Parallel()
	const mails = 500
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
	b := setUpOn(t, pool, ring, nil)
	for i := range mails {
		b.reset(fmt.Sprintf("holder%d@example.com", i))
	}

	worker := exec.Command(os.Args[0])
	worker.Env = append(os.Environ(), workerVariables.database+"="+url, workerVariables.smtp+"="+b.server.URL(), workerVariables.key+"="+key)
	worker.Stderr = os.Stderr
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	b.server.Wait(t, func(taken []smtptest.Mail) bool { return len(taken) >= mails/5 })
	if err := worker.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = worker.Wait() // says that it was killed
	if left := scan[int](b, "select count(*) from mail_deliveries where finished_at is null"); left == 0 {
		t.Fatal("the worker was done before it was killed")
	}
	running := scan[int](b, "select count(*) from river_job where kind = 'deliver_mail' and state = 'running'")
	t.Logf("killed with %d mails taken and %d jobs running", len(b.server.Mails()), running)

	b.patience = 5 * time.Minute // by then everything is final, as RescueAfter says
	if soak {
		b.start()
	} else {
		b.exec("update mail_attempts set started_at = started_at - interval '10 minutes' where finished_at is null")
		b.exec("update river_job set attempted_at = attempted_at - interval '10 minutes' where state = 'running'")
		b.exec("delete from river_leader")
		b.start()
		b.until(running, "select count(*) from river_job where kind = 'deliver_mail' and errors::text like '%rescued%'")
		b.exec("update river_job set state = 'available', scheduled_at = now() where state = 'retryable'")
	}
	began := time.Now()
	b.until(mails, countByStatus, "sent")
	t.Logf("all sent after %v", time.Since(began).Round(time.Millisecond))

	times := map[string]int{}
	for _, taken := range b.server.Mails() {
		times[taken.To]++
	}
	for to, n := range times {
		if n > 2 {
			t.Errorf("%s got %d mails", to, n)
		}
	}
	if len(times) != mails {
		t.Errorf("%d recipients got mail, want %d", len(times), mails)
	}
}
