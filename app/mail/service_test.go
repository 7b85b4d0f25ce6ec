package mail

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
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
	"portico/app/mail/smtptest"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jhillyerd/enmime/v2"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// bundle is a service on a database and a mail server of its own, with one user.
type bundle struct {
	*Service
	t      *testing.T
	pool   *pgxpool.Pool
	ring   *keys.Ring
	server *smtptest.Server
	bea    string // user id
}

const beaEmail = "bea@bluebird.example"

func setUp(t *testing.T, reply func(to string, n int) smtptest.Reply) *bundle {
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
	server := (&smtptest.Server{Reply: reply}).Start(t)
	inserter, err := river.NewClient(riverpgxv5.New(pool), &river.Config{})
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle{t: t, pool: pool, ring: ring, server: server}
	b.Service = New(pool, ring, catalogue, "https://portal.northwind.example", parse(t, server.URL()), inserter)
	b.exec("update store set name = 'Northwind Hosting', sender_address = 'portal@northwind.example', signature = 'Northwind Hosting\n12 Harbour Road'")
	b.bea = b.user("Bea Lindqvist", beaEmail)
	return b
}

func (b *bundle) exec(sql string, args ...any) {
	b.t.Helper()
	if _, err := b.pool.Exec(b.t.Context(), sql, args...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) user(name, email string) string {
	b.t.Helper()
	return scan[string](b, "insert into users (name, email) values ($1, $2) returning id::text", name, email)
}

func scan[T any](b *bundle, sql string, args ...any) T {
	b.t.Helper()
	var value T
	if err := b.pool.QueryRow(b.t.Context(), sql, args...).Scan(&value); err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
	return value
}

// token makes a one-time link as app/auth does, and returns its id and secret.
func (b *bundle) token(purpose, userID, email string) (id, secret string) {
	b.t.Helper()
	id = uuid.NewString()
	secret, hash := b.ring.LinkSecret(id)
	b.exec("insert into tokens (id, token_hash, purpose, user_id, email, expires_at) values ($1, $2, $3, $4, $5, '2126-11-27 09:15Z')", id, hash, purpose, userID, email)
	return id, secret
}

func (b *bundle) queue(m Message) string {
	b.t.Helper()
	err := db.InTx(b.t.Context(), b.pool, func(tx pgx.Tx) error { return b.Queue(b.t.Context(), tx, m) })
	if err != nil {
		b.t.Fatal(err)
	}
	return scan[string](b, "select id::text from mail_deliveries where key = $1", m.Key)
}

// reset queues a mail with a link for Bea.
func (b *bundle) reset() (id, token, secret string) {
	b.t.Helper()
	token, secret = b.token("reset", b.bea, beaEmail)
	return b.queue(Message{Kind: "reset-password", Key: "reset-password:" + token, UserID: b.bea, Recipient: beaEmail, Name: "Bea Lindqvist", Zone: "Europe/Stockholm", TokenID: token}), token, secret
}

// row is what the tests look at of a delivery.
type row struct {
	Status, Reason, Answer string
	Attempts               int
	Next, Finished         bool
}

func (b *bundle) row(id string) row {
	b.t.Helper()
	found, err := db.One[row](b.t.Context(), b.pool, `
		select status, reason, answer, attempts, next_at is not null as next, finished_at is not null as finished from mail_deliveries where id = $1`, id)
	if err != nil {
		b.t.Fatal(err)
	}
	return found
}

func (b *bundle) want(id string, want row) {
	b.t.Helper()
	if got := b.row(id); got != want {
		b.t.Errorf("delivery is %+v, want %+v", got, want)
	}
}

func (b *bundle) attempts(id string) []string {
	b.t.Helper()
	rows, err := b.pool.Query(b.t.Context(), `
		select attempt || ' ' || coalesce(outcome, 'running') || ' ' || coalesce(code, 0) || ' ' || answer from mail_attempts where delivery_id = $1 order by attempt`, id)
	if err != nil {
		b.t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		b.t.Fatal(err)
	}
	return all
}

// allText is every row of the tables that people and dumps show.
func (b *bundle) allText() string {
	b.t.Helper()
	return scan[string](b, `
		select coalesce((select string_agg(d::text, ' ') from mail_deliveries d), '') || coalesce((select string_agg(a::text, ' ') from mail_attempts a), '')
		|| coalesce((select string_agg(j::text, ' ') from river_job j), '')`)
}

func TestQueue_CommitsWithItsCause(t *testing.T) {
	t.Parallel()
	b := setUp(t, nil)
	token, _ := b.token("reset", b.bea, beaEmail)
	m := Message{Kind: "reset-password", Key: "k", UserID: b.bea, Recipient: beaEmail, TokenID: token}
	undo := errors.New("undo")
	err := db.InTx(t.Context(), b.pool, func(tx pgx.Tx) error {
		if err := b.Queue(t.Context(), tx, m); err != nil {
			return err
		}
		return undo
	})
	if !errors.Is(err, undo) {
		t.Fatal(err)
	}
	if n := scan[int](b, "select (select count(*) from mail_deliveries) + (select count(*) from river_job)"); n != 0 {
		t.Errorf("%d rows outlived the rollback", n)
	}
	b.queue(m)
	b.queue(m)
	if n := scan[int](b, "select count(*) from mail_deliveries"); n != 1 {
		t.Errorf("%d deliveries for one key", n)
	}
	var job struct {
		Queue, Kind string
		MaxAttempts int
		Args        map[string]any
	}
	err = b.pool.QueryRow(t.Context(), "select queue, kind, max_attempts, args from river_job").Scan(&job.Queue, &job.Kind, &job.MaxAttempts, &job.Args)
	if err != nil {
		t.Fatal(err) // also if there are two
	}
	if job.Queue != "mail" || job.Kind != "deliver_mail" || job.MaxAttempts != 20 || len(job.Args) != 1 {
		t.Errorf("job %+v, want one that carries an id only", job)
	}
}

func TestQueue_RefusesWhatCanNotBeSent(t *testing.T) {
	t.Parallel()
	b := setUp(t, nil)
	for name, m := range map[string]Message{
		"unknown kind":    {Kind: "spam", Key: "k", UserID: b.bea, Recipient: beaEmail},
		"no key":          {Kind: "password-changed", UserID: b.bea, Recipient: beaEmail},
		"no token":        {Kind: "reset-password", Key: "k", UserID: b.bea, Recipient: beaEmail},
		"token too many":  {Kind: "password-changed", Key: "k", UserID: b.bea, Recipient: beaEmail, TokenID: uuid.NewString()},
		"no new address":  {Kind: "address-changed", Key: "k", UserID: b.bea, Recipient: beaEmail},
		"nobody's rights": {Kind: "password-changed", Key: "k", Recipient: beaEmail},
	} {
		if err := db.InTx(t.Context(), b.pool, func(tx pgx.Tx) error { return b.Queue(t.Context(), tx, m) }); err == nil {
			t.Errorf("%s: was queued", name)
		}
	}
}

func TestDeliver_Sends(t *testing.T) {
	t.Parallel()
	b := setUp(t, nil)
	id, _, secret := b.reset()
	if err := b.Deliver(t.Context(), id, time.Minute); err != nil {
		t.Fatal(err)
	}
	b.want(id, row{Status: "sent", Answer: "250 2.0.0 OK: queued", Attempts: 1, Finished: true})
	if got := b.attempts(id); !slices.Equal(got, []string{"1 accepted 250 250 2.0.0 OK: queued"}) {
		t.Errorf("attempts %q", got)
	}
	if err := b.Deliver(t.Context(), id, time.Minute); err != nil {
		t.Errorf("a finished delivery: %v", err)
	}
	mails := b.server.Mails()
	if len(mails) != 1 || mails[0].From != "portal@northwind.example" || mails[0].To != beaEmail {
		t.Fatalf("mails %+v", mails)
	}
	envelope, err := enmime.ReadEnvelope(strings.NewReader(string(mails[0].Data)))
	if err != nil {
		t.Fatal(err)
	}
	for header, want := range map[string]string{
		"From": `"Northwind Hosting" <portal@northwind.example>`, "To": `"Bea Lindqvist" <bea@bluebird.example>`,
		"Subject": "Choose a new password for Northwind Hosting", "Message-Id": "<" + id + "@portal.northwind.example>",
		"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All",
	} {
		if got := envelope.GetHeaderValues(header); len(got) != 1 || got[0] != want {
			t.Errorf("header %s is %q, want %q", header, got, want)
		}
	}
	if at, err := envelope.Date(); err != nil || time.Since(at) > time.Minute {
		t.Errorf("date %s, %v", at, err)
	}
	link := "https://portal.northwind.example/reset-password/" + secret
	for part, text := range map[string]string{"HTML": envelope.HTML, "text": envelope.Text} {
		for _, want := range []string{link, "Hello Bea Lindqvist,", "27 November 2126, 10:15 (CET)", "12 Harbour Road", "Choose a new password"} {
			if !strings.Contains(text, want) {
				t.Errorf("the %s part lacks %q:\n%s", part, want, text)
			}
		}
	}
	if strings.Contains(b.allText(), secret) {
		t.Error("the link's secret is in the database")
	}
	preview, err := b.Preview(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if preview.Subject != envelope.GetHeader("Subject") || strings.Contains(preview.HTML+preview.Text, secret) || !strings.Contains(preview.Text, "/reset-password/"+mask) {
		t.Errorf("preview %+v", preview)
	}
}

func TestPreview_Unknown(t *testing.T) {
	t.Parallel()
	b := setUp(t, nil)
	if _, err := b.Preview(t.Context(), uuid.NewString()); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("error %v, want not found", err)
	}
}

func TestDeliver_EveryKindInFull(t *testing.T) {
	t.Parallel()
	b := setUp(t, nil)
	b.exec("insert into email_changes (user_id, email, expires_at) values ($1, 'bea@new.example', now() + interval '1 day')", b.bea)
	for kind, rule := range kinds {
		changes := []string{""}
		if kind == "second-factor-changed" {
			changes = []string{"authenticator.add", "authenticator.remove", "passkey.add", "passkey.remove", "recovery-codes.renew", "factor.remove"}
		}
		for _, change := range changes {
			m := Message{Kind: kind, Key: kind + change, UserID: b.bea, Recipient: beaEmail, Name: "Bea Lindqvist", Language: "en",
				Data: map[string]string{"Email": "bea@new.example", "Change": change, "Name": "Bea’s phone", "IP": "192.0.2.7", "Browser": "Firefox",
					"Delegate": uuid.NewString(), "Subject": "The form", "Owner": "Bluebird Bakery", "Account": "Bluebird Bakery"}}
			if kind == "watchdog" {
				m.Data = map[string]string{"Cause": "jobs-waiting", "Name": "mail", "Count": "1234", "Of": "2000"}
			}
			if rule.page == fromData {
				m.Data = map[string]string{"Ticket": uuid.NewString(), "Subject": "The form", "Number": "4101", "Name": "Sam Okafor",
					"Message": uuid.NewString(), "Status": "staff_replied", "Until": "2026-11-20T09:00:00Z", "Page": "/support/1", "About": uuid.NewString(), "Contract": "Web hosting", "Product": "bluebird.example", "State": "active",
					"Thing": "ticket", "ID": uuid.NewString(), "Ends": "2126-11-27T09:15:00Z",
					"Run": uuid.NewString(), "Account": "Bluebird Bakery", "Action": "Suspend", "Reason": "refused", "Answer": "approved", "Delegate": uuid.NewString(), "Configuration": "web-1", "Count": "7", "Minutes": "15",
					"Invoice": uuid.NewString(), "Minor": "16800", "Currency": "EUR", "Day": "2126-11-27"}
			}
			if rule.to == toPending {
				m.Recipient = "bea@new.example"
			}
			wantLink := ""
			if rule.purpose != "" {
				var secret string
				m.TokenID, secret = b.token(rule.purpose, b.bea, m.Recipient)
				wantLink = "https://portal.northwind.example" + linkPaths[rule.purpose] + secret
			}
			id := b.queue(m)
			if err := b.Deliver(t.Context(), id, time.Minute); err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			b.want(id, row{Status: "sent", Answer: "250 2.0.0 OK: queued", Attempts: 1, Finished: true})
			mails := b.server.Mails()
			envelope, err := enmime.ReadEnvelope(strings.NewReader(string(mails[len(mails)-1].Data)))
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range []string{envelope.GetHeader("Subject"), envelope.HTML, envelope.Text} {
				if strings.Contains(text, "mail."+kind) || strings.Contains(text, "<no value>") || strings.Contains(text, "ZgotmplZ") {
					t.Errorf("%s %s has a gap:\n%s", kind, change, text)
				}
			}
			if !strings.Contains(envelope.HTML, wantLink) || !strings.Contains(envelope.Text, wantLink) {
				t.Errorf("%s lacks its link %s", kind, wantLink)
			}
			if len(rule.data) > 0 && rule.data[0] == "Email" && !strings.Contains(envelope.Text, "bea@new.example") {
				t.Errorf("%s does not say the new address:\n%s", kind, envelope.Text)
			}
			if buttons := strings.Count(envelope.HTML, `class="button"`); buttons > 1 {
				t.Errorf("%s has %d buttons", kind, buttons)
			}
		}
	}
}

func TestDeliver_RightsAreAskedAtSending(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change string // $1 is Bea's id
		reason string
	}{
		"the user is gone":        {"delete from users where id = $1", "user-gone"},
		"the user is disabled":    {"update users set disabled_at = now() where id = $1", "user-disabled"},
		"another address":         {"update users set email = 'bea@elsewhere.example' where id = $1", "address-changed"},
		"the link was used":       {"update tokens set used_at = now() where user_id = $1", "link-dead"},
		"the link has expired":    {"update tokens set expires_at = now() - interval '1 s' where user_id = $1", "link-dead"},
		"a newer link took over":  {"delete from tokens where user_id = $1", "link-dead"},
		"the store's own address": {"update store set sender_address = 'BEA@bluebird.example' where $1 <> ''", "own-address"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setUp(t, nil)
			id, _, _ := b.reset()
			b.exec(test.change, b.bea)
			if err := b.Deliver(t.Context(), id, time.Minute); err != nil {
				t.Fatal(err)
			}
			b.want(id, row{Status: "cancelled", Reason: test.reason, Finished: true})
			if mails := b.server.Mails(); len(mails) != 0 {
				t.Errorf("%d mails went out", len(mails))
			}
		})
	}
	t.Run("no change of address is pending any more", func(t *testing.T) {
		t.Parallel()
		b := setUp(t, nil)
		token, _ := b.token("email_new", b.bea, "bea@new.example")
		id := b.queue(Message{Kind: "email-change-new", Key: "k", UserID: b.bea, Recipient: "bea@new.example", TokenID: token, Data: map[string]string{"Email": "bea@new.example"}})
		if err := b.Deliver(t.Context(), id, time.Minute); err != nil {
			t.Fatal(err)
		}
		b.want(id, row{Status: "cancelled", Reason: "address-changed", Finished: true})
	})
	t.Run("another's token", func(t *testing.T) {
		t.Parallel()
		b := setUp(t, nil)
		stella := b.user("Stella Novak", "stella@corvid.example")
		token, _ := b.token("reset", stella, "stella@corvid.example")
		id := b.queue(Message{Kind: "reset-password", Key: "k", UserID: b.bea, Recipient: beaEmail, TokenID: token})
		if err := b.Deliver(t.Context(), id, time.Minute); err != nil {
			t.Fatal(err)
		}
		b.want(id, row{Status: "cancelled", Reason: "link-dead", Finished: true})
	})
	t.Run("a token for something else", func(t *testing.T) {
		t.Parallel()
		b := setUp(t, nil)
		token, _ := b.token("confirm", b.bea, beaEmail)
		id := b.queue(Message{Kind: "reset-password", Key: "k", UserID: b.bea, Recipient: beaEmail, TokenID: token})
		if err := b.Deliver(t.Context(), id, time.Minute); err != nil {
			t.Fatal(err)
		}
		b.want(id, row{Status: "cancelled", Reason: "link-dead", Finished: true})
	})
}

