package main

import (
	"net/http"
	"strings"
	"testing"

	"portico/app/dev"
)

// job queues one behind the portal's back.
func (s *site) job(kind, due string, attempts int) {
	s.t.Helper()
	s.exec("insert into river_job (kind, args, max_attempts, scheduled_at, state) values ($1, '{\"id\": 7}', $2, now() + $3::interval, case when $3::interval > '0' then 'scheduled' else 'available' end::river_job_state)",
		kind, attempts, due)
}

// A job that no worker knows fails alone, shows, and can be tried again; one that waits can be cancelled; a queue paused.
func TestJobs(t *testing.T) {
	windows(t, func(t *testing.T, s *site, open func() window) {
		s.job("unheard_of", "0", 1)
		s.job("overtaken", "1 day", 3)
		wait(t, "a failed job", func() bool { return s.text("select state from river_job where kind = 'unheard_of'") == "discarded" })
		wait(t, "the queue of mails", func() bool { return s.text("select count(*) from river_queue where name = 'mail'") == "1" })
		w := open()
		signIn(w, "ada@northwind.example", dev.DemoPassword)
		w.says("Needs attention")
		w.says("1 job gave up within the last hour.")
		w.visit("/admin/jobs")
		w.press("Pause mail")
		w.says("The queue mail is paused.")
		w.press("Resume mail")
		w.says("The queue mail goes on.")

		w.visit("/admin/jobs?state=failed")
		w.follow("unheard_of")
		w.says("1 of 1")
		w.says("job kind is not registered")
		w.press("Retry")
		w.says("The job is tried again.")
		wait(t, "a second failure", func() bool {
			return s.text("select state::text || cardinality(errors) from river_job where kind = 'unheard_of'") == "discarded2"
		})

		w.visit("/admin/jobs?kind=overtaken")
		w.follow("overtaken")
		w.says("Queued")
		w.press("Cancel")
		w.says("The job is cancelled.")
		w.says("Cancelled")
		if got := s.text("select string_agg(action || ' by ' || actor_name, ', ' order by id) from audit_entries where object_type in ('job', 'queue')"); got != "queue.pause by Ada Moreau, queue.resume by Ada Moreau, job.retry by Ada Moreau, job.cancel by Ada Moreau" {
			t.Errorf("recorded %s", got)
		}
	})
}

// What others do shows on the open page by itself.
func TestJobs_Live(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	b := s.browse(t, screen{})
	b.be(s.signIn("ada@northwind.example"))
	b.open("/admin/jobs")
	wait(t, "the page's stream", func() bool { return s.live.Streams() == 1 })
	s.job("unheard_of", "1 day", 1)
	b.see("link", "unheard_of")
	s.exec("update river_job set state = 'available', scheduled_at = now() where kind = 'unheard_of'")
	b.says("Failed default 1 of 1")
}

func TestJobs_ADoneDeedIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t, options{idle: true})
	s.job("overtaken", "1 day", 3)
	c := s.signIn("ada@northwind.example")
	href := c.get("/admin/jobs").find("a.cell-link").AttrOr("href", "")
	page := c.get(href).want(http.StatusOK, "overtaken", `"id": 7`)
	page.submit(href+"/cancel").follow().want(http.StatusOK, "The job is cancelled.")
	page.submit(href + "/cancel").want(http.StatusConflict)
	c.get("/admin/jobs?state=nonsense").want(http.StatusNotFound)
	c.get("/admin/jobs?before=7").want(http.StatusNotFound)
	c.get("/admin/jobs?kind=gone&queue=gone").want(http.StatusOK, "No job matches these filters.")
	c.get("/admin").want(http.StatusOK, "Nothing works jobs")
	s.signIn("sam@northwind.example").get("/admin").want(http.StatusOK)
	if said := s.signIn("sam@northwind.example").get("/admin").words("main"); strings.Contains(said, "Nothing works jobs") {
		t.Error("staff, who can't see jobs, are told of them")
	}
}

// Admins are told by mail.
func TestWatchdog_MailsAdmins(t *testing.T) {
	t.Parallel()
	s := start(t, options{idle: true})
	s.exec("insert into river_job (kind, args, max_attempts, state, finalized_at) select 'unheard_of', '{}', 1, 'discarded', now() from generate_series(1, 3)")
	s.stop()
	worker := start(t, options{database: s.pool.Config().ConnString(), keys: "one key that both of the processes have and nobody else", empty: true})
	letter := worker.mail("ada@northwind.example", "needs attention: Jobs failed")
	if !strings.Contains(letter.Text, "3 jobs gave up within the last hour.") {
		t.Errorf("the mail says %s", letter.Text)
	}
	worker.link(letter, "/admin")
}
