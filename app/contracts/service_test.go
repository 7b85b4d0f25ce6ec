package contracts

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"portico/app"
	"portico/app/db"
	"portico/app/db/dbtest"
	"portico/app/keys"
	"portico/app/locale"
	"portico/app/mail"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// bundle is a service on a database of its own, with the actors of the permission matrix, a catalogue of two products, and a contract
// of Bluebird's that runs.
type bundle struct {
	*Service
	t                  *testing.T
	pool               *pgxpool.Pool
	bea, una           app.Viewer // owner and further user of Bluebird
	dev, lee, stella   app.Viewer // a delegate, a lead, another client
	sam, priya, ada    app.Viewer // staff without and with the permissions of contracts; admin
	bluebird, corvid   string     // accounts
	hosting, moving    string     // plans: of a subscription, of a one-off purchase
	contract, purchase string
	product            string // the contract's
}

func setUp(t *testing.T) *bundle {
	t.Helper()
	pool := dbtest.New(t)
	ring, err := keys.Parse(keys.Generate())
	if err != nil {
		t.Fatal(err)
	}
	catalogue, err := locale.Load(os.DirFS("../../views"))
	if err != nil {
		t.Fatal(err)
	}
	transport, err := mail.ParseURL("smtp://127.0.0.1:1") // nothing is sent: no worker runs
	if err != nil {
		t.Fatal(err)
	}
	inserter, err := river.NewClient(riverpgxv5.New(pool), &river.Config{})
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle{t: t, pool: pool, Service: NewService(pool, mail.New(pool, ring, catalogue, "https://portal.northwind.example", transport, inserter))}
	b.bea, b.bluebird = b.holder("Bea Lindqvist", "Bluebird Bakery")
	b.stella, b.corvid = b.holder("Stella Novak", "Corvid Press")
	b.lee, _ = b.holder("Lee Park", "Lee Park")
	b.dev, _ = b.holder("Dev Team", "Dev Team 1")
	b.una = b.user("Una Berg", "")
	b.exec("insert into account_users (account_id, user_id, relation) values ($1, $2, 'user')", b.bluebird, b.una.UserID)
	b.sam, b.priya, b.ada = b.user("Sam Okafor", "staff"), b.user("Priya Shah", "staff"), b.user("Ada Moreau", "admin")
	b.priya.Permissions = []string{"contracts.modify", "contracts.cancel"}
	b.exec("insert into staff_permissions (user_id, permission) select $1, unnest($2::text[])", b.priya.UserID, b.priya.Permissions)
	b.hosting = scan[string](b, `with p as (insert into products (name, category) values ('Web hosting', 'web-hosting') returning id)
		insert into plans (product_id, name, cycle_months, term_months, price_minor, package) select id, 'Two years', 12, 24, 9600, '{"package_name": "standard"}' from p returning id::text`)
	b.moving = scan[string](b, `with p as (insert into products (name, kind) values ('Site migration', 'one-off') returning id)
		insert into plans (product_id, name, price_minor) select id, 'Small', 14900 from p returning id::text`)
	b.contract, b.product = b.add(b.bluebird, "bluebird.example")
	b.do(b.contract, "activate")
	item, err := b.Add(t.Context(), b.priya, Adding{AccountID: b.bluebird, PlanID: b.moving})
	if err != nil {
		t.Fatal(err)
	}
	b.purchase = item.Product.ID
	return b
}