func TestDeliver_TemporaryThenSent(t *testing.T) {
	t.Parallel()
	b := setUp(t, func(_ string, n int) smtptest.Reply {
		return []smtptest.Reply{smtptest.Defer, smtptest.Drop, smtptest.DropEarly, smtptest.Accept}[n-1]
	})
	id, _, secret := b.reset()
	for range 3 {
		err := b.Deliver(t.Context(), id, time.Minute)
		var failure *Failure
		if !errors.As(err, &failure) || failure.Outcome == Refused {
			t.Fatalf("error %v, want one that is tried again", err)
		}
		if got := b.row(id); got.Status != "retrying" || !got.Next || got.Finished {
			t.Fatalf("delivery is %+v, want it retrying", got)
		}
	}
	if err := b.Deliver(t.Context(), id, time.Minute); err != nil {
		t.Fatal(err)
	}
	b.want(id, row{Status: "sent", Answer: "250 2.0.0 OK: queued", Attempts: 4, Finished: true})
	want := []string{
		"1 deferred 451 451 4.7.1 Greylisted, come again later", "2 unknown 0 the server closed the connection",
		"3 unreachable 0 the server closed the connection", "4 accepted 250 250 2.0.0 OK: queued",
	}
	if got := b.attempts(id); !slices.Equal(got, want) {
		t.Errorf("attempts %q, want %q", got, want)
	}
	ids := map[string]bool{}
	for _, taken := range b.server.Mails() {
		message, err := mail.ReadMessage(strings.NewReader(string(taken.Data)))
		if err != nil {
			t.Fatal(err)
		}
		ids[message.Header.Get("Message-Id")] = true
	}
	if len(ids) != 1 {
		t.Errorf("the attempts had %d different Message-IDs", len(ids))
	}
	if strings.Contains(b.allText(), secret) {
		t.Error("the link's secret is in the database")
	}
}

