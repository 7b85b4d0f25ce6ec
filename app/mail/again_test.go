package mail

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"portico/app"
	"portico/app/db"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// newLink makes links as app/auth does: older ones of the purpose die.
func (b *bundle) newLink(ctx context.Context, tx pgx.Tx, purpose string, m Message) (string, error) {
	id := uuid.NewString()
	_, hash := b.ring.LinkSecret(id)
	if _, err := tx.Exec(ctx, "delete from tokens where user_id = $1 and purpose = $2", m.UserID, purpose); err != nil {
		return "", err
	}
	_, err := tx.Exec(ctx, "insert into tokens (id, token_hash, purpose, user_id, email, expires_at) values ($1, $2, $3, $4, $5, now() + interval '1 hour')", id, hash, purpose, m.UserID, m.Recipient)
	return id, err
}

func (b *bundle) again(id string) (again string, err error) {
	b.t.Helper()
	err = db.InTx(b.t.Context(), b.pool, func(tx pgx.Tx) error {
		again, err = b.SendAgain(b.t.Context(), tx, id, b.newLink)
		return err
	})
	return again, err
}

func (b *bundle) deliver(id string) {
	b.t.Helper()
	if err := b.Deliver(b.t.Context(), id, time.Minute); err != nil {
		b.t.Fatal(err)
	}
}

func TestSendAgain_MakesANewLinkAndEndsTheOld(t *testing.T) {
	t.Parallel()
	b := setUp(t, nil)
	token, secret := b.token("reset", b.bea, beaEmail)
	id := b.queue(Message{
		Kind: "reset-password", Key: "first", UserID: b.bea, Recipient: beaEmail, Name: "Bea Lindqvist", TokenID: token,
		Data: map[string]string{"IP": "192.0.2.7", "Browser": "Firefox"},
	})
	b.deliver(id)
	again, err := b.again(id)
	if err != nil {
		t.Fatal(err)
	}
	b.want(id, row{Status: "sent", Answer: "250 2.0.0 OK: queued", Attempts: 1, Finished: true})
	b.want(again, row{Status: "queued"})
	if n := scan[int](b, "select count(*) from tokens where id = $1", token); n != 0 {
		t.Error("the old link lives")
	}
	b.deliver(again)
	mails := b.server.Mails()
	if len(mails) != 2 {
		t.Fatalf("%d mails went out", len(mails))
	}
	newSecret, _ := b.ring.LinkSecret(scan[string](b, "select token_id::text from mail_deliveries where id = $1", again))
	// Encoded as quoted-printable, with lines of 76 characters.
	text := strings.ReplaceAll(string(mails[1].Data), "=\r\n", "")
	if !strings.Contains(text, newSecret) || strings.Contains(text, secret) {
		t.Errorf("the second mail has not the new link:\n%s", text)
	}
	if strings.Contains(text, "192.0.2.7") {
		t.Error("the second mail says that it was asked for from where the first was")
	}
	if strings.Contains(string(mails[1].Data), "Message-ID: <"+id) {
		t.Error("both mails have one Message-ID")
	}
}