func (b *bundle) exec(sql string, args ...any) {
	b.t.Helper()
	if _, err := b.pool.Exec(b.t.Context(), sql, args...); err != nil {
		b.t.Fatalf("%s: %v", sql, err)
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

func (b *bundle) user(name, role string) app.Viewer {
	b.t.Helper()
	first, _, _ := strings.Cut(strings.ToLower(name), " ")
	id := scan[string](b, `insert into users (name, email, role, email_confirmed_at) values ($1, $2, nullif($3, ''), now()) returning id::text`,
		name, first+"@example.com", role)
	return app.Viewer{UserID: id, Name: name, Email: first + "@example.com", Confirmed: true, Role: app.Role(role)}
}

func (b *bundle) holder(name, account string) (app.Viewer, string) {
	b.t.Helper()
	v := b.user(name, "")
	id := scan[string](b, "insert into accounts (name) values ($1) returning id::text", account)
	b.exec("insert into account_users (account_id, user_id, relation) values ($1, $2, 'owner')", id, v.UserID)
	return v, id
}

func (b *bundle) add(account, domain string) (contract, product string) {
	b.t.Helper()
	item, err := b.Add(b.t.Context(), b.priya, Adding{AccountID: account, PlanID: b.hosting, Identifier: domain})
	if err != nil {
		b.t.Fatal(err)
	}
	return item.Contract.ID, item.Product.ID
}

func (b *bundle) do(contract string, names ...string) {
	b.t.Helper()
	for _, name := range names {
		deed, _ := DeedNamed(name)
		if err := b.DoContract(b.t.Context(), b.priya, contract, deed, ""); err != nil {
			b.t.Fatalf("%s: %v", name, err)
		}
	}
}

// let makes somebody a delegate of the contract.
func (b *bundle) let(v app.Viewer, contract string) (grant string) {
	b.t.Helper()
	return scan[string](b, `insert into delegates (contract_id, user_id, status, invited_by_name, accepted_at)
		values ($1, $2, 'accepted', 'Bea', now()) returning id::text`, contract, v.UserID)
}

// TestAccess: what each actor is to a contract and to a purchase, in every status and as a grant begins and ends.
func TestAccess(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	grant := b.let(b.dev, b.contract)
	b.let(b.stella, b.contract)
	b.exec("update delegates set ends_at = now() - interval '1 second' where user_id = $1", b.stella.UserID)
	asked := 0
	relation := func(v app.Viewer, want, wantPurchase string) {
		t.Helper()
		asked++
		got, gotPurchase := "", ""
		if c, err := b.Get(t.Context(), v, b.contract); err == nil {
			got = c.Relation
		} else if !errors.Is(err, app.ErrNotFound) {
			t.Fatal(err)
		}
		if i, err := b.Purchase(t.Context(), v, b.purchase); err == nil {
			gotPurchase = i.Product.Relation
		} else if !errors.Is(err, app.ErrNotFound) {
			t.Fatal(err)
		}
		if got != want || gotPurchase != wantPurchase {
			t.Errorf("%s is %q to the contract and %q to the purchase, want %q and %q", v.Name, got, gotPurchase, want, wantPurchase)
		}
		seen := b.Sees(t.Context(), v.UserID, b.contract) == nil
		if seen != (want != "") {
			t.Errorf("a stream of %s goes on: %v", v.Name, seen)
		}
		list, _, err := b.Subscriptions(t.Context(), v, app.Key{})
		if err != nil {
			t.Fatal(err)
		}
		listed := slices.ContainsFunc(list, func(r Row) bool { return r.ID == b.contract })
		if listed != (want == Owner || want == User || want == Delegate) {
			t.Errorf("%s, who is %q, has the contract in the list: %v", v.Name, want, listed)
		}
	}
	for _, status := range Statuses {
		b.exec("update contracts set status = $2 where id = $1", b.contract, status)
		delegate := ""
		if running(status) {
			delegate = Delegate
		}
		relation(b.bea, Owner, Owner)
		relation(b.una, User, User)
		relation(b.dev, delegate, "")
		relation(b.stella, "", "")
		relation(b.lee, "", "")
		relation(b.sam, Staff, Staff)
		relation(b.ada, Admin, Admin)
	}
	b.exec("update contracts set status = 'active' where id = $1", b.contract)
	for _, status := range []string{"invited", "declined", "revoked", "left"} {
		b.exec("update delegates set status = $2, finished_at = case when $2 <> 'invited' then now() end where id = $1", grant, status)
		relation(b.dev, "", "")
	}
	b.exec("update delegates set status = 'accepted', finished_at = null, ends_at = now() + interval '1 hour', may_act = false where id = $1", grant)
	relation(b.dev, Delegate, "")
	c, err := b.Get(t.Context(), b.dev, b.contract)
	if err != nil || c.Allows("run_change") || !c.Allows("tickets") || c.Allows("billing") || c.DelegateID == nil || *c.DelegateID != grant || c.AcceptedAt == nil {
		t.Errorf("the delegate whose actions are off has %+v, %v", c.Access, err)
	}
	b.exec("update users set disabled_at = now() where id = any($1)", []string{b.dev.UserID, b.sam.UserID, b.bea.UserID})
	relation(b.dev, "", "")
	relation(b.sam, "", "")
	relation(b.bea, "", "")
	t.Logf("%d actors × states", asked)
}

// TestAccess_OtherUsers: what the owner grants another user, and nothing beside.
func TestAccess_OtherUsers(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	may := func(want ...string) {
		t.Helper()
		c, err := b.Get(t.Context(), b.una, b.contract)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, action := range []string{"view", "tickets", "run_change", "billing", "cancel", "delegates_invite", "run_keys", "run_destroy", "run_lifecycle"} {
			if c.Allows(action) {
				got = append(got, action)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("with %v Una may %v, want %v", c.Permissions, got, want)
		}
	}
	may("view", "tickets", "run_change")
	b.exec("update account_users set permissions = '{billing,keys}' where user_id = $1", b.una.UserID)
	may("view", "tickets", "run_change", "billing", "run_keys")
	b.exec("update account_users set permissions = '{cancel,delegates,destroy}' where user_id = $1", b.una.UserID)
	may("view", "tickets", "run_change", "cancel", "delegates_invite", "run_destroy")
	// A permission of staff's name is nothing to an account holder, nor the other way round.
	b.exec("update account_users set permissions = '{contracts.cancel,provisioning.lifecycle}' where user_id = $1", b.una.UserID)
	may("view", "tickets", "run_change")
}

// TestDo: a contract's life; what may not be is refused and changes nothing.
func TestDo(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	var heard []string
	b.OnStatus(func(_ context.Context, _ pgx.Tx, v app.Viewer, i Item, from, to string) error {
		heard = append(heard, v.Name+": "+i.Name()+" "+from+" "+to)
		if to == Ended {
			return errors.New("the provider says no")
		}
		return nil
	})
	state := func() string {
		return scan[string](b, `select c.status || ' ' || string_agg(distinct p.status, ',') || ' ' || count(distinct e.id) from contracts c
			join contract_products p on p.contract_id = c.id left join contract_events e on e.contract_id = c.id where c.id = $1 group by c.id`, b.contract)
	}
	try := func(v app.Viewer, name string, want error) {
		t.Helper()
		before := state()
		deed, _ := DeedNamed(name)
		err := b.DoContract(t.Context(), v, b.contract, deed, "Asked by mail")
		if !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%s: %s gets %v, want %v", v.Name, name, err, want)
		}
		if want != nil && state() != before {
			t.Errorf("%s was refused %s, and yet %s became %s", v.Name, name, before, state())
		}
	}
	b.let(b.dev, b.contract)
	for _, v := range []app.Viewer{b.bea, b.una, b.dev} {
		try(v, "suspend", app.ErrForbidden)
		try(v, "cancel", app.ErrForbidden)
	}
	try(b.stella, "suspend", app.ErrNotFound)
	try(b.sam, "suspend", app.ErrForbidden)
	try(b.sam, "cancel", app.ErrForbidden)
	try(b.priya, "unsuspend", ErrState)
	try(b.priya, "activate", ErrState)
	try(b.priya, "suspend", nil)
	try(b.priya, "suspend", ErrState)
	try(b.ada, "unsuspend", nil)
	deed, _ := DeedNamed("end")
	before := state()
	if err := b.DoContract(t.Context(), b.priya, b.contract, deed, ""); err == nil || state() != before {
		t.Errorf("a hook that fails undoes the change: %v, %s became %s", err, before, state())
	}
	try(b.priya, "cancel", nil)
	for _, name := range []string{"activate", "suspend", "unsuspend", "cancel", "end"} {
		try(b.ada, name, ErrState)
	}
	if got := state(); got != "cancelled cancelled 5" {
		t.Errorf("after its life the contract is %q", got)
	}
	want := []string{"Priya Shah: Web hosting active suspended", "Ada Moreau: Web hosting suspended active", "Priya Shah: Web hosting active ended", "Priya Shah: Web hosting active cancelled"}
	if !slices.Equal(heard, want) {
		t.Errorf("hooks heard %q", heard)
	}
	// Activation set the dates, and each change is told once to the owner and to the audit.
	dates := scan[string](b, `select (renews_on = starts_on + interval '12 months')::text || (term_ends_on = starts_on + interval '24 months')::text from contracts where id = $1`, b.contract)
	mails := scan[int](b, "select count(*) from mail_deliveries where kind = 'contract-status' and user_id = $1", b.bea.UserID)
	entries := scan[int](b, "select count(*) from audit_entries where account_id = $1 and action like 'contract.%'", b.bluebird)
	if dates != "truetrue" || mails != 4 || entries != 6 {
		t.Errorf("dates are right: %s, %d mails, %d audit entries", dates, mails, entries)
	}
	reason, _ := DeedNamed("cancel")
	if err := b.DoPurchase(t.Context(), b.priya, b.product, reason, ""); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("a contract's product is no purchase: %v", err)
	}
	activate, _ := DeedNamed("activate")
	if err := b.DoPurchase(t.Context(), b.priya, b.purchase, activate, ""); err != nil {
		t.Error(err)
	}
}

// TestDo_AtOnce: of twenty who suspend at once, one does.
func TestDo_AtOnce(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	deed, _ := DeedNamed("suspend")
	var done sync.WaitGroup
	var mutex sync.Mutex
	succeeded := 0
	for range 20 {
		done.Go(func() {
			err := b.DoContract(t.Context(), b.priya, b.contract, deed, "")
			mutex.Lock()
			defer mutex.Unlock()
			if err == nil {
				succeeded++
			} else if !errors.Is(err, ErrState) {
				t.Error(err)
			}
		})
	}
	done.Wait()
	if events := scan[int](b, "select count(*) from contract_events where contract_id = $1 and kind = 'suspend'", b.contract); succeeded != 1 || events != 1 {
		t.Errorf("%d suspended it, %d events", succeeded, events)
	}
}

func TestAdd(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	for _, c := range []struct {
		v    app.Viewer
		a    Adding
		want error
	}{
		{b.sam, Adding{AccountID: b.corvid, PlanID: b.hosting}, app.ErrForbidden},
		{b.bea, Adding{AccountID: b.bluebird, PlanID: b.hosting}, app.ErrNotFound},
		{b.priya, Adding{AccountID: "00000000-0000-4000-8000-000000000000", PlanID: b.hosting}, app.ErrNotFound},
		{b.priya, Adding{ContractID: b.contract, PlanID: b.moving}, &app.Invalid{}},
		{b.priya, Adding{AccountID: b.corvid, PlanID: "nonsense"}, &app.Invalid{}},
		{b.priya, Adding{AccountID: b.corvid, PlanID: b.hosting, Identifier: "not a domain"}, &app.Invalid{}},
	} {
		_, err := b.Add(t.Context(), c.v, c.a)
		var invalid *app.Invalid
		if wantsInvalid := errors.As(c.want, &invalid); wantsInvalid != errors.As(err, &invalid) || !wantsInvalid && !errors.Is(err, c.want) {
			t.Errorf("%s adds %+v: %v, want %v", c.v.Name, c.a, err, c.want)
		}
	}
	item, err := b.Add(t.Context(), b.priya, Adding{ContractID: b.contract, PlanID: b.hosting, Identifier: "Shop.Bluebird.example"})
	if err != nil || len(item.Products) != 2 || item.Product.Status != Active || item.Product.Identifier != "shop.bluebird.example" || item.Product.Fields["package_name"] != "standard" {
		t.Fatalf("added %+v, %v", item.Product, err)
	}
	if lead := scan[bool](b, "select became_client_at is null from accounts where id = $1", b.bluebird); lead {
		t.Error("who has bought something is a lead")
	}
	// The product of another's contract is not shown under one's own.
	if _, err := b.Item(t.Context(), b.bea, b.contract, b.purchase); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("a product that is not the contract's: %v", err)
	}
	events, err := b.Events(t.Context(), item)
	if err != nil || len(events) != 3 || events[0].Kind != EventProductAdded {
		t.Errorf("events %+v, %v", events, err)
	}
	b.exec("insert into contract_events (contract_id, actor_name, kind) values ($1, 'Bea', 'delegate-invited'), ($1, 'Bea', 'billing-paid')", b.contract)
	b.let(b.dev, b.contract)
	for v, want := range map[*app.Viewer]int{&b.bea: 5, &b.una: 3, &b.dev: 3, &b.sam: 3, &b.ada: 5} {
		item, err := b.Item(t.Context(), *v, b.contract, "")
		if err != nil {
			t.Fatal(err)
		}
		if events, err := b.Events(t.Context(), item); err != nil || len(events) != want {
			t.Errorf("%s sees %d events, want %d, %v", v.Name, len(events), want, err)
		}
	}
}