func TestDeliver_LastAttempt(t *testing.T) {
	t.Parallel()
	b := setUp(t, func(string, int) smtptest.Reply { return smtptest.Defer })
	id, _, _ := b.reset()
	if err := b.Deliver(t.Context(), id, 0); err == nil {
		t.Error("no error")
	}
	b.want(id, row{Status: "failed", Reason: "gave-up", Answer: "451 4.7.1 Greylisted, come again later", Attempts: 1, Finished: true})
}

func TestDeliver_RefusedIsFinalAndTellsNoSecret(t *testing.T) {
	t.Parallel()
	b := setUp(t, func(string, int) smtptest.Reply { return smtptest.Reject })
	id, _, secret := b.reset()
	err := b.Deliver(t.Context(), id, time.Minute)
	var failure *Failure
	if !errors.As(err, &failure) || failure.Outcome != Refused {
		t.Fatalf("error %v, want refused", err)
	}
	got := b.row(id)
	if got.Status != "failed" || got.Reason != "refused" || !strings.Contains(got.Answer, "Looks like spam") {
		t.Errorf("delivery is %+v", got)
	}
	// The server quoted the mail, the start of the link's token included.
	for _, text := range []string{err.Error(), b.allText()} {
		if strings.Contains(text, secret) || strings.Contains(text, secret[:8]) {
			t.Errorf("a secret shows: %s", text)
		}
	}
}

