package billing

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"portico/app"
	"portico/app/contracts"
	"portico/app/db/dbtest"
	"portico/app/keys"
	"portico/app/locale"
	"portico/app/mail"
	"portico/views"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
)

// story is one contract whose store's days pass as the test says.
type story struct {
	t        testing.TB
	s        *Service
	c        *contracts.Service
	owner    app.Viewer
	account  string
	contract string
	product  string
	plans    map[string]string // name to id
}

// begin makes a contract of the plan Small (10.00) that started on a day; the store charges no tax, invoices 14 days before a period,
// which is due after 14, reminds 7 days before that, and suspends 7 days after it was due.
func begin(t testing.TB, start string, cycle, term int) *story {
	t.Helper()
	pool := dbtest.New(t)
	ring, err := keys.Parse(keys.Generate())
	if err != nil {
		t.Fatal(err)
	}
	catalogue, err := locale.Load(views.Files)
	if err != nil {
		t.Fatal(err)
	}
	inserter, err := river.NewClient(riverpgxv5.New(pool), &river.Config{})
	if err != nil {
		t.Fatal(err)
	}
	smtp, err := mail.ParseURL("smtp://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	mails := mail.New(pool, ring, catalogue, "http://portal.example", smtp, inserter)
	y := &story{t: t, plans: map[string]string{}}
	y.c = contracts.NewService(pool, mails)
	y.s = NewService(pool, mails, y.c, inserter)
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := pool.Exec(t.Context(), sql, args...); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	exec("update store set time_zone = 'Europe/Stockholm'")
	exec("insert into users (name, email, email_confirmed_at) values ('Bea', 'bea@bluebird.example', now())")
	exec("insert into accounts (name) values ('Bluebird Bakery')")
	exec("insert into account_users (account_id, user_id, relation) select a.id, u.id, 'owner' from accounts a, users u")
	exec("insert into products (name, category) values ('Web hosting', 'web-hosting')")
	for name, price := range map[string]int{"Small": 1000, "Middle": 2000, "Large": 3000} {
		exec("insert into plans (product_id, name, cycle_months, term_months, price_minor) select id, $1, $2, $3, $4 from products", name, cycle, term, price)
		y.plans[name] = y.text("select id from plans where name = $1", name)
	}
	exec("insert into plan_paths select a.id, b.id from plans a, plans b where a.id <> b.id")
	exec(`insert into contracts (account_id, name, status, cycle_months, term_months, starts_on, renews_on, term_ends_on)
		select id, 'Hosting', 'active', $1, $2, $3::date, $4::date, $5::date from accounts`, cycle, term, day(start), AddMonths(day(start), cycle), AddMonths(day(start), term))
	exec(`insert into contract_products (account_id, contract_id, product_id, plan_id, name, category, status, registered_on, renews_on, price_minor)
		select c.account_id, c.id, p.id, $1, 'Web hosting', 'web-hosting', 'active', c.starts_on, c.renews_on, 1000 from contracts c, products p`, y.plans["Small"])
	y.account, y.contract, y.product = y.text("select id from accounts"), y.text("select id from contracts"), y.text("select id from contract_products")
	y.owner = app.Viewer{UserID: y.text("select id from users"), Name: "Bea", Confirmed: true}
	return y
}

func (y *story) text(sql string, args ...any) string {
	y.t.Helper()
	var text *string
	if err := y.s.pool.QueryRow(y.t.Context(), "select ("+sql+")::text", args...).Scan(&text); err != nil {
		y.t.Fatalf("%s: %v", sql, err)
	}
	if text == nil {
		return ""
	}
	return *text
}

// on makes it noon of a day in the store's time zone, and runs what the clock runs.
func (y *story) on(date string) {
	y.t.Helper()
	y.at(date)
	y.renew()
}

func (y *story) at(date string) {
	y.t.Helper()
	noon := day(date).Add(11 * time.Hour)
	y.s.now = func() time.Time { return noon }
}

func (y *story) renew() {
	y.t.Helper()
	if err := y.s.Renew(y.t.Context(), y.contract); err != nil {
		y.t.Fatal(err)
	}
}

// is compares the contract, its invoices ("number status net period") and its balance with what they should be.
func (y *story) is(when, contract string, invoices ...string) {
	y.t.Helper()
	if got := y.text("select status || ' until ' || coalesce(renews_on::text, '') || ', term ' || coalesce(term_ends_on::text, '') from contracts"); got != contract {
		y.t.Errorf("%s: the contract is %s, want %s", when, got, contract)
	}
	got := y.text(`select string_agg(format('%s %s %s %s', i.number, i.status, i.net_minor, coalesce(l.period_start::text, '')), '; ' order by i.number)
		from invoices i left join invoice_lines l on l.invoice_id = i.id and l.position = 1`)
	if want := strings.Join(invoices, "; "); got != want {
		y.t.Errorf("%s: the invoices are\n  %s\nwant\n  %s", when, got, want)
	}
	if wrong, err := mismatches(y.t.Context(), y.s.pool); err != nil || len(wrong) > 0 {
		y.t.Errorf("%s: the ledger does not match: %v %v", when, wrong, err)
	}
}

func (y *story) pay(amount int64) {
	y.t.Helper()
	in(y.t, y.s, y.account, func(b *books) error {
		return b.take(y.t.Context(), fmt.Sprint("test ", time.Now().UnixNano()), Payment{Method: "cash", AmountMinor: amount, ReceivedOn: b.today}, "")
	})
	y.renew() // as the job does that the payment queues
}

func (y *story) mails(kind string) string {
	y.t.Helper()
	return y.text("select count(*) from mail_deliveries where kind = $1", kind)
}

// TestRenew_MonthEnd: a contract of 31 January, paid each month, over a year.
func TestRenew_MonthEnd(t *testing.T) {
	t.Parallel()
	y := begin(t, "2026-01-31", 1, 12)
	y.on("2026-02-06")
	y.is("before anything is due", "active until 2026-02-28, term 2027-01-31")
	y.on("2026-02-07") // 21 days before
	y.is("reminded", "active until 2026-02-28, term 2027-01-31")
	y.on("2026-02-14")
	y.is("invoiced", "active until 2026-02-28, term 2027-01-31", "1 unpaid 1000 2026-02-28")
	y.on("2026-02-14")
	y.on("2026-02-20")
	y.is("run again", "active until 2026-02-28, term 2027-01-31", "1 unpaid 1000 2026-02-28")
	y.pay(1000)
	y.on("2026-02-28")
	y.is("renewed", "active until 2026-03-31, term 2027-01-31", "1 paid 1000 2026-02-28")
	if got := y.mails("renewal-reminder") + y.mails("invoice-issued"); got != "11" {
		t.Errorf("reminders and invoices by mail: %s, want one each", got)
	}
	// A job that runs a week late catches up.
	y.on("2026-04-07")
	y.is("a week late", "active until 2026-04-30, term 2027-01-31", "1 paid 1000 2026-02-28", "2 unpaid 1000 2026-03-31")
	y.on("2026-04-22") // due on 21 April
	y.is("overdue", "active until 2026-04-30, term 2027-01-31", "1 paid 1000 2026-02-28", "2 unpaid 1000 2026-03-31", "3 unpaid 1000 2026-04-30")
	y.on("2026-04-29") // the grace of 7 days is over
	y.is("suspended", "suspended until 2026-04-30, term 2027-01-31", "1 paid 1000 2026-02-28", "2 unpaid 1000 2026-03-31", "3 unpaid 1000 2026-04-30")
	if got := y.mails("invoice-overdue"); got != "1" {
		t.Errorf("%s reminders of what is overdue, want 1", got)
	}
	y.pay(999)
	y.is("paid in part", "suspended until 2026-04-30, term 2027-01-31", "1 paid 1000 2026-02-28", "2 unpaid 1000 2026-03-31", "3 unpaid 1000 2026-04-30")
	y.pay(1001)
	y.is("paid", "active until 2026-04-30, term 2027-01-31", "1 paid 1000 2026-02-28", "2 paid 1000 2026-03-31", "3 paid 1000 2026-04-30")
}

// TestRenew_TimeZone: the store's midnight counts, whatever the day is elsewhere.
func TestRenew_TimeZone(t *testing.T) {
	t.Parallel()
	y := begin(t, "2026-11-14", 12, 12)
	y.s.now = func() time.Time { return time.Date(2027, 10, 30, 21, 59, 59, 0, time.UTC) } // 23:59 in Stockholm, on the night before winter time
	y.renew()
	y.is("the day before", "active until 2027-11-14, term 2027-11-14")
	y.s.now = func() time.Time { return time.Date(2027, 10, 30, 22, 0, 0, 0, time.UTC) }
	y.renew()
	y.is("midnight", "active until 2027-11-14, term 2027-11-14", "1 unpaid 1000 2027-11-14")
}

// TestRenew_LeapDay: a yearly contract of a leap day, over terms of two years.
func TestRenew_LeapDay(t *testing.T) {
	t.Parallel()
	y := begin(t, "2028-02-29", 12, 24)
	y.on("2029-02-28")
	y.is("the first year is over", "active until 2030-02-28, term 2030-02-28", "1 unpaid 1000 2029-02-28")
	y.pay(1000)
	y.on("2030-02-28")
	y.is("the term is over", "active until 2031-02-28, term 2032-02-29", "1 paid 1000 2029-02-28", "2 unpaid 1000 2030-02-28")
}

// TestRenew_TwiceAtOnce: ten that run at once invoice once.
func TestRenew_TwiceAtOnce(t *testing.T) {
	t.Parallel()
	y := begin(t, "2026-01-15", 1, 12)
	y.at("2026-03-20")
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() {
			if err := y.s.Renew(t.Context(), y.contract); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	y.is("after ten at once", "active until 2026-04-15, term 2027-01-15", "1 unpaid 1000 2026-02-15", "2 unpaid 1000 2026-03-15")
	y.at("2026-03-30")
	if err := y.s.QueueDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	y.at("2026-03-30")
	if err := y.s.QueueDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := y.text("select count(*) from river_job where kind = 'renew_contract'"); got != "1" {
		t.Errorf("%s jobs are queued for one contract", got)
	}
}

// TestCancel: to the end of the term, taken back, and to the end after all; and at once.
func TestCancel(t *testing.T) {
	t.Parallel()
	y := begin(t, "2026-01-31", 12, 12)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	y.on("2027-01-20")
	y.is("invoiced ahead", "active until 2027-01-31, term 2027-01-31", "1 unpaid 1000 2027-01-31")
	must(y.s.CancelLater(t.Context(), y.owner, y.contract, "We close the shop."))
	y.renew()
	y.is("cancelled", "active until 2027-01-31, term 2027-01-31", "1 void 1000 2027-01-31")
	if err := y.s.CancelLater(t.Context(), y.owner, y.contract, ""); !errors.Is(err, contracts.ErrState) {
		t.Errorf("cancel twice: %v", err)
	}
	must(y.s.TakeBack(t.Context(), y.owner, y.contract))
	y.renew()
	y.is("taken back", "active until 2027-01-31, term 2027-01-31", "1 void 1000 2027-01-31", "2 unpaid 1000 2027-01-31")
	y.pay(1000)
	must(y.s.CancelLater(t.Context(), y.owner, y.contract, ""))
	y.is("cancelled after it was paid", "active until 2027-01-31, term 2027-01-31", "1 void 1000 2027-01-31", "2 credited 1000 2027-01-31", "3 paid -1000 2027-01-31")
	y.on("2027-01-30")
	y.is("the last day", "active until 2027-01-31, term 2027-01-31", "1 void 1000 2027-01-31", "2 credited 1000 2027-01-31", "3 paid -1000 2027-01-31")
	y.on("2027-01-31")
	y.is("over", "ended until 2027-01-31, term 2027-01-31", "1 void 1000 2027-01-31", "2 credited 1000 2027-01-31", "3 paid -1000 2027-01-31")
	if err := y.s.TakeBack(t.Context(), y.owner, y.contract); !errors.Is(err, contracts.ErrState) {
		t.Errorf("take back what is over: %v", err)
	}

	now := begin(t, "2026-01-31", 12, 12)
	now.at("2026-05-05")
	must(now.s.CancelNow(t.Context(), now.owner, now.contract, "Enough."))
	now.is("cancelled at once", "cancelled until 2027-01-31, term 2027-01-31")
	if got := now.text("select cancel_reason from contracts"); got != "Enough." {
		t.Errorf("the reason is %q", got)
	}
}

// TestSetAutoRenew: without it a contract ends with its term, in the middle of a term it goes on.
func TestSetAutoRenew(t *testing.T) {
	t.Parallel()
	y := begin(t, "2026-01-31", 6, 12)
	y.at("2026-03-01")
	if err := y.s.SetAutoRenew(t.Context(), y.owner, y.contract, false); err != nil {
		t.Fatal(err)
	}
	y.on("2026-07-31")
	y.is("the second half", "active until 2027-01-31, term 2027-01-31", "1 unpaid 1000 2026-07-31")
	y.pay(1000)
	y.on("2027-01-31")
	y.is("over", "ended until 2027-01-31, term 2027-01-31", "1 paid 1000 2026-07-31")
}

// TestChangePlan: up, on the last day, and down again within one month of 30 days; what was agreed to is what is charged.
func TestChangePlan(t *testing.T) {
	t.Parallel()
	y := begin(t, "2026-11-01", 1, 12)
	change := func(plan string, shown int64) error {
		t.Helper()
		return y.s.ChangePlan(t.Context(), y.owner, y.product, y.plans[plan], shown)
	}
	y.at("2026-11-16")
	_, choices, err := y.s.Choices(t.Context(), y.owner, y.product)
	if err != nil || len(choices) != 2 || choices[0].Plan.Name != "Middle" || choices[0].NetMinor() != 500 || !choices[0].Upgrade {
		t.Fatalf("the choices are %+v, %v", choices, err)
	}
	if err := change("Middle", 499); !errors.Is(err, ErrPrice) {
		t.Errorf("at another price than the one that was shown: %v", err)
	}
	if err := change("Middle", 500); err != nil {
		t.Fatal(err)
	}
	y.is("up", "active until 2026-12-01, term 2027-11-01", "1 unpaid 500 2026-11-16")
	y.renew() // the next period is invoiced at the new price
	y.is("invoiced ahead", "active until 2026-12-01, term 2027-11-01", "1 unpaid 500 2026-11-16")
	y.on("2026-11-17")
	y.is("invoiced ahead", "active until 2026-12-01, term 2027-11-01", "1 unpaid 500 2026-11-16", "2 unpaid 2000 2026-12-01")
	y.at("2026-11-30")
	if err := change("Large", 33); err != nil { // 100 - 67: a day of thirty
		t.Fatal(err)
	}
	y.renew()
	y.is("up on the last day", "active until 2026-12-01, term 2027-11-01", "1 unpaid 500 2026-11-16", "2 void 2000 2026-12-01", "3 unpaid 33 2026-11-30", "4 unpaid 3000 2026-12-01")
	if err := change("Small", -67); err != nil {
		t.Fatal(err)
	}
	y.renew()
	y.is("down again", "active until 2026-12-01, term 2027-11-01", "1 unpaid 500 2026-11-16", "2 void 2000 2026-12-01", "3 unpaid 33 2026-11-30", "4 void 3000 2026-12-01",
		"5 paid -67 2026-11-30", "6 unpaid 1000 2026-12-01")
	if got := y.text("select settled_minor from invoices where number = 1"); got != "67" {
		t.Errorf("what was given back covers %s of the oldest debt, want 67", got)
	}
	stranger := app.Viewer{UserID: "6b1f3a52-8d1f-4f8e-9d5a-0d8c9b1a2c3d", Name: "Stella", Confirmed: true}
	for name, err := range map[string]error{
		"change the plan":     y.s.ChangePlan(t.Context(), stranger, y.product, y.plans["Large"], 1),
		"cancel":              y.s.CancelNow(t.Context(), stranger, y.contract, ""),
		"turn auto-renew off": y.s.SetAutoRenew(t.Context(), stranger, y.contract, false),
	} {
		if !errors.Is(err, app.ErrNotFound) {
			t.Errorf("a stranger would %s: %v", name, err)
		}
	}
}

// TestOptions: what is added is paid by days, and with every period from then on at its price of then; what is removed is given back, and
// what another product's plan is not sold with goes with the change.
func TestOptions(t *testing.T) {
	t.Parallel()
	y := begin(t, "2026-11-01", 1, 12)
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := y.s.pool.Exec(t.Context(), sql, args...); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	exec("insert into product_options (product_id, name, price_minor) select id, unnest(array['Backups', 'Address']), unnest(array[300, 100]) from products")
	backups, address := y.text("select id from product_options where name = 'Backups'"), y.text("select id from product_options where name = 'Address'")
	set := func(shown int64, wanted ...string) error {
		t.Helper()
		return y.s.SetOptions(t.Context(), y.owner, y.contract, y.product, wanted, shown)
	}
	y.at("2026-11-16")
	change, err := y.s.Options(t.Context(), y.owner, y.contract, y.product, []string{backups, address})
	if err != nil || change.NetMinor() != 150+50 || len(change.Offers) != 2 || !change.Changes() {
		t.Fatalf("both would cost %+v, %v", change, err)
	}
	if err := set(199, backups, address); !errors.Is(err, ErrPrice) {
		t.Errorf("at another price than the one that was shown: %v", err)
	}
	var invalid *app.Invalid
	if err := set(0, y.product); !errors.As(err, &invalid) {
		t.Errorf("an option that there is not: %v", err)
	}
	if err := set(200, backups, address); err != nil {
		t.Fatal(err)
	}
	y.is("added", "active until 2026-12-01, term 2027-11-01", "1 unpaid 200 2026-11-16")
	if err := set(0, backups, address); err != nil {
		t.Errorf("the same again: %v", err)
	}
	exec("update product_options set price_minor = 900, archived_at = now() where id = $1", backups)
	y.on("2026-11-17")
	y.is("invoiced ahead at the price of then", "active until 2026-12-01, term 2027-11-01", "1 unpaid 200 2026-11-16", "2 unpaid 1400 2026-12-01")
	y.at("2026-11-30")
	if err := set(-3, backups); err != nil { // 100: a day of thirty
		t.Fatal(err)
	}
	y.renew()
	y.is("one removed", "active until 2026-12-01, term 2027-11-01", "1 unpaid 200 2026-11-16", "2 void 1400 2026-12-01", "3 paid -3 2026-11-30", "4 unpaid 1300 2026-12-01")

	// A plan of another product.
	exec("insert into products (name, category) values ('Bigger hosting', 'web-hosting')")
	exec("insert into plans (product_id, name, cycle_months, term_months, price_minor) select id, 'Big', 1, 12, 4000 from products where name = 'Bigger hosting'")
	big := y.text("select id from plans where name = 'Big'")
	exec("insert into plan_paths values ($1, $2)", y.plans["Small"], big)
	_, choices, err := y.s.Choices(t.Context(), y.owner, y.product)
	if err != nil || choices[len(choices)-1].Name != "Bigger hosting, Big" || choices[len(choices)-1].BackMinor() != 33+10 {
		t.Fatalf("the choices are %+v, %v", choices, err)
	}
	if err := y.s.ChangePlan(t.Context(), y.owner, y.product, big, 133-43); err != nil {
		t.Fatal(err)
	}
	if got := y.text("select name || ' ' || (select count(*) from chosen_options) from contract_products"); got != "Bigger hosting 0" {
		t.Errorf("after the change it is %q", got)
	}
	y.renew()
	y.is("changed", "active until 2026-12-01, term 2027-11-01", "1 unpaid 200 2026-11-16", "2 void 1400 2026-12-01", "3 paid -3 2026-11-30", "4 void 1300 2026-12-01",
		"5 unpaid 90 2026-11-30", "6 unpaid 4000 2026-12-01")
	stranger := app.Viewer{UserID: "6b1f3a52-8d1f-4f8e-9d5a-0d8c9b1a2c3d", Name: "Stella", Confirmed: true}
	if err := y.s.SetOptions(t.Context(), stranger, y.contract, y.product, nil, 0); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("a stranger would change options: %v", err)
	}
}