func TestSubscriptions_Pages(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	for range 2*pageSize + 3 {
		contract, _ := b.add(b.bluebird, "")
		b.exec("update contracts set status = 'active' where id = $1", contract)
		b.let(b.dev, contract)
	}
	for _, v := range []app.Viewer{b.bea, b.dev} {
		seen := map[string]bool{}
		key := &app.Key{}
		for pages := 0; key != nil; pages++ {
			page, next, err := b.Subscriptions(t.Context(), v, *key)
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range page {
				if seen[row.ID] {
					t.Errorf("%s gets contract %d twice", v.Name, row.Number)
				}
				seen[row.ID] = true
			}
			key = next
		}
		contracts, _, err := b.Counts(t.Context(), v)
		if err != nil || len(seen) != contracts || contracts < 2*pageSize {
			t.Errorf("%s reads %d contracts of %d, %v", v.Name, len(seen), contracts, err)
		}
	}
	products, err := b.Products(t.Context(), b.dev, 7)
	if err != nil || len(products) != 7 || products[0].Relation != Delegate || products[0].OwnerName != "Bea Lindqvist" {
		t.Errorf("the delegate's dashboard: %d products, %v", len(products), err)
	}
}

func TestCatalogue(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	if _, err := b.CreateProduct(t.Context(), b.priya, CatalogueEntry{Name: "Server", Kind: KindSubscription}); !errors.Is(err, app.ErrForbidden) {
		t.Errorf("staff adds to the catalogue: %v", err)
	}
	id, err := b.CreateProduct(t.Context(), b.ada, CatalogueEntry{Name: " Server ", Category: "servers", Kind: KindSubscription})
	if err != nil {
		t.Fatal(err)
	}
	var invalid *app.Invalid
	for name, e := range map[string]PlanEntry{
		"uneven":  {Name: "A", CycleMonths: 5, TermMonths: 12, PriceMinor: 1, Package: map[string]any{}},
		"none":    {Name: "A", PriceMinor: 1, Package: map[string]any{}},
		"price":   {Name: "A", CycleMonths: 1, TermMonths: 1, PriceMinor: -1, Package: map[string]any{}},
		"package": {Name: "A", CycleMonths: 1, TermMonths: 1, PriceMinor: 1},
		"path":    {Name: "A", CycleMonths: 1, TermMonths: 1, PriceMinor: 1, Package: map[string]any{}, Paths: []string{b.hosting}},
	} {
		if err := b.SavePlan(t.Context(), b.ada, id, "", e); !errors.As(err, &invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"Small", "Large"} {
		if err := b.SavePlan(t.Context(), b.ada, id, "", PlanEntry{Name: name, CycleMonths: 1, TermMonths: 12, PriceMinor: 3900, Package: map[string]any{"size": "s"}}); err != nil {
			t.Fatal(err)
		}
	}
	product, err := b.CatalogueProduct(t.Context(), b.ada, id)
	if err != nil || product.Name != "Server" || len(product.Plans) != 2 {
		t.Fatalf("%+v, %v", product, err)
	}
	small, large := product.Plans[0], product.Plans[1]
	entry := PlanEntry{Name: "Small", CycleMonths: 1, TermMonths: 12, PriceMinor: 4100, Package: small.Package, Paths: []string{large.ID}}
	if err := b.SavePlan(t.Context(), b.ada, id, small.ID, entry); err != nil {
		t.Fatal(err)
	}
	if err := b.ArchivePlan(t.Context(), b.ada, id, large.ID, false); err != nil {
		t.Fatal(err)
	}
	offers, err := b.Offers(t.Context(), b.priya, KindSubscription)
	if err != nil || len(offers) != 2 || slices.ContainsFunc(offers, func(o Offered) bool { return o.ID == large.ID || o.ID == b.moving }) {
		t.Errorf("%d offers, %v", len(offers), err)
	}
	if product, err = b.CatalogueProduct(t.Context(), b.ada, id); err != nil || !slices.Equal(product.Plans[0].Paths, []string{large.ID}) || product.Plans[0].PriceMinor != 4100 {
		t.Errorf("%+v, %v", product.Plans, err)
	}
	// What was bought keeps its price.
	if price := scan[int64](b, "select price_minor from contract_products where id = $1", b.product); price != 9600 {
		t.Errorf("the price is %d", price)
	}
}

// spy notes every query that goes through it.
type spy struct {
	db.Conn
	queries []query
}

type query struct {
	sql  string
	args []any
}

func (s *spy) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	s.queries = append(s.queries, query{sql, args})
	return s.Conn.Query(ctx, sql, args...)
}

