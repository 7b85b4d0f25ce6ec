package tickets

import (
	"context"
	"strings"
	"sync"
	"testing"

	"portico/app/audit"
)

// TestSilence: a ticket that only its client could go on with is warned of and then closed, by its department's settings, once
// however often and however many look; and whatever is posted or set meanwhile takes the warning back.
func TestSilence(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	run := func(warned, closed int) {
		t.Helper()
		var wg sync.WaitGroup
		var mu sync.Mutex
		gotWarned, gotClosed := 0, 0
		for range 3 { // beside itself
			wg.Go(func() {
				w, c, err := b.Silence(context.WithoutCancel(t.Context()))
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				gotWarned, gotClosed = gotWarned+w, gotClosed+c
			})
		}
		wg.Wait()
		if gotWarned != warned || gotClosed != closed {
			t.Errorf("warned of %d and closed %d, want %d and %d", gotWarned, gotClosed, warned, closed)
		}
	}
	answered := func(department string) string {
		t.Helper()
		id := b.open(department)
		if _, err := b.Post(t.Context(), b.ada, id, Posting{Body: "Answer"}); err != nil {
			t.Fatal(err)
		}
		return id
	}
	past := func(days int, ids ...string) {
		t.Helper()
		b.exec(`update tickets set last_post_at = last_post_at - $1 * interval '1 day', last_client_post_at = last_client_post_at - $1 * interval '1 day',
			silence_closes_at = silence_closes_at - $1 * interval '1 day' where id::text = any($2)`, days, ids)
	}
	status := func(id string) string {
		t.Helper()
		return scan[string](b, "select status || case when silence_closes_at is null then '' else ' warned' end from tickets where id = $1", id)
	}
	want := func(id, wanted string) {
		t.Helper()
		if got := status(id); got != wanted {
			t.Errorf("the ticket is %q, want %q", got, wanted)
		}
	}

	silent, loose, other, unanswered := answered(b.technical), answered(""), answered(b.billing), b.open(b.technical)
	set, reposted, waiting := answered(b.technical), answered(b.technical), answered(b.technical)
	b.exec("update tickets set status = 'waiting' where id = $1", waiting)
	past(1000, silent, loose, other, unanswered, set, reposted, waiting)
	run(0, 0) // off by default

	b.exec("update departments set silence_warn_days = 7, silence_close_days = 3 where id = $1", b.technical)
	past(-995, silent, set, reposted) // five days ago
	run(0, 0)
	past(3, silent, set, reposted)
	run(3, 0)
	run(0, 0)
	want(silent, "staff_replied warned")
	want(loose, "staff_replied")
	want(other, "staff_replied")
	want(unanswered, "open")
	want(waiting, "waiting")
	if got := scan[int](b, "select count(*)::int from mail_deliveries where kind = 'ticket-silence' and data->>'Ticket' = $1", silent); got != 2 {
		t.Errorf("%d people were warned, want Bea and Una", got)
	}
	thread, err := b.Thread(t.Context(), b.bea, silent)
	if err != nil {
		t.Fatal(err)
	}
	if last := thread.Entries[len(thread.Entries)-1].Event; last == nil || last.Kind != EventSilence || last.ActorID != nil || last.Data["Until"] == "" {
		t.Errorf("the thread ends with %+v", last)
	}
	if got := scan[string](b, "select string_agg(distinct actor_name, ',') from audit_entries where action = 'ticket.silence'"); got != audit.System.Name {
		t.Errorf("the audit names %s", got)
	}

	// A post and a status take the warning back; neither closes by the old one.
	if _, err := b.Post(t.Context(), b.bea, reposted, Posting{Body: "Wait"}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Post(t.Context(), b.ada, set, Posting{Body: "Anything else?"}); err != nil {
		t.Fatal(err)
	}
	want(reposted, "client_replied")
	want(set, "staff_replied")
	past(2, silent)
	run(0, 0)
	past(2, silent)
	run(0, 1)
	run(0, 0)
	want(silent, "closed")
	if got := scan[int](b, "select count(*)::int from ticket_events where ticket_id = $1 and kind = 'close' and data ? 'Silence'", silent); got != 1 {
		t.Errorf("%d events tell of the closing", got)
	}

	// Without a department the store's settings count; turned off meanwhile, nothing closes.
	b.exec("update store set silence_warn_days = 1, silence_close_days = 1")
	run(1, 0)
	want(loose, "staff_replied warned")
	b.exec("update store set silence_warn_days = null, silence_close_days = null")
	past(5, loose)
	run(0, 0)
	want(loose, "staff_replied")
}

// TestSilence_Plans: a look costs what there is to do, not what there is.
func TestSilence_Plans(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.exec("update store set silence_warn_days = 7, silence_close_days = 3")
	b.exec("update departments set silence_warn_days = 7, silence_close_days = 3")
	b.exec(`insert into tickets (account_id, subject, status, department_id, last_post_at) select $1, 'T', case when n % 2 = 0 then 'open' else 'staff_replied' end,
		case when n % 3 = 0 then $2::uuid end, now() - n * interval '1 second' from generate_series(1, 20000) n`, b.bluebird, b.technical)
	b.exec("analyze tickets")
	conn := &spy{Conn: b.pool}
	for _, find := range []func() ([]string, error){
		func() ([]string, error) { return silentIDs(t.Context(), conn, silenceBatch) },
		func() ([]string, error) { return warnedIDs(t.Context(), conn, silenceBatch) },
	} {
		if ids, err := find(); err != nil || len(ids) != 0 {
			t.Fatalf("found %d, %v", len(ids), err)
		}
	}
	for _, q := range conn.queries {
		if plan := b.explain(q); strings.Contains(plan, "Seq Scan on tickets") {
			t.Errorf("all tickets are read by:\n%s\n%s", q.sql, plan)
		}
	}
}
