package emails

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"portico/app"
	"portico/app/db/dbtest"
	"portico/app/keys"
	"portico/app/locale"
	"portico/app/mail"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// bundle is a service on a database of its own.
type bundle struct {
	*Service
	t     *testing.T
	pool  *pgxpool.Pool
	admin app.Viewer
}

func setUp(t *testing.T) *bundle {
	t.Helper()
	pool := dbtest.New(t)
	ring, err := keys.Parse(keys.Generate())
	if err != nil {
		t.Fatal(err)
	}
	inserter, err := river.NewClient(riverpgxv5.New(pool), &river.Config{})
	if err != nil {
		t.Fatal(err)
	}
	transport, err := mail.ParseURL("smtp://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	mails := mail.New(pool, ring, catalogue(t), "https://portal.northwind.example", transport, inserter)
	b := &bundle{Service: NewService(pool, ring, mails), t: t, pool: pool}
	b.admin = app.Viewer{UserID: b.scan("insert into users (name, email, role) values ('Ada', 'ada@northwind.example', 'admin') returning id::text"), Name: "Ada", Role: app.RoleAdmin}
	return b
}

func catalogue(t *testing.T) *locale.Catalogue {
	t.Helper()
	c, err := locale.Load(os.DirFS("../../views"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (b *bundle) exec(sql string, args ...any) {
	b.t.Helper()
	if _, err := b.pool.Exec(b.t.Context(), sql, args...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) scan(sql string, args ...any) (value string) {
	b.t.Helper()
	if err := b.pool.QueryRow(b.t.Context(), sql, args...).Scan(&value); err != nil {
		b.t.Fatal(err)
	}
	return value
}

// subjects of a whole list, page by page.
func (b *bundle) subjects(f Filter) []string {
	b.t.Helper()
	var all []string
	after := Key{}
	for {
		page, next, err := b.List(b.t.Context(), b.admin, f, after)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, email := range page {
			all = append(all, email.Subject)
		}
		if next == nil {
			return all
		}
		// As it goes through an address.
		if after, err = ParseKey(next.String()); err != nil {
			b.t.Fatal(err)
		}
	}
}

func TestList_PagesAndFilters(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	// Ten of each moment, so that pages end between mails of one moment.
	b.exec(`insert into mail_deliveries (key, kind, recipient, subject, status, finished_at, created_at)
		select n, 'reset-password', 'r' || n || '@example.com', 'S' || n, 'sent', now(), '2026-11-20 10:00Z'::timestamptz + (n / 10) * interval '1 s' from generate_series(1, 130) n`)
	b.exec(`insert into mail_deliveries (key, kind, recipient, subject, status, reason, finished_at, created_at) values
		('x', 'password-changed', 'Bea@Bluebird.example', '100% of _it_', 'failed', 'refused', now(), '2026-11-21 23:30Z')`)
	seen := map[string]bool{}
	for _, subject := range b.subjects(Filter{}) {
		if seen[subject] {
			t.Errorf("%s stands twice", subject)
		}
		seen[subject] = true
	}
	if len(seen) != 131 {
		t.Errorf("%d mails on all pages, want 131", len(seen))
	}
	if first := b.subjects(Filter{})[0]; first != "100% of _it_" {
		t.Errorf("the first is %q, want the newest", first)
	}
	stockholm, err := time.LoadLocation("Europe/Stockholm")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		address string
		want    int
	}{
		{"", 131}, {"status=failed", 1}, {"status=sent", 130}, {"status=nonsense", 0}, {"kind=password-changed", 1}, {"kind=reset-password", 130},
		{"q=bea@blue", 1}, {"q=%25", 1}, {"q=_", 1}, {"q=r13", 2}, {"q=S130", 1}, {"q=\x00S130 ", 1},
		{"from=2026-11-22", 1}, {"from=2026-11-23", 0}, {"to=2026-11-21", 130}, {"to=2026-11-22", 131}, {"from=2026-11-20&to=2026-11-20", 130},
		{"q=example&status=failed&kind=password-changed&from=2026-11-22&to=2026-11-22", 1},
	} {
		filter, err := ParseFilter(from(c.address), stockholm)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(b.subjects(filter)); got != c.want {
			t.Errorf("%s: %d mails, want %d", c.address, got, c.want)
		}
		again, err := ParseFilter(filter.Values(stockholm).Get, stockholm)
		if err != nil || again != filter {
			t.Errorf("%s: %+v comes back as %+v, %v", c.address, filter, again, err)
		}
	}
	var invalid *app.Invalid
	if _, err := ParseFilter(from("from=yesterday&to=2026-13-01"), stockholm); !errors.As(err, &invalid) || len(invalid.Fields) != 2 {
		t.Errorf("days that are none: %v", err)
	}
}

// from reads a query that is not encoded.
func from(query string) func(string) string {
	return func(name string) string {
		for pair := range strings.SplitSeq(query, "&") {
			if key, value, _ := strings.Cut(pair, "="); key == name {
				return strings.ReplaceAll(value, "%25", "%")
			}
		}
		return ""
	}
}

func TestParseKey_Garbage(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"x", "%00", "AAAA", Key{ID: "x"}.String(), Key{time.Now(), "1' or true --"}.String()} {
		if key, err := ParseKey(text); !errors.Is(err, app.ErrNotFound) {
			t.Errorf("%q: %v, %v", text, key, err)
		}
	}
	if (Key{}).String() != "" {
		t.Error("the zero key has an address")
	}
}

func TestCounts(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	for i, c := range []struct{ status, reason, created, finished string }{
		{"queued", "", "now() - interval '30 days'", "null"},
		{"queued", "", "now()", "null"},
		{"sending", "", "now()", "null"},
		{"retrying", "", "now() - interval '20 hours'", "null"},
		{"sent", "", "now() - interval '20 hours'", "now() - interval '20 hours'"},
		{"sent", "", "now() - interval '26 hours'", "now() - interval '25 hours'"},
		{"failed", "gave-up", "now() - interval '25 hours'", "now() - interval '1 hour'"},
		{"failed", "gave-up", "now() - interval '3 days'", "now() - interval '2 days'"},
		{"cancelled", "link-dead", "now()", "now()"},
	} {
		b.exec(fmt.Sprintf("insert into mail_deliveries (key, kind, recipient, status, reason, created_at, finished_at) values ('%d', 'k', 'r', '%s', '%s', %s, %s)",
			i, c.status, c.reason, c.created, c.finished))
	}
	counts, err := b.Counts(t.Context(), b.admin)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(counts); got != "map[cancelled:1 failed:1 queued:2 retrying:1 sending:1 sent:1]" {
		t.Errorf("counts %s", got)
	}
}

func TestService_AdminsOnly(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.exec("insert into mail_deliveries (key, kind, recipient, status, finished_at) values ('k', 'password-changed', 'r@example.com', 'sent', now())")
	id := b.scan("select id::text from mail_deliveries")
	for name, c := range map[string]struct {
		viewer app.Viewer
		want   error
	}{
		"visitor": {app.Viewer{}, app.ErrSignedOut},
		"holder":  {app.Viewer{UserID: "u", Confirmed: true}, app.ErrNotFound},
		"staff":   {app.Viewer{UserID: "u", Role: app.RoleStaff}, app.ErrForbidden},
	} {
		_, _, listed := b.List(t.Context(), c.viewer, Filter{}, Key{})
		_, counted := b.Counts(t.Context(), c.viewer)
		_, got := b.Get(t.Context(), c.viewer, id)
		_, previewed := b.Preview(t.Context(), c.viewer, id)
		_, again := b.SendAgain(t.Context(), c.viewer, id)
		for deed, err := range map[string]error{"list": listed, "count": counted, "get": got, "preview": previewed, "send again": again} {
			if !errors.Is(err, c.want) {
				t.Errorf("%s may %s: %v, want %v", name, deed, err, c.want)
			}
		}
	}
}

func TestSendAgain_IsRecordedAndLimited(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.exec(`insert into mail_deliveries (key, kind, user_id, recipient, subject, status, finished_at)
		values ('k', 'password-changed', $1, 'ada@northwind.example', 'Your password', 'sent', now())`, b.admin.UserID)
	id := b.scan("select id::text from mail_deliveries")
	for range rateAgain.Times {
		if _, err := b.SendAgain(t.Context(), b.admin, id); err != nil {
			t.Fatal(err)
		}
	}
	var limited *app.Limited
	if _, err := b.SendAgain(t.Context(), b.admin, id); !errors.As(err, &limited) {
		t.Errorf("one too many: %v", err)
	}
	if got := b.scan("select count(*)::text || ' ' || (select count(*) from river_job) || ' ' || (select count(*) from audit_entries) from mail_deliveries"); got != "11 10 10" {
		t.Errorf("deliveries, jobs, audit entries: %s", got)
	}
	if got := b.scan(`select action || ' ' || object_type || ' ' || object_name || ' ' || (details ->> 'email') || ' ' || (details ->> 'kind')
		from audit_entries order by id desc limit 1`); got != "email.send-again email Your password ada@northwind.example password-changed" {
		t.Errorf("recorded %q", got)
	}
}

// TestWords: whatever the database may say of a mail, the page has words for.
func TestWords(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	p := catalogue(t).Printer("en", "", time.Now())
	values := func(table, column string) []string {
		t.Helper()
		definition := b.scan("select pg_get_constraintdef(oid) from pg_constraint where conname = $1", table+"_"+column+"_check")
		var all []string
		for _, found := range regexp.MustCompile(`'([a-z-]+)'`).FindAllStringSubmatch(definition, -1) {
			all = append(all, found[1])
		}
		if len(all) < 3 {
			t.Fatalf("%s.%s may be %v: the pattern of this test is wrong", table, column, all)
		}
		return all
	}
	var keys []string
	for _, reason := range values("mail_deliveries", "reason") {
		keys = append(keys, "reason-"+reason, "why-"+reason)
	}
	for _, status := range values("mail_deliveries", "status") {
		keys = append(keys, "status-"+status)
	}
	for _, outcome := range values("mail_attempts", "outcome") {
		keys = append(keys, "outcome-"+outcome)
	}
	// What mail.Service.WhyNotAgain may say: these two, and why a mail is cancelled before it goes out.
	for _, reason := range []string{"under-way", "done", "user-gone", "user-disabled", "address-changed", "own-address", "bad-address", "no-access", "not-wanted"} {
		keys = append(keys, "not-again-"+reason)
	}
	for _, key := range keys {
		if key != "reason-refused" && !p.Has("emails."+key) { // there the server's answer stands
			t.Errorf("there are no words for emails.%s", key)
		}
	}
	if got := values("mail_deliveries", "status"); fmt.Sprint(got) != fmt.Sprint(Statuses) {
		t.Errorf("Statuses are %v, the database has %v", Statuses, got)
	}
}