func (s *spy) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	s.queries = append(s.queries, query{sql, args})
	return s.Conn.QueryRow(ctx, sql, args...)
}

// TestPlans: lists are one query that reads by index, for an owner with 10,000 contracts and a delegate with 10,000 grants.
func TestPlans(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.exec("insert into accounts (name) select 'Account ' || n from generate_series(1, 2000) n")
	b.exec("insert into users (name, email) select 'U', 'u' || n || '@example.com' from generate_series(1, 2000) n")
	b.exec(`insert into contracts (account_id, name, status, cycle_months, term_months, created_at)
		select id, 'Hosting', 'active', 12, 12, now() - random() * interval '900 days' from accounts, generate_series(1, 5)`)
	b.exec(`insert into contracts (account_id, name, status, cycle_months, term_months, created_at)
		select $1, 'Hosting', 'active', 12, 12, now() - n * interval '1 hour' from generate_series(1, 10000) n`, b.bluebird)
	b.exec(`insert into contract_products (account_id, contract_id, product_id, plan_id, name, price_minor)
		select c.account_id, c.id, l.product_id, l.id, 'Hosting', 1 from contracts c, plans l where l.id = $1`, b.hosting)
	b.exec(`insert into delegates (contract_id, user_id, status, invited_by_name, accepted_at)
		select id, $1, 'accepted', 'x', created_at from contracts where account_id = $2`, b.dev.UserID, b.bluebird)
	for _, table := range []string{"accounts", "users", "account_users", "contracts", "contract_products", "delegates"} {
		b.exec("analyze " + table)
	}
	conn := &spy{Conn: b.pool}
	key := app.Key{At: scan[time.Time](b, "select now() - interval '9 days'"), ID: b.contract}
	for _, v := range []app.Viewer{b.bea, b.dev} {
		for _, after := range []app.Key{{}, key} {
			if rows, err := subscriptions(t.Context(), conn, v.UserID, after, pageSize+1); err != nil || len(rows) != pageSize+1 {
				t.Fatalf("%d rows, %v", len(rows), err)
			}
		}
		if _, err := purchases(t.Context(), conn, v.UserID, app.Key{}, pageSize+1); err != nil {
			t.Fatal(err)
		}
		if _, err := productsFor(t.Context(), conn, v.UserID, 12); err != nil {
			t.Fatal(err)
		}
		if _, err := contractByID(t.Context(), conn, v.UserID, b.contract); err != nil && !errors.Is(err, app.ErrNotFound) {
			t.Fatal(err)
		}
	}
	if _, err := ofAccount(t.Context(), conn, b.ada.UserID, b.bluebird, key, pageSize+1); err != nil {
		t.Fatal(err)
	}
	if len(conn.queries) != 11 {
		t.Errorf("%d queries for 11 lists", len(conn.queries))
	}
	for _, q := range conn.queries {
		rows, err := b.pool.Query(t.Context(), "explain (analyze, costs off, timing off, summary off) "+q.sql, q.args...)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		plan := strings.Join(lines, "\n")
		for _, table := range []string{"contracts", "contract_products", "delegates", "users", "accounts"} {
			if strings.Contains(plan, "Seq Scan on "+table+" ") {
				t.Errorf("all of %s is read by:\n%s\n%s", table, q.sql, plan)
			}
		}
	}
}
