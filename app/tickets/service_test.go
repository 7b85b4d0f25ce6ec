package tickets

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"portico/app"
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

// bundle is a service on a database of its own, with the actors of the permission matrix.
type bundle struct {
	*Service
	t                  *testing.T
	pool               *pgxpool.Pool
	mails              *mail.Service
	bea, una           app.Viewer // owner and further user of Bluebird
	lee, stella        app.Viewer // a lead; another client
	sam, priya, ada    app.Viewer // staff of Technical support, with the permission to open for clients; of Billing; admin
	bluebird, corvid   string     // accounts
	technical, billing string     // departments
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
	b := &bundle{t: t, pool: pool, mails: mail.New(pool, ring, catalogue, "https://portal.northwind.example", transport, inserter)}
	b.Service = NewService(pool, b.mails, nil)
	b.technical = scan[string](b, "insert into departments (name) values ('Technical support') returning id::text")
	b.billing = scan[string](b, "insert into departments (name, position) values ('Billing', 1) returning id::text")
	b.bea, b.bluebird = b.holder("Bea Lindqvist", "Bluebird Bakery")
	b.stella, b.corvid = b.holder("Stella Novak", "Corvid Press")
	b.lee, _ = b.holder("Lee Park", "Lee Park")
	b.una = b.user("Una Berg", "")
	b.exec("insert into account_users (account_id, user_id, relation) values ($1, $2, 'user')", b.bluebird, b.una.UserID)
	b.sam, b.priya, b.ada = b.user("Sam Okafor", "staff"), b.user("Priya Shah", "staff"), b.user("Ada Moreau", "admin")
	b.sam.Permissions = []string{"tickets.open_for_client"}
	b.exec("insert into staff_departments (user_id, department_id) values ($1, $2), ($3, $4)", b.sam.UserID, b.technical, b.priya.UserID, b.billing)
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

// open opens a ticket of Bea's in a department ("" for none).
func (b *bundle) open(department string) string {
	b.t.Helper()
	id, err := b.Open(b.t.Context(), b.bea, Opening{Subject: "The form sends nothing", DepartmentID: department, Body: "Since **Monday**."})
	if err != nil {
		b.t.Fatal(err)
	}
	return id
}

func (b *bundle) post(v app.Viewer, id, text string) Message {
	b.t.Helper()
	m, err := b.Post(b.t.Context(), v, id, Posting{Body: text})
	if err != nil {
		b.t.Fatalf("%s posts: %v", v.Name, err)
	}
	return m
}

func (b *bundle) thread(v app.Viewer, id string) Thread {
	b.t.Helper()
	t, err := b.Thread(b.t.Context(), v, id)
	if err != nil {
		b.t.Fatalf("%s reads: %v", v.Name, err)
	}
	return t
}

func (b *bundle) status(id string) string {
	b.t.Helper()
	return scan[string](b, "select status from tickets where id = $1", id)
}

func (t Thread) messages() (all []Message) {
	for _, entry := range t.Entries {
		if entry.Message != nil {
			all = append(all, *entry.Message)
		}
	}
	return all
}

func (t Thread) kinds() (all []string) {
	for _, entry := range t.Entries {
		if entry.Event != nil {
			all = append(all, entry.Event.Kind)
		}
	}
	return all
}

func want(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) || (got == nil) != (want == nil) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func wantInvalid(t *testing.T, what string, err error, messages ...string) {
	t.Helper()
	var invalid *app.Invalid
	var got []string
	if errors.As(err, &invalid) {
		for _, field := range invalid.Fields {
			got = append(got, field.Field+":"+field.Text.Key)
		}
	}
	if !slices.Equal(got, messages) {
		t.Errorf("%s: got %v %v, want %v", what, got, err, messages)
	}
}

// TestStatus: whose relation to this ticket is what decides its status.
func TestStatus(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	id := b.open(b.technical)
	step := func(what, status string, waits bool) {
		t.Helper()
		if got := b.status(id); got != status {
			t.Errorf("%s: the status is %s, want %s", what, got, status)
		}
		if got := scan[bool](b, "select waiting_since is not null from tickets where id = $1", id); got != waits {
			t.Errorf("%s: waits for the store: %t", what, got)
		}
	}
	step("opened by its owner", Open, true)
	b.post(b.bea, id, "One thing more.")
	step("the opener posts", ClientReplied, true)
	since := scan[string](b, "select waiting_since::text from tickets where id = $1", id)
	b.post(b.una, id, "And another.")
	step("another user of the account posts", ClientReplied, true)
	if now := scan[string](b, "select waiting_since::text from tickets where id = $1", id); now != since {
		t.Errorf("the store's waiting time began again")
	}
	b.post(b.sam, id, "I look into it.")
	step("staff post", StaffReplied, false)
	if _, err := b.Post(t.Context(), b.sam, id, Posting{Body: "A note.", Internal: true}); err != nil {
		t.Fatal(err)
	}
	step("staff write a note", StaffReplied, false)
	m := b.post(b.bea, id, "Thanks")
	step("the owner posts", ClientReplied, true)
	if err := b.EditMessage(t.Context(), b.bea, id, m.ID, "Thank you"); err != nil {
		t.Fatal(err)
	}
	b.post(b.ada, id, "You’re welcome.")
	step("an admin posts", StaffReplied, false)
	if err := b.EditMessage(t.Context(), b.bea, id, m.ID, "Thank you both"); err != nil {
		t.Fatal(err)
	}
	if err := b.EditSubject(t.Context(), b.bea, id, "The contact form sends nothing"); err != nil {
		t.Fatal(err)
	}
	step("edits", StaffReplied, false)
	if err := b.Close(t.Context(), b.bea, id); err != nil {
		t.Fatal(err)
	}
	step("closed", Closed, false)
	for opener, wanted := range map[string]string{b.sam.UserID: StaffReplied, b.ada.UserID: StaffReplied} {
		v := b.sam
		if opener == b.ada.UserID {
			v = b.ada
		}
		id, err := b.Open(t.Context(), v, Opening{AccountID: b.bluebird, Subject: "Your invoice", Body: "Please look."})
		if err != nil || b.status(id) != wanted {
			t.Errorf("%s opens for a client: %v, %s", v.Name, err, b.status(id))
		}
	}
}

// TestMatrix asks for every cell of table 1a that concerns no delegate, on an open ticket of Technical support, and checks that
// what is refused changes nothing.
func TestMatrix(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	id := b.open(b.technical)
	theirs := b.post(b.una, id, "From Una.") // nobody's below
	note, err := b.Post(t.Context(), b.sam, id, Posting{Body: "Canary note", Internal: true})
	if err != nil {
		t.Fatal(err)
	}
	no, absent := app.ErrForbidden, app.ErrNotFound
	deeds := []struct {
		name string
		do   func(v app.Viewer) error
	}{
		{"list, read", func(v app.Viewer) error { _, err := b.Thread(t.Context(), v, id); return err }},
		{"stream", func(v app.Viewer) error { return b.Sees(t.Context(), v.UserID, id) }},
		{"open new", func(v app.Viewer) error {
			o := Opening{Subject: "New", Body: "New"}
			if v.OfStore() {
				o.AccountID = b.corvid
			}
			_, err := b.Open(t.Context(), v, o)
			return err
		}},
		{"reply", func(v app.Viewer) error { _, err := b.Post(t.Context(), v, id, Posting{Body: "Reply"}); return err }},
		{"edit own", func(v app.Viewer) error {
			m, err := b.Post(t.Context(), v, id, Posting{Body: "Mine"})
			if err != nil {
				return err
			}
			return b.EditMessage(t.Context(), v, id, m.ID, "Mine, edited")
		}},
		{"edit others’", func(v app.Viewer) error { return b.EditMessage(t.Context(), v, id, theirs.ID, "Edited") }},
		{"subject", func(v app.Viewer) error { return b.EditSubject(t.Context(), v, id, "By "+v.Name) }},
		{"notes", func(v app.Viewer) error {
			_, err := b.Post(t.Context(), v, id, Posting{Body: "Note", Internal: true})
			return err
		}},
		{"edit the store’s note", func(v app.Viewer) error { return b.EditMessage(t.Context(), v, id, note.ID, "Edited") }},
		{"assign", func(v app.Viewer) error {
			return b.Change(t.Context(), v, id, "assign", func(pgx.Tx, *Ticket) error { return nil })
		}},
		{"draft", func(v app.Viewer) error {
			return b.SaveDraft(t.Context(), v, Draft{Object: DraftOfReply(id), Body: "Half"})
		}},
	}
	visitor, unconfirmed := app.Viewer{}, b.stella
	unconfirmed.Confirmed = false
	out := app.ErrSignedOut
	for _, row := range []struct {
		actor string
		v     app.Viewer
		want  []error // as the deeds stand
	}{
		{"AN", visitor, []error{out, absent, out, out, out, out, out, out, out, out, out}},
		{"OW", b.bea, []error{nil, nil, nil, nil, nil, no, nil, no, absent, no, nil}},
		{"ST", b.stella, []error{absent, absent, nil, absent, absent, absent, absent, absent, absent, absent, absent}},
		{"LE", b.lee, []error{absent, absent, nil, absent, absent, absent, absent, absent, absent, absent, absent}},
		{"UN", unconfirmed, []error{absent, absent, no, no, no, absent, no, no, absent, no, no}},
		{"SD", b.sam, []error{nil, nil, nil, nil, nil, no, nil, nil, nil, nil, nil}},
		{"SO", b.priya, []error{absent, absent, no, absent, absent, absent, absent, absent, absent, absent, absent}},
		{"AD", b.ada, []error{nil, nil, nil, nil, nil, no, nil, nil, no, nil, nil}},
	} {
		for i, deed := range deeds {
			if row.v.UserID == "" && deed.name == "stream" {
				continue // the route asks who it is first
			}
			before := b.snapshot()
			err := deed.do(row.v)
			want(t, row.actor+" "+deed.name, err, row.want[i])
			if row.want[i] != nil && b.snapshot() != before {
				t.Errorf("%s %s was refused and changed something", row.actor, deed.name)
			}
		}
	}
	// Note f: moving a ticket moves access at once; without a department it is open to all staff.
	b.exec("update tickets set department_id = $2 where id = $1", id, b.billing)
	want(t, "Sam after the move", b.Sees(t.Context(), b.sam.UserID, id), absent)
	want(t, "Priya after the move", b.Sees(t.Context(), b.priya.UserID, id), nil)
	b.exec("update tickets set department_id = null where id = $1", id)
	want(t, "Sam without a department", b.Sees(t.Context(), b.sam.UserID, id), nil)
	b.exec("update users set disabled_at = now() where id = $1", b.sam.UserID)
	want(t, "Sam disabled", b.Sees(t.Context(), b.sam.UserID, id), absent)
	if own := scan[int](b, "select count(*)::int from ticket_messages where author_id = $1 and voice <> 'owner'", b.bea.UserID); own != 0 {
		t.Error("an owner's message has another voice")
	}
}

// TestLead does as LE what OW does above, on the ticket a lead opened.
func TestLead(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	id, err := b.Open(t.Context(), b.lee, Opening{Subject: "Before I buy", Body: "A question"})
	if err != nil {
		t.Fatal(err)
	}
	m := b.post(b.lee, id, "And another")
	want(t, "edit own", b.EditMessage(t.Context(), b.lee, id, m.ID, "And one more"), nil)
	want(t, "subject", b.EditSubject(t.Context(), b.lee, id, "Questions"), nil)
	want(t, "close", b.Close(t.Context(), b.lee, id), nil)
	_, err = b.Open(t.Context(), b.lee, Opening{FollowsID: id, Subject: "Questions", Body: "One is left"})
	want(t, "follow up", err, nil)
	want(t, "Bea is a stranger", b.Sees(t.Context(), b.bea.UserID, id), app.ErrNotFound)
}

// snapshot is the content of every table that a deed could change.
func (b *bundle) snapshot() string {
	b.t.Helper()
	return scan[string](b, `select concat_ws(' ',
		(select md5(string_agg(x::text, '' order by id)) from tickets x), (select md5(string_agg(x::text, '' order by id)) from ticket_messages x),
		(select md5(string_agg(x::text, '' order by id)) from ticket_events x), (select count(*) from message_versions), (select count(*) from drafts),
		(select count(*) from mail_deliveries), (select count(*) from river_job), (select count(*) from audit_entries))`)
}

func TestClosed_IsFinal(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	id := b.open("")
	mine := b.post(b.bea, id, "Mine")
	if err := b.Close(t.Context(), b.sam, id); err != nil {
		t.Fatal(err)
	}
	staffs := scan[string](b, "select count(*)::text from ticket_messages where ticket_id = $1", id)
	for _, v := range []app.Viewer{b.bea, b.una, b.sam, b.priya, b.ada} {
		_, err := b.Post(t.Context(), v, id, Posting{Body: "Late words of " + v.Name})
		want(t, v.Name+" posts", err, ErrClosed)
		want(t, v.Name+" changes the subject", b.EditSubject(t.Context(), v, id, "Late"), app.ErrConflict)
		want(t, v.Name+" closes again", b.Close(t.Context(), v, id), nil)
		draft, err := b.Draft(t.Context(), v, DraftOfReply(id))
		if err != nil || draft.Body != "Late words of "+v.Name {
			t.Errorf("%s lost their text: %q, %v", v.Name, draft.Body, err)
		}
		if can := b.thread(v, id).Can; can.Reply || can.Subject || can.Close || can.Notes || can.Assign || !can.FollowUp {
			t.Errorf("%s sees on a closed ticket: %+v", v.Name, can)
		}
	}
	want(t, "Bea edits", b.EditMessage(t.Context(), b.bea, id, mine.ID, "Mine, late"), ErrClosed)
	want(t, "Stella posts", func() error { _, err := b.Post(t.Context(), b.stella, id, Posting{Body: "x"}); return err }(), app.ErrNotFound)
	if now := scan[string](b, "select count(*)::text from ticket_messages where ticket_id = $1", id); now != staffs {
		t.Errorf("a closed ticket has %s messages instead of %s", now, staffs)
	}
	// The follow-up takes the newest text along, and links both ways.
	_, draft, err := b.FollowUp(t.Context(), b.bea, id)
	if err != nil || draft.Body != "Mine, late" || draft.Subject != "The form sends nothing" {
		t.Errorf("the follow-up starts with %+v, %v", draft, err)
	}
	next, err := b.Open(t.Context(), b.bea, Opening{FollowsID: id, Subject: draft.Subject, Body: draft.Body})
	if err != nil {
		t.Fatal(err)
	}
	if follows := b.thread(b.bea, next).Follows; follows == nil || follows.ID != id {
		t.Errorf("the follow-up has no link to the closed one: %+v", follows)
	}
	if ups := b.thread(b.bea, id).FollowUps; len(ups) != 1 || ups[0].ID != next {
		t.Errorf("the closed ticket has no link to its follow-up: %+v", ups)
	}
	if n := scan[int](b, "select count(*)::int from drafts where user_id = $1", b.bea.UserID); n != 0 {
		t.Errorf("%d drafts are left", n)
	}
	_, _, err = b.FollowUp(t.Context(), b.bea, next)
	want(t, "follow up an open one", err, app.ErrConflict)
	_, err = b.Open(t.Context(), b.stella, Opening{FollowsID: id, Subject: "x", Body: "x"})
	want(t, "a stranger follows up", err, app.ErrNotFound)
	// Its title is for those who may read it: the follow-up in another department is not named to Sam.
	b.exec("update tickets set department_id = $2 where id = $1", next, b.billing)
	if ups := b.thread(b.sam, id).FollowUps; len(ups) != 0 {
		t.Errorf("Sam sees a follow-up of another department: %+v", ups)
	}
}

// TestClose_CrossesPosts: posts, edits and a close at once. What was not in time is a draft, and nothing comes after the close.
func TestClose_CrossesPosts(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	authors := []app.Viewer{b.bea, b.una, b.sam, b.priya, b.ada}
	for round := range 8 {
		id := b.open("")
		mine := b.post(b.bea, id, "Before")
		var group sync.WaitGroup
		results := make([]error, len(authors))
		for i, v := range authors {
			group.Go(func() { _, results[i] = b.Post(t.Context(), v, id, Posting{Body: "Crossing"}) })
		}
		var edited, closed error
		group.Go(func() { edited = b.EditMessage(t.Context(), b.bea, id, mine.ID, "After") })
		group.Go(func() { closed = b.Close(t.Context(), b.sam, id) })
		group.Wait()
		want(t, "close", closed, nil)
		posted := 0
		for i, err := range results {
			kept := scan[bool](b, "select exists (select from drafts where user_id = $1 and object = $2 and body = 'Crossing')", authors[i].UserID, DraftOfReply(id))
			if err == nil {
				posted++
			} else if want(t, authors[i].Name, err, ErrClosed); !kept {
				t.Errorf("round %d: %s lost their text", round, authors[i].Name)
			}
			if err == nil && kept {
				t.Errorf("round %d: %s posted and has a draft as well", round, authors[i].Name)
			}
		}
		if edited != nil {
			want(t, "edit", edited, ErrClosed)
			if !scan[bool](b, "select exists (select from drafts where object = $1)", DraftOfEdit(mine.ID)) {
				t.Errorf("round %d: an edit is lost", round)
			}
		}
		if n := scan[int](b, "select count(*)::int from ticket_messages where ticket_id = $1", id); n != 2+posted {
			t.Errorf("round %d: %d messages, want %d", round, n, 2+posted)
		}
		late := scan[int](b, `select count(*)::int from ticket_messages m join tickets t on t.id = m.ticket_id
			where t.id = $1 and greatest(m.created_at, m.edited_at) > t.closed_at`, id)
		if late > 0 || b.status(id) != Closed {
			t.Errorf("round %d: %d messages after the close, status %s", round, late, b.status(id))
		}
	}
}

func TestNotes_ReachNoHolder(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	id := b.open("")
	before := b.thread(b.bea, id)
	note, err := b.Post(t.Context(), b.sam, id, Posting{Body: "Canary", Internal: true})
	if err != nil {
		t.Fatal(err)
	}
	want(t, "edit the note", b.EditMessage(t.Context(), b.sam, id, note.ID, "Canary two"), nil)
	after := b.thread(b.bea, id)
	if len(after.Entries) != len(before.Entries) || !after.UpdatedAt.Equal(before.UpdatedAt) || after.Version != before.Version {
		t.Errorf("a note changed what the owner sees: %+v", after)
	}
	staffs := b.thread(b.ada, id).messages()
	if last := staffs[len(staffs)-1]; last.Body != "Canary two" || !last.Internal || len(last.Versions) != 1 || last.Versions[0].Body != "Canary" {
		t.Errorf("the admin sees %+v", last)
	}
	if n := scan[int](b, "select count(*)::int from mail_deliveries where kind = 'reply-posted'"); n != 0 {
		t.Errorf("a note sent %d mails", n)
	}
	if n := scan[int](b, "select count(*)::int from live_events where topic = $1", TopicOfStaff(id)); n == 0 {
		t.Error("a note was told to no page of the store's")
	}
}

func TestEdit_KeepsTheEarlierText(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	id := b.open("")
	m := b.post(b.bea, id, "One")
	for _, text := range []string{"Two", "Three", "Three"} {
		want(t, "edit", b.EditMessage(t.Context(), b.bea, id, m.ID, text), nil)
	}
	owners, staffs := b.thread(b.bea, id), b.thread(b.sam, id)
	mine, theirs := owners.messages()[1], staffs.messages()[1]
	if mine.Body != "Three" || mine.EditedAt == nil || len(mine.Versions) != 0 || !mine.CanEdit {
		t.Errorf("Bea sees %+v", mine)
	}
	if len(theirs.Versions) != 2 || theirs.Versions[0].Body != "One" || theirs.Versions[1].Body != "Two" || theirs.CanEdit {
		t.Errorf("Sam sees %+v", theirs)
	}
	if kinds := owners.kinds(); !slices.Equal(kinds, []string{EventEdit, EventEdit}) {
		t.Errorf("the timeline has %v", kinds)
	}
	other := b.open("")
	want(t, "a message below another ticket", b.EditMessage(t.Context(), b.bea, other, m.ID, "Four"), app.ErrNotFound)
}

func TestInput(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	id := b.open("")
	before := b.snapshot()
	open := func(o Opening) error { _, err := b.Open(t.Context(), b.bea, o); return err }
	post := func(text string) error { _, err := b.Post(t.Context(), b.bea, id, Posting{Body: text}); return err }
	wantInvalid(t, "nothing", open(Opening{}), "subject:tickets.subject-missing", "body:tickets.body-missing")
	wantInvalid(t, "blanks", open(Opening{Subject: " \n\t", Body: " \n "}), "subject:tickets.subject-missing", "body:tickets.body-missing")
	wantInvalid(t, "1 MB subject", open(Opening{Subject: strings.Repeat("x", 1<<20), Body: "x"}), "subject:tickets.subject-long")
	wantInvalid(t, "unknown department", open(Opening{Subject: "x", Body: "x", DepartmentID: b.bluebird}), "department:tickets.department-unknown")
	wantInvalid(t, "no id", open(Opening{Subject: "x", Body: "x", DepartmentID: "x' or 1=1"}), "department:tickets.department-unknown")
	want(t, "a foreign account", open(Opening{Subject: "x", Body: "x", AccountID: b.corvid}), app.ErrNotFound)
	wantInvalid(t, "empty reply", post(""), "body:tickets.body-missing")
	wantInvalid(t, "long reply", post(strings.Repeat("é", MaxBody+1)), "body:tickets.body-long")
	wantInvalid(t, "null byte", post("a\x00b"), "body:form.unreadable")
	wantInvalid(t, "invalid UTF-8", post("a\xffb"), "body:form.unreadable")
	wantInvalid(t, "attachments where there are none", func() error {
		_, err := b.Post(t.Context(), b.bea, id, Posting{Body: "x", Uploads: make([]string, 10_000)})
		return err
	}(), "attachments:tickets.no-attachments")
	b.exec("update departments set archived_at = now() where id = $1", b.billing)
	wantInvalid(t, "archived department", open(Opening{Subject: "x", Body: "x", DepartmentID: b.billing}), "department:tickets.department-unknown")
	if b.snapshot() != before {
		t.Error("bad input changed something")
	}
	hostile := b.post(b.bea, id, `<script>alert(1)</script> [x](javascript:alert(1)) <b hx-get="/x">{{.Secret}}</b>`)
	if html := strings.ToLower(hostile.HTML); strings.Contains(html, "<script") || strings.Contains(html, "<b hx") || strings.Contains(html, `href="javascript`) {
		t.Errorf("stored as HTML: %s", hostile.HTML)
	}
}

func TestLists_PageByKey(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.exec("insert into account_users (account_id, user_id, relation) values ($1, $2, 'user')", b.corvid, b.una.UserID)
	b.exec(`insert into tickets (account_id, subject, status, updated_at, closed_at)
		select case when n % 3 = 0 then $1::uuid else $2::uuid end, 'Ticket ' || n, case when n % 2 = 0 then 'open' else 'closed' end,
			now() - n * interval '1 minute', case when n % 2 = 1 then now() - n * interval '1 minute' end
		from generate_series(1, 140) n`, b.corvid, b.bluebird)
	for name, list := range map[string]func(context.Context, app.Viewer, app.Key) ([]Ticket, *app.Key, error){"active": b.Active, "closed": b.Closed} {
		var seen []string
		key := &app.Key{}
		for key != nil {
			page, next, err := list(t.Context(), b.una, *key)
			if err != nil {
				t.Fatal(err)
			}
			for _, ticket := range page {
				seen = append(seen, ticket.Subject)
			}
			key = next
		}
		if len(seen) != 70 || len(slices.Compact(slices.Sorted(slices.Values(seen)))) != 70 {
			t.Errorf("%s: %d tickets, some twice or never", name, len(seen))
		}
		first := "Ticket 2"
		if name == "closed" {
			first = "Ticket 1"
		}
		if seen[0] != first {
			t.Errorf("%s begins with %s", name, seen[0])
		}
	}
	for _, v := range []app.Viewer{b.lee, b.sam} {
		if page, _, err := b.Active(t.Context(), v, app.Key{}); err != nil || len(page) != 0 {
			t.Errorf("%s has %d own tickets, %v", v.Name, len(page), err)
		}
	}
}

// TestMail: who is told what, and that rights are asked again at sending.
func TestMail(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	told := func(kind string) []string {
		t.Helper()
		rows, err := b.pool.Query(t.Context(), "select distinct name from mail_deliveries where kind = $1 order by 1", kind)
		if err != nil {
			t.Fatal(err)
		}
		names, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		b.exec("delete from mail_deliveries")
		return names
	}
	wants := func(what, kind string, names ...string) {
		t.Helper()
		if got := told(kind); !slices.Equal(got, names) {
			t.Errorf("%s tells %v, want %v", what, got, names)
		}
	}
	id := b.open(b.technical)
	wants("opening", "ticket-opened", "Sam Okafor", "Una Berg")
	b.post(b.bea, id, "More")
	wants("a client's post", "reply-posted", "Sam Okafor", "Una Berg")
	b.post(b.sam, id, "Answer")
	wants("the store's post", "reply-posted", "Bea Lindqvist", "Una Berg")
	b.exec("update tickets set assignee_id = $2 where id = $1", id, b.ada.UserID)
	b.post(b.una, id, "More")
	wants("a post to an assigned ticket", "reply-posted", "Ada Moreau", "Bea Lindqvist")
	want(t, "settings", b.SaveMailSettings(t.Context(), b.bea, []string{"ticket-opened", "ticket-status"}), nil)
	b.post(b.ada, id, "Answer")
	wants("a post where one refuses", "reply-posted", "Una Berg")
	b.open("")
	wants("opening without a department", "ticket-opened", "Priya Shah", "Sam Okafor", "Una Berg")

	b.post(b.sam, id, "The **quoted** words")
	delivery := scan[string](b, "select id::text from mail_deliveries where name = 'Una Berg'")
	content, err := b.mails.Preview(t.Context(), delivery)
	if err != nil || !strings.Contains(content.Text, "> The **quoted** words") || !strings.Contains(content.HTML, "/support/"+id) {
		t.Errorf("the mail reads %s, %v", content.Text, err)
	}
	b.exec("delete from account_users where user_id = $1", b.una.UserID)
	if err := b.mails.Deliver(t.Context(), delivery, 0); err != nil {
		t.Fatal(err)
	}
	if got := scan[string](b, "select status || ' ' || reason from mail_deliveries where id = $1", delivery); got != "cancelled no-access" {
		t.Errorf("a mail to somebody who sees the ticket no more: %s", got)
	}
	b.exec("delete from mail_deliveries")
	want(t, "close", b.Close(t.Context(), b.sam, id), nil)
	wants("the store's close", "ticket-status", "Bea Lindqvist")
}

func TestDrafts(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	id := b.open("")
	save := func(v app.Viewer, object, text string) error {
		return b.SaveDraft(t.Context(), v, Draft{Object: object, Subject: "S", Body: text})
	}
	want(t, "reply", save(b.bea, DraftOfReply(id), "Half a"), nil)
	want(t, "again", save(b.bea, DraftOfReply(id), "Half a sentence"), nil)
	if got := b.thread(b.bea, id).Draft.Body; got != "Half a sentence" {
		t.Errorf("the page shows the draft %q", got)
	}
	if got := b.thread(b.una, id).Draft.Body; got != "" {
		t.Errorf("Una sees Bea's draft %q", got)
	}
	want(t, "a stranger's", save(b.stella, DraftOfReply(id), "x"), app.ErrNotFound)
	want(t, "a holder's note", save(b.bea, DraftOfNote(id), "x"), app.ErrForbidden)
	want(t, "another's message", save(b.sam, DraftOfEdit(b.thread(b.bea, id).messages()[0].ID), "x"), app.ErrNotFound)
	for _, object := range []string{"", "ticket", "ticket:x", "other:" + id, "new:" + id} {
		want(t, "draft of "+object, save(b.bea, object, "x"), app.ErrNotFound)
	}
	b.post(b.bea, id, "Half a sentence and its end")
	if n := scan[int](b, "select count(*)::int from drafts"); n != 0 {
		t.Errorf("%d drafts after the post", n)
	}
}

// TestThread_CostsTheSameQueries whatever its length.
func TestThread_CostsTheSameQueries(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	id := b.open("")
	b.exec(`insert into ticket_messages (ticket_id, author_id, author_name, voice, body, html)
		select $1, $2, 'Bea Lindqvist', 'owner', 'x', '<p>x</p>' from generate_series(1, 300)`, id, b.bea.UserID)
	for _, v := range []app.Viewer{b.bea, b.sam} {
		if n := len(b.thread(v, id).messages()); n != 301 {
			t.Errorf("%s sees %d messages", v.Name, n)
		}
	}
}
