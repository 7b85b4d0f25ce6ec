package team

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"portico/app"
	"portico/app/audit"
	"portico/app/auth"
	"portico/app/db/dbtest"
	"portico/app/keys"
	"portico/app/locale"
	"portico/app/mail"
	"portico/jobs"
	"portico/policies"
	"portico/views"

	"github.com/jackc/pgx/v5/pgxpool"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// fixture is a store with Ada (admin), Sam (staff) and Bea (account holder).
type fixture struct {
	*Service
	ada, sam, bea app.Viewer
}

func setUp(t *testing.T) *fixture {
	t.Helper()
	pool := dbtest.New(t)
	catalogue, err := locale.Load(views.Files)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keys.Parse(keys.Generate())
	if err != nil {
		t.Fatal(err)
	}
	inserter, err := jobs.NewInserter(pool)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{Service: NewService(pool, ring, mail.New(pool, ring, catalogue, "https://portal.example", nil, inserter))}
	f.ada, f.sam, f.bea = f.user(t, "Ada Moreau", app.RoleAdmin), f.user(t, "Sam Okafor", app.RoleStaff), f.user(t, "Bea Lindqvist", app.RoleHolder)
	return f
}

// user adds somebody who has a password.
func (f *fixture) user(t *testing.T, name string, role app.Role) app.Viewer {
	t.Helper()
	v := app.Viewer{Name: name, Role: role, Confirmed: true, ProvedAt: time.Now()}
	first, _, _ := strings.Cut(strings.ToLower(name), " ")
	v.Email = first + "@example.com"
	err := f.pool.QueryRow(t.Context(), `
		insert into users (name, email, role, password_hash, email_confirmed_at) values ($1, $2, nullif($3, ''), 'hash', now()) returning id`,
		v.Name, v.Email, v.Role).Scan(&v.UserID)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (f *fixture) department(t *testing.T, name string) string {
	t.Helper()
	var id string
	if err := f.pool.QueryRow(t.Context(), "insert into departments (name) values ($1) returning id", name).Scan(&id); err != nil {
		t.Fatal(err)
	}
	return id
}

func (f *fixture) get(t *testing.T, id string) Member {
	t.Helper()
	member, err := f.Get(t.Context(), f.ada, id)
	if err != nil {
		t.Fatal(err)
	}
	return member
}

// count runs a query that counts.
func (f *fixture) count(t *testing.T, sql string, args ...any) int {
	t.Helper()
	var n int
	if err := f.pool.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// snapshot counts everything that a refused request must leave alone.
func (f *fixture) snapshot(t *testing.T) string {
	t.Helper()
	var all string
	err := f.pool.QueryRow(t.Context(), `
		select concat_ws(' ', (select count(*) from users), (select count(*) from tokens), (select count(*) from mail_deliveries),
			(select count(*) from river_job), (select count(*) from audit_entries), (select count(*) from staff_permissions),
			(select count(*) from sessions), (select count(*) from users where disabled_at is not null))`).Scan(&all)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func wantActions(t *testing.T, pool *pgxpool.Pool, v app.Viewer, want ...string) {
	t.Helper()
	entries, _, err := audit.NewService(pool).Activity(t.Context(), v, audit.Filter{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, entry := range slices.Backward(entries) {
		got = append(got, entry.Action)
	}
	if !slices.Equal(got, want) {
		t.Errorf("audit has %v, want %v", got, want)
	}
}

func wantInvalid(t *testing.T, err error, want ...string) {
	t.Helper()
	var invalid *app.Invalid
	if !errors.As(err, &invalid) {
		t.Fatalf("got %v, want an invalid form", err)
	}
	var got []string
	for _, f := range invalid.Fields {
		got = append(got, f.Field+":"+f.Text.Key)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

var noor = Place{Name: "Noor Haddad", Role: app.RoleStaff, Permissions: []string{"billing.view", "tickets.open_for_client"}}

func TestInvite(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	support, billing := f.department(t, "Support"), f.department(t, "Billing")
	place := noor
	place.Departments = []string{billing, support}
	id, err := f.Invite(t.Context(), f.ada, " noor@example.com ", place)
	if err != nil {
		t.Fatal(err)
	}
	m := f.get(t, id)
	if m.Name != "Noor Haddad" || m.Email != "noor@example.com" || m.Role != app.RoleStaff || m.Joined || m.DisabledAt != nil || len(m.Departments) != 2 ||
		!slices.Equal(m.Permissions, []string{"billing.view", "tickets.open_for_client"}) {
		t.Errorf("invited %+v", m)
	}
	now := time.Now()
	if m.Status(now) != "invited" || m.Status(now.Add(8*24*time.Hour)) != "expired" {
		t.Errorf("status is %s now and %s in 8 days", m.Status(now), m.Status(now.Add(8*24*time.Hour)))
	}
	if n := f.count(t, "select count(*) from users where id = $1 and email_confirmed_at is null and password_hash is null", id); n != 1 {
		t.Error("an invited person has a password or a confirmed address")
	}
	if n := f.count(t, `select count(*) from mail_deliveries d join tokens t on t.id = d.token_id
		where d.kind = 'staff-invite' and d.recipient = 'noor@example.com' and d.user_id = $1 and t.purpose = 'invite' and t.user_id = $1`, id); n != 1 {
		t.Errorf("%d invitations were queued, want 1", n)
	}
	if n := f.count(t, "select count(*) from river_job"); n != 1 {
		t.Errorf("%d jobs, want 1", n)
	}
	wantActions(t, f.pool, f.ada, "team.invite")
}

func TestInvite_LinkWorks(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	id, err := f.Invite(t.Context(), f.ada, "noor@example.com", noor)
	if err != nil {
		t.Fatal(err)
	}
	var token string
	if err := f.pool.QueryRow(t.Context(), "select id from tokens where user_id = $1", id).Scan(&token); err != nil {
		t.Fatal(err)
	}
	secret, _ := f.keys.LinkSecret(token)
	link, err := auth.FindLink(t.Context(), f.pool, secret, auth.PurposeInvite)
	if err != nil || link.UserID != id || link.Role != "staff" {
		t.Fatalf("the link gives %+v, %v", link, err)
	}
	if err := f.InviteAgain(t.Context(), f.ada, id); err != nil {
		t.Fatal(err)
	}
	if _, err := auth.FindLink(t.Context(), f.pool, secret, auth.PurposeInvite); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("after a new invitation the old link gives %v", err)
	}
	if n := f.count(t, "select count(*) from mail_deliveries d join tokens t on t.id = d.token_id where d.user_id = $1", id); n != 1 {
		t.Errorf("%d mails carry a working link, want 1", n)
	}
	wantActions(t, f.pool, f.ada, "team.invite", "team.invite-again")
}

func TestInvite_Invalid(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	if _, err := f.pool.Exec(t.Context(), "update users set disabled_at = now() where id = $1", f.user(t, "Old Hand", app.RoleStaff).UserID); err != nil {
		t.Fatal(err)
	}
	archived := f.department(t, "Sales")
	if _, err := f.pool.Exec(t.Context(), "update departments set archived_at = now()"); err != nil {
		t.Fatal(err)
	}
	before := f.snapshot(t)
	for _, test := range []struct {
		name, email string
		change      func(p *Place)
		want        []string
	}{
		{"an account holder's address", "BEA@example.com", nil, []string{"email:team.email-holder"}},
		{"a member's address", "Sam@Example.com", nil, []string{"email:team.email-member"}},
		{"a disabled member's address", "old@example.com", nil, []string{"email:team.email-member"}},
		{"no address", "", nil, []string{"email:team.email-wrong"}},
		{"two addresses", "a@example.com, b@example.com", nil, []string{"email:team.email-wrong"}},
		{"a header in the address", "a@example.com\nBcc: b@example.com", nil, []string{"email:team.email-wrong"}},
		{"no name", "a@example.com", func(p *Place) { p.Name = " " }, []string{"name:team.name-wrong"}},
		{"no role", "a@example.com", func(p *Place) { p.Role = "" }, []string{"role:team.choose"}},
		{"an invented role", "a@example.com", func(p *Place) { p.Role = "owner" }, []string{"role:team.choose"}},
		{"an invented permission", "a@example.com", func(p *Place) { p.Permissions = []string{"everything"} }, []string{"permissions:team.choose"}},
		{"an archived department", "a@example.com", func(p *Place) { p.Departments = []string{archived} }, []string{"departments:team.department-gone"}},
		{"a department that is no id", "a@example.com", func(p *Place) { p.Departments = []string{"x"} }, []string{"departments:team.department-gone"}},
		{"everything", "", func(p *Place) { *p = Place{} }, []string{"name:team.name-wrong", "role:team.choose", "email:team.email-wrong"}},
	} {
		place := noor
		if test.change != nil {
			test.change(&place)
		}
		t.Log(test.name)
		_, err := f.Invite(t.Context(), f.ada, test.email, place)
		wantInvalid(t, err, test.want...)
	}
	if after := f.snapshot(t); after != before {
		t.Errorf("refused invitations changed %s to %s", before, after)
	}
}

func TestInvite_SameAddressAtOnce(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	ben := f.user(t, "Ben Roth", app.RoleAdmin)
	var wait sync.WaitGroup
	errs := make([]error, 6)
	for i := range errs {
		wait.Go(func() {
			_, errs[i] = f.Invite(context.Background(), []app.Viewer{f.ada, ben}[i%2], "noor@example.com", noor)
		})
	}
	wait.Wait()
	invited := 0
	for _, err := range errs {
		if err == nil {
			invited++
		} else {
			wantInvalid(t, err, "email:team.email-member")
		}
	}
	if mails := f.count(t, "select count(*) from mail_deliveries"); invited != 1 || mails != 1 {
		t.Errorf("%d invitations and %d mails, want 1 of each", invited, mails)
	}
}

// Somebody registers with the address while the invitation is being written.
func TestInvite_AddressRegisteredMeanwhile(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	tx, err := f.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.WithoutCancel(t.Context()))
	if _, err := tx.Exec(t.Context(), "insert into users (name, email) values ('Noor', 'NOOR@example.com')"); err != nil {
		t.Fatal(err)
	}
	answer := make(chan error, 1)
	go func() {
		_, err := f.Invite(context.Background(), f.ada, "noor@example.com", noor)
		answer <- err
	}()
	for f.count(t, "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'") == 0 {
		select {
		case err := <-answer:
			t.Fatalf("the invitation did not wait: %v", err)
		case <-t.Context().Done():
			t.Fatal("the invitation never reached the address")
		default:
		}
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantInvalid(t, <-answer, "email:team.email-holder")
	if n := f.count(t, "select count(*) from mail_deliveries"); n != 0 {
		t.Errorf("%d mails, want none", n)
	}
}

func TestInviteAgain_NotAfterJoiningOrDisabling(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	if err := f.InviteAgain(t.Context(), f.ada, f.sam.UserID); !errors.Is(err, app.ErrConflict) {
		t.Errorf("inviting somebody who has a password gives %v", err)
	}
	id, err := f.Invite(t.Context(), f.ada, "noor@example.com", noor)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Disable(t.Context(), f.ada, id); err != nil {
		t.Fatal(err)
	}
	if err := f.InviteAgain(t.Context(), f.ada, id); !errors.Is(err, app.ErrConflict) {
		t.Errorf("inviting somebody disabled gives %v", err)
	}
	if n := f.count(t, "select count(*) from tokens"); n != 0 {
		t.Errorf("%d links of a disabled person are open", n)
	}
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	support, sales := f.department(t, "Support"), f.department(t, "Sales")
	id := f.sam.UserID
	place := Place{Name: "Sam O. Okafor", Role: app.RoleStaff, Permissions: []string{"provisioning.logs", "billing.view"}, Departments: []string{support, sales}}
	if err := f.Update(t.Context(), f.ada, id, place); err != nil {
		t.Fatal(err)
	}
	m := f.get(t, id)
	if m.Name != place.Name || !slices.Equal(m.Permissions, []string{"billing.view", "provisioning.logs"}) || len(m.Departments) != 2 {
		t.Errorf("stored %+v", m)
	}
	if err := f.Update(t.Context(), f.ada, id, place); err != nil { // nothing changed
		t.Fatal(err)
	}
	wantActions(t, f.pool, f.ada, "team.edit")
	if n := f.count(t, `select count(*) from audit_entries where object_name = 'Sam Okafor'
		and details #> '{permissions,after}' = '["billing.view", "provisioning.logs"]' and details #>> '{name,before}' = 'Sam Okafor' and not details ? 'role'`); n != 1 {
		t.Error("the audit does not say what changed")
	}

	// A department that is archived keeps its people for the day it comes back.
	if _, err := f.pool.Exec(t.Context(), "update departments set archived_at = now() where id = $1", sales); err != nil {
		t.Fatal(err)
	}
	place.Departments = nil
	if err := f.Update(t.Context(), f.ada, id, place); err != nil {
		t.Fatal(err)
	}
	if n := f.count(t, "select count(*) from staff_departments where user_id = $1 and department_id = $2", id, sales); n != 1 || len(f.get(t, id).Departments) != 0 {
		t.Error("leaving the departments in use did not leave exactly those")
	}

	// An admin needs no permissions, and made staff again holds none from before.
	place.Role = app.RoleAdmin
	if err := f.Update(t.Context(), f.ada, id, place); err != nil {
		t.Fatal(err)
	}
	if m := f.get(t, id); m.Role != app.RoleAdmin || len(m.Permissions) != 0 {
		t.Errorf("made admin: %+v", m)
	}
}

func TestUpdate_Invalid(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	before := f.snapshot(t)
	wantInvalid(t, f.Update(t.Context(), f.ada, f.sam.UserID, Place{}), "name:team.name-wrong", "role:team.choose")
	wantInvalid(t, f.Update(t.Context(), f.ada, f.ada.UserID, Place{Name: "Ada Moreau", Role: app.RoleStaff}), "role:team.own-role")
	if err := f.Update(t.Context(), f.ada, f.bea.UserID, noor); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("an account holder as member gives %v", err)
	}
	if after := f.snapshot(t); after != before {
		t.Errorf("refused updates changed %s to %s", before, after)
	}
	if err := f.Update(t.Context(), f.ada, f.ada.UserID, Place{Name: "Ada B. Moreau", Role: app.RoleAdmin}); err != nil {
		t.Errorf("changing one's own name gives %v", err)
	}
}

func TestDisable(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	id := f.sam.UserID
	for _, sql := range []string{
		"insert into sessions (token_hash, user_id, ip, browser, expires_at) values ('one', $1, '', '', now() + interval '1 day')",
		"insert into sessions (token_hash, user_id, ip, browser, expires_at) values ('two', $1, '', '', now() + interval '1 day')",
		"insert into tokens (token_hash, purpose, user_id, email, expires_at) values ('three', 'reset', $1, '', now() + interval '1 day')",
		"insert into email_changes (user_id, email, expires_at) values ($1, 'x@example.com', now() + interval '1 day')",
	} {
		if _, err := f.pool.Exec(t.Context(), sql, id); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.pool.Exec(t.Context(), `insert into sessions (token_hash, user_id, ip, browser, expires_at)
		values ('ada', $1, '', '', now() + interval '1 day')`, f.ada.UserID); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time changes nothing
		if err := f.Disable(t.Context(), f.ada, id); err != nil {
			t.Fatal(err)
		}
	}
	if m := f.get(t, id); m.Status(time.Now()) != "disabled" {
		t.Errorf("disabled %+v", m)
	}
	for _, table := range []string{"sessions", "tokens", "email_changes"} {
		if n := f.count(t, "select count(*) from "+table+" where user_id = $1", id); n != 0 {
			t.Errorf("%d rows of a disabled person in %s", n, table)
		}
	}
	if n := f.count(t, "select count(*) from sessions where user_id = $1", f.ada.UserID); n != 1 {
		t.Error("somebody else's session ended too")
	}
	for range 2 {
		if err := f.Enable(t.Context(), f.ada, id); err != nil {
			t.Fatal(err)
		}
	}
	if m := f.get(t, id); m.Status(time.Now()) != "active" {
		t.Errorf("enabled %+v", m)
	}
	wantActions(t, f.pool, f.ada, "team.disable", "team.enable")
}

func TestDisable_NotOneself(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.user(t, "Ben Roth", app.RoleAdmin)
	if err := f.Disable(t.Context(), f.ada, f.ada.UserID); !errors.Is(err, app.ErrConflict) {
		t.Errorf("disabling oneself gives %v", err)
	}
	wantActions(t, f.pool, f.ada)
}

// signedIn gives a user two sessions and every kind of second factor.
func (f *fixture) signedIn(t *testing.T, v app.Viewer) {
	t.Helper()
	for _, sql := range []string{
		`insert into sessions (token_hash, user_id, ip, browser, expires_at)
			select sha256(($1 || n)::bytea), $1::uuid, '', '', now() + interval '1 day' from generate_series(1, 2) n`,
		"insert into authenticators (user_id, secret, confirmed_at) values ($1::text::uuid, '', now())",
		"insert into recovery_codes (user_id, code_hash) values ($1::text::uuid, '')",
		"insert into passkeys (user_id, credential_id, credential, name) values ($1::text::uuid, $1::text::bytea, '{}', '')",
	} {
		if _, err := f.pool.Exec(t.Context(), sql, v.UserID); err != nil {
			t.Fatal(err)
		}
	}
}

// left counts a user's sessions and factors.
func (f *fixture) left(t *testing.T, id string) (sessions, factors int) {
	t.Helper()
	return f.count(t, "select count(*) from sessions where user_id = $1", id), f.count(t, `
		select (select count(*) from authenticators where user_id = $1) + (select count(*) from recovery_codes where user_id = $1)
			+ (select count(*) from passkeys where user_id = $1)`, id)
}

func TestSignOut(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.signedIn(t, f.ada)
	f.signedIn(t, f.sam)
	if err := f.SignOut(t.Context(), f.ada, f.sam.UserID); err != nil {
		t.Fatal(err)
	}
	if sessions, factors := f.left(t, f.sam.UserID); sessions != 0 || factors != 3 {
		t.Errorf("%d sessions and %d factors are left, want none and 3", sessions, factors)
	}
	if err := f.SignOut(t.Context(), f.ada, f.ada.UserID); !errors.Is(err, app.ErrConflict) {
		t.Errorf("signing oneself out gives %v", err)
	}
	if err := f.SignOut(t.Context(), f.ada, f.bea.UserID); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("signing an account holder out gives %v", err)
	}
	if sessions, _ := f.left(t, f.ada.UserID); sessions != 2 {
		t.Error("somebody else's sessions ended too")
	}
	wantActions(t, f.pool, f.ada, "team.sign-out")
}

func TestRemoveFactor(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.signedIn(t, f.ada)
	f.signedIn(t, f.sam)
	f.signedIn(t, f.bea)
	if _, err := f.pool.Exec(t.Context(), "update users set language = 'de', time_zone = 'Europe/Berlin' where id = $1", f.sam.UserID); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time changes nothing
		if err := f.RemoveFactor(t.Context(), f.ada, f.sam.UserID); err != nil {
			t.Fatal(err)
		}
	}
	if sessions, factors := f.left(t, f.sam.UserID); sessions+factors != 0 {
		t.Errorf("%d sessions and %d factors are left", sessions, factors)
	}
	if n := f.count(t, `select count(*) from mail_deliveries where kind = 'second-factor-changed' and user_id = $1 and recipient = 'sam@example.com'
		and language = 'de' and data ->> 'Change' = 'factor.remove'`, f.sam.UserID); n != 1 {
		t.Errorf("%d mails tell the member, want 1", n)
	}
	before := f.snapshot(t)
	if err := f.RemoveFactor(t.Context(), f.ada, f.ada.UserID); !errors.Is(err, app.ErrConflict) {
		t.Errorf("removing one's own gives %v", err)
	}
	if err := f.RemoveFactor(t.Context(), f.ada, f.bea.UserID); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("removing an account holder's gives %v", err)
	}
	for _, v := range []app.Viewer{f.ada, f.bea} {
		if sessions, factors := f.left(t, v.UserID); sessions != 2 || factors != 3 {
			t.Errorf("%s has %d sessions and %d factors left", v.Name, sessions, factors)
		}
	}
	if after := f.snapshot(t); after != before {
		t.Errorf("refused requests changed %s to %s", before, after)
	}
	wantActions(t, f.pool, f.ada, "team.remove-factor")
}

func TestProof(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.signedIn(t, f.sam)
	stale := f.ada
	stale.ProvedAt = time.Now().Add(-auth.ProofAge - time.Second)
	chief := Place{Name: "Sam Okafor", Role: app.RoleAdmin}
	invite := func(v app.Viewer, place Place) error {
		_, err := f.Invite(t.Context(), v, "noor@example.com", place)
		return err
	}
	before := f.snapshot(t)
	for name, err := range map[string]error{
		"inviting an admin": invite(stale, chief), "making somebody an admin": f.Update(t.Context(), stale, f.sam.UserID, chief),
		"removing a second factor": f.RemoveFactor(t.Context(), stale, f.sam.UserID),
	} {
		if !errors.Is(err, app.ErrProof) {
			t.Errorf("%s gives %v", name, err)
		}
	}
	if after := f.snapshot(t); after != before {
		t.Errorf("refused requests changed %s to %s", before, after)
	}
	for name, err := range map[string]error{
		"inviting staff": invite(stale, noor), "editing staff": f.Update(t.Context(), stale, f.sam.UserID, Place{Name: "Sam", Role: app.RoleStaff}),
		"making somebody an admin": f.Update(t.Context(), f.ada, f.sam.UserID, chief),
		"editing an admin":         f.Update(t.Context(), stale, f.sam.UserID, Place{Name: "Sam O.", Role: app.RoleAdmin}),
		"signing somebody out":     f.SignOut(t.Context(), stale, f.sam.UserID),
	} {
		if err != nil {
			t.Errorf("%s gives %v", name, err)
		}
	}
}

// Whatever admins do to each other at the same moment, one remains who can undo it.
func TestAdmins_OneAlwaysRemains(t *testing.T) {
	t.Parallel()
	for name, deed := range map[string]func(f *fixture, v app.Viewer, id string) error{
		"disable": func(f *fixture, v app.Viewer, id string) error { return f.Disable(context.Background(), v, id) },
		"demote": func(f *fixture, v app.Viewer, id string) error {
			return f.Update(context.Background(), v, id, Place{Name: "Demoted", Role: app.RoleStaff})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setUp(t)
			admins := []app.Viewer{f.ada}
			for i := range 3 {
				admins = append(admins, f.user(t, fmt.Sprintf("Admin%d Roth", i), app.RoleAdmin))
			}
			var wait sync.WaitGroup
			errs := make(chan error, len(admins)*len(admins))
			for _, v := range admins {
				for _, other := range admins {
					if other.UserID != v.UserID {
						wait.Go(func() { errs <- deed(f, v, other.UserID) })
					}
				}
			}
			wait.Wait()
			close(errs)
			for err := range errs {
				if err != nil && !errors.Is(err, app.ErrForbidden) {
					t.Error(err)
				}
			}
			if n := f.count(t, "select count(*) from users where role = 'admin' and disabled_at is null"); n != 1 {
				t.Errorf("%d admins remain, want 1", n)
			}
		})
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	_, err := f.pool.Exec(t.Context(), `
		insert into users (name, email, role) select case when n % 2 = 0 then 'Twin' else 'person ' || n end, 'p' || n || '@example.com', 'staff'
		from generate_series(1, 118) n`)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	var names []string
	pages, after := 0, ""
	for {
		page, next, err := f.List(t.Context(), f.ada, "", after)
		if err != nil {
			t.Fatal(err)
		}
		pages++
		for _, m := range page {
			if seen[m.ID] {
				t.Errorf("%s is listed twice", m.Name)
			}
			seen[m.ID] = true
			names = append(names, strings.ToLower(m.Name))
		}
		if after = next; next == "" {
			break
		}
	}
	if pages != 3 || len(names) != 120 || !slices.IsSorted(names) { // 118 and Ada and Sam, not Bea
		t.Errorf("%d people on %d pages, sorted %v", len(names), pages, slices.IsSorted(names))
	}
	for text, want := range map[string]int{"ADA": 1, "p11@": 1, "twin": 50, "%": 0, "_": 0, `\`: 0, "bea": 0, "  sam ": 1} {
		page, _, err := f.List(t.Context(), f.ada, text, "")
		if err != nil || len(page) != want {
			t.Errorf("searching %q gives %d people, want %d (%v)", text, len(page), want, err)
		}
	}
}

func TestTeam_WhoMay(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	sam := f.sam
	for _, permission := range policies.Permissions {
		sam.Permissions = append(sam.Permissions, string(permission))
	}
	before := f.snapshot(t)
	for _, test := range []struct {
		who  string
		v    app.Viewer
		want error
	}{{"visitor", app.Viewer{}, app.ErrSignedOut}, {"account holder", f.bea, app.ErrNotFound}, {"staff with every permission", sam, app.ErrForbidden}} {
		_, _, listErr := f.List(t.Context(), test.v, "", "")
		_, getErr := f.Get(t.Context(), test.v, f.ada.UserID)
		_, departmentsErr := f.Departments(t.Context(), test.v)
		_, inviteErr := f.Invite(t.Context(), test.v, "noor@example.com", noor)
		_, deedsErr := f.Deeds(test.v)
		_, peopleErr := f.People(t.Context(), test.v)
		_, askErr := f.Ask(t.Context(), test.v, Question{"relation:admin", "team", "view"})
		for name, err := range map[string]error{
			"List": listErr, "Get": getErr, "Departments": departmentsErr, "Invite": inviteErr, "Deeds": deedsErr, "People": peopleErr, "Ask": askErr,
			"InviteAgain":  f.InviteAgain(t.Context(), test.v, f.sam.UserID),
			"Update":       f.Update(t.Context(), test.v, f.ada.UserID, noor),
			"Disable":      f.Disable(t.Context(), test.v, f.ada.UserID),
			"Enable":       f.Enable(t.Context(), test.v, f.ada.UserID),
			"SignOut":      f.SignOut(t.Context(), test.v, f.ada.UserID),
			"RemoveFactor": f.RemoveFactor(t.Context(), test.v, f.ada.UserID),
		} {
			if !errors.Is(err, test.want) {
				t.Errorf("%s: %s gives %v, want %v", test.who, name, err, test.want)
			}
		}
	}
	if after := f.snapshot(t); after != before {
		t.Errorf("refused requests changed %s to %s", before, after)
	}
}

// A viewer is read when the request begins; what happened since counts too.
func TestTeam_AdminDemotedMeanwhile(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	if _, err := f.pool.Exec(t.Context(), "update users set role = 'staff' where id = $1", f.ada.UserID); err != nil {
		t.Fatal(err)
	}
	before := f.snapshot(t)
	if err := f.Disable(t.Context(), f.ada, f.sam.UserID); !errors.Is(err, app.ErrForbidden) {
		t.Errorf("got %v", err)
	}
	if after := f.snapshot(t); after != before {
		t.Errorf("changed %s to %s", before, after)
	}
}

func TestGroups_HoldEveryPermissionOnce(t *testing.T) {
	t.Parallel()
	catalogue, err := locale.Load(views.Files)
	if err != nil {
		t.Fatal(err)
	}
	p := catalogue.Printer("en", "UTC", time.Now())
	var all []policies.Permission
	for _, group := range Groups() {
		all = append(all, group.Permissions...)
		if !p.Has("permission.group-" + group.Name) {
			t.Errorf("group %s has no name", group.Name)
		}
	}
	for _, permission := range policies.Permissions {
		if n := len(slices.DeleteFunc(slices.Clone(all), func(p policies.Permission) bool { return p != permission })); n != 1 {
			t.Errorf("%s is in %d groups, want 1", permission, n)
		}
		if !p.Has("permission."+string(permission)) || !p.Has("permission."+string(permission)+"-hint") {
			t.Errorf("%s lacks its label or hint", permission)
		}
	}
	if len(all) != len(policies.Permissions) {
		t.Errorf("%d permissions in groups, %d in all", len(all), len(policies.Permissions))
	}
}

func TestAsk(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	if err := f.Update(t.Context(), f.ada, f.sam.UserID, Place{Name: "Sam", Role: app.RoleStaff, Permissions: []string{"billing.view"}}); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		q         Question
		relations []string
		line      string // "" for no
	}{
		{Question{f.ada.UserID, "team", "edit"}, []string{"admin"}, "p, admin, team, edit"},
		{Question{f.sam.UserID, "admin", "view"}, []string{"staff", "can:billing.view"}, "p, staff, admin, view"},
		{Question{f.sam.UserID, "team", "view"}, []string{"staff", "can:billing.view"}, ""},
		{Question{"relation:holder", "profile", "edit"}, []string{"holder"}, "p, holder, profile, edit"},
		{Question{"relation:anonymous", "team", "view"}, []string{"anonymous"}, ""},
		{Question{"relation:admin", "moon", "view"}, []string{"admin"}, ""},
	} {
		answer, err := f.Ask(t.Context(), f.ada, test.q)
		if err != nil {
			t.Fatal(err)
		}
		line := ""
		if answer.Allowed {
			line = answer.Line.String()
		}
		if line != test.line || !slices.Equal(answer.Relations, test.relations) {
			t.Errorf("%v: got %q by %v, want %q by %v", test.q, line, answer.Relations, test.line, test.relations)
		}
	}
	if err := f.Disable(t.Context(), f.ada, f.sam.UserID); err != nil {
		t.Fatal(err)
	}
	for _, who := range []string{f.sam.UserID, f.bea.UserID, "0a0a0a0a-0000-4000-8000-00000000000f", "x", ""} {
		if _, err := f.Ask(t.Context(), f.ada, Question{who, "admin", "view"}); !errors.Is(err, app.ErrNotFound) {
			t.Errorf("asking about %q gives %v", who, err)
		}
	}
}

func TestDeeds_HoldEveryLine(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	deeds, err := f.Deeds(f.ada)
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for _, deed := range deeds {
		for _, relation := range deed.Relations {
			lines++
			if !policies.Allows([]string{relation}, deed.Object, deed.Action) {
				t.Errorf("%s may not %s %s", relation, deed.Action, deed.Object)
			}
		}
	}
	if want := len(policies.Default.Rules()); lines != want {
		t.Errorf("%d lines shown, policy has %d", lines, want)
	}
}

func TestPeople_AreThoseWhoCanSignIn(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	if err := f.Disable(t.Context(), f.ada, f.sam.UserID); err != nil {
		t.Fatal(err)
	}
	people, err := f.People(t.Context(), f.ada)
	if err != nil || len(people) != 1 || people[0].ID != f.ada.UserID {
		t.Errorf("got %+v, %v", people, err)
	}
}

func TestDepartments_AreThoseInUse(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	id := f.department(t, "Support")
	f.department(t, "Sales")
	if _, err := f.pool.Exec(t.Context(), "update departments set archived_at = now() where name = 'Sales'"); err != nil {
		t.Fatal(err)
	}
	departments, err := f.Departments(t.Context(), f.ada)
	if err != nil || len(departments) != 1 || departments[0].ID != id {
		t.Errorf("got %v, %v", departments, err)
	}
}
