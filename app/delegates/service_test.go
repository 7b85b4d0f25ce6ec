package delegates_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"portico/app"
	"portico/app/contracts"
	"portico/app/db/dbtest"
	"portico/app/delegates"
	"portico/app/keys"
	"portico/app/locale"
	"portico/app/mail"
	"portico/app/tickets"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// bundle is delegates with both parents on a database of its own: Bea's ticket about a product of her contract, and people to let in.
type bundle struct {
	*delegates.Service
	t                        *testing.T
	pool                     *pgxpool.Pool
	ring                     *keys.Ring
	tickets                  *tickets.Service
	bea, dev                 app.Viewer
	ticket, contract, bought string
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
	mails := mail.New(pool, ring, catalogue, "https://portal.northwind.example", transport, inserter)
	b := &bundle{Service: delegates.NewService(pool, ring, mails), t: t, pool: pool, ring: ring, tickets: tickets.NewService(pool, mails, nil)}
	b.Serve(delegates.Ticket, tickets.Parent{Service: b.tickets})
	b.Serve(delegates.Contract, contracts.Parent{})
	b.bea, b.dev = b.user("Bea"), b.user("Dev")
	account := b.text("insert into accounts (name) values ('Bluebird') returning id::text")
	b.exec("insert into account_users (account_id, user_id, relation) values ($1, $2, 'owner')", account, b.bea.UserID)
	plan := b.text(`with p as (insert into products (name) values ('Hosting') returning id)
		insert into plans (product_id, name, cycle_months, term_months, price_minor) select id, 'Year', 12, 12, 1 from p returning id::text`)
	b.contract = b.text("insert into contracts (account_id, name, status, cycle_months, term_months) values ($1, 'Hosting', 'active', 12, 12) returning id::text", account)
	b.bought = b.text(`insert into contract_products (account_id, contract_id, product_id, plan_id, name, price_minor, status)
		select $1, $2, product_id, id, 'Hosting', 1, 'active' from plans where id = $3 returning id::text`, account, b.contract, plan)
	b.ticket = b.text("insert into tickets (account_id, opener_id, subject, status, product_id) values ($1, $2, 'The form', 'open', $3) returning id::text", account, b.bea.UserID, b.bought)
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
	if err := b.pool.QueryRow(b.t.Context(), sql, args...).Scan(&value); err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
	return value
}

func (b *bundle) user(name string) app.Viewer {
	email := strings.ToLower(name) + "@example.com"
	id := b.text("insert into users (name, email, email_confirmed_at) values ($1, $2, now()) returning id::text", name, email)
	return app.Viewer{UserID: id, Name: name, Email: email, Confirmed: true}
}

// secret is the link of the present invitation of a user.
func (b *bundle) secret(userID string) string {
	b.t.Helper()
	secret, _ := b.ring.LinkSecret(b.text("select k.id::text from tokens k where k.user_id = $1 and k.delegate_id is not null and k.used_at is null", userID))
	return secret
}

// at20 runs a deed twenty times at once and returns the errors.
func at20(deed func(n int) error) []error {
	errs := make([]error, 20)
	var group sync.WaitGroup
	for n := range errs {
		group.Go(func() { errs[n] = deed(n) })
	}
	group.Wait()
	return errs
}

// TestParallel: twenty at once of anything end in one state.
func TestParallel(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	ctx := t.Context()
	for _, kind := range []struct{ name, id string }{{delegates.Ticket, b.ticket}, {delegates.Contract, b.contract}} {
		b.exec("truncate rate_limits")
		for _, err := range at20(func(int) error { return b.Invite(ctx, b.bea, kind.name, kind.id, b.dev.Email) }) {
			if err != nil {
				t.Fatalf("%s: invite: %v", kind.name, err)
			}
		}
		if got := b.text("select count(*) || ' ' || (select count(*) from tokens where used_at is null) from delegates where status = 'invited'"); got != "1 1" {
			t.Fatalf("%s: twenty invitations left rows and links: %s", kind.name, got)
		}
		var invalid *app.Invalid
		secret := b.secret(b.dev.UserID)
		for _, err := range at20(func(int) error { _, err := b.Accept(ctx, b.dev, secret); return err }) {
			if err != nil {
				t.Fatalf("%s: accept: %v", kind.name, err)
			}
		}
		if got := b.text("select count(*) || ' ' || (select count(*) from audit_entries where action = 'delegate.accept' and object_id = $1) from delegates where status = 'accepted'", kind.id); got != "1 1" {
			t.Fatalf("%s: twenty acceptances left rows and audit: %s", kind.name, got)
		}
		b.exec("truncate rate_limits")
		if err := b.Invite(ctx, b.bea, kind.name, kind.id, b.dev.Email); !errors.As(err, &invalid) {
			t.Errorf("%s: somebody with access was invited: %v", kind.name, err)
		}
		id := b.text("select id::text from delegates where status = 'accepted'")
		for _, err := range at20(func(n int) error {
			if n%2 == 0 {
				if err := b.Leave(ctx, b.dev, kind.name, kind.id); err != nil && !errors.Is(err, app.ErrNotFound) {
					return err
				}
				return nil
			}
			return b.Revoke(ctx, b.bea, kind.name, kind.id, id)
		}) {
			if err != nil {
				t.Fatalf("%s: revoke and leave: %v", kind.name, err)
			}
		}
		if got := b.text("select count(*)::text from audit_entries where action in ('delegate.revoke', 'delegate.leave') and object_id = $1", kind.id); got != "1" {
			t.Errorf("%s: the access ended %s times", kind.name, got)
		}
	}
}