func TestDeliver_StrangeNamesAndAddresses(t *testing.T) {
	t.Parallel()
	b := setUp(t, nil)
	for i, name := range []string{
		"Bea\r\nBcc: eve@evil.example", `Bea", "Eve" <eve@evil.example>, "`, "Bea, Eve", "Bea <eve@evil.example>", "Bea (eve)", "=?utf-8?q?Bea=0D=0ABcc:_eve?=",
		"Béa Ångström", "بئة", strings.Repeat("ä ", 200), "\u202eeve",
	} {
		id := b.queue(Message{Kind: "password-changed", Key: fmt.Sprint("name", i), UserID: b.bea, Recipient: beaEmail, Name: name})
		if err := b.Deliver(t.Context(), id, time.Minute); err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		mails := b.server.Mails()
		taken := mails[len(mails)-1]
		message, err := mail.ReadMessage(strings.NewReader(string(taken.Data)))
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		to, err := message.Header.AddressList("To")
		if err != nil || len(to) != 1 || to[0].Address != beaEmail || len(message.Header["To"]) != 1 || len(message.Header["Bcc"]) != 0 || taken.To != beaEmail {
			t.Errorf("%q: To %v (%v), Bcc %v, envelope %s", name, to, err, message.Header["Bcc"], taken.To)
		}
	}
	before := len(b.server.Mails())
	for i, address := range []string{"bea@bluebird.example,eve@evil.example", "bea@bluebird.example\r\nBcc: eve@evil.example", `"eve@evil.example> x"@bluebird.example`, "", "bea"} {
		b.exec("update users set email = $2 where id = $1", b.bea, address)
		id := b.queue(Message{Kind: "password-changed", Key: fmt.Sprint("address", i), UserID: b.bea, Recipient: address})
		if err := b.Deliver(t.Context(), id, time.Minute); err != nil {
			t.Fatalf("%q: %v", address, err)
		}
		b.want(id, row{Status: "failed", Reason: "bad-address", Finished: true})
	}
	if after := len(b.server.Mails()); after != before {
		t.Errorf("%d mails went to bad addresses", after-before)
	}
}