func TestSendAgain_Refuses(t *testing.T) {
	t.Parallel()
	b := setUp(t, nil)
	change := "insert into email_changes (user_id, email, expires_at) values ($1, 'bea@new.example', now() + interval '1 day') on conflict (user_id) do update set email = excluded.email, old_agreed_at = null, new_agreed_at = null"
	to := func(kind string) Message {
		m := Message{Kind: kind, Key: uuid.NewString(), UserID: b.bea, Recipient: beaEmail, Data: map[string]string{"Email": "bea@new.example"}}
		if kinds[kind].to == toPending {
			m.Recipient = "bea@new.example"
		}
		if purpose := kinds[kind].purpose; purpose != "" {
			m.TokenID, _ = b.token(purpose, b.bea, m.Recipient)
		}
		return m
	}
	for _, c := range []struct {
		name, kind, sql, reason string
	}{
		{"as it is", "confirm-address", "", ""},
		{"as it is", "reset-password", "", ""},
		{"as it is", "password-changed", "", ""},
		{"as it is", "staff-invite", "", ""},
		{"as it is", "email-change-old", "", ""},
		{"as it is", "email-change-new", "", ""},
		{"confirmed already", "confirm-address", "update users set email_confirmed_at = now() where id = $1", "done"},
		{"confirmed, and has forgotten the password", "reset-password", "update users set email_confirmed_at = now() where id = $1", ""},
		{"has come", "staff-invite", "update users set password_hash = 'x' where id = $1", "done"},
		{"has come with a passkey", "staff-invite", "insert into passkeys (user_id, credential_id, credential, name) values ($1, 'x', '{}', 'Key')", "done"},
		{"the change was taken back", "email-change-old", "delete from email_changes where user_id = $1", "done"},
		{"the change is another", "email-change-old", "update email_changes set email = 'bea@newer.example' where user_id = $1", "done"},
		{"the old address agreed", "email-change-old", "update email_changes set old_agreed_at = now() where user_id = $1", "done"},
		{"the old address agreed", "email-change-new", "update email_changes set old_agreed_at = now() where user_id = $1", ""},
		{"the new address agreed", "email-change-new", "update email_changes set new_agreed_at = now() where user_id = $1", "done"},
		{"the change was taken back", "email-change-new", "delete from email_changes where user_id = $1", "address-changed"},
		{"disabled", "reset-password", "update users set disabled_at = now() where id = $1", "user-disabled"},
		{"another address", "reset-password", "update users set email = 'bea@elsewhere.example' where id = $1", "address-changed"},
		{"the store's own address", "password-changed", "update store set sender_address = 'bea@bluebird.example' where $1 <> ''", "own-address"},
		{"still waits", "password-changed", "update mail_deliveries set status = 'queued', finished_at = null where user_id = $1", "under-way"},
		{"being sent", "password-changed", "update mail_deliveries set status = 'sending', finished_at = null where user_id = $1", "under-way"},
		{"to be tried again", "password-changed", "update mail_deliveries set status = 'retrying', finished_at = null where user_id = $1", "under-way"},
		{"failed", "reset-password", "update mail_deliveries set status = 'failed', reason = 'refused' where user_id = $1", ""},
		{"cancelled by its dead link", "reset-password", "update mail_deliveries set status = 'cancelled', reason = 'link-dead' where user_id = $1", ""},
		{"no address", "password-changed", "update mail_deliveries set recipient = 'nobody' where user_id = $1", "address-changed"},
	} {
		b.exec("update users set email = $2, disabled_at = null, email_confirmed_at = null, password_hash = null where id = $1", b.bea, beaEmail)
		b.exec("update store set sender_address = 'portal@northwind.example'")
		b.exec("delete from passkeys")
		b.exec("delete from mail_deliveries")
		b.exec(change, b.bea)
		id := b.queue(to(c.kind))
		b.exec("update mail_deliveries set status = 'sent', finished_at = now() where id = $1", id)
		if c.sql != "" {
			b.exec(c.sql, b.bea)
		}
		reason, err := b.WhyNotAgain(t.Context(), id)
		if err != nil || reason != c.reason {
			t.Errorf("%s, %s: %q, %v; want %q", c.kind, c.name, reason, err, c.reason)
		}
		again, err := b.again(id)
		if c.reason != "" && !errors.Is(err, app.ErrConflict) || c.reason == "" && (err != nil || again == "") {
			t.Errorf("%s, %s: sent again as %q, %v", c.kind, c.name, again, err)
		}
		if n := scan[int](b, "select count(*) from mail_deliveries"); n != 2 && c.reason == "" || n != 1 && c.reason != "" {
			t.Errorf("%s, %s: %d deliveries", c.kind, c.name, n)
		}
	}
	b.exec("delete from mail_deliveries")
	id := b.queue(to("password-changed"))
	b.exec("update mail_deliveries set status = 'sent', finished_at = now()")
	b.exec("delete from users where id = $1", b.bea)
	if _, err := b.again(id); !errors.Is(err, app.ErrConflict) {
		t.Errorf("the user is gone: %v", err)
	}
	if _, err := b.again(uuid.NewString()); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("an unknown mail: %v", err)
	}
}

// TestNotices: whatever changes a delivery tells open pages of it in the same transaction.
func TestNotices(t *testing.T) {
	t.Parallel()
	b := setUp(t, nil)
	told := func() string {
		t.Helper()
		topics := scan[string](b, "select coalesce(string_agg(distinct topic, ' ' order by topic), '') from live_events")
		b.exec("delete from live_events")
		return topics
	}
	id, token, _ := b.reset()
	if got := told(); got != "mail" {
		t.Errorf("queued: told of %q", got)
	}
	both := "mail mail:" + id
	b.deliver(id)
	if got := told(); got != both {
		t.Errorf("sent: told of %q", got)
	}
	b.exec("delete from tokens where id = $1", token)
	id = b.queue(Message{Kind: "password-changed", Key: "lost", UserID: b.bea, Recipient: beaEmail})
	told()
	b.exec("update users set disabled_at = now()")
	b.deliver(id)
	if got := told(); got != "mail mail:"+id {
		t.Errorf("cancelled: told of %q", got)
	}
	id = b.queue(Message{Kind: "password-changed", Key: "orphan", UserID: b.bea, Recipient: beaEmail})
	told()
	b.exec("update mail_deliveries set created_at = now() - interval '11 minutes' where id = $1", id)
	b.exec("delete from river_job")
	if n, err := b.FailOrphans(t.Context()); err != nil || n != 1 {
		t.Fatalf("%d ended, %v", n, err)
	}
	if got := told(); got != "mail mail:"+id {
		t.Errorf("ended: told of %q", got)
	}
}