// TestRevokeWins: a reply that is under way when its writer's access is revoked comes before the revocation, whichever way they were
// let in, and none comes after.
func TestRevokeWins(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	ctx := t.Context()
	for _, way := range []struct{ kind, id, column string }{{delegates.Ticket, b.ticket, "ticket_id"}, {delegates.Contract, b.contract, "contract_id"}} {
		row := b.text("insert into delegates ("+way.column+", user_id, status, invited_by_name, accepted_at) values ($1, $2, 'accepted', '', now() - interval '1 day') returning id::text", way.id, b.dev.UserID)
		b.exec("update tickets set opener_id = $1, created_at = now() where id = $2", b.dev.UserID, b.ticket)
		inside, release := make(chan struct{}), make(chan struct{})
		let := sync.OnceFunc(func() { close(release) })
		t.Cleanup(let)
		replied, revoked := make(chan error, 1), make(chan error, 1)
		go func() {
			replied <- b.tickets.Change(ctx, b.dev, b.ticket, "reply", func(pgx.Tx, *tickets.Ticket) error {
				close(inside)
				<-release
				return nil
			})
		}()
		<-inside
		go func() { revoked <- b.Revoke(ctx, b.bea, way.kind, way.id, row) }()
		for waits := false; !waits; {
			select {
			case err := <-revoked:
				t.Fatalf("%s: the revocation did not wait for the reply: %v", way.kind, err)
			default:
				waits = b.text("select exists (select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database())::text") == "true"
			}
		}
		let()
		if err := <-replied; err != nil {
			t.Fatalf("%s: reply: %v", way.kind, err)
		}
		if err := <-revoked; err != nil {
			t.Fatalf("%s: revoke: %v", way.kind, err)
		}
		if _, err := b.tickets.Post(ctx, b.dev, b.ticket, tickets.Posting{Body: "Still here"}); !errors.Is(err, app.ErrNotFound) {
			t.Errorf("%s: a reply after the revocation: %v", way.kind, err)
		}
	}
}

// TestInvitations_LimitAndBinding: 20 addresses an hour, and a link that is dead, somebody else's or spent is one and the same.
func TestInvitations_LimitAndBinding(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	ctx := t.Context()
	var invalid *app.Invalid
	var limited *app.Limited
	for n := range 20 {
		if err := b.Invite(ctx, b.bea, delegates.Ticket, b.ticket, fmt.Sprintf("nobody%d@example.com", n)); !errors.As(err, &invalid) {
			t.Fatalf("an unknown address: %v", err)
		}
	}
	if err := b.Invite(ctx, b.bea, delegates.Ticket, b.ticket, "one-more@example.com"); !errors.As(err, &limited) {
		t.Fatalf("the 21st address: %v", err)
	}
	if got := b.text("select count(*)::text from audit_entries where action = 'delegate.unknown'"); got != "20" {
		t.Errorf("%s tries were noted", got)
	}
	b.exec("truncate rate_limits")
	if err := b.Invite(ctx, b.bea, delegates.Ticket, b.ticket, " DEV@example.com "); err != nil {
		t.Fatal(err)
	}
	first := b.secret(b.dev.UserID)
	row := b.text("select id::text from delegates")
	if err := b.Again(ctx, b.bea, delegates.Ticket, b.ticket, row); err != nil {
		t.Fatal(err)
	}
	second := b.secret(b.dev.UserID)
	stella := b.user("Stella")
	for name, try := range map[string]struct {
		who    app.Viewer
		secret string
	}{
		"replaced": {b.dev, first}, "somebody else's": {stella, second}, "blank": {b.dev, ""}, "a space": {b.dev, " "}, "truncated": {b.dev, second[:42]},
		"unknown": {b.dev, strings.Repeat("A", 43)},
	} {
		if _, err := b.Accept(ctx, try.who, try.secret); !errors.Is(err, app.ErrLink) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string]string{
		"expired": "update tokens set expires_at = now() - interval '1 s'", "another address": "update users set email = 'dev2@example.com' where name = 'Dev'",
		"closed": "update tickets set status = 'closed', closed_at = now()",
	} {
		b.exec(change)
		want := app.ErrLink
		if name == "closed" {
			want = app.ErrConflict
		}
		if _, err := b.Accept(ctx, b.dev, second); !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
		b.exec("update tokens set expires_at = now() + interval '1 day'")
		b.exec("update users set email = 'dev@example.com' where name = 'Dev'")
		b.exec("update tickets set status = 'open', closed_at = null")
	}
	unconfirmed := b.dev
	unconfirmed.Confirmed = false
	if _, err := b.Accept(ctx, unconfirmed, second); !errors.Is(err, app.ErrForbidden) {
		t.Errorf("an unconfirmed address: %v", err)
	}
	if err := b.Revoke(ctx, b.bea, delegates.Ticket, b.ticket, row); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Accept(ctx, b.dev, second); !errors.Is(err, app.ErrLink) {
		t.Errorf("revoked: %v", err)
	}
}