func TestDeliver_HTMLEscapesEverything(t *testing.T) {
	t.Parallel()
	b := setUp(t, nil)
	b.exec(`update store set name = '<b>Store</b> {{.}}', signature = '<script>alert(1)</script>{{.Store}}'`)
	id := b.queue(Message{Kind: "second-factor-changed", Key: "k", UserID: b.bea, Recipient: beaEmail, Name: "<i>Bea", Data: map[string]string{"Change": "passkey.add", "Name": `<img src=x>{{.Store}}`}})
	if err := b.Deliver(t.Context(), id, time.Minute); err != nil {
		t.Fatal(err)
	}
	envelope, err := enmime.ReadEnvelope(strings.NewReader(string(b.server.Mails()[0].Data)))
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"<b>", "<script>", "<img", "<i>"} {
		if strings.Contains(envelope.HTML, bad) {
			t.Errorf("the HTML part holds %s", bad)
		}
	}
	for _, want := range []string{"&lt;img src=x&gt;{{.Store}}", "&lt;script&gt;alert(1)&lt;/script&gt;{{.Store}}"} {
		if !strings.Contains(envelope.HTML, want) {
			t.Errorf("the HTML part lacks %q", want)
		}
	}
}

func TestDeliver_Ceiling(t *testing.T) {
	t.Parallel()
	b := setUp(t, nil)
	send := func(key string) (string, error) {
		id := b.queue(Message{Kind: "password-changed", Key: key, UserID: b.bea, Recipient: beaEmail})
		return id, b.Deliver(t.Context(), id, time.Minute)
	}
	for i := range ceilingShort {
		if _, err := send(fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	id, err := send("one more")
	var held *Held
	if !errors.As(err, &held) || held.For < 9*time.Minute || held.For > 11*time.Minute {
		t.Fatalf("error %v, want it held for some ten minutes", err)
	}
	b.want(id, row{Status: "queued", Next: true})
	if other := b.queue(Message{Kind: "account-exists", Key: "other", UserID: b.bea, Recipient: beaEmail}); b.Deliver(t.Context(), other, time.Minute) != nil {
		t.Error("a mail of another kind is held too")
	}
	// Ten minutes later there is room again.
	b.exec("update mail_deliveries set finished_at = finished_at - interval '10 minutes' where status = 'sent'")
	if err := b.Deliver(t.Context(), id, time.Minute); err != nil {
		t.Fatal(err)
	}
	if got := b.row(id); got.Status != "sent" {
		t.Errorf("delivery is %+v, want it sent", got)
	}
	// What can't go within a day is given up.
	b.exec(`insert into mail_deliveries (key, kind, recipient, status, finished_at)
		select 'old ' || n, 'password-changed', $1, 'sent', now() from generate_series(1, 10) n`, beaEmail)
	late := b.queue(Message{Kind: "password-changed", Key: "late", UserID: b.bea, Recipient: beaEmail})
	b.exec("update mail_deliveries set created_at = now() - interval '25 hours' where id = $1", late)
	if err := b.Deliver(t.Context(), late, time.Minute); err != nil {
		t.Fatal(err)
	}
	b.want(late, row{Status: "failed", Reason: "too-many", Finished: true})
}

func TestDeliver_CeilingHoldsForManyAtOnce(t *testing.T) {
	t.Parallel()
	b := setUp(t, nil)
	var ids []string
	for i := range 2 * ceilingShort {
		ids = append(ids, b.queue(Message{Kind: "password-changed", Key: fmt.Sprint(i), UserID: b.bea, Recipient: beaEmail}))
	}
	var all sync.WaitGroup
	for _, id := range ids {
		all.Go(func() {
			var held *Held
			if err := b.Deliver(context.Background(), id, time.Minute); err != nil && !errors.As(err, &held) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := len(b.server.Mails()); got != ceilingShort {
		t.Errorf("%d mails went out, want %d", got, ceilingShort)
	}
}

func TestDeliver_TwiceAtOnceSendsOnce(t *testing.T) {
	t.Parallel()
	b := setUp(t, nil)
	id, _, _ := b.reset()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			var held *Held
			if err := b.Deliver(context.Background(), id, time.Minute); err != nil && !errors.As(err, &held) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := len(b.server.Mails()); got != 1 {
		t.Errorf("%d mails went out", got)
	}
	b.want(id, row{Status: "sent", Answer: "250 2.0.0 OK: queued", Attempts: 1, Finished: true})
}

func TestDeliver_AfterAKilledProcess(t *testing.T) {
	t.Parallel()
	b := setUp(t, nil)
	id, _, _ := b.reset()
	// What a process leaves behind that is killed while the mail server is called.
	b.exec("update mail_deliveries set status = 'sending', attempts = 1 where id = $1", id)
	b.exec("insert into mail_attempts (delivery_id, attempt) values ($1, 1)", id)
	var held *Held
	if err := b.Deliver(t.Context(), id, time.Minute); !errors.As(err, &held) || held.For > stillRunning+2*time.Second {
		t.Fatalf("error %v, want it held while the first attempt may be alive", err)
	}
	b.exec("update mail_attempts set started_at = now() - interval '2 minutes'")
	if err := b.Deliver(t.Context(), id, time.Minute); err != nil {
		t.Fatal(err)
	}
	b.want(id, row{Status: "sent", Answer: "250 2.0.0 OK: queued", Attempts: 2, Finished: true})
	if got := b.attempts(id); !slices.Equal(got, []string{"1 unknown 0 ", "2 accepted 250 250 2.0.0 OK: queued"}) {
		t.Errorf("attempts %q", got)
	}
}

func TestDeliver_OlderAttemptReportsLast(t *testing.T) {
	t.Parallel()
	b := setUp(t, nil)
	id, _, _ := b.reset()
	b.exec("update mail_deliveries set status = 'sending', attempts = 2 where id = $1", id)
	write := func(work func(tx pgx.Tx) error) {
		t.Helper()
		if err := db.InTx(t.Context(), b.pool, work); err != nil {
			t.Fatal(err)
		}
	}
	write(func(tx pgx.Tx) error { return markRetrying(t.Context(), tx, id, 1, "451 late", time.Minute) })
	write(func(tx pgx.Tx) error { return markFailed(t.Context(), tx, id, 1, "refused", "550 late") })
	b.want(id, row{Status: "sending", Attempts: 2})
	// That the server took a mail is true whoever says it, and final.
	write(func(tx pgx.Tx) error { return markSent(t.Context(), tx, id, "Subject", "250 OK") })
	write(func(tx pgx.Tx) error { return markFailed(t.Context(), tx, id, 2, "refused", "550 no") })
	b.want(id, row{Status: "sent", Answer: "250 OK", Attempts: 2, Finished: true})
}

func TestDeliver_StoppedOnTheLastAttemptIsNotGivenUp(t *testing.T) {
	t.Parallel()
	b := setUp(t, func(string, int) smtptest.Reply { return smtptest.Hang })
	id, _, _ := b.reset()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		b.server.Wait(t, func(mails []smtptest.Mail) bool { return len(mails) == 1 })
		cancel()
	}()
	if err := b.Deliver(ctx, id, 0); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want cancelled", err)
	}
	b.want(id, row{Status: "retrying", Answer: "interrupted, the portal was stopping", Attempts: 1, Next: true})
}

func TestDeliver_SenderAddressIsWrong(t *testing.T) {
	t.Parallel()
	b := setUp(t, nil)
	b.exec("update store set sender_address = 'nobody'")
	id, _, _ := b.reset()
	if err := b.Deliver(t.Context(), id, time.Minute); err == nil {
		t.Fatal("no error")
	}
	if got := b.row(id); got.Status != "retrying" {
		t.Errorf("delivery is %+v, want it to wait for the mend", got)
	}
}

func TestFailOrphans(t *testing.T) {
	t.Parallel()
	b := setUp(t, nil)
	alive, _, _ := b.reset()
	dead := b.queue(Message{Kind: "password-changed", Key: "dead", UserID: b.bea, Recipient: beaEmail})
	fresh := b.queue(Message{Kind: "password-changed", Key: "fresh", UserID: b.bea, Recipient: beaEmail})
	b.exec("update mail_deliveries set created_at = now() - interval '11 minutes' where id <> $1", fresh)
	b.exec("update river_job set state = 'cancelled', finalized_at = now() where args ->> 'delivery_id' <> $1", alive)
	if n, err := b.FailOrphans(t.Context()); err != nil || n != 1 {
		t.Fatalf("%d ended, %v; want 1", n, err)
	}
	b.want(alive, row{Status: "queued"})
	b.want(fresh, row{Status: "queued"})
	b.want(dead, row{Status: "failed", Reason: "job-lost", Finished: true})
}

func TestKinds_MatchTheCatalogue(t *testing.T) {
	t.Parallel()
	catalogue, err := locale.Load(os.DirFS("../../views"))
	if err != nil {
		t.Fatal(err)
	}
	p := catalogue.Printer("en", "", time.Now())
	for name, rule := range kinds {
		for part, needed := range map[string]bool{
			"name": true, "subject": true, "heading": true, "text": true, "why": true,
			"button": rule.purpose != "" || rule.page != "", "second": rule.second != "",
		} {
			if has := p.Has("mail." + name + "." + part); has != needed {
				t.Errorf("mail.%s.%s: in the catalogue %t, needed %t", name, part, has, needed)
			}
		}
		if rule.purpose != "" && linkPaths[rule.purpose] == "" {
			t.Errorf("%s: no page takes tokens of purpose %s", name, rule.purpose)
		}
	}
}
